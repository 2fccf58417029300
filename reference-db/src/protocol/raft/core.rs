//! Raft without a state machine: elections, the log, and what is committed.
//!
//! It is generic over the command `C` that an entry carries and the state `S` that a snapshot
//! holds, because two kinds of replication stand on it: the log of all changes ([`super::Raft`]),
//! and the choice of a primary ([`crate::protocol::primary`]). Whoever embeds it applies
//! what is committed, hands over the state to be kept, and carries out the [`Act`]s.
//!
//! What a member has said stays true when it is restarted: term, vote and entries are durable before anything is
//! said that follows from them (Raft, figure 2), which is the order of the acts. Were the vote sent first: of 1, 2
//! and 3, member 2 votes for 1 in term 5, loses power before the vote is on its disk, and starts again; 3 asks it
//! in term 5 too and gets its vote; 1 and 3 both lead in term 5. [`super::members`] says what is done where the
//! disk itself is lost.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore as _;

use super::StrongReads;
use super::election::Votes;
use super::log::{Entry, Log, Position};
use super::members::{FOUNDER, Members};
use super::message::{HardState, Image, Message, Record, Snapshot};
use super::replication::Leadership;
use crate::env::{NodeId, Role, Time};
use crate::mark::Mark;
use crate::protocol::{Contradiction, Options, Output, Protocol, Recovered, Timing};

/// What the core wants done, in order. As with [`crate::protocol::Output`], nothing may be sent
/// before what precedes it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act<C, S> {
    /// Add a record to the durable log.
    Persist(Record<C>),
    /// Replace all records of the core by this.
    Snapshot(Snapshot<C, S>),
    /// Tell another member something.
    Send(NodeId, Message<C, S>),
    /// Stop for good.
    Stop(Contradiction),
}

/// One member's part in Raft.
#[derive(Clone, Debug)]
pub struct Core<C, S> {
    pub(super) id: NodeId,
    /// The nodes that can be reached.
    pub(super) others: Vec<NodeId>,
    /// The number of the member's disk.
    pub(super) incarnation: u64,
    /// Those that the cluster began with.
    pub(super) founders: Arc<Members>,
    /// Who takes part, as the log says.
    pub(super) members: Arc<Members>,
    /// Where the log says so.
    pub(super) members_at: u64,
    /// Members that stand at this index or before are agreed on, as the disk says.
    pub(super) agreed: u64,
    /// One that has lost its disk, as it has said lately, and its new incarnation.
    pub(super) lost: Option<(NodeId, u64)>,
    /// The incarnation of whoever speaks at the moment, and is answered.
    speaker: u64,
    pub(super) timing: Timing,
    /// Whether leaders count on it that who has heard them elects nobody else for a while.
    pub(super) grants_leases: bool,
    random: ChaCha8Rng,
    pub(super) hard: HardState,
    pub(super) log: Log<C>,
    pub(super) image: Option<Arc<Image<S>>>,
    pub(super) commit: u64,
    pub(super) standing: Standing,
    pub(super) leader: Option<NodeId>,
    /// When the leader was last heard.
    pub(super) heard: Time,
    /// When a member that does not lead looks for another leader.
    pub(super) election_at: Time,
    /// When a leader sends what has piled up.
    pub(super) flush_at: Time,
    pub(super) acts: Vec<Act<C, S>>,
    pub(super) installed: Option<Arc<Image<S>>>,
}

/// What a member is in its term.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Follower,
    /// Asks whether it would be elected.
    PreCandidate(Votes),
    Candidate(Votes),
    Leader(Leadership),
}

impl<C: Clone, S> Core<C, S> {
    /// Starts a member from what its disk holds.
    ///
    /// # Panics
    /// Where the records have a gap: a disk that loses records loses them from the end.
    pub fn recover(
        options: &Options,
        recovered: Recovered<Snapshot<C, S>, Record<C>>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let Snapshot { mut hard, mut incarnation, mut agreed, image, entries } =
            recovered.snapshot.unwrap_or_default();
        let base = image.as_ref().map(|image| image.last).unwrap_or_default();
        let mut log = Log::after(base);
        for entry in entries {
            log.put(entry);
        }
        for record in recovered.records {
            match record {
                Record::Hard(later) => hard = later,
                Record::Entry(entry) => log.put(entry),
                Record::Incarnation(number) => incarnation = number,
                Record::Agreed(index) => agreed = index,
            }
        }
        let founders = Arc::new(Members::founded(options.founders()));
        let empty = hard == HardState::default() && log.last() == Position::default();
        let mut core = Core {
            id: options.id,
            others: options.nodes.iter().copied().filter(|node| *node != options.id).collect(),
            incarnation,
            members: Arc::clone(&founders),
            founders,
            members_at: 0,
            agreed,
            lost: None,
            speaker: FOUNDER,
            timing: options.timing,
            grants_leases: options.strong_reads == StrongReads::Lease,
            random,
            hard,
            log,
            installed: image.clone(),
            image,
            commit: base.index,
            standing: Standing::Follower,
            leader: None,
            heard: now,
            election_at: now,
            flush_at: Time::NEVER,
            acts: Vec::new(),
        };
        core.adopt_members(None);
        core.postpone_election(now);
        if options.restored && empty && incarnation == FOUNDER {
            let number = core.random.next_u64();
            core.begin_again(number);
        }
        core
    }

    /// Takes other random numbers from now on. The moment of the next election stays as it was drawn.
    pub fn reseed(&mut self, random: ChaCha8Rng) {
        self.random = random;
    }

    /// Does what is due.
    pub fn on_timer(&mut self, now: Time) {
        if self.is_leader() {
            self.lead_on(now);
        } else if self.election_at <= now {
            self.campaign(now);
        }
    }

    /// Takes what another member says. What comes from elsewhere is ignored.
    pub fn on_message(&mut self, now: Time, from: NodeId, message: Message<C, S>) {
        if !self.others.contains(&from) {
            return;
        }
        let (speaker, addressee, message) = message.unwrap_between();
        self.speaker = speaker;
        let to_me = addressee == self.incarnation;
        if message.is_answer() {
            if !to_me {
                // It answers what the disk before this one asked: a vote for a log that is gone.
                return;
            }
            if !self.members.has(from, speaker) && !self.may_be_member(from, speaker) {
                self.on_stranger(now, from, speaker, &message);
                return;
            }
        }
        self.take(now, from, message, to_me);
    }

    fn take(&mut self, now: Time, from: NodeId, message: Message<C, S>, to_me: bool) {
        match message {
            Message::PreVote { term, last } => self.on_pre_vote(now, from, term, last),
            Message::PreVoteReply { term, granted } => {
                self.on_pre_vote_reply(now, from, term, granted);
            }
            Message::Agreed { at } => self.on_agreed(at),
            Message::Vote { term, last, handed_over } => {
                self.on_vote(now, from, term, last, handed_over);
            }
            Message::StandNow { term } => self.on_stand_now(now, from, term),
            Message::VoteReply { term, granted } => self.on_vote_reply(now, from, term, granted),
            Message::Append { term, round, prev, entries, commit } => {
                if self.follow(now, from, term) {
                    self.on_append(from, round, prev, entries, commit);
                }
            }
            Message::AppendReply { term, round, appended } => {
                if self.heard_as_leader(now, from, term, round) {
                    self.on_append_reply(now, from, appended);
                }
            }
            Message::Heartbeat { term, round, commit } => {
                if self.follow(now, from, term) {
                    // What the leader knew of the disk before this one says nothing of this one.
                    self.on_heartbeat(from, round, if to_me { commit } else { 0 });
                }
            }
            Message::HeartbeatReply { term, round } => {
                self.heard_as_leader(now, from, term, round);
            }
            Message::Install { term, round, image } => {
                if self.follow(now, from, term) {
                    self.on_install(from, round, image);
                }
            }
            // It was unwrapped: there is no second cover.
            Message::Between { .. } => {}
        }
    }

    /// When [`Core::on_timer`] is wanted.
    pub fn deadline(&self) -> Time {
        match &self.standing {
            Standing::Leader(leadership) => leadership.heartbeat_at.min(self.flush_at),
            Standing::Follower | Standing::PreCandidate(_) | Standing::Candidate(_) => {
                self.election_at
            }
        }
    }

    /// Takes what is to be done, in order.
    pub fn acts(&mut self) -> std::vec::Drain<'_, Act<C, S>> {
        self.acts.drain(..)
    }

    /// Passes on what is to be done, in order, to a protocol that persists what the core persists, and
    /// nothing else; `message` makes a message of its own out of one of the core's.
    pub fn pass_on<P>(
        &mut self,
        out: &mut Vec<Output<P>>,
        message: impl Fn(Message<C, S>) -> P::Message,
    ) where
        P: Protocol<Record = Record<C>, Snapshot = Snapshot<C, S>>,
    {
        out.extend(self.acts().map(|act| match act {
            Act::Persist(record) => Output::Persist(record),
            Act::Snapshot(snapshot) => Output::Snapshot(snapshot),
            Act::Send(to, sent) => Output::Send { to, message: message(sent) },
            Act::Stop(contradiction) => Output::Stop(contradiction),
        }));
    }

    /// Takes the state that replaces all that was applied so far, where there is one: after a
    /// restart, and after a leader has sent one.
    pub fn take_installed(&mut self) -> Option<Arc<Image<S>>> {
        self.installed.take()
    }

    /// What the member takes itself for.
    pub fn role(&self) -> Role {
        match self.standing {
            Standing::Follower => Role::Follower,
            Standing::PreCandidate(_) | Standing::Candidate(_) => Role::Candidate,
            Standing::Leader(_) => Role::Leader,
        }
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.standing, Standing::Leader(_))
    }

    /// The leader that the member knows of; itself where it leads.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// When a leader last heard from another member; `None` where the member does not lead.
    pub fn heard(&self, member: NodeId) -> Option<Time> {
        let Standing::Leader(leadership) = &self.standing else { return None };
        leadership.peers.iter().find(|peer| peer.node == member).map(|peer| peer.heard)
    }

    /// Asks another member to take over from this leader, if that has the whole log and nobody was asked
    /// just now; whether it was asked. Until it is elected this one leads on (dissertation, section 3.10).
    pub fn hand_over(&mut self, now: Time, to: NodeId) -> bool {
        let last = self.log.last().index;
        let Standing::Leader(leadership) = &mut self.standing else { return false };
        let lately = leadership.handed_over.is_some_and(|at| now < at + self.timing.heartbeat);
        let able = leadership
            .peers
            .iter()
            .any(|peer| peer.node == to && peer.votes && peer.matched == last);
        if lately || !able {
            return false;
        }
        leadership.handed_over = Some(now);
        self.send(to, Message::StandNow { term: self.hard.term });
        true
    }

    /// Whether the leader has asked somebody to take over in its term.
    pub(super) fn has_handed_over(&self) -> bool {
        matches!(&self.standing, Standing::Leader(leadership) if leadership.handed_over.is_some())
    }

    /// Whether the member leads and knows all that was ever committed, because something of its own
    /// term is.
    pub fn knows_all_commits(&self) -> bool {
        self.is_leader() && self.log.term(self.commit) == Some(self.hard.term)
    }

    /// The latest term that it has seen.
    pub fn term(&self) -> u64 {
        self.hard.term
    }

    /// The last index that it knows to be committed.
    pub fn committed(&self) -> u64 {
        self.commit
    }

    /// Its log.
    pub fn log(&self) -> &Log<C> {
        &self.log
    }

    /// The entry at an index, if it is committed.
    pub fn committed_entry(&self, index: u64) -> Option<&Entry<C>> {
        if index <= self.commit { self.log.get(index) } else { None }
    }

    /// Becomes a follower in `term`, which is the member's own or a later one.
    pub(super) fn step_down(&mut self, now: Time, term: u64) {
        if term > self.hard.term {
            Mark::LeaderDeposed.note_if(self.is_leader());
            self.set_hard(HardState { term, vote: None });
        }
        self.standing = Standing::Follower;
        self.leader = None;
        self.flush_at = Time::NEVER;
        self.postpone_election(now);
    }

    pub(super) fn set_hard(&mut self, hard: HardState) {
        self.hard = hard;
        self.acts.push(Act::Persist(Record::Hard(hard)));
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message<C, S>) {
        let theirs = self.members.get(to).map_or(FOUNDER, |member| member.incarnation);
        self.acts.push(Act::Send(to, message.between(self.incarnation, theirs)));
    }

    /// Tells whoever has just spoken something: it may be another incarnation than the log says.
    pub(super) fn answer(&mut self, to: NodeId, message: Message<C, S>) {
        self.acts.push(Act::Send(to, message.between(self.incarnation, self.speaker)));
    }

    /// Draws the next election timeout: from the shortest one to twice that.
    pub(super) fn postpone_election(&mut self, now: Time) {
        let shortest = u64::try_from(self.timing.election.as_nanos()).unwrap_or(u64::MAX / 4);
        let extra = self.random.next_u64() % (shortest + 1);
        self.election_at = Time(now.0.saturating_add(shortest).saturating_add(extra));
    }
}

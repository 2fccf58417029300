//! How a leader's log becomes everyone's (Raft, sections 5.3 and 5.4.2).
//!
//! What is committed is never replaced, and a follower that says it has an entry has everything before it
//! as the leader has. So each message names the entry that the new ones follow, and who does not have that one
//! takes none. Of 1, 2 and 3, member 3 has an entry 5 of term 1 that nobody else has, and leader 1 of term 2 has
//! another one there. Were 3 to take entry 6 all the same, it would say that it has everything up to 6; 1 commits
//! that with it, and 3 applies an entry 5 that no other member has. `Core::take_entries` and
//! `Core::advance_commit` say what else would take back what was acknowledged.
//!
//! Entries that come in while messages are under way travel together: a follower has at most
//! [`IN_FLIGHT_MAX`] messages with entries to answer, and what piles up meanwhile goes out with
//! the next one. The leader also waits until the timer has fired for the moment that it is in, so
//! that what arrives at one moment is one message and one write to disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::core::{Act, Core, Standing};
use super::log::{Entry, Log, Position};
use super::members::{Member, Members};
use super::message::{Appended, Image, Message, Record};
use crate::env::{NodeId, Time};
use crate::mark::Mark;
use crate::protocol::Contradiction;

/// How many entries a message carries.
pub const BATCH_MAX: usize = 64;

/// How many messages with entries a follower has to answer before it gets another one.
pub const IN_FLIGHT_MAX: usize = 4;

/// How many entries a leader takes on that are not committed yet.
pub const UNCOMMITTED_MAX: u64 = 4096;

/// What a leader knows and plans.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    pub(super) peers: Vec<Peer>,
    /// The latest round of confirmation that has begun.
    pub(super) round: u64,
    /// When it next shows that it lives, and asks itself whether a majority still answers.
    pub(super) heartbeat_at: Time,
    /// Whether the leader itself counts: one that removed itself leads until that is agreed on.
    counts: bool,
    /// Who need not know that it was let go, because its disk is lost.
    excused: Option<NodeId>,
    /// When it last asked somebody to take over.
    pub(super) handed_over: Option<Time>,
}

/// What a leader knows of another member.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// The disk that is meant.
    pub(super) incarnation: u64,
    /// Whether it counts; otherwise it is a learner.
    pub(super) votes: bool,
    /// Its log equals the leader's up to here.
    pub(super) matched: u64,
    /// What it gets next.
    pub(super) next: u64,
    pub(super) pace: Pace,
    /// When it last said anything.
    pub(super) heard: Time,
    /// The latest round that it was asked to confirm.
    pub(super) asked: u64,
    /// The latest round that it confirmed.
    pub(super) confirmed: u64,
}

/// How a follower is sent entries.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// One message at a time, until it is known where its log agrees.
    Probe { sent: Option<Time> },
    /// One after the other; these end at the indices given.
    Stream { ends: VecDeque<u64>, since: Time },
    /// It was sent the state at this index.
    Install { index: u64, sent: Time },
}

impl Leadership {
    /// The highest value that a majority has reached, the leader with `own` included.
    fn majority(&self, own: u64, of: impl Fn(&Peer) -> u64 + Copy) -> u64 {
        let peers = self.peers.iter().filter(|peer| peer.votes).map(of);
        let values = peers.chain(self.counts.then_some(own));
        let voters = values.clone().count();
        let reached = |value: u64| {
            let those = values.clone().filter(|reached| *reached >= value);
            2 * those.count() > voters
        };
        values.clone().filter(|value| reached(*value)).max().unwrap_or(0)
    }

    /// Whether a member has the leader's log up to an index.
    fn has(&self, node: NodeId, index: u64) -> bool {
        self.peers.iter().any(|peer| peer.node == node && peer.matched >= index)
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.node == node)
    }

    /// Goes by these members from here on. Of a disk that is new to the leader nothing is known.
    pub(super) fn follow_members(
        &mut self,
        members: &Members,
        (own, incarnation): (NodeId, u64),
        next: u64,
        now: Time,
    ) {
        self.counts = members.votes(own, incarnation);
        self.excused = None;
        self.peers.retain(|peer| members.has(peer.node, peer.incarnation));
        for (node, Member { incarnation, votes }) in members.iter().filter(|(node, _)| *node != own)
        {
            match self.peer(node) {
                Some(peer) => peer.votes = votes,
                None => self.peers.push(Peer {
                    node,
                    incarnation,
                    votes,
                    matched: 0,
                    next,
                    pace: Pace::Probe { sent: None },
                    heard: now,
                    asked: 0,
                    confirmed: 0,
                }),
            }
        }
        self.peers.sort_by_key(|peer| peer.node);
    }
}

impl<C: Clone, S> Core<C, S> {
    /// Takes office. The entry without a command is what lets the leader learn how far its log is
    /// committed: entries of earlier terms do not count by themselves.
    pub(super) fn lead(&mut self, now: Time) {
        let next = self.log.last().index + 1;
        let heartbeat_at = now + self.timing.heartbeat;
        let mut leadership = Leadership {
            peers: Vec::new(),
            round: 0,
            heartbeat_at,
            counts: true,
            excused: None,
            handed_over: None,
        };
        leadership.follow_members(&self.members, (self.id, self.incarnation), next, now);
        self.standing = Standing::Leader(leadership);
        self.leader = Some(self.id);
        self.append(None);
        self.flush(now);
    }

    /// Adds a command to the log of a leader and says where. `None` where the member does not
    /// lead, or has [too much](UNCOMMITTED_MAX) under way.
    pub fn propose(&mut self, now: Time, command: C) -> Option<Position> {
        if !self.is_leader() || self.log.last().index - self.commit >= UNCOMMITTED_MAX {
            return None;
        }
        self.append(Some(Arc::new(command)));
        self.flush_soon(now);
        Some(self.log.last())
    }

    /// Begins a round: until it is [confirmed](Core::confirmed_round), the leader does not know
    /// that it still led when it began. `None` where the member does not lead, where the round
    /// before is not confirmed yet, or where it does not know yet what is committed, because
    /// nothing of its own term is (dissertation, section 6.4).
    pub fn begin_round(&mut self, now: Time) -> Option<u64> {
        if !self.may_begin_round() {
            return None;
        }
        self.flush_soon(now);
        let Standing::Leader(leadership) = &mut self.standing else { return None };
        leadership.round += 1;
        Some(leadership.round)
    }

    /// Whether [`Core::begin_round`] would begin one.
    pub fn may_begin_round(&self) -> bool {
        let Standing::Leader(leadership) = &self.standing else { return false };
        self.confirmed_round() == leadership.round && self.knows_all_commits()
    }

    /// The latest round of which a majority has said that the leader still led; 0 where the
    /// member does not lead.
    pub fn confirmed_round(&self) -> u64 {
        let Standing::Leader(leadership) = &self.standing else { return 0 };
        leadership.majority(leadership.round, |peer| peer.confirmed)
    }

    /// Asks for the timer to fire at once.
    pub fn flush_soon(&mut self, now: Time) {
        self.flush_at = self.flush_at.min(now);
    }

    /// Does what is due for a leader.
    pub(super) fn lead_on(&mut self, now: Time) {
        let Standing::Leader(leadership) = &mut self.standing else { return };
        if leadership.heartbeat_at <= now {
            let heard = Time(leadership.majority(now.0, |peer| peer.heard.0));
            if now.since(heard) >= self.timing.election {
                // Its clients would wait for ever, and read-index rounds with them. And where it
                // hears nobody but is heard, its followers would have no other leader.
                Mark::LeaderAlone.note();
                self.step_down(now, self.hard.term);
                return;
            }
            leadership.heartbeat_at = now + self.timing.heartbeat;
            for peer in &mut leadership.peers {
                peer.give_up_waiting(now, &self.timing);
                let message = heartbeat(peer, self.hard.term, leadership.round, self.commit);
                self.acts.push(peer.told(self.incarnation, message));
            }
            if !leadership.counts && self.members_at <= self.commit {
                // It was removed, and that is agreed on, which the others now know.
                self.step_down(now, self.hard.term);
                return;
            }
            self.flush_at = now;
        }
        if self.flush_at <= now {
            self.flush(now);
        }
    }

    /// Sends all that the followers may be sent.
    fn flush(&mut self, now: Time) {
        self.flush_at = Time::NEVER;
        let Standing::Leader(leadership) = &mut self.standing else { return };
        let round = leadership.round;
        let (term, commit) = (self.hard.term, self.commit);
        for peer in &mut leadership.peers {
            while let Some(parcel) = peer.parcel(&self.log, self.image.as_ref(), now) {
                peer.asked = round;
                let message = match parcel {
                    Parcel::Entries(prev, entries) => {
                        Message::Append { term, round, prev, entries, commit }
                    }
                    Parcel::Image(image) => Message::Install { term, round, image },
                };
                self.acts.push(peer.told(self.incarnation, message));
            }
            if peer.asked < round {
                let message = heartbeat(peer, term, round, commit);
                self.acts.push(peer.told(self.incarnation, message));
            }
        }
        self.advance_commit();
    }

    fn append(&mut self, command: Option<Arc<C>>) {
        let at = Position { term: self.hard.term, index: self.log.last().index + 1 };
        self.put(Entry { at, command, members: None });
    }

    /// Puts other members into the log of a leader. They count from here on.
    pub(super) fn append_members(&mut self, now: Time, members: Members) {
        let at = Position { term: self.hard.term, index: self.log.last().index + 1 };
        self.put(Entry { at, command: None, members: Some(Arc::new(members)) });
        self.adopt_members(Some(now));
        self.flush_soon(now);
    }

    fn put(&mut self, entry: Entry<C>) {
        self.acts.push(Act::Persist(Record::Entry(entry.clone())));
        let changes = entry.members.is_some() || entry.at.index <= self.members_at;
        self.log.put(entry);
        if changes {
            self.adopt_members(None);
        }
    }

    /// Commits what a majority has, if its last entry is of this term.
    ///
    /// An entry of an earlier term may be on a majority and still be replaced: with members 1 to
    /// 5, 1 spreads its entry of term 2 to 3 only when it leads again in term 4, and 5, whose log
    /// ends with term 3, can be elected by 2, 3 and 4 afterwards (Raft, figure 8).
    fn advance_commit(&mut self) {
        let Standing::Leader(leadership) = &self.standing else { return };
        let reached = leadership.majority(self.log.last().index, |peer| peer.matched);
        let waits =
            |node| leadership.excused != Some(node) && !leadership.has(node, self.members_at);
        let index = match self.has_to_know() {
            Some(node) if waits(node) => reached.min(self.members_at - 1),
            _ => reached,
        };
        if index > self.commit && self.log.term(index) == Some(self.hard.term) {
            let earliest = self.log.term(self.commit + 1);
            Mark::LeftoversCommitted.note_if(earliest < Some(self.hard.term));
            self.commit = index;
            self.keep_agreement();
        }
    }

    /// Lets a change of the members count of which a node that has lost its disk does not know.
    pub(super) fn excuse(&mut self, node: NodeId) {
        if let Standing::Leader(leadership) = &mut self.standing {
            leadership.excused = Some(node);
            self.advance_commit();
        }
    }

    /// Takes a follower's answer to a leader: whether the member leads in the answer's term.
    pub(super) fn heard_as_leader(
        &mut self,
        now: Time,
        from: NodeId,
        term: u64,
        round: u64,
    ) -> bool {
        if term > self.hard.term {
            self.step_down(now, term);
        }
        if term < self.hard.term {
            return false;
        }
        let Standing::Leader(leadership) = &mut self.standing else { return false };
        let Some(peer) = leadership.peer(from) else { return false };
        peer.heard = now;
        peer.confirmed = peer.confirmed.max(round);
        true
    }

    pub(super) fn on_append_reply(&mut self, now: Time, from: NodeId, appended: Appended) {
        let Standing::Leader(leadership) = &mut self.standing else { return };
        let Some(peer) = leadership.peer(from) else { return };
        match appended {
            Appended::Matched(index) => peer.advance(index.min(self.log.last().index), now),
            Appended::Conflict { prev, hint } => peer.back_up(prev, hint, &self.log),
        }
        if peer.wants(self.log.last().index) {
            self.flush_at = self.flush_at.min(now);
        }
        self.advance_commit();
    }

    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        round: u64,
        prev: Position,
        entries: Vec<Entry<C>>,
        commit: u64,
    ) {
        // What was compacted away was committed, so a leader has the same there.
        let base = self.log.base().index;
        let appended = if prev.index >= base && !self.log.has(prev) {
            let last = self.log.last().index;
            let hint = self.log.agreement(prev.index.min(last), prev.term);
            Appended::Conflict { prev: prev.index, hint: hint.unwrap_or(self.log.base()) }
        } else {
            let end = entries.last().map_or(prev.index, |entry| entry.at.index).max(base);
            if let Err(contradiction) = self.take_entries(entries) {
                self.acts.push(Act::Stop(contradiction));
                return;
            }
            self.commit = self.commit.max(commit.min(end));
            self.keep_agreement();
            Appended::Matched(end)
        };
        let term = self.hard.term;
        self.answer(from, Message::AppendReply { term, round, appended });
    }

    /// Adds the entries that the log does not have.
    ///
    /// Only a real difference may cut the log: an old message that arrives late carries a prefix
    /// of what has been acknowledged since, and cutting after it would take that back.
    ///
    /// # Errors
    /// Where one contradicts what is committed. To take it would take that back, to leave it out would be to agree with a
    /// leader that has something else: nothing is right any more, but to stop.
    fn take_entries(&mut self, entries: Vec<Entry<C>>) -> Result<(), Contradiction> {
        for entry in entries {
            if entry.at.index <= self.log.base().index || self.log.has(entry.at) {
                continue;
            }
            let Position { term, index } = entry.at;
            if index <= self.commit {
                return Err(Contradiction { agreed: self.commit, index, term });
            }
            Mark::SuffixCut.note_if(entry.at.index <= self.log.last().index);
            self.put(entry);
        }
        Ok(())
    }

    pub(super) fn on_heartbeat(&mut self, from: NodeId, round: u64, commit: u64) {
        self.commit = self.commit.max(commit.min(self.log.last().index));
        self.keep_agreement();
        self.answer(from, Message::HeartbeatReply { term: self.hard.term, round });
    }
}

fn heartbeat<C, S>(peer: &mut Peer, term: u64, round: u64, commit: u64) -> Message<C, S> {
    peer.asked = round;
    // Beyond what matched, the follower may have something else than what was committed.
    let commit = commit.min(peer.matched);
    Message::Heartbeat { term, round, commit }
}

/// What a follower is sent.
enum Parcel<C, S> {
    Entries(Position, Vec<Entry<C>>),
    Image(Arc<Image<S>>),
}

impl Peer {
    /// What it is told.
    fn told<C, S>(&self, own: u64, message: Message<C, S>) -> Act<C, S> {
        Act::Send(self.node, message.between(own, self.incarnation))
    }

    /// The next thing to send, if the pace allows one. Counts it as sent.
    fn parcel<C: Clone, S>(
        &mut self,
        log: &Log<C>,
        image: Option<&Arc<Image<S>>>,
        now: Time,
    ) -> Option<Parcel<C, S>> {
        if !self.wants(log.last().index) {
            return None;
        }
        let prev = self.next - 1;
        let Some(term) = log.term(prev) else {
            let image = image.expect("what the log lacks is in the image");
            self.pace = Pace::Install { index: image.last.index, sent: now };
            return Some(Parcel::Image(Arc::clone(image)));
        };
        let entries: Vec<_> = log.entries(self.next, BATCH_MAX).cloned().collect();
        match &mut self.pace {
            Pace::Probe { sent } => *sent = Some(now),
            Pace::Stream { ends, since } => {
                if ends.is_empty() {
                    *since = now;
                }
                self.next += entries.len() as u64;
                ends.push_back(self.next - 1);
            }
            Pace::Install { .. } => return None,
        }
        Some(Parcel::Entries(Position { term, index: prev }, entries))
    }

    /// Whether there is something that it may be sent.
    fn wants(&self, last: u64) -> bool {
        match &self.pace {
            Pace::Probe { sent } => sent.is_none() && self.matched < last,
            Pace::Stream { ends, .. } => ends.len() < IN_FLIGHT_MAX && self.next <= last,
            Pace::Install { .. } => false,
        }
    }

    /// Its log equals the leader's up to `index`.
    fn advance(&mut self, index: u64, now: Time) {
        let news = index > self.matched;
        self.matched = self.matched.max(index);
        self.next = self.next.max(self.matched + 1);
        match &mut self.pace {
            Pace::Stream { ends, since } => {
                while ends.front().is_some_and(|end| *end <= index) {
                    ends.pop_front();
                }
                if news {
                    *since = now;
                }
            }
            Pace::Install { index: awaited, .. } if index < *awaited => {}
            Pace::Probe { .. } if index < self.matched => {}
            Pace::Probe { .. } | Pace::Install { .. } => {
                self.next = self.matched + 1;
                self.pace = Pace::Stream { ends: VecDeque::new(), since: now };
            }
        }
    }

    /// Its log does not have the leader's entry at `prev`; the two may agree at `hint`.
    fn back_up<C>(&mut self, prev: u64, hint: Position, log: &Log<C>) {
        let stale = match &self.pace {
            Pace::Probe { .. } => prev != self.next - 1,
            Pace::Stream { .. } => prev <= self.matched,
            Pace::Install { .. } => true,
        };
        if stale {
            return;
        }
        // Where the leader has compacted the place away, the follower needs the image: any next
        // entry that the log does not follow makes it so.
        let agreed = log.agreement(hint.index, hint.term).map(|at| at.index + 1);
        let next = agreed.unwrap_or(hint.index.min(log.base().index));
        self.next = next.clamp(self.matched + 1, prev.max(self.matched + 1));
        self.pace = Pace::Probe { sent: None };
    }

    /// Stops waiting for an answer that is overdue: it, or the question, was lost.
    fn give_up_waiting(&mut self, now: Time, timing: &crate::protocol::Timing) {
        match &mut self.pace {
            Pace::Probe { sent } => {
                if sent.is_some_and(|sent| now.since(sent) >= timing.heartbeat) {
                    *sent = None;
                }
            }
            Pace::Stream { ends, since } => {
                if !ends.is_empty() && now.since(*since) >= timing.heartbeat {
                    self.next = self.matched + 1;
                    self.pace = Pace::Probe { sent: None };
                }
            }
            Pace::Install { sent, .. } => {
                if now.since(*sent) >= timing.election {
                    self.pace = Pace::Probe { sent: None };
                    self.next = self.matched + 1;
                }
            }
        }
    }
}

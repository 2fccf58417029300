//! One node, the primary, takes all changes, and the others follow its log.
//!
//! Raft chooses the primary and keeps what must be agreed on about it, and nothing else: the leader of
//! a term commits an [`Appointment`] of itself, and only then takes office, under an epoch that is that
//! term. From there on it appends each change to a log of its own and streams that to the others
//! ([`stream`]). Every epoch's log begins with an entry without a change, so that whoever has followed a
//! primary to the end of its log ends at a greater position than anyone who has not.
//!
//! When a change counts, that is, when it is applied and acknowledged, is what the modes differ in
//! ([`Acknowledge`]). Kleppmann, "Designing Data-Intensive Applications" (2017), chapter 5, describes
//! all three, and what each of them loses.
//!
//! **`primary-sync`**: a change counts when every node has it. Then nothing that counted is lost while
//! any node's disk is left, whoever is elected. A primary answers strong reads by itself: one that was
//! deposed without knowing it cannot miss a change, because its successor needs its word for every
//! change, and with the first such question it learns that its time is over. What would break it is an
//! answer before the successor's first entry counted: the old primary had let a reader see a change that
//! the new one does not know yet to be everywhere. The price is that one node that is down stops all
//! changes.
//!
//! **`primary-semi-sync`**: a change counts when the primary and one partner have it. The appointment
//! names both, and only these two may take office again, each with the other for its partner: they are
//! the two that have all that ever counted ([`partner`] says how a partner is replaced). A leader that is
//! neither hands its leadership over to one that is. Strong reads ask a majority of the control plane
//! whether the primary still leads, as Raft's do. What would break it is a partner that is counted on
//! before it has everything: the old primary and the old partner lost together with what only they had.
//!
//! **`primary-async`**: a change counts as soon as the primary has it. What it had not passed on when it
//! lost its office is lost, although it was acknowledged. Nor does a strong read ask anybody: a primary
//! that has been deposed without knowing it answers from an old state, until it finds out that no
//! majority listens to it.
//!
//! A client may say how far it has [seen](crate::wire::Request::seen). Then nobody answers it from a
//! state that does not contain that: a node that is behind waits, and where it was lost, the client is
//! told so ([`Reply::Lost`]). And a change counts in the epoch that its client knew when it asked, or in
//! none ([`Reply::EpochOver`]). What would break it is a copy that comes late: the first was
//! acknowledged and lost together with its epoch, and with it the session's memory of it; somebody
//! writes the key again in the next epoch; the second copy is applied there, and puts the older value back.
//!
//! `members` says how nodes are let in and go meanwhile.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Role, Status, Time};
use crate::kv::{Command, ReadLevel, Reply};
use crate::mark::Mark;
use crate::protocol::pending::{Ahead, AheadReads, Pending};
use crate::protocol::raft::UNCOMMITTED_MAX;
use crate::protocol::raft::core::{Act, Core};
use crate::protocol::raft::log::{Entry, Position};
use crate::protocol::raft::members::Members;
use crate::protocol::raft::message as control;
use crate::protocol::raft::read_index::{Read, Reads};
use crate::protocol::raft::wishes::Wishes;
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

pub mod lineage;
mod members;
pub mod partner;
pub mod replica;
pub mod stream;

use self::lineage::Reach;
use self::partner::Partner;
use self::replica::{Replica, ReplicaImage};
use self::stream::{Office, Streamed};

/// How many entries of the control log a node keeps before it replaces them by the last one.
const CONTROL_ENTRIES_MAX: u64 = 64;

/// Who must have a change, besides the primary, before it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Everybody.
    All,
    /// One partner.
    One,
    /// Nobody.
    #[default]
    None,
}

/// The one kind of entry that the control plane commits: who is the primary of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The primary.
    pub node: NodeId,
    /// The epoch: the term of the Raft leader that it is.
    pub epoch: u64,
    /// The other node that has everything that counts, in the mode that has one.
    pub partner: Option<NodeId>,
}

impl Appointment {
    /// The other one of the pair, if `node` is one of the two that have everything.
    fn other(&self, node: NodeId) -> Option<Option<NodeId>> {
        if node == self.node {
            Some(self.partner)
        } else {
            (self.partner == Some(node)).then_some(Some(self.node))
        }
    }
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Between the control planes.
    Control(control::Message<Appointment, Option<Appointment>>),
    /// From a primary, and back.
    Stream(Streamed),
    /// A request that reached a node that is not the primary.
    Forward {
        /// Where the answer goes.
        origin: Origin,
        /// What is asked.
        request: Request,
    },
}

/// What is added to the durable log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Of the control plane.
    Control(control::Record<Appointment>),
    /// The latest epoch that the node has heard of.
    Epoch(u64),
    /// A change. It takes its place in the log and removes all that stood there or later.
    Data(Entry<Request>),
}

/// All that a node needs to go on after a restart: both halves in one piece, because it replaces
/// the records of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The control plane.
    pub control: control::Snapshot<Appointment, Option<Appointment>>,
    /// The latest epoch that the node has heard of.
    pub epoch: u64,
    /// The state.
    pub image: Option<Arc<ReplicaImage>>,
    /// The changes that follow the image.
    pub entries: Vec<Entry<Request>>,
}

/// One node of a mode with a primary.
#[derive(Clone, Debug)]
pub struct Primary {
    options: Options,
    control: Core<Appointment, Option<Appointment>>,
    /// The last entry of the control log that was looked at, and the last appointment up to there.
    control_applied: u64,
    appointed: Option<Appointment>,
    replica: Replica,
    /// The primary's view of the others, while the node is one.
    office: Option<Office>,
    /// The members that it goes by.
    followed: Arc<Members>,
    /// Whom it counts on.
    partner: Partner,
    /// The latest epoch for which the node has proposed itself.
    asked_for: Option<u64>,
    /// When the node, leading without being entitled to office or about to be let go, last asked another
    /// one to lead.
    handed_over: Option<Time>,
    /// Who is to take part, and who no longer.
    wishes: Wishes,
    pending: Pending,
    reads: Reads,
    ahead: AheadReads,
}

impl Protocol for Primary {
    type Message = Message;
    type Record = Record;
    type Snapshot = Snapshot;

    fn recover(
        options: Options,
        recovered: Recovered<Snapshot, Record>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let snapshot = recovered.snapshot.unwrap_or_default();
        let mut records = Vec::new();
        let mut replica = Replica::recover(&options, snapshot.epoch, snapshot.image);
        snapshot.entries.into_iter().for_each(|entry| replica.restore(entry));
        for record in recovered.records {
            match record {
                Record::Control(record) => records.push(record),
                Record::Epoch(epoch) => replica.epoch = epoch,
                Record::Data(entry) => replica.restore(entry),
            }
        }
        if options.acknowledge == Acknowledge::None {
            replica.commit(u64::MAX);
        }
        let control = Recovered { snapshot: Some(snapshot.control), records };
        let mut node = Primary {
            control: Core::recover(&options, control, random, now),
            options,
            control_applied: 0,
            appointed: None,
            replica,
            office: None,
            followed: Arc::default(),
            partner: Partner::default(),
            asked_for: None,
            handed_over: None,
            wishes: Wishes::default(),
            pending: Pending::default(),
            reads: Reads::default(),
            ahead: AheadReads::default(),
        };
        node.adopt_control_image();
        node
    }

    fn reseed(&mut self, random: ChaCha8Rng) {
        self.control.reseed(random);
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        // The number of a new disk is kept before anything is said with it.
        self.act(out);
        match input {
            Input::Timer => {
                self.reads.begin(&mut self.control, now, self.replica.committed().index);
                self.control.on_timer(now);
                self.settle_control(now, out);
                self.replace_partner(now);
                self.stream(now, out);
            }
            Input::Message { from, message: Message::Control(message) } => {
                self.control.on_message(now, from, message);
            }
            Input::Message { from, message: Message::Stream(streamed) } => {
                self.on_streamed(now, from, streamed, out);
            }
            Input::Message { message: Message::Forward { origin, request }, .. } => {
                self.on_request(now, origin, request, None, out);
            }
            Input::Request { from, request, .. } => {
                let origin = Origin { node: self.options.id, client: from };
                let leader = self.control.leader().filter(|leader| *leader != self.options.id);
                self.on_request(now, origin, request, leader, out);
            }
        }
        self.settle_control(now, out);
        self.settle_data(now, out);
    }

    fn deadline(&self) -> Time {
        let office = self.office.as_ref().map_or(Time::NEVER, Office::deadline);
        self.control.deadline().min(office)
    }

    /// The role is that of the data: who leads the control plane and is not in office, because its
    /// appointment is under way or because it hands over to one that may be appointed, only stands for
    /// it. The positions are those of the data too.
    fn status(&self) -> Status {
        let committed = self.replica.committed().index;
        let stands = self.is_elected() && !self.is_primary();
        Status {
            role: if stands { Role::Candidate } else { self.control.role() },
            term: self.control.term(),
            last: self.replica.last().index,
            committed,
            applied: committed,
            restoring: self.control.is_restoring(),
        }
    }
}

impl Primary {
    /// The node's state and data log, for whoever wants to look at it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the control plane has elected the node, which may be appointed then, or not.
    pub fn is_elected(&self) -> bool {
        self.control.role() == Role::Leader
    }

    /// Whether the node takes itself for the primary.
    pub fn is_primary(&self) -> bool {
        self.office.is_some()
    }

    /// Who takes part, as the log of the control plane says.
    pub fn members(&self) -> &Members {
        self.control.members()
    }

    /// The last appointment that the node knows to be committed.
    pub fn appointed(&self) -> Option<Appointment> {
        self.appointed
    }

    fn on_request(
        &mut self,
        now: Time,
        origin: Origin,
        request: Request,
        leader: Option<NodeId>,
        out: &mut Vec<Output<Self>>,
    ) {
        let (sequence, seen) = (request.sequence, request.seen);
        let of_members = request.command.is_about_members();
        if of_members && self.control.is_leader() {
            self.wishes.add(now, &self.options.timing, origin, &request);
        } else if let Command::Read { key, level: ReadLevel::Replica } = request.command {
            let until = now + self.options.timing.election;
            self.ahead.add(Ahead { origin, sequence, key, seen, until });
        } else if self.serves() && !of_members {
            self.serve(now, origin, request, out);
        } else if let Some(to) = leader {
            let message = Message::Forward { origin, request };
            out.push(Output::Send { to, message });
        } else {
            let reply = Reply::NotLeader;
            out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
        }
    }

    /// Whether the node is a primary that knows all that counted before its epoch.
    fn serves(&self) -> bool {
        let committed = self.replica.committed().index;
        self.office.as_ref().is_some_and(|office| office.first() <= committed)
    }

    /// Takes on a request as the primary. One too many is dropped, as the network might have done.
    fn serve(&mut self, now: Time, origin: Origin, request: Request, out: &mut Vec<Output<Self>>) {
        let sequence = request.sequence;
        let committed = self.replica.committed();
        let (reply, position) = match (self.replica.reach(position(request.seen)), request.command)
        {
            (Reach::Lost, _) => (Reply::Lost, 0),
            // The client has seen a later primary's work.
            (Reach::Behind, _) => (Reply::NotLeader, 0),
            (Reach::Has, Command::Read { key, .. }) => {
                if self.asks_before_reads() {
                    self.reads.add(Read { origin, sequence, key });
                    return;
                }
                (self.replica.kv().read(&key), number(committed))
            }
            (Reach::Has, Command::Transfer { .. }) => (Reply::Unsupported, 0),
            (Reach::Has, _) if self.may_have_lost(request.session, request.seen) => {
                (Reply::EpochOver, number(committed))
            }
            // It would be one more thing for the next primary to have.
            (Reach::Has, _) if self.wishes.is_to_go(self.options.id) => (Reply::NotLeader, 0),
            (Reach::Has, command) => {
                if self.replica.last().index - committed.index < UNCOMMITTED_MAX {
                    let entry = self.replica.append(Some(Request { command, ..request }));
                    self.pending.add(entry.at, origin, sequence);
                    out.push(Output::Persist(Record::Data(entry)));
                    self.stream_soon(now);
                }
                return;
            }
        };
        out.push(Output::Reply { to: origin, sequence, reply, position });
    }

    /// Whether an earlier copy of a change may have been acknowledged and then lost with its epoch.
    fn may_have_lost(&self, session: u64, seen: u64) -> bool {
        let forgets = self.options.acknowledge == Acknowledge::None;
        forgets && session != 0 && seen != 0 && position(seen).term < self.replica.epoch
    }

    fn stream_soon(&mut self, now: Time) {
        if let Some(office) = &mut self.office {
            office.stream_soon(now);
        }
    }

    /// Does what follows from the control plane's new state.
    fn settle_control(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        self.adopt_control_image();
        while let Some(entry) = self.control.committed_entry(self.control_applied + 1) {
            self.control_applied += 1;
            if let Some(appointment) = entry.command.as_deref().copied() {
                self.appointed = Some(appointment);
                self.learn_epoch(appointment.epoch, out);
                self.take_office(now, appointment, out);
            }
        }
        self.ask_for_office(now);
        self.change_members(now, out);
        self.follow_members(now);
        self.give_votes(now);
        self.act(out);
        if self.control_applied >= self.control.imaged() + CONTROL_ENTRIES_MAX {
            self.control.compact(self.control_applied, self.appointed, CONTROL_ENTRIES_MAX / 2);
            self.act(out);
        }
        self.leave_office_if_deposed();
    }

    fn adopt_control_image(&mut self) {
        if let Some(image) = self.control.take_installed() {
            self.control_applied = image.last.index;
            self.appointed = image.state;
        }
    }

    /// Proposes itself, once a term, when it leads and knows who was appointed before. In the mode
    /// with a partner, a leader that is not one of the two that have everything hands over instead.
    fn ask_for_office(&mut self, now: Time) {
        let (node, epoch) = (self.options.id, self.control.term());
        if !self.control.knows_all_commits() || self.asked_for == Some(epoch) {
            return;
        }
        let partner = match (self.options.acknowledge, self.appointed) {
            (Acknowledge::All | Acknowledge::None, _) => None,
            (Acknowledge::One, None) => self.others().next(),
            (Acknowledge::One, Some(appointed)) => match appointed.other(node) {
                Some(other) => other,
                None => return self.hand_over(now, appointed),
            },
        };
        if self.control.propose(now, Appointment { node, epoch, partner }).is_some() {
            self.asked_for = Some(epoch);
        }
    }

    /// Asks the one of the two that was heard last to lead, again and again until one does.
    fn hand_over(&mut self, now: Time, appointed: Appointment) {
        let wait = self.options.timing.election;
        if self.handed_over.is_some_and(|at| now.since(at) < wait) {
            return;
        }
        let pair = [Some(appointed.node), appointed.partner].into_iter().flatten();
        let heard = pair.filter_map(|node| Some((self.control.heard(node)?, node)));
        if let Some((_, node)) = heard.max()
            && self.control.hand_over(now, node)
        {
            self.handed_over = Some(now);
        }
    }

    fn others(&self) -> impl Iterator<Item = NodeId> {
        self.options.founders().filter(|node| *node != self.options.id)
    }

    /// Becomes the primary, if it still leads in the term for which it was appointed. One that
    /// learns late, or after a restart, that it was appointed has a successor already, or will.
    fn take_office(&mut self, now: Time, appointed: Appointment, out: &mut Vec<Output<Self>>) {
        if appointed.node != self.options.id || self.replica.epoch != appointed.epoch {
            return;
        }
        self.partner = Partner::appointed(appointed.partner);
        let leads = self.control.is_leader() && self.control.term() == appointed.epoch;
        let first = self.replica.last().term < appointed.epoch;
        Mark::OfficeTooLate.note_if(!leads && first);
        if self.office.is_none() && leads && first {
            let entry = self.replica.append(None);
            let timing = self.options.timing;
            self.followed = self.all_members();
            let others = members::followers(&self.followed, self.options.id);
            self.office = Some(Office::new(entry.at, others, timing, now));
            out.push(Output::Persist(Record::Data(entry)));
        }
    }

    /// Hears of an epoch. Nothing of an earlier one is taken from here on, not even after a
    /// restart, and whoever was the primary of an earlier one is so no longer.
    fn learn_epoch(&mut self, epoch: u64, out: &mut Vec<Output<Self>>) {
        if epoch > self.replica.epoch {
            self.replica.epoch = epoch;
            out.push(Output::Persist(Record::Epoch(epoch)));
        }
        self.leave_office_if_deposed();
    }

    fn leave_office_if_deposed(&mut self) {
        let leads = self.control.is_leader();
        let (term, epoch) = (self.control.term(), self.replica.epoch);
        if self.office.as_ref().is_some_and(|o| !leads || o.epoch() != term || o.epoch() != epoch) {
            self.office = None;
        }
    }

    /// Looks for another partner where there is none, or the present one does not keep up.
    fn replace_partner(&mut self, now: Time) {
        if self.options.acknowledge != Acknowledge::One {
            return;
        }
        let Some(office) = &self.office else { return };
        let last = self.replica.last().index;
        // All that it had when it took office may have counted before, whether or not it has heard so.
        let counted = self.replica.committed().index.max(office.first());
        let wait = self.options.timing.election;
        let heard = |node| self.control.heard(node).is_some_and(|at| now.since(at) < wait);
        let fails =
            |node| !heard(node) || office.is_stuck(now, node, last) || self.wishes.is_to_go(node);
        if !self.partner.is_wanted(fails) {
            return;
        }
        // One without a vote could not take office. Where the vote is not agreed on yet, the appointment
        // stands behind it in the log, and is not agreed on without it.
        let votes = |node| self.control.members().is_voter(node);
        let may = |node| !self.partner.is_counted_on(node) && !fails(node) && votes(node);
        let Some(next) = office.most_advanced(counted, may) else { return };
        let appointment =
            Appointment { node: self.options.id, epoch: office.epoch(), partner: Some(next) };
        if self.control.propose(now, appointment).is_some() {
            Mark::PartnerReplaced.note();
            self.partner.proposed(next);
        }
    }

    /// Passes on what the control plane wants done.
    fn act(&mut self, out: &mut Vec<Output<Self>>) {
        let acts: Vec<_> = self.control.acts().collect();
        out.extend(acts.into_iter().map(|act| match act {
            Act::Persist(record) => Output::Persist(Record::Control(record)),
            Act::Snapshot(control) => Output::Snapshot(self.replica.durable(control)),
            Act::Send(to, message) => Output::Send { to, message: Message::Control(message) },
            Act::Stop(contradiction) => Output::Stop(contradiction),
        }));
    }

    /// Sends the others what the primary has for them.
    fn stream(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let mut sent = Vec::new();
        let Some(office) = &mut self.office else { return };
        // Where states can differ, the state that replaces them must be one of this epoch.
        let any = self.options.acknowledge != Acknowledge::None;
        let epoch = office.epoch();
        let may_install = |last: Position| any || last.term == epoch;
        if office.on_timer(now, &self.replica, may_install, &mut sent) {
            self.replica.compact(self.options.snapshot_entries / 2);
            out.push(Output::Snapshot(self.replica.durable(self.control.durable())));
            office.on_timer(now, &self.replica, may_install, &mut sent);
        }
        out.extend(sent.into_iter().map(|(to, streamed)| {
            let message = Message::Stream(streamed);
            Output::Send { to, message }
        }));
    }

    fn on_streamed(
        &mut self,
        now: Time,
        from: NodeId,
        streamed: Streamed,
        out: &mut Vec<Output<Self>>,
    ) {
        let epoch = streamed.epoch();
        let newest = epoch >= self.replica.epoch;
        self.learn_epoch(epoch, out);
        let follows = newest && self.office.is_none();
        let mut agreed = Position::default();
        match streamed {
            Streamed::Entries { prev, entries, committed, .. } if follows => {
                if let Some((added, equal)) = self.replica.follow(prev, entries) {
                    out.extend(added.into_iter().map(|e| Output::Persist(Record::Data(e))));
                    self.commit(committed.min(equal.index), out);
                    agreed = equal;
                }
            }
            Streamed::Image { image, .. } if follows => {
                if self.replica.install(image) {
                    let durable = self.replica.durable(self.control.durable());
                    out.push(Output::Snapshot(durable));
                }
            }
            Streamed::Entries { .. } | Streamed::Image { .. } => {}
            Streamed::Reached { incarnation, last, agreed, committed, .. } => {
                let from = (from, incarnation);
                if let Some(office) = self.office.as_mut().filter(|o| o.epoch() == epoch) {
                    office.on_reached(now, from, [last, agreed, committed], &self.replica);
                }
                return;
            }
        }
        // An old primary learns from the answer that its time is over.
        let (last, committed) = (self.replica.last(), self.replica.committed());
        let (incarnation, epoch) = (self.control.incarnation(), self.replica.epoch);
        let reached = Streamed::Reached { incarnation, epoch, last, agreed, committed };
        out.push(Output::Send { to: from, message: Message::Stream(reached) });
    }

    /// Does what follows from what has reached whom.
    fn settle_data(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if let Some(office) = &self.office {
            let reached = match self.options.acknowledge {
                Acknowledge::All => {
                    let agreed = self.control.agreed_members();
                    office.matched(|node| self.is_waited_for(now, office, &agreed, node))
                }
                Acknowledge::One => office.matched(|node| self.partner.is_counted_on(node)),
                Acknowledge::None => u64::MAX,
            };
            self.commit(reached, out);
        }
        self.answer_reads(now, out);
        let committed = self.replica.committed().index;
        if committed >= self.replica.imaged().index + self.options.snapshot_entries.max(1) {
            self.replica.compact(self.options.snapshot_entries / 2);
            out.push(Output::Snapshot(self.replica.durable(self.control.durable())));
        }
    }

    /// Everything up to an index counts: it is applied, and its clients are told.
    fn commit(&mut self, index: u64, out: &mut Vec<Output<Self>>) {
        for (at, reply) in self.replica.commit(index) {
            if let Some((to, sequence)) = self.pending.take(at) {
                out.push(Output::Reply { to, sequence, reply, position: number(at) });
            }
        }
    }

    fn answer_reads(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let replica = &self.replica;
        let (kv, committed) = (replica.kv(), replica.committed());
        let here = number(committed);
        self.ahead.answer(now, out, |read| match replica.reach(position(read.seen)) {
            Reach::Behind => None,
            Reach::Has => Some((kv.read(&read.key), here)),
            Reach::Lost => Some((Reply::Lost, 0)),
        });
        let leads = self.office.is_some();
        self.reads.answer(now, &mut self.control, leads, (kv, committed.index, here), out);
    }
}

const INDEX_BITS: u32 = 40;

/// The numbers that stand for positions where one number is wanted: they grow along a log, and no
/// two epochs share one. A session whose opening was lost with its primary is therefore never
/// taken for one that was opened later.
fn number(at: Position) -> u64 {
    (at.term << INDEX_BITS) | (at.index & ((1 << INDEX_BITS) - 1))
}

/// The position that a number stands for.
pub fn position(number: u64) -> Position {
    Position { term: number >> INDEX_BITS, index: number & ((1 << INDEX_BITS) - 1) }
}

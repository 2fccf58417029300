//! One node takes all changes and answers at once; the others follow when they can.
//!
//! Raft chooses the primary and nothing else: the leader of a term commits an [`Appointment`] of
//! itself, and only then takes office, under an epoch that is that term. From there on it appends
//! each change to a log of its own, makes it durable on its own disk, answers, and streams it to
//! the others ([`stream`]). What it had not passed on when it lost its office is lost, although it
//! was acknowledged: that is what this mode does not promise. Nor does a strong read ask anybody:
//! a primary that has been deposed without knowing it answers from an old state, until it finds
//! out that no majority listens to it.
//!
//! Every epoch's log begins with an entry without a change. So whoever has followed a primary ends
//! at a position that is greater than that of anyone who has not, and a node's last position only
//! ever grows: late and doubled messages are told from new ones by it.
//!
//! Kleppmann, "Designing Data-Intensive Applications" (2017), chapter 5, describes the mode and how
//! it loses writes.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Status, Time};
use crate::kv::{Command, ReadLevel, Reply};
use crate::protocol::raft::core::{Act, Core};
use crate::protocol::raft::log::{Entry, Position};
use crate::protocol::raft::message as control;
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

pub mod replica;
pub mod stream;

use self::replica::{Replica, ReplicaImage};
use self::stream::{Office, Streamed};

/// How many entries of the control log a node keeps before it replaces them by the last one.
const CONTROL_ENTRIES_MAX: u64 = 64;

/// The one kind of entry that the control plane commits: who is the primary of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The primary.
    pub node: NodeId,
    /// The epoch: the term of the Raft leader that it is.
    pub epoch: u64,
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
    /// A change.
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
    pub image: Option<std::sync::Arc<ReplicaImage>>,
    /// The changes that follow the image.
    pub entries: Vec<Entry<Request>>,
}

/// One node of the mode `primary-async`.
#[derive(Debug)]
pub struct PrimaryAsync {
    options: Options,
    control: Core<Appointment, Option<Appointment>>,
    /// The last entry of the control log that was looked at, and the last appointment up to there.
    control_applied: u64,
    appointed: Option<Appointment>,
    replica: Replica,
    /// The primary's view of the others, while the node is one.
    office: Option<Office>,
    /// The latest epoch for which the node has proposed itself.
    asked_for: Option<u64>,
}

impl Protocol for PrimaryAsync {
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
        let control = Recovered { snapshot: Some(snapshot.control), records };
        let mut node = PrimaryAsync {
            control: Core::recover(&options, control, random, now),
            options,
            control_applied: 0,
            appointed: None,
            replica,
            office: None,
            asked_for: None,
        };
        node.adopt_control_image();
        node
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        match input {
            Input::Timer => {
                self.control.on_timer(now);
                self.settle_control(now, out);
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
        self.compact_if_due(out);
    }

    fn deadline(&self) -> Time {
        let office = self.office.as_ref().map_or(Time::NEVER, Office::deadline);
        self.control.deadline().min(office)
    }

    /// The role is the control plane's; the positions are those of the data. A primary commits by
    /// itself, so what is in the log is committed and applied.
    fn status(&self) -> Status {
        let last = self.replica.last().index;
        let term = self.control.term();
        Status { role: self.control.role(), term, last, committed: last, applied: last }
    }
}

impl PrimaryAsync {
    /// The node's state and data log, for whoever wants to look at it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the node takes itself for the primary.
    pub fn is_primary(&self) -> bool {
        self.office.is_some()
    }

    fn on_request(
        &mut self,
        now: Time,
        origin: Origin,
        request: Request,
        leader: Option<NodeId>,
        out: &mut Vec<Output<Self>>,
    ) {
        let sequence = request.sequence;
        let reply = match (&request.command, &mut self.office) {
            (Command::Read { key, level: ReadLevel::Replica }, _)
            | (Command::Read { key, level: ReadLevel::Strong }, Some(_)) => {
                Some(self.replica.kv().read(key))
            }
            (_, Some(office)) => {
                office.stream_soon(now);
                let (entry, reply) = self.replica.append(Some(request));
                out.push(Output::Persist(Record::Data(entry)));
                reply
            }
            (_, None) if leader.is_some() => {
                let to = leader.expect("it is some");
                let message = Message::Forward { origin, request };
                out.push(Output::Send { to, message });
                None
            }
            (_, None) => Some(Reply::NotLeader),
        };
        let position = number(self.replica.last());
        out.extend(reply.map(|reply| Output::Reply { to: origin, sequence, reply, position }));
    }

    /// Does what follows from the control plane's new state.
    fn settle_control(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        self.adopt_control_image();
        self.ask_for_office(now);
        self.act(out);
        while let Some(entry) = self.control.committed_entry(self.control_applied + 1) {
            self.control_applied += 1;
            if let Some(appointment) = entry.command.as_deref().copied() {
                self.appointed = Some(appointment);
                self.learn_epoch(appointment.epoch, out);
                self.take_office(now, appointment, out);
            }
        }
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

    /// Proposes itself, once a term, as soon as it leads.
    fn ask_for_office(&mut self, now: Time) {
        let epoch = self.control.term();
        if self.control.is_leader() && self.asked_for != Some(epoch) {
            let appointment = Appointment { node: self.options.id, epoch };
            if self.control.propose(now, appointment).is_some() {
                self.asked_for = Some(epoch);
            }
        }
    }

    /// Becomes the primary, if it still leads in the term for which it was appointed. One that
    /// learns late, or after a restart, that it was appointed has a successor already, or will.
    fn take_office(&mut self, now: Time, appointed: Appointment, out: &mut Vec<Output<Self>>) {
        let leads = self.control.is_leader() && self.control.term() == appointed.epoch;
        let first = self.replica.last().term < appointed.epoch;
        if appointed.node != self.options.id || self.replica.epoch != appointed.epoch {
            return;
        }
        if leads && first && self.office.is_none() {
            let others = self.options.nodes.iter().filter(|node| **node != self.options.id);
            self.office = Some(Office::new(appointed.epoch, others, self.options.timing, now));
            let (entry, _) = self.replica.append(None);
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

    /// Passes on what the control plane wants done.
    fn act(&mut self, out: &mut Vec<Output<Self>>) {
        let acts: Vec<_> = self.control.acts().collect();
        out.extend(acts.into_iter().map(|act| match act {
            Act::Persist(record) => Output::Persist(Record::Control(record)),
            Act::Snapshot(control) => Output::Snapshot(self.replica.durable(control)),
            Act::Send(to, message) => Output::Send { to, message: Message::Control(message) },
        }));
    }

    /// Sends the others what the primary has for them.
    fn stream(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let mut sent = Vec::new();
        let Some(office) = &mut self.office else { return };
        if office.on_timer(now, &self.replica, &mut sent) {
            // Somebody needs a state: one that was taken in this epoch.
            self.replica.compact(self.options.snapshot_entries / 2);
            out.push(Output::Snapshot(self.replica.durable(self.control.durable())));
            office.on_timer(now, &self.replica, &mut sent);
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
        match streamed {
            Streamed::Entries { prev, entries, .. } => {
                if newest && self.office.is_none() {
                    let added = self.replica.follow(prev, entries);
                    out.extend(added.into_iter().map(|e| Output::Persist(Record::Data(e))));
                }
            }
            Streamed::Image { image, .. } => {
                if newest && self.office.is_none() && self.replica.install(image) {
                    let durable = self.replica.durable(self.control.durable());
                    out.push(Output::Snapshot(durable));
                }
            }
            Streamed::Reached { last, .. } => {
                if let Some(office) = self.office.as_mut().filter(|o| o.epoch() == epoch) {
                    office.on_reached(now, from, last, &self.replica);
                }
                return;
            }
        }
        // An old primary learns from the answer that its time is over.
        let reached = Streamed::Reached { epoch: self.replica.epoch, last: self.replica.last() };
        out.push(Output::Send { to: from, message: Message::Stream(reached) });
    }

    fn compact_if_due(&mut self, out: &mut Vec<Output<Self>>) {
        let last = self.replica.last().index;
        if last >= self.replica.imaged().index + self.options.snapshot_entries.max(1) {
            self.replica.compact(self.options.snapshot_entries / 2);
            out.push(Output::Snapshot(self.replica.durable(self.control.durable())));
        }
    }
}

/// The numbers that stand for positions where one number is wanted: they grow along a log, and no
/// two epochs share one. A session whose opening was lost with its primary is therefore never
/// taken for one that was opened later.
fn number(at: Position) -> u64 {
    const INDEX_BITS: u32 = 40;
    (at.term << INDEX_BITS) | (at.index & ((1 << INDEX_BITS) - 1))
}

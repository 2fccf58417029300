//! What a node does for its clients: it asks replicas, tells replicas, and counts.
//!
//! A change is acknowledged when as many nodes have it on their disks as [`Settings::write`] says, and a read shows
//! all that came from as many as [`Settings::read`] says (Dynamo, section 4.5; with [`Settings::atomic`], Attiya,
//! Bar-Noy and Dolev, see [`super`]). It is nodes that are counted, and not answers: of the replicas 2, 3 and 4,
//! two are to have a change; 1 tells them of it, hears nothing, and tells them again; 2 answers both times.
//! That is one copy, and a read of 3 and 4 would miss what was acknowledged.
//!
//! Nor does anything count that was said by a disk that is lost or under another ring (`Leaderless::take_back`,
//! `Leaderless::begin_phases_anew`). And where a read has to leave behind what it shows (`Settings::writes_back`), it
//! does so before it answers: a write with two phases has reached 2 alone, a read asks 2 and 3 and shows it, and the
//! next one asks 3 and 4 and shows what was there before.

use std::collections::{BTreeMap, BTreeSet};

use super::ring::Ring;
use super::sessions::Admission;
use super::siblings::changes_of;
use super::version::{Clock, Stamp, Version};
use super::{Conflicts, Leaderless, Message, Receipt, Settings, send};
use crate::env::{NodeId, Time};
use crate::kv::{Command, ReadLevel, Reply};
use crate::mark::Mark;
use crate::merge::VersionVector;
use crate::protocol::{Origin, Output};
use crate::wire::Request;

/// Operations that a node coordinates at a time. More are not taken on, as if the network had lost
/// them.
const OPERATIONS_MAX: usize = 4096;

/// One request of a client, from its arrival until all replicas have been brought up to date, or
/// have had their time.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    key: String,
    segment: usize,
    /// Who waits for the answer; nobody once it was given.
    client: Option<(Origin, u64)>,
    task: Task,
    phase: Phase,
    /// When the silent are asked again.
    again_at: Time,
    /// When the silent are given up.
    ends_at: Time,
}

/// What the client wants.
#[derive(Clone, Debug)]
enum Task {
    /// To see the latest version that so many answers have.
    Read { quorum: usize },
    /// To make the key hold this, or nothing: where changes stand side by side, in place of those that
    /// the context has, or, without one, of those that a quorum has; and then to see what the node has
    /// of it, or only that it is done.
    Put { value: Option<Vec<u8>>, context: Option<VersionVector>, shown: bool },
    /// To make it hold `to` if it holds `from`.
    Cas { from: Option<Vec<u8>>, to: Option<Vec<u8>> },
}

#[derive(Clone, Debug)]
enum Phase {
    /// Replicas are asked what they hold.
    Ask { answers: BTreeMap<NodeId, Option<Version>> },
    /// Replicas are told what to hold, and the client then gets the reply.
    Tell { version: Version, has: BTreeSet<NodeId>, reply: Reply },
}

impl Operation {
    pub(super) fn deadline(&self) -> Time {
        self.again_at.min(self.ends_at)
    }

    /// Whether a node has said what the phase waits for.
    fn has_answered(&self, node: NodeId) -> bool {
        match &self.phase {
            Phase::Ask { answers } => answers.contains_key(&node),
            Phase::Tell { has, .. } => has.contains(&node),
        }
    }

    /// The replicas of which the phase still waits to hear.
    fn silent<'a>(&'a self, ring: &'a Ring) -> impl Iterator<Item = NodeId> + 'a {
        ring.replicas(self.segment).filter(|node| !self.has_answered(*node))
    }
}

impl Settings {
    /// What a command comes to that is not done at once; nothing where the mode does not offer it.
    fn task(&self, command: Command) -> Option<(String, Task)> {
        let siblings = self.conflicts == Conflicts::Siblings;
        // A client that has read nothing deletes what there is, but writes beside it.
        let context = || siblings.then(VersionVector::default);
        Some(match command {
            Command::Read { key, level: ReadLevel::Strong } => {
                (key, Task::Read { quorum: self.read })
            }
            // Whichever replica answers first.
            Command::Read { key, level: ReadLevel::Replica } => (key, Task::Read { quorum: 1 }),
            Command::Write { key, value } => {
                (key, Task::Put { value: Some(value), context: context(), shown: false })
            }
            Command::Delete { key } => {
                (key, Task::Put { value: None, context: None, shown: false })
            }
            Command::Replace { key, value, context, shown } if siblings => {
                (key, Task::Put { value, context: Some(context), shown })
            }
            Command::Cas { key, from, to } if self.compare_and_set => (key, Task::Cas { from, to }),
            Command::OpenSession
            | Command::Cas { .. }
            | Command::Update { .. }
            | Command::Replace { .. }
            | Command::Txn { .. }
            | Command::Transfer { .. }
            | Command::Admit { .. }
            | Command::Dismiss { .. } => return None,
        })
    }

    /// Whether a read that finds replicas apart leaves at a quorum what it is about to tell.
    fn writes_back(&self) -> bool {
        self.atomic || self.conflicts == Conflicts::Siblings
    }
}

impl Leaderless {
    /// Whether the node still asks replicas on behalf of an operation.
    pub fn asks(&self, operation: u64) -> bool {
        let operation = self.operations.get(&operation);
        operation.is_some_and(|operation| matches!(operation.phase, Phase::Ask { .. }))
    }

    /// Whether it still waits until a replica has what the operation leaves there.
    pub fn tells(&self, operation: u64, replica: NodeId) -> bool {
        let phase = self.operations.get(&operation).map(|operation| &operation.phase);
        matches!(phase, Some(Phase::Tell { has, .. }) if !has.contains(&replica))
    }

    pub(super) fn on_request(
        &mut self,
        now: Time,
        origin: Origin,
        request: Request,
        wall: u64,
        out: &mut Vec<Output<Self>>,
    ) {
        if request.command.is_about_members() {
            let leader = self.control.as_ref().and_then(|control| control.core().leader());
            return self.on_wish(now, origin, request, leader, out);
        }
        let Request { session, sequence, seen, command } = request;
        let reply = |reply, position, out: &mut Vec<Output<Self>>| {
            out.push(Output::Reply { to: origin, sequence, reply, position });
        };
        if self.disks.restoring || !self.layout.has(self.options.id) {
            return reply(Reply::NotLeader, 0, out);
        }
        if command == Command::OpenSession {
            let session = self.fresh_session();
            self.sessions.open(session);
            return reply(Reply::NodeSession(session), 0, out);
        }
        if let Command::Read { key, level: ReadLevel::Replica } = &command
            && self.ring.owners(self.store.segment(key)).contains(&self.options.id)
        {
            let held = self.store.get(key);
            return reply(self.shown(held), self.position(held), out);
        }
        let Some((key, task)) = self.options.leaderless.task(command) else {
            return reply(Reply::Unsupported, 0, out);
        };
        if !matches!(task, Task::Read { .. }) {
            match self.sessions.admit(session, sequence) {
                Admission::New => {}
                Admission::Repeated => return,
                Admission::Unknown => return reply(Reply::SessionUnknown, 0, out),
            }
        }
        if self.operations.len() < OPERATIONS_MAX {
            let earliest = wall.max(Clock::after_seen(seen));
            self.begin(now, (origin, sequence), key, task, earliest, out);
        }
    }

    /// Takes on a request. `earliest` is when its change happens at the earliest, where no replica is
    /// asked first.
    fn begin(
        &mut self,
        now: Time,
        client: (Origin, u64),
        key: String,
        task: Task,
        earliest: u64,
        out: &mut Vec<Output<Self>>,
    ) {
        let phase = match self.changed_at_once(&key, &task, earliest) {
            Some(version) => {
                let reply = match task {
                    Task::Put { shown: true, .. } => self.shown(Some(&version)),
                    Task::Put { .. } | Task::Read { .. } | Task::Cas { .. } => Reply::Done,
                };
                Phase::Tell { version, has: BTreeSet::new(), reply }
            }
            None => Phase::Ask { answers: BTreeMap::new() },
        };
        let timing = self.options.timing;
        let operation = Operation {
            segment: self.store.segment(&key),
            key,
            client: Some(client),
            task,
            phase,
            again_at: now + timing.heartbeat * 2,
            ends_at: now + timing.election * 4,
        };
        let number = self.next_operation;
        self.next_operation += 1;
        self.operations.insert(number, operation);
        self.turn_to_replicas(number, out);
        self.settle(number, out);
    }

    /// What a change leaves that asks nobody first.
    fn changed_at_once(&mut self, key: &str, task: &Task, earliest: u64) -> Option<Version> {
        let Task::Put { value, context, .. } = task else { return None };
        match (self.options.leaderless.conflicts, context) {
            (Conflicts::Lww, _) if self.options.leaderless.atomic => None,
            (Conflicts::Lww, _) => Some(Version::latest(self.clock.issue(earliest), value.clone())),
            (Conflicts::Siblings, Some(context)) => {
                Some(self.replaced(key, value.clone(), context))
            }
            (Conflicts::Siblings, None) => None,
        }
    }

    /// Asks or tells the replicas that have not answered in this phase.
    fn turn_to_replicas(&mut self, number: u64, out: &mut Vec<Output<Self>>) {
        let Some(operation) = self.operations.get(&number) else { return };
        let (key, own) = (operation.key.clone(), self.options.id);
        let silent: Vec<NodeId> = operation.silent(&self.ring).collect();
        match &operation.phase {
            Phase::Ask { .. } => {
                for node in silent.iter().filter(|node| **node != own) {
                    send(*node, Message::Fetch { operation: number, key: key.clone() }, out);
                }
                if silent.contains(&own) {
                    let held = self.store.get(&key).cloned();
                    self.answer(number, own, held);
                }
            }
            Phase::Tell { version, .. } => {
                let version = version.clone();
                if silent.contains(&own) {
                    self.take(&key, version.clone(), out);
                    self.acknowledge(number, own);
                }
                for node in silent.into_iter().filter(|node| *node != own) {
                    let receipt = Receipt::Operation(number);
                    let (key, version) = (key.clone(), version.clone());
                    send(node, Message::Store { receipt, key, version }, out);
                }
            }
        }
    }

    /// Turns to a stand-in for each replica that is silent.
    fn turn_to_stand_ins(&mut self, now: Time, number: u64, out: &mut Vec<Output<Self>>) {
        let Some(operation) = self.operations.get(&number) else { return };
        let (key, own) = (operation.key.clone(), self.options.id);
        let pairs: Vec<(NodeId, NodeId)> = operation
            .silent(&self.ring)
            .zip(self.ring.stand_ins(operation.segment))
            .filter(|(_, stand_in)| !operation.has_answered(*stand_in))
            .collect();
        let version = match &operation.phase {
            Phase::Ask { .. } => None,
            Phase::Tell { version, .. } => Some(version.clone()),
        };
        Mark::StoodIn.note_if(!pairs.is_empty());
        for (node, stand_in) in pairs {
            match &version {
                None if stand_in == own => {
                    let kept = self.hints.joined(&self.options.nodes, &key);
                    self.answer(number, own, kept);
                }
                None => {
                    let message = Message::Fetch { operation: number, key: key.clone() };
                    send(stand_in, message, out);
                }
                Some(version) if stand_in == own => {
                    if self.keep(now, node, &key, version.clone(), out) {
                        self.acknowledge(number, own);
                    }
                }
                Some(version) => {
                    let (key, version) = (key.clone(), version.clone());
                    let message = Message::Keep { operation: number, node, key, version };
                    send(stand_in, message, out);
                }
            }
        }
    }

    pub(super) fn on_fetched(
        &mut self,
        from: NodeId,
        number: u64,
        version: Option<Version>,
        out: &mut Vec<Output<Self>>,
    ) {
        if let Some(version) = &version {
            self.clock.see(version.stamp);
        }
        self.answer(number, from, version);
        self.settle(number, out);
    }

    fn answer(&mut self, number: u64, from: NodeId, version: Option<Version>) {
        if let Some(operation) = self.operations.get_mut(&number)
            && let Phase::Ask { answers } = &mut operation.phase
        {
            answers.insert(from, version);
        }
    }

    pub(super) fn on_stored(
        &mut self,
        from: NodeId,
        number: u64,
        stamp: Stamp,
        out: &mut Vec<Output<Self>>,
    ) {
        let told = self.operations.get(&number).map(|operation| &operation.phase);
        if matches!(told, Some(Phase::Tell { version, .. }) if version.stamp == stamp) {
            self.acknowledge(number, from);
            self.settle(number, out);
        }
    }

    fn acknowledge(&mut self, number: u64, from: NodeId) {
        if let Some(operation) = self.operations.get_mut(&number)
            && let Phase::Tell { has, .. } = &mut operation.phase
        {
            has.insert(from);
        }
    }

    /// Forgets what a node has said, to any operation: its disk is lost. It will be asked again.
    pub(super) fn take_back(&mut self, node: NodeId) {
        for operation in self.operations.values_mut() {
            match &mut operation.phase {
                Phase::Ask { answers } => {
                    answers.remove(&node);
                }
                Phase::Tell { has, .. } => {
                    has.remove(&node);
                }
            }
        }
    }

    /// Asks and tells again whom the operations ask and tell, by another ring than before. What anybody has
    /// said by the one before says nothing of this one ([`super::members`]).
    pub(super) fn begin_phases_anew(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let numbers: Vec<u64> = self.operations.keys().copied().collect();
        for number in numbers {
            let Some(operation) = self.operations.get_mut(&number) else { continue };
            operation.segment = self.store.segment(&operation.key);
            operation.again_at = now + self.options.timing.heartbeat * 2;
            match &mut operation.phase {
                Phase::Ask { answers } => answers.clear(),
                Phase::Tell { has, .. } => has.clear(),
            }
            self.turn_to_replicas(number, out);
            self.settle(number, out);
        }
    }

    /// Goes on with an operation as far as the answers allow.
    fn settle(&mut self, number: u64, out: &mut Vec<Output<Self>>) {
        let settings = self.options.leaderless;
        let Some(operation) = self.operations.get(&number) else { return };
        match &operation.phase {
            Phase::Ask { answers } => {
                let quorum = match operation.task {
                    Task::Read { quorum } => quorum,
                    Task::Put { .. } | Task::Cas { .. } => settings.read,
                };
                if self.ring.is_quorum(operation.segment, answers.keys(), quorum) {
                    self.on_quorum_answered(number, out);
                }
            }
            Phase::Tell { version, has, reply } => {
                if self.ring.is_quorum(operation.segment, has.iter(), settings.write) {
                    let (reply, position) = (reply.clone(), self.position(Some(version)));
                    self.reply(number, reply, position, out);
                }
                self.forget_if_done(number);
            }
        }
    }

    /// Enough replicas have said what they hold.
    fn on_quorum_answered(&mut self, number: u64, out: &mut Vec<Output<Self>>) {
        let settings = self.options.leaderless;
        let Some(operation) = self.operations.get(&number) else { return };
        let Phase::Ask { answers } = &operation.phase else { return };
        let joined = Version::joined(answers.values().flatten());
        let value = joined.as_ref().and_then(Version::value).cloned();
        let position = self.position(joined.as_ref());
        let key = operation.key.clone();
        let to_put = match &operation.task {
            Task::Read { quorum } => {
                let shown = self.shown(joined.as_ref());
                let has = |held: &Option<Version>| match (held, &joined) {
                    (Some(held), Some(joined)) => held.covers(joined),
                    (held, joined) => held.is_some() == joined.is_some(),
                };
                if settings.writes_back() && *quorum > 1 && !answers.values().all(has) {
                    // Somebody lacks it: a later read could miss what this one is about to tell.
                    Mark::WroteBack.note();
                    let who = answers.iter().filter(|(_, held)| has(held)).map(|(node, _)| *node);
                    let has = who.collect();
                    let version = joined.expect("the answers differ, so there is one");
                    self.tell(number, version, has, shown, out);
                } else {
                    self.reply(number, shown, position, out);
                    if settings.read_repair {
                        self.repair(number, out);
                    }
                    self.forget_if_done(number);
                }
                return;
            }
            Task::Put { value, .. } => value.clone(),
            Task::Cas { from, .. } if *from != value => {
                self.reply(number, Reply::Mismatch(value), position, out);
                self.operations.remove(&number);
                return;
            }
            Task::Cas { to, .. } => to.clone(),
        };
        let version = match settings.conflicts {
            // The clock has seen the answers, so that this is later than all of them.
            Conflicts::Lww => Version::latest(self.clock.issue(0), to_put),
            Conflicts::Siblings => self.replaced(&key, to_put, &changes_of(joined.as_ref())),
        };
        self.tell(number, version, BTreeSet::new(), Reply::Done, out);
    }

    /// Begins the second phase.
    fn tell(
        &mut self,
        number: u64,
        version: Version,
        has: BTreeSet<NodeId>,
        reply: Reply,
        out: &mut Vec<Output<Self>>,
    ) {
        let Some(operation) = self.operations.get_mut(&number) else { return };
        operation.phase = Phase::Tell { version, has, reply };
        self.turn_to_replicas(number, out);
        self.settle(number, out);
    }

    /// Answers the client, once.
    fn reply(&mut self, number: u64, reply: Reply, position: u64, out: &mut Vec<Output<Self>>) {
        let Some(operation) = self.operations.get_mut(&number) else { return };
        if let Some((to, sequence)) = operation.client.take() {
            out.push(Output::Reply { to, sequence, reply, position });
        }
    }

    /// Brings those up to date whose answers were behind: read repair.
    fn repair(&mut self, number: u64, out: &mut Vec<Output<Self>>) {
        let Some(operation) = self.operations.get_mut(&number) else { return };
        let Phase::Ask { answers } = &mut operation.phase else { return };
        let Some(joined) = Version::joined(answers.values().flatten()) else { return };
        let mut behind = Vec::new();
        for (node, held) in answers {
            let is_replica = self.ring.holds(*node, operation.segment);
            if is_replica && held.as_ref().is_none_or(|held| !held.covers(&joined)) {
                *held = Some(joined.clone());
                behind.push(*node);
            }
        }
        let key = operation.key.clone();
        Mark::ReadRepaired.note_if(!behind.is_empty());
        for node in behind {
            let (key, version) = (key.clone(), joined.clone());
            if node == self.options.id {
                self.take(&key, version, out);
            } else {
                send(node, Message::Store { receipt: Receipt::None, key, version }, out);
            }
        }
    }

    /// Ends an operation when its client and all replicas have what they should.
    fn forget_if_done(&mut self, number: u64) {
        let Some(operation) = self.operations.get(&number) else { return };
        if operation.client.is_none() && operation.silent(&self.ring).next().is_none() {
            self.operations.remove(&number);
        }
    }

    /// Asks the silent again, and gives those up that have had their time.
    pub(super) fn retry_operations(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let due = self.operations.iter().filter(|(_, operation)| operation.deadline() <= now);
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            let Some(operation) = self.operations.get_mut(&number) else { continue };
            if operation.ends_at <= now {
                self.give_up(now, number, out);
                continue;
            }
            operation.again_at = now + self.options.timing.heartbeat * 2;
            self.turn_to_replicas(number, out);
            if self.options.leaderless.sloppy {
                self.turn_to_stand_ins(now, number, out);
            }
            self.settle(number, out);
        }
    }

    /// Ends an operation whose replicas have not all answered: what they were to hold is kept for
    /// them. A client that still waits is told nothing, because nobody knows what will become of it.
    fn give_up(&mut self, now: Time, number: u64, out: &mut Vec<Output<Self>>) {
        let Some(operation) = self.operations.remove(&number) else { return };
        let Phase::Tell { version, .. } = &operation.phase else { return };
        let silent: Vec<NodeId> = operation.silent(&self.ring).collect();
        for node in silent {
            self.keep(now, node, &operation.key, version.clone(), out);
        }
    }
}

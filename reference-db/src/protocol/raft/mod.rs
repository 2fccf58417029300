//! Consensus: every change goes through one log that a majority agrees on.
//!
//! Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014; *Raft*
//! below), and Ongaro, "Consensus: Bridging Theory and Practice" (2014; *the dissertation*).
//!
//! [`core`] is Raft without a state machine, in parts: [`log`] in memory, elections, replication,
//! snapshots, the [`members`], and the [`message`]s. [`Raft`] here puts the key-value state on top of it: it
//! applies what is committed, answers clients, forwards what reaches a follower, and reads.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Status, Time};
use crate::kv::{Command, Kv, ReadLevel, Reply};
use crate::protocol::pending::{Ahead, AheadReads, Pending};
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

pub mod core;
mod election;
pub mod log;
pub mod members;
pub mod message;
pub(super) mod read_index;
mod replication;
mod snapshot;

use self::core::{Act, Core};
use self::members::Change as MembersChange;
use self::read_index::{Read, Reads};

pub use self::read_index::READS_MAX;
pub use self::replication::{BATCH_MAX, IN_FLIGHT_MAX, UNCOMMITTED_MAX};

/// What an entry of the log carries: a request, as its client made it.
pub type Change = Request;

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// From one member's [`Core`] to another's.
    Core(message::Message<Change, Kv>),
    /// A request that reached a node that does not lead.
    Forward {
        /// Where the answer goes.
        origin: Origin,
        /// What is asked.
        request: Request,
    },
}

/// One node of the mode `raft`.
#[derive(Debug)]
pub struct Raft {
    options: Options,
    core: Core<Change, Kv>,
    kv: Kv,
    applied: u64,
    pending: Pending,
    reads: Reads,
    ahead: AheadReads,
}

impl Protocol for Raft {
    type Message = Message;
    type Record = message::Record<Change>;
    type Snapshot = message::Snapshot<Change, Kv>;

    fn recover(
        options: Options,
        recovered: Recovered<Self::Snapshot, Self::Record>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let core = Core::recover(&options, recovered, random, now);
        let mut raft = Raft {
            options,
            core,
            kv: Kv::default(),
            applied: 0,
            pending: Pending::default(),
            reads: Reads::default(),
            ahead: AheadReads::default(),
        };
        raft.adopt_installed();
        raft
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        match input {
            Input::Timer => {
                let committed = self.core.committed();
                self.reads.begin(&mut self.core, now, committed);
                self.core.on_timer(now);
            }
            Input::Message { from, message: Message::Core(message) } => {
                self.core.on_message(now, from, message);
            }
            Input::Message { message: Message::Forward { origin, request }, .. } => {
                self.on_request(now, origin, request, None, out);
            }
            Input::Request { from, request, .. } => {
                let origin = Origin { node: self.options.id, client: from };
                let leader = self.core.leader();
                self.on_request(now, origin, request, leader, out);
            }
        }
        self.settle(now, out);
    }

    fn deadline(&self) -> Time {
        self.core.deadline()
    }

    fn status(&self) -> Status {
        Status {
            role: self.core.role(),
            term: self.core.term(),
            last: self.core.log().last().index,
            committed: self.core.committed(),
            applied: self.applied,
            restoring: self.core.is_restoring(),
        }
    }
}

impl Raft {
    /// The node's part in Raft, for whoever wants to look at its log.
    pub fn core(&self) -> &Core<Change, Kv> {
        &self.core
    }

    /// The state after all entries that are applied.
    pub fn kv(&self) -> &Kv {
        &self.kv
    }

    /// Takes a request, and passes it on to `leader` where it can do nothing itself. A request
    /// that was passed on already is not passed on again: two nodes that each take the other for
    /// the leader would do nothing else.
    fn on_request(
        &mut self,
        now: Time,
        origin: Origin,
        request: Request,
        leader: Option<NodeId>,
        out: &mut Vec<Output<Self>>,
    ) {
        let sequence = request.sequence;
        let seen = request.seen;
        if let Command::Read { key, level: ReadLevel::Replica } = request.command {
            let until = now + self.options.timing.election;
            self.ahead.add(Ahead { origin, sequence, key, seen, until });
        } else if self.core.is_leader() {
            self.lead(now, origin, request, out);
        } else if let Some(leader) = leader {
            out.push(Output::Send { to: leader, message: Message::Forward { origin, request } });
        } else {
            let reply = Reply::NotLeader;
            out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
        }
    }

    /// Takes on a request as the leader. One too many is dropped, as the network might have done.
    fn lead(&mut self, now: Time, origin: Origin, request: Request, out: &mut Vec<Output<Self>>) {
        let sequence = request.sequence;
        let change = match request.command {
            Command::Admit { node } => Some(self.core.admit(now, node)),
            Command::Dismiss { node } => Some(self.core.dismiss(now, node)),
            Command::OpenSession
            | Command::Read { .. }
            | Command::Write { .. }
            | Command::Cas { .. }
            | Command::Delete { .. } => None,
        };
        if let Some(change) = change {
            let reply = match change {
                MembersChange::Begun(at) => return self.pending.add(at, origin, sequence),
                MembersChange::Already => Reply::Done,
                MembersChange::NotNow => Reply::NotLeader,
                MembersChange::Never => Reply::Unsupported,
            };
            out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
            return;
        }
        if let Command::Read { key, .. } = request.command {
            self.reads.add(Read { origin, sequence, key });
            return;
        }
        let Some(at) = self.core.propose(now, request) else { return };
        self.pending.add(at, origin, sequence);
    }

    /// Does what follows from the core's new state.
    fn settle(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        self.adopt_installed();
        self.core.promote(now, |_| true);
        self.act(out);
        self.apply_committed(out);
        if self.applied >= self.core.imaged() + self.options.snapshot_entries.max(1) {
            let spare = self.options.snapshot_entries / 2;
            self.core.compact(self.applied, self.kv.clone(), spare);
            self.act(out);
        }
        self.answer_reads(now, out);
    }

    /// Passes on what the core wants done.
    fn act(&mut self, out: &mut Vec<Output<Self>>) {
        out.extend(self.core.acts().map(|act| match act {
            Act::Persist(record) => Output::Persist(record),
            Act::Snapshot(snapshot) => Output::Snapshot(snapshot),
            Act::Send(to, message) => Output::Send { to, message: Message::Core(message) },
        }));
    }

    fn adopt_installed(&mut self) {
        if let Some(image) = self.core.take_installed() {
            self.kv = image.state.clone();
            self.applied = image.last.index;
        }
    }

    fn apply_committed(&mut self, out: &mut Vec<Output<Self>>) {
        while let Some(entry) = self.core.committed_entry(self.applied + 1) {
            self.applied += 1;
            let reply = match &entry.command {
                Some(change) => self.kv.apply(entry.at.index, change, self.options.sessions_max),
                None => entry.members.is_some().then_some(Reply::Done),
            };
            if let Some((to, sequence)) = self.pending.take(entry.at)
                && let Some(reply) = reply
            {
                let position = self.applied;
                out.push(Output::Reply { to, sequence, reply, position });
            }
        }
    }

    fn answer_reads(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let (kv, applied) = (&self.kv, self.applied);
        self.ahead
            .answer(now, out, |read| (read.seen <= applied).then(|| (kv.read(&read.key), applied)));
        let leads = self.core.is_leader();
        self.reads.answer(now, &mut self.core, leads, (kv, applied, applied), out);
    }
}

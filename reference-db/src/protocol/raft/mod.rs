//! Consensus: every change goes through one log that a majority agrees on.
//!
//! Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014; *Raft*
//! below), and Ongaro, "Consensus: Bridging Theory and Practice" (2014; *the dissertation*).
//!
//! [`core`] is Raft without a state machine, in parts: [`log`] in memory, elections, replication,
//! snapshots, the [`members`], and the [`message`]s. [`Raft`] here puts the key-value state on top of
//! it: it applies what is committed, answers clients, forwards what reaches a follower, and reads: as
//! [`StrongReads`] says. [`lease`] says what reads under a lease count on.
//!
//! Changes are linearizable, and so are strong reads but for [`StrongReads::Stale`]; a change of a session is made
//! once, however often it is sent. A client is answered when its change is applied, and not before. Were it answered
//! when the leader has it: leader 1 of 1, 2 and 3 answers and is cut off, 2 and 3 elect 2, and what was
//! acknowledged is gone. And sessions are part of the state ([`Kv`]). Were they the leader's: 1 commits a change and
//! goes down before it answers, the client sends it to 2, which knows nothing of it, and it is made twice.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Status, Time};
use crate::kv::{Command, Kv, ReadLevel, Reply};
use crate::mark::Mark;
use crate::protocol::pending::{Ahead, AheadReads, Pending};
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

pub mod core;
mod election;
mod follower_reads;
pub mod lease;
pub mod log;
pub mod members;
pub mod message;
pub(super) mod read_index;
mod replication;
mod snapshot;
mod transfer;
pub mod wishes;

use self::core::Core;
use self::follower_reads::FollowerReads;
use self::lease::Lease;
use self::read_index::{Read, Reads};
use self::transfer::{Progress, Transfer};
use self::wishes::{Dismissal, Wishes};

pub use self::follower_reads::Ticket;
pub use self::read_index::READS_MAX;
pub use self::replication::{BATCH_MAX, IN_FLIGHT_MAX, UNCOMMITTED_MAX};

/// What an entry of the log carries: a request, as its client made it.
pub type Change = Request;

/// How strong reads are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrongReads {
    /// By the leader, when a majority has said that it still led when the read came.
    #[default]
    ReadIndex,
    /// By the leader at once, while its [lease](lease) runs.
    Lease,
    /// By the node that is asked, when its state has all that the leader had committed.
    Follower,
    /// By the node that is asked, at once: what it holds may be old.
    Stale,
}

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
    /// Asks the leader how far a node's state has to be for a read.
    AskIndex {
        /// Which question it is.
        ticket: Ticket,
    },
    /// Answers [`Message::AskIndex`].
    Index {
        /// The question.
        ticket: Ticket,
        /// The last index that must be applied.
        index: u64,
    },
}

/// Who waits for a round: it shows that the leader still leads.
#[derive(Clone, Debug)]
enum Asker {
    /// A client that reads here.
    Client(Read),
    /// A node at which a client reads.
    Node(NodeId, Ticket),
}

/// One node of the mode `raft`.
#[derive(Clone, Debug)]
pub struct Raft {
    options: Options,
    core: Core<Change, Kv>,
    kv: Kv,
    applied: u64,
    pending: Pending,
    reads: Reads<Asker>,
    ahead: AheadReads,
    lease: Lease,
    follower_reads: FollowerReads,
    transfer: Option<Transfer>,
    wishes: Wishes,
}

impl Protocol for Raft {
    type Message = Message;
    type Record = message::Record<Change>;
    type Snapshot = message::Snapshot<Change, Kv>;

    fn recover(
        options: Options,
        recovered: Recovered<Self::Snapshot, Self::Record>,
        mut random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let start = match options.strong_reads {
            StrongReads::Follower => random.next_u64(),
            StrongReads::ReadIndex | StrongReads::Lease | StrongReads::Stale => 0,
        };
        let core = Core::recover(&options, recovered, random, now);
        let mut raft = Raft {
            options,
            core,
            kv: Kv::default(),
            applied: 0,
            pending: Pending::default(),
            reads: Reads::default(),
            ahead: AheadReads::default(),
            lease: Lease::default(),
            follower_reads: FollowerReads::new(start),
            transfer: None,
            wishes: Wishes::default(),
        };
        raft.adopt_installed();
        raft
    }

    fn reseed(&mut self, random: ChaCha8Rng) {
        self.core.reseed(random);
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        match input {
            Input::Timer => {
                self.begin_round(now);
                self.core.on_timer(now);
            }
            Input::Message { from, message: Message::Core(message) } => {
                self.core.on_message(now, from, message);
            }
            Input::Message { message: Message::Forward { origin, request }, .. } => {
                self.on_request(now, origin, request, None, out);
            }
            Input::Message { from, message: Message::AskIndex { ticket } } => {
                if self.core.is_leader() {
                    self.reads.add(Asker::Node(from, ticket));
                }
            }
            Input::Message { message: Message::Index { ticket, index }, .. } => {
                self.follower_reads.tell(ticket, index);
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
        self.core.deadline().min(self.follower_reads.deadline())
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
        let reads = self.options.strong_reads;
        let until = now + self.options.timing.election;
        match (request.command, leader) {
            (Command::Read { key, level }, _)
                if level == ReadLevel::Replica || reads == StrongReads::Stale =>
            {
                self.ahead.add(Ahead { origin, sequence, key, seen, until });
            }
            (command, _) if self.core.is_leader() => {
                self.lead(now, origin, Request { command, ..request }, out);
            }
            (Command::Read { key, .. }, Some(leader)) if reads == StrongReads::Follower => {
                let ticket = self.follower_reads.add(Read { origin, sequence, key }, until);
                out.push(Output::Send { to: leader, message: Message::AskIndex { ticket } });
            }
            (command, Some(to)) => {
                let request = Request { command, ..request };
                out.push(Output::Send { to, message: Message::Forward { origin, request } });
            }
            (_, None) => out.push(turned_down(origin, sequence)),
        }
    }

    /// Takes on a request as the leader. One too many is dropped, as the network might have done.
    fn lead(&mut self, now: Time, origin: Origin, request: Request, out: &mut Vec<Output<Self>>) {
        let sequence = request.sequence;
        match request.command {
            Command::Read { key, .. } if self.has_lease(now) => {
                Mark::LeaseTrusted.note();
                let (reply, position) = (self.kv.read(&key), self.applied);
                out.push(Output::Reply { to: origin, sequence, reply, position });
            }
            Command::Read { key, .. } => {
                self.reads.add(Asker::Client(Read { origin, sequence, key }));
            }
            Command::Transfer { to } => self.begin_transfer(now, origin, sequence, to, out),
            Command::Admit { .. } | Command::Dismiss { .. } => {
                self.wishes.add(now, &self.options.timing, origin, &request);
            }
            // It would be one more thing for the next leader to catch up with.
            _ if self.transfer.is_some() || self.wishes.hands_over(now, &self.core) => {
                out.push(turned_down(origin, sequence))
            }
            _ => {
                let Some(at) = self.core.propose(now, request) else { return };
                self.pending.add(at, origin, sequence);
            }
        }
    }

    /// Whether the leader may answer reads without asking whether it leads. Its state then has all that
    /// was acknowledged: what is committed is applied before anything else is taken.
    fn has_lease(&mut self, now: Time) -> bool {
        self.options.strong_reads == StrongReads::Lease
            && self.lease.runs(now, &self.core, &self.options.timing)
    }

    /// Begins a round where reads wait for one, or the lease is to be renewed.
    fn begin_round(&mut self, now: Time) {
        let committed = self.core.committed();
        let mut begun = self.reads.begin(&mut self.core, now, committed);
        if self.options.strong_reads != StrongReads::Lease {
            return;
        }
        if begun.is_none() && self.lease.is_due(now, &self.core, &self.options.timing) {
            begun = self.core.begin_round(now);
        }
        if let Some(round) = begun {
            self.lease.ask(now, &self.core, round);
        }
    }

    fn begin_transfer(
        &mut self,
        now: Time,
        origin: Origin,
        sequence: u64,
        to: NodeId,
        out: &mut Vec<Output<Self>>,
    ) {
        let own = to == self.options.id;
        // One that takes no part could not be elected, and its operator would wait in vain.
        if own || self.core.members().get(to).is_none() {
            let reply = if own { Reply::Done } else { Reply::NoSuchNode };
            out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
            return;
        }
        let (term, timing) = (self.core.term(), &self.options.timing);
        self.transfer = Some(Transfer::new(to, (origin, sequence), term, now, timing));
    }

    /// Goes on with a transfer, and answers who wanted it when the other node leads. Whoever is not
    /// answered asks again.
    fn go_on_with_transfer(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let Some(transfer) = &mut self.transfer else { return };
        let progress = transfer.go_on(now, &mut self.core);
        if progress == Progress::Done {
            let (to, sequence) = transfer.wanted_by;
            out.push(Output::Reply { to, sequence, reply: Reply::Done, position: 0 });
        }
        if progress != Progress::Waits {
            self.transfer = None;
        }
    }

    /// Does what follows from the core's new state.
    fn settle(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        self.adopt_installed();
        self.go_on_with_transfer(now, out);
        self.core.promote(now, |node| !self.wishes.is_to_go(node));
        self.wishes.go_on(now, &mut self.core, |_| Dismissal::Now, out);
        self.core.pass_on(out, Message::Core);
        self.apply_committed(out);
        if self.applied >= self.core.imaged() + self.options.snapshot_entries.max(1) {
            let spare = self.options.snapshot_entries / 2;
            self.core.compact(self.applied, self.kv.clone(), spare);
            self.core.pass_on(out, Message::Core);
        }
        self.answer_reads(now, out);
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
            let sessions_max = self.options.sessions_max;
            let apply = |change| self.kv.apply(entry.at.index, change, sessions_max);
            let reply = entry.command.as_deref().and_then(apply);
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
        self.follower_reads.answer(now, (kv, applied), out);
        if !self.core.is_leader() {
            // A read leaves nothing behind, so this is the truth even if the node had begun. A node that
            // waits for an index turns its clients down by itself.
            out.extend(self.reads.take_all().into_iter().filter_map(|asker| match asker {
                Asker::Client(read) => Some(turned_down(read.origin, read.sequence)),
                Asker::Node(..) => None,
            }));
            return;
        }
        for (index, asker) in self.reads.take_ready(self.core.confirmed_round(), applied) {
            out.push(match asker {
                Asker::Client(Read { origin: to, sequence, key }) => {
                    Output::Reply { to, sequence, reply: kv.read(&key), position: applied }
                }
                Asker::Node(to, ticket) => {
                    Output::Send { to, message: Message::Index { ticket, index } }
                }
            });
        }
        self.reads.hurry(now, &mut self.core);
    }
}

fn turned_down(to: Origin, sequence: u64) -> Output<Raft> {
    Output::Reply { to, sequence, reply: Reply::NotLeader, position: 0 }
}

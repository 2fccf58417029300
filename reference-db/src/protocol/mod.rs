//! Replication protocols as state machines without I/O: a folder a mode.
//!
//! A protocol is told the time and what happened, and answers with a list of things to do. "Persist
//! before send" is the order of that list, and a test of it is a function call.
//!
//! What would break every mode is a message that overtakes the disk: node 2 tells node 1 that it has a
//! change, loses power before the change is durable, and starts again without it; 1 counts two copies
//! where there is one, acknowledges, and loses its own disk.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::{ClientId, NodeId, Status, Time};
use crate::kv::Reply;
use crate::wire::Request;

pub mod leaderless;
pub mod multi_leader;
mod pending;
pub mod primary;
pub mod raft;

/// A replication mode: one node's part of it.
pub trait Protocol: Sized + 'static {
    /// What nodes tell each other.
    type Message: Serialize + DeserializeOwned + Clone + std::fmt::Debug;
    /// What is added to the durable log, one at a time.
    type Record: Serialize + DeserializeOwned + Clone + std::fmt::Debug;
    /// What replaces all earlier records.
    type Snapshot: Serialize + DeserializeOwned + Clone + std::fmt::Debug;

    /// Starts a node from what its disk holds: the last snapshot that became durable, and the
    /// records after it, in order. Both are empty at the first start.
    fn recover(
        options: Options,
        recovered: Recovered<Self::Snapshot, Self::Record>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self;

    /// Takes other random numbers from now on. What was drawn stays as it is.
    fn reseed(&mut self, random: ChaCha8Rng);

    /// Takes one input and appends to `out` what is to be done about it, in order.
    fn step(&mut self, now: Time, input: Input<Self::Message>, out: &mut Vec<Output<Self>>);

    /// When the node wants [`Input::Timer`] at the latest.
    fn deadline(&self) -> Time;

    /// What the node takes itself for.
    fn status(&self) -> Status;
}

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's number.
    pub id: NodeId,
    /// All nodes that the node can talk to, itself included, in order.
    pub nodes: Vec<NodeId>,
    /// Those of them that the cluster does not begin with, and that may be let in later.
    pub spares: Vec<NodeId>,
    /// Whether the cluster existed before the node's disk, so that an empty one has lost what it had.
    pub restored: bool,
    /// How long it waits for what.
    pub timing: Timing,
    /// How many log entries it keeps before it takes a snapshot of its state.
    pub snapshot_entries: u64,
    /// How many client sessions it remembers; the one that was silent longest goes first.
    pub sessions_max: usize,
    /// Who must have a change before it counts, where a primary decides that.
    pub acknowledge: primary::Acknowledge,
    /// How strong reads are answered, where the log of all changes is Raft's.
    pub strong_reads: raft::StrongReads,
    /// How many nodes take part in what, where no leader does.
    pub leaderless: leaderless::Settings,
    /// Which regions there are, where each has a leader.
    pub multi_leader: multi_leader::Settings,
}

impl Options {
    /// The nodes that the cluster begins with, in order.
    pub fn founders(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied().filter(|node| !self.spares.contains(node))
    }
}

/// How long a node waits for what. The same for every node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader that has nothing to say shows that it lives.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower looks for another leader. It draws from this to
    /// twice this.
    pub election: Duration,
}

/// What a disk held at a start.
#[derive(Clone, Debug)]
pub struct Recovered<S, R> {
    /// The last snapshot that became durable.
    pub snapshot: Option<S>,
    /// The records after it, in order.
    pub records: Vec<R>,
}

impl<S, R> Default for Recovered<S, R> {
    fn default() -> Self {
        Recovered { snapshot: None, records: Vec::new() }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// Its [deadline](Protocol::deadline) has passed.
    Timer,
    /// Another node has sent something.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: M,
    },
    /// A client of this node asks for something.
    Request {
        /// Where the answer goes.
        from: ClientId,
        /// What is asked.
        request: Request,
        /// What the node's wall clock showed: nanoseconds since 1970.
        wall: u64,
    },
}

/// What a node is to do. The shell does these in order; before the first `Send` or `Reply` that
/// follows a `Persist` or `Snapshot`, it makes that one durable.
#[derive(Clone, Debug)]
pub enum Output<P: Protocol> {
    /// Add a record to the durable log.
    Persist(P::Record),
    /// Replace all that was persisted before by this snapshot.
    Snapshot(P::Snapshot),
    /// Tell another node something.
    Send {
        /// Who is told.
        to: NodeId,
        /// What.
        message: P::Message,
    },
    /// Answer a client.
    Reply {
        /// Who asked, and through which node.
        to: Origin,
        /// The request that is answered.
        sequence: u64,
        /// The answer.
        reply: Reply,
        /// How far in the order of the mode the answer goes; 0 where it says nothing about it.
        position: u64,
    },
    /// Stop for good, and do nothing else of what was wanted at once: what the node was told cannot be.
    Stop(Contradiction),
}

/// Two changes of which both are said to be agreed on, and only one can be.
///
/// Raft keeps this from happening as long as what was persisted stays persisted. It takes disks that have forgotten what they
/// had said they keep, of so many nodes that nobody else knows either, or a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its log is agreed on up to entry {agreed}, and it was sent another entry {index}, of term {term}: some disks have \
     forgotten what they had kept; restore the node from its peers, once it is known which of them is right"
)]
pub struct Contradiction {
    /// How much of its log the node knows to be agreed on.
    pub agreed: u64,
    /// Where the other entry is to stand.
    pub index: u64,
    /// The term of that one.
    pub term: u64,
}

/// Where a request came into the cluster, and so where its answer leaves it. A node that answers
/// for another node's client sends the answer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node that the client is talking to.
    pub node: NodeId,
    /// The client, as that node knows it.
    pub client: ClientId,
}

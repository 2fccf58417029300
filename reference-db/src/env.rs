//! The seam: all that a node or a client of this store can see of the world.
//!
//! The shell in [`crate::server`] and the client library in [`crate::client`] are written against
//! these traits, and nothing else. Two worlds implement them: real sockets, files and clocks
//! ([`crate::real`]), and a simulation, which lives with whoever simulates.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::mark::Mark;

/// A moment on a node's own monotonic clock, in nanoseconds from an arbitrary start.
///
/// Moments of two nodes, or of one node before and after a restart, cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Further away than any deadline.
    pub const NEVER: Time = Time(u64::MAX);

    /// Time from `earlier` to this moment; zero where `earlier` is the later one.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, rhs: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The number of a member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The number by which a node reaches a client: unique in a simulation, one a connection in the
/// real world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// Who sent a message, or who is to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// A member of the cluster.
    Node(NodeId),
    /// A client.
    Client(ClientId),
}

/// What a node reports of itself for people and faults to see. The store does not act on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What the node takes itself for.
    pub role: Role,
    /// The term or epoch in which it does.
    pub term: u64,
    /// The last position of its log.
    pub last: u64,
    /// The last position that it knows to be committed.
    pub committed: u64,
    /// The last position that its state reflects.
    pub applied: u64,
    /// Whether its disk was lost, and it does not count as a full member yet.
    pub restoring: bool,
}

/// What a node takes itself for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It follows a leader, or waits for one.
    #[default]
    Follower,
    /// It asks for votes, or has been elected and may not lead yet.
    Candidate,
    /// It leads.
    Leader,
}

/// What a node may do at any time, and seldom does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Whim {
    /// To keep few log entries before it takes a snapshot. Decided at a start.
    ForgetSoon,
    /// To take one message at a time.
    TakeOne,
    /// To let what has arrived, or is due, wait for more.
    WaitForMore,
    /// To pause between making a change durable and telling anybody.
    AnswerLate,
}

impl Whim {
    /// The name by which it is shown: `answer-late`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A node's view of the world.
///
/// Handles are cheap to clone and all refer to the same node. Nothing here is `Send`: a node is
/// single-threaded.
pub trait Env: Clone + 'static {
    /// The node's disk.
    type Disk: Disk;

    /// The node's number.
    fn id(&self) -> NodeId;

    /// All members of the cluster, this one included, in order.
    fn nodes(&self) -> Vec<NodeId>;

    /// The nodes that the cluster does not begin with, and that may be let in later.
    fn spares(&self) -> Vec<NodeId>;

    /// Whether the operator says that the cluster existed before the node's disk: an empty one is then
    /// not that of a node that the cluster begins with, but of one that has lost what it had.
    fn restored(&self) -> bool;

    /// The node's own monotonic clock.
    fn now(&self) -> Time;

    /// The node's wall clock: nanoseconds since 1970, as far as it knows. It may be wrong, and it may
    /// jump.
    fn wall(&self) -> u64;

    /// Waits until the node's clock shows `at` or later.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()>;

    /// Sends a message and forgets it. It may be lost, delivered twice, or overtake another.
    fn send(&self, to: Address, bytes: Vec<u8>);

    /// Waits for the next message.
    fn recv(&self) -> impl Future<Output = (Address, Vec<u8>)>;

    /// The next message, if one has arrived already.
    fn try_recv(&self) -> Option<(Address, Vec<u8>)>;

    /// Random numbers for one purpose, different for every node and every start of it.
    fn random(&self, purpose: &str) -> ChaCha8Rng;

    /// How often the node's random numbers were replaced since it started: it then asks for them anew. Only a
    /// simulation does that.
    fn reseeded(&self) -> u32 {
        0
    }

    /// The node's disk.
    fn disk(&self) -> &Self::Disk;

    /// Shows what the node takes itself for, whenever that has changed.
    fn observe(&self, status: Status);

    /// Shows that the node has decided what to answer a client that asked under this number. The answer leaves later, by
    /// way of another node perhaps, and what the node takes up in between has no part in it. Whoever does not explain it
    /// need not know.
    fn decided(&self, client: ClientId, sequence: u64) {
        let _ = (client, sequence);
    }

    /// Shows that the node has got into a rare state. Whoever does not test it need not know.
    fn reached(&self, mark: Mark) {
        let _ = mark;
    }

    /// Whether the node is to do now what it may do at any time and seldom does: to be late, or sparing. A
    /// simulation says so at times, so that what comes of it is tested; nobody else ever does. FoundationDB
    /// calls this buggify.
    fn maybe(&self, whim: Whim) -> bool {
        let _ = whim;
        false
    }
}

/// A client's view of the world.
pub trait ClientEnv: 'static {
    /// The members of the cluster that the client may address, in order.
    fn nodes(&self) -> Vec<NodeId>;

    /// The client's own monotonic clock.
    fn now(&self) -> Time;

    /// Waits until the client's clock shows `at` or later.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()>;

    /// Sends a message and forgets it. It may be lost, delivered twice, or overtake another.
    fn send(&self, to: NodeId, bytes: Vec<u8>);

    /// Waits for the next message.
    fn recv(&self) -> impl Future<Output = (NodeId, Vec<u8>)>;
}

/// One flat folder of files that belong to a node.
///
/// What was written but not [synced](Disk::sync) may be gone, whole or in part, after a power loss.
/// A new name, a rename or a removal lasts only after [`Disk::sync_dir`]. After an error of `sync`
/// nothing is known about what was written since the last sync that succeeded.
///
/// Every method returns the error of the operating system, or one that a simulation injects.
pub trait Disk: Clone + 'static {
    /// The names of all files, in order.
    fn list(&self) -> impl Future<Output = io::Result<Vec<String>>>;

    /// A file's whole content; an error of kind `NotFound` where there is no such file.
    fn read(&self, file: &str) -> impl Future<Output = io::Result<Vec<u8>>>;

    /// Adds to the end of a file, which comes into being where there is none.
    fn append(&self, file: &str, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;

    /// Overwrites a file from `offset` on, in bytes; it grows as needed.
    fn write_at(
        &self,
        file: &str,
        offset: u64,
        bytes: &[u8],
    ) -> impl Future<Output = io::Result<()>>;

    /// Cuts a file to `len` bytes.
    fn truncate(&self, file: &str, len: u64) -> impl Future<Output = io::Result<()>>;

    /// Makes a file's content last.
    fn sync(&self, file: &str) -> impl Future<Output = io::Result<()>>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;

    /// Removes a file's name.
    fn remove(&self, file: &str) -> impl Future<Output = io::Result<()>>;

    /// Makes the names themselves last.
    fn sync_dir(&self) -> impl Future<Output = io::Result<()>>;
}

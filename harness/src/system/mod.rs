//! Systems under test: what one says about itself, its nodes, and its clients.
//!
//! Adding a system is one file here and one line in [`SYSTEMS`]; a system of your own lives in your
//! own crate and goes to [`crate::cli::main`] or [`crate::run::run`] in the same way.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{NodeId, Op, OpKind, Outcome, SessionId};
use serde::{Deserialize, Serialize};

pub use crate::nemesis::Fault;
pub use crate::run::Effect;
pub use crate::sim::{ClientCx, NodeCx, NodeStatus, Role};
pub use crate::trace::Question;

pub(crate) mod reference_db;

/// What a plan says about its system in particular.
pub type Settings = toml::Table;

/// A future that stays on the thread it was made on.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An implementation under test.
///
/// It is shared by all threads of a campaign; what a node or a client holds lives in the futures
/// and boxes that it makes.
pub trait System: Send + Sync {
    /// Takes over what a plan says about the system in particular: its table `settings`. It is called
    /// once, before anything else.
    ///
    /// # Errors
    /// Says which setting is wrong, and what would do. A system that does not override this takes no
    /// settings.
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        match settings.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("`{name}` is no setting of this system, which has none")),
        }
    }

    /// What the system says about itself.
    fn manifest(&self) -> Manifest;

    /// The same in a run in which these nemeses plan faults: some of them may waive a promise, which then
    /// is one that the system says it breaks, or says nothing about. A system that promises the same
    /// whatever happens does not override this.
    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        let _ = nemeses;
        self.manifest()
    }

    /// Which of these promises are not made for what a fault did, if any: to a cluster of so many members, where it took
    /// disks, or else one that began with so many nodes.
    ///
    /// It is asked of the faults that a plan names one by one, when a run is over: those that nemeses draw stay within
    /// what is promised, and those of a kind that [`System::manifest_under`] waives need not be told here. A
    /// violation of such a promise is an allowed loss. A system that promises the same whatever one fault does to it
    /// does not override this.
    fn exceeded_by(&self, fault: &Fault, effect: &Effect, nodes: u32) -> Option<Excess> {
        let _ = (fault, effect, nodes);
        None
    }

    /// Runs one node. Called at the first start and after every restart, with the same disk.
    ///
    /// The future ends only where the node cannot go on; what it returns is the reason, and the
    /// node stays down until a fault restarts it. Dropping the future is the crash.
    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String>;

    /// Makes one client of the cluster.
    fn client(&self, cx: ClientCx) -> Box<dyn Client>;

    /// The program that plays each run of the system in a process of its own, where what a library keeps for a
    /// whole process would make a run depend on those before it. Its `main` is [`crate::cli::main`] with a table
    /// that has the system under the name in its manifest; mostly it is [`std::env::current_exe`], and in a test
    /// the `CARGO_BIN_EXE_` of it. All that makes the system what it is must be in the settings of the plan.
    ///
    /// A system whose runs leave nothing behind does not override this.
    fn program(&self) -> Option<PathBuf> {
        None
    }

    /// Whether its nodes, clients or operator ever wait by `tokio::time`, instead of by their contexts alone.
    ///
    /// The engine `event` then asks tokio for its timers whenever time passes a whole millisecond, which costs
    /// a sixth of a run. Of a system that answers `false`, whoever asks tokio for a timer all the same
    /// panics there: better no timer than one that ends at the wrong time.
    fn waits_by_tokio(&self) -> bool {
        true
    }

    /// Whether at most one node at a time is to lead. Where each of several groups has a leader of its own, that
    /// another node leads as well is nothing to be told.
    fn has_one_leader(&self) -> bool {
        true
    }

    /// Whether any majority of so many nodes, or of fewer, goes on and converges without the others, who never come
    /// back. Where that is so, runs that draw everything leave a minority away at times when the other faults are
    /// over.
    fn majority_suffices(&self, _nodes: u32) -> bool {
        false
    }

    /// The rare states that its nodes [say](NodeCx::reached) they get into. A campaign tells which of them no
    /// run has reached: that is what it has not tested.
    fn marks(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// What one of these is: what a node does, or what happens to it, in words that follow its name. Nothing where the
    /// name says it all.
    fn mark_in_words(&self, mark: &str) -> Option<&'static str> {
        let _ = mark;
        None
    }

    /// The names that messages of its nodes and clients go by. Faults may wait for one of them, and traces show
    /// them.
    fn message_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Which of these a message goes by; nothing for what has no name.
    fn message_name(&self, bytes: &[u8]) -> Option<&'static str> {
        let _ = bytes;
        None
    }

    /// Which question of a client a message asks, passes on from one node to another, or answers; nothing for other messages,
    /// or where that cannot be told: then stories of failures say of more nodes that they can have known of a request. The
    /// client is given where the message is from one or to one.
    fn question(&self, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
        let _ = (bytes, client);
        None
    }

    /// Whether nodes can be added to the cluster and removed from it while it runs, and how few must stay.
    /// Where they can, [`System::operator`] makes the one who does it; the nemesis `membership` is
    /// refused for other systems, which do not override this.
    fn membership(&self) -> Option<Membership> {
        None
    }

    /// Makes the operator of a cluster whose members change. Its nodes are then told which of them are
    /// [spare](NodeCx::spares).
    fn operator(&self, cx: ClientCx) -> Option<Box<dyn Operator>> {
        let _ = cx;
        None
    }
}

/// How the members of a system's clusters change while they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Over how many groups the nodes are spread, in turn: node *i* is in group *i - 1* modulo their
    /// number. One where there are no groups.
    pub groups: u32,
    /// How many members of each group must stay, or as many as it began with where that were fewer.
    pub least: u32,
}

/// Who changes the members of a cluster, as the system has it done.
pub trait Operator {
    /// Adds a node; whether it is certain that it takes part now and has what the others have. It is
    /// asked again until it is.
    fn admit(&mut self, node: NodeId) -> LocalBoxFuture<'_, bool>;

    /// Removes a node; whether it is certain that it takes no part any more. It is asked again until it
    /// is. A node that was removed is left running with its disk, and may be added again.
    fn dismiss(&mut self, node: NodeId) -> LocalBoxFuture<'_, bool>;
}

/// A client of the system under test: all that a workload sees of it.
pub trait Client {
    /// Does one operation.
    ///
    /// It answers [`Outcome::Fail`] only where it can prove that the operation did not take effect
    /// and never will; whatever else goes wrong is [`Outcome::Info`]. An answer that takes longer
    /// than the plan allows is cut off and counts as `Info`, and [`Client::reset`] is called.
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome>;

    /// Leaves nothing half-read behind after an operation that was cut off.
    fn reset(&mut self) {}
}

/// What a system says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name, in kebab-case; for the reference store, the replication mode.
    pub name: String,
    /// What it is, in one sentence.
    pub about: String,
    /// The fewest and the most nodes that it runs with.
    pub nodes: (u32, u32),
    /// The operations that it offers.
    pub ops: Vec<OpKind>,
    /// What it promises under every fault, or those that [`System::manifest_under`] is about, and what
    /// it does not. Claims are about strong reads; see
    /// the next for replica reads.
    pub claims: Vec<(Guarantee, Claim)>,
    /// Of the claims about sessions, causality and staleness, those that hold for replica reads as
    /// well.
    pub replica_claims: Vec<Guarantee>,
    /// How long it takes.
    pub timing: Timing,
}

impl Manifest {
    /// What the system says about a guarantee, in a run with or without replica reads. Sessions,
    /// causality and staleness are judged by all reads, and few promises cover those.
    pub fn claim(&self, guarantee: Guarantee, replica_reads: bool) -> Claim {
        let said = self.claims.iter().find(|(named, _)| *named == guarantee);
        match (guarantee, said.map_or(Claim::Silent, |(_, claim)| *claim)) {
            (
                Guarantee::ReadYourWrites
                | Guarantee::MonotonicReads
                | Guarantee::MonotonicWrites
                | Guarantee::WritesFollowReads
                | Guarantee::Causal
                | Guarantee::BoundedStaleness,
                Claim::Holds,
            ) if replica_reads && !self.replica_claims.contains(&guarantee) => Claim::Silent,
            // Only what a run was judged by says so.
            (_, Claim::Waived) => Claim::Holds,
            (_, claim) => claim,
        }
    }
}

/// What a system says about one guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// It promises to keep it: a violation is a failure.
    Holds,
    /// It says that it does not keep it: a campaign is to find a witness.
    Breaks,
    /// It says nothing: a violation is shown and fails nothing.
    Silent,
    /// It promises to keep it, but not under what faults did that the plan of this run names: a violation is an allowed
    /// loss. Runs are judged so; no manifest says it.
    Waived,
}

/// Promises that are not made for what a fault did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which.
    pub guarantees: Vec<Guarantee>,
    /// What was too much, and what would not have been: `2 of 3 disks wiped; raft keeps … while …`.
    pub words: String,
}

/// How long a system takes. Virtual time; faults and bounds scale with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From a fault that leaves a quorum connected to the first success after it, at most.
    pub failover: Duration,
    /// From the last write after the last fault to equal replicas, at most.
    pub converge: Duration,
    /// How long a client waits for an answer.
    pub operation: Duration,
}

/// One system in the table.
pub struct Registration {
    /// The name that plans and flags use.
    pub name: &'static str,
    /// Makes the system.
    pub build: fn() -> Box<dyn System>,
}

impl Registration {
    /// Makes the system, as a plan wants it.
    ///
    /// # Errors
    /// As [`System::configure`].
    pub fn configured(&self, settings: &Settings) -> Result<Box<dyn System>, String> {
        let mut system = (self.build)();
        system.configure(settings).map(|()| system)
    }
}

/// Every system there is, in the order `list` shows them.
pub const SYSTEMS: &[Registration] = &[
    Registration { name: "raft", build: reference_db::raft },
    Registration { name: "primary-sync", build: reference_db::primary_sync },
    Registration { name: "primary-semi-sync", build: reference_db::primary_semi_sync },
    Registration { name: "primary-async", build: reference_db::primary_async },
    Registration { name: "multi-leader", build: reference_db::multi_leader::build },
    Registration { name: "leaderless", build: reference_db::leaderless },
    Registration { name: "leaderless-abd", build: reference_db::leaderless_abd },
];

//! Checkers: one file a guarantee, or a family of them.
//!
//! Adding a checker is one file here and one line in [`CHECKERS`].

use std::time::Duration;

use crate::history::History;
use crate::verdict::{Guarantee, Verdict};

mod bank;
pub mod causal;
mod contents;
pub mod convergent;
mod counter;
pub mod durable;
mod echo;
mod findings;
mod keys;
pub mod linearizable;
mod live;
mod log;
mod long_fork;
mod order;
mod queue;
mod session;
mod set;
pub mod staleness;
mod txn;
mod unique_ids;
mod words;

pub use bank::Bank;
pub use causal::Causal;
pub use convergent::Convergent;
pub use counter::Counter;
pub use durable::Durable;
pub use echo::Echo;
pub use keys::Model;
pub use linearizable::Linearizable;
pub use live::Live;
pub use log::Log;
pub use long_fork::LongFork;
pub use queue::Queue;
pub use session::{MonotonicReads, MonotonicWrites, ReadYourWrites, WritesFollowReads};
pub use set::Set;
pub use staleness::BoundedStaleness;
pub use txn::{Level, ListAppend};
pub use unique_ids::UniqueIds;

/// Judges one guarantee.
pub trait Checker: Sync {
    /// Holds a history against the guarantee.
    fn check(&self, history: &History) -> Verdict;
}

/// How far checkers may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many states a search may visit in one history. Past that its verdict is unknown. States
    /// are counted, not seconds, so that a slow machine says the same.
    pub states_max: u64,
    /// How many bytes the search of one key may use to remember what it has visited. Past that, too,
    /// its verdict is unknown.
    pub search_bytes_max: u64,
    /// How far a read may be behind in time; none claims no bound.
    pub staleness_max: Option<Duration>,
    /// How many acknowledged writes a read may miss; none claims no bound.
    pub versions_behind_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            states_max: 20_000_000,
            search_bytes_max: 2 << 30,
            staleness_max: None,
            versions_behind_max: None,
        }
    }
}

impl Limits {
    /// Whether a bound of staleness is claimed.
    pub fn bounds_staleness(&self) -> bool {
        self.staleness_max.is_some() || self.versions_behind_max.is_some()
    }
}

/// One checker in the table.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// What it judges; also its name.
    pub guarantee: Guarantee,
    /// How it judges, in one sentence.
    pub about: &'static str,
    /// Makes the checker.
    pub build: fn(&Limits) -> Box<dyn Checker>,
}

/// Every checker there is, in the order of reports.
pub const CHECKERS: &[Registration] = &[
    Registration {
        guarantee: Guarantee::Linearizable,
        about: "for each key, searches for an order of all operations that explains every answer",
        build: |limits| Box::new(Linearizable::new(*limits)),
    },
    Registration {
        guarantee: Guarantee::ReadYourWrites,
        about: "finds reads that return something older than a write of the same session",
        build: |_| Box::new(session::ReadYourWrites),
    },
    Registration {
        guarantee: Guarantee::MonotonicReads,
        about: "finds reads that return something older than what the session had read",
        build: |_| Box::new(session::MonotonicReads),
    },
    Registration {
        guarantee: Guarantee::MonotonicWrites,
        about: "finds who saw a write and then what its session's earlier write had left there, or \
                anything older",
        build: |_| Box::new(session::MonotonicWrites),
    },
    Registration {
        guarantee: Guarantee::WritesFollowReads,
        about: "finds who saw a write and then what its session had read there before, or anything \
                older",
        build: |_| Box::new(session::WritesFollowReads),
    },
    Registration {
        guarantee: Guarantee::Causal,
        about: "builds the causal order and looks for what no causally consistent store shows",
        build: |_| Box::new(Causal::default()),
    },
    Registration {
        guarantee: Guarantee::BoundedStaleness,
        about: "counts the acknowledged writes that each read missed, and for how long",
        build: |limits| Box::new(staleness::BoundedStaleness::new(*limits)),
    },
    Registration {
        guarantee: Guarantee::Durable,
        about: "finds acknowledged writes and additions that no replica shows at the end",
        build: |_| Box::new(Durable),
    },
    Registration {
        guarantee: Guarantee::Convergent,
        about: "compares what every replica holds at the end, and with what was ever written",
        build: |_| Box::new(Convergent),
    },
    Registration {
        guarantee: Guarantee::Live,
        about: "looks for operations that succeed once all faults have been undone",
        build: |_| Box::new(Live),
    },
    Registration {
        guarantee: Guarantee::Set,
        about: "finds elements that a set lost, shows twice, or shows though nobody added them",
        build: |_| Box::new(Set),
    },
    Registration {
        guarantee: Guarantee::Counter,
        about: "finds sums that no increments can have come to, and counters that went back",
        build: |_| Box::new(Counter),
    },
    Registration {
        guarantee: Guarantee::Queue,
        about: "finds values that a queue lost, gave twice, made up, or gave out of order",
        build: |_| Box::new(Queue),
    },
    Registration {
        guarantee: Guarantee::UniqueIds,
        about: "finds values that a generator returned twice",
        build: |_| Box::new(UniqueIds),
    },
    Registration {
        guarantee: Guarantee::Log,
        about: "finds messages that a log lost, has twice or passes over, and offsets that are not kept",
        build: |_| Box::new(Log),
    },
    Registration {
        guarantee: Guarantee::Echo,
        about: "compares what was answered with what was asked",
        build: |_| Box::new(Echo),
    },
    Registration {
        guarantee: Guarantee::Bank,
        about: "compares the total of all accounts in every transaction that reads them all",
        build: |_| Box::new(Bank::default()),
    },
    Registration {
        guarantee: Guarantee::LongFork,
        about: "finds two reads of which each saw a write that the other did not see",
        build: |_| Box::new(LongFork),
    },
    Registration {
        guarantee: Guarantee::ReadCommitted,
        about: "finds reads of lists that show what was not committed, and cycles of dependencies",
        build: |_| Box::new(txn::ListAppend { level: Level::ReadCommitted }),
    },
    Registration {
        guarantee: Guarantee::SnapshotIsolation,
        about: "finds cycles of transactions on lists that no two snapshots explain, and lost updates",
        build: |_| Box::new(txn::ListAppend { level: Level::SnapshotIsolation }),
    },
    Registration {
        guarantee: Guarantee::Serializable,
        about: "finds cycles of transactions on lists that no order of transactions explains",
        build: |_| Box::new(txn::ListAppend { level: Level::Serializable }),
    },
    Registration {
        guarantee: Guarantee::StrictSerializable,
        about: "finds cycles of transactions on lists that no order in real time explains",
        build: |_| Box::new(txn::ListAppend { level: Level::StrictSerializable }),
    },
];

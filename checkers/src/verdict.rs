//! What a checker says: a verdict of three values, and for each violation an anomaly with a name,
//! a witness and an explanation that a person can check by hand.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{FaultId, Key, OperationId, Time, Value};

/// A named property of a store. A replication mode *claims* some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Each operation appears to take effect at one instant between its invocation and completion
    /// (Herlihy and Wing 1990).
    Linearizable,
    /// A session's reads show its own earlier writes, or newer ones (Terry et al. 1994).
    ReadYourWrites,
    /// A session's reads never go back to an older state (Terry et al. 1994).
    MonotonicReads,
    /// A session's writes take effect in their order, for everybody (Terry et al. 1994).
    MonotonicWrites,
    /// What a session writes is newer, for everybody, than what it had read (Terry et al. 1994).
    WritesFollowReads,
    /// Everybody sees causally related writes in their order (Bouajjani et al. 2017).
    Causal,
    /// No read is older than a stated bound, in versions or in time.
    BoundedStaleness,
    /// What was acknowledged is not lost.
    Durable,
    /// Once the faults have stopped, all replicas come to hold the same, and something that was
    /// written.
    Convergent,
    /// Once the faults have stopped, operations succeed again within a bounded time, and no node
    /// panicked or spun.
    Live,
    /// While a majority of the nodes is connected, reads and writes succeed.
    Available,
    /// A set returns what was added, nothing else, and nothing twice.
    Set,
    /// A counter shows what was added to it.
    Counter,
    /// Each value that was put into a queue is taken out once.
    Queue,
    /// No value is handed out twice.
    UniqueIds,
    /// What was sent to a log has one place in it, and whoever polls sees it there.
    Log,
    /// Who asks for an echo is answered what was asked.
    Echo,
    /// Transfers keep the total.
    Bank,
    /// No two readers see two writes in opposite orders.
    LongFork,
    /// Transactions see only what was committed (PL-2, Adya 1999).
    ReadCommitted,
    /// Each transaction reads from one snapshot, and no update is lost (PL-SI, Adya 1999).
    SnapshotIsolation,
    /// Transactions appear to take effect one after the other (PL-3, Adya 1999).
    Serializable,
    /// Serializable, in an order that keeps to real time (Herlihy and Wing 1990).
    StrictSerializable,
}

impl Guarantee {
    /// Every guarantee, in the order of reports.
    pub const ALL: [Guarantee; 23] = [
        Guarantee::Linearizable,
        Guarantee::ReadYourWrites,
        Guarantee::MonotonicReads,
        Guarantee::MonotonicWrites,
        Guarantee::WritesFollowReads,
        Guarantee::Causal,
        Guarantee::BoundedStaleness,
        Guarantee::Durable,
        Guarantee::Convergent,
        Guarantee::Live,
        Guarantee::Available,
        Guarantee::Set,
        Guarantee::Counter,
        Guarantee::Queue,
        Guarantee::UniqueIds,
        Guarantee::Log,
        Guarantee::Echo,
        Guarantee::Bank,
        Guarantee::LongFork,
        Guarantee::ReadCommitted,
        Guarantee::SnapshotIsolation,
        Guarantee::Serializable,
        Guarantee::StrictSerializable,
    ];

    /// The name in files, flags and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Guarantee::Linearizable => "linearizable",
            Guarantee::ReadYourWrites => "read-your-writes",
            Guarantee::MonotonicReads => "monotonic-reads",
            Guarantee::MonotonicWrites => "monotonic-writes",
            Guarantee::WritesFollowReads => "writes-follow-reads",
            Guarantee::Causal => "causal",
            Guarantee::BoundedStaleness => "bounded-staleness",
            Guarantee::Durable => "durable",
            Guarantee::Convergent => "convergent",
            Guarantee::Live => "live",
            Guarantee::Available => "available",
            Guarantee::Set => "set",
            Guarantee::Counter => "counter",
            Guarantee::Queue => "queue",
            Guarantee::UniqueIds => "unique-ids",
            Guarantee::Log => "log",
            Guarantee::Echo => "echo",
            Guarantee::Bank => "bank",
            Guarantee::LongFork => "long-fork",
            Guarantee::ReadCommitted => "read-committed",
            Guarantee::SnapshotIsolation => "snapshot-isolation",
            Guarantee::Serializable => "serializable",
            Guarantee::StrictSerializable => "strict-serializable",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a checker found about one guarantee in one history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[must_use]
pub enum Verdict {
    /// The history keeps the guarantee, and there was something to judge.
    Valid(Coverage),
    /// The checker cannot tell. Never to be read as valid.
    Unknown {
        /// What is missing: a budget that ran out, or nothing to judge.
        reason: String,
        /// What was judged before that.
        coverage: Coverage,
    },
    /// The history breaks the guarantee.
    Invalid {
        /// Every violation found, the first in the history first; at least one.
        anomalies: Vec<Anomaly>,
        /// What was judged.
        coverage: Coverage,
    },
}

impl Verdict {
    /// Whether the history keeps the guarantee.
    pub fn is_valid(&self) -> bool {
        matches!(self, Verdict::Valid(_))
    }

    /// Whether the history breaks the guarantee.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Verdict::Invalid { .. })
    }

    /// The violations; empty unless the verdict is invalid.
    pub fn anomalies(&self) -> &[Anomaly] {
        match self {
            Verdict::Invalid { anomalies, .. } => anomalies,
            Verdict::Valid(_) | Verdict::Unknown { .. } => &[],
        }
    }

    /// What was judged.
    pub fn coverage(&self) -> &Coverage {
        match self {
            Verdict::Valid(coverage)
            | Verdict::Unknown { coverage, .. }
            | Verdict::Invalid { coverage, .. } => coverage,
        }
    }
}

/// What a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// How it was judged, as it appears in reports: `interval search`.
    pub method: String,
    /// How many operations were judged.
    pub operations: usize,
    /// How many keys they fell on.
    pub keys: usize,
    /// What was seen, and is too little to be judged by: a sentence without a full stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
}

/// One violation of a guarantee.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The published name, in kebab-case: `stale-read`, `lost-write`.
    pub name: String,
    /// The guarantee that it breaks.
    pub guarantee: Guarantee,
    /// When it showed first: the completion of the operation that could not be explained. Null in
    /// JSON where the history has no times.
    #[serde(with = "moment")]
    pub at: Time,
    /// The key that it happened on, where it is about one key.
    pub key: Option<Key>,
    /// The smallest set of events that proves it.
    pub witness: Witness,
    /// What was seen, against what would have been legal; none where no single operation shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<Contrast>,
    /// Sentences that a person can check by hand against the witness, in order.
    pub explanation: Vec<String>,
}

/// A moment, or null where the history has none.
mod moment {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::history::Time;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub(super) fn serialize<S: Serializer>(at: &Time, to: S) -> Result<S::Ok, S::Error> {
        Some(*at).filter(|at| !at.is_line()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        Ok(Option::<Time>::deserialize(from)?.unwrap_or_default())
    }
}

/// What an operation showed, against what it could have shown. The sentences of an anomaly say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contrast {
    /// The operation that could not be explained.
    pub operation: OperationId,
    /// What it showed, where that is something else than what it returned: a sum, or one list of many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Value>,
    /// The operation that makes it wrong: whose effect had to be seen, or who did first what may be done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<OperationId>,
    /// What it could have shown.
    pub legal: Legal,
}

impl Contrast {
    /// What an operation could have shown, which showed what it returned.
    pub fn new(operation: OperationId, legal: Legal) -> Contrast {
        Contrast { operation, observed: None, due: None, legal }
    }

    /// The same, made wrong by that operation.
    #[must_use]
    pub fn due_to(self, operation: OperationId) -> Contrast {
        Contrast { due: Some(operation), ..self }
    }

    /// The same of an operation that showed this.
    #[must_use]
    pub fn observed(self, value: Value) -> Contrast {
        Contrast { observed: Some(value), ..self }
    }
}

/// What would have been legal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Legal {
    /// This value, or a newer one.
    NotOlder(Value),
    /// This value, and no other.
    Exactly(Value),
    /// This value, which another replica shows, or there what this one shows: they differ, and who is wrong is not said.
    SameAs(Value),
    /// A number from the first to the second.
    Within(Value, Value),
    /// A set or a list that has this element.
    With(Value),
    /// A list that this one begins, or that begins this one.
    InOrderWith(Value),
    /// Either both of these, or only the second: others saw only that.
    Both(Value, Value),
    /// An order in which no transaction comes before itself, as each of these comes before the next, and the last before
    /// the first.
    NoCycle(Vec<OperationId>),
    /// Not a second time.
    Once,
}

impl Legal {
    /// A number from one to another.
    pub fn within(low: i128, high: i128) -> Legal {
        if low == high { Legal::Exactly(sum(low)) } else { Legal::Within(sum(low), sum(high)) }
    }

    /// In words, with values as they are to be shown.
    pub fn words(&self, show: impl Fn(&Value) -> String) -> String {
        match self {
            Legal::NotOlder(value) => format!("{}, or newer", show(value)),
            Legal::Exactly(value) => show(value),
            Legal::SameAs(_) => "the same on both".to_owned(),
            Legal::Within(low, high) => format!("{} to {}", show(low), show(high)),
            Legal::With(element) => format!("with {}", show(element)),
            Legal::InOrderWith(list) => {
                format!("a beginning of {}, or what goes on from it", show(list))
            }
            Legal::Both(one, other) => {
                format!("{} and {}, as another read shows only {1}", show(one), show(other))
            }
            Legal::NoCycle(_) => "an order without such a circle".to_owned(),
            Legal::Once => "not a second time".to_owned(),
        }
    }
}

impl fmt::Display for Legal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A sum that is too great for a number is shown as one all the same.
        f.write_str(&self.words(|value| match value {
            Value::Text(text) if text.parse::<i128>().is_ok() => text.to_string(),
            value => value.to_string(),
        }))
    }
}

/// A sum as a value; its digits as a text, where no number holds so much.
pub fn sum(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Text(number.to_string().into()), Value::Int)
}

/// The events that prove an anomaly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Operations, in the order of invocation.
    pub operations: Vec<OperationId>,
    /// Faults that were on at that time, where the checker knows that they matter.
    pub faults: Vec<FaultId>,
}

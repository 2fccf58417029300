//! Everything that happened in a run, for the replay of a failure.

use checkers::history::Time;
use serde::{Deserialize, Serialize};

/// What happened, in order.
pub type Trace = Vec<TraceEvent>;

/// One thing that happened, below the level of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When.
    pub at: Time,
    /// Where: `n2`, or `c4` for a client.
    pub place: String,
    /// What, in words: `sent 64 bytes to n3`, `dropped: cut by fault 2`.
    pub what: String,
}

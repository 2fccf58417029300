//! What a key holds, and which of two changes is the later one.

use serde::{Deserialize, Serialize};

use crate::env::NodeId;

/// The place of a change in the one order of all changes of a key. No two changes share a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// A hybrid logical time: what a wall clock showed, in nanoseconds since 1970, or one more than
    /// the latest that was known. Where reads come before writes, no clock takes part in it and it
    /// only counts.
    pub time: u64,
    /// The coordinator of the change.
    pub node: NodeId,
    /// Which disk of the coordinator it was, and its how many-th start with that one: one that has
    /// forgotten what it issued cannot issue it again.
    pub start: u64,
}

/// What one change left in a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When.
    pub stamp: Stamp,
    /// What; `None` where it made the key absent.
    pub value: Option<Vec<u8>>,
}

/// A coordinator's clock (Kulkarni et al., "Logical Physical Clocks", 2014): never behind what it has
/// seen, and as near to the wall clock as that allows.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) node: NodeId,
    pub(super) start: u64,
    pub(super) latest: u64,
}

impl Clock {
    /// Takes note of a stamp that somebody issued.
    pub(super) fn see(&mut self, stamp: Stamp) {
        self.latest = self.latest.max(stamp.time);
    }

    /// Issues a stamp that is later than everything seen, and not before `earliest`.
    pub(super) fn issue(&mut self, earliest: u64) -> Stamp {
        self.latest = self.latest.saturating_add(1).max(earliest);
        Stamp { time: self.latest, node: self.node, start: self.start }
    }
}

//! What a key holds, and which of two changes is the later one.
//!
//! Where the later one wins, all changes of a key have one order, which every node sees alike (Lamport, "Time,
//! Clocks, and the Ordering of Events in a Distributed System", 1978: by time, and then by node). No two have the
//! same place in it, or nodes with the same [`Stamp`] could hold different things. So it says by which start of its
//! coordinator it was issued. Without that: of 2, 3 and 4, which hold a key, 1 asks two, finds time 7, and issues 8
//! for a change that reaches 2 alone; it starts again, asks 3 and 4, and issues 8 for another change,
//! which reaches 3. By stamp and by hash 2 and 3 hold the same, and they never come together.

use serde::{Deserialize, Serialize};

use crate::env::NodeId;
use crate::merge::{Dotted, Merge as _, Siblings};

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

/// What a key holds at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was changed. What stands side by side was changed more than once, and then this says no
    /// more than that one state is not another one.
    pub stamp: Stamp,
    /// What there is.
    pub held: Held,
}

/// What there is of a key. The first two are written to disks and sent in the same bytes as a value
/// that may be absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// Nothing: the change made the key absent.
    Nothing,
    /// What the latest change left.
    Value(#[serde(with = "serde_bytes")] Vec<u8>),
    /// What is left of all changes that did not know of each other.
    Siblings(Siblings),
}

impl Version {
    /// What a change leaves where the later one wins.
    pub(super) fn latest(stamp: Stamp, value: Option<Vec<u8>>) -> Version {
        Version { stamp, held: value.map_or(Held::Nothing, Held::Value) }
    }

    /// What one reads where there is one value at most.
    pub fn value(&self) -> Option<&Vec<u8>> {
        match &self.held {
            Held::Value(value) => Some(value),
            Held::Nothing | Held::Siblings(_) => None,
        }
    }

    /// Whether taking in `other` changes nothing: it is not later, or nothing in it is missing here.
    pub fn covers(&self, other: &Version) -> bool {
        match (&self.held, &other.held) {
            (Held::Siblings(held), Held::Siblings(other)) => held.contains(&other.outline()),
            _ => self.stamp >= other.stamp,
        }
    }

    /// Takes in what somebody else holds.
    pub(super) fn take_in(&mut self, other: Version) {
        let later = self.stamp.max(other.stamp);
        match (&mut self.held, &other.held) {
            (Held::Siblings(held), Held::Siblings(other)) => held.merge(other),
            _ if self.stamp < other.stamp => self.held = other.held,
            _ => {}
        }
        self.stamp = later;
    }

    /// Everything in some versions together; nothing where there are none.
    pub(super) fn joined<'a>(versions: impl IntoIterator<Item = &'a Version>) -> Option<Version> {
        let mut versions = versions.into_iter();
        let mut joined = versions.next()?.clone();
        versions.for_each(|other| {
            if !joined.covers(other) {
                joined.take_in(other.clone());
            }
        });
        Some(joined)
    }
}

/// As much of what a key holds as it takes to tell who has something to give to whom.
pub(super) trait Outline: Sized {
    /// The outline of a version.
    fn of(version: &Version) -> Self;

    /// Whether the other one has nothing to give to this one.
    fn contains(&self, other: &Self) -> bool;
}

impl Outline for Stamp {
    fn of(version: &Version) -> Stamp {
        version.stamp
    }

    fn contains(&self, other: &Stamp) -> bool {
        self >= other
    }
}

/// The changes that are known, and those of them that are shown.
pub type Changes = Dotted<()>;

impl Outline for Changes {
    fn of(version: &Version) -> Changes {
        match &version.held {
            Held::Siblings(siblings) => siblings.outline(),
            Held::Nothing | Held::Value(_) => Changes::default(),
        }
    }

    fn contains(&self, other: &Changes) -> bool {
        Dotted::contains(self, other)
    }
}

/// A coordinator's clock (Kulkarni et al., "Logical Physical Clocks", 2014): never behind what it has
/// seen, and as near to the wall clock as that allows.
#[derive(Clone, Debug)]
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

    /// The earliest time of a change of a client that has seen so much. No wall clock has come so far that the
    /// limit makes a difference; but a client that claims to have seen the end of time would leave none for those
    /// that come after it, and two changes would have the same stamp.
    pub(super) fn after_seen(seen: u64) -> u64 {
        seen.min(u64::MAX / 2) + 1
    }

    /// Issues a stamp that is later than everything seen, and not before `earliest`.
    pub(super) fn issue(&mut self, earliest: u64) -> Stamp {
        self.latest = self.latest.saturating_add(1).max(earliest);
        Stamp { time: self.latest, node: self.node, start: self.start }
    }
}

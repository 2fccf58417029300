//! The names of the anomalies of transactions, and which level forbids which.
//!
//! `G0`, `G1a`, `G1b`, `G1c`, `G2` are of Adya ("Weak Consistency: A Generalized Theory and
//! Optimistic Implementations for Distributed Transactions", 1999, chapter 3), and
//! `G-single` is too (chapter 4); the rest is of Elle (Kingsbury and Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020, and its program).

use super::graph::Kinds;
use crate::verdict::Guarantee;

/// How much isolation is asked of transactions. Each level forbids what the ones before it forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// PL-2 (Adya 1999). Forbids `G0`, `G1a`, `G1b`, `G1c`, and what no order of versions can
    /// explain: `garbage-read`, `duplicate-elements`, `incompatible-order`, `dirty-update`.
    ReadCommitted,
    /// PL-SI (Adya 1999), from whatever snapshot. Forbids `G-single`, `lost-update`, `internal` and
    /// `future-read` besides, and `G-nonadjacent`: in snapshot isolation each cycle has two `rw`
    /// edges in a row (Cerone and Gotsman, "Analysing Snapshot Isolation", JACM 2018).
    SnapshotIsolation,
    /// PL-3 (Adya 1999). Forbids `G2` besides.
    Serializable,
    /// PL-SS (Adya 1999). Forbids all cycles, also those that need the order of a session
    /// (`-session`; Elle says `-process`) or of time (`-realtime`).
    StrictSerializable,
}

impl Level {
    /// The guarantee that the level is.
    pub const fn guarantee(self) -> Guarantee {
        match self {
            Level::ReadCommitted => Guarantee::ReadCommitted,
            Level::SnapshotIsolation => Guarantee::SnapshotIsolation,
            Level::Serializable => Guarantee::Serializable,
            Level::StrictSerializable => Guarantee::StrictSerializable,
        }
    }
}

/// What a transaction read, or left, that needs no cycle to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misread {
    /// An element that nobody appended.
    Garbage,
    /// An element twice.
    Duplicate,
    /// A list that is no beginning of a longer one, nor the other way round; or one in another order
    /// than that in which a transaction appended.
    Incompatible,
    /// An element of a transaction that failed.
    Aborted,
    /// A list that another transaction had not finished.
    Intermediate,
    /// An element that came to stay on top of one of a transaction that failed.
    DirtyUpdate,
    /// Something else than what the same transaction had read and appended.
    Internal,
    /// An element that the same transaction appended only later.
    Future,
    /// The same version as another transaction, which appended to it too.
    LostUpdate,
}

impl Misread {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Misread::Garbage => "garbage-read",
            Misread::Duplicate => "duplicate-elements",
            Misread::Incompatible => "incompatible-order",
            Misread::Aborted => "G1a",
            Misread::Intermediate => "G1b",
            Misread::DirtyUpdate => "dirty-update",
            Misread::Internal => "internal",
            Misread::Future => "future-read",
            Misread::LostUpdate => "lost-update",
        }
    }

    /// The weakest level that forbids it.
    pub(super) const fn level(self) -> Level {
        match self {
            Misread::Garbage
            | Misread::Duplicate
            | Misread::Incompatible
            | Misread::Aborted
            | Misread::Intermediate
            | Misread::DirtyUpdate => Level::ReadCommitted,
            Misread::Internal | Misread::Future | Misread::LostUpdate => Level::SnapshotIsolation,
        }
    }
}

/// A kind of cycle that is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// By `ww` edges only.
    Writes,
    /// By `ww` and `wr` edges.
    Dependencies,
    /// No two `rw` edges in a row.
    Nonadjacent,
    /// Any.
    Any,
}

impl Class {
    /// From the worst to the most common, so that a cycle gets the name of the worst that it is.
    pub(super) const ALL: [Class; 4] =
        [Class::Writes, Class::Dependencies, Class::Nonadjacent, Class::Any];

    /// The weakest level that forbids it.
    pub(super) const fn level(self) -> Level {
        match self {
            Class::Writes | Class::Dependencies => Level::ReadCommitted,
            Class::Nonadjacent => Level::SnapshotIsolation,
            Class::Any => Level::Serializable,
        }
    }

    /// The edges that such a cycle goes by.
    pub(super) const fn kinds(self) -> Kinds {
        let steps = Kinds::WW.with(Kinds::STEP);
        match self {
            Class::Writes => steps,
            Class::Dependencies => steps.with(Kinds::WR),
            Class::Nonadjacent | Class::Any => steps.with(Kinds::WR).with(Kinds::RW),
        }
    }

    /// The edge without which a cycle would be one of the classes before.
    pub(super) const fn mark(self) -> Kinds {
        match self {
            Class::Writes => Kinds::WW,
            Class::Dependencies => Kinds::WR,
            Class::Nonadjacent | Class::Any => Kinds::RW,
        }
    }
}

/// The name of a cycle of transactions, by the kinds of its edges in order.
pub(super) fn cycle_name(kinds: &[Kinds]) -> String {
    let count = |kind: Kinds| kinds.iter().filter(|one| **one == kind).count();
    let next = kinds.iter().cycle().skip(1);
    let adjacent = kinds.iter().zip(next).any(|pair| pair == (&Kinds::RW, &Kinds::RW));
    let name = match count(Kinds::RW) {
        0 if count(Kinds::WR) == 0 => "G0",
        0 => "G1c",
        1 => "G-single",
        _ if adjacent => "G2",
        _ => "G-nonadjacent",
    };
    let suffix = if count(Kinds::REALTIME) > 0 {
        "-realtime"
    } else if count(Kinds::SESSION) > 0 {
        "-session"
    } else {
        ""
    };
    format!("{name}{suffix}")
}

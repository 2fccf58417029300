//! Values that each carry the dot of the change that put them there, and how much of all changes is
//! known.
//!
//! That is what tells, when two states differ, whether a value is missing on one side because it was
//! not heard of there, or because it was taken away: a dot that is known and whose value is not held
//! was taken away. Nothing has to be kept of what is gone. (Preguiça, Baquero, Almeida, Fonte and
//! Gonçalves, "Dotted Version Vectors: Logical Clocks for Optimistic Replication", 2010, and "Brief
//! Announcement: Efficient Causality Tracking in Distributed Storage Systems With Dotted Version
//! Vectors", 2012; Bieniusa et al., "An optimized conflict-free replicated set", 2012.)
//!
//! States travel whole. A part of one, such as the newest value with its dot, would raise what is
//! known of an actor past values of it that did not come along, and these would count as taken away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Dot, Merge, VersionVector};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dotted<V> {
    /// Every change that is known, whether its value is still held or not.
    known: VersionVector,
    held: BTreeMap<Dot, V>,
}

impl<V> Default for Dotted<V> {
    fn default() -> Self {
        Dotted { known: VersionVector::default(), held: BTreeMap::new() }
    }
}

impl<V> Dotted<V> {
    /// Every change that is known.
    pub fn known(&self) -> &VersionVector {
        &self.known
    }

    /// The values, by the changes that put them there, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Dot, &V)> {
        self.held.iter().map(|(dot, value)| (*dot, value))
    }

    /// The same without the values: as much as it takes to tell whether two states differ.
    pub fn outline(&self) -> Dotted<()> {
        Dotted { known: self.known.clone(), held: self.held.keys().map(|dot| (*dot, ())).collect() }
    }

    /// Whether everything that `other` knows is known, so that merging it changes nothing.
    pub fn contains<W>(&self, other: &Dotted<W>) -> bool {
        let took_away = |dot: &Dot| other.known.has(*dot) && !other.held.contains_key(dot);
        self.known.contains(&other.known) && !self.held.keys().any(took_away)
    }

    /// Whether no value is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Puts a value there.
    ///
    /// # Panics
    /// Where the change is known already: its value may have been taken away since.
    pub(super) fn put(&mut self, dot: Dot, value: V) {
        assert!(!self.known.has(dot), "no two changes share {dot:?}");
        self.known.see(dot);
        self.held.insert(dot, value);
    }

    /// Takes away every value that `goes` says.
    pub(super) fn take_away(&mut self, goes: impl Fn(Dot, &V) -> bool) {
        self.held.retain(|dot, value| !goes(*dot, value));
    }

    /// Takes note of changes whose values are not to come any more, if they are not held already.
    pub(super) fn know(&mut self, changes: &VersionVector) {
        self.known.merge(changes);
    }
}

impl<V: Clone> Merge for Dotted<V> {
    fn merge(&mut self, other: &Dotted<V>) {
        self.held.retain(|dot, _| other.held.contains_key(dot) || !other.known.has(*dot));
        for (dot, value) in &other.held {
            if !self.known.has(*dot) {
                self.held.insert(*dot, value.clone());
            }
        }
        self.known.merge(&other.known);
    }
}

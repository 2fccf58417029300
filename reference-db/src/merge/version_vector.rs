//! How much of what everybody did is known (Parker et al., "Detection of Mutual Inconsistency in
//! Distributed Systems", 1983).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Merge;

/// One who makes changes and numbers them: a region, or one start of a node where nodes make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub u128);

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// One change: who made it, and the number that it has there. No two changes share a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who made it.
    pub actor: Actor,
    /// Its number, from 1 on; later ones of the same actor have greater ones.
    pub number: u64,
}

/// For each actor, up to which number its changes are known: all up to there are.
///
/// An actor of which nothing is known has no entry, so that equal knowledge is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionVector(BTreeMap<Actor, u64>);

impl VersionVector {
    /// Up to which number an actor's changes are known; 0 where none is.
    pub fn get(&self, actor: Actor) -> u64 {
        self.0.get(&actor).copied().unwrap_or(0)
    }

    /// Whether a change is known.
    pub fn has(&self, dot: Dot) -> bool {
        dot.number <= self.get(dot.actor)
    }

    /// Whether everything is known that `other` knows.
    pub fn contains(&self, other: &VersionVector) -> bool {
        other.iter().all(|dot| self.has(dot))
    }

    /// Takes note of a change, and of all that its actor had made before.
    pub fn see(&mut self, dot: Dot) {
        let known = self.0.entry(dot.actor).or_insert(0);
        *known = dot.number.max(*known);
        if *known == 0 {
            self.0.remove(&dot.actor);
        }
    }

    /// The last known change of each actor, in order.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|(actor, number)| Dot { actor: *actor, number: *number })
    }
}

impl Merge for VersionVector {
    fn merge(&mut self, other: &VersionVector) {
        other.iter().for_each(|dot| self.see(dot));
    }
}

/// Greater knows more; two that each know something that the other does not cannot be compared.
impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &VersionVector) -> Option<Ordering> {
        match (self.contains(other), other.contains(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> VersionVector {
        let mut vector = VersionVector::default();
        dots.into_iter().for_each(|dot| vector.see(dot));
        vector
    }
}

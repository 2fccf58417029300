//! A counter that everybody counts up and down: the PN-counter (Shapiro et al. 2011, section 3.1.3).

use serde::{Deserialize, Serialize};

use super::{Actor, Dot, Merge, VersionVector};

/// What each actor has added in all, and what it has subtracted. Both only grow, and only their actor
/// makes them grow, so of two states the greater number is the later one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counter {
    up: VersionVector,
    down: VersionVector,
}

impl Counter {
    /// Adds a number on behalf of an actor. What an actor adds in all, and what it subtracts in all,
    /// stops at 2^64 - 1.
    pub fn add(&mut self, actor: Actor, by: i64) {
        let sums = if by < 0 { &mut self.down } else { &mut self.up };
        let number = sums.get(actor).saturating_add(by.unsigned_abs());
        sums.see(Dot { actor, number });
    }

    /// What all of it comes to.
    pub fn value(&self) -> i128 {
        let sum =
            |sums: &VersionVector| sums.iter().map(|dot| i128::from(dot.number)).sum::<i128>();
        sum(&self.up) - sum(&self.down)
    }
}

impl Merge for Counter {
    fn merge(&mut self, other: &Counter) {
        self.up.merge(&other.up);
        self.down.merge(&other.down);
    }
}

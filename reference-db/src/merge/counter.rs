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

    /// Whether an actor can add a number: what it has added or subtracted in all, and what that comes to
    /// with what others did, are numbers of 64 bits. What two add at once may still come to more.
    pub fn takes(&self, actor: Actor, by: i64) -> bool {
        let sums = if by < 0 { &self.down } else { &self.up };
        let all = sums.get(actor).checked_add(by.unsigned_abs());
        all.is_some() && i64::try_from(self.value() + i128::from(by)).is_ok()
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

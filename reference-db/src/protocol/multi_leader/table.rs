//! What each region is known to have (Wuu and Bernstein, "Efficient Solutions to the Replicated Log
//! and Dictionary Problems", 1984).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::{Actor, Merge, VersionVector};

/// For some regions, what they had applied when they were last heard of, directly or not. They have
/// at least that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table(BTreeMap<Actor, VersionVector>);

impl Table {
    /// What a region is known to have.
    pub fn row(&self, region: Actor) -> VersionVector {
        self.0.get(&region).cloned().unwrap_or_default()
    }

    /// Every region that was heard of and what it has, in order.
    pub fn rows(&self) -> impl Iterator<Item = (Actor, &VersionVector)> {
        self.0.iter().map(|(region, row)| (*region, row))
    }

    /// A region has this, and what it was known to have.
    pub fn hear(&mut self, region: Actor, row: &VersionVector) {
        self.0.entry(region).or_default().merge(row);
    }
}

impl Merge for Table {
    fn merge(&mut self, other: &Table) {
        other.rows().for_each(|(region, row)| self.hear(region, row));
    }
}

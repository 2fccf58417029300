//! What each region is known to have (Wuu and Bernstein, "Efficient Solutions to the Replicated Log
//! and Dictionary Problems", 1984).
//!
//! A row never says more than its region has, so that what everyone has by it can be forgotten. In the paper no site
//! loses what it had. Here a row is one incarnation's, and a region of which two are known, neither as lost, has
//! nothing (`Table::row_of`). Were the row of the one before to count: of five regions, 1 makes a change that reaches
//! 5 alone, loses its disk, and begins again with what 2, 3 and 4 have. These get the change from 5 later, but 1
//! does not, because by its row it has it; and then 5 forgets it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::incarnations::{is_later, is_lost, region_of};
use crate::merge::{Actor, Merge, VersionVector};

/// For some incarnations of regions, what they had applied when they were last heard of, directly or not.
/// They have at least that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table(BTreeMap<Actor, VersionVector>);

impl Table {
    /// What an incarnation is known to have.
    pub fn row(&self, actor: Actor) -> VersionVector {
        self.0.get(&actor).cloned().unwrap_or_default()
    }

    /// Every incarnation that was heard of and what it has, in order.
    pub fn rows(&self) -> impl Iterator<Item = (Actor, &VersionVector)> {
        self.0.iter().map(|(actor, row)| (*actor, row))
    }

    /// An incarnation has this, and what it was known to have.
    pub fn hear(&mut self, actor: Actor, row: &VersionVector) {
        self.0.entry(actor).or_default().merge(row);
    }

    /// Takes over of which later incarnations another table knows, and nothing of what they have.
    pub(super) fn meet(&mut self, other: &Table) {
        for actor in other.0.keys().filter(|actor| is_later(**actor)) {
            self.0.entry(*actor).or_default();
        }
    }

    /// Leaves out what those had that are lost.
    pub(super) fn bury(&mut self, known: &VersionVector) {
        self.0.retain(|actor, _| !is_lost(*actor, known));
    }

    /// The incarnations of a region that were heard of and are not known to be lost; more than one, where
    /// it is not known yet which of them is.
    pub(super) fn living(
        &self,
        region: Actor,
        known: &VersionVector,
    ) -> impl Iterator<Item = Actor> {
        let first = Some(region).filter(|first| !self.0.contains_key(first));
        let all = first.into_iter().chain(self.0.keys().copied());
        all.filter(move |actor| region_of(*actor) == region && !is_lost(*actor, known))
    }

    /// What a region is known to have that is not known to have lost it: nothing, where it is not certain
    /// which of its incarnations lives.
    pub(super) fn row_of(&self, region: Actor, known: &VersionVector) -> VersionVector {
        let mut living = self.living(region, known);
        match (living.next(), living.next()) {
            (Some(one), None) => self.row(one),
            _ => VersionVector::default(),
        }
    }
}

impl Merge for Table {
    fn merge(&mut self, other: &Table) {
        other.rows().for_each(|(actor, row)| self.hear(actor, row));
    }
}

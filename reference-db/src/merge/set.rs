//! A set in which an element that is added and removed at the same time stays: the observed-remove
//! set (Shapiro et al. 2011, section 3.3.5, without its tombstones: [`Dotted`]).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Dot, Dotted, Merge, VersionVector};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Set(Dotted<Vec<u8>>);

impl Set {
    /// Puts an element in. One that is there is put in anew, so that a removal elsewhere, which did
    /// not know of this, does not take it away.
    ///
    /// # Panics
    /// Where the dot is known already.
    pub fn add(&mut self, dot: Dot, element: Vec<u8>) {
        self.0.take_away(|_, held| *held == element);
        self.0.put(dot, element);
    }

    /// Takes an element out, as far as it is known to have been put in.
    pub fn remove(&mut self, element: &[u8]) {
        self.0.take_away(|_, held| held == element);
    }

    /// The elements, in order.
    pub fn elements(&self) -> BTreeSet<&[u8]> {
        self.0.iter().map(|(_, element)| element.as_slice()).collect()
    }

    /// Every addition that is known, whether its element is still there or not.
    pub fn known(&self) -> &VersionVector {
        self.0.known()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Merge for Set {
    fn merge(&mut self, other: &Set) {
        self.0.merge(&other.0);
    }
}

//! A node's copy of its segments, with a hash tree over each.
//!
//! Merkle, "A Digital Signature Based on a Conventional Encryption Function" (1987), as Dynamo uses
//! it in section 4.7: two nodes find the keys in which they differ by comparing hashes from the root
//! down. A leaf covers the keys whose hash ends in its number; what it holds is the sum (exclusive
//! or) of the hashes of its keys with what they hold, so that a change costs one addition.
//!
//! What a node holds of a key never goes back, in whatever order changes come. Were the last to come to stay: of 1, 2
//! and 3, the first two have acknowledged a write when a hint with an older one comes to 2, late, and takes its
//! place; a read that asks 2 and 3 then misses what was acknowledged. That a key was deleted is held like a value:
//! otherwise whoever has not heard of it would bring the value back.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use super::version::{Held, Version};
use crate::mark::Mark;
use crate::wire;

/// Children of an inner node of the tree. There are three levels: the root, `FANOUT` nodes under it,
/// and as many leaves under each of those.
const FANOUT: usize = 16;
const LEAVES: usize = FANOUT * FANOUT;
/// The level of the leaves; the root is on level 0.
pub(super) const LEAF_LEVEL: u8 = 2;

/// A node of a tree, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Branch {
    /// The segment.
    pub segment: u32,
    /// How deep: 0 is the root.
    pub level: u8,
    /// The how many-th of its level, from 0 on.
    pub index: u16,
}

impl Branch {
    pub(super) fn root(segment: usize) -> Branch {
        Branch { segment: segment as u32, level: 0, index: 0 }
    }

    /// The nodes right under this one; none under a leaf.
    pub(super) fn children(self) -> impl Iterator<Item = Branch> {
        let count = if self.level < LEAF_LEVEL { FANOUT as u16 } else { 0 };
        let child = move |nth| Branch {
            segment: self.segment,
            level: self.level + 1,
            index: self.index * FANOUT as u16 + nth,
        };
        (0..count).map(child)
    }
}

/// The hash of a key: it decides the segment and the leaf.
fn hash_of(key: &str) -> u64 {
    first_word(blake3::hash(key.as_bytes()))
}

pub(super) fn first_word(hash: blake3::Hash) -> u64 {
    let word = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*word)
}

/// Where a key lies: its segment, and its leaf in the tree of that segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: usize,
    leaf: usize,
}

/// What a node holds.
#[derive(Clone)]
pub struct Store {
    ring: Ring,
    versions: BTreeMap<(Place, String), Version>,
    /// One a segment.
    trees: Vec<Tree>,
}

/// Without the trees, which follow from the versions.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("ring", &self.ring).field("versions", &self.versions).finish()
    }
}

impl Store {
    pub(super) fn new(ring: Ring) -> Store {
        let trees = vec![Tree::new(); ring.segments()];
        Store { ring, versions: BTreeMap::new(), trees }
    }

    /// Goes by another ring from here on.
    pub(super) fn follow(&mut self, ring: &Ring) {
        if ring.segments() == self.ring.segments() {
            self.ring = ring.clone();
            return;
        }
        let before = std::mem::replace(self, Store::new(ring.clone()));
        for ((_, key), version) in before.versions {
            self.put(&key, version);
        }
    }

    /// The segment of a key.
    pub(super) fn segment(&self, key: &str) -> usize {
        self.ring.segment(hash_of(key))
    }

    fn place(&self, key: &str) -> Place {
        let hash = hash_of(key);
        Place { segment: self.ring.segment(hash), leaf: (hash >> 32) as usize % LEAVES }
    }

    /// What a key holds here.
    pub fn get(&self, key: &str) -> Option<&Version> {
        self.versions.get(&(self.place(key), key.to_owned()))
    }

    /// Takes in a version if there is anything in it that is not held, and says whether there was.
    pub(super) fn put(&mut self, key: &str, version: Version) -> bool {
        let place = self.place(key);
        let tree = &mut self.trees[place.segment];
        match self.versions.get_mut(&(place, key.to_owned())) {
            Some(held) if held.covers(&version) => {
                Mark::ChangeTooLate.note_if(held.stamp > version.stamp);
                return false;
            }
            Some(held) => {
                tree.toggle(place.leaf, hash_with(key, held));
                held.take_in(version);
                tree.toggle(place.leaf, hash_with(key, held));
            }
            None => {
                tree.toggle(place.leaf, hash_with(key, &version));
                self.versions.insert((place, key.to_owned()), version);
            }
        }
        true
    }

    /// Every key and what it holds.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &Version)> {
        self.versions.iter().map(|((_, key), version)| (key.as_str(), version))
    }

    /// The same, behind a key in their order.
    pub(super) fn versions_after(
        &self,
        key: Option<&str>,
    ) -> impl Iterator<Item = (&str, &Version)> {
        let from =
            key.map_or(Bound::Unbounded, |key| Bound::Excluded((self.place(key), key.to_owned())));
        let versions = self.versions.range((from, Bound::Unbounded));
        versions.map(|((_, key), version)| (key.as_str(), version))
    }

    /// The keys of a leaf and what they hold, in order.
    pub(super) fn leaf(&self, branch: Branch) -> impl Iterator<Item = (&str, &Version)> {
        let place = Place { segment: branch.segment as usize, leaf: branch.index.into() };
        let from = self.versions.range((place, String::new())..);
        from.take_while(move |((at, _), _)| *at == place)
            .map(|((_, key), version)| (key.as_str(), version))
    }

    /// The hash of a node of a tree; `None` where there is no such node.
    pub(super) fn hash(&self, branch: Branch) -> Option<u64> {
        self.trees.get(branch.segment as usize)?.hash(branch.level, branch.index.into())
    }
}

/// The tree over a segment.
#[derive(Clone)]
struct Tree {
    leaves: [u64; LEAVES],
    /// The hash of the root, once somebody has asked for it since a leaf changed.
    root: OnceLock<u64>,
}

impl Tree {
    fn new() -> Tree {
        Tree { leaves: [0; LEAVES], root: OnceLock::new() }
    }

    /// Puts the hash of a key with what it holds into a leaf, or takes it out again.
    fn toggle(&mut self, leaf: usize, hash: u64) {
        self.leaves[leaf] ^= hash;
        self.root.take();
    }

    fn hash(&self, level: u8, index: usize) -> Option<u64> {
        match level {
            0 if index == 0 => Some(*self.root.get_or_init(|| hash_of_leaves(&self.leaves))),
            0..=LEAF_LEVEL => {
                let width = LEAVES / FANOUT.pow(level.into());
                let first = index * width;
                Some(hash_of_leaves(self.leaves.get(first..first + width)?))
            }
            _ => None,
        }
    }
}

/// The hash of a node over these leaves; 0 where nothing is held.
fn hash_of_leaves(leaves: &[u64]) -> u64 {
    if leaves.iter().all(|leaf| *leaf == 0) {
        return 0;
    }
    let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.to_le_bytes()).collect();
    first_word(blake3::hash(&bytes))
}

/// The hash of a key with that in which what it holds differs from anything else that it could hold:
/// its stamp, or the changes that siblings know and show. Their stamp says when they were last put
/// together, which each replica does on its own.
fn hash_with(key: &str, version: &Version) -> u64 {
    let mut hasher = blake3::Hasher::new();
    if let Held::Siblings(siblings) = &version.held {
        hasher.update(&wire::encode(&siblings.outline()));
    } else {
        let stamp = version.stamp;
        hasher.update(&stamp.time.to_le_bytes());
        hasher.update(&stamp.node.0.to_le_bytes());
        hasher.update(&stamp.start.to_le_bytes());
    }
    hasher.update(key.as_bytes());
    first_word(hasher.finalize())
}

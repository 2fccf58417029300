//! Nodes that hold the same segments compare their trees, one after the other.
//!
//! So those that can reach each other come to hold the same, even where nobody reads or writes (Dynamo, section
//! 4.7; Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", 1987). Nothing else sees to that:
//! node 4 takes a change to 1, 2 and 3, goes down when 1 alone has got it, and nobody reads the key. Nobody
//! keeps the change for 2 and 3, no read finds them behind, and what they hold stays apart for ever.
//!
//! An exchange keeps no state: each message is answered from what the receiver holds at that
//! moment. Roots that differ are answered with the hashes under them, leaves that differ with the
//! stamps of their keys, and those with what is later here and with a request for what is later
//! there. Of siblings, their outlines tell the same: each side may have what the other one lacks.

use std::collections::BTreeSet;

use super::ring::Ring;
use super::store::{Branch, LEAF_LEVEL};
use super::version::{Outline, Version};
use super::{Conflicts, Leaderless, Message, Receipt, send};
use crate::env::{NodeId, Time};
use crate::mark::Mark;
use crate::protocol::{Output, Timing};

/// Hashes in one message at most, and keys. What exceeds them waits for the next exchange.
const HASHES_MAX: usize = 1024;
const KEYS_MAX: usize = 64;

/// When a node compares, and with whom.
#[derive(Clone, Debug)]
pub(super) struct AntiEntropy {
    /// The nodes that hold something that this one holds too.
    partners: Vec<NodeId>,
    /// The one that is next.
    next: usize,
    at: Time,
}

impl AntiEntropy {
    pub(super) fn new(ring: &Ring, own: NodeId, timing: Timing, now: Time) -> AntiEntropy {
        AntiEntropy { partners: partners_of(ring, own), next: 0, at: now + timing.heartbeat }
    }

    /// Goes by another ring from here on.
    pub(super) fn follow(&mut self, ring: &Ring, own: NodeId) {
        self.partners = partners_of(ring, own);
        self.next = 0;
    }

    /// The nodes that hold something that this one holds too.
    pub(super) fn partners(&self) -> &[NodeId] {
        &self.partners
    }

    pub(super) fn deadline(&self) -> Time {
        if self.partners.is_empty() { Time::NEVER } else { self.at }
    }
}

/// The nodes that hold something that this one holds too, in order.
fn partners_of(ring: &Ring, own: NodeId) -> Vec<NodeId> {
    let others = held_by(ring, own).flat_map(|segment| ring.replicas(segment));
    let others: BTreeSet<NodeId> = others.filter(|node| *node != own).collect();
    others.into_iter().collect()
}

/// The segments that a node holds.
pub(super) fn held_by(ring: &Ring, node: NodeId) -> impl Iterator<Item = usize> + '_ {
    (0..ring.segments()).filter(move |segment| ring.holds(node, *segment))
}

impl Leaderless {
    /// Begins a comparison with the next partner, if it is time.
    pub(super) fn compare_with_next(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if self.anti_entropy.deadline() > now {
            return;
        }
        self.anti_entropy.at = now + self.options.timing.heartbeat * 4;
        let partner = self.anti_entropy.partners[self.anti_entropy.next];
        self.anti_entropy.next = (self.anti_entropy.next + 1) % self.anti_entropy.partners.len();
        let shared = held_by(&self.ring, self.options.id)
            .filter(|segment| self.ring.holds(partner, *segment))
            .map(Branch::root);
        let hashes = shared.filter_map(|root| Some((root, self.store.hash(root)?))).collect();
        send(partner, Message::Compare(hashes), out);
    }

    pub(super) fn on_compare(
        &self,
        from: NodeId,
        theirs: &[(Branch, u64)],
        out: &mut Vec<Output<Self>>,
    ) {
        let differs = |(branch, hash): &&(Branch, u64)| {
            self.store.hash(*branch).is_some_and(|own| own != *hash)
        };
        let (mut hashes, mut leaves) = (Vec::new(), Vec::new());
        for (branch, _) in theirs.iter().filter(differs) {
            if branch.level == LEAF_LEVEL {
                leaves.push(*branch);
            } else {
                let children = branch.children();
                hashes.extend(children.filter_map(|child| Some((child, self.store.hash(child)?))));
            }
        }
        hashes.truncate(HASHES_MAX);
        leaves.truncate(KEYS_MAX);
        if !hashes.is_empty() {
            send(from, Message::Compare(hashes), out);
        }
        if !leaves.is_empty() {
            let message = match self.options.leaderless.conflicts {
                Conflicts::Lww => Message::Leaves(self.outlines(&leaves)),
                Conflicts::Siblings => Message::Siblings(self.outlines(&leaves)),
            };
            send(from, message, out);
        }
    }

    /// The keys of some leaves, and an outline of what each holds.
    fn outlines<O: Outline>(&self, leaves: &[Branch]) -> Vec<(Branch, Vec<(String, O)>)> {
        let outline = |(key, version): (&str, &Version)| (key.to_owned(), O::of(version));
        let leaf = |branch: &Branch| (*branch, self.store.leaf(*branch).map(outline).collect());
        leaves.iter().map(leaf).collect()
    }

    pub(super) fn on_leaves<O: Outline>(
        &self,
        from: NodeId,
        theirs: &[(Branch, Vec<(String, O)>)],
        out: &mut Vec<Output<Self>>,
    ) {
        let mut later_here = Vec::new();
        let mut later_there = Vec::new();
        for (branch, outlines) in theirs {
            let lacks = |key: &str, version: &Version| {
                let there = outlines.iter().find(|(there, _)| there == key);
                there.is_none_or(|(_, there)| !there.contains(&O::of(version)))
            };
            let here = self.store.leaf(*branch);
            later_here.extend(
                here.filter(|(key, version)| lacks(key, version)).map(|(key, _)| key.to_owned()),
            );
            let later = outlines.iter().filter(|(key, there)| {
                self.store.get(key).is_none_or(|version| !O::of(version).contains(there))
            });
            later_there.extend(later.map(|(key, _)| key.clone()));
        }
        self.on_want(from, &later_here, out);
        later_there.truncate(KEYS_MAX);
        if !later_there.is_empty() {
            send(from, Message::Want(later_there), out);
        }
    }

    /// Sends what the node holds of some keys.
    pub(super) fn on_want(&self, from: NodeId, keys: &[String], out: &mut Vec<Output<Self>>) {
        let held = keys.iter().filter_map(|key| Some((key, self.store.get(key)?)));
        Mark::TreesDiffer.note_if(!keys.is_empty());
        for (key, version) in held.take(KEYS_MAX) {
            let (receipt, key) = (Receipt::None, key.clone());
            send(from, Message::Store { receipt, key, version: version.clone() }, out);
        }
    }
}

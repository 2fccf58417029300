//! Changes that are kept for nodes that could not be reached.
//!
//! Dynamo, section 4.6: a hint is durable, is handed over when the other node answers again, and is
//! then forgotten. There is at most one for a key and node, the latest, or all siblings together.
//! Beyond a limit no others are taken on, except in place of those that are kept for nodes which are not to
//! hold the key any more, or by one that goes: [`super::anti_entropy`] finds what they would have told.
//!
//! A hint is forgotten only when the other node has everything in it, by its stamp. Were any answer enough: 4 stands
//! in for 3, keeps a change for it, and offers that; a later change, which counts because 1 and 4 have it, takes its
//! place; then 3 says that it has the first one. The later one would be on 1 alone, although it was acknowledged.
//! `Leaderless::with_kept` says why siblings that are put together get a stamp of their own.

use std::collections::BTreeMap;

use super::version::{Held, Stamp, Version};
use super::{Leaderless, Message, Receipt, Record, send};
use crate::env::{NodeId, Time};
use crate::mark::Mark;
use crate::protocol::Output;

/// Hints with which a node takes on no others from coordinators.
const HINTS_MAX: usize = 4096;
/// Hints that a node offers to another at a time.
const OFFERED_MAX: usize = 32;

/// What a node keeps for others.
#[derive(Clone, Debug)]
pub(super) struct Hints {
    kept: BTreeMap<(NodeId, String), Version>,
    offer_at: Time,
}

impl Default for Hints {
    fn default() -> Self {
        Hints { kept: BTreeMap::new(), offer_at: Time(0) }
    }
}

impl Hints {
    /// Keeps a version for a node; false where everything in it is kept already.
    pub(super) fn add(&mut self, node: NodeId, key: String, version: Version) -> bool {
        match self.kept.get_mut(&(node, key.clone())) {
            Some(held) if held.covers(&version) => false,
            Some(held) => {
                held.take_in(version);
                true
            }
            None => {
                self.kept.insert((node, key), version);
                true
            }
        }
    }

    pub(super) fn remove(&mut self, node: NodeId, key: &str) {
        self.kept.remove(&(node, key.to_owned()));
    }

    fn get(&self, node: NodeId, key: &str) -> Option<&Version> {
        self.kept.get(&(node, key.to_owned()))
    }

    /// What is kept of a key for all of the nodes together.
    pub(super) fn joined(&self, nodes: &[NodeId], key: &str) -> Option<Version> {
        Version::joined(nodes.iter().filter_map(|node| self.get(*node, key)))
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn deadline(&self) -> Time {
        if self.kept.is_empty() { Time::NEVER } else { self.offer_at }
    }

    /// Everything, for a snapshot.
    pub(super) fn all(&self) -> Vec<(NodeId, String, Version)> {
        let kept = self.kept.iter();
        kept.map(|((node, key), version)| (*node, key.clone(), version.clone())).collect()
    }
}

impl Leaderless {
    /// Keeps a change for another node. Whether it is kept, now or already.
    pub(super) fn keep(
        &mut self,
        now: Time,
        node: NodeId,
        key: &str,
        version: Version,
        out: &mut Vec<Output<Self>>,
    ) -> bool {
        self.clock.see(version.stamp);
        if self.hints.len() >= HINTS_MAX && self.hints.get(node, key).is_none() {
            return false;
        }
        self.add_hint(now, node, key, version.clone(), out);
        self.hints.get(node, key).is_some_and(|held| held.covers(&version))
    }

    fn add_hint(
        &mut self,
        now: Time,
        node: NodeId,
        key: &str,
        version: Version,
        out: &mut Vec<Output<Self>>,
    ) {
        let hint = self.with_kept(node, key, version);
        if self.hints.add(node, key.to_owned(), hint.clone()) {
            self.hints.offer_at = self.hints.offer_at.max(now + self.options.timing.heartbeat);
            self.persist(Record::Hint(node, key.to_owned(), hint), out);
        }
    }

    /// Keeps what was kept for nodes that are not to hold the key any more for those that are. One that goes
    /// keeps everything for all of them, because a change that it keeps may have counted by that.
    pub(super) fn readdress_hints(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let own = self.options.id;
        let goes = !self.layout.stays(own);
        for (node, key, version) in self.hints.all() {
            let segment = self.store.segment(&key);
            let strays = !self.ring.holds(node, segment);
            if !strays && !goes {
                continue;
            }
            let replicas: Vec<NodeId> = self.ring.replicas(segment).collect();
            if replicas.contains(&own) {
                self.take(&key, version.clone(), out);
            }
            for replica in replicas.into_iter().filter(|replica| *replica != own) {
                self.add_hint(now, replica, &key, version.clone(), out);
            }
            if strays {
                self.hints.remove(node, &key);
                self.persist(Record::HintTaken(node, key), out);
            }
        }
    }

    /// Whether the node keeps something for others that none of those has that are to hold it.
    pub(super) fn keeps_alone(&self) -> bool {
        let mut kept = self.hints.kept.keys();
        kept.any(|(_, key)| {
            let mut replicas = self.ring.replicas(self.store.segment(key));
            replicas.all(|node| node == self.options.id || self.hints.get(node, key).is_some())
        })
    }

    /// A version as it is to be kept, with the siblings that are kept already. Then it gets a stamp
    /// that nothing had before: a hint is offered, another change that began earlier is put to it, and
    /// now the other node says that it has the hint. By the later of the two stamps it would be taken
    /// to have both.
    fn with_kept(&mut self, node: NodeId, key: &str, version: Version) -> Version {
        let kept = self.hints.get(node, key).filter(|kept| !kept.covers(&version));
        let Some(kept) = kept.filter(|kept| matches!(kept.held, Held::Siblings(_))) else {
            return version;
        };
        let mut hint = kept.clone();
        hint.take_in(version);
        hint.stamp = self.clock.issue(hint.stamp.time.saturating_add(1));
        hint
    }

    /// Offers what is kept to those for whom it is.
    pub(super) fn deliver_hints(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if self.hints.deadline() > now {
            return;
        }
        self.hints.offer_at = now + self.options.timing.heartbeat * 4;
        for node in &self.options.nodes {
            let of_node = self.hints.kept.range((*node, String::new())..);
            let of_node = of_node.take_while(|((whom, _), _)| whom == node).take(OFFERED_MAX);
            for ((_, key), version) in of_node {
                let (receipt, key) = (Receipt::Hint, key.clone());
                send(*node, Message::Store { receipt, key, version: version.clone() }, out);
            }
        }
    }

    /// A node has what was kept for it.
    pub(super) fn on_hint_taken(
        &mut self,
        from: NodeId,
        key: &str,
        stamp: Stamp,
        out: &mut Vec<Output<Self>>,
    ) {
        if self.hints.get(from, key).is_some_and(|held| held.stamp <= stamp) {
            Mark::HintTaken.note();
            self.hints.remove(from, key);
            self.persist(Record::HintTaken(from, key.to_owned()), out);
        }
    }
}

//! Which nodes hold which keys: a ring of segments.
//!
//! DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store" (2007), section 4.2. The
//! segments stay what they are, whoever comes and goes (section 6.2, "strategy 3"): what changes is who
//! holds them. Of a cluster whose members stay, each node owns one segment. Where nodes are spare, each
//! founder has several of the same size, so that one that comes takes a share from everybody.
//!
//! Who holds a segment follows from the [`Layout`] alone. Each segment has an order of all nodes that there
//! can be, of which the first so many that take part hold it: a node that comes moves one other out of the
//! first few at most, and one that goes lets one in.
//!
//! So whoever goes by the same layout asks and tells the same nodes, and quorums of them meet. Were it to depend on
//! whom a node can reach: 1, 2 and 3 hold a key, 4 cannot reach 2 and 3, takes 5 and itself for holders in their
//! place, and acknowledges a change that these two have; a read that asks 2 and 3 does not show it. That is what
//! stand-ins do where [`Settings::sloppy`](super::Settings::sloppy) lets them, and why less is promised there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::store::first_word;
use crate::env::NodeId;

/// Segments of each founder, in a cluster whose members may change.
const SEGMENTS_EACH: usize = 8;

/// Who holds the keys, and who will: what the members agree on ([`super::members`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// How many there were before it.
    pub version: u64,
    /// Those that the cluster began with, in order.
    pub founders: Vec<NodeId>,
    /// Those that hold the keys, in order.
    pub nodes: Vec<NodeId>,
    /// Those that are to hold them, while one of them comes or goes.
    pub next: Option<Vec<NodeId>>,
    /// The disk of the one that comes, as the members know it; 0 where nobody comes, or one whose disk
    /// was there when the cluster began.
    pub disk: u64,
}

impl Layout {
    /// The first one of all.
    pub(super) fn founded(founders: Vec<NodeId>) -> Layout {
        Layout { nodes: founders.clone(), founders, ..Layout::default() }
    }

    /// Whether a node holds keys, or is to.
    pub fn has(&self, node: NodeId) -> bool {
        self.nodes.contains(&node) || self.stays(node)
    }

    /// Whether a node holds keys when nobody comes or goes any more.
    pub(super) fn stays(&self, node: NodeId) -> bool {
        self.next.as_ref().unwrap_or(&self.nodes).contains(&node)
    }

    /// All that hold keys or are to, in order.
    pub(super) fn all(&self) -> BTreeSet<NodeId> {
        self.nodes.iter().chain(self.next.iter().flatten()).copied().collect()
    }

    /// The one that follows, by which these hold the keys and nobody comes or goes.
    pub(super) fn settled(&self, nodes: Vec<NodeId>) -> Layout {
        let (version, founders) = (self.version + 1, self.founders.clone());
        Layout { version, founders, nodes, next: None, disk: 0 }
    }

    /// The one that follows, by which one node comes with this disk, or goes.
    pub(super) fn changed(&self, one: NodeId, disk: u64) -> Layout {
        let mut next = BTreeSet::from_iter(self.nodes.iter().copied());
        let goes = next.remove(&one);
        if !goes {
            next.insert(one);
        }
        let (next, disk) = (Some(next.into_iter().collect()), if goes { 0 } else { disk });
        Layout { version: self.version + 1, next, disk, ..self.clone() }
    }
}

/// Who holds what.
#[derive(Clone, Debug)]
pub struct Ring {
    replicas: usize,
    /// For each segment the nodes, in its order.
    now: Vec<Vec<NodeId>>,
    /// The same for those that are to hold the keys.
    next: Option<Vec<Vec<NodeId>>>,
}

impl Ring {
    /// A ring of all members, in order, where each key is held by so many of them, or by all.
    ///
    /// # Panics
    /// Without members or replicas.
    pub fn new(nodes: Vec<NodeId>, replicas: usize) -> Ring {
        assert!(!nodes.is_empty() && replicas > 0, "somebody must hold each key");
        let now = (0..nodes.len()).map(|segment| order(&nodes, &nodes, segment)).collect();
        Ring { replicas, now, next: None }
    }

    /// The ring of a layout.
    pub fn of(layout: &Layout, replicas: usize) -> Ring {
        let segments = layout.founders.len() * SEGMENTS_EACH;
        let orders = |nodes: &Vec<NodeId>| {
            (0..segments).map(|segment| order(nodes, &layout.founders, segment)).collect()
        };
        Ring { replicas, now: orders(&layout.nodes), next: layout.next.as_ref().map(orders) }
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.now.len()
    }

    /// The segment of a key, given the hash of the key.
    pub fn segment(&self, hash: u64) -> usize {
        (hash % self.segments() as u64) as usize
    }

    /// The nodes that hold a segment, in order, and then those that are to hold it.
    pub fn replicas(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        let owners = self.owners(segment);
        let newcomers = self.heirs(segment).iter().filter(|node| !owners.contains(node));
        owners.iter().chain(newcomers).copied()
    }

    /// Those of them that hold it now.
    pub(super) fn owners(&self, segment: usize) -> &[NodeId] {
        self.first_of(&self.now[segment])
    }

    /// Those that hold it when nobody comes or goes any more.
    pub(super) fn heirs(&self, segment: usize) -> &[NodeId] {
        self.first_of(&self.next.as_ref().unwrap_or(&self.now)[segment])
    }

    fn first_of<'a>(&self, order: &'a [NodeId]) -> &'a [NodeId] {
        &order[..self.replicas.min(order.len())]
    }

    /// The nodes that do not, in the order in which they stand in for those: none that is about to go.
    pub fn stand_ins(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        let stay = self.next.as_ref().unwrap_or(&self.now)[segment].iter().copied();
        stay.filter(move |node| !self.holds(*node, segment))
    }

    /// Whether a node holds a segment, or is to.
    pub fn holds(&self, node: NodeId, segment: usize) -> bool {
        self.owners(segment).contains(&node) || self.heirs(segment).contains(&node)
    }

    /// Whether so many have answered of those that hold a segment, and as many of those that are to hold
    /// it. Whoever stands in counts for both.
    pub(super) fn is_quorum<'a>(
        &self,
        segment: usize,
        answered: impl Iterator<Item = &'a NodeId> + Clone,
        count: usize,
    ) -> bool {
        [self.owners(segment), self.heirs(segment)].into_iter().all(|side| {
            let counts = |node: &&NodeId| side.contains(node) || !self.holds(**node, segment);
            answered.clone().filter(counts).count() >= count
        })
    }

    /// The segments that others will hold than now.
    pub(super) fn changing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.segments()).filter(|segment| {
            let set = |nodes: &[NodeId]| BTreeSet::from_iter(nodes.iter().copied());
            set(self.owners(*segment)) != set(self.heirs(*segment))
        })
    }

    /// The nodes that must have everything of a segment that is changing before the change is over: those
    /// that come to hold it, or, where somebody goes and nobody comes, all that remain.
    pub(super) fn to_fill(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        let (owners, heirs) = (self.owners(segment), self.heirs(segment));
        let comes = |node: &NodeId| !owners.contains(node);
        let some_come = heirs.iter().any(comes);
        heirs.iter().copied().filter(move |node| comes(node) || !some_come)
    }

    /// The segments of which a node must have everything before the change is over.
    pub(super) fn to_fill_by(&self, node: NodeId) -> impl Iterator<Item = usize> + '_ {
        self.changing().filter(move |segment| self.to_fill(*segment).any(|one| one == node))
    }
}

/// Some nodes in the order of a segment. The founders stand in their own order, from a place on that is the
/// segment's; each other node has its place between two of them by chance, or before or behind them all.
fn order(nodes: &[NodeId], founders: &[NodeId], segment: usize) -> Vec<NodeId> {
    let count = founders.len();
    let place = |node: &NodeId| match founders.iter().position(|founder| founder == node) {
        Some(at) => 2 * ((at + count - segment % count) % count) + 1,
        None => 2 * (chance(segment, *node) % (count as u64 + 1)) as usize,
    };
    let mut order = nodes.to_vec();
    order.sort_by_key(|node| (place(node), *node));
    order
}

fn chance(segment: usize, node: NodeId) -> u64 {
    let bytes = [(segment as u64).to_le_bytes(), u64::from(node.0).to_le_bytes()].concat();
    first_word(blake3::hash(&bytes))
}

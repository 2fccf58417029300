//! Who belongs to which region, and which region passes changes on to which.
//!
//! Kleppmann, "Designing Data-Intensive Applications" (2017), chapter 5, "Multi-Leader Replication
//! Topologies". Where everyone tells everyone, a change finds its way around a link that is cut. In
//! a ring or a star, each region passes on what it hears from others, and one link or region that is
//! down stops it.
//!
//! So every change reaches every region while the links of its way work, and nobody hears of its own. Where everyone
//! tells everyone, the region of a change tells all others, and yet somebody else must: the link from region 1 to
//! region 3 is cut, 1 tells 2 of a change, and 3 would never have it, although 2 could tell it. So one that lacks
//! something for an election timeout hears of it from others as well ([`Regions::passes_at_once`]).
//! [`Regions::next`] says who tells of a change whose region has lost what it had.

use serde::Deserialize;

use crate::env::NodeId;
use crate::merge::Actor;

/// Which regions are linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Each with each.
    #[default]
    AllToAll,
    /// Each tells the next one, and the last one the first.
    Ring,
    /// The first with each of the others.
    Star,
}

/// The regions of a cluster, as one node sees them.
#[derive(Clone, Debug)]
pub struct Regions {
    own: Actor,
    /// The nodes of each region, in order.
    members: Vec<Vec<NodeId>>,
    topology: Topology,
}

impl Regions {
    /// Spreads the nodes over so many regions, or fewer where there are fewer nodes: the first node
    /// goes to the first region, the second one to the second, and around again.
    ///
    /// # Panics
    /// Where `id` is none of the nodes, or there are to be no regions.
    pub fn new(id: NodeId, nodes: &[NodeId], regions: usize, topology: Topology) -> Regions {
        let count = regions.min(nodes.len());
        let mut members = vec![Vec::new(); count];
        for (place, node) in nodes.iter().enumerate() {
            members[place % count].push(*node);
        }
        let own = members.iter().position(|members| members.contains(&id));
        let own = Actor(own.expect("the node is one of the nodes") as u128);
        Regions { own, members, topology }
    }

    /// The node's own region.
    pub fn own(&self) -> Actor {
        self.own
    }

    /// All regions, in order.
    pub fn all(&self) -> impl Iterator<Item = Actor> + use<> {
        (0..self.members.len() as u128).map(Actor)
    }

    /// The nodes of a region; none where there is no such region.
    pub fn members(&self, region: Actor) -> &[NodeId] {
        self.members.get(region.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The region of a node.
    pub fn of(&self, node: NodeId) -> Option<Actor> {
        self.all().find(|region| self.members(*region).contains(&node))
    }

    /// The regions that this one tells something.
    pub fn told(&self) -> Vec<Actor> {
        let (own, count) = (self.own.0, self.members.len() as u128);
        match self.topology {
            Topology::AllToAll => self.all().filter(|region| *region != self.own).collect(),
            Topology::Ring if count == 1 => Vec::new(),
            Topology::Ring => vec![Actor((own + 1) % count)],
            Topology::Star if own == 0 => (1..count).map(Actor).collect(),
            Topology::Star => vec![Actor(0)],
        }
    }

    /// Those of them that are to hear from this region of a change that was made in `origin`; in none that
    /// is left, where that has lost what it had. Nobody hears of its own.
    pub fn next(&self, origin: Option<Actor>) -> Vec<Actor> {
        let mut told = self.told();
        let leaf = self.topology == Topology::Star && self.own.0 != 0;
        if leaf && origin.is_some_and(|origin| origin != self.own) {
            // The centre has told it, or is told by the origin. Of an origin that is lost, the leaf may know
            // what the centre does not: region 3, which begins again, gets from region 2 what that cannot
            // tell the centre, and then region 2 is lost.
            told.clear();
        }
        told.retain(|region| Some(*region) != origin);
        told
    }

    /// Whether a change goes on at once. Where everyone is told by its origin, others tell of it only
    /// when that does not seem to work.
    pub fn passes_at_once(&self, origin: Option<Actor>) -> bool {
        self.topology != Topology::AllToAll || origin == Some(self.own)
    }
}

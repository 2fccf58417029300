//! Whom a fault hits and which links it cuts, by what is observed at the moment it begins.

use std::fmt::Write;

use checkers::history::NodeId;

use crate::nemesis::{Shape, Target};
use crate::seed::{Seed, Stream};

use super::context::{NodeStatus, Role};
use super::network::Link;
use super::shared::Place;
use super::world::NOBODY;

/// The cluster as observed at one moment.
pub(crate) struct Observed {
    /// Every node: its number, whether it is up, and what it says about itself.
    pub(crate) nodes: Vec<(NodeId, bool, NodeStatus)>,
    /// Those of them that are up and that clients have turned to lately, the last one first.
    pub(crate) asked: Vec<NodeId>,
}

/// What a fault leaves open is decided by a stream of its own.
pub(crate) fn stream_of(salt: u64) -> Stream {
    Seed(salt).stream("target")
}

impl Observed {
    /// The nodes that a target stands for, in order. Only nodes that are up are chosen.
    pub(crate) fn resolve(&self, target: Target, stream: &mut Stream) -> Vec<NodeId> {
        let mut up: Vec<NodeId> =
            self.nodes.iter().filter(|(_, up, _)| *up).map(|(id, ..)| *id).collect();
        let majority = self.nodes.len() / 2 + 1;
        let some = match target {
            Target::Node(node) => {
                up.retain(|id| *id == node);
                1
            }
            Target::All => up.len(),
            Target::One => 1,
            Target::Minority | Target::LeaderWithMinority => (self.nodes.len() - majority).max(1),
            Target::Majority => majority,
            Target::Leader => {
                if let Some(leader) = self.leader() {
                    up.retain(|id| *id == leader);
                }
                1
            }
            Target::Follower => {
                let leader = self.leader();
                up.retain(|id| Some(*id) != leader);
                1
            }
        };
        stream.shuffle(&mut up);
        if target == Target::LeaderWithMinority {
            let leader = self.leader();
            up.sort_by_key(|id| Some(*id) != leader);
        }
        up.truncate(some);
        up.sort();
        up
    }

    /// The same, but among nodes that clients turn to, or the one that they turned to last.
    fn resolve_asked(&self, target: Target, stream: &mut Stream) -> Vec<NodeId> {
        let some = self.resolve(target, stream);
        match self.asked.first() {
            Some(last) if !some.iter().any(|id| self.asked.contains(id)) => vec![*last],
            _ => some,
        }
    }

    /// The same, but one that is meant by its number also while it is down: its links are there.
    fn resolve_parted(&self, target: Target, stream: &mut Stream) -> Vec<NodeId> {
        match target {
            Target::Node(node) if self.nodes.iter().any(|(id, ..)| *id == node) => vec![node],
            _ => self.resolve(target, stream),
        }
    }

    /// The node that is up and leads in the highest term.
    fn leader(&self) -> Option<NodeId> {
        self.nodes
            .iter()
            .filter(|(_, up, status)| *up && status.role == Role::Leader)
            .max_by_key(|(_, _, status)| status.term)
            .map(|(id, ..)| *id)
    }

    /// The directed links that a partition cuts, and the partition in words.
    ///
    /// Where nodes are down, the cut may fall so that no two nodes that are up would notice, and
    /// nodes that wait for a leader may elect the one in the middle of a bridge, and never use the
    /// links that are cut. Then the partition isolates one node instead, unless it is of a node by its number: that may come
    /// back while it lasts. Clients may turn to none of the
    /// nodes that they are to be cut off from. Then it is the one that they turned to last.
    pub(crate) fn cuts(&self, shape: Shape, stream: &mut Stream) -> Cuts {
        let waits = |(_, up, status): &(NodeId, bool, NodeStatus)| *up && status.term > 0;
        let leaderless = self.leader().is_none() && self.nodes.iter().any(waits);
        let shape = match shape {
            Shape::Bridge {} if leaderless => Shape::Isolate { target: Target::One },
            shape => shape,
        };
        let cuts = self.cuts_of_shape(shape, stream);
        let up = |place: usize| {
            let mut nodes = self.nodes.iter();
            nodes.any(|(id, up, _)| *up && id.index() == place) || place == Place::CLIENTS.0
        };
        let is_of_a_number = matches!(shape.target(), Some(Target::Node(_)));
        let is_left = is_of_a_number || shape.is_of_clients();
        if is_left || cuts.links.iter().any(|link| up(link.from) && up(link.to)) {
            return cuts;
        }
        self.cuts_of_shape(Shape::Isolate { target: Target::One }, stream)
    }

    fn cuts_of_shape(&self, shape: Shape, stream: &mut Stream) -> Cuts {
        let mut all: Vec<NodeId> = self.nodes.iter().map(|(id, ..)| *id).collect();
        match shape {
            Shape::Everywhere {} => {
                let mut cuts = Cuts::one_way(&all, &all, "all links".to_owned());
                cuts.links.retain(|link| link.from != link.to);
                cuts.links.extend(all.iter().flat_map(|id| with_clients(*id)));
                cuts
            }
            Shape::Clients { target } => {
                let some = self.resolve_asked(target, stream);
                let links = some.iter().flat_map(|id| with_clients(*id)).collect();
                Cuts { links, what: format!("clients | {}", named(&some)) }
            }
            Shape::Requests { target } => {
                let some = self.resolve_asked(target, stream);
                let links = some.iter().map(|id| with_clients(*id)[0]).collect();
                Cuts { links, what: format!("clients -/-> {}", named(&some)) }
            }
            Shape::Answers { target } => {
                let some = self.resolve_asked(target, stream);
                let links = some.iter().map(|id| with_clients(*id)[1]).collect();
                Cuts { links, what: format!("{} -/-> clients", named(&some)) }
            }
            Shape::Isolate { target } => {
                let some = self.resolve_parted(target, stream);
                let rest = without(&all, &some);
                Cuts::both_ways(&some, &rest, words(&[&some, &rest]))
            }
            Shape::Mute { target } => {
                let some = self.resolve_parted(target, stream);
                let rest = without(&all, &some);
                let what = format!("{} -/-> {}", named(&some), named(&rest));
                Cuts::one_way(&some, &rest, what)
            }
            Shape::Deaf { target } => {
                let some = self.resolve_parted(target, stream);
                let rest = without(&all, &some);
                let what = format!("{} -/-> {}", named(&rest), named(&some));
                Cuts::one_way(&rest, &some, what)
            }
            Shape::Halves {} => {
                stream.shuffle(&mut all);
                let (a, b) = all.split_at(all.len() / 2);
                Cuts::both_ways(a, b, words(&[a, b]))
            }
            Shape::Bridge {} => {
                stream.shuffle(&mut all);
                // With the leader in the middle, nobody would miss the links that are cut.
                if all.len() > 1 && self.leader() == Some(all[0]) {
                    all.swap(0, 1);
                }
                let (bridge, rest) = all.split_at(1);
                let (a, b) = rest.split_at(rest.len() / 2);
                let what = format!("{}, bridged by {}", words(&[a, b]), named(bridge));
                Cuts::both_ways(a, b, what)
            }
            Shape::MajoritiesRing {} => {
                stream.shuffle(&mut all);
                majorities_ring(&all)
            }
        }
    }
}

/// What clients say to a node, and what it says to them.
fn with_clients(node: NodeId) -> [Link; 2] {
    let (clients, node) = (Place::CLIENTS.0, node.index());
    [Link { from: clients, to: node }, Link { from: node, to: clients }]
}

/// Each node sees itself and its nearest neighbours on a ring, as many as make a majority.
fn majorities_ring(ring: &[NodeId]) -> Cuts {
    let mut cuts = Cuts { links: Vec::new(), what: format!("ring {}", list(ring)) };
    for (index, from) in ring.iter().enumerate() {
        for (other, to) in ring.iter().enumerate() {
            if !see_each_other(ring.len(), index, other) {
                cuts.links.push(Link { from: from.index(), to: to.index() });
            }
        }
    }
    cuts
}

/// Whether two places on a ring are so near each other that their nodes see each other.
pub(crate) fn see_each_other(len: usize, one: usize, other: usize) -> bool {
    let around = one.abs_diff(other);
    around.min(len - around) <= (len / 2).div_ceil(2)
}

/// What a partition cuts.
pub(crate) struct Cuts {
    /// Directed links.
    pub(crate) links: Vec<Link>,
    /// The partition in words.
    pub(crate) what: String,
}

impl Cuts {
    fn one_way(from: &[NodeId], to: &[NodeId], what: String) -> Cuts {
        let link = |from: &NodeId, to: &NodeId| Link { from: from.index(), to: to.index() };
        let links = from.iter().flat_map(|a| to.iter().map(move |b| link(a, b))).collect();
        Cuts { links, what }
    }

    fn both_ways(a: &[NodeId], b: &[NodeId], what: String) -> Cuts {
        let mut cuts = Cuts::one_way(a, b, what);
        cuts.links.extend(Cuts::one_way(b, a, String::new()).links);
        cuts
    }
}

fn without(all: &[NodeId], some: &[NodeId]) -> Vec<NodeId> {
    all.iter().filter(|id| !some.contains(id)).copied().collect()
}

/// Nodes in words: `n1 n2`.
pub(crate) fn list(nodes: &[NodeId]) -> String {
    let mut words = String::new();
    for (index, node) in nodes.iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        write!(words, "{gap}n{node}").expect("writing to a string does not fail");
    }
    words
}

/// The same, or `nobody`.
pub(crate) fn named(nodes: &[NodeId]) -> String {
    if nodes.is_empty() { NOBODY.to_owned() } else { list(nodes) }
}

fn words(groups: &[&[NodeId]]) -> String {
    groups.iter().map(|group| named(group)).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(size: u32) -> Observed {
        let nodes = (1..=size).map(|id| (NodeId(id), true, NodeStatus::default()));
        Observed { nodes: nodes.collect(), asked: Vec::new() }
    }

    /// How many nodes each node can talk with, itself included, both directions whole.
    fn reach(size: u32, cuts: &Cuts) -> Vec<usize> {
        let cut = |from, to| cuts.links.contains(&Link { from, to });
        let whole = |a, b| !cut(a, b) && !cut(b, a);
        let ids = || 1..=size as usize;
        ids().map(|a| ids().filter(|b| whole(a, *b)).count()).collect()
    }

    #[test]
    fn on_a_majorities_ring_each_node_sees_a_majority_and_no_two_see_the_same() {
        for size in 4..=9 {
            let cuts = cluster(size).cuts(Shape::MajoritiesRing {}, &mut stream_of(9));
            let reach = reach(size, &cuts);
            let majority = size as usize / 2 + 1;
            assert!(reach.iter().all(|seen| (majority..size as usize).contains(seen)), "{reach:?}");
        }
    }

    #[test]
    fn a_bridge_connects_two_halves_that_do_not_hear_each_other() {
        let cuts = cluster(5).cuts(Shape::Bridge {}, &mut stream_of(1));
        let mut reach = reach(5, &cuts);
        reach.sort_unstable();
        assert_eq!(reach, [3, 3, 3, 3, 5]);
    }

    #[test]
    fn halves_are_as_even_as_can_be() {
        let mut reach = reach(5, &cluster(5).cuts(Shape::Halves {}, &mut stream_of(1)));
        reach.sort_unstable();
        assert_eq!(reach, [2, 2, 3, 3, 3]);
    }

    #[test]
    fn a_mute_node_hears_and_a_deaf_one_speaks() {
        let target = Target::Node(NodeId(2));
        let mute = cluster(3).cuts(Shape::Mute { target }, &mut stream_of(1));
        assert_eq!(mute.links, [(2, 1), (2, 3)].map(link));
        let deaf = cluster(3).cuts(Shape::Deaf { target }, &mut stream_of(1));
        assert_eq!(deaf.links, [(1, 2), (3, 2)].map(link));
        assert_eq!(deaf.what, "n1 n3 -/-> n2");
    }

    fn link((from, to): (usize, usize)) -> Link {
        Link { from, to }
    }

    #[test]
    fn links_with_clients_are_cut_both_ways_or_one_way_and_others_are_whole() {
        let target = Target::Node(NodeId(2));
        let cuts = |shape| cluster(3).cuts(shape, &mut stream_of(1));
        assert_eq!(cuts(Shape::Clients { target }).links, [(0, 2), (2, 0)].map(link));
        assert_eq!(cuts(Shape::Requests { target }).links, [link((0, 2))]);
        let answers = cuts(Shape::Answers { target });
        assert_eq!((answers.links, &*answers.what), (vec![link((2, 0))], "n2 -/-> clients"));
        assert_eq!(cuts(Shape::Everywhere {}).links.len(), 4 * 3);
    }

    #[test]
    fn clients_are_cut_off_from_a_node_that_they_turn_to() {
        let mut observed = cluster(5);
        observed.asked = vec![NodeId(4), NodeId(2)];
        let resolved = |target| observed.resolve_asked(target, &mut stream_of(1));
        assert_eq!(resolved(Target::Node(NodeId(1))), [NodeId(4)]);
        assert_eq!(resolved(Target::Node(NodeId(2))), [NodeId(2)]);
    }

    #[test]
    fn the_leader_is_the_one_of_the_highest_term_that_is_up() {
        let mut observed = cluster(3);
        let leads = |term| NodeStatus { role: Role::Leader, term, ..NodeStatus::default() };
        observed.nodes[0].2 = leads(3);
        observed.nodes[1].2 = leads(4);
        let resolve = || observed.resolve(Target::Leader, &mut stream_of(1));
        assert_eq!(resolve(), [NodeId(2)]);
        observed.nodes[1].1 = false;
        let resolved = observed.resolve(Target::Leader, &mut stream_of(1));
        assert_eq!(resolved, [NodeId(1)]);
    }

    #[test]
    fn the_leader_is_among_the_minority_that_it_is_cut_off_with() {
        let mut observed = cluster(5);
        observed.nodes[3].2 = NodeStatus { role: Role::Leader, term: 1, ..NodeStatus::default() };
        for salt in 0..20 {
            let some = observed.resolve(Target::LeaderWithMinority, &mut stream_of(salt));
            assert!(some.len() == 2 && some.contains(&NodeId(4)), "{some:?}");
        }
    }

    #[test]
    fn a_target_takes_as_many_nodes_as_its_name_says() {
        for (target, count) in [
            (Target::One, 1),
            (Target::Minority, 2),
            (Target::Majority, 3),
            (Target::All, 5),
            (Target::Leader, 1),
        ] {
            assert_eq!(cluster(5).resolve(target, &mut stream_of(5)).len(), count, "{target}");
        }
    }
}

//! A graph of dependencies: who has to come before whom, and by what kind of reason.
//!
//! Edges lie side by side, by the node they leave (compressed sparse rows). Components are found as
//! Tarjan did ("Depth-First Search and Linear Graph Algorithms", 1972), without recursion: a
//! history may have a million transactions. Short cycles are found by breadth.

use std::collections::VecDeque;

/// The kinds of edges, as bits of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// None of them.
    pub(super) const NONE: Kinds = Kinds(0);
    /// From a version's writer to that of the next.
    pub(super) const WW: Kinds = Kinds(1);
    /// From a version's writer to its reader.
    pub(super) const WR: Kinds = Kinds(2);
    /// From a version's reader to the writer of the next.
    pub(super) const RW: Kinds = Kinds(4);
    /// From a transaction to the next of its session.
    pub(super) const SESSION: Kinds = Kinds(8);
    /// From a transaction to those that began after its end.
    pub(super) const REALTIME: Kinds = Kinds(16);
    /// The way on through a node that is no transaction. It belongs to the edge that led there.
    pub(super) const STEP: Kinds = Kinds(32);

    pub(super) const fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    /// Whether they have one in common.
    pub(super) const fn has(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }
}

/// An edge, without the node it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) to: u32,
    /// One kind.
    pub(super) kind: Kinds,
    /// The append it is about; without meaning for the order of time.
    pub(super) about: u32,
}

/// A path, or a cycle: each edge with the node it leaves.
pub(super) type Path = Vec<(u32, Edge)>;

/// Nodes `0..n` and the edges between them.
pub(super) struct Graph {
    /// Where the edges of a node start; one more at the end.
    starts: Vec<u32>,
    edges: Vec<Edge>,
}

impl Graph {
    /// A graph of `nodes` nodes. Edges from a node to itself say nothing and are left out.
    pub(super) fn new(nodes: usize, list: &[(u32, Edge)]) -> Graph {
        let mut starts = vec![0_u32; nodes + 1];
        let kept = || list.iter().filter(|(from, edge)| *from != edge.to);
        for (from, _) in kept() {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut places = starts.clone();
        let nowhere = Edge { to: 0, kind: Kinds::NONE, about: 0 };
        let mut edges = vec![nowhere; starts[nodes] as usize];
        for (from, edge) in kept() {
            let place = &mut places[*from as usize];
            edges[*place as usize] = *edge;
            *place += 1;
        }
        Graph { starts, edges }
    }

    pub(super) fn node_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The edges that leave a node.
    pub(super) fn out(&self, node: u32) -> &[Edge] {
        let node = node as usize;
        &self.edges[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// The graph whose cycles are those without two `rw` edges in a row: each node is there twice,
    /// `2 n` for those who come by another edge and `2 n + 1` for those who come by an `rw` edge
    /// and may not leave by one.
    pub(super) fn split(&self) -> Graph {
        let mut list = Vec::new();
        for node in 0..self.node_count() as u32 {
            for edge in self.out(node) {
                let mut add = |from: u32, to: u32| list.push((from, Edge { to, ..*edge }));
                if edge.kind == Kinds::RW {
                    add(2 * node, 2 * edge.to + 1);
                } else if edge.kind == Kinds::STEP {
                    add(2 * node, 2 * edge.to);
                    add(2 * node + 1, 2 * edge.to + 1);
                } else {
                    add(2 * node, 2 * edge.to);
                    add(2 * node + 1, 2 * edge.to);
                }
            }
        }
        Graph::new(2 * self.node_count(), &list)
    }

    /// The strongly connected components of more than one node, by edges of these kinds: each
    /// sorted, and all sorted by their first node.
    pub(super) fn components(&self, kinds: Kinds) -> Vec<Vec<u32>> {
        Tarjan::new(self, kinds).run()
    }
}

const UNSEEN: u32 = u32::MAX;

/// Tarjan's search, with the calls of the recursive one on a stack of its own.
struct Tarjan<'a> {
    graph: &'a Graph,
    kinds: Kinds,
    /// When each node was first seen.
    order: Vec<u32>,
    /// The earliest node on the stack that each node reaches.
    low: Vec<u32>,
    on_stack: Vec<bool>,
    stack: Vec<u32>,
    /// Nodes that are being visited, and how many of their edges have been followed.
    calls: Vec<(u32, u32)>,
    seen: u32,
    found: Vec<Vec<u32>>,
}

impl<'a> Tarjan<'a> {
    fn new(graph: &'a Graph, kinds: Kinds) -> Tarjan<'a> {
        let nodes = graph.node_count();
        Tarjan {
            graph,
            kinds,
            order: vec![UNSEEN; nodes],
            low: vec![0; nodes],
            on_stack: vec![false; nodes],
            stack: Vec::new(),
            calls: Vec::new(),
            seen: 0,
            found: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<Vec<u32>> {
        for root in 0..self.graph.node_count() as u32 {
            if self.order[root as usize] == UNSEEN {
                self.enter(root);
            }
            while let Some((node, followed)) = self.calls.last_mut() {
                let node = *node;
                if let Some(edge) = self.graph.out(node).get(*followed as usize) {
                    *followed += 1;
                    if self.kinds.has(edge.kind) {
                        self.follow(node, edge.to);
                    }
                } else {
                    self.calls.pop();
                    self.leave(node);
                }
            }
        }
        self.found.sort();
        self.found
    }

    fn enter(&mut self, node: u32) {
        self.order[node as usize] = self.seen;
        self.low[node as usize] = self.seen;
        self.seen += 1;
        self.on_stack[node as usize] = true;
        self.stack.push(node);
        self.calls.push((node, 0));
    }

    fn follow(&mut self, node: u32, to: u32) {
        if self.order[to as usize] == UNSEEN {
            self.enter(to);
        } else if self.on_stack[to as usize] {
            let low = &mut self.low[node as usize];
            *low = (*low).min(self.order[to as usize]);
        }
    }

    fn leave(&mut self, node: u32) {
        let low = self.low[node as usize];
        if let Some((caller, _)) = self.calls.last() {
            let above = &mut self.low[*caller as usize];
            *above = (*above).min(low);
        }
        if low != self.order[node as usize] {
            return;
        }
        if self.stack.last() == Some(&node) {
            // Alone, as nearly every transaction of a good store is.
            self.stack.pop();
            self.on_stack[node as usize] = false;
            return;
        }
        let place = self.stack.iter().rposition(|one| *one == node);
        let mut component = self.stack.split_off(place.expect("a root is still on the stack"));
        for one in &component {
            self.on_stack[*one as usize] = false;
        }
        component.sort_unstable();
        self.found.push(component);
    }
}

/// Finds shortest paths, and counts how far it looked.
pub(super) struct Paths<'a> {
    graph: &'a Graph,
    /// Of each node, the round in which it was last reached.
    reached: Vec<u32>,
    distance: Vec<u32>,
    /// By which edge.
    came: Vec<(u32, Edge)>,
    round: u32,
    /// How many edges were looked at in all.
    pub(super) steps: u64,
}

impl<'a> Paths<'a> {
    pub(super) fn new(graph: &'a Graph) -> Paths<'a> {
        let nodes = graph.node_count();
        let nowhere = (0, Edge { to: 0, kind: Kinds::NONE, about: 0 });
        Paths {
            graph,
            reached: vec![0; nodes],
            distance: vec![0; nodes],
            came: vec![nowhere; nodes],
            round: 0,
            steps: 0,
        }
    }

    /// A shortest path by edges of these kinds through nodes that `may` be entered. Nodes that are
    /// no transactions do not count: the edges that leave them have no length.
    pub(super) fn shortest(
        &mut self,
        from: u32,
        to: u32,
        kinds: Kinds,
        may: impl Fn(u32) -> bool,
    ) -> Option<Path> {
        self.round += 1;
        let round = self.round;
        self.reached[from as usize] = round;
        self.distance[from as usize] = 0;
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                return Some(self.path(from, to));
            }
            for edge in self.graph.out(node) {
                self.steps += 1;
                if !kinds.has(edge.kind) || !may(edge.to) {
                    continue;
                }
                let next = edge.to as usize;
                let length = self.distance[node as usize] + u32::from(edge.kind != Kinds::STEP);
                if self.reached[next] == round && self.distance[next] <= length {
                    continue;
                }
                self.reached[next] = round;
                self.distance[next] = length;
                self.came[next] = (node, *edge);
                if edge.kind == Kinds::STEP {
                    queue.push_front(edge.to);
                } else {
                    queue.push_back(edge.to);
                }
            }
        }
        None
    }

    fn path(&self, from: u32, to: u32) -> Path {
        let mut path = Path::new();
        let mut node = to;
        while node != from {
            let step = self.came[node as usize];
            path.push(step);
            node = step.0;
        }
        path.reverse();
        path
    }
}

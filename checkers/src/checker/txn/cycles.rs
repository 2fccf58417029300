//! Cycles of transactions that a level of isolation forbids.
//!
//! For each class of cycles, from the worst to the most common and first without the order of
//! sessions and time, the graph of its edges is cut into components; each that has more than one
//! node is a violation, and its shortest cycle is told. A component that holds a cycle told before
//! is left out, so every cycle told is of the class that is searched for. What is found does not
//! depend on a budget; only how short the cycles are does.

use rustc_hash::FxHashMap;

use super::anomalies::{Class, Level};
use super::graph::{Edge, Graph, Kinds, Path, Paths};

/// How many edges may be looked at for cycles that are shorter than the first one found.
const STEPS_MAX: u64 = 4_000_000;

/// A cycle of transactions.
pub(super) struct Cycle {
    /// Each transaction, and why it comes before the next one (or, at the end, the first): the kind
    /// of the reason and the append that it is about. The transaction invoked first comes first.
    pub(super) steps: Vec<(u32, Kinds, u32)>,
}

/// The cycles that a level forbids, among the first `txns` nodes of a graph.
pub(super) fn forbidden(graph: &Graph, txns: usize, level: Level) -> Vec<Cycle> {
    let extras = [Kinds::NONE, Kinds::SESSION, Kinds::REALTIME];
    let extras = if level == Level::StrictSerializable { &extras[..] } else { &extras[..1] };
    let classes = || Class::ALL.into_iter().filter(|class| class.level() <= level);
    let all = classes().fold(Kinds::NONE, |kinds, class| kinds.with(class.kinds()));
    let all = extras.iter().fold(all, |kinds, extra| kinds.with(*extra));
    let mut search = Search { txns, told: vec![false; txns], spent: 0, cycles: Vec::new() };
    if graph.components(all).is_empty() {
        return search.cycles;
    }
    let split = graph.split();
    for extra in extras {
        for class in classes() {
            let graph = if class == Class::Nonadjacent { &split } else { graph };
            search.search(graph, class, class.kinds().with(*extra));
        }
    }
    search.cycles
}

struct Search {
    txns: usize,
    /// Transactions on a cycle that has been told.
    told: Vec<bool>,
    spent: u64,
    cycles: Vec<Cycle>,
}

impl Search {
    fn search(&mut self, graph: &Graph, class: Class, kinds: Kinds) {
        let is_split = class == Class::Nonadjacent;
        let original = |node: u32| if is_split { node / 2 } else { node };
        let mut component_of = vec![u32::MAX; graph.node_count()];
        let mut paths = Paths::new(graph);
        for (number, nodes) in graph.components(kinds).iter().enumerate() {
            let is_told = |node: &u32| self.told.get(original(*node) as usize) == Some(&true);
            if nodes.iter().any(is_told) {
                continue;
            }
            for node in nodes {
                component_of[*node as usize] = number as u32;
            }
            let component = Component {
                graph,
                nodes,
                mark: class.mark(),
                component_of: &component_of,
                number: number as u32,
            };
            // A cycle with one `rw` edge is easier to understand than one with several.
            let limit = STEPS_MAX.saturating_sub(self.spent);
            let one = is_split
                .then(|| component.shortest(&mut paths, kinds.without(Kinds::RW), limit / 2));
            let path = one.flatten().or_else(|| component.shortest(&mut paths, kinds, limit));
            self.spent += std::mem::take(&mut paths.steps);
            let mut path = path.expect("an edge within a component is on a cycle");
            if is_split {
                path = simple(path);
            }
            let step = |(node, edge): &(u32, Edge)| (original(*node), edge.kind, edge.about);
            let steps: Vec<(u32, Kinds, u32)> = path.iter().map(step).collect();
            let cycle = collapse(&steps, self.txns as u32);
            for (txn, _, _) in &cycle.steps {
                self.told[*txn as usize] = true;
            }
            self.cycles.push(cycle);
        }
    }
}

/// A strongly connected component.
struct Component<'a> {
    graph: &'a Graph,
    nodes: &'a [u32],
    /// The kind of edges that every cycle in it has.
    mark: Kinds,
    component_of: &'a [u32],
    number: u32,
}

impl Component<'_> {
    /// The shortest cycle that has one marked edge and goes on by edges of these kinds: of all
    /// marked edges, or of as many as it may look for; but always of one, if there is one.
    fn shortest(&self, paths: &mut Paths<'_>, kinds: Kinds, limit: u64) -> Option<Path> {
        let inside = |node: u32| self.component_of[node as usize] == self.number;
        let marked = self.nodes.iter().flat_map(|node| {
            let out = self.graph.out(*node).iter();
            out.filter(|edge| edge.kind == self.mark && inside(edge.to)).map(|edge| (*node, *edge))
        });
        let mut best: Option<(usize, Path)> = None;
        for (tried, (from, edge)) in marked.enumerate() {
            if tried > 0 && paths.steps > limit {
                break;
            }
            let Some(back) = paths.shortest(edge.to, from, kinds, inside) else { continue };
            let length = back.iter().filter(|(_, edge)| edge.kind != Kinds::STEP).count() + 1;
            if best.as_ref().is_none_or(|(shortest, _)| length < *shortest) {
                let cycle = [(from, edge)].into_iter().chain(back).collect();
                best = Some((length, cycle));
            }
            if length == 2 {
                break;
            }
        }
        best.map(|(_, path)| path)
    }
}

/// A cycle of a split graph that does not come twice through the same node of the graph that was
/// split.
fn simple(mut path: Path) -> Path {
    loop {
        let mut seen: FxHashMap<u32, usize> = FxHashMap::default();
        let twice = path.iter().enumerate().find_map(|(place, (node, _))| {
            seen.insert(node / 2, place).map(|earlier| (earlier, place))
        });
        let Some((earlier, place)) = twice else { return path };
        // It comes to the node once by an `rw` edge and leaves it then by another one. The part
        // from there on to the other time is a cycle by itself, without two `rw` edges in a row.
        if path[earlier].0 % 2 == 1 {
            path = path[earlier..place].to_vec();
        } else {
            path.drain(earlier..place);
        }
    }
}

/// A cycle without the nodes that are no transactions.
fn collapse(path: &[(u32, Kinds, u32)], txns: u32) -> Cycle {
    let is_txn = |(node, _, _): &(u32, Kinds, u32)| *node < txns;
    let mut steps: Vec<(u32, Kinds, u32)> = Vec::new();
    let start = path.iter().position(is_txn);
    let start = start.expect("nodes of lists and barriers alone are on no cycle");
    for step in path[start..].iter().chain(&path[..start]) {
        if is_txn(step) {
            steps.push(*step);
        } else if let Some((_, _, about)) = steps.last_mut() {
            // The last step tells which append it led to.
            *about = step.2;
        }
    }
    let first = steps.iter().enumerate().min_by_key(|(_, (txn, _, _))| *txn);
    let first = first.map_or(0, |(place, _)| place);
    steps.rotate_left(first);
    Cycle { steps }
}

//! The causal order of a history: program order and reads-from, as vector clocks.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::checker::order::{Order, seen};
use crate::history::{
    Event, History, KeyId, Op, Operation, OperationId, Phase, SessionId, ValueId,
};

/// One operation of the graph, by its place.
pub(super) type Node = usize;

/// An operation that took effect or saw something, or a write that may have.
pub(super) struct Vertex {
    pub(super) id: OperationId,
    pub(super) key: KeyId,
    pub(super) session: SessionId,
    /// Its lane, and its position in it. A session is one lane, or several where its processes
    /// overlap. None for a write without an answer: it may take effect after what its session does
    /// next, so nothing of its session follows it.
    pub(super) lane: Option<(usize, u32)>,
    pub(super) writes: bool,
    pub(super) reads: Source,
    /// What comes directly before it: in its session, and what it read from.
    before: SmallVec<[Node; 2]>,
}

/// Where a value that was read comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It read nothing, or several writes could have been it.
    Unknown,
    /// The state at the start.
    Start,
    /// One write.
    Write(Node),
    /// Nobody's write.
    ThinAir,
}

/// The causal order.
pub(super) struct Graph {
    pub(super) vertices: Vec<Vertex>,
    pub(super) lanes: usize,
    /// Keys of which some value was written twice: what their reads read from is open.
    pub(super) ambiguous: FxHashSet<KeyId>,
    /// The compare-and-sets without an answer that took effect, each with who found what it wrote.
    pub(super) finders: FxHashMap<OperationId, OperationId>,
    /// The nodes in an order that keeps to causality, without those on or behind a cycle.
    pub(super) sorted: Vec<Node>,
    /// How much of each lane each node knows, itself included; row by row.
    clocks: Vec<u32>,
    /// Of each write without an answer: who knew it first, lane by lane.
    known: FxHashMap<Node, Vec<(usize, u32)>>,
}

/// More clocks than this are not made: the verdict is unknown.
const CLOCKS_MAX: usize = 1 << 26;
/// Through so many nodes of a cycle a shorter one is looked for.
const CYCLES_TRIED_MAX: usize = 16;

impl Graph {
    /// Builds the graph; none if it would need too much memory.
    pub(super) fn new(history: &History, order: &Order<'_>) -> Option<Graph> {
        let mut graph = Graph {
            vertices: Vec::new(),
            lanes: 0,
            ambiguous: ambiguous(history, order),
            finders: finders(history, order),
            sorted: Vec::new(),
            clocks: Vec::new(),
            known: FxHashMap::default(),
        };
        graph.add_sessions(history, order);
        graph.add_reads(history, order);
        if graph.vertices.len().saturating_mul(graph.lanes) > CLOCKS_MAX {
            return None;
        }
        let before: Vec<&[Node]> = graph.vertices.iter().map(|vertex| &vertex.before[..]).collect();
        graph.sorted = sort(&before);
        graph.tick();
        graph.spread();
        Some(graph)
    }

    /// Makes the vertices, and puts them behind what their session had done before.
    fn add_sessions(&mut self, history: &History, order: &Order<'_>) {
        /// What one session has done so far.
        #[derive(Default)]
        struct Lane {
            number: usize,
            length: u32,
            last: Option<Node>,
            is_busy: bool,
        }
        let mut sessions: FxHashMap<SessionId, Vec<Lane>> = FxHashMap::default();
        let mut lane_of: FxHashMap<OperationId, usize> = FxHashMap::default();
        for (_, event) in history.events() {
            match event {
                Event::Phase(Phase::Final) => break,
                Event::Phase(_) | Event::Fault(_) => {}
                Event::Complete(operation) => {
                    if let Some(lane) = lane_of.remove(&operation.id) {
                        let lanes = sessions.get_mut(&operation.session);
                        lanes.expect("its invocation made it")[lane].is_busy = false;
                    }
                }
                Event::Invoke(operation) => {
                    if !order.is_register(*operation.op.key())
                        || !matters(&operation)
                        || is_open_cas(&operation) && !self.finders.contains_key(&operation.id)
                    {
                        continue;
                    }
                    let lanes = sessions.entry(operation.session).or_default();
                    let idle = |lane: &&Lane| !lane.is_busy;
                    let before = lanes.iter().filter(idle).filter_map(|lane| lane.last).collect();
                    let node = self.vertices.len();
                    let mut place = None;
                    if !operation.is_indeterminate() {
                        let at = lanes.iter().position(|lane| !lane.is_busy);
                        let at = at.unwrap_or_else(|| {
                            lanes.push(Lane { number: self.lanes, ..Lane::default() });
                            self.lanes += 1;
                            lanes.len() - 1
                        });
                        let lane = &mut lanes[at];
                        place = Some((lane.number, lane.length));
                        lane.length += 1;
                        lane.last = Some(node);
                        lane.is_busy = true;
                        lane_of.insert(operation.id, at);
                    }
                    self.vertices.push(Vertex {
                        id: operation.id,
                        key: *operation.op.key(),
                        session: operation.session,
                        lane: place,
                        writes: !matches!(operation.op, Op::Read { .. })
                            && (operation.is_ok() || operation.is_indeterminate()),
                        reads: Source::Unknown,
                        before,
                    });
                }
            }
        }
    }

    /// Finds out what each vertex read from, and puts it behind that.
    fn add_reads(&mut self, history: &History, order: &Order<'_>) {
        let nodes: FxHashMap<OperationId, Node> =
            self.vertices.iter().enumerate().map(|(node, vertex)| (vertex.id, node)).collect();
        for vertex in &mut self.vertices {
            let operation = history.operation(vertex.id);
            let key = vertex.key;
            let Some(value) = found(&operation).filter(|_| !self.ambiguous.contains(&key)) else {
                continue;
            };
            let mut writers = order.writers(key, value).filter(|writer| writer.id != vertex.id);
            vertex.reads = match writers.next() {
                None if history.is_initial(value) => Source::Start,
                None => Source::ThinAir,
                Some(_) if may_come_again(history, value) => Source::Unknown,
                Some(writer) => {
                    nodes.get(&writer.id).map_or(Source::Unknown, |node| Source::Write(*node))
                }
            };
            if let Source::Write(writer) = vertex.reads {
                vertex.before.push(writer);
            }
        }
    }

    /// Sets the clocks of all sorted nodes.
    fn tick(&mut self) {
        let lanes = self.lanes;
        self.clocks = vec![0; self.vertices.len() * lanes];
        for node in &self.sorted {
            let vertex = &self.vertices[*node];
            for before in &vertex.before {
                for lane in 0..lanes {
                    let known = self.clocks[before * lanes + lane];
                    let clock = &mut self.clocks[node * lanes + lane];
                    *clock = known.max(*clock);
                }
            }
            if let Some((lane, position)) = vertex.lane {
                self.clocks[node * lanes + lane] = position + 1;
            }
        }
    }

    /// Finds out who knew the writes without an answer.
    fn spread(&mut self) {
        for node in self.sorted.iter().rev() {
            let vertex = &self.vertices[*node];
            let Source::Write(writer) = vertex.reads else { continue };
            if self.vertices[writer].lane.is_some() {
                continue;
            }
            let mine = match vertex.lane {
                Some(place) => vec![place],
                None => self.known.get(node).cloned().unwrap_or_default(),
            };
            let known = self.known.entry(writer).or_default();
            for (lane, position) in mine {
                match known.iter_mut().find(|(other, _)| *other == lane) {
                    Some((_, first)) => *first = position.min(*first),
                    None => known.push((lane, position)),
                }
            }
        }
    }

    /// How much of a lane the node knows, itself included.
    pub(super) fn clock(&self, node: Node, lane: usize) -> u32 {
        self.clocks[node * self.lanes + lane]
    }

    /// Whether one node comes causally before another. Only for sorted nodes.
    pub(super) fn is_before(&self, one: Node, other: Node) -> bool {
        if one == other {
            return false;
        }
        if let Some((lane, position)) = self.vertices[one].lane {
            return self.clock(other, lane) > position;
        }
        let known = self.known.get(&one).map_or(&[][..], |known| known);
        known.iter().any(|(lane, position)| self.clock(other, *lane) > *position)
            || self.is_replaced_by(one, other)
    }

    /// Whether compare-and-sets without an answer lead from one write to another.
    fn is_replaced_by(&self, one: Node, other: Node) -> bool {
        let mut step = other;
        while let (None, Source::Write(writer)) =
            (self.vertices[step].lane, self.vertices[step].reads)
        {
            if writer == one {
                return true;
            }
            step = writer;
        }
        false
    }

    /// The operations on a causal way from one node to another, both ends included. Steps within a
    /// session are told as one.
    pub(super) fn way(&self, one: Node, other: Node) -> Vec<OperationId> {
        let mut way = vec![self.vertices[other].id];
        let mut step = other;
        while step != one {
            let lane = |node: Node| self.vertices[node].lane.map(|(lane, _)| lane);
            if lane(step).is_some() && lane(step) == lane(one) {
                break;
            }
            let leads = |node: &&Node| **node == one || self.is_before(one, **node);
            // What was read is asked first: it leads out of the session.
            let Some(before) = self.vertices[step].before.iter().rev().find(leads) else { break };
            let within = self.vertices[step].reads != Source::Write(*before);
            let turns = match self.vertices[*before].reads {
                Source::Write(writer) => leads(&&writer),
                _ => false,
            };
            if !within || turns {
                way.push(self.vertices[*before].id);
            }
            step = *before;
        }
        way.push(self.vertices[one].id);
        way
    }

    /// The nodes of some cycle, each before the next one; empty if there is none. Of those through a
    /// cycle that is found at once, it goes from session to session the fewest times; steps within a
    /// session are told as one.
    pub(super) fn cycle(&self) -> Vec<Node> {
        let before: Vec<&[Node]> = self.vertices.iter().map(|vertex| &vertex.before[..]).collect();
        let some = cycle(&before, &self.sorted);
        let mut is_sorted = vec![false; self.vertices.len()];
        self.sorted.iter().for_each(|node| is_sorted[*node] = true);
        let tries = some.iter().take(CYCLES_TRIED_MAX);
        let all = tries.map(|start| self.within_sessions(self.shortest(*start, &is_sorted)));
        let mut fewest = all.min_by_key(Vec::len).unwrap_or_default();
        let first = (0..fewest.len()).min_by_key(|place| fewest[*place]).unwrap_or_default();
        fewest.rotate_left(first);
        fewest
    }

    /// The cycle through a node by the fewest reads, each node before the next one.
    fn shortest(&self, start: Node, is_sorted: &[bool]) -> Vec<Node> {
        let mut behind: FxHashMap<Node, Node> = FxHashMap::default();
        // Steps within a session cost nothing, and are looked at first.
        let mut open = VecDeque::from([start]);
        let mut done: FxHashSet<Node> = FxHashSet::default();
        while let Some(node) = open.pop_front() {
            if !done.insert(node) {
                continue;
            }
            for before in self.vertices[node].before.iter().filter(|node| !is_sorted[**node]) {
                if *before == start {
                    let mut way = vec![node];
                    while let Some(node) = way.last().filter(|node| **node != start) {
                        way.push(behind[node]);
                    }
                    way.rotate_right(1);
                    return way;
                }
                if done.contains(before) {
                    continue;
                }
                if self.reads_from(node, *before) {
                    behind.entry(*before).or_insert(node);
                    open.push_back(*before);
                } else {
                    behind.insert(*before, node);
                    open.push_front(*before);
                }
            }
        }
        Vec::new()
    }

    /// Whether a node read what the other one wrote, and does not follow it in its session anyway.
    fn reads_from(&self, node: Node, writer: Node) -> bool {
        let [node, by] = [node, writer].map(|node| &self.vertices[node]);
        let follows = node
            .lane
            .zip(by.lane)
            .is_some_and(|((lane, place), (other, before))| lane == other && before < place);
        node.reads == Source::Write(writer) && !follows
    }

    /// A cycle without what only stands between two others in one session.
    fn within_sessions(&self, cycle: Vec<Node>) -> Vec<Node> {
        let count = cycle.len();
        let stays = |place: &usize| {
            let at = |step: usize| cycle[(place + step) % count];
            // The one before, this one, and the next one.
            let [before, node, next] = [at(count - 1), at(0), at(1)];
            count < 3 || self.reads_from(node, before) || self.reads_from(next, node)
        };
        (0..count).filter(stays).map(|place| cycle[place]).collect()
    }

    /// A cycle of the causal order and more edges, each from the second node to the first.
    pub(super) fn cycle_with(&self, edges: &[(Node, Node)]) -> Vec<Node> {
        let mut before: Vec<SmallVec<[Node; 2]>> =
            self.vertices.iter().map(|vertex| vertex.before.clone()).collect();
        for (after, first) in edges {
            before[*after].push(*first);
        }
        let before: Vec<&[Node]> = before.iter().map(|nodes| &nodes[..]).collect();
        cycle(&before, &sort(&before))
    }
}

/// What an operation found its key to hold, if it tells; of a compare-and-set without an answer,
/// what it must have found if it took effect.
fn found(operation: &Operation<'_>) -> Option<ValueId> {
    match operation.op {
        Op::Cas { from, .. } if operation.is_ok() || operation.is_indeterminate() => Some(from),
        _ => seen(operation),
    }
}

/// Whether it is a compare-and-set without an answer, which may have had no effect.
fn is_open_cas(operation: &Operation<'_>) -> bool {
    operation.is_indeterminate() && matches!(operation.op, Op::Cas { .. })
}

/// The compare-and-sets without an answer that took effect, for what they wrote was found, by somebody with an answer or
/// by another one of them; and who that was. The others may as well have done nothing, and then they found nothing.
fn finders(history: &History, order: &Order<'_>) -> FxHashMap<OperationId, OperationId> {
    let answered = history.operations().filter(|operation| !operation.is_indeterminate());
    let mut open: Vec<Operation<'_>> = answered.collect();
    let mut finders = FxHashMap::default();
    while let Some(finder) = open.pop() {
        let key = *finder.op.key();
        let value = found(&finder).filter(|value| !may_come_again(history, *value));
        let Some(value) = value.filter(|_| order.is_register(key)) else { continue };
        let mut writers = order.writers(key, value);
        let (Some(writer), None) = (writers.next(), writers.next()) else { continue };
        if is_open_cas(&writer) && !finders.contains_key(&writer.id) {
            finders.insert(writer.id, finder.id);
            open.push(writer);
        }
    }
    finders
}

/// Whether an operation of a register did or saw something, or may have written.
fn matters(operation: &Operation<'_>) -> bool {
    match operation.op {
        Op::Read { .. } => operation.value_read().is_some(),
        Op::Write { .. } | Op::Cas { .. } | Op::Delete { .. } => {
            operation.is_ok() || operation.is_indeterminate() || seen(operation).is_some()
        }
        _ => false,
    }
}

/// Whether a key may hold the value by more than one cause: from the start, or by every delete.
fn may_come_again(history: &History, value: ValueId) -> bool {
    value == ValueId::NIL || history.is_initial(value)
}

/// The keys of which some value, other than one that [may come again](may_come_again), was written
/// twice.
fn ambiguous(history: &History, order: &Order<'_>) -> FxHashSet<KeyId> {
    let twice = |operation: &Operation<'_>| {
        let key = *operation.op.key();
        let value = operation.value_written()?;
        if may_come_again(history, value) {
            return None;
        }
        order.writers(key, value).nth(1).map(|_| key)
    };
    history.operations().filter_map(|operation| twice(&operation)).collect()
}

/// Sorts nodes behind what is before them; leaves out what is on a cycle or behind one.
fn sort(before: &[&[Node]]) -> Vec<Node> {
    let mut missing: Vec<usize> = before.iter().map(|before| before.len()).collect();
    let mut after: Vec<SmallVec<[Node; 2]>> = vec![SmallVec::new(); before.len()];
    for (node, before) in before.iter().enumerate() {
        for first in *before {
            after[*first].push(node);
        }
    }
    let mut sorted: Vec<Node> = (0..before.len()).filter(|node| missing[*node] == 0).collect();
    let mut next = 0;
    while let Some(node) = sorted.get(next).copied() {
        next += 1;
        for after in &after[node] {
            missing[*after] -= 1;
            if missing[*after] == 0 {
                sorted.push(*after);
            }
        }
    }
    sorted
}

/// A cycle among the nodes that could not be sorted: each is behind another one of them.
fn cycle(before: &[&[Node]], sorted: &[Node]) -> Vec<Node> {
    let mut is_sorted = vec![false; before.len()];
    for node in sorted {
        is_sorted[*node] = true;
    }
    let Some(mut node) = is_sorted.iter().position(|sorted| !sorted) else { return Vec::new() };
    let mut met = vec![None; before.len()];
    let mut way = Vec::new();
    while met[node].is_none() {
        met[node] = Some(way.len());
        way.push(node);
        let open = before[node].iter().rev().find(|node| !is_sorted[**node]);
        node = *open.expect("what could not be sorted waits for something that could not");
    }
    way.split_off(met[node].expect("the walk ended where it had been"))
}

//! Causal consistency, by the bad patterns of Bouajjani, Enea, Guerraoui and Hamza, "On Verifying
//! Causal Consistency", POPL 2017 (section 5).
//!
//! Where every value is written once, program order and reads-from make the causal order, and a
//! history is causally consistent if and only if it shows none of four patterns: a cycle in the
//! causal order (`cyclic-co`), a read of what nobody wrote (`thin-air-read`), a read of the start
//! although a write of the key comes causally before it (`write-co-init-read`), and a read of a
//! write that another one of the key came causally after, and before the read (`write-co-read`).
//! Causal convergence forbids one more: that causality, and what each read says about which of two
//! writes won, go round in a circle (`cyclic-cf`). The patterns are found with vector clocks, in
//! time proportional to operations times sessions.
//!
//! A write without an answer may take effect late: what its session had done comes before it, but
//! nothing of its session comes after it. If somebody read it, it took effect. A compare-and-set without an
//! answer is left out unless somebody found what it wrote: it may have had no effect. Keys of which a value
//! was written twice are left out, and so are reads of `nil` where the key was deleted, and of what it
//! held in the beginning where that was written again.
//!
//! Keys that are no registers are not judged. Where a key may be one and nothing says so, the verdict
//! is not valid: what was read there may have come from nowhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::findings::not_older;
use super::keys::{Keys, Model};
use super::order::Order;
use super::words::{asked, sentence, sessions};
use crate::history::{History, KeyId, OperationId};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

mod graph;

use graph::{Graph, Node, Source};

/// Which causal consistency is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CausalLevel {
    /// Causal consistency (CC): causes are seen before effects; each session may settle for itself
    /// which of two concurrent writes won.
    #[default]
    Consistency,
    /// Causal convergence (CCv): all sessions settle it alike.
    Convergence,
}

/// Judges causal consistency. See the module.
///
/// One anomaly of each name is told for each session and key, the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Causal {
    level: CausalLevel,
    model: Model,
}

impl Causal {
    /// Makes a checker of one level, which takes every key for what its operations say.
    pub fn new(level: CausalLevel) -> Causal {
        Causal::with_model(level, Model::Auto)
    }

    /// Makes a checker of one level that takes every key for the same.
    pub fn with_model(level: CausalLevel, model: Model) -> Causal {
        Causal { level, model }
    }
}

impl Checker for Causal {
    fn check(&self, history: &History) -> Verdict {
        let order = Order::with_keys(history, Keys::taken_for(history, self.model));
        let method = match self.level {
            CausalLevel::Consistency => "bad patterns of causal consistency (CC)",
            CausalLevel::Convergence => "bad patterns of causal convergence (CCv)",
        };
        let mut coverage = Coverage { method: method.to_owned(), ..Coverage::default() };
        let Some(graph) = Graph::new(history, &order) else {
            let reason = "there are too many operations in too many sessions".to_owned();
            return Verdict::Unknown { reason, coverage };
        };
        let left_out = graph.ambiguous.len();
        if left_out > 0 {
            coverage.method +=
                &format!("; {left_out} keys with values that were written twice are left out");
        }
        let mut judge = Judge::new(history, &graph);
        judge.run(self.level);
        coverage.operations = judge.judged;
        coverage.keys = judge.keys.len();
        let mut anomalies = judge.anomalies;
        anomalies.sort_by_key(|anomaly| anomaly.at);
        if !anomalies.is_empty() {
            return Verdict::Invalid { anomalies, coverage };
        }
        if let [reason, ..] = order.keys_without_model() {
            coverage.keys += order.keys_without_model().len();
            return Verdict::Unknown { reason: reason.clone(), coverage };
        }
        if coverage.operations > 0 {
            return Verdict::Valid(coverage);
        }
        let reason = match left_out {
            0 => "no read shows what it read from".to_owned(),
            _ => format!(
                "no read shows what it read from: {left_out} keys have values that were \
                          written twice"
            ),
        };
        Verdict::Unknown { reason, coverage }
    }
}

/// The writes of one key: by lane, and those without an answer.
#[derive(Default)]
struct Writes {
    lanes: BTreeMap<usize, Vec<(u32, Node)>>,
    unanswered: Vec<Node>,
}

struct Judge<'a> {
    history: &'a History,
    graph: &'a Graph,
    writes: BTreeMap<KeyId, Writes>,
    told: BTreeSet<(&'static str, u32, KeyId)>,
    judged: usize,
    keys: BTreeSet<KeyId>,
    anomalies: Vec<Anomaly>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History, graph: &'a Graph) -> Judge<'a> {
        let mut writes: BTreeMap<KeyId, Writes> = BTreeMap::new();
        let mut sorted = graph.sorted.clone();
        sorted.sort_unstable();
        for node in sorted {
            let vertex = &graph.vertices[node];
            if !vertex.writes {
                continue;
            }
            let of_key = writes.entry(vertex.key).or_default();
            match vertex.lane {
                Some((lane, place)) => of_key.lanes.entry(lane).or_default().push((place, node)),
                None => of_key.unanswered.push(node),
            }
        }
        Judge {
            history,
            graph,
            writes,
            told: BTreeSet::new(),
            judged: 0,
            keys: BTreeSet::new(),
            anomalies: Vec::new(),
        }
    }

    fn run(&mut self, level: CausalLevel) {
        let graph = self.graph;
        let cycle = graph.cycle();
        if !cycle.is_empty() {
            let what = "each of these comes causally before the next one, and the last before the \
                        first: in its session, or because that one read what it wrote";
            let last = *cycle.iter().max().expect("a cycle has nodes");
            let around: Vec<OperationId> =
                cycle.iter().map(|node| graph.vertices[*node].id).collect();
            self.tell_as("cyclic-co", last, &around, None, what);
        }
        for (node, vertex) in graph.vertices.iter().enumerate() {
            if vertex.reads == Source::ThinAir {
                self.judged += 1;
                let key = self.history.key(vertex.key);
                let what = format!("nobody wrote what was found at {key}");
                self.tell("thin-air-read", node, Vec::new(), None, &what);
            }
        }
        let mut conflicts = Vec::new();
        for node in &graph.sorted {
            let vertex = &graph.vertices[*node];
            match vertex.reads {
                Source::Start => self.judge_start(*node),
                Source::Write(writer) => self.judge_read(*node, writer, &mut conflicts),
                Source::Unknown | Source::ThinAir => {}
            }
        }
        // A cycle in the causal order alone has been told.
        if level == CausalLevel::Convergence && cycle.is_empty() {
            self.judge_conflicts(&conflicts);
        }
    }

    /// Looks for a circle of causality and conflicts, each a winner, a loser, and who read it so.
    fn judge_conflicts(&mut self, conflicts: &[(Node, Node, Node)]) {
        let graph = self.graph;
        let edges: Vec<(Node, Node)> =
            conflicts.iter().map(|(winner, loser, _)| (*winner, *loser)).collect();
        let cycle = graph.cycle_with(&edges);
        let Some(last) = cycle.iter().max() else { return };
        let mut witness: Vec<OperationId> =
            cycle.iter().map(|node| graph.vertices[*node].id).collect();
        for (winner, loser) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
            let between =
                |conflict: &&(Node, Node, Node)| (conflict.0, conflict.1) == (*winner, *loser);
            if let Some((_, _, reader)) = conflicts.iter().find(between) {
                witness.extend(graph.way(*loser, *reader));
            }
        }
        let around: Vec<String> = cycle
            .iter()
            .map(|node| format!("`{}`", asked(self.history, graph.vertices[*node].id)))
            .collect();
        let what = format!(
            "{} go round in a circle: each comes causally after the next one, or beat it for a session \
             that knew both, and so did the last with the first",
            around.join(", ")
        );
        self.tell("cyclic-cf", *last, witness, None, &what);
    }

    /// The last write of the key in each lane that the node knows, and those without an answer.
    fn known_writes(&self, node: Node) -> Vec<Node> {
        let vertex = &self.graph.vertices[node];
        let mut known = Vec::new();
        let Some(writes) = self.writes.get(&vertex.key) else { return known };
        for (lane, writes) in &writes.lanes {
            let own = vertex.lane.filter(|(own, _)| own == lane).map(|(_, position)| position);
            let count = own.unwrap_or_else(|| self.graph.clock(node, *lane));
            let count = writes.partition_point(|(position, _)| *position < count);
            known.extend(count.checked_sub(1).map(|last| writes[last].1));
        }
        let before = |write: &&Node| self.graph.is_before(**write, node);
        known.extend(writes.unanswered.iter().filter(before));
        known
    }

    fn judge_start(&mut self, node: Node) {
        self.judged += 1;
        self.keys.insert(self.graph.vertices[node].key);
        let Some(write) = self.known_writes(node).first().copied() else { return };
        let way = self.graph.way(write, node);
        let op = |node: Node| asked(self.history, self.graph.vertices[node].id);
        let what = format!(
            "`{}` comes causally before `{}`, which found the state from before all writes",
            op(write),
            op(node),
        );
        self.tell("write-co-init-read", node, way, Some(write), &what);
    }

    fn judge_read(&mut self, node: Node, writer: Node, conflicts: &mut Vec<(Node, Node, Node)>) {
        self.judged += 1;
        self.keys.insert(self.graph.vertices[node].key);
        let mut newer = None;
        for write in self.known_writes(node) {
            if write == writer {
                continue;
            }
            if self.graph.is_before(writer, write) {
                newer = newer.or(Some(write));
            } else if !self.graph.is_before(write, writer) {
                conflicts.push((writer, write, node));
            }
        }
        let Some(newer) = newer else { return };
        let mut way = self.graph.way(writer, newer);
        way.extend(self.graph.way(newer, node));
        let op = |node: Node| asked(self.history, self.graph.vertices[node].id);
        let reader = match self.graph.vertices[node].lane {
            Some(_) => "the session's read".to_owned(),
            None => format!("`{}`", op(node)),
        };
        let what = format!(
            "`{}` comes causally after `{}` and before {reader}, which found what the \
             earlier one wrote",
            op(newer),
            op(writer),
        );
        self.tell("write-co-read", node, way, Some(newer), &what);
    }

    /// The compare-and-sets without an answer among some operations of which these do not show who found what they wrote,
    /// each with who did, and so on for those.
    fn took_effect(&self, operations: &[OperationId]) -> Vec<(OperationId, OperationId)> {
        let mut shown = operations.to_vec();
        let mut found = Vec::new();
        let mut next = 0;
        while let Some(unanswered) = shown.get(next).copied() {
            next += 1;
            let finder = self.graph.finders.get(&unanswered);
            if let Some(finder) = finder.filter(|finder| !shown.contains(finder)) {
                found.push((unanswered, *finder));
                shown.push(*finder);
            }
        }
        found
    }

    /// Tells an anomaly of these operations and the node, in the order of invocation; where the node found something
    /// older than what a write wrote, which.
    fn tell(
        &mut self,
        name: &'static str,
        node: Node,
        mut operations: Vec<OperationId>,
        newer: Option<Node>,
        conclusion: &str,
    ) {
        operations.push(self.graph.vertices[node].id);
        operations.sort();
        operations.dedup();
        self.tell_as(name, node, &operations, newer, conclusion);
    }

    /// Tells an anomaly of these operations in the order in which they are given.
    fn tell_as(
        &mut self,
        name: &'static str,
        node: Node,
        operations: &[OperationId],
        newer: Option<Node>,
        conclusion: &str,
    ) {
        let vertex = &self.graph.vertices[node];
        if !self.told.insert((name, vertex.session.0, vertex.key)) {
            return;
        }
        let history = self.history;
        let at = history.operation(vertex.id);
        let newer = newer.map(|write| history.operation(self.graph.vertices[write].id));
        let contrast = newer.map(|write| not_older(history, vertex.id, &write));
        let mut explanation: Vec<String> =
            operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
        explanation.extend(sessions(history, operations));
        let mut operations = operations.to_vec();
        for (unanswered, finder) in self.took_effect(&operations) {
            let found = sentence(history, &history.operation(finder));
            explanation.push(format!("{found}; so `{}` took effect", asked(history, unanswered)));
            operations.push(finder);
        }
        explanation.push(conclusion.to_owned());
        operations.sort();
        self.anomalies.push(Anomaly {
            name: name.to_owned(),
            guarantee: Guarantee::Causal,
            at: at.completed_at.unwrap_or(at.invoked_at),
            key: Some(history.key(vertex.key).clone()),
            witness: Witness { operations, faults: history.faults_on(at.invoked) },
            contrast,
            explanation,
        });
    }
}

//! Convergence: once the faults have stopped and the replicas have had time, all of them hold the
//! same, and something that was written.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::order::Order;
use super::words::sentence;
use crate::history::{
    History, KeyId, NodeId, Op, Operation, OperationId, Phase, ReadLevel, Time, ValueId,
};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Convergent;

/// What each node last said it holds, key by key.
type Finals = BTreeMap<KeyId, BTreeMap<NodeId, (ValueId, OperationId)>>;

impl Checker for Convergent {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage = Coverage { method: "final reads".into(), ..Coverage::default() };
        let Some((began, at)) = history.phase_began(Phase::Final) else {
            let reason = "the history has no final reads".to_owned();
            return Verdict::Unknown { reason, coverage };
        };
        let mut finals = Finals::new();
        let mut asked: BTreeMap<KeyId, BTreeSet<NodeId>> = BTreeMap::new();
        for read in history.operations().filter(|operation| operation.invoked > began) {
            let (Op::Read { key, level: ReadLevel::Replica }, Some(node)) = (read.op, read.node)
            else {
                continue;
            };
            asked.entry(key).or_default().insert(node);
            if let Some(value) = read.value_read() {
                coverage.operations += 1;
                finals.entry(key).or_default().insert(node, (value, read.id));
            }
        }
        coverage.keys = finals.len();
        let order = Order::new(history);
        let mut anomalies: Vec<Anomaly> = Vec::new();
        for (key, held) in &finals {
            anomalies.extend(divergence(history, *key, held, at));
            anomalies.extend(phantom(history, &order, *key, held, at));
        }
        if !anomalies.is_empty() {
            return Verdict::Invalid { anomalies, coverage };
        }
        match missing(history, &asked, &finals) {
            Some(reason) => Verdict::Unknown { reason, coverage },
            None => Verdict::Valid(coverage),
        }
    }
}

/// Which replica did not say what it holds. A replica that was asked for one key counts for all.
fn missing(
    history: &History,
    asked: &BTreeMap<KeyId, BTreeSet<NodeId>>,
    finals: &Finals,
) -> Option<String> {
    let nodes: BTreeSet<NodeId> = asked.values().flatten().copied().collect();
    if nodes.is_empty() {
        return Some("no replica was read at the end".to_owned());
    }
    for (key, node) in asked.keys().flat_map(|key| nodes.iter().map(move |node| (key, node))) {
        if !finals.get(key).is_some_and(|held| held.contains_key(node)) {
            let key = history.key(*key);
            return Some(format!("node n{node} did not say what it holds at {key} in the end"));
        }
    }
    None
}

fn divergence(
    history: &History,
    key: KeyId,
    held: &BTreeMap<NodeId, (ValueId, OperationId)>,
    since: Time,
) -> Option<Anomaly> {
    let (first_node, (first, first_read)) = held.iter().next()?;
    let (other_node, (other, other_read)) = held.iter().find(|(_, (value, _))| value != first)?;
    let what = format!(
        "after the run had been quiet until {since}, {} holds {} on node n{first_node} and {} on \
         node n{other_node}",
        history.key(key),
        history.value(*first),
        history.value(*other),
    );
    Some(anomaly(history, "divergence", key, &[*first_read, *other_read], what))
}

fn phantom(
    history: &History,
    order: &Order<'_>,
    key: KeyId,
    held: &BTreeMap<NodeId, (ValueId, OperationId)>,
    since: Time,
) -> Option<Anomaly> {
    let (node, (value, read)) =
        held.iter().find(|(_, (value, _))| !order.is_possible(key, *value))?;
    let what = format!(
        "after the run had been quiet until {since}, node n{node} holds {} = {}, which nobody wrote",
        history.key(key),
        history.value(*value),
    );
    Some(anomaly(history, "phantom-value", key, &[*read], what))
}

fn anomaly(
    history: &History,
    name: &str,
    key: KeyId,
    reads: &[OperationId],
    conclusion: String,
) -> Anomaly {
    let operation = |id: &OperationId| -> Operation<'_> { history.operation(*id) };
    let mut operations = reads.to_vec();
    operations.sort();
    let mut explanation: Vec<String> =
        operations.iter().map(|id| sentence(history, &operation(id))).collect();
    explanation.push(conclusion);
    let last = operation(operations.last().expect("a divergence is between reads"));
    Anomaly {
        name: name.to_owned(),
        guarantee: Guarantee::Convergent,
        at: last.completed_at.unwrap_or(last.invoked_at),
        key: Some(history.key(key).clone()),
        witness: Witness { operations, faults: history.faults_on(last.invoked) },
        explanation,
    }
}

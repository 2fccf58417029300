//! Convergence: once the faults have stopped and the replicas have had time, all of them hold the
//! same, and something that was written.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::findings::but_who_failed;
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
        let Some((_, at)) = history.phase_began(Phase::Final) else {
            let reason = "the history has no final reads".to_owned();
            return Verdict::Unknown { reason, coverage };
        };
        let (asked, finals, answers) = finals(history);
        coverage.operations = answers;
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

/// Who was asked for what at the end, what they said, and how often somebody said something.
fn finals(history: &History) -> (BTreeMap<KeyId, BTreeSet<NodeId>>, Finals, usize) {
    let mut asked: BTreeMap<KeyId, BTreeSet<NodeId>> = BTreeMap::new();
    let (mut finals, mut answers) = (Finals::new(), 0);
    let began = history.phase_began(Phase::Final).map(|(event, _)| event);
    for (key, node, read) in replica_reads(history) {
        if began.is_none_or(|began| read.invoked < began) {
            continue;
        }
        asked.entry(key).or_default().insert(node);
        if let Some(value) = read.value_read() {
            answers += 1;
            finals.entry(key).or_default().insert(node, (value, read.id));
        }
    }
    (asked, finals, answers)
}

fn replica_reads(history: &History) -> impl Iterator<Item = (KeyId, NodeId, Operation<'_>)> {
    history.operations().filter_map(|read| match (read.op, read.node) {
        (Op::Read { key, level: ReadLevel::Replica }, Some(node)) => Some((key, node, read)),
        _ => None,
    })
}

/// A digest of what each replica held at the end, as far as it was asked and answered: 16 hexadecimal
/// digits.
///
/// The first 64 bits of the BLAKE3 hash of a line `key=value` for each key that does not hold `nil`,
/// in the order of the keys' names. Replicas with equal digests hold the same, and the same state
/// has the same digest in every run.
pub fn digests(history: &History) -> BTreeMap<NodeId, String> {
    let (_, finals, _) = finals(history);
    let mut states: BTreeMap<NodeId, BTreeMap<&str, String>> = BTreeMap::new();
    for (key, held) in &finals {
        for (node, (value, _)) in held {
            let state = states.entry(*node).or_default();
            if *value != ValueId::NIL {
                state.insert(history.key(*key).as_str(), history.value(*value).to_string());
            }
        }
    }
    let digest = |state: &BTreeMap<&str, String>| {
        let text: String = state.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    };
    states.iter().map(|(node, state)| (*node, digest(state))).collect()
}

/// When the replicas had converged, as far as the history shows: by this moment every replica had
/// been read with what it holds at the end, key by key, and was never again read with anything else.
///
/// An upper bound, from the replica reads since the faults were undone, those at the end included.
/// None where the replicas did not converge, or one did not answer.
pub fn converged_at(history: &History) -> Option<Time> {
    let (asked, finals, _) = finals(history);
    let agree = |held: &BTreeMap<NodeId, (ValueId, OperationId)>| {
        let mut values = held.values().map(|(value, _)| value);
        let first = values.next();
        values.all(|value| Some(value) == first)
    };
    if missing(history, &asked, &finals).is_some() || !finals.values().all(agree) {
        return None;
    }
    let quiet = history.phase_began(Phase::Liveness).or(history.phase_began(Phase::Final))?.0;
    let mut since: BTreeMap<(KeyId, NodeId), Option<Time>> = BTreeMap::new();
    for (key, node, read) in replica_reads(history).filter(|(_, _, read)| read.invoked > quiet) {
        let Some(value) = read.value_read() else { continue };
        let Some((last, _)) = finals.get(&key).and_then(|held| held.get(&node)) else { continue };
        let since = since.entry((key, node)).or_default();
        *since = if value == *last { since.or(read.completed_at) } else { None };
    }
    since.into_values().max().flatten()
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
    let tried = |write: &Operation<'_>| {
        *write.op.key() == key && write.value_written() == Some(*value) && !write.is_indeterminate()
    };
    let failed = history.operations().find(tried).map(|write| write.id);
    let what = format!(
        "after the run had been quiet until {since}, node n{node} holds {} = {}, which nobody wrote{}",
        history.key(key),
        history.value(*value),
        but_who_failed(history, failed),
    );
    let operations: Vec<OperationId> = failed.into_iter().chain([*read]).collect();
    Some(anomaly(history, "phantom-value", key, &operations, what))
}

fn anomaly(
    history: &History,
    name: &str,
    key: KeyId,
    shown: &[OperationId],
    conclusion: String,
) -> Anomaly {
    let operation = |id: &OperationId| -> Operation<'_> { history.operation(*id) };
    let mut operations = shown.to_vec();
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

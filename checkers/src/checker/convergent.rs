//! Convergence: once the faults have stopped and the replicas have had time, all of them hold the
//! same, and something that was written.
//!
//! What a key is taken for says what is the same: of a set, the same elements in any order, and so where
//! nothing says whether the order of a list counts; and what nobody touched may be `nil`, or an empty set,
//! text or counter. A sum of a counter was written where some of its increments can come to it, a set or a list
//! where each of its elements was put there, and a text that is added to where it is put together of what was.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::contents::{Contents, Foreign};
use super::findings::{but_who_failed, failed_to_write};
use super::keys::{Keys, Model};
use super::order::Order;
use super::words::sentence;
use crate::brief::{WHOLE_MAX, value_in_short};
use crate::history::{
    History, KeyId, NodeId, Op, Operation, OperationId, Phase, ReadLevel, Time, Value, ValueId,
};
use crate::verdict::{Anomaly, Contrast, Coverage, Guarantee, Legal, Verdict, Witness};

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
        let (order, states) = (Order::new(history), States::new(history));
        let (sums, contents) = (states.sums(), LazyCell::new(|| Contents::new(history)));
        let mut anomalies: Vec<Anomaly> = Vec::new();
        for (key, held) in &finals {
            anomalies.extend(divergence(&states, *key, held, at));
            let is_possible = |value: ValueId| {
                order.is_possible(*key, value)
                    && sums.get(key).is_none_or(|sums| sums.contain(history.value(value)))
            };
            let phantom = phantom(history, is_possible, *key, held, at);
            let foreign = || foreign(history, &contents, *key, held, at);
            let is_whole = order.is_register(*key);
            anomalies.extend(phantom.or_else(|| if is_whole { None } else { foreign() }));
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

/// What the keys of a history hold, as their models tell it apart.
struct States<'a> {
    history: &'a History,
    keys: Keys,
}

impl<'a> States<'a> {
    fn new(history: &'a History) -> States<'a> {
        States { history, keys: Keys::new(history) }
    }

    /// The state that a value shows: equal ones are the same. `nil` where the key is as if nobody had
    /// touched it.
    fn state(&self, key: KeyId, value: ValueId) -> Cow<'a, Value> {
        let value = self.history.value(value);
        match (self.keys.models[key.index()], value) {
            (Some(Model::Set) | None, Value::List(elements)) if !elements.is_empty() => {
                let mut sorted = elements.to_vec();
                sorted.sort();
                Cow::Owned(Value::List(sorted.into()))
            }
            (Some(Model::Set), Value::List(_)) | (Some(Model::Counter), Value::Int(0)) => {
                Cow::Owned(Value::Nil)
            }
            (Some(Model::AppendString), Value::Text(text)) if text.is_empty() => {
                Cow::Owned(Value::Nil)
            }
            _ => Cow::Borrowed(value),
        }
    }

    fn are_same(&self, key: KeyId, one: ValueId, other: ValueId) -> bool {
        one == other || self.state(key, one) == self.state(key, other)
    }

    /// What each counter can have come to.
    fn sums(&self) -> BTreeMap<KeyId, Sums> {
        let history = self.history;
        // No counter begins as anything else.
        let Some(start) = history.initial().as_sum() else { return BTreeMap::new() };
        let mut sums: BTreeMap<KeyId, Sums> = BTreeMap::new();
        let mut others: BTreeSet<KeyId> = BTreeSet::new();
        for operation in history.operations() {
            let Op::Increment { key, by } = operation.op else { continue };
            let may_count = !operation.has_failed();
            let of_key = sums.entry(key).or_insert(Sums { least: start, most: start });
            match history.value(by) {
                Value::Int(by) if may_count => {
                    of_key.least += i128::from(*by).min(0);
                    of_key.most += i128::from(*by).max(0);
                }
                Value::Int(_) => {}
                Value::Nil | Value::Text(_) | Value::List(_) => {
                    others.insert(key);
                }
            }
        }
        let is_counter = |key: &KeyId| self.keys.are(*key, Model::Counter) && !others.contains(key);
        sums.retain(|key, _| is_counter(key));
        sums
    }
}

/// The least and the most that some of a counter's increments come to.
struct Sums {
    least: i128,
    most: i128,
}

impl Sums {
    fn contain(&self, value: &Value) -> bool {
        // That it is no counter is for others to say.
        value.as_sum().is_none_or(|sum| (self.least..=self.most).contains(&sum))
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
/// The first 64 bits of the BLAKE3 hash of a line `key=value` for each key that holds something, in
/// the order of the keys' names; the elements of a set are sorted. Replicas with equal digests hold the same, and the same state
/// has the same digest in every run.
pub fn digests(history: &History) -> BTreeMap<NodeId, String> {
    let (_, finals, _) = finals(history);
    let shown = States::new(history);
    let mut states: BTreeMap<NodeId, BTreeMap<&str, String>> = BTreeMap::new();
    for (key, held) in &finals {
        for (node, (value, _)) in held {
            let state = states.entry(*node).or_default();
            let value = shown.state(*key, *value);
            if *value != Value::Nil {
                state.insert(history.key(*key).as_str(), value.to_string());
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
    let states = States::new(history);
    let agree = |(key, held): (&KeyId, &BTreeMap<NodeId, (ValueId, OperationId)>)| {
        let mut values = held.values().map(|(value, _)| *value);
        let first = values.next();
        values.all(|value| first.is_some_and(|first| states.are_same(*key, first, value)))
    };
    if missing(history, &asked, &finals).is_some() || !finals.iter().all(agree) {
        return None;
    }
    let quiet = history.phase_began(Phase::Liveness).or(history.phase_began(Phase::Final))?.0;
    let mut since: BTreeMap<(KeyId, NodeId), Option<Time>> = BTreeMap::new();
    for (key, node, read) in replica_reads(history).filter(|(_, _, read)| read.invoked > quiet) {
        let Some(value) = read.value_read() else { continue };
        let Some((last, _)) = finals.get(&key).and_then(|held| held.get(&node)) else { continue };
        let since = since.entry((key, node)).or_default();
        let is_last = states.are_same(key, value, *last);
        *since = if is_last { since.or(read.completed_at) } else { None };
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
    states: &States<'_>,
    key: KeyId,
    held: &BTreeMap<NodeId, (ValueId, OperationId)>,
    since: Time,
) -> Option<Anomaly> {
    let (first_node, (first, first_read)) = held.iter().next()?;
    let history = states.history;
    let differs = |value: ValueId| !states.are_same(key, *first, value);
    let (other_node, (other, other_read)) = held.iter().find(|(_, (value, _))| differs(*value))?;
    let mut what = format!(
        "after the run had been quiet until {since}, {} holds {} on node n{first_node} and {} on \
         node n{other_node}",
        history.key(key),
        value_in_short(history.value(*first)),
        value_in_short(history.value(*other)),
    );
    for (has, lacks, node) in [(*first, *other, first_node), (*other, *first, other_node)] {
        what += &only_on(history.value(has), history.value(lacks), *node);
    }
    let legal = Legal::SameAs(history.value(*first).clone());
    let contrast = Contrast::new(*other_read, legal).due_to(*first_read);
    let found = anomaly(history, "divergence", key, &[*first_read, *other_read], what);
    Some(Anomaly { contrast: Some(contrast), ..found })
}

/// What a node holds and another one does not, where one of them holds more than is shown.
fn only_on(has: &Value, lacks: &Value, node: NodeId) -> String {
    let (Value::List(has), Value::List(lacks)) = (has, lacks) else { return String::new() };
    let others: BTreeSet<&Value> = lacks.iter().collect();
    let only: Vec<Value> =
        has.iter().filter(|element| !others.contains(element)).cloned().collect();
    if only.is_empty() || has.len().max(lacks.len()) <= WHOLE_MAX {
        return String::new();
    }
    format!("; only n{node} has {}", value_in_short(&Value::List(only.into())))
}

fn phantom(
    history: &History,
    is_possible: impl Fn(ValueId) -> bool,
    key: KeyId,
    held: &BTreeMap<NodeId, (ValueId, OperationId)>,
    since: Time,
) -> Option<Anomaly> {
    let (node, (value, read)) = held.iter().find(|(_, (value, _))| !is_possible(*value))?;
    let failed = failed_to_write(history, key, *value);
    let what = format!(
        "after the run had been quiet until {since}, node n{node} holds {} = {}, which nobody wrote{}",
        history.key(key),
        value_in_short(history.value(*value)),
        but_who_failed(history, failed),
    );
    let operations: Vec<OperationId> = failed.into_iter().chain([*read]).collect();
    Some(anomaly(history, "phantom-value", key, &operations, what))
}

/// The same of a part of what it holds.
fn foreign(
    history: &History,
    contents: &Contents<'_>,
    key: KeyId,
    held: &BTreeMap<NodeId, (ValueId, OperationId)>,
    since: Time,
) -> Option<Anomaly> {
    let mut parts = held
        .iter()
        .map(|(node, (value, read))| (node, *value, *read, contents.foreign(key, *value)));
    let (node, value, read, part) = parts.find(|(_, _, _, part)| part.is_some())?;
    let (what, failed) = match part? {
        Foreign::Element(element) => {
            let failed = contents.failed_to_put(key, element);
            let words = format!(
                "and nobody put {} there{}",
                value_in_short(element),
                but_who_failed(history, failed)
            );
            (words, failed)
        }
        Foreign::Text => ("which nothing of what was added makes".to_owned(), None),
    };
    let conclusion = format!(
        "after the run had been quiet until {since}, node n{node} holds {} = {}, {what}",
        history.key(key),
        value_in_short(history.value(value)),
    );
    let operations: Vec<OperationId> = failed.into_iter().chain([read]).collect();
    Some(anomaly(history, "phantom-value", key, &operations, conclusion))
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
        contrast: None,
        explanation,
    }
}

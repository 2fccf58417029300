//! Sets: a read shows what was added, nothing else, and nothing twice.
//!
//! An element that was acknowledged before a read began has to be in it, unless somebody may have
//! removed it. One that nobody had begun to add before the read ended must not be. Reads of replica
//! level may be old, but show nothing twice, and nothing that was never added; what no replica has in
//! the end is lost. Where a replica that was asked did not answer, it may be the one that has it, and
//! nothing is proved.
//!
//! A strong read that shows an element makes it known, as an acknowledgement does. All this is
//! necessary, not sufficient, because a read shows all elements at one instant: `stormglass check`
//! judges sets exactly, by search.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Checker;
use super::findings::{Findings, but_who_failed};
use super::keys::{Keys, Model};
use super::words::told;
use crate::brief::value_in_short;
use crate::history::{
    EventIndex, History, KeyId, NodeId, Op, Operation, OperationId, Phase, ReadLevel, Value,
    ValueId,
};
use crate::verdict::{Contrast, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Set;

/// Why nothing was judged.
const NOTHING: &str = "no set was read";

/// What is known of one element.
#[derive(Clone, Copy, Debug, Default)]
struct Element {
    /// When somebody first began to add it, without failing.
    begun: Option<EventIndex>,
    /// When it was first acknowledged, or seen, and by which operation.
    known: Option<(EventIndex, OperationId)>,
    /// When somebody first began to remove it, without failing.
    removed: Option<EventIndex>,
    /// Who tried to add it and failed.
    failed: Option<OperationId>,
}

/// The elements of one set, by value, and in the order in which they became known.
#[derive(Default)]
struct Elements {
    by_value: FxHashMap<ValueId, Element>,
    known: Vec<ValueId>,
}

impl Checker for Set {
    fn check(&self, history: &History) -> Verdict {
        let keys = Keys::new(history);
        let mut sets: FxHashMap<KeyId, Elements> = FxHashMap::default();
        for operation in history.operations() {
            if let Op::Add { key, value } | Op::Remove { key, value } = operation.op {
                if !keys.are(key, Model::Set) {
                    continue;
                }
                let element = sets.entry(key).or_default().by_value.entry(value).or_default();
                let adds = matches!(operation.op, Op::Add { .. });
                if operation.has_failed() {
                    element.failed = element.failed.or(Some(operation.id).filter(|_| adds));
                    continue;
                }
                if !adds {
                    element.removed = element.removed.or(Some(operation.invoked));
                    continue;
                }
                element.begun = element.begun.or(Some(operation.invoked));
                let known = operation.completed.filter(|_| operation.is_ok());
                let known = known.map(|end| (end, operation.id));
                element.known = earlier(element.known, known);
            }
        }
        let numbers = numbers(history);
        let mut found =
            Findings::new(history, Guarantee::Set, "each element by itself", sets.len());
        let count = keys.models.iter().filter(|model| **model == Some(Model::Set)).count();
        if count > 0 && *history.initial() != Value::Nil {
            found.coverage.keys = count;
            found.leave_open(format!("no set begins as {}", history.initial()));
            return found.into_verdict(NOTHING);
        }
        let mut reads: Vec<(Operation<'_>, Vec<ValueId>)> = Vec::new();
        for read in history.operations() {
            let (Op::Read { key, .. }, Some(value)) = (read.op, read.value_read()) else {
                continue;
            };
            if keys.are(key, Model::Set) {
                sets.entry(key).or_default();
            }
            let Some(of_key) = sets.get_mut(&key) else { continue };
            let Some(shown) = elements(history, &numbers, value) else {
                let conclusion = format!("{} is no list of elements", told(history, value));
                found.add("not-a-set", &[read.id], conclusion);
                continue;
            };
            found.coverage.operations += 1;
            let shown = judge_shown(&mut found, &numbers, of_key, &read, shown);
            reads.push((read, shown));
        }
        for of_key in sets.values_mut() {
            let mut known: Vec<(EventIndex, ValueId)> = of_key
                .by_value
                .iter()
                .filter_map(|(value, element)| Some((element.known?.0, *value)))
                .collect();
            known.sort_unstable();
            of_key.known = known.into_iter().map(|(_, value)| value).collect();
        }
        judge_missing(&mut found, history, &sets, &reads);
        found.into_verdict(NOTHING)
    }
}

fn earlier(
    one: Option<(EventIndex, OperationId)>,
    other: Option<(EventIndex, OperationId)>,
) -> Option<(EventIndex, OperationId)> {
    [one, other].into_iter().flatten().min()
}

/// The number of each value that occurs by itself.
fn numbers(history: &History) -> FxHashMap<&Value, ValueId> {
    (0..history.value_count() as u32).map(ValueId).map(|id| (history.value(id), id)).collect()
}

/// The elements that a read shows; `None` in the place of one that occurs nowhere else.
fn elements<'a>(
    history: &'a History,
    numbers: &FxHashMap<&Value, ValueId>,
    value: ValueId,
) -> Option<Vec<(&'a Value, Option<ValueId>)>> {
    match history.value(value) {
        Value::Nil => Some(Vec::new()),
        Value::List(values) => {
            Some(values.iter().map(|value| (value, numbers.get(value).copied())).collect())
        }
        Value::Int(_) | Value::Text(_) => None,
    }
}

/// Judges what a read shows: nothing twice, and nothing that nobody had begun to add.
fn judge_shown(
    found: &mut Findings<'_>,
    numbers: &FxHashMap<&Value, ValueId>,
    of_key: &mut Elements,
    read: &Operation<'_>,
    shown: Vec<(&Value, Option<ValueId>)>,
) -> Vec<ValueId> {
    let history = found.history;
    let mut met: FxHashSet<&Value> = FxHashSet::default();
    let mut known = Vec::new();
    let end = read.completed.expect("what was answered has ended");
    let key = history.key(*read.op.key());
    for (value, number) in shown {
        if !met.insert(value) {
            let value = value_in_short(value);
            let conclusion = format!("process {} read {value} twice in {key}", read.process);
            found.add("duplicate-element", &[read.id], conclusion);
            continue;
        }
        let element = number.and_then(|number| of_key.by_value.get_mut(&number));
        match element {
            Some(element) if element.begun.is_some_and(|begun| begun < end) => {
                if matches!(read.op, Op::Read { level: ReadLevel::Strong, .. }) {
                    element.known = earlier(element.known, Some((end, read.id)));
                }
                known.extend(number);
            }
            element => {
                let failed = element.and_then(|element| element.failed);
                let failed = failed.filter(|id| history.operation(*id).invoked < end);
                let alike = as_number(value).filter(|alike| {
                    let number = numbers.get(alike);
                    number.is_some_and(|number| of_key.by_value.contains_key(number))
                });
                let alike = alike.map_or_else(String::new, |alike| {
                    format!("; that is a text, and not the number {alike}, which somebody added")
                });
                let value = value_in_short(value);
                let conclusion = format!(
                    "process {} read {value} in {key}, which nobody had begun to add{}{alike}",
                    read.process,
                    but_who_failed(history, failed),
                );
                let proof: Vec<OperationId> = failed.into_iter().chain([read.id]).collect();
                found.add("phantom-element", &proof, conclusion);
            }
        }
    }
    known
}

/// The number that a text shows.
fn as_number(value: &Value) -> Option<Value> {
    let Value::Text(text) = value else { return None };
    text.parse().ok().map(Value::Int)
}

/// The final reads of a set, together.
struct Finals<'a> {
    shown: FxHashSet<ValueId>,
    first: &'a Operation<'a>,
    nodes: FxHashSet<NodeId>,
    end: EventIndex,
}

/// Judges what a read does not show, though it was known before it began.
fn judge_missing(
    found: &mut Findings<'_>,
    history: &History,
    sets: &FxHashMap<KeyId, Elements>,
    reads: &[(Operation<'_>, Vec<ValueId>)],
) {
    let began = history.phase_began(Phase::Final).map(|(event, _)| event);
    let is_final = |read: &Operation<'_>| began.is_some_and(|began| read.invoked > began);
    let mut finals: FxHashMap<KeyId, Finals<'_>> = FxHashMap::default();
    for (read, shown) in reads {
        let key = *read.op.key();
        if is_final(read) {
            let of_key = finals.entry(key).or_insert_with(|| Finals {
                shown: FxHashSet::default(),
                first: read,
                nodes: FxHashSet::default(),
                end: read.invoked,
            });
            of_key.shown.extend(shown);
            of_key.nodes.extend(read.node);
            of_key.end = of_key.end.max(read.completed.expect("what was answered has ended"));
        } else if matches!(read.op, Op::Read { level: ReadLevel::Strong, .. }) {
            let shown: FxHashSet<ValueId> = shown.iter().copied().collect();
            let again = |value| {
                reads.iter().any(|(later, shown)| {
                    *later.op.key() == key && read.precedes(later) && shown.contains(&value)
                })
            };
            let end = read.completed.expect("what was answered has ended");
            let of_key = &sets[&key];
            if let Some((value, by)) = missing(of_key, read.invoked, end, &shown) {
                let name = if again(value) { "stale-read" } else { "lost-element" };
                let conclusion = not_shown(history, read, value, by);
                let contrast = with(history, read, value, by);
                found.contrast(name, &[by, read.id], contrast, conclusion);
            }
        }
    }
    let is_asked = |read: &Operation<'_>| {
        is_final(read) && matches!(read.op, Op::Read { level: ReadLevel::Replica, .. })
    };
    let asked = history.operations().filter(is_asked).filter_map(|read| read.node);
    let asked: BTreeSet<NodeId> = asked.collect();
    let mut finals: Vec<Finals<'_>> = finals.into_values().collect();
    finals.sort_unstable_by_key(|finals| finals.first.id);
    for Finals { shown, first, nodes, end } in finals {
        let of_key = &sets[first.op.key()];
        let Some((value, by)) = missing(of_key, first.invoked, end, &shown) else { continue };
        match asked.iter().find(|node| !nodes.contains(node)) {
            None => {
                let conclusion = not_shown(history, first, value, by);
                let contrast = with(history, first, value, by);
                found.contrast("lost-element", &[by, first.id], contrast, conclusion);
            }
            Some(node) => found.leave_open(format!(
                "{} of {} is on no replica that answered, but node n{node} did not say what it holds",
                told(history, value),
                history.key(*first.op.key()),
            )),
        }
    }
}

/// An element that reads from `begin` to `end` do not show, though it was known before, and who made
/// it known. One is enough to tell what is wrong with them.
fn missing(
    of_key: &Elements,
    begin: EventIndex,
    end: EventIndex,
    shown: &FxHashSet<ValueId>,
) -> Option<(ValueId, OperationId)> {
    let known = of_key.known.iter().filter_map(|value| {
        let element = of_key.by_value[value];
        let (at, by) = element.known?;
        Some((*value, element, at, by))
    });
    known
        .take_while(|(_, _, at, _)| *at < begin)
        .find(|(value, element, ..)| {
            !shown.contains(value) && element.removed.is_none_or(|begun| begun >= end)
        })
        .map(|(value, _, _, by)| (value, by))
}

fn with(history: &History, read: &Operation<'_>, value: ValueId, by: OperationId) -> Contrast {
    Contrast::new(read.id, Legal::With(history.value(value).clone())).due_to(by)
}

fn not_shown(history: &History, read: &Operation<'_>, value: ValueId, by: OperationId) -> String {
    format!(
        "{} was in {} by the end of what process {} did, before process {} began to read, and \
         nobody removed it before that read ended, which does not show it",
        told(history, value),
        history.key(*read.op.key()),
        history.operation(by).process,
        read.process,
    )
}

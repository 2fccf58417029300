//! What happened in a run, in sentences: who led when, what faults did, and on whose [word] each operation was
//! answered.

use std::collections::BTreeMap;

use checkers::Anomaly;
use checkers::brief::{op_in_short, steps};
use checkers::history::{
    Event, FaultEdge, FaultEvent, NodeId, Op, Operation, Outcome, Reason, Ret, Time, ValueId,
};
use serde::{Deserialize, Serialize};

use crate::run::{Effect, Report};
use crate::sim::Role;
use crate::system::System;
use crate::trace::{Happening, TraceEvent};

mod word;

pub(crate) use word::answering;
use word::{first_asked, wait, word};

/// Of a run with more operations, only those are told that prove the anomaly.
const OPERATIONS_MAX: usize = 30;

/// A sentence of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentence {
    /// When what it tells happened.
    pub at: Time,
    /// What happened.
    pub words: String,
}

/// Tells how an anomaly of a run of a system came about, in the order of time. Nothing where the run has no trace.
pub fn tell(system: &dyn System, report: &Report, anomaly: &Anomaly) -> Vec<Sentence> {
    let Some(trace) = &report.trace else { return Vec::new() };
    let end = end_of(report, anomaly);
    let (answered, others): (Vec<_>, Vec<_>) = told(report, anomaly)
        .partition(|told| matches!(told.outcome, Some(Outcome::Ok(_) | Outcome::Fail(_))));
    let operations = |told: Vec<_>| told.into_iter().map(|told| of_operation(report, trace, told));
    // Of what happens at one moment, answers come first, which left before it, and then faults: they are why.
    let mut story: Vec<Sentence> = operations(answered).collect();
    story.extend(faults(report));
    // In a large run, rare states are many, and about other operations than those that are told.
    let tells_marks = tells_all(report);
    let is_told =
        |event: &&TraceEvent| tells_marks || !matches!(event.what, Happening::Reaches { .. });
    story.extend(trace.iter().filter(is_told).filter_map(|event| of_node(system, event)));
    story.extend(leaders(trace, system.has_one_leader(), end));
    story.extend(operations(others));
    story.retain(|sentence| sentence.at <= end);
    story.sort_by_key(|sentence| sentence.at);
    if let Some(last) = anomaly.explanation.last() {
        story.push(Sentence { at: end, words: last.clone() });
    }
    story
}

/// When all is there that proves an anomaly.
pub(crate) fn end_of(report: &Report, anomaly: &Anomaly) -> Time {
    let witness = anomaly.witness.operations.iter().map(|id| report.history.operation(*id));
    let ends = witness.filter_map(|operation| operation.completed_at);
    ends.fold(anomaly.at, Time::max)
}

/// Who takes itself for a leader, from when to when; and where only one is to, who does so as well, and since when nobody
/// does so any more, up to the end.
fn leaders(trace: &[TraceEvent], has_one: bool, end: Time) -> Vec<Sentence> {
    let mut leading: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut story = Vec::new();
    let mut vacant = None;
    for TraceEvent { at, place, what } in trace.iter().take_while(|event| event.at <= end) {
        let Some(node) = place.node() else { continue };
        let words = match what {
            Happening::Role { role: Role::Leader, term } => {
                let others = leading.iter().filter(|(other, _)| has_one && **other != node);
                let does = if others.clone().count() == 1 { "does" } else { "do" };
                let others = list(others.map(|(other, term)| format!("n{other} (term {term})")));
                leading.insert(node, *term);
                let also =
                    if others.is_empty() { others } else { format!(", and so {does} {others}") };
                format!("n{node} takes itself for a leader (term {term}){also}")
            }
            Happening::Role { .. } if leading.remove(&node).is_some() => {
                format!("n{node} no longer takes itself for a leader")
            }
            Happening::Stops { .. } => {
                if leading.remove(&node).is_some() && leading.is_empty() {
                    vacant = Some(*at);
                }
                continue;
            }
            _ => continue,
        };
        vacant = leading.is_empty().then_some(*at);
        story.push(Sentence { at: *at, words });
    }
    let words = "nobody takes itself for a leader from here on".to_owned();
    story.extend(vacant.filter(|_| has_one).map(|at| Sentence { at, words }));
    story
}

/// What happened to a node as a process.
fn of_node(system: &dyn System, event: &TraceEvent) -> Option<Sentence> {
    let TraceEvent { at, place, what } = event;
    let words = match what {
        Happening::Starts if *at > Time::ZERO => format!("{place} starts again"),
        Happening::Reaches { mark } => match system.mark_in_words(mark) {
            Some(words) => format!("{place} {words}"),
            None => format!("{place} {what}"),
        },
        Happening::Stops { .. } | Happening::Note { .. } => format!("{place} {what}"),
        _ => return None,
    };
    Some(Sentence { at: *at, words })
}

/// What faults begin to do, and what they have done at their end.
fn faults(report: &Report) -> Vec<Sentence> {
    let sentence = |(at, event)| {
        let Event::Fault(FaultEvent { fault, edge, kind, what }) = event else { return None };
        let words = match edge {
            FaultEdge::Begin => format!("fault {fault} begins: {kind} {what}"),
            FaultEdge::End => {
                let effect = report.effects.iter().find(|effect| effect.fault == *fault);
                let did = effect.map_or_else(String::new, of_effect);
                format!("fault {fault} ends: {kind} {what}{did}")
            }
        };
        Some(Sentence { at, words })
    };
    report.history.events().filter_map(sentence).collect()
}

fn of_effect(effect: &Effect) -> String {
    let counts = [
        (effect.dropped, "kept from being delivered"),
        (effect.delayed, "made late"),
        (effect.copied, "delivered twice"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts = list(counts.map(|(count, what)| match count {
        1 => format!("1 message was {what}"),
        _ => format!("{count} messages were {what}"),
    }));
    if counts.is_empty() { counts } else { format!("; {counts}") }
}

/// Whether a run is small enough to be told whole.
fn tells_all(report: &Report) -> bool {
    report.history.operation_count() <= OPERATIONS_MAX
}

/// The operations that are told: all where they are few.
fn told<'a>(report: &'a Report, anomaly: &'a Anomaly) -> impl Iterator<Item = Operation<'a>> {
    let tells_all = tells_all(report);
    let witness = &anomaly.witness.operations;
    report.history.operations().filter(move |told| tells_all || witness.contains(&told.id))
}

/// What was asked and answered.
fn of_operation(report: &Report, trace: &[TraceEvent], operation: Operation<'_>) -> Sentence {
    let history = &report.history;
    let Operation { process, invoked_at, completed_at, outcome, .. } = operation;
    let at = completed_at.unwrap_or(invoked_at);
    let until = completed_at.unwrap_or(Time::from_nanos(u64::MAX));
    let word = word(trace, operation.session, invoked_at, until);
    let op = history.op(operation.id);
    let shown = |value: ValueId| match (&op, history.value(value)) {
        (Op::Txn { .. }, body) => steps(body, None),
        (_, value) => value.to_string(),
    };
    let answering = word.as_ref().map(|word| word.by);
    let first = first_asked(trace, operation.session, invoked_at, until);
    let node = first.or(operation.node).or(answering);
    let asked = node.map_or_else(|| "the store".to_owned(), |node| format!("n{node}"));
    // Whoever is asked first may know who is to be asked instead.
    let by = answering.filter(|answering| node != Some(*answering));
    let by = by.map_or_else(String::new, |node| format!(" by n{node}"));
    let told = words_of(outcome, &by, shown);
    let why = match outcome {
        Some(Outcome::Ok(_) | Outcome::Fail(Reason::Mismatch { .. })) => {
            word.map(|word| word.to_words())
        }
        // It got an answer, which says why.
        Some(Outcome::Fail(_)) => None,
        Some(Outcome::Info(_)) | None => wait(trace, operation.session, invoked_at, until),
    };
    let why = why.unwrap_or_default();
    let op = match op {
        Op::Txn { .. } => op_in_short(&op, None),
        op => op.to_string(),
    };
    let words =
        format!("process {process}, which asked {asked} at {invoked_at} to `{op}`, {told}{why}");
    Sentence { at, words }
}

/// What a client was told, and by whom where that does not go without saying: ` by n3`.
fn words_of(
    outcome: Option<&Outcome<ValueId>>,
    by: &str,
    value: impl Fn(ValueId) -> String,
) -> String {
    match outcome {
        None => "never learns what came of it".to_owned(),
        Some(Outcome::Ok(Ret::Done)) => format!("is told{by} that it is done"),
        Some(Outcome::Ok(Ret::Value(id))) => format!("is told{by}: {}", value(*id)),
        Some(Outcome::Fail(Reason::Mismatch { actual: Some(id) })) => {
            format!("is told{by} that the key holds {}", value(*id))
        }
        Some(Outcome::Fail(reason)) => format!("is told{by} that it did not happen ({reason})"),
        Some(Outcome::Info(Reason::Other(_))) => "does not learn whether it happened".to_owned(),
        Some(Outcome::Info(reason)) => format!("does not learn whether it happened ({reason})"),
    }
}

/// Some words as a list: `a, b and c`.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match &items[..] {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

//! Sets and counters: what was added to them is still there.
//!
//! An element that was acknowledged, and that nobody began to remove, is on some replica in the end.
//! A counter ends, on some replica, between what is certain with all that may be in it and counts
//! down, and what is certain with all that may be in it and counts up. Removals are not judged: where
//! an element is added and removed at the same time, either may win.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Finals;
use crate::checker::findings::Findings;
use crate::checker::keys::{Keys, Model};
use crate::history::{History, KeyId, Op, Operation, OperationId, Outcome, Value, ValueId};
use crate::verdict::{Guarantee, Verdict};

/// Judges every set and counter that was read in the end.
pub(super) fn check(history: &History, finals: &FxHashMap<KeyId, Finals>) -> Verdict {
    let keys = Keys::new(history);
    let is_judged = |key: &KeyId| keys.are(*key, Model::Set) || keys.are(*key, Model::Counter);
    let mut judged: Vec<KeyId> = finals.keys().copied().filter(is_judged).collect();
    judged.sort_unstable();
    let method = "final reads of sets and counters";
    let mut found = Findings::new(history, Guarantee::Durable, method, judged.len());
    let mut operations: FxHashMap<KeyId, Vec<Operation<'_>>> = FxHashMap::default();
    for operation in history.operations() {
        operations.entry(*operation.op.key()).or_default().push(operation);
    }
    for key in judged {
        let (of_key, finals) = (&operations[&key], &finals[&key]);
        if keys.are(key, Model::Set) {
            judge_set(&mut found, history, of_key, finals);
        } else {
            judge_counter(&mut found, history, of_key, finals);
        }
    }
    found.into_verdict("nothing was acknowledged that was added to a set or a counter")
}

fn judge_set(
    found: &mut Findings<'_>,
    history: &History,
    of_key: &[Operation<'_>],
    finals: &Finals,
) {
    let mut shown: FxHashSet<&Value> = FxHashSet::default();
    for value in &finals.values {
        match history.value(*value) {
            Value::Nil => {}
            Value::List(values) => shown.extend(values.iter()),
            // That it is no set is for others to say.
            Value::Int(_) | Value::Text(_) => return,
        }
    }
    let removed: FxHashSet<ValueId> = of_key
        .iter()
        .filter(|operation| !matches!(operation.outcome, Some(Outcome::Fail(_))))
        .filter_map(|operation| match operation.op {
            Op::Remove { value, .. } => Some(value),
            _ => None,
        })
        .collect();
    let mut lost: Vec<(OperationId, &Value)> = Vec::new();
    for operation in of_key.iter().filter(|operation| is_acknowledged(operation, finals)) {
        let Op::Add { value, .. } = operation.op else { continue };
        found.coverage.operations += 1;
        if !removed.contains(&value) && !shown.contains(history.value(value)) {
            lost.push((operation.id, history.value(value)));
        }
    }
    let Some((add, element)) = lost.last().copied() else { return };
    let what = format!("{element} had been acknowledged, and nobody removed it");
    conclude(found, "lost-element", add, finals, &what, lost.len());
}

fn judge_counter(
    found: &mut Findings<'_>,
    history: &History,
    of_key: &[Operation<'_>],
    finals: &Finals,
) {
    // What is certain, and the least and the most that all of it can have come to.
    let (mut certain, mut least, mut most) = (0_i128, 0_i128, 0_i128);
    let mut last = None;
    for operation in of_key {
        let Op::Increment { by, .. } = operation.op else { continue };
        let Value::Int(by) = history.value(by) else { return };
        if is_acknowledged(operation, finals) {
            found.coverage.operations += 1;
            certain += i128::from(*by);
            last = Some(operation.id);
        } else if !matches!(operation.outcome, Some(Outcome::Fail(_))) {
            least += i128::from(*by).min(0);
            most += i128::from(*by).max(0);
        }
    }
    let Some(last) = last else { return };
    let (least, most) = (certain + least, certain + most);
    let is_outside = |value: &ValueId| match history.value(*value) {
        Value::Int(sum) => !(least..=most).contains(&i128::from(*sum)),
        Value::Nil => !(least..=most).contains(&0),
        // That it is no counter is for others to say.
        Value::Text(_) | Value::List(_) => false,
    };
    if finals.values.iter().all(is_outside) {
        let what = format!("the sum is {least} to {most} with all that had been acknowledged");
        conclude(found, "lost-increment", last, finals, &what, 1);
    }
}

/// Whether an operation took effect before the first final read began.
fn is_acknowledged(operation: &Operation<'_>, finals: &Finals) -> bool {
    operation.is_ok() && operation.completed.is_some_and(|end| end < finals.began)
}

/// Something is on no replica that answered: a loss, unless it may be on one that did not.
fn conclude(
    found: &mut Findings<'_>,
    name: &str,
    by: OperationId,
    finals: &Finals,
    what: &str,
    count: usize,
) {
    if let Some(node) = finals.silent {
        found.leave_open(format!(
            "{what}; no replica that answered shows it, but node n{node} did not say what it holds"
        ));
        return;
    }
    let more = if count > 1 { format!(" ({count} of this key are lost)") } else { String::new() };
    let conclusion = format!("{what}; no replica shows it in the end{more}");
    found.add(name, &[by, finals.reads[0]], conclusion);
}

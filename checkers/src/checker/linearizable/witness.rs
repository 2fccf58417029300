//! The smallest part of a key's history that no order explains, and what is wrong with it in words.

use rustc_hash::FxHashSet;

use super::{GUARANTEE, OfKey, RegisterCall, is_blind, seen, written};
use crate::checker::linearizable::search::{Found, search};
use crate::checker::words::sentence;
use crate::history::{History, Op, Operation, OperationId, Outcome, ValueId};
use crate::model::cas_register::{CasOp, CasRegister};
use crate::verdict::{Anomaly, Witness};

/// States that each attempt to leave something out may take. If that is not enough, it stays in.
const STATES_A_TRY: u64 = 20_000;
/// States that all attempts may take together.
const STATES_MAX: u64 = 5_000_000;

/// Explains why no order of a key's operations gets past the one that is `stuck`.
pub(super) fn explain(history: &History, of_key: &OfKey, stuck: usize) -> Anomaly {
    let end = of_key.calls[stuck].completed;
    let mut part: Vec<(OperationId, RegisterCall)> = of_key
        .ids
        .iter()
        .copied()
        .zip(of_key.calls.iter().cloned())
        .filter_map(|(id, call)| Some((id, cut_off(call, end)?)))
        .collect();
    shrink(&mut part);
    let operations: Vec<OperationId> = part.iter().map(|(id, _)| *id).collect();
    let last = operations
        .iter()
        .map(|id| history.operation(*id))
        .filter(|operation| !operation.is_indeterminate())
        .max_by_key(|operation| operation.completed)
        .expect("operations without an answer break nothing");
    let (name, conclusion) = name(history, &operations);
    let mut explanation: Vec<String> =
        operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
    explanation.extend(conclusion);
    Anomaly {
        name: name.to_owned(),
        guarantee: GUARANTEE,
        at: last.completed_at.unwrap_or(last.invoked_at),
        key: Some(history.key(of_key.key).clone()),
        witness: Witness { operations, faults: history.faults_on(last.invoked) },
        explanation,
    }
}

/// A call in a history that ends with event `end`: what began later is not in it, and of what ended
/// later, the answer is not.
fn cut_off(mut call: RegisterCall, end: u32) -> Option<RegisterCall> {
    if call.invoked > end {
        return None;
    }
    if call.ret.is_some() && call.completed > end {
        // Without its answer, only a change may still make a difference.
        written(&call)?;
        call.ret = None;
    }
    Some(call)
}

/// The value that has to be there for a call to be as it is, or to have an effect.
fn needed(call: &RegisterCall) -> Option<ValueId> {
    match call.op {
        CasOp::Cas(from, _) if call.ret.is_none() => Some(from),
        _ => seen(call),
    }
}

/// Leaves out operations, many at a time and then fewer, while what is left has no order.
fn shrink(part: &mut Vec<(OperationId, RegisterCall)>) {
    let mut states_left = STATES_MAX;
    let mut size = part.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut any = false;
        while start < part.len() && states_left > 0 {
            let end = (start + size).min(part.len());
            let rest = without(part, start..end);
            if !rest.is_empty() && rest.len() < part.len() && has_no_order(&rest, &mut states_left)
            {
                *part = rest;
                any = true;
            } else {
                start = end;
            }
        }
        if size == 1 && !any {
            return;
        }
        size = if size == 1 { 1 } else { size / 2 };
        if states_left == 0 {
            return;
        }
    }
}

/// What is left without a range, as far as it may be left out.
///
/// An answer may always go. A write may go only where nobody that stays saw its value: then, in an
/// order of the whole, it can be crossed out, and what has no order without it has none with it.
/// Otherwise the proof would become another one, that of a value which nobody wrote.
fn without(
    part: &[(OperationId, RegisterCall)],
    range: std::ops::Range<usize>,
) -> Vec<(OperationId, RegisterCall)> {
    let stays = |index: usize| !range.contains(&index);
    let staying = || part.iter().enumerate().filter(|(index, _)| stays(*index));
    let blind = staying().any(|(_, (_, call))| is_blind(call));
    let mut values: FxHashSet<ValueId> =
        staying().filter_map(|(_, (_, call))| needed(call)).collect();
    let mut kept: Vec<bool> = (0..part.len()).map(stays).collect();
    // Writers that have to stay may have seen something themselves.
    loop {
        let mut any = false;
        for (index, (_, call)) in part.iter().enumerate() {
            let is_needed = written(call).is_some_and(|value| blind || values.contains(&value));
            if !kept[index] && is_needed {
                kept[index] = true;
                values.extend(needed(call));
                any = true;
            }
        }
        if !any {
            break;
        }
    }
    part.iter().zip(kept).filter(|(_, kept)| *kept).map(|(call, _)| call.clone()).collect()
}

fn has_no_order(part: &[(OperationId, RegisterCall)], states_left: &mut u64) -> bool {
    let calls: Vec<RegisterCall> = part.iter().map(|(_, call)| call.clone()).collect();
    let budget = STATES_A_TRY.min(*states_left);
    let mut left = budget;
    let found = search(&CasRegister(ValueId::NIL), &calls, &mut left);
    // Also what is refused at once was copied and laid out: long parts get fewer tries.
    let cost = (budget - left).max(part.len() as u64 / 16).max(1);
    *states_left = states_left.saturating_sub(cost);
    matches!(found, Found::NoOrder { .. })
}

/// The published name of what a witness shows, and the sentences that conclude it.
fn name(history: &History, witness: &[OperationId]) -> (&'static str, Vec<String>) {
    let operations: Vec<Operation<'_>> = witness.iter().map(|id| history.operation(*id)).collect();
    unwritten_read(history, &operations)
        .or_else(|| stale_read(history, &operations))
        .or_else(|| lost_update(history, &operations))
        .unwrap_or_else(|| {
            let words = "no order of these operations that keeps to their times explains every \
                         answer";
            ("not-linearizable", vec![words.to_owned()])
        })
}

type Named = (&'static str, Vec<String>);

/// What an operation shows the key to have held.
fn shown(operation: &Operation<'_>) -> Option<ValueId> {
    match (operation.op, operation.outcome) {
        (Op::Cas { from, .. }, Some(Outcome::Ok(_))) => Some(from),
        _ => crate::checker::order::seen(operation),
    }
}

fn may_write(operation: &Operation<'_>, value: ValueId) -> bool {
    operation.value_written() == Some(value) && (operation.is_ok() || operation.is_indeterminate())
}

/// Somebody saw a value that nobody wrote.
fn unwritten_read(history: &History, operations: &[Operation<'_>]) -> Option<Named> {
    let read = operations.iter().find(|read| {
        shown(read).is_some_and(|value| {
            value != ValueId::NIL && !operations.iter().any(|write| may_write(write, value))
        })
    })?;
    let value = history.value(shown(read).expect("it showed something"));
    let key = *read.op.key();
    let later = history.operations().find(|write| {
        *write.op.key() == key && may_write(write, shown(read).expect("it showed something"))
    });
    let words = match later {
        Some(write) => format!(
            "process {} saw {value} before process {} began to write it, and nobody else wrote it \
             there",
            read.process, write.process
        ),
        None => format!("process {} saw {value}, which nobody wrote there", read.process),
    };
    Some(("unwritten-value", vec![words]))
}

/// Somebody saw a value although a newer one had been acknowledged before.
fn stale_read(history: &History, operations: &[Operation<'_>]) -> Option<Named> {
    for read in operations {
        let Some(value) = shown(read) else { continue };
        let newer = operations.iter().find(|write| {
            write.is_ok()
                && write.value_written().is_some_and(|written| written != value)
                && write.precedes(read)
                && is_older(operations, value, write)
        });
        if let Some(write) = newer {
            return Some(("stale-read", vec![stale_words(history, read, write, value)]));
        }
    }
    None
}

/// Whether a value is certainly older than a write: all that may have written it was over, or the
/// only one that may have had been seen to, before the write began.
fn is_older(operations: &[Operation<'_>], value: ValueId, write: &Operation<'_>) -> bool {
    let writers = || operations.iter().filter(|older| may_write(older, value));
    let seen_before = operations.iter().any(|saw| shown(saw) == Some(value) && saw.precedes(write));
    let only_one = writers().count() + usize::from(value == ValueId::NIL) == 1;
    writers().all(|older| older.precedes(write)) || only_one && seen_before
}

fn stale_words(
    history: &History,
    read: &Operation<'_>,
    write: &Operation<'_>,
    value: ValueId,
) -> String {
    let key = history.key(*read.op.key());
    let newer = history.value(write.value_written().expect("it writes"));
    let value = history.value(value);
    let Operation { process, invoked_at, .. } = *read;
    let acknowledged = write.completed_at.expect("an acknowledged write has ended");
    format!(
        "process {process} saw {key} = {value} after {invoked_at}, but {key} = {newer} had been \
         acknowledged to process {} at {acknowledged}, before that, and nothing made it {value} \
         after it",
        write.process
    )
}

/// Two compare-and-sets replaced the same value, which was there once.
fn lost_update(history: &History, operations: &[Operation<'_>]) -> Option<Named> {
    let replaced = |operation: &Operation<'_>| match (operation.op, operation.outcome) {
        (Op::Cas { from, .. }, Some(Outcome::Ok(_))) => Some(from),
        _ => None,
    };
    for (index, first) in operations.iter().enumerate() {
        let Some(from) = replaced(first) else { continue };
        let second = operations[index + 1..].iter().find(|other| replaced(other) == Some(from));
        let sources = operations.iter().filter(|write| may_write(write, from)).count();
        let once = sources + usize::from(from == ValueId::NIL) <= 1;
        if let Some(second) = second.filter(|_| once) {
            let words = format!(
                "processes {} and {} both replaced {}, which was there only once",
                first.process,
                second.process,
                history.value(from),
            );
            return Some(("lost-update", vec![words]));
        }
    }
    None
}

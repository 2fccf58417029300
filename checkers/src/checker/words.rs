//! The sentences in which checkers explain themselves.

use crate::brief::{op_in_short, steps, value_in_short};
use crate::history::{History, Op, Operation, OperationId, Outcome, Reason, Value, ValueId};

/// The sum that a counter showed.
pub(super) fn sum_shown(shown: &Value, sum: i128) -> String {
    if *shown == Value::Nil { "nil, which counts as 0".to_owned() } else { sum.to_string() }
}

/// A value, in few words: whoever wants it whole finds it in the history.
pub(super) fn told(history: &History, value: ValueId) -> String {
    value_in_short(history.value(value))
}

/// What was asked, in few words.
pub(super) fn asked(history: &History, operation: OperationId) -> String {
    op_in_short(&history.op(operation), None)
}

/// What a process did and learned, with the node and the times: `process 3 read x = 7 at n1 (from 1.200 s to
/// 1.204 s)`.
pub(super) fn sentence(history: &History, operation: &Operation<'_>) -> String {
    let at = operation.node.map_or_else(String::new, |node| format!(" at n{node}"));
    let ended = match (operation.outcome, operation.completed_at) {
        (Some(Outcome::Ok(_) | Outcome::Fail(_)), Some(end)) => format!("to {end}"),
        _ if !operation.op.kind().writes() => unanswered(operation).to_owned(),
        _ => open_ended(operation),
    };
    format!("{}{at} (from {} {ended})", did(history, operation), operation.invoked_at)
}

/// How an operation ended of which nothing is known.
fn unanswered(operation: &Operation<'_>) -> &'static str {
    match operation.outcome {
        Some(Outcome::Info(Reason::Other(_))) => "without learning what came of it",
        _ => "with no answer",
    }
}

/// The same of one that changes something.
pub(super) fn open_ended(operation: &Operation<'_>) -> String {
    format!("{}, so it may take effect at any time after that", unanswered(operation))
}

/// What a process did and learned: `process 3 read x = 7`.
pub(super) fn did(history: &History, operation: &Operation<'_>) -> String {
    let process = operation.process;
    let key = history.key(*operation.op.key());
    let value = |id| told(history, id);
    let op = || asked(history, operation.id);
    let did = match (operation.op, operation.outcome) {
        (Op::Read { .. }, _) => match operation.value_read() {
            Some(read) => format!("read {key} = {}", value(read)),
            None => format!("asked for {key}"),
        },
        (Op::Write { value: written, .. }, _) => format!("wrote {key} = {}", value(written)),
        (Op::Cas { from, to, .. }, Some(Outcome::Fail(Reason::Mismatch { actual }))) => {
            let found = actual.map_or_else(|| "something else".to_owned(), value);
            format!("tried to set {key} from {} to {} and found {found}", value(from), value(to))
        }
        (Op::Cas { from, to, .. }, _) => {
            format!("set {key} from {} to {}", value(from), value(to))
        }
        (Op::Delete { .. }, _) => format!("deleted {key}"),
        _ => match operation.value_read() {
            Some(answer) if matches!(operation.op, Op::Txn { .. }) => {
                format!("did {} and got {}", op(), steps(history.value(answer), None))
            }
            Some(answer) => format!("did {} and got {}", op(), value(answer)),
            None => format!("did {}", op()),
        },
    };
    let did = match operation.outcome {
        Some(Outcome::Fail(Reason::Mismatch { .. })) => did,
        Some(Outcome::Fail(reason)) => {
            format!("tried to {} and was told {}", op(), reason.map(|id| value(*id)))
        }
        _ => did,
    };
    format!("process {process} {did}")
}

/// Which sessions the processes of these operations are of, where they go by other numbers: a session
/// whose process was lost goes on under a new one.
pub(super) fn sessions(history: &History, operations: &[OperationId]) -> Option<String> {
    let of = |id: &OperationId| {
        let Operation { process, session, .. } = history.operation(*id);
        (process.0 != session.0).then_some((process.0, session.0))
    };
    let mut others: Vec<(u32, u32)> = operations.iter().filter_map(of).collect();
    others.sort_unstable();
    others.dedup();
    let told = |(process, session): &(u32, u32)| format!("process {process} is session {session}");
    let told: Vec<String> = others.iter().map(told).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

//! Operations and what came of them, in few words.

use checkers::brief::{op_in_short, steps, value_in_short};
use checkers::history::{History, Key, NodeId, Op, Operation, Outcome, Reason, Ret, ValueId};
use checkers::{Anomaly, Guarantee};

/// What was asked, in few words. Of a transaction, the steps on the key that matters, where there are any.
pub(super) fn asked(history: &History, operation: &Operation<'_>, key: Option<&Key>) -> String {
    let op = history.op(operation.id);
    match (op, operation.outcome) {
        // What it read is in what it returned.
        (Op::Txn { .. }, Some(Outcome::Ok(Ret::Value(value)))) => steps(history.value(*value), key),
        (op, _) => op_in_short(&op, key),
    }
}

/// What the client learned, in few words that follow what it asked.
pub(super) fn learned(history: &History, operation: &Operation<'_>) -> String {
    let is_txn = matches!(operation.op, Op::Txn { .. });
    match operation.outcome {
        None => "never ended".to_owned(),
        Some(Outcome::Ok(Ret::Value(value))) if !is_txn => {
            format!("→ {}", value_in_short(history.value(*value)))
        }
        Some(Outcome::Ok(_)) => "ok".to_owned(),
        Some(Outcome::Fail(reason)) => format!("fail: {}", reason_in_short(history, reason)),
        Some(Outcome::Info(reason)) => format!("info: {}", reason_in_short(history, reason)),
    }
}

pub(super) fn reason_in_short(history: &History, reason: &Reason<ValueId>) -> String {
    reason.map(|value| value_in_short(history.value(*value))).to_string()
}

/// What an operation returned, or found instead of what it expected.
pub(super) fn observed(operation: &Operation<'_>) -> Option<ValueId> {
    match operation.outcome? {
        Outcome::Ok(Ret::Value(value)) => Some(*value),
        Outcome::Fail(Reason::Mismatch { actual }) => *actual,
        Outcome::Ok(Ret::Done) | Outcome::Fail(_) | Outcome::Info(_) => None,
    }
}

/// The sentence that says what cannot be. Of a cycle of transactions, that is why each comes before the next.
pub(super) fn headline(anomaly: &Anomaly) -> String {
    let sentences = &anomaly.explanation;
    let reasons: Vec<&str> =
        sentences.iter().filter_map(|sentence| order_in(sentence)).map(|order| order.2).collect();
    if !reasons.is_empty() {
        return reasons.join("; and yet ");
    }
    // That no order explains it says nothing of values: what could not be explained does.
    if let [.., before, last] = &sentences[..]
        && last.starts_with("no order ")
        && let Some((did, _)) = before.split_once(" (from ")
    {
        return format!("{did}: {last}");
    }
    if let [.., last] = &sentences[..]
        && let Some((sum, rest)) =
            last.strip_prefix("the sum is ").and_then(|rest| rest.split_once(" with "))
    {
        return rest.split_once("; ").map_or_else(
            || last.clone(),
            |(all, then)| format!("with {all}, the sum is {sum}; {then}"),
        );
    }
    let chosen = match anomaly.guarantee {
        Guarantee::Live => sentences.first(),
        // How many there are in all comes after what was lost.
        Guarantee::Durable => {
            sentences.iter().rfind(|words| words.contains(", but ")).or(sentences.last())
        }
        _ => sentences.last(),
    };
    chosen.cloned().unwrap_or_else(|| format!("{} at {}", anomaly.name, anomaly.at))
}

/// The order of two transactions that a sentence gives a reason for, by their names, and the reason:
/// `T1 comes before T2: T1 did not observe …`.
pub(super) fn order_in(sentence: &str) -> Option<(&str, &str, &str)> {
    let (first, rest) = sentence.split_once(" comes before ")?;
    let (second, reason) = rest.split_once(": ")?;
    let is_name = |name: &str| name.starts_with('T') && !name.contains(' ');
    (is_name(first) && is_name(second)).then_some((first, second, reason))
}

/// The nodes that are named in what a fault hit: `n1 | n2 n3`.
pub(super) fn nodes_in(what: &str) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = what
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| word.strip_prefix('n')?.parse().ok().map(NodeId))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_in_what_a_fault_hit() {
        let nodes = |what| nodes_in(what).iter().map(|node| node.0).collect::<Vec<_>>();
        assert_eq!(nodes("n1 | n2 n3"), [1, 2, 3]);
        assert_eq!(nodes("n1 n3 -/-> n2"), [1, 2, 3]);
        assert_eq!(nodes("n2 by +300 ms, none"), [2]);
        assert_eq!(nodes(""), [0; 0]);
    }
}

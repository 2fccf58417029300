//! Operations and what came of them, in few words.

use checkers::brief::{op_in_short, steps, value_in_short};
use checkers::history::{History, Key, NodeId, Op, Operation, Outcome, Reason, Ret, ValueId};
use checkers::{Anomaly, Guarantee};

use crate::sim::see_each_other;

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

/// What a fault is for one node of those that it hit: of a partition, from whom it is kept.
pub(super) fn hit_in(kind: &str, what: &str, node: NodeId) -> String {
    let part = || {
        let has = |side: &str| nodes_in(side).contains(&node);
        let (what, bridge) = what.split_once(", bridged by ").unwrap_or((what, ""));
        if has(bridge) {
            return Some("between both".to_owned());
        }
        if let Some(ring) = what.strip_prefix("ring ") {
            return Some(format!("sees {}", neighbours(ring, node)));
        }
        if let Some((deaf, mute)) = what.split_once(" -/-> ").map(|(from, to)| (to, from)) {
            return Some(match has(mute) {
                true => format!("unheard by {deaf}"),
                false => format!("hears nothing of {mute}"),
            });
        }
        let (one, other) = what.split_once(" | ")?;
        Some(format!("apart from {}", if has(one) { other } else { one }))
    };
    match kind {
        "partition" => part().map_or_else(|| kind.to_owned(), |part| format!("{kind}: {part}")),
        _ => kind.to_owned(),
    }
}

/// Whom a node still sees in a ring of majorities.
fn neighbours(ring: &str, node: NodeId) -> String {
    let name = format!("n{node}");
    let ring: Vec<&str> = ring.split(' ').collect();
    let place = ring.iter().position(|other| *other == name).unwrap_or_default();
    let others = ring.iter().enumerate();
    let others =
        others.filter(|(other, _)| *other != place && see_each_other(ring.len(), place, *other));
    others.map(|(_, other)| *other).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_of_a_partition_is_told_from_whom_it_is_kept() {
        let hit = |what, node| hit_in("partition", what, NodeId(node));
        assert_eq!(hit("n1 | n2 n3", 1), "partition: apart from n2 n3");
        assert_eq!(hit("n1 | n2 n3", 3), "partition: apart from n1");
        assert_eq!(hit("n1 n2 | n4 n5, bridged by n3", 3), "partition: between both");
        assert_eq!(hit("n1 n2 | n4 n5, bridged by n3", 4), "partition: apart from n1 n2");
        assert_eq!(hit("n2 -/-> n1 n3", 2), "partition: unheard by n1 n3");
        assert_eq!(hit("n2 -/-> n1 n3", 1), "partition: hears nothing of n2");
        assert_eq!(hit("clients | n1", 1), "partition: apart from clients");
        assert_eq!(hit("ring n5 n4 n3 n1 n2", 5), "partition: sees n4 n2");
        assert_eq!(hit("ring n5 n4 n3 n1 n2", 3), "partition: sees n4 n1");
        assert_eq!(hit("all links", 1), "partition");
        assert_eq!(hit_in("crash", "n1", NodeId(1)), "crash");
    }

    #[test]
    fn nodes_are_found_in_what_a_fault_hit() {
        let nodes = |what| nodes_in(what).iter().map(|node| node.0).collect::<Vec<_>>();
        assert_eq!(nodes("n1 | n2 n3"), [1, 2, 3]);
        assert_eq!(nodes("n1 n3 -/-> n2"), [1, 2, 3]);
        assert_eq!(nodes("n2 by +300 ms, none"), [2]);
        assert_eq!(nodes(""), [0; 0]);
    }
}

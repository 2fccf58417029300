//! Liveness: once all faults have been undone, operations succeed again within the time that the
//! run gives them: some that write and some that do not, and some of every kind that is often tried. Every node that clients
//! turn to answers each kind, if only to refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Checker;
use super::words::sentence;
use crate::history::{
    EventIndex, History, NodeId, Op, OpKind, Operation, OperationId, Phase, Time, Value,
};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Live;

/// How often a kind of operation has to be tried in vain until that is no chance.
const OF_A_KIND: usize = 5;
/// How often a node has to be asked in vain, and how often of these in the second half of the time.
const AT_A_NODE: (usize, usize) = (4, 2);

impl Checker for Live {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage =
            Coverage { method: "successes after the last fault".into(), ..Coverage::default() };
        let Some((began, since)) = history.phase_began(Phase::Liveness) else {
            let reason = "the history has no liveness phase".to_owned();
            return Verdict::Unknown { reason, coverage };
        };
        let mut after = tried_after(history, began);
        // The state that its session had seen is lost: no progress makes up for that.
        after.retain(|operation| !operation.lost_its_session());
        coverage.operations = after.len();
        coverage.keys = history.key_count();
        if after.is_empty() {
            let reason =
                "after the last fault was undone no operation began that could succeed".to_owned();
            return Verdict::Unknown { reason, coverage };
        }
        let mut anomalies = Vec::new();
        for writes in [false, true] {
            let of_sort = |operation: &&Operation<'_>| operation.op.kind().writes() == writes;
            let tried: Vec<OperationId> =
                after.iter().filter(of_sort).map(|operation| operation.id).collect();
            let any_ok = after.iter().filter(of_sort).any(|operation| operation.was_served());
            if !tried.is_empty() && !any_ok {
                let sort = if writes {
                    "operation that writes".to_owned()
                } else {
                    kinds(history, &tried)
                };
                anomalies.push(no_progress(history, &tried, &sort, since));
            } else {
                anomalies.extend(kinds_without_progress(history, &after, writes, since));
            }
        }
        if anomalies.is_empty() {
            anomalies.extend(silent_nodes(history, &after, since));
        }
        if anomalies.is_empty() {
            Verdict::Valid(coverage)
        } else {
            Verdict::Invalid { anomalies, coverage }
        }
    }
}

/// A kind of operation: whether it changes anything differs between transactions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    kind: OpKind,
    changes: bool,
}

impl Sort {
    fn of(history: &History, operation: &Operation<'_>) -> Sort {
        let kind = operation.op.kind();
        let reads = |step: &Value| match step {
            Value::List(parts) => {
                matches!(parts.first(), Some(Value::Text(name)) if &**name == "r")
            }
            _ => false,
        };
        let only_reads = match operation.op {
            Op::Txn { body, .. } => match history.value(body) {
                Value::List(steps) => steps.iter().all(reads),
                _ => false,
            },
            _ => !kind.writes(),
        };
        Sort { kind, changes: !only_reads }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match (self.kind, self.changes) {
            (OpKind::Txn, true) => f.write_str(" that writes"),
            (OpKind::Txn, false) => f.write_str(" that only reads"),
            _ => Ok(()),
        }
    }
}

/// What is often tried and never succeeds, of those kinds that write or of those that do not.
fn kinds_without_progress(
    history: &History,
    after: &[Operation<'_>],
    writes: bool,
    since: Time,
) -> Vec<Anomaly> {
    let mut sorts: BTreeMap<Sort, Vec<&Operation<'_>>> = BTreeMap::new();
    for operation in after.iter().filter(|operation| operation.op.kind().writes() == writes) {
        sorts.entry(Sort::of(history, operation)).or_default().push(operation);
    }
    let without = sorts.into_iter().filter(|(_, tried)| {
        tried.len() >= OF_A_KIND && !tried.iter().any(|operation| operation.was_served())
    });
    let anomaly = |(sort, tried): (Sort, Vec<&Operation<'_>>)| {
        let tried: Vec<OperationId> = tried.iter().map(|operation| operation.id).collect();
        no_progress(history, &tried, &sort.to_string(), since)
    };
    without.map(anomaly).collect()
}

/// Nodes that answer nobody of those who turn to them, or nobody who asks for one kind of operation, also when they have
/// had some time. One that refuses may have its reasons, as followers have.
fn silent_nodes(history: &History, after: &[Operation<'_>], since: Time) -> Vec<Anomaly> {
    let Some(last) = after.last() else { return Vec::new() };
    let half = since + last.invoked_at.since(since) / 2;
    let mut asked: BTreeMap<NodeId, BTreeMap<Sort, Vec<&Operation<'_>>>> = BTreeMap::new();
    for operation in after {
        let Some(node) = operation.node else { continue };
        let of_node = asked.entry(node).or_default();
        of_node.entry(Sort::of(history, operation)).or_default().push(operation);
    }
    let is_silent = |asked: &[&Operation<'_>]| {
        let late = asked.iter().filter(|operation| operation.invoked_at > half).count();
        let is_answered = asked.iter().any(|asked| asked.is_ok() || asked.has_failed());
        asked.len() >= AT_A_NODE.0 && late >= AT_A_NODE.1 && !is_answered
    };
    let silent = |node: NodeId, asked: &[&Operation<'_>], of: &str| {
        let last = *asked.iter().max_by_key(|operation| operation.invoked)?;
        let until = last.completed_at.unwrap_or(last.invoked_at);
        let words = format!(
            "all faults had been undone at {since}; from then to {until} node n{node} answered none of \
             {} operations{of}",
            asked.len()
        );
        Some(in_vain(history, "node-silent", *last, until, words))
    };
    let mut anomalies = Vec::new();
    for (node, sorts) in asked {
        let all: Vec<&Operation<'_>> = sorts.values().flatten().copied().collect();
        if is_silent(&all) {
            anomalies.extend(silent(node, &all, ""));
            continue;
        }
        let quiet = sorts.into_iter().filter(|(_, asked)| is_silent(asked));
        anomalies.extend(
            quiet.filter_map(|(sort, asked)| silent(node, &asked, &format!(" of the kind {sort}"))),
        );
    }
    anomalies
}

fn no_progress(history: &History, tried: &[OperationId], sort: &str, since: Time) -> Anomaly {
    let last = history.operation(*tried.last().expect("something was tried"));
    let until = last.completed_at.unwrap_or(last.invoked_at);
    let words = format!(
        "all faults had been undone at {since}; from then to {until} not one {sort} succeeded, of {} \
         that were tried",
        tried.len()
    );
    in_vain(history, "no-progress", last, until, words)
}

fn in_vain(
    history: &History,
    name: &str,
    last: Operation<'_>,
    until: Time,
    words: String,
) -> Anomaly {
    let explanation = vec![words, format!("the last of them: {}", sentence(history, &last))];
    Anomaly {
        name: name.to_owned(),
        guarantee: Guarantee::Live,
        at: until,
        key: None,
        witness: Witness { operations: vec![last.id], faults: Vec::new() },
        contrast: None,
        explanation,
    }
}

/// What operations were of: "read", "read or poll".
fn kinds(history: &History, operations: &[OperationId]) -> String {
    let kinds = operations.iter().map(|id| history.operation(*id).op.kind().name());
    kinds.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" or ")
}

/// What clients tried after an event and before the final reads. In what the system does not offer, it
/// cannot fail.
pub(super) fn tried_after(history: &History, after: EventIndex) -> Vec<Operation<'_>> {
    let end = history.phase_began(Phase::Final).map(|(event, _)| event);
    history
        .operations()
        .filter(|operation| operation.invoked > after)
        .filter(|operation| end.is_none_or(|end| operation.invoked < end))
        .filter(|operation| !operation.is_unsupported())
        .collect()
}

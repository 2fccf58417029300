//! Liveness: once all faults have been undone, operations succeed again within the time that the
//! run gives them: some that write and some that do not, and some of every kind that is often tried. Every node that clients
//! turn to answers, if only to refuse.

use std::collections::BTreeSet;

use super::Checker;
use super::words::sentence;
use crate::history::{EventIndex, History, NodeId, OpKind, Operation, OperationId, Phase, Time};
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

/// What is often tried and never succeeds, of those kinds that write or of those that do not.
fn kinds_without_progress(
    history: &History,
    after: &[Operation<'_>],
    writes: bool,
    since: Time,
) -> Vec<Anomaly> {
    let kinds: BTreeSet<OpKind> = after.iter().map(|operation| operation.op.kind()).collect();
    let of_sort = kinds.into_iter().filter(|kind| kind.writes() == writes);
    let without = of_sort.filter_map(|kind| {
        let tried = after.iter().filter(|operation| operation.op.kind() == kind);
        let is_served = tried.clone().any(Operation::was_served);
        let tried: Vec<OperationId> = tried.map(|operation| operation.id).collect();
        (!is_served && tried.len() >= OF_A_KIND)
            .then(|| no_progress(history, &tried, kind.name(), since))
    });
    without.collect()
}

/// Nodes that answer nobody of those who turn to them, also when they have had some time. One that refuses may have
/// its reasons, as followers have.
fn silent_nodes(history: &History, after: &[Operation<'_>], since: Time) -> Vec<Anomaly> {
    let Some(last) = after.last() else { return Vec::new() };
    let half = since + last.invoked_at.since(since) / 2;
    let nodes: BTreeSet<NodeId> = after.iter().filter_map(|operation| operation.node).collect();
    let silent = nodes.into_iter().filter_map(|node| {
        let mut asked = after.iter().filter(|asked| asked.node == Some(node));
        let answers = |asked: &Operation<'_>| asked.is_ok() || asked.has_failed();
        let late = asked.clone().filter(|operation| operation.invoked_at > half).count();
        let tried = asked.clone().count();
        let is_silent = tried >= AT_A_NODE.0 && late >= AT_A_NODE.1 && !asked.clone().any(answers);
        let last = asked.next_back().filter(|_| is_silent)?;
        let until = last.completed_at.unwrap_or(last.invoked_at);
        let words = format!(
            "all faults had been undone at {since}; from then to {until} node n{node} answered none of \
             {tried} operations"
        );
        Some(in_vain(history, "node-silent", *last, until, words))
    });
    silent.collect()
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

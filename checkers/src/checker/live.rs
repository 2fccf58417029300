//! Liveness: once all faults have been undone, operations succeed again within the time that the
//! run gives them.

use std::collections::BTreeSet;

use super::Checker;
use super::words::sentence;
use crate::history::{EventIndex, History, Operation, OperationId, Phase, Time};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Live;

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
                anomalies.push(no_progress(history, &tried, writes, since));
            }
        }
        if anomalies.is_empty() {
            Verdict::Valid(coverage)
        } else {
            Verdict::Invalid { anomalies, coverage }
        }
    }
}

fn no_progress(history: &History, tried: &[OperationId], writes: bool, since: Time) -> Anomaly {
    let last = history.operation(*tried.last().expect("something was tried"));
    let sort = if writes { "operation that writes".to_owned() } else { kinds(history, tried) };
    let until = last.completed_at.unwrap_or(last.invoked_at);
    let explanation = vec![
        format!(
            "all faults had been undone at {since}; from then to {until} not one {sort} succeeded, \
             of {} that were tried",
            tried.len()
        ),
        format!("the last of them: {}", sentence(history, &last)),
    ];
    Anomaly {
        name: "no-progress".to_owned(),
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

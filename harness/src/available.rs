//! Availability: whether operations succeed while a majority of the nodes is connected.
//!
//! Judged are the stretches of the safety phase in which no fault began or ended, a majority was up and
//! connected by links that are not slow and neither lose nor repeat anything, no clock ran at a wrong rate,
//! and which lasted for as long as the system takes to fail over. Of the operations that began in one of them,
//! one that reads and one that writes must have succeeded by its end, if one had ended in vain after that time, or had waited for
//! a fifth of that time and still did, and its client usually turns to a node that the majority was connected with, and clients
//! with it. Who gave up sooner, or asked just before the stretch ended, says nothing.

use std::collections::BTreeSet;

use checkers::history::{FaultId, NodeId, Operation, Time};
use checkers::{Anomaly, Coverage, Guarantee, Verdict, Witness};

use crate::play::Played;
use crate::system::Timing;

/// In such a part of the time that it has to fail over, a system that is there serves whoever asks.
const SERVED_WITHIN: u32 = 5;

/// A stretch of time in which no fault began or ended and a majority of the nodes was connected.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) from: Time,
    pub(crate) to: Time,
    /// The faults that were on, and whom they hit.
    pub(crate) faults: Vec<(FaultId, String)>,
    /// The nodes that a majority was connected with, and clients with them.
    pub(crate) quorum: BTreeSet<NodeId>,
}

/// Judges what was played; nothing where no stretch was long enough to tell.
pub(crate) fn judge(played: &Played, timing: Timing) -> Option<Verdict> {
    let Played { history, stretches, homes, .. } = played;
    let mut coverage = Coverage {
        method: "successes while a majority was connected".into(),
        ..Coverage::default()
    };
    let mut anomalies = Vec::new();
    for stretch in
        stretches.iter().filter(|stretch| stretch.to.since(stretch.from) >= timing.failover)
    {
        for writes in [false, true] {
            let tried: Vec<Operation<'_>> = history
                .operations()
                .filter(|operation| operation.op.kind().writes() == writes)
                .filter(|operation| was_tried(operation, stretch))
                .collect();
            coverage.operations += tried.len();
            // Who stays with a node that is cut off is not served, however well the others are.
            let is_fair = |operation: &&Operation<'_>| {
                homes.get(operation.id.index()).is_none_or(|home| stretch.quorum.contains(home))
            };
            let fair: Vec<&Operation<'_>> = tried.iter().filter(is_fair).collect();
            let in_vain = |operation: &&&Operation<'_>| was_in_vain(operation, stretch, timing);
            if let Some(last) = fair.iter().rfind(in_vain)
                && !tried.iter().any(|operation| was_served(operation, stretch))
            {
                anomalies.push(stall(stretch, writes, fair.len(), last));
            }
        }
    }
    if coverage.operations == 0 {
        None
    } else if anomalies.is_empty() {
        Some(Verdict::Valid(coverage))
    } else {
        Some(Verdict::Invalid { anomalies, coverage })
    }
}

/// Whether an operation began in a stretch and could have been served. (One that began before it may have
/// been served before it as well, and only its answer come later.)
fn was_tried(operation: &Operation<'_>, stretch: &Stretch) -> bool {
    (stretch.from..=stretch.to).contains(&operation.invoked_at) && !operation.is_unsupported()
}

/// Whether it was served by the end of the stretch.
fn was_served(operation: &Operation<'_>, stretch: &Stretch) -> bool {
    operation.was_served() && operation.completed_at.is_some_and(|at| at <= stretch.to)
}

/// Whether it was over before the stretch was, without success, although the system had had its time to fail over; or was
/// not over by then, and had waited for long enough to be served by a system that is there.
fn was_in_vain(operation: &Operation<'_>, stretch: &Stretch, timing: Timing) -> bool {
    match operation.completed_at.filter(|at| *at <= stretch.to) {
        Some(ended) => ended >= stretch.from + timing.failover && !operation.was_served(),
        None => stretch.to.since(operation.invoked_at) >= timing.failover / SERVED_WITHIN,
    }
}

fn stall(stretch: &Stretch, writes: bool, tried: usize, last: &Operation<'_>) -> Anomaly {
    let Stretch { from, to, faults, .. } = stretch;
    let sort = if writes { "writes" } else { "reads" };
    let on = faults.iter().map(|(fault, what)| format!("fault {fault} ({what})"));
    let on = on.collect::<Vec<_>>().join(", ");
    let because =
        if on.is_empty() { "without any fault".to_owned() } else { format!("under {on}") };
    Anomaly {
        name: format!("stalled-{sort}"),
        guarantee: Guarantee::Available,
        at: *to,
        key: None,
        contrast: None,
        witness: Witness {
            operations: vec![last.id],
            faults: faults.iter().map(|(fault, _)| *fault).collect(),
        },
        explanation: vec![format!(
            "from {from} to {to} a majority was connected, {because}, and yet not one operation that \
             {sort} succeeded, of {tried} that were tried"
        )],
    }
}

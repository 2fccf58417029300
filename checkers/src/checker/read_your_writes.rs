//! Read-your-writes: a session's reads show its own earlier writes, or newer ones (Terry et al.,
//! "Session Guarantees for Weakly Consistent Replicated Data", 1994).
//!
//! A violation is a read that returns a value [certainly older](super::order) than the session's
//! last acknowledged write of the same key. Where values are written once, nobody is accused
//! wrongly; a read of a value whose write was concurrent with the session's own is not judged.

use rustc_hash::FxHashMap;

use super::Checker;
use super::order::{Order, seen};
use super::words::sentence;
use crate::history::{History, KeyId, Operation, OperationId, Phase, SessionId};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ReadYourWrites;

impl Checker for ReadYourWrites {
    fn check(&self, history: &History) -> Verdict {
        let order = Order::new(history);
        let end = history.phase_began(Phase::Final).map(|(event, _)| event);
        let mut last_write: FxHashMap<(SessionId, KeyId), OperationId> = FxHashMap::default();
        let mut coverage = Coverage {
            method: "order by real time and compare-and-set".into(),
            ..Coverage::default()
        };
        let mut anomalies = Vec::new();
        for operation in history.operations() {
            if end.is_some_and(|end| operation.invoked > end) {
                break;
            }
            let place = (operation.session, *operation.op.key());
            let write = last_write.get(&place).map(|id| history.operation(*id));
            // Nothing keeps two processes of a session from acting at the same time.
            let write = write.filter(|write| write.precedes(&operation));
            if let (Some(value), Some(write)) = (seen(&operation), write) {
                coverage.operations += 1;
                if order.is_older(value, &write) {
                    anomalies.push(explain(history, &order, &write, &operation));
                }
            }
            if operation.is_ok() && operation.op.kind().writes() {
                last_write.insert(place, operation.id);
            }
        }
        coverage.keys = history.key_count();
        if !anomalies.is_empty() {
            Verdict::Invalid { anomalies, coverage }
        } else if coverage.operations == 0 {
            let reason = "no session read a key after an acknowledged write of its own".to_owned();
            Verdict::Unknown { reason, coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

fn explain(
    history: &History,
    order: &Order<'_>,
    write: &Operation<'_>,
    read: &Operation<'_>,
) -> Anomaly {
    let key = *read.op.key();
    let value = seen(read).expect("only operations that saw something are judged");
    let mut operations: Vec<OperationId> =
        order.writers(key, value).map(|writer| writer.id).chain([write.id, read.id]).collect();
    operations.sort();
    operations.dedup();
    let mut explanation: Vec<String> =
        operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
    explanation.push(format!(
        "session {} had its own {} acknowledged before it read {}, which is older",
        read.session,
        history.op(write.id),
        history.value(value),
    ));
    Anomaly {
        name: "read-your-writes".to_owned(),
        guarantee: Guarantee::ReadYourWrites,
        at: read.completed_at.unwrap_or(read.invoked_at),
        key: Some(history.key(key).clone()),
        witness: Witness { operations, faults: history.faults_on(read.invoked) },
        explanation,
    }
}

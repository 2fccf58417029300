//! Durability: what was acknowledged is still there at the end, or was replaced by something that
//! is not older.
//!
//! Judged by the final reads at every replica: an acknowledged write is lost when what *every*
//! replica that answered holds in the end is [certainly older](super::order) than it.

use rustc_hash::FxHashMap;

use super::Checker;
use super::order::Order;
use super::words::sentence;
use crate::history::{EventIndex, History, KeyId, Operation, OperationId, Phase, ValueId};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Durable;

/// The final reads of one key.
struct Finals {
    reads: Vec<OperationId>,
    values: Vec<ValueId>,
    /// When the first of the reads was invoked: a write that ended later may not show in it.
    began: EventIndex,
}

impl Checker for Durable {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage = Coverage { method: "final reads".into(), ..Coverage::default() };
        let finals = finals(history);
        if finals.is_empty() {
            let reason = "no replica answered a read after the end of the run".to_owned();
            return Verdict::Unknown { reason, coverage };
        }
        let order = Order::new(history);
        let mut lost = Vec::new();
        for write in history.operations() {
            let Some(finals) = finals.get(write.op.key()) else { continue };
            let in_time = write.completed.is_some_and(|end| end < finals.began);
            if !write.is_ok() || !write.op.kind().writes() || !in_time {
                continue;
            }
            coverage.operations += 1;
            if finals.values.iter().all(|value| order.is_older(*value, &write)) {
                lost.push(write.id);
            }
        }
        coverage.keys = finals.len();
        if coverage.operations == 0 {
            let reason = "no write was acknowledged".to_owned();
            return Verdict::Unknown { reason, coverage };
        }
        if lost.is_empty() {
            return Verdict::Valid(coverage);
        }
        let anomalies = explain(history, &order, &finals, &lost);
        Verdict::Invalid { anomalies, coverage }
    }
}

fn finals(history: &History) -> FxHashMap<KeyId, Finals> {
    let mut finals: FxHashMap<KeyId, Finals> = FxHashMap::default();
    let Some((began, _)) = history.phase_began(Phase::Final) else { return finals };
    for read in history.operations().filter(|operation| operation.invoked > began) {
        if let Some(value) = read.value_read() {
            let none = Finals { reads: Vec::new(), values: Vec::new(), began: read.invoked };
            let of_key = finals.entry(*read.op.key()).or_insert(none);
            of_key.reads.push(read.id);
            if !of_key.values.contains(&value) {
                of_key.values.push(value);
            }
        }
    }
    finals
}

/// One anomaly a key, the first loss first; each says how much was lost in all.
fn explain(
    history: &History,
    order: &Order<'_>,
    finals: &FxHashMap<KeyId, Finals>,
    lost: &[OperationId],
) -> Vec<Anomaly> {
    let ended = |id: &OperationId| {
        let write: Operation<'_> = history.operation(*id);
        write.completed_at.expect("an acknowledged write has ended")
    };
    let first = lost.iter().map(ended).min().expect("something was lost");
    let last = lost.iter().map(ended).max().expect("something was lost");
    let total = format!(
        "{} acknowledged writes were lost in all, acknowledged from {first} to {last}",
        lost.len()
    );
    // The last loss of a key shows the most: everything before it is gone as well.
    let mut last_of_key: FxHashMap<KeyId, OperationId> = FxHashMap::default();
    let mut keys = Vec::new();
    for id in lost {
        let key = *history.operation(*id).op.key();
        if last_of_key.insert(key, *id).is_none() {
            keys.push(key);
        }
    }
    let mut anomalies = Vec::new();
    for key in keys {
        let write = history.operation(last_of_key[&key]);
        let finals = &finals[&key];
        let value = finals.values[0];
        let writers = order.writers(key, value).map(|writer| writer.id);
        let mut operations: Vec<OperationId> = writers.chain([write.id, finals.reads[0]]).collect();
        operations.sort();
        operations.dedup();
        let mut explanation: Vec<String> =
            operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
        explanation.push(format!(
            "process {} had {} acknowledged, but in the end all {} replicas that answered hold \
             something older",
            write.process,
            history.op(write.id),
            finals.reads.len(),
        ));
        explanation.push(total.clone());
        anomalies.push(Anomaly {
            name: "lost-write".to_owned(),
            guarantee: Guarantee::Durable,
            at: write.completed_at.expect("an acknowledged write has ended"),
            key: Some(history.key(key).clone()),
            witness: Witness { operations, faults: history.faults_on(write.invoked) },
            explanation,
        });
    }
    anomalies
}

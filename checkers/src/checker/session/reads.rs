//! What a session must find when it reads: its own writes, and what it has read, or what is newer.

use rustc_hash::FxHashMap;

use super::{
    Observation, Past, State, anomaly, coverage, is_done_write, observed, proof, verdict, versions,
};
use crate::checker::Checker;
use crate::checker::order::Order;
use crate::checker::words::{asked, told};
use crate::history::{Event, History, KeyId, Operation, Phase, SessionId};
use crate::verdict::{Guarantee, Verdict};

/// Read-your-writes: a session's reads show its own earlier writes, or newer ones.
///
/// A violation is a read of what is certainly older than a write of the same key that the session
/// had acknowledged before. A read of a value whose write was concurrent with the session's own is
/// not judged.
#[derive(Clone, Copy, Debug)]
pub struct ReadYourWrites;

/// Monotonic reads: a session's reads never go back.
///
/// A violation is a read of what is certainly older than what the session had read of the same key
/// before.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicReads;

impl Checker for ReadYourWrites {
    fn check(&self, history: &History) -> Verdict {
        let remember = |order: &Order<'_>, operation: &Operation<'_>| {
            is_done_write(operation).then(|| State::written(history, order, operation))
        };
        judge(
            history,
            Guarantee::ReadYourWrites,
            "no session read a register after an acknowledged write of its own",
            &remember,
        )
    }
}

impl Checker for MonotonicReads {
    fn check(&self, history: &History) -> Verdict {
        let remember = |order: &Order<'_>, operation: &Operation<'_>| {
            State::found(order, operation, observed(history, operation)?)
        };
        judge(
            history,
            Guarantee::MonotonicReads,
            "no session read a register that it had read before",
            &remember,
        )
    }
}

/// Goes through the history event by event: an operation is judged when it begins, and remembered
/// when it is over, so that only what certainly came before it counts against it.
fn judge<'a>(
    history: &'a History,
    guarantee: Guarantee,
    vacuous: &str,
    remember: &dyn Fn(&Order<'a>, &Operation<'_>) -> Option<State>,
) -> Verdict {
    let order = Order::new(history);
    let mut pasts: FxHashMap<(SessionId, KeyId), Past> = FxHashMap::default();
    let mut coverage = coverage();
    let mut anomalies = Vec::new();
    for (_, event) in history.events() {
        match event {
            Event::Phase(Phase::Final) => break,
            Event::Phase(_) | Event::Fault(_) => {}
            Event::Complete(operation) => {
                if let Some(state) = remember(&order, &operation) {
                    pasts.entry((operation.session, *operation.op.key())).or_default().add(&state);
                }
            }
            Event::Invoke(read) => {
                let key = *read.op.key();
                let Some(past) = pasts.get(&(read.session, key)) else { continue };
                let Some(Observation { value, version }) = observed(history, &read) else {
                    continue;
                };
                let Some(rank) = order.rank(key, value) else { continue };
                coverage.operations += 1;
                if let Some(newer) = past.newer_than(&rank, version) {
                    let newer = history.operation(newer);
                    let what = conclusion(history, guarantee, &newer, &read);
                    let witness = proof(history, &order, guarantee, &newer, &read);
                    anomalies.push(anomaly(history, guarantee, &read, &newer, witness, what));
                }
            }
        }
    }
    coverage.keys = history.key_count();
    verdict(&order, anomalies, coverage, vacuous)
}

fn conclusion(
    history: &History,
    guarantee: Guarantee,
    newer: &Operation<'_>,
    read: &Operation<'_>,
) -> String {
    let found = |operation: &Operation<'_>| {
        let observation = observed(history, operation).expect("what is judged tells what it found");
        told(history, observation.value)
    };
    let before = if guarantee == Guarantee::ReadYourWrites {
        format!("its own {} acknowledged", asked(history, newer.id))
    } else {
        format!("read {}", found(newer))
    };
    format!(
        "session {} had {before} before it read {}, which is older{}",
        read.session,
        found(read),
        versions(history, newer, read),
    )
}

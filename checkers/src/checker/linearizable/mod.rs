//! Linearizability: each operation appears to take effect at one instant between its invocation and
//! its completion (Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent
//! Objects", 1990).
//!
//! Keys are independent objects, so each is judged by itself (locality, section 3.3 there). Reads
//! of [replica level](ReadLevel::Replica) ask for less and are left out; so are reads without an
//! answer, and operations that certainly did not take effect.
//!
//! A write without an answer may take effect at any later time. Where nobody saw its value, it may
//! be left out: in an order that has it, no answer would change without it. Those that somebody saw
//! are few, and only these the [search](fn@search) has to place.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Checker, Limits};
use crate::history::{
    History, KeyId, Op, Operation, OperationId, Outcome, ReadLevel, Reason, ValueId,
};
use crate::model::cas_register::{CasOp, CasRegister, CasRet};
use crate::verdict::{Coverage, Guarantee, Verdict};

mod search;
mod witness;

pub use search::{Call, Found, search};

/// One operation on a key, as the search sees it.
type RegisterCall = Call<CasRegister<ValueId>>;

/// How many states each key may take before any key may take more: a bad key shows early, wherever
/// it is.
const FIRST_ROUND: u64 = 10_000;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Linearizable {
    limits: Limits,
}

impl Linearizable {
    /// Makes the checker.
    pub fn new(limits: Limits) -> Linearizable {
        Linearizable { limits }
    }
}

/// The operations of one key that are judged.
pub(super) struct OfKey {
    key: KeyId,
    ids: Vec<OperationId>,
    calls: Vec<RegisterCall>,
}

impl Checker for Linearizable {
    fn check(&self, history: &History) -> Verdict {
        let keys = by_key(history);
        let mut coverage = Coverage {
            method: "interval search".to_owned(),
            operations: keys.iter().map(|of_key| of_key.calls.len()).sum(),
            keys: keys.len(),
        };
        if !keys.iter().any(OfKey::shows_something) {
            coverage.operations = 0;
            let reason = "no operation was answered with what a key held".to_owned();
            return Verdict::Unknown { reason, coverage };
        }
        let mut states_left = self.limits.states_max;
        let mut anomalies = Vec::new();
        let mut open: Vec<&OfKey> = Vec::new();
        let mut reasons = Vec::new();
        for of_key in &keys {
            let round = FIRST_ROUND.min(states_left);
            let mut left = round;
            let found = search(&CasRegister(ValueId::NIL), &of_key.calls, &mut left);
            states_left -= round - left;
            match found {
                Found::Order => {}
                Found::NoOrder { stuck } => {
                    anomalies.push(witness::explain(history, of_key, stuck));
                }
                Found::Exhausted { .. } => open.push(of_key),
                Found::TooWide { open } => reasons.push(too_wide(history, of_key, open)),
            }
        }
        for of_key in open {
            match search(&CasRegister(ValueId::NIL), &of_key.calls, &mut states_left) {
                Found::Order => {}
                Found::NoOrder { stuck } => {
                    anomalies.push(witness::explain(history, of_key, stuck));
                }
                Found::Exhausted { stuck } => {
                    reasons.push(self.exhausted(history, of_key, stuck));
                }
                Found::TooWide { open } => reasons.push(too_wide(history, of_key, open)),
            }
        }
        if !anomalies.is_empty() {
            anomalies.sort_by_key(|anomaly| anomaly.at);
            Verdict::Invalid { anomalies, coverage }
        } else if let Some(reason) = reasons.into_iter().next() {
            Verdict::Unknown { reason, coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

impl Linearizable {
    fn exhausted(&self, history: &History, of_key: &OfKey, stuck: usize) -> String {
        format!(
            "the search of {} states ended at key {}: it was judged up to operation {} of {}",
            self.limits.states_max,
            history.key(of_key.key),
            stuck,
            of_key.calls.len(),
        )
    }
}

fn too_wide(history: &History, of_key: &OfKey, open: usize) -> String {
    format!(
        "{open} operations are open at one time at key {}, more than the search keeps apart",
        history.key(of_key.key)
    )
}

/// The operations that are judged, key by key, in the order of the keys' numbers.
fn by_key(history: &History) -> Vec<OfKey> {
    let mut keys: Vec<OfKey> = (0..history.key_count() as u32)
        .map(|key| OfKey { key: KeyId(key), ids: Vec::new(), calls: Vec::new() })
        .collect();
    for operation in history.operations() {
        if let Some(call) = call_of(&operation) {
            let of_key = &mut keys[operation.op.key().index()];
            of_key.ids.push(operation.id);
            of_key.calls.push(call);
        }
    }
    keys.retain_mut(|of_key| {
        of_key.leave_out_unseen();
        !of_key.calls.is_empty()
    });
    keys
}

/// The operation as the search sees it, unless it is none to be judged.
fn call_of(operation: &Operation<'_>) -> Option<RegisterCall> {
    let op = match operation.op {
        Op::Read { level: ReadLevel::Replica, .. } => return None,
        Op::Read { .. } => CasOp::Read,
        Op::Write { value, .. } => CasOp::Write(value),
        Op::Cas { from, to, .. } => CasOp::Cas(from, to),
        Op::Delete { .. } => CasOp::Write(ValueId::NIL),
        _ => return None,
    };
    let ret = match operation.outcome {
        Some(Outcome::Ok(_)) => Some(operation.value_read().map_or(CasRet::Done, CasRet::Value)),
        Some(Outcome::Fail(Reason::Mismatch { actual })) => Some(CasRet::Mismatch(*actual)),
        Some(Outcome::Fail(_)) => return None,
        Some(Outcome::Info(_)) | None if op == CasOp::Read => return None,
        Some(Outcome::Info(_)) | None => None,
    };
    let completed = operation.completed.map_or(u32::MAX, |event| event.0);
    Some(Call { op, ret, invoked: operation.invoked.0, completed })
}

/// The value that a call shows the key to have held.
fn seen(call: &RegisterCall) -> Option<ValueId> {
    match (&call.op, &call.ret) {
        (_, Some(CasRet::Value(value) | CasRet::Mismatch(Some(value)))) => Some(*value),
        (CasOp::Cas(from, _), Some(CasRet::Done)) => Some(*from),
        _ => None,
    }
}

/// The value that the key holds after a call, if it took effect.
fn written(call: &RegisterCall) -> Option<ValueId> {
    match (&call.op, &call.ret) {
        (_, Some(CasRet::Mismatch(_))) | (CasOp::Read, _) => None,
        (CasOp::Write(value) | CasOp::Cas(_, value), _) => Some(*value),
    }
}

/// Whether a call saw only what the key did *not* hold.
fn is_blind(call: &RegisterCall) -> bool {
    call.ret == Some(CasRet::Mismatch(None))
}

impl OfKey {
    fn shows_something(&self) -> bool {
        self.calls.iter().any(|call| seen(call).is_some() || is_blind(call))
    }

    /// Leaves out unanswered operations whose value nobody saw.
    fn leave_out_unseen(&mut self) {
        if self.calls.iter().any(is_blind) {
            // Any write may explain why the key did not hold something.
            return;
        }
        let mut seen_values: FxHashSet<ValueId> = self.calls.iter().filter_map(seen).collect();
        // A compare-and-set that took effect saw what it replaced, too.
        let mut replaced: FxHashMap<ValueId, Vec<ValueId>> = FxHashMap::default();
        for call in self.calls.iter().filter(|call| call.ret.is_none()) {
            if let CasOp::Cas(from, to) = call.op {
                replaced.entry(to).or_default().push(from);
            }
        }
        let mut to_follow: Vec<ValueId> = seen_values.iter().copied().collect();
        while let Some(value) = to_follow.pop() {
            for from in replaced.get(&value).into_iter().flatten() {
                if seen_values.insert(*from) {
                    to_follow.push(*from);
                }
            }
        }
        let stays = |call: &RegisterCall| {
            call.ret.is_some() || written(call).is_some_and(|value| seen_values.contains(&value))
        };
        let mut place = 0;
        self.ids.retain(|_| {
            place += 1;
            stays(&self.calls[place - 1])
        });
        self.calls.retain(stays);
    }
}

/// What a violation is called and proved by.
const GUARANTEE: Guarantee = Guarantee::Linearizable;

//! The order that proves a valid verdict: for each key, which operation took effect after which.
//!
//! Registers of unique values are ordered as the proof in [`zones`](super::zones) says: chain after
//! chain, level after level. Whatever was searched has the order that the search found. Anybody can
//! replay it: it keeps to the times of the operations, and each answer is what the object gives at
//! that place.

use rustc_hash::FxHashMap;

use super::search::{Budget, Call, Found, order};
use super::zones::{Held, Zones};
use super::{Linearizable, OfKey, RegisterCall, Registers, objects, seen, versions, written};
use crate::checker::keys::{Keys, Model};
use crate::checker::{Checker, Limits};
use crate::history::{History, KeyId, OperationId, ValueId};
use crate::model::SequentialSpec;
use crate::model::cas_register::{CasOp, CasRegister};
use crate::verdict::Verdict;

/// The order of one key's operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linearization {
    /// The key.
    pub key: KeyId,
    /// Its operations in the order in which they took effect. An operation without an answer is
    /// among them where it had an effect; failed ones that showed nothing, reads without an answer
    /// and reads of replicas are not.
    pub operations: Vec<OperationId>,
}

impl Linearizable {
    /// The orders that prove the history linearizable, in the order of the keys' numbers.
    ///
    /// # Errors
    /// The verdict, where it is not valid: then there is no order, or none is known.
    pub fn linearizations(&self, history: &History) -> Result<Vec<Linearization>, Verdict> {
        let verdict = self.check(history);
        if !verdict.is_valid() {
            return Err(verdict);
        }
        let models = Keys::taken_for(history, self.settings.model);
        let object = Registers::new(history);
        let is_register = |key: KeyId| models.are(key, Model::Register);
        let mut zones = Zones::new(history.key_count(), history.value_count(), object.initial);
        let mut keys =
            object.collect(object.all(), |key| is_register(key).then_some(0), |_, _| true);
        for of_key in &keys {
            of_key.calls.iter().for_each(|call| zones.add(of_key.key, call));
        }
        zones.judge();
        let holds = zones.holds();
        let mut found: Vec<Linearization> = keys
            .iter_mut()
            .map(|of_key| {
                let places = if let Some(holds) = holds.get(&of_key.key) {
                    in_order(&of_key.calls, holds)
                } else if let Some(places) = versions::order(&object, of_key) {
                    places
                } else {
                    of_key.leave_out_unseen();
                    self.found_again(&CasRegister(object.initial), &of_key.calls)
                };
                of_key.linearization(&places)
            })
            .collect();
        found.extend(objects::linearizations(self, history, &models));
        found.sort_by_key(|of_key| of_key.key.0);
        Ok(found)
    }

    /// The order that made the verdict valid.
    pub(super) fn found_again<S: SequentialSpec>(
        &self,
        start: &S,
        calls: &[Call<S>],
    ) -> Vec<usize> {
        let Limits { states_max: states, search_bytes_max: bytes, .. } = self.settings.limits;
        let found: Result<Vec<usize>, Found> = order(start, calls, &mut Budget { states, bytes });
        found.expect("the same search found an order before, with no more states")
    }
}

impl OfKey {
    fn linearization(&self, places: &[usize]) -> Linearization {
        let operations = places.iter().map(|place| self.ids[*place]).collect();
        Linearization { key: self.key, operations }
    }
}

/// The order of a key's calls, of whose values the order is known.
fn in_order(calls: &[RegisterCall], holds: &[Held]) -> Vec<usize> {
    let place_of: FxHashMap<ValueId, usize> =
        holds.iter().enumerate().map(|(place, held)| (held.value, place)).collect();
    // Each gets an instant. At the same one come first the failures before it, then the values in their
    // order, each with its write before its reads, then the failures after it.
    let mut order = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let called = call.invoked + 1;
        let key = if let Some(value) = written(call) {
            // Without an answer, and out of the order: it had no effect.
            let Some(place) = place_of.get(&value) else { continue };
            (holds[*place].from, 1, *place, 0)
        } else if let Some(value) = seen(call) {
            let place = place_of[&value];
            (holds[place].from.max(called), 1, place, 1)
        } else if let CasOp::Cas(value, _) = call.op
            && let Some(place) = place_of.get(&value).filter(|place| holds[**place].from < called)
        {
            let next = holds.get(place + 1).expect("it fits before its value, or after it");
            (next.from.max(called), 2, 0, 0)
        } else {
            (called, 0, 0, 0)
        };
        order.push((key, index));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

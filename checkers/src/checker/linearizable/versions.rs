//! Registers whose store says which version each operation saw or made.
//!
//! Then the order is known, and has only to be gone through. What a store says of versions is a claim
//! of its own: where the order that it gives explains every answer, the history is linearizable,
//! whoever gave it. Where it does not, that proves nothing, and the history is judged as one without
//! versions.
//!
//! It serves where values are written again and again, or removed: there [zones](super::zones) do not
//! apply, and a search may take long.

use rustc_hash::FxHashMap;

use super::{OfKey, RegisterCall, Registers, seen, written};
use crate::history::{OperationId, ValueId};
use crate::model::SequentialSpec;
use crate::model::cas_register::CasRegister;

/// The order of a key's calls by their versions, if every answer has one and the order explains them
/// all: places in the list of calls.
pub(super) fn order(object: &Registers<'_>, of_key: &OfKey) -> Option<Vec<usize>> {
    let version = |id: OperationId| object.history.version(id);
    let mut answered: Vec<(u64, bool, usize)> = Vec::new();
    // What may have taken effect, by value and in the order of the calls.
    let mut unanswered: FxHashMap<ValueId, Vec<usize>> = FxHashMap::default();
    for (place, (id, call)) in of_key.ids.iter().zip(&of_key.calls).enumerate() {
        if call.ret.is_some() {
            // Whoever makes a version comes before those that see it; calls are in their order.
            answered.push((version(*id)?, written(call).is_none(), place));
        } else if let Some(value) = written(call) {
            unanswered.entry(value).or_default().push(place);
        }
    }
    answered.sort_unstable();
    let mut at = At { state: CasRegister(object.initial), now: 0 };
    let mut order = Vec::with_capacity(answered.len());
    for (_, _, place) in answered {
        let call = &of_key.calls[place];
        at = match at.after(call) {
            Some(next) => next,
            None => {
                // Somebody without an answer made what it saw.
                let may_have = unanswered.get_mut(&seen(call)?)?;
                let (chosen, next) = may_have.iter().enumerate().find_map(|(chosen, other)| {
                    Some((chosen, at.after(&of_key.calls[*other])?.after(call)?))
                })?;
                order.push(may_have.remove(chosen));
                next
            }
        };
        order.push(place);
    }
    Some(order)
}

/// How far an order has been gone through.
#[derive(Clone, Copy)]
struct At {
    state: CasRegister<ValueId>,
    /// The latest call so far: nothing that follows takes effect earlier.
    now: u32,
}

impl At {
    /// Where a call leads, unless it was over already or cannot have its answer.
    fn after(mut self, call: &RegisterCall) -> Option<At> {
        self.now = self.now.max(call.invoked);
        let is_possible = match &call.ret {
            Some(ret) => self.now <= call.completed && self.state.is_valid_step(&call.op, ret),
            None => {
                self.state.invoke(&call.op);
                true
            }
        };
        is_possible.then_some(self)
    }
}

//! The smallest part of an object's calls that no order explains.

use super::OfKey;
use super::bonds::Bonds;
use super::calls::Object;
use crate::checker::linearizable::search::{Budget, Call, Found, search};
use crate::checker::linearizable::shrink::{self, Part, Shrink};
use crate::checker::linearizable::{anomaly, naming};
use crate::history::{History, OperationId};
use crate::verdict::Anomaly;

/// States that each attempt to leave something out may take, besides some for each call.
const STATES_A_TRY: u64 = 20_000;
/// States that all attempts may take together.
const STATES_MAX: u64 = 1_000_000;

/// Explains why no order of the calls gets past the one that is `stuck`.
pub(super) fn explain<S: Object>(history: &History, object: &OfKey<S>, stuck: usize) -> Anomaly {
    let known = object.ids.iter().copied().zip(object.calls.iter().cloned());
    let mut all: Vec<(OperationId, Call<S>)> = known.chain(object.left_out.clone()).collect();
    all.sort_by_key(|(_, call)| call.invoked);
    let (ids, calls): (Vec<OperationId>, Vec<Call<S>>) = all.into_iter().unzip();
    let bonds = S::bonds(&calls);
    let mut of_object = OfObject { start: &object.start, bonds, states_left: STATES_MAX };
    let all: Part<usize, S> = calls.into_iter().enumerate().collect();
    let kept = usable(&of_object.smallest_of(all, Some(object.calls[stuck].completed)));
    let operations: Vec<OperationId> = kept.iter().map(|(place, _)| ids[*place]).collect();
    anomaly(history, operations, ids[*shrink::last(&kept)], naming::no_order())
}

/// The calls of a part that an order of it can use.
fn usable<S: Object>(part: &[(usize, Call<S>)]) -> Part<usize, S> {
    let calls: Vec<Call<S>> = part.iter().map(|(_, call)| call.clone()).collect();
    S::usable(&calls).into_iter().map(|place| part[place].clone()).collect()
}

/// Leaves out calls of an object, each known by its place, with what is bound to them.
struct OfObject<'a, S> {
    start: &'a S,
    bonds: Bonds,
    states_left: u64,
}

impl<S: Object> Shrink<usize, S> for OfObject<'_, S> {
    fn has_no_order(&mut self, part: &[(usize, Call<S>)]) -> bool {
        let calls: Vec<Call<S>> = usable(part).into_iter().map(|(_, call)| call).collect();
        // Also what is refused at once was copied and laid out: long parts get fewer tries.
        let mut cost = calls.len() as u64 / 16 + 1;
        let found = match S::order(&calls) {
            Some(order) => order.is_err(),
            None => {
                let share = (STATES_A_TRY + 2 * calls.len() as u64).min(self.states_left);
                let mut left = Budget::of_states(share);
                let found = search(self.start, &calls, &mut left);
                cost = cost.max(share - left.states);
                matches!(found, Found::NoOrder { .. })
            }
        };
        self.states_left = self.states_left.saturating_sub(cost);
        found
    }

    fn without(&self, part: &[(usize, Call<S>)], goes: impl Fn(usize) -> bool) -> Part<usize, S> {
        let going = part.iter().enumerate().filter(|(index, _)| goes(*index));
        let gone = self.bonds.go_with(going.map(|(_, (place, _))| *place));
        let stays = |(place, _): &&(usize, Call<S>)| gone.binary_search(place).is_err();
        part.iter().filter(stays).cloned().collect()
    }

    fn is_spent(&self) -> bool {
        self.states_left == 0
    }
}

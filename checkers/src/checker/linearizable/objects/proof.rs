//! The smallest part of an object's calls that no order explains.

use super::OfKey;
use super::bonds::Bonds;
use super::calls::Object;
use crate::checker::linearizable::GUARANTEE;
use crate::checker::linearizable::search::{Budget, Call, Found, search};
use crate::checker::words::sentence;
use crate::history::{History, OperationId};
use crate::verdict::{Anomaly, Witness};

/// States that each attempt to leave something out may take, besides some for each call.
const STATES_A_TRY: u64 = 20_000;
/// States that all attempts may take together.
const STATES_MAX: u64 = 1_000_000;

/// Explains why no order of the calls gets past the one that is `stuck`.
pub(super) fn explain<S: Object>(history: &History, object: &OfKey<S>, stuck: usize) -> Anomaly {
    let mut shrink = Shrink { start: &object.start, states_left: STATES_MAX };
    let all: Part<S> = object.calls.iter().cloned().enumerate().collect();
    let broken = shrink.first_break(all, object.calls[stuck].completed);
    let kept = shrink.smallest_of(broken);
    let operations: Vec<OperationId> = kept.iter().map(|(place, _)| object.ids[*place]).collect();
    let last = kept
        .iter()
        .filter(|(_, call)| call.ret.is_some())
        .max_by_key(|(_, call)| call.completed)
        .map(|(place, _)| history.operation(object.ids[*place]))
        .expect("operations without an answer break nothing");
    let mut explanation: Vec<String> =
        operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
    explanation.push(
        "no order of these operations that keeps to their times explains every answer".to_owned(),
    );
    Anomaly {
        name: "not-linearizable".to_owned(),
        guarantee: GUARANTEE,
        at: last.completed_at.unwrap_or(last.invoked_at),
        key: Some(history.key(object.key).clone()),
        witness: Witness { operations, faults: history.faults_on(last.invoked) },
        explanation,
    }
}

/// Some calls, each with its place among all of its object.
type Part<S> = Vec<(usize, Call<S>)>;

/// Makes a part without an order smaller, while it has none.
struct Shrink<'a, S> {
    start: &'a S,
    states_left: u64,
}

impl<S: Object> Shrink<'_, S> {
    /// The part up to the first event after which it has no order. Where the search got stuck is a
    /// good guess; but it looks ahead, and may have seen what comes later.
    fn first_break(&mut self, part: Part<S>, guess: u32) -> Part<S> {
        let answered = part.iter().filter(|(_, call)| call.ret.is_some());
        let mut ends: Vec<u32> = answered.map(|(_, call)| call.completed).collect();
        ends.sort_unstable();
        let (mut low, mut high) = (0, ends.len().saturating_sub(1));
        let mut middle = ends.partition_point(|end| *end < guess).min(high);
        while low < high {
            if self.has_no_order(&cut_off(&part, ends[middle])) {
                high = middle;
            } else {
                low = middle + 1;
            }
            middle = usize::midpoint(low, high);
        }
        let cut = ends.get(low).map(|end| cut_off(&part, *end));
        cut.filter(|cut| self.has_no_order(cut)).unwrap_or(part)
    }

    /// Crosses out calls, and what has to go with them, while the rest has no order.
    fn smallest_of(&mut self, part: Part<S>) -> Part<S> {
        let calls: Vec<Call<S>> = part.iter().map(|(_, call)| call.clone()).collect();
        let bonds: Bonds = S::bonds(&calls);
        let mut kept: Vec<usize> = (0..part.len()).collect();
        let mut size = kept.len().div_ceil(2);
        while size > 0 && self.states_left > 0 {
            let mut start = 0;
            let mut any = false;
            while start < kept.len() && self.states_left > 0 {
                let end = (start + size).min(kept.len());
                let gone = bonds.go_with(kept[start..end].iter().copied());
                let rest: Vec<usize> =
                    kept.iter().copied().filter(|one| gone.binary_search(one).is_err()).collect();
                let fewer: Part<S> = rest.iter().map(|one| part[*one].clone()).collect();
                if rest.len() < kept.len() && !rest.is_empty() && self.has_no_order(&fewer) {
                    kept = rest;
                    any = true;
                } else {
                    start = end;
                }
            }
            if size == 1 && !any {
                break;
            }
            size = (size / 2).max(1);
        }
        kept.into_iter().map(|one| part[one].clone()).collect()
    }

    fn has_no_order(&mut self, part: &[(usize, Call<S>)]) -> bool {
        let calls: Vec<Call<S>> = part.iter().map(|(_, call)| call.clone()).collect();
        if let Some(found) = S::order(&calls) {
            self.states_left = self.states_left.saturating_sub(calls.len() as u64 / 16 + 1);
            return found.is_err();
        }
        let start = self.start.clone().awaiting(&calls);
        let share = (STATES_A_TRY + 2 * calls.len() as u64).min(self.states_left);
        let mut left = Budget::of_states(share);
        let found = search(&start, &calls, &mut left);
        // Also what is refused at once was copied and laid out: long parts get fewer tries.
        let cost = (share - left.states).max(calls.len() as u64 / 16).max(1);
        self.states_left = self.states_left.saturating_sub(cost);
        matches!(found, Found::NoOrder { .. })
    }
}

/// The part in a history that ends with event `end`: what began later is not in it, and of what
/// ended later, the answer is not.
fn cut_off<S: Object>(part: &[(usize, Call<S>)], end: u32) -> Part<S> {
    let cut = |mut call: Call<S>| {
        if call.completed > end {
            // Without its answer, only a change may still make a difference.
            let changes = call.ret.take().is_none_or(|ret| !S::is_pure(&call.op, &ret));
            return changes.then_some(call);
        }
        Some(call)
    };
    let begun = part.iter().filter(|(_, call)| call.invoked <= end);
    begun.filter_map(|(place, call)| Some((*place, cut(call.clone())?))).collect()
}

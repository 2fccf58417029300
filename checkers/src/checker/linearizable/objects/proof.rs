//! The smallest part of an object's calls that no order explains.
//!
//! What somebody was shown takes the place of all that led to it: a part may begin with what a read shows.
//! What was over before that read began is in what it shows, what began after it was over is not, and
//! whatever else there was at its time may be or not, as if it had no answer. So what breaks a counter that
//! thousands added to is proved by one read, and what was done since.

use super::bonds::Bonds;
use super::calls::Object;
use super::{OfKey, Smaller};
use crate::checker::linearizable::furthest::Source;
use crate::checker::linearizable::search::{Budget, Call, Found, search};
use crate::checker::linearizable::shrink::{self, Part, Shrink};
use crate::checker::linearizable::{NOT_LINEARIZABLE, anomaly, naming};
use crate::history::{History, OperationId};
use crate::model::SequentialSpec;
use crate::verdict::Anomaly;

/// States that each attempt to leave something out may take, besides some for each call.
const STATES_A_TRY: u64 = 20_000;
/// States that all attempts may take together.
const STATES_MAX: u64 = 1_000_000;
/// A proof of so few calls is not made smaller by what somebody was shown.
const FEW: usize = 3;

/// Some calls of an object, each by its operation.
type Known<S> = Smaller<OperationId, S>;

/// What words are found for: the calls of a key that have no order.
pub(super) struct Proof<'a, S: SequentialSpec> {
    pub(super) history: &'a History,
    /// All that was done at the key.
    pub(super) object: &'a OfKey<S>,
    /// What proves it.
    pub(super) part: &'a Known<S>,
}

/// Explains why no order of the calls gets past the one that is `stuck`.
pub(super) fn explain<S: Object>(history: &History, object: &OfKey<S>, stuck: usize) -> Anomaly {
    let known = object.ids.iter().copied().zip(object.calls.iter().cloned());
    let mut calls: Part<OperationId, S> = known.chain(object.left_out.clone()).collect();
    calls.sort_by_key(|(_, call)| call.invoked);
    let whole = Smaller { start: object.start.clone(), shown_by: object.shown_by, calls };
    let mut states_left = STATES_MAX;
    let mut part = smallest(&whole, Some(object.calls[stuck].completed), &mut states_left);
    if part.calls.len() > FEW && part.shown_by.is_none() {
        let end = end_of(&part.calls);
        let cut = Smaller { calls: shrink::cut_off(&whole.calls, end), ..whole };
        let mut states_left = STATES_MAX;
        let since = since_last_known(&cut, &mut states_left);
        let since = since.map(|since| smallest(&since, Some(end), &mut states_left));
        // The read that shows the start is one more.
        part = since.filter(|since| since.calls.len() + 1 < part.calls.len()).unwrap_or(part);
    }
    let proof = Proof { history, object, part: &part };
    let words = S::words(&proof).unwrap_or_default();
    let mut operations: Vec<OperationId> = part.calls.iter().map(|(id, _)| *id).collect();
    operations.extend(part.shown_by.into_iter().chain(words.names));
    operations.sort_unstable();
    operations.dedup();
    let named = match &words.sentences[..] {
        [] => {
            // Answers that went while it was made smaller are told, and so they count; but for what may have been in
            // a start that was found then.
            let is_same_start = part.shown_by == object.shown_by;
            let answered = |(id, call): &(OperationId, Call<S>)| {
                let as_it_was = whole.calls.iter().find(|(other, _)| is_same_start && other == id);
                (Source::Shown(*id), as_it_was.map_or(call, |(_, call)| call).clone())
            };
            let calls: Vec<_> = part.calls.iter().map(answered).collect();
            naming::no_order(history, (&part.start, part.shown_by), &calls)
        }
        _ => (NOT_LINEARIZABLE, words.sentences, words.contrast),
    };
    anomaly(history, operations, *shrink::last(&part.calls), named)
}

fn end_of<S: SequentialSpec>(calls: &[(OperationId, Call<S>)]) -> u32 {
    let last = shrink::last(calls);
    let of_last = calls.iter().find(|(id, _)| id == last);
    of_last.expect("it is one of them").1.completed
}

/// The smallest part that was found of what has no order.
fn smallest<S: Object>(of: &Known<S>, guess: Option<u32>, states_left: &mut u64) -> Known<S> {
    let calls: Vec<Call<S>> = of.calls.iter().map(|(_, call)| call.clone()).collect();
    let bonds = of.start.bonds(&calls);
    let mut of_object = OfObject { start: &of.start, bonds, states_left: *states_left };
    let part: Part<usize, S> = calls.into_iter().enumerate().collect();
    let kept = usable(&of_object.smallest_of(part, guess));
    *states_left = of_object.states_left;
    let calls = kept.into_iter().map(|(place, call)| (of.calls[place].0, call)).collect();
    Smaller { start: of.start.clone(), shown_by: of.shown_by, calls }
}

/// What comes after the last read that shows enough: what has no order has none from there on. They are
/// asked from the last one backwards, in longer and longer steps.
fn since_last_known<S: Object>(whole: &Known<S>, states_left: &mut u64) -> Option<Known<S>> {
    let is_known = |place: &usize| shown_by(&whole.calls[*place].1).is_some();
    let mut known: Vec<usize> = (0..whole.calls.len()).filter(is_known).collect();
    known.sort_unstable_by_key(|place| whole.calls[*place].1.completed);
    let (mut back, mut step) = (1, 1);
    while *states_left > 0 {
        let place = *known.get(known.len().checked_sub(back)?)?;
        let since = since(&whole.calls, place)?;
        let part: Part<usize, S> =
            since.calls.iter().map(|(_, call)| call.clone()).enumerate().collect();
        let bonds = Bonds::new::<()>([]);
        let mut of_object = OfObject { start: &since.start, bonds, states_left: *states_left };
        let has_no_order = of_object.has_no_order(&part);
        *states_left = of_object.states_left;
        if has_no_order {
            return Some(since);
        }
        back += step;
        step *= 2;
    }
    None
}

/// The calls from a read on, by its place, that shows what they begin with.
fn since<S: Object>(calls: &[(OperationId, Call<S>)], read: usize) -> Option<Known<S>> {
    let (id, known) = &calls[read];
    let start = shown_by(known)?;
    let later = calls.iter().filter_map(|(other, call)| {
        let is_before = call.ret.is_some() && call.completed < known.invoked;
        if is_before || other == id {
            return None;
        }
        let mut call = call.clone();
        if call.invoked <= known.completed {
            // It may be in what was shown. Then it has no effect after it.
            let changes = call.ret.take().is_none_or(|ret| !S::is_pure(&call.op, &ret));
            return changes.then_some((*other, call));
        }
        Some((*other, call))
    });
    let (ids, calls): (Vec<OperationId>, Vec<Call<S>>) = later.unzip();
    let needed = start.needed(&calls);
    let calls = needed.into_iter().map(|place| (ids[place], calls[place].clone())).collect();
    Some(Smaller { start, shown_by: Some(*id), calls })
}

/// What a call shows that changes nothing.
fn shown_by<S: SequentialSpec>(call: &Call<S>) -> Option<S> {
    let ret = call.ret.as_ref().filter(|ret| S::is_pure(&call.op, ret))?;
    S::shows(&call.op, ret)
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
        let found = match self.start.order(&calls) {
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

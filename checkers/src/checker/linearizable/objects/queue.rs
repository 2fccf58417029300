//! Queues of values that are put in once, in the time that sorting takes.
//!
//! **What is known.** A value `v` has an interval in which it was put in, `[b, c]`, and one in which it
//! was taken, `[d, e]`, cut to what fits: it is in by the time it is taken, `c <= e`, and not taken before
//! it comes, `d >= b`. Where it was never taken, `d` and `e` are never. A dequeue that found nothing is a
//! point in time at which the queue is empty; put it in the place of a value with `b = c = d = e`. What was
//! taken before it was put in comes before itself, as cut: `c(v) <= e(v) < b(v)`.
//!
//! **Theorem.** `v` comes *before* `w` if `c(v) < b(w)` or `e(v) < d(w)`. There is an order exactly if
//! nothing comes, over any number of steps, before itself.
//!
//! *Only if*: a queue gives in the order in which it was given to, so that the values of an order lie as
//! their enqueues do and as their dequeues do; and either half of the condition decides one of the two.
//! *If*: take the values in any order that extends *before*; put each in at the latest begin `b` so far,
//! and take it at the latest begin `d` so far. That is not too late: a `w` with `b(w) > c(v)` would come
//! after `v`, and so would one with `d(w) > e(v)`. Values are taken in the order in which they were put in,
//! and at the point of an empty queue all earlier ones are out and no later one is in.
//!
//! **Unanswered calls.** An enqueue whose value somebody took is open to its end. A dequeue may have taken
//! what nobody else took, or nothing. Let the value that was in first be taken by the dequeue that began
//! first, and so on. If there is an order, there is one like this: of two values that nobody is known to
//! have taken, the one that is in first has to be out first, and of two dequeues without an end the one
//! that began first is the more useful.
//!
//! **Empty queues.** A point `t` at which no value is certain to be in: `c < t < d` for none. Any such point
//! in the dequeue's time will do, because it closes no circle. What comes before the point has `c(v) < t`,
//! and so `d(v) <= t`; what comes after it has `d(w) > t`, and so `c(w) >= t`; and no such `w` comes before
//! such a `v`, as `b(v) <= c(v) < t <= c(w)` and `d(v) <= t < d(w) <= e(w)`. Whatever is neither has
//! `b <= d <= t <= c`, so that no `w` comes before it. The same holds for two points.
//!
//! The conditions are those of Henzinger, Sezgin and Vafeiadis, "Aspect-Oriented Linearizability Proofs",
//! 2013 (section 4), here with calls that have no answer, and with the order that they allow.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rustc_hash::FxHashMap;

use super::Smaller;
use super::calls::NoOrder;
use crate::checker::linearizable::search::Call;
use crate::history::Value;
use crate::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};

/// Moments are doubled, so that there is one between any two events.
type Moment = u64;

/// What never happens.
const NEVER: Moment = u64::MAX;
/// What may happen at any time, but before what never does.
const LATE: Moment = NEVER - 1;

/// A value, or an empty queue, and its times.
#[derive(Clone, Copy, Debug)]
struct Stay {
    /// Between these it was put in.
    b: Moment,
    c: Moment,
    /// Between these it was taken.
    d: Moment,
    e: Moment,
    /// The call that put it in; for an empty queue, the one that found nothing.
    enqueue: usize,
    /// The call that took it.
    dequeue: Option<usize>,
}

/// A value of which more was taken, at some moment, than anybody had begun to put in, by itself.
///
/// The others come in the same order without the rest, so that each value has a queue of its own, in which all
/// are the same. An unanswered dequeue can only have taken one of them away, and is left out.
pub(super) fn overdrawn(
    calls: &[Call<FifoQueue<Value>>],
) -> Option<Smaller<usize, FifoQueue<Value>>> {
    let mut changes: Vec<(u32, i64, &Value)> = calls.iter().filter_map(change).collect();
    changes.sort_unstable_by_key(|(event, ..)| *event);
    let mut left: FxHashMap<&Value, i64> = FxHashMap::default();
    let (.., value) = changes.into_iter().find(|(_, change, value)| {
        let left = left.entry(value).or_default();
        *left += change;
        *left < 0
    })?;
    let is_of = |call: &Call<_>| change(call).is_some_and(|(.., other)| other == value);
    let calls = calls.iter().enumerate().filter(|(_, call)| is_of(call));
    let calls = calls.map(|(place, call)| (place, call.clone())).collect();
    Some(Smaller { start: FifoQueue::default(), shown_by: None, calls })
}

/// From which event on a call may have put one more of a value in, or by which it has taken one out, if it is
/// known of which.
fn change(call: &Call<FifoQueue<Value>>) -> Option<(u32, i64, &Value)> {
    match (&call.op, &call.ret) {
        (QueueOp::Enqueue(value), _) => Some((call.invoked, 1, value)),
        (QueueOp::Dequeue, Some(QueueRet::Taken(Some(value)))) => Some((call.completed, -1, value)),
        (QueueOp::Dequeue, _) => None,
    }
}

/// The order of the calls, as places among them; none at all where a value comes twice.
pub(super) fn order(calls: &[Call<FifoQueue<Value>>]) -> Option<Result<Vec<usize>, NoOrder>> {
    let mut enqueues: FxHashMap<&Value, usize> = FxHashMap::default();
    let mut dequeues: FxHashMap<&Value, usize> = FxHashMap::default();
    let (mut empty, mut unanswered) = (Vec::new(), Vec::new());
    let mut is_taken_again = false;
    for (place, call) in calls.iter().enumerate() {
        match (&call.op, &call.ret) {
            (QueueOp::Enqueue(value), _) => {
                if enqueues.insert(value, place).is_some() {
                    return None;
                }
            }
            (QueueOp::Dequeue, Some(QueueRet::Taken(Some(value)))) => {
                is_taken_again |= dequeues.insert(value, place).is_some();
            }
            (QueueOp::Dequeue, Some(_)) => empty.push(place),
            (QueueOp::Dequeue, None) => unanswered.push(place),
        }
    }
    if is_taken_again || dequeues.keys().any(|value| !enqueues.contains_key(value)) {
        return Some(Err(NoOrder));
    }
    let begin = |place: usize| 2 * u64::from(calls[place].invoked);
    let end = |place: usize| {
        let call = &calls[place];
        if call.ret.is_some() { 2 * u64::from(call.completed) } else { LATE }
    };
    let stay = |enqueue: usize, dequeue: Option<usize>| {
        let (d, e) = dequeue.map_or((NEVER, NEVER), |place| (begin(place), end(place)));
        let b = begin(enqueue);
        Stay { b, c: end(enqueue).min(e), d: d.max(b), e, enqueue, dequeue }
    };
    let (taken, mut others): (Vec<_>, Vec<_>) =
        enqueues.iter().partition(|(value, _)| dequeues.contains_key(*value));
    let mut stays: Vec<Stay> = taken
        .into_iter()
        .map(|(value, place)| stay(*place, dequeues.get(value).copied()))
        .collect();
    others.sort_unstable_by_key(|(_, place)| end(**place));
    unanswered.sort_unstable_by_key(|place| begin(*place));
    let mut unanswered = unanswered.into_iter();
    stays.extend(others.into_iter().map(|(_, place)| stay(*place, unanswered.next())));
    let covered = covered(&stays);
    for place in empty {
        let Some(at) = free_moment(&covered, begin(place), end(place)) else {
            return Some(Err(NoOrder));
        };
        stays.push(Stay { b: at, c: at, d: at, e: at, enqueue: place, dequeue: None });
    }
    Some(sorted(stays).map(|stays| in_order(&stays)))
}

/// When the queue is certain not to be empty: from a first odd moment to a last.
fn covered(stays: &[Stay]) -> BTreeMap<Moment, Moment> {
    let held = stays.iter().filter(|stay| stay.c < stay.d.min(LATE));
    let mut held: Vec<(Moment, Moment)> = held.map(|stay| (stay.c + 1, stay.d - 1)).collect();
    held.sort_unstable();
    let mut covered: BTreeMap<Moment, Moment> = BTreeMap::new();
    for (first, last) in held {
        match covered.last_entry() {
            // Without an odd moment between them.
            Some(mut before) if first <= before.get().saturating_add(2) => {
                let until = before.get_mut();
                *until = last.max(*until);
            }
            _ => {
                covered.insert(first, last);
            }
        }
    }
    covered
}

/// The first odd moment between two events that is not covered.
fn free_moment(covered: &BTreeMap<Moment, Moment>, begin: Moment, end: Moment) -> Option<Moment> {
    let first = begin + 1;
    let over = covered.range(..=first).next_back().filter(|(_, last)| first <= **last);
    let at = over.map_or(first, |(_, last)| last.saturating_add(2));
    (at < end).then_some(at)
}

/// An order that extends *before*.
fn sorted(stays: Vec<Stay>) -> Result<Vec<Stay>, NoOrder> {
    let numbered = || stays.iter().zip(0_usize..);
    // The least ends of those that are left say who may come next: one whose begins are not above them.
    let mut by_c: BinaryHeap<_> = numbered().map(|(stay, at)| Reverse((stay.c, at))).collect();
    let mut by_e: BinaryHeap<_> = numbered().map(|(stay, at)| Reverse((stay.e, at))).collect();
    let mut by_b: BinaryHeap<_> = numbered().map(|(stay, at)| Reverse((stay.b, at))).collect();
    let mut by_d: BinaryHeap<Reverse<(Moment, usize)>> = BinaryHeap::new();
    let mut is_out = vec![false; stays.len()];
    let mut order = Vec::with_capacity(stays.len());
    let least = |heap: &mut BinaryHeap<Reverse<(Moment, usize)>>, is_out: &[bool]| {
        while heap.peek().is_some_and(|Reverse((_, at))| is_out[*at]) {
            heap.pop();
        }
        heap.peek().map_or(NEVER, |Reverse((end, _))| *end)
    };
    while order.len() < stays.len() {
        let (c, e) = (least(&mut by_c, &is_out), least(&mut by_e, &is_out));
        while let Some(Reverse((b, at))) = by_b.peek().copied()
            && b <= c
        {
            by_b.pop();
            by_d.push(Reverse((stays[at].d, at)));
        }
        match by_d.pop() {
            Some(Reverse((d, at))) if d <= e => {
                is_out[at] = true;
                order.push(stays[at]);
            }
            _ => return Err(NoOrder),
        }
    }
    Ok(order)
}

/// The calls in their order: each at the latest begin so far.
fn in_order(stays: &[Stay]) -> Vec<usize> {
    let (mut last_in, mut last_out) = (0, 0);
    let mut calls: Vec<(Moment, usize, bool, usize)> = Vec::new();
    for (stay, number) in stays.iter().zip(0..) {
        // Of what is never taken, nothing comes after it that is.
        (last_in, last_out) = (last_in.max(stay.b), last_out.max(stay.d));
        calls.push((last_in, number, false, stay.enqueue));
        calls.extend(stay.dequeue.map(|dequeue| (last_out, number, true, dequeue)));
    }
    calls.sort_unstable();
    calls.into_iter().map(|(.., place)| place).collect()
}

//! What no order explains, as far as it can be found without a search: a value that somebody saw after
//! the key had come to hold something else, or that nobody had written.
//!
//! **What is looked for.** A read of `v`, and an operation that left or saw something else, that was over
//! when the read began, and that began when all writes of `v` were over, those apart that began after the
//! read. It comes after all of them and before the read, and so the read cannot have seen `v`. What the key
//! holds in the beginning was written before everything.
//!
//! A history may break in other ways, which only a search finds. But this is how most do, and it takes
//! the time that sorting takes: however many operations are open at one time, and however often each
//! value was written.
//!
//! Four operations prove it: the read, what came between, who wrote the value that it saw where it wrote
//! none, and the write of `v` that was over last. That all others were over, too, is said in words. Who
//! replaces a value by the same does not write it: he has to find it there, as a read has.

use super::witness::brings;
use super::{RegisterCall, seen};
use crate::history::ValueId;

/// A value that was seen and cannot have been there: places among the calls.
pub(super) struct Overwritten {
    /// Who saw it.
    pub(super) read: usize,
    /// Who had written it last, if anybody had.
    pub(super) writer: Option<usize>,
    /// Who had left or seen something else after that; none where nobody had written the value.
    pub(super) newer: Option<usize>,
    /// Who may have written what was only seen.
    pub(super) writer_of_newer: Option<usize>,
}

impl Overwritten {
    /// The operations that prove it, in the order of invocation.
    pub(super) fn proof(&self) -> Vec<usize> {
        let others = [self.writer, self.newer, self.writer_of_newer].into_iter().flatten();
        let mut proof: Vec<usize> = others.chain([self.read]).collect();
        proof.sort_unstable();
        proof.dedup();
        proof
    }
}

/// Looks for it among the calls of a key, which are in the order of invocation.
pub(super) fn find(initial: ValueId, calls: &[RegisterCall]) -> Option<Overwritten> {
    let writers = Writers::of(calls);
    let holds =
        |call: &RegisterCall| brings(call).or_else(|| seen(call)).filter(|_| call.ret.is_some());
    let mut ends: Vec<(u32, usize, ValueId)> = Vec::with_capacity(calls.len());
    for (place, call) in calls.iter().enumerate() {
        ends.extend(holds(call).map(|value| (call.completed, place, value)));
    }
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    // Of those that are over, who began last, and when: of all, and of those that wrote.
    let (mut over, mut wrote) = (TwoBest::default(), TwoBest::default());
    for (read, call) in calls.iter().enumerate() {
        while let Some((_, place, value)) = ends.next_if(|(over, ..)| *over < call.invoked) {
            let worth = (calls[place].invoked, place);
            over.add(value, worth);
            if brings(&calls[place]).is_some() {
                wrote.add(value, worth);
            }
        }
        let Some(value) = seen(call) else { continue };
        let last = writers.last(value, call.completed);
        if last.is_none() && value != initial {
            return Some(Overwritten { read, writer: None, newer: None, writer_of_newer: None });
        }
        let is_newer = |(begun, _): &(u32, usize)| last.is_none_or(|(end, _)| end < *begun);
        // Whoever wrote something proves that it was there without anybody else.
        let by_writer = wrote.other_than(value).filter(is_newer);
        if let Some((_, newer)) = by_writer.or_else(|| over.other_than(value).filter(is_newer)) {
            let by = &calls[newer];
            let writer = last.map(|(_, place)| place);
            // Of those who may have written what was only seen, the one that is over last: it cannot have
            // been over before all writes of `v` began, or what was seen would be the older one.
            let only_seen = seen(by).filter(|_| brings(by).is_none());
            let writer_of_newer = only_seen.and_then(|value| writers.last(value, by.completed));
            let writer_of_newer = writer_of_newer.map(|(_, place)| place);
            return Some(Overwritten { read, writer, newer: Some(newer), writer_of_newer });
        }
    }
    None
}

/// Who may have brought each value, by value and in the order of invocation.
struct Writers(Vec<Writer>);

/// One of those who may have brought a value.
struct Writer {
    value: ValueId,
    invoked: u32,
    /// Of those of the value so far, the one that is over last: when, and its place.
    last: (u32, usize),
}

impl Writers {
    fn of(calls: &[RegisterCall]) -> Writers {
        let mut writers = Vec::with_capacity(calls.len());
        for (place, call) in calls.iter().enumerate() {
            let Some(value) = brings(call) else { continue };
            let end = if call.ret.is_some() { call.completed } else { u32::MAX };
            writers.push(Writer { value, invoked: call.invoked, last: (end, place) });
        }
        writers.sort_unstable_by_key(|writer| (writer.value, writer.last.1));
        for place in 1..writers.len() {
            let before = &writers[place - 1];
            if before.value == writers[place].value && before.last.0 >= writers[place].last.0 {
                writers[place].last = before.last;
            }
        }
        Writers(writers)
    }

    /// Of those who began to write the value before a moment, the one that is over last, and when.
    fn last(&self, value: ValueId, before: u32) -> Option<(u32, usize)> {
        let begun =
            self.0.partition_point(|writer| (writer.value, writer.invoked) < (value, before));
        let last = &self.0[begun.checked_sub(1)?];
        (last.value == value).then_some(last.last)
    }
}

/// Of what each of some values is worth, the most that any has, and the most that any other one has.
#[derive(Default)]
pub(super) struct TwoBest<W> {
    best: Option<(ValueId, W)>,
    other: Option<(ValueId, W)>,
}

impl<W: Copy + Ord> TwoBest<W> {
    pub(super) fn add(&mut self, value: ValueId, worth: W) {
        let new = (value, worth);
        let is_better = |than: Option<(ValueId, W)>| than.is_none_or(|(_, other)| other < worth);
        if self.best.is_some_and(|(best, _)| best == value) {
            if is_better(self.best) {
                self.best = Some(new);
            }
        } else if is_better(self.best) {
            self.other = self.best.replace(new);
        } else if is_better(self.other) {
            self.other = Some(new);
        }
    }

    /// The most that a value other than this one has.
    pub(super) fn other_than(&self, value: ValueId) -> Option<W> {
        let mut known = self.best.iter().chain(&self.other);
        known.find(|(known, _)| *known != value).map(|(_, worth)| *worth)
    }
}

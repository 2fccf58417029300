//! When operations are called and return, and which of them can be open together.

use super::{Call, OPEN_MAX};
use crate::model::SequentialSpec;

/// When operations are called and return. Indices are places in the list of calls.
pub(super) struct Timetable {
    /// Operations with an answer, by return.
    pub(super) returns: Vec<u32>,
    /// Operations with an answer, by call.
    pub(super) called: Vec<u32>,
    /// How many of `called` were called before each return.
    pub(super) called_before: Vec<u32>,
    /// Operations without an answer, by call.
    pub(super) unanswered: Vec<u32>,
    /// How many of `unanswered` were called before each return.
    pub(super) unanswered_before: Vec<u32>,
    /// The place of each operation in `returns`.
    ranks: Vec<u32>,
    /// The bit of each operation while it is open. Bits are used again.
    pub(super) slots: Vec<u16>,
    /// The most operations that are open at one time.
    pub(super) width: usize,
}

impl Timetable {
    pub(super) fn new<S: SequentialSpec>(calls: &[Call<S>]) -> Timetable {
        let mut events: Vec<(u32, bool, u32)> = Vec::with_capacity(calls.len() * 2);
        for (index, call) in calls.iter().enumerate() {
            events.push((call.invoked, false, index as u32));
            if call.ret.is_some() {
                events.push((call.completed, true, index as u32));
            }
        }
        // A call and a return of the same number overlap: the call comes first.
        events.sort_unstable();
        let answered = events.len() - calls.len();
        let mut plan = Timetable {
            returns: Vec::with_capacity(answered),
            called: Vec::with_capacity(answered),
            called_before: Vec::with_capacity(answered),
            unanswered: Vec::with_capacity(calls.len() - answered),
            unanswered_before: Vec::with_capacity(answered),
            ranks: vec![u32::MAX; calls.len()],
            slots: vec![0; calls.len()],
            width: 0,
        };
        let mut free: Vec<u16> = Vec::new();
        for (_, returns, index) in events {
            if returns {
                plan.called_before.push(plan.called.len() as u32);
                plan.unanswered_before.push(plan.unanswered.len() as u32);
                plan.ranks[index as usize] = plan.returns.len() as u32;
                plan.returns.push(index);
                free.push(plan.slots[index as usize]);
            } else if calls[index as usize].ret.is_some() {
                plan.called.push(index);
                plan.slots[index as usize] = free.pop().unwrap_or_else(|| {
                    plan.width += 1;
                    (plan.width - 1).min(OPEN_MAX) as u16
                });
            } else {
                plan.unanswered.push(index);
            }
        }
        plan
    }

    /// The return of an operation; never where it has no answer.
    pub(super) fn rank(&self, index: u32) -> u32 {
        self.ranks[index as usize]
    }

    /// How many operations return.
    pub(super) fn end(&self) -> u32 {
        self.returns.len() as u32
    }

    /// The first quiescent cut at so many returns or later: nothing that was called before it is
    /// open at it. The end is one.
    pub(super) fn cut_from(&self, returns: u32) -> u32 {
        let is_cut = |at: &u32| self.called_before[*at as usize - 1] == *at;
        (returns.max(1)..self.end()).find(is_cut).unwrap_or(self.end())
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask<const N: usize>([u64; N]);

impl<const N: usize> Mask<N> {
    pub(super) const EMPTY: Mask<N> = Mask([0; N]);

    pub(super) fn has(&self, slot: u16) -> bool {
        self.0[usize::from(slot) / 64] >> (slot % 64) & 1 == 1
    }

    pub(super) fn add(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] &= !(1 << (slot % 64));
    }

    pub(super) fn without(mut self, other: &Mask<N>) -> Mask<N> {
        for (word, gone) in self.0.iter_mut().zip(other.0) {
            *word &= !gone;
        }
        self
    }

    pub(super) fn slots(self) -> impl Iterator<Item = u16> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros();
                    word &= word - 1;
                    (index as u32 * 64 + bit) as u16
                })
            })
        })
    }
}

//! Looking ahead: what must still be seen has to come back.
//!
//! Where a model says which state an answer [shows](SequentialSpec::shows) and which state an
//! operation [makes](SequentialSpec::makes), a search need not go on to find that it left a state
//! too early: one that still has to be shown, and that nothing makes again in time. This is what
//! keeps a register whose values are mostly written once from being searched in every order of
//! its writes.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::timetable::Timetable;
use super::{Call, Class};
use crate::model::SequentialSpec;

/// No mark.
pub(super) const NONE: u32 = u32::MAX;

/// States that answers show, by number: their marks.
pub(super) struct Marks<S> {
    numbers: FxHashMap<S, u32>,
    /// The mark that each call makes, where it changes anything.
    pub(super) made: Vec<u32>,
    pub(super) of: Vec<OfMark>,
}

/// What there is about one mark.
#[derive(Default)]
pub(super) struct OfMark {
    /// Operations whose answers show it, by return.
    pub(super) shown_by: SmallVec<[u32; 16]>,
    /// Operations with an answer that make it, by call.
    pub(super) made_by: SmallVec<[u32; 16]>,
    /// Classes of operations without an answer that make it.
    pub(super) classes: SmallVec<[u32; 8]>,
}

impl<S: SequentialSpec> Marks<S> {
    /// None at all where an operation changes states in a way of its own: then every state may come
    /// back.
    pub(super) fn new(
        calls: &[Call<S>],
        plan: &Timetable,
        pure: &[bool],
        classes: &[Class],
    ) -> Marks<S> {
        let mut marks = Marks { numbers: FxHashMap::default(), made: Vec::new(), of: Vec::new() };
        let makes_a_state = |(call, pure): (&Call<S>, &bool)| *pure || S::makes(&call.op).is_some();
        if !calls.iter().zip(pure).all(makes_a_state) {
            return marks;
        }
        for index in &plan.returns {
            let call = &calls[*index as usize];
            let ret = call.ret.as_ref().expect("what returned has an answer");
            if let Some(state) = S::shows(&call.op, ret) {
                let next = marks.of.len() as u32;
                let mark = *marks.numbers.entry(state).or_insert(next);
                if mark == next {
                    marks.of.push(OfMark::default());
                }
                marks.of[mark as usize].shown_by.push(*index);
            }
        }
        marks.made = vec![NONE; calls.len()];
        for index in plan.called.iter().filter(|index| !pure[**index as usize]) {
            let mark = marks.of_what_makes(&calls[*index as usize]);
            marks.made[*index as usize] = mark;
            if let Some(of) = marks.of.get_mut(mark as usize) {
                of.made_by.push(*index);
            }
        }
        for (class, members) in (0..).zip(classes) {
            let index = plan.unanswered[members[0] as usize];
            let mark = marks.of_what_makes(&calls[index as usize]);
            if let Some(of) = marks.of.get_mut(mark as usize) {
                of.classes.push(class);
            }
        }
        marks
    }

    /// The mark that a call makes.
    fn of_what_makes(&self, call: &Call<S>) -> u32 {
        S::makes(&call.op).map_or(NONE, |state| self.of_state(&state))
    }

    /// The mark of a state.
    pub(super) fn of_state(&self, state: &S) -> u32 {
        if self.of.is_empty() { NONE } else { self.numbers.get(state).copied().unwrap_or(NONE) }
    }
}

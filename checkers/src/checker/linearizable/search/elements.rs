//! The way from one answer to the next, of an object [of elements](SequentialSpec::OF_ELEMENTS).
//!
//! Most of the operations that are open at one time are about different elements, and any of them may have taken effect: there
//! are as many configurations as there are sets of them, and a search would have to see them all before it could say that
//! something is wrong. Here it does not stop at these. The *opposite* of an operation takes out what it puts in, or the other
//! way round.
//!
//! **Lemma.** Where there is an order, there is one that begins in one of these ways:
//!
//! 1. with the operation that returns next, if that is no read; just before it, some of its opposites, those that return first;
//! 2. with a read that is open; before it, for each element in which what it shows is not what there is, one operation that
//!    makes it so: of those that are open the one that returns first, and one without an answer only if no other is open; just
//!    before that one, some of its opposites, those that return first.
//!
//! *Proof.* Take an order, and in it the first operation that is a read, or the one that returns next. Whatever comes before is
//! no read, and returns later than the one that returns next, so that it may as well come right after the first. For each
//! element, take what comes before the first about this element. If the first is about another one, or is a read that shows
//! this one as it is, all of it can come after the first, as it leaves the element as it was. Otherwise the last of it decides:
//! those that ask the same can come after the first, where they change nothing; those without an answer need not have taken
//! effect; what is left are opposites. Of two that are open and ask the same, the one that returns first can have the place of
//! the one that comes first, and so can one with an answer that of one without. ∎

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Call, Configuration, Frame, Search};
use crate::model::SequentialSpec;

/// Those who ask the same, and always can: by kind, and by class where they have no answer.
#[derive(Clone, Copy, Default)]
struct Asking {
    kind: Option<u32>,
    class: Option<u32>,
}

/// What the operations ask that are no reads.
pub(super) struct Elements<S: SequentialSpec>(FxHashMap<S::Op, Asking>);

impl<S: SequentialSpec> Elements<S> {
    /// Of calls with their kinds, and of one unanswered call for each class; nothing of any other object.
    pub(super) fn of(
        start: &S,
        calls: &[Call<S>],
        kinds: &[u32],
        unanswered: impl Iterator<Item = u32>,
    ) -> Elements<S> {
        let mut asked: FxHashMap<S::Op, Asking> = FxHashMap::default();
        if !S::OF_ELEMENTS {
            return Elements(asked);
        }
        let mut object = start.clone();
        for (call, kind) in calls.iter().zip(kinds) {
            let Some(ret) = &call.ret else { continue };
            // Whoever was told something else than that it was done has no order.
            if !S::is_pure(&call.op, ret) && object.is_valid_step(&call.op, ret) {
                asked.entry(call.op.clone()).or_default().kind = Some(*kind);
            }
        }
        for (index, class) in unanswered.zip(0..) {
            asked.entry(calls[index as usize].op.clone()).or_default().class = Some(class);
        }
        Elements(asked)
    }

    fn asking(&self, op: &S::Op) -> Asking {
        self.0.get(op).copied().unwrap_or_default()
    }
}

/// What puts an element in, or takes it out.
#[derive(Clone, Copy)]
enum By {
    Call(u32),
    /// The next one of a class of unanswered operations.
    Class(u32),
}

/// How one element is changed.
struct Change {
    by: By,
    /// Its opposites, by return: the first few of them come before it.
    opposites: SmallVec<[u32; 2]>,
    /// How many where it is tried next.
    before: usize,
}

/// One way to begin.
pub(super) struct Way(SmallVec<[Change; 2]>);

impl Way {
    /// Goes on to the next numbers of opposites; false where there are none.
    fn advance(&mut self) -> bool {
        for change in &mut self.0 {
            if change.before < change.opposites.len() {
                change.before += 1;
                return true;
            }
            change.before = 0;
        }
        false
    }
}

impl<S: SequentialSpec, const N: usize> Search<'_, S, N> {
    /// The ways to begin, what is tried first as the last.
    ///
    /// First come the reads that do not show what the operation makes that has to return next, then that one, then the
    /// others; of reads, those that show what is nearest.
    pub(super) fn ways(&mut self, at: &Configuration<N>) -> Vec<Way> {
        let due = self.plan.returns[at.frontier as usize];
        let after_due = if self.pure[due as usize] { None } else { self.step(at.state, due) };
        let due_op = &self.calls[due as usize].op;
        let opposite = S::opposite(due_op);
        let shows_what_is_due = |changes: &[S::Op]| match after_due {
            Some(after) if after != at.state => changes.contains(due_op),
            Some(_) => !opposite.as_ref().is_some_and(|opposite| changes.contains(opposite)),
            None => true,
        };
        let state = &self.states[at.state as usize];
        let open = self.open_mask.without(&at.done);
        let mut ways: Vec<((u8, usize, u32), Way)> = Vec::new();
        let mut kinds: SmallVec<[u32; 16]> = SmallVec::new();
        for slot in open.slots() {
            let index = self.open[usize::from(slot)];
            let kind = self.kinds[index as usize];
            if !self.pure[index as usize] || kinds.contains(&kind) {
                continue;
            }
            kinds.push(kind);
            let call = &self.calls[index as usize];
            let changes = call.ret.as_ref().and_then(|ret| state.changes_to(&call.op, ret));
            let Some(changes) = changes else { continue };
            let place = if shows_what_is_due(&changes) { 2 } else { 0 };
            let way: Option<SmallVec<_>> = changes.iter().map(|op| self.change(op, at)).collect();
            ways.extend(way.map(|way| ((place, changes.len(), call.completed), Way(way))));
        }
        if after_due.is_some() {
            let opposites = opposite.map_or_else(SmallVec::new, |op| self.open_ones(&op, at));
            let change = Change { by: By::Call(due), opposites, before: 0 };
            ways.push(((1, 0, 0), Way(SmallVec::from_iter([change]))));
        }
        ways.sort_unstable_by_key(|(rank, _)| Reverse(*rank));
        ways.into_iter().map(|(_, way)| way).collect()
    }

    /// How an element is changed as an operation does it; none where nobody can.
    fn change(&self, op: &S::Op, at: &Configuration<N>) -> Option<Change> {
        let by = match self.open_ones(op, at).first() {
            Some(first) => By::Call(*first),
            None => {
                let class = self.elements.asking(op).class?;
                self.next_unanswered(class, at.used, at.frontier)?;
                By::Class(class)
            }
        };
        let opposites = S::opposite(op).map_or_else(SmallVec::new, |op| self.open_ones(&op, at));
        Some(Change { by, opposites, before: 0 })
    }

    /// The answered operations that ask this and may take effect next, by return.
    fn open_ones(&self, op: &S::Op, at: &Configuration<N>) -> SmallVec<[u32; 2]> {
        let Some(kind) = self.elements.asking(op).kind else { return SmallVec::new() };
        let open = self.open_mask.without(&at.done).without(&self.pure_mask);
        let open = open.slots().map(|slot| self.open[usize::from(slot)]);
        let mut same: SmallVec<[u32; 2]> =
            open.filter(|index| self.kinds[*index as usize] == kind).collect();
        same.sort_unstable_by_key(|index| self.calls[*index as usize].completed);
        same
    }

    /// The configuration that the next way leads to.
    pub(super) fn by_a_way(&mut self, frame: &mut Frame<N>) -> Option<Configuration<N>> {
        let way = frame.ways.last_mut()?;
        let mut at = frame.at;
        self.trail.truncate(frame.trail);
        for Change { by, opposites, before } in &way.0 {
            for index in &opposites[..*before] {
                at.done.add(self.plan.slots[*index as usize]);
                self.trail.push(*index);
            }
            let index = match by {
                By::Call(index) => {
                    at.done.add(self.plan.slots[*index as usize]);
                    *index
                }
                By::Class(class) => {
                    let next = self.next_unanswered(*class, at.used, at.frontier);
                    at.used = self.used_sets.with_one_more(at.used, *class);
                    next.expect("a way is made of what is there")
                }
            };
            self.trail.push(index);
            at.state = self.step(at.state, index).expect("it always can");
        }
        if !way.advance() {
            frame.ways.pop();
        }
        Some(at)
    }
}

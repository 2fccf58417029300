//! Sets that are only added to, in the time that reading what was shown takes; and what is plainly wrong
//! with others.
//!
//! **Theorem.** Of a set that is only added to, each read shows all that an earlier one does, so that what
//! is shown by all reads makes a chain. Let every different set of the chain be a *level*, and let there be
//! one more level before each, and one after all of them, for what is added there. A read has the level of
//! what it shows; an element is first added at the level before the first that shows it, or after all of
//! them. Give each operation, in the order of time, the highest of its own level and of those of the
//! operations that were over before it began. There is an order exactly if this leaves every read at its
//! level, and of each element that somebody was shown one who adds it.
//!
//! *Only if*: an operation has no lower level in any order, as adding an element again changes nothing, but
//! may be late. *If*: take the operations by level, and those of one level as they began.
//!
//! **Projections.** An order of the whole is one for some of its elements, and for some of its reads. Where
//! the set is only added to, and has no order, then one element has none, or two with one read, or two
//! with two reads: of reads that make no chain, each shows something that the other one does not; and
//! whatever raises an operation above its level is a read or an add that shows or adds one element, while
//! another element has to come before it.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Smaller;
use super::calls::NoOrder;
use crate::checker::linearizable::search::Call;
use crate::history::Value;
use crate::model::set::{Set, SetOp, SetRet};

/// A call of a set, as the search sees it.
type SetCall = Call<Set<Value>>;

/// The order of the calls of a set that begins empty; none at all where anything is removed.
pub(super) fn order(calls: &[SetCall]) -> Option<Result<Vec<usize>, NoOrder>> {
    let is_removed = calls.iter().any(|call| matches!(call.op, SetOp::Remove(_)));
    (!is_removed).then(|| Levels::of(calls).and_then(|levels| levels.order(calls)).ok_or(NoOrder))
}

/// At which level what comes.
struct Levels<'a> {
    /// That of each call, by place: an odd one for each read.
    own: Vec<u32>,
    /// That before each element is shown first.
    first: FxHashMap<&'a Value, u32>,
}

impl<'a> Levels<'a> {
    /// None where reads make no chain, or one of them shows something twice.
    fn of(calls: &'a [SetCall]) -> Option<Levels<'a>> {
        let mut reads: Vec<(usize, &[Value])> = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            if let Some(elements) = shown(call) {
                if elements.windows(2).any(|pair| pair[0] == pair[1]) {
                    return None;
                }
                reads.push((place, elements));
            }
        }
        reads.sort_by_key(|(_, elements)| elements.len());
        let mut own = vec![0; calls.len()];
        let mut first: FxHashMap<&Value, u32> = FxHashMap::default();
        let mut before: Option<&[Value]> = None;
        let mut level = 0;
        for (place, elements) in reads {
            let mut left = before.unwrap_or(&[]).iter().peekable();
            let is_new = before.is_none_or(|before| before.len() < elements.len());
            if is_new {
                level += 2;
            }
            for element in elements {
                if left.next_if(|shown| *shown == element).is_none() {
                    first.insert(element, level);
                }
            }
            // What is left is not shown any more; nothing is, where both are as long and differ.
            if left.next().is_some() {
                return None;
            }
            own[place] = level + 1;
            before = Some(elements);
        }
        for (place, call) in calls.iter().enumerate() {
            if let SetOp::Add(value) = &call.op {
                own[place] = first.get(value).copied().unwrap_or(level + 2);
            }
        }
        Some(Levels { own, first })
    }

    /// The calls by level, each at the lowest that it can have.
    fn order(&self, calls: &[SetCall]) -> Option<Vec<usize>> {
        let mut events: Vec<(u32, bool, usize)> = Vec::with_capacity(calls.len() * 2);
        for (place, call) in calls.iter().enumerate() {
            events.push((call.invoked, false, place));
            if call.ret.is_some() {
                events.push((call.completed, true, place));
            }
        }
        // A call and a return of the same number overlap: the call comes first.
        events.sort_unstable();
        let mut levels = self.own.clone();
        let mut least = 0;
        for (_, returns, place) in events {
            if returns {
                least = levels[place].max(least);
            } else {
                levels[place] = levels[place].max(least);
            }
        }
        let mut left = self.first.clone();
        let mut order: Vec<(u32, u32, usize)> = Vec::with_capacity(calls.len());
        for (place, call) in calls.iter().enumerate() {
            let is_at_its_own = levels[place] == self.own[place];
            match &call.op {
                SetOp::Add(value) if is_at_its_own => {
                    left.remove(value);
                }
                SetOp::Read if !is_at_its_own => return None,
                _ => {}
            }
            // Without an answer, what nobody was shown need not have been added.
            let is_shown = |value| self.first.contains_key(value);
            if call.ret.is_some() || added(call).is_some_and(is_shown) {
                order.push((levels[place], call.invoked, place));
            }
        }
        order.sort_unstable();
        left.is_empty().then(|| order.into_iter().map(|(.., place)| place).collect())
    }
}

/// What a read shows.
fn shown(call: &SetCall) -> Option<&[Value]> {
    match (&call.op, &call.ret) {
        (SetOp::Read, Some(SetRet::Elements(elements))) => Some(elements),
        _ => None,
    }
}

/// What a call adds.
fn added(call: &SetCall) -> Option<&Value> {
    if let SetOp::Add(value) = &call.op { Some(value) } else { None }
}

/// Each element by itself: whether it is in the set; and what is plainly wrong with two of them.
pub(super) fn projections(calls: &[SetCall]) -> impl Iterator<Item = Smaller<usize, Set<Value>>> {
    /// With more than this to look at, looking takes longer than what comes of it is worth.
    const CALLS_MAX: usize = 10_000_000;
    let mut elements: BTreeSet<&Value> = calls
        .iter()
        .flat_map(|call| match &call.op {
            SetOp::Add(value) | SetOp::Remove(value) => std::slice::from_ref(value),
            SetOp::Read => shown(call).unwrap_or(&[]),
        })
        .collect();
    if elements.len() * calls.len() > CALLS_MAX {
        elements.clear();
    }
    let one = elements.into_iter().map(|element| only(calls, &[element], |_| true));
    let two = std::iter::once_with(|| Growing::new(calls)).flat_map(|growing| {
        [growing.no_chain(), growing.late()].into_iter().flatten().collect::<Vec<_>>()
    });
    one.chain(two)
}

/// Some elements by themselves, with some of the reads.
fn only(
    calls: &[SetCall],
    elements: &[&Value],
    keeps: impl Fn(usize) -> bool,
) -> Smaller<usize, Set<Value>> {
    let of = |(place, call): (usize, &SetCall)| {
        let ret = match (&call.op, &call.ret) {
            (SetOp::Add(value) | SetOp::Remove(value), ret) if elements.contains(&value) => {
                ret.clone()
            }
            (SetOp::Read, Some(SetRet::Elements(shown))) if keeps(place) => {
                // An element that is shown twice is shown twice here as well.
                let shown = shown.iter().filter(|shown| elements.contains(shown)).cloned();
                Some(SetRet::Elements(shown.collect()))
            }
            _ => return None,
        };
        let Call { op, invoked, completed, .. } = call;
        Some((place, Call { op: op.clone(), ret, invoked: *invoked, completed: *completed }))
    };
    let calls = calls.iter().enumerate().filter_map(of).collect();
    Smaller { start: Set::default(), shown_by: None, calls }
}

/// When the first of those who add an element begins, and the first is over.
#[derive(Clone, Copy)]
struct Adding {
    begun: u32,
    over: u32,
}

/// What a set shows of the elements that nobody removes.
struct Growing<'a> {
    calls: &'a [SetCall],
    added: FxHashMap<&'a Value, Adding>,
    /// The reads, those that show the fewest first.
    reads: Vec<(usize, Vec<&'a Value>)>,
}

impl<'a> Growing<'a> {
    fn new(calls: &'a [SetCall]) -> Growing<'a> {
        let mut added: FxHashMap<&Value, Adding> = FxHashMap::default();
        let mut removed: BTreeSet<&Value> = BTreeSet::new();
        for call in calls {
            let over = if call.ret.is_some() { call.completed } else { u32::MAX };
            match &call.op {
                SetOp::Add(value) => {
                    let first = added.entry(value).or_insert(Adding { begun: u32::MAX, over });
                    first.begun = first.begun.min(call.invoked);
                    first.over = first.over.min(over);
                }
                SetOp::Remove(value) => {
                    removed.insert(value);
                }
                SetOp::Read => {}
            }
        }
        added.retain(|value, _| !removed.contains(value));
        let kept = |elements: &'a [Value]| {
            elements.iter().filter(|value| added.contains_key(value)).collect::<Vec<_>>()
        };
        let reads = calls.iter().enumerate();
        let mut reads: Vec<(usize, Vec<&Value>)> =
            reads.filter_map(|(place, call)| Some((place, kept(shown(call)?)))).collect();
        reads.sort_by_key(|(_, elements)| elements.len());
        Growing { calls, added, reads }
    }

    /// Two elements and two reads, each of which shows one of them.
    fn no_chain(&self) -> Option<Smaller<usize, Set<Value>>> {
        let not_in = |elements: &[&'a Value], other: &[&'a Value]| {
            elements.iter().copied().find(|value| other.binary_search(value).is_err())
        };
        self.reads.windows(2).find_map(|pair| {
            let [(one, fewer), (other, more)] = pair else { return None };
            let elements = [not_in(fewer, more)?, not_in(more, fewer)?];
            Some(only(self.calls, &elements, |place| place == *one || place == *other))
        })
    }

    /// Two elements, of which a read shows only the one that nobody had begun to add when the other one had
    /// been added.
    fn late(&self) -> Option<Smaller<usize, Set<Value>>> {
        let mut by_end: Vec<(&Value, Adding)> =
            self.added.iter().map(|(value, adding)| (*value, *adding)).collect();
        by_end.sort_unstable_by_key(|(value, adding)| (adding.over, *value));
        self.reads.iter().find_map(|(read, shown)| {
            let begun = |value: &&&Value| self.added[**value].begun;
            let last = shown.iter().max_by_key(begun)?;
            let is_missing = |(value, _): &&(&Value, Adding)| shown.binary_search(value).is_err();
            let (missing, adding) = by_end.iter().find(is_missing)?;
            let is_late = adding.over < self.added[*last].begun;
            is_late.then(|| only(self.calls, &[*missing, *last], |place| place == *read))
        })
    }
}

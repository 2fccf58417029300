//! The smallest part of a key's history that no order explains.
//!
//! **What is left out** may have been done or not: a part proves something only where no order explains
//! what it saw, whatever the others brought. So who wrote what was read stays, and what is not known
//! because somebody is left out is [assumed](OfRegister::standing_alone).
//!
//! **How small it can be.** Where every value is written once, six operations do: three of each of two
//! values. Compare-and-sets in a circle, 1 to 2, 2 to 3, and so on to 1 again, take all of it, however long
//! it is: without one of them, somebody else may have brought what the next one replaced. Where values
//! come again, what is seen at `k` times between which something else was there, and was written `k - 1`
//! times, is proved by all of that: by `2k - 1` operations, if those who saw it replaced it, and by
//! `3k - 2` if others wrote over it. With one of them less there is an order.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::furthest::Source;
use super::overwritten::{Overwritten, TwoBest};
use super::shrink::{self, Shrink};
use super::zones::{Judged, Zones};
use super::{Named, OfKey, RegisterCall, Registers, anomaly, is_blind, naming, seen, written};
use crate::checker::linearizable::search::{Budget, Found, search};
use crate::checker::words::told;
use crate::history::{History, KeyId, Op, Operation, OperationId, ValueId};
use crate::model::cas_register::{CasOp, CasRegister};
use crate::verdict::Anomaly;

/// States that each attempt to leave something out may take, besides some for each call. If that is not enough, it
/// stays in.
const STATES_A_TRY: u64 = 20_000;
/// States that all attempts may take together, and besides them for each call.
const STATES_MAX: u64 = 5_000_000;
const STATES_A_CALL: u64 = 100;

/// Operations, and what counts of them.
type Part = shrink::Part<OperationId, CasRegister<ValueId>>;

/// Explains why the clusters of some values have no order.
pub(super) fn of_zones(
    object: &Registers<'_>,
    of_key: &OfKey,
    values: &FxHashSet<ValueId>,
) -> Anomaly {
    // Of each cluster three operations make its zone: the one that wrote the value, the first to
    // return and the last to be called of those that read it. A blind failure is here only where it
    // breaks the order.
    let mut first: FxHashMap<ValueId, usize> = FxHashMap::default();
    let mut last: FxHashMap<ValueId, usize> = FxHashMap::default();
    let mut kept: Vec<usize> = Vec::new();
    for (place, call) in of_key.calls.iter().enumerate() {
        if written(call).is_some_and(|value| values.contains(&value)) || is_blind(call) {
            kept.push(place);
        }
        let read = if written(call).is_some() { None } else { seen(call) };
        let Some(value) = read.filter(|value| values.contains(value)) else { continue };
        let first = first.entry(value).or_insert(place);
        if call.completed < of_key.calls[*first].completed {
            *first = place;
        }
        // Calls come in the order of invocation.
        last.insert(value, place);
    }
    kept.extend(first.into_values().chain(last.into_values()));
    kept.sort_unstable();
    kept.dedup();
    let part: Part =
        kept.into_iter().map(|place| (of_key.ids[place], of_key.calls[place].clone())).collect();
    explain(object, of_key, part, None)
}

/// Explains that a value was seen after it had been written over.
pub(super) fn of_overwritten(
    object: &Registers<'_>,
    of_key: &OfKey,
    found: &Overwritten,
) -> Anomaly {
    let part: Part = found
        .proof()
        .into_iter()
        .map(|place| (of_key.ids[place], of_key.calls[place].clone()))
        .collect();
    let mut operations: Vec<OperationId> = part.iter().map(|(id, _)| *id).collect();
    let named = naming::name(object, of_key, &mut operations).unwrap_or_else(|| {
        OfRegister::new(object.initial, of_key).no_order(object.history, of_key, &part)
    });
    anomaly(object.history, operations, of_key.ids[found.read], named)
}

/// Explains why no order of a key's operations gets past the one that is `stuck`.
pub(super) fn of_search(object: &Registers<'_>, of_key: &OfKey, stuck: usize) -> Anomaly {
    let all: Part = of_key.ids.iter().copied().zip(of_key.calls.iter().cloned()).collect();
    explain(object, of_key, all, Some(of_key.calls[stuck].completed))
}

fn explain(object: &Registers<'_>, of_key: &OfKey, part: Part, guess: Option<u32>) -> Anomaly {
    let history = object.history;
    let mut of_register = OfRegister::new(object.initial, of_key);
    let counted = taken_too_often(object.initial, of_key);
    let part = match counted.filter(|counted| of_register.has_no_order(counted)) {
        Some(counted) => of_register.smallest_of(counted, None),
        None => of_register.smallest_of(part, guess),
    };
    let mut operations: Vec<OperationId> = part.iter().map(|(id, _)| *id).collect();
    let mut named = naming::name(object, of_key, &mut operations)
        .unwrap_or_else(|| of_register.no_order(history, of_key, &part));
    let left_out = of_register.not_shown(history, of_key, &part).into_iter();
    // What it comes to is said last.
    let last = named.1.len().saturating_sub(1);
    named.1.splice(last..last, left_out.chain(of_register.not_found(history, &part)));
    anomaly(history, operations, *shrink::last(&part), named)
}

/// Of the values that were replaced more often than they came, the one of which the fewest operations prove it: all
/// that may have brought it, and one more than these that replaced it.
fn taken_too_often(initial: ValueId, of_key: &OfKey) -> Option<Part> {
    #[derive(Default)]
    struct Counted {
        brought: Vec<usize>,
        replaced: Vec<usize>,
    }
    let mut values: FxHashMap<ValueId, Counted> = FxHashMap::default();
    for (place, call) in of_key.calls.iter().enumerate() {
        if let Some(value) = brings(call) {
            values.entry(value).or_default().brought.push(place);
            if let Some(from) = source(call).filter(|_| call.ret.is_some()) {
                values.entry(from).or_default().replaced.push(place);
            }
        }
    }
    let proofs = values.into_iter().filter_map(|(value, counted)| {
        let Counted { brought, replaced } = counted;
        let times = brought.len() + usize::from(value == initial);
        let proof = || brought.into_iter().chain(replaced.iter().take(times + 1).copied());
        (replaced.len() > times).then(|| proof().collect::<Vec<usize>>())
    });
    let mut places = proofs.min_by_key(|places| (places.len(), places.clone()))?;
    places.sort_unstable();
    let known = |place: usize| (of_key.ids[place], of_key.calls[place].clone());
    Some(places.into_iter().map(known).collect())
}

/// Leaves out operations on a register.
struct OfRegister {
    initial: ValueId,
    /// Who brought each value, of all operations of the key.
    writes: FxHashMap<ValueId, Writes>,
    /// Who brought anything, and since when something else was certainly [brought after it](followed).
    any: Writes,
    followed: FxHashMap<OperationId, u32>,
    /// Since when each write was certainly written over; none where that is open.
    over: FxHashMap<OperationId, u32>,
    states_left: u64,
}

impl OfRegister {
    fn new(initial: ValueId, of_key: &OfKey) -> OfRegister {
        let over = written_over(of_key);
        let writes = Writes::of_each(of_key.ids.iter().zip(&of_key.calls), &over);
        let followed = followed(of_key);
        let any = Writes::of_any(of_key.ids.iter().zip(&of_key.calls), &followed);
        let states_left = STATES_MAX + STATES_A_CALL * of_key.calls.len() as u64;
        OfRegister { initial, writes, any, followed, over, states_left }
    }

    /// Whether some of these calls may have read what a write brought. That cannot have been where it was
    /// written over before they began: in an order of the whole nobody of them looks between this write
    /// and the next, and so it can be crossed out.
    fn may_be_seen(
        &self,
        (id, write): &(OperationId, RegisterCall),
        value: ValueId,
        all: &[&RegisterCall],
    ) -> bool {
        /// With more calls than this, comparing takes longer than what comes of it is worth.
        const COMPARED_MAX: usize = 1024;
        let Some(over) = self.over.get(id).filter(|_| all.len() <= COMPARED_MAX) else {
            return true;
        };
        let shows = |call: &RegisterCall| written(call).is_none() && seen(call) == Some(value);
        let may_see = |call: &RegisterCall| write.invoked < call.completed && call.invoked <= *over;
        all.iter().any(|call| shows(call) && may_see(call))
    }

    /// Whether everybody is in a part who may have brought what a compare-and-set of it replaced, and
    /// somebody who did, where anybody of the whole did. After the last answer of the part, at event
    /// `end`, it makes no difference.
    fn is_explained(
        &self,
        call: &RegisterCall,
        from: ValueId,
        of_part: &FxHashMap<ValueId, Writes>,
        end: u32,
    ) -> bool {
        let until = if call.ret.is_some() { call.completed } else { end.max(call.invoked) };
        let seen_of = |writes: &FxHashMap<ValueId, Writes>| {
            writes.get(&from).map_or((0, 0), |writes| writes.seen(call.invoked, until))
        };
        let (begun, may_be_seen) = seen_of(&self.writes);
        let (begun_here, may_be_seen_here) = seen_of(of_part);
        let is_here = begun_here > 0 || begun == 0 || from == self.initial;
        is_here && may_be_seen_here == may_be_seen
    }

    /// Who brought each value in a part, and its last answer.
    fn writes_of(&self, part: &[(OperationId, RegisterCall)]) -> (FxHashMap<ValueId, Writes>, u32) {
        let writes = Writes::of_each(part.iter().map(|(id, call)| (id, call)), &self.over);
        let answered = part.iter().filter(|(_, call)| call.ret.is_some());
        (writes, answered.map(|(_, call)| call.completed).max().unwrap_or(0))
    }

    /// The calls of a part as a history of its own: events and values without gaps, the initial
    /// value as `nil`.
    ///
    /// A compare-and-set is taken for a write where not [everybody](Self::is_explained) is in the part
    /// who may have brought what it replaced: that it found its source is assumed. In an order of the
    /// whole, whoever brought the source can be crossed out then, so that what has no order like this
    /// has none with it.
    ///
    /// Whoever failed without saying what was there may have found anything that is not in the part, and was not followed
    /// by another write before: each of them gets a write of its own, without an answer, where there is any.
    fn standing_alone(&self, part: &[(OperationId, RegisterCall)]) -> (Vec<RegisterCall>, usize) {
        self.with_answers(part, part)
    }

    /// The calls of a part, standing alone, with these answers.
    fn with_answers(
        &self,
        part: &[(OperationId, RegisterCall)],
        answered: &[(OperationId, RegisterCall)],
    ) -> (Vec<RegisterCall>, usize) {
        let mut events: Vec<u32> = answered
            .iter()
            .flat_map(|(_, call)| [Some(call.invoked), call.ret.map(|_| call.completed)])
            .flatten()
            .collect();
        events.sort_unstable();
        events.dedup();
        // With room for one more event before each.
        let place = |event: u32| 2 * events.partition_point(|other| *other < event) as u32 + 1;
        let (writes, end) = self.writes_of(part);
        let mut numbers: FxHashMap<ValueId, u32> = FxHashMap::default();
        numbers.insert(self.initial, 0);
        let mut number = |value: ValueId| {
            let next = numbers.len() as u32;
            ValueId(*numbers.entry(value).or_insert(next))
        };
        let mut calls: Vec<RegisterCall> = part
            .iter()
            .zip(answered)
            .map(|((_, call), (_, answered))| {
                let op = match call.op {
                    CasOp::Read => CasOp::Read,
                    CasOp::Write(value) => CasOp::Write(number(value)),
                    CasOp::Cas(from, to)
                        if written(call).is_some()
                            && !self.is_explained(call, from, &writes, end) =>
                    {
                        CasOp::Write(number(to))
                    }
                    CasOp::Cas(from, to) => CasOp::Cas(number(from), number(to)),
                };
                let ret = answered.ret.map(|ret| ret.map(&mut number));
                let completed = if ret.is_some() { place(answered.completed) } else { u32::MAX };
                RegisterCall { op, ret, invoked: place(call.invoked), completed }
            })
            .collect();
        let mut values = numbers.len();
        for call in self.failed_at_others(part) {
            let op = CasOp::Write(ValueId(values as u32));
            let invoked = place(call.invoked) - 1;
            calls.push(RegisterCall { op, ret: None, invoked, completed: u32::MAX });
            values += 1;
        }
        calls.sort_by_key(|call| call.invoked);
        (calls, values)
    }

    /// Of the values that somebody read or replaced in a part, how many writes are not in it: nobody can have seen them.
    fn not_shown(&self, history: &History, of_key: &OfKey, part: &Part) -> Option<String> {
        let (writes, end) = self.writes_of(part);
        // Who found each value, how, and until when; and what was replaced that may be of somebody who is not shown.
        let mut found: FxHashMap<ValueId, Vec<(OperationId, &str, u32)>> = FxHashMap::default();
        let mut of_others = BTreeSet::new();
        for (id, call) in part {
            let (value, how, until) = match call.op {
                CasOp::Cas(from, _) if written(call).is_some() => {
                    let until = if call.ret.is_some() { call.completed } else { end };
                    if !self.is_explained(call, from, &writes, end) {
                        of_others.insert(from);
                        continue;
                    }
                    (Some(from), "replaced", until)
                }
                _ => (seen(call), "read", call.completed),
            };
            if let Some(value) = value {
                found.entry(value).or_default().push((*id, how, until));
            }
        }
        let (mut left_out, mut finds, mut values) = (0, BTreeSet::new(), BTreeSet::new());
        for (id, call) in of_key.ids.iter().zip(&of_key.calls) {
            let Some(value) = brings(call) else { continue };
            let by: Vec<_> = found
                .get(&value)
                .into_iter()
                .flatten()
                .filter(|(_, _, until)| call.invoked < *until)
                .map(|(by, how, _)| (*how, *by))
                .collect();
            if !by.is_empty() && part.iter().all(|(shown, _)| shown != id) {
                left_out += 1;
                finds.extend(by);
                values.insert(value);
            }
        }
        let names: Vec<String> = values.iter().map(|value| told(history, *value)).collect();
        let (count, each) = match left_out {
            0 => return None,
            1 => ("one more write".to_owned(), "it"),
            many => (format!("{many} more writes"), "each"),
        };
        let ways = BTreeSet::from_iter(finds.iter().map(|(how, _)| *how));
        let ways = Vec::from_iter(ways).join(" or ");
        let what = if values.is_disjoint(&of_others) {
            format!("what was {ways}")
        } else {
            let by = |(how, id): &(&str, OperationId)| {
                let Operation { process, invoked_at, .. } = history.operation(*id);
                format!("what process {process} {how} after {invoked_at}")
            };
            finds.iter().map(by).collect::<Vec<_>>().join(", or ")
        };
        Some(format!(
            "{count} of {} cannot be {what}: after {each} was over, and before that was {ways}, \
             somebody left or saw something else",
            names.join(", ")
        ))
    }

    /// Of each that failed in a part without saying what was there, how many writes are not in it that had begun by then,
    /// where it cannot have found any of them.
    fn not_found(&self, history: &History, part: &Part) -> Vec<String> {
        let of_part = Writes::of_any(part.iter().map(|(id, call)| (id, call)), &self.followed);
        let sentence = |(id, call): &(OperationId, RegisterCall)| {
            let begun = |writes: &Writes| writes.seen(call.invoked, call.completed);
            let (all, shown) = (begun(&self.any), begun(&of_part));
            let (count, each) = match all.0 - shown.0 {
                0 => return None,
                1 => ("one more write".to_owned(), "it"),
                many => (format!("{many} more writes"), "each"),
            };
            let process = history.operation(*id).process;
            (is_blind(call) && all.1 == shown.1).then(|| {
                format!(
                    "{count} cannot be what process {process} found: {each} was over before another one began, and that \
                     was over before process {process} asked"
                )
            })
        };
        part.iter().filter_map(sentence).collect()
    }

    /// That a part has no order, in words. Answers that went while it was made smaller are told, and so they count.
    fn no_order(
        &self,
        history: &History,
        of_key: &OfKey,
        part: &[(OperationId, RegisterCall)],
    ) -> Named {
        let mut part = part.to_vec();
        part.sort_by_key(|(_, call)| call.invoked);
        let mut ids = part.iter().map(|(id, _)| *id);
        let as_it_was = |(id, _): &(OperationId, RegisterCall)| {
            let place = of_key.ids.binary_search(id).expect("a part is of its key");
            (*id, of_key.calls[place].clone())
        };
        let answered: Part = part.iter().map(as_it_was).collect();
        let (calls, _) = self.with_answers(&part, &answered);
        // What is assumed to have been brought has the room before an event.
        let with_source = |call: RegisterCall| {
            let id = if call.invoked % 2 == 1 { ids.next() } else { None };
            let is_cas = |id: &OperationId| matches!(history.operation(*id).op, Op::Cas { .. });
            let source = match (id, &call.op) {
                (None, _) => Source::Hidden,
                (Some(id), CasOp::Write(_)) if is_cas(&id) => Source::OfUnknown(id),
                (Some(id), _) => Source::Shown(id),
            };
            (source, call)
        };
        let calls: Vec<_> = calls.into_iter().map(with_source).collect();
        naming::no_order(history, (&CasRegister(ValueId::NIL), None), &calls)
    }

    /// Whoever failed without saying what was there, where that may have been something of which the
    /// writer is not in the part.
    fn failed_at_others<'a>(
        &self,
        part: &'a [(OperationId, RegisterCall)],
    ) -> impl Iterator<Item = &'a RegisterCall> {
        let of_part = Writes::of_any(part.iter().map(|(id, call)| (id, call)), &self.followed);
        part.iter().map(|(_, call)| call).filter(move |call| {
            let may_be_found = |writes: &Writes| writes.seen(call.invoked, call.completed).1;
            is_blind(call) && may_be_found(&of_part) < may_be_found(&self.any)
        })
    }
}

impl Shrink<OperationId, CasRegister<ValueId>> for OfRegister {
    fn has_no_order(&mut self, part: &[(OperationId, RegisterCall)]) -> bool {
        let (calls, values) = self.standing_alone(part);
        let mut zones = Zones::new(1, values, ValueId::NIL);
        for call in &calls {
            zones.add(KeyId(0), call);
        }
        // Also what is refused at once was copied and laid out: long parts get fewer tries.
        let mut cost = (part.len() as u64 / 16).max(1);
        let found = match zones.judge()[0] {
            Judged::Order => false,
            Judged::NoOrder(_) => true,
            Judged::Repeats | Judged::Blind => {
                let share = (STATES_A_TRY + 4 * calls.len() as u64).min(self.states_left);
                let mut left = Budget::of_states(share);
                let found = search(&CasRegister(ValueId::NIL), &calls, &mut left);
                cost = cost.max(share - left.states);
                matches!(found, Found::NoOrder { .. })
            }
        };
        self.states_left = self.states_left.saturating_sub(cost);
        found
    }

    /// An answer may always go, and what replaces a value by the same. A write may go only where
    /// nobody that stays read its value: then, in an order of the whole, it can be crossed out, and
    /// what has no order without it has none with it. Otherwise the proof would become another one,
    /// that of a value which nobody wrote. Of several writes of a value, one may go that nobody who
    /// stays [may have read](Self::may_be_seen). Who wrote what a compare-and-set replaced may go; the
    /// compare-and-set is [taken for a write](Self::standing_alone) then.
    fn without(&self, part: &[(OperationId, RegisterCall)], goes: impl Fn(usize) -> bool) -> Part {
        let going: Vec<usize> = (0..part.len()).filter(|index| goes(*index)).collect();
        let mut stays = vec![true; part.len()];
        going.iter().for_each(|index| stays[*index] = false);
        loop {
            let staying = || part.iter().zip(&stays).filter(|(_, stays)| **stays);
            let calls = || staying().map(|((_, call), _)| call);
            let read: FxHashSet<ValueId> =
                calls().filter(|call| written(call).is_none()).filter_map(seen).collect();
            let still_brought: FxHashSet<ValueId> = calls().filter_map(brings).collect();
            let all: Vec<&RegisterCall> = calls().collect();
            let is_needed = |one: &(OperationId, RegisterCall)| {
                brings(&one.1).is_some_and(|value| {
                    let is_last = !still_brought.contains(&value);
                    read.contains(&value) && (is_last || self.may_be_seen(one, value, &all))
                })
            };
            let needed = |index: &&usize| !stays[**index] && is_needed(&part[**index]);
            let come_back: Vec<usize> = going.iter().filter(needed).copied().collect();
            if come_back.is_empty() {
                return staying().map(|(one, _)| one.clone()).collect();
            }
            // What comes back may need others in its turn.
            come_back.into_iter().for_each(|index| stays[index] = true);
        }
    }

    fn is_spent(&self) -> bool {
        self.states_left == 0
    }
}

/// The operations that brought a value: when each began, and since when each was certainly written over,
/// as far as it was; in the order of time.
#[derive(Default)]
struct Writes {
    begun: Vec<u32>,
    over: Vec<u32>,
}

impl Writes {
    /// Those of each value.
    fn of_each<'a>(
        calls: impl Iterator<Item = (&'a OperationId, &'a RegisterCall)>,
        over: &FxHashMap<OperationId, u32>,
    ) -> FxHashMap<ValueId, Writes> {
        let mut each: FxHashMap<ValueId, Writes> = FxHashMap::default();
        for (id, call) in calls {
            let Some(value) = brings(call) else { continue };
            let of_value = each.entry(value).or_default();
            // Calls come in the order of invocation.
            of_value.begun.push(call.invoked);
            of_value.over.extend(over.get(id));
        }
        each.values_mut().for_each(|of_value| of_value.over.sort_unstable());
        each
    }

    /// Those of all values.
    fn of_any<'a>(
        calls: impl Iterator<Item = (&'a OperationId, &'a RegisterCall)>,
        over: &FxHashMap<OperationId, u32>,
    ) -> Writes {
        let mut writes = Writes::default();
        for (id, call) in calls.filter(|(_, call)| brings(call).is_some()) {
            // Calls come in the order of invocation.
            writes.begun.push(call.invoked);
            writes.over.extend(over.get(id));
        }
        writes.over.sort_unstable();
        writes
    }

    /// How many began before the second of two moments, and how many of these were not written over
    /// before the first.
    fn seen(&self, from: u32, until: u32) -> (usize, usize) {
        let begun = self.begun.partition_point(|begun| *begun < until);
        // What was written over has begun before that.
        (begun, begun - self.over.partition_point(|over| *over < from))
    }
}

/// Since when each write, by its operation, was certainly written over: the first moment at which
/// somebody was over who left or saw something else and began after the write was over.
fn written_over(of_key: &OfKey) -> FxHashMap<OperationId, u32> {
    let holds = |call: &RegisterCall| brings(call).or_else(|| seen(call));
    let mut over = FxHashMap::default();
    // Of those that begin later, who is over first.
    let mut first = TwoBest::default();
    let mut writes: Vec<usize> = (0..of_key.calls.len())
        .filter(|place| {
            of_key.calls[*place].ret.is_some() && brings(&of_key.calls[*place]).is_some()
        })
        .collect();
    writes.sort_unstable_by_key(|place| of_key.calls[*place].completed);
    for other in (0..of_key.calls.len()).rev().map(Some).chain([None]) {
        // Calls come in the order of invocation.
        let invoked = other.map_or(0, |place| of_key.calls[place].invoked);
        while let Some(place) = writes.pop_if(|place| of_key.calls[*place].completed >= invoked) {
            let value = brings(&of_key.calls[place]).expect("the others were left out");
            if let Some(Reverse(end)) = first.other_than(value) {
                over.insert(of_key.ids[place], end);
            }
        }
        let Some(call) = other.map(|place| &of_key.calls[place]) else { continue };
        let Some(value) = holds(call).filter(|_| call.ret.is_some()) else { continue };
        first.add(value, Reverse(call.completed));
    }
    over
}

/// Since when each write, by its operation, was certainly followed by another one: the first moment at which one was over
/// that began after the write was over; after everything where that is open.
fn followed(of_key: &OfKey) -> FxHashMap<OperationId, u32> {
    let calls = &of_key.calls;
    let is_write = |call: &RegisterCall| call.ret.is_some() && brings(call).is_some();
    // Of those that begin there or later, when the first is over.
    let mut first = vec![u32::MAX; calls.len() + 1];
    for place in (0..calls.len()).rev() {
        let end = if is_write(&calls[place]) { calls[place].completed } else { u32::MAX };
        first[place] = end.min(first[place + 1]);
    }
    let by =
        |call: &RegisterCall| first[calls.partition_point(|other| other.invoked <= call.completed)];
    let writes = of_key.ids.iter().zip(calls).filter(|(_, call)| is_write(call));
    writes.map(|(id, call)| (*id, by(call))).collect()
}

/// The value that a call brings, if it took effect; what replaces a value by the same brings none.
pub(super) fn brings(call: &RegisterCall) -> Option<ValueId> {
    written(call).filter(|value| source(call) != Some(*value))
}

/// What a compare-and-set replaced, if it took effect.
fn source(call: &RegisterCall) -> Option<ValueId> {
    match call.op {
        CasOp::Cas(from, _) => Some(from),
        _ => None,
    }
}

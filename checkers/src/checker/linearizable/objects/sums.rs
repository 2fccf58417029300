//! Sums that nothing can have come to.
//!
//! What was added before a read began is in what it shows, and what was begun before it ended may be. In
//! which order does not matter, so that the sum lies between what is certain, with all else that counts
//! down, and what is certain, with all else that counts up. The same holds from an earlier read on that
//! is over by then: of what was begun after it, and over before the later one began, all lies between
//! them, and of the rest, whatever was not over before the earlier one began may.
//!
//! That a sum is between its bounds does not mean that anything comes to it: which of some numbers come
//! to a given one is a hard question (Karp, "Reducibility Among Combinatorial Problems", 1972).

use super::Smaller;
use crate::checker::linearizable::search::Call;
use crate::checker::linearizable::shrink::Part;
use crate::model::counter::{Counter, CounterOp, CounterRet};

/// How many earlier reads each is compared with: those that were over last.
const EARLIER_MAX: usize = 8;

/// The first read, in the order of their ends, that shows what is not possible: alone with what bounds it,
/// and the least of that.
pub(super) fn impossible(start: i128, calls: &[Call<Counter>]) -> Option<Smaller<usize, Counter>> {
    let sums = Sums::new(start, calls);
    let of = |read: &usize| {
        let over = sums.reads.partition_point(|other| sums.end(*other) < calls[*read].invoked);
        let earlier = sums.reads[over.saturating_sub(EARLIER_MAX)..over].iter().rev().copied();
        let starts = std::iter::once(None).chain(earlier.map(Some));
        let broken = starts.filter_map(|from| sums.broken(from, *read));
        broken.min_by_key(|smaller| smaller.calls.len() + usize::from(smaller.shown_by.is_some()))
    };
    sums.reads.iter().find_map(of)
}

/// What a counter was between two moments, at least and at most.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: i128,
    pub(super) most: i128,
}

impl Bounds {
    /// The bounds of what some calls come to, where some certainly count.
    pub(super) fn of(added: impl Iterator<Item = (i128, bool)>) -> Bounds {
        let mut bounds = Bounds { least: 0, most: 0 };
        for (number, is_certain) in added {
            bounds.least += if is_certain { number } else { number.min(0) };
            bounds.most += if is_certain { number } else { number.max(0) };
        }
        bounds
    }
}

/// What a call adds.
pub(super) fn added(call: &Call<Counter>) -> Option<i128> {
    match call.op {
        CounterOp::Add(number) => Some(number.into()),
        CounterOp::Read => None,
    }
}

/// What a read shows.
pub(super) fn shown(call: &Call<Counter>) -> Option<i128> {
    match call.ret {
        Some(CounterRet::Sum(sum)) => Some(sum),
        _ => None,
    }
}

/// The calls of a counter, in the orders in which they are looked for.
struct Sums<'a> {
    start: i128,
    calls: &'a [Call<Counter>],
    /// Reads with an answer, by end.
    reads: Vec<usize>,
    /// What is begun, and what is over.
    begun: Totals,
    over: Totals,
}

impl<'a> Sums<'a> {
    fn new(start: i128, calls: &'a [Call<Counter>]) -> Sums<'a> {
        let mut reads: Vec<usize> =
            (0..calls.len()).filter(|place| shown(&calls[*place]).is_some()).collect();
        reads.sort_unstable_by_key(|place| calls[*place].completed);
        let adds = || calls.iter().enumerate().filter_map(|(at, call)| Some((at, added(call)?)));
        let begun = adds().map(|(at, number)| (calls[at].invoked, at, number));
        let answered = adds().filter(|(at, _)| calls[*at].ret.is_some());
        let over = answered.map(|(at, number)| (calls[at].completed, at, number));
        let (begun, over) = (Totals::new(begun.collect()), Totals::new(over.collect()));
        Sums { start, calls, reads, begun, over }
    }

    fn end(&self, place: usize) -> u32 {
        self.calls[place].completed
    }

    /// Whether an operation lies between two reads for certain, of which the first may be the start.
    fn is_certain(&self, place: usize, from: Option<usize>, read: usize) -> bool {
        let call = &self.calls[place];
        let is_over = call.ret.is_some() && call.completed < self.calls[read].invoked;
        is_over && from.is_none_or(|from| self.end(from) < call.invoked)
    }

    /// What bounds a read after an earlier one, or after the start, where it shows what is not possible.
    fn broken(&self, from: Option<usize>, read: usize) -> Option<Smaller<usize, Counter>> {
        let base = from.map_or(Some(self.start), |from| shown(&self.calls[from]))?;
        let came_to = shown(&self.calls[read])? - base;
        let began = from.map_or(0, |from| self.calls[from].invoked);
        let possible = self.begun.until(self.end(read)).less(self.over.until_before(began));
        let certain = match from {
            // Of what was over in between, what had begun before the first read was over may not count.
            Some(_) => self
                .over
                .places(began, self.calls[read].invoked)
                .iter()
                .filter(|(_, at, _)| self.is_certain(*at, from, read))
                .fold(Total::default(), |sum, (_, _, number)| sum.with(*number)),
            None => self.over.until_before(self.calls[read].invoked),
        };
        let bounds = Bounds { least: certain.up + possible.down, most: certain.down + possible.up };
        if (bounds.least..=bounds.most).contains(&came_to) {
            return None;
        }
        let needed = Needed { from, read, is_less: came_to < bounds.least };
        let calls = self.needed(needed, bounds, came_to);
        Some(Smaller { start: Counter(base), shown_by: from, calls })
    }

    /// The calls that prove that a sum is out of bounds: what counts the other way makes it so all the
    /// more, unless it certainly counts, and of that, some may not be needed.
    fn needed(&self, of: Needed, bounds: Bounds, came_to: i128) -> Part<usize, Counter> {
        let Needed { from, read, is_less } = of;
        let began = from.map_or(0, |from| self.calls[from].invoked);
        let mut spare = if is_less { bounds.least - came_to } else { came_to - bounds.most };
        let between = self.over.places(began, self.calls[read].invoked).iter();
        let mut droppable: Vec<(i128, usize)> = between
            .filter(|(_, at, number)| (*number > 0) == is_less && self.is_certain(*at, from, read))
            .map(|(_, at, number)| (number.abs(), *at))
            .collect();
        droppable.sort_unstable();
        let mut dropped: Vec<usize> = Vec::new();
        // The most of them go when the smallest do.
        for (number, place) in droppable {
            spare -= number;
            if spare <= 0 {
                break;
            }
            dropped.push(place);
        }
        dropped.sort_unstable();
        let needed = |(place, call): (usize, &Call<Counter>)| {
            if place == read {
                return Some((place, call.clone()));
            }
            let number = added(call).filter(|number| *number != 0)?;
            let is_possible = call.invoked <= self.end(read)
                && (call.ret.is_none() || call.completed >= began)
                && ((number < 0) == is_less || self.is_certain(place, from, read))
                && dropped.binary_search(&place).is_err();
            is_possible.then(|| (place, self.at_once_or_open(place, from, read)))
        };
        self.calls.iter().enumerate().filter_map(needed).collect()
    }

    /// An operation as it counts between two reads: at once where it certainly does, and open otherwise.
    fn at_once_or_open(&self, place: usize, from: Option<usize>, read: usize) -> Call<Counter> {
        let mut call = self.calls[place].clone();
        if self.is_certain(place, from, read) {
            call.invoked = call.completed;
        } else {
            call.ret = None;
        }
        call
    }
}

/// Of what the bounds are asked: a read after another one, or after the start, that shows less or more.
#[derive(Clone, Copy)]
struct Needed {
    from: Option<usize>,
    read: usize,
    is_less: bool,
}

/// What counts up, and what counts down.
#[derive(Clone, Copy, Default)]
struct Total {
    up: i128,
    down: i128,
}

impl Total {
    fn with(self, number: i128) -> Total {
        Total { up: self.up + number.max(0), down: self.down + number.min(0) }
    }

    fn less(self, other: Total) -> Total {
        Total { up: self.up - other.up, down: self.down - other.down }
    }
}

/// What some events add, in their order, and what all up to each of them come to.
struct Totals {
    /// The events, the calls that they are of, and what is added.
    events: Vec<(u32, usize, i128)>,
    sums: Vec<Total>,
}

impl Totals {
    fn new(mut events: Vec<(u32, usize, i128)>) -> Totals {
        events.sort_unstable();
        let mut sum = Total::default();
        let mut add = |(_, _, number): &(u32, usize, i128)| {
            sum = sum.with(*number);
            sum
        };
        Totals { sums: events.iter().map(&mut add).collect(), events }
    }

    /// What comes at an event or before it.
    fn until(&self, event: u32) -> Total {
        self.of_first(self.events.partition_point(|(at, ..)| *at <= event))
    }

    /// What comes before an event.
    fn until_before(&self, event: u32) -> Total {
        self.of_first(self.events.partition_point(|(at, ..)| *at < event))
    }

    fn of_first(&self, count: usize) -> Total {
        count.checked_sub(1).map_or(Total::default(), |last| self.sums[last])
    }

    /// What comes from one event on and before another one.
    fn places(&self, from: u32, before: u32) -> &[(u32, usize, i128)] {
        let place = |event: u32| self.events.partition_point(|(at, ..)| *at < event);
        &self.events[place(from)..place(before).max(place(from))]
    }
}

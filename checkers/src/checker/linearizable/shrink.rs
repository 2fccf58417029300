//! Making a part without an order smaller, while it has none: delta debugging (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002), with what may be left out said by each
//! kind of object.

use super::search::Call;
use crate::model::SequentialSpec;

/// Some calls of a key, each with what it is known by.
pub(super) type Part<K, S> = Vec<(K, Call<S>)>;

/// What the call of a part is known by that was answered last: with it, no order is left.
///
/// # Panics
/// Where nothing was answered: that has an order.
pub(super) fn last<K, S: SequentialSpec>(part: &[(K, Call<S>)]) -> &K {
    let answered = part.iter().filter(|(_, call)| call.ret.is_some());
    let last = answered.max_by_key(|(_, call)| call.completed);
    &last.expect("operations without an answer break nothing").0
}

/// How the calls of a kind of object are left out.
pub(super) trait Shrink<K: Clone, S: SequentialSpec> {
    /// Whether the part certainly has no order.
    fn has_no_order(&mut self, part: &[(K, Call<S>)]) -> bool;

    /// What is left when some calls go, by their places, as far as they may: what has no order without
    /// them has none with them.
    fn without(&self, part: &[(K, Call<S>)], goes: impl Fn(usize) -> bool) -> Part<K, S>;

    /// Whether all attempts have been used up.
    fn is_spent(&self) -> bool;

    /// The smallest part that was found.
    fn smallest_of(&mut self, part: Part<K, S>, guess: Option<u32>) -> Part<K, S> {
        let part = self.recent(&part, guess).unwrap_or(part);
        let part = self.first_break(part, guess);
        self.range_by_range(part)
    }

    /// What was called last, before the event at which a search got stuck or before the end, if that has no order
    /// either: a few calls at first, then more and more; all of them, or of those that change nothing the last
    /// alone. Of a long history, to look at everything takes much longer.
    fn recent(&mut self, part: &[(K, Call<S>)], guess: Option<u32>) -> Option<Part<K, S>> {
        const FEWEST: usize = 8;
        const TIMES: usize = 4;
        let stuck = guess.map(|end| cut_off(part, end));
        for part in stuck.as_deref().into_iter().chain([part]) {
            let ended =
                |place: &usize| part[*place].1.ret.as_ref().map(|_| part[*place].1.completed);
            let last = (0..part.len()).max_by_key(ended);
            let is_idle = |place: usize| {
                let Call { op, ret, .. } = &part[place].1;
                last != Some(place) && ret.as_ref().is_some_and(|ret| S::is_pure(op, ret))
            };
            let mut count = FEWEST;
            while TIMES * count < part.len() {
                let first = part.len() - count;
                let rest = self.smaller(part, |place| place < first);
                let rest = rest.or_else(|| self.smaller(part, |at| at < first || is_idle(at)));
                if rest.is_some() {
                    return rest;
                }
                count *= TIMES;
            }
        }
        None
    }

    /// What is left when some calls go, if that is less and has no order either.
    fn smaller(
        &mut self,
        part: &[(K, Call<S>)],
        goes: impl Fn(usize) -> bool,
    ) -> Option<Part<K, S>> {
        if self.is_spent() {
            return None;
        }
        let rest = self.without(part, goes);
        let is_smaller = !rest.is_empty() && rest.len() < part.len();
        (is_smaller && self.has_no_order(&rest)).then_some(rest)
    }

    /// Leaves out ranges, shorter and shorter ones, until no single call can go.
    fn range_by_range(&mut self, mut part: Part<K, S>) -> Part<K, S> {
        let mut size = part.len().div_ceil(2);
        while size > 0 && !self.is_spent() {
            let mut start = 0;
            let mut any = false;
            while start < part.len() && !self.is_spent() {
                let end = (start + size).min(part.len());
                if let Some(rest) = self.smaller(&part, |place| (start..end).contains(&place)) {
                    part = rest;
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
        part
    }

    /// The part up to the first event after which it has no order. Where a search got stuck is a good
    /// guess; but it looks ahead, and may have seen what comes later.
    fn first_break(&mut self, part: Part<K, S>, guess: Option<u32>) -> Part<K, S> {
        let answered = part.iter().filter(|(_, call)| call.ret.is_some());
        let mut ends: Vec<u32> = answered.map(|(_, call)| call.completed).collect();
        ends.sort_unstable();
        let (mut low, mut high) = (0, ends.len().saturating_sub(1));
        let middle_of = |guess: u32| ends.partition_point(|end| *end < guess);
        let mut next = guess.map_or(high / 2, middle_of).min(high);
        while low < high {
            if self.has_no_order(&cut_off(&part, ends[next])) {
                high = next;
            } else {
                low = next + 1;
            }
            next = usize::midpoint(low, high);
        }
        let cut = ends.get(low).map(|end| cut_off(&part, *end));
        cut.filter(|cut| self.has_no_order(cut)).unwrap_or(part)
    }
}

/// The part in a history that ends with event `end`: what began later is not in it, and of what
/// ended later, the answer is not.
pub(super) fn cut_off<K: Clone, S: SequentialSpec>(part: &[(K, Call<S>)], end: u32) -> Part<K, S> {
    let cut = |call: &Call<S>| {
        let mut call = call.clone();
        if call.completed > end {
            // Without its answer, only a change may still make a difference.
            let changes = call.ret.take().is_none_or(|ret| !S::is_pure(&call.op, &ret));
            return changes.then_some(call);
        }
        Some(call)
    };
    let begun = part.iter().filter(|(_, call)| call.invoked <= end);
    begun.filter_map(|(known_by, call)| Some((known_by.clone(), cut(call)?))).collect()
}

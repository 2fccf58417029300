//! Searches many keys, each a little further in every round: a bad key shows early, wherever it is.

use std::ops::Range;

use rayon::prelude::*;

use super::search::{Budget, Call, Found, Shortage, parts, search_part};
use crate::checker::Limits;
use crate::model::SequentialSpec;

/// How many states each key may take in the first round; more where there are many operations.
const FIRST_ROUND: u64 = 1_000;
/// How many times more in each further one.
const GROWTH: u64 = 10;

/// A budget of states for all keys together, and of bytes for each.
pub(super) struct Rounds {
    states_left: u64,
    /// What each search may remember. Those of several keys go on at the same time, on any number of
    /// processors, and none may depend on the others.
    bytes: u64,
}

impl Rounds {
    pub(super) fn new(limits: &Limits) -> Rounds {
        Rounds { states_left: limits.states_max, bytes: limits.search_bytes_max }
    }

    /// Searches for an order of the calls of each key, from the state that it begins in.
    ///
    /// Keys, and [parts](parts()) of keys, are searched at the same time; what each may take in a round
    /// does not depend on the others, so that the outcome is the same on any number of processors.
    pub(super) fn run<S>(mut self, keys: &[(S, &[Call<S>])]) -> Vec<Found>
    where
        S: SequentialSpec + Send + Sync,
        S::Op: Send + Sync,
        S::Ret: Send + Sync,
    {
        let mut all = Vec::new();
        for (key, (start, calls)) in keys.iter().enumerate() {
            let of_key = parts(start, calls).into_iter();
            all.extend(of_key.map(|(start, range)| Part { key, start, range, found: None }));
        }
        let mut open: Vec<usize> = (0..all.len()).collect();
        let mut round = FIRST_ROUND;
        while !open.is_empty() {
            let share_of = |part: &usize| round.max(2 * all[*part].range.len() as u64);
            let shares = open.iter().map(share_of).fold(0, u64::saturating_add);
            // What is too little for another round is divided evenly.
            let is_short = self.states_left / (1 + GROWTH) < shares;
            let even = self.states_left / open.len() as u64;
            let try_one = |place: &usize| {
                let part = &all[*place];
                let share = if is_short { even } else { share_of(place) };
                let mut left = Budget { states: share, bytes: self.bytes };
                let calls = &keys[part.key].1[part.range.clone()];
                let found = search_part(&part.start, calls, &mut left);
                (*place, found, share - left.states)
            };
            let tried: Vec<(usize, Found, u64)> = match &open[..] {
                // Not worth waking anybody up.
                [one] => vec![try_one(one)],
                many => many.par_iter().map(try_one).collect(),
            };
            open.clear();
            for (place, found, states) in tried {
                self.states_left = self.states_left.saturating_sub(states);
                if matches!(found, Found::Exhausted { of: Shortage::States, .. }) {
                    open.push(place);
                }
                all[place].found = Some(found);
            }
            // Those that needed less may have left enough for another try of the others: twice as much
            // at least, so that it comes to an end.
            let next = self.states_left / open.len().max(1) as u64;
            if is_short && next < even.max(1).saturating_mul(2) {
                break;
            }
            round = round.saturating_mul(GROWTH);
        }
        let mut found = vec![Found::Order; keys.len()];
        for part in all {
            let of_part = part.found.expect("every part was tried").after(part.range.start);
            let of_key = &mut found[part.key];
            // One part without an order is enough; otherwise the first that could not be judged.
            let breaks = matches!(of_part, Found::NoOrder { .. });
            if *of_key == Found::Order || breaks && !matches!(of_key, Found::NoOrder { .. }) {
                *of_key = of_part;
            }
        }
        found
    }
}

/// A part of the calls of a key, and what was found of it.
struct Part<S> {
    key: usize,
    start: S,
    range: Range<usize>,
    found: Option<Found>,
}

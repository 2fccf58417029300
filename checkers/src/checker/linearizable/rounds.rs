//! Searches many keys, each a little further in every round: a bad key shows early, wherever it is.

use rayon::prelude::*;

use super::search::{Budget, Call, Found, Shortage, search};
use crate::checker::Limits;
use crate::model::SequentialSpec;

/// How many states each key may take in the first round.
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
    /// Keys are searched at the same time; what each may take in a round does not depend on the
    /// others, so that the outcome is the same on any number of processors.
    pub(super) fn run<S>(mut self, keys: &[(S, &[Call<S>])]) -> Vec<Found>
    where
        S: SequentialSpec + Send + Sync,
        S::Op: Send + Sync,
        S::Ret: Send + Sync,
    {
        let mut found: Vec<Option<Found>> = vec![None; keys.len()];
        let mut open: Vec<usize> = (0..keys.len()).collect();
        let mut round = FIRST_ROUND;
        while !open.is_empty() {
            let all = self.states_left / open.len() as u64;
            // What is too little for another round is divided in this one.
            let is_last = all < round.saturating_mul(1 + GROWTH);
            let share = if is_last { all } else { round };
            let try_one = |key: &usize| {
                let mut left = Budget { states: share, bytes: self.bytes };
                let (start, calls) = &keys[*key];
                let found = search(start, calls, &mut left);
                (*key, found, share - left.states)
            };
            let tried: Vec<(usize, Found, u64)> = match &open[..] {
                // Not worth waking anybody up.
                [one] => vec![try_one(one)],
                many => many.par_iter().map(try_one).collect(),
            };
            open.clear();
            for (key, one, states) in tried {
                self.states_left = self.states_left.saturating_sub(states);
                let may_go_on = matches!(one, Found::Exhausted { of: Shortage::States, .. });
                if may_go_on && !is_last {
                    open.push(key);
                }
                found[key] = Some(one);
            }
            round = round.saturating_mul(GROWTH);
        }
        found.into_iter().map(|found| found.expect("every key was tried")).collect()
    }
}

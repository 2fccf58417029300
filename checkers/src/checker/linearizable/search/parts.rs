//! Cuts a history where nothing is open and the state is known: what comes before and what comes
//! after can be searched each by itself.

use std::ops::Range;

use super::Call;
use crate::model::SequentialSpec;

/// The fewest operations that are worth a search of their own.
const PART_MIN: usize = 1 << 14;

/// The parts of a history, with the state that each begins in.
///
/// The state is known after an operation that was open alone, if its answer
/// [shows](SequentialSpec::shows) it or if it [makes](SequentialSpec::makes) it. An operation
/// without an answer may take effect in any later part: from the first one on there is one part.
pub(in crate::checker::linearizable) fn parts<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
) -> Vec<(S, Range<usize>)> {
    let mut parts = Vec::new();
    let (mut state, mut begin) = (start.clone(), 0);
    let ordered = calls.len() > PART_MIN && calls.is_sorted_by_key(|call| call.invoked);
    // The last return of what was called before the operation, and before the one before it.
    let (mut last_return, mut one_earlier) = (None, None);
    for (index, call) in calls.iter().enumerate().take_while(|_| ordered) {
        let is_over = |last: Option<u32>, next: &Call<S>| last.is_none_or(|at| at < next.invoked);
        if index - begin >= PART_MIN && is_over(last_return, call) {
            let before = &calls[index - 1];
            let known = state_after(before).filter(|_| is_over(one_earlier, before));
            if let Some(known) = known {
                parts.push((std::mem::replace(&mut state, known), begin..index));
                begin = index;
            }
        }
        if call.ret.is_none() {
            break;
        }
        one_earlier = last_return;
        last_return = last_return.max(Some(call.completed));
    }
    parts.push((state, begin..calls.len()));
    parts
}

/// The state that there is after an operation that was open alone.
fn state_after<S: SequentialSpec>(call: &Call<S>) -> Option<S> {
    let ret = call.ret.as_ref()?;
    if S::is_pure(&call.op, ret) { S::shows(&call.op, ret) } else { S::makes(&call.op) }
}

//! Delta debugging: the least of a list with which something still happens.
//!
//! After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), `ddmin`, in the
//! form that only takes away: first large pieces, then smaller ones, in the end single items. What is left
//! is 1-minimal: without any one item, it does not happen any more.

/// What remains without each of some pieces, made when it is asked for.
pub(super) type Remaining<'a, T> = &'a mut dyn Iterator<Item = Vec<T>>;

/// Takes pieces away for as long as `first` finds that what remains will do.
///
/// `first` is given what remains without each piece in turn, and says which of them is the first
/// that will do; it may look at several at once, but must answer as if it had looked at one after the other.
/// Where it gives up, it says that none does.
pub(super) fn minimize<T: Clone>(
    mut items: Vec<T>,
    first: &mut dyn FnMut(Remaining<'_, T>) -> Option<usize>,
) -> Vec<T> {
    let mut size = items.len();
    while size > 0 {
        let mut at = 0;
        while at < items.len() {
            let starts: Vec<usize> = (at..items.len()).step_by(size).collect();
            let without = |start: &usize| {
                let end = (start + size).min(items.len());
                [&items[..*start], &items[end..]].concat()
            };
            let Some(chosen) = first(&mut starts.iter().map(without)) else { break };
            // What lies before it was tried, and is needed; what comes next has moved to its place.
            at = starts[chosen];
            items = without(&at);
        }
        size = if size > 1 { size.div_ceil(2).min(size - 1) } else { 0 };
    }
    items
}

#[cfg(test)]
mod tests {
    use super::{Remaining, minimize};

    /// The least of the numbers up to `count` that contains all of `wanted`, and how many were tried.
    fn least(count: u32, wanted: &[u32]) -> (Vec<u32>, usize) {
        let mut tried = 0;
        let mut first = |mut candidates: Remaining<'_, u32>| {
            (&mut candidates).position(|candidate| {
                tried += 1;
                wanted.iter().all(|one| candidate.contains(one))
            })
        };
        (minimize((0..count).collect(), &mut first), tried)
    }

    #[test]
    fn nothing_but_what_is_needed_is_left() {
        assert_eq!(least(1000, &[3, 500, 999]).0, [3, 500, 999]);
        assert_eq!(least(7, &[0, 1, 2, 3, 4, 5, 6]).0, [0, 1, 2, 3, 4, 5, 6]);
        assert!(least(64, &[]).0.is_empty());
        assert_eq!(least(1, &[0]).0, [0]);
    }

    #[test]
    fn a_few_of_many_are_found_with_few_tries() {
        let (_, tried) = least(10_000, &[17, 5000, 5001, 9000]);
        assert!(tried < 200, "{tried}");
    }
}

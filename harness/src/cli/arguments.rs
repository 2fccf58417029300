//! Forms of arguments that several subcommands share.

use std::ops::Range;

use crate::engine::Choice;

/// Reads a range of seeds: `0..1000`, or one seed.
pub(super) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wanted = || format!("`{text}` is no range of seeds; write `0..1000`, or one seed");
    let number = |part: &str| part.trim().parse::<u64>().map_err(|_| wanted());
    let (first, end) = match text.split_once("..") {
        Some((first, end)) => match end.strip_prefix('=') {
            Some(last) => (number(first)?, number(last)?.checked_add(1).ok_or_else(wanted)?),
            None => (number(first)?, number(end)?),
        },
        None => (number(text)?, number(text)?.checked_add(1).ok_or_else(wanted)?),
    };
    if end < first { Err(wanted()) } else { Ok(first..end) }
}

/// Reads the name of an engine.
pub(super) fn engine(text: &str) -> Result<Choice, String> {
    let known = Choice::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, choice)| *choice).ok_or_else(|| {
        let names = Choice::ALL.map(|(name, _)| name).join(", ");
        format!("no engine is called `{text}`; there are {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_one() {
        assert_eq!(seeds("0..1000"), Ok(0..1000));
        assert_eq!(seeds("3..=5"), Ok(3..6));
        assert_eq!(seeds("17"), Ok(17..18));
        assert_eq!(seeds("5..5"), Ok(5..5));
        for wrong in ["", "..", "5..3", "a..b", "-1..3", "18446744073709551615"] {
            assert!(seeds(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}

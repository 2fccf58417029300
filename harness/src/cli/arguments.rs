//! Forms of arguments that several subcommands share.

use std::ops::Range;

use anyhow::{anyhow, bail};
use checkers::history::Time;

use crate::engine::Choice;
use crate::plan::PlanError;

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

/// Reads a moment of a run, as reports show it: `1.204s`, `850 ms`, `37ns`; without a unit, in seconds.
pub(super) fn moment(text: &str) -> Result<Time, String> {
    const UNITS: [(&str, u32); 5] = [("ns", 0), ("us", 3), ("µs", 3), ("ms", 6), ("s", 9)];
    let wanted = || format!("`{text}` is no moment of a run; write `1.204s` or `850ms`");
    let unit = UNITS.iter().find_map(|(unit, digits)| Some((text.strip_suffix(unit)?, *digits)));
    let (number, digits) = unit.unwrap_or((text, 9));
    let width = digits as usize;
    let (whole, part) = match number.trim().split_once('.') {
        Some((whole, part)) if (1..=width).contains(&part.len()) => (whole, part),
        Some(_) => return Err(wanted()),
        None => (number.trim(), ""),
    };
    let digits_of = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|_| wanted()),
        false => Err(wanted()),
    };
    let whole = digits_of(whole)?.checked_mul(10_u64.pow(digits)).ok_or_else(wanted)?;
    let part = if part.is_empty() { 0 } else { digits_of(&format!("{part:0<width$}"))? };
    whole.checked_add(part).map(Time::from_nanos).ok_or_else(wanted)
}

/// Reads the name of an engine.
pub(super) fn engine(text: &str) -> Result<Choice, String> {
    let known = Choice::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, choice)| *choice).ok_or_else(|| {
        let names = Choice::ALL.map(|(name, _)| name).join(", ");
        format!("no engine is called `{text}`; there are {names}")
    })
}

/// What is wrong with a plan, in the words of the flags that it was made from; `renamed` are those that are called
/// otherwise than the settings of the plan, each setting with its flag.
pub(super) fn in_flags(error: PlanError, renamed: &[(&str, &str)]) -> anyhow::Error {
    let flag = |setting: &str| {
        let renamed = renamed.iter().find(|(name, _)| *name == setting);
        format!("--{}", renamed.map_or(setting, |(_, flag)| flag))
    };
    match error {
        PlanError::OutOfRange { message, .. } => {
            let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
            let end = message.find(|letter| !is_of_name(letter)).unwrap_or(message.len());
            let (setting, rest) = message.split_at(end);
            anyhow!("{}{rest}", flag(setting))
        }
        PlanError::UnknownName { what, name, known, .. } => {
            anyhow!("{}: none is called `{name}`; there are {}", flag(what), known.join(", "))
        }
        error => error.into(),
    }
}

/// The nemeses that are named, which are no nemeses where `none` is.
pub(super) fn nemeses(named: &[String]) -> anyhow::Result<Vec<String>> {
    let is_none = |name: &String| name == "none";
    if named.len() > 1 && named.iter().any(is_none) {
        bail!("--nemeses: `none` stands alone, or is left out");
    }
    Ok(named.iter().filter(|name| !is_none(name)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_reports_show_them() {
        let nanos = |text| moment(text).map(Time::as_nanos);
        assert_eq!(nanos("1.204 s"), Ok(1_204_000_000));
        assert_eq!(nanos("1.204s"), Ok(1_204_000_000));
        assert_eq!(nanos("12"), Ok(12_000_000_000));
        assert_eq!(nanos("850ms"), Ok(850_000_000));
        assert_eq!(nanos("0.5µs"), Ok(500));
        assert_eq!(nanos("37 ns"), Ok(37));
        for wrong in ["", "s", "1.2.3s", "-1s", "1,5s", "later", "0.5ns", "99999999999999s", ".5s"]
        {
            assert!(moment(wrong).is_err(), "{wrong:?} was taken");
        }
    }

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

//! Counts and coverage in few words.

use std::fmt::Display;

use checkers::verdict::Coverage;

/// So many of something: `1 run`, `2 runs`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What a verdict rests on.
pub(crate) fn basis(coverage: &Coverage) -> String {
    let Coverage { method, operations, keys, open } = coverage;
    let open = open.as_ref().map_or_else(String::new, |open| format!("; not judged: {open}"));
    format!("{} on {} ({method}){open}", counted(*operations, "operation"), counted(*keys, "key"))
}

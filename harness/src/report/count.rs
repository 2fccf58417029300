//! Counts in words.

use std::fmt::Display;

/// So many of something: `1 run`, `2 runs`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

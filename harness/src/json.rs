//! JSON, written and read in one way each: every other kind of writer or reader would be compiled anew for all that is stored.

use serde::{Deserialize, Serialize};
use serde_json::Result;

/// A value on a line of its own, which ends it.
///
/// # Errors
/// Where it has no form in JSON.
pub(crate) fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    compact(value).map(|text| (text + "\n").into_bytes())
}

/// A value in as few bytes as it takes.
///
/// # Errors
/// Where it has no form in JSON.
pub(crate) fn compact(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
}

/// A value in lines for people to read, the last one ended.
///
/// # Errors
/// Where it has no form in JSON.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

/// Reads a value.
///
/// # Errors
/// Where the text is not one of its kind.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<T> {
    serde_json::from_slice(text.as_ref())
}

//! What other programs read. Every document carries `schema_version`; fields are added without a
//! new version, never renamed or removed.

use serde::Serialize;

use super::summary::Cost;
use crate::campaign::Findings;
use crate::json;
use crate::triage::Group;

/// The version of the documents.
pub const SCHEMA_VERSION: u32 = 1;

/// A document: its version and kind, then its content.
#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema_version: u32,
    kind: &'a str,
    #[serde(flatten)]
    content: T,
}

/// A document of one kind, ending in a newline.
///
/// # Errors
/// Where the content has no form in JSON.
pub fn document<T: Serialize>(kind: &str, content: T) -> serde_json::Result<String> {
    let document = Document { schema_version: SCHEMA_VERSION, kind, content };
    json::pretty(&document)
}

/// The document of a campaign. What differs from machine to machine is apart, under `cost`.
///
/// # Errors
/// As [`document`].
pub fn campaign(findings: &Findings, failures: &[Group], cost: Cost) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Content<'a> {
        ending: crate::campaign::Ending,
        exit_code: u8,
        failures: &'a [Group],
        findings: &'a Findings,
        cost: Cost,
    }
    let ending = findings.ending();
    document("campaign", Content { ending, exit_code: ending.code(), failures, findings, cost })
}

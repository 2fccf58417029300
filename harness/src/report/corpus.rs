//! What came of a corpus that a campaign ran before anything else.

use std::fmt::Write as _;

use super::escape;
use crate::corpus::{Expected, Outcome, Replayed, Verified};

/// How many cases are as expected, in a line.
pub(crate) fn headline(verified: &Verified) -> String {
    let Verified { folder, cases } = verified;
    let met = cases.len() - verified.unmet() - verified.bad();
    let bad = match verified.bad() {
        0 => String::new(),
        bad => format!("; {bad} could not be run"),
    };
    let folder = escape::line(&folder.display().to_string());
    format!("Corpus {folder}: {met} of {} cases are as expected{bad}", cases.len())
}

/// What is wrong with a case; nothing where it is as expected.
pub(crate) fn grievance(case: &Replayed) -> Option<String> {
    let Replayed { name, outcome } = case;
    let words = match outcome {
        Outcome::Bad { error } => format!("{name} could not be run: {error}"),
        Outcome::Ran { failure, expected, id, .. } if outcome.is_unmet() => {
            let id = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
            let kind = super::summary::kind(failure.guarantee, &failure.anomaly);
            match expected {
                Expected::Holds => format!("{name} fails again: {kind}{id}"),
                Expected::Fails => format!("{name} does not fail any more: {kind}{id}"),
            }
        }
        Outcome::Ran { .. } => return None,
    };
    Some(escape::line(&words))
}

/// The whole, in a terminal.
pub(super) fn terminal(out: &mut String, verified: &Verified, program: &str) {
    let _ = writeln!(out, "\n{}", headline(verified));
    for words in verified.cases.iter().filter_map(grievance) {
        let _ = writeln!(out, "  {words}");
    }
    if verified.unmet() + verified.bad() > 0 {
        let folder = super::summary::shell_word(&verified.folder.display().to_string());
        let _ = writeln!(out, "  {program} corpus verify --corpus {folder}");
    }
}

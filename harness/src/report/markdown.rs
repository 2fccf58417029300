//! What a campaign found, as Markdown for the summary of a CI job.

use std::fmt::Write as _;

use super::summary::{self, Cost, Replay};
use super::{corpus, escape, matrix, triage};
use crate::campaign::{Findings, Inconclusive};
use crate::triage::Group;

/// The greatest summary, in bytes: GitHub drops the whole of one above 1 MiB.
pub const BYTES_MAX: usize = 900 << 10;

/// The summary of a campaign, failures first; what does not fit is counted.
pub fn campaign(findings: &Findings, groups: &[Group], replay: &Replay, cost: Cost) -> String {
    let mut out = String::new();
    let conclusion = escape::markdown(&summary::conclusion(findings));
    let _ = writeln!(out, "## Stormglass: {conclusion}\n");
    let _ = writeln!(out, "{}\n", matrix::markdown(&findings.rows));
    for line in matrix::legend(&findings.rows).lines() {
        let _ = writeln!(out, "{}  ", escape::markdown(line));
    }
    let _ = writeln!(out, "\n{}\n", escape::markdown(&summary::totals(findings, cost)));
    let mut parts: Vec<String> =
        groups.iter().map(|group| triage::details(group, replay)).collect();
    if let Some(verified) = &findings.corpus {
        parts.push(format!("- {}\n", escape::markdown(&corpus::headline(verified))));
        let grievances = verified.cases.iter().filter_map(corpus::grievance);
        parts.extend(grievances.map(|words| format!("- {}\n", escape::markdown(&words))));
    }
    for error in &findings.own_errors {
        let plan = escape::markdown(&error.plan);
        let message = escape::markdown(&error.message);
        parts.push(format!("- own error in {plan}, seed {}: {message}\n", error.seed));
    }
    for error in &findings.unstored {
        let plan = escape::markdown(&error.plan);
        let message = escape::markdown(&error.message);
        parts.push(format!("- {plan}, seed {} could not be stored: {message}\n", error.seed));
    }
    for divergence in &findings.divergences {
        let plan = escape::markdown(&divergence.plan);
        let seed = divergence.seed;
        parts.push(format!("- {plan}, seed {seed} gave two different histories\n"));
    }
    for Inconclusive { plan, seed, reason, .. } in &findings.inconclusive {
        let (plan, reason) = (escape::markdown(plan), escape::markdown(reason));
        parts.push(format!("- {plan}, seed {seed} does not tell: {reason}\n"));
    }
    append_within(&mut out, &parts);
    out
}

/// Appends as many parts as fit.
fn append_within(out: &mut String, parts: &[String]) {
    /// Room for the last line.
    const REST: usize = 100;
    for (index, part) in parts.iter().enumerate() {
        if out.len() + part.len() + REST > BYTES_MAX {
            let _ = writeln!(out, "\nand {} more, which do not fit here", parts.len() - index);
            return;
        }
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_the_limit_is_kept() {
        let mut out = String::from("head\n");
        let parts = vec!["x".repeat(BYTES_MAX / 3); 5];
        append_within(&mut out, &parts);
        assert!(out.len() <= BYTES_MAX, "{} bytes", out.len());
        assert!(out.ends_with("and 3 more, which do not fit here\n"), "the rest is not counted");
    }
}

//! What a campaign found, as JUnit XML: a suite for each plan with a case for each guarantee, and a suite with
//! a case for each distinct failure, whatever plans it was found by; never one for each seed.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::brief::counted;
use super::escape;
use super::summary::{Cost, Replay};
use super::{corpus, matrix, triage};
use crate::campaign::{Cell, Findings, Row, Standing};
use crate::corpus::Replayed;
use crate::system::Claim;
use crate::triage::Group;

/// The findings as JUnit XML.
///
/// # Errors
/// Where the XML cannot be written, which the library may say of any writer.
pub fn campaign(
    findings: &Findings,
    groups: &[Group],
    replay: &Replay,
    cost: Cost,
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("stormglass");
    report.set_time(std::time::Duration::from_secs_f64(cost.wall_seconds.max(0.0)));
    for row in &findings.rows {
        report.add_test_suite(suite(findings, row, replay));
    }
    let mut failures = TestSuite::new("failures");
    failures.add_test_cases(groups.iter().map(|group| group_case(group, replay)));
    if !groups.is_empty() {
        report.add_test_suite(failures);
    }
    if let Some(verified) = findings.corpus.as_ref().filter(|verified| !verified.cases.is_empty()) {
        let mut suite = TestSuite::new("corpus");
        suite.add_test_cases(verified.cases.iter().map(corpus_case));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn suite(findings: &Findings, row: &Row, replay: &Replay) -> TestSuite {
    let mut suite = TestSuite::new(row.plan.clone());
    for cell in &row.cells {
        suite.add_test_case(guarantee_case(row, cell, replay));
    }
    suite.add_test_case(execution_case(findings, row, replay));
    suite
}

fn guarantee_case(row: &Row, cell: &Cell, replay: &Replay) -> TestCase {
    let words = matrix::words(row, cell);
    let seed = cell.first_broken.or(cell.first_unknown);
    let hint = seed.map_or_else(String::new, |seed| replay.of_seed(&row.plan, seed));
    let status = match row.standing(cell) {
        Standing::Met | Standing::Open | Standing::AllowedLoss => TestCaseStatus::success(),
        Standing::Known => known(),
        Standing::Violated => failure(NonSuccessKind::Failure, "violated", &words, &hint),
        Standing::NoWitness => failure(NonSuccessKind::Failure, "no-witness", &words, &hint),
        Standing::Unknown => failure(NonSuccessKind::Error, "unknown", &words, &hint),
    };
    let mut case = TestCase::new(cell.guarantee.name(), status);
    case.set_classname(row.plan.clone()).set_system_out(words);
    case
}

/// A case of the corpus.
fn corpus_case(case: &Replayed) -> TestCase {
    let grievance = corpus::grievance(case);
    let status = match grievance {
        None => TestCaseStatus::success(),
        Some(words) if case.outcome.is_bad() => {
            failure(NonSuccessKind::Error, "bad-case", &words, "")
        }
        Some(words) => failure(NonSuccessKind::Failure, "unmet", &words, ""),
    };
    let mut case = TestCase::new(escape::line(&case.name), status);
    case.set_classname("corpus");
    case
}

/// A failure, or a witness for what is not claimed.
fn group_case(group: &Group, replay: &Replay) -> TestCase {
    let sentence = escape::line(&group.sentence);
    let hint = triage::command(group, replay);
    let status = match (group.claim, group.known) {
        (Claim::Holds, Some(true)) => known(),
        (Claim::Holds, _) => {
            failure(NonSuccessKind::Failure, &group.signature.kind.anomaly, &sentence, &hint)
        }
        (Claim::Breaks | Claim::Silent | Claim::Waived, _) => TestCaseStatus::success(),
    };
    let signature = escape::line(&group.signature.to_string());
    let mut case = TestCase::new(format!("{} {signature}", group.id), status);
    let sizes = group.shrunk.as_ref().map(|shrunk| triage::sizes(shrunk) + "\n");
    let frequency = escape::line(&triage::frequency(group));
    let beyond: String = triage::beyond(&group.beyond).map(|words| words + "\n").collect();
    let out = format!("{frequency}: {sentence}\n{beyond}{}{hint}", sizes.unwrap_or_default());
    case.set_classname("failures").set_system_out(out);
    case
}

fn known() -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_type("known").set_message("the baseline has it");
    status
}

/// Whether the runs themselves went as they should.
fn execution_case(findings: &Findings, row: &Row, replay: &Replay) -> TestCase {
    let error = findings.own_errors.iter().find(|error| error.plan == row.plan);
    let unstored = findings.unstored.iter().find(|error| error.plan == row.plan);
    let divergence = findings.divergences.iter().find(|divergence| divergence.plan == row.plan);
    let vague = findings.inconclusive.iter().find(|run| run.plan == row.plan);
    let error_of = |kind: &str, words: &str, seed| {
        failure(NonSuccessKind::Error, kind, words, &replay.of_seed(&row.plan, seed))
    };
    let status = if let Some(error) = error {
        error_of("own-error", &escape::line(&error.message), error.seed)
    } else if let Some(divergence) = divergence {
        error_of("nondeterminism", "a seed gave two different histories", divergence.seed)
    } else if let Some(unstored) = unstored {
        error_of("unstored", &escape::line(&unstored.message), unstored.seed)
    } else if let Some(vague) = vague {
        error_of("unknown", &escape::line(&vague.reason), vague.seed)
    } else if row.runs == 0 {
        failure(NonSuccessKind::Error, "nothing-ran", "nothing ran", "")
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new("every run tells", status);
    case.set_classname(row.plan.clone()).set_system_out(counted(row.runs, "run"));
    case
}

fn failure(kind: NonSuccessKind, name: &str, words: &str, hint: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(words).set_description(format!("{words}\n{hint}"));
    status
}

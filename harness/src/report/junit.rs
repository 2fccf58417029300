//! What a campaign found, as JUnit XML: a suite for each plan, a case for each guarantee, and a case
//! for each distinct anomaly; never one for each seed.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::escape;
use super::matrix;
use super::summary::{Cost, Replay};
use crate::campaign::{AnomalyCount, Cell, Findings, Row, Standing};
use crate::system::Claim;

/// The findings as JUnit XML.
///
/// # Errors
/// Where the XML cannot be written, which the library may say of any writer.
pub fn campaign(
    findings: &Findings,
    replay: &Replay,
    cost: Cost,
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("stormglass");
    report.set_time(std::time::Duration::from_secs_f64(cost.wall_seconds.max(0.0)));
    for row in &findings.rows {
        report.add_test_suite(suite(findings, row, replay));
    }
    report.to_string()
}

fn suite(findings: &Findings, row: &Row, replay: &Replay) -> TestSuite {
    let mut suite = TestSuite::new(row.plan.clone());
    for cell in &row.cells {
        suite.add_test_case(guarantee_case(row, cell, replay));
    }
    for cell in &row.cells {
        for anomaly in &cell.anomalies {
            suite.add_test_case(anomaly_case(row, cell, anomaly, replay));
        }
    }
    suite.add_test_case(execution_case(findings, row, replay));
    suite
}

fn guarantee_case(row: &Row, cell: &Cell, replay: &Replay) -> TestCase {
    let words = matrix::words(row, cell);
    let seed = cell.first_broken.or(cell.first_unknown);
    let hint = seed.map_or_else(String::new, |seed| replay.of_seed(&row.plan, seed));
    let status = match row.standing(cell) {
        Standing::Met | Standing::Open => TestCaseStatus::success(),
        Standing::Violated => failure(NonSuccessKind::Failure, "violated", &words, &hint),
        Standing::NoWitness => failure(NonSuccessKind::Failure, "no-witness", &words, &hint),
        Standing::Unknown => failure(NonSuccessKind::Error, "unknown", &words, &hint),
    };
    let mut case = TestCase::new(cell.guarantee.name(), status);
    case.set_classname(row.plan.clone()).set_system_out(words);
    case
}

fn anomaly_case(row: &Row, cell: &Cell, anomaly: &AnomalyCount, replay: &Replay) -> TestCase {
    let sentence = escape::line(&anomaly.sentence);
    let hint = replay.of_seed(&row.plan, anomaly.first);
    let status = match cell.claim {
        Claim::Holds => failure(NonSuccessKind::Failure, &anomaly.name, &sentence, &hint),
        Claim::Breaks | Claim::Silent => TestCaseStatus::success(),
    };
    let name = format!("{}: {}", cell.guarantee, escape::line(&anomaly.name));
    let mut case = TestCase::new(name, status);
    let out = format!("in {} of {} runs: {sentence}\n{hint}", anomaly.runs, row.runs);
    case.set_classname(row.plan.clone()).set_system_out(out);
    case
}

/// Whether the runs themselves went as they should.
fn execution_case(findings: &Findings, row: &Row, replay: &Replay) -> TestCase {
    let error = findings.own_errors.iter().find(|error| error.plan == row.plan);
    let divergence = findings.divergences.iter().find(|divergence| divergence.plan == row.plan);
    let vague = findings.inconclusive.iter().find(|run| run.plan == row.plan);
    let error_of = |kind: &str, words: &str, seed| {
        failure(NonSuccessKind::Error, kind, words, &replay.of_seed(&row.plan, seed))
    };
    let status = if let Some(error) = error {
        error_of("own-error", &escape::line(&error.message), error.seed)
    } else if let Some(divergence) = divergence {
        error_of("nondeterminism", "a seed gave two different histories", divergence.seed)
    } else if let Some(vague) = vague {
        error_of("unknown", &escape::line(&vague.reason), vague.seed)
    } else if row.runs == 0 {
        failure(NonSuccessKind::Error, "nothing-ran", "nothing ran", "")
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new("every run tells", status);
    case.set_classname(row.plan.clone()).set_system_out(format!("{} runs", row.runs));
    case
}

fn failure(kind: NonSuccessKind, name: &str, words: &str, hint: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(words).set_description(format!("{words}\n{hint}"));
    status
}

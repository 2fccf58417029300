//! Campaigns as tests of a crate of its own: what a test says that fails, and what it keeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use assert_cmd::Command;
use stormglass::Campaign;
use stormglass::store;
use stormglass::system::{Registration, System};

use crate::systems::{OneCopy, Quirk, one_copy};

/// A campaign of short runs under power losses.
fn campaign(quirk: Quirk, kept: &Path) -> Campaign {
    let campaign = Campaign::new(one_copy(quirk)).workload("register").nemesis("crash");
    campaign.nodes([3]).seeds(0..3).keep_in(kept)
}

/// What a test says that ends because of its findings.
fn complaint(campaign: Campaign) -> String {
    let findings = campaign.run();
    let panic = catch_unwind(AssertUnwindSafe(|| findings.assert_valid())).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_failing_test_keeps_its_run_makes_it_smaller_and_says_how_to_have_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(campaign(Quirk::AnswersBeforeSync, folder.path()));
    let said = [
        "not every verdict is as the systems say",
        "one-copy, seed ",
        "made smaller in ",
        "▶ marks the operations that prove it",
        "without fault 0 (crash ",
        "replay: STORMGLASS_SEED=",
        "cargo test in_test::a_failing_test_keeps_its_run_makes_it_smaller_and_says_how_to_have_it_again",
    ];
    for words in said {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let runs: Vec<_> = std::fs::read_dir(folder.path().join("runs")).unwrap().collect();
    assert_eq!(runs.len(), 2, "{text}");
    for run in runs {
        let run = run.unwrap().path();
        assert!(text.contains(&run.display().to_string()), "{text}");
        let stored = store::load(&run).unwrap();
        let calls = stored.record.calls.expect("what clients asked is kept");
        let is_small = run.to_string_lossy().ends_with("-shrunk");
        assert_eq!(calls.len() < 10, is_small, "{} operations in {}", calls.len(), run.display());
    }
}

#[test]
fn an_unshrunk_failure_is_told_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(campaign(Quirk::AnswersBeforeSync, folder.path()).unshrunk());
    assert!(!text.contains("made smaller"), "{text}");
    assert!(text.contains("▶ marks the operations that prove it"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 1);
}

#[test]
fn a_test_of_a_store_that_keeps_its_promises_passes_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    campaign(Quirk::None, folder.path()).run().assert_valid();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_test_in_which_nothing_was_tested_fails_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(campaign(Quirk::RefusesAll, folder.path()));
    assert!(text.contains("3 of 3 runs prove nothing:"), "{text}");
    assert!(text.contains("no read succeeded in the whole run"), "{text}");
    let text = complaint(campaign(Quirk::None, folder.path()).seeds(7..7));
    assert!(text.contains("no plan or no seed was left to run"), "{text}");
}

#[test]
fn a_test_of_a_store_with_entropy_of_its_own_says_where_two_runs_part() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(campaign(Quirk::Random, folder.path()).seeds(0..1));
    assert!(text.contains("the first event that differs is event"), "{text}");
    assert!(text.contains("something in the system is not decided by the seed"), "{text}");
}

/// Of itself it runs three seeds. The next two tests let another process run it as the environment says.
#[test]
fn a_campaign_heeds_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let findings = campaign(Quirk::AnswersBeforeSync, folder.path()).unshrunk().run();
    if ["STORMGLASS_SEED", "STORMGLASS_RUN"].iter().any(|name| std::env::var_os(name).is_some()) {
        assert_eq!(findings.totals.runs, 1);
        findings.assert_valid();
    }
    assert_eq!(findings.totals.runs, 3);
}

/// The same store without its mistake.
const MENDED: &str = "in_test::a_test_of_a_store_that_keeps_its_promises_passes_and_keeps_nothing";

/// Lets another process of these tests run one of them, with a variable; returns whether it passed, and what it
/// said.
fn in_another_process(variable: &str, value: &str) -> (bool, String) {
    in_another_process_of("in_test::a_campaign_heeds_the_environment", variable, value)
}

fn in_another_process_of(test: &str, variable: &str, value: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    let output = command.env(variable, value).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_seed_of_the_environment_is_the_only_one_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let findings = campaign(Quirk::AnswersBeforeSync, folder.path()).run();
    let failing = findings.notable[0].seed.to_string();
    let (passed, text) = in_another_process("STORMGLASS_SEED", &failing);
    assert!(!passed && text.contains(&format!("one-copy, seed {failing}: ")), "{text}");
    assert!(!text.contains("more of"), "{text}");
    let (passed, text) = in_another_process("STORMGLASS_SEED", "x");
    assert!(!passed && text.contains("STORMGLASS_SEED=x is no seed"), "{text}");
}

#[test]
fn a_shrunk_run_of_the_environment_is_played_as_it_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    complaint(campaign(Quirk::AnswersBeforeSync, folder.path()));
    let runs = std::fs::read_dir(folder.path().join("runs")).unwrap();
    let mut runs = runs.map(|run| run.unwrap().path().display().to_string());
    let shrunk = runs.find(|run| run.ends_with("-shrunk")).unwrap();
    let (passed, text) = in_another_process("STORMGLASS_RUN", &shrunk);
    assert!(!passed && text.contains("▶ marks the operations that prove it"), "{text}");
    assert!(!text.contains("made smaller"), "{text}");
    // The store that was mended: what is left of the run is too little to prove anything but that.
    let (passed, text) = in_another_process_of(MENDED, "STORMGLASS_RUN", &shrunk);
    assert!(passed, "{text}");
    let (passed, text) = in_another_process("STORMGLASS_RUN", "nowhere");
    assert!(!passed && text.contains("nowhere is no stored run"), "{text}");
}

#[test]
fn the_plans_of_a_file_run_with_the_systems_that_they_name() {
    fn build() -> Box<dyn System> {
        Box::new(OneCopy(Quirk::None))
    }
    const SYSTEMS: &[Registration] = &[Registration { name: "mine", build }];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    let plan = "[[plan]]\nname = \"a\"\nsystem = \"mine\"\nsafety = \"3s\"\nnemeses = []\n";
    std::fs::write(&file, plan).unwrap();
    let findings = Campaign::of_plans(&file, SYSTEMS).seeds(0..2).run();
    findings.assert_valid();
    assert_eq!((findings.rows[0].plan.as_str(), findings.rows[0].runs), ("a", 2));
    std::fs::write(&file, plan.replace("mine", "yours")).unwrap();
    let refused = catch_unwind(|| Campaign::of_plans(&file, SYSTEMS)).err().unwrap();
    let words = refused.downcast_ref::<String>().unwrap();
    assert!(words.contains("no system is called `yours`; there are mine"), "{words}");
}

#[test]
#[should_panic(expected = "no nemesis is called `pertition`; there are ")]
fn a_nemesis_that_there_is_not_is_refused_with_those_that_there_are() {
    let _ = Campaign::new(Arc::new(OneCopy(Quirk::None))).nemesis("pertition").run();
}

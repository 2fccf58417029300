//! What campaigns conclude about systems whose every step is known.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use checkers::Guarantee;
use stormglass::campaign::{Campaign, Ending, Entry, Findings, SoFar, Standing, Stopped};
use stormglass::doctor;
use stormglass::plan::Plan;
use stormglass::run::{Options, run};
use stormglass::seed::Seed;
use stormglass::store::{self, Store, StoreError};
use stormglass::system::{Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, System};

use crate::cli::stormglass;
use crate::systems::{Quirk, one_copy};

/// Short runs under power losses.
fn plan() -> Plan {
    let mut plan = Plan::new("short", "one-copy");
    plan.nemeses = vec!["crash".to_owned()];
    plan.safety = std::time::Duration::from_secs(8);
    plan.liveness = std::time::Duration::from_secs(2);
    plan.canary_runs = 3;
    plan
}

fn campaign(system: Arc<dyn System>) -> Campaign {
    Campaign::new(system).plan(plan()).seeds(0..6)
}

fn standing(findings: &Findings, guarantee: Guarantee) -> Standing {
    let row = &findings.rows[0];
    row.standing(row.cell(guarantee).unwrap())
}

/// A system that says something else about its guarantees than it does.
struct Claiming(Arc<dyn System>, Claim);

impl System for Claiming {
    fn manifest(&self) -> Manifest {
        let mut manifest = self.0.manifest();
        for (_, claim) in &mut manifest.claims {
            *claim = self.1;
        }
        manifest
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        self.0.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        self.0.client(cx)
    }
}

#[test]
fn a_store_that_answers_before_it_syncs_is_caught_with_a_seed_that_shows_it() {
    let findings = campaign(one_copy(Quirk::AnswersBeforeSync)).run();
    assert_eq!(findings.ending(), Ending::Violated, "{findings:?}");
    let notable = &findings.notable[0];
    let again = run(&one_copy(Quirk::AnswersBeforeSync), &plan(), notable.seed, Options::default());
    let broken = notable.broken[0].guarantee;
    let judged = again.judged.iter().find(|judged| judged.guarantee == broken).unwrap();
    assert!(judged.verdict.is_invalid(), "seed {} does not show it again", notable.seed);
}

#[test]
#[should_panic(expected = "seed")]
fn a_failed_campaign_ends_the_test_that_ran_it() {
    campaign(one_copy(Quirk::AnswersBeforeSync)).run().assert_valid();
}

#[test]
fn findings_do_not_depend_on_the_number_of_threads() {
    let on = |threads| {
        let findings = campaign(one_copy(Quirk::AnswersBeforeSync)).threads(threads).run();
        serde_json::to_string(&findings).unwrap()
    };
    assert_eq!(on(1), on(4));
}

/// What is left of a campaign that was cut short, in a results folder.
const SO_FAR: &str = "campaign-so-far.jsonl";

#[test]
fn a_campaign_that_is_cut_short_and_resumed_finds_what_it_would_have_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (plan, seeds) = (plan(), 0..6);
    let with = |so_far| {
        let store = Store::open(at).unwrap();
        campaign(one_copy(Quirk::AnswersBeforeSync)).threads(2).store(store).so_far(so_far)
    };
    let told = |findings: &Findings| serde_json::to_string(findings).unwrap();
    let begin = || SoFar::begin(at, &[&plan], &seeds).unwrap();
    let whole = with(begin()).run();
    assert!(!whole.notable.is_empty() && whole.notable[0].stored.is_some(), "{whole:?}");
    assert!(!at.join(SO_FAR).exists(), "there is nothing to go on with");

    let stop = Arc::new(AtomicBool::new(false));
    let cut = with(begin()).threads(1).stop_on(stop.clone());
    let cut = cut.run_with(&mut |progress| stop.store(progress.done >= 4, Ordering::Relaxed));
    assert_eq!(cut.stopped, Some(Stopped::Interrupted));
    // Which run a line is of is known by more than its place.
    let left = fs::read_to_string(at.join(SO_FAR)).unwrap();
    let mut lines: Vec<&str> = left.lines().collect();
    lines.remove(1);
    fs::write(at.join(SO_FAR), lines.join("\n") + "\n").unwrap();
    let refused = SoFar::resume(at, &[&plan], &seeds).unwrap_err().to_string();
    assert!(refused.contains(":2: this is not what run 0 came to"), "{refused}");
    fs::write(at.join(SO_FAR), left).unwrap();
    // The power goes while a run is written down.
    let mut file = OpenOptions::new().append(true).open(at.join(SO_FAR)).unwrap();
    file.write_all(b"{\"ran\":{\"finger").unwrap();
    let count = SoFar::resume(at, &[&plan], &seeds).unwrap().count();
    assert!((4..6).contains(&count), "{count}");
    // A run that was stored and is not there any more is played again.
    fs::remove_dir_all(cut.notable[0].stored.as_ref().expect("one was stored")).unwrap();
    let so_far = SoFar::resume(at, &[&plan], &seeds).unwrap();
    assert!(so_far.count() < count, "{so_far:?}");
    assert_eq!(told(&with(so_far).run()), told(&whole));
    assert!(!at.join(SO_FAR).exists(), "there is nothing to go on with");
}

#[test]
fn what_is_no_part_of_a_campaign_is_not_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let plan = plan();
    let refused =
        |plans: &[&Plan], seeds| SoFar::resume(at, plans, &seeds).unwrap_err().to_string();
    let said = refused(&[&plan], 0..6);
    assert!(said.ends_with("leave out `--resume`, or name its folder with `--results`"), "{said}");
    let running = SoFar::begin(at, &[&plan], &(0..6)).unwrap();
    let said = refused(&[&plan], 0..6);
    assert!(said.contains("another process runs a campaign with this results folder"), "{said}");
    let second = SoFar::begin(at, &[&plan], &(0..6)).unwrap_err().to_string();
    assert_eq!(second, said);
    drop(running);
    let said = refused(&[&plan], 0..7);
    assert!(
        said.contains("campaign-so-far.jsonl:1: ") && said.contains("had the seeds 0..6;"),
        "{said}"
    );
    let other = Plan { canary_runs: 4, ..plan.clone() };
    let said = refused(&[&other], 0..6);
    assert!(said.contains("had other plans, or the same with other settings: short;"), "{said}");
    let head = fs::read_to_string(at.join(SO_FAR)).unwrap();
    fs::write(at.join(SO_FAR), head.replacen("\"build\":\"", "\"build\":\"0", 1)).unwrap();
    assert!(refused(&[&plan], 0..6).contains("had another build of the program;"));
    fs::write(at.join(SO_FAR), format!("{head}{{\"run\":1}}\n")).unwrap();
    let said = refused(&[&plan], 0..6);
    assert!(said.contains("campaign-so-far.jsonl:2: this is not what a run came to"), "{said}");
    fs::write(at.join(SO_FAR), "hello\n").unwrap();
    assert!(refused(&[&plan], 0..6).contains(":1: this is not what a campaign has left"));
}

/// Plans whose runs are short.
const SHORT: &str = "
    [[plan]]
    name = \"one\"
    system = \"primary-async\"
    nemeses = [\"crash\"]
    safety = \"4s\"
    liveness = \"1s\"
    [[plan]]
    name = \"other\"
    system = \"raft\"
    safety = \"2s\"
    liveness = \"1s\"
";

#[test]
fn a_campaign_says_which_of_its_runs_are_done_and_goes_on_after_any_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("p.toml"), SHORT).unwrap();
    let flags = ["campaign", "--plans", "p.toml", "--seeds", "3..23", "--format", "json"];
    let rows = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        ["rows", "notable", "inconclusive", "totals"].map(|part| json[part].to_string())
    };
    let whole = stormglass(at, &[&flags[..], &["--results", "whole"]].concat());
    let whole_rows = rows(&whole.1.replace("whole/", "results/"));

    let cut = stormglass(at, &[&flags[..], &["--budget", "0s"]].concat());
    let words = "0 of 40 runs have ended: the seeds 3..3 of all plans; to go on: ";
    assert!(cut.2.contains(words) && cut.2.trim_end().ends_with("--budget 0s --resume"), "{cut:?}");

    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    child.current_dir(at).env_remove("STORMGLASS_RESULTS");
    child.args(flags).args(["--threads", "1"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ended = || {
        fs::read_to_string(at.join("results").join(SO_FAR))
            .map_or(0, |text| text.lines().count().saturating_sub(1))
    };
    while ended() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let resumed = stormglass(at, &[&flags[..], &["--resume"]].concat());
    assert!(resumed.2.contains(" runs had ended\n"), "{}", resumed.2);
    assert_eq!(resumed.0, whole.0, "{}", resumed.2);
    assert_eq!(rows(&resumed.1), whole_rows);
    let cost = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        json["cost"]["runs_before"].as_u64()
    };
    assert!(cost(&whole.1).is_none() && cost(&resumed.1).is_some_and(|runs| runs >= 3));
    let again = stormglass(at, &[&flags[..], &["--resume"]].concat());
    assert_eq!(again.0, 2, "{again:?}");
    assert!(again.2.contains("no campaign was cut short in this results folder"), "{}", again.2);
}

/// A fault that comes in every run, and one that waits for a message that is never sent.
const NAMED: &str = "
    [[plan]]
    name = \"named\"
    system = \"raft\"
    nemeses = []
    safety = \"4s\"
    liveness = \"1s\"
    [[plan.faults]]
    at = \"2s\"
    lasts = \"1s\"
    fault = { kind = \"crash\", target = \"leader\" }
    [[plan.faults]]
    at = \"2s\"
    after = { of = \"append\", from = \"leader\", nth = 100000 }
    lasts = \"1s\"
    fault = { kind = \"crash\", target = \"leader\" }
";

#[test]
fn a_campaign_names_the_faults_of_plans_that_had_no_effect_in_any_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("p.toml"), NAMED).unwrap();
    let flags = ["campaign", "--plans", "p.toml", "--seeds", "0..2"];
    let (_, stdout, stderr) = stormglass(at, &flags);
    let words = "What plans name and had no effect in any run:\n  named (2 runs): \
                 `faults` number 2, crash leader, after append 100000 from leader to anyone\n\n2 runs, ";
    assert!(stdout.contains(words), "{stdout}{stderr}");
    let (_, stdout, _) = stormglass(at, &[&flags[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let named = json["findings"]["rows"][0]["named"].as_array().unwrap();
    let counts: Vec<_> = named.iter().map(|named| named["effective"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 0]);
    // Guarantees are measured without faults, and under all that the plan names.
    let guarantees = ["guarantees", "--plans", "p.toml", "--seeds", "0..1"];
    let (_, stdout, stderr) = stormglass(at, &guarantees);
    let has_both = stdout.contains("│ no faults") && stdout.contains("│ all faults");
    assert!(has_both && stdout.contains("\n2 runs, "), "{stdout}{stderr}");
    assert!(stdout.contains(", 1 fault applied, "), "{stdout}");
}

#[test]
fn a_campaign_ends_at_the_first_failure_when_asked_to() {
    let all = campaign(one_copy(Quirk::AnswersBeforeSync)).run();
    let first = campaign(one_copy(Quirk::AnswersBeforeSync)).failures_max(1).run();
    assert_eq!(first.notable.len(), 1);
    assert_eq!(first.notable[0].seed, all.notable[0].seed);
    assert!(first.totals.runs < all.totals.runs, "{} runs", first.totals.runs);
}

#[test]
fn a_disclaimed_guarantee_that_is_never_broken_is_a_failure() {
    let modest: Arc<dyn System> = Arc::new(Claiming(one_copy(Quirk::None), Claim::Breaks));
    let mut plan = plan();
    plan.nemeses.clear();
    let findings = Campaign::new(modest.clone()).plan(plan.clone()).seeds(0..3).run();
    assert_eq!(standing(&findings, Guarantee::Durable), Standing::NoWitness);
    assert_eq!(findings.ending(), Ending::Violated);
    // With fewer runs than should do, nothing is expected.
    let findings = Campaign::new(modest).plan(plan).seeds(0..2).run();
    assert_eq!(standing(&findings, Guarantee::Durable), Standing::Open);
    assert_eq!(findings.ending(), Ending::Met);
}

#[test]
fn a_disclaimed_guarantee_that_is_broken_is_as_it_should_be() {
    let honest = Arc::new(Claiming(one_copy(Quirk::AnswersBeforeSync), Claim::Breaks));
    let findings = campaign(honest).run();
    assert_eq!(standing(&findings, Guarantee::Linearizable), Standing::Met, "{findings:?}");
    assert!(!findings.notable.is_empty(), "the witness is not told");
}

#[test]
fn runs_in_which_nothing_succeeds_are_never_green() {
    let mut plan = plan();
    plan.nemeses.clear();
    let findings = Campaign::new(one_copy(Quirk::RefusesAll)).plan(plan).seeds(0..2).run();
    assert_eq!(findings.rows[0].vacuous, 2);
    let held: u64 = findings.rows[0].cells.iter().map(|cell| cell.held).sum();
    assert_eq!(held, 0, "{findings:?}");
    assert_ne!(findings.ending(), Ending::Met);
}

#[test]
fn a_campaign_without_seeds_ran_nothing() {
    let findings = campaign(one_copy(Quirk::None)).seeds(5..5).run();
    assert_eq!(findings.ending(), Ending::NothingRan);
}

/// A system that makes the harness itself fail.
struct Explodes;

impl System for Explodes {
    fn manifest(&self) -> Manifest {
        panic!("no manifest today")
    }

    fn node(&self, _: NodeCx) -> LocalBoxFuture<'static, String> {
        unreachable!("nothing runs without a manifest")
    }

    fn client(&self, _: ClientCx) -> Box<dyn Client> {
        unreachable!("nothing runs without a manifest")
    }
}

#[test]
fn a_panic_outside_of_nodes_is_an_own_error_that_names_its_seed() {
    let entry = Entry { plan: plan(), system: Arc::new(Explodes) };
    let findings = Campaign::of(vec![entry]).seeds(3..5).run();
    assert_eq!(findings.ending(), Ending::OwnError);
    assert_eq!(findings.own_errors[0].seed, Seed(3));
    assert_eq!(findings.own_errors[0].message, "no manifest today");
}

#[test]
fn nondeterminism_is_caught_and_the_first_differing_event_is_shown() {
    let mut plan = plan();
    plan.nemeses.clear();
    let entry = Entry { plan, system: one_copy(Quirk::Random) };
    let difference = doctor::on_two_threads(&entry, 0..2, &|| {}).unwrap_err();
    assert_eq!(difference.seed, Seed(0));
    let [ours, theirs] = &difference.sides;
    assert!(ours != theirs && ours.contains("\"ok\""), "{}", difference.explain());
    assert!(difference.explain().contains("the first event that differs is event"));

    let entry = Entry { system: one_copy(Quirk::None), ..entry };
    assert_eq!(doctor::on_two_threads(&entry, 0..2, &|| {}).unwrap().len(), 2);
}

#[test]
fn a_campaign_notices_nondeterminism_too() {
    let silent = Arc::new(Claiming(one_copy(Quirk::Random), Claim::Silent));
    let findings = campaign(silent).seeds(0..1).run();
    assert_eq!(findings.divergences.len(), 1, "seed 0 is run twice");
    assert_eq!(findings.ending(), Ending::Nondeterministic);
}

#[test]
fn a_stored_run_is_read_back_and_damage_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let report = run(&one_copy(Quirk::None), &plan(), Seed(1), Options::default());
    let saved = store.save(&report).unwrap();
    let stored = store::load(&saved).unwrap();
    assert_eq!(stored.history, report.history);
    assert_eq!(stored.record.schedule, report.schedule);
    assert_eq!(stored.record.fingerprint, report.fingerprint);

    let history = fs::read_to_string(saved.join("history.jsonl")).unwrap();
    let damage = |text: &str| {
        fs::write(saved.join("history.jsonl"), text).unwrap();
        store::load(&saved).unwrap_err()
    };
    let lines = history.lines().count();
    let cut = damage(&history[..history.len() - 10]);
    assert!(matches!(cut, StoreError::Malformed { line, .. } if line == lines as u64), "{cut}");
    let changed = damage(&history.replacen("\"t\":0,", "\"t\":1,", 1));
    assert!(
        matches!(changed, StoreError::OtherHistory { .. } | StoreError::Malformed { .. }),
        "{changed}"
    );
    fs::remove_file(saved.join("history.jsonl")).unwrap();
    let missing = store::load(&saved).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { file: "history.jsonl", .. }), "{missing}");

    let run = fs::read_to_string(saved.join("run.json")).unwrap();
    let damage = |text: &str| {
        fs::write(saved.join("run.json"), text).unwrap();
        store::load(&saved).unwrap_err()
    };
    let other = damage(&run.replacen("\"format\": 2", "\"format\": 99", 1));
    assert!(matches!(other, StoreError::Version { found: 99, .. }), "{other}");
    let cut = damage(&run[..run.len() / 2]);
    assert!(matches!(cut, StoreError::Malformed { line, .. } if line > 10), "{cut}");
}

#[test]
fn nothing_half_written_is_left_where_a_run_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let findings = campaign(one_copy(Quirk::AnswersBeforeSync))
        .store(Store::open(folder.path()).unwrap())
        .run();
    let stored: Vec<_> = findings.notable.iter().filter_map(|run| run.stored.clone()).collect();
    assert!(!stored.is_empty());
    let mut found: Vec<_> = fs::read_dir(folder.path().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    let mut stored_all = stored;
    stored_all.extend(findings.inconclusive.iter().filter_map(|run| run.stored.clone()));
    stored_all.sort();
    stored_all.dedup();
    assert_eq!(found, stored_all);
}

#[test]
fn the_plans_that_fuzzing_kept_are_read_or_refused_with_a_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/plans");
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        match stormglass::plan::load(&file, stormglass::system::SYSTEMS) {
            Ok(plans) => assert!(!plans.is_empty()),
            Err(stormglass::plan::PlanError::Malformed { line, .. }) => {
                assert!((1..=lines).contains(&line), "{}: line {line}", file.display());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_run_that_cannot_be_stored_is_no_mistake_of_the_harness() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let runs = folder.path().join("runs");
    std::fs::remove_dir_all(&runs).unwrap();
    std::fs::write(&runs, "a file where a folder was").unwrap();
    let honest = Arc::new(Claiming(one_copy(Quirk::AnswersBeforeSync), Claim::Breaks));
    let findings = Campaign::new(honest).seeds(0..4).threads(1).store(store).run();
    let first = findings.unstored.first().unwrap();
    assert!(first.message.contains("cannot write ") && first.message.contains("runs"), "{first:?}");
    assert!(findings.own_errors.is_empty(), "{:?}", findings.own_errors);
    assert_eq!((findings.ending(), findings.ending().code()), (Ending::Unwritable, 2));
}

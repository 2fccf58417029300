//! Which failures are one, which of them are new, and what is left of a campaign for the next one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkers::Guarantee;
use stormglass::campaign::{Campaign, Ending, Entry, Findings, Standing};
use stormglass::engine::Choice;
use stormglass::plan::Plan;
use stormglass::report::summary::{Cost, Replay};
use stormglass::report::{junit, markdown, summary};
use stormglass::seed::Seed;
use stormglass::store::{Store, load_record};
use stormglass::system::Claim;
use stormglass::triage::{
    Change, Comparison, FORMAT, Group, Kind, Ledger, LedgerError, Ran, Shape, Shrinking, Signature,
    State, group,
};

use crate::cli::{refused, stormglass};
use crate::systems::{Quirk, one_copy, plans_of};

/// Two plans of one system that answers before it syncs, with short runs under power losses.
fn entries() -> Vec<Entry> {
    let entry = |name: &str, clients| {
        let mut plan = Plan::new(name, "one-copy");
        plan.nemeses = vec!["crash".to_owned()];
        plan.safety = Duration::from_secs(8);
        plan.liveness = Duration::from_secs(2);
        plan.clients = clients;
        Entry { plan, system: one_copy(Quirk::AnswersBeforeSync) }
    };
    vec![entry("few", [3, 4]), entry("many", [5, 6])]
}

fn findings(entries: &[Entry], known: BTreeSet<Kind>) -> Findings {
    Campaign::of(entries.to_vec()).seeds(0..6).known(known).run()
}

fn shrink(group: &mut Group, entries: &[Entry], store: &Store, stop: &(dyn Fn() -> bool + Sync)) {
    let progress = |_: &str, _, _| {};
    let shrinking = Shrinking { entries, store, stop, progress: &progress };
    group.shrink(&shrinking).unwrap();
}

fn replay() -> Replay {
    Replay { program: "stormglass".to_owned(), flags: String::new() }
}

#[test]
fn failures_of_one_kind_are_one_whatever_plan_and_seed_found_them() {
    let entries = entries();
    let findings = findings(&entries, BTreeSet::new());
    let groups = group(&findings, &entries);
    let ids: BTreeSet<&String> = groups.iter().map(|group| &group.id).collect();
    assert_eq!(ids.len(), groups.len(), "a kind is there twice: {groups:?}");
    let counted = findings.rows.iter().flat_map(|row| &row.cells).flat_map(|cell| &cell.anomalies);
    let counted: u64 = counted.map(|anomaly| anomaly.runs).sum();
    assert_eq!(groups.iter().map(|group| group.runs).sum::<u64>(), counted);
    let both = groups.iter().find(|group| group.plans == ["few", "many"]).unwrap();
    assert!(both.is_failure() && both.runs <= both.of && both.of == 12, "{both:?}");

    let cost = Cost::default();
    let xml = junit::campaign(&findings, &groups, &replay(), cost).unwrap();
    let cases = xml.matches("classname=\"failures\"").count();
    assert_eq!(cases, groups.len(), "one case for each failure, whatever the seeds: {xml}");
    for text in [
        summary::terminal(&findings, &groups, &replay(), cost),
        markdown::campaign(&findings, &groups, &replay(), cost),
    ] {
        for Group { id, runs, of, .. } in &groups {
            assert_eq!(text.matches(id.as_str()).count(), 1, "{id}: {text}");
            assert!(text.contains(&format!("in {runs} of {of} runs of")), "{id}: {text}");
        }
    }
}

#[test]
fn seeds_with_one_cause_have_one_signature_once_they_are_shrunk() {
    let entries = entries();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let findings = findings(&entries, BTreeSet::new());
    let of_loss = |group: &&Group| group.signature.kind.guarantee == Guarantee::Durable;
    let first = group(&findings, &entries).into_iter().find(|group| of_loss(&group)).unwrap();
    let broken = findings.notable.iter().filter(|notable| {
        let mut broken = notable.broken.iter();
        broken.any(|broken| broken.anomaly == first.signature.kind.anomaly)
    });
    let mut signatures = BTreeSet::new();
    let mut seeds = BTreeSet::new();
    for notable in broken.take(3) {
        let mut group = Group { plan: notable.plan.clone(), seed: notable.seed, ..first.clone() };
        shrink(&mut group, &entries, &store, &|| false);
        assert!(group.id.starts_with(&first.id) && group.id != first.id, "{}", group.id);
        signatures.insert(group.signature.to_string());
        seeds.insert((notable.plan.clone(), notable.seed));
    }
    assert!(seeds.len() >= 3, "{seeds:?}");
    assert_eq!(signatures.len(), 1, "{signatures:?}");
    let signature = signatures.pop_first().unwrap();
    assert!(signature.contains("under crash node"), "nobody leads a single copy: {signature}");
}

#[test]
fn a_shape_says_who_led_and_a_search_that_was_cut_short_gives_none() {
    let (mut plan, system) =
        plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "primary-async").unwrap();
    plan.engine = Choice::Event;
    plan.safety = Duration::from_secs(6);
    plan.clients = [3, 4];
    let entries = [Entry { plan, system }];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let findings = Campaign::of(entries.to_vec()).seeds(0..20).run();
    let mut group = group(&findings, &entries)
        .into_iter()
        .find(|group| group.signature.kind.anomaly == "stale-read" && group.claim == Claim::Breaks);
    let group = group.as_mut().unwrap();

    let tried = AtomicU64::new(0);
    let mut cut = group.clone();
    shrink(&mut cut, &entries, &store, &|| tried.fetch_add(1, Ordering::Relaxed) > 20);
    assert!(!cut.shrunk.unwrap().is_done);
    assert_eq!((cut.signature.shape, &cut.id), (None, &group.id));

    shrink(group, &entries, &store, &|| false);
    let shrunk = group.shrunk.as_ref().unwrap();
    assert!(shrunk.is_done && shrunk.after.operations < shrunk.before.operations, "{shrunk:?}");
    let Shape { faults, clients } = group.signature.shape.as_ref().unwrap();
    assert!(clients.iter().any(|client| client.contains("read")), "{clients:?}");
    assert!(faults.len() <= shrunk.after.faults, "{faults:?}");
    let named = |fault: &String| fault.contains("leader") || fault.contains("follower");
    assert!(!faults.is_empty() && faults.iter().all(named), "{faults:?}");
    assert!(load_record(&shrunk.folder).is_ok_and(|record| record.calls.is_some()));
    let text =
        summary::terminal(&findings, std::slice::from_ref(group), &replay(), Cost::default());
    let folder = shrunk.folder.display().to_string();
    assert!(text.contains(&format!("stormglass replay {folder}")), "{text}");
    assert!(text.contains(&format!("faults {} → ", shrunk.before.faults)), "{text}");
}

#[test]
fn what_the_baseline_has_fails_no_campaign_and_what_it_has_not_does() {
    let entries = entries();
    let first = findings(&entries, BTreeSet::new());
    let groups = group(&first, &entries);
    assert_eq!(first.ending(), Ending::Violated);
    let ledger = Ledger::of(&first, &entries, &groups, None);

    let again = findings(&entries, ledger.kinds());
    assert_eq!(again.ending(), Ending::Met, "all of it is known");
    let mut groups_again = group(&again, &entries);
    groups_again.iter_mut().for_each(|group| group.compare(&ledger));
    assert!(groups_again.iter().all(|group| group.known == Some(true)), "{groups_again:?}");
    let xml = junit::campaign(&again, &groups_again, &replay(), Cost::default()).unwrap();
    assert!(xml.contains("<skipped") && !xml.contains("<failure"), "{xml}");
    let text = summary::terminal(&again, &groups_again, &replay(), Cost::default());
    assert!(text.contains("≈ broken") && text.contains(" (known)  one-copy, register: "), "{text}");
    assert!(text.ends_with("(exit code 0); the baseline has what is marked ≈\n"), "{text}");

    let mut fewer = ledger.kinds();
    let left_out = fewer.pop_first().unwrap();
    let other = findings(&entries, fewer);
    let cell = other.rows[0].cell(left_out.guarantee).unwrap();
    assert_eq!(other.rows[0].standing(cell), Standing::Violated);
    assert_eq!(other.ending(), Ending::Violated);
}

#[test]
fn a_campaign_ends_early_for_new_failures_only() {
    let entries = entries();
    let ledger = {
        let first = findings(&entries, BTreeSet::new());
        Ledger::of(&first, &entries, &group(&first, &entries), None)
    };
    let until =
        |known| Campaign::of(entries.clone()).seeds(0..6).known(known).failures_max(1).run();
    assert!(until(BTreeSet::new()).totals.runs < 12);
    assert_eq!(until(ledger.kinds()).totals.runs, 12);
}

fn signature(anomaly: &str, fault: Option<&str>) -> Signature {
    Signature {
        kind: Kind {
            system: "raft".to_owned(),
            workload: "register".to_owned(),
            guarantee: Guarantee::Linearizable,
            anomaly: anomaly.to_owned(),
        },
        shape: fault.map(|fault| Shape {
            faults: vec![fault.to_owned()],
            clients: vec!["read".to_owned(), "write".to_owned()],
        }),
    }
}

/// What a campaign of a hundred runs says of a failure that is in so many of them.
fn entry(signature: Signature, state: State, runs: u64) -> stormglass::triage::Entry {
    stormglass::triage::Entry {
        id: signature.id(),
        signature,
        claim: Claim::Holds,
        state,
        runs,
        of: 100,
        plans: vec!["raft".to_owned()],
        plan: "raft".to_owned(),
        seed: Seed(3),
        about: "a read was stale".to_owned(),
    }
}

fn ledger(runs: u64, failures: Vec<stormglass::triage::Entry>) -> Ledger {
    let plans = vec![Ran { plan: "raft".to_owned(), system: "raft".to_owned(), runs }];
    Ledger { format: FORMAT, program: "0.1.0".to_owned(), plans, failures }
}

/// What becomes of the failures of one campaign, or none, in another one; and what that comes to.
fn check(
    old: Vec<stormglass::triage::Entry>,
    (runs, new): (u64, Vec<stormglass::triage::Entry>),
    changes: &[Change],
    ending: Ending,
) {
    let (old, new) = (ledger(100, old), ledger(runs, new));
    let comparison = Comparison::of(&old, &new);
    let found: Vec<Change> = comparison.failures.iter().map(|one| one.change).collect();
    assert_eq!(found, changes, "{old:?}\n{new:?}");
    assert_eq!(comparison.ending(), ending);
}

#[test]
fn failures_are_new_ongoing_resolved_or_regressed() {
    use State::{Failing, Resolved, Unseen};
    let stale = |state, runs| vec![entry(signature("stale-read", None), state, runs)];
    check(vec![], (100, stale(Failing, 5)), &[Change::New], Ending::Violated);
    check(stale(Failing, 5), (100, stale(Failing, 9)), &[Change::Ongoing], Ending::Met);
    check(stale(Unseen, 5), (100, stale(Failing, 9)), &[Change::Ongoing], Ending::Met);
    check(stale(Failing, 5), (100, vec![]), &[Change::Resolved], Ending::Met);
    check(stale(Resolved, 5), (100, stale(Failing, 1)), &[Change::Regressed], Ending::Violated);
    check(stale(Resolved, 5), (100, vec![]), &[], Ending::Met);
    // 0.95 to the power of 58 is more than a twentieth, and to that of 59 less.
    check(stale(Failing, 5), (58, vec![]), &[Change::Unseen], Ending::Met);
    check(stale(Failing, 5), (59, vec![]), &[Change::Resolved], Ending::Met);
    check(stale(Failing, 100), (1, vec![]), &[Change::Resolved], Ending::Met);
    check(stale(Failing, 5), (0, vec![]), &[Change::NotRun], Ending::NothingRan);
    check(vec![], (0, vec![]), &[], Ending::NothingRan);
}

#[test]
fn a_kind_in_another_shape_is_new_where_both_have_one_and_the_other_shape_is_told() {
    let found = |fault| vec![entry(signature("stale-read", fault), State::Failing, 5)];
    let (cut, crash) = (Some("partition leader | follower"), Some("crash leader"));
    for (old, new, differs) in
        [(cut, cut, false), (cut, None, false), (None, cut, false), (cut, crash, true)]
    {
        let (change, ending) = match differs {
            true => (Change::New, Ending::Violated),
            false => (Change::Ongoing, Ending::Met),
        };
        check(found(old), (100, found(new)), &[change], ending);
        let (old, new) = (ledger(100, found(old)), ledger(100, found(new)));
        let other = Comparison::of(&old, &new).failures[0].other_shape;
        assert_eq!(other, differs.then_some(old.failures[0].id.as_str()));
    }
    // A baseline may have both.
    let both = [found(cut), found(crash)].concat();
    check(both.clone(), (100, found(crash)), &[Change::Ongoing], Ending::Met);
    check(both.clone(), (100, found(None)), &[Change::Ongoing], Ending::Met);
    check(both, (100, found(Some("kill leader"))), &[Change::New], Ending::Violated);
    let [cut, crash, none] = [cut, crash, None].map(|fault| signature("stale-read", fault).id());
    assert!(cut != crash && cut.starts_with(&none) && crash.starts_with(&none), "{cut} {crash}");
}

#[test]
fn a_failure_whose_plan_did_not_run_again_is_not_taken_for_resolved() {
    let old = ledger(100, vec![entry(signature("stale-read", None), State::Failing, 5)]);
    let plans = vec![Ran { plan: "other".to_owned(), system: "raft".to_owned(), runs: 100 }];
    let new = Ledger { plans, ..ledger(0, Vec::new()) };
    let comparison = Comparison::of(&old, &new);
    assert_eq!(comparison.failures[0].change, Change::NotRun);
    assert_eq!(comparison.ending(), Ending::Unknown);
    let only: Vec<(&str, bool)> =
        comparison.plans.iter().map(|plan| (plan.plan, plan.is_new)).collect();
    assert_eq!(only, [("raft", false), ("other", true)]);
}

#[test]
fn what_the_baseline_has_is_carried_on_so_that_it_can_regress() {
    let entries = entries();
    let first = findings(&entries, BTreeSet::new());
    let groups = group(&first, &entries);
    let before = Ledger::of(&first, &entries, &groups, None);
    let mended = Ledger::of(&first, &entries, &[], Some(&before));
    assert_eq!(mended.failures.len(), before.failures.len());
    let resolved = |ledger: &Ledger| {
        ledger.failures.iter().filter(|known| known.state == State::Resolved).count()
    };
    assert!(resolved(&mended) > 0 && mended.kinds().len() < before.kinds().len(), "{mended:?}");
    let still = Ledger::of(&first, &entries, &[], Some(&mended));
    assert_eq!(resolved(&still), resolved(&mended));
    let back = Ledger::of(&first, &entries, &groups, Some(&still));
    let comparison = Comparison::of(&still, &back);
    let regressed = comparison.failures.iter().filter(|one| one.change == Change::Regressed);
    assert_eq!(regressed.count(), resolved(&still));
}

#[test]
fn what_a_campaign_leaves_is_read_back_and_what_is_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let cut = Some("partition leader | follower");
    let written = ledger(100, vec![entry(signature("stale-read", cut), State::Failing, 5)]);
    let file = written.save(at).unwrap();
    assert_eq!(Ledger::load(at).unwrap(), written);
    assert_eq!(Ledger::load(&file).unwrap(), written);
    let text = fs::read_to_string(&file).unwrap();
    let lines = |text: &str| match Ledger::parse(text) {
        Err((line, message)) => (line, message),
        Ok(ledger) => panic!("it was read: {ledger:?}"),
    };
    let (line, message) = lines(&text.replace("\"runs\": 5", "\"runs\": \"5\""));
    assert!(line > 10 && message.contains("string"), "{line}: {message}");
    let (_, message) = lines(&text.replace("\"runs\": 5", "\"runs\": 500"));
    assert!(message.contains("in 500 of 100 runs"), "{message}");
    let (_, message) = lines(&text.replace("stale-read", "lost-update"));
    assert!(message.contains("its signature is that of"), "{message}");
    let (_, message) = lines(&text.replace("\"format\": 1", "\"format\": 9"));
    assert!(message.contains("format 9"), "{message}");
    assert!(lines("").0 == 1 && lines(&text[..text.len() / 2]).0 > 1);
    let missing = Ledger::load(&at.join("none"));
    assert!(
        matches!(
            missing,
            Err(LedgerError::File(stormglass::document::DocumentError::Unreadable { .. }))
        ),
        "{missing:?}"
    );
}

/// Two short plans: one whose system breaks what it says it breaks, and one that is left out once.
const PLANS: &str = r#"
[[plan]]
name = "short"
system = "primary-async"
replica-reads-percent = 30
safety = "6s"
liveness = "3s"
clients = [3, 4]

[[plan]]
name = "other"
system = "raft"
safety = "4s"
liveness = "3s"
"#;

fn run(at: &Path, results: &str, more: &[&str]) -> (i32, String, String) {
    let campaign = ["campaign", "--plans", "plans.toml", "--seeds", "0..4", "--results", results];
    stormglass(at, &[&campaign, more].concat())
}

#[test]
fn two_campaigns_are_compared_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("plans.toml"), PLANS).unwrap();
    let (code, stdout, stderr) = run(at, "one", &["--shrink", "all", "--shrink-budget", "5s"]);
    assert!(code == 0 || code == 3, "{code}: {stdout}{stderr}");
    assert!(stdout.contains("shrunk: faults ") && stdout.contains(" → "), "{stdout}");
    let one = Ledger::load(&at.join("one")).unwrap();
    assert!(!one.failures.is_empty() && one.plans.len() == 2, "{one:?}");
    let (_, stdout, _) = run(at, "two", &["--only", "short"]);
    assert!(!stdout.contains("shrunk: "), "nobody asked for it: {stdout}");

    let (code, stdout, stderr) = stormglass(at, &["diff", "one", "two"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("only the earlier campaign ran other"), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["diff", "two", "one", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["kind"]), (0, &serde_json::json!("diff")));
    let changes = document["failures"].as_array().unwrap().iter().map(|one| &one["change"]);
    assert!(changes.clone().count() > 0 && changes.clone().all(|change| change == "ongoing"));

    // The same as if the system claimed what it breaks.
    let file = at.join("one/campaign.json");
    let claimed = fs::read_to_string(&file).unwrap().replace("\"breaks\"", "\"holds\"");
    fs::create_dir(at.join("claimed")).unwrap();
    fs::write(at.join("claimed/campaign.json"), claimed).unwrap();
    let (code, stdout, _) = stormglass(at, &["diff", "two", "claimed"]);
    assert!(code == 1 && stdout.contains("│ new "), "{stdout}");
    assert!(!stdout.contains("│ resolved"), "what is claimed now is there still: {stdout}");
    let (code, stdout, _) = stormglass(at, &["diff", "claimed", "claimed/campaign.json"]);
    assert!(code == 0 && stdout.contains("│ ongoing "), "{stdout}");

    let (code, _, stderr) = run(at, "three", &["--baseline", "one/campaign.json"]);
    assert!(code == 0 || code == 3, "{code}: {stderr}");
    refused(at, &["diff", "one", "none"], &["cannot read none"]);
    fs::create_dir(at.join("empty")).unwrap();
    refused(at, &["diff", "empty", "one"], &["empty has no campaign.json", "campaign --results"]);
    fs::write(at.join("bad.json"), "{\n\"format\": 1,\n7").unwrap();
    refused(at, &["campaign", "--baseline", "bad.json"], &["bad.json:3: "]);
    refused(at, &["campaign", "--shrink-budget", "3s"], &["--shrink"]);
}

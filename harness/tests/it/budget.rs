//! Faults that a plan names and that go beyond what its system promises: what is lost then is allowed, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use checkers::Guarantee;
use stormglass::campaign::{Campaign, Ending, Entry, Findings, Standing};
use stormglass::plan::{self, Plan};
use stormglass::report::html::{Origin, Source, brief};
use stormglass::run::{Conclusion, Judged, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::store::Record;
use stormglass::system::{
    Claim, Client, ClientCx, Effect, Excess, Fault, LocalBoxFuture, Manifest, NodeCx, SYSTEMS,
    System,
};
use stormglass::trace::Happening;

use crate::cli::stormglass;
use crate::systems::{OneCopy, Quirk};

/// A plan over three nodes with this for the system, and these faults.
fn file(system: &str, rest: &str) -> String {
    format!(
        "[[plan]]\nname = \"script\"\nengine = \"event\"\nnodes = [3]\nsafety = \"12s\"\nsystem = \"{system}\"\n{rest}\n"
    )
}

fn fault(at: &str, lasts: &str, fault: &str) -> String {
    format!("[[plan.faults]]\nat = \"{at}\"\nlasts = \"{lasts}\"\nfault = {{ {fault} }}\n")
}

fn entry(text: &str) -> Entry {
    let plan = plan::parse(text, Path::new("script.toml"), SYSTEMS).unwrap().swap_remove(0);
    let named = SYSTEMS.iter().find(|entry| entry.name == plan.system).unwrap();
    let system = Arc::from(named.configured(&plan.settings).unwrap());
    Entry { plan, system }
}

fn report(text: &str, seed: u64) -> Report {
    let Entry { plan, system } = entry(text);
    run(&system, &plan, Seed(seed), Options::default())
}

fn judged(report: &Report, guarantee: Guarantee) -> &Judged {
    report.judged.iter().find(|judged| judged.guarantee == guarantee).unwrap()
}

/// The disks of so many nodes are lost at once.
fn wipe(target: &str) -> String {
    fault("5s", "1s", &format!("kind = \"wipe\", target = \"{target}\""))
}

#[test]
fn disks_that_a_plan_takes_one_after_the_other_are_lost_together() {
    let one = |at: &str, kind: &str, node: u32| {
        fault(at, "2s", &format!("{kind}, target = {{ node = {node} }}"))
    };
    let flip = "kind = \"disk\", defect = { bit-flip = { bits = 8 } }";
    for (first, second) in [("kind = \"wipe\"", "kind = \"wipe\""), ("kind = \"wipe\"", flip)] {
        let plan = one("4s", first, 1) + &one("5s", second, 2);
        let lossy = report(&file("raft", &plan), 0);
        assert_eq!(lossy.conclusion(), Conclusion::AllowedLoss, "{second}: {:?}", lossy.effects);
        let live = judged(&lossy, Guarantee::Live);
        assert!(live.beyond[0].words.starts_with("2 of 3 disks wiped; "), "{:?}", live.beyond);
    }
    // Apart from each other, each finds a majority that is whole.
    let wipe = "kind = \"wipe\"";
    let kept = report(&file("raft", &(one("3s", wipe, 1) + &one("9s", wipe, 2))), 0);
    assert_eq!(kept.conclusion(), Conclusion::Valid, "{:?}", kept.vacuous);
}

#[test]
fn a_majority_of_disks_is_more_than_raft_survives_and_one_is_not() {
    let lossy = report(&file("raft", &wipe("majority")), 0);
    assert_eq!(lossy.conclusion(), Conclusion::AllowedLoss, "{:?}", lossy.vacuous);
    let live = judged(&lossy, Guarantee::Live);
    assert!(live.claim == Claim::Waived && live.is_allowed_loss(), "{live:?}");
    let words = "2 of 3 disks wiped; raft keeps what it acknowledged, and goes on, while a majority keeps its disk";
    assert_eq!(live.beyond[0].words, words);
    // Who has lost what it knew does not answer, whatever was lost.
    let linearizable = judged(&lossy, Guarantee::Linearizable);
    assert!(linearizable.claim == Claim::Holds && linearizable.verdict.is_valid());
    let kept = report(&file("raft", &wipe("one")), 0);
    assert_eq!(kept.conclusion(), Conclusion::Valid, "{:?}", kept.vacuous);
    assert!(kept.judged.iter().all(|judged| judged.claim != Claim::Waived));
}

#[test]
fn whatever_disks_are_lost_nobody_who_has_one_log_answers_as_if_nothing_had_been() {
    for system in ["raft", "primary-sync"] {
        for target in ["majority", "all"] {
            for seed in 0..12 {
                let report = report(&file(system, &wipe(target)), seed);
                let conclusion = report.conclusion();
                assert_eq!(conclusion, Conclusion::AllowedLoss, "{system}, {target}, {seed}");
                for judged in report.judged.iter().filter(|one| one.claim == Claim::Holds) {
                    assert!(judged.verdict.is_valid(), "{system}, {target}, {seed}: {judged:?}");
                }
            }
        }
    }
}

#[test]
fn no_mode_loses_anything_to_faults_beyond_its_claims_but_what_it_is_allowed_to() {
    for entry in SYSTEMS {
        let system: Arc<dyn System> = Arc::from((entry.build)());
        let text = file(entry.name, &wipe("majority"));
        let plan = plan::parse(&text, Path::new("script.toml"), SYSTEMS).unwrap().swap_remove(0);
        let findings = Campaign::of(vec![Entry { plan, system }]).seeds(0..5).threads(1).run();
        assert_eq!(findings.ending(), Ending::Met, "{}: {:?}", entry.name, findings.rows);
        let lost = findings.rows[0].cells.iter().any(|cell| cell.lost > 0);
        assert!(lost, "{} lost nothing", entry.name);
    }
}

#[test]
fn a_lease_may_be_broken_by_a_clock_that_the_plan_names_and_by_nothing_else() {
    let cut = fault(
        "5500ms",
        "3500ms",
        "kind = \"partition\", shape = { shape = \"isolate\", target = \"leader\" }",
    );
    let slow = fault(
        "5s",
        "4s",
        "kind = \"clock-drift\", target = \"leader\", rate = { counts = 1, of = 6 }",
    );
    let head = "keys = [1, 2]\nsettings = { reads = \"lease\" }\n";
    let with = |faults: &str| {
        let Entry { plan, system } = entry(&file("raft", &format!("{head}{faults}")));
        Campaign::of(vec![Entry { plan, system }]).seeds(0..25).threads(1).run()
    };
    let lossy = with(&format!("{slow}{cut}"));
    let cell = lossy.rows[0].cell(Guarantee::Linearizable).unwrap();
    assert!(cell.claim == Claim::Holds && cell.lost > 0 && cell.broken == 0, "{cell:?}");
    let words = &cell.losses[0].beyond[0].words;
    assert_eq!(words, "raft does not promise linearizable under `clock`");
    assert_eq!(lossy.ending(), Ending::Met);
    let kept = with(&cut);
    assert!(kept.rows[0].cells.iter().all(|cell| cell.lost == 0 && cell.broken == 0));
}

#[test]
fn a_minority_of_three_is_one_disk_which_every_mode_that_survives_one_survives() {
    for system in ["primary-semi-sync", "leaderless", "leaderless-abd"] {
        let kept = report(&file(system, &wipe("minority")), 0);
        assert!(kept.judged.iter().all(|judged| judged.claim != Claim::Waived), "{system}");
        assert_eq!(kept.conclusion(), Conclusion::Valid, "{system}: {:?}", kept.vacuous);
    }
}

#[test]
fn disks_are_counted_among_those_that_are_members_by_then() {
    let removes = |at, node| {
        fault(
            at,
            "2s",
            &format!(
                "kind = \"membership\", change = {{ remove = {{ target = {{ node = {node} }} }} }}"
            ),
        )
    };
    let text = file(
        "raft",
        &(removes("2s", 5)
            + &removes("5s", 4)
            + &fault("9s", "1s", "kind = \"wipe\", target = \"majority\"")),
    );
    let shrunk = report(&text.replace("nodes = [3]", "nodes = [5]"), 0);
    let wiped = &shrunk.effects[2];
    assert_eq!((wiped.disks_lost.len(), wiped.members), (2, 3), "{:?}", shrunk.effects);
    assert_eq!(shrunk.conclusion(), Conclusion::AllowedLoss, "{:?}", shrunk.vacuous);
    let words = &judged(&shrunk, Guarantee::Live).beyond[0].words;
    assert!(words.starts_with("2 of 3 disks wiped; raft"), "{words}");
    let adds = |at| fault(at, "2s", "kind = \"membership\", change = \"add\"");
    let text = file(
        "raft",
        &(adds("2s") + &adds("5s") + &fault("9s", "1s", "kind = \"wipe\", target = \"minority\"")),
    );
    let grown = report(&text, 0);
    assert_eq!((grown.effects[2].disks_lost.len(), grown.effects[2].members), (2, 5));
    assert!(grown.judged.iter().all(|judged| judged.claim != Claim::Waived));
    assert_eq!(grown.conclusion(), Conclusion::Valid, "{:?}", grown.vacuous);
}

#[test]
fn a_run_in_which_no_fault_that_its_plan_names_did_anything_proves_nothing() {
    // Nobody looks at a clock in that microsecond.
    let jump = fault("5s", "1us", "kind = \"clock-jump\", target = \"one\", by_ms = 1");
    let idle = report(&file("raft", &jump), 0);
    assert_eq!(idle.vacuous, ["no fault that the plan names had any effect"]);
    assert_eq!(idle.conclusion(), Conclusion::Unknown);
}

#[test]
fn each_fault_that_a_plan_names_and_that_had_no_effect_is_told_by_name() {
    // Nobody looks at a clock in that microsecond.
    let jump = fault("5s", "1us", "kind = \"clock-jump\", target = \"one\", by_ms = 1");
    let crash = |at| fault(at, "1s", "kind = \"crash\", target = \"one\"");
    let text = file("raft", &(crash("3s") + &jump + &crash("9s")));
    let report = report(&text, 0);
    let did: Vec<bool> = report.effects.iter().map(Effect::took_effect).collect();
    assert_eq!((did, report.conclusion()), (vec![true, false, true], Conclusion::Valid));
    let record = Record::of(&report);
    let told = format!("fault 1 ({}), which the plan names, had no effect", report.schedule.0[1]);
    let words = format!("{told}: {}", report.effects[1].what);
    let said = stormglass::report::run::terminal(&record);
    assert!(said.lines().any(|line| line == words), "no {words:?} in {said}");
    assert_eq!(said.matches("had no effect").count(), 1, "{said}");
    let page = brief(&Source {
        record: &record,
        history: &report.history,
        trace: None,
        anomaly: None,
        program: "stormglass",
        origin: Origin::Run("results/runs/script-0"),
        story: &[],
    });
    assert!(page.contains(&told), "{page}");
}

#[test]
fn a_node_that_is_told_what_cannot_be_since_disks_forgot_is_an_allowed_loss() {
    // Of three, two start again with what they held long before, and elect each other.
    let forgets = "kind = \"disk\", target = \"majority\", defect = \"rollback\"";
    let lossy = report(&file("raft", &fault("4s", "3s", forgets)), 16);
    let live = judged(&lossy, Guarantee::Live);
    let stopped = live.verdict.anomalies().iter().find(|one| one.name == "node-stopped");
    let words = stopped.expect("a node stopped").explanation.join("; ");
    assert!(words.contains("dropped out: its log is agreed on up to entry"), "{words}");
    assert_eq!(live.beyond[0].words, "raft does not promise live under `rollback`");
    assert_eq!(lossy.conclusion(), Conclusion::AllowedLoss, "{:?}", lossy.vacuous);
}

/// A store that promises some guarantees only as long as not all of its nodes lose power at once.
struct Frail(OneCopy, Vec<Guarantee>);

impl System for Frail {
    fn manifest(&self) -> Manifest {
        self.0.manifest()
    }

    fn exceeded_by(&self, _: &Fault, effect: &Effect, nodes: u32) -> Option<Excess> {
        let words = format!("{} of {nodes} nodes down", effect.stopped);
        (effect.stopped == nodes).then(|| Excess { guarantees: self.1.clone(), words })
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        self.0.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        self.0.client(cx)
    }
}

const FORGETFUL: Quirk = Quirk::AnswersBeforeSync;

/// The plan of some runs of it with these faults.
fn frail_plan(faults: &str) -> Plan {
    let text = file("raft", faults);
    let plan = plan::parse(&text, Path::new("script.toml"), SYSTEMS).unwrap().swap_remove(0);
    Plan { system: "one-copy".to_owned(), ..plan }
}

/// What runs of it come to.
fn frail(promised: &[Guarantee], plan: &Plan) -> Vec<Conclusion> {
    let system: Arc<dyn System> = Arc::new(Frail(OneCopy(FORGETFUL), promised.to_vec()));
    let runs = (0..8).map(|seed| run(&system, plan, Seed(seed), Options::default()));
    runs.map(|report| report.conclusion()).collect()
}

fn crash(at: &str, target: &str) -> String {
    fault(at, "1s", &format!("kind = \"crash\", target = {target}"))
}

#[test]
fn a_node_that_ends_by_itself_may_be_an_allowed_loss_and_one_that_panics_never_is() {
    for (quirk, is_allowed) in [(Quirk::Stops, true), (Quirk::Panics, false)] {
        let system: Arc<dyn System> = Arc::new(Frail(OneCopy(quirk), vec![Guarantee::Live]));
        let plan = frail_plan(&crash("1ms", "\"all\""));
        let report = run(&system, &plan, Seed(0), Options::default());
        let live = judged(&report, Guarantee::Live);
        assert!(live.verdict.is_invalid(), "{quirk:?}: {live:?}");
        assert_eq!(live.is_allowed_loss(), is_allowed, "{quirk:?}: {live:?}");
    }
}

#[test]
fn a_claim_that_does_not_hang_on_what_was_exceeded_is_broken_all_the_same() {
    let plan = frail_plan(&crash("5s", "\"all\""));
    let all = [Guarantee::Linearizable, Guarantee::Durable];
    let allowed = frail(&all, &plan);
    assert!(allowed.contains(&Conclusion::AllowedLoss), "{allowed:?}");
    assert!(!allowed.contains(&Conclusion::Invalid), "{allowed:?}");
    // The same runs of a store whose promise of linearizability has nothing to do with how many are down.
    let durable_alone = frail(&[Guarantee::Durable], &plan);
    assert!(durable_alone.contains(&Conclusion::Invalid), "{durable_alone:?}");
    // And of a plan that stays within what is promised.
    let within = frail(&all, &frail_plan(&crash("5s", "{ node = 1 }")));
    assert!(within.contains(&Conclusion::Invalid), "{within:?}");
    assert!(!within.contains(&Conclusion::AllowedLoss), "{within:?}");
}

#[test]
fn what_was_broken_before_a_fault_went_too_far_is_no_allowed_loss() {
    let faults = crash("3s", "{ node = 1 }") + &crash("11s", "\"all\"");
    let seeds = frail(&[Guarantee::Linearizable, Guarantee::Durable], &frail_plan(&faults));
    assert!(seeds.contains(&Conclusion::Invalid), "{seeds:?}");
}

#[test]
fn what_nemeses_draw_is_within_what_is_promised() {
    let mut plan = frail_plan("");
    plan.nemeses = vec!["crash".to_owned(), "restart".to_owned()];
    let seeds = frail(&[Guarantee::Linearizable, Guarantee::Durable], &plan);
    assert!(seeds.contains(&Conclusion::Invalid), "{seeds:?}");
    assert!(!seeds.contains(&Conclusion::AllowedLoss), "{seeds:?}");
}

fn campaign(rest: &str) -> Findings {
    Campaign::of(vec![entry(&file("raft", rest))]).seeds(0..3).threads(1).run()
}

#[test]
fn a_plan_that_is_to_show_a_loss_fails_where_nothing_is_lost() {
    let expects = "canary-runs = 3\nallowed-losses = [\"live\"]\n";
    let standing = |findings: &Findings| {
        let row = &findings.rows[0];
        row.standing(row.cell(Guarantee::Live).unwrap())
    };
    let lossy = campaign(&format!("{expects}{}", wipe("majority")));
    assert_eq!((standing(&lossy), lossy.ending()), (Standing::AllowedLoss, Ending::Met));
    let kept = campaign(&format!("{expects}{}", wipe("one")));
    assert_eq!((standing(&kept), kept.ending()), (Standing::NoWitness, Ending::Violated));
}

#[test]
fn a_loss_that_nobody_could_be_allowed_is_refused() {
    for (system, rest, words) in [
        ("raft", "allowed-losses = [\"live\"]", "is for plans that name faults"),
        (
            "raft",
            &*format!("allowed-losses = [\"set\"]\n{}", wipe("one")),
            "there are linearizable",
        ),
        (
            "primary-async",
            &*format!("allowed-losses = [\"durable\"]\n{}", wipe("one")),
            "allowed-losses has durable, which primary-async does not claim here",
        ),
    ] {
        let parsed = plan::parse(&file(system, rest), Path::new("script.toml"), SYSTEMS);
        let said = parsed.unwrap_err().to_string();
        assert!(said.starts_with("script.toml:7: ") && said.contains(words), "{rest}: {said}");
    }
}

#[test]
fn every_report_says_that_a_loss_is_allowed_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("p.toml"), file("raft", &wipe("majority"))).unwrap();
    let run_one = ["run", "--plans", "p.toml", "--plan", "script", "--seed", "0", "--store"];
    let (code, text, _) = stormglass(at, &run_one);
    assert_eq!(code, 0, "{text}");
    let why = "2 of 3 disks wiped; raft keeps what it acknowledged";
    let beyond = "fault 0 goes beyond what is claimed of durable, convergent, live, available: ";
    assert!(text.contains(&format!("{beyond}{why}")), "{text}");
    assert!(text.contains("holds, but not under fault 0"), "{text}");
    assert!(text.contains("allowed loss: 7 in all, the first a divergence"), "{text}");
    let flags = ["--plans", "p.toml", "--seeds", "0..2", "--no-corpus", "--junit", "junit.xml"];
    let campaign = [&["campaign"][..], &flags].concat();
    let (code, text, _) = stormglass(at, &campaign);
    assert_eq!(code, 0, "{text}");
    for words in ["▽ allowed loss", "Allowed losses, by faults", why, "marked ▽ is an allowed loss"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let junit = fs::read_to_string(at.join("junit.xml")).unwrap();
    assert!(junit.contains("allowed loss") && junit.contains(why), "{junit}");
    assert!(!junit.contains("<failure"), "{junit}");
    let json = [&["--format", "json"][..], &campaign].concat();
    let (code, text, _) = stormglass(at, &json);
    assert!(code == 0 && text.contains("\"claim\": \"waived\"") && text.contains(why), "{text}");
    let report = report(&file("raft", &wipe("majority")), 0);
    let record = Record::of(&report);
    let page = brief(&Source {
        record: &record,
        history: &report.history,
        trace: None,
        anomaly: Some(0),
        program: "stormglass",
        origin: Origin::Run("run"),
        story: &[],
    });
    assert!(page.contains("allowed loss: ") && page.contains(why), "{page}");
    assert!(page.contains("▽ allowed loss, 7 found"), "{page}");
    assert!(!page.contains("this is a bug"), "{page}");
}

#[test]
fn a_disk_whose_bits_flip_is_lost_only_where_its_node_notices() {
    let flip = "kind = \"disk\", target = \"all\", defect = { bit-flip = { bits = 1 } }";
    let Entry { plan, system } = entry(&file("raft", &fault("5s", "500ms", flip)));
    let (mut counted, mut spared) = (0, 0);
    for seed in 0..12 {
        let report = run(&system, &plan, Seed(seed), Options { trace: true, ..Options::default() });
        let mut emptied = BTreeSet::new();
        for event in report.trace.as_ref().unwrap() {
            let Happening::Note { words } = &event.what else { continue };
            if words.starts_with("lost its disk with") {
                emptied.insert(event.place);
            }
        }
        let lost = report.effects[0].disks_lost.len();
        assert!(lost <= emptied.len(), "seed {seed}: {lost} of {emptied:?}");
        counted += lost;
        spared += 3 - emptied.len();
        let waives = report.judged.iter().any(|judged| judged.claim == Claim::Waived);
        assert_eq!(waives, lost > 1, "seed {seed}: {lost}");
    }
    assert!(counted > 0 && spared > 0, "{counted} were lost, {spared} were not");
}

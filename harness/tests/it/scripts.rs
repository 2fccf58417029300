//! Faults that a plan names one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{Event, FaultEdge, FaultId, Time};
use stormglass::engine::{Choice, Engine};
use stormglass::plan::{self, Plan};
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{SYSTEMS, System};
use stormglass::trace::{Happening, Loss};

use crate::systems::plans_of;

/// The plan of a campaign file that has one, which names these faults, and its system.
fn plan_of(system: &str, faults: &str) -> (Plan, Arc<dyn System>) {
    let text = file(system, faults);
    let plan = plan::parse(&text, Path::new("script.toml"), SYSTEMS).unwrap().swap_remove(0);
    let entry = SYSTEMS.iter().find(|entry| entry.name == system).unwrap();
    (plan, Arc::from((entry.build)()))
}

fn file(system: &str, faults: &str) -> String {
    let head =
        "[[plan]]\nname = \"script\"\nworkload = \"register\"\nsafety = \"12s\"\nnodes = [3]";
    format!("{head}\nsystem = \"{system}\"\n{faults}")
}

/// What is said of a file with these faults.
fn refusal(faults: &str) -> String {
    let parsed = plan::parse(&file("raft", faults), Path::new("script.toml"), SYSTEMS);
    parsed.unwrap_err().to_string()
}

fn on(engine: Engine, plan: &Plan, system: &Arc<dyn System>, seed: u64) -> Report {
    let choice = match engine {
        Engine::Turmoil => Choice::Turmoil,
        Engine::Event => Choice::Event,
        Engine::Real => panic!("nothing is scripted for real processes"),
    };
    let plan = Plan { engine: choice, ..plan.clone() };
    run(system, &plan, Seed(seed), Options { trace: true, ..Options::default() })
}

/// When a fault began.
fn began(report: &Report, fault: u32) -> Time {
    let mut events = report.history.events();
    let begins = |event: &Event<'_>| match event {
        Event::Fault(event) => event.fault == FaultId(fault) && event.edge == FaultEdge::Begin,
        _ => false,
    };
    events.find(|(_, event)| begins(event)).unwrap().0
}

/// When messages of a kind were sent from some moment on.
fn sent(report: &Report, name: &str, from: Time) -> Vec<Time> {
    let events = report.trace.as_ref().unwrap().iter();
    let is = |what: &Happening| matches!(what, Happening::Sent(sent) if sent.kind.as_deref() == Some(name));
    let sent = events.filter(|event| is(&event.what));
    sent.map(|event| event.at).filter(|at| *at >= from).collect()
}

#[test]
fn a_leader_that_is_cut_off_at_its_third_message_of_changes_loses_them_unless_a_majority_has_them()
{
    let from = Time::from_millis(4_000);
    let plans = plans_of("scripts.toml").into_iter();
    let cuts =
        plans.filter(|(plan, _)| plan.workload == "register" && plan.allowed_losses.is_empty());
    for (plan, system) in cuts {
        let (message, keeps) = match plan.system.as_str() {
            "raft" => ("append", true),
            _ => ("entries", false),
        };
        for engine in Engine::ALL {
            let report = on(engine, &plan, &system, 0);
            let third = sent(&report, message, from)[2];
            let late = began(&report, 0).since(third);
            assert!(late <= report.config.tick, "{engine}: {late:?} after the third");
            let mut judged = report.judged.iter();
            let found = judged.find(|judged| judged.guarantee == Guarantee::Linearizable).unwrap();
            let lost = found.verdict.anomalies().iter().any(|anomaly| anomaly.name == "stale-read");
            assert_eq!(lost, !keeps, "{engine}: {:?}", found.verdict);
            assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.vacuous);
        }
    }
}

#[test]
fn a_bank_that_is_filled_by_a_leader_alone_is_empty_at_its_successor_and_keeps_its_total_later() {
    let plans = plans_of("scripts.toml");
    let (plan, system) =
        plans.into_iter().find(|(plan, _)| plan.name == "filled-by-the-leader-alone").unwrap();
    let found = |plan: &Plan| {
        let runs = (0..20).map(|seed| run(&system, plan, Seed(seed), Options::default()));
        let judged = runs.flat_map(|run| run.judged);
        let bank = judged.filter(|judged| judged.guarantee == Guarantee::Bank);
        let names = bank.flat_map(|judged| {
            let anomalies = judged.verdict.anomalies().iter();
            anomalies.map(|anomaly| anomaly.name.clone()).collect::<Vec<_>>()
        });
        names.collect::<std::collections::BTreeSet<String>>()
    };
    assert_eq!(found(&plan), ["nil-balance".to_owned()].into());
    // What is lost later are whole transfers.
    let mut later = plan.clone();
    later.faults[0].at = Duration::from_secs(3);
    assert_eq!(found(&later), [].into());
}

#[test]
fn a_script_without_nemeses_is_all_that_happens_and_its_run_is_replayed_from_its_schedule() {
    let (plan, system) = plan_of(
        "raft",
        "
        [[plan.faults]]
        at = \"5s\"
        lasts = \"2s\"
        fault = { kind = \"loss\", shape = { shape = \"everywhere\" }, chance = \"1/3\" }
        [[plan.faults]]
        at = \"3s\"
        lasts = \"1s 500ms\"
        fault = { kind = \"flap\", shape = { shape = \"mute\", target = { node = 2 } }, every = \"200ms\" }
        [[plan.faults]]
        at = \"8s\"
        after = { of = \"vote\" }
        lasts = \"1s\"
        fault = { kind = \"delay\", shape = { shape = \"halves\" }, longest = \"100ms\" }
        [[plan.faults]]
        at = \"7s 500ms\"
        lasts = \"2s\"
        fault = { kind = \"crash\", target = \"leader\" }
        ",
    );
    for engine in Engine::ALL {
        let report = on(engine, &plan, &system, 3);
        let shown: Vec<String> = report.schedule.0.iter().map(ToString::to_string).collect();
        let expected = [
            "flap mute n2 (one-way), every 200ms",
            "loss everywhere, 1/3",
            "crash leader",
            "delay halves by up to 100ms, after vote 1 from anyone to anyone",
        ];
        assert_eq!(shown, expected);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.vacuous);
        let text = serde_json::to_string(&report.schedule).unwrap();
        let options = Options {
            config: Some(report.config.clone()),
            schedule: Some(serde_json::from_str(&text).unwrap()),
            ..Options::default()
        };
        let again = run(&system, &report.plan, Seed(3), options);
        assert_eq!(again.fingerprint, report.fingerprint, "{engine}");
        let text = toml::to_string(&report.plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), report.plan);
    }
}

#[test]
fn one_message_is_lost_and_said_again() {
    let (plan, system) = plan_of(
        "raft",
        "
        [[plan.faults]]
        at = \"3s\"
        lasts = \"4s\"
        fault = { kind = \"drop\", message = { of = \"append\", nth = 2, from = \"leader\" } }
        ",
    );
    for engine in Engine::ALL {
        let report = on(engine, &plan, &system, 1);
        assert_eq!(report.effects[0].dropped, 1, "{engine}: {:?}", report.effects);
        let events = report.trace.as_ref().unwrap().iter();
        let lost = events.filter(|event| {
            matches!(event.what, Happening::Lost { why: Loss::Fault(FaultId(0)), .. })
        });
        let lost: Vec<Time> = lost.map(|event| event.at).collect();
        let before = sent(&report, "append", Time::from_millis(3_000));
        assert!(lost.len() == 1 && before[0] <= lost[0] && lost[0] <= before[1], "{engine}");
        assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.vacuous);
    }
}

#[test]
fn who_is_named_by_number_is_cut_off_though_it_is_down_when_that_begins() {
    let faults = "[[plan.faults]]
        at = \"3s\"
        lasts = \"2s\"
        fault = { kind = \"crash\", target = { node = 2 } }
        [[plan.faults]]
        at = \"4s\"
        lasts = \"4s\"
        fault = { kind = \"partition\", shape = { shape = \"isolate\", target = { node = 2 } } }";
    let (plan, system) = plan_of("raft", faults);
    let report = on(Engine::Event, &plan, &system, 1);
    let [_, cut] = &report.effects[..] else { panic!("two faults: {:?}", report.effects) };
    assert!(cut.what == "n2 | n1 n3" && cut.dropped > 10, "{cut:?}");
}

#[test]
fn a_fault_whose_message_never_comes_leaves_the_run_unknown() {
    let (plan, system) = plan_of(
        "raft",
        "
        [[plan.faults]]
        after = { of = \"append\", from = \"clients\" }
        lasts = \"1s\"
        fault = { kind = \"crash\", target = \"leader\" }
        ",
    );
    let report = on(Engine::Event, &plan, &system, 1);
    assert_eq!(report.conclusion(), Conclusion::Unknown);
    let waits = "never began: it waits for append 1 from clients to anyone";
    assert!(report.vacuous[0].contains(waits), "{:?}", report.vacuous);
}

#[test]
fn what_no_run_can_do_is_refused_with_what_would_do() {
    let fault = |rest: &str| format!("[[plan.faults]]\nlasts = \"1s\"\n{rest}");
    let crash = "fault = { kind = \"crash\", target = \"leader\" }";
    for (script, words) in [
        (fault(&format!("at = \"11s 500ms\"\n{crash}")), "safety phase ends at 12s"),
        (
            fault(&format!("after = {{ of = \"apend\" }}\n{crash}")),
            "waits for a message `apend`; there are",
        ),
        (fault(&format!("after = {{ nth = 0 }}\n{crash}")), "counted from 1 on"),
        (
            fault("fault = { kind = \"drop\", message = { of = \"entries\" } }"),
            "there are open-session, request",
        ),
        (fault("fault = { kind = \"crash\", target = \"lead\" }"), "lead"),
        (
            fault("fault = { kind = \"crash\", target = { node = 4 } }"),
            "aimed at node 4, and there are 1 to 3",
        ),
        (
            fault(
                "fault = { kind = \"loss\", shape = { shape = \"deaf\", target = { node = 0 } }, chance = \"1/2\" }",
            ),
            "aimed at node 0, and there are 1 to 3",
        ),
        (fault("fault = { kind = \"crush\", target = \"leader\" }"), "crush"),
        (
            fault("fault = { kind = \"disk\", target = \"one\", defect = \"slow\" }"),
            "a table belongs here; such as `fault = { kind = \"disk\"",
        ),
        (
            fault("fault = { kind = \"crash\", target = \"leader\", how = 1 }"),
            "`how` is no setting here",
        ),
        (
            fault(
                "fault = { kind = \"partition\", shape = { shape = \"halves\", target = \"leader\" } }",
            ),
            "`target` is no setting here",
        ),
        (
            fault(
                "fault = { kind = \"partition\", shape = { shape = \"mute\", target = \"leader\", to = 1 } }",
            ),
            "`to` is no setting here",
        ),
        (
            fault("fault = { kind = \"loss\", shape = { shape = \"halves\" }, chance = \"4/3\" }"),
            "no share",
        ),
        (
            fault("fault = { kind = \"loss\", shape = { shape = \"halves\" }, chance = \"few\" }"),
            "no chance",
        ),
        (
            format!("[[plan.faults]]\n{crash}"),
            "`faults`: `lasts` is missing; such as `lasts = \"5s\"`",
        ),
    ] {
        let said = refusal(&script);
        assert!(said.contains(words), "{script}\n{said}");
    }
}

#[test]
fn a_message_that_nobody_sends_is_not_waited_for() {
    let fault = |rest: &str| format!("[[plan.faults]]\nlasts = \"1s\"\n{rest}");
    let crash = "fault = { kind = \"crash\", target = \"leader\" }";
    for (script, words) in [
        (
            fault(&format!("after = {{ from = {{ node = 9 }} }}\n{crash}")),
            "waits for a message from node 9, and there are 1 to 3; such as from = { node = 3 }",
        ),
        (
            fault("fault = { kind = \"drop\", message = { to = { node = 0 } } }"),
            "waits for a message to node 0, and there are 1 to 3",
        ),
        (
            fault(&format!("after = {{ from = \"clients\", to = \"clients\" }}\n{crash}")),
            "waits for a message from clients to clients, and nobody sends one",
        ),
        (
            fault(&format!("after = {{}}\n{crash}")),
            "`after = {}`: there is nothing in it, and so it says nothing; such as `after = { of",
        ),
        (
            fault("fault = { kind = \"drop\", message = {} }"),
            "`message = {}`: there is nothing in it, and so it says nothing; such as `message = { of",
        ),
    ] {
        let said = refusal(&script);
        assert!(said.contains(words), "{script}\n{said}");
    }
}

#[test]
fn every_message_of_the_store_goes_by_a_name_that_its_mode_lists() {
    for entry in SYSTEMS {
        let system: Arc<dyn System> = Arc::from((entry.build)());
        let mut plan = Plan::new("test", entry.name);
        plan.nemeses = ["partition", "crash"].map(str::to_owned).into();
        let report = on(Engine::Event, &plan, &system, 1);
        let names = system.message_names();
        let mut count = 0;
        for event in report.trace.unwrap() {
            let Happening::Sent(sent) = event.what else { continue };
            let known = sent.kind.as_deref().is_some_and(|name| names.contains(&name));
            assert!(known, "{}: {sent}", entry.name);
            count += 1;
        }
        assert!(count > 1_000, "{}: {count}", entry.name);
    }
}

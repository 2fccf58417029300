//! What the simulated world does to systems whose every step is known.

use std::sync::Arc;

use checkers::checker::Live;
use checkers::history::{FaultId, NodeId, Op, OpKind, Operation, Phase, Time, Value};
use checkers::{Guarantee, Verdict};
use stormglass::config::Config;
use stormglass::nemesis::{Defect, Fault, Planned, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{SYSTEMS, System};
use stormglass::tape::{Call, Tape};
use stormglass::trace::Happening;

use crate::systems::{Quirk, one_copy, schedule};

fn plan(nemeses: &[&str]) -> Plan {
    let mut plan = Plan::new("test", "one-copy");
    plan.nemeses = nemeses.iter().map(|name| (*name).to_owned()).collect();
    plan.safety = std::time::Duration::from_secs(6);
    plan.liveness = std::time::Duration::from_secs(2);
    plan
}

/// Runs a system of one copy under the given faults: kind, from and until in milliseconds.
fn under(quirk: Quirk, seed: u64, faults: &[(Fault, u64, u64)]) -> Report {
    run_under(quirk, &plan(&[]), seed, faults)
}

fn run_under(quirk: Quirk, plan: &Plan, seed: u64, faults: &[(Fault, u64, u64)]) -> Report {
    let schedule = Some(schedule(faults, |_| 1));
    let options = Options { schedule, ..Options::default() };
    run(&one_copy(quirk), plan, Seed(seed), options)
}

fn verdict(report: &Report, guarantee: Guarantee) -> &Verdict {
    &report.judged.iter().find(|judged| judged.guarantee == guarantee).unwrap().verdict
}

const CRASH_FIRST: Fault = Fault::Crash { target: Target::Node(NodeId(1)) };

#[test]
fn a_world_without_faults_is_boring() {
    let report = under(Quirk::None, 1, &[]);
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?} {:?}", report.judged, report.vacuous);
    assert!(report.counts.ok > 100 && report.counts.info == 0, "{:?}", report.counts);
}

#[test]
fn the_same_seed_gives_the_same_history_with_and_without_a_trace() {
    let report = |trace| {
        let options = Options { trace, ..Options::default() };
        run(&one_copy(Quirk::None), &plan(&["partition", "crash"]), Seed(7), options)
    };
    let (plain, traced) = (report(false), report(true));
    assert_eq!(plain.fingerprint, traced.fingerprint);
    assert!(traced.trace.unwrap().len() > 1000 && plain.trace.is_none());
    assert_ne!(plain.fingerprint, under(Quirk::None, 8, &[]).fingerprint);
}

#[test]
fn a_crash_silences_the_node_and_a_restart_brings_back_what_was_synced() {
    let report = under(Quirk::None, 2, &[(CRASH_FIRST, 2000, 4000)]);
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?} {:?}", report.judged, report.vacuous);
    assert_eq!((report.effects[0].stopped, report.effects[0].ok_during), (1, 0));
    assert!(report.counts.info > 0, "the crash was not noticed");
}

#[test]
fn a_crash_loses_what_was_acknowledged_before_it_was_synced() {
    let report = under(Quirk::AnswersBeforeSync, 3, &[(CRASH_FIRST, 2000, 2100)]);
    assert!(verdict(&report, Guarantee::Linearizable).is_invalid());
    assert!(report.effects[0].lost_bytes > 0);
    assert_eq!(report.conclusion(), Conclusion::Invalid);
}

#[test]
fn a_store_that_forgets_everything_does_not_pass() {
    // So many keys that most of them are at rest when the store forgets them.
    let mut plan = plan(&[]);
    plan.keys = [40, 40];
    let report = run_under(Quirk::Forgets, &plan, 4, &[(CRASH_FIRST, 5500, 5600)]);
    assert!(verdict(&report, Guarantee::Linearizable).is_invalid(), "{:?}", report.judged);
    assert!(verdict(&report, Guarantee::Durable).is_invalid(), "{:?}", report.judged);
}

#[test]
fn a_write_may_land_after_its_timeout() {
    let report = under(Quirk::WritesLate, 5, &[]);
    assert!(report.counts.info > 0);
    let linearizable = verdict(&report, Guarantee::Linearizable);
    assert!(linearizable.is_valid(), "{linearizable:?}");
}

#[test]
fn a_partition_that_nobody_notices_leaves_the_run_unknown() {
    // Nodes of this system do not talk to each other, so a cut between them drops nothing: the run
    // must say that it proved nothing.
    let isolate = Fault::Partition { shape: Shape::Isolate { target: Target::One } };
    let report = under(Quirk::None, 6, &[(isolate, 1000, 3000)]);
    assert_eq!(report.conclusion(), Conclusion::Unknown);
    assert!(report.vacuous[0].contains("made no difference"), "{:?}", report.vacuous);
}

#[test]
fn a_node_that_had_nothing_to_do_while_its_disk_was_full_is_not_held_against_the_run() {
    // All is kept by the first node.
    let full = Fault::Disk { target: Target::Node(NodeId(2)), defect: Defect::Full };
    let report = under(Quirk::None, 6, &[(full, 1000, 3000), (CRASH_FIRST, 4000, 4500)]);
    assert!(!report.effects[0].took_effect() && report.effects[1].took_effect());
    assert_eq!(report.vacuous, Vec::<String>::new());
    let options = Options { schedule: Some(report.schedule), ..Options::default() };
    let report = run(&one_copy(Quirk::None), &plan(&["disk-full"]), Seed(6), options);
    assert_eq!(report.vacuous, ["the nemesis `disk-full` had no effect in the whole run"]);
}

#[test]
fn a_nemesis_that_never_fired_leaves_the_run_unknown() {
    let options = Options { schedule: Some(Schedule::default()), ..Options::default() };
    let report = run(&one_copy(Quirk::None), &plan(&["crash"]), Seed(1), options);
    assert_eq!(report.conclusion(), Conclusion::Unknown);
    assert_eq!(report.vacuous.len(), 1, "{:?}", report.vacuous);
    assert!(report.vacuous[0].starts_with("the run has no fault of the nemesis `crash`"));
}

#[test]
fn a_workload_of_which_nothing_succeeds_leaves_no_run_valid() {
    let report = under(Quirk::RefusesAll, 1, &[]);
    assert_ne!(report.conclusion(), Conclusion::Valid);
    assert!(report.vacuous.contains(&"no read succeeded in the whole run".to_owned()));
    assert!(!verdict(&report, Guarantee::Linearizable).is_valid());
}

#[test]
fn what_chance_left_out_is_done_before_the_run_ends() {
    let (system, plan, seed) = (one_copy(Quirk::None), plan(&[]), Seed(1));
    let mut config = Config::draw(&plan, &system.manifest(), seed);
    config.mix.insert(OpKind::Read, 3000);
    config.mix.insert(OpKind::Cas, 1);
    let nodes = config.nodes as usize;
    let report = run(&system, &plan, seed, Options { config: Some(config), ..Options::default() });
    let cas = |operation: &Operation<'_>| matches!(operation.op, Op::Cas { .. });
    let cas: Vec<Operation<'_>> = report.history.operations().filter(cas).collect();
    let (_, recovers) = report.history.phase_began(Phase::Liveness).unwrap();
    let quarter = plan.liveness / 4;
    assert!(cas[0].invoked_at >= recovers + quarter, "a quarter of the time to recover");
    assert!(cas.len() >= Live::AT_A_NODE * nodes, "clients of each node ask for it");
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?} {:?}", report.judged, report.vacuous);
}

#[test]
fn a_panic_in_a_node_is_an_anomaly_of_the_run() {
    let report = under(Quirk::Panics, 1, &[]);
    let anomaly = &verdict(&report, Guarantee::Live).anomalies()[0];
    assert_eq!(anomaly.name, "node-panic");
    assert!(anomaly.explanation[0].contains("the tenth message"), "{:?}", anomaly.explanation);
}

#[test]
fn a_panic_in_a_task_of_a_node_is_not_swallowed() {
    let report = under(Quirk::PanicsAside, 1, &[]);
    let anomaly = &verdict(&report, Guarantee::Live).anomalies()[0];
    assert_eq!(anomaly.name, "node-panic");
    assert!(anomaly.explanation[0].contains("aside"), "{:?}", anomaly.explanation);
}

#[test]
fn a_node_that_gives_up_is_an_anomaly_and_does_not_stop_the_others() {
    let report = under(Quirk::Stops, 1, &[]);
    let anomaly = &verdict(&report, Guarantee::Live).anomalies()[0];
    assert_eq!(anomaly.name, "node-stopped");
    assert!(anomaly.explanation[0].contains("ten messages are enough"));
    assert!(report.counts.simulated_ns > 8_000_000_000, "the world ended early");
}

#[test]
fn a_node_that_loses_power_can_neither_speak_nor_write() {
    let report =
        under(Quirk::LastWords, 1, &[(CRASH_FIRST, 2000, 3000), (CRASH_FIRST, 4000, 4100)]);
    assert_eq!(report.effects[0].stopped + report.effects[1].stopped, 2);
    assert!(verdict(&report, Guarantee::Live).is_valid(), "{:?}", report.judged);
}

#[test]
fn messages_to_a_node_that_is_down_are_lost() {
    let report = under(Quirk::None, 2, &[(CRASH_FIRST, 2000, 4000)]);
    assert!(report.counts.dropped > 0 && report.counts.info > 0, "{:?}", report.counts);
}

#[test]
fn messages_without_end_end_the_run() {
    let report = under(Quirk::Floods, 1, &[]);
    assert_eq!(verdict(&report, Guarantee::Live).anomalies()[0].name, "message-flood");
}

/// The messages of the first node that reached others (or of others that reached it) in a traced run:
/// before, during and after the fault.
fn sent(report: &Report, by_the_first: bool, fault: (u64, u64)) -> [usize; 3] {
    let mut counts = [0; 3];
    for event in report.trace.as_ref().unwrap() {
        let Happening::Received { from, .. } = event.what else { continue };
        let (from, to) = (from.node(), event.place.node());
        let sends = matches!(
            (from.zip(to), by_the_first),
            (Some((NodeId(1), NodeId(2 | 3))), true) | (Some((NodeId(2 | 3), NodeId(1))), false)
        );
        let at = event.at.as_nanos() / 1_000_000;
        let when = usize::from(at >= fault.0) + usize::from(at >= fault.1);
        counts[when] += usize::from(sends);
    }
    counts
}

#[test]
fn a_one_way_partition_cuts_one_way_and_its_end_restores_service() {
    let system: Arc<dyn System> = Arc::from((SYSTEMS[0].build)());
    let mut plan = Plan::new("test", SYSTEMS[0].name);
    plan.nodes = vec![3];
    plan.nemeses = Vec::new();
    let window = (5000, 8000);
    for (target, mute) in [
        (Shape::Mute { target: Target::Node(NodeId(1)) }, true),
        (Shape::Deaf { target: Target::Node(NodeId(1)) }, false),
    ] {
        let planned = Planned {
            id: FaultId(0),
            at: Time::from_millis(window.0),
            until: Time::from_millis(window.1),
            fault: Fault::Partition { shape: target },
            salt: 1,
            after: None,
            scripted: false,
        };
        let schedule = Some(Schedule(vec![planned]));
        let options = Options { trace: true, schedule, ..Options::default() };
        let report = run(&system, &plan, Seed(3), options);
        let [before, during, after] = sent(&report, mute, window);
        assert!(before > 0 && during == 0 && after > 0, "{target}: {before} {during} {after}");
        let [_, during, _] = sent(&report, !mute, window);
        assert!(during > 0, "{target} cut both ways");
        assert!(report.effects[0].dropped > 0);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{:?}", report.vacuous);
    }
}

#[test]
fn a_node_that_spins_is_a_livelock_and_not_a_hang() {
    let report = under(Quirk::Spins, 1, &[]);
    assert_eq!(verdict(&report, Guarantee::Live).anomalies()[0].name, "livelock");
}

#[test]
fn a_majority_that_gets_nothing_done_is_not_available() {
    let report = under(Quirk::None, 3, &[(CRASH_FIRST, 2000, 4500)]);
    let anomalies = verdict(&report, Guarantee::Available).anomalies();
    let names: Vec<&str> = anomalies.iter().map(|anomaly| anomaly.name.as_str()).collect();
    assert_eq!(names, ["stalled-reads", "stalled-writes"]);
    let told = &anomalies[0].explanation[0];
    assert!(told.contains("from 2.000 s to 4.500 s") && told.contains("crash n1"), "{told}");
    assert_eq!(anomalies[0].witness.faults, [FaultId(0)]);
}

#[test]
fn a_stall_that_is_no_longer_than_a_failover_says_nothing_of_availability() {
    let report = under(Quirk::None, 3, &[(CRASH_FIRST, 2000, 2900)]);
    assert!(verdict(&report, Guarantee::Available).is_valid(), "{:?}", report.judged);
    let report = under(Quirk::None, 3, &[(CRASH_FIRST, 2000, 3200)]);
    assert!(verdict(&report, Guarantee::Available).is_invalid(), "{:?}", report.judged);
}

#[test]
fn a_store_without_a_majority_need_not_be_available() {
    let all = Fault::Crash { target: Target::All };
    let report = under(Quirk::None, 3, &[(all, 2000, 4500)]);
    assert!(verdict(&report, Guarantee::Available).is_valid(), "{:?}", report.judged);
}

#[test]
fn a_region_whose_nodes_do_not_see_each_other_need_not_be_available() {
    // Six nodes on a ring, on which each sees all but the one opposite. With some salts these are the two nodes
    // of each region, and nobody can be served, although everyone is connected with a majority of all nodes.
    let mut plan = plan(&[]);
    (plan.system, plan.nodes) = ("multi-leader".to_owned(), vec![6]);
    let entry = SYSTEMS.iter().find(|entry| entry.name == "multi-leader").unwrap();
    let system: Arc<dyn System> = Arc::from((entry.build)());
    let ring = Fault::Partition { shape: Shape::MajoritiesRing {} };
    let mut idle = 0;
    for salt in 0..16 {
        let schedule = Some(schedule(&[(ring, 2000, 4500)], |_| salt));
        let report = run(&system, &plan, Seed(3), Options { schedule, ..Options::default() });
        assert_ne!(report.conclusion(), Conclusion::Invalid, "salt {salt}: {:?}", report.judged);
        idle += u32::from(report.effects[0].ok_during < 10);
    }
    assert!(idle > 0, "no salt has cut every region in two");
}

#[test]
fn a_client_that_is_cut_off_says_nothing_of_availability() {
    // The only client of these runs stays with its node, which is cut off for long enough in some.
    let mut plan = Plan::new("test", "raft");
    plan.nemeses = ["partition", "crash", "restart", "delay"].map(str::to_owned).into();
    plan.clients = [1, 1];
    let raft = SYSTEMS.iter().find(|entry| entry.name == "raft").unwrap();
    let system: Arc<dyn System> = Arc::from((raft.build)());
    for seed in 0..24 {
        let report = run(&system, &plan, Seed(seed), Options::default());
        let mut judged = report.judged.iter();
        let available = judged.find(|judged| judged.guarantee == Guarantee::Available);
        let is_broken = available.is_some_and(|judged| judged.verdict.is_invalid());
        assert!(!is_broken, "seed {seed}: {available:?}");
    }
}

const WIPE_FIRST: Fault = Fault::Wipe { target: Target::Node(NodeId(1)) };

#[test]
fn a_disk_that_is_lost_takes_with_it_what_was_synced() {
    let report = under(Quirk::None, 3, &[(WIPE_FIRST, 2000, 2100)]);
    assert!(report.effects[0].lost_bytes > 0 && report.effects[0].stopped == 1);
    assert!(verdict(&report, Guarantee::Linearizable).is_invalid());
    assert_eq!(report.conclusion(), Conclusion::Invalid);
}

#[test]
fn a_second_disk_is_not_taken_before_the_first_node_says_that_it_is_whole() {
    let report = under(Quirk::None, 3, &[(WIPE_FIRST, 2000, 2100), (WIPE_FIRST, 4000, 4100)]);
    let [first, second] = &report.effects[..] else { panic!("two faults") };
    assert_eq!((first.stopped, second.stopped), (1, 0), "this system never says so");
    assert_eq!(second.what, "nobody, n1 is not whole yet");
    assert!(report.vacuous.is_empty(), "{:?}", report.vacuous);
}

#[test]
fn who_asks_just_before_a_stretch_ends_says_nothing_of_availability() {
    let asks = |asked: u64| {
        let (system, plan, seed) = (one_copy(Quirk::None), plan(&[]), Seed(3));
        let config = Config::draw(&plan, &system.manifest(), seed);
        let op = Op::Write { key: "x".into(), value: Value::Int(1) };
        let mut calls = vec![Vec::new(); config.clients as usize];
        // A client of n2, which is not the node that is down.
        calls[1] = vec![Call { at: Time::from_millis(asked), op }];
        let schedule = schedule(&[(CRASH_FIRST, 2000, 4500)], |_| 1);
        let options = Options::of_data(&config, &schedule, Some(&Tape(calls)));
        let report = run(&system, &plan, seed, options);
        let mut judged = report.judged.into_iter();
        judged.find(|judged| judged.guarantee == Guarantee::Available).unwrap().verdict
    };
    assert!(!asks(4499).is_invalid(), "it is served a moment later");
    assert!(!asks(2001).is_invalid(), "it gives up before the store has to be there again");
    assert!(asks(3400).is_invalid(), "it gives up later, and in vain");
}

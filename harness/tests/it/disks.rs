//! What faults of disks do, as seen by systems whose every step is known, on both engines; and what the modes
//! of the reference store promise under them.

use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{FaultId, NodeId, Op, OpKind, Outcome, Reason, Time};
use stormglass::config::Config;
use stormglass::engine::{Choice, Engine};
use stormglass::nemesis::{Defect, Fault, Planned, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, NodeStatus, SYSTEMS, System,
};

use crate::systems::{Quirk, one_copy, plans_of, schedule};

const FIRST: Target = Target::Node(NodeId(1));

fn short(system: &str) -> Plan {
    let mut plan = Plan::new("test", system);
    plan.nemeses.clear();
    plan.nodes = vec![3];
    // So many that most of them are at rest when something is lost.
    plan.keys = [40, 40];
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(2);
    plan
}

fn on(engine: Engine, system: &Arc<dyn System>, faults: &[(Fault, u64, u64)]) -> Report {
    let plan = short(&system.manifest().name);
    let mut config = Config::draw(&plan, &system.manifest(), Seed(1));
    config.engine = engine;
    let schedule = Some(schedule(faults, |_| 1));
    let options = Options { config: Some(config), schedule, trace: true, ..Options::default() };
    run(system, &plan, Seed(1), options)
}

/// Runs a store of one copy whose disk has a defect for a while, from and until in milliseconds.
fn under(engine: Engine, quirk: Quirk, defect: Defect, window: (u64, u64)) -> Report {
    let fault = Fault::Disk { target: FIRST, defect };
    on(engine, &one_copy(quirk), &[(fault, window.0, window.1)])
}

fn is_invalid(report: &Report, guarantee: Guarantee) -> bool {
    let judged = report.judged.iter().find(|judged| judged.guarantee == guarantee);
    judged.unwrap().verdict.is_invalid()
}

/// Whether something was written in each second after the fault.
fn is_served_after(report: &Report, ms: u64) -> bool {
    let writes = || {
        let operations = report.history.operations().filter(|operation| operation.is_ok());
        operations.filter(|operation| operation.op.kind() == OpKind::Write)
    };
    (ms / 1000..8).all(|second| {
        let within = |at: Time| at.since_start().as_secs() == second;
        writes().any(|operation| operation.completed_at.is_some_and(within))
    })
}

#[test]
fn a_slow_disk_makes_writes_late_and_loses_nothing() {
    let longest = Duration::from_millis(100);
    for engine in Engine::ALL {
        let report = under(engine, Quirk::None, Defect::Slow { longest }, (2000, 4000));
        let fastest = |from, until| {
            let writes = report
                .history
                .operations()
                .filter(|operation| operation.op.kind() == OpKind::Write && operation.is_ok());
            let took = writes.filter_map(|operation| {
                let (asked, answered) = (operation.invoked_at, operation.completed_at?);
                let is_within =
                    Time::from_millis(from) <= asked && answered <= Time::from_millis(until);
                is_within.then(|| answered.since(asked))
            });
            took.min().unwrap()
        };
        // Both syncs of a write take half of the longest time at least.
        assert!(fastest(2000, 4000) >= longest, "{engine}");
        assert!(fastest(0, 2000) < longest && fastest(4500, 8000) < longest, "{engine}");
        assert!(report.effects[0].disk.slow_syncs > 10, "{engine}: {:?}", report.effects[0]);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.vacuous);
    }
}

#[test]
fn a_node_that_ends_because_of_its_disk_is_no_anomaly_and_starts_again_when_the_disk_works() {
    for engine in Engine::ALL {
        for defect in [
            Defect::Full,
            Defect::Error { one_of: 1 },
            Defect::Error { one_of: 10 },
            Defect::SyncFail,
        ] {
            let report = under(engine, Quirk::None, defect, (2000, 2900));
            let name = format!("{} on {engine}", defect.kind());
            let effect = &report.effects[0];
            assert_eq!((effect.stopped, effect.disk.errors), (1, 1), "{name}: {effect:?}");
            assert!(effect.halted_ns > 500_000_000, "{name}: {effect:?}");
            assert!(is_served_after(&report, 3000), "{name}");
            let judged = (&report.judged, &report.vacuous);
            assert_eq!(report.conclusion(), Conclusion::Valid, "{name}: {judged:?}");
        }
    }
}

#[test]
fn a_panic_where_a_disk_fails_is_an_anomaly_all_the_same() {
    for engine in Engine::ALL {
        let report = under(engine, Quirk::PanicsAtDisk, Defect::Full, (2000, 2900));
        assert!(is_invalid(&report, Guarantee::Live), "{engine}: {:?}", report.judged);
    }
}

#[test]
fn a_node_that_gives_up_without_a_fault_of_its_disk_is_an_anomaly_while_another_disk_has_one() {
    let fault = Fault::Disk { target: Target::Node(NodeId(2)), defect: Defect::Full };
    for engine in Engine::ALL {
        let report = on(engine, &one_copy(Quirk::Stops), &[(fault, 0, 5000)]);
        assert!(is_invalid(&report, Guarantee::Live), "{engine}: {:?}", report.judged);
    }
}

#[test]
fn what_a_sync_that_failed_was_to_make_last_is_gone_and_the_next_sync_does_not_say_so() {
    let fails = Fault::Disk { target: FIRST, defect: Defect::SyncFail };
    let mut faults: Vec<(Fault, u64, u64)> =
        (0..10).map(|index| (fails, 3000 + 250 * index, 3200 + 250 * index)).collect();
    faults.push((Fault::Kill { target: FIRST }, 5700, 5750));
    for engine in Engine::ALL {
        let report = on(engine, &one_copy(Quirk::IgnoresSyncErrors), &faults);
        for effect in &report.effects[..10] {
            assert!(effect.disk.errors == 1 && effect.disk.lost_bytes > 0, "{engine}: {effect:?}");
            assert_eq!(effect.stopped, 0, "{engine}: it goes on as if nothing had been");
        }
        assert!(is_invalid(&report, Guarantee::Durable), "{engine}: {:?}", report.judged);
    }
}

#[test]
fn what_a_disk_that_lies_has_synced_is_lost_with_the_power() {
    for engine in Engine::ALL {
        let report = under(engine, Quirk::None, Defect::LostWrites, (4000, 5800));
        let effect = &report.effects[0];
        assert!(effect.disk.lies > 10 && effect.lost_bytes > 0, "{engine}: {effect:?}");
        assert_eq!(effect.stopped, 1, "{engine}: {effect:?}");
        assert!(is_invalid(&report, Guarantee::Durable), "{engine}: {:?}", report.judged);
        assert!(is_served_after(&report, 6000), "{engine}");
    }
}

#[test]
fn a_disk_that_is_put_back_holds_what_it_held_and_nothing_later() {
    for engine in Engine::ALL {
        let report = under(engine, Quirk::None, Defect::Rollback, (4000, 5800));
        let effect = &report.effects[0];
        assert!(effect.stopped == 1 && effect.disk.lost_bytes > 0, "{engine}: {effect:?}");
        assert!(is_invalid(&report, Guarantee::Durable), "{engine}: {:?}", report.judged);
        assert!(is_served_after(&report, 6000), "{engine}");
        // Nothing was written meanwhile by the others, which hold nothing.
        let defect = Defect::Rollback;
        let fault = Fault::Disk { target: Target::Node(NodeId(2)), defect };
        let report = on(engine, &one_copy(Quirk::None), &[(fault, 4000, 5800)]);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.judged);
    }
}

/// Its nodes have synced a text, and do not start without it.
struct Vouching;

const TEXT: &[u8] = b"what stands here is known, and nothing else will do";

impl System for Vouching {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "vouching".to_owned(),
            claims: vec![(Guarantee::Live, Claim::Holds)],
            ..one_copy(Quirk::None).manifest()
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        Box::pin(async move {
            let disk = cx.disk();
            match disk.read("text") {
                Ok(text) if text != TEXT => return "this is not the text".to_owned(),
                Ok(_) => {}
                Err(_) => {
                    assert!(cx.incarnation() == 0 || cx.restored(), "who has taken it away?");
                    disk.append("text", TEXT).unwrap();
                    disk.sync("text").await.unwrap();
                    disk.sync_dir().await.unwrap();
                }
            }
            let restoring = cx.restored();
            cx.observe(NodeStatus { restoring, ..NodeStatus::default() });
            cx.sleep(Duration::from_millis(500)).await;
            cx.observe(NodeStatus::default());
            std::future::pending().await
        })
    }

    fn client(&self, _: ClientCx) -> Box<dyn Client> {
        Box::new(Silent)
    }
}

/// A client that never asks.
struct Silent;

impl Client for Silent {
    fn invoke<'a>(&'a mut self, _: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Fail(Reason::Unavailable) })
    }
}

/// When something was noted in the trace, and of whom, in milliseconds.
fn noted(report: &Report, what: &str) -> Vec<(String, u64)> {
    let trace = report.trace.as_ref().unwrap().iter();
    let noted = trace.filter(|event| event.what.to_string().contains(what));
    noted.map(|event| (event.place.to_string(), event.at.as_nanos() / 1_000_000)).collect()
}

#[test]
fn who_notices_that_bits_have_flipped_starts_with_an_empty_disk_and_is_waited_for() {
    let flip = |node| Fault::Disk {
        target: Target::Node(NodeId(node)),
        defect: Defect::BitFlip { bits: 3 },
    };
    let faults = [(flip(1), 2000, 2200), (flip(2), 2300, 2400), (flip(2), 4000, 4100)];
    let system: Arc<dyn System> = Arc::new(Vouching);
    for engine in Engine::ALL {
        let report = on(engine, &system, &faults);
        let anomalies = report.judged.iter().flat_map(|judged| judged.verdict.anomalies());
        let of_nodes: Vec<_> =
            anomalies.filter(|anomaly| anomaly.name.starts_with("node-")).collect();
        assert!(of_nodes.is_empty(), "{engine}: {of_nodes:?}");
        let [first, too_soon, second] = &report.effects[..] else { panic!("three faults") };
        assert_eq!(first.disk.flipped_bits, 3, "{engine}: {first:?}");
        // Ended for the fault, and then because of the disk.
        assert_eq!((first.stopped, first.lost_bytes), (2, TEXT.len() as u64), "{engine}");
        assert_eq!(too_soon.what, "nobody, n1 is not whole yet", "{engine}");
        assert_eq!((too_soon.stopped, second.stopped), (0, 2), "{engine}");
        let places = |what| noted(&report, what).into_iter().map(|(node, _)| node);
        assert_eq!(places("lost its disk").collect::<Vec<_>>(), ["n1", "n2"], "{engine}");
        assert_eq!(places("is whole again").collect::<Vec<_>>(), ["n1", "n2"], "{engine}");
        assert!(!report.vacuous.iter().any(|reason| reason.contains("difference")), "{engine}");
    }
}

fn says(system: &dyn System, guarantee: Guarantee, nemesis: &str) -> Claim {
    system.manifest_under(&[nemesis.to_owned()]).claim(guarantee, false)
}

#[test]
fn a_mode_promises_the_same_with_disks_that_fail_and_nothing_with_disks_that_forget() {
    for entry in SYSTEMS {
        let system = (entry.build)();
        let manifest = system.manifest();
        for failing in ["disk-slow", "disk-full", "disk-error", "sync-fail"] {
            assert_eq!(system.manifest_under(&[failing.to_owned()]), manifest, "{}", entry.name);
        }
        let noticed = system.manifest_under(&["bit-flip".to_owned()]);
        assert_eq!(noticed, system.manifest_under(&["wipe".to_owned()]), "{}", entry.name);
        for forgetting in ["lost-writes", "rollback"] {
            assert_eq!(says(&*system, Guarantee::Durable, forgetting), Claim::Breaks);
            let held = system.manifest_under(&[forgetting.to_owned()]);
            assert!(held.claims.iter().all(|(_, claim)| *claim != Claim::Holds), "{}", entry.name);
        }
    }
}

#[test]
fn claims_hold_whatever_disks_do_that_nodes_can_notice() {
    for (plan, system) in plans_of("disk.toml") {
        let outside = plan.name.ends_with("lost-writes") || plan.name.ends_with("rollback");
        for seed in 0..2 {
            let report = run(&system, &plan, Seed(seed), Options::default());
            assert_ne!(report.conclusion(), Conclusion::Invalid, "{}, seed {seed}", plan.name);
            let holds = report.judged.iter().any(|judged| judged.claim == Claim::Holds);
            assert_eq!(holds, !outside, "{}", plan.name);
        }
    }
}

#[test]
fn a_bit_that_flips_in_the_last_record_is_not_taken_for_a_torn_write() {
    // Met before a mark followed every sync: the record was cut off, although others counted on it.
    let seeds = [
        ("raft-bit-flip", 52),
        ("raft-bit-flip", 54),
        ("primary-sync-bit-flip", 3),
        ("leaderless-abd-bit-flip", 109),
    ];
    let plans = plans_of("disk.toml");
    for (name, seed) in seeds {
        let (plan, system) = plans.iter().find(|(plan, _)| plan.name == name).unwrap();
        let mut plan = plan.clone();
        plan.engine = Choice::Event;
        let report = run(system, &plan, Seed(seed), Options::default());
        assert_eq!(report.conclusion(), Conclusion::Valid, "{name}: {:?}", report.vacuous);
    }
}

#[test]
fn a_fault_that_chance_or_a_standstill_has_kept_from_anything_is_not_held_against_the_run() {
    let idle: Arc<dyn System> = Arc::new(Vouching);
    let reasons = |faults: &[(Fault, u64, u64)]| on(Engine::Event, &idle, faults).vacuous;
    let disk = |defect| Fault::Disk { target: FIRST, defect };
    let misses = |reasons: &[String]| reasons.iter().any(|reason| reason.contains("difference"));
    for one_of in [1, 5] {
        assert!(!misses(&reasons(&[(disk(Defect::Error { one_of }), 2000, 3000)])), "{one_of}");
    }
    let nobody = Fault::Disk { target: Target::Node(NodeId(9)), defect: Defect::Full };
    assert!(misses(&reasons(&[(nobody, 2000, 3000)])));
    let isolate = Fault::Partition { shape: Shape::Isolate { target: FIRST } };
    assert!(misses(&reasons(&[(isolate, 4000, 5000)])));
    let after = reasons(&[(disk(Defect::Rollback), 2000, 3000), (isolate, 4000, 5000)]);
    assert!(!misses(&after), "{after:?}");
}

#[test]
fn a_voter_that_forgets_loses_what_a_majority_had() {
    let (plan, system) =
        plans_of("disk.toml").into_iter().find(|(plan, _)| plan.name == "raft-rollback").unwrap();
    let loses = |seed| {
        let report = run(&system, &plan, Seed(seed), Options::default());
        is_invalid(&report, Guarantee::Durable)
    };
    assert!((0..20).any(loses));
}

#[test]
fn a_schedule_with_a_defect_that_no_disk_has_is_refused() {
    let config = under(Engine::Event, Quirk::None, Defect::Full, (2000, 2100)).config;
    let long = Duration::from_secs(7200);
    for (defect, words) in [
        (Defect::Slow { longest: long }, "makes syncs take up to 7200s, and 1s is the most"),
        (Defect::Error { one_of: 0 }, "fail of 0, which has to lie within 1 to 1000"),
        (Defect::BitFlip { bits: 5000 }, "as many bits as 5000, which has to lie within 1 to"),
    ] {
        let (at, fault) = (Time::from_millis(1), Fault::Disk { target: FIRST, defect });
        let planned =
            Planned { id: FaultId(0), at, until: at, fault, salt: 1, after: None, scripted: false };
        let refusal = Schedule(vec![planned]).check(&config).unwrap_err();
        assert!(refusal.contains(words), "{refusal}");
    }
}

#[test]
fn a_fault_of_disks_is_read_back_as_it_was_written() {
    for defect in [
        Defect::Slow { longest: Duration::from_millis(20) },
        Defect::Full,
        Defect::Error { one_of: 3 },
        Defect::SyncFail,
        Defect::BitFlip { bits: 2 },
        Defect::LostWrites,
        Defect::Rollback,
    ] {
        let fault = Fault::Disk { target: Target::Leader, defect };
        let planned = schedule(&[(fault, 1, 2)], |_| 7);
        let text = serde_json::to_string(&planned).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), planned, "{text}");
    }
}

//! The two engines: what is the same on both, and what the one without ticks does exactly.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkers::history::{Event, NodeId, Op, Outcome, Reason, Time};
use checkers::{Guarantee, Verdict};
use stormglass::config::Config;
use stormglass::engine::{Choice, Engine};
use stormglass::nemesis::{Fault, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::sim::Address;
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, System,
};

use crate::systems::{Quirk, one_copy, plans_of, schedule};

fn plan(system: &str) -> Plan {
    let mut plan = Plan::new("test", system);
    plan.nemeses = Vec::new();
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(2);
    plan
}

/// What the plan and the seed say, but for some settings.
fn run_with(
    system: &Arc<dyn System>,
    plan: &Plan,
    seed: u64,
    faults: Schedule,
    adjust: impl Fn(&mut Config),
) -> Report {
    let mut config = Config::draw(plan, &system.manifest(), Seed(seed));
    adjust(&mut config);
    let options = Options { config: Some(config), schedule: Some(faults), ..Options::default() };
    run(system, plan, Seed(seed), options)
}

/// The same run on each engine.
fn on_both(
    system: &Arc<dyn System>,
    plan: &Plan,
    seed: u64,
    faults: &Schedule,
    adjust: impl Fn(&mut Config),
) -> [Report; 2] {
    Engine::ALL.map(|engine| {
        run_with(system, plan, seed, faults.clone(), |config| {
            adjust(config);
            config.engine = engine;
        })
    })
}

#[test]
fn where_everything_happens_at_ticks_both_engines_give_the_same_history() {
    let system = one_copy(Quirk::None);
    let crash = Fault::Crash { target: Target::Node(NodeId(1)) };
    let cut = Fault::Partition { shape: Shape::Isolate { target: Target::Node(NodeId(1)) } };
    let faults = schedule(&[(crash, 1500, 2500), (cut, 3000, 4000)], |_| 1);
    for seed in 0..20 {
        let reports = on_both(&system, &plan("one-copy"), seed, &faults, |config| {
            config.latency_max = config.tick;
            config.sync_max = Duration::ZERO;
            config.think_max = Duration::ZERO;
        });
        let [ticks, event] = reports.map(|report| lines(&report));
        for (index, (a, b)) in ticks.lines().zip(event.lines()).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {index}");
        }
    }
}

fn lines(report: &Report) -> String {
    let mut bytes = Vec::new();
    checkers::history::jsonl::write(&report.history, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What each client asked and learned, and how long that took, one client after the other.
fn by_client(report: &Report) -> Vec<(String, Duration)> {
    let mut operations: Vec<_> = report.history.operations().collect();
    operations.sort_by_key(|operation| (operation.session, operation.id));
    let shown = operations.into_iter().map(|operation| {
        let completed = operation.completed_at.unwrap_or(operation.invoked_at);
        let op = report.history.op(operation.id);
        let value = operation.value_read().map(|value| report.history.value(value).clone());
        let said = format!("{op:?} {} {value:?}", operation.is_ok());
        (said, completed.since(operation.invoked_at))
    });
    shown.collect()
}

/// Timers have a grain of a millisecond with ticks, and what they give rise to is sent in the tick that
/// comes then. Whoever asks for a leader in that last millisecond of an election may have to ask again,
/// after the pause of the store's client and the way there and back.
const ASKED_AGAIN: Duration = Duration::from_millis(60);

/// How much later clients learn on one engine than on the other what they learn on both.
struct Differ {
    /// By how much each operation does.
    later: Vec<Duration>,
    /// How many guarantees are judged on one engine only, since the run on the other has nothing in it that they are about.
    unjudged: usize,
}

impl Differ {
    fn most(&self) -> Duration {
        self.later.iter().copied().max().unwrap_or_default()
    }
}

/// Plays a mode for one client at the least latency on both engines: it asks and learns the same, and what is judged on both
/// has the same verdict.
fn differ(name: &str, system: &Arc<dyn System>, seed: u64) -> Differ {
    let none = Schedule::default();
    let plan = Plan { safety: Duration::from_secs(8), ..plan(name) };
    let [ticks, event] = on_both(system, &plan, seed, &none, |config| {
        config.tick = Duration::from_millis(1);
        config.latency_max = config.tick;
        (config.clients, config.pinned) = (1, 1);
    });
    let mut unjudged = 0;
    for (a, b) in ticks.judged.iter().zip(&event.judged) {
        assert_eq!(a.guarantee, b.guarantee, "{name} seed {seed}");
        let same = discriminant(&a.verdict) == discriminant(&b.verdict);
        let is_unknown =
            [a, b].iter().any(|judged| matches!(judged.verdict, Verdict::Unknown { .. }));
        assert!(same || is_unknown, "{name} seed {seed}: {a:?} and {b:?}");
        unjudged += usize::from(!same);
    }
    assert_eq!(anomalies(&ticks), anomalies(&event), "{name} seed {seed}");
    let same = ticks.conclusion() == event.conclusion();
    assert!(same || unjudged > 0, "{name} seed {seed}");
    // Later on, what is asked depends on how late it is: clients see to it that every node is asked for everything.
    let within = |report: &Report| {
        let end = Time::ZERO + report.config.safety;
        report.history.operations().filter(|one| one.invoked_at < end).count()
    };
    // One that had to ask again does a little less in the same time.
    let both = within(&ticks).min(within(&event));
    assert!(both > 50, "{name} seed {seed}: {both}");
    let pairs = by_client(&ticks).into_iter().zip(by_client(&event)).take(both);
    let later = pairs.map(|((said, a), (also, b))| {
        assert_eq!(said, also, "{name} seed {seed}");
        a.abs_diff(b)
    });
    Differ { later: later.collect(), unjudged }
}

#[test]
fn every_mode_does_the_same_for_one_client_and_no_later_than_timers_end() {
    for entry in SYSTEMS {
        let system: Arc<dyn System> = Arc::from((entry.build)());
        for seed in 0..6 {
            let Differ { later, unjudged } = differ(entry.name, &system, seed);
            let all: Duration = later.iter().sum();
            assert!(all < ASKED_AGAIN, "{} seed {seed}: {all:?}", entry.name);
            assert_eq!(unjudged, 0, "{} seed {seed}", entry.name);
        }
    }
}

#[test]
#[ignore = "a command: cargo test --release -p stormglass --test it -- --ignored --nocapture in_a_thousand_seeds"]
fn every_mode_does_the_same_for_one_client_in_a_thousand_seeds() {
    for entry in SYSTEMS {
        let system: Arc<dyn System> = Arc::from((entry.build)());
        let all: Vec<Differ> = (0..1000).map(|seed| differ(entry.name, &system, seed)).collect();
        let same = all.iter().filter(|differ| differ.most().is_zero()).count();
        let operations: usize = all.iter().map(|differ| differ.later.len()).sum();
        let later = all.iter().flat_map(|differ| &differ.later).filter(|later| !later.is_zero());
        let most = all.iter().map(Differ::most).max().expect("there are some");
        let unjudged: usize = all.iter().map(|differ| differ.unjudged).sum();
        println!(
            "{}: {same} of {} seeds without a difference; {} of {operations} operations take longer on one engine, by \
             {most:?} at most; {unjudged} verdicts on one engine only",
            entry.name,
            all.len(),
            later.count()
        );
        assert!(most < ASKED_AGAIN, "{}: {most:?}", entry.name);
    }
}

#[test]
fn every_plan_of_the_stock_campaign_is_judged_the_same_on_either_engine() {
    for (mut plan, system) in plans_of("stock.toml") {
        plan.engine = Choice::Event;
        for seed in 0..2 {
            let report = run(&system, &plan, Seed(seed), Options::default());
            let again =
                run(&system, &plan, Seed(seed), Options { trace: true, ..Options::default() });
            assert_eq!(report.config.engine, Engine::Event);
            assert_eq!(report.fingerprint, again.fingerprint, "{} seed {seed}", plan.name);
            let conclusion = report.conclusion();
            assert_ne!(conclusion, Conclusion::Invalid, "{} seed {seed}", plan.name);
        }
    }
}

/// The names of what a run is said to have broken.
fn anomalies(report: &Report) -> Vec<(Guarantee, String)> {
    let invalid = report.judged.iter().filter(|judged| judged.verdict.is_invalid());
    let named = invalid.flat_map(|judged| {
        judged.verdict.anomalies().iter().map(|anomaly| (judged.guarantee, anomaly.name.clone()))
    });
    let mut names: Vec<_> = named.collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn what_nodes_do_wrong_is_the_same_anomaly_on_either_engine() {
    let crash = Fault::Crash { target: Target::Node(NodeId(1)) };
    let once = schedule(&[(crash, 2000, 2100)], |_| 1);
    for (quirk, expected) in [
        (Quirk::None, None),
        (Quirk::LastWords, None),
        (Quirk::AnswersBeforeSync, Some("stale-read")),
        (Quirk::Panics, Some("node-panic")),
        (Quirk::PanicsAside, Some("node-panic")),
        (Quirk::Stops, Some("node-stopped")),
        (Quirk::Spins, Some("livelock")),
        (Quirk::Floods, Some("message-flood")),
    ] {
        let reports = on_both(&one_copy(quirk), &plan("one-copy"), 3, &once, |_| {});
        let [ticks, event] = reports.each_ref().map(anomalies);
        match expected {
            None => assert_eq!([ticks, event], [Vec::new(), Vec::new()], "{quirk:?}"),
            Some(name) => {
                let has = |found: &[(Guarantee, String)]| found.iter().any(|(_, n)| n == name);
                assert!(has(&ticks) && has(&event), "{quirk:?}: {ticks:?} {event:?}");
            }
        }
        let [ticks, event] = reports.each_ref().map(Report::conclusion);
        assert_eq!(ticks, event, "{quirk:?}");
    }
}

#[test]
fn without_ticks_a_fault_comes_at_its_nanosecond_and_takes_what_arrives_in_it() {
    let crash = Fault::Crash { target: Target::Node(NodeId(1)) };
    let mut faults = schedule(&[(crash, 2000, 4000)], |_| 1);
    faults.0[0].at = Time::from_nanos(2_000_000_123);
    faults.0[0].until = Time::from_nanos(3_999_999_999);
    let [ticks, event] = on_both(&one_copy(Quirk::None), &plan("one-copy"), 2, &faults, |_| {});
    let times = |report: &Report| {
        let faults = report.history.events().filter(|(_, event)| matches!(event, Event::Fault(_)));
        faults.map(|(at, _)| at.as_nanos()).collect::<Vec<_>>()
    };
    assert_eq!(times(&event), [2_000_000_123, 3_999_999_999]);
    assert_eq!(times(&ticks), [2_005_000_000, 4_000_000_000], "the ticks that come then");
    assert_eq!(event.effects[0].stopped, 1);
    assert!(event.counts.dropped > 0 && event.counts.info > 0, "{:?}", event.counts);
}

#[test]
fn without_ticks_a_message_takes_any_time_within_its_bounds() {
    let system = one_copy(Quirk::None);
    let report = run_with(&system, &plan("one-copy"), 1, Schedule::default(), |config| {
        config.engine = Engine::Event;
        config.latency_max = Duration::from_millis(45);
        config.sync_max = Duration::ZERO;
    });
    let took = report
        .history
        .operations()
        .filter(|operation| operation.is_ok())
        .map(|operation| operation.completed_at.unwrap().since(operation.invoked_at));
    let mut took: Vec<Duration> = took.collect();
    took.sort();
    took.dedup();
    assert!(took.len() > 200, "they differ by the nanosecond: {}", took.len());
    let millis = Duration::from_millis;
    assert!(took[0] >= millis(10) && took[took.len() - 1] <= millis(90), "{took:?}");
    assert!(took[took.len() / 2] < millis(30), "most are quick");
    assert!(took[took.len() - 1] > millis(50), "some are not");
}

/// Its first node waits by tokio's timers, alone and in tasks beside it, and holds them against its own
/// clock.
struct WaitsByTokio {
    says_so: bool,
    /// How often the tasks of the first and of the second start of the first node had something to do.
    beats: Arc<[AtomicU64; 2]>,
}

impl System for WaitsByTokio {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "waits-by-tokio".to_owned(),
            about: "waits by tokio's timers".to_owned(),
            claims: vec![(Guarantee::Live, Claim::Holds)],
            ..one_copy(Quirk::None).manifest()
        }
    }

    fn waits_by_tokio(&self) -> bool {
        self.says_so
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let beats = self.beats.clone();
        Box::pin(async move {
            if cx.id() == NodeId(1) {
                cx.spawn(beat(beats.clone(), cx.incarnation()));
                tokio::task::spawn_local(beat(beats, cx.incarnation()));
                wait_by_tokio(&cx).await;
            }
            loop {
                // Its timers end within milliseconds, and so the first node is asked within them.
                cx.sleep(Duration::from_nanos(3_141_592)).await;
                cx.send(Address::Node(NodeId(1)), b"now");
            }
        })
    }

    fn client(&self, _: ClientCx) -> Box<dyn Client> {
        Box::new(Idle)
    }
}

async fn beat(beats: Arc<[AtomicU64; 2]>, incarnation: u32) {
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        beats[incarnation as usize].fetch_add(1, Ordering::Relaxed);
    }
}

async fn wait_by_tokio(cx: &NodeCx) {
    let grain = Duration::from_millis(1);
    let mut pauses = cx.random("pauses");
    loop {
        let pause = Duration::from_nanos(pauses.below(20_000_000));
        let (world, tokio) = (cx.now(), tokio::time::Instant::now());
        tokio::time::sleep(pause).await;
        let waited = cx.now().since(world);
        assert_eq!(waited, tokio.elapsed(), "tokio's clock is not the world's");
        assert!(waited >= pause && waited <= pause + grain, "{waited:?} instead of {pause:?}");
        let world = cx.now();
        let came = tokio::time::timeout(pause, cx.recv()).await.is_ok();
        let waited = cx.now().since(world);
        assert!(came || waited >= pause && waited <= pause + grain, "{waited:?} of {pause:?}");
    }
}

/// A client that never asks.
struct Idle;

impl Client for Idle {
    fn invoke<'a>(&'a mut self, _: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Fail(Reason::Unavailable) })
    }
}

fn run_waiting(engine: Engine, says_so: bool) -> (Report, [u64; 2]) {
    let beats: Arc<[AtomicU64; 2]> = Arc::default();
    let system: Arc<dyn System> = Arc::new(WaitsByTokio { says_so, beats: beats.clone() });
    let crash = Fault::Crash { target: Target::Node(NodeId(1)) };
    let faults = schedule(&[(crash, 2000, 3000)], |_| 1);
    let report = run_with(&system, &plan("one-copy"), 1, faults, |config| {
        config.engine = engine;
        config.nodes = 3;
    });
    (report, [0, 1].map(|start: usize| beats[start].load(Ordering::Relaxed)))
}

#[test]
fn who_waits_by_tokio_is_right_about_time_and_ends_with_its_host() {
    for engine in Engine::ALL {
        let (report, [first, second]) = run_waiting(engine, true);
        let went_wrong = anomalies(&report).into_iter().any(|(_, name)| name.starts_with("node-"));
        assert!(!went_wrong, "{engine}: {:?}", report.judged);
        assert_eq!(report.effects[0].stopped, 1);
        // Two tasks, each of which has something to do once in a millisecond.
        assert!((3990..=4010).contains(&first), "{engine}: {first} in two seconds");
        assert!(second > 10_000, "{engine}: {second} after the restart");
    }
}

#[test]
fn who_says_that_it_does_not_wait_by_tokio_and_does_panics_and_is_not_late() {
    let (report, _) = run_waiting(Engine::Event, false);
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    let panic = &live.verdict.anomalies()[0];
    assert_eq!(panic.name, "node-panic");
    assert!(panic.explanation[0].contains("timers are disabled"), "{:?}", panic.explanation);
}

/// Its nodes wait for no time, again and again.
struct Restless;

impl System for Restless {
    fn manifest(&self) -> Manifest {
        one_copy(Quirk::None).manifest()
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        Box::pin(async move {
            loop {
                cx.sleep(Duration::ZERO).await;
            }
        })
    }

    fn client(&self, _: ClientCx) -> Box<dyn Client> {
        Box::new(Idle)
    }
}

#[test]
fn who_waits_for_no_time_without_end_is_a_livelock_and_not_a_hang() {
    let system: Arc<dyn System> = Arc::new(Restless);
    let report = run_with(&system, &plan("one-copy"), 1, Schedule::default(), |config| {
        config.engine = Engine::Event;
        config.nodes = 3;
    });
    let found = anomalies(&report);
    assert!(found.contains(&(Guarantee::Live, "livelock".to_owned())), "{found:?}");
}

#[test]
fn a_cluster_whose_new_member_did_not_know_that_it_was_let_in_finds_a_leader() {
    // Met on this engine: a region of one lets another one in, gives it a vote, and all are restarted.
    let mut plans = plans_of("membership.toml").into_iter();
    let (mut plan, system) = plans.find(|(plan, _)| plan.name == "multi-leader").unwrap();
    plan.engine = Choice::Event;
    let report = run(&system, &plan, Seed(9), Options::default());
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?}", report.vacuous);
}

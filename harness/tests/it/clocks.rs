//! What faults of clocks do, as seen by a system whose reads show the clock of the node that is asked.

use std::sync::Arc;
use std::time::Duration;

use checkers::history::{FaultId, NodeId, Op, OpKind, Outcome, Reason, Ret, Time, Value};
use stormglass::nemesis::{Fault, Planned, Rate, Schedule, Target};
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, System};

use crate::systems::{OPERATION, Quirk, one_copy};

/// Which clock a read shows, in milliseconds.
#[derive(Clone, Copy)]
enum Shows {
    /// The monotonic one.
    Monotonic,
    /// The wall clock, since the first reading in the run.
    Wall,
}

/// How long a node waits before it answers, by its own clock.
const WAIT_MS: u64 = 60;

/// What wall clocks show at the start of a run, in milliseconds: the begin of 2026.
const START_MS: u64 = 1_767_225_600_000;

struct Clocks(Shows);

impl System for Clocks {
    fn manifest(&self) -> Manifest {
        let (name, claims) = ("clocks".to_owned(), Vec::new());
        Manifest { name, claims, ..one_copy(Quirk::None).manifest() }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let shows = self.0;
        Box::pin(async move {
            loop {
                let message = cx.recv().await;
                let asked_cx = cx.clone();
                cx.spawn(async move {
                    asked_cx.sleep(Duration::from_millis(WAIT_MS)).await;
                    let shown = match shows {
                        Shows::Monotonic => asked_cx.now().as_nanos() / 1_000_000,
                        Shows::Wall => asked_cx.wall() / 1_000_000 - START_MS,
                    };
                    asked_cx.reply(&message, &shown.to_le_bytes());
                });
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Asker(cx))
    }
}

struct Asker(ClientCx);

impl Client for Asker {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            if op.kind() != OpKind::Read {
                return Outcome::Fail(Reason::Unsupported);
            }
            match self.0.request(self.0.home(), b"?", OPERATION).await {
                Some(answer) => {
                    let shown = i64::from_le_bytes(answer.try_into().unwrap());
                    Outcome::Ok(Ret::Value(Value::Int(shown)))
                }
                None => Outcome::Fail(Reason::Timeout),
            }
        })
    }
}

/// A reading of a node's clock.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    node: NodeId,
    /// Between these two moments of the world, in milliseconds.
    asked: i64,
    answered: i64,
    shown: i64,
}

impl Reading {
    fn is_within(&self, from: i64, until: i64) -> bool {
        from <= self.asked && self.answered <= until
    }

    /// Whether the clock showed what the world's clock did, `ahead` milliseconds added.
    fn is_ahead_by(&self, ahead: i64) -> bool {
        (self.asked + ahead..=self.answered + ahead).contains(&self.shown)
    }
}

/// Runs the system under one fault, from 2 to 4 s, and returns what its clocks showed.
fn under(shows: Shows, fault: Fault) -> (Report, Vec<Reading>) {
    let mut plan = Plan::new("test", "clocks");
    plan.nemeses.clear();
    plan.nodes = vec![3];
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(2);
    let (at, until) = (Time::from_millis(2000), Time::from_millis(4000));
    let schedule = Schedule(vec![Planned {
        id: FaultId(0),
        at,
        until,
        fault,
        salt: 1,
        after: None,
        scripted: false,
    }]);
    let options = Options { schedule: Some(schedule), ..Options::default() };
    let system: Arc<dyn System> = Arc::new(Clocks(shows));
    let report = run(&system, &plan, Seed(1), options);
    let ms = |time: Time| (time.as_nanos() / 1_000_000) as i64;
    let readings = report.history.operations().filter_map(|operation| {
        let Value::Int(shown) = report.history.value(operation.value_read()?) else { return None };
        Some(Reading {
            node: operation.node?,
            asked: ms(operation.invoked_at),
            answered: ms(operation.completed_at?),
            shown: *shown,
        })
    });
    let readings: Vec<Reading> = readings.collect();
    assert!(readings.iter().any(|reading| reading.is_within(2100, 4000)));
    assert!(readings.iter().any(|reading| reading.is_within(4000, 9000)));
    (report, readings)
}

const FIRST: Target = Target::Node(NodeId(1));

#[test]
fn a_jump_moves_the_wall_clocks_that_it_hits_and_its_end_sets_them_right() {
    for by_ms in [700, -700] {
        let (report, readings) = under(Shows::Wall, Fault::ClockJump { target: FIRST, by_ms });
        for reading in readings.iter().filter(|reading| reading.is_within(2000, 4000)) {
            let ahead = if reading.node == NodeId(1) { by_ms } else { 0 };
            assert!(reading.is_ahead_by(ahead), "{} at {}", reading.shown, reading.asked);
        }
        for reading in readings.iter().filter(|reading| !reading.is_within(1900, 4100)) {
            assert!(reading.is_ahead_by(0), "{} at {}", reading.shown, reading.asked);
        }
        assert!(report.effects[0].misread > 0);
    }
}

#[test]
fn a_jump_leaves_monotonic_clocks_alone_and_makes_no_difference_to_who_reads_no_other() {
    let jump = Fault::ClockJump { target: Target::All, by_ms: 3_600_000 };
    let (report, readings) = under(Shows::Monotonic, jump);
    assert!(readings.iter().all(|reading| reading.is_ahead_by(0)));
    assert_eq!(report.effects[0].misread, 0);
    let right = Fault::ClockJump { target: Target::All, by_ms: 0 };
    assert_eq!(readings, under(Shows::Monotonic, right).1);
}

#[test]
fn a_strobe_moves_wall_clocks_to_and_fro() {
    let every = Duration::from_millis(250);
    let strobe = Fault::ClockStrobe { target: Target::All, by_ms: 60_000, every };
    let (report, readings) = under(Shows::Wall, strobe);
    let during = || readings.iter().filter(|reading| reading.is_within(2000, 4000));
    assert!(during().any(|reading| reading.is_ahead_by(60_000)), "it never jumped");
    assert!(during().any(|reading| reading.is_ahead_by(0)), "it never came back");
    assert!(during().all(|reading| reading.is_ahead_by(60_000) || reading.is_ahead_by(0)));
    assert!(readings.iter().filter(|r| !r.is_within(1900, 4100)).all(|r| r.is_ahead_by(0)));
    assert!(report.effects[0].misread > 0);
}

#[test]
fn a_drift_makes_both_clocks_of_a_node_run_at_its_rate() {
    let rate = Rate { counts: 3, of: 2 };
    for shows in [Shows::Monotonic, Shows::Wall] {
        let (report, readings) = under(shows, Fault::ClockDrift { target: FIRST, rate });
        let of_first = |from, until| {
            let of_first = readings.iter().filter(|reading| reading.node == NodeId(1));
            of_first.filter(move |reading| reading.is_within(from, until))
        };
        for reading in of_first(2000, 4000) {
            let shows = |world: i64| 2000 + (world - 2000) * 3 / 2;
            let window = shows(reading.asked)..=shows(reading.answered);
            assert!(window.contains(&reading.shown), "{} at {}", reading.shown, reading.asked);
        }
        // What the monotonic clock has gained, it keeps; the wall clock is set right.
        let gained = if matches!(shows, Shows::Wall) { 0 } else { 1000 };
        assert!(of_first(4000, 9000).count() > 0);
        assert!(of_first(4000, 9000).all(|reading| reading.is_ahead_by(gained)));
        let mut others = readings.iter().filter(|reading| reading.node != NodeId(1));
        assert!(others.all(|reading| reading.is_ahead_by(0)));
        assert!(report.effects[0].misread > 0);
    }
}

#[test]
fn a_node_with_a_slow_clock_waits_longer_and_one_with_a_fast_clock_shorter() {
    let fastest = |rate| {
        let drift = Fault::ClockDrift { target: Target::All, rate };
        let (_, readings) = under(Shows::Monotonic, drift);
        let during = readings.iter().filter(|reading| reading.is_within(2000, 4000));
        let after = readings.iter().filter(|reading| reading.is_within(4000, 9000));
        let time = |reading: &Reading| reading.answered - reading.asked;
        (during.map(time).min().unwrap(), after.map(time).min().unwrap())
    };
    let wait = WAIT_MS as i64;
    let (during, after) = fastest(Rate { counts: 1, of: 4 });
    assert!(during >= 4 * wait && after < 2 * wait, "{during} ms, then {after} ms");
    let (during, after) = fastest(Rate { counts: 4, of: 1 });
    assert!(during < wait && after >= wait, "{during} ms, then {after} ms");
}

#[test]
fn a_sleep_ends_by_the_rate_that_comes_while_it_lasts() {
    /// A node that waits from the start of the run until its clock shows 6 s, and answers then only.
    struct Waits;
    impl System for Waits {
        fn manifest(&self) -> Manifest {
            Clocks(Shows::Monotonic).manifest()
        }

        fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
            Box::pin(async move {
                cx.sleep_until(Time::from_millis(6000)).await;
                loop {
                    let message = cx.recv().await;
                    cx.reply(&message, &0_i64.to_le_bytes());
                }
            })
        }

        fn client(&self, cx: ClientCx) -> Box<dyn Client> {
            Box::new(Asker(cx))
        }
    }
    let first_answer = |rate| {
        let mut plan = Plan::new("test", "waits");
        plan.nemeses.clear();
        let fault = Fault::ClockDrift { target: Target::All, rate };
        let (at, until) = (Time::from_millis(2000), Time::from_millis(14_000));
        let schedule = Schedule(vec![Planned {
            id: FaultId(0),
            at,
            until,
            fault,
            salt: 1,
            after: None,
            scripted: false,
        }]);
        let options = Options { schedule: Some(schedule), ..Options::default() };
        let system: Arc<dyn System> = Arc::new(Waits);
        let report = run(&system, &plan, Seed(1), options);
        let answered = report.history.operations().filter(|operation| operation.is_ok());
        answered.filter_map(|operation| operation.completed_at).min().unwrap()
    };
    let window = |at: u64| Time::from_millis(at)..Time::from_millis(at + 700);
    let fast = first_answer(Rate { counts: 4, of: 1 });
    assert!(window(3000).contains(&fast), "{fast}");
    let slow = first_answer(Rate { counts: 1, of: 2 });
    assert!(window(10_000).contains(&slow), "{slow}");
}

#[test]
fn a_schedule_with_a_clock_that_stands_still_is_refused() {
    let rate = Rate { counts: 0, of: 1 };
    let fault = Fault::ClockDrift { target: Target::One, rate };
    let planned = Planned {
        id: FaultId(0),
        at: Time::ZERO,
        until: Time::from_millis(1),
        fault,
        salt: 1,
        after: None,
        scripted: false,
    };
    let config = under(Shows::Wall, Fault::ClockJump { target: FIRST, by_ms: 1 }).0.config;
    let refusal = Schedule(vec![planned]).check(&config).unwrap_err();
    assert!(refusal.contains("0/1") && refusal.contains("1 to 1000"), "{refusal}");
}

#[test]
fn a_clock_that_stays_right_is_no_effect_of_a_fault() {
    let target = Target::All;
    for (shows, fault) in [
        (Shows::Wall, Fault::ClockJump { target, by_ms: 0 }),
        (Shows::Monotonic, Fault::ClockDrift { target, rate: Rate { counts: 3, of: 3 } }),
        (Shows::Wall, Fault::ClockDrift { target, rate: Rate { counts: 3, of: 3 } }),
    ] {
        let (report, readings) = under(shows, fault);
        assert!(readings.len() > 50, "{readings:?}");
        assert!(!report.effects[0].took_effect(), "{fault}: {:?}", report.effects);
    }
}

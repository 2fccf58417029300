//! What faults of processes do, as seen by a system whose nodes beat: each sends to the next one again and
//! again, by its own timers, and answers whoever asks with its clock, after a while. All on both engines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{FaultId, NodeId, Op, OpKind, Outcome, Reason, Ret, Value};
use stormglass::config::Config;
use stormglass::engine::Engine;
use stormglass::nemesis::{Fault, Planned, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::sim::Address;
use stormglass::system::{
    Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, Settings, System,
};

use crate::systems::{OPERATION, Quirk, one_copy, schedule};

const FIRST: Target = Target::Node(NodeId(1));
const ALL: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Every fault of these tests is on for this long, from and until in milliseconds.
const WINDOW: (u64, u64) = (2000, 4000);

/// See the module.
#[derive(Default)]
struct Beating {
    /// When the first node did something by a timer of tokio's, in a task that it has told nobody of.
    strays: Arc<Mutex<Vec<u64>>>,
    /// How many beats a node sends at once.
    at_once: usize,
}

const BEAT: Duration = Duration::from_millis(20);
const BEAT_BYTES: usize = 1000;

impl System for Beating {
    fn manifest(&self) -> Manifest {
        let (name, claims) = ("beating".to_owned(), Vec::new());
        Manifest { name, claims, ..one_copy(Quirk::None).manifest() }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let (strays, at_once) = (self.strays.clone(), self.at_once.max(1));
        Box::pin(async move {
            if cx.id() == NodeId(1) {
                tokio::task::spawn_local(stray(cx.clone(), strays));
            }
            cx.spawn(beat(cx.clone(), at_once));
            loop {
                let message = cx.recv().await;
                let Address::Client(_) = message.from else { continue };
                let asked = cx.clone();
                cx.spawn(async move {
                    asked.sleep(BEAT).await;
                    let shown = [asked.now().as_nanos(), asked.incarnation().into()];
                    let shown = shown.map(u64::to_le_bytes);
                    asked.reply(&message, &shown.concat());
                });
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Asker(cx))
    }
}

async fn stray(cx: NodeCx, strays: Arc<Mutex<Vec<u64>>>) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        strays.lock().unwrap().push(cx.now().as_nanos() / 1_000_000);
    }
}

async fn beat(cx: NodeCx, at_once: usize) {
    let next = ALL[cx.id().index() % ALL.len()];
    loop {
        cx.sleep(BEAT).await;
        for _ in 0..at_once {
            cx.send(Address::Node(next), &[7; BEAT_BYTES]);
        }
    }
}

/// Reads the clock of its home, and how often that was started: a thousand starts are a second.
struct Asker(ClientCx);

impl Client for Asker {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            if op.kind() != OpKind::Read {
                return Outcome::Fail(Reason::Unsupported);
            }
            let Some(answer) = self.0.request(self.0.home(), b"?", OPERATION).await else {
                return Outcome::Fail(Reason::Timeout);
            };
            let (clock, starts) = answer.split_at(8);
            let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
            let shown = number(clock) / 1_000_000 * 1000 + number(starts);
            Outcome::Ok(Ret::Value(Value::Int(shown)))
        })
    }
}

/// What a client learned of a node: times in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    node: NodeId,
    asked: i64,
    answered: i64,
    clock: i64,
    starts: i64,
}

fn readings(report: &Report) -> Vec<Reading> {
    let read = report.history.operations().filter_map(|operation| {
        let Value::Int(shown) = report.history.value(operation.value_read()?) else { return None };
        let ms = |time: checkers::history::Time| (time.as_nanos() / 1_000_000) as i64;
        Some(Reading {
            node: operation.node?,
            asked: ms(operation.invoked_at),
            answered: ms(operation.completed_at?),
            clock: shown / 1000,
            starts: shown % 1000,
        })
    });
    read.collect()
}

fn short(system: &str) -> Plan {
    let mut plan = Plan::new("test", system);
    plan.nemeses.clear();
    plan.nodes = vec![3];
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(2);
    plan
}

/// Runs a system under faults on one engine.
fn on(engine: Engine, system: &Arc<dyn System>, plan: &Plan, faults: Schedule) -> Report {
    let mut config = Config::draw(plan, &system.manifest(), Seed(1));
    config.engine = engine;
    let options =
        Options { config: Some(config), schedule: Some(faults), trace: true, ..Options::default() };
    run(system, plan, Seed(1), options)
}

/// Runs nodes that beat under one fault, on one engine; with when stray tasks of the first did something.
fn under(engine: Engine, fault: Fault, at_once: usize) -> (Report, Vec<u64>) {
    let beating = Beating { at_once, ..Beating::default() };
    let strays = beating.strays.clone();
    let system: Arc<dyn System> = Arc::new(beating);
    let faults = schedule(&[(fault, WINDOW.0, WINDOW.1)], |_| 1);
    let report = on(engine, &system, &short("beating"), faults);
    let strays = strays.lock().unwrap().clone();
    (report, strays)
}

/// When something was noted of a node in the trace, in milliseconds.
fn noted(report: &Report, node: &str, what: &str) -> Vec<u64> {
    let trace = report.trace.as_ref().unwrap().iter();
    let at_it = trace.filter(|event| event.place.to_string() == node);
    let noted = at_it.filter(|event| event.what.to_string().starts_with(what));
    noted.map(|event| event.at.as_nanos() / 1_000_000).collect()
}

fn is_within(at: u64) -> bool {
    // Of what is under way at a tick, nobody is kept.
    (WINDOW.0 + 6..WINDOW.1).contains(&at)
}

#[test]
fn a_node_that_stands_still_does_nothing_and_goes_on_where_it_was() {
    for engine in Engine::ALL {
        let (report, strays) = under(engine, Fault::Pause { target: FIRST }, 1);
        let sent = noted(&report, "n1", "to ");
        assert!(!sent.iter().any(|at| is_within(*at)), "{engine}: it spoke");
        let first = sent.iter().find(|at| **at >= WINDOW.1).unwrap();
        assert!(*first < WINDOW.1 + 20, "{engine}: {first}, a timer that was due did not end");
        assert!(sent.iter().filter(|at| **at > 5000).count() > 100, "{engine}: no service");
        assert!(!strays.iter().any(|at| is_within(*at)), "{engine}: a stray task went on");
        assert!(strays.iter().any(|at| *at < 2000) && strays.iter().any(|at| *at > 4000));
        let of_first = || readings(&report).into_iter().filter(|reading| reading.node == ALL[0]);
        assert!(of_first().all(|reading| reading.starts == 0), "{engine}: it was started anew");
        // Who asked shortly before the end is answered after it, by a clock that has gone on.
        let waited = of_first().find(|reading| is_within(reading.asked as u64)).unwrap();
        assert!(waited.answered >= 4020 && waited.clock >= 4020, "{engine}: {waited:?}");
        let right = |reading: &Reading| (reading.asked..=reading.answered).contains(&reading.clock);
        assert!(of_first().all(|reading| right(&reading)), "{engine}: a clock is wrong");
        let effect = &report.effects[0];
        assert!(effect.delayed > 50 && effect.stopped == 0, "{engine}: {effect:?}");
        assert!(effect.halted_ns.abs_diff(2_000_000_000) <= 5_000_000, "{engine}: {effect:?}");
        assert!(report.vacuous.iter().all(|reason| !reason.contains("fault")), "{engine}");
    }
}

#[test]
fn of_what_is_sent_to_a_node_that_stands_still_as_much_waits_as_a_socket_holds() {
    for engine in Engine::ALL {
        let (report, _) = under(engine, Fault::Pause { target: FIRST }, 10);
        let effect = &report.effects[0];
        // Ten beats of 1000 bytes, a hundred times.
        let holds = 212_992 / (BEAT_BYTES as u64 + 768) + 1;
        let sent = effect.delayed + effect.dropped;
        assert!(effect.delayed.abs_diff(holds) <= 10, "{engine}: {effect:?}");
        assert!((980..1200).contains(&sent), "{engine}: {sent} in all");
        assert!(report.counts.dropped >= effect.dropped, "{engine}");
    }
}

#[test]
fn a_pause_ends_with_the_process_that_it_has_stopped() {
    let crash = Fault::Crash { target: FIRST };
    let faults = [(Fault::Pause { target: FIRST }, 2000, 5000), (crash, 3000, 3500)];
    for engine in Engine::ALL {
        let system: Arc<dyn System> = Arc::new(Beating::default());
        let report = on(engine, &system, &short("beating"), schedule(&faults, |_| 1));
        let sent = noted(&report, "n1", "to ");
        assert!(!sent.iter().any(|at| (2006..3500).contains(at)), "{engine}");
        assert!(sent.iter().any(|at| (3500..3600).contains(at)), "{engine}: it stands still yet");
    }
}

#[test]
fn a_kill_takes_memory_and_spares_what_was_written_and_not_synced() {
    let faults = schedule(&[(Fault::Kill { target: FIRST }, 2000, 2300)], |_| 1);
    for engine in Engine::ALL {
        let judged = |quirk| {
            let report = on(engine, &one_copy(quirk), &short("one-copy"), faults.clone());
            let effect = &report.effects[0];
            assert_eq!((effect.stopped, effect.lost_bytes), (1, 0), "{engine}");
            assert!(effect.halted_ns.abs_diff(300_000_000) <= 5_000_000, "{engine}: {effect:?}");
            assert_eq!(noted(&report, "n1", "starts").len(), 1, "{engine}");
            report.conclusion()
        };
        assert_eq!(judged(Quirk::AnswersBeforeSync), Conclusion::Valid, "{engine}");
        assert_eq!(judged(Quirk::Forgets), Conclusion::Invalid, "{engine}");
        assert_eq!(judged(Quirk::LastWords), Conclusion::Valid, "{engine}");
    }
}

#[test]
fn what_a_kill_has_spared_is_lost_with_the_power_all_the_same() {
    // So many keys that most of them are at rest by then.
    let mut plan = short("one-copy");
    plan.keys = [40, 40];
    let kill = Fault::Kill { target: FIRST };
    let faults = [(kill, 5600, 5650), (Fault::Crash { target: FIRST }, 5700, 5750)];
    for engine in Engine::ALL {
        let system = one_copy(Quirk::AnswersBeforeSync);
        let report = on(engine, &system, &plan, schedule(&faults, |_| 1));
        assert!(report.effects[1].lost_bytes > 0, "{engine}: {:?}", report.effects);
        assert_eq!(report.conclusion(), Conclusion::Invalid, "{engine}");
    }
}

#[test]
fn everything_takes_longer_on_a_slow_node_and_no_longer_than_before_when_it_is_over() {
    let cost = Duration::from_millis(150);
    for engine in Engine::ALL {
        let (report, _) = under(engine, Fault::Slow { target: FIRST, cost }, 1);
        let took = |from, until, node| {
            let all = readings(&report).into_iter();
            let some = all.filter(move |one| one.asked >= from && one.answered <= until);
            some.filter(move |one| one.node == node).map(|one| one.answered - one.asked).min()
        };
        // Two beats arrive while it is busy with one, and so most of those who ask are not answered.
        let slow = took(2050, 4000, ALL[0]);
        assert!(slow.is_none_or(|took| took > 150), "{engine}: {slow:?}");
        assert!(took(0, 2000, ALL[0]).unwrap() < 150, "{engine}");
        assert!(took(4500, 9000, ALL[0]).unwrap() < 150, "{engine}: it is slow still");
        assert!(took(2050, 4000, ALL[1]).unwrap() < 150, "{engine}: the wrong one");
        assert!(report.effects[0].delayed > 50, "{engine}: {:?}", report.effects[0]);
    }
}

#[test]
fn a_sync_takes_longer_on_a_slow_node() {
    let cost = Duration::from_millis(60);
    let faults = schedule(&[(Fault::Slow { target: FIRST, cost }, 2000, 4000)], |_| 1);
    for engine in Engine::ALL {
        let mut plan = short("one-copy");
        plan.clients = [1, 1];
        let report = on(engine, &one_copy(Quirk::None), &plan, faults.clone());
        let fastest = |from, until, kind| {
            let all = report
                .history
                .operations()
                .filter(|operation| operation.op.kind() == kind && operation.is_ok());
            let took = all.filter_map(|operation| {
                let ms = |time: checkers::history::Time| time.as_nanos() / 1_000_000;
                let (asked, answered) = (ms(operation.invoked_at), ms(operation.completed_at?));
                (asked >= from && answered <= until).then_some(answered - asked)
            });
            took.min().unwrap()
        };
        // A write is synced twice: the file and its name.
        let (write, read) = (OpKind::Write, OpKind::Read);
        assert!(fastest(2000, 4000, write) >= 120, "{engine}");
        assert!(fastest(2000, 4000, read) < 120 && fastest(4200, 8000, write) < 120, "{engine}");
        assert_eq!(report.conclusion(), Conclusion::Valid, "{engine}: {:?}", report.vacuous);
    }
}

#[test]
fn a_rolling_restart_takes_one_node_after_the_other_and_leaves_none_down() {
    let (down, apart) = (Duration::from_millis(200), Duration::from_millis(100));
    let roll = Fault::RollingRestart { down, apart };
    for engine in Engine::ALL {
        let (report, _) = under(engine, roll, 1);
        let mut begin = WINDOW.0;
        for node in ["n1", "n2", "n3"] {
            let (killed, started) =
                (noted(&report, node, "is killed"), noted(&report, node, "starts"));
            assert!(killed.len() == 1 && killed[0].abs_diff(begin) <= 15, "{engine}: {killed:?}");
            assert!(started[0].abs_diff(begin + 200) <= 15, "{engine}: {started:?}");
            begin = started[0] + 100;
        }
        assert_eq!((report.effects[0].stopped, &*report.effects[0].what), (3, "n1 n2 n3"));
        assert!(report.effects[0].halted_ns.abs_diff(600_000_000) <= 15_000_000, "{engine}");
        let after = readings(&report).into_iter().filter(|reading| reading.asked > 3000);
        assert!(after.clone().all(|reading| reading.starts == 1), "{engine}: not started anew");
        assert!(ALL.iter().all(|node| after.clone().any(|reading| reading.node == *node)));
    }
}

#[test]
fn a_rolling_restart_that_is_cut_short_starts_the_node_that_is_down() {
    let (down, apart) = (Duration::from_millis(1500), Duration::from_millis(100));
    for engine in Engine::ALL {
        let (report, _) = under(engine, Fault::RollingRestart { down, apart }, 1);
        assert_eq!(&*report.effects[0].what, "n1 n2", "{engine}");
        let started = noted(&report, "n2", "starts");
        assert!(started.len() == 1 && started[0].abs_diff(4000) <= 5, "{engine}: {started:?}");
    }
}

#[test]
fn a_majority_of_which_nobody_stands_still_must_get_something_done() {
    for engine in Engine::ALL {
        let available = |fault| {
            let faults = schedule(&[(fault, 2000, 4500)], |_| 1);
            let report = on(engine, &one_copy(Quirk::None), &short("one-copy"), faults);
            let mut judged = report.judged.into_iter();
            judged.find(|judged| judged.guarantee == Guarantee::Available).unwrap().verdict
        };
        // The first node has the only copy, so the two others get nothing done.
        assert!(available(Fault::Pause { target: FIRST }).is_invalid(), "{engine}");
        assert!(available(Fault::Kill { target: FIRST }).is_invalid(), "{engine}");
        assert!(available(Fault::Pause { target: Target::Majority }).is_valid(), "{engine}");
        assert!(available(Fault::Kill { target: Target::All }).is_valid(), "{engine}");
        let cost = Duration::from_secs(1);
        assert!(available(Fault::Slow { target: FIRST, cost }).is_valid(), "{engine}");
    }
}

#[test]
fn a_fault_that_found_everybody_halted_is_not_held_against_the_run() {
    let isolate = Fault::Partition { shape: Shape::Isolate { target: FIRST } };
    let pause = Fault::Pause { target: FIRST };
    let reasons = |faults: &[(Fault, u64, u64)]| {
        let system: Arc<dyn System> = Arc::new(Beating::default());
        on(Engine::Event, &system, &short("beating"), schedule(faults, |_| 1)).vacuous
    };
    let overlapping = reasons(&[(isolate, 1900, 4100), (pause, 2000, 2010)]);
    assert!(!overlapping.iter().any(|reason| reason.contains("fault 1")), "{overlapping:?}");
    let nobody = Fault::Pause { target: Target::Node(NodeId(9)) };
    let alone = reasons(&[(nobody, 2000, 2010)]);
    assert!(alone.iter().any(|reason| reason.contains("made no difference")), "{alone:?}");
}

#[test]
fn a_leader_that_wakes_is_told_that_it_leads_no_longer_before_it_answers_a_read() {
    let raft = SYSTEMS.iter().find(|entry| entry.name == "raft").unwrap();
    for reads in ["read-index", "lease", "follower"] {
        let settings: Settings = format!("reads = \"{reads}\"").parse().unwrap();
        let system: Arc<dyn System> = Arc::from(raft.configured(&settings).unwrap());
        let mut plan = short("raft");
        plan.keys = [1, 2];
        plan.safety = Duration::from_secs(10);
        let pause = Fault::Pause { target: Target::Leader };
        let faults = schedule(&[(pause, 4000, 5400), (pause, 7000, 8200)], |_| 1);
        for engine in Engine::ALL {
            let report = on(engine, &system, &plan, faults.clone());
            assert_eq!(report.conclusion(), Conclusion::Valid, "{reads} on {engine}");
            let leads = ["n1", "n2", "n3"].map(|node| noted(&report, node, "is leader"));
            let meanwhile = leads.iter().flatten().filter(|at| (4000..5400).contains(*at));
            assert!(meanwhile.count() > 0, "{reads} on {engine}: nobody else was elected");
        }
    }
}

#[test]
fn a_schedule_with_a_node_that_is_busy_for_hours_is_refused() {
    let long = Duration::from_secs(7200);
    let config = under(Engine::Event, Fault::Pause { target: FIRST }, 1).0.config;
    for (fault, words) in [
        (Fault::Slow { target: FIRST, cost: long }, "keeps nodes busy for 7200s, and 1s"),
        (Fault::RollingRestart { down: long, apart: long }, "waits for 7200s, and 3600s"),
    ] {
        let at = checkers::history::Time::from_millis(1);
        let planned =
            Planned { id: FaultId(0), at, until: at, fault, salt: 1, after: None, scripted: false };
        let refusal = Schedule(vec![planned]).check(&config).unwrap_err();
        assert!(refusal.contains(words), "{refusal}");
    }
}

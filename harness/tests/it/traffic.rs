//! What faults do to messages, as seen by a system that sends one after the other and writes down what
//! arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{NodeId, Op, Outcome, Reason, Ret, Time, Value};
use stormglass::config::Config;
use stormglass::engine::{Choice, Engine};
use stormglass::nemesis::{Fault, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Effect, Options, Report, run};
use stormglass::seed::{Ratio, Seed};
use stormglass::sim::Address;
use stormglass::system::{Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, System};

use crate::systems::{OPERATION, Quirk, one_copy, plans_of, schedule};

/// How long it is from one beat to the next, in milliseconds.
const BEAT_MS: u64 = 10;
/// How long a message takes that nothing holds up.
const LATENCY_MS: u64 = 5;
/// How long a beat is, in bytes.
const BEAT_BYTES: usize = 100;
/// From when to when the fault of a test lasts, in milliseconds.
const FAULT_MS: (u64, u64) = (2_000, 4_000);

/// The first node sends beats to the second one, which writes down what arrives. All answer clients.
struct Beats(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    /// When each beat was sent and when it arrived, in milliseconds, in the order of arrivals.
    beats: Vec<(u64, u64)>,
    /// When requests arrived, in milliseconds.
    requests: Vec<u64>,
}

impl System for Beats {
    fn manifest(&self) -> Manifest {
        let (name, claims) = ("beats".to_owned(), Vec::new());
        Manifest { name, claims, ..one_copy(Quirk::None).manifest() }
    }

    fn waits_by_tokio(&self) -> bool {
        false
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let noted = self.0.clone();
        Box::pin(async move {
            if cx.id() == NodeId(1) {
                cx.spawn(beat(cx.clone()));
            }
            loop {
                let message = cx.recv().await;
                let now = cx.now().as_nanos() / 1_000_000;
                if let Address::Client(_) = message.from {
                    noted.lock().unwrap().requests.push(now);
                    cx.reply(&message, &message.bytes);
                } else {
                    let sent = u64::from_le_bytes(*message.bytes.first_chunk().unwrap());
                    noted.lock().unwrap().beats.push((sent, now));
                }
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Asker { cx, asked: 0 })
    }
}

async fn beat(cx: NodeCx) {
    for count in 1.. {
        cx.sleep_until(Time::from_millis(count * BEAT_MS)).await;
        let mut bytes = vec![0; BEAT_BYTES];
        bytes[..8].copy_from_slice(&(count * BEAT_MS).to_le_bytes());
        cx.send(Address::Node(NodeId(2)), &bytes);
    }
}

/// Asks the first node, whose answers repeat the question, and shows whether the answer was the one to it.
struct Asker {
    cx: ClientCx,
    asked: u64,
}

impl Client for Asker {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            if !matches!(op, Op::Read { .. }) {
                return Outcome::Fail(Reason::Unsupported);
            }
            self.asked += 1;
            let question = self.asked.to_le_bytes();
            match self.cx.request(NodeId(1), &question, OPERATION).await {
                Some(answer) => Outcome::Ok(Ret::Value(Value::Int(i64::from(answer == question)))),
                None => Outcome::Fail(Reason::Timeout),
            }
        })
    }
}

fn plan(system: &str) -> Plan {
    let mut plan = Plan::new("test", system);
    plan.nemeses.clear();
    plan.nodes = vec![3];
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(2);
    plan
}

/// What came of a run under one fault.
struct Seen {
    engine: Engine,
    report: Report,
    beats: Vec<(u64, u64)>,
    requests: Vec<u64>,
}

/// Runs the system under a fault, on each engine.
fn under(fault: Fault) -> [Seen; 2] {
    Engine::ALL.map(|engine| {
        let noted: Arc<Mutex<Noted>> = Arc::default();
        let system: Arc<dyn System> = Arc::new(Beats(noted.clone()));
        let plan = plan("beats");
        let mut config = Config::draw(&plan, &system.manifest(), Seed(1));
        config.engine = engine;
        config.tick = Duration::from_millis(LATENCY_MS);
        config.latency_max = config.tick;
        let schedule = Some(schedule(&[(fault, FAULT_MS.0, FAULT_MS.1)], |_| 1));
        let options = Options { config: Some(config), schedule, ..Options::default() };
        let report = run(&system, &plan, Seed(1), options);
        let Noted { beats, requests } = std::mem::take(&mut *noted.lock().unwrap());
        let seen = Seen { engine, report, beats, requests };
        seen.is_undisturbed_outside();
        seen
    })
}

impl Seen {
    fn effect(&self) -> &Effect {
        &self.report.effects[0]
    }

    /// The arrivals of each beat that was sent while the fault lasted.
    fn during(&self) -> BTreeMap<u64, Vec<u64>> {
        let beats = (FAULT_MS.0..FAULT_MS.1).step_by(BEAT_MS as usize).skip(1);
        let arrivals = beats.map(|sent| {
            let of_it = self.beats.iter().filter(|(beat, _)| *beat == sent);
            (sent, of_it.map(|(_, arrived)| *arrived).collect())
        });
        arrivals.collect()
    }

    /// Asserts that beats which were sent before the fault, or after it, arrive once and on time, and that
    /// clients are served again when it is over.
    fn is_undisturbed_outside(&self) {
        for sent in (BEAT_MS..FAULT_MS.0 - BEAT_MS).chain(FAULT_MS.1 + BEAT_MS..7_000) {
            if sent % BEAT_MS == 0 {
                let of_it = self.beats.iter().filter(|(beat, _)| *beat == sent);
                let late: Vec<u64> = of_it.map(|(_, arrived)| arrived - sent).collect();
                assert_eq!(late.len(), 1, "{}: the beat of {sent} ms", self.engine);
                assert!(late[0] <= 2 * LATENCY_MS, "{}: {sent} ms", self.engine);
            }
        }
        let healed = Time::from_millis(FAULT_MS.1);
        let mut after = self.report.history.operations().filter(|one| one.invoked_at > healed);
        assert!(after.any(|one| one.is_ok()), "{}: nobody is served any more", self.engine);
    }
}

const MUTE: Shape = Shape::Mute { target: Target::Node(NodeId(1)) };

#[test]
fn a_lossy_link_loses_as_many_messages_as_its_chance_says_and_none_when_it_is_over() {
    for seen in under(Fault::Loss { shape: MUTE, chance: Ratio::new(1, 4) }) {
        let lost = seen.during().values().filter(|arrivals| arrivals.is_empty()).count();
        assert!((30..70).contains(&lost), "{}: {lost} of 199", seen.engine);
        assert!((lost..=lost + 2).contains(&(seen.effect().dropped as usize)));
    }
}

#[test]
fn copies_arrive_besides_their_messages_up_to_so_much_later() {
    let latest = Duration::from_millis(1_500);
    for seen in under(Fault::Duplicate { shape: MUTE, chance: Ratio::new(1, 2), latest }) {
        let during = seen.during();
        let copies: usize = during.values().map(|arrivals| arrivals.len() - 1).sum();
        assert!((100..180).contains(&copies), "{}: {copies}", seen.engine);
        assert!((copies..=copies + 6).contains(&(seen.effect().copied as usize)));
        for (sent, arrivals) in during {
            assert!(arrivals[0] <= sent + 2 * LATENCY_MS, "the first is on time");
            let last = arrivals.last().unwrap() - sent;
            assert!(last <= 1_500 + 2 * LATENCY_MS, "{}: {last}", seen.engine);
        }
        assert!(seen.beats.iter().any(|(sent, arrived)| arrived - sent > 1_000));
    }
}

#[test]
fn a_second_answer_is_not_taken_for_that_to_the_next_question() {
    let (shape, latest) = (Shape::Everywhere {}, Duration::from_millis(400));
    for seen in under(Fault::Duplicate { shape, chance: Ratio::new(1, 1), latest }) {
        let mut asked = 0;
        for operation in seen.report.history.operations().filter(|one| one.is_ok()) {
            let value = seen.report.history.value(operation.value_read().unwrap());
            assert_eq!(*value, Value::Int(1), "{} at {}", seen.engine, operation.invoked_at);
            asked += 1;
        }
        assert!(seen.requests.len() > asked + 20, "{}: the node is asked again", seen.engine);
    }
}

#[test]
fn a_store_that_does_again_what_it_is_asked_again_is_found_out() {
    // A write that comes a second time undoes what another client has written since.
    let (shape, latest) = (Shape::Everywhere {}, Duration::from_millis(900));
    let duplicate = Fault::Duplicate { shape, chance: Ratio::new(1, 1), latest };
    for engine in Engine::ALL {
        let (system, plan) = (one_copy(Quirk::None), plan("one-copy"));
        let mut config = Config::draw(&plan, &system.manifest(), Seed(1));
        config.engine = engine;
        let schedule = Some(schedule(&[(duplicate, FAULT_MS.0, FAULT_MS.1)], |_| 1));
        let options = Options { config: Some(config), schedule, ..Options::default() };
        let report = run(&system, &plan, Seed(1), options);
        let mut judged = report.judged.iter();
        let found = judged.find(|judged| judged.guarantee == Guarantee::Linearizable).unwrap();
        assert!(found.verdict.is_invalid(), "{engine}: {:?}", found.verdict);
    }
}

#[test]
fn messages_that_are_on_time_overtake_some_that_are_not() {
    let longest = Duration::from_millis(500);
    for seen in under(Fault::Reorder { shape: MUTE, chance: Ratio::new(1, 4), longest }) {
        let late = |(sent, arrivals): &(&u64, &Vec<u64>)| arrivals[0] > *sent + 2 * LATENCY_MS;
        let during = seen.during();
        let late = during.iter().filter(late).count();
        assert!((25..70).contains(&late), "{}: {late} of 199", seen.engine);
        assert!(seen.effect().delayed as usize >= late && seen.effect().dropped == 0);
        let overtaken = seen.beats.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
        assert!(overtaken > 20, "{}: {overtaken}", seen.engine);
    }
}

#[test]
fn what_a_spike_holds_up_arrives_together_at_its_end() {
    for seen in under(Fault::DelaySpike { shape: MUTE }) {
        for (sent, arrivals) in seen.during() {
            let expected = FAULT_MS.1..=FAULT_MS.1 + 2 * LATENCY_MS;
            assert!(arrivals.iter().all(|at| expected.contains(at)), "{sent}: {arrivals:?}");
            assert_eq!(arrivals.len(), 1, "{}: {sent}", seen.engine);
        }
        assert!(seen.effect().delayed >= 199);
    }
}

#[test]
fn a_flapping_link_is_cut_and_whole_in_turns() {
    let every = Duration::from_millis(200);
    for seen in under(Fault::Flap { shape: MUTE, every }) {
        for (sent, arrivals) in seen.during() {
            let turn = (sent - FAULT_MS.0) % 400;
            // Whoever is under way when a turn ends may be lost or not.
            if (10..190).contains(&turn) {
                assert!(arrivals.is_empty(), "{}: {sent} in a cut", seen.engine);
            } else if (210..390).contains(&turn) {
                assert_eq!(arrivals.len(), 1, "{}: {sent} in a pause", seen.engine);
            }
        }
        assert_eq!(seen.effect().flapped, 5);
        assert!(seen.effect().dropped >= 80);
    }
}

#[test]
fn a_narrow_link_makes_messages_wait_and_loses_those_that_find_no_room() {
    let (bytes_a_second, queue_bytes) = (2_000, 500);
    for seen in under(Fault::Bandwidth { shape: MUTE, bytes_a_second, queue_bytes }) {
        let during = seen.during();
        let arrivals: Vec<u64> = during.values().flatten().copied().collect();
        assert!((38..=46).contains(&arrivals.len()), "{}: {}", seen.engine, arrivals.len());
        // What still waits when the link is wide again arrives then.
        let narrow = arrivals.partition_point(|at| *at < FAULT_MS.1);
        let apart = |pair: &[u64]| pair[1] >= pair[0] + 50 - 2 * LATENCY_MS;
        assert!(arrivals[..narrow].windows(2).all(apart), "{}: {arrivals:?}", seen.engine);
        assert!(arrivals[narrow..].iter().all(|at| *at <= FAULT_MS.1 + 2 * LATENCY_MS));
        let longest =
            during.iter().flat_map(|(sent, arrivals)| arrivals.iter().map(move |at| at - sent));
        let longest = longest.max().unwrap();
        assert!((200..=310).contains(&longest), "{}: {longest}", seen.engine);
        assert!(seen.effect().dropped >= 150 && seen.effect().delayed >= 38);
    }
}

#[test]
fn clients_that_are_cut_off_are_not_served_and_nodes_hear_each_other_all_the_same() {
    let target = Target::Node(NodeId(1));
    for (shape, hears) in [
        (Shape::Clients { target }, false),
        (Shape::Requests { target }, false),
        (Shape::Answers { target }, true),
    ] {
        let fault = Fault::Partition { shape };
        assert_eq!(fault.kind(), "client-cut");
        for seen in under(fault) {
            assert!(seen.during().values().all(|arrivals| arrivals.len() == 1));
            let effect = seen.effect();
            assert_eq!(effect.ok_during, 0, "{} {shape}", seen.engine);
            assert!(effect.dropped > 0, "{} {shape}", seen.engine);
            let mut asked = seen.requests.iter();
            let heard = asked.any(|at| (FAULT_MS.0 + 50..FAULT_MS.1).contains(at));
            assert_eq!(heard, hears, "{} {shape}", seen.engine);
        }
    }
}

#[test]
fn a_cluster_from_whose_leader_clients_are_cut_off_is_to_be_available_at_its_other_nodes() {
    let raft = SYSTEMS.iter().find(|entry| entry.name == "raft").unwrap();
    let system: Arc<dyn System> = Arc::from((raft.build)());
    let mut plan = plan("raft");
    plan.safety = Duration::from_secs(12);
    let cut = Fault::Partition { shape: Shape::Clients { target: Target::Leader } };
    let all = Fault::Partition { shape: Shape::Clients { target: Target::All } };
    for engine in Engine::ALL {
        let mut config = Config::draw(&plan, &system.manifest(), Seed(2));
        config.engine = engine;
        let schedule = Some(schedule(&[(cut, 4_000, 7_000), (all, 8_000, 11_000)], |_| 1));
        let options = Options { config: Some(config), schedule, ..Options::default() };
        let report = run(&system, &plan, Seed(2), options);
        let [one, every] = &report.effects[..] else { panic!("two faults") };
        assert!(one.ok_during > 20 && every.ok_during == 0, "{:?}", report.effects);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{:?}", report.vacuous);
    }
}

fn is_as_claimed(plan: &Plan, system: &Arc<dyn System>, seed: u64) {
    let report = run(system, plan, Seed(seed), Options::default());
    let (name, said) = (&plan.name, (&report.judged, &report.vacuous));
    assert_eq!(report.conclusion(), Conclusion::Valid, "{name} seed {seed}: {said:?}");
}

#[test]
fn every_mode_keeps_what_it_claims_on_a_network_that_does_all_that_a_network_can_do() {
    for (mut plan, system) in plans_of("network.toml") {
        for (seed, engine) in [(4, Choice::Event), (17, Choice::Turmoil)] {
            plan.engine = engine;
            is_as_claimed(&plan, &system, seed);
        }
    }
}

#[test]
fn what_was_once_broken_on_such_a_network_is_kept() {
    let late = ["partition", "delay", "reorder", "delay-spike"];
    let with_crashes = ["partition", "crash", "restart", "loss", "duplicate", "reorder"];
    for (name, nemeses, seeds) in [
        // Changes that had been turned down came again, and were made.
        ("raft", None, &[30][..]),
        ("raft-queue", None, &[6]),
        ("primary-sync", None, &[8]),
        // A round of an earlier term of the leader, late, stood in the way of all that came then.
        ("raft-lease", Some(&late[..]), &[82]),
        // A node made a change, was restarted, and did not know the session of the second copy.
        ("leaderless-siblings", Some(&with_crashes[..]), &[112, 116, 117, 138]),
    ] {
        let mut plans = plans_of("network.toml").into_iter();
        let (mut plan, system) = plans.find(|(plan, _)| plan.name == name).unwrap();
        plan.engine = Choice::Event;
        if let Some(nemeses) = nemeses {
            plan.nemeses = nemeses.iter().map(|name| (*name).to_owned()).collect();
        }
        seeds.iter().for_each(|seed| is_as_claimed(&plan, &system, *seed));
    }
}

#[test]
fn a_schedule_with_faults_that_cannot_be_is_refused_and_one_that_can_is_read_as_it_was_written() {
    let (shape, chance) = (Shape::Everywhere {}, Ratio::new(1, 3));
    let (day, zero) = (Duration::from_secs(86_400), Duration::ZERO);
    let second = Duration::from_secs(1);
    let config = Config::draw(&plan("one-copy"), &one_copy(Quirk::None).manifest(), Seed(1));
    let possible = [
        Fault::Loss { shape, chance },
        Fault::Duplicate { shape, chance, latest: second },
        Fault::Reorder { shape, chance, longest: second },
        Fault::DelaySpike { shape },
        Fault::Flap { shape, every: second },
        Fault::Bandwidth { shape, bytes_a_second: 1_000, queue_bytes: 0 },
        Fault::Partition { shape: Shape::Answers { target: Target::All } },
    ];
    let written = schedule(&possible.map(|fault| (fault, 1_000, 2_000)), |salt| salt);
    let text = serde_json::to_string(&written).unwrap();
    let read: Schedule = serde_json::from_str(&text).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.check(&config), Ok(()));
    let refused =
        |fault: Fault| schedule(&[(fault, 1_000, 2_000)], |_| 1).check(&config).unwrap_err();
    for (fault, words) in [
        (Fault::Duplicate { shape, chance, latest: day }, "delays by up to 86400s"),
        (Fault::Reorder { shape, chance, longest: day }, "delays by up to 86400s"),
        (Fault::Flap { shape, every: zero }, "flaps every 0ns"),
        (Fault::Bandwidth { shape, bytes_a_second: 0, queue_bytes: 1 }, "carries 0 bytes a second"),
        (Fault::Bandwidth { shape, bytes_a_second: 100, queue_bytes: u32::MAX }, "the most"),
    ] {
        let refusal = refused(fault);
        assert!(refusal.contains("fault 0") && refusal.contains(words), "{refusal}");
    }
    for share in ["{\"times\":3,\"of\":2}", "{\"times\":0,\"of\":0}"] {
        let hostile = text.replace("{\"times\":1,\"of\":3}", share);
        let read: Schedule = serde_json::from_str(&hostile).unwrap();
        let refusal = read.check(&config).unwrap_err();
        assert!(refusal.contains("is no share"), "{refusal}");
    }
}

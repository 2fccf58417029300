//! Runs that go over to another seed, and from when on most of them fail.

use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{Op, ReadLevel, Time, Value, jsonl};
use stormglass::config::{Config, Reseed};
use stormglass::engine::Choice;
use stormglass::nemesis::Schedule;
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::shrink::Failure;
use stormglass::store::{Store, load_record};
use stormglass::system::System;
use stormglass::tape::{Call, Tape};
use stormglass::trace::Happening;
use stormglass::why::Why;

use crate::systems::{Quirk, one_copy, plans_of};

const ENGINES: [Choice; 2] = [Choice::Turmoil, Choice::Event];

/// A run of a client that writes at one second and reads at three, without faults.
fn write_and_read(engine: Choice, seed: Seed) -> (Arc<dyn System>, Report) {
    let mut plan = Plan::new("tosses", "one-copy");
    plan.engine = engine;
    plan.safety = Duration::from_secs(4);
    plan.liveness = Duration::from_secs(1);
    plan.clients = [1, 1];
    let system = one_copy(Quirk::Tosses);
    let config = Config::draw(&plan, &system.manifest(), seed);
    let ops = [
        (1000, Op::Write { key: "x".into(), value: Value::Int(1) }),
        (3000, Op::Read { key: "x".into(), level: ReadLevel::Strong }),
    ];
    let calls = ops.map(|(at, op)| Call { at: Time::from_millis(at), op });
    let tape = Tape(vec![calls.to_vec()]);
    let data = Options::of_data(&config, &Schedule::default(), Some(&tape));
    let report = run(&system, &plan, seed, Options { trace: true, ..data });
    (system, report)
}

#[test]
fn a_run_is_past_help_once_the_coin_has_fallen() {
    let failure = Failure { guarantee: Guarantee::Linearizable, anomaly: "stale-read".to_owned() };
    for engine in ENGINES {
        let fails = |seed: &u64| failure.find(&write_and_read(engine, Seed(*seed)).1).is_some();
        let seed = (0..100).find(fails).unwrap();
        let (system, report) = write_and_read(engine, Seed(seed));
        let runs = 24;
        let why = Why::of(&system, &report, &failure, runs, &|| false).unwrap();
        let write = report.history.operations().next().unwrap();
        let (begun, done) = (write.invoked_at, write.completed_at.unwrap());

        let inevitable = why.inevitable.as_ref().unwrap();
        let (from, before) = (inevitable.from, inevitable.before.unwrap());
        // The node tosses when it is asked.
        let asked = report.trace.iter().flatten().find(|event| {
            event.place.node().is_some() && matches!(event.what, Happening::Received { .. })
        });
        let asked = asked.unwrap().at;
        assert!(before.at <= asked && asked <= from.at, "{engine:?}: {asked} {inevitable:?}");
        assert!(begun <= before.at && from.at <= done, "{engine:?}: {inevitable:?}");
        assert!(from.at.since(before.at) <= Duration::from_millis(5), "{engine:?}");
        assert_eq!(from.fails, runs, "{engine:?}");
        assert!(before.fails <= runs / 3 && why.with_all <= runs / 3, "{engine:?}: {why:?}");
        let says = format!("from {} on, 24 of 24 tails end so", from.at);
        let told = why.story.iter().position(|told| told.words.starts_with(&says)).unwrap();
        assert_eq!(why.story[told].at, from.at);
        assert!(why.story[..told].iter().all(|told| told.at < from.at), "{:?}", why.story);
    }
}

/// A run of a plan that goes over to another seed, if it does.
fn of_stock(engine: Choice, reseed: Option<Reseed>) -> Report {
    let (mut plan, system) =
        plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "leaderless").unwrap();
    plan.engine = engine;
    plan.safety = Duration::from_secs(6);
    plan.liveness = Duration::from_secs(3);
    let config = Config { reseed, ..Config::draw(&plan, &system.manifest(), Seed(5)) };
    run(&system, &plan, Seed(5), Options { config: Some(config), ..Options::default() })
}

#[test]
fn a_run_that_goes_over_to_another_seed_is_the_same_until_then_and_the_same_again() {
    let at = Time::from_millis(3000);
    for engine in ENGINES {
        let plain = of_stock(engine, None);
        let reseed = |seed| Some(Reseed { at, seed: Seed(seed) });
        let [one, again, other] = [7, 7, 8].map(|seed| of_stock(engine, reseed(seed)));
        assert_eq!(one.fingerprint, again.fingerprint, "{engine:?}");
        assert_ne!(one.fingerprint, other.fingerprint, "{engine:?}");
        assert_ne!(one.fingerprint, plain.fingerprint, "{engine:?}");
        for report in [&one, &other] {
            assert_eq!(events_before(report, at), events_before(&plain, at), "{engine:?}");
        }
        assert!(events_before(&plain, at).len() > 100, "{engine:?}");

        let folder = tempfile::tempdir().unwrap();
        let stored = Store::open(folder.path()).unwrap().save(&one).unwrap();
        let record = load_record(&stored).unwrap();
        assert_eq!(record.config.reseed, reseed(7));
    }
}

/// What happened before a moment, as files have it.
fn events_before(report: &Report, moment: Time) -> Vec<String> {
    let mut file = Vec::new();
    jsonl::write(&report.history, &mut file).unwrap();
    let count = report.history.events().take_while(|(at, _)| *at < moment).count();
    // The first line names the format.
    String::from_utf8(file).unwrap().lines().skip(1).take(count).map(str::to_owned).collect()
}

#[test]
fn a_tail_from_the_beginning_on_is_the_run_of_the_other_seed() {
    let seed = Seed(3);
    let (system, report) = write_and_read(Choice::Event, seed);
    let play = |reseed, seed| {
        let config = Config { reseed, ..report.config.clone() };
        let data = Options::of_data(&config, &report.schedule, report.calls.as_ref());
        run(&system, &report.plan, seed, data).fingerprint
    };
    for other in [4, 5, 6].map(Seed) {
        let tail = play(Some(Reseed { at: Time::ZERO, seed: other }), seed);
        assert_eq!(tail, play(None, other));
    }
}

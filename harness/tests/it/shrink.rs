//! Runs as data, and smaller runs with the same failure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkers::Guarantee;
use stormglass::engine::Choice;
use stormglass::nemesis::{Planned, Schedule};
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::shrink::{Failure, ShrinkError, Shrinker, Shrunk};
use stormglass::system::System;
use stormglass::tape::Tape;
use stormglass::why::Why;

use crate::systems::plans_of;

fn stock(name: &str) -> (Plan, Arc<dyn System>) {
    let (mut plan, system) =
        plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == name).unwrap();
    plan.safety = Duration::from_secs(6);
    plan.clients = [3, 4];
    (plan, system)
}

/// The same run from its data alone, or the same faults and operations under another seed.
fn again(system: &Arc<dyn System>, report: &Report, seed: Seed) -> Report {
    let options = Options {
        config: Some(report.config.clone()),
        schedule: Some(report.schedule.clone()),
        calls: report.calls.clone(),
        ..Options::default()
    };
    run(system, &report.plan, seed, options)
}

#[test]
fn what_clients_asked_is_asked_again_from_the_tape() {
    for name in ["raft", "primary-async", "leaderless", "multi-leader-lww", "primary-async-append"]
    {
        let (plan, system) = stock(name);
        let keeping = Options { keeps_calls: true, ..Options::default() };
        let drawn = run(&system, &plan, Seed(3), keeping);
        let plain = run(&system, &plan, Seed(3), Options::default());
        assert_eq!(drawn.fingerprint, plain.fingerprint, "{name}: keeping it changes nothing");
        assert!(plain.calls.is_none(), "{name}: nobody asked for it");
        let asked = drawn.calls.as_ref().unwrap().len() as u64;
        assert!(asked > 100, "{name}: {asked}");
        let replayed = again(&system, &drawn, drawn.seed);
        assert_eq!(replayed.fingerprint, drawn.fingerprint, "{name}");
        assert_eq!(replayed.calls, drawn.calls, "{name}");
    }
}

/// The first run of a plan with the failure, shrunk.
fn shrunk(name: &str, failure: &Failure, threads: usize) -> (Arc<dyn System>, Shrunk) {
    let (mut plan, system) = stock(name);
    // The faster one: a smaller run is looked for in the same way on either.
    plan.engine = Choice::Event;
    let fails =
        |seed: &u64| failure.find(&run(&system, &plan, Seed(*seed), Options::default())).is_some();
    let seed = Seed((0..20).find(fails).unwrap());
    let told = AtomicU64::new(0);
    let shrinker = Shrinker {
        system: &system,
        plan: &plan,
        seed,
        failure: failure.clone(),
        stop: &|| false,
        progress: &|_, _, _| {
            told.fetch_add(1, Ordering::Relaxed);
        },
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let shrunk = pool.install(|| shrinker.shrink(Options::default())).unwrap();
    assert!(told.load(Ordering::Relaxed) > 3, "somebody may watch");
    (system, shrunk)
}

fn stale_read() -> Failure {
    Failure { guarantee: Guarantee::Linearizable, anomaly: "stale-read".to_owned() }
}

#[test]
fn nothing_can_be_left_out_of_a_shrunk_run_and_it_happens_again() {
    let (system, shrunk) = shrunk("primary-async", &stale_read(), 2);
    let Shrunk { report, before, after, is_done, .. } = &shrunk;
    assert!(*is_done && after.faults <= 3 && after.operations <= 4, "{after:?} of {before:?}");
    assert!(before.operations > 100 && after.simulated_ns < before.simulated_ns, "{before:?}");
    assert!(stale_read().find(report).is_some());
    assert_eq!(again(&system, report, report.seed).fingerprint, report.fingerprint);

    let calls = &report.calls.as_ref().unwrap().0;
    let without = |faults: Vec<Planned>, calls: Vec<Vec<_>>| {
        let numbered = faults.into_iter().zip(0..);
        let faults =
            numbered.map(|(fault, id)| Planned { id: checkers::history::FaultId(id), ..fault });
        let options = Options {
            config: Some(report.config.clone()),
            schedule: Some(Schedule(faults.collect())),
            calls: Some(Tape(calls)),
            ..Options::default()
        };
        stale_read().find(&run(&system, &report.plan, report.seed, options)).is_some()
    };
    let others = (1..=20).map(|other| again(&system, report, Seed(report.seed.0 + other)));
    let failing = others.filter(|other| stale_read().find(other).is_some()).count();
    assert!(failing >= 5, "{failing} of 20 say little about what it takes");
    for fault in 0..report.schedule.0.len() {
        let mut faults = report.schedule.0.clone();
        faults.remove(fault);
        assert!(!without(faults, calls.clone()), "fault {fault} can be left out");
    }
    for client in 0..calls.len() {
        for call in 0..calls[client].len() {
            let mut calls = calls.clone();
            calls[client].remove(call);
            let faults = report.schedule.0.clone();
            assert!(!without(faults, calls), "operation {call} of client {client} can be left out");
        }
    }
}

#[test]
fn what_a_run_is_shrunk_to_does_not_depend_on_how_many_threads_look_for_it() {
    let [(_, one), (_, three)] =
        [1, 3].map(|threads| shrunk("leaderless-sloppy", &stale_read(), threads));
    assert_eq!(one.report.fingerprint, three.report.fingerprint);
    assert_eq!(
        (one.report.schedule, one.report.calls),
        (three.report.schedule, three.report.calls)
    );
}

#[test]
fn a_run_without_the_failure_is_not_shrunk_and_one_that_is_stopped_keeps_what_it_has() {
    let (plan, system) = stock("primary-async");
    let shrinker = |failure, stop| Shrinker {
        system: &system,
        plan: &plan,
        seed: Seed(0),
        failure,
        stop,
        progress: &|_, _, _| {},
    };
    let other = Failure { guarantee: Guarantee::Live, anomaly: "no-progress".to_owned() };
    let refused = shrinker(other, &|| false).shrink(Options::default());
    let Err(ShrinkError::NoFailure { failure }) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.anomaly, "no-progress");
    let has = |seed: &u64| {
        stale_read().find(&run(&system, &plan, Seed(*seed), Options::default())).is_some()
    };
    let seed = Seed((0..20).find(has).unwrap());
    let stopped =
        Shrinker { seed, ..shrinker(stale_read(), &|| true) }.shrink(Options::default()).unwrap();
    assert!(!stopped.is_done && stale_read().find(&stopped.report).is_some());
    assert_eq!(stopped.before.operations, stopped.after.operations);
}

/// All moments that a text names.
fn moments(text: &str) -> Vec<String> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == ',' || c == ')').collect();
    let seconds = |pair: &[&str]| {
        let is_moment = pair[1].trim_end_matches([':', ';']) == "s" && pair[0].contains('.');
        is_moment.then(|| format!("{} s", pair[0]))
    };
    words.windows(2).filter_map(seconds).collect()
}

#[test]
fn the_story_and_the_counterfactuals_agree_with_the_history() {
    for name in ["primary-async", "leaderless-sloppy", "raft-stale"] {
        let (system, shrunk) = shrunk(name, &stale_read(), 2);
        let report = &shrunk.report;
        let runs = 6;
        let why = Why::of(&system, report, &stale_read(), runs, &|| false).unwrap();

        let history = report.history.events().map(|(at, _)| at.to_string());
        let trace = report.trace.as_ref().unwrap().iter().map(|event| event.at.to_string());
        // Between what happens, too, other seeds can be gone over to.
        let from_when = why.from_when().map_or_else(Vec::new, |words| moments(&words));
        let known: BTreeSet<String> = history.chain(trace).chain(from_when).collect();
        let text: Vec<String> =
            why.story.iter().map(|told| format!("{}, {}", told.at, told.words)).collect();
        let told: Vec<String> = text.iter().flat_map(|sentence| moments(sentence)).collect();
        assert!(told.len() > why.story.len(), "{name}: {text:#?}");
        for moment in told {
            assert!(known.contains(&moment), "{name}: nothing happened at {moment}: {text:#?}");
        }
        assert!(why.story.is_sorted_by_key(|told| told.at), "{name}");

        let anomaly = stale_read().find(report).unwrap();
        for id in &anomaly.witness.operations {
            let operation = report.history.operation(*id);
            let asked = format!("at {} to `{}`", operation.invoked_at, report.history.op(*id));
            let of_it: Vec<&String> = text.iter().filter(|told| told.contains(&asked)).collect();
            let [told] = of_it[..] else { panic!("{name}: {asked}: {text:#?}") };
            assert!(told.starts_with(&operation.completed_at.unwrap().to_string()), "{told}");
        }
        for effect in &report.effects {
            let ends = format!("fault {} ends", effect.fault);
            let told = text.iter().find(|told| told.contains(&ends));
            let counted = format!("; {} message", effect.dropped);
            assert!(told.is_none_or(|told| effect.dropped == 0 || told.contains(&counted)));
        }

        let fail = |faults: Vec<Planned>| {
            let failing = (1..=u64::from(runs)).filter(|more| {
                let options = Options {
                    config: Some(report.config.clone()),
                    schedule: Some(Schedule(faults.clone())),
                    calls: report.calls.clone(),
                    ..Options::default()
                };
                let seed = Seed(report.seed.0 + more);
                stale_read().find(&run(&system, &report.plan, seed, options)).is_some()
            });
            failing.count() as u32
        };
        assert_eq!(why.with_all, fail(report.schedule.0.clone()), "{name}");
        if let [only] = &why.without_fault[..] {
            assert_eq!(*only, fail(Vec::new()), "{name}");
        }
        assert_eq!(why.without_fault.len(), report.schedule.0.len(), "{name}");
        let drawn = (1..=u64::from(runs)).filter(|more| {
            let seed = Seed(report.seed.0 + more);
            stale_read().find(&run(&system, &report.plan, seed, Options::default())).is_some()
        });
        assert_eq!(why.of_plan, Some(drawn.count() as u32), "{name}");
    }
}

#[test]
fn as_many_clean_runs_are_asked_for_as_make_chance_unlikely() {
    let of = |failing| {
        let failure = stale_read();
        let (without_fault, without_call, story) = (Vec::new(), Vec::new(), Vec::new());
        let of_plan = Some(failing);
        Why {
            failure,
            runs: 50,
            with_all: 50,
            without_fault,
            without_call,
            of_plan,
            inevitable: None,
            story,
        }
        .clean_runs()
    };
    // Half of the runs are clean by chance: 1 in 32 after five, 1 in 16 after four.
    assert_eq!([of(50), of(25), of(1), of(0)], [Some(1), Some(5), Some(149), None]);
}

//! Runs that are drawn anew in everything, nodes that stay away for good, rare states and whims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{EventIndex, NodeId, OpKind, Phase};
use checkers::{Guarantee, Verdict};
use stormglass::campaign::Campaign;
use stormglass::config::Config;
use stormglass::engine::Choice;
use stormglass::nemesis::{Fault, Schedule, Shape, Target};
use stormglass::plan::Plan;
use stormglass::rhythm::Pace;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{Claim, Manifest, SYSTEMS, System};

use crate::systems::{plans_of, schedule};

fn system(name: &str) -> Arc<dyn System> {
    let entry = SYSTEMS.iter().find(|entry| entry.name == name).unwrap();
    Arc::from((entry.build)())
}

fn swarm(nemeses: &[&str]) -> Plan {
    let mut plan = Plan::new("swarm", "raft");
    plan.nemeses = nemeses.iter().map(|name| (*name).to_owned()).collect();
    plan.nodes = (1..=7).collect();
    plan.clients = [1, 40];
    plan.keys = [1, 30];
    plan.safety = Duration::from_secs(4);
    plan.swarm = true;
    plan
}

fn drawn(plan: &Plan, seeds: u64) -> Vec<Config> {
    let manifest = system("raft").manifest();
    (0..seeds).map(|seed| Config::draw(plan, &manifest, Seed(seed))).collect()
}

#[test]
fn runs_of_a_swarm_differ_in_everything_that_a_plan_leaves_open() {
    let plan = swarm(&["partition", "crash", "wipe", "clock"]);
    let all = drawn(&plan, 400);
    let of = |value: &dyn Fn(&Config) -> u64| all.iter().map(value).collect::<BTreeSet<u64>>();
    assert_eq!(of(&|config| config.nodes.into()), (1..=7).collect());
    for few in [1, 2, 3, 40] {
        assert!(of(&|config| config.clients.into()).contains(&few), "never {few} clients");
    }
    assert_eq!(of(&|config| config.skew as u64).len(), 3);
    assert!(of(&|config| config.think_max.as_millis() as u64).iter().any(|ms| *ms < 5));
    assert!(of(&|config| config.think_max.as_millis() as u64).iter().any(|ms| *ms > 500));
    assert!(of(&|config| config.safety.as_secs()).len() > 5);
    let switches: [fn(&Config) -> bool; 3] =
        [|config| config.value_bytes == [0, 0], |config| config.whims, |config| config.core];
    for switch in switches {
        assert_eq!(all.iter().map(switch).collect::<BTreeSet<bool>>().len(), 2);
    }
    assert_eq!(all.iter().map(|config| config.pace).collect::<BTreeSet<_>>().len(), 3);
    for kind in [OpKind::Cas, OpKind::Delete] {
        let with = all.iter().filter(|config| config.mix.contains_key(&kind)).count();
        assert!((200..400).contains(&with), "{kind} in {with} of 400");
    }
    for Config { mix, .. } in &all {
        let total: u32 = mix.values().sum();
        for needed in [OpKind::Read, OpKind::Write] {
            assert!(mix[&needed] * 20 >= total, "a run of {mix:?} may tell nothing");
        }
    }
    assert_eq!(drawn(&plan, 400), all, "the same seeds draw the same");
}

#[test]
fn each_nemesis_of_a_swarm_is_left_out_of_some_runs_and_out_of_all_that_have_too_few_nodes() {
    let plan = swarm(&["partition", "crash", "wipe"]);
    let mut on: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for config in drawn(&plan, 400) {
        let nemeses = config.nemeses.unwrap();
        assert!(!nemeses.is_empty(), "a crash is always possible");
        for name in nemeses.into_keys() {
            on.entry(name).or_default().insert(config.nodes);
        }
    }
    assert_eq!(on["crash"], (1..=7).collect());
    assert_eq!(on["partition"], (2..=7).collect());
    assert_eq!(on["wipe"], (3..=7).collect());
}

#[test]
fn a_system_that_offers_only_what_others_can_do_without_is_asked_for_it_all_the_same() {
    let manifest = Manifest { ops: vec![OpKind::Cas], ..system("raft").manifest() };
    let plan = swarm(&["crash"]);
    for seed in 0..100 {
        let mix = Config::draw(&plan, &manifest, Seed(seed)).mix;
        assert_eq!(mix.into_keys().collect::<Vec<_>>(), [OpKind::Cas]);
    }
}

#[test]
fn a_plan_that_is_no_swarm_draws_what_it_always_drew() {
    let mut plan = swarm(&["partition"]);
    plan.nodes = vec![3];
    plan.swarm = false;
    let config = drawn(&plan, 1).remove(0);
    assert_eq!(
        (config.nemeses, config.core, config.whims, config.pace, config.value_bytes),
        (None, false, false, Pace::Closed, [0, 0])
    );
}

/// Runs a mode with three nodes, of which one stays away when the other faults are over.
fn with_a_minority_away(mode: &str, fault: Fault) -> Report {
    let mut plan = Plan::new("core", mode);
    plan.nemeses = Vec::new();
    plan.nodes = vec![3];
    plan.safety = Duration::from_secs(4);
    let staying = schedule(&[(fault, 4000, 8000)], |_| 3);
    let options = Options { schedule: Some(staying), ..Options::default() };
    run(&system(mode), &plan, Seed(2), options)
}

#[test]
fn the_others_go_on_without_a_minority_that_stays_away_and_only_they_are_read_at_the_end() {
    let target = Target::Minority;
    let faults = [
        Fault::Crash { target },
        Fault::Partition { shape: Shape::Isolate { target } },
        Fault::Partition { shape: Shape::Mute { target } },
        Fault::Partition { shape: Shape::Deaf { target } },
    ];
    for mode in ["raft", "primary-async", "primary-semi-sync", "leaderless", "leaderless-abd"] {
        assert!(system(mode).majority_suffices(3), "{mode}");
        for fault in faults {
            let report = with_a_minority_away(mode, fault);
            for guarantee in [Guarantee::Live, Guarantee::Convergent] {
                let judged = report.judged.iter().find(|judged| judged.guarantee == guarantee);
                assert!(
                    judged.unwrap().verdict.is_valid(),
                    "{mode}, {fault}: {:?}",
                    judged.unwrap()
                );
            }
            let (last_phase, _) = report.history.phase_began(Phase::Final).unwrap();
            let final_reads = report.history.operations().filter(|read| read.invoked > last_phase);
            let read: BTreeSet<NodeId> = final_reads.filter_map(|read| read.node).collect();
            assert_eq!(read.len(), 2, "{mode}, {fault}: {read:?}");
            assert!(report.effects[0].took_effect(), "{:?}", report.effects);
        }
    }
}

#[test]
fn clients_that_stay_with_one_node_leave_it_when_it_is_away_for_good() {
    let mut plan = Plan::new("core", "raft");
    plan.nemeses = Vec::new();
    plan.nodes = vec![3];
    plan.safety = Duration::from_secs(2);
    let isolated = Fault::Partition { shape: Shape::Isolate { target: Target::Minority } };
    let staying = schedule(&[(isolated, 2000, 6000)], |_| 3);
    let drawn = Config::draw(&plan, &system("raft").manifest(), Seed(2));
    let config = Some(Config { clients: 6, pinned: 6, ..drawn });
    let options = Options { config, schedule: Some(staying), ..Options::default() };
    let report = run(&system("raft"), &plan, Seed(2), options);
    let (since, _) = report.history.phase_began(Phase::Liveness).unwrap();
    let (until, _) = report.history.phase_began(Phase::Final).unwrap();
    let asked = |from, to| -> BTreeSet<NodeId> {
        let operations = report.history.operations();
        operations.filter(|o| from < o.invoked && o.invoked < to).filter_map(|o| o.node).collect()
    };
    assert_eq!(asked(EventIndex(0), since).len(), 3, "each stays with its own");
    assert_eq!(asked(since, until).len(), 2, "nobody waits for the one that is away");
}

/// Whatever the swarm has met once: a follower that was sent the same for ever, a lost write that came
/// back after a newer one, clients that waited for nodes that were away for good, and a node that lost its disk and then its power
/// and took itself for whole.
#[test]
fn what_campaigns_have_found_stays_found() {
    for (file, name, seed) in [
        ("swarm.toml", "primary-sync-set", 11),
        ("swarm.toml", "primary-async-session", 17),
        ("swarm.toml", "primary-async-session", 45),
        ("swarm.toml", "primary-async-session", 197),
        ("full.toml", "leaderless", 9365),
    ] {
        let plans = plans_of(file);
        let (mut plan, system) = plans.into_iter().find(|(plan, _)| plan.name == name).unwrap();
        plan.engine = Choice::Event;
        let report = run(&system, &plan, Seed(seed), Options::default());
        let broken = report.judged.iter().filter(|judged| judged.claim == Claim::Holds);
        let broken: Vec<_> =
            broken.filter(|judged| !judged.verdict.anomalies().is_empty()).collect();
        assert!(broken.is_empty(), "{file}, {name}, seed {seed}: {broken:?}");
    }
}

#[test]
fn the_full_campaign_has_each_mode_under_every_fault_of_its_swarm() {
    let nemeses = |file: &str, system: &str| -> BTreeSet<String> {
        let plans = plans_of(file).into_iter().map(|(plan, _)| plan);
        let mut plain = plans.filter(|plan| plan.system == system && plan.settings.is_empty());
        plain.next().unwrap().nemeses.into_iter().collect()
    };
    for entry in SYSTEMS {
        let full = nemeses("full.toml", entry.name);
        assert_eq!(full, nemeses("swarm.toml", entry.name), "{}", entry.name);
        assert!(full.len() >= 20, "{}: {full:?}", entry.name);
    }
}

#[test]
fn a_mode_that_needs_everybody_makes_no_progress_and_is_told_with_how_everybody_stands() {
    let report = with_a_minority_away("primary-sync", Fault::Crash { target: Target::Minority });
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    let anomalies = live.verdict.anomalies();
    assert_eq!(anomalies.len(), 1, "{anomalies:?}");
    assert_eq!(anomalies[0].name, "no-progress");
    let words = anomalies[0].explanation.last().unwrap();
    assert!(words.contains("is down") && words.contains("leads in term"), "{words}");
}

#[test]
fn a_run_counts_the_rare_states_that_nodes_say_they_get_into_and_a_campaign_the_runs() {
    let (mut plan, system) =
        plans_of("swarm.toml").into_iter().find(|(plan, _)| plan.name == "raft-register").unwrap();
    plan.safety = Duration::from_secs(6);
    let marks = system.marks();
    let findings = Campaign::new(system.clone()).plan(plan).seeds(0..6).run();
    let counted = &findings.rows[0].marks;
    assert_eq!(
        counted.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        marks.into_iter().collect()
    );
    assert!(counted.values().any(|runs| *runs > 0) && counted.values().all(|runs| *runs <= 6));
}

#[test]
fn that_nothing_was_tried_after_the_faults_is_held_against_a_run_of_a_swarm_too() {
    let (system, plan) = (system("raft"), swarm(&["crash"]));
    // Each client does one thing, and waits for the rest of the run.
    let think_max = Duration::from_secs(3600);
    let drawn = Config::draw(&plan, &system.manifest(), Seed(1));
    let config = Config { think_max, clients: 2, pinned: 0, ..drawn };
    let options = Options { config: Some(config), ..Options::default() };
    let report = run(&system, &plan, Seed(1), options);
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    assert!(matches!(live.verdict, Verdict::Unknown { .. }), "{:?}", live.verdict);
    // Of what only some runs show, it says nothing.
    let judged = |guarantee| report.judged.iter().any(|judged| judged.guarantee == guarantee);
    assert!(!judged(Guarantee::WritesFollowReads), "{:?}", report.judged);
}

#[test]
fn whims_come_over_nodes_only_where_a_run_has_some_and_change_nothing_that_is_claimed() {
    let system = system("raft");
    let mut plan = Plan::new("whims", "raft");
    plan.nemeses = Vec::new();
    plan.safety = Duration::from_secs(4);
    let with = |whims| {
        let config = Config { whims, ..Config::draw(&plan, &system.manifest(), Seed(4)) };
        let schedule = Some(Schedule::default());
        run(
            &system,
            &plan,
            Seed(4),
            Options { config: Some(config), schedule, ..Options::default() },
        )
    };
    let (without, with) = (with(false), with(true));
    assert!(without.whims.is_empty(), "{:?}", without.whims);
    assert!(with.whims.values().any(|times| *times > 10), "{:?}", with.whims);
    assert_ne!(without.fingerprint, with.fingerprint);
    assert!(with.judged.iter().all(|judged| judged.verdict.is_valid()), "{:?}", with.judged);
}

//! Nodes of the reference store that come back after they were away for long, and after they have lost
//! their disks, in every mode, in virtual time.

use std::sync::Arc;

use checkers::Guarantee;
use checkers::history::NodeId;
use stormglass::nemesis::{Fault, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{Claim, System};

use crate::systems::{plans_of, schedule};

/// The plans of the campaign that takes disks away, with their systems.
fn plans() -> Vec<(Plan, Arc<dyn System>)> {
    plans_of("restore.toml")
}

/// Runs a plan under the given faults: kind, from and until in milliseconds.
fn under(plan: &Plan, system: &Arc<dyn System>, faults: &[(Fault, u64, u64)]) -> Report {
    let schedule = Some(schedule(faults, |_| 7));
    let mut plan = plan.clone();
    // What a system claims is by the faults that there are.
    plan.nemeses = faults.iter().map(|(fault, ..)| fault.kind().to_owned()).collect();
    plan.nemeses.dedup();
    run(system, &plan, Seed(5), Options { schedule, trace: true, ..Options::default() })
}

/// Every claim was judged and held, all replicas agree, and so many nodes became whole again.
fn assert_restored(report: &Report, name: &str, wiped: usize) {
    assert_eq!(report.conclusion(), Conclusion::Valid, "{name}: {:?}", report.vacuous);
    let convergent = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Convergent);
    assert!(convergent.unwrap().verdict.is_valid(), "{name}: the replicas differ");
    let trace = report.trace.as_ref().unwrap();
    let whole = trace.iter().filter(|event| event.what.to_string() == "is whole again");
    assert_eq!(whole.count(), wiped, "{name}");
}

#[test]
fn a_node_that_was_down_while_the_log_was_cut_catches_up_and_so_does_one_without_its_disk() {
    let second = Target::Node(NodeId(2));
    let away = Fault::Crash { target: second };
    let lost = Fault::Wipe { target: second };
    for (plan, system) in plans() {
        let report = under(&plan, &system, &[(away, 2_000, 6_000), (lost, 9_000, 9_300)]);
        assert_restored(&report, &plan.name, 1);
        assert!(report.effects[1].lost_bytes > 0, "{}", plan.name);
        let ok = report.effects[0].ok_during;
        assert!(plan.system == "primary-sync" || ok > 100, "{}: {ok} cut no log", plan.name);
    }
}

#[test]
fn a_leader_that_loses_its_disk_comes_back_as_one_of_the_others() {
    let lost = Fault::Wipe { target: Target::Leader };
    for (plan, system) in plans() {
        let faults = [(lost, 3_000, 3_200), (lost, 7_000, 7_200), (lost, 11_000, 11_200)];
        let report = under(&plan, &system, &faults);
        assert_restored(&report, &plan.name, 3);
    }
}

#[test]
fn regions_lose_no_more_than_the_changes_that_no_other_one_had_and_several_nodes_lose_nothing() {
    let lost = Fault::Wipe { target: Target::One };
    let regional = |plan: &Plan| plan.system == "multi-leader";
    let plans: Vec<_> = plans().into_iter().filter(|(plan, _)| regional(plan)).collect();
    assert_eq!(plans.len(), 7);
    for (plan, system) in plans {
        let pairs = plan.nodes == [6];
        let says = system.manifest_under(&["wipe".to_owned()]).claim(Guarantee::Durable, false);
        assert_eq!(says == Claim::Holds, pairs, "{}: one of two nodes has it", plan.name);
        let faults = [3_000, 5_500, 8_000, 10_500].map(|at| (lost, at, at + 200));
        let report = under(&plan, &system, &faults);
        assert_restored(&report, &plan.name, 4);
    }
}

#[test]
fn a_minority_that_loses_its_disks_at_once_loses_nothing_that_a_majority_had() {
    let lost = Fault::Wipe { target: Target::Minority };
    let minority = |plan: &Plan| plan.nemeses.iter().any(|name| name == "wipe-minority");
    let plans: Vec<_> = plans().into_iter().filter(|(plan, _)| minority(plan)).collect();
    assert_eq!(plans.len(), 5);
    for (plan, system) in plans {
        let report = under(&plan, &system, &[(lost, 3_000, 3_200), (lost, 9_000, 9_200)]);
        assert_restored(&report, &plan.name, 4);
    }
}

#[test]
fn claims_hold_whichever_disks_are_lost() {
    for (plan, system) in plans() {
        for seed in 0..4 {
            let report = run(&system, &plan, Seed(seed), Options::default());
            assert_ne!(report.conclusion(), Conclusion::Invalid, "{}, seed {seed}", plan.name);
        }
    }
}

//! Sets that clients read, change and write back, in the mode without a leader, in virtual time.

use std::sync::Arc;

use checkers::history::NodeId;
use checkers::{Guarantee, Verdict};
use stormglass::nemesis::{Fault, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::System;

use crate::systems::{plans_of, schedule};

/// A plan of the stock campaign, with its system.
fn stock(name: &str) -> (Plan, Arc<dyn System>) {
    plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == name).unwrap()
}

fn verdict(report: &Report, guarantee: Guarantee) -> &Verdict {
    let mut judged = report.judged.iter();
    &judged.find(|judged| judged.guarantee == guarantee).unwrap().verdict
}

#[test]
fn siblings_keep_every_element_and_where_the_later_write_wins_some_are_lost() {
    for seed in 0..4 {
        for (name, keeps) in [("leaderless-siblings", true), ("leaderless-lww-set", false)] {
            let (plan, system) = stock(name);
            let report = run(&system, &plan, Seed(seed), Options::default());
            for guarantee in [Guarantee::Set, Guarantee::Durable] {
                let verdict = verdict(&report, guarantee);
                let as_claimed = if keeps { verdict.is_valid() } else { verdict.is_invalid() };
                assert!(as_claimed, "{name}, seed {seed}, {guarantee}");
            }
            assert!(verdict(&report, Guarantee::Convergent).is_valid(), "{name}, seed {seed}");
        }
    }
}

#[test]
fn what_stand_ins_took_is_seen_late_and_is_not_lost() {
    let (plan, system) = stock("leaderless-siblings-sloppy");
    let mut late = 0;
    for seed in 0..8 {
        let report = run(&system, &plan, Seed(seed), Options::default());
        assert!(verdict(&report, Guarantee::Durable).is_valid(), "seed {seed}");
        assert!(verdict(&report, Guarantee::Convergent).is_valid(), "seed {seed}");
        late += usize::from(verdict(&report, Guarantee::Set).is_invalid());
    }
    assert!(late > 0, "every quorum met every other one");
}

#[test]
fn coordinators_that_start_again_and_reach_few_lose_no_element() {
    let (mut plan, system) = stock("leaderless-siblings");
    plan.nemeses.clear();
    plan.nodes = vec![5];
    let at = |node| Target::Node(NodeId(node));
    let faults = (1..=5).flat_map(|node| {
        let begins = u64::from(node) * 2_000;
        let cut = Fault::Partition { shape: Shape::Isolate { target: at(node) } };
        [
            (cut, begins, begins + 1_200),
            (Fault::Restart { target: at(node % 5 + 1) }, begins + 400, begins + 500),
            (Fault::Crash { target: at(node) }, begins + 800, begins + 1_000),
        ]
    });
    let schedule = Some(schedule(&faults.collect::<Vec<_>>(), |_| 3));
    let report = run(&system, &plan, Seed(2), Options { schedule, ..Options::default() });
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?}", report.vacuous);
    assert!(verdict(&report, Guarantee::Set).is_valid());
}

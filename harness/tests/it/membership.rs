//! Nodes that are added, removed and replaced in a run: what the nemesis does to systems whose every step
//! is known, and what the reference store makes of it, in every mode.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::NodeId;
use stormglass::nemesis::{Change, Fault, Shape, Target};
use stormglass::plan::{self, Plan};
use stormglass::run::{Conclusion, Effect, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{
    Client, ClientCx, LocalBoxFuture, Manifest, Membership, NodeCx, Operator, Registration,
    SYSTEMS, System,
};

use crate::systems::{OneCopy, Quirk, plans_of, schedule};

/// The plans of the campaign in which members come and go, with their systems.
fn plans() -> Vec<(Plan, Arc<dyn System>)> {
    plans_of("membership.toml")
}

/// Runs a plan under the given faults: kind, from and until in milliseconds.
fn under(plan: &Plan, system: &Arc<dyn System>, faults: &[(Fault, u64, u64)]) -> Report {
    let schedule = Some(schedule(faults, |number| number));
    let mut plan = plan.clone();
    plan.nemeses = vec!["membership".to_owned()];
    run(system, &plan, Seed(5), Options { schedule, ..Options::default() })
}

fn change(change: Change, at: u64, until: u64) -> (Fault, u64, u64) {
    (Fault::Membership { change }, at, until)
}

const LEADER_GOES: Change = Change::Remove { target: Target::Leader };
const ONE_GOES: Change = Change::Remove { target: Target::One };
const ONE_IS_REPLACED: Change = Change::Replace { target: Target::One };

#[test]
fn a_node_is_added_and_the_leader_removed_under_load_while_other_faults_are_on() {
    let follower = Target::Follower;
    let cut = Fault::Partition { shape: Shape::Isolate { target: follower } };
    let slow = Fault::Delay {
        shape: Shape::Isolate { target: Target::One },
        longest: Duration::from_millis(150),
    };
    let of_three = |(plan, _): &(Plan, _)| plan.nodes.contains(&3);
    for (mut plan, system) in plans().into_iter().filter(of_three) {
        plan.nodes = vec![3];
        let faults = [
            change(Change::Add, 3_000, 7_000),
            (slow, 3_100, 5_000),
            (Fault::Restart { target: follower }, 4_000, 4_030),
            change(LEADER_GOES, 8_000, 14_000),
            (cut, 9_000, 10_000),
            (Fault::Crash { target: follower }, 10_500, 12_000),
        ];
        let report = under(&plan, &system, &faults);
        let (name, conclusion) = (&plan.name, report.conclusion());
        assert_eq!(conclusion, Conclusion::Valid, "{name}: {:?}", report.vacuous);
        let did = [0, 3].map(|fault: usize| &report.effects[fault]);
        assert_eq!(did.map(|effect| effect.changed), [1, 1], "{name}: {did:?}");
        assert!(did.iter().all(|effect| effect.ok_during > 20), "{name}: {did:?}");
        let digests = report.facts.convergence.unwrap().digests;
        assert_eq!(digests.len(), 3, "{name}: one came, and one went: {digests:?}");
        assert!(digests.keys().any(|node| node.0 > 3), "{name}: {digests:?}");
        assert_eq!(BTreeSet::from_iter(digests.values()).len(), 1, "{name}: {digests:?}");
    }
}

#[test]
fn whoever_waits_for_a_node_that_is_down_replaces_it() {
    let second = Target::Node(NodeId(2));
    let system: Arc<dyn System> = Arc::from((SYSTEMS[1].build)());
    let mut plan = Plan::new("test", SYSTEMS[1].name);
    plan.nodes = vec![3];
    let replace = Change::Replace { target: Target::Follower };
    // One of these takes the node that is down.
    let faults = [
        (Fault::Crash { target: second }, 3_000, 14_500),
        change(replace, 4_000, 7_000),
        change(replace, 7_500, 10_500),
        change(replace, 11_000, 14_000),
    ];
    let report = under(&plan, &system, &faults);
    assert_eq!(report.conclusion(), Conclusion::Valid, "{:?}", report.vacuous);
    let goes = report.effects.iter().position(|effect| effect.what.contains("n2 removed"));
    let goes = goes.expect("one of three takes it");
    assert!(report.effects[goes].ok_during > 0, "{:?}", report.effects);
}

#[test]
fn systems_whose_members_stay_are_refused_with_those_whose_members_do_not() {
    const SYSTEMS: &[Registration] = &[
        Registration { name: "fixed", build: || Box::new(OneCopy(Quirk::None)) },
        Registration {
            name: "changing",
            build: || Box::new(Changing { copy: OneCopy(Quirk::None), unsure: 0 }),
        },
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    for (system, refused) in [("fixed", true), ("changing", false)] {
        let text =
            format!("[[plan]]\nname = \"a\"\nsystem = \"{system}\"\nnemeses = [\"membership\"]\n");
        std::fs::write(&file, text).unwrap();
        let error = plan::load(&file, SYSTEMS).err();
        let words = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(words.contains("members change while they run"), refused, "{words}");
        assert_eq!(words.contains("there are changing"), refused, "{words}");
    }
}

#[test]
fn claims_hold_whoever_comes_and_goes() {
    // With seeds 8 and 170, a region of two could not agree on which of them had gone; with seed 278, all
    // clients of the only region that was connected stayed with a node that had gone.
    for (plan, system) in plans() {
        let of_regions = plan.system == "multi-leader";
        for seed in if of_regions { &[0, 8, 170, 278][..] } else { &[0, 1] } {
            let report = run(&system, &plan, Seed(*seed), Options::default());
            assert_ne!(report.conclusion(), Conclusion::Invalid, "{}, seed {seed}", plan.name);
            let judged = report.judged.iter();
            let mut convergent = judged.filter(|judged| judged.guarantee == Guarantee::Convergent);
            assert!(convergent.all(|judged| judged.verdict.is_valid()), "{}, {seed}", plan.name);
        }
    }
}

/// The system of one copy, with an operator who is not sure of a change so many times.
struct Changing {
    copy: OneCopy,
    unsure: u32,
}

/// One who never is.
const NEVER: u32 = u32::MAX;

impl System for Changing {
    fn manifest(&self) -> Manifest {
        self.copy.manifest()
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let named: BTreeSet<u32> = cx.spares().iter().map(|node| node.0).collect();
        assert_eq!(
            (named, cx.restored()),
            ([4, 5].into(), cx.id().0 > 3),
            "of five, two are spare"
        );
        self.copy.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        self.copy.client(cx)
    }

    fn membership(&self) -> Option<Membership> {
        Some(Membership { groups: 1, least: 3 })
    }

    fn operator(&self, _: ClientCx) -> Option<Box<dyn Operator>> {
        Some(Box::new(Says { unsure: self.unsure }))
    }
}

struct Says {
    unsure: u32,
}

impl Operator for Says {
    fn admit(&mut self, _: NodeId) -> LocalBoxFuture<'_, bool> {
        let is_sure = self.unsure == 0;
        self.unsure = self.unsure.saturating_sub(1);
        Box::pin(std::future::ready(is_sure))
    }

    fn dismiss(&mut self, node: NodeId) -> LocalBoxFuture<'_, bool> {
        self.admit(node)
    }
}

fn of_changing(unsure: u32, changes: &[Change]) -> Report {
    let system: Arc<dyn System> = Arc::new(Changing { copy: OneCopy(Quirk::None), unsure });
    let mut plan = Plan::new("test", "one-copy");
    plan.nodes = vec![3];
    let times = (1..).map(|number| number * 1_000);
    let faults = changes.iter().zip(times).map(|(one, at)| change(*one, at, at + 500));
    under(&plan, &system, &faults.collect::<Vec<_>>())
}

#[test]
fn a_change_that_takes_longer_than_its_fault_is_an_effect_of_it() {
    // The operator asks again every 50 ms, and the fault lasts for 500.
    let report = of_changing(20, &[Change::Add]);
    let [Effect { changed, what, .. }] = &report.effects[..] else { panic!("one fault") };
    assert_eq!(*changed, 1, "{what}");
    assert!(what.contains(" is added still; after the fault: n"), "{what}");
    assert_eq!(report.vacuous, Vec::<String>::new());
}

#[test]
fn a_change_that_is_agreed_on_while_the_next_fault_waits_for_it_is_an_effect_of_its_own_fault() {
    // Asked every 50 ms, it is agreed on after 1.2 s, while the second fault lasts.
    let report = of_changing(24, &[Change::Add, Change::Add]);
    let [first, second] = &report.effects[..] else { panic!("two faults") };
    assert!(first.changed == 1 && first.what.contains("; after the fault: n"), "{first:?}");
    assert!(second.changed == 0 && second.what.ends_with(" is added still"), "{second:?}");
    assert_eq!(report.vacuous, Vec::<String>::new());
}

#[test]
fn a_change_that_nobody_agrees_on_proves_nothing() {
    let report = of_changing(NEVER, &[Change::Add, Change::Add]);
    let [first, second] = &report.effects[..] else { panic!("two faults") };
    assert!(first.what.ends_with("is added still"), "{first:?}");
    assert!(second.what.starts_with("nobody, n"), "one change at a time: {second:?}");
    assert_eq!(report.conclusion(), Conclusion::Unknown);
    let why = report.vacuous.join("; ");
    for reason in ["made no difference", "`membership` had no effect", "when replicas were read"] {
        assert!(why.contains(reason), "no {reason:?} in {why}");
    }
}

#[test]
fn a_change_that_waited_for_a_disk_which_another_fault_had_taken_is_not_held_against_the_run() {
    let system = plans().into_iter().find(|(plan, _)| plan.name == "raft").unwrap().1;
    let mut plan = Plan::new("test", "raft");
    plan.nodes = vec![3];
    let wipe = (Fault::Wipe { target: Target::One }, 3_000, 6_000);
    let report = under(&plan, &system, &[wipe, change(Change::Add, 4_000, 5_000)]);
    assert!(report.effects[1].what.ends_with(" is not whole yet"), "{:?}", report.effects[1]);
    assert_eq!(report.vacuous, Vec::<String>::new());
    let cut = Fault::Partition { shape: Shape::Isolate { target: Target::One } };
    let report = under(&plan, &system, &[(cut, 3_000, 6_000)]);
    assert_eq!(report.vacuous.len(), 1, "{:?}", report.vacuous);
    assert!(report.vacuous[0].starts_with("the run has no fault of the nemesis `membership`"));
}

#[test]
fn three_members_remain_and_a_node_that_went_may_come_again() {
    let mut changes = vec![ONE_GOES; 3];
    changes.extend([Change::Add; 3]);
    changes.extend([ONE_IS_REPLACED, ONE_GOES, ONE_GOES]);
    let report = of_changing(0, &changes);
    assert!(report.vacuous.is_empty(), "{:?}", report.vacuous);
    let mut members: BTreeSet<u32> = [1, 2, 3].into();
    let mut sizes = Vec::new();
    for effect in &report.effects {
        for made in effect.what.split(", ") {
            let words: Vec<&str> = made.split(' ').collect();
            match words[..] {
                [node, "added"] => {
                    assert!(members.insert(node[1..].parse().unwrap()), "{effect:?}")
                }
                [node, "removed"] => assert!(members.remove(&node[1..].parse().unwrap())),
                _ => assert!(made.starts_with("after "), "{effect:?}"),
            }
            assert!(members.len() >= 3, "{effect:?}");
        }
        sizes.push(members.len());
    }
    // The first three are replaced, because too few would be left; of five, nobody is left to come.
    assert_eq!(sizes, [3, 3, 3, 4, 5, 4, 4, 3, 3]);
    let added = report.effects.iter().filter_map(|effect| effect.what.split_once(" added"));
    let added: Vec<&str> = added.map(|(node, _)| node).collect();
    let distinct = BTreeSet::from_iter(&added).len();
    assert!(distinct < added.len(), "nobody came twice: {added:?}");
}

#[test]
fn at_the_end_each_node_is_read_itself_however_the_reads_of_clients_wander() {
    let (mut plan, _) = plans().into_iter().find(|(plan, _)| plan.system == "raft").unwrap();
    plan.nemeses = vec!["membership".to_owned()];
    plan.replica_reads_percent = 50;
    for reads in ["any", "session"] {
        plan.settings = format!("replica-reads = \"{reads}\"").parse().unwrap();
        let raft = SYSTEMS.iter().find(|entry| entry.name == "raft").unwrap();
        let system: Arc<dyn System> = Arc::from(raft.configured(&plan.settings).unwrap());
        for seed in 0..3 {
            let report = run(&system, &plan, Seed(seed), Options::default());
            let convergent =
                report.judged.iter().find(|judged| judged.guarantee == Guarantee::Convergent);
            // A node that was removed and is read in the place of another one holds an old state.
            assert!(convergent.unwrap().verdict.is_valid(), "{reads}, seed {seed}");
        }
    }
}

#[test]
fn no_disks_are_taken_while_somebody_comes_or_goes() {
    let (plan, system) = plans().into_iter().find(|(plan, _)| plan.system == "raft").unwrap();
    let lost = Fault::Wipe { target: Target::Minority };
    let report = under(&plan, &system, &[change(Change::Add, 3_000, 7_000), (lost, 3_001, 3_200)]);
    assert_eq!(report.effects[1].stopped, 0, "{:?}", report.effects);
    assert!(report.effects[1].what.starts_with("nobody"), "{:?}", report.effects);
}

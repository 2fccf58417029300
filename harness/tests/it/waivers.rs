//! Promises that some faults waive.

use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use stormglass::campaign::guarantees::{Guarantees, Line, measure, split};
use stormglass::campaign::{Ending, Entry, Standing};
use stormglass::nemesis::{Fault, Rate, Shape, Target};
use stormglass::plan::Plan;
use stormglass::run::{Options, run};
use stormglass::seed::Seed;
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, Settings, System,
};

use crate::systems::{OneCopy, Quirk, schedule};

/// A store that promises to be linearizable, unless nodes lose power.
struct Waiving(OneCopy);

impl System for Waiving {
    fn manifest(&self) -> Manifest {
        self.manifest_under(&[])
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        let crashes = nemeses.iter().any(|name| name == "crash");
        let claim = if crashes { Claim::Breaks } else { Claim::Holds };
        Manifest { claims: vec![(Guarantee::Linearizable, claim)], ..self.0.manifest() }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        self.0.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        self.0.client(cx)
    }
}

fn measured(quirk: Quirk) -> Guarantees {
    let mut plan = Plan::new("short", "one-copy");
    plan.nemeses = vec!["crash".to_owned()];
    plan.safety = Duration::from_secs(8);
    plan.liveness = Duration::from_secs(2);
    plan.canary_runs = 3;
    let entry = Entry { plan, system: Arc::new(Waiving(OneCopy(quirk))) };
    measure(&[entry], &[], |campaign| campaign.seeds(0..6), &mut |_| {}).unwrap().0
}

fn linearizable(guarantees: &Guarantees) -> &Line {
    let mut lines = guarantees.modes[0].lines.iter();
    lines.find(|line| line.guarantee == Guarantee::Linearizable).unwrap()
}

#[test]
fn what_a_nemesis_waives_is_held_without_it_and_needs_a_witness_with_it() {
    let guarantees = measured(Quirk::AnswersBeforeSync);
    let line = linearizable(&guarantees);
    let [Some(without), Some(with)] = &line.cells[..] else { panic!("{:?}", line.cells) };
    assert_eq!((line.claim, without.claim, with.claim), {
        (Claim::Holds, Claim::Holds, Claim::Breaks)
    });
    assert!(without.broken == 0 && with.broken > 0, "{without:?} {with:?}");
    assert_eq!(line.standing, Standing::Met);
    assert_eq!(line.waived().collect::<Vec<_>>(), [1]);
    assert_eq!(guarantees.ending(), Ending::Met);
}

#[test]
fn a_waiver_without_a_witness_is_a_failure() {
    let guarantees = measured(Quirk::None);
    assert_eq!(linearizable(&guarantees).standing, Standing::NoWitness);
    assert_eq!(guarantees.ending(), Ending::Violated);
}

fn store(name: &str, settings: &str) -> Result<Box<dyn System>, String> {
    let settings: Settings = settings.parse().unwrap();
    SYSTEMS.iter().find(|entry| entry.name == name).unwrap().configured(&settings)
}

fn says(system: &dyn System, guarantee: Guarantee, nemesis: &str) -> Claim {
    system.manifest_under(&[nemesis.to_owned()]).claim(guarantee, false)
}

#[test]
fn clocks_waive_what_counts_on_them_and_nothing_else() {
    let lease = store("raft", "reads = \"lease\"").unwrap();
    assert_eq!(says(&*lease, Guarantee::Linearizable, "partition"), Claim::Holds);
    assert_eq!(says(&*lease, Guarantee::Linearizable, "clock"), Claim::Breaks);
    assert_eq!(says(&*lease, Guarantee::Durable, "clock"), Claim::Holds);
    for reads in ["read-index", "follower"] {
        let raft = store("raft", &format!("reads = \"{reads}\"")).unwrap();
        assert_eq!(says(&*raft, Guarantee::Linearizable, "clock"), Claim::Holds);
    }
    let later_wins = store("leaderless", "").unwrap();
    assert_eq!(says(&*later_wins, Guarantee::Durable, "clock"), Claim::Breaks);
    assert_eq!(says(&*later_wins, Guarantee::Durable, "delay"), Claim::Holds);
    let atomic = store("leaderless-abd", "").unwrap();
    assert_eq!(says(&*atomic, Guarantee::Durable, "clock"), Claim::Holds);
    let siblings = store("leaderless", "conflicts = \"siblings\"").unwrap();
    assert_eq!(says(&*siblings, Guarantee::Durable, "clock"), Claim::Holds);
}

#[test]
fn a_way_to_answer_reads_is_no_setting_of_a_mode_that_has_one_only() {
    let refusal = store("primary-async", "reads = \"lease\"").err().unwrap();
    assert!(refusal.contains("`reads`") && refusal.contains("primary-async"), "{refusal}");
    assert!(store("raft", "reads = \"fast\"").is_err());
}

/// In how many of some runs a leader that is cut off answers reads that it must not, because its clock
/// runs at this rate.
fn broken_leases(rate: Rate) -> usize {
    let system: Arc<dyn System> = Arc::from(store("raft", "reads = \"lease\"").unwrap());
    let mut plan = Plan::new("test", "raft");
    plan.nemeses.clear();
    plan.nodes = vec![3];
    plan.keys = [1, 2];
    let target = Target::Leader;
    let faults = [
        (Fault::ClockDrift { target, rate }, 5000, 9000),
        (Fault::Partition { shape: Shape::Isolate { target } }, 5500, 9000),
    ];
    let schedule = schedule(&faults, |_| 1);
    let broken = (0..25).filter(|seed| {
        let options = Options { schedule: Some(schedule.clone()), ..Options::default() };
        let report = run(&system, &plan, Seed(*seed), options);
        let mut judged = report.judged.iter();
        let found = judged.find(|judged| judged.guarantee == Guarantee::Linearizable);
        found.unwrap().verdict.is_invalid()
    });
    broken.count()
}

#[test]
fn a_lease_holds_while_clocks_drift_within_its_bound_and_breaks_beyond_it() {
    assert_eq!(broken_leases(Rate { counts: 9, of: 10 }), 0);
    assert_eq!(broken_leases(Rate { counts: 11, of: 10 }), 0);
    assert!(broken_leases(Rate { counts: 1, of: 6 }) > 0);
}

#[test]
fn a_guarantee_is_measured_under_what_its_plan_leaves_to_others_where_its_system_is_made_for_that()
{
    let entry = |name: &str, settings: &str| {
        let system = Arc::from(store(name, settings).unwrap());
        let plan = Plan { nemeses: vec!["crash".to_owned()], ..Plan::new("p", name) };
        Entry { plan, system }
    };
    let own = Entry {
        plan: Plan { nemeses: Vec::new(), ..Plan::new("own", "one-copy") },
        system: Arc::new(Waiving(OneCopy(Quirk::None))),
    };
    // Of two replicas of a key, one that lost its disk may have been the only one.
    let two_copies = entry("leaderless", "replicas = 2\nwrite-quorum = 1");
    let entries = [entry("raft", ""), two_copies, own, entry("multi-leader", "")];
    let parts = split(&entries, &["wipe", "membership"]).unwrap();
    let groups = |index| {
        let of_plan = parts.iter().filter(move |(plan, ..)| *plan == index);
        of_plan.map(|(_, group, _)| group.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(groups(0), ["no faults", "all faults", "wipe", "membership"]);
    assert_eq!(groups(1), ["no faults", "all faults", "membership"]);
    assert_eq!(groups(2), ["no faults", "wipe"], "its members stay");
    let together = "all faults and wipe";
    assert_eq!(groups(3), ["no faults", "all faults", "wipe", together, "membership"]);
    let both = parts.iter().find(|(_, group, _)| group.to_string() == together).unwrap();
    assert_eq!(both.2.plan.nemeses, ["crash", "wipe"]);
    let wiped = parts.iter().find(|(_, group, _)| group.to_string() == "wipe").unwrap();
    assert_eq!(
        (wiped.2.plan.name.as_str(), &wiped.2.plan.nemeses[..]),
        ("p-wipe", &["wipe".to_owned()][..])
    );
}

//! What replication gains and costs, in virtual time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stormglass::campaign::Entry;
use stormglass::plan::{self, Plan};
use stormglass::system::SYSTEMS;
use stormglass::tradeoffs::{Mode, Reason, Sort, measure};

fn measured(system: &str, reason: Reason) -> Mode {
    let file = std::path::Path::new("tradeoffs.toml");
    let plans: Vec<Plan> = plan::parse(plan::TRADEOFFS, file, SYSTEMS).unwrap();
    let plan = plans.into_iter().find(|plan| plan.system == system).unwrap();
    let registration = SYSTEMS.iter().find(|entry| entry.name == system).unwrap();
    let system = Arc::from(registration.configured(&plan.settings).unwrap());
    let entries = [Entry { plan, system }];
    let stop = AtomicBool::new(false);
    let mut measured = measure(&entries, &(0..1), &[reason], &stop, &|_| {}).unwrap();
    assert_eq!(measured.violations, []);
    measured.modes.remove(0)
}

#[test]
fn a_replica_nearby_answers_sooner_than_a_leader_far_away() {
    let mode = measured("raft", Reason::Latency);
    let p50 = |region: usize, sort: Sort| {
        let mut all = mode.latency.iter();
        all.find(|one| one.region == region && one.sort == sort).unwrap().p50.as_millis()
    };
    for region in 1..=3 {
        assert!(p50(region, Sort::ReplicaRead) < 10, "{:?}", mode.latency);
        // A change needs a majority, and that is in two regions.
        assert!(p50(region, Sort::Write) > 20, "{:?}", mode.latency);
    }
    assert!(p50(3, Sort::Write) > p50(1, Sort::Write), "{:?}", mode.latency);
    assert!(mode.faults.is_empty() && mode.throughput.is_empty(), "nothing else was measured");
}

#[test]
fn what_a_fault_costs_depends_on_whom_it_hits() {
    let mode = measured("raft", Reason::Availability);
    let under = |fault: &str| mode.faults.iter().find(|under| under.fault == fault).unwrap();
    let of_100 = |fault: &str, sort: Sort| {
        let served = under(fault).served.iter().find(|served| served.sort == sort).unwrap();
        100 * served.ok / served.tried
    };
    assert_eq!(of_100("none", Sort::Write), 100);
    assert!(of_100("minority loses power", Sort::Write) >= 95);
    assert!(of_100("majority loses power", Sort::Write) <= 40);
    let gap = |fault: &str| under(fault).without_writes.longest.as_millis();
    assert!(gap("follower loses power") < gap("leader loses power"), "{:?}", mode.faults);
    assert!(gap("leader loses power") < 2500, "{:?}", mode.faults);
    assert!(gap("majority loses power") >= 5_000, "{:?}", mode.faults);
    assert!(mode.faults.iter().all(|under| under.lost_writes == 0), "{:?}", mode.faults);
}

#[test]
fn replica_reads_grow_with_the_replicas_and_reads_through_a_leader_do_not() {
    let mode = measured("raft", Reason::Throughput);
    let [first, .., last] = &mode.throughput[..] else { panic!("{:?}", mode.throughput) };
    assert_eq!((first.nodes, last.nodes), (1, 7));
    assert!(last.replica_reads_a_second > 5 * first.replica_reads_a_second, "{last:?}");
    assert!(last.reads_a_second <= first.reads_a_second, "{last:?}");
}

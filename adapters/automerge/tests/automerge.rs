//! What the store promises under faults, that its mistakes are found, and that its runs replay.

use automerge_kv::AutomergeKv;
use kit::Trial;

fn trial(settings: &str) -> Trial {
    Trial::new(AutomergeKv::played_by(env!("CARGO_BIN_EXE_automerge-kv")), settings)
}

#[test]
fn it_keeps_what_it_promises() {
    trial("").holds(0..3);
    trial("sets = true").workload("set").holds(0..3);
}

#[test]
fn it_is_not_linearizable() {
    trial("").breaks(0..5);
}

#[test]
fn without_syncs_what_was_added_is_lost() {
    let report = trial("sets = true\nmistake = 'no-sync'").workload("set").breaks(0..10);
    assert_eq!(report.conclusion(), stormglass::run::Conclusion::Invalid);
}

#[test]
fn runs_are_the_same_in_processes_of_their_own() {
    let runs = || (0..3).map(|seed| trial("").run(seed).fingerprint);
    assert!(runs().eq(runs()));
}

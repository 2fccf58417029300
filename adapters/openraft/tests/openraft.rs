//! What the store promises under faults, that its mistakes are found, and that its runs replay.

use kit::Trial;
use openraft_kv::OpenRaftKv;

fn trial(settings: &str) -> Trial {
    Trial::new(OpenRaftKv::played_by(env!("CARGO_BIN_EXE_openraft-kv")), settings)
}

#[test]
fn it_keeps_what_it_promises() {
    trial("").holds(0..5);
    trial("").workload("append").holds(0..2);
}

#[test]
fn without_syncs_something_is_broken() {
    trial("mistake = 'no-sync'").breaks(0..20);
}

#[test]
fn reads_that_ask_nobody_are_stale() {
    trial("mistake = 'local-reads'").breaks(0..20);
}

#[test]
fn a_leader_that_forgets_what_was_committed_answers_reads_from_before() {
    trial("mistake = 'no-committed'").nemesis("restart").breaks(0..20);
}

#[test]
fn runs_are_the_same_in_processes_of_their_own_and_differ_in_one() {
    let runs = |trial: &Trial| (0..3).map(|seed| trial.run(seed).fingerprint).collect::<Vec<_>>();
    let (apart, here) = (trial(""), Trial::new(OpenRaftKv::played_here(), ""));
    assert_eq!(runs(&apart), runs(&apart));
    assert_ne!(runs(&here), runs(&here));
}

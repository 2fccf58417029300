//! What the store promises under faults, and that its mistakes and those of the library are found.

use kit::Trial;
use omnipaxos_kv::OmniPaxosKv;

fn trial(settings: &str) -> Trial {
    Trial::new(OmniPaxosKv::default(), settings)
}

#[test]
fn it_keeps_what_it_promises() {
    trial("").holds(0..10);
    trial("").workload("append").holds(0..3);
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
fn what_was_decided_is_lost_and_repeated_with_snapshots_of_the_library() {
    trial("compaction = 'snapshot'").breaks(0..20);
}

#[test]
fn what_the_library_lets_all_forget_some_still_need() {
    trial("compaction = 'trim-accepted'").breaks(120..121);
}

#[test]
fn runs_are_the_same_in_one_process() {
    let runs = || (0..5).map(|seed| trial("").run(seed).fingerprint);
    assert!(runs().eq(runs()));
}

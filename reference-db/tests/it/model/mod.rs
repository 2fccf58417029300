//! The protocols, explored in small scopes; the example `model-check` explores larger ones.

use self::explore::{Bounds, Entry, MODELS, Scope, Wishes, named};

#[path = "../../../examples/model-check/explore/mod.rs"]
mod explore;

fn model(name: &str) -> &'static Entry {
    MODELS.iter().find(|model| model.name == name).unwrap()
}

/// Nothing is broken, and whatever is to be possible is.
fn check(name: &str) {
    let model = model(name);
    let findings = (model.explore)((model.bounds)(Scope::Small), None);
    assert!(findings.hold(), "{name}: {:?}", findings.properties);
    let reached = findings.properties.iter().filter(|property| property.sometimes).count();
    assert!(reached > 0, "{name}: nothing has to be possible, and so nothing is shown to be");
    assert!(findings.states > findings.unique && findings.depth >= 8, "{name} explores nothing");
}

/// Each mistake breaks its property, after so many steps and not before.
fn check_planted(name: &str, lengths: &[usize]) {
    let model = model(name);
    let bounds = Bounds { crashes: 1, ..(model.bounds)(Scope::Small) };
    assert_eq!(model.plants.len(), lengths.len());
    for (planted, length) in model.plants.iter().zip(lengths) {
        let findings = (model.explore)(bounds, Some(*planted));
        let steps = &findings.finding(planted.1).unwrap().steps;
        assert_eq!(steps.len(), *length, "{planted:?}: {steps:#?}");
    }
}

#[test]
fn the_full_scope_has_no_fewer_timers_than_the_small_one() {
    for model in MODELS {
        let (small, full) = ((model.bounds)(Scope::Small), (model.bounds)(Scope::Full));
        assert!(small.timers <= full.timers, "{}", model.name);
        assert!(small.asks <= full.asks, "{}", model.name);
    }
}

#[test]
fn a_model_that_is_named_twice_is_explored_once() {
    let names = ["crdt-set", "raft-reads", "crdt-set"].map(str::to_owned);
    let chosen: Vec<_> = named(&names).unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(chosen, ["raft-reads", "crdt-set"]);
    assert_eq!(named(&[]).unwrap().len(), MODELS.len());
    let unknown = named(&["crdt-set".to_owned(), "raft".to_owned()]).err().unwrap();
    assert!(
        unknown.starts_with("no model is called `raft`; there are raft-election, "),
        "{unknown}"
    );
}

#[test]
fn what_a_model_does_not_have_is_refused() {
    let wishes = Wishes { timers: Some(3), crashes: Some(2), ..Wishes::default() };
    let bounds = model("raft-election").bounds_with(Scope::Small, wishes).unwrap();
    assert_eq!((bounds.timers, bounds.crashes, bounds.wipes), (3, 2, 0));
    let refused = |wishes| model("crdt-set").bounds_with(Scope::Small, wishes).unwrap_err();
    let timers = "crdt-set has no timers: leave --timers away, or name other models";
    assert_eq!(refused(wishes), timers);
    assert!(refused(Wishes { wipes: Some(1), ..Wishes::default() }).contains("--wipes"));
    assert!(refused(Wishes { void: true, ..Wishes::default() }).contains("--void"));
    let wishes = Wishes { crashes: Some(2), ..Wishes::default() };
    assert_eq!(model("crdt-set").bounds_with(Scope::Small, wishes).unwrap().crashes, 2);
}

#[test]
fn no_election_of_raft_is_unsafe() {
    check("raft-election");
}

#[test]
fn raft_replicates_safely() {
    check("raft-replication");
}

#[test]
fn reads_of_raft_are_linearizable() {
    check("raft-reads");
}

#[test]
fn members_of_raft_are_let_go_safely() {
    check("raft-members");
    check("raft-members-of-two");
}

#[test]
fn members_of_raft_are_let_in_safely() {
    check("raft-members-let-in");
}

#[test]
fn two_disks_have_what_semi_sync_acknowledges() {
    check("primary-semi-sync");
}

#[test]
fn two_primaries_in_turn_acknowledge_into_one_log() {
    check("primary-semi-sync-failover");
}

#[test]
fn nobody_becomes_the_partner_who_lacks_what_was_acknowledged() {
    check("primary-semi-sync-replacement");
}

#[test]
fn states_that_merge_converge() {
    check("crdt-set");
    check("crdt-counter");
    check("crdt-siblings");
    check("crdt-register");
}

#[test]
fn states_that_merge_converge_after_a_crash() {
    check("crdt-set-crash");
    check("crdt-counter-crash");
    check("crdt-siblings-crash");
    check("crdt-register-crash");
}

#[test]
fn registers_without_a_leader_are_atomic() {
    check("leaderless-abd");
    check("leaderless-abd-crash");
    check("leaderless-abd-writers");
}

#[test]
fn forgotten_votes_elect_two_leaders() {
    check_planted("raft-election", &[11]);
}

#[test]
fn each_mistake_breaks_its_property_of_raft() {
    check_planted("raft-replication", &[2, 4, 8, 11]);
    check_planted("raft-reads", &[7]);
    check_planted("raft-members", &[8]);
    check_planted("raft-members-of-two", &[6]);
    check_planted("raft-members-let-in", &[2]);
}

#[test]
fn each_mistake_breaks_its_property_of_semi_sync() {
    check_planted("primary-semi-sync", &[3, 6]);
    check_planted("primary-semi-sync-failover", &[4]);
    check_planted("primary-semi-sync-replacement", &[7]);
}

#[test]
fn each_mistake_makes_a_register_not_atomic() {
    check_planted("leaderless-abd", &[7, 7]);
    check_planted("leaderless-abd-crash", &[9, 9]);
    check_planted("leaderless-abd-writers", &[8]);
}

#[test]
fn a_replica_that_numbers_its_changes_anew_breaks_convergence() {
    check_planted("crdt-set", &[6]);
    check_planted("crdt-counter", &[5]);
    check_planted("crdt-siblings", &[6]);
    check_planted("crdt-register", &[6]);
}

#[test]
fn a_replica_that_sends_what_its_disk_forgets_breaks_convergence() {
    check_planted("crdt-set-crash", &[6]);
    check_planted("crdt-counter-crash", &[5]);
    check_planted("crdt-siblings-crash", &[6]);
    check_planted("crdt-register-crash", &[6]);
}

/// Worlds are told apart by what is under way, and what makes no difference must not: without it each
/// node comes into the same states.
#[test]
fn what_is_void_makes_no_difference() {
    let of_nodes = |name: &str, bounds: Bounds| {
        let with = (model(name).explore)(Bounds { void: true, ..bounds }, None);
        let without = (model(name).explore)(Bounds { void: false, ..bounds }, None);
        assert!(without.unique < with.unique, "{name}: nothing was void");
        let differing = without.nodes.symmetric_difference(&with.nodes).count();
        assert_eq!(differing, 0, "{name}: of {} states of nodes", with.nodes.len());
    };
    let bounds = Bounds { timers: 1, timed: &[0], crashes: 1, ..Bounds::NONE };
    of_nodes("raft-election", bounds);
    // A leader that crashes leads no longer, whoever answers it.
    of_nodes("raft-reads", Bounds { timers: 0, asks: 2, ..bounds });
}

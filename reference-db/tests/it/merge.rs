//! States that merge: the laws of a join, and what each type does with changes that did not know of
//! each other. Every state that few replicas reach in few steps is tried, and random longer ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::prelude::*;
use stormglass_reference_db::merge::{
    Actor, Clock, Counter, Dot, Merge, Register, Set, Siblings, Stamp, VersionVector,
};

/// What happens to replicas that hold a state each.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of them changes its state, in one of a few ways.
    Change { at: usize, how: usize },
    /// One of them takes in the state of another.
    Merge { from: usize, to: usize },
}

/// A type under test, together with what it should come to.
trait Case: Merge + Clone + Default + PartialEq + Debug {
    /// In how many ways a state can be changed.
    const WAYS: usize;

    /// Changes a state.
    fn change(&mut self, at: Actor, how: usize, dot: Dot);
}

const ELEMENTS: [&str; 2] = ["a", "b"];

impl Case for Set {
    const WAYS: usize = 4;

    fn change(&mut self, _: Actor, how: usize, dot: Dot) {
        match how {
            0 | 1 => self.add(dot, ELEMENTS[how].into()),
            _ => self.remove(ELEMENTS[how - 2].as_bytes()),
        }
    }
}

impl Case for Siblings {
    const WAYS: usize = 3;

    fn change(&mut self, _: Actor, how: usize, dot: Dot) {
        let value = || Some(format!("{dot:?}").into_bytes());
        match how {
            0 => self.write(dot, &self.context().clone(), value()),
            1 => self.write(dot, &VersionVector::default(), value()),
            _ => self.write(dot, &self.context().clone(), None),
        }
    }
}

impl Case for Counter {
    const WAYS: usize = 2;

    fn change(&mut self, at: Actor, how: usize, _: Dot) {
        self.add(at, [2, -1][how]);
    }
}

impl Case for Register {
    const WAYS: usize = 2;

    fn change(&mut self, at: Actor, how: usize, dot: Dot) {
        let mut clock = Clock::default();
        clock.see(self.stamp());
        let value = (how == 0).then(|| format!("{dot:?}").into_bytes());
        *self = Register::written(clock.issue(at, dot.number), value);
    }
}

impl Case for VersionVector {
    const WAYS: usize = 1;

    fn change(&mut self, _: Actor, _: usize, dot: Dot) {
        self.see(dot);
    }
}

/// Replicas and what they hold; dots are numbered as they are issued.
#[derive(Clone)]
struct Replicas<T> {
    states: Vec<T>,
    issued: Vec<u64>,
}

impl<T: Case> Replicas<T> {
    fn new(count: usize) -> Replicas<T> {
        Replicas { states: vec![T::default(); count], issued: vec![0; count] }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Change { at, how } => {
                self.issued[at] += 1;
                let actor = actor(at);
                self.states[at].change(actor, how, Dot { actor, number: self.issued[at] });
            }
            Step::Merge { from, to } => {
                let other = self.states[from].clone();
                self.states[to].merge(&other);
            }
        }
    }
}

fn actor(at: usize) -> Actor {
    Actor(at as u128)
}

/// Every step that can happen to so many replicas.
fn steps<T: Case>(count: usize) -> Vec<Step> {
    let changes = (0..count).flat_map(|at| (0..T::WAYS).map(move |how| Step::Change { at, how }));
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    let merges = pairs.filter(|(from, to)| from != to).map(|(from, to)| Step::Merge { from, to });
    changes.chain(merges).collect()
}

/// Calls `visit` with every sequence of steps up to a length, and what it leaves.
fn visit_all<T: Case>(count: usize, length: usize, visit: &mut impl FnMut(&[Step], &Replicas<T>)) {
    fn go<T: Case>(
        path: &mut Vec<Step>,
        replicas: &Replicas<T>,
        left: usize,
        visit: &mut impl FnMut(&[Step], &Replicas<T>),
    ) {
        visit(path, replicas);
        if left == 0 {
            return;
        }
        for step in steps::<T>(replicas.states.len()) {
            let mut next = replicas.clone();
            next.step(step);
            path.push(step);
            go(path, &next, left - 1, visit);
            path.pop();
        }
    }
    go(&mut Vec::new(), &Replicas::new(count), length, visit);
}

fn merged<T: Case>(one: &T, other: &T) -> T {
    let mut merged = one.clone();
    merged.merge(other);
    merged
}

/// The laws of a join, for three states.
fn check_laws<T: Case>(a: &T, b: &T, c: &T) {
    let ab = merged(a, b);
    assert_eq!(ab, merged(b, a), "commutative: {a:?} and {b:?}");
    assert_eq!(merged(&ab, c), merged(a, &merged(b, c)), "associative: {a:?}, {b:?}, {c:?}");
    assert_eq!(merged(&ab, b), ab, "idempotent: {a:?} and {b:?}");
    assert_eq!(merged(a, a), *a, "idempotent: {a:?}");
    assert_eq!(merged(a, &T::default()), *a, "nothing adds nothing: {a:?}");
}

fn check_laws_everywhere<T: Case>(length: usize) {
    let mut count = 0_u64;
    visit_all::<T>(3, length, &mut |_, replicas| {
        count += 1;
        let [a, b, c] = &replicas.states[..] else { panic!("three replicas") };
        check_laws(a, b, c);
    });
    assert!(count > 100, "{count} sequences test too little");
}

#[test]
fn merging_is_a_join_in_every_state_that_few_steps_reach() {
    check_laws_everywhere::<Set>(4);
    check_laws_everywhere::<Siblings>(4);
    check_laws_everywhere::<Counter>(4);
    check_laws_everywhere::<Register>(4);
    check_laws_everywhere::<VersionVector>(5);
}

#[test]
fn an_outline_tells_whether_its_state_has_anything_to_give_to_another() {
    let (mut gives, mut count) = (0_u64, 0_u64);
    visit_all::<Siblings>(2, 5, &mut |steps, replicas| {
        let [a, b] = &replicas.states[..] else { panic!("two replicas") };
        count += 1;
        gives += u64::from(!a.contains(&b.outline()));
        assert_eq!(a.contains(&b.outline()), merged(a, b) == *a, "after {steps:?}");
    });
    assert!(gives > 100 && gives < count, "{gives} of {count} test too little");
}

#[test]
fn states_that_know_the_same_and_show_something_else_are_told_apart() {
    let nothing = VersionVector::default();
    let dot = Dot { actor: Actor(0), number: 1 };
    let [mut shows, mut took_away] = [Siblings::default(), Siblings::default()];
    shows.write(dot, &nothing, Some(b"a".to_vec()));
    // Only a client that lies about what it has read makes such a state.
    took_away.write(dot, &nothing, None);
    assert_eq!(shows.context(), took_away.context());
    assert!(!shows.contains(&took_away.outline()) && took_away.contains(&shows.outline()));
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..4_usize, 0..4_usize).prop_map(|(at, how)| Step::Change { at, how });
    let merge =
        (0..4_usize, 1..4_usize).prop_map(|(from, by)| Step::Merge { from, to: (from + by) % 4 });
    prop_oneof![change, merge]
}

fn check_laws_after<T: Case>(steps: &[Step]) {
    let mut replicas = Replicas::<T>::new(4);
    for step in steps {
        replicas.step(match *step {
            Step::Change { at, how } => Step::Change { at, how: how % T::WAYS },
            merge @ Step::Merge { .. } => merge,
        });
    }
    let states = &replicas.states;
    for (a, b, c) in [(0, 1, 2), (1, 2, 3), (2, 3, 0)] {
        check_laws(&states[a], &states[b], &states[c]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_a_join_in_random_states(steps in prop::collection::vec(step(), 0..40)) {
        check_laws_after::<Set>(&steps);
        check_laws_after::<Siblings>(&steps);
        check_laws_after::<Counter>(&steps);
        check_laws_after::<Register>(&steps);
        check_laws_after::<VersionVector>(&steps);
    }
}

/// What a replica knows of a set, kept the naive way: every addition, and every one that was removed
/// by somebody who knew of it. An element is there while one of its additions was not removed.
#[derive(Clone, Default)]
struct Observed {
    added: BTreeMap<Dot, &'static str>,
    removed: BTreeSet<Dot>,
}

impl Observed {
    fn elements(&self) -> BTreeSet<&[u8]> {
        let there = self.added.iter().filter(|(dot, _)| !self.removed.contains(dot));
        there.map(|(_, element)| element.as_bytes()).collect()
    }

    fn remove(&mut self, element: &str) {
        let added = self.added.iter().filter(|(_, held)| **held == element).map(|(dot, _)| *dot);
        self.removed.extend(added.collect::<Vec<_>>());
    }
}

/// What the steps leave in every replica by the naive rule.
fn observed(steps: &[Step], count: usize) -> Vec<Observed> {
    let mut replicas = vec![Observed::default(); count];
    let mut issued = vec![0; count];
    for step in steps {
        match *step {
            Step::Change { at, how } => {
                issued[at] += 1;
                let dot = Dot { actor: actor(at), number: issued[at] };
                match how {
                    0 | 1 => {
                        replicas[at].added.insert(dot, ELEMENTS[how]);
                    }
                    _ => replicas[at].remove(ELEMENTS[how - 2]),
                }
            }
            Step::Merge { from, to } => {
                let Observed { added, removed } = replicas[from].clone();
                replicas[to].added.extend(added);
                replicas[to].removed.extend(removed);
            }
        }
    }
    replicas
}

#[test]
fn a_set_holds_what_was_added_and_not_removed_by_one_who_knew_of_it() {
    let mut removals = 0_u64;
    visit_all::<Set>(2, 6, &mut |steps, replicas| {
        let expected = observed(steps, 2);
        for (set, expected) in replicas.states.iter().zip(&expected) {
            assert_eq!(set.elements(), expected.elements(), "after {steps:?}");
            removals += u64::from(!expected.removed.is_empty());
        }
    });
    assert!(removals > 1000, "{removals} removals test too little");
}

#[test]
fn an_element_that_is_added_and_removed_at_the_same_time_stays() {
    let mut here = Set::default();
    here.add(Dot { actor: Actor(0), number: 1 }, b"a".to_vec());
    let mut there = here.clone();
    here.remove(b"a");
    there.add(Dot { actor: Actor(1), number: 1 }, b"a".to_vec());
    assert_eq!(merged(&here, &there).elements(), BTreeSet::from([b"a".as_slice()]));
    // A removal that knew of both leaves nothing, wherever it comes from.
    let mut later = merged(&here, &there);
    later.remove(b"a");
    assert!(merged(&there, &later).is_empty() && merged(&later, &here).is_empty());
}

/// All values that no later write knew of, by the naive rule: a write is replaced by every write whose
/// context has it.
#[test]
fn no_write_is_lost_but_to_one_who_had_read_it() {
    let mut siblings = 0_u64;
    visit_all::<Siblings>(2, 6, &mut |steps, replicas| {
        let mut known = vec![BTreeSet::new(); 2];
        let mut replaced = vec![BTreeSet::new(); 2];
        let mut issued = [0; 2];
        for step in steps {
            match *step {
                Step::Change { at, how } => {
                    issued[at] += 1;
                    let dot = Dot { actor: actor(at), number: issued[at] };
                    if how != 1 {
                        let context = known[at].clone();
                        replaced[at].extend(context);
                    }
                    if how == 2 {
                        replaced[at].insert(dot);
                    }
                    known[at].insert(dot);
                }
                Step::Merge { from, to } => {
                    let (there, gone) = (known[from].clone(), replaced[from].clone());
                    known[to].extend(there);
                    replaced[to].extend(gone);
                }
            }
        }
        for (at, state) in replicas.states.iter().enumerate() {
            let remain = known[at].difference(&replaced[at]).map(|dot| format!("{dot:?}"));
            let expected: BTreeSet<Vec<u8>> = remain.map(String::into_bytes).collect();
            let values: BTreeSet<Vec<u8>> = state.values().map(<[u8]>::to_vec).collect();
            assert_eq!(values, expected, "after {steps:?}");
            siblings += u64::from(values.len() > 1);
        }
    });
    assert!(siblings > 1000, "{siblings} conflicts test too little");
}

#[test]
fn a_write_replaces_what_its_client_read_elsewhere_and_what_comes_late() {
    let mut there = Siblings::default();
    let first = Dot { actor: Actor(1), number: 4 };
    there.write(first, &VersionVector::default(), Some(b"old".to_vec()));
    let mut here = Siblings::default();
    here.write(Dot { actor: Actor(0), number: 1 }, there.context(), Some(b"new".to_vec()));
    let both = merged(&here, &there);
    assert_eq!(both.values().collect::<Vec<_>>(), [b"new"]);
}

#[test]
fn two_writes_from_one_context_through_one_actor_are_siblings() {
    let mut key = Siblings::default();
    let context = key.context().clone();
    key.write(Dot { actor: Actor(0), number: 1 }, &context, Some(b"a".to_vec()));
    key.write(Dot { actor: Actor(0), number: 2 }, &context, Some(b"b".to_vec()));
    assert_eq!(key.values().collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn a_counter_comes_to_the_sum_of_all_that_is_known() {
    let mut counts = 0_u64;
    visit_all::<Counter>(2, 7, &mut |steps, replicas| {
        let mut known: Vec<BTreeMap<Dot, i128>> = vec![BTreeMap::new(); 2];
        for (number, step) in (1..).zip(steps) {
            match *step {
                Step::Change { at, how } => {
                    known[at].insert(Dot { actor: actor(at), number }, [2, -1][how]);
                }
                Step::Merge { from, to } => {
                    let there = known[from].clone();
                    known[to].extend(there);
                }
            }
        }
        for (counter, known) in replicas.states.iter().zip(&known) {
            assert_eq!(counter.value(), known.values().sum::<i128>(), "after {steps:?}");
            counts += 1;
        }
    });
    assert!(counts > 1000, "{counts} counters test too little");
}

#[test]
fn the_later_write_of_a_register_wins_and_one_who_knows_another_is_later() {
    let (mut here, mut there) = (Clock::default(), Clock::default());
    let early = here.issue(Actor(0), 100);
    let behind = there.issue(Actor(1), 7);
    assert!(behind < early, "clocks decide between those that do not know of each other");
    there.see(early);
    let after = there.issue(Actor(1), 8);
    assert!(after > early, "a clock that is behind does not matter to one who knows");
    assert_ne!(Stamp { actor: Some(Actor(2)), ..early }, early);
    let old = Register::written(early, Some(b"old".to_vec()));
    let gone = Register::written(after, None);
    assert_eq!(merged(&old, &gone).value(), None);
    assert_eq!(merged(&gone, &old).value(), None);
}

#[test]
fn version_vectors_compare_by_what_is_known() {
    let known = |numbers: [u64; 2]| -> VersionVector {
        (0..2).map(|at| Dot { actor: actor(at), number: numbers[at] }).collect()
    };
    assert!(known([1, 2]) < known([1, 3]));
    assert!(known([2, 2]) > known([0, 2]));
    assert_eq!(known([2, 1]).partial_cmp(&known([1, 2])), None);
    assert_eq!(known([0, 0]), VersionVector::default());
    assert!(known([1, 2]).has(Dot { actor: actor(1), number: 2 }));
    assert!(!known([1, 2]).has(Dot { actor: actor(1), number: 3 }));
}

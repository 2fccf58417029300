//! Strong eventual convergence of the states that merge (Shapiro, Preguiça, Baquero and Zawirski,
//! "Conflict-free Replicated Data Types", 2011, definition 2.3): replicas that have seen the same
//! changes hold the same. And what they hold is what the changes come to.
//!
//! Three replicas are changed on their own. Every state that one of them ever had may arrive at every
//! other one from then on, or never, in any order and any number of times. A replica that crashes comes
//! back with what is on its disk. That is at least what it was when somebody got a state of it: it sends nothing
//! that is not on its disk. What it had on top of that, it may have lost, and its next change then takes the
//! number of a lost one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};
use stormglass_reference_db::merge::{
    Actor, Clock, Counter, Dot, Merge, Register, Set, Siblings, VersionVector,
};

use super::digest::{Digest, digest};
use super::world::NODES;
use super::{Bounds, Entry, Has, Plant, Planted, Scope, explore_model};

/// The set in which what is added and removed at once stays.
pub(crate) const SET: Entry =
    entry::<Set>("crdt-set", &[(Plant::OldImage, Set::SHOWS)], all_stay_up);

/// The counter.
pub(crate) const COUNTER: Entry =
    entry::<Counter>("crdt-counter", &[(Plant::OldImage, Counter::SHOWS)], all_stay_up);

/// The register of which no write is lost.
pub(crate) const SIBLINGS: Entry =
    entry::<Siblings>("crdt-siblings", &[(Plant::OldImage, CONVERGENCE)], all_stay_up);

/// The register of which the later write wins.
pub(crate) const REGISTER: Entry =
    entry::<Register>("crdt-register", &[(Plant::OldImage, CONVERGENCE)], all_stay_up);

/// The set, of which a replica crashes. It takes a third change to see that the number of one was given twice.
pub(crate) const SET_CRASH: Entry =
    entry::<Set>("crdt-set-crash", &[(Plant::EntriesForgotten, Set::SHOWS)], |_| CRASH);

/// The counter, of which a replica crashes.
pub(crate) const COUNTER_CRASH: Entry = entry::<Counter>(
    "crdt-counter-crash",
    &[(Plant::EntriesForgotten, Counter::SHOWS)],
    one_crashes,
);

/// The register of which no write is lost; of which a replica crashes.
pub(crate) const SIBLINGS_CRASH: Entry = entry::<Siblings>(
    "crdt-siblings-crash",
    &[(Plant::EntriesForgotten, CONVERGENCE)],
    one_crashes,
);

/// The register of which the later write wins; of which a replica crashes.
pub(crate) const REGISTER_CRASH: Entry = entry::<Register>(
    "crdt-register-crash",
    &[(Plant::EntriesForgotten, CONVERGENCE)],
    one_crashes,
);

const CRASH: Bounds = Bounds { timed: &[], crashes: 1, asks: 3, ..Bounds::NONE };

fn all_stay_up(scope: Scope) -> Bounds {
    match scope {
        Scope::Small => Bounds { crashes: 0, asks: 3, ..CRASH },
        Scope::Full => Bounds { crashes: 0, asks: 4, ..CRASH },
    }
}

fn one_crashes(scope: Scope) -> Bounds {
    match scope {
        Scope::Small => Bounds { asks: 2, ..CRASH },
        Scope::Full => CRASH,
    }
}

const CONVERGENCE: &str = "equal changes, equal states";

const fn entry<T: Convergent>(
    name: &'static str,
    plants: &'static [Planted],
    bounds: fn(Scope) -> Bounds,
) -> Entry {
    Entry {
        name,
        bounds,
        explore: |bounds, planted| {
            explore_model(|plant| Replicas::<T>::new(bounds, plant), Replicas::states, planted)
        },
        plants,
        has: Has { timers: false, wipes: false, void: false },
    }
}

/// A type whose replicas are changed on their own.
trait Convergent: Merge + Clone + Default + Debug + Send + Sync + 'static {
    /// What a replica is asked for.
    type Change: Copy + Debug + PartialEq + Hash + Send + Sync;

    /// All of that.
    const CHANGES: &'static [Self::Change];

    /// That a replica shows what the changes come to that it has seen.
    const SHOWS: &'static str;

    /// Makes a change, which may put a value there that no other change does.
    fn change(&mut self, change: Self::Change, dot: Dot, value: Vec<u8>);

    /// Whether it is what those changes come to.
    fn shows(&self, seen: &[Seen<Self::Change>]) -> bool;

    /// Whether two changes that do not know of each other are in each other's way.
    fn are_rivals(one: Self::Change, other: Self::Change) -> bool;
}

/// The number of a change in the world: by whom it was made, and the how many-th of that replica it was.
type Number = (u32, usize);

/// A change that was made, and what its replica had seen before.
#[derive(Clone, Debug, PartialEq, Hash)]
struct Seen<C> {
    number: Number,
    change: C,
    after: BTreeSet<Number>,
}

impl<C> Seen<C> {
    fn knows(&self, other: &Seen<C>) -> bool {
        self.after.contains(&other.number)
    }
}

/// The changes that none of the others has seen which may replace them.
fn latest<C: Copy>(seen: &[Seen<C>], replaces: impl Fn(C) -> bool) -> impl Iterator<Item = C> {
    let replaced = move |one: &&Seen<C>| seen.iter().any(|o| replaces(o.change) && o.knows(one));
    seen.iter().filter(move |one| !replaced(one)).map(|one| one.change)
}

#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum OfSet {
    Add,
    Remove,
}

const ELEMENT: &[u8] = b"x";

impl Convergent for Set {
    type Change = OfSet;

    const CHANGES: &'static [OfSet] = &[OfSet::Add, OfSet::Remove];

    const SHOWS: &'static str = "an add wins over a concurrent remove";

    fn change(&mut self, change: OfSet, dot: Dot, _: Vec<u8>) {
        match change {
            OfSet::Add => self.add(dot, ELEMENT.to_vec()),
            OfSet::Remove => self.remove(ELEMENT),
        }
    }

    fn shows(&self, seen: &[Seen<OfSet>]) -> bool {
        let mut left = latest(seen, |change| change == OfSet::Remove);
        self.elements().contains(ELEMENT) == left.any(|change| change == OfSet::Add)
    }

    fn are_rivals(one: OfSet, other: OfSet) -> bool {
        one != other
    }
}

impl Convergent for Counter {
    type Change = i64;

    const CHANGES: &'static [i64] = &[1, -2];

    const SHOWS: &'static str = "every increment counts once";

    fn change(&mut self, by: i64, dot: Dot, _: Vec<u8>) {
        self.add(dot.actor, by);
    }

    fn shows(&self, seen: &[Seen<i64>]) -> bool {
        self.value() == seen.iter().map(|increment| i128::from(increment.change)).sum::<i128>()
    }

    fn are_rivals(_: i64, _: i64) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum OfSiblings {
    /// By a client that has read nothing.
    Write,
    /// By one that has read what is there.
    Replace,
    /// By one too.
    Delete,
}

impl Convergent for Siblings {
    type Change = OfSiblings;

    const CHANGES: &'static [OfSiblings] =
        &[OfSiblings::Write, OfSiblings::Replace, OfSiblings::Delete];

    const SHOWS: &'static str = "writes stay until somebody replaces them who has read them";

    fn change(&mut self, change: OfSiblings, dot: Dot, value: Vec<u8>) {
        let read = match change {
            OfSiblings::Write => VersionVector::default(),
            OfSiblings::Replace | OfSiblings::Delete => self.context().clone(),
        };
        self.write(dot, &read, (change != OfSiblings::Delete).then_some(value));
    }

    fn shows(&self, seen: &[Seen<OfSiblings>]) -> bool {
        let left = latest(seen, |change| change != OfSiblings::Write);
        self.values().count() == left.filter(|change| *change != OfSiblings::Delete).count()
    }

    fn are_rivals(_: OfSiblings, _: OfSiblings) -> bool {
        true
    }
}

/// A replica whose wall clock goes wrong.
const AHEAD: (Actor, u64) = (Actor(1), 100);

#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum OfRegister {
    Write,
    Delete,
}

impl Convergent for Register {
    type Change = OfRegister;

    const CHANGES: &'static [OfRegister] = &[OfRegister::Write, OfRegister::Delete];

    const SHOWS: &'static str = "no write wins over one that knew it";

    fn change(&mut self, change: OfRegister, dot: Dot, value: Vec<u8>) {
        let mut clock = Clock::default();
        clock.see(self.stamp());
        let wall = if dot.actor == AHEAD.0 { AHEAD.1 } else { 0 };
        let value = (change == OfRegister::Write).then_some(value);
        *self = Register::written(clock.issue(dot.actor, wall), value);
    }

    fn shows(&self, seen: &[Seen<OfRegister>]) -> bool {
        let shown = self.value().map_or(OfRegister::Delete, |_| OfRegister::Write);
        seen.is_empty() || latest(seen, |_| true).any(|change| change == shown)
    }

    fn are_rivals(_: OfRegister, _: OfRegister) -> bool {
        true
    }
}

/// A replica, and what it has seen.
#[derive(Clone)]
struct Replica<T> {
    state: T,
    seen: BTreeSet<Number>,
    digest: Digest,
}

impl<T: Debug> Debug for Replica<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replica { state, seen, .. } = self;
        write!(f, "{state:?} after {seen:?}")
    }
}

impl<T: Convergent> Replica<T> {
    fn new(state: T, seen: BTreeSet<Number>) -> Arc<Self> {
        let digest = digest(format!("{state:?} {seen:?}").as_bytes());
        Arc::new(Replica { state, seen, digest })
    }

    fn merged(&self, other: &Replica<T>) -> Arc<Self> {
        let Replica { mut state, mut seen, .. } = self.clone();
        state.merge(&other.state);
        seen.extend(&other.seen);
        Replica::new(state, seen)
    }
}

/// All that is true at a moment.
#[derive(Clone, Debug)]
struct World<T: Convergent> {
    replicas: Vec<Arc<Replica<T>>>,
    /// Every state that one of them had, and that is on its disk.
    sent: BTreeMap<Digest, Arc<Replica<T>>>,
    /// What each was since its disk was last sure to have it, that included, in order; nothing where no crash
    /// comes any more.
    unsure: Vec<Vec<Arc<Replica<T>>>>,
    crashes: usize,
    made: BTreeMap<Number, Seen<T::Change>>,
    /// A replica has come back as an old one.
    fell_back: bool,
}

impl<T: Convergent> World<T> {
    fn key(&self) -> impl PartialEq + Hash + '_ {
        let replicas: Vec<_> = self.replicas.iter().map(|replica| replica.digest).collect();
        let digests = |states: &Vec<Arc<Replica<T>>>| -> Vec<Digest> {
            states.iter().map(|state| state.digest).collect()
        };
        let unsure: Vec<_> = self.unsure.iter().map(digests).collect();
        let sent: Vec<_> = self.sent.keys().collect();
        (replicas, sent, unsure, self.crashes, &self.made, self.fell_back)
    }

    fn seen_by(&self, replica: &Replica<T>) -> Vec<Seen<T::Change>> {
        replica.seen.iter().map(|number| self.made[number].clone()).collect()
    }

    /// Whether a change was lost, and the replica that made it has made another one.
    fn has_gone_on(&self) -> bool {
        let is_there = |number: &Number| self.states().any(|one| one.seen.contains(number));
        let mut lost = self.made.keys().filter(|number| !is_there(number));
        lost.any(|(by, number)| is_there(&(*by, number + 1)))
    }

    fn converges(&self) -> bool {
        let mut states: BTreeMap<_, Digest> = BTreeMap::new();
        self.states().all(|one| *states.entry(&one.seen).or_insert(one.digest) == one.digest)
    }

    /// Whether a replica has seen two changes that are in each other's way.
    fn has_met(&self, replica: &Replica<T>) -> bool {
        let seen = self.seen_by(replica);
        let meet = |one: &Seen<T::Change>, other: &Seen<T::Change>| {
            one.number < other.number
                && !(one.knows(other) || other.knows(one))
                && T::are_rivals(one.change, other.change)
        };
        seen.iter().any(|one| seen.iter().any(|other| meet(one, other)))
    }

    /// Every state that a replica had, and that was not lost.
    fn states(&self) -> impl Iterator<Item = &Arc<Replica<T>>> {
        self.sent.values().chain(self.unsure.iter().flatten())
    }

    fn put(&mut self, id: u32, replica: Arc<Replica<T>>) {
        self.replicas[id as usize] = Arc::clone(&replica);
        match self.unsure.get_mut(id as usize) {
            Some(states) => states.push(replica),
            None => self.send(&replica),
        }
    }

    fn send(&mut self, replica: &Arc<Replica<T>>) {
        self.sent.insert(replica.digest, Arc::clone(replica));
    }

    /// A replica sends one of the states of which it was not sure, which is on its disk by then.
    fn keep(&mut self, id: u32, place: usize, forgets: bool) {
        let states = &mut self.unsure[id as usize];
        let sent = states[..=place].to_vec();
        if !forgets {
            states.drain(..place);
        }
        sent.iter().for_each(|state| self.send(state));
    }

    /// A replica loses what it was after one of the states of which it was not sure.
    fn crash(&mut self, id: u32, kept: usize, may_crash: bool) {
        self.crashes += 1;
        let states = &mut self.unsure[id as usize];
        states.truncate(kept + 1);
        self.replicas[id as usize] = Arc::clone(&states[kept]);
        if !may_crash {
            let all = std::mem::take(&mut self.unsure);
            all.iter().flatten().for_each(|state| self.send(state));
        }
    }
}

impl<T: Convergent> PartialEq for World<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T: Convergent> Hash for World<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// One step of the world.
#[derive(Clone, Debug)]
enum Action<T: Convergent> {
    /// A replica is changed.
    Change(u32, T::Change),
    /// A state arrives there.
    Arrives(u32, Arc<Replica<T>>),
    /// The first one sends a state of which it was not sure, and it arrives at the other one.
    Sends(u32, usize, u32),
    /// It comes back with so many of the states of which it was not sure.
    Crash(u32, usize),
    /// It comes back as it was in the beginning.
    OldImage(u32),
}

impl<T: Convergent> PartialEq for Action<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Action::Change(id, change), Action::Change(other_id, other)) => {
                id == other_id && change == other
            }
            (Action::Arrives(id, state), Action::Arrives(other_id, other)) => {
                id == other_id && state.digest == other.digest
            }
            (Action::Sends(from, place, to), Action::Sends(other, other_place, other_to)) => {
                (from, place, to) == (other, other_place, other_to)
            }
            (Action::Crash(id, kept), Action::Crash(other_id, other)) => {
                id == other_id && kept == other
            }
            (Action::OldImage(id), Action::OldImage(other)) => id == other,
            (
                Action::Change(..)
                | Action::Arrives(..)
                | Action::Sends(..)
                | Action::Crash(..)
                | Action::OldImage(_),
                _,
            ) => false,
        }
    }
}

/// What is explored.
struct Replicas<T> {
    bounds: Bounds,
    plant: Option<Plant>,
    start: Arc<Replica<T>>,
    /// The states that replicas were in.
    states: Mutex<BTreeSet<Digest>>,
}

impl<T: Convergent> Replicas<T> {
    fn new(bounds: Bounds, plant: Option<Plant>) -> Self {
        let start = Replica::new(T::default(), BTreeSet::new());
        let states = Mutex::new(BTreeSet::from([start.digest]));
        Replicas { bounds, plant, start, states }
    }

    fn states(&self) -> BTreeSet<Digest> {
        self.states.lock().expect("nobody panics with it").clone()
    }
}

impl<T: Convergent> Model for Replicas<T> {
    type State = World<T>;
    type Action = Action<T>;

    fn init_states(&self) -> Vec<World<T>> {
        let replicas = (0..NODES).map(|_| Arc::clone(&self.start)).collect();
        let (sent, made) = (BTreeMap::new(), BTreeMap::new());
        let crashing = if self.bounds.crashes > 0 { NODES as usize } else { 0 };
        let unsure = vec![vec![Arc::clone(&self.start)]; crashing];
        vec![World { replicas, sent, unsure, crashes: 0, made, fell_back: false }]
    }

    fn actions(&self, world: &World<T>, actions: &mut Vec<Action<T>>) {
        for id in 0..NODES {
            if world.made.len() < self.bounds.asks {
                actions.extend(T::CHANGES.iter().map(|change| Action::Change(id, *change)));
            }
            let arrives = |state: &Arc<Replica<T>>| Action::Arrives(id, Arc::clone(state));
            actions.extend(world.sent.values().map(arrives));
            for (states, from) in world.unsure.iter().zip(0..) {
                let sent = (1..states.len()).map(|place| Action::Sends(from, place, id));
                actions.extend(sent.filter(|_| from != id));
            }
            if let Some(states) = world.unsure.get(id as usize) {
                actions.extend((0..states.len() - 1).map(|kept| Action::Crash(id, kept)));
            }
            if self.plant == Some(Plant::OldImage) && !world.fell_back {
                actions.push(Action::OldImage(id));
            }
        }
    }

    fn next_state(&self, world: &World<T>, action: Action<T>) -> Option<World<T>> {
        let mut next = world.clone();
        let (id, replica) = match action {
            Action::Change(id, change) => {
                let Replica { mut state, mut seen, .. } =
                    Replica::clone(&world.replicas[id as usize]);
                let own = |numbers: &mut dyn Iterator<Item = &Number>| {
                    numbers.filter(|(by, _)| *by == id).count()
                };
                let number = (id, own(&mut world.made.keys()) + 1);
                let dot = Dot { actor: Actor(id.into()), number: own(&mut seen.iter()) as u64 + 1 };
                state.change(change, dot, format!("{number:?}").into_bytes());
                next.made.insert(number, Seen { number, change, after: seen.clone() });
                seen.insert(number);
                (id, Replica::new(state, seen))
            }
            Action::Arrives(id, other) => (id, world.replicas[id as usize].merged(&other)),
            Action::Sends(from, place, id) => {
                let other = &world.unsure[from as usize][place];
                next.keep(from, place, self.plant == Some(Plant::EntriesForgotten));
                (id, world.replicas[id as usize].merged(other))
            }
            Action::Crash(id, kept) => {
                next.crash(id, kept, world.crashes + 1 < self.bounds.crashes);
                return Some(next);
            }
            Action::OldImage(id) => {
                next.fell_back = true;
                (id, Arc::clone(&self.start))
            }
        };
        self.states.lock().expect("nobody panics with it").insert(replica.digest);
        let is_new = replica.digest != world.replicas[id as usize].digest;
        next.put(id, replica);
        is_new.then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(CONVERGENCE, |_, world: &World<T>| world.converges()),
            Property::always(T::SHOWS, |_, world: &World<T>| {
                world.replicas.iter().all(|replica| replica.state.shows(&world.seen_by(replica)))
            }),
            Property::sometimes("concurrent changes meet", |_, world: &World<T>| {
                world.replicas.iter().any(|replica| world.has_met(replica))
            }),
            Property::sometimes("everybody sees everything", |model: &Self, world: &World<T>| {
                world.made.len() == model.bounds.asks
                    && world.replicas.iter().all(|one| one.seen.len() == world.made.len())
            }),
        ];
        if self.bounds.crashes > 0 {
            let gone_on = Property::sometimes("a replica goes on after it has lost a change", {
                |_, world: &World<T>| world.has_gone_on()
            });
            properties.push(gone_on);
        }
        properties
    }
}

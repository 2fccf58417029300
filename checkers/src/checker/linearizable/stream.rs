//! Registers judged while their history is still being made, an event at a time.
//!
//! The conditions are those of [`zones`](super::zones). Each says that two operations of one chain
//! are on both sides of an operation of another, and operations only ever join: a violation that is
//! there stays, and each is found with the completion that makes it provable.
//!
//! # What can be forgotten
//! Let `m` be the earliest call among the operations of the key that are open: whatever completes
//! from now on was called at `m` or later. A chain `A` is *dead* where some other chain `B` has
//! `f(B) < m` and `f(A) < s(B)`: `A` comes before `B`, and any further operation of `A` would come
//! after it (condition 5 or 6). So an operation that shows a value of a dead chain is a violation,
//! and so is one that shows a value which is not known: nothing of a dead chain but its `s` needs to
//! be kept, and of all such numbers only the two greatest, of different chains, since the question
//! is always whether one of a chain other than `A` exceeds `f(A)`. In the same way a level is dead
//! where an operation of a later level of its chain returned before `m` (condition 4).
//!
//! What stays is what is open, what may still be read, and writes without an answer: they may take
//! effect at any later time.
//!
//! A value that is written again after its chain was forgotten is a new one, so that values need not
//! be unique for ever, only among those that may still be read.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::history::{Op, Outcome, ProcessId, ReadLevel, Reason, Ret};

/// Judges registers event by event. `K` names a register, `V` what it holds; numbers are fast.
#[derive(Debug)]
pub struct Streaming<K, V> {
    initial: V,
    now: u64,
    registers: FxHashMap<K, Register<V>>,
    open: FxHashMap<ProcessId, Open<K, V>>,
    operations: u64,
}

/// A violation, found with the completion that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<K, V> {
    /// The register.
    pub key: K,
    /// The number of the event, from 0 on, that proved it.
    pub event: u64,
    /// The value that was shown, or took effect, against the order.
    pub value: V,
    /// What is wrong.
    pub breach: Breach<V>,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach<V> {
    /// Nobody had begun to write it, or it had been overwritten before the operation began.
    Gone,
    /// It failed to be written, but had been seen.
    Undone,
    /// It was replaced by two compare-and-sets, or by itself in a circle.
    ReplacedTwice,
    /// It was over when a value that replaced it had been acknowledged or seen.
    Replaced,
    /// It was before this value, and after it.
    Around(V),
}

/// What a stream came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many operations ended.
    pub operations: u64,
    /// How many registers there were.
    pub registers: usize,
    /// Registers that were not judged to the end: a value was written again while it could still be
    /// read, or there was a violation, which was told, and after which nothing more is judged.
    pub given_up: usize,
    /// Compare-and-sets that failed without saying what they found: they were not judged.
    pub blind: u64,
}

#[derive(Debug)]
struct Open<K, V> {
    key: K,
    called: u64,
    op: Asked<V>,
}

#[derive(Clone, Debug)]
enum Asked<V> {
    Read,
    Write(V),
    Cas(V, V),
    /// Nothing that is judged.
    Other,
}

/// No number of a level or chain.
const NONE: u32 = u32::MAX;
/// Not yet.
const NEVER: u64 = u64::MAX;

/// The cluster of one value.
#[derive(Debug)]
struct Level<V> {
    value: V,
    called: u64,
    /// What it replaced, where a compare-and-set writes it.
    source: Option<V>,
    /// Its chain; none while it may still turn out never to have been written.
    chain: u32,
    previous: u32,
    next: u32,
    /// When an operation of a later level of the chain first returned.
    overtaken: u64,
}

/// Values that replaced one another.
#[derive(Debug)]
struct Chain {
    /// Tells it from chains that had its place before.
    number: u64,
    f: u64,
    s: u64,
    /// Its first level that is not dead.
    head: u32,
    /// Whether `f` is before every open call.
    settled: bool,
}

/// One register.
#[derive(Debug)]
struct Register<V> {
    levels: Slots<Level<V>>,
    chains: Slots<Chain>,
    by_value: FxHashMap<V, u32>,
    /// The calls of operations that are open or were, in their order, from the first open one on.
    calls: VecDeque<(u64, bool)>,
    /// Chains that are not settled, by `f`.
    recent: VecDeque<u32>,
    /// Chains that are settled and not dead, by `f`.
    settled: VecDeque<u32>,
    /// The two greatest `s` of settled chains, dead ones too, with the chains' numbers.
    greatest: [(u64, u64); 2],
    next_number: u64,
    given_up: bool,
    blind: u64,
}

/// Things by number, whose numbers are used again.
#[derive(Debug)]
struct Slots<T> {
    all: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    const fn new() -> Slots<T> {
        Slots { all: Vec::new(), free: Vec::new() }
    }

    fn add(&mut self, one: T) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.all[place as usize] = Some(one);
                place
            }
            None => {
                self.all.push(Some(one));
                self.all.len() as u32 - 1
            }
        }
    }

    fn at(&self, place: u32) -> &T {
        self.all[place as usize].as_ref().expect("it is in use")
    }

    fn at_mut(&mut self, place: u32) -> &mut T {
        self.all[place as usize].as_mut().expect("it is in use")
    }

    fn remove(&mut self, place: u32) -> T {
        self.free.push(place);
        self.all[place as usize].take().expect("it is in use")
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Eq + Hash> Streaming<K, V> {
    /// Begins, with registers that hold `initial`.
    pub fn new(initial: V) -> Streaming<K, V> {
        Streaming {
            initial,
            now: 0,
            registers: FxHashMap::default(),
            open: FxHashMap::default(),
            operations: 0,
        }
    }

    /// A process begins an operation. `nil` is what a delete writes.
    ///
    /// # Panics
    /// If the process has an operation open.
    pub fn invoke(&mut self, process: ProcessId, op: Op<K, V>, nil: &V) {
        self.now += 1;
        let key = op.key().clone();
        let op = match op {
            Op::Read { level: ReadLevel::Strong, .. } => Asked::Read,
            Op::Write { value, .. } => Asked::Write(value),
            Op::Delete { .. } => Asked::Write(nil.clone()),
            Op::Cas { from, to, .. } => Asked::Cas(from, to),
            _ => Asked::Other,
        };
        if !matches!(op, Asked::Other) {
            let initial = &self.initial;
            let register =
                self.registers.entry(key.clone()).or_insert_with(|| Register::new(initial.clone()));
            register.invoke(self.now, &op);
        }
        let before = self.open.insert(process, Open { key, called: self.now, op });
        assert!(before.is_none(), "process {process} does two things at a time");
    }

    /// A process ends its operation. Returns the violation that this proves, if there is one; the
    /// register is not judged any further then.
    ///
    /// # Panics
    /// If the process has no operation open.
    pub fn complete(
        &mut self,
        process: ProcessId,
        outcome: &Outcome<V>,
    ) -> Option<Violation<K, V>> {
        self.now += 1;
        let open = self.open.remove(&process).expect("a process ends what it began");
        self.operations += 1;
        if matches!(open.op, Asked::Other) {
            return None;
        }
        let register = self.registers.get_mut(&open.key).expect("its invocation made it");
        let found = register.complete(open.called, self.now, open.op, outcome);
        let (value, breach) = found.err()?;
        register.give_up();
        Some(Violation { key: open.key, event: self.now - 1, value, breach })
    }

    /// What was judged so far.
    pub fn summary(&self) -> Summary {
        Summary {
            operations: self.operations,
            registers: self.registers.len(),
            given_up: self.registers.values().filter(|register| register.given_up).count(),
            blind: self.registers.values().map(|register| register.blind).sum(),
        }
    }

    /// How many values are kept, because they may still be read.
    pub fn kept(&self) -> usize {
        self.registers.values().map(|register| register.by_value.len()).sum()
    }
}

/// What proves a violation.
type Found<V> = Result<(), (V, Breach<V>)>;

impl<V: Clone + Eq + Hash> Register<V> {
    fn new(initial: V) -> Register<V> {
        let mut register = Register {
            levels: Slots::new(),
            chains: Slots::new(),
            by_value: FxHashMap::default(),
            calls: VecDeque::new(),
            recent: VecDeque::new(),
            settled: VecDeque::new(),
            greatest: [(0, NEVER); 2],
            next_number: 0,
            given_up: false,
            blind: 0,
        };
        // Written before everything, and acknowledged.
        let level = register.add_level(initial, 0, None);
        let chain = register.add_chain(level);
        register.chains.at_mut(chain).f = 0;
        register.recent.push_back(chain);
        register
    }

    /// Forgets everything; nothing more is judged.
    fn give_up(&mut self) {
        self.given_up = true;
        self.levels = Slots::new();
        self.chains = Slots::new();
        self.by_value = FxHashMap::default();
        self.calls = VecDeque::new();
        self.recent = VecDeque::new();
        self.settled = VecDeque::new();
    }

    fn add_level(&mut self, value: V, called: u64, source: Option<V>) -> u32 {
        let level = self.levels.add(Level {
            value: value.clone(),
            called,
            source,
            chain: NONE,
            previous: NONE,
            next: NONE,
            overtaken: NEVER,
        });
        self.by_value.insert(value, level);
        level
    }

    fn add_chain(&mut self, head: u32) -> u32 {
        let s = self.levels.at(head).called;
        let number = self.next_number;
        self.next_number += 1;
        let chain = self.chains.add(Chain { number, f: NEVER, s, head, settled: false });
        self.levels.at_mut(head).chain = chain;
        chain
    }

    fn invoke(&mut self, now: u64, op: &Asked<V>) {
        if self.given_up {
            return;
        }
        let (value, source) = match op {
            Asked::Write(value) => (value, None),
            Asked::Cas(from, to) => (to, Some(from.clone())),
            Asked::Read | Asked::Other => {
                self.calls.push_back((now, true));
                return;
            }
        };
        if self.by_value.contains_key(value) {
            // Two writes of one value that can both be read: not to be told apart.
            self.give_up();
            return;
        }
        self.calls.push_back((now, true));
        self.add_level(value.clone(), now, source);
    }

    fn complete(&mut self, called: u64, now: u64, op: Asked<V>, outcome: &Outcome<V>) -> Found<V> {
        if self.given_up {
            return Ok(());
        }
        match (op, outcome) {
            (Asked::Read, Outcome::Ok(Ret::Value(value))) => self.show(value, called, now)?,
            (Asked::Write(value) | Asked::Cas(_, value), Outcome::Ok(_)) => {
                self.show(&value, called, now)?;
            }
            (Asked::Write(value) | Asked::Cas(_, value), Outcome::Fail(reason)) => {
                self.undo(&value)?;
                match reason {
                    Reason::Mismatch { actual: Some(actual) } => self.show(actual, called, now)?,
                    Reason::Mismatch { actual: None } => self.blind += 1,
                    _ => {}
                }
            }
            _ => {}
        }
        self.end(called, now);
        Ok(())
    }

    /// A write turns out never to have happened.
    fn undo(&mut self, value: &V) -> Found<V> {
        let level = self.by_value.remove(value);
        let level = level.expect("a write that may yet happen is kept");
        if self.levels.at(level).chain != NONE {
            return Err((value.clone(), Breach::Undone));
        }
        self.levels.remove(level);
        Ok(())
    }

    /// An operation `[called, now]` shows that a value was there.
    fn show(&mut self, value: &V, called: u64, now: u64) -> Found<V> {
        let breach = |breach| Err((value.clone(), breach));
        let Some(&level) = self.by_value.get(value) else { return breach(Breach::Gone) };
        self.take_effect(level)?;
        let Level { chain, overtaken, .. } = *self.levels.at(level);
        if overtaken < called {
            return breach(Breach::Replaced);
        }
        self.overtake(level, now);
        let this = self.chains.at_mut(chain);
        this.s = this.s.max(called);
        if this.f == NEVER {
            this.f = now;
            self.recent.push_back(chain);
        }
        if let Some(other) = self.around(chain) {
            return breach(Breach::Around(other));
        }
        Ok(())
    }

    /// A value was there for certain: so was what it replaced, and so on.
    fn take_effect(&mut self, mut level: u32) -> Found<V> {
        let first = level;
        while self.levels.at(level).chain == NONE {
            let Some(source) = self.levels.at(level).source.clone() else {
                self.add_chain(level);
                break;
            };
            let Some(&replaced) = self.by_value.get(&source) else {
                return Err((source, Breach::Gone));
            };
            // A level that is linked already, or this one itself in a circle.
            if self.levels.at(replaced).next != NONE || replaced == first {
                return Err((source, Breach::ReplacedTwice));
            }
            self.levels.at_mut(replaced).next = level;
            self.levels.at_mut(level).previous = replaced;
            level = replaced;
        }
        // Down again, from the level whose chain was known.
        let chain = self.levels.at(level).chain;
        loop {
            let called = self.levels.at(level).called;
            self.levels.at_mut(level).chain = chain;
            let this = self.chains.at_mut(chain);
            this.s = this.s.max(called);
            if level == first {
                return Ok(());
            }
            level = self.levels.at(level).next;
        }
    }

    /// An operation of a level returns: the levels before it are over.
    fn overtake(&mut self, level: u32, now: u64) {
        let mut place = self.levels.at(level).previous;
        while place != NONE && self.levels.at(place).overtaken == NEVER {
            self.levels.at_mut(place).overtaken = now;
            place = self.levels.at(place).previous;
        }
    }

    /// A value of a chain that has an operation before one of this chain, and one after one of it.
    fn around(&self, chain: u32) -> Option<V> {
        let this = self.chains.at(chain);
        for other in &self.recent {
            let other_chain = self.chains.at(*other);
            if other_chain.f >= this.s {
                // They are in the order of `f`.
                break;
            }
            if *other != chain && other_chain.s > this.f {
                return Some(self.levels.at(other_chain.head).value.clone());
            }
        }
        // Settled chains have an `f` before every open call, and `s` is one of those at least.
        let (s, number) = self.greatest_but(this.number);
        if s <= this.f {
            return None;
        }
        let known = self.settled.iter().map(|other| self.chains.at(*other));
        let known = known.filter(|other| other.number == number).map(|other| other.head).next();
        // Of what is forgotten, the value is not known any more: this one says enough.
        let head = known.unwrap_or(this.head);
        Some(self.levels.at(head).value.clone())
    }

    /// The greatest `s` of settled chains but one.
    fn greatest_but(&self, number: u64) -> (u64, u64) {
        let [first, second] = self.greatest;
        if first.1 == number { second } else { first }
    }

    /// An operation has ended: moves the earliest open call on, and forgets what is dead.
    fn end(&mut self, called: u64, now: u64) {
        let place = self.calls.partition_point(|(call, _)| *call < called);
        self.calls[place].1 = false;
        while self.calls.front().is_some_and(|(_, open)| !open) {
            self.calls.pop_front();
        }
        let earliest = self.calls.front().map_or(now, |(call, _)| *call);
        while let Some(&chain) = self.recent.front() {
            if self.chains.at(chain).f >= earliest {
                break;
            }
            self.recent.pop_front();
            self.settled.push_back(chain);
            self.chains.at_mut(chain).settled = true;
        }
        self.measure();
        self.forget(earliest);
    }

    /// Finds the two greatest `s` of settled chains anew. Few are not dead.
    fn measure(&mut self) {
        for place in 0..self.settled.len() {
            let Chain { s, number, .. } = *self.chains.at(self.settled[place]);
            let [first, second] = &mut self.greatest;
            if first.1 == number {
                first.0 = s;
            } else if s > first.0 {
                *second = *first;
                *first = (s, number);
            } else if second.1 == number || s > second.0 {
                *second = (s, number);
            }
        }
    }

    fn forget(&mut self, earliest: u64) {
        let mut place = 0;
        while place < self.settled.len() {
            let chain = self.settled[place];
            let Chain { f, number, head, .. } = *self.chains.at(chain);
            if self.greatest_but(number).0 > f {
                self.settled.remove(place);
                self.forget_levels(head, NEVER);
                self.chains.remove(chain);
            } else {
                let head = self.forget_levels(head, earliest);
                self.chains.at_mut(chain).head = head;
                place += 1;
            }
        }
        for place in 0..self.recent.len() {
            let chain = self.recent[place];
            let head = self.forget_levels(self.chains.at(chain).head, earliest);
            self.chains.at_mut(chain).head = head;
        }
    }

    /// Forgets the levels of a chain, from one on, that were overtaken before `earliest`; all of
    /// them where that is never. Returns the first that stays.
    fn forget_levels(&mut self, mut level: u32, earliest: u64) -> u32 {
        while level != NONE {
            let Level { overtaken, next, .. } = *self.levels.at(level);
            if earliest != NEVER && overtaken >= earliest {
                break;
            }
            let gone = self.levels.remove(level);
            self.by_value.remove(&gone.value);
            if next != NONE {
                self.levels.at_mut(next).previous = NONE;
            }
            level = next;
        }
        level
    }
}

//! Registers whose values are written once, judged in time linear in the history.
//!
//! The method is that of Gibbons and Korach ("Testing Shared Memories", 1997, section 4), with the
//! zones of Golab, Li and Shah ("Analyzing Consistency Properties for Fun and Profit", PODC 2011),
//! extended to compare-and-set.
//!
//! # Words
//! An operation is `[c, r]`, from its call to its return; `r` is infinite where there is no answer.
//! `x` *precedes* `y` where `r(x) < c(y)`. The *cluster* of a value is the operation that wrote it
//! and all that read it. A compare-and-set from `a` to `b` reads `a` and writes `b` at one instant:
//! it is the last of one cluster and the first of the next, so that clusters which are linked by
//! compare-and-sets form a *chain* of *levels*. A cluster without such links is a chain of one
//! level. The initial value has a cluster too, written before everything.
//!
//! For a chain `K`, `f(K)` is its least return and `s(K)` its greatest call. Where `f < s` the
//! chain's *zone* is *forward*: some operation of it was over before another one began, so one of
//! its values held all the time from `f` to `s`. Otherwise its zone is *backward*: all its
//! operations have the time from `s` to `f` in common.
//!
//! # Which operations count
//! A read without an answer says nothing. A write without an answer whose value nobody saw can be
//! taken out of any order without a change to any answer; one whose value somebody saw took effect,
//! and never returned. The same holds for a compare-and-set without an answer, where a compare-and-set
//! that took effect counts as having seen its source.
//!
//! # Theorem
//! A history of one register, of reads, writes and compare-and-sets whose values are written once
//! and differ from the initial one, has an order that explains every answer if and only if
//!
//! 1. every value that was seen was written;
//! 2. no two compare-and-sets that took effect replaced the same value;
//! 3. no compare-and-sets replace one another in a circle;
//! 4. in no chain does an operation of a later level precede one of an earlier level;
//! 5. no two forward zones overlap: not both `f1 < s2` and `f2 < s1`;
//! 6. no backward zone lies within a forward one: not both `f(F) < s(B)` and `f(B) < s(F)`.
//!
//! *They are necessary.* 1 to 4 are plain. In any order the operations of a chain that change or
//! show the value are a block without another write in between, because what was overwritten never
//! comes back. A forward chain's block covers `[f, s]`, and two blocks do not overlap (5). A
//! backward chain within a forward one would need an operation before the other's block and one
//! after it (6).
//!
//! *They suffice.* Say that chain `A` must come before `B` where some operation of `A` precedes
//! one of `B`, which is `f(A) < s(B)`. 5 and 6 say that no two chains must come before each other:
//! two backward ones never do, since `f(A) < s(B) <= f(B) < s(A) <= f(A)` is absurd. Then there is
//! no longer circle either. Forward zones are disjoint intervals in a row. A backward zone `[s, f]`
//! within none of them contains an instant outside all of them. Order the forward chains by their
//! zones and the backward ones by that instant: where `f(A) < s(B)`, `A` comes first, in each of
//! the four cases. The blocks in that order, each level by level, are an order of all operations
//! that keeps to their times and explains every answer.
//!
//! # Cost
//! One pass over the operations to build the clusters, one over the clusters to build the chains,
//! and one over the events to compare the zones: an event belongs to one operation, so a table
//! indexed by it takes the place of sorting. 32 bytes a value and 4 an event.

use std::mem;
use std::ops::RangeInclusive;

use rustc_hash::{FxHashMap, FxHashSet};

use super::RegisterCall;
use crate::history::{KeyId, ValueId};
use crate::model::cas_register::{CasOp, CasRet};
use schedule::Failure;
pub(super) use schedule::Held;

mod schedule;

/// No node, no key.
const NONE: u32 = u32::MAX;
/// The return of what never returned.
const NEVER: u32 = u32::MAX;

/// The cluster of one value of one key. Times are event numbers plus one; 0 is before all of them.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The call and return of the operation that wrote the value.
    called: u32,
    returned: u32,
    /// The least return and the greatest call of those that read it.
    first_return: u32,
    last_call: u32,
    /// The value that the writing compare-and-set replaced.
    source: u32,
    /// The value that replaced this one by a compare-and-set.
    next: u32,
    key: u32,
    flags: u8,
}

/// Somebody was asked to write the value.
const WRITTEN: u8 = 1;
/// Somebody read it.
const READ: u8 = 2;
/// It was written by a compare-and-set.
const BY_CAS: u8 = 4;
/// The write took effect, for certain.
const ACTIVE: u8 = 8;
/// The chain that it belongs to was walked.
const WALKED: u8 = 16;
/// A compare-and-set failed because it was not there, and did not say what was.
const NAMED: u8 = 32;

impl Node {
    const EMPTY: Node = Node {
        called: 0,
        returned: NEVER,
        first_return: NEVER,
        last_call: 0,
        source: NONE,
        next: NONE,
        key: NONE,
        flags: 0,
    };

    fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Why a key has no order: the clusters that say so, by their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// Condition 1: nobody wrote what this cluster's operations saw.
    Unwritten(u32),
    /// Condition 2: a value, and the two that replaced it.
    ReplacedTwice(u32, [u32; 2]),
    /// Conditions 3 and 4: a value of the chain.
    Chain(u32),
    /// Conditions 5 and 6: the roots of the two chains.
    Overlap([u32; 2]),
    /// A compare-and-set that was called at this time failed, while its value was there: the levels
    /// of its chain that say so.
    Held {
        /// The first of them.
        from: u32,
        /// The last.
        to: u32,
        /// The call of the compare-and-set.
        failed: u32,
    },
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// There is an order.
    Order,
    /// There is none.
    NoOrder(Break),
    /// The method does not apply: a value was written twice, or is the initial one.
    Repeats,
    /// There is an order but for compare-and-sets that [failed without saying](schedule) what they found,
    /// and whether there is one with them is not known.
    Blind,
}

/// The clusters of all keys. Fill it with [`add`](Zones::add), then [`judge`](Zones::judge).
pub(super) struct Zones {
    /// First the initial value of each key, then each value at the key that it was met at first,
    /// then values at other keys.
    nodes: Vec<Node>,
    keys: usize,
    values: usize,
    initial: ValueId,
    elsewhere: FxHashMap<(u32, ValueId), u32>,
    judged: Vec<Judged>,
    /// Compare-and-sets that failed without saying what they found, and the keys that have some.
    failures: Vec<Failure>,
    blind: Vec<bool>,
    /// Of their keys, the least return and the greatest call of the reads of each root.
    reads_of_roots: Vec<(u32, u32, u32)>,
    last_event: u32,
    /// How many compare-and-sets took effect and are in no chain that was walked.
    adrift: u32,
    /// The least and the greatest value that an operation was about, since it was last asked.
    met: (ValueId, ValueId),
    /// Whether any operation was answered with what a key held, or did not hold.
    shows: bool,
}

/// No value was met.
const NOTHING_MET: (ValueId, ValueId) = (ValueId(u32::MAX), ValueId(0));

impl Zones {
    /// Makes room for a history of so many keys and values.
    pub(super) fn new(keys: usize, values: usize, initial: ValueId) -> Zones {
        let mut nodes = vec![Node::EMPTY; keys + values];
        for (key, node) in nodes[..keys].iter_mut().enumerate() {
            *node = Node { returned: 0, key: key as u32, flags: WRITTEN | ACTIVE, ..Node::EMPTY };
        }
        Zones {
            nodes,
            keys,
            values,
            initial,
            elsewhere: FxHashMap::default(),
            judged: vec![Judged::Order; keys],
            failures: Vec::new(),
            blind: vec![false; keys],
            reads_of_roots: Vec::new(),
            last_event: 0,
            adrift: 0,
            met: NOTHING_MET,
            shows: false,
        }
    }

    /// The values that operations were about since it was last asked: from the least to the greatest.
    pub(super) fn met(&mut self) -> RangeInclusive<ValueId> {
        let (least, greatest) = mem::replace(&mut self.met, NOTHING_MET);
        least..=greatest
    }

    /// Whether any operation was answered with what a key held, or did not hold.
    pub(super) fn shows(&self) -> bool {
        self.shows
    }

    /// The node of a value at a key.
    #[inline(always)]
    fn node(&mut self, key: KeyId, value: ValueId) -> u32 {
        self.met = (self.met.0.min(value), self.met.1.max(value));
        if value == self.initial {
            return key.0;
        }
        let place = self.keys + value.index();
        let node = &mut self.nodes[place];
        if node.key == key.0 {
            place as u32
        } else if node.key == NONE {
            node.key = key.0;
            place as u32
        } else {
            self.node_elsewhere(key, value)
        }
    }

    #[cold]
    fn node_elsewhere(&mut self, key: KeyId, value: ValueId) -> u32 {
        *self.elsewhere.entry((key.0, value)).or_insert_with(|| {
            self.nodes.push(Node { key: key.0, ..Node::EMPTY });
            self.nodes.len() as u32 - 1
        })
    }

    /// Adds one operation.
    #[inline(always)]
    pub(super) fn add(&mut self, key: KeyId, call: &RegisterCall) {
        let called = call.invoked + 1;
        let returned = if call.ret.is_some() { call.completed + 1 } else { NEVER };
        let last = if returned == NEVER { called } else { returned };
        self.last_event = self.last_event.max(last);
        match (call.op, call.ret) {
            (CasOp::Cas(from, _), Some(CasRet::Mismatch(Some(actual)))) if from == actual => {
                // No register fails so. The search says it in its own words.
                self.judged[key.index()] = Judged::Repeats;
            }
            (_, Some(CasRet::Value(value) | CasRet::Mismatch(Some(value)))) => {
                self.shows = true;
                let node = self.node(key, value);
                let node = &mut self.nodes[node as usize];
                node.flags |= READ;
                node.first_return = node.first_return.min(returned);
                node.last_call = node.last_call.max(called);
            }
            (CasOp::Cas(from, _), Some(CasRet::Mismatch(None))) => {
                self.shows = true;
                let node = self.node(key, from);
                self.nodes[node as usize].flags |= NAMED;
                self.failures.push(Failure { key: key.0, node, called, returned });
                self.blind[key.index()] = true;
            }
            (CasOp::Write(value), _) => self.write(key, value, called, returned, None),
            (CasOp::Cas(from, to), ret) => {
                self.shows |= ret.is_some();
                let source = self.node(key, from);
                self.write(key, to, called, returned, Some(source));
            }
            (CasOp::Read, _) => {}
        }
    }

    #[inline(always)]
    fn write(
        &mut self,
        key: KeyId,
        value: ValueId,
        called: u32,
        returned: u32,
        source: Option<u32>,
    ) {
        let place = self.node(key, value);
        let node = &mut self.nodes[place as usize];
        if node.is(WRITTEN) {
            self.judged[key.index()] = Judged::Repeats;
            return;
        }
        node.flags |= WRITTEN;
        node.called = called;
        node.returned = returned;
        if let Some(source) = source {
            node.flags |= BY_CAS;
            node.source = source;
        }
    }

    /// Whether the method applies to a key, and there is no reason yet why it has no order.
    fn stands(&self, key: u32) -> bool {
        self.judged[key as usize] == Judged::Order
    }

    fn refuse(&mut self, key: u32, why: Break) {
        if self.stands(key) {
            self.judged[key as usize] = Judged::NoOrder(why);
        }
    }

    /// Judges every key.
    pub(super) fn judge(&mut self) -> Vec<Judged> {
        self.link();
        self.sweep();
        self.judge_blind();
        self.judged.clone()
    }

    /// The values whose clusters prove a break.
    pub(super) fn values_of(&self, why: Break) -> FxHashSet<ValueId> {
        let mut values = FxHashSet::default();
        match why {
            Break::ReplacedTwice(index, by) => {
                values.insert(self.value(index));
                // What came after them shows that they took effect.
                for other in by {
                    self.chain_values(other, &mut values);
                }
            }
            Break::Unwritten(index) | Break::Chain(index) => self.chain_values(index, &mut values),
            Break::Overlap(roots) => {
                for root in roots {
                    self.chain_values(root, &mut values);
                }
            }
            Break::Held { mut from, to, .. } => {
                values.insert(self.value(from));
                while from != to {
                    from = self.nodes[from as usize].next;
                    values.insert(self.value(from));
                }
                // Where neither an answer nor a read shows that the last took effect, what replaced it does.
                let is_shown = |node: &Node| node.is(READ) || node.returned != NEVER;
                while !is_shown(&self.nodes[from as usize]) {
                    from = self.nodes[from as usize].next;
                    values.insert(self.value(from));
                }
            }
        }
        values
    }

    /// The event of the call of the compare-and-set that had no moment to fail in.
    pub(super) fn failed_of(&self, why: Break) -> Option<u32> {
        match why {
            Break::Held { failed, .. } => Some(failed - 1),
            _ => None,
        }
    }

    /// What compare-and-sets replaced by some of the values of a key.
    pub(super) fn sources_of(&mut self, key: KeyId, values: &FxHashSet<ValueId>) -> Vec<ValueId> {
        let mut sources = Vec::new();
        for value in values {
            let node = self.node(key, *value);
            let source = self.nodes[node as usize].source;
            if source != NONE {
                sources.push(self.value(source));
            }
        }
        sources
    }

    fn chain_values(&self, mut index: u32, values: &mut FxHashSet<ValueId>) {
        // A circle ends where it comes round.
        while index != NONE && values.insert(self.value(index)) {
            index = self.nodes[index as usize].next;
        }
    }

    fn value(&self, index: u32) -> ValueId {
        let place = index as usize;
        if place < self.keys {
            return self.initial;
        }
        if place < self.keys + self.values {
            return ValueId((place - self.keys) as u32);
        }
        let mut elsewhere = self.elsewhere.iter();
        let found = elsewhere.find(|(_, other)| **other == index);
        found.map(|((_, value), _)| *value).expect("every other node is of a value elsewhere")
    }

    /// Finds out which writes took effect, and links the chains.
    fn link(&mut self) {
        for index in 0..self.nodes.len() as u32 {
            let node = self.nodes[index as usize];
            if node.key == NONE || !self.stands(node.key) {
                continue;
            }
            if !node.is(WRITTEN) {
                if node.is(READ) {
                    self.refuse(node.key, Break::Unwritten(index));
                }
                continue;
            }
            // A write without an answer that nobody saw is no part of the history; what saw it
            // later brings it back, below.
            if node.is(READ) || node.returned != NEVER {
                self.activate(index);
            }
        }
    }

    /// A value was there: so was what the compare-and-set that wrote it replaced, and so on.
    fn activate(&mut self, mut index: u32) {
        loop {
            let node = &mut self.nodes[index as usize];
            let (key, source, linked) = (node.key, node.source, node.is(ACTIVE));
            node.flags |= ACTIVE;
            // The initial value is active from the start, and replaced nothing.
            if linked || source == NONE {
                return;
            }
            self.adrift += 1;
            let replaced = &mut self.nodes[source as usize];
            if !replaced.is(WRITTEN) {
                replaced.next = index;
                self.refuse(key, Break::Unwritten(source));
                return;
            }
            if replaced.next != NONE {
                let other = replaced.next;
                self.refuse(key, Break::ReplacedTwice(source, [other, index]));
                return;
            }
            replaced.next = index;
            index = source;
        }
    }

    /// Places the zone of each chain at the event that begins it, and compares them in that order.
    fn sweep(&mut self) {
        let mut at = vec![NONE; self.last_event as usize + 1];
        // The end of the last forward zone of each key, and its chain.
        let mut ends = vec![(0, NONE); self.keys];
        for index in 0..self.nodes.len() as u32 {
            let node = self.nodes[index as usize];
            if node.key == NONE || !node.is(ACTIVE) || node.is(BY_CAS) || !self.stands(node.key) {
                continue;
            }
            let Ok((f, s)) = self.walk(index) else {
                self.refuse(node.key, Break::Chain(index));
                continue;
            };
            if (index as usize) < self.keys {
                // Nothing comes before the initial value; unseen, it asks for nothing (s is 0).
                ends[index as usize] = (s, index);
                continue;
            }
            // The zone stays with the root, which needs its times no more.
            let root = &mut self.nodes[index as usize];
            if self.blind[node.key as usize] {
                self.reads_of_roots.push((index, root.first_return, root.last_call));
            }
            (root.first_return, root.last_call) = (f, s);
            at[f.min(s) as usize] = index;
        }
        self.refuse_circles();
        // Those that begin a zone, without a branch for each of the others, which nothing could foretell.
        let mut found = 0;
        for place in 0..at.len() {
            at[found] = at[place];
            found += usize::from(at[place] != NONE);
        }
        at.truncate(found);
        for index in at {
            let Node { first_return: f, last_call: s, key, .. } = self.nodes[index as usize];
            let (end, chain) = ends[key as usize];
            // Forward: it begins before the last one ended (5). Backward: it ends before (6); the
            // last one began before it, or it would not have been met.
            if f < end {
                self.refuse(key, Break::Overlap([chain, index]));
            }
            if f < s {
                ends[key as usize] = (s, index);
            }
        }
    }

    /// The zone of the chain that begins at a node; none where a later level precedes an earlier
    /// one (4).
    fn walk(&mut self, root: u32) -> Result<(u32, u32), ()> {
        let (mut f, mut s, mut index) = (NEVER, 0, root);
        loop {
            let node = &mut self.nodes[index as usize];
            node.flags |= WALKED;
            self.adrift -= u32::from(node.is(BY_CAS));
            if node.returned < s || node.is(READ) && node.first_return < s.max(node.called) {
                return Err(());
            }
            f = f.min(node.returned);
            s = s.max(node.called);
            if node.is(READ) {
                f = f.min(node.first_return);
                s = s.max(node.last_call);
            }
            if node.next == NONE {
                return Ok((f, s));
            }
            index = node.next;
        }
    }

    /// A value that took effect by a compare-and-set, and is in no chain that begins somewhere, is
    /// in a circle (3).
    fn refuse_circles(&mut self) {
        if self.adrift == 0 {
            return;
        }
        for index in 0..self.nodes.len() as u32 {
            let node = self.nodes[index as usize];
            let in_circle = node.is(ACTIVE | BY_CAS) && !node.is(WALKED);
            if in_circle && node.key != NONE {
                self.refuse(node.key, Break::Chain(index));
            }
        }
    }
}

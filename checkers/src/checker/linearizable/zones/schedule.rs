//! The order of a key's values, and compare-and-sets in between that failed without saying what they
//! found.
//!
//! Such a failure says only that its value was *not* there at some moment of its time. It changes
//! nothing, so where the others have no order, there is none with it either. Where they have one, it
//! is judged from two sides. The *hold* of a value is the time from its write to the next one.
//!
//! **It can have no moment.** Let `F` be the least return in the levels of its value and later ones of
//! the chain, and `S` the greatest call in those up to its value, with the compare-and-set that
//! replaces it. From `F` to `S` the value was there, in every order. A failure within that time is a
//! violation.
//!
//! **It has one.** Take an order of chains and give every operation the earliest instant that the order
//! leaves it: the greatest call of it and of all before. A failure `[c, r]` fits where its value's hold
//! begins at `c` or later, or the next hold begins at `r` or earlier. For one order this decides:
//! where a failure does not fit, the next hold begins after `r` at the earliest, and therefore the
//! value's own has to begin at `c` or later. Let it; if it can (no operation of the hold returns
//! before `c`), all that comes after stays where it was, since `c <= r`, and only the failures of the
//! hold before need another look. So one sweep finds instants at which all failures fit, or those that
//! fit in this order at none.
//!
//! **Repair.** For a failure that does not fit, chains change places, where no operation of one
//! precedes one of the other: another chain's hold is brought in between, or its own comes earlier, so
//! that the next one can begin in time. A write without an answer whose value nobody saw or named can
//! be brought in as well, once. After some rounds, what still does not fit is left to the search.

use std::collections::BTreeSet;
use std::ops::Range;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{ACTIVE, BY_CAS, Break, Judged, NAMED, NEVER, NONE, Node, WRITTEN, Zones};
use crate::history::{KeyId, ValueId};

/// How often all that does not fit is repaired.
const ROUNDS_MAX: usize = 80;
/// How many places a chain may move.
const REACH: usize = 256;

/// A compare-and-set that failed blindly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) key: u32,
    /// The value that was not there.
    pub(super) node: u32,
    pub(super) called: u32,
    pub(super) returned: u32,
}

/// A value, and when it was written, in an order in which all failures fit.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Held {
    pub(in super::super) value: ValueId,
    /// The instant: an event's number plus one.
    pub(in super::super) from: u32,
}

/// One level of a chain.
struct Hold {
    node: u32,
    chain: u32,
    /// The call of its write.
    called: u32,
    first_return: u32,
    last_call: u32,
    failures: Range<u32>,
    /// The instant of its write.
    begins: u32,
}

impl Hold {
    fn end(&self) -> u32 {
        self.begins.max(self.last_call)
    }
}

struct Chain {
    f: u32,
    s: u32,
    holds: Range<usize>,
}

/// A failure that does not fit: the place of its hold in the line, and its time.
struct Misfit {
    place: usize,
    returned: u32,
}

/// The chains of one key in an order, with an instant for each of their values.
struct Schedule {
    holds: Vec<Hold>,
    chains: Vec<Chain>,
    /// The chains in their order; the initial value's is the first, and stays it.
    order: Vec<u32>,
    /// The holds in their order.
    line: Vec<u32>,
    failures: Vec<Failure>,
    /// Writes without an answer that can be brought in, by call and node; compare-and-sets by what
    /// they replace.
    spare: BTreeSet<(u32, u32)>,
    spare_after: FxHashMap<u32, (u32, u32)>,
    /// How often the order was changed for the failures of a hold.
    tries: FxHashMap<u32, usize>,
}

/// A chain that changes its place.
#[derive(Clone, Copy)]
enum Move {
    Forward { from: usize, to: usize },
    Back { from: usize, to: usize },
}

type Moves = SmallVec<[Move; 8]>;

impl Zones {
    /// Judges the keys with blind failures that have an order otherwise.
    pub(super) fn judge_blind(&mut self) {
        if self.failures.is_empty() {
            return;
        }
        let is_open = |key: u32| self.blind[key as usize] && self.stands(key);
        for (key, mut schedule) in self.schedules(is_open) {
            self.judged[key as usize] = match schedule.impossible() {
                Some(why) => Judged::NoOrder(why),
                None if schedule.fits() => Judged::Order,
                None => Judged::Blind,
            };
        }
    }

    /// For each key that has an order, its values in that order; blind failures fit in between.
    pub(in super::super) fn holds(&self) -> FxHashMap<KeyId, Vec<Held>> {
        let mut holds = FxHashMap::default();
        for (key, mut schedule) in self.schedules(|key| self.stands(key)) {
            if schedule.fits() {
                let held = |hold: &u32| {
                    let hold = &schedule.holds[*hold as usize];
                    Held { value: self.value(hold.node), from: hold.begins }
                };
                holds.insert(KeyId(key), schedule.line.iter().map(held).collect());
            }
        }
        holds
    }

    /// The schedules of some keys that have an order but for blind failures.
    fn schedules(&self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, Schedule)> {
        #[derive(Default)]
        struct OfKey {
            failures: Vec<Failure>,
            roots: Vec<u32>,
            spare: Vec<u32>,
        }
        let keys = 0..self.keys as u32;
        let mut keys: Vec<Option<OfKey>> =
            keys.map(|key| wanted(key).then(OfKey::default)).collect();
        for (index, node) in (0..).zip(&self.nodes) {
            let Some(Some(of_key)) = keys.get_mut(node.key as usize) else { continue };
            if !node.is(ACTIVE) {
                of_key.spare.extend(node.is(WRITTEN).then_some(index));
            } else if !node.is(BY_CAS) {
                of_key.roots.push(index);
            }
        }
        for failure in &self.failures {
            if let Some(of_key) = &mut keys[failure.key as usize] {
                of_key.failures.push(*failure);
            }
        }
        let schedule = |(key, of_key): (u32, Option<OfKey>)| {
            let of_key = of_key?;
            Some((key, Schedule::new(self, of_key.failures, &of_key.roots, &of_key.spare)))
        };
        (0..).zip(keys).filter_map(schedule).collect()
    }

    /// The least return and the greatest call of those that read a value. A root's zone has taken
    /// their place, and they were kept elsewhere.
    fn reads_of(&self, index: u32) -> (u32, u32) {
        let node = &self.nodes[index as usize];
        match self.reads_of_roots.binary_search_by_key(&index, |(root, ..)| *root) {
            Ok(place) => (self.reads_of_roots[place].1, self.reads_of_roots[place].2),
            Err(_) => (node.first_return, node.last_call),
        }
    }
}

impl Schedule {
    fn new(zones: &Zones, mut failures: Vec<Failure>, roots: &[u32], spare: &[u32]) -> Schedule {
        failures.sort_unstable_by_key(|failure| (failure.node, failure.called));
        let mut schedule = Schedule {
            holds: Vec::new(),
            chains: Vec::new(),
            order: Vec::new(),
            line: Vec::new(),
            failures,
            spare: BTreeSet::new(),
            spare_after: FxHashMap::default(),
            tries: FxHashMap::default(),
        };
        for root in roots {
            schedule.add_chain(zones, *root);
        }
        schedule.arrange();
        for index in spare {
            let node = &zones.nodes[*index as usize];
            if node.is(NAMED) {
                // It would have to fit with the failures that name it.
            } else if node.is(BY_CAS) {
                schedule.spare_after.insert(node.source, (node.called, *index));
            } else {
                schedule.spare.insert((node.called, *index));
            }
        }
        schedule
    }

    fn add_chain(&mut self, zones: &Zones, root: u32) {
        let begin = self.holds.len();
        let chain = self.chains.len() as u32;
        let mut index = root;
        while index != NONE {
            let node = &zones.nodes[index as usize];
            let (first_return, last_call) = zones.reads_of(index);
            self.add_hold(
                chain,
                index,
                node,
                (first_return.min(node.returned), last_call.max(node.called)),
            );
            index = node.next;
        }
        let levels = &self.holds[begin..];
        let f = levels.iter().map(|level| level.first_return).min().expect("a chain has a root");
        let s = levels.iter().map(|level| level.last_call).max().expect("a chain has a root");
        self.chains.push(Chain { f, s, holds: begin..self.holds.len() });
    }

    fn add_hold(&mut self, chain: u32, index: u32, node: &Node, times: (u32, u32)) {
        let failures = if node.is(NAMED) {
            let begin = self.failures.partition_point(|failure| failure.node < index);
            let rest = &self.failures[begin..];
            begin as u32..(begin + rest.partition_point(|failure| failure.node == index)) as u32
        } else {
            0..0
        };
        self.holds.push(Hold {
            node: index,
            chain,
            called: node.called,
            first_return: times.0,
            last_call: times.1,
            failures,
            begins: 0,
        });
    }

    fn failures_of(&self, hold: &Hold) -> &[Failure] {
        &self.failures[hold.failures.start as usize..hold.failures.end as usize]
    }

    /// The order in which the zones begin. It is one that the theorem asks for: where `A` has to come
    /// before `B`, `f(A) < s(B)`, it begins before it. That is so where `A` is forward, and begins at
    /// `f(A)`, because two forward zones do not overlap. Where `A` is backward, it begins at `s(A)`,
    /// which is `f(A)` at most; and `B`, if it is forward, does not begin before that, or `A` would lie
    /// within it.
    fn arrange(&mut self) {
        let mut order: Vec<u32> = (1..self.chains.len() as u32).collect();
        order.sort_by_key(|chain| {
            let chain = &self.chains[*chain as usize];
            chain.f.min(chain.s)
        });
        order.insert(0, 0);
        self.order = order;
    }

    /// A failure that no order has a moment for.
    fn impossible(&self) -> Option<Break> {
        self.chains.iter().find_map(|chain| self.impossible_in(&self.holds[chain.holds.clone()]))
    }

    /// The same within the levels of one chain.
    fn impossible_in(&self, levels: &[Hold]) -> Option<Break> {
        if levels.iter().all(|level| level.failures.is_empty()) {
            return None;
        }
        // A value was there from the least return in its level and later ones ...
        let mut least = (NEVER, 0);
        let from_level = |(place, level): (usize, &Hold)| {
            least = least.min((level.first_return, place));
            least
        };
        let mut from: Vec<(u32, usize)> = levels.iter().enumerate().rev().map(from_level).collect();
        from.reverse();
        // ... to the greatest call in its level and earlier ones, and of what replaced it.
        let mut most = (0, 0);
        levels.iter().zip(from).enumerate().find_map(|(place, (level, (from, of)))| {
            most = most.max((level.last_call, place));
            let replaced = levels.get(place + 1).map_or((0, 0), |next| (next.called, place + 1));
            let (to, by) = most.max(replaced);
            let failures = self.failures_of(level);
            let failure = failures.iter().find(|it| from < it.called && it.returned < to)?;
            let (first, last) = (levels[of.min(by)].node, levels[of.max(by)].node);
            Some(Break::Held { from: first, to: last, failed: failure.called })
        })
    }

    /// Looks for an order in which every failure fits.
    fn fits(&mut self) -> bool {
        for _ in 0..ROUNDS_MAX {
            let misfits = self.sweep();
            if misfits.is_empty() {
                return true;
            }
            if !self.repair(&misfits) {
                return false;
            }
        }
        false
    }

    /// Gives every hold its instant, and says which failures do not fit.
    fn sweep(&mut self) -> Vec<Misfit> {
        self.line.clear();
        for chain in &self.order {
            let holds = &self.chains[*chain as usize].holds;
            self.line.extend(holds.start as u32..holds.end as u32);
        }
        let mut misfits = Vec::new();
        let mut end = 0;
        for place in 0..self.line.len() {
            let hold = &mut self.holds[self.line[place] as usize];
            hold.begins = end.max(hold.called);
            let begins = hold.begins;
            end = hold.end();
            if place > 0 {
                self.settle(place - 1, begins, &mut misfits);
            }
        }
        self.settle(self.line.len() - 1, NEVER, &mut misfits);
        misfits.sort_unstable_by_key(|misfit| (misfit.place, misfit.returned));
        misfits.dedup_by_key(|misfit| misfit.place);
        misfits
    }

    /// Lets a hold begin later where a failure needs it, and then the one before it, and so on.
    fn settle(&mut self, mut place: usize, mut next: u32, misfits: &mut Vec<Misfit>) {
        loop {
            let hold = &self.holds[self.line[place] as usize];
            let mut begins = hold.begins;
            for failure in self.failures_of(hold) {
                if failure.called <= hold.begins || next <= failure.returned {
                    continue;
                }
                if failure.called > hold.first_return {
                    misfits.push(Misfit { place, returned: failure.returned });
                } else {
                    begins = begins.max(failure.called);
                }
            }
            if begins == hold.begins {
                return;
            }
            self.holds[self.line[place] as usize].begins = begins;
            if place == 0 {
                return;
            }
            (place, next) = (place - 1, begins);
        }
    }

    /// Changes the order for failures that do not fit, those that come last first; says whether
    /// anything changed.
    fn repair(&mut self, misfits: &[Misfit]) -> bool {
        let mut places = vec![0; self.chains.len()];
        for (place, chain) in self.order.iter().enumerate() {
            places[*chain as usize] = place;
        }
        let mut brought_in: Vec<(usize, u32)> = Vec::new();
        let mut any = false;
        // What is at this place or later was changed already.
        let mut until = self.order.len();
        for misfit in misfits.iter().rev() {
            let hold = self.line[misfit.place] as usize;
            let place = places[self.holds[hold].chain as usize];
            if place >= until {
                continue;
            }
            let moves = self.moves(place, until, hold, misfit.returned);
            if !moves.is_empty() {
                // What helped here may have done harm elsewhere: the next time, something else.
                let tries = self.tries.entry(hold as u32).or_insert(0);
                let one = moves[*tries % moves.len()];
                *tries += 1;
                until = self.carry_out(one);
                any = true;
            } else if let Some(chain) = self.bring_in(hold, misfit.returned) {
                brought_in.push((place, chain));
                until = place;
                any = true;
            }
        }
        if !brought_in.is_empty() {
            let mut order = Vec::with_capacity(self.order.len() + brought_in.len());
            for (place, chain) in self.order.iter().enumerate() {
                order.push(*chain);
                if brought_in.last().is_some_and(|(after, _)| *after == place) {
                    order.extend(brought_in.pop().map(|(_, chain)| chain));
                }
            }
            self.order = order;
        }
        any
    }

    fn chain_at(&self, place: usize) -> &Chain {
        &self.chains[self.order[place] as usize]
    }

    fn is_last_of_chain(&self, hold: usize) -> bool {
        self.chains[self.holds[hold].chain as usize].holds.end == hold + 1
    }

    /// How chains can change places so that the hold after this one begins by `returned`.
    fn moves(&self, place: usize, until: usize, hold: usize, returned: u32) -> Moves {
        let mut moves = Moves::new();
        let in_time = self.holds[hold].end() <= returned;
        if in_time && self.is_last_of_chain(hold) {
            // A later chain comes forward to the place after it ...
            let mut least = NEVER;
            for other in place + 1..until.min(place + REACH) {
                let chain = self.chain_at(other);
                if chain.s <= least && self.holds[chain.holds.start].called <= returned {
                    moves.push(Move::Forward { from: other, to: place + 1 });
                }
                least = least.min(chain.f);
            }
            // ... or an earlier one goes back to it.
            let mut most = self.chain_at(place).s;
            for other in (1.max(place.saturating_sub(REACH))..place).rev() {
                let chain = self.chain_at(other);
                if chain.f >= most {
                    moves.push(Move::Back { from: other, to: place });
                }
                most = most.max(chain.s);
            }
        } else if !in_time {
            // It begins too late itself, because of those before it: it changes places with them.
            let s = self.chain_at(place).s;
            for other in (1.max(place.saturating_sub(REACH))..place).rev() {
                if self.chain_at(other).f < s {
                    break;
                }
                let before = self.chain_at(other - 1).holds.end - 1;
                if self.holds[before].end() <= returned {
                    moves.push(Move::Forward { from: place, to: other });
                }
            }
        }
        moves
    }

    /// Moves a chain; the first place that changed.
    fn carry_out(&mut self, one: Move) -> usize {
        match one {
            Move::Forward { from, to } => {
                self.order[to..=from].rotate_right(1);
                to - 1
            }
            Move::Back { from, to } => {
                self.order[from..=to].rotate_left(1);
                from
            }
        }
    }

    /// Takes a write without an answer as the next one after a hold.
    fn bring_in(&mut self, hold: usize, returned: u32) -> Option<u32> {
        if !self.is_last_of_chain(hold) || self.holds[hold].end() > returned {
            return None;
        }
        let replacing = self.spare_after.get(&self.holds[hold].node).copied();
        let (called, node) = match replacing.filter(|(called, _)| *called <= returned) {
            Some(found) => {
                self.spare_after.remove(&self.holds[hold].node);
                found
            }
            None => {
                let latest = *self.spare.range(..=(returned, NONE)).next_back()?;
                self.spare.remove(&latest);
                latest
            }
        };
        let chain = self.chains.len() as u32;
        let begin = self.holds.len();
        self.add_hold(chain, node, &Node { called, ..Node::EMPTY }, (NEVER, called));
        self.chains.push(Chain { f: NEVER, s: called, holds: begin..begin + 1 });
        Some(chain)
    }
}

//! Looks for an order of operations that explains every answer, for any sequential specification.
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), with
//! Lowe's memo of configurations ("Testing for Linearizability", 2017): depth first, it picks the
//! operation that takes effect next among those that are open, and never visits a configuration
//! twice. Five things keep it small:
//!
//! 1. **The frontier window.** Let `p` be the first return whose operation has not taken effect
//!    yet. Whatever returned before `p` has taken effect, and whatever was called after `p` has
//!    not. So the set of operations that have is given by `p` and a mask over the operations that
//!    are open at `p`: a configuration takes as many bits as there are clients, not as there are
//!    operations.
//! 2. **Pure operations at once.** One that leaves every state as it is, and is possible now, takes
//!    effect now. Any order that has it later can be changed to have it here.
//! 3. **Of equals, the most urgent.** Two open operations with the same question and answer can be
//!    exchanged; only the one that returns first is tried.
//! 4. **Looking ahead.** Where the model [says](SequentialSpec::may_return) that the pure operation
//!    which has to return next, of those that have not taken effect, can no longer have its answer,
//!    nothing further is tried.
//! 5. **Towards a goal.** Which of several operations is tried first changes nothing but the time: the
//!    one that has to return next comes first, and where it is not possible, one that makes it so.
//!
//! An operation without an answer is tried only where it makes a difference: right after it,
//! something must be possible that was not before, or lead elsewhere. Otherwise it may as well
//! have had no effect.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::model::SequentialSpec;

/// One operation, as the search sees it.
#[derive(Clone, Debug)]
pub struct Call<S: SequentialSpec> {
    /// What was asked.
    pub op: S::Op,
    /// What was answered; none if that is not known, and then the operation may take effect at any
    /// time after its invocation, with any answer, or never.
    pub ret: Option<S::Ret>,
    /// The number of the event of its invocation.
    pub invoked: u32,
    /// The number of the event of its completion; ignored where there is no answer.
    pub completed: u32,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is an order that explains every answer.
    Order,
    /// There is none. No order gets past the return of this operation.
    NoOrder {
        /// The operation, by its place in the list of calls.
        stuck: usize,
    },
    /// The budget ran out.
    Exhausted {
        /// The furthest that any order got: this operation did not take effect in time.
        stuck: usize,
        /// What there was too little of.
        of: Shortage,
    },
    /// More operations are open at one time than the search can keep apart.
    TooWide {
        /// How many.
        open: usize,
    },
}

/// How far a search may go. Both are counted, never measured: every machine gives up at the same
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many more configurations it may visit; each takes one.
    pub states: u64,
    /// How many bytes it may use to remember configurations, states, which operation leads from one
    /// to the other, and which unanswered ones were used.
    pub bytes: u64,
}

impl Budget {
    /// So many states, and as many bytes as they take.
    pub fn of_states(states: u64) -> Budget {
        Budget { states, bytes: u64::MAX }
    }
}

/// What a search had too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Configurations to visit.
    States,
    /// Bytes to remember them in.
    Bytes,
}

/// The most operations that may be open at one time.
const OPEN_MAX: usize = 1024;

/// Searches for an order, and takes from the budget what it visits.
pub fn search<S: SequentialSpec>(start: &S, calls: &[Call<S>], budget: &mut Budget) -> Found {
    order(start, calls, budget).map_or_else(|found| found, |_| Found::Order)
}

/// Searches for an order, and returns it: places in the list of calls. Operations without an answer
/// that had no effect are not in it.
///
/// # Errors
/// What was found instead; never [`Found::Order`].
pub fn order<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    budget: &mut Budget,
) -> Result<Vec<usize>, Found> {
    let plan = Timetable::new(calls);
    let trail = match plan.width {
        0..=64 => Search::<S, 1>::new(start, calls, plan).run(budget),
        65..=128 => Search::<S, 2>::new(start, calls, plan).run(budget),
        129..=OPEN_MAX => Search::<S, 16>::new(start, calls, plan).run(budget),
        open => Err(Found::TooWide { open }),
    }?;
    Ok(trail.into_iter().map(|index| index as usize).collect())
}

/// When operations are called and return. Indices are places in the list of calls.
struct Timetable {
    /// Operations with an answer, by return.
    returns: Vec<u32>,
    /// Operations with an answer, by call.
    called: Vec<u32>,
    /// How many of `called` were called before each return.
    called_before: Vec<u32>,
    /// Operations without an answer, by call.
    unanswered: Vec<u32>,
    /// How many of `unanswered` were called before each return.
    unanswered_before: Vec<u32>,
    /// The bit of each operation while it is open. Bits are used again.
    slots: Vec<u16>,
    /// The most operations that are open at one time.
    width: usize,
}

impl Timetable {
    fn new<S: SequentialSpec>(calls: &[Call<S>]) -> Timetable {
        let mut events: Vec<(u32, bool, u32)> = Vec::with_capacity(calls.len() * 2);
        for (index, call) in calls.iter().enumerate() {
            events.push((call.invoked, false, index as u32));
            if call.ret.is_some() {
                events.push((call.completed, true, index as u32));
            }
        }
        // A call and a return of the same number overlap: the call comes first.
        events.sort_unstable();
        let mut plan = Timetable {
            returns: Vec::new(),
            called: Vec::new(),
            called_before: Vec::new(),
            unanswered: Vec::new(),
            unanswered_before: Vec::new(),
            slots: vec![0; calls.len()],
            width: 0,
        };
        let mut free: Vec<u16> = Vec::new();
        for (_, returns, index) in events {
            if returns {
                plan.called_before.push(plan.called.len() as u32);
                plan.unanswered_before.push(plan.unanswered.len() as u32);
                plan.returns.push(index);
                free.push(plan.slots[index as usize]);
            } else if calls[index as usize].ret.is_some() {
                plan.called.push(index);
                plan.slots[index as usize] = free.pop().unwrap_or_else(|| {
                    plan.width += 1;
                    (plan.width - 1).min(OPEN_MAX) as u16
                });
            } else {
                plan.unanswered.push(index);
            }
        }
        plan
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mask<const N: usize>([u64; N]);

impl<const N: usize> Mask<N> {
    const EMPTY: Mask<N> = Mask([0; N]);

    fn has(&self, slot: u16) -> bool {
        self.0[usize::from(slot) / 64] >> (slot % 64) & 1 == 1
    }

    fn add(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] &= !(1 << (slot % 64));
    }

    fn without(mut self, other: &Mask<N>) -> Mask<N> {
        for (word, gone) in self.0.iter_mut().zip(other.0) {
            *word &= !gone;
        }
        self
    }

    fn slots(self) -> impl Iterator<Item = u16> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros();
                    word &= word - 1;
                    (index as u32 * 64 + bit) as u16
                })
            })
        })
    }
}

/// A configuration: what has taken effect, and the state that it led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Configuration<const N: usize> {
    /// The first return whose operation has not taken effect.
    frontier: u32,
    /// Of the operations open there, those that have.
    done: Mask<N>,
    state: u32,
    /// Unanswered operations that have taken effect: a number of a set.
    used: u32,
}

/// A configuration on the present path, with what is left to try from it.
struct Frame<const N: usize> {
    at: Configuration<N>,
    /// Answered operations that are left to try, and those of them that are tried first.
    left: Mask<N>,
    promising: Mask<N>,
    /// The next class of unanswered operations to try.
    next_class: u32,
    /// The state before the unanswered operation that led here, while it has made no difference.
    before: Option<u32>,
    /// How many operations have taken effect.
    trail: usize,
}

/// Unanswered operations that ask the same are counted, not told apart: the class and how many of
/// it were used, in order.
type Used = SmallVec<[(u32, u32); 4]>;

struct Search<'a, S: SequentialSpec, const N: usize> {
    calls: &'a [Call<S>],
    plan: Timetable,
    /// What each operation asks and learned, as a number: equal numbers are interchangeable.
    kinds: Vec<u32>,
    pure: Vec<bool>,
    /// Pure operations, by return.
    pure_returns: Vec<u32>,
    /// How many of them return before each return.
    pure_before: Vec<u32>,
    /// The unanswered operations of each class, by call: their places in `plan.unanswered`.
    classes: Vec<Vec<u32>>,
    states: Vec<S>,
    state_numbers: FxHashMap<S, u32>,
    /// Where an operation of a kind leads from a state; none if it is not possible there.
    steps: FxHashMap<(u32, u32), Option<u32>>,
    used_sets: Vec<Used>,
    used_numbers: FxHashMap<Used, u32>,
    visited: FxHashSet<Configuration<N>>,
    /// The operation in each slot at the present frontier.
    open: Vec<u32>,
    open_mask: Mask<N>,
    pure_mask: Mask<N>,
    frontier: u32,
    furthest: u32,
    /// What has taken effect on the present path, in its order.
    trail: Vec<u32>,
    /// How many bytes the states hold on the heap, and the sets of unanswered operations take.
    heap: u64,
}

impl<'a, S: SequentialSpec, const N: usize> Search<'a, S, N> {
    fn new(start: &S, calls: &'a [Call<S>], plan: Timetable) -> Self {
        let mut numbers: FxHashMap<(&S::Op, &Option<S::Ret>), u32> = FxHashMap::default();
        let mut kinds = Vec::with_capacity(calls.len());
        for call in calls {
            let next = numbers.len() as u32;
            kinds.push(*numbers.entry((&call.op, &call.ret)).or_insert(next));
        }
        let mut class_of_kind: FxHashMap<u32, usize> = FxHashMap::default();
        let mut classes: Vec<Vec<u32>> = Vec::new();
        for (place, index) in plan.unanswered.iter().enumerate() {
            let class = *class_of_kind.entry(kinds[*index as usize]).or_insert_with(|| {
                classes.push(Vec::new());
                classes.len() - 1
            });
            classes[class].push(place as u32);
        }
        let pure = |call: &Call<S>| call.ret.as_ref().is_some_and(|ret| S::is_pure(&call.op, ret));
        let pure: Vec<bool> = calls.iter().map(pure).collect();
        let mut pure_returns = Vec::new();
        let mut pure_before = Vec::with_capacity(plan.returns.len());
        for index in &plan.returns {
            pure_before.push(pure_returns.len() as u32);
            if pure[*index as usize] {
                pure_returns.push(*index);
            }
        }
        Search {
            pure,
            pure_returns,
            pure_before,
            calls,
            kinds,
            classes,
            states: vec![start.clone()],
            state_numbers: FxHashMap::from_iter([(start.clone(), 0)]),
            steps: FxHashMap::default(),
            used_sets: vec![Used::new()],
            used_numbers: FxHashMap::from_iter([(Used::new(), 0)]),
            visited: FxHashSet::default(),
            open: vec![0; plan.width],
            open_mask: Mask::EMPTY,
            pure_mask: Mask::EMPTY,
            frontier: 0,
            furthest: 0,
            trail: Vec::new(),
            heap: 0,
            plan,
        }
    }

    fn run(mut self, budget: &mut Budget) -> Result<Vec<u32>, Found> {
        if self.plan.returns.is_empty() {
            return Ok(self.trail);
        }
        for place in 0..self.plan.called_before[0] {
            self.enter(self.plan.called[place as usize]);
        }
        let start = Configuration { frontier: 0, done: Mask::EMPTY, state: 0, used: 0 };
        let mut path: Vec<Frame<N>> = Vec::new();
        let mut next = Some((start, None));
        loop {
            if let Some((at, before)) = next.take() {
                let (at, before) = self.settle(at, before);
                if at.frontier as usize == self.plan.returns.len() {
                    return Ok(self.trail);
                }
                if self.has_a_future(&at) && self.is_new(at, before) {
                    if let Some(of) = self.shortage(budget) {
                        return Err(Found::Exhausted { stuck: self.stuck(), of });
                    }
                    budget.states -= 1;
                    let left = self.candidates(&at);
                    let trail = self.trail.len();
                    let promising = self.promising(&at, &left);
                    path.push(Frame { at, left, promising, next_class: 0, before, trail });
                }
            }
            let Some(frame) = path.last_mut() else {
                return Err(Found::NoOrder { stuck: self.stuck() });
            };
            self.go_to(frame.at.frontier);
            self.trail.truncate(frame.trail);
            next = self.answered(frame).or_else(|| self.unanswered(frame));
            if next.is_none() {
                path.pop();
            }
        }
    }

    fn shortage(&self, budget: &Budget) -> Option<Shortage> {
        if budget.states == 0 {
            return Some(Shortage::States);
        }
        (self.bytes() > budget.bytes).then_some(Shortage::Bytes)
    }

    /// How much the search remembers: what its tables have room for, and what lies outside of them. A table that is full takes three times its size while it grows.
    fn bytes(&self) -> u64 {
        let table = |len: usize, capacity: usize, entry: usize| {
            let times = if len == capacity { 3 } else { 1 };
            // Of 8 places 7 are used, and each has a byte that says so.
            (capacity as u64 * 8).div_ceil(7) * (entry as u64 + 1) * times
        };
        let visited = (self.visited.len(), self.visited.capacity());
        let steps = (self.steps.len(), self.steps.capacity());
        // Each state is in a list and in a table.
        let states = (self.states.capacity() * 2) as u64 * size_of::<S>() as u64;
        table(visited.0, visited.1, size_of::<Configuration<N>>())
            + table(steps.0, steps.1, size_of::<((u32, u32), Option<u32>)>())
            + states
            + self.heap
    }

    fn stuck(&self) -> usize {
        self.plan.returns[self.furthest as usize] as usize
    }

    /// Lets pure operations take effect, and moves the frontier past what has.
    fn settle(
        &mut self,
        mut at: Configuration<N>,
        mut before: Option<u32>,
    ) -> (Configuration<N>, Option<u32>) {
        self.go_to(at.frontier);
        loop {
            for slot in self.open_mask.without(&at.done).slots() {
                let index = self.open[usize::from(slot)];
                if self.pure[index as usize] && self.step(at.state, index).is_some() {
                    at.done.add(slot);
                    self.trail.push(index);
                    // It was not possible before, or it would have taken effect there.
                    before = None;
                }
            }
            let frontier = at.frontier;
            while let Some(due) = self.plan.returns.get(at.frontier as usize) {
                let slot = self.plan.slots[*due as usize];
                if !at.done.has(slot) {
                    break;
                }
                at.done.remove(slot);
                at.frontier += 1;
                self.go_to(at.frontier);
            }
            if at.frontier == frontier {
                let last = self.plan.returns.len() as u32 - 1;
                self.furthest = self.furthest.max(at.frontier.min(last));
                return (at, before);
            }
        }
    }

    /// Whether the pure operation that has to return next can still have its answer.
    fn has_a_future(&self, at: &Configuration<N>) -> bool {
        let first = self.pure_before[at.frontier as usize] as usize;
        let is_done = |due: u32| {
            // One that was called later cannot have taken effect.
            let slot = self.plan.slots[due as usize];
            let is_open = self.open_mask.has(slot) && self.open[usize::from(slot)] == due;
            is_open && at.done.has(slot)
        };
        let due = self.pure_returns[first..].iter().find(|due| !is_done(**due));
        due.is_none_or(|due| {
            let call = &self.calls[*due as usize];
            let ret = call.ret.as_ref().expect("a pure operation has an answer");
            self.states[at.state as usize].may_return(&call.op, ret)
        })
    }

    /// Takes note of a configuration. One that an unanswered operation led to, without making a
    /// difference so far, is not the same as one that stands on its own: less may follow it.
    fn is_new(&mut self, at: Configuration<N>, before: Option<u32>) -> bool {
        if at.used != 0 && self.visited.contains(&Configuration { used: 0, ..at }) {
            // The same without any unanswered operation used up: whatever follows here, follows
            // there.
            return false;
        }
        if before.is_some() { !self.visited.contains(&at) } else { self.visited.insert(at) }
    }

    /// The answered operations that may take effect next.
    fn candidates(&mut self, at: &Configuration<N>) -> Mask<N> {
        let mut chosen = Mask::EMPTY;
        let mut urgent: SmallVec<[(u32, u16); 16]> = SmallVec::new();
        let open = self.open_mask.without(&at.done).without(&self.pure_mask);
        for slot in open.slots() {
            let index = self.open[usize::from(slot)] as usize;
            let kind = self.kinds[index];
            let earlier = |other: u16| {
                let other = self.open[usize::from(other)] as usize;
                self.calls[other].completed < self.calls[index].completed
            };
            match urgent.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, other)) if earlier(*other) => {}
                Some((_, other)) => *other = slot,
                None => urgent.push((kind, slot)),
            }
        }
        for (_, slot) in urgent {
            chosen.add(slot);
        }
        chosen
    }

    /// The next configuration that an answered operation leads to.
    fn answered(&mut self, frame: &mut Frame<N>) -> Option<(Configuration<N>, Option<u32>)> {
        loop {
            let first = self.most_urgent(frame.promising);
            let slot = first.or_else(|| self.most_urgent(frame.left))?;
            frame.promising.remove(slot);
            frame.left.remove(slot);
            let index = self.open[usize::from(slot)];
            let Some(state) = self.step(frame.at.state, index) else { continue };
            if let Some(before) = frame.before
                && self.step(before, index) == Some(state)
            {
                // It leads to the same without the unanswered operation before it.
                continue;
            }
            let mut at = Configuration { state, ..frame.at };
            at.done.add(slot);
            self.trail.push(index);
            return Some((at, None));
        }
    }

    /// Of what may be tried, that after which the operation is possible that has to return next; all
    /// of it where that is possible already, or nothing makes it so.
    fn promising(&mut self, at: &Configuration<N>, of: &Mask<N>) -> Mask<N> {
        let due = self.plan.returns[at.frontier as usize];
        if self.step(at.state, due).is_some() {
            return *of;
        }
        let mut promising = Mask::EMPTY;
        for slot in of.slots() {
            let state = self.step(at.state, self.open[usize::from(slot)]);
            if state.is_some_and(|state| self.step(state, due).is_some()) {
                promising.add(slot);
            }
        }
        if promising == Mask::EMPTY { *of } else { promising }
    }

    /// The one that returns first.
    fn most_urgent(&self, of: Mask<N>) -> Option<u16> {
        let returns = |slot: &u16| self.calls[self.open[usize::from(*slot)] as usize].completed;
        of.slots().min_by_key(returns)
    }

    /// The next configuration that an unanswered operation leads to.
    fn unanswered(&mut self, frame: &mut Frame<N>) -> Option<(Configuration<N>, Option<u32>)> {
        let called = self.plan.unanswered_before[frame.at.frontier as usize];
        while let Some(class) = self.classes.get(frame.next_class as usize) {
            let number = frame.next_class;
            frame.next_class += 1;
            let used = self.used_sets[frame.at.used as usize].clone();
            let place = used.iter().position(|(of, _)| *of == number);
            let count = place.map_or(0, |place| used[place].1);
            let Some(member) = class.get(count as usize).filter(|member| **member < called) else {
                continue;
            };
            let index = self.plan.unanswered[*member as usize];
            let Some(state) = self.step(frame.at.state, index) else { continue };
            let no_difference = state == frame.at.state
                || frame.before.is_some_and(|before| self.step(before, index) == Some(state));
            if no_difference {
                continue;
            }
            let used = self.number_of(with_one_more(used, number));
            self.trail.push(index);
            let at = Configuration { state, used, ..frame.at };
            return Some((at, Some(frame.at.state)));
        }
        None
    }

    fn number_of(&mut self, used: Used) -> u32 {
        if let Some(number) = self.used_numbers.get(&used) {
            return *number;
        }
        let number = self.used_sets.len() as u32;
        // Each set is in a list and in a table, and a long one on the heap.
        let outside = if used.spilled() { used.capacity() * size_of::<(u32, u32)>() } else { 0 };
        self.heap += 2 * (size_of::<Used>() + outside) as u64;
        self.used_sets.push(used.clone());
        self.used_numbers.insert(used, number);
        number
    }

    /// Where an operation leads from a state; none if it cannot have its answer there.
    fn step(&mut self, state: u32, index: u32) -> Option<u32> {
        let kind = self.kinds[index as usize];
        if let Some(known) = self.steps.get(&(state, kind)) {
            return *known;
        }
        let call = &self.calls[index as usize];
        let mut after = self.states[state as usize].clone();
        let possible = match &call.ret {
            Some(ret) => after.is_valid_step(&call.op, ret),
            None => {
                after.invoke(&call.op);
                true
            }
        };
        let leads_to = possible.then(|| {
            *self.state_numbers.entry(after).or_insert_with_key(|after| {
                self.heap += 2 * after.heap_bytes() as u64;
                self.states.push(after.clone());
                self.states.len() as u32 - 1
            })
        });
        self.steps.insert((state, kind), leads_to);
        leads_to
    }

    /// Makes `open` say what is open at a frontier.
    fn go_to(&mut self, frontier: u32) {
        while self.frontier < frontier {
            self.leave(self.plan.returns[self.frontier as usize]);
            let from = self.plan.called_before[self.frontier as usize];
            self.frontier += 1;
            if let Some(to) = self.plan.called_before.get(self.frontier as usize) {
                for place in from..*to {
                    self.enter(self.plan.called[place as usize]);
                }
            }
        }
        while self.frontier > frontier {
            let to = self.plan.called_before.get(self.frontier as usize).copied();
            self.frontier -= 1;
            let from = self.plan.called_before[self.frontier as usize];
            for place in from..to.unwrap_or(from) {
                self.leave(self.plan.called[place as usize]);
            }
            self.enter(self.plan.returns[self.frontier as usize]);
        }
    }

    fn enter(&mut self, index: u32) {
        let slot = self.plan.slots[index as usize];
        self.open[usize::from(slot)] = index;
        self.open_mask.add(slot);
        if self.pure[index as usize] {
            self.pure_mask.add(slot);
        } else {
            self.pure_mask.remove(slot);
        }
    }

    fn leave(&mut self, index: u32) {
        self.open_mask.remove(self.plan.slots[index as usize]);
    }
}

fn with_one_more(mut used: Used, class: u32) -> Used {
    match used.binary_search_by_key(&class, |(of, _)| *of) {
        Ok(place) => used[place].1 += 1,
        Err(place) => used.insert(place, (class, 1)),
    }
    used
}

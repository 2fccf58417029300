//! Looks for an order of operations that explains every answer, for any sequential specification.
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), with
//! Lowe's memo of configurations ("Testing for Linearizability", 2017): depth first, it picks the
//! operation that takes effect next among those that are open, and never visits a configuration
//! twice. Ten things keep it small:
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
//! 4. **Unanswered operations by need.** One without an answer is tried only where it makes a
//!    difference: right after it, something must be possible that was not before, or lead elsewhere.
//!    Otherwise it may as well have had no effect. Of two that could change places, one order is
//!    tried. And where the search has been with fewer of them used up, it need not go again.
//! 5. **Towards a goal.** Which of several operations is tried first changes nothing but the time: the
//!    one that has to return next comes first, and where it is not possible, one that makes it so.
//! 6. **Looking ahead.** Nothing further is tried where a state was left that [must still be
//!    shown](lookahead) and does not come back, or where the model
//!    [says](SequentialSpec::may_return) that the pure operation which has to return next can no
//!    longer have its answer.
//! 7. **Numbers for states.** Each state is kept once, and what an operation makes of it is looked up.
//! 8. **Quiescent cuts.** Where no operation is open and the state is known, what follows is [searched
//!    by itself](parts). Where it is not known and memory runs out, all states that are possible at
//!    a cut are found, everything before it is forgotten, and the search goes on from them.
//! 9. **Gaps of sums.** Which of many unanswered additions took effect is [left open](gaps) where the search
//!    above does not come to an end soon.
//! 10. **Elements.** Of a set, it goes [from one answer to the next](elements), and sees none of what may have been in
//!     between.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::model::SequentialSpec;
use elements::{Elements, Way};
use gaps::Gaps;
use lookahead::Marks;
use memo::{Memo, UsedSets, table};
pub(super) use parts::parts;
use timetable::{Mask, Timetable};

mod elements;
mod gaps;
mod lookahead;
mod memo;
mod parts;
mod timetable;

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
    /// There is none.
    NoOrder {
        /// The furthest that any order was followed: this operation, by its place in the list of calls,
        /// had not taken effect. What makes an order impossible may come later, where looking ahead
        /// told of it.
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

impl Found {
    /// The same of a longer list of calls, with so many before.
    pub(super) fn after(self, before: usize) -> Found {
        match self {
            Found::NoOrder { stuck } => Found::NoOrder { stuck: before + stuck },
            Found::Exhausted { stuck, of } => Found::Exhausted { stuck: before + stuck, of },
            Found::Order | Found::TooWide { .. } => self,
        }
    }
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

impl Budget {
    /// Does something with so many states at most.
    fn part<T>(&mut self, states_max: u64, of: impl FnOnce(&mut Budget) -> T) -> T {
        let states = states_max.min(self.states);
        let mut part = Budget { states, ..*self };
        let done = of(&mut part);
        self.states -= states - part.states;
        done
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

/// How many returns there are at least between two cuts at which the past is forgotten.
const SEGMENT_MIN: u32 = 1 << 10;

/// How many states a search may take, besides two for each operation, before it is tried with gaps.
const BEFORE_GAPS: u64 = 10_000;

/// The most gaps on one way that are tried.
const GAPS_MAX: u32 = 24;

/// Searches for an order, and takes from the budget what it visits. Bytes are counted for each part
/// between cuts where the state is known.
///
/// # Panics
/// Where an answer comes before its call.
pub fn search<S: SequentialSpec>(start: &S, calls: &[Call<S>], budget: &mut Budget) -> Found {
    check_times(calls);
    for (state, range) in parts(start, calls) {
        let begin = range.start;
        let found = search_part(&state, &calls[range], budget);
        if found != Found::Order {
            return found.after(begin);
        }
    }
    Found::Order
}

/// Searches one part for an order.
pub(super) fn search_part<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    budget: &mut Budget,
) -> Found {
    order_of_part(start, calls, budget, false).map_or_else(|found| found, |_| Found::Order)
}

/// Searches for an order, and returns it: places in the list of calls. Operations without an answer
/// that had no effect are not in it.
///
/// # Errors
/// What was found instead; never [`Found::Order`].
///
/// # Panics
/// Where an answer comes before its call.
pub fn order<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    budget: &mut Budget,
) -> Result<Vec<usize>, Found> {
    check_times(calls);
    let mut places = Vec::new();
    for (state, range) in parts(start, calls) {
        let begin = range.start;
        let found = order_of_part(&state, &calls[range], budget, true);
        let of_part = found.map_err(|found| found.after(begin))?;
        places.extend(of_part.into_iter().map(|index| begin + index as usize));
    }
    Ok(places)
}

fn check_times<S: SequentialSpec>(calls: &[Call<S>]) {
    let place = calls.iter().position(|call| call.ret.is_some() && call.completed < call.invoked);
    assert!(place.is_none(), "call {place:?} is answered before it begins");
}

/// The order of one part, or an empty one where it is not wanted. It is searched in one go, and from cut
/// to cut where that takes too much memory.
fn order_of_part<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    budget: &mut Budget,
    is_wanted: bool,
) -> Result<Vec<u32>, Found> {
    let plan = Timetable::new(calls);
    let run = |segment, budget: &mut Budget| match plan.width {
        0..=64 => Search::<S, 1>::new(start, calls, &plan, is_wanted).run(segment, budget),
        65..=128 => Search::<S, 2>::new(start, calls, &plan, is_wanted).run(segment, budget),
        129..=OPEN_MAX => Search::<S, 16>::new(start, calls, &plan, is_wanted).run(segment, budget),
        open => Err(Found::TooWide { open }),
    };
    if !plan.unanswered.is_empty() && start.sum().is_some() {
        let soon = BEFORE_GAPS + 2 * calls.len() as u64;
        let found = budget.part(soon, |part| run(u32::MAX, part));
        if !matches!(found, Err(Found::Exhausted { .. })) {
            return found;
        }
        let found = budget.part(budget.states / 2, |part| of_gaps(start, calls, &plan, part));
        if let Some(found) = found {
            return found;
        }
    }
    let found = run(u32::MAX, budget);
    let too_much = matches!(found, Err(Found::Exhausted { of: Shortage::Bytes, .. }));
    let may_cut = too_much && plan.cut_from(SEGMENT_MIN) < plan.end();
    if may_cut { run(SEGMENT_MIN, budget) } else { found }
}

/// The order of a [sum](SequentialSpec::sum), with the fewest [gaps](gaps) that are filled by unanswered operations:
/// places in the list of calls. Nothing where this way does not tell, as for what is no sum.
///
/// # Errors
/// What was found instead; never [`Found::Order`].
///
/// # Panics
/// Where an answer comes before its call.
pub fn order_by_gaps<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    budget: &mut Budget,
) -> Option<Result<Vec<usize>, Found>> {
    check_times(calls);
    let found = of_gaps(start, calls, &Timetable::new(calls), budget)?;
    Some(found.map(|places| places.into_iter().map(|index| index as usize).collect()))
}

/// The same of one part.
fn of_gaps<S: SequentialSpec>(
    start: &S,
    calls: &[Call<S>],
    plan: &Timetable,
    budget: &mut Budget,
) -> Option<Result<Vec<u32>, Found>> {
    let mut most = 0;
    while most <= GAPS_MAX {
        let found = match plan.width {
            0..=64 => Search::<S, 1>::new(start, calls, plan, true).run_by_gaps(most, budget),
            65..=128 => Search::<S, 2>::new(start, calls, plan, true).run_by_gaps(most, budget),
            129..=OPEN_MAX => {
                Search::<S, 16>::new(start, calls, plan, true).run_by_gaps(most, budget)
            }
            open => return Some(Err(Found::TooWide { open })),
        };
        match found {
            ByGaps::Found(order) => return Some(Ok(order)),
            ByGaps::None { stuck } => return Some(Err(Found::NoOrder { stuck })),
            ByGaps::Unknown => return None,
            ByGaps::WithMore => most += 1 + most / 3,
        }
    }
    None
}

/// What was found with so many gaps at most.
enum ByGaps {
    /// An order: it shows that they can be filled.
    Found(Vec<u32>),
    /// There is none, with any number of gaps.
    None {
        /// See [`Found::NoOrder`].
        stuck: usize,
    },
    /// There may be one with more gaps.
    WithMore,
    /// The budget ran out, or some gaps could not be filled, and it is not known whether they can.
    Unknown,
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

impl<const N: usize> Configuration<N> {
    /// It without the unanswered operations that were used.
    fn place(&self) -> Place<N> {
        Place { frontier: self.frontier, done: self.done, state: self.state }
    }
}

/// What the memo knows a configuration by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place<const N: usize> {
    frontier: u32,
    done: Mask<N>,
    state: u32,
}

/// An unanswered operation that has made no difference so far: the state before it, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    before: u32,
    class: u32,
}

/// A configuration on the present path, with what is left to try from it.
struct Frame<const N: usize> {
    at: Configuration<N>,
    /// Answered operations that are left to try, and those of them that are tried first.
    left: Mask<N>,
    promising: Mask<N>,
    /// The next class of unanswered operations to try where only they lead on, and of all others.
    next_helpful: u32,
    next_class: u32,
    /// The unanswered operation that led here, while it has made no difference.
    waiting: Option<Waiting>,
    /// What is left to try of an object of elements, in the place of all that.
    ways: Vec<Way>,
    /// How many operations have taken effect.
    trail: usize,
}

/// Unanswered operations that ask the same, by call: their places among all that are unanswered.
type Class = SmallVec<[u32; 4]>;

/// Where an exploration begins: a configuration at a quiescent cut.
#[derive(Clone, Copy)]
struct Entry<const N: usize> {
    at: Configuration<N>,
    /// How it was reached: a leg.
    leg: usize,
}

/// What took effect between two cuts, after another leg.
struct Leg {
    after: usize,
    trail: Vec<u32>,
}

struct Search<'a, S: SequentialSpec, const N: usize> {
    calls: &'a [Call<S>],
    plan: &'a Timetable,
    /// Whether the order itself is wanted.
    is_wanted: bool,
    /// What each operation asks and learned, as a number: equal numbers are interchangeable.
    kinds: Vec<u32>,
    /// No operation puts something in the place of what there is.
    only_grows: bool,
    pure: Vec<bool>,
    /// Pure operations, by return.
    pure_returns: Vec<u32>,
    /// How many of them return before each return.
    pure_before: Vec<u32>,
    /// The unanswered operations of each class, by call: their places in `plan.unanswered`.
    classes: Vec<Class>,
    marks: Marks<S>,
    elements: Elements<S>,
    states: Vec<S>,
    state_numbers: FxHashMap<S, u32>,
    state_marks: Vec<u32>,
    /// Where an operation of a kind leads from a state; none if it is not possible there.
    steps: FxHashMap<(u32, u32), Option<u32>>,
    used_sets: UsedSets,
    visited: Memo<Place<N>>,
    /// What an unanswered operation led to without making a difference so far is not the same as
    /// what stands on its own: less may follow it.
    visited_waiting: Memo<(Place<N>, Waiting)>,
    /// The operation in each slot at the present frontier.
    open: Vec<u32>,
    open_mask: Mask<N>,
    pure_mask: Mask<N>,
    frontier: u32,
    furthest: u32,
    /// Where the exploration ends.
    goal: u32,
    /// What has taken effect on the present path, in its order.
    trail: Vec<u32>,
    legs: Vec<Leg>,
    /// How many bytes the states hold on the heap.
    heap: u64,
    /// Where unanswered operations are left open: the gaps, which are then what configurations have used.
    gaps: Option<Gaps>,
}

impl<'a, S: SequentialSpec, const N: usize> Search<'a, S, N> {
    fn new(start: &S, calls: &'a [Call<S>], plan: &'a Timetable, is_wanted: bool) -> Self {
        let mut numbers: FxHashMap<(&S::Op, &Option<S::Ret>), u32> = FxHashMap::default();
        let mut kinds = Vec::with_capacity(calls.len());
        for call in calls {
            let next = numbers.len() as u32;
            kinds.push(*numbers.entry((&call.op, &call.ret)).or_insert(next));
        }
        let mut class_of_kind: FxHashMap<u32, usize> = FxHashMap::default();
        let mut classes: Vec<Class> = Vec::new();
        for (place, index) in plan.unanswered.iter().enumerate() {
            let class = *class_of_kind.entry(kinds[*index as usize]).or_insert_with(|| {
                classes.push(Class::new());
                classes.len() - 1
            });
            classes[class].push(place as u32);
        }
        let first_of = |class: &Class| plan.unanswered[class[0] as usize];
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
        let mut search = Search {
            marks: Marks::new(calls, plan, &pure, &classes),
            elements: Elements::of(start, calls, &kinds, classes.iter().map(first_of)),
            is_wanted,
            only_grows: calls.iter().all(|call| S::makes(&call.op).is_none()),
            pure,
            pure_returns,
            pure_before,
            calls,
            kinds,
            classes,
            states: Vec::new(),
            state_numbers: FxHashMap::default(),
            state_marks: Vec::new(),
            steps: FxHashMap::default(),
            used_sets: UsedSets::new(),
            visited: Memo::new(),
            visited_waiting: Memo::new(),
            open: vec![0; plan.width],
            open_mask: Mask::EMPTY,
            pure_mask: Mask::EMPTY,
            frontier: 0,
            furthest: 0,
            goal: 0,
            trail: Vec::new(),
            legs: vec![Leg { after: 0, trail: Vec::new() }],
            heap: 0,
            gaps: None,
            plan,
        };
        search.number_of(start.clone());
        for place in 0..search.plan.called_before.first().copied().unwrap_or(0) {
            search.enter(search.plan.called[place as usize]);
        }
        search
    }

    /// Finds all that is possible at the first cut after so many returns, and so on to the end; there,
    /// one is enough.
    fn run(mut self, segment: u32, budget: &mut Budget) -> Result<Vec<u32>, Found> {
        let start = Configuration { frontier: 0, done: Mask::EMPTY, state: 0, used: 0 };
        let mut entries = vec![Entry { at: start, leg: 0 }];
        while self.goal < self.plan.end() {
            self.goal = self.plan.cut_from(self.goal.saturating_add(segment));
            entries = self.explore(&entries, budget)?;
            if entries.is_empty() {
                return Err(Found::NoOrder { stuck: self.stuck() });
            }
            if self.goal < self.plan.end() {
                self.forget(&mut entries);
            }
        }
        Ok(self.order_to(entries[0].leg))
    }

    /// Finds an order with so many gaps at most.
    fn run_by_gaps(mut self, most: u32, budget: &mut Budget) -> ByGaps {
        let added = |class: &Class| {
            S::adds(&self.calls[self.plan.unanswered[class[0] as usize] as usize].op)
        };
        let amounts: Option<Vec<i128>> = self.classes.iter().map(added).collect();
        let Some(amounts) = amounts else { return ByGaps::Unknown };
        self.gaps = Some(Gaps::new(amounts, self.classes.clone(), most));
        self.goal = self.plan.end();
        if self.goal == 0 {
            return ByGaps::Found(Vec::new());
        }
        let start = Configuration { frontier: 0, done: Mask::EMPTY, state: 0, used: 0 };
        let Ok(ends) = self.explore(&[Entry { at: start, leg: 0 }], budget) else {
            return ByGaps::Unknown;
        };
        let gaps = self.gaps.take().expect("they are there");
        match ends.first() {
            Some(end) => {
                let trail = self.order_to(end.leg);
                ByGaps::Found(self.with_gaps_filled(&trail, end.at.used, gaps))
            }
            None if gaps.was_cut => ByGaps::WithMore,
            None if gaps.is_open => ByGaps::Unknown,
            None => ByGaps::None { stuck: self.stuck() },
        }
    }

    /// What took effect, with the unanswered operations in the place of the gaps.
    fn with_gaps_filled(&self, trail: &[u32], set: u32, gaps: Gaps) -> Vec<u32> {
        let calls = self.calls.len() as u32;
        let mut filled = gaps.filled(set, &self.used_sets);
        let mut order = Vec::with_capacity(trail.len());
        for index in trail {
            let Some(gap) = index.checked_sub(calls) else {
                order.push(*index);
                continue;
            };
            let same = filled.iter().position(|(number, _)| *number == gap);
            let (_, places) = filled.remove(same.expect("each gap is filled"));
            order.extend(places.into_iter().map(|place| self.plan.unanswered[place as usize]));
        }
        order
    }

    /// The ways to reach the goal, which may use up unanswered operations; only the first, if the goal
    /// is the end.
    fn explore(
        &mut self,
        entries: &[Entry<N>],
        budget: &mut Budget,
    ) -> Result<Vec<Entry<N>>, Found> {
        let is_last = self.goal == self.plan.end();
        let mut exits: Vec<Entry<N>> = Vec::new();
        let mut known: Memo<u32> = Memo::new();
        let mut path: Vec<Frame<N>> = Vec::new();
        for entry in entries {
            self.trail.clear();
            let mut next = self.leaves_all_possible(&entry.at).then_some((entry.at, None));
            loop {
                if let Some((at, waiting)) = next.take() {
                    let (at, waiting) = self.settle(at, waiting);
                    if at.frontier == self.goal {
                        if known.add(at.state, at.used, &self.used_sets) {
                            exits.push(Entry { at, leg: self.leg_after(entry.leg) });
                        }
                        if is_last {
                            return Ok(exits);
                        }
                    } else {
                        let goes_on = self.has_a_future(&at) && self.is_new(at, waiting);
                        // Of elements there may be very many ways that lead nowhere.
                        if goes_on || S::OF_ELEMENTS {
                            if let Some(of) = self.shortage(budget) {
                                return Err(Found::Exhausted { stuck: self.stuck(), of });
                            }
                            budget.states -= 1;
                        }
                        if goes_on {
                            path.push(self.frame(at, waiting));
                        }
                    }
                }
                let Some(frame) = path.last_mut() else { break };
                self.go_to(frame.at.frontier);
                next = self.next_of(frame);
                if next.is_none() {
                    path.pop();
                }
            }
        }
        Ok(exits)
    }

    /// Takes note of what took effect since a leg ended.
    fn leg_after(&mut self, leg: usize) -> usize {
        if !self.is_wanted {
            return 0;
        }
        self.legs.push(Leg { after: leg, trail: self.trail.clone() });
        self.legs.len() - 1
    }

    fn order_to(&self, mut leg: usize) -> Vec<u32> {
        let mut trails = Vec::new();
        while leg != 0 {
            trails.push(&self.legs[leg].trail[..]);
            leg = self.legs[leg].after;
        }
        trails.reverse();
        trails.concat()
    }

    /// Keeps of all states only those from which the search goes on, and nothing of how it came there.
    fn forget(&mut self, entries: &mut [Entry<N>]) {
        let mut kept: Vec<u32> = entries.iter().map(|entry| entry.at.state).collect();
        kept.sort_unstable();
        kept.dedup();
        for entry in entries {
            let place = kept.binary_search(&entry.at.state).expect("its state is kept");
            entry.at.state = place as u32;
        }
        let kept: Vec<S> = kept.iter().map(|state| self.states[*state as usize].clone()).collect();
        self.steps.clear();
        self.state_numbers.clear();
        self.states.clear();
        self.state_marks.clear();
        self.heap = 0;
        for state in kept {
            self.number_of(state);
        }
        self.visited.clear();
        self.visited_waiting.clear();
    }

    fn frame(&mut self, at: Configuration<N>, waiting: Option<Waiting>) -> Frame<N> {
        let (left, ways) = if S::OF_ELEMENTS {
            (Mask::EMPTY, self.ways(&at))
        } else {
            (self.candidates(&at), Vec::new())
        };
        let (promising, only_helpful) = self.promising(&at, &left);
        Frame {
            at,
            left,
            promising,
            next_helpful: if only_helpful { 0 } else { u32::MAX },
            next_class: 0,
            waiting,
            ways,
            trail: self.trail.len(),
        }
    }

    fn shortage(&self, budget: &Budget) -> Option<Shortage> {
        if budget.states == 0 {
            return Some(Shortage::States);
        }
        (self.bytes() > budget.bytes).then_some(Shortage::Bytes)
    }

    /// How much the search remembers: what its tables have room for, and what lies outside of them.
    fn bytes(&self) -> u64 {
        let steps = (self.steps.len(), self.steps.capacity());
        // Each state is in a list and in a table.
        let list = self.states.capacity() * size_of::<S>();
        let marks = self.state_marks.capacity() * size_of::<u32>();
        let numbers = (self.state_numbers.len(), self.state_numbers.capacity());
        let states = table(numbers.0, numbers.1, size_of::<(S, u32)>()) + (list + marks) as u64;
        self.visited.bytes()
            + self.visited_waiting.bytes()
            + table(steps.0, steps.1, size_of::<((u32, u32), Option<u32>)>())
            + states
            + self.used_sets.bytes()
            + self.heap
    }

    fn stuck(&self) -> usize {
        self.plan.returns[self.furthest as usize] as usize
    }

    /// Lets pure operations take effect, and moves the frontier past what has.
    fn settle(
        &mut self,
        mut at: Configuration<N>,
        mut waiting: Option<Waiting>,
    ) -> (Configuration<N>, Option<Waiting>) {
        self.go_to(at.frontier);
        loop {
            for slot in self.open_mask.without(&at.done).slots() {
                let index = self.open[usize::from(slot)];
                if self.pure[index as usize] && self.step(at.state, index).is_some() {
                    at.done.add(slot);
                    self.trail.push(index);
                    // It was not possible before, or it would have taken effect there.
                    waiting = None;
                }
            }
            let frontier = at.frontier;
            while at.frontier < self.goal {
                let slot = self.plan.slots[self.plan.returns[at.frontier as usize] as usize];
                if !at.done.has(slot) {
                    break;
                }
                at.done.remove(slot);
                at.frontier += 1;
                self.go_to(at.frontier);
            }
            if at.frontier == frontier || at.frontier == self.goal {
                self.furthest = self.furthest.max(at.frontier);
                return (at, waiting);
            }
        }
    }

    /// Whether an operation has taken effect that returns at the frontier or later.
    fn is_done(&self, index: u32, at: &Configuration<N>) -> bool {
        // One that was called later cannot have taken effect.
        let slot = self.plan.slots[index as usize];
        let is_open = self.open_mask.has(slot) && self.open[usize::from(slot)] == index;
        is_open && at.done.has(slot)
    }

    /// Whether the pure operation that has to return next can still have its answer, and whatever else
    /// is open: on the way to what the one shows, what another one shows may be passed.
    fn has_a_future(&self, at: &Configuration<N>) -> bool {
        if !S::LOOKS_AHEAD {
            return true;
        }
        let first = self.pure_before[at.frontier as usize] as usize;
        let due = self.pure_returns[first..].iter().find(|due| !self.is_done(**due, at));
        let open = self.open_mask.without(&at.done);
        let pure = open.without(&open.without(&self.pure_mask));
        let mut pure = pure.slots().map(|slot| self.open[usize::from(slot)]);
        due.is_none_or(|due| self.may_return(*due, at))
            && pure.all(|index| due == Some(&index) || self.may_return(index, at))
    }

    /// Whether every pure operation can still have its answer, however late it returns: what is said only
    /// once need not be found in every way that leads there.
    fn leaves_all_possible(&mut self, at: &Configuration<N>) -> bool {
        if !S::LOOKS_AHEAD {
            return true;
        }
        self.go_to(at.frontier);
        let first = self.pure_before[at.frontier as usize] as usize;
        let mut left = self.pure_returns[first..].iter().filter(|index| !self.is_done(**index, at));
        left.all(|index| self.may_return(*index, at))
    }

    /// Whether a pure operation can still have its answer after some of those that may take effect before
    /// it returns.
    fn may_return(&self, index: u32, at: &Configuration<N>) -> bool {
        /// With more than these, asking takes longer than what comes of it is worth.
        const LATER_MAX: usize = 256;
        let call = &self.calls[index as usize];
        let is_called = |other: &u32| self.calls[*other as usize].invoked <= call.completed;
        let called = self.plan.called_before[at.frontier as usize] as usize;
        let later = &self.plan.called[called..];
        let later = &later[..later.partition_point(is_called)];
        let unanswered = self.plan.unanswered.partition_point(is_called);
        let ret = call.ret.as_ref().expect("a pure operation has an answer");
        let state = &self.states[at.state as usize];
        if later.len() + unanswered > LATER_MAX {
            return !self.only_grows || state.may_grow_to(&call.op, ret);
        }
        let open = self.open_mask.without(&at.done).without(&self.pure_mask).slots();
        let open = open.map(|slot| self.open[usize::from(slot)]);
        let unanswered = self.classes.iter().zip(0..).flat_map(|(members, class)| {
            // Who fills the gaps is not known.
            let is_known = self.gaps.is_none();
            let used = if is_known { self.used_sets.count(at.used, class) } else { 0 };
            members[used as usize..].iter().map(|place| self.plan.unanswered[*place as usize])
        });
        let others = open.chain(later.iter().copied()).chain(unanswered.filter(is_called));
        let others = others.map(|other| &self.calls[other as usize].op);
        let others: SmallVec<[&S::Op; 32]> = others.collect();
        state.may_return(&call.op, ret, &others)
    }

    /// Whether a state was left that somebody must still be shown, and that does not come back before
    /// that one returns.
    fn strands_somebody(&self, left: u32, at: &Configuration<N>) -> bool {
        let mark = self.state_marks[left as usize];
        if mark == lookahead::NONE || left == at.state {
            return false;
        }
        let of = &self.marks.of[mark as usize];
        let first = of.shown_by.partition_point(|index| self.plan.rank(*index) < at.frontier);
        let due = of.shown_by[first..].iter().find(|index| !self.is_done(**index, at));
        let Some(until) = due.map(|due| self.calls[*due as usize].completed) else { return false };
        let in_time = |index: u32| self.calls[index as usize].invoked <= until;
        let now = self.calls[self.plan.returns[at.frontier as usize] as usize].completed;
        let later = of.made_by.partition_point(|index| self.calls[*index as usize].invoked <= now);
        let makes_it = |slot: u16| self.marks.made[self.open[usize::from(slot)] as usize] == mark;
        let comes_back = of.made_by.get(later).is_some_and(|index| in_time(*index))
            || self.open_mask.without(&at.done).without(&self.pure_mask).slots().any(makes_it)
            || of.classes.iter().any(|class| {
                let used = self.used_sets.count(at.used, *class);
                let next = self.classes[*class as usize].get(used as usize);
                next.is_some_and(|place| in_time(self.plan.unanswered[*place as usize]))
            });
        !comes_back
    }

    /// Takes note of a configuration.
    fn is_new(&mut self, at: Configuration<N>, waiting: Option<Waiting>) -> bool {
        let (place, sets) = (at.place(), &self.used_sets);
        match waiting {
            Some(waiting) => {
                !self.visited.covers(&place, at.used, sets)
                    && self.visited_waiting.add((place, waiting), at.used, sets)
            }
            None => self.visited.add(place, at.used, sets),
        }
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

    /// The next configuration to try: first what makes the operation possible that has to return next,
    /// an unanswered one if no other does.
    fn next_of(&mut self, frame: &mut Frame<N>) -> Option<(Configuration<N>, Option<Waiting>)> {
        if S::OF_ELEMENTS {
            return self.by_a_way(frame).map(|at| (at, None));
        }
        if self.gaps.is_some() {
            let next = self.answered(frame).or_else(|| self.over_a_gap(frame));
            return next.map(|at| (at, None));
        }
        while let Some(class) = self.class_after(&mut frame.next_helpful) {
            let next = self.unanswered(frame, class, true);
            if next.is_some() {
                return next;
            }
        }
        if let Some(at) = self.answered(frame) {
            return Some((at, None));
        }
        while let Some(class) = self.class_after(&mut frame.next_class) {
            let next = self.unanswered(frame, class, false);
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// The next configuration that one leads to in which an open operation has its answer that has not now, after
    /// unanswered ones about which no more is known.
    fn over_a_gap(&mut self, frame: &mut Frame<N>) -> Option<Configuration<N>> {
        let open = self.open_mask.without(&frame.at.done);
        let pure = open.without(&open.without(&self.pure_mask));
        while (frame.next_class as usize) < self.plan.width {
            let slot = frame.next_class as u16;
            frame.next_class += 1;
            let next = if pure.has(slot) { self.over_gap_to(frame, slot) } else { None };
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn over_gap_to(&mut self, frame: &Frame<N>, slot: u16) -> Option<Configuration<N>> {
        let call = &self.calls[self.open[usize::from(slot)] as usize];
        let shown = S::shows(&call.op, call.ret.as_ref()?)?;
        let missing = shown.sum()?.checked_sub(self.states[frame.at.state as usize].sum()?)?;
        let called = self.plan.unanswered_before[frame.at.frontier as usize];
        let gaps = self.gaps.as_mut()?;
        let (used, gap) = gaps.with(frame.at.used, (missing, called), &mut self.used_sets)?;
        let state = self.number_of(shown);
        self.take(frame, self.calls.len() as u32 + gap);
        Some(Configuration { state, used, ..frame.at })
    }

    fn class_after(&self, next: &mut u32) -> Option<u32> {
        let class = *next;
        ((class as usize) < self.classes.len()).then(|| {
            *next += 1;
            class
        })
    }

    /// The next configuration that an answered operation leads to.
    fn answered(&mut self, frame: &mut Frame<N>) -> Option<Configuration<N>> {
        loop {
            let first = self.most_urgent(frame.promising);
            let slot = first.or_else(|| self.most_urgent(frame.left))?;
            frame.promising.remove(slot);
            frame.left.remove(slot);
            let index = self.open[usize::from(slot)];
            let Some(state) = self.step(frame.at.state, index) else { continue };
            if let Some(waiting) = frame.waiting
                && self.step(waiting.before, index) == Some(state)
            {
                // It leads to the same without the unanswered operation before it.
                continue;
            }
            let mut at = Configuration { state, ..frame.at };
            at.done.add(slot);
            if self.strands_somebody(frame.at.state, &at) {
                continue;
            }
            self.take(frame, index);
            return Some(at);
        }
    }

    /// Lets an operation take effect after what led to a frame.
    fn take(&mut self, frame: &Frame<N>, index: u32) {
        self.trail.truncate(frame.trail);
        self.trail.push(index);
    }

    /// Of what may be tried, that after which the operation is possible that has to return next; all
    /// of it where that is possible already, or nothing makes it so. In the last case an unanswered
    /// operation may: the second says so.
    fn promising(&mut self, at: &Configuration<N>, of: &Mask<N>) -> (Mask<N>, bool) {
        let due = self.plan.returns[at.frontier as usize];
        if self.step(at.state, due).is_some() {
            return (*of, false);
        }
        let mut promising = Mask::EMPTY;
        for slot in of.slots() {
            let state = self.step(at.state, self.open[usize::from(slot)]);
            if state.is_some_and(|state| self.step(state, due).is_some()) {
                promising.add(slot);
            }
        }
        if promising == Mask::EMPTY { (*of, true) } else { (promising, false) }
    }

    /// The one that returns first.
    fn most_urgent(&self, of: Mask<N>) -> Option<u16> {
        let returns = |slot: &u16| self.calls[self.open[usize::from(*slot)] as usize].completed;
        of.slots().min_by_key(returns)
    }

    /// The configuration that an unanswered operation of a class leads to, if it may be tried; where
    /// only helpful ones are, if it makes the operation possible that has to return next.
    fn unanswered(
        &mut self,
        frame: &Frame<N>,
        class: u32,
        only_helpful: bool,
    ) -> Option<(Configuration<N>, Option<Waiting>)> {
        let index = self.next_unanswered(class, frame.at.used, frame.at.frontier)?;
        let before = frame.at.state;
        let state = self.step(before, index)?;
        let due = self.plan.returns[frame.at.frontier as usize];
        if state == before || only_helpful && self.step(state, due).is_none() {
            return None;
        }
        if let Some(waiting) = frame.waiting {
            let without = self.step(waiting.before, index);
            if without == Some(state) {
                return None;
            }
            // Where they lead to the same in the other order, one order is enough.
            let first = self.plan.unanswered[self.classes[waiting.class as usize][0] as usize];
            if class < waiting.class
                && without.is_some_and(|without| self.step(without, first) == Some(state))
            {
                return None;
            }
        }
        let used = self.used_sets.with_one_more(frame.at.used, class);
        let at = Configuration { state, used, ..frame.at };
        if self.strands_somebody(before, &at) {
            return None;
        }
        self.take(frame, index);
        Some((at, Some(Waiting { before, class })))
    }

    /// The next one of a class of unanswered operations, if it was called before a return.
    fn next_unanswered(&self, class: u32, used: u32, frontier: u32) -> Option<u32> {
        let called = self.plan.unanswered_before[frontier as usize];
        let count = self.used_sets.count(used, class);
        let next = self.classes[class as usize].get(count as usize);
        let member = next.filter(|member| **member < called)?;
        Some(self.plan.unanswered[*member as usize])
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
        let leads_to = possible.then(|| self.number_of(after));
        self.steps.insert((state, kind), leads_to);
        leads_to
    }

    fn number_of(&mut self, state: S) -> u32 {
        *self.state_numbers.entry(state).or_insert_with_key(|state| {
            self.heap += 2 * state.heap_bytes() as u64;
            self.states.push(state.clone());
            self.state_marks.push(self.marks.of_state(state));
            self.states.len() as u32 - 1
        })
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

//! Sums, with what is known of unanswered operations left open for as long as can be.
//!
//! An unanswered addition has no deadline: it may as well take effect right before the next read that
//! shows it, and all that is known of those that do is what they come to together, a *gap*. So of a
//! [sum](SequentialSpec::sum) a search need not try each subset of them. It goes from what there is to
//! what an open read shows, takes note of the gap and of who had been called by then, and asks only
//! whether the gaps so far can be filled: by different operations for each, of those called in time.
//!
//! Whether numbers come to a given one is a hard question (Karp, "Reducibility Among Combinatorial
//! Problems", 1972). It is answered by meeting in the middle (Horowitz and Sahni, "Computing Partitions with
//! Applications to the Knapsack Problem", 1974): the sums of subsets of one half, the smallest subsets
//! first, against those of the other half. Where there are too many to list them all, a "no" is no more than "not found", and
//! the search does not conclude from it that there is no order. A "yes" says which operations they are.

use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::Class;
use super::memo::UsedSets;

/// The most subsets of one half that are listed.
const SUBSETS_MAX: usize = 1 << 16;
/// The most ways to fill a gap that are tried, those with the fewest operations first; of how many these
/// are taken, and of how many these.
const WAYS_MAX: usize = 16;
const PAIRS_MAX: usize = 1 << 12;
const SEEN_MAX: usize = 1 << 18;
/// The most ways that are tried for all gaps of one search together.
const TRIES_MAX: u32 = 256;
/// The most subsets that are listed or looked through for all that is asked.
const WORK_MAX: u64 = 1 << 27;
/// How many pairs of lists are kept.
const LISTS_MAX: usize = 16;

/// How many operations of each class are used.
type Counts = Vec<u32>;

/// What came to be between what an object held and what a read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Gap {
    missing: i128,
    /// How many unanswered operations had been called.
    called: u32,
}

/// What is known of the gaps of a search.
pub(super) struct Gaps {
    /// What an operation of each class of unanswered ones adds, and the places of these, by call.
    amounts: Vec<i128>,
    members: Vec<Class>,
    /// The most gaps on one way.
    most: u32,
    /// All that there were, by number.
    gaps: Vec<Gap>,
    numbers: FxHashMap<Gap, u32>,
    /// Whether the gaps of a set can be filled.
    fillable: FxHashMap<u32, bool>,
    lists: FxHashMap<Counts, [List; 2]>,
    work_left: u64,
    /// Whether a way was given up because of too many gaps, or without knowing that it leads nowhere.
    pub(super) was_cut: bool,
    pub(super) is_open: bool,
}

/// Whether gaps can be filled, and by how many of each class.
enum Filled {
    By(Vec<Counts>),
    Never,
    Unknown,
}

impl Gaps {
    /// Of classes of unanswered operations, what each of a class adds and its members.
    pub(super) fn new(amounts: Vec<i128>, members: Vec<Class>, most: u32) -> Gaps {
        Gaps {
            amounts,
            members,
            most,
            gaps: Vec::new(),
            numbers: FxHashMap::default(),
            fillable: FxHashMap::default(),
            lists: FxHashMap::default(),
            work_left: WORK_MAX,
            was_cut: false,
            is_open: false,
        }
    }

    /// A set of gaps with one more, and the number of that one, where all of them can be filled.
    pub(super) fn with(
        &mut self,
        set: u32,
        (missing, called): (i128, u32),
        sets: &mut UsedSets,
    ) -> Option<(u32, u32)> {
        let next = self.gaps.len() as u32;
        let gap = Gap { missing, called };
        let number = *self.numbers.entry(gap).or_insert(next);
        if number == next {
            self.gaps.push(gap);
        }
        if sets.of(set).iter().map(|(_, count)| count).sum::<u32>() >= self.most {
            self.was_cut |= self.fill(&[gap]).is_possible();
            return None;
        }
        let with = sets.with_one_more(set, number);
        if let Some(known) = self.fillable.get(&with) {
            return known.then_some((with, number));
        }
        let filled = self.fill(&self.in_order(with, sets));
        self.is_open |= matches!(filled, Filled::Unknown);
        let is_fillable = matches!(filled, Filled::By(_));
        self.fillable.insert(with, is_fillable);
        is_fillable.then_some((with, number))
    }

    /// The gaps of a set that can be filled, with the unanswered operations that do: places among all of these.
    ///
    /// # Panics
    /// If the set is not one of those that [`with`](Self::with) has given.
    pub(super) fn filled(mut self, set: u32, sets: &UsedSets) -> Vec<(u32, Vec<u32>)> {
        // It was found once, and is found again where lists have to be made anew for it.
        self.work_left = u64::MAX;
        let gaps = self.in_order(set, sets);
        let Filled::By(filled) = self.fill(&gaps) else { panic!("gaps of {set} cannot be filled") };
        let mut used = vec![0_usize; self.amounts.len()];
        let mut operations = |counts: &Counts| {
            let mut places = Vec::new();
            for ((count, members), used) in counts.iter().zip(&self.members).zip(&mut used) {
                places.extend(&members[*used..*used + *count as usize]);
                *used += *count as usize;
            }
            places
        };
        let numbers = gaps.iter().map(|gap| self.numbers[gap]);
        numbers.zip(filled.iter().map(&mut operations)).collect()
    }

    /// The gaps of a set, in the order in which there were operations to fill them.
    fn in_order(&self, set: u32, sets: &UsedSets) -> Vec<Gap> {
        let all = sets.of(set).iter().flat_map(|(number, count)| {
            std::iter::repeat_n(self.gaps[*number as usize], *count as usize)
        });
        let mut all: Vec<Gap> = all.collect();
        all.sort_by_key(|gap| gap.called);
        all
    }

    fn fill(&mut self, gaps: &[Gap]) -> Filled {
        let mut tries = TRIES_MAX;
        let mut used = vec![0; self.amounts.len()];
        self.fill_after(gaps, &mut used, &mut tries)
    }

    /// Fills gaps with what is not used. Of those of a class, the ones that were called first are used first.
    fn fill_after(&mut self, gaps: &[Gap], used: &mut Counts, tries: &mut u32) -> Filled {
        let [first, rest @ ..] = gaps else { return Filled::By(Vec::new()) };
        let called = |members: &Class| members.partition_point(|place| *place < first.called);
        let left = self.members.iter().zip(&*used);
        let left = left.map(|(members, used)| called(members) as u32 - used).collect();
        let (ways, mut are_all) = self.ways(first.missing, left);
        for way in ways {
            if *tries == 0 {
                return Filled::Unknown;
            }
            *tries -= 1;
            used.iter_mut().zip(&way).for_each(|(used, more)| *used += more);
            let filled = self.fill_after(rest, used, tries);
            used.iter_mut().zip(&way).for_each(|(used, more)| *used -= more);
            match filled {
                Filled::By(mut others) => {
                    others.insert(0, way);
                    return Filled::By(others);
                }
                Filled::Never => {}
                Filled::Unknown => are_all = false,
            }
        }
        if are_all { Filled::Never } else { Filled::Unknown }
    }

    /// Ways to come to a number with what is left of each class, those with the fewest operations first; and
    /// whether these are all that matter. One that has all of another way, and more, leaves less to the other gaps.
    fn ways(&mut self, missing: i128, left: Counts) -> (Vec<Counts>, bool) {
        if !may_come_to(missing, self.amounts.iter().copied().zip(left.iter().copied())) {
            return (Vec::new(), true);
        }
        if self.work_left == 0 {
            return (Vec::new(), false);
        }
        if self.lists.len() >= LISTS_MAX && !self.lists.contains_key(&left) {
            self.lists.clear();
        }
        let amounts = &self.amounts;
        let work_left = &mut self.work_left;
        let lists = self.lists.entry(left).or_insert_with_key(|left| {
            let lists = [0, 1].map(|half| List::new(amounts, left, half));
            // To sort them takes about so much longer than to look through them.
            *work_left = work_left.saturating_sub(8 * size(&lists));
            lists
        });
        self.work_left = self.work_left.saturating_sub(size(lists));
        let (pairs, is_all) = pairs(lists, missing);
        let mut ways: Vec<Counts> = Vec::new();
        for (_, places) in pairs {
            let mut counts = vec![0; self.amounts.len()];
            lists.iter().zip(places).for_each(|(list, place)| list.count(place, &mut counts));
            let has_all_of = |way: &Counts| way.iter().zip(&counts).all(|(one, all)| one <= all);
            if ways.iter().any(has_all_of) {
                continue;
            }
            if ways.len() == WAYS_MAX {
                return (ways, false);
            }
            ways.push(counts);
        }
        (ways, is_all)
    }
}

impl Filled {
    fn is_possible(&self) -> bool {
        !matches!(self, Filled::Never)
    }
}

/// Whether some of these, each as often as it is there, may come to a number: it lies between all that count down
/// and all that count up, and whatever divides each of them divides it.
fn may_come_to(missing: i128, left: impl Iterator<Item = (i128, u32)>) -> bool {
    let (mut up, mut down, mut divisor) = (0, 0, 0);
    for (amount, count) in left.filter(|(_, count)| *count > 0) {
        up += amount.max(0) * i128::from(count);
        down += amount.min(0) * i128::from(count);
        divisor = crate::model::counter::gcd(divisor, amount);
    }
    (down..=up).contains(&missing) && (missing == 0 || missing % divisor == 0)
}

/// Subsets of one half of the classes, and what they come to.
struct List {
    /// Those of fewer operations first; the first is empty.
    subsets: Vec<Subset>,
    /// Their places, by what they come to.
    by_sum: Vec<u32>,
    /// Whether these are all.
    is_whole: bool,
}

/// Another subset, and one more of a class that is not before any of its classes.
#[derive(Clone, Copy)]
struct Subset {
    sum: i128,
    size: u32,
    before: u32,
    class: u32,
    /// How many there are of the last class.
    of_class: u32,
}

impl List {
    fn new(amounts: &[i128], left: &Counts, half: usize) -> List {
        let classes: Vec<usize> = (half..amounts.len())
            .step_by(2)
            .filter(|class| left[*class] > 0 && amounts[*class] != 0)
            .collect();
        let empty = Subset { sum: 0, size: 0, before: 0, class: 0, of_class: 0 };
        let (mut subsets, mut is_whole) = (vec![empty], true);
        let mut at = 0;
        'all: while let Some(&Subset { sum, size, class: last, of_class, .. }) = subsets.get(at) {
            let from =
                if size == 0 { 0 } else { classes.partition_point(|one| *one < last as usize) };
            for class in &classes[from..] {
                let again = size > 0 && *class == last as usize;
                let of_class = if again { of_class + 1 } else { 1 };
                if of_class > left[*class] {
                    continue;
                }
                if subsets.len() == SUBSETS_MAX {
                    is_whole = false;
                    break 'all;
                }
                let (sum, size) = (sum + amounts[*class], size + 1);
                let before = at as u32;
                subsets.push(Subset { sum, size, before, class: *class as u32, of_class });
            }
            at += 1;
        }
        let mut by_sum: Vec<u32> = (0..subsets.len() as u32).collect();
        by_sum.sort_unstable_by_key(|place| (subsets[*place as usize].sum, *place));
        List { subsets, by_sum, is_whole }
    }

    fn sum(&self, place: u32) -> i128 {
        self.subsets[place as usize].sum
    }

    /// Adds how many of each class a subset has.
    fn count(&self, place: u32, counts: &mut Counts) {
        let mut at = self.subsets[place as usize];
        while at.size > 0 {
            counts[at.class as usize] += 1;
            at = self.subsets[at.before as usize];
        }
    }
}

/// How many subsets there are in lists.
fn size(lists: &[List; 2]) -> u64 {
    lists.iter().map(|list| list.subsets.len() as u64).sum()
}

/// Subsets of both halves that together come to a number, with their sizes, the smallest first; and whether
/// these are all.
fn pairs([one, other]: &[List; 2], missing: i128) -> (Vec<(u32, [u32; 2])>, bool) {
    let mut found = BinaryHeap::new();
    let mut seen = 0;
    let mut rest = &other.by_sum[..];
    'all: for place in &one.by_sum {
        // The sums of the one go up, so that what is needed of the other goes down.
        let needed = missing - one.sum(*place);
        while let [before @ .., last] = rest
            && other.sum(*last) > needed
        {
            rest = before;
        }
        for fitting in rest.iter().rev().take_while(|last| other.sum(**last) == needed) {
            if seen == SEEN_MAX {
                break 'all;
            }
            seen += 1;
            let size = one.subsets[*place as usize].size + other.subsets[*fitting as usize].size;
            found.push((size, [*place, *fitting]));
            if found.len() > PAIRS_MAX {
                found.pop();
            }
        }
    }
    let are_all = one.is_whole && other.is_whole && found.len() == seen;
    (found.into_sorted_vec(), are_all)
}

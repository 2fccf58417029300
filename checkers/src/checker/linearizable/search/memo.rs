//! What a search remembers: where it has been, and which unanswered operations it used on the way.

use std::hash::Hash;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Unanswered operations that ask the same are counted, not told apart: the class and how many of
/// it were used, by class.
type Used = SmallVec<[(u32, u32); 4]>;

/// Sets of unanswered operations, by number. The empty one has number 0.
pub(super) struct UsedSets {
    sets: Vec<Used>,
    numbers: FxHashMap<Used, u32>,
    /// How many bytes long ones hold on the heap.
    outside: u64,
}

impl UsedSets {
    pub(super) fn new() -> UsedSets {
        let numbers = FxHashMap::from_iter([(Used::new(), 0)]);
        UsedSets { sets: vec![Used::new()], numbers, outside: 0 }
    }

    /// The classes of a set, and how many operations of each it has.
    pub(super) fn of(&self, set: u32) -> &[(u32, u32)] {
        &self.sets[set as usize]
    }

    /// How many operations of a class a set has.
    pub(super) fn count(&self, set: u32, class: u32) -> u32 {
        let used = &self.sets[set as usize];
        used.binary_search_by_key(&class, |(of, _)| *of).map_or(0, |place| used[place].1)
    }

    /// The set with one more of a class.
    pub(super) fn with_one_more(&mut self, set: u32, class: u32) -> u32 {
        let mut used = self.sets[set as usize].clone();
        match used.binary_search_by_key(&class, |(of, _)| *of) {
            Ok(place) => used[place].1 += 1,
            Err(place) => used.insert(place, (class, 1)),
        }
        if let Some(number) = self.numbers.get(&used) {
            return *number;
        }
        let number = self.sets.len() as u32;
        // Each set is in a list and in a table.
        let outside = if used.spilled() { used.capacity() * size_of::<(u32, u32)>() } else { 0 };
        self.outside += 2 * outside as u64;
        self.sets.push(used.clone());
        self.numbers.insert(used, number);
        number
    }

    /// Whether all of one set is in another.
    fn is_within(&self, set: u32, other: u32) -> bool {
        let all = |(class, count): &(u32, u32)| self.count(other, *class) >= *count;
        set == other || self.sets[set as usize].iter().all(all)
    }

    /// How much it takes.
    pub(super) fn bytes(&self) -> u64 {
        let list = self.sets.capacity() * size_of::<Used>();
        let entry = size_of::<(Used, u32)>();
        table(self.numbers.len(), self.numbers.capacity(), entry) + list as u64 + self.outside
    }
}

/// Where a search has been, and with which unanswered operations used up. Of two visits to one
/// place the one that used less can do all that the other can.
pub(super) struct Memo<K> {
    /// The latest entry of each place; [`NOTHING_USED`] where nothing can be better.
    places: FxHashMap<K, u32>,
    /// A set, and the entry of the same place before it.
    entries: Vec<(u32, u32)>,
}

const NOTHING_USED: u32 = u32::MAX;
const LAST: u32 = u32::MAX - 1;

impl<K: Copy + Eq + Hash> Memo<K> {
    pub(super) fn new() -> Memo<K> {
        Memo { places: FxHashMap::default(), entries: Vec::new() }
    }

    /// Whether there was a visit that can do all that this one can.
    pub(super) fn covers(&self, place: &K, used: u32, sets: &UsedSets) -> bool {
        let Some(head) = self.places.get(place) else { return false };
        if *head == NOTHING_USED {
            return true;
        }
        let mut at = *head;
        while at != LAST {
            let (known, before) = self.entries[at as usize];
            if sets.is_within(known, used) {
                return true;
            }
            at = before;
        }
        false
    }

    /// Takes note of a visit; says whether it can do what none before it could.
    pub(super) fn add(&mut self, place: K, used: u32, sets: &UsedSets) -> bool {
        if self.covers(&place, used, sets) {
            return false;
        }
        let head = self.places.entry(place).or_insert(LAST);
        if used == 0 {
            *head = NOTHING_USED;
        } else {
            self.entries.push((used, *head));
            *head = self.entries.len() as u32 - 1;
        }
        true
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }

    /// How much it takes.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.entries.capacity() * size_of::<(u32, u32)>();
        table(self.places.len(), self.places.capacity(), size_of::<(K, u32)>()) + entries as u64
    }
}

/// How much a hash table takes. One that is full takes three times its size while it grows.
pub(super) fn table(len: usize, capacity: usize, entry: usize) -> u64 {
    let times = if len == capacity { 3 } else { 1 };
    // Of 8 places 7 are used, and each has a byte that says so.
    (capacity as u64 * 8).div_ceil(7) * (entry as u64 + 1) * times
}

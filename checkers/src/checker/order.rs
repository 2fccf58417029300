//! Which values are certainly older than others, where no version numbers tell.
//!
//! With values that are written once, a value is as old as its write. Two facts are used. A write
//! that was over when another one began is older than it. What a compare-and-set replaced is older
//! than what it put there. The compare-and-sets make a forest, in which every value hangs below the
//! one that it replaced; a fact of time about one value then carries over to what lies above and
//! below it. What keys hold in the beginning is older than every write, unless somebody writes it again.
//! More than that is not concluded: checkers that build on this order accuse nobody
//! wrongly, and may miss what only a full search finds.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::keys::{Keys, Model};
use crate::history::{History, KeyId, Op, Operation, OperationId, Outcome, Reason, ValueId};

/// The writers of every value, and how the values lie to each other.
pub(super) struct Order<'a> {
    history: &'a History,
    /// Where a value that somebody may have written is in `places`.
    index: FxHashMap<(KeyId, ValueId), usize>,
    places: Vec<Place>,
    /// Of keys that are no registers, no single operation wrote what they hold.
    keys: Keys,
}

/// What is known about one value of one key.
struct Place {
    value: ValueId,
    /// All operations that may have made the key hold the value, in the order of invocation.
    writers: SmallVec<[OperationId; 1]>,
    rank: Rank,
    /// What it replaced.
    parent: Option<usize>,
    /// The value of which the end of its rank is.
    ended_by: usize,
}

/// When a value came, on the scale of events. The state at the start comes and goes at zero; the
/// event of index `n` is at `n + 1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    /// The value came after this.
    pub(super) begin: u64,
    /// The value, or one that replaced it, had certainly come by then; never, if that is open.
    end: u64,
    /// The place of the value in a walk over the forest, and the last place below it.
    place: usize,
    last: usize,
    /// Whether it is known what the value replaced.
    replaces: bool,
}

impl Rank {
    /// The state before all writes.
    const START: Rank =
        Rank { begin: 0, end: 0, place: usize::MAX, last: usize::MAX, replaces: false };

    /// Whether the value is older than whatever came after `begin`.
    pub(super) fn ended_before(&self, begin: u64) -> bool {
        self.end < begin
    }

    /// The place of the value in the forest, where it replaced a known one.
    pub(super) fn hangs_at(&self) -> Option<usize> {
        self.replaces.then_some(self.place)
    }

    /// The places of what replaced the value, directly or not: above the first, up to the second.
    pub(super) fn below(&self) -> (usize, usize) {
        (self.place, self.last)
    }

    /// Whether the place is one of what replaced the value.
    pub(super) fn is_above(&self, place: usize) -> bool {
        self.place < place && place <= self.last
    }
}

impl<'a> Order<'a> {
    pub(super) fn new(history: &'a History) -> Order<'a> {
        Order::with_keys(history, Keys::new(history))
    }

    pub(super) fn with_keys(history: &'a History, keys: Keys) -> Order<'a> {
        let mut order = Order { history, index: FxHashMap::default(), places: Vec::new(), keys };
        for operation in history.operations() {
            if let Some(value) = operation.value_written()
                && (operation.is_ok() || operation.is_indeterminate())
            {
                order.add(value, &operation);
            }
        }
        order.grow();
        order
    }

    fn add(&mut self, value: ValueId, writer: &Operation<'_>) {
        let is_initial = self.history.is_initial(value);
        let begin = if is_initial { 0 } else { moment(writer.invoked.0) };
        let end = writer.completed.filter(|_| writer.is_ok());
        let end = end.map_or(u64::MAX, |event| moment(event.0));
        let next = self.places.len();
        let at = *self.index.entry((*writer.op.key(), value)).or_insert(next);
        if at == next {
            let rank = Rank { begin, end, place: 0, last: 0, replaces: false };
            let writers = SmallVec::new();
            self.places.push(Place { value, writers, rank, parent: None, ended_by: at });
        }
        let place = &mut self.places[at];
        place.rank.end = place.rank.end.max(end);
        place.writers.push(writer.id);
    }

    /// Walks the forest: numbers the values, and carries what time says up and down.
    fn grow(&mut self) {
        let parents: Vec<Option<usize>> =
            self.places.iter().map(|place| self.replaced(place)).collect();
        let mut children: Vec<SmallVec<[usize; 1]>> = vec![SmallVec::new(); parents.len()];
        for (child, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(child);
            }
        }
        let mut walk = Vec::with_capacity(parents.len());
        let mut walked = vec![false; parents.len()];
        let is_root = |at: &usize| parents[*at].is_none();
        let mut open: Vec<usize> = (0..parents.len()).rev().filter(is_root).collect();
        while let Some(at) = open.pop() {
            walked[at] = true;
            self.places[at].rank.place = walk.len();
            self.places[at].rank.last = walk.len();
            walk.push(at);
            if let Some(parent) = parents[at] {
                let above = self.places[parent].rank.begin;
                self.places[at].rank.begin = self.places[at].rank.begin.max(above);
                self.places[at].rank.replaces = true;
                self.places[at].parent = Some(parent);
            }
            open.extend(children[at].iter().rev());
        }
        for at in walk.iter().rev() {
            if let Some(parent) = parents[*at] {
                let Place { rank: below, ended_by, .. } = self.places[*at];
                let above = &mut self.places[parent];
                above.rank.last = above.rank.last.max(below.last);
                if below.end < above.rank.end {
                    above.rank.end = below.end;
                    above.ended_by = ended_by;
                }
            }
        }
        // Compare-and-sets that each replaced what the next one wrote: no order explains them.
        let left = (0..walked.len()).filter(|at| !walked[*at]);
        for (place, at) in (walk.len()..).zip(left) {
            self.places[at].rank.place = place;
            self.places[at].rank.last = place;
        }
    }

    /// Which value the only writer of this one replaced, if it is known and has one writer itself.
    fn replaced(&self, place: &Place) -> Option<usize> {
        let [writer] = place.writers[..] else { return None };
        let writer = self.history.operation(writer);
        let from = self.chained(&writer)?;
        (!self.history.is_initial(place.value)
            && from != self.index[&(*writer.op.key(), place.value)])
            .then_some(from)
    }

    /// What a compare-and-set replaced, if that is one write's value for certain.
    fn chained(&self, write: &Operation<'_>) -> Option<usize> {
        let Op::Cas { key, from, .. } = write.op else { return None };
        let at = *self.index.get(&(key, from))?;
        let is_initial = self.history.is_initial(from);
        (!is_initial && self.places[at].writers.len() == 1).then_some(at)
    }

    /// All operations that may have made the key hold the value, in the order of invocation.
    pub(super) fn writers(
        &self,
        key: KeyId,
        value: ValueId,
    ) -> impl Iterator<Item = Operation<'a>> + '_ {
        let at = self.index.get(&(key, value));
        let ids = at.map_or(&[][..], |at| &self.places[*at].writers);
        ids.iter().map(|id| self.history.operation(*id))
    }

    /// The operation that made the key hold the value, if it can have been only one.
    pub(super) fn writer(&self, key: KeyId, value: ValueId) -> Option<Operation<'a>> {
        let mut writers = self.writers(key, value);
        let first = writers.next().filter(|_| !self.history.is_initial(value))?;
        writers.next().is_none().then_some(first)
    }

    /// Why keys may be registers or not, a sentence for each.
    pub(super) fn keys_without_model(&self) -> &[String] {
        &self.keys.reasons
    }

    /// Whether nothing but reads and writes of single values was asked of the key.
    pub(super) fn is_register(&self, key: KeyId) -> bool {
        self.keys.are(key, Model::Register)
    }

    /// Whether the key may hold the value: from the start, or because somebody may have written it.
    pub(super) fn is_possible(&self, key: KeyId, value: ValueId) -> bool {
        self.history.is_initial(value)
            || !self.is_register(key)
            || self.index.contains_key(&(key, value))
    }

    /// When a value came that a key was seen to hold; none if nobody wrote it, or the key is no
    /// register.
    pub(super) fn rank(&self, key: KeyId, value: ValueId) -> Option<Rank> {
        if !self.is_register(key) {
            return None;
        }
        match self.index.get(&(key, value)) {
            Some(at) => Some(self.places[*at].rank),
            None => self.history.is_initial(value).then_some(Rank::START),
        }
    }

    /// After which moment the acknowledged `write` took effect.
    pub(super) fn begin(&self, write: &Operation<'_>) -> u64 {
        let replaced = self.chained(write).map_or(0, |at| self.places[at].rank.begin);
        moment(write.invoked.0).max(replaced)
    }

    /// Whether `value` is certainly older than what the acknowledged `write` left: whoever reads it
    /// after that write sees a state from before it.
    pub(super) fn is_older(&self, value: ValueId, write: &Operation<'_>) -> bool {
        let key = *write.op.key();
        if write.value_written() == Some(value) {
            return false;
        }
        let Some(rank) = self.rank(key, value) else { return false };
        let replaced = self.chained(write).map(|at| self.places[at].rank.place);
        rank.ended_before(self.begin(write))
            || replaced.is_some_and(|place| rank.place <= place && place <= rank.last)
    }

    /// The writes that show that `old` is older than `new`: those of both, and the compare-and-sets
    /// on the way from one to the other.
    pub(super) fn proof(&self, key: KeyId, old: ValueId, new: ValueId) -> Vec<OperationId> {
        let mut proof = Vec::new();
        let mut end = 0;
        let mut above = None;
        if let Some(at) = self.index.get(&(key, old)) {
            let place = &self.places[*at];
            end = place.rank.end;
            above = Some(place.rank);
            proof.extend(&place.writers);
            let mut step = place.ended_by;
            while step != *at {
                proof.extend(&self.places[step].writers);
                step = self.places[step].parent.expect("what ended a value hangs below it");
            }
        }
        let mut step = self.index.get(&(key, new)).copied();
        while let Some(place) = step.map(|at| &self.places[at]) {
            if place.value == old {
                break;
            }
            proof.extend(&place.writers);
            let first = self.history.operation(place.writers[0]);
            let hangs = above.is_some_and(|above| above.is_above(place.rank.place));
            if !hangs && end < moment(first.invoked.0) {
                break;
            }
            step = place.parent;
        }
        proof.sort();
        proof.dedup();
        proof
    }
}

/// The event of this index, on the scale of ranks.
fn moment(event: u32) -> u64 {
    u64::from(event) + 1
}

/// What an operation saw the key hold, if it says so: a read, or a mismatch that tells.
pub(super) fn seen(operation: &Operation<'_>) -> Option<ValueId> {
    match operation.outcome {
        Some(Outcome::Fail(Reason::Mismatch { actual })) => *actual,
        _ => operation.value_read(),
    }
}

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
use super::words::told;
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
        let end = self.end(writer.id);
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
        let parents = self.parents();
        let children = children(&parents);
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

    /// What each value replaced. Where a compare-and-set was over before what it replaced can have been
    /// there, nothing explains it, and nothing is concluded from it: its value would be older than itself.
    fn parents(&self) -> Vec<Option<usize>> {
        let mut parents: Vec<Option<usize>> =
            self.places.iter().map(|place| self.replaced(place)).collect();
        let children = children(&parents);
        let mut begins: Vec<u64> = self.places.iter().map(|place| place.rank.begin).collect();
        let mut open: Vec<usize> = (0..parents.len()).filter(|at| parents[*at].is_none()).collect();
        while let Some(at) = open.pop() {
            for child in &children[at] {
                if self.places[*child].rank.end < begins[at] {
                    parents[*child] = None;
                } else {
                    begins[*child] = begins[*child].max(begins[at]);
                }
                open.push(*child);
            }
        }
        parents
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

    /// What a compare-and-set replaced, if that is one write's value for certain, and had come by then.
    fn chained(&self, write: &Operation<'_>) -> Option<usize> {
        let Op::Cas { key, from, .. } = write.op else { return None };
        let at = *self.index.get(&(key, from))?;
        let place = &self.places[at];
        let is_one = !self.history.is_initial(from) && place.writers.len() == 1;
        (is_one && place.rank.begin <= self.end(write.id)).then_some(at)
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

    /// Why nothing was judged: because of keys that are no registers, where there are some, besides what
    /// is said of those that are.
    pub(super) fn nothing_judged(&self, of_registers: &str) -> String {
        let keys = (0..self.history.key_count() as u32).map(KeyId);
        let others: Vec<KeyId> = keys.filter(|key| !self.is_register(*key)).collect();
        let name = |key: &KeyId| self.history.key(*key);
        match &others[..] {
            [] => of_registers.to_owned(),
            [key] if self.history.key_count() == 1 => {
                format!("only registers are judged, and {} is none", name(key))
            }
            _ if others.len() == self.history.key_count() => {
                "only registers are judged, and no key is one".to_owned()
            }
            [key] => format!("only registers are judged, and not {}: {of_registers}", name(key)),
            [key, rest @ ..] => format!(
                "only registers are judged, and not {} and {} more: {of_registers}",
                name(key),
                rest.len()
            ),
        }
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

    /// The proof that `old` is older than what `newer` left.
    pub(super) fn proof_of_left(&self, old: ValueId, newer: &Operation<'_>) -> Proof {
        let mut proof = self.proof(*newer.op.key(), old, &[newer.id], self.chained(newer));
        proof.operations.push(newer.id);
        proof
    }

    /// The proof that `old` is older than the value `new`, which somebody saw.
    pub(super) fn proof_of_seen(&self, key: KeyId, old: ValueId, new: ValueId) -> Proof {
        let Some(at) = self.index.get(&(key, new)).copied().filter(|_| old != new) else {
            let writers = self.writers(key, old).map(|writer| writer.id);
            return Proof { operations: writers.collect(), words: Vec::new() };
        };
        let place = &self.places[at];
        let mut proof = self.proof(key, old, &place.writers, place.parent);
        if place.writers.len() > 1 {
            proof.words.push(format!(
                "of the {} operations that may have made {} hold {}, the one that began first is shown",
                place.writers.len(),
                self.history.key(key),
                told(self.history, new),
            ));
        }
        proof
    }

    /// The fewest of the writes of `old`, those that replaced it, and those that lead to what some
    /// operations left, that show that the latter is newer.
    ///
    /// What was left came after its first writer had begun, and after what that one replaced. It is
    /// newer where `old` was written for the last time, or was replaced, before that, or where the
    /// steps back come to `old` itself.
    fn proof(
        &self,
        key: KeyId,
        old: ValueId,
        left_by: &[OperationId],
        replaced: Option<usize>,
    ) -> Proof {
        let old_at = self.index.get(&(key, old)).copied();
        let writers = old_at.map_or(&[][..], |at| &self.places[at].writers);
        let last = writers.iter().max_by_key(|id| self.end(**id)).copied();
        let own_end = last.map_or(0, |id| self.end(id));
        let (replaced_end, replaced_by) = self.replaced_by(old_at);
        let (mut fewest, mut steps): (Option<Vec<OperationId>>, _) = (None, Vec::new());
        let (mut step, mut by) = (replaced, left_by);
        while let Some(first) = by.first() {
            steps.push(*first);
            let began = moment(self.history.operation(*first).invoked.0);
            let is_after_end = own_end < began;
            let is_next = step.is_some() && step == old_at;
            let shown = if is_after_end || is_next {
                Some(steps.clone())
            } else {
                (replaced_end < began).then(|| [&steps[..], &replaced_by[..]].concat())
            };
            if let Some(shown) = shown
                && fewest.as_ref().is_none_or(|fewest| shown.len() < fewest.len())
            {
                fewest = Some(shown);
            }
            let Some(place) = step.filter(|_| !is_next).map(|at| &self.places[at]) else { break };
            (step, by) = (place.parent, &place.writers);
        }
        let mut operations = fewest.unwrap_or_default();
        operations.extend(last);
        let is_one_of_many = |_: &OperationId| writers.len() > 1;
        let words = last.filter(is_one_of_many).map(|last| {
            let end = self.history.operation(last).completed_at.unwrap_or_default();
            format!(
                "all {} operations that may have made {} hold {} were over by {end}; of these, the one \
                 that was over last is shown",
                writers.len(),
                self.history.key(key),
                told(self.history, old),
            )
        });
        Proof { operations, words: words.into_iter().collect() }
    }

    /// When a value had certainly been replaced, and by which compare-and-sets.
    fn replaced_by(&self, at: Option<usize>) -> (u64, Vec<OperationId>) {
        let Some(at) = at else { return (u64::MAX, Vec::new()) };
        let Place { rank, ended_by, .. } = self.places[at];
        let (mut step, mut by) = (ended_by, Vec::new());
        while step != at {
            by.extend(&self.places[step].writers);
            step = self.places[step].parent.expect("what ended a value hangs below it");
        }
        (rank.end, by)
    }

    /// When a write was over; never, if that is open.
    fn end(&self, write: OperationId) -> u64 {
        let write = self.history.operation(write);
        let end = write.completed.filter(|_| write.is_ok());
        end.map_or(u64::MAX, |event| moment(event.0))
    }
}

/// What shows that one value is older than another.
#[derive(Default)]
pub(super) struct Proof {
    pub(super) operations: Vec<OperationId>,
    /// What is to be said of those that are not shown.
    pub(super) words: Vec<String>,
}

impl Proof {
    /// Takes in what shows something else besides.
    pub(super) fn extend(&mut self, other: Proof) {
        self.operations.extend(other.operations);
        self.words.extend(other.words);
    }
}

/// The places that each place is the parent of.
fn children(parents: &[Option<usize>]) -> Vec<SmallVec<[usize; 1]>> {
    let mut children: Vec<SmallVec<[usize; 1]>> = vec![SmallVec::new(); parents.len()];
    for (child, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(child);
        }
    }
    children
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

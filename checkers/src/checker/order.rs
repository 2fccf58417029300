//! Which values are certainly older than a write, where no version numbers tell.
//!
//! With values that are written once, a value is as old as its write. A write that was over when
//! another one began is older than it, and what a compare-and-set replaced is older than what it
//! put there. More than that is not concluded: checkers that build on this order accuse nobody
//! wrongly, and may miss what only a full search finds.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::history::{
    EventIndex, History, KeyId, Op, OpKind, Operation, OperationId, Outcome, Reason, ValueId,
};

/// The writers of every value.
pub(super) struct Order<'a> {
    history: &'a History,
    /// All operations that may have made the key hold the value.
    writers: FxHashMap<(KeyId, ValueId), Writers>,
    /// Keys that are no registers: what they hold, no single operation wrote.
    others: FxHashSet<KeyId>,
}

/// The operations that may have made a key hold a value.
#[derive(Default)]
struct Writers {
    ids: SmallVec<[OperationId; 1]>,
    /// The last event of any of them; none while one may still take effect.
    over_at: Option<EventIndex>,
}

impl<'a> Order<'a> {
    pub(super) fn new(history: &'a History) -> Order<'a> {
        let mut writers: FxHashMap<_, Writers> = FxHashMap::default();
        let mut others = FxHashSet::default();
        for operation in history.operations() {
            if !OpKind::REGISTER.contains(&operation.op.kind()) {
                others.insert(*operation.op.key());
            }
            if let Some(value) = operation.value_written()
                && (operation.is_ok() || operation.is_indeterminate())
            {
                let of_value = writers.entry((*operation.op.key(), value)).or_default();
                let over_at = operation.completed.filter(|_| operation.is_ok());
                of_value.over_at = if of_value.ids.is_empty() {
                    over_at
                } else {
                    of_value.over_at.zip(over_at).map(|(one, other)| one.max(other))
                };
                of_value.ids.push(operation.id);
            }
        }
        Order { history, writers, others }
    }

    /// All operations that may have made the key hold the value, in the order of invocation.
    pub(super) fn writers(
        &self,
        key: KeyId,
        value: ValueId,
    ) -> impl Iterator<Item = Operation<'a>> + '_ {
        let ids = self.writers.get(&(key, value)).map_or(&[][..], |writers| &writers.ids);
        ids.iter().map(|id| self.history.operation(*id))
    }

    /// Whether somebody may have made the key hold the value; `nil` it holds from the start.
    pub(super) fn is_possible(&self, key: KeyId, value: ValueId) -> bool {
        value == ValueId::NIL
            || self.others.contains(&key)
            || self.writers.contains_key(&(key, value))
    }

    /// Whether `value` is certainly older than what the acknowledged `write` left: whoever reads it
    /// after that write sees a state from before it.
    pub(super) fn is_older(&self, value: ValueId, write: &Operation<'_>) -> bool {
        let by = write.completed.expect("an acknowledged write has ended");
        self.is_older_than(value, write, by)
    }

    /// Whether `value` is certainly older than another one, which somebody had seen by the event
    /// `by`. The other one needs a single writer.
    pub(super) fn is_older_than_seen(
        &self,
        value: ValueId,
        key: KeyId,
        seen: ValueId,
        by: EventIndex,
    ) -> bool {
        let mut writers = self.writers(key, seen);
        match (writers.next(), writers.next()) {
            (Some(write), None) if seen != ValueId::NIL => self.is_older_than(value, &write, by),
            _ => false,
        }
    }

    /// Whether `value` is certainly older than what `write` left, which took effect by an event.
    fn is_older_than(&self, value: ValueId, write: &Operation<'_>, by: EventIndex) -> bool {
        let key = *write.op.key();
        let is_other = self.others.contains(&key);
        if is_other || write.value_written() == Some(value) || !self.is_possible(key, value) {
            return false;
        }
        // The state at the start is older than any write: it has no writer to be compared.
        let Some(writers) = self.writers.get(&(key, value)) else { return true };
        writers.over_at.is_some_and(|end| end < write.invoked)
            || self.was_replaced_before(value, write, by)
    }

    /// Whether a chain of compare-and-sets leads from `value` to what `write` left.
    fn was_replaced_before(
        &self,
        value: ValueId,
        write: &Operation<'_>,
        mut by: EventIndex,
    ) -> bool {
        let key = *write.op.key();
        let mut origins = self.writers(key, value);
        let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
        if value == ValueId::NIL {
            return false;
        }
        let mut step = *write;
        // Each step took effect before the one after it, and goes to another operation of the
        // history; a chain that comes round again could only do so among values that are written twice.
        for _ in 0..self.history.operation_count() {
            let Op::Cas { from, .. } = step.op else { return false };
            if step.is_ok() {
                by = by.min(step.completed.expect("what is `ok` has ended"));
            }
            if origin.invoked > by {
                // What wrote `value` began only after this step: no chain leads so far back.
                return false;
            }
            let mut writers = self.writers(key, from);
            let (first, second) = (writers.next(), writers.next());
            if second.is_some() || (first.is_some() && from == ValueId::NIL) {
                return false;
            }
            if from == value {
                return true;
            }
            // What was replaced was there: its writer took effect, whatever its client knows.
            let Some(writer) = first else { return false };
            step = writer;
        }
        false
    }
}

/// What an operation saw the key hold, if it says so: a read, or a mismatch that tells.
pub(super) fn seen(operation: &Operation<'_>) -> Option<ValueId> {
    match operation.outcome {
        Some(Outcome::Fail(Reason::Mismatch { actual })) => *actual,
        _ => operation.value_read(),
    }
}

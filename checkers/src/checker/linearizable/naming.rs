//! The published name of what a witness of a register shows, and the sentences that conclude it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::furthest::Source;
use super::search::Call;
use super::witness::brings;
use super::{NOT_LINEARIZABLE, Named, OfKey, Registers, furthest, written};
use crate::checker::findings::{but_who_failed, failed_to_write, not_older};
use crate::checker::order;
use crate::checker::words::told;
use crate::history::{History, Op, Operation, OperationId, Outcome, ValueId};
use crate::model::SequentialSpec;
use crate::verdict::{Contrast, Legal};

/// Names what the operations of a witness show, in the order in which they were called, if it has a name. What is said
/// may name one more, who is put among them then: what he saw is no part of the proof.
pub(super) fn name(
    object: &Registers<'_>,
    of_key: &OfKey,
    witness: &mut Vec<OperationId>,
) -> Option<Named> {
    let proof = Proof::new(object, of_key, witness);
    if let Some((named, one_more)) = proof.unwritten_value() {
        witness.extend(one_more);
        witness.sort_unstable();
        witness.dedup();
        return Some(named);
    }
    proof.stale_read().or_else(|| proof.lost_update())
}

/// What is said where there is nothing better, of calls and the operations that they are of, from a state on that
/// somebody was shown, or from the beginning.
pub(super) fn no_order<S: SequentialSpec>(
    history: &History,
    start: (&S, Option<OperationId>),
    calls: &[(Source, Call<S>)],
) -> Named {
    let mut words = furthest::sentences(history, start, calls);
    let is_shown = |(source, _): &(Source, _)| matches!(source, Source::Shown(_));
    let but = if calls.iter().all(is_shown) { "" } else { ", whichever of the others took effect" };
    let since = start.1.map_or_else(String::new, |id| {
        format!("from what process {} read on, ", history.operation(id).process)
    });
    // What it comes to is said last.
    words.push(format!(
        "{since}no order of these operations that keeps to their times explains every answer{but}"
    ));
    (NOT_LINEARIZABLE, words, None)
}

/// The operations of a witness, and who may have brought the values that are in it: also operations
/// that are not in the witness, because what is said has to hold in the whole history.
struct Proof<'a> {
    object: &'a Registers<'a>,
    operations: Vec<Operation<'a>>,
    writers: FxHashMap<ValueId, Vec<Operation<'a>>>,
    /// The values that a compare-and-set replaces by the same.
    kept: FxHashSet<ValueId>,
}

/// Why one value is older than another.
enum Older {
    /// Whoever wrote it was over before the operation began that left or saw the newer one.
    Over,
    /// It was there once, and this shows that it was before the newer one.
    Seen(String),
}

impl<'a> Proof<'a> {
    fn new(object: &'a Registers<'a>, of_key: &OfKey, witness: &[OperationId]) -> Proof<'a> {
        let history = object.history;
        let operations: Vec<Operation<'a>> =
            witness.iter().map(|id| history.operation(*id)).collect();
        let values: FxHashSet<ValueId> = operations
            .iter()
            .flat_map(|operation| [shown(operation), operation.value_written()])
            .flatten()
            .collect();
        let mut writers: FxHashMap<ValueId, Vec<Operation<'a>>> = FxHashMap::default();
        let mut kept = FxHashSet::default();
        for (call, id) in of_key.calls.iter().zip(&of_key.ids) {
            kept.extend(written(call).filter(|_| brings(call).is_none()));
            if let Some(value) = brings(call).filter(|value| values.contains(value)) {
                writers.entry(value).or_default().push(history.operation(*id));
            }
        }
        Proof { object, operations, writers, kept }
    }

    fn value(&self, id: ValueId) -> String {
        told(self.object.history, id)
    }

    /// Who may have written the value, in the order in which they began.
    fn writers(&self, value: ValueId) -> &[Operation<'a>] {
        self.writers.get(&value).map_or(&[], |writers| writers)
    }

    /// Who may have written the value by the time an operation was over.
    fn writers_by(
        &self,
        value: ValueId,
        end: &Operation<'a>,
    ) -> impl Iterator<Item = &Operation<'a>> {
        let end = end.completed;
        let begun = move |write: &&Operation<'a>| end.is_none_or(|end| write.invoked < end);
        self.writers(value).iter().take_while(begun)
    }

    /// Whether the value came only once by the time an operation was over.
    fn is_single(&self, value: ValueId, end: &Operation<'a>) -> bool {
        let is_initial = value == self.object.initial;
        self.writers_by(value, end).count() + usize::from(is_initial) == 1
    }

    /// That values were there only once so far, in words: some may have come again since.
    fn once(&self, values: &[ValueId]) -> &'static str {
        let times =
            |value: ValueId| self.writers(value).len() + usize::from(value == self.object.initial);
        let are_single = values.iter().all(|value| times(*value) == 1);
        if are_single { "was there only once" } else { "had been there only once by then" }
    }

    /// The operation that saw a value which nobody had written, if one did.
    fn seen_unwritten(&self) -> Option<(&Operation<'a>, ValueId)> {
        let unwritten = |read: &Operation<'a>| {
            let value = shown(read).filter(|value| *value != self.object.initial)?;
            self.writers_by(value, read).next().is_none().then_some(value)
        };
        self.operations.iter().find_map(|read| Some((read, unwritten(read)?)))
    }

    /// Somebody saw a value that nobody had written; who began too late to write it, or failed to, is named.
    fn unwritten_value(&self) -> Option<(Named, Option<OperationId>)> {
        let (read, value) = self.seen_unwritten()?;
        let (process, name) = (read.process, self.value(value));
        let is_kept = self.kept.contains(&value);
        let anew = if is_kept { " in the place of anything else" } else { "" };
        let (words, named) = match self.writers(value) {
            [] if is_kept => {
                (format!("process {process} saw {name}, which nobody wrote{anew}"), None)
            }
            [] => {
                let failed = self.failed_to_write(value, read);
                let but = but_who_failed(self.object.history, failed);
                (format!("process {process} saw {name}, which nobody wrote there{but}"), failed)
            }
            [first, rest @ ..] => {
                let others = match rest {
                    [] => format!("and nobody else wrote it there{anew}"),
                    _ => format!("who was the first to{anew}"),
                };
                let words = format!(
                    "process {process} saw {name} before process {} began to write it, {others}",
                    first.process
                );
                (words, Some(first.id))
            }
        };
        Some((("unwritten-value", vec![words], None), named))
    }

    /// Who tried to write a value where somebody saw it, and failed.
    fn failed_to_write(&self, value: ValueId, read: &Operation<'_>) -> Option<OperationId> {
        failed_to_write(self.object.history, *read.op.key(), value)
    }

    /// Somebody saw a value although a newer one had been acknowledged or seen before.
    fn stale_read(&self) -> Option<Named> {
        let mut pairs = self.operations.iter().flat_map(|read| {
            let newer = self.operations.iter().filter(|newer| newer.precedes(read));
            newer.map(move |newer| (read, newer))
        });
        let stale = |(read, newer): (&Operation<'a>, &Operation<'a>)| {
            let value = shown(read)?;
            let holds = left_or_shown(newer).filter(|holds| *holds != value)?;
            let why = self.is_older(value, holds, newer, read)?;
            self.shows_newer(value, holds, newer, &why).then(|| {
                // What it comes to is said last: it is the one sentence that tables show.
                let last = self.stale_words(read, newer, value, &why);
                let first = match why {
                    Older::Seen(why) => Some(why),
                    Older::Over => self.all_over(read, value),
                };
                let contrast = not_older(self.object.history, read.id, newer);
                ("stale-read", first.into_iter().chain([last]).collect(), Some(contrast))
            })
        };
        pairs.find_map(stale)
    }

    /// Of those who may have written a value by the time an operation was over, who was over last.
    fn last_write(&self, value: ValueId, end: &Operation<'a>) -> Option<&Operation<'a>> {
        let time = |write: &&Operation<'a>| write.completed.map_or(u32::MAX, |event| event.0);
        self.writers_by(value, end).max_by_key(time)
    }

    /// Whether a value is certainly older than the one that operation `by` left or saw, as far as
    /// operation `read` could see.
    fn is_older(
        &self,
        value: ValueId,
        newer: ValueId,
        by: &Operation<'a>,
        read: &Operation<'a>,
    ) -> Option<Older> {
        let is_single = self.is_single(value, read);
        let is_kept = |value: ValueId| self.kept.contains(&value);
        let all_over = self.writers_by(value, read).all(|write| write.precedes(by));
        let last_is_shown = self.last_write(value, read).is_none_or(|write| self.shows(write));
        // Whoever saw something else after all writes of a value, saw what came after it.
        let left_by = by.is_ok() && by.value_written() == Some(newer);
        if all_over && last_is_shown && (left_by || !is_kept(value) && !is_kept(newer)) {
            return Some(Older::Over);
        }
        if left_by && is_single {
            let is_seen = |saw: &&Operation<'_>| saw.precedes(by) && shown(saw) == Some(value);
            let saw = if shown(by) == Some(value) {
                Some(format!("process {} replaced it", by.process))
            } else {
                self.operations.iter().find(is_seen).map(|saw| {
                    format!(
                        "process {} had seen it by {}, before process {} began its write of {} at {}",
                        saw.process,
                        saw.completed_at.expect("what precedes has ended"),
                        by.process,
                        self.value(newer),
                        by.invoked_at,
                    )
                })
            };
            if let Some(saw) = saw {
                let (value, once) = (self.value(value), self.once(&[value]));
                return Some(Older::Seen(format!(
                    "{value} is the older one: it {once}, and {saw}"
                )));
            }
        }
        // Each was there once, without a break: one of them came first as a whole.
        if !is_single || !self.is_single(newer, read) {
            return None;
        }
        let touches = |operation: &Operation<'_>, what: ValueId| {
            may_write(operation, what) || shown(operation) == Some(what)
        };
        for before in self.operations.iter().filter(|operation| touches(operation, value)) {
            // What came after the read was over may be another time that it was there.
            let is_of_that_time = |after: &Operation<'_>| {
                let (by, end) = (after.completed, read.completed);
                let is_over = by.is_some_and(|by| end.is_none_or(|end| by < end));
                let has_begun = end.is_none_or(|end| after.invoked < end);
                is_over || has_begun && may_write(after, newer)
            };
            let begins_after = |after: &&Operation<'_>| {
                touches(after, newer) && before.precedes(after) && is_of_that_time(after)
            };
            let Some(after) = self.operations.iter().find(begins_after) else { continue };
            let verb = |operation: &Operation<'_>, what| {
                if may_write(operation, what) { "write" } else { "read" }
            };
            return Some(Older::Seen(format!(
                "{} is the older one: process {} was over with its {} of it at {}, before process \
                 {} began its {} of {} at {}; each {}",
                self.value(value),
                before.process,
                verb(before, value),
                before.completed_at.expect("what precedes has ended"),
                after.process,
                verb(after, newer),
                self.value(newer),
                after.invoked_at,
                self.once(&[value, newer]),
            )));
        }
        None
    }

    /// Whether those who read nothing but the witness find the value that was only seen to be the newer
    /// one: some write of it that is shown was not over before all that are shown of the older one began.
    fn shows_newer(&self, value: ValueId, newer: ValueId, by: &Operation<'a>, why: &Older) -> bool {
        if matches!(why, Older::Seen(_)) || by.is_ok() && by.value_written().is_some() {
            return true;
        }
        let writes = |what: ValueId| self.operations.iter().filter(move |op| may_write(op, what));
        let is_before_all = |write: &Operation<'_>| {
            writes(value).next().is_some() && writes(value).all(|other| write.precedes(other))
        };
        writes(newer).any(|write| !is_before_all(write))
    }

    /// Whether an operation is one of the witness.
    fn shows(&self, operation: &Operation<'_>) -> bool {
        self.operations.iter().any(|shown| shown.id == operation.id)
    }

    /// Whether somebody may have written a value after an operation was over.
    fn comes_again(&self, read: &Operation<'a>, value: ValueId) -> bool {
        self.writers_by(value, read).count() < self.writers(value).len()
    }

    /// That all writes of a value were over by then, where the witness does not show each. It shows the one that was
    /// over last.
    fn all_over(&self, read: &Operation<'a>, value: ValueId) -> Option<String> {
        let last = self.last_write(value, read)?;
        let all = self.writers_by(value, read).count();
        let shown = self.writers_by(value, read).filter(|write| self.shows(write)).count();
        let over = last.completed_at.filter(|_| shown < all)?;
        let when = match read.completed_at.filter(|_| self.comes_again(read, value)) {
            Some(end) => format!(" before {end}"),
            None => String::new(),
        };
        let (key, value) = (self.object.history.key(*read.op.key()), self.value(value));
        Some(format!(
            "all {all} operations that may have made {key} hold {value}{when} were over by {over}; of these, the one \
             that was over last is shown"
        ))
    }

    fn stale_words(
        &self,
        read: &Operation<'a>,
        newer: &Operation<'_>,
        value: ValueId,
        why: &Older,
    ) -> String {
        let key = self.object.history.key(*read.op.key());
        let comes_again = self.comes_again(read, value);
        let value = self.value(value);
        let Operation { process, invoked_at, .. } = *read;
        let ended = newer.completed_at.expect("what precedes has ended");
        let had = match newer.value_written().filter(|_| newer.is_ok()) {
            Some(written) => {
                let written = self.value(written);
                format!("{key} = {written} had been acknowledged to process {} at", newer.process)
            }
            None => {
                let read = self.value(shown(newer).expect("it showed something"));
                format!("process {} had seen {key} = {read}, a newer value, by", newer.process)
            }
        };
        let so = match why {
            // A write of it may have been under way then; what shows that it is older was said.
            Older::Seen(_) => format!("{value} is the older one"),
            Older::Over if comes_again => format!("nothing had made it {value} again by then"),
            Older::Over => format!("nothing made it {value} after it"),
        };
        format!(
            "process {process} saw {key} = {value} after {invoked_at}, but {had} {ended}, before \
             that, and {so}"
        )
    }

    /// Two compare-and-sets put something else in the place of the same value, which was there once.
    fn lost_update(&self) -> Option<Named> {
        let taken =
            |update: &Operation<'_>| replaced(update).filter(|from| !may_write(update, *from));
        for (index, first) in self.operations.iter().enumerate() {
            let Some(from) = taken(first) else { continue };
            let mut others = self.operations[index + 1..].iter();
            let Some(second) = others.find(|other| taken(other) == Some(from)) else { continue };
            if self.is_single(from, first) && self.is_single(from, second) {
                let words = format!(
                    "processes {} and {} both replaced {}, which {}",
                    first.process,
                    second.process,
                    self.value(from),
                    self.once(&[from]),
                );
                let contrast = Contrast::new(second.id, Legal::Once).due_to(first.id);
                return Some(("lost-update", vec![words], Some(contrast)));
            }
        }
        None
    }
}

/// What an operation shows the key to have held.
fn shown(operation: &Operation<'_>) -> Option<ValueId> {
    replaced(operation).or_else(|| order::seen(operation))
}

/// What a compare-and-set that took effect replaced.
fn replaced(operation: &Operation<'_>) -> Option<ValueId> {
    match (operation.op, operation.outcome) {
        (Op::Cas { from, .. }, Some(Outcome::Ok(_))) => Some(from),
        _ => None,
    }
}

/// What an operation left, if it certainly took effect and left something; or what it saw.
fn left_or_shown(operation: &Operation<'_>) -> Option<ValueId> {
    let left = if operation.is_ok() { operation.value_written() } else { None };
    left.or(shown(operation))
}

fn may_write(operation: &Operation<'_>, value: ValueId) -> bool {
    operation.value_written() == Some(value) && (operation.is_ok() || operation.is_indeterminate())
}

//! Counters: a read shows a sum that the increments can have come to.
//!
//! An increment that was acknowledged before a read began is in it; one that was begun before the
//! read ended, and did not fail, may be. So the sum lies between what is certain with all that may
//! be in it and counts down, and what is certain with all that may be in it and counts up. Where
//! nothing counts down, a read is not less than one that was over before it began. A read of replica
//! level may be old: nothing has to be in it, and anything that was begun may be.
//!
//! Both are necessary, not sufficient: `stormglass check` judges counters exactly, by search.

use rustc_hash::FxHashMap;

use super::Checker;
use super::findings::Findings;
use super::keys::{Keys, Model};
use super::words::sum_shown;
use crate::brief::value_in_short;
use crate::history::{Event, History, Op, Operation, OperationId, ReadLevel, Value, ValueId};
use crate::verdict::{self, Contrast, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Counter;

/// How many increments an explanation shows; it counts more of them.
const SHOWN_MAX: usize = 8;

/// What one counter may come to.
#[derive(Clone, Default)]
struct Sums {
    /// What it held in the beginning.
    start: i128,
    /// Of the acknowledged increments, those that count up, and down.
    up: i128,
    down: i128,
    /// The same of all that were begun and did not fail.
    begun_up: i128,
    begun_down: i128,
    any_down: bool,
    /// The greatest read that is over.
    greatest: Option<(i128, OperationId)>,
}

impl Sums {
    fn begin(&mut self, by: i128) {
        self.begun_up += by.max(0);
        self.begun_down += by.min(0);
    }

    fn acknowledge(&mut self, by: i128) {
        self.up += by.max(0);
        self.down += by.min(0);
    }
}

impl Checker for Counter {
    fn check(&self, history: &History) -> Verdict {
        let models = Keys::new(history).models.into_iter();
        let is_counter = |model| model == Some(Model::Counter);
        let start = history.initial().as_sum();
        let begun = || Sums { start: start.unwrap_or_default(), ..Sums::default() };
        let mut sums: Vec<Option<Sums>> =
            models.map(|model| is_counter(model).then(begun)).collect();
        let mut strange = None;
        if start.is_none() && sums.iter().any(Option::is_some) {
            strange = Some(format!("no counter begins as {}", history.initial()));
            sums.fill(None);
        }
        for operation in history.operations() {
            let Op::Increment { key, by } = operation.op else { continue };
            match history.value(by) {
                Value::Int(by) => {
                    let of_key = sums[key.index()].as_mut();
                    of_key.into_iter().for_each(|of_key| of_key.any_down |= *by < 0);
                }
                other => {
                    sums[key.index()] = None;
                    let key = history.key(key);
                    strange = Some(format!("{key} is no counter: {other} is no whole number"));
                }
            }
        }
        let keys = sums.iter().flatten().count();
        let method = "bounds of what can have been added";
        let mut found = Findings::new(history, Guarantee::Counter, method, keys);
        strange.into_iter().for_each(|reason| found.leave_open(reason));
        // What there was when each read began.
        let mut before: FxHashMap<OperationId, Sums> = FxHashMap::default();
        // The increments that were begun and did not fail, by key.
        let mut begun: Vec<Vec<OperationId>> = vec![Vec::new(); history.key_count()];
        for (_, event) in history.events() {
            let (Event::Invoke(operation) | Event::Complete(operation)) = event else { continue };
            let Some(of_key) = sums[operation.op.key().index()].as_mut() else { continue };
            let begun = &mut begun[operation.op.key().index()];
            let begins = matches!(event, Event::Invoke(_));
            match operation.op {
                Op::Increment { by, .. } => {
                    let by = history
                        .value(by)
                        .as_sum()
                        .expect("only numbers are added to what is judged");
                    if begins && !operation.has_failed() {
                        of_key.begin(by);
                        begun.push(operation.id);
                    } else if !begins && operation.is_ok() {
                        of_key.acknowledge(by);
                    }
                }
                Op::Read { level: ReadLevel::Strong, .. } if begins => {
                    before.insert(operation.id, of_key.clone());
                }
                Op::Read { level, .. } if !begins => {
                    let before = match level {
                        ReadLevel::Strong => before.remove(&operation.id).expect("it began"),
                        // Nothing has to be in what is old.
                        ReadLevel::Replica => Sums { start: of_key.start, ..Sums::default() },
                    };
                    if let Some(value) = operation.value_read() {
                        judge(&mut found, begun, of_key, &before, &operation, value);
                    }
                }
                _ => {}
            }
        }
        found.into_verdict("no counter was read")
    }
}

/// Judges a read by what has to be in it, and what there is when it is over.
fn judge(
    found: &mut Findings<'_>,
    begun: &[OperationId],
    sums: &mut Sums,
    before: &Sums,
    read: &Operation<'_>,
    value: ValueId,
) {
    let is_old = matches!(read.op, Op::Read { level: ReadLevel::Replica, .. });
    found.coverage.operations += 1;
    let history = found.history;
    let key = history.key(*read.op.key());
    let shown = history.value(value);
    let Some(value) = shown.as_sum() else {
        let conclusion = format!("{} is no whole number", value_in_short(shown));
        found.add("not-a-number", &[read.id], conclusion);
        return;
    };
    // What was acknowledged before is in it; of the rest that was begun, anything may be.
    let start = sums.start;
    let low = start + before.up + sums.begun_down;
    let high = start + before.down + sums.begun_up;
    let greatest = before.greatest.filter(|(greatest, _)| !sums.any_down && value < *greatest);
    if value < low || value > high {
        let legal = Legal::within(low, high);
        let mut proof = Vec::new();
        let counted = if begun.len() <= SHOWN_MAX {
            proof.extend(begun);
            String::new()
        } else {
            format!(" of {} increments", begun.len())
        };
        proof.push(read.id);
        let by = if is_old { "begun by then" } else { "acknowledged before and begun by then" };
        let was = if is_old { "is or was" } else { "was" };
        let conclusion = format!(
            "{key} {was} {legal} while process {} read it, by what was {by}{counted}; it read {}",
            read.process,
            sum_shown(shown, value),
        );
        let counted = begun.iter().rfind(|id| {
            let increment = history.operation(**id);
            !is_old && increment.is_ok() && increment.precedes(read)
        });
        let contrast = Contrast { due: counted.copied(), ..Contrast::new(read.id, legal) };
        found.contrast("counter-out-of-bounds", &proof, contrast, conclusion);
    } else if let Some((greatest, by)) = greatest {
        let conclusion = format!(
            "process {} had read {greatest} before process {} read {value}, and nothing counts down",
            history.operation(by).process,
            read.process
        );
        let legal = Legal::NotOlder(verdict::sum(greatest));
        let contrast = Contrast::new(read.id, legal).due_to(by);
        found.contrast("counter-went-back", &[by, read.id], contrast, conclusion);
    }
    if !is_old && sums.greatest.is_none_or(|(greatest, _)| greatest < value) {
        sums.greatest = Some((value, read.id));
    }
}

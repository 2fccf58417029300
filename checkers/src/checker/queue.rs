//! Queues: each value that was put in is taken out once, after it was put in, in the order of the
//! queue.
//!
//! Values are to be unique; of one that is put in several times, only how often it is taken is judged. Only
//! what is certain is held against a store: a dequeue without an answer may have taken anything.
//! `stormglass check` judges queues exactly, by search.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Checker;
use super::findings::{Findings, but_who_failed};
use super::keys::{Keys, Model};
use super::words::told;
use crate::history::{EventIndex, History, KeyId, Op, Operation, OperationId, Value, ValueId};
use crate::verdict::{Contrast, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Queue;

/// Why nothing was judged.
const NOTHING: &str = "nothing was taken out of a queue";

/// What happened to one value.
#[derive(Clone, Debug, Default)]
struct Item {
    /// Who put it in, or may have.
    enqueued: SmallVec<[OperationId; 1]>,
    /// Who took it.
    dequeued: SmallVec<[OperationId; 1]>,
    /// When the last of all who took it was over.
    taken: Option<EventIndex>,
    /// Whether it was said that it was taken too often, of one that was put in several times.
    told: bool,
    /// Who tried to put it in and failed.
    failed: Option<OperationId>,
}

impl Item {
    /// Who put it in, where nobody else did.
    fn only_enqueue(&self) -> Option<OperationId> {
        if let [only] = self.enqueued[..] { Some(only) } else { None }
    }
}

/// What happened to one queue.
#[derive(Default)]
struct Items {
    by_value: FxHashMap<ValueId, Item>,
    /// Dequeues that found nothing.
    empty: Vec<OperationId>,
    /// When the first dequeue without an answer began.
    unknown: Option<EventIndex>,
}

impl Checker for Queue {
    fn check(&self, history: &History) -> Verdict {
        let mut queues: Vec<Items> = Vec::new();
        queues.resize_with(history.key_count(), Items::default);
        let mut found = Findings::new(history, Guarantee::Queue, "each value and each pair", 0);
        let keys = Keys::new(history);
        let is_queue = |operation: &Operation<'_>| {
            history.model() != Model::Auto || keys.are(*operation.op.key(), Model::FifoQueue)
        };
        for operation in history.operations().filter(is_queue) {
            note(&mut queues, &operation);
        }
        let is_used = |items: &Items| !items.by_value.is_empty() || !items.empty.is_empty();
        let count = queues.iter().filter(|items| is_used(items)).count();
        let may_be_queue = matches!(history.model(), Model::Auto | Model::FifoQueue);
        if count > 0 && (!may_be_queue || *history.initial() != Value::Nil) {
            found.coverage.keys = count;
            found.leave_open(if may_be_queue {
                format!("no fifo-queue begins as {}", history.initial())
            } else {
                format!("every key is taken for a {}, which is no queue", history.model().name())
            });
            return found.into_verdict(NOTHING);
        }
        let mut judged: Vec<KeyId> = Vec::new();
        for operation in history.operations().filter(is_queue) {
            let (Op::Dequeue { key }, Some(value)) = (operation.op, operation.value_read()) else {
                continue;
            };
            found.coverage.operations += 1;
            if judged.last() != Some(&key) {
                judged.push(key);
            }
            if value != ValueId::NIL {
                taken(&mut found, history, &mut queues[key.index()], &operation, value);
            }
        }
        judged.sort_unstable();
        judged.dedup();
        found.coverage.keys = judged.len();
        for key in judged {
            left_over(&mut found, history, &queues[key.index()]);
            reordered(&mut found, history, &queues[key.index()]);
        }
        found.into_verdict(NOTHING)
    }
}

fn note(queues: &mut [Items], operation: &Operation<'_>) {
    let failed = operation.has_failed();
    match operation.op {
        // To take it out cannot be told from finding nothing.
        Op::Enqueue { value: ValueId::NIL, .. } => {}
        Op::Enqueue { key, value } => {
            let item = queues[key.index()].by_value.entry(value).or_default();
            if failed {
                item.failed = item.failed.or(Some(operation.id));
                return;
            }
            item.enqueued.push(operation.id);
        }
        Op::Dequeue { key } => {
            let items = &mut queues[key.index()];
            if operation.is_indeterminate() {
                items.unknown = items.unknown.or(Some(operation.invoked));
            } else if operation.value_read() == Some(ValueId::NIL) {
                items.empty.push(operation.id);
            }
        }
        _ => {}
    }
}

/// A value was taken out: not more often than it was put in, and after that.
fn taken(
    found: &mut Findings<'_>,
    history: &History,
    items: &mut Items,
    dequeue: &Operation<'_>,
    value: ValueId,
) {
    let item = items.by_value.entry(value).or_default();
    let name = told(history, value);
    // In the order of invocation.
    let begun_by = |end: Option<EventIndex>| {
        let begun = |id: &OperationId| Some(history.operation(*id).invoked) < end;
        item.enqueued.partition_point(begun)
    };
    if begun_by(dequeue.completed) == 0 {
        let begun = |id: &OperationId| Some(history.operation(*id).invoked) < dequeue.completed;
        let failed = item.failed.filter(begun);
        let conclusion = format!(
            "process {} took {name}, which nobody had begun to put in{}",
            dequeue.process,
            but_who_failed(history, failed),
        );
        let proof: Vec<OperationId> = failed.into_iter().chain([dequeue.id]).collect();
        found.add("phantom-value", &proof, conclusion);
        return;
    }
    item.taken = item.taken.max(dequeue.completed);
    let puts = begun_by(item.taken);
    if item.dequeued.len() < puts {
        item.dequeued.push(dequeue.id);
        return;
    }
    if puts > 1 && std::mem::replace(&mut item.told, true) {
        // All of them prove it, and once is enough.
        return;
    }
    let puts = &item.enqueued[..puts];
    let takes: Vec<OperationId> = item.dequeued.iter().copied().chain([dequeue.id]).collect();
    let conclusion = match (puts, &takes[..]) {
        ([_], [first, second]) => {
            let [first, second] = [*first, *second].map(|id| history.operation(id).process);
            if first == second {
                format!("{name} was put in once, and taken twice by process {first}")
            } else {
                format!(
                    "{name} was put in once, and taken by process {first} and by process {second}"
                )
            }
        }
        _ => {
            let (puts, takes) = (puts.len(), takes.len());
            format!("{name} was put in {puts} times by then, and taken {takes} times")
        }
    };
    let proof = [puts, &takes[..]].concat();
    match takes[..] {
        [first, second] => {
            let contrast = Contrast::new(second, Legal::Once).due_to(first);
            found.contrast("duplicate-dequeue", &proof, contrast, conclusion);
        }
        _ => found.add("duplicate-dequeue", &proof, conclusion),
    }
}

/// A dequeue found nothing, although something had been put in before it began, and nobody can have
/// taken that by then.
fn left_over(found: &mut Findings<'_>, history: &History, items: &Items) {
    let mut inside: Vec<(Operation<'_>, ValueId, &Item)> = items
        .by_value
        .iter()
        .filter_map(|(value, item)| Some((history.operation(item.only_enqueue()?), *value, item)))
        .filter(|(enqueue, ..)| enqueue.is_ok())
        .collect();
    inside.sort_unstable_by_key(|(enqueue, ..)| enqueue.completed);
    for empty in items.empty.iter().map(|id| history.operation(*id)) {
        let end = empty.completed.expect("what was answered has ended");
        if items.unknown.is_some_and(|begun| begun < end) {
            // That one may have taken it.
            continue;
        }
        let before = inside.iter().take_while(|(enqueue, ..)| enqueue.precedes(&empty));
        let is_there =
            |item: &Item| item.dequeued.iter().all(|id| history.operation(*id).invoked > end);
        let Some((enqueue, value, item)) = before.into_iter().find(|(.., item)| is_there(item))
        else {
            continue;
        };
        let name = if item.dequeued.is_empty() { "lost-value" } else { "not-empty" };
        let conclusion = format!(
            "process {} found the queue empty, but {} had been put in before it began, and nobody \
             can have taken it by then",
            empty.process,
            told(history, *value),
        );
        found.add(name, &[enqueue.id, empty.id], conclusion);
    }
}

/// Of two values, the one that was put in later was taken out before anybody began to take the
/// other one.
fn reordered(found: &mut Findings<'_>, history: &History, items: &Items) {
    /// A value that was put in and taken out.
    struct Pass<'a> {
        value: ValueId,
        enqueue: Operation<'a>,
        dequeue: Operation<'a>,
    }
    let mut passes: Vec<Pass<'_>> = items
        .by_value
        .iter()
        .filter_map(|(value, item)| {
            let (enqueue, dequeue) = (item.only_enqueue()?, item.dequeued.first()?);
            let (enqueue, dequeue) = (history.operation(enqueue), history.operation(*dequeue));
            Some(Pass { value: *value, enqueue, dequeue })
        })
        .collect();
    passes.sort_unstable_by_key(|pass| pass.enqueue.invoked);
    // Those whose enqueue is over, by that: the one whose dequeue began last says all.
    let mut over: Vec<usize> =
        (0..passes.len()).filter(|place| passes[*place].enqueue.is_ok()).collect();
    over.sort_unstable_by_key(|place| passes[*place].enqueue.completed);
    let mut over = over.into_iter().peekable();
    let mut last: Option<usize> = None;
    for later in &passes {
        while let Some(place) =
            over.next_if(|place| passes[*place].enqueue.precedes(&later.enqueue))
        {
            let began = |place: usize| passes[place].dequeue.invoked;
            if last.is_none_or(|known| began(known) < began(place)) {
                last = Some(place);
            }
        }
        let Some(first) = last.map(|place| &passes[place]) else { continue };
        if later.dequeue.precedes(&first.dequeue) {
            let conclusion = format!(
                "{} had been put in before anybody began to put in {}, which was taken first",
                told(history, first.value),
                told(history, later.value),
            );
            let proof = [first.enqueue.id, later.enqueue.id, later.dequeue.id, first.dequeue.id];
            found.add("reordered", &proof, conclusion);
        }
    }
}

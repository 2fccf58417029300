//! Sets and counters: what was added to them is still there.
//!
//! An element whose addition was acknowledged is on some replica in the end, unless somebody may have
//! removed it since: a removal that was over when the addition began took away what was there before. A
//! removal is lost when every replica shows its element though nothing else can have brought it back.
//! That is known only where the element was added by the session that removed it, before that, and
//! whatever else was asked of the set was over before then: stores in which an element that is added and
//! removed at the same time stays, or a client writes the set as it had read it, bring back elements that
//! others remove meanwhile.
//!
//! A counter ends, on some replica, as what is certain with some, none or all of what is in doubt. That is looked into
//! for sums between the least and the most that this can be, as long as few are in doubt. A sum below them is a
//! loss, or a decrement that was counted twice; what is above them, the other way round. Sums beyond those that all
//! increments and none of the decrements come to, or the other way round, are no loss: something was counted that nobody
//! asked for, which [`Convergent`](crate::checker::Convergent) judges, and what was lost besides is hidden.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Finals;
use crate::brief::value_in_short;
use crate::checker::findings::Findings;
use crate::checker::keys::{Keys, Model};
use crate::checker::words::told;
use crate::history::{History, KeyId, Op, Operation, OperationId, Value, ValueId};
use crate::verdict::{Contrast, Guarantee, Legal, Verdict};

/// Judges every set and counter that was read in the end; nothing where nothing was acknowledged that was
/// added to one.
pub(super) fn check(history: &History, finals: &FxHashMap<KeyId, Finals>) -> Option<Verdict> {
    let keys = Keys::new(history);
    let is_judged = |key: &KeyId| keys.are(*key, Model::Set) || keys.are(*key, Model::Counter);
    let mut judged: Vec<KeyId> = finals.keys().copied().filter(is_judged).collect();
    judged.sort_unstable();
    let method = "final reads of sets and counters";
    let mut found = Findings::new(history, Guarantee::Durable, method, judged.len());
    let operations = by_key(history);
    for key in judged {
        let (of_key, finals) = (&operations[&key], &finals[&key]);
        if keys.are(key, Model::Set) {
            judge_set(&mut found, of_key, finals);
        } else {
            judge_counter(&mut found, of_key, finals);
        }
    }
    (!found.are_none()).then(|| found.into_verdict("nothing was acknowledged"))
}

fn by_key(history: &History) -> FxHashMap<KeyId, Vec<Operation<'_>>> {
    let mut operations: FxHashMap<KeyId, Vec<Operation<'_>>> = FxHashMap::default();
    for operation in history.operations() {
        operations.entry(*operation.op.key()).or_default().push(operation);
    }
    operations
}

/// The acknowledged additions to sets of which it is proved that they were lost.
pub(super) fn lost_elements(
    history: &History,
    finals: &FxHashMap<KeyId, Finals>,
) -> Vec<OperationId> {
    let (keys, operations) = (Keys::new(history), by_key(history));
    let is_judged = |key: &KeyId, finals: &Finals| {
        keys.are(*key, Model::Set) && *history.initial() == Value::Nil && finals.silent.is_none()
    };
    let judged = finals.iter().filter(|(key, finals)| is_judged(key, finals));
    let lost = judged.filter_map(|(key, finals)| {
        let shown = elements(history, finals)?;
        let is_shown = |element: ValueId| shown.contains(history.value(element));
        let of_key = &operations[key];
        Some(lost_of(&changes(of_key), of_key, finals, is_shown))
    });
    lost.flatten().map(|(add, _)| add).collect()
}

/// Whether a set shows an element.
pub(super) fn shows(history: &History, set: ValueId, element: ValueId) -> bool {
    let Value::List(values) = history.value(set) else { return false };
    values.contains(history.value(element))
}

/// What any replica shows of a set in the end; nothing where it is no set, which is for others to say.
fn elements<'a>(history: &'a History, finals: &Finals) -> Option<FxHashSet<&'a Value>> {
    let mut shown: FxHashSet<&Value> = FxHashSet::default();
    for value in &finals.values {
        match history.value(*value) {
            Value::Nil => {}
            Value::List(values) => shown.extend(values.iter()),
            Value::Int(_) | Value::Text(_) => return None,
        }
    }
    Some(shown)
}

/// The acknowledged additions to a set that no replica shows, though nobody may have removed them.
fn lost_of(
    changes: &BTreeMap<ValueId, Changes<'_>>,
    of_key: &[Operation<'_>],
    finals: &Finals,
    is_shown: impl Fn(ValueId) -> bool,
) -> Vec<(OperationId, ValueId)> {
    let is_lost = |add: &Operation<'_>| {
        let Op::Add { value, .. } = add.op else { return None };
        let may_be_gone = changes[&value].removes.iter().any(|remove| !remove.precedes(add));
        (!may_be_gone && !is_shown(value)).then_some((add.id, value))
    };
    of_key.iter().filter(|add| is_acknowledged(add, finals)).filter_map(is_lost).collect()
}

fn judge_set(found: &mut Findings<'_>, of_key: &[Operation<'_>], finals: &Finals) {
    let history = found.history;
    let Some(shown) = elements(history, finals) else { return };
    if *history.initial() != Value::Nil {
        found.leave_open(format!("no set begins as {}", history.initial()));
        return;
    }
    let changes = changes(of_key);
    let is_shown = |element: ValueId| shown.contains(history.value(element));
    let adds = |operation: &&Operation<'_>| {
        matches!(operation.op, Op::Add { .. }) && is_acknowledged(operation, finals)
    };
    found.coverage.operations += of_key.iter().filter(adds).count();
    let lost = lost_of(&changes, of_key, finals, is_shown);
    if let Some((add, value)) = lost.last().copied() {
        let since = if changes[&value].removes.is_empty() { "" } else { " after that" };
        let element = history.value(value);
        let told = value_in_short(element);
        let what = format!("{told} had been acknowledged, and nobody removed it{since}");
        let legal = Legal::With(element.clone());
        let contrast = Contrast::new(finals.reads[0], legal).due_to(add);
        conclude(found, "lost-element", contrast, finals, &what, lost.len());
    }
    for (value, of_value) in &changes {
        if is_shown(*value) {
            judge_removal(found, of_key, finals, *value, of_value);
        }
    }
}

/// What was done about one element, and did not fail.
#[derive(Default)]
struct Changes<'a> {
    adds: Vec<&'a Operation<'a>>,
    removes: Vec<&'a Operation<'a>>,
}

fn changes<'a>(of_key: &'a [Operation<'a>]) -> BTreeMap<ValueId, Changes<'a>> {
    let mut changes: BTreeMap<ValueId, Changes<'a>> = BTreeMap::new();
    for operation in of_key.iter().filter(|operation| !operation.has_failed()) {
        match operation.op {
            Op::Add { value, .. } => changes.entry(value).or_default().adds.push(operation),
            Op::Remove { value, .. } => changes.entry(value).or_default().removes.push(operation),
            _ => {}
        }
    }
    changes
}

/// Holds the last removal of an element that was acknowledged against what the replicas show.
fn judge_removal(
    found: &mut Findings<'_>,
    of_key: &[Operation<'_>],
    finals: &Finals,
    value: ValueId,
    Changes { adds, removes }: &Changes<'_>,
) {
    let history = found.history;
    let (element, Some(first)) = (told(history, value), adds.first()) else { return };
    let shows = |held: &ValueId| shows(history, *held, value);
    let acknowledged = removes.iter().filter(|remove| is_acknowledged(remove, finals));
    let Some(remove) = acknowledged.max_by_key(|remove| remove.invoked) else { return };
    // What others asked since the element was first added may have read it, and written it back.
    let is_harmless = |other: &Operation<'_>| {
        let bound = if other.session == remove.session { remove } else { first };
        other.id == remove.id
            || !other.op.kind().writes()
            || other.has_failed()
            || other.precedes(bound)
    };
    let is_known = adds.iter().all(|add| add.session == remove.session && add.precedes(remove));
    if is_known && finals.values.iter().all(shows) && of_key.iter().all(is_harmless) {
        let add = adds.last().expect("there is a first one").id;
        let conclusion = format!(
            "process {} had removed {element}, acknowledged, and nobody added it after that; {} shows \
             it in the end",
            remove.process,
            if finals.silent.is_some() { "every replica that answered" } else { "every replica" },
        );
        match finals.silent {
            None => found.add("lost-removal", &[add, remove.id, finals.reads[0]], conclusion),
            Some(node) => found
                .leave_open(format!("{conclusion}, but node n{node} did not say what it holds")),
        }
    }
}

fn judge_counter(found: &mut Findings<'_>, of_key: &[Operation<'_>], finals: &Finals) {
    let history = found.history;
    let Some(start) = history.initial().as_sum() else {
        found.leave_open(format!("no counter begins as {}", history.initial()));
        return;
    };
    // What is certain; and the least and the most that some of it can have come to.
    let mut certain = start;
    let (mut down, mut up) = (start, start);
    let mut last = None;
    let mut in_doubt = Vec::new();
    for operation in of_key.iter().filter(|operation| !operation.has_failed()) {
        let Op::Increment { by, .. } = operation.op else { continue };
        let Value::Int(by) = *history.value(by) else { return };
        let by = i128::from(by);
        down += by.min(0);
        up += by.max(0);
        if is_acknowledged(operation, finals) {
            found.coverage.operations += 1;
            certain += by;
            last = Some(operation.id);
        } else {
            in_doubt.push(by);
        }
    }
    let Some(last) = last else { return };
    // The least and the most that all of it can have come to.
    let least = certain + in_doubt.iter().map(|by| *by.min(&0)).sum::<i128>();
    let most = certain + in_doubt.iter().map(|by| *by.max(&0)).sum::<i128>();
    // That it is no counter is for others to say.
    let sums: Option<Vec<i128>> =
        finals.values.iter().map(|value| history.value(*value).as_sum()).collect();
    let Some(sums) = sums else { return };
    let (inside, outside): (Vec<i128>, Vec<i128>) =
        sums.into_iter().partition(|sum| (least..=most).contains(sum));
    let legal = Legal::within(least, most);
    let what = format!("the sum is {legal} with all that had been acknowledged");
    if !inside.is_empty() {
        let targets: Vec<i128> = inside.iter().map(|sum| sum - certain).collect();
        if let Some(false) = comes_to(&in_doubt, &targets) {
            let count = in_doubt.len();
            let in_doubt = if count == 1 { "is" } else { "are" };
            let what = format!(
                "the sum is {certain} with what had been acknowledged, and {count} more {in_doubt} in doubt; \
                 with none of these, nor any of them together, it is {}: something was lost, or counted \
                 twice, or counted though it failed",
                list(&inside)
            );
            conclude_sum(found, finals, what);
        }
    } else if let Some(sum) = outside.iter().find(|sum| !(down..=up).contains(sum)) {
        found.leave_open(format!(
            "{what}; a replica shows {sum}, for which something was counted twice, or that nobody asked \
             for: whether anything was lost besides does not show"
        ));
    } else if outside.iter().all(|sum| *sum < least) {
        let contrast = Contrast::new(finals.reads[0], legal).due_to(last);
        conclude(found, "lost-increment", contrast, finals, &what, 1);
    } else {
        let what = format!(
            "{what}; what replicas show is {}: something was lost, or counted twice",
            list(&outside)
        );
        conclude_sum(found, finals, what);
    }
}

/// A sum that cannot be: it does not say which of the increments is why.
fn conclude_sum(found: &mut Findings<'_>, finals: &Finals, what: String) {
    match finals.silent {
        Some(node) => {
            found.leave_open(format!("{what}, but node n{node} did not say what it holds"));
        }
        None => found.add("wrong-sum", &finals.reads, what),
    }
}

fn list(sums: &[i128]) -> String {
    sums.iter().map(i128::to_string).collect::<Vec<_>>().join(" or ")
}

/// Of so many numbers at most, all sums are looked at: two halves of them, with 65,536 sums each.
const IN_DOUBT_MAX: usize = 32;

/// Whether some of a few numbers, none, or all come to one of some sums; nothing where there are too many to say.
///
/// The sums of one half, in order, are searched for what those of the other half lack (Horowitz and Sahni, "Computing
/// partitions with applications to the knapsack problem", 1974).
fn comes_to(numbers: &[i128], targets: &[i128]) -> Option<bool> {
    if numbers.len() > IN_DOUBT_MAX {
        return None;
    }
    let sums = |numbers: &[i128]| {
        let mut sums = vec![0_i128];
        for number in numbers {
            let with: Vec<i128> = sums.iter().map(|sum| sum + number).collect();
            sums.extend(with);
        }
        sums
    };
    let (one, other) = numbers.split_at(numbers.len() / 2);
    let mut one = sums(one);
    one.sort_unstable();
    let has = |sum: i128| targets.iter().any(|target| one.binary_search(&(target - sum)).is_ok());
    Some(sums(other).into_iter().any(has))
}

/// Whether an operation took effect before the first final read began.
fn is_acknowledged(operation: &Operation<'_>, finals: &Finals) -> bool {
    operation.is_ok() && operation.completed.is_some_and(|end| end < finals.began)
}

/// Something is on no replica that answered: a loss, unless it may be on one that did not.
fn conclude(
    found: &mut Findings<'_>,
    name: &str,
    contrast: Contrast,
    finals: &Finals,
    what: &str,
    count: usize,
) {
    if let Some(node) = finals.silent {
        found.leave_open(format!(
            "{what}; no replica that answered shows it, but node n{node} did not say what it holds"
        ));
        return;
    }
    let more = if count > 1 { format!(" ({count} of this key are lost)") } else { String::new() };
    let conclusion = format!("{what}; no replica shows it in the end{more}");
    // All replicas show it; the one that is held against what is legal comes last.
    let reads = finals.reads.iter().rev().copied();
    let proof: Vec<OperationId> = contrast.due.into_iter().chain(reads).collect();
    found.contrast(name, &proof, contrast, conclusion);
}

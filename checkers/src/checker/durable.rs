//! Durability: what was acknowledged is still there at the end, or was replaced by something that
//! is not older.
//!
//! Judged by the final reads at every replica: an acknowledged write is lost when what *every*
//! replica holds in the end is [certainly older](super::order) than it; what was added to a set or a
//! counter is lost when no replica shows it. Where a replica that was asked did not answer, it may be
//! the one that holds the write, and nothing is proved; nor where a replica holds what nobody wrote, which
//! may have come after the write or in its place, or where what else was asked of the key hides what a
//! write left.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Checker;
use super::findings::{but_who_failed, failed_to_write, not_older};
use super::live::tried_after;
use super::order::{Order, Proof, seen};
use super::words::{asked, sentence, told};
use crate::facts::{nanos, nanos_if_any};
use crate::history::{
    Event, EventIndex, FaultEdge, History, KeyId, NodeId, Op, Operation, OperationId, Phase,
    ReadLevel, Time, ValueId,
};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

mod collections;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Durable;

/// The final reads of one key.
struct Finals {
    reads: Vec<OperationId>,
    values: Vec<ValueId>,
    /// When the first of the reads was invoked: a write that ended later may not show in it.
    began: EventIndex,
    /// The nodes that said what they hold.
    nodes: BTreeSet<NodeId>,
    /// A node that was asked, for this key or another, and did not answer for this one.
    silent: Option<NodeId>,
}

impl Checker for Durable {
    fn check(&self, history: &History) -> Verdict {
        let finals = finals(history);
        if finals.is_empty() {
            let reason = "no replica answered a read after the end of the run".to_owned();
            let coverage = Coverage { method: METHOD.into(), ..Coverage::default() };
            return Verdict::Unknown { reason, coverage };
        }
        match (check_registers(history, &finals), collections::check(history, &finals)) {
            (Some(registers), Some(collections)) => together(registers, collections),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => {
                let reason = "nothing was acknowledged that was written to a register, or added to a set or \
                              a counter"
                    .to_owned();
                let coverage =
                    Coverage { method: METHOD.into(), keys: finals.len(), ..Coverage::default() };
                Verdict::Unknown { reason, coverage }
            }
        }
    }
}

const METHOD: &str = "final reads";

/// Judges the writes of registers; nothing where none was acknowledged.
fn check_registers(history: &History, finals: &FxHashMap<KeyId, Finals>) -> Option<Verdict> {
    let order = Order::new(history);
    let Found { lost, open, judged } = find(history, &order, finals);
    let coverage = Coverage {
        operations: judged,
        keys: finals.len(),
        method: METHOD.into(),
        ..Coverage::default()
    };
    if !lost.is_empty() {
        let anomalies = explain(history, &order, finals, &lost);
        return Some(Verdict::Invalid { anomalies, coverage });
    }
    match open {
        Some(reason) => Some(Verdict::Unknown { reason, coverage }),
        None => (judged > 0).then_some(Verdict::Valid(coverage)),
    }
}

/// What two verdicts on different keys come to.
fn together(one: Verdict, other: Verdict) -> Verdict {
    let operations = one.coverage().operations + other.coverage().operations;
    let coverage = Coverage { operations, ..one.coverage().clone() };
    let mut anomalies = [one.anomalies(), other.anomalies()].concat();
    match (one, other) {
        _ if !anomalies.is_empty() => {
            anomalies.sort_by_key(|anomaly| anomaly.at);
            Verdict::Invalid { anomalies, coverage }
        }
        (Verdict::Unknown { reason, .. }, _) | (_, Verdict::Unknown { reason, .. }) => {
            Verdict::Unknown { reason, coverage }
        }
        _ => Verdict::Valid(coverage),
    }
}

/// What the final reads say about the acknowledged writes.
struct Found {
    lost: Vec<OperationId>,
    /// Why it is not known of a write whether it was lost.
    open: Option<String>,
    judged: usize,
}

fn find(history: &History, order: &Order<'_>, finals: &FxHashMap<KeyId, Finals>) -> Found {
    let mut found = Found { lost: Vec::new(), open: None, judged: 0 };
    for write in history.operations() {
        let key = *write.op.key();
        let Some(finals) = finals.get(&key) else { continue };
        let in_time = write.completed.is_some_and(|end| end < finals.began);
        if !write.is_ok() || write.value_written().is_none() || !in_time {
            continue;
        }
        if !order.is_register(key) {
            let reason = || {
                let (op, key) = (asked(history, write.id), history.key(key));
                format!("whether `{op}` was lost does not show: {key} is no register")
            };
            found.open.get_or_insert_with(reason);
            continue;
        }
        found.judged += 1;
        let is_older = |value: &&ValueId| order.is_older(**value, &write);
        let mut others = finals.values.iter().filter(|value| !is_older(value)).peekable();
        match (others.peek().copied(), finals.silent) {
            (None, None) => found.lost.push(write.id),
            (None, Some(node)) => {
                found.open.get_or_insert_with(|| {
                    format!(
                        "`{}` is on no replica that answered, but node n{node} did not say what it holds",
                        asked(history, write.id)
                    )
                });
            }
            (Some(shown), _) if others.all(|value| !order.is_possible(key, *value)) => {
                found.open.get_or_insert_with(|| {
                    let failed = failed_to_write(history, key, *shown);
                    let (op, shown) = (asked(history, write.id), told(history, *shown));
                    format!(
                        "whether `{op}` was lost does not show: a replica shows {shown}, which nobody wrote{}",
                        but_who_failed(history, failed),
                    )
                });
            }
            (Some(_), _) => {}
        }
    }
    found
}

/// The acknowledged writes that a history lost, and what that says about its recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// The lost writes, in the order of invocation; at least one.
    pub writes: Vec<OperationId>,
    /// When the first of them was acknowledged.
    pub first: Time,
    /// When the last of them was acknowledged.
    pub last: Time,
    /// When they were lost: when the fault behind the loss began, if it began after all of them had been
    /// acknowledged. None where no fault explains the loss, or one that was on already.
    #[serde(default)]
    pub lost_at: Option<Time>,
    /// In how many spells they were acknowledged, where a fault that begins or ends divides one from the next.
    #[serde(default = "one")]
    pub spells: usize,
    /// The recovery point that was reached (RPO), which is how much acknowledged time was lost at once: from
    /// the first acknowledgement of a lost write to the moment of the loss. Where that is not known, it is
    /// at least the time to the last of these acknowledgements, and this is meant; and at least what it is in
    /// the longest spell, where there is more than one, as each may have been a loss of its own.
    #[serde(rename = "recovery_point_ns", with = "nanos")]
    pub recovery_point: Duration,
    /// The recovery time that was reached (RTO): from the begin of the fault behind the loss to the time
    /// when clients were served again, each of the kinds, reading and writing, that had failed since
    /// then; the first success of any kind, where none had failed. Reads of the final phase are no
    /// client's. None where no fault is behind the loss, or a kind that had failed never succeeded.
    ///
    /// The fault is the first that began after all of the lost acknowledgements, and before somebody
    /// found the key as it was before the last lost write; or else the last to begin of those that were
    /// on at that acknowledgement.
    #[serde(rename = "recovery_time_ns", with = "nanos_if_any")]
    pub recovery_time: Option<Duration>,
}

fn one() -> usize {
    1
}

/// The acknowledged writes and additions to sets that were lost, by the same proof as the verdict; none if
/// none is known to be lost. Which increments a counter lost does not show.
pub fn losses(history: &History) -> Option<Losses> {
    let finals = finals(history);
    let order = Order::new(history);
    let mut writes = find(history, &order, &finals).lost;
    writes.extend(collections::lost_elements(history, &finals));
    writes.sort_unstable();
    let end = |id: &OperationId| {
        let write: Operation<'_> = history.operation(*id);
        write.completed.zip(write.completed_at).expect("an acknowledged write has ended")
    };
    let mut ends: Vec<(EventIndex, Time)> = writes.iter().map(end).collect();
    ends.sort_unstable();
    let ((_, first), (last_event, last)) = (*ends.first()?, *ends.last()?);
    let last_write = writes.iter().max_by_key(|id| end(id))?;
    let shown = shown(history, &order, &history.operation(*last_write), last_event);
    let fault = fault_behind(history, last_event, shown);
    let lost_at = fault.filter(|(event, _)| *event > last_event).map(|(_, began)| began);
    let recovery_time = fault.and_then(|(event, began)| {
        let served = served_again(history, event.max(last_event))?;
        Some(served.since(began))
    });
    let spells = spells(history, &ends);
    let latest = spells.last().map(|(begin, _)| lost_at.unwrap_or(last).since(*begin));
    let longest = spells.iter().map(|(begin, end)| end.since(*begin)).max();
    let recovery_point = latest.max(longest).unwrap_or_default();
    let spells = spells.len();
    Some(Losses { writes, first, last, lost_at, spells, recovery_point, recovery_time })
}

/// Of acknowledgements in their order, the first and the last of each spell: no fault begins or ends within one.
fn spells(history: &History, acknowledged: &[(EventIndex, Time)]) -> Vec<(Time, Time)> {
    let events = history.events().zip(0..);
    let edges: Vec<EventIndex> = events
        .filter(|((_, event), _)| matches!(event, Event::Fault(_)))
        .map(|(_, index)| EventIndex(index))
        .collect();
    let edges_before = |at: EventIndex| edges.partition_point(|edge| *edge < at);
    let same = acknowledged.chunk_by(|(a, _), (b, _)| edges_before(*a) == edges_before(*b));
    same.filter_map(|spell| Some((spell.first()?.1, spell.last()?.1))).collect()
}

/// When somebody was first told that a lost write is not there, who asked after its acknowledgement.
fn shown(
    history: &History,
    order: &Order<'_>,
    write: &Operation<'_>,
    acknowledged: EventIndex,
) -> Option<EventIndex> {
    let is_without = |value: ValueId| match write.op {
        Op::Add { value: element, .. } => !collections::shows(history, value, element),
        _ => order.is_older(value, write),
    };
    let finds_older = |operation: &Operation<'_>| {
        operation.invoked > acknowledged
            && operation.op.key() == write.op.key()
            && seen(operation).is_some_and(is_without)
    };
    history.operations().filter(finds_older).filter_map(|operation| operation.completed).min()
}

/// When clients were served again after an event.
fn served_again(history: &History, after: EventIndex) -> Option<Time> {
    let tried = tried_after(history, after);
    let mut again = None;
    for writes in [false, true] {
        let of_kind = || tried.iter().filter(|operation| operation.op.kind().writes() == writes);
        let Some(failed) = of_kind().find(|operation| !operation.was_served()) else { continue };
        let later = of_kind().filter(|operation| operation.invoked > failed.invoked);
        let served = later.filter(|operation| operation.was_served());
        again = again.max(Some(served.filter_map(|operation| operation.completed_at).min()?));
    }
    let served = || tried.iter().filter(|operation| operation.was_served());
    again.or_else(|| served().filter_map(|operation| operation.completed_at).min())
}

/// When the fault began that is behind a loss of what was acknowledged at one event, and shown to be
/// lost at another.
fn fault_behind(
    history: &History,
    at: EventIndex,
    shown: Option<EventIndex>,
) -> Option<(EventIndex, Time)> {
    let on = history.faults_on(at);
    let begins = || {
        history.events().zip(0..).filter_map(|((time, event), index)| match event {
            Event::Fault(fault) if fault.edge == FaultEdge::Begin => {
                Some((EventIndex(index), time, fault.fault))
            }
            _ => None,
        })
    };
    let is_between = |begin: EventIndex| begin > at && shown.is_none_or(|shown| begin < shown);
    // What had been on for long was survived for long; what came right after explains why nothing
    // that was acknowledged later is lost.
    let next = begins().find(|(begin, _, _)| is_between(*begin));
    let was_on = || begins().filter(|(begin, _, fault)| *begin < at && on.contains(fault)).last();
    next.or_else(was_on).map(|(begin, time, _)| (begin, time))
}

fn finals(history: &History) -> FxHashMap<KeyId, Finals> {
    let mut finals: FxHashMap<KeyId, Finals> = FxHashMap::default();
    let mut asked: BTreeSet<NodeId> = BTreeSet::new();
    let Some((began, _)) = history.phase_began(Phase::Final) else { return finals };
    for read in history.operations().filter(|operation| operation.invoked > began) {
        // What is read from the store as a whole says nothing about the node that passed it on.
        let is_of_replica = matches!(read.op, Op::Read { level: ReadLevel::Replica, .. });
        let node = read.node.filter(|_| is_of_replica);
        asked.extend(node);
        if let Some(value) = read.value_read() {
            let of_key = finals.entry(*read.op.key()).or_insert_with(|| Finals {
                reads: Vec::new(),
                values: Vec::new(),
                began: read.invoked,
                nodes: BTreeSet::new(),
                silent: None,
            });
            of_key.nodes.extend(node);
            of_key.reads.push(read.id);
            if !of_key.values.contains(&value) {
                of_key.values.push(value);
            }
        }
    }
    for of_key in finals.values_mut() {
        of_key.silent = asked.difference(&of_key.nodes).next().copied();
    }
    finals
}

/// One anomaly a key, the first loss first; each says how much was lost in all.
fn explain(
    history: &History,
    order: &Order<'_>,
    finals: &FxHashMap<KeyId, Finals>,
    lost: &[OperationId],
) -> Vec<Anomaly> {
    let ended = |id: &OperationId| {
        let write: Operation<'_> = history.operation(*id);
        write.completed_at.expect("an acknowledged write has ended")
    };
    let first = lost.iter().map(ended).min().expect("something was lost");
    let last = lost.iter().map(ended).max().expect("something was lost");
    let total = match lost.len() {
        1 => format!("this is the only lost write; it was acknowledged at {first}"),
        count => format!("{count} writes were lost in all, acknowledged from {first} to {last}"),
    };
    // The last loss of a key shows the most: everything before it is gone as well.
    let mut last_of_key: FxHashMap<KeyId, OperationId> = FxHashMap::default();
    let mut keys = Vec::new();
    for id in lost {
        let key = *history.operation(*id).op.key();
        if last_of_key.insert(key, *id).is_none() {
            keys.push(key);
        }
    }
    let mut anomalies = Vec::new();
    for key in keys {
        let write = history.operation(last_of_key[&key]);
        let finals = &finals[&key];
        let Proof { mut operations, words } = proof(history, order, finals, &write);
        operations.sort();
        operations.dedup();
        let shown = operations.iter().rfind(|id| history.operation(**id).value_read().is_some());
        let contrast = shown.map(|shown| not_older(history, *shown, &write));
        let mut explanation: Vec<String> =
            operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
        explanation.extend(words);
        let who = match finals.nodes.len() {
            0 => "everything that was read in the end is".to_owned(),
            1 => "the only replica that answered in the end holds something".to_owned(),
            nodes => format!("in the end all {nodes} replicas that answered hold something"),
        };
        explanation.push(format!(
            "process {} had {} acknowledged, but {who} older",
            write.process,
            asked(history, write.id),
        ));
        explanation.push(total.clone());
        anomalies.push(Anomaly {
            name: "lost-write".to_owned(),
            guarantee: Guarantee::Durable,
            at: write.completed_at.expect("an acknowledged write has ended"),
            key: Some(history.key(key).clone()),
            witness: Witness { operations, faults: history.faults_on(write.invoked) },
            contrast,
            explanation,
        });
    }
    anomalies
}

/// What proves that a write is lost: that all that was read in the end is older, with one read of each
/// value at each replica.
fn proof(history: &History, order: &Order<'_>, finals: &Finals, write: &Operation<'_>) -> Proof {
    let mut proof = Proof { operations: vec![write.id], words: Vec::new() };
    for value in &finals.values {
        proof.extend(order.proof_of_left(*value, write));
    }
    let mut shown: BTreeSet<(Option<NodeId>, ValueId)> = BTreeSet::new();
    for read in finals.reads.iter().map(|id| history.operation(*id)) {
        let value = read.value_read().expect("only answers are final reads");
        if shown.insert((read.node, value)) {
            proof.operations.push(read.id);
        }
    }
    proof
}

//! Session guarantees: read-your-writes, monotonic reads, monotonic writes and writes-follow-reads
//! (Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994).
//!
//! All four rest on what is [certainly older](super::order) than what: by the versions that the
//! store reports, where both sides have one, and otherwise by real time and compare-and-set. Reads
//! of all levels are judged, and so is what a compare-and-set found. The final phase is not: its
//! reads are one observer's, who looks at one replica after the other.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use super::findings::not_older;
use super::order::{Order, Proof, Rank, seen};
use super::words::{sentence, sessions};
use crate::history::{History, Op, Operation, OperationId, ValueId};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

mod chains;
mod reads;
mod writes;

pub use reads::{MonotonicReads, ReadYourWrites};
pub use writes::{MonotonicWrites, WritesFollowReads};

/// What an operation found its key to hold.
#[derive(Clone, Copy, Debug)]
struct Observation {
    value: ValueId,
    /// The version of what it found, where the store reports one.
    version: Option<u64>,
}

/// What an operation found its key to hold, if it tells: a read, a compare-and-set that was done, or
/// one that was not and says why.
fn observed(history: &History, operation: &Operation<'_>) -> Option<Observation> {
    match operation.op {
        // The version of a compare-and-set is that of what it put there.
        Op::Cas { from, .. } if operation.is_ok() => {
            Some(Observation { value: from, version: None })
        }
        Op::Read { .. } | Op::Cas { .. } => {
            let version = history.version(operation.id);
            seen(operation).map(|value| Observation { value, version })
        }
        _ => None,
    }
}

/// Whether it is a write of a register that took effect.
fn is_done_write(operation: &Operation<'_>) -> bool {
    operation.is_ok() && operation.value_written().is_some()
}

/// One state of a key that somebody must not fall behind.
#[derive(Clone, Copy, Debug)]
struct State {
    /// The operation that read or wrote it.
    id: OperationId,
    version: Option<u64>,
    /// It came after this moment, on the scale of ranks.
    begin: u64,
    /// Its place in the forest of compare-and-sets, where it has one.
    place: Option<usize>,
}

impl State {
    /// What an acknowledged write left.
    fn written(history: &History, order: &Order<'_>, write: &Operation<'_>) -> State {
        let key = *write.op.key();
        let value = write.value_written().expect("only writes are asked for what they wrote");
        let place = order.writer(key, value).and_then(|_| order.rank(key, value)?.hangs_at());
        let version = history.version(write.id);
        State { id: write.id, version, begin: order.begin(write), place }
    }

    /// What an observation found; none if nobody wrote it.
    fn found(order: &Order<'_>, by: &Operation<'_>, observation: Observation) -> Option<State> {
        let rank = order.rank(*by.op.key(), observation.value)?;
        let Observation { version, .. } = observation;
        Some(State { id: by.id, version, begin: rank.begin, place: rank.hangs_at() })
    }
}

/// States of one key that somebody must not fall behind.
#[derive(Debug, Default)]
struct Past {
    /// The highest version.
    version: Option<(u64, OperationId)>,
    all: Newest,
    /// Only the states without a version.
    unversioned: Newest,
}

/// What is newest of some states, by what order can tell.
#[derive(Debug, Default)]
struct Newest {
    /// The state that began last.
    begin: Option<(u64, OperationId)>,
    /// The states that have a place in the forest.
    places: BTreeMap<usize, OperationId>,
}

impl Past {
    fn add(&mut self, state: &State) {
        self.all.add(state);
        match state.version {
            None => self.unversioned.add(state),
            Some(version) if self.version.is_none_or(|(highest, _)| highest < version) => {
                self.version = Some((version, state.id));
            }
            Some(_) => {}
        }
    }

    /// The operation with a state that is certainly newer than what was found.
    fn newer_than(&self, rank: &Rank, version: Option<u64>) -> Option<OperationId> {
        let Some(version) = version else { return self.all.newer_than(rank) };
        let by_version = self.version.filter(|(highest, _)| version < *highest);
        by_version.map(|(_, id)| id).or_else(|| self.unversioned.newer_than(rank))
    }
}

impl Newest {
    fn add(&mut self, state: &State) {
        if self.begin.is_none_or(|(begin, _)| begin <= state.begin) {
            self.begin = Some((state.begin, state.id));
        }
        if let Some(place) = state.place {
            self.places.insert(place, state.id);
        }
    }

    fn newer_than(&self, rank: &Rank) -> Option<OperationId> {
        let by_time = self.begin.filter(|(begin, _)| rank.ended_before(*begin));
        let (above, last) = rank.below();
        let replaced = || {
            // The start is at no place: what is newer than it is so by time.
            let range = (above < last).then_some((Excluded(above), Included(last)))?;
            self.places.range(range).next().map(|(_, id)| *id)
        };
        by_time.map(|(_, id)| id).or_else(replaced)
    }
}

fn coverage() -> Coverage {
    Coverage { method: "order by versions, real time and compare-and-set".into(), ..<_>::default() }
}

fn verdict(
    order: &Order<'_>,
    anomalies: Vec<Anomaly>,
    mut coverage: Coverage,
    vacuous: &str,
) -> Verdict {
    if !anomalies.is_empty() {
        Verdict::Invalid { anomalies, coverage }
    } else if coverage.operations == 0 {
        coverage.keys = 0;
        Verdict::Unknown { reason: order.nothing_judged(vacuous), coverage }
    } else {
        Verdict::Valid(coverage)
    }
}

/// Puts an anomaly together: what the operations did, what is to be said of those that are not shown, and
/// what is wrong about it.
fn anomaly(
    history: &History,
    guarantee: Guarantee,
    at: &Operation<'_>,
    newer: &Operation<'_>,
    proof: Proof,
    conclusion: String,
) -> Anomaly {
    const TOLD_MAX: usize = 12;
    let contrast = not_older(history, at.id, newer);
    let Proof { mut operations, words } = proof;
    operations.sort();
    operations.dedup();
    let tell = |id: &OperationId| sentence(history, &history.operation(*id));
    let mut explanation: Vec<String> = operations.iter().take(TOLD_MAX).map(tell).collect();
    if operations.len() > TOLD_MAX {
        let left = operations.len() - TOLD_MAX;
        explanation.push(format!("and so on: {left} more operations of the witness"));
    }
    explanation.extend(sessions(history, &operations));
    explanation.extend(words);
    // The last sentence draws the conclusion: reports show it alone.
    explanation.push(conclusion);
    Anomaly {
        name: guarantee.name().to_owned(),
        guarantee,
        at: at.completed_at.unwrap_or(at.invoked_at),
        key: Some(history.key(*at.op.key()).clone()),
        witness: Witness { operations, faults: history.faults_on(at.invoked) },
        contrast: Some(contrast),
        explanation,
    }
}

/// What proves that what `read` found is older than the state of `newer`: what that one left, where the
/// guarantee is about writes, and what it found otherwise. Versions that tell need no more than the two.
fn proof(
    history: &History,
    order: &Order<'_>,
    guarantee: Guarantee,
    newer: &Operation<'_>,
    read: &Operation<'_>,
) -> Proof {
    let key = *read.op.key();
    let old = observed(history, read).expect("what is judged tells what it found").value;
    let is_of_writes = matches!(guarantee, Guarantee::ReadYourWrites | Guarantee::MonotonicWrites);
    let mut proof = if !versions(history, newer, read).is_empty() {
        Proof::default()
    } else if is_of_writes && newer.value_written() != Some(old) {
        order.proof_of_left(old, newer)
    } else {
        let new = observed(history, newer).map_or(old, |observation| observation.value);
        order.proof_of_seen(key, old, new)
    };
    proof.operations.extend([newer.id, read.id]);
    proof
}

/// The versions that tell, in brackets; nothing where others do.
fn versions(history: &History, newer: &Operation<'_>, read: &Operation<'_>) -> String {
    match (history.version(newer.id), history.version(read.id)) {
        (Some(newer), Some(older)) if older < newer => {
            format!(" (version {older} after version {newer})")
        }
        _ => String::new(),
    }
}

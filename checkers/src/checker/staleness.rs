//! How old reads are: how many acknowledged writes were missing in what a read returned, and for how
//! long the first of them had been acknowledged (the k-staleness and t-visibility of Bailis et al.,
//! "Probabilistically Bounded Staleness for Practical Partial Quorums", VLDB 2012, section 3).
//!
//! A write counts as missing if it was acknowledged before the read began, and what the read
//! returned is [certainly older](super::order) by real time. Both figures are therefore lower
//! bounds. A read that reports a version as high as that of every acknowledged write misses none.
//! Reads of all levels count, and what a compare-and-set found instead; final reads do not.

use std::cell::LazyCell;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::findings::not_older;
use super::order::{Order, Proof, Rank, seen};
use super::words::{asked, sentence};
use super::{Checker, Limits};
use crate::facts::{nanos, seconds};
use crate::history::{Event, EventIndex, History, KeyId, Operation, OperationId, Phase, ValueId};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// Holds every read against a [bound](Limits), in versions or in time. Without a bound the verdict
/// is unknown, and says how far the worst read was behind.
#[derive(Clone, Copy, Debug)]
pub struct BoundedStaleness {
    limits: Limits,
}

impl BoundedStaleness {
    /// Makes a checker of the bounds in `limits`.
    pub fn new(limits: Limits) -> BoundedStaleness {
        BoundedStaleness { limits }
    }
}

/// How far one read was behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The read.
    pub read: OperationId,
    /// How many acknowledged writes were missing.
    pub versions: u64,
    /// How long before the read began the first of them had been acknowledged.
    pub time: Duration,
    /// That write.
    pub missing: Option<OperationId>,
}

/// How far the reads of a history were behind. Quantiles are by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// How many reads there were.
    pub reads: usize,
    /// How many of them missed something.
    pub stale: usize,
    /// Half of the reads missed at most so many writes.
    pub versions_p50: u64,
    /// 99 of 100 reads missed at most so many writes.
    pub versions_p99: u64,
    /// No read missed more writes.
    pub versions_max: u64,
    /// Half of the reads were behind by at most this time.
    #[serde(rename = "time_p50_ns", with = "nanos")]
    pub time_p50: Duration,
    /// 99 of 100 reads were behind by at most this time.
    #[serde(rename = "time_p99_ns", with = "nanos")]
    pub time_p99: Duration,
    /// No read was behind by more.
    #[serde(rename = "time_max_ns", with = "nanos")]
    pub time_max: Duration,
}

/// Sums up how far the reads were behind; none where nothing was read.
pub fn facts(history: &History) -> Option<Staleness> {
    let lags = lags(history);
    let mut versions: Vec<u64> = lags.iter().map(|lag| lag.versions).collect();
    let mut times: Vec<Duration> = lags.iter().map(|lag| lag.time).collect();
    versions.sort_unstable();
    times.sort_unstable();
    let rank = |percent: usize| (lags.len() * percent).div_ceil(100).saturating_sub(1);
    Some(Staleness {
        reads: lags.len(),
        stale: lags.iter().filter(|lag| lag.versions > 0).count(),
        versions_p50: *versions.get(rank(50))?,
        versions_p99: versions[rank(99)],
        versions_max: *versions.last()?,
        time_p50: times[rank(50)],
        time_p99: times[rank(99)],
        time_max: *times.last()?,
    })
}

/// The acknowledged writes of one key.
#[derive(Default)]
struct Writes {
    /// After which moment each took effect, in that order.
    begins: Vec<(u64, EventIndex, OperationId)>,
    /// The write that was acknowledged first of those from here on.
    first: Vec<(EventIndex, OperationId)>,
    /// When each was acknowledged, in that order.
    ends: Vec<EventIndex>,
    /// Those that are open at the event that is looked at.
    open: Vec<OperationId>,
    /// The highest version that was acknowledged before it.
    version: Option<u64>,
}

/// How far each read was behind, in the order of invocation.
pub fn lags(history: &History) -> Vec<Lag> {
    lags_by(history, &Order::new(history))
}

fn lags_by(history: &History, order: &Order<'_>) -> Vec<Lag> {
    let mut keys = writes(history, order);
    let mut lags = Vec::new();
    for (_, event) in history.events() {
        match event {
            Event::Phase(Phase::Final) => break,
            Event::Phase(_) | Event::Fault(_) => {}
            Event::Invoke(operation) => {
                let writes = keys.entry(*operation.op.key()).or_default();
                if is_acknowledged(&operation) {
                    writes.open.push(operation.id);
                }
                if let Some(value) = seen(&operation) {
                    lags.extend(writes.lag(history, order, &operation, value));
                }
            }
            Event::Complete(operation) if is_acknowledged(&operation) => {
                let writes = keys.entry(*operation.op.key()).or_default();
                writes.open.retain(|id| *id != operation.id);
                writes.version = writes.version.max(history.version(operation.id));
            }
            Event::Complete(_) => {}
        }
    }
    lags
}

fn is_acknowledged(operation: &Operation<'_>) -> bool {
    operation.is_ok() && operation.value_written().is_some()
}

fn writes(history: &History, order: &Order<'_>) -> FxHashMap<KeyId, Writes> {
    let mut keys: FxHashMap<KeyId, Writes> = FxHashMap::default();
    for write in history.operations().filter(is_acknowledged) {
        let end = write.completed.expect("an acknowledged write has ended");
        let of_key = keys.entry(*write.op.key()).or_default();
        of_key.begins.push((order.begin(&write), end, write.id));
        of_key.ends.push(end);
    }
    for of_key in keys.values_mut() {
        of_key.begins.sort_unstable();
        of_key.ends.sort_unstable();
        let mut first = None;
        for (_, end, id) in of_key.begins.iter().rev() {
            let now = first.map_or((*end, *id), |first| (*end, *id).min(first));
            first = Some(now);
            of_key.first.push(now);
        }
        of_key.first.reverse();
    }
    keys
}

impl Writes {
    /// How far a read is behind that begins now; none if nobody wrote what it returned.
    fn lag(
        &self,
        history: &History,
        order: &Order<'_>,
        read: &Operation<'_>,
        value: ValueId,
    ) -> Option<Lag> {
        let rank = order.rank(*read.op.key(), value)?;
        let fresh = Lag { read: read.id, versions: 0, time: Duration::ZERO, missing: None };
        if let (Some(version), Some(highest)) = (history.version(read.id), self.version)
            && version >= highest
        {
            return Some(fresh);
        }
        let older = self.begins.partition_point(|(begin, _, _)| !rank.ended_before(*begin));
        let Some((end, first)) = self.first.get(older) else { return Some(fresh) };
        if *end >= read.invoked {
            return Some(fresh);
        }
        // Of the writes that are over, those that did not certainly come later are not missing.
        let over = self.ends.partition_point(|end| *end < read.invoked);
        let is_older =
            |id: &&OperationId| !rank.ended_before(order.begin(&history.operation(**id)));
        let open = self.open.iter().filter(is_older).count();
        let versions = (over + open).saturating_sub(older) as u64;
        let acknowledged = history.operation(*first).completed_at.unwrap_or(read.invoked_at);
        let time = read.invoked_at.since(acknowledged);
        Some(Lag { read: read.id, versions, time, missing: Some(*first) })
    }
}

impl Writes {
    /// So many of the writes that certainly came after a value and were over by a moment, those first
    /// that were acknowledged first.
    fn missing(&self, rank: &Rank, by: EventIndex, count: u64) -> Vec<OperationId> {
        let older = self.begins.partition_point(|(begin, _, _)| !rank.ended_before(*begin));
        let over = self.begins[older..].iter().filter(|(_, end, _)| *end < by);
        let mut missing: Vec<(EventIndex, OperationId)> =
            over.map(|(_, end, id)| (*end, *id)).collect();
        missing.sort_unstable();
        missing.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        missing.into_iter().map(|(_, id)| id).collect()
    }
}

impl Checker for BoundedStaleness {
    fn check(&self, history: &History) -> Verdict {
        let order = Order::new(history);
        let lags = lags_by(history, &order);
        let coverage = Coverage {
            method: "missing acknowledged writes, by real time".into(),
            operations: lags.len(),
            keys: if lags.is_empty() { 0 } else { history.key_count() },
            ..Coverage::default()
        };
        let (Some(versions), Some(time)) =
            (lags.iter().map(|lag| lag.versions).max(), lags.iter().map(|lag| lag.time).max())
        else {
            let reason = order.nothing_judged("no read returned what somebody wrote");
            return Verdict::Unknown { reason, coverage };
        };
        if !self.limits.bounds_staleness() {
            let worst = match versions {
                0 => "no read was known to be behind".to_owned(),
                _ => format!(
                    "the worst read was {versions} version{} behind, and one was {} behind",
                    if versions == 1 { "" } else { "s" },
                    seconds(time)
                ),
            };
            let reason = format!("no bound is claimed; {worst}");
            return Verdict::Unknown { reason, coverage };
        }
        let anomalies = self.beyond(history, &order, &lags);
        if anomalies.is_empty() {
            Verdict::Valid(coverage)
        } else {
            Verdict::Invalid { anomalies, coverage }
        }
    }
}

impl BoundedStaleness {
    /// The first read of each key that is beyond the bound.
    fn beyond(&self, history: &History, order: &Order<'_>, lags: &[Lag]) -> Vec<Anomaly> {
        let Limits { staleness_max, versions_behind_max, .. } = self.limits;
        let writes = LazyCell::new(|| writes(history, order));
        let mut told = vec![false; history.key_count()];
        let mut anomalies = Vec::new();
        for lag in lags {
            let read = history.operation(lag.read);
            let by_time = staleness_max.filter(|bound| lag.time > *bound);
            let by_versions = versions_behind_max.filter(|bound| lag.versions > *bound);
            // How many writes show that the bound was passed.
            let (bound, count) = match (by_time, by_versions) {
                (Some(bound), _) => (seconds(bound), 1),
                (None, Some(1)) => ("1 version".to_owned(), 2),
                (None, Some(bound)) => (format!("{bound} versions"), bound.saturating_add(1)),
                (None, None) => continue,
            };
            let key = *read.op.key();
            if std::mem::replace(&mut told[key.index()], true) {
                continue;
            }
            let rank = order.rank(key, seen(&read).expect("only what was read is behind"));
            let rank = rank.expect("only what somebody wrote is behind");
            let missing = writes[&key].missing(&rank, read.invoked, count);
            let contrast = missing.last().map(|last| history.operation(*last));
            let contrast = contrast.map(|last| not_older(history, read.id, &last));
            let Proof { operations, words } = proof(history, order, &read, &missing);
            let mut explanation: Vec<String> =
                operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
            explanation.extend(words);
            explanation.push(conclusion(history, lag, &missing, &bound));
            anomalies.push(Anomaly {
                name: "stale-beyond-bound".to_owned(),
                guarantee: Guarantee::BoundedStaleness,
                at: read.completed_at.unwrap_or(read.invoked_at),
                key: Some(history.key(key).clone()),
                witness: Witness { operations, faults: history.faults_on(read.invoked) },
                contrast,
                explanation,
            });
        }
        anomalies
    }
}

/// What proves that what a read found is older than these writes.
fn proof(
    history: &History,
    order: &Order<'_>,
    read: &Operation<'_>,
    missing: &[OperationId],
) -> Proof {
    let value = seen(read).expect("only what was read is behind");
    let mut proof = Proof { operations: vec![read.id], words: Vec::new() };
    for write in missing {
        proof.extend(order.proof_of_left(value, &history.operation(*write)));
    }
    proof.operations.sort();
    proof.operations.dedup();
    proof.words.dedup();
    proof
}

fn conclusion(history: &History, lag: &Lag, missing: &[OperationId], bound: &str) -> String {
    let first = asked(history, lag.missing.expect("what is behind misses something"));
    let time = seconds(lag.time);
    match missing.len() {
        1 => format!(
            "`{first}` is newer, and had been acknowledged {time} before the read began; the bound is \
             {bound}"
        ),
        many => format!(
            "at least {many} newer writes had been acknowledged when the read began, the first of \
             them, `{first}`, {time} before; the bound is {bound}"
        ),
    }
}

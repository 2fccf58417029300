//! Linearizability: each operation appears to take effect at one instant between its invocation and
//! its completion (Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent
//! Objects", 1990).
//!
//! Keys are independent objects, so each is judged by itself (locality, section 3.3 there), by the
//! cheapest exact method that applies to it:
//!
//! 1. registers whose values are written once, in [linear time](zones);
//! 2. other registers whose store reports versions, in the [order that they give](versions), if it
//!    explains every answer;
//! 3. queues whose values are put in once, in the [time that sorting takes](objects);
//! 4. everything else by a [search](fn@search), unless it is [plainly wrong](overwritten).
//!
//! Reads of [replica level](ReadLevel::Replica) ask for less and are left out; so are reads without
//! an answer, and operations that certainly did not take effect.
//!
//! A write without an answer may take effect at any later time. Where nobody saw its value, it may
//! be left out: in an order that has it, no answer would change without it. Those that somebody saw
//! are few, and only these the search has to place.

use std::ops::{Range, RangeInclusive};

use rustc_hash::{FxHashMap, FxHashSet};

use super::keys::{Keys, Model};
use super::words::sentence;
use super::{Checker, Limits};
use crate::history::{
    Bare, History, KeyId, NilReads, Op, OperationId, Outcome, ReadLevel, Reason, Ret, ValueId,
};
use crate::model::SequentialSpec;
use crate::model::cas_register::{CasOp, CasRegister, CasRet};
use crate::verdict::{Anomaly, Contrast, Coverage, Guarantee, Verdict, Witness};
use rounds::Rounds;
use zones::{Judged, Zones};

mod furthest;
mod linearization;
mod naming;
mod objects;
mod overwritten;
mod rounds;
mod search;
mod shrink;
mod stream;
mod versions;
mod witness;
mod zones;

pub use linearization::Linearization;
pub use search::{Budget, Call, Found, Shortage, order, order_by_gaps, search};
pub use stream::{Breach, Streaming, Summary, Violation};

/// One operation on a key, as the methods see it.
type RegisterCall = Call<CasRegister<ValueId>>;

/// The guarantee that violations break.
const GUARANTEE: Guarantee = Guarantee::Linearizable;
/// What a violation is called that has no name of its own.
const NOT_LINEARIZABLE: &str = "not-linearizable";
/// Of how many operations it is remembered together which values they are about. What proves a violation is about few
/// values, which most blocks have nothing to do with.
const BLOCK: usize = 64;

/// The published name of a violation, and the sentences that conclude it.
type Named = (&'static str, Vec<String>, Option<Contrast>);

/// How a history is judged. What its keys hold in the beginning, and what its reads of `nil` say, it
/// [says itself](History::that_begins_as): registers begin with anything, texts with a text, counters
/// with a number; the others begin empty, and are not judged where that is not `nil`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How far a search may go.
    pub limits: Limits,
    /// What every key is taken for.
    pub model: Model,
    /// Whether violations are explained by their smallest witness, which can take longer than
    /// finding them. Otherwise the witness is the operation at which it was found.
    pub explain: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { limits: Limits::default(), model: Model::Auto, explain: true }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Linearizable {
    settings: Settings,
}

impl Linearizable {
    /// Makes the checker.
    pub fn new(limits: Limits) -> Linearizable {
        Linearizable { settings: Settings { limits, ..Settings::default() } }
    }

    /// Makes the checker with other settings.
    pub fn with(settings: Settings) -> Linearizable {
        Linearizable { settings }
    }
}

/// The operations of one key that are judged.
struct OfKey {
    key: KeyId,
    ids: Vec<OperationId>,
    calls: Vec<RegisterCall>,
}

/// The clusters that prove a violation.
struct Clusters {
    values: FxHashSet<ValueId>,
    /// And what compare-and-sets replaced by these values.
    with_sources: FxHashSet<ValueId>,
    /// The call of a compare-and-set that failed blindly, where it is one that had no moment: whatever
    /// was written has to be asked whether it gave it one.
    failed: Option<u32>,
    /// What else it touches is about a value in it, and hardly anything else is.
    span: RangeInclusive<ValueId>,
}

impl Clusters {
    fn new(
        values: FxHashSet<ValueId>,
        sources: impl IntoIterator<Item = ValueId>,
        failed: Option<u32>,
    ) -> Clusters {
        let mut with_sources = values.clone();
        with_sources.extend(sources);
        let (least, most) = match failed {
            None => (with_sources.iter().min().copied(), with_sources.iter().max().copied()),
            // It is all writes.
            Some(_) => (None, None),
        };
        let span = least.unwrap_or(ValueId(0))..=most.unwrap_or(ValueId(u32::MAX));
        Clusters { values, with_sources, failed, span }
    }

    fn touches(&self, call: &RegisterCall) -> bool {
        let is_in = |value: ValueId, values: &FxHashSet<ValueId>| {
            self.span.contains(&value) && values.contains(&value)
        };
        seen(call).is_some_and(|value| is_in(value, &self.values))
            || written(call).is_some_and(|value| is_in(value, &self.with_sources))
            || self.failed.is_some_and(|failed| failed == call.invoked || written(call).is_some())
    }

    /// Takes those for writes that replaced what else was not collected: who wrote that is not known here.
    fn assume_sources(&self, calls: &mut [RegisterCall]) {
        for call in calls {
            if let CasOp::Cas(from, to) = call.op
                && written(call).is_some()
                && !self.with_sources.contains(&from)
            {
                call.op = CasOp::Write(to);
            }
        }
    }
}

/// What has been found so far.
#[derive(Default)]
struct Report {
    coverage: Coverage,
    anomalies: Vec<Anomaly>,
    /// Why some keys could not be judged.
    reasons: Vec<String>,
    /// How the keys were judged.
    methods: Vec<String>,
    /// Whether any operation was answered with what a key held.
    shows: bool,
}

impl Report {
    fn exhausted<S: SequentialSpec>(
        &mut self,
        history: &History,
        settings: &Settings,
        key: KeyId,
        (stuck, of): (usize, Shortage),
        calls: &[Call<S>],
    ) {
        let budget = match of {
            Shortage::States => format!("of {} states", settings.limits.states_max),
            Shortage::Bytes => format!("in {} bytes", settings.limits.search_bytes_max),
        };
        self.reasons.push(format!(
            "the search {budget} ended at key {}: it was judged up to operation {stuck} of the {} of that key \
             which an order has to explain",
            history.key(key),
            calls.len(),
        ));
    }

    fn too_wide(&mut self, history: &History, key: KeyId, open: usize) {
        self.reasons.push(format!(
            "{open} operations are open at one time at key {}, more than the search keeps apart",
            history.key(key)
        ));
    }

    fn into_verdict(mut self) -> Verdict {
        let mut coverage = self.coverage;
        coverage.method = self.methods.join(", ");
        if !self.anomalies.is_empty() || !self.reasons.is_empty() {
            // What was found counts, whatever showed it.
        } else if !self.shows {
            let reason = "no operation was answered with what a key held".to_owned();
            coverage = Coverage { method: "nothing to judge".to_owned(), ..Coverage::default() };
            return Verdict::Unknown { reason, coverage };
        }
        if !self.anomalies.is_empty() {
            self.anomalies.sort_by_key(|anomaly| anomaly.at);
            Verdict::Invalid { anomalies: self.anomalies, coverage }
        } else if let Some(reason) = self.reasons.into_iter().next() {
            Verdict::Unknown { reason, coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

impl Checker for Linearizable {
    fn check(&self, history: &History) -> Verdict {
        let object = Registers::new(history);
        let mut report = Report::default();
        let keys = Keys::taken_for(history, self.settings.model);
        report.reasons.clone_from(&keys.reasons);
        report.coverage.keys += keys.reasons.len();
        self.registers(&object, &keys, &mut report);
        objects::judge(history, &self.settings, &keys, &mut report);
        report.into_verdict()
    }
}

impl Linearizable {
    /// Judges the keys that are registers.
    fn registers(&self, object: &Registers<'_>, models: &Keys, report: &mut Report) {
        let history = object.history;
        let mut zones = Zones::new(history.key_count(), history.value_count(), object.initial);
        let mut counts: Vec<u32> = vec![0; history.key_count()];
        let mut spans = Vec::with_capacity(object.blocks().len());
        for block in object.blocks() {
            for index in block {
                let operation = history.bare(index);
                let key = *operation.op.key();
                if !models.are(key, Model::Register) {
                    continue;
                }
                if let Some(call) = object.call(&operation) {
                    counts[key.index()] += 1;
                    zones.add(key, &call);
                }
            }
            spans.push(zones.met());
        }
        report.shows |= zones.shows();
        let keys = counts.iter().filter(|count| **count > 0).count();
        if keys == 0 {
            return;
        }
        report.coverage.operations += counts.iter().map(|count| *count as usize).sum::<usize>();
        report.coverage.keys += keys;
        let judged = zones.judge();
        let clusters = |(judged, key): (&Judged, u32)| {
            let Judged::NoOrder(why) = judged else { return None };
            let values = zones.values_of(*why);
            let sources = zones.sources_of(KeyId(key), &values);
            Some(Clusters::new(values, sources, zones.failed_of(*why)))
        };
        let broken: Vec<Option<Clusters>> = judged.iter().zip(0..).map(clusters).collect();
        drop(zones);
        let of_all = broken.iter().flatten().map(|broken| broken.span.clone());
        let of_all = of_all.reduce(|one, other| {
            let (least, most) = (one.start().min(other.start()), one.end().max(other.end()));
            *least..=*most
        });
        let is_touched = |met: &RangeInclusive<ValueId>| {
            let meets =
                |span: &RangeInclusive<_>| met.start() <= span.end() && span.start() <= met.end();
            of_all.as_ref().is_some_and(meets)
        };
        let touched = object.blocks().zip(&spans).filter(|(_, met)| is_touched(met));
        let of_broken = object.collect(
            touched.flat_map(|(block, _)| block),
            |key| broken[key.index()].as_ref().map(|_| 0),
            |key, call| broken[key.index()].as_ref().is_some_and(|broken| broken.touches(call)),
        );
        for mut of_key in of_broken {
            let broken =
                broken[of_key.key.index()].as_ref().expect("only the broken are collected");
            broken.assume_sources(&mut of_key.calls);
            report.anomalies.push(if self.settings.explain {
                witness::of_zones(object, &of_key, &broken.values)
            } else {
                unexplained(history, *of_key.ids.last().expect("something broke it"))
            });
        }
        let is_left = |key: KeyId| matches!(judged[key.index()], Judged::Repeats | Judged::Blind);
        let all_of = |key: KeyId| is_left(key).then_some(counts[key.index()] as usize);
        let left = object.collect(object.all(), all_of, |_, _| true);
        let left_by_zones = left.len();
        let not_by_versions = |of_key: &OfKey| versions::order(object, of_key).is_none();
        let to_search: Vec<OfKey> = left.into_iter().filter(not_by_versions).collect();
        let by_versions = left_by_zones - to_search.len();
        report.methods.push(method(keys - left_by_zones, by_versions, to_search.len()));
        self.search(object, to_search, report);
    }
}

/// How the keys were judged, in words.
fn method(by_zones: usize, by_versions: usize, searched: usize) -> String {
    let used = [("zones", by_zones), ("versions", by_versions), ("interval search", searched)];
    let used: Vec<(&str, usize)> = used.into_iter().filter(|(_, keys)| *keys > 0).collect();
    match used[..] {
        [(one, _)] => one.to_owned(),
        _ => {
            let mut words =
                used.iter().map(|(method, keys)| format!("{method} on {keys}")).collect::<Vec<_>>();
            words[0] += " keys";
            words.join(", ")
        }
    }
}

impl Linearizable {
    /// Judges the keys that nothing cheaper applies to.
    fn search(&self, object: &Registers<'_>, mut keys: Vec<OfKey>, report: &mut Report) {
        for of_key in &mut keys {
            of_key.leave_out_unseen();
        }
        // What is plainly wrong needs no search, which may not come to an end.
        keys.retain(|of_key| {
            let Some(found) = overwritten::find(object.initial, &of_key.calls) else { return true };
            report.anomalies.push(if self.settings.explain {
                witness::of_overwritten(object, of_key, &found)
            } else {
                unexplained(object.history, of_key.ids[found.read])
            });
            false
        });
        let start = CasRegister(object.initial);
        let calls: Vec<(CasRegister<ValueId>, &[RegisterCall])> =
            keys.iter().map(|of_key| (start, &of_key.calls[..])).collect();
        let found = Rounds::new(&self.settings.limits).run(&calls);
        for (of_key, found) in keys.iter().zip(found) {
            match found {
                Found::Order => {}
                Found::NoOrder { stuck } => {
                    report.anomalies.push(if self.settings.explain {
                        witness::of_search(object, of_key, stuck)
                    } else {
                        unexplained(object.history, of_key.ids[stuck])
                    });
                }
                Found::Exhausted { stuck, of } => {
                    let (key, calls) = (of_key.key, &of_key.calls);
                    report.exhausted(object.history, &self.settings, key, (stuck, of), calls);
                }
                Found::TooWide { open } => report.too_wide(object.history, of_key.key, open),
            }
        }
    }
}

/// A violation, by the operation at which it was found.
fn unexplained(history: &History, at: OperationId) -> Anomaly {
    anomaly(history, vec![at], at, (NOT_LINEARIZABLE, Vec::new(), None))
}

/// A violation: the operations that prove it, the one at which it shows, its name and what follows.
fn anomaly(
    history: &History,
    operations: Vec<OperationId>,
    at: OperationId,
    (name, conclusion, contrast): Named,
) -> Anomaly {
    let of = |id: &OperationId| sentence(history, &history.operation(*id));
    let explanation = operations.iter().map(of).chain(conclusion).collect();
    let last = history.operation(at);
    Anomaly {
        name: name.to_owned(),
        guarantee: GUARANTEE,
        at: last.completed_at.unwrap_or(last.invoked_at),
        key: Some(history.key(*last.op.key()).clone()),
        witness: Witness { operations, faults: history.faults_on(last.invoked) },
        contrast,
        explanation,
    }
}

/// A history, read as one of registers.
struct Registers<'a> {
    history: &'a History,
    initial: ValueId,
}

impl<'a> Registers<'a> {
    fn new(history: &'a History) -> Registers<'a> {
        Registers { history, initial: history.initial_id() }
    }

    /// All operations.
    fn all(&self) -> Range<usize> {
        0..self.history.operation_count()
    }

    /// All operations, some at a time.
    fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let Range { start, end } = self.all();
        (start..end).step_by(BLOCK).map(move |first| first..end.min(first + BLOCK))
    }

    /// Those of the judged operations that are wanted, key by key, in the order of the keys'
    /// numbers; of the keys that are wanted it is said how many operations there is to be room for.
    fn collect(
        &self,
        among: impl Iterator<Item = usize>,
        wanted: impl Fn(KeyId) -> Option<usize>,
        also: impl Fn(KeyId, &RegisterCall) -> bool,
    ) -> Vec<OfKey> {
        let mut places: Vec<Option<usize>> = vec![None; self.history.key_count()];
        let mut keys: Vec<OfKey> = Vec::new();
        for key in (0..self.history.key_count() as u32).map(KeyId) {
            let Some(room) = wanted(key) else { continue };
            places[key.index()] = Some(keys.len());
            let (ids, calls) = (Vec::with_capacity(room), Vec::with_capacity(room));
            keys.push(OfKey { key, ids, calls });
        }
        if keys.is_empty() {
            return keys;
        }
        for index in among {
            let key = self.history.key_of(index);
            let Some(place) = places[key.index()] else { continue };
            let call = self.call(&self.history.bare(index));
            if let Some(call) = call.filter(|call| also(key, call)) {
                keys[place].ids.push(OperationId(index as u32));
                keys[place].calls.push(call);
            }
        }
        keys
    }

    /// The operation as the methods see it, unless it is none to be judged.
    #[inline(always)]
    fn call(&self, operation: &Bare<'_>) -> Option<RegisterCall> {
        let op = match operation.op {
            Op::Read { level: ReadLevel::Replica, .. } => return None,
            Op::Read { .. } => CasOp::Read,
            Op::Write { value, .. } => CasOp::Write(value),
            Op::Cas { from, to, .. } => CasOp::Cas(from, to),
            Op::Delete { .. } => CasOp::Write(ValueId::NIL),
            _ => return None,
        };
        let ret = match operation.outcome {
            Some(Outcome::Ok(Ret::Value(ValueId::NIL)))
                if self.history.nil_reads() == NilReads::Unknown =>
            {
                return None;
            }
            Some(Outcome::Ok(Ret::Value(value))) => Some(CasRet::Value(*value)),
            Some(Outcome::Ok(Ret::Done)) => Some(CasRet::Done),
            Some(Outcome::Fail(Reason::Mismatch { actual })) => Some(CasRet::Mismatch(*actual)),
            Some(Outcome::Fail(_)) => return None,
            Some(Outcome::Info(_)) | None if op == CasOp::Read => return None,
            Some(Outcome::Info(_)) | None => None,
        };
        let completed = operation.completed.map_or(u32::MAX, |event| event.0);
        Some(Call { op, ret, invoked: operation.invoked.0, completed })
    }
}

/// The value that a call shows the key to have held.
fn seen(call: &RegisterCall) -> Option<ValueId> {
    match (&call.op, &call.ret) {
        (_, Some(CasRet::Value(value) | CasRet::Mismatch(Some(value)))) => Some(*value),
        (CasOp::Cas(from, _), Some(CasRet::Done)) => Some(*from),
        _ => None,
    }
}

/// The value that the key holds after a call, if it took effect.
fn written(call: &RegisterCall) -> Option<ValueId> {
    match (&call.op, &call.ret) {
        (_, Some(CasRet::Mismatch(_))) | (CasOp::Read, _) => None,
        (CasOp::Write(value) | CasOp::Cas(_, value), _) => Some(*value),
    }
}

/// Whether a call saw only what the key did *not* hold.
fn is_blind(call: &RegisterCall) -> bool {
    call.ret == Some(CasRet::Mismatch(None))
}

impl OfKey {
    /// Leaves out unanswered operations whose value nobody saw.
    fn leave_out_unseen(&mut self) {
        if self.calls.iter().any(is_blind) {
            // Any write may explain why the key did not hold something.
            return;
        }
        let mut seen_values: FxHashSet<ValueId> = self.calls.iter().filter_map(seen).collect();
        // A compare-and-set that took effect saw what it replaced, too.
        let mut replaced: FxHashMap<ValueId, Vec<ValueId>> = FxHashMap::default();
        for call in self.calls.iter().filter(|call| call.ret.is_none()) {
            if let CasOp::Cas(from, to) = call.op {
                replaced.entry(to).or_default().push(from);
            }
        }
        let mut to_follow: Vec<ValueId> = seen_values.iter().copied().collect();
        while let Some(value) = to_follow.pop() {
            for from in replaced.get(&value).into_iter().flatten() {
                if seen_values.insert(*from) {
                    to_follow.push(*from);
                }
            }
        }
        let stays = |call: &RegisterCall| {
            call.ret.is_some() || written(call).is_some_and(|value| seen_values.contains(&value))
        };
        let mut place = 0;
        self.ids.retain(|_| {
            place += 1;
            stays(&self.calls[place - 1])
        });
        self.calls.retain(stays);
    }
}

//! The order that proves a valid verdict: for each key, which operation took effect after which.
//!
//! Registers of unique values are ordered as the proof in [`zones`](super::zones) says: chain after
//! chain, level after level. Whatever was searched has the order that the search found. Anybody can
//! replay it: it keeps to the times of the operations, and each answer is what the object gives at
//! that place.

use rustc_hash::FxHashMap;

use super::search::{Budget, Call, Found, order};
use super::zones::{Judged, Zones};
use super::{Linearizable, OfKey, RegisterCall, Registers, Report, objects, seen, written};
use crate::checker::{Checker, Limits};
use crate::history::{History, KeyId, OperationId, ValueId};
use crate::model::SequentialSpec;
use crate::model::cas_register::{CasOp, CasRegister};
use crate::verdict::Verdict;

/// The order of one key's operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linearization {
    /// The key.
    pub key: KeyId,
    /// Its operations in the order in which they took effect. An operation without an answer is
    /// among them where it had an effect; failed ones that showed nothing, reads without an answer
    /// and reads of replicas are not.
    pub operations: Vec<OperationId>,
}

impl Linearizable {
    /// The orders that prove the history linearizable, in the order of the keys' numbers.
    ///
    /// # Errors
    /// The verdict, where it is not valid: then there is no order, or none is known.
    pub fn linearizations(&self, history: &History) -> Result<Vec<Linearization>, Verdict> {
        let verdict = self.check(history);
        if !verdict.is_valid() {
            return Err(verdict);
        }
        let models = objects::models(history, &self.settings, &mut Report::default());
        let object = Registers::new(history, &self.settings);
        let is_register = |key: KeyId| models[key.index()] == Some(objects::Model::Register);
        let mut zones = Zones::new(history.key_count(), history.value_count(), object.initial);
        let mut keys = object.collect(is_register, |_, _| true);
        for of_key in &keys {
            of_key.calls.iter().for_each(|call| zones.add(of_key.key, call));
        }
        let judged = zones.judge();
        let mut found: Vec<Linearization> = keys
            .iter_mut()
            .map(|of_key| {
                let places = if judged[of_key.key.index()] == Judged::Order {
                    of_zones(object.initial, &of_key.calls)
                } else {
                    of_key.leave_out_unseen();
                    self.found_again(&CasRegister(object.initial), &of_key.calls)
                };
                of_key.linearization(&places)
            })
            .collect();
        found.extend(objects::linearizations(self, history, &models));
        found.sort_by_key(|of_key| of_key.key.0);
        Ok(found)
    }

    /// The order that made the verdict valid.
    pub(super) fn found_again<S: SequentialSpec>(
        &self,
        start: &S,
        calls: &[Call<S>],
    ) -> Vec<usize> {
        let Limits { states_max: states, search_bytes_max: bytes, .. } = self.settings.limits;
        let found: Result<Vec<usize>, Found> = order(start, calls, &mut Budget { states, bytes });
        found.expect("the same search found an order before, with no more states")
    }
}

impl OfKey {
    fn linearization(&self, places: &[usize]) -> Linearization {
        let operations = places.iter().map(|place| self.ids[*place]).collect();
        Linearization { key: self.key, operations }
    }
}

/// One value of the key.
#[derive(Default)]
struct Cluster {
    writer: Option<usize>,
    /// In the order of invocation.
    reads: Vec<usize>,
    source: Option<ValueId>,
    next: Option<ValueId>,
    /// Whether it took effect for certain.
    is_active: bool,
}

/// The order of calls that the zones of their values prove to have one.
fn of_zones(initial: ValueId, calls: &[RegisterCall]) -> Vec<usize> {
    let clusters = clusters(initial, calls);
    let mut chains: Vec<(u64, u64, Vec<usize>)> = Vec::new();
    let mut forward: Vec<(u64, u64)> = Vec::new();
    let mut first = Vec::new();
    for (value, root) in &clusters {
        if !root.is_active || root.source.is_some() {
            continue;
        }
        let places = block(&clusters, *value);
        if *value == initial {
            first = places;
            continue;
        }
        let returns = |place: &usize| match calls[*place].ret {
            Some(_) => u64::from(calls[*place].completed),
            None => u64::MAX,
        };
        let f = places.iter().map(returns).min().expect("a chain begins with a write");
        let s = places.iter().map(|place| u64::from(calls[*place].invoked)).max();
        let s = s.expect("a chain begins with a write");
        if f < s {
            forward.push((f, s));
        }
        chains.push((f, s, places));
    }
    forward.sort_unstable();
    // Moments are doubled: there is one between any two events.
    let moment = |f: u64, s: u64| {
        if f < s {
            return 2 * f;
        }
        // The forward zone that the backward one begins in, if there is one, ends before it does.
        let before = forward.partition_point(|(begin, _)| *begin < s);
        let within = before.checked_sub(1).map(|last| forward[last].1).filter(|end| s < *end);
        within.map_or(2 * s, |end| 2 * end + 1)
    };
    chains.sort_by_key(|(f, s, _)| (moment(*f, *s), *s));
    let rest = chains.into_iter().flat_map(|(_, _, places)| places);
    first.into_iter().chain(rest).collect()
}

fn clusters(initial: ValueId, calls: &[RegisterCall]) -> FxHashMap<ValueId, Cluster> {
    let mut clusters: FxHashMap<ValueId, Cluster> = FxHashMap::default();
    clusters.insert(initial, Cluster { is_active: true, ..Cluster::default() });
    let mut active = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        if let Some(value) = written(call) {
            let cluster = clusters.entry(value).or_default();
            cluster.writer = Some(place);
            if let CasOp::Cas(from, _) = call.op {
                cluster.source = Some(from);
            }
            if call.ret.is_some() {
                active.push(value);
            }
        } else if let Some(value) = seen(call) {
            clusters.entry(value).or_default().reads.push(place);
            active.push(value);
        }
    }
    while let Some(value) = active.pop() {
        let cluster = clusters.entry(value).or_default();
        cluster.is_active = true;
        if let Some(source) = cluster.source {
            let replaced = clusters.entry(source).or_default();
            if replaced.next.replace(value).is_none() {
                active.push(source);
            }
        }
    }
    clusters
}

/// The operations of a chain, level by level.
fn block(clusters: &FxHashMap<ValueId, Cluster>, root: ValueId) -> Vec<usize> {
    let mut places = Vec::new();
    let mut level = Some(root);
    while let Some(value) = level {
        let cluster = &clusters[&value];
        places.extend(cluster.writer);
        places.extend(&cluster.reads);
        level = cluster.next;
    }
    places
}

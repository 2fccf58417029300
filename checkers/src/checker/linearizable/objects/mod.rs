//! Objects that are no registers: a key at a time, by search.

use std::collections::{BTreeMap, BTreeSet};

use super::rounds::Rounds;
use super::{Linearizable, Linearization, Report, Settings, anomaly, unexplained};
use crate::checker::keys::{Keys, Model};
use crate::checker::linearizable::search::{Budget, Call, Found, search};
use crate::checker::linearizable::shrink::Part;
use crate::history::{History, KeyId, Op, Operation, OperationId, ReadLevel, Value};
use crate::model::SequentialSpec;
use crate::model::append_string::AppendString;
use crate::model::counter::Counter;
use crate::model::fifo_queue::FifoQueue;
use crate::model::multi_register::MultiRegister;
use crate::model::mutex::Mutex;
use crate::model::set::Set;
use crate::verdict::Anomaly;
use calls::{Given, NoOrder, Object, Strange};

mod bonds;
mod calls;
mod pieces;
mod proof;
mod queue;
mod set;
mod sums;
mod words;

/// The calls of one key, as a model sees them.
struct OfKey<S: SequentialSpec> {
    key: KeyId,
    ids: Vec<OperationId>,
    start: S,
    /// The operation that shows the start, where it is not that of the history.
    shown_by: Option<OperationId>,
    calls: Vec<Call<S>>,
    /// Unanswered calls that no order of all these calls can use. One of some of them may: whatever
    /// is concluded from a part has to reckon with them.
    left_out: Vec<(OperationId, Call<S>)>,
}

/// A smaller object, which has an order where the whole has one; its calls, with what they are known by.
#[derive(Clone)]
struct Smaller<K, S: SequentialSpec> {
    start: S,
    /// The call that shows the start, where it is not that of the whole.
    shown_by: Option<K>,
    calls: Part<K, S>,
}

/// Judges every key that is no register.
pub(super) fn judge(history: &History, settings: &Settings, keys: &Keys, report: &mut Report) {
    let judge = Judge { history, settings, keys };
    judge.run::<AppendString>(report);
    judge.run::<Set<Value>>(report);
    judge.run::<Counter>(report);
    judge.run::<FifoQueue<Value>>(report);
    judge.run::<Mutex>(report);
    judge.run::<MultiRegister<Value, Value>>(report);
}

/// The orders of the keys that are no registers, of a history that was judged valid.
pub(super) fn linearizations(
    checker: &Linearizable,
    history: &History,
    keys: &Keys,
) -> Vec<Linearization> {
    let judge = Judge { history, settings: &checker.settings, keys };
    [
        judge.order::<AppendString>(checker),
        judge.order::<Set<Value>>(checker),
        judge.order::<Counter>(checker),
        judge.order::<FifoQueue<Value>>(checker),
        judge.order::<Mutex>(checker),
        judge.order::<MultiRegister<Value, Value>>(checker),
    ]
    .concat()
}

struct Judge<'a> {
    history: &'a History,
    settings: &'a Settings,
    keys: &'a Keys,
}

impl Judge<'_> {
    /// Judges the keys of one model.
    fn run<S: Object>(&self, report: &mut Report) {
        let objects = self.collect::<S>(report);
        if objects.is_empty() {
            return;
        }
        let (mut judged, mut to_search) = (Vec::new(), Vec::new());
        for object in objects {
            match object.start.order(&object.calls) {
                Some(Ok(_)) => judged.push((object, Found::Order)),
                Some(Err(NoOrder)) => {
                    let object = object.or_what_is_wrong();
                    let last = object.calls.iter().rposition(|call| call.ret.is_some());
                    let stuck = last.expect("calls without an answer break nothing");
                    judged.push((object, Found::NoOrder { stuck }));
                }
                None => to_search.push(object.or_what_is_wrong()),
            }
        }
        for (method, keys) in [(S::METHOD, judged.len()), ("interval search", to_search.len())] {
            if keys > 0 {
                report.methods.push(format!("{method} of {} on {keys}", S::MODEL.name()));
            }
        }
        let calls: Vec<(S, &[Call<S>])> =
            to_search.iter().map(|object| (object.start.clone(), &object.calls[..])).collect();
        let searched = Rounds::new(&self.settings.limits).run(&calls);
        judged.extend(to_search.into_iter().zip(searched));
        for (object, found) in judged {
            match found {
                Found::Order => {}
                Found::NoOrder { stuck } if self.settings.explain => {
                    report.anomalies.push(proof::explain(self.history, &object, stuck));
                }
                Found::NoOrder { stuck } => {
                    report.anomalies.push(unexplained(self.history, object.ids[stuck]));
                }
                Found::Exhausted { stuck, of } => {
                    let at = (stuck, of);
                    report.exhausted(self.history, self.settings, object.key, at, &object.calls);
                }
                Found::TooWide { open } => report.too_wide(self.history, object.key, open),
            }
        }
    }

    /// The orders of the keys of one model.
    fn order<S: Object>(&self, checker: &Linearizable) -> Vec<Linearization> {
        let of_object = |object: OfKey<S>| {
            let places = match object.start.order(&object.calls) {
                Some(Ok(places)) => places,
                _ => checker.found_again(&object.start, &object.calls),
            };
            let operations = places.into_iter().map(|place| object.ids[place]).collect();
            Linearization { key: object.key, operations }
        };
        self.collect::<S>(&mut Report::default()).into_iter().map(of_object).collect()
    }

    /// The calls of the keys of one model, without those that no order needs.
    fn collect<S: Object>(&self, report: &mut Report) -> Vec<OfKey<S>> {
        if !self.keys.models.contains(&Some(S::MODEL)) {
            return Vec::new();
        }
        let (initial, nil_reads) = (self.history.initial(), self.history.nil_reads());
        let Some(start) = S::start(initial) else {
            report.reasons.push(format!("no {} begins as {initial}", S::MODEL.name()));
            report.coverage.keys += self.keys.count(S::MODEL);
            return Vec::new();
        };
        let mut keys: BTreeMap<KeyId, OfKey<S>> = BTreeMap::new();
        // Keys that turn out to be something else; what is wrong with answers on the others.
        let mut others: BTreeSet<KeyId> = BTreeSet::new();
        let mut strange: Vec<(KeyId, Anomaly)> = Vec::new();
        for operation in self.history.operations() {
            let key = *operation.op.key();
            if !self.keys.are(key, S::MODEL) || !self.says_something(&operation) {
                continue;
            }
            let value = operation.value_read().map(|value| self.history.value(value));
            let op = self.history.op(operation.id);
            match S::call(&Given { operation, op, value, nil_reads }) {
                Ok(Some((op, ret))) => {
                    report.shows |= ret.is_some() && value.is_some() || S::MODEL == Model::Mutex;
                    let of_key = keys.entry(key).or_insert_with(|| OfKey {
                        key,
                        ids: Vec::new(),
                        start: start.clone(),
                        shown_by: None,
                        calls: Vec::new(),
                        left_out: Vec::new(),
                    });
                    let invoked = operation.invoked.0;
                    let completed = operation.completed.map_or(u32::MAX, |event| event.0);
                    of_key.ids.push(operation.id);
                    of_key.calls.push(Call { op, ret, invoked, completed });
                }
                Ok(None) => {}
                Err(Strange::Answered(what)) => {
                    let (id, named) = (operation.id, ("strange-answer", vec![what], None));
                    strange.push((key, anomaly(self.history, vec![id], id, named)));
                }
                Err(Strange::Asked(what)) if others.insert(key) => {
                    let (key, model) = (self.history.key(key), S::MODEL.name());
                    report.reasons.push(format!("key {key} is no {model}: {what}"));
                    report.coverage.keys += 1;
                }
                Err(Strange::Asked(_)) => {}
            }
        }
        strange.retain(|(key, _)| !others.contains(key));
        report.anomalies.extend(strange.into_iter().map(|(_, anomaly)| anomaly));
        keys.retain(|key, _| !others.contains(key));
        for of_key in keys.values_mut() {
            report.coverage.operations += of_key.calls.len();
            report.coverage.keys += 1;
            of_key.keep_needed();
        }
        keys.into_values().collect()
    }

    /// Whether an operation says anything about what its object holds.
    fn says_something(&self, operation: &Operation<'_>) -> bool {
        !operation.has_failed()
            && match operation.op {
                Op::Read { level: ReadLevel::Replica, .. } => false,
                _ => !operation.is_silent(),
            }
    }
}

impl<S: Object> OfKey<S> {
    /// Leaves out unanswered calls that no order needs.
    fn keep_needed(&mut self) {
        if self.calls.iter().any(|call| call.ret.is_none()) {
            self.keep(&self.start.needed(&self.calls));
            let usable = S::usable(&self.calls);
            let is_left_out = |place: &usize| usable.binary_search(place).is_err();
            let left_out = (0..self.calls.len()).filter(is_left_out);
            let left_out = left_out.map(|place| (self.ids[place], self.calls[place].clone()));
            self.left_out = left_out.collect();
            self.keep(&usable);
        }
    }

    /// The smaller object that has no order, where one of those that can be seen by themselves has none.
    fn or_what_is_wrong(self) -> OfKey<S> {
        /// States that each of them may take: most are judged with one for each call.
        const STATES_MAX: u64 = 10_000;
        let has_no_order = |part: &Smaller<usize, S>| {
            let calls: Vec<Call<S>> = part.calls.iter().map(|(_, call)| call.clone()).collect();
            if let Some(order) = part.start.order(&calls) {
                return order.is_err();
            }
            let mut budget = Budget::of_states(STATES_MAX + 2 * calls.len() as u64);
            matches!(search(&part.start, &calls, &mut budget), Found::NoOrder { .. })
        };
        let Some(part) = self.start.projections(&self.calls).find(has_no_order) else {
            return self;
        };
        let shown_by = part.shown_by.map(|place| self.ids[place]).or(self.shown_by);
        let (places, calls): (Vec<usize>, Vec<Call<S>>) = part.calls.into_iter().unzip();
        let ids = places.into_iter().map(|place| self.ids[place]).collect();
        OfKey { ids, calls, start: part.start, shown_by, ..self }
    }

    fn keep(&mut self, places: &[usize]) {
        if places.len() < self.calls.len() {
            self.ids = places.iter().map(|place| self.ids[*place]).collect();
            self.calls = places.iter().map(|place| self.calls[*place].clone()).collect();
        }
    }
}

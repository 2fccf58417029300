//! Objects that are no registers: which model each key is judged by, and the operations as that
//! model sees them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rounds::Rounds;
use super::{GUARANTEE, Linearizable, Linearization, Report, Settings, unexplained};
use crate::checker::linearizable::search::{Budget, Call, Found, search};
use crate::checker::words::sentence;
use crate::history::{
    History, KeyId, Op, OpKind, Operation, OperationId, Outcome, ReadLevel, Value,
};
use crate::model::SequentialSpec;
use crate::model::append_string::{AppendOp, AppendRet, AppendString};
use crate::model::counter::{Counter, CounterOp, CounterRet};
use crate::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};
use crate::model::multi_register::{MultiRegister, Step};
use crate::model::mutex::{Mutex, MutexOp, MutexRet};
use crate::model::set::{Set, SetOp, SetRet};
use crate::verdict::{Anomaly, Witness};

/// What a key is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    /// Whatever its operations say.
    #[default]
    Auto,
    /// A register; also with compare-and-set.
    Register,
    /// A text that is added to.
    AppendString,
    /// A set.
    Set,
    /// A counter.
    Counter,
    /// A queue.
    FifoQueue,
    /// A lock.
    Mutex,
    /// Registers that transactions read and write.
    MultiRegister,
}

impl Model {
    /// Every model, with the name in flags.
    pub const ALL: [(&'static str, Model); 10] = [
        ("auto", Model::Auto),
        ("register", Model::Register),
        ("cas-register", Model::Register),
        ("append-string-kv", Model::AppendString),
        ("append-string", Model::AppendString),
        ("set", Model::Set),
        ("counter", Model::Counter),
        ("fifo-queue", Model::FifoQueue),
        ("mutex", Model::Mutex),
        ("multi-register", Model::MultiRegister),
    ];

    fn name(self) -> &'static str {
        let known = Model::ALL.iter().rev().find(|(_, model)| *model == self);
        known.map(|(name, _)| *name).expect("every model is in the table")
    }

    /// What can be asked of it, besides what it is chosen by.
    fn offers(self, kind: OpKind) -> bool {
        match self {
            Model::Auto => true,
            Model::Register => OpKind::REGISTER.contains(&kind),
            Model::AppendString => {
                matches!(kind, OpKind::Read | OpKind::Write | OpKind::Append)
            }
            Model::Set => matches!(kind, OpKind::Read | OpKind::Add | OpKind::Remove),
            Model::Counter => matches!(kind, OpKind::Read | OpKind::Increment),
            Model::FifoQueue => matches!(kind, OpKind::Enqueue | OpKind::Dequeue),
            Model::Mutex => matches!(kind, OpKind::Acquire | OpKind::Release),
            Model::MultiRegister => kind == OpKind::Txn,
        }
    }

    /// The model that offers all of the kinds, if there is one.
    fn of(kinds: &BTreeSet<OpKind>) -> Option<Model> {
        let models = Model::ALL.iter().map(|(_, model)| *model).skip(1);
        models.into_iter().find(|model| kinds.iter().all(|kind| model.offers(*kind)))
    }
}

/// What each key is judged by; none where no model fits it, with the reason in the report.
pub(super) fn models(
    history: &History,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Option<Model>> {
    let mut kinds: Vec<BTreeSet<OpKind>> = vec![BTreeSet::new(); history.key_count()];
    for index in 0..history.operation_count() {
        let op = history.bare(index).op;
        let of_key = &mut kinds[op.key().index()];
        if !of_key.contains(&op.kind()) {
            of_key.insert(op.kind());
        }
    }
    let mut models = Vec::new();
    for (key, kinds) in (0..).map(KeyId).zip(&kinds) {
        let model = match settings.model {
            Model::Auto => Model::of(kinds),
            model => Some(model).filter(|model| kinds.iter().all(|kind| model.offers(*kind))),
        };
        // A generator of unique values has a checker of its own.
        if model.is_none() && !kinds.contains(&OpKind::Generate) {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let which = match settings.model {
                Model::Auto => "no model offers".to_owned(),
                model => format!("the model {} does not offer", model.name()),
            };
            report.reasons.push(format!(
                "{which} all that is asked of key {}: {}",
                history.key(key),
                names.join(", ")
            ));
        }
        models.push(model);
    }
    models
}

/// The operations of one key, as a model sees them.
struct Object<S: SequentialSpec> {
    key: KeyId,
    ids: Vec<OperationId>,
    start: S,
    calls: Vec<Call<S>>,
}

/// Judges every key that is no register.
pub(super) fn judge(
    history: &History,
    settings: &Settings,
    models: &[Option<Model>],
    report: &mut Report,
) {
    let judge = Judge { history, settings, models };
    judge.run(Model::AppendString, report, |calls| append_start(settings, calls), append_call);
    judge.run(Model::Set, report, |_| Set::default(), set_call);
    judge.run(Model::Counter, report, |_| Counter::default(), counter_call);
    judge.run(Model::FifoQueue, report, |_| FifoQueue(VecDeque::new()), queue_call);
    judge.run(Model::Mutex, report, |_| Mutex::default(), mutex_call);
    judge.run(Model::MultiRegister, report, |_| MultiRegister::default(), txn_call);
}

/// The orders of the keys that are no registers, of a history that was judged valid.
pub(super) fn linearizations(
    checker: &Linearizable,
    history: &History,
    models: &[Option<Model>],
) -> Vec<Linearization> {
    let settings = &checker.settings;
    let judge = Judge { history, settings, models };
    [
        judge.order(
            checker,
            Model::AppendString,
            |calls| append_start(settings, calls),
            append_call,
        ),
        judge.order(checker, Model::Set, |_| Set::default(), set_call),
        judge.order(checker, Model::Counter, |_| Counter::default(), counter_call),
        judge.order(checker, Model::FifoQueue, |_| FifoQueue(VecDeque::new()), queue_call),
        judge.order(checker, Model::Mutex, |_| Mutex::default(), mutex_call),
        judge.order(checker, Model::MultiRegister, |_| MultiRegister::default(), txn_call),
    ]
    .concat()
}

/// What was asked, and the answer where there is one.
type Asked<S> = (<S as SequentialSpec>::Op, Option<<S as SequentialSpec>::Ret>);

/// An operation that a model does not know: what is wrong with it.
type Strange = String;

struct Judge<'a> {
    history: &'a History,
    settings: &'a Settings,
    models: &'a [Option<Model>],
}

impl Judge<'_> {
    /// Judges the keys of one model.
    fn run<S>(
        &self,
        model: Model,
        report: &mut Report,
        start: impl Fn(&[Call<S>]) -> S,
        call: impl Fn(&Operation<'_>, &Op, Option<&Value>) -> Result<Option<Asked<S>>, Strange>,
    ) where
        S: SequentialSpec + Send + Sync,
        S::Op: Send + Sync,
        S::Ret: Send + Sync,
    {
        if !self.models.contains(&Some(model)) {
            return;
        }
        let objects = self.collect(model, report, start, call);
        for object in &objects {
            report.coverage.operations += object.calls.len();
            report.coverage.keys += 1;
        }
        if objects.is_empty() {
            return;
        }
        report.methods.push(format!("interval search of {} on {}", model.name(), objects.len()));
        let calls: Vec<(S, &[Call<S>])> =
            objects.iter().map(|object| (object.start.clone(), &object.calls[..])).collect();
        let found = Rounds::new(&self.settings.limits).run(&calls);
        for (object, found) in objects.iter().zip(found) {
            match found {
                Found::Order => {}
                Found::NoOrder { stuck } if self.settings.explain => {
                    report.anomalies.push(self.explain(object, stuck));
                }
                Found::NoOrder { stuck } => {
                    report.anomalies.push(unexplained(self.history, object.key, object.ids[stuck]));
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
    fn order<S: SequentialSpec>(
        &self,
        checker: &Linearizable,
        model: Model,
        start: impl Fn(&[Call<S>]) -> S,
        call: impl Fn(&Operation<'_>, &Op, Option<&Value>) -> Result<Option<Asked<S>>, Strange>,
    ) -> Vec<Linearization> {
        let of_object = |object: Object<S>| {
            let places = checker.found_again(&object.start, &object.calls);
            let operations = places.into_iter().map(|place| object.ids[place]).collect();
            Linearization { key: object.key, operations }
        };
        let objects = self.collect(model, &mut Report::default(), start, call);
        objects.into_iter().map(of_object).collect()
    }

    fn collect<S: SequentialSpec>(
        &self,
        model: Model,
        report: &mut Report,
        start: impl Fn(&[Call<S>]) -> S,
        call: impl Fn(&Operation<'_>, &Op, Option<&Value>) -> Result<Option<Asked<S>>, Strange>,
    ) -> Vec<Object<S>> {
        let mut places: Vec<Option<usize>> = vec![None; self.models.len()];
        let mut objects: Vec<(KeyId, Vec<OperationId>, Vec<Call<S>>)> = Vec::new();
        for operation in self.history.operations() {
            let key = *operation.op.key();
            let is_weak = matches!(operation.op, Op::Read { level: ReadLevel::Replica, .. });
            let is_failed = matches!(operation.outcome, Some(Outcome::Fail(_)));
            if self.models[key.index()] != Some(model) || is_weak || is_failed {
                continue;
            }
            let value = operation.value_read().map(|value| self.history.value(value));
            let op = self.history.op(operation.id);
            match call(&operation, &op, value) {
                Ok(Some((op, ret))) => {
                    let place = *places[key.index()].get_or_insert_with(|| {
                        objects.push((key, Vec::new(), Vec::new()));
                        objects.len() - 1
                    });
                    report.shows |= ret.is_some() && value.is_some() || model == Model::Mutex;
                    let completed = operation.completed.map_or(u32::MAX, |event| event.0);
                    objects[place].1.push(operation.id);
                    objects[place].2.push(Call {
                        op,
                        ret,
                        invoked: operation.invoked.0,
                        completed,
                    });
                }
                Ok(None) => {}
                Err(strange) => report.anomalies.push(self.strange(&operation, strange)),
            }
        }
        let finish = |(key, ids, calls): (KeyId, Vec<OperationId>, Vec<Call<S>>)| Object {
            key,
            ids,
            start: start(&calls),
            calls,
        };
        objects.into_iter().map(finish).collect()
    }

    /// An answer that is none of the model's.
    fn strange(&self, operation: &Operation<'_>, strange: Strange) -> Anomaly {
        Anomaly {
            name: "strange-answer".to_owned(),
            guarantee: GUARANTEE,
            at: operation.completed_at.unwrap_or(operation.invoked_at),
            key: Some(self.history.key(*operation.op.key()).clone()),
            witness: Witness {
                operations: vec![operation.id],
                faults: self.history.faults_on(operation.invoked),
            },
            explanation: vec![sentence(self.history, operation), strange],
        }
    }

    /// What is left up to the operation that no order gets past, without the answers that are not
    /// needed: without an operation that changes nothing, an order of the others is an order still.
    fn explain<S: SequentialSpec>(&self, object: &Object<S>, stuck: usize) -> Anomaly {
        /// States that all attempts may take together.
        const STATES_MAX: u64 = 200_000;
        let end = object.calls[stuck].completed;
        let mut kept: Vec<usize> = Vec::new();
        let mut calls: Vec<Call<S>> = Vec::new();
        for (place, call) in object.calls.iter().enumerate().filter(|(_, call)| call.invoked <= end)
        {
            let mut call = call.clone();
            if call.completed > end {
                call.ret = None;
            }
            kept.push(place);
            calls.push(call);
        }
        let is_pure = |call: &Call<S>| match &call.ret {
            Some(ret) => S::is_pure(&call.op, ret),
            // Without an answer, it need not have had an effect at all: but it may.
            None => false,
        };
        let mut states_left = STATES_MAX;
        let mut size = kept.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < kept.len() && states_left > 0 {
                let to = (from + size).min(kept.len());
                let stays = |place: usize| {
                    !(from..to).contains(&place) || kept[place] == stuck || !is_pure(&calls[place])
                };
                let rest: Vec<usize> = (0..kept.len()).filter(|place| stays(*place)).collect();
                from = to;
                if rest.len() == kept.len() {
                    continue;
                }
                let fewer: Vec<Call<S>> = rest.iter().map(|place| calls[*place].clone()).collect();
                let share = states_left.min(STATES_MAX / 10);
                let mut left = Budget::of_states(share);
                let found = search(&object.start, &fewer, &mut left);
                states_left =
                    states_left.saturating_sub((share - left.states).max(fewer.len() as u64));
                if matches!(found, Found::NoOrder { .. }) {
                    from = to - (kept.len() - rest.len());
                    kept = rest.into_iter().map(|place| kept[place]).collect();
                    calls = fewer;
                }
            }
            size /= 2;
        }
        let history = self.history;
        let last = history.operation(object.ids[stuck]);
        let operations: Vec<OperationId> =
            kept.into_iter().map(|place| object.ids[place]).collect();
        let mut explanation: Vec<String> =
            operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
        explanation.push(format!(
            "no order of these operations that keeps to their times explains the answer of process \
             {} at {}",
            last.process,
            last.completed_at.unwrap_or(last.invoked_at),
        ));
        Anomaly {
            name: "not-linearizable".to_owned(),
            guarantee: GUARANTEE,
            at: last.completed_at.unwrap_or(last.invoked_at),
            key: Some(history.key(object.key).clone()),
            witness: Witness { operations, faults: history.faults_on(last.invoked) },
            explanation,
        }
    }
}

/// An operation as a model sees it, with its answer; none for a read without one.
fn with<Q, R>(
    operation: &Operation<'_>,
    op: Q,
    ret: impl FnOnce() -> Result<R, Strange>,
) -> Result<Option<(Q, Option<R>)>, Strange> {
    let ret = if operation.is_ok() { Some(ret()?) } else { None };
    if ret.is_none() && !operation.op.kind().writes() {
        return Ok(None);
    }
    Ok(Some((op, ret)))
}

fn append_start(settings: &Settings, calls: &[Call<AppendString>]) -> AppendString {
    let mut puts_left: BTreeMap<String, u32> = BTreeMap::new();
    for call in calls {
        if let AppendOp::Put(text) = &call.op {
            *puts_left.entry(text.clone()).or_default() += 1;
        }
    }
    let text = match &settings.initial {
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    };
    AppendString { text, puts_left }
}

fn append_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<AppendString>>, Strange> {
    let text = |value: &Value| match value {
        Value::Text(text) => Ok(text.to_string()),
        // A key that is absent holds no text.
        Value::Nil => Ok(String::new()),
        other => Err(format!("{other} is no text")),
    };
    let asked = match op {
        Op::Write { value, .. } => AppendOp::Put(text(value)?),
        Op::Append { value, .. } => AppendOp::Append(text(value)?),
        _ => AppendOp::Get,
    };
    with(operation, asked, || {
        value.map_or(Ok(AppendRet::Done), |value| text(value).map(AppendRet::Text))
    })
}

fn set_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<Set<Value>>>, Strange> {
    let asked = match op {
        Op::Add { value, .. } => SetOp::Add(value.clone()),
        Op::Remove { value, .. } => SetOp::Remove(value.clone()),
        _ => SetOp::Read,
    };
    with(operation, asked, || match value {
        None => Ok(SetRet::Done),
        Some(Value::Nil) => Ok(SetRet::Elements(Vec::new())),
        Some(Value::List(values)) => {
            let mut elements = values.to_vec();
            elements.sort();
            Ok(SetRet::Elements(elements))
        }
        Some(other) => Err(format!("{other} is no list of elements")),
    })
}

fn counter_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<Counter>>, Strange> {
    let number = |value: &Value| match value {
        Value::Int(number) => Ok(*number),
        Value::Nil => Ok(0),
        other => Err(format!("{other} is no whole number")),
    };
    let asked = match op {
        Op::Increment { by, .. } => CounterOp::Add(number(by)?),
        _ => CounterOp::Read,
    };
    with(operation, asked, || match value {
        None => Ok(CounterRet::Done),
        Some(value) => number(value).map(|number| CounterRet::Sum(i128::from(number))),
    })
}

fn queue_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<FifoQueue<Value>>>, Strange> {
    let asked = match op {
        Op::Enqueue { value, .. } => QueueOp::Enqueue(value.clone()),
        _ => QueueOp::Dequeue,
    };
    with(operation, asked, || {
        Ok(match value {
            None => QueueRet::Done,
            Some(Value::Nil) => QueueRet::Taken(None),
            Some(value) => QueueRet::Taken(Some(value.clone())),
        })
    })
}

fn mutex_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<Mutex>>, Strange> {
    // A client that loses its process is still who holds the lock.
    let client = operation.session.0;
    let asked = match op {
        Op::Acquire { .. } => MutexOp::Acquire(client),
        _ => MutexOp::Release(client),
    };
    with(operation, asked, || match value {
        None => Ok(MutexRet::Done),
        Some(Value::Int(token)) => Ok(MutexRet::Token(*token)),
        Some(other) => Err(format!("{other} is no fencing token")),
    })
}

fn txn_call(
    operation: &Operation<'_>,
    op: &Op,
    value: Option<&Value>,
) -> Result<Option<Asked<MultiRegister<Value, Value>>>, Strange> {
    let Op::Txn { body, .. } = op else { return Ok(None) };
    let asked = steps(body)?;
    let plain = asked.iter().map(|(step, _)| step.clone()).collect();
    with(operation, plain, || {
        let answered = steps(value.unwrap_or(&Value::Nil))?;
        let fits = answered.len() == asked.len()
            && answered.iter().zip(&asked).all(|((one, _), (other, _))| one == other);
        if !fits {
            return Err("the answer has other steps than the transaction".to_owned());
        }
        Ok(answered.into_iter().filter_map(|(_, read)| read).collect())
    })
}

/// A step of a transaction, and what it read where it reads.
type Answered = (Step<Value, Value>, Option<Value>);

/// The steps of a transaction of reads and writes.
fn steps(body: &Value) -> Result<Vec<Answered>, Strange> {
    let Value::List(steps) = body else { return Err(format!("{body} is no list of steps")) };
    let step = |step: &Value| {
        if let Value::List(parts) = step
            && let [Value::Text(name), key, value] = &parts[..]
        {
            match &**name {
                "r" | "read" => return Ok((Step::Read(key.clone()), Some(value.clone()))),
                "w" | "write" => return Ok((Step::Write(key.clone(), value.clone()), None)),
                _ => {}
            }
        }
        Err(format!("{step} is no step [\"r\" key nil] or [\"w\" key value]"))
    };
    steps.iter().map(step).collect()
}

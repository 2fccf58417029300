//! Transactions: lists of steps that take effect at once, in the shape of Jepsen and Elle.
//!
//! [`Txns`] reads them from a history, once, for all checkers of transactions: keys become numbers
//! without gaps, and what a transaction asked and what it learned become one list of steps. The
//! checker of list-append histories is [`ListAppend`].

mod anomalies;
mod cycles;
mod dependencies;
mod graph;
mod internal;
mod list_append;
mod versions;
mod words;

pub(super) use crate::brief::value_in_short as brief;

pub use anomalies::Level;
pub use list_append::ListAppend;

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::history::{
    EventIndex, History, Key, KeyId, Op, Operation, OperationId, SessionId, Value,
};
use crate::verdict::{Anomaly, Guarantee, Witness};

/// What a read holds that was not answered.
static NIL: Value = Value::Nil;

/// Every transaction of a history.
pub(super) struct Txns<'a> {
    pub(super) history: &'a History,
    /// In the order of invocation.
    list: Vec<Txn>,
    steps: Vec<Step<'a>>,
    /// The names of the keys.
    keys: Vec<&'a Value>,
    /// Transactions that answered something else than what was asked, and in which way.
    pub(super) misanswered: Vec<(OperationId, String)>,
}

/// One transaction.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    pub(super) id: OperationId,
    pub(super) session: SessionId,
    pub(super) invoked: EventIndex,
    /// Its completion; none where it may take effect at any later time.
    pub(super) over: Option<EventIndex>,
    pub(super) fate: Fate,
    /// Whether its reads say what they saw.
    pub(super) answered: bool,
    steps: Range<u32>,
}

/// What is known about whether a transaction took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It did.
    Committed,
    /// It may have, or may yet.
    Unknown,
    /// It never did.
    Aborted,
}

/// One step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) action: Action,
    pub(super) key: u32,
    /// What a read returned; `nil` if there was no answer. Otherwise, what was asked.
    pub(super) value: &'a Value,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
    Append,
    Inc,
}

impl Action {
    fn of(name: &Value) -> Option<Action> {
        match name {
            Value::Text(name) => match &**name {
                "r" => Some(Action::Read),
                "w" => Some(Action::Write),
                "append" => Some(Action::Append),
                "inc" => Some(Action::Inc),
                _ => None,
            },
            Value::Nil | Value::Int(_) | Value::List(_) => None,
        }
    }

    /// The name in a body.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Action::Read => "r",
            Action::Write => "w",
            Action::Append => "append",
            Action::Inc => "inc",
        }
    }
}

impl<'a> Txns<'a> {
    /// Reads the transactions of a history. Where one asks for what nobody understands, that is the
    /// mistake of who asked, and nothing can be judged: then, the reason. Keys begin with `nil`.
    pub(super) fn read(history: &'a History) -> Result<Txns<'a>, String> {
        let mut txns = Txns {
            history,
            list: Vec::new(),
            steps: Vec::new(),
            keys: Vec::new(),
            misanswered: Vec::new(),
        };
        let mut keys: FxHashMap<(KeyId, &'a Value), u32> = FxHashMap::default();
        for operation in history.operations() {
            let Op::Txn { key, body } = operation.op else { continue };
            if *history.initial() != Value::Nil {
                let initial = history.initial();
                return Err(format!("no transaction is judged on keys that begin as {initial}"));
            }
            let start = txns.steps.len();
            let malformed = |what: String| {
                format!("the transaction of operation {} cannot be read: {what}", operation.id)
            };
            for step in steps_of(history.value(body)).map_err(malformed)? {
                let (action, name, value) = parts(step).map_err(malformed)?;
                let number = *keys.entry((key, name)).or_insert_with(|| {
                    txns.keys.push(name);
                    (txns.keys.len() - 1) as u32
                });
                let value = if action == Action::Read { &NIL } else { value };
                txns.steps.push(Step { action, key: number, value });
            }
            txns.add(&operation, start);
        }
        Ok(txns)
    }

    fn add(&mut self, operation: &Operation<'a>, start: usize) {
        let fate = if operation.is_ok() {
            Fate::Committed
        } else if operation.is_indeterminate() {
            Fate::Unknown
        } else {
            Fate::Aborted
        };
        let mut answered = false;
        if let Some(answer) = operation.value_read() {
            match self.fill(start, self.history.value(answer)) {
                Ok(()) => answered = true,
                Err(what) => self.misanswered.push((operation.id, what)),
            }
        }
        self.list.push(Txn {
            id: operation.id,
            session: operation.session,
            invoked: operation.invoked,
            over: operation.completed.filter(|_| fate != Fate::Unknown),
            fate,
            answered,
            steps: start as u32..self.steps.len() as u32,
        });
    }

    /// Puts what a transaction answered into its reads; or tells how it does not fit.
    fn fill(&mut self, start: usize, answer: &'a Value) -> Result<(), String> {
        let answers = steps_of(answer)?;
        let asked = &mut self.steps[start..];
        if answers.len() != asked.len() {
            return Err(format!("{} steps were asked, {} answered", asked.len(), answers.len()));
        }
        let mut seen = Vec::with_capacity(asked.len());
        for (step, answer) in asked.iter().zip(answers) {
            let (action, key, value) = parts(answer)?;
            let fits = action == step.action
                && key == self.keys[step.key as usize]
                && (action == Action::Read || value == step.value);
            if !fits {
                return Err(format!("the step {} was not asked", brief(answer)));
            }
            seen.push(value);
        }
        for (step, value) in asked.iter_mut().zip(seen) {
            step.value = value;
        }
        Ok(())
    }

    /// All transactions, in the order of invocation.
    pub(super) fn list(&self) -> &[Txn] {
        &self.list
    }

    /// The steps of one.
    pub(super) fn steps(&self, txn: &Txn) -> &[Step<'a>] {
        &self.steps[txn.steps.start as usize..txn.steps.end as usize]
    }

    /// How many keys there are.
    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The name of a key, as people write it.
    /// The name of a key as it is in the history.
    pub(super) fn key_value(&self, key: u32) -> &'a Value {
        self.keys[key as usize]
    }

    pub(super) fn key(&self, key: u32) -> String {
        match self.keys[key as usize] {
            Value::Text(name) => name.to_string(),
            other => brief(other),
        }
    }

    /// The operation that a transaction is.
    pub(super) fn operation(&self, txn: &Txn) -> Operation<'_> {
        self.history.operation(txn.id)
    }

    /// What one transaction did, in words: `process 1 did r x [1 2], append x 3 (1 s to 2 s)`.
    pub(super) fn sentence(&self, txn: &Txn) -> String {
        let operation = self.operation(txn);
        let told: Vec<String> = self
            .steps(txn)
            .iter()
            .map(|step| {
                let (name, key) = (step.action.name(), self.key(step.key));
                if step.action == Action::Read && !txn.answered {
                    format!("{name} {key}")
                } else {
                    format!("{name} {key} {}", brief(step.value))
                }
            })
            .collect();
        let (process, from, steps) = (operation.process, operation.invoked_at, told.join(", "));
        let ended = match (txn.fate, operation.completed_at) {
            (Fate::Committed, Some(end)) => format!("to {end}"),
            (Fate::Aborted, Some(end)) => format!("to {end}, and failed"),
            _ => super::words::open_ended(&operation),
        };
        format!("process {process} did {steps} (from {from} {ended})")
    }

    /// An anomaly that these transactions prove; it showed at the end of the last of them.
    pub(super) fn anomaly(
        &self,
        name: &str,
        guarantee: Guarantee,
        key: Option<u32>,
        witness: &[OperationId],
        explanation: Vec<String>,
    ) -> Anomaly {
        let mut operations = witness.to_vec();
        operations.sort();
        operations.dedup();
        let ends = operations.iter().map(|id| {
            let operation = self.history.operation(*id);
            (operation.completed_at.unwrap_or(operation.invoked_at), operation.invoked)
        });
        let (at, event) = ends.max().expect("a witness has operations");
        Anomaly {
            name: name.to_owned(),
            guarantee,
            at,
            key: key.map(|key| Key::from(self.key(key).as_str())),
            witness: Witness { operations, faults: self.history.faults_on(event) },
            contrast: None,
            explanation,
        }
    }

    /// The transaction that an operation is.
    pub(super) fn of(&self, id: OperationId) -> &Txn {
        let place = self.list.binary_search_by_key(&id, |txn| txn.id);
        &self.list[place.expect("the operation is a transaction")]
    }

    /// The anomalies of transactions whose answer does not fit what they asked. No paper names
    /// them: no paper expects them.
    pub(super) fn malformed_answers(&self, guarantee: Guarantee) -> Vec<Anomaly> {
        let of_one = |(id, what): &(OperationId, String)| {
            let txn = self.of(*id);
            let words = format!("its answer does not fit: {what}");
            self.anomaly(
                "malformed-answer",
                guarantee,
                None,
                &[*id],
                vec![self.sentence(txn), words],
            )
        };
        self.misanswered.iter().map(of_one).collect()
    }
}

/// The steps that a body, or an answer, is made of.
fn steps_of(body: &Value) -> Result<&[Value], String> {
    match body {
        Value::List(steps) => Ok(steps),
        other => Err(format!("{} is no list of steps", brief(other))),
    }
}

/// Whether a body has steps that read, and no others.
pub(super) fn only_reads(body: &Value) -> bool {
    let reads = |step: &Value| matches!(parts(step), Ok((Action::Read, _, _)));
    steps_of(body).is_ok_and(|steps| steps.iter().all(reads))
}

/// The name, the key and the value of a step.
fn parts(step: &Value) -> Result<(Action, &Value, &Value), String> {
    let Value::List(parts) = step else {
        return Err(format!("{} is no step", brief(step)));
    };
    let [name, key, value] = &parts[..] else {
        return Err(format!("{} has {} parts, not 3", brief(step), parts.len()));
    };
    let Some(action) = Action::of(name) else {
        return Err(format!("no step is called {}; there are r, w, append, inc", brief(name)));
    };
    match key {
        Value::Text(_) | Value::Int(_) => Ok((action, key, value)),
        Value::Nil | Value::List(_) => Err(format!("{} is no key", brief(key))),
    }
}

/// The first anomaly first.
pub(super) fn in_order(mut anomalies: Vec<Anomaly>) -> Vec<Anomaly> {
    anomalies.sort_by(|one, other| {
        let place = |found: &Anomaly| (found.at, found.witness.operations.first().copied());
        place(one).cmp(&place(other)).then_with(|| one.name.cmp(&other.name))
    });
    anomalies
}

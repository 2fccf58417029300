//! The state machine: what keys hold, and what operations do to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

use crate::Request;

/// The state that a log leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// What keys hold.
    pub keys: Keys,
    /// The number of the last request of each session that was done.
    done: BTreeMap<u32, u64>,
}

impl Store {
    /// The state after a log that is only known by what keys hold.
    pub fn of(keys: Keys) -> Store {
        Store { keys, done: BTreeMap::new() }
    }

    /// Does what a request asks, and says how it ended; nothing where it is a copy, or came after a later one.
    pub fn apply(&mut self, request: &Request) -> Option<Outcome> {
        let done = self.done.entry(request.session).or_default();
        if request.number <= *done {
            return None;
        }
        *done = request.number;
        Some(self.keys.apply(&request.op))
    }
}

/// What each key holds; those that hold nothing are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Key, Value)>", into = "Vec<(Key, Value)>")]
pub struct Keys(BTreeMap<Key, Value>);

impl From<Vec<(Key, Value)>> for Keys {
    fn from(pairs: Vec<(Key, Value)>) -> Keys {
        Keys(pairs.into_iter().collect())
    }
}

impl From<Keys> for Vec<(Key, Value)> {
    fn from(keys: Keys) -> Vec<(Key, Value)> {
        keys.0.into_iter().collect()
    }
}

impl Keys {
    /// What a key holds.
    pub fn get(&self, key: &Key) -> Value {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// Does an operation, whole and at once, and says how it ended.
    pub fn apply(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Read { key, .. } => return Outcome::Ok(Ret::Value(self.get(key))),
            Op::Cas { key, from, .. } if self.get(key) != *from => {
                return Outcome::Fail(Reason::Mismatch { actual: Some(self.get(key)) });
            }
            Op::Txn { body: Value::List(steps), .. } => return self.transact(steps),
            _ => {}
        }
        let Some((key, change)) = Change::of(op) else {
            return Outcome::Fail(Reason::Unsupported);
        };
        self.change(key, &change);
        Outcome::Ok(Ret::Done)
    }

    /// Makes a change.
    pub fn change(&mut self, key: &Key, change: &Change) {
        match change.of_value(self.get(key)) {
            Value::Nil => self.0.remove(key),
            value => self.0.insert(key.clone(), value),
        };
    }

    /// Does the steps of a transaction; it returns them with what was read.
    fn transact(&mut self, steps: &[Value]) -> Outcome {
        let Some(known) = steps.iter().map(step_of).collect::<Option<Vec<_>>>() else {
            return Outcome::Fail(Reason::Unsupported);
        };
        let (mut after, mut done) = (self.clone(), Vec::new());
        for ((key, step), written) in known.into_iter().zip(steps) {
            match (step, written) {
                (Some(change), written) => {
                    after.change(&key, &change);
                    done.push(written.clone());
                }
                (None, Value::List(parts)) => {
                    let read = [parts[0].clone(), parts[1].clone(), after.get(&key)];
                    done.push(Value::List(read.into()));
                }
                (None, _) => unreachable!("a step that was known is a list"),
            }
            if matches!(after.get(&key), Value::Int(left) if left < 0) {
                return Outcome::Fail(Reason::Declined("the account holds too little".into()));
            }
        }
        *self = after;
        Outcome::Ok(Ret::Value(Value::List(done.into())))
    }
}

/// The key of a step `[name, key, value]`, and what it changes; a read changes nothing.
fn step_of(step: &Value) -> Option<(Key, Option<Change>)> {
    let Value::List(parts) = step else { return None };
    let [Value::Text(name), key, value] = &parts[..] else { return None };
    let key = Key::from(format!("txn/{key}"));
    match &**name {
        "r" => Some((key, None)),
        "w" => Some((key, Some(Change::Hold(value.clone())))),
        "append" => Some((key, Some(Change::Append(value.clone())))),
        "inc" => match value {
            Value::Int(by) => Some((key, Some(Change::Increment(*by)))),
            _ => None,
        },
        _ => None,
    }
}

/// What is done to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It holds this, whatever it held.
    Hold(Value),
    /// It holds the second, if it held the first.
    Swap(Value, Value),
    /// This is in its set.
    Add(Value),
    /// This is not in its set.
    Remove(Value),
    /// This is at the end of its list.
    Append(Value),
    /// It is so much more.
    Increment(i64),
}

impl Change {
    fn of(op: &Op) -> Option<(&Key, Change)> {
        let change = match op.clone() {
            Op::Write { value, .. } => Change::Hold(value),
            Op::Delete { .. } => Change::Hold(Value::Nil),
            Op::Cas { from, to, .. } => Change::Swap(from, to),
            Op::Add { value, .. } => Change::Add(value),
            Op::Remove { value, .. } => Change::Remove(value),
            Op::Append { value, .. } => Change::Append(value),
            _ => return None,
        };
        Some((op.key(), change))
    }

    /// What a key holds afterwards that held this.
    fn of_value(&self, held: Value) -> Value {
        let elements = |held: &Value| match held {
            Value::List(elements) => elements.to_vec(),
            _ => Vec::new(),
        };
        let list = |elements: Vec<Value>| Value::List(Arc::from(elements));
        match self {
            Change::Hold(value) => value.clone(),
            Change::Swap(from, to) if held == *from => to.clone(),
            Change::Swap(..) => held,
            Change::Increment(by) => match held {
                Value::Int(sum) => Value::Int(sum + by),
                _ => Value::Int(*by),
            },
            Change::Append(value) => list([elements(&held), vec![value.clone()]].concat()),
            Change::Add(value) => {
                let mut set = elements(&held);
                if let Err(place) = set.binary_search(value) {
                    set.insert(place, value.clone());
                }
                list(set)
            }
            Change::Remove(value) => {
                let mut set = elements(&held);
                set.retain(|element| element != value);
                list(set)
            }
        }
    }
}

/// What a piece of a log does, without what stood before it: some libraries make snapshots of pieces, and put them
/// together later. Of a key that was written, it is what it holds; of others, what is to be done to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Key, Vec<Change>)>", into = "Vec<(Key, Vec<Change>)>")]
pub struct Changes(BTreeMap<Key, Vec<Change>>);

impl From<Vec<(Key, Vec<Change>)>> for Changes {
    fn from(pairs: Vec<(Key, Vec<Change>)>) -> Changes {
        Changes(pairs.into_iter().collect())
    }
}

impl From<Changes> for Vec<(Key, Vec<Change>)> {
    fn from(changes: Changes) -> Vec<(Key, Vec<Change>)> {
        changes.0.into_iter().collect()
    }
}

impl Changes {
    /// Adds what an operation on one key does. A transaction is none: what it does to one key depends on what
    /// others hold.
    pub fn add(&mut self, op: &Op) {
        if let Some((key, change)) = Change::of(op) {
            self.then(key, change);
        }
    }

    /// Adds what a later piece does.
    pub fn merge(&mut self, later: Changes) {
        for (key, changes) in later.0 {
            changes.into_iter().for_each(|change| self.then(&key, change));
        }
    }

    fn then(&mut self, key: &Key, change: Change) {
        let changes = self.0.entry(key.clone()).or_default();
        match (&changes[..], &change) {
            (_, Change::Hold(_)) => *changes = vec![change],
            ([Change::Hold(held)], _) => {
                *changes = vec![Change::Hold(change.of_value(held.clone()))];
            }
            _ => changes.push(change),
        }
    }

    /// What keys hold after a piece that is the whole log so far.
    pub fn keys(&self) -> Keys {
        let mut keys = Keys::default();
        for (key, changes) in &self.0 {
            changes.iter().for_each(|change| keys.change(key, change));
        }
        keys
    }
}

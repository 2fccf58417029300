//! Transactions: several steps that take effect at once.
//!
//! One log orders all changes, and a transaction is one of them: nothing comes between its steps, so
//! transactions are strictly serializable wherever changes are linearizable. Those that only read go
//! through the log as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reply;
use super::datum::{self, Datum, Update};

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Returns what the key holds.
    Read(String),
    /// Makes the key hold this, whatever it held.
    Write(String, Datum),
    /// Changes what the key holds.
    Update(String, Update),
    /// Takes so much from a counter. Where it does not hold as much, nothing of the transaction is
    /// done: a balance never goes below zero.
    Take(String, u64),
    /// Takes the first element of a list out of it, and returns it as a read would a register. A list that
    /// is absent or empty has none.
    Shift(String),
}

/// Does all steps, or none.
pub(super) fn perform(values: &mut BTreeMap<String, Datum>, steps: &[Step]) -> Reply {
    // What the keys that the transaction has changed held before, to go back to.
    let mut before: BTreeMap<&str, Option<Datum>> = BTreeMap::new();
    let mut found = Vec::new();
    for step in steps {
        let (Step::Read(key)
        | Step::Write(key, _)
        | Step::Update(key, _)
        | Step::Take(key, _)
        | Step::Shift(key)) = step;
        let held = values.get(key).cloned();
        let done = match step {
            Step::Read(_) => {
                found.push(held);
                continue;
            }
            Step::Write(_, value) => {
                values.insert(key.clone(), value.clone());
                Ok(())
            }
            Step::Update(_, change) => datum::update(values, key, change),
            Step::Take(_, amount) => take(values.get_mut(key), *amount),
            Step::Shift(_) => shift(values.get_mut(key)).map(|first| found.push(first)),
        };
        before.entry(key).or_insert(held);
        if let Err(refused) = done {
            undo(values, before);
            return refused;
        }
    }
    Reply::Txn(found)
}

fn take(held: Option<&mut Datum>, amount: u64) -> Result<(), Reply> {
    match held {
        Some(Datum::Counter(sum)) => {
            let left = sum.checked_sub_unsigned(amount).filter(|left| *left >= 0);
            *sum = left.ok_or(Reply::TooLittle)?;
            Ok(())
        }
        None if amount == 0 => Ok(()),
        None => Err(Reply::TooLittle),
        Some(Datum::Register(_) | Datum::Set(_) | Datum::List(_)) => Err(Reply::WrongKind),
    }
}

fn shift(held: Option<&mut Datum>) -> Result<Option<Datum>, Reply> {
    match held {
        None => Ok(None),
        Some(Datum::List(elements)) => {
            Ok((!elements.is_empty()).then(|| Datum::Register(elements.remove(0))))
        }
        Some(Datum::Register(_) | Datum::Counter(_) | Datum::Set(_)) => Err(Reply::WrongKind),
    }
}

fn undo(values: &mut BTreeMap<String, Datum>, before: BTreeMap<&str, Option<Datum>>) {
    for (key, held) in before {
        match held {
            Some(held) => {
                values.insert(key.to_owned(), held);
            }
            None => {
                values.remove(key);
            }
        }
    }
}

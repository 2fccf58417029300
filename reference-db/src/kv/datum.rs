//! What a key can hold, and changes that need not know what it holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Reply;
use crate::wire;

/// What a key holds. A key that holds nothing is absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Datum {
    /// Some bytes, written as a whole.
    Register(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A sum.
    Counter(i64),
    /// Elements, each once.
    Set(#[serde(with = "wire::each")] BTreeSet<Vec<u8>>),
    /// Elements in the order in which they came.
    List(#[serde(with = "wire::each")] Vec<Vec<u8>>),
}

impl Datum {
    /// The bytes, where it is a register.
    pub fn register(&self) -> Option<&Vec<u8>> {
        match self {
            Datum::Register(value) => Some(value),
            Datum::Counter(_) | Datum::Set(_) | Datum::List(_) => None,
        }
    }
}

/// A change that says what becomes of a value, not what it is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Update {
    /// Adds a number to a counter, unless 64 bits do not hold the sum.
    Increment(i64),
    /// Puts an element into a set.
    Add(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Takes an element out of a set, if it is in it.
    Remove(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Puts an element at the end of a list.
    Append(#[serde(with = "serde_bytes")] Vec<u8>),
}

impl Update {
    /// What an absent key becomes.
    fn blank(&self) -> Datum {
        match self {
            Update::Increment(_) => Datum::Counter(0),
            Update::Add(_) | Update::Remove(_) => Datum::Set(BTreeSet::new()),
            Update::Append(_) => Datum::List(Vec::new()),
        }
    }
}

/// Changes what a key holds. Where that is of another kind, or a sum would be too great, nothing is done,
/// and the answer says so.
pub(super) fn update(
    values: &mut BTreeMap<String, Datum>,
    key: &str,
    update: &Update,
) -> Result<(), Reply> {
    if !values.contains_key(key) {
        values.insert(key.to_owned(), update.blank());
    }
    let held = values.get_mut(key).expect("it was put there");
    match (held, update) {
        (Datum::Counter(sum), Update::Increment(by)) => {
            *sum = sum.checked_add(*by).ok_or(Reply::TooMuch)?;
        }
        (Datum::Set(elements), Update::Add(element)) => {
            elements.insert(element.clone());
        }
        (Datum::Set(elements), Update::Remove(element)) => {
            elements.remove(element);
        }
        (Datum::List(elements), Update::Append(element)) => elements.push(element.clone()),
        (Datum::Register(_) | Datum::Counter(_) | Datum::Set(_) | Datum::List(_), _) => {
            return Err(Reply::WrongKind);
        }
    }
    Ok(())
}

//! What a set, a list or a text may have in it: what somebody may have put there.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, KeyId, Op, Operation, OperationId, Value, ValueId};

/// How many bytes are compared to find out what one text is put together of.
const COMPARED_MAX: usize = 10_000_000;

/// What may be in each key.
pub(super) struct Contents<'a> {
    history: &'a History,
    put: BTreeMap<KeyId, Put<'a>>,
}

/// What may be in one.
#[derive(Default)]
struct Put<'a> {
    /// What may have been added.
    parts: BTreeSet<&'a Value>,
    /// What it may have been as a whole.
    wholes: BTreeSet<&'a Value>,
}

/// What is in a key and cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign<'a> {
    /// An element that nobody put there.
    Element(&'a Value),
    /// A text that nothing of what was added makes.
    Text,
}

/// The value that an operation adds to a key.
fn added(operation: &Operation<'_>) -> Option<ValueId> {
    match operation.op {
        Op::Add { value, .. } | Op::Append { value, .. } | Op::Enqueue { value, .. } => Some(value),
        _ => None,
    }
}

impl<'a> Contents<'a> {
    pub(super) fn new(history: &'a History) -> Contents<'a> {
        let mut put: BTreeMap<KeyId, Put<'a>> = BTreeMap::new();
        for operation in history.operations().filter(|operation| !operation.has_failed()) {
            let of_key = put.entry(*operation.op.key()).or_default();
            of_key.parts.extend(added(&operation).map(|value| history.value(value)));
            of_key.wholes.extend(operation.value_written().map(|value| history.value(value)));
        }
        for of_key in put.values_mut() {
            of_key.wholes.insert(history.initial());
        }
        Contents { history, put }
    }

    /// What of a value cannot be in a key.
    pub(super) fn foreign(&self, key: KeyId, value: ValueId) -> Option<Foreign<'a>> {
        let put = self.put.get(&key)?;
        match self.history.value(value) {
            Value::List(elements) => {
                elements.iter().find(|element| !put.may_have(element)).map(Foreign::Element)
            }
            Value::Text(text) => (!put.may_make(text)).then_some(Foreign::Text),
            Value::Nil | Value::Int(_) => None,
        }
    }

    /// Who tried to put an element there, and failed.
    pub(super) fn failed_to_put(&self, key: KeyId, element: &Value) -> Option<OperationId> {
        let failed = |operation: &Operation<'_>| {
            *operation.op.key() == key
                && operation.has_failed()
                && added(operation).is_some_and(|value| self.history.value(value) == element)
        };
        self.history.operations().find(failed).map(|operation| operation.id)
    }
}

impl Put<'_> {
    /// Whether an element may be there: added by itself, or with others.
    fn may_have(&self, element: &Value) -> bool {
        let with_others =
            |value: &&Value| matches!(value, Value::List(all) if all.contains(element));
        self.parts.contains(element)
            || self.wholes.iter().any(with_others)
            || self.parts.iter().any(with_others)
    }

    /// Whether a text may have come to be: one that it was as a whole, and after it, any that were added, in any
    /// order and as often as one likes. Where that takes too long, it may.
    fn may_make(&self, text: &str) -> bool {
        let parts: Option<BTreeSet<&str>> = self.parts.iter().map(|part| text_of(part)).collect();
        // What a number makes of a text is for the system to say.
        let Some(parts) = parts else { return true };
        let lens: BTreeSet<usize> =
            parts.iter().map(|part| part.len()).filter(|len| *len > 0).collect();
        let mut left = COMPARED_MAX;
        let begins = self
            .wholes
            .iter()
            .filter_map(|whole| text_of(whole))
            .filter(|whole| text.starts_with(whole));
        let mut reached: BTreeSet<usize> = begins.map(str::len).collect();
        while let Some(place) = reached.pop_first() {
            if place == text.len() {
                return true;
            }
            for len in &lens {
                let Some(rest) = left.checked_sub(*len) else { return true };
                left = rest;
                if text.get(place..place + len).is_some_and(|next| parts.contains(next)) {
                    reached.insert(place + len);
                }
            }
        }
        false
    }
}

/// The text that a value is; an empty one where nothing was there.
fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Nil => Some(""),
        Value::Int(_) | Value::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_text_is_made_of_one_that_it_was_and_of_those_that_were_added() {
        let (parts, wholes) = (["ab", "b", "ü"].map(text), [Value::Nil, text("x"), text("xa")]);
        let put = Put { parts: parts.iter().collect(), wholes: wholes.iter().collect() };
        for possible in ["", "ab", "xab", "xabb", "bbüab", "xaüb", "b"] {
            assert!(put.may_make(possible), "{possible}");
        }
        for impossible in ["a", "xba", "abx", "xx", "bxa", "ä"] {
            assert!(!put.may_make(impossible), "{impossible}");
        }
    }

    #[test]
    fn an_element_may_be_there_that_was_added_by_itself_or_with_others() {
        let list = |numbers: &[i64]| Value::List(numbers.iter().copied().map(Value::Int).collect());
        let (parts, wholes) = ([Value::Int(1), list(&[2, 3])], [Value::Nil, list(&[4])]);
        let put = Put { parts: parts.iter().collect(), wholes: wholes.iter().collect() };
        let there: Vec<i64> = (0..6).filter(|number| put.may_have(&Value::Int(*number))).collect();
        assert_eq!(there, [1, 2, 3, 4]);
    }
}

//! A set: elements are added and removed, and all of them read.

use std::collections::BTreeSet;
use std::hash::Hash;

use super::SequentialSpec;

/// The set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set<V: Ord>(pub BTreeSet<V>);

impl<V: Ord> Default for Set<V> {
    fn default() -> Set<V> {
        Set(BTreeSet::new())
    }
}

/// What can be asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetOp<V> {
    /// Returns all elements.
    Read,
    /// Puts an element in.
    Add(V),
    /// Takes an element out, if it is in.
    Remove(V),
}

/// What it returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetRet<V> {
    /// All elements, in their order, each once.
    Elements(Vec<V>),
    /// It was done.
    Done,
}

impl<V: Clone + Ord + Hash> SequentialSpec for Set<V> {
    type Op = SetOp<V>;
    type Ret = SetRet<V>;

    fn invoke(&mut self, op: &SetOp<V>) -> SetRet<V> {
        match op {
            SetOp::Read => return SetRet::Elements(self.0.iter().cloned().collect()),
            SetOp::Add(value) => {
                self.0.insert(value.clone());
            }
            SetOp::Remove(value) => {
                self.0.remove(value);
            }
        }
        SetRet::Done
    }

    fn is_valid_step(&mut self, op: &SetOp<V>, ret: &SetRet<V>) -> bool {
        match (op, ret) {
            (SetOp::Read, SetRet::Elements(elements)) => self.0.iter().eq(elements),
            _ => self.invoke(op) == *ret,
        }
    }

    fn is_pure(op: &SetOp<V>, _ret: &SetRet<V>) -> bool {
        *op == SetOp::Read
    }

    const LOOKS_AHEAD: bool = true;

    /// What is missing is still added, and what is too much is still removed.
    fn may_return(&self, _op: &SetOp<V>, ret: &SetRet<V>, others: &[&SetOp<V>]) -> bool {
        let SetRet::Elements(shown) = ret else { return true };
        let is_added = |value: &V| {
            others.iter().any(|other| matches!(other, SetOp::Add(added) if added == value))
        };
        let is_removed = |value: &V| {
            others.iter().any(|other| matches!(other, SetOp::Remove(removed) if removed == value))
        };
        // Both are in order: a set may be large, and is compared with all that is open.
        let mut held = self.0.iter().peekable();
        let fits = shown.iter().all(|value| {
            while let Some(too_much) = held.next_if(|held| *held < value) {
                if !is_removed(too_much) {
                    return false;
                }
            }
            held.next_if_eq(&value).is_some() || is_added(value)
        });
        fits && held.all(is_removed)
    }

    fn shows(_op: &SetOp<V>, ret: &SetRet<V>) -> Option<Set<V>> {
        match ret {
            SetRet::Elements(elements) => Some(Set(elements.iter().cloned().collect())),
            SetRet::Done => None,
        }
    }

    const OF_ELEMENTS: bool = true;

    fn changes_to(&self, _op: &SetOp<V>, ret: &SetRet<V>) -> Option<Vec<SetOp<V>>> {
        let SetRet::Elements(shown) = ret else { return None };
        let mut changes = Vec::new();
        let mut held = self.0.iter().peekable();
        for value in shown {
            while let Some(too_much) = held.next_if(|held| *held < value) {
                changes.push(SetOp::Remove(too_much.clone()));
            }
            if held.next_if_eq(&value).is_none() {
                changes.push(SetOp::Add(value.clone()));
            }
        }
        changes.extend(held.cloned().map(SetOp::Remove));
        Some(changes)
    }

    fn opposite(op: &SetOp<V>) -> Option<SetOp<V>> {
        match op {
            SetOp::Read => None,
            SetOp::Add(value) => Some(SetOp::Remove(value.clone())),
            SetOp::Remove(value) => Some(SetOp::Add(value.clone())),
        }
    }

    fn heap_bytes(&self) -> usize {
        // A node of the tree has room for eleven elements, and few have more than six.
        self.0.len().div_ceil(6) * (11 * size_of::<V>() + 32)
    }
}

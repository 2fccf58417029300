//! A set: elements are added and removed, and all of them read.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::iter;

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

impl<V> SetOp<V> {
    fn as_ref(&self) -> SetOp<&V> {
        match self {
            SetOp::Read => SetOp::Read,
            SetOp::Add(value) => SetOp::Add(value),
            SetOp::Remove(value) => SetOp::Remove(value),
        }
    }
}

/// What it returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetRet<V> {
    /// All elements, in their order, each once.
    Elements(Vec<V>),
    /// It was done.
    Done,
}

impl<V: Ord> Set<V> {
    /// What makes it hold these elements, which are in order.
    fn differences<'a>(&'a self, shown: &'a [V]) -> impl Iterator<Item = SetOp<&'a V>> {
        let mut held = self.0.iter().peekable();
        let mut shown = shown.iter().peekable();
        iter::from_fn(move || {
            while let (Some(one), Some(other)) = (held.peek(), shown.peek())
                && one == other
            {
                held.next();
                shown.next();
            }
            match (held.peek(), shown.peek()) {
                (Some(one), other) if other.is_none_or(|other| one < other) => {
                    held.next().map(SetOp::Remove)
                }
                _ => shown.next().map(SetOp::Add),
            }
        })
    }
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
        self.differences(shown).all(|change| others.iter().any(|other| other.as_ref() == change))
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
        let owned = |change| match change {
            SetOp::Read => SetOp::Read,
            SetOp::Add(value) => SetOp::Add(V::clone(value)),
            SetOp::Remove(value) => SetOp::Remove(V::clone(value)),
        };
        Some(self.differences(shown).map(owned).collect())
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

//! A register with compare-and-set: it holds one value, which is read, written, and replaced where
//! it is what the client expects.

use super::SequentialSpec;

/// The register, holding a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CasRegister<V>(pub V);

/// What can be asked of it. A delete is a write of whatever value stands for absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CasOp<V> {
    /// Returns what it holds.
    Read,
    /// Makes it hold the value.
    Write(V),
    /// Makes it hold the second value if it holds the first.
    Cas(V, V),
}

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CasRet<V> {
    /// What it holds.
    Value(V),
    /// It was written, or replaced.
    Done,
    /// It was not replaced, because it held something else; what, if that is known.
    Mismatch(Option<V>),
}

impl<V> CasRet<V> {
    /// The same answer over other values.
    pub fn map<V2>(self, value_of: impl FnOnce(V) -> V2) -> CasRet<V2> {
        match self {
            CasRet::Value(value) => CasRet::Value(value_of(value)),
            CasRet::Done => CasRet::Done,
            CasRet::Mismatch(actual) => CasRet::Mismatch(actual.map(value_of)),
        }
    }
}

impl<V: Clone + Eq + std::hash::Hash> SequentialSpec for CasRegister<V> {
    type Op = CasOp<V>;
    type Ret = CasRet<V>;

    fn invoke(&mut self, op: &CasOp<V>) -> CasRet<V> {
        match op {
            CasOp::Read => CasRet::Value(self.0.clone()),
            CasOp::Write(value) => {
                self.0 = value.clone();
                CasRet::Done
            }
            CasOp::Cas(from, to) if self.0 == *from => {
                self.0 = to.clone();
                CasRet::Done
            }
            CasOp::Cas(..) => CasRet::Mismatch(Some(self.0.clone())),
        }
    }

    fn is_valid_step(&mut self, op: &CasOp<V>, ret: &CasRet<V>) -> bool {
        match (op, ret) {
            (CasOp::Cas(from, _), CasRet::Mismatch(None)) => self.0 != *from,
            _ => self.invoke(op) == *ret,
        }
    }

    fn is_pure(op: &CasOp<V>, ret: &CasRet<V>) -> bool {
        matches!((op, ret), (CasOp::Read, _) | (CasOp::Cas(..), CasRet::Mismatch(_)))
    }

    fn shows(op: &CasOp<V>, ret: &CasRet<V>) -> Option<CasRegister<V>> {
        match (op, ret) {
            (_, CasRet::Value(value) | CasRet::Mismatch(Some(value)))
            | (CasOp::Cas(value, _), CasRet::Done) => Some(CasRegister(value.clone())),
            _ => None,
        }
    }

    fn makes(op: &CasOp<V>) -> Option<CasRegister<V>> {
        match op {
            CasOp::Read => None,
            CasOp::Write(value) | CasOp::Cas(_, value) => Some(CasRegister(value.clone())),
        }
    }
}

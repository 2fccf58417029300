//! A register: it holds one value, which is read and written.

use super::SequentialSpec;

/// The register, holding a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Register<V>(pub V);

/// What can be asked of a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOp<V> {
    /// Returns what it holds.
    Read,
    /// Makes it hold the value.
    Write(V),
}

/// What a register returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterRet<V> {
    /// What it holds.
    Value(V),
    /// It was written.
    Done,
}

impl<V: Clone + Eq + std::hash::Hash> SequentialSpec for Register<V> {
    type Op = RegisterOp<V>;
    type Ret = RegisterRet<V>;

    fn invoke(&mut self, op: &RegisterOp<V>) -> RegisterRet<V> {
        match op {
            RegisterOp::Read => RegisterRet::Value(self.0.clone()),
            RegisterOp::Write(value) => {
                self.0 = value.clone();
                RegisterRet::Done
            }
        }
    }

    fn is_pure(op: &RegisterOp<V>, _ret: &RegisterRet<V>) -> bool {
        matches!(op, RegisterOp::Read)
    }

    fn shows(_op: &RegisterOp<V>, ret: &RegisterRet<V>) -> Option<Register<V>> {
        match ret {
            RegisterRet::Value(value) => Some(Register(value.clone())),
            RegisterRet::Done => None,
        }
    }

    fn makes(op: &RegisterOp<V>) -> Option<Register<V>> {
        match op {
            RegisterOp::Read => None,
            RegisterOp::Write(value) => Some(Register(value.clone())),
        }
    }
}

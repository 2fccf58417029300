//! A lock that one client at a time holds, with and without fencing tokens.

use super::SequentialSpec;

/// The lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mutex {
    /// Who holds it.
    pub holder: Option<u32>,
    /// The last fencing token that was given out.
    pub token: Option<i64>,
}

/// What can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexOp {
    /// Takes the lock, for a client.
    Acquire(u32),
    /// Gives it back, by a client.
    Release(u32),
}

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexRet {
    /// It was taken, or given back.
    Done,
    /// It was taken, with this fencing token, which is greater than all before it.
    Token(i64),
    /// It is held by somebody else, or not by who would give it back.
    Refused,
}

impl SequentialSpec for Mutex {
    type Op = MutexOp;
    type Ret = MutexRet;

    fn invoke(&mut self, op: &MutexOp) -> MutexRet {
        match *op {
            MutexOp::Acquire(client) if self.holder.is_none() => self.holder = Some(client),
            MutexOp::Release(client) if self.holder == Some(client) => self.holder = None,
            _ => return MutexRet::Refused,
        }
        MutexRet::Done
    }

    fn is_valid_step(&mut self, op: &MutexOp, ret: &MutexRet) -> bool {
        match (op, *ret) {
            (MutexOp::Acquire(_), MutexRet::Token(token)) => {
                let is_greater = self.token.is_none_or(|last| last < token);
                self.token = Some(token);
                is_greater && self.invoke(op) == MutexRet::Done
            }
            _ => self.invoke(op) == *ret,
        }
    }

    fn is_pure(_op: &MutexOp, ret: &MutexRet) -> bool {
        *ret == MutexRet::Refused
    }
}

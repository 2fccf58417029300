//! A counter: whole numbers are added to it, and it is read.

use super::SequentialSpec;

/// The counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counter(pub i128);

/// What can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterOp {
    /// Adds a number.
    Add(i64),
    /// Returns the sum.
    Read,
}

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterRet {
    /// It was added.
    Done,
    /// The sum.
    Sum(i128),
}

impl SequentialSpec for Counter {
    type Op = CounterOp;
    type Ret = CounterRet;

    fn invoke(&mut self, op: &CounterOp) -> CounterRet {
        match op {
            CounterOp::Add(number) => {
                // Not even 2^64 additions leave 128 bits.
                self.0 += i128::from(*number);
                CounterRet::Done
            }
            CounterOp::Read => CounterRet::Sum(self.0),
        }
    }

    fn is_pure(op: &CounterOp, _ret: &CounterRet) -> bool {
        matches!(op, CounterOp::Read | CounterOp::Add(0))
    }

    fn shows(_op: &CounterOp, ret: &CounterRet) -> Option<Counter> {
        match ret {
            CounterRet::Sum(sum) => Some(Counter(*sum)),
            CounterRet::Done => None,
        }
    }
}

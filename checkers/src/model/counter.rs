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

    const LOOKS_AHEAD: bool = true;

    /// What is missing lies between all that counts down and all that counts up, and is a multiple of
    /// whatever divides each of the others.
    fn may_return(&self, _op: &CounterOp, ret: &CounterRet, others: &[&CounterOp]) -> bool {
        let CounterRet::Sum(sum) = ret else { return true };
        let missing = sum - self.0;
        let (mut up, mut down, mut divisor) = (0, 0, 0);
        for other in others {
            if let CounterOp::Add(number) = other {
                let number = i128::from(*number);
                up += number.max(0);
                down += number.min(0);
                divisor = gcd(divisor, number);
            }
        }
        // Where there are no others, nothing is missing.
        (down..=up).contains(&missing) && (missing == 0 || missing % divisor == 0)
    }

    fn sum(&self) -> Option<i128> {
        Some(self.0)
    }

    fn adds(op: &CounterOp) -> Option<i128> {
        match op {
            CounterOp::Add(number) => Some((*number).into()),
            CounterOp::Read => Some(0),
        }
    }

    fn shows(_op: &CounterOp, ret: &CounterRet) -> Option<Counter> {
        match ret {
            CounterRet::Sum(sum) => Some(Counter(*sum)),
            CounterRet::Done => None,
        }
    }
}

/// The greatest number that divides both; of 0 and a number, the number.
pub(crate) fn gcd(mut one: i128, mut other: i128) -> i128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

//! Sequential specifications: what an object does when one client at a time uses it.
//!
//! Adding a model is one file here and one line in [`MODELS`].

use std::hash::Hash;

pub mod append_string;
pub mod cas_register;
pub mod counter;
pub mod fifo_queue;
pub mod multi_register;
pub mod mutex;
pub mod register;
pub mod set;

/// An object, as it behaves when operations come one after the other.
///
/// The trait has the shape of stateright's `SequentialSpec`; with the feature `stateright`, the
/// adapter `crate::stateright::Stateright` makes one of any that was written for that. The search also
/// keeps states and compares operations, hence the bounds.
pub trait SequentialSpec: Clone + Eq + Hash {
    /// What can be asked.
    type Op: Clone + Eq + Hash;
    /// What can be returned.
    type Ret: Clone + Eq + Hash;

    /// Does an operation.
    fn invoke(&mut self, op: &Self::Op) -> Self::Ret;

    /// Does an operation if it can return `ret` now, and says whether it can. Where it cannot, what
    /// becomes of the object is not looked at.
    fn is_valid_step(&mut self, op: &Self::Op, ret: &Self::Ret) -> bool {
        self.invoke(op) == *ret
    }

    /// Whether the operation, where it returns `ret`, leaves every state as it is. The search does
    /// such an operation as soon as it is possible, and never tries not to.
    fn is_pure(op: &Self::Op, ret: &Self::Ret) -> bool {
        let _ = (op, ret);
        false
    }

    /// Whether [`may_return`](Self::may_return) ever says no. Where it never does, nobody asks it.
    const LOOKS_AHEAD: bool = false;

    /// Whether the operation can still return `ret`, now or after some of these others, each of them
    /// once at most, in any order. Where it says no, a search goes no further; it may always say yes.
    fn may_return(&self, op: &Self::Op, ret: &Self::Ret, others: &[&Self::Op]) -> bool {
        let _ = (op, ret, others);
        true
    }

    /// Whether the operation can still return `ret`, now or after any others of which none [makes](Self::makes) a state:
    /// of what only grows, what there is stays. It is asked where too many operations are still to come to ask
    /// [`may_return`](Self::may_return) about all of them; it may always say yes.
    fn may_grow_to(&self, op: &Self::Op, ret: &Self::Ret) -> bool {
        let _ = (op, ret);
        true
    }

    /// The state that an answer shows: the only one in which the operation can return `ret`, if there
    /// is only one. A read of a register shows it, and so does a compare-and-set that succeeded.
    fn shows(op: &Self::Op, ret: &Self::Ret) -> Option<Self> {
        let _ = (op, ret);
        None
    }

    /// The state that the operation makes: what is there after it, wherever it changes anything, if
    /// that is always the same. A write makes one, adding to something does not.
    ///
    /// With both, a search sees that a state which must still be shown will not come back, and it
    /// can begin anew where the state is known. They may always say nothing.
    fn makes(op: &Self::Op) -> Option<Self> {
        let _ = op;
        None
    }

    /// What the object holds, where that is a number and [each operation](Self::adds) adds to it, whatever it was. A
    /// search then need not try which of many unanswered operations took effect. It may always say nothing.
    fn sum(&self) -> Option<i128> {
        None
    }

    /// What an operation adds to the [sum](Self::sum).
    fn adds(op: &Self::Op) -> Option<i128> {
        let _ = op;
        None
    }

    /// Whether the object is made of elements that are in it or not, where each operation that is not pure puts one in, or takes
    /// it out, and always can. A search then goes from one answer that shows the elements to the next.
    const OF_ELEMENTS: bool = false;

    /// The operations that make it what an answer shows, one for each element that is in only one of the two; of an object [of
    /// elements](Self::OF_ELEMENTS), where there is such an answer.
    fn changes_to(&self, op: &Self::Op, ret: &Self::Ret) -> Option<Vec<Self::Op>> {
        let _ = (op, ret);
        None
    }

    /// The operation that takes out of an object [of elements](Self::OF_ELEMENTS) what this one puts in, or the other way round.
    fn opposite(op: &Self::Op) -> Option<Self::Op> {
        let _ = op;
        None
    }

    /// About how many bytes the object holds outside of itself, in texts and lists: counts towards
    /// what a search may remember.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// One model in the table.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The name that flags use.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
}

/// Every model there is, in the order `list` shows them.
pub const MODELS: &[Registration] = &[
    Registration { name: "register", about: "holds one value: read, write" },
    Registration {
        name: "cas-register",
        about: "holds one value: read, write, compare-and-set, delete",
    },
    Registration { name: "append-string", about: "holds a text: put, append, get" },
    Registration { name: "set", about: "holds elements: add, remove, read all" },
    Registration { name: "counter", about: "holds a number: increment, read" },
    Registration { name: "fifo-queue", about: "holds values in their order: enqueue, dequeue" },
    Registration {
        name: "mutex",
        about: "is held by one process at a time: acquire (with or without a token), release",
    },
    Registration {
        name: "multi-register",
        about: "holds a value a key: transactions of reads and writes",
    },
];

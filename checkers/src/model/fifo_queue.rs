//! A queue: values are put at its end and taken from its head.

use std::collections::VecDeque;
use std::hash::Hash;

use super::SequentialSpec;

/// The queue, from its head on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FifoQueue<V>(pub VecDeque<V>);

impl<V> Default for FifoQueue<V> {
    fn default() -> FifoQueue<V> {
        FifoQueue(VecDeque::new())
    }
}

/// What can be asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueOp<V> {
    /// Puts a value at the end.
    Enqueue(V),
    /// Takes the value at the head.
    Dequeue,
}

/// What it returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueRet<V> {
    /// It was put there.
    Done,
    /// What was taken; none where it was empty.
    Taken(Option<V>),
}

impl<V: Clone + Eq + Hash> SequentialSpec for FifoQueue<V> {
    type Op = QueueOp<V>;
    type Ret = QueueRet<V>;

    fn invoke(&mut self, op: &QueueOp<V>) -> QueueRet<V> {
        match op {
            QueueOp::Enqueue(value) => {
                self.0.push_back(value.clone());
                QueueRet::Done
            }
            QueueOp::Dequeue => QueueRet::Taken(self.0.pop_front()),
        }
    }

    fn is_pure(_op: &QueueOp<V>, ret: &QueueRet<V>) -> bool {
        *ret == QueueRet::Taken(None)
    }

    fn shows(_op: &QueueOp<V>, ret: &QueueRet<V>) -> Option<FifoQueue<V>> {
        (*ret == QueueRet::Taken(None)).then(FifoQueue::default)
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<V>()
    }
}

//! Which epochs a state comes from: whether it contains what somebody has seen elsewhere.
//!
//! A position says in which epoch an entry was made, and at which index. Where epochs may lose the
//! last entries of their predecessors, a greater position is not always a later state. What tells is where each
//! epoch began: Kafka keeps the same list for followers that have to cut their logs (KIP-101).
//!
//! By the greater position: primary 1 shows a client its entry (1, 9) and goes down; 2 has followed epoch 1 only to
//! index 5, takes office in epoch 2, and is at (2, 7) when the client turns to it. It would answer from a state
//! without what the client has seen, because (2, 7) is the greater of the two. But it knows that epoch 2 began at 6,
//! and so that (1, 9) is lost.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::raft::log::Position;

/// How many epochs are remembered. What was seen before the oldest of them counts as lost.
const EPOCHS_MAX: usize = 1024;

/// The epochs of a state, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(VecDeque<Position>);

/// How a state stands to what somebody has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It contains it.
    Has,
    /// It does not contain it yet.
    Behind,
    /// It does not contain it, nor will any state that follows it.
    Lost,
}

impl Lineage {
    /// Takes note of an entry that was applied after all others.
    pub(super) fn note(&mut self, at: Position) {
        if self.0.back().is_none_or(|epoch| epoch.term < at.term) {
            self.0.push_back(at);
            if self.0.len() > EPOCHS_MAX {
                self.0.pop_front();
            }
        }
    }

    /// How the state that ends at `last` stands to a position; the zero position is in every state.
    pub fn reach(&self, seen: Position, last: Position) -> Reach {
        if seen == Position::default() {
            return Reach::Has;
        }
        if seen.term > last.term {
            return Reach::Behind;
        }
        let Some(place) = self.0.iter().position(|epoch| epoch.term == seen.term) else {
            return Reach::Lost;
        };
        match self.0.get(place + 1) {
            Some(next) if seen.index < next.index => Reach::Has,
            Some(_) => Reach::Lost,
            None if seen.index <= last.index => Reach::Has,
            None => Reach::Behind,
        }
    }
}

//! What clients wait for at a node: answers to changes, and to reads that are ahead of it.
//!
//! A client is answered from its own change and no other. What it waits for is a position, which two logs do not
//! share unless they have the same entry there (Raft, section 5.3), and not an index. By the index alone: leader 1
//! puts a client's change in place 7 and is deposed; leader 2 puts another client's change there, which is
//! committed; 1 applies place 7 and answers its client, whose change was never made.

use std::collections::VecDeque;

use crate::env::Time;
use crate::kv::Reply;
use crate::protocol::raft::log::Position;
use crate::protocol::{Origin, Output, Protocol};

/// How many reads wait at a node for what it has not heard of yet. One more takes the place of the
/// one that has waited longest, whose client asks again.
const WAITING_MAX: usize = 1024;

/// Changes in a log whose clients wait for the answer, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(VecDeque<(Position, Origin, u64)>);

impl Pending {
    /// A change was put into the log. What waits at this index or later waits for an entry that was
    /// replaced; it may live on in another node's log, so that its client can be told nothing.
    pub(super) fn add(&mut self, at: Position, origin: Origin, sequence: u64) {
        while self.0.back().is_some_and(|pending| pending.0.index >= at.index) {
            self.0.pop_back();
        }
        self.0.push_back((at, origin, sequence));
    }

    /// The entry at this position is applied, and all before it: who waits for its answer, and
    /// under which number. The same index in another term is another client's change.
    pub(super) fn take(&mut self, at: Position) -> Option<(Origin, u64)> {
        let mut found = None;
        while let Some(pending) = self.0.pop_front_if(|pending| pending.0.index <= at.index) {
            found = (pending.0 == at).then_some((pending.1, pending.2));
        }
        found
    }
}

/// A read of what a node itself holds, by a client that has seen what the node has not.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    pub(super) origin: Origin,
    pub(super) sequence: u64,
    pub(super) key: String,
    /// How far the client has seen.
    pub(super) seen: u64,
    /// When its client has given up waiting.
    pub(super) until: Time,
}

/// Reads that wait until the node is as far as their clients.
#[derive(Clone, Debug, Default)]
pub(super) struct AheadReads(VecDeque<Ahead>);

impl AheadReads {
    /// Takes on a read.
    pub(super) fn add(&mut self, read: Ahead) {
        if self.0.len() >= WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(read);
    }

    /// Answers the reads that need not wait any longer, in the order in which they came, and forgets
    /// those whose clients have given up. `answer` says what is answered from which position, and
    /// nothing where the node is still behind.
    pub(super) fn answer<P: Protocol>(
        &mut self,
        now: Time,
        out: &mut Vec<Output<P>>,
        answer: impl Fn(&Ahead) -> Option<(Reply, u64)>,
    ) {
        self.0.retain(|read| {
            if read.until <= now {
                return false;
            }
            let answer = answer(read);
            let waits = answer.is_none();
            out.extend(answer.map(|(reply, position)| {
                let (to, sequence) = (read.origin, read.sequence);
                Output::Reply { to, sequence, reply, position }
            }));
            waits
        });
    }
}

//! Strong reads without a log entry (dissertation, section 6.4).
//!
//! A leader that was deposed without knowing it still holds an old state. So it notes how far it
//! had committed, asks a majority whether it still leads, and answers only then. All reads that
//! have come in when a round begins share it.
//!
//! Were nobody asked: leader 1 of 1, 2 and 3 is cut off, 2 is elected by 3 and commits a write, and 1, which
//! takes itself for the leader for a while yet, answers a read from before it. A round that is under way when a
//! read comes does not do for it either: what 3 says in it may be from before it elected 2. And a new leader
//! begins none before something of its own term is committed ([`Core::begin_round`]): 2 has all that 1 had
//! acknowledged, but does not know yet that it counts, and would answer without it.

use std::collections::VecDeque;

use super::core::Core;
use crate::env::Time;
use crate::kv::{Kv, Reply};
use crate::protocol::{Origin, Output, Protocol};

/// How many reads a leader takes on at a time.
pub const READS_MAX: usize = 4096;

/// A read that waits for its answer.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Read {
    pub(in crate::protocol) origin: Origin,
    pub(in crate::protocol) sequence: u64,
    pub(in crate::protocol) key: String,
}

/// The reads of one round.
#[derive(Clone, Debug)]
struct Round<R> {
    number: u64,
    /// What was committed when the round began: a read must see all of it.
    index: u64,
    reads: Vec<R>,
}

/// The reads that a leader has not answered yet: of clients, or whatever else waits for a round.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Reads<R = Read> {
    waiting: Vec<R>,
    rounds: VecDeque<Round<R>>,
    count: usize,
}

impl<R> Default for Reads<R> {
    fn default() -> Self {
        Reads { waiting: Vec::new(), rounds: VecDeque::new(), count: 0 }
    }
}

impl<R> Reads<R> {
    /// Takes on a read, or not, where there are [too many](READS_MAX): its client will ask again.
    pub(in crate::protocol) fn add(&mut self, read: R) {
        if self.count < READS_MAX {
            self.count += 1;
            self.waiting.push(read);
        }
    }

    /// Begins a round for all reads that wait for one, if the leader may begin one now, and says which:
    /// an answer must reflect at least the state up to `index`.
    pub(in crate::protocol) fn begin<C: Clone, S>(
        &mut self,
        core: &mut Core<C, S>,
        now: Time,
        index: u64,
    ) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let number = core.begin_round(now)?;
        let reads = std::mem::take(&mut self.waiting);
        self.rounds.push_back(Round { number, index, reads });
        Some(number)
    }

    /// Sees to it that a round begins soon, where something waits for one.
    pub(super) fn hurry<C: Clone, S>(&self, now: Time, core: &mut Core<C, S>) {
        if !self.waiting.is_empty() && core.may_begin_round() {
            core.flush_soon(now);
        }
    }

    /// Takes all reads whose round is confirmed and whose index is applied, each with that index.
    pub(super) fn take_ready(&mut self, confirmed: u64, applied: u64) -> Vec<(u64, R)> {
        let mut ready = Vec::new();
        while let Some(round) = self.rounds.front()
            && round.number <= confirmed
            && round.index <= applied
        {
            let Round { index, reads, .. } = self.rounds.pop_front().expect("it is the front");
            ready.extend(reads.into_iter().map(|read| (index, read)));
        }
        self.count -= ready.len();
        ready
    }

    /// Takes all reads: the member leads no longer.
    pub(super) fn take_all(&mut self) -> Vec<R> {
        self.count = 0;
        let rounds = std::mem::take(&mut self.rounds);
        let mut all: Vec<_> = rounds.into_iter().flat_map(|round| round.reads).collect();
        all.append(&mut self.waiting);
        all
    }
}

impl Reads {
    /// Answers, from the state at `index`, the reads whose round is confirmed and which are to reflect
    /// no more than that; `position` is what the answers say about how far they go. A node that does
    /// not answer for itself any longer turns all of them down.
    pub(in crate::protocol) fn answer<P: Protocol, C: Clone, S>(
        &mut self,
        now: Time,
        core: &mut Core<C, S>,
        leads: bool,
        (kv, index, position): (&Kv, u64, u64),
        out: &mut Vec<Output<P>>,
    ) {
        if !leads {
            // A read leaves nothing behind, so this is the truth even if the node had begun.
            out.extend(self.take_all().into_iter().map(|Read { origin: to, sequence, .. }| {
                Output::Reply { to, sequence, reply: Reply::NotLeader, position: 0 }
            }));
            return;
        }
        for (_, read) in self.take_ready(core.confirmed_round(), index) {
            let Read { origin: to, sequence, key } = read;
            out.push(Output::Reply { to, sequence, reply: kv.read(&key), position });
        }
        self.hurry(now, core);
    }
}

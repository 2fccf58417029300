//! Strong reads at any node (dissertation, section 6.4): the node asks the leader how far it has to be,
//! waits until it is, and answers from its own state.
//!
//! They are as linearizable as those at the leader. Were the leader not asked: leader 1 commits a write with 2 and
//! acknowledges it, and a client that reads at 3 right after sees what was there before, because 3 has not heard
//! of it. The leader in turn asks a majority whether it still leads before it says how far
//! ([`super::read_index`]), or 3 would go by a leader that was deposed; and 3 takes no answer to a question of its
//! start before ([`Ticket::start`]).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::read_index::{READS_MAX, Read};
use crate::env::Time;
use crate::kv::{Kv, Reply};
use crate::protocol::{Output, Protocol};

/// Which question of a node is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// A random number of the node's present start. An answer to a question of an earlier start may come
    /// late, and tells too little: changes may have been acknowledged since.
    pub start: u64,
    /// The how many-th question of that start it is.
    pub number: u64,
}

/// A read that waits for the leader's answer, and then for the node to be as far.
#[derive(Clone, Debug)]
struct Waiting {
    ticket: Ticket,
    /// How far the node has to be, once it is known.
    index: Option<u64>,
    read: Read,
    /// When its client has given up waiting.
    until: Time,
}

/// The reads at a node that does not lead.
#[derive(Clone, Debug)]
pub(super) struct FollowerReads {
    latest: Ticket,
    /// In the order in which they came, and so in that of `until`.
    waiting: VecDeque<Waiting>,
}

impl FollowerReads {
    pub(super) fn new(start: u64) -> FollowerReads {
        FollowerReads { latest: Ticket { start, number: 0 }, waiting: VecDeque::new() }
    }

    /// Takes on a read, and says what to ask the leader for. One too many takes the place of the one that
    /// has waited longest, whose client asks again.
    pub(super) fn add(&mut self, read: Read, until: Time) -> Ticket {
        if self.waiting.len() >= READS_MAX {
            self.waiting.pop_front();
        }
        self.latest.number += 1;
        self.waiting.push_back(Waiting { ticket: self.latest, index: None, read, until });
        self.latest
    }

    /// The leader has answered: a read that came before the question must see all up to `index`.
    pub(super) fn tell(&mut self, ticket: Ticket, index: u64) {
        let asked = self.waiting.iter_mut().find(|waiting| waiting.ticket == ticket);
        if let Some(asked) = asked {
            asked.index = Some(index);
        }
    }

    /// When a read has waited for too long.
    pub(super) fn deadline(&self) -> Time {
        self.waiting.front().map_or(Time::NEVER, |waiting| waiting.until)
    }

    /// Answers the reads for which the state is far enough, and turns down those that have waited for
    /// too long: they left nothing behind.
    pub(super) fn answer<P: Protocol>(
        &mut self,
        now: Time,
        (kv, applied): (&Kv, u64),
        out: &mut Vec<Output<P>>,
    ) {
        self.waiting.retain(|Waiting { index, read, until, .. }| {
            let (reply, position) = if index.is_some_and(|index| index <= applied) {
                (kv.read(&read.key), applied)
            } else if *until <= now {
                (Reply::NotLeader, 0)
            } else {
                return true;
            };
            out.push(Output::Reply { to: read.origin, sequence: read.sequence, reply, position });
            false
        });
    }
}

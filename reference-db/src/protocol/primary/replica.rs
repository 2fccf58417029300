//! A node's copy of the data: a log, of which a beginning is committed and applied.
//!
//! What is applied cannot be taken back. What follows it can: a primary replaces it by what it has
//! itself. A node that has applied what its primary does not have takes over the primary's whole
//! state instead; that only happens where changes are acknowledged before others have them.
//!
//! So whoever follows a primary comes to hold what that holds, and nothing else. In Raft nobody applies what may
//! still be replaced (Raft, section 5.4); in `primary-async` everybody does. Primary 1 applies its entry (1, 6),
//! which nobody else has, and is cut off; 2 takes office and begins epoch 2 at 6. Were 1 to take (2, 6) for that
//! place of its log and go on, what (1, 6) did would stay in its state, and in no other. `Replica::install` says
//! why no late state takes a node back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lineage::{Lineage, Reach};
use super::{Appointment, Snapshot};
use crate::kv::{Kv, Reply};
use crate::mark::Mark;
use crate::protocol::Options;
use crate::protocol::raft::log::{Entry, Log, Position};
use crate::protocol::raft::message as control;
use crate::wire::Request;

/// What the committed entries come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Keys, values and sessions.
    pub kv: Kv,
    /// The epochs it comes from.
    pub lineage: Lineage,
}

/// The state after all changes up to a position.
pub type ReplicaImage = control::Image<State>;

/// A node's copy of the data.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) epoch: u64,
    log: Log<Request>,
    /// The last committed index, which is the last that is applied.
    committed: u64,
    state: State,
    image: Option<Arc<ReplicaImage>>,
    sessions_max: usize,
}

impl Replica {
    pub(super) fn recover(
        options: &Options,
        epoch: u64,
        image: Option<Arc<ReplicaImage>>,
    ) -> Replica {
        let base = image.as_ref().map(|image| image.last).unwrap_or_default();
        Replica {
            epoch,
            log: Log::after(base),
            committed: base.index,
            state: image.as_ref().map(|image| image.state.clone()).unwrap_or_default(),
            image,
            sessions_max: options.sessions_max,
        }
    }

    /// Takes an entry from the node's own disk.
    pub(super) fn restore(&mut self, entry: Entry<Request>) {
        self.log.put(entry);
    }

    /// The latest epoch that the node has heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last position of the log.
    pub fn last(&self) -> Position {
        self.log.last()
    }

    /// The last committed position: what the state reflects.
    pub fn committed(&self) -> Position {
        let term = self.log.term(self.committed);
        Position { term: term.expect("the log reaches back to there"), index: self.committed }
    }

    /// The state.
    pub fn kv(&self) -> &Kv {
        &self.state.kv
    }

    /// The log.
    pub fn log(&self) -> &Log<Request> {
        &self.log
    }

    /// How the state stands to what somebody has seen.
    pub fn reach(&self, seen: Position) -> Reach {
        self.state.lineage.reach(seen, self.committed())
    }

    /// The last state that was kept.
    pub(super) fn image(&self) -> Option<&Arc<ReplicaImage>> {
        self.image.as_ref()
    }

    /// The position of the last state that was kept.
    pub(super) fn imaged(&self) -> Position {
        self.image.as_ref().map(|image| image.last).unwrap_or_default()
    }

    /// Adds a change as the primary of the node's epoch, or the mark that the epoch begins with.
    pub(super) fn append(&mut self, change: Option<Request>) -> Entry<Request> {
        let at = Position { term: self.epoch, index: self.last().index + 1 };
        let entry = Entry { at, command: change.map(Arc::new), members: None };
        self.log.put(entry.clone());
        entry
    }

    /// Applies all entries up to an index of the log, and returns what came of each that asked for
    /// something.
    pub(super) fn commit(&mut self, index: u64) -> Vec<(Position, Reply)> {
        let mut replies = Vec::new();
        while self.committed < index.min(self.last().index) {
            self.committed += 1;
            let entry = self.log.get(self.committed).expect("it follows what is applied");
            self.state.lineage.note(entry.at);
            let reply = entry.command.as_ref().and_then(|change| {
                self.state.kv.apply(super::number(entry.at), change, self.sessions_max)
            });
            replies.extend(reply.map(|reply| (entry.at, reply)));
        }
        replies
    }

    /// Makes the log equal to a primary's from `prev` to the end of its entries, and returns those
    /// that were added and up to where the two are equal; nothing where they differ at `prev`.
    pub(super) fn follow(
        &mut self,
        prev: Position,
        entries: Vec<Entry<Request>>,
    ) -> Option<(Vec<Entry<Request>>, Position)> {
        if !self.log.has(prev) {
            return None;
        }
        let mut added = Vec::new();
        let mut equal = prev;
        for entry in entries {
            if !self.log.has(entry.at) {
                if entry.at.index <= self.committed {
                    // The node has applied something else there: it needs the state.
                    Mark::AppliedTooMuch.note();
                    break;
                }
                Mark::ChangesDropped.note_if(entry.at.index <= self.log.last().index);
                self.log.put(entry.clone());
                added.push(entry.clone());
            }
            equal = entry.at;
        }
        Some((added, equal))
    }

    /// Takes over a primary's state, if it is ahead of the node's own.
    ///
    /// Where states can differ, it was taken in the primary's epoch, so that it is ahead of everyone
    /// who has not followed that primary yet. And for those who have, the greater position is the
    /// later one: an image that is late never takes a node back.
    pub(super) fn install(&mut self, image: Arc<ReplicaImage>) -> bool {
        let ahead = image.last > self.committed();
        if ahead {
            if self.log.has(image.last) {
                self.log.compact(image.last.index);
            } else {
                self.log = Log::after(image.last);
            }
            self.committed = image.last.index;
            self.state = image.state.clone();
            self.image = Some(image);
        }
        ahead
    }

    /// Keeps the state in place of the log; the last `spare` entries stay in memory for those that
    /// are a little behind.
    pub(super) fn compact(&mut self, spare: u64) {
        let last = self.committed();
        self.image =
            Some(Arc::new(ReplicaImage { last, state: self.state.clone(), members: None }));
        self.log.compact(last.index.saturating_sub(spare));
    }

    /// All that the node needs to go on after a restart, with the other half given.
    pub(super) fn durable(
        &self,
        control: control::Snapshot<Appointment, Option<Appointment>>,
    ) -> Snapshot {
        let entries = self.log.entries(self.imaged().index + 1, usize::MAX).cloned().collect();
        Snapshot { control, epoch: self.epoch, image: self.image.clone(), entries }
    }
}

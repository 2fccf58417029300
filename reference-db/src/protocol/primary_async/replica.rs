//! A node's copy of the data: a log of which every entry is applied as soon as it is there.
//!
//! What is applied cannot be taken back, so a log is never cut at its end. A node whose last
//! entries its primary does not have takes over the primary's whole state instead.

use std::sync::Arc;

use super::{Appointment, Snapshot, number};
use crate::kv::{Kv, Reply};
use crate::protocol::Options;
use crate::protocol::raft::log::{Entry, Log, Position};
use crate::protocol::raft::message as control;
use crate::wire::Request;

/// The state after all changes up to a position.
pub type ReplicaImage = control::Image<Kv>;

/// A node's copy of the data.
#[derive(Debug)]
pub struct Replica {
    pub(super) epoch: u64,
    log: Log<Request>,
    kv: Kv,
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
        let kv = image.as_ref().map(|image| image.state.clone()).unwrap_or_default();
        let log = Log::after(base);
        Replica { epoch, log, kv, image, sessions_max: options.sessions_max }
    }

    /// Takes an entry from the node's own disk.
    pub(super) fn restore(&mut self, entry: Entry<Request>) {
        self.apply(entry);
    }

    /// The latest epoch that the node has heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last position.
    pub fn last(&self) -> Position {
        self.log.last()
    }

    /// The state.
    pub fn kv(&self) -> &Kv {
        &self.kv
    }

    /// The log.
    pub fn log(&self) -> &Log<Request> {
        &self.log
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
    pub(super) fn append(&mut self, change: Option<Request>) -> (Entry<Request>, Option<Reply>) {
        let at = Position { term: self.epoch, index: self.last().index + 1 };
        let entry = Entry { at, command: change.map(Arc::new) };
        let reply = self.apply(entry.clone());
        (entry, reply)
    }

    /// Adds those of a primary's entries that follow the node's own, and returns them. None are
    /// added where the logs differ.
    pub(super) fn follow(
        &mut self,
        prev: Position,
        entries: Vec<Entry<Request>>,
    ) -> Vec<Entry<Request>> {
        let mut added = Vec::new();
        if !self.log.has(prev) {
            return added;
        }
        for entry in entries {
            if entry.at.index == self.last().index + 1 {
                self.apply(entry.clone());
                added.push(entry);
            } else if !self.log.has(entry.at) {
                // The node has something else there, and has applied it: it needs the state.
                break;
            }
        }
        added
    }

    /// Takes over a primary's state, if it is ahead of the node's own.
    ///
    /// It was taken in the primary's epoch, so it is ahead of everyone who has not followed that
    /// primary yet; and for those who have, the greater position is the later one. So an image
    /// that is late never takes a node back.
    pub(super) fn install(&mut self, image: Arc<ReplicaImage>) -> bool {
        let ahead = image.last > self.last();
        if ahead {
            self.log = Log::after(image.last);
            self.kv = image.state.clone();
            self.image = Some(image);
        }
        ahead
    }

    /// Keeps the state in place of the log; the last `spare` entries stay in memory for those that
    /// are a little behind.
    pub(super) fn compact(&mut self, spare: u64) {
        let last = self.last();
        self.image = Some(Arc::new(ReplicaImage { last, state: self.kv.clone() }));
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

    fn apply(&mut self, entry: Entry<Request>) -> Option<Reply> {
        let change = entry.command.as_ref();
        let reply =
            change.and_then(|change| self.kv.apply(number(entry.at), change, self.sessions_max));
        self.log.put(entry);
        reply
    }
}

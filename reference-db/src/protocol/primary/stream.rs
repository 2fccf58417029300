//! How a primary's changes reach the others, later.
//!
//! A follower says where its log ends, up to where it agreed with what it was just sent, and how much of
//! it is committed. The primary judges: whatever of the three its own log has too, up to there the two
//! are equal (equal positions hold equal entries and stand behind equal beginnings, as in Raft, section 5.3). One
//! of which the primary has the end, or else what is committed, gets the entries that come after the
//! furthest that they share. Any other gets the state.
//!
//! So what is counted as being on a follower is there. Were the primary to go by the index of the end alone: node 3
//! ends with entries 7 and 8 of epoch 1 that nobody else got; primary 2 of epoch 2, with 3 for its partner, has
//! others there, takes them to be on 3, acknowledges them, and goes down; 3 takes office without them.
//!
//! And every follower that is heard comes to have everything. Without the second of the three, one whose log ends in
//! what a lost epoch left behind would stand still: it has a window's worth of entries before that end already, says
//! the same as before of its end and of what is committed, and is sent the same window for ever.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::replica::{Replica, ReplicaImage};
use crate::env::{NodeId, Time};
use crate::protocol::Timing;
use crate::protocol::raft::log::{Entry, Position};
use crate::protocol::raft::{BATCH_MAX, IN_FLIGHT_MAX};
use crate::wire::Request;

/// What a primary and its followers tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Streamed {
    /// Changes.
    Entries {
        /// The primary's epoch.
        epoch: u64,
        /// What the follower's log must have for the entries to follow.
        prev: Position,
        /// The entries, without gaps; none where the primary only asks how far the follower is.
        entries: Vec<Entry<Request>>,
        /// How far the primary has committed.
        committed: u64,
    },
    /// The whole state.
    Image {
        /// The primary's epoch.
        epoch: u64,
        /// The state.
        image: Arc<ReplicaImage>,
    },
    /// The answer to both: how far the follower is.
    Reached {
        /// The number of the follower's disk: one that was lost says nothing of the one after it.
        incarnation: u64,
        /// The latest epoch that the follower has heard of.
        epoch: u64,
        /// Where its log ends.
        last: Position,
        /// Where the entries that it answers ended, if its log has them now; else the beginning.
        agreed: Position,
        /// The last position that it has applied.
        committed: Position,
    },
}

impl Streamed {
    /// The epoch of the sender.
    pub fn epoch(&self) -> u64 {
        match self {
            Streamed::Entries { epoch, .. }
            | Streamed::Image { epoch, .. }
            | Streamed::Reached { epoch, .. } => *epoch,
        }
    }
}

/// What a primary knows of the others.
#[derive(Clone, Debug)]
pub(super) struct Office {
    epoch: u64,
    /// The index of the mark that the epoch begins with.
    first: u64,
    timing: Timing,
    followers: Vec<Follower>,
    tick_at: Time,
    stream_at: Time,
}

#[derive(Clone, Debug)]
struct Follower {
    node: NodeId,
    /// The disk that is meant.
    incarnation: u64,
    /// Where its log was seen to end last, and how much of it was committed.
    reached: Option<(Position, Position)>,
    /// Up to this index its log is known to equal the primary's.
    matched: u64,
    /// When it last had all that there was, or came closer to it.
    moved: Time,
    /// The index that it gets next.
    next: u64,
    /// The last commit that it knows of, or was told of since.
    told: u64,
    /// When it last said anything.
    heard: Time,
    pace: Pace,
}

#[derive(Clone, Debug)]
enum Pace {
    /// It is not known how far it is; it was asked then.
    Ask { sent: Option<Time> },
    /// It gets one message after the other; these end at the indices given.
    Stream { ends: VecDeque<u64>, since: Time },
    /// It needs the state, and was sent it then.
    Install { sent: Option<Time> },
}

impl Office {
    /// Takes office in the epoch that begins there: everyone is asked at the next timer how far it is.
    pub(super) fn new(
        begin: Position,
        others: impl Iterator<Item = (NodeId, u64)>,
        timing: Timing,
        now: Time,
    ) -> Office {
        let followers =
            others.map(|(node, incarnation)| Follower::new(node, incarnation, now)).collect();
        Office {
            epoch: begin.term,
            first: begin.index,
            timing,
            followers,
            tick_at: now + timing.heartbeat,
            stream_at: now,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Goes by these nodes and their disks from here on. Of a disk that is new it is not known how far
    /// it is, whatever the one before had.
    pub(super) fn follow(&mut self, now: Time, others: impl Iterator<Item = (NodeId, u64)>) {
        let mut known = std::mem::take(&mut self.followers);
        for (node, incarnation) in others {
            let is =
                |follower: &Follower| (follower.node, follower.incarnation) == (node, incarnation);
            self.followers.push(match known.iter().position(is) {
                Some(place) => known.swap_remove(place),
                None => {
                    self.stream_at = self.stream_at.min(now);
                    Follower::new(node, incarnation, now)
                }
            });
        }
    }

    /// The index of the mark that the epoch begins with.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Up to which index the logs of all these are known to equal the primary's.
    pub(super) fn matched(&self, nodes: impl Fn(NodeId) -> bool) -> u64 {
        let chosen = self.followers.iter().filter(|follower| nodes(follower.node));
        chosen.map(|follower| follower.matched).min().unwrap_or(u64::MAX)
    }

    /// Whether a follower has lacked something for longer than it takes to look for another leader.
    pub(super) fn is_stuck(&self, now: Time, node: NodeId, last: u64) -> bool {
        let mut followers = self.followers.iter().filter(|follower| follower.node == node);
        followers.any(|f| f.matched < last && now.since(f.moved) >= self.timing.election)
    }

    /// Whether a follower lacks no more than fits into one message, and keeps up.
    pub(super) fn is_near(&self, now: Time, node: NodeId, last: u64) -> bool {
        let near = |f: &Follower| f.reached.is_some() && f.matched + BATCH_MAX as u64 >= last;
        let is_near = self.followers.iter().any(|follower| follower.node == node && near(follower));
        is_near && !self.is_stuck(now, node, last)
    }

    /// The follower that has the most, of those that have everything up to `index`.
    pub(super) fn most_advanced(&self, index: u64, may: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let able = self.followers.iter().filter(|f| f.matched >= index && may(f.node));
        able.max_by_key(|follower| follower.matched).map(|follower| follower.node)
    }

    pub(super) fn deadline(&self) -> Time {
        self.tick_at.min(self.stream_at)
    }

    /// Asks for the timer to fire at once.
    pub(super) fn stream_soon(&mut self, now: Time) {
        self.stream_at = self.stream_at.min(now);
    }

    /// Sends what is due. Whether somebody needs the state, and there is none that `may_install`:
    /// then it must be called again when there is one.
    pub(super) fn on_timer(
        &mut self,
        now: Time,
        replica: &Replica,
        may_install: impl Fn(Position) -> bool,
        outbox: &mut Vec<(NodeId, Streamed)>,
    ) -> bool {
        if self.tick_at <= now {
            self.tick_at = now + self.timing.heartbeat;
            self.stream_at = now;
            let last = replica.last().index;
            for follower in &mut self.followers {
                follower.give_up_waiting(now, &self.timing);
                if follower.matched >= last {
                    follower.moved = now;
                }
                let told = follower.tell(self.epoch, now, replica, &self.timing);
                outbox.extend(told.map(|told| (follower.node, told)));
            }
        }
        if self.stream_at > now {
            return false;
        }
        let image = replica.image().filter(|image| may_install(image.last));
        for follower in &mut self.followers {
            while let Some(streamed) = follower.parcel(self.epoch, now, replica, image) {
                outbox.push((follower.node, streamed));
            }
        }
        let wants_image = image.is_none() && self.followers.iter().any(Follower::wants_image);
        if !wants_image {
            self.stream_at = Time::NEVER;
        }
        wants_image
    }

    /// A follower of this epoch says where its log ends, up to where it agreed with what it was sent,
    /// and how much of it is committed.
    pub(super) fn on_reached(
        &mut self,
        now: Time,
        from: (NodeId, u64),
        [last, agreed, committed]: [Position; 3],
        own: &Replica,
    ) {
        let Some(follower) = self.followers.iter_mut().find(|f| (f.node, f.incarnation) == from)
        else {
            return;
        };
        follower.on_reached(now, [last, agreed, committed], own);
        if !follower.is_waiting() && follower.next <= own.last().index {
            self.stream_at = self.stream_at.min(now);
        }
    }
}

impl Follower {
    fn new(node: NodeId, incarnation: u64, now: Time) -> Follower {
        Follower {
            node,
            incarnation,
            reached: None,
            matched: 0,
            moved: now,
            next: 0,
            told: 0,
            heard: now,
            pace: ask(),
        }
    }

    /// The next thing to send, if the pace allows one. Counts it as sent.
    fn parcel(
        &mut self,
        epoch: u64,
        now: Time,
        own: &Replica,
        image: Option<&Arc<ReplicaImage>>,
    ) -> Option<Streamed> {
        if matches!(self.pace, Pace::Stream { .. }) && own.log().term(self.next - 1).is_none() {
            // The log has been compacted past it.
            self.pace = Pace::Install { sent: None };
        }
        match &mut self.pace {
            Pace::Ask { sent } => {
                if sent.is_some() {
                    return None;
                }
                *sent = Some(now);
                let (prev, committed) = (own.last(), own.committed().index);
                Some(Streamed::Entries { epoch, prev, entries: Vec::new(), committed })
            }
            Pace::Install { sent } => {
                let image = Arc::clone(image.filter(|_| sent.is_none())?);
                *sent = Some(now);
                Some(Streamed::Image { epoch, image })
            }
            Pace::Stream { ends, since } => {
                if ends.len() >= IN_FLIGHT_MAX || self.next > own.last().index {
                    return None;
                }
                let term = own.log().term(self.next - 1)?;
                let prev = Position { term, index: self.next - 1 };
                let entries: Vec<_> = own.log().entries(self.next, BATCH_MAX).cloned().collect();
                if ends.is_empty() {
                    *since = now;
                }
                self.next += entries.len() as u64;
                ends.push_back(self.next - 1);
                let committed = own.committed().index;
                self.told = committed.min(self.next - 1);
                Some(Streamed::Entries { epoch, prev, entries, committed })
            }
        }
    }

    /// What tells it how far the primary has committed, where nothing else will. One that was silent
    /// for long is told again: it may have been restarted, and then it does not know any more.
    fn tell(&mut self, epoch: u64, now: Time, own: &Replica, timing: &Timing) -> Option<Streamed> {
        let committed = own.committed().index;
        let idle = matches!(&self.pace, Pace::Stream { ends, .. } if ends.is_empty());
        let told = self.told >= committed.min(self.matched);
        if !idle || told && now.since(self.heard) < timing.election {
            return None;
        }
        self.told = committed.min(self.matched);
        let prev = Position { term: own.log().term(self.matched)?, index: self.matched };
        Some(Streamed::Entries { epoch, prev, entries: Vec::new(), committed })
    }

    fn is_waiting(&self) -> bool {
        match &self.pace {
            Pace::Ask { sent } | Pace::Install { sent } => sent.is_some(),
            Pace::Stream { ends, .. } => ends.len() >= IN_FLIGHT_MAX,
        }
    }

    fn wants_image(&self) -> bool {
        matches!(self.pace, Pace::Install { sent: None })
    }

    fn on_reached(&mut self, now: Time, [last, agreed, committed]: [Position; 3], own: &Replica) {
        self.heard = now;
        if self.reached.is_some_and(|reached| last < reached.0 && committed < reached.1) {
            // An answer that was overtaken. Only one of the two can go back: the end of a log when the
            // mark of an epoch that came to nothing is replaced by older entries, and what a node
            // knows to be committed when it is restarted.
            return;
        }
        let news = self.reached != Some((last, committed));
        self.reached = Some((last, committed));
        self.told = committed.index;
        let has = |at: &Position| own.log().has(*at);
        // Where the primary lacks what the follower has applied, it has to take that back: no entries help.
        let standing = Some(committed).filter(has);
        let standing = standing.map(|at| at.max(Some(agreed).filter(has).unwrap_or_default()));
        let Some(equal) = Some(last).filter(has).or(standing) else {
            if !matches!(self.pace, Pace::Install { .. }) {
                self.pace = Pace::Install { sent: None };
            }
            return;
        };
        let came_closer = equal.index > self.matched;
        if came_closer {
            self.matched = equal.index;
            self.moved = now;
        }
        match &mut self.pace {
            Pace::Stream { ends, since } => {
                while ends.front().is_some_and(|end| *end <= equal.index) {
                    ends.pop_front();
                }
                if news || came_closer {
                    *since = now;
                }
                self.next = self.next.max(equal.index + 1);
            }
            Pace::Ask { .. } | Pace::Install { .. } => {
                self.next = equal.index + 1;
                self.pace = Pace::Stream { ends: VecDeque::new(), since: now };
            }
        }
    }

    /// Stops waiting for an answer that is overdue: it, or the question, was lost.
    fn give_up_waiting(&mut self, now: Time, timing: &Timing) {
        match &mut self.pace {
            Pace::Ask { sent } => {
                if sent.is_some_and(|sent| now.since(sent) >= timing.heartbeat) {
                    *sent = None;
                }
            }
            Pace::Stream { ends, since } => {
                if !ends.is_empty() && now.since(*since) >= timing.heartbeat {
                    self.pace = ask();
                }
            }
            Pace::Install { sent } => {
                if sent.is_some_and(|sent| now.since(sent) >= timing.election) {
                    *sent = None;
                }
            }
        }
    }
}

fn ask() -> Pace {
    Pace::Ask { sent: None }
}

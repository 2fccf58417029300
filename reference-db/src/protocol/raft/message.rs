//! What the members of a Raft cluster tell each other and keep on disk.
//!
//! `C` is the command that an entry carries, `S` the state that a snapshot holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::log::{Entry, Position};
use super::members::{FOUNDER, Members};
use crate::env::NodeId;

/// What must survive a restart besides the log (Raft, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term that the node has seen.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}

/// The state after all entries up to a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image<S> {
    /// The last entry that the state reflects.
    pub last: Position,
    /// The state.
    pub state: S,
    /// Who took part there; `None` where those that the cluster began with did.
    pub members: Option<Arc<Members>>,
}

/// What is added to the durable log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record<C> {
    /// Replaces the hard state.
    Hard(HardState),
    /// An entry. It takes its place and removes all that stood there or later.
    Entry(Entry<C>),
    /// The number of the disk, which was empty when the cluster existed already.
    Incarnation(u64),
    /// The members that stand at this index of the log are agreed on.
    Agreed(u64),
}

/// All that a node needs to go on after a restart, in one piece.
///
/// It replaces every record persisted before, and a crash may come right after it. So it carries
/// the hard state and the entries behind the image itself: as records that follow it, they could
/// be lost although they had been durable, and acknowledged, before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<C, S> {
    /// Term and vote.
    pub hard: HardState,
    /// The number of the disk.
    pub incarnation: u64,
    /// Members that stand at this index or before are agreed on.
    pub agreed: u64,
    /// The state, where one has been taken.
    pub image: Option<Arc<Image<S>>>,
    /// The entries that follow the image.
    pub entries: Vec<Entry<C>>,
}

impl<C, S> Default for Snapshot<C, S> {
    fn default() -> Self {
        Snapshot {
            hard: HardState::default(),
            incarnation: 0,
            agreed: 0,
            image: None,
            entries: Vec::new(),
        }
    }
}

/// What a member tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<C, S> {
    /// Asks whether a candidacy would have a chance, without disturbing anyone (dissertation,
    /// section 9.6).
    PreVote {
        /// The term in which the sender would stand.
        term: u64,
        /// Where its log ends.
        last: Position,
    },
    /// Answers a [`Message::PreVote`].
    PreVoteReply {
        /// The term that was asked about where it is granted, otherwise the voter's own.
        term: u64,
        /// Whether the sender would vote for the receiver.
        granted: bool,
    },
    /// Tells one that would stand that the members which let the sender go are agreed on.
    Agreed {
        /// Where they stand in the log.
        at: Position,
    },
    /// Asks for a vote.
    Vote {
        /// The candidate's term.
        term: u64,
        /// Where its log ends.
        last: Position,
        /// Whether the leader itself wants another one elected.
        handed_over: bool,
    },
    /// Answers a [`Message::Vote`].
    VoteReply {
        /// The voter's term.
        term: u64,
        /// Whether the sender votes for the receiver.
        granted: bool,
    },
    /// Adds entries to a follower's log.
    Append {
        /// The leader's term.
        term: u64,
        /// The latest round of confirmation that the leader had begun.
        round: u64,
        /// What the follower's log must have for the entries to follow.
        prev: Position,
        /// The entries, without gaps.
        entries: Vec<Entry<C>>,
        /// How far the leader has committed.
        commit: u64,
    },
    /// Answers [`Message::Append`] and [`Message::Install`].
    AppendReply {
        /// The follower's term.
        term: u64,
        /// The round of the message that is answered.
        round: u64,
        /// What came of it.
        appended: Appended,
    },
    /// Shows that the leader lives, and asks whether it still leads.
    Heartbeat {
        /// The leader's term.
        term: u64,
        /// The latest round of confirmation that the leader had begun.
        round: u64,
        /// How far the leader has committed of what the follower is known to have.
        commit: u64,
    },
    /// Answers a [`Message::Heartbeat`].
    HeartbeatReply {
        /// The follower's term.
        term: u64,
        /// The round of the message that is answered.
        round: u64,
    },
    /// Asks a follower that has the whole log to stand for election at once (dissertation, section
    /// 3.10).
    StandNow {
        /// The leader's term.
        term: u64,
    },
    /// Replaces a follower's state, because the leader no longer has the entries that it lacks.
    Install {
        /// The leader's term.
        term: u64,
        /// The latest round of confirmation that the leader had begun.
        round: u64,
        /// The state.
        image: Arc<Image<S>>,
    },
    /// A message from or to a member whose disk was lost before: what it was to the one before, it is
    /// not to this one. Between members that the cluster began with, messages travel without it.
    Between {
        /// The incarnation of the sender.
        from: u64,
        /// The incarnation that the sender takes the receiver for, or answers.
        to: u64,
        /// What is said.
        message: Box<Message<C, S>>,
    },
}

impl<C, S> Message<C, S> {
    /// The message, from one incarnation to another.
    pub(super) fn between(self, from: u64, to: u64) -> Self {
        if (from, to) == (FOUNDER, FOUNDER) {
            return self;
        }
        Message::Between { from, to, message: Box::new(self) }
    }

    /// Between which incarnations the message travels, and what it says.
    pub(super) fn unwrap_between(self) -> (u64, u64, Self) {
        match self {
            Message::Between { from, to, message } => (from, to, *message),
            message => (FOUNDER, FOUNDER, message),
        }
    }

    /// Whether it answers something that the receiver said.
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self,
            Message::PreVoteReply { .. }
                | Message::VoteReply { .. }
                | Message::AppendReply { .. }
                | Message::HeartbeatReply { .. }
        )
    }
}

/// What came of a [`Message::Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Appended {
    /// The follower's log equals the leader's up to this index.
    Matched(u64),
    /// The follower's log does not have what the entries follow.
    Conflict {
        /// The index that it should have had.
        prev: u64,
        /// The last position at which the logs may agree.
        hint: Position,
    },
}

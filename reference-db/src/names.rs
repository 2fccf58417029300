//! What messages are, in a word or two: for people who read traces, and for faults that wait for the n-th
//! message of a kind.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kv::Command;
use crate::mode::Mode;
use crate::protocol::primary::stream::Streamed;
use crate::protocol::raft::message::Message as Core;
use crate::protocol::{leaderless, multi_leader, primary, raft};
use crate::wire::{self, Frame, Request};

/// The names of what clients and nodes say to each other, in every mode.
const OF_CLIENTS: [&str; 4] = ["open-session", "request", "answer", "relay"];
/// Those of a log that is agreed on.
const OF_CORE: [&str; 10] = [
    "pre-vote",
    "pre-vote-reply",
    "vote",
    "vote-reply",
    "append",
    "append-reply",
    "heartbeat",
    "heartbeat-reply",
    "install",
    "stand-now",
];

impl Mode {
    /// The names that messages of the mode go by.
    pub fn message_names(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Mode::Raft => &["forward", "ask-index", "index"],
            Mode::PrimarySync | Mode::PrimarySemiSync | Mode::PrimaryAsync => {
                &["forward", "ask", "entries", "image", "reached"]
            }
            Mode::MultiLeader => {
                &["forward", "ask", "changes", "reached", "known", "reborn", "shared"]
            }
            Mode::Leaderless | Mode::LeaderlessAbd => &[
                "fetch", "fetched", "store", "keep", "stored", "compare", "leaves", "want",
                "restore", "restored", "outlived", "knowing", "siblings", "under", "outdated",
                "forward", "how-far", "reached",
            ],
        };
        [&OF_CLIENTS[..], &OF_CORE, own].concat()
    }

    /// What a message is; nothing where the bytes are none of the mode.
    pub fn message_name(self, bytes: &[u8]) -> Option<&'static str> {
        match self {
            Mode::Raft => name(bytes, |message: &raft::Message| match message {
                raft::Message::Core(core) => of_core(core),
                raft::Message::Forward { .. } => "forward",
                raft::Message::AskIndex { .. } => "ask-index",
                raft::Message::Index { .. } => "index",
            }),
            Mode::PrimarySync | Mode::PrimarySemiSync | Mode::PrimaryAsync => {
                name(bytes, of_primary)
            }
            Mode::MultiLeader => name(bytes, |message: &multi_leader::Message| match message {
                multi_leader::Message::Region(core) => of_core(core),
                multi_leader::Message::Forward { .. } => "forward",
                multi_leader::Message::Changes { changes, .. } if changes.is_empty() => "ask",
                multi_leader::Message::Changes { .. } => "changes",
                multi_leader::Message::Reached(_) => "reached",
                multi_leader::Message::Known(_) => "known",
                multi_leader::Message::Reborn { .. } => "reborn",
                multi_leader::Message::Shared { .. } => "shared",
            }),
            Mode::Leaderless | Mode::LeaderlessAbd => name(bytes, of_leaderless),
        }
    }
}

fn name<M: DeserializeOwned + Serialize>(
    bytes: &[u8],
    of_peers: impl Fn(&M) -> &'static str,
) -> Option<&'static str> {
    Some(match wire::decode::<Frame<M>>(bytes).ok()? {
        Frame::Peer(message) => of_peers(&message),
        Frame::Relay { .. } => "relay",
        Frame::Request(Request { command: Command::OpenSession, .. }) => "open-session",
        Frame::Request(_) => "request",
        Frame::Response { .. } => "answer",
    })
}

fn of_core<C, S>(message: &Core<C, S>) -> &'static str {
    match message {
        Core::PreVote { .. } => "pre-vote",
        Core::PreVoteReply { .. } => "pre-vote-reply",
        Core::Vote { .. } => "vote",
        Core::VoteReply { .. } => "vote-reply",
        Core::Append { .. } => "append",
        Core::AppendReply { .. } => "append-reply",
        Core::Heartbeat { .. } => "heartbeat",
        Core::HeartbeatReply { .. } => "heartbeat-reply",
        Core::Install { .. } => "install",
        Core::StandNow { .. } => "stand-now",
        Core::Between { message, .. } => of_core(message),
    }
}

fn of_primary(message: &primary::Message) -> &'static str {
    match message {
        primary::Message::Control(core) => of_core(core),
        primary::Message::Stream(Streamed::Entries { entries, .. }) if entries.is_empty() => "ask",
        primary::Message::Stream(Streamed::Entries { .. }) => "entries",
        primary::Message::Stream(Streamed::Image { .. }) => "image",
        primary::Message::Stream(Streamed::Reached { .. }) => "reached",
        primary::Message::Forward { .. } => "forward",
    }
}

fn of_leaderless(message: &leaderless::Message) -> &'static str {
    match message {
        leaderless::Message::Fetch { .. } => "fetch",
        leaderless::Message::Fetched { .. } => "fetched",
        leaderless::Message::Store { .. } => "store",
        leaderless::Message::Keep { .. } => "keep",
        leaderless::Message::Stored { .. } => "stored",
        leaderless::Message::Compare(_) => "compare",
        leaderless::Message::Leaves(_) => "leaves",
        leaderless::Message::Want(_) => "want",
        leaderless::Message::Restore { .. } => "restore",
        leaderless::Message::Restored { .. } => "restored",
        leaderless::Message::Outlived => "outlived",
        leaderless::Message::Knowing { .. } => "knowing",
        leaderless::Message::Siblings(_) => "siblings",
        leaderless::Message::Under { .. } => "under",
        leaderless::Message::Outdated => "outdated",
        leaderless::Message::Control(core) => of_core(core),
        leaderless::Message::Forward { .. } => "forward",
        leaderless::Message::HowFar => "how-far",
        leaderless::Message::Reached { .. } => "reached",
    }
}

//! What messages are, in a word or two, and which request they are about: for people who read traces, for stories made from
//! these, and for faults that wait for the n-th message of a kind.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::env::ClientId;
use crate::kv::Command;
use crate::mode::Mode;
use crate::protocol::primary::stream::Streamed;
use crate::protocol::raft::message::Message as Core;
use crate::protocol::{Origin, leaderless, multi_leader, primary, raft};
use crate::wire::{self, Frame, Request};

/// The names of what clients and nodes say to each other, in every mode.
const OF_CLIENTS: [&str; 4] = ["open-session", "request", "answer", "relay"];
/// Those of a log that is agreed on.
const OF_CORE: [&str; 11] = [
    "pre-vote",
    "pre-vote-reply",
    "agreed",
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
            Mode::MultiLeader => &[
                "forward",
                "ask",
                "changes",
                "reached",
                "known",
                "reborn",
                "shared",
                "who-votes",
                "voters",
            ],
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
                multi_leader::Message::WhoVotes { .. } => "who-votes",
                multi_leader::Message::Voters { .. } => "voters",
            }),
            Mode::Leaderless | Mode::LeaderlessAbd => name(bytes, of_leaderless),
        }
    }

    /// The number of the request that a message is, passes on or answers, and where it is from node to node, whose request;
    /// nothing for what nodes have to say to each other.
    pub fn question(self, bytes: &[u8]) -> Option<(Option<ClientId>, u64)> {
        match self {
            Mode::Raft => question(bytes, |message: raft::Message| match message {
                raft::Message::Forward { origin, request } => Some((origin, request)),
                _ => None,
            }),
            Mode::PrimarySync | Mode::PrimarySemiSync | Mode::PrimaryAsync => {
                question(bytes, |message: primary::Message| match message {
                    primary::Message::Forward { origin, request } => Some((origin, request)),
                    _ => None,
                })
            }
            Mode::MultiLeader => question(bytes, |message: multi_leader::Message| match message {
                multi_leader::Message::Forward { origin, request, .. } => Some((origin, request)),
                _ => None,
            }),
            Mode::Leaderless | Mode::LeaderlessAbd => {
                question(bytes, |message: leaderless::Message| match message {
                    leaderless::Message::Forward { origin, request, .. } => Some((origin, request)),
                    _ => None,
                })
            }
        }
    }
}

fn question<M: DeserializeOwned>(
    bytes: &[u8],
    passed_on: impl Fn(M) -> Option<(Origin, Request)>,
) -> Option<(Option<ClientId>, u64)> {
    match wire::decode::<Frame<M>>(bytes).ok()? {
        Frame::Peer(message) => {
            let (origin, request) = passed_on(message)?;
            Some((Some(origin.client), request.sequence))
        }
        Frame::Relay { client, sequence, .. } => Some((Some(client), sequence)),
        Frame::Request(Request { sequence, .. }) | Frame::Response { sequence, .. } => {
            Some((None, sequence))
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
        Core::Agreed { .. } => "agreed",
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

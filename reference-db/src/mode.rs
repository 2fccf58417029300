//! The modes by name, for whoever chooses one at run time.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::env::Env;
use crate::protocol::leaderless::Leaderless;
use crate::protocol::multi_leader::MultiLeader;
use crate::protocol::primary::{Acknowledge, Primary};
use crate::protocol::raft::Raft;
use crate::server::{self, Ended, ServerConfig};

/// A kind of replication. All nodes of a cluster run the same, and never another one on the same
/// files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Every change goes through a log that a majority agrees on: [`Raft`].
    Raft,
    /// One node takes all changes, and answers when everyone has them: [`Primary`].
    PrimarySync,
    /// The same, but it answers when one other node has them.
    PrimarySemiSync,
    /// The same, but it answers at once.
    PrimaryAsync,
    /// Each region has a leader, and leaders tell each other: [`MultiLeader`].
    MultiLeader,
    /// Any node takes changes to some others, and the later one wins, or both stay: [`Leaderless`].
    Leaderless,
    /// The same in two phases, so that registers are linearizable.
    LeaderlessAbd,
}

/// Every mode and its name.
pub const MODES: &[(Mode, &str)] = &[
    (Mode::Raft, "raft"),
    (Mode::PrimarySync, "primary-sync"),
    (Mode::PrimarySemiSync, "primary-semi-sync"),
    (Mode::PrimaryAsync, "primary-async"),
    (Mode::MultiLeader, "multi-leader"),
    (Mode::Leaderless, "leaderless"),
    (Mode::LeaderlessAbd, "leaderless-abd"),
];

impl Mode {
    /// Runs a node in this mode until it cannot go on.
    ///
    /// # Errors
    /// As [`server::serve`].
    pub async fn serve<E: Env>(self, env: E, config: ServerConfig) -> Result<Infallible, Ended> {
        let acknowledge = self.acknowledge();
        match self {
            Mode::Raft => server::serve::<Raft, E>(env, config, acknowledge).await,
            Mode::PrimarySync | Mode::PrimarySemiSync | Mode::PrimaryAsync => {
                server::serve::<Primary, E>(env, config, acknowledge).await
            }
            Mode::MultiLeader => server::serve::<MultiLeader, E>(env, config, acknowledge).await,
            Mode::Leaderless | Mode::LeaderlessAbd => {
                server::serve::<Leaderless, E>(env, config, acknowledge).await
            }
        }
    }

    /// Who must have a change before it counts, where a primary decides that.
    fn acknowledge(self) -> Acknowledge {
        match self {
            Mode::PrimarySync => Acknowledge::All,
            Mode::PrimarySemiSync => Acknowledge::One,
            Mode::PrimaryAsync
            | Mode::Raft
            | Mode::MultiLeader
            | Mode::Leaderless
            | Mode::LeaderlessAbd => Acknowledge::None,
        }
    }

    /// The name by which people choose the mode.
    ///
    /// # Panics
    /// Never: the tests find every mode in [`MODES`].
    pub fn name(self) -> &'static str {
        let entry = MODES.iter().find(|(mode, _)| *mode == self);
        entry.expect("every mode is in the table").1
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no mode has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mode is called `{name}`; there are {}", names())]
pub struct UnknownMode {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Mode, UnknownMode> {
        let entry = MODES.iter().find(|(_, known)| *known == name);
        entry.map(|(mode, _)| *mode).ok_or_else(|| UnknownMode { name: name.to_owned() })
    }
}

fn names() -> String {
    MODES.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

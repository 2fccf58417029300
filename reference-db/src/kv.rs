//! The state that is replicated: keys to values, and client sessions.

use serde::{Deserialize, Serialize};

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session; answered with [`Reply::Session`].
    OpenSession,
    /// Returns what the key holds.
    Read {
        /// The key that is read.
        key: String,
        /// How much is asked for.
        level: ReadLevel,
    },
    /// Makes the key hold `value`.
    Write {
        /// The key that is written.
        key: String,
        /// What it holds afterwards.
        value: Vec<u8>,
    },
    /// Makes the key hold `to` if it holds `from`, where `None` stands for an absent key.
    Cas {
        /// The key that is changed.
        key: String,
        /// What it must hold.
        from: Option<Vec<u8>>,
        /// What it holds afterwards.
        to: Option<Vec<u8>>,
    },
    /// Makes the key absent.
    Delete {
        /// The key that is emptied.
        key: String,
    },
}

/// How much a read asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReadLevel {
    /// The strongest read that the mode offers.
    #[default]
    Strong,
    /// Whatever the addressed node holds itself, at once.
    Replica,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// A session was opened under this number.
    Session(u64),
    /// The change was made.
    Done,
    /// What the key holds; `None` where it is absent.
    Value(Option<Vec<u8>>),
    /// A compare-and-set found this instead of `from`, and changed nothing.
    Mismatch(Option<Vec<u8>>),
    /// The node does not lead, knows no leader, and did nothing. Proof that *this copy* of the
    /// request had no effect; says nothing about copies sent earlier.
    NotLeader,
    /// The session is unknown, or was forgotten. Whether an earlier copy of the request took
    /// effect cannot be said.
    SessionUnknown,
}

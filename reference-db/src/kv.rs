//! The state that is replicated: keys to values, and client sessions.
//!
//! A client numbers its requests, and its session remembers the last one that changed something
//! together with its answer, so that a retry is answered without being applied again (Ongaro,
//! "Consensus: Bridging Theory and Practice", 2014, section 6.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::env::NodeId;
use crate::merge::VersionVector;
use crate::wire::{self, Request};

mod datum;
mod txn;

pub use datum::{Datum, Update};
pub use txn::Step;

/// The whole state of a node, a deterministic function of the changes applied to it, in order.
///
/// It serialises to what a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kv {
    values: BTreeMap<String, Datum>,
    sessions: BTreeMap<u64, Session>,
}

/// What is remembered of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    /// Where in the log it last asked for a change.
    touched: u64,
    /// The highest number of a request that it had applied; 0 before the first.
    sequence: u64,
    /// The answer to that one.
    reply: Option<Reply>,
}

impl Kv {
    /// Applies one change, at most once for each sequence number of a session.
    ///
    /// `at` says where in the order of all changes this one stands. It must grow from call to call
    /// and becomes the number of the session that is opened, if one is. More than `sessions_max`
    /// sessions (at least one) are never kept: the one that was touched longest ago goes first.
    ///
    /// `None` stands for a retry of a request that a later one of its session has overtaken: its
    /// client has gone on and waits for no answer.
    pub fn apply(&mut self, at: u64, request: &Request, sessions_max: usize) -> Option<Reply> {
        match &request.command {
            Command::OpenSession => Some(self.open(at, sessions_max)),
            Command::Read { key, .. } => Some(self.read(key)),
            // They change no state: who leads and who takes part is no part of it.
            Command::Transfer { .. } | Command::Admit { .. } | Command::Dismiss { .. } => {
                Some(Reply::Unsupported)
            }
            Command::Write { .. }
            | Command::Cas { .. }
            | Command::Delete { .. }
            | Command::Update { .. }
            | Command::Txn { .. } => self.change_once(at, request),
            Command::Replace { .. } => Some(Reply::Unsupported),
        }
    }

    /// What a key holds, as an answer.
    pub fn read(&self, key: &str) -> Reply {
        match self.values.get(key) {
            None => Reply::Value(None),
            Some(Datum::Register(value)) => Reply::Value(Some(value.clone())),
            Some(datum) => Reply::Datum(datum.clone()),
        }
    }

    /// All keys that hold something, in order, and what they hold.
    pub fn values(&self) -> &BTreeMap<String, Datum> {
        &self.values
    }

    /// The numbers of the sessions that are remembered, in order.
    pub fn sessions(&self) -> impl Iterator<Item = u64> + '_ {
        self.sessions.keys().copied()
    }

    fn open(&mut self, at: u64, sessions_max: usize) -> Reply {
        self.sessions.insert(at, Session { touched: at, ..Session::default() });
        while self.sessions.len() > sessions_max.max(1) {
            let silent = self.sessions.iter().min_by_key(|(_, session)| session.touched);
            let number = *silent.expect("there is more than one session").0;
            self.sessions.remove(&number);
        }
        Reply::Session(at)
    }

    fn change_once(&mut self, at: u64, request: &Request) -> Option<Reply> {
        let Some(session) = self.sessions.get_mut(&request.session) else {
            return Some(Reply::SessionUnknown);
        };
        session.touched = at;
        if request.sequence <= session.sequence {
            let same = request.sequence == session.sequence;
            return session.reply.clone().filter(|_| same);
        }
        let reply = change(&mut self.values, &request.command);
        session.sequence = request.sequence;
        session.reply = Some(reply.clone());
        Some(reply)
    }
}

fn change(values: &mut BTreeMap<String, Datum>, command: &Command) -> Reply {
    match command {
        Command::Write { key, value } => put(values, key, Some(value)),
        Command::Cas { key, from, to } => {
            let held = match values.get(key) {
                None => None,
                Some(Datum::Register(value)) => Some(value),
                Some(_) => return Reply::WrongKind,
            };
            if held != from.as_ref() {
                return Reply::Mismatch(held.cloned());
            }
            put(values, key, to.as_ref());
        }
        Command::Delete { key } => put(values, key, None),
        Command::Update { key, update } => {
            if let Err(refused) = datum::update(values, key, update) {
                return refused;
            }
        }
        Command::Txn { steps } => return txn::perform(values, steps),
        Command::OpenSession
        | Command::Read { .. }
        | Command::Replace { .. }
        | Command::Transfer { .. }
        | Command::Admit { .. }
        | Command::Dismiss { .. } => {
            unreachable!("only what changes a value needs a session")
        }
    }
    Reply::Done
}

/// Makes a key hold a register, whatever it held, or nothing.
fn put(values: &mut BTreeMap<String, Datum>, key: &str, value: Option<&Vec<u8>>) {
    match (values.get_mut(key), value) {
        (Some(Datum::Register(held)), Some(value)) => held.clone_from(value),
        (Some(held), Some(value)) => *held = Datum::Register(value.clone()),
        (None, Some(value)) => {
            values.insert(key.to_owned(), Datum::Register(value.clone()));
        }
        (Some(_), None) => {
            values.remove(key);
        }
        (None, None) => {}
    }
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session; answered with [`Reply::Session`] or [`Reply::NodeSession`].
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
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    /// Makes the key hold `to` if it holds `from`, where `None` stands for an absent key.
    Cas {
        /// The key that is changed.
        key: String,
        /// What it must hold.
        #[serde(with = "serde_bytes")]
        from: Option<Vec<u8>>,
        /// What it holds afterwards.
        #[serde(with = "serde_bytes")]
        to: Option<Vec<u8>>,
    },
    /// Lets a node in that does not take part; answered when it has what the others have, and counts.
    Admit {
        /// The node.
        node: NodeId,
    },
    /// Lets a node go; answered when that is agreed on and nobody waits for anything that it has.
    Dismiss {
        /// The node.
        node: NodeId,
    },
    /// Makes the key absent.
    Delete {
        /// The key that is emptied.
        key: String,
    },
    /// Changes what the key holds without asking what that is: a counter, a set or a list, which an
    /// absent key becomes.
    Update {
        /// The key that is changed.
        key: String,
        /// How.
        update: Update,
    },
    /// Makes the key hold `value`, or nothing, in place of what the client has read of it, and of
    /// nothing else.
    Replace {
        /// The key that is written.
        key: String,
        /// What it holds afterwards, besides what the client has not read.
        #[serde(with = "serde_bytes")]
        value: Option<Vec<u8>>,
        /// What the client has read: the context of its last [`Reply::Siblings`].
        context: VersionVector,
        /// Whether it is to be told by another one what stands there now, and not by [`Reply::Done`].
        shown: bool,
    },
    /// Does several steps at once, or none of them; answered with [`Reply::Txn`].
    Txn {
        /// The steps, in order. A later one sees what an earlier one did.
        steps: Vec<Step>,
    },
    /// Makes another node the leader; answered with [`Reply::Done`] when it is.
    Transfer {
        /// Which.
        to: NodeId,
    },
}

impl Command {
    /// Whether it changes who takes part.
    pub(crate) fn is_about_members(&self) -> bool {
        matches!(self, Command::Admit { .. } | Command::Dismiss { .. })
    }
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
    /// A session was opened under this number, which this node alone knows.
    NodeSession(u64),
    /// The change was made, or the node that was to lead does.
    Done,
    /// What the key holds; `None` where it is absent.
    Value(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    /// What the key holds, where that is no register.
    Datum(Datum),
    /// What the key holds, where writes that did not know of each other stand side by side.
    Siblings {
        /// All of them; none where the key is absent.
        #[serde(with = "wire::each")]
        values: Vec<Vec<u8>>,
        /// What the client has seen with this, for its next write of the key.
        context: VersionVector,
    },
    /// A transaction was done: what each of its reads found, in their order.
    Txn(Vec<Option<Datum>>),
    /// A compare-and-set found this instead of `from`, and changed nothing.
    Mismatch(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    /// The key holds another kind of value than the command is for, and nothing was done.
    WrongKind,
    /// A counter does not hold as much as a transaction was to take from it, and nothing was done.
    TooLittle,
    /// The node does not lead, knows no leader, and did nothing; or it has lost its disk and does not
    /// have everything again. Proof that *this copy* of the
    /// request had no effect; says nothing about copies sent earlier.
    NotLeader,
    /// The mode does not offer this, or too few nodes would be left, and nothing was done.
    Unsupported,
    /// What the client has seen was lost: no state contains it any more, and nothing was done.
    Lost,
    /// The session is unknown, or was forgotten. Whether an earlier copy of the request took
    /// effect cannot be said.
    SessionUnknown,
    /// The request has [more bytes](crate::wire::REQUEST_LEN_MAX) than one may have, and nothing was done.
    TooLong,
    /// No such node takes part, or can be let in, and nothing was done.
    NoSuchNode,
    /// A counter would come to a sum that 64 bits do not hold, and nothing was done.
    TooMuch,
    /// The set that a client has read, in order to change it, does not have what was to be removed. Nothing was
    /// written.
    Absent,
    /// The client asked an epoch that is over, and what that epoch had taken on may be lost. Nothing is done
    /// in this one; whether an earlier copy of the request took effect cannot be said.
    EpochOver,
}

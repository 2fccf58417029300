//! Everything that happened in a run, for the replay of a failure.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use checkers::history::{FaultId, NodeId, SessionId, Time};
use serde::{Deserialize, Serialize};

use crate::sim::{Address, Role};

/// What happened, in order.
pub type Trace = Vec<TraceEvent>;

/// One thing that happened, below the level of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When.
    pub at: Time,
    /// Where.
    pub place: Place,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// Who something happened to. It is written `n2`, or `c4` for the client with session 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// A node.
    Node(NodeId),
    /// A client.
    Client(SessionId),
    /// Who adds nodes and removes them.
    Operator,
}

impl Place {
    /// The node that it is, if it is one.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Place::Node(node) => Some(node),
            Place::Client(_) | Place::Operator => None,
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Place::Node(node) => write!(f, "n{node}"),
            Place::Client(session) => write!(f, "c{session}"),
            Place::Operator => f.write_str("operator"),
        }
    }
}

impl From<Address> for Place {
    fn from(address: Address) -> Place {
        match address {
            Address::Node(node) => Place::Node(node),
            Address::Client(session) => Place::Client(session),
        }
    }
}

impl From<NodeId> for Place {
    fn from(node: NodeId) -> Place {
        Place::Node(node)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        let number = |rest: &str| rest.parse::<u32>().ok();
        let node = text.strip_prefix('n').and_then(number).map(|node| Place::Node(NodeId(node)));
        let client =
            || text.strip_prefix('c').and_then(number).map(|id| Place::Client(SessionId(id)));
        let operator = || (text == "operator").then_some(Place::Operator);
        node.or_else(client)
            .or_else(operator)
            .ok_or_else(|| format!("`{text}` is no place: a node is `n2`, a client `c4`"))
    }
}

/// What happens at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Happening {
    /// It sent a message.
    Sent(Sent),
    /// It took up a message. A message that was copied can be taken up more than once.
    Received {
        /// The number that the message was sent with.
        message: u64,
        /// Who sent it.
        from: Place,
    },
    /// A message that it sent does not arrive.
    Lost {
        /// The number that the message was sent with.
        message: u64,
        /// To whom it was sent.
        to: Place,
        /// Why.
        why: Loss,
    },
    /// It has decided what to answer. What it takes up after that has no part in the answer, even where it leaves later.
    Decides {
        /// Whom it answers.
        to: Place,
        /// The number of the request, of its client's own, if the system tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<u64>,
    },
    /// It gets into a rare state.
    Reaches {
        /// The name of the state.
        mark: String,
    },
    /// It takes itself for something.
    Role {
        /// For what.
        role: Role,
        /// In which term or epoch.
        term: u64,
    },
    /// It begins to run.
    Starts,
    /// It ends to run.
    Stops {
        /// How, in words that follow its name.
        how: String,
    },
    /// Something else, in words that follow its name.
    Note {
        /// Which.
        words: String,
    },
}

/// A message that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its number, of its own in a run.
    pub message: u64,
    /// To whom.
    pub to: Place,
    /// How long it is.
    pub bytes: u64,
    /// The name that messages of its kind go by, if they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which request it is, passes on or answers, if the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// By which fault it comes late, and by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Later>,
    /// How long after it each of its copies comes, and by which fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Later>,
}

/// What a client asks: all copies of a request and all answers to it are about the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The client.
    pub client: SessionId,
    /// The number that it has for it, and for nothing else.
    pub number: u64,
}

/// Something comes later because of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// Which fault.
    pub fault: FaultId,
    /// By how many virtual nanoseconds.
    pub by_ns: u64,
}

/// Why a message does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// A fault has cut the link.
    Cut(FaultId),
    /// A fault has lost this very message.
    Fault(FaultId),
    /// Who should receive it is down.
    Down,
    /// Who should receive it takes up none, and its buffer is full.
    Full,
    /// It is longer than a message may be.
    TooLong,
}

impl Display for Happening {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Sent(sent) => write!(f, "{sent}"),
            Happening::Received { message, from } => {
                write!(f, "from {from}: received message {message}")
            }
            Happening::Lost { message, to, why } => write!(f, "to {to}: message {message} {why}"),
            Happening::Decides { to, .. } => write!(f, "decides what to answer {to}"),
            Happening::Reaches { mark } => write!(f, "gets into a rare state: {mark}"),
            Happening::Role { role, term } => write!(f, "is {role} in term {term}"),
            Happening::Starts => f.write_str("starts"),
            Happening::Stops { how } => f.write_str(how),
            Happening::Note { words } => f.write_str(words),
        }
    }
}

impl Display for Sent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Sent { message, to, bytes, kind, question: _, late, copies } = self;
        write!(f, "to {to}: sent message {message} of {bytes} bytes")?;
        if let Some(kind) = kind {
            write!(f, " ({kind})")?;
        }
        if let Some(late) = late {
            write!(f, ", {late} late by fault {}", late.fault)?;
        }
        for copy in copies {
            write!(f, ", again {copy} later by fault {}", copy.fault)?;
        }
        Ok(())
    }
}

impl Display for Later {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", Duration::from_nanos(self.by_ns).as_millis())
    }
}

impl Display for Loss {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Cut(fault) => write!(f, "dropped, cut by fault {fault}"),
            Loss::Fault(fault) => write!(f, "lost by fault {fault}"),
            Loss::Down => f.write_str("dropped, it is down"),
            Loss::Full => f.write_str("dropped, its buffer is full"),
            Loss::TooLong => f.write_str("dropped, it is too long"),
        }
    }
}

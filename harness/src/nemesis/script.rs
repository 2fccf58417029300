//! Faults that a plan names one by one: at a time, or when the n-th message of a kind is sent.

use std::fmt;
use std::time::Duration;

use checkers::history::{FaultId, NodeId, Time};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Fault, Planned, Target, limits};
use crate::plan;
use crate::seed::Seed;

/// A fault that a plan names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// When it begins; where it waits for a message, from when on those are counted.
    #[serde(default, with = "plan::duration")]
    pub at: Duration,
    /// The message that it waits for, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Nth>,
    /// How long it lasts.
    #[serde(with = "plan::duration")]
    pub lasts: Duration,
    /// What is done.
    pub fault: Fault,
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tell(f, self.fault, self.after)
    }
}

/// Says what is done, and after what.
pub(super) fn tell(f: &mut fmt::Formatter<'_>, fault: Fault, after: Option<Nth>) -> fmt::Result {
    match after {
        None => write!(f, "{fault}"),
        Some(message) => write!(f, "{fault}, after {message}"),
    }
}

impl Scripted {
    /// The fault as one of the schedule of a run; `index` is its place in the plan.
    pub(super) fn planned(&self, index: usize, seed: Seed) -> Planned {
        let at = Time::ZERO + self.at;
        let salt = seed.stream(&format!("script/{index}")).number();
        let Scripted { after, fault, lasts, .. } = *self;
        Planned { id: FaultId(0), at, until: at + lasts, fault, salt, after, scripted: true }
    }

    /// Whether a fault of a run is this one.
    pub(crate) fn is(&self, planned: &Planned) -> bool {
        let Scripted { at, after, fault, .. } = *self;
        planned.scripted
            && (Time::ZERO + at, after, fault) == (planned.at, planned.after, planned.fault)
    }

    /// Why no run has it of a system whose messages go by these names, on as many nodes as there are at the
    /// most, if so: the setting, and what is wrong with it.
    pub(crate) fn refusal(
        &self,
        safety: Duration,
        names: &[&str],
        nodes: u32,
    ) -> Option<(&'static str, String)> {
        if let Some(Target::Node(node)) = self.fault.aimed_at()
            && !(1..=nodes).contains(&node.0)
        {
            let words = format!("is aimed at node {node}, and there are 1 to {nodes}");
            return Some(("fault", words));
        }
        let asked = [("after", self.after), ("fault", self.fault.awaited())];
        for (setting, message) in asked {
            let Some(message) = message else { continue };
            let refusal = message.unknown(names).or_else(|| message.refusal());
            if let Some(refusal) = refusal.or_else(|| message.unsent(nodes)) {
                return Some((setting, refusal));
            }
        }
        let refusal = limits::refusal(&self.fault).or_else(|| limits::idleness(&self.fault));
        self.refusal_of_times(safety).or_else(|| Some(("fault", refusal?)))
    }

    /// Why it cannot be when it is to be, if so: the setting, and what is wrong with it.
    fn refusal_of_times(&self, safety: Duration) -> Option<(&'static str, String)> {
        let time = humantime::format_duration;
        if self.lasts.is_zero() {
            return Some(("lasts", "lasts for no time; such as lasts = \"1s\"".to_owned()));
        }
        if self.at.saturating_add(self.lasts) > safety {
            let setting = if self.at < safety { "lasts" } else { "at" };
            return Some((
                setting,
                format!(
                    "lasts for {} from {} on, and the safety phase ends at {}",
                    time(self.lasts),
                    time(self.at),
                    time(safety)
                ),
            ));
        }
        match self.fault {
            Fault::RollingRestart { down, .. } if down > self.lasts => Some((
                "fault",
                format!(
                    "lasts for {}, and is over before the first node is back and the next one ends; such as down = \"{}\", \
                     or lasts = \"{}\"",
                    time(self.lasts),
                    time(self.lasts / 4),
                    time((down * 4).min(safety))
                ),
            )),
            _ => None,
        }
    }
}

/// The n-th message of a kind from somebody to somebody. Those count that leave their sender: what a cut link
/// or a fault takes does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nth {
    /// Which of them, from 1 on.
    #[serde(default = "first")]
    pub nth: u32,
    /// Of which kind; of any, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Kind>,
    /// Who sends it.
    #[serde(default)]
    pub from: End,
    /// Who is to get it.
    #[serde(default)]
    pub to: End,
}

fn first() -> u32 {
    1
}

impl Nth {
    /// Why none of the messages that go by these names is of its kind, if so.
    fn unknown(&self, names: &[&str]) -> Option<String> {
        let kind = self.of.filter(|kind| !names.contains(&kind.as_str()))?;
        let known = match names {
            [] => "the messages of this system have no names".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Some(format!("waits for a message `{kind}`; {known}"))
    }

    /// Why nobody of so many nodes sends such a message, if so.
    fn unsent(&self, nodes: u32) -> Option<String> {
        let Nth { from, to, .. } = *self;
        for (setting, end) in [("from", from), ("to", to)] {
            if let End::Node(node) = end
                && !(1..=nodes).contains(&node.0)
            {
                return Some(format!(
                    "waits for a message {setting} node {node}, and there are 1 to {nodes}; such as {setting} = {{ node = \
                     {nodes} }}"
                ));
            }
        }
        let is_one = matches!(from, End::Node(_) | End::Clients);
        (is_one && from == to).then(|| {
            format!("waits for a message from {from} to {to}, and nobody sends one; such as to = \"anyone\"")
        })
    }

    /// Why there is no such message, if so.
    pub(super) fn refusal(&self) -> Option<String> {
        (self.nth == 0).then(|| "waits for message 0, and they are counted from 1 on".to_owned())
    }
}

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.as_ref().map_or("message", Kind::as_str);
        let Nth { nth, from, to, .. } = self;
        write!(f, "{of} {nth} from {from} to {to}")
    }
}

/// Who sends a message, or is to get it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// This node.
    Node(NodeId),
    /// A node that takes itself for the leader at that moment.
    Leader,
    /// A node that does not.
    Follower,
    /// A client.
    Clients,
    /// Whoever it is.
    #[default]
    Anyone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Node(node) => write!(f, "n{node}"),
            End::Leader => f.write_str("leader"),
            End::Follower => f.write_str("follower"),
            End::Clients => f.write_str("clients"),
            End::Anyone => f.write_str("anyone"),
        }
    }
}

/// The name of a kind of messages. It is kept in place, so that faults stay small and can be copied.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Kind {
    bytes: [u8; Kind::LEN_MAX],
    len: u8,
}

impl Kind {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 24;

    /// The name.
    ///
    /// # Panics
    /// Never: it was made of text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(bytes).expect("it was made of text")
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Kind, String> {
        let mut bytes = [0; Kind::LEN_MAX];
        let Some(place) = bytes.get_mut(..name.len()) else {
            return Err(format!(
                "`{name}` is no kind of messages; a name has {} bytes at most",
                Kind::LEN_MAX
            ));
        };
        place.copy_from_slice(name.as_bytes());
        Ok(Kind { bytes, len: name.len() as u8 })
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> String {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Reads a time as people write it, or as stored schedules have it.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Exact(Duration),
    }
    match Written::deserialize(deserializer)? {
        Written::Text(text) => plan::duration::parsed(&text),
        Written::Exact(duration) => Ok(duration),
    }
}

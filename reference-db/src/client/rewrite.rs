//! Sets where the store has registers alone: a client reads, changes what it has read, and writes it
//! back whole.
//!
//! What another client writes in between is lost where the later write wins: two clients read the same
//! set, each adds an element, and the second write does not have the first one's. Where both writes
//! stand side by side nothing is lost: whoever reads next puts them together. The price is that an
//! element which one client removes while another one writes the set for any reason comes back.

use std::collections::BTreeSet;

use super::{Answer, Client};
use crate::env::{ClientEnv, Time};
use crate::kv::{Command, Datum, ReadLevel, Reply, Update};
use crate::wire;

/// What the bytes of a set begin with. No other value of a client of this library does.
const MAGIC: &[u8] = b"set\0";

type Elements = BTreeSet<Vec<u8>>;

impl<C: ClientEnv> Client<C> {
    /// Changes a set that is kept in a register.
    pub(super) async fn rewrite(&mut self, key: String, update: Update, deadline: Time) -> Answer {
        let read = Command::Read { key: key.clone(), level: ReadLevel::Strong };
        let (held, context) = match self.call_plainly(read, deadline).await {
            Answer::Reply(Reply::Value(held)) => (held.into_iter().collect(), None),
            Answer::Reply(Reply::Siblings { values, context }) => (values, Some(context)),
            // Nothing was written.
            Answer::Unknown | Answer::NotDone => return Answer::NotDone,
            Answer::Lost { .. } => return Answer::Lost { unknown: false },
            Answer::Reply(reply) => return Answer::Reply(reply),
        };
        let Some(mut elements) = all_of(&held) else { return Answer::Reply(Reply::WrongKind) };
        match update {
            Update::Add(element) => {
                elements.insert(element);
            }
            // It may be there all the same, where quorums need not meet: then nothing would take it away.
            Update::Remove(element) if !elements.remove(&element) => {
                return Answer::Reply(Reply::Absent);
            }
            Update::Remove(_) => {}
            Update::Increment(_) | Update::Append(_) => {
                return Answer::Reply(Reply::Unsupported);
            }
        }
        let value = [MAGIC, &wire::encode(&elements)].concat();
        let write = match context {
            Some(context) => Command::Replace { key, value: Some(value), context },
            None => Command::Write { key, value },
        };
        self.call_plainly(write, deadline).await
    }
}

/// All elements of these sets; nothing where one of them is no set.
fn all_of(held: &[Vec<u8>]) -> Option<Elements> {
    let mut all = Elements::new();
    for bytes in held {
        let elements: Elements = wire::decode(bytes.strip_prefix(MAGIC)?).ok()?;
        all.extend(elements);
    }
    Some(all)
}

/// An answer in which what is a set appears as one.
pub(super) fn as_set(reply: Reply) -> Reply {
    let held = match &reply {
        Reply::Value(Some(bytes)) => std::slice::from_ref(bytes),
        Reply::Siblings { values, .. } if values.is_empty() => return Reply::Value(None),
        Reply::Siblings { values, .. } => values,
        _ => return reply,
    };
    all_of(held).map_or_else(|| reply.clone(), |elements| Reply::Datum(Datum::Set(elements)))
}

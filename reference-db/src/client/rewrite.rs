//! Sets where the store has registers alone: a client reads, changes what it has read, and writes it
//! back whole.
//!
//! What another client writes in between is lost where the later write wins: two clients read the same
//! set, each adds an element, and the second write does not have the first one's. Where both writes
//! stand side by side nothing is lost: whoever reads next puts them together. The price is that an
//! element which one client removes while another one writes the set for any reason comes back.
//!
//! **What a client has written itself it has seen**, whatever a later read shows. Quorums that need not meet
//! can show it less than that: it adds 1; it reads `{1}`, adds 2 and writes `{1, 2}`; it reads `{1}` at
//! nodes that the last write has not come to, removes 1 and writes `{}` in the place of that. Then `{1, 2}`,
//! of which this write says nothing, stands beside it, and 1 is back. So a change is answered with what
//! stands there after it, and the client puts that together with what it reads before the next one. It
//! keeps that of every set that it has written, as long as it lives.

use std::collections::BTreeSet;

use super::{Answer, Client};
use crate::env::{ClientEnv, Time};
use crate::kv::{Command, Datum, ReadLevel, Reply, Update};
use crate::merge::{Merge, VersionVector};
use crate::wire;

/// What the bytes of a set begin with. No other value of a client of this library does.
const MAGIC: &[u8] = b"set\0";

type Elements = BTreeSet<Vec<u8>>;

/// What a client has seen of a set.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    elements: Elements,
    context: VersionVector,
}

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
        let context = context.map(|read| self.with_own(&key, &mut elements, read));
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
        let Some(context) = context else {
            return self.call_plainly(Command::Write { key, value }, deadline).await;
        };
        let value = Some(value);
        let write = Command::Replace { key: key.clone(), value, context, shown: true };
        match self.call_plainly(write, deadline).await {
            Answer::Reply(Reply::Siblings { values, context }) => {
                if let Some(elements) = all_of(&values) {
                    self.sets.insert(key, Seen { elements, context });
                }
                Answer::Reply(Reply::Done)
            }
            answer => answer,
        }
    }

    /// Puts what the client has seen when it last wrote a set to what it has read of it now, and says
    /// what it has seen with both.
    fn with_own(
        &self,
        key: &str,
        elements: &mut Elements,
        mut read: VersionVector,
    ) -> VersionVector {
        if let Some(own) = self.sets.get(key)
            && !read.contains(&own.context)
        {
            elements.extend(own.elements.iter().cloned());
            read.merge(&own.context);
        }
        read
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

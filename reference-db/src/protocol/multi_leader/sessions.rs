//! The clients of a region, and the last change that each had made, so that a retry of it is answered
//! without being made again. As in [`crate::kv::Kv`], where the log is the only one (dissertation of
//! [`raft`](crate::protocol::raft), section 6.3).
//!
//! They are part of what the region agrees on. Were they kept by its leader: 1 leads the region of 1, 4 and 7, has
//! a client's increment agreed on, and goes down before it answers; the client sends it to 4, which leads by then,
//! knows nothing of it, and counts twice. In another region a session is unknown, and a change of it is not made:
//! whether it was made at home, nobody there can tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kv::Reply;

/// What is remembered of all clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sessions(BTreeMap<u64, Session>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    /// Where in the log it last asked for a change.
    touched: u64,
    /// The highest number of a request that it had made; 0 before the first.
    sequence: u64,
    /// The answer to that one.
    reply: Option<Reply>,
}

impl Sessions {
    /// Opens a session under a number that nobody has. Of more than `max`, the one that was silent
    /// longest goes.
    pub(super) fn open(&mut self, number: u64, at: u64, max: usize) {
        self.0.insert(number, Session { touched: at, sequence: 0, reply: None });
        while self.0.len() > max.max(1) {
            let silent = self.0.iter().min_by_key(|(_, session)| session.touched);
            let number = *silent.expect("there is more than one session").0;
            self.0.remove(&number);
        }
    }

    /// Whether a change is a new one. If not, what its client is answered, if that still waits.
    pub(super) fn admit(
        &mut self,
        number: u64,
        sequence: u64,
        at: u64,
    ) -> Result<(), Option<Reply>> {
        let Some(session) = self.0.get_mut(&number) else {
            return Err(Some(Reply::SessionUnknown));
        };
        session.touched = at;
        if sequence > session.sequence {
            return Ok(());
        }
        let same = sequence == session.sequence;
        Err(session.reply.clone().filter(|_| same))
    }

    /// Remembers what came of a change that was admitted.
    pub(super) fn answered(&mut self, number: u64, sequence: u64, reply: &Reply) {
        if let Some(session) = self.0.get_mut(&number) {
            session.sequence = sequence;
            session.reply = Some(reply.clone());
        }
    }
}

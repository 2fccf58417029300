//! What the clients of a run ask, as data: a run that was drawn can be played again without what drew it,
//! and with less.
//!
//! With a [`Config`](crate::config::Config) and a [`Schedule`](crate::nemesis::Schedule), a tape is all that decides a run besides its seed, which
//! goes on to decide how long each message takes and what survives a power loss. An old tape plays the same
//! operations whatever generators draw by then; and because each stands by itself, one that is taken out
//! changes nothing about the others.

use checkers::history::{Op, Time};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The earliest moment at which it is asked: later where the client is busy with the one before.
    pub at: Time,
    /// What is asked.
    pub op: Op,
}

/// What each client asks, in its order; the first client's first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tape(pub Vec<Vec<Call>>);

impl Tape {
    /// A tape on which nothing is asked.
    pub fn empty(clients: u32) -> Tape {
        Tape(vec![Vec::new(); clients as usize])
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// How many clients ask for something.
    pub fn active(&self) -> usize {
        self.0.iter().filter(|calls| !calls.is_empty()).count()
    }

    /// Holds a tape that was read from a file against the run that it is for.
    ///
    /// # Errors
    /// Names the first client whose operations no run has.
    pub fn check(&self, config: &Config) -> Result<(), String> {
        if self.0.len() != config.clients as usize {
            let (has, wants) = (self.0.len(), config.clients);
            return Err(format!(
                "calls: there are those of {has} clients, and the run has {wants}"
            ));
        }
        for (client, calls) in self.0.iter().enumerate() {
            if !calls.is_sorted_by_key(|call| call.at) {
                return Err(format!(
                    "calls: those of client {client} are not in the order of time"
                ));
            }
        }
        Ok(())
    }
}

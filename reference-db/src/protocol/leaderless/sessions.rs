//! Which requests of its clients a node has taken on.
//!
//! A coordinator that is asked for the same change twice would make it two changes, with another
//! client's change between them. So a change is taken on once, and only from a session that this
//! start of the node has opened: what an earlier start took on is not known.
//!
//! Raft keeps sessions in the state that everyone has (dissertation, section 6.3). Here nothing is agreed on, so a
//! session is one node's, and a retry elsewhere is turned down. Otherwise: a client has 1 write a key and hears
//! nothing, though 2 and 3 have the write; another client reads it, and has 2 write the key again; the
//! first one asks 3 in place of 1, which stamps the old write anew, and the later one is gone.

use std::collections::{BTreeMap, VecDeque};

/// The sessions that were opened last.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    /// The last request of each that was taken on.
    open: BTreeMap<u64, u64>,
    /// In the order in which they were opened.
    order: VecDeque<u64>,
    max: usize,
}

/// What becomes of a request for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is taken on.
    New,
    /// It was before.
    Repeated,
    /// Nobody knows.
    Unknown,
}

impl Sessions {
    pub(super) fn new(max: usize) -> Sessions {
        Sessions { open: BTreeMap::new(), order: VecDeque::new(), max: max.max(1) }
    }

    pub(super) fn open(&mut self, session: u64) {
        self.open.insert(session, 0);
        self.order.push_back(session);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
    }

    pub(super) fn admit(&mut self, session: u64, sequence: u64) -> Admission {
        match self.open.get_mut(&session) {
            None => Admission::Unknown,
            Some(last) if *last >= sequence => Admission::Repeated,
            Some(last) => {
                *last = sequence;
                Admission::New
            }
        }
    }
}

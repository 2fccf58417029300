//! Which requests of its clients a node has taken on.
//!
//! A coordinator that is asked for the same change twice would make it two changes, with another
//! client's change between them. So a change is taken on once, and only from a session that this
//! start of the node has opened: what an earlier start took on is not known.

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

//! Handing leadership over to a member of the operator's choice (dissertation, section 3.10).
//!
//! The leader takes on no more changes, waits until the other one has the whole log ([`Core::hand_over`]), and asks
//! it to stand at once. Should nothing come of it within an election timeout, it leads on.
//!
//! So nobody has to wait for an election timeout to pass. Were the leader not to wait for the log: leader 1 of 1, 2
//! and 3 asks 2 to stand, which lacks entry 7; 2 counts up the term, and 1 steps down for it; 1 and 3, which have
//! entry 7, refuse it their votes, and until a timeout has passed nobody leads. What was acknowledged stays even
//! then: votes go by the log, whoever it was that had somebody stand.

use super::core::Core;
use crate::env::{NodeId, Time};
use crate::protocol::{Origin, Timing};

/// A leadership that is being handed over.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) to: NodeId,
    /// Who wants it, and under which number.
    pub(super) wanted_by: (Origin, u64),
    /// The term whose leadership it is. That of a later one has a lease of its own, which runs on.
    term: u64,
    until: Time,
}

/// What has become of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Waits,
    /// The other one leads.
    Done,
    /// Somebody else does, or nothing came of it.
    Failed,
}

impl Transfer {
    pub(super) fn new(
        to: NodeId,
        wanted_by: (Origin, u64),
        term: u64,
        now: Time,
        timing: &Timing,
    ) -> Transfer {
        Transfer { to, wanted_by, term, until: now + timing.election }
    }

    /// Asks the other one to stand, and says what has become of it.
    pub(super) fn go_on<C: Clone, S>(&mut self, now: Time, core: &mut Core<C, S>) -> Progress {
        if core.leader() == Some(self.to) {
            return Progress::Done;
        }
        let leads_anew = core.is_leader() && core.term() != self.term;
        if self.until <= now || leads_anew {
            return Progress::Failed;
        }
        core.hand_over(now, self.to);
        Progress::Waits
    }
}

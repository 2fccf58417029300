//! Strong reads without asking anyone (dissertation, section 6.4.1).
//!
//! A member that has heard its leader elects nobody else for the shortest election timeout. So a leader
//! that a majority has answered knows that nobody else can have been elected within that time of the
//! moment at which it *asked*: each of them heard it later. Until then, what it has committed is all
//! that was.
//!
//! From the moment of the answer would be too late. Leader 1 of 1, 2 and 3 asks, 2 hears it at once, and the
//! answer takes half a timeout. When 2 has heard nothing more for a timeout, it elects 3, which commits a write with
//! it; the lease of 1 would have begun half a timeout later than what 2 keeps to, and 1 would still read what was
//! there before. `Lease::runs` says why a leader that hands over has no lease.
//!
//! This counts on clocks, which nothing else does: members count the timeout by theirs, and the leader
//! its lease by its own. The lease is shorter by as much as the two may differ, and a clock that is
//! worse than [`DRIFT_PERCENT_MAX`] breaks the promise. Only rates matter: no moment of one node's clock
//! is compared with another's.

use std::time::Duration;

use super::core::Core;
use crate::env::Time;
use crate::protocol::Timing;

/// By how many percent the rate of a clock may be wrong, either way, for reads under a lease to be
/// linearizable.
pub const DRIFT_PERCENT_MAX: u32 = 10;

/// How long a lease lasts, by the clock of the leader. A clock that is slow lets it last longer, and a
/// clock that is fast lets a member wait shorter.
pub fn length(timing: &Timing) -> Duration {
    timing.election * (100 - DRIFT_PERCENT_MAX) / (100 + DRIFT_PERCENT_MAX)
}

/// A leader's lease, and the round that is to renew it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// In which term this is so: in each, rounds are counted anew.
    term: u64,
    /// The latest round, where it is not known to be confirmed, and when it began.
    asked: Option<(u64, Time)>,
    /// When the latest round began that is known to be confirmed.
    since: Option<Time>,
}

impl Lease {
    /// Takes note of a round that begins: all before it are confirmed.
    pub(super) fn ask<C: Clone, S>(&mut self, now: Time, core: &Core<C, S>, round: u64) {
        self.update(core);
        self.asked = Some((round, now));
    }

    /// Whether it is time for a round to renew the lease.
    pub(super) fn is_due<C: Clone, S>(
        &mut self,
        now: Time,
        core: &Core<C, S>,
        timing: &Timing,
    ) -> bool {
        self.update(core);
        let asked = self.asked.map(|(_, asked)| asked).or(self.since);
        !core.has_handed_over() && asked.is_none_or(|asked| asked + timing.heartbeat <= now)
    }

    /// Whether nobody else can lead now.
    ///
    /// A leader that has asked another member to take over has no lease for the rest of its term: that one
    /// stands without waiting for any timeout, and whom it asks does not wait either. The request to stand
    /// may be late, so that there is no moment in the term at which it is known to be void.
    pub(super) fn runs<C: Clone, S>(
        &mut self,
        now: Time,
        core: &Core<C, S>,
        timing: &Timing,
    ) -> bool {
        self.update(core);
        let within = self.since.is_some_and(|since| now < since + length(timing));
        within && !core.has_handed_over() && core.knows_all_commits()
    }

    fn update<C: Clone, S>(&mut self, core: &Core<C, S>) {
        if self.term != core.term() {
            *self = Lease { term: core.term(), ..Lease::default() };
        }
        if let Some((round, asked)) = self.asked
            && round <= core.confirmed_round()
        {
            self.since = Some(asked);
            self.asked = None;
        }
    }
}

//! Who takes part in a mode with a primary, and how that changes while it is in office.
//!
//! The members are the control plane's ([`crate::protocol::raft::members`]), which agrees on every change
//! of them. A node that is let in follows the primary at once: it gets the state, and what has changed
//! since. It has no vote yet, and without one nobody takes office; it gets it when it has everything that
//! counts. What has to be seen to besides differs with the mode.
//!
//! **`primary-sync`**: nothing counts that not every voter has. Whom a change of the members is about is
//! waited for until that is agreed on, whichever way it goes:
//!
//! - of 1, 2 and 3, the primary 1 proposes to let 3 go, and at once waits for 2 alone; a change counts that
//!   1 and 2 have; 1 goes down, and the proposal with it; 2 elects 3, which takes office without the change;
//! - the primary 1 proposes a vote for 4, and waits for 2 and 3 alone until it is agreed on; it is, but 1
//!   goes down before it hears so; 4 is elected, without what counted meanwhile.
//!
//! A node without a vote is not waited for, or nothing would count until it has the state. But one that
//! is always a message behind would never have everything; so where it is near, it is waited for as well.
//!
//! A deposed primary gives itself away when its successor asks for its word ([`super`]), and one that was
//! let go is not asked: 1 is cut off, 2 takes office and waits for the word of 1, the operator lets 1 go,
//! what 2 writes counts, and 1 still answers reads. So where nodes are spare, which every node knows from
//! the start, the primary asks a majority before it answers a strong read; where none are, none go.
//!
//! **`primary-semi-sync`**: the partner is replaced before it is let go. Were it let go first, and the
//! primary went down, the control plane would name a pair of which nobody takes part any more: nobody
//! could take office. Two are the fewest that remain.
//!
//! **In all of them**, a primary that is let go first hands over to one that has everything, in
//! `primary-semi-sync` to its partner, and takes on no more changes meanwhile: in `primary-async`, what it
//! had not passed on would be lost by order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::stream::Office;
use super::{Acknowledge, Primary};
use crate::env::{NodeId, Time};
use crate::protocol::Output;
use crate::protocol::raft::BATCH_MAX;
use crate::protocol::raft::members::Members;
use crate::protocol::raft::wishes::Dismissal;

impl Primary {
    /// Whether a primary asks a majority whether it still leads before it answers a strong read.
    pub(super) fn asks_before_reads(&self) -> bool {
        match self.options.acknowledge {
            Acknowledge::All => !self.options.spares.is_empty(),
            Acknowledge::One => true,
            Acknowledge::None => false,
        }
    }

    /// Does what operators want of the members. Only in office is it known who has what counts.
    pub(super) fn change_members(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if self.wishes.is_empty() || self.control.is_leader() && self.office.is_none() {
            return;
        }
        if self.wishes.is_to_go(self.options.id) {
            self.hand_over_to_leave(now);
        }
        let members = self.control.members().iter();
        let gates: BTreeMap<_, _> = members.map(|(node, _)| (node, self.may_go(node))).collect();
        let may_go = |node: NodeId| gates.get(&node).copied().unwrap_or(Dismissal::Now);
        self.wishes.go_on(now, &mut self.control, may_go, out);
    }

    /// Whether a primary may let a member go.
    fn may_go(&self, node: NodeId) -> Dismissal {
        let fewest = match self.options.acknowledge {
            Acknowledge::All if self.options.spares.is_empty() => return Dismissal::Never,
            Acknowledge::One => 2,
            Acknowledge::All | Acknowledge::None => 1,
        };
        let left = self.control.members().voters().filter(|voter| *voter != node).count();
        if left < fewest {
            Dismissal::Never
        } else if node == self.options.id || self.partner.is_counted_on(node) {
            Dismissal::Later
        } else {
            Dismissal::Now
        }
    }

    /// Asks one that has everything to lead in the place of a primary that is to go, now and then until
    /// it does.
    fn hand_over_to_leave(&mut self, now: Time) {
        let Some(office) = &self.office else { return };
        let wait = self.options.timing.heartbeat;
        if self.handed_over.is_some_and(|at| now.since(at) < wait) {
            return;
        }
        let last = self.replica.last().index;
        let able = |node: &NodeId| {
            let pair =
                self.options.acknowledge != Acknowledge::One || self.partner.is_agreed_on(*node);
            let stays = *node != self.options.id && !self.wishes.is_to_go(*node);
            stays && pair && office.matched(|other| other == *node) >= last
        };
        let heirs = self.control.members().voters().filter(able);
        let heard = heirs.filter_map(|node| Some((self.control.heard(node)?, node)));
        if let Some((_, node)) = heard.max()
            && self.control.hand_over(now, node)
        {
            self.handed_over = Some(now);
        }
    }

    /// All that take part, and those that are about to be let go.
    pub(super) fn all_members(&self) -> Arc<Members> {
        let (agreed, latest) = (self.control.agreed_members(), self.control.members());
        if *agreed == *latest { agreed } else { Arc::new(agreed.with_all_of(latest)) }
    }

    /// Lets the primary follow the control plane's members.
    pub(super) fn follow_members(&mut self, now: Time) {
        let all = self.all_members();
        if self.followed == all {
            return;
        }
        self.followed = all;
        if let Some(office) = &mut self.office {
            office.follow(now, followers(&self.followed, self.options.id));
        }
    }

    /// Gives those a vote that were let in, or lost their disks, and have everything.
    ///
    /// A vote is what makes a node eligible for office. One that had it before would lead with a log that
    /// lacks what it had acknowledged: primary 1 and partner 2 have a change, 2 loses its disk, 1 goes
    /// down, and 3 elects 2, which takes office with nothing.
    pub(super) fn give_votes(&mut self, now: Time) {
        if !self.serves() {
            return;
        }
        let Some(office) = &self.office else { return };
        let committed = self.replica.committed().index;
        let ready = |node: NodeId| {
            let waited_for = match self.options.acknowledge {
                Acknowledge::All => true,
                Acknowledge::One => self.partner.is_counted_on(node),
                Acknowledge::None => false,
            };
            // Whom nothing waits for is always a little behind.
            let spare = if waited_for { 0 } else { BATCH_MAX as u64 };
            let has = office.matched(|other| other == node) >= committed.saturating_sub(spare);
            has && !self.wishes.is_to_go(node)
        };
        self.control.promote(now, ready);
    }

    /// Whether nothing counts that a node does not have, in the mode in which everyone has what counts.
    pub(super) fn is_waited_for(
        &self,
        now: Time,
        office: &Office,
        agreed: &Members,
        node: NodeId,
    ) -> bool {
        let votes = agreed.is_voter(node) || self.control.members().is_voter(node);
        votes || office.is_near(now, node, self.replica.last().index)
    }
}

/// The others, and their disks.
pub(super) fn followers(members: &Members, own: NodeId) -> impl Iterator<Item = (NodeId, u64)> {
    let others = members.iter().filter(move |(node, _)| *node != own);
    others.map(|(node, member)| (node, member.incarnation))
}

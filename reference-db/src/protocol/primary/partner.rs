//! The partner of a primary, and how it is replaced.
//!
//! What counts is on the primary and its partner, and who the two are is agreed on by consensus, apart from the
//! data (as in Lin et al., "PacificA: Replication in Log-Based Distributed Storage Systems", 2008). So nobody
//! becomes the partner who lacks any of it: when the primary proposes a new one, that one has all that has counted
//! so far, and all that the primary had when it took office, of which it may not know whether it counted; and from
//! then until the proposal is agreed on, nothing counts that not both the old partner and the new
//! one have. However the proposal ends, whoever the control plane then names has everything. Were the old partner
//! let go before the agreement, the control plane could still name it in a failover, without what has counted
//! meanwhile; were the new one counted on only afterwards, it could be named without what counted until then.
//!
//! A primary that was appointed without a partner, because the cluster began with it alone, proposes one
//! as soon as a node has a vote and everything that counts. Otherwise it would go on alone: 1 begins, 2
//! and 3 are let in and follow, a change counts that 1 alone has, 1 is lost, and neither of the others may
//! ever take office. And only who has a vote becomes the partner: 2 is let in and is still without one
//! when it is named, 1 goes down, and the one node beside it that has everything cannot be elected.

use crate::env::NodeId;

/// Whom a primary counts on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Partner {
    agreed: Option<NodeId>,
    proposed: Option<NodeId>,
}

impl Partner {
    /// The partner that the control plane has agreed on.
    pub(super) fn appointed(partner: Option<NodeId>) -> Partner {
        Partner { agreed: partner, proposed: None }
    }

    /// Another partner was proposed.
    pub(super) fn proposed(&mut self, partner: NodeId) {
        self.proposed = Some(partner);
    }

    /// Whether another one is wanted: there is none, or it fails, and no other was proposed yet.
    pub(super) fn is_wanted(&self, fails: impl Fn(NodeId) -> bool) -> bool {
        self.proposed.is_none() && self.agreed.is_none_or(fails)
    }

    /// Whether the control plane has agreed on this partner, and no other was proposed.
    pub(super) fn is_agreed_on(&self, node: NodeId) -> bool {
        self.agreed == Some(node) && self.proposed.is_none()
    }

    /// Whether nothing counts that this node does not have.
    pub(super) fn is_counted_on(&self, node: NodeId) -> bool {
        self.agreed == Some(node) || self.proposed == Some(node)
    }
}

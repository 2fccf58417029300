//! The partner of a primary, and how it is replaced.
//!
//! What counts is on the primary and its partner. So nobody becomes the partner who lacks any of it:
//! when the primary proposes a new one, that one has all that has counted so far; and from then until
//! the proposal is agreed on, nothing counts that not both the old partner and the new one have. However
//! the proposal ends, whoever the control plane then names has everything. Were the old partner let go
//! before the agreement, the control plane could still name it in a failover, without what has counted
//! meanwhile; were the new one counted on only afterwards, it could be named without what counted until
//! then.

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

    /// The present partner, if it fails and no other was proposed yet.
    pub(super) fn failing(&self, fails: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.agreed.filter(|partner| self.proposed.is_none() && fails(*partner))
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

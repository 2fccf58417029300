//! What operators want of the members, until it is so.
//!
//! Who wants a node let in is answered when that has its vote, and who wants one let go, when that is
//! agreed on and, in a mode without a leader, nobody needs what it holds any more. Meanwhile the leader
//! keeps the wish, and sees to it whenever it may.
//!
//! **Late wishes.** A wish belongs to no session, which is how a late copy of a client's change is known
//! (dissertation, section 6.3), and a copy of it may come late: an operator lets 4 go, asks a second node
//! because the first is slow to answer, and is answered; it lets 4 in again; then the first copy arrives,
//! and 4 is gone behind its back. So a wish says how far its operator has seen the members change, as every
//! answer to one says ([`Request::seen`]). Where they have changed since, it is turned down. An operator that
//! has seen nothing yet says that it goes by the founders; one that says 0 does not care.

use std::collections::BTreeMap;

use super::core::Core;
use super::members::Change;
use crate::env::{NodeId, Time};
use crate::kv::{Command, Reply};
use crate::protocol::{Origin, Output, Protocol, Timing};
use crate::wire::Request;

/// For how many election timeouts a leader keeps a wish. Whoever is not answered by then asks again.
const KEPT_ELECTIONS: u32 = 10;

/// How far an operator that knows the founders and nothing else has seen the members change.
pub const FOUNDED: u64 = 1;

/// Whether a leader may let a node go or, where that is agreed on, may say that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Dismissal {
    /// At once.
    Now,
    /// When something else has been done, which is under way.
    Later,
    /// The cluster would not be what its mode promises.
    Never,
}

/// The wishes of operators, one for each node.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Wishes(BTreeMap<NodeId, Wish>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    In,
    Out,
}

#[derive(Clone, Debug)]
struct Wish {
    wanted: Wanted,
    /// How far the operator has seen the members change.
    seen: u64,
    origin: Origin,
    sequence: u64,
    until: Time,
    /// Whether it stands in the log, be it for a moment.
    begun: bool,
}

impl Wishes {
    /// Takes on what an operator asks a leader for, in place of what was last wanted of the same node:
    /// whoever wanted that asks again. What concerns no members is left alone.
    pub(in crate::protocol) fn add(
        &mut self,
        now: Time,
        timing: &Timing,
        origin: Origin,
        request: &Request,
    ) {
        let (node, wanted) = match request.command {
            Command::Admit { node } => (node, Wanted::In),
            Command::Dismiss { node } => (node, Wanted::Out),
            _ => return,
        };
        let until = now + timing.election * KEPT_ELECTIONS;
        let (seen, sequence) = (request.seen, request.sequence);
        self.0.insert(node, Wish { wanted, seen, origin, sequence, until, begun: false });
    }

    /// Whether nobody waits for anything.
    pub(in crate::protocol) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an operator wants a node to go.
    pub(in crate::protocol) fn is_to_go(&self, node: NodeId) -> bool {
        self.0.get(&node).is_some_and(|wish| wish.wanted == Wanted::Out)
    }

    /// Whether a leader of two is to go, so that the other one has to lead first, and is not to be kept from it by
    /// more to catch up with.
    pub(in crate::protocol) fn hands_over<C: Clone, S>(
        &self,
        now: Time,
        core: &Core<C, S>,
    ) -> bool {
        self.is_to_go(core.id) && core.heir_of_two(now).is_some()
    }

    /// Begins what may begin, and answers who has waited for what is so. A member that does not lead turns
    /// down what it has not begun, and forgets the rest, of which it cannot say what has become.
    pub(in crate::protocol) fn go_on<C: Clone, S, P: Protocol>(
        &mut self,
        now: Time,
        core: &mut Core<C, S>,
        may_go: impl Fn(NodeId) -> Dismissal,
        out: &mut Vec<Output<P>>,
    ) {
        if !core.is_leader() {
            let unbegun = std::mem::take(&mut self.0).into_values().filter(|wish| !wish.begun);
            out.extend(unbegun.map(|wish| wish.answer(Reply::NotLeader, 0)));
            return;
        }
        self.0.retain(|node, wish| {
            let Some(reply) = wish.fulfil(now, *node, core, &may_go) else {
                return now < wish.until;
            };
            out.push(wish.answer(reply, FOUNDED + core.members_at));
            false
        });
    }
}

impl Wish {
    fn answer<P: Protocol>(&self, reply: Reply, position: u64) -> Output<P> {
        Output::Reply { to: self.origin, sequence: self.sequence, reply, position }
    }

    /// Begins it, if that may be, and says what its operator is told; nothing where that has to wait.
    fn fulfil<C: Clone, S>(
        &mut self,
        now: Time,
        node: NodeId,
        core: &mut Core<C, S>,
        may_go: impl Fn(NodeId) -> Dismissal,
    ) -> Option<Reply> {
        if !core.is_known(node) {
            return Some(Reply::NoSuchNode);
        }
        if !core.may_change_members() {
            return None;
        }
        let change = match (self.wanted, core.members().get(node)) {
            (Wanted::In, Some(member)) if !member.votes => return None,
            // It holds something yet, in a mode in which that is seen to afterwards.
            (Wanted::Out, None) if may_go(node) == Dismissal::Later => return None,
            (Wanted::In, Some(_)) | (Wanted::Out, None) => return Some(Reply::Done),
            _ if (1..FOUNDED + core.members_at).contains(&self.seen) => {
                return Some(Reply::NotLeader);
            }
            (Wanted::In, None) => core.admit(now, node),
            (Wanted::Out, Some(_)) => match may_go(node) {
                Dismissal::Now => core.dismiss(now, node),
                Dismissal::Later => return None,
                Dismissal::Never => Change::Never,
            },
        };
        if let Change::Begun(_) = change {
            // What it has begun itself does not make it late.
            self.seen = FOUNDED + core.members_at;
            self.begun = true;
        }
        let refusal = match self.wanted {
            Wanted::In => Reply::NoSuchNode,
            Wanted::Out => Reply::Unsupported,
        };
        (change == Change::Never).then_some(refusal)
    }
}

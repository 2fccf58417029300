//! Faults that wait for the n-th message of a kind: to begin, or to lose it.

use checkers::history::{FaultId, NodeId, Time};

use super::context::Role;
use super::shared::Place;
use crate::nemesis::{End, Nth};

/// Who waits for which messages.
#[derive(Debug, Default)]
pub(super) struct Watches {
    of: Vec<Watch>,
    /// The faults that have begun to be due since they were last asked for.
    due: Vec<FaultId>,
}

#[derive(Debug)]
struct Watch {
    fault: FaultId,
    message: Nth,
    /// From when on messages are counted.
    since: Time,
    seen: u32,
    then: Then,
}

/// What a fault does when its message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It begins.
    Begins,
    /// It loses it.
    Loses,
}

/// A message that is being sent.
#[derive(Clone, Copy)]
pub(super) struct Leaving<'a> {
    pub(super) at: Time,
    pub(super) from: Place,
    pub(super) to: Place,
    /// What it is.
    pub(super) name: Option<&'a str>,
}

impl Watches {
    /// Whether nobody waits for any message.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Lets a fault wait for a message.
    pub(super) fn add(&mut self, fault: FaultId, message: Nth, since: Time, then: Then) {
        self.of.push(Watch { fault, message, since, seen: 0, then });
    }

    /// Lets it wait no longer.
    pub(super) fn forget(&mut self, fault: FaultId) {
        self.of.retain(|watch| watch.fault != fault);
    }

    /// Whether faults are due that were not asked for yet.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The faults that are due since the last call.
    pub(super) fn take_due(&mut self) -> Vec<FaultId> {
        std::mem::take(&mut self.due)
    }

    /// Counts a message that is about to leave; `role_of` says what a node takes itself for. Returns the
    /// faults that lose it.
    pub(super) fn meet(
        &mut self,
        leaving: Leaving<'_>,
        role_of: impl Fn(NodeId) -> Role,
    ) -> Vec<FaultId> {
        let mut lost_by = Vec::new();
        self.of.retain_mut(|watch| {
            if !watch.is_about(leaving, &role_of) {
                return true;
            }
            watch.seen += 1;
            if watch.seen < watch.message.nth {
                return true;
            }
            match watch.then {
                Then::Begins => self.due.push(watch.fault),
                Then::Loses => lost_by.push(watch.fault),
            }
            false
        });
        lost_by
    }
}

impl Watch {
    fn is_about(&self, leaving: Leaving<'_>, role_of: impl Fn(NodeId) -> Role) -> bool {
        let Leaving { at, from, to, name } = leaving;
        let is = |end: End, place: Place| match (end, place.node()) {
            (End::Anyone, _) | (End::Clients, None) => true,
            (End::Node(node), Some(id)) => node == id,
            (End::Leader, Some(id)) => role_of(id) == Role::Leader,
            (End::Follower, Some(id)) => role_of(id) != Role::Leader,
            (End::Clients, Some(_)) | (End::Node(_) | End::Leader | End::Follower, None) => false,
        };
        let Nth { of, from: sender, to: receiver, .. } = self.message;
        let named = of.is_none_or(|kind| name == Some(kind.as_str()));
        self.since <= at && named && is(sender, from) && is(receiver, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::Kind;

    fn append(nth: u32, from: End) -> Nth {
        let of = Some(Kind::try_from("append".to_owned()).unwrap());
        Nth { nth, of, from, to: End::Node(NodeId(2)) }
    }

    fn meet(watches: &mut Watches, from: usize, name: &str) -> Vec<FaultId> {
        let leaving =
            Leaving { at: Time::from_millis(5), from: Place(from), to: Place(2), name: Some(name) };
        watches.meet(leaving, |id| if id == NodeId(1) { Role::Leader } else { Role::Follower })
    }

    #[test]
    fn the_nth_message_of_a_kind_is_lost_and_no_other() {
        let mut watches = Watches::default();
        watches.add(FaultId(7), append(2, End::Node(NodeId(1))), Time::ZERO, Then::Loses);
        let sent = [(1, "append"), (1, "vote"), (3, "append"), (1, "append"), (1, "append")];
        let lost: Vec<usize> = sent.map(|(from, name)| meet(&mut watches, from, name).len()).into();
        assert_eq!(lost, [0, 0, 0, 1, 0]);
        assert!(watches.is_empty());
    }

    #[test]
    fn a_fault_is_due_when_its_message_leaves_and_is_told_of_once() {
        let mut watches = Watches::default();
        watches.add(FaultId(3), append(1, End::Leader), Time::ZERO, Then::Begins);
        watches.add(FaultId(4), append(1, End::Leader), Time::from_millis(6), Then::Begins);
        assert!(meet(&mut watches, 3, "append").is_empty() && !watches.has_due());
        assert!(meet(&mut watches, 1, "append").is_empty() && watches.has_due());
        assert_eq!(watches.take_due(), [FaultId(3)], "the other one counts from later on");
        assert!(!watches.has_due() && !watches.is_empty());
    }
}

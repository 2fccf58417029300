//! Who takes part in the cluster, as far as its operator knows, and what the operator is to change.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use checkers::history::{NodeId, Time};
use tokio::sync::Notify;

use super::NOBODY;
use super::engine::Clock;
use super::target::Observed;
use crate::nemesis::{Change, Target};
use crate::seed::Stream;
use crate::system::{Membership, Operator};

/// How long the operator waits, at least, after it could not be sure that a change was made.
const PAUSE: Duration = Duration::from_millis(50);
/// It asks again at a whole one of these, as the timers of one engine end then.
const GRAIN: Duration = Duration::from_millis(1);

/// One thing that an operator does, which the cluster agrees on as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A spare node comes.
    Add(NodeId),
    /// A member goes, and is spare from then on.
    Remove(NodeId),
}

impl Step {
    /// The node that comes or goes.
    pub(crate) fn node(self) -> NodeId {
        match self {
            Step::Add(node) | Step::Remove(node) => node,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Add(node) => write!(f, "n{node} is added"),
            Step::Remove(node) => write!(f, "n{node} is removed"),
        }
    }
}

/// See the module.
pub(crate) struct Roster {
    /// What the system says about changes; nothing where there are none in this run.
    rules: Option<Membership>,
    /// How many regions the nodes are dealt to, one after the other.
    groups: u32,
    /// How many nodes the cluster began with: the first ones.
    founders: u32,
    members: RefCell<BTreeSet<NodeId>>,
    /// What the operator does at the moment, until it is agreed on.
    under_way: Cell<Option<Step>>,
    /// What it does after that.
    next: RefCell<VecDeque<Step>>,
    ordered: Notify,
    /// What was agreed on since the last order, in words.
    made: RefCell<Vec<String>>,
    /// How many bytes other nodes have sent to the one that comes.
    received: Cell<u64>,
    /// How many changes there were.
    changes: Cell<u64>,
    /// Nodes that a fault keeps away until the run ends.
    away: RefCell<BTreeSet<NodeId>>,
}

impl Roster {
    /// What the system says about changes, whether there are any in this run, and how many nodes begin.
    pub(crate) fn new(rules: Option<Membership>, changes: bool, founders: u32) -> Roster {
        Roster {
            groups: rules.map_or(1, |rules| rules.groups.max(1)),
            rules: rules.filter(|_| changes),
            founders,
            members: RefCell::new((1..=founders).map(NodeId).collect()),
            under_way: Cell::new(None),
            next: RefCell::default(),
            ordered: Notify::new(),
            made: RefCell::default(),
            received: Cell::new(0),
            changes: Cell::new(0),
            away: RefCell::default(),
        }
    }

    /// Whether the operator knows that a node takes part, and is not about to change that.
    pub(crate) fn surely_has(&self, node: NodeId) -> bool {
        let in_doubt = self.under_way.get().is_some_and(|step| step.node() == node);
        self.members.borrow().contains(&node) && !in_doubt
    }

    /// Whether a fault keeps a node away until the run ends.
    pub(crate) fn is_away(&self, node: NodeId) -> bool {
        self.away.borrow().contains(&node)
    }

    /// A fault keeps nodes away until the run ends.
    pub(super) fn keep_away(&self, nodes: Vec<NodeId>) {
        self.away.borrow_mut().extend(nodes);
    }

    /// The node that a client turns to which was to turn to this one: another one of its group where this
    /// one takes no part. Whoever removes a node tells its clients. And one that `stays` with its node, so
    /// that it would ask nobody else, leaves it when it is away for good.
    pub(crate) fn home_of(&self, node: NodeId, stays: bool) -> NodeId {
        let members = self.members.borrow();
        let serves =
            |node: &NodeId| members.contains(node) && !(stays && self.away.borrow().contains(node));
        if serves(&node) {
            return node;
        }
        let group = self.group(node);
        let mut around = members.range(node..).chain(members.range(..node)).copied();
        around.find(|other| self.group(*other) == group && serves(other)).unwrap_or(node)
    }

    /// What the operator does at the moment.
    pub(crate) fn under_way(&self) -> Option<Step> {
        self.under_way.get()
    }

    /// How many changes there were so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Those that take part, or are about to: whom faults hit.
    pub(super) fn all(&self) -> BTreeSet<NodeId> {
        let mut all = self.members.borrow().clone();
        all.extend(self.under_way.get().map(Step::node));
        all
    }

    /// The sets of members that there may be at the moment: one, or two where a change is under way, of
    /// which it is not known when it counts.
    pub(super) fn possible(&self) -> Vec<BTreeSet<NodeId>> {
        let members = self.members.borrow().clone();
        let after = self.under_way.get().map(|step| {
            let mut after = members.clone();
            match step {
                Step::Add(node) => after.insert(node),
                Step::Remove(node) => after.remove(&node),
            };
            after
        });
        [Some(members), after].into_iter().flatten().collect()
    }

    /// Gives the operator an order, unless it has not carried out the one before; says in words what it
    /// does.
    pub(super) fn order(&self, change: Change, observed: &Observed, stream: &mut Stream) -> String {
        if self.rules.is_none() {
            return format!("{NOBODY}, the members of this system stay as they are");
        }
        if let Some(step) = self.under_way.get() {
            return format!("{NOBODY}, {step} still");
        }
        let steps = self.choose(change, observed, stream);
        let what = match steps[..] {
            [Step::Add(node)] => format!("add n{node}"),
            [Step::Remove(node)] => format!("remove n{node}"),
            [Step::Add(comes), Step::Remove(goes)] => format!("replace n{goes} by n{comes}"),
            _ => format!("{NOBODY}, nobody may come or go"),
        };
        self.made.borrow_mut().clear();
        *self.next.borrow_mut() = steps.into();
        self.begin_next();
        what
    }

    /// Takes back what the operator has not begun. Returns how many steps of the order were agreed on, and
    /// in words what has become of it.
    pub(super) fn end_order(&self) -> (u32, String) {
        let mut words = self.take_made();
        let made = words.len() as u32;
        words.extend(self.under_way.get().map(|step| format!("{step} still")));
        let left = std::mem::take(&mut *self.next.borrow_mut());
        words.extend(left.into_iter().map(|step| format!("n{} stays as it is", step.node())));
        (made, words.join(", "))
    }

    /// What was agreed on since the last order ended, in words.
    pub(super) fn take_made(&self) -> Vec<String> {
        std::mem::take(&mut *self.made.borrow_mut())
    }

    /// Counts what a node was sent by another one.
    pub(super) fn note_sent(&self, to: NodeId, bytes: usize) {
        if self.under_way.get() == Some(Step::Add(to)) {
            self.received.set(self.received.get() + bytes as u64);
        }
    }

    fn begin_next(&self) {
        self.received.set(0);
        self.under_way.set(self.next.borrow_mut().pop_front());
        self.ordered.notify_one();
    }

    /// The operator knows that what it does was agreed on.
    fn agreed(&self, step: Step) {
        let mut members = self.members.borrow_mut();
        let words = match step {
            Step::Add(node) => {
                members.insert(node);
                format!("n{node} added, after {} bytes from the others", self.received.get())
            }
            Step::Remove(node) => {
                members.remove(&node);
                format!("n{node} removed")
            }
        };
        self.made.borrow_mut().push(words);
        self.changes.set(self.changes.get() + 1);
        self.begin_next();
    }

    /// The steps of a change, or of another one where that cannot be.
    fn choose(&self, change: Change, observed: &Observed, stream: &mut Stream) -> Vec<Step> {
        let tries: &[Change] = match change {
            Change::Add => &[change, Change::Remove { target: Target::One }],
            Change::Remove { target } => &[change, Change::Replace { target }],
            Change::Replace { target } => &[change, Change::Remove { target }, Change::Add],
        };
        let steps = |change: &Change| match change {
            Change::Add => self.add(observed, stream, |_| true).map(|step| vec![step]),
            Change::Remove { target } => {
                let goes = self.whom(*target, observed, stream, |node| self.may_go(node))?;
                Some(vec![Step::Remove(goes)])
            }
            Change::Replace { target } => {
                let has_spare =
                    |node| self.spares(observed).any(|spare| self.group(spare) == self.group(node));
                let goes = self.whom(*target, observed, stream, has_spare)?;
                let group = self.group(goes);
                let comes = self.add(observed, stream, |node| self.group(node) == group)?;
                Some(vec![comes, Step::Remove(goes)])
            }
        };
        tries.iter().find_map(steps).unwrap_or_default()
    }

    fn add(
        &self,
        observed: &Observed,
        stream: &mut Stream,
        may: impl Fn(NodeId) -> bool,
    ) -> Option<Step> {
        let able: Vec<NodeId> = self.spares(observed).filter(|node| may(*node)).collect();
        stream.pick(&able).map(|node| Step::Add(*node))
    }

    /// A member of those that may go: as the target says, or one that is down.
    fn whom(
        &self,
        target: Target,
        observed: &Observed,
        stream: &mut Stream,
        may: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let members = self.members.borrow();
        let may = |id: &NodeId| members.contains(id) && may(*id);
        let nodes = observed.nodes.iter().filter(|(id, ..)| may(id)).copied();
        let able = Observed { nodes: nodes.collect(), asked: Vec::new() };
        let down = able.nodes.iter().filter(|(_, up, _)| !up).map(|(id, ..)| *id);
        let down: Vec<NodeId> = down.collect();
        let chosen = able.resolve(target, stream).first().copied();
        match stream.pick(&down) {
            // Whoever has waited for it in vain replaces it.
            Some(down) if chosen.is_none() || stream.between(0, 1) == 1 => Some(*down),
            _ => chosen,
        }
    }

    /// The nodes that take no part, and are up.
    fn spares(&self, observed: &Observed) -> impl Iterator<Item = NodeId> {
        let members = self.members.borrow();
        let spare = |(id, up, _): &&(NodeId, bool, _)| *up && !members.contains(id);
        let spares: Vec<NodeId> = observed.nodes.iter().filter(spare).map(|(id, ..)| *id).collect();
        spares.into_iter()
    }

    fn group(&self, node: NodeId) -> u32 {
        (node.0 - 1) % self.groups
    }

    /// Whether a node's region has a majority of its own among these nodes, and the node is connected with it, also
    /// when the change that is under way counts; true where there are no regions.
    ///
    /// As in the whole cluster, one of the region has to be connected with enough of it. That each is connected with
    /// some majority of all nodes is not enough: on a ring of six, where each sees all but the one opposite, a
    /// region of the first and the fourth node has two nodes that do not see each other.
    pub(super) fn has_its_region(
        &self,
        node: NodeId,
        nodes: &BTreeSet<NodeId>,
        connected: impl Fn(NodeId, NodeId) -> bool,
    ) -> bool {
        if self.groups == 1 {
            return true;
        }
        let group = self.group(node);
        self.possible().iter().all(|members| {
            let own = || members.iter().copied().filter(|member| self.group(*member) == group);
            let there = || own().filter(|member| nodes.contains(member));
            let has_most =
                |one| 2 * there().filter(|other| connected(one, *other)).count() > own().count();
            there().any(|one| connected(one, node) && has_most(one))
        })
    }

    /// Whether enough are left without a node.
    fn may_go(&self, node: NodeId) -> bool {
        let group = self.group(node);
        let of_group = |id: &NodeId| self.group(*id) == group;
        let began_with = (1..=self.founders).map(NodeId).filter(of_group).count();
        let least = self.rules.map_or(usize::MAX, |rules| rules.least as usize).min(began_with);
        self.members.borrow().iter().filter(|id| of_group(id)).count() > least.max(1)
    }
}

/// Carries out the orders of a run, one step after the other: what it has begun it sees through, because
/// nobody knows what comes of a change that is given up.
pub(crate) async fn operate(roster: Rc<Roster>, mut operator: Box<dyn Operator>, clock: Clock) {
    loop {
        let Some(step) = roster.under_way.get() else {
            roster.ordered.notified().await;
            continue;
        };
        let is_so = match step {
            Step::Add(node) => operator.admit(node).await,
            Step::Remove(node) => operator.dismiss(node).await,
        };
        if is_so {
            roster.agreed(step);
        } else {
            let (now, grain) = (clock.now(), GRAIN.as_nanos() as u64);
            let again = (now + PAUSE).as_nanos().next_multiple_of(grain);
            clock.sleep(Time::from_nanos(again).since(now)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::target::see_each_other;

    /// Those who have their regions, of nodes that are dealt to three, of which only some see each other.
    fn have_their_regions(nodes: u32, see: impl Fn(u32, u32) -> bool) -> Vec<u32> {
        let roster = Roster::new(Some(Membership { groups: 3, least: 1 }), false, nodes);
        let all: BTreeSet<NodeId> = (1..=nodes).map(NodeId).collect();
        let see = |a: NodeId, b: NodeId| see(a.0, b.0);
        let have = all.iter().filter(|node| roster.has_its_region(**node, &all, see));
        have.map(|node| node.0).collect()
    }

    #[test]
    fn two_nodes_that_do_not_see_each_other_are_no_majority_of_their_region() {
        let on_a_ring = |a: u32, b: u32| see_each_other(6, a as usize, b as usize);
        assert_eq!(have_their_regions(6, |_, _| true), [1, 2, 3, 4, 5, 6]);
        assert_eq!(have_their_regions(6, on_a_ring), [0; 0], "all but the one opposite");
        let all_but = |a: u32, b: u32| (a.min(b), a.max(b)) != (1, 4);
        assert_eq!(have_their_regions(6, all_but), [2, 3, 5, 6]);
        assert_eq!(have_their_regions(7, all_but), [1, 2, 3, 4, 5, 6, 7], "both see the seventh");
        let without_the_first = |a: u32, b: u32| a == b || a != 1 && b != 1;
        assert_eq!(have_their_regions(7, without_the_first), [2, 3, 4, 5, 6, 7]);
    }
}

//! Faults of processes: they end, stand still, or are slow, while their machines stay on.

use std::time::Duration;

use checkers::history::{FaultId, NodeId, Time};

use super::World;
use crate::sim::shared::Place;
use crate::sim::target;
use crate::trace::Happening;

/// A restart of all nodes, one after the other, that is under way.
pub(super) struct Rolling {
    fault: FaultId,
    down: Duration,
    apart: Duration,
    /// Those whose turn is to come, the next one last.
    left: Vec<NodeId>,
    /// The one that is down, and since when.
    stopped: Option<(NodeId, Time)>,
    /// Those that were, in order.
    done: Vec<NodeId>,
    /// When the next thing is due.
    next: Time,
}

impl World {
    /// Lets processes stand still; returns in words whose.
    pub(super) fn pause(&mut self, fault: FaultId, nodes: &[NodeId]) -> String {
        for id in nodes {
            self.shared.node(*id).process.pause(fault);
            self.hosts.pause(Place::of_node(*id));
            self.shared.note(self.now(), *id, || "stands still".to_owned());
        }
        self.halted[fault.index()] = nodes.iter().map(|id| (*id, self.now())).collect();
        target::list(nodes)
    }

    /// Lets those go on that still stand still by a fault.
    pub(super) fn resume(&mut self, fault: FaultId) {
        self.count_halted(fault);
        for id in self.shared.node_ids() {
            if self.shared.node(id).process.resume(fault) {
                self.shared.note(self.now(), id, || "goes on".to_owned());
                self.hosts.resume(Place::of_node(id));
            }
        }
    }

    /// Ends processes and nothing else; returns in words whose.
    pub(super) fn kill(&mut self, fault: FaultId, nodes: Vec<NodeId>) -> String {
        nodes.iter().for_each(|id| self.kill_one(*id));
        let words = target::list(&nodes);
        self.note_stopped(fault, nodes);
        words
    }

    fn kill_one(&mut self, id: NodeId) {
        self.stop(id);
        self.shared.record(self.now(), id, || Happening::Stops { how: "is killed".to_owned() });
    }

    /// Makes nodes slow; returns in words which.
    pub(super) fn slow(&mut self, fault: FaultId, nodes: &[NodeId], cost: Duration) -> String {
        for id in nodes {
            let node = self.shared.node(*id);
            node.process.slow(fault, cost);
            node.platter.borrow_mut().slow(fault, cost);
        }
        target::list(nodes)
    }

    /// Ends a fault that made nodes slow.
    pub(super) fn quicken(&mut self, fault: FaultId) {
        for node in &self.shared.nodes {
            node.process.quicken(fault);
            node.platter.borrow_mut().quicken(fault);
        }
    }

    /// Begins to restart nodes, one after the other; returns in words which.
    pub(super) fn roll(
        &mut self,
        fault: FaultId,
        mut nodes: Vec<NodeId>,
        (down, apart): (Duration, Duration),
    ) -> String {
        let words = target::list(&nodes);
        nodes.reverse();
        let (stopped, done, next) = (None, Vec::new(), self.now());
        self.rolling.push(Rolling { fault, down, apart, left: nodes, stopped, done, next });
        self.proceed();
        words
    }

    /// Ends such a fault, whoever is left; the node that is down starts again.
    pub(super) fn end_roll(&mut self, fault: FaultId) {
        let Some(place) = self.rolling.iter().position(|rolling| rolling.fault == fault) else {
            return;
        };
        let mut rolling = self.rolling.remove(place);
        self.start_again(&mut rolling);
        let effect = &mut self.effects[fault.index()];
        effect.stopped = rolling.done.len() as u32;
        effect.what = target::list(&rolling.done);
    }

    /// Does what is due of faults that consist of several things; whether anything was.
    pub(crate) fn proceed(&mut self) -> bool {
        let now = self.now();
        let mut all = std::mem::take(&mut self.rolling);
        let mut any = false;
        for rolling in &mut all {
            while rolling.next <= now && !rolling.is_over() {
                any |= self.take_turn(rolling);
            }
        }
        self.rolling = all;
        any
    }

    /// When the next such thing is due.
    pub(super) fn proceeds_at(&self) -> Option<Time> {
        let waiting = self.rolling.iter().filter(|rolling| !rolling.is_over());
        waiting.map(|rolling| rolling.next).min()
    }

    /// Ends the next node, or starts the one that is down; whether there was any.
    fn take_turn(&mut self, rolling: &mut Rolling) -> bool {
        if self.start_again(rolling) {
            rolling.next = self.now() + rolling.apart;
            return true;
        }
        // Whoever is down when its turn comes is not waited for.
        let up = |id: &NodeId| self.shared.node(*id).up.get();
        let Some(id) = rolling.left.pop().filter(up) else { return false };
        self.kill_one(id);
        rolling.stopped = Some((id, self.now()));
        rolling.done.push(id);
        rolling.next = self.now() + rolling.down;
        true
    }

    fn start_again(&mut self, rolling: &mut Rolling) -> bool {
        let Some((id, since)) = rolling.stopped.take() else { return false };
        let down = self.now().since(since).as_nanos() as u64;
        self.effects[rolling.fault.index()].halted_ns += down;
        self.start(id);
        true
    }
}

impl Rolling {
    fn is_over(&self) -> bool {
        self.left.is_empty() && self.stopped.is_none()
    }
}

//! The recorder: every invocation, completion, fault and phase of a run, in one order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use checkers::History;
use checkers::history::{
    FaultEdge, FaultEvent, FaultId, HistoryBuilder, Invocation, Key, NodeId, Op, OpKind,
    OperationId, Outcome, Phase, ProcessId, SessionId, Time,
};

use crate::nemesis::Planned;
use crate::run::Counts;

/// Writes down what clients and faults do. Handles are cheap to clone and write the same history.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Rc<Inner>);

#[derive(Default)]
struct Inner {
    history: RefCell<HistoryBuilder>,
    next_process: Cell<u32>,
    /// Clients and faults take their time from different clocks, which agree at the steps of the
    /// simulation only; a history never goes back.
    last: Cell<Time>,
    counts: Cell<Counts>,
    ok_by_kind: Cell<[u64; OpKind::ALL.len()]>,
    keys: RefCell<BTreeSet<Key>>,
    /// The node that the client of each operation usually turned to.
    homes: RefCell<Vec<NodeId>>,
    /// Faults that are on, each with the operations that ended `ok` meanwhile.
    on: RefCell<Vec<(FaultId, u64)>>,
}

impl Recorder {
    /// The number of a process that has not acted yet.
    pub(crate) fn fresh_process(&self) -> ProcessId {
        ProcessId(self.0.next_process.replace(self.0.next_process.get() + 1))
    }

    fn at(&self, now: Time) -> Time {
        let at = now.max(self.0.last.get());
        self.0.last.set(at);
        at
    }

    /// Writes down that an operation begins.
    pub(crate) fn invoke(
        &self,
        now: Time,
        process: ProcessId,
        session: SessionId,
        node: NodeId,
        op: &Op,
    ) -> OperationId {
        if !self.0.keys.borrow().contains(op.key()) {
            self.0.keys.borrow_mut().insert(op.key().clone());
        }
        self.0.homes.borrow_mut().push(node);
        let invocation = Invocation { process, session, node: Some(node), op: op.clone() };
        let mut history = self.0.history.borrow_mut();
        history.invoke(self.at(now), &invocation).expect("each process does one thing at a time")
    }

    /// Writes down which node an operation turned out to be about.
    pub(crate) fn turn_to(&self, operation: OperationId, node: NodeId) {
        self.0.history.borrow_mut().turn_to(operation, node);
    }

    /// Writes down how an operation ended.
    pub(crate) fn complete(
        &self,
        now: Time,
        operation: OperationId,
        kind: OpKind,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let at = self.at(now);
        let mut history = self.0.history.borrow_mut();
        history.complete(at, operation, outcome).map_err(|error| error.to_string())?;
        let mut counts = self.0.counts.get();
        match outcome {
            Outcome::Ok(_) => {
                counts.ok += 1;
                let mut ok = self.0.ok_by_kind.get();
                ok[kind as usize] += 1;
                self.0.ok_by_kind.set(ok);
                for (_, during) in self.0.on.borrow_mut().iter_mut() {
                    *during += 1;
                }
            }
            Outcome::Fail(_) => counts.fail += 1,
            Outcome::Info(_) => counts.info += 1,
        }
        self.0.counts.set(counts);
        Ok(())
    }

    /// Writes down that a fault begins; `what` says whom it hits.
    pub(crate) fn fault_begins(&self, now: Time, planned: &Planned, what: &str) {
        self.0.on.borrow_mut().push((planned.id, 0));
        self.fault(now, planned, FaultEdge::Begin, what);
    }

    /// Writes down that a fault was undone; returns the operations that ended `ok` while it lasted.
    pub(crate) fn fault_ends(&self, now: Time, planned: &Planned, what: &str) -> u64 {
        self.fault(now, planned, FaultEdge::End, what);
        let mut on = self.0.on.borrow_mut();
        let place = on.iter().position(|(id, _)| *id == planned.id);
        place.map_or(0, |place| on.remove(place).1)
    }

    fn fault(&self, now: Time, planned: &Planned, edge: FaultEdge, what: &str) {
        let event = FaultEvent {
            fault: planned.id,
            edge,
            kind: planned.fault.kind().to_owned(),
            what: what.to_owned(),
        };
        let mut history = self.0.history.borrow_mut();
        history.fault(self.at(now), event).expect("time does not go back");
    }

    /// Writes down that a phase begins.
    pub(crate) fn phase(&self, now: Time, phase: Phase) {
        let mut history = self.0.history.borrow_mut();
        history.phase(self.at(now), phase).expect("time does not go back");
    }

    /// Every key that was used so far, in order.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.0.keys.borrow().iter().cloned().collect()
    }

    /// How operations of a kind ended `ok` so far.
    pub(crate) fn ok_of(&self, kind: OpKind) -> u64 {
        self.0.ok_by_kind.get()[kind as usize]
    }

    /// How operations ended so far.
    pub(crate) fn counts(&self) -> Counts {
        self.0.counts.get()
    }

    /// The node that the client of each operation usually turned to, whichever it was about in the end.
    pub(crate) fn homes(&self) -> Vec<NodeId> {
        self.0.homes.take()
    }

    /// Ends the record. Handles that are still around write a history that nobody reads.
    pub(crate) fn finish(&self) -> History {
        self.0.history.take().finish()
    }
}

//! Dequeues in the place of drains: what takes all that is in a queue is as many dequeues as it took values.
//!
//! Others may put in and take out while it does, so that each of its values comes at any time between its
//! begin and its end. So each dequeue is open for that long, by a process of its own, which goes by the
//! number of the one that drains. Taken one after the other at the end, they would come too late: who found
//! the queue empty meanwhile would be accused. Only where nothing else happened meanwhile, they come one
//! after the other, and their order counts.

use std::collections::BTreeMap;

use super::{
    Event, History, HistoryBuilder, Invocation, Operation, OperationId, Outcome, ProcessId, Ret,
    Value,
};

/// What is known of the drains of a history.
pub(super) struct Drains {
    /// What each took, in its order.
    taken: BTreeMap<OperationId, Vec<Value>>,
    /// The line of each event.
    lines: Vec<u32>,
    /// The number in the file of each process.
    numbers: Vec<i64>,
}

impl Drains {
    pub(super) fn new(
        taken: BTreeMap<OperationId, Vec<Value>>,
        lines: Vec<u32>,
        numbers: Vec<i64>,
    ) -> Drains {
        Drains { taken, lines, numbers }
    }

    /// The history with dequeues in their place, the lines of its events, and the numbers of its
    /// processes.
    pub(super) fn put_into(mut self, history: &History) -> (History, Vec<u32>, Vec<i64>) {
        let mut builder = HistoryBuilder::new();
        let mut lines = Vec::with_capacity(self.lines.len());
        // What each operation that is open is called there.
        let mut open: BTreeMap<OperationId, Vec<OperationId>> = BTreeMap::new();
        let fits = "it fits without it";
        for (index, (at, event)) in history.events().enumerate() {
            match event {
                Event::Fault(fault) => builder.fault(at, fault.clone()).expect(fits),
                Event::Phase(phase) => builder.phase(at, phase).expect(fits),
                Event::Invoke(operation) => {
                    let processes = self.processes(&operation);
                    let mut invoke = |process: &ProcessId| {
                        let invocation = asked(history, &operation, *process);
                        builder.invoke(at, &invocation).expect(fits)
                    };
                    open.insert(operation.id, processes.iter().map(&mut invoke).collect());
                }
                Event::Complete(operation) => {
                    let ids = open.remove(&operation.id).unwrap_or_default();
                    let mut ids = ids.into_iter();
                    for outcome in self.outcomes(history, &operation) {
                        let id = ids.next().unwrap_or_else(|| {
                            let next = asked(history, &operation, operation.process);
                            builder.invoke(at, &next).expect(fits)
                        });
                        let version = history.version(operation.id);
                        builder.complete_at_version(at, id, &outcome, version).expect(fits);
                    }
                }
            }
            lines.resize(builder.len(), self.lines[index]);
        }
        (builder.finish(), lines, self.numbers)
    }

    /// By whom an operation is asked for where it begins: one process for each value that a drain took, or
    /// for the first where nothing else happens before it is over.
    fn processes(&mut self, operation: &Operation<'_>) -> Vec<ProcessId> {
        let count = self.taken.get(&operation.id).map_or(1, Vec::len);
        let is_alone = operation.completed.is_some_and(|end| end.0 == operation.invoked.0 + 1);
        let others = if is_alone { 0 } else { count.saturating_sub(1) };
        let number = self.numbers[operation.process.index()];
        let next = self.numbers.len() as u32..(self.numbers.len() + others) as u32;
        self.numbers.extend(std::iter::repeat_n(number, others));
        let first = (count > 0).then_some(operation.process);
        first.into_iter().chain(next.map(ProcessId)).collect()
    }

    /// What an operation returned, once for each value that a drain took.
    fn outcomes(&self, history: &History, operation: &Operation<'_>) -> Vec<Outcome> {
        if let Some(taken) = self.taken.get(&operation.id) {
            let taken = taken.iter().cloned();
            return taken.map(|value| Outcome::Ok(Ret::Value(value))).collect();
        }
        let value = |id: &_| history.value(*id).clone();
        vec![match operation.outcome.expect("it is over") {
            Outcome::Ok(Ret::Done) => Outcome::Ok(Ret::Done),
            Outcome::Ok(Ret::Value(id)) => Outcome::Ok(Ret::Value(value(id))),
            Outcome::Fail(reason) => Outcome::Fail(reason.map(value)),
            Outcome::Info(reason) => Outcome::Info(reason.map(value)),
        }]
    }
}

/// An operation as it was asked for, by a process.
fn asked(history: &History, operation: &Operation<'_>, process: ProcessId) -> Invocation {
    let Operation { session, node, id, .. } = *operation;
    Invocation { process, session, node, op: history.op(id) }
}

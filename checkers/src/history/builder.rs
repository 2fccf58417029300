//! Makes a history, event by event, and refuses what no history can contain.

use rustc_hash::FxHashMap;

use super::{
    EventIndex, FaultEvent, Happening, History, Invocation, Key, KeyId, Kinds, NodeId, Op, OpKind,
    OperationId, Outcome, Phase, ProcessId, Reason, Ret, SessionId, Time, Value, ValueId,
};

/// What no history can contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// An event before the one that precedes it.
    #[error(
        "time goes back from {} ns to {} ns; events come in the order in which they happened",
        from.as_nanos(),
        to.as_nanos()
    )]
    TimeGoesBack {
        /// The time of the event before.
        from: Time,
        /// The time of this one.
        to: Time,
    },
    /// A second operation of a process that is still busy.
    #[error(
        "process {process} begins operation {second} while its operation {first} is open; \
         a process does one thing at a time"
    )]
    Busy {
        /// The process.
        process: ProcessId,
        /// What it is doing.
        first: OperationId,
        /// What it would begin.
        second: OperationId,
    },
    /// A process that acts after an outcome that nobody knows.
    #[error(
        "process {process} acts again after an `info` outcome; its successor needs a number that \
         was not used before"
    )]
    Retired {
        /// The process.
        process: ProcessId,
    },
    /// A process in two sessions.
    #[error("process {process} belongs to session {first} and cannot act in session {second}")]
    TwoSessions {
        /// The process.
        process: ProcessId,
        /// Its session.
        first: SessionId,
        /// The other one.
        second: SessionId,
    },
    /// A completion of nothing.
    #[error("operation {operation} is not open; each operation is invoked, and completed once")]
    NotOpen {
        /// The operation.
        operation: OperationId,
    },
    /// A completion by a process that has nothing open.
    #[error("process {process} completes an operation without having one open")]
    Idle {
        /// The process.
        process: ProcessId,
    },
    /// An outcome that does not fit the operation.
    #[error("{what}")]
    Misfit {
        /// What does not fit, and what would.
        what: &'static str,
    },
    /// More than 2^32 of something.
    #[error("a history holds at most {} events", u32::MAX)]
    TooLong,
}

/// Makes a [`History`], event by event.
#[derive(Debug)]
pub struct HistoryBuilder {
    history: History,
    keys: FxHashMap<Key, KeyId>,
    values: FxHashMap<Value, ValueId>,
    processes: FxHashMap<ProcessId, Process>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug)]
struct Process {
    session: SessionId,
    open: Option<OperationId>,
    retired: bool,
}

impl Default for HistoryBuilder {
    fn default() -> HistoryBuilder {
        let mut builder = HistoryBuilder {
            history: History::default(),
            keys: FxHashMap::default(),
            values: FxHashMap::default(),
            processes: FxHashMap::default(),
        };
        assert_eq!(builder.value(&Value::Nil), ValueId::NIL, "nil is the first value");
        builder
    }
}

impl HistoryBuilder {
    /// Begins an empty history.
    pub fn new() -> HistoryBuilder {
        HistoryBuilder::default()
    }

    /// How many events there are so far.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Adds the begin of an operation.
    ///
    /// # Errors
    /// If time goes back, or the process is busy, retired, or of another session.
    pub fn invoke(
        &mut self,
        at: Time,
        invocation: &Invocation,
    ) -> Result<OperationId, HistoryError> {
        let Invocation { process, session, node, ref op } = *invocation;
        let id = OperationId(self.history.operation_count() as u32);
        self.check_time(at)?;
        self.check_invocation(process, session, id)?;
        self.processes.insert(process, Process { session, open: Some(id), retired: false });
        let key = self.key(op.key());
        let op = op.clone().map(|_| key, |value| self.value(&value));
        let kinds = &mut self.history.kinds[key.index()];
        *kinds = kinds.with(op.kind());
        let invoked = self.push(at, Happening::Invoke(id));
        let columns = &mut self.history.operations;
        columns.processes.push(process);
        columns.sessions.push(session);
        columns.nodes.push(node);
        columns.ops.push(op);
        columns.invoked.push(invoked);
        columns.completed.push(None);
        columns.outcomes.push(None);
        Ok(id)
    }

    /// Says which node an operation was about, where that is known later than that it was invoked.
    ///
    /// # Panics
    /// If there is no such operation.
    pub fn turn_to(&mut self, operation: OperationId, node: NodeId) {
        self.history.operations.nodes[operation.index()] = Some(node);
    }

    fn check_invocation(
        &self,
        process: ProcessId,
        session: SessionId,
        second: OperationId,
    ) -> Result<(), HistoryError> {
        match self.processes.get(&process) {
            None => Ok(()),
            Some(Process { retired: true, .. }) => Err(HistoryError::Retired { process }),
            Some(Process { open: Some(first), .. }) => {
                Err(HistoryError::Busy { process, first: *first, second })
            }
            Some(Process { session: first, .. }) if *first != session => {
                Err(HistoryError::TwoSessions { process, first: *first, second: session })
            }
            Some(_) => Ok(()),
        }
    }

    /// Adds the end of an operation.
    ///
    /// # Errors
    /// If time goes back, the operation is not open, or the outcome does not fit it.
    pub fn complete(
        &mut self,
        at: Time,
        operation: OperationId,
        outcome: &Outcome,
    ) -> Result<(), HistoryError> {
        self.complete_at_version(at, operation, outcome, None)
    }

    /// Adds the end of an operation, with the version of the key that the store reports: the one
    /// that it saw (a read, a mismatch), or made (whatever else is `ok`). Versions of a key grow
    /// with each change of it, deletes included.
    ///
    /// # Errors
    /// Those of [`complete`](Self::complete), and for a version of what is unknown.
    pub fn complete_at_version(
        &mut self,
        at: Time,
        operation: OperationId,
        outcome: &Outcome,
        version: Option<u64>,
    ) -> Result<(), HistoryError> {
        self.check_time(at)?;
        let not_open = HistoryError::NotOpen { operation };
        let Some(op) = self.history.operations.ops.get(operation.index()) else {
            return Err(not_open);
        };
        if self.history.operations.completed[operation.index()].is_some() {
            return Err(not_open);
        }
        check_fit(op, outcome)?;
        let tells = matches!(outcome, Outcome::Ok(_) | Outcome::Fail(Reason::Mismatch { .. }));
        if version.is_some() && !tells {
            let what = "only what is `ok`, or a mismatch, has a version";
            return Err(HistoryError::Misfit { what });
        }
        let process = self.history.operations.processes[operation.index()];
        let state = self.processes.get_mut(&process).expect("its invocation registered it");
        state.open = None;
        state.retired = matches!(outcome, Outcome::Info(_));
        let outcome = self.intern(outcome);
        let completed = self.push(at, Happening::Complete(operation));
        self.history.operations.completed[operation.index()] = Some(completed);
        self.history.operations.outcomes[operation.index()] = Some(outcome);
        if let Some(version) = version {
            self.history.versions.insert(operation, version);
        }
        Ok(())
    }

    /// The operation that a process has open.
    ///
    /// # Errors
    /// If it has none.
    pub fn open_operation(&self, process: ProcessId) -> Result<OperationId, HistoryError> {
        let open = self.processes.get(&process).and_then(|state| state.open);
        open.ok_or(HistoryError::Idle { process })
    }

    /// Adds the begin or end of a fault.
    ///
    /// # Errors
    /// If time goes back.
    pub fn fault(&mut self, at: Time, event: FaultEvent) -> Result<(), HistoryError> {
        self.check_time(at)?;
        let place = self.push(at, Happening::Fault(self.history.faults.len() as u32));
        self.history.fault_places.push(place);
        self.history.faults.push(event);
        Ok(())
    }

    /// Adds the begin of a phase.
    ///
    /// # Errors
    /// If time goes back.
    pub fn phase(&mut self, at: Time, phase: Phase) -> Result<(), HistoryError> {
        self.check_time(at)?;
        self.push(at, Happening::Phase(phase));
        Ok(())
    }

    /// Ends the history. Operations that are still open stay so.
    pub fn finish(self) -> History {
        self.history
    }

    fn check_time(&self, to: Time) -> Result<(), HistoryError> {
        if self.history.len() >= u32::MAX as usize {
            return Err(HistoryError::TooLong);
        }
        match self.history.times.last() {
            Some(&from) if to < from => Err(HistoryError::TimeGoesBack { from, to }),
            _ => Ok(()),
        }
    }

    fn push(&mut self, at: Time, event: Happening) -> EventIndex {
        let index = EventIndex(self.history.len() as u32);
        self.history.times.push(at);
        self.history.events.push(event);
        index
    }

    fn key(&mut self, key: &Key) -> KeyId {
        if let Some(id) = self.keys.get(key) {
            return *id;
        }
        let id = KeyId(self.keys.len() as u32);
        self.keys.insert(key.clone(), id);
        self.history.keys.push(key.clone());
        self.history.kinds.push(Kinds::default());
        id
    }

    fn value(&mut self, value: &Value) -> ValueId {
        if let Some(id) = self.values.get(value) {
            return *id;
        }
        let id = ValueId(self.values.len() as u32);
        self.values.insert(value.clone(), id);
        self.history.values.push(value.clone());
        id
    }

    fn intern(&mut self, outcome: &Outcome) -> Outcome<ValueId> {
        match outcome {
            Outcome::Ok(Ret::Done) => Outcome::Ok(Ret::Done),
            Outcome::Ok(Ret::Value(value)) => Outcome::Ok(Ret::Value(self.value(value))),
            Outcome::Fail(why) => Outcome::Fail(why.map(|value| self.value(value))),
            Outcome::Info(why) => Outcome::Info(why.map(|value| self.value(value))),
        }
    }
}

/// Whether an outcome can be that of an operation.
fn check_fit(op: &Op<KeyId, ValueId>, outcome: &Outcome) -> Result<(), HistoryError> {
    let what = match (outcome, op.kind().returns()) {
        (Outcome::Ok(Ret::Done), Some(true)) => {
            "a read, dequeue, generate, send, poll, committed, echo or txn that is `ok` returns a value"
        }
        (Outcome::Ok(Ret::Value(_)), Some(false)) => {
            "an operation that only writes returns no value"
        }
        (Outcome::Info(Reason::Mismatch { .. }), _) => {
            "a mismatch is known not to have taken effect: its outcome is `fail`"
        }
        (Outcome::Fail(Reason::Mismatch { .. }), _) if op.kind() != OpKind::Cas => {
            "only a compare-and-set fails with a mismatch"
        }
        (Outcome::Info(Reason::Declined(_)), _) => {
            "what was declined is known not to have taken effect: its outcome is `fail`"
        }
        (Outcome::Fail(Reason::Declined(_)), _) if op.kind() == OpKind::Cas => {
            "a compare-and-set is not declined: it fails with a mismatch"
        }
        (Outcome::Fail(Reason::Declined(_)), _) if !op.kind().has_condition() => {
            "only a remove, increment, enqueue, dequeue, acquire, release, commit or txn is declined for what is stored"
        }
        _ => return Ok(()),
    };
    Err(HistoryError::Misfit { what })
}

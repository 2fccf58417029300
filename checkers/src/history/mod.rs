//! Histories: what clients asked and what they learned, in one total order, with the faults that
//! happened meanwhile.
//!
//! A [`History`] is made by a [`HistoryBuilder`], event by event, or [read](jsonl::read) from a
//! file. Either way it is checked once, and is then its own proof: no checker looks again whether a
//! process does two things at a time.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::checker::Model;

mod bank_edn;
mod builder;
mod drains;
mod edn_value;
pub mod etcd_log;
mod foreign;
pub mod format;
pub mod jepsen_edn;
pub mod jsonl;
mod kinds;
mod op;
mod reading;

pub use builder::{HistoryBuilder, HistoryError};
pub(crate) use kinds::Kinds;
pub use op::{
    EventIndex, FaultId, Key, KeyId, NodeId, Op, OpKind, OperationId, Outcome, ProcessId,
    ReadLevel, Reason, Ret, SessionId, Time, Value, ValueId,
};
pub use reading::NilReads;

/// Everything that happened in one run, in one total order.
///
/// Columns, not rows: an event is a time and a reference, an operation is spread over arrays that
/// are indexed by its [`OperationId`]. Keys and values are interned.
#[derive(Debug, Default, PartialEq)]
pub struct History {
    times: Vec<Time>,
    events: Vec<Happening>,
    operations: Operations,
    /// The versions that the store reported, where it does.
    versions: FxHashMap<OperationId, u64>,
    faults: Vec<FaultEvent>,
    /// Where the fault events are.
    fault_places: Vec<EventIndex>,
    keys: Vec<Key>,
    /// What is asked of each key.
    kinds: Vec<Kinds>,
    values: Vec<Value>,
    /// Of a history of another tool, the line of each event in its file.
    lines: Vec<u32>,
    /// How many of its times go back in that file.
    times_moved: u32,
    /// What a read that returned `nil` says.
    nil_reads: NilReads,
    /// What every key holds in the beginning.
    initial: ValueId,
    /// What every key is taken for.
    model: Model,
}

/// The columns of the operations, in the order of invocation.
#[derive(Debug, Default, PartialEq)]
struct Operations {
    processes: Vec<ProcessId>,
    sessions: Vec<SessionId>,
    nodes: Vec<Option<NodeId>>,
    ops: Vec<Op<KeyId, ValueId>>,
    invoked: Vec<EventIndex>,
    completed: Vec<Option<EventIndex>>,
    outcomes: Vec<Option<Outcome<ValueId>>>,
}

/// What an event refers to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happening {
    Invoke(OperationId),
    Complete(OperationId),
    /// An index into the fault events.
    Fault(u32),
    Phase(Phase),
}

/// A client asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The process that asks.
    pub process: ProcessId,
    /// The session that the process belongs to.
    pub session: SessionId,
    /// The node that is asked first, where that is known.
    pub node: Option<NodeId>,
    /// What is asked.
    pub op: Op,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Faults come and go.
    Safety,
    /// All faults have been undone; the system must recover.
    Liveness,
    /// Clients have stopped and the replicas have had time to converge: whatever is read now, by
    /// [replica reads](ReadLevel::Replica), is the final state of the node that is asked.
    Final,
}

/// Whether a fault begins or is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultEdge {
    /// It begins.
    Begin,
    /// It was undone.
    End,
}

/// A fault begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// The fault.
    pub fault: FaultId,
    /// Whether it begins or ends.
    pub edge: FaultEdge,
    /// Its family: `partition`.
    pub kind: String,
    /// Whom it hits: `n1 | n2 n3`.
    pub what: String,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// An operation begins.
    Invoke(Operation<'a>),
    /// An operation ends, with its outcome.
    Complete(Operation<'a>),
    /// A fault begins or ends.
    Fault(&'a FaultEvent),
    /// A phase begins.
    Phase(Phase),
}

/// One operation: its invocation and, where it ended, its completion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation<'a> {
    /// Its number, in the order of invocation.
    pub id: OperationId,
    /// The process that did it.
    pub process: ProcessId,
    /// The session that the process belongs to.
    pub session: SessionId,
    /// The node that was asked first, where that is known.
    pub node: Option<NodeId>,
    /// What was asked.
    pub op: Op<KeyId, ValueId>,
    /// The event of its invocation.
    pub invoked: EventIndex,
    /// When it was invoked.
    pub invoked_at: Time,
    /// The event of its completion; none if it never ended.
    pub completed: Option<EventIndex>,
    /// When it was completed.
    pub completed_at: Option<Time>,
    /// How it ended; none if it never did, which says as little as `info`.
    pub outcome: Option<&'a Outcome<ValueId>>,
    /// What it says if it is a read that returned `nil`.
    nil_reads: NilReads,
}

/// An operation without who did it, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare<'a> {
    pub(crate) op: Op<KeyId, ValueId>,
    pub(crate) invoked: EventIndex,
    pub(crate) completed: Option<EventIndex>,
    pub(crate) outcome: Option<&'a Outcome<ValueId>>,
}

impl Operation<'_> {
    /// Whether it took effect, for certain.
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Ok(_)))
    }

    /// Whether the store served it: one that failed because of what is stored was served as well, a compare-and-set
    /// that found another value or a transfer from an account that holds too little. One that failed because nobody
    /// could serve it was not.
    pub fn was_served(&self) -> bool {
        self.is_ok() || matches!(self.outcome, Some(Outcome::Fail(reason)) if reason.is_answer())
    }

    /// Whether the system does not offer it.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Fail(Reason::Unsupported)))
    }

    /// Whether it was told that what its session had seen is lost.
    pub fn lost_its_session(&self) -> bool {
        let reason = match self.outcome {
            Some(Outcome::Fail(reason) | Outcome::Info(reason)) => Some(reason),
            Some(Outcome::Ok(_)) | None => None,
        };
        matches!(reason, Some(Reason::SessionLost))
    }

    /// Whether it did not take effect, for certain.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Fail(_)))
    }

    /// Whether it may have taken effect, or may yet.
    pub fn is_indeterminate(&self) -> bool {
        matches!(self.outcome, None | Some(Outcome::Info(_)))
    }

    /// What the register holds after it, if it took effect; none for what writes no register.
    pub fn value_written(&self) -> Option<ValueId> {
        match self.op {
            Op::Write { value, .. } => Some(value),
            Op::Cas { to, .. } => Some(to),
            Op::Delete { .. } => Some(ValueId::NIL),
            _ => None,
        }
    }

    /// Whether it was certainly over when `later` began.
    ///
    /// The order of events decides, not their time stamps, which several may share. An operation
    /// that ended `info` is never over: it may take effect at any later moment.
    pub fn precedes(&self, later: &Operation<'_>) -> bool {
        !self.is_indeterminate() && self.completed.is_some_and(|end| end < later.invoked)
    }
}

impl History {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// One event and its time.
    ///
    /// # Panics
    /// If the index is not one of this history's.
    pub fn event(&self, index: EventIndex) -> (Time, Event<'_>) {
        let event = match self.events[index.index()] {
            Happening::Invoke(id) => Event::Invoke(self.operation(id)),
            Happening::Complete(id) => Event::Complete(self.operation(id)),
            Happening::Fault(fault) => Event::Fault(&self.faults[fault as usize]),
            Happening::Phase(phase) => Event::Phase(phase),
        };
        (self.times[index.index()], event)
    }

    /// The line of an event in the file of another tool that the history was read from.
    pub fn line(&self, index: EventIndex) -> Option<u32> {
        self.lines.get(index.index()).copied()
    }

    /// Whether its times are times: a history of another tool may have none.
    pub fn has_times(&self) -> bool {
        self.times.first().is_none_or(|time| !time.is_line())
    }

    /// Of a history of another tool, how many of its events have a time before that of the event before.
    /// The order of the file counts: here they have the latest time before them.
    pub fn times_moved(&self) -> u32 {
        self.times_moved
    }

    /// All events and their times, in order.
    pub fn events(&self) -> impl Iterator<Item = (Time, Event<'_>)> {
        (0..self.len() as u32).map(|index| self.event(EventIndex(index)))
    }

    /// How many operations there are.
    pub fn operation_count(&self) -> usize {
        self.operations.ops.len()
    }

    /// One operation.
    ///
    /// # Panics
    /// If the number is not one of this history's.
    pub fn operation(&self, id: OperationId) -> Operation<'_> {
        let columns = &self.operations;
        let index = id.index();
        let (invoked, completed) = (columns.invoked[index], columns.completed[index]);
        Operation {
            id,
            process: columns.processes[index],
            session: columns.sessions[index],
            node: columns.nodes[index],
            op: columns.ops[index],
            invoked,
            invoked_at: self.times[invoked.index()],
            completed,
            completed_at: completed.map(|event| self.times[event.index()]),
            outcome: columns.outcomes[index].as_ref(),
            nil_reads: self.nil_reads,
        }
    }

    /// The key that an operation is about, of all that is known of it.
    pub(crate) fn key_of(&self, index: usize) -> KeyId {
        *self.operations.ops[index].key()
    }

    /// What judging an operation by the order of events takes, and no more: its times would cost
    /// two more places of memory.
    #[inline]
    pub(crate) fn bare(&self, index: usize) -> Bare<'_> {
        let columns = &self.operations;
        Bare {
            op: columns.ops[index],
            invoked: columns.invoked[index],
            completed: columns.completed[index],
            outcome: columns.outcomes[index].as_ref(),
        }
    }

    /// The version of its key that the store reported for an operation: the one that it saw or
    /// made. See [`HistoryBuilder::complete_at_version`].
    pub fn version(&self, id: OperationId) -> Option<u64> {
        self.versions.get(&id).copied()
    }

    /// All operations, in the order of invocation.
    pub fn operations(&self) -> impl DoubleEndedIterator<Item = Operation<'_>> {
        (0..self.operation_count() as u32).map(|index| self.operation(OperationId(index)))
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The name of a key.
    ///
    /// # Panics
    /// If the number is not one of this history's.
    pub fn key(&self, id: KeyId) -> &Key {
        &self.keys[id.index()]
    }

    /// What is asked of each key. It is counted while operations are added: to look through all of them for it once more
    /// is a tenth of what judging registers takes.
    pub(crate) fn kinds(&self) -> &[Kinds] {
        &self.kinds
    }

    /// Counts anew what is asked of each key, after a reader has taken operations for others.
    fn count_kinds(&mut self) {
        self.kinds.fill(Kinds::default());
        for op in &self.operations.ops {
            let of_key = &mut self.kinds[op.key().index()];
            *of_key = of_key.with(op.kind());
        }
    }

    /// How many values there are, `nil` included.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// A value.
    ///
    /// # Panics
    /// If the number is not one of this history's.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The number of a value, if it occurs.
    pub fn value_id(&self, value: &Value) -> Option<ValueId> {
        let index = self.values.iter().position(|known| known == value)?;
        Some(ValueId(index as u32))
    }

    /// The moment at which a phase began, if it did, and that event.
    pub fn phase_began(&self, phase: Phase) -> Option<(EventIndex, Time)> {
        let index = self.events.iter().position(|event| *event == Happening::Phase(phase))?;
        Some((EventIndex(index as u32), self.times[index]))
    }

    /// The faults that were on at an event.
    pub fn faults_on(&self, at: EventIndex) -> Vec<FaultId> {
        let mut on = Vec::new();
        let before = self.fault_places.partition_point(|place| *place < at);
        for FaultEvent { fault, edge, .. } in &self.faults[..before] {
            match edge {
                FaultEdge::Begin => on.push(*fault),
                FaultEdge::End => on.retain(|id| id != fault),
            }
        }
        on
    }

    /// An operation with its keys and values by name.
    pub fn op(&self, id: OperationId) -> Op {
        let named = self.operations.ops[id.index()];
        named.map(|key| self.key(key).clone(), |value| self.value(value).clone())
    }
}

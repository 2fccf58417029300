//! Histories: what clients asked and what they learned, in one total order, with the faults that
//! happened meanwhile.

mod op;

pub use op::{
    EventIndex, FaultId, Key, KeyId, NodeId, Op, OpKind, OperationId, Outcome, ProcessId,
    ReadLevel, Reason, Ret, SessionId, Time, Value, ValueId,
};

/// Everything that happened in one run.
#[derive(Debug)]
pub struct History;

//! How a history is read: what its keys are taken for, what they hold in the beginning, and what its reads
//! of `nil` say. Every checker is given the same.

use serde::{Deserialize, Serialize};

use super::{History, Op, OpKind, Operation, Outcome, Ret, Value, ValueId};
use crate::checker::Model;

/// What a read that returned `nil` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NilReads {
    /// The key was absent.
    #[default]
    Absent,
    /// Nothing: the client does not know what it read. (Knossos takes them so.)
    Unknown,
}

impl History {
    /// Reads the history so that its keys hold `initial` in the beginning, instead of `nil`.
    #[must_use]
    pub fn that_begins_as(mut self, initial: &Value) -> History {
        self.initial = self.value_id(initial).unwrap_or_else(|| {
            self.values.push(initial.clone());
            ValueId(self.values.len() as u32 - 1)
        });
        self
    }

    /// Reads the history so that every key is taken for this, instead of for what its operations say.
    #[must_use]
    pub fn taken_for(mut self, model: Model) -> History {
        self.model = model;
        self
    }

    /// What every key is taken for.
    pub fn model(&self) -> Model {
        self.model
    }

    /// Reads the history so that its reads of `nil` say this. What a queue gives is no read. Reads
    /// within transactions count where these are judged as linearizable; on lists, between accounts
    /// and for long forks, `nil` is what a key holds that nobody wrote.
    #[must_use]
    pub fn with_nil_reads(mut self, nil_reads: NilReads) -> History {
        self.nil_reads = nil_reads;
        self
    }

    /// What every key holds in the beginning.
    pub fn initial(&self) -> &Value {
        self.value(self.initial)
    }

    /// The number of what every key holds in the beginning.
    pub fn initial_id(&self) -> ValueId {
        self.initial
    }

    /// What a read that returned `nil` says.
    pub fn nil_reads(&self) -> NilReads {
        self.nil_reads
    }

    /// Whether a key may hold the value though nobody wrote it. Where texts are empty in the
    /// beginning, a key that is absent holds none either.
    pub(crate) fn is_initial(&self, value: ValueId) -> bool {
        let is_empty = || matches!(self.initial(), Value::Text(text) if text.is_empty());
        value == self.initial || value == ValueId::NIL && is_empty()
    }
}

impl Operation<'_> {
    /// What it returned, if it returned a value that says something: of a register, what was read.
    pub fn value_read(&self) -> Option<ValueId> {
        match self.outcome {
            Some(Outcome::Ok(Ret::Value(ValueId::NIL)))
                if self.nil_reads == NilReads::Unknown && self.op.kind() == OpKind::Read =>
            {
                None
            }
            Some(Outcome::Ok(Ret::Value(value))) => Some(*value),
            _ => None,
        }
    }

    /// Whether it is a read that was answered, and yet does not say what the key held.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.op, Op::Read { .. }) && self.is_ok() && self.value_read().is_none()
    }
}

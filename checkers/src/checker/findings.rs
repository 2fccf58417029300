//! What a checker finds on its way through a history.

use super::words::sentence;
use crate::history::{History, KeyId, Operation, OperationId, Outcome, Reason, Value, ValueId};
use crate::verdict::{Anomaly, Contrast, Coverage, Guarantee, Legal, Verdict, Witness};

/// The violations of one guarantee, and what was judged.
pub(super) struct Findings<'a> {
    pub(super) history: &'a History,
    guarantee: Guarantee,
    pub(super) coverage: Coverage,
    anomalies: Vec<Anomaly>,
    /// What could not be proved, nor excluded.
    open: Option<String>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(
        history: &'a History,
        guarantee: Guarantee,
        method: &str,
        keys: usize,
    ) -> Findings<'a> {
        let coverage = Coverage { method: method.to_owned(), keys, ..Coverage::default() };
        Findings { history, guarantee, coverage, anomalies: Vec::new(), open: None }
    }

    /// Adds a violation: the operations that prove it, the one that shows it last, and what follows
    /// from them.
    pub(super) fn add(&mut self, name: &str, proof: &[OperationId], conclusion: String) {
        self.push(name, proof, None, conclusion);
    }

    /// Adds one that one operation shows by what it could not have shown.
    pub(super) fn contrast(
        &mut self,
        name: &str,
        proof: &[OperationId],
        contrast: Contrast,
        conclusion: String,
    ) {
        self.push(name, proof, Some(contrast), conclusion);
    }

    fn push(
        &mut self,
        name: &str,
        proof: &[OperationId],
        contrast: Option<Contrast>,
        conclusion: String,
    ) {
        let history = self.history;
        let shown = history.operation(*proof.last().expect("something shows it"));
        let mut operations = proof.to_vec();
        operations.sort_unstable();
        operations.dedup();
        let mut explanation: Vec<String> =
            operations.iter().map(|id| sentence(history, &history.operation(*id))).collect();
        explanation.push(conclusion);
        self.anomalies.push(Anomaly {
            name: name.to_owned(),
            guarantee: self.guarantee,
            at: shown.completed_at.unwrap_or(shown.invoked_at),
            key: Some(history.key(*shown.op.key()).clone()),
            witness: Witness { operations, faults: history.faults_on(shown.invoked) },
            contrast,
            explanation,
        });
    }

    /// Something is neither proved nor excluded: without a violation, the verdict is unknown.
    pub(super) fn leave_open(&mut self, reason: String) {
        self.open.get_or_insert(reason);
    }

    /// Whether there was nothing to judge, nor to leave open.
    pub(super) fn are_none(&self) -> bool {
        self.coverage.operations == 0 && self.open.is_none()
    }

    /// The verdict; where nothing was judged, with this reason.
    pub(super) fn into_verdict(self, nothing: &str) -> Verdict {
        let Findings { coverage, mut anomalies, open, .. } = self;
        if !anomalies.is_empty() {
            anomalies.sort_by_key(|anomaly| anomaly.at);
            Verdict::Invalid { anomalies, coverage }
        } else if let Some(reason) = open {
            Verdict::Unknown { reason, coverage }
        } else if coverage.operations == 0 {
            Verdict::Unknown { reason: nothing.to_owned(), coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

/// What an operation could have shown that showed something older than what another one left or showed.
pub(super) fn not_older(history: &History, shown: OperationId, newer: &Operation<'_>) -> Contrast {
    let left = newer.value_written().filter(|_| newer.is_ok());
    let found = || match newer.outcome? {
        Outcome::Fail(Reason::Mismatch { actual }) => *actual,
        _ => newer.value_read(),
    };
    let value = left.or_else(found).map_or(Value::Nil, |value| history.value(value).clone());
    Contrast::new(shown, Legal::NotOlder(value)).due_to(newer.id)
}

/// Who tried to make a register hold a value, and failed.
pub(super) fn failed_to_write(
    history: &History,
    key: KeyId,
    value: ValueId,
) -> Option<OperationId> {
    let failed = |operation: &Operation<'_>| {
        *operation.op.key() == key
            && operation.value_written() == Some(value)
            && operation.has_failed()
    };
    history.operations().find(failed).map(|operation| operation.id)
}

/// What is to be said besides "nobody had begun to", where somebody had, and failed.
pub(super) fn but_who_failed(history: &History, failed: Option<OperationId>) -> String {
    failed.map_or_else(String::new, |id| {
        format!(", but for process {}, which failed", history.operation(id).process)
    })
}

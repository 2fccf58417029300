//! Unique values: nothing that a generator returned is returned again.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Checker;
use super::findings::Findings;
use super::words::told;
use crate::history::{History, KeyId, Op, OperationId, ValueId};
use crate::verdict::{Contrast, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct UniqueIds;

impl Checker for UniqueIds {
    fn check(&self, history: &History) -> Verdict {
        let mut found = Findings::new(history, Guarantee::UniqueIds, "all values", 0);
        let mut keys: BTreeSet<KeyId> = BTreeSet::new();
        let mut first: FxHashMap<(KeyId, ValueId), OperationId> = FxHashMap::default();
        for operation in history.operations() {
            let (Op::Generate { key }, Some(value)) = (operation.op, operation.value_read()) else {
                continue;
            };
            found.coverage.operations += 1;
            keys.insert(key);
            if let Some(before) = first.insert((key, value), operation.id) {
                let value = told(history, value);
                let (one, other) = (history.operation(before).process, operation.process);
                let conclusion = match one == other {
                    true => format!("{value} was handed out to process {one} twice"),
                    false => {
                        format!("{value} was handed out to process {one} and to process {other}")
                    }
                };
                let contrast = Contrast::new(operation.id, Legal::Once).due_to(before);
                found.contrast("duplicate-id", &[before, operation.id], contrast, conclusion);
            }
        }
        found.coverage.keys = keys.len();
        found.into_verdict("no value was generated")
    }
}

//! Isolation of transactions that append to lists and read them (Kingsbury and Alvaro, "Elle:
//! Inferring Isolation Anomalies from Experimental Observations", VLDB 2020).
//!
//! Every append is of another element, so a list that was read tells who wrote each of its versions,
//! and in which order. From that follows who must have come before whom; a cycle of such reasons
//! contradicts the level of isolation that forbids it. See [`Level`] for which forbids what.
//!
//! Judged are keys that are appended to (or read as lists) and never written otherwise. Transactions
//! that failed take no part but as the source of what must not be read; those without an answer take
//! part if something that they appended was read. All is linear in the size of the history, the
//! lists that were read included, up to sorting.
//!
//! Nobody is accused wrongly. Missed is what follows only from the order of appends that nobody
//! read: that one of two came first, whichever, is not tried out.

use super::anomalies::cycle_name;
use super::cycles::forbidden;
use super::dependencies::graph;
use super::graph::Kinds;
use super::versions::Versions;
use super::words::{explain, introduce};
use super::{Action, Fate, Level, Txns, brief, in_order, internal};
use crate::checker::Checker;
use crate::history::{History, OperationId};
use crate::verdict::{Anomaly, Contrast, Coverage, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListAppend {
    /// How much isolation is asked for.
    pub level: Level,
}

impl Checker for ListAppend {
    fn check(&self, history: &History) -> Verdict {
        let unjudged = |reason| {
            let coverage = Coverage { method: METHOD.to_owned(), ..Coverage::default() };
            Verdict::Unknown { reason, coverage }
        };
        let txns = match Txns::read(history) {
            Ok(txns) => txns,
            Err(reason) => return unjudged(reason),
        };
        let mut versions = match Versions::new(&txns) {
            Ok(versions) => versions,
            Err(reason) => return unjudged(reason),
        };
        if self.level >= Level::SnapshotIsolation {
            internal::judge_alone(&mut versions);
            internal::judge_future(&mut versions);
            internal::judge_updates(&mut versions);
        }
        let mut anomalies = self.malformed(&versions);
        anomalies.extend(self.findings(&versions));
        let dependencies = graph(&versions, self.level);
        for cycle in forbidden(&dependencies, txns.list().len(), self.level) {
            let kinds: Vec<Kinds> = cycle.steps.iter().map(|(_, kind, _)| *kind).collect();
            let (numbers, words) = explain(&versions, &cycle);
            let id = |place: usize| txns.list()[cycle.steps[place].0 as usize].id;
            let around: Vec<OperationId> = (0..cycle.steps.len()).map(id).collect();
            let contrast = Contrast::new(id(0), Legal::NoCycle(around));
            let found = self.anomaly(&txns, &cycle_name(&kinds), None, &numbers, words);
            anomalies.push(Anomaly { contrast: Some(contrast), ..found });
        }
        let coverage = coverage(&versions);
        if !anomalies.is_empty() {
            Verdict::Invalid { anomalies: in_order(anomalies), coverage }
        } else if versions.reads.iter().all(|read| read.items.is_empty()) {
            let reason = "no transaction read what was appended to a list".to_owned();
            Verdict::Unknown { reason, coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

const METHOD: &str = "cycles of dependencies";

impl ListAppend {
    fn anomaly(
        &self,
        txns: &Txns<'_>,
        name: &str,
        key: Option<u32>,
        numbers: &[u32],
        explanation: Vec<String>,
    ) -> Anomaly {
        let id = |number: &u32| txns.list()[*number as usize].id;
        let witness: Vec<OperationId> = numbers.iter().map(id).collect();
        txns.anomaly(name, self.level.guarantee(), key, &witness, explanation)
    }

    /// Answers that are none.
    fn malformed(&self, versions: &Versions<'_>) -> Vec<Anomaly> {
        let txns = versions.txns;
        let mut anomalies = txns.malformed_answers(self.level.guarantee());
        for (txn, key, value) in &versions.no_lists {
            let mut words = introduce(txns, &[*txn]);
            words.push(format!("{} is a list, and no {}", txns.key(*key), brief(value)));
            anomalies.push(self.anomaly(txns, "malformed-answer", Some(*key), &[*txn], words));
        }
        anomalies
    }

    /// What is wrong without a cycle.
    fn findings(&self, versions: &Versions<'_>) -> Vec<Anomaly> {
        let txns = versions.txns;
        let mut anomalies = Vec::new();
        for ((what, key), finding) in &versions.findings {
            if what.level() > self.level {
                continue;
            }
            let mut numbers = finding.txns.clone();
            numbers.sort_unstable();
            numbers.dedup();
            let mut words = introduce(txns, &numbers);
            if finding.more > 0 {
                let (more, key) = (finding.more, txns.key(*key));
                words.push(format!("the same happened {more} more times on {key}"));
            }
            // The last sentence draws the conclusion.
            words.push(finding.words.clone());
            let found = self.anomaly(txns, what.name(), Some(*key), &numbers, words);
            anomalies.push(Anomaly { contrast: finding.contrast.clone(), ..found });
        }
        anomalies
    }
}

/// What was judged: committed transactions that read or append to lists, and the lists.
fn coverage(versions: &Versions<'_>) -> Coverage {
    let is_judged = |step: &super::Step<'_>| {
        let does = matches!(step.action, Action::Read | Action::Append);
        does && versions.lists[step.key as usize].is_list
    };
    let txns = versions.txns;
    let judged = txns
        .list()
        .iter()
        .filter(|txn| txn.fate == Fate::Committed && txns.steps(txn).iter().any(is_judged));
    Coverage {
        method: METHOD.to_owned(),
        operations: judged.count(),
        keys: versions.lists.iter().filter(|list| list.is_list).count(),
        ..Coverage::default()
    }
}

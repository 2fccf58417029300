//! A case that was run again, for its page.

use super::{Origin, Source};
use crate::corpus::Case;
use crate::run::Report;
use crate::shrink::Failure;
use crate::store::Record;
use crate::story::{Sentence, tell};
use crate::system::Registration;

/// What came of a case that was run again, and how.
#[derive(Debug)]
pub struct Replayed {
    report: Report,
    record: Record,
    story: Vec<Sentence>,
    anomaly: Option<usize>,
}

impl Replayed {
    /// Runs a case again, with its trace.
    ///
    /// # Errors
    /// Says why its plan cannot run with any of the systems.
    pub fn of(case: &Case, systems: &[Registration]) -> Result<Replayed, String> {
        Replayed::new(case, systems, case.replay(systems)?.0)
    }

    /// What came of a case, where it was run again already.
    ///
    /// # Errors
    /// As [`Replayed::of`].
    pub fn new(case: &Case, systems: &[Registration], report: Report) -> Result<Replayed, String> {
        let system = case.system(systems)?;
        let mut record = Record::of(&report);
        let is_same = case.fingerprint.as_ref().is_none_or(|first| *first == report.fingerprint);
        // What was found out about another history says nothing of this one.
        record.why = case.why.clone().filter(|_| is_same);
        record.why.iter_mut().for_each(|why| why.retell(&*system, &report));
        let failure = case.failure.find(&report);
        let story = failure.map_or_else(Vec::new, |anomaly| tell(&*system, &report, anomaly));
        let mut anomalies = record.judged.iter().flat_map(|judged| judged.verdict.anomalies());
        let anomaly = anomalies.position(|anomaly| Failure::of(anomaly) == case.failure);
        Ok(Replayed { report, record, story, anomaly })
    }

    /// What its page is made of.
    pub fn source<'a>(&'a self, program: &'a str, file: &'a str) -> Source<'a> {
        Source {
            record: &self.record,
            history: &self.report.history,
            trace: self.report.trace.as_ref(),
            anomaly: self.anomaly,
            program,
            origin: Origin::Case(file),
            story: &self.story,
        }
    }
}

//! Failing runs that are kept, each in a file of its own: a corpus.
//!
//! A case is all that makes a run happen again, and how it fails. It is short where the run was
//! [shrunk](crate::shrink). What is kept of a mistake that is not mended yet is expected to fail, and says so when it
//! does no longer; what is kept of one that is mended is expected to hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkers::Anomaly;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::document::{self, DocumentError};
use crate::nemesis::Schedule;
use crate::plan::Plan;
use crate::report::run::explanation;
use crate::run::{Fingerprint, Options, Report, run};
use crate::seed::Seed;
use crate::shrink::Failure;
use crate::store::Record;
use crate::system::{Registration, System};
use crate::tape::Tape;

/// The version of the files, and the only one that is read.
pub const FORMAT: u32 = 1;

/// What is expected of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It fails, as it did.
    #[default]
    Fails,
    /// It does not fail in this way any more: what was wrong is mended.
    Holds,
}

/// A run that failed, as data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The version of this format.
    pub format: u32,
    /// What went wrong, in a sentence.
    pub about: String,
    /// What is expected of it.
    pub expected: Expected,
    /// How it fails.
    pub failure: Failure,
    /// The version of the program that ran it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The hash of the history that it had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The plan.
    pub plan: Plan,
    /// The seed: it decides what the rest does not.
    pub seed: Seed,
    /// The configuration.
    pub config: Config,
    /// The faults.
    pub schedule: Schedule,
    /// What clients ask; where there is none, what their workload draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Tape>,
}

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It fails with the history that it had, or with one where it is not known which it had.
    Same,
    /// It fails in the same way, but with another history.
    Other,
    /// It does not fail in this way.
    Holds,
}

impl Found {
    /// Whether this is what was expected.
    pub fn meets(self, expected: Expected) -> bool {
        (self == Found::Holds) == (expected == Expected::Holds)
    }
}

impl Case {
    /// The case that a stored run is, kept for one of its anomalies.
    pub fn of(record: &Record, anomaly: &Anomaly) -> Case {
        Case {
            format: FORMAT,
            about: anomaly.explanation.last().cloned().unwrap_or_default(),
            expected: Expected::Fails,
            failure: Failure::of(anomaly),
            program: Some(record.program.clone()),
            fingerprint: Some(record.fingerprint.clone()),
            plan: record.plan.clone(),
            seed: record.seed,
            config: record.config.clone(),
            schedule: record.schedule.clone(),
            calls: record.calls.clone(),
        }
    }

    /// Reads a case.
    ///
    /// # Errors
    /// Says in which line something is wrong, and what; line 1 where it is about the whole.
    pub fn parse(text: &str) -> Result<Case, (usize, String)> {
        let case: Case = document::parse(text, FORMAT)?;
        let checked = case.plan.check_data(&case.config, &case.schedule, case.calls.as_ref());
        checked.map_err(|message| (1, message))?;
        Ok(case)
    }

    /// Runs it again, with its trace.
    ///
    /// # Errors
    /// Says why its plan cannot run with any of the systems.
    pub fn replay(&self, systems: &[Registration]) -> Result<(Report, Found), String> {
        self.plan.check(systems).map_err(|error| error.to_string())?;
        let named = systems.iter().find(|entry| entry.name == self.plan.system);
        let system = named.expect("the plan was checked").configured(&self.plan.settings)?;
        let system: Arc<dyn System> = Arc::from(system);
        let data = Options::of_data(&self.config, &self.schedule, self.calls.as_ref());
        let options = Options { trace: true, ..data };
        let report = run(&system, &self.plan, self.seed, options);
        let is_same = self.fingerprint.as_ref().is_none_or(|first| *first == report.fingerprint);
        let found = match (self.failure.find(&report), is_same) {
            (None, _) => Found::Holds,
            (Some(_), true) => Found::Same,
            (Some(_), false) => Found::Other,
        };
        Ok((report, found))
    }

    /// Runs it again as a test of what was mended.
    ///
    /// # Panics
    /// If it fails as it did, with the anomaly in words; and if its plan cannot run with any of the systems.
    pub fn assert_holds(&self, systems: &[Registration]) {
        let replayed = self.replay(systems);
        let (report, _) = replayed.unwrap_or_else(|error| panic!("the case cannot run: {error}"));
        if let Some(anomaly) = self.failure.find(&report) {
            let Case { plan, seed, .. } = self;
            panic!("plan {}, seed {seed}\n{}", plan.name, explanation(anomaly));
        }
    }
}

/// Reads the case in a file.
///
/// # Errors
/// Says in which line something is wrong, and what.
pub fn read(path: &Path) -> Result<Case, DocumentError> {
    document::load(path, ": `shrink` makes a run shorter", Case::parse)
}

/// Reads the cases of a folder, in the order of their names: the files that end in `.json`.
///
/// # Errors
/// Names the file that is no case, and the line.
pub fn load(folder: &Path) -> Result<Vec<(String, Case)>, DocumentError> {
    let files = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let files = files.map_err(|cause| DocumentError::unreadable(folder, cause))?;
    let mut paths: Vec<PathBuf> = files.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let load = |path: PathBuf| {
        let case = read(&path)?;
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        Ok((name.unwrap_or_default(), case))
    };
    paths.into_iter().map(load).collect()
}

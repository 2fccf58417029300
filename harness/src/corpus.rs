//! Failing runs that are kept, each in a file of its own: a corpus.
//!
//! A case is all that makes a run happen again, and how it fails. It is short where the run was
//! [shrunk](crate::shrink). What is kept of a mistake that is not mended yet is expected to fail, and says so when it
//! does no longer; what is kept of one that is mended is expected to hold.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkers::Anomaly;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::campaign::words_of;
use crate::config::Config;
use crate::document::{self, DocumentError, Nature};
use crate::engine::Engine;
use crate::nemesis::Schedule;
use crate::plan::Plan;
use crate::report::run::explanation;
use crate::run::{Fingerprint, Options, Report, run};
use crate::seed::Seed;
use crate::shrink::Failure;
use crate::store::Record;
use crate::system::{Registration, System};
use crate::tape::Tape;
use crate::triage::{Kind, Shape, Signature};
use crate::why::Why;

/// The version of the files, and the only one that is read.
pub const FORMAT: u32 = 1;

/// What the files are to those who have another one.
const NATURE: Nature = Nature {
    is: "a case of a corpus",
    made_by: "`stormglass corpus add RUN` writes one",
    format: FORMAT,
};

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
    /// What the failure is; with a shape, where the run was shrunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
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
    /// What it takes, where that was looked into; without the story, which every replay tells anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
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
        let is_of_it = |why: &Why| why.is_tried() && why.failure == Failure::of(anomaly);
        let why = record.why.clone().filter(is_of_it);
        Case {
            format: FORMAT,
            about: anomaly.explanation.last().cloned().unwrap_or_default(),
            expected: Expected::Fails,
            failure: Failure::of(anomaly),
            signature: Some(Signature {
                kind: Kind::of(&record.plan, &Failure::of(anomaly)),
                shape: None,
            }),
            program: Some(record.program.clone()),
            fingerprint: Some(record.fingerprint.clone()),
            plan: record.plan.clone(),
            seed: record.seed,
            config: record.config.clone(),
            schedule: record.schedule.clone(),
            calls: record.calls.clone(),
            why: why.map(|why| Why { story: Vec::new(), ..why }),
        }
    }

    /// Looks into what it takes, with as many runs of each kind, until `stop`; and brings up to date what else is said of
    /// it: its signature, and, where there is none, its version and fingerprint. Whether it was looked into to the end.
    ///
    /// # Errors
    /// Where it does not fail, or not as it did first; and where its plan cannot run with any of the systems.
    pub fn explain(
        &mut self,
        systems: &[Registration],
        runs: u32,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, String> {
        let system = self.system(systems)?;
        let (report, found) = self.replay(systems)?;
        let anomaly = self.failure.find(&report);
        let Some(anomaly) = anomaly.filter(|_| found == Found::Same) else {
            return Err("it does not fail any more with the history that it had".to_owned());
        };
        let why = Why::of(&system, &report, &self.failure, runs, stop).filter(Why::is_tried);
        let is_done = why.is_some();
        if let Some(why) = why {
            // Whoever tells what each operation is good for has few of them: the shape says what the failure is.
            let (kind, shape) = (Kind::of(&self.plan, &self.failure), Shape::of(&report, anomaly));
            self.signature = Some(Signature { kind, shape: Some(shape) });
            self.program.get_or_insert_with(|| env!("CARGO_PKG_VERSION").to_owned());
            self.fingerprint.get_or_insert_with(|| report.fingerprint.clone());
            self.why = Some(Why { story: Vec::new(), ..why });
        }
        Ok(is_done)
    }

    /// The system of its plan.
    pub(crate) fn system(&self, systems: &[Registration]) -> Result<Arc<dyn System>, String> {
        self.plan.check(systems).map_err(|error| error.to_string())?;
        let named = systems.iter().find(|entry| entry.name == self.plan.system);
        let system = named.expect("the plan was checked").configured(&self.plan.settings)?;
        Ok(Arc::from(system))
    }

    /// Reads a case.
    ///
    /// # Errors
    /// Says in which line something is wrong, and what; line 1 where it is about the whole.
    pub fn parse(text: &str) -> Result<Case, (usize, String)> {
        let case: Case = document::parse(text, NATURE)?;
        let checked = case.plan.check_data(&case.config, &case.schedule, case.calls.as_ref());
        let why = case.why.as_ref();
        let checked = checked.and_then(|()| {
            why.map_or(Ok(()), |why| why.check(&case.schedule, case.calls.as_ref()))
        });
        checked.map_err(|message| (1, message))?;
        if why.is_some_and(|why| why.failure != case.failure) {
            return Err((1, "why: it is about another failure".to_owned()));
        }
        if case.config.engine == Engine::Real {
            return Err((
                1,
                "config: engine is \"real\", and such a run does not happen again".to_owned(),
            ));
        }
        let kind = case.signature.as_ref().map(|signature| &signature.kind);
        if kind.is_some_and(|kind| *kind != Kind::of(&case.plan, &case.failure)) {
            return Err((1, "signature: it is that of another failure".to_owned()));
        }
        Ok(case)
    }

    /// Runs it again, with its trace.
    ///
    /// # Errors
    /// Says why its plan cannot run with any of the systems.
    pub fn replay(&self, systems: &[Registration]) -> Result<(Report, Found), String> {
        let system = self.system(systems)?;
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

    /// Runs it again, and holds what it does against what is expected.
    fn verify(&self, systems: &[Registration]) -> Outcome {
        let replayed = catch_unwind(AssertUnwindSafe(|| self.replay(systems)));
        let found = match replayed {
            Ok(Ok((_, found))) => found,
            Ok(Err(error)) => return Outcome::Bad { error },
            Err(panic) => return Outcome::Bad { error: words_of(panic.as_ref()) },
        };
        Outcome::Ran {
            failure: self.failure.clone(),
            id: self.signature.as_ref().map(Signature::id),
            expected: self.expected,
            found,
        }
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
pub fn load_case(path: &Path) -> Result<Case, DocumentError> {
    document::load(path, ": `shrink` makes a run shorter", Case::parse)
}

/// A file of a corpus by its name: a case, or why it is none.
pub type Named = (String, Result<Case, DocumentError>);

/// A corpus that was run again.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files, in the order of their names.
    pub cases: Vec<Replayed>,
}

/// A file of a corpus after it was run again.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Its name.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a file of a corpus.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It was run.
    Ran {
        /// How it failed once.
        failure: Failure,
        /// The hash of what the failure is, where that is known.
        id: Option<String>,
        /// What is expected of it.
        expected: Expected,
        /// What it did.
        found: Found,
    },
    /// It is no case, or cannot be run.
    Bad {
        /// Why.
        error: String,
    },
}

impl Outcome {
    /// Whether it was run, and did not do what is expected of it.
    pub fn is_unmet(&self) -> bool {
        matches!(self, Outcome::Ran { found, expected, .. } if !found.meets(*expected))
    }

    /// Whether it could not be run.
    pub fn is_bad(&self) -> bool {
        matches!(self, Outcome::Bad { .. })
    }
}

impl Verified {
    /// Runs all cases of a folder again, as many at a time as there are processors.
    pub fn of(folder: &Path, files: &[Named], systems: &[Registration]) -> Verified {
        let cases = files.par_iter().map(|(name, case)| Replayed {
            name: name.clone(),
            outcome: match case {
                Ok(case) => case.verify(systems),
                Err(error) => Outcome::Bad { error: error.to_string() },
            },
        });
        Verified { folder: folder.to_owned(), cases: cases.collect() }
    }

    /// How many did not do what is expected of them.
    pub fn unmet(&self) -> usize {
        self.cases.iter().filter(|case| case.outcome.is_unmet()).count()
    }

    /// How many could not be run.
    pub fn bad(&self) -> usize {
        self.cases.iter().filter(|case| case.outcome.is_bad()).count()
    }
}

/// Reads the files of a folder that end in `.json`, in the order of their names.
///
/// # Errors
/// Where the folder cannot be read. A file that is no case is among the files.
pub fn read(folder: &Path) -> Result<Vec<Named>, DocumentError> {
    let files = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let files = files.map_err(|cause| DocumentError::unreadable(folder, cause))?;
    let mut paths: Vec<PathBuf> = files.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        // What is no file may have no end.
        let case = match fs::metadata(&path) {
            Ok(held) if !held.is_file() => {
                Err(DocumentError::unreadable(&path, io::Error::other("it is no file")))
            }
            _ => load_case(&path),
        };
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        (name.unwrap_or_default(), case)
    };
    Ok(paths.into_iter().map(read).collect())
}

/// Reads the cases of a folder, in the order of their names.
///
/// # Errors
/// As [`read`]; and names the first file that is no case, and the line.
pub fn load(folder: &Path) -> Result<Vec<(String, Case)>, DocumentError> {
    read(folder)?.into_iter().map(|(name, case)| Ok((name, case?))).collect()
}

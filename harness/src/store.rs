//! What is kept of a run on disk: paths and formats under the results folder. Nothing else knows
//! them; `results/README.md` explains them to people.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use checkers::history::jsonl::{self, ReadError, ReadLimits};
use checkers::{Facts, History};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::Engine;
use crate::external;
use crate::json;
use crate::nemesis::Schedule;
use crate::plan::Plan;
use crate::run::{Conclusion, Counts, Effect, Fingerprint, Judged, Report};
use crate::seed::Seed;
use crate::tape::Tape;
use crate::trace::Trace;
use crate::why::Why;

/// The version of `run.json` that this program writes, and the only one that it reads.
pub const FORMAT: u32 = 2;

/// The greatest `run.json` that is read, in bytes.
const RUN_BYTES_MAX: u64 = 64 << 20;
/// The greatest `history.jsonl` that is read, in bytes.
const HISTORY_BYTES_MAX: u64 = 1 << 30;
/// The greatest `trace.jsonl` that is read, in bytes.
const TRACE_BYTES_MAX: u64 = 1 << 30;

const RUN_FILE: &str = "run.json";
const HISTORY_FILE: &str = "history.jsonl";
const TRACE_FILE: &str = "trace.jsonl";

/// The results folder.
#[derive(Clone, Debug)]
pub struct Store {
    /// The folder of the folders of runs.
    runs: PathBuf,
}

/// A run as it was read back.
#[derive(Debug)]
pub struct Stored {
    /// The folder that it was read from.
    pub folder: PathBuf,
    /// What decided it and what came of it.
    pub record: Record,
    /// Its history. Its fingerprint is the one in the record.
    pub history: History,
}

/// The content of `run.json`: all that replays a run, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this format.
    pub format: u32,
    /// The version of the program that ran it.
    pub program: String,
    /// The plan.
    pub plan: Plan,
    /// The seed.
    pub seed: Seed,
    /// What the seed decided beforehand.
    pub config: Config,
    /// The faults.
    pub schedule: Schedule,
    /// What clients ask, where that is not what their workload draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Tape>,
    /// What each fault did.
    pub effects: Vec<Effect>,
    /// The hash of the history.
    pub fingerprint: Fingerprint,
    /// What the run as a whole came to.
    pub conclusion: Conclusion,
    /// The verdict on each guarantee.
    pub judged: Vec<Judged>,
    /// What the history says beyond verdicts.
    #[serde(default)]
    pub facts: Facts,
    /// Why the run proves nothing, if it does not.
    pub vacuous: Vec<String>,
    /// What there was of everything.
    pub counts: Counts,
    /// Why it fails, where that was looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// The version of each program that ran, where nodes were processes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// How many events its trace has, where one was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traced: Option<u64>,
    /// How often nodes got into rare states.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<String, u64>,
    /// How often they did for no reason what they may do at any time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub whims: BTreeMap<String, u64>,
}

impl Record {
    /// Whether nodes were processes: such a run does not happen again byte for byte.
    pub fn is_of_processes(&self) -> bool {
        self.config.engine == Engine::Real || self.plan.system == external::SYSTEM
    }

    /// What is kept of a report besides its history and trace.
    pub fn of(report: &Report) -> Record {
        Record {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            plan: report.plan.clone(),
            seed: report.seed,
            config: report.config.clone(),
            schedule: report.schedule.clone(),
            calls: report.calls.clone(),
            effects: report.effects.clone(),
            fingerprint: report.fingerprint.clone(),
            conclusion: report.conclusion(),
            judged: report.judged.clone(),
            facts: report.facts.clone(),
            vacuous: report.vacuous.clone(),
            counts: report.counts,
            why: report.why.clone(),
            programs: report.programs.clone(),
            traced: report.trace.as_ref().map(|trace| trace.len() as u64),
            marks: report.marks.clone(),
            whims: report.whims.clone(),
        }
    }
}

/// Why a run could not be stored or read back, and what would have worked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The results folder, or something in it, cannot be written.
    #[error(
        "cannot write {}: {cause}; `--results DIR` chooses another results folder",
        path.display()
    )]
    Unwritable {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is no such run.
    #[error(
        "{} is no stored run: it has no {file}; a run is a folder like results/runs/raft-17, or the name of one in the results folder",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file that it should have.
        file: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file is greater than any that this program writes.
    #[error("{} has {bytes} bytes; at most {most} are read", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The greatest size.
        most: u64,
    },
    /// A file is not what it should be.
    #[error("{}:{line}: {message}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1 on.
        line: u64,
        /// What is wrong there.
        message: String,
    },
    /// The run was stored by a program with another format.
    #[error(
        "{}:1: format {found}, but this program, version {}, reads format {FORMAT}; the run says that \
         version {program} stored it",
        file.display(), env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// The version found.
        found: u64,
        /// The program that wrote it.
        program: String,
    },
    /// The history is not the one that was judged.
    #[error(
        "{}: its fingerprint is {found}, but run.json says {expected}; one of the two was changed after \
         the run, and {}",
        file.display(), match of_processes {
            true => "nothing makes it anew: it was one of processes, which does not happen again",
            false => "`stormglass replay RUN --trace` finds out which and makes it anew",
        }
    )]
    OtherHistory {
        /// The history file.
        file: PathBuf,
        /// Its fingerprint.
        found: Fingerprint,
        /// The fingerprint in the record.
        expected: Fingerprint,
        /// Whether the run was one of processes.
        of_processes: bool,
    },
}

impl Store {
    /// Opens a results folder, and makes it where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be written: it is tried at once, so that no campaign runs in vain.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        Store::of_runs(&root.join("runs"))
    }

    /// Opens a folder that holds the folders of runs, and makes it where there is none.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn of_runs(runs: &Path) -> Result<Store, StoreError> {
        let store = Store { runs: runs.to_owned() };
        let unwritable = |cause| StoreError::Unwritable { path: runs.to_owned(), cause };
        fs::create_dir_all(runs).map_err(unwritable)?;
        let probe = store.temporary("probe");
        fs::create_dir(&probe).map_err(unwritable)?;
        fs::remove_dir(&probe).map_err(unwritable)?;
        Ok(store)
    }

    /// The folder of one run.
    pub fn folder(&self, plan: &str, seed: Seed) -> PathBuf {
        self.runs.join(format!("{plan}-{seed}"))
    }

    /// The folder of a run that is stored under a name of its own.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.runs.join(name)
    }

    /// A folder beside the runs that no other process uses.
    fn temporary(&self, name: &str) -> PathBuf {
        self.runs.join(format!(".{name}.{}.tmp", std::process::id()))
    }

    /// Stores a run and returns its folder. Whatever was stored there before is replaced.
    ///
    /// All files are written to a folder beside it, which is then renamed: a reader sees the whole
    /// run or none.
    ///
    /// # Errors
    /// Where the folder cannot be written; nothing of the run is then left behind.
    pub fn save(&self, report: &Report) -> Result<PathBuf, StoreError> {
        self.save_as(report, &format!("{}-{}", report.plan.name, report.seed))
    }

    /// The same under a name of its own.
    ///
    /// # Errors
    /// As [`save`](Store::save).
    pub fn save_as(&self, report: &Report, name: &str) -> Result<PathBuf, StoreError> {
        let folder = self.runs.join(name);
        let temporary = self.temporary(name);
        let written = write_run(&temporary, report).and_then(|()| put(&temporary, &folder));
        match written {
            Ok(()) => Ok(folder),
            Err(cause) => {
                // The first error is the one to report; what is left is only litter.
                let _ = fs::remove_dir_all(&temporary);
                Err(StoreError::Unwritable { path: folder, cause })
            }
        }
    }
}

/// Writes a file whole or not at all, by way of a temporary one on the same file system.
///
/// # Errors
/// Where it cannot be written; nothing is then left behind.
pub(crate) fn write_whole(temporary: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = fs::write(temporary, bytes).and_then(|()| fs::rename(temporary, file));
    written.inspect_err(|_| {
        // The first error is the one to report; what is left is only litter.
        let _ = fs::remove_file(temporary);
    })
}

/// The folder for what the nodes of a run leave that are processes.
pub(crate) fn processes_of(results: &Path, name: &str, seed: Seed) -> PathBuf {
    results.join("processes").join(format!("{name}-{seed}"))
}

/// A name for a run of processes that none has that is stored, since none of them happens again, and makes the
/// [folder](processes_of) of its nodes.
///
/// # Errors
/// Where that folder cannot be made.
pub(crate) fn free_name(results: &Path, base: &str, seed: Seed) -> Result<String, StoreError> {
    let unwritable = |path: PathBuf| |cause| StoreError::Unwritable { path, cause };
    let all = results.join("processes");
    fs::create_dir_all(&all).map_err(unwritable(all))?;
    for number in 1_u32.. {
        let name = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
        let is_stored = results.join("runs").join(format!("{name}-{seed}")).exists();
        let folder = processes_of(results, &name, seed);
        // Of two that end at once, whoever makes the folder has the name.
        match fs::create_dir(&folder) {
            Ok(()) if !is_stored => return Ok(name),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unwritable(folder)(error)),
        }
    }
    unreachable!("there are fewer runs than numbers")
}

/// Puts a finished folder in its place. Another process may be about to do the same: the last one
/// stays. Who fails has met another one that did not, so that all come to an end, however unlucky one is.
fn put(temporary: &Path, folder: &Path) -> io::Result<()> {
    const TRIES: u32 = 100_000;
    let aside = temporary.with_extension("old.tmp");
    let mut tries = 0;
    loop {
        let error = match fs::rename(temporary, folder) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        let is_taken =
            matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists);
        if !is_taken || tries == TRIES {
            return Err(error);
        }
        std::thread::yield_now();
        // What is there goes aside, unless somebody else was faster.
        match fs::rename(folder, &aside) {
            Ok(()) => fs::remove_dir_all(&aside)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_run(folder: &Path, report: &Report) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    write_file(&folder.join(RUN_FILE), |file| {
        file.write_all(json::pretty(&Record::of(report))?.as_bytes())
    })?;
    write_file(&folder.join(HISTORY_FILE), |file| jsonl::write(&report.history, file))?;
    match &report.trace {
        Some(trace) => write_file(&folder.join(TRACE_FILE), |file| write_trace(file, trace)),
        None => Ok(()),
    }
}

fn write_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    content(&mut file)?;
    file.flush()
}

fn write_trace(file: &mut impl Write, trace: &Trace) -> io::Result<()> {
    for event in trace {
        file.write_all(&json::line(event)?)?;
    }
    Ok(())
}

/// Reads a stored run back.
///
/// # Errors
/// Where there is none, a file is damaged or was written in another format, or the history is not
/// the one that was judged. The error names file and line.
pub fn load(folder: &Path) -> Result<Stored, StoreError> {
    let record = load_record(folder)?;
    let file = folder.join(HISTORY_FILE);
    let text = read_bounded(folder, HISTORY_FILE, HISTORY_BYTES_MAX)?;
    let history = jsonl::read(text.as_bytes(), &ReadLimits::default()).map_err(|error| {
        let file = file.clone();
        match error {
            ReadError::Io(cause) => StoreError::Unreadable { file, cause },
            ReadError::Line { line, what } => StoreError::Malformed { file, line, message: what },
        }
    })?;
    let found = Fingerprint::of(&history);
    if found != record.fingerprint {
        let (of_processes, expected) = (record.is_of_processes(), record.fingerprint);
        return Err(StoreError::OtherHistory { file, found, expected, of_processes });
    }
    let anomalies = record.judged.iter().flat_map(|judged| judged.verdict.anomalies());
    let mut shown = anomalies.flat_map(|anomaly| &anomaly.witness.operations);
    if let Some(strange) = shown.find(|id| id.index() >= history.operation_count()) {
        let message =
            format!("a witness names operation {strange}, which the history does not have");
        return Err(StoreError::Malformed { file: folder.join(RUN_FILE), line: 1, message });
    }
    Ok(Stored { folder: folder.to_owned(), record, history })
}

/// Makes sure that what is stored of a run besides its record is what the run was, where it is there.
///
/// # Errors
/// Where its history or trace is damaged, or the history is not the one that was judged.
pub fn check(folder: &Path) -> Result<(), StoreError> {
    let record = match folder.join(HISTORY_FILE).exists() {
        true => load(folder)?.record,
        false => load_record(folder)?,
    };
    load_trace(folder, &record).map(drop)
}

/// The files of a stored run, whether they are there or not.
pub fn files(folder: &Path) -> [PathBuf; 3] {
    [RUN_FILE, HISTORY_FILE, TRACE_FILE].map(|name| folder.join(name))
}

/// Reads the trace of a stored run; none where it was stored without one.
///
/// # Errors
/// Where it is damaged, or has not as many events as the record says. The error names file and line.
pub fn load_trace(folder: &Path, record: &Record) -> Result<Option<Trace>, StoreError> {
    let text = match read_bounded(folder, TRACE_FILE, TRACE_BYTES_MAX) {
        Err(StoreError::Missing { .. }) => return Ok(None),
        text => text?,
    };
    let malformed = |line: usize, what: String| StoreError::Malformed {
        file: folder.join(TRACE_FILE),
        line: line as u64 + 1,
        message: match record.is_of_processes() {
            true => format!("{what}; it was a run of processes, which does not happen again"),
            false => {
                format!("{what}; `stormglass replay {} --trace` records it anew", folder.display())
            }
        },
    };
    let event = |(line, text): (usize, &str)| {
        json::read(text).map_err(|error| malformed(line, error.to_string()))
    };
    let trace = text.lines().enumerate().map(event).collect::<Result<Trace, _>>()?;
    match record.traced {
        Some(traced) if traced != trace.len() as u64 => Err(malformed(
            trace.len(),
            format!("the file ends after {} events, but the run had {traced}", trace.len()),
        )),
        _ => Ok(Some(trace)),
    }
}

/// Reads what decided a stored run; its history may be missing.
///
/// # Errors
/// As [`load`].
pub fn load_record(folder: &Path) -> Result<Record, StoreError> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Head {
        format: u64,
        #[serde(default)]
        program: String,
    }

    let file = folder.join(RUN_FILE);
    let text = read_bounded(folder, RUN_FILE, RUN_BYTES_MAX)?;
    let malformed = |error: serde_json::Error| StoreError::Malformed {
        file: file.clone(),
        line: error.line().max(1) as u64,
        message: match error.classify() {
            serde_json::error::Category::Eof => {
                "the file ends too early; `stormglass run --plan … --seed … --store` makes a \
                 simulated run anew"
                    .to_owned()
            }
            _ => error.to_string(),
        },
    };
    let head: Head = json::read(&text).map_err(malformed)?;
    if head.format != u64::from(FORMAT) {
        let program = head.program;
        return Err(StoreError::Version { file, found: head.format, program });
    }
    let record: Record = json::read(&text).map_err(malformed)?;
    let Record { plan, config, schedule, calls, .. } = &record;
    let checked = plan.check_data(config, schedule, calls.as_ref());
    let checked = checked.and_then(|()| {
        record.why.as_ref().map_or(Ok(()), |why| why.check(schedule, calls.as_ref()))
    });
    checked.map_err(|message| StoreError::Malformed { file, line: 1, message })?;
    Ok(record)
}

fn read_bounded(folder: &Path, name: &'static str, most: u64) -> Result<String, StoreError> {
    let file = folder.join(name);
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            StoreError::Missing { folder: folder.to_owned(), file: name }
        }
        _ => StoreError::Unreadable { file: file.clone(), cause },
    };
    let opened = File::open(&file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len();
    if bytes > most {
        return Err(StoreError::TooLarge { file, bytes, most });
    }
    let mut content = Vec::new();
    opened.take(most).read_to_end(&mut content).map_err(unreadable)?;
    String::from_utf8(content).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        StoreError::Malformed {
            file: file.clone(),
            line: before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1,
            message: "the text is not UTF-8".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_of_processes_takes_the_place_of_another_one() {
        let results = tempfile::tempdir().unwrap();
        let name = || free_name(results.path(), "real-etcd", Seed(3)).unwrap();
        assert_eq!((name(), name()), ("real-etcd".to_owned(), "real-etcd-2".to_owned()));
        // Also where its logs are gone.
        fs::create_dir_all(results.path().join("runs/real-etcd-3-3")).unwrap();
        assert_eq!(name(), "real-etcd-4");
    }

    #[test]
    fn of_several_that_store_the_same_run_at_once_the_last_one_stays() {
        let root = tempfile::tempdir().expect("a folder can be made");
        let folder = root.path().join("raft-1");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (root, folder) = (root.path(), &folder);
                scope.spawn(move || {
                    for round in 0..50 {
                        let temporary = root.join(format!(".raft-1.{writer}.tmp"));
                        fs::create_dir(&temporary).expect("it was moved away");
                        let text = format!("{writer} {round}");
                        fs::write(temporary.join(RUN_FILE), text).expect("it can be written");
                        put(&temporary, folder).expect("it can be put there");
                    }
                });
            }
        });
        let text = fs::read_to_string(folder.join(RUN_FILE)).expect("one of them is there");
        assert!(text.ends_with(" 49"), "{text}");
        assert_eq!(fs::read_dir(root.path()).expect("it is there").count(), 1);
    }
}

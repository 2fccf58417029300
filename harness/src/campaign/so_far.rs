//! What the runs of a campaign came to so far, in a file: so that one that was cut short, in whatever way, goes on where it
//! was.
//!
//! Each run is a line, in the order in which they count, with all that findings are made of. What a campaign finds that was
//! cut short and resumed is therefore what it would have found at once, but for what it says of its own cost. The first line
//! says of which campaign the file is: runs of other plans, seeds or programs do not add up to one. Which run a line is of, its
//! place says, and a sum over both says that it was written there, and what.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::{RawValue, to_raw_value};

use super::findings::Ran;
use crate::json;
use crate::plan::Plan;

/// The name of the file in a results folder.
const FILE: &str = "campaign-so-far.jsonl";
/// The version of the file, and the only one that is gone on from.
const FORMAT: u32 = 1;
/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The runs of a campaign that have ended, in a file that each further one is added to.
#[derive(Debug)]
pub struct SoFar {
    path: PathBuf,
    file: Mutex<Locked>,
    /// How many runs are in it.
    runs: AtomicU64,
    /// Those that an earlier process has played, until they are taken.
    past: Vec<Past>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// [`sum`] of the run and its place.
    sum: String,
    run: Box<RawValue>,
}

/// What one run came to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Past {
    /// What findings are made of; nothing where our own code panicked.
    pub(super) ran: Option<Ran>,
    /// What that panic said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) panicked: Option<String>,
    /// Where it is stored, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<PathBuf>,
    /// Why it could not be stored, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unstored: Option<String>,
}

/// The campaign that a file is of.
#[derive(Serialize)]
struct Head<'a> {
    format: u32,
    program: &'a str,
    /// The hash of the program as it is: runs of another build may be others.
    build: String,
    first_seed: u64,
    end_seed: u64,
    plans: Vec<&'a Plan>,
}

/// Why a campaign cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SoFarError {
    /// There is nothing to go on from.
    #[error(
        "{}: no campaign was cut short in this results folder; leave out `--resume`, or name its folder with `--results`",
        path.display()
    )]
    Missing {
        /// The file that there would be.
        path: PathBuf,
    },
    /// It is not cut short, but running.
    #[error(
        "{}: another process runs a campaign with this results folder; wait for its end, or name another folder with `--results`",
        path.display()
    )]
    Running {
        /// The file.
        path: PathBuf,
    },
    /// It was another campaign that was cut short.
    #[error(
        "{}:1: the campaign that was cut short in this results folder had {what}; resume it with the same ones, or leave out \
         `--resume` to begin anew",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What was different.
        what: String,
    },
    /// The file is not what a campaign has left.
    #[error("{}:{line}: {what}; leave out `--resume` to begin anew", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// The file cannot be read or written.
    #[error("cannot read or write {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl SoFar {
    /// The file of a campaign that begins, in place of one that an earlier campaign has left in the results folder.
    ///
    /// # Errors
    /// Where that one is running still, or the file cannot be written.
    pub fn begin(results: &Path, plans: &[&Plan], seeds: &Range<u64>) -> Result<SoFar, SoFarError> {
        let path = results.join(FILE);
        let io = |cause| SoFarError::Io { path: path.clone(), cause };
        let head = head(plans, seeds).map_err(io)?;
        match File::open(&path) {
            Ok(before) => {
                let _before = Locked::new(before, &path)?;
                fs::remove_file(&path).map_err(io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let file = Locked::new(File::create_new(&path).map_err(io)?, &path)?;
        (&file.0).write_all(&head).map_err(io)?;
        Ok(SoFar { path, file: Mutex::new(file), runs: AtomicU64::new(0), past: Vec::new() })
    }

    /// The file of a campaign that was cut short, with the runs that had ended.
    ///
    /// # Errors
    /// Where there is none, or it is of another campaign, or damaged.
    pub fn resume(
        results: &Path,
        plans: &[&Plan],
        seeds: &Range<u64>,
    ) -> Result<SoFar, SoFarError> {
        let path = results.join(FILE);
        let io = |cause| SoFarError::Io { path: path.clone(), cause };
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SoFarError::Missing { path: path.clone() },
            _ => io(error),
        })?;
        let file = Locked::new(file, &path)?;
        let head = head(plans, seeds).map_err(io)?;
        let mut lines = Lines { reader: BufReader::new(&file.0), path: &path, number: 0, whole: 0 };
        let found = lines.next()?.unwrap_or_default();
        if found != head {
            return Err(difference(&path, &found, &head));
        }
        let mut past = Vec::new();
        let mut whole = lines.whole;
        while let Some(line) = lines.next()? {
            let number = lines.number;
            let malformed = |what| SoFarError::Malformed { path: path.clone(), line: number, what };
            let run = read(&line, past.len() as u64).map_err(malformed)?;
            // From a run that was stored and is not there any more, all are played again.
            if run.stored.as_ref().is_some_and(|folder| !folder.exists()) {
                break;
            }
            past.push(run);
            whole = lines.whole;
        }
        // What was being written when the program was ended is no run.
        file.0.set_len(whole).map_err(io)?;
        Ok(SoFar { path, file: Mutex::new(file), runs: AtomicU64::new(past.len() as u64), past })
    }

    /// How many runs had ended when it was cut short.
    pub fn count(&self) -> usize {
        self.past.len()
    }

    /// The runs that had ended.
    pub(super) fn take_past(&mut self) -> Vec<Past> {
        std::mem::take(&mut self.past)
    }

    /// Adds a run.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn add(&self, past: &Past) -> Result<(), SoFarError> {
        let run = to_raw_value(past).expect("what a run came to is data");
        let sum = sum(self.runs.fetch_add(1, Ordering::Relaxed), &run);
        let line = json::line(&Line { sum, run }).expect("a line is data");
        let io = |cause| SoFarError::Io { path: self.path.clone(), cause };
        (&self.file().0).write_all(&line).map_err(io)
    }

    /// Removes the file: the campaign has ended.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(super) fn end(&self) -> Result<(), SoFarError> {
        let io = |cause| SoFarError::Io { path: self.path.clone(), cause };
        fs::remove_file(&self.path).map_err(io)
    }

    fn file(&self) -> MutexGuard<'_, Locked> {
        self.file.lock().expect("nobody panics while holding it")
    }
}

/// What a line says that one run came to, of which there were so many before.
fn read(line: &[u8], place: u64) -> Result<Past, String> {
    let not_one = |error| format!("this is not what a run came to ({error})");
    let Line { sum: written, run } = json::read(line).map_err(not_one)?;
    if written != sum(place, &run) {
        return Err(format!("this is not what run {place} came to, or it was changed since"));
    }
    json::read(run.get()).map_err(not_one)
}

/// The hash of what a run came to, of which there were so many before.
fn sum(place: u64, run: &RawValue) -> String {
    let hash = blake3::hash(format!("{place} {}", run.get()).as_bytes());
    hash.to_hex()[..16].to_owned()
}

/// A file that one process at a time adds runs to.
#[derive(Debug)]
struct Locked(File);

impl Locked {
    fn new(file: File, path: &Path) -> Result<Locked, SoFarError> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SoFarError::Running { path: path.to_owned() },
            TryLockError::Error(cause) => SoFarError::Io { path: path.to_owned(), cause },
        })?;
        Ok(Locked(file))
    }
}

/// A process that is just being started has the file too until it is another program: to close it would leave it locked.
impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails, it is unlocked when the last process closes it.
        let _ = self.0.unlock();
    }
}

/// The first line of the file of a campaign.
fn head(plans: &[&Plan], seeds: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut build = blake3::Hasher::new();
    io::copy(&mut File::open(std::env::current_exe()?)?, &mut build)?;
    let head = Head {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION"),
        build: build.finalize().to_hex()[..32].to_owned(),
        first_seed: seeds.start,
        end_seed: seeds.end,
        plans: plans.to_vec(),
    };
    Ok(json::line(&head)?)
}

/// In what two campaigns differ, by the first lines of their files.
fn difference(path: &Path, found: &[u8], wanted: &[u8]) -> SoFarError {
    let path = path.to_owned();
    let parsed: Result<(Json, Json), _> =
        json::read(found).and_then(|found| Ok((found, json::read(wanted)?)));
    let Ok((found, wanted)) = parsed else {
        let what = "this is not what a campaign has left".to_owned();
        return SoFarError::Malformed { path, line: 1, what };
    };
    let differs = |name: &str| found[name] != wanted[name];
    let what = if differs("format") || differs("program") || differs("build") {
        "another build of the program".to_owned()
    } else if differs("first_seed") || differs("end_seed") {
        format!("the seeds {}..{}", found["first_seed"], found["end_seed"])
    } else {
        let plans = found["plans"].as_array().into_iter().flatten();
        let names: Vec<&str> = plans.filter_map(|plan| plan["name"].as_str()).collect();
        format!("other plans, or the same with other settings: {}", names.join(", "))
    };
    SoFarError::Other { path, what }
}

/// The lines of a file that are whole.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    path: &'a Path,
    /// How many there were so far.
    number: usize,
    /// How many bytes these have.
    whole: u64,
}

impl Lines<'_> {
    /// The next one, with the sign at its end; nothing where there is none, or it is cut off.
    fn next(&mut self) -> Result<Option<Vec<u8>>, SoFarError> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let bytes = read.map_err(|cause| SoFarError::Io { path: self.path.to_owned(), cause })?;
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.number += 1;
        self.whole += bytes as u64;
        Ok(Some(line))
    }
}

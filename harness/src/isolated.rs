//! Runs that are played in processes of their own, one each.
//!
//! A library may keep something for a whole process: numbers that it counts on, random numbers that a thread has
//! drawn once. What one run leaves there, the next one finds, and then a run is a function of those before it too.
//! A system says so by [`System::program`], and each of its runs begins a process that has nothing left in it.
//!
//! The two processes are of one program, and talk in JSON: the asking one writes one [`Request`] to the standard
//! input of the other, and reads one [`Answer`] from its standard output.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use checkers::history::jsonl::{self, ReadLimits};
use serde::{Deserialize, Serialize};

use crate::json;
use crate::plan::Plan;
use crate::run::{self, Fingerprint, Options, Report};
use crate::seed::Seed;
use crate::store::Record;
use crate::system::{Registration, System};
use crate::trace::Trace;

/// The subcommand of the other process.
pub(crate) const SUBCOMMAND: &str = "isolated";

/// What the other process is to run.
#[derive(Serialize, Deserialize)]
struct Request {
    plan: Plan,
    seed: Seed,
    options: Options,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
struct Answer {
    record: Record,
    /// The history, as it is stored.
    history: String,
    trace: Option<Trace>,
}

/// Runs one seed of a plan in another process.
///
/// # Panics
/// If that process cannot be started, or does not come to a report.
pub(crate) fn run(program: &Path, plan: &Plan, seed: Seed, options: Options) -> Report {
    let request = Request { plan: plan.clone(), seed, options };
    let request = json::compact(&request).expect("plans and schedules are JSON");
    let answer = ask(program, request.as_bytes()).unwrap_or_else(|error| {
        panic!("{}: {error}; it is to play the runs of `{}`", program.display(), plan.system)
    });
    let Answer { record, history, trace } = answer;
    let history = jsonl::read(history.as_bytes(), &ReadLimits::default())
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert_eq!(Fingerprint::of(&history), record.fingerprint, "a history arrives as it was sent");
    Report {
        facts: record.facts,
        plan: record.plan,
        seed: record.seed,
        config: record.config,
        schedule: record.schedule,
        history,
        fingerprint: record.fingerprint,
        judged: record.judged,
        effects: record.effects,
        vacuous: record.vacuous,
        counts: record.counts,
        marks: record.marks,
        whims: record.whims,
        trace,
        calls: record.calls,
        programs: record.programs,
        why: record.why,
    }
}

fn ask(program: &Path, request: &[u8]) -> Result<Answer, String> {
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    // One that ends without reading says why by how it ends.
    let written = child.stdin.take().expect("it is a pipe").write_all(request);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status));
    }
    written.map_err(|error| format!("did not read its request: {error}"))?;
    json::read(&output.stdout).map_err(|error| format!("answered no report: {error}"))
}

/// Runs what another process asks for.
///
/// # Errors
/// Where it does not ask for a run of a system of the table, in words.
pub(crate) fn serve(
    systems: &[Registration],
    mut request: impl Read,
    mut answer: impl Write,
) -> Result<(), String> {
    let mut asked = Vec::new();
    request.read_to_end(&mut asked).map_err(|error| error.to_string())?;
    let request: Request = json::read(&asked)
        .map_err(|error| format!("this is for other processes of this program: {error}"))?;
    let Request { plan, seed, options } = request;
    let named = systems.iter().find(|entry| entry.name == plan.system);
    let named = named.ok_or_else(|| format!("no system is called `{}`", plan.system))?;
    let system: Arc<dyn System> = Arc::from(named.configured(&plan.settings)?);
    plan.check_for(&*system, &[]).map_err(|error| error.to_string())?;
    let report = run::here(&system, &plan, seed, options);
    let mut history = Vec::new();
    jsonl::write(&report.history, &mut history).expect("a vector takes every byte");
    let history = String::from_utf8(history).expect("JSON is text");
    let sent = Answer { record: Record::of(&report), history, trace: report.trace };
    let sent = json::compact(&sent).map_err(|error| error.to_string())?;
    answer.write_all(sent.as_bytes()).map_err(|error| error.to_string())
}

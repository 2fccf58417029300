//! The command line. A crate of your own gets the whole of it by one call of [`main`].
//!
//! ```no_run
//! use stormglass::system::Registration;
//! # fn build() -> Box<dyn stormglass::system::System> { unimplemented!() }
//!
//! static SYSTEMS: &[Registration] = &[Registration { name: "mine", build }];
//!
//! fn main() -> std::process::ExitCode {
//!     stormglass::cli::main(SYSTEMS)
//! }
//! ```

mod arguments;
mod campaign;
mod check;
mod corpus;
mod diff;
mod doctor;
mod export;
mod external;
mod guarantees;
mod input;
mod isolated;
mod list;
mod output;
mod plans;
mod probe;
mod real;
mod replay;
mod report;
mod run;
mod show;
mod shrink;
mod shrinking;
mod tradeoffs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::campaign::Ending;
use crate::report::escape;
use crate::system::Registration;
use output::{Format, Output};

/// Deterministic fault injection for replicated stores.
///
/// A seed goes in, a verdict with a witness comes out; the same seed gives the same run.
#[derive(Parser)]
#[command(name = "stormglass", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How results are written to the standard output.
    #[arg(long, global = true, value_enum, default_value_t, env = "STORMGLASS_FORMAT")]
    format: Format,
    /// The folder that runs are stored in; without it, `results`, or the one that the run is in that is given.
    #[arg(long, global = true, value_name = "DIR", env = "STORMGLASS_RESULTS")]
    results: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    every verdict is as the systems say
  1    a claimed guarantee was broken, or a disclaimed one has no witness
  2    wrong use: a flag, a plan, a file; a file of the corpus that is no case
  3    some runs could not be judged, or prove nothing
  4    nothing ran; or something is missing that a real run needs
  5    a seed gave two different histories
  70   a mistake of the harness itself
  130  interrupted";

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and shows what was drawn, what the faults did, and every verdict.
    Run(run::Arguments),
    /// Runs many seeds of several plans on all cores and prints which guarantees held.
    Campaign(campaign::Arguments),
    /// Compares two campaigns: which failures are new, ongoing, resolved, regressed.
    Diff(diff::Arguments),
    /// Measures what each mode keeps and breaks under each kind of faults.
    Guarantees(guarantees::Arguments),
    /// Measures what each mode gains and pays: latency, availability, throughput, staleness, losses.
    Tradeoffs(tradeoffs::Arguments),
    /// Runs a stored run or a seed again and compares the histories.
    Replay(replay::Arguments),
    /// Makes a failing run smaller: as few faults, clients and operations as show the same anomaly.
    Shrink(shrink::Arguments),
    /// Keeps failing runs, in a folder of small files, and runs them again.
    Corpus(corpus::Arguments),
    /// Shows the history of a stored run around an anomaly.
    Show(show::Arguments),
    /// Writes a stored run as one page of HTML: what failed, drawn and explained, and all of the run.
    Report(report::Arguments),
    /// Judges histories that were recorded elsewhere: our own, Jepsen's, Porcupine's.
    Check(check::Arguments),
    /// Writes the history of a stored run in another tool's format.
    Export(export::Arguments),
    /// Tests nodes in any language, which speak Maelstrom's protocol over standard input and output.
    External(external::Arguments),
    /// Tests servers as they are shipped, as real processes on a network of their own: etcd, redis with sentinel.
    Real(real::Arguments),
    /// Finds out what real runs need, and says how to install what is missing.
    Probe(probe::Arguments),
    /// Lists plans, systems, workloads, nemeses, checkers and models.
    List(list::Arguments),
    /// Finds out whether runs are the same on two threads and in two more processes.
    Doctor(doctor::Arguments),
    /// Prints plan, seed and fingerprint of each run; `doctor` compares what two processes print.
    #[command(hide = true)]
    Fingerprints(doctor::Listed),
    /// Plays one run for another process of this program.
    #[command(hide = true, name = crate::isolated::SUBCOMMAND)]
    Isolated,
}

impl Command {
    /// The stored run that is meant, if one is.
    fn run(&mut self) -> Option<&mut PathBuf> {
        match self {
            Command::Replay(arguments) => arguments.run.as_mut(),
            Command::Shrink(arguments) => Some(&mut arguments.run),
            Command::Corpus(arguments) => arguments.run(),
            Command::Show(arguments) => Some(&mut arguments.run),
            Command::Report(arguments) => Some(&mut arguments.run),
            Command::Export(arguments) => Some(&mut arguments.run),
            _ => None,
        }
    }
}

/// A run may be meant by the name of its folder alone, where nothing else has that name.
fn find_run(results: &Path, run: &mut PathBuf) {
    let is_name = run.components().count() == 1 && !run.exists();
    let folder = results.join("runs").join(&*run);
    if is_name && folder.is_dir() {
        *run = folder;
    }
}

/// What every subcommand is given.
struct Context {
    /// The systems that plans can name.
    systems: &'static [Registration],
    /// Where results go.
    output: Output,
    /// The results folder.
    results: PathBuf,
    /// Whether somebody named it.
    names_results: bool,
}

/// Runs the command line over some systems: the table of a crate of its own, or
/// [`crate::system::SYSTEMS`].
pub fn main(systems: &'static [Registration]) -> ExitCode {
    let Arguments { mut command, format, results } = Arguments::parse();
    let names_results = results.is_some();
    let results = results.unwrap_or_else(|| PathBuf::from("results"));
    if let Some(run) = command.run() {
        find_run(&results, run);
    }
    let context = Context { systems, output: Output::new(format), results, names_results };
    let ended = catch_unwind(AssertUnwindSafe(|| match command {
        Command::Run(arguments) => arguments.execute(&context),
        Command::Campaign(arguments) => arguments.execute(&context),
        Command::Diff(arguments) => arguments.execute(&context),
        Command::Guarantees(arguments) => arguments.execute(&context),
        Command::Tradeoffs(arguments) => arguments.execute(&context),
        Command::Replay(arguments) => arguments.execute(&context),
        Command::Shrink(arguments) => arguments.execute(&context),
        Command::Corpus(arguments) => arguments.execute(&context),
        Command::Show(arguments) => arguments.execute(&context),
        Command::Report(arguments) => arguments.execute(&context),
        Command::Check(arguments) => arguments.execute(&context),
        Command::Export(arguments) => arguments.execute(&context),
        Command::External(arguments) => arguments.execute(&context),
        Command::Real(arguments) => arguments.execute(&context),
        Command::Probe(arguments) => arguments.execute(&context),
        Command::List(arguments) => arguments.execute(&context),
        Command::Doctor(arguments) => arguments.execute(&context),
        Command::Fingerprints(arguments) => arguments.execute(&context),
        Command::Isolated => isolated::execute(&context),
    }));
    match ended {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => {
            context.output.note(&format!("error: {}", escape::terminal(&format!("{error:#}"))));
            ExitCode::from(output::USAGE)
        }
        // The panic has said on the standard error what it was.
        Err(_) => ExitCode::from(Ending::OwnError.code()),
    }
}

//! `stormglass corpus`: failing runs that are kept, and run again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, anyhow, bail};
use checkers::Anomaly;
use clap::Subcommand;
use rayon::prelude::*;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Modify, Style, Width, object::Columns};

use super::Context;
use super::output::{interruption, replace};
use super::replay::stored;
use super::show::{anomalies, chosen};
use super::shrink::{VARIANTS, without_mark};
use crate::campaign::Ending;
use crate::corpus::{self, Case, Expected, Found, Outcome, Replayed, Verified};
use crate::document::DocumentError;
use crate::json;
use crate::report::brief::counted;
use crate::report::escape;
use crate::report::html;
use crate::report::summary::shell_word;
use crate::shrink::Failure;
use crate::store::{self, Record};
use crate::triage::{Shape, Signature};

#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The folder of the cases; without it, the folder `corpus` among the results.
    #[arg(long, global = true, value_name = "DIR", env = "STORMGLASS_CORPUS")]
    corpus: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    every case is as expected
  1    one is not
  2    wrong use; or a file is no case, or cannot be run, and all others are as expected
  4    there are no cases";

#[derive(Subcommand)]
enum Command {
    /// Keeps a stored run. One that was shrunk is kept in a few lines.
    Add(Add),
    /// Lists the cases.
    List,
    /// Runs every case again, and says whether it still fails, or holds, as is expected of it.
    Verify,
    /// Runs every case again, and writes a small page of HTML beside it: what failed, drawn and explained.
    Report,
    /// Finds out of every shrunk case that fails what it takes, where its file does not say so, and writes it there.
    Explain(Explain),
}

#[derive(clap::Args)]
struct Explain {
    /// Find it out anew of those that say it, too.
    #[arg(long)]
    all: bool,
}

#[derive(clap::Args)]
struct Add {
    /// The folder of a stored run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Which anomaly it is kept for, from 1 on, as `show` counts them; without it, the one that it was shrunk
    /// for, or the first of a claimed guarantee, or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// The name of its file; without it, those of the run and of the anomaly.
    #[arg(long)]
    name: Option<String>,
    /// What is expected of it: that it fails, or, of what is mended, that it holds.
    #[arg(long, value_enum, default_value_t)]
    expected: Expected,
    /// What went wrong, in a sentence; without it, the last one of its explanation.
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
}

/// A case as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// The hash of what the failure is, where that is known.
    id: Option<String>,
    plan: &'a str,
    failure: &'a Failure,
    faults: usize,
    operations: Option<usize>,
    expected: Expected,
    about: &'a str,
    /// What came of it, where it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
}

#[derive(Serialize)]
struct Added {
    file: String,
    failure: Failure,
}

#[derive(Serialize)]
struct Content<'a> {
    cases: Vec<Listed<'a>>,
    /// The files that are no cases, or cannot be run.
    bad: Vec<Bad<'a>>,
}

#[derive(Serialize)]
struct Bad<'a> {
    name: &'a str,
    error: String,
}

#[derive(Serialize)]
struct Written<'a> {
    files: &'a [&'a str],
    bad: &'a [Bad<'a>],
}

impl Arguments {
    /// The stored run that is meant, if one is.
    pub(super) fn run(&mut self) -> Option<&mut PathBuf> {
        match &mut self.command {
            Command::Add(add) => Some(&mut add.run),
            Command::List | Command::Verify | Command::Report | Command::Explain(_) => None,
        }
    }

    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let folder = self.corpus.clone().unwrap_or_else(|| context.results.join("corpus"));
        match &self.command {
            Command::Add(add) => add.execute(context, folder),
            Command::List => {
                let files = corpus::read(&folder)?;
                let mut content = Content { cases: Vec::new(), bad: Vec::new() };
                for (name, case) in &files {
                    match case {
                        Ok(case) => content.cases.push(listed(name, case, None)),
                        Err(error) => content.bad.push(Bad { name, error: error.to_string() }),
                    }
                }
                let ending = ending(files.len(), 0, content.bad.len());
                let text = table(&content.cases) + "\n" + &named(&content.bad);
                context.output.result("corpus-list", content, || text)?;
                Ok(ending.code())
            }
            Command::Verify => verify(context, &folder),
            Command::Report => report(context, &folder),
            Command::Explain(explain) => explain.execute(context, &folder),
        }
    }
}

fn verify(context: &Context, folder: &Path) -> anyhow::Result<u8> {
    let files = corpus::read(folder)?;
    let verified = Verified::of(folder, &files, context.systems);
    let mut content = Content { cases: Vec::new(), bad: Vec::new() };
    for ((name, case), Replayed { outcome, .. }) in files.iter().zip(&verified.cases) {
        match (case, outcome) {
            (Ok(case), Outcome::Ran { found, .. }) => {
                content.cases.push(listed(name, case, Some(*found)));
            }
            (_, Outcome::Bad { error }) => content.bad.push(Bad { name, error: error.clone() }),
            (Err(error), _) => content.bad.push(Bad { name, error: error.to_string() }),
        }
    }
    let (unmet, count) = (verified.unmet(), content.cases.len());
    let ending = ending(files.len(), unmet, content.bad.len());
    let mut text = table(&content.cases) + "\n" + &named(&content.bad);
    text.push_str(&format!("{} of {count} cases are as expected\n", count - unmet));
    text.push_str(&other_versions(files.iter().filter_map(|(_, case)| case.as_ref().ok())));
    context.output.result("corpus-verify", content, || text)?;
    Ok(ending.code())
}

/// How many cases other versions of the program kept, and which; nothing where none did.
fn other_versions<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let this = env!("CARGO_PKG_VERSION");
    let others: Vec<&str> = cases
        .filter_map(|case| case.program.as_deref())
        .filter(|program| *program != this)
        .collect();
    let versions: BTreeSet<&str> = others.iter().copied().collect();
    if versions.is_empty() {
        return String::new();
    }
    let versions = escape::line(&versions.into_iter().collect::<Vec<_>>().join(", "));
    let cases = counted(others.len(), "case");
    format!("{cases} kept by another version ({versions}); this is {this}\n")
}

/// What a corpus of so many files comes to: what is not as expected counts more than what could not be run.
fn ending(count: usize, unmet: usize, bad: usize) -> Ending {
    match (count, unmet, bad) {
        (0, ..) => Ending::NothingRan,
        (_, 0, 0) => Ending::Met,
        (_, 0, _) => Ending::BadCase,
        _ => Ending::Violated,
    }
}

/// The files that are no cases, or cannot be run, a line each.
fn named(bad: &[Bad<'_>]) -> String {
    let line = |Bad { name, error }: &Bad<'_>| {
        escape::line(&format!("{name} could not be run: {error}")) + "\n"
    };
    bad.iter().map(line).collect()
}

/// Says which files were written, and which of so many in the corpus none could be written of. What is returned is the
/// exit code.
fn tell(
    context: &Context,
    kind: &str,
    count: usize,
    done: &[(String, anyhow::Result<String>)],
) -> anyhow::Result<u8> {
    let (mut files, mut bad) = (Vec::new(), Vec::new());
    for (name, outcome) in done {
        match outcome {
            Ok(file) => files.push(&**file),
            Err(error) => bad.push(Bad { name, error: format!("{error:#}") }),
        }
    }
    let written = files.iter().map(|file| format!("written to {}\n", shell_word(file)));
    let mut text = written.collect::<String>() + &named(&bad);
    if text.is_empty() {
        text.push_str("there is nothing to write\n");
    }
    let ending = ending(count, 0, bad.len());
    context.output.result(kind, Written { files: &files, bad: &bad }, || text)?;
    Ok(ending.code())
}

/// Writes the page of each case. The pages say nothing of this machine, so that they can be kept with the cases.
fn report(context: &Context, folder: &Path) -> anyhow::Result<u8> {
    let files = corpus::read(folder)?;
    let count = files.len();
    let write = |name: &str, case: Result<Case, DocumentError>| {
        let replayed =
            html::Replayed::of(&case?, context.systems).map_err(|error| anyhow!(error))?;
        let page = html::brief(&replayed.source("stormglass", &format!("{name}.json")));
        let file = folder.join(format!("{name}.html"));
        replace(&file, page.as_bytes())?;
        Ok(file.display().to_string())
    };
    let written = files.into_par_iter().map(|(name, case)| {
        let written = write(&name, case);
        (name, written)
    });
    tell(context, "corpus-report", count, &written.collect::<Vec<_>>())
}

impl Explain {
    fn execute(&self, context: &Context, folder: &Path) -> anyhow::Result<u8> {
        let interrupted = interruption()?;
        let stop = || interrupted.load(Ordering::Relaxed);
        let files = corpus::read(folder)?;
        let (count, mut done) = (files.len(), Vec::new());
        for (name, case) in files {
            let mut case = match case {
                Ok(case) => case,
                Err(error) => {
                    done.push((name, Err(error.into())));
                    continue;
                }
            };
            let is_small = case.expected == Expected::Fails && case.calls.is_some();
            if !is_small || (case.why.is_some() && !self.all) {
                continue;
            }
            let file = folder.join(format!("{name}.json"));
            let written = match case.explain(context.systems, VARIANTS, &stop) {
                Ok(false) => return Ok(Ending::Interrupted.code()),
                Ok(true) => replace(&file, &bytes_of(&case)?).map(|()| file.display().to_string()),
                Err(error) => Err(anyhow!(error)),
            };
            done.push((name, written));
        }
        tell(context, "corpus-explain", count, &done)
    }
}

/// A case as its file has it.
fn bytes_of(case: &Case) -> anyhow::Result<Vec<u8>> {
    Ok(json::pretty(case)?.into_bytes())
}

impl Add {
    /// The case that the run is, after what is stored of it was found to be what it was, and is again.
    fn case(&self, context: &Context, record: &Record, anomaly: &Anomaly) -> anyhow::Result<Case> {
        stored(context, &self.run)?;
        store::check(&self.run)?;
        let mut case = Case::of(record, anomaly);
        let run = self.run.display();
        let (report, _) =
            case.replay(context.systems).map_err(|error| anyhow!("{run} cannot run: {error}"))?;
        if report.fingerprint != record.fingerprint {
            bail!(
                "{run} is not the run any more that was stored, whose fingerprint was {}; `stormglass replay {run}` \
                 tells more",
                record.fingerprint
            );
        }
        // Of a run of which more can be left out, the shape says more than what the failure is.
        let is_shrunk = record.why.is_some();
        if let (Some(anomaly), Some(signature), true) =
            (case.failure.find(&report), &mut case.signature, is_shrunk)
        {
            signature.shape = Some(Shape::of(&report, anomaly));
        }
        Ok(case)
    }

    fn execute(&self, context: &Context, folder: PathBuf) -> anyhow::Result<u8> {
        let record = store::load_record(&self.run)?;
        let Some(number) = chosen(&record, self.anomaly, &self.run)? else {
            bail!("{} does not fail: there is nothing to keep", self.run.display());
        };
        let mut case = self.case(context, &record, anomalies(&record)[number])?;
        case.expected = self.expected;
        if let Some(about) = &self.about {
            case.about.clone_from(about);
        }
        let named = self.run.file_name().and_then(|name| name.to_str());
        let run =
            named.map_or_else(|| format!("{}-{}", record.plan.name, record.seed), str::to_owned);
        let given = format!("{}-{}", without_mark(&run), case.failure.anomaly);
        let given = self.name.clone().unwrap_or(given);
        let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if given.is_empty() || !given.chars().all(is_plain) {
            bail!(
                "`{}` cannot name a file; letters, digits, `-` and `_` can",
                escape::line(&given)
            );
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join(format!("{given}.json"));
        let bytes = bytes_of(&case)?;
        if fs::read(&file).is_ok_and(|there| there != bytes) {
            bail!("{} holds another case; `--name` gives this one another name", file.display());
        }
        replace(&file, &bytes)?;
        let content = Added { file: file.display().to_string(), failure: case.failure.clone() };
        let Failure { guarantee, anomaly } = &case.failure;
        let text = format!("{anomaly} of {guarantee} is kept in {}\n", file.display());
        context.output.result("corpus-add", content, || text)?;
        Ok(0)
    }
}

fn listed<'a>(name: &'a str, case: &'a Case, found: Option<Found>) -> Listed<'a> {
    Listed {
        name,
        id: case.signature.as_ref().map(Signature::id),
        plan: &case.plan.name,
        failure: &case.failure,
        faults: case.schedule.0.len(),
        operations: case.calls.as_ref().map(crate::tape::Tape::len),
        expected: case.expected,
        about: &case.about,
        found,
    }
}

fn table(cases: &[Listed<'_>]) -> String {
    let mut builder = Builder::default();
    builder.push_record([
        "case",
        "signature",
        "anomaly",
        "faults",
        "operations",
        "expected",
        "found",
        "about",
    ]);
    for case in cases {
        let expected = match case.expected {
            Expected::Fails => "fails",
            Expected::Holds => "holds",
        };
        let found = match case.found {
            None => "",
            Some(Found::Same) => "fails, the same history",
            Some(Found::Other) => "fails, another history",
            Some(Found::Holds) => "holds",
        };
        let Failure { guarantee, anomaly } = case.failure;
        builder.push_record([
            escape::line(case.name),
            case.id.clone().unwrap_or_default(),
            escape::line(&format!("{anomaly} of {guarantee}")),
            case.faults.to_string(),
            case.operations.map_or_else(|| "drawn".to_owned(), |count| count.to_string()),
            expected.to_owned(),
            found.to_owned(),
            escape::line(case.about),
        ]);
    }
    let mut table = builder.build();
    let about = Modify::new(Columns::last()).with(Width::wrap(60).keep_words(true));
    table.with(Style::rounded()).with(about);
    table.to_string()
}

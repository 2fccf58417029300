//! `stormglass corpus`: failing runs that are kept, and run again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use rayon::prelude::*;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Modify, Style, Width, object::Columns};

use super::Context;
use super::output::replace;
use super::show::{anomalies, chosen};
use crate::campaign::Ending;
use crate::corpus::{self, Case, Expected, Found};
use crate::report::escape;
use crate::report::html::{self, Replayed};
use crate::report::summary::shell_word;
use crate::shrink::Failure;
use crate::store;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The folder of the cases; without it, the folder `corpus` among the results.
    #[arg(long, global = true, value_name = "DIR", env = "STORMGLASS_CORPUS")]
    corpus: Option<PathBuf>,
}

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
}

#[derive(Serialize)]
struct Written<'a> {
    files: &'a [String],
}

impl Arguments {
    /// The stored run that is meant, if one is.
    pub(super) fn run(&mut self) -> Option<&mut PathBuf> {
        match &mut self.command {
            Command::Add(add) => Some(&mut add.run),
            Command::List | Command::Verify | Command::Report => None,
        }
    }

    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let folder = self.corpus.clone().unwrap_or_else(|| context.results.join("corpus"));
        match &self.command {
            Command::Add(add) => add.execute(context, folder),
            Command::List => {
                let cases = corpus::load(&folder)?;
                let content = Content {
                    cases: cases.iter().map(|(name, case)| listed(name, case, None)).collect(),
                };
                let table = table(&content.cases);
                context.output.result("corpus-list", content, || table + "\n")?;
                Ok(if cases.is_empty() { Ending::NothingRan.code() } else { 0 })
            }
            Command::Verify => verify(context, &corpus::load(&folder)?),
            Command::Report => report(context, &folder),
        }
    }
}

fn verify(context: &Context, cases: &[(String, Case)]) -> anyhow::Result<u8> {
    let replay = |(name, case): &(String, Case)| {
        let replayed = case.replay(context.systems);
        replayed.map(|(_, found)| found).map_err(|error| anyhow!("{name}: {error}"))
    };
    let found: Vec<Found> = cases.par_iter().map(replay).collect::<anyhow::Result<_>>()?;
    let both = || cases.iter().zip(&found);
    let shown = both().map(|((name, case), found)| listed(name, case, Some(*found)));
    let content = Content { cases: shown.collect() };
    let unmet = both().filter(|((_, case), found)| !found.meets(case.expected)).count();
    let table = table(&content.cases);
    context.output.result("corpus-verify", content, || {
        let count = cases.len();
        let met = count - unmet;
        format!("{table}\n{met} of {count} cases are as expected\n")
    })?;
    Ok(match (cases.is_empty(), unmet) {
        (true, _) => Ending::NothingRan.code(),
        (_, 0) => 0,
        _ => Ending::Violated.code(),
    })
}

/// Writes the page of each case. The pages say nothing of this machine, so that they can be kept with the cases.
fn report(context: &Context, folder: &Path) -> anyhow::Result<u8> {
    let cases = corpus::load(folder)?;
    let write = |(name, case): &(String, Case)| {
        let replayed = Replayed::of(case, context.systems);
        let replayed = replayed.map_err(|error| anyhow!("{name}: {error}"))?;
        let page = html::brief(&replayed.source("stormglass", &format!("{name}.json")));
        let file = folder.join(format!("{name}.html"));
        replace(&file, page.as_bytes())?;
        Ok(file.display().to_string())
    };
    let files: Vec<String> = cases.par_iter().map(write).collect::<anyhow::Result<_>>()?;
    let text = files.iter().map(|file| format!("written to {}\n", shell_word(file))).collect();
    context.output.result("corpus-report", Written { files: &files }, || text)?;
    Ok(if cases.is_empty() { Ending::NothingRan.code() } else { 0 })
}

impl Add {
    fn execute(&self, context: &Context, folder: PathBuf) -> anyhow::Result<u8> {
        let record = store::load_record(&self.run)?;
        let Some(number) = chosen(&record, self.anomaly, &self.run)? else {
            bail!("{} does not fail: there is nothing to keep", self.run.display());
        };
        let mut case = Case::of(&record, anomalies(&record)[number]);
        case.expected = self.expected;
        if let Some(about) = &self.about {
            case.about.clone_from(about);
        }
        if let Err(error) = record.plan.check(context.systems) {
            bail!("{} cannot be run again: {error}", self.run.display());
        }
        let named = self.run.file_name().and_then(|name| name.to_str());
        let run =
            named.map_or_else(|| format!("{}-{}", record.plan.name, record.seed), str::to_owned);
        let given = format!("{}-{}", run.trim_end_matches("-shrunk"), case.failure.anomaly);
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
        let mut bytes = serde_json::to_vec_pretty(&case)?;
        bytes.push(b'\n');
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
    builder.push_record(["case", "anomaly", "faults", "operations", "expected", "found", "about"]);
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

//! `stormglass export`: a history in another tool's format.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use checkers::History;
use checkers::history::jepsen_edn;
use checkers::history::jsonl::{self, ReadLimits};
use clap::ValueEnum;

use super::output::{check_other, replace};
use super::replay::check_replays;
use super::show::{anomalies, chosen};
use super::{Context, input};
use crate::corpus::Case;
use crate::report::{perfetto, rust_test, shiviz};
use crate::store::{self, Stored};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run, or a history in JSON lines; `-` is the standard input.
    #[arg(value_name = "RUN|FILE")]
    pub(super) run: PathBuf,
    /// The format to write.
    #[arg(long, value_enum)]
    to: To,
    /// The file to write; without it, the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// A map a line, as Jepsen and Knossos read them; each value is a pair of a key and a value, as
    /// `jepsen.independent` has it. `stormglass check` judges it as the history it was made from; where
    /// its first line is gone, `--keys independent --nil-reads absent` says the same.
    JepsenEdn,
    /// Our own lines of JSON.
    Jsonl,
    /// A test in Rust that fails for as long as the run does. One that was shrunk makes a short one.
    RustTest,
    /// The JSON that ui.perfetto.dev opens: clients, nodes and faults as tracks; with a trace, messages as arrows.
    Perfetto,
    /// The log that ShiViz reads, of a run with a trace. The expression that it is to be told is
    /// `(?<host>\S*) (?<clock>{.*})\n(?<event>.*)`.
    Shiviz,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        if let Some(path) = &self.output {
            self.check_output(path)?;
        }
        let mut bytes = Vec::new();
        match self.to {
            To::JepsenEdn => jepsen_edn::write(&self.history()?, &mut bytes)?,
            To::Jsonl => jsonl::write(&self.history()?, &mut bytes)?,
            To::RustTest => bytes = self.rust_test(context)?.into_bytes(),
            To::Perfetto => bytes = self.perfetto()?.into_bytes(),
            To::Shiviz => bytes = self.shiviz()?.into_bytes(),
        }
        match &self.output {
            None => context.output.bytes(&bytes)?,
            Some(path) => replace(path, &bytes)?,
        }
        Ok(0)
    }

    /// The file must not be the one that is read, nor one of a stored run.
    fn check_output(&self, path: &Path) -> anyhow::Result<()> {
        check_other(path, [&*self.run])?;
        if self.run.is_dir() {
            let files = std::fs::read_dir(&self.run)
                .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
                .with_context(|| format!("cannot read {}", self.run.display()))?;
            let files: Vec<PathBuf> = files.iter().map(std::fs::DirEntry::path).collect();
            check_other(path, files.iter().map(|file| &**file))?;
        }
        Ok(())
    }

    fn perfetto(&self) -> anyhow::Result<String> {
        if !self.run.is_dir() {
            return Ok(perfetto::json(&self.history()?, None, &[]));
        }
        let Stored { record, history, .. } = store::load(&self.run)?;
        let trace = store::load_trace(&self.run, &record)?;
        Ok(perfetto::json(&history, trace.as_ref(), &anomalies(&record)))
    }

    fn shiviz(&self) -> anyhow::Result<String> {
        let run = self.run.display();
        if !self.run.is_dir() {
            bail!("{run} is no stored run: who sent what to whom is in its trace");
        }
        let Stored { record, history, .. } = store::load(&self.run)?;
        let trace = store::load_trace(&self.run, &record)?.with_context(|| {
            if record.is_of_processes() {
                return format!("{run} is a run of processes, of which no messages are recorded");
            }
            format!("{run} has no trace; `stormglass replay {run} --trace` records one")
        })?;
        Ok(shiviz::log(&history, &trace))
    }

    fn rust_test(&self, context: &Context) -> anyhow::Result<String> {
        let record = store::load_record(&self.run)?;
        check_replays(context, &self.run, &record).context("no test can have it again")?;
        let Some(number) = chosen(&record, None, &self.run)? else {
            bail!("{} does not fail: there is nothing to test", self.run.display());
        };
        let case = Case::of(&record, anomalies(&record)[number]);
        let story = record.why.as_ref().map_or(&[][..], |why| &why.story);
        Ok(rust_test::write(&case, story)?)
    }

    fn history(&self) -> anyhow::Result<History> {
        if self.run.is_dir() {
            return Ok(store::load(&self.run)?.history);
        }
        jsonl::read(input::open(&self.run)?, &ReadLimits::default())
            .map_err(|error| anyhow!("{}: {error}", self.run.display()))
    }
}

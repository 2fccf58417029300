//! `stormglass report`: a stored run as one page of HTML.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;

use super::Context;
use super::output::{check_other, program, replace};
use super::show::{anomalies, chosen};
use crate::corpus;
use crate::report::html::{self, Origin, Replayed, Source};
use crate::report::summary::shell_word;
use crate::store::{self, Stored};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run, or the file of a case, which is run again.
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Which anomaly comes first, from 1 on, as `show` counts them; without it, the one that the run was
    /// shrunk to, or the first of a claimed guarantee, or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// The file to write; without it, `report.html` in the folder of the run, or beside the case.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only what failed, drawn and explained, without a script: a small page for a mail or an artifact.
    #[arg(long)]
    brief: bool,
}

/// What was written.
#[derive(Serialize)]
struct Content<'a> {
    file: &'a str,
    bytes: usize,
    anomalies: usize,
    anomaly: Option<usize>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        if self.run.is_file() {
            return self.of_case(context);
        }
        let Stored { record, history, .. } = store::load(&self.run)?;
        let trace = store::load_trace(&self.run, &record)?;
        let out = self.out.clone().unwrap_or_else(|| self.run.join("report.html"));
        check_other(&out, store::files(&self.run).iter().map(|file| &**file))?;
        let source = Source {
            record: &record,
            history: &history,
            trace: trace.as_ref(),
            anomaly: chosen(&record, self.anomaly, &self.run)?,
            program: &program(),
            origin: Origin::Run(&self.run.display().to_string()),
            story: &[],
        };
        self.write(context, &out, &source)
    }

    /// Runs a case again, and writes the page of that.
    fn of_case(&self, context: &Context) -> anyhow::Result<u8> {
        let case = corpus::load_case(&self.run)?;
        let out = self.out.clone().unwrap_or_else(|| self.run.with_extension("html"));
        check_other(&out, [&*self.run])?;
        let replayed = Replayed::of(&case, context.systems).map_err(|error| anyhow!(error))?;
        let file = self.run.display().to_string();
        let program = program();
        let mut source = replayed.source(&program, &file);
        if self.anomaly.is_some() || source.anomaly.is_none() {
            source.anomaly = chosen(source.record, self.anomaly, &self.run)?;
            source.story = &[];
        }
        self.write(context, &out, &source)
    }

    fn write(&self, context: &Context, out: &Path, source: &Source<'_>) -> anyhow::Result<u8> {
        let page = if self.brief { html::brief(source) } else { html::page(source) };
        replace(out, page.as_bytes())?;
        let file = out.display().to_string();
        let content = Content {
            file: &file,
            bytes: page.len(),
            anomalies: anomalies(source.record).len(),
            anomaly: source.anomaly.map(|place| place + 1),
        };
        context
            .output
            .result("report", content, || format!("written to {}\n", shell_word(&file)))?;
        Ok(0)
    }
}

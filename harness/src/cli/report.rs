//! `stormglass report`: a stored run as one page of HTML.

use std::path::PathBuf;

use serde::Serialize;

use super::Context;
use super::output::{check_other, program, replace};
use super::show::{anomalies, chosen};
use crate::report::html::{self, Source};
use crate::report::summary::shell_word;
use crate::store::{self, Stored};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run.
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Which anomaly comes first, from 1 on, as `show` counts them; without it, the one that the run was
    /// shrunk to, or the first of a claimed guarantee, or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// The file to write; without it, `report.html` in the folder of the run.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
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
        let Stored { record, history, .. } = store::load(&self.run)?;
        let trace = store::load_trace(&self.run)?;
        let out = self.out.clone().unwrap_or_else(|| self.run.join("report.html"));
        check_other(&out, store::files(&self.run).iter().map(|file| &**file))?;
        let all = anomalies(&record);
        let anomaly = chosen(&record, self.anomaly, &self.run)?;
        let page = html::page(&Source {
            record: &record,
            history: &history,
            trace: trace.as_ref(),
            anomaly,
            program: &program(),
            folder: &self.run.display().to_string(),
        });
        replace(&out, page.as_bytes())?;
        let file = out.display().to_string();
        let content = Content {
            file: &file,
            bytes: page.len(),
            anomalies: all.len(),
            anomaly: anomaly.map(|place| place + 1),
        };
        context
            .output
            .result("report", content, || format!("written to {}\n", shell_word(&file)))?;
        Ok(0)
    }
}

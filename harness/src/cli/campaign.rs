//! `stormglass campaign`: many seeds.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::Context;
use super::output::{Meter, check_writable, interruption, replace, show};
use super::plans::Selection;
use crate::campaign::{Campaign, Findings};
use crate::report::summary::{Cost, Replay};
use crate::report::{json, junit, markdown, summary};
use crate::store::Store;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The seeds that each plan runs with.
    #[arg(long, value_name = "A..B", value_parser = super::arguments::seeds, default_value = "0..50")]
    seeds: Range<u64>,
    /// Begin no run after this time.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// End at the first run that breaks something claimed.
    #[arg(long, conflicts_with = "max_failures")]
    until_failure: bool,
    /// End after so many of them.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    max_failures: u32,
    /// Runs at a time; without it, as many as there are processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write the verdicts as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entries = self.selection.entries(context)?;
        let store = Store::open(&context.results)?;
        if let Some(file) = &self.junit {
            check_writable(file)?;
        }
        let mut campaign = Campaign::of(entries)
            .seeds(self.seeds.clone())
            .failures_max(if self.until_failure { 1 } else { self.max_failures as usize })
            .store(store)
            .stop_on(interruption()?);
        if let Some(budget) = self.budget {
            campaign = campaign.budget(budget);
        }
        if let Some(threads) = self.threads {
            campaign = campaign.threads(threads.into());
        }
        let meter = Meter::start();
        let bar = context.output.progress("runs");
        let findings = campaign.run_with(&mut |progress| show(&bar, progress));
        bar.finish_and_clear();
        self.publish(context, &findings, meter.read())?;
        Ok(findings.ending().code())
    }

    /// Shows the findings in every form that is asked for.
    fn publish(&self, context: &Context, findings: &Findings, cost: Cost) -> anyhow::Result<()> {
        let replay = self.selection.source.replay();
        if context.output.is_json() {
            context.output.text(&json::campaign(findings, cost)?)?;
        } else {
            context.output.text(&summary::terminal(findings, &replay, cost))?;
        }
        if let Some(file) = &self.junit {
            let xml = junit::campaign(findings, &replay, cost)?;
            replace(file, xml.as_bytes())?;
        }
        append_summary(findings, &replay, cost)
    }
}

/// Appends the findings to the summary of a GitHub job, where there is one.
fn append_summary(findings: &Findings, replay: &Replay, cost: Cost) -> anyhow::Result<()> {
    let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()) else {
        return Ok(());
    };
    let text = markdown::campaign(findings, replay, cost);
    let opened = OpenOptions::new().create(true).append(true).open(&file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot append to the job summary {}", file.display()))
}

//! `stormglass campaign`: many seeds.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::output::{Meter, check_writable, interruption, replace, show};
use super::plans::Selection;
use super::{Context, shrinking};
use crate::campaign::{Campaign, Ending, Findings};
use crate::corpus::{self, Verified};
use crate::report::summary::{Cost, Replay};
use crate::report::{self, json, junit, markdown, summary};
use crate::store::Store;
use crate::triage::{Group, Ledger, group};

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
    #[command(flatten)]
    shrinking: shrinking::Shrink,
    /// Fail only on what is not in this file: the `campaign.json` of an earlier campaign.
    #[arg(long, value_name = "FILE", env = "STORMGLASS_BASELINE")]
    baseline: Option<PathBuf>,
    /// The folder of cases that are run before anything else; without it, the folder `corpus` among the results, if
    /// there is one.
    #[arg(long, value_name = "DIR", env = "STORMGLASS_CORPUS")]
    corpus: Option<PathBuf>,
    /// Run no cases first.
    #[arg(long, conflicts_with = "corpus")]
    no_corpus: bool,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entries = self.selection.entries(context)?;
        let baseline = self.baseline.as_deref().map(Ledger::load).transpose()?;
        let store = Store::open(&context.results)?;
        if let Some(file) = &self.junit {
            check_writable(file)?;
        }
        let interrupted = interruption()?;
        let mut campaign = Campaign::of(entries.clone())
            .seeds(self.seeds.clone())
            .failures_max(if self.until_failure { 1 } else { self.max_failures as usize })
            .store(store.clone())
            .known(baseline.iter().flat_map(Ledger::kinds).collect())
            .stop_on(interrupted.clone());
        if let Some(budget) = self.budget {
            campaign = campaign.budget(budget);
        }
        if let Some(threads) = self.threads {
            campaign = campaign.threads(threads.into());
        }
        let meter = Meter::start();
        let corpus = self.run_corpus(context)?;
        let bar = context.output.progress("runs");
        let mut findings = campaign.run_with(&mut |progress| show(&bar, progress));
        findings.corpus = corpus;
        bar.finish_and_clear();
        let mut groups = group(&findings, &entries);
        let compare = |groups: &mut [Group]| {
            let known = baseline.iter();
            known.for_each(|known| groups.iter_mut().for_each(|group| group.compare(known)));
        };
        compare(&mut groups);
        let save = |findings: &Findings, groups: &[Group]| {
            Ledger::of(findings, &entries, groups, baseline.as_ref()).save(&context.results)
        };
        // Shrinking takes its time, and may be ended in any way.
        let mut saved = save(&findings, &groups);
        if self.shrinking.is_asked_for() {
            self.shrinking.execute(context, &mut groups, (&entries, &store), &interrupted);
            compare(&mut groups);
            let new =
                groups.iter().filter(|group| group.is_failure() && group.known == Some(false));
            new.for_each(|group| findings.take_for_new(&group.signature.kind, &entries));
            saved = save(&findings, &groups);
        }
        self.publish(context, &findings, &groups, meter.read())?;
        match (findings.ending(), saved) {
            (ending, Ok(_)) => Ok(ending.code()),
            // What was found is said before that it could not be kept, and goes before it.
            (ending @ Ending::Violated, Err(error)) => {
                context.output.note(&format!("error: {error}"));
                Ok(ending.code())
            }
            (_, Err(error)) => Err(error.into()),
        }
    }

    /// Runs the corpus, if there is one.
    fn run_corpus(&self, context: &Context) -> anyhow::Result<Option<Verified>> {
        let usual = context.results.join("corpus");
        let folder = match &self.corpus {
            _ if self.no_corpus => return Ok(None),
            None if !usual.is_dir() => return Ok(None),
            None => &usual,
            Some(folder) => folder,
        };
        let verified = Verified::of(folder, &corpus::read(folder)?, context.systems);
        context.output.note(&report::corpus::headline(&verified));
        Ok(Some(verified))
    }

    /// Shows the findings in every form that is asked for.
    fn publish(
        &self,
        context: &Context,
        findings: &Findings,
        groups: &[Group],
        cost: Cost,
    ) -> anyhow::Result<()> {
        let replay = self.selection.source.replay();
        if context.output.is_json() {
            context.output.text(&json::campaign(findings, groups, cost)?)?;
        } else {
            context.output.text(&summary::terminal(findings, groups, &replay, cost))?;
        }
        if let Some(file) = &self.junit {
            let xml = junit::campaign(findings, groups, &replay, cost)?;
            replace(file, xml.as_bytes())?;
        }
        append_summary(findings, groups, &replay, cost)
    }
}

/// Appends the findings to the summary of a GitHub job, where there is one.
fn append_summary(
    findings: &Findings,
    groups: &[Group],
    replay: &Replay,
    cost: Cost,
) -> anyhow::Result<()> {
    let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()) else {
        return Ok(());
    };
    let text = markdown::campaign(findings, groups, replay, cost);
    let opened = OpenOptions::new().create(true).append(true).open(&file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot append to the job summary {}", file.display()))
}

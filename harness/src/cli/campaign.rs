//! `stormglass campaign`: many seeds.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::output::{Meter, as_called, check_writable, interruption, replace, show};
use super::plans::Selection;
use super::{Context, shrinking};
use crate::campaign::{Campaign, Ending, Findings, SoFar, Stopped};
use crate::corpus::{self, Verified};
use crate::plan::Plan;
use crate::report::brief::counted;
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
    /// Go on with a campaign that was cut short in this results folder, by its `--budget`, by Ctrl-C or in any other way, where
    /// it was: what it finds is what it would have found at once. Plans, seeds and program must be the same.
    #[arg(long)]
    resume: bool,
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
        let plans: Vec<&Plan> = entries.iter().map(|entry| &entry.plan).collect();
        let so_far = match self.resume {
            true => SoFar::resume(&context.results, &plans, &self.seeds)?,
            false => SoFar::begin(&context.results, &plans, &self.seeds)?,
        };
        let runs_before = so_far.count() as u64;
        if self.resume {
            context.output.note(&format!("{} had ended", counted(runs_before, "run")));
        }
        let interrupted = interruption()?;
        let mut campaign = Campaign::of(entries.clone())
            .so_far(so_far)
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
        let cost = Cost { runs_before, ..meter.read() };
        self.publish(context, &findings, &groups, cost)?;
        self.say_how_to_go_on(context, &findings, entries.len() as u64);
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

    /// Says what was done, and what does the rest, where the campaign was cut short.
    fn say_how_to_go_on(&self, context: &Context, findings: &Findings, plans: u64) {
        // Where failures have ended it, they would at once end it again.
        if !matches!(findings.stopped, Some(Stopped::Interrupted | Stopped::Budget)) || plans == 0 {
            return;
        }
        let all = (self.seeds.end - self.seeds.start).saturating_mul(plans);
        context.output.note(&format!(
            "{} of {} have ended: {}; to go on: {}",
            findings.ended,
            counted(all, "run"),
            done(findings.ended, plans, &self.seeds),
            as_called("--resume")
        ));
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

/// The seeds of which so many runs are, one seed of all plans before the next.
fn done(ended: u64, plans: u64, seeds: &Range<u64>) -> String {
    let next = seeds.start + ended / plans;
    let of_all = format!("the seeds {}..{next} of all plans", seeds.start);
    match ended % plans {
        0 => of_all,
        1 => format!("{of_all}, and {next} of the first of them"),
        some => format!("{of_all}, and {next} of the first {some} of them"),
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

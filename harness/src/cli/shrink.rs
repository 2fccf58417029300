//! `stormglass shrink`: a smaller run with the same failure.

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use super::Context;
use super::output::{Meter, interruption, program};
use super::replay::{store_of, stored};
use super::show::{anomalies, chosen};
use crate::campaign::Ending;
use crate::report;
use crate::report::brief::counted;
use crate::report::summary::shell_word;
use crate::run::Fingerprint;
use crate::seed::Seed;
use crate::shrink::{Failure, Shrinker, Shrunk, Size};
use crate::store::{self, Record, Store};
use crate::tape::Tape;
use crate::why::Why;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run.
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Which anomaly is to remain, from 1 on, as `show` counts them; without it, the one that the run was shrunk
    /// for, or the first of a claimed guarantee, or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// Try nothing more after this time, and keep the smallest run so far. So does Ctrl-C. What it takes is looked
    /// into for as long again at most.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    budget: Duration,
}

/// How many runs tell what becomes of the failure without a fault or an operation.
pub(super) const VARIANTS: u32 = 50;

/// The name that the smaller run is stored under: that of the run, and that it was shrunk; the seed is another one at
/// times. What was shrunk for another failure keeps its folder: then a number follows.
fn shrunk_name(store: &Store, run: &Path, record: &Record, failure: &Failure) -> String {
    let named = run.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let name = named.unwrap_or_else(|| format!("{}-{}", record.plan.name, record.seed));
    let name = without_mark(&name);
    let numbered = (2..).map(|number| format!("{name}-shrunk-{number}"));
    let mut names = iter::once(format!("{name}-shrunk")).chain(numbered);
    let is_of_another = |name: &String| {
        let there = store::load_record(&store.folder_of(name)).ok();
        there.and_then(|record| record.why).is_some_and(|why| why.failure != *failure)
    };
    names.find(|name| !is_of_another(name)).expect("numbers do not end")
}

/// The name of a run without what says that it was shrunk: `raft-7` of `raft-7-shrunk` and of `raft-7-shrunk-2`.
pub(super) fn without_mark(name: &str) -> &str {
    // What a campaign has shrunk ends with the kind of the failure instead, which is longer.
    let is_number = |end: &str| end.len() < 4 && end.parse::<u32>().is_ok();
    let numbered = name.rsplit_once('-').filter(|(_, end)| is_number(end));
    let unnumbered = numbered.map(|(name, _)| name).filter(|name| name.ends_with("-shrunk"));
    let name = unnumbered.unwrap_or(name);
    name.strip_suffix("-shrunk").unwrap_or(name)
}

/// Stores the smaller run, unless a better one is there, which is returned then.
fn keep(
    store: &Store,
    name: &str,
    shrunk: &Shrunk,
    failure: &Failure,
) -> anyhow::Result<Option<Record>> {
    let there = store::load_record(&store.folder_of(name)).ok();
    let better = there.filter(|there| is_better(there, shrunk, failure));
    if better.is_none() {
        store.save_as(&shrunk.report, name)?;
    }
    Ok(better)
}

/// Whether a stored run is smaller with the same failure, or as small and says what it takes where the new one does
/// not, and the search was ended before it was done.
fn is_better(there: &Record, shrunk: &Shrunk, failure: &Failure) -> bool {
    let is_same = there.why.as_ref().is_some_and(|why| why.failure == *failure);
    let old = there.schedule.0.len() + there.calls.as_ref().map_or(usize::MAX / 2, Tape::len);
    let new = shrunk.after.faults + shrunk.after.operations;
    let is_explained = shrunk.report.why.as_ref().is_some_and(Why::is_tried);
    !shrunk.is_done && is_same && (old < new || old == new && !is_explained)
}

/// What came of it.
#[derive(Serialize)]
struct Content<'a> {
    failure: &'a Failure,
    before: Size,
    after: Size,
    runs: u64,
    is_done: bool,
    seconds: f64,
    folder: &'a str,
    /// Whether it is what was found now: a better one that was there before stays, and all else here is about that one.
    stored: bool,
    /// What was found now, where that is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Size>,
    run: &'a Record,
}

impl Content<'_> {
    /// It in words, of a run that had its own seed.
    fn terminal(&self, own: Seed) -> String {
        let Content { failure, before, after, runs, seconds, folder, run, .. } = self;
        let ended = match self.is_done {
            true => "nothing more can be left out under this seed",
            false => "it was ended before it was done",
        };
        let kept = match &self.found {
            None => format!("stored in {folder}"),
            Some(found) => format!(
                "not stored: {folder} has it smaller, or as small and with what it takes, and stays; that one is told \
                 here, and what was found now has {found}"
            ),
        };
        let (program, named) = (program(), shell_word(folder));
        report::shrink::terminal(failure, *before, *after)
            + &other_seed(run, own)
            + &report::run::story(run)
            + &report::run::why(run)
            + &format!("\n{} in {seconds:.1} s: {ended}\n{kept}\n\n", counted(*runs, "run"))
            + &format!("show:   {program} show {named}\nreplay: {program} replay {named}\n")
    }
}

/// That a run is another one than when it was stored, though it fails in the same way.
fn changed(stored: &Record, now: &Fingerprint) -> String {
    format!(
        "warning: the run is NOT the one that was stored, which has {} and not {now}; it has the same failure, and that is \
         shrunk: `replay` tells more",
        stored.fingerprint
    )
}

/// Why the smaller run has another seed, if it has one, in a line.
fn other_seed(record: &Record, own: Seed) -> String {
    if record.seed == own {
        return String::new();
    }
    format!("its seed is {}, and not {own}: under that one it takes more\n", record.seed)
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let (entry, options, record) = stored(context, &self.run)?;
        let Some(number) = chosen(&record, self.anomaly, &self.run)? else {
            context.output.note("no anomaly was found in this run: there is nothing to shrink");
            return Ok(Ending::NothingRan.code());
        };
        let failure = Failure::of(anomalies(&record)[number]);
        store::check(&self.run)?;
        let store = store_of(Some(&self.run), context)?;
        let interrupted = interruption()?;
        let meter = Meter::start();
        let is_over = |budgets: f64| {
            let seconds = self.budget.as_secs_f64() * budgets;
            interrupted.load(Ordering::Relaxed) || meter.read().wall_seconds >= seconds
        };
        let stop = || is_over(1.0);
        let bar = context.output.progress("shrink");
        let shrinker = Shrinker {
            system: &entry.system,
            plan: &entry.plan,
            seed: record.seed,
            failure: failure.clone(),
            stop: &stop,
            progress: &|what, size, runs| {
                bar.set_position(runs);
                bar.set_message(format!("{what}: {size}"));
            },
        };
        let mut shrunk = shrinker.shrink(options).map_err(|error| {
            anyhow!(error)
                .context("the run is not what it was when it was stored; `replay` tells more")
        })?;
        if shrunk.original != record.fingerprint {
            bar.suspend(|| context.output.note(&changed(&record, &shrunk.original)));
        }
        bar.set_message("what it takes");
        // What cannot be done in the time that is left is not begun.
        let a_run = meter.read().wall_seconds / shrunk.runs as f64;
        let played = VARIANTS as usize * (2 + shrunk.after.faults + shrunk.after.operations);
        let is_too_much = !shrunk.is_done && a_run * played as f64 > self.budget.as_secs_f64();
        let stop = || is_too_much || is_over(2.0);
        shrunk.report.why = Why::of(&entry.system, &shrunk.report, &failure, VARIANTS, &stop);
        bar.finish_and_clear();
        let seconds = meter.read().wall_seconds;
        let name = shrunk_name(&store, &self.run, &record, &failure);
        let better = keep(&store, &name, &shrunk, &failure)?;
        let found = better.is_some().then_some(shrunk.after);
        let own = record.seed;
        let kept = better.unwrap_or_else(|| Record::of(&shrunk.report));
        let content = Content {
            failure: &failure,
            before: shrunk.before,
            after: found.map_or(shrunk.after, |_| Size::of_stored(&kept)),
            runs: shrunk.runs,
            is_done: shrunk.is_done,
            seconds,
            folder: &store.folder_of(&name).display().to_string(),
            stored: found.is_none(),
            found,
            run: &kept,
        };
        context.output.result("shrink", &content, || content.terminal(own))?;
        let interrupted = interrupted.load(Ordering::Relaxed);
        Ok(if interrupted { Ending::Interrupted.code() } else { 0 })
    }
}

//! `stormglass show`: a failing history around its anomaly.

use std::path::{Path, PathBuf};

use anyhow::bail;
use checkers::history::{Key, KeyId, ProcessId, Time};
use checkers::{Anomaly, History};
use serde::Serialize;

use super::Context;
use super::arguments::moment;
use crate::config::Config;
use crate::report::timeline::{self, Filter, Scope, Window};
use crate::report::{escape, run};
use crate::shrink::Failure;
use crate::store::{self, Record, Stored};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run.
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Which anomaly, from 1 on; without it, the one that the run was shrunk for, or the first of a claimed guarantee,
    /// or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// Show the whole history.
    #[arg(long)]
    all: bool,
    /// How many operations before and after each one of the witness, or before and after `--around`.
    #[arg(long, value_name = "N", default_value = "3")]
    context: usize,
    /// Show what was under way at this moment: `1.204s`, `850ms`.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "all")]
    around: Option<Time>,
    /// Show only operations on this key, and transactions with a step on it.
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    key: Option<String>,
    /// Show only operations of this process.
    #[arg(long, value_name = "P", conflicts_with = "all")]
    process: Option<u32>,
}

#[derive(Serialize)]
struct Content<'a> {
    plan: &'a str,
    seed: crate::seed::Seed,
    config: &'a Config,
    number: Option<usize>,
    anomalies: usize,
    anomaly: Option<&'a Anomaly>,
    rows: &'a [timeline::Row],
}

impl Arguments {
    fn filter(&self) -> Filter {
        Filter {
            around: self.around,
            key: self.key.as_deref().map(Key::from),
            process: self.process.map(ProcessId),
        }
    }

    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let Stored { record, history, .. } = store::load(&self.run)?;
        let anomalies = anomalies(&record);
        let number = chosen(&record, self.anomaly, &self.run)?;
        let anomaly = number.map(|number| anomalies[number]);
        let filter = self.filter();
        let scope = match (filter.is_empty(), self.all || anomaly.is_none()) {
            (false, _) => Scope::Only(&filter),
            (true, true) => Scope::All,
            (true, false) => Scope::Anomaly,
        };
        let rows = timeline::rows(&history, anomaly, Window { context: self.context, scope });
        if rows.is_empty() && !filter.is_empty() {
            bail!("{} has no operations{filter}; {}", self.run.display(), what_there_is(&history));
        }
        let ended = history.events().last().map(|(at, _)| at);
        let content = Content {
            plan: &record.plan.name,
            seed: record.seed,
            config: &record.config,
            number: number.map(|number| number + 1),
            anomalies: anomalies.len(),
            anomaly,
            rows: &rows,
        };
        context.output.result("show", content, || {
            let plan = escape::line(&record.plan.name);
            let mut text = format!("plan {plan}, seed {}", record.seed);
            if let Some(words) = run::other_seed(&record, &self.run) {
                text.push_str(&format!(" ({words})"));
            }
            text.push('\n');
            text.push_str(&run::drawn(&record));
            if !filter.is_empty() {
                text.push_str(&escape::line(&format!("operations{filter}")));
                text.push('\n');
                if let Some(end) = ended.filter(|end| self.around.is_some_and(|at| at > *end)) {
                    text.push_str(&format!(
                        "the run ends at {end}; these are its last operations\n"
                    ));
                }
            }
            if let (Some(number), Some(anomaly)) = (number, anomaly) {
                text.push_str(&format!("anomaly {} of {}\n\n", number + 1, anomalies.len()));
                text.push_str(&run::explanation(anomaly));
                if record.why.as_ref().is_some_and(|why| why.failure == Failure::of(anomaly)) {
                    text.push_str(&run::story(&record));
                    text.push_str(&run::why(&record));
                }
                text.push_str("\n▶ marks the operations that prove it\n");
            } else if filter.is_empty() {
                text.push_str("no anomaly was found in this run; this is its whole history\n");
            }
            text + &timeline::terminal(&rows) + "\n"
        })?;
        Ok(0)
    }
}

/// What can be asked for, for somebody who asked for what is not there.
fn what_there_is(history: &History) -> String {
    const KEYS_MAX: usize = 12;
    let keys = (0..history.key_count() as u32).map(|key| history.key(KeyId(key)).to_string());
    let mut keys: Vec<String> = keys.take(KEYS_MAX + 1).collect();
    if keys.len() > KEYS_MAX {
        keys[KEYS_MAX] = "…".to_owned();
    }
    let last = history.operations().map(|operation| operation.process).max();
    let processes = last.map_or_else(String::new, |last| format!(", processes from 0 to {last}"));
    let end = history.events().last().map_or(Time::ZERO, |(at, _)| at);
    format!("there are the keys {}{processes}, and times up to {end}", keys.join(", "))
}

/// The place of the anomaly that is meant among all of a run: the one of this number, from 1 on, or the one
/// that the run was shrunk for, or the first of a claimed guarantee, or the first of all.
pub(super) fn chosen(
    record: &Record,
    number: Option<u64>,
    run: &Path,
) -> anyhow::Result<Option<usize>> {
    let count = anomalies(record).len();
    match number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)) {
        Some(number) if number > count => {
            bail!("{} has {count} anomalies; there is no number {number}", run.display())
        }
        Some(number) => Ok(Some(number - 1)),
        None => {
            Ok(shrunk_for(record).or_else(|| first_claimed(record)).or((count > 0).then_some(0)))
        }
    }
}

/// All anomalies of a run, in the order of reports.
pub(super) fn anomalies(record: &Record) -> Vec<&Anomaly> {
    record.judged.iter().flat_map(|judged| judged.verdict.anomalies()).collect()
}

/// The place of the anomaly that a run was shrunk for.
fn shrunk_for(record: &Record) -> Option<usize> {
    let why = record.why.as_ref()?;
    anomalies(record).iter().position(|anomaly| Failure::of(anomaly) == why.failure)
}

/// The place of the first anomaly of a claimed guarantee.
fn first_claimed(record: &Record) -> Option<usize> {
    let mut before = 0;
    for judged in &record.judged {
        let here = judged.verdict.anomalies().len();
        if here > 0 && judged.claim == crate::system::Claim::Holds {
            return Some(before);
        }
        before += here;
    }
    None
}

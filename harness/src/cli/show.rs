//! `stormglass show`: a failing history around its anomaly.

use std::path::{Path, PathBuf};

use anyhow::bail;
use checkers::Anomaly;
use serde::Serialize;

use super::Context;
use crate::report::timeline::{self, Scope, Window};
use crate::report::{escape, run};
use crate::shrink::Failure;
use crate::store::{self, Record, Stored};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Which anomaly, from 1 on; without it, the first of a claimed guarantee, or of any.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    anomaly: Option<u64>,
    /// Show the whole history.
    #[arg(long)]
    all: bool,
    /// How many operations before and after each one of the witness.
    #[arg(long, value_name = "N", default_value = "3")]
    context: usize,
}

#[derive(Serialize)]
struct Content<'a> {
    plan: &'a str,
    seed: crate::seed::Seed,
    number: Option<usize>,
    anomalies: usize,
    anomaly: Option<&'a Anomaly>,
    rows: &'a [timeline::Row],
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let Stored { record, history, .. } = store::load(&self.run)?;
        let anomalies = anomalies(&record);
        let number = chosen(&record, self.anomaly, &self.run)?;
        let anomaly = number.map(|number| anomalies[number]);
        let scope = if self.all || anomaly.is_none() { Scope::All } else { Scope::Anomaly };
        let rows = timeline::rows(&history, anomaly, Window { context: self.context, scope });
        let content = Content {
            plan: &record.plan.name,
            seed: record.seed,
            number: number.map(|number| number + 1),
            anomalies: anomalies.len(),
            anomaly,
            rows: &rows,
        };
        context.output.result("show", content, || {
            let plan = escape::line(&record.plan.name);
            let mut text = format!("plan {plan}, seed {}\n", record.seed);
            if let (Some(number), Some(anomaly)) = (number, anomaly) {
                text.push_str(&format!("anomaly {} of {}\n\n", number + 1, anomalies.len()));
                text.push_str(&run::explanation(anomaly));
                if record.why.as_ref().is_some_and(|why| why.failure == Failure::of(anomaly)) {
                    text.push_str(&run::story(&record));
                    text.push_str(&run::why(&record));
                }
                text.push_str("\n▶ marks the operations that prove it\n");
            } else {
                text.push_str("no anomaly was found in this run; this is its whole history\n");
            }
            text + &timeline::terminal(&rows) + "\n"
        })?;
        Ok(0)
    }
}

/// The place of the anomaly that is meant among all of a run: the one of this number, from 1 on, or the
/// first of a claimed guarantee, or the first of all.
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
        None => Ok(first_claimed(record).or((count > 0).then_some(0))),
    }
}

/// All anomalies of a run, in the order of reports.
pub(super) fn anomalies(record: &Record) -> Vec<&Anomaly> {
    record.judged.iter().flat_map(|judged| judged.verdict.anomalies()).collect()
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

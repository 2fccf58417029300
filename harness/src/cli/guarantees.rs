//! `stormglass guarantees`: what each mode keeps and breaks, measured.

use std::ops::Range;
use std::path::PathBuf;

use super::Context;
use super::output::{Meter, check_writable, interruption, replace, show};
use super::plans::Selection;
use crate::campaign::guarantees::measure;
use crate::campaign::{Ending, Findings};
use crate::report::{self, guarantees::Commands};
use crate::store::Store;

/// Seeds of the short and the long campaign, for each plan and kind of faults.
const SEEDS: u64 = 40;
const SEEDS_FULL: u64 = 1000;

/// Nemeses that the stock plans leave to `restore.toml` and `membership.toml`.
const MORE: [&str; 2] = ["wipe", "membership"];

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The seeds that each plan runs with under each kind of faults; without it, the first 40.
    #[arg(long, value_name = "A..B", value_parser = super::arguments::seeds)]
    seeds: Option<Range<u64>>,
    /// Take the first 1000 instead, which takes 25 times as long.
    #[arg(long, conflicts_with = "seeds")]
    full: bool,
    /// Runs at a time; without it, as many as there are processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The file that is written; without it, `guarantees.md` in the results folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entries = self.selection.entries(context)?;
        let store = Store::open(&context.results)?;
        let file = self.out.clone().unwrap_or_else(|| context.results.join("guarantees.md"));
        check_writable(&file)?;
        let first = if self.full { 0..SEEDS_FULL } else { 0..SEEDS };
        let seeds = self.seeds.clone().unwrap_or(first);
        let stop = interruption()?;
        let meter = Meter::start();
        let bar = context.output.progress("runs");
        // Plans of a file say themselves what they are to withstand.
        let source = &self.selection.source;
        let stock = source.plans.is_none() && source.nemeses.is_empty();
        let (guarantees, findings) = measure(
            &entries,
            if stock { &MORE } else { &[] },
            |campaign| {
                let campaign = campaign.seeds(seeds.clone()).store(store).stop_on(stop);
                match self.threads {
                    Some(threads) => campaign.threads(threads.into()),
                    None => campaign,
                }
            },
            &mut |progress| show(&bar, progress),
        )?;
        bar.finish_and_clear();
        let (cost, ending) = (meter.read(), guarantees.ending());
        let mut commands =
            Commands { all: source.replay(), group: source.replay_under_other_faults() };
        context.output.result("guarantees", &guarantees, || {
            report::guarantees::terminal(&guarantees, &commands, cost) + &trouble(&findings)
        })?;
        // What was cut short measures nothing.
        if findings.stopped.is_none() && ending != Ending::NothingRan {
            // The file says the same however the program was called.
            commands.all.program = "stormglass".to_owned();
            commands.group.program = "stormglass".to_owned();
            let text = report::guarantees::markdown(&guarantees, &commands, &seeds);
            replace(&file, text.as_bytes())?;
            context.output.note(&format!("written to {}", file.display()));
        }
        Ok(ending.code())
    }
}

/// Runs that do not tell, seeds that gave two histories, mistakes of the harness, and runs that could not be stored.
fn trouble(findings: &Findings) -> String {
    let inconclusive = findings.inconclusive.iter();
    let inconclusive =
        inconclusive.map(|run| format!("{}, seed {}: {}\n", run.plan, run.seed, run.reason));
    let errors = findings.own_errors.iter().chain(&findings.unstored);
    let errors =
        errors.map(|error| format!("{}, seed {}: {}\n", error.plan, error.seed, error.message));
    let divergences = findings.divergences.iter();
    let divergences = divergences
        .map(|run| format!("{}, seed {}: two different histories\n", run.plan, run.seed));
    let text: String = inconclusive.chain(divergences).chain(errors).collect();
    report::escape::terminal(&text)
}

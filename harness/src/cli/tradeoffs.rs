//! `stormglass tradeoffs`: what each mode gains and pays, measured in virtual time.

use std::ops::Range;
use std::path::PathBuf;

use super::Context;
use super::output::{Meter, check_writable, interruption, replace, show};
use super::plans;
use crate::campaign::Ending;
use crate::engine::Choice;
use crate::report;
use crate::store::Store;
use crate::tradeoffs::{Reason, measure};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A campaign file; without it, a plan for each mode of the reference store, in three regions.
    #[arg(long, value_name = "FILE", env = "STORMGLASS_PLANS")]
    plans: Option<PathBuf>,
    /// Only these plans.
    #[arg(long, value_name = "PLAN", value_delimiter = ',')]
    only: Vec<String>,
    /// Simulate the runs with this engine, whatever the plans say: `turmoil`, `event` or `auto`.
    #[arg(long, value_name = "ENGINE", value_parser = super::arguments::engine)]
    engine: Option<Choice>,
    /// The seeds that each measurement is made with.
    #[arg(long, value_name = "A..B", default_value = "0..10", value_parser = super::arguments::seeds)]
    seeds: Range<u64>,
    /// What is measured; without it, everything: `latency`, `availability`, `throughput`.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = reason)]
    measure: Vec<Reason>,
    /// The file that is written; without it, `tradeoffs.md` in the results folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entries = plans::of_tradeoffs(context, self.plans.as_deref(), self.engine, &self.only)?;
        let file = self.out.clone().unwrap_or_else(|| context.results.join("tradeoffs.md"));
        // The folder may be new.
        Store::open(&context.results)?;
        check_writable(&file)?;
        let stop = interruption()?;
        let meter = Meter::start();
        let bar = context.output.progress("runs");
        let all = Reason::ALL.map(|(_, reason)| reason);
        let reasons = if self.measure.is_empty() { &all[..] } else { &self.measure };
        let measured = measure(&entries, &self.seeds, reasons, &stop, &|progress| {
            show(&bar, progress);
        });
        bar.finish_and_clear();
        let Some(tradeoffs) = measured else { return Ok(Ending::Interrupted.code()) };
        let cost = meter.read();
        context
            .output
            .result("tradeoffs", &tradeoffs, || report::tradeoffs::terminal(&tradeoffs, cost))?;
        if tradeoffs.runs == 0 {
            return Ok(Ending::NothingRan.code());
        }
        let text = report::tradeoffs::markdown(&tradeoffs, &self.seeds);
        replace(&file, text.as_bytes())?;
        context.output.note(&format!("written to {}", file.display()));
        let ending = if tradeoffs.violations.is_empty() { Ending::Met } else { Ending::Violated };
        Ok(ending.code())
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    let known = Reason::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, reason)| *reason).ok_or_else(|| {
        let names = Reason::ALL.map(|(name, _)| name).join(", ");
        format!("nothing that is measured is called `{text}`; there are {names}")
    })
}

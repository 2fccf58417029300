//! `stormglass run`: one seed.

use super::Context;
use super::plans::Source;
use crate::campaign::Ending;
use crate::report;
use crate::run::{self, Options};
use crate::seed::Seed;
use crate::store::{Record, Store};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The plan.
    #[arg(long)]
    plan: String,
    /// The seed.
    #[arg(long)]
    seed: Seed,
    /// Store the run, so that `show` and `replay` can read it.
    #[arg(long)]
    store: bool,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entry = self.source.entry(context, &self.plan)?;
        let store = if self.store { Some(Store::open(&context.results)?) } else { None };
        let report = run::run(&entry.system, &entry.plan, self.seed, Options::default());
        let stored = store.map(|store| store.save(&report)).transpose()?;
        let record = Record::of(&report);
        context.output.result("run", &record, || {
            let mut text = report::run::terminal(&record);
            let command = self.source.replay().of_seed(&self.plan, self.seed);
            text.push_str(&format!("replay: {command}\n"));
            if let Some(folder) = stored {
                text.push_str(&format!("stored in {}\n", folder.display()));
            }
            text
        })?;
        Ok(Ending::from(record.conclusion).code())
    }
}

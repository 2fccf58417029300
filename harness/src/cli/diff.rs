//! `stormglass diff`: two campaigns compared.

use std::path::PathBuf;

use serde::Serialize;

use super::Context;
use crate::report::triage;
use crate::triage::{Comparison, Ledger};

#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// The earlier campaign: its results folder, or a baseline file.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The later campaign.
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    no failure is new or regressed
  1    one is: a claimed guarantee is broken that was not, or no longer was
  2    wrong use: a folder without a campaign, a file
  3    no plan ran again that had found some failure
  4    the later campaign ran nothing";

#[derive(Serialize)]
struct Content<'a> {
    exit_code: u8,
    #[serde(flatten)]
    comparison: &'a Comparison<'a>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let old = Ledger::load(&self.old)?;
        let new = Ledger::load(&self.new)?;
        let comparison = Comparison::of(&old, &new);
        let exit_code = comparison.ending().code();
        let content = Content { exit_code, comparison: &comparison };
        context.output.result("diff", content, || triage::comparison(&comparison))?;
        Ok(exit_code)
    }
}

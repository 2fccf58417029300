//! `stormglass run`: one seed.

use std::fmt::Write as _;

use serde::Serialize;

use super::output::{interruption, program};
use super::plans::Source;
use super::{Context, shrinking};
use crate::campaign::Ending;
use crate::report;
use crate::report::summary::shell_word;
use crate::run::{self, Options};
use crate::seed::Seed;
use crate::store::{Record, Store};
use crate::triage::{Group, of_run};

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
    #[command(flatten)]
    shrinking: shrinking::Shrink,
}

/// What came of it.
#[derive(Serialize)]
struct Content<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// What its failures were shrunk to.
    #[serde(skip_serializing_if = "<[Group]>::is_empty")]
    shrunk: &'a [Group],
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entry = self.source.entry(context, &self.plan)?;
        let shrinks = self.shrinking.is_asked_for();
        let store = if self.store || shrinks { Some(Store::open(&context.results)?) } else { None };
        let report = run::run(&entry.system, &entry.plan, self.seed, Options::default());
        let stored = store.as_ref().filter(|_| self.store).map(|store| store.save(&report));
        let stored = stored.transpose()?;
        let mut groups = Vec::new();
        let mut is_cut = false;
        if let Some(store) = store.as_ref().filter(|_| shrinks) {
            groups = of_run(&report);
            let interrupted = interruption()?;
            let entries = [entry];
            self.shrinking.execute(context, &mut groups, (&entries, store), &interrupted);
            groups.retain(|group| group.shrunk.is_some());
            is_cut = interrupted.load(std::sync::atomic::Ordering::Relaxed);
        }
        let record = Record::of(&report);
        context.output.result("run", Content { record: &record, shrunk: &groups }, || {
            let mut text = report::run::terminal(&record);
            let command = self.source.replay().of_seed(&self.plan, self.seed);
            let _ = writeln!(text, "replay: {command}");
            if let Some(folder) = stored {
                let _ = writeln!(text, "stored in {}", folder.display());
            }
            text + &smaller(&groups)
        })?;
        let ending = Ending::from(record.conclusion);
        Ok(if is_cut { Ending::Interrupted.code() } else { ending.code() })
    }
}

/// What the failures of the run were shrunk to, and the command that shows each.
fn smaller(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        let Some(shrunk) = &group.shrunk else { continue };
        let signature = report::escape::line(&group.signature.to_string());
        let _ = writeln!(text, "\n{}  {signature}", group.id);
        let _ = writeln!(text, "  {}", report::triage::sizes(shrunk));
        let folder = shell_word(&shrunk.folder.display().to_string());
        let _ = writeln!(text, "  show: {} show {folder}", program());
    }
    text
}

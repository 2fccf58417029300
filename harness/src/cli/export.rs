//! `stormglass export`: a history in another tool's format.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use checkers::History;
use checkers::history::jepsen_edn;
use checkers::history::jsonl::{self, ReadLimits};
use clap::ValueEnum;

use super::Context;
use super::output::replace;
use crate::store;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run, or a history in JSON lines.
    #[arg(value_name = "RUN|FILE")]
    run: PathBuf,
    /// The format to write.
    #[arg(long, value_enum)]
    to: To,
    /// The file to write; without it, the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// A map a line, as Jepsen and Knossos read them.
    JepsenEdn,
    /// Our own lines of JSON.
    Jsonl,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let history = self.history()?;
        let mut bytes = Vec::new();
        match self.to {
            To::JepsenEdn => jepsen_edn::write(&history, &mut bytes)?,
            To::Jsonl => jsonl::write(&history, &mut bytes)?,
        }
        match &self.output {
            None => context.output.text(&String::from_utf8(bytes)?)?,
            Some(path) => replace(path, &bytes)?,
        }
        Ok(0)
    }

    fn history(&self) -> anyhow::Result<History> {
        if self.run.is_dir() {
            return Ok(store::load(&self.run)?.history);
        }
        let name = self.run.display();
        let file = File::open(&self.run).with_context(|| format!("cannot read {name}"))?;
        jsonl::read(BufReader::new(file), &ReadLimits::default())
            .map_err(|error| anyhow!("{name}: {error}"))
    }
}

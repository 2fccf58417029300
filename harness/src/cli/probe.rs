//! `stormglass probe`: what real runs need, and what of it is missing.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Modify, Style, Width, object::Columns};

use super::Context;
use super::real::registration;
use crate::campaign::Ending;
use crate::real::probe::{Need, probe};
use crate::real::system::SYSTEMS;
use crate::report::escape;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The system that is to be run; all of them where none is named.
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    /// The folder with its programs, or the program itself.
    #[arg(long, visible_alias = "bin-dir", value_name = "PATH")]
    binary: Option<PathBuf>,
}

#[derive(Serialize)]
struct Content {
    complete: bool,
    needs: Vec<Need>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let systems = match &self.system {
            Some(name) => vec![registration(name)?],
            None => SYSTEMS.iter().collect(),
        };
        let needs = probe(&systems, self.binary.as_deref());
        let complete = needs.iter().all(|need| need.found);
        let content = Content { complete, needs };
        context.output.result("probe", &content, || table(&content.needs))?;
        Ok(if complete { 0 } else { Ending::NothingRan.code() })
    }
}

/// What is needed, as a table, and how to install what is missing.
pub(super) fn table(needs: &[Need]) -> String {
    let mut builder = Builder::default();
    builder.push_record(["", "what", "found", "needed for"]);
    for Need { what, found, detail, used_for, .. } in needs {
        let mark = if *found { "✓" } else { "✗" };
        builder.push_record([mark, what, &escape::line(detail), used_for]);
    }
    let mut table = builder.build();
    table.with(Style::rounded());
    table.with(Modify::new(Columns::new(2..3)).with(Width::wrap(50).keep_words(true)));
    let mut out = format!("{table}\n");
    for Need { what, install, .. } in needs.iter().filter(|need| !need.found) {
        let _ = writeln!(out, "{what} is missing: {install}");
    }
    if needs.iter().all(|need| need.found) {
        out.push_str("everything that real runs need is there\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_missing_and_what_would_do() {
        let need = |what: &str, found| Need {
            what: what.to_owned(),
            found,
            detail: "1.0".to_owned(),
            used_for: "partitions",
            install: "apt-get install it".to_owned(),
        };
        let text = table(&[need("ip", true), need("nft", false)]);
        assert!(text.contains("✓") && text.contains("✗"), "{text}");
        assert!(text.ends_with("nft is missing: apt-get install it\n"), "{text}");
        assert!(!text.contains("ip is missing"), "{text}");
        assert!(table(&[need("ip", true)]).ends_with("is there\n"));
    }
}

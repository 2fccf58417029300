//! `stormglass list`: what there is.

use std::fmt::Write as _;

use serde::Serialize;

use super::Context;
use super::plans::Source;
use crate::engine::{self, Engine};
use crate::nemesis::{EXAMPLES, Example, NEMESES, TARGETS_AND_SHAPES};
use crate::plan::Plan;
use crate::real::system as real;
use crate::report::escape;
use crate::system::{Claim, Manifest};
use checkers::checker::CHECKERS;
use checkers::model::MODELS;
use workloads::WORKLOADS;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this: `faults` shows how each fault is written that a plan names.
    #[arg(value_name = "WHAT", value_enum)]
    what: Option<What>,
    #[command(flatten)]
    source: Source,
}

/// What is listed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The faults that plans name one by one.
    Faults,
}

#[derive(Serialize)]
struct Faults {
    faults: &'static [Example],
}

#[derive(Serialize)]
struct Content {
    plans: Vec<Plan>,
    systems: Vec<Manifest>,
    real_systems: Vec<Named>,
    workloads: Vec<Named>,
    nemeses: Vec<Listed>,
    checkers: Vec<Named>,
    models: Vec<Named>,
    faults: &'static [Example],
}

/// One entry of a table.
#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: &'static str,
}

/// A nemesis, and the engines that can do its faults.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    named: Named,
    engines: &'static [Engine],
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        if self.what == Some(What::Faults) {
            context.output.result("list", Faults { faults: EXAMPLES }, faults)?;
            return Ok(0);
        }
        let named = |name, about| Named { name, about };
        let content = Content {
            plans: self.source.plans(context)?,
            systems: context.systems.iter().map(|entry| (entry.build)().manifest()).collect(),
            real_systems: real::SYSTEMS
                .iter()
                .map(|entry| named(entry.name, entry.about))
                .collect(),
            workloads: WORKLOADS.iter().map(|entry| named(entry.name, entry.about)).collect(),
            nemeses: NEMESES
                .iter()
                .map(|entry| Listed {
                    named: named(entry.name, entry.about),
                    engines: entry.engines,
                })
                .collect(),
            checkers: CHECKERS
                .iter()
                .map(|entry| named(entry.guarantee.name(), entry.about))
                .collect(),
            models: MODELS.iter().map(|entry| named(entry.name, entry.about)).collect(),
            faults: EXAMPLES,
        };
        context.output.result("list", &content, || human(&content))?;
        Ok(0)
    }
}

/// How each fault is written.
fn faults() -> String {
    let mut out = String::from(
        "Faults that a plan names one by one, each under a head [[plan.faults]] with `at`, `lasts` and perhaps `after`\n",
    );
    for Example { kind, about, written } in EXAMPLES {
        let _ = writeln!(out, "  {kind:<16} {about}\n  {:<16} {written}", "");
    }
    out.push_str("\nWhom they hit\n");
    for words in TARGETS_AND_SHAPES {
        let _ = writeln!(out, "  {words}");
    }
    out
}

fn human(content: &Content) -> String {
    let mut out = String::from("Plans\n");
    for plan in &content.plans {
        let Plan { name, system, workload, .. } = plan;
        let families = plan.families();
        let faults = if families.is_empty() { "none".to_owned() } else { families.join(", ") };
        let _ = writeln!(out, "  {name:<20} system {system}, workload {workload}, faults {faults}");
    }
    out.push_str("\nSystems\n");
    for system in &content.systems {
        let _ =
            writeln!(out, "  {:<20} {}", escape::line(&system.name), escape::line(&system.about));
        for (claim, words) in [(Claim::Holds, "claims"), (Claim::Breaks, "does not claim")] {
            let of = system.claims.iter().filter(|(_, said)| *said == claim);
            let names: Vec<&str> = of.map(|(guarantee, _)| guarantee.name()).collect();
            if !names.is_empty() {
                let _ = writeln!(out, "  {:<20} {words} {}", "", names.join(", "));
            }
        }
    }
    let table = |title: &str, entries: &[Named]| {
        let lines = entries.iter().map(|Named { name, about }| format!("  {name:<20} {about}\n"));
        format!("\n{title}\n{}", lines.collect::<String>())
    };
    out.push_str(&table("Systems of `real`", &content.real_systems));
    out.push_str(&table("Workloads", &content.workloads));
    out.push_str("\nNemeses, and the engines that do their faults\n");
    for Listed { named: Named { name, about }, engines } in &content.nemeses {
        let _ = writeln!(out, "  {name:<20} {about}\n  {:<20} {}", "", engine::names(engines));
    }
    out.push_str(&table("Checkers", &content.checkers));
    out.push_str(&table("Models", &content.models));
    out.push_str("\nFaults that plans name one by one: `stormglass list faults`\n");
    out
}

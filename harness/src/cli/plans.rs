//! Which plans a command is about.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::Context;
use crate::campaign::Entry;
use crate::engine::Choice;
use crate::plan::{self, Plan, PlanError};
use crate::report::summary::{Replay, shell_word};
use crate::system::{self, Registration, System};

/// The file that plans are read from.
#[derive(clap::Args)]
pub(super) struct Source {
    /// A campaign file; without it, the stock plans.
    #[arg(long, value_name = "FILE", env = "STORMGLASS_PLANS")]
    pub(super) plans: Option<PathBuf>,
    /// Let these plan the faults, or `none`, whatever the plans say.
    #[arg(long, value_name = "NEMESIS", value_delimiter = ',')]
    pub(super) nemeses: Vec<String>,
    /// Simulate the runs with this engine, whatever the plans say: `turmoil`, `event` or `auto`.
    #[arg(long, value_name = "ENGINE", value_parser = super::arguments::engine)]
    pub(super) engine: Option<Choice>,
    /// Let runs differ in everything that plans leave open: faults, operations, rates, keys, length.
    #[arg(long)]
    pub(super) swarm: bool,
}

/// Some of the plans there are.
#[derive(clap::Args)]
pub(super) struct Selection {
    #[command(flatten)]
    pub(super) source: Source,
    /// Only these plans.
    #[arg(long, value_name = "PLAN", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// All plans but these.
    #[arg(long, value_name = "PLAN", value_delimiter = ',', conflicts_with = "only")]
    pub(super) skip: Vec<String>,
}

impl Source {
    /// All plans there are.
    pub(super) fn plans(&self, context: &Context) -> anyhow::Result<Vec<Plan>> {
        let plans = self.unchecked(context)?;
        plans.iter().try_for_each(|plan| self.check(context, plan))?;
        Ok(plans)
    }

    /// The same, but whether their systems take the nemeses that a flag names is not asked yet: of plans
    /// that are not selected, it does not matter.
    fn unchecked(&self, context: &Context) -> anyhow::Result<Vec<Plan>> {
        let mut plans = match &self.plans {
            Some(file) => plan::load(file, context.systems)?,
            None => stock(context.systems)?,
        };
        set_engine(&mut plans, self.engine);
        plans.iter_mut().for_each(|plan| plan.swarm |= self.swarm);
        if self.nemeses.len() > 1 && self.nemeses.iter().any(|name| name == "none") {
            bail!(
                "--nemeses {}: `none` is no nemesis among others, it says that there are no faults; name it alone, or \
                 leave it out",
                self.nemeses.join(",")
            );
        }
        if !self.nemeses.is_empty() {
            for plan in &mut plans {
                plan.faults.clear();
                plan.allowed_losses.clear();
                plan.nemeses =
                    self.nemeses.iter().filter(|name| *name != "none").cloned().collect();
            }
        }
        Ok(plans)
    }

    fn check(&self, context: &Context, plan: &Plan) -> anyhow::Result<()> {
        if !self.nemeses.is_empty() {
            plan.check(context.systems).context("--nemeses")?;
        } else if self.engine.is_some() {
            plan.check(context.systems).context("--engine")?;
        }
        Ok(())
    }

    /// The plan of one name, with its system.
    pub(super) fn entry(&self, context: &Context, name: &str) -> anyhow::Result<Entry> {
        let plans = self.unchecked(context)?;
        check_names(&plans, &[name.to_owned()])?;
        let named = plans.into_iter().find(|plan| plan.name == name);
        let named = named.expect("the name was checked");
        self.check(context, &named)?;
        let entry = entry_of(context, named);
        say_what_is_left_out(context, &entry);
        Ok(entry)
    }

    /// Whether the command line names a file of plans; the environment may name one that is not for this.
    pub(super) fn is_asked_for_plans(&self) -> bool {
        let of_environment = std::env::var_os("STORMGLASS_PLANS").map(PathBuf::from);
        self.plans.is_some() && self.plans != of_environment
    }

    /// The flags that name these plans, for another call of the program.
    pub(super) fn flags(&self) -> Vec<OsString> {
        let mut flags = self.file_flags();
        if !self.nemeses.is_empty() {
            flags.extend(["--nemeses".into(), self.nemeses.join(",").into()]);
        }
        flags
    }

    /// The same, where that call is under faults of its own.
    fn file_flags(&self) -> Vec<OsString> {
        let file = self.plans.iter().flat_map(|file| ["--plans".into(), file.into()]);
        let engine =
            self.engine.iter().flat_map(|engine| ["--engine".into(), engine.name().into()]);
        let swarm = self.swarm.then(|| "--swarm".into());
        file.chain(engine).chain(swarm).collect()
    }

    /// How runs of these plans are replayed.
    pub(super) fn replay(&self) -> Replay {
        Replay { program: super::output::program(), flags: as_typed(&self.flags()) }
    }

    /// How they are run under other faults.
    pub(super) fn replay_under_other_faults(&self) -> Replay {
        Replay { program: super::output::program(), flags: as_typed(&self.file_flags()) }
    }
}

/// Lets an engine that a flag names simulate the runs of some plans.
fn set_engine(plans: &mut [Plan], engine: Option<Choice>) {
    if let Some(engine) = engine {
        plans.iter_mut().for_each(|plan| plan.engine = engine);
    }
}

/// Flags as a shell reads them.
fn as_typed(flags: &[OsString]) -> String {
    let words = flags.iter().map(|word| shell_word(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

impl Selection {
    /// The selected plans, each with its system.
    pub(super) fn entries(&self, context: &Context) -> anyhow::Result<Vec<Entry>> {
        let plans = self.source.unchecked(context)?;
        check_names(&plans, &self.only)?;
        check_names(&plans, &self.skip)?;
        let selected = plans.into_iter().filter(|plan| {
            (self.only.is_empty() || self.only.contains(&plan.name))
                && !self.skip.contains(&plan.name)
        });
        let entry = |plan| {
            self.source.check(context, &plan)?;
            let entry = entry_of(context, plan);
            say_what_is_left_out(context, &entry);
            Ok(entry)
        };
        selected.map(entry).collect()
    }
}

/// The stock plans of the systems in a table, and the plan with every default for each system that
/// no stock plan names.
fn stock(systems: &[Registration]) -> Result<Vec<Plan>, PlanError> {
    built_in(plan::STOCK, "campaigns/stock.toml", systems, |system| Plan::new(system, system))
}

/// The plans of the tradeoffs, and for each system that none of them names, one in the same regions.
fn tradeoffs(systems: &[Registration]) -> Result<Vec<Plan>, PlanError> {
    let file = "campaigns/tradeoffs.toml";
    let first = plan::parse(plan::TRADEOFFS, Path::new(file), system::SYSTEMS)?.swap_remove(0);
    built_in(plan::TRADEOFFS, file, systems, |system| Plan {
        nemeses: Vec::new(),
        regions: first.regions.clone(),
        ..Plan::new(system, system)
    })
}

/// Those of the plans that come with the program whose system is in a table, and a plan for each system
/// that none of them names.
fn built_in(
    text: &str,
    file: &str,
    systems: &[Registration],
    plan_for: impl Fn(&str) -> Plan,
) -> Result<Vec<Plan>, PlanError> {
    let mut plans = plan::parse(text, Path::new(file), system::SYSTEMS)?;
    plans.retain(|plan| systems.iter().any(|entry| entry.name == plan.system));
    for entry in systems {
        if !plans.iter().any(|plan| plan.system == entry.name) {
            let plan = plan_for(entry.name);
            plan.check(systems)?;
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The plans whose tradeoffs are measured: of a file, or those that come with the program; all of them,
/// or only some.
pub(super) fn of_tradeoffs(
    context: &Context,
    file: Option<&Path>,
    engine: Option<Choice>,
    only: &[String],
) -> anyhow::Result<Vec<Entry>> {
    let mut plans = match file {
        Some(file) => plan::load(file, context.systems)?,
        None => tradeoffs(context.systems)?,
    };
    set_engine(&mut plans, engine);
    check_names(&plans, only)?;
    plans.retain(|plan| only.is_empty() || only.contains(&plan.name));
    Ok(plans.into_iter().map(|plan| entry_of(context, plan)).collect())
}

fn check_names(plans: &[Plan], names: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("no plan is called `{name}`; there are {}", known.join(", ")),
        None => Ok(()),
    }
}

/// Says of which sizes that a plan lists there will be no run.
fn say_what_is_left_out(context: &Context, entry: &Entry) {
    let manifest = entry.system.manifest();
    let left_out = entry.plan.sizes_left_out(&manifest);
    if !left_out.is_empty() {
        let (fewest, most) = manifest.nodes;
        context.output.note(&format!(
            "plan `{}`: no run has a cluster of the size {left_out:?}, because {} runs with {fewest} to \
             {most} nodes with these settings",
            entry.plan.name, manifest.name
        ));
    }
}

/// Pairs a checked plan with the system that it names.
pub(super) fn entry_of(context: &Context, plan: Plan) -> Entry {
    let mut table = context.systems.iter();
    let named = table.find(|entry| entry.name == plan.system).expect("the plan was checked");
    let system = named.configured(&plan.settings).expect("the plan was checked");
    let system: Arc<dyn System> = Arc::from(system);
    Entry { plan, system }
}

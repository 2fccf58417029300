//! `stormglass replay`: a run again, and whether it is the same.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::Context;
use super::plans::{Source, entry_of};
use crate::campaign::{Ending, Entry};
use crate::engine::Engine;
use crate::external;
use crate::report;
use crate::run::{self, Conclusion, Fingerprint, Options};
use crate::seed::Seed;
use crate::shrink::Failure;
use crate::store::{self, Record, Store, StoreError};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a stored run. It has its plan with it: `--plans`, `--nemeses` and `--engine` are for
    /// `--plan` and `--seed`, and what `STORMGLASS_PLANS` says is not looked at.
    #[arg(value_name = "RUN", required_unless_present_any = ["plan", "seed"])]
    pub(super) run: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Instead of a stored run: the plan.
    #[arg(long, requires = "seed", conflicts_with = "run")]
    plan: Option<String>,
    /// Instead of a stored run: the seed.
    #[arg(long, requires = "plan", conflicts_with = "run")]
    seed: Option<Seed>,
    /// Record every message, and store the run with its trace: where it is, or in the results folder, if
    /// `--results` names one.
    #[arg(long)]
    trace: bool,
}

/// What a replay comes to.
#[derive(Serialize)]
struct Content<'a> {
    /// The fingerprint that the run was stored with.
    stored_fingerprint: Option<&'a Fingerprint>,
    /// Whether the replay has the same.
    same: Option<bool>,
    /// What the run came to this time.
    run: &'a Record,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let (entry, seed, mut options, stored) = self.what(context)?;
        let damage = self.run.as_deref().and_then(|folder| store::load(folder).err());
        let store = if self.trace { Some(store_of(self.run.as_deref(), context)?) } else { None };
        options.trace = self.trace;
        let mut report = run::run(&entry.system, &entry.plan, seed, options);
        report.why = stored.as_ref().and_then(|stored| stored.why.clone());
        // A shrunk run has a name of its own.
        let name = self.run.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let name = name.map(str::to_owned);
        let record = Record::of(&report);
        let expected = stored.as_ref().map(|stored| &stored.fingerprint);
        let is_stored = history_stored(damage.as_ref()) == Some(&record.fingerprint);
        let same = expected.map(|expected| *expected == record.fingerprint || is_stored);
        // What was stored stays as it was where the replay is another run.
        let folder = match (store, same) {
            (Some(store), None | Some(true)) => Some(match &name {
                Some(name) => store.save_as(&report, name)?,
                None => store.save(&report)?,
            }),
            _ => None,
        };
        let content = Content { stored_fingerprint: expected, same, run: &record };
        context.output.result("replay", content, || {
            let mut text = report::run::terminal(&record);
            if let Some(words) =
                self.run.as_deref().and_then(|run| report::run::other_seed(&record, run))
            {
                text.push_str(&format!("seed {}: {words}\n", record.seed));
            }
            text.push_str(&comparison(stored.as_ref(), damage.as_ref(), &record));
            if let Some(folder) = folder {
                text.push_str(&format!("stored with its trace in {}\n", folder.display()));
            }
            text
        })?;
        if same == Some(false) {
            return Ok(Ending::Nondeterministic.code());
        }
        if let Some(damage) = damage.filter(|_| !self.trace) {
            let words = match is_stored {
                true => {
                    "the run has the history that is stored, but another fingerprint is in run.json"
                }
                false => "the run is the same, but its stored history is not",
            };
            return Err(anyhow!(damage).context(words));
        }
        // What a run was shrunk to shows its failure, and nothing else.
        let is_shrunk = stored.as_ref().is_some_and(|stored| stored.why.is_some());
        if is_shrunk && same == Some(true) && record.conclusion == Conclusion::Unknown {
            return Ok(0);
        }
        Ok(Ending::from(record.conclusion).code())
    }

    /// What is to be run, and what it was stored as.
    fn what(&self, context: &Context) -> anyhow::Result<(Entry, Seed, Options, Option<Record>)> {
        if let (Some(plan), Some(seed)) = (&self.plan, self.seed) {
            return Ok((self.source.entry(context, plan)?, seed, Options::default(), None));
        }
        if self.source.is_asked_for_plans() {
            bail!("--plans is for --plan and --seed; a stored run has its plan with it");
        }
        if !self.source.nemeses.is_empty() {
            bail!("--nemeses is for --plan and --seed; a stored run has its faults with it");
        }
        if self.source.swarm {
            bail!("--swarm is for --plan and --seed; a stored run has what it drew with it");
        }
        if self.source.engine.is_some() {
            bail!("--engine is for --plan and --seed; a stored run has its engine with it");
        }
        let folder =
            self.run.as_ref().context("a stored run, or --plan and --seed, must be given")?;
        let (entry, options, record) = stored(context, folder)?;
        Ok((entry, record.seed, options, Some(record)))
    }
}

/// Where what is made of a run goes: into the results folder, if somebody named one, and beside the run otherwise.
pub(super) fn store_of(run: Option<&Path>, context: &Context) -> anyhow::Result<Store> {
    let beside = run.filter(|_| !context.names_results).map(|run| match run.parent() {
        Some(runs) if run.file_name().is_some() && runs.as_os_str().is_empty() => {
            PathBuf::from(".")
        }
        Some(runs) if run.file_name().is_some() => runs.to_owned(),
        // It is named by where somebody is: `.`, or something above.
        _ => run.join(".."),
    });
    Ok(match beside {
        Some(runs) => Store::of_runs(&runs)?,
        None => Store::open(&context.results)?,
    })
}

/// A stored run, and what makes it happen again.
pub(super) fn stored(context: &Context, folder: &Path) -> anyhow::Result<(Entry, Options, Record)> {
    let record = store::load_record(folder)?;
    check_replays(context, folder, &record)?;
    let named = || format!("the plan of {} cannot run", folder.display());
    record.plan.check(context.systems).with_context(named)?;
    let entry = entry_of(context, record.plan.clone());
    let options = Options::of_data(&record.config, &record.schedule, record.calls.as_ref());
    Ok((entry, options, record))
}

/// Refuses a stored run that does not happen again, because its nodes were processes.
pub(super) fn check_replays(
    context: &Context,
    folder: &Path,
    record: &Record,
) -> anyhow::Result<()> {
    let is_external = record.plan.system == external::SYSTEM
        && context.systems.iter().all(|entry| entry.name != external::SYSTEM);
    if is_external {
        bail!(
            "the nodes of {} were processes, and the run does not have them with it: such runs do not happen again \
             byte for byte; `stormglass external` with the same flags and `--seeds {}` runs the seed once more, and \
             `show`, `report` and `export` read what was stored",
            folder.display(),
            record.seed
        );
    }
    if record.config.engine == Engine::Real {
        bail!(
            "{} is a run of real processes, which does not happen again byte for byte; `stormglass real` with the same \
             flags and `--seed {}` draws the same faults and operations once more, and `show`, `report` and `export` \
             read what was stored",
            folder.display(),
            record.seed
        );
    }
    Ok(())
}

/// The fingerprint of a stored history that is not the one that run.json names.
fn history_stored(damage: Option<&StoreError>) -> Option<&Fingerprint> {
    match damage {
        Some(StoreError::OtherHistory { found, .. }) => Some(found),
        _ => None,
    }
}

/// That what a run was shrunk for is there again, whatever else such a small run does not show.
fn again(stored: &Record, replayed: &Record) -> String {
    let Some(why) = &stored.why else { return String::new() };
    let Failure { guarantee, anomaly } = &why.failure;
    match why.failure.find_in(&replayed.judged) {
        Some(_) => format!("{anomaly} of {guarantee}, which it was shrunk for, is there again\n"),
        None => String::new(),
    }
}

fn comparison(stored: Option<&Record>, damage: Option<&StoreError>, replayed: &Record) -> String {
    let Some(stored) = stored else { return String::new() };
    let versions = (stored.program != replayed.program).then(|| {
        format!("it was stored by version {}; this is {}", stored.program, replayed.program)
    });
    let same = if stored.fingerprint == replayed.fingerprint {
        Some(match damage {
            Some(_) => "the same fingerprint as in run.json",
            None => "the same history as the stored one",
        })
    } else if history_stored(damage) == Some(&replayed.fingerprint) {
        Some("the same history as in history.jsonl; the fingerprint in run.json is not of it")
    } else {
        None
    };
    if let Some(same) = same {
        let also = versions.map_or_else(String::new, |versions| format!(": {versions}"));
        return format!("{}{same}{also}\n", again(stored, replayed));
    }
    let why = versions.unwrap_or_else(|| {
        "the system has changed since, or it is not deterministic: `doctor` tells".to_owned()
    });
    format!("NOT the history that was stored, which has {}: {why}\n", stored.fingerprint)
}

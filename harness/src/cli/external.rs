//! `stormglass external`: nodes in any language, over their standard input and output.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use checkers::{Anomaly, Guarantee, Verdict};
use serde::Serialize;

use super::Context;
use super::arguments::{in_flags, nemeses};
use super::output::interruption_saying;
use crate::campaign::Ending;
use crate::external::{
    Dialect, External, Launch, Limits, SYSTEM, WORKLOADS, does_nothing, orphans,
};
use crate::nemesis::NEMESES;
use crate::plan::Plan;
use crate::report;
use crate::report::brief::counted;
use crate::report::summary::shell_word;
use crate::run::{self, Conclusion, Options};
use crate::seed::Seed;
use crate::store::{Record, Store, free_name, processes_of};
use crate::system::{Claim, System};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The program that is a node.
    #[arg(long, value_name = "FILE")]
    bin: PathBuf,
    /// What clients ask, in Maelstrom's words: `lin-kv`, `g-set`, `broadcast`, `unique-ids`,
    /// `txn-list-append`, `echo`, `pn-counter`, `g-counter` or `kafka`.
    #[arg(long, value_name = "WORKLOAD", default_value = "lin-kv")]
    workload: String,
    /// How many nodes there are.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: u32,
    /// The seeds, one after the other.
    #[arg(long, value_name = "A..B", value_parser = super::arguments::seeds, default_value = "0..3")]
    seeds: Range<u64>,
    /// Let these plan the faults, or `none`. Unless it is said, `partition` and `loss`; `client-cut` for `echo`
    /// and `unique-ids`, whose nodes need not speak to each other; and `kill` where there is one node.
    #[arg(long, value_name = "NEMESIS", value_delimiter = ',')]
    nemeses: Option<Vec<String>>,
    /// How long faults last in all, from 1s to 1h.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    safety: Duration,
    /// How long nodes are asked after that, with all faults undone: something has to succeed then.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5s")]
    liveness: Duration,
    /// How many times faster than real time virtual time may pass: only for nodes without timers.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pace: u32,
    /// The most memory that a node may take, with the processes that it starts, in MiB.
    #[arg(long, value_name = "MIB", default_value = "2048", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    memory_max: u64,
    /// The most processes that a node may have.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..))]
    processes_max: u32,
    /// The most disk that the folder of a node may take, in MiB.
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    disk_max: u64,
    /// What the program is started with.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// What came of the runs.
#[derive(Serialize)]
struct Content {
    /// In Maelstrom's words; the plans of the runs name the workload that it is asked through.
    workload: &'static str,
    replays: &'static str,
    runs: Vec<Record>,
}

/// The nemeses of nodes that speak to each other, unless others are named: they end no process.
const USUAL: &[&str] = &["partition", "loss"];
/// Those of nodes that need not: most of what is lost is lost between nodes, where these say nothing.
const USUAL_APART: &[&str] = &["client-cut"];

/// What is said to whoever interrupts.
const STOPPING: &str = "this seed is run to its end; once more ends at once";

/// How far such runs replay.
const REPLAYS: &str = "the network and the faults replay exactly, the processes do not";

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let dialect = self.dialect()?;
        let program = self.bin.canonicalize();
        let program = program.with_context(|| format!("--bin {}", self.bin.display()))?;
        let plan = self.plan(dialect)?;
        let any = External::new(self.launch(&program, PathBuf::new()), dialect);
        plan.check_for(&any, &[]).map_err(|error| in_flags(error, &[("nemesis", "nemeses")]))?;
        let store = Store::open(&context.results)?;
        let interrupted = interruption_saying(STOPPING)?;
        orphans::adopt();
        let mut content = Content { workload: dialect.name, replays: REPLAYS, runs: Vec::new() };
        let mut text = String::new();
        let bar = context.output.progress("external");
        let asked = self.seeds.end - self.seeds.start;
        bar.set_length(asked);
        for seed in self.seeds.clone().map(Seed) {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let name = free_name(&context.results, &plan.name, seed)?;
            let left = processes_of(&context.results, &name, seed);
            let plan = Plan { name, ..plan.clone() };
            let launch = self.launch(&program, left.clone());
            let external = Arc::new(External::new(launch, dialect));
            let system: Arc<dyn System> = external.clone();
            let report = run::run(&system, &plan, seed, Options::default());
            let refusal = external.refusal();
            drop((system, external));
            orphans::end();
            if let Some(error) = refusal {
                // Nothing of it is of any use.
                let _ = fs::remove_dir_all(&left);
                bail!(
                    "--bin: {error}; a program is a file that may be executed, and a script begins \
                     with `#!` and what runs it"
                );
            }
            let conclusion = report.conclusion();
            let record = Record::of(&report);
            let words = report::run::conclusion(conclusion);
            let _ = writeln!(text, "seed {seed}: {words}\n  {}", report::run::amount(&record));
            text.push_str(&grievances(&record));
            if conclusion != Conclusion::Valid {
                let stored = store.save(&report)?;
                let stored = shell_word(&stored.display().to_string());
                let _ = writeln!(text, "  show: {} show {stored}", super::output::program());
            }
            let _ = writeln!(text, "  processes: {}", shell_word(&left.display().to_string()));
            content.runs.push(record);
            bar.inc(1);
        }
        bar.finish_and_clear();
        if asked == 0 {
            text.push_str("nothing ran: `--seeds` has no seed in it\n");
        } else {
            text.push_str(&self.advice(dialect, &plan, &content.runs));
            let _ = writeln!(text, "{REPLAYS}");
        }
        context.output.result("external", &content, || text)?;
        let worst = content.runs.iter().map(|record| record.conclusion).max();
        let worst = worst.map_or(Ending::NothingRan, Ending::from);
        let is_cut_short = (content.runs.len() as u64) < asked;
        Ok(if is_cut_short { Ending::Interrupted } else { worst }.code())
    }

    /// What runs did not test, and what would.
    fn advice(&self, dialect: &Dialect, plan: &Plan, runs: &[Record]) -> String {
        /// How long faults of a kind take to have their turn.
        const A_KIND: Duration = Duration::from_secs(4);
        let mut text = String::new();
        let needed = A_KIND * plan.nemeses.len() as u32;
        if runs.iter().any(|record| !record.vacuous.is_empty()) && self.safety < needed {
            let (kinds, seconds) = (plan.nemeses.len(), needed.as_secs());
            let _ = writeln!(
                text,
                "faults of {} need about {seconds} s: `--safety {seconds}s`",
                counted(kinds, "kind")
            );
        }
        let is_valid = |record: &Record| record.conclusion == Conclusion::Valid;
        let usual = USUAL.iter().chain(USUAL_APART);
        let keeps_all = plan.nemeses.iter().all(|name| usual.clone().any(|kept| kept == name));
        if !runs.is_empty() && runs.iter().all(is_valid) && keeps_all {
            text.push_str(
                "no process was killed: `--nemeses kill` tests what nodes keep when they start again\n",
            );
            let one_order = [Guarantee::Linearizable, Guarantee::StrictSerializable];
            let mut claims = dialect.claims.iter();
            if self.nodes > 1 && claims.any(|(guarantee, _)| one_order.contains(guarantee)) {
                text.push_str(
                    "no leader was cut off on purpose: `--nemeses leader-with-minority` tests what one answers \
                     that leads no longer\n",
                );
            }
        }
        text
    }

    /// How the processes of one run are started, which leave what they leave in a folder.
    fn launch(&self, program: &Path, folder: PathBuf) -> Launch {
        Launch {
            program: program.to_owned(),
            arguments: self.arguments.clone(),
            folder,
            pace: self.pace,
            limits: Limits {
                memory_max: self.memory_max << 20,
                processes_max: self.processes_max,
                disk_max: self.disk_max << 20,
            },
        }
    }

    fn dialect(&self) -> anyhow::Result<&'static Dialect> {
        let named = WORKLOADS.iter().find(|dialect| dialect.name == self.workload);
        let Some(dialect) = named else {
            let known: Vec<&str> = WORKLOADS.iter().map(|dialect| dialect.name).collect();
            bail!("no workload is called `{}`; there are {}", self.workload, known.join(", "));
        };
        Ok(dialect)
    }

    fn plan(&self, dialect: &Dialect) -> anyhow::Result<Plan> {
        let mut plan = Plan::new(format!("external-{}", dialect.name), SYSTEM);
        External::prepare(&mut plan, dialect);
        plan.nodes = vec![self.nodes];
        plan.clients = [self.nodes.max(2), self.nodes.max(2) * 2];
        let usual: &[&str] = match (self.nodes, dialect.is_apart) {
            (1, _) => &["kill"],
            (_, true) => USUAL_APART,
            (_, false) => USUAL,
        };
        let usual = || usual.iter().copied().map(str::to_owned).collect();
        plan.nemeses = nemeses(&self.nemeses.clone().unwrap_or_else(usual))?;
        (plan.safety, plan.liveness) = (self.safety, self.liveness);
        let known = || {
            let names = NEMESES.iter().map(|entry| entry.name);
            names.filter(|name| !does_nothing(name)).collect::<Vec<_>>().join(", ")
        };
        for name in &plan.nemeses {
            let Some(entry) = NEMESES.iter().find(|entry| entry.name == name) else {
                bail!("--nemeses: none is called `{name}`; for processes, there are {}", known());
            };
            if does_nothing(entry.name) {
                bail!(
                    "--nemeses: `{name}` does nothing to processes; for them, there are {}",
                    known()
                );
            }
            let fewest = entry.nemesis.fewest_nodes();
            if self.nodes < fewest {
                let few = self.nodes;
                bail!(
                    "--nodes {few}: `{name}` needs {fewest} or more: `--nodes {fewest}`, or `--nemeses kill`"
                );
            }
        }
        Ok(plan)
    }
}

/// What is wrong with a run: its anomalies of what is claimed, what could not be judged, and why it proves nothing.
fn grievances(record: &Record) -> String {
    let mut text = String::new();
    let mut first: Vec<&Anomaly> = Vec::new();
    for judged in record.judged.iter().filter(|judged| judged.claim == Claim::Holds) {
        first.extend(judged.verdict.anomalies().first());
        if let Verdict::Unknown { reason, .. } = &judged.verdict {
            let (guarantee, reason) = (judged.guarantee, report::escape::line(reason));
            let _ = writeln!(text, "  {guarantee} is not known: {reason}");
        }
        if let Some(open) = &judged.verdict.coverage().open {
            let (guarantee, open) = (judged.guarantee, report::escape::line(open));
            let _ = writeln!(text, "  {guarantee}, not judged: {open}");
        }
    }
    // What came first may be why the rest came about.
    first.sort_by_key(|anomaly| anomaly.at);
    first.iter().for_each(|anomaly| text.push_str(&report::run::explanation(anomaly)));
    for reason in &record.vacuous {
        let _ = writeln!(text, "  it proves nothing: {}", report::escape::line(reason));
    }
    text
}

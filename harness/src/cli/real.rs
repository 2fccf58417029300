//! `stormglass real`: servers as they are shipped, as real processes on a real network.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use checkers::Guarantee;
use checkers::history::Time;

use super::Context;
use super::arguments::{in_flags, nemeses};
use super::output::{on_interruption, program};
use super::probe::table;
use crate::campaign::Ending;
use crate::engine::Engine;
use crate::nemesis::NEMESES;
use crate::plan::Plan;
use crate::real::enclosure::{self, Inside};
use crate::real::probe::{probe, programs};
use crate::real::system::{Registration, SYSTEMS, named};
use crate::real::{Programs, Request, run};
use crate::report;
use crate::report::escape;
use crate::report::summary::shell_word;
use crate::seed::Seed;
use crate::store::{Record, Store, processes_of};

/// The flags that are called otherwise than the settings of the plan.
const FLAGS: &[(&str, &str)] = &[("safety", "time"), ("nemesis", "nemeses")];
/// What is said when somebody presses Ctrl-C for the first time.
const INTERRUPTED: &str = "interrupted: all faults end now, and what was seen until then is judged; a second Ctrl-C ends \
    the run at once, and nothing is stored";
/// What is said of one that proves nothing.
const LONGER: &str = "a longer `--time` gives every nemesis its turn";
/// What is said of every such run.
const LABEL: &str = "real processes in wall-clock time: the run does not replay";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The system: `etcd`, `redis-sentinel` or `reference-db`.
    #[arg(long, value_name = "SYSTEM")]
    system: String,
    /// How many nodes there are.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: u32,
    /// How long faults last in all, from 1s to 1h; `--safety`, as with `external`, is the same.
    #[arg(long, alias = "safety", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    time: Duration,
    /// How many clients there are.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
    /// How many operations clients begin a second, over all of them; without it, each draws its pauses.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// What clients do, as `list` names it.
    #[arg(long, value_name = "WORKLOAD", default_value = "register")]
    workload: String,
    /// Let these plan the faults, or `none`.
    #[arg(
        long,
        value_name = "NEMESIS",
        value_delimiter = ',',
        default_value = "partition,kill,pause"
    )]
    nemeses: Vec<String>,
    /// The seed: of the schedule of faults, and of what clients ask.
    #[arg(long, default_value = "0")]
    seed: Seed,
    /// The folder with the programs of the system, or the program itself; otherwise they are on the path, or beside
    /// this program.
    #[arg(long, visible_alias = "bin-dir", value_name = "PATH")]
    binary: Option<PathBuf>,
    /// How the reference store replicates: `raft`, `primary-sync` and so on.
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How strong reads are done: by etcd `linearizable` or `serializable`; by the reference store in mode `raft`,
    /// `read-index`, `lease`, `follower` or `stale`.
    #[arg(long, value_name = "READS")]
    reads: Option<String>,
    /// Hold the system against these guarantees, whatever it says of itself.
    #[arg(long, value_name = "GUARANTEE", value_delimiter = ',', value_parser = guarantee)]
    claim: Vec<Guarantee>,
    /// This process is in namespaces of its own already.
    #[arg(long, hide = true)]
    inside: bool,
}

fn guarantee(name: &str) -> Result<Guarantee, String> {
    let known = || Guarantee::ALL.iter().map(|guarantee| guarantee.name()).collect::<Vec<_>>();
    let found = Guarantee::ALL.iter().find(|guarantee| guarantee.name() == name);
    found.copied().ok_or_else(|| format!("there are {}", known().join(", ")))
}

/// The system of a name.
pub(super) fn registration(name: &str) -> anyhow::Result<&'static Registration> {
    let known = || SYSTEMS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    named(name).with_context(|| format!("--system: none is called `{name}`; there are {}", known()))
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let entry = registration(&self.system)?;
        if self.inside {
            let is_cut_short = enclosure::settle()?;
            let programs = programs(&[entry], self.binary.as_deref());
            let request = self.request(context, entry, programs)?;
            return Ok(enclosure::of_ending(self.run(context, request, is_cut_short)?));
        }
        let needs = probe(&[entry], self.binary.as_deref());
        let programs = programs(&[entry], self.binary.as_deref());
        self.request(context, entry, programs.clone())?;
        if needs.iter().any(|need| !need.found) {
            context.output.note(&table(&needs));
            return Ok(Ending::NothingRan.code());
        }
        let mut seen = programs.values().chain([&context.results]);
        if let Some(path) = seen.find(|path| enclosure::hides(path)) {
            bail!(
                "{} is below /run, which a run has for itself: move it elsewhere",
                path.display()
            );
        }
        Store::open(&context.results)?;
        let inside = std::env::args_os().skip(1).chain(["--inside".into()]);
        let inside = Inside::start(inside).context("cannot start in namespaces of its own")?;
        let (output, mut end) = (context.output, inside.end());
        let interrupt = move || {
            if end() {
                output.note(INTERRUPTED);
            }
        };
        on_interruption(interrupt)?;
        Ok(inside.wait().unwrap_or_else(|error| nothing_ran(context, &error)))
    }

    /// The run itself.
    fn run(
        &self,
        context: &Context,
        request: Request,
        is_cut_short: Arc<AtomicBool>,
    ) -> anyhow::Result<u8> {
        let store = Store::open(&context.results)?;
        let bar = context.output.progress("real");
        bar.set_length((request.plan.safety + request.plan.liveness).as_secs());
        let watch = |now: Time| bar.set_position(now.since_start().as_secs());
        let report = match run(request, is_cut_short.clone(), &watch) {
            Ok(report) => report,
            Err(error) => {
                bar.finish_and_clear();
                return Ok(nothing_ran(context, &error));
            }
        };
        bar.finish_and_clear();
        let stored = store.save(&report);
        let logs = processes_of(&context.results, &report.plan.name, report.seed);
        let record = Record::of(&report);
        context.output.result("real", &record, || {
            let mut text = report::run::terminal(&record);
            let _ = writeln!(text, "{LABEL}");
            if !record.vacuous.is_empty() && !is_cut_short.load(Ordering::Relaxed) {
                let _ = writeln!(text, "{LONGER}");
            }
            let _ =
                writeln!(text, "logs of the nodes: {}", shell_word(&logs.display().to_string()));
            if let Ok(folder) = &stored {
                let folder = shell_word(&folder.display().to_string());
                let _ = writeln!(text, "show: {} show {folder}", program());
            }
            text
        })?;
        stored.context("the verdict stands, but the run is not stored")?;
        let ending = Ending::from(record.conclusion);
        let is_interrupted = is_cut_short.load(Ordering::Relaxed) && ending != Ending::Violated;
        let ending = if is_interrupted { Ending::Interrupted } else { ending };
        Ok(ending.code())
    }

    /// What is to be run, held against what there is.
    fn request(
        &self,
        context: &Context,
        entry: &Registration,
        programs: Programs,
    ) -> anyhow::Result<Request> {
        let mut plan = self.plan()?;
        let server = (entry.build)(&plan.settings).map_err(|words| anyhow!(words))?;
        // Twice the time that it takes to fail over: something is to be seen after that.
        let failover = server.manifest(&plan.families()).timing.failover;
        plan.liveness = failover * 2 + Duration::from_secs(1);
        let (seed, rate, claims) = (self.seed, self.rate, self.claim.clone());
        let results = context.results.clone();
        let request = Request { server, plan, seed, rate, claims, programs, results };
        let can = NEMESES.iter().filter(|entry| entry.engines.contains(&Engine::Real));
        let can: Vec<&str> = can.map(|entry| entry.name).collect();
        if let Some(name) = request.plan.nemeses.iter().find(|name| !can.contains(&&***name)) {
            let can = can.join(", ");
            if NEMESES.iter().any(|entry| entry.name == name) {
                bail!(
                    "--nemeses: `{name}` is nothing that can be done to real processes; there are {can}"
                );
            }
            bail!("--nemeses: none is called `{name}`; there are {can}");
        }
        request.plan.check_real(&request.manifest()).map_err(|error| in_flags(error, FLAGS))?;
        // What needs virtual time, or a bound that nobody has said, is judged of no real run.
        let other = [Guarantee::Available, Guarantee::BoundedStaleness];
        let judged = request.plan.workload().guarantees().iter();
        let judged: Vec<&Guarantee> = judged.filter(|judged| !other.contains(judged)).collect();
        if let Some(claim) = self.claim.iter().find(|claim| !judged.contains(claim)) {
            let known: Vec<String> = judged.iter().map(ToString::to_string).collect();
            bail!(
                "--claim: {claim} is not judged in real runs of the workload `{}`; there are {}",
                self.workload,
                known.join(", ")
            );
        }
        Ok(request)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let mut plan = Plan::new(format!("real-{}", self.system), &*self.system);
        plan.workload.clone_from(&self.workload);
        plan.nemeses = nemeses(&self.nemeses)?;
        plan.nodes = vec![self.nodes];
        plan.clients = [self.clients; 2];
        plan.safety = self.time;
        for (name, value) in [("mode", &self.mode), ("reads", &self.reads)] {
            plan.settings.extend(value.clone().map(|value| (name.to_owned(), value.into())));
        }
        Ok(plan)
    }
}

/// Says why no run came of it. What is returned is the exit code.
fn nothing_ran(context: &Context, error: &io::Error) -> u8 {
    context.output.note(&format!("error: {}", escape::terminal(&error.to_string())));
    match error.kind() {
        io::ErrorKind::Interrupted => Ending::Interrupted.code(),
        _ => Ending::NothingRan.code(),
    }
}

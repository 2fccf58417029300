//! Why replicate, and at what price: what each mode gains and pays, measured in virtual time.
//!
//! Kleppmann, "Designing Data-Intensive Applications" (2017), chapter 5, names three reasons to keep
//! several copies: to be near to users (latency), to go on when machines fail (availability), and to
//! read from more machines (throughput). [`measure`] runs every plan in three ways, one for each reason:
//! [`latency`] in the regions of the plan, [`faults`] under one fault at a time, and [`throughput`]
//! against the number of nodes, where each node is busy for a while with each message. Time is virtual:
//! the same plan and seeds give the same figures everywhere.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use checkers::history::{History, Op, Operation, Outcome, ReadLevel, Time};
use rayon::prelude::*;
use serde::Serialize;

use crate::campaign::{Entry, Progress};
use crate::config::Config;
use crate::nemesis::Schedule;
use crate::run::{self, Conclusion, Options};
use crate::seed::Seed;

pub mod faults;
pub mod latency;
pub mod throughput;

pub use faults::UnderFault;
pub use latency::Latency;
pub use throughput::Throughput;

/// What every plan gains and pays.
#[derive(Clone, Debug, Serialize)]
pub struct Tradeoffs {
    /// One for each plan.
    pub modes: Vec<Mode>,
    /// How many runs there were.
    pub runs: u64,
    /// How many operations they did.
    pub operations: u64,
    /// Runs that broke what their system claims: plan and seed of each.
    pub violations: Vec<(String, Seed)>,
}

/// What one plan gains and pays.
#[derive(Clone, Debug, Serialize)]
pub struct Mode {
    /// The plan.
    pub plan: String,
    /// Its system.
    pub system: String,
    /// What the system is, in a sentence.
    pub about: String,
    /// How long operations take, by region and sort; empty where the plan has no regions.
    pub latency: Vec<Latency>,
    /// What each fault does.
    pub faults: Vec<UnderFault>,
    /// How many reads are answered in a second, by the number of nodes.
    pub throughput: Vec<Throughput>,
}

/// What an operation is, for whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// It changes something.
    Write,
    /// A read as strong as the mode offers.
    Read,
    /// A read of whatever some replica holds.
    ReplicaRead,
}

impl Sort {
    /// Every sort, in the order of tables.
    pub const ALL: [Sort; 3] = [Sort::Write, Sort::Read, Sort::ReplicaRead];

    /// The sort of an operation.
    pub fn of(operation: &Operation<'_>) -> Sort {
        match operation.op {
            Op::Read { level: ReadLevel::Replica, .. } => Sort::ReplicaRead,
            op if op.kind().writes() => Sort::Write,
            _ => Sort::Read,
        }
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Write => "writes",
            Sort::Read => "reads",
            Sort::ReplicaRead => "replica reads",
        }
    }
}

/// A reason to keep several copies, and what is measured for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// To be near to users.
    Latency,
    /// To go on when something fails.
    Availability,
    /// To read from more machines.
    Throughput,
}

impl Reason {
    /// Every reason, with the name in flags.
    pub const ALL: [(&'static str, Reason); 3] = [
        ("latency", Reason::Latency),
        ("availability", Reason::Availability),
        ("throughput", Reason::Throughput),
    ];
}

/// One run, and what it is for.
enum Job {
    Latency,
    Fault(usize),
    Throughput { nodes: u32, replica: bool },
}

/// What one run came to.
enum Sample {
    Latency(latency::Sample),
    Fault(usize, faults::Sample),
    Throughput { nodes: u32, replica: bool, reads_a_second: u64 },
}

/// Measures every plan with each seed, for some reasons, on all cores. `watch` hears how far it is, from
/// several threads; nothing is returned where `stop` turned true before the end.
///
/// # Panics
/// If a plan was not [checked](crate::plan::Plan::check).
pub fn measure(
    entries: &[Entry],
    seeds: &Range<u64>,
    reasons: &[Reason],
    stop: &AtomicBool,
    watch: &(dyn Fn(Progress) + Sync),
) -> Option<Tradeoffs> {
    let jobs: Vec<(usize, Job, Seed)> = (0..entries.len())
        .flat_map(|index| seeds.clone().map(move |seed| (index, Seed(seed))))
        .flat_map(|(index, seed)| {
            jobs(&entries[index], reasons).into_iter().map(move |job| (index, job, seed))
        })
        .collect();
    let done = AtomicU64::new(0);
    let of = jobs.len() as u64;
    let ran: Option<Vec<Ran>> = jobs
        .into_par_iter()
        .map(|(entry, job, seed)| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let ran = perform(entry, &entries[entry], &job, seed);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            watch(Progress { done, of, failures: 0 });
            Some(ran)
        })
        .collect();
    let ran = ran?;
    let broke = |ran: &&Ran| ran.broke;
    let of_plan = |ran: &Ran| (entries[ran.entry].plan.name.clone(), ran.seed);
    let violations = ran.iter().filter(broke).map(of_plan).collect();
    let operations = ran.iter().map(|ran| ran.operations).sum();
    let mut samples: Vec<Vec<Sample>> = entries.iter().map(|_| Vec::new()).collect();
    ran.into_iter().for_each(|ran| samples[ran.entry].push(ran.sample));
    let modes = entries.iter().zip(samples).map(|(entry, samples)| mode(entry, samples));
    Some(Tradeoffs { modes: modes.collect(), runs: of, operations, violations })
}

/// A run that is over.
struct Ran {
    /// The plan, by its place among those that are measured.
    entry: usize,
    seed: Seed,
    sample: Sample,
    operations: u64,
    /// Whether it broke what its system claims.
    broke: bool,
}

/// All runs of one seed of a plan.
fn jobs(entry: &Entry, reasons: &[Reason]) -> Vec<Job> {
    let (fewest, most) = entry.system.manifest().nodes;
    let mut jobs = Vec::new();
    if reasons.contains(&Reason::Latency) && entry.plan.regions.is_some() {
        jobs.push(Job::Latency);
    }
    if reasons.contains(&Reason::Availability) {
        jobs.extend((0..faults::FAULTS.len()).map(Job::Fault));
    }
    if reasons.contains(&Reason::Throughput) {
        for nodes in throughput::NODES.filter(|nodes| (fewest..=most).contains(nodes)) {
            jobs.extend([false, true].map(|replica| Job::Throughput { nodes, replica }));
        }
    }
    jobs
}

fn perform(index: usize, entry: &Entry, job: &Job, seed: Seed) -> Ran {
    let manifest = entry.system.manifest();
    let mut plan = entry.plan.clone();
    plan.nemeses.clear();
    plan.faults.clear();
    let mut config = Config::draw(&plan, &manifest, seed);
    let mut schedule = Schedule::default();
    match *job {
        Job::Latency => latency::prepare(&mut config, manifest.nodes),
        Job::Fault(index) => {
            faults::prepare(&mut config, manifest.nodes);
            schedule = faults::schedule(&faults::FAULTS[index], seed);
        }
        Job::Throughput { nodes, replica } => throughput::prepare(&mut config, nodes, replica),
    }
    // Which claims hold depends on it.
    plan.replica_reads_percent = config.replica_reads_percent;
    let options = Options { config: Some(config), schedule: Some(schedule), ..Options::default() };
    let report = run::run(&entry.system, &plan, seed, options);
    let sample = match *job {
        Job::Latency => Sample::Latency(latency::sample(&report)),
        Job::Fault(index) => Sample::Fault(index, faults::sample(&report)),
        Job::Throughput { nodes, replica } => {
            let reads_a_second = throughput::sample(&report.history);
            Sample::Throughput { nodes, replica, reads_a_second }
        }
    };
    let (operations, broke) =
        (report.counts.operations(), report.conclusion() == Conclusion::Invalid);
    Ran { entry: index, seed, sample, operations, broke }
}

fn mode(entry: &Entry, samples: Vec<Sample>) -> Mode {
    let (mut latencies, mut under, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for sample in samples {
        match sample {
            Sample::Latency(sample) => latencies.push(sample),
            Sample::Fault(index, sample) => under.push((index, sample)),
            Sample::Throughput { nodes, replica, reads_a_second } => {
                rates.push((nodes, replica, reads_a_second));
            }
        }
    }
    let manifest = entry.system.manifest();
    Mode {
        plan: entry.plan.name.clone(),
        system: manifest.name,
        about: manifest.about,
        latency: latency::sum_up(latencies),
        faults: faults::sum_up(under),
        throughput: throughput::sum_up(&rates),
    }
}

/// The operations of clients, and not the reads at the end.
fn of_clients(history: &History, end: Time) -> impl Iterator<Item = Operation<'_>> {
    history.operations().filter(move |operation| operation.invoked_at < end)
}

/// How long an operation took, if it took effect.
fn took(operation: &Operation<'_>) -> Option<Duration> {
    let is_ok = matches!(operation.outcome, Some(Outcome::Ok(_)));
    operation.completed_at.filter(|_| is_ok).map(|at| at.since(operation.invoked_at))
}

/// The value that so many of 100 do not exceed, by nearest rank, in a sorted list.
fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// The half and the greatest of some lengths of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half of them are at most so long, in nanoseconds.
    #[serde(serialize_with = "as_nanos")]
    pub median: Duration,
    /// None is longer.
    #[serde(serialize_with = "as_nanos")]
    pub longest: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Spread {
        times.sort_unstable();
        let median = percentile(&times, 50).unwrap_or_default();
        Spread { median, longest: times.last().copied().unwrap_or_default() }
    }
}

fn as_nanos<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

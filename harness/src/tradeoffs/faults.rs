//! What one fault does to those who read and write meanwhile: how many are served, how long nothing is
//! written, what is lost, how old replica reads become.

use std::time::Duration;

use checkers::checker::staleness;
use checkers::history::{FaultId, Op, Outcome, ReadLevel, Time};
use serde::Serialize;

use super::{Sort, Spread, as_nanos, of_clients, percentile};
use crate::config::Config;
use crate::nemesis::{Fault, Planned, Schedule, Shape, Target};
use crate::rhythm::Pace;
use crate::run::Report;
use crate::seed::Seed;

/// When the fault begins.
const BEGIN: Duration = Duration::from_secs(5);
/// How long it lasts.
pub const LASTS: Duration = Duration::from_secs(5);
/// How long what comes after it is watched.
pub const AFTER: Duration = Duration::from_secs(4);
/// The size of the cluster, where the system runs with it.
pub const NODES: u32 = 5;

/// The faults that are tried, and their names.
pub const FAULTS: [(&str, Option<Fault>); 9] = [
    ("none", None),
    ("leader loses power", Some(Fault::Crash { target: Target::Leader })),
    ("follower loses power", Some(Fault::Crash { target: Target::Follower })),
    ("minority loses power", Some(Fault::Crash { target: Target::Minority })),
    ("majority loses power", Some(Fault::Crash { target: Target::Majority })),
    ("leader cut off", Some(Fault::Partition { shape: Shape::Isolate { target: Target::Leader } })),
    (
        "leader hears nothing",
        Some(Fault::Partition { shape: Shape::Deaf { target: Target::Leader } }),
    ),
    ("two halves", Some(Fault::Partition { shape: Shape::Halves {} })),
    (
        "leader far away",
        Some(Fault::Delay {
            shape: Shape::Isolate { target: Target::Leader },
            longest: Duration::from_millis(300),
        }),
    ),
];

/// What one fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnderFault {
    /// The fault, in words.
    pub fault: String,
    /// For each sort of operations, those that took effect, and those that were tried, while it lasted.
    pub served: Vec<Served>,
    /// The longest time without an acknowledged write, from its beginning to some seconds after its end,
    /// over all runs.
    pub without_writes: Spread,
    /// Acknowledged writes that were lost, in all runs.
    pub lost_writes: usize,
    /// Runs in which any was lost.
    pub runs_with_losses: usize,
    /// How many runs there were.
    pub runs: usize,
    /// 99 of 100 replica reads were behind by at most this time, in nanoseconds.
    #[serde(serialize_with = "as_nanos")]
    pub stale_p99: Duration,
    /// Of 1000 replica reads, how many missed an acknowledged write.
    pub stale_of_1000: usize,
}

/// How many operations of one sort were served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// What they do.
    pub sort: Sort,
    /// Those that took effect.
    pub ok: usize,
    /// Those that were tried.
    pub tried: usize,
}

/// What one run came to.
pub(super) struct Sample {
    served: Vec<Served>,
    without_writes: Duration,
    lost_writes: usize,
    /// By how much each replica read was behind.
    behind: Vec<Duration>,
}

/// Near to each other, and busy.
pub(super) fn prepare(config: &mut Config, (fewest, most): (u32, u32)) {
    config.nodes = NODES.clamp(fewest, most);
    config.clients = 15;
    config.pinned = 5;
    config.replica_reads_percent = 50;
    // So many that a write that is lost is not soon replaced by another, and stays to be seen.
    config.keys = 400;
    config.operations_a_key_set = 1_000_000;
    config.regions = None;
    config.tick = Duration::from_millis(5);
    config.latency_max = Duration::from_millis(15);
    config.pace = Pace::Closed;
    config.think_max = Duration::from_millis(200);
    config.safety = BEGIN + LASTS + AFTER;
    config.liveness = Duration::from_secs(1);
}

/// The fault of a run, by itself.
pub(super) fn schedule((_, fault): &(&str, Option<Fault>), seed: Seed) -> Schedule {
    let planned = fault.map(|fault| Planned {
        id: FaultId(0),
        at: Time::ZERO + BEGIN,
        until: Time::ZERO + BEGIN + LASTS,
        fault,
        salt: seed.stream("tradeoffs").number(),
        after: None,
        scripted: false,
    });
    Schedule(planned.into_iter().collect())
}

pub(super) fn sample(report: &Report) -> Sample {
    let (begin, end) = (Time::ZERO + BEGIN, Time::ZERO + BEGIN + LASTS);
    let history = &report.history;
    let mut served = Sort::ALL.map(|sort| Served { sort, ok: 0, tried: 0 });
    let mut writes = Vec::new();
    for operation in of_clients(history, end + AFTER) {
        let is_ok = matches!(operation.outcome, Some(Outcome::Ok(_)));
        let sort = Sort::of(&operation);
        if (begin..end).contains(&operation.invoked_at)
            && let Some(served) = served.iter_mut().find(|served| served.sort == sort)
        {
            served.tried += 1;
            // A compare-and-set that finds another value is served as well.
            served.ok += usize::from(operation.was_served());
        }
        writes.extend(operation.completed_at.filter(|_| sort == Sort::Write && is_ok));
    }
    let replica = staleness::lags(history).into_iter().filter(|lag| {
        let read = history.operation(lag.read);
        matches!(read.op, Op::Read { level: ReadLevel::Replica, .. })
            && (begin..end).contains(&read.invoked_at)
    });
    Sample {
        served: served.to_vec(),
        without_writes: longest_gap(writes, begin, end + AFTER),
        lost_writes: report.facts.losses.as_ref().map_or(0, |losses| losses.writes.len()),
        behind: replica.map(|lag| lag.time).collect(),
    }
}

/// The longest time within two moments in which none of these falls.
fn longest_gap(mut moments: Vec<Time>, begin: Time, end: Time) -> Duration {
    moments.retain(|moment| (begin..end).contains(moment));
    moments.extend([begin, end]);
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}

pub(super) fn sum_up(samples: Vec<(usize, Sample)>) -> Vec<UnderFault> {
    let mut sums = Vec::new();
    if samples.is_empty() {
        // It was not asked for.
        return sums;
    }
    for (index, (name, _)) in FAULTS.iter().enumerate() {
        let of_fault = || samples.iter().filter(|(of, _)| *of == index).map(|(_, sample)| sample);
        let mut served = Sort::ALL.map(|sort| Served { sort, ok: 0, tried: 0 });
        for one in of_fault().flat_map(|sample| &sample.served) {
            let sum = served.iter_mut().find(|sum| sum.sort == one.sort);
            let sum = sum.expect("every sort has a sum");
            sum.ok += one.ok;
            sum.tried += one.tried;
        }
        let mut behind: Vec<Duration> =
            of_fault().flat_map(|sample| sample.behind.iter().copied()).collect();
        behind.sort_unstable();
        let stale = behind.iter().filter(|time| !time.is_zero()).count();
        sums.push(UnderFault {
            fault: (*name).to_owned(),
            served: served.to_vec(),
            without_writes: Spread::of(of_fault().map(|sample| sample.without_writes).collect()),
            lost_writes: of_fault().map(|sample| sample.lost_writes).sum(),
            runs_with_losses: of_fault().filter(|sample| sample.lost_writes > 0).count(),
            runs: of_fault().count(),
            stale_p99: percentile(&behind, 99).unwrap_or_default(),
            stale_of_1000: (stale * 1000).checked_div(behind.len()).unwrap_or(0),
        });
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_begins_and_ends_with_what_is_looked_at() {
        let at = Time::from_millis;
        let gap = |moments: &[u64], begin, end| {
            let moments = moments.iter().map(|ms| at(*ms)).collect();
            longest_gap(moments, at(begin), at(end)).as_millis()
        };
        assert_eq!(gap(&[], 10, 50), 40);
        assert_eq!(gap(&[5, 12, 30, 49, 90], 10, 50), 19);
        assert_eq!(gap(&[30], 10, 50), 20);
    }
}

//! How long operations take, for clients of each region.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{NodeId, Time};
use serde::Serialize;

use super::{Sort, as_nanos, of_clients, percentile, took};
use crate::config::Config;
use crate::rhythm::Pace;
use crate::run::Report;

/// Clients of each region.
const CLIENTS_A_REGION: u32 = 4;

/// How long operations of one sort take for the clients of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The region, from 1 on.
    pub region: usize,
    /// What they do.
    pub sort: Sort,
    /// How many took effect.
    pub count: usize,
    /// Half of them took at most so long, in nanoseconds.
    #[serde(serialize_with = "as_nanos")]
    pub p50: Duration,
    /// 99 of 100 took at most so long.
    #[serde(serialize_with = "as_nanos")]
    pub p99: Duration,
}

/// How long each operation of a region and sort took.
pub(super) type Sample = BTreeMap<(usize, Sort), Vec<Duration>>;

/// One node a region, as far as the system runs with so few, and clients that stay at theirs.
pub(super) fn prepare(config: &mut Config, (fewest, most): (u32, u32)) {
    let regions = regions(config) as u32;
    config.nodes = regions.clamp(fewest, most);
    config.clients = CLIENTS_A_REGION * regions;
    config.pinned = config.clients;
    config.replica_reads_percent = 50;
    config.pace = Pace::Closed;
    config.think_max = Duration::from_millis(50);
}

fn regions(config: &Config) -> usize {
    config.regions.as_ref().map_or(1, Vec::len)
}

pub(super) fn sample(report: &Report) -> Sample {
    // The cluster gets as long as it takes to find its leader.
    let begin = Time::ZERO + report.config.safety / 4;
    let end = Time::ZERO + report.config.safety;
    let regions = regions(&report.config);
    let mut sample = Sample::new();
    for operation in of_clients(&report.history, end).filter(|one| one.invoked_at >= begin) {
        let node = operation.node.unwrap_or(NodeId(1));
        if let Some(took) = took(&operation) {
            let region = (node.index() - 1) % regions + 1;
            sample.entry((region, Sort::of(&operation))).or_default().push(took);
        }
    }
    sample
}

pub(super) fn sum_up(samples: Vec<Sample>) -> Vec<Latency> {
    let mut all = Sample::new();
    for (key, mut times) in samples.into_iter().flatten() {
        all.entry(key).or_default().append(&mut times);
    }
    let sums = all.into_iter().filter_map(|((region, sort), mut times)| {
        times.sort_unstable();
        let (p50, p99) = (percentile(&times, 50)?, percentile(&times, 99)?);
        Some(Latency { region, sort, count: times.len(), p50, p99 })
    });
    sums.collect()
}

//! How many reads a cluster answers, against the number of its nodes.
//!
//! A node is busy for a while with each message that it receives; more clients than one node can serve
//! read as fast as they are answered. What grows with the number of nodes is what does not have to pass
//! through one of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use checkers::history::{History, OpKind, Time};
use serde::Serialize;

use super::{Sort, of_clients, percentile, took};
use crate::config::Config;
use crate::rhythm::Pace;

/// The sizes that are tried, of those that the system runs with.
pub(super) const NODES: RangeInclusive<u32> = 1..=7;
/// How long a node is busy with each message.
pub const MESSAGE_COST: Duration = Duration::from_micros(500);
const CLIENTS: u32 = 84;
/// From when to when the answers are counted. Before that, the cluster finds its leader.
const COUNTED: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(5)];

/// How many reads are answered in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Throughput {
    /// How many nodes there are.
    pub nodes: u32,
    /// Reads as strong as the mode offers: half of the runs answered at most so many.
    pub reads_a_second: u64,
    /// The same of reads of what some replica holds.
    pub replica_reads_a_second: u64,
}

/// Clients that read without pause, and write now and then.
pub(super) fn prepare(config: &mut Config, nodes: u32, replica: bool) {
    config.nodes = nodes;
    // As many clients at each node.
    config.clients = CLIENTS.next_multiple_of(nodes).min(100 / nodes * nodes);
    config.pinned = config.clients;
    config.keys = 50;
    config.regions = None;
    config.tick = Duration::from_millis(1);
    config.latency_max = Duration::from_millis(1);
    config.sync_max = Duration::ZERO;
    config.pace = Pace::Closed;
    config.think_max = Duration::ZERO;
    config.message_cost = MESSAGE_COST;
    config.replica_reads_percent = if replica { 100 } else { 0 };
    config.safety = COUNTED[1];
    config.liveness = Duration::from_secs(1);
    let writes = config.mix.keys().copied().find(|kind| *kind != OpKind::Read && kind.writes());
    config.mix = [(OpKind::Read, 98)].into_iter().chain(writes.map(|kind| (kind, 2))).collect();
}

/// Reads that were answered, in a second.
pub(super) fn sample(history: &History) -> u64 {
    let [begin, end] = COUNTED.map(|time| Time::ZERO + time);
    let reads = of_clients(history, end).filter(|operation| {
        let counts = operation.completed_at.is_some_and(|at| (begin..end).contains(&at));
        counts && Sort::of(operation) != Sort::Write && took(operation).is_some()
    });
    reads.count() as u64 / (COUNTED[1] - COUNTED[0]).as_secs()
}

pub(super) fn sum_up(rates: &[(u32, bool, u64)]) -> Vec<Throughput> {
    let median = |nodes: u32, replica: bool| {
        let mut of_size: Vec<u64> = rates
            .iter()
            .filter(|(of, reads, _)| *of == nodes && *reads == replica)
            .map(|(_, _, rate)| *rate)
            .collect();
        of_size.sort_unstable();
        percentile(&of_size, 50)
    };
    let sizes = NODES.filter_map(|nodes| {
        Some(Throughput {
            nodes,
            reads_a_second: median(nodes, false)?,
            replica_reads_a_second: median(nodes, true)?,
        })
    });
    sizes.collect()
}

//! All faults of a run, drawn from its seed.

use serde::{Deserialize, Serialize};

use super::{NEMESES, Planned, Scope};
use crate::config::Config;
use crate::plan::Plan;
use crate::seed::Seed;
use checkers::history::{FaultId, Time};
use std::time::Duration;

/// The faults of a run, by the time at which they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Planned>);

/// Plans the faults of a run.
///
/// Each nemesis draws from a stream of its own and fills the safety phase with faults, one after
/// the other, a calm between; faults of different nemeses may overlap. Every fault is undone before
/// the safety phase ends.
pub fn plan(plan: &Plan, config: &Config, seed: Seed, failover: Duration) -> Schedule {
    let scope = Scope { nodes: config.nodes, failover };
    let end = Time::ZERO + config.safety;
    let mut planned = Vec::new();
    for entry in NEMESES.iter().filter(|entry| plan.nemeses.iter().any(|name| name == entry.name)) {
        let mut stream = seed.stream(&format!("nemesis/{}", entry.name));
        let calm_max = config.calm_max.as_millis() as u64;
        // The cluster gets as long as it takes to elect its first leader.
        let mut at = Time::ZERO + failover;
        loop {
            at = at + Duration::from_millis(stream.between(0, calm_max));
            let (fault, lasts) = entry.nemesis.draw(&mut stream, &scope);
            let salt = stream.number();
            let until = at + lasts;
            if until >= end {
                break;
            }
            planned.push(Planned { id: FaultId(0), at, until, fault, salt });
            at = until;
        }
    }
    // The sort is stable: faults of one moment stay in the order of the table.
    planned.sort_by_key(|fault| fault.at);
    for (index, fault) in planned.iter_mut().enumerate() {
        fault.id = FaultId(index as u32);
    }
    Schedule(planned)
}

//! All faults of a run, drawn from its seed.

use std::time::Duration;

use checkers::history::{FaultId, Time};
use serde::{Deserialize, Serialize};

use super::{Defect, Fault, NEMESES, Planned, Rate, Registration, Scope};
use crate::config::Config;
use crate::plan::Plan;
use crate::seed::{Seed, Stream};

/// The faults of a run, by the time at which they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Planned>);

impl Schedule {
    /// Holds a schedule that was read from a file against the run that it is for.
    ///
    /// # Errors
    /// Names the first fault that no run has.
    pub fn check(&self, config: &Config) -> Result<(), String> {
        let most = self.0.len();
        let end = Time::ZERO + config.safety + config.liveness;
        let mut known = vec![false; most];
        for fault in &self.0 {
            let id = fault.id;
            match known.get_mut(id.index()) {
                Some(known) if !*known => *known = true,
                Some(_) => return Err(format!("schedule: two faults have the number {id}")),
                None => {
                    return Err(format!(
                        "schedule: fault {id}, but {most} faults are numbered from 0 on"
                    ));
                }
            }
            if let Fault::ClockDrift { rate, .. } = fault.fault
                && !rate.is_possible()
            {
                let most = Rate::MAX;
                return Err(format!(
                    "schedule: fault {id} lets clocks run at {rate}, and both numbers have to lie \
                     within 1 to {most}"
                ));
            }
            if let Fault::Disk { defect, .. } = fault.fault
                && let Some((what, number)) = number_of(&defect)
                && !(1..=NUMBER_MAX).contains(&number)
            {
                return Err(format!(
                    "schedule: fault {id} {what} {number}, which has to lie within 1 to {NUMBER_MAX}"
                ));
            }
            if let Some((what, time, most)) = longest_of(&fault.fault)
                && time > most
            {
                return Err(format!(
                    "schedule: fault {id} {what} {time:?}, and {most:?} is the most"
                ));
            }
            if fault.at > fault.until || fault.until > end {
                return Err(format!(
                    "schedule: fault {id} lasts from {} to {}, and the run ends at {end}",
                    fault.at, fault.until
                ));
            }
        }
        Ok(())
    }
}

/// The most that a fault may delay a message by, or wait between two things that it does.
const DELAY_MAX: Duration = Duration::from_secs(3600);
/// The longest that a fault may keep a node busy with one message, as long as a plan may.
const COST_MAX: Duration = Duration::from_secs(1);
/// The greatest number in a defect of a disk.
const NUMBER_MAX: u32 = 1000;
/// The shortest pause between two faults of one nemesis.
const CALM_MIN: Duration = Duration::from_millis(250);

/// The longest of the times that a fault brings along: what it does for so long, the time, and the most that
/// it may be. Nothing for those that bring none, or any.
fn longest_of(fault: &Fault) -> Option<(&'static str, Duration, Duration)> {
    match *fault {
        Fault::Delay { longest, .. } => Some(("delays by up to", longest, DELAY_MAX)),
        Fault::Slow { cost, .. } => Some(("keeps nodes busy for", cost, COST_MAX)),
        Fault::RollingRestart { down, apart } => Some(("waits for", down.max(apart), DELAY_MAX)),
        Fault::Disk { defect: Defect::Slow { longest }, .. } => {
            Some(("makes syncs take up to", longest, DELAY_MAX))
        }
        Fault::Partition { .. }
        | Fault::Crash { .. }
        | Fault::Restart { .. }
        | Fault::ClockJump { .. }
        | Fault::ClockDrift { .. }
        | Fault::ClockStrobe { .. }
        | Fault::Wipe { .. }
        | Fault::Membership { .. }
        | Fault::Pause { .. }
        | Fault::Kill { .. }
        | Fault::Disk { .. } => None,
    }
}

/// The number that a defect brings along, and what it does with it, if any.
fn number_of(defect: &Defect) -> Option<(&'static str, u32)> {
    match *defect {
        Defect::Error { one_of } => Some(("lets one operation of a disk fail of", one_of)),
        Defect::BitFlip { bits } => Some(("flips as many bits as", bits)),
        Defect::Slow { .. }
        | Defect::Full
        | Defect::SyncFail
        | Defect::LostWrites
        | Defect::Rollback => None,
    }
}

/// Plans the faults of a run.
///
/// First each nemesis has one fault to itself, so that every family has its effect in every run.
/// Then they fill the safety phase side by side, each from a stream of its own, one fault after the
/// other with a calm between; faults of different nemeses may overlap. Every fault is undone before
/// the safety phase ends.
pub fn plan(plan: &Plan, config: &Config, seed: Seed, failover: Duration) -> Schedule {
    let scope = Scope { nodes: config.nodes, failover };
    let end = Time::ZERO + config.safety;
    let mut lanes: Vec<Lane> = NEMESES
        .iter()
        .filter(|entry| plan.nemeses.iter().any(|name| name == entry.name))
        .map(|entry| Lane::new(entry, seed))
        .collect();
    seed.stream("nemesis-order").shuffle(&mut lanes);
    let mut planned = Vec::new();
    // The cluster gets as long as it takes to elect its first leader.
    let mut at = Time::ZERO + failover;
    for lane in &mut lanes {
        let fault = lane.draw(at, config.calm_max.min(failover / 3), &scope, failover);
        at = fault.until;
        planned.push(fault);
    }
    for lane in &mut lanes {
        let mut at = at;
        while at < end {
            let fault = lane.draw(at, config.calm_max, &scope, Duration::MAX);
            at = fault.until;
            planned.push(fault);
        }
    }
    planned.retain(|fault| fault.until < end);
    // The sort is stable: faults of one moment stay in the order of their lanes.
    planned.sort_by_key(|fault| fault.at);
    for (index, fault) in planned.iter_mut().enumerate() {
        fault.id = FaultId(index as u32);
    }
    Schedule(planned)
}

/// One nemesis and its stream.
struct Lane {
    entry: &'static Registration,
    stream: Stream,
}

impl Lane {
    fn new(entry: &'static Registration, seed: Seed) -> Lane {
        Lane { entry, stream: seed.stream(&format!("nemesis/{}", entry.name)) }
    }

    /// Draws the next fault, up to `calm_max` after `since`; it lasts `longest` at most.
    fn draw(
        &mut self,
        since: Time,
        calm_max: Duration,
        scope: &Scope,
        longest: Duration,
    ) -> Planned {
        let calm_min = CALM_MIN.as_millis() as u64;
        let calm_max = (calm_max.as_millis() as u64).max(calm_min);
        let at = since + Duration::from_millis(self.stream.between(calm_min, calm_max));
        let (fault, lasts) = self.entry.nemesis.draw(&mut self.stream, scope);
        let salt = self.stream.number();
        Planned { id: FaultId(0), at, until: at + lasts.min(longest), fault, salt }
    }
}

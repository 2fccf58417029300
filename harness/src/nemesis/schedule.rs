//! All faults of a run, drawn from its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{Event, FaultEdge, FaultEvent, FaultId, History, Time};
use serde::{Deserialize, Serialize};

use super::{Fault, NEMESES, Planned, Registration, Scope, Shape, Target, limits};
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
            let waits = fault.after.and_then(|message| message.refusal());
            if let Some(refusal) = waits.or_else(|| limits::refusal(&fault.fault)) {
                return Err(format!("schedule: fault {id} {refusal}"));
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

/// Puts when faults came to be, by their numbers, in the place of when they were to be. Those that wait for a message keep
/// their times.
pub(crate) fn take_times(faults: &mut [Planned], history: &History) {
    for (at, event) in history.events() {
        let Event::Fault(FaultEvent { fault, edge, .. }) = event else { continue };
        let planned = &mut faults[fault.index()];
        match edge {
            _ if planned.after.is_some() => {}
            FaultEdge::Begin => planned.at = at,
            FaultEdge::End => planned.until = at,
        }
    }
}

/// The shortest pause between two faults of one nemesis.
const CALM_MIN: Duration = Duration::from_millis(250);

/// Plans the faults of a run.
///
/// First each nemesis has one fault to itself, so that every family has its effect in every run.
/// Then they fill the safety phase side by side, each from a stream of its own, one fault after the
/// other with a calm between; faults of different nemeses may overlap. Every fault is undone before
/// the safety phase ends; where only a core is to recover, one more keeps the others away from then on. Those
/// that the plan names come when it says.
pub fn plan(plan: &Plan, config: &Config, seed: Seed, failover: Duration) -> Schedule {
    let scope = Scope { nodes: config.nodes, failover };
    let end = Time::ZERO + config.safety;
    let nemeses = config.nemeses(plan);
    let lane = |entry: &'static Registration| {
        nemeses.get(entry.name).map(|calm_max| Lane::new(entry, *calm_max, seed))
    };
    let mut lanes: Vec<Lane> = NEMESES.iter().filter_map(lane).collect();
    seed.stream("nemesis-order").shuffle(&mut lanes);
    let mut planned = Vec::new();
    // The cluster gets as long as it takes to elect its first leader.
    let mut at = Time::ZERO + failover;
    for lane in &mut lanes {
        let fault = lane.draw(at, failover / 3, &scope, failover);
        at = fault.until;
        planned.push(fault);
    }
    for lane in &mut lanes {
        let mut at = at;
        while at < end {
            let fault = lane.draw(at, Duration::MAX, &scope, Duration::MAX);
            at = fault.until;
            planned.push(fault);
        }
    }
    planned.retain(|fault| fault.until < end);
    planned.extend(config.core.then(|| for_good(&nemeses, config, seed)).flatten());
    let named = plan.faults.iter().enumerate();
    planned.extend(named.map(|(index, scripted)| scripted.planned(index, seed)));
    // The sort is stable: faults of one moment stay in the order of their lanes.
    planned.sort_by_key(|fault| fault.at);
    for (index, fault) in planned.iter_mut().enumerate() {
        fault.id = FaultId(index as u32);
    }
    Schedule(planned)
}

/// What keeps a minority away from the end of the safety phase on, so that the others have to go on alone.
fn for_good(nemeses: &BTreeMap<&str, Duration>, config: &Config, seed: Seed) -> Option<Planned> {
    let mut stream = seed.stream("core");
    let target = Target::Minority;
    let faults = [
        ("crash", Fault::Crash { target }),
        ("partition", Fault::Partition { shape: Shape::Isolate { target } }),
        ("partition", Fault::Partition { shape: Shape::Mute { target } }),
        ("partition", Fault::Partition { shape: Shape::Deaf { target } }),
    ];
    let able: Vec<Fault> = faults
        .into_iter()
        .filter(|(nemesis, _)| nemeses.contains_key(nemesis))
        .map(|(_, fault)| fault)
        .collect();
    let at = Time::ZERO + config.safety;
    let (fault, salt) = (*stream.pick(&able)?, stream.number());
    Some(Planned {
        id: FaultId(0),
        at,
        until: at + config.liveness,
        fault,
        salt,
        after: None,
        scripted: false,
    })
}

/// One nemesis and its stream.
struct Lane {
    entry: &'static Registration,
    /// The longest pause before a fault.
    calm_max: Duration,
    stream: Stream,
}

impl Lane {
    fn new(entry: &'static Registration, calm_max: Duration, seed: Seed) -> Lane {
        Lane { entry, calm_max, stream: seed.stream(&format!("nemesis/{}", entry.name)) }
    }

    /// Draws the next fault, up to `calm_max` after `since`, or the lane's own where that is less; it lasts
    /// `longest` at most.
    fn draw(
        &mut self,
        since: Time,
        calm_max: Duration,
        scope: &Scope,
        longest: Duration,
    ) -> Planned {
        let calm_min = CALM_MIN.as_millis() as u64;
        let calm_max = (calm_max.min(self.calm_max).as_millis() as u64).max(calm_min);
        let at = since + Duration::from_millis(self.stream.between(calm_min, calm_max));
        let (fault, lasts) = self.entry.nemesis.draw(&mut self.stream, scope);
        let salt = self.stream.number();
        let until = at + lasts.min(longest);
        Planned { id: FaultId(0), at, until, fault, salt, after: None, scripted: false }
    }
}

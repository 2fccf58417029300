//! Why a run fails: how it came about, what becomes of it without each of its faults and operations, and how often
//! its plan finds it.
//!
//! One run says what happened once. What it takes is seen from runs that differ in one thing: the same faults and
//! operations under other seeds, which decide anew how long messages take and when elections begin; and the same
//! again without one fault, or without one operation. Of a shrunk run nothing can be left out under its own
//! seed; what can be left out under most others is there by chance.

use std::sync::Arc;

use checkers::history::FaultId;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::nemesis::{Planned, Schedule};
use crate::plan::Plan;
use crate::run::{Options, Report, run};
use crate::seed::Seed;
use crate::shrink::Failure;
use crate::story::{Sentence, tell};
use crate::system::System;
use crate::tape::Tape;

/// In one of how many cases a fix may be believed wrongly.
pub const BELIEVABLE: u32 = 20;

/// In how many of some runs the failure is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// What the failure is.
    pub failure: Failure,
    /// How many runs there were of each kind, each with a seed of its own.
    pub runs: u32,
    /// How many of them fail with all faults and operations.
    pub with_all: u32,
    /// How many fail without each fault, in the order of the schedule.
    pub without_fault: Vec<u32>,
    /// How many fail without each operation, by client, in their order.
    pub without_call: Vec<Vec<u32>>,
    /// How many fail that draw everything anew, as their plan says; nothing where that was not tried to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_plan: Option<u32>,
    /// How it came about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub story: Vec<Sentence>,
}

impl Why {
    /// Plays variants of a run that has its operations with it, until `stop`, and tells its story if it has its trace
    /// with it. Nothing where it was stopped, or where the run's operations are not known.
    ///
    /// # Panics
    /// If the plan of the run was not [checked](Plan::check).
    pub fn of(
        system: &Arc<dyn System>,
        report: &Report,
        failure: &Failure,
        runs: u32,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Why> {
        let calls = &report.calls.as_ref()?.0;
        let faults = &report.schedule.0;
        let fail = |faults: &[Planned], calls: &[Vec<_>]| {
            let tape = Tape(calls.to_vec());
            let options = Options::of_data(&report.config, &numbered(faults), Some(&tape));
            fails(system, &report.plan, &options, report.seed, failure, runs, stop)
        };
        let with_all = fail(faults, calls)?;
        let without_fault = (0..faults.len()).map(|fault| fail(&without(faults, fault), calls));
        let without_fault = without_fault.collect::<Option<_>>()?;
        let of_client = |client: usize| {
            let each = (0..calls[client].len()).map(|call| {
                let mut calls = calls.clone();
                calls[client].remove(call);
                fail(faults, &calls)
            });
            each.collect::<Option<Vec<_>>>()
        };
        let without_call = (0..calls.len()).map(of_client).collect::<Option<_>>()?;
        let drawn = Options::default();
        let of_plan = fails(system, &report.plan, &drawn, report.seed, failure, runs, stop);
        let story = failure.find(report).map_or_else(Vec::new, |anomaly| tell(report, anomaly));
        let failure = failure.clone();
        Some(Why { failure, runs, with_all, without_fault, without_call, of_plan, story })
    }

    /// After how many clean runs of the plan in a row a fix is believable: so many are clean by chance in one of
    /// [`BELIEVABLE`] cases. Nothing where the plan was not seen to find the failure.
    pub fn clean_runs(&self) -> Option<u32> {
        let clean = self.runs - self.of_plan.filter(|failing| *failing > 0)?;
        let all_clean = |count: &u32| {
            let chance = (f64::from(clean) / f64::from(self.runs)).powi(*count as i32);
            chance * f64::from(BELIEVABLE) <= 1.0
        };
        (1..).find(all_clean)
    }
}

/// In how many of some runs with other seeds the failure is there; nothing where that was stopped.
fn fails(
    system: &Arc<dyn System>,
    plan: &Plan,
    options: &Options,
    own: Seed,
    failure: &Failure,
    runs: u32,
    stop: &(dyn Fn() -> bool + Sync),
) -> Option<u32> {
    let others = (1..=u64::from(runs)).into_par_iter().map(|other| {
        let seed = Seed(own.0.wrapping_add(other));
        (!stop()).then(|| failure.find(&run(system, plan, seed, options.clone())).is_some())
    });
    let failing: Option<Vec<bool>> = others.collect();
    Some(failing?.into_iter().filter(|fails| *fails).count() as u32)
}

fn without<T: Clone>(items: &[T], place: usize) -> Vec<T> {
    let mut left = items.to_vec();
    left.remove(place);
    left
}

/// Faults as a schedule, numbered from 0 on.
pub(crate) fn numbered(faults: &[Planned]) -> Schedule {
    let numbered = faults.iter().zip(0..);
    Schedule(numbered.map(|(fault, id)| Planned { id: FaultId(id), ..*fault }).collect())
}

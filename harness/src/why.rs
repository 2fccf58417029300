//! Why a run fails: how it came about, from when on it could hardly be helped, what becomes of it without each of its
//! faults and operations, and how often its plan finds it.
//!
//! One run says what happened once. What it takes is seen from runs that differ in one thing: the same faults and
//! operations under other seeds, which decide anew how long messages take and when elections begin; and the same
//! again without one fault, or without one operation. Of a shrunk run nothing can be left out under its own
//! seed; what can be left out under most others is there by chance.

use std::sync::Arc;
use std::time::Duration;

use checkers::Anomaly;
use checkers::history::{Event, FaultId, Time};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Reseed};
use crate::nemesis::{Planned, Schedule};
use crate::plan::Plan;
use crate::run::{Options, Report, run};
use crate::seed::Seed;
use crate::shrink::Failure;
use crate::story::{Sentence, end_of, tell};
use crate::system::System;
use crate::tape::Tape;

/// Of how many moments each is looked at. Of more, they are halved until one is found.
const MOMENTS_MAX: usize = 16;

/// How far apart moments are that are next to each other.
const NEXT_TO: Duration = Duration::from_millis(5);

/// In one of how many cases a fix may be believed wrongly.
pub const BELIEVABLE: u32 = 20;

/// In how many of some runs the failure is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// What the failure is.
    pub failure: Failure,
    /// How many runs there were of each kind, each with a seed of its own; 0 where that was not tried to the end.
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
    /// From when on most tails fail; nothing where that was not found out, or from no moment on most of them do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inevitable: Option<Inevitable>,
    /// How it came about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub story: Vec<Sentence>,
}

/// From when on most tails of a run fail. A tail is what comes of it under another seed from some moment on, with the
/// same faults and operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inevitable {
    /// A moment from which more than half of them fail: the first of those at which a fault or an operation begins or
    /// ends, or one between it and the moment before, at most 5 ms after [`before`](Inevitable::before).
    pub from: Tails,
    /// A moment from which at most half of them do; nothing where most fail from the beginning of the run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Tails>,
}

/// How the tails of a run fare that begin at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tails {
    /// When they begin, before what happens at that moment.
    pub at: Time,
    /// How many of them fail.
    pub fails: u32,
}

impl Why {
    /// Plays variants of a run that has its operations with it, until `stop`, and tells its story if it has its trace
    /// with it. Where it was stopped, there is nothing but the story; nothing at all where the run's operations are not
    /// known.
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
        let mut why = Why::untried(report, failure)?;
        if let Some(tried) = Why::tried(system, report, failure, runs, stop) {
            why = tried;
        }
        why.retell(&**system, report);
        Some(why)
    }

    /// What is known without a variant having been played.
    fn untried(report: &Report, failure: &Failure) -> Option<Why> {
        let calls = &report.calls.as_ref()?.0;
        Some(Why {
            failure: failure.clone(),
            runs: 0,
            with_all: 0,
            without_fault: vec![0; report.schedule.0.len()],
            without_call: calls.iter().map(|calls| vec![0; calls.len()]).collect(),
            of_plan: None,
            inevitable: None,
            story: Vec::new(),
        })
    }

    /// Whether variants were played.
    pub fn is_tried(&self) -> bool {
        self.runs > 0
    }

    /// Plays the variants; nothing where that was stopped.
    fn tried(
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
        let inevitable = Inevitability { system, report, failure, runs, stop }.find(with_all);
        let drawn = Options::default();
        let of_plan = fails(system, &report.plan, &drawn, report.seed, failure, runs, stop);
        let (failure, story) = (failure.clone(), Vec::new());
        Some(Why {
            failure,
            runs,
            with_all,
            without_fault,
            without_call,
            of_plan,
            inevitable,
            story,
        })
    }

    /// Holds it against the run that it is about: how many faults and operations that has, and how many runs can fail.
    pub(crate) fn check(&self, schedule: &Schedule, calls: Option<&Tape>) -> Result<(), String> {
        let said: Vec<usize> = self.without_call.iter().map(Vec::len).collect();
        let asked = calls.into_iter().flat_map(|calls| &calls.0).map(Vec::len);
        if self.without_fault.len() != schedule.0.len() || !asked.eq(said) {
            return Err("why: it is about other faults or operations".to_owned());
        }
        let runs = self.runs;
        if let Some(fails) = self.counts().find(|fails| *fails > runs) {
            return Err(format!("why: {fails} of {runs} runs fail"));
        }
        match &self.inevitable {
            Some(one) if one.from.fails * 2 <= runs => Err(format!(
                "why: {} of {runs} tails that fail are not most of them",
                one.from.fails
            )),
            _ => Ok(()),
        }
    }

    /// Tells the story anew, of a run that has its trace with it.
    pub(crate) fn retell(&mut self, system: &dyn System, report: &Report) {
        let anomaly = self.failure.find(report);
        self.story = anomaly.map_or_else(Vec::new, |anomaly| tell(system, report, anomaly));
        self.tell_from_when();
    }

    /// Every count of failing runs in it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u32> + '_ {
        let tails = self.inevitable.iter().flat_map(|one| one.before.iter().chain([&one.from]));
        let without = self.without_fault.iter().chain(self.without_call.iter().flatten());
        let all = without.copied().chain(tails.map(|tails| tails.fails));
        all.chain(self.of_plan).chain([self.with_all])
    }

    /// From when on it could hardly be helped, in words that follow that moment; nothing where that is not known.
    pub fn from_when(&self) -> Option<String> {
        let runs = self.runs;
        let Inevitable { from, before } = self.inevitable.as_ref()?;
        Some(match before {
            None if from.fails == runs => format!(
                "from the beginning on, {runs} of {runs} tails end so: faults and operations decide it, and not the seed"
            ),
            None => format!(
                "from the beginning on, {} of {runs} tails end so, with the same faults and operations under other seeds",
                from.fails
            ),
            Some(before) => {
                let at_first = match before.at == Time::ZERO {
                    true => {
                        ": it takes what the seed decides at the very beginning, such as when elections begin"
                    }
                    false => "",
                };
                format!(
                    "from {} on, {} of {runs} tails end so, with the same faults and operations under other seeds; from {} on, {}{at_first}",
                    from.at, from.fails, before.at, before.fails
                )
            }
        })
    }

    /// Puts into the story from when on it could hardly be helped: before what happens at that moment.
    fn tell_from_when(&mut self) {
        let Some(words) = self.from_when().filter(|_| !self.story.is_empty()) else { return };
        let at = self.inevitable.as_ref().map_or(Time::ZERO, |inevitable| inevitable.from.at);
        let place = self.story.partition_point(|told| told.at < at);
        self.story.insert(place, Sentence { at, words });
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

/// The search for the moment from which on most tails of a run fail.
struct Inevitability<'a> {
    system: &'a Arc<dyn System>,
    report: &'a Report,
    failure: &'a Failure,
    runs: u32,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl Inevitability<'_> {
    /// Finds it. `with_all` tails fail that begin with the run.
    fn find(&self, with_all: u32) -> Option<Inevitable> {
        let mut before = Tails { at: Time::ZERO, fails: with_all };
        if self.are_most(before) {
            return Some(Inevitable { from: before, before: None });
        }
        let mut moments = moments(self.report, self.failure.find(self.report)?);
        // From the last one on it is there, whatever the seed; what lies between is halved.
        while moments.len() > MOMENTS_MAX {
            let later = moments.split_off(moments.len() / 2);
            let tails = self.tails(later[0])?;
            if self.are_most(tails) {
                moments.push(later[0]);
            } else {
                (before, moments) = (tails, later[1..].to_vec());
            }
        }
        for at in moments {
            let tails = self.tails(at)?;
            if self.are_most(tails) {
                return self.narrowed(before, tails);
            }
            before = tails;
        }
        None
    }

    /// Halves the time between a moment from which most tails do not fail and one from which they do, until the two are
    /// next to each other: what is decided by the seed need not be decided when somebody asks or is answered.
    fn narrowed(&self, mut before: Tails, mut from: Tails) -> Option<Inevitable> {
        while from.at.since(before.at) > NEXT_TO {
            let tails = self.tails(before.at + from.at.since(before.at) / 2)?;
            if self.are_most(tails) {
                from = tails;
            } else {
                before = tails;
            }
        }
        Some(Inevitable { from, before: Some(before) })
    }

    fn are_most(&self, tails: Tails) -> bool {
        tails.fails > self.runs / 2
    }

    /// Plays the tails from one moment on; nothing where that was stopped.
    fn tails(&self, at: Time) -> Option<Tails> {
        let Inevitability { system, report, failure, runs, stop } = *self;
        let Report { plan, config, schedule, calls, seed, .. } = report;
        let fails = count(*seed, runs, stop, |other| {
            let reseed = Some(Reseed { at, seed: other });
            let config = Config { reseed, ..config.clone() };
            let options = Options::of_data(&config, schedule, calls.as_ref());
            failure.find(&run(system, plan, *seed, options)).is_some()
        })?;
        Some(Tails { at, fails })
    }
}

/// The moments of a run at which a fault or an operation begins or ends, until its anomaly is there.
fn moments(report: &Report, anomaly: &Anomaly) -> Vec<Time> {
    let end = end_of(report, anomaly);
    let events = report.history.events();
    let counting = events.filter(|(_, event)| !matches!(event, Event::Phase(_)));
    let mut moments: Vec<Time> = counting.map(|(at, _)| at).collect();
    moments.retain(|at| *at > Time::ZERO && *at <= end);
    moments.dedup();
    moments
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
    count(own, runs, stop, |seed| failure.find(&run(system, plan, seed, options.clone())).is_some())
}

/// With how many of the seeds after a run's own something fails; nothing where that was stopped.
fn count(
    own: Seed,
    runs: u32,
    stop: &(dyn Fn() -> bool + Sync),
    fails: impl Fn(Seed) -> bool + Sync,
) -> Option<u32> {
    let others = (1..=u64::from(runs)).into_par_iter().map(|other| {
        let seed = Seed(own.0.wrapping_add(other));
        (!stop()).then(|| fails(seed))
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

//! A smaller run with the same failure.
//!
//! A run is data: a configuration, faults at their times, and what each client asks (its
//! [tape](crate::tape)). Whatever can be left out of it is, as long as the same anomaly remains: the same
//! name, found about the same guarantee. First what is about other keys, of transactions their steps on these; then
//! what makes time pass, then faults, clients and operations by [delta debugging](minimize), then the configuration
//! towards the least, then the times. Messages take the least latency early on: what is left out then changes little
//! about what remains.
//!
//! What a run needs only under its own seed, as what made a leader of the one that leads, is left out with
//! another seed, if there is one near. And one that fails under its own seed and hardly any other is put at other moments,
//! where as little of it fails under more of them: what it takes is seen from these.
//!
//! What comes out depends on the run and on the anomaly alone, not on how many threads look for it, unless
//! the search is cut short; then it is the least that was found by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkers::history::{Key, Op, Phase, Time};
use checkers::{Anomaly, Guarantee};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::minimize::minimize;
use crate::config::Config;
use crate::nemesis::{Fault, Planned, Schedule, Shape, Target, take_times};
use crate::plan::Plan;
use crate::report::brief::counted;
use crate::run::{Counts, Fingerprint, Judged, Options, Report, run};
use crate::seed::Seed;
use crate::store::Record;
use crate::system::System;
use crate::tape::{Call, Tape};
use crate::why::numbered;

mod minimize;
mod plain;

/// How often all is gone through again, because something became smaller.
const ROUNDS_MAX: u32 = 4;
/// How many other seeds are tried for a fault or an operation that is needed under the one of the run.
const SEEDS_MAX: u64 = 10;
/// How many are tried in the end, when runs are short: as many as there are tails that tell what each is needed for.
const SEEDS_LAST: u64 = 50;
/// How many are tried for a shorter pause.
const SEEDS_A_PAUSE: u64 = 4;
/// How many are tried for what proves the failure, and nothing else.
const LEAPS_MAX: u64 = 400;
/// How many of these at first, when much may still go by itself.
const LEAPS_FIRST: u64 = 30;
/// Under how many a run is tried that is to fail under more of them.
const SEEDS_STEADY: u64 = 20;
/// Under how many of these at first: one that fails under none but one of them is not tried under the rest.
const SEEDS_GLANCE: u64 = 6;
/// By how much what happens is put later then.
const LATER: [Duration; 3] = [GRAIN, Duration::from_millis(500), Duration::from_millis(1500)];
/// By how much what is asked then is moved against the faults at most, in milliseconds.
const SHIFTS: [u64; 4] = [10, 50, 200, 1000];
/// Times are multiples of this, where that will do.
const GRAIN: Duration = Duration::from_millis(100);

/// What is to remain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The guarantee that is broken.
    pub guarantee: Guarantee,
    /// The name of the anomaly.
    pub anomaly: String,
}

impl Failure {
    /// The failure that an anomaly is.
    pub fn of(anomaly: &Anomaly) -> Failure {
        Failure { guarantee: anomaly.guarantee, anomaly: anomaly.name.clone() }
    }

    /// The first anomaly of a run that is such a failure.
    pub fn find<'a>(&self, report: &'a Report) -> Option<&'a Anomaly> {
        self.find_in(&report.judged)
    }

    /// The same of what was judged of a run.
    pub(crate) fn find_in<'a>(&self, judged: &'a [Judged]) -> Option<&'a Anomaly> {
        let judged = judged.iter().filter(|judged| judged.guarantee == self.guarantee);
        let mut anomalies = judged.flat_map(|judged| judged.verdict.anomalies());
        anomalies.find(|anomaly| anomaly.name == self.anomaly)
    }
}

/// How much there is of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Faults.
    pub faults: usize,
    /// Operations of clients, final reads not counted.
    pub operations: usize,
    /// Clients that ask for something.
    pub clients: usize,
    /// Nodes, with those that may be added.
    pub nodes: u32,
    /// Virtual nanoseconds.
    pub simulated_ns: u64,
}

impl Size {
    fn of(report: &Report) -> Size {
        Size::new(&report.schedule, report.calls.as_ref(), &report.config, &report.counts)
    }

    /// That of a stored run. What its clients ask counts only where it is written down.
    pub fn of_stored(record: &Record) -> Size {
        Size::new(&record.schedule, record.calls.as_ref(), &record.config, &record.counts)
    }

    fn new(schedule: &Schedule, calls: Option<&Tape>, config: &Config, counts: &Counts) -> Size {
        Size {
            faults: schedule.0.len(),
            operations: calls.map_or(0, Tape::len),
            clients: calls.map_or(0, Tape::active),
            nodes: config.all_nodes(),
            simulated_ns: counts.simulated_ns,
        }
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.faults, "fault"), counted(self.operations, "operation"))
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest run that was found, with its trace.
    pub report: Report,
    /// The fingerprint of the run that was made smaller, as it was this time.
    pub original: Fingerprint,
    /// How much there was in the beginning.
    pub before: Size,
    /// How much is left.
    pub after: Size,
    /// How many runs it took.
    pub runs: u64,
    /// Whether nothing more can be left out; otherwise it was stopped before that was known.
    pub is_done: bool,
}

/// Why a run cannot be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The run does not have the failure.
    #[error("the run has no {} of {}", failure.anomaly, failure.guarantee)]
    NoFailure {
        /// What was looked for.
        failure: Failure,
    },
}

/// Who shrinks what.
pub struct Shrinker<'a> {
    /// The system under test.
    pub system: &'a Arc<dyn System>,
    /// The plan of the run.
    pub plan: &'a Plan,
    /// Its seed.
    pub seed: Seed,
    /// What is to remain.
    pub failure: Failure,
    /// Whether to stop with what was found so far.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Is told how much is left, and how many runs it took.
    pub progress: &'a (dyn Fn(&str, Size, u64) + Sync),
}

/// A run as data.
#[derive(Clone, PartialEq)]
struct Case {
    seed: Seed,
    config: Config,
    faults: Vec<Planned>,
    calls: Vec<Vec<Call>>,
}

impl Case {
    fn options(&self) -> Options {
        let (schedule, calls) = (numbered(&self.faults), Tape(self.calls.clone()));
        Options::of_data(&self.config, &schedule, Some(&calls))
    }

    fn size(&self) -> Size {
        Size {
            faults: self.faults.len(),
            operations: self.calls.iter().map(Vec::len).sum(),
            clients: self.calls.iter().filter(|calls| !calls.is_empty()).count(),
            nodes: self.config.all_nodes(),
            simulated_ns: (self.config.safety + self.config.liveness).as_nanos() as u64,
        }
    }

    /// Every operation with its client.
    fn operations(&self) -> Vec<(usize, Call)> {
        let clients = self.calls.iter().enumerate();
        let all = clients
            .flat_map(|(client, calls)| calls.iter().map(move |call| (client, call.clone())));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, call)| call.at);
        all
    }

    /// The same with these operations only.
    fn with_operations(&self, operations: &[(usize, Call)]) -> Case {
        let mut calls = vec![Vec::new(); self.calls.len()];
        for (client, call) in operations {
            calls[*client].push(call.clone());
        }
        Case { calls, ..self.clone() }
    }

    /// The same with what is asked about these keys only.
    fn on(&self, keys: &BTreeSet<String>) -> Case {
        let about = |call: &Call| Some(Call { at: call.at, op: plain::on_keys(&call.op, keys)? });
        let calls = self.calls.iter().map(|calls| calls.iter().filter_map(about).collect());
        Case { calls: calls.collect(), ..self.clone() }
    }

    fn with_faults(&self, faults: Vec<Planned>) -> Case {
        Case { faults, ..self.clone() }
    }

    fn with_config(&self, change: impl FnOnce(&mut Config)) -> Case {
        let mut case = self.clone();
        change(&mut case.config);
        case
    }

    /// The same, but all messages take the least time, and disks none.
    fn calm(&self) -> Case {
        self.with_config(|config| CALM.iter().for_each(|change| change(config)))
    }

    /// The same, but the safety phase ends earlier; faults and operations beyond that are left out.
    fn until(&self, end: Duration) -> Case {
        let mut case = self.with_config(|config| config.safety = end);
        let end = Time::ZERO + end;
        let last = end + case.config.liveness;
        case.faults.retain(|fault| fault.at < end);
        for fault in &mut case.faults {
            fault.until = fault.until.min(end);
        }
        for calls in &mut case.calls {
            calls.retain(|call| call.at < last);
        }
        case
    }

    /// When something is asked, begins or ends, in order.
    fn moments(&self) -> Vec<Time> {
        let faults = self.faults.iter().flat_map(|fault| [fault.at, fault.until]);
        let mut all: Vec<Time> =
            self.calls.iter().flatten().map(|call| call.at).chain(faults).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The same, but what is asked is asked at other times, by chance: all of it earlier or later against the faults,
    /// and with longer pauses. In the first turn nothing is.
    fn shifted(&self, turn: u64) -> Case {
        let mut stream = self.seed.stream(&format!("shift/{turn}"));
        let most = *stream.pick(&SHIFTS).expect("there are some");
        let (earlier, later) = (stream.below(most + 1), stream.below(most + 1));
        let mut operations = self.operations();
        let mut before = None;
        let mut longer = Duration::ZERO;
        for (_, call) in operations.iter_mut().take_while(|_| turn > 0) {
            let at = call.at;
            let pause = before.map_or(Duration::ZERO, |before| at.since(before));
            before = Some(at);
            longer += pause * stream.below(3) as u32 / 2;
            let at = at.since_start() + longer + Duration::from_millis(later);
            call.at = Time::ZERO + at.saturating_sub(Duration::from_millis(earlier));
        }
        self.with_operations(&operations)
    }

    /// The same with some of it later: all of it, or what comes after one of its moments; or with a fault that lasts
    /// longer.
    fn later(&self) -> Vec<Case> {
        let longer = |by: Duration, mut case: Case| {
            case.config.safety += by;
            case
        };
        let mut all = Vec::new();
        for by in LATER {
            for moment in self.moments() {
                let moved = self.moved(|at| if at >= moment { at + by } else { at });
                all.push(longer(by, moved));
            }
            for fault in 0..self.faults.len() {
                let mut case = self.clone();
                case.faults[fault].until = case.faults[fault].until + by;
                all.push(longer(by, case));
            }
        }
        all
    }

    /// The same with each moment moved to another one.
    fn moved(&self, to: impl Fn(Time) -> Time) -> Case {
        let mut case = self.clone();
        for fault in &mut case.faults {
            (fault.at, fault.until) = (to(fault.at), to(fault.until));
        }
        for call in case.calls.iter_mut().flatten() {
            call.at = to(call.at);
        }
        case
    }
}

impl Shrinker<'_> {
    /// Makes a run smaller, one that was drawn or one that was given.
    ///
    /// # Errors
    /// Where the run does not have the failure.
    ///
    /// # Panics
    /// If the plan was not [checked](Plan::check).
    pub fn shrink(&self, options: Options) -> Result<Shrunk, ShrinkError> {
        let options = Options { keeps_calls: true, ..options };
        let drawn = run(self.system, self.plan, self.seed, options.clone());
        let before = Size::of(&drawn);
        let original = drawn.fingerprint.clone();
        let Some(anomaly) = self.failure.find(&drawn) else {
            return Err(ShrinkError::NoFailure { failure: self.failure.clone() });
        };
        let key = anomaly.key.clone();
        let at = anomaly.at;
        let case = Case {
            seed: self.seed,
            config: drawn.config.clone(),
            faults: drawn.schedule.0.clone(),
            calls: drawn.calls.clone().expect("it was asked for").0,
        };
        let search = Search { shrinker: self, runs: AtomicU64::new(1) };
        // Written down, clients ask at the same moments; but who comes first of two that do something at one moment
        // may differ, and some wait for the first operation to end.
        let begin = case.operations().first().map_or(Time::ZERO, |(_, call)| call.at);
        let later = case.moved(|at| if at > begin { at + case.config.tick } else { at });
        let Some((_, mut best)) = search.first_of([case, later]) else {
            let traced = Options { trace: true, ..options };
            return Ok(Shrunk {
                report: run(self.system, self.plan, self.seed, traced),
                original,
                before,
                after: before,
                runs: search.runs(),
                is_done: false,
            });
        };
        search.calm(&mut best);
        search.cut(&mut best, at);
        let mut tried = Vec::new();
        // With fewer keys another proof may be the first, and a longer one.
        search.leap(&mut best, &mut tried, LEAPS_FIRST);
        search.leave_out_keys(&mut best, key.as_ref());
        for round in 0..ROUNDS_MAX {
            let size = best.size();
            let leaps = if round == 0 { LEAPS_FIRST } else { LEAPS_MAX };
            search.leap(&mut best, &mut tried, leaps);
            search.leave_out(&mut best);
            search.leave_out_time(&mut best);
            search.try_others(&mut best, SEEDS_MAX);
            search.merge(&mut best, SEEDS_MAX);
            search.simplify(&mut best);
            search.hasten(&mut best);
            if best.size() == size || search.is_over() {
                break;
            }
        }
        search.make_plain(&mut best);
        // What was made simpler since may need less, under its own seed or under others.
        for _ in 0..ROUNDS_MAX {
            let size = best.size();
            search.leave_out(&mut best);
            search.merge(&mut best, SEEDS_LAST);
            search.try_others(&mut best, SEEDS_LAST);
            search.take_times(&mut best);
            let is_steadier = search.make_steady(&mut best);
            if best.size() == size && !is_steadier || search.is_over() {
                break;
            }
        }
        let traced = Options { trace: true, ..best.options() };
        let report = run(self.system, self.plan, best.seed, traced);
        let after = Size::of(&report);
        let (runs, is_done) = (search.runs(), !search.is_over());
        Ok(Shrunk { report, original, before, after, runs, is_done })
    }
}

/// The search for smaller runs.
struct Search<'a> {
    shrinker: &'a Shrinker<'a>,
    runs: AtomicU64,
}

impl Search<'_> {
    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Whether a run still fails, and can be stored and read back.
    fn fails(&self, case: &Case) -> bool {
        let Shrinker { system, plan, failure, .. } = self.shrinker;
        let options = case.options();
        let schedule = options.schedule.as_ref().expect("a case has its faults");
        if plan.check_data(&case.config, schedule, options.calls.as_ref()).is_err() {
            return false;
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        failure.find(&run(system, plan, case.seed, options)).is_some()
    }

    /// Whether it is to end with what was found so far.
    fn is_over(&self) -> bool {
        (self.shrinker.stop)()
    }

    /// The first that still fails, and its place. As many as there are threads are tried at a time, and no others are
    /// made: a case can be large.
    fn first_of(&self, cases: impl IntoIterator<Item = Case>) -> Option<(usize, Case)> {
        let size = rayon::current_num_threads();
        let mut cases = cases.into_iter();
        let mut tried = 0;
        while !self.is_over() {
            let mut some: Vec<Case> = cases.by_ref().take(size).collect();
            if some.is_empty() {
                return None;
            }
            let failing: Vec<bool> = some.par_iter().map(|case| self.fails(case)).collect();
            if let Some(place) = failing.iter().position(|fails| *fails) {
                return Some((tried + place, some.swap_remove(place)));
            }
            tried += some.len();
        }
        None
    }

    /// The place of the first that still fails.
    fn place_of(&self, cases: impl Iterator<Item = Case>) -> Option<usize> {
        self.first_of(cases).map(|(place, _)| place)
    }

    /// Goes over to the first of some runs that still fails. Whether there was one.
    fn improve(&self, best: &mut Case, cases: impl IntoIterator<Item = Case>) -> bool {
        let base = best.clone();
        let others = cases.into_iter().filter(|case| *case != base);
        let Some((_, case)) = self.first_of(others) else { return false };
        *best = case;
        true
    }

    fn tell(&self, what: &str, best: &Case) {
        (self.shrinker.progress)(what, best.size(), self.runs());
    }

    /// Leaves out what is about other keys than the failure: than the one that it is about, or than those that most of the
    /// operations share that prove it.
    fn leave_out_keys(&self, best: &mut Case, key: Option<&Key>) {
        self.tell("keys", best);
        let proof = self.proof(best);
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        for (_, call) in &proof {
            plain::keys_of(&call.op).into_iter().for_each(|key| *uses.entry(key).or_default() += 1);
        }
        let used = |least: usize| {
            let often = uses.iter().filter(|(_, times)| **times >= least);
            often.map(|(key, _)| key.clone()).collect::<BTreeSet<String>>()
        };
        let mut sets: Vec<BTreeSet<String>> =
            key.map(|key| BTreeSet::from([key.as_str().to_owned()])).into_iter().collect();
        sets.extend((1..=proof.len()).rev().map(used));
        sets.retain(|keys| !keys.is_empty());
        sets.dedup();
        let cases: Vec<Case> = sets.iter().map(|keys| best.on(keys)).collect();
        self.improve(best, cases);
    }

    /// Takes out of a run what makes it depend on chance: all messages take the least time, disks none.
    fn calm(&self, best: &mut Case) {
        self.tell("calm", best);
        let all = best.calm();
        if !self.improve(best, [all]) {
            for change in CALM {
                let one = best.with_config(change);
                self.improve(best, [one]);
            }
        }
    }

    /// Ends a run as soon as the anomaly is there.
    fn cut(&self, best: &mut Case, at: Time) {
        self.tell("end", best);
        let at = at.since_start();
        let safety = best.config.safety;
        let ends = [at, at * 2, safety / 2].map(|end| round_up(end + GRAIN));
        let shorter = ends.into_iter().filter(|end| *end < safety).map(|end| best.until(end));
        let shorter: Vec<Case> = shorter.collect();
        self.improve(best, shorter);
    }

    /// Leaves out at once what does not prove the failure. Whoever asks for less meets other chances, and one
    /// of many seeds has those that it takes.
    /// What was tried in vain is not tried again.
    fn leap(&self, best: &mut Case, tried: &mut Vec<(usize, Op)>, leaps: u64) {
        self.tell("proof", best);
        let proof = self.proof(best);
        let left = best.size().operations;
        let ops: Vec<(usize, Op)> = proof.iter().map(|(_, call)| (left, call.op.clone())).collect();
        if proof.len() >= left || ops == *tried {
            return;
        }
        *tried = ops;
        let only = best.with_operations(&proof);
        let shifted = others(only, leaps).zip(0..).map(|(case, turn)| case.shifted(turn));
        // Most are calm already.
        let both = |case: Case| {
            let calm = case.calm();
            let as_it_was = Some(case).filter(|case| *case != calm);
            [calm].into_iter().chain(as_it_was)
        };
        self.improve(best, shifted.flat_map(both));
    }

    fn run(&self, case: &Case) -> Report {
        let Shrinker { system, plan, .. } = self.shrinker;
        self.runs.fetch_add(1, Ordering::Relaxed);
        run(system, plan, case.seed, case.options())
    }

    /// The operations that prove the failure.
    fn proof(&self, case: &Case) -> Vec<(usize, Call)> {
        let report = self.run(case);
        let Some(anomaly) = self.shrinker.failure.find(&report) else { return Vec::new() };
        let all = case.operations();
        let mut proof = Vec::new();
        for id in &anomaly.witness.operations {
            let operation = report.history.operation(*id);
            let op = report.history.op(*id);
            // A client that is busy asks later than it was to.
            let asked =
                |(_, call): &&(usize, Call)| call.at <= operation.invoked_at && call.op == op;
            // Final reads are asked for in every run.
            proof.extend(all.iter().rfind(asked).cloned());
        }
        proof
    }

    /// Leaves out faults, clients and operations.
    fn leave_out(&self, best: &mut Case) {
        self.tell("faults", best);
        let base = best.clone();
        best.faults = minimize(base.faults.clone(), &mut |some| {
            self.place_of(some.map(|faults| base.with_faults(faults)))
        });
        self.tell("clients", best);
        let base = best.clone();
        let clients: Vec<usize> =
            (0..base.calls.len()).filter(|client| !base.calls[*client].is_empty()).collect();
        let only = |clients: Vec<usize>| {
            let mut case = base.clone();
            for (client, calls) in case.calls.iter_mut().enumerate() {
                if !clients.contains(&client) {
                    calls.clear();
                }
            }
            case
        };
        let left = minimize(clients, &mut |some| self.place_of(some.map(only)));
        *best = only(left);
        self.tell("operations", best);
        let base = best.clone();
        let left = minimize(base.operations(), &mut |some| {
            self.place_of(some.map(|left| base.with_operations(&left)))
        });
        *best = base.with_operations(&left);
    }

    /// Leaves out the time before anything happens, and after the anomaly is there: what is tried next takes less.
    fn leave_out_time(&self, best: &mut Case) {
        self.tell("time", best);
        let begin = best.moments().first().map_or(Duration::ZERO, |first| first.since_start());
        let spare = [GRAIN, Duration::from_secs(1)].into_iter().filter(|spare| *spare < begin);
        let sooner = spare.flat_map(|spare| {
            let less = begin - spare;
            let case = best.moved(|at| Time::ZERO + (at.since_start() - less));
            others(case, SEEDS_A_PAUSE)
        });
        let sooner: Vec<Case> = sooner.collect();
        self.improve(best, sooner);
        let report = self.run(best);
        if let Some(anomaly) = self.shrinker.failure.find(&report) {
            self.cut(best, anomaly.at);
        }
    }

    /// Leaves out what a run needs under its own seed, but not under another one, or where the rest is asked at other
    /// times: it only made the moment.
    fn try_others(&self, best: &mut Case, seeds: u64) {
        self.tell("seeds", best);
        let elsewhere = |case: Case| {
            let shifted = others(case.clone(), seeds).zip(0..).skip(1);
            others(case, seeds).chain(shifted.map(|(case, turn)| case.shifted(turn)))
        };
        let mut fault = 0;
        while fault < best.faults.len() && !self.is_over() {
            let mut faults = best.faults.clone();
            faults.remove(fault);
            if !self.improve(best, elsewhere(best.with_faults(faults))) {
                fault += 1;
            }
        }
        let mut operation = 0;
        while operation < best.size().operations && !self.is_over() {
            let mut operations = best.operations();
            operations.remove(operation);
            if !self.improve(best, elsewhere(best.with_operations(&operations))) {
                operation += 1;
            }
        }
    }

    /// Puts one fault in the place of two: one of them for as long as both, or one that takes the leader away, for as long
    /// or until another one is elected.
    fn merge(&self, best: &mut Case, seeds: u64) {
        self.tell("merge", best);
        let isolated = Fault::Partition { shape: Shape::Isolate { target: Target::Leader } };
        let kinds = [isolated, Fault::Crash { target: Target::Leader }];
        let Shrinker { plan, system, .. } = self.shrinker;
        let known = |fault: &Fault| plan.nemeses.iter().any(|name| name == fault.kind());
        let kinds: Vec<Fault> = kinds.into_iter().filter(known).collect();
        let longer = [Duration::ZERO, system.manifest().timing.failover];
        let mut second = 1;
        while second < best.faults.len() && !self.is_over() {
            let mut cases = Vec::new();
            for first in 0..second {
                let (kept, taken) = (best.faults[first], best.faults[second]);
                let (at, until) = (kept.at.min(taken.at), kept.until.max(taken.until));
                let for_both = [kept, taken].map(|fault| Planned { at, until, ..fault });
                let others_kinds = kinds.iter().flat_map(|fault| {
                    longer.map(|longer| {
                        let until = until + longer;
                        Planned { at, until, fault: *fault, after: None, ..kept }
                    })
                });
                for one in others_kinds.chain(for_both) {
                    let mut faults = best.faults.clone();
                    faults.remove(second);
                    faults[first] = one;
                    let mut case = best.with_faults(faults);
                    let end = one.until.since_start() + GRAIN;
                    case.config.safety = case.config.safety.max(end);
                    cases.extend(others(case, seeds));
                }
            }
            if !self.improve(best, cases) {
                second += 1;
            }
        }
    }

    /// Brings the configuration towards the least.
    fn simplify(&self, best: &mut Case) {
        self.tell("configuration", best);
        let (fewest, _) = self.shrinker.system.manifest().nodes;
        if best.faults.iter().all(|fault| fault.fault.kind() != "membership") {
            let without_spares = best.with_config(|config| config.spares = 0);
            self.improve(best, [without_spares]);
        }
        let fewer = (fewest..best.config.nodes).map(|nodes| best.with_config(|c| c.nodes = nodes));
        let fewer: Vec<Case> = fewer.flat_map(|case| others(case, SEEDS_MAX)).collect();
        self.improve(best, fewer);
        let compact = compact(best);
        let cut = without_idle_end(best);
        self.improve(best, [compact, cut]);
        let shorter = [1000, 2000].map(Duration::from_millis);
        let shorter = shorter.into_iter().filter(|liveness| *liveness < best.config.liveness);
        let shorter = shorter.map(|liveness| {
            let case = best.with_config(|config| config.liveness = liveness);
            case.until(best.config.safety)
        });
        let shorter: Vec<Case> = shorter.collect();
        self.improve(best, shorter);
    }

    /// Makes transactions shorter, and keys and numbers small.
    fn make_plain(&self, best: &mut Case) {
        self.tell("plain", best);
        for client in 0..best.calls.len() {
            for place in 0..best.calls[client].len() {
                while !self.is_over() {
                    let fewer = plain::with_fewer_steps(&best.calls[client][place].op);
                    let with = |op| {
                        let mut case = best.clone();
                        case.calls[client][place].op = op;
                        case
                    };
                    let cases: Vec<Case> = fewer.into_iter().map(with).collect();
                    if !self.improve(best, cases) {
                        break;
                    }
                }
            }
        }
        // The name of a key may say where it is kept.
        let parts = [[true, true], [false, true], [true, false]];
        let renamed =
            parts.map(|parts| Case { calls: plain::renamed(&best.calls, parts), ..best.clone() });
        self.improve(best, renamed);
    }

    /// Puts a run that fails under its own seed and hardly any other at other moments, at which it fails under more. Whether
    /// there were such.
    fn make_steady(&self, best: &mut Case) -> bool {
        self.tell("steady", best);
        let begin = self.failing(best, SEEDS_STEADY).len() as u64;
        let mut most = begin;
        // A fourth of them is enough to tell what it takes.
        for _ in 0..ROUNDS_MAX {
            if most * 4 > SEEDS_STEADY || self.is_over() {
                break;
            }
            let base = best.clone();
            for case in base.later() {
                if self.failing(&case, SEEDS_GLANCE).len() < 2 {
                    continue;
                }
                let failing = self.failing(&case, SEEDS_STEADY);
                if failing.len() as u64 > most.max(1) && !self.is_over() {
                    (*best, most) = (Case { seed: failing[0], ..case }, failing.len() as u64);
                }
            }
            if *best == base {
                break;
            }
        }
        most > begin
    }

    /// Under which of its own seed and some others after it a run fails.
    fn failing(&self, case: &Case, seeds: u64) -> Vec<Seed> {
        let all: Vec<Case> = others(case.clone(), seeds).collect();
        let failing = all.into_par_iter().filter(|case| !self.is_over() && self.fails(case));
        failing.map(|case| case.seed).collect()
    }

    /// Puts when things came to be in the place of when they were to be: a client that is busy asks later, and faults
    /// begin and end with a step of the world.
    fn take_times(&self, best: &mut Case) {
        self.tell("moments", best);
        let history = self.run(best).history;
        let mut case = best.clone();
        let end = history.phase_began(Phase::Final).map(|(event, _)| event);
        for (client, calls) in case.calls.iter_mut().enumerate() {
            let asked = history.operations().filter(|operation| {
                operation.session.index() == client && end.is_none_or(|end| operation.invoked < end)
            });
            let asked: Vec<Time> = asked.map(|operation| operation.invoked_at).collect();
            // One that has lost its session goes on with another.
            if asked.len() == calls.len() {
                calls.iter_mut().zip(asked).for_each(|(call, at)| call.at = at);
            }
        }
        take_times(&mut case.faults, &history);
        self.improve(best, [case]);
    }

    /// Takes out the time in which nothing happens, and rounds the rest.
    fn hasten(&self, best: &mut Case) {
        self.tell("times", best);
        for index in 0..best.faults.len() {
            // Every fault ends earlier, if it may.
            loop {
                let fault = &best.faults[index];
                let lasts = fault.until.since(fault.at);
                if lasts < GRAIN * 2 {
                    break;
                }
                let mut shorter = best.clone();
                shorter.faults[index].until = fault.at + lasts / 2;
                if !self.improve(best, [shorter]) {
                    break;
                }
            }
        }
        let mut place = 0;
        while !self.is_over() {
            let moments = best.moments();
            let Some(to) = moments.get(place).copied() else { break };
            let from = place.checked_sub(1).map_or(Time::ZERO, |before| moments[before]);
            let pause = to.since(from);
            let shorter = |pause_left: Duration| {
                let less = pause.saturating_sub(pause_left);
                best.moved(|at| if at >= to { Time::ZERO + (at.since_start() - less) } else { at })
            };
            let pauses =
                [Duration::ZERO, GRAIN, pause / 2].into_iter().filter(|left| *left < pause);
            let cases: Vec<Case> =
                pauses.flat_map(|left| others(shorter(left), SEEDS_A_PAUSE)).collect();
            if pause < GRAIN || !self.improve(best, cases) {
                place += 1;
            }
        }
        let rounded = best.moved(|at| Time::ZERO + round_up(at.since_start()));
        self.improve(best, [rounded]);
        let last = best.moments().last().map_or(Duration::ZERO, |last| last.since_start());
        let ends = [last + GRAIN, last + Duration::from_secs(1), last + Duration::from_secs(3)];
        let ends = ends.into_iter().map(round_up).filter(|end| *end < best.config.safety);
        let shorter: Vec<Case> = ends.map(|end| best.until(end)).collect();
        self.improve(best, shorter);
    }
}

/// The changes that take out of a run what makes it depend on chance.
const CALM: [fn(&mut Config); 4] = [
    |config| config.latency_max = config.tick,
    |config| config.sync_max = Duration::ZERO,
    |config| config.whims = false,
    |config| config.message_cost = Duration::ZERO,
];

/// The same under its own seed and the next ones.
fn others(case: Case, count: u64) -> impl Iterator<Item = Case> {
    let seed = case.seed.0;
    (0..=count).map(move |more| Case { seed: Seed(seed.wrapping_add(more)), ..case.clone() })
}

/// The next multiple of the grain.
fn round_up(time: Duration) -> Duration {
    let grain = GRAIN.as_millis() as u64;
    Duration::from_millis((time.as_millis() as u64).div_ceil(grain) * grain)
}

/// The same without clients that ask for nothing; the others turn to other nodes then.
fn compact(case: &Case) -> Case {
    let asks = |client: &usize| !case.calls[*client].is_empty();
    let left: Vec<usize> = (0..case.calls.len()).filter(asks).collect();
    let pinned = left.iter().filter(|client| **client < case.config.pinned as usize).count();
    let calls: Vec<Vec<Call>> = left.iter().map(|client| case.calls[*client].clone()).collect();
    with_clients(case, calls, pinned)
}

/// The same without the clients at the end that ask for nothing.
fn without_idle_end(case: &Case) -> Case {
    let last = case.calls.iter().rposition(|calls| !calls.is_empty()).map_or(0, |last| last + 1);
    let pinned = (case.config.pinned as usize).min(last);
    with_clients(case, case.calls[..last].to_vec(), pinned)
}

fn with_clients(case: &Case, mut calls: Vec<Vec<Call>>, pinned: usize) -> Case {
    if calls.is_empty() {
        calls.push(Vec::new());
    }
    let (clients, pinned) = (calls.len() as u32, pinned as u32);
    let config = Config { clients, pinned, ..case.config.clone() };
    Case { config, calls, ..case.clone() }
}

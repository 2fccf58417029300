//! The runner: one run is one thread; results are merged in the order of seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use checkers::Verdict;
use checkers::history::{FaultId, Time};

use super::findings::{Findings, OwnError, Ran, Stopped};
use super::in_test::{Aftermath, Draft};
use super::matrix::{Row, telling};
use super::so_far::{Past, SoFar};
use crate::nemesis::Planned;
use crate::plan::Plan;
use crate::run::{self, Effect, Judged, Options, Report};
use crate::seed::Seed;
use crate::store::Store;
use crate::system::System;
use crate::triage::Kind;

/// One run in so many is executed twice, and the fingerprints are compared.
const RECHECK_EVERY: u64 = 50;

/// Many seeds over several plans.
///
/// Its findings do not depend on the number of threads, nor on which of them was faster; a budget
/// and Ctrl-C decide only how many seeds there are.
pub struct Campaign {
    /// The system that plans are added for.
    pub(super) system: Option<Arc<dyn System>>,
    pub(super) entries: Vec<Entry>,
    /// The plan that is put together setting by setting.
    pub(super) draft: Option<Draft>,
    pub(super) seeds: Range<u64>,
    /// How its runs depart from what their plans and seeds say.
    pub(super) options: Options,
    /// What a failing test does with the findings.
    pub(super) aftermath: Aftermath,
    threads: usize,
    budget: Option<Duration>,
    failures_max: usize,
    store: Option<Store>,
    known: BTreeSet<Kind>,
    /// Where it is written down what each run came to.
    so_far: Option<SoFar>,
    stop: Arc<AtomicBool>,
}

/// One plan of a campaign, and the system that it names.
#[derive(Clone)]
pub struct Entry {
    /// The plan. It was [checked](Plan::check).
    pub plan: Plan,
    /// The system.
    pub system: Arc<dyn System>,
}

/// How far a campaign is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Runs that ended.
    pub done: u64,
    /// Runs in all.
    pub of: u64,
    /// Runs that broke something claimed.
    pub failures: usize,
}

impl Campaign {
    /// Makes a campaign over one system, with the plan that has every default and 100 seeds.
    pub fn new(system: Arc<dyn System>) -> Campaign {
        let mut campaign = Campaign::of(Vec::new());
        campaign.system = Some(system);
        campaign
    }

    /// Makes a campaign over several plans, each with its system.
    pub fn of(entries: Vec<Entry>) -> Campaign {
        Campaign {
            system: None,
            entries,
            draft: None,
            seeds: 0..100,
            options: Options::default(),
            aftermath: Aftermath::default(),
            threads: std::thread::available_parallelism().map_or(1, NonZero::get),
            budget: None,
            failures_max: 100,
            store: None,
            known: BTreeSet::new(),
            so_far: None,
            stop: Arc::default(),
        }
    }

    /// Adds a plan for the system that the campaign was made with, whatever system it names.
    ///
    /// # Panics
    /// If the plan is wrong, or the campaign was made without a system.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Campaign {
        self.add(plan);
        self
    }

    pub(super) fn add(&mut self, mut plan: Plan) {
        let system = self.system.clone().expect("`Campaign::new` names the system of its plans");
        plan.system = system.manifest().name;
        if let Err(error) = plan.check_for(&*system, &[]) {
            panic!("{error}");
        }
        self.entries.push(Entry { plan, system });
    }

    /// Runs each plan with these seeds.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Campaign {
        self.seeds = seeds;
        self
    }

    /// Runs so many runs at a time; at first, as many as there are processors.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Campaign {
        self.threads = threads.max(1);
        self
    }

    /// Begins no run after this time.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Campaign {
        self.budget = Some(budget);
        self
    }

    /// Ends after so many failing runs; at first, 100.
    #[must_use]
    pub fn failures_max(mut self, failures: usize) -> Campaign {
        self.failures_max = failures.max(1);
        self
    }

    /// Stores runs worth looking at.
    #[must_use]
    pub fn store(mut self, store: Store) -> Campaign {
        self.store = Some(store);
        self
    }

    /// Takes failures of these kinds for known: they neither fail the campaign nor end it.
    #[must_use]
    pub fn known(mut self, kinds: BTreeSet<Kind>) -> Campaign {
        self.known = kinds;
        self
    }

    /// Writes down what each run came to, until the campaign has ended, and takes over what an earlier process has written down
    /// of it.
    #[must_use]
    pub fn so_far(mut self, so_far: SoFar) -> Campaign {
        self.so_far = Some(so_far);
        self
    }

    /// Begins no run after this turned true.
    #[must_use]
    pub fn stop_on(mut self, stop: Arc<AtomicBool>) -> Campaign {
        self.stop = stop;
        self
    }

    /// Runs the campaign, as a test does: where the environment asks for one seed or one stored run
    /// ([`in_test`](super::in_test)), it is only that.
    ///
    /// # Panics
    /// If the plan is wrong, or the environment asks for what is no seed and no run of the campaign.
    pub fn run(mut self) -> Findings {
        self.heed_environment();
        self.run_with(&mut |_| {})
    }

    /// Runs the campaign; `watch` hears after each run how far it is.
    pub fn run_with(mut self, watch: &mut dyn FnMut(Progress)) -> Findings {
        self.finish_draft();
        let past = self.so_far.as_mut().map(SoFar::take_past).unwrap_or_default();
        let work = Work {
            next: AtomicU64::new(past.len() as u64),
            enough: AtomicBool::new(false),
            // What is beyond all time is no limit.
            deadline: self.budget.and_then(|budget| now().checked_add(budget)),
        };
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(self.runs() as usize) {
                let sender = sender.clone();
                scope.spawn(|| self.labour(&work, sender));
            }
            drop(sender);
            self.merge(&work, past, &receiver, watch)
        })
    }

    /// How many runs there are in all.
    fn runs(&self) -> u64 {
        let seeds = self.seeds.end.saturating_sub(self.seeds.start);
        seeds.saturating_mul(self.entries.len() as u64)
    }

    /// The run with this number. All plans take a seed before any takes the next, so that a
    /// campaign cut short has run each of them as often.
    fn place(&self, index: u64) -> (usize, Seed) {
        let plans = self.entries.len() as u64;
        ((index % plans) as usize, Seed(self.seeds.start + index / plans))
    }

    /// What one thread does: run after run, until there is none left.
    fn labour(&self, work: &Work, sender: Sender<(u64, Done)>) {
        while !self.stop.load(Ordering::Relaxed) && !work.is_over() {
            let index = work.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.runs() {
                return;
            }
            let (row, seed) = self.place(index);
            let done = execute(&self.entries[row], seed, &self.options);
            if sender.send((index, done)).is_err() {
                return;
            }
        }
    }

    fn row(&self, entry: &Entry) -> Row {
        let mut row = Row::new(&entry.plan, &*entry.system);
        let known = self.known.iter().filter(|kind| kind.is_of(&entry.plan));
        row.known = known.map(|kind| (kind.guarantee, kind.anomaly.clone())).collect();
        row
    }

    /// Takes the results in the order of seeds.
    fn merge(
        &self,
        work: &Work,
        past: Vec<Past>,
        receiver: &Receiver<(u64, Done)>,
        watch: &mut dyn FnMut(Progress),
    ) -> Findings {
        let rows = self.entries.iter().map(|entry| self.row(entry)).collect();
        let mut findings = Findings::new(rows);
        findings.aftermath = Aftermath { entries: self.entries.clone(), ..self.aftermath.clone() };
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        let mut so_far = self.so_far.as_ref();
        for past in past {
            self.absorb(&mut findings, next, &past);
            next += 1;
        }
        if findings.failures() >= self.failures_max {
            work.enough.store(true, Ordering::Relaxed);
        }
        for (index, done) in receiver {
            waiting.insert(index, done);
            while !work.enough.load(Ordering::Relaxed)
                && let Some(done) = waiting.remove(&next)
            {
                self.take(&mut findings, next, done, &mut so_far);
                next += 1;
                let failures = findings.failures();
                watch(Progress { done: next, of: self.runs(), failures });
                if failures >= self.failures_max {
                    work.enough.store(true, Ordering::Relaxed);
                }
            }
        }
        findings.ended = next;
        findings.stopped = if self.stop.load(Ordering::Relaxed) {
            Some(Stopped::Interrupted)
        } else if next == self.runs() {
            None
        } else if work.enough.load(Ordering::Relaxed) {
            Some(Stopped::Failures)
        } else {
            Some(Stopped::Budget)
        };
        // There is nothing more to go on with.
        if let (None, Some(so_far)) = (findings.stopped, so_far)
            && let Err(error) = so_far.end()
            && next > 0
        {
            findings.unstored.push(self.own_error(next - 1, error.to_string()));
        }
        findings
    }

    /// Takes a run that has ended, and writes down what it came to.
    fn take(&self, findings: &mut Findings, index: u64, done: Done, so_far: &mut Option<&SoFar>) {
        let mut past = Past { ran: None, panicked: None, stored: None, unstored: None };
        match done {
            Done::Panicked(message) => past.panicked = Some(message),
            Done::Ran { ran, report } => {
                let (row, _) = self.place(index);
                let report = report.filter(|_| findings.is_to_keep(row, &ran));
                match report.and_then(|report| Some(self.store.as_ref()?.save(&report))) {
                    Some(Ok(folder)) => past.stored = Some(folder),
                    Some(Err(error)) => past.unstored = Some(error.to_string()),
                    None => {}
                }
                past.ran = Some(*ran);
            }
        }
        self.absorb(findings, index, &past);
        if let Some(Err(error)) = so_far.map(|so_far| so_far.add(&past)) {
            // What comes after a run that is missing would be taken for another one.
            *so_far = None;
            findings.unstored.push(self.own_error(index, error.to_string()));
        }
    }

    /// Adds what a run came to.
    fn absorb(&self, findings: &mut Findings, index: u64, past: &Past) {
        if let Some(message) = &past.panicked {
            findings.own_errors.push(self.own_error(index, message.clone()));
        }
        if let Some(ran) = &past.ran {
            let (row, seed) = self.place(index);
            findings.absorb(row, seed, ran, past.stored.clone());
        }
        if let Some(message) = &past.unstored {
            findings.unstored.push(self.own_error(index, message.clone()));
        }
    }

    fn own_error(&self, index: u64, message: String) -> OwnError {
        let (row, seed) = self.place(index);
        OwnError { plan: self.entries[row].plan.name.clone(), seed, message }
    }
}

/// What the threads share.
struct Work {
    /// The number of the next run.
    next: AtomicU64,
    /// Whether enough failures were found.
    enough: AtomicBool,
    /// When the budget is spent.
    deadline: Option<Instant>,
}

impl Work {
    fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| now() >= deadline)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the budgets of a campaign and of what follows are wall time; they decide what runs, never what it does"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// How an execution ended.
enum Done {
    /// It came to a report, which is kept where it is worth telling.
    Ran { ran: Box<Ran>, report: Option<Box<Report>> },
    /// Our own code panicked.
    Panicked(String),
}

fn execute(entry: &Entry, seed: Seed, options: &Options) -> Done {
    let once = || run::run(&entry.system, &entry.plan, seed, options.clone());
    let executed = catch_unwind(AssertUnwindSafe(|| {
        let again = seed.0.is_multiple_of(RECHECK_EVERY).then(|| once().fingerprint);
        (once(), again)
    }));
    let (report, again) = match executed {
        Ok(executed) => executed,
        Err(panic) => return Done::Panicked(words_of(panic.as_ref())),
    };
    let begun = begun(&report);
    let ran = Ran {
        fingerprint: report.fingerprint.clone(),
        again,
        judged: report.judged.iter().map(|judged| in_brief(judged, &begun)).collect(),
        vacuous: report.vacuous.clone(),
        conclusion: report.conclusion(),
        counts: report.counts,
        marks: report.marks.keys().cloned().collect(),
        named: named(&report),
        begun,
    };
    let report = ran.is_worth_telling().then(|| Box::new(report));
    Done::Ran { ran: Box::new(ran), report }
}

/// A verdict, of many anomalies with those that tell.
fn in_brief(judged: &Judged, begun: &[Time]) -> Judged {
    let verdict = match &judged.verdict {
        Verdict::Invalid { anomalies, coverage } => {
            Verdict::Invalid { anomalies: telling(anomalies, begun), coverage: coverage.clone() }
        }
        verdict @ (Verdict::Valid(_) | Verdict::Unknown { .. }) => verdict.clone(),
    };
    Judged { verdict, beyond: judged.beyond.clone(), ..*judged }
}

/// When each fault began that made a difference.
fn begun(report: &Report) -> Vec<Time> {
    effective(report).map(|planned| planned.at).collect()
}

/// The places of what the plan names and that made a difference, nemeses first.
fn named(report: &Report) -> Vec<usize> {
    let Plan { nemeses, faults, .. } = &report.plan;
    let of_nemesis =
        nemeses.iter().map(|name| effective(report).any(|planned| planned.fault.kind() == name));
    let of_fault = faults.iter().map(|fault| effective(report).any(|planned| fault.is(planned)));
    let effective = of_nemesis.chain(of_fault).enumerate();
    effective.filter(|(_, is)| *is).map(|(place, _)| place).collect()
}

/// The faults that made a difference.
fn effective(report: &Report) -> impl Iterator<Item = &Planned> {
    let effect = |id: FaultId| report.effects.get(id.index());
    let planned = report.schedule.0.iter();
    planned.filter(move |planned| effect(planned.id).is_some_and(Effect::took_effect))
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

//! What a failing test says: what happened, in the smallest run that shows it, and how to have it again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkers::Anomaly;

use super::findings::{Broken, Divergence, Ending, Findings, Inconclusive, Notable, OwnError};
use super::in_test::{replay_of_run, replay_of_seed};
use super::matrix::{Row, Standing};
use super::runner::{Entry, now};
use crate::doctor;
use crate::report::brief::counted;
use crate::report::summary::{kind, shell_word};
use crate::report::timeline::{self, Scope, Window};
use crate::report::{escape, run as words, shrink as sizes};
use crate::run::{Options, Report, run};
use crate::seed::Seed;
use crate::shrink::{Failure, Shrinker, Shrunk};
use crate::store::{Record, Store, StoreError};
use crate::system::Claim;
use crate::why::Why;

/// How long a failing run is made smaller before the test ends with what was found so far.
const SHRINKING_MAX: Duration = Duration::from_secs(30);
/// How many runs tell what becomes of the failure without a fault or an operation.
const VARIANTS: u32 = 20;
/// The most operations of a run that are shown as they are; of a longer one, those near the anomaly are.
const SHOWN_MAX: usize = 30;
/// How many failing runs are listed besides the first.
const LISTED_MAX: usize = 8;

impl Findings {
    /// Ends a test unless every verdict is as the system says.
    ///
    /// # Panics
    /// Where a claimed guarantee was broken or could not be judged, where a disclaimed one has no witness, where a
    /// seed gave two histories, and where nothing ran. It says what happened in the first failing run, having
    /// kept it and made it smaller, and how to replay it ([`in_test`](super::in_test)).
    #[track_caller]
    pub fn assert_valid(&self) {
        let ending = self.ending();
        // A shrunk run has in it what shows its failure, and too little to prove anything else.
        let is_mended = ending == Ending::Unknown && self.aftermath.played.is_some();
        assert!(ending == Ending::Met || is_mended, "{}", self.complaint(ending));
    }

    fn complaint(&self, ending: Ending) -> String {
        let mut text = format!("{}\n", ending.sentence());
        let fails =
            |notable: &&Notable| notable.broken.iter().any(|broken| broken.claim == Claim::Holds);
        let mut failing = self.notable.iter().filter(fails);
        if let Some(first) = failing.next() {
            self.study(&mut text, first);
            self.list(&mut text, failing.collect());
        }
        self.witnesses_missing(&mut text);
        self.inconclusive(&mut text);
        self.divergences(&mut text);
        for OwnError { plan, seed, message } in &self.own_errors {
            let message = escape::line(message);
            let _ = writeln!(text, "\n{plan}, seed {seed}: the harness failed: {message}");
        }
        if let Some(OwnError { plan, seed, message }) = self.unstored.first() {
            let message = escape::line(message);
            let _ = writeln!(text, "\n{plan}, seed {seed} could not be stored: {message}");
        }
        if ending == Ending::NothingRan {
            text.push_str("\nno plan or no seed was left to run\n");
        }
        text
    }

    fn entry(&self, plan: &str) -> Option<&Entry> {
        self.aftermath.entries.iter().find(|entry| entry.plan.name == plan)
    }

    /// Keeps a failing run, makes it smaller, and says what happened.
    fn study(&self, text: &mut String, notable: &Notable) {
        let Notable { plan, seed, broken, .. } = notable;
        let worst = broken.iter().find(|broken| broken.claim == Claim::Holds);
        let (Some(entry), Some(Broken { guarantee, anomaly, .. })) = (self.entry(plan), worst)
        else {
            return;
        };
        let failure = Failure { guarantee: *guarantee, anomaly: anomaly.clone() };
        let _ = writeln!(text, "\n{plan}, seed {seed}: {}", kind(*guarantee, anomaly));
        let played = self.aftermath.played.as_ref();
        let options = played.cloned().unwrap_or_default();
        let whole = Options { trace: true, keeps_calls: true, ..options };
        let report = run(&entry.system, &entry.plan, *seed, whole);
        if played.is_some() {
            tell(text, &report, &failure);
            return;
        }
        let store = Store::open(&self.aftermath.results());
        let kept = store.as_ref().map(|store| store.save(&report));
        let mut smaller = None;
        if self.aftermath.shrinks {
            smaller = shrink(entry, *seed, &failure);
        }
        match &smaller {
            Some(shrunk) => {
                let _ = write!(
                    text,
                    "made smaller in {}, {}",
                    counted(shrunk.runs, "run"),
                    sizes::terminal(&failure, shrunk.before, shrunk.after)
                );
                tell(text, &shrunk.report, &failure);
            }
            None => tell(text, &report, &failure),
        }
        let name = format!("{plan}-{seed}-shrunk");
        let kept_small = smaller
            .as_ref()
            .zip(store.as_ref().ok())
            .map(|(shrunk, store)| store.save_as(&shrunk.report, &name));
        let _ = writeln!(text, "\nreplay: {}", replay_of_seed(*seed));
        if let Some(Ok(folder)) = &kept_small {
            let _ = writeln!(text, "        {}  (the smaller one)", replay_of_run(folder));
        }
        match kept {
            Ok(kept) => say_where(text, [Some(kept), kept_small].into_iter().flatten()),
            Err(error) => {
                let _ = writeln!(text, "not kept: {error}");
            }
        }
    }

    /// The other failing runs, a line each.
    fn list(&self, text: &mut String, failing: Vec<&Notable>) {
        if failing.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{} more of {} runs fail:", failing.len(), self.totals.runs);
        for Notable { plan, seed, broken, .. } in failing.iter().take(LISTED_MAX) {
            let claimed = broken.iter().filter(|broken| broken.claim == Claim::Holds);
            let kinds: Vec<String> =
                claimed.map(|broken| kind(broken.guarantee, &broken.anomaly)).collect();
            let _ = writeln!(text, "  {plan}, seed {seed}: {}", escape::line(&kinds.join("; ")));
        }
        if failing.len() > LISTED_MAX {
            let _ = writeln!(text, "  and {} more", failing.len() - LISTED_MAX);
        }
    }

    fn witnesses_missing(&self, text: &mut String) {
        for row in &self.rows {
            for cell in row.cells.iter().filter(|cell| row.standing(cell) == Standing::NoWitness) {
                let Row { plan, system, runs, .. } = row;
                let guarantee = cell.guarantee;
                let _ = writeln!(
                    text,
                    "\n{plan}: {system} says that it is not {guarantee}, but none of {runs} runs shows it: the \
                     faults are too weak, or the claim is too modest"
                );
            }
        }
    }

    fn inconclusive(&self, text: &mut String) {
        let Some(first) = self.inconclusive.first() else { return };
        let (count, runs) = (self.inconclusive.len(), self.totals.runs);
        let _ = writeln!(text, "\n{count} of {runs} runs prove nothing:");
        for Inconclusive { plan, seed, reason, .. } in self.inconclusive.iter().take(LISTED_MAX) {
            let _ = writeln!(text, "  {plan}, seed {seed}: {}", escape::line(reason));
        }
        if count > LISTED_MAX {
            let _ = writeln!(text, "  and {} more", count - LISTED_MAX);
        }
        let _ = writeln!(text, "replay: {}", replay_of_seed(first.seed));
    }

    /// Which event differs first, of the first seed that gave two histories.
    fn divergences(&self, text: &mut String) {
        let Some(Divergence { plan, seed, .. }) = self.divergences.first() else { return };
        let Some(entry) = self.entry(plan) else { return };
        let again = doctor::on_two_threads(entry, seed.0..seed.0.saturating_add(1), &|| {});
        let shown = match again {
            Err(difference) => difference.explain(),
            Ok(_) => format!("{plan}, seed {seed} gave two different histories, but not again\n"),
        };
        let _ = write!(
            text,
            "\n{shown}something in the system is not decided by the seed: a thread, a clock of the operating system, \
             the order of a `HashMap`, or what an earlier run left behind\nreplay: {}\n",
            replay_of_seed(*seed)
        );
    }
}

/// A smaller run with the same failure, with what it takes.
fn shrink(entry: &Entry, seed: Seed, failure: &Failure) -> Option<Shrunk> {
    let deadline = now() + SHRINKING_MAX;
    let stop = || now() >= deadline;
    let shrinker = Shrinker {
        system: &entry.system,
        plan: &entry.plan,
        seed,
        failure: failure.clone(),
        stop: &stop,
        progress: &|_, _, _| {},
    };
    // A run that does not fail again is told as it was; the seed gives two histories then.
    let mut shrunk = shrinker.shrink(Options::default()).ok()?;
    shrunk.report.why = Why::of(&entry.system, &shrunk.report, failure, VARIANTS, &stop);
    Some(shrunk)
}

/// What happened in a run: the anomaly, what it takes, and the history around it.
fn tell(text: &mut String, report: &Report, failure: &Failure) {
    let Some(anomaly) = failure.find(report) else {
        text.push_str(
            "when it was run again, it did not fail: the seed does not decide all of it\n",
        );
        return;
    };
    let record = Record::of(report);
    let _ = write!(text, "\n{}\n{}", words::drawn(&record), words::explanation(anomaly));
    text.push_str(&words::why(&record));
    let _ = write!(text, "\n▶ marks the operations that prove it\n{}\n", table(report, anomaly));
}

fn table(report: &Report, anomaly: &Anomaly) -> String {
    let is_short = report.history.operation_count() <= SHOWN_MAX;
    let scope = if is_short { Scope::All } else { Scope::Anomaly };
    let window = Window { context: 2, scope };
    timeline::terminal(&timeline::rows(&report.history, Some(anomaly), window))
}

/// Where runs were kept.
fn say_where(text: &mut String, kept: impl Iterator<Item = Result<PathBuf, StoreError>>) {
    for kept in kept {
        let _ = match kept {
            Ok(folder) => writeln!(text, "kept:   {}", shown(&folder)),
            Err(error) => writeln!(text, "not kept: {error}"),
        };
    }
}

fn shown(folder: &Path) -> String {
    shell_word(&folder.display().to_string())
}

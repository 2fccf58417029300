//! What came of a campaign. Absorbed run by run in the order of seeds, so that it does not depend
//! on which thread was faster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use checkers::Guarantee;
use checkers::history::Time;
use serde::{Deserialize, Serialize};

use super::in_test::Aftermath;
use super::matrix::{Row, Standing, sentence_of};
use super::runner::Entry;
use crate::budget::Beyond;
use crate::corpus::Verified;
use crate::run::{Conclusion, Counts, Fingerprint, Judged};
use crate::seed::Seed;
use crate::system::Claim;
use crate::triage::Kind;

/// Runs of one kind that are kept: for each plan, guarantee and name of an anomaly.
const KEPT_OF_A_KIND: u64 = 4;

/// What came of a campaign.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// One row for each plan, in the order of the campaign file.
    pub rows: Vec<Row>,
    /// Every run that broke a claimed guarantee, and the first few witnesses for each guarantee
    /// that is not claimed, in the order of seeds.
    pub notable: Vec<Notable>,
    /// Runs that do not tell, in the order of seeds.
    pub inconclusive: Vec<Inconclusive>,
    /// Seeds that gave two different histories.
    pub divergences: Vec<Divergence>,
    /// Mistakes of the harness itself.
    pub own_errors: Vec<OwnError>,
    /// Runs that could not be stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unstored: Vec<OwnError>,
    /// What there was of everything.
    pub totals: Totals,
    /// Why the campaign ended before its last seed, if it did.
    pub stopped: Option<Stopped>,
    /// How many runs have ended, one seed of all plans before the next.
    #[serde(skip)]
    pub(crate) ended: u64,
    /// What came of the corpus that was run before all that; its failures are counted apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<Verified>,
    /// Runs that broke something claimed in a way that is not known.
    #[serde(skip)]
    failing: usize,
    /// What ran, and what a failing test does about it.
    #[serde(skip)]
    pub(super) aftermath: Aftermath,
    /// How many runs of each kind were kept so far.
    #[serde(skip)]
    kept: BTreeMap<(usize, Guarantee, String), u64>,
}

/// A run that broke a guarantee.
#[derive(Clone, Debug, Serialize)]
pub struct Notable {
    /// Its plan.
    pub plan: String,
    /// Its seed.
    pub seed: Seed,
    /// The guarantees that it broke, each with the first anomaly.
    pub broken: Vec<Broken>,
    /// The folder that it was stored in, if it was.
    pub stored: Option<PathBuf>,
}

/// One guarantee that a run broke.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// What the system says about it.
    pub claim: Claim,
    /// The name of the first anomaly.
    pub anomaly: String,
    /// When it showed.
    pub at: Time,
    /// What happened, in a sentence.
    pub sentence: String,
    /// The faults that go beyond what it is claimed for, where it is an allowed loss.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Beyond>,
}

/// A run that does not tell whether a claimed guarantee held.
#[derive(Clone, Debug, Serialize)]
pub struct Inconclusive {
    /// Its plan.
    pub plan: String,
    /// Its seed.
    pub seed: Seed,
    /// Why.
    pub reason: String,
    /// The folder that it was stored in, if it was.
    pub stored: Option<PathBuf>,
}

/// A seed that gave two different histories.
#[derive(Clone, Debug, Serialize)]
pub struct Divergence {
    /// Its plan.
    pub plan: String,
    /// The seed.
    pub seed: Seed,
    /// The fingerprint of the first history.
    pub first: Fingerprint,
    /// The fingerprint of the second one.
    pub second: Fingerprint,
}

/// A mistake of the harness itself, or what came in its way.
#[derive(Clone, Debug, Serialize)]
pub struct OwnError {
    /// The plan.
    pub plan: String,
    /// The seed.
    pub seed: Seed,
    /// What went wrong.
    pub message: String,
}

/// What there was of everything in a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Runs that ended.
    pub runs: u64,
    /// Operations that the checkers judged.
    pub operations: u64,
    /// Of these, how many took effect.
    pub ok: u64,
    /// Faults that changed something.
    pub faults: u64,
    /// Messages that nodes and clients sent.
    pub messages: u64,
    /// Virtual nanoseconds.
    pub simulated_ns: u64,
}

/// Why a campaign ended before its last seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// Its time was up.
    Budget,
    /// There were as many failures as it was to find.
    Failures,
}

/// What a campaign as a whole comes to, which is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every verdict is as expected.
    Met,
    /// A claimed guarantee was broken, or a disclaimed one has no witness where it should.
    Violated,
    /// A file of the corpus is no case, or cannot be run.
    BadCase,
    /// A run that is worth looking at could not be written.
    Unwritable,
    /// Some run could not be judged, or proved nothing.
    Unknown,
    /// Nothing ran.
    NothingRan,
    /// A seed gave two different histories.
    Nondeterministic,
    /// The harness itself failed.
    OwnError,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Ending {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Ending::Met => 0,
            Ending::Violated => 1,
            Ending::BadCase | Ending::Unwritable => 2,
            Ending::Unknown => 3,
            Ending::NothingRan => 4,
            Ending::Nondeterministic => 5,
            Ending::OwnError => 70,
            Ending::Interrupted => 130,
        }
    }

    /// What it means, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Ending::Met => "every verdict is as the systems say",
            Ending::Violated => "not every verdict is as the systems say",
            Ending::BadCase => "a file of the corpus could not be run",
            Ending::Unwritable => "a run could not be stored",
            Ending::Unknown => "some runs could not be judged, or prove nothing",
            Ending::NothingRan => "nothing ran",
            Ending::Nondeterministic => "a seed gave two different histories",
            Ending::OwnError => "the harness itself failed",
            Ending::Interrupted => "interrupted: these are the runs that had ended",
        }
    }
}

impl From<Conclusion> for Ending {
    /// What a run comes to as a campaign of its own.
    fn from(conclusion: Conclusion) -> Ending {
        match conclusion {
            Conclusion::Valid | Conclusion::AllowedLoss => Ending::Met,
            Conclusion::Unknown => Ending::Unknown,
            Conclusion::Invalid => Ending::Violated,
        }
    }
}

/// What a campaign remembers of one run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ran {
    pub(super) fingerprint: Fingerprint,
    /// The fingerprint of a second execution, where there was one.
    pub(super) again: Option<Fingerprint>,
    /// The verdicts, of many anomalies those that [tell](super::matrix::telling).
    pub(super) judged: Vec<Judged>,
    pub(super) vacuous: Vec<String>,
    pub(super) conclusion: Conclusion,
    pub(super) counts: Counts,
    /// The rare states that nodes got into.
    pub(super) marks: Vec<String>,
    /// The places of what the plan names and that made a difference, nemeses first.
    pub(super) named: Vec<usize>,
    /// When each fault began that made a difference.
    pub(super) begun: Vec<Time>,
}

impl Ran {
    /// Whether there is anything to tell about the run beyond its numbers.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.inconclusive().is_some() || self.judged.iter().any(is_telling)
    }

    fn fails(&self) -> bool {
        self.diverged()
            || self
                .judged
                .iter()
                .any(|judged| judged.claim == Claim::Holds && judged.verdict.is_invalid())
    }

    fn diverged(&self) -> bool {
        self.again.as_ref().is_some_and(|again| *again != self.fingerprint)
    }

    /// Why the run does not tell whether what is claimed held.
    fn inconclusive(&self) -> Option<String> {
        if self.conclusion == Conclusion::AllowedLoss {
            return None;
        }
        if let Some(reason) = self.vacuous.first() {
            return Some(reason.clone());
        }
        let claimed = self.judged.iter().filter(|judged| judged.claim == Claim::Holds);
        claimed.into_iter().find_map(|judged| match &judged.verdict {
            checkers::Verdict::Unknown { reason, .. } => {
                Some(format!("{}: {reason}", judged.guarantee))
            }
            _ => None,
        })
    }
}

/// Whether a verdict is a violation, or a witness for what the system says it breaks.
fn is_telling(judged: &Judged) -> bool {
    judged.verdict.is_invalid()
}

impl Findings {
    pub(super) fn new(rows: Vec<Row>) -> Findings {
        Findings {
            rows,
            notable: Vec::new(),
            inconclusive: Vec::new(),
            divergences: Vec::new(),
            own_errors: Vec::new(),
            unstored: Vec::new(),
            totals: Totals::default(),
            stopped: None,
            ended: 0,
            corpus: None,
            failing: 0,
            aftermath: Aftermath::default(),
            kept: BTreeMap::new(),
        }
    }

    /// Adds one run, which is stored in this folder, if it is.
    pub(super) fn absorb(&mut self, row: usize, seed: Seed, ran: &Ran, stored: Option<PathBuf>) {
        let plan = self.rows[row].plan.clone();
        self.rows[row].add(seed, &ran.judged, !ran.vacuous.is_empty(), &ran.begun);
        for mark in &ran.marks {
            *self.rows[row].marks.entry(mark.clone()).or_default() += 1;
        }
        for named in &ran.named {
            self.rows[row].named[*named].effective += 1;
        }
        self.totals.add(ran);
        if let (true, Some(again)) = (ran.diverged(), &ran.again) {
            let (first, second) = (ran.fingerprint.clone(), again.clone());
            self.divergences.push(Divergence { plan: plan.clone(), seed, first, second });
        }
        let broken = broken_of(ran);
        let reason = ran.inconclusive();
        let keep = self.is_to_keep(row, ran);
        for kind in kinds_of(row, &broken, reason.is_some()) {
            *self.kept.entry(kind).or_default() += 1;
        }
        if let Some(reason) = reason {
            let stored = stored.clone();
            self.inconclusive.push(Inconclusive { plan: plan.clone(), seed, reason, stored });
        }
        self.failing += usize::from(self.fails_anew(row, &broken));
        if !broken.is_empty() && (keep || ran.fails()) {
            self.notable.push(Notable { plan, seed, broken, stored });
        }
    }

    /// Whether the run, which is not added yet, shows something of which there are not enough examples.
    pub(super) fn is_to_keep(&self, row: usize, ran: &Ran) -> bool {
        let kinds = kinds_of(row, &broken_of(ran), ran.inconclusive().is_some());
        let kept = |kind| self.kept.get(kind).copied().unwrap_or_default();
        kinds.iter().any(|kind| kept(kind) < KEPT_OF_A_KIND)
    }

    /// How many runs count as failures.
    pub(super) fn failures(&self) -> usize {
        self.failing + self.divergences.len() + self.own_errors.len()
    }

    /// Whether a run broke something claimed in a way that is not known.
    fn fails_anew(&self, row: usize, broken: &[Broken]) -> bool {
        let row = &self.rows[row];
        let mut claimed = broken.iter().filter(|broken| broken.claim == Claim::Holds);
        claimed.any(|broken| !row.knows(broken.guarantee, &broken.anomaly))
    }

    /// Takes failures of a kind for new that were taken for known: since its runs were shrunk, they are seen to be
    /// others than those that are known.
    pub fn take_for_new(&mut self, kind: &Kind, entries: &[Entry]) {
        let of_kind =
            self.rows.iter_mut().zip(entries).filter(|(_, entry)| kind.is_of(&entry.plan));
        for (row, _) in of_kind {
            row.known.remove(&(kind.guarantee, kind.anomaly.clone()));
        }
    }

    /// What the campaign as a whole comes to.
    pub fn ending(&self) -> Ending {
        let stands = |standing| {
            self.rows.iter().any(|row| row.cells.iter().any(|cell| row.standing(cell) == standing))
        };
        let corpus = |count: fn(&Verified) -> usize| self.corpus.as_ref().map_or(0, count);
        if self.stopped == Some(Stopped::Interrupted) {
            Ending::Interrupted
        } else if stands(Standing::Violated)
            || stands(Standing::NoWitness)
            || corpus(Verified::unmet) > 0
        {
            Ending::Violated
        } else if !self.divergences.is_empty() {
            Ending::Nondeterministic
        } else if !self.own_errors.is_empty() {
            Ending::OwnError
        } else if corpus(Verified::bad) > 0 {
            Ending::BadCase
        } else if !self.unstored.is_empty() {
            Ending::Unwritable
        } else if !self.inconclusive.is_empty() || stands(Standing::Unknown) {
            Ending::Unknown
        } else if self.totals.runs == 0 {
            Ending::NothingRan
        } else {
            Ending::Met
        }
    }
}

/// The kinds of a run, of each of which some are kept.
fn kinds_of(row: usize, broken: &[Broken], inconclusive: bool) -> Vec<(usize, Guarantee, String)> {
    let broken = broken.iter().map(|broken| (row, broken.guarantee, broken.anomaly.clone()));
    // No anomaly has an empty name; which guarantee stands for it does not matter.
    let inconclusive = inconclusive.then(|| (row, Guarantee::ALL[0], String::new()));
    broken.chain(inconclusive).collect()
}

fn broken_of(ran: &Ran) -> Vec<Broken> {
    let telling = ran.judged.iter().filter(|judged| is_telling(judged));
    telling
        .filter_map(|judged| {
            let first = judged.verdict.anomalies().first()?;
            Some(Broken {
                guarantee: judged.guarantee,
                claim: judged.claim,
                anomaly: first.name.clone(),
                at: first.at,
                sentence: sentence_of(first),
                beyond: judged.beyond.clone(),
            })
        })
        .collect()
}

impl Totals {
    fn add(&mut self, ran: &Ran) {
        self.runs += 1;
        self.operations += ran.counts.operations();
        self.ok += ran.counts.ok;
        self.faults += ran.begun.len() as u64;
        self.messages += ran.counts.sent;
        self.simulated_ns += ran.counts.simulated_ns;
    }
}

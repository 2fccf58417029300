//! The failures of a campaign, put together by what they are.

use std::path::PathBuf;

use serde::Serialize;

use super::ledger::Ledger;
use super::signature::{Kind, Shape, Signature};
use crate::budget::Beyond;
use crate::campaign::{AnomalyCount, Cell, Entry, Findings, sentence_of};
use crate::run::{Options, Report};
use crate::seed::Seed;
use crate::shrink::{Failure, ShrinkError, Shrinker, Shrunk, Size};
use crate::store::{Store, StoreError};
use crate::system::Claim;
use crate::why::Why;

/// How many runs tell what becomes of a failure without a fault or an operation.
const VARIANTS: u32 = 50;

/// Failures of one kind in a campaign.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The hash of the signature.
    pub id: String,
    /// What they are; with a shape, where one of them was shrunk.
    pub signature: Signature,
    /// What the system says about the guarantee.
    pub claim: Claim,
    /// How it stands to the baseline, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// What the baseline has instead, where both have a shape and not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_shape: Option<String>,
    /// In how many runs they are.
    pub runs: u64,
    /// How many runs the plans had that found them.
    pub of: u64,
    /// The plans that found them.
    pub plans: Vec<String>,
    /// The plan of the first of them.
    pub plan: String,
    /// The seed of the first of them: the least one.
    pub seed: Seed,
    /// What happened there, in a sentence; in the smaller run, where there is one.
    pub sentence: String,
    /// The faults of that run that go beyond what the guarantee is claimed for, where it is an allowed loss.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Beyond>,
    /// The folder that the first of them was stored in, if it was.
    pub stored: Option<PathBuf>,
    /// What the first of them was shrunk to, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<ShrunkTo>,
}

/// What a failing run was shrunk to.
#[derive(Clone, Debug, Serialize)]
pub struct ShrunkTo {
    /// The folder of the smaller run.
    pub folder: PathBuf,
    /// How much there was of the run.
    pub before: Size,
    /// How much is left.
    pub after: Size,
    /// How many runs it took.
    pub runs: u64,
    /// Whether nothing more can be left out; otherwise the search was ended before that was known.
    pub is_done: bool,
}

/// Who shrinks the failures of a campaign.
pub struct Shrinking<'a> {
    /// The plans of the campaign.
    pub entries: &'a [Entry],
    /// Where the smaller runs go.
    pub store: &'a Store,
    /// Whether to stop with what was found so far.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Is told how much is left, and how many runs it took.
    pub progress: &'a (dyn Fn(&str, Size, u64) + Sync),
}

/// Why a failure could not be shrunk.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkingError {
    /// It did not happen again.
    #[error(transparent)]
    Shrink(#[from] ShrinkError),
    /// The smaller run could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts together what a campaign found, by kind: first what was broken although claimed, each in the order in which
/// the plans come.
pub fn group(findings: &Findings, entries: &[Entry]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (row, entry) in findings.rows.iter().zip(entries) {
        for (cell, claim, anomaly) in row.cells.iter().flat_map(anomalies) {
            let failure = Failure { guarantee: cell.guarantee, anomaly: anomaly.name.clone() };
            let kind = Kind::of(&entry.plan, &failure);
            let is_same = |group: &&mut Group| group.signature.kind == kind && group.claim == claim;
            match groups.iter_mut().find(is_same) {
                Some(group) => group.add(&row.plan, row.runs, anomaly),
                None => groups.push(Group::new(kind, claim, &row.plan, row.runs, anomaly)),
            }
        }
    }
    for group in &mut groups {
        let first = findings
            .notable
            .iter()
            .find(|notable| notable.plan == group.plan && notable.seed == group.seed);
        group.stored = first.and_then(|notable| notable.stored.clone());
    }
    groups.sort_by_key(|group| match group.claim {
        Claim::Holds => 0,
        Claim::Waived => 1,
        Claim::Breaks => 2,
        Claim::Silent => 3,
    });
    groups
}

/// The failures of one run, by kind: first what was broken although claimed.
pub fn of_run(report: &Report) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for judged in &report.judged {
        for anomaly in judged.verdict.anomalies() {
            let kind = Kind::of(&report.plan, &Failure::of(anomaly));
            if groups.iter().any(|group| group.signature.kind == kind) {
                continue;
            }
            let first = AnomalyCount {
                name: anomaly.name.clone(),
                runs: 1,
                first: report.seed,
                sentence: sentence_of(anomaly),
                beyond: judged.beyond.clone(),
            };
            groups.push(Group::new(kind, judged.claim, &report.plan.name, 1, &first));
        }
    }
    groups.sort_by_key(|group| !group.is_failure());
    groups
}

/// How a guarantee was broken, and what is said of it there.
fn anomalies(cell: &Cell) -> impl Iterator<Item = (&Cell, Claim, &AnomalyCount)> {
    let broken = cell.anomalies.iter().map(move |anomaly| (cell, cell.claim, anomaly));
    broken.chain(cell.losses.iter().map(move |loss| (cell, Claim::Waived, loss)))
}

impl Group {
    fn new(kind: Kind, claim: Claim, plan: &str, of: u64, first: &AnomalyCount) -> Group {
        Group {
            id: kind.id(),
            signature: Signature { kind, shape: None },
            claim,
            known: None,
            other_shape: None,
            runs: first.runs,
            of,
            plans: vec![plan.to_owned()],
            plan: plan.to_owned(),
            seed: first.first,
            sentence: first.sentence.clone(),
            beyond: first.beyond.clone(),
            stored: None,
            shrunk: None,
        }
    }

    fn add(&mut self, plan: &str, of: u64, more: &AnomalyCount) {
        self.runs += more.runs;
        self.of += of;
        self.plans.push(plan.to_owned());
        if more.first < self.seed {
            plan.clone_into(&mut self.plan);
            self.seed = more.first;
            self.sentence.clone_from(&more.sentence);
            self.beyond.clone_from(&more.beyond);
        }
    }

    /// Whether something was broken that the system claims.
    pub fn is_failure(&self) -> bool {
        self.claim == Claim::Holds
    }

    /// The folder of its smallest run, if any was stored.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.shrunk.as_ref().map(|shrunk| &shrunk.folder).or(self.stored.as_ref())
    }

    /// Says of it whether the baseline has it.
    pub fn compare(&mut self, baseline: &Ledger) {
        let known: Vec<_> = baseline.known(&self.signature.kind, self.claim).collect();
        let others = known.iter().filter(|known| known.has_other_shape(&self.signature)).count();
        let other = known.first().filter(|_| others == known.len());
        self.known = Some(others < known.len());
        self.other_shape = other.map(|other| other.id.clone());
    }

    /// Shrinks the first of its runs, and stores what remains. The shape of a run of which more might be left out
    /// would say more than what the failure is: there is none then.
    ///
    /// # Errors
    /// Where the run does not fail as it did, or the smaller one cannot be stored.
    ///
    /// # Panics
    /// If the campaign that it comes from had other plans.
    pub fn shrink(&mut self, shrinking: &Shrinking<'_>) -> Result<(), ShrinkingError> {
        let Shrinking { entries, store, stop, progress } = shrinking;
        let entry = entries.iter().find(|entry| entry.plan.name == self.plan);
        let Entry { plan, system } = entry.expect("the group was made of runs of these plans");
        let failure = self.signature.kind.failure();
        let (seed, stop, progress) = (self.seed, *stop, *progress);
        let shrinker = Shrinker { system, plan, seed, failure: failure.clone(), stop, progress };
        let Shrunk { mut report, before, after, runs, is_done, .. } =
            shrinker.shrink(Options::default())?;
        report.why = Why::of(system, &report, &failure, VARIANTS, stop);
        if let Some(anomaly) = failure.find(&report) {
            self.signature.shape = is_done.then(|| Shape::of(&report, anomaly));
            self.id = self.signature.id();
            self.sentence = sentence_of(anomaly);
        }
        // Two failures of one seed are shrunk to two runs.
        let name = format!("{}-{seed}-shrunk-{}", self.plan, self.signature.kind.id());
        let folder = store.save_as(&report, &name)?;
        self.shrunk = Some(ShrunkTo { folder, before, after, runs, is_done });
        Ok(())
    }
}

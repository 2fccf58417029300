//! Two campaigns compared: what is new, ongoing, resolved and regressed.

use serde::Serialize;

use super::ledger::{Entry, Lacking, Ledger, State};
use crate::campaign::Ending;
use crate::system::Claim;

/// What the later of two campaigns says after the earlier one.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison<'a> {
    /// The failures and witnesses of both, the most serious changes first.
    pub failures: Vec<Compared<'a>>,
    /// Plans that only one of them ran.
    pub plans: Vec<PlanDifference<'a>>,
    /// How many runs the later one had.
    pub runs: u64,
}

/// A failure in two campaigns.
#[derive(Clone, Debug, Serialize)]
pub struct Compared<'a> {
    /// What has become of it.
    pub change: Change,
    /// The failure as the later campaign has it, or the earlier one, where the later has not.
    pub failure: &'a Entry,
    /// In how many runs it was in the earlier campaign, and of how many; nothing where that had no run of its plans.
    pub before: Option<(u64, u64)>,
    /// In how many runs it is in the later campaign, and of how many runs of the same plans.
    pub after: (u64, u64),
    /// What it was in the earlier campaign, where both have a shape and not the same.
    pub other_shape: Option<&'a str>,
}

/// What has become of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was resolved, and is there again.
    Regressed,
    /// It was not there.
    New,
    /// It is still there.
    Ongoing,
    /// It is not there any more, in as many runs as should have shown it.
    Resolved,
    /// It did not turn up, in fewer runs than would show that it is gone.
    Unseen,
    /// No plan ran that had found it.
    NotRun,
}

impl Change {
    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Change::Regressed => "regressed",
            Change::New => "new",
            Change::Ongoing => "ongoing",
            Change::Resolved => "resolved",
            Change::Unseen => "unseen",
            Change::NotRun => "not run",
        }
    }
}

/// A plan that only one of two campaigns ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanDifference<'a> {
    /// The plan.
    pub plan: &'a str,
    /// Whether it is the later one that ran it.
    pub is_new: bool,
}

impl<'a> Comparison<'a> {
    /// Compares two campaigns.
    pub fn of(old: &'a Ledger, new: &'a Ledger) -> Comparison<'a> {
        let found = |entry: &&Entry| entry.state == State::Failing;
        let mut failures: Vec<Compared<'a>> =
            new.failures.iter().filter(found).map(|entry| of_found(entry, old)).collect();
        // What is claimed now and was not is there still, and new.
        let is_found = |known: &Entry| {
            let kind = &known.signature.kind;
            new.failures.iter().filter(found).any(|one| one.signature.kind == *kind)
        };
        let gone = old.failures.iter().filter(|known| known.is_open() && !is_found(known));
        failures.extend(gone.map(|known| of_gone(known, new)));
        failures.sort_by_key(|one| (one.failure.claim != Claim::Holds, one.change));
        let plans = [only(old, new, false), only(new, old, true)].concat();
        let runs = new.runs();
        Comparison { failures, plans, runs }
    }

    /// What it comes to: a claimed guarantee that is newly broken fails; what was not run again is not known.
    pub fn ending(&self) -> Ending {
        let has = |changes: &[Change]| {
            let mut claimed = self.failures.iter().filter(|one| one.failure.claim == Claim::Holds);
            claimed.any(|one| changes.contains(&one.change))
        };
        if has(&[Change::New, Change::Regressed]) {
            Ending::Violated
        } else if self.runs == 0 {
            Ending::NothingRan
        } else if has(&[Change::NotRun]) {
            Ending::Unknown
        } else {
            Ending::Met
        }
    }
}

/// The plans that ran in one of two campaigns only.
fn only<'a>(these: &'a Ledger, those: &Ledger, is_new: bool) -> Vec<PlanDifference<'a>> {
    let ran = these.plans.iter().filter(|ran| ran.runs > 0);
    let only = ran.filter(|ran| those.runs_of(std::slice::from_ref(&ran.plan)) == 0);
    only.map(|ran| PlanDifference { plan: &ran.plan, is_new }).collect()
}

/// What a failure of the later campaign is after the earlier one.
fn of_found<'a>(entry: &'a Entry, old: &'a Ledger) -> Compared<'a> {
    let mut known: Vec<&Entry> = old.failures.iter().filter(|known| known.is_same(entry)).collect();
    // What has its shape is surely the same.
    known.sort_by_key(|known| known.signature.shape != entry.signature.shape);
    let before = known.first().copied();
    let other = old.failures.iter().find(|known| known.is_open() && known.is_kind_of(entry));
    let other = other.filter(|_| before.is_none());
    let change = match before {
        None => Change::New,
        Some(before) if before.is_open() => Change::Ongoing,
        Some(_) => Change::Regressed,
    };
    Compared {
        change,
        failure: entry,
        before: before.map(|before| (before.runs, before.of)).or_else(|| {
            let ran = old.runs_of(&entry.plans);
            (ran > 0).then_some((0, ran))
        }),
        after: (entry.runs, entry.of),
        other_shape: other.map(|other| other.id.as_str()),
    }
}

/// What has become of a failure that the later campaign did not find.
fn of_gone<'a>(known: &'a Entry, new: &Ledger) -> Compared<'a> {
    let ran = new.runs_of(&known.plans);
    let change = match new.lacks(known) {
        Lacking::NotRun => Change::NotRun,
        Lacking::Unseen => Change::Unseen,
        Lacking::Resolved => Change::Resolved,
    };
    Compared {
        change,
        failure: known,
        before: Some((known.runs, known.of)),
        after: (0, ran),
        other_shape: None,
    }
}

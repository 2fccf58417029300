//! What a campaign leaves behind for the next one to be compared with: `campaign.json`.
//!
//! The same file is the baseline that a repository keeps. A campaign that is given one carries on what it says:
//! what it knew and did not come again stays in the new file, as resolved where it should have come. So a
//! failure that was mended and comes back is told apart from one that is new.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::signature::{Kind, Signature, system_of};
use crate::campaign::{self, Findings};
use crate::document::{self, DocumentError, Nature};
use crate::json;
use crate::seed::Seed;
use crate::store;
use crate::system::Claim;
use crate::why::BELIEVABLE;

/// The version of the file, and the only one that is read.
pub const FORMAT: u32 = 1;

/// What the file is to those who have another one.
const NATURE: Nature = Nature {
    is: "what a campaign leaves",
    made_by: "`stormglass campaign` writes one, `campaign.json` in its results folder",
    format: FORMAT,
};

/// Its name in a results folder.
const FILE: &str = "campaign.json";

/// What a campaign ran, and how it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The version of this format.
    pub format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// The plans.
    pub plans: Vec<Ran>,
    /// The failures, and the witnesses for what is not claimed.
    pub failures: Vec<Entry>,
}

/// A plan that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// Its name.
    pub plan: String,
    /// Its system, with its settings.
    pub system: String,
    /// How many of its runs ended.
    pub runs: u64,
}

/// One failure, or witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The hash of the signature.
    pub id: String,
    /// What it is.
    pub signature: Signature,
    /// What the system says about the guarantee.
    pub claim: Claim,
    /// Whether it is there.
    pub state: State,
    /// In how many runs it was when it was seen last.
    pub runs: u64,
    /// How many runs the plans had then that found it.
    pub of: u64,
    /// These plans.
    pub plans: Vec<String>,
    /// The plan of the first of these runs.
    pub plan: String,
    /// The seed of the first of these runs.
    pub seed: Seed,
    /// What happened there, in a sentence.
    pub about: String,
}

/// Whether a failure is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The campaign found it.
    Failing,
    /// The baseline has it, and the campaign did not find it, in fewer runs than would show that it is gone.
    Unseen,
    /// The baseline has it, and the campaign did not find it in as many runs as should have.
    Resolved,
}

/// Why a file says nothing of a campaign, and what would have worked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file is not what it should be.
    #[error(transparent)]
    File(#[from] DocumentError),
    /// No campaign left anything in a folder.
    #[error(
        "{} has no {FILE}: no campaign ended there; `stormglass campaign --results {}` writes one",
        folder.display(), folder.display()
    )]
    Missing {
        /// Which.
        folder: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {cause}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Ledger {
    /// What a campaign ran and found, after what a baseline says.
    pub fn of(
        findings: &Findings,
        entries: &[campaign::Entry],
        groups: &[Group],
        baseline: Option<&Ledger>,
    ) -> Ledger {
        let ran = |(row, entry): (&campaign::Row, &campaign::Entry)| Ran {
            plan: row.plan.clone(),
            system: system_of(&entry.plan),
            runs: row.runs,
        };
        let mut ledger = Ledger {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            plans: findings.rows.iter().zip(entries).map(ran).collect(),
            failures: groups.iter().map(Entry::of).collect(),
        };
        let carried = baseline.into_iter().flat_map(|baseline| &baseline.failures);
        let carried: Vec<Entry> = carried
            .filter(|known| !ledger.failures.iter().any(|found| found.is_same(known)))
            .map(|known| Entry { state: ledger.state_after(known), ..known.clone() })
            .collect();
        ledger.failures.extend(carried);
        ledger
    }

    /// Reads what a campaign left in a results folder, or a file of that kind.
    ///
    /// # Errors
    /// Names the file and line, and what would have worked.
    pub fn load(path: &Path) -> Result<Ledger, LedgerError> {
        let is_folder = path.is_dir();
        let path = if is_folder { path.join(FILE) } else { path.to_owned() };
        document::load(&path, "", Ledger::parse).map_err(|error| match error {
            DocumentError::Unreadable { cause, .. }
                if is_folder && cause.kind() == io::ErrorKind::NotFound =>
            {
                LedgerError::Missing { folder: path.parent().unwrap_or(&path).to_owned() }
            }
            error => LedgerError::File(error),
        })
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// Says in which line something is wrong, and what; line 1 where it is about the whole.
    pub fn parse(text: &str) -> Result<Ledger, (usize, String)> {
        let ledger: Ledger = document::parse(text, NATURE)?;
        for Entry { id, signature, runs, of, .. } in &ledger.failures {
            if *id != signature.id() {
                let is = signature.id();
                return Err((1, format!("failure {id}: its signature is that of {is}")));
            }
            if *runs == 0 || runs > of {
                return Err((1, format!("failure {id}: it is in {runs} of {of} runs")));
            }
        }
        Ok(ledger)
    }

    /// Writes it into a results folder, whole or not at all.
    ///
    /// # Errors
    /// Where that cannot be written.
    ///
    /// # Panics
    /// Never: what it holds has a form in JSON.
    pub fn save(&self, results: &Path) -> Result<PathBuf, LedgerError> {
        let path = results.join(FILE);
        let temporary = results.join(format!(".{FILE}.{}.tmp", std::process::id()));
        let text = json::pretty(self).expect("it has a form in JSON");
        let written = store::write_whole(&temporary, &path, text.as_bytes());
        written.map_err(|cause| LedgerError::Unwritable { path: path.clone(), cause })?;
        Ok(path)
    }

    /// The kinds of failures that are known and not resolved.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        let open = self.failures.iter().filter(|known| known.claim == Claim::Holds);
        open.filter(|known| known.is_open()).map(|known| known.signature.kind.clone()).collect()
    }

    /// What is known of failures of a kind that are not resolved.
    pub(super) fn known<'a>(
        &'a self,
        kind: &'a Kind,
        claim: Claim,
    ) -> impl Iterator<Item = &'a Entry> {
        let open = self.failures.iter().filter(|known| known.is_open());
        open.filter(move |known| known.claim == claim && known.signature.kind == *kind)
    }

    /// How many runs there were.
    pub(super) fn runs(&self) -> u64 {
        self.plans.iter().fold(0, |sum, ran| sum.saturating_add(ran.runs))
    }

    /// How many runs there were of some plans.
    pub(super) fn runs_of(&self, plans: &[String]) -> u64 {
        let ran = self.plans.iter().filter(|ran| plans.contains(&ran.plan));
        ran.fold(0, |sum, ran| sum.saturating_add(ran.runs))
    }

    /// The state in which a failure is carried on that the campaign did not find.
    fn state_after(&self, known: &Entry) -> State {
        let mut failures = self.failures.iter();
        match self.lacks(known) {
            _ if !known.is_open() => State::Resolved,
            // One run of each kind was shrunk: what others would be shrunk to is not known.
            _ if failures.any(|found| found.is_kind_of(known)) => State::Unseen,
            Lacking::NotRun | Lacking::Unseen => State::Unseen,
            Lacking::Resolved => State::Resolved,
        }
    }

    /// What it means that the campaign did not find a failure.
    pub(super) fn lacks(&self, known: &Entry) -> Lacking {
        match self.runs_of(&known.plans) {
            0 => Lacking::NotRun,
            ran if ran < known.clean_runs() => Lacking::Unseen,
            _ => Lacking::Resolved,
        }
    }
}

/// What it means that a campaign did not find a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    /// None of the plans ran that had found it.
    NotRun,
    /// There were fewer runs than would show that it is gone.
    Unseen,
    /// It is gone.
    Resolved,
}

impl Entry {
    fn of(group: &Group) -> Entry {
        Entry {
            id: group.id.clone(),
            signature: group.signature.clone(),
            claim: group.claim,
            state: State::Failing,
            runs: group.runs,
            of: group.of,
            plans: group.plans.clone(),
            plan: group.plan.clone(),
            seed: group.seed,
            about: group.sentence.clone(),
        }
    }

    /// Whether it is there as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Resolved
    }

    /// Whether two of two campaigns are of one kind.
    pub(super) fn is_kind_of(&self, other: &Entry) -> bool {
        self.claim == other.claim && self.signature.kind == other.signature.kind
    }

    /// Whether two of two campaigns are one, as far as is known: of one kind, and where both have a shape, of one
    /// shape.
    pub(super) fn is_same(&self, other: &Entry) -> bool {
        self.is_kind_of(other) && !self.has_other_shape(&other.signature)
    }

    /// Whether both have a shape, and not the same.
    pub(super) fn has_other_shape(&self, signature: &Signature) -> bool {
        let shapes = (&self.signature.shape, &signature.shape);
        matches!(shapes, (Some(mine), Some(other)) if mine != other)
    }

    /// After how many clean runs of its plans in a row it is believable that it is gone: so many are clean by
    /// chance in one of [`BELIEVABLE`] cases.
    pub fn clean_runs(&self) -> u64 {
        let clean = (self.of - self.runs) as f64 / self.of as f64;
        let count = (1.0 / f64::from(BELIEVABLE)).ln() / clean.ln();
        // A conversion to whole numbers stops at the greatest one.
        (count.ceil() as u64).max(1)
    }
}

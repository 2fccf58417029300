//! What each mode keeps and what it breaks, by the kind of faults: the claims, measured.
//!
//! A campaign of one plan is run once for each *group* of faults: without any, under each nemesis of
//! the plan by itself, under all of them with the faults that the plan names one by one, and under each of some more
//! by itself that its system is made for; and under all of them together with one of these, where its system waives a promise for it: what
//! that breaks may take other faults besides. What is claimed has to hold in every group; what is disclaimed needs a witness in one of them.

use std::fmt;

use checkers::Guarantee;
use serde::Serialize;

use super::findings::{Ending, Findings, Totals};
use super::matrix::{Cell, Standing, Witnessed};
use super::runner::{Campaign, Entry, Progress};
use crate::plan::PlanError;
use crate::system::Claim;

/// A kind of faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// No faults.
    None,
    /// One nemesis by itself.
    Alone(String),
    /// Every nemesis of the plan.
    All,
    /// Every nemesis of the plan and one more: all their names, that of the one more last.
    AllAnd(Vec<String>),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::None => f.write_str("no faults"),
            Group::Alone(nemesis) => f.write_str(nemesis),
            Group::All => f.write_str("all faults"),
            Group::AllAnd(nemeses) => {
                write!(f, "all faults and {}", nemeses.last().map_or("", |nemesis| nemesis))
            }
        }
    }
}

/// The measured claims of every plan.
#[derive(Clone, Debug, Serialize)]
pub struct Guarantees {
    /// One for each plan.
    pub modes: Vec<Mode>,
    /// What there was of everything.
    pub totals: Totals,
    /// What it comes to, but for disclaimed guarantees without a witness.
    #[serde(skip)]
    ending: Ending,
}

/// The measured claims of one plan.
#[derive(Clone, Debug, Serialize)]
pub struct Mode {
    /// The plan.
    pub plan: String,
    /// Its system.
    pub system: String,
    /// What the system is, in a sentence.
    pub about: String,
    /// The groups, in the order of the cells.
    pub groups: Vec<Group>,
    /// The guarantees, in the order of reports.
    pub lines: Vec<Line>,
}

/// One guarantee of one plan.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// What the system says about it, without faults.
    pub claim: Claim,
    /// How it stands, over all groups.
    pub standing: Standing,
    /// What was found under each group; nothing where it was not judged.
    pub cells: Vec<Option<Cell>>,
}

impl Line {
    /// The numbers of the groups under which the system says something else than without faults.
    pub fn waived(&self) -> impl Iterator<Item = usize> + '_ {
        let cells = self.cells.iter().enumerate();
        let differs =
            |cell: &Option<Cell>| cell.as_ref().is_some_and(|cell| cell.claim != self.claim);
        cells.filter(move |(_, cell)| differs(cell)).map(|(group, _)| group)
    }

    /// Of all witnesses the one that needs the fewest operations and then the fewest faults, with the
    /// number of its group.
    pub fn smallest(&self) -> Option<(usize, &Witnessed)> {
        let cells = self.cells.iter().enumerate();
        let witnesses =
            cells.filter_map(|(group, cell)| Some((group, cell.as_ref()?.smallest.as_ref()?)));
        witnesses.min_by_key(|(_, witnessed)| witnessed.size())
    }
}

/// Splits each plan into one for each group: those of its own nemeses and the faults that it names, and each of `more`
/// that is not among them, where its system says something under that; and where it then promises less, these together.
///
/// # Errors
/// Where a name is too long to carry that of its group.
pub fn split(entries: &[Entry], more: &[&str]) -> Result<Vec<(usize, Group, Entry)>, PlanError> {
    let mut parts = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let under = |name: &str, nemeses: &[String]| {
            let mut entry = entry.clone();
            if !name.is_empty() {
                entry.plan.name = format!("{}-{name}", entry.plan.name);
            }
            entry.plan.nemeses = nemeses.to_vec();
            entry.plan.allowed_losses.clear();
            // Whether there is a witness is asked of all groups together.
            entry.plan.canary_runs = u64::MAX;
            entry
        };
        let mut part = |group: Group, name: &str, nemeses: &[String]| {
            let mut entry = under(if group == Group::All { "" } else { name }, nemeses);
            if !matches!(group, Group::All | Group::AllAnd(_)) {
                entry.plan.faults.clear();
            }
            entry.plan.check_for(&*entry.system, &[])?;
            parts.push((index, group, entry));
            Ok(())
        };
        let nemeses = &entry.plan.nemeses;
        part(Group::None, "none", &[])?;
        if nemeses.len() > 1 {
            for nemesis in nemeses {
                part(Group::Alone(nemesis.clone()), nemesis, std::slice::from_ref(nemesis))?;
            }
        }
        if !(nemeses.is_empty() && entry.plan.faults.is_empty()) {
            part(Group::All, "all", nemeses)?;
        }
        for nemesis in more.iter().map(|nemesis| (*nemesis).to_owned()) {
            let alone = std::slice::from_ref(&nemesis);
            let offered = under(&nemesis, alone).plan.is_offered_by(&*entry.system);
            if !offered || nemeses.contains(&nemesis) {
                continue;
            }
            part(Group::Alone(nemesis.clone()), &nemesis, alone)?;
            let together = [&nemeses[..], alone].concat();
            let claims = |nemeses: &[String]| entry.system.manifest_under(nemeses).claims;
            if !nemeses.is_empty() && claims(&together) != claims(nemeses) {
                part(Group::AllAnd(together.clone()), &format!("all-and-{nemesis}"), &together)?;
            }
        }
    }
    Ok(parts)
}

/// Runs a campaign over every plan and group, and puts together what each plan keeps and breaks.
///
/// `more` is that of [`split`], `adjust` sets seeds, threads and the like of the campaign, and `watch` hears
/// how far it is.
///
/// # Errors
/// As [`split`].
pub fn measure(
    entries: &[Entry],
    more: &[&str],
    adjust: impl FnOnce(Campaign) -> Campaign,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Guarantees, Findings), PlanError> {
    let parts = split(entries, more)?;
    let campaign = Campaign::of(parts.iter().map(|(_, _, entry)| entry.clone()).collect());
    let findings = adjust(campaign).run_with(watch);
    let modes = entries.iter().enumerate().map(|(index, entry)| {
        let rows = findings.rows.iter().zip(&parts).filter(|(_, part)| part.0 == index);
        let (rows, groups): (Vec<_>, Vec<Group>) =
            rows.map(|(row, (_, group, _))| (row, group.clone())).unzip();
        let judged = |guarantee: &Guarantee| rows.iter().any(|row| row.cell(*guarantee).is_some());
        let line = |guarantee: Guarantee| {
            let cells: Vec<Option<Cell>> =
                rows.iter().map(|row| row.cell(guarantee).cloned()).collect();
            let claim = cells.iter().flatten().next().map_or(Claim::Silent, |cell| cell.claim);
            let judged = rows.iter().filter_map(|row| Some((row.runs, row.cell(guarantee)?)));
            let standing = Standing::of_all(judged, entry.plan.canary_runs);
            Line { guarantee, claim, standing, cells }
        };
        let manifest = entry.system.manifest();
        Mode {
            plan: entry.plan.name.clone(),
            system: manifest.name,
            about: manifest.about,
            groups,
            lines: Guarantee::ALL.into_iter().filter(judged).map(line).collect(),
        }
    });
    let guarantees =
        Guarantees { modes: modes.collect(), totals: findings.totals, ending: findings.ending() };
    Ok((guarantees, findings))
}

impl Guarantees {
    /// What it all comes to.
    pub fn ending(&self) -> Ending {
        let lines = || self.modes.iter().flat_map(|mode| &mode.lines);
        let no_witness = lines().any(|line| line.standing == Standing::NoWitness);
        if no_witness && self.ending != Ending::Interrupted {
            Ending::Violated
        } else {
            self.ending
        }
    }
}

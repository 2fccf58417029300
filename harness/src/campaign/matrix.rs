//! The measured matrix: for each plan and guarantee, in how many runs it held.

use std::collections::{BTreeMap, BTreeSet};

use checkers::history::Time;
use checkers::{Anomaly, Guarantee, Verdict};
use serde::Serialize;

use crate::budget::Beyond;
use crate::config;
use crate::plan::Plan;
use crate::run::Judged;
use crate::seed::Seed;
use crate::system::{Claim, System};

/// One plan of a campaign: what its runs came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The plan.
    pub plan: String,
    /// Its system.
    pub system: String,
    /// What clients do.
    pub workload: String,
    /// How many of its runs ended.
    pub runs: u64,
    /// How many of them proved nothing.
    pub vacuous: u64,
    /// In how many runs a witness for a broken guarantee must turn up.
    pub canary_runs: u64,
    /// The guarantees that were judged, in the order of reports.
    pub cells: Vec<Cell>,
    /// The rare states of its system, and in how many runs each was reached.
    pub marks: BTreeMap<String, u64>,
    /// The nemeses and the faults that the plan names, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Named>,
    /// The guarantees whose loss the plan is to show.
    #[serde(skip)]
    pub(super) losses: Vec<Guarantee>,
    /// How it is known to break what its system claims.
    #[serde(skip)]
    pub(super) known: BTreeSet<(Guarantee, String)>,
}

/// A nemesis or a fault that a plan names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// What it is, in words.
    pub what: String,
    /// Whether it is a nemesis, of which some runs may have no fault.
    pub is_nemesis: bool,
    /// In how many runs the world was any different for it.
    pub effective: u64,
}

/// One guarantee under one plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// What the system says about it.
    pub claim: Claim,
    /// Runs in which it was judged and held.
    pub held: u64,
    /// Runs in which it was broken.
    pub broken: u64,
    /// Runs that do not tell: the checker gave up, or the run proved nothing.
    pub unknown: u64,
    /// Runs in which it was lost as its claim allows, because faults went beyond what that is made for.
    #[serde(skip_serializing_if = "config::is_usual")]
    pub lost: u64,
    /// Runs with such faults that do not tell whether it was lost: nothing was promised there.
    #[serde(skip_serializing_if = "config::is_usual")]
    pub waived: u64,
    /// The first seed that broke it.
    pub first_broken: Option<Seed>,
    /// The first seed that did not tell.
    pub first_unknown: Option<Seed>,
    /// The first seed under which it was lost as its claim allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_lost: Option<Seed>,
    /// The witness that needs the fewest operations and then the fewest faults; of equal ones the
    /// first.
    pub smallest: Option<Witnessed>,
    /// How it was broken, by the name of the anomaly.
    pub anomalies: Vec<AnomalyCount>,
    /// How it was lost where that is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<AnomalyCount>,
}

/// One run that shows that a guarantee is not kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Witnessed {
    /// Its seed.
    pub seed: Seed,
    /// The name of the anomaly.
    pub anomaly: String,
    /// How many operations prove it.
    pub operations: u64,
    /// How many faults had begun by then.
    pub faults: u64,
    /// What happened, in a sentence.
    pub sentence: String,
}

impl Witnessed {
    /// An anomaly of a run, by when the faults of that began.
    fn of(seed: Seed, anomaly: &Anomaly, begun: &[Time]) -> Witnessed {
        Witnessed {
            seed,
            anomaly: anomaly.name.clone(),
            operations: anomaly.witness.operations.len() as u64,
            faults: begun.iter().filter(|begun| **begun <= anomaly.at).count() as u64,
            sentence: sentence_of(anomaly),
        }
    }

    /// What witnesses are compared by: operations, then faults. An anomaly that no operations prove
    /// tells less than any that some do.
    pub(super) fn size(&self) -> impl Ord + use<> {
        (self.operations == 0, self.operations, self.faults)
    }
}

/// How often an anomaly turned up in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnomalyCount {
    /// Its published name.
    pub name: String,
    /// In how many runs.
    pub runs: u64,
    /// The first seed that shows it.
    pub first: Seed,
    /// What happened there, in a sentence.
    pub sentence: String,
    /// The faults of that run that go beyond what the guarantee is claimed for, where it is an allowed loss.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Beyond>,
}

/// How a cell stands to what the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// What was claimed held, or what was disclaimed has a witness.
    Met,
    /// A claimed guarantee was broken.
    Violated,
    /// A guarantee that the system says it breaks was never broken, in as many runs as should do:
    /// whoever judges it may be blind.
    NoWitness,
    /// A claimed guarantee was broken, only in ways that the baseline of the campaign has.
    Known,
    /// A claimed guarantee could not be judged in some run.
    Unknown,
    /// A claimed guarantee was lost, only in runs with faults that it is not claimed for.
    AllowedLoss,
    /// Nothing is expected of it.
    Open,
}

impl Standing {
    /// How the cells of one guarantee stand together, each with the runs of its row, where a system may
    /// say something else under other faults: each part by what is said of it, and the worst of them.
    pub(super) fn of_all<'a>(
        cells: impl Iterator<Item = (u64, &'a Cell)> + Clone,
        canary_runs: u64,
    ) -> Standing {
        let part = |claim: Claim| {
            let part = cells.clone().filter(move |(_, cell)| cell.claim == claim);
            let runs: u64 = part.clone().map(|(runs, _)| runs).sum();
            let cells = part.map(|(_, cell)| cell);
            (runs > 0).then(|| Standing::of(claim, cells, runs >= canary_runs))
        };
        let parts: Vec<Standing> =
            [Claim::Holds, Claim::Breaks, Claim::Silent].into_iter().filter_map(part).collect();
        let worst = [
            Standing::Violated,
            Standing::NoWitness,
            Standing::Unknown,
            Standing::AllowedLoss,
            Standing::Met,
        ];
        worst.into_iter().find(|standing| parts.contains(standing)).unwrap_or(Standing::Open)
    }

    /// How some cells of one guarantee stand together; `enough_runs` says whether there were as many
    /// as should show that it is broken, if it is.
    pub(super) fn of<'a>(
        claim: Claim,
        cells: impl IntoIterator<Item = &'a Cell>,
        enough_runs: bool,
    ) -> Standing {
        let (mut held, mut broken, mut unknown, mut lost) = (0, 0, 0, 0);
        for cell in cells {
            lost += cell.lost;
            held += cell.held;
            broken += cell.broken;
            unknown += cell.unknown;
        }
        match claim {
            Claim::Holds if broken > 0 => Standing::Violated,
            Claim::Holds if unknown > 0 => Standing::Unknown,
            Claim::Holds if lost > 0 => Standing::AllowedLoss,
            Claim::Holds if held > 0 => Standing::Met,
            Claim::Breaks if broken > 0 => Standing::Met,
            Claim::Breaks if enough_runs => Standing::NoWitness,
            Claim::Holds | Claim::Breaks | Claim::Silent | Claim::Waived => Standing::Open,
        }
    }
}

/// An anomaly in one sentence: the last of its explanation, which draws the conclusion.
pub(crate) fn sentence_of(anomaly: &Anomaly) -> String {
    let last = anomaly.explanation.last();
    last.cloned().unwrap_or_else(|| format!("{} at {}", anomaly.name, anomaly.at))
}

impl Named {
    /// What a plan names that has not run yet.
    fn of(plan: &Plan) -> Vec<Named> {
        let nemeses = plan.nemeses.iter().map(|name| (format!("the nemesis `{name}`"), true));
        let words = |(number, fault)| (format!("`faults` number {number}, {fault}"), false);
        let faults = (1..).zip(&plan.faults).map(words);
        let named = |(what, is_nemesis)| Named { what, is_nemesis, effective: 0 };
        nemeses.chain(faults).map(named).collect()
    }
}

impl Row {
    /// The row of a plan that has not run yet.
    pub(super) fn new(plan: &Plan, system: &dyn System) -> Row {
        Row {
            plan: plan.name.clone(),
            system: plan.system.clone(),
            workload: plan.workload.clone(),
            runs: 0,
            vacuous: 0,
            canary_runs: plan.canary_runs,
            cells: Vec::new(),
            marks: system.marks().into_iter().map(|mark| (mark.to_owned(), 0)).collect(),
            named: Named::of(plan),
            losses: plan.allowed_losses.clone(),
            known: BTreeSet::new(),
        }
    }

    /// Adds one run; `begun` is when each of its faults began.
    pub(super) fn add(&mut self, seed: Seed, judged: &[Judged], vacuous: bool, begun: &[Time]) {
        self.runs += 1;
        self.vacuous += u64::from(vacuous);
        for judged in judged {
            let found = self.cells.iter().position(|cell| cell.guarantee == judged.guarantee);
            let index = found.unwrap_or_else(|| {
                self.cells.push(Cell::new(judged));
                self.cells.len() - 1
            });
            self.cells[index].add(seed, judged, vacuous, begun);
        }
    }

    /// The cell of a guarantee, where it was judged.
    pub fn cell(&self, guarantee: Guarantee) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.guarantee == guarantee)
    }

    /// How a cell of this row stands to what the system says.
    pub fn standing(&self, cell: &Cell) -> Standing {
        let enough_runs = self.runs >= self.canary_runs;
        let standing = Standing::of(cell.claim, [cell], enough_runs);
        let lacks_loss = cell.lost == 0 && self.losses.contains(&cell.guarantee) && enough_runs;
        if lacks_loss && standing != Standing::Violated {
            return Standing::NoWitness;
        }
        let mut names = cell.anomalies.iter().map(|anomaly| &anomaly.name);
        let is_known =
            standing == Standing::Violated && names.all(|name| self.knows(cell.guarantee, name));
        if is_known { Standing::Known } else { standing }
    }

    /// Whether it is known that a guarantee is broken in this way.
    pub(super) fn knows(&self, guarantee: Guarantee, anomaly: &str) -> bool {
        self.known.iter().any(|(known, name)| *known == guarantee && name == anomaly)
    }
}

impl Cell {
    fn new(judged: &Judged) -> Cell {
        Cell {
            guarantee: judged.guarantee,
            // What is waived under the faults of one run is claimed all the same.
            claim: if judged.claim == Claim::Waived { Claim::Holds } else { judged.claim },
            held: 0,
            broken: 0,
            unknown: 0,
            lost: 0,
            waived: 0,
            first_broken: None,
            first_unknown: None,
            first_lost: None,
            smallest: None,
            anomalies: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// How many runs it was judged in.
    pub fn runs(&self) -> u64 {
        self.held + self.broken + self.unknown + self.lost + self.waived
    }

    fn add(&mut self, seed: Seed, judged: &Judged, vacuous: bool, begun: &[Time]) {
        let is_waived = judged.claim == Claim::Waived;
        match &judged.verdict {
            Verdict::Invalid { anomalies, .. } if is_waived => {
                self.lost += 1;
                self.first_lost.get_or_insert(seed);
                count(&mut self.losses, seed, anomalies, &judged.beyond);
            }
            Verdict::Invalid { anomalies, .. } => {
                self.broken += 1;
                self.first_broken.get_or_insert(seed);
                count(&mut self.anomalies, seed, anomalies, &[]);
                self.compare(seed, anomalies, begun);
            }
            Verdict::Valid(_) if !vacuous => self.held += 1,
            Verdict::Valid(_) | Verdict::Unknown { .. } if is_waived => self.waived += 1,
            Verdict::Valid(_) | Verdict::Unknown { .. } => {
                self.unknown += 1;
                self.first_unknown.get_or_insert(seed);
            }
        }
    }

    /// Keeps the smallest witness.
    fn compare(&mut self, seed: Seed, anomalies: &[Anomaly], begun: &[Time]) {
        for anomaly in anomalies {
            let witnessed = Witnessed::of(seed, anomaly, begun);
            if self.smallest.as_ref().is_none_or(|known| witnessed.size() < known.size()) {
                self.smallest = Some(witnessed);
            }
        }
    }
}

/// Of the anomalies of a run those that a row takes anything from: the first of each name, and the smallest one.
pub(super) fn telling(anomalies: &[Anomaly], begun: &[Time]) -> Vec<Anomaly> {
    let size = |anomaly: &Anomaly| Witnessed::of(Seed(0), anomaly, begun).size();
    // Of several that are as small, the first.
    let smallest = (0..anomalies.len()).min_by_key(|index| size(&anomalies[*index]));
    let is_first = |index: usize| {
        let name = &anomalies[index].name;
        anomalies[..index].iter().all(|earlier| earlier.name != *name)
    };
    let told = (0..anomalies.len()).filter(|index| is_first(*index) || smallest == Some(*index));
    told.map(|index| anomalies[index].clone()).collect()
}

/// Counts a run by the names of its anomalies.
fn count(counts: &mut Vec<AnomalyCount>, seed: Seed, anomalies: &[Anomaly], beyond: &[Beyond]) {
    for (index, anomaly) in anomalies.iter().enumerate() {
        if anomalies[..index].iter().any(|earlier| earlier.name == anomaly.name) {
            continue;
        }
        match counts.iter_mut().find(|count| count.name == anomaly.name) {
            Some(count) => count.runs += 1,
            None => counts.push(AnomalyCount {
                name: anomaly.name.clone(),
                runs: 1,
                first: seed,
                sentence: sentence_of(anomaly),
                beyond: beyond.to_vec(),
            }),
        }
    }
}

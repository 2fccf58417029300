//! What a campaign found, as text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use checkers::Guarantee;

use super::brief::counted;
use super::{corpus, escape, matrix, triage};
use crate::campaign::{Findings, Inconclusive, Named, Row, Standing, Stopped};
use crate::config;
use crate::seed::Seed;
use crate::system::Claim;
use crate::triage::Group;

/// Inconclusive runs that are listed one by one.
const INCONCLUSIVE_SHOWN: usize = 8;

/// How to replay a run, as it is typed.
pub struct Replay {
    /// The program, as it was called.
    pub program: String,
    /// What else it must be told: `--plans my.toml`.
    pub flags: String,
}

/// What a campaign cost. Differs from machine to machine, so it is kept apart from the findings.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Cost {
    /// Time that passed.
    pub wall_seconds: f64,
    /// Processor time that the program used, where the operating system tells.
    pub cpu_seconds: Option<f64>,
    /// Runs that had ended before, of which it is not the cost.
    #[serde(skip_serializing_if = "config::is_usual")]
    pub runs_before: u64,
}

impl Replay {
    /// The command that replays a seed of a plan.
    pub fn of_seed(&self, plan: &str, seed: Seed) -> String {
        format!("{} --plan {} --seed {seed}", self.call("replay"), shell_word(plan))
    }

    /// A subcommand with the flags.
    pub fn call(&self, subcommand: &str) -> String {
        let Replay { program, flags } = self;
        let space = if flags.is_empty() { "" } else { " " };
        format!("{program} {subcommand}{space}{flags}")
    }
}

/// The word as a shell reads it back.
pub fn shell_word(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The whole: table, legend, what failed, witnesses, totals, conclusion.
pub fn terminal(findings: &Findings, groups: &[Group], replay: &Replay, cost: Cost) -> String {
    let mut out = String::new();
    let legend = matrix::legend(&findings.rows);
    let _ = writeln!(out, "{}\n{legend}", matrix::terminal(&findings.rows));
    for claim in [Claim::Holds, Claim::Waived, Claim::Breaks, Claim::Silent] {
        triage::terminal(&mut out, groups, replay, claim);
    }
    hint(&mut out, groups, replay);
    missing_witnesses(&mut out, findings);
    inconclusive(&mut out, findings, replay);
    mistakes(&mut out, findings, replay);
    marks(&mut out, findings);
    idle(&mut out, findings);
    if let Some(verified) = &findings.corpus {
        corpus::terminal(&mut out, verified, &replay.program);
    }
    let _ = writeln!(out, "\n{}", totals(findings, cost));
    let _ = writeln!(out, "{}", conclusion(findings));
    out
}

/// The last line: what the campaign as a whole comes to.
pub fn conclusion(findings: &Findings) -> String {
    let ending = findings.ending();
    let cut = match findings.stopped {
        Some(Stopped::Budget) => "; the budget ended it before its last seed",
        Some(Stopped::Failures) => "; it ended early, having found as many failures as it was to",
        Some(Stopped::Interrupted) | None => "",
    };
    let has = |standing: Standing| {
        let mut rows = findings.rows.iter();
        rows.any(|row| row.cells.iter().any(|cell| row.standing(cell) == standing))
    };
    let known = if has(Standing::Known) { "; the baseline has what is marked ≈" } else { "" };
    let lost =
        if has(Standing::AllowedLoss) { "; what is marked ▽ is an allowed loss" } else { "" };
    format!("{} (exit code {}){known}{lost}{cut}", ending.sentence(), ending.code())
}

/// What there was of everything, in one line.
pub fn totals(findings: &Findings, cost: Cost) -> String {
    let totals = &findings.totals;
    let simulated = Duration::from_secs(totals.simulated_ns / 1_000_000_000);
    let mut text = format!(
        "{}, {} checked ({} took effect), {} applied, {}, {} simulated",
        counted(totals.runs, "run"),
        counted(totals.operations, "operation"),
        totals.ok,
        counted(totals.faults, "fault"),
        counted(totals.messages, "message"),
        humantime::format_duration(simulated),
    );
    let _ = write!(text, ", {:.1} s", cost.wall_seconds);
    if let Some(cpu) = cost.cpu_seconds {
        let _ = write!(text, " ({cpu:.1} CPU s)");
    }
    if cost.runs_before > 0 {
        let _ = write!(text, " after the first {}", counted(cost.runs_before, "run"));
    }
    text
}

/// The guarantee and the anomaly, which may have one name.
pub fn kind(guarantee: Guarantee, anomaly: &str) -> String {
    if guarantee.name() == anomaly { anomaly.to_owned() } else { format!("{guarantee}, {anomaly}") }
}

/// The commands that show the first of all runs that were stored, and make it smaller.
fn hint(out: &mut String, groups: &[Group], replay: &Replay) {
    let folder = groups.iter().find_map(Group::folder);
    if let Some(folder) = folder {
        let folder = shell_word(&folder.display().to_string());
        let _ = writeln!(out, "\nTo read such a history: {} show {folder}", replay.program);
    }
    let is_left = |group: &Group| group.is_failure() && group.shrunk.is_none();
    let first = groups.iter().find(|group| is_left(group)).and_then(|group| group.stored.as_ref());
    if let Some(folder) = first {
        let folder = shell_word(&folder.display().to_string());
        let _ = writeln!(out, "To make it smaller: {} shrink {folder}", replay.program);
    }
}

fn missing_witnesses(out: &mut String, findings: &Findings) {
    for row in &findings.rows {
        for cell in row.cells.iter().filter(|cell| row.standing(cell) == Standing::NoWitness) {
            if cell.claim == Claim::Holds {
                let _ = writeln!(
                    out,
                    "\n{} is to show that {} loses {}, but none of {} runs does: its faults may not go beyond \
                     what that is claimed for",
                    escape::line(&row.plan),
                    escape::line(&row.system),
                    cell.guarantee,
                    row.runs,
                );
                continue;
            }
            let _ = writeln!(
                out,
                "\n{} says that it is not {}, but none of {} runs shows it: the checker or the \
                 faults are too weak, or the claim is too modest",
                escape::line(&row.system),
                cell.guarantee,
                row.runs,
            );
        }
    }
}

fn inconclusive(out: &mut String, findings: &Findings, replay: &Replay) {
    let listed = &findings.inconclusive;
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nRuns that do not tell ({}):", listed.len());
    for Inconclusive { plan, seed, reason, .. } in listed.iter().take(INCONCLUSIVE_SHOWN) {
        let (plan_shown, reason) = (escape::line(plan), escape::line(reason));
        let _ = writeln!(out, "  {plan_shown}, seed {seed}: {reason}");
        let _ = writeln!(out, "    {}", replay.of_seed(plan, *seed));
    }
    if listed.len() > INCONCLUSIVE_SHOWN {
        let _ = writeln!(out, "  and {} more", listed.len() - INCONCLUSIVE_SHOWN);
    }
}

/// Which rare states were reached in how many runs, system by system, and which in none.
fn marks(out: &mut String, findings: &Findings) {
    let mut systems: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for row in findings.rows.iter().filter(|row| row.runs > 0 && !row.marks.is_empty()) {
        let (runs, of_system) = systems.entry(&row.system).or_default();
        *runs += row.runs;
        for (mark, runs) in &row.marks {
            *of_system.entry(mark).or_default() += runs;
        }
    }
    if systems.is_empty() {
        return;
    }
    out.push_str("\nRare states, and how many runs reached them:\n");
    for (system, (runs, marks)) in systems {
        let reached = marks.iter().filter(|(_, runs)| **runs > 0);
        let reached = reached.map(|(mark, runs)| format!("{} {runs}", escape::line(mark)));
        let reached = reached.collect::<Vec<_>>().join(", ");
        let never = marks.iter().filter(|(_, runs)| **runs == 0);
        let never = never.map(|(mark, _)| escape::line(mark)).collect::<Vec<_>>().join(", ");
        let never = if never.is_empty() { never } else { format!("; never: {never}") };
        let _ = writeln!(
            out,
            "  {} ({}): {reached}{never}",
            escape::line(system),
            counted(runs, "run")
        );
    }
}

/// What plans name and that made no difference in any run.
fn idle(out: &mut String, findings: &Findings) {
    /// Of fewer runs, some may have no fault of a nemesis.
    const RUNS_MIN: u64 = 10;
    let mut lines = String::new();
    for Row { plan, runs, named, .. } in findings.rows.iter().filter(|row| row.runs > 0) {
        for Named { what, is_nemesis, effective } in named {
            if *effective == 0 && !(*is_nemesis && *runs < RUNS_MIN) {
                let (plan, runs) = (escape::line(plan), counted(*runs, "run"));
                let _ = writeln!(lines, "  {plan} ({runs}): {}", escape::line(what));
            }
        }
    }
    if !lines.is_empty() {
        let _ = write!(out, "\nWhat plans name and had no effect in any run:\n{lines}");
    }
}

fn mistakes(out: &mut String, findings: &Findings, replay: &Replay) {
    for divergence in &findings.divergences {
        let plan = &divergence.plan;
        let _ = writeln!(
            out,
            "\n{}, seed {} gave two different histories ({} and {}); to see where:\n  {} doctor {} --only {} --seeds {}..{}",
            escape::line(plan),
            divergence.seed,
            divergence.first,
            divergence.second,
            replay.program,
            replay.flags,
            shell_word(plan),
            divergence.seed,
            divergence.seed.0.saturating_add(1),
        );
    }
    if let Some(first) = findings.unstored.first() {
        let (plan, message) = (escape::line(&first.plan), escape::line(&first.message));
        let count = counted(findings.unstored.len() as u64, "run");
        let _ = writeln!(
            out,
            "\n{count} could not be stored, the first {plan}, seed {}: {message}",
            first.seed
        );
    }
    for error in &findings.own_errors {
        let (plan, message) = (escape::line(&error.plan), escape::line(&error.message));
        let _ = writeln!(out, "\nown error in {plan}, seed {}: {message}", error.seed);
        let _ = writeln!(out, "  {}", replay.of_seed(&error.plan, error.seed));
    }
}

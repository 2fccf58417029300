//! The measured matrix as a table: rows modes, columns guarantees.

use checkers::Guarantee;
use tabled::builder::Builder;
use tabled::settings::Style;

use super::brief::counted;
use super::escape;
use crate::campaign::{Cell, Row, Standing};
use crate::system::Claim;

/// The table for a terminal: one for each workload, because each shows guarantees of its own.
pub fn terminal(rows: &[Row]) -> String {
    // A table of eight guarantees is to fit on a screen.
    let narrow = |text: &str| escape::line(text).replace(", ", "\n  ").replace(" in ", "\n  in ");
    let mut tables = Vec::new();
    for rows in by_workload(rows) {
        let mut table = builder(&rows, narrow, |name| name.replacen('-', "-\n", 1)).build();
        table.with(Style::rounded());
        tables.push(table.to_string());
    }
    tables.join("\n")
}

/// The tables for Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut tables = Vec::new();
    for rows in by_workload(rows) {
        let mut table = builder(&rows, escape::markdown, str::to_owned).build();
        table.with(Style::markdown());
        tables.push(table.to_string());
    }
    tables.join("\n\n")
}

/// The rows of each workload, in the order in which they come.
fn by_workload(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|group| group[0].workload == row.workload) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// What the marks in the cells mean.
pub const LEGEND: &str = "\
✓ claimed, and held    ✗ claimed, and broken    ◇ not claimed, with a witness, as it should be
? claimed, not judged  ! not claimed, but no witness in as many runs as should do    · nothing expected";

/// The same with what is seldom there, where it is.
pub fn legend(rows: &[Row]) -> String {
    let has_losses = rows.iter().flat_map(|row| &row.cells).any(|cell| cell.lost > 0);
    let losses = "\n▽ allowed loss: claimed, but not for the faults that the plan names";
    format!("{LEGEND}{}", if has_losses { losses } else { "" })
}

fn builder(rows: &[&Row], escape: fn(&str) -> String, head_of: fn(&str) -> String) -> Builder {
    let judged = |guarantee: &Guarantee| rows.iter().any(|row| row.cell(*guarantee).is_some());
    let columns: Vec<Guarantee> = Guarantee::ALL.into_iter().filter(judged).collect();
    let mut builder = Builder::default();
    let workload = rows.first().map_or("", |row| &row.workload);
    let head = [escape(workload), "runs".to_owned()];
    builder
        .push_record(head.into_iter().chain(columns.iter().map(|column| head_of(column.name()))));
    for row in rows {
        let name = name(&row.plan, &row.system);
        let cells = columns.iter().map(|guarantee| {
            row.cell(*guarantee).map_or_else(|| "not judged".to_owned(), |cell| words(row, cell))
        });
        let cells = cells.map(|words| escape(&words));
        builder.push_record([escape(&name), row.runs.to_string()].into_iter().chain(cells));
    }
    builder
}

/// A plan, with its system where that has another name.
pub fn name(plan: &str, system: &str) -> String {
    if plan == system { plan.to_owned() } else { format!("{plan} ({system})") }
}

/// The mark of a guarantee.
pub fn mark(standing: Standing, claim: Claim) -> &'static str {
    match (standing, claim) {
        (Standing::Met, Claim::Holds) => "✓",
        (Standing::Met, Claim::Breaks | Claim::Silent | Claim::Waived) => "◇",
        (Standing::AllowedLoss, _) => "▽",
        (Standing::Violated, _) => "✗",
        (Standing::Known, _) => "≈",
        (Standing::NoWitness, _) => "!",
        (Standing::Unknown, _) => "?",
        (Standing::Open, _) => "·",
    }
}

/// What a cell says.
pub fn words(row: &Row, cell: &Cell) -> String {
    let mark = mark(row.standing(cell), cell.claim);
    let lost = cell
        .first_lost
        .map(|seed| format!("allowed loss in {} of {}, first seed {seed}", cell.lost, cell.runs()));
    let lost_too = lost.as_ref().map_or_else(String::new, |lost| format!(", {lost}"));
    match (cell.first_broken, cell.unknown, lost) {
        (Some(seed), ..) => {
            let (broken, runs) = (cell.broken, cell.runs());
            format!("{mark} broken in {broken} of {runs}, first seed {seed}{lost_too}")
        }
        (None, 0, Some(lost)) => format!("{mark} {lost}"),
        (None, 0, None) => format!("{mark} held in {}", counted(cell.held, "run")),
        (None, unknown, _) => {
            let held = counted(cell.held, "run");
            format!("{mark} held in {held}, unknown in {unknown}{lost_too}")
        }
    }
}

//! What each mode keeps and breaks, as tables for a terminal and as a document in Markdown.

use std::fmt::Write as _;
use std::ops::Range;

use tabled::builder::Builder;
use tabled::settings::Style;

use super::brief::counted;
use super::summary::{Cost, Replay, kind, shell_word};
use super::{escape, matrix};
use crate::campaign::Ending;
use crate::campaign::guarantees::{Group, Guarantees, Line, Mode};
use crate::seed::Seed;
use crate::system::Claim;

/// How a witness is seen again.
pub struct Commands {
    /// Under all faults of a plan.
    pub all: Replay,
    /// Under those of one group, which the command names.
    pub group: Replay,
}

/// A table for each mode, with the smallest witness of what was broken.
pub fn terminal(guarantees: &Guarantees, commands: &Commands, cost: Cost) -> String {
    let mut out = String::new();
    for mode in &guarantees.modes {
        let _ = writeln!(out, "{}", escape::line(&title(mode)));
        let narrow = |text: &str| escape::line(text).replace(", ", "\n");
        let mut table = builder(mode, narrow).build();
        table.with(Style::rounded());
        let _ = writeln!(out, "{table}");
        for line in &mode.lines {
            if let Some((words, command)) = witness(mode, line, commands) {
                let _ = writeln!(out, "  {}\n    {command}", escape::line(&words));
            }
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}\n", matrix::LEGEND);
    let _ = writeln!(out, "{}", totals(guarantees, Some(cost)));
    let _ = writeln!(out, "{}", conclusion(guarantees.ending()));
    out
}

/// The document. It says nothing that differs from machine to machine.
pub fn markdown(guarantees: &Guarantees, commands: &Commands, seeds: &Range<u64>) -> String {
    let mut out = String::from("# What each mode keeps, and what it breaks\n\n");
    let _ = writeln!(
        out,
        "Measured by `{} --seeds {}..{}`, which writes this file. Each plan ran with \
         each seed\nwithout faults, under each nemesis by itself, under all of them, and under what it \
         does not name, by itself,\nwhere its system is made for that; together with all it names, where the \
         system then promises less. What is\nclaimed has to hold everywhere; what is not claimed needs a \
         witness somewhere.\n",
        commands.all.call("guarantees"),
        seeds.start,
        seeds.end,
    );
    for line in matrix::LEGEND.lines() {
        let _ = writeln!(out, "{}  ", escape::markdown(line));
    }
    let _ = writeln!(out, "\n{}\n", escape::markdown(&totals(guarantees, None)));
    for mode in &guarantees.modes {
        let _ = writeln!(out, "## {}\n", escape::markdown(&title(mode)));
        let mut table = builder(mode, escape::markdown).build();
        table.with(Style::markdown());
        let _ = writeln!(out, "{table}\n");
        for line in &mode.lines {
            if let Some((words, command)) = witness(mode, line, commands) {
                let (words, command) = (escape::markdown(&words), escape::markdown(&command));
                let _ = writeln!(out, "- {words}  \n  <code>{command}</code>");
            }
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn title(mode: &Mode) -> String {
    format!("{}: {}", matrix::name(&mode.plan, &mode.system), mode.about)
}

fn builder(mode: &Mode, escape: impl Fn(&str) -> String) -> Builder {
    let mut builder = Builder::default();
    let head = ["guarantee".to_owned(), "claimed".to_owned()];
    builder.push_record(head.into_iter().chain(mode.groups.iter().map(Group::to_string)));
    for line in &mode.lines {
        let claim = match line.claim {
            Claim::Holds | Claim::Waived => "yes",
            Claim::Breaks => "no",
            Claim::Silent => "",
        };
        let waived = waived(mode, line);
        let cells = line.cells.iter().map(|cell| match cell {
            None => "not judged".to_owned(),
            Some(cell) if cell.broken > 0 => {
                format!("broken in {} of {}", cell.broken, cell.runs())
            }
            Some(cell) if cell.unknown > 0 => {
                format!("held in {}, unknown in {}", cell.held, cell.unknown)
            }
            Some(cell) => format!("held in {}", cell.held),
        });
        let name = format!("{} {}", matrix::mark(line.standing, line.claim), line.guarantee);
        let cells = cells.map(|words| escape(&words));
        builder.push_record([name, escape(&format!("{claim}{waived}"))].into_iter().chain(cells));
    }
    builder
}

/// Under which faults the system says something else than without any: `, not under clock`. Under all
/// faults it does so too, where one of them has it do so.
fn waived(mode: &Mode, line: &Line) -> String {
    let alone = |group: &usize| matches!(mode.groups[*group], Group::Alone(_));
    let mut groups: Vec<usize> = line.waived().collect();
    if groups.iter().any(alone) {
        groups.retain(alone);
    }
    let names: Vec<String> = groups.iter().map(|group| mode.groups[*group].to_string()).collect();
    if names.is_empty() { String::new() } else { format!(", not under {}", names.join(" or ")) }
}

/// The smallest witness of a guarantee, in words, and the command that shows it.
fn witness(mode: &Mode, line: &Line, commands: &Commands) -> Option<(String, String)> {
    let (group, found) = line.smallest()?;
    let group = &mode.groups[group];
    let words = format!(
        "{}, under {group}: seed {}, {} and {}: {}",
        kind(line.guarantee, &found.anomaly),
        found.seed,
        counted(found.operations, "operation"),
        counted(found.faults, "fault"),
        found.sentence,
    );
    Some((words, command(commands, &mode.plan, group, found.seed)))
}

fn command(commands: &Commands, plan: &str, group: &Group, seed: Seed) -> String {
    let (replay, nemeses) = match group {
        Group::None => (&commands.group, " --nemeses none".to_owned()),
        Group::Alone(nemesis) => (&commands.group, format!(" --nemeses {nemesis}")),
        Group::All => (&commands.all, String::new()),
        Group::AllAnd(nemeses) => (&commands.group, format!(" --nemeses {}", nemeses.join(","))),
    };
    format!("{} --plan {}{nemeses} --seed {seed}", replay.call("run"), shell_word(plan))
}

fn totals(guarantees: &Guarantees, cost: Option<Cost>) -> String {
    let totals = &guarantees.totals;
    let mut text = format!(
        "{}, {} checked, {} applied",
        counted(totals.runs, "run"),
        counted(totals.operations, "operation"),
        counted(totals.faults, "fault")
    );
    if let Some(cost) = cost {
        let _ = write!(text, ", {:.1} s", cost.wall_seconds);
        if let Some(cpu) = cost.cpu_seconds {
            let _ = write!(text, " ({cpu:.1} CPU s)");
        }
    }
    text
}

fn conclusion(ending: Ending) -> String {
    format!("{} (exit code {})", ending.sentence(), ending.code())
}

//! What each mode gains and pays, as tables for a terminal and as a document in Markdown.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use tabled::builder::Builder;
use tabled::settings::Style;

use super::summary::Cost;
use super::{escape, matrix};
use crate::tradeoffs::{Mode, Sort, Throughput, Tradeoffs, UnderFault, faults, throughput};

/// Three tables for each mode.
pub fn terminal(tradeoffs: &Tradeoffs, cost: Cost) -> String {
    let mut out = String::new();
    for mode in &tradeoffs.modes {
        let _ = writeln!(out, "{}", escape::line(&title(mode)));
        for (words, builder) in tables(mode) {
            let mut table = builder.build();
            table.with(Style::rounded());
            let _ = writeln!(out, "{words}\n{table}");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}, {:.1} s{}", totals(tradeoffs), cost.wall_seconds, cpu(cost));
    out.push_str(&violations(tradeoffs));
    out
}

/// The document. It says nothing that differs from machine to machine.
pub fn markdown(tradeoffs: &Tradeoffs, seeds: &Range<u64>) -> String {
    let mut out = String::from("# What each mode gains, and what it pays\n\n");
    let _ = writeln!(
        out,
        "Measured by `stormglass tradeoffs --seeds {}..{}`, which writes this file. Time is virtual: \
         the\nsame seeds give the same figures on every machine.\n\n{}\n",
        seeds.start,
        seeds.end,
        totals(tradeoffs),
    );
    for mode in &tradeoffs.modes {
        let _ = writeln!(out, "## {}\n", escape::markdown(&title(mode)));
        for (words, builder) in tables(mode) {
            let mut table = builder.build();
            table.with(Style::markdown());
            let _ = writeln!(out, "{words}\n\n{table}\n");
        }
    }
    out.push_str(&violations(tradeoffs));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn title(mode: &Mode) -> String {
    format!("{}: {}", matrix::name(&mode.plan, &mode.system), mode.about)
}

/// The tables of a mode, each under a sentence that says what it shows.
fn tables(mode: &Mode) -> Vec<(String, Builder)> {
    let mut tables = Vec::new();
    if !mode.latency.is_empty() {
        let words = "Latency for the clients of each region, with a node in each: half of the \
                     operations, and 99 of 100, take at most so long.";
        tables.push((words.to_owned(), latency(mode)));
    }
    if !mode.faults.is_empty() {
        let words = format!(
            "Under one fault for {} seconds, with {} nodes where the mode runs with them: of 100 \
             operations, those that were served; the longest time without an acknowledged write, \
             until {} seconds after the fault (in half of the runs, and in the worst); acknowledged \
             writes that were lost; of 1000 replica reads, those that missed an acknowledged write, \
             and by how much 99 of 100 were behind at most.",
            faults::LASTS.as_secs(),
            faults::NODES,
            faults::AFTER.as_secs(),
        );
        tables.push((words, under_faults(mode)));
    }
    if !mode.throughput.is_empty() {
        let words = format!(
            "Reads answered in a second, by the number of nodes, where each node handles {} messages \
             a second.",
            1_000_000_000 / throughput::MESSAGE_COST.as_nanos(),
        );
        tables.push((words, reads_a_second(mode)));
    }
    tables
}

fn latency(mode: &Mode) -> Builder {
    let mut builder = Builder::default();
    let sorts: Vec<Sort> = Sort::ALL
        .into_iter()
        .filter(|sort| mode.latency.iter().any(|latency| latency.sort == *sort))
        .collect();
    let head = sorts.iter().map(|sort| sort.name().to_owned());
    builder.push_record(["region".to_owned()].into_iter().chain(head));
    let last = mode.latency.iter().map(|latency| latency.region).max().unwrap_or(0);
    for region in 1..=last {
        let cells = sorts.iter().map(|sort| {
            let mut all = mode.latency.iter();
            let found = all.find(|latency| latency.region == region && latency.sort == *sort);
            found.map_or_else(
                || "none was served".to_owned(),
                |latency| format!("{}, {}", time(latency.p50), time(latency.p99)),
            )
        });
        builder.push_record([region.to_string()].into_iter().chain(cells));
    }
    builder
}

fn under_faults(mode: &Mode) -> Builder {
    let mut builder = Builder::default();
    builder.push_record([
        "fault",
        "reads",
        "replica reads",
        "writes",
        "without writes",
        "lost writes",
        "stale replica reads",
    ]);
    for under in &mode.faults {
        let lost = match under.lost_writes {
            0 => "none".to_owned(),
            lost => format!("{lost} in {} of {} runs", under.runs_with_losses, under.runs),
        };
        let gap = under.without_writes;
        builder.push_record([
            under.fault.clone(),
            served(under, Sort::Read),
            served(under, Sort::ReplicaRead),
            served(under, Sort::Write),
            format!("{}, {}", time(gap.median), time(gap.longest)),
            lost,
            format!("{} of 1000, {}", under.stale_of_1000, time(under.stale_p99)),
        ]);
    }
    builder
}

fn served(under: &UnderFault, sort: Sort) -> String {
    let one = under.served.iter().find(|served| served.sort == sort);
    match one.filter(|served| served.tried > 0) {
        Some(served) => format!("{:.1}", 100.0 * served.ok as f64 / served.tried as f64),
        None => "none tried".to_owned(),
    }
}

fn reads_a_second(mode: &Mode) -> Builder {
    let mut builder = Builder::default();
    let row = |name: &str, of: fn(&Throughput) -> u64| {
        let cells: Vec<String> = mode.throughput.iter().map(|one| of(one).to_string()).collect();
        [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    builder.push_record(row("nodes", |one| one.nodes.into()));
    builder.push_record(row("reads", |one| one.reads_a_second));
    builder.push_record(row("replica reads", |one| one.replica_reads_a_second));
    builder
}

/// Milliseconds, or seconds from ten on.
fn time(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

fn totals(tradeoffs: &Tradeoffs) -> String {
    format!("{} runs, {} operations", tradeoffs.runs, tradeoffs.operations)
}

fn cpu(cost: Cost) -> String {
    cost.cpu_seconds.map_or_else(String::new, |cpu| format!(" ({cpu:.1} CPU s)"))
}

/// Runs that broke a claim on the way.
fn violations(tradeoffs: &Tradeoffs) -> String {
    let mut out = String::new();
    for (plan, seed) in &tradeoffs.violations {
        let plan = escape::line(plan);
        let _ = writeln!(out, "{plan}, seed {seed}: a run broke what the system claims");
    }
    out
}

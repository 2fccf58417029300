//! How long the linearizability checker takes for histories of millions of operations, in time of
//! the processor, and how much memory it takes beyond the history.
//!
//! `cargo bench -p stormglass-checkers --bench large` measures a table of shapes. With arguments
//! after `--` it measures one, and writes it for other checkers: see `--help`.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::fs::{self, File};
use std::path::PathBuf;

use clap::Parser;
use cpu_time::ProcessTime;
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::jsonl;

mod generate;

use generate::{Shape, generate};

/// Measures the linearizability checker on generated histories.
#[derive(Parser)]
struct Arguments {
    /// How many operations; without it, a table of shapes is measured.
    #[arg(long)]
    operations: Option<u32>,
    /// On how many keys.
    #[arg(long, default_value_t = 1)]
    keys: usize,
    /// By how many clients.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Of 100 operations, how many are never answered.
    #[arg(long, default_value_t = 0)]
    unknown_percent: u32,
    /// How many values are written, again and again; 0: each is written once.
    #[arg(long, default_value_t = 0)]
    values: i64,
    /// A compare-and-set that fails does not say what it found.
    #[arg(long)]
    blind: bool,
    /// One read near the end returns what its key held long before.
    #[arg(long)]
    stale: bool,
    /// The keys are queues.
    #[arg(long)]
    queue: bool,
    /// Writes the history to a file, as JSON lines.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "operations  keys  clients  unknown  values  blind  stale  verdict   method                    CPU s   MiB beyond"
    );
    if let Some(operations) = arguments.operations {
        let Arguments { keys, clients, unknown_percent, values, blind, stale, queue, .. } =
            arguments;
        let shape =
            Shape { operations, keys, clients, unknown_percent, values, blind, stale, queue };
        measure(&shape, arguments.out.as_deref());
        return;
    }
    for keys in [1, 100] {
        for unknown_percent in [0, 1] {
            for stale in [false, true] {
                measure(&Shape { keys, unknown_percent, stale, ..Shape::UNIQUE }, None);
            }
        }
        measure(&Shape { keys, blind: true, ..Shape::UNIQUE }, None);
    }
    measure(&Shape { operations: 100_000, clients: 20, values: 5, ..Shape::UNIQUE }, None);
    let queue = Shape { operations: 1_000_000, unknown_percent: 1, queue: true, ..Shape::UNIQUE };
    measure(&queue, None);
}

fn measure(shape: &Shape, out: Option<&std::path::Path>) {
    let history = generate(shape);
    if let Some(path) = out {
        let file = File::create(path).expect("the file can be made");
        jsonl::write(&history, file).expect("the file takes what is written");
    }
    // From here on, the greatest size counts.
    let can_reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = kib("VmRSS:");
    let start = ProcessTime::now();
    let limits = Limits { states_max: 1_000_000_000, ..Limits::default() };
    let verdict = Linearizable::new(limits).check(&history);
    let took = start.elapsed();
    let beyond = match (can_reset, before, kib("VmHWM:")) {
        (true, Some(before), Some(most)) => format!("{}", most.saturating_sub(before) / 1024),
        _ => "?".to_owned(),
    };
    let word = if verdict.is_valid() {
        "valid"
    } else if verdict.is_invalid() {
        "invalid"
    } else {
        "unknown"
    };
    let Shape { operations, keys, clients, unknown_percent, values, blind, stale, .. } = shape;
    println!(
        "{operations:>10} {keys:>5} {clients:>8} {unknown_percent:>6} % {values:>7}  {blind:<5}  {stale:<5}  \
         {word:<8}  {:<24} {:>6.3}  {beyond:>10}",
        verdict.coverage().method,
        took.as_secs_f64(),
    );
    for anomaly in verdict.anomalies().iter().take(1) {
        println!("    {}: {} operations", anomaly.name, anomaly.witness.operations.len());
        for sentence in &anomaly.explanation {
            println!("      {sentence}");
        }
    }
}

/// A size of this process, in KiB.
fn kib(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

//! How long it takes to judge histories that are in files, apart from reading them, in time of the
//! processor.
//!
//! `cargo bench -p stormglass-checkers --bench files -- FORMAT FILE…` prints both for all files
//! together; without files it takes the seeds of the fuzzer that are logs of etcd.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use cpu_time::ProcessTime;
use stormglass_checkers::History;
use stormglass_checkers::checker::Checker;
use stormglass_checkers::checker::linearizable::{Linearizable, Settings};
use stormglass_checkers::history::format::Format;
use stormglass_checkers::history::jepsen_edn::Keys;
use stormglass_checkers::history::jsonl::ReadLimits;

/// How often all files are judged: the least time counts.
const TIMES: usize = 20;

/// Measures the linearizability checker on files.
#[derive(Parser)]
struct Arguments {
    /// Their format: jsonl, jepsen-edn, etcd-log or porcupine-kv.
    #[arg(default_value = "etcd-log", value_parser = parse_format)]
    format: Format,
    /// The files; those that are no histories are passed over.
    files: Vec<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn parse_format(name: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| "expected jsonl, jepsen-edn, etcd-log or porcupine-kv".to_owned())
}

fn main() {
    let mut arguments = Arguments::parse();
    if arguments.files.is_empty() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/etcd_log");
        let entries = fs::read_dir(seeds).expect("the seeds are there");
        arguments.files = entries.map(|entry| entry.expect("it is readable").path()).collect();
        arguments.files.sort();
    }
    let texts: Vec<Vec<u8>> =
        arguments.files.iter().map(|file| fs::read(file).expect("the file is readable")).collect();
    let read = || -> Vec<History> {
        let limits = ReadLimits::default();
        let read = |text: &Vec<u8>| arguments.format.read(&text[..], &limits, Keys::Single).ok();
        texts.iter().filter_map(read).collect()
    };
    let histories = read();
    let judge = |explain| {
        let checker = Linearizable::with(Settings { explain, ..Settings::default() });
        histories.iter().filter(|history| checker.check(history).is_invalid()).count()
    };
    let operations: usize = histories.iter().map(History::operation_count).sum();
    println!(
        "{} files, {operations} operations, {} not linearizable: read in {:.3} ms, judged in {:.3} ms, \
         judged and explained in {:.3} ms",
        histories.len(),
        judge(false),
        milliseconds(|| read().len()),
        milliseconds(|| judge(false)),
        milliseconds(|| judge(true)),
    );
}

fn milliseconds(work: impl Fn() -> usize) -> f64 {
    let once = |_| {
        let start = ProcessTime::now();
        std::hint::black_box(work());
        start.elapsed()
    };
    let least = (0..TIMES).map(once).min().expect("it was done at least once");
    least.as_secs_f64() * 1e3
}

//! Registers judged while their history is made: how long an event takes, and whether memory stays
//! what it is.
//!
//! `cargo bench -p stormglass-checkers --bench stream -- --help`

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::fs;

use clap::Parser;
use cpu_time::ProcessTime;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::Streaming;
use stormglass_checkers::history::{Op, Outcome, ProcessId, ReadLevel, Reason, Ret};

/// Feeds operations of clients of atomic registers to the streaming checker.
#[derive(Parser)]
struct Arguments {
    /// How many operations.
    #[arg(long, default_value_t = 30_000_000)]
    operations: u64,
    /// On how many keys.
    #[arg(long, default_value_t = 100)]
    keys: u32,
    /// By how many clients.
    #[arg(long, default_value_t = 50)]
    clients: u32,
    /// Of 1000 operations, how many are never answered.
    #[arg(long, default_value_t = 0)]
    unknown_per_mille: u32,
    /// A read half-way returns a value that was overwritten before.
    #[arg(long)]
    stale: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An operation that was begun, and its outcome once it has taken effect.
type Doing = (Op<u32, u64>, Option<Outcome<u64>>);

/// A client in the middle of an operation.
struct Client {
    process: ProcessId,
    doing: Option<Doing>,
}

fn main() {
    let arguments = Arguments::parse();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut stream: Streaming<u32, u64> = Streaming::new(0);
    let mut held = vec![0; arguments.keys as usize];
    let mut clients: Vec<Client> = (0..arguments.clients)
        .map(|process| Client { process: ProcessId(process), doing: None })
        .collect();
    let (mut next_value, mut next_process, mut ended) = (1, arguments.clients, 0);
    let mut to_spoil = arguments.stale;
    let start = ProcessTime::now();
    println!("operations  values kept  MiB in use  CPU s");
    while ended < arguments.operations {
        let client = &mut clients[random.random_range(0..arguments.clients) as usize];
        client.doing = match client.doing.take() {
            None => {
                let key = random.random_range(0..arguments.keys);
                let op = match random.random_range(0..10) {
                    0..=4 => Op::Read { key, level: ReadLevel::Strong },
                    5..=7 => Op::Write { key, value: next_value },
                    _ => Op::Cas { key, from: held[key as usize], to: next_value },
                };
                next_value += u64::from(op.kind().writes());
                stream.invoke(client.process, op, &0);
                Some((op, None))
            }
            Some((op, None)) => Some((op, Some(take_effect(&mut held, op)))),
            Some((_, Some(mut outcome))) => {
                if random.random_range(0..1000) < arguments.unknown_per_mille {
                    outcome = Outcome::Info(Reason::Timeout);
                }
                if let (true, Outcome::Ok(Ret::Value(value))) =
                    (to_spoil && ended > arguments.operations / 2, &mut outcome)
                {
                    *value /= 2;
                    to_spoil = false;
                }
                let violation = stream.complete(client.process, &outcome);
                ended += 1;
                if let Some(violation) = violation {
                    println!("{ended:>10}  {violation:?}");
                }
                if matches!(outcome, Outcome::Info(_)) {
                    client.process = ProcessId(next_process);
                    next_process += 1;
                }
                if ended % (arguments.operations / 6).max(1) == 0 {
                    println!(
                        "{ended:>10}  {:>11}  {:>10}  {:>5.2}",
                        stream.kept(),
                        resident().map_or_else(|| "?".to_owned(), |kib| (kib / 1024).to_string()),
                        start.elapsed().as_secs_f64(),
                    );
                }
                None
            }
        };
    }
    println!("{:?}", stream.summary());
}

fn take_effect(held: &mut [u64], op: Op<u32, u64>) -> Outcome<u64> {
    let now = &mut held[*op.key() as usize];
    match op {
        Op::Read { .. } => return Outcome::Ok(Ret::Value(*now)),
        Op::Cas { from, .. } if from != *now => {
            return Outcome::Fail(Reason::Mismatch { actual: Some(*now) });
        }
        Op::Write { value, .. } | Op::Cas { to: value, .. } => *now = value,
        _ => unreachable!("nothing else is drawn"),
    }
    Outcome::Ok(Ret::Done)
}

/// The memory that this process has in use, in KiB.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

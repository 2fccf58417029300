//! How many operations a second the search for an order judges, and the format reads and writes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::History;
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::jsonl::{self, ReadLimits};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Key, Op, OperationId, Outcome, ProcessId, ReadLevel, Reason, Ret,
    SessionId, Time, Value,
};

/// What a history is made of.
struct Shape {
    operations: u32,
    keys: usize,
    clients: usize,
    /// Of 100 writes, how many are never answered.
    unknown_percent: u32,
    /// Values that are written again and again, as in a register of few values; 0 for values that
    /// are all different.
    values: i64,
}

/// A client in the middle of an operation.
enum Step {
    Idle,
    Open(OperationId, Op),
    Decided(OperationId, Outcome),
}

/// A history of clients of one atomic store. Each operation takes effect at a random moment between
/// its begin and its end.
fn generate(shape: &Shape) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut builder = HistoryBuilder::new();
    let keys: Vec<Key> = (0..shape.keys).map(|key| format!("k{key}").into()).collect();
    let mut held = vec![Value::Nil; shape.keys];
    let mut clients: Vec<(u32, Step)> =
        (0..shape.clients as u32).map(|client| (client, Step::Idle)).collect();
    let (mut next_process, mut next_value, mut begun, mut at) = (shape.clients as u32, 0, 0, 0);
    while begun < shape.operations {
        at += 1;
        let time = Time::from_nanos(at);
        let session = random.random_range(0..clients.len());
        let (process, step) = &mut clients[session];
        *step = match std::mem::replace(step, Step::Idle) {
            Step::Idle => {
                begun += 1;
                next_value += 1;
                let key = random.random_range(0..keys.len());
                let value = if shape.values == 0 { next_value } else { next_value % shape.values };
                let op = draw(&mut random, &keys[key], &held[key], Value::Int(value));
                let (process, session) = (ProcessId(*process), SessionId(session as u32));
                let invocation = Invocation { process, session, node: None, op: op.clone() };
                let id = builder.invoke(time, &invocation).expect("the history is sound");
                Step::Open(id, op)
            }
            Step::Open(id, op) if random.random_range(0..100) < shape.unknown_percent => {
                // Whether it took effect or not, nobody is told.
                if random.random() {
                    take_effect(&mut held, &op);
                }
                let lost = Outcome::Info(Reason::Timeout);
                builder.complete(time, id, &lost).expect("the history is sound");
                *process = next_process;
                next_process += 1;
                Step::Idle
            }
            Step::Open(id, op) => Step::Decided(id, take_effect(&mut held, &op)),
            Step::Decided(id, outcome) => {
                builder.complete(time, id, &outcome).expect("the history is sound");
                Step::Idle
            }
        };
    }
    builder.finish()
}

fn draw(random: &mut ChaCha8Rng, key: &Key, held: &Value, value: Value) -> Op {
    let key = key.clone();
    match random.random_range(0..10) {
        0..=4 => Op::Read { key, level: ReadLevel::Strong },
        5..=7 => Op::Write { key, value },
        _ => Op::Cas { key, from: held.clone(), to: value },
    }
}

fn take_effect(held: &mut [Value], op: &Op) -> Outcome {
    let place: usize = op.key().as_str()[1..].parse().expect("keys are numbered");
    let now = &mut held[place];
    match op {
        Op::Read { .. } => return Outcome::Ok(Ret::Value(now.clone())),
        Op::Cas { from, .. } if from != now => {
            return Outcome::Fail(Reason::Mismatch { actual: Some(now.clone()) });
        }
        Op::Write { value, .. } | Op::Cas { to: value, .. } => *now = value.clone(),
        _ => *now = Value::Nil,
    }
    Outcome::Ok(Ret::Done)
}

fn linearizable(criterion: &mut Criterion) {
    let shapes = [
        (
            "100 keys, 10 clients, 1 % unknown",
            Shape { operations: 100_000, keys: 100, clients: 10, unknown_percent: 1, values: 0 },
        ),
        (
            "1 key, 5 clients",
            Shape { operations: 100_000, keys: 1, clients: 5, unknown_percent: 0, values: 0 },
        ),
        (
            "1 key of 5 values, 20 clients",
            Shape { operations: 10_000, keys: 1, clients: 20, unknown_percent: 0, values: 5 },
        ),
    ];
    let mut group = criterion.benchmark_group("linearizable");
    group.sample_size(10);
    for (name, shape) in shapes {
        let history = generate(&shape);
        let checker = Linearizable::new(Limits { states_max: 200_000_000, ..Limits::default() });
        assert!(checker.check(&history).is_valid(), "{name}: the generator is wrong");
        group.throughput(Throughput::Elements(u64::from(shape.operations)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(checker.check(&history)).is_valid());
        });
    }
    group.finish();
}

fn format(criterion: &mut Criterion) {
    let shape =
        Shape { operations: 100_000, keys: 100, clients: 10, unknown_percent: 1, values: 0 };
    let history = generate(&shape);
    let mut bytes = Vec::new();
    jsonl::write(&history, &mut bytes).expect("memory takes what is written");
    let mut group = criterion.benchmark_group("jsonl");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(shape.operations)));
    group.bench_function("write", |bencher| {
        bencher.iter(|| jsonl::write(&history, std::io::sink()));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| jsonl::read(&bytes[..], &ReadLimits::default()));
    });
    group.finish();
}

criterion_group!(benches, linearizable, format);
criterion_main!(benches);

//! How many operations a second the search for an order judges, and the format reads and writes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::jsonl::{self, ReadLimits};

mod generate;

use generate::{Shape, generate};

fn linearizable(criterion: &mut Criterion) {
    let of_ten = Shape { operations: 100_000, clients: 10, ..Shape::UNIQUE };
    let shapes = [
        ("100 keys, 10 clients, 1 % unknown", Shape { keys: 100, unknown_percent: 1, ..of_ten }),
        ("1 key, 5 clients", Shape { clients: 5, ..of_ten }),
        (
            "1 key of 5 values, 20 clients",
            Shape { operations: 10_000, clients: 20, values: 5, ..of_ten },
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
    let (operations, keys, clients) = (100_000, 100, 10);
    let shape = Shape { operations, keys, clients, unknown_percent: 1, ..Shape::UNIQUE };
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

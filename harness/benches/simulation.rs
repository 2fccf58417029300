//! How much of a cluster's life fits into a second of the processor, verdicts included.
//!
//! Measured in CPU time of the thread, since machines are shared. `thrpt` is operations, or
//! milliseconds of simulated time, a CPU second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stormglass::config::Config;
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{SYSTEMS, System};

/// Time of the processor that this thread took.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Five nodes and ten clients under every nemesis.
fn plan(system: &str) -> Plan {
    let mut plan = Plan::new("bench", system);
    plan.nodes = vec![5];
    plan.clients = [10, 10];
    plan
}

/// One run whose clients pause up to `think_max` between operations.
fn simulate(system: &Arc<dyn System>, name: &str, think_max: Duration) -> Report {
    let plan = plan(name);
    let seed = Seed(7);
    let config = Config { think_max, ..Config::draw(&plan, &system.manifest(), seed) };
    let options = Options { config: Some(config), ..Options::default() };
    run(system, &plan, seed, options)
}

fn simulation(criterion: &mut Criterion<CpuTime>) {
    // Pauses that make about a hundred operations a second of simulated time in all, and none.
    let loads = [("typical", Duration::from_millis(120)), ("closed-loop", Duration::ZERO)];
    for (load, think_max) in loads {
        for entry in SYSTEMS {
            let system: Arc<dyn System> = Arc::from((entry.build)());
            let counts = simulate(&system, entry.name, think_max).counts;
            let units = [
                ("simulated-ms", counts.simulated_ns / 1_000_000),
                ("operations", counts.operations()),
            ];
            for (unit, amount) in units {
                let mut group = criterion.benchmark_group(format!("{load}/{unit}"));
                group.sample_size(10).throughput(Throughput::Elements(amount));
                group.bench_function(BenchmarkId::from_parameter(entry.name), |bencher| {
                    bencher.iter(|| black_box(simulate(&system, entry.name, think_max)));
                });
                group.finish();
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = simulation
}
criterion_main!(benches);

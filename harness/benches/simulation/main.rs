//! How much of a cluster's life fits into a second of the processor, verdicts included, on either engine; and of the
//! same store on [turmoil as it is](plain), without faults, history or verdicts.
//!
//! Measured in CPU time of the thread, since machines are shared. `thrpt` is operations, or
//! milliseconds of simulated time, a CPU second; of `set-up`, runs that begin and end at once.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{Op, OpKind, Outcome, Reason};
use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference_db::mode::Mode;
use stormglass::config::Config;
use stormglass::engine::Engine;
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::system::{
    Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, System, Timing,
};

mod plain;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// Five nodes and ten clients under every nemesis; a load may say otherwise of the clients.
fn plan(system: &str) -> Plan {
    let mut plan = Plan::new("bench", system);
    plan.nodes = vec![5];
    plan.clients = [10, 10];
    plan
}

/// How busy clients are.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    clients: u32,
    /// The longest pause between two operations of a client.
    think_max: Duration,
}

const LOADS: [Load; 3] = [
    // Nodes that talk to each other, and one client that hardly ever does anything.
    Load { name: "idle", clients: 1, think_max: Duration::from_secs(600) },
    // Pauses that make about fifty operations a second of simulated time in all.
    Load { name: "typical", clients: 10, think_max: Duration::from_millis(120) },
    Load { name: "closed-loop", clients: 10, think_max: Duration::ZERO },
];

/// One run.
fn simulate(system: &Arc<dyn System>, name: &str, load: Load, engine: Engine) -> Report {
    let plan = plan(name);
    let seed = Seed(7);
    let drawn = Config::draw(&plan, &system.manifest(), seed);
    let Load { clients, think_max, .. } = load;
    let config = Config { engine, clients, think_max, pinned: clients.min(drawn.pinned), ..drawn };
    let options = Options { config: Some(config), ..Options::default() };
    run(system, &plan, seed, options)
}

fn simulation(criterion: &mut Criterion<CpuTime>) {
    for load in LOADS {
        for entry in SYSTEMS {
            let system: Arc<dyn System> = Arc::from((entry.build)());
            for engine in Engine::ALL {
                let counts = simulate(&system, entry.name, load, engine).counts;
                let units = [
                    ("simulated-ms", counts.simulated_ns / 1_000_000),
                    ("operations", counts.operations()),
                ];
                for (unit, amount) in units {
                    let mut group = criterion.benchmark_group(format!("{}/{unit}", load.name));
                    group.sample_size(10).throughput(Throughput::Elements(amount));
                    group.bench_function(BenchmarkId::new(entry.name, engine), |bencher| {
                        bencher.iter(|| black_box(simulate(&system, entry.name, load, engine)));
                    });
                    group.finish();
                }
            }
        }
    }
}

/// The mode `raft` on turmoil as it is, for as long as a run of ours lasts, under the same loads.
fn beside(criterion: &mut Criterion<CpuTime>) {
    let system: Arc<dyn System> = Arc::from((SYSTEMS[0].build)());
    for load in LOADS {
        let report = simulate(&system, "raft", load, Engine::Turmoil);
        let Config { nodes, tick, latency_max, .. } = report.config;
        let lasts = Duration::from_nanos(report.counts.simulated_ns);
        let Load { clients, think_max, .. } = load;
        let size = plain::Size { nodes, clients, think_max, tick, latency_max, lasts };
        let units = [
            ("simulated-ms", report.counts.simulated_ns / 1_000_000),
            ("operations", plain::simulate(Mode::Raft, size)),
        ];
        for (unit, amount) in units {
            let mut group = criterion.benchmark_group(format!("{}/{unit}", load.name));
            group.sample_size(10).throughput(Throughput::Elements(amount));
            group.bench_function(BenchmarkId::new("raft", "plain-turmoil"), |bencher| {
                bencher.iter(|| black_box(plain::simulate(Mode::Raft, size)));
            });
            group.finish();
        }
    }
}

/// A system that does nothing, in no time.
struct Nothing;

impl System for Nothing {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "nothing".to_owned(),
            about: "does nothing".to_owned(),
            nodes: (1, 9),
            ops: OpKind::REGISTER.to_vec(),
            claims: Vec::new(),
            replica_claims: Vec::new(),
            timing: Timing {
                failover: Duration::ZERO,
                converge: Duration::from_millis(1),
                operation: Duration::ZERO,
            },
        }
    }

    fn waits_by_tokio(&self) -> bool {
        false
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        Box::pin(async move {
            cx.recv().await;
            unreachable!("nobody sends")
        })
    }

    fn client(&self, _: ClientCx) -> Box<dyn Client> {
        Box::new(Nothing)
    }
}

impl Client for Nothing {
    fn invoke<'a>(&'a mut self, _: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Fail(Reason::Unsupported) })
    }
}

/// A run of five nodes and ten clients that is over when everybody has started.
fn set_up(criterion: &mut Criterion<CpuTime>) {
    let system: Arc<dyn System> = Arc::new(Nothing);
    let (plan, seed) = (plan("nothing"), Seed(7));
    let mut group = criterion.benchmark_group("set-up");
    for engine in Engine::ALL {
        let config = Config {
            engine,
            safety: Duration::ZERO,
            liveness: Duration::ZERO,
            mix: BTreeMap::from([(OpKind::Read, 1)]),
            ..Config::draw(&plan, &system.manifest(), seed)
        };
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(engine), |bencher| {
            bencher.iter(|| {
                let options = Options { config: Some(config.clone()), ..Options::default() };
                black_box(run(&system, &plan, seed, options))
            });
        });
    }
    let tick = Config::draw(&plan, &system.manifest(), seed).tick;
    group.bench_function(BenchmarkId::from_parameter("plain-turmoil"), |bencher| {
        bencher.iter(|| plain::set_up(15, tick));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = set_up, beside, simulation
}
criterion_main!(benches);

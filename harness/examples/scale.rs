//! What a run costs as it grows: simulated seconds and operations a second of the processor, verdicts included, by hosts,
//! clients and operations, on either engine.
//!
//! `cargo run --release -p stormglass --example scale`, or with the names of modes that are to be measured. Measured in CPU
//! time of the thread, the median of three runs of 30 simulated seconds under partitions and crashes.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cpu_time::ThreadTime;
use stormglass::config::Config;
use stormglass::engine::Engine;
use stormglass::plan::Plan;
use stormglass::run::{Counts, Options, run};
use stormglass::seed::Seed;
use stormglass::system::{SYSTEMS, System};
use tabled::builder::Builder;
use tabled::settings::Style;

/// How large a run is.
#[derive(Clone, Copy)]
struct Size {
    nodes: u32,
    clients: u32,
    /// The longest pause between two operations of a client, in milliseconds.
    think_max: u64,
}

/// Hosts grow first, then clients, then what each client asks, and last all of them.
const SIZES: [Size; 10] = [
    Size { nodes: 3, clients: 10, think_max: 200 },
    Size { nodes: 5, clients: 10, think_max: 200 },
    Size { nodes: 9, clients: 10, think_max: 200 },
    Size { nodes: 25, clients: 10, think_max: 200 },
    Size { nodes: 5, clients: 50, think_max: 200 },
    Size { nodes: 5, clients: 200, think_max: 200 },
    Size { nodes: 5, clients: 10, think_max: 40 },
    Size { nodes: 5, clients: 10, think_max: 0 },
    Size { nodes: 25, clients: 50, think_max: 200 },
    Size { nodes: 25, clients: 200, think_max: 200 },
];

/// The CPU time of one run, and how much was in it.
fn measure(system: &Arc<dyn System>, name: &str, size: Size, engine: Engine) -> (Duration, Counts) {
    let mut plan = Plan::new("scale", name);
    plan.nemeses = vec!["partition".to_owned(), "crash".to_owned()];
    (plan.safety, plan.liveness) = (Duration::from_secs(24), Duration::from_secs(6));
    let drawn = Config::draw(&plan, &system.manifest(), Seed(1));
    let Size { nodes, clients, think_max } = size;
    let think_max = Duration::from_millis(think_max);
    let config = Config { engine, nodes, clients, think_max, pinned: clients / 2, ..drawn };
    let mut times: Vec<(Duration, Counts)> = (0..3)
        .map(|_| {
            let options = Options { config: Some(config.clone()), ..Options::default() };
            let began = ThreadTime::now();
            let report = run(system, &plan, Seed(1), options);
            (began.elapsed(), report.counts)
        })
        .collect();
    times.sort_by_key(|(time, _)| *time);
    times.swap_remove(1)
}

fn main() -> anyhow::Result<()> {
    let named: Vec<String> = env::args().skip(1).collect();
    let names =
        if named.is_empty() { vec!["raft".to_owned(), "leaderless".to_owned()] } else { named };
    let mut table = Builder::default();
    table.push_record([
        "mode",
        "engine",
        "nodes",
        "clients",
        "longest pause",
        "operations",
        "messages",
        "CPU s",
        "simulated s / CPU s",
        "operations / CPU s",
    ]);
    for name in names {
        let entry = SYSTEMS.iter().find(|entry| entry.name == name);
        let entry = entry
            .with_context(|| format!("there is no mode `{name}`; `stormglass list` has them"))?;
        let system: Arc<dyn System> = Arc::from((entry.build)());
        for engine in Engine::ALL {
            for size in SIZES {
                let (time, counts) = measure(&system, &name, size, engine);
                let cpu = time.as_secs_f64();
                let simulated = counts.simulated_ns as f64 / 1e9;
                table.push_record([
                    name.clone(),
                    engine.to_string(),
                    size.nodes.to_string(),
                    size.clients.to_string(),
                    format!("{} ms", size.think_max),
                    counts.operations().to_string(),
                    counts.sent.to_string(),
                    format!("{cpu:.2}"),
                    format!("{:.0}", simulated / cpu),
                    format!("{:.0}", counts.operations() as f64 / cpu),
                ]);
            }
        }
    }
    anstream::println!("{}", table.build().with(Style::markdown()));
    Ok(())
}

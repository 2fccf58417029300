//! Explores the protocols exhaustively in small scopes, and says what holds.
//!
//! `cargo run --release -p stormglass-reference-db --example model-check -- --scope full`: every order in
//! which messages can arrive, be lost or come twice, timers fire, and nodes crash or lose their disks,
//! within the bounds that the table names. `--planted` shows for each property how a mistake breaks it.

mod explore;

use std::process::ExitCode;
use std::time::Duration;
use std::{panic, thread};

use clap::{Parser, ValueEnum};
use cpu_time::ProcessTime;
use tabled::builder::Builder;
use tabled::settings::Style;

use self::explore::{Bounds, Entry, Findings, Planted, Scope, Wishes};

/// Explores the replication protocols: every order in which messages can arrive, be lost or come
/// twice, timers fire, and nodes crash or lose their disks, within bounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How much is explored.
    #[arg(long, value_enum, default_value = "small")]
    scope: Size,
    /// So many timers fire, instead of what the scope says.
    #[arg(long)]
    timers: Option<usize>,
    /// So many crashes happen, instead of what the scope says.
    #[arg(long)]
    crashes: Option<usize>,
    /// So many disks are lost, instead of what the scope says.
    #[arg(long)]
    wipes: Option<usize>,
    /// Keeps messages under way that make no difference any more: more states, and the same of nodes.
    #[arg(long)]
    void: bool,
    /// Makes the mistakes instead that no protocol survives, and shows how each is found.
    #[arg(long)]
    planted: bool,
    /// The models; all where none is named.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Size {
    /// Seconds.
    Small,
    /// Minutes.
    Full,
}

/// What the columns of the table hold.
const HEAD: [&str; 8] =
    ["model", "within", "states", "unique", "of nodes", "depth", "CPU", "properties"];

fn main() -> ExitCode {
    silence_nodes();
    let arguments = Arguments::parse();
    let models = match chosen(&arguments) {
        Ok(models) => models,
        Err(reason) => {
            say(&format!("{reason}\n"));
            return ExitCode::from(2);
        }
    };
    let mut table = Builder::from_iter([HEAD]);
    let mut all_hold = true;
    for (model, bounds) in models {
        say(&format!("{}: {bounds}\n", model.name));
        if arguments.planted {
            for planted in model.plants {
                let findings = (model.explore)(bounds, Some(*planted));
                all_hold &= say_planted(*planted, &findings);
            }
            continue;
        }
        let begin = ProcessTime::now();
        let findings = (model.explore)(bounds, None);
        table.push_record(row(model.name, bounds, &findings, begin.elapsed()));
        say_findings(&findings);
        all_hold &= findings.hold();
    }
    if !arguments.planted {
        say_table(table);
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The models that are meant, and what of each is explored.
fn chosen(arguments: &Arguments) -> Result<Vec<(&'static Entry, Bounds)>, String> {
    let Arguments { timers, crashes, wipes, void, .. } = *arguments;
    let wishes = Wishes { timers, crashes, wipes, void };
    let scope = match arguments.scope {
        Size::Small => Scope::Small,
        Size::Full => Scope::Full,
    };
    let models = explore::named(&arguments.names)?.into_iter();
    models.map(|model| Ok((model, model.bounds_with(scope, wishes)?))).collect()
}

/// Keeps quiet about the panics of nodes, which the model counts and goes on from.
fn silence_nodes() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let checks = thread::current().name().is_some_and(|name| name.starts_with("checker-"));
        if !checks {
            loud(panic);
        }
    }));
}

/// What became of each property, and the steps to where one is broken.
fn say_findings(findings: &Findings) {
    let mut table = Builder::from_iter([["property", "found"]]);
    for property in &findings.properties {
        let found = match (property.holds, property.sometimes) {
            (true, false) => "holds",
            (false, false) => "BROKEN",
            (true, true) => "reached",
            (false, true) => "NEVER REACHED",
        };
        table.push_record([property.name, found]);
    }
    say_table(table);
    for property in findings.properties.iter().filter(|property| !property.holds) {
        say(&format!("{}\n", property.name));
        say_steps(&property.steps);
    }
}

/// What was explored of a model, as a row of [`HEAD`].
fn row(name: &str, bounds: Bounds, findings: &Findings, cpu: Duration) -> [String; HEAD.len()] {
    let Findings { states, unique, nodes, depth, .. } = findings;
    [
        name.to_owned(),
        bounds.to_string(),
        states.to_string(),
        unique.to_string(),
        nodes.len().to_string(),
        depth.to_string(),
        format!("{:.1} s", cpu.as_secs_f64()),
        if findings.hold() { "holds" } else { "BROKEN" }.to_owned(),
    ]
}

/// Whether the mistake was found.
fn say_planted((plant, name): Planted, findings: &Findings) -> bool {
    let Some(broken) = findings.properties.iter().find(|p| p.name == name && !p.holds) else {
        say(&format!("  {plant:?} does not break `{name}`\n"));
        return false;
    };
    say(&format!("  {plant:?} breaks `{name}` in {} steps\n", broken.steps.len()));
    say_steps(&broken.steps);
    true
}

fn say_steps(steps: &[String]) {
    for (step, number) in steps.iter().zip(1..) {
        say(&format!("    {number:>2} {step}\n"));
    }
}

fn say_table(builder: Builder) {
    let mut table = builder.build();
    table.with(Style::rounded());
    say(&format!("{table}\n"));
}

#[expect(clippy::print_stdout, reason = "the one place that prints")]
fn say(text: &str) {
    print!("{text}");
}

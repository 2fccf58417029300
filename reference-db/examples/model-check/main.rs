//! Explores the protocols exhaustively in small scopes, and says what holds.

mod explore;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use std::{panic, thread};

use clap::{Parser, ValueEnum};
use cpu_time::ProcessTime;

use self::explore::{Entry, Findings, MODELS, Planted, Scope};

/// Explores the replication protocols: every order in which messages can arrive, be lost or come
/// twice, timers fire, and nodes crash, within bounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How much is explored.
    #[arg(long, value_enum, default_value = "small")]
    scope: Size,
    /// So many timers fire, instead of what the scope says.
    #[arg(long)]
    timers: Option<usize>,
    /// So many crashes happen.
    #[arg(long)]
    crashes: Option<usize>,
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

fn main() -> ExitCode {
    silence_nodes();
    let arguments = Arguments::parse();
    let mut models: Vec<&Entry> = MODELS.iter().collect();
    if !arguments.names.is_empty() {
        models.retain(|model| arguments.names.iter().any(|name| name == model.name));
    }
    if models.len() < arguments.names.len() {
        let known: Vec<_> = MODELS.iter().map(|model| model.name).collect();
        say(&format!("a model has another name; there are {}\n", known.join(", ")));
        return ExitCode::from(2);
    }
    let scope = match arguments.scope {
        Size::Small => Scope::Small,
        Size::Full => Scope::Full,
    };
    let mut all_hold = true;
    for model in models {
        let mut bounds = (model.bounds)(scope);
        bounds.timers = arguments.timers.unwrap_or(bounds.timers);
        bounds.crashes = arguments.crashes.unwrap_or(bounds.crashes);
        say(&format!("{}: {bounds}\n", model.name));
        if arguments.planted {
            for planted in model.plants {
                let findings = (model.explore)(bounds, Some(*planted));
                all_hold &= say_planted(*planted, &findings);
            }
        } else {
            let begin = ProcessTime::now();
            let findings = (model.explore)(bounds, None);
            say_findings(&findings, begin.elapsed());
            all_hold &= findings.hold();
        }
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

fn say_findings(findings: &Findings, cpu: Duration) {
    let Findings { states, unique, nodes, depth, .. } = findings;
    let nodes = nodes.len();
    let cpu = cpu.as_secs_f64();
    let mut text = format!(
        "  {states} states, {unique} unique, {nodes} of nodes, depth {depth}, {cpu:.1} s of CPU\n"
    );
    for property in &findings.properties {
        let holds = if property.holds { "holds" } else { "DOES NOT HOLD" };
        let steps = property.steps.len();
        let after = if steps > 0 { format!(", see {steps} steps") } else { String::new() };
        writeln!(text, "  {:<40} {holds}{after}", property.name)
            .expect("a string takes everything");
    }
    say(&text);
    for property in findings.properties.iter().filter(|property| !property.holds) {
        say_steps(&property.steps);
    }
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

#[expect(clippy::print_stdout, reason = "the one place that prints")]
fn say(text: &str) {
    print!("{text}");
}

//! `stormglass doctor`: are runs the same on this machine? And is the adapter of a system as it should be?

use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::Context;
use super::plans::Selection;
use crate::campaign::{Ending, Entry};
use crate::conformance::{self, Finding};
use crate::doctor::{self, Difference, Fingerprints};
use crate::report::brief::counted;
use crate::report::escape;
use crate::seed::Seed;
use crate::system::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The seeds that are compared.
    #[arg(long, value_name = "A..B", value_parser = super::arguments::seeds, default_value = "0..100")]
    seeds: Range<u64>,
    /// Instead of comparing runs, look for what is wrong with the adapter of this system.
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["only", "skip", "seeds", "plans", "nemeses", "engine", "swarm"])]
    system: Option<String>,
}

/// What a process of the doctor's is asked for.
#[derive(clap::Args)]
pub(super) struct Listed {
    #[command(flatten)]
    selection: Selection,
    #[arg(long, value_parser = super::arguments::seeds)]
    seeds: Range<u64>,
    /// The history of each run instead of its fingerprint.
    #[arg(long)]
    history: bool,
}

#[derive(Serialize)]
struct Content {
    version: &'static str,
    processors: usize,
    plans: Vec<String>,
    seeds: Range<u64>,
    deterministic: bool,
    differences: Vec<Difference>,
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        if let Some(name) = &self.system {
            return examine(context, name);
        }
        let entries = self.selection.entries(context)?;
        let mut differences = Vec::new();
        for entry in &entries {
            differences.extend(self.examine(context, entry)?);
        }
        let deterministic = differences.is_empty();
        let ran = !entries.is_empty() && !self.seeds.is_empty();
        let content = Content {
            version: env!("CARGO_PKG_VERSION"),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            plans: entries.iter().map(|entry| entry.plan.name.clone()).collect(),
            seeds: self.seeds.clone(),
            deterministic,
            differences,
        };
        context.output.result("doctor", &content, || human(&content))?;
        let ending = match (deterministic, ran) {
            (false, _) => Ending::Nondeterministic,
            (true, false) => Ending::NothingRan,
            (true, true) => Ending::Met,
        };
        Ok(ending.code())
    }

    /// Compares the executions of one plan; nothing where they are all the same.
    fn examine(&self, context: &Context, entry: &Entry) -> anyhow::Result<Option<Difference>> {
        let plan = &entry.plan.name;
        let bar = context.output.progress(plan);
        bar.set_length(2 * (self.seeds.end - self.seeds.start));
        let here = doctor::on_two_threads(entry, self.seeds.clone(), &|| bar.inc(1));
        bar.finish_and_clear();
        let here = match here {
            Ok(here) => here,
            Err(difference) => return Ok(Some(*difference)),
        };
        let bar = context.output.progress(plan);
        bar.set_message("in two more processes");
        let children = [self.spawn(plan, &self.seeds)?, self.spawn(plan, &self.seeds)?];
        let [first, second] = outputs(children)?;
        bar.finish_and_clear();
        for (output, between) in
            [(first, "this process and another one"), (second, "this process and another one")]
        {
            if let Some(seed) = first_difference(&self.seeds, &here, &output)? {
                let [theirs, _] =
                    outputs([self.spawn_history(plan, seed)?, self.spawn_history(plan, seed)?])?;
                let ours = doctor::history_text(entry, seed);
                return Ok(Some(Difference::between(plan, seed, between, &ours, &theirs)));
            }
        }
        Ok(None)
    }

    fn spawn(&self, plan: &str, seeds: &Range<u64>) -> anyhow::Result<Child> {
        self.command(plan, &format!("{}..{}", seeds.start, seeds.end))?
            .spawn()
            .context("cannot start another process of this program")
    }

    fn spawn_history(&self, plan: &str, seed: Seed) -> anyhow::Result<Child> {
        self.command(plan, &seed.to_string())?
            .arg("--history")
            .spawn()
            .context("cannot start another process of this program")
    }

    fn command(&self, plan: &str, seeds: &str) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["fingerprints", "--only", plan, "--seeds", seeds]);
        command.args(self.selection.source.flags());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command)
    }
}

/// What is wrong with the adapter of a system.
#[derive(Serialize)]
struct Examined<'a> {
    system: &'a str,
    findings: Vec<Finding>,
}

fn examine(context: &Context, name: &str) -> anyhow::Result<u8> {
    let known = || context.systems.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    let named = context.systems.iter().find(|entry| entry.name == name);
    let named =
        named.with_context(|| format!("no system is called `{name}`; there are {}", known()))?;
    let system =
        named.configured(&Settings::new()).map_err(|error| anyhow!("settings: {error}"))?;
    let bar = context.output.progress(name);
    bar.set_message("in calm, after crashes, with answers lost");
    let findings = conformance::examine(&Arc::from(system));
    bar.finish_and_clear();
    let examined = Examined { system: name, findings };
    context.output.result("doctor", &examined, || words_of(&examined))?;
    let ending = if examined.findings.is_empty() { Ending::Met } else { Ending::Violated };
    Ok(ending.code())
}

fn words_of(examined: &Examined<'_>) -> String {
    let Examined { system, findings } = examined;
    if findings.is_empty() {
        return format!(
            "{system}: nothing is wrong with the adapter, as far as runs in calm, after crashes, with answers lost \
             and with empty disks tell\n"
        );
    }
    let mut text = format!(
        "{system}: {} wrong with the adapter\n",
        match findings.len() {
            1 => "one thing is".to_owned(),
            several => format!("{several} things are"),
        }
    );
    for Finding { about, seen, remedy } in findings {
        text.push_str(&format!(
            "\n{about}: {}\n  to do: {}\n",
            escape::line(seen),
            escape::line(remedy)
        ));
    }
    text
}

/// Waits for two processes at once, so that neither waits for its output to be read.
fn outputs(children: [Child; 2]) -> anyhow::Result<[String; 2]> {
    let outputs = std::thread::scope(|scope| {
        let reading = children.map(|child| scope.spawn(|| child.wait_with_output()));
        reading
            .map(|reading| reading.join().expect("reading the output of a process does not panic"))
    });
    let [first, second] = outputs;
    let text = |output: std::io::Result<std::process::Output>| {
        let output = output.context("cannot read what the other process says")?;
        if !output.status.success() {
            bail!("the other process of this program failed: {}", output.status);
        }
        String::from_utf8(output.stdout).context("the other process does not write text")
    };
    Ok([text(first)?, text(second)?])
}

/// The first seed of which another process reports another fingerprint.
fn first_difference(
    seeds: &Range<u64>,
    here: &Fingerprints,
    output: &str,
) -> anyhow::Result<Option<Seed>> {
    let mut lines = output.lines();
    for (seed, fingerprint) in seeds.clone().zip(here) {
        let line = lines.next().unwrap_or_default();
        let mut words = line.split(' ').skip(1);
        if words.next() != Some(&seed.to_string()) {
            bail!("the other process wrote {line:?} where seed {seed} belongs");
        }
        if words.next() != Some(&fingerprint.0) {
            return Ok(Some(Seed(seed)));
        }
    }
    Ok(None)
}

impl Listed {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        for entry in self.selection.entries(context)? {
            for seed in self.seeds.clone().map(Seed) {
                let text = if self.history {
                    doctor::history_text(&entry, seed)
                } else {
                    let fingerprint = doctor::fingerprint(&entry, seed);
                    format!("{} {seed} {fingerprint}\n", entry.plan.name)
                };
                context.output.text(&text)?;
            }
        }
        Ok(0)
    }
}

fn human(content: &Content) -> String {
    let Content { version, processors, plans, seeds, deterministic, differences } = content;
    let mut text = format!("stormglass {version}, {processors} processors\n");
    let count = seeds.end - seeds.start;
    if count == 0 || plans.is_empty() {
        text.push_str("nothing ran: no plan or no seed was selected\n");
    } else if *deterministic {
        let seeds = counted(count, "seed");
        for plan in plans {
            text.push_str(&format!(
                "{plan}: {seeds}, each run four times, on two threads and in two more \
                 processes: no difference\n"
            ));
        }
    }
    for difference in differences {
        text.push_str(&difference.explain());
    }
    text
}

//! Determinism, proved on the machine at hand: the same seeds, twice, must give the same histories.

use std::fmt::Write as _;
use std::ops::Range;

use checkers::History;
use serde::Serialize;

use crate::campaign::Entry;
use crate::run::{self, Fingerprint, Options};
use crate::seed::Seed;

/// The first difference between two executions of one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The plan.
    pub plan: String,
    /// The seed.
    pub seed: Seed,
    /// What the two executions were: `two threads`.
    pub between: &'static str,
    /// The line of the history, from 1 on, that differs first; none where only the fingerprints are
    /// known to differ.
    pub line: Option<usize>,
    /// That line of the first history, and of the second; empty where one history is longer.
    pub sides: [String; 2],
}

/// The fingerprints of all seeds of one plan, in order.
pub type Fingerprints = Vec<Fingerprint>;

/// Runs each seed twice in this process, on two threads: one takes the seeds upwards, the other
/// downwards, so that what one run leaves behind for the next shows too.
///
/// Returns the fingerprints, or the first difference with both sides.
///
/// # Errors
/// The first difference.
///
/// # Panics
/// If a run does.
pub fn on_two_threads(
    entry: &Entry,
    seeds: Range<u64>,
    watch: &(dyn Fn() + Sync),
) -> Result<Fingerprints, Box<Difference>> {
    let one = |seed: u64| {
        let fingerprint = fingerprint(entry, Seed(seed));
        watch();
        fingerprint
    };
    let (upwards, mut downwards) = std::thread::scope(|scope| {
        let upwards = scope.spawn(|| seeds.clone().map(one).collect::<Fingerprints>());
        let downwards = scope.spawn(|| seeds.clone().rev().map(one).collect::<Fingerprints>());
        let joined = |handle: std::thread::ScopedJoinHandle<'_, Fingerprints>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (joined(upwards), joined(downwards))
    });
    downwards.reverse();
    match upwards.iter().zip(&downwards).position(|(up, down)| up != down) {
        None => Ok(upwards),
        Some(index) => {
            let seed = Seed(seeds.start + index as u64);
            Err(Box::new(compare(entry, seed)))
        }
    }
}

/// The fingerprint of one execution.
pub fn fingerprint(entry: &Entry, seed: Seed) -> Fingerprint {
    run::run(&entry.system, &entry.plan, seed, Options::default()).fingerprint
}

/// The history of one execution, as it is stored.
pub fn history_text(entry: &Entry, seed: Seed) -> String {
    text_of(&run::run(&entry.system, &entry.plan, seed, Options::default()).history)
}

fn text_of(history: &History) -> String {
    let mut bytes = Vec::new();
    checkers::history::jsonl::write(history, &mut bytes).expect("a vector takes every byte");
    String::from_utf8(bytes).expect("JSON is text")
}

/// Runs a seed again and again until two histories differ, and says where.
fn compare(entry: &Entry, seed: Seed) -> Difference {
    /// A seed that differed once differs again soon.
    const ATTEMPTS: usize = 20;
    let first = history_text(entry, seed);
    let others = (0..ATTEMPTS).map(|_| history_text(entry, seed));
    let second = others.into_iter().find(|text| *text != first);
    let mut difference = Difference {
        plan: entry.plan.name.clone(),
        seed,
        between: "two threads of one process",
        line: None,
        sides: Default::default(),
    };
    if let Some(second) = second {
        difference.locate(&first, &second);
    }
    difference
}

impl Difference {
    /// The difference between two histories of a seed, as they are stored.
    pub fn between(
        plan: &str,
        seed: Seed,
        between: &'static str,
        first: &str,
        second: &str,
    ) -> Difference {
        let mut difference = Difference {
            plan: plan.to_owned(),
            seed,
            between,
            line: None,
            sides: Default::default(),
        };
        difference.locate(first, second);
        difference
    }

    fn locate(&mut self, first: &str, second: &str) {
        let (mut ours, mut theirs) = (first.lines(), second.lines());
        let mut number = 0;
        loop {
            number += 1;
            match (ours.next(), theirs.next()) {
                (None, None) => return,
                (our, their) if our == their => {}
                (our, their) => {
                    self.line = Some(number);
                    self.sides = [our, their].map(|line| line.unwrap_or_default().to_owned());
                    return;
                }
            }
        }
    }

    /// The difference in words, both sides below each other.
    pub fn explain(&self) -> String {
        let Difference { plan, seed, between, line, sides } = self;
        let mut text = format!("{plan}, seed {seed}: {between} gave different histories\n");
        match line {
            Some(line) => {
                // The first line of a history is its header.
                let event = line.saturating_sub(2);
                let _ = writeln!(text, "the first event that differs is event {event}:");
                for (side, words) in ["first ", "second"].iter().zip(sides) {
                    let shown = if words.is_empty() { "(no such event)" } else { words };
                    let _ = writeln!(text, "  {side}  {}", crate::report::escape::line(shown));
                }
            }
            None => text.push_str("it did not differ again when it was repeated\n"),
        }
        text
    }
}

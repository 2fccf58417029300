//! Shrinking as a part of `run` and `campaign`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Context;
use super::output::Meter;
use crate::campaign::Entry;
use crate::report::escape;
use crate::shrink::Size;
use crate::store::Store;
use crate::triage::{Group, Shrinking};

/// What is shrunk, and for how long.
#[derive(clap::Args)]
pub(super) struct Shrink {
    /// Shrink the first run of each kind of failure afterwards, or with `all`, of what is not claimed too. Ctrl-C ends
    /// that, and keeps what is done.
    #[arg(long, value_enum, value_name = "WHICH", num_args = 0..=1, default_missing_value = "failures")]
    shrink: Option<Which>,
    /// How long each kind of failure may be shrunk; the smallest run so far is kept. Each has this time to itself:
    /// three kinds take up to three times as long.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = humantime::parse_duration,
        default_value = "60s",
        requires = "shrink"
    )]
    shrink_budget: Duration,
}

/// Which runs are shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// What was broken although claimed.
    Failures,
    /// All that was broken.
    All,
}

impl Which {
    fn takes(self, group: &Group) -> bool {
        self == Which::All || group.is_failure()
    }
}

impl Shrink {
    /// Whether anything is to be shrunk.
    pub(super) fn is_asked_for(&self) -> bool {
        self.shrink.is_some()
    }

    /// Shrinks one run of each kind of failure, what is claimed first.
    pub(super) fn execute(
        &self,
        context: &Context,
        groups: &mut [Group],
        (entries, store): (&[Entry], &Store),
        interrupted: &AtomicBool,
    ) {
        let Some(which) = self.shrink else { return };
        let has_witnesses = !groups.is_empty();
        let chosen: Vec<&mut Group> =
            groups.iter_mut().filter(|group| which.takes(group)).collect();
        if chosen.is_empty() {
            context.output.note(match has_witnesses {
                true => {
                    "nothing to shrink: nothing claimed was broken; `--shrink all` shrinks the witnesses for \
                     what is not claimed"
                }
                false => "nothing to shrink: nothing was broken",
            });
        }
        let bar = context.output.progress("shrink");
        bar.set_length(chosen.len() as u64);
        for group in chosen {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let meter = Meter::start();
            let id = group.id.clone();
            let stop = || {
                interrupted.load(Ordering::Relaxed)
                    || meter.read().wall_seconds >= self.shrink_budget.as_secs_f64()
            };
            let progress = |what: &str, size: Size, _| {
                bar.set_message(format!("{id}, {what}: {size}"));
            };
            let shrinking = Shrinking { entries, store, stop: &stop, progress: &progress };
            if let Err(error) = group.shrink(&shrinking) {
                let error = escape::terminal(&error.to_string());
                context.output.note(&format!("{id} cannot be shrunk: {error}"));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
}

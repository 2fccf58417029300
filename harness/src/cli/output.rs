//! The only place that prints. Results go to the standard output, all else to the standard error.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::campaign::{Ending, Progress};
use crate::report::json;
use crate::report::summary::{Cost, shell_word};
use crate::store;

/// Signals that come as close together as this are one.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The exit code of wrong use.
pub(super) const USAGE: u8 = 2;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// One JSON document with a `schema_version`.
    Json,
}

/// Where results and notes go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Output {
        Output { format }
    }

    /// Writes the result of a command, in the form that was asked for.
    pub(super) fn result<T: Serialize>(
        &self,
        kind: &str,
        content: T,
        human: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Human => self.text(&human()),
            Format::Json => self.bytes(json::document(kind, content)?.as_bytes()),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes what a person reads to the standard output, in colours where it is a terminal.
    pub(super) fn text(&self, text: &str) -> anyhow::Result<()> {
        Self::write(anstream::stdout().lock(), text.as_bytes())
    }

    /// Writes what a program reads to the standard output, as it is.
    pub(super) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        Self::write(io::stdout().lock(), bytes)
    }

    /// Writes everything. A reader that has had enough is no error.
    fn write(mut out: impl Write, bytes: &[u8]) -> anyhow::Result<()> {
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to the standard output")
            }
            _ => Ok(()),
        }
    }

    /// Writes a line to the standard error.
    pub(super) fn note(&self, text: &str) {
        // There is nowhere left to complain.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// A progress bar on the standard error; hidden where that is no terminal.
    pub(super) fn progress(&self, what: &str) -> ProgressBar {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} {eta}")
            .expect("the template is right");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.with_prefix(what.to_owned())
    }
}

/// Shows on a bar how far a campaign is.
pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of);
    bar.set_position(progress.done);
    bar.set_message(format!("{} failing", progress.failures));
}

/// The program, as it was called and can be called again.
pub(super) fn program() -> String {
    let called = std::env::args().next();
    called.map_or_else(|| "stormglass".to_owned(), |called| shell_word(&called))
}

/// How the program was called, with this flag, as a shell reads it.
pub(super) fn as_called(flag: &str) -> String {
    let called: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .filter(|word| word != flag)
        .collect();
    let words = called.iter().map(|word| shell_word(word)).chain([flag.to_owned()]);
    words.collect::<Vec<_>>().join(" ")
}

/// Turns true when somebody presses Ctrl-C; the second time, the program ends at once.
pub(super) fn interruption() -> anyhow::Result<Arc<AtomicBool>> {
    interruption_saying("")
}

/// The same where it takes a while to stop, which is said then.
pub(super) fn interruption_saying(words: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    on_interruption(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(Ending::Interrupted.code().into());
        }
        if !words.is_empty() {
            // Whoever has closed it has not asked for words.
            let _ = writeln!(io::stderr(), "{words}");
        }
    })?;
    Ok(stop)
}

/// Acts whenever somebody presses Ctrl-C, or ends the program otherwise. `timeout` does so twice at once, to the program and
/// to its group: that is one time.
#[expect(clippy::disallowed_methods, reason = "people press keys in wall time")]
pub(super) fn on_interruption(mut act: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    let mut last: Option<Instant> = None;
    let handler = move || {
        if last.is_none_or(|last| last.elapsed() > AT_ONCE) {
            last = Some(Instant::now());
            act();
        }
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")
}

/// Measures what a command costs.
pub(super) struct Meter(Instant);

impl Meter {
    #[expect(clippy::disallowed_methods, reason = "what a campaign cost is wall time")]
    pub(super) fn start() -> Meter {
        Meter(Instant::now())
    }

    pub(super) fn read(&self) -> Cost {
        Cost {
            wall_seconds: self.0.elapsed().as_secs_f64(),
            cpu_seconds: cpu_time().map(|time| time.as_secs_f64()),
            runs_before: 0,
        }
    }
}

/// Processor time that this process has used, where the operating system tells.
fn cpu_time() -> Option<Duration> {
    /// In this file Linux counts in hundredths of a second on every platform.
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses, and may hold spaces.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().ok());
    Some(TICK * times.next()??.checked_add(times.next()??)?)
}

/// Fails where the file could not be written after the campaign; leaves nothing behind.
pub(super) fn check_writable(file: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    if file.is_dir() {
        bail!("{}: it is a folder; name a file in it", cannot());
    }
    if is_special(file) {
        return fs::OpenOptions::new().write(true).open(file).map(drop).with_context(cannot);
    }
    let temporary = temporary(file);
    let tried = fs::write(&temporary, "").and_then(|()| fs::remove_file(&temporary));
    tried.with_context(cannot)
}

/// Fails where the file that is to be written is one of those that are read.
pub(super) fn check_other<'a>(
    file: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> anyhow::Result<()> {
    let Ok(output) = file.canonicalize() else { return Ok(()) };
    let mut inputs = inputs.into_iter();
    let is_same = |input: &&Path| input.canonicalize().is_ok_and(|input| input == output);
    if is_special(file) || !inputs.any(|input| is_same(&input)) {
        return Ok(());
    }
    bail!("cannot write {}: it is one of the files that are read; name another", file.display())
}

/// Whether a path is something that cannot be replaced by a file: a device, a pipe.
fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| !metadata.is_file())
}

/// Writes a file whole or not at all.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_special(file) {
        let opened = fs::OpenOptions::new().write(true).open(file);
        let written = opened.and_then(|mut opened| opened.write_all(bytes));
        return written.with_context(|| format!("cannot write {}", file.display()));
    }
    let written = store::write_whole(&temporary(file), file, bytes);
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// A file beside another one, on the same file system.
fn temporary(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_and_not_replaced() {
        assert!(is_special(Path::new("/dev/null")));
        assert!(!is_special(Path::new("no such file")));
        replace(Path::new("/dev/null"), b"gone").expect("it takes everything");
        assert!(is_special(Path::new("/dev/null")));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("there is room");
        // A folder that has something in it cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).expect("there is room");
        let temporary = temporary(&taken);
        store::write_whole(&temporary, &taken, b"gone").expect_err("it is a folder");
        assert!(!temporary.exists() && taken.join("inside").exists());
    }
}

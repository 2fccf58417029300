//! One process: what it is told and what it says, within bounds, and its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::guardian::Guardian;
use super::usage::{Belongings, MARK, Usage};
use super::{Launch, Limits};

/// How long a line of a process may be.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How many lines wait for a process to read them, and of it to be read.
const LINES_MAX: usize = 10_000;
/// How many bytes of its standard error are kept.
const ERROR_BYTES_MAX: usize = 1 << 20;
/// How many lines of it are its last words, and how many bytes of each.
const LAST_WORDS: usize = 5;
const LAST_WORDS_BYTES: usize = 300;
/// How often what a process has left running is looked for and killed: between the two, it may start more.
const KILLS_MAX: u32 = 100;
/// How long they are waited for, in real time, once the process has ended.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(2);

/// A process, which ends at the latest when this is dropped.
pub(super) struct Process {
    child: Child,
    belongings: Belongings,
    guardian: Arc<Guardian>,
    limits: Limits,
    stdin: SyncSender<String>,
    stdout: Receiver<Result<String, String>>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected once all of its standard error is read.
    silent: Receiver<()>,
}

/// What tells a process something.
#[derive(Clone)]
pub(super) struct Ear(SyncSender<String>);

impl Ear {
    /// Tells the process a line.
    ///
    /// # Errors
    /// Where it does not read what it is told.
    pub(super) fn tell(&self, line: String) -> Result<(), String> {
        match self.0.try_send(line) {
            // One that has ended says so itself.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                Err(format!("it reads nothing: {LINES_MAX} messages wait for it"))
            }
        }
    }
}

impl Process {
    /// Starts the process of a node.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(super) fn start(
        launch: &Launch,
        name: &str,
        guardian: &Arc<Guardian>,
    ) -> Result<Process, String> {
        let Launch { program, arguments, folder, limits, .. } = launch;
        let home = folder.join(name);
        if fs::symlink_metadata(&home).is_ok_and(|there| !there.is_dir()) {
            return Err(format!(
                "it has put something else in the place of its folder {}",
                home.display()
            ));
        }
        fs::create_dir_all(&home)
            .map_err(|error| format!("cannot make {}: {error}", home.display()))?;
        let home = home
            .canonicalize()
            .map_err(|error| format!("cannot enter {}: {error}", home.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&home).process_group(0).env(MARK, &home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        guardian.begins(child.id());
        let (stdin, told) = sync_channel(LINES_MAX);
        let (says, stdout) = sync_channel(LINES_MAX);
        let last_words = Arc::new(Mutex::default());
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let errors = child.stderr.take().expect("it is piped");
        let (kept, file) = (Arc::clone(&last_words), folder.join(format!("{name}.stderr")));
        beside(move || write_all(input, &told));
        beside(move || read_all(output, &says));
        let (speaks, silent) = sync_channel::<()>(0);
        beside(move || {
            keep(errors, &file, &kept);
            drop(speaks);
        });
        let (guardian, limits) = (Arc::clone(guardian), *limits);
        let belongings = Belongings::new(child.id(), &home);
        Ok(Process { child, belongings, guardian, limits, stdin, stdout, last_words, silent })
    }

    /// What tells it something.
    pub(super) fn ear(&self) -> Ear {
        Ear(self.stdin.clone())
    }

    /// The next line that it says, if it says one within this real time.
    ///
    /// # Errors
    /// Where it has ended, or says what is no line.
    pub(super) fn listen(&mut self, wait: Duration) -> Result<Option<String>, String> {
        match self.stdout.recv_timeout(wait) {
            Ok(said) => said.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.end()),
        }
    }

    /// Holds the process, and those that it has started, against what they may take.
    ///
    /// # Errors
    /// Where they take more.
    pub(super) fn check(&self) -> Result<(), String> {
        let Limits { memory_max, processes_max, disk_max } = self.limits;
        let Usage { memory, processes, disk } = self.belongings.usage();
        if memory > memory_max {
            let (takes, may) = (memory >> 20, memory_max >> 20);
            return Err(format!("it takes {takes} MiB of memory, of {may} MiB that it may take"));
        }
        if processes > processes_max {
            return Err(format!(
                "it has {processes} processes, of {processes_max} that it may have"
            ));
        }
        if disk > disk_max {
            let (has, may) = (disk >> 20, disk_max >> 20);
            return Err(format!(
                "it has written {has} MiB to its folder, of {may} MiB that it may"
            ));
        }
        Ok(())
    }

    /// How it ended, with its last words.
    fn end(&mut self) -> String {
        let runs_on = self.runs_on();
        self.kill();
        let how = match self.child.wait() {
            _ if runs_on => "it closed its standard output".to_owned(),
            Ok(status) => format!("the process ended ({status})"),
            Err(error) => format!("the process ended ({error})"),
        };
        // On a busy machine, what it said last may not be read yet. Whoever has left its group may hold the pipe open.
        let _ = self.silent.recv_timeout(LAST_WORDS_WAIT);
        let words = self.last_words();
        if words.is_empty() { how } else { format!("{how}; its last words: {words}") }
    }

    /// Whether the process has only closed its standard output. One that ends closes all that it has before it is seen to
    /// have ended.
    fn runs_on(&mut self) -> bool {
        let mut runs = || matches!(self.child.try_wait(), Ok(None));
        runs()
            && self.silent.recv_timeout(LAST_WORDS_WAIT) == Err(RecvTimeoutError::Timeout)
            && runs()
    }

    /// What it wrote last to its standard error.
    pub(super) fn last_words(&self) -> String {
        let words = self.last_words.lock().expect("nobody panics while holding it");
        words.iter().cloned().collect::<Vec<_>>().join(" / ")
    }

    /// Ends the process and all that it has started: a script may have started the program itself as a process of its
    /// own, and that another one in a group of its own.
    fn kill(&mut self) {
        // What is not there any more has ended.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        for _ in 0..KILLS_MAX {
            let left = self.belongings.marked();
            if left.is_empty() {
                return;
            }
            for process in left {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // What has been killed is waited for, so that nothing of it is left.
        let _ = self.child.wait();
        self.guardian.ended(self.child.id());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "they wait for what a process says, and end with it; the simulation waits for none of them"
)]
fn beside(act: impl FnOnce() + Send + 'static) {
    std::thread::spawn(act);
}

fn write_all(mut stdin: ChildStdin, told: &Receiver<String>) {
    while let Ok(line) = told.recv() {
        if stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n")).is_err() {
            return;
        }
    }
}

fn read_all(stdout: ChildStdout, says: &SyncSender<Result<String, String>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let said = match reader.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > LINE_BYTES_MAX => {
                Err(format!("it said a line of more than {LINE_BYTES_MAX} bytes"))
            }
            Ok(_) if line.last() != Some(&b'\n') => {
                let part = shortened(&String::from_utf8_lossy(&line));
                Err(format!("it ended in the middle of a line: {part}"))
            }
            // An empty line says nothing.
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => match String::from_utf8(line) {
                Ok(line) => Ok(line.trim_end().to_owned()),
                Err(error) => {
                    let shown = shortened(&String::from_utf8_lossy(error.as_bytes()));
                    Err(format!("it said what is no UTF-8: {shown}"))
                }
            },
        };
        if says.send(said).is_err() {
            return;
        }
    }
}

fn keep(stderr: ChildStderr, file: &Path, last_words: &Mutex<VecDeque<String>>) {
    let mut file = File::options().create(true).append(true).open(file).ok();
    let mut reader = BufReader::new(stderr);
    // Those of a node that was started before are in it.
    let held = file.as_ref().and_then(|file| file.metadata().ok());
    let mut kept = held.map_or(0, |held| held.len() as usize);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        kept += line.len();
        if let Some(file) = file.as_mut().filter(|_| kept <= ERROR_BYTES_MAX) {
            // What cannot be kept is still read, so that the process does not wait for it.
            let _ = file.write_all(&line);
        }
        let mut words = last_words.lock().expect("nobody panics while holding it");
        words.push_back(shortened(String::from_utf8_lossy(&line).trim_end()));
        if words.len() > LAST_WORDS {
            words.pop_front();
        }
    }
}

/// The beginning of what a process said.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LAST_WORDS_BYTES) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
    }
}

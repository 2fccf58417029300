//! The namespaces of a run, and who ends it when the harness is gone.
//!
//! The harness starts itself again by `unshare`. The one inside is the first process of its namespace: with it, the
//! kernel ends all the others. It reads its standard input, of which the one outside holds the other end. When that one
//! ends, in whatever way, the kernel closes its end, and the one inside ends too. A line there cuts the run short.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::network::tool;
use crate::campaign::Ending;

/// The exit code of a run that was interrupted.
const INTERRUPTED: u8 = Ending::Interrupted.code();
/// What the process inside adds to the exit code of a run that came to a verdict. Whatever ends that process otherwise,
/// `unshare` ends with a code that is no verdict then.
const VERDICT: u8 = 40;
/// The greatest exit code of a verdict.
const VERDICT_MAX: u8 = 9;
/// The exit codes of those that have said themselves why they have none: wrong use, a mistake of the harness, a second
/// Ctrl-C.
const TOLD: [u8; 3] = [2, Ending::OwnError.code(), INTERRUPTED];

/// The flags of `unshare` for namespaces in which everything ends with the first process.
pub(super) fn flags() -> Vec<&'static str> {
    let mut flags = vec!["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !rustix::process::geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    flags
}

/// The process inside, and what ends it.
pub(crate) struct Inside {
    child: Child,
    leash: Arc<Mutex<Option<ChildStdin>>>,
}

/// Where tools of the system are: also where only the path of root leads.
pub(super) fn path() -> OsString {
    let own = std::env::var_os("PATH");
    let folders = own.iter().flat_map(std::env::split_paths);
    let all = folders.chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(all).expect("what was a path before has no separator in it")
}

impl Inside {
    /// Starts this program again in namespaces of its own, with these arguments.
    ///
    /// # Errors
    /// Where there is no `unshare`, or no more processes.
    pub(crate) fn start(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Inside> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("unshare");
        command.args(flags()).arg("--").arg(std::env::current_exe()?).args(arguments);
        command.env("PATH", path());
        // In a group of its own, it is not ended halfway by a Ctrl-C that is for the one outside.
        let mut child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
        let leash = Arc::new(Mutex::new(child.stdin.take()));
        Ok(Inside { child, leash })
    }

    /// What cuts the run short, when it is called first, and ends it at once when it is called again. It says whether
    /// it was the first time.
    pub(crate) fn end(&self) -> impl FnMut() -> bool + Send + 'static {
        let leash = self.leash.clone();
        let mut is_first = true;
        move || {
            let mut leash = leash.lock().expect("nobody panics while holding it");
            let was_first = std::mem::replace(&mut is_first, false);
            match leash.as_mut() {
                // One that is over already is cut short no more.
                Some(leash) if was_first => drop(leash.write_all(b"\n")),
                _ => drop(leash.take()),
            }
            was_first
        }
    }

    /// Waits for the end, and returns the exit code of the run.
    ///
    /// # Errors
    /// Where the run was ended before it came to a verdict, or to an error that it has told.
    pub(crate) fn wait(mut self) -> io::Result<u8> {
        let status = self.child.wait()?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        match code {
            Some(code @ VERDICT..) if code <= VERDICT + VERDICT_MAX => Ok(code - VERDICT),
            Some(code) if TOLD.contains(&code) => Ok(code),
            _ => Err(io::Error::other(format!(
                "something ended the processes of the run before it came to a verdict ({status}); nothing is stored"
            ))),
        }
    }
}

/// What the process inside ends with, for its run to end with this code.
pub(crate) fn of_ending(code: u8) -> u8 {
    match code {
        ..=VERDICT_MAX => VERDICT + code,
        code => code,
    }
}

/// Makes the place inside ready: the folder of runs is a disk in memory that nobody outside sees. From here on, the
/// process ends when the one outside does. What is returned turns true when the run is to be cut short.
///
/// # Errors
/// Where this process is not one that [`Inside::start`] has started.
#[expect(
    clippy::disallowed_methods,
    reason = "it waits for the end of the process outside, and has no other end"
)]
pub(crate) fn settle() -> io::Result<Arc<AtomicBool>> {
    if std::process::id() != 1 {
        return Err(io::Error::other("this is for the program itself, in namespaces of its own"));
    }
    let is_cut_short = Arc::new(AtomicBool::new(false));
    let seen = is_cut_short.clone();
    std::thread::spawn(move || {
        // It ends when nobody is left who could say anything.
        while matches!(io::stdin().lock().read(&mut [0]), Ok(1)) {
            seen.store(true, Ordering::Relaxed);
        }
        std::process::exit(INTERRUPTED.into());
    });
    tool("mount", &["-t", "tmpfs", "-o", "size=256m,mode=755", "stormglass", "/run"])?;
    std::fs::create_dir(super::site::FOLDER)?;
    Ok(is_cut_short)
}

/// Whether a file or folder would be out of sight inside.
pub(crate) fn hides(path: &Path) -> bool {
    // What is not there yet will be where the folder above it is, which may be a link.
    let above = std::path::absolute(path).ok();
    let mut above = above.iter().flat_map(|path| path.ancestors());
    above.find_map(|path| path.canonicalize().ok()).is_some_and(|path| path.starts_with("/run"))
}

//! The namespaces of a run, and who ends it when the harness is gone.
//!
//! The harness starts itself again by `unshare`. The one inside is the first process of its namespace: with it, the
//! kernel ends all the others. It reads its standard input, of which the one outside holds the other end. When that one
//! ends, in whatever way, the kernel closes its end, and the one inside ends too.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::network::tool;

/// The exit code of a run that was interrupted.
const INTERRUPTED: i32 = 130;

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

impl Inside {
    /// Starts this program again in namespaces of its own, with these arguments.
    ///
    /// # Errors
    /// Where there is no `unshare`, or no more processes.
    pub(crate) fn start(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Inside> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("unshare");
        command.args(flags()).arg("--").arg(std::env::current_exe()?).args(arguments);
        // In a group of its own, it is not ended halfway by a Ctrl-C that is for the one outside.
        let mut child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
        let leash = Arc::new(Mutex::new(child.stdin.take()));
        Ok(Inside { child, leash })
    }

    /// What ends the run, when it is called.
    pub(crate) fn end(&self) -> impl Fn() + Send + 'static {
        let leash = self.leash.clone();
        move || drop(leash.lock().expect("nobody panics while holding it").take())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where the operating system does not say how it ended.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// Makes the place inside ready: the folder of runs is a disk in memory that nobody outside sees. From here on, the
/// process ends when the one outside does.
///
/// # Errors
/// Where this process is not one that [`Inside::start`] has started.
#[expect(
    clippy::disallowed_methods,
    reason = "it waits for the end of the process outside, and has no other end"
)]
pub(crate) fn settle() -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::Error::other("this is for the program itself, in namespaces of its own"));
    }
    std::thread::spawn(|| {
        // Nothing is ever said there: it ends when nobody is left who could.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(INTERRUPTED);
    });
    tool("mount", &["-t", "tmpfs", "-o", "size=256m,mode=755", "stormglass", "/run"])?;
    std::fs::create_dir(super::site::FOLDER)
}

/// Whether a file or folder would be out of sight inside.
pub(crate) fn hides(path: &Path) -> bool {
    std::path::absolute(path).is_ok_and(|path| path.starts_with("/run"))
}

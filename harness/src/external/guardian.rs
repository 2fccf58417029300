//! Who ends the processes of nodes when the harness itself is killed, and has no time left to do it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::usage::MARK;

/// Remembers the groups of processes that it is told of, one line each, `+` for one that begins and `-` for one
/// that has ended. When nobody can tell it anything any more, because the harness has ended in whatever way, it kills
/// those that are left.
const SCRIPT: &str = r#"
groups=" "
while read -r sign group; do
    case "$sign$groups" in
        +*) groups="$groups$group " ;;
        -*" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
for group in $groups; do
    kill -s KILL -- "-$group"
done
for round in 1 2 3 4 5; do
    left=$(grep -lF -e "$1" /proc/[0-9]*/environ)
    [ -n "$left" ] || exit
    for environ in $left; do
        process=${environ#/proc/}
        kill -s KILL -- "${process%/environ}"
    done
done
"#;

/// A shell beside the harness, in a group of its own, so that what ends the harness does not end it. It is there once
/// something has begun.
pub(super) struct Guardian {
    /// What the processes of all nodes have in their environment.
    mark: String,
    shell: Mutex<Option<(Child, ChildStdin)>>,
}

impl Guardian {
    /// For nodes whose folders are in this one.
    pub(super) fn new(folder: &Path) -> Guardian {
        let mark = format!("{MARK}={}", folder.join("").display());
        Guardian { mark, shell: Mutex::default() }
    }

    /// A group of processes has begun, which bears the number of its first one.
    pub(super) fn begins(&self, group: u32) {
        let mut shell = self.shell.lock().expect("nobody panics while holding it");
        if shell.is_none() {
            *shell = self.start();
        }
        tell(&mut shell, &format!("+ {group}\n"));
    }

    /// A group has ended, and its number may be given to others.
    pub(super) fn ended(&self, group: u32) {
        let mut shell = self.shell.lock().expect("nobody panics while holding it");
        tell(&mut shell, &format!("- {group}\n"));
    }

    /// Where there is no shell, nobody watches.
    fn start(&self) -> Option<(Child, ChildStdin)> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guardian", &self.mark]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let stdin = child.stdin.take()?;
        Some((child, stdin))
    }
}

fn tell(shell: &mut Option<(Child, ChildStdin)>, line: &str) {
    if let Some((_, stdin)) = shell {
        // One that was killed watches no more.
        let _ = stdin.write_all(line.as_bytes());
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().expect("nobody panics while holding it").take();
        if let Some((mut child, stdin)) = shell {
            drop(stdin);
            let _ = child.wait();
        }
    }
}

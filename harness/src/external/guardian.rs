//! Who ends the processes of nodes when the harness itself is killed, and has no time left to do it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::usage::MARK;

/// Remembers the groups of processes that it is told of, one line each, `+` for one that begins and `-` for one
/// that has ended. When nobody can tell it anything any more, because the harness has ended in whatever way, it kills
/// those that are left, and all processes that bear the [mark](MARK) of a node, or have lost their parent and run in its
/// folder, where that is in the folder that it was started with.
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
    left=$(
        grep -lF -e "$1=$2/" /proc/[0-9]*/environ
        for at in /proc/[0-9]*/cwd; do
            case "$(readlink "$at")" in
                "$2"/*) grep -q ') [A-Z] 1 ' "${at%cwd}stat" && echo "$at" ;;
            esac
        done
    )
    [ -n "$left" ] || exit
    for path in $left; do
        process=${path#/proc/}
        kill -s KILL -- "${process%/*}"
    done
done
"#;

/// A shell beside the harness, in a group of its own, so that what ends the harness does not end it. It is there once
/// something has begun.
pub(super) struct Guardian {
    /// The folder that those of all nodes are in.
    folder: PathBuf,
    shell: Mutex<Option<(Child, ChildStdin)>>,
}

impl Guardian {
    /// For nodes whose folders are in this one.
    pub(super) fn new(folder: &Path) -> Guardian {
        Guardian { folder: folder.to_owned(), shell: Mutex::default() }
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
        // As the system names it: there is a node in it by now.
        let folder = self.folder.canonicalize().ok()?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guardian", MARK]).arg(folder).process_group(0);
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

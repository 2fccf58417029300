//! Which processes belong to a node and what they take, where the operating system tells (Linux does, under `/proc`), and
//! what they have written.
//!
//! Whoever starts a process hands its environment on, so that a variable in it marks all that a node has started, also
//! what has left its group (`setsid`) or has lost its parent.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// The bytes of a page of memory, on the machines that we know.
const PAGE: u64 = 4096;
/// The bytes of what files are counted in (stat(2)).
const BLOCK: u64 = 512;
/// The variable that marks the processes of a node.
pub(super) const MARK: &str = "STORMGLASS_NODE";

/// The processes of a node: those of its group, those that bear its mark, and those that have lost their parent and run
/// in its folder.
#[derive(Clone, Debug)]
pub(super) struct Belongings {
    /// The number of the group, which is that of its first process.
    group: u32,
    /// `NAME=VALUE`, as it is in the environment.
    mark: Vec<u8>,
    /// The folder of the node, as the system names it. A program may write its title over its environment.
    home: PathBuf,
}

/// What some processes take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of memory that they have in use.
    pub(super) memory: u64,
    /// How many they are.
    pub(super) processes: u32,
    /// Bytes of disk that the folder of the node has in use.
    pub(super) disk: u64,
}

impl Belongings {
    /// Of the node with that folder, whose first process has that number.
    pub(super) fn new(group: u32, home: &Path) -> Belongings {
        let mark = format!("{MARK}={}", home.display()).into_bytes();
        Belongings { group, mark, home: home.to_owned() }
    }

    /// Adds up what they take; nothing where nobody tells.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage { disk: disk_of(&self.home), ..Usage::default() };
        for process in processes() {
            // One that has ended meanwhile takes nothing.
            let Some(stat) = Stat::of(&process) else { continue };
            if stat.group == self.group || self.marks(&process) {
                usage.memory += stat.pages * PAGE;
                usage.processes += 1;
            }
        }
        usage
    }

    /// The numbers of those that bear the mark, or run in the folder.
    pub(super) fn marked(&self) -> Vec<Pid> {
        let marked = processes().filter(|process| self.marks(process));
        marked.filter_map(|process| number_of(&process)).collect()
    }

    /// Whether a process bears the mark, or has lost its parent, so that it was given to this one, and runs in the folder.
    /// (Whoever looks at the folder runs there too.) One that has ended and was not waited for has neither environment nor
    /// folder any more.
    fn marks(&self, process: &DirEntry) -> bool {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let is_here = |at: PathBuf| at.starts_with(&self.home);
        environment.split(|byte| *byte == 0).any(|variable| variable == self.mark)
            || fs::read_link(process.path().join("cwd")).is_ok_and(is_here)
                && Stat::of(process).is_some_and(|stat| stat.parent == std::process::id())
    }
}

/// The bytes of disk that all files of a folder have in use. What goes away meanwhile has none.
fn disk_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        // Of a link, this is the link itself.
        let held = entry.metadata().ok()?;
        Some(if held.is_dir() { disk_of(&entry.path()) } else { held.blocks() * BLOCK })
    });
    sizes.sum()
}

fn processes() -> impl Iterator<Item = DirEntry> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

fn number_of(process: &DirEntry) -> Option<Pid> {
    Pid::from_raw(process.file_name().to_str()?.parse().ok()?)
}

/// The numbers of the processes that have this one as their parent.
pub(super) fn children_of(parent: u32) -> Vec<Pid> {
    let children =
        processes().filter(|process| Stat::of(process).is_some_and(|stat| stat.parent == parent));
    children.filter_map(|process| number_of(&process)).collect()
}

/// What the system says of a process.
struct Stat {
    parent: u32,
    group: u32,
    /// The pages that it has in use.
    pages: u64,
}

impl Stat {
    /// Nothing of a process that has ended meanwhile. A name may have any character in it, also a `)`: the numbers are
    /// behind the last one (proc_pid_stat(5)): the state, the parent, the group, and the pages as the 22nd of them.
    fn of(process: &DirEntry) -> Option<Stat> {
        let text = fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, numbers) = text.rsplit_once(')')?;
        let mut numbers = numbers.split_whitespace().skip(1);
        let (parent, group) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Stat { parent, group, pages: numbers.nth(18)?.parse().ok()? })
    }
}

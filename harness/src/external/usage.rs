//! Which processes belong to a node and what they take, where the operating system tells (Linux does, under `/proc`).
//!
//! Whoever starts a process hands its environment on, so that a variable in it marks all that a node has started, also
//! what has left its group (`setsid`) or has lost its parent.

use std::fs::{self, DirEntry};

/// The bytes of a page of memory, on the machines that we know.
const PAGE: u64 = 4096;
/// The variable that marks the processes of a node.
pub(super) const MARK: &str = "STORMGLASS_NODE";

/// The processes of a node: those of its group, and those that bear its mark.
#[derive(Clone, Debug)]
pub(super) struct Belongings {
    /// The number of the group, which is that of its first process.
    group: u32,
    /// `NAME=VALUE`, as it is in the environment.
    mark: Vec<u8>,
}

/// What some processes take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of memory that they have in use.
    pub(super) memory: u64,
    /// How many they are.
    pub(super) processes: u32,
}

impl Belongings {
    pub(super) fn new(group: u32, mark: &str) -> Belongings {
        Belongings { group, mark: format!("{MARK}={mark}").into_bytes() }
    }

    /// Adds up what they take; nothing where nobody tells.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for process in processes() {
            // One that has ended meanwhile takes nothing.
            let Ok(text) = fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((group, pages)) = group_and_pages(&text) else { continue };
            if group == self.group || self.marks(&process) {
                usage.memory += pages * PAGE;
                usage.processes += 1;
            }
        }
        usage
    }

    /// The numbers of those that bear the mark.
    pub(super) fn marked(&self) -> Vec<u32> {
        let marked = processes().filter(|process| self.marks(process));
        marked.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }

    /// Whether a process bears the mark. One that has ended and was not waited for has no environment any more.
    fn marks(&self, process: &DirEntry) -> bool {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == self.mark)
    }
}

fn processes() -> impl Iterator<Item = DirEntry> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

/// The group of a process, and the pages that it has in use. Its name may have any character in it, also a `)`: the
/// numbers are behind the last one (proc_pid_stat(5)): the state, the parent, the group, and the pages as the 22nd of
/// them.
fn group_and_pages(stat: &str) -> Option<(u32, u64)> {
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_whitespace();
    Some((numbers.nth(2)?.parse().ok()?, numbers.nth(18)?.parse().ok()?))
}

//! What a group of processes takes, where the operating system tells (Linux does, under `/proc`).

use std::fs;

/// The bytes of a page of memory, on the machines that we know.
const PAGE: u64 = 4096;

/// What all processes of a group take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of memory that they have in use.
    pub(super) memory: u64,
    /// How many they are.
    pub(super) processes: u32,
}

impl Usage {
    /// Adds up a group; nothing where nobody tells.
    pub(super) fn of_group(group: u32) -> Usage {
        let mut usage = Usage::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            if !is_process {
                continue;
            }
            // One that has ended meanwhile takes nothing.
            let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some(pages) = pages(&text, group) {
                usage.memory += pages * PAGE;
                usage.processes += 1;
            }
        }
        usage
    }
}

/// The pages that a process has in use, if it is of the group. Its name may have any character in it, also a `)`: the
/// numbers are behind the last one (proc_pid_stat(5)): the state, the parent, the group, and the pages as the 22nd of
/// them.
fn pages(stat: &str, group: u32) -> Option<u64> {
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_whitespace();
    (numbers.nth(2)?.parse() == Ok(group)).then(|| numbers.nth(18)?.parse().ok())?
}

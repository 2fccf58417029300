//! What a node has started and hidden: it has left its group and cleared its environment, and lost its parent. Linux gives
//! such processes to the harness, if it asks for them, and so they can be ended once the nodes are over.

use rustix::process::{Signal, WaitOptions, kill_process, waitpid};

use super::usage::children_of;

/// How often they are looked for: whoever is ended leaves its own ones.
const ROUNDS_MAX: u32 = 100;

/// Asks for what loses its parent from now on.
pub(crate) fn adopt() {
    #[cfg(target_os = "linux")]
    {
        // Where it is refused, they go to the first process of the system, as they do everywhere else.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
}

/// Ends all processes that have this one as their parent. To be called where it has started none that is still wanted.
pub(crate) fn end() {
    for _ in 0..ROUNDS_MAX {
        let left = children_of(std::process::id());
        if left.is_empty() {
            return;
        }
        for pid in left {
            // One that has ended meanwhile is waited for all the same.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

//! Takes power and disks from nodes, and starts them again as ones that have lost everything.
//!
//! The next disk is taken when the nodes before say that they are whole again. Where that is one at a
//! time, whatever a majority, or two nodes, had is then still on another disk. A minority at once may be
//! all that had something, where a mode counts on less than a majority.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// One disk at a time.
pub(super) const ONE: Wipe = Wipe { targets: &[Target::One, Target::Leader] };
/// The disks of a minority at once.
pub(super) const MINORITY: Wipe = Wipe { targets: &[Target::Minority] };

/// See the module.
pub(super) struct Wipe {
    targets: &'static [Target],
}

impl Nemesis for Wipe {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let target = *stream.pick(self.targets).expect("there are targets");
        // Until somebody has put in another disk.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(1, failover / 2));
        (Fault::Wipe { target }, lasts)
    }

    /// Of fewer that lose a disk, no majority has another one.
    fn fewest_nodes(&self) -> u32 {
        3
    }
}

//! Lets disks fail, each in a way of its own: slow, full, with errors, with flipped bits, lying, or put back.
//!
//! What is slow, full or fails is nothing that a store may lose anything by: it must not say that it has what
//! it could not write. Flipped bits are for a store to notice, which then has lost a disk; one disk at a
//! time is hit. A disk that lies and one that is put back make a node forget what it has promised, and no
//! store that counts on disks can be asked to survive that.

use std::time::Duration;

use super::{Defect, Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Disk {
    defect: fn(&mut Stream, failover_ms: u64) -> Defect,
    targets: &'static [Target],
    /// For how long it lasts, in percent of a failover.
    lasts_percent: (u64, u64),
    /// How many nodes there must be.
    fewest_nodes: u32,
}

const SOME: &[Target] = &[Target::One, Target::Leader, Target::Leader, Target::Minority];
const MANY: &[Target] = &[Target::One, Target::Leader, Target::Minority, Target::Majority];
/// What only a minority forgets, a majority has still.
const MOST: &[Target] = &[Target::One, Target::Leader, Target::Majority, Target::Majority];

pub(super) const SLOW: Disk = Disk {
    // From what passes for a busy disk to what a failure detector takes for silence.
    defect: |stream, failover_ms| Defect::Slow {
        longest: Duration::from_millis(stream.between(failover_ms / 100, failover_ms / 4)),
    },
    targets: SOME,
    lasts_percent: (25, 200),
    fewest_nodes: 1,
};
pub(super) const FULL: Disk =
    Disk { defect: |_, _| Defect::Full, targets: MANY, lasts_percent: (25, 150), fewest_nodes: 1 };
pub(super) const ERROR: Disk = Disk {
    defect: |stream, _| Defect::Error {
        one_of: *stream.pick(&[1, 2, 5]).expect("there are chances"),
    },
    targets: MANY,
    lasts_percent: (25, 150),
    fewest_nodes: 1,
};
pub(super) const SYNC_FAIL: Disk = Disk {
    defect: |_, _| Defect::SyncFail,
    targets: MANY,
    lasts_percent: (25, 100),
    fewest_nodes: 1,
};
pub(super) const BIT_FLIP: Disk = Disk {
    defect: |stream, _| Defect::BitFlip { bits: stream.between(1, 8) as u32 },
    targets: &[Target::One, Target::Leader],
    lasts_percent: (1, 50),
    // Of fewer that lose a disk, no majority has another one.
    fewest_nodes: 3,
};
pub(super) const LOST_WRITES: Disk = Disk {
    defect: |_, _| Defect::LostWrites,
    targets: MOST,
    lasts_percent: (25, 150),
    fewest_nodes: 1,
};
pub(super) const ROLLBACK: Disk = Disk {
    defect: |_, _| Defect::Rollback,
    targets: MOST,
    lasts_percent: (25, 150),
    fewest_nodes: 1,
};

impl Nemesis for Disk {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let target = *stream.pick(self.targets).expect("there are targets");
        let failover_ms = scope.failover.as_millis() as u64;
        let defect = (self.defect)(stream, failover_ms);
        let (least, most) = self.lasts_percent;
        let lasts = stream.between(failover_ms * least / 100, failover_ms * most / 100);
        (Fault::Disk { target, defect }, Duration::from_millis(lasts))
    }

    fn fewest_nodes(&self) -> u32 {
        self.fewest_nodes
    }
}

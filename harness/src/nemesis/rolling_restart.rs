//! Ends and starts the process of every node, one after the other, as whoever rolls out a version does.

use std::time::Duration;

use super::{Fault, Nemesis, Scope};
use crate::seed::Stream;

/// See the module.
pub(super) struct RollingRestart;

impl Nemesis for RollingRestart {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let failover = scope.failover.as_millis() as u64;
        let down = Duration::from_millis(stream.between(1, failover / 10));
        // Whoever does not wait until the last one is of use again may take away a quorum.
        let apart = Duration::from_millis(stream.between(1, failover / 4));
        (Fault::RollingRestart { down, apart }, (down + apart) * scope.nodes)
    }
}

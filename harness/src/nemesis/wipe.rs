//! Takes power and disk from a node, and starts it again as one that has lost everything.
//!
//! One at a time: the next disk is taken when the node before says that it is whole again. Whatever a
//! majority, or two nodes, had is then still on another disk.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Wipe;

impl Nemesis for Wipe {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let target = *stream.pick(&[Target::One, Target::Leader]).expect("there are targets");
        // Until somebody has put in another disk.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(1, failover / 2));
        (Fault::Wipe { target }, lasts)
    }
}

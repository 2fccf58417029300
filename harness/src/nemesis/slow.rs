//! Makes everything that some nodes do take longer.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Slow;

impl Nemesis for Slow {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [Target::One, Target::Leader, Target::Leader, Target::Minority];
        let target = *stream.pick(&targets).expect("there are targets");
        // From what a node makes up for to what its peers and clients take for silence.
        let failover = scope.failover.as_millis() as u64;
        let cost = Duration::from_millis(stream.between(1, (failover / 50).max(1)));
        let lasts = Duration::from_millis(stream.between(failover / 4, failover * 2));
        (Fault::Slow { target, cost }, lasts)
    }
}

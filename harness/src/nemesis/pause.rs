//! Stops the processes of nodes for a while, and lets them go on.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Pause;

impl Nemesis for Pause {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        // A leader that wakes takes itself for the leader still.
        let targets = [
            Target::One,
            Target::Leader,
            Target::Leader,
            Target::Leader,
            Target::Minority,
            Target::Majority,
        ];
        let target = *stream.pick(&targets).expect("there are targets");
        // From what no election notices to what the next leader has long settled into.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 8, failover * 2));
        (Fault::Pause { target }, lasts)
    }
}

//! Takes power from nodes for a while.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Crash;

impl Nemesis for Crash {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets =
            [Target::One, Target::Leader, Target::Leader, Target::Minority, Target::Majority];
        let target = *stream.pick(&targets).expect("there are targets");
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 4, failover * 2));
        (Fault::Crash { target }, lasts)
    }
}

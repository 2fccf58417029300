//! Holds up all messages on some links for a while, and then lets them arrive together.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, traffic};
use crate::seed::Stream;

/// See the module.
pub(super) struct DelaySpike;

impl Nemesis for DelaySpike {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = traffic::links(stream, scope);
        // From what no election notices to what one has followed on.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 10, failover));
        (Fault::DelaySpike { shape }, lasts)
    }
}

//! Makes links narrow: what exceeds so many bytes a second waits, and what finds no room to wait is lost.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, traffic};
use crate::seed::Stream;

/// See the module.
pub(super) struct Bandwidth;

/// The narrowest, in bytes a second; each step is twice as wide. A node that leads says some hundred bytes
/// a second to each other one when there is nothing to do, and some thousand when there is.
const NARROWEST: u32 = 512;
const STEPS: u64 = 7;

impl Nemesis for Bandwidth {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = traffic::links(stream, scope);
        let bytes_a_second = NARROWEST << stream.below(STEPS);
        // What is last in a full queue waits for up to a failover.
        let wait_ms = scope.failover.as_millis() as u64 >> stream.below(4);
        let queue_bytes = (u64::from(bytes_a_second) * wait_ms / 1000) as u32;
        let fault = Fault::Bandwidth { shape, bytes_a_second, queue_bytes };
        (fault, traffic::lasts(stream, scope))
    }
}

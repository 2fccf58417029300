//! Lets messages arrive again, at once or when whoever sent them has been replaced.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, traffic};
use crate::seed::Stream;

/// See the module.
pub(super) struct Duplicate;

impl Nemesis for Duplicate {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = traffic::links(stream, scope);
        let chance = traffic::chance(stream);
        let failover = scope.failover.as_millis() as u64;
        // Within a round trip, within an operation, or across an election and more.
        let spans = [failover / 25, failover / 3, failover * 2];
        let latest = Duration::from_millis(*stream.pick(&spans).expect("there are spans"));
        // All copies arrive while it lasts.
        let lasts = Duration::from_millis(stream.between(failover / 2, failover * 3));
        (Fault::Duplicate { shape, chance, latest }, lasts)
    }
}

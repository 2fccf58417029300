//! Lets some messages come late, and all others overtake them.
//!
//! The nemesis `delay` reorders as well, but under it every message is late, so that nodes wait or elect
//! before one is overtaken by much. Here the others are on time: what comes late meets a cluster that has
//! gone on meanwhile.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, traffic};
use crate::seed::Stream;

/// See the module.
pub(super) struct Reorder;

impl Nemesis for Reorder {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = traffic::links(stream, scope);
        let chance = traffic::chance(stream);
        let failover = scope.failover.as_millis() as u64;
        // From what a few messages overtake to what a whole election does.
        let spans = [failover / 25, failover / 3, failover];
        let longest = Duration::from_millis(*stream.pick(&spans).expect("there are spans"));
        (Fault::Reorder { shape, chance, longest }, traffic::lasts(stream, scope))
    }
}

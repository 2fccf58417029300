//! Cuts the leader off together with as many others as are no majority with it: it goes on among them, and may take for
//! acknowledged what the majority never hears of.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Shape, Target, traffic};
use crate::seed::Stream;

/// The name of the nemesis, which is that of its faults.
pub(super) const NAME: &str = "leader-with-minority";

/// See the module.
pub(super) struct LeaderWithMinority;

impl Nemesis for LeaderWithMinority {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = Shape::Isolate { target: Target::LeaderWithMinority };
        (Fault::Partition { shape }, traffic::lasts(stream, scope))
    }

    fn fewest_nodes(&self) -> u32 {
        2
    }
}

//! Cuts links between nodes: isolate one, halves, majorities-ring, bridge, one-way.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Shape, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Partition;

impl Nemesis for Partition {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [Target::One, Target::Leader, Target::Leader, Target::Minority];
        let target = *stream.pick(&targets).expect("there are targets");
        let shapes = [
            Shape::Isolate { target },
            Shape::Isolate { target },
            Shape::Mute { target },
            Shape::Deaf { target },
            Shape::Halves {},
            // Two nodes have no third that could connect them, and on a ring of three each sees all.
            Shape::Bridge {},
            Shape::MajoritiesRing {},
        ];
        let possible = match scope.nodes {
            0..=2 => 5,
            3 => 6,
            4.. => shapes.len(),
        };
        let shape = *stream.pick(&shapes[..possible]).expect("there are shapes");
        // From a hiccup that no election notices to one that the next leader has settled into.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 4, failover * 2));
        (Fault::Partition { shape }, lasts)
    }

    fn fewest_nodes(&self) -> u32 {
        2
    }
}

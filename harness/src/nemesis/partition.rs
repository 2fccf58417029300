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
            Shape::Halves,
            Shape::MajoritiesRing,
            Shape::Bridge,
            Shape::Mute { target },
            Shape::Deaf { target },
        ];
        let shape = *stream.pick(&shapes).expect("there are shapes");
        // From a hiccup that no election notices to one that the next leader has settled into.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 4, failover * 3));
        (Fault::Partition { shape }, lasts)
    }
}

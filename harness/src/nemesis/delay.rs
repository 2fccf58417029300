//! Slows links down: to and from some nodes, one way, or between groups.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Shape, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Delay;

impl Nemesis for Delay {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [Target::One, Target::Leader, Target::Minority];
        let target = *stream.pick(&targets).expect("there are targets");
        let shapes = [
            Shape::Isolate { target },
            Shape::Mute { target },
            Shape::Mute { target },
            Shape::Deaf { target },
            Shape::Halves {},
        ];
        let shape = *stream.pick(&shapes).expect("there are shapes");
        let failover = scope.failover.as_millis() as u64;
        // From what only reorders messages to what a failure detector takes for silence.
        let longest = Duration::from_millis(stream.between(failover / 50, failover / 3));
        let lasts = Duration::from_millis(stream.between(failover / 4, failover * 2));
        (Fault::Delay { shape, longest }, lasts)
    }

    fn fewest_nodes(&self) -> u32 {
        2
    }
}

//! Cuts links and heals them, again and again.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Shape, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Flap;

impl Nemesis for Flap {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [Target::One, Target::Leader, Target::Leader, Target::Minority];
        let target = *stream.pick(&targets).expect("there are targets");
        let shapes = [
            Shape::Everywhere {},
            Shape::Isolate { target },
            Shape::Isolate { target },
            Shape::Mute { target },
            Shape::Deaf { target },
            Shape::Halves {},
            Shape::Bridge {},
        ];
        let possible = match scope.nodes {
            0..=1 => 1,
            2 => 6,
            3.. => shapes.len(),
        };
        let shape = *stream.pick(&shapes[..possible]).expect("there are shapes");
        // Each cut is long enough to lose a sign of life. Some are too short for an election, and some
        // have one each.
        let failover = scope.failover.as_millis() as u64;
        let every = Duration::from_millis(stream.between(failover / 20, failover / 2).max(1));
        let lasts = Duration::from_millis(stream.between(failover, failover * 2));
        (Fault::Flap { shape, every }, lasts)
    }
}

//! Cuts clients off from some nodes, which still hear each other.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Shape, Target, traffic};
use crate::seed::Stream;

/// The name of the nemesis, which is that of its faults.
pub(super) const NAME: &str = "client-cut";

/// See the module.
pub(super) struct ClientCut;

impl Nemesis for ClientCut {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets =
            [Target::One, Target::Leader, Target::Leader, Target::Minority, Target::Majority];
        let target = *stream.pick(&targets).expect("there are targets");
        let shapes = [
            Shape::Clients { target },
            Shape::Clients { target },
            Shape::Requests { target },
            // The node does what it is asked, and nobody learns of it.
            Shape::Answers { target },
            Shape::Answers { target },
        ];
        let shape = *stream.pick(&shapes).expect("there are shapes");
        (Fault::Partition { shape }, traffic::lasts(stream, scope))
    }
}

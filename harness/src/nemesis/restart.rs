//! Takes power from nodes and starts them again at once.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Restart;

impl Nemesis for Restart {
    fn draw(&self, stream: &mut Stream, _scope: &Scope) -> (Fault, Duration) {
        let targets =
            [Target::One, Target::Leader, Target::Minority, Target::Majority, Target::All];
        let target = *stream.pick(&targets).expect("there are targets");
        // The moment between the loss of power and the new start.
        (Fault::Restart { target }, Duration::from_millis(stream.between(1, 50)))
    }
}

//! Ends the processes of nodes, and starts them again after a while; their machines stay on.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Kill;

impl Nemesis for Kill {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [
            Target::One,
            Target::Leader,
            Target::Leader,
            Target::Minority,
            Target::Majority,
            Target::All,
        ];
        let target = *stream.pick(&targets).expect("there are targets");
        // From a supervisor that starts it again at once to one that has backed off.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(1, failover));
        (Fault::Kill { target }, lasts)
    }
}

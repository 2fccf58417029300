//! Adds nodes to the cluster, removes some, and replaces one by another, through the system itself.
//!
//! A run then has [`SPARES`] nodes more than its plan says, which the cluster does not begin with. One
//! change is under way at a time, and an operator sees it through, however long that takes, also after the
//! fault is over; what the fault did not get to begin is left as it is.

use std::time::Duration;

use super::{Change, Fault, Nemesis, Scope, Target};
use crate::seed::Stream;

/// How many nodes of a run are spare when it begins.
pub(crate) const SPARES: u32 = 2;

/// The name of the nemesis, which plans ask for.
pub(crate) const NAME: &str = "membership";

/// See the module.
pub(super) struct Membership;

impl Nemesis for Membership {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let targets = [Target::One, Target::Leader, Target::Follower];
        let target = *stream.pick(&targets).expect("there are targets");
        let changes = [Change::Add, Change::Remove { target }, Change::Replace { target }];
        let change = *stream.pick(&changes).expect("there are changes");
        // Two agreements, a state to send, and a failover where the leader goes.
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover, 2 * failover));
        (Fault::Membership { change }, lasts)
    }
}

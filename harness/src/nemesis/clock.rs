//! Falsifies the clocks of some nodes, or of all.

use std::time::Duration;

use super::{Fault, Nemesis, Rate, Scope, Target};
use crate::seed::Stream;

/// See the module.
pub(super) struct Clock;

/// From what a cheap oscillator does in the heat to what only a broken virtual machine does.
const RATES: [Rate; 7] = [
    Rate { counts: 1, of: 10 },
    Rate { counts: 1, of: 4 },
    Rate { counts: 1, of: 2 },
    Rate { counts: 19, of: 20 },
    Rate { counts: 21, of: 20 },
    Rate { counts: 2, of: 1 },
    Rate { counts: 4, of: 1 },
];

impl Nemesis for Clock {
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
        let failover = scope.failover.as_millis() as u64;
        let lasts = Duration::from_millis(stream.between(failover / 2, failover * 2));
        // From what passes for the latency of a message to what no message takes.
        let by_ms = stream.between(1, failover * 4) as i64;
        let fault = match stream.below(4) {
            0 => Fault::ClockJump { target, by_ms },
            1 => Fault::ClockJump { target, by_ms: -by_ms },
            2 => {
                let every = Duration::from_millis(stream.between(5, (failover / 10).max(5)));
                Fault::ClockStrobe { target, by_ms, every }
            }
            _ => {
                let rate = *stream.pick(&RATES).expect("there are rates");
                Fault::ClockDrift { target, rate }
            }
        };
        (fault, lasts)
    }
}

//! How long a message takes, where the engine is left to draw it.

use std::time::Duration;

use crate::config::Config;
use crate::seed::{Seeds, Stream};

/// How long messages take over their way, if nothing slows them down.
pub(super) struct Latency {
    least_ns: u64,
    /// How much longer the slowest takes.
    beyond_ns: u64,
    stream: Stream,
}

impl Latency {
    pub(super) fn new(config: &Config, seeds: &Seeds) -> Latency {
        let (least, most) = (config.tick, config.latency_max.max(config.tick));
        let beyond_ns = (most - least).as_nanos() as u64;
        Latency { least_ns: least.as_nanos() as u64, beyond_ns, stream: seeds.stream("latency") }
    }

    /// Draws the latency of one message: any between the least and the greatest, but most are quick.
    pub(super) fn draw(&mut self) -> Duration {
        Duration::from_nanos(self.least_ns) + self.draw_beyond()
    }

    /// Draws how much longer than the least a message takes. It is the least of four draws, so that the mean is a
    /// fifth of the way, as it is where turmoil draws.
    pub(super) fn draw_beyond(&mut self) -> Duration {
        if self.beyond_ns == 0 {
            return Duration::ZERO;
        }
        let draws = [(); 4].map(|()| self.stream.below(self.beyond_ns + 1));
        Duration::from_nanos(draws.into_iter().fold(self.beyond_ns, u64::min))
    }
}

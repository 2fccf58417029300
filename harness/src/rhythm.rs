//! When clients begin their operations.
//!
//! A client that waits for each answer asks less of a system that is slow: what a slow moment would have meant for
//! those who came then is never seen. Where operations come at their own times instead, they pile up while nothing is
//! answered, and come all at once when it is again. (B. Schroeder, A. Wierman and M. Harchol-Balter, "Open Versus
//! Closed: A Cautionary Tale", NSDI 2006.)

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use checkers::history::Time;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::seed::Stream;

/// What the beginning of a client's next operation hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// A closed loop: it begins a pause after the one before has ended.
    #[default]
    Closed,
    /// It begins a pause after the one before has begun, or as soon as that is over: clients keep their rate as far as
    /// the answers come in time.
    Steady,
    /// An open loop: operations come at random moments, whatever became of those before, and each is begun by a client
    /// that has nothing else to do. One that finds none waits for the first that has.
    Open,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pace::Closed => "closed",
            Pace::Steady => "steady",
            Pace::Open => "open",
        })
    }
}

/// The longest pause of so many clients that together begin so many operations a second, while they are answered at
/// once: pauses are drawn from nothing to the longest, so that it is twice the mean.
pub(crate) fn longest_pause(clients: u32, rate: u32) -> Duration {
    Duration::from_secs(2) * clients / rate
}

/// What all clients of a run share.
#[derive(Clone)]
pub(crate) struct Rhythm {
    pace: Pace,
    think_max: Duration,
    /// The mean time from one operation to the next, over all clients.
    mean: Duration,
    /// When the next operation comes that no client waits for yet, once any has come.
    next: Rc<Cell<Option<Time>>>,
}

impl Rhythm {
    pub(crate) fn new(config: &Config) -> Rhythm {
        let Config { pace, think_max, clients, .. } = *config;
        Rhythm { pace, think_max, mean: think_max / 2 / clients, next: Rc::default() }
    }

    /// How long a client waits before its first operation, where it does not begin at once.
    pub(crate) fn first(&self, now: Time, think: &mut Stream) -> Option<Duration> {
        match self.pace {
            Pace::Closed | Pace::Steady => None,
            Pace::Open => Some(self.arrival(now, think)),
        }
    }

    /// How long it waits after one that began and was over now.
    pub(crate) fn after(&self, began: Time, now: Time, think: &mut Stream) -> Duration {
        match self.pace {
            Pace::Closed => self.pause(think),
            Pace::Steady => self.pause(think).saturating_sub(now.since(began)),
            Pace::Open => self.arrival(now, think),
        }
    }

    /// A pause.
    pub(crate) fn pause(&self, think: &mut Stream) -> Duration {
        Duration::from_millis(think.between(0, self.think_max.as_millis() as u64))
    }

    /// How long it is until the next operation comes that no client waits for yet; from now on this one does.
    fn arrival(&self, now: Time, think: &mut Stream) -> Duration {
        let at = self.next.get().unwrap_or(now) + exponential(self.mean, think);
        self.next.set(Some(at));
        at.since(now)
    }
}

/// A time of an exponential distribution, by comparisons alone, so that it is the same on every machine (J. von
/// Neumann, "Various Techniques Used in Connection with Random Digits", 1951): numbers are drawn for as long as they
/// fall. With the chance *e⁻ˣ* the first of them, *x*, began a run of odd length, and is what comes after the point;
/// before it is how many runs were even until then.
fn exponential(mean: Duration, stream: &mut Stream) -> Duration {
    let mut whole = 0;
    loop {
        let first = stream.number();
        let (mut last, mut is_odd) = (first, true);
        loop {
            let number = stream.number();
            if number >= last {
                break;
            }
            (last, is_odd) = (number, !is_odd);
        }
        if is_odd {
            let part = (mean.as_nanos() * u128::from(first)) >> 64;
            return mean * whole + Duration::from_nanos(part as u64);
        }
        whole += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn times_between_operations_are_distributed_exponentially() {
        let mut stream = Seed(1).stream("test");
        let mean = Duration::from_millis(10);
        let drawn: Vec<f64> =
            (0..40_000).map(|_| exponential(mean, &mut stream).as_secs_f64() * 100.0).collect();
        // Of an exponential distribution, e to the minus x are longer than x times the mean.
        for times in [0.1_f64, 0.5, 1.0, 2.0, 4.0] {
            let longer = drawn.iter().filter(|one| **one > times).count() as f64 / 40_000.0;
            assert!((longer - (-times).exp()).abs() < 0.01, "{longer} are longer than {times}");
        }
    }

    #[test]
    fn operations_of_an_open_loop_come_at_their_times_whoever_waits_for_them() {
        let mut stream = Seed(2).stream("test");
        let rhythm = Rhythm {
            pace: Pace::Open,
            think_max: Duration::from_secs(1),
            mean: Duration::from_millis(50),
            next: Rc::default(),
        };
        let second = Time::ZERO + Duration::from_secs(1);
        let first = second + rhythm.first(second, &mut stream).unwrap();
        // Nobody had time for ten seconds: what came meanwhile is begun at once, one after the other.
        let now = first + Duration::from_secs(10);
        let begun_at_once = |stream: &mut Stream| {
            (0..).take_while(|_| rhythm.after(first, now, stream).is_zero()).count()
        };
        let begun = begun_at_once(&mut stream);
        assert!((150..250).contains(&begun), "{begun} had come in ten seconds, of 20 a second");
        let later = rhythm.after(first, now, &mut stream);
        assert!(later > Duration::ZERO, "the next has not come yet");
    }
}

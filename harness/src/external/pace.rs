//! How fast virtual time may pass: processes live in real time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use checkers::history::Time;

/// Holds virtual time back.
pub(super) struct Pace {
    /// How many times faster than real time it may pass.
    times: u32,
    /// When the run would have begun, had no virtual time stood still. None before it begins.
    began: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(times: u32) -> Pace {
        Pace { times: times.max(1), began: Mutex::default() }
    }

    /// Waits, in real time, until it may be so late.
    pub(super) fn wait_until(&self, time: Time) {
        let now = now();
        let began = *self.lock().get_or_insert(now);
        let due = began + time.since_start() / self.times;
        sleep(due.saturating_duration_since(now));
    }

    /// How much virtual time passes in so much real time, at most.
    pub(super) fn passes_in(&self, real: Duration) -> Duration {
        real * self.times
    }

    /// Does something while no virtual time passes.
    pub(super) fn hold<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = now();
        let done = act();
        let mut began = self.lock();
        *began = Some(began.unwrap_or(before) + (now() - before));
        done
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.began.lock().expect("nobody panics while holding it")
    }
}

#[expect(clippy::disallowed_methods, reason = "other people's processes live in real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "other people's processes live in real time")]
fn sleep(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

//! What goes around the seam and still has to be right: tokio's own clock and timers.
//!
//! A host waits by the timers of this engine. A system may use `tokio::time` all the same, and must find
//! the time of the world there. So the world lives in a runtime of tokio's whose clock is paused and is
//! moved along with the world's. Its timers have a grain of a millisecond: one ends at the first whole
//! millisecond that is not before its deadline. Nobody says when the next one ends, so whenever time
//! passes one, the runtime is asked to stop there. That costs more than all else that this engine does: a
//! system that never asks tokio for a timer may say so, and gets a runtime that has none to give.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use checkers::history::Time;
use tokio::runtime::{EnterGuard, Runtime};
use tokio::time::Instant;

use super::tasks::Tasks;

const MILLISECOND_NS: u64 = 1_000_000;

/// See the module.
pub(super) struct StrayTime {
    runtime: Runtime,
    /// What tokio's clock showed when the run began.
    begun: Instant,
    has_timers: bool,
}

impl StrayTime {
    pub(super) fn new(has_timers: bool) -> StrayTime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.start_paused(true);
        if has_timers {
            builder.enable_time();
        }
        let runtime = builder.build();
        let runtime = runtime.expect("a runtime without threads and sockets needs nothing");
        let here = runtime.enter();
        let begun = Instant::now();
        drop(here);
        StrayTime { runtime, begun, has_timers }
    }

    /// Makes `tokio::time` that of the world, until the guard is dropped.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Lets time pass from one moment to another, or to the first at which a stray timer gives a task
    /// something to do. Returns the moment that was reached.
    pub(super) fn pass(&self, from: Time, to: Time, tasks: &Tasks) -> Time {
        let whole = Time::from_nanos(to.as_nanos() - to.as_nanos() % MILLISECOND_NS);
        if whole <= from || !self.has_timers {
            advance(to.since(from));
            return to;
        }
        // tokio moves its clock by whole milliseconds. From within one it would miss every boundary by
        // as much: waiting from 4.9 ms for 5 ms, it would arrive at 5.9.
        let within = from.as_nanos() % MILLISECOND_NS;
        let first = match within {
            0 => from,
            _ => from + Duration::from_nanos(MILLISECOND_NS - within),
        };
        advance(first.since(from));
        self.runtime.block_on(async {
            if first < whole {
                let mut passed = pin!(tokio::time::sleep_until(self.begun + whole.since_start()));
                std::future::poll_fn(|cx| match tasks.poll_ready(cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => passed.as_mut().poll(cx),
                })
                .await;
            } else {
                // The runtime looks at its timers when nobody has anything to do.
                tokio::task::yield_now().await;
            }
        });
        let reached = Time::ZERO + self.begun.elapsed();
        if !tasks.are_idle() {
            return reached;
        }
        debug_assert_eq!(reached, whole, "tokio's clock stands at whole milliseconds");
        advance(to.since(reached));
        to
    }
}

/// Moves tokio's clock. It does so at once; what is left to await is a yield.
fn advance(by: Duration) {
    if by.is_zero() {
        return;
    }
    let advance = pin!(tokio::time::advance(by));
    let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
}

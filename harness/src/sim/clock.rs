//! The clocks of a node, and what faults do to them.
//!
//! A node has a monotonic clock, by which it waits, and a wall clock. Without faults both go with the
//! world. A drift makes both run at another rate while it lasts; what the monotonic clock has gained or
//! lost then, it keeps, because it never jumps. Wall clocks do jump, and where a fault ends, the wall
//! clock is set right again, as a time service would.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use checkers::history::{FaultId, Time};
use tokio::sync::Notify;

use crate::nemesis::Rate;

/// What wall clocks show when a run begins, in nanoseconds since 1970: the begin of 2026.
const START_OF_RUNS: u64 = 1_767_225_600 * 1_000_000_000;

/// The clocks of one node, across its starts.
#[derive(Debug, Default)]
pub(super) struct NodeClock {
    /// When the rate last changed, by the world and by the monotonic clock.
    changed: Cell<(Time, Time)>,
    /// How much the monotonic clock had gained on the world when the last drift ended: the wall clock
    /// was set right then.
    gained_ns: Cell<i64>,
    /// The drifts that are on. The one that began last counts.
    drifts: RefCell<Vec<(FaultId, Rate)>>,
    jumps: RefCell<Vec<Jump>>,
    /// Told when the rate changes, because it changes when a sleep ends.
    waiting: Notify,
}

/// A fault that makes the wall clock show another time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jump {
    pub(super) fault: FaultId,
    /// By how much it is ahead; less than 0 where it is behind.
    pub(super) by_ms: i64,
    /// When it began, by the world.
    pub(super) begun: Time,
    /// How long it stays there before it jumps back for as long; always where there is none.
    pub(super) every: Option<Duration>,
}

impl Jump {
    fn ahead_ns(&self, world: Time) -> i128 {
        let there = self.every.is_none_or(|every| {
            let periods = world.since(self.begun).as_nanos() / every.as_nanos().max(1);
            periods.is_multiple_of(2)
        });
        if there { i128::from(self.by_ms) * 1_000_000 } else { 0 }
    }
}

impl NodeClock {
    /// What the monotonic clock shows.
    pub(super) fn now(&self, world: Time) -> Time {
        let (since, shown) = self.changed.get();
        let Rate { counts, of } = self.rate();
        let counted = world.since(since).as_nanos() * u128::from(counts) / u128::from(of);
        shown + saturated(counted)
    }

    /// When, by the world, the monotonic clock shows `at` if its rate stays what it is. Rounded up: a
    /// moment earlier it would show a nanosecond less, and whoever waits for `at` would wait for no time
    /// at all, for ever.
    pub(super) fn world_at(&self, at: Time) -> Time {
        let (since, shown) = self.changed.get();
        let Rate { counts, of } = self.rate();
        let wanted = at.since(shown).as_nanos() * u128::from(of);
        since + saturated(wanted.div_ceil(u128::from(counts)))
    }

    /// What the wall clock shows: nanoseconds since 1970.
    pub(super) fn wall(&self, world: Time) -> u64 {
        let right = i128::from(START_OF_RUNS) + i128::from(self.now(world).as_nanos())
            - i128::from(self.gained_ns.get());
        let ahead: i128 = self.jumps.borrow().iter().map(|jump| jump.ahead_ns(world)).sum();
        u64::try_from((right + ahead).max(0)).unwrap_or(u64::MAX)
    }

    /// Which drift falsifies what the monotonic clock counts.
    pub(super) fn drifting(&self) -> Option<FaultId> {
        let drifts = self.drifts.borrow();
        drifts.last().filter(|(_, rate)| rate.counts != rate.of).map(|(fault, _)| *fault)
    }

    /// Which jumps falsify what the wall clock shows.
    pub(super) fn jumped(&self, world: Time) -> Vec<FaultId> {
        let jumps = self.jumps.borrow();
        jumps.iter().filter(|jump| jump.ahead_ns(world) != 0).map(|jump| jump.fault).collect()
    }

    /// Ends when the rate next changes.
    pub(super) fn changes(&self) -> impl Future<Output = ()> + '_ {
        self.waiting.notified()
    }

    pub(super) fn drift(&self, world: Time, fault: FaultId, rate: Rate) {
        self.change_rate(world, |drifts| drifts.push((fault, rate)));
    }

    pub(super) fn jump(&self, jump: Jump) {
        self.jumps.borrow_mut().push(jump);
    }

    /// Ends a fault, if it is on.
    pub(super) fn set_right(&self, world: Time, fault: FaultId) {
        self.jumps.borrow_mut().retain(|jump| jump.fault != fault);
        if self.drifts.borrow().iter().any(|(drift, _)| *drift == fault) {
            self.change_rate(world, |drifts| drifts.retain(|(drift, _)| *drift != fault));
        }
        if self.drifts.borrow().is_empty() {
            let gained = i128::from(self.now(world).as_nanos()) - i128::from(world.as_nanos());
            self.gained_ns.set(i64::try_from(gained).expect("no run lasts for centuries"));
        }
    }

    fn change_rate(&self, world: Time, change: impl FnOnce(&mut Vec<(FaultId, Rate)>)) {
        self.changed.set((world, self.now(world)));
        change(&mut self.drifts.borrow_mut());
        self.waiting.notify_waiters();
    }

    fn rate(&self) -> Rate {
        self.drifts.borrow().last().map_or(Rate::RIGHT, |(_, rate)| *rate)
    }
}

fn saturated(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: FaultId = FaultId(0);

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_monotonic_clock_keeps_what_it_gained_and_a_wall_clock_is_set_right() {
        let clock = NodeClock::default();
        clock.drift(ms(1000), FAULT, Rate { counts: 3, of: 2 });
        assert_eq!(clock.now(ms(1000)), ms(1000));
        assert_eq!(clock.now(ms(3000)), ms(4000));
        assert_eq!(clock.wall(ms(3000)), START_OF_RUNS + ms(4000).as_nanos());
        clock.set_right(ms(3000), FAULT);
        assert_eq!(clock.now(ms(5000)), ms(6000));
        assert_eq!(clock.wall(ms(5000)), START_OF_RUNS + ms(5000).as_nanos());
    }

    #[test]
    fn whoever_waits_for_a_moment_finds_that_it_has_come() {
        for rate in [Rate { counts: 7, of: 3 }, Rate { counts: 3, of: 7 }, Rate::RIGHT] {
            let clock = NodeClock::default();
            clock.drift(Time::from_nanos(11), FAULT, rate);
            for nanos in 0..200 {
                let at = Time::from_nanos(nanos);
                assert!(clock.now(clock.world_at(at)) >= at, "{rate} at {nanos}");
            }
        }
    }

    #[test]
    fn a_jump_moves_the_wall_clock_alone_and_a_strobe_moves_it_to_and_fro() {
        let clock = NodeClock::default();
        let jump = Jump { fault: FAULT, by_ms: -500, begun: ms(1000), every: None };
        clock.jump(jump);
        assert_eq!(clock.wall(ms(2000)), START_OF_RUNS + ms(1500).as_nanos());
        assert_eq!((clock.now(ms(2000)), clock.jumped(ms(2000))), (ms(2000), vec![FAULT]));
        clock.set_right(ms(2000), FAULT);
        assert_eq!(clock.wall(ms(2000)), START_OF_RUNS + ms(2000).as_nanos());
        let every = Some(Duration::from_millis(10));
        clock.jump(Jump { by_ms: 200, begun: ms(3000), every, ..jump });
        let ahead = [3000, 3009, 3010, 3019, 3020].map(|world| {
            (clock.wall(ms(world)) - START_OF_RUNS - ms(world).as_nanos()) / 1_000_000
        });
        assert_eq!(ahead, [200, 200, 0, 0, 200]);
        assert!(clock.jumped(ms(3010)).is_empty());
    }
}

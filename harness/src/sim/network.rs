//! Which links are cut or slow, and by which faults.
//!
//! turmoil's own link state is left alone: its `repair` undoes both directions at once, and its
//! `fail_rate` heals a one-way partition. Here a directed link stays cut until every fault that
//! cuts it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::FaultId;

use crate::seed::Stream;

/// The directed links between the places of a run: its nodes, and one place for all clients.
#[derive(Debug)]
pub(super) struct Links {
    places: usize,
    /// The faults that cut the link `from * places + to`.
    cut_by: Vec<Vec<FaultId>>,
    /// In the same order, the faults that slow a link down.
    slowed_by: Vec<Vec<FaultId>>,
    /// How much longer each of those makes a message take at most, and from what it draws.
    delays: BTreeMap<FaultId, (Duration, Stream)>,
}

impl Links {
    /// Makes links of which none is cut.
    pub(super) fn new(places: usize) -> Links {
        let none = vec![Vec::new(); places * places];
        Links { places, cut_by: none.clone(), slowed_by: none, delays: BTreeMap::new() }
    }

    /// Lets a fault cut what `from` says to `to`.
    pub(super) fn cut(&mut self, from: usize, to: usize, fault: FaultId) {
        let faults = &mut self.cut_by[from * self.places + to];
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// Lets a fault slow down what is said over some links, each message by up to `longest`.
    pub(super) fn slow(
        &mut self,
        links: impl Iterator<Item = (usize, usize)>,
        fault: FaultId,
        longest: Duration,
        stream: Stream,
    ) {
        self.delays.insert(fault, (longest, stream));
        for (from, to) in links {
            self.slowed_by[from * self.places + to].push(fault);
        }
    }

    /// Draws how much longer a message from `from` to `to` takes, and lists the faults behind it.
    pub(super) fn delay(&mut self, from: usize, to: usize) -> (Duration, &[FaultId]) {
        let slowing = &self.slowed_by[from * self.places + to];
        let mut delay = Duration::ZERO;
        for fault in slowing {
            if let Some((longest, stream)) = self.delays.get_mut(fault) {
                delay += Duration::from_nanos(stream.below(longest.as_nanos() as u64 + 1));
            }
        }
        (delay, slowing)
    }

    /// Ends a fault on every link.
    pub(super) fn heal(&mut self, fault: FaultId) {
        for faults in &mut self.cut_by {
            faults.retain(|cutting| *cutting != fault);
        }
        if self.delays.remove(&fault).is_some() {
            for faults in &mut self.slowed_by {
                faults.retain(|slowing| *slowing != fault);
            }
        }
    }

    /// The faults that cut what `from` says to `to`; none where the link is whole.
    pub(super) fn cut_by(&self, from: usize, to: usize) -> &[FaultId] {
        &self.cut_by[from * self.places + to]
    }

    /// Whether two places hear each other, and as soon as ever.
    pub(super) fn connected(&self, a: usize, b: usize) -> bool {
        let whole = |from: usize, to: usize| {
            let link = from * self.places + to;
            self.cut_by[link].is_empty() && self.slowed_by[link].is_empty()
        };
        whole(a, b) && whole(b, a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_link_stays_cut_until_every_fault_that_cuts_it_has_ended() {
        let mut links = Links::new(3);
        links.cut(0, 1, FaultId(7));
        links.cut(0, 1, FaultId(8));
        links.heal(FaultId(7));
        assert_eq!(links.cut_by(0, 1), [FaultId(8)]);
        links.heal(FaultId(8));
        assert!(links.connected(0, 1));
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_direction_whole() {
        let mut links = Links::new(2);
        links.cut(1, 0, FaultId(0));
        assert!(links.cut_by(0, 1).is_empty());
        assert!(!links.connected(0, 1));
    }

    #[test]
    fn a_link_is_as_slow_as_all_faults_on_it_make_it_and_fast_when_they_have_ended() {
        let stream = || Seed(1).stream("delay");
        let mut links = Links::new(2);
        links.slow([(0, 1)].into_iter(), FaultId(0), Duration::from_millis(30), stream());
        links.slow([(0, 1)].into_iter(), FaultId(1), Duration::from_millis(500), stream());
        let delays: Vec<Duration> = (0..50).map(|_| links.delay(0, 1).0).collect();
        assert!(delays.iter().any(|delay| *delay > Duration::from_millis(300)));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(530)));
        assert_eq!(links.delay(0, 1).1, [FaultId(0), FaultId(1)]);
        assert_eq!(links.delay(1, 0), (Duration::ZERO, &[][..]));
        assert!(!links.connected(0, 1));
        links.heal(FaultId(1));
        assert!((0..50).all(|_| links.delay(0, 1).0 <= Duration::from_millis(30)));
        links.heal(FaultId(0));
        assert_eq!(links.delay(0, 1), (Duration::ZERO, &[][..]));
    }

    #[test]
    fn healing_one_direction_does_not_heal_the_other() {
        let mut links = Links::new(2);
        links.cut(0, 1, FaultId(0));
        links.cut(1, 0, FaultId(1));
        links.heal(FaultId(0));
        assert_eq!(links.cut_by(1, 0), [FaultId(1)]);
    }
}

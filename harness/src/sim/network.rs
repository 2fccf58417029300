//! Which links are cut or hindered, and by which faults.
//!
//! turmoil's own link state is left alone: its `repair` undoes both directions at once, and its
//! `fail_rate` heals a one-way partition. Here a directed link stays cut until every fault that
//! cuts it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{FaultId, Time};

use super::impair::{Impairment, Passage};

/// What one place says to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The directed links between the places of a run: its nodes, and one place for all clients.
#[derive(Debug)]
pub(super) struct Links {
    places: usize,
    /// The faults that cut the link `from * places + to`.
    cut_by: Vec<Vec<FaultId>>,
    /// Of those, the ones that cut it in turns.
    flaps: BTreeMap<FaultId, Flap>,
    /// In the same order, the faults that messages on it meet.
    impaired_by: Vec<Vec<FaultId>>,
    /// What those do.
    impairments: BTreeMap<FaultId, Impairment>,
}

/// A fault that cuts links for a while, leaves them whole for as long, and so on.
#[derive(Clone, Copy, Debug)]
struct Flap {
    begun: Time,
    every: Duration,
}

impl Flap {
    fn cuts(self, at: Time) -> bool {
        let turns = at.since(self.begun).as_nanos() / self.every.as_nanos();
        turns.is_multiple_of(2)
    }
}

impl Links {
    /// Makes links of which none is cut.
    pub(super) fn new(places: usize) -> Links {
        let none = vec![Vec::new(); places * places];
        Links {
            places,
            cut_by: none.clone(),
            flaps: BTreeMap::new(),
            impaired_by: none,
            impairments: BTreeMap::new(),
        }
    }

    fn index(&self, link: Link) -> usize {
        link.from * self.places + link.to
    }

    /// Lets a fault cut links.
    pub(super) fn cut(&mut self, links: impl IntoIterator<Item = Link>, fault: FaultId) {
        for link in links {
            let index = self.index(link);
            let faults = &mut self.cut_by[index];
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }

    /// Lets a fault cut links and leave them whole in turns of `every`, first cut.
    pub(super) fn flap(
        &mut self,
        links: impl IntoIterator<Item = Link>,
        fault: FaultId,
        begun: Time,
        every: Duration,
    ) {
        self.flaps.insert(fault, Flap { begun, every });
        self.cut(links, fault);
    }

    /// Lets the messages on links meet a fault.
    pub(super) fn impair(
        &mut self,
        links: impl IntoIterator<Item = Link>,
        fault: FaultId,
        impairment: Impairment,
    ) {
        self.impairments.insert(fault, impairment);
        for link in links {
            let index = self.index(link);
            self.impaired_by[index].push(fault);
        }
    }

    /// Decides what becomes of a message on a link that is whole.
    pub(super) fn pass(&mut self, at: Time, link: Link, bytes: usize) -> Passage {
        let mut passage = Passage::default();
        for fault in &self.impaired_by[link.from * self.places + link.to] {
            if let Some(impairment) = self.impairments.get_mut(fault) {
                impairment.meet(*fault, at, link, bytes, &mut passage);
            }
        }
        passage
    }

    /// Ends a fault on every link; returns how often it has cut them, where it did so in turns.
    pub(super) fn heal(&mut self, fault: FaultId, now: Time) -> u32 {
        for faults in &mut self.cut_by {
            faults.retain(|cutting| *cutting != fault);
        }
        if self.impairments.remove(&fault).is_some() {
            for faults in &mut self.impaired_by {
                faults.retain(|impairing| *impairing != fault);
            }
        }
        let cuts = self.flaps.remove(&fault).map(|Flap { begun, every }| {
            now.since(begun).as_nanos().div_ceil(every.as_nanos() * 2)
        });
        cuts.unwrap_or(0).try_into().unwrap_or(u32::MAX)
    }

    /// The faults that cut a link at some time; none where it is whole.
    pub(super) fn cut_by(&self, at: Time, link: Link) -> impl Iterator<Item = FaultId> + '_ {
        let faults = self.cut_by[self.index(link)].iter().copied();
        faults.filter(move |fault| self.flaps.get(fault).is_none_or(|flap| flap.cuts(at)))
    }

    /// Whether two places hear each other all the time, and as soon and as surely as ever.
    pub(super) fn connected(&self, a: usize, b: usize) -> bool {
        let whole = |from: usize, to: usize| {
            let index = self.index(Link { from, to });
            self.cut_by[index].is_empty() && self.impaired_by[index].is_empty()
        };
        whole(a, b) && whole(b, a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::{Fault, Shape};

    const NOW: Time = Time::ZERO;

    fn link(from: usize, to: usize) -> Link {
        Link { from, to }
    }

    fn cutting(links: &Links, at: Time, from: usize, to: usize) -> Vec<FaultId> {
        links.cut_by(at, link(from, to)).collect()
    }

    fn slow(links: &mut Links, fault: FaultId, longest: Duration) {
        let delay = Fault::Delay { shape: Shape::Halves {}, longest };
        links.impair([link(0, 1)], fault, Impairment::of(delay, NOW, 1).unwrap());
    }

    #[test]
    fn a_link_stays_cut_until_every_fault_that_cuts_it_has_ended() {
        let mut links = Links::new(3);
        links.cut([link(0, 1)], FaultId(7));
        links.cut([link(0, 1)], FaultId(8));
        links.heal(FaultId(7), NOW);
        assert_eq!(cutting(&links, NOW, 0, 1), [FaultId(8)]);
        links.heal(FaultId(8), NOW);
        assert!(links.connected(0, 1));
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_direction_whole() {
        let mut links = Links::new(2);
        links.cut([link(1, 0)], FaultId(0));
        assert!(cutting(&links, NOW, 0, 1).is_empty());
        assert!(!links.connected(0, 1));
    }

    #[test]
    fn a_flapping_link_is_cut_and_whole_in_turns_and_never_counts_as_connected() {
        let mut links = Links::new(2);
        let (begun, every) = (Time::from_millis(1_000), Duration::from_millis(100));
        links.flap([link(0, 1)], FaultId(0), begun, every);
        let at = |ms| cutting(&links, Time::from_millis(ms), 0, 1).len();
        assert_eq!([1_000, 1_099, 1_100, 1_199, 1_200, 1_399].map(at), [1, 1, 0, 0, 1, 0]);
        assert!(!links.connected(0, 1));
        assert_eq!(links.heal(FaultId(0), Time::from_millis(1_400)), 2);
        assert!(links.connected(0, 1));
    }

    #[test]
    fn a_link_is_as_slow_as_all_faults_on_it_make_it_and_fast_when_they_have_ended() {
        let mut links = Links::new(2);
        slow(&mut links, FaultId(0), Duration::from_millis(30));
        slow(&mut links, FaultId(1), Duration::from_millis(500));
        let delays: Vec<Duration> = (0..50).map(|_| links.pass(NOW, link(0, 1), 1).delay).collect();
        assert!(delays.iter().any(|delay| *delay > Duration::from_millis(300)));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(530)));
        assert_eq!(links.pass(NOW, link(0, 1), 1).late_by, [FaultId(0), FaultId(1)]);
        assert_eq!(links.pass(NOW, link(1, 0), 1), Passage::default());
        assert!(!links.connected(0, 1));
        links.heal(FaultId(1), NOW);
        assert!((0..50).all(|_| links.pass(NOW, link(0, 1), 1).delay <= Duration::from_millis(30)));
        links.heal(FaultId(0), NOW);
        assert_eq!(links.pass(NOW, link(0, 1), 1), Passage::default());
    }

    #[test]
    fn a_fault_draws_the_same_beside_others_and_alone() {
        let (loss, other) = (
            Fault::Loss { shape: Shape::Halves {}, chance: crate::seed::Ratio::new(1, 2) },
            Fault::Loss { shape: Shape::Halves {}, chance: crate::seed::Ratio::new(9, 10) },
        );
        let lost = |others: &[Fault]| {
            let mut links = Links::new(2);
            for (number, fault) in (1..).zip(others) {
                let impairment = Impairment::of(*fault, NOW, 9).unwrap();
                links.impair([link(0, 1)], FaultId(number), impairment);
            }
            links.impair([link(0, 1)], FaultId(0), Impairment::of(loss, NOW, 1).unwrap());
            let by_it = |_| links.pass(NOW, link(0, 1), 1).lost_by.contains(&FaultId(0));
            (0..100).map(by_it).collect::<Vec<bool>>()
        };
        assert_eq!(lost(&[other]), lost(&[]));
    }

    #[test]
    fn healing_one_direction_does_not_heal_the_other() {
        let mut links = Links::new(2);
        links.cut([link(0, 1)], FaultId(0));
        links.cut([link(1, 0)], FaultId(1));
        links.heal(FaultId(0), NOW);
        assert_eq!(cutting(&links, NOW, 1, 0), [FaultId(1)]);
    }
}

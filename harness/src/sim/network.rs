//! Which links are cut, and by which faults.
//!
//! turmoil's own link state is left alone: its `repair` undoes both directions at once, and its
//! `fail_rate` heals a one-way partition. Here a directed link stays cut until every fault that
//! cuts it has ended.

use checkers::history::FaultId;

/// The directed links between the places of a run: its nodes, and one place for all clients.
#[derive(Debug)]
pub(super) struct Links {
    places: usize,
    /// The faults that cut the link `from * places + to`.
    cut_by: Vec<Vec<FaultId>>,
}

impl Links {
    /// Makes links of which none is cut.
    pub(super) fn new(places: usize) -> Links {
        Links { places, cut_by: vec![Vec::new(); places * places] }
    }

    /// Lets a fault cut what `from` says to `to`.
    pub(super) fn cut(&mut self, from: usize, to: usize, fault: FaultId) {
        let faults = &mut self.cut_by[from * self.places + to];
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// Ends a fault on every link.
    pub(super) fn heal(&mut self, fault: FaultId) {
        for faults in &mut self.cut_by {
            faults.retain(|cutting| *cutting != fault);
        }
    }

    /// The faults that cut what `from` says to `to`; none where the link is whole.
    pub(super) fn cut_by(&self, from: usize, to: usize) -> &[FaultId] {
        &self.cut_by[from * self.places + to]
    }

    /// Whether two places hear each other.
    pub(super) fn connected(&self, a: usize, b: usize) -> bool {
        self.cut_by(a, b).is_empty() && self.cut_by(b, a).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn healing_one_direction_does_not_heal_the_other() {
        let mut links = Links::new(2);
        links.cut(0, 1, FaultId(0));
        links.cut(1, 0, FaultId(1));
        links.heal(FaultId(0));
        assert_eq!(links.cut_by(1, 0), [FaultId(1)]);
    }
}

//! Faults of disks: what begins and ends with them, and what becomes of nodes that they stop.

use checkers::history::{FaultId, NodeId};

use super::World;
use crate::nemesis::{Defect, Planned};
use crate::seed::{Seed, Stream};
use crate::sim::{Failure, target};
use crate::trace::Happening;

impl World {
    /// Lets something be wrong with disks; returns in words with whose.
    pub(super) fn damage(
        &mut self,
        planned: &Planned,
        nodes: Vec<NodeId>,
        defect: Defect,
    ) -> String {
        let fault = planned.id;
        if matches!(defect, Defect::BitFlip { .. } | Defect::Rollback)
            && let Some(reason) = self.spares_disks(planned)
        {
            return reason;
        }
        let words = target::list(&nodes);
        for id in &nodes {
            let stream = Seed(planned.salt).stream(&format!("disk/{id}"));
            match defect {
                Defect::BitFlip { bits } => self.flip(fault, *id, bits, stream),
                Defect::Rollback => {
                    let image = self.shared.node(*id).platter.borrow().image();
                    self.images.insert((fault, *id), image);
                }
                Defect::Slow { .. }
                | Defect::Full
                | Defect::Error { .. }
                | Defect::SyncFail
                | Defect::LostWrites => {
                    let mut platter = self.shared.node(*id).platter.borrow_mut();
                    platter.defects.begin(fault, defect, stream);
                }
            }
        }
        if let Defect::BitFlip { .. } = defect {
            self.note_stopped(fault, nodes);
        }
        words
    }

    /// Ends the process of a node, and flips bits on its disk.
    fn flip(&mut self, fault: FaultId, id: NodeId, bits: u32, mut stream: Stream) {
        self.stop(id);
        let node = self.shared.node(id);
        let flipped = node.platter.borrow_mut().flip(fault, bits, &mut stream);
        // Until it says that it is whole, it counts as one that has lost its disk: it may have.
        node.lost.set(flipped > 0);
        let how = || format!("is killed, and {flipped} bits of its disk flip");
        self.shared.record(self.now(), id, || Happening::Stops { how: how() });
    }

    /// Ends a fault of disks, and starts again whoever ended because of it.
    pub(super) fn repair(&mut self, fault: FaultId, defect: Defect) {
        for id in self.shared.node_ids() {
            let node = self.shared.node(id);
            let (up, lost) = (node.up.get(), node.lost.get());
            // The power goes while the disk lies still.
            let lies =
                node.platter.borrow().defects.has(fault) && matches!(defect, Defect::LostWrites);
            let image = self.images.remove(&(fault, id)).filter(|_| !lost);
            if up && (lies || image.is_some()) {
                let bytes = self.lose_power(id);
                let effect = &mut self.effects[fault.index()];
                effect.lost_bytes += bytes;
                effect.stopped += 1;
                self.stopped_by[fault.index()].push(id);
            }
            let mut platter = self.shared.node(id).platter.borrow_mut();
            if let Some(image) = image {
                let bytes = platter.put_back(image);
                platter.defects.lost(fault, bytes);
                self.shared.note(self.shared.now.get(), id, || {
                    format!("has its disk put back, without the last {bytes} bytes")
                });
            }
            platter.defects.end(fault);
        }
        self.start_stopped(fault);
    }

    /// How many times a node has ended by itself because of its disk.
    pub(crate) fn stopped_by_disks(&self) -> u64 {
        self.stopped_by_disks
    }

    /// Whether a node that has gone wrong did what it has to where its disk does: it has ended, and said so.
    pub(super) fn is_of_disk(&self, id: NodeId, failure: &Failure) -> bool {
        let excuse = self.shared.node(id).platter.borrow().defects.excuse();
        excuse.is_some() && matches!(failure, Failure::Stopped(_))
    }

    /// Sees to a node that has ended by itself because of its disk. While the fault lasts, it would end again.
    /// Where what the disk holds is damaged, so it would for ever: it gets an empty one.
    pub(super) fn stopped_by_disk(&mut self, id: NodeId) {
        let platter = self.shared.node(id).platter.borrow();
        let Some(fault) = platter.defects.excuse() else { return };
        let (is_on, is_damaged) = (platter.defects.has(fault), platter.defects.is_damaged());
        drop(platter);
        self.stopped_by_disks += 1;
        let how = || "ends because of its disk".to_owned();
        self.shared.record(self.now(), id, || Happening::Stops { how: how() });
        self.effects[fault.index()].stopped += 1;
        if is_on {
            let since = self.now();
            self.halted[fault.index()].push((id, since));
            self.stopped_by[fault.index()].push(id);
            return;
        }
        if is_damaged {
            let bytes = self.lose_disk(fault, id);
            self.shared.note(self.now(), id, || {
                format!("lost its disk with {bytes} bytes, and gets an empty one")
            });
        }
        self.start(id);
    }
}

//! What is wrong with a disk: the faults that are on, what they do to its operations, and what they have done.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use checkers::history::FaultId;

use crate::nemesis::Defect;
use crate::run::DiskEffect;
use crate::seed::Stream;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Defects {
    on: Vec<On>,
    effects: BTreeMap<FaultId, DiskEffect>,
    /// The fault that last gave the node an error since it was started.
    met: Option<FaultId>,
    /// The fault by which what it holds is not what was synced, until the node has started with it.
    damaged_by: Option<FaultId>,
}

/// A defect that is on.
#[derive(Debug)]
struct On {
    fault: FaultId,
    defect: Defect,
    /// Decides what it leaves open.
    stream: Stream,
    /// Whether it does no more.
    is_spent: bool,
    /// How many operations there were so far.
    operations: u32,
    /// Which of the next ones fails, where it is one of several.
    next: u32,
}

impl On {
    /// Whether the present operation is the one of so many. Of each so many in a row it is one, so that nobody
    /// who does as many is spared.
    fn comes_up(&mut self, one_of: u32) -> bool {
        let place = self.operations % one_of;
        if place == 0 {
            self.next = self.stream.below(one_of.into()) as u32;
        }
        self.operations += 1;
        place == self.next
    }
}

/// What has come of a sync.
pub(super) enum Synced {
    /// What was written lasts.
    Done,
    /// It does not, and nobody says so.
    Lied,
    /// It does not, by this fault, and it is not there any more.
    Failed(FaultId, io::Error),
}

impl Defects {
    pub(super) fn begin(&mut self, fault: FaultId, defect: Defect, stream: Stream) {
        self.on.push(On { fault, defect, stream, is_spent: false, operations: 0, next: 0 });
    }

    /// Ends a fault; whether it was on.
    pub(super) fn end(&mut self, fault: FaultId) -> bool {
        let before = self.on.len();
        self.on.retain(|on| on.fault != fault);
        self.on.len() < before
    }

    /// Whether a fault is on.
    pub(super) fn has(&self, fault: FaultId) -> bool {
        self.on.iter().any(|on| on.fault == fault)
    }

    /// What each fault has done.
    pub(super) fn effects(&self) -> impl Iterator<Item = (FaultId, &DiskEffect)> {
        self.effects.iter().map(|(fault, done)| (*fault, done))
    }

    /// A node starts with it.
    pub(super) fn is_opened(&mut self) {
        self.met = None;
    }

    /// It is another one, or a node has started with what it holds.
    pub(super) fn forget_damage(&mut self) {
        self.damaged_by = None;
    }

    /// The fault because of which a node may end by itself, if any.
    pub(super) fn excuse(&self) -> Option<FaultId> {
        self.met.or(self.damaged_by)
    }

    /// Whether no node may be able to start with what it holds.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged_by.is_some()
    }

    /// The power is lost, and with it what was not synced, whatever was said of it.
    pub(super) fn power_is_lost(&mut self) {
        let lied = |on: &&On| self.effects.get(&on.fault).is_some_and(|done| done.lies > 0);
        let liar = self.on.iter().find(lied).map(|on| on.fault);
        self.damaged_by = liar.or(self.damaged_by);
    }

    /// So many bits were flipped.
    pub(super) fn flipped(&mut self, fault: FaultId, bits: u64) {
        self.done(fault).flipped_bits += bits;
        if bits > 0 {
            self.damaged_by = Some(fault);
        }
    }

    /// So many bytes were lost.
    pub(super) fn lost(&mut self, fault: FaultId, bytes: u64) {
        self.done(fault).lost_bytes += bytes;
    }

    /// How much longer a sync takes.
    pub(super) fn slow_sync(&mut self) -> Duration {
        let mut longer = Duration::ZERO;
        for on in &mut self.on {
            let Defect::Slow { longest } = on.defect else { continue };
            let longest = longest.as_nanos() as u64;
            longer += Duration::from_nanos(on.stream.between(longest / 2, longest));
            self.effects.entry(on.fault).or_default().slow_syncs += 1;
        }
        longer
    }

    /// Does something that writes no bytes and makes none last.
    pub(super) fn operate(&mut self, what: &str) -> io::Result<()> {
        match self.failing(|defect| matches!(defect, Defect::Error { .. })) {
            None => Ok(()),
            Some(fault) => Err(self.error(fault, format!("the disk failed to {what}"))),
        }
    }

    /// Writes so many bytes: how many of them are written, and why not the others.
    pub(super) fn write(&mut self, bytes: usize) -> (usize, io::Result<()>) {
        let failing = self.failing(|defect| matches!(defect, Defect::Error { .. } | Defect::Full));
        let Some(fault) = failing else { return (bytes, Ok(())) };
        let on = self.on.iter_mut().find(|on| on.fault == fault);
        let on = on.expect("only a fault that is on fails");
        let kept = on.stream.below(bytes.max(1) as u64) as usize;
        let is_full = matches!(on.defect, Defect::Full);
        let error = self.error(fault, "the disk failed to write".to_owned());
        (kept, Err(if is_full { io::ErrorKind::StorageFull.into() } else { error }))
    }

    /// Syncs a file.
    pub(super) fn sync(&mut self) -> Synced {
        let fails = |defect: &Defect| matches!(defect, Defect::Error { .. } | Defect::SyncFail);
        if let Some(fault) = self.failing(fails) {
            return Synced::Failed(fault, self.error(fault, "the disk failed to sync".to_owned()));
        }
        if self.lies() { Synced::Lied } else { Synced::Done }
    }

    /// Whether whoever syncs now is told a lie.
    pub(super) fn lies(&mut self) -> bool {
        let liar = self.on.iter().find(|on| matches!(on.defect, Defect::LostWrites));
        let Some(fault) = liar.map(|on| on.fault) else { return false };
        self.done(fault).lies += 1;
        true
    }

    /// The first of the faults that may make something fail and do.
    fn failing(&mut self, may: impl Fn(&Defect) -> bool) -> Option<FaultId> {
        let mut able = self.on.iter_mut().filter(|on| may(&on.defect) && !on.is_spent);
        able.find_map(|on| match on.defect {
            Defect::Error { one_of } => on.comes_up(one_of).then_some(on.fault),
            Defect::SyncFail => {
                on.is_spent = true;
                Some(on.fault)
            }
            Defect::Full => Some(on.fault),
            Defect::Slow { .. }
            | Defect::BitFlip { .. }
            | Defect::LostWrites
            | Defect::Rollback => None,
        })
    }

    fn error(&mut self, fault: FaultId, words: String) -> io::Error {
        self.met = Some(fault);
        self.done(fault).errors += 1;
        io::Error::other(words)
    }

    fn done(&mut self, fault: FaultId) -> &mut DiskEffect {
        self.effects.entry(fault).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn of_so_many_operations_one_fails_and_not_always_the_same() {
        let mut defects = Defects::default();
        let stream = Seed(3).stream("disk");
        defects.begin(FaultId(0), Defect::Error { one_of: 5 }, stream);
        let failed: Vec<bool> = (0..100).map(|_| defects.operate("read").is_err()).collect();
        let places = failed.chunks(5).map(|five| {
            assert_eq!(five.iter().filter(|failed| **failed).count(), 1, "{failed:?}");
            five.iter().position(|failed| *failed)
        });
        assert!(places.collect::<std::collections::BTreeSet<_>>().len() > 3, "{failed:?}");
        assert_eq!(defects.excuse(), Some(FaultId(0)));
        assert!(defects.end(FaultId(0)) && defects.operate("read").is_ok());
    }
}

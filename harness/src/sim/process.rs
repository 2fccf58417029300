//! What faults do to the process of a node while it runs: it stands still, or each message takes longer.
//!
//! Messages wait meanwhile, where the operating system keeps them: in the buffer of a socket, which takes in
//! no more once it is full. Without such a fault nobody counts what waits, because nodes keep up.

use std::cell::RefCell;
use std::time::Duration;

use checkers::history::FaultId;

/// How much may wait for a node before what comes then is lost, in bytes: what Linux gives a socket that
/// asks for nothing else.
pub(super) const BUFFER_BYTES: usize = 212_992;
/// What a message takes of it besides its own bytes.
const MESSAGE_OVERHEAD: usize = 768;

/// How much of a buffer is full, with messages of these lengths in it.
pub(super) fn bytes_of(messages: impl Iterator<Item = usize>) -> usize {
    messages.map(|bytes| bytes + MESSAGE_OVERHEAD).sum()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// The faults by which it stands still.
    paused_by: RefCell<Vec<FaultId>>,
    /// Those by which it did, since it last took in what had arrived.
    resumed_after: RefCell<Vec<FaultId>>,
    /// The faults by which it is slow, and what each message costs more.
    slowed_by: RefCell<Vec<(FaultId, Duration)>>,
}

impl Process {
    /// Lets it stand still.
    pub(super) fn pause(&self, fault: FaultId) {
        self.paused_by.borrow_mut().push(fault);
    }

    /// Ends a fault; whether it goes on by that.
    pub(super) fn resume(&self, fault: FaultId) -> bool {
        let mut paused_by = self.paused_by.borrow_mut();
        let Some(place) = paused_by.iter().position(|other| *other == fault) else { return false };
        paused_by.remove(place);
        self.resumed_after.borrow_mut().push(fault);
        paused_by.is_empty()
    }

    /// Whether it stands still.
    pub(super) fn is_paused(&self) -> bool {
        !self.paused_by.borrow().is_empty()
    }

    /// The process ends; the next one of the node runs.
    pub(super) fn end(&self) {
        self.paused_by.borrow_mut().clear();
        self.resumed_after.borrow_mut().clear();
    }

    /// Makes each message keep it busy for longer. That is the fault of the machine, and so it is the same for
    /// the next process.
    pub(super) fn slow(&self, fault: FaultId, cost: Duration) {
        self.slowed_by.borrow_mut().push((fault, cost));
    }

    /// Ends a fault.
    pub(super) fn quicken(&self, fault: FaultId) {
        self.slowed_by.borrow_mut().retain(|(slowing, _)| *slowing != fault);
    }

    /// For how much longer each message keeps it busy.
    pub(super) fn cost(&self) -> Duration {
        self.slowed_by.borrow().iter().map(|(_, cost)| *cost).sum()
    }

    /// The faults that make messages wait.
    pub(super) fn hindering(&self) -> Vec<FaultId> {
        let slowing = self.slowed_by.borrow();
        let slowing = slowing.iter().map(|(fault, _)| *fault);
        self.paused_by.borrow().iter().copied().chain(slowing).collect()
    }

    /// The same, with those that have ended since this was last asked: for whoever looks at what has arrived
    /// only when the node does.
    pub(super) fn take_hindering(&self) -> Vec<FaultId> {
        let mut hindering = self.hindering();
        hindering.append(&mut self.resumed_after.borrow_mut());
        hindering
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_when_the_last_fault_that_stops_it_has_ended() {
        let process = Process::default();
        process.pause(FaultId(3));
        process.pause(FaultId(4));
        assert!(!process.resume(FaultId(3)) && process.is_paused());
        assert!(!process.resume(FaultId(3)), "a fault ends once");
        assert!(process.resume(FaultId(4)) && !process.is_paused());
        assert_eq!(process.take_hindering(), [FaultId(3), FaultId(4)]);
        assert_eq!(process.take_hindering(), []);
    }

    #[test]
    fn the_next_process_runs_on_the_same_slow_machine() {
        let process = Process::default();
        process.pause(FaultId(0));
        process.slow(FaultId(1), Duration::from_millis(3));
        process.end();
        assert!(!process.is_paused() && !process.resume(FaultId(0)));
        assert_eq!(process.cost(), Duration::from_millis(3));
        process.quicken(FaultId(1));
        assert_eq!(process.cost(), Duration::ZERO);
    }
}

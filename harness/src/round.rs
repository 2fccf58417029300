//! Clients see to it that each node is asked for everything, once all faults are undone.
//!
//! What a workload draws seldom, some node may never be asked for in the time that it has to recover, and one that no
//! longer answers it would pass. [`Live`] accuses a node that answers none of so many requests of a kind; here they
//! come to be.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use checkers::checker::Live;
use checkers::history::{NodeId, Op, OpKind, Time};
use workloads::Generator;

use crate::record::Recorder;

/// The time that a system has to recover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// When all faults have been undone.
    pub(crate) began: Time,
    /// How long clients go on from then on.
    pub(crate) lasts: Duration,
}

impl Recovery {
    /// From when on clients see to it that each node is asked for everything.
    pub(crate) fn go_round(self) -> Time {
        self.began + self.lasts / 4
    }

    /// From when on they do what has never succeeded so far; the second half.
    pub(crate) fn catch_up(self) -> Time {
        self.began + self.lasts / 2
    }

    /// When clients begin no more operations.
    pub(crate) fn ends(self) -> Time {
        self.began + self.lasts
    }
}

/// What was asked of which node so far.
pub(crate) struct Round {
    /// The kinds of operations that the workload does.
    kinds: Vec<OpKind>,
    /// How often clients of each node asked for each kind since faults were undone.
    asked: RefCell<BTreeMap<(NodeId, OpKind), Asked>>,
}

/// How often something was asked.
#[derive(Clone, Copy, Default)]
struct Asked {
    ever: usize,
    /// In the second half of the time that the system has to recover.
    late: usize,
}

impl Round {
    /// Of the kinds of operations that a workload does.
    pub(crate) fn new(kinds: Vec<OpKind>) -> Round {
        Round { kinds, asked: RefCell::default() }
    }

    /// The kinds of operations of which none has succeeded so far.
    pub(crate) fn lacking<'a>(
        &'a self,
        recorder: &'a Recorder,
    ) -> impl Iterator<Item = OpKind> + 'a {
        self.kinds.iter().copied().filter(|kind| recorder.ok_of(*kind) == 0)
    }

    /// What a client of a node does next: what its workload draws. But where the end is near and operations of
    /// some kind have never succeeded, because faults left the system little time for them, it does one
    /// of these, or one of a kind that its node was seldom asked for since.
    pub(crate) fn next(
        &self,
        generator: &mut dyn Generator,
        recorder: &Recorder,
        recovery: Recovery,
        (home, now): (NodeId, Time),
    ) -> Op {
        let is_late = now >= recovery.catch_up();
        let mut wanted: Vec<OpKind> =
            if is_late { self.lacking(recorder).collect() } else { Vec::new() };
        if wanted.is_empty() && now >= recovery.go_round() {
            wanted.extend(self.seldom(home, is_late));
        }
        let op = generator.next(&wanted);
        if now >= recovery.began {
            let mut asked = self.asked.borrow_mut();
            let asked = asked.entry((home, op.kind())).or_default();
            asked.ever += 1;
            asked.late += usize::from(is_late);
        }
        op
    }

    /// The kinds that clients of a node have seldom asked for since faults were undone.
    fn seldom(&self, home: NodeId, is_late: bool) -> impl Iterator<Item = OpKind> + '_ {
        let is_seldom = move |kind: &OpKind| {
            let asked = self.asked.borrow().get(&(home, *kind)).copied().unwrap_or_default();
            asked.ever < Live::AT_A_NODE || (is_late && asked.late < Live::LATE_AT_A_NODE)
        };
        self.kinds.iter().copied().filter(is_seldom)
    }
}

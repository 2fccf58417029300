//! What a write follows through several sessions.
//!
//! Terry et al. ask it of what a server has: with a write, it has all that the writing session had read before, and
//! with each of these again what their sessions had read. So whoever has seen a write depends not only on what
//! its session had read, but on all that those had read whose writes these were, and so on.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::history::{History, Operation, OperationId, SessionId};

/// A write that was seen. Later ones of the same session depend on more.
#[derive(Clone, Copy)]
pub(super) struct Sighting {
    pub(super) write: OperationId,
    /// The read that showed it, or a write that follows it.
    pub(super) by: OperationId,
}

/// The last write of each session that somebody has seen, or that one that was seen follows.
pub(super) type Known = BTreeMap<SessionId, Sighting>;

/// What is remembered for all writes together. What later ones follow through other sessions is not known.
const ENTRIES_MAX: usize = 1 << 23;

/// What each session has read, and so what its writes follow.
pub(super) struct Chains<'a> {
    history: &'a History,
    known: FxHashMap<SessionId, Rc<Known>>,
    followed: FxHashMap<OperationId, Rc<Known>>,
    room: usize,
}

impl<'a> Chains<'a> {
    pub(super) fn new(history: &'a History) -> Chains<'a> {
        Chains {
            history,
            known: FxHashMap::default(),
            followed: FxHashMap::default(),
            room: ENTRIES_MAX,
        }
    }

    /// Whether there was not enough room for all.
    pub(super) fn are_cut(&self) -> bool {
        self.room == 0
    }

    /// Takes note that a write begins: it follows what its session has read by now.
    pub(super) fn begin(&mut self, write: &Operation<'_>) {
        if let Some(known) = self.known.get(&write.session).filter(|_| self.room > 0) {
            self.followed.insert(write.id, Rc::clone(known));
        }
    }

    /// Takes note that a session has read what a write left.
    pub(super) fn read(&mut self, by: &Operation<'_>, write: &Operation<'_>) {
        if self.room == 0 {
            return;
        }
        let followed = self.followed.get(&write.id).cloned();
        let known = self.known.entry(by.session).or_default();
        if Rc::strong_count(known) > 1 {
            self.room = self.room.saturating_sub(known.len());
        }
        learn(self.history, Rc::make_mut(known), by, write, followed.as_deref());
    }

    /// What the session of a write had read before.
    pub(super) fn followed_by(&self, write: OperationId) -> Option<&Known> {
        self.followed.get(&write).map(|known| &**known)
    }
}

/// Adds a write that was read, and what it follows.
pub(super) fn learn(
    history: &History,
    known: &mut Known,
    by: &Operation<'_>,
    write: &Operation<'_>,
    followed: Option<&Known>,
) {
    let begun = |write: OperationId| history.operation(write).invoked;
    // What it follows, a later one of the same session follows, too.
    if known.get(&write.session).is_some_and(|known| begun(known.write) >= write.invoked) {
        return;
    }
    let others = followed.into_iter().flatten().map(|(session, known)| (*session, known.write));
    for (session, write) in others.chain([(write.session, write.id)]) {
        let new = Sighting { write, by: by.id };
        let known = known.entry(session).or_insert(new);
        if begun(known.write) < begun(write) {
            *known = new;
        }
    }
}

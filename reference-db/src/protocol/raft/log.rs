//! The log in memory: entries that follow a compacted beginning.
//!
//! It has no gaps, and terms never decrease along it. So one position tells whether two logs are equal up to
//! there ([`Log::has`]), and of two logs the last position tells which is the more up to date, the term first
//! (Raft, sections 5.3 and 5.4.1). By the index alone: of 1, 2 and 3, member 3 leads in term 1 and has entries up
//! to 5, of which the others got the first two; leader 1 of term 2 commits an entry 3 with 2; then 3 is elected by
//! 2, because it has more, and takes entry 3 back. The base keeps its term when the entry there is gone: a member that
//! has compacted everything would otherwise vote for any log.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::members::Members;

/// A place in a log, and the term of the entry there. Ordered by term, then by index: of two
/// logs the one that ends at the greater position is the more up to date (Raft, section 5.4.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The term in which the entry was made.
    pub term: u64,
    /// Its place, from 1 on; 0 stands before the first entry.
    pub index: u64,
}

/// One entry of a log. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<C> {
    /// Where it stands.
    pub at: Position,
    /// What it asks for; `None` where a new leader only marks the beginning of its term.
    pub command: Option<Arc<C>>,
    /// Who takes part from here on, where that changes.
    pub members: Option<Arc<Members>>,
}

/// A log without its beginning, which a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<C> {
    base: Position,
    entries: VecDeque<Entry<C>>,
}

impl<C> Default for Log<C> {
    fn default() -> Self {
        Log::after(Position::default())
    }
}

impl<C> Log<C> {
    /// A log of which nothing is held but where it would go on: right after `base`.
    pub fn after(base: Position) -> Self {
        Log { base, entries: VecDeque::new() }
    }

    /// The last position that was compacted away.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The last position.
    pub fn last(&self) -> Position {
        self.entries.back().map_or(self.base, |entry| entry.at)
    }

    /// The entry at an index, unless it was compacted away or does not exist.
    pub fn get(&self, index: u64) -> Option<&Entry<C>> {
        let offset = index.checked_sub(self.base.index + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The term of the entry at an index, where it is known: from the base on.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.get(index).map(|entry| entry.at.term)
    }

    /// Whether the log has this position, and so everything before it (log matching).
    pub fn has(&self, at: Position) -> bool {
        self.term(at.index) == Some(at.term)
    }

    /// At most `count` entries, from `index` on.
    pub fn entries(&self, index: u64, count: usize) -> impl Iterator<Item = &Entry<C>> {
        let skip = index.saturating_sub(self.base.index + 1);
        let from = usize::try_from(skip).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.range(from..).take(count)
    }

    /// Puts an entry in its place and forgets all that stood there or later.
    ///
    /// # Panics
    /// Where the entry would leave a gap, or stands before the base.
    pub fn put(&mut self, entry: Entry<C>) {
        let offset = entry.at.index.checked_sub(self.base.index + 1);
        let kept = offset.and_then(|offset| usize::try_from(offset).ok());
        let kept = kept.expect("what was compacted away was committed and is never replaced");
        assert!(kept <= self.entries.len(), "a log has no gaps: {:?}", entry.at);
        self.entries.truncate(kept);
        self.entries.push_back(entry);
    }

    /// The last position up to `index` whose term is at most `term`: where two logs may still
    /// agree, when they differ at a later one (Raft, end of section 5.3). `None` where that lies
    /// in what was compacted away.
    ///
    /// Terms never decrease along a log, so everything between the answer and `index` belongs to
    /// terms that the other side does not have there.
    pub fn agreement(&self, index: u64, term: u64) -> Option<Position> {
        let held = index.min(self.last().index).checked_sub(self.base.index)?;
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(self.entries.len());
        let (mut low, mut high) = (0, held);
        while low < high {
            let middle = low.midpoint(high);
            if self.entries[middle].at.term <= term {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low.checked_sub(1) {
            Some(offset) => Some(self.entries[offset].at),
            None => (self.base.term <= term).then_some(self.base),
        }
    }

    /// Forgets everything up to `index`, which becomes the base. Does nothing for an index that
    /// the log does not hold.
    pub fn compact(&mut self, index: u64) {
        while self.base.index < index
            && let Some(entry) = self.entries.pop_front()
        {
            self.base = entry.at;
        }
    }
}

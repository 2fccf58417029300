//! The log and the vote: in memory, and each change of them in a journal on the disk, synced before the library is
//! told that it is done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::rc::Rc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{Entry, LogId, LogState, RaftLogReader, StorageError, StorageIOError, Vote};
use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

use crate::Types;

/// After how many records the journal is written anew, without what was purged since.
const RECORDS_MAX: usize = 1000;

type Failed = StorageError<u64>;

/// Handles are cheap to clone and are of the same log.
#[derive(Clone)]
pub(crate) struct Log(Rc<Inner>);

struct Inner {
    kept: RefCell<Kept>,
    records: RefCell<usize>,
    journal: Journal,
    mistakes: Mistakes,
}

/// What the log can do wrong.
#[derive(Clone, Copy)]
pub(crate) struct Mistakes {
    /// Nothing is synced.
    pub(crate) never_syncs: bool,
    /// How far entries were committed is not kept, which the library says that a store may do that takes care
    /// not to serve reads for a while.
    pub(crate) forgets_committed: bool,
}

#[derive(Default)]
struct Kept {
    vote: Option<Vote<u64>>,
    committed: Option<LogId<u64>>,
    purged: Option<LogId<u64>>,
    entries: BTreeMap<u64, Entry<Types>>,
}

#[derive(Serialize, Deserialize)]
enum Change {
    Vote(Vote<u64>),
    Committed(Option<LogId<u64>>),
    Append(Vec<Entry<Types>>),
    /// This entry and those behind it are gone.
    Truncate(u64),
    /// This entry and those before it are gone.
    Purge(LogId<u64>),
}

impl Kept {
    fn change(&mut self, change: Change) {
        match change {
            Change::Vote(vote) => self.vote = Some(vote),
            Change::Committed(committed) => self.committed = committed,
            Change::Append(entries) => {
                self.entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
            }
            Change::Truncate(from) => {
                self.entries.split_off(&from);
            }
            Change::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(upto);
            }
        }
    }

    /// What makes all of it out of nothing.
    fn changes(&self) -> Vec<Change> {
        let vote = self.vote.map(Change::Vote);
        let purged = self.purged.map(Change::Purge);
        let entries = Change::Append(self.entries.values().cloned().collect());
        let committed = Change::Committed(self.committed);
        vote.into_iter().chain(purged).chain([entries, committed]).collect()
    }
}

impl Log {
    /// Reads what an earlier start of the node has left.
    pub(crate) async fn open(cx: &NodeCx, mistakes: Mistakes) -> io::Result<Log> {
        let (journal, records) = Journal::open(cx.disk(), "log").await?;
        let mut kept = Kept::default();
        for record in &records {
            kept.change(serde_json::from_slice(record)?);
        }
        let (kept, records) = (RefCell::new(kept), RefCell::new(records.len()));
        Ok(Log(Rc::new(Inner { kept, records, journal, mistakes })))
    }

    /// Makes a change, which is not sure to last yet.
    fn write(&self, change: Change) -> io::Result<()> {
        self.0.journal.append(&kit::json(&change))?;
        *self.0.records.borrow_mut() += 1;
        self.0.kept.borrow_mut().change(change);
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        if self.0.mistakes.never_syncs {
            return Ok(());
        }
        if *self.0.records.borrow() <= RECORDS_MAX {
            return self.0.journal.sync().await;
        }
        let changes: Vec<Vec<u8>> = self.0.kept.borrow().changes().iter().map(kit::json).collect();
        *self.0.records.borrow_mut() = changes.len();
        self.0.journal.replace(&changes).await
    }

    async fn write_and_sync(&self, change: Change) -> io::Result<()> {
        self.write(change)?;
        self.sync().await
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Types>>, Failed> {
        Ok(self.0.kept.borrow().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, Failed> {
        let kept = self.0.kept.borrow();
        let last = kept.entries.values().next_back().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: kept.purged, last_log_id: last.or(kept.purged) })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), Failed> {
        let written = self.write_and_sync(Change::Vote(*vote)).await;
        written.map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, Failed> {
        Ok(self.0.kept.borrow().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), Failed> {
        // A leader that is started again goes on in its term, and answers reads from what was committed as far as
        // it knows. If that were behind what it has answered before, the reads would be too.
        if self.0.mistakes.forgets_committed {
            return Ok(());
        }
        let written = self.write_and_sync(Change::Committed(committed)).await;
        written.map_err(|error| StorageIOError::write(&error).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, Failed> {
        Ok(self.0.kept.borrow().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<(), Failed>
    where
        I: IntoIterator<Item = Entry<Types>>,
    {
        let entries = entries.into_iter().collect();
        let written = self.write_and_sync(Change::Append(entries)).await;
        flushed.log_io_completed(written);
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Result<(), Failed> {
        let written = self.write_and_sync(Change::Truncate(from.index)).await;
        written.map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), Failed> {
        let written = self.write_and_sync(Change::Purge(upto)).await;
        written.map_err(|error| StorageIOError::write_logs(&error).into())
    }
}

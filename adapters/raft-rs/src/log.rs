//! The log, the vote and the last snapshot: in memory, and each change of them in a journal on the disk.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use kit::Store;
use protobuf::Message;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use stormglass::prelude::*;

/// The state of a node, and the last entry that led to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) store: Store,
}

/// Handles are cheap to clone and are of the same log.
#[derive(Clone)]
pub(crate) struct Log(Rc<Inner>);

struct Inner {
    members: ConfState,
    kept: RefCell<Kept>,
    applied: Rc<RefCell<Applied>>,
    journal: Journal,
}

#[derive(Default)]
struct Kept {
    state: HardState,
    /// The last snapshot: the entries are those behind it.
    snapshot: Snapshot,
    entries: Vec<Entry>,
}

/// What a record of the journal begins with.
const ENTRY: u8 = 0;
const STATE: u8 = 1;
const SNAPSHOT: u8 = 2;

impl Kept {
    fn change(&mut self, record: &[u8]) -> io::Result<()> {
        let Some((kind, bytes)) = record.split_first() else { return Ok(()) };
        match *kind {
            ENTRY => self.append(Entry::parse_from_bytes(bytes)?),
            STATE => self.state = HardState::parse_from_bytes(bytes)?,
            _ => self.install(Snapshot::parse_from_bytes(bytes)?),
        }
        Ok(())
    }

    fn first(&self) -> u64 {
        self.snapshot.get_metadata().index + 1
    }

    fn last(&self) -> u64 {
        self.snapshot.get_metadata().index + self.entries.len() as u64
    }

    /// Puts an entry in its place; those behind it are gone.
    fn append(&mut self, entry: Entry) {
        self.entries.truncate((entry.index - self.first()) as usize);
        self.entries.push(entry);
    }

    /// Puts a snapshot in the place of all that led to it.
    fn install(&mut self, snapshot: Snapshot) {
        let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
        let is_of_log = self.term(index).is_some_and(|known| known == term);
        let behind = if is_of_log { index + 1 - self.first() } else { self.entries.len() as u64 };
        self.entries.drain(..behind as usize);
        self.snapshot = snapshot;
        self.state.commit = self.state.commit.max(index);
    }

    fn term(&self, index: u64) -> Option<u64> {
        if index == self.snapshot.get_metadata().index {
            return Some(self.snapshot.get_metadata().term);
        }
        let place = index.checked_sub(self.first())?;
        self.entries.get(place as usize).map(|entry| entry.term)
    }
}

fn record(kind: u8, message: &impl Message) -> Vec<u8> {
    let mut record = vec![kind];
    message.write_to_vec(&mut record).expect("a vector takes every byte");
    record
}

impl Log {
    /// Reads what an earlier start of the node has left.
    pub(crate) async fn open(cx: &NodeCx) -> io::Result<Log> {
        let (journal, records) = Journal::open(cx.disk(), "log").await?;
        let mut kept = Kept::default();
        for record in &records {
            kept.change(record)?;
        }
        let voters: Vec<u64> = cx.nodes().iter().map(|id| u64::from(id.0)).collect();
        let members = ConfState::from((voters, Vec::new()));
        let applied = Rc::new(RefCell::new(applied_of(&kept.snapshot)?));
        Ok(Log(Rc::new(Inner { members, kept: RefCell::new(kept), applied, journal })))
    }

    /// The state of the node: at first, that of the last snapshot.
    pub(crate) fn applied(&self) -> Rc<RefCell<Applied>> {
        self.0.applied.clone()
    }

    /// The last entry that is in the snapshot alone.
    pub(crate) fn compacted(&self) -> u64 {
        self.0.kept.borrow().snapshot.get_metadata().index
    }

    fn write(&self, record: &[u8]) -> io::Result<()> {
        self.0.journal.append(record)?;
        self.0.kept.borrow_mut().change(record)
    }

    pub(crate) fn append(&self, entry: &Entry) -> io::Result<()> {
        self.write(&record(ENTRY, entry))
    }

    pub(crate) fn set_state(&self, state: &HardState) -> io::Result<()> {
        self.write(&record(STATE, state))
    }

    /// Notes how much is committed. It says again what a majority knows, and may be lost.
    pub(crate) fn set_commit(&self, commit: u64) -> io::Result<()> {
        let mut state = self.0.kept.borrow().state.clone();
        state.commit = commit;
        self.set_state(&state)
    }

    /// Takes a snapshot that another node has sent.
    pub(crate) fn install(&self, snapshot: &Snapshot) -> io::Result<()> {
        self.write(&record(SNAPSHOT, snapshot))?;
        *self.0.applied.borrow_mut() = applied_of(snapshot)?;
        Ok(())
    }

    pub(crate) async fn sync(&self) -> io::Result<()> {
        self.0.journal.sync().await
    }

    /// Makes a snapshot of the state, and writes the journal anew without what led to it.
    pub(crate) async fn compact(&self) -> io::Result<()> {
        let records = {
            let mut kept = self.0.kept.borrow_mut();
            kept.install(self.snapshot_now());
            let entries = kept.entries.iter().map(|entry| record(ENTRY, entry));
            let snapshot = record(SNAPSHOT, &kept.snapshot);
            let state = record(STATE, &kept.state);
            [snapshot].into_iter().chain(entries).chain([state]).collect::<Vec<_>>()
        };
        self.0.journal.replace(&records).await
    }

    fn snapshot_now(&self) -> Snapshot {
        let applied = self.0.applied.borrow();
        let mut snapshot = Snapshot::default();
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (applied.index, applied.term);
        meta.set_conf_state(self.0.members.clone());
        snapshot.data = kit::json(&applied.store).into();
        snapshot
    }
}

fn applied_of(snapshot: &Snapshot) -> io::Result<Applied> {
    if snapshot.is_empty() {
        return Ok(Applied::default());
    }
    let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
    Ok(Applied { index, term, store: serde_json::from_slice(&snapshot.data)? })
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let kept = self.0.kept.borrow();
        Ok(RaftState::new(kept.state.clone(), self.0.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let kept = self.0.kept.borrow();
        if low < kept.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let range = (low - kept.first()) as usize..(high - kept.first()) as usize;
        let entries = kept.entries.get(range).ok_or(Error::Store(StorageError::Unavailable))?;
        let mut entries = entries.to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let kept = self.0.kept.borrow();
        match kept.term(index) {
            Some(term) => Ok(term),
            None if index < kept.first() => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.kept.borrow().first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.0.kept.borrow().last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.0.applied.borrow().index < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot_now())
    }
}

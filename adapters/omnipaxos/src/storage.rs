//! What the library keeps: in memory, and each change of it in a journal on the disk.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use omnipaxos::ballot_leader_election::Ballot;
use omnipaxos::storage::{StopSign, Storage, StorageOp, StorageResult};
use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

use crate::{Applied, Entry, Piece};

/// After how many records the journal is written anew, without what was replaced since.
const RECORDS_MAX: usize = 2000;

/// The storage. Handles are cheap to clone and are of the same one: the library has one, and the node another, to
/// sync it.
pub(crate) struct Log<const SNAPSHOTS: bool>(Rc<RefCell<State<SNAPSHOTS>>>);

struct State<const SNAPSHOTS: bool> {
    kept: Kept<SNAPSHOTS>,
    applied: Rc<RefCell<Applied>>,
    journal: Rc<Journal>,
    /// How many records the journal has.
    records: usize,
    is_synced: bool,
}

/// All that must survive.
#[derive(Clone, Debug, Default)]
struct Kept<const SNAPSHOTS: bool> {
    promise: Option<Ballot>,
    accepted_round: Option<Ballot>,
    decided: usize,
    /// How many entries stood before those of the log.
    compacted: usize,
    log: Vec<Entry<SNAPSHOTS>>,
    stop_sign: Option<StopSign>,
    snapshot: Option<Piece>,
    /// The state when the log was trimmed last.
    applied: Applied,
}

/// One change; a record of the journal has those that belong together.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Change<const SNAPSHOTS: bool> {
    Append(Vec<Entry<SNAPSHOTS>>),
    AppendOnPrefix(usize, Vec<Entry<SNAPSHOTS>>),
    Promise(Ballot),
    Decided(usize),
    AcceptedRound(Ballot),
    Compacted(usize),
    Trim(usize),
    StopSign(Option<StopSign>),
    Snapshot(Option<Piece>),
    /// The state before the log is trimmed, which is at least what is trimmed leads to.
    Applied(Applied),
}

impl<const SNAPSHOTS: bool> From<StorageOp<Entry<SNAPSHOTS>>> for Change<SNAPSHOTS> {
    fn from(op: StorageOp<Entry<SNAPSHOTS>>) -> Change<SNAPSHOTS> {
        match op {
            StorageOp::AppendEntry(entry) => Change::Append(vec![entry]),
            StorageOp::AppendEntries(entries) => Change::Append(entries),
            StorageOp::AppendOnPrefix(from, entries) => Change::AppendOnPrefix(from, entries),
            StorageOp::SetPromise(ballot) => Change::Promise(ballot),
            StorageOp::SetDecidedIndex(index) => Change::Decided(index),
            StorageOp::SetAcceptedRound(ballot) => Change::AcceptedRound(ballot),
            StorageOp::SetCompactedIdx(index) => Change::Compacted(index),
            StorageOp::Trim(index) => Change::Trim(index),
            StorageOp::SetStopsign(sign) => Change::StopSign(sign),
            StorageOp::SetSnapshot(snapshot) => Change::Snapshot(snapshot),
        }
    }
}

impl<const SNAPSHOTS: bool> Kept<SNAPSHOTS> {
    fn change(&mut self, change: Change<SNAPSHOTS>) {
        match change {
            Change::Append(entries) => self.log.extend(entries),
            Change::AppendOnPrefix(from, entries) => {
                self.log.truncate(from.saturating_sub(self.compacted));
                self.log.extend(entries);
            }
            Change::Promise(ballot) => self.promise = Some(ballot),
            Change::Decided(index) => self.decided = index,
            Change::AcceptedRound(ballot) => self.accepted_round = Some(ballot),
            Change::Compacted(index) => self.compacted = index,
            Change::Trim(index) => {
                let before = index.saturating_sub(self.compacted).min(self.log.len());
                self.log.drain(..before);
                self.compacted = index;
            }
            Change::StopSign(sign) => self.stop_sign = sign,
            Change::Snapshot(snapshot) => self.snapshot = snapshot,
            Change::Applied(applied) => self.applied = applied,
        }
    }

    /// What makes all of it out of nothing.
    fn changes(&self) -> Vec<Change<SNAPSHOTS>> {
        let ballots =
            [self.promise.map(Change::Promise), self.accepted_round.map(Change::AcceptedRound)];
        let rest = [
            Change::Compacted(self.compacted),
            Change::Snapshot(self.snapshot.clone()),
            Change::Append(self.log.clone()),
            Change::StopSign(self.stop_sign.clone()),
            Change::Decided(self.decided),
            Change::Applied(self.applied.clone()),
        ];
        ballots.into_iter().flatten().chain(rest).collect()
    }

    /// The entries of a range, all or none.
    fn entries(&self, from: usize, to: usize) -> Vec<Entry<SNAPSHOTS>> {
        let [from, to] = [from, to].map(|index| index.checked_sub(self.compacted));
        let range = from.zip(to).and_then(|(from, to)| self.log.get(from..to));
        range.map(<[Entry<SNAPSHOTS>]>::to_vec).unwrap_or_default()
    }
}

impl<const SNAPSHOTS: bool> Clone for Log<SNAPSHOTS> {
    fn clone(&self) -> Log<SNAPSHOTS> {
        Log(self.0.clone())
    }
}

impl<const SNAPSHOTS: bool> Log<SNAPSHOTS> {
    /// Reads what an earlier start of the node has left.
    pub(crate) async fn open(cx: &NodeCx) -> io::Result<Log<SNAPSHOTS>> {
        let (journal, records) = Journal::open(cx.disk(), "log").await?;
        let mut kept = Kept::default();
        for record in &records {
            let changes: Vec<Change<SNAPSHOTS>> = serde_json::from_slice(record)?;
            changes.into_iter().for_each(|change| kept.change(change));
        }
        let applied = Rc::new(RefCell::new(kept.applied.clone()));
        let (journal, records, is_synced) = (Rc::new(journal), records.len(), true);
        Ok(Log(Rc::new(RefCell::new(State { kept, applied, journal, records, is_synced }))))
    }

    /// The state of the node: at first, as it was when the log was trimmed last.
    pub(crate) fn applied(&self) -> Rc<RefCell<Applied>> {
        self.0.borrow().applied.clone()
    }

    /// Makes all that the library has done last.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let (journal, replaced) = {
            let mut state = self.0.borrow_mut();
            if std::mem::replace(&mut state.is_synced, true) {
                return Ok(());
            }
            let is_long = state.records > RECORDS_MAX;
            state.records = if is_long { 1 } else { state.records };
            (state.journal.clone(), is_long.then(|| kit::json(&state.kept.changes())))
        };
        match replaced {
            Some(record) => journal.replace(&[record]).await,
            None => journal.sync().await,
        }
    }

    fn write(&self, mut changes: Vec<Change<SNAPSHOTS>>) -> StorageResult<()> {
        let mut state = self.0.borrow_mut();
        if !SNAPSHOTS && changes.iter().any(|change| matches!(change, Change::Trim(_))) {
            changes.insert(0, Change::Applied(state.applied.borrow().clone()));
        }
        state.journal.append(&kit::json(&changes))?;
        state.records += 1;
        state.is_synced = false;
        changes.into_iter().for_each(|change| state.kept.change(change));
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Kept<SNAPSHOTS>) -> T) -> StorageResult<T> {
        Ok(read(&self.0.borrow().kept))
    }
}

impl<const SNAPSHOTS: bool> Storage<Entry<SNAPSHOTS>> for Log<SNAPSHOTS> {
    fn write_atomically(&mut self, ops: Vec<StorageOp<Entry<SNAPSHOTS>>>) -> StorageResult<()> {
        self.write(ops.into_iter().map(Change::from).collect())
    }

    fn append_entry(&mut self, entry: Entry<SNAPSHOTS>) -> StorageResult<()> {
        self.write(vec![Change::Append(vec![entry])])
    }

    fn append_entries(&mut self, entries: Vec<Entry<SNAPSHOTS>>) -> StorageResult<()> {
        self.write(vec![Change::Append(entries)])
    }

    fn append_on_prefix(
        &mut self,
        from: usize,
        entries: Vec<Entry<SNAPSHOTS>>,
    ) -> StorageResult<()> {
        self.write(vec![Change::AppendOnPrefix(from, entries)])
    }

    fn set_promise(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.write(vec![Change::Promise(ballot)])
    }

    fn set_decided_idx(&mut self, index: usize) -> StorageResult<()> {
        self.write(vec![Change::Decided(index)])
    }

    fn get_decided_idx(&self) -> StorageResult<usize> {
        self.read(|kept| kept.decided)
    }

    fn set_accepted_round(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.write(vec![Change::AcceptedRound(ballot)])
    }

    fn get_accepted_round(&self) -> StorageResult<Option<Ballot>> {
        self.read(|kept| kept.accepted_round)
    }

    fn get_entries(&self, from: usize, to: usize) -> StorageResult<Vec<Entry<SNAPSHOTS>>> {
        self.read(|kept| kept.entries(from, to))
    }

    fn get_log_len(&self) -> StorageResult<usize> {
        self.read(|kept| kept.log.len())
    }

    fn get_suffix(&self, from: usize) -> StorageResult<Vec<Entry<SNAPSHOTS>>> {
        self.read(|kept| kept.entries(from, kept.compacted + kept.log.len()))
    }

    fn get_promise(&self) -> StorageResult<Option<Ballot>> {
        self.read(|kept| kept.promise)
    }

    fn set_stopsign(&mut self, sign: Option<StopSign>) -> StorageResult<()> {
        self.write(vec![Change::StopSign(sign)])
    }

    fn get_stopsign(&self) -> StorageResult<Option<StopSign>> {
        self.read(|kept| kept.stop_sign.clone())
    }

    fn trim(&mut self, index: usize) -> StorageResult<()> {
        self.write(vec![Change::Trim(index)])
    }

    fn set_compacted_idx(&mut self, index: usize) -> StorageResult<()> {
        self.write(vec![Change::Compacted(index)])
    }

    fn get_compacted_idx(&self) -> StorageResult<usize> {
        self.read(|kept| kept.compacted)
    }

    fn set_snapshot(&mut self, snapshot: Option<Piece>) -> StorageResult<()> {
        self.write(vec![Change::Snapshot(snapshot)])
    }

    fn get_snapshot(&self) -> StorageResult<Option<Piece>> {
        self.read(|kept| kept.snapshot.clone())
    }
}

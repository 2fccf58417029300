//! The state that the log leads to, in memory, and the last snapshot of it, on the disk.

use std::cell::RefCell;
use std::io::{self, Cursor};
use std::rc::Rc;

use kit::Store;
use openraft::impls::BasicNode;
use openraft::storage::RaftStateMachine;
use openraft::{
    Entry, EntryPayload, LogId, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    StorageIOError, StoredMembership,
};
use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

use crate::Types;

type Failed = StorageError<u64>;
type Meta = SnapshotMeta<u64, BasicNode>;

/// Handles are cheap to clone and are of the same state.
#[derive(Clone)]
pub(crate) struct Machine(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    snapshot: RefCell<Option<Kept>>,
    /// Whoever is writing a snapshot.
    keeping: tokio::sync::Mutex<()>,
    journal: Journal,
}

#[derive(Clone, Default)]
struct State {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    store: Store,
    /// How many snapshots were made.
    snapshots: u64,
}

/// A snapshot, as it is on the disk.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    meta: Meta,
    store: Store,
}

impl Kept {
    fn snapshot(&self) -> Snapshot<Types> {
        let content = kit::json(&self.store);
        Snapshot { meta: self.meta.clone(), snapshot: Box::new(Cursor::new(content)) }
    }
}

impl Machine {
    /// Reads the snapshot that an earlier start of the node has left.
    pub(crate) async fn open(cx: &NodeCx) -> io::Result<Machine> {
        let (journal, records) = Journal::open(cx.disk(), "snapshot").await?;
        let kept: Option<Kept> =
            records.last().map(|record| serde_json::from_slice(record)).transpose()?;
        let state = kept.clone().map(|Kept { meta, store }| State {
            applied: meta.last_log_id,
            membership: meta.last_membership,
            store,
            snapshots: 0,
        });
        let state = RefCell::new(state.unwrap_or_default());
        let (snapshot, keeping) = (RefCell::new(kept), tokio::sync::Mutex::default());
        Ok(Machine(Rc::new(Inner { state, snapshot, keeping, journal })))
    }

    /// What a key holds.
    pub(crate) fn get(&self, key: &Key) -> Value {
        self.0.state.borrow().store.keys.get(key)
    }

    /// Keeps a snapshot, unless a later one is kept: the library forgets what led to it. It builds one while it
    /// installs another, and the earlier one may come last.
    async fn keep(&self, kept: Kept) -> io::Result<()> {
        let _alone = self.0.keeping.lock().await;
        let known = self.0.snapshot.borrow().as_ref().and_then(|known| known.meta.last_log_id);
        if kept.meta.last_log_id < known {
            return Ok(());
        }
        self.0.journal.replace(&[kit::json(&kept)]).await?;
        *self.0.snapshot.borrow_mut() = Some(kept);
        Ok(())
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, Failed> {
        let kept = {
            let mut state = self.0.state.borrow_mut();
            state.snapshots += 1;
            let index = state.applied.map_or(0, |id| id.index);
            let meta = SnapshotMeta {
                last_log_id: state.applied,
                last_membership: state.membership.clone(),
                snapshot_id: format!("{index}-{}", state.snapshots),
            };
            Kept { meta, store: state.store.clone() }
        };
        let snapshot = kept.snapshot();
        let written = self.keep(kept).await;
        written.map_err(|error| StorageIOError::write_snapshot(None, &error))?;
        Ok(snapshot)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Machine;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), Failed> {
        let state = self.0.state.borrow();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Option<Outcome>>, Failed>
    where
        I: IntoIterator<Item = Entry<Types>>,
    {
        let mut state = self.0.state.borrow_mut();
        let mut outcomes = Vec::new();
        for entry in entries {
            state.applied = Some(entry.log_id);
            outcomes.push(match entry.payload {
                EntryPayload::Normal(request) => state.store.apply(&request),
                EntryPayload::Blank => None,
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                    None
                }
            });
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, Failed> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), Failed> {
        let read = serde_json::from_slice(snapshot.get_ref());
        let store: Store = read.map_err(|error| StorageIOError::read_snapshot(None, &error))?;
        let written = self.keep(Kept { meta: meta.clone(), store: store.clone() }).await;
        written.map_err(|error| StorageIOError::write_snapshot(None, &error))?;
        let mut state = self.0.state.borrow_mut();
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.store = store;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, Failed> {
        Ok(self.0.snapshot.borrow().as_ref().map(Kept::snapshot))
    }
}

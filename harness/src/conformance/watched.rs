//! A system as it is, watched: what it is asked passes through, and some of it is written down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use checkers::history::{Op, Outcome, SessionId};

use crate::system::{
    Client, ClientCx, LocalBoxFuture, Manifest, Membership, NodeCx, Operator, Question, System,
};

/// A system that is watched.
pub(super) struct Watched {
    system: Arc<dyn System>,
    /// Whether nodes that start again find their disks empty, and are told nothing of it.
    empties: bool,
    notes: Arc<Notes>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Notes {
    /// Operations that the client ended itself.
    answered: AtomicU64,
    /// Those that were cut off because the client took longer than its manifest says.
    cut_off: AtomicU64,
    /// The first of these.
    first: Mutex<Option<Op>>,
}

impl Notes {
    /// How many operations were cut off, and how many there were in all.
    pub(super) fn cut_off(&self) -> (u64, u64) {
        let cut_off = self.cut_off.load(Ordering::Relaxed);
        (cut_off, cut_off + self.answered.load(Ordering::Relaxed))
    }

    /// The first operation that was cut off.
    pub(super) fn first(&self) -> Option<Op> {
        self.first.lock().expect("whoever holds it does not panic").clone()
    }
}

impl Watched {
    pub(super) fn of(system: &Arc<dyn System>) -> (Arc<dyn System>, Arc<Notes>) {
        let notes = Arc::new(Notes::default());
        let watched = Watched { system: system.clone(), empties: false, notes: notes.clone() };
        (Arc::new(watched), notes)
    }

    /// The same system, whose disks are emptied whenever nodes start again.
    pub(super) fn emptied(system: &Arc<dyn System>) -> Arc<dyn System> {
        Arc::new(Watched { system: system.clone(), empties: true, notes: Arc::default() })
    }
}

impl System for Watched {
    fn manifest(&self) -> Manifest {
        self.system.manifest()
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        self.system.manifest_under(nemeses)
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        if self.empties && cx.incarnation() > 0 {
            let disk = cx.disk();
            for file in disk.list().unwrap_or_default() {
                let removed = disk.remove(&file);
                removed.expect("no fault hits disks in the run in which they are emptied");
            }
        }
        self.system.node(cx)
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        let client = self.system.client(cx);
        Box::new(WatchedClient { client, notes: self.notes.clone(), asked: None })
    }

    fn waits_by_tokio(&self) -> bool {
        self.system.waits_by_tokio()
    }

    fn majority_suffices(&self, nodes: u32) -> bool {
        self.system.majority_suffices(nodes)
    }

    fn marks(&self) -> Vec<&'static str> {
        self.system.marks()
    }

    fn mark_in_words(&self, mark: &str) -> Option<&'static str> {
        self.system.mark_in_words(mark)
    }

    fn message_names(&self) -> Vec<&'static str> {
        self.system.message_names()
    }

    fn message_name(&self, bytes: &[u8]) -> Option<&'static str> {
        self.system.message_name(bytes)
    }

    fn question(&self, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
        self.system.question(bytes, client)
    }

    fn membership(&self) -> Option<Membership> {
        self.system.membership()
    }

    fn operator(&self, cx: ClientCx) -> Option<Box<dyn Operator>> {
        self.system.operator(cx)
    }
}

struct WatchedClient {
    client: Box<dyn Client>,
    notes: Arc<Notes>,
    /// What it was asked last.
    asked: Option<Op>,
}

impl Client for WatchedClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        self.asked = Some(op.clone());
        Box::pin(async move {
            let outcome = self.client.invoke(op).await;
            self.notes.answered.fetch_add(1, Ordering::Relaxed);
            outcome
        })
    }

    fn reset(&mut self) {
        self.notes.cut_off.fetch_add(1, Ordering::Relaxed);
        let mut first = self.notes.first.lock().expect("whoever holds it does not panic");
        *first = first.take().or_else(|| self.asked.take());
        self.client.reset();
    }
}

//! A key-value store over omnipaxos: reads and changes stand in one log, and are done in its order.
//!
//! What the library taught: `Storage` is synchronous and means what it has returned from to be on disk. A
//! simulated disk, as a real one, takes its time. So the log is written at once and synced before anything leaves
//! the node: messages, answers, and what others may see of its state.
//!
//! The log is kept short in one of two ways. By `trim`, which the store does unless it is told otherwise, the
//! library forgets what all nodes have, and the store keeps the state that it led to. By `snapshot`
//! (`settings = { compaction = "snapshot" }`), the library keeps a snapshot; version 0.2.4 then loses and repeats
//! what was decided (docs/adapters.md).

mod storage;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kit::{Answer, Asked, Changes, Command, Pending, Request, Session, Settings, Store};
use omnipaxos::messages::Message as Word;
use omnipaxos::storage::{Entry as EntryOf, Snapshot};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use storage::Log;
use stormglass::prelude::*;

/// How often the library is told that time has passed.
const TICK: Duration = Duration::from_millis(25);
/// A round of heartbeats: longer than a round trip and the syncs in it.
const ELECTION_TICKS: u64 = 8;
/// After how many decided entries the log is made shorter.
const COMPACTED_ENTRIES: usize = 100;

/// The mistakes that the store can make.
pub const MISTAKES: [&str; 2] = ["no-sync", "local-reads"];

/// The store.
#[derive(Clone, Copy, Debug, Default)]
pub struct OmniPaxosKv {
    settings: Settings,
    /// Whether the library makes snapshots.
    snapshots: bool,
}

impl System for OmniPaxosKv {
    fn configure(&mut self, settings: &stormglass::system::Settings) -> Result<(), String> {
        let mut rest = settings.clone();
        self.snapshots = match rest.remove("compaction").as_ref().and_then(|way| way.as_str()) {
            None | Some("trim") => false,
            Some("snapshot") => true,
            Some(other) => {
                return Err(format!("compaction = {other:?}; there are \"trim\" and \"snapshot\""));
            }
        };
        self.settings = Settings::read(&rest, &MISTAKES)?;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        // What is lost and repeated with snapshots, any checker of what keys hold may see.
        let seen = [Guarantee::Linearizable];
        let claim = |guarantee| match guarantee {
            Guarantee::Live => Claim::Holds,
            guarantee if self.snapshots && seen.contains(&guarantee) => Claim::Breaks,
            _ if self.snapshots => Claim::Silent,
            _ => Claim::Holds,
        };
        // Of a transaction, no piece of the log alone says what it does.
        let offered = |op: &OpKind| !self.snapshots || *op != OpKind::Txn;
        Manifest {
            name: "omnipaxos".to_owned(),
            about: "keys and values over the log of omnipaxos 0.2.4".to_owned(),
            nodes: (3, 5),
            ops: kit::OPS.into_iter().filter(offered).collect(),
            claims: kit::CLAIMED.map(|guarantee| (guarantee, claim(guarantee))).to_vec(),
            replica_claims: vec![],
            timing: kit::TIMING,
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let settings = self.settings;
        match self.snapshots {
            true => Box::pin(live::<true>(cx, settings)),
            false => Box::pin(live::<false>(cx, settings)),
        }
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session::new(cx))
    }
}

async fn live<const SNAPSHOTS: bool>(cx: NodeCx, settings: Settings) -> String {
    match Node::<SNAPSHOTS>::start(cx, settings).await {
        Ok(node) => node.live().await.expect_err("only a disk ends it").to_string(),
        Err(error) => error.to_string(),
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry<const SNAPSHOTS: bool>(Command);

impl<const SNAPSHOTS: bool> EntryOf for Entry<SNAPSHOTS> {
    type Snapshot = Piece;
}

/// What a piece of the log does. The library makes snapshots of pieces and puts them together, so that one cannot
/// be the state that the log leads to: a compare-and-set says what it does only to who knows what was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece(Changes);

impl<const SNAPSHOTS: bool> Snapshot<Entry<SNAPSHOTS>> for Piece {
    fn create(entries: &[Entry<SNAPSHOTS>]) -> Piece {
        let mut changes = Changes::default();
        entries.iter().for_each(|Entry(command)| changes.add(&command.request.op));
        Piece(changes)
    }

    fn merge(&mut self, Piece(later): Piece) {
        self.0.merge(later);
    }

    fn use_snapshots() -> bool {
        SNAPSHOTS
    }
}

/// The state of a node, and how many entries led to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) entries: usize,
    pub(crate) store: Store,
}

struct Node<const SNAPSHOTS: bool> {
    cx: NodeCx,
    settings: Settings,
    mesh: Mesh,
    log: Log<SNAPSHOTS>,
    paxos: OmniPaxos<Entry<SNAPSHOTS>, Log<SNAPSHOTS>>,
    /// The log has it too, to keep it when its beginning is trimmed.
    applied: Rc<RefCell<Applied>>,
    pending: Pending,
    /// What is answered once all that led to it lasts.
    answers: Vec<(Asked, Answer)>,
}

impl<const SNAPSHOTS: bool> Node<SNAPSHOTS> {
    async fn start(cx: NodeCx, settings: Settings) -> io::Result<Node<SNAPSHOTS>> {
        let log = Log::open(&cx).await?;
        let nodes = cx.nodes().iter().map(|id| u64::from(id.0)).collect();
        let config = OmniPaxosConfig {
            cluster_config: ClusterConfig { configuration_id: 1, nodes, flexible_quorum: None },
            server_config: ServerConfig {
                pid: u64::from(cx.id().0),
                election_tick_timeout: ELECTION_TICKS,
                resend_message_tick_timeout: ELECTION_TICKS,
                ..ServerConfig::default()
            },
        };
        let paxos = config.build(log.clone()).expect("the numbers of nodes are right");
        let (mesh, pending) = (Mesh::new(&cx, Patience::default()), Pending::new(&cx));
        let (applied, answers) = (log.applied(), Vec::new());
        Ok(Node { cx, settings, mesh, log, paxos, applied, pending, answers })
    }

    async fn live(mut self) -> io::Result<()> {
        let mut tick_at = self.cx.now() + TICK;
        let mut outgoing = Vec::new();
        loop {
            self.apply();
            let left = tick_at.since(self.cx.now());
            let mut arrival = self.mesh.recv_within(left).await;
            while let Some(arrived) = arrival {
                self.take(arrived);
                // The next message may have the log trimmed up to what this one has decided.
                self.apply();
                arrival = self.mesh.try_recv();
            }
            if self.cx.now() >= tick_at {
                self.paxos.tick();
                self.compact();
                tick_at = self.cx.now() + TICK;
            }
            self.paxos.take_outgoing_messages(&mut outgoing);
            if !self.settings.makes("no-sync") {
                self.log.sync().await?;
            }
            for word in outgoing.drain(..) {
                let to = u32::try_from(word.get_receiver()).expect("nodes have small numbers");
                self.mesh.send(NodeId(to), &kit::json(&word));
            }
            for (asked, answer) in std::mem::take(&mut self.answers) {
                self.pending.answer(asked, &answer);
            }
            self.show();
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Node(_, bytes) => {
                let word: Word<_> = serde_json::from_slice(&bytes).expect("nodes speak JSON");
                self.paxos.handle_incoming(word);
            }
            Arrival::Connected(id) => self.paxos.reconnected(u64::from(id.0)),
            Arrival::Lost(_) => {}
            Arrival::Client(message) => {
                let request: Request =
                    serde_json::from_slice(&message.bytes).expect("clients speak JSON");
                let command = self.pending.command(message, request);
                let is_local = self.settings.makes("local-reads") || command.request.is_local();
                match &command.request.op {
                    Op::Read { key, .. } if is_local => {
                        let value = self.applied.borrow().store.keys.get(key);
                        let answer = Answer::Ended(Outcome::Ok(Ret::Value(value)));
                        self.answers.push((command.asked, answer));
                    }
                    _ => {
                        let appended = self.paxos.append(Entry(command));
                        appended.expect("nobody changes the configuration");
                    }
                }
            }
        }
    }

    /// Does what was decided.
    fn apply(&mut self) {
        let mut applied = self.applied.borrow_mut();
        for entry in self.paxos.read_decided_suffix(applied.entries).unwrap_or_default() {
            match entry {
                LogEntry::Decided(Entry(command)) => {
                    let outcome = applied.store.apply(&command.request);
                    let answer = outcome.map(|outcome| (command.asked, Answer::Ended(outcome)));
                    self.answers.extend(answer);
                    applied.entries += 1;
                }
                LogEntry::Snapshotted(piece) => {
                    applied.store = Store::of(piece.snapshot.0.keys());
                    applied.entries = piece.trimmed_idx;
                }
                LogEntry::Undecided(_) | LogEntry::Trimmed(_) | LogEntry::StopSign(..) => {
                    unreachable!("what was decided is in the log, a snapshot, or done already")
                }
            }
        }
    }

    fn compact(&mut self) {
        let applied = self.applied.borrow().entries;
        if applied < self.paxos.get_compacted_idx() + COMPACTED_ENTRIES {
            return;
        }
        // What cannot be done now is done later: only a leader trims, and only what all nodes have.
        let _ = if SNAPSHOTS {
            self.paxos.snapshot(Some(applied), true)
        } else {
            self.paxos.trim(None)
        };
    }

    fn show(&self) {
        let promise = self.paxos.get_promise();
        let role =
            match self.paxos.get_current_leader() {
                Some((leader, is_accepted)) if leader == u64::from(self.cx.id().0) => {
                    if is_accepted { Role::Leader } else { Role::Candidate }
                }
                _ => Role::Follower,
            };
        let (term, applied) = (u64::from(promise.n), self.applied.borrow().entries as u64);
        self.cx.observe(NodeStatus { role, term, applied, restoring: false });
    }
}

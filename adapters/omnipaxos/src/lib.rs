//! A key-value store over omnipaxos: reads and changes stand in one log, and are done in its order.
//!
//! What the library taught: `Storage` is synchronous and means what it has returned from to be on disk. A
//! simulated disk, as a real one, takes its time. So the log is written at once and synced before anything leaves
//! the node: messages, answers, and what others may see of its state.
//!
//! The log is kept short in one of three ways (`settings = { compaction = "…" }`). By `trim`, which is the usual
//! one, nodes tell each other how much they know to be decided, the leader has all forget what all know, and the
//! store keeps the state that it led to. By `trim-accepted`, the library says how much that is; by `snapshot`, it
//! keeps snapshots. Version 0.2.4 then loses and repeats what was decided (docs/adapters.md).

mod storage;

use std::cell::RefCell;
use std::collections::BTreeMap;
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
/// How often nodes tell each other how much is decided.
const TELL: Duration = Duration::from_millis(250);
/// After how many decided entries the log is made shorter.
const COMPACTED_ENTRIES: usize = 100;

/// The mistakes that the store can make.
pub const MISTAKES: [&str; 2] = ["no-sync", "local-reads"];

/// The store.
#[derive(Clone, Copy, Debug, Default)]
pub struct OmniPaxosKv {
    settings: Settings,
    compaction: Compaction,
}

/// How the log is kept short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Compaction {
    /// What all nodes know to be decided is forgotten.
    #[default]
    Trim,
    /// What the library takes for forgettable is.
    TrimAccepted,
    /// The library keeps a snapshot.
    Snapshot,
}

impl Compaction {
    const ALL: [(&'static str, Compaction); 3] = [
        ("trim", Compaction::Trim),
        ("trim-accepted", Compaction::TrimAccepted),
        ("snapshot", Compaction::Snapshot),
    ];
}

impl System for OmniPaxosKv {
    fn configure(&mut self, settings: &stormglass::system::Settings) -> Result<(), String> {
        let mut rest = settings.clone();
        if let Some(way) = rest.remove("compaction") {
            let named = Compaction::ALL.iter().find(|(name, _)| way.as_str() == Some(*name));
            let there_are = Compaction::ALL.map(|(name, _)| name).join(", ");
            let (_, compaction) =
                named.ok_or_else(|| format!("compaction = {way}; there are {there_are}"))?;
            self.compaction = *compaction;
        }
        self.settings = Settings::read(&rest, &MISTAKES)?;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        // What is lost and repeated, any checker of what keys hold may see.
        let is_sound = self.compaction == Compaction::Trim;
        let claim = |guarantee| match guarantee {
            _ if is_sound || guarantee == Guarantee::Live => Claim::Holds,
            Guarantee::Linearizable => Claim::Breaks,
            _ => Claim::Silent,
        };
        // Of a transaction, no piece of the log alone says what it does.
        let offered = |op: &OpKind| self.compaction != Compaction::Snapshot || *op != OpKind::Txn;
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

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        kit::manifest_under(nemeses, self.manifest())
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        match self.compaction {
            Compaction::Snapshot => Box::pin(live::<true>(cx, *self)),
            Compaction::Trim | Compaction::TrimAccepted => Box::pin(live::<false>(cx, *self)),
        }
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session::new(cx))
    }
}

async fn live<const SNAPSHOTS: bool>(cx: NodeCx, system: OmniPaxosKv) -> String {
    match Node::<SNAPSHOTS>::start(cx, system).await {
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

/// What nodes say to each other.
#[derive(Serialize, Deserialize)]
enum Frame<const SNAPSHOTS: bool> {
    /// What the library says.
    Word(Box<Word<Entry<SNAPSHOTS>>>),
    /// So many entries are known to be decided.
    Decided(usize),
}

struct Node<const SNAPSHOTS: bool> {
    cx: NodeCx,
    system: OmniPaxosKv,
    mesh: Mesh,
    log: Log<SNAPSHOTS>,
    paxos: OmniPaxos<Entry<SNAPSHOTS>, Log<SNAPSHOTS>>,
    /// How much each node knows to be decided, as far as it has told this one.
    decided: BTreeMap<NodeId, usize>,
    /// The log has it too, to keep it when its beginning is trimmed.
    applied: Rc<RefCell<Applied>>,
    pending: Pending,
    /// What is answered once all that led to it lasts.
    answers: Vec<(Asked, Answer)>,
}

impl<const SNAPSHOTS: bool> Node<SNAPSHOTS> {
    async fn start(cx: NodeCx, system: OmniPaxosKv) -> io::Result<Node<SNAPSHOTS>> {
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
        let decided = cx.nodes().into_iter().map(|id| (id, 0)).collect();
        Ok(Node { cx, system, mesh, log, paxos, decided, applied, pending, answers })
    }

    async fn live(mut self) -> io::Result<()> {
        let mut tick_at = self.cx.now() + TICK;
        let mut tell_at = self.cx.now() + TELL;
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
            if !self.system.settings.makes("no-sync") {
                self.log.sync().await?;
            }
            for word in outgoing.drain(..) {
                let to = u32::try_from(word.get_receiver()).expect("nodes have small numbers");
                self.mesh.send(NodeId(to), &kit::json(&Frame::Word(Box::new(word))));
            }
            if self.system.compaction == Compaction::Trim && self.cx.now() >= tell_at {
                // What is told was synced: it is still known after a restart.
                self.tell_decided();
                tell_at = self.cx.now() + TELL;
            }
            for (asked, answer) in std::mem::take(&mut self.answers) {
                self.pending.answer(asked, &answer);
            }
            self.show();
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Node(from, bytes) => {
                match serde_json::from_slice(&bytes).expect("nodes speak JSON") {
                    Frame::Word(word) => self.paxos.handle_incoming(*word),
                    Frame::Decided(entries) => {
                        self.decided.insert(from, entries);
                    }
                }
            }
            Arrival::Connected(id) => self.paxos.reconnected(u64::from(id.0)),
            Arrival::Lost(_) => {}
            Arrival::Client(message) => {
                let request: Request =
                    serde_json::from_slice(&message.bytes).expect("clients speak JSON");
                let command = self.pending.command(message, request);
                let is_local =
                    self.system.settings.makes("local-reads") || command.request.is_local();
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
                    // A piece does not know which requests were done before it, and would do what others skip.
                    let outcome = if SNAPSHOTS {
                        Some(applied.store.keys.apply(&command.request.op))
                    } else {
                        applied.store.apply(&command.request)
                    };
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

    fn tell_decided(&mut self) {
        let entries = self.paxos.get_decided_idx();
        for node in self.cx.nodes() {
            self.mesh.send(node, &kit::json(&Frame::<SNAPSHOTS>::Decided(entries)));
        }
        self.decided.insert(self.cx.id(), entries);
    }

    fn compact(&mut self) {
        let known = self.decided.values().min().copied().unwrap_or_default();
        let upto = match self.system.compaction {
            Compaction::Trim => known,
            Compaction::TrimAccepted | Compaction::Snapshot => self.applied.borrow().entries,
        };
        if upto < self.paxos.get_compacted_idx() + COMPACTED_ENTRIES {
            return;
        }
        // What cannot be done now is done later: only a leader trims.
        let _ = match self.system.compaction {
            Compaction::Trim => self.paxos.trim(Some(known)),
            Compaction::TrimAccepted => self.paxos.trim(None),
            Compaction::Snapshot => self.paxos.snapshot(Some(upto), true),
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

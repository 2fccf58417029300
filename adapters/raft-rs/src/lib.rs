//! A key-value store over raft-rs: changes stand in its log, and reads ask a majority whether the leader still leads.
//!
//! What the library taught: it does nothing by itself. All is in the order of [`Node::ready`]: what a leader says to
//! followers may leave before the log is synced, and what a follower says of itself may not.

mod log;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use kit::{Answer, Asked, Command, Pending, Player, Request, Session, Settings};
use log::{Applied, Log};
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message as Word, MessageType};
use raft::{Config, RawNode, SnapshotStatus, StateRole};
use stormglass::prelude::*;

/// The mistakes that the store can make.
pub const MISTAKES: [&str; 2] = ["no-sync", "local-reads"];

/// How often the library is told that time has passed.
const TICK: Duration = Duration::from_millis(25);
/// Between one and two times as many ticks without a leader, a node stands for election.
const ELECTION_TICKS: usize = 16;
const HEARTBEAT_TICKS: usize = 3;
/// After how many entries that were done the log is made shorter.
const COMPACTED_ENTRIES: u64 = 100;

/// The store.
#[derive(Clone, Debug, Default)]
pub struct RaftRsKv {
    settings: Settings,
    player: Player,
}

impl RaftRsKv {
    /// The same, whose runs are played by another program, as a test needs it.
    #[must_use]
    pub fn played_by(program: &str) -> RaftRsKv {
        RaftRsKv { player: Player::Program(program.into()), ..RaftRsKv::default() }
    }

    /// The same, whose runs are all played in this process, where each depends on those before it.
    #[must_use]
    pub fn played_here() -> RaftRsKv {
        RaftRsKv { player: Player::Here, ..RaftRsKv::default() }
    }
}

impl System for RaftRsKv {
    fn configure(&mut self, settings: &stormglass::system::Settings) -> Result<(), String> {
        self.settings = Settings::read(settings, &MISTAKES)?;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            name: "raft-rs".to_owned(),
            about: "keys and values over the log of raft-rs 0.7.0".to_owned(),
            nodes: (3, 5),
            ops: kit::OPS.to_vec(),
            claims: kit::CLAIMED.map(|guarantee| (guarantee, Claim::Holds)).to_vec(),
            replica_claims: vec![],
            timing: kit::TIMING,
        }
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        kit::manifest_under(nemeses, self.manifest())
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let settings = self.settings;
        Box::pin(async move {
            match Node::start(cx, settings).await {
                Ok(node) => node.live().await.expect_err("only a disk ends it").to_string(),
                Err(error) => error.to_string(),
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session::new(cx))
    }

    fn program(&self) -> Option<PathBuf> {
        self.player.program()
    }
}

struct Node {
    cx: NodeCx,
    settings: Settings,
    mesh: Mesh,
    log: Log,
    raft: RawNode<Log>,
    /// The log has it too, to make snapshots of it.
    applied: Rc<RefCell<Applied>>,
    pending: Pending,
    /// Reads that wait for a majority to say that the leader leads.
    reads: BTreeMap<u64, (Asked, Key)>,
    /// Those that wait until everything up to this entry was done, besides.
    confirmed: Vec<(u64, Asked, Key)>,
}

impl Node {
    async fn start(cx: NodeCx, settings: Settings) -> io::Result<Node> {
        kit::entropy::seed(&cx);
        let log = Log::open(&cx).await?;
        let applied = log.applied();
        let config = Config {
            id: u64::from(cx.id().0),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: applied.borrow().index,
            max_size_per_msg: 64 << 10,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&config, log.clone(), &logger).map_err(io::Error::other)?;
        let (mesh, pending) = (Mesh::new(&cx, Patience::default()), Pending::new(&cx));
        let (reads, confirmed) = (BTreeMap::new(), Vec::new());
        Ok(Node { cx, settings, mesh, log, raft, applied, pending, reads, confirmed })
    }

    async fn live(mut self) -> io::Result<()> {
        let mut tick_at = self.cx.now() + TICK;
        loop {
            let left = tick_at.since(self.cx.now());
            let mut arrival = self.mesh.recv_within(left).await;
            while let Some(arrived) = arrival {
                self.take(arrived);
                arrival = self.mesh.try_recv();
            }
            if self.cx.now() >= tick_at {
                self.raft.tick();
                tick_at = self.cx.now() + TICK;
            }
            while self.raft.has_ready() {
                self.ready().await?;
            }
            let applied = self.applied.borrow().index;
            if applied >= self.log.compacted() + COMPACTED_ENTRIES {
                self.log.compact().await?;
            }
            self.show();
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Node(_, bytes) => {
                let word = Word::parse_from_bytes(&bytes).expect("nodes speak the protocol");
                // What is not meant for this node, or too old, is refused.
                let _ = self.raft.step(word);
            }
            Arrival::Lost(id) => {
                let id = u64::from(id.0);
                self.raft.report_unreachable(id);
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
            }
            Arrival::Connected(_) => {}
            Arrival::Client(message) => {
                let request: Request =
                    serde_json::from_slice(&message.bytes).expect("clients speak JSON");
                let command = self.pending.command(message, request);
                self.serve(command);
            }
        }
    }

    fn serve(&mut self, command: Command) {
        let Command { asked, request } = &command;
        match &request.op {
            Op::Read { key, .. } if request.is_local() || self.settings.makes("local-reads") => {
                self.answer_read(*asked, key);
            }
            Op::Read { key, .. } => {
                self.reads.insert(asked.number, (*asked, key.clone()));
                self.raft.read_index(asked.number.to_le_bytes().to_vec());
            }
            _ => {
                if self.raft.propose(Vec::new(), kit::json(&command)).is_err() {
                    // Nobody leads, and it was dropped.
                    self.pending.answer(*asked, &Answer::Elsewhere(None));
                }
            }
        }
    }

    fn answer_read(&mut self, asked: Asked, key: &Key) {
        let value = self.applied.borrow().store.keys.get(key);
        self.pending.answer(asked, &Answer::Ended(Outcome::Ok(Ret::Value(value))));
    }

    /// Does what the library has ready, in the order that it asks for.
    async fn ready(&mut self) -> io::Result<()> {
        let mut ready = self.raft.ready();
        self.send(ready.take_messages());
        if !ready.snapshot().is_empty() {
            self.log.install(ready.snapshot())?;
        }
        self.apply(ready.take_committed_entries());
        for entry in ready.entries() {
            self.log.append(entry)?;
        }
        if let Some(state) = ready.hs() {
            self.log.set_state(state)?;
        }
        if (ready.must_sync() || !ready.snapshot().is_empty()) && !self.settings.makes("no-sync") {
            self.log.sync().await?;
        }
        self.send(ready.take_persisted_messages());
        for state in ready.take_read_states() {
            let number = state.request_ctx.try_into().map(u64::from_le_bytes);
            let number = number.expect("it is what the node gave");
            if let Some((asked, key)) = self.reads.remove(&number) {
                self.confirmed.push((state.index, asked, key));
            }
        }
        let mut light = self.raft.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.log.set_commit(commit)?;
        }
        self.send(light.take_messages());
        self.apply(light.take_committed_entries());
        self.raft.advance_apply();
        let applied = self.applied.borrow().index;
        for (_, asked, key) in
            self.confirmed.extract_if(.., |(index, ..)| *index <= applied).collect::<Vec<_>>()
        {
            self.answer_read(asked, &key);
        }
        Ok(())
    }

    fn send(&mut self, words: Vec<Word>) {
        for word in words {
            let to = NodeId(u32::try_from(word.to).expect("nodes have small numbers"));
            let bytes = word.write_to_bytes().expect("words can be written");
            self.mesh.send(to, &bytes);
            if word.get_msg_type() == MessageType::MsgSnapshot {
                self.raft.report_snapshot(word.to, SnapshotStatus::Finish);
            }
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let mut applied = self.applied.borrow_mut();
            (applied.index, applied.term) = (entry.index, entry.term);
            // A new leader begins with an empty entry.
            if entry.data.is_empty() {
                continue;
            }
            let command: Command = serde_json::from_slice(&entry.data).expect("it was written so");
            if let Some(outcome) = applied.store.apply(&command.request) {
                self.pending.answer(command.asked, &Answer::Ended(outcome));
            }
        }
    }

    fn show(&self) {
        let role = match self.raft.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower => Role::Follower,
        };
        let (term, applied) = (self.raft.raft.term, self.applied.borrow().index);
        self.cx.observe(NodeStatus { role, term, applied, restoring: false });
    }
}

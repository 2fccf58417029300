//! A key-value store over openraft: changes stand in its log, and a leader asks a majority whether it still leads
//! before it answers a read.
//!
//! What the library taught: its tasks run wherever they are spawned, so that the feature `singlethreaded` keeps
//! them on the node that they belong to, where a crash ends them and a pause stops them. `ForwardToLeader` is no
//! proof that nothing was done: an entry of a leader that has been replaced may still be committed. How far entries
//! were committed must last, although to keep it is optional: see `save_committed`. Snapshots are built beside
//! everything else, also while one is installed. And it draws its election timeouts from the operating system, so
//! that each run has a process of its own.

mod log;
mod machine;
mod network;

use std::io::{self, Cursor};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kit::{Answer, Player, Request, Session, Settings};
use log::{Log, Mistakes};
use machine::Machine;
use network::{Network, Wire};
use openraft::error::{ClientWriteError, RaftError};
use openraft::impls::BasicNode;
use openraft::{Config, Raft, ServerState, SnapshotPolicy};
use stormglass::prelude::*;

/// The mistakes that the store can make.
pub const MISTAKES: [&str; 3] = ["no-sync", "local-reads", "no-committed"];

/// How long the node waits for something to happen before it shows again how it stands.
const LOOK: Duration = Duration::from_millis(50);

openraft::declare_raft_types!(
    /// What stands in the log, and what doing it answers: nothing for a copy of what was done.
    pub(crate) Types: D = Request, R = Option<Outcome>
);

/// The store.
#[derive(Clone, Debug, Default)]
pub struct OpenRaftKv {
    settings: Settings,
    player: Player,
}

impl OpenRaftKv {
    /// The same, whose runs are played by another program, as a test needs it.
    #[must_use]
    pub fn played_by(program: &str) -> OpenRaftKv {
        OpenRaftKv { player: Player::Program(program.into()), ..OpenRaftKv::default() }
    }

    /// The same, whose runs are all played in this process, where each depends on those before it.
    #[must_use]
    pub fn played_here() -> OpenRaftKv {
        OpenRaftKv { player: Player::Here, ..OpenRaftKv::default() }
    }
}

impl System for OpenRaftKv {
    fn configure(&mut self, settings: &stormglass::system::Settings) -> Result<(), String> {
        self.settings = Settings::read(settings, &MISTAKES)?;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            name: "openraft".to_owned(),
            about: "keys and values over the log of openraft 0.9.25".to_owned(),
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
            match live(cx, settings).await {
                Ok(()) => unreachable!("it lives for ever"),
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

fn config() -> Config {
    Config {
        cluster_name: "openraft".to_owned(),
        heartbeat_interval: 75,
        election_timeout_min: 400,
        election_timeout_max: 800,
        // Small enough that a run of some seconds takes several snapshots and has nodes come back behind the log.
        snapshot_policy: SnapshotPolicy::LogsSinceLast(100),
        max_in_snapshot_log_to_keep: 20,
        purge_batch_size: 1,
        replication_lag_threshold: 100,
        // Far below the longest message of the simulated network, as JSON.
        snapshot_max_chunk_size: 64 << 10,
        ..Config::default()
    }
}

/// One start of a node.
#[derive(Clone)]
struct Node {
    cx: NodeCx,
    settings: Settings,
    raft: Raft<Types>,
    machine: Machine,
    wire: Rc<Wire>,
}

async fn live(cx: NodeCx, settings: Settings) -> io::Result<()> {
    kit::entropy::seed(&cx);
    let mistakes = Mistakes {
        never_syncs: settings.makes("no-sync"),
        forgets_committed: settings.makes("no-committed"),
    };
    let log = Log::open(&cx, mistakes).await?;
    let machine = Machine::open(&cx).await?;
    let wire = Rc::new(Wire::new(&cx));
    let config = Arc::new(config().validate().map_err(io::Error::other)?);
    let (id, network) = (u64::from(cx.id().0), Network(wire.clone()));
    let raft = Raft::new(id, config, network, log, machine.clone()).await;
    let node = Node { raft: raft.map_err(io::Error::other)?, cx, settings, machine, wire };
    // All begin with the same members; whoever has a log refuses.
    let members = node.cx.nodes().into_iter().map(|id| (u64::from(id.0), BasicNode::default()));
    let members: std::collections::BTreeMap<u64, BasicNode> = members.collect();
    let _ = node.raft.initialize(members).await;
    node.run().await
}

impl Node {
    async fn run(self) -> io::Result<()> {
        let mut mesh = Mesh::new(&self.cx, Patience::default());
        loop {
            let arrival = tokio::select! {
                biased;
                arrival = mesh.recv_within(LOOK) => arrival,
                () = self.wire.has_outgoing() => None,
            };
            match arrival {
                Some(Arrival::Node(from, bytes)) => self.wire.take(&self, from, &bytes),
                Some(Arrival::Lost(from)) => self.wire.lose(from),
                Some(Arrival::Client(message)) => self.serve(message),
                Some(Arrival::Connected(_)) | None => {}
            }
            for (to, bytes) in self.wire.outgoing() {
                mesh.send(to, &bytes);
            }
            self.show()?;
        }
    }

    fn serve(&self, message: Message) {
        let node = self.clone();
        self.cx.spawn(async move {
            let request: Request =
                serde_json::from_slice(&message.bytes).expect("clients speak JSON");
            if let Some(answer) = node.answer(request).await {
                node.cx.reply(&message, &kit::json(&answer));
            }
        });
    }

    /// What a client is answered, by this node or by the leader; nothing where that is not known, or where the
    /// request is a copy of one that was done.
    async fn answer(&self, request: Request) -> Option<Answer> {
        let leader = self.leader();
        match &request.op {
            Op::Read { key, .. } if request.is_local() || self.settings.makes("local-reads") => {
                Some(Answer::Ended(Outcome::Ok(Ret::Value(self.machine.get(key)))))
            }
            _ if leader.is_none_or(|leader| leader == self.cx.id()) => {
                self.answer_as_leader(request).await
            }
            _ => self.wire.forward(leader.expect("it was looked at"), request).await,
        }
    }

    /// The same, if this node leads.
    async fn answer_as_leader(&self, request: Request) -> Option<Answer> {
        if self.leader() != Some(self.cx.id()) {
            // It was not given to the library: nothing will come of it.
            return Some(self.elsewhere());
        }
        if let Op::Read { key, .. } = &request.op {
            if self.raft.ensure_linearizable().await.is_err() {
                return Some(self.elsewhere());
            }
            return Some(Answer::Ended(Outcome::Ok(Ret::Value(self.machine.get(key)))));
        }
        match self.raft.client_write(request).await {
            Ok(written) => written.data.map(Answer::Ended),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                let words = "the leader was replaced before the entry was committed";
                Some(Answer::Ended(Outcome::Info(Reason::Other(words.into()))))
            }
            Err(error) => {
                Some(Answer::Ended(Outcome::Info(Reason::Other(error.to_string().into()))))
            }
        }
    }

    /// Who leads, as far as the node knows.
    fn leader(&self) -> Option<NodeId> {
        let leader = self.raft.metrics().borrow().current_leader;
        leader.map(|id| NodeId(u32::try_from(id).expect("nodes have small numbers")))
    }

    fn elsewhere(&self) -> Answer {
        let leader = self.leader().filter(|leader| *leader != self.cx.id());
        Answer::Elsewhere(leader.map(|leader| leader.0))
    }

    fn show(&self) -> io::Result<()> {
        let metrics = self.raft.metrics().borrow().clone();
        metrics.running_state.map_err(io::Error::other)?;
        let role = match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            _ => Role::Follower,
        };
        let applied = metrics.last_applied.map_or(0, |id| id.index);
        let term = metrics.current_term;
        self.cx.observe(NodeStatus { role, term, applied, restoring: false });
        Ok(())
    }
}

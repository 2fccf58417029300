//! The reference store as a system under test: a replication mode is a system.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{NodeId, Op, OpKind, Outcome, Reason, SessionId};
use rand_chacha::ChaCha8Rng;
use reference_db::client::{Policy, ReplicaReads};
use reference_db::env::{self, ClientEnv, ClientId, Env};
use reference_db::mark::Mark;
use reference_db::mode::Mode;
use reference_db::protocol::leaderless::siblings::Conflicts;
use reference_db::protocol::raft::StrongReads;
use reference_db::protocol::{Timing as NodeTiming, leaderless, multi_leader as multi};
use reference_db::server::ServerConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{
    Claim, Client, ClientCx, Effect, Excess, Fault, LocalBoxFuture, Manifest, Membership, NodeCx,
    NodeStatus, Operator, Question, Role, Settings, System, Timing,
};
use crate::sim::{Address, Disk};
use crate::written;

mod budget;
pub(super) mod multi_leader;
mod operator;
pub(crate) mod values;

use self::values::{command_of, learned};

/// Timing of the nodes, in proportion to the latencies of the simulated network (5 to 50 ms): an
/// election timeout spans several round trips.
const NODES: NodeTiming =
    NodeTiming { heartbeat: Duration::from_millis(75), election: Duration::from_millis(400) };

/// Small enough that a run of some seconds takes several snapshots and has nodes come back behind
/// the log's start.
const CONFIG: ServerConfig = ServerConfig {
    timing: NODES,
    snapshot_entries: 100,
    sessions_max: 256,
    strong_reads: StrongReads::ReadIndex,
    leaderless: leaderless::Settings::DEFAULT,
    multi_leader: multi::Settings::DEFAULT,
};

/// How long the store takes, as plans and faults see it.
const TIMING: Timing = Timing {
    // Noticing that a leader is silent takes up to two election timeouts, and so does an election that
    // splits its votes.
    failover: Duration::from_millis(2500),
    converge: Duration::from_millis(3000),
    operation: OPERATION,
};

/// How long a client waits for a node before it asks again.
const ATTEMPT: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(50);
/// How long a client waits for an answer in all.
const OPERATION: Duration = Duration::from_millis(1500);

/// What sessions are promised, where everybody sees one order of changes.
const SESSIONS: [Guarantee; 5] = [
    Guarantee::ReadYourWrites,
    Guarantee::MonotonicReads,
    Guarantee::MonotonicWrites,
    Guarantee::WritesFollowReads,
    Guarantee::Causal,
];

/// What transactions are promised, where nothing comes between their steps and nothing is lost.
const TRANSACTIONS: [Guarantee; 5] = [
    Guarantee::Bank,
    Guarantee::LongFork,
    Guarantee::ReadCommitted,
    Guarantee::SnapshotIsolation,
    Guarantee::Serializable,
];

pub(super) fn raft() -> Box<dyn System> {
    Box::new(Ordered::new(
        Mode::Raft,
        "every change goes through a consensus log; reads by read-index, lease, or at followers",
    ))
}

pub(super) fn primary_sync() -> Box<dyn System> {
    let about = "one leader that waits for all followers; Raft elects and fences it";
    Box::new(Ordered::new(Mode::PrimarySync, about))
}

pub(super) fn primary_semi_sync() -> Box<dyn System> {
    let about = "one leader that waits for one follower, which is replaced where it fails";
    Box::new(Ordered::new(Mode::PrimarySemiSync, about))
}

pub(super) fn primary_async() -> Box<dyn System> {
    let about = "one leader that does not wait for its followers; Raft elects and fences it";
    Box::new(Ordered::new(Mode::PrimaryAsync, about))
}

/// What can be asked where one log orders all changes.
const OFFERED: [OpKind; 12] = [
    OpKind::Read,
    OpKind::Write,
    OpKind::Cas,
    OpKind::Delete,
    OpKind::Add,
    OpKind::Remove,
    OpKind::Increment,
    OpKind::Append,
    OpKind::Enqueue,
    OpKind::Dequeue,
    OpKind::Generate,
    OpKind::Txn,
];

/// A mode of the reference store in which one log orders all changes.
struct Ordered {
    mode: Mode,
    about: &'static str,
    replica_reads: ReplicaReads,
    reads: StrongReads,
}

/// What such a mode takes from a plan.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct OrderedSettings {
    replica_reads: ReplicaReads,
    reads: Option<StrongReads>,
}

impl Ordered {
    fn new(mode: Mode, about: &'static str) -> Ordered {
        let (replica_reads, reads) = (ReplicaReads::Sticky, StrongReads::ReadIndex);
        Ordered { mode, about, replica_reads, reads }
    }

    /// Whether nothing that was acknowledged is lost with a leader.
    fn keeps(&self) -> bool {
        self.mode != Mode::PrimaryAsync
    }

    fn claims(&self, nemeses: &[String]) -> Vec<(Guarantee, Claim)> {
        let keeps = self.keeps();
        // A client that says what it has seen is not answered from a state without that; otherwise
        // what was lost with a primary, nobody misses.
        let in_order = keeps || self.replica_reads == ReplicaReads::Session;
        let when = |holds| if holds { Claim::Holds } else { Claim::Breaks };
        let available = match self.mode {
            // One node that is down stops changes.
            Mode::PrimarySync => Claim::Breaks,
            // A majority may be without the two nodes that have everything.
            Mode::PrimarySemiSync => Claim::Silent,
            Mode::Raft
            | Mode::PrimaryAsync
            | Mode::MultiLeader
            | Mode::Leaderless
            | Mode::LeaderlessAbd => Claim::Holds,
        };
        let mut claims = vec![(Guarantee::Linearizable, when(keeps))];
        claims.extend(SESSIONS.map(|guarantee| (guarantee, when(in_order))));
        if keeps {
            claims.push((Guarantee::BoundedStaleness, Claim::Holds));
        }
        claims.extend([
            (Guarantee::Durable, when(keeps)),
            (Guarantee::Convergent, Claim::Holds),
            (Guarantee::Live, Claim::Holds),
            (Guarantee::Available, available),
            // What is lost with a primary, some read may have shown.
            (Guarantee::Set, when(keeps)),
            (Guarantee::Counter, when(keeps)),
            (Guarantee::Queue, when(keeps)),
            (Guarantee::UniqueIds, when(keeps)),
            (Guarantee::StrictSerializable, when(keeps)),
        ]);
        if keeps {
            claims.extend(TRANSACTIONS.map(|guarantee| (guarantee, Claim::Holds)));
        }
        for (guarantee, claim) in &mut claims {
            *claim = self.reading(*guarantee, *claim, nemeses);
        }
        if self.mode == Mode::PrimarySemiSync && wipes_several(nemeses) {
            // Both that have everything may be among them. Then what only they had is gone, and nobody
            // may lead.
            for (guarantee, claim) in &mut claims {
                *claim = match guarantee {
                    Guarantee::Durable | Guarantee::Live => Claim::Breaks,
                    _ => Claim::Silent,
                };
            }
        }
        for (guarantee, claim) in &mut claims {
            *claim = unless_forgotten(*guarantee, *claim, nemeses);
        }
        claims
    }

    /// What becomes of a claim by the way in which strong reads are answered.
    fn reading(&self, guarantee: Guarantee, claim: Claim, nemeses: &[String]) -> Claim {
        let by_reads = guarantee == Guarantee::Linearizable
            || guarantee == Guarantee::BoundedStaleness
            || SESSIONS.contains(&guarantee);
        match self.reads {
            StrongReads::ReadIndex | StrongReads::Follower => claim,
            // A lease is no longer than the clocks are right.
            StrongReads::Lease if falsifies_clocks(nemeses) && by_reads => {
                if guarantee == Guarantee::Linearizable { Claim::Breaks } else { Claim::Silent }
            }
            StrongReads::Lease => claim,
            StrongReads::Stale if by_reads => Claim::Breaks,
            StrongReads::Stale => claim,
        }
    }
}

/// The names of the rare states of a mode.
fn marks_of(mode: Mode) -> Vec<&'static str> {
    Mark::of(mode).into_iter().map(Mark::name).collect()
}

/// What a rare state is, in words that follow the name of a node.
fn mark_in_words(mark: &str) -> Option<&'static str> {
    mark.parse().ok().map(Mark::words)
}

/// Whether a nemesis is among those of a run.
fn is_among(nemeses: &[String], name: &str) -> bool {
    nemeses.iter().any(|nemesis| nemesis == name)
}

/// Whether clocks may be wrong by more than any system can allow for.
fn falsifies_clocks(nemeses: &[String]) -> bool {
    is_among(nemeses, "clock")
}

/// Whether disks may be lost, one at a time: they are taken, or so damaged that their nodes notice.
fn wipes(nemeses: &[String]) -> bool {
    is_among(nemeses, "wipe") || is_among(nemeses, "bit-flip")
}

/// What becomes of a claim where disks may forget what they have said they keep. No node can notice, and
/// whoever was promised something by one that has forgotten it counts on it still.
fn unless_forgotten(guarantee: Guarantee, claim: Claim, nemeses: &[String]) -> Claim {
    let forgets = is_among(nemeses, "lost-writes") || is_among(nemeses, "rollback");
    match (guarantee, claim) {
        _ if !forgets => claim,
        (Guarantee::Durable, _) | (Guarantee::Linearizable, Claim::Breaks) => Claim::Breaks,
        _ => Claim::Silent,
    }
}

/// Whether several disks may be lost at once.
fn wipes_several(nemeses: &[String]) -> bool {
    is_among(nemeses, "wipe-minority")
}

impl System for Ordered {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        let read: OrderedSettings = parsed(settings)?;
        if read.reads.is_some() && self.mode != Mode::Raft {
            return Err(format!(
                "`reads` is no setting of `{}`: only `raft` answers reads in more than one way",
                self.mode
            ));
        }
        self.replica_reads = read.replica_reads;
        self.reads = read.reads.unwrap_or_default();
        Ok(())
    }

    fn majority_suffices(&self, nodes: u32) -> bool {
        match self.mode {
            Mode::Raft | Mode::PrimaryAsync => true,
            // It waits for two in particular, of whom one may be away and be replaced, and not both.
            Mode::PrimarySemiSync => minority(nodes) <= 1,
            // The others wait for all nodes.
            _ => false,
        }
    }

    fn manifest(&self) -> Manifest {
        self.manifest_under(&[])
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        let session = self.replica_reads == ReplicaReads::Session;
        Manifest {
            name: self.mode.name().to_owned(),
            about: self.about.to_owned(),
            nodes: (1, 9),
            ops: OFFERED.to_vec(),
            claims: self.claims(nemeses),
            replica_claims: if session { SESSIONS.to_vec() } else { Vec::new() },
            timing: TIMING,
        }
    }

    fn exceeded_by(&self, _: &Fault, effect: &Effect, nodes: u32) -> Option<Excess> {
        budget::of_a_log(self.mode, effect, nodes)
    }

    fn marks(&self) -> Vec<&'static str> {
        marks_of(self.mode)
    }

    fn mark_in_words(&self, mark: &str) -> Option<&'static str> {
        mark_in_words(mark)
    }

    fn waits_by_tokio(&self) -> bool {
        false
    }

    fn message_names(&self) -> Vec<&'static str> {
        self.mode.message_names()
    }

    fn message_name(&self, bytes: &[u8]) -> Option<&'static str> {
        self.mode.message_name(bytes)
    }

    fn question(&self, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
        question(self.mode, bytes, client)
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        run_node(self.mode, cx, ServerConfig { strong_reads: self.reads, ..CONFIG })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        client_of_store(cx, self.replica_reads, self.keeps())
    }

    fn membership(&self) -> Option<Membership> {
        Some(Membership { groups: 1, least: 3 })
    }

    fn operator(&self, cx: ClientCx) -> Option<Box<dyn Operator>> {
        Some(operator::of_store(cx))
    }
}

/// What a plan says to a mode, all settings of which may be left out.
fn parsed<T: DeserializeOwned>(settings: &Settings) -> Result<T, String> {
    for (key, value) in settings {
        let alone = Settings::from_iter([(key.clone(), value.clone())]);
        alone.try_into::<T>().map_err(|error| {
            let words = written::in_our_words(error.message());
            // What is wrong may be the name of the setting itself.
            let place = format!("`{key}`");
            if words.starts_with(&place) { words } else { format!("{place}: {words}") }
        })?;
    }
    settings.clone().try_into().map_err(|error| written::in_our_words(error.message()))
}

/// What a mode without a leader takes from a plan.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct LeaderlessSettings {
    replicas: Option<usize>,
    read_quorum: Option<usize>,
    write_quorum: Option<usize>,
    read_repair: Option<bool>,
    sloppy: bool,
    compare_and_set: bool,
    conflicts: Conflicts,
    sets: bool,
}

impl LeaderlessSettings {
    /// How many nodes take part in what, where that goes together.
    fn checked(&self, atomic: bool) -> Result<leaderless::Settings, String> {
        let replicas = self.replicas.unwrap_or(leaderless::Settings::DEFAULT.replicas);
        let majorities = leaderless::Settings::majorities(replicas);
        let settings = leaderless::Settings {
            replicas,
            read: self.read_quorum.unwrap_or(majorities.read),
            write: self.write_quorum.unwrap_or(majorities.write),
            atomic,
            read_repair: self.read_repair.unwrap_or(majorities.read_repair),
            sloppy: self.sloppy,
            compare_and_set: self.compare_and_set,
            conflicts: self.conflicts,
        };
        settings.check().map(|()| settings)
    }
}

pub(super) fn leaderless() -> Box<dyn System> {
    Box::new(WithoutLeader {
        name: "leaderless",
        about: "any node takes changes to some others; the later one wins, by hybrid clocks",
        settings: leaderless::Settings::DEFAULT,
        sets: false,
    })
}

pub(super) fn leaderless_abd() -> Box<dyn System> {
    Box::new(WithoutLeader {
        name: "leaderless-abd",
        about: "the same in two phases: changes ask first, reads write back; registers are atomic",
        settings: leaderless::Settings { atomic: true, ..leaderless::Settings::DEFAULT },
        sets: false,
    })
}

/// The modes of the reference store that have no leader.
struct WithoutLeader {
    name: &'static str,
    about: &'static str,
    settings: leaderless::Settings,
    /// Whether clients keep sets in registers where the later write wins: they read, change and write.
    sets: bool,
}

impl WithoutLeader {
    /// Whether changes that did not know of each other stand side by side.
    fn keeps_siblings(&self) -> bool {
        self.settings.conflicts == Conflicts::Siblings
    }

    fn offered(&self) -> Vec<OpKind> {
        if self.keeps_siblings() || self.sets {
            // A register that holds several values is no register; a set can be put together.
            return vec![OpKind::Read, OpKind::Add, OpKind::Remove];
        }
        let cas = self.settings.compare_and_set;
        OpKind::REGISTER.into_iter().filter(|kind| cas || *kind != OpKind::Cas).collect()
    }

    /// What sets are promised.
    fn claims_of_sets(&self, meet: bool) -> Vec<(Guarantee, Claim)> {
        let leaderless::Settings { replicas, read, .. } = self.settings;
        let when = |holds| if holds { Claim::Holds } else { Claim::Breaks };
        // Where the later write wins, a set that was read, changed and written takes with it what others
        // have added since. Siblings are put together whenever they are met.
        let keeps = self.keeps_siblings();
        vec![
            // An element that is removed while another client writes the set comes back.
            (Guarantee::Linearizable, Claim::Breaks),
            (Guarantee::Durable, when(keeps)),
            (
                Guarantee::Set,
                // Where two reads need not meet, the second may miss what the first has shown, with luck.
                if keeps && meet && 2 * read <= replicas {
                    Claim::Silent
                } else {
                    when(keeps && meet)
                },
            ),
        ]
    }

    fn claims(&self, nemeses: &[String]) -> Vec<(Guarantee, Claim)> {
        let leaderless::Settings { replicas, read, write, atomic, sloppy, .. } = self.settings;
        let leaderless::Settings { read_repair, compare_and_set, .. } = self.settings;
        // Reading, comparing and writing is no compare-and-set.
        let linearizable = atomic && !compare_and_set;
        // Whoever reads meets one who has what was written before.
        let meet = read + write > replicas && !sloppy;
        let when = |holds| if holds { Claim::Holds } else { Claim::Breaks };
        let follows = match (linearizable, meet) {
            (true, _) => Claim::Holds,
            (false, false) => Claim::Breaks,
            (false, true) => Claim::Silent,
        };
        // With read repair, it takes more luck to go back than a campaign can count on.
        let goes_back = !atomic && !read_repair;
        // A wall clock that is ahead makes a change win over all that others make meanwhile.
        let later_wins = atomic || !falsifies_clocks(nemeses);
        // Of three replicas, two may be among the disks that a minority of five nodes loses at once. Of five or more, a minority
        // is lost that has no quorum, and who begins anew asks so many of the others that one has each change.
        let too_many_at_once = || replicas < 5 || write <= minority(replicas as u32) as usize;
        if wipes_several(nemeses) && too_many_at_once() || wipes(nemeses) && replicas < 3 {
            // Most replicas of a key may be among them, and the others do not tell what it was.
            return Vec::new();
        }
        // With no more nodes than replicas, nobody stands in: a majority must be a quorum by itself.
        let stands_in = sloppy && read.max(write) <= replicas / 2 + 1;
        let available = if stands_in { Claim::Holds } else { Claim::Silent };
        let common = [
            (Guarantee::Convergent, Claim::Holds),
            (Guarantee::Live, Claim::Holds),
            // Those that are connected may be without a quorum of some key's replicas.
            (Guarantee::Available, available),
        ];
        if wipes(nemeses) && write == 1 {
            // The one replica that has an acknowledged change may be among them.
            return common.to_vec();
        }
        let of_registers = [
            (Guarantee::Linearizable, when(linearizable)),
            (Guarantee::ReadYourWrites, when(meet && later_wins)),
            (Guarantee::MonotonicReads, if goes_back { Claim::Breaks } else { follows }),
            (Guarantee::MonotonicWrites, follows),
            (Guarantee::WritesFollowReads, follows),
            (Guarantee::Causal, follows),
            (Guarantee::Durable, when(later_wins)),
        ];
        let of_values = if self.keeps_siblings() || self.sets {
            self.claims_of_sets(meet)
        } else {
            of_registers.to_vec()
        };
        let mut claims = [of_values, common.to_vec()].concat();
        if sloppy && (wipes(nemeses) || wipes_several(nemeses)) {
            // What only stand-ins have is lost with the last of them: nobody gives it back to them.
            for (_, claim) in claims.iter_mut().filter(|(named, _)| *named == Guarantee::Durable) {
                *claim = Claim::Silent;
            }
        }
        for (guarantee, claim) in &mut claims {
            *claim = unless_forgotten(*guarantee, *claim, nemeses);
        }
        claims
    }
}

impl System for WithoutLeader {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        let read: LeaderlessSettings = parsed(settings)?;
        self.settings = read.checked(self.settings.atomic)?;
        self.sets = read.sets;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        self.manifest_under(&[])
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        let about = match self.settings.conflicts {
            Conflicts::Lww => self.about,
            Conflicts::Siblings => {
                "any node takes changes to some others; two that did not know of each other both stay"
            }
        };
        Manifest {
            name: self.name.to_owned(),
            about: about.to_owned(),
            nodes: (self.settings.replicas as u32, 9),
            ops: self.offered(),
            claims: self.claims(nemeses),
            replica_claims: Vec::new(),
            timing: TIMING,
        }
    }

    fn majority_suffices(&self, nodes: u32) -> bool {
        let leaderless::Settings { replicas, read, write, sloppy, .. } = self.settings;
        let away = minority(nodes) as usize;
        // Both quorums are there without them, and one of those who have acknowledged a change is not away. What a
        // stand-in has of it waits for those who are.
        away + read.max(write) <= replicas && away < write && !sloppy
    }

    fn exceeded_by(&self, _: &Fault, effect: &Effect, nodes: u32) -> Option<Excess> {
        budget::of_replicas(self.name, effect, nodes, self.settings.replicas as u32)
    }

    fn marks(&self) -> Vec<&'static str> {
        marks_of(self.name.parse().expect("it is called as its mode is"))
    }

    fn mark_in_words(&self, mark: &str) -> Option<&'static str> {
        mark_in_words(mark)
    }

    fn waits_by_tokio(&self) -> bool {
        false
    }

    fn message_names(&self) -> Vec<&'static str> {
        Mode::Leaderless.message_names()
    }

    fn message_name(&self, bytes: &[u8]) -> Option<&'static str> {
        Mode::Leaderless.message_name(bytes)
    }

    fn question(&self, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
        question(Mode::Leaderless, bytes, client)
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        run_node(Mode::Leaderless, cx, ServerConfig { leaderless: self.settings, ..CONFIG })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        let rewrites_sets = self.sets || self.keeps_siblings();
        client_with(cx, |policy| Policy { rewrites_sets, ..policy })
    }

    fn membership(&self) -> Option<Membership> {
        Some(Membership { groups: 1, least: self.settings.replicas as u32 })
    }

    fn operator(&self, cx: ClientCx) -> Option<Box<dyn Operator>> {
        Some(operator::of_store(cx))
    }
}

/// How many of so many nodes may be away at most while a majority of them remains.
fn minority(nodes: u32) -> u32 {
    nodes - budget::majority(nodes)
}

fn client_of_store(cx: ClientCx, replica_reads: ReplicaReads, remembered: bool) -> Box<dyn Client> {
    client_with(cx, |policy| Policy { replica_reads, remembered, ..policy })
}

fn question(mode: Mode, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
    let (named, number) = mode.question(bytes)?;
    let client = client.or(named.map(|named| SessionId(named.0 as u32)))?;
    Some(Question { client, number })
}

/// A client with a policy that differs from the usual one as `adjust` says.
fn client_with(cx: ClientCx, adjust: impl Fn(Policy) -> Policy) -> Box<dyn Client> {
    Box::new(store_client(cx, adjust))
}

fn store_client(cx: ClientCx, adjust: impl Fn(Policy) -> Policy) -> StoreClient {
    let home = cx.home();
    let usual = Policy {
        home: home.index() - 1,
        attempt: ATTEMPT,
        pause: PAUSE,
        roam: !cx.pinned(),
        stride: 1,
        rewrites_sets: false,
        replica_reads: ReplicaReads::Sticky,
        remembered: true,
    };
    let policy = match adjust(usual) {
        policy if cx.inspects() => {
            Policy { roam: false, replica_reads: ReplicaReads::Sticky, ..policy }
        }
        policy => policy,
    };
    let env = SimClient(Rc::new(cx));
    let client = reference_db::client::Client::new(env.clone(), policy);
    StoreClient { env, home, client }
}

fn run_node(mode: Mode, cx: NodeCx, config: ServerConfig) -> LocalBoxFuture<'static, String> {
    Box::pin(async move {
        let Err(error) = mode.serve(SimNode(cx), config).await;
        format!("{:#}", anyhow::Error::from(error))
    })
}

/// The simulated world as a node of the store sees it.
#[derive(Clone)]
struct SimNode(NodeCx);

fn to_env(id: NodeId) -> env::NodeId {
    env::NodeId(id.0)
}

impl Env for SimNode {
    type Disk = Disk;

    fn id(&self) -> env::NodeId {
        to_env(self.0.id())
    }

    fn nodes(&self) -> Vec<env::NodeId> {
        self.0.nodes().into_iter().map(to_env).collect()
    }

    fn spares(&self) -> Vec<env::NodeId> {
        self.0.spares().into_iter().map(to_env).collect()
    }

    fn restored(&self) -> bool {
        self.0.restored()
    }

    fn now(&self) -> env::Time {
        env::Time(self.0.now().as_nanos())
    }

    fn wall(&self) -> u64 {
        self.0.wall()
    }

    async fn sleep_until(&self, at: env::Time) {
        self.0.sleep_until(checkers::history::Time::from_nanos(at.0)).await;
    }

    fn send(&self, to: env::Address, bytes: Vec<u8>) {
        let to = match to {
            env::Address::Node(node) => Address::Node(NodeId(node.0)),
            env::Address::Client(client) => Address::Client(SessionId(client.0 as u32)),
        };
        self.0.send(to, &bytes);
    }

    async fn recv(&self) -> (env::Address, Vec<u8>) {
        let message = self.0.recv().await;
        (from_address(message.from), message.bytes)
    }

    fn try_recv(&self) -> Option<(env::Address, Vec<u8>)> {
        let message = self.0.try_recv()?;
        Some((from_address(message.from), message.bytes))
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        self.0.random(purpose).into_rng()
    }

    fn reseeded(&self) -> u32 {
        self.0.reseeded()
    }

    fn disk(&self) -> &Disk {
        self.0.disk()
    }

    fn observe(&self, status: env::Status) {
        let role = match status.role {
            env::Role::Follower => Role::Follower,
            env::Role::Candidate => Role::Candidate,
            env::Role::Leader => Role::Leader,
        };
        let env::Status { term, applied, restoring, .. } = status;
        self.0.observe(NodeStatus { role, term, applied, restoring });
    }

    fn decided(&self, client: env::ClientId, sequence: u64) {
        self.0.decided(Address::Client(SessionId(client.0 as u32)), Some(sequence));
    }

    fn reached(&self, mark: Mark) {
        self.0.reached(mark.name());
    }

    fn maybe(&self, whim: env::Whim) -> bool {
        self.0.maybe(whim.name())
    }
}

fn from_address(address: Address) -> env::Address {
    match address {
        Address::Node(node) => env::Address::Node(to_env(node)),
        Address::Client(client) => env::Address::Client(ClientId(client.0.into())),
    }
}

impl env::Disk for Disk {
    async fn list(&self) -> io::Result<Vec<String>> {
        Disk::list(self)
    }

    async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        Disk::read(self, file)
    }

    async fn append(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        Disk::append(self, file, bytes)
    }

    async fn write_at(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Disk::write_at(self, file, offset, bytes)
    }

    async fn truncate(&self, file: &str, len: u64) -> io::Result<()> {
        Disk::truncate(self, file, len)
    }

    async fn sync(&self, file: &str) -> io::Result<()> {
        Disk::sync(self, file).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Disk::rename(self, from, to)
    }

    async fn remove(&self, file: &str) -> io::Result<()> {
        Disk::remove(self, file)
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Disk::sync_dir(self).await
    }
}

/// The simulated world as a client of the store sees it.
#[derive(Clone)]
struct SimClient(Rc<ClientCx>);

impl ClientEnv for SimClient {
    fn nodes(&self) -> Vec<env::NodeId> {
        self.0.nodes().into_iter().map(to_env).collect()
    }

    fn now(&self) -> env::Time {
        env::Time(self.0.now().as_nanos())
    }

    async fn sleep_until(&self, at: env::Time) {
        self.0.sleep_until(checkers::history::Time::from_nanos(at.0)).await;
    }

    fn send(&self, to: env::NodeId, bytes: Vec<u8>) {
        self.0.send(NodeId(to.0), &bytes);
    }

    async fn recv(&self) -> (env::NodeId, Vec<u8>) {
        loop {
            let message = self.0.recv().await;
            if let Address::Node(from) = message.from {
                return (to_env(from), message.bytes);
            }
        }
    }
}

/// A client of the store, as a workload sees it.
struct StoreClient {
    env: SimClient,
    /// The node that it was told to turn to.
    home: NodeId,
    client: reference_db::client::Client<SimClient>,
}

impl Client for StoreClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(command) = command_of(op) else {
                return Outcome::Fail(Reason::Unsupported);
            };
            let home = self.env.0.home();
            if std::mem::replace(&mut self.home, home) != home {
                self.client.turn_to(home.index() - 1);
            }
            // A little before the harness would cut the operation off.
            let deadline = self.env.now() + (OPERATION - Duration::from_millis(10));
            learned(op, self.client.call(command, deadline).await)
        })
    }

    fn reset(&mut self) {
        self.client.abandon();
    }
}

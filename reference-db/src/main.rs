//! The reference store as a real server, and a client of it for the command line.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use stormglass_reference_db::client::{Answer, Client, Policy, ReplicaReads};
use stormglass_reference_db::env::{ClientEnv, Env, NodeId};
use stormglass_reference_db::kv::{Command, Datum, ReadLevel, Reply, Update};
use stormglass_reference_db::mode::Mode;
use stormglass_reference_db::protocol::multi_leader::conflicts::Conflicts;
use stormglass_reference_db::protocol::multi_leader::topology::Topology;
use stormglass_reference_db::protocol::raft::StrongReads;
use stormglass_reference_db::protocol::{Timing, leaderless, multi_leader};
use stormglass_reference_db::real::{Charter, Heard, OwnError, RealClient, RealNode, StartError};
use stormglass_reference_db::server::ServerConfig;
use stormglass_reference_db::wire::REQUEST_LEN_MAX;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// How many client sessions a node remembers.
const SESSIONS_MAX: usize = 4096;
/// How long a client waits for one node before it turns to the next.
const ATTEMPT: Duration = Duration::from_millis(500);
/// How long a client waits where no leader is known.
const PAUSE: Duration = Duration::from_millis(50);

/// A replicated key-value store, written to be tested.
#[derive(Debug, Parser)]
#[command(
    name = "stormglass-reference-db",
    version,
    after_help = "Exit codes:
  0  done
  1  it failed while it ran (no answer, a failing or damaged disk), or `cas` found another value
  2  bad usage: a flag, the list of nodes, a data folder that cannot be used or is in use, a port
     that is taken

Results go to the standard output, everything else to the standard error."
)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Runs a node until it is told to stop; prints `listening on ADDR` when it is ready
    #[command(
        after_help = "Limits: a request of a client is at most 1 MiB long, keys and values together. What nodes
tell each other at a time is at most 256 MiB long: so much may a node hold, if one that has lost its
disk, or is far behind, is to get it."
    )]
    Serve(Serve),
    /// Prints what a key holds, and nothing where it is absent; control characters as `\n` or `\u{1b}`,
    /// a backslash as `\\`
    Get {
        /// The key that is read
        key: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Makes a key hold a value
    Put {
        /// The key that is written
        key: String,
        /// What it holds afterwards
        value: String,
        /// Reads the key first, and replaces all values that stand side by side there (`serve --conflicts
        /// siblings`); without it, the new one stands beside them
        #[arg(long)]
        merge: bool,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Makes a key hold another value if it holds the one expected
    Cas {
        /// The key that is changed
        key: String,
        /// What it must hold
        from: String,
        /// What it holds afterwards
        to: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Lets a node in, which must be among the peers of all: `serve --spare`
    Admit {
        /// The node's number
        node: u32,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Lets a node go
    Dismiss {
        /// The node's number
        node: u32,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Makes a key absent
    Delete {
        /// The key that is emptied
        key: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Adds a number to a counter
    Increment {
        /// The counter; an absent key becomes one
        key: String,
        /// How much; a negative number counts down
        #[arg(allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Puts an element into a set
    Add {
        /// The set; an absent key becomes one
        key: String,
        /// The element
        element: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Takes an element out of a set
    Remove {
        /// The set
        key: String,
        /// The element
        element: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Puts an element at the end of a list
    Append {
        /// The list; an absent key becomes one
        key: String,
        /// The element
        element: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Makes another node the leader, in the mode `raft`
    Transfer {
        /// The number of the node
        to: u32,
        #[command(flatten)]
        cluster: Cluster,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// The node's number
    #[arg(long)]
    id: u32,
    /// Number and address of every node, this one included: `1=127.0.0.1:7001,2=…`. Addresses may
    /// change from start to start. Those without --spare are the nodes that the cluster begins with: a
    /// folder that was kept is refused where they are others than at its first start
    #[arg(long, value_delimiter = ',', required = true)]
    peers: Vec<Peer>,
    /// The folder with the node's files, made where there is none
    #[arg(long)]
    data: PathBuf,
    /// The cluster exists already: if the folder is empty, the node has lost what it had, and gets it
    /// from the others before it counts. Without it, an empty folder is that of a node which the
    /// cluster begins with
    #[arg(long)]
    join: bool,
    /// Numbers of nodes that --peers lists and the cluster does not begin with: `admit` lets them
    /// in, and they stay spare afterwards; the same for every node. A spare node is started with
    /// --join. Further ones may be added when nodes are started again
    #[arg(long, value_delimiter = ',')]
    spare: Vec<u32>,
    /// How changes are replicated: `raft`, `primary-sync`, `primary-semi-sync`, `primary-async`,
    /// `multi-leader`, `leaderless` or `leaderless-abd`; the same for every node, as is all below that
    /// never changes: nodes that have it otherwise do not talk to each other, and say so
    #[arg(long, default_value_t = Mode::Raft)]
    mode: Mode,
    /// How often a leader shows that it lives, in milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    heartbeat_ms: u64,
    /// After how long a silence nodes look for another leader, in milliseconds: they wait from
    /// this to twice this
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    election_ms: u64,
    /// How many log entries a node keeps before it takes a snapshot
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_entries: u64,
    /// With several leaders: over how many regions the nodes are spread, in turn; 3, or as many as there
    /// are nodes where there are fewer, where it is not given. It never changes
    #[arg(long)]
    regions: Option<usize>,
    /// With several leaders: which regions are linked; `all-to-all` where it is not given. It never changes
    #[arg(long)]
    topology: Option<Topology>,
    /// With several leaders, or without one: what becomes of changes that did not know of each other;
    /// `crdt` is for several leaders alone, and `lww` is where it is not given. It never changes
    #[arg(long)]
    conflicts: Option<Conflicts>,
    /// In the mode `raft`: how reads are answered: `read-index`, which is where it is not given, `lease`,
    /// `follower` or `stale`; the same for every node. `lease` counts on clocks whose rates are right to a tenth
    #[arg(long, value_parser = strong_reads)]
    reads: Option<StrongReads>,
    /// Without a leader: how many nodes hold each key (N); 3, or all where there are fewer, where it
    /// is not given. It never changes
    #[arg(long)]
    replicas: Option<usize>,
    /// Without a leader: how many must answer a read (R); a majority of N where it is not given
    #[arg(long)]
    read_quorum: Option<usize>,
    /// Without a leader: how many must have a change before it is acknowledged (W); a majority of N
    /// where it is not given
    #[arg(long)]
    write_quorum: Option<usize>,
    /// Without a leader: other nodes stand in for those that do not answer, and count
    #[arg(long)]
    sloppy: bool,
}

impl Serve {
    /// A flag that the mode has not would say nothing.
    fn check_flags(&self) -> anyhow::Result<()> {
        const LEADERS: &[Mode] = &[Mode::MultiLeader];
        const LEADERLESS: &[Mode] = &[Mode::Leaderless, Mode::LeaderlessAbd];
        const CONFLICTS: &[Mode] = &[Mode::MultiLeader, Mode::Leaderless, Mode::LeaderlessAbd];
        let flags = [
            ("--regions", self.regions.is_some(), LEADERS),
            ("--topology", self.topology.is_some(), LEADERS),
            ("--conflicts", self.conflicts.is_some(), CONFLICTS),
            ("--reads", self.reads.is_some(), &[Mode::Raft]),
            ("--replicas", self.replicas.is_some(), LEADERLESS),
            ("--read-quorum", self.read_quorum.is_some(), LEADERLESS),
            ("--write-quorum", self.write_quorum.is_some(), LEADERLESS),
            ("--sloppy", self.sloppy, LEADERLESS),
        ];
        for (flag, given, modes) in flags {
            if given && !modes.contains(&self.mode) {
                let names: Vec<&str> = modes.iter().map(|mode| mode.name()).collect();
                let (names, mode) = (names.join(", "), self.mode);
                bail!("{flag} is for mode {names}: mode {mode} has no such setting, leave it out");
            }
        }
        Ok(())
    }

    /// How many nodes take part in what, where the mode has no leader.
    fn leaderless(&self) -> anyhow::Result<leaderless::Settings> {
        let nodes = self.peers.len();
        let replicas = self.replicas.unwrap_or(nodes.min(3));
        if replicas > nodes {
            bail!("--replicas {replicas} is more than the {nodes} nodes that --peers lists");
        }
        let without_leader = matches!(self.mode, Mode::Leaderless | Mode::LeaderlessAbd);
        let conflicts = match self.conflicts.unwrap_or_default() {
            Conflicts::Crdt if without_leader => {
                bail!("--conflicts crdt is for mode multi-leader: use lww or siblings")
            }
            Conflicts::Lww | Conflicts::Crdt => leaderless::siblings::Conflicts::Lww,
            Conflicts::Siblings => leaderless::siblings::Conflicts::Siblings,
        };
        let majorities = leaderless::Settings::majorities(replicas);
        let settings = leaderless::Settings {
            read: self.read_quorum.unwrap_or(majorities.read),
            write: self.write_quorum.unwrap_or(majorities.write),
            atomic: self.mode == Mode::LeaderlessAbd,
            sloppy: self.sloppy,
            conflicts,
            ..majorities
        };
        settings.check().map_err(|error| anyhow!(error))?;
        Ok(settings)
    }

    /// Which nodes the cluster does not begin with.
    fn spares(&self) -> anyhow::Result<Vec<NodeId>> {
        let spares: Vec<_> = self.spare.iter().copied().map(NodeId).collect();
        let listed = |spare: &NodeId| self.peers.iter().any(|peer| peer.id == *spare);
        if let Some(stranger) = spares.iter().find(|spare| !listed(spare)) {
            let id = stranger.0;
            bail!("--spare {id} is not among the nodes: --peers must list it, with its address");
        }
        if self.peers.iter().all(|peer| spares.contains(&peer.id)) {
            bail!("--spare names every node: leave out those that the cluster is to begin with");
        }
        Ok(spares)
    }

    /// Somebody must have what a node that begins again with an empty folder is to get.
    fn check_join(&self, nodes: &[NodeId]) -> Result<(), Failure> {
        if nodes.len() > 1 {
            return Ok(());
        }
        Err(Failure::Usage(anyhow!(
            "--join: node {} is the only one of the cluster, so nobody can give it back what its folder \
             had: give it a folder that was kept, or begin a cluster without --join in which no node is \
             alone",
            self.id
        )))
    }

    /// Which regions there are, where each has a leader.
    fn multi_leader(&self) -> anyhow::Result<multi_leader::Settings> {
        let topology = self.topology.unwrap_or_default();
        let conflicts = self.conflicts.unwrap_or_default();
        let nodes = self.peers.len();
        if let Some(regions) = self.regions.filter(|regions| *regions > nodes) {
            bail!(
                "--regions {regions} is more than the {nodes} nodes that --peers lists: use at most \
                 {nodes}"
            );
        }
        let regions = self.regions.unwrap_or(multi_leader::Settings::DEFAULT.regions);
        let settings = multi_leader::Settings { regions, topology, conflicts };
        settings.check().map_err(|error| anyhow!(error))?;
        Ok(settings)
    }
}

#[derive(Debug, Args)]
struct Cluster {
    /// Addresses of the nodes: `127.0.0.1:7001,127.0.0.1:7002`
    #[arg(long, value_delimiter = ',', required = true, value_parser = address)]
    nodes: Vec<String>,
    /// How long to try, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
}

/// Number and address of a node.
#[derive(Clone, Debug)]
struct Peer {
    id: NodeId,
    address: String,
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Peer> {
        let (id, at) = text.split_once('=').context("a node is given as `1=127.0.0.1:7001`")?;
        let id = id.parse().map_err(|_| anyhow!("`{id}` is no number of a node: use 1, 2, …"))?;
        Ok(Peer { id: NodeId(id), address: address(at)? })
    }
}

/// Reads the name of a way to answer reads.
fn strong_reads(text: &str) -> anyhow::Result<StrongReads> {
    Ok(match text {
        "read-index" => StrongReads::ReadIndex,
        "lease" => StrongReads::Lease,
        "follower" => StrongReads::Follower,
        "stale" => StrongReads::Stale,
        _ => bail!("reads are answered by `read-index`, `lease`, `follower` or `stale`"),
    })
}

/// Checks the form of an address.
fn address(text: &str) -> anyhow::Result<String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(port)) if port > 0 => Ok(text.to_owned()),
        _ => bail!("`{text}` is no address: give host and port, as in `127.0.0.1:7001`"),
    }
}

/// Why the program ends otherwise than well.
enum Failure {
    /// Something went wrong while it ran.
    Run(anyhow::Error),
    /// It cannot do what was asked for in this way.
    Usage(anyhow::Error),
    /// A compare-and-set found another value; that has been said already.
    Mismatch,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Run(error)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Mismatch) => ExitCode::from(1),
        Err(Failure::Run(error)) => fail(&error, 1),
        Err(Failure::Usage(error)) => fail(&error, 2),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    ExitCode::from(code)
}

fn run(action: Action) -> Result<(), Failure> {
    match action {
        Action::Serve(options) => on_one_thread(serve(options))?,
        Action::Get { key, cluster } => {
            let command = Command::Read { key, level: ReadLevel::Strong };
            on_one_thread(ask(cluster, command))?
        }
        Action::Put { key, value, merge, cluster } => {
            let first = merge.then(|| Command::Read { key: key.clone(), level: ReadLevel::Strong });
            let command = Command::Write { key, value: value.into_bytes() };
            on_one_thread(ask_after(cluster, first, command))?
        }
        Action::Cas { key, from, to, cluster } => {
            let (from, to) = (Some(from.into_bytes()), Some(to.into_bytes()));
            on_one_thread(ask(cluster, Command::Cas { key, from, to }))?
        }
        Action::Admit { node, cluster } => {
            on_one_thread(ask(cluster, Command::Admit { node: NodeId(node) }))?
        }
        Action::Dismiss { node, cluster } => {
            on_one_thread(ask(cluster, Command::Dismiss { node: NodeId(node) }))?
        }
        Action::Delete { key, cluster } => on_one_thread(ask(cluster, Command::Delete { key }))?,
        Action::Increment { key, by, cluster } => update(cluster, key, Update::Increment(by))?,
        Action::Add { key, element, cluster } => {
            update(cluster, key, Update::Add(element.into_bytes()))?
        }
        Action::Remove { key, element, cluster } => {
            update(cluster, key, Update::Remove(element.into_bytes()))?
        }
        Action::Append { key, element, cluster } => {
            update(cluster, key, Update::Append(element.into_bytes()))?
        }
        Action::Transfer { to, cluster } => {
            on_one_thread(ask(cluster, Command::Transfer { to: NodeId(to) }))?
        }
    }
}

fn update(cluster: Cluster, key: String, update: Update) -> anyhow::Result<Result<(), Failure>> {
    on_one_thread(ask(cluster, Command::Update { key, update }))
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no event loop")?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

async fn serve(options: Serve) -> Result<(), Failure> {
    let nodes = nodes(&options.peers).map_err(Failure::Usage)?;
    if options.election_ms < 2 * options.heartbeat_ms {
        return Err(Failure::Usage(anyhow!(
            "--election-ms must be at least twice --heartbeat-ms, or followers give up a leader \
             that lives"
        )));
    }
    options.check_flags().map_err(Failure::Usage)?;
    let spares = options.spares().map_err(Failure::Usage)?;
    let leaderless = options.leaderless().map_err(Failure::Usage)?;
    let multi_leader = options.multi_leader().map_err(Failure::Usage)?;
    let id = NodeId(options.id);
    let mut stop = stop_signals().context("no signals can be received")?;
    let listed: Vec<NodeId> = nodes.keys().copied().collect();
    if !listed.contains(&id) {
        return Err(Failure::Usage(StartError::NotAmongNodes { id }.into()));
    }
    let charter = Charter::new((id, &listed, &spares), options.mode, leaderless, multi_leader);
    let node = RealNode::start(id, &nodes, &options.data, &charter)
        .await
        .map_err(|error| Failure::Usage(error.into()))?;
    let refused = |error: OwnError| match error {
        OwnError::Storage(error) => Failure::Run(error.into()),
        OwnError::Another(_) | OwnError::Folder(_) => Failure::Usage(error.into()),
    };
    node.spare(spares);
    if options.join && Charter::is_new(node.disk()).await.map_err(refused)? {
        options.check_join(&node.nodes())?;
    }
    if Charter::joins(node.disk(), options.join).await.map_err(refused)? {
        node.joins();
    }
    charter.own(id, node.disk()).await.map_err(refused)?;
    if options.mode == Mode::PrimarySemiSync && charter.founders().len() == 1 {
        // Whoever does not listen is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "{id} begins the cluster alone: what it acknowledges has one copy, not two, until another node is let in"
        );
    }
    say(&format!("listening on {}", node.address()))?;
    let config = ServerConfig {
        timing: Timing {
            heartbeat: Duration::from_millis(options.heartbeat_ms),
            election: Duration::from_millis(options.election_ms),
        },
        snapshot_entries: options.snapshot_entries,
        sessions_max: SESSIONS_MAX,
        strong_reads: options.reads.unwrap_or_default(),
        leaderless,
        multi_leader,
    };
    tokio::select! {
        ended = options.mode.serve(node, config) => {
            let ended: Result<Infallible, _> = ended;
            let Err(error) = ended;
            Err(Failure::Run(error.into()))
        }
        // Whatever was acknowledged is on the disk: there is nothing to wind up.
        () = stop.received() => Ok(()),
    }
}

fn nodes(peers: &[Peer]) -> anyhow::Result<BTreeMap<NodeId, String>> {
    let mut nodes = BTreeMap::new();
    for Peer { id, address } in peers {
        if nodes.values().any(|known| known == address) {
            bail!("--peers gives {address} to two nodes");
        }
        if nodes.insert(*id, address.clone()).is_some() {
            bail!("--peers lists node {} twice", id.0);
        }
    }
    Ok(nodes)
}

struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

fn stop_signals() -> io::Result<StopSignals> {
    Ok(StopSignals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

impl StopSignals {
    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How the command line asks: it goes on from node to node.
const POLICY: Policy = Policy {
    home: 0,
    attempt: ATTEMPT,
    pause: PAUSE,
    roam: true,
    replica_reads: ReplicaReads::Sticky,
    stride: 1,
    rewrites_sets: false,
    remembered: false,
};

async fn ask(cluster: Cluster, command: Command) -> Result<(), Failure> {
    ask_after(cluster, None, command).await
}

/// Does one thing, and says what came of it. A client that does something else first knows what it was told then.
async fn ask_after(
    cluster: Cluster,
    first: Option<Command>,
    command: Command,
) -> Result<(), Failure> {
    let env = RealClient::new(&cluster.nodes);
    let began = env.now();
    let deadline = env.now() + Duration::from_millis(cluster.timeout_ms);
    let reads = matches!(command, Command::Read { .. });
    let changes_members = matches!(command, Command::Admit { .. } | Command::Dismiss { .. });
    let mut client = Client::new(env, POLICY);
    let answer = match first {
        Some(first) => match client.call(first, deadline).await {
            Answer::Reply(_) => client.call(command, deadline).await,
            Answer::NotDone | Answer::Unknown | Answer::Lost { .. } => Answer::NotDone,
        },
        None => client.call(command, deadline).await,
    };
    match answer {
        Answer::Reply(reply) => tell(reply, changes_members),
        Answer::Lost { .. } => Err(Failure::Run(anyhow!(
            "the nodes speak otherwise: they answered that something was lost, but nothing was said \
             of what was seen"
        ))),
        answer @ (Answer::NotDone | Answer::Unknown) => {
            let waited = client.env().now().since(began);
            let unknown = answer == Answer::Unknown && !reads;
            let early = waited < Duration::from_millis(cluster.timeout_ms);
            let mut said = unanswered(unknown, waited, client.env());
            if unknown && early {
                said.push_str("; it was not sent again, because it might be done twice then");
            }
            Err(Failure::Run(anyhow!(said)))
        }
    }
}

/// Says what a node answered.
fn tell(reply: Reply, changes_members: bool) -> Result<(), Failure> {
    match reply {
        Reply::Done => Ok(say("ok")?),
        Reply::Value(Some(value)) => Ok(say(&harmless(&value))?),
        Reply::Value(None) => Ok(()),
        Reply::Datum(datum) => Ok(say_all(&datum)?),
        Reply::Siblings { values, .. } => Ok(say_all(&Datum::List(values))?),
        Reply::WrongKind => Err(Failure::Run(anyhow!(
            "not done: the key holds another kind of value; delete it first"
        ))),
        Reply::Mismatch(held) => {
            match held {
                Some(held) => say(&format!("mismatch: {}", harmless(&held)))?,
                None => say("mismatch: absent")?,
            }
            Err(Failure::Mismatch)
        }
        Reply::Unsupported if changes_members => Err(Failure::Run(anyhow!(
            "not done: too few nodes would be left, or the mode of this store lets nobody in or go"
        ))),
        Reply::Unsupported => {
            Err(Failure::Run(anyhow!("not done: the mode of this store does not offer it")))
        }
        Reply::NoSuchNode => Err(Failure::Run(anyhow!(
            "not done: there is no such node; name one that takes part, or, to let it in, one that \
             --peers of every node lists"
        ))),
        Reply::Absent => {
            Err(Failure::Run(anyhow!("not done: the set that was read does not have it")))
        }
        Reply::TooMuch => Err(Failure::Run(anyhow!(
            "not done: a counter holds a number of 64 bits, and this one would come to more"
        ))),
        Reply::TooLong => Err(Failure::Run(anyhow!(
            "not done: a request is at most {REQUEST_LEN_MAX} bytes long, keys and values together"
        ))),
        reply @ (Reply::Session(_)
        | Reply::NodeSession(_)
        | Reply::Txn(_)
        | Reply::TooLittle
        | Reply::NotLeader
        | Reply::Lost
        | Reply::EpochOver
        | Reply::SessionUnknown) => {
            Err(Failure::Run(anyhow!("the nodes speak otherwise: they answered {reply:?}")))
        }
    }
}

/// What is known where no node did what was asked, or it is not known whether one did.
fn unanswered(unknown: bool, waited: Duration, env: &RealClient) -> String {
    let of = |what: Heard| {
        let nodes: Vec<&str> =
            env.heard().filter(|(_, heard)| *heard == what).map(|(address, _)| address).collect();
        (!nodes.is_empty()).then(|| nodes.join(", "))
    };
    let unconnected = of(Heard::NoConnection).map(|nodes| format!("no connection to {nodes}"));
    let silent = of(Heard::NoAnswer).map(|nodes| format!("no answer from {nodes}"));
    let unable = of(Heard::Answer).map(|nodes| format!("{nodes} cannot do it now"));
    let unasked = of(Heard::Nothing).map(|nodes| format!("{nodes} was not asked"));
    let known: Vec<String> = [unconnected, silent, unable, unasked].into_iter().flatten().collect();
    let known = known.join("; ");
    let waited = waited.as_millis();
    if unknown {
        return format!(
            "no answer in {waited} ms: it may have been done, may yet be, or may never be ({known})"
        );
    }
    let needed = if env.heard().any(|(_, heard)| heard >= Heard::NoAnswer) {
        "; enough nodes must be up and reach each other: a majority, in mode primary-sync all"
    } else {
        ""
    };
    format!("not done: no node could do it in {waited} ms: {known}{needed}")
}

/// Prints a counter, or each element of a set or list on a line of its own.
fn say_all(datum: &Datum) -> anyhow::Result<()> {
    let elements: Vec<&Vec<u8>> = match datum {
        Datum::Counter(sum) => return say(&sum.to_string()),
        Datum::Register(value) => vec![value],
        Datum::Set(elements) => elements.iter().collect(),
        Datum::List(elements) => elements.iter().collect(),
    };
    elements.into_iter().try_for_each(|element| say(&harmless(element)))
}

/// A value as text that does nothing to a terminal, is one line, and is no other value's. Whoever wrote it may have
/// put commands for one into it.
fn harmless(value: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(value).chars() {
        if character.is_control() || character == '\\' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("the output cannot be written")
}

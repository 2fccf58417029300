//! The same store on turmoil as it is, the peer that runs are measured against: hosts, links and sockets of that crate and
//! nothing else. No faults, no disk that can fail, no history, no verdicts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reference_db::client::{Answer, Client, Policy, ReplicaReads};
use reference_db::env::{self, Address, ClientEnv, ClientId, Disk, Env, NodeId, Time};
use reference_db::kv::{Command, ReadLevel};
use reference_db::mode::Mode;
use reference_db::protocol::raft::StrongReads;
use reference_db::protocol::{Timing, leaderless, multi_leader};
use reference_db::server::ServerConfig;
use tokio::time::Instant;
use turmoil::Sim;
use turmoil::net::UdpSocket;

/// The port of everybody.
const PORT: u16 = 7000;
/// The longest message.
const MESSAGE_BYTES_MAX: usize = 1 << 16;
/// How long an operation may take.
const OPERATION: Duration = Duration::from_secs(1);

/// As nodes are configured under simulation.
const CONFIG: ServerConfig = ServerConfig {
    timing: Timing { heartbeat: Duration::from_millis(75), election: Duration::from_millis(400) },
    snapshot_entries: 100,
    sessions_max: 256,
    strong_reads: StrongReads::ReadIndex,
    leaderless: leaderless::Settings::DEFAULT,
    multi_leader: multi_leader::Settings::DEFAULT,
};

/// How much there is of a run.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) nodes: u32,
    pub(super) clients: u32,
    /// The longest pause between two operations of a client.
    pub(super) think_max: Duration,
    pub(super) tick: Duration,
    pub(super) latency_max: Duration,
    /// How long it is simulated.
    pub(super) lasts: Duration,
}

/// Builds a cluster with its clients, and returns the operations that were answered when its time is over.
pub(super) fn simulate(mode: Mode, size: Size) -> u64 {
    let mut builder = turmoil::Builder::new();
    builder
        .epoch(SystemTime::UNIX_EPOCH)
        .rng_seed(7)
        .enable_random_order()
        .tick_duration(size.tick)
        .min_message_latency(size.tick)
        .max_message_latency(size.latency_max.max(size.tick))
        .simulation_duration(Duration::from_secs(u64::MAX / 4))
        .udp_capacity(MESSAGE_BYTES_MAX);
    let mut sim = builder.build();
    let answered: Rc<Cell<u64>> = Rc::default();
    for node in 1..=size.nodes {
        sim.host(format!("n{node}"), move || async move {
            let host = Host::join(node, size).await?;
            let Err(error) = mode.serve(host, CONFIG).await;
            Err(error.into())
        });
    }
    for client in 0..size.clients {
        let answered = answered.clone();
        sim.host(format!("c{client}"), move || ask(client, size, answered.clone()));
    }
    run(&mut sim, size.lasts);
    answered.get()
}

/// Builds as many hosts that do nothing.
pub(super) fn set_up(hosts: u32, tick: Duration) {
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(7).enable_random_order().tick_duration(tick);
    let mut sim = builder.build();
    for host in 0..hosts {
        sim.host(format!("h{host}"), std::future::pending);
    }
    run(&mut sim, tick);
}

fn run(sim: &mut Sim<'_>, lasts: Duration) {
    while sim.elapsed() < lasts {
        sim.step().expect("no host ends");
    }
}

/// A client asks one thing after another.
async fn ask(
    client: u32,
    size: Size,
    answered: Rc<Cell<u64>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let host = Host::join(size.nodes + 1 + client, size).await?;
    let mut random = host.random("workload");
    let policy = Policy {
        home: (client % size.nodes) as usize,
        attempt: Duration::from_millis(400),
        pause: Duration::from_millis(50),
        roam: false,
        stride: 1,
        rewrites_sets: false,
        replica_reads: ReplicaReads::Sticky,
        remembered: true,
    };
    let mut store = Client::new(host.clone(), policy);
    loop {
        let think = size.think_max.mul_f64(random.random());
        tokio::time::sleep(think).await;
        let key = format!("k{}", random.random_range(0..3));
        let value = vec![random.random()];
        let command = match random.random_range(0..10) {
            0..4 => Command::Read { key, level: ReadLevel::Strong },
            4..8 => Command::Write { key, value },
            _ => Command::Cas { key, from: Some(value.clone()), to: Some(value) },
        };
        let deadline = Env::now(&host) + OPERATION;
        if matches!(store.call(command, deadline).await, Answer::Reply(_)) {
            answered.set(answered.get() + 1);
        }
    }
}

/// A host of turmoil as nodes and clients of the store see it.
#[derive(Clone)]
struct Host(Rc<Inner>);

struct Inner {
    /// Nodes are counted from 1 on, and clients after them.
    place: u32,
    nodes: u32,
    start: Instant,
    socket: UdpSocket,
    /// By place.
    others: BTreeMap<u32, SocketAddr>,
    places: BTreeMap<IpAddr, u32>,
    scratch: RefCell<Vec<u8>>,
    disk: Memory,
}

impl Host {
    async fn join(place: u32, size: Size) -> io::Result<Host> {
        let nodes = size.nodes;
        let name = |place: u32| match place {
            node if node <= nodes => format!("n{node}"),
            client => format!("c{}", client - nodes - 1),
        };
        let ips = (1..=nodes + size.clients).map(|place| (place, turmoil::lookup(name(place))));
        let ips: Vec<(u32, IpAddr)> = ips.collect();
        Ok(Host(Rc::new(Inner {
            place,
            nodes,
            start: Instant::now(),
            socket: UdpSocket::bind(("0.0.0.0", PORT)).await?,
            others: ips.iter().map(|(place, ip)| (*place, SocketAddr::new(*ip, PORT))).collect(),
            places: ips.iter().map(|(place, ip)| (*ip, *place)).collect(),
            scratch: RefCell::new(vec![0; MESSAGE_BYTES_MAX]),
            disk: Memory::default(),
        })))
    }

    fn all_nodes(&self) -> Vec<NodeId> {
        (1..=self.0.nodes).map(NodeId).collect()
    }

    fn clock(&self) -> Time {
        Time(self.0.start.elapsed().as_nanos() as u64)
    }

    async fn sleep(&self, at: Time) {
        match at {
            Time::NEVER => std::future::pending().await,
            Time(at) => {
                tokio::time::sleep_until(self.0.start + Duration::from_nanos(at)).await;
            }
        }
    }

    fn send_to(&self, place: u32, bytes: &[u8]) {
        // What cannot be sent is lost.
        let _ = self.0.socket.try_send_to(bytes, self.0.others[&place]);
    }

    fn message(&self, (length, from): (usize, SocketAddr)) -> (Address, Vec<u8>) {
        let from = match self.0.places[&from.ip()] {
            node if node <= self.0.nodes => Address::Node(NodeId(node)),
            client => Address::Client(ClientId(client.into())),
        };
        (from, self.0.scratch.borrow()[..length].to_vec())
    }

    async fn receive(&self) -> (Address, Vec<u8>) {
        loop {
            if let Some(message) = self.try_receive() {
                return message;
            }
            self.0.socket.readable().await.expect("it is bound");
        }
    }

    fn try_receive(&self) -> Option<(Address, Vec<u8>)> {
        let received = self.0.socket.try_recv_from(&mut self.0.scratch.borrow_mut()).ok()?;
        Some(self.message(received))
    }
}

impl Env for Host {
    type Disk = Memory;

    fn id(&self) -> NodeId {
        NodeId(self.0.place)
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.all_nodes()
    }

    fn spares(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn restored(&self) -> bool {
        false
    }

    fn now(&self) -> Time {
        self.clock()
    }

    fn wall(&self) -> u64 {
        self.clock().0
    }

    async fn sleep_until(&self, at: Time) {
        self.sleep(at).await;
    }

    fn send(&self, to: Address, bytes: Vec<u8>) {
        let place = match to {
            Address::Node(node) => node.0,
            Address::Client(client) => client.0 as u32,
        };
        self.send_to(place, &bytes);
    }

    async fn recv(&self) -> (Address, Vec<u8>) {
        self.receive().await
    }

    fn try_recv(&self) -> Option<(Address, Vec<u8>)> {
        self.try_receive()
    }

    fn random(&self, purpose: &str) -> ChaCha8Rng {
        let purpose: u64 = purpose.bytes().map(u64::from).sum();
        ChaCha8Rng::seed_from_u64(u64::from(self.0.place) << 32 | purpose)
    }

    fn disk(&self) -> &Memory {
        &self.0.disk
    }

    fn observe(&self, _: env::Status) {}
}

impl ClientEnv for Host {
    fn nodes(&self) -> Vec<NodeId> {
        self.all_nodes()
    }

    fn now(&self) -> Time {
        self.clock()
    }

    async fn sleep_until(&self, at: Time) {
        self.sleep(at).await;
    }

    fn send(&self, to: NodeId, bytes: Vec<u8>) {
        self.send_to(to.0, &bytes);
    }

    async fn recv(&self) -> (NodeId, Vec<u8>) {
        loop {
            if let (Address::Node(from), bytes) = self.receive().await {
                return (from, bytes);
            }
        }
    }
}

/// Files that no power loss takes away.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Disk for Memory {
    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }

    async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        self.0.borrow().get(file).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn append(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().entry(file.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    async fn write_at(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let held = files.entry(file.to_owned()).or_default();
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        held.resize(held.len().max(to), 0);
        held[from..to].copy_from_slice(bytes);
        Ok(())
    }

    async fn truncate(&self, file: &str, len: u64) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        files.get_mut(file).ok_or(io::ErrorKind::NotFound)?.resize(len as usize, 0);
        Ok(())
    }

    async fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let held = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), held);
        Ok(())
    }

    async fn remove(&self, file: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(file);
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

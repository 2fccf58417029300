//! The real world: TCP, files and the clock of the operating system.
//!
//! Everything runs on one thread, in a [`tokio::task::LocalSet`]: a node is single-threaded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::env::{Address, ClientEnv, ClientId, Env, NodeId, Status, Time};

mod charter;
mod disk;
mod link;

pub use charter::{Charter, OwnError};
pub use disk::RealDisk;
pub use link::Heard;
use link::{CLIENT_FRAME_LEN_MAX, Caller, FRAME_LEN_MAX, Hello, Inbox, Link, QUEUE_MAX, Terms};

/// Messages that wait for a node or a client to take them.
const INBOX_MAX: usize = 4096;
/// Clients that a node talks to at a time. Further ones are turned away.
const CLIENTS_MAX: usize = 1024;

/// Why a node cannot be started where it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node is not in the list of nodes.
    #[error("{id} is not among the nodes: its own address must be listed too")]
    NotAmongNodes {
        /// The node.
        id: NodeId,
    },
    /// The folder cannot be used.
    #[error("the folder {} cannot be used: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another process has the folder.
    #[error("the folder {} is in use by another process: every node needs its own", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// The node's address cannot be listened on.
    #[error("nothing can listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        error: io::Error,
    },
}

/// The operating system's monotonic clock, from the start of a node or a client.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Time {
        Time(0) + self.0.elapsed()
    }

    async fn sleep_until(self, at: Time) {
        match self.0.checked_add(Duration::from_nanos(at.0)) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => pending().await,
        }
    }
}

/// A node among real ones. Soon after the last handle is gone, it stops listening and talking.
#[derive(Clone, Debug)]
pub struct RealNode(Rc<Node>);

#[derive(Debug)]
struct Node {
    id: NodeId,
    nodes: Vec<NodeId>,
    /// Whether it joins a cluster that exists already.
    joins: Cell<bool>,
    /// Those that the cluster does not begin with.
    spares: RefCell<Vec<NodeId>>,
    /// Where it listens.
    address: SocketAddr,
    clock: Clock,
    disk: RealDisk,
    links: BTreeMap<NodeId, mpsc::Sender<Vec<u8>>>,
    clients: Clients,
    inbox: RefCell<mpsc::Receiver<(Address, Vec<u8>)>>,
    /// For messages that the node sends to itself; and so the inbox is never closed.
    own: Inbox,
    /// What was last said of the node.
    said: RefCell<Option<Status>>,
    /// Listens and talks; ends with the node.
    _tasks: JoinSet<()>,
}

/// The clients that are connected, and the queue of each.
type Clients = Rc<RefCell<BTreeMap<ClientId, mpsc::Sender<Vec<u8>>>>>;

impl RealNode {
    /// Takes the node's folder and begins to listen on its address, which is the one that `nodes`
    /// (number and `host:port` of every member) gives for it. It talks to nodes of the same charter only.
    ///
    /// # Errors
    /// Where folder or address cannot be had.
    ///
    /// # Panics
    /// Outside a [`tokio::task::LocalSet`].
    pub async fn start(
        id: NodeId,
        nodes: &BTreeMap<NodeId, String>,
        folder: &Path,
        charter: &Charter,
    ) -> Result<RealNode, StartError> {
        let address = nodes.get(&id).ok_or(StartError::NotAmongNodes { id })?;
        let disk = RealDisk::open(folder)?;
        let unreachable = |error| StartError::Listen { address: address.clone(), error };
        let listener = TcpListener::bind(address).await.map_err(unreachable)?;
        let bound = listener.local_addr().map_err(unreachable)?;
        let (own, inbox) = mpsc::channel(INBOX_MAX);
        let clients = Clients::default();
        let mut tasks = JoinSet::new();
        let terms = Terms::new(id, charter.to_string());
        let called = Called { id, terms: Rc::clone(&terms), clients: Rc::clone(&clients) };
        tasks.spawn_local(accept(called, listener, own.clone()));
        let mut links = BTreeMap::new();
        for (&peer, address) in nodes.iter().filter(|(peer, _)| **peer != id) {
            let caller = Caller::Node(Rc::clone(&terms));
            let link = Link { address: address.clone(), peer, caller, inbox: own.clone() };
            let (sender, queue) = mpsc::channel(QUEUE_MAX);
            tasks.spawn_local(link.run(queue));
            links.insert(peer, sender);
        }
        Ok(RealNode(Rc::new(Node {
            id,
            nodes: nodes.keys().copied().collect(),
            joins: Cell::new(false),
            spares: RefCell::default(),
            address: bound,
            clock: Clock(Instant::now()),
            disk,
            links,
            clients,
            inbox: RefCell::new(inbox),
            own,
            said: RefCell::default(),
            _tasks: tasks,
        })))
    }

    /// Says that the cluster exists already: if the node's folder is empty, it has lost what it had.
    pub fn joins(&self) {
        self.0.joins.set(true);
    }

    /// Says which nodes the cluster does not begin with.
    pub fn spare(&self, nodes: Vec<NodeId>) {
        self.0.spares.replace(nodes);
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Env for RealNode {
    type Disk = RealDisk;

    fn id(&self) -> NodeId {
        self.0.id
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.0.nodes.clone()
    }

    fn spares(&self) -> Vec<NodeId> {
        self.0.spares.borrow().clone()
    }

    fn restored(&self) -> bool {
        self.0.joins.get()
    }

    fn now(&self) -> Time {
        self.0.clock.now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real node's wall clock")]
    fn wall(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since_1970.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, at: Time) {
        self.0.clock.sleep_until(at).await;
    }

    fn send(&self, to: Address, bytes: Vec<u8>) {
        if bytes.len() > FRAME_LEN_MAX {
            log(format_args!("{} drops a message of {} bytes to {to:?}", self.0.id, bytes.len()));
            return;
        }
        // A queue that is full, or of a connection that is gone, loses the message.
        let _ = match to {
            Address::Node(to) if to == self.0.id => {
                self.0.own.try_send((Address::Node(to), bytes)).is_ok()
            }
            Address::Node(to) => {
                self.0.links.get(&to).is_some_and(|link| link.try_send(bytes).is_ok())
            }
            Address::Client(to) => {
                let clients = self.0.clients.borrow();
                clients.get(&to).is_some_and(|client| client.try_send(bytes).is_ok())
            }
        };
    }

    async fn recv(&self) -> (Address, Vec<u8>) {
        let message = poll_fn(|context| self.0.inbox.borrow_mut().poll_recv(context)).await;
        message.expect("the node itself holds a sender")
    }

    fn try_recv(&self) -> Option<(Address, Vec<u8>)> {
        self.0.inbox.borrow_mut().try_recv().ok()
    }

    fn random(&self, _purpose: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_os_rng()
    }

    fn disk(&self) -> &RealDisk {
        &self.0.disk
    }

    fn observe(&self, status: Status) {
        let said = self.0.said.replace(Some(status));
        // Positions change with every request; that is nothing to tell people about.
        if said.is_none_or(|said| (said.role, said.term) != (status.role, status.term)) {
            let role = format!("{:?}", status.role).to_lowercase();
            log(format_args!("{} is {role} in term {}", self.0.id, status.term));
        }
        if said.is_none() && status.restoring {
            log(format_args!(
                "{} lacks what the others have, and counts for nothing until they have let it in and \
                 it has got that from them",
                self.0.id
            ));
        }
        if said.is_some_and(|said| said.restoring) && !status.restoring {
            log(format_args!("{} has all that it should have again", self.0.id));
        }
    }
}

/// A node as those see it who open a connection to it.
#[derive(Clone)]
struct Called {
    id: NodeId,
    terms: Rc<Terms>,
    clients: Clients,
}

/// Accepts connections for as long as the node lives; those that it accepted end with it.
async fn accept(called: Called, listener: TcpListener, inbox: Inbox) {
    let id = called.id;
    let mut connections = JoinSet::new();
    // A client's number must not come back after a restart of the node: another node may still
    // send an answer to whoever had it before.
    let mut client = ChaCha8Rng::from_os_rng().next_u64();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                client = client.wrapping_add(1);
                let inbox = inbox.clone();
                let accepted = answer(called.clone(), ClientId(client), stream, inbox);
                connections.spawn_local(accepted);
            }
            Err(error) => {
                log(format_args!("{id} cannot accept a connection: {error}"));
                // Too many open files, most likely: it takes time for some to be closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Talks to whoever opened a connection until one of the two hangs up.
async fn answer(called: Called, client: ClientId, stream: TcpStream, inbox: Inbox) {
    let Called { id, terms, clients } = called;
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    // Why a connection ends makes no difference: whoever opened it opens another.
    match link::read_greeting(&mut reader).await {
        Ok(Hello::Node { from, to, charter }) if to == id => {
            let _ = if terms.fit(from, &charter) {
                link::receive_all(&mut reader, Address::Node(from), &inbox).await
            } else {
                link::turn_away(&mut reader, &mut writer, &terms).await
            };
        }
        Ok(Hello::Node { from, to, .. }) => {
            log(format_args!("{id} hangs up on {from}, which takes it for {to}"));
        }
        Ok(Hello::Client) if clients.borrow().len() < CLIENTS_MAX => {
            let (sender, mut queue) = mpsc::channel(QUEUE_MAX);
            clients.borrow_mut().insert(client, sender);
            let _ = tokio::select! {
                done = link::receive_all(&mut reader, Address::Client(client), &inbox) => done,
                done = link::send_all(&mut writer, &mut queue) => done,
            };
            clients.borrow_mut().remove(&client);
        }
        Ok(Hello::Client) => log(format_args!("{id} turns a client away: it has {CLIENTS_MAX}")),
        Err(error) => log(format_args!("{id} hangs up on a stranger: {error}")),
    }
}

/// A client of real nodes. It connects to a node when it first sends something there.
#[derive(Debug)]
pub struct RealClient {
    clock: Clock,
    links: BTreeMap<NodeId, mpsc::Sender<Vec<u8>>>,
    /// The address of each node, and what is known of it.
    heard: BTreeMap<NodeId, (String, Rc<Cell<Heard>>)>,
    inbox: RefCell<mpsc::Receiver<(Address, Vec<u8>)>>,
    /// So that the inbox is never closed.
    _own: Inbox,
    /// Talk; end with the client.
    _tasks: JoinSet<()>,
}

impl RealClient {
    /// Makes a client of the nodes at these addresses (`host:port`), which it numbers from 1 on in
    /// the order given.
    ///
    /// # Panics
    /// Outside a [`tokio::task::LocalSet`], and where there are no addresses.
    pub fn new(addresses: &[String]) -> RealClient {
        assert!(!addresses.is_empty(), "a client needs a node to talk to");
        let (own, inbox) = mpsc::channel(INBOX_MAX);
        let mut tasks = JoinSet::new();
        let (mut links, mut heard) = (BTreeMap::new(), BTreeMap::new());
        for (peer, address) in (1..).map(NodeId).zip(addresses) {
            let known = Rc::new(Cell::new(Heard::Nothing));
            let caller = Caller::Client(Rc::clone(&known));
            heard.insert(peer, (address.clone(), known));
            let link = Link { address: address.clone(), peer, caller, inbox: own.clone() };
            let (sender, queue) = mpsc::channel(QUEUE_MAX);
            tasks.spawn_local(link.run(queue));
            links.insert(peer, sender);
        }
        let clock = Clock(Instant::now());
        RealClient { clock, links, heard, inbox: RefCell::new(inbox), _own: own, _tasks: tasks }
    }

    /// What it knows of each node, by its address, in the order given.
    pub fn heard(&self) -> impl Iterator<Item = (&str, Heard)> {
        self.heard.values().map(|(address, heard)| (address.as_str(), heard.get()))
    }
}

impl ClientEnv for RealClient {
    fn nodes(&self) -> Vec<NodeId> {
        self.links.keys().copied().collect()
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn sleep_until(&self, at: Time) {
        self.clock.sleep_until(at).await;
    }

    fn send(&self, to: NodeId, bytes: Vec<u8>) {
        if bytes.len() > CLIENT_FRAME_LEN_MAX {
            log(format_args!("the client drops a request of {} bytes", bytes.len()));
            return;
        }
        if let Some(link) = self.links.get(&to) {
            if let Some((_, heard)) =
                self.heard.get(&to).filter(|(_, heard)| heard.get() == Heard::Answer)
            {
                heard.set(Heard::NoAnswer);
            }
            // A full queue loses the message.
            let _ = link.try_send(bytes);
        }
    }

    async fn recv(&self) -> (NodeId, Vec<u8>) {
        loop {
            let message = poll_fn(|context| self.inbox.borrow_mut().poll_recv(context)).await;
            if let (Address::Node(from), bytes) = message.expect("the client holds a sender") {
                if let Some((_, heard)) = self.heard.get(&from) {
                    heard.set(Heard::Answer);
                }
                return (from, bytes);
            }
        }
    }
}

/// Says something to whoever runs the node. That nobody may listen is no reason to stop.
fn log(line: std::fmt::Arguments<'_>) {
    // In one piece, so that lines of several nodes with one log stay whole.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

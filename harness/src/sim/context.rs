//! The seam: all that a node or a client of a system under test can see of the world.

use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use checkers::history::{NodeId, SessionId, Time};
use serde::{Deserialize, Serialize};

use super::engine::{Clock, Network, Socket};
use super::guard::Guard;
use super::impair::Passage;
use super::shared::{Place, Shared};
use super::{Disk, Failure};
use crate::seed::Stream;
use crate::trace::Happening;

/// The longest message, in bytes. A longer one is not sent, and the run says so.
pub const MESSAGE_BYTES_MAX: usize = 1 << 24;

/// Who sent a message, or who is to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A member of the cluster.
    Node(NodeId),
    /// A client.
    Client(SessionId),
}

/// A message that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: Address,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Ties an answer to its request; 0 where none is awaited.
    pub(super) ticket: u64,
    /// Its number, of its own in a run; its copies have the same.
    pub(super) number: u64,
}

/// A message on its way: its number, and between whom.
#[derive(Clone, Copy)]
pub(super) struct Parcel {
    pub(super) number: u64,
    pub(super) from: Address,
    pub(super) to: Address,
}

impl Parcel {
    /// The client that sends it or is sent it, if one is.
    pub(super) fn client(self) -> Option<SessionId> {
        [self.from, self.to].into_iter().find_map(|end| match end {
            Address::Client(client) => Some(client),
            Address::Node(_) => None,
        })
    }
}

/// What a node reports of itself, for faults that choose by role and for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// What the node takes itself for. Several nodes may take themselves for the leader.
    pub role: Role,
    /// The term or epoch in which it does.
    pub term: u64,
    /// The last position that its state reflects.
    pub applied: u64,
    /// Whether its disk was lost, and it does not have all that it should have again yet.
    #[serde(default)]
    pub restoring: bool,
}

/// What a node takes itself for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It follows a leader, waits for one, or knows no such role.
    #[default]
    Follower,
    /// It asks for votes, or has been elected and may not lead yet.
    Candidate,
    /// It leads.
    Leader,
}

impl Display for Role {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        })
    }
}

/// A place in the simulated network, and the clock that goes with it.
struct Port {
    socket: Socket,
    network: Network,
    shared: Rc<Shared>,
    owner: Address,
    clock: Clock,
    /// Until when its owner is busy with what it has received.
    busy_until: Cell<Time>,
}

impl Port {
    async fn open(shared: Rc<Shared>, network: &Network, owner: Address) -> Port {
        let socket = network.bind(owner).await;
        let clock = socket.clock();
        let (network, busy_until) = (network.clone(), Cell::new(Time::ZERO));
        Port { socket, network, shared, owner, clock, busy_until }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn send(&self, to: Address, bytes: &[u8], ticket: u64) {
        let sent = self.shared.send(self.now(), self.owner, to, bytes);
        let Some((parcel, Passage { delay, copies, .. })) = sent else { return };
        let way = || self.shared.way(self.owner, to);
        self.socket.send(parcel, bytes, ticket, delay + way());
        for (later, _) in copies {
            self.socket.send(parcel, bytes, ticket, delay + later + way());
        }
    }

    async fn recv(&self) -> Message {
        loop {
            if let Some(message) = self.try_recv() {
                return message;
            }
            let now = self.now();
            if now < self.busy_until.get() {
                self.clock.sleep(self.busy_until.get().since(now)).await;
            } else {
                self.socket.arrival().await;
            }
        }
    }

    fn try_recv(&self) -> Option<Message> {
        let cost = self.shared.cost_of(self.owner);
        let now = self.now();
        if !cost.is_zero() && now < self.busy_until.get() {
            return None;
        }
        let message = self.socket.next()?;
        self.shared.record(now, self.owner, || Happening::Received {
            message: message.number,
            from: message.from.into(),
        });
        if cost.is_zero() {
            return Some(message);
        }
        // Where timers have a grain, what it was idle in the last one, it makes up for.
        let grain = self.clock.grain().as_nanos() as u64;
        let idle_since = Time::from_nanos(now.as_nanos().saturating_sub(grain));
        self.busy_until.set(self.busy_until.get().max(idle_since) + cost);
        Some(message)
    }
}

/// A node's view of the world. Handles are cheap to clone and refer to the same node.
///
/// A node must do everything through it: what goes around it (threads, `tokio::spawn`, the clock of
/// the operating system) escapes the simulation, and a run is no longer a function of its seed.
#[derive(Clone)]
pub struct NodeCx(Rc<Node>);

struct Node {
    id: NodeId,
    incarnation: u32,
    port: Port,
    disk: Disk,
    power: Rc<Cell<bool>>,
}

impl NodeCx {
    pub(super) async fn open(shared: Rc<Shared>, network: &Network, id: NodeId) -> NodeCx {
        let node = shared.node(id);
        let (incarnation, power) = (node.incarnation.get(), node.power.borrow().clone());
        let port = Port::open(shared.clone(), network, Address::Node(id)).await;
        let disk = shared.disk(id, power.clone(), port.clock.clone());
        NodeCx(Rc::new(Node { id, incarnation, port, disk, power }))
    }

    /// The node's number, from 1 on.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// All nodes that there are, this one included, in order.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.port.shared.node_ids()
    }

    /// Those of them that the cluster does not begin with, in order: none but where members change
    /// ([`System::membership`](crate::system::System::membership)).
    pub fn spares(&self) -> Vec<NodeId> {
        let shared = &self.0.port.shared;
        shared.node_ids().into_iter().filter(|id| id.0 > shared.founders).collect()
    }

    /// Whether a fault has taken the node's disk away since the run began, or the cluster began without the
    /// node: an empty disk is then not one that the cluster began with.
    pub fn restored(&self) -> bool {
        self.0.port.shared.node(self.0.id).wiped.get()
    }

    /// How many times the node was started before.
    pub fn incarnation(&self) -> u32 {
        self.0.incarnation
    }

    /// The node's monotonic clock: virtual time since the run began, as far as it knows. A fault may
    /// make it run faster or slower; it never jumps.
    pub fn now(&self) -> Time {
        self.0.port.shared.clock_of(self.0.id, self.0.port.now())
    }

    /// The node's wall clock: nanoseconds since 1970, as far as it knows. A fault may make it jump.
    pub fn wall(&self) -> u64 {
        self.0.port.shared.wall_of(self.0.id, self.0.port.now())
    }

    /// Waits, by the node's monotonic clock.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// Waits until the node's monotonic clock shows `at` or later.
    pub async fn sleep_until(&self, at: Time) {
        let Node { id, port, .. } = &*self.0;
        let clock = &port.shared.node(*id).clock;
        loop {
            let changes = clock.changes();
            let left = clock.world_at(at).since(port.now());
            tokio::select! {
                biased;
                () = port.clock.sleep(left) => {}
                () = changes => {}
            }
            if at <= self.now() {
                return;
            }
        }
    }

    /// Sends a message and forgets it. It may be lost, arrive more than once, or overtake another.
    pub fn send(&self, to: Address, bytes: &[u8]) {
        if self.0.power.get() {
            self.0.port.send(to, bytes, 0);
        }
    }

    /// Answers a message that a client sent with [`ClientCx::request`].
    pub fn reply(&self, to: &Message, bytes: &[u8]) {
        if self.0.power.get() {
            self.0.port.send(to.from, bytes, to.ticket);
        }
    }

    /// Waits for the next message. One task at a time may wait.
    pub async fn recv(&self) -> Message {
        self.0.port.recv().await
    }

    /// Waits for the next message, but no longer than this by the node's monotonic clock.
    pub async fn recv_within(&self, time: Duration) -> Option<Message> {
        tokio::select! {
            biased;
            message = self.recv() => Some(message),
            () = self.sleep(time) => None,
        }
    }

    /// The next message, if one has arrived already.
    pub fn try_recv(&self) -> Option<Message> {
        self.0.port.try_recv()
    }

    /// Random numbers for one purpose, different for every node and every start of it.
    pub fn random(&self, purpose: &str) -> Stream {
        let Node { id, incarnation, port, .. } = &*self.0;
        port.shared.seeds.stream(&format!("node/{id}/{incarnation}/{purpose}"))
    }

    /// How often what [`random`](NodeCx::random) gives was replaced by another seed's: once, where a run goes over to
    /// another seed. A [`Stream`] does so by itself; whoever took its generator out of it has to ask for it anew.
    pub fn reseeded(&self) -> u32 {
        self.0.port.shared.seeds.has_gone_over().into()
    }

    /// The node's disk. It outlives the node; [`Disk`] says what survives a power loss.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// Shows what the node takes itself for.
    pub fn observe(&self, status: NodeStatus) {
        if self.0.power.get() {
            // Not by its own clock, which may be wrong.
            self.0.port.shared.observe(self.0.id, self.0.port.now(), status);
        }
    }

    /// Shows that the node has decided what to answer somebody, where the answer leaves later, by way of another node
    /// perhaps: what it takes up in between has no part in it. The [`question`](crate::system::System::question) is that of
    /// the request, where the system tells it. Stories of failures name whose word an answer was given on, and go by who
    /// answered and by the moment at which that left where this is not shown.
    pub fn decided(&self, to: Address, question: Option<u64>) {
        if self.0.power.get() {
            let decides = || Happening::Decides { to: to.into(), question };
            self.0.port.shared.record(self.0.port.now(), self.0.id, decides);
        }
    }

    /// Shows that the node has got into a rare state, one of the [`marks`](crate::system::System::marks) of its
    /// system.
    pub fn reached(&self, mark: &'static str) {
        if self.0.power.get() {
            let Port { shared, .. } = &self.0.port;
            shared.reached(mark);
            let reaches = || Happening::Reaches { mark: mark.to_owned() };
            shared.record(self.0.port.now(), self.0.id, reaches);
        }
    }

    /// Whether the node is to do now what it may do at any time and seldom does: to give up early, to take
    /// few at a time, to answer late. Never, unless a run was drawn to have such whims; then half of them are
    /// alive in it, and each of these comes over a node one time in four. The name tells whims apart.
    pub fn maybe(&self, whim: &'static str) -> bool {
        self.0.port.shared.maybe(self.0.id, whim)
    }

    /// Runs another task of the node beside this one. What ends or panics there is reported like an
    /// end of the node itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let task = async move {
            task.await;
            std::future::pending::<String>().await
        };
        self.0.port.network.spawn(Place::of_node(self.0.id), self.guard(task));
    }

    /// Wraps a task of the node so that its misbehaviour is recorded.
    pub(super) fn guard<F>(&self, task: F) -> Guard<F, impl Fn(Failure) + Unpin + use<F>>
    where
        F: Future<Output = String>,
    {
        let shared = self.0.port.shared.clone();
        let id = self.0.id;
        let budget = shared.poll_budget(id);
        Guard::new(task, budget, move |failure| shared.fail(id, failure))
    }
}

impl fmt::Debug for NodeCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeCx(n{}, start {})", self.0.id, self.0.incarnation)
    }
}

/// Whom a client has to do with in one operation.
#[derive(Default)]
pub(crate) struct Trail {
    asked_first: Cell<Option<NodeId>>,
    answered_last: Cell<Option<NodeId>>,
}

impl Trail {
    /// The next operation begins.
    pub(crate) fn clear(&self) {
        self.asked_first.set(None);
        self.answered_last.set(None);
    }

    /// The node that was asked first.
    pub(crate) fn asked_first(&self) -> Option<NodeId> {
        self.asked_first.get()
    }

    /// The node that answered last.
    pub(crate) fn answered_last(&self) -> Option<NodeId> {
        self.answered_last.get()
    }

    fn ask(&self, node: NodeId) {
        self.asked_first.set(self.asked_first.get().or(Some(node)));
    }

    fn hear(&self, message: &Message) {
        if let Address::Node(node) = message.from {
            self.answered_last.set(Some(node));
        }
    }
}

/// A client's view of the world.
pub struct ClientCx {
    session: SessionId,
    home: NodeId,
    pinned: bool,
    inspects: bool,
    port: Port,
    tickets: Cell<u64>,
    trail: Rc<Trail>,
}

impl ClientCx {
    pub(super) async fn open(
        shared: Rc<Shared>,
        network: &Network,
        client: ClientSpec,
    ) -> ClientCx {
        let ClientSpec { session, home, pinned, inspects } = client;
        shared.homes.borrow_mut().insert(session, home);
        let port = Port::open(shared, network, Address::Client(session)).await;
        let (tickets, trail) = Default::default();
        ClientCx { session, home, pinned, inspects, port, tickets, trail }
    }

    /// The client's session, which no other client of the run has.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The node that the client turns to. Where that is removed from the cluster, it is another one from
    /// then on; so it is for a pinned client where the node is kept away until the run ends.
    pub fn home(&self) -> NodeId {
        self.port.shared.roster.home_of(self.home, self.pinned)
    }

    /// Whether the client must stay with its home, even where that does not answer. Clients that
    /// follow leader hints hide stale reads; pinned ones show them.
    pub fn pinned(&self) -> bool {
        self.pinned
    }

    /// Whether the client reads what its home holds, at the end of a run: whatever the reads of the
    /// workload are allowed, this one must turn to no other node.
    pub fn inspects(&self) -> bool {
        self.inspects
    }

    /// All nodes that there are, in order, whether or not they take part at the moment.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.port.shared.node_ids()
    }

    /// The client's clock: virtual time since the run began.
    pub fn now(&self) -> Time {
        self.port.now()
    }

    /// The client's clock, for whoever is to read it later.
    pub fn clock(&self) -> Clock {
        self.port.clock.clone()
    }

    /// Waits.
    pub async fn sleep(&self, time: Duration) {
        self.port.clock.sleep(time).await;
    }

    /// Waits until the client's clock shows `at` or later.
    pub async fn sleep_until(&self, at: Time) {
        self.sleep(at.since(self.now())).await;
    }

    /// Sends a message and forgets it. It may be lost, arrive more than once, or overtake another.
    pub fn send(&self, to: NodeId, bytes: &[u8]) {
        self.trail.ask(to);
        self.port.send(Address::Node(to), bytes, 0);
    }

    /// Waits for the next message.
    pub async fn recv(&self) -> Message {
        let message = self.port.recv().await;
        self.trail.hear(&message);
        message
    }

    /// Whom it has to do with, for whoever is to read it later.
    pub(crate) fn trail(&self) -> Rc<Trail> {
        self.trail.clone()
    }

    /// Sends a request and waits for its [answer](NodeCx::reply); nothing if none comes in time,
    /// which says nothing about what the node did.
    pub async fn request(&self, to: NodeId, bytes: &[u8], wait: Duration) -> Option<Vec<u8>> {
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        self.trail.ask(to);
        self.port.send(Address::Node(to), bytes, ticket);
        let answer = async {
            loop {
                let message = self.port.recv().await;
                if message.ticket == ticket {
                    self.trail.hear(&message);
                    return message.bytes;
                }
            }
        };
        self.port.clock.timeout(wait, answer).await
    }

    /// Random numbers for one purpose, different for every client.
    pub fn random(&self, purpose: &str) -> Stream {
        self.port.shared.seeds.stream(&format!("client/{}/{purpose}", self.session))
    }
}

impl fmt::Debug for ClientCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCx(session {}, at n{})", self.session, self.home)
    }
}

/// What a client is when it comes into being.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientSpec {
    pub(crate) session: SessionId,
    pub(crate) home: NodeId,
    pub(crate) pinned: bool,
    pub(crate) inspects: bool,
}

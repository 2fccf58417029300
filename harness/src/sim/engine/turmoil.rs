//! The engine `turmoil`: a simulation of the crate of that name, in which every host has its turn in each
//! tick.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

use checkers::history::{NodeId, SessionId, Time};
use tokio::task::LocalSet;
use tokio::time::Instant;
use turmoil::Sim;
use turmoil::net::UdpSocket;

use super::Software;
use super::latency::Latency;
use crate::config::Config;
use crate::seed::Seed;
use crate::sim::context::{Address, Message, Parcel};
use crate::sim::process::{self, Process};
use crate::sim::shared::{Place, Shared};
use crate::system::LocalBoxFuture;

/// The port that every node listens on.
const NODE_PORT: u16 = 7000;
/// The port of the client with session 0; the others follow.
const CLIENT_PORT: u16 = 8000;
/// How many hosts join, less one, when the run goes over to another seed. Each is a link more to all others.
const JOINING_MAX: u64 = 8;
/// The grain of timers.
pub(super) const GRAIN: Duration = Duration::from_millis(1);

/// See the module.
pub(in crate::sim) struct Hosts {
    sim: Sim<'static>,
    tick: Duration,
    network: Rc<Network>,
    /// By place.
    gates: Vec<Rc<Gate>>,
}

impl Hosts {
    pub(super) fn new(config: &Config, shared: &Rc<Shared>) -> Hosts {
        let sim = build(config, shared.seeds.present());
        let places = (0..=config.all_nodes() as usize).map(Place);
        let gates = places.clone().map(|_| Rc::default()).collect();
        let ips = places.map(|place| sim.lookup(place.name())).collect();
        let (scratch, latency) = (RefCell::default(), RefCell::default());
        let network = Network { shared: shared.clone(), ips, scratch, latency };
        Hosts { sim, tick: config.tick, network: Rc::new(network), gates }
    }

    pub(super) fn network(&self) -> Rc<Network> {
        self.network.clone()
    }

    pub(super) fn add(&mut self, place: Place, software: Software) {
        let gate = self.gates[place.0].clone();
        self.sim.host(place.name(), move || {
            let (software, gate) = (software(), gate.clone());
            async move {
                match place {
                    Place::CLIENTS => software.await,
                    _ => gate.keep(software).await,
                }
                Ok(())
            }
        });
    }

    pub(super) fn stop(&mut self, place: Place) {
        self.sim.crash(place.name());
        self.gates[place.0].open();
    }

    pub(super) fn pause(&mut self, place: Place) {
        self.gates[place.0].is_closed.set(true);
    }

    pub(super) fn resume(&mut self, place: Place) {
        self.gates[place.0].open();
    }

    pub(super) fn start(&mut self, place: Place) {
        self.sim.bounce(place.name());
    }

    /// turmoil keeps to the random numbers that it was built with. So latencies are drawn here from now on, beyond the
    /// least, which turmoil sees to. And because whoever joins it takes some of its numbers away, a few hosts do
    /// that and end at once, so that it goes on from another of them, by which it decides whose turn it is.
    pub(super) fn go_over(&mut self, config: &Config) {
        let seeds = &self.network.shared.seeds;
        self.sim.set_max_message_latency(config.tick);
        *self.network.latency.borrow_mut() = Some(Latency::new(config, seeds));
        for joining in 0..seeds.stream("turmoil").below(JOINING_MAX) {
            self.sim.client(format!("joining-{joining}"), async { Ok(()) });
        }
    }

    pub(super) fn tick(&mut self) {
        let shared = &self.network.shared;
        shared.refill_budgets();
        self.sim.step().expect("guarded hosts neither end nor fail");
        shared.now.set(shared.now.get() + self.tick);
    }
}

fn build(config: &Config, seed: Seed) -> Sim<'static> {
    let mut builder = turmoil::Builder::new();
    builder
        // Without these two, turmoil reads the clock and the entropy of the host.
        .epoch(SystemTime::UNIX_EPOCH)
        .rng_seed(seed.stream("turmoil").number())
        .enable_random_order()
        .tick_duration(config.tick)
        // Below the tick, a message would arrive in the step that sent it, at a host that has not
        // run yet: effects before their causes.
        .min_message_latency(config.tick)
        .max_message_latency(config.latency_max.max(config.tick))
        // The run ends by its own clock.
        .simulation_duration(Duration::from_secs(u64::MAX / 4))
        .udp_capacity(1 << 16)
        .tcp_capacity(1024);
    builder.build()
}

/// What the tasks of a node are behind. While it is closed, none of them is polled, not even those that were
/// spawned around the seam, while timers end and messages come.
#[derive(Default)]
struct Gate {
    is_closed: Cell<bool>,
    /// Whoever found it closed.
    waiting: Cell<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.is_closed.set(false);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    async fn keep(&self, software: LocalBoxFuture<'static, ()>) {
        let mut tasks = LocalSet::new();
        tasks.spawn_local(software);
        std::future::poll_fn(|cx| {
            if self.is_closed.get() {
                self.waiting.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Pin::new(&mut tasks).poll(cx)
        })
        .await;
    }
}

/// Runs a task on the host that this is called on.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(task);
}

/// The addresses of a run.
pub(in crate::sim) struct Network {
    shared: Rc<Shared>,
    /// The address of the clients' host, then those of the nodes.
    ips: Vec<IpAddr>,
    /// Where messages are put together.
    scratch: RefCell<Vec<u8>>,
    /// How long messages take that are sent after the run has gone over to another seed.
    latency: RefCell<Option<Latency>>,
}

impl Network {
    fn socket_of(&self, address: Address) -> SocketAddr {
        match address {
            Address::Node(node) => SocketAddr::new(self.ips[node.index()], NODE_PORT),
            Address::Client(client) => SocketAddr::new(self.ips[0], port_of(client)),
        }
    }

    fn address_of(&self, socket: SocketAddr) -> Option<Address> {
        let place = self.ips.iter().position(|ip| *ip == socket.ip())?;
        Some(match place {
            0 => Address::Client(SessionId(u32::from(socket.port() - CLIENT_PORT))),
            node => Address::Node(NodeId(node as u32)),
        })
    }
}

fn port_of(client: SessionId) -> u16 {
    CLIENT_PORT + client.0 as u16
}

/// A socket of turmoil's, and what has arrived there too early.
pub(in crate::sim) struct Socket {
    socket: UdpSocket,
    network: Rc<Network>,
    owner: Address,
    clock: Clock,
    /// What has arrived and is to be late, by the time at which it may be seen and in the order of
    /// arrival.
    late: RefCell<BTreeMap<(Time, u64), Message>>,
    arrivals: Cell<u64>,
    /// What has arrived and waits because of a fault, in the order of arrival.
    waiting: RefCell<VecDeque<Message>>,
}

impl Socket {
    pub(super) async fn bind(network: Rc<Network>, owner: Address) -> Socket {
        let number = match owner {
            Address::Node(_) => NODE_PORT,
            Address::Client(client) => port_of(client),
        };
        let clock = Clock::starting(network.shared.now.get());
        let bound = UdpSocket::bind(("0.0.0.0", number)).await;
        let socket = bound.expect("the port is free on its host");
        let (late, arrivals) = (RefCell::default(), Cell::new(0));
        let waiting = RefCell::default();
        Socket { socket, network, owner, clock, late, arrivals, waiting }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn send(&self, parcel: Parcel, bytes: &[u8], ticket: u64, delay: Duration) {
        let latency = self.network.latency.borrow_mut().as_mut().map(Latency::draw_beyond);
        let delay = delay + latency.unwrap_or_default();
        let mut frame = self.network.scratch.borrow_mut();
        frame.clear();
        frame.extend_from_slice(bytes);
        frame.extend_from_slice(&ticket.to_le_bytes());
        frame.extend_from_slice(&parcel.number.to_le_bytes());
        frame.extend_from_slice(&(delay.as_nanos() as u64).to_le_bytes());
        self.socket
            .try_send_to(&frame, self.network.socket_of(parcel.to))
            .expect("turmoil sends between registered hosts");
    }

    pub(super) fn next(&self) -> Option<Message> {
        if let Some(message) = self.take_late() {
            return Some(message);
        }
        self.let_wait();
        if let Some(message) = self.waiting.borrow_mut().pop_front() {
            return Some(message);
        }
        self.take()
    }

    /// Where a fault makes messages wait, or did until now: takes in what has arrived, as far as there is
    /// room for it. What turmoil has of it nobody sees before the node asks.
    fn let_wait(&self) {
        let shared = &self.network.shared;
        let hindering = shared.process(Place::of(self.owner)).map(Process::take_hindering);
        let hindering = hindering.unwrap_or_default();
        if hindering.is_empty() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        while let Some(message) = self.take() {
            let full = process::bytes_of(waiting.iter().map(|message| message.bytes.len()));
            if shared.has_room(self.clock.now(), self.parcel(&message), full, &hindering) {
                waiting.push_back(message);
            }
        }
    }

    /// Takes the next message from turmoil.
    fn take(&self) -> Option<Message> {
        RECEIVED.with_borrow_mut(|buffer| {
            let longest = self.network.shared.longest.get() + 24;
            buffer.resize(longest.max(buffer.len()), 0);
            while let Ok((len, from)) = self.socket.try_recv_from(buffer) {
                if let Some(message) = self.open(len, from, buffer) {
                    return Some(message);
                }
            }
            None
        })
    }

    pub(super) async fn arrival(&self) {
        if !self.waiting.borrow().is_empty() {
            return;
        }
        let due = self.late.borrow().keys().next().map(|(due, _)| *due);
        let late = async {
            match due {
                Some(due) => self.clock.sleep(due.since(self.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            readable = self.socket.readable() => {
                readable.expect("a turmoil socket does not fail to receive");
            }
            () = late => {}
        }
    }

    /// Takes apart what has arrived, unless a fault keeps it from being delivered.
    fn open(&self, len: usize, from: SocketAddr, buffer: &[u8]) -> Option<Message> {
        let from = self.network.address_of(from)?;
        let (bytes, delay) = buffer[..len].split_last_chunk()?;
        let (bytes, number) = bytes.split_last_chunk()?;
        let (bytes, ticket) = bytes.split_last_chunk()?;
        let message = Message {
            from,
            bytes: bytes.to_vec(),
            ticket: u64::from_le_bytes(*ticket),
            number: u64::from_le_bytes(*number),
        };
        if !self.may_deliver(&message) {
            return None;
        }
        let delay = Duration::from_nanos(u64::from_le_bytes(*delay));
        if delay.is_zero() {
            return Some(message);
        }
        self.arrivals.set(self.arrivals.get() + 1);
        self.late.borrow_mut().insert((self.clock.now() + delay, self.arrivals.get()), message);
        None
    }

    /// The next of the late messages that may be seen, unless its link has been cut meanwhile.
    fn take_late(&self) -> Option<Message> {
        let mut late = self.late.borrow_mut();
        while let Some(first) = late.first_entry()
            && first.key().0 <= self.clock.now()
        {
            let message = first.remove();
            if self.may_deliver(&message) {
                return Some(message);
            }
        }
        None
    }

    fn may_deliver(&self, message: &Message) -> bool {
        self.network.shared.may_deliver(self.clock.now(), self.parcel(message))
    }

    fn parcel(&self, message: &Message) -> Parcel {
        Parcel { number: message.number, from: message.from, to: self.owner }
    }
}

thread_local! {
    /// Where arriving messages are put down: one for all sockets of a thread, because clearing one
    /// for each socket of each run cost a third of a short run.
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The clock of one start of a host, which has a runtime of its own.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// A moment of that runtime.
    runtime: Instant,
    /// The world's time at that moment.
    world: Time,
}

impl Clock {
    pub(super) fn starting(world: Time) -> Clock {
        Clock { runtime: Instant::now(), world }
    }

    pub(super) fn now(&self) -> Time {
        self.world + self.runtime.elapsed()
    }

    pub(super) async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(super) async fn timeout<F: Future>(&self, time: Duration, awaited: F) -> Option<F::Output> {
        tokio::time::timeout(time, awaited).await.ok()
    }
}

//! A cluster, its network and its clients as a model of stateright.
//!
//! What can happen next is all that can happen in a network that loses, doubles and reorders, to nodes
//! that crash and whose timers fire early or late. A message that is lost is one that stays under way
//! for ever; two equal ones under way at a time are one. An answer reaches its client at once: one that
//! is late, or lost, allows a client more, and so says less.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};
use stateright::{Model, Property};
use stormglass_reference_db::env::{ClientId, NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::{Input, Options, Output, Timing};
use stormglass_reference_db::wire::{self, Request};

use super::digest::{Digest, digest};
use super::node::{Node, Panicked, Shown};
use super::{Bounds, LINEARIZABLE, Plant, Subject};

/// A heartbeat is half a timeout: a leader shows that it lives once before it asks itself whether
/// anyone listens. Timeouts that are drawn lie beyond the shortest one, by more than a nanosecond.
pub(crate) const TIMING: Timing =
    Timing { heartbeat: Duration::from_secs(10), election: Duration::from_secs(20) };

/// Members of the cluster.
pub(crate) const NODES: u32 = 3;

/// The one key.
const KEY: &str = "x";

/// The number of a client's first request that is explored.
const SEQUENCE: u64 = 10;

/// What is explored.
pub(crate) struct Scenario<P: Subject> {
    /// How much of everything may happen.
    pub(crate) bounds: Bounds,
    /// What clients ask, in this order, and of whom; of whoever leads where no node is named.
    pub(crate) asks: Vec<(Option<NodeId>, Command)>,
    /// The session that each has, and where it begins.
    sessions: Vec<u64>,
    start: World<P>,
    plant: Option<Plant>,
}

/// All that is true at a moment.
#[derive(Clone)]
pub(crate) struct World<P: Subject> {
    /// The nodes, by number.
    pub(crate) nodes: Vec<Arc<Node<P>>>,
    /// What is under way, in order.
    pub(crate) flying: Vec<Arc<Envelope<P::Message>>>,
    /// What has happened of what is bounded.
    pub(crate) spent: Bounds,
    /// What the clients have asked and learned.
    pub(crate) clients: LinearizabilityTester<usize, Register<Option<Vec<u8>>>>,
    /// How many of them were answered.
    pub(crate) answered: usize,
    /// What the properties remember.
    pub(crate) past: P::Past,
    /// A node has found something impossible.
    pub(crate) panicked: bool,
}

/// A message under way.
#[derive(Clone)]
pub(crate) struct Envelope<M> {
    from: NodeId,
    to: NodeId,
    message: M,
    digest: Digest,
}

impl<M: fmt::Debug> fmt::Debug for Envelope<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {:?}", self.from, self.to, self.message)
    }
}

impl<M> PartialEq for Envelope<M> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<M> Envelope<M> {
    fn key(&self) -> (NodeId, NodeId, Digest) {
        (self.to, self.from, self.digest)
    }
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<M> {
    /// A message arrives.
    Arrives(Arc<Envelope<M>>),
    /// A message arrives, and will once more.
    ArrivesTwice(Arc<Envelope<M>>),
    /// The timer fires.
    Timer(NodeId),
    /// Almost so much time passes that the timer would fire.
    Silence(NodeId),
    /// A client asks for the next thing.
    Ask(NodeId),
}

/// One step of the world.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action<M> {
    /// It happens.
    Event(Event<M>),
    /// It happens, and the node crashes before it has done all that follows: so many writes it does.
    CrashWithin(Event<M>, usize),
    /// A node crashes and comes back. Of what it wrote since it last sent something, so much stays.
    Crash(NodeId, usize),
}

impl<P: Subject> PartialEq for World<P> {
    fn eq(&self, other: &Self) -> bool {
        let nodes = self.nodes.iter().map(|node| node.digest);
        nodes.eq(other.nodes.iter().map(|node| node.digest))
            && self.flying == other.flying
            && self.spent == other.spent
            && self.clients == other.clients
            && self.past == other.past
            && self.panicked == other.panicked
    }
}

impl<P: Subject> Hash for World<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nodes.iter().for_each(|node| node.digest.hash(state));
        self.flying.iter().for_each(|envelope| envelope.key().hash(state));
        self.spent.hash(state);
        self.clients.hash(state);
        self.answered.hash(state);
        self.past.hash(state);
        self.panicked.hash(state);
    }
}

impl<P: Subject> fmt::Debug for World<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.up.status()).collect();
        write!(f, "{nodes:?}, {} under way, {:?}", self.flying.len(), self.past)
    }
}

impl<P: Subject> Model for Scenario<P> {
    type State = World<P>;
    type Action = Action<P::Message>;

    fn init_states(&self) -> Vec<World<P>> {
        vec![self.start.clone()]
    }

    fn actions(&self, world: &World<P>, actions: &mut Vec<Self::Action>) {
        if world.panicked {
            return;
        }
        let events = self.events(world);
        if world.spent.crashes < self.bounds.crashes {
            for event in &events {
                let within = (0..=1).map(|writes| Action::CrashWithin(event.clone(), writes));
                actions.extend(within);
            }
            for (node, id) in world.nodes.iter().zip(0..) {
                let crash = (0..=node.unsynced()).map(|kept| Action::Crash(NodeId(id), kept));
                actions.extend(crash);
            }
        }
        actions.extend(events.into_iter().map(Action::Event));
    }

    fn next_state(&self, world: &World<P>, action: Self::Action) -> Option<World<P>> {
        let mut next = world.clone();
        let done = match action {
            Action::Event(event) => self.happen(&mut next, event, None),
            Action::CrashWithin(event, writes) => {
                next.spent.crashes += 1;
                self.happen(&mut next, event, Some(writes))
            }
            Action::Crash(node, kept) => {
                next.spent.crashes += 1;
                self.crash(&mut next, node, kept).map(|()| true)
            }
        };
        match done {
            Ok(true) => Some(next),
            Ok(false) => None,
            Err(Panicked) => Some(World { panicked: true, ..world.clone() }),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = P::properties();
        properties.push(Property::always("no node panics", |_, world: &World<P>| !world.panicked));
        properties.push(Property::always(LINEARIZABLE, |_, world: &World<P>| {
            world.clients.is_consistent()
        }));
        if self.bounds.asks > 0 {
            let ended = Property::sometimes(
                "all operations end after a crash",
                |model: &Self, world: &World<P>| {
                    world.answered == model.bounds.asks
                        && world.spent.crashes == model.bounds.crashes
                },
            );
            properties.push(ended);
        }
        properties
    }
}

impl<P: Subject> Scenario<P> {
    /// Begins with nodes that have just been started for the first time.
    pub(crate) fn fresh(acknowledge: Acknowledge, leaderless: Settings, bounds: Bounds) -> Self {
        let options = |id| Options {
            id: NodeId(id),
            nodes: (0..NODES).map(NodeId).collect(),
            timing: TIMING,
            snapshot_entries: u64::MAX,
            sessions_max: 8,
            acknowledge,
            leaderless,
        };
        let start = World {
            nodes: (0..NODES).map(|id| Arc::new(Node::new(options(id)))).collect(),
            flying: Vec::new(),
            spent: Bounds::NONE,
            clients: LinearizabilityTester::new(Register(None)),
            answered: 0,
            past: P::Past::default(),
            panicked: false,
        };
        Scenario { bounds, asks: Vec::new(), sessions: Vec::new(), start, plant: None }
    }

    /// Lets the timer of a node fire, and then everything arrive that follows, in order.
    ///
    /// # Panics
    /// Where it does not come to an end, or a node panics.
    pub(crate) fn led_by(mut self, node: NodeId) -> Self {
        self.advance(Event::Timer(node));
        self
    }

    /// Has clients with sessions, who will ask this.
    ///
    /// # Panics
    /// Where a session cannot be opened.
    pub(crate) fn asking(mut self, asks: &[(Option<NodeId>, Command)]) -> Self {
        for (client, (door, _)) in asks.iter().enumerate() {
            let node = door.or_else(|| self.leaders(&self.start).next());
            let node = node.expect("there is a leader");
            let (client, command) = (ClientId(client as u64), Command::OpenSession);
            let request = Request { session: 0, sequence: 1, seen: 0, command };
            let input = Input::Request { from: client, request, wall: 0 };
            let mut world = self.start.clone();
            let shown = self.step(&mut world, node, input, None);
            let mut shown = shown.expect("nobody panics").expect("it is a whole step");
            self.start = world;
            shown.extend(self.arrive_all());
            let session = shown.iter().find_map(|output| match output {
                Output::Reply { reply: Reply::Session(n) | Reply::NodeSession(n), .. } => Some(*n),
                _ => None,
            });
            self.sessions.push(session.expect("a session is opened"));
        }
        self.asks = asks.to_vec();
        assert_eq!(self.asks.len(), self.bounds.asks, "the bound is what is asked");
        self.start.spent = Bounds::NONE;
        self
    }

    /// Makes a mistake.
    pub(crate) fn planted(mut self, plant: Plant) -> Self {
        self.plant = Some(plant);
        self
    }

    fn advance(&mut self, event: Event<P::Message>) {
        let mut world = self.start.clone();
        let done = self.happen(&mut world, event, None);
        assert!(matches!(done, Ok(true)), "nobody panics before the exploration begins");
        self.start = World { spent: Bounds::NONE, ..world };
        self.arrive_all();
    }

    /// Lets everything arrive that is under way, and returns what was answered.
    fn arrive_all(&mut self) -> Shown<P> {
        let mut answers = Vec::new();
        for _ in 0..1_000 {
            let Some(envelope) = self.start.flying.first().cloned() else { return answers };
            let mut world = self.start.clone();
            world.take(&envelope);
            let shown = self.step(&mut world, envelope.to, arrival(&envelope), None);
            let shown = shown.expect("nobody panics").expect("it is a whole step");
            answers.extend(shown);
            self.start = world;
        }
        panic!("messages beget messages for ever");
    }

    fn leaders<'a>(&self, world: &'a World<P>) -> impl Iterator<Item = NodeId> + 'a {
        let leads = |(node, id): (&Arc<Node<P>>, u32)| {
            (node.up.status().role == Role::Leader).then_some(NodeId(id))
        };
        world.nodes.iter().zip(0..).filter_map(leads)
    }

    /// All that can happen to nodes.
    fn events(&self, world: &World<P>) -> Vec<Event<P::Message>> {
        let (spent, bounds) = (&world.spent, &self.bounds);
        let mut events = Vec::new();
        for envelope in &world.flying {
            events.push(Event::Arrives(Arc::clone(envelope)));
            if spent.duplicates < bounds.duplicates {
                events.push(Event::ArrivesTwice(Arc::clone(envelope)));
            }
        }
        if spent.timers < bounds.timers {
            for (node, id) in world.nodes.iter().zip(0..) {
                events.push(Event::Timer(NodeId(id)));
                // A leader never waits for silence.
                let waits = node.up.status().role != Role::Leader && bounds.silence;
                if waits && before(node.up.deadline()) > node.now {
                    events.push(Event::Silence(NodeId(id)));
                }
            }
        }
        if let Some((door, _)) = self.asks.get(spent.asks) {
            match door {
                Some(node) => events.push(Event::Ask(*node)),
                None => events.extend(self.leaders(world).map(Event::Ask)),
            }
        }
        events
    }

    /// Lets something happen, as far as it can.
    fn happen(
        &self,
        world: &mut World<P>,
        event: Event<P::Message>,
        survives: Option<usize>,
    ) -> Result<bool, Panicked> {
        let (to, input) = match event {
            Event::Arrives(envelope) => {
                world.take(&envelope);
                (envelope.to, arrival(&envelope))
            }
            Event::ArrivesTwice(envelope) => {
                world.spent.duplicates += 1;
                (envelope.to, arrival(&envelope))
            }
            Event::Timer(node) => {
                world.spent.timers += 1;
                let deadline = world.node(node).up.deadline();
                world.change(node).wait(deadline);
                (node, Input::Timer)
            }
            Event::Silence(node) => {
                world.spent.timers += 1;
                let deadline = world.node(node).up.deadline();
                world.change(node).wait(before(deadline));
                return Ok(survives.is_none());
            }
            Event::Ask(node) => (node, self.ask(world)),
        };
        Ok(self.step(world, to, input, survives)?.is_some())
    }

    /// What the next client asks.
    fn ask(&self, world: &mut World<P>) -> Input<P::Message> {
        let client = world.spent.asks;
        world.spent.asks += 1;
        let command = self.asks[client].1.clone();
        let op = match &command {
            Command::Write { value, .. } => RegisterOp::Write(Some(value.clone())),
            _ => RegisterOp::Read,
        };
        world.clients.on_invoke(client, op).expect("each client asks once");
        let (session, sequence) = (self.sessions[client], SEQUENCE + client as u64);
        let request = Request { session, sequence, seen: 0, command };
        Input::Request { from: ClientId(client as u64), request, wall: 0 }
    }

    /// Gives a node an input, and the world what comes of it.
    fn step(
        &self,
        world: &mut World<P>,
        to: NodeId,
        input: Input<P::Message>,
        survives: Option<usize>,
    ) -> Result<Option<Shown<P>>, Panicked> {
        let was = Arc::clone(world.node(to));
        let Some(shown) = world.change(to).step(input, survives, self.plant)? else {
            return Ok(None);
        };
        for output in &shown {
            match output {
                Output::Send { to: other, message } => {
                    world.send(Envelope::new(to, *other, message.clone()));
                    let forged = self.plant.and_then(|plant| P::forged(plant, message));
                    if let Some(answer) = forged {
                        world.send(Envelope::new(*other, to, answer));
                    }
                }
                Output::Reply { sequence, reply, .. } => world.answer(*sequence, reply),
                Output::Persist(_) | Output::Snapshot(_) => {}
            }
        }
        P::note(world, to, &was, &shown);
        Ok(Some(shown))
    }

    fn crash(&self, world: &mut World<P>, node: NodeId, kept: usize) -> Result<(), Panicked> {
        let was = Arc::clone(world.node(node));
        if self.plant == Some(Plant::OldImage) {
            world.nodes[node.0 as usize] = Arc::clone(self.start.node(node));
        } else {
            world.change(node).crash(kept)?;
        }
        P::note(world, node, &was, &Vec::new());
        Ok(())
    }
}

impl<M: Clone + serde::Serialize> Envelope<M> {
    fn new(from: NodeId, to: NodeId, message: M) -> Self {
        let digest = digest(&wire::encode(&message));
        Envelope { from, to, message, digest }
    }
}

impl<P: Subject> World<P> {
    /// A node, by number.
    pub(crate) fn node(&self, id: NodeId) -> &Arc<Node<P>> {
        &self.nodes[id.0 as usize]
    }

    fn change(&mut self, id: NodeId) -> &mut Node<P> {
        Arc::make_mut(&mut self.nodes[id.0 as usize])
    }

    fn take(&mut self, envelope: &Envelope<P::Message>) {
        self.flying.retain(|other| other.as_ref() != envelope);
    }

    fn send(&mut self, envelope: Envelope<P::Message>) {
        let place = self.flying.binary_search_by_key(&envelope.key(), |other| other.key());
        if let Err(place) = place {
            self.flying.insert(place, Arc::new(envelope));
        }
    }

    /// A client learns something. Only what ends its operation is told to the judge: one that was
    /// turned down may be asked again, and is left open.
    fn answer(&mut self, sequence: u64, reply: &Reply) {
        let Some(client) = sequence.checked_sub(SEQUENCE) else { return };
        let ret = match reply {
            Reply::Done => RegisterRet::WriteOk,
            Reply::Value(value) => RegisterRet::ReadOk(value.clone()),
            _ => return,
        };
        self.answered += 1;
        self.clients.on_return(client as usize, ret).expect("each operation ends once");
    }
}

fn arrival<M: Clone>(envelope: &Envelope<M>) -> Input<M> {
    Input::Message { from: envelope.from, message: envelope.message.clone() }
}

/// The last moment before another.
fn before(at: Time) -> Time {
    Time(at.0 - 1)
}

/// A client makes the key hold something.
pub(crate) fn write(value: &str) -> Command {
    Command::Write { key: KEY.into(), value: value.into() }
}

/// A client asks what it holds.
pub(crate) fn read() -> Command {
    Command::Read { key: KEY.into(), level: ReadLevel::Strong }
}

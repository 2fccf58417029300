//! A cluster, its network and its clients as a model of stateright.
//!
//! What can happen next is all that can happen in a network that loses, doubles and reorders, to nodes
//! that crash or lose their disks, and whose timers fire early or late. A message that was sent may arrive at
//! any time from then on, or never, and any number of times. An answer reaches its client at once: one that is late,
//! or lost, allows a client more, and so says less.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};
use stateright::{Model, Property};
use stormglass_reference_db::env::{ClientId, NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::raft::StrongReads;
use stormglass_reference_db::protocol::{Input, Options, Output, Timing, multi_leader};
use stormglass_reference_db::wire::{self, Request};

use super::digest::{Digest, digest};
use super::node::{Node, Panicked};
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

/// The number of the one thing that an operator wants, who has no session.
const OPERATOR: u64 = 5;

/// What is explored.
pub(crate) struct Scenario<P: Subject> {
    /// How much of everything may happen.
    pub(crate) bounds: Bounds,
    /// What clients ask, in this order, and of whom; of whoever leads where no node is named.
    pub(crate) asks: Vec<(Option<NodeId>, Command)>,
    /// The session that each has, and where it begins.
    sessions: Vec<u64>,
    start: World<P>,
    /// What does not arrive before the exploration begins.
    holds: fn(&Envelope<P::Message>) -> bool,
    plant: Option<Plant>,
    /// What was found out of what nodes do.
    known: Mutex<BTreeMap<Question, Arc<Outcome<P>>>>,
}

type Clients = LinearizabilityTester<usize, Register<Option<Vec<u8>>>>;

/// All that is true at a moment.
#[derive(Clone)]
pub(crate) struct World<P: Subject> {
    /// The nodes, by number.
    pub(crate) nodes: Vec<Arc<Node<P>>>,
    /// What was sent, in order.
    pub(crate) flying: Vec<Arc<Envelope<P::Message>>>,
    /// What has happened of what is bounded.
    pub(crate) spent: Bounds,
    /// What the clients have asked and learned.
    pub(crate) clients: Arc<Clients>,
    /// How many of them were answered.
    pub(crate) answered: usize,
    /// What the properties remember.
    pub(crate) past: Arc<P::Past>,
    /// A node has found something impossible.
    pub(crate) panicked: bool,
}

/// A message under way.
pub(crate) struct Envelope<M> {
    /// Who sent it.
    pub(crate) from: NodeId,
    /// To whom.
    pub(crate) to: NodeId,
    /// What it says.
    pub(crate) message: M,
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
    fn concerns_any(&self, nodes: &[u32]) -> bool {
        nodes.iter().any(|node| self.concerns(NodeId(*node)))
    }

    pub(crate) fn concerns(&self, node: NodeId) -> bool {
        self.from == node || self.to == node
    }

    fn key(&self) -> (NodeId, NodeId, Digest) {
        (self.to, self.from, self.digest)
    }
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<M> {
    /// A message arrives.
    Arrives(Arc<Envelope<M>>),
    /// The timer fires.
    Timer(NodeId),
    /// Almost so much time passes that the timer would fire.
    Silence(NodeId),
    /// A client asks for the next thing.
    Ask(NodeId),
    /// The node crashes and comes back. Of what it wrote since it last sent something, so much stays.
    Crash(NodeId, usize),
    /// The node crashes, and its disk is lost. It comes back with an empty one.
    Wipe(NodeId),
}

impl<M> Event<M> {
    /// To whom it happens.
    fn node(&self) -> NodeId {
        match self {
            Event::Arrives(envelope) => envelope.to,
            Event::Timer(node)
            | Event::Silence(node)
            | Event::Ask(node)
            | Event::Crash(node, _)
            | Event::Wipe(node) => *node,
        }
    }
}

/// One step of the world.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action<M> {
    /// It happens.
    Event(Event<M>),
    /// It happens, and the node crashes before it has done all that follows: so many writes it does.
    CrashWithin(Event<M>, usize),
}

/// What comes of an event.
pub(crate) struct Reaction<P: Subject> {
    /// The node afterwards.
    pub(crate) node: Arc<Node<P>>,
    /// What was sent, be it by a forger.
    sent: Vec<Arc<Envelope<P::Message>>>,
    /// What clients were told.
    pub(crate) answers: Vec<Answer>,
}

/// What a client was told.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The request.
    pub(crate) sequence: u64,
    /// What was replied.
    pub(crate) reply: Reply,
    /// How far it goes.
    pub(crate) position: u64,
}

/// What comes of an event, if it can happen.
type Outcome<P> = Result<Option<Arc<Reaction<P>>>, Panicked>;

/// A node, what happens to it (with the number of the client), and how much of that survives a crash.
type Question = (Digest, (u8, NodeId, Digest, usize), Option<usize>);

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
        let mut start = self.start.clone();
        start.flying.retain(|envelope| !envelope.concerns_any(self.bounds.down));
        vec![start]
    }

    fn actions(&self, world: &World<P>, actions: &mut Vec<Self::Action>) {
        if world.panicked {
            return;
        }
        let events = self.events(world);
        let is_up = |(_, id): &(_, u32)| !self.bounds.down.contains(id);
        if world.spent.crashes < self.bounds.crashes {
            for event in &events {
                let within = (0..=1).map(|writes| Action::CrashWithin(event.clone(), writes));
                actions.extend(within);
            }
            for (node, id) in world.nodes.iter().zip(0..).filter(is_up) {
                let crashes = (0..=node.unsynced()).map(|kept| Event::Crash(NodeId(id), kept));
                actions.extend(crashes.map(Action::Event));
            }
        }
        if world.spent.wipes < self.bounds.wipes {
            let up = world.nodes.iter().zip(0..).filter(is_up);
            actions.extend(up.map(|(_, id)| Action::Event(Event::Wipe(NodeId(id)))));
        }
        actions.extend(events.into_iter().map(Action::Event));
    }

    fn next_state(&self, world: &World<P>, action: Self::Action) -> Option<World<P>> {
        let (event, survives) = match action {
            Action::Event(event) => (event, None),
            Action::CrashWithin(event, writes) => (event, Some(writes)),
        };
        let reaction = match self.react(world, &event, survives).as_ref() {
            Ok(reaction) => Arc::clone(reaction.as_ref()?),
            Err(Panicked) => return Some(World { panicked: true, ..world.clone() }),
        };
        if matches!(event, Event::Arrives(_))
            && world.has_seen(event.node(), &reaction, &self.bounds)
        {
            // It is here already.
            return None;
        }
        let mut next = world.clone();
        let crashes = survives.is_some() || matches!(event, Event::Crash(..));
        next.spent.crashes += usize::from(crashes);
        match event {
            Event::Arrives(_) | Event::Crash(..) => {}
            Event::Wipe(_) => next.spent.wipes += 1,
            Event::Timer(_) | Event::Silence(_) => next.spent.timers += 1,
            Event::Ask(_) => self.ask(&mut next),
        }
        next.take_over(event.node(), &reaction, &self.bounds);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = P::properties(self.bounds);
        properties.push(Property::always("no node panics", |_, world: &World<P>| !world.panicked));
        properties.push(Property::always(LINEARIZABLE, |_, world: &World<P>| {
            world.clients.is_consistent()
        }));
        if self.bounds.asks > 0 {
            let ended =
                Property::sometimes("all operations end", |model: &Self, world: &World<P>| {
                    world.answered == model.bounds.asks
                        && world.spent.crashes == model.bounds.crashes
                        && world.spent.wipes == model.bounds.wipes
                });
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
            strong_reads: StrongReads::ReadIndex,
            restored: false,
            spares: Vec::new(),
            multi_leader: multi_leader::Settings::DEFAULT,
        };
        let start = World {
            nodes: (0..NODES).map(|id| Arc::new(Node::new(options(id)))).collect(),
            flying: Vec::new(),
            spent: Bounds::NONE,
            clients: Arc::new(LinearizabilityTester::new(Register(None))),
            answered: 0,
            past: Arc::default(),
            panicked: false,
        };
        let known = Mutex::default();
        let (asks, sessions, holds) = (Vec::new(), Vec::new(), |_: &_| false);
        Scenario { bounds, asks, sessions, start, holds, plant: None, known }
    }

    /// From here on, leaves these messages under way. They may arrive when the exploration has begun.
    pub(crate) fn holding(mut self, holds: fn(&Envelope<P::Message>) -> bool) -> Self {
        self.holds = holds;
        self
    }

    /// Loses these of the messages that are under way.
    pub(crate) fn having_lost(mut self, lost: fn(&Envelope<P::Message>) -> bool) -> Self {
        self.start.flying.retain(|envelope| !lost(envelope));
        self
    }

    /// Lets almost so much time pass at a node that its timer would fire.
    ///
    /// # Panics
    /// Where the node panics.
    pub(crate) fn having_heard_nothing(mut self, node: NodeId) -> Self {
        let silent = Node::clone(self.start.node(node));
        let outcome = self.try_out(&Arc::new(silent), &Event::Silence(node), 0, None);
        self.advance(node, outcome);
        self
    }

    /// Lets the timer of a node fire, and then everything arrive that follows, in order.
    ///
    /// # Panics
    /// Where it does not come to an end, or a node panics.
    pub(crate) fn led_by(mut self, node: NodeId) -> Self {
        let leader = Node::clone(self.start.node(node));
        let event = Event::Timer(node);
        self.advance(node, self.try_out(&Arc::new(leader), &event, 0, None));
        self
    }

    /// Has clients with sessions, who will ask this.
    ///
    /// # Panics
    /// Where a session cannot be opened.
    pub(crate) fn asking(mut self, asks: &[(Option<NodeId>, Command)]) -> Self {
        for (client, (door, _)) in asks.iter().enumerate() {
            let id = door.or_else(|| leaders(&self.start).next());
            let id = id.expect("there is a leader");
            let session =
                if is_about_members(&asks[client].1) { 0 } else { self.open_session(client, id) };
            self.sessions.push(session);
        }
        self.asks = asks.to_vec();
        assert_eq!(self.asks.len(), self.bounds.asks, "the bound is what is asked");
        self
    }

    /// Has had this written before, in a session of its own, and everything arrive that followed.
    ///
    /// # Panics
    /// Where it is not done, or nobody leads.
    pub(crate) fn having_written(mut self, value: &str) -> Self {
        let id = leaders(&self.start).next().expect("there is a leader");
        let session = self.open_session(self.sessions.len(), id);
        let input = request(0, session, SEQUENCE - 1, write(value));
        let node = Node::clone(self.start.node(id));
        let answers = self.advance(id, self.step(id, node, input, None));
        assert_eq!(answers, [Reply::Done]);
        let held = Register(Some(value.as_bytes().to_vec()));
        self.start.clients = Arc::new(LinearizabilityTester::new(held));
        self
    }

    /// Has let a node go before, as an operator, and everything arrive that followed.
    ///
    /// # Panics
    /// Where nobody leads, or the node is not let go.
    pub(crate) fn having_dismissed(mut self, node: NodeId) -> Self {
        let id = leaders(&self.start).next().expect("there is a leader");
        let input = request(0, 0, OPERATOR - 1, Command::Dismiss { node });
        let leader = Node::clone(self.start.node(id));
        let answers = self.advance(id, self.step(id, leader, input, None));
        assert_eq!(answers, [Reply::Done]);
        self
    }

    fn open_session(&mut self, client: usize, door: NodeId) -> u64 {
        let node = Node::clone(self.start.node(door));
        let outcome = self.step(door, node, request(client, 0, 1, Command::OpenSession), None);
        let session = self.advance(door, outcome).into_iter().find_map(|answer| match answer {
            Reply::Session(number) | Reply::NodeSession(number) => Some(number),
            _ => None,
        });
        session.expect("a session is opened")
    }

    /// Lets that happen and everything arrive that follows, and returns what was answered.
    fn advance(&mut self, id: NodeId, outcome: Outcome<P>) -> Vec<Reply> {
        let mut answers = Vec::new();
        let mut next = Some((id, outcome));
        while let Some((id, outcome)) = next {
            let reaction = outcome.expect("nobody panics").expect("it is a whole step");
            answers.extend(reaction.answers.iter().map(|answer| answer.reply.clone()));
            // Who is down is so only when the exploration has begun.
            let bounds = Bounds { down: &[], ..self.bounds };
            self.start.take_over(id, &reaction, &bounds);
            let arriving = self.start.flying.iter().position(|envelope| !(self.holds)(envelope));
            next = arriving.map(|place| {
                let envelope = self.start.flying.remove(place);
                let node = Node::clone(self.start.node(envelope.to));
                (envelope.to, self.step(envelope.to, node, arrival(&envelope), None))
            });
        }
        answers
    }

    /// Makes a mistake.
    pub(crate) fn planted(mut self, plant: Plant) -> Self {
        self.plant = Some(plant);
        self
    }

    /// All that can happen to nodes.
    fn events(&self, world: &World<P>) -> Vec<Event<P::Message>> {
        let (spent, bounds) = (&world.spent, &self.bounds);
        let mut events = Vec::new();
        for envelope in &world.flying {
            events.push(Event::Arrives(Arc::clone(envelope)));
        }
        if spent.timers < bounds.timers {
            for id in bounds.timed.iter().copied() {
                let node = world.node(NodeId(id));
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
                None => events.extend(leaders(world).map(Event::Ask)),
            }
        }
        events
    }

    /// The states that nodes were in. One in which nothing happens to a node counts too: whether
    /// anything is under way to it depends on what is forgotten.
    pub(crate) fn nodes_known(&self) -> BTreeSet<Digest> {
        let known = self.known.lock().expect("nobody panics with it");
        let begun = self.start.nodes.iter().map(|node| node.digest);
        let before = known.keys().map(|(digest, ..)| *digest);
        let reactions =
            known.values().filter_map(|outcome| outcome.as_ref().as_ref().ok()?.as_ref());
        let after = reactions.map(|reaction| reaction.node.digest);
        begun.chain(before).chain(after).collect()
    }

    /// What comes of an event. Worlds share most of their nodes: what one does, it does in all.
    fn react(
        &self,
        world: &World<P>,
        event: &Event<P::Message>,
        survives: Option<usize>,
    ) -> Arc<Outcome<P>> {
        let node = world.node(event.node());
        let none = (NodeId(0), Digest::default());
        let what = match event {
            Event::Arrives(envelope) => (0, envelope.from, envelope.digest, 0),
            Event::Timer(_) => (1, none.0, none.1, 0),
            Event::Silence(_) => (2, none.0, none.1, 0),
            Event::Ask(_) => (3, none.0, none.1, world.spent.asks),
            Event::Crash(_, kept) => (4, none.0, none.1, *kept),
            Event::Wipe(_) => (5, none.0, none.1, 0),
        };
        let question = (node.digest, what, survives);
        let mut known = self.known.lock().expect("nobody panics with it");
        let outcome = known.entry(question).or_insert_with(|| {
            let client = world.spent.asks;
            Arc::new(self.try_out(node, event, client, survives))
        });
        Arc::clone(outcome)
    }

    fn try_out(
        &self,
        was: &Arc<Node<P>>,
        event: &Event<P::Message>,
        client: usize,
        survives: Option<usize>,
    ) -> Outcome<P> {
        let mut node = Node::clone(was);
        let input = match event {
            Event::Arrives(envelope) => arrival(envelope),
            Event::Timer(_) => {
                node.wait(node.up.deadline());
                Input::Timer
            }
            Event::Silence(_) => {
                node.wait(before(node.up.deadline()));
                return Ok(survives.is_none().then(|| reaction(node, Vec::new(), Vec::new())));
            }
            Event::Ask(_) => {
                let (session, command) = (self.sessions[client], self.asks[client].1.clone());
                let of_members = is_about_members(&command);
                let sequence = if of_members { OPERATOR } else { SEQUENCE + client as u64 };
                request(client, session, sequence, command)
            }
            Event::Crash(id, kept) => {
                if self.plant == Some(Plant::OldImage) {
                    node = Node::clone(self.start.node(*id));
                } else {
                    node.crash(*kept)?;
                }
                return Ok(survives.is_none().then(|| reaction(node, Vec::new(), Vec::new())));
            }
            Event::Wipe(_) => {
                node.wipe()?;
                return Ok(survives.is_none().then(|| reaction(node, Vec::new(), Vec::new())));
            }
        };
        self.step(event.node(), node, input, survives)
    }

    /// Gives a node an input.
    fn step(
        &self,
        id: NodeId,
        mut node: Node<P>,
        input: Input<P::Message>,
        survives: Option<usize>,
    ) -> Outcome<P> {
        let Some(shown) = node.step(input, survives, self.plant)? else { return Ok(None) };
        let (mut sent, mut answers) = (Vec::new(), Vec::new());
        for output in shown {
            match output {
                Output::Send { to, message } => {
                    let forged = self.plant.and_then(|plant| P::forged(plant, &message));
                    sent.push(Arc::new(Envelope::new(id, to, message)));
                    sent.extend(forged.map(|answer| Arc::new(Envelope::new(to, id, answer))));
                }
                Output::Reply { sequence, reply, position, .. } => {
                    answers.push(Answer { sequence, reply, position });
                }
                Output::Persist(_) | Output::Snapshot(_) | Output::Stop(_) => {}
            }
        }
        Ok(Some(reaction(node, sent, answers)))
    }

    /// Notes that the next client asks.
    fn ask(&self, world: &mut World<P>) {
        let client = world.spent.asks;
        world.spent.asks += 1;
        let op = match &self.asks[client].1 {
            Command::Write { value, .. } => RegisterOp::Write(Some(value.clone())),
            Command::Read { .. } => RegisterOp::Read,
            _ => return,
        };
        Arc::make_mut(&mut world.clients).on_invoke(client, op).expect("each client asks once");
    }
}

/// The nodes that take themselves for leaders.
fn leaders<P: Subject>(world: &World<P>) -> impl Iterator<Item = NodeId> + '_ {
    let leads = |(node, id): (&Arc<Node<P>>, u32)| {
        (node.up.status().role == Role::Leader).then_some(NodeId(id))
    };
    world.nodes.iter().zip(0..).filter_map(leads)
}

fn reaction<P: Subject>(
    node: Node<P>,
    sent: Vec<Arc<Envelope<P::Message>>>,
    answers: Vec<Answer>,
) -> Arc<Reaction<P>> {
    Arc::new(Reaction { node: Arc::new(node), sent, answers })
}

fn request<M>(client: usize, session: u64, sequence: u64, command: Command) -> Input<M> {
    let request = Request { session, sequence, seen: 0, command };
    Input::Request { from: ClientId(client as u64), request, wall: 0 }
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

    /// Whether nothing is new in what comes of an event.
    fn has_seen(&self, id: NodeId, reaction: &Reaction<P>, bounds: &Bounds) -> bool {
        self.node(id).digest == reaction.node.digest
            && reaction.answers.is_empty()
            && reaction.sent.iter().all(|envelope| {
                self.place(envelope).is_ok()
                    || envelope.concerns_any(bounds.down)
                    || !bounds.void && P::is_void(self, bounds, envelope)
            })
    }

    fn take_over(&mut self, id: NodeId, reaction: &Reaction<P>, bounds: &Bounds) {
        let was = std::mem::replace(&mut self.nodes[id.0 as usize], Arc::clone(&reaction.node));
        let sent = reaction.sent.iter().filter(|envelope| !envelope.concerns_any(bounds.down));
        for envelope in sent {
            if let Err(place) = self.place(envelope) {
                self.flying.insert(place, Arc::clone(envelope));
            }
        }
        if !bounds.void {
            let mut flying = std::mem::take(&mut self.flying);
            flying.retain(|envelope| !envelope.concerns(id) || !P::is_void(self, bounds, envelope));
            self.flying = flying;
        }
        for answer in &reaction.answers {
            self.answer(answer);
        }
        P::note(self, id, &was, &reaction.answers);
    }

    fn place(&self, envelope: &Envelope<P::Message>) -> Result<usize, usize> {
        self.flying.binary_search_by_key(&envelope.key(), |other| other.key())
    }

    /// A client learns something. Only what ends its operation is told to the judge: one that was
    /// turned down may be asked again, and is left open.
    fn answer(&mut self, answer: &Answer) {
        if answer.sequence == OPERATOR && answer.reply == Reply::Done {
            self.answered += 1;
        }
        let Some(client) = answer.sequence.checked_sub(SEQUENCE) else { return };
        let ret = match &answer.reply {
            Reply::Done => RegisterRet::WriteOk,
            Reply::Value(value) => RegisterRet::ReadOk(value.clone()),
            _ => return,
        };
        self.answered += 1;
        let clients = Arc::make_mut(&mut self.clients);
        clients.on_return(client as usize, ret).expect("each operation ends once");
    }
}

fn arrival<M: Clone>(envelope: &Envelope<M>) -> Input<M> {
    Input::Message { from: envelope.from, message: envelope.message.clone() }
}

/// Whether an operator asks for it.
fn is_about_members(command: &Command) -> bool {
    matches!(command, Command::Admit { .. } | Command::Dismiss { .. })
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

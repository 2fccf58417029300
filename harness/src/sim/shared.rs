//! What the engine, the nodes and the clients of one run share.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{FaultId, NodeId, SessionId, Time};

use super::clock::NodeClock;
use super::context::{Address, MESSAGE_BYTES_MAX, NodeStatus, Parcel};
use super::disk::{Disk, Platter};
use super::geography::Geography;
use super::guard::PollBudget;
use super::impair::Passage;
use super::network::{Link, Links};
use super::process::{BUFFER_BYTES, Process};
use super::roster::Roster;
use super::watch::{Leaving, Watches};
use super::{Clock, Failure};
use crate::config::Config;
use crate::seed::{Ratio, Seed, Seeds, Stream};
use crate::system::System;
use crate::trace::{self, Happening, Later, Loss, Sent, Trace, TraceEvent};

/// The chance that a whim is alive in a run, and that one that is comes over a node that asks.
const ALIVE: Ratio = Ratio::new(1, 2);
const FOLLOWED: Ratio = Ratio::new(1, 4);
/// A node that clients have turned to since is likely to be asked again.
const LATELY: Duration = Duration::from_millis(500);

/// Where in the network somebody is: a node, or the place of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

impl Place {
    /// The place of all clients. It is the first: nodes count from 1.
    pub(super) const CLIENTS: Place = Place(0);

    pub(super) fn of_node(node: NodeId) -> Place {
        Place(node.index())
    }

    /// The node that is there, if one is.
    pub(super) fn node(self) -> Option<NodeId> {
        (self != Place::CLIENTS).then_some(NodeId(self.0 as u32))
    }

    /// Where whoever has this address is.
    pub(super) fn of(address: Address) -> Place {
        match address {
            Address::Node(node) => Place::of_node(node),
            Address::Client(_) => Place::CLIENTS,
        }
    }

    /// Its name as a host.
    pub(super) fn name(self) -> String {
        match self {
            Place::CLIENTS => "clients".to_owned(),
            Place(node) => format!("n{node}"),
        }
    }
}

/// One node, across its starts.
pub(super) struct NodeState {
    pub(super) platter: Rc<RefCell<Platter>>,
    pub(super) status: Cell<NodeStatus>,
    /// Whether the present start is running.
    pub(super) up: Cell<bool>,
    /// The power of the present start.
    pub(super) power: RefCell<Rc<Cell<bool>>>,
    pub(super) incarnation: Cell<u32>,
    pub(super) clock: NodeClock,
    pub(super) process: Process,
    /// Whether its disk was ever taken away, or the cluster began without it.
    pub(super) wiped: Cell<bool>,
    /// Whether it was, and the node has not said since that it is whole again.
    pub(super) lost: Cell<bool>,
    budget: PollBudget,
}

/// See the module.
pub(super) struct Shared {
    pub(super) seeds: Seeds,
    /// The world's time; with ticks, at the end of the last one.
    pub(super) now: Cell<Time>,
    pub(super) links: RefCell<Links>,
    /// In order; the first has the number 1. Spare ones come last.
    pub(super) nodes: Vec<NodeState>,
    /// How many nodes the cluster begins with.
    pub(super) founders: u32,
    pub(super) roster: Rc<Roster>,
    pub(super) failures: RefCell<Vec<(NodeId, Failure)>>,
    /// Messages that each fault kept from being delivered.
    pub(super) dropped_by: RefCell<Vec<u64>>,
    /// Messages that each fault made late.
    pub(super) delayed_by: RefCell<Vec<u64>>,
    /// Copies of messages that each fault let arrive besides.
    pub(super) copied_by: RefCell<Vec<u64>>,
    /// Readings of clocks that each fault falsified.
    pub(super) misread_by: RefCell<Vec<u64>>,
    /// When a client last turned to each node, in order, if one did.
    asked: Vec<Cell<Option<Time>>>,
    pub(super) sent: Cell<u64>,
    pub(super) dropped: Cell<u64>,
    pub(super) oversized: Cell<u64>,
    /// How long the longest message was so far.
    pub(super) longest: Cell<usize>,
    pub(super) trace: Option<RefCell<Trace>>,
    /// Says what messages are.
    system: Arc<dyn System>,
    /// Faults that wait for messages.
    pub(super) watches: RefCell<Watches>,
    /// How far apart everybody is, where that is given.
    geography: Option<Geography>,
    /// The nodes that clients turn to, by session.
    pub(super) homes: RefCell<BTreeMap<SessionId, NodeId>>,
    /// How long a node takes for each message.
    message_cost: Duration,
    /// How often nodes got into rare states.
    pub(super) marks: RefCell<BTreeMap<&'static str, u64>>,
    /// How often nodes followed a whim, where they have any.
    pub(super) whims: Option<RefCell<Whims>>,
}

/// What nodes do at times for no reason.
pub(super) struct Whims {
    /// The whims that were asked about: whether they are alive in this run, and how often they came over
    /// somebody.
    known: BTreeMap<&'static str, (bool, u64)>,
    /// Decides for each node.
    streams: BTreeMap<NodeId, Stream>,
}

impl Whims {
    /// Those that came over somebody, and how often.
    pub(super) fn followed(&self) -> BTreeMap<&'static str, u64> {
        let followed = self.known.iter().filter(|(_, (_, times))| *times > 0);
        followed.map(|(name, (_, times))| (*name, *times)).collect()
    }
}

impl Shared {
    pub(super) fn new(
        system: Arc<dyn System>,
        config: &Config,
        seed: Seed,
        trace: bool,
        roster: Rc<Roster>,
    ) -> Shared {
        let seeds = Seeds::new(seed);
        let node = |number: u32| {
            let stream = seeds.stream(&format!("disk/{number}"));
            NodeState {
                platter: Rc::new(RefCell::new(Platter::new(config.sync_max, stream))),
                status: Cell::default(),
                up: Cell::new(true),
                power: RefCell::new(Rc::new(Cell::new(true))),
                incarnation: Cell::new(0),
                clock: NodeClock::default(),
                process: Process::default(),
                wiped: Cell::new(number > config.nodes),
                lost: Cell::new(false),
                budget: PollBudget::default(),
            }
        };
        Shared {
            now: Cell::new(Time::ZERO),
            links: RefCell::new(Links::new(config.all_nodes() as usize + 1)),
            nodes: (1..=config.all_nodes()).map(node).collect(),
            founders: config.nodes,
            roster,
            failures: RefCell::default(),
            dropped_by: RefCell::default(),
            delayed_by: RefCell::default(),
            copied_by: RefCell::default(),
            misread_by: RefCell::default(),
            asked: (1..=config.all_nodes()).map(|_| Cell::default()).collect(),
            sent: Cell::new(0),
            dropped: Cell::new(0),
            oversized: Cell::new(0),
            longest: Cell::new(0),
            trace: trace.then(RefCell::default),
            system,
            watches: RefCell::default(),
            geography: config.regions.as_ref().map(|one_way_ms| {
                Geography::new(one_way_ms, config.tick, seeds.stream("geography"))
            }),
            homes: RefCell::default(),
            message_cost: config.message_cost,
            marks: RefCell::default(),
            whims: config
                .whims
                .then(|| RefCell::new(Whims { known: BTreeMap::new(), streams: BTreeMap::new() })),
            seeds,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &NodeState {
        &self.nodes[id.index() - 1]
    }

    pub(super) fn node_ids(&self) -> Vec<NodeId> {
        (1..=self.nodes.len() as u32).map(NodeId).collect()
    }

    pub(super) fn disk(&self, id: NodeId, power: Rc<Cell<bool>>, clock: Clock) -> Disk {
        Disk::new(self.node(id).platter.clone(), power, clock)
    }

    pub(super) fn poll_budget(&self, id: NodeId) -> PollBudget {
        self.node(id).budget.clone()
    }

    pub(super) fn refill_budgets(&self) {
        for node in &self.nodes {
            node.budget.refill();
        }
    }

    pub(super) fn observe(&self, id: NodeId, at: Time, status: NodeStatus) {
        let before = self.node(id).status.replace(status);
        // It has started: what is wrong with its disk has not kept it from that.
        self.node(id).platter.borrow_mut().defects.forget_damage();
        if !status.restoring && self.node(id).lost.replace(false) {
            self.note(at, id, || "is whole again".to_owned());
        }
        if self.trace.is_some() && (before.role, before.term) != (status.role, status.term) {
            let NodeStatus { role, term, .. } = status;
            self.record(at, id, || Happening::Role { role, term });
        }
    }

    /// A node has got into a rare state.
    pub(super) fn reached(&self, mark: &'static str) {
        *self.marks.borrow_mut().entry(mark).or_default() += 1;
    }

    /// Whether a whim comes over a node.
    pub(super) fn maybe(&self, id: NodeId, whim: &'static str) -> bool {
        let Some(whims) = &self.whims else { return false };
        let Whims { known, streams } = &mut *whims.borrow_mut();
        let is_alive = || self.seeds.stream(&format!("whim/{whim}")).chance(ALIVE);
        let (is_alive, followed) = known.entry(whim).or_insert_with(|| (is_alive(), 0));
        if !*is_alive {
            return false;
        }
        let stream = || self.seeds.stream(&format!("whims/{id}"));
        let follows = streams.entry(id).or_insert_with(stream).chance(FOLLOWED);
        *followed += u64::from(follows);
        follows
    }

    /// The nodes that clients have turned to lately, and the one that they turned to last first of all.
    pub(super) fn asked_lately(&self) -> Vec<NodeId> {
        let ids = self.node_ids().into_iter().zip(&self.asked);
        let lately = |at: Time| self.now.get().since(at) <= LATELY;
        let asked = ids.filter_map(|(id, at)| at.get().filter(|at| lately(*at)).map(|at| (at, id)));
        let mut asked: Vec<(Time, NodeId)> = asked.collect();
        asked.sort_by_key(|(at, id)| (Reverse(*at), *id));
        asked.into_iter().map(|(_, id)| id).collect()
    }

    /// What the monotonic clock of a node shows.
    pub(super) fn clock_of(&self, id: NodeId, at: Time) -> Time {
        let clock = &self.node(id).clock;
        self.misread(clock.drifting());
        clock.now(at)
    }

    /// What the wall clock of a node shows: nanoseconds since 1970.
    pub(super) fn wall_of(&self, id: NodeId, at: Time) -> u64 {
        let clock = &self.node(id).clock;
        self.misread(clock.drifting().into_iter().chain(clock.jumped(at)));
        clock.wall(at)
    }

    fn misread(&self, faults: impl IntoIterator<Item = FaultId>) {
        for fault in faults {
            self.misread_by.borrow_mut()[fault.index()] += 1;
        }
    }

    /// Records how a task of a node ended.
    pub(super) fn fail(&self, id: NodeId, failure: Failure) {
        self.failures.borrow_mut().push((id, failure));
    }

    /// The process at a place; none where clients are.
    pub(super) fn process(&self, place: Place) -> Option<&Process> {
        let index = place.0.checked_sub(1)?;
        Some(&self.nodes[index].process)
    }

    /// For how long whoever has this address is busy with each message.
    pub(super) fn cost_of(&self, owner: Address) -> Duration {
        match owner {
            Address::Client(_) => Duration::ZERO,
            Address::Node(node) => self.message_cost + self.node(node).process.cost(),
        }
    }

    /// Whether a message that has arrived can wait for a node, in a buffer of which so many bytes are full.
    /// It has to wait because of some faults.
    pub(super) fn has_room(
        &self,
        at: Time,
        parcel: Parcel,
        full: usize,
        hindering: &[FaultId],
    ) -> bool {
        let fits = full < BUFFER_BYTES;
        let counts = if fits { &self.delayed_by } else { &self.dropped_by };
        for fault in hindering {
            counts.borrow_mut()[fault.index()] += 1;
        }
        if !fits {
            self.dropped.set(self.dropped.get() + 1);
            self.record_loss(at, parcel, Loss::Full);
        }
        fits
    }

    /// Draws how much longer than the least a message takes over its way.
    pub(super) fn way(&self, from: Address, to: Address) -> Duration {
        let Some(geography) = &self.geography else { return Duration::ZERO };
        let homes = self.homes.borrow();
        let place = |address| match address {
            Address::Node(node) => Some(node),
            Address::Client(client) => homes.get(&client).copied(),
        };
        let ends = place(from).zip(place(to));
        ends.map_or(Duration::ZERO, |(from, to)| geography.draw(from, to))
    }

    /// Counts a message, and says how late it and its copies are to be, if it leaves the sender at all.
    pub(super) fn send(
        &self,
        at: Time,
        from: Address,
        to: Address,
        bytes: &[u8],
    ) -> Option<(Parcel, Passage)> {
        self.sent.set(self.sent.get() + 1);
        let parcel = Parcel { number: self.sent.get(), from, to };
        let (from, to) = (Place::of(from), Place::of(to));
        if from == Place::CLIENTS {
            self.asked[to.0 - 1].set(Some(at));
        }
        let passage = self.pass(at, parcel, bytes);
        self.record_sent(at, parcel, bytes, passage.as_ref().ok());
        match passage {
            Ok(passage) => {
                if from != Place::CLIENTS && to != Place::CLIENTS {
                    self.roster.note_sent(NodeId(to.0 as u32), bytes.len());
                }
                self.count_passage(&passage);
                Some((parcel, passage))
            }
            Err(why) => {
                self.record_loss(at, parcel, why);
                None
            }
        }
    }

    /// How a message passes; why it does not, where it is lost as it leaves.
    fn pass(&self, at: Time, parcel: Parcel, bytes: &[u8]) -> Result<Passage, Loss> {
        let (from, to) = (Place::of(parcel.from), Place::of(parcel.to));
        if bytes.len() > MESSAGE_BYTES_MAX {
            self.oversized.set(self.oversized.get() + 1);
            return Err(Loss::TooLong);
        }
        self.longest.set(self.longest.get().max(bytes.len()));
        let up = to == Place::CLIENTS || self.nodes[to.0 - 1].up.get();
        if !up {
            // turmoil would keep it until the node starts again, without a bound.
            self.dropped.set(self.dropped.get() + 1);
            return Err(Loss::Down);
        }
        self.uncut(at, from, to)?;
        let link = Link { from: from.0, to: to.0 };
        let mut passage = self.links.borrow_mut().pass(at, link, bytes.len());
        if passage.lost_by.is_empty() && !self.watches.borrow().is_empty() {
            let leaving = Leaving { at, from, to, name: self.system.message_name(bytes) };
            let role_of = |id| self.node(id).status.get().role;
            passage.lost_by = self.watches.borrow_mut().meet(leaving, role_of);
        }
        if let Some(fault) = passage.lost_by.first() {
            self.drop_by(&passage.lost_by);
            return Err(Loss::Fault(*fault));
        }
        Ok(passage)
    }

    /// Counts what faults make of a message.
    fn count_passage(&self, passage: &Passage) {
        for fault in &passage.late_by {
            self.delayed_by.borrow_mut()[fault.index()] += 1;
        }
        for (_, fault) in &passage.copies {
            self.copied_by.borrow_mut()[fault.index()] += 1;
        }
    }

    fn record_sent(&self, at: Time, parcel: Parcel, bytes: &[u8], passage: Option<&Passage>) {
        let later =
            |fault: &FaultId, by: Duration| Later { fault: *fault, by_ns: by.as_nanos() as u64 };
        self.record(at, parcel.from, || {
            let late = passage.and_then(|passage| {
                passage.late_by.first().map(|fault| later(fault, passage.delay))
            });
            let copies = passage.map_or(&[][..], |passage| &passage.copies);
            Happening::Sent(Sent {
                message: parcel.number,
                to: parcel.to.into(),
                bytes: bytes.len() as u64,
                kind: self.system.message_name(bytes).map(str::to_owned),
                question: self.system.question(bytes, parcel.client()),
                late,
                copies: copies.iter().map(|(by, fault)| later(fault, *by)).collect(),
            })
        });
    }

    /// Counts a message to a node that is down.
    pub(super) fn drop_at_the_dead(&self, at: Time, parcel: Parcel) {
        self.dropped.set(self.dropped.get() + 1);
        self.record_loss(at, parcel, Loss::Down);
    }

    /// Counts a message that faults keep from being delivered.
    fn drop_by(&self, faults: &[FaultId]) {
        self.dropped.set(self.dropped.get() + 1);
        for fault in faults {
            self.dropped_by.borrow_mut()[fault.index()] += 1;
        }
    }

    /// Whether the link is still whole when a message arrives: a cut also takes what is under way.
    pub(super) fn may_deliver(&self, at: Time, parcel: Parcel) -> bool {
        let whole = self.uncut(at, Place::of(parcel.from), Place::of(parcel.to));
        if let Err(why) = whole {
            self.record_loss(at, parcel, why);
        }
        whole.is_ok()
    }

    /// That a link is whole. Asked when a message leaves and again when it arrives.
    fn uncut(&self, at: Time, from: Place, to: Place) -> Result<(), Loss> {
        let links = self.links.borrow();
        let cutting: Vec<FaultId> = links.cut_by(at, Link { from: from.0, to: to.0 }).collect();
        let Some(fault) = cutting.first() else { return Ok(()) };
        self.drop_by(&cutting);
        Err(Loss::Cut(*fault))
    }

    fn record_loss(&self, at: Time, parcel: Parcel, why: Loss) {
        let Parcel { number, from, to } = parcel;
        self.record(at, from, || Happening::Lost { message: number, to: to.into(), why });
    }

    pub(super) fn record(
        &self,
        at: Time,
        place: impl Into<trace::Place>,
        what: impl FnOnce() -> Happening,
    ) {
        if let Some(trace) = &self.trace {
            let event = TraceEvent { at, place: place.into(), what: what() };
            trace.borrow_mut().push(event);
        }
    }

    /// Takes down what happened to a node, in words that follow its name.
    pub(super) fn note(&self, at: Time, id: NodeId, words: impl FnOnce() -> String) {
        self.record(at, id, || Happening::Note { words: words() });
    }
}

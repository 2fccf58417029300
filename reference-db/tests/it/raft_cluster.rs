//! A cluster of protocols without I/O: one seed decides what the network and the disks do.
//!
//! A message takes a while, is lost, comes twice or overtakes another. A crash may come between
//! any two outputs of a step, and of what was persisted since the last message only a beginning
//! survives.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use stormglass_reference_db::env::{ClientId, NodeId, Role, Time};
use stormglass_reference_db::kv::Reply;
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::raft::StrongReads;
use stormglass_reference_db::protocol::{
    Input, Options, Origin, Output, Protocol, Recovered, Timing, multi_leader,
};
use stormglass_reference_db::wire::Request;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const TIMING: Timing =
    Timing { heartbeat: Duration::from_millis(20), election: Duration::from_millis(100) };

/// What the network does to messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of a thousand messages, so many are lost.
    pub(crate) lost_permille: u64,
    /// Of a thousand messages, so many come twice.
    pub(crate) doubled_permille: u64,
    /// How long a message takes at most, in milliseconds; at least a tenth of one.
    pub(crate) delay_ms_max: u64,
    /// Of a thousand messages, so many take up to fifty times as long.
    pub(crate) late_permille: u64,
}

pub(crate) const FAIR: Weather =
    Weather { lost_permille: 0, doubled_permille: 0, delay_ms_max: 3, late_permille: 0 };

/// A disk: what is durable, and what has been written since.
#[derive(Clone, Debug)]
pub(crate) struct Disk<P: Protocol> {
    pub(crate) snapshot: Option<P::Snapshot>,
    pub(crate) records: Vec<P::Record>,
    unsynced: Vec<Write<P>>,
}

#[derive(Clone, Debug)]
enum Write<P: Protocol> {
    Record(P::Record),
    Snapshot(P::Snapshot),
}

impl<P: Protocol> Disk<P> {
    fn empty() -> Self {
        Disk { snapshot: None, records: Vec::new(), unsynced: Vec::new() }
    }

    /// Makes the first `count` of the unsynced writes durable.
    fn sync(&mut self, count: usize) {
        for write in self.unsynced.drain(..count) {
            match write {
                Write::Record(record) => self.records.push(record),
                Write::Snapshot(snapshot) => {
                    self.snapshot = Some(snapshot);
                    self.records.clear();
                }
            }
        }
    }
}

/// A node: its disk, and its protocol while it runs.
pub(crate) struct Node<P: Protocol> {
    pub(crate) id: NodeId,
    pub(crate) disk: Disk<P>,
    pub(crate) up: Option<P>,
    /// Started so many times.
    starts: u64,
    /// Whether its disk was emptied since the cluster began.
    wiped: bool,
    /// Whether it has not been seen whole since then.
    lost: bool,
}

/// An answer that reached a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) client: ClientId,
    pub(crate) sequence: u64,
    pub(crate) reply: Reply,
    pub(crate) position: u64,
}

enum Event<P: Protocol> {
    Deliver { from: NodeId, to: NodeId, message: P::Message },
    Relay { origin: Origin, answer: Answer },
}

/// Whether a message does not arrive: from, to, and what.
type Loses<M> = Box<dyn Fn(NodeId, NodeId, &M) -> bool>;

/// The cluster and its network.
pub(crate) struct Cluster<P: Protocol> {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node<P>>,
    pub(crate) random: ChaCha8Rng,
    pub(crate) weather: Weather,
    /// Links that carry nothing: `cut[from][to]`.
    pub(crate) cut: Vec<Vec<bool>>,
    pub(crate) answers: Vec<Answer>,
    /// Messages that were delivered, for tests that look for one.
    pub(crate) delivered: u64,
    /// Nodes that the cluster does not begin with.
    pub(crate) spares: Vec<NodeId>,
    snapshot_entries: u64,
    sessions_max: usize,
    acknowledge: Acknowledge,
    strong_reads: StrongReads,
    /// Whether leadership is handed over now and then, on request.
    pub(crate) transfers: bool,
    /// How fast the clock of each node runs: so many nanoseconds for each 1000 that pass.
    rates_permille: Vec<u64>,
    pub(crate) leaderless: Settings,
    multi_leader: multi_leader::Settings,
    /// What nodes have told each other, if a test wants to see it: from, to, and what.
    pub(crate) overheard: Option<Vec<(NodeId, NodeId, P::Message)>>,
    /// What does not arrive besides.
    pub(crate) loses: Loses<P::Message>,
    events: BTreeMap<(Time, u64), Event<P>>,
    events_made: u64,
    seed: u64,
}

impl<P: Protocol> Cluster<P> {
    /// Starts `count` nodes with empty disks.
    pub(crate) fn new(count: u32, seed: u64, snapshot_entries: u64) -> Self {
        Cluster::with(count, seed, snapshot_entries, Settings::DEFAULT)
    }

    /// The same, but the last node is down, and none that the cluster begins with.
    pub(crate) fn with_spare(count: u32, seed: u64, snapshot_entries: u64) -> Self {
        Cluster::new(count, seed, snapshot_entries).sparing_the_last()
    }

    /// A cluster that was just started, begun again without its last node, which is down.
    pub(crate) fn sparing_the_last(self) -> Self {
        let founders = self.nodes.len() - 1;
        self.begun_by(founders)
    }

    /// A cluster that was just started, begun again with so many nodes; the others are down.
    pub(crate) fn begun_by(mut self, founders: usize) -> Self {
        self.spares.extend(self.nodes[founders..].iter().map(|node| node.id));
        for node in 0..self.nodes.len() {
            self.wipe(node);
            self.nodes[node].wiped = node >= founders;
            self.nodes[node].lost = false;
            if node < founders {
                self.start(node);
            }
        }
        self
    }

    /// The same, in a mode without a leader.
    pub(crate) fn with(count: u32, seed: u64, snapshot_entries: u64, leaderless: Settings) -> Self {
        Cluster::make(count, seed, snapshot_entries, leaderless, Acknowledge::None)
    }

    /// The same, in the mode with several leaders.
    pub(crate) fn of_regions(
        count: u32,
        seed: u64,
        snapshot_entries: u64,
        regions: multi_leader::Settings,
    ) -> Self {
        let (leaderless, acknowledge) = (Settings::DEFAULT, Acknowledge::None);
        let mut cluster =
            Cluster::unstarted(count, seed, snapshot_entries, leaderless, acknowledge);
        cluster.multi_leader = regions;
        (0..count).for_each(|id| cluster.start(id as usize));
        cluster
    }

    /// The same, in a mode with a primary.
    pub(crate) fn acknowledging(
        acknowledge: Acknowledge,
        count: u32,
        seed: u64,
        snapshot_entries: u64,
    ) -> Self {
        Cluster::make(count, seed, snapshot_entries, Settings::DEFAULT, acknowledge)
    }

    /// The same, in the mode `raft`, with clocks that may run at rates of their own: so many
    /// nanoseconds for each 1000 that pass.
    pub(crate) fn reading(
        strong_reads: StrongReads,
        rates_permille: &[u64],
        seed: u64,
        snapshot_entries: u64,
    ) -> Self {
        let count = u32::try_from(rates_permille.len()).expect("clusters are small");
        let mut cluster =
            Cluster::unstarted(count, seed, snapshot_entries, Settings::DEFAULT, Acknowledge::None);
        cluster.strong_reads = strong_reads;
        cluster.rates_permille = rates_permille.to_vec();
        (0..count).for_each(|id| cluster.start(id as usize));
        cluster
    }

    fn make(
        count: u32,
        seed: u64,
        snapshot_entries: u64,
        leaderless: Settings,
        acknowledge: Acknowledge,
    ) -> Self {
        let mut cluster =
            Cluster::unstarted(count, seed, snapshot_entries, leaderless, acknowledge);
        (0..count).for_each(|id| cluster.start(id as usize));
        cluster
    }

    fn unstarted(
        count: u32,
        seed: u64,
        snapshot_entries: u64,
        leaderless: Settings,
        acknowledge: Acknowledge,
    ) -> Self {
        Cluster {
            now: Time(1),
            nodes: (0..count)
                .map(|id| Node {
                    id: NodeId(id),
                    disk: Disk::empty(),
                    up: None,
                    starts: 0,
                    wiped: false,
                    lost: false,
                })
                .collect(),
            random: ChaCha8Rng::seed_from_u64(seed),
            weather: FAIR,
            cut: vec![vec![false; count as usize]; count as usize],
            answers: Vec::new(),
            delivered: 0,
            spares: Vec::new(),
            snapshot_entries,
            sessions_max: 100,
            acknowledge,
            strong_reads: StrongReads::ReadIndex,
            transfers: false,
            rates_permille: vec![1000; count as usize],
            leaderless,
            multi_leader: multi_leader::Settings::DEFAULT,
            overheard: None,
            loses: Box::new(|_, _, _| false),
            events: BTreeMap::new(),
            events_made: 0,
            seed,
        }
    }

    /// What the clock of a node shows.
    fn clock(&self, node: usize) -> Time {
        Time(self.now.0 * self.rates_permille[node] / 1000)
    }

    /// When the clock of a node shows a time, rounded up.
    fn when(&self, node: usize, shown: Time) -> Time {
        let nanos = u128::from(shown.0) * 1000;
        let when = nanos.div_ceil(u128::from(self.rates_permille[node]));
        Time(u64::try_from(when).unwrap_or(u64::MAX))
    }

    /// A number below `bound`.
    pub(crate) fn draw(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    /// What nodes are told when they start.
    pub(crate) fn options(&self, node: usize) -> Options {
        Options {
            id: self.nodes[node].id,
            nodes: self.nodes.iter().map(|node| node.id).collect(),
            spares: self.spares.clone(),
            restored: self.nodes[node].wiped,
            timing: TIMING,
            snapshot_entries: self.snapshot_entries,
            sessions_max: self.sessions_max,
            acknowledge: self.acknowledge,
            strong_reads: self.strong_reads,
            leaderless: self.leaderless,
            multi_leader: self.multi_leader,
        }
    }

    /// Starts a node that is down from its disk.
    pub(crate) fn start(&mut self, node: usize) {
        let (options, clock) = (self.options(node), self.clock(node));
        let down = &mut self.nodes[node];
        assert!(down.up.is_none(), "{} is up already", down.id);
        down.starts += 1;
        let stream = self.seed ^ (node as u64 + 1) << 32 ^ down.starts << 48;
        let recovered =
            Recovered { snapshot: down.disk.snapshot.clone(), records: down.disk.records.clone() };
        let random = ChaCha8Rng::seed_from_u64(stream);
        down.up = Some(P::recover(options, recovered, random, clock));
    }

    /// Takes a node down; of what it wrote since its last message, a beginning survives.
    pub(crate) fn crash(&mut self, node: usize) {
        let unsynced = self.nodes[node].disk.unsynced.len() as u64;
        let survives = self.draw(unsynced + 1);
        let disk = &mut self.nodes[node].disk;
        disk.sync(usize::try_from(survives).expect("it is a length"));
        disk.unsynced.clear();
        self.nodes[node].up = None;
    }

    /// Takes a node down and its disk away.
    pub(crate) fn wipe(&mut self, node: usize) {
        let wiped = &mut self.nodes[node];
        wiped.disk = Disk::empty();
        wiped.up = None;
        wiped.wiped = true;
        wiped.lost = true;
    }

    /// Whether a node is up and has lost nothing, or has it all again.
    pub(crate) fn is_whole(&self, node: usize) -> bool {
        self.status(node).is_some_and(|status| !status.restoring)
    }

    /// Whether every node that was wiped has been whole again since.
    pub(crate) fn may_wipe(&mut self) -> bool {
        for node in 0..self.nodes.len() {
            self.nodes[node].lost &= !self.is_whole(node);
        }
        self.nodes.iter().all(|node| !node.lost)
    }

    /// Wipes a node, starts it, and waits until it is whole again.
    pub(crate) fn replace_disk(&mut self, node: usize) {
        self.wipe(node);
        self.start(node);
        assert!(!self.is_whole(node), "nothing is there yet");
        assert!(self.run_until(|cluster| cluster.is_whole(node)), "n{node} is never whole again");
    }

    /// Gives a node an input and does what it wants.
    pub(crate) fn step(&mut self, node: usize, input: Input<P::Message>) {
        self.step_and_crash_after(node, input, usize::MAX);
    }

    /// The same, but the node crashes when it has done `outputs` of what it wants.
    pub(crate) fn step_and_crash_after(
        &mut self,
        node: usize,
        input: Input<P::Message>,
        outputs: usize,
    ) {
        let mut out = Vec::new();
        let clock = self.clock(node);
        let Some(up) = &mut self.nodes[node].up else { return };
        up.step(clock, input, &mut out);
        let crashes = outputs < out.len();
        for output in out.into_iter().take(outputs) {
            self.perform(node, output);
        }
        if crashes {
            self.crash(node);
        }
    }

    fn perform(&mut self, node: usize, output: Output<P>) {
        let id = self.nodes[node].id;
        let disk = &mut self.nodes[node].disk;
        match output {
            Output::Persist(record) => disk.unsynced.push(Write::Record(record)),
            Output::Snapshot(snapshot) => disk.unsynced.push(Write::Snapshot(snapshot)),
            Output::Send { to, message } => {
                disk.sync(disk.unsynced.len());
                if let Some(overheard) = &mut self.overheard {
                    overheard.push((id, to, message.clone()));
                }
                self.post(id, to, |message| Event::Deliver { from: id, to, message }, message);
            }
            Output::Reply { to, sequence, reply, position } => {
                let answer = Answer { client: to.client, sequence, reply, position };
                disk.sync(disk.unsynced.len());
                if to.node == id {
                    self.answers.push(answer);
                } else {
                    let relay = |answer| Event::Relay { origin: to, answer };
                    self.post(id, to.node, relay, answer);
                }
            }
            Output::Stop(contradiction) => panic!("no disk forgets anything here: {contradiction}"),
        }
    }

    fn post<T: Clone>(
        &mut self,
        from: NodeId,
        to: NodeId,
        event: impl Fn(T) -> Event<P>,
        content: T,
    ) {
        if self.cut[from.0 as usize][to.0 as usize] {
            return;
        }
        let weather = self.weather;
        if self.draw(1000) < weather.lost_permille {
            return;
        }
        let copies = 1 + u64::from(self.draw(1000) < weather.doubled_permille);
        for _ in 0..copies {
            let slow = if self.draw(1000) < weather.late_permille { 50 } else { 1 };
            let delay = MS / 10 + self.draw(weather.delay_ms_max * slow * MS);
            self.events_made += 1;
            let key = (Time(self.now.0 + delay), self.events_made);
            self.events.insert(key, event(content.clone()));
        }
    }

    /// The earliest moment at which something happens.
    fn next(&self) -> Time {
        let timers =
            self.nodes.iter().enumerate().filter_map(|(index, node)| {
                node.up.as_ref().map(|up| self.when(index, up.deadline()))
            });
        let events = self.events.keys().next().map(|key| key.0);
        timers.chain(events).min().unwrap_or(Time::NEVER).max(self.now)
    }

    /// Lets the next thing happen if it does before `until`, and says to which node.
    pub(crate) fn advance(&mut self, until: Time, outputs: usize) -> Option<usize> {
        let next = self.next();
        if next > until {
            self.now = until;
            return None;
        }
        self.now = next;
        let due = self.events.first_key_value().filter(|(key, _)| key.0 <= next);
        if due.is_some() {
            let (_, event) = self.events.pop_first().expect("one is due");
            return Some(self.deliver(event, outputs));
        }
        let due = |node: &usize| {
            let up = self.nodes[*node].up.as_ref();
            up.is_some_and(|up| up.deadline() <= self.clock(*node))
        };
        let node = (0..self.nodes.len()).find(due).expect("something is due");
        self.step_and_crash_after(node, Input::Timer, outputs);
        Some(node)
    }

    fn deliver(&mut self, event: Event<P>, outputs: usize) -> usize {
        match event {
            Event::Deliver { from, to, message } => {
                self.delivered += 1;
                let node = to.0 as usize;
                if !self.cut[from.0 as usize][node] && !(self.loses)(from, to, &message) {
                    let input = Input::Message { from, message };
                    self.step_and_crash_after(node, input, outputs);
                }
                node
            }
            Event::Relay { origin, answer } => {
                let node = origin.node.0 as usize;
                if self.nodes[node].up.is_some() {
                    self.answers.push(answer);
                }
                node
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration_ms: u64) {
        let until = Time(self.now.0 + duration_ms * MS);
        while self.advance(until, usize::MAX).is_some() {}
    }

    /// Lets time pass until something is true; false after ten seconds.
    pub(crate) fn run_until(&mut self, reached: impl Fn(&Self) -> bool) -> bool {
        let until = Time(self.now.0 + 10_000 * MS);
        while !reached(self) {
            if self.advance(until, usize::MAX).is_none() {
                return false;
            }
        }
        true
    }

    /// A client asks a node for something.
    pub(crate) fn request(&mut self, node: usize, client: u64, request: Request) {
        let wall = self.now.0;
        self.step(node, Input::Request { from: ClientId(client), wall, request });
    }

    /// The same, and waits for the answer.
    pub(crate) fn ask(&mut self, node: usize, client: u64, request: Request) -> Option<Reply> {
        let before = self.answers.len();
        let wanted = (ClientId(client), request.sequence);
        self.request(node, client, request);
        let matches = |answer: &Answer| (answer.client, answer.sequence) == wanted;
        self.run_until(|cluster| cluster.answers[before..].iter().any(matches));
        self.answers[before..].iter().find(|answer| matches(answer)).map(|a| a.reply.clone())
    }

    /// The leader of the latest term, if any node takes itself for one.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |node: &usize| self.role(*node) == Some(Role::Leader);
        (0..self.nodes.len()).filter(leads).max_by_key(|node| self.status(*node).map(|s| s.term))
    }

    /// What a node takes itself for; `None` where it is down.
    pub(crate) fn role(&self, node: usize) -> Option<Role> {
        self.status(node).map(|status| status.role)
    }

    /// What a node reports; `None` where it is down.
    pub(crate) fn status(&self, node: usize) -> Option<stormglass_reference_db::env::Status> {
        self.nodes[node].up.as_ref().map(P::status)
    }

    /// The protocol of a node that is up.
    pub(crate) fn node(&self, node: usize) -> &P {
        self.nodes[node].up.as_ref().expect("the node is up")
    }

    /// Cuts all links between two groups, both ways.
    pub(crate) fn split(&mut self, group: &[usize]) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                self.cut[from][to] = group.contains(&from) != group.contains(&to);
            }
        }
    }

    /// Mends all links.
    pub(crate) fn heal(&mut self) {
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    /// Runs until some node leads, and says which one.
    pub(crate) fn elect(&mut self) -> usize {
        assert!(self.run_until(|cluster| cluster.leader().is_some()), "nobody is elected");
        self.leader().expect("someone leads")
    }
}

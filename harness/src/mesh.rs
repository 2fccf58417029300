//! Connections between the nodes of a cluster, as libraries expect them of TCP: between two nodes, messages arrive
//! once and in the order in which they were sent, or the connection is lost and everybody is told.
//!
//! The simulated network carries messages on their own, which are lost, copied and overtaken. Here each of them has
//! a number and is sent again until the other node says that it has it. After a while in which it does not, or where
//! it has forgotten the connection because it was started again, the connection is lost with all that is under way,
//! and the next one begins.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use checkers::history::{NodeId, Time};

use crate::sim::{Address, Message, NodeCx};

/// How many messages that nobody has acknowledged are sent again at once.
const RESENT_MAX: usize = 16;

/// What a node hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A client asks something; [`NodeCx::reply`] answers.
    Client(Message),
    /// Another node says something.
    Node(NodeId, Vec<u8>),
    /// The connection to a node is lost: of what was sent there and not acknowledged, some may have arrived.
    Lost(NodeId),
    /// There is a connection again, in one direction or the other, where something may have been lost.
    Connected(NodeId),
}

/// How patient connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a message may stay unacknowledged before it is sent again. More than a round trip.
    pub resend: Duration,
    /// How long before the connection is lost.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { resend: Duration::from_millis(100), give_up: Duration::from_millis(500) }
    }
}

/// The connections of one start of a node.
///
/// It receives for the node: nobody else may call [`NodeCx::recv`].
#[derive(Debug)]
pub struct Mesh {
    cx: NodeCx,
    patience: Patience,
    links: BTreeMap<NodeId, Link>,
    arrived: VecDeque<Arrival>,
    /// When the links are looked at next.
    due: Time,
}

impl Mesh {
    /// Makes the connections of a node to all others; they are opened by the first message.
    pub fn new(cx: &NodeCx, patience: Patience) -> Mesh {
        let others = cx.nodes().into_iter().filter(|id| *id != cx.id());
        let links = others.map(|id| (id, Link::new(u64::from(cx.incarnation()), cx.now())));
        let (links, arrived) = (links.collect(), VecDeque::new());
        Mesh { cx: cx.clone(), patience, links, arrived, due: cx.now() + patience.resend }
    }

    /// Sends a message to another node. To itself, a node sends none.
    pub fn send(&mut self, to: NodeId, bytes: &[u8]) {
        let now = self.cx.now();
        if let Some(link) = self.links.get_mut(&to)
            && let Some(frame) = link.send(now, bytes)
        {
            self.cx.send(Address::Node(to), &frame);
        }
    }

    /// Waits for what arrives next, but no longer than this. Dropping the future loses nothing.
    pub async fn recv_within(&mut self, time: Duration) -> Option<Arrival> {
        let end = self.cx.now() + time;
        loop {
            if let Some(arrival) = self.try_recv() {
                return Some(arrival);
            }
            let now = self.cx.now();
            if now >= end {
                return None;
            }
            if let Some(message) = self.cx.recv_within(self.due.min(end).since(now)).await {
                self.take(message);
            }
        }
    }

    /// What has arrived already, if anything.
    pub fn try_recv(&mut self) -> Option<Arrival> {
        while self.arrived.is_empty()
            && let Some(message) = self.cx.try_recv()
        {
            self.take(message);
        }
        if self.cx.now() >= self.due {
            self.look_after();
        }
        self.arrived.pop_front()
    }

    /// Says again what was not acknowledged, and gives up what was not for too long.
    fn look_after(&mut self) {
        let now = self.cx.now();
        for (id, link) in &mut self.links {
            if link.is_given_up(now, self.patience.give_up) {
                self.arrived.push_back(Arrival::Lost(*id));
                link.begin_again(now);
            }
            for frame in link.overdue(now, self.patience.resend) {
                self.cx.send(Address::Node(*id), frame);
            }
        }
        self.due = now + self.patience.resend / 2;
    }

    fn take(&mut self, message: Message) {
        let Address::Node(from) = message.from else {
            return self.arrived.push_back(Arrival::Client(message));
        };
        let Some(link) = self.links.get_mut(&from) else { return };
        match Frame::of(&message.bytes) {
            Some(Frame::Data { stream, number, bytes }) => {
                let known = link.incoming.stream;
                let delivered = link.incoming.take(stream, number, bytes);
                if known.is_some_and(|known| known < stream) {
                    self.arrived.push_back(Arrival::Connected(from));
                }
                let delivered = delivered.into_iter().map(|bytes| Arrival::Node(from, bytes));
                self.arrived.extend(delivered);
                let by = u64::from(self.cx.incarnation());
                let Incoming { stream, next, .. } = link.incoming;
                let has = Frame::Has { stream: stream.expect("one was taken"), next, by };
                self.cx.send(Address::Node(from), &has.bytes());
            }
            Some(Frame::Has { stream, next, by }) => match link.acknowledge(stream, next, by) {
                Acknowledged::Forgotten => {
                    self.arrived.push_back(Arrival::Lost(from));
                    link.begin_again(self.cx.now());
                }
                Acknowledged::FirstAfterLoss => {
                    self.arrived.push_back(Arrival::Connected(from));
                    for (.., frame) in &link.unacknowledged {
                        self.cx.send(Address::Node(from), frame);
                    }
                }
                Acknowledged::Usual => {}
            },
            None => {}
        }
    }
}

/// What nodes say to each other.
#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    /// A message and its number in a connection.
    Data { stream: u64, number: u64, bytes: &'a [u8] },
    /// All before this number was received, by this start of the receiver.
    Has { stream: u64, next: u64, by: u64 },
}

impl Frame<'_> {
    fn of(bytes: &[u8]) -> Option<Frame<'_>> {
        let (kind, rest) = bytes.split_first()?;
        let (stream, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (stream, number) = (u64::from_le_bytes(*stream), u64::from_le_bytes(*number));
        match kind {
            0 => Some(Frame::Data { stream, number, bytes: rest }),
            1 => {
                let by = u64::from_le_bytes(rest.try_into().ok()?);
                Some(Frame::Has { stream, next: number, by })
            }
            _ => None,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Frame::Data { stream, number, bytes } => {
                [&[0][..], &stream.to_le_bytes(), &number.to_le_bytes(), bytes].concat()
            }
            Frame::Has { stream, next, by } => {
                [&[1][..], &stream.to_le_bytes(), &next.to_le_bytes(), &by.to_le_bytes()].concat()
            }
        }
    }
}

/// What one node knows of its connection with another one: a stream in each direction.
#[derive(Debug)]
struct Link {
    /// The number of the stream to the other node: greater than that of any before it, in earlier starts too.
    stream: u64,
    /// The number of the first message that was not acknowledged.
    base: u64,
    /// From that one on, each with when it was sent first and last.
    unacknowledged: VecDeque<(Time, Time, Vec<u8>)>,
    /// Which start of the other node acknowledged something of the stream, if one has.
    peer: Option<u64>,
    /// Whether an earlier stream was lost and nothing of this one was acknowledged yet.
    is_lost: bool,
    /// Since when messages wait for an acknowledgement.
    silent_since: Time,
    incoming: Incoming,
}

enum Acknowledged {
    Usual,
    FirstAfterLoss,
    Forgotten,
}

impl Link {
    fn new(incarnation: u64, now: Time) -> Link {
        let incoming = Incoming { stream: None, next: 0, early: BTreeMap::new() };
        Link {
            stream: incarnation << 32,
            base: 0,
            unacknowledged: VecDeque::new(),
            peer: None,
            is_lost: false,
            silent_since: now,
            incoming,
        }
    }

    /// What is to be sent for a message: nothing where so much waits already that it must wait as well.
    fn send(&mut self, now: Time, bytes: &[u8]) -> Option<Vec<u8>> {
        let number = self.base + self.unacknowledged.len() as u64;
        let frame = Frame::Data { stream: self.stream, number, bytes }.bytes();
        if self.unacknowledged.is_empty() {
            self.silent_since = now;
        }
        self.unacknowledged.push_back((now, now, frame.clone()));
        // Where nobody answers, one message asks for all.
        (!self.is_lost || number == 0).then_some(frame)
    }

    fn is_given_up(&self, now: Time, give_up: Duration) -> bool {
        !self.unacknowledged.is_empty() && now.since(self.silent_since) >= give_up
    }

    /// Drops all that is under way and begins another stream.
    fn begin_again(&mut self, now: Time) {
        self.stream += 1;
        self.base = 0;
        self.unacknowledged.clear();
        self.peer = None;
        self.is_lost = true;
        self.silent_since = now;
    }

    /// The first messages that were not acknowledged for so long, to be sent again.
    fn overdue(&mut self, now: Time, resend: Duration) -> impl Iterator<Item = &[u8]> {
        let most = if self.is_lost { 1 } else { RESENT_MAX };
        let first = self.unacknowledged.iter_mut().take(most);
        let overdue = first.filter(move |(_, last, _)| now.since(*last) >= resend);
        overdue.map(move |(_, last, frame)| {
            *last = now;
            &frame[..]
        })
    }

    fn acknowledge(&mut self, stream: u64, next: u64, by: u64) -> Acknowledged {
        if stream != self.stream {
            return Acknowledged::Usual;
        }
        // Another start of the node has not what an earlier one acknowledged, and one before has it no more.
        match self.peer {
            Some(peer) if by > peer => return Acknowledged::Forgotten,
            Some(peer) if by < peer => return Acknowledged::Usual,
            _ => self.peer = Some(by),
        }
        while self.base < next
            && let Some((first, ..)) = self.unacknowledged.pop_front()
        {
            self.base += 1;
            self.silent_since = self.silent_since.max(first);
        }
        if let Some((first, ..)) = self.unacknowledged.front() {
            self.silent_since = *first;
        }
        if std::mem::take(&mut self.is_lost) {
            return Acknowledged::FirstAfterLoss;
        }
        Acknowledged::Usual
    }
}

/// The stream from another node.
#[derive(Debug)]
struct Incoming {
    stream: Option<u64>,
    /// The number of the message that is to come next.
    next: u64,
    /// What has overtaken it.
    early: BTreeMap<u64, Vec<u8>>,
}

impl Incoming {
    /// Takes a message; returns those whose turn it is now.
    fn take(&mut self, stream: u64, number: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        if self.stream.is_none_or(|known| known < stream) {
            *self = Incoming { stream: Some(stream), next: 0, early: BTreeMap::new() };
        }
        if self.stream != Some(stream) || number < self.next {
            return Vec::new();
        }
        self.early.insert(number, bytes.to_vec());
        let mut delivered = Vec::new();
        while let Some(bytes) = self.early.remove(&self.next) {
            delivered.push(bytes);
            self.next += 1;
        }
        delivered
    }
}

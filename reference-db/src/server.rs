//! The shell around a protocol: messages, timers and files.
//!
//! One task does everything in turn: it takes all messages that have arrived, steps the protocol for
//! each, makes durable what the protocol persisted, all at once, and only then lets anything out.

use std::convert::Infallible;
use std::time::Duration;

use crate::env::{Address, ClientId, Env, NodeId, Status, Whim};
use crate::kv::Reply;
use crate::mark::Mark;
use crate::protocol::{Contradiction, Input, Options, Origin, Output, Protocol, Timing};
use crate::protocol::{leaderless, multi_leader, primary, raft};
use crate::storage::{Storage, StorageError};
use crate::wire::{self, Frame};

/// How few log entries a node keeps that is [sparing](Whim::ForgetSoon).
const SNAPSHOT_ENTRIES_FEW: u64 = 3;
/// How long a node pauses where it [pauses at all](Whim), in the time that it takes several messages to arrive.
const PAUSE: Duration = Duration::from_millis(10);
/// Messages that one turn takes before what they gave rise to is done.
const MESSAGES_A_TURN_MAX: usize = 256;

/// What a node is told when it starts, apart from who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// How long the node waits for what.
    pub timing: Timing,
    /// How many log entries it keeps before it takes a snapshot.
    pub snapshot_entries: u64,
    /// How many client sessions it remembers.
    pub sessions_max: usize,
    /// How strong reads are answered in the mode `raft`.
    pub strong_reads: raft::StrongReads,
    /// How many nodes take part in what, in the modes without a leader.
    pub leaderless: leaderless::Settings,
    /// Which regions there are, in the mode with several leaders.
    pub multi_leader: multi_leader::Settings,
}

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Its disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What it was told cannot be.
    #[error(transparent)]
    Contradicted(#[from] Contradiction),
}

/// Runs a node until it cannot go on. `acknowledge` says who must have a change before it counts, in a
/// protocol with a primary.
///
/// # Errors
/// Where the disk fails or holds what cannot be used, or the node was told what cannot be. It must not go on: after a failed
/// sync nobody knows what is on the disk, and after a contradiction nobody knows what is agreed on.
pub async fn serve<P: Protocol, E: Env>(
    env: E,
    config: ServerConfig,
    acknowledge: primary::Acknowledge,
) -> Result<Infallible, Ended> {
    let (storage, recovered) = Storage::open(env.disk().clone()).await?;
    let options = Options {
        id: env.id(),
        nodes: env.nodes(),
        spares: env.spares(),
        restored: env.restored(),
        timing: config.timing,
        snapshot_entries: if env.maybe(Whim::ForgetSoon) {
            SNAPSHOT_ENTRIES_FEW
        } else {
            config.snapshot_entries
        },
        sessions_max: config.sessions_max,
        acknowledge,
        strong_reads: config.strong_reads,
        leaderless: config.leaderless,
        multi_leader: config.multi_leader,
    };
    let protocol = P::recover(options, recovered, env.random("protocol"), env.now());
    let reseeded = env.reseeded();
    let mut server = Server { env, protocol, storage, status: None, reseeded, out: Vec::new() };
    loop {
        server.show_status();
        let first = server.wait().await;
        server.pause(Whim::WaitForMore).await;
        server.turn(first);
        server.perform().await?;
    }
}

struct Server<P: Protocol, E: Env> {
    env: E,
    protocol: P,
    storage: Storage<E::Disk>,
    /// What was shown last.
    status: Option<Status>,
    /// How often the protocol's random numbers were replaced.
    reseeded: u32,
    out: Vec<Output<P>>,
}

impl<P: Protocol, E: Env> Server<P, E> {
    fn show_status(&mut self) {
        let status = self.protocol.status();
        if self.status != Some(status) {
            self.status = Some(status);
            self.env.observe(status);
        }
    }

    /// Waits for a message or the protocol's deadline, whichever comes first.
    async fn wait(&self) -> Option<(Address, Vec<u8>)> {
        let deadline = self.protocol.deadline();
        if deadline <= self.env.now() {
            return self.env.try_recv();
        }
        tokio::select! {
            biased;
            message = self.env.recv() => Some(message),
            () = self.env.sleep_until(deadline) => None,
        }
    }

    /// Steps the protocol for everything that has arrived, and for the timer if it is due.
    fn turn(&mut self, first: Option<(Address, Vec<u8>)>) {
        if self.reseeded != self.env.reseeded() {
            self.reseeded = self.env.reseeded();
            self.protocol.reseed(self.env.random("protocol"));
        }
        let mut next = first.or_else(|| self.env.try_recv());
        let mut taken = 0;
        let most = if self.env.maybe(Whim::TakeOne) { 1 } else { MESSAGES_A_TURN_MAX };
        while let Some((from, bytes)) = next {
            let wanted = self.out.len();
            self.take(from, &bytes);
            self.show_decided(wanted);
            taken += 1;
            next = if taken < most { self.env.try_recv() } else { None };
        }
        let now = self.env.now();
        if self.protocol.deadline() <= now {
            self.protocol.step(now, Input::Timer, &mut self.out);
        }
        Mark::take_noted().for_each(|mark| self.env.reached(mark));
    }

    /// Shows whom the protocol has decided to answer since it wanted so much done.
    fn show_decided(&self, wanted: usize) {
        for output in &self.out[wanted..] {
            if let Output::Reply { to, sequence, .. } = output {
                self.env.decided(to.client, *sequence);
            }
        }
    }

    /// Pauses, at times.
    async fn pause(&self, whim: Whim) {
        if self.env.maybe(whim) {
            self.env.sleep_until(self.env.now() + PAUSE).await;
        }
    }

    /// Steps the protocol for one message. What is no message of this version is dropped: it may
    /// come from anybody.
    fn take(&mut self, from: Address, bytes: &[u8]) {
        let Ok(frame) = wire::decode::<Frame<P::Message>>(bytes) else { return };
        let input = match (from, frame) {
            (Address::Node(from), Frame::Peer(message)) => Input::Message { from, message },
            (Address::Node(_), Frame::Relay { client, sequence, reply, position }) => {
                self.send(Address::Client(client), &Frame::Response { sequence, reply, position });
                return;
            }
            (Address::Client(_), Frame::Request(request))
                if bytes.len() > wire::REQUEST_LEN_MAX && wire::is_too_long(&request.command) =>
            {
                let (sequence, reply) = (request.sequence, Reply::TooLong);
                self.send(from, &Frame::Response { sequence, reply, position: 0 });
                return;
            }
            (Address::Client(from), Frame::Request(request)) => {
                Input::Request { from, request, wall: self.env.wall() }
            }
            (Address::Node(_), Frame::Request(_) | Frame::Response { .. })
            | (Address::Client(_), Frame::Peer(_) | Frame::Relay { .. } | Frame::Response { .. }) =>
            {
                return;
            }
        };
        self.protocol.step(self.env.now(), input, &mut self.out);
    }

    /// Does what the protocol wants done. Everything that it persisted in this turn becomes durable
    /// before anything leaves the node: later than it asked for, never earlier. Where it stops, nothing of this turn is done:
    /// so it would be, had it lost power before.
    async fn perform(&mut self) -> Result<(), Ended> {
        let mut out = std::mem::take(&mut self.out);
        for output in &out {
            if let Output::Stop(contradiction) = output {
                return Err((*contradiction).into());
            }
        }
        for output in &out {
            match output {
                Output::Persist(record) => self.storage.append(record),
                Output::Snapshot(snapshot) => self.storage.snapshot(snapshot).await?,
                Output::Send { .. } | Output::Reply { .. } | Output::Stop(_) => {}
            }
        }
        self.storage.sync().await?;
        self.pause(Whim::AnswerLate).await;
        for output in out.drain(..) {
            match output {
                Output::Persist(_) | Output::Snapshot(_) | Output::Stop(_) => {}
                Output::Send { to, message } => {
                    self.send(Address::Node(to), &Frame::Peer(message));
                }
                Output::Reply { to: Origin { node, client }, sequence, reply, position } => {
                    self.reply(node, client, sequence, reply, position);
                }
            }
        }
        // The list is used again, with the room that it has.
        self.out = out;
        Ok(())
    }

    fn reply(&self, node: NodeId, client: ClientId, sequence: u64, reply: Reply, position: u64) {
        if node == self.env.id() {
            self.send(Address::Client(client), &Frame::Response { sequence, reply, position });
        } else {
            self.send(Address::Node(node), &Frame::Relay { client, sequence, reply, position });
        }
    }

    fn send(&self, to: Address, frame: &Frame<P::Message>) {
        self.env.send(to, wire::encode(frame));
    }
}

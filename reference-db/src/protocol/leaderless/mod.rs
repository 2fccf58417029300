//! No leader: any node takes a change to several others, and a read asks several.
//!
//! DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store" (2007); Kleppmann,
//! "Designing Data-Intensive Applications" (2017), chapter 5, "Leaderless Replication". Each key is
//! held by [`Settings::replicas`] nodes ([`ring`]). The node that a client talks to coordinates: it
//! acknowledges a change when `write` of them have it, and answers a read when `read` of them have
//! answered, with the latest version ([`coordinator`]). What then has fallen behind is brought up to
//! date in three ways: by the reads that notice it (read repair), by whoever kept a change for a
//! node that it could not reach ([`hints`]), and by comparing hash trees ([`anti_entropy`]).
//!
//! With [`Conflicts::Lww`] the later of two changes wins, by a hybrid of wall clock and logical clock
//! that the coordinator reads ([`version`]). A client tells each coordinator how far it has seen, so
//! that its next change is later than its last, whatever the clocks say. Where
//! `read + write > replicas`, a client so reads its own writes. Nothing more follows from quorums: a
//! change that has reached one node is seen by one read and not by the next.
//!
//! With [`Conflicts::Siblings`], two changes that did not know of each other both stay, and a client's
//! next write replaces those that it has read ([`siblings`]). Where `read + write > replicas` and
//! nobody stands in, a read shows everything that was acknowledged before it began and, where
//! `2 * read > replicas` too, everything that was shown to anyone, unless its replacement is shown. What
//! breaks the second half: a change has reached node 1 alone, a read asks 1 and 2 and shows it, and the
//! next one asks 2 and 3. So a read that finds replicas apart leaves what it shows at so many as a change
//! would, before it answers. Where two reads need not meet, that is not enough: the first finds nobody
//! apart, and the second asks others. And it is not
//! linearizable: of two changes under way, one read may show the first alone, and another one the
//! second. And what one client takes out of a set that it keeps there comes back with a write of
//! another one that had read it before.
//!
//! With [`Settings::atomic`], registers are linearizable (Attiya, Bar-Noy and Dolev, "Sharing Memory
//! Robustly in Message-Passing Systems", 1995; for several writers: Lynch and Shvartsman, 1997): a
//! change first asks a majority for the latest stamp and takes the next, and a read that finds
//! replicas apart writes the latest version to a majority before it answers.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Status, Time};
use crate::protocol::raft::core::Core;
use crate::protocol::raft::message as control;
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

mod anti_entropy;
mod coordinator;
mod hints;
mod members;
mod restore;
pub mod ring;
mod sessions;
pub mod siblings;
pub mod store;
pub mod version;

use self::anti_entropy::AntiEntropy;
use self::coordinator::Operation;
use self::hints::Hints;
use self::members::Control;
use self::restore::Disks;
use self::ring::{Layout, Ring};
use self::sessions::Sessions;
use self::siblings::{Conflicts, Issued};
use self::store::{Branch, Store};
use self::version::{Changes, Clock, Stamp, Version};

/// How many nodes hold a key, and how many take part in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many nodes hold each key (N).
    pub replicas: usize,
    /// How many must answer a read (R).
    pub read: usize,
    /// How many must have a change before it is acknowledged (W).
    pub write: usize,
    /// Whether reads and changes have two phases, which makes registers linearizable. It needs
    /// quorums that meet: `read + write > replicas`, `2 * write > replicas` and `2 * read > replicas`.
    ///
    /// The last, because a read leaves nothing at others where all that it asked agree: of four
    /// replicas, a write has reached 1 and 2 of the three that it needs, a read of two asks these and
    /// shows it, and the next one asks 3 and 4, which agree on the value before.
    pub atomic: bool,
    /// Whether a read brings those replicas up to date that it has found behind.
    pub read_repair: bool,
    /// Whether other nodes stand in for those that do not answer, and count.
    pub sloppy: bool,
    /// Whether compare-and-sets are done: by reading, comparing and writing, which is no
    /// compare-and-set as soon as two clients do so at once.
    pub compare_and_set: bool,
    /// What becomes of changes that did not know of each other.
    pub conflicts: Conflicts,
}

impl Settings {
    /// Three replicas, of which two take part in each read and each change.
    pub const DEFAULT: Settings = Settings::majorities(3);

    /// So many replicas, of which a majority takes part in each read and each change; with read repair
    /// and nothing else.
    pub const fn majorities(replicas: usize) -> Settings {
        let majority = replicas / 2 + 1;
        Settings {
            replicas,
            read: majority,
            write: majority,
            atomic: false,
            read_repair: true,
            sloppy: false,
            compare_and_set: false,
            conflicts: Conflicts::Lww,
        }
    }

    /// Says what is wrong with the settings, if anything.
    ///
    /// # Errors
    /// Names the setting and what would do.
    pub fn check(&self) -> Result<(), String> {
        let Settings { replicas, read, write, atomic, sloppy, compare_and_set, conflicts, .. } =
            *self;
        if !(1..=9).contains(&replicas) {
            return Err(format!("replicas = {replicas} must lie between 1 and 9"));
        }
        for (name, quorum) in [("read-quorum", read), ("write-quorum", write)] {
            if !(1..=replicas).contains(&quorum) {
                return Err(format!(
                    "{name} = {quorum} must lie between 1 and replicas = {replicas}"
                ));
            }
        }
        if atomic && (read + write <= replicas || 2 * write <= replicas) {
            return Err(format!(
                "write-quorum = {write} with read-quorum = {read} of {replicas} replicas: with two \
                 phases, any two quorums must meet"
            ));
        }
        if atomic && 2 * read <= replicas {
            return Err(format!(
                "read-quorum = {read} of {replicas} replicas: with two phases, any two reads must meet, \
                 because one whose answers agree leaves nothing for the next; use at least {}",
                replicas / 2 + 1
            ));
        }
        if atomic && sloppy {
            return Err("sloppy = true with two phases: stand-ins are no quorum".to_owned());
        }
        if conflicts == Conflicts::Siblings && (atomic || compare_and_set) {
            let what = if atomic { "two phases" } else { "compare-and-set = true" };
            return Err(format!(
                "conflicts = \"siblings\" with {what}: what stands side by side has no order"
            ));
        }
        Ok(())
    }
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// What does the key hold at the receiver?
    Fetch {
        /// The sender's operation that asks.
        operation: u64,
        /// The key.
        key: String,
    },
    /// The answer.
    Fetched {
        /// The operation that asked.
        operation: u64,
        /// What the key holds.
        version: Option<Version>,
    },
    /// The receiver is to hold this.
    Store {
        /// What the sender wants to know of it.
        receipt: Receipt,
        /// The key.
        key: String,
        /// What it holds, unless something later is there. Siblings go to those that are there.
        version: Version,
    },
    /// The receiver is to keep this for another node.
    Keep {
        /// The sender's operation.
        operation: u64,
        /// For whom.
        node: NodeId,
        /// The key.
        key: String,
        /// What it is to hold there.
        version: Version,
    },
    /// The answer to `Store` and `Keep`: it is durable.
    Stored {
        /// What the sender of the change wanted to know it for.
        receipt: Receipt,
        /// The key.
        key: String,
        /// The stamp of the change.
        stamp: Stamp,
    },
    /// Hashes of the sender's trees. The receiver answers with the hashes below those in which it
    /// differs.
    Compare(Vec<(Branch, u64)>),
    /// The keys of leaves in which the two differ, as the sender has them.
    Leaves(Vec<(Branch, Vec<(String, Stamp)>)>),
    /// The receiver is to send what it has of these.
    Want(Vec<String>),
    /// The sender lacks something, because it has lost its disk or is to hold more than before, and wants
    /// what the receiver has of the keys that the sender holds or is to, in order, from behind this one.
    Restore {
        /// The last key that it got; `None` at the beginning.
        after: Option<String>,
    },
    /// The answer.
    Restored {
        /// The number of the receiver's disk, as the sender knows it.
        disk: u64,
        /// The key behind which these are.
        after: Option<String>,
        /// The next keys and what they hold; none where those were all.
        versions: Vec<(String, Version)>,
    },
    /// The sender knows the receiver, or whoever has its number, by a later disk.
    Outlived,
    /// A message of one that knows of disks which were lost.
    Knowing {
        /// The number of each node's disk, the sender's own included, where it is not the first.
        disks: Vec<(NodeId, u64)>,
        /// What it says.
        message: Box<Message>,
    },
    /// The same as `Leaves`, where changes stand side by side.
    Siblings(Vec<(Branch, Vec<(String, Changes)>)>),
    /// A message of one that goes by a later layout than the first.
    Under {
        /// The layout.
        layout: Layout,
        /// What it says.
        message: Box<Message>,
    },
    /// The sender goes by a later layout than the receiver, and has done nothing.
    Outdated,
    /// Between those that agree on layouts.
    Control(control::Message<Layout, Layout>),
    /// What an operator wants, from a node that does not see to it.
    Forward {
        /// Where the answer goes.
        origin: Origin,
        /// What is asked.
        request: Request,
    },
    /// Has the receiver gone over to the layout of the message?
    HowFar,
    /// The answer: it has.
    Reached {
        /// Whether it has done what it is to do under it.
        ready: bool,
    },
}

impl Message {
    /// Whether it is for the receiver by whatever layout it goes.
    fn is_about_members(&self) -> bool {
        match self {
            Message::Control(_) | Message::Forward { .. } => true,
            Message::Knowing { message, .. } => {
                matches!(**message, Message::Control(_) | Message::Forward { .. })
            }
            _ => false,
        }
    }
}

/// What a change was sent for, and so what its acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// A client waits for it.
    Operation(u64),
    /// A node kept it for the receiver.
    Hint,
    /// The sender saw that the receiver is behind; nobody waits.
    None,
}

/// What is added to the durable log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The how many-th start of the node this is.
    Started(u64),
    /// A key holds this.
    Holds(String, Version),
    /// The node keeps this for another one.
    Hint(NodeId, String, Version),
    /// The other one has it.
    HintTaken(NodeId, String),
    /// A node has this disk, which is not its first. Where it is the node itself, it lacks what the one
    /// before had.
    Disk(NodeId, u64),
    /// The node has it again.
    Whole,
    /// The node goes by this layout.
    Layout(Layout),
    /// Of those that agree on layouts.
    Control(control::Record<Layout>),
}

/// All that a node needs to go on after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The how many-th start of the node it was.
    pub start: u64,
    /// Every key and what it holds.
    pub versions: Vec<(String, Version)>,
    /// What is kept for others.
    pub hints: Vec<(NodeId, String, Version)>,
    /// The number of each node's disk, where it is not the first.
    pub disks: Vec<(NodeId, u64)>,
    /// Whether the node lacks what its disk before had.
    pub restoring: bool,
    /// By which layout it goes; without nodes where that is the first one.
    pub layout: Layout,
    /// What it has agreed on with others.
    pub control: control::Snapshot<Layout, Layout>,
}

/// One node of the modes `leaderless` and `leaderless-abd`.
#[derive(Clone, Debug)]
pub struct Leaderless {
    options: Options,
    /// Who holds what: `ring` follows from `layout`.
    layout: Layout,
    ring: Ring,
    /// What the node has to do with who that is; nothing where that never changes.
    control: Option<Control>,
    store: Store,
    clock: Clock,
    issued: Issued,
    sessions: Sessions,
    random: ChaCha8Rng,
    /// What the node coordinates, by number.
    operations: BTreeMap<u64, Operation>,
    next_operation: u64,
    hints: Hints,
    anti_entropy: AntiEntropy,
    disks: Disks,
    /// Whether the start is on the disk.
    announced: bool,
    /// Records since the last snapshot.
    records: u64,
    /// The how many-th start with this disk it is.
    starts: u64,
    /// Versions taken over since the start.
    taken: u64,
}

impl Protocol for Leaderless {
    type Message = Message;
    type Record = Record;
    type Snapshot = Snapshot;

    fn recover(
        options: Options,
        recovered: Recovered<Snapshot, Record>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let snapshot = recovered.snapshot.unwrap_or_default();
        let layout = members::last_layout(&options, &snapshot, &recovered.records);
        let mut hints = Hints::default();
        let mut start = snapshot.start;
        let empty = recovered.records.is_empty() && start == 0;
        let records = recovered.records.len() as u64;
        let mut disks = Disks::new(options.id, snapshot.disks, snapshot.restoring);
        let mut held = snapshot.versions;
        let mut agreed = Vec::new();
        for (node, key, version) in snapshot.hints {
            hints.add(node, key, version);
        }
        for record in recovered.records {
            match record {
                Record::Started(number) => start = number,
                Record::Holds(key, version) => held.push((key, version)),
                Record::Hint(node, key, version) => {
                    hints.add(node, key, version);
                }
                Record::HintTaken(node, key) => hints.remove(node, &key),
                Record::Disk(node, number) => disks.recover(node, number),
                Record::Whole => disks.restoring = false,
                Record::Layout(_) => {}
                Record::Control(record) => agreed.push(record),
            }
        }
        let recovery = Recovered { snapshot: Some(snapshot.control), records: agreed };
        let control = Control::of(&options, recovery, &random, now);
        let ring = members::ring_of(&layout, control.is_some(), options.leaderless);
        let mut store = Store::new(ring.clone());
        for (key, version) in held {
            store.put(&key, version);
        }
        if empty && options.restored {
            disks.begin_again(&random);
        }
        let start = start + 1;
        let mut clock = Clock { node: options.id, start: disks.stamped(start), latest: 0 };
        store.versions().for_each(|(_, version)| clock.see(version.stamp));
        let mut node = Leaderless {
            anti_entropy: AntiEntropy::new(&ring, options.id, options.timing, now),
            layout,
            ring,
            control,
            store,
            clock,
            issued: Issued::default(),
            sessions: Sessions::new(options.sessions_max),
            random,
            operations: BTreeMap::new(),
            // Late answers to what an earlier start asked are answers to nothing.
            next_operation: disks.operations(start),
            hints,
            disks,
            announced: false,
            records,
            taken: 0,
            starts: start,
            options,
        };
        node.begin_filling(now);
        node
    }

    fn reseed(&mut self, random: ChaCha8Rng) {
        self.control.iter_mut().for_each(|control| control.reseed(&random));
        self.random = random;
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        let begin = out.len();
        if !self.announced {
            self.announced = true;
            self.announce_disk(out);
            self.persist(Record::Started(self.starts), out);
        }
        match input {
            Input::Timer => {
                self.on_members_timer(now, out);
                self.fetch_again(now, out);
                self.retry_operations(now, out);
                self.deliver_hints(now, out);
                self.compare_with_next(now, out);
            }
            Input::Request { from, request, wall } => {
                let origin = Origin { node: self.options.id, client: from };
                self.on_request(now, origin, request, wall, out);
            }
            Input::Message { from, message } => self.on_message(now, from, message, out),
        }
        self.settle_members(now, out);
        if self.records >= self.options.snapshot_entries.max(1) {
            self.records = 0;
            let agreed = self.control.as_ref().map(|control| control.core().durable());
            out.push(Output::Snapshot(self.durable(agreed.unwrap_or_default())));
        }
        self.tell_disks(&mut out[begin..]);
        self.tell_layout(&mut out[begin..]);
    }

    fn deadline(&self) -> Time {
        let operations = self.operations.values().map(Operation::deadline).min();
        operations
            .unwrap_or(Time::NEVER)
            .min(self.hints.deadline())
            .min(self.anti_entropy.deadline())
            .min(self.disks.deadline())
            .min(self.control.as_ref().map_or(Time::NEVER, |c| c.deadline(&self.layout)))
    }

    /// Nobody leads but those that agree on who holds what; the positions count the versions that were
    /// taken over since the start.
    fn status(&self) -> Status {
        let taken = self.taken;
        let core = self.control.as_ref().map(Control::core);
        Status {
            role: core.map(Core::role).unwrap_or_default(),
            term: core.map_or(0, Core::term),
            last: taken,
            committed: taken,
            applied: taken,
            restoring: self.disks.restoring || core.is_some_and(Core::is_restoring),
        }
    }
}

impl Leaderless {
    /// What the node holds.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many changes the node keeps for others.
    pub fn hints(&self) -> usize {
        self.hints.len()
    }

    fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Message,
        out: &mut Vec<Output<Self>>,
    ) {
        match message {
            Message::Under { layout, message } => {
                let version = layout.version;
                self.adopt(now, layout, out);
                if !matches!(*message, Message::Under { .. }) {
                    self.on_message_under(now, from, (version, *message), out);
                }
            }
            message => self.on_message_under(now, from, (0, message), out),
        }
    }

    /// Takes what a node says with a disk of this number.
    fn on_message_of(
        &mut self,
        now: Time,
        from: NodeId,
        disk: u64,
        message: Message,
        out: &mut Vec<Output<Self>>,
    ) {
        if disk < self.disks.number(from) {
            // Its disk is lost, and what it says it had. If it knows better, it has to say so.
            send(from, Message::Outlived, out);
            return;
        }
        match message {
            // A node that has lost its disk says nothing of what it holds until it has that again, and is
            // counted by nobody.
            Message::Fetch { .. } | Message::Restore { .. } | Message::Keep { .. }
                if self.disks.restoring => {}
            Message::Fetch { operation, key } => {
                let held = self.store.get(&key).cloned();
                // A stand-in holds what it keeps for others.
                let version = held.or_else(|| self.hints.joined(&self.options.nodes, &key));
                send(from, Message::Fetched { operation, version }, out);
            }
            Message::Fetched { operation, version } => {
                self.on_fetched(from, operation, version, out);
            }
            Message::Store { receipt, key, version } => {
                let stamp = version.stamp;
                self.take(&key, version, out);
                if receipt != Receipt::None && !self.disks.restoring {
                    send(from, Message::Stored { receipt, key, stamp }, out);
                }
            }
            Message::Keep { operation, node, key, version } => {
                let stamp = version.stamp;
                if self.keep(now, node, &key, version, out) {
                    let receipt = Receipt::Operation(operation);
                    send(from, Message::Stored { receipt, key, stamp }, out);
                }
            }
            Message::Stored { receipt: Receipt::Operation(operation), stamp, .. } => {
                self.on_stored(from, operation, stamp, out);
            }
            Message::Stored { receipt: Receipt::Hint, key, stamp } => {
                self.on_hint_taken(from, &key, stamp, out);
            }
            Message::Stored { receipt: Receipt::None, .. } => {}
            Message::Compare(theirs) => self.on_compare(from, &theirs, out),
            Message::Leaves(theirs) => self.on_leaves(from, &theirs, out),
            Message::Siblings(theirs) => self.on_leaves(from, &theirs, out),
            Message::Want(keys) => self.on_want(from, &keys, out),
            Message::Restore { after } => self.on_restore(from, after, out),
            Message::Restored { disk, after, versions } => {
                if disk == self.disks.number(self.options.id) {
                    self.on_restored(now, from, after, versions, out);
                }
            }
            Message::Control(message) => self.on_control(now, from, message),
            Message::Forward { origin, request } => self.on_wish(now, origin, request, None, out),
            Message::HowFar => self.on_how_far(from, out),
            Message::Reached { ready } => self.on_reached(now, from, ready),
            // What it says came with it: the number, or the layout.
            Message::Outlived | Message::Outdated => {}
            Message::Knowing { .. } | Message::Under { .. } => {
                unreachable!("it was opened before")
            }
        }
    }

    /// Takes in a version, unless everything in it is held.
    fn take(&mut self, key: &str, version: Version, out: &mut Vec<Output<Self>>) {
        self.clock.see(version.stamp);
        if self.store.put(key, version.clone()) {
            self.taken += 1;
            self.persist(Record::Holds(key.to_owned(), version), out);
        }
    }

    fn persist(&mut self, record: Record, out: &mut Vec<Output<Self>>) {
        self.records += 1;
        out.push(Output::Persist(record));
    }

    fn durable(&self, control: control::Snapshot<Layout, Layout>) -> Snapshot {
        let versions = self.store.versions();
        let changed = self.layout.version > 0;
        Snapshot {
            start: self.starts,
            versions: versions.map(|(key, version)| (key.to_owned(), version.clone())).collect(),
            hints: self.hints.all(),
            disks: self.disks.all(),
            restoring: self.disks.restoring,
            layout: if changed { self.layout.clone() } else { Layout::default() },
            control,
        }
    }

    /// A number for a session: nobody has it, here or at another node.
    fn fresh_session(&mut self) -> u64 {
        self.random.next_u64() | 1
    }
}

fn send(to: NodeId, message: Message, out: &mut Vec<Output<Leaderless>>) {
    out.push(Output::Send { to, message });
}

/// Has every message that is sent say something else as well.
fn enclose(out: &mut [Output<Leaderless>], within: impl Fn(Box<Message>) -> Message) {
    for output in out {
        if let Output::Send { message, .. } = output {
            let said = std::mem::replace(message, Message::Outdated);
            *message = within(Box::new(said));
        }
    }
}

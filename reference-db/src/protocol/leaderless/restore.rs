//! Nodes that have lost their disks.
//!
//! **What goes wrong without it.** Three replicas, of which two take part in each read and each change.
//! A change is acknowledged when 1 and 2 have it, 1 loses its disk, and a read asks 1 and 3: neither has
//! the change. So a node with an empty disk, in a cluster that exists already, answers nobody and
//! acknowledges nothing, until it has fetched what it should hold from so many other replicas of each
//! segment that any change which was acknowledged is on one of them: from `replicas - write + 1`.
//!
//! **What goes wrong even so.** 1 has a change, and its acknowledgement is under way, when it loses its
//! disk. It fetches from 2 and 3, which have not got the change yet, and answers reads again. Then 2 gets
//! the change and acknowledges it, and with the word of a disk that is gone the coordinator counts two:
//! it is on 2 alone. So disks have numbers: a node's first one has 0, and each one after it a greater
//! number. Whoever is asked for what it holds learns the new number first, and from then on says it with
//! every message. The coordinator takes the word of the lost disk back when it hears of the new one, and
//! any replica that counts and was not asked before it had the change tells it.
//!
//! A node that lost its disk does not know the number that it had. It tries one by chance, and whoever knows it
//! by a greater one says so; then it takes the next and begins anew. Were it the same one for every node that
//! knows nothing, a node that loses its disk, and then the disk after that one, would have the same twice: the
//! acknowledgement that was under way with the second disk would count with the third.
//!
//! The number is the first that its new disk keeps. Were it the second, after that of the start: the power is lost
//! between the two, and the next start finds a disk that is not empty and says nothing of a loss. It would take
//! itself for whole, and answer with nothing for what it had acknowledged.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore as _;

use super::anti_entropy::held_by;
use super::version::Version;
use super::{Leaderless, Message, Record, enclose, send};
use crate::env::{NodeId, Time};
use crate::protocol::Output;

/// Keys in one answer at most.
const KEYS_MAX: usize = 64;
/// The starts with one disk are counted in so many bits.
const START_BITS: u32 = 32;
/// Numbers that a disk tries first have so many bits.
const FIRST_BITS: u32 = 20;

/// Which disks nodes have, as far as is known, and how far the own one is.
#[derive(Clone, Debug)]
pub(super) struct Disks {
    own: NodeId,
    /// The number of each node's disk, where it is not the first.
    numbers: BTreeMap<NodeId, u64>,
    /// Whether the node lacks what its disk before had.
    pub(super) restoring: bool,
    /// Whether it lacks what others hold and it is to hold.
    filling: bool,
    /// How far it has fetched from whom.
    fetched: BTreeMap<NodeId, Fetched>,
    again_at: Time,
}

/// What a node has got of what another one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fetched {
    /// Everything up to this key.
    UpTo(Option<String>),
    All,
}

/// The number of a node's disk in such a list.
pub(super) fn number_in(disks: &[(NodeId, u64)], node: NodeId) -> u64 {
    disks.iter().find(|(known, _)| *known == node).map_or(0, |(_, number)| *number)
}

impl Disks {
    pub(super) fn new(own: NodeId, numbers: Vec<(NodeId, u64)>, restoring: bool) -> Disks {
        let (numbers, fetched) = (numbers.into_iter().collect(), BTreeMap::new());
        Disks { own, numbers, restoring, filling: false, fetched, again_at: Time(0) }
    }

    /// Takes a number from the node's own disk.
    pub(super) fn recover(&mut self, node: NodeId, number: u64) {
        self.numbers.insert(node, number);
        self.restoring |= node == self.own;
    }

    /// The disk is empty, and not the node's first.
    pub(super) fn begin_again(&mut self, random: &ChaCha8Rng) {
        let mut random = random.clone();
        random.set_stream(random.get_stream() + 2);
        let number = 1 + random.next_u64() % ((1 << FIRST_BITS) - 1);
        self.numbers.insert(self.own, number);
        self.restoring = true;
    }

    /// The number of a node's disk.
    pub(super) fn number(&self, node: NodeId) -> u64 {
        self.numbers.get(&node).copied().unwrap_or(0)
    }

    /// All that are not the first of their nodes.
    pub(super) fn all(&self) -> Vec<(NodeId, u64)> {
        self.numbers.iter().map(|(node, number)| (*node, *number)).collect()
    }

    /// What stamps say of a start: no two starts with any disk of the node have the same.
    pub(super) fn stamped(&self, start: u64) -> u64 {
        self.number(self.own) << START_BITS | start
    }

    /// Where the numbers of the operations of a start begin: late answers to what an earlier start
    /// asked, with this disk or another, are answers to nothing.
    pub(super) fn operations(&self, start: u64) -> u64 {
        let number = self.number(self.own) & ((1 << FIRST_BITS) - 1);
        (number << 8 | start & 0xff) << 36
    }

    /// Whether the node lacks anything that it should have.
    pub(super) fn lacks(&self) -> bool {
        self.restoring || self.filling
    }

    pub(super) fn deadline(&self) -> Time {
        if self.lacks() { self.again_at } else { Time::NEVER }
    }
}

impl Leaderless {
    /// Keeps the number of a new disk, before anything else is kept on it and anything is said with it.
    pub(super) fn announce_disk(&mut self, out: &mut Vec<Output<Self>>) {
        let own = self.options.id;
        if self.disks.restoring {
            self.persist(Record::Disk(own, self.disks.number(own)), out);
        }
    }

    /// Has messages say what the node knows of disks, where there is anything to know.
    pub(super) fn tell_disks(&self, out: &mut [Output<Self>]) {
        if self.disks.numbers.is_empty() {
            return;
        }
        enclose(out, |message| Message::Knowing { disks: self.disks.all(), message });
    }

    /// Learns which disks there are. What was counted of those before them is not any more.
    pub(super) fn learn_disks(
        &mut self,
        now: Time,
        disks: &[(NodeId, u64)],
        out: &mut Vec<Output<Self>>,
    ) {
        for (node, number) in disks {
            if *number <= self.disks.number(*node) {
                continue;
            }
            if *node == self.options.id {
                self.renumber(now, *number + 1, out);
                continue;
            }
            self.disks.numbers.insert(*node, *number);
            self.persist(Record::Disk(*node, *number), out);
            self.take_back(*node);
        }
    }

    /// The node's disk gets a greater number than others know of one before it. What was fetched under the
    /// smaller number has told nobody that the one before is gone.
    fn renumber(&mut self, now: Time, number: u64, out: &mut Vec<Output<Self>>) {
        let own = self.options.id;
        self.disks.numbers.insert(own, number);
        self.persist(Record::Disk(own, number), out);
        if self.disks.restoring {
            self.clock.start = self.disks.stamped(self.starts);
            self.disks.fetched.clear();
            self.disks.again_at = now;
        } else {
            // It has everything, and its stamps are its own already.
            self.persist(Record::Whole, out);
        }
    }

    /// Asks those again that hold what the node should hold, and have not sent all of it.
    pub(super) fn fetch_again(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if self.disks.deadline() > now {
            return;
        }
        self.disks.again_at = now + self.options.timing.heartbeat * 2;
        self.go_live_if_whole(out);
        if !self.disks.lacks() {
            return;
        }
        for node in self.anti_entropy.partners().to_vec() {
            let nothing = Fetched::UpTo(None);
            if let Fetched::UpTo(after) = self.disks.fetched.get(&node).unwrap_or(&nothing) {
                send(node, Message::Restore { after: after.clone() }, out);
            }
        }
    }

    /// Sends the next keys that the node has and the other one holds, or is to.
    pub(super) fn on_restore(
        &self,
        from: NodeId,
        after: Option<String>,
        out: &mut Vec<Output<Self>>,
    ) {
        let shared = self.store.versions_after(after.as_deref());
        let shared = shared.filter(|(key, _)| self.ring.holds(from, self.store.segment(key)));
        let versions = shared.take(KEYS_MAX);
        let versions = versions.map(|(key, version)| (key.to_owned(), version.clone())).collect();
        let disk = self.disks.number(from);
        send(from, Message::Restored { disk, after, versions }, out);
    }

    /// Takes what another node holds, and asks for more.
    pub(super) fn on_restored(
        &mut self,
        now: Time,
        from: NodeId,
        after: Option<String>,
        versions: Vec<(String, Version)>,
        out: &mut Vec<Output<Self>>,
    ) {
        let lacks = self.disks.lacks();
        let fetched = self.disks.fetched.entry(from).or_insert(Fetched::UpTo(None));
        if !lacks || *fetched != Fetched::UpTo(after) {
            return;
        }
        if let Some((last, _)) = versions.last() {
            let after = Some(last.clone());
            *fetched = Fetched::UpTo(after.clone());
            for (key, version) in versions {
                self.take(&key, version, out);
            }
            send(from, Message::Restore { after }, out);
        } else {
            *fetched = Fetched::All;
            self.disks.again_at = now;
        }
    }

    /// Fetches from the beginning what the node lacks by another ring than before.
    pub(super) fn begin_filling(&mut self, now: Time) {
        self.disks.filling = self.ring.to_fill_by(self.options.id).next().is_some();
        self.disks.fetched.clear();
        self.disks.again_at = now;
    }

    /// Is a replica like the others from here on, if it has everything that was ever acknowledged. One that
    /// is no replica yet stays what it is.
    fn go_live_if_whole(&mut self, out: &mut Vec<Output<Self>>) {
        let own = self.options.id;
        let restored = || held_by(&self.ring, own).all(|segment| self.is_restored(segment));
        let filled = || self.ring.to_fill_by(own).all(|segment| self.is_filled(segment));
        if !self.layout.has(own) || self.disks.restoring && !restored() || !filled() {
            return;
        }
        self.disks.filling = false;
        self.disks.fetched.clear();
        if std::mem::replace(&mut self.disks.restoring, false) {
            self.persist(Record::Whole, out);
        }
    }

    /// Whether a node that has lost its disk has everything of a segment that was ever acknowledged. Where
    /// others are to hold it than now, it may have been one of them with the disk before.
    fn is_restored(&self, segment: usize) -> bool {
        let settings = self.options.leaderless;
        let (owners, heirs) = (self.ring.owners(segment), self.ring.heirs(segment));
        let later = Some(heirs).filter(|_| !self.comes_with_its_disk());
        [Some(owners), later].into_iter().flatten().all(|side| {
            let others = || side.iter().filter(|node| **node != self.options.id);
            let count = others().count();
            // And a majority, so that the node learns the number of any disk that was whole before.
            let enough = (settings.replicas + 1 - settings.write).max(count / 2 + 1).min(count);
            others().filter(|node| self.has_all_of(**node)).count() >= enough
        })
    }

    /// Whether a node that is to hold a segment has everything of it that was ever acknowledged.
    fn is_filled(&self, segment: usize) -> bool {
        let settings = self.options.leaderless;
        let owners = self.ring.owners(segment);
        let enough = (settings.replicas + 1 - settings.write).min(owners.len());
        let itself = usize::from(owners.contains(&self.options.id));
        let fetched = owners.iter().filter(|node| self.has_all_of(**node)).count();
        fetched + itself >= enough
    }

    fn has_all_of(&self, node: NodeId) -> bool {
        self.disks.fetched.get(&node) == Some(&Fetched::All)
    }
}

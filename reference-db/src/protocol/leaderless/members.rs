//! Nodes that are let in and go while clients read and write.
//!
//! Who holds the keys is a [`Layout`], and layouts follow each other one at a time. Where nodes are spare,
//! Raft agrees on them and on who takes part ([`crate::protocol::raft::members`]); no key ever goes through
//! its log, and no read or change waits for its leader. The layout follows the members: one that was let in
//! gets its share of the keys before it gets its vote, and one that was let go is reported gone when nobody
//! needs it any more. So what operators are told is what they are told in every mode
//! ([`crate::protocol::raft::wishes`]), whichever of them asks, and however late.
//!
//! **In between, both count.** Of 1, 2 and 3, two take part in each read and each change; 4 is let in and
//! comes to hold in the place of 3 what 1, 2 and 3 hold. Were that done at once: a change is acknowledged
//! when 2 and 3 have it, and a read asks 1 and 4, who have never heard of it. So a layout with
//! [`Layout::next`] comes first, under which whoever reads or changes something needs a quorum of those
//! that hold the key and one of those that are to hold it. It ends in one of two ways: without `next` as it
//! was before, which may be at any time; or with those that were to come, when each of them that comes has
//! fetched what the others have ([`super::restore`]): from so many of those that hold a segment that
//! anything acknowledged under the layout before is on one of them.
//!
//! **Nobody counts by an old layout.** A coordinator that has not heard of all this would go on to make
//! changes with 2 and 3 when others read from 1 and 4 already. So every message says under which layout it
//! is sent, unless that is the first one. Whoever gets one of an older layout, unless it is Raft's or an
//! operator's, does nothing but tell the sender the later one; whoever gets one of a later layout goes over to
//! it first, and for good. A coordinator that goes over begins the phase anew that it is in, with no answers:
//! 2 has acknowledged under the layout before, and what it said is about a quorum that does not count any
//! more. And a layout without `next` follows only when so many of those that hold a segment have gone over to
//! the one with it that the rest are neither a quorum to read nor one to write, nor so many that one which
//! loses its disk could come back by what they say alone, and forget that it had gone over.
//!
//! Answers given before may still be on their way then. A change that they make count is on nodes that had it
//! before they went over, so that whoever comes has fetched it; and a read that they make count had begun
//! before anything was written under the layout after next, and shows what was there then.
//!
//! Layouts travel with messages because not everybody has Raft's log: 3, which was let go, gets no more of it
//! and would never learn. They are agreed on when the first such message leaves a node.
//!
//! **A disk that is lost right after.** 4 has come, a change is acknowledged when 1 and 4 have it, 4 loses its
//! disk, and whom it finds then are 2 and 3, who have been cut off and go by the layout under which 4 was to
//! come: what they hold was once enough. So that layout says with which disk 4 comes. With another one it
//! needs enough of those with whom it is to hold a segment as well, of whom one knows better, and so does
//! whoever else has lost a disk.
//!
//! Nodes keep what they no longer hold, and answer with it nobody but those who ask in vain elsewhere. Since
//! nothing of what was deleted is ever forgotten, one that is let in again with what it had brings nothing
//! back.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;

use super::restore::number_in;
use super::ring::{Layout, Ring};
use super::{Leaderless, Message, Record, Settings, Snapshot, enclose, send};
use crate::env::{NodeId, Time};
use crate::kv::Reply;
use crate::protocol::raft::core::{Act, Core};
use crate::protocol::raft::members::Member;
use crate::protocol::raft::message as control;
use crate::protocol::raft::wishes::{Dismissal, Wishes};
use crate::protocol::{Options, Origin, Output, Recovered};
use crate::wire::Request;

/// How many entries of the members' log a node keeps before it replaces them by the last layout.
const ENTRIES_MAX: u64 = 64;

/// What a node's part in Raft has on its disk.
pub(super) type Recovery = Recovered<control::Snapshot<Layout, Layout>, control::Record<Layout>>;

/// The last layout that is on a disk, or else the first one of all.
pub(super) fn last_layout(options: &Options, snapshot: &Snapshot, records: &[Record]) -> Layout {
    let layouts = records.iter().rev().filter_map(|record| match record {
        Record::Layout(layout) => Some(layout),
        _ => None,
    });
    let kept = Some(&snapshot.layout).filter(|layout| layout.version > 0);
    let last = layouts.chain(kept).next().cloned();
    last.unwrap_or_else(|| Layout::founded(options.founders().collect()))
}

/// The ring of a layout, which `may_change` or did.
pub(super) fn ring_of(layout: &Layout, may_change: bool, settings: Settings) -> Ring {
    if may_change || layout.version > 0 {
        Ring::of(layout, settings.replicas)
    } else {
        Ring::new(layout.nodes.clone(), settings.replicas)
    }
}

/// A node's part in the agreement on layouts.
#[derive(Clone, Debug)]
pub(super) struct Control {
    core: Core<Layout, Layout>,
    /// The last entry of the log that was looked at.
    applied: u64,
    wishes: Wishes,
    /// The version that the node has proposed last as a leader, and in which term.
    proposed: Option<(u64, u64)>,
    /// Who has gone over to the layout with which somebody comes or goes, as a leader knows.
    reached: BTreeMap<NodeId, Reached>,
    /// When a leader asks for that again.
    ask_at: Time,
}

/// What a node has said of such a layout.
#[derive(Clone, Copy, Debug)]
struct Reached {
    at: Time,
    /// Whether it has done what it is to do.
    ready: bool,
}

/// The random numbers of this part of a node, which are none of those that the rest of it draws.
fn of_control(random: &ChaCha8Rng) -> ChaCha8Rng {
    let mut random = random.clone();
    random.set_stream(random.get_stream() + 1);
    random
}

impl Control {
    /// A node's part from what its disk holds; nothing where nodes neither come nor go, and never did.
    pub(super) fn of(
        options: &Options,
        recovery: Recovery,
        random: &ChaCha8Rng,
        now: Time,
    ) -> Option<Control> {
        let took_part =
            recovery.snapshot != Some(control::Snapshot::default()) || !recovery.records.is_empty();
        if options.spares.is_empty() && !took_part {
            return None;
        }
        Some(Control {
            core: Core::recover(options, recovery, of_control(random), now),
            applied: 0,
            wishes: Wishes::default(),
            proposed: None,
            reached: BTreeMap::new(),
            ask_at: now,
        })
    }

    /// Takes other random numbers from now on.
    pub(super) fn reseed(&mut self, random: &ChaCha8Rng) {
        self.core.reseed(of_control(random));
    }

    /// Raft's part in it.
    pub(super) fn core(&self) -> &Core<Layout, Layout> {
        &self.core
    }

    pub(super) fn deadline(&self, layout: &Layout) -> Time {
        let asks = self.core.is_leader() && layout.next.is_some();
        self.core.deadline().min(if asks { self.ask_at } else { Time::NEVER })
    }

    /// Does what operators want, and gives those a vote that hold their share.
    fn change_members(
        &mut self,
        now: Time,
        layout: &Layout,
        settings: Settings,
        out: &mut Vec<Output<Leaderless>>,
    ) {
        let wishes = &self.wishes;
        let may = |node| layout.nodes.contains(&node) && !wishes.is_to_go(node);
        self.core.promote(now, may);
        if self.wishes.is_empty() {
            return;
        }
        let fewest = settings.read.max(settings.write);
        let members = self.core.members().clone();
        let may_go = |node: NodeId| {
            let left = members.voters().filter(|voter| *voter != node).count();
            match members.get(node) {
                Some(_) if left < fewest => Dismissal::Never,
                None if layout.has(node) => Dismissal::Later,
                Some(_) | None => Dismissal::Now,
            }
        };
        self.wishes.go_on(now, &mut self.core, may_go, out);
    }

    /// The layout that is to follow, if one is.
    fn next_layout(
        &self,
        now: Time,
        layout: &Layout,
        ring: &Ring,
        options: &Options,
    ) -> Option<Layout> {
        let members = self.core.agreed_members();
        let wanted: BTreeSet<NodeId> = members.iter().map(|(node, _)| node).collect();
        let holds = BTreeSet::from_iter(layout.nodes.iter().copied());
        let Some(next) = &layout.next else {
            // Who comes, comes first: whoever goes then leaves more behind.
            let seen = |one: &&NodeId| members.get(**one).is_some_and(Member::was_seen);
            let comes = wanted.difference(&holds).filter(seen);
            let one = *comes.chain(holds.difference(&wanted)).next()?;
            let disk = members.get(one).map_or(0, |member| member.incarnation);
            return Some(layout.changed(one, disk));
        };
        let one = *layout.all().iter().find(|node| holds.contains(node) != next.contains(node))?;
        if wanted.contains(&one) != next.contains(&one) {
            // It was let go before it held its share, or let in again before it was gone.
            return Some(layout.settled(layout.nodes.clone()));
        }
        let busy = self.reached.get(&one).is_some_and(|reached| {
            !reached.ready && now.since(reached.at) < options.timing.election
        });
        let done = !busy && self.is_filled(ring, options.leaderless);
        done.then(|| layout.settled(next.clone()))
    }

    /// Whether nothing counts any more by the layout before, and those that come have what counted by it.
    fn is_filled(&self, ring: &Ring, settings: Settings) -> bool {
        ring.changing().all(|segment| {
            let owners = ring.owners(segment);
            let count = owners.len();
            let enough = (count + 1).saturating_sub(settings.read.min(settings.write));
            let enough = enough.max(count / 2 + 1).min(count);
            let gone_over = owners.iter().filter(|node| self.reached.contains_key(node)).count();
            let ready = |node: NodeId| self.reached.get(&node).is_some_and(|reached| reached.ready);
            gone_over >= enough && ring.to_fill(segment).all(ready)
        })
    }

    /// Proposes what is to follow, once a term.
    fn propose(&mut self, now: Time, layout: &Layout, ring: &Ring, options: &Options) {
        if !self.core.knows_all_commits() || self.applied < self.core.committed() {
            return;
        }
        let once = Some((layout.version + 1, self.core.term()));
        if self.proposed == once {
            return;
        }
        if let Some(next) = self.next_layout(now, layout, ring, options)
            && self.core.propose(now, next).is_some()
        {
            self.proposed = once;
        }
    }
}

impl Leaderless {
    /// Whether the node is the one that comes, with the disk that the layout names.
    pub(super) fn comes_with_its_disk(&self) -> bool {
        let own = self.options.id;
        let disk = self.control.as_ref().map_or(0, |control| control.core.incarnation());
        self.layout.stays(own) && !self.layout.nodes.contains(&own) && self.layout.disk == disk
    }

    /// The layout that the node goes by.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes what a node says under a layout.
    pub(super) fn on_message_under(
        &mut self,
        now: Time,
        from: NodeId,
        (version, message): (u64, Message),
        out: &mut Vec<Output<Self>>,
    ) {
        if version < self.layout.version && !message.is_about_members() {
            send(from, Message::Outdated, out);
            return;
        }
        match message {
            Message::Knowing { disks, message } => {
                self.learn_disks(now, &disks, out);
                if !matches!(*message, Message::Knowing { .. } | Message::Under { .. }) {
                    let disk = number_in(&disks, from);
                    self.on_message_of(now, from, disk, *message, out);
                }
            }
            message => self.on_message_of(now, from, 0, message, out),
        }
    }

    /// Has messages say by which layout the node goes, where that is not the first.
    pub(super) fn tell_layout(&self, out: &mut [Output<Self>]) {
        if self.layout.version == 0 {
            return;
        }
        enclose(out, |message| Message::Under { layout: self.layout.clone(), message });
    }

    /// Goes over to a layout that was agreed on, if it is later than the node's own.
    pub(super) fn adopt(&mut self, now: Time, layout: Layout, out: &mut Vec<Output<Self>>) {
        let empty = layout.nodes.is_empty() || layout.founders.is_empty();
        if layout.version <= self.layout.version || empty {
            return;
        }
        self.persist(Record::Layout(layout.clone()), out);
        self.ring = Ring::of(&layout, self.options.leaderless.replicas);
        self.layout = layout;
        self.store.follow(&self.ring);
        self.anti_entropy.follow(&self.ring, self.options.id);
        // What it issued of a key is in its store or not, by whether it holds the key.
        self.issued.begin_anew();
        self.readdress_hints(now, out);
        self.begin_filling(now);
        self.begin_phases_anew(now, out);
    }

    /// Takes what an operator wants, and passes it on to `leader` where the node does not lead.
    pub(super) fn on_wish(
        &mut self,
        now: Time,
        origin: Origin,
        request: Request,
        leader: Option<NodeId>,
        out: &mut Vec<Output<Self>>,
    ) {
        let sequence = request.sequence;
        let reply = match (&mut self.control, leader) {
            (None, _) => Reply::Unsupported,
            (Some(control), _) if control.core.is_leader() => {
                control.wishes.add(now, &self.options.timing, origin, &request);
                return;
            }
            (Some(_), Some(to)) => return send(to, Message::Forward { origin, request }, out),
            (Some(_), None) => Reply::NotLeader,
        };
        out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
    }

    pub(super) fn on_control(
        &mut self,
        now: Time,
        from: NodeId,
        message: control::Message<Layout, Layout>,
    ) {
        if let Some(control) = &mut self.control {
            control.core.on_message(now, from, message);
        }
    }

    pub(super) fn on_how_far(&self, from: NodeId, out: &mut Vec<Output<Self>>) {
        send(from, Message::Reached { ready: self.is_ready() }, out);
    }

    /// A node has gone over to the layout by which this one goes.
    pub(super) fn on_reached(&mut self, now: Time, from: NodeId, ready: bool) {
        if let Some(control) = &mut self.control {
            control.reached.insert(from, Reached { at: now, ready });
        }
    }

    /// Whether the node has done what it is to do where somebody comes or goes: one that comes has all that
    /// it is to hold, and one that goes keeps nothing for others that none of them has.
    fn is_ready(&self) -> bool {
        let goes = !self.layout.stays(self.options.id);
        !(self.disks.lacks() || goes && self.keeps_alone())
    }

    /// Does what is due among the members.
    pub(super) fn on_members_timer(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        if let Some(control) = &mut self.control {
            control.core.on_timer(now);
        }
        self.settle_members(now, out);
    }

    /// Does what follows from the new state of the members' agreement.
    pub(super) fn settle_members(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let Some(mut control) = self.control.take() else { return };
        let version = self.layout.version;
        if let Some(image) = control.core.take_installed() {
            control.applied = image.last.index;
            self.adopt(now, image.state.clone(), out);
        }
        while let Some(entry) = control.core.committed_entry(control.applied + 1) {
            control.applied += 1;
            let layout = entry.command.as_deref().cloned();
            layout.into_iter().for_each(|layout| self.adopt(now, layout, out));
        }
        if !control.core.is_leader() || self.layout.version != version {
            control.reached.clear();
            control.ask_at = now;
        }
        if control.core.is_leader() {
            self.lead_change(now, &mut control, out);
        }
        let settings = self.options.leaderless;
        control.change_members(now, &self.layout, settings, out);
        control.propose(now, &self.layout, &self.ring, &self.options);
        self.act_for(&mut control, out);
        if control.applied >= control.core.imaged() + ENTRIES_MAX {
            control.core.compact(control.applied, self.layout.clone(), ENTRIES_MAX / 2);
            self.act_for(&mut control, out);
        }
        self.control = Some(control);
    }

    /// Asks who has gone over, while somebody comes or goes.
    fn lead_change(&self, now: Time, control: &mut Control, out: &mut Vec<Output<Self>>) {
        if self.layout.next.is_none() {
            return;
        }
        let own = self.options.id;
        control.reached.insert(own, Reached { at: now, ready: self.is_ready() });
        if control.ask_at <= now {
            control.ask_at = now + self.options.timing.heartbeat;
            let others = self.layout.all().into_iter().filter(|node| *node != own);
            others.for_each(|node| send(node, Message::HowFar, out));
        }
    }

    /// Passes on what Raft wants done.
    fn act_for(&mut self, control: &mut Control, out: &mut Vec<Output<Self>>) {
        let acts: Vec<_> = control.core.acts().collect();
        for act in acts {
            match act {
                Act::Persist(record) => self.persist(Record::Control(record), out),
                Act::Snapshot(snapshot) => {
                    self.records = 0;
                    out.push(Output::Snapshot(self.durable(snapshot)));
                }
                Act::Send(to, message) => send(to, Message::Control(message), out),
                Act::Stop(contradiction) => out.push(Output::Stop(contradiction)),
            }
        }
    }
}

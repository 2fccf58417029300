//! Several leaders: each region has one, which takes the changes of its clients and tells the leaders
//! of the other regions.
//!
//! Kleppmann, "Designing Data-Intensive Applications" (2017), chapter 5, "Multi-Leader Replication".
//! A region is a small Raft group of its own nodes ([`crate::protocol::raft::core`]): its log has the
//! changes of its own clients and those of other regions, in the order in which the region takes them
//! ([`state`]). So all nodes of a region hold the same, nothing that was acknowledged is lost with a
//! leader, and a leader that was deposed changes nothing any more. A strong read is an entry of that
//! log as well. What a client that stays with its region is promised follows from there being one
//! order: it reads what it wrote, and never goes back.
//!
//! Between regions, changes travel later, along a [`topology`]. Each carries its number in the region
//! that made it, and what that region knew by then; a region takes in a change when it has everything
//! that the change may depend on (Lamport's "happened before", as in Ladin et al., "Providing High
//! Availability Using Lazy Replication", 1992). What breaks without this: with three regions, a
//! client of the first writes a question, and one of the second reads it and writes an answer; the
//! link from the first to the third is slow, and there the answer is seen before the question.
//!
//! Changes of one key that did not know of each other are a conflict, and [`conflicts`] says what
//! becomes of it. Nothing waits for another region, so nothing is linearizable across regions, and
//! two regions cannot agree on who comes first: there is no compare-and-set, and no transaction.
//!
//! Nodes are let in and go as members of a region's group, which agrees on it by itself, and each node has
//! its region by its place among all nodes, spare ones included. Which regions there are never changes:
//! one that is added would have to hear what the others have forgotten, and of one that goes nobody else
//! knows whether it has made a change that somebody depends on. One that loses all its disks is another
//! matter: it comes back in its own place, with what the others have ([`restore`]).

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Status, Time};
use crate::kv::{Command, ReadLevel, Reply};
use crate::merge::{Actor, Merge as _, VersionVector};
use crate::protocol::pending::Pending;
use crate::protocol::raft::core::Core;
use crate::protocol::raft::log::Position;
use crate::protocol::raft::message as region;
use crate::protocol::raft::wishes::{Dismissal, Wishes};
use crate::protocol::{Input, Options, Origin, Output, Protocol, Recovered};
use crate::wire::Request;

pub mod conflicts;
pub mod incarnations;
mod links;
mod restore;
mod sessions;
pub mod state;
pub mod table;
pub mod topology;

use self::conflicts::Conflicts;
use self::links::Links;
use self::restore::{Knows, Restore};
use self::state::{Change, Logged, Rules, State};
use self::table::Table;
use self::topology::{Regions, Topology};

pub use self::links::CHANGES_MAX;

/// How many regions there are, how they are linked, and what becomes of conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many regions the nodes are spread over; with fewer nodes, each is a region.
    pub regions: usize,
    /// Which regions are linked.
    pub topology: Topology,
    /// What becomes of changes that did not know of each other.
    pub conflicts: Conflicts,
}

impl Settings {
    /// Three regions, each linked with each, where the later change wins.
    pub const DEFAULT: Settings =
        Settings { regions: 3, topology: Topology::AllToAll, conflicts: Conflicts::Lww };

    /// Says what is wrong with the settings, if anything.
    ///
    /// # Errors
    /// Names the setting and what would do.
    pub fn check(&self) -> Result<(), String> {
        if (1..=9).contains(&self.regions) {
            Ok(())
        } else {
            Err(format!("regions = {} must lie between 1 and 9", self.regions))
        }
    }
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Between the nodes of one region.
    Region(region::Message<Logged, State>),
    /// A request that reached a node of the region that does not lead.
    Forward {
        /// Where the answer goes.
        origin: Origin,
        /// What is asked.
        request: Request,
        /// What the wall clock of the node showed that the client turned to.
        wall: u64,
    },
    /// From the leader of a region to another region: what that seems to lack.
    Changes {
        /// The leader, who gets the answer.
        sender: NodeId,
        /// The changes, in the order in which the sender's region applied them; none where the sender
        /// only asks how far the region is.
        changes: Vec<Change>,
        /// What regions have, as far as the sender knows.
        table: Table,
    },
    /// The answer: what regions have, the one that answers above all.
    Reached(Table),
    /// The same, from one that was asked nothing.
    Known(Table),
    /// From a region that has lost everything, to the others: it wants what they have.
    Reborn {
        /// Who gets the answer.
        sender: NodeId,
        /// As whom it begins again.
        heir: Actor,
        /// The incarnations of the region before, as far as the sender knows.
        former: BTreeSet<Actor>,
    },
    /// The answer: what a region has.
    Shared {
        /// Who begins again.
        heir: Actor,
        /// The region that answers.
        region: Actor,
        /// What it has.
        state: Box<State>,
    },
    /// From a node that has nothing, to those that may be of its region: who votes there?
    WhoVotes {
        /// As whom the region would begin again.
        heir: Actor,
        /// The how many-th time it asks everyone.
        round: u64,
    },
    /// The answer.
    Voters {
        /// Who asked.
        heir: Actor,
        /// The how many-th time.
        round: u64,
        /// What the one that answers knows.
        knows: Knows,
    },
}

/// One node of the mode `multi-leader`.
#[derive(Debug)]
pub struct MultiLeader {
    id: NodeId,
    options: Options,
    rules: Rules,
    core: Core<Logged, State>,
    state: State,
    applied: u64,
    pending: Pending,
    office: Option<Office>,
    wishes: Wishes,
    /// What its region is sent while it has nothing.
    restore: Option<Restore>,
}

/// What a node keeps while it leads its region.
#[derive(Debug)]
struct Office {
    term: u64,
    /// The changes of other regions that this leader has put into the log.
    proposed: VersionVector,
    links: Links,
    /// Who is told how far the region is when the log is applied up to there.
    owed: Vec<(u64, NodeId)>,
}

impl Protocol for MultiLeader {
    type Message = Message;
    type Record = region::Record<Logged>;
    type Snapshot = region::Snapshot<Logged, State>;

    fn recover(
        options: Options,
        recovered: Recovered<Self::Snapshot, Self::Record>,
        random: ChaCha8Rng,
        now: Time,
    ) -> Self {
        let Settings { regions, topology, conflicts } = options.multi_leader;
        let regions = Regions::new(options.id, &options.nodes, regions, topology);
        let nodes = regions.members(regions.own()).to_vec();
        let options = Options { nodes, ..options };
        let rules = Rules { regions, conflicts, sessions_max: options.sessions_max };
        let core = Core::recover(&options, recovered, random, now);
        let mut node = MultiLeader {
            id: options.id,
            restore: Restore::of(&options, &rules, &core, now),
            core,
            options,
            rules,
            state: State::default(),
            applied: 0,
            pending: Pending::default(),
            office: None,
            wishes: Wishes::default(),
        };
        node.adopt_installed();
        node
    }

    fn reseed(&mut self, random: ChaCha8Rng) {
        self.core.reseed(random);
    }

    fn step(&mut self, now: Time, input: Input<Message>, out: &mut Vec<Output<Self>>) {
        match input {
            Input::Timer => {
                self.core.on_timer(now);
                // Somebody is left who has let it in.
                self.restore.take_if(|_| self.core.log().last() != Position::default());
                if let Some(restore) = &mut self.restore {
                    restore.on_timer(now, &self.options.timing, &self.rules, self.id, out);
                }
                self.settle(now, out);
                self.tell_others(now, out);
            }
            Input::Message { from, message } => self.on_message(now, from, message, out),
            Input::Request { from, request, wall } => {
                let origin = Origin { node: self.id, client: from };
                let leader = self.core.leader();
                self.on_request(now, origin, (request, wall), leader, out);
            }
        }
        self.settle(now, out);
    }

    fn deadline(&self) -> Time {
        let links = self.office.as_ref().map_or(Time::NEVER, |office| office.links.deadline());
        let restore = self.restore.as_ref().map_or(Time::NEVER, Restore::deadline);
        self.core.deadline().min(links).min(restore)
    }

    /// Role and term are those in the region, and the positions are those of its log.
    fn status(&self) -> Status {
        Status {
            role: self.core.role(),
            term: self.core.term(),
            last: self.core.log().last().index,
            committed: self.core.committed(),
            applied: self.applied,
            restoring: self.core.is_restoring(),
        }
    }
}

impl MultiLeader {
    /// What the node holds.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The region that the node belongs to.
    pub fn region(&self) -> Actor {
        self.rules.regions.own()
    }

    fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Message,
        out: &mut Vec<Output<Self>>,
    ) {
        match message {
            Message::Region(_) if self.is_gone() => {}
            Message::Region(message) => self.core.on_message(now, from, message),
            Message::Forward { origin, request, wall } => {
                self.on_request(now, origin, (request, wall), None, out);
            }
            Message::Changes { sender, changes, table } => {
                if self.is_from_the_lost(sender, &table) {
                    return;
                }
                if self.office.is_some() {
                    self.take_changes(now, sender, changes, &table, out);
                } else if let Some(leader) = self.core.leader()
                    && self.rules.regions.of(from) != Some(self.region())
                {
                    let message = Message::Changes { sender, changes, table };
                    out.push(Output::Send { to: leader, message });
                }
            }
            Message::Known(table) => {
                self.restore.iter_mut().for_each(|restore| restore.hear(&table));
                self.office.iter_mut().for_each(|office| office.links.hear(&table));
            }
            Message::Reborn { sender, heir, former } => {
                self.on_reborn(now, from, (sender, heir, former), out);
            }
            Message::Shared { heir, region, state } => {
                self.on_shared(now, heir, region, state, out);
            }
            Message::WhoVotes { heir, round } => self.on_who_votes(from, (heir, round), out),
            Message::Voters { heir, round, knows } => self.on_voters(from, (heir, round), knows),
            Message::Reached(table) => {
                let region = self.rules.regions.of(from);
                if let (Some(office), Some(region)) = (&mut self.office, region) {
                    let mut members = self.rules.regions.members(region).iter();
                    let place = members.position(|node| *node == from).unwrap_or(0);
                    office.links.answered(now, (region, place), &table, &self.state);
                }
            }
        }
    }

    /// Takes a request, and passes it on to `leader` where it can do nothing itself. A request that
    /// was passed on already is not passed on again.
    fn on_request(
        &mut self,
        now: Time,
        origin: Origin,
        (request, wall): (Request, u64),
        leader: Option<NodeId>,
        out: &mut Vec<Output<Self>>,
    ) {
        let sequence = request.sequence;
        let reply = if let Command::Read { key, level: ReadLevel::Replica } = &request.command {
            self.state.read(&self.rules, key)
        } else if let Command::Admit { node } | Command::Dismiss { node } = request.command
            && self.rules.regions.of(node) != Some(self.region())
        {
            // Each region sees to its own nodes.
            self.rules.regions.of(node).map_or(Reply::NoSuchNode, |_| Reply::NotLeader)
        } else if self.core.is_leader() && request.command.is_about_members() {
            self.wishes.add(now, &self.options.timing, origin, &request);
            return;
        } else if self.wishes.hands_over(now, &self.core) {
            Reply::NotLeader
        } else if self.core.is_leader() {
            // One too many is dropped, as the network might have done.
            if let Some(at) = self.core.propose(now, Logged::Asked { request, wall }) {
                self.pending.add(at, origin, sequence);
            }
            return;
        } else if let Some(to) = leader {
            out.push(Output::Send { to, message: Message::Forward { origin, request, wall } });
            return;
        } else {
            Reply::NotLeader
        };
        out.push(Output::Reply { to: origin, sequence, reply, position: 0 });
    }

    /// Puts into the log what the region does not have. The answer waits until it is applied.
    fn take_changes(
        &mut self,
        now: Time,
        sender: NodeId,
        changes: Vec<Change>,
        table: &Table,
        out: &mut Vec<Output<Self>>,
    ) {
        let Some(office) = &mut self.office else { return };
        office.links.hear(table);
        let own = self.state.actor(&self.rules.regions);
        let mut proposed = office.proposed.clone();
        proposed.merge(self.state.applied());
        let mut news = changes;
        news.truncate(CHANGES_MAX);
        news.retain(|change| {
            let is_next = change.dot.actor != own && change.follows(&proposed);
            if is_next {
                proposed.see(change.dot);
            }
            is_next
        });
        if !news.is_empty() && self.core.propose(now, Logged::Heard(news)).is_some() {
            office.proposed = proposed;
        }
        office.owed.push((self.core.log().last().index, sender));
        self.pay(out);
    }

    /// Tells those who wait for it how far the region is.
    fn pay(&mut self, out: &mut Vec<Output<Self>>) {
        let Some(office) = &mut self.office else { return };
        let table = office.links.table(&self.rules.regions, &self.state);
        let applied = self.applied;
        office.owed.retain(|(index, to)| {
            let waits = *index > applied;
            if !waits {
                out.push(Output::Send { to: *to, message: Message::Reached(table.clone()) });
            }
            waits
        });
    }

    /// Does what follows from the core's new state.
    fn settle(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        self.adopt_installed();
        self.core.promote(now, |node| !self.wishes.is_to_go(node));
        self.wishes.go_on(now, &mut self.core, |_| Dismissal::Now, out);
        self.core.pass_on(out, Message::Region);
        self.apply_committed(now, out);
        self.take_or_leave_office(now);
        if self.applied >= self.core.imaged() + self.options.snapshot_entries.max(1) {
            let spare = self.options.snapshot_entries / 2;
            self.core.compact(self.applied, self.state.clone(), spare);
            self.core.pass_on(out, Message::Region);
        }
    }

    fn adopt_installed(&mut self) {
        if let Some(image) = self.core.take_installed() {
            self.state = image.state.clone();
            self.applied = image.last.index;
        }
    }

    fn apply_committed(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let before = self.applied;
        while let Some(entry) = self.core.committed_entry(self.applied + 1) {
            self.applied += 1;
            let logged = entry.command.as_deref();
            let reply =
                logged.and_then(|logged| self.state.apply(&self.rules, entry.at.index, logged));
            if let Some((to, sequence)) = self.pending.take(entry.at)
                && let Some(reply) = reply
            {
                out.push(Output::Reply { to, sequence, reply, position: 0 });
            }
        }
        if self.applied > before
            && let Some(office) = &mut self.office
        {
            office.links.send_soon(now);
            self.pay(out);
        }
    }

    /// A leader that knows what its region has applied speaks for it.
    fn take_or_leave_office(&mut self, now: Time) {
        let term = self.core.term();
        let leads = self.core.knows_all_commits() && self.applied == self.core.committed();
        if self.office.as_ref().is_some_and(|o| !self.core.is_leader() || o.term != term) {
            self.office = None;
        }
        if leads && self.office.is_none() {
            let links = Links::new(&self.rules.regions, self.options.timing, &self.state, now);
            let proposed = VersionVector::default();
            self.office = Some(Office { term, proposed, links, owed: Vec::new() });
        }
    }

    /// Sends the other regions what is due.
    fn tell_others(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let (regions, sender) = (&self.rules.regions, self.id);
        let Some(office) = &mut self.office else { return };
        let mut sent = Vec::new();
        let due = office.links.on_timer(now, regions, &self.state, &mut sent);
        let table = office.links.table(regions, &self.state);
        out.extend(sent.into_iter().map(|(to, changes)| {
            let message = Message::Changes { sender, changes, table: table.clone() };
            Output::Send { to, message }
        }));
        if due.tells_all {
            // Changes may go a long way round; what everyone has need not, to be forgotten.
            let told = regions.told();
            let others =
                regions.all().filter(|other| *other != regions.own() && !told.contains(other));
            for to in others.flat_map(|other| regions.members(other).to_vec()) {
                out.push(Output::Send { to, message: Message::Known(table.clone()) });
            }
        }
        if due.tells_all && !self.state.unheard().is_empty() {
            self.ask_the_rest(out);
        }
        if let Some(known) = due.known {
            self.core.propose(now, Logged::Known(known));
        }
    }
}

//! One run's world: steps it, and applies and undoes faults between the steps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use checkers::history::{FaultId, NodeId, Time};

use super::clock::Jump;
use super::context::{ClientCx, ClientSpec, NodeCx, NodeStatus, Role};
use super::disk::Image;
use super::engine::{Hosts, Network};
use super::impair::Impairment;
use super::network::Link;
use super::roster::Roster;
use super::shared::{Place, Shared};
use super::target::{self, Observed};
use super::watch::Then;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::config::Config;
use crate::nemesis::{Change, Fault, Planned, Target};
use crate::run::Effect;
use crate::seed::{Seed, Stream};
use crate::system::{LocalBoxFuture, System};
use crate::trace::{self, Happening, Trace};

mod disks;
mod processes;

use self::processes::Rolling;

/// How the effect of a fault begins that has hit nobody.
pub(crate) const NOBODY: &str = "nobody";

/// How what a fault did ends where it waited for a disk that another one had taken.
pub(crate) const NOT_WHOLE: &str = "is not whole yet";

/// What a client does from the start of the run to its end.
pub(crate) type Play = Box<dyn FnOnce(ClientCx) -> LocalBoxFuture<'static, ()>>;

/// See the module.
pub(crate) struct World {
    hosts: Hosts,
    shared: Rc<Shared>,
    /// What each fault did so far, in the order of the schedule.
    effects: Vec<Effect>,
    /// The fault that began the change of the members which was under way when it was over.
    late_change: Option<FaultId>,
    /// Which nodes each fault has stopped, to start them again when it ends.
    stopped_by: Vec<Vec<NodeId>>,
    /// Which nodes each fault keeps from running, and since when.
    halted: Vec<Vec<(NodeId, Time)>>,
    /// Restarts of all nodes that are under way.
    rolling: Vec<Rolling>,
    /// What disks are to hold again, by fault and node.
    images: BTreeMap<(FaultId, NodeId), Image>,
    /// The nodes that have lost their disks since all were whole.
    emptied: BTreeSet<NodeId>,
    /// How many times a node has ended by itself because of its disk.
    stopped_by_disks: u64,
}

impl World {
    /// Builds the world and starts the nodes; clients start with the first step.
    pub(crate) fn new(
        system: &Arc<dyn System>,
        config: &Config,
        seed: Seed,
        trace: bool,
        roster: Rc<Roster>,
        clients: Vec<(ClientSpec, Play)>,
    ) -> World {
        let shared = Rc::new(Shared::new(system.clone(), config, seed, trace, roster));
        let mut hosts = Hosts::new(config, &shared, system.waits_by_tokio());
        for id in shared.node_ids() {
            let (system, shared, network) = (system.clone(), shared.clone(), hosts.network());
            let software = move || -> LocalBoxFuture<'static, ()> {
                Box::pin(run_node(system.clone(), shared.clone(), network.clone(), id))
            };
            hosts.add(Place::of_node(id), Box::new(software));
        }
        let clients = RefCell::new(clients);
        let (for_clients, network) = (shared.clone(), hosts.network());
        let software = move || -> LocalBoxFuture<'static, ()> {
            Box::pin(run_clients(for_clients.clone(), network.clone(), clients.take()))
        };
        hosts.add(Place::CLIENTS, Box::new(software));
        let (effects, stopped_by, halted) = (Vec::new(), Vec::new(), Vec::new());
        let (rolling, images, stopped_by_disks) = (Vec::new(), BTreeMap::new(), 0);
        let emptied = BTreeSet::new();
        World {
            hosts,
            shared,
            effects,
            late_change: None,
            stopped_by,
            halted,
            rolling,
            images,
            emptied,
            stopped_by_disks,
        }
    }

    /// The world's time.
    pub(crate) fn now(&self) -> Time {
        self.shared.now.get()
    }

    /// Goes over to another seed.
    pub(crate) fn go_over(&mut self, config: &Config, other: Seed) {
        self.shared.seeds.go_over(other);
        self.hosts.go_over(config);
    }

    /// Lets time pass: one tick, where there are ticks. Otherwise until `until`, or until it is `over`, a node
    /// goes wrong by itself, the members change or a message is sent that a fault waits for; `over` is told the time and how many messages were sent.
    pub(crate) fn step(&mut self, until: Time, over: &dyn Fn(Time, u64) -> bool) {
        let shared = self.shared.clone();
        let changes = shared.roster.changes();
        let until = self.proceeds_at().map_or(until, |next| until.min(next));
        self.hosts.run(until, &|| {
            over(shared.now.get(), shared.sent.get())
                || shared.roster.changes() != changes
                || shared.watches.borrow().has_due()
                || !shared.failures.borrow().is_empty()
        });
    }

    /// Lets a fault wait for a message, if it is one that does.
    pub(crate) fn wait_for(&self, planned: &Planned) {
        if let Some(message) = planned.after {
            let mut watches = self.shared.watches.borrow_mut();
            watches.add(planned.id, message, planned.at, Then::Begins);
        }
    }

    /// The faults whose messages were sent since the last call.
    pub(crate) fn due(&self) -> Vec<FaultId> {
        self.shared.watches.borrow_mut().take_due()
    }

    /// Begins a fault; its effect says in words what it hit.
    pub(crate) fn begin(&mut self, planned: &Planned) -> &Effect {
        let mut stream = target::stream_of(planned.salt);
        let observed = self.observed();
        let id = planned.id;
        self.prepare(id);
        let what = match planned.fault {
            Fault::Partition { shape }
            | Fault::Flap { shape, .. }
            | Fault::Delay { shape, .. }
            | Fault::Reorder { shape, .. }
            | Fault::DelaySpike { shape }
            | Fault::Loss { shape, .. }
            | Fault::Duplicate { shape, .. }
            | Fault::Bandwidth { shape, .. } => {
                let cuts = observed.cuts(shape, &mut stream);
                self.meddle(planned, cuts.links);
                cuts.what
            }
            Fault::Drop { message } => {
                self.shared.watches.borrow_mut().add(id, message, self.now(), Then::Loses);
                message.to_string()
            }
            Fault::Crash { target } | Fault::Restart { target } => {
                let nodes = observed.resolve(target, &mut stream);
                let words = target::list(&nodes);
                let lost = nodes.iter().map(|node| self.lose_power(*node)).sum();
                self.effects[id.index()].lost_bytes = lost;
                self.note_stopped(id, nodes);
                words
            }
            Fault::ClockJump { target, .. }
            | Fault::ClockDrift { target, .. }
            | Fault::ClockStrobe { target, .. } => {
                let nodes = observed.resolve(target, &mut stream);
                nodes.iter().for_each(|node| self.set_wrong(*node, planned));
                target::list(&nodes) + &planned.fault.error_of_clocks()
            }
            Fault::Wipe { target } => self.wipe(planned, &observed.resolve(target, &mut stream)),
            Fault::Membership { change } => self.change_members(change, &mut stream),
            Fault::Pause { target } => self.pause(id, &observed.resolve(target, &mut stream)),
            Fault::Kill { target } => self.kill(id, observed.resolve(target, &mut stream)),
            Fault::Slow { target, cost } => {
                self.slow(id, &observed.resolve(target, &mut stream), cost)
            }
            Fault::RollingRestart { down, apart } => {
                self.roll(id, observed.resolve(Target::All, &mut stream), (down, apart))
            }
            Fault::Disk { target, defect } => {
                self.damage(planned, observed.resolve(target, &mut stream), defect)
            }
        };
        let effect = &mut self.effects[id.index()];
        effect.what = what;
        effect
    }

    /// Makes room for what a fault does.
    fn prepare(&mut self, id: FaultId) {
        while self.effects.len() <= id.index() {
            let fault = FaultId(self.effects.len() as u32);
            self.effects.push(Effect::none(fault));
            self.stopped_by.push(Vec::new());
            self.halted.push(Vec::new());
            self.shared.dropped_by.borrow_mut().push(0);
            self.shared.delayed_by.borrow_mut().push(0);
            self.shared.copied_by.borrow_mut().push(0);
            self.shared.misread_by.borrow_mut().push(0);
        }
    }

    /// Begins a fault that lasts until the run ends, unless the others could then be too few: a node among
    /// them that is not whole yet, or a member that comes or goes.
    pub(crate) fn begin_for_good(&mut self, planned: &Planned) -> &Effect {
        let hit = planned
            .target()
            .map(|target| self.observed().resolve(target, &mut target::stream_of(planned.salt)));
        let in_the_way = match (self.lost(), self.shared.roster.under_way()) {
            (Some(id), _) => Some(format!("{NOBODY}, n{id} {NOT_WHOLE}")),
            (None, step) => step.map(|step| format!("{NOBODY}, {step} still")),
        };
        if let Some(what) = in_the_way {
            self.prepare(planned.id);
            let effect = &mut self.effects[planned.id.index()];
            effect.what = what;
            return effect;
        }
        self.shared.roster.keep_away(hit.unwrap_or_default());
        self.begin(planned)
    }

    /// Undoes a fault; its effect says in words what it did, as far as more is known of that by now.
    pub(crate) fn end(&mut self, planned: &Planned) -> &Effect {
        let id = planned.id;
        match planned.fault {
            Fault::Partition { .. }
            | Fault::Flap { .. }
            | Fault::Delay { .. }
            | Fault::Reorder { .. }
            | Fault::DelaySpike { .. }
            | Fault::Loss { .. }
            | Fault::Duplicate { .. }
            | Fault::Bandwidth { .. } => {
                let flapped = self.shared.links.borrow_mut().heal(id, self.now());
                self.effects[id.index()].flapped = flapped;
            }
            Fault::Drop { .. } => self.shared.watches.borrow_mut().forget(id),
            Fault::Crash { .. }
            | Fault::Restart { .. }
            | Fault::Wipe { .. }
            | Fault::Kill { .. } => self.start_stopped(id),
            Fault::Pause { .. } => self.resume(id),
            Fault::Slow { .. } => self.quicken(id),
            Fault::RollingRestart { .. } => self.end_roll(id),
            Fault::Disk { defect, .. } => self.repair(id, defect),
            Fault::ClockJump { .. } | Fault::ClockDrift { .. } | Fault::ClockStrobe { .. } => {
                for node in &self.shared.nodes {
                    node.clock.set_right(self.now(), id);
                }
            }
            Fault::Membership { .. } => {
                let effect = &mut self.effects[id.index()];
                if effect.what.starts_with(NOBODY) {
                    // What was agreed on meanwhile is what the one before had ordered.
                    self.credit_late_change();
                } else {
                    (effect.changed, effect.what) = self.shared.roster.end_order();
                    self.late_change = self.shared.roster.under_way().map(|_| id);
                }
            }
        }
        &self.effects[id.index()]
    }

    /// Lets a fault do to links what it does.
    fn meddle(&self, planned: &Planned, links: Vec<Link>) {
        let (id, now) = (planned.id, self.now());
        let mut all = self.shared.links.borrow_mut();
        match planned.fault {
            Fault::Flap { every, .. } => all.flap(links, id, now, every),
            fault => match Impairment::of(fault, planned.until, planned.salt) {
                Some(impairment) => all.impair(links, id, impairment),
                None => all.cut(links, id),
            },
        }
    }

    /// Lets the operator change who takes part, unless a node has lost its disk and is not whole yet: it is
    /// one less that counts.
    fn change_members(&mut self, change: Change, stream: &mut Stream) -> String {
        if let Some(id) = self.lost() {
            return format!("{NOBODY}, n{id} {NOT_WHOLE}");
        }
        // Those that take no part may come, so all are looked at.
        self.credit_late_change();
        let what = self.shared.roster.order(change, &self.observe(|_| true), stream);
        self.shared.record(self.now(), trace::Place::Operator, || Happening::Note {
            words: format!("is to {what}"),
        });
        what
    }

    /// Counts a change of the members that was agreed on after its fault was over as an effect of that one.
    fn credit_late_change(&mut self) {
        if self.shared.roster.under_way().is_some() {
            return;
        }
        let Some(id) = self.late_change.take() else { return };
        let made = self.shared.roster.take_made();
        if !made.is_empty() {
            let effect = &mut self.effects[id.index()];
            effect.changed += made.len() as u32;
            effect.what = format!("{}; after the fault: {}", effect.what, made.join(", "));
        }
    }

    /// A node that has lost its disk and is not whole again.
    fn lost(&self) -> Option<NodeId> {
        self.shared.node_ids().into_iter().find(|id| self.shared.node(*id).lost.get())
    }

    /// How many changes of the members there were.
    pub(crate) fn members_changed(&self) -> u64 {
        self.shared.roster.changes()
    }

    /// Lets a fault falsify the clocks of a node.
    fn set_wrong(&self, node: NodeId, planned: &Planned) {
        let clock = &self.shared.node(node).clock;
        let (fault, begun) = (planned.id, self.now());
        match planned.fault {
            Fault::ClockDrift { rate, .. } => clock.drift(begun, fault, rate),
            Fault::ClockJump { by_ms, .. } => clock.jump(Jump { fault, by_ms, begun, every: None }),
            Fault::ClockStrobe { by_ms, every, .. } => {
                clock.jump(Jump { fault, by_ms, begun, every: Some(every) });
            }
            Fault::Partition { .. }
            | Fault::Flap { .. }
            | Fault::Delay { .. }
            | Fault::Reorder { .. }
            | Fault::DelaySpike { .. }
            | Fault::Loss { .. }
            | Fault::Duplicate { .. }
            | Fault::Bandwidth { .. }
            | Fault::Drop { .. }
            | Fault::Crash { .. }
            | Fault::Restart { .. }
            | Fault::Wipe { .. }
            | Fault::Membership { .. }
            | Fault::Pause { .. }
            | Fault::Kill { .. }
            | Fault::Slow { .. }
            | Fault::RollingRestart { .. }
            | Fault::Disk { .. } => unreachable!("it does nothing to clocks"),
        }
    }

    /// Takes power and disk from nodes, unless [disks are spared](Self::spares_disks). Returns in words whom it hit.
    fn wipe(&mut self, planned: &Planned, nodes: &[NodeId]) -> String {
        if let Some(reason) = self.spares_disks(planned) {
            return reason;
        }
        let fault = planned.id;
        for id in nodes {
            self.stop(*id);
            let bytes = self.lose_disk(fault, *id);
            let how = || format!("lost power, and its disk with {bytes} bytes");
            self.shared.record(self.now(), *id, || Happening::Stops { how: how() });
        }
        self.note_stopped(fault, nodes.to_vec());
        target::list(nodes)
    }

    /// Why no disk may be lost now, in words, if so: where one of all nodes is not whole yet, what only one more disk has
    /// would be lost with it. A fault that the plan names asks for just that.
    fn spares_disks(&self, planned: &Planned) -> Option<String> {
        if planned.scripted {
            return None;
        }
        if let Some(id) = self.lost() {
            return Some(format!("{NOBODY}, n{id} {NOT_WHOLE}"));
        }
        // What is a minority of all is none of those that count, when one of them comes or goes.
        let step = self.shared.roster.under_way();
        step.map(|step| format!("{NOBODY}, {step} still"))
    }

    /// Takes the disk of a node that is down. Returns the bytes that were lost.
    fn lose_disk(&mut self, fault: FaultId, id: NodeId) -> u64 {
        let node = self.shared.node(id);
        let bytes = node.platter.borrow_mut().wipe();
        node.wiped.set(true);
        node.lost.set(true);
        // One that may have lost its disk, because bits of it were flipped, need not have.
        self.emptied.insert(id);
        self.emptied.retain(|id| self.shared.node(*id).lost.get());
        // Where a member comes or goes, it is a greater part of the fewer.
        let possible = self.shared.roster.possible();
        let members = possible.into_iter().min_by_key(BTreeSet::len).unwrap_or_default();
        let lost: Vec<NodeId> = self.emptied.intersection(&members).copied().collect();
        let effect = &mut self.effects[fault.index()];
        effect.lost_bytes += bytes;
        if lost.len() > effect.disks_lost.len() {
            effect.disks_lost = lost;
            effect.members = members.len() as u32;
        }
        bytes
    }

    /// Takes note of the nodes that a fault has stopped, all of them now.
    fn note_stopped(&mut self, fault: FaultId, nodes: Vec<NodeId>) {
        let index = fault.index();
        self.effects[index].stopped = nodes.len() as u32;
        self.halted[index] = nodes.iter().map(|id| (*id, self.now())).collect();
        self.stopped_by[index] = nodes;
    }

    /// Starts the nodes that a fault has stopped.
    fn start_stopped(&mut self, fault: FaultId) {
        self.count_halted(fault);
        for node in std::mem::take(&mut self.stopped_by[fault.index()]) {
            self.start(node);
        }
    }

    /// Adds up for how long a fault has kept nodes from running, which it does no longer.
    fn count_halted(&mut self, fault: FaultId) {
        let now = self.now();
        for (_, since) in std::mem::take(&mut self.halted[fault.index()]) {
            self.effects[fault.index()].halted_ns += now.since(since).as_nanos() as u64;
        }
    }

    /// Takes power from a node. The disk goes first: whatever a destructor does after that reaches
    /// neither disk nor network. Returns the bytes that were lost.
    fn lose_power(&mut self, id: NodeId) -> u64 {
        self.stop(id);
        let lost = self.shared.node(id).platter.borrow_mut().lose_power();
        let how = || format!("lost power, and {lost} bytes that were not synced");
        self.shared.record(self.now(), id, || Happening::Stops { how: how() });
        lost
    }

    fn stop(&mut self, id: NodeId) {
        let node = self.shared.node(id);
        node.power.borrow().set(false);
        node.up.set(false);
        node.process.end();
        node.status.set(NodeStatus::default());
        self.hosts.stop(Place::of_node(id));
    }

    fn start(&mut self, id: NodeId) {
        let node = self.shared.node(id);
        node.platter.borrow_mut().defects.is_opened();
        node.incarnation.set(node.incarnation.get() + 1);
        *node.power.borrow_mut() = Rc::new(Cell::new(true));
        node.up.set(true);
        self.shared.record(self.now(), id, || Happening::Starts);
        self.hosts.start(Place::of_node(id));
    }

    /// Nodes that went wrong by themselves since the last call, but for those that had to end because of what
    /// a fault did to their disks. They are down from then on.
    pub(crate) fn failures(&mut self) -> Vec<(NodeId, Failure)> {
        let mut failures = std::mem::take(&mut *self.shared.failures.borrow_mut());
        for (id, _) in &failures {
            if self.shared.node(*id).up.get() {
                self.stop(*id);
            }
        }
        let by_disks = failures.extract_if(.., |(id, failure)| self.is_of_disk(*id, failure));
        let by_disks: BTreeSet<NodeId> = by_disks.map(|(id, _)| id).collect();
        for (id, _) in &failures {
            let how = || "ends by itself".to_owned();
            self.shared.record(self.now(), *id, || Happening::Stops { how: how() });
        }
        by_disks.into_iter().for_each(|id| self.stopped_by_disk(id));
        failures
    }

    /// Starts every node that is down.
    pub(crate) fn start_all(&mut self) {
        for id in self.shared.node_ids() {
            if !self.shared.node(id).up.get() {
                self.start(id);
            }
        }
    }

    /// The nodes that some majority is connected with: some node that is up hears, and is heard by, enough
    /// members to make one, also when the change of them that is under way counts. Nobody where there is
    /// none. Nodes that stand still, or have lost their disks and are not whole again, are none of them, and
    /// whoever stays with one that clients do not hear, or that does not hear them, is served by none. Nor are
    /// those of a region that has no majority of its own, connected in the same way.
    pub(crate) fn quorum(&self) -> BTreeSet<NodeId> {
        let links = self.shared.links.borrow();
        let counts = |id: &NodeId| {
            let node = self.shared.node(*id);
            node.up.get() && !node.process.is_paused() && !node.lost.get()
        };
        let quorums = self.shared.roster.possible().into_iter().map(|members| {
            let majority = members.len() / 2 + 1;
            let up: Vec<NodeId> = members.into_iter().filter(counts).collect();
            let heard = up.iter().map(|a| {
                let heard = up.iter().filter(|b| links.connected(a.index(), b.index()));
                heard.copied().collect::<BTreeSet<NodeId>>()
            });
            heard.filter(|heard| heard.len() >= majority).flatten().collect()
        });
        let both = quorums.reduce(|a: BTreeSet<NodeId>, b| a.intersection(&b).copied().collect());
        let mut both = both.unwrap_or_default();
        let connected = both.clone();
        both.retain(|id| {
            let hears_clients = links.connected(Place::CLIENTS.0, id.index());
            let hear = |a: NodeId, b: NodeId| links.connected(a.index(), b.index());
            hears_clients && self.shared.roster.has_its_region(*id, &connected, hear)
        });
        both
    }

    /// Those that take part, or are about to, as observed at the moment.
    fn observed(&self) -> Observed {
        let members = self.shared.roster.all();
        self.observe(|id| members.contains(id))
    }

    fn observe(&self, whom: impl Fn(&NodeId) -> bool) -> Observed {
        let nodes = self.shared.node_ids().into_iter().filter(whom).map(|id| {
            let node = self.shared.node(id);
            (id, node.up.get(), node.status.get())
        });
        let nodes: Vec<_> = nodes.collect();
        let mut asked = self.shared.asked_lately();
        asked.retain(|id| nodes.iter().any(|(node, up, _)| node == id && *up));
        Observed { nodes, asked }
    }

    /// How each node stands, in words.
    pub(crate) fn standing(&self) -> Vec<String> {
        let links = self.shared.links.borrow();
        let ids = self.shared.node_ids();
        let stands = |id: &NodeId| {
            let node = self.shared.node(*id);
            if !node.up.get() {
                return format!("n{id} is down");
            }
            let status = node.status.get();
            let NodeStatus { role, term, applied, restoring } = status;
            let does = match role {
                Role::Leader => "leads",
                Role::Candidate => "asks for votes",
                Role::Follower => "follows",
            };
            let cut = ids.iter().filter(|other| *other != id);
            let cut = cut.filter(|other| !links.connected(id.index(), other.index()));
            let cut: Vec<NodeId> = cut.copied().collect();
            let restoring = if restoring { ", waits for what its lost disk had" } else { "" };
            let cut = match &cut[..] {
                [] => String::new(),
                cut => format!(", cut off from {}", target::list(cut)),
            };
            if status == NodeStatus::default() {
                // It has never said what it is.
                return format!("n{id} runs{cut}");
            }
            format!("n{id} {does} in term {term} and has done {applied} changes{restoring}{cut}")
        };
        ids.iter().map(stands).collect()
    }

    /// Messages sent, and of those not delivered.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (self.shared.sent.get(), self.shared.dropped.get())
    }

    /// Why the world could not carry all that the system asked of it, if so.
    pub(crate) fn overload(&self) -> Option<String> {
        let oversized = self.shared.oversized.get();
        (oversized > 0).then(|| {
            format!("{oversized} messages were longer than {MESSAGE_BYTES_MAX} bytes and not sent")
        })
    }

    /// How often nodes got into rare states, and how often they followed a whim.
    pub(crate) fn rarities(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let named = |times: BTreeMap<&'static str, u64>| {
            times.into_iter().map(|(name, times)| (name.to_owned(), times)).collect()
        };
        let whims = self.shared.whims.as_ref().map(|whims| whims.borrow().followed());
        (named(self.shared.marks.borrow().clone()), named(whims.unwrap_or_default()))
    }

    /// Ends the world; returns what each fault did, and the trace where one was recorded.
    pub(crate) fn finish(mut self) -> (Vec<Effect>, Option<Trace>) {
        self.credit_late_change();
        for (effect, dropped) in self.effects.iter_mut().zip(&*self.shared.dropped_by.borrow()) {
            effect.dropped = *dropped;
        }
        for (effect, delayed) in self.effects.iter_mut().zip(&*self.shared.delayed_by.borrow()) {
            effect.delayed = *delayed;
        }
        for (effect, copied) in self.effects.iter_mut().zip(&*self.shared.copied_by.borrow()) {
            effect.copied = *copied;
        }
        for (effect, misread) in self.effects.iter_mut().zip(&*self.shared.misread_by.borrow()) {
            effect.misread = *misread;
        }
        for node in &self.shared.nodes {
            for (fault, done) in node.platter.borrow().defects.effects() {
                self.effects[fault.index()].disk.add(done);
            }
        }
        let mut trace = self.shared.trace.as_ref().map(|trace| trace.take());
        if let Some(trace) = &mut trace {
            // Hosts that take turns each have a time of their own within a tick.
            trace.sort_by_key(|event| event.at);
        }
        (self.effects, trace)
    }
}

async fn run_node(system: Arc<dyn System>, shared: Rc<Shared>, network: Network, id: NodeId) {
    let cx = NodeCx::open(shared, &network, id).await;
    let guard = cx.guard({
        let cx = cx.clone();
        // A system may panic before its future exists.
        async move { system.node(cx).await }
    });
    guard.await;
}

async fn run_clients(shared: Rc<Shared>, network: Network, clients: Vec<(ClientSpec, Play)>) {
    for (spec, play) in clients {
        let cx = ClientCx::open(shared.clone(), &network, spec).await;
        network.spawn(Place::CLIENTS, play(cx));
    }
    std::future::pending().await
}

//! The middle of a real run: clients ask, faults come and go, and everything is written down, in wall-clock time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use checkers::history::{FaultId, NodeId, Op, Outcome, Phase, ProcessId, Reason, SessionId, Time};
use rustix::process::Signal;
use tokio::time::Instant;
use workloads::{Generator, Workload};

use super::network::{self, Fate};
use super::process::{Cluster, complaints, last_words};
use super::site::Site;
use super::system::Server;
use super::{disk, run::Stops};
use crate::config::Config;
use crate::nemesis::{Defect, Fault, Planned, Schedule, Target};
use crate::play::{FINAL_TRIES_MAX, Gate, Played};
use crate::record::Recorder;
use crate::rhythm::Rhythm;
use crate::round::{Recovery, Round};
use crate::run::Effect;
use crate::seed::{Seed, Stream};
use crate::sim::{ClientSpec, Cuts, Failure, Link, NOBODY, NodeStatus, Observed, named, stream_of};
use crate::system::{Client, Timing};

/// How long servers have to start and to find each other.
const START_MAX: Duration = Duration::from_secs(60);
/// How often nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What everybody in a run needs.
#[derive(Clone)]
struct Stage {
    server: Arc<dyn Server>,
    site: Arc<Site>,
    cluster: Rc<RefCell<Cluster>>,
    recorder: Recorder,
    timing: Timing,
    workload: &'static dyn Workload,
    began: Instant,
    /// The time to recover; clients begin no more operations after that.
    recovery: Rc<Cell<Recovery>>,
    /// What was asked of which node.
    round: Rc<Round>,
    /// Whether the run is to be cut short.
    is_cut_short: Arc<AtomicBool>,
    rhythm: Rhythm,
    gate: Rc<Gate>,
    /// How many sessions there were so far.
    sessions: Rc<Cell<u32>>,
}

impl Stage {
    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    /// Whether clients begin no more operations.
    fn is_over(&self) -> bool {
        self.now() >= self.recovery.get().ends()
    }

    async fn until(&self, at: Time) {
        tokio::time::sleep_until(self.began + at.since_start()).await;
    }
}

/// Plays a run: starts the nodes, lets clients and faults loose, heals everything, and reads what is left.
///
/// # Errors
/// Where the namespaces do not do what they are to do, or the servers do not start.
pub(super) async fn play(
    (server, site, cluster): (Arc<dyn Server>, Arc<Site>, Rc<RefCell<Cluster>>),
    (config, schedule): (&Config, &Schedule),
    (workload, timing): (&'static dyn Workload, Timing),
    (seed, is_cut_short): (Seed, Arc<AtomicBool>),
    watch: &dyn Fn(Time),
) -> io::Result<Played> {
    start(&server, &site, &cluster, &is_cut_short).await?;
    let liveness = Time::ZERO + config.safety;
    let stage = Stage {
        server,
        site,
        cluster,
        recorder: Recorder::default(),
        timing,
        workload,
        began: Instant::now(),
        recovery: Rc::new(Cell::new(Recovery { began: liveness, lasts: config.liveness })),
        round: Rc::new(Round::new(workload.kinds(&config.workload()))),
        is_cut_short,
        rhythm: Rhythm::new(config),
        gate: Rc::default(),
        sessions: Rc::new(Cell::new(config.clients + config.nodes)),
    };
    let clients: Vec<_> =
        cast(&stage, config, seed).into_iter().map(tokio::task::spawn_local).collect();
    let mut director = Director::new(stage.clone(), schedule);
    director.direct(schedule, config, watch).await?;
    for client in clients {
        // A client of ours that panics is a mistake of ours.
        client.await.map_err(io::Error::other)?;
    }
    director.settle().await?;
    stage.recorder.phase(stage.now(), Phase::Final);
    let readers = stage.site.all().map(|node| read_all(stage.clone(), config, node));
    for reader in readers.map(tokio::task::spawn_local).collect::<Vec<_>>() {
        reader.await.map_err(io::Error::other)?;
    }
    director.played()
}

/// Starts all nodes, and waits until they are a cluster.
async fn start(
    server: &Arc<dyn Server>,
    site: &Arc<Site>,
    cluster: &RefCell<Cluster>,
    is_cut_short: &AtomicBool,
) -> io::Result<()> {
    network::build(site)?;
    for node in site.all() {
        disk::make(site, node)?;
        server.prepare(site, node)?;
    }
    for node in site.all() {
        cluster.borrow_mut().start(node)?;
    }
    let until = Instant::now() + START_MAX;
    let mut looks = tokio::time::interval(LOOK);
    while !server.is_settled(&statuses(server, site).await) {
        looks.tick().await;
        if is_cut_short.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted before it began"));
        }
        if let Some((node, words)) = cluster.borrow_mut().ended().into_iter().next() {
            return Err(io::Error::other(format!("n{node} does not start: {words}")));
        }
        if Instant::now() > until {
            let words = |node| format!("n{node}: {}", last_words(&site.log(node)));
            let words = site.all().map(words).collect::<Vec<_>>().join("; ");
            return Err(io::Error::other(format!(
                "the nodes are no cluster after {START_MAX:?}; their last words: {words}"
            )));
        }
    }
    Ok(())
}

/// What all nodes say about themselves, asked side by side.
async fn statuses(server: &Arc<dyn Server>, site: &Arc<Site>) -> Vec<Option<NodeStatus>> {
    let ask = |node| {
        let (server, site) = (server.clone(), site.clone());
        tokio::task::spawn_blocking(move || server.status(&site, node))
    };
    let mut statuses = Vec::new();
    for asked in site.all().map(ask).collect::<Vec<_>>() {
        statuses.push(asked.await.ok().flatten());
    }
    statuses
}

/// The clients of the workload.
fn cast(stage: &Stage, config: &Config, seed: Seed) -> Vec<impl Future<Output = ()> + use<>> {
    let options = config.workload();
    let mut opening = stage.workload.opening(&options);
    if opening.is_none() {
        stage.gate.open();
    }
    let mut cast = Vec::new();
    for client in 0..config.clients {
        let home = NodeId(client % config.nodes + 1);
        let pinned = client < config.pinned;
        let spec = ClientSpec { session: SessionId(client), home, pinned, inspects: false };
        let random = seed.stream(&format!("workload/{client}")).into_rng();
        let generator = stage.workload.generator(&options, client, random);
        let think = seed.stream(&format!("think/{client}"));
        cast.push(act(Actor::new(stage.clone(), spec), opening.take(), generator, think));
    }
    cast
}

/// One client, and the process that it is at the moment.
struct Actor {
    stage: Stage,
    home: NodeId,
    client: Box<dyn Client>,
    process: ProcessId,
    session: SessionId,
}

impl Actor {
    fn new(stage: Stage, spec: ClientSpec) -> Actor {
        let client = stage.server.client(&stage.site, spec);
        let process = stage.recorder.fresh_process();
        Actor { stage, home: spec.home, client, process, session: spec.session }
    }

    /// Does one operation and writes it down.
    async fn perform(&mut self, op: &Op) -> Outcome {
        let Stage { recorder, sessions, .. } = &self.stage;
        let began = self.stage.now();
        let operation = recorder.invoke(began, self.process, self.session, self.home, op);
        let outcome = self.client.invoke(op).await;
        recorder
            .complete(self.stage.now(), operation, op.kind(), &outcome)
            .expect("our clients answer what was asked");
        if matches!(outcome, Outcome::Info(_)) {
            // What it did may yet take effect: the process never acts again.
            self.process = recorder.fresh_process();
        }
        if let Outcome::Fail(Reason::SessionLost) | Outcome::Info(Reason::SessionLost) = outcome {
            self.process = recorder.fresh_process();
            self.session = SessionId(sessions.replace(sessions.get() + 1));
        }
        outcome
    }
}

/// A client of the workload, until clients stop. The one that has something to do `first` opens the gate for the
/// others when that is over.
async fn act(
    mut actor: Actor,
    first: Option<Op>,
    mut generator: Box<dyn Generator>,
    mut think: Stream,
) {
    let stage = actor.stage.clone();
    if let Some(op) = first {
        while matches!(actor.perform(&op).await, Outcome::Fail(_)) && !stage.is_over() {
            tokio::time::sleep(stage.rhythm.pause(&mut think)).await;
        }
        stage.gate.open();
    }
    stage.gate.pass().await;
    if let Some(wait) = stage.rhythm.first(stage.now(), &mut think) {
        tokio::time::sleep(wait).await;
    }
    while !stage.is_over() {
        let began = stage.now();
        let Stage { round, recorder, recovery, .. } = &stage;
        let op = round.next(&mut *generator, recorder, recovery.get(), (actor.home, began));
        let outcome = actor.perform(&op).await;
        generator.learn(&op, &outcome);
        tokio::time::sleep(stage.rhythm.after(began, stage.now(), &mut think)).await;
    }
}

/// Reads every key at one node.
fn read_all(stage: Stage, config: &Config, node: NodeId) -> impl Future<Output = ()> + use<> {
    let session = SessionId(config.clients + node.0 - 1);
    let spec = ClientSpec { session, home: node, pinned: true, inspects: true };
    let keys = stage.recorder.keys().into_iter();
    let asked: Vec<Op> = keys.flat_map(|key| stage.workload.final_reads(key)).collect();
    let mut actor = Actor::new(stage, spec);
    async move {
        let mut tries_left = FINAL_TRIES_MAX;
        for op in asked {
            while tries_left > 0 && !matches!(actor.perform(&op).await, Outcome::Ok(_)) {
                tries_left -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A fault that is on, and what it has done to the world.
struct Begun {
    planned: Planned,
    at: Time,
    nodes: Vec<NodeId>,
    links: Vec<Link>,
    /// How often the nodes had complained of full disks when it began.
    complaints: u64,
}

impl Begun {
    /// Whether it fills the disk of a node.
    fn fills(&self, node: NodeId) -> bool {
        matches!(self.planned.fault, Fault::Disk { .. }) && self.nodes.contains(&node)
    }
}

/// Begins and ends faults and phases, and watches the nodes.
struct Director {
    stage: Stage,
    on: BTreeMap<FaultId, Begun>,
    effects: Vec<Effect>,
    stops: Stops,
    /// The nodes whose disk was full since they were started, each with the fault.
    filled: BTreeMap<NodeId, FaultId>,
    /// How nodes went wrong by themselves.
    failures: Vec<(Time, NodeId, Failure)>,
}

impl Director {
    fn new(stage: Stage, schedule: &Schedule) -> Director {
        let effects = schedule.0.iter().map(|planned| Effect::none(planned.id)).collect();
        stage.recorder.phase(Time::ZERO, Phase::Safety);
        Director {
            stage,
            on: BTreeMap::new(),
            effects,
            stops: Stops::default(),
            filled: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Lets all faults of a schedule come and go, heals everything, and looks after the nodes until clients stop. One
    /// that is cut short heals at once.
    async fn direct(
        &mut self,
        schedule: &Schedule,
        config: &Config,
        watch: &dyn Fn(Time),
    ) -> io::Result<()> {
        for (at, change) in changes(schedule) {
            self.look_until(at, true, watch).await?;
            match change {
                _ if self.is_cut_short() => break,
                Change::End(id) => self.end(id)?,
                Change::Begin(planned) => self.begin(planned).await?,
            }
        }
        self.look_until(Time::ZERO + config.safety, true, watch).await?;
        let on: Vec<FaultId> = self.on.keys().copied().collect();
        on.into_iter().try_for_each(|fault| self.end(fault))?;
        self.start_all()?;
        let now = self.stage.now();
        self.stage.recorder.phase(now, Phase::Liveness);
        self.stage.recovery.set(Recovery { began: now, lasts: config.liveness });
        self.look_until(now + config.liveness, false, watch).await
    }

    fn is_cut_short(&self) -> bool {
        self.stage.is_cut_short.load(Ordering::Relaxed)
    }

    /// Looks after the nodes until a moment, or until the run is cut short where it `may_be`.
    async fn look_until(
        &mut self,
        at: Time,
        may_be_cut: bool,
        watch: &dyn Fn(Time),
    ) -> io::Result<()> {
        while self.stage.now() < at && !(may_be_cut && self.is_cut_short()) {
            let look = (self.stage.now() + LOOK).min(at);
            self.stage.until(look).await;
            self.note_ended()?;
            watch(self.stage.now());
        }
        Ok(())
    }

    /// Takes note of nodes that have ended by themselves: that is a failure of theirs, unless their disk was full since
    /// they were started. Such a node starts again when it is not.
    fn note_ended(&mut self) -> io::Result<()> {
        let now = self.stage.now();
        let ended = self.stage.cluster.borrow_mut().ended();
        for (node, words) in ended {
            let Some(fault) = self.filled.get(&node).copied() else {
                self.failures.push((now, node, Failure::Stopped(words)));
                continue;
            };
            self.effects[fault.index()].disk.errors += 1;
            if !self.is_full(node) {
                self.start(node)?;
            }
        }
        Ok(())
    }

    /// Whether the disk of a node is full.
    fn is_full(&self, node: NodeId) -> bool {
        self.on.values().any(|begun| begun.fills(node))
    }

    /// Starts a node, unless it runs.
    fn start(&mut self, node: NodeId) -> io::Result<()> {
        let mut cluster = self.stage.cluster.borrow_mut();
        if !cluster.is_up(node) && !self.is_full(node) {
            self.filled.remove(&node);
        }
        cluster.start(node)
    }

    fn start_all(&mut self) -> io::Result<()> {
        let all: Vec<NodeId> = self.stage.site.all().collect();
        all.into_iter().try_for_each(|node| self.start(node))
    }

    async fn observed(&self) -> Observed {
        let statuses = statuses(&self.stage.server, &self.stage.site).await;
        let cluster = self.stage.cluster.borrow();
        let nodes = self.stage.site.all().zip(statuses);
        let nodes = nodes.map(|(id, status)| (id, cluster.is_up(id), status.unwrap_or_default()));
        let asked = self.stage.site.all().filter(|id| cluster.is_up(*id)).collect();
        Observed { nodes: nodes.collect(), asked }
    }

    async fn begin(&mut self, planned: Planned) -> io::Result<()> {
        let observed = self.observed().await;
        let mut stream = stream_of(planned.salt);
        let mut resolve = |target: Target| observed.resolve(target, &mut stream);
        let (nodes, links, what) = match planned.fault {
            Fault::Partition { shape } | Fault::Loss { shape, .. } => {
                let Cuts { links, what } = observed.cuts(shape, &mut stream);
                // Where no node runs, nobody is there to be cut off.
                let what = if links.is_empty() { NOBODY.to_owned() } else { what };
                (Vec::new(), links, what)
            }
            Fault::Pause { target } => {
                let nodes = resolve(target);
                (nodes.clone(), self.links_to(&nodes), named(&nodes))
            }
            Fault::Kill { target } | Fault::Disk { target, defect: Defect::Full } => {
                let nodes = resolve(target);
                (nodes.clone(), Vec::new(), named(&nodes))
            }
            fault => unreachable!("the plan was checked, and no real process is hit by {fault}"),
        };
        let at = self.stage.now();
        self.stage.recorder.fault_begins(at, &planned, &what);
        self.effects[planned.id.index()].what = what;
        let complaints = self.complaints(&nodes);
        let begun = Begun { planned, at, nodes, links, complaints };
        self.apply(&begun)?;
        self.on.insert(planned.id, begun);
        Ok(())
    }

    /// All links on which somebody speaks to some nodes.
    fn links_to(&self, nodes: &[NodeId]) -> Vec<Link> {
        let places = || 0..=self.stage.site.nodes as usize;
        let to = nodes.iter().map(|node| node.index());
        to.flat_map(|to| {
            places().filter(move |from| *from != to).map(move |from| Link { from, to })
        })
        .collect()
    }

    fn complaints(&self, nodes: &[NodeId]) -> u64 {
        nodes.iter().map(|node| complaints(&self.stage.site.log(*node))).sum()
    }

    /// Does to the world what a fault is.
    fn apply(&mut self, begun: &Begun) -> io::Result<()> {
        let Begun { planned, nodes, links, .. } = begun;
        let site = &self.stage.site;
        let mut cluster = self.stage.cluster.borrow_mut();
        let fate = match planned.fault {
            Fault::Loss { chance, .. } => Fate::Lost(chance),
            Fault::Pause { .. } => Fate::Counted,
            _ => Fate::Cut,
        };
        network::begin(site, planned.id, links, fate)?;
        for node in nodes {
            match planned.fault {
                Fault::Pause { .. } => {
                    self.stops.begins(*node, planned.id);
                    cluster.signal(*node, Signal::STOP);
                }
                Fault::Kill { .. } => {
                    self.stops.begins(*node, planned.id);
                    cluster.kill(*node);
                    self.effects[planned.id.index()].stopped += 1;
                }
                _ => {
                    self.filled.insert(*node, planned.id);
                    disk::fill(&site.disk(*node))?;
                }
            }
        }
        Ok(())
    }

    /// Undoes what a fault has done.
    fn end(&mut self, id: FaultId) -> io::Result<()> {
        let Some(begun) = self.on.remove(&id) else { return Ok(()) };
        let Begun { planned, at, nodes, links, complaints } = begun;
        let met = network::end(id, &links)?;
        let lasted = self.stage.now().since(at).as_nanos() as u64;
        for node in &nodes {
            let is_last = self.stops.ends(*node, id);
            if let Fault::Disk { .. } = planned.fault {
                disk::free(&self.stage.site.disk(*node))?;
            }
            // It may have been killed while it stood still, or have ended because its disk was full.
            if is_last && self.stage.cluster.borrow().is_up(*node) {
                self.stage.cluster.borrow().signal(*node, Signal::CONT);
            } else if is_last {
                self.start(*node)?;
            }
        }
        let complaints = self.complaints(&nodes).saturating_sub(complaints);
        let effect = &mut self.effects[id.index()];
        match planned.fault {
            Fault::Pause { .. } => {
                effect.delayed = met;
                effect.halted_ns = lasted * nodes.len() as u64;
            }
            Fault::Disk { .. } => effect.disk.errors += complaints,
            _ => effect.dropped = met,
        }
        let what = effect.what.clone();
        effect.ok_during = self.stage.recorder.fault_ends(self.stage.now(), &planned, &what);
        Ok(())
    }

    /// Waits until the cluster is whole again, but no longer than it says that it takes to converge. A node that runs
    /// and answers at no time meanwhile has gone wrong.
    async fn settle(&mut self) -> io::Result<()> {
        let Stage { server, site, timing, .. } = self.stage.clone();
        let began = self.stage.now();
        let mut silent: BTreeSet<NodeId> = site.all().collect();
        loop {
            let statuses = statuses(&server, &site).await;
            for (node, _) in site.all().zip(&statuses).filter(|(_, status)| status.is_some()) {
                silent.remove(&node);
            }
            if self.stage.now() >= began + timing.converge || server.is_settled(&statuses) {
                break;
            }
            self.look_until(self.stage.now() + LOOK, false, &|_| ()).await?;
        }
        let now = self.stage.now();
        silent.retain(|node| self.stage.cluster.borrow().is_up(*node));
        let silence = Failure::Silent(Duration::from_secs(now.since(began).as_secs()));
        self.failures.extend(silent.into_iter().map(|node| (now, node, silence.clone())));
        // What is said last may take a moment to arrive everywhere.
        self.look_until(now + timing.operation, false, &|_| ()).await
    }

    /// What happened.
    fn played(self) -> io::Result<Played> {
        let Stage { recorder, round, .. } = &self.stage;
        let mut counts = recorder.counts();
        counts.sent = network::packets()?;
        counts.dropped = self.effects.iter().map(|effect| effect.dropped).sum();
        counts.simulated_ns = self.stage.now().as_nanos();
        let lacking = round.lacking(recorder);
        let vacuous = lacking.map(|kind| format!("no {kind} succeeded in the whole run")).collect();
        let cluster = self.stage.cluster.borrow();
        let standing = self.stage.site.all().map(|node| match cluster.is_up(node) {
            true => format!("n{node} runs"),
            false => format!("n{node} is down"),
        });
        Ok(Played {
            standing: standing.collect(),
            history: recorder.finish(),
            effects: self.effects,
            counts,
            trace: None,
            calls: None,
            failures: self.failures,
            flooded: false,
            nonsense: None,
            vacuous,
            stretches: Vec::new(),
            homes: recorder.homes(),
            marks: BTreeMap::new(),
            whims: BTreeMap::new(),
        })
    }
}

/// One thing to do.
enum Change {
    End(FaultId),
    Begin(Planned),
}

/// All that is to be done, in order; what ends at a moment does so before anything begins at it.
fn changes(schedule: &Schedule) -> Vec<(Time, Change)> {
    let ends = schedule.0.iter().map(|planned| (planned.until, Change::End(planned.id)));
    let begins = schedule.0.iter().map(|planned| (planned.at, Change::Begin(*planned)));
    let mut changes: Vec<(Time, Change)> = ends.chain(begins).collect();
    changes.sort_by_key(|(at, _)| *at);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_at_a_moment_ends_before_anything_begins_at_it() {
        let planned = |id, from, to| Planned {
            id: FaultId(id),
            at: Time::from_millis(from),
            until: Time::from_millis(to),
            fault: Fault::Kill { target: Target::One },
            salt: 0,
            after: None,
            scripted: false,
        };
        let schedule = Schedule(vec![planned(0, 1, 5), planned(1, 5, 9), planned(2, 3, 4)]);
        let words = changes(&schedule).into_iter().map(|(at, change)| match change {
            Change::Begin(planned) => format!("{at} begin {}", planned.id),
            Change::End(id) => format!("{at} end {id}"),
        });
        let expected = [
            "0.001 s begin 0",
            "0.003 s begin 2",
            "0.004 s end 2",
            "0.005 s end 0",
            "0.005 s begin 1",
            "0.009 s end 1",
        ];
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }
}

//! The middle of a run: clients act, faults come and go, and everything is written down.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use checkers::History;
use checkers::history::{NodeId, Op, Outcome, ProcessId, Reason, SessionId, Time};
use tokio::sync::Notify;
use workloads::{Generator, Workload};

use crate::available::Stretch;
use crate::config::{Config, Reseed};
use crate::director::Director;
use crate::nemesis::Schedule;
use crate::record::Recorder;
use crate::rhythm::Rhythm;
use crate::round::{Recovery, Round};
use crate::run::{Counts, Effect};
use crate::seed::{Seed, Stream};
use crate::sim::{
    Caught, ClientCx, ClientSpec, Clock, Failure, Play, Roster, Step, Trail, World, operate,
};
use crate::system::{Client, Manifest, System, Timing};
use crate::tape::{Call, Tape};
use crate::trace::Trace;

/// Messages that a run may send at once, and in each second of it. A busy cluster sends some ten
/// thousand a second.
const MESSAGES_MAX: u64 = 100_000;
const MESSAGES_A_SECOND_MAX: u64 = 100_000;
/// How often a final read is tried again.
pub(crate) const FINAL_TRIES_MAX: u32 = 20;

/// What happened.
pub(crate) struct Played {
    pub(crate) history: History,
    pub(crate) effects: Vec<Effect>,
    pub(crate) counts: Counts,
    pub(crate) trace: Option<Trace>,
    /// What clients asked, where that was to be kept.
    pub(crate) calls: Option<Tape>,
    /// How nodes went wrong by themselves: when, which, how.
    pub(crate) failures: Vec<(Time, NodeId, Failure)>,
    /// Whether the run was cut short because the system sent messages without end.
    pub(crate) flooded: bool,
    /// What the client of the system answered that cannot be, or panicked with, if anything.
    pub(crate) nonsense: Option<String>,
    /// Why the run proves nothing; a sentence each.
    pub(crate) vacuous: Vec<String>,
    /// When a quorum was connected and nothing changed.
    pub(crate) stretches: Vec<Stretch>,
    /// The node that the client of each operation usually turned to.
    pub(crate) homes: Vec<NodeId>,
    /// How each node stood at the end; a sentence each.
    pub(crate) standing: Vec<String>,
    /// How often nodes got into rare states.
    pub(crate) marks: BTreeMap<String, u64>,
    /// How often they followed a whim.
    pub(crate) whims: BTreeMap<String, u64>,
}

/// When the phases of a run begin. Everything is known before it starts, so no two parts of the
/// simulation have to agree on it while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// Faults have been undone; the cluster recovers, until clients begin no more operations.
    pub(crate) recovery: Recovery,
    /// The replicas have had their time to converge, and are read.
    pub(crate) final_reads: Time,
    /// The run ends, whatever is missing, unless replicas have answered since the last reads began.
    pub(crate) end: Time,
}

impl Timeline {
    fn new(config: &Config, timing: Timing) -> Timeline {
        let recovery = Recovery { began: Time::ZERO + config.safety, lasts: config.liveness };
        // The last operations may take as long as they are allowed to.
        let final_reads = recovery.ends() + timing.operation + timing.converge;
        let end = final_reads + patience(timing.operation);
        Timeline { recovery, final_reads, end }
    }
}

/// For how long final readers that get no answer are waited for.
fn patience(operation: Duration) -> Duration {
    operation * FINAL_TRIES_MAX
}

/// What clients do.
#[derive(Clone, Copy)]
pub(crate) enum Script<'a> {
    /// What their workload draws. It is kept, if that is asked for.
    Drawn {
        /// Whether it is.
        keeps: bool,
    },
    /// What is written.
    Written(&'a Tape),
}

/// Plays a run.
pub(crate) fn play(
    system: &Arc<dyn System>,
    (config, schedule): (&Config, &Schedule),
    workload: &'static dyn Workload,
    script: Script<'_>,
    seed: Seed,
    trace: bool,
) -> Played {
    let Manifest { timing, .. } = system.manifest();
    let timeline = Timeline::new(config, timing);
    let stage = Stage::new(system, config, workload, script, timeline);
    let roster = stage.roster.clone();
    let mut world =
        World::new(system, config, seed, trace, roster, cast(&stage, config, script, seed));
    let mut director = Director::new(schedule, timeline, stage.recorder.clone(), config.nodes);
    schedule.0.iter().for_each(|planned| world.wait_for(planned));
    let (readers, end) = (stage.readers.clone(), stage.end.clone());
    let over = |now, sent| end.get() <= now || readers.get() == 0 || sent > messages_max(now);
    let mut reseed = config.reseed;
    while !over(world.now(), world.messages().0) {
        if let Some(Reseed { seed, .. }) = reseed.take_if(|reseed| reseed.at <= world.now()) {
            world.go_over(config, seed);
        }
        director.direct(&mut world);
        let next = director.next(end.get());
        let next = reseed.map_or(next, |reseed| reseed.at.min(next));
        world.step(next, &over);
        director.watch(&mut world);
    }
    let flooded = world.messages().0 > messages_max(world.now());
    let mut counts = stage.recorder.counts();
    (counts.sent, counts.dropped) = world.messages();
    counts.simulated_ns = world.now().as_nanos();
    counts.begun = stage.begun.get();
    let overload = world.overload();
    let standing = world.standing();
    let (marks, whims) = world.rarities();
    let (mut effects, trace) = world.finish();
    director.complete(&mut effects);
    // Of a run that draws its own nemeses, `run` asks only whether any of them had an effect.
    let drawn = config.nemeses.is_some();
    let mut vacuous = if drawn { Vec::new() } else { director.vacuous(&effects) };
    let stretches = director.stretches();
    vacuous.extend(
        stage
            .round
            .lacking(&stage.recorder)
            .map(|kind| format!("no {kind} succeeded in the whole run")),
    );
    vacuous.extend(overload);
    vacuous
        .extend(stage.in_doubt.get().map(|step| format!("when replicas were read, {step} still")));
    let nonsense = stage.nonsense.take();
    let calls = stage.calls.as_ref().map(|calls| calls.take());
    let history = stage.recorder.finish();
    let failures = director.failures;
    Played {
        history,
        effects,
        counts,
        trace,
        calls,
        failures,
        flooded,
        nonsense,
        vacuous,
        stretches,
        homes: stage.recorder.homes(),
        standing,
        marks,
        whims,
    }
}

/// How many messages may have been sent by now.
fn messages_max(now: Time) -> u64 {
    MESSAGES_MAX + MESSAGES_A_SECOND_MAX * now.since_start().as_secs()
}

/// What every client needs.
#[derive(Clone)]
struct Stage {
    system: Arc<dyn System>,
    recorder: Recorder,
    timeline: Timeline,
    operation: Duration,
    rhythm: Rhythm,
    workload: &'static dyn Workload,
    /// What was asked of which node.
    round: Rc<Round>,
    /// Opens when what the workload does before anything else is done.
    gate: Rc<Gate>,
    /// Operations that clients of the workload have begun.
    begun: Rc<Cell<u64>>,
    /// Final readers that are not done yet.
    readers: Rc<Cell<u32>>,
    /// When the run ends, whatever is missing. It is put off for as long as final readers get answers.
    end: Rc<Cell<Time>>,
    /// How many sessions there were so far.
    sessions: Rc<Cell<u32>>,
    nonsense: Rc<Cell<Option<String>>>,
    /// Who takes part.
    roster: Rc<Roster>,
    /// What the operator had begun and was not sure of when replicas were read.
    in_doubt: Rc<Cell<Option<Step>>>,
    /// What clients have asked so far, where that is to be kept.
    calls: Option<Rc<RefCell<Tape>>>,
}

impl Stage {
    fn new(
        system: &Arc<dyn System>,
        config: &Config,
        workload: &'static dyn Workload,
        script: Script<'_>,
        timeline: Timeline,
    ) -> Stage {
        let changes = config.spares > 0;
        let operators = u32::from(changes);
        Stage {
            system: system.clone(),
            recorder: Recorder::default(),
            timeline,
            operation: system.manifest().timing.operation,
            rhythm: Rhythm::new(config),
            workload,
            round: Rc::new(Round::new(workload.kinds(&config.workload()))),
            gate: Rc::default(),
            begun: Rc::default(),
            readers: Rc::new(Cell::new(config.all_nodes())),
            end: Rc::new(Cell::new(timeline.end)),
            sessions: Rc::new(Cell::new(config.clients + config.all_nodes() + operators)),
            nonsense: Rc::default(),
            roster: Rc::new(Roster::new(system.membership(), changes, config.nodes)),
            in_doubt: Rc::default(),
            calls: match script {
                Script::Drawn { keeps: false } => None,
                Script::Drawn { keeps: true } | Script::Written(_) => {
                    Some(Rc::new(RefCell::new(Tape::empty(config.clients))))
                }
            },
        }
    }

    /// Keeps what a client asks, where that is wanted.
    fn keep(&self, client: usize, at: Time, op: &Op) {
        self.begun.set(self.begun.get() + 1);
        if let Some(calls) = &self.calls {
            calls.borrow_mut().0[client].push(Call { at, op: op.clone() });
        }
    }
}

/// All clients: those of the workload, one for each node that reads everything there at the end, and where
/// members change, the operator.
fn cast(stage: &Stage, config: &Config, script: Script<'_>, seed: Seed) -> Vec<(ClientSpec, Play)> {
    let options = config.workload();
    let mut opening = stage.workload.opening(&options);
    if opening.is_none() {
        stage.gate.open();
    }
    let mut cast: Vec<(ClientSpec, Play)> = Vec::new();
    for client in 0..config.clients {
        let session = SessionId(client);
        let home = NodeId(client % config.nodes + 1);
        let spec = ClientSpec { session, home, pinned: client < config.pinned, inspects: false };
        if let Script::Written(tape) = script {
            let (stage, calls) = (stage.clone(), tape.0[client as usize].clone());
            cast.push((spec, Box::new(move |cx| Box::pin(follow(stage, spec, cx, calls)))));
            continue;
        }
        let random = seed.stream(&format!("workload/{client}")).into_rng();
        let generator = stage.workload.generator(&options, client, random);
        let (stage, first) = (stage.clone(), opening.take());
        cast.push((spec, Box::new(move |cx| Box::pin(act(stage, spec, cx, first, generator)))));
    }
    for node in 1..=config.all_nodes() {
        let session = SessionId(config.clients + node - 1);
        let spec = ClientSpec { session, home: NodeId(node), pinned: true, inspects: true };
        let stage = stage.clone();
        cast.push((spec, Box::new(move |cx| Box::pin(read_all(stage, spec, cx)))));
    }
    if config.spares > 0 {
        let session = SessionId(config.clients + config.all_nodes());
        let spec = ClientSpec { session, home: NodeId(1), pinned: false, inspects: false };
        let stage = stage.clone();
        let acts = async move |cx: ClientCx| {
            let clock = cx.clock();
            if let Some(operator) = stage.system.operator(cx) {
                operate(stage.roster, operator, clock).await;
            }
        };
        cast.push((spec, Box::new(|cx| Box::pin(acts(cx)))));
    }
    cast
}

/// What all clients but one wait for: that one has done what comes before everything else.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Cell<bool>,
    opened: Notify,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.is_open.set(true);
        self.opened.notify_waiters();
    }

    pub(crate) async fn pass(&self) {
        if !self.is_open.get() {
            self.opened.notified().await;
        }
    }
}

/// One client of the system, and the process that it is at the moment.
struct Actor {
    stage: Stage,
    spec: ClientSpec,
    client: Box<dyn Client>,
    clock: Clock,
    trail: Rc<Trail>,
    process: ProcessId,
    session: SessionId,
}

impl Actor {
    fn new(stage: Stage, spec: ClientSpec, cx: ClientCx) -> Actor {
        let (clock, trail) = (cx.clock(), cx.trail());
        let client = stage.system.client(cx);
        let process = stage.recorder.fresh_process();
        Actor { stage, spec, client, clock, trail, process, session: spec.session }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    /// Does one operation and writes it down.
    async fn perform(&mut self, op: &Op) -> Outcome {
        let session = self.session;
        let home = self.stage.roster.home_of(self.spec.home, self.spec.pinned);
        let recorder = self.stage.recorder.clone();
        let operation = recorder.invoke(self.now(), self.process, session, home, op);
        self.trail.clear();
        let asked = Caught::new(self.client.invoke(op));
        let answer = self.clock.timeout(self.stage.operation, asked).await;
        let mut outcome = match answer {
            Some(Ok(outcome)) => outcome,
            Some(Err(words)) => {
                self.stage.nonsense.set(Some(format!("at `{op}` the client panicked: {words}")));
                self.client.reset();
                Outcome::Info(Reason::Other("the client panicked".into()))
            }
            None => {
                self.client.reset();
                Outcome::Info(Reason::Timeout)
            }
        };
        let (first, last) = (self.trail.asked_first(), self.trail.answered_last());
        let about = if matches!(outcome, Outcome::Info(_)) { first } else { last.or(first) };
        about.into_iter().for_each(|node| recorder.turn_to(operation, node));
        let now = self.now();
        if let Err(error) = recorder.complete(now, operation, op.kind(), &outcome) {
            self.stage.nonsense.set(Some(format!("to `{op}` the client answered: {error}")));
            outcome = Outcome::Info(Reason::Other("an answer that cannot be".into()));
            recorder
                .complete(now, operation, op.kind(), &outcome)
                .expect("any operation may end without knowledge");
        }
        if matches!(outcome, Outcome::Info(_)) {
            // What it did may yet take effect: the process never acts again.
            self.process = recorder.fresh_process();
        }
        if let Outcome::Fail(Reason::SessionLost) | Outcome::Info(Reason::SessionLost) = outcome {
            self.process = recorder.fresh_process();
            self.session = SessionId(self.stage.sessions.replace(self.stage.sessions.get() + 1));
        }
        outcome
    }
}

/// A client of the workload, until clients stop. The one that has something to do `first` opens the gate
/// for the others when that is over, unless the system says that it was not done.
async fn act(
    stage: Stage,
    spec: ClientSpec,
    cx: ClientCx,
    first: Option<Op>,
    mut generator: Box<dyn Generator>,
) {
    let stop = stage.timeline.recovery.ends();
    let mut think: Stream = cx.random("think");
    let gate = stage.gate.clone();
    let client = spec.session.index();
    let mut actor = Actor::new(stage.clone(), spec, cx);
    if let Some(op) = first {
        stage.keep(client, actor.now(), &op);
        while matches!(actor.perform(&op).await, Outcome::Fail(_)) && actor.now() < stop {
            actor.clock.sleep(stage.rhythm.pause(&mut think)).await;
        }
        gate.open();
    }
    gate.pass().await;
    if let Some(wait) = stage.rhythm.first(actor.now(), &mut think) {
        actor.clock.sleep(wait).await;
    }
    while actor.now() < stop {
        let began = actor.now();
        let home = stage.roster.home_of(spec.home, spec.pinned);
        let Stage { round, recorder, timeline, .. } = &stage;
        let op = round.next(&mut *generator, recorder, timeline.recovery, (home, began));
        stage.keep(client, began, &op);
        let outcome = actor.perform(&op).await;
        generator.learn(&op, &outcome);
        actor.clock.sleep(stage.rhythm.after(began, actor.now(), &mut think)).await;
    }
}

/// A client that does what is written, each at its time or as soon as the one before is over.
async fn follow(stage: Stage, spec: ClientSpec, cx: ClientCx, calls: Vec<Call>) {
    let mut actor = Actor::new(stage.clone(), spec, cx);
    for Call { at, op } in calls {
        actor.clock.sleep(at.since(actor.now())).await;
        stage.keep(spec.session.index(), at, &op);
        actor.perform(&op).await;
    }
}

/// Reads every key at one node once the cluster has had time to converge. A node that takes no part by then,
/// or is kept away, holds what it held when it went.
async fn read_all(stage: Stage, spec: ClientSpec, cx: ClientCx) {
    cx.sleep_until(stage.timeline.final_reads).await;
    let is_away = stage.roster.is_away(spec.home);
    if is_away || !stage.roster.surely_has(spec.home) {
        let in_doubt = stage.roster.under_way().filter(|_| !is_away);
        stage.in_doubt.set(stage.in_doubt.get().or(in_doubt));
        stage.readers.set(stage.readers.get() - 1);
        return;
    }
    let keys = stage.recorder.keys();
    let (readers, end) = (stage.readers.clone(), stage.end.clone());
    let mut tries_left = FINAL_TRIES_MAX;
    let mut actor = Actor::new(stage, spec, cx);
    let asked = keys.into_iter().flat_map(|key| actor.stage.workload.final_reads(key));
    for op in asked.collect::<Vec<_>>() {
        while tries_left > 0 {
            match actor.perform(&op).await {
                Outcome::Ok(_) | Outcome::Fail(Reason::Unsupported) => {
                    // There may be thousands of keys: whoever gets on with them is given the time for it.
                    end.set(end.get().max(actor.now() + patience(actor.stage.operation)));
                    break;
                }
                Outcome::Fail(_) | Outcome::Info(_) => tries_left -= 1,
            }
            actor.clock.sleep(Duration::from_millis(100)).await;
        }
    }
    readers.set(readers.get() - 1);
}

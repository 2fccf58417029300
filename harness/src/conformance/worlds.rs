//! The worlds that a system is put into to see what its adapter does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use checkers::history::{
    Event, EventIndex, Key, NodeId, Op, OpKind, Operation, OperationId, Outcome, ReadLevel, Time,
    Value, ValueId,
};
use checkers::{Guarantee, History};
use workloads::WORKLOADS;

use super::watched::Watched;
use super::{About, Finding, manifest};
use crate::campaign::words_of;
use crate::config::Config;
use crate::nemesis::{Fault, Planned, Shape, Target};
use crate::plan::Plan;
use crate::report::timeline;
use crate::run::{Options, Report, run};
use crate::seed::Seed;
use crate::system::{Claim, Manifest, System};
use crate::tape::{Call, Tape};
use crate::why::numbered;

/// How long a run may take on this machine. One takes well below a second.
const REAL_TIME_MAX: Duration = Duration::from_secs(60);
/// With how many seeds answers are lost, and two runs are compared.
const SEEDS: u64 = 5;
/// How many clients there are.
const CLIENTS: u32 = 3;
/// How many keys are written before all nodes go down.
const KEYS: u32 = 6;

/// Runs a system in each world.
pub(super) fn examine(system: &Arc<dyn System>) -> Vec<Finding> {
    let manifest = system.manifest();
    let mut found = Vec::new();
    let plans = plans(system, &manifest);
    for plan in &plans {
        match in_calm(system, &manifest, plan) {
            Ok(findings) => found.extend(findings),
            Err(finding) => return [found, vec![finding]].concat(),
        }
    }
    // Of a system that does not work in a calm, faults show nothing.
    let works = |finding: &Finding| !matches!(finding.about, About::Node | About::Readiness);
    if found.iter().all(works) {
        for plan in &plans {
            let worlds = [after_crashes, with_answers_lost, twice];
            let findings = worlds.iter().map(|world| world(system, &manifest, plan));
            for findings in findings.chain([emptied(system, &manifest, plan)]) {
                match findings {
                    Ok(findings) => found.extend(findings),
                    Err(finding) => return [found, vec![finding]].concat(),
                }
            }
        }
    }
    found.dedup();
    found
}

/// A short plan without faults for each workload that does something that the system offers.
fn plans(system: &Arc<dyn System>, manifest: &Manifest) -> Vec<Plan> {
    let (fewest, most) = manifest.nodes;
    let plan = |workload: &str| {
        let mut plan = Plan::new(workload, manifest.name.clone());
        workload.clone_into(&mut plan.workload);
        plan.nemeses.clear();
        plan.nodes = vec![3.clamp(fewest, most)];
        plan.clients = [CLIENTS, CLIENTS];
        plan.keys = [3, 3];
        plan.safety = (manifest.timing.failover * 3).max(Duration::from_secs(3));
        plan.liveness = (manifest.timing.failover * 2).max(Duration::from_secs(1));
        plan
    };
    let suiting = WORKLOADS.iter().filter(|entry| manifest::suits(entry.workload, manifest));
    let plans = suiting.map(|entry| plan(entry.name));
    plans.filter(|plan| plan.check_for(&**system, &[]).is_ok()).collect()
}

/// Runs a seed, but no longer than it may take; nothing of what it did counts where it does.
fn within_bounds(
    system: &Arc<dyn System>,
    plan: &Plan,
    seed: Seed,
    options: &Options,
) -> Result<Report, Finding> {
    let (sender, receiver) = channel();
    let (system, played, options) = (system.clone(), plan.clone(), options.clone());
    let work = move || {
        let ran = catch_unwind(AssertUnwindSafe(|| run(&system, &played, seed, options)));
        // Whoever waited may have given up.
        let _ = sender.send(ran.map_err(|panic| words_of(&*panic)));
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread that is never given back cannot be joined: the program says so and ends without it"
    )]
    std::thread::spawn(work);
    let workload = &plan.workload;
    match receiver.recv_timeout(REAL_TIME_MAX) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(words)) => Err(Finding {
            about: About::Manifest,
            seen: format!("under the workload `{workload}` something panicked outside of nodes and operations: {words}"),
            remedy: "look into `System::manifest`, `System::node` and `System::client`: what they do themselves must \
                     not panic"
                .to_owned(),
        }),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Finding {
            about: About::Node,
            seen: format!(
                "under the workload `{workload}` a run of some seconds of virtual time was not over after \
                 {REAL_TIME_MAX:?} on this machine"
            ),
            remedy: "look for what blocks its thread or spins: nodes and clients wait by their contexts alone, by \
                     `recv` and `sleep`"
                .to_owned(),
        }),
    }
}

/// Without faults, everything that is offered succeeds, every node answers, and what is claimed holds.
fn in_calm(
    system: &Arc<dyn System>,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<Vec<Finding>, Finding> {
    let (watched, notes) = Watched::of(system);
    let report = within_bounds(&watched, plan, Seed(0), &Options::default())?;
    let world = format!("without any fault, under the workload `{}`,", plan.workload);
    // What is found first may well be why the next would be found.
    let mut found = ended_by_themselves(&report, &world);
    if found.is_empty() {
        let late = notes.first().map(|op| cut_off(&op, notes.cut_off(), manifest, &world));
        found.extend(late.into_iter().chain(nonsense(&report, &world)));
    }
    let others = [refused, silent_nodes, broken];
    for look in others {
        if found.is_empty() {
            found.extend(look(&report, manifest, &world));
        }
    }
    Ok(found)
}

/// A client that takes longer than its manifest says, so often of so many times.
fn cut_off(first: &Op, (times, all): (u64, u64), manifest: &Manifest, world: &str) -> Finding {
    Finding {
        about: About::Client,
        seen: format!(
            "{world} the client was cut off in {times} of {all} operations, the first of them `{first}`: it took \
             longer than the {:?} of `Timing::operation`",
            manifest.timing.operation
        ),
        remedy: "let `Client::invoke` give up and answer `Outcome::Info(Reason::Timeout)` before that, or let \
                 `Timing::operation` be longer"
            .to_owned(),
    }
}

/// What a client answered that cannot be, or panicked with.
fn nonsense(report: &Report, world: &str) -> Option<Finding> {
    let words = report.vacuous.iter().find(|words| words.contains("the client "))?;
    Some(Finding {
        about: About::Client,
        seen: format!("{world} {words}"),
        remedy: "answer a read with `Ret::Value`, what has nothing to return with `Ret::Done`, and what the client \
                 does not know what to make of with `Outcome::Info`"
            .to_owned(),
    })
}

/// Nodes that ended without a fault that ended them.
fn ended_by_themselves(report: &Report, world: &str) -> Vec<Finding> {
    let live = report.judged.iter().filter(|judged| judged.guarantee == Guarantee::Live);
    let mut anomalies = live.flat_map(|judged| judged.verdict.anomalies());
    let names = ["node-panic", "node-stopped", "livelock", "message-flood"];
    let first = anomalies.find(|anomaly| names.contains(&anomaly.name.as_str()));
    let remedy = |name: &str| match name {
        "message-flood" => {
            "let nodes send in answer to something, or now and then: two that answer each other's \
                            answers never end"
        }
        "livelock" => "let every loop of a node wait for a message or for time",
        _ => "find out why; the future of `System::node` ends only where the node cannot go on",
    };
    let finding = first.map(|anomaly| Finding {
        about: About::Node,
        seen: format!("{world} {}", anomaly.explanation.first().map_or("", String::as_str)),
        remedy: remedy(&anomaly.name).to_owned(),
    });
    finding.into_iter().collect()
}

/// Kinds of operations of which none was served.
fn refused(report: &Report, manifest: &Manifest, world: &str) -> Vec<Finding> {
    let mut kinds: BTreeMap<OpKind, Vec<OperationId>> = BTreeMap::new();
    for operation in report.history.operations() {
        kinds.entry(operation.op.kind()).or_default().push(operation.id);
    }
    let operation = |id: &OperationId| report.history.operation(*id);
    let served = |ids: &Vec<OperationId>| ids.iter().any(|id| operation(id).was_served());
    let ended =
        |id: &OperationId| timeline::words_of_outcome(&report.history, operation(id).outcome);
    if !kinds.is_empty() && !kinds.values().any(served) {
        let first = kinds.values().flatten().min().expect("there are some");
        return vec![Finding {
            about: About::Readiness,
            seen: format!(
                "{world} not one of {} operations succeeded in {:?}; the first of them, `{}`, ended `{}`",
                report.counts.operations(),
                report.config.safety + report.config.liveness,
                report.history.op(*first),
                ended(first),
            ),
            remedy: "see whether requests reach a node (`stormglass replay --trace` records every message), and \
                     whether the nodes agree on who leads within `Timing::failover`"
                .to_owned(),
        }];
    }
    let offered = kinds.iter().filter(|(kind, ids)| manifest.ops.contains(kind) && !served(ids));
    let finding = |(kind, ids): (&OpKind, &Vec<OperationId>)| Finding {
        about: About::Operation,
        seen: format!(
            "{world} none of {} operations of the kind `{kind}` succeeded, which `Manifest::ops` offers; the first of \
             them, `{}`, ended `{}`",
            ids.len(),
            report.history.op(ids[0]),
            ended(&ids[0]),
        ),
        remedy: format!("let the client do `{kind}`, or take it out of `Manifest::ops`"),
    };
    offered.map(finding).collect()
}

/// Nodes of whose own reads, at the end, none was answered.
fn silent_nodes(report: &Report, _: &Manifest, world: &str) -> Vec<Finding> {
    let reads = final_reads(&report.history);
    let silent = reads.iter().filter(|(_, answered)| !**answered);
    let finding = |(node, _): (&NodeId, &bool)| {
        Finding {
        about: About::Readiness,
        seen: format!("{world} node n{node} answered no read of what it holds itself, at the end of the run"),
        remedy: "let every node answer a read of `ReadLevel::Replica` with what it holds, and let a client that \
                 `inspects` turn to its `home`"
            .to_owned(),
    }
    };
    silent.map(finding).collect()
}

/// For each node that was read when clients had stopped, whether it answered.
fn final_reads(history: &History) -> BTreeMap<NodeId, bool> {
    let mut nodes = BTreeMap::new();
    let Some((began, _)) = history.phase_began(checkers::history::Phase::Final) else {
        return nodes;
    };
    for operation in history.operations().filter(|operation| operation.invoked > began) {
        if let (Some(node), OpKind::Read) = (operation.node, operation.op.kind()) {
            *nodes.entry(node).or_default() |= operation.is_ok();
        }
    }
    nodes
}

/// Guarantees that are claimed, and broken where nothing is in the way.
fn broken(report: &Report, _: &Manifest, world: &str) -> Vec<Finding> {
    let claimed = report.judged.iter().filter(|judged| judged.claim == Claim::Holds);
    let finding = |(guarantee, anomaly): (Guarantee, &checkers::Anomaly)| {
        Finding {
        about: About::Claim,
        seen: format!(
            "{world} {guarantee} is broken, which the manifest claims: {}",
            anomaly.explanation.last().map_or("", String::as_str)
        ),
        remedy: "see whether the client takes an answer for that of another operation, and whether a read of \
                 `ReadLevel::Strong` asks whoever may answer it; if it does, claim less"
            .to_owned(),
    }
    };
    let first =
        claimed.filter_map(|judged| Some((judged.guarantee, judged.verdict.anomalies().first()?)));
    first.map(finding).collect()
}

fn planned(at: Time, lasts: Duration, fault: Fault) -> Planned {
    Planned {
        id: checkers::history::FaultId(0),
        at,
        until: at + lasts,
        fault,
        salt: 0,
        after: None,
        scripted: false,
    }
}

/// Every node is down for a moment, one after the other. All are there again at the end.
fn after_crashes(
    system: &Arc<dyn System>,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<Vec<Finding>, Finding> {
    let failover = manifest.timing.failover;
    let turn = |node: u32| {
        let at = Time::ZERO + (failover + Duration::from_millis(200)) * node;
        planned(at, Duration::from_millis(100), Fault::Crash { target: Target::Node(NodeId(node)) })
    };
    let nodes = plan.nodes[0];
    let faults: Vec<Planned> = (1..=nodes).map(turn).collect();
    let plan = Plan { safety: failover * (nodes + 1) + Duration::from_secs(2), ..plan.clone() };
    let options = Options { schedule: Some(numbered(&faults)), ..Options::default() };
    let report = within_bounds(system, &plan, Seed(0), &options)?;
    let world = format!(
        "after a loss of power of one node after the other, under the workload `{}`,",
        plan.workload
    );
    let mut found = ended_by_themselves(&report, &world);
    if found.is_empty() {
        found.extend(silent_nodes(&report, manifest, &world).into_iter().map(|finding| Finding {
            remedy: "let `System::node` begin with what is on its disk, torn writes included, and take part again"
                .to_owned(),
            ..finding
        }));
    }
    Ok(found)
}

/// What nodes say to clients is lost now and then: what a client calls failed must not have happened.
fn with_answers_lost(
    system: &Arc<dyn System>,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<Vec<Finding>, Finding> {
    let lasts = manifest.timing.operation * 2;
    let turns = (plan.safety.as_nanos() / (lasts * 2).as_nanos()).clamp(1, 20) as u32;
    let cut = |turn: u32| {
        let shape = Shape::Answers { target: Target::All };
        planned(Time::ZERO + lasts * (turn * 2), lasts, Fault::Partition { shape })
    };
    let faults: Vec<Planned> = (0..turns).map(cut).collect();
    let plan = Plan { safety: lasts * (turns * 2 + 1) + Duration::from_secs(1), ..plan.clone() };
    let options = Options { schedule: Some(numbered(&faults)), ..Options::default() };
    for seed in 0..SEEDS {
        let report = within_bounds(system, &plan, Seed(seed), &options)?;
        if let Some(finding) = nonsense(&report, "while answers to clients were lost,") {
            return Ok(vec![finding]);
        }
        let Some((failed, seen)) = took_effect(&report.history) else { continue };
        return Ok(vec![Finding {
            about: About::Fail,
            seen: format!(
                "while answers to clients were lost, `{}` ended `{}` at {}, and yet `{}` ended `{}`",
                report.history.op(failed.id),
                timeline::words_of_outcome(&report.history, failed.outcome),
                failed.completed_at.unwrap_or_default(),
                report.history.op(seen.id),
                timeline::words_of_outcome(&report.history, seen.outcome),
            ),
            remedy: "answer `Outcome::Fail` only where it is certain that nothing happened or ever will; a request \
                     without an answer is `Outcome::Info`"
                .to_owned(),
        }]);
    }
    Ok(Vec::new())
}

/// An operation that failed and one that saw what it was to write, if nothing else wrote that.
fn took_effect(history: &History) -> Option<(Operation<'_>, Operation<'_>)> {
    let mut writers: BTreeMap<(Key, ValueId), Vec<OperationId>> = BTreeMap::new();
    for operation in history.operations() {
        let written = match operation.op {
            Op::Write { value, .. } | Op::Add { value, .. } => value,
            Op::Append { value, .. } | Op::Enqueue { value, .. } => value,
            Op::Cas { to, .. } => to,
            _ => continue,
        };
        let key = history.key(*operation.op.key()).clone();
        writers.entry((key, written)).or_default().push(operation.id);
    }
    let failed = writers.into_iter().filter_map(|((key, value), by)| match by[..] {
        [only] if history.operation(only).has_failed() => Some((key, value, only)),
        _ => None,
    });
    for (key, value, only) in failed {
        let shows = |operation: &Operation<'_>| match operation.outcome {
            Some(Outcome::Ok(checkers::history::Ret::Value(seen))) => {
                *history.key(*operation.op.key()) == key && contains(history, *seen, value)
            }
            _ => false,
        };
        if let Some(seen) = history.operations().find(shows) {
            return Some((history.operation(only), seen));
        }
    }
    None
}

/// Whether a value is another one, or a list that has it.
fn contains(history: &History, whole: ValueId, part: ValueId) -> bool {
    let part_of = |values: &[Value]| values.contains(history.value(part));
    whole == part || matches!(history.value(whole), Value::List(values) if part_of(values))
}

/// The same seeds, twice, on threads of their own.
fn twice(
    system: &Arc<dyn System>,
    _manifest: &Manifest,
    plan: &Plan,
) -> Result<Vec<Finding>, Finding> {
    let usual = Plan::new(plan.name.clone(), plan.system.clone()).nemeses;
    let plan = Plan { nemeses: usual, ..plan.clone() };
    let plan = if plan.check_for(&**system, &[]).is_ok() {
        plan
    } else {
        Plan { nemeses: Vec::new(), ..plan }
    };
    for seed in 0..SEEDS {
        let once = || within_bounds(system, &plan, Seed(seed), &Options::default());
        let (first, second) = (once()?, once()?);
        if first.fingerprint != second.fingerprint {
            return Ok(vec![Finding {
                about: About::Entropy,
                seen: format!(
                    "two runs of seed {seed} under the workload `{}` differ; {}",
                    plan.workload,
                    first_difference(&first.history, &second.history)
                ),
                remedy: "draw from `NodeCx::random` and `ClientCx::random`, tell the time by their clocks, and let \
                         nothing depend on the order of a `HashMap`, on threads or on what an earlier run left behind"
                    .to_owned(),
            }]);
        }
    }
    Ok(Vec::new())
}

/// Which event of two histories differs first, in words.
fn first_difference(first: &History, second: &History) -> String {
    let words = |history: &History, index: usize| {
        if index >= history.len() {
            return "was over".to_owned();
        }
        let (at, event) = history.event(EventIndex(index as u32));
        match event {
            Event::Invoke(operation) => {
                format!(
                    "asked `{}` at {at} as process {}",
                    history.op(operation.id),
                    operation.process
                )
            }
            Event::Complete(operation) => {
                let outcome = timeline::words_of_outcome(history, operation.outcome);
                format!("ended `{}` with `{outcome}` at {at}", history.op(operation.id))
            }
            Event::Fault(fault) => format!("had the fault {} {} at {at}", fault.kind, fault.what),
            Event::Phase(_) => format!("began another phase at {at}"),
        }
    };
    let mut places = 0..first.len().max(second.len());
    let place = places.find(|index| words(first, *index) != words(second, *index));
    match place {
        Some(place) => format!(
            "at event {place}, the first {} and the second {}",
            words(first, place),
            words(second, place)
        ),
        None => "they do in nothing but who was asked".to_owned(),
    }
}

/// All nodes go down at once, and find their disks empty. Whatever was written and is read again was neither in the
/// memory of a node nor on its disk.
fn emptied(
    system: &Arc<dyn System>,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<Vec<Finding>, Finding> {
    let offers = |kind| manifest.ops.contains(&kind);
    if plan.workload != "register" || !offers(OpKind::Read) || !offers(OpKind::Write) {
        return Ok(Vec::new());
    }
    let crate::system::Timing { failover, operation, .. } = manifest.timing;
    let written = Time::ZERO + failover;
    let down = written + (operation + Duration::from_millis(50)) * KEYS;
    let again = down + Duration::from_secs(1);
    let read = again + failover * 2;
    let plan = Plan {
        safety: read.since_start() + operation * KEYS + Duration::from_secs(1),
        ..plan.clone()
    };
    let call = |at, op| Call { at, op };
    let key = |number: u32| Key::from(format!("k{number}"));
    let value = |number: u32| Value::Int(i64::from(number) + 1);
    let writes = (0..KEYS).map(|it| call(written, Op::Write { key: key(it), value: value(it) }));
    let reads = (0..KEYS).map(|it| call(read, Op::Read { key: key(it), level: ReadLevel::Strong }));
    let mut calls = vec![Vec::new(); CLIENTS as usize];
    (calls[0], calls[1]) = (writes.collect(), reads.collect());
    let fault = planned(down, again.since(down), Fault::Crash { target: Target::All });
    let options = Options {
        config: Some(Config::draw(&plan, manifest, Seed(0))),
        schedule: Some(numbered(&[fault])),
        calls: Some(Tape(calls)),
        ..Options::default()
    };
    let report = within_bounds(&Watched::emptied(system), &plan, Seed(0), &options)?;
    let history = &report.history;
    let read_back = history.operations().find(|operation| {
        let returned = match operation.outcome {
            Some(Outcome::Ok(checkers::history::Ret::Value(value))) => Some(history.value(*value)),
            _ => None,
        };
        operation.invoked_at >= again
            && returned.is_some_and(|read| (0..KEYS).any(|number| *read == value(number)))
    });
    Ok(read_back.into_iter().map(|operation| Finding {
        about: About::State,
        seen: format!(
            "all nodes lost their memory at {down} and started again at {again} with empty disks, and yet `{}` at {} \
             ended `{}`",
            history.op(operation.id),
            operation.invoked_at,
            timeline::words_of_outcome(history, operation.outcome),
        ),
        remedy: "keep what a node holds in its future and on `NodeCx::disk`: what is in a `static`, in the `System` \
                 itself or in a client outlives crashes that it must not outlive"
            .to_owned(),
    }).collect())
}

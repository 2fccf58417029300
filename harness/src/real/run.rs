//! One real run, from its plan to its verdict.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use checkers::history::{Event, FaultEdge, FaultEvent, FaultId, History, NodeId, Phase, Time};
use checkers::{Guarantee, Verdict};

use super::play::play;
use super::probe;
use super::process::Cluster;
use super::site::{Programs, Site};
use super::system::Server;
use crate::config::Config;
use crate::engine::Engine;
use crate::nemesis::{self, Schedule};
use crate::plan::Plan;
use crate::rhythm::{Pace, longest_pause};
use crate::run::{self, Report};
use crate::seed::Seed;
use crate::store::{free_name, processes_of};
use crate::system::{Claim, Manifest};

/// What is to be run.
pub(crate) struct Request {
    /// The servers.
    pub(crate) server: Box<dyn Server>,
    /// The plan, which was checked.
    pub(crate) plan: Plan,
    /// The seed.
    pub(crate) seed: Seed,
    /// How many operations there are to be a second, over all clients, if that was said.
    pub(crate) rate: Option<u32>,
    /// What the system is held against, whatever it says itself.
    pub(crate) claims: Vec<Guarantee>,
    /// What is started.
    pub(crate) programs: Programs,
    /// The folder of runs, and of what nodes say.
    pub(crate) results: PathBuf,
}

impl Request {
    /// What the system says about itself, and what it is held against besides.
    pub(crate) fn manifest(&self) -> Manifest {
        let mut manifest = self.server.manifest(&self.plan.families());
        manifest.claims.retain(|(guarantee, _)| !self.claims.contains(guarantee));
        manifest.claims.extend(self.claims.iter().map(|guarantee| (*guarantee, Claim::Holds)));
        manifest
    }

    /// What the seed decides beforehand.
    fn config(&self, manifest: &Manifest) -> Config {
        let drawn = Config::draw(&self.plan, manifest, self.seed);
        Config {
            engine: Engine::Real,
            core: false,
            // One that goes on to another node sees less of what a node that is cut off says.
            pinned: drawn.clients,
            // What fails over in seconds is to get something done between two faults.
            calm_max: manifest.timing.failover * 4,
            pace: self.rate.map_or(drawn.pace, |_| Pace::Steady),
            think_max: self.rate.map_or(drawn.think_max, |rate| longest_pause(drawn.clients, rate)),
            ..drawn
        }
    }
}

/// Runs it. The process must be [inside](super::enclosure::settle), which says when it is to be cut short.
///
/// # Errors
/// Where the namespaces do not do what they are to do, or the servers do not start; of the kind `Interrupted`, where it
/// was cut short before anything was asked.
pub(crate) fn run(
    request: Request,
    is_cut_short: Arc<AtomicBool>,
    watch: &dyn Fn(Time),
) -> io::Result<Report> {
    let manifest = request.manifest();
    let mut config = request.config(&manifest);
    let Request { server, mut plan, seed, programs, results, .. } = request;
    let mut schedule = nemesis::plan(&plan, &config, seed, manifest.timing.failover);
    let versions = probe::versions(&programs);
    let site = Arc::new(Site { nodes: config.nodes, programs });
    let server: Arc<dyn Server> = Arc::from(server);
    let cluster = Rc::new(RefCell::new(Cluster::new(server.clone(), site.clone())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let what = (plan.workload(), manifest.timing);
    let cast = (server, site, cluster.clone());
    let playing = play(cast, (&config, &schedule), what, (seed, is_cut_short), watch);
    let played = tokio::task::LocalSet::new().block_on(&runtime, playing);
    let played = played?;
    plan.name = free_name(&results, &plan.name, seed).map_err(io::Error::other)?;
    cluster.borrow().keep_logs(&processes_of(&results, &plan.name, seed))?;
    take_times(&played.history, &mut config, &mut schedule);
    let mut report = run::report(played, (&plan, seed), (config, schedule), &manifest);
    report.programs = versions;
    let faults = faults_of(&report.history);
    for judged in &mut report.judged {
        judged.verdict = with_faults(&judged.verdict, &report.history, &faults);
    }
    Ok(report)
}

/// Puts into the configuration and the schedule of a run when things came to be, in place of when they were to be.
fn take_times(history: &History, config: &mut Config, schedule: &mut Schedule) {
    nemesis::take_times(&mut schedule.0, history);
    if let Some((_, at)) = history.phase_began(Phase::Liveness) {
        config.safety = Duration::from_millis(at.since_start().as_millis() as u64);
    }
}

/// A fault as the history has it.
struct Lasting {
    from: Time,
    to: Time,
    words: String,
}

/// The faults of a history, in the order in which they began.
fn faults_of(history: &History) -> Vec<Lasting> {
    let mut faults: BTreeMap<FaultId, Lasting> = BTreeMap::new();
    for (at, event) in history.events() {
        let Event::Fault(FaultEvent { fault, edge, kind, what }) = event else { continue };
        let words = || format!("fault {fault} ({kind} {what}");
        let lasting = faults.entry(*fault);
        let lasting = lasting.or_insert_with(|| Lasting { from: at, to: at, words: words() });
        if *edge == FaultEdge::End {
            lasting.to = at;
            lasting.words = format!("{}, from {} to {at})", words(), lasting.from);
        }
    }
    let mut faults: Vec<Lasting> = faults.into_values().collect();
    faults.sort_by_key(|fault| fault.from);
    faults
}

/// Adds to what was broken under which faults each change was acknowledged that proves it, or which one came next, or
/// was the last one before.
fn with_faults(verdict: &Verdict, history: &History, faults: &[Lasting]) -> Verdict {
    let Verdict::Invalid { anomalies, coverage } = verdict else { return verdict.clone() };
    let mut anomalies = anomalies.clone();
    for anomaly in &mut anomalies {
        let proof = || anomaly.witness.operations.iter().map(|id| history.operation(*id));
        let seen = proof().filter_map(|operation| operation.completed_at).max();
        let changes = proof().filter(|change| change.is_ok() && change.op.kind().writes());
        let told = changes.map(|change| {
            let at = change.completed_at.expect("what is acknowledged has ended");
            let when = when(faults, at, seen.unwrap_or(at));
            format!("`{}` was acknowledged at {at}, {when}", history.op(change.id))
        });
        let told: Vec<String> = told.collect();
        // What it comes to stays the last sentence: it is the one that tables show.
        let end = anomaly.explanation.len().saturating_sub(1);
        anomaly.explanation.splice(end..end, told);
    }
    Verdict::Invalid { anomalies, coverage: coverage.clone() }
}

/// Which faults were on at a moment, or what came closest to it before something was `seen`.
fn when(faults: &[Lasting], at: Time, seen: Time) -> String {
    let on = faults.iter().filter(|fault| (fault.from..=fault.to).contains(&at));
    let on: Vec<&str> = on.map(|fault| fault.words.as_str()).collect();
    if !on.is_empty() {
        return format!("under {}", on.join(" and "));
    }
    if let Some(next) = faults.iter().find(|fault| at < fault.from && fault.from <= seen) {
        return format!("under no fault; then came {}", next.words);
    }
    let ended = faults.iter().filter(|fault| fault.to < at).max_by_key(|fault| fault.to);
    ended.map_or("before any fault".to_owned(), |last| format!("after {}", last.words))
}

/// The faults that keep each node from running. It goes on when the last of them is over.
#[derive(Default)]
pub(super) struct Stops(BTreeMap<NodeId, BTreeSet<FaultId>>);

impl Stops {
    /// A fault stops a node.
    pub(super) fn begins(&mut self, node: NodeId, fault: FaultId) {
        self.0.entry(node).or_default().insert(fault);
    }

    /// A fault is over; whether none stops the node any more.
    pub(super) fn ends(&mut self, node: NodeId, fault: FaultId) -> bool {
        let on = self.0.entry(node).or_default();
        on.remove(&fault);
        on.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use checkers::history::{
        HistoryBuilder, Invocation, Op, OperationId, Outcome, ProcessId, Ret, SessionId, Value,
    };
    use checkers::{Anomaly, Coverage, Witness};

    use super::*;

    #[test]
    fn what_was_acknowledged_is_told_with_the_fault_that_was_on_or_came_closest() {
        let mut history = HistoryBuilder::new();
        let write = |history: &mut HistoryBuilder, from, to, value| {
            let op = Op::Write { key: "k".into(), value: Value::Int(value) };
            let (process, session) = (ProcessId(value as u32), SessionId(0));
            let asked = Invocation { process, session, node: Some(NodeId(1)), op };
            let id = history.invoke(Time::from_millis(from), &asked).unwrap();
            history.complete(Time::from_millis(to), id, &Outcome::Ok(Ret::Done)).unwrap();
            id
        };
        let edge = |edge| FaultEvent {
            fault: FaultId(4),
            edge,
            kind: "partition".to_owned(),
            what: "n1 | n2 n3".to_owned(),
        };
        let before = write(&mut history, 1, 2, 1);
        history.fault(Time::from_millis(3), edge(FaultEdge::Begin)).unwrap();
        let under = write(&mut history, 4, 5, 2);
        history.fault(Time::from_millis(9), edge(FaultEdge::End)).unwrap();
        let after = write(&mut history, 10, 11, 3);
        let history = history.finish();
        let told = |operations: &[OperationId]| {
            let anomaly = Anomaly {
                name: "lost-write".to_owned(),
                guarantee: Guarantee::Durable,
                at: Time::ZERO,
                key: None,
                witness: Witness { operations: operations.to_vec(), faults: Vec::new() },
                contrast: None,
                explanation: Vec::new(),
            };
            let verdict =
                Verdict::Invalid { anomalies: vec![anomaly], coverage: Coverage::default() };
            let told = with_faults(&verdict, &history, &faults_of(&history));
            told.anomalies()[0].explanation[0].clone()
        };
        let fault = "fault 4 (partition n1 | n2 n3, from 0.003 s to 0.009 s)";
        let first = "`write k 1` was acknowledged at 0.002 s";
        assert_eq!(told(&[before, after]), format!("{first}, under no fault; then came {fault}"));
        assert_eq!(told(&[before]), format!("{first}, before any fault"));
        let words = format!("`write k 2` was acknowledged at 0.005 s, under {fault}");
        assert_eq!(told(&[under, after]), words);
        let words = format!("`write k 3` was acknowledged at 0.011 s, after {fault}");
        assert_eq!(told(&[after]), words);
    }

    #[test]
    fn a_node_goes_on_when_the_last_fault_that_stops_it_is_over() {
        let mut stops = Stops::default();
        let (node, first, second) = (NodeId(1), FaultId(0), FaultId(1));
        stops.begins(node, first);
        stops.begins(node, second);
        assert!(!stops.ends(node, first));
        assert!(stops.ends(node, second));
        assert!(stops.ends(NodeId(2), first), "it was never stopped");
    }
}

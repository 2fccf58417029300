//! One real run, from its plan to its verdict.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use checkers::history::{FaultId, History, NodeId, Time};
use checkers::{Guarantee, Verdict};

use super::play::play;
use super::process::Cluster;
use super::site::{Programs, Site};
use super::system::Server;
use crate::config::Config;
use crate::engine::Engine;
use crate::nemesis;
use crate::plan::Plan;
use crate::run::{self, Effect, Report};
use crate::seed::Seed;
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
    /// The folder that gets what nodes say.
    pub(crate) logs: PathBuf,
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
        // Pauses are drawn from nothing to the longest: on average, half of it.
        let pause = |rate: u32| std::time::Duration::from_secs(2) * drawn.clients / rate;
        Config {
            engine: Engine::Real,
            core: false,
            paced: self.rate.is_some(),
            think_max: self.rate.map_or(drawn.think_max, pause),
            ..drawn
        }
    }
}

/// Runs it. The process must be [inside](super::enclosure::settle).
///
/// # Errors
/// Where the namespaces do not do what they are to do, or the servers do not start.
pub(crate) fn run(request: Request, watch: &dyn Fn(Time)) -> io::Result<Report> {
    let manifest = request.manifest();
    let config = request.config(&manifest);
    let Request { server, plan, seed, programs, logs, .. } = request;
    let schedule = nemesis::plan(&plan, &config, seed, manifest.timing.failover);
    let site = Arc::new(Site { nodes: config.nodes, programs });
    let server: Arc<dyn Server> = Arc::from(server);
    let cluster = Rc::new(RefCell::new(Cluster::new(server.clone(), site.clone())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let what = (plan.workload(), manifest.timing);
    let playing = play((server, site, cluster.clone()), (&config, &schedule), what, seed, watch);
    let played = tokio::task::LocalSet::new().block_on(&runtime, playing);
    cluster.borrow().keep_logs(&logs)?;
    let mut report = run::report(played?, (&plan, seed), (config, schedule), &manifest);
    for judged in &mut report.judged {
        judged.verdict = with_faults(&judged.verdict, &report.history, &report.effects);
    }
    Ok(report)
}

/// Adds to what was broken under which fault each change was acknowledged that proves it.
fn with_faults(verdict: &Verdict, history: &History, effects: &[Effect]) -> Verdict {
    let Verdict::Invalid { anomalies, coverage } = verdict else { return verdict.clone() };
    let mut anomalies = anomalies.clone();
    for anomaly in &mut anomalies {
        for id in &anomaly.witness.operations {
            let operation = history.operation(*id);
            let Some(completed) = operation.completed.filter(|_| operation.is_ok()) else {
                continue;
            };
            let on = history.faults_on(completed);
            if !operation.op.kind().writes() || on.is_empty() {
                continue;
            }
            let named = on.iter().map(|fault| {
                let what = effects.get(fault.index()).map_or("", |effect| &effect.what);
                format!("fault {fault} ({what})")
            });
            let named = named.collect::<Vec<_>>().join(", ");
            let at = operation.completed_at.unwrap_or_default();
            anomaly.explanation.push(format!(
                "{} was acknowledged to process {} at {at} under {named}",
                history.op(*id),
                operation.process
            ));
        }
    }
    Verdict::Invalid { anomalies, coverage: coverage.clone() }
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
    use super::*;

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

//! All that a seed decides before a run begins, drawn in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{OpKind, Time};
use serde::{Deserialize, Serialize};
use workloads::{Skew, Workload};

use crate::engine::Engine;
use crate::nemesis::{NEMESES, membership};
use crate::plan::Plan;
use crate::rhythm::Pace;
use crate::seed::{Seed, Stream};
use crate::swarm;
use crate::system::Manifest;

/// The drawn configuration of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What simulates the run.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub engine: Engine,
    /// How many nodes the cluster begins with.
    pub nodes: u32,
    /// How many there are besides, which may be added.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub spares: u32,
    /// How many clients.
    pub clients: u32,
    /// Of the clients, how many stay with one node; the others go on to the next where one does not
    /// answer.
    pub pinned: u32,
    /// How many keys are in use at a time.
    pub keys: u32,
    /// Operations that a client does before it moves on to the next set of keys.
    pub operations_a_key_set: u32,
    /// Weights of the kinds of operations that the workload does and the system offers.
    pub mix: BTreeMap<OpKind, u32>,
    /// Of 100 reads, how many are replica reads.
    pub replica_reads_percent: u32,
    /// How often each of the keys is taken.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub skew: Skew,
    /// The fewest and the most bytes of a value that is written; none where values are numbers.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub value_bytes: [u32; 2],
    /// What the beginning of each operation hangs on.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub pace: Pace,
    /// The longest pause of a client between two operations. In an open loop, all clients together begin as many
    /// operations as if each of them paused so and was answered at once.
    pub think_max: Duration,
    /// The least latency of a message; also the grain of simulated time, where that has one.
    pub tick: Duration,
    /// The greatest latency of a message.
    pub latency_max: Duration,
    /// How long a message takes from each region to each, in milliseconds, where nodes and clients are in
    /// regions: node *i* in region *i - 1* modulo their number, a client where its home is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Vec<u32>>>,
    /// How long a node is busy with each message that it receives.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub message_cost: Duration,
    /// The longest time that a sync of a disk takes.
    pub sync_max: Duration,
    /// How long faults last in all.
    pub safety: Duration,
    /// How long the cluster then has to recover.
    pub liveness: Duration,
    /// The longest pause between two faults of one nemesis.
    pub calm_max: Duration,
    /// Whether nodes do at times, for no reason, what they may do at any time and seldom do.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub whims: bool,
    /// Whether a minority stays away when the other faults have been undone.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub core: bool,
    /// Who plans faults, each with the longest pause between two of its faults, where that is drawn as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nemeses: Option<BTreeMap<String, Duration>>,
    /// The seed that decides what is left to chance from some moment on; without it, that of the run does to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseed: Option<Reseed>,
}

/// Another seed in mid-run. The run is what it was until then, with the same faults and operations after it; how long
/// messages take from then on, and what nodes, clients and disks draw, is decided by the other seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reseed {
    /// From when on, before what happens at that moment; where time goes in ticks, from the first on that begins then
    /// or later.
    pub at: Time,
    /// The other seed.
    pub seed: Seed,
}

/// Whether a setting need not be written down.
pub(crate) fn is_usual<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

impl Config {
    /// All nodes that there are: those that the cluster begins with, and then the spare ones.
    pub fn all_nodes(&self) -> u32 {
        self.nodes + self.spares
    }

    /// Draws the configuration of one run.
    ///
    /// # Panics
    /// If the plan was not [checked](Plan::check).
    pub fn draw(plan: &Plan, manifest: &Manifest, seed: Seed) -> Config {
        let mut stream = seed.stream("config");
        let (fewest, most) = manifest.nodes;
        let sizes: Vec<u32> =
            plan.nodes.iter().copied().filter(|size| (fewest..=most).contains(size)).collect();
        let [fewest, most] = plan.clients;
        let clients = stream.between(fewest.into(), most.into()) as u32;
        let [fewest, most] = plan.keys;
        let workload = plan.workload();
        // Distances need a finer grain, and stand in the place of latencies that are drawn.
        let far = plan.regions.is_some();
        let tick = Duration::from_millis(if far { 1 } else { 5 });
        let engine = plan.engine.engine(&plan.families());
        let config = Config {
            engine: engine.expect("a checked plan asks for an engine that does its faults"),
            nodes: *stream
                .pick(&sizes)
                .expect("a checked plan lists sizes that the system runs with"),
            spares: if plan.changes_members() { membership::SPARES } else { 0 },
            clients,
            pinned: stream.between(1, clients.into()) as u32,
            keys: stream.between(fewest.into(), most.into()) as u32,
            operations_a_key_set: stream.between(20, 80) as u32,
            mix: mix(workload, manifest, &mut stream),
            replica_reads_percent: plan.replica_reads_percent,
            think_max: Duration::from_millis(stream.between(10, 200)),
            tick,
            latency_max: match Duration::from_millis(stream.between(10, 50)) {
                _ if far => tick,
                latency_max => latency_max,
            },
            regions: plan.regions.clone(),
            message_cost: plan.message_cost,
            sync_max: Duration::from_millis(stream.between(0, 8)),
            safety: plan.safety,
            liveness: plan.liveness,
            calm_max: Duration::from_millis(stream.between(500, 4000)),
            skew: Skew::default(),
            value_bytes: [0, 0],
            pace: Pace::Closed,
            whims: false,
            core: false,
            nemeses: None,
            reseed: None,
        };
        let config = if plan.swarm { swarm::vary(config, plan, manifest, seed) } else { config };
        plan.load.put_into(config, &mut seed.stream("load"))
    }

    /// Holds a configuration that was read from a file against what can be drawn for a run with this
    /// workload, so that a file which was changed is refused and no run is endless.
    ///
    /// # Errors
    /// Names the first setting that is out of its range, and the range.
    pub fn check(&self, workload: &dyn Workload) -> Result<(), String> {
        let mut kinds = self.mix.keys();
        let does = |kind| workload.mix().iter().any(|share| share.kind == kind);
        if let Some(kind) = kinds.find(|kind| !does(**kind)) {
            return Err(format!("config: mix has {kind}, which the workload never does"));
        }
        let numbers = [
            ("nodes", self.nodes, 1..=9),
            ("spares", self.spares, 0..=membership::SPARES),
            ("clients", self.clients, 1..=100),
            ("pinned", self.pinned, 0..=self.clients),
            ("keys", self.keys, 1..=10_000),
            ("operations_a_key_set", self.operations_a_key_set, 1..=1_000_000),
            (
                "value_bytes (the most)",
                self.value_bytes[1],
                self.value_bytes[0]..=workload.value_bytes_max().max(self.value_bytes[0]),
            ),
            (
                "mix (all of it)",
                self.mix.values().fold(0, |sum, one| one.saturating_add(sum)),
                1..=4000,
            ),
            ("replica_reads_percent", self.replica_reads_percent, 0..=100),
        ];
        for (name, number, range) in numbers {
            if !range.contains(&number) {
                let (low, high) = range.into_inner();
                return Err(format!(
                    "config: {name} is {number}, and has to lie within {low} to {high}"
                ));
            }
        }
        check_regions(self.regions.as_deref().unwrap_or_default())?;
        let nemeses = self.nemeses.iter().flatten();
        let unknown = |name: &str| !NEMESES.iter().any(|entry| entry.name == name);
        if let Some((name, _)) = nemeses.clone().find(|(name, _)| unknown(name)) {
            return Err(format!("config: nemeses has `{name}`, and nothing is called so"));
        }
        let millis = Duration::from_millis;
        let hour = Duration::from_secs(3600);
        let times = [
            ("think_max", self.think_max, Duration::ZERO..=hour),
            ("tick", self.tick, millis(1)..=millis(100)),
            ("latency_max", self.latency_max, self.tick..=hour),
            ("message_cost", self.message_cost, Duration::ZERO..=millis(1000)),
            ("sync_max", self.sync_max, Duration::ZERO..=hour),
            ("safety", self.safety, millis(1000)..=hour),
            ("liveness", self.liveness, millis(1000)..=hour),
            ("calm_max", self.calm_max, Duration::ZERO..=hour),
        ];
        let pauses = nemeses.map(|(name, pause)| (name.as_str(), *pause, Duration::ZERO..=hour));
        for (name, time, range) in times.into_iter().chain(pauses) {
            if !range.contains(&time) {
                let (low, high) = range.into_inner();
                return Err(format!(
                    "config: {name} is {time:?}, and has to lie within {low:?} to {high:?}"
                ));
            }
        }
        Ok(())
    }

    /// Who plans faults in a run of this plan, each with the longest pause between two of its faults.
    pub fn nemeses<'a>(&'a self, plan: &'a Plan) -> BTreeMap<&'a str, Duration> {
        match &self.nemeses {
            Some(drawn) => drawn.iter().map(|(name, pause)| (name.as_str(), *pause)).collect(),
            None => plan.nemeses.iter().map(|name| (name.as_str(), self.calm_max)).collect(),
        }
    }

    /// What the workload is told of it.
    pub fn workload(&self) -> workloads::Options {
        workloads::Options {
            clients: self.clients,
            keys: self.keys,
            operations_a_key_set: self.operations_a_key_set,
            mix: self.mix.clone(),
            replica_reads_percent: self.replica_reads_percent,
            skew: self.skew,
            value_bytes: self.value_bytes,
        }
    }
}

/// Draws how often each kind is done; what the system does not offer is left out.
fn mix(workload: &dyn Workload, manifest: &Manifest, stream: &mut Stream) -> BTreeMap<OpKind, u32> {
    let mut mix = BTreeMap::new();
    for share in workload.mix() {
        let weight = stream.between(share.least.into(), share.most.into()) as u32;
        if weight > 0 && manifest.ops.contains(&share.kind) {
            mix.insert(share.kind, weight);
        }
    }
    mix
}

/// Whether regions are as many rows as columns, and none is further away than a message may take.
pub(crate) fn check_regions(one_way_ms: &[Vec<u32>]) -> Result<(), String> {
    let count = one_way_ms.len();
    let whole = count <= 9 && one_way_ms.iter().all(|row| row.len() == count);
    if whole && one_way_ms.iter().flatten().all(|ms| (1..=10_000).contains(ms)) {
        return Ok(());
    }
    Err(format!(
        "regions = {one_way_ms:?} must have as many rows as columns, 9 at most, of 1 to 10000 \
         milliseconds each, such as [[1, 30], [30, 1]]"
    ))
}

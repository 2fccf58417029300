//! Plans: what the runs of a campaign share. A plan and a seed decide a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkers::Guarantee;
use checkers::checker::Limits;
use humantime::format_duration;
use serde::{Deserialize, Serialize};
use workloads::Workload;

use crate::config::Config;
use crate::engine::Choice;
use crate::load::Load;
use crate::nemesis::{Schedule, Scripted, membership};
use crate::tape::Tape;
use crate::written::Written;
use crate::{config, nemesis, system, written};

/// What the runs of one row of a campaign share.
///
/// In a campaign file it is one `[[plan]]` table. Durations are written `10s` or `1m 30s`; a range
/// `[5, 10]` includes both ends, and each run draws from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// Its name, which rows and folders carry.
    pub name: String,
    /// The system under test; `list` shows which there are.
    pub system: String,
    /// What clients do.
    #[serde(default = "default_workload")]
    pub workload: String,
    /// Who plans the faults. None means a run without faults.
    #[serde(default)]
    pub nemeses: Vec<String>,
    /// Faults that come when it says, besides those that nemeses plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Scripted>,
    /// What simulates the runs: `turmoil`, `event`, or `auto` for the first of them that can do all faults.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub engine: Choice,
    /// Sizes of the cluster; each run draws one.
    #[serde(default = "default_nodes")]
    pub nodes: Vec<u32>,
    /// How many clients; a range.
    #[serde(default = "default_clients", deserialize_with = "range")]
    pub clients: [u32; 2],
    /// How many keys are in use at a time; a range.
    #[serde(default = "default_keys", deserialize_with = "range")]
    pub keys: [u32; 2],
    /// Of 100 reads, how many ask whatever node they address instead of for the strongest read.
    #[serde(default)]
    pub replica_reads_percent: u32,
    /// How long faults last in all: the safety phase.
    #[serde(default = "default_safety", with = "duration")]
    pub safety: Duration,
    /// How long the cluster then has to recover: the liveness phase.
    #[serde(default = "default_liveness", with = "duration")]
    pub liveness: Duration,
    /// Within how many runs a witness must be found for each guarantee that the system says it
    /// breaks. A campaign of fewer runs expects none.
    #[serde(default = "default_canary_runs")]
    pub canary_runs: u64,
    /// The guarantees whose loss the plan is to show, because faults that it names go beyond what the system promises to
    /// survive: within `canary_runs`, each of them must be lost in some run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_losses: Vec<Guarantee>,
    /// How many states the search of the linearizability checker may visit in one run.
    #[serde(default = "default_states_max")]
    pub states_max: u64,
    /// How many bytes the search of one key may use to remember what it has visited.
    #[serde(default = "default_search_bytes_max")]
    pub search_bytes_max: u64,
    /// How far a read may be behind in time: the bound of `bounded-staleness`, which is judged where
    /// this or the next is given.
    #[serde(default, with = "duration_if_any", skip_serializing_if = "Option::is_none")]
    pub staleness_max: Option<Duration>,
    /// How many acknowledged writes a read may miss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions_behind_max: Option<u64>,
    /// How long a message takes from each region to each, in milliseconds; node *i* is in region *i - 1*
    /// modulo their number, a client where its home is. Without it, latencies are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Vec<u32>>>,
    /// How long a node is busy with each message that it receives.
    #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub message_cost: Duration,
    /// Whether runs differ in everything that the plan leaves open: each draws some of the nemeses, the
    /// kinds of operations and how often there are which, on which keys, by how many clients, and how long
    /// it lasts. That one nemesis has no effect in a run, or that it has nothing in it that a guarantee is
    /// about, is then no fault of the run.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub swarm: bool,
    /// What clients do in particular; what it leaves out is drawn.
    #[serde(default, skip_serializing_if = "Load::is_empty")]
    pub load: Load,
    /// What the system in particular is told.
    #[serde(default, skip_serializing_if = "system::Settings::is_empty")]
    pub settings: system::Settings,
}

fn default_workload() -> String {
    "register".to_owned()
}

fn default_nodes() -> Vec<u32> {
    vec![3, 5]
}

fn default_clients() -> [u32; 2] {
    [5, 10]
}

fn default_keys() -> [u32; 2] {
    [3, 8]
}

fn default_safety() -> Duration {
    Duration::from_secs(15)
}

fn default_liveness() -> Duration {
    Duration::from_secs(4)
}

fn default_canary_runs() -> u64 {
    100
}

fn default_states_max() -> u64 {
    5_000_000
}

fn default_search_bytes_max() -> u64 {
    Limits::default().search_bytes_max
}

/// A range as a list of two numbers. (Of a longer list, an array would take the first two.)
pub(crate) fn range<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<[u32; 2], D::Error> {
    let numbers = Vec::deserialize(deserializer)?;
    <[u32; 2]>::try_from(numbers).map_err(|numbers| {
        serde::de::Error::custom(format!("{numbers:?} where a range such as [5, 10] belongs"))
    })
}

/// Durations as people write them.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        parsed(&String::deserialize(deserializer)?)
    }

    /// Takes what people write for a duration.
    pub(crate) fn parsed<E: Error>(text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text)
            .map_err(|error| E::custom(format!("{error}; a duration is written like `10s`")))
    }
}

/// Durations that may be missing.
mod duration_if_any {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}

/// What is wrong with a plan, and what would have been right.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file could not be read.
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not a campaign file.
    #[error("{}:{line}: {message}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A name is not in its table.
    #[error("plan `{plan}`: no {what} is called `{name}`; there are {}", known.join(", "))]
    UnknownName {
        /// The plan.
        plan: String,
        /// What kind of thing is named.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A setting is out of its range.
    #[error("plan `{plan}`: {message}")]
    OutOfRange {
        /// The plan.
        plan: String,
        /// Which setting, its value, and what would do.
        message: String,
    },
}

/// The file form of a campaign.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignFile {
    plan: Vec<Plan>,
}

/// What names of plans are.
/// The longest that a campaign file may be.
const FILE_BYTES_MAX: u64 = 16 << 20;

const NAMES: &str = "name must have 1 to 64 letters, digits, `-` and `_`, and begin with no `-`";

/// The campaign that runs when none is named: every mode of the reference store under faults.
pub const STOCK: &str = include_str!("../campaigns/stock.toml");

/// The plans whose tradeoffs are measured when none are named: one for each mode of the reference store.
pub const TRADEOFFS: &str = include_str!("../campaigns/tradeoffs.toml");

/// Reads the plans of a campaign file.
///
/// # Errors
/// Where the file cannot be read, is no campaign file, or names what does not exist; the error says
/// where and what would have done.
pub fn load(file: &Path, systems: &[system::Registration]) -> Result<Vec<Plan>, PlanError> {
    let unreadable = |cause| PlanError::Unreadable { file: file.to_owned(), cause };
    let mut text = String::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let long = format!("is longer than {FILE_BYTES_MAX} bytes, which no campaign file is");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, long)));
    }
    parse(&text, file, systems)
}

/// Reads plans from the text of a campaign file; `file` is for messages.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    file: &Path,
    systems: &[system::Registration],
) -> Result<Vec<Plan>, PlanError> {
    let malformed = |line, message| PlanError::Malformed { file: file.to_owned(), line, message };
    if text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) {
        return Err(malformed(1, "there is no [[plan]] in it".to_owned()));
    }
    let written = Written::read(text).map_err(|error| {
        let (line, message) = written::unreadable(text, &error);
        malformed(line, message)
    })?;
    if let Some((line, message)) = written.misplaced() {
        return Err(malformed(line, message));
    }
    let parsed: CampaignFile = toml::from_str(text).map_err(|error| {
        let (line, message) = written.explained(&error);
        malformed(line, message)
    })?;
    if parsed.plan.is_empty() {
        return Err(malformed(1, "there is no [[plan]] in it".to_owned()));
    }
    let mut names = BTreeMap::new();
    for (index, plan) in parsed.plan.iter().enumerate() {
        plan.check(systems)
            .map_err(|error| malformed(written.line(index, error.setting()), error.to_string()))?;
        if names.insert(plan.name.clone(), ()).is_some() {
            let message = format!("two plans are called `{}`; names must differ", plan.name);
            return Err(malformed(written.line(index, "name"), message));
        }
    }
    Ok(parsed.plan)
}

/// How often a message and its answer must fit into the time in which a system says that it fails over: to
/// notice that a leader is gone, to agree on another one, and to have that one begin, each perhaps twice.
const ROUND_TRIPS_A_FAILOVER: u32 = 10;

impl PlanError {
    /// The setting of the plan that is wrong.
    fn setting(&self) -> &str {
        match self {
            PlanError::UnknownName { what: "nemesis", .. } => "nemeses",
            PlanError::UnknownName { what, .. } => what,
            PlanError::OutOfRange { message, .. } => {
                let word = message.split(' ').next().expect("a text has a first word");
                word.trim_end_matches(':')
            }
            PlanError::Unreadable { .. } | PlanError::Malformed { .. } => "",
        }
    }
}

impl Plan {
    /// The plan that has every default, for a system: the usual nemeses plan faults.
    pub fn new(name: impl Into<String>, system: impl Into<String>) -> Plan {
        let usual = nemesis::NEMESES.iter().filter(|entry| entry.usual);
        Plan {
            name: name.into(),
            system: system.into(),
            workload: default_workload(),
            nemeses: usual.map(|entry| entry.name.to_owned()).collect(),
            faults: Vec::new(),
            engine: Choice::default(),
            nodes: default_nodes(),
            clients: default_clients(),
            keys: default_keys(),
            replica_reads_percent: 0,
            safety: default_safety(),
            liveness: default_liveness(),
            canary_runs: default_canary_runs(),
            allowed_losses: Vec::new(),
            states_max: default_states_max(),
            search_bytes_max: default_search_bytes_max(),
            staleness_max: None,
            versions_behind_max: None,
            regions: None,
            message_cost: Duration::ZERO,
            swarm: false,
            load: Load::default(),
            settings: system::Settings::new(),
        }
    }

    /// Holds the plan against the tables of what there is, and its numbers against their ranges.
    ///
    /// # Errors
    /// Names the first thing that is wrong and what would have been right.
    pub fn check(&self, systems: &[system::Registration]) -> Result<(), PlanError> {
        let names: Vec<&str> = systems.iter().map(|entry| entry.name).collect();
        self.check_name("system", &self.system, &names)?;
        let mut table = systems.iter();
        let named = table.find(|entry| entry.name == self.system).expect("the name was checked");
        let system = named.configured(&self.settings);
        let system = system.map_err(|error| match self.blamed_setting(&error) {
            Some(key) => {
                let words = error.strip_prefix(&format!("`{key}`: ")).unwrap_or(&error);
                self.refused(format!("settings.{key}: {words}"))
            }
            None => self.refused(format!("settings: {error}")),
        })?;
        self.check_offered(&*system, systems)
    }

    /// The setting of the system that an error begins with, if it begins with one.
    fn blamed_setting(&self, error: &str) -> Option<&str> {
        let begins = error.trim_start_matches('`');
        let is_first = |key: &&str| {
            begins.strip_prefix(key).is_some_and(|rest| rest.starts_with(['`', ' ', ':']))
        };
        self.settings.keys().map(String::as_str).find(is_first)
    }

    /// Holds what a run of the plan is said to have drawn against what one can draw. A plan whose workload does
    /// not exist is refused as a whole, where it is used.
    ///
    /// # Errors
    /// Names the first thing that no run has.
    pub(crate) fn check_data(
        &self,
        config: &Config,
        schedule: &Schedule,
        calls: Option<&Tape>,
    ) -> Result<(), String> {
        if !self.has_name() {
            return Err(format!("plan: {NAMES}"));
        }
        let workload = workloads::WORKLOADS.iter().find(|entry| entry.name == self.workload);
        workload.map_or(Ok(()), |entry| config.check(entry.workload))?;
        schedule.check(config)?;
        calls.map_or(Ok(()), |calls| calls.check(config))
    }

    /// Holds all but the name of the system against what there is, and against the system. `systems` are
    /// those of which others can be named instead.
    ///
    /// # Errors
    /// As [`Plan::check`].
    pub fn check_for(
        &self,
        system: &dyn system::System,
        systems: &[system::Registration],
    ) -> Result<(), PlanError> {
        self.check_settings(&system.manifest())?;
        self.check_faults(system)?;
        self.check_membership(system, systems)
    }

    /// Whether the plan can be run with the system, and the system says something about what it shows.
    pub fn is_offered_by(&self, system: &dyn system::System) -> bool {
        self.check_offered(system, &[]).is_ok()
    }

    fn check_offered(
        &self,
        system: &dyn system::System,
        systems: &[system::Registration],
    ) -> Result<(), PlanError> {
        self.check_for(system, systems)?;
        // What faults that it names go beyond is claimed all the same: a run weighs them.
        let manifest = system.manifest_under(&self.nemeses);
        self.check_claims(&manifest)?;
        self.check_losses(&manifest)
    }

    /// What is to be lost must be claimed, shown by what clients do, and in danger.
    fn check_losses(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let shown = self.workload().guarantees();
        let is_claimed = |guarantee: &Guarantee| {
            manifest.claim(*guarantee, self.replica_reads_percent > 0) == system::Claim::Holds
        };
        let claimed: Vec<&str> = shown
            .iter()
            .filter(|guarantee| is_claimed(guarantee))
            .map(|guarantee| guarantee.name())
            .collect();
        for guarantee in &self.allowed_losses {
            if !claimed.contains(&guarantee.name()) {
                return Err(self.refused(format!(
                    "allowed-losses has {guarantee}, which {} does not claim here, or the workload `{}` does not \
                     show; there are {}",
                    manifest.name,
                    self.workload,
                    claimed.join(", ")
                )));
            }
        }
        let twice =
            |index: &usize| self.allowed_losses[..*index].contains(&self.allowed_losses[*index]);
        if let Some(index) = (0..self.allowed_losses.len()).find(twice) {
            return Err(self.refused(format!(
                "allowed-losses lists {} twice; once is enough",
                self.allowed_losses[index]
            )));
        }
        if !self.allowed_losses.is_empty() && self.faults.is_empty() {
            return Err(self.refused(
                "allowed-losses is for plans that name faults in [[plan.faults]]: what nemeses draw stays within what \
                 is claimed"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Holds the plan of a real run against what there is, and against what its system says of itself.
    ///
    /// # Errors
    /// As [`Plan::check`].
    pub(crate) fn check_real(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        self.check_settings(manifest)?;
        self.check_claims(manifest)
    }

    /// The error of a plan that asks for what cannot be. The first word of what it says is the setting.
    fn refused(&self, message: String) -> PlanError {
        PlanError::OutOfRange { plan: self.name.clone(), message }
    }

    /// Where the system says nothing about anything that the workload shows, nothing could be checked.
    fn check_claims(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let says = |guarantee: &Guarantee| {
            manifest.claim(*guarantee, self.replica_reads_percent > 0) != system::Claim::Silent
        };
        if self.workload().guarantees().iter().any(says) {
            return Ok(());
        }
        Err(self.refused(format!(
            "nemeses: under {} and with these settings, {} says nothing about what the workload `{}` shows: \
             nothing would be checked",
            self.nemeses.join(", "),
            manifest.name,
            self.workload
        )))
    }

    /// Whether members of the cluster come and go.
    pub fn changes_members(&self) -> bool {
        self.families().iter().any(|name| name == membership::NAME)
    }

    /// The families of the faults of its runs: who plans some, and those of the ones that it names.
    pub fn families(&self) -> Vec<String> {
        let mut families = self.nemeses.clone();
        for scripted in &self.faults {
            let kind = scripted.fault.kind();
            if !families.iter().any(|family| family == kind) {
                families.push(kind.to_owned());
            }
        }
        families
    }

    /// Holds the faults that it names against what there is, and against the system.
    fn check_faults(&self, system: &dyn system::System) -> Result<(), PlanError> {
        let names = system.message_names();
        let spares = if self.changes_members() { membership::SPARES } else { 0 };
        let nodes = self.nodes.iter().max().unwrap_or(&0) + spares;
        for (scripted, number) in self.faults.iter().zip(1..) {
            if let Some((setting, refusal)) = scripted.refusal(self.safety, &names, nodes) {
                let fault = scripted.fault;
                return Err(self.refused(format!(
                    "faults[{number}].{setting}: the fault ({fault}) {refusal}"
                )));
            }
        }
        Ok(())
    }

    /// Where members are to come and go, the system must be able to change them, and have room for the
    /// spare nodes.
    fn check_membership(
        &self,
        system: &dyn system::System,
        systems: &[system::Registration],
    ) -> Result<(), PlanError> {
        if !self.changes_members() {
            return Ok(());
        }
        let name = membership::NAME;
        if system.membership().is_none() {
            let able = systems.iter().filter(|entry| (entry.build)().membership().is_some());
            let able: Vec<&str> = able.map(|entry| entry.name).collect();
            let others = match &able[..] {
                [] => "a system can where its `System::membership` says so".to_owned(),
                able => format!("there are {}", able.join(", ")),
            };
            return Err(self.refused(format!(
                "nemeses: `{name}` is for systems whose members change while they run, which those of \
                 {} do not; {others}",
                system.manifest().name
            )));
        }
        let most = system.manifest().nodes.1.saturating_sub(membership::SPARES);
        if self.nodes.iter().any(|size| *size > most) {
            return Err(self.refused(format!(
                "nodes = {:?} leaves no room for the {} spare nodes of `{name}`; {most} at most",
                self.nodes,
                membership::SPARES
            )));
        }
        Ok(())
    }

    /// Holds all but the members that come and go against what there is, and against the system.
    fn check_settings(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let nemeses: Vec<&str> = nemesis::NEMESES.iter().map(|entry| entry.name).collect();
        let workloads: Vec<&str> = workloads::WORKLOADS.iter().map(|entry| entry.name).collect();
        self.check_name("workload", &self.workload, &workloads)?;
        for name in &self.nemeses {
            self.check_name("nemesis", name, &nemeses)?;
        }
        self.engine.engine(&self.families()).map_err(|error| self.refused(error))?;
        self.check_ranges()?;
        self.check_bounds()?;
        self.check_sizes()?;
        self.check_nodes(manifest)?;
        self.check_pace(manifest)?;
        self.check_ops(manifest)?;
        self.load.check(self.workload(), manifest).map_err(|error| self.refused(error))
    }

    /// How far reads may be behind is for what clients do to show.
    fn check_bounds(&self) -> Result<(), PlanError> {
        let shows = |entry: &&workloads::Registration| {
            entry.workload.guarantees().contains(&Guarantee::BoundedStaleness)
        };
        let setting = match (self.staleness_max, self.versions_behind_max) {
            (Some(_), _) => "staleness-max",
            (None, Some(_)) => "versions-behind-max",
            (None, None) => return Ok(()),
        };
        let able: Vec<&str> =
            workloads::WORKLOADS.iter().filter(shows).map(|entry| entry.name).collect();
        if able.contains(&self.workload.as_str()) {
            return Ok(());
        }
        Err(self.refused(format!(
            "{setting} is for workloads that show how far reads are behind, which `{}` does not; such as workload = \"{}\"",
            self.workload,
            able.join("\", \"")
        )))
    }

    /// The sizes among those listed that no run draws, because the system does not run with so many nodes.
    pub fn sizes_left_out(&self, manifest: &system::Manifest) -> Vec<u32> {
        let (fewest, most) = manifest.nodes;
        self.nodes.iter().copied().filter(|size| !(fewest..=most).contains(size)).collect()
    }

    /// Where nodes and clients are so far from each other, or so busy, that the system cannot be as fast as it
    /// says, it would break what it promises without any mistake.
    fn check_pace(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let farthest = self.regions.iter().flatten().flatten().copied().max().unwrap_or(0);
        let distance = Duration::from_millis(u64::from(farthest));
        // At worst, a word from everyone else comes first.
        let others = self.nodes.iter().max().unwrap_or(&0) + self.clients[1];
        let there_and_back = distance * 2 + self.message_cost * others;
        let failover = manifest.timing.failover;
        if there_and_back * ROUND_TRIPS_A_FAILOVER <= failover {
            return Ok(());
        }
        let setting = if self.message_cost.is_zero() { "regions" } else { "message-cost" };
        let most = failover / ROUND_TRIPS_A_FAILOVER;
        Err(self.refused(format!(
            "{setting}: a message and its answer may take {there_and_back:?} here, and {}, which says that \
             it fails over within {failover:?}, needs them within {most:?}",
            manifest.name
        )))
    }

    /// How far checkers go in its runs.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            states_max: self.states_max,
            search_bytes_max: self.search_bytes_max,
            staleness_max: self.staleness_max,
            versions_behind_max: self.versions_behind_max,
        }
    }

    /// What clients do.
    ///
    /// # Panics
    /// If the plan was not [checked](Plan::check).
    pub fn workload(&self) -> &'static dyn Workload {
        let mut table = workloads::WORKLOADS.iter();
        let entry = table.find(|entry| entry.name == self.workload);
        entry.expect("the plan was checked").workload
    }

    /// Every size must be one to which each nemesis can do something. A run that draws its own nemeses leaves
    /// out those that cannot.
    fn check_sizes(&self) -> Result<(), PlanError> {
        let is_named = |name: &str| {
            !self.swarm && self.nemeses.iter().any(|nemesis| nemesis == name)
                || self.faults.iter().any(|scripted| scripted.fault.kind() == name)
        };
        let idle = nemesis::NEMESES.iter().find(|entry| {
            let fewest = entry.nemesis.fewest_nodes();
            is_named(entry.name) && self.nodes.iter().any(|nodes| *nodes < fewest)
        });
        let Some(entry) = idle else { return Ok(()) };
        Err(self.refused(format!(
            "nodes = {:?} has too few for `{}`, which needs {} or more: say so, or leave out the nemesis",
            self.nodes,
            entry.name,
            entry.nemesis.fewest_nodes()
        )))
    }

    /// Each run draws one of the sizes that the system runs with: there must be one.
    fn check_nodes(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let (fewest, most) = manifest.nodes;
        if self.nodes.iter().any(|size| (fewest..=most).contains(size)) {
            return Ok(());
        }
        let message = format!(
            "nodes = {:?} has no size that {} runs with: {fewest} to {most}",
            self.nodes, manifest.name
        );
        Err(self.refused(message))
    }

    /// Of the workload's operations, the system must offer some.
    fn check_ops(&self, manifest: &system::Manifest) -> Result<(), PlanError> {
        let mix = self.workload().mix();
        // Where something is to be changed, reads alone would read nothing.
        let changes = mix.iter().any(|share| share.kind.writes());
        let mut offered = mix.iter().filter(|share| manifest.ops.contains(&share.kind));
        if offered.any(|share| share.kind.writes() || !changes) {
            return Ok(());
        }
        let message = format!(
            "workload = \"{}\" does nothing that {} offers, or only reads there",
            self.workload, manifest.name
        );
        Err(self.refused(message))
    }

    fn check_name(&self, what: &'static str, name: &str, known: &[&str]) -> Result<(), PlanError> {
        if known.contains(&name) {
            return Ok(());
        }
        Err(PlanError::UnknownName {
            plan: self.name.clone(),
            what,
            name: name.to_owned(),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    fn check_regions(&self) -> Result<(), String> {
        match &self.regions {
            Some(regions) if regions.is_empty() => {
                Err("regions = [] has none; leave it out, or list some".to_owned())
            }
            Some(regions) => config::check_regions(regions),
            None => Ok(()),
        }
    }

    /// Whether its name is one that rows, folders and functions can carry.
    fn has_name(&self) -> bool {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=64).contains(&self.name.len())
            && !self.name.starts_with('-')
            && self.name.bytes().all(is_letter)
    }

    fn check_ranges(&self) -> Result<(), PlanError> {
        let second = Duration::from_secs(1);
        let hour = Duration::from_secs(3600);
        let range_ok = |[low, high]: [u32; 2], most| 1 <= low && low <= high && high <= most;
        let regions = self.check_regions();
        let rules: [(bool, String); 13] = [
            (self.has_name(), NAMES.to_owned()),
            (
                (1..self.nemeses.len())
                    .all(|index| !self.nemeses[index..].contains(&self.nemeses[index - 1])),
                "nemeses lists one twice".to_owned(),
            ),
            (
                !self.nodes.is_empty() && self.nodes.iter().all(|n| (1..=9).contains(n)),
                format!("nodes = {:?} must list sizes from 1 to 9", self.nodes),
            ),
            (
                range_ok(self.clients, 100),
                format!("clients = {:?} must be a range within [1, 100]", self.clients),
            ),
            (
                range_ok(self.keys, 10_000),
                format!("keys = {:?} must be a range within [1, 10000]", self.keys),
            ),
            (
                self.replica_reads_percent <= 100,
                format!("replica-reads-percent = {} is over 100", self.replica_reads_percent),
            ),
            (
                (second..=hour).contains(&self.safety),
                format!("safety = {} must lie between 1s and 1h", format_duration(self.safety)),
            ),
            (
                (second..=hour).contains(&self.liveness),
                format!("liveness = {} must lie between 1s and 1h", format_duration(self.liveness)),
            ),
            (
                self.canary_runs > 0,
                "canary-runs = 0 would ask for a witness before any run".to_owned(),
            ),
            (regions.is_ok(), regions.err().unwrap_or_default()),
            (
                self.message_cost <= second,
                format!("message-cost = {:?} must be a second at most", self.message_cost),
            ),
            (self.states_max > 0, "states-max = 0 would judge nothing".to_owned()),
            (self.search_bytes_max > 0, "search-bytes-max = 0 would judge nothing".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, message)) => Err(self.refused(message)),
        }
    }
}

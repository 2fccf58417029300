//! One seed, from start to verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use checkers::checker::CHECKERS;
use checkers::history::{FaultId, NodeId, Time};
use checkers::{Anomaly, Facts, Guarantee, History, Verdict, Witness};
use serde::{Deserialize, Serialize};
use workloads::Workload;

use crate::available;
use crate::budget::{self, Beyond};
use crate::config::{self, Config};
use crate::external;
use crate::isolated;
use crate::nemesis::{self, Planned, Schedule};
use crate::plan::Plan;
use crate::play::{Played, Script, play};
use crate::seed::Seed;
use crate::sim::{Failure, NOT_WHOLE};
use crate::system::{Claim, Manifest, System};
use crate::tape::Tape;
use crate::trace::Trace;
use crate::why::Why;

/// Runs one seed of a plan.
///
/// Pure: the same system, plan, seed and options give the same report, byte for byte.
///
/// # Panics
/// If the plan was not [checked](Plan::check), or the system wants a [process](System::program) that does not come
/// to a report.
pub fn run(system: &Arc<dyn System>, plan: &Plan, seed: Seed, options: Options) -> Report {
    match system.program() {
        Some(program) => isolated::run(&program, plan, seed, options),
        None => here(system, plan, seed, options),
    }
}

/// The same in this process, whatever the system wants.
pub(crate) fn here(system: &Arc<dyn System>, plan: &Plan, seed: Seed, options: Options) -> Report {
    let manifest = system.manifest_under(&plan.families());
    let draw = || {
        let drawn = Config::draw(plan, &manifest, seed);
        Config { core: drawn.core && system.majority_suffices(drawn.all_nodes()), ..drawn }
    };
    let Options { trace, config, schedule, calls, keeps_calls } = options;
    let config = config.unwrap_or_else(draw);
    let schedule =
        schedule.unwrap_or_else(|| nemesis::plan(plan, &config, seed, manifest.timing.failover));
    let workload = plan.workload();

    let script = calls.as_ref().map_or(Script::Drawn { keeps: keeps_calls }, Script::Written);
    let played = play(system, (&config, &schedule), workload, script, seed, trace);

    let mut report = report(played, (plan, seed), (config, schedule), &manifest);
    budget::weigh(&mut report, &**system);
    report
}

/// Judges what was played.
pub(crate) fn report(
    played: Played,
    (plan, seed): (&Plan, Seed),
    (config, schedule): (Config, Schedule),
    manifest: &Manifest,
) -> Report {
    let fingerprint = Fingerprint::of(&played.history);
    let mut judged = judge(&played, plan.workload(), manifest, plan);
    let mut vacuous = played.vacuous;
    if plan.swarm {
        judged.retain(|judged| !has_nothing_of(judged));
        let effective = schedule.0.is_empty() || played.effects.iter().any(Effect::took_effect);
        vacuous.extend((!effective).then(|| "no fault had any effect in the whole run".to_owned()));
    } else {
        vacuous.extend(nemeses_without_effect(plan, &schedule, &played.effects));
        vacuous.extend(script_without_effect(&schedule, &played.effects));
    }
    vacuous.extend(played.nonsense);
    Report {
        facts: Facts::of(&played.history),
        plan: plan.clone(),
        seed,
        config,
        schedule,
        history: played.history,
        fingerprint,
        judged,
        effects: played.effects,
        vacuous,
        counts: played.counts,
        marks: played.marks,
        whims: played.whims,
        trace: played.trace,
        calls: played.calls,
        programs: BTreeMap::new(),
        why: None,
    }
}

/// Holds the history against every guarantee that the workload can show.
fn judge(
    played: &Played,
    workload: &dyn Workload,
    manifest: &Manifest,
    plan: &Plan,
) -> Vec<Judged> {
    let limits = plan.limits();
    let mut judged = Vec::new();
    for entry in CHECKERS {
        let guarantee = entry.guarantee;
        let is_asked = guarantee != Guarantee::BoundedStaleness || limits.bounds_staleness();
        if !workload.guarantees().contains(&guarantee) || !is_asked {
            continue;
        }
        let mut verdict = (entry.build)(&limits).check(&played.history);
        if guarantee == Guarantee::Live {
            // Of processes, nobody knows more than that they run.
            if plan.system != external::SYSTEM {
                verdict = with_standing(verdict, &played.standing);
            }
            verdict = with_failures(verdict, played);
        }
        let claim = manifest.claim(guarantee, plan.replica_reads_percent > 0);
        judged.push(Judged { guarantee, claim, verdict, beyond: Vec::new() });
    }
    let guarantee = Guarantee::Available;
    if workload.guarantees().contains(&guarantee) {
        let verdict = available::judge(played, manifest.timing);
        let claim = manifest.claim(guarantee, false);
        judged.extend(verdict.map(|verdict| Judged {
            guarantee,
            claim,
            verdict,
            beyond: Vec::new(),
        }));
    }
    judged
}

/// Adds to what makes no progress how everybody stands.
fn with_standing(verdict: Verdict, standing: &[String]) -> Verdict {
    let Verdict::Invalid { mut anomalies, coverage } = verdict else { return verdict };
    for anomaly in &mut anomalies {
        anomaly.explanation.push(format!("in the end, {}", standing.join("; ")));
    }
    Verdict::Invalid { anomalies, coverage }
}

/// Adds what nodes did wrong by themselves: no history shows it, but no cluster lives with it.
fn with_failures(verdict: Verdict, played: &Played) -> Verdict {
    let mut anomalies: Vec<Anomaly> = Vec::new();
    for (at, node, failure) in &played.failures {
        let (name, words) = match failure {
            Failure::Panic(words) => ("node-panic", format!("panicked: {words}")),
            Failure::Stopped(words) => ("node-stopped", format!("dropped out: {words}")),
            Failure::Livelock => ("livelock", "kept running without waiting for time".to_owned()),
            Failure::Silent(lasted) => {
                let lasted = humantime::format_duration(*lasted);
                (
                    "node-silent",
                    format!(
                        "had not answered for {lasted}, though it ran and all faults were over"
                    ),
                )
            }
        };
        anomalies.push(of_a_node(name, *at, format!("at {at} node n{node} {words}")));
    }
    if played.flooded {
        let at = Time::from_nanos(played.counts.simulated_ns);
        let words =
            format!("{} messages were sent by {at}, and no end in sight", played.counts.sent);
        anomalies.push(of_a_node("message-flood", at, words));
    }
    if anomalies.is_empty() {
        return verdict;
    }
    anomalies.extend(verdict.anomalies().iter().cloned());
    Verdict::Invalid { anomalies, coverage: verdict.coverage().clone() }
}

fn of_a_node(name: &str, at: Time, words: String) -> Anomaly {
    Anomaly {
        name: name.to_owned(),
        guarantee: Guarantee::Live,
        at,
        key: None,
        witness: Witness::default(),
        contrast: None,
        explanation: vec![words],
    }
}

/// Whether a history has nothing in it that a guarantee is about. Where every run draws what clients do, some
/// have not: such a run is then none of those in which the guarantee was judged. Some guarantees are about
/// everything that clients do: where nothing could be judged of these, it is for another reason.
fn has_nothing_of(judged: &Judged) -> bool {
    let is_about_all = matches!(
        judged.guarantee,
        Guarantee::Linearizable | Guarantee::Causal | Guarantee::Convergent | Guarantee::Live
    );
    let says_nothing =
        matches!(&judged.verdict, Verdict::Unknown { coverage, .. } if coverage.operations == 0);
    says_nothing && !is_about_all
}

/// Why a run proves nothing whose plan names faults of which none had any effect.
fn script_without_effect(schedule: &Schedule, effects: &[Effect]) -> Option<String> {
    let mut named = schedule.0.iter().filter(|planned| planned.scripted).peekable();
    named.peek()?;
    let did_something =
        |planned: &Planned| effects.get(planned.id.index()).is_some_and(Effect::took_effect);
    let none = !named.any(did_something);
    none.then(|| "no fault that the plan names had any effect".to_owned())
}

/// A nemesis of the plan that had no effect in the whole run tested nothing; but where another one had taken a disk, and each
/// fault of it waited for that to come back, it is the other one that did. Of many runs, a campaign says whether any had an
/// effect.
fn nemeses_without_effect(plan: &Plan, schedule: &Schedule, effects: &[Effect]) -> Vec<String> {
    let of = |kind: &str| {
        let planned = schedule.0.iter().filter(|planned| planned.fault.kind() == kind);
        planned.filter_map(|planned| effects.get(planned.id.index())).collect::<Vec<_>>()
    };
    let effective = |kind: &str| {
        let effects = of(kind);
        let waited = |effect: &&Effect| effect.what.ends_with(NOT_WHOLE);
        effects.iter().any(|effect| effect.took_effect())
            || !effects.is_empty() && effects.iter().all(waited)
    };
    let idle = plan.nemeses.iter().filter(|name| !effective(name));
    let words = |name: &String| match of(name).as_slice() {
        [] => format!(
            "the run has no fault of the nemesis `{name}`: in the `safety` of a plan, each of its nemeses \
             first needs time for one to itself"
        ),
        _ => format!("the nemesis `{name}` had no effect in the whole run"),
    };
    idle.map(words).collect()
}

/// How a run departs from what its plan and seed say. The default: not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// Record every message, restart and disk loss. The history stays the same.
    pub trace: bool,
    /// Take this configuration instead of drawing one: a stored run brings its own.
    pub config: Option<Config>,
    /// Apply these faults instead of planning some.
    pub schedule: Option<Schedule>,
    /// Let clients ask for this instead of what their workload draws.
    pub calls: Option<Tape>,
    /// Whether what clients ask for is to be kept; where it is given, it is.
    pub keeps_calls: bool,
}

impl Options {
    /// Those of a run that is played from its data alone.
    pub fn of_data(config: &Config, schedule: &Schedule, calls: Option<&Tape>) -> Options {
        Options {
            config: Some(config.clone()),
            schedule: Some(schedule.clone()),
            calls: calls.cloned(),
            ..Options::default()
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The plan.
    pub plan: Plan,
    /// The seed.
    pub seed: Seed,
    /// All that the seed decided beforehand.
    pub config: Config,
    /// The faults.
    pub schedule: Schedule,
    /// What clients asked and learned, with the faults between.
    pub history: History,
    /// The hash of the history, to compare replays.
    pub fingerprint: Fingerprint,
    /// The verdict on each guarantee, in the order of reports.
    pub judged: Vec<Judged>,
    /// What the history says beyond verdicts.
    pub facts: Facts,
    /// What each fault did to the world, in the order of the schedule.
    pub effects: Vec<Effect>,
    /// Why the run proves nothing, if it does not; a sentence each.
    pub vacuous: Vec<String>,
    /// What there was of everything.
    pub counts: Counts,
    /// How often nodes got into rare states.
    pub marks: BTreeMap<String, u64>,
    /// How often they did for no reason what they may do at any time.
    pub whims: BTreeMap<String, u64>,
    /// Everything that happened, where it was asked for.
    pub trace: Option<Trace>,
    /// What clients asked, where that was given or to be kept.
    pub calls: Option<Tape>,
    /// The version of each program that ran, where nodes were processes.
    pub programs: BTreeMap<String, String>,
    /// Why it fails, where that was looked into since.
    pub why: Option<Why>,
}

/// The verdict on one guarantee.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// What the system says about it.
    pub claim: Claim,
    /// What the checker says.
    pub verdict: Verdict,
    /// The faults that go beyond what the claim is made for, where it is [waived](Claim::Waived).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Beyond>,
}

impl Judged {
    /// Whether a claim was broken that is not made for the faults of the run.
    pub fn is_allowed_loss(&self) -> bool {
        self.claim == Claim::Waived && self.verdict.is_invalid()
    }
}

/// What a run as a whole comes to: invalid outranks unknown outranks valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Every claimed guarantee was judged and held, and the run tested something.
    Valid,
    /// A claimed guarantee was broken, and by its claim it may be: its plan names faults beyond what that is made for. All
    /// others held.
    AllowedLoss,
    /// Something claimed could not be judged, or the run proves nothing.
    Unknown,
    /// A claimed guarantee was broken.
    Invalid,
}

/// What a fault did to the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The fault.
    pub fault: FaultId,
    /// What it did, resolved: `n1 | n2 n3`. Nothing where it could not be applied.
    pub what: String,
    /// Messages that it kept from being delivered.
    pub dropped: u64,
    /// Messages that it made late.
    #[serde(default)]
    pub delayed: u64,
    /// Copies of messages that it let arrive besides.
    #[serde(default)]
    pub copied: u64,
    /// How often it cut its links, where it did so in turns.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub flapped: u32,
    /// Readings of clocks that it falsified.
    #[serde(default)]
    pub misread: u64,
    /// Starts of nodes that it undid.
    pub stopped: u32,
    /// Bytes that it lost: those written but not synced, or all of a disk.
    pub lost_bytes: u64,
    /// The nodes that were without what their disks had held, all at once, when it had taken the most: it had wiped
    /// these, or damaged them so that their nodes noticed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks_lost: Vec<NodeId>,
    /// How many members there were then, these among them; 0 where it took no disk.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub members: u32,
    /// Virtual nanoseconds for which it kept nodes from running, over all of them.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub halted_ns: u64,
    /// Changes of the members that were agreed on while it lasted.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub changed: u32,
    /// What it did to disks.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub disk: DiskEffect,
    /// Operations that ended `ok` while it lasted.
    pub ok_during: u64,
}

/// What a fault did to disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskEffect {
    /// Syncs that it made slow.
    pub slow_syncs: u64,
    /// Reads, writes and syncs that it made fail.
    pub errors: u64,
    /// Bits that it flipped.
    pub flipped_bits: u64,
    /// Syncs that said they had made last what they had not.
    pub lies: u64,
    /// Bytes that it lost, but for those that a loss of power took.
    pub lost_bytes: u64,
}

impl DiskEffect {
    /// Adds what was done to another disk.
    pub(crate) fn add(&mut self, other: &DiskEffect) {
        let DiskEffect { slow_syncs, errors, flipped_bits, lies, lost_bytes } = other;
        self.slow_syncs += slow_syncs;
        self.errors += errors;
        self.flipped_bits += flipped_bits;
        self.lies += lies;
        self.lost_bytes += lost_bytes;
    }
}

impl Effect {
    /// The effect of a fault that has done nothing so far.
    pub(crate) fn none(fault: FaultId) -> Effect {
        let what = String::new();
        Effect {
            fault,
            what,
            dropped: 0,
            delayed: 0,
            copied: 0,
            flapped: 0,
            misread: 0,
            stopped: 0,
            lost_bytes: 0,
            disks_lost: Vec::new(),
            members: 0,
            halted_ns: 0,
            changed: 0,
            disk: DiskEffect::default(),
            ok_during: 0,
        }
    }

    /// Whether the world was any different for it.
    pub fn took_effect(&self) -> bool {
        let Effect { dropped, delayed, copied, misread, stopped, changed, disk, .. } = *self;
        let counts = [dropped, delayed, copied, misread, stopped.into(), changed.into()];
        counts.iter().any(|count| *count > 0) || disk != DiskEffect::default()
    }
}

/// What there was of everything in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Operations that took effect.
    pub ok: u64,
    /// Operations that certainly did not.
    pub fail: u64,
    /// Operations of which that is not known.
    pub info: u64,
    /// Operations that clients of the workload began; all but final reads.
    #[serde(default)]
    pub begun: u64,
    /// Messages that nodes and clients sent.
    pub sent: u64,
    /// Messages that were not delivered.
    pub dropped: u64,
    /// Virtual nanoseconds.
    pub simulated_ns: u64,
}

impl Counts {
    /// Operations in all.
    pub fn operations(&self) -> u64 {
        self.ok + self.fail + self.info
    }
}

/// The hash of a history: equal histories have equal ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of a history.
    pub fn of(history: &History) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        checkers::history::jsonl::write(history, &mut hasher)
            .expect("a hasher takes whatever is written to it");
        Fingerprint(hasher.finalize().to_hex()[..32].to_owned())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Report {
    /// What the run as a whole comes to.
    pub fn conclusion(&self) -> Conclusion {
        let claimed = || self.judged.iter().filter(|judged| judged.claim == Claim::Holds);
        let is_lossy = self.judged.iter().any(Judged::is_allowed_loss);
        // Where nothing is claimed any more, the loss is all that such a run is to show.
        let tells = self.vacuous.is_empty() || is_lossy && claimed().next().is_none();
        if claimed().any(|judged| judged.verdict.is_invalid()) {
            Conclusion::Invalid
        } else if !tells || !claimed().all(|judged| judged.verdict.is_valid()) {
            Conclusion::Unknown
        } else if is_lossy {
            Conclusion::AllowedLoss
        } else {
            Conclusion::Valid
        }
    }
}

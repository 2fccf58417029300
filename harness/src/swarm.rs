//! Swarm testing: runs that differ in everything in which runs of a plan can differ.
//!
//! A run that leaves some features out gets further with the others: where every run has every fault, each
//! of them hides what only the others would have shown, and no counter of a busy cluster overflows in one
//! that is restarted all the time. So each run draws which of the plan's nemeses plan faults, and how often
//! each of them does; which kinds of operations there are, and how often; how many clients do how much, and
//! on which keys; how slow links and disks are; and how long it all lasts. What goes over several orders of
//! magnitude is drawn on a logarithmic scale, so that each of them comes up as often as the others.
//!
//! After A. Groce et al., "Swarm Testing", ISSTA 2012.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::OpKind;
use workloads::{Skew, Workload};

use crate::config::Config;
use crate::nemesis::{self, NEMESES};
use crate::plan::Plan;
use crate::rhythm::Pace;
use crate::seed::{Ratio, Seed, Stream};
use crate::system::Manifest;

/// The chance of what is on or off.
const EVEN: Ratio = Ratio::new(1, 2);
/// The chance of a kind of operations that a run can do without.
const LEFT_OUT: Ratio = Ratio::new(1, 4);
/// The chance of an open loop.
const OPEN: Ratio = Ratio::new(1, 3);
/// The least that is drawn for the greatest length of values, in bytes.
const SHORT: u64 = 16;
/// The chance of values that are no numbers.
const SIZED: Ratio = Ratio::new(1, 4);
/// The least and the greatest weight of a kind of operations.
const WEIGHTS: [u64; 2] = [1, 100];
/// A kind of operations that a workload cannot do without has at least one in so many of the weights drawn.
const RAREST: u32 = 16;
/// How many operations all clients do on a set of keys, where they are more than a few each.
const ON_A_KEY_SET: u64 = 800;
/// The longest that faults may last, in any run.
const LONGEST: Duration = Duration::from_secs(3600);
/// Of how many equal parts a run of medium length consists, and the longest.
const PARTS: [u32; 2] = [4, 16];

/// Lets a drawn configuration differ from others in everything that a plan leaves open, by a stream of
/// its own.
pub(crate) fn vary(config: Config, plan: &Plan, manifest: &Manifest, seed: Seed) -> Config {
    let mut stream = seed.stream("swarm");
    let millis = |stream: &mut Stream, least, most| {
        Duration::from_millis(logarithmic(stream, [least, most]))
    };
    let nemeses = nemeses(plan, config.nodes, &mut stream);
    let failover = manifest.timing.failover;
    let clients = logarithmic(&mut stream, plan.clients.map(u64::from)) as u32;
    let config = Config {
        clients,
        pinned: stream.between(0, clients.into()) as u32,
        keys: logarithmic(&mut stream, plan.keys.map(u64::from)) as u32,
        skew: *stream.pick(&Skew::ALL).expect("there are some"),
        operations_a_key_set: operations_a_key_set(clients, &mut stream),
        mix: mix(plan.workload(), manifest, &mut stream),
        think_max: millis(&mut stream, 2, 1000),
        pace: if stream.chance(EVEN) { Pace::Steady } else { Pace::Closed },
        latency_max: config.latency_max.min(config.tick.max(millis(&mut stream, 1, 50))),
        sync_max: millis(&mut stream, 1, 16) - Duration::from_millis(1),
        safety: length(plan, nemeses.len() as u32, failover, &mut stream),
        core: stream.chance(EVEN) && config.nodes > 2,
        whims: stream.chance(EVEN),
        nemeses: Some(nemeses),
        ..config
    };
    let is_open = stream.chance(OPEN);
    let is_sized = stream.chance(SIZED);
    let value_bytes = [0, logarithmic(&mut stream, [SHORT, longest(plan.workload())]) as u32];
    let is_sized = is_sized && plan.workload().value_bytes_max() > 0;
    Config {
        pace: if is_open { Pace::Open } else { config.pace },
        value_bytes: if is_sized { value_bytes } else { config.value_bytes },
        ..config
    }
}

/// The greatest length of values. Where many are read together, whoever changes one of them may copy all.
fn longest(workload: &dyn Workload) -> u64 {
    match u64::from(workload.value_bytes_max()) {
        alone @ 4096.. => alone / 4,
        _ => 2 * SHORT,
    }
}

/// Who plans faults, and the longest pause between two of one's faults: some of the plan's, one at least
/// where any of them can do something to so many nodes.
fn nemeses(plan: &Plan, nodes: u32, stream: &mut Stream) -> BTreeMap<String, Duration> {
    let able = |entry: &&nemesis::Registration| {
        plan.nemeses.iter().any(|name| name == entry.name) && entry.nemesis.fewest_nodes() <= nodes
    };
    let able: Vec<&str> = NEMESES.iter().filter(able).map(|entry| entry.name).collect();
    let one = stream.pick(&able).copied();
    let mut drawn = BTreeMap::new();
    for name in able {
        // Each draws as much as any other, whatever becomes of it.
        let (is_on, pause) = (stream.chance(EVEN), logarithmic(stream, [500, 8000]));
        if is_on || one == Some(name) {
            drawn.insert(name.to_owned(), Duration::from_millis(pause));
        }
    }
    drawn
}

/// How many operations a client does before it moves on to the next set of keys. Sets and lists are read
/// whole, so that one that all of many clients added to for long would cost the square of its length.
fn operations_a_key_set(clients: u32, stream: &mut Stream) -> u32 {
    let most = (ON_A_KEY_SET / u64::from(clients)).clamp(10, 200);
    logarithmic(stream, [10, most]) as u32
}

/// Which kinds of operations there are, and how often: of those that a workload cannot do without, enough for a
/// short run to tell something.
fn mix(workload: &dyn Workload, manifest: &Manifest, stream: &mut Stream) -> BTreeMap<OpKind, u32> {
    let offered = || workload.mix().iter().filter(|share| manifest.ops.contains(&share.kind));
    let (mut mix, mut left_out) = (BTreeMap::new(), BTreeMap::new());
    for share in offered() {
        let (is_left_out, weight) = (stream.chance(LEFT_OUT), logarithmic(stream, WEIGHTS));
        let of = if is_left_out && share.optional { &mut left_out } else { &mut mix };
        of.insert(share.kind, weight as u32);
    }
    let enough = mix.values().sum::<u32>().div_ceil(RAREST);
    for share in offered().filter(|share| !share.optional) {
        mix.entry(share.kind).and_modify(|weight| *weight = enough.max(*weight));
    }
    // A system may offer nothing but what others can do without.
    if mix.is_empty() { left_out } else { mix }
}

/// How long faults last in all: geometrically distributed around what the plan says, and long enough for
/// each nemesis to have a fault to itself.
fn length(plan: &Plan, nemeses: u32, failover: Duration, stream: &mut Stream) -> Duration {
    let [medium, most] = PARTS;
    let goes_on = Ratio::new(medium - 1, medium);
    // Each run draws as often, so that what comes after it stays what it is.
    let draws: Vec<bool> = (1..most).map(|_| stream.chance(goes_on)).collect();
    let parts = 1 + draws.iter().take_while(|goes_on| **goes_on).count() as u32;
    let drawn = plan.safety / medium * parts;
    drawn.max(failover * (2 + 2 * nemeses)).clamp(Duration::from_secs(1), LONGEST)
}

/// A number within a range, each order of magnitude as often as any other: the logarithm to the base of 2
/// first, then the rest evenly.
pub(crate) fn logarithmic(stream: &mut Stream, [least, most]: [u64; 2]) -> u64 {
    let [low, high] = [least, most].map(|number| u64::from((number + 1).ilog2()));
    let magnitude = stream.between(low, high);
    let from = ((1 << magnitude) - 1).max(least);
    let to = ((1 << (magnitude + 1)) - 2).min(most);
    stream.between(from, to)
}

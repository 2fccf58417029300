//! What a plan says of the operations of clients, where its runs are not to draw that.

use std::collections::BTreeMap;

use checkers::history::OpKind;
use serde::{Deserialize, Serialize};
use workloads::{Share, Skew, Workload};

use crate::config::{self, Config};
use crate::rhythm::{Pace, longest_pause};
use crate::seed::Stream;
use crate::swarm;
use crate::system::Manifest;

/// The highest rate of all clients together.
const RATE_MAX: u32 = 100_000;
/// The most operations of a client on a set of keys.
const OPERATIONS_MAX: u32 = 1_000_000;
/// The fewest bytes of a value. Each is to be another one, and so long is the number of the last one at the highest rate,
/// with a sign that says that it is a text.
const VALUE_BYTES_MIN: u32 = 10;
/// The greatest weight of a kind of operations.
const WEIGHT_MAX: u32 = 1000;

/// What clients do in particular. What is left out is drawn; a range `[5, 10]` includes both ends, and each run draws
/// from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// What the beginning of each operation hangs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// How many operations all clients together begin in a second, as far as they are answered in time; a range.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "range_if_any")]
    pub rate: Option<[u32; 2]>,
    /// Which kinds of operations there are, and how often each of them is done, in proportion to the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mix: BTreeMap<OpKind, u32>,
    /// How often each of the keys in use is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
    /// How many operations a client does before it moves on to the next set of keys; a range.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "range_if_any")]
    pub operations_a_key_set: Option<[u32; 2]>,
    /// How many bytes a value that is written has; a range, from which each value is drawn. Without it, values are
    /// numbers.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "range_if_any")]
    pub value_bytes: Option<[u32; 2]>,
}

fn range_if_any<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<[u32; 2]>, D::Error> {
    crate::plan::range(deserializer).map(Some)
}

/// A number of a range. Of one that spans an order of magnitude or more, each of these comes up as often as the others;
/// evenly drawn, low ones would hardly ever come.
fn within(range: [u64; 2], stream: &mut Stream) -> u64 {
    let [low, high] = range;
    if low > 0 && high / low >= 10 {
        swarm::logarithmic(stream, range)
    } else {
        stream.between(low, high)
    }
}

impl Load {
    /// A configuration that was drawn, with what is said here in the place of what was drawn.
    pub(crate) fn put_into(&self, config: Config, stream: &mut Stream) -> Config {
        let mut draw = |range: Option<[u32; 2]>, drawn| {
            range.map_or(drawn, |range| within(range.map(u64::from), stream) as u32)
        };
        let rate = self.rate.map(|_| draw(self.rate, 0));
        let think_max = rate.map(|rate| longest_pause(config.clients, rate));
        Config {
            pace: self.pace.unwrap_or(config.pace),
            think_max: think_max.unwrap_or(config.think_max),
            mix: if self.mix.is_empty() { config.mix } else { self.mix.clone() },
            skew: self.skew.unwrap_or(config.skew),
            operations_a_key_set: draw(self.operations_a_key_set, config.operations_a_key_set),
            value_bytes: self.value_bytes.unwrap_or(config.value_bytes),
            ..config
        }
    }

    /// Holds it against what clients can be told.
    ///
    /// # Errors
    /// Names the first setting that is wrong, and what would have been right.
    pub(crate) fn check(&self, workload: &dyn Workload, manifest: &Manifest) -> Result<(), String> {
        if self.value_bytes.is_some() && workload.value_bytes_max() == 0 {
            return Err("load.value-bytes is for workloads that write values, which this does not"
                .to_owned());
        }
        let ranges = [
            ("rate", self.rate, 1, RATE_MAX),
            ("operations-a-key-set", self.operations_a_key_set, 1, OPERATIONS_MAX),
            ("value-bytes", self.value_bytes, VALUE_BYTES_MIN, workload.value_bytes_max()),
        ];
        for (name, range, least, most) in ranges {
            if range.is_some_and(|[low, high]| low < least || high < low || most < high) {
                let range = range.unwrap_or_default();
                return Err(format!(
                    "load.{name} = {range:?} must be a range within [{least}, {most}]"
                ));
            }
        }
        self.check_mix(workload, manifest)
    }

    fn check_mix(&self, workload: &dyn Workload, manifest: &Manifest) -> Result<(), String> {
        let all = workload.mix();
        let offered = |share: &&Share| manifest.ops.contains(&share.kind);
        let known: Vec<String> =
            all.iter().filter(offered).map(|share| share.kind.to_string()).collect();
        let known = known.join(", ");
        for (kind, weight) in &self.mix {
            if !all.iter().filter(offered).any(|share| share.kind == *kind) {
                return Err(format!("load.mix has {kind}, and here clients do {known}"));
            }
            if !(1..=WEIGHT_MAX).contains(weight) {
                return Err(format!(
                    "load.mix has {kind} {weight} times, and has to have it 1 to {WEIGHT_MAX} times"
                ));
            }
        }
        let reads_alone = !self.mix.is_empty() && !self.mix.keys().any(|kind| kind.writes());
        if reads_alone && all.iter().any(|share| share.kind.writes()) {
            return Err(format!(
                "load.mix changes nothing that could be read; here clients do {known}"
            ));
        }
        Ok(())
    }

    /// Whether all is drawn.
    pub(crate) fn is_empty(&self) -> bool {
        config::is_usual(self)
    }
}

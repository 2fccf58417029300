//! Workloads: a generator for each client, and the guarantees to judge the outcome by.

use std::collections::BTreeMap;
use std::fmt;

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Outcome, ReadLevel, Value};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

mod append;
mod bank;
mod counter;
mod echo;
mod log;
mod long_fork;
mod queue;
mod register;
mod set;
mod unique_ids;

/// What clients do, and what it is judged by.
pub trait Workload: Sync {
    /// Makes what one client does, of `options.clients`.
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator>;

    /// What is done once, by itself, before any client begins.
    fn opening(&self, _options: &Options) -> Option<Op> {
        None
    }

    /// The kinds of operations that it does, and how often; those that a system does not offer are left
    /// out.
    fn mix(&self) -> &'static [Share];

    /// The guarantees that a history of this workload can show to hold or to break.
    fn guarantees(&self) -> &'static [Guarantee];

    /// The kinds of operations that put something there which others can see, where the others show nothing by themselves: of
    /// an empty queue, whatever is taken out is nothing.
    fn fills(&self) -> &'static [OpKind] {
        &[]
    }

    /// The kinds of operations of which some must have succeeded before a run proves anything. What
    /// may be left out altogether is rare enough that a short run may have none. Where a mix has none of those that
    /// [fill](Self::fills) what others look at, the first of them is wanted as well: such a run proves nothing.
    fn kinds(&self, options: &Options) -> Vec<OpKind> {
        let is_asked = |kind: &OpKind| options.mix.contains_key(kind);
        let needed = |share: &&Share| share.least > 0 && is_asked(&share.kind);
        let mut kinds: Vec<OpKind> =
            self.mix().iter().filter(needed).map(|share| share.kind).collect();
        if !self.fills().iter().any(is_asked) {
            kinds.extend(self.fills().first());
        }
        kinds
    }

    /// How many bytes a value that clients write may have; none where that is not theirs to say. Where many values are
    /// read at once, fewer.
    fn value_bytes_max(&self) -> u32 {
        1024
    }

    /// What every node is asked about a key at the end, when the replicas have had time to converge.
    fn final_reads(&self, key: Key) -> Vec<Op> {
        vec![Op::Read { key, level: ReadLevel::Replica }]
    }
}

/// How often a kind of operation is done: each run draws a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The kind.
    pub kind: OpKind,
    /// The least weight.
    pub least: u32,
    /// The greatest.
    pub most: u32,
    /// Whether the workload shows what it is to show without them, too.
    pub optional: bool,
}

/// What one client does.
pub trait Generator {
    /// The client's next operation: of one of the kinds that are wanted, where any are and one can be had now.
    fn next(&mut self, wanted: &[OpKind]) -> Op;

    /// What became of the operation before. Operations that were drawn and of which nothing is learned
    /// were never begun. One who draws the same whatever became of it does not override this.
    fn learn(&mut self, op: &Op, outcome: &Outcome) {
        let _ = (op, outcome);
    }
}

/// A step of a transaction.
fn step(name: &str, key: u32, value: Value) -> Value {
    Value::List([Value::Text(name.into()), Value::Int(key.into()), value].into())
}

/// Steps that take effect at once, over the keys of `store`.
fn txn(store: &str, steps: impl Iterator<Item = Value>) -> Op {
    Op::Txn { key: Key::from(store), body: Value::List(steps.collect()) }
}

/// What a run decides for its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many clients there are.
    pub clients: u32,
    /// How many keys are in use at a time.
    pub keys: u32,
    /// How many operations a client does before it moves on to the next set of keys.
    pub operations_a_key_set: u32,
    /// Weights of the kinds of operations; none of them is 0.
    pub mix: BTreeMap<OpKind, u32>,
    /// Of 100 reads, how many are replica reads.
    pub replica_reads_percent: u32,
    /// How often each of the keys is taken.
    pub skew: Skew,
    /// The fewest and the most bytes of a value that is written, or one more than its number has digits. Where the
    /// most are none, values are numbers.
    pub value_bytes: [u32; 2],
}

impl Options {
    /// The same with one key, which all clients use all the time.
    fn of_one_key(&self) -> Options {
        Options { keys: 1, operations_a_key_set: u32::MAX, ..self.clone() }
    }
}

/// How often clients take each of the keys in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// All as often as each other.
    #[default]
    Uniform,
    /// The second half as often as the first, the third a third as often, and so on.
    Zipf,
    /// Each half as often as the one before it, as far as that can be told.
    Exponential,
}

impl Skew {
    /// All that there are.
    pub const ALL: [Skew; 3] = [Skew::Uniform, Skew::Zipf, Skew::Exponential];

    /// How often the key with this number is taken, in proportion to the others.
    pub(crate) fn weight(self, key: u32) -> u64 {
        const FIRST: u64 = 1 << 40;
        match self {
            Skew::Uniform => 1,
            Skew::Zipf => FIRST / (u64::from(key) + 1),
            Skew::Exponential => FIRST.checked_shr(key).map_or(1, |weight| weight.max(1)),
        }
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skew::Uniform => "uniform",
            Skew::Zipf => "zipf",
            Skew::Exponential => "exponential",
        })
    }
}

/// One workload in the table.
pub struct Registration {
    /// The name that plans and flags use.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The workload.
    pub workload: &'static dyn Workload,
}

/// Every workload there is, in the order `list` shows them.
pub const WORKLOADS: &[Registration] = &[
    Registration {
        name: "register",
        about: "reads, writes, compare-and-sets and deletes over many keys; every value is unique",
        workload: &register::Register,
    },
    Registration {
        name: "set",
        about: "adds unique elements to sets, removes some, and reads whole sets",
        workload: &set::Set::Many,
    },
    Registration {
        name: "one-set",
        about: "adds unique elements to one set, removes some, and reads it",
        workload: &set::Set::One,
    },
    Registration {
        name: "counter",
        about: "adds to counters, takes away, and reads sums",
        workload: &counter::Counter::Many,
    },
    Registration {
        name: "one-counter",
        about: "adds to one counter, takes away, and reads its sum",
        workload: &counter::Counter::One,
    },
    Registration {
        name: "growing-counter",
        about: "adds to one counter that never counts down, and reads its sum",
        workload: &counter::Counter::Growing,
    },
    Registration {
        name: "bank",
        about: "transactions that move amounts between accounts, and some that read all accounts",
        workload: &bank::Bank,
    },
    Registration {
        name: "append",
        about: "transactions that read lists and append unique elements to them",
        workload: &append::Append,
    },
    Registration {
        name: "long-fork",
        about: "transactions that write a key once, and some that read a group of keys",
        workload: &long_fork::LongFork,
    },
    Registration {
        name: "queue",
        about: "puts unique values into queues and takes them out",
        workload: &queue::Queue,
    },
    Registration {
        name: "log",
        about: "sends messages to logs, polls them, and commits how far they were read",
        workload: &log::Log,
    },
    Registration {
        name: "echo",
        about: "asks for echoes; every value is unique",
        workload: &echo::Echo,
    },
    Registration {
        name: "unique-ids",
        about: "asks for values that nobody was ever given",
        workload: &unique_ids::UniqueIds::Many,
    },
    Registration {
        name: "one-generator",
        about: "asks one generator for values that nobody was ever given",
        workload: &unique_ids::UniqueIds::One,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_that_puts_nothing_in_lacks_what_would() {
        use OpKind::*;
        for (workload, mix, expected) in [
            ("queue", &[Dequeue][..], &[Dequeue, Enqueue][..]),
            ("queue", &[Enqueue, Dequeue], &[Enqueue, Dequeue]),
            ("set", &[Read, Remove], &[Read, Add]),
            ("set", &[Add, Remove], &[Add]),
            ("counter", &[Read], &[Read, Increment]),
            ("register", &[Read, Delete], &[Read, Write]),
            ("register", &[Read, Cas], &[Read, Cas]),
            ("log", &[Poll, Commit], &[Poll, Commit, Send]),
            ("bank", &[Txn], &[Txn]),
        ] {
            let options = Options {
                clients: 1,
                keys: 1,
                operations_a_key_set: 1,
                mix: mix.iter().map(|kind| (*kind, 1)).collect(),
                replica_reads_percent: 0,
                skew: Skew::Uniform,
                value_bytes: [0, 0],
            };
            let found = WORKLOADS.iter().find(|known| known.name == workload);
            let kinds = found.expect("it is in the table").workload.kinds(&options);
            assert_eq!(kinds, expected, "{workload}, {mix:?}");
        }
    }
}

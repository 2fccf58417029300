//! Workloads: a generator for each client, and the guarantees to judge the outcome by.

use checkers::Guarantee;
use checkers::history::{Op, OpKind, Outcome};
use rand_chacha::ChaCha8Rng;

mod register;

/// What clients do, and what it is judged by.
pub trait Workload: Sync {
    /// Makes what one client does, of `options.clients`.
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator>;

    /// The kinds of operations that it does; those that a system does not offer are left out.
    fn ops(&self) -> &'static [OpKind];

    /// The guarantees that a history of this workload can show to hold or to break.
    fn guarantees(&self) -> &'static [Guarantee];

    /// The kinds of operations of which some must have succeeded before a run proves anything.
    fn kinds(&self, options: &Options) -> Vec<OpKind>;
}

/// What one client does.
pub trait Generator {
    /// The client's next operation.
    fn next(&mut self) -> Op;

    /// What became of the operation before.
    fn learn(&mut self, op: &Op, outcome: &Outcome);
}

/// What a run decides for its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many clients there are.
    pub clients: u32,
    /// How many keys are in use at a time.
    pub keys: u32,
    /// How many operations a client does before it moves on to the next set of keys.
    pub operations_a_key_set: u32,
    /// Weights of the kinds of operations, in the order of [`OpKind::REGISTER`].
    pub mix: [u32; 4],
    /// Of 100 reads, how many are replica reads.
    pub replica_reads_percent: u32,
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
pub const WORKLOADS: &[Registration] = &[Registration {
    name: "register",
    about: "reads, writes, compare-and-sets and deletes over many keys; every value is unique",
    workload: &register::Register,
}];

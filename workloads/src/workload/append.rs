//! Append: transactions read lists and append to them (the list-append workload of Elle; Kingsbury and
//! Alvaro, VLDB 2020).
//!
//! Every appended element is unique in the run, so that a list that is read tells in which order the
//! appends to it took effect, and from that follow the dependencies of the transactions.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload, step, txn};
use crate::draw::Draw;

/// The most steps of a transaction.
const STEPS_MAX: u32 = 4;

/// See the module.
pub(super) struct Append;

impl Workload for Append {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random) })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 1] = [Share { kind: OpKind::Txn, least: 1, most: 1, optional: false }];
        &MIX
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 6] = [
            Guarantee::Live,
            Guarantee::Available,
            Guarantee::ReadCommitted,
            Guarantee::SnapshotIsolation,
            Guarantee::Serializable,
            Guarantee::StrictSerializable,
        ];
        &JUDGED
    }

    fn final_reads(&self, _key: Key) -> Vec<Op> {
        Vec::new()
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
}

impl Generator for Client {
    fn next(&mut self, _wanted: &[OpKind]) -> Op {
        self.draw.begin();
        let steps = 1 + self.draw.below(STEPS_MAX);
        let body = (0..steps).map(|_| {
            let list = self.draw.key_number();
            let (name, value) = match self.draw.below(2) {
                0 => ("r", Value::Nil),
                _ => ("append", self.draw.fresh_value()),
            };
            step(name, list, value)
        });
        txn("lists", body)
    }
}

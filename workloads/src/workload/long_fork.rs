//! Long fork: transactions write a key once, and others read a group of keys at once (the long-fork workload
//! of Jepsen, `jepsen.tests.long-fork`).
//!
//! Keys are numbered, and each group is as many in a row. Which client writes which key follows from the
//! number, so that nobody has to ask: the clients take turns. Neighbours write the keys of one group at about
//! the same time, and that is when two readers can see the writes in opposite orders.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload, step, txn};
use crate::draw::Draw;

/// What the keys belong to.
const STORE: &str = "keys";
/// Of ten transactions, how many write.
const WRITES_OF_TEN: u32 = 4;

/// See the module.
pub(super) struct LongFork;

impl Workload for LongFork {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random), client, written: 0 })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 1] = [Share { kind: OpKind::Txn, least: 1, most: 1, optional: false }];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        0
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 3] = [Guarantee::Live, Guarantee::Available, Guarantee::LongFork];
        &JUDGED
    }

    fn final_reads(&self, _key: Key) -> Vec<Op> {
        Vec::new()
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
    client: u32,
    /// How many keys it has written.
    written: u32,
}

impl Generator for Client {
    fn next(&mut self, _wanted: &[OpKind]) -> Op {
        let clients = self.draw.options.clients;
        let first = self.written * clients;
        if self.draw.below(10) < WRITES_OF_TEN {
            self.written += 1;
            let write = step("w", first + self.client, self.draw.fresh_value());
            return txn(STORE, std::iter::once(write));
        }
        // A fork takes two keys that are read together.
        let size = self.draw.options.keys.max(2);
        let group = (first + self.draw.below(clients)) / size;
        txn(STORE, (0..size).map(|place| step("r", group * size + place, Value::Nil)))
    }
}

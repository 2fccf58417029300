//! Queues: unique values are put in and taken out.
//!
//! A little more is taken out than put in, so that queues are empty most of the time: a value that was lost
//! shows with the next client who finds nothing, and not only when its turn would have come.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// See the module.
pub(super) struct Queue;

impl Workload for Queue {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random) })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 2] = [
            Share { kind: OpKind::Enqueue, least: 30, most: 50, optional: false },
            Share { kind: OpKind::Dequeue, least: 40, most: 60, optional: false },
        ];
        &MIX
    }

    fn fills(&self) -> &'static [OpKind] {
        &[OpKind::Enqueue]
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 4] =
            [Guarantee::Linearizable, Guarantee::Live, Guarantee::Available, Guarantee::Queue];
        &JUDGED
    }

    /// Nothing reads a queue without changing it.
    fn final_reads(&self, _key: Key) -> Vec<Op> {
        Vec::new()
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        self.draw.begin();
        let key = self.draw.key();
        match self.draw.kind(wanted) {
            OpKind::Enqueue => Op::Enqueue { key, value: self.draw.fresh_value() },
            OpKind::Dequeue => Op::Dequeue { key },
            kind => unreachable!("no queue offers {kind}"),
        }
    }
}

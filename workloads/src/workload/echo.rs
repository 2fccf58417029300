//! Echoes: clients ask for values that they know.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// See the module.
pub(super) struct Echo;

impl Workload for Echo {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random) })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 1] = [Share { kind: OpKind::Echo, least: 1, most: 1, optional: false }];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        16_384
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 3] = [Guarantee::Live, Guarantee::Available, Guarantee::Echo];
        &JUDGED
    }

    /// Nothing is held.
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
        Op::Echo { key: Key::from("echo"), value: self.draw.fresh_value() }
    }
}

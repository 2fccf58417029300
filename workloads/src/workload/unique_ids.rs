//! Unique ids: clients ask generators for values that nobody was ever given.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// See the module.
pub(super) enum UniqueIds {
    /// Many generators, each with values of its own.
    Many,
    /// One for all.
    One,
}

impl Workload for UniqueIds {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        let options = match self {
            UniqueIds::Many => options.clone(),
            UniqueIds::One => options.of_one_key(),
        };
        Box::new(Client { draw: Draw::new(&options, client, random) })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 1] =
            [Share { kind: OpKind::Generate, least: 1, most: 1, optional: false }];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        0
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 3] =
            [Guarantee::Live, Guarantee::Available, Guarantee::UniqueIds];
        &JUDGED
    }

    /// What a generator holds is its own affair.
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
        Op::Generate { key: self.draw.key() }
    }
}

//! Counters: numbers are added and taken away, and sums are read.
//!
//! What is added is drawn from a wide range, so that a sum nearly tells which increments it contains.

use checkers::Guarantee;
use checkers::history::{Op, OpKind, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// Of ten increments, how many count down.
const DOWN_OF_TEN: u32 = 3;
/// The same of the one counter that is to be below zero as well.
const DOWN_OF_TEN_OF_ONE: u32 = 5;
/// The most that is added or taken away at once.
const STEP_MAX: u32 = 1_000_000_000;

/// See the module.
pub(super) enum Counter {
    /// Many of them, up and down.
    Many,
    /// One, up and down, which never comes to rest, and may be above zero or below.
    One,
    /// One that never counts down.
    Growing,
}

impl Workload for Counter {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        let options = match self {
            Counter::Many => options.clone(),
            Counter::One | Counter::Growing => options.of_one_key(),
        };
        let down_of_ten = match self {
            Counter::Many => DOWN_OF_TEN,
            Counter::One => DOWN_OF_TEN_OF_ONE,
            Counter::Growing => 0,
        };
        Box::new(Client { draw: Draw::new(&options, client, random), down_of_ten })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 2] = [
            Share { kind: OpKind::Read, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Increment, least: 30, most: 60, optional: false },
        ];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        0
    }

    fn fills(&self) -> &'static [OpKind] {
        &[OpKind::Increment]
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 6] = [
            Guarantee::Linearizable,
            Guarantee::Durable,
            Guarantee::Convergent,
            Guarantee::Live,
            Guarantee::Available,
            Guarantee::Counter,
        ];
        &JUDGED
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
    /// Of ten increments, how many count down.
    down_of_ten: u32,
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        self.draw.begin();
        let key = self.draw.key();
        match self.draw.kind(wanted) {
            OpKind::Read => self.draw.read(key),
            OpKind::Increment => {
                let step = i64::from(self.draw.below(STEP_MAX)) + 1;
                let down = self.draw.below(10) < self.down_of_ten;
                Op::Increment { key, by: Value::Int(if down { -step } else { step }) }
            }
            kind => unreachable!("no counter offers {kind}"),
        }
    }
}

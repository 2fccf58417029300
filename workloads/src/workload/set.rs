//! Sets: elements are added, some are removed again, and whole sets are read.
//!
//! Every element is unique in the run and is added once, so that one that is missing, comes back or
//! was never added shows. A client removes only what it has added itself and was told of.

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Outcome, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// See the module.
pub(super) enum Set {
    /// Many of them, one after the other.
    Many,
    /// One, which never comes to rest.
    One,
}

impl Workload for Set {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        let options = match self {
            Set::Many => options.clone(),
            Set::One => options.of_one_key(),
        };
        Box::new(Client { draw: Draw::new(&options, client, random), added: Vec::new() })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 3] = [
            Share { kind: OpKind::Read, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Add, least: 30, most: 60, optional: false },
            Share { kind: OpKind::Remove, least: 0, most: 15, optional: true },
        ];
        &MIX
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 6] = [
            Guarantee::Linearizable,
            Guarantee::Durable,
            Guarantee::Convergent,
            Guarantee::Live,
            Guarantee::Available,
            Guarantee::Set,
        ];
        &JUDGED
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
    /// What this client has added to the present sets and not removed.
    added: Vec<(Key, Value)>,
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        if self.draw.begin() {
            self.added.clear();
        }
        let key = self.draw.key();
        match self.draw.kind(wanted) {
            OpKind::Read => self.draw.read(key),
            OpKind::Remove if !self.added.is_empty() => {
                let index = self.draw.below(self.added.len() as u32) as usize;
                let (key, value) = self.added.swap_remove(index);
                Op::Remove { key, value }
            }
            OpKind::Add | OpKind::Remove => Op::Add { key, value: self.draw.fresh_value() },
            kind => unreachable!("no set offers {kind}"),
        }
    }

    fn learn(&mut self, op: &Op, outcome: &Outcome) {
        if let (Op::Add { key, value }, Outcome::Ok(_)) = (op, outcome) {
            self.added.push((key.clone(), value.clone()));
        }
    }
}

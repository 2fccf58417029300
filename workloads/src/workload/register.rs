//! Registers: reads, writes, compare-and-sets and deletes over many keys.
//!
//! Every written value is unique in the run, so that a read tells which write it saw. Clients move
//! on to fresh keys after a while: keys that have come to rest show at the end whether the last
//! acknowledged write is still there.

use std::collections::BTreeMap;

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Outcome, Ret, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// See the module.
pub(super) struct Register;

impl Workload for Register {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random), seen: BTreeMap::new() })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 4] = [
            Share { kind: OpKind::Read, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Write, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Cas, least: 5, most: 30, optional: true },
            Share { kind: OpKind::Delete, least: 0, most: 10, optional: true },
        ];
        &MIX
    }

    fn value_bytes_max(&self) -> u32 {
        16_384
    }

    fn fills(&self) -> &'static [OpKind] {
        &[OpKind::Write, OpKind::Cas]
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 11] = [
            Guarantee::Linearizable,
            Guarantee::ReadYourWrites,
            Guarantee::MonotonicReads,
            Guarantee::MonotonicWrites,
            Guarantee::WritesFollowReads,
            Guarantee::Causal,
            Guarantee::BoundedStaleness,
            Guarantee::Durable,
            Guarantee::Convergent,
            Guarantee::Live,
            Guarantee::Available,
        ];
        &JUDGED
    }
}

/// One client's operations.
struct Client {
    draw: Draw,
    /// What this client last saw in the keys of the present set: a compare-and-set from it has a
    /// chance to succeed.
    seen: BTreeMap<Key, Value>,
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        if self.draw.begin() {
            self.seen.clear();
        }
        let key = self.draw.key();
        match self.draw.kind(wanted) {
            OpKind::Read => self.draw.read(key),
            OpKind::Write => Op::Write { key, value: self.draw.fresh_value() },
            OpKind::Cas => {
                let from = self.seen.get(&key).cloned().unwrap_or(Value::Nil);
                Op::Cas { key, from, to: self.draw.fresh_value() }
            }
            OpKind::Delete => Op::Delete { key },
            kind => unreachable!("no register offers {kind}"),
        }
    }

    fn learn(&mut self, op: &Op, outcome: &Outcome) {
        let Outcome::Ok(ret) = outcome else { return };
        let holds = match (op, ret) {
            (Op::Read { .. }, Ret::Value(value)) => value.clone(),
            (Op::Write { value, .. }, _) => value.clone(),
            (Op::Cas { to, .. }, _) => to.clone(),
            _ => Value::Nil,
        };
        self.seen.insert(op.key().clone(), holds);
    }
}

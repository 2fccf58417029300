//! Registers: reads, writes, compare-and-sets and deletes over many keys.
//!
//! Every written value is unique in the run, so that a read tells which write it saw. Clients move
//! on to fresh keys after a while: keys that have come to rest show at the end whether the last
//! acknowledged write is still there.

use std::collections::BTreeMap;

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Outcome, ReadLevel, Ret, Value};
use rand::RngCore;
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Workload};

/// See the module.
pub(super) struct Register;

impl Workload for Register {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client {
            options: *options,
            random,
            done: 0,
            next_value: i64::from(client) + 1,
            seen: BTreeMap::new(),
        })
    }

    fn ops(&self) -> &'static [OpKind] {
        &OpKind::REGISTER
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

    fn kinds(&self, options: &Options) -> Vec<OpKind> {
        // Deletes are rare enough that a short run may have none.
        OpKind::REGISTER
            .into_iter()
            .zip(options.mix)
            .filter(|(kind, weight)| *weight > 0 && *kind != OpKind::Delete)
            .map(|(kind, _)| kind)
            .collect()
    }
}

/// One client's operations.
struct Client {
    options: Options,
    random: ChaCha8Rng,
    /// Operations so far.
    done: u32,
    /// The next value that this client writes; clients count in steps of their number, so that no
    /// two write the same.
    next_value: i64,
    /// What this client last saw in the keys of the present set: a compare-and-set from it has a
    /// chance to succeed.
    seen: BTreeMap<Key, Value>,
}

impl Client {
    fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.random.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    fn fresh_value(&mut self) -> Value {
        let value = Value::Int(self.next_value);
        self.next_value += i64::from(self.options.clients);
        value
    }

    /// One of the kinds, by weight.
    fn kind(&mut self) -> OpKind {
        let total = self.options.mix.iter().sum();
        let mut drawn = self.below(total);
        for (kind, weight) in OpKind::REGISTER.into_iter().zip(self.options.mix) {
            if drawn < weight {
                return kind;
            }
            drawn -= weight;
        }
        unreachable!("the weights add up to the bound of the draw")
    }
}

impl Generator for Client {
    fn next(&mut self) -> Op {
        let set = self.done / self.options.operations_a_key_set;
        if self.done.is_multiple_of(self.options.operations_a_key_set) {
            self.seen.clear();
        }
        self.done += 1;
        let number = set * self.options.keys + self.below(self.options.keys);
        let key = Key::from(format!("k{number}"));
        match self.kind() {
            OpKind::Read => {
                let replica = self.below(100) < self.options.replica_reads_percent;
                let level = if replica { ReadLevel::Replica } else { ReadLevel::Strong };
                Op::Read { key, level }
            }
            OpKind::Write => Op::Write { key, value: self.fresh_value() },
            OpKind::Cas => {
                let from = self.seen.get(&key).cloned().unwrap_or(Value::Nil);
                Op::Cas { key, from, to: self.fresh_value() }
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

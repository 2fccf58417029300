//! Sets: elements are added, some are removed again, and whole sets are read.
//!
//! Every element is unique in the run and is added once, so that one that is missing, comes back or
//! was never added shows. A client removes only what it has added itself and was told of; while there is nothing,
//! it adds. Where a plan asks for more than one removal to two additions, it removes all the same: what it has asked to add
//! once more, whatever became of that, or what nobody adds.

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
        let weight = |kind| options.mix.get(&kind).copied().unwrap_or(0);
        let removes_whatever = weight(OpKind::Remove) * 2 > weight(OpKind::Add);
        let (asked, added) = (Vec::new(), Vec::new());
        Box::new(Client {
            draw: Draw::new(&options, client, random),
            asked,
            added,
            removes_whatever,
        })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 3] = [
            Share { kind: OpKind::Read, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Add, least: 30, most: 60, optional: false },
            Share { kind: OpKind::Remove, least: 0, most: 15, optional: true },
        ];
        &MIX
    }

    fn fills(&self) -> &'static [OpKind] {
        &[OpKind::Add]
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
    /// What this client has asked to add to the present sets.
    asked: Vec<(Key, Value)>,
    /// What of it was added, and not removed since.
    added: Vec<(Key, Value)>,
    /// Whether it removes where there is nothing to remove. No mix that is drawn has so many removals.
    removes_whatever: bool,
}

impl Client {
    fn add(&mut self, key: Key) -> Op {
        let value = self.draw.fresh_value();
        self.asked.push((key.clone(), value.clone()));
        Op::Add { key, value }
    }

    /// A removal that takes away nothing that is known to be there.
    fn remove_whatever(&mut self, key: Key) -> Op {
        if self.asked.is_empty() {
            return Op::Remove { key, value: self.draw.fresh_value() };
        }
        let index = self.draw.below(self.asked.len() as u32) as usize;
        let (key, value) = self.asked[index].clone();
        Op::Remove { key, value }
    }
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        if self.draw.begin() {
            self.asked.clear();
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
            OpKind::Remove if self.removes_whatever => self.remove_whatever(key),
            OpKind::Add | OpKind::Remove => self.add(key),
            kind => unreachable!("no set offers {kind}"),
        }
    }

    fn learn(&mut self, op: &Op, outcome: &Outcome) {
        if let (Op::Add { key, value }, Outcome::Ok(_)) = (op, outcome) {
            self.added.push((key.clone(), value.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use checkers::history::Ret;
    use rand::SeedableRng;

    use super::*;
    use crate::workload::Skew;

    /// What the only client does, of which all is done at once.
    fn operations(mix: &[(OpKind, u32)], count: usize) -> Vec<Op> {
        let options = Options {
            clients: 1,
            keys: 4,
            operations_a_key_set: 50,
            mix: mix.iter().copied().collect(),
            replica_reads_percent: 0,
            skew: Skew::Uniform,
            value_bytes: [0, 0],
        };
        let mut client = Set::Many.generator(&options, 0, ChaCha8Rng::seed_from_u64(1));
        let next = |_| {
            let op = client.next(&[]);
            client.learn(&op, &Outcome::Ok(Ret::Done));
            op
        };
        (0..count).map(next).collect()
    }

    fn count(operations: &[Op]) -> BTreeMap<OpKind, usize> {
        let mut counts = BTreeMap::new();
        operations.iter().for_each(|op| *counts.entry(op.kind()).or_default() += 1);
        counts
    }

    #[test]
    fn removals_are_as_many_as_a_plan_asks_for() {
        let mix = [(OpKind::Read, 20), (OpKind::Add, 20), (OpKind::Remove, 60)];
        let done = operations(&mix, 2000);
        let counts = count(&done);
        for (kind, percent) in mix {
            assert!(counts[&kind].abs_diff(percent as usize * 20) < 100, "{counts:?}");
        }
        // What is removed was asked for where the client has asked for anything.
        let added: BTreeSet<&Value> = done.iter().filter_map(added).collect();
        let removed = done.iter().filter_map(removed);
        assert!(removed.filter(|value| !added.contains(value)).count() < 100);
        let none = count(&operations(&[(OpKind::Read, 1), (OpKind::Remove, 1)], 100));
        assert!(none.keys().eq([&OpKind::Read, &OpKind::Remove]), "{none:?}");
    }

    #[test]
    fn where_removals_are_few_each_removes_what_was_added() {
        let mix = [(OpKind::Read, 20), (OpKind::Add, 30), (OpKind::Remove, 15)];
        let done = operations(&mix, 2000);
        let mut present = BTreeSet::new();
        for op in &done {
            if let Some(value) = added(op) {
                assert!(present.insert(value), "{op} adds what was added");
            }
            if let Some(value) = removed(op) {
                assert!(present.remove(value), "{op} removes what is not there");
            }
        }
        assert!(count(&done)[&OpKind::Remove] > 300);
    }

    fn added(op: &Op) -> Option<&Value> {
        if let Op::Add { value, .. } = op { Some(value) } else { None }
    }

    fn removed(op: &Op) -> Option<&Value> {
        if let Op::Remove { value, .. } = op { Some(value) } else { None }
    }
}

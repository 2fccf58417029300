//! What the generators of all workloads draw alike: keys that come to rest after a while, kinds of
//! operations by weight, values that nobody else uses.

use checkers::history::{Key, Op, OpKind, ReadLevel, Value};
use rand::RngCore;
use rand_chacha::ChaCha8Rng;

use crate::workload::{Options, Skew};

/// The draws of one client.
pub(crate) struct Draw {
    pub(crate) options: Options,
    random: ChaCha8Rng,
    /// Operations so far.
    done: u32,
    /// The next value that this client writes; clients count in steps of their number, so that no
    /// two write the same.
    next_value: i64,
    /// Up to each of the keys in use, how often all of them are taken; empty where they are all alike.
    taken: Vec<u64>,
}

impl Draw {
    pub(crate) fn new(options: &Options, client: u32, random: ChaCha8Rng) -> Draw {
        let skewed = if options.skew == Skew::Uniform { 0..0 } else { 0..options.keys };
        let weights = skewed.map(|key| options.skew.weight(key));
        let taken = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let taken = taken.collect();
        Draw { options: options.clone(), random, done: 0, next_value: i64::from(client) + 1, taken }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.random.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// Begins the next operation: whether it is the first on a new set of keys. Keys that have come to
    /// rest show at the end whether what was acknowledged last is still there.
    pub(crate) fn begin(&mut self) -> bool {
        let is_first = self.done.is_multiple_of(self.options.operations_a_key_set);
        self.done += 1;
        is_first
    }

    /// One of the keys in use at this operation.
    pub(crate) fn key(&mut self) -> Key {
        let number = self.key_number();
        Key::from(format!("k{number}"))
    }

    /// The same, as a number.
    pub(crate) fn key_number(&mut self) -> u32 {
        let set = (self.done - 1) / self.options.operations_a_key_set;
        set * self.options.keys + self.place_of_key()
    }

    /// The place of a key among those in use, by how often it is taken.
    fn place_of_key(&mut self) -> u32 {
        let Some(all) = self.taken.last().copied() else { return self.below(self.options.keys) };
        let drawn = ((u128::from(self.random.next_u64()) * u128::from(all)) >> 64) as u64;
        self.taken.partition_point(|sum| *sum <= drawn) as u32
    }

    /// A value that nobody has written, of the size that is drawn.
    pub(crate) fn fresh_value(&mut self) -> Value {
        let number = self.next_value;
        self.next_value += i64::from(self.options.clients);
        match self.options.value_bytes {
            [_, 0] => Value::Int(number),
            [fewest, most] => text(number, fewest + self.below(most - fewest + 1)),
        }
    }

    /// One of the kinds of the mix, by weight; of those that are wanted, where the mix has any.
    pub(crate) fn kind(&mut self, wanted: &[OpKind]) -> OpKind {
        let mix = self.options.mix.iter().map(|(kind, weight)| (*kind, *weight));
        let mut mix: Vec<(OpKind, u32)> = mix.collect();
        if mix.iter().any(|(kind, _)| wanted.contains(kind)) {
            mix.retain(|(kind, _)| wanted.contains(kind));
        }
        let mut drawn = self.below(mix.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in mix {
            if drawn < weight {
                return kind;
            }
            drawn -= weight;
        }
        unreachable!("the weights add up to the bound of the draw")
    }

    /// A read of a key, of the level that is drawn.
    pub(crate) fn read(&mut self, key: Key) -> Op {
        let replica = self.below(100) < self.options.replica_reads_percent;
        Op::Read { key, level: if replica { ReadLevel::Replica } else { ReadLevel::Strong } }
    }
}

/// A number as a text of so many bytes, or of one more than it has digits, so that it is no number: `17-17-17-1`. It
/// repeats itself, so that one of which a part is gone or comes from another is none that was written.
fn text(number: i64, bytes: u32) -> Value {
    let (once, bytes) = (format!("{number}-"), bytes as usize);
    let mut text = once.repeat(bytes / once.len() + 1);
    text.truncate(bytes.max(once.len()));
    Value::Text(text.into())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng;

    use super::*;

    /// What the only client draws on four keys.
    fn draw(skew: Skew, value_bytes: [u32; 2]) -> Draw {
        let options = Options {
            clients: 1,
            keys: 4,
            operations_a_key_set: u32::MAX,
            mix: BTreeMap::new(),
            replica_reads_percent: 0,
            skew,
            value_bytes,
        };
        Draw::new(&options, 0, ChaCha8Rng::seed_from_u64(1))
    }

    /// How often each of four keys is taken in 12,000 draws.
    fn taken(skew: Skew) -> [u32; 4] {
        let mut draw = draw(skew, [0, 0]);
        let mut taken = [0; 4];
        draw.begin();
        for _ in 0..12_000 {
            taken[draw.key_number() as usize] += 1;
        }
        taken
    }

    #[test]
    fn keys_are_taken_as_often_as_the_skew_says() {
        let near = |taken: [u32; 4], expected: [u32; 4]| {
            taken.iter().zip(expected).all(|(taken, expected)| taken.abs_diff(expected) < 250)
        };
        for (skew, expected) in [
            (Skew::Uniform, [3000, 3000, 3000, 3000]),
            (Skew::Zipf, [5760, 2880, 1920, 1440]),
            (Skew::Exponential, [6400, 3200, 1600, 800]),
        ] {
            let taken = taken(skew);
            assert!(near(taken, expected), "{skew}: {taken:?}");
        }
    }

    #[test]
    fn values_are_of_all_sizes_that_were_asked_for_and_no_two_are_alike() {
        let mut draw = draw(Skew::Uniform, [1, 9]);
        let values: Vec<Value> = (0..2000).map(|_| draw.fresh_value()).collect();
        let texts = values.iter().map(|value| match value {
            Value::Text(text) => text.as_ref(),
            other => panic!("{other} is no text"),
        });
        let texts: BTreeSet<&str> = texts.collect();
        assert_eq!(texts.len(), values.len());
        assert_eq!(texts.iter().map(|text| text.len()).collect::<BTreeSet<_>>(), (2..=9).collect());
    }

    #[test]
    fn a_value_repeats_its_number_and_is_no_number_itself() {
        for (number, bytes, expected) in [
            (17, 10, "17-17-17-1"),
            (17, 6, "17-17-"),
            (17, 3, "17-"),
            (17, 0, "17-"),
            (12345, 1, "12345-"),
        ] {
            assert_eq!(text(number, bytes), Value::Text(expected.into()));
        }
    }

    #[test]
    fn a_weight_is_never_nothing() {
        for skew in Skew::ALL {
            assert!((0..10_000).all(|key| skew.weight(key) > 0), "{skew}");
        }
    }
}

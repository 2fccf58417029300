//! Several registers that are read and written together, in transactions.

use std::collections::BTreeMap;
use std::hash::Hash;

use super::SequentialSpec;

/// The registers. What is not in the map holds the default value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MultiRegister<K: Ord, V>(pub BTreeMap<K, V>);

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<K, V> {
    /// Returns what the register holds.
    Read(K),
    /// Makes it hold the value.
    Write(K, V),
}

impl<K: Clone + Ord + Hash, V: Clone + Default + Eq + Hash> SequentialSpec for MultiRegister<K, V> {
    type Op = Vec<Step<K, V>>;
    /// What each read returned, in the order of the steps.
    type Ret = Vec<V>;

    fn invoke(&mut self, op: &Vec<Step<K, V>>) -> Vec<V> {
        let mut read = Vec::new();
        for step in op {
            match step {
                Step::Read(key) => read.push(self.0.get(key).cloned().unwrap_or_default()),
                Step::Write(key, value) if *value == V::default() => {
                    // Equal registers are equal maps.
                    self.0.remove(key);
                }
                Step::Write(key, value) => {
                    self.0.insert(key.clone(), value.clone());
                }
            }
        }
        read
    }

    fn is_pure(op: &Vec<Step<K, V>>, _ret: &Vec<V>) -> bool {
        op.iter().all(|step| matches!(step, Step::Read(_)))
    }

    fn heap_bytes(&self) -> usize {
        self.0.len() * size_of::<(K, V)>()
    }
}

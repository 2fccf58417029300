//! Long fork: two readers see two writes in opposite orders (Sovran et al., "Transactional Storage
//! for Geo-Replicated Systems", SOSP 2011, section 3.2; the workload of `jepsen.tests.long-fork`).
//!
//! Each key is written once (`w`), so a read of a group of keys is the set of those it saw written,
//! and in a store that keeps one order of writes all reads of a group form a chain. Sorted by size,
//! each set has then to contain the one before it, which looks at all pairs without comparing them:
//! O(m log m) comparisons of sets for m reads of a group, and O(m n) bits for groups of n keys. A
//! fork is found wherever there is one; where there are several, those of neighbours in that order
//! are told. Reads are compared with reads of exactly the same keys. A key that nobody wrote, or only
//! somebody who failed, is one of them: it has to be read as `nil`, and the others still make a fork.
//! What is appended to or counted is left out of what a read saw, and the verdict says so; and so is
//! what nobody tried to write, where that may be a list or a counter as well: others of the history are,
//! or it was read as an empty one.

use std::collections::BTreeMap;

use super::Checker;
use super::txn::{Action, Fate, Txn, Txns, brief, in_order};
use crate::history::{History, OperationId, Value};
use crate::verdict::{Anomaly, Contrast, Coverage, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct LongFork;

/// Who wrote a key.
#[derive(Clone, Copy)]
struct Writer<'a> {
    value: &'a Value,
    id: OperationId,
}

/// The reads of one group by what they saw: the sets of keys, as bits, and the first read of each.
type Sets = BTreeMap<Vec<u64>, OperationId>;

impl Checker for LongFork {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage = Coverage { method: "chains of reads".into(), ..Coverage::default() };
        let txns = match Txns::read(history) {
            Ok(txns) => txns,
            Err(reason) => return Verdict::Unknown { reason, coverage },
        };
        let writes = match writes(&txns) {
            Ok(writes) => writes,
            Err(reason) => return Verdict::Unknown { reason, coverage },
        };
        let left_out = writes.others.iter().filter(|other| **other).count();
        if left_out > 0 {
            let keys = match left_out {
                1 => "1 key that is not known to be a register is left out".to_owned(),
                many => format!("{many} keys that are not known to be registers are left out"),
            };
            coverage.method += &format!("; {keys}");
        }
        let mut anomalies = txns.malformed_answers(Guarantee::LongFork);
        let mut groups: BTreeMap<Vec<u32>, (usize, Sets)> = BTreeMap::new();
        for txn in txns.list() {
            let saw = saw(&txns, txn, &writes.others);
            if saw.len() < 2 {
                continue;
            }
            let mut bits = vec![0_u64; saw.len().div_ceil(64)];
            for (index, (key, value)) in saw.iter().enumerate() {
                let writer = writes.writers[*key as usize];
                let writer = writer.filter(|writer| writer.value == *value);
                if writer.is_some() {
                    bits[index / 64] |= 1 << (index % 64);
                } else if **value != Value::Nil {
                    let refused = writes.refused.get(&(*key, *value)).copied();
                    anomalies.push(unwritten(&txns, txn, *key, value, refused));
                }
            }
            let keys = saw.iter().map(|(key, _)| *key).collect();
            let (reads, sets) = groups.entry(keys).or_default();
            *reads += 1;
            sets.entry(bits).or_insert(txn.id);
        }
        for (keys, (reads, sets)) in &groups {
            let saw_a_write = sets.keys().flatten().any(|bits| *bits != 0);
            if *reads > 1 && saw_a_write {
                coverage.operations += reads;
                coverage.keys += keys.len();
            }
            forks(&txns, &writes.writers, keys, sets, &mut anomalies);
        }
        if !anomalies.is_empty() {
            Verdict::Invalid { anomalies: in_order(anomalies), coverage }
        } else if coverage.operations == 0 {
            let reason = "no two transactions read the same keys, written once, and saw a write";
            Verdict::Unknown { reason: reason.to_owned(), coverage }
        } else {
            Verdict::Valid(coverage)
        }
    }
}

/// Who wrote what.
struct Writes<'a> {
    /// By key; none where nobody may have written it.
    writers: Vec<Option<Writer<'a>>>,
    /// Writes that certainly never took effect, by what they would have written.
    refused: BTreeMap<(u32, &'a Value), OperationId>,
    /// By key: whether it is appended to, or counted, or may be.
    others: Vec<bool>,
}

/// Who wrote each key; or why that is not known.
fn writes<'a>(txns: &Txns<'a>) -> Result<Writes<'a>, String> {
    let mut writers: Vec<Option<Writer<'a>>> = vec![None; txns.key_count()];
    let mut refused = BTreeMap::new();
    let mut others = vec![false; txns.key_count()];
    let mut tried = vec![false; txns.key_count()];
    let mut read_empty = vec![false; txns.key_count()];
    for txn in txns.list() {
        for step in txns.steps(txn) {
            let key = step.key as usize;
            tried[key] |= step.action == Action::Write;
            match step.action {
                Action::Read => read_empty[key] |= step.value.is_blank(),
                Action::Append | Action::Inc => others[key] = true,
                Action::Write if txn.fate == Fate::Aborted => {
                    refused.entry((step.key, step.value)).or_insert(txn.id);
                }
                Action::Write if *step.value == Value::Nil => {
                    return Err(format!(
                        "{} is written nil, as if it were not",
                        txns.key(step.key)
                    ));
                }
                Action::Write => {
                    let writer = Writer { value: step.value, id: txn.id };
                    if writers[key].replace(writer).is_some() {
                        return Err(format!("{} is written more than once", txns.key(step.key)));
                    }
                }
            }
        }
    }
    let any_other = others.contains(&true);
    for (key, other) in others.iter_mut().enumerate() {
        *other |= !tried[key] && (any_other || read_empty[key]);
    }
    Ok(Writes { writers, refused, others })
}

/// What a transaction saw that only reads, in the order of the keys; nothing of one that was not
/// answered, or that writes.
fn saw<'a>(txns: &Txns<'a>, txn: &Txn, others: &[bool]) -> Vec<(u32, &'a Value)> {
    let steps = txns.steps(txn);
    if !txn.answered || !steps.iter().all(|step| step.action == Action::Read) {
        return Vec::new();
    }
    let counts = steps.iter().filter(|step| !others[step.key as usize]);
    let mut saw: Vec<(u32, &Value)> = counts.map(|step| (step.key, step.value)).collect();
    saw.sort_by_key(|(key, _)| *key);
    saw.dedup_by_key(|(key, _)| *key);
    saw
}

/// The reads of one group that do not form a chain.
fn forks(
    txns: &Txns<'_>,
    writers: &[Option<Writer<'_>>],
    keys: &[u32],
    sets: &Sets,
    anomalies: &mut Vec<Anomaly>,
) {
    let size = |bits: &[u64]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
    let mut sorted: Vec<(&Vec<u64>, OperationId)> =
        sets.iter().map(|(bits, id)| (bits, *id)).collect();
    sorted.sort_by_key(|(bits, id)| (size(bits), *id));
    for pair in sorted.windows(2) {
        let [(less, one), (more, other)] = pair else { continue };
        let only = |has: &[u64], lacks: &[u64]| {
            let index = has.iter().zip(lacks).position(|(has, lacks)| has & !lacks != 0)?;
            Some(keys[index * 64 + (has[index] & !lacks[index]).trailing_zeros() as usize])
        };
        // Sets of the same size that differ are never one within the other.
        let (Some(first), Some(second)) = (only(less, more), only(more, less)) else { continue };
        let writer = |key: u32| writers[key as usize].expect("only keys with a writer are seen");
        let witness = [writer(first).id, writer(second).id, *one, *other];
        let told = |id: &OperationId| txns.sentence(txns.of(*id));
        let mut explanation: Vec<String> = witness.iter().map(told).collect();
        explanation.dedup();
        let ended = |id: &OperationId| txns.history.operation(*id).completed;
        // Whoever was over last is the one that cannot be explained.
        let (shown, saw, lacks) =
            if ended(one) > ended(other) { (one, first, second) } else { (other, second, first) };
        let [saw, lacks] = [saw, lacks].map(|key| txns.key_value(key).clone());
        let contrast = Contrast::new(*shown, Legal::Both(saw.clone(), lacks))
            .due_to(if shown == one { *other } else { *one })
            .observed(saw);
        let (first, second) = (txns.key(first), txns.key(second));
        let process = |id: OperationId| txns.history.operation(id).process;
        explanation.push(format!(
            "process {} saw the write of {first} but not that of {second}, process {} saw that of \
             {second} but not that of {first}: each saw one of them come first",
            process(*one),
            process(*other),
        ));
        let found = txns.anomaly("long-fork", Guarantee::LongFork, None, &witness, explanation);
        anomalies.push(Anomaly { contrast: Some(contrast), ..found });
    }
}

/// A read of what nobody wrote, or of what was certainly never written.
fn unwritten(
    txns: &Txns<'_>,
    txn: &Txn,
    key: u32,
    value: &Value,
    refused: Option<OperationId>,
) -> Anomaly {
    let (name, value) = (txns.key(key), brief(value));
    let (anomaly, words) = match refused {
        Some(id) => {
            let process = txns.history.operation(id).process;
            ("G1a", format!("the write of {value} to {name} by process {process} failed"))
        }
        None => ("garbage-read", format!("nobody wrote {value} to {name}")),
    };
    let witness: Vec<OperationId> = refused.into_iter().chain([txn.id]).collect();
    let told = |id: &OperationId| txns.sentence(txns.of(*id));
    let mut explanation: Vec<String> = witness.iter().map(told).collect();
    explanation.push(words);
    txns.anomaly(anomaly, Guarantee::LongFork, Some(key), &witness, explanation)
}

//! Transactions that contradict themselves, and pairs of them that lose an update.

use rustc_hash::FxHashMap;

use super::anomalies::Misread;
use super::versions::{List, Versions, items};
use super::{Action, Step, brief};
use crate::history::Value;
use crate::verdict::{Contrast, Legal};

/// What a transaction has to find when it reads a key again.
struct Expected<'a> {
    /// What it read last, if it did.
    read: Option<&'a [Value]>,
    /// What it appended since.
    appended: Vec<&'a Value>,
}

impl Expected<'_> {
    fn fits(&self, items: &[Value]) -> bool {
        let start = items.len().checked_sub(self.appended.len());
        start.is_some_and(|start| {
            let (before, own) = items.split_at(start);
            self.read.is_none_or(|read| read == before)
                && own.iter().eq(self.appended.iter().copied())
        })
    }
}

/// Looks at each transaction by itself.
pub(super) fn judge_alone(versions: &mut Versions<'_>) {
    let txns = versions.txns;
    // Where each key is among the expectations, and for which transaction.
    let mut places = vec![(u32::MAX, 0); versions.lists.len()];
    for (number, txn) in txns.list().iter().enumerate().filter(|(_, txn)| txn.answered) {
        let mut expected: Vec<Expected<'_>> = Vec::new();
        for step in txns.steps(txn) {
            if !versions.lists[step.key as usize].is_list {
                continue;
            }
            let place = &mut places[step.key as usize];
            if place.0 != number as u32 {
                *place = (number as u32, expected.len());
                expected.push(Expected { read: None, appended: Vec::new() });
            }
            let of_key = &mut expected[place.1];
            if step.action == Action::Append {
                of_key.appended.push(step.value);
                continue;
            }
            let Some(items) = items(step.value) else { continue };
            if !of_key.fits(items) {
                let (key, got) = (txns.key(step.key), brief(step.value));
                let words = format!(
                    "the read of {got} from {key} contradicts what the same transaction had read \
                     and appended before"
                );
                versions.found(Misread::Internal, step.key, &[number as u32], words);
            }
            *of_key = Expected { read: Some(items), appended: Vec::new() };
        }
    }
}

/// Looks for reads of what their own transaction appended only later.
pub(super) fn judge_future(versions: &mut Versions<'_>) {
    let mut found = Vec::new();
    for read in versions.reads.iter().filter(|read| !versions.lists[read.key as usize].broken) {
        if let Some(append) = versions.own_of_later(read) {
            let (key, value) = (versions.txns.key(read.key), brief(append.value));
            let words =
                format!("{value} was read from {key} before the same transaction appended it");
            found.push((read.key, read.txn, words));
        }
    }
    for (key, txn, words) in found {
        versions.found(Misread::Future, key, &[txn], words);
    }
}

/// Looks for transactions that read the same version of a list and both appended to it.
pub(super) fn judge_updates(versions: &mut Versions<'_>) {
    let txns = versions.txns;
    let mut first: FxHashMap<(u32, usize), u32> = FxHashMap::default();
    // For each key the last transaction that touched it, and what it read before it appended.
    let mut touched: Vec<(u32, Option<&[Value]>)> = vec![(u32::MAX, None); versions.lists.len()];
    let is_judged = |list: &List<'_>| list.is_list && !list.broken;
    let judged: Vec<bool> = versions.lists.iter().map(is_judged).collect();
    for (number, txn) in txns.list().iter().enumerate().filter(|(_, txn)| txn.answered) {
        let number = number as u32;
        for step in txns.steps(txn).iter().filter(|step| judged[step.key as usize]) {
            let (last, read) = &mut touched[step.key as usize];
            let is_first = std::mem::replace(last, number) != number;
            if step.action == Action::Read {
                // Only what a transaction read first was there before it.
                if is_first {
                    *read = items(step.value);
                }
                continue;
            }
            let Some(items) = read.take().filter(|_| !is_first) else { continue };
            let earlier = *first.entry((step.key, items.len())).or_insert(number);
            if earlier != number {
                let words = format!(
                    "both read {} from {} and appended to that: the later one did not see the \
                     other's append",
                    brief(&Value::List(items.into())),
                    txns.key(step.key),
                );
                let [before, after] = [earlier, number].map(|number| &txns.list()[number as usize]);
                let is_append =
                    |other: &&Step<'_>| other.key == step.key && other.action == Action::Append;
                let appended = txns.steps(before).iter().find(is_append);
                let appended = appended.expect("who is the first has appended").value.clone();
                let contrast = Contrast::new(after.id, Legal::With(appended))
                    .due_to(before.id)
                    .observed(Value::List(items.into()));
                let said = (words, Some(contrast));
                versions.found_in_contrast(Misread::LostUpdate, step.key, &[earlier, number], said);
            }
        }
    }
}

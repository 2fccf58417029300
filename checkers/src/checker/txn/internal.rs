//! Transactions that contradict themselves, and pairs of them that lose an update.

use rustc_hash::FxHashMap;

use super::anomalies::Misread;
use super::versions::Versions;
use super::{Action, Fate, brief};
use crate::history::Value;

/// What a transaction has to find when it reads a key again.
struct Expected<'a> {
    key: u32,
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
    for (number, txn) in txns.list().iter().enumerate().filter(|(_, txn)| txn.answered) {
        let mut expected: Vec<Expected<'_>> = Vec::new();
        for step in txns.steps(txn) {
            if !versions.lists[step.key as usize].is_list {
                continue;
            }
            let known = expected.iter().position(|of_key| of_key.key == step.key);
            let known = known.unwrap_or_else(|| {
                expected.push(Expected { key: step.key, read: None, appended: Vec::new() });
                expected.len() - 1
            });
            let of_key = &mut expected[known];
            let items = match (step.action, step.value) {
                (Action::Append, value) => {
                    of_key.appended.push(value);
                    continue;
                }
                (_, Value::List(items)) => &items[..],
                (_, Value::Nil) => &[],
                (_, Value::Int(_) | Value::Text(_)) => continue,
            };
            if !of_key.fits(items) {
                let (key, got) = (txns.key(step.key), brief(step.value));
                let words = format!(
                    "the read of {got} from {key} contradicts what the same transaction had read \
                     and appended before"
                );
                versions.found(Misread::Internal, step.key, &[number as u32], words);
            }
            *of_key = Expected { key: step.key, read: Some(items), appended: Vec::new() };
        }
    }
}

/// Looks for reads of what their own transaction appended only later.
pub(super) fn judge_future(versions: &mut Versions<'_>) {
    let mut found = Vec::new();
    for read in versions.reads.iter().filter(|read| !versions.lists[read.key as usize].broken) {
        // The appends of a transaction lie side by side.
        let first = versions.appends.partition_point(|append| append.txn < read.txn);
        let own = versions.appends[first..].iter().take_while(|append| append.txn == read.txn);
        let seen = |place: usize| place < read.items.len();
        let mut later = own.filter(|append| {
            append.key == read.key && append.step > read.step && append.place().is_some_and(seen)
        });
        if let Some(append) = later.next() {
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
    let mut first: FxHashMap<(u32, usize), u32> = FxHashMap::default();
    let mut found = Vec::new();
    let mut done = None;
    for read in versions.reads.iter().filter(|read| !versions.lists[read.key as usize].broken) {
        // Only what a transaction read first was there before it.
        if done == Some((read.txn, read.key)) || versions.fate(read.txn) != Fate::Committed {
            continue;
        }
        let steps = versions.txns.steps(&versions.txns.list()[read.txn as usize]);
        let same = |step: &&super::Step<'_>| step.key == read.key;
        let is_first = steps[..read.step as usize].iter().find(same).is_none();
        let appends = |step: &super::Step<'_>| step.action == Action::Append;
        if !is_first || !steps.iter().filter(same).any(appends) {
            continue;
        }
        done = Some((read.txn, read.key));
        let version = (read.key, read.items.len());
        let earlier = *first.entry(version).or_insert(read.txn);
        if earlier != read.txn {
            let words = format!(
                "both read {} from {} and appended to that: the later one did not see the other's \
                 append",
                brief(&Value::List(read.items.into())),
                versions.txns.key(read.key),
            );
            found.push((read.key, [earlier, read.txn], words));
        }
    }
    for (key, txns, words) in found {
        versions.found(Misread::LostUpdate, key, &txns, words);
    }
}

//! The versions of lists: what was appended, in which order, and who read how much of it.
//!
//! A read of a list shows all appends that led there, in their order, so the longest read of a key
//! is the order of its versions, and each other read has to be a beginning of it (Kingsbury and
//! Alvaro, "Elle", VLDB 2020: lists are *traceable*). Reads are compared with the longest, element
//! by element, and only its elements are looked up.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::anomalies::Misread;
use super::{Action, Fate, Txns, brief};
use crate::history::Value;
use crate::verdict::{Contrast, Legal};

/// Where an append is that nobody read.
const UNREAD: u32 = u32::MAX;

/// One append.
#[derive(Clone, Copy)]
pub(super) struct Append<'a> {
    /// Who did it.
    pub(super) txn: u32,
    pub(super) key: u32,
    pub(super) value: &'a Value,
    /// Which step of the transaction it is.
    step: u32,
    /// What the same transaction appended to the key just before.
    previous: Option<u32>,
    /// Whether the same transaction appends to the key again.
    more_follow: bool,
    place: u32,
}

impl Append<'_> {
    /// Where it is in the order of its key.
    pub(super) fn place(&self) -> Option<usize> {
        (self.place != UNREAD).then_some(self.place as usize)
    }
}

/// One key.
#[derive(Default)]
pub(super) struct List<'a> {
    /// Whether it is a list: appended to, or read as one, and never written otherwise.
    pub(super) is_list: bool,
    /// The longest read, and who read it.
    longest: &'a [Value],
    reader: u32,
    /// The appends that led to the longest read; none for what nobody appended.
    pub(super) order: Vec<Option<u32>>,
    /// Whether its reads contradict each other, so that there is no order.
    pub(super) broken: bool,
}

/// One read of a list.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) txn: u32,
    pub(super) step: u32,
    pub(super) key: u32,
    pub(super) items: &'a [Value],
}

/// What is wrong without any cycle; on each key, the first of each kind.
pub(super) struct Finding {
    /// Transactions that prove it.
    pub(super) txns: Vec<u32>,
    pub(super) words: String,
    /// What a transaction showed, against what it could have shown.
    pub(super) contrast: Option<Contrast>,
    /// How many more there are.
    pub(super) more: usize,
}

/// See the module.
pub(super) struct Versions<'a> {
    pub(super) txns: &'a Txns<'a>,
    pub(super) lists: Vec<List<'a>>,
    pub(super) appends: Vec<Append<'a>>,
    /// In the order of invocation.
    pub(super) reads: Vec<Read<'a>>,
    pub(super) findings: BTreeMap<(Misread, u32), Finding>,
    /// Reads of lists that are none: the transaction, the key and what was read.
    pub(super) no_lists: Vec<(u32, u32, &'a Value)>,
    by_value: FxHashMap<(u32, &'a Value), u32>,
}

impl<'a> Versions<'a> {
    /// Reads the versions of a history; or tells why they cannot be told from each other.
    pub(super) fn new(txns: &'a Txns<'a>) -> Result<Versions<'a>, String> {
        let mut versions = Versions {
            txns,
            lists: Vec::new(),
            appends: Vec::new(),
            reads: Vec::new(),
            findings: BTreeMap::new(),
            no_lists: Vec::new(),
            by_value: FxHashMap::default(),
        };
        versions.find_lists();
        versions.find_appends()?;
        versions.find_reads();
        versions.judge_orders();
        versions.judge_reads();
        Ok(versions)
    }

    /// Which keys are lists.
    fn find_lists(&mut self) {
        let mut written = vec![false; self.txns.key_count()];
        self.lists.resize_with(self.txns.key_count(), List::default);
        for step in self.txns.list().iter().flat_map(|txn| self.txns.steps(txn)) {
            let key = step.key as usize;
            match (step.action, step.value) {
                (Action::Append, _) | (Action::Read, Value::List(_)) => {
                    self.lists[key].is_list = true;
                }
                (Action::Write | Action::Inc, _) => written[key] = true,
                (Action::Read, _) => {}
            }
        }
        for (list, written) in self.lists.iter_mut().zip(written) {
            list.is_list &= !written;
        }
    }

    fn find_appends(&mut self) -> Result<(), String> {
        let mut last_of: Vec<Option<u32>> = vec![None; self.lists.len()];
        for (number, txn) in self.txns.list().iter().enumerate() {
            for (index, step) in self.txns.steps(txn).iter().enumerate() {
                if step.action != Action::Append || !self.lists[step.key as usize].is_list {
                    continue;
                }
                let id = self.appends.len() as u32;
                if self.by_value.insert((step.key, step.value), id).is_some() {
                    let (key, value) = (self.txns.key(step.key), brief(step.value));
                    return Err(format!(
                        "{value} was appended to {key} more than once, so nobody knows whose \
                         append a read saw"
                    ));
                }
                let last = last_of[step.key as usize].replace(id);
                let is_own = |id: &u32| self.appends[*id as usize].txn == number as u32;
                let previous = last.filter(is_own);
                if let Some(previous) = previous {
                    self.appends[previous as usize].more_follow = true;
                }
                self.appends.push(Append {
                    txn: number as u32,
                    key: step.key,
                    value: step.value,
                    step: index as u32,
                    previous,
                    more_follow: false,
                    place: UNREAD,
                });
            }
        }
        Ok(())
    }

    fn find_reads(&mut self) {
        for (number, txn) in self.txns.list().iter().enumerate().filter(|(_, txn)| txn.answered) {
            for (index, step) in self.txns.steps(txn).iter().enumerate() {
                let list = &mut self.lists[step.key as usize];
                if step.action != Action::Read || !list.is_list {
                    continue;
                }
                let (txn, key) = (number as u32, step.key);
                let Some(items) = items(step.value) else {
                    self.no_lists.push((txn, key, step.value));
                    continue;
                };
                if items.len() > list.longest.len() {
                    (list.longest, list.reader) = (items, txn);
                }
                self.reads.push(Read { txn, step: index as u32, key, items });
            }
        }
    }

    /// Makes the order of each list of its longest read, and judges that.
    fn judge_orders(&mut self) {
        for key in 0..self.lists.len() as u32 {
            let List { longest, reader, .. } = self.lists[key as usize];
            self.judge_elements(key, longest, reader);
            let id = |value| self.by_value.get(&(key, value)).copied();
            let order: Vec<Option<u32>> = longest.iter().map(id).collect();
            for (place, id) in order.iter().enumerate() {
                if let Some(id) = id {
                    self.appends[*id as usize].place = place as u32;
                }
            }
            self.judge_updates(key, &order, reader);
            self.judge_programs(key, &order, reader);
            self.lists[key as usize].order = order;
        }
    }

    /// Looks for elements that must not be in a list that was read.
    fn judge_elements(&mut self, key: u32, items: &'a [Value], reader: u32) {
        let mut seen = FxHashSet::default();
        for value in items {
            let words = || format!("{} on {}", brief(value), self.txns.key(key));
            if !seen.insert(value) {
                self.lists[key as usize].broken = true;
                let words = format!("the list that was read holds {} more than once", words());
                self.found(Misread::Duplicate, key, &[reader], words);
                continue;
            }
            let Some(id) = self.by_value.get(&(key, value)).copied() else {
                let words = format!("nobody appended {}", words());
                self.found(Misread::Garbage, key, &[reader], words);
                continue;
            };
            let writer = self.appends[id as usize].txn;
            if self.fate(writer) == Fate::Aborted {
                let words = format!("the transaction failed that appended {}", words());
                self.found(Misread::Aborted, key, &[writer, reader], words);
            }
        }
    }

    /// Looks for appends that stayed on top of one that failed.
    fn judge_updates(&mut self, key: u32, order: &[Option<u32>], reader: u32) {
        for pair in order.windows(2) {
            let [Some(below), Some(above)] = pair else { continue };
            let (below, above) = (self.appends[*below as usize], self.appends[*above as usize]);
            if self.fate(below.txn) == Fate::Aborted && self.fate(above.txn) == Fate::Committed {
                let words = format!(
                    "{} was appended to {} on top of {}, whose transaction failed",
                    brief(above.value),
                    self.txns.key(key),
                    brief(below.value),
                );
                self.found(Misread::DirtyUpdate, key, &[below.txn, above.txn, reader], words);
            }
        }
    }

    /// Looks for appends that are not in the order in which their transaction did them.
    fn judge_programs(&mut self, key: u32, order: &[Option<u32>], reader: u32) {
        for (place, id) in order.iter().enumerate() {
            let Some(append) = id.map(|id| self.appends[id as usize]) else { continue };
            let Some(previous) = append.previous.map(|id| self.appends[id as usize]) else {
                continue;
            };
            if previous.place().is_some_and(|earlier| earlier > place) {
                self.lists[key as usize].broken = true;
                let words = format!(
                    "{} was read on {} before {}, but their transaction appended it after that",
                    brief(append.value),
                    self.txns.key(key),
                    brief(previous.value),
                );
                self.found(Misread::Incompatible, key, &[append.txn, reader], words);
            }
        }
    }

    /// Holds each read against the order of its list.
    fn judge_reads(&mut self) {
        for index in 0..self.reads.len() {
            let read = self.reads[index];
            let List { longest, reader, .. } = self.lists[read.key as usize];
            if longest.starts_with(read.items) {
                continue;
            }
            self.lists[read.key as usize].broken = true;
            let same = read.items.iter().zip(longest).take_while(|(one, other)| one == other);
            let place = same.count();
            let words = format!(
                "neither of {} and {} is a beginning of the other, and both were read from {}: element \
                 {} is {} in the one and {} in the other",
                brief(&Value::List(read.items.into())),
                brief(&Value::List(longest.into())),
                self.txns.key(read.key),
                place + 1,
                brief(&read.items[place]),
                brief(&longest[place]),
            );
            let id = |txn: u32| self.txns.list()[txn as usize].id;
            let contrast =
                Contrast::new(id(read.txn), Legal::InOrderWith(Value::List(longest.into())))
                    .due_to(id(reader))
                    .observed(Value::List(read.items.into()));
            let said = (words, Some(contrast));
            self.found_in_contrast(Misread::Incompatible, read.key, &[reader, read.txn], said);
            self.judge_elements(read.key, read.items, read.txn);
        }
        for index in 0..self.reads.len() {
            let read = self.reads[index];
            if self.lists[read.key as usize].broken {
                continue;
            }
            let Some(last) = self.last_of_others(&read) else { continue };
            let append = self.appends[last as usize];
            if append.more_follow && self.fate(append.txn) != Fate::Aborted {
                let words = format!(
                    "{} was the last that was read of {}, but its transaction appended more",
                    brief(append.value),
                    self.txns.key(read.key),
                );
                self.found(Misread::Intermediate, read.key, &[append.txn, read.txn], words);
            }
        }
    }

    /// How much of a list a read shows without what its own transaction put at the end.
    pub(super) fn others(&self, read: &Read<'_>) -> usize {
        let order = &self.lists[read.key as usize].order[..read.items.len()];
        let own = |id: &Option<u32>| id.is_some_and(|id| self.appends[id as usize].txn == read.txn);
        order.iter().rposition(|id| !own(id)).map_or(0, |place| place + 1)
    }

    /// The last append of another transaction that a read of a list with an order shows.
    pub(super) fn last_of_others(&self, read: &Read<'_>) -> Option<u32> {
        let length = self.others(read);
        self.lists[read.key as usize].order[..length].last().copied().flatten()
    }

    /// Who read a list so far that it shows what comes just before an append, and whether that append
    /// comes next: of some transactions, or otherwise of all, the first that read most.
    ///
    /// That one append came after another, neither of their transactions shows: one that appends without
    /// reading may have found the list empty.
    pub(super) fn reader_of_order(&self, append: u32, first: &[u32]) -> u32 {
        let append = self.appends[append as usize];
        let list = &self.lists[append.key as usize];
        // What nobody read comes after all that was read.
        let shown = append.place().map_or(list.order.len(), |place| place + 1);
        let shows = |read: &&Read<'_>| {
            read.key == append.key && read.items.len() >= shown && first.contains(&read.txn)
        };
        self.reads.iter().find(shows).map_or(list.reader, |read| read.txn)
    }

    /// An element of a read that its own transaction appended only later.
    pub(super) fn own_of_later(&self, read: &Read<'_>) -> Option<&Append<'a>> {
        let shown = self.others(read)..read.items.len();
        let own = self.lists[read.key as usize].order[shown].iter().flatten();
        own.map(|id| &self.appends[*id as usize]).find(|append| append.step > read.step)
    }

    pub(super) fn fate(&self, txn: u32) -> Fate {
        self.txns.list()[txn as usize].fate
    }

    pub(super) fn found(&mut self, what: Misread, key: u32, txns: &[u32], words: String) {
        self.found_in_contrast(what, key, txns, (words, None));
    }

    /// The same, with what the last of the transactions showed against what it could have shown.
    pub(super) fn found_in_contrast(
        &mut self,
        what: Misread,
        key: u32,
        txns: &[u32],
        (words, contrast): (String, Option<Contrast>),
    ) {
        let new = || Finding { txns: txns.to_vec(), words, contrast, more: 0 };
        let more = |finding: &mut Finding| finding.more += 1;
        self.findings.entry((what, key)).and_modify(more).or_insert_with(new);
    }
}

/// The elements of a list that was read; `nil` is the empty one.
pub(super) fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items),
        Value::Nil => Some(&[]),
        Value::Int(_) | Value::Text(_) => None,
    }
}

//! The graph of dependencies between transactions on lists.
//!
//! A `ww` edge leads from the writer of each version to that of the next, a `wr` edge from the
//! writer of the last element of a read to the reader, an `rw` edge from a reader to the writer of
//! the next version (Adya 1999, chapter 3). An append that nobody read, of a transaction that took
//! effect, comes after all that was read: reads are beginnings of the list, and it is in none. Which
//! of several such appends is the first is not known, so nodes of the list stand before them: there,
//! `rw` means `rw` and maybe some `ww`.
//!
//! Time needs O(n) edges: barriers, a chain of nodes, one for each group of completions between two
//! invocations. A transaction leads to the barrier of its completion, and the last barrier to each
//! transaction that begins. Nobody waits for a transaction without an answer.

use rustc_hash::FxHashMap;

use super::Fate;
use super::anomalies::Level;
use super::graph::{Edge, Graph, Kinds};
use super::versions::{List, Versions};

/// The edges of a graph while it is made.
struct Builder<'a> {
    versions: &'a Versions<'a>,
    nodes: u32,
    list: Vec<(u32, Edge)>,
}

/// Makes the graph. Its first nodes are the transactions, in the order of invocation; nodes after
/// these are of lists and barriers.
pub(super) fn graph(versions: &Versions<'_>, level: Level) -> Graph {
    let nodes = versions.txns.list().len() as u32;
    let mut builder = Builder { versions, nodes, list: Vec::new() };
    builder.by_versions();
    builder.by_reads();
    builder.by_unread();
    if level == Level::StrictSerializable {
        builder.by_sessions();
        builder.by_time();
    }
    Graph::new(builder.nodes as usize, &builder.list)
}

impl<'a> Builder<'a> {
    fn add(&mut self, from: u32, to: u32, kind: Kinds, about: u32) {
        self.list.push((from, Edge { to, kind, about }));
    }

    fn node(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    fn sound_lists(&self) -> impl Iterator<Item = (u32, &'a List<'a>)> + use<'a> {
        let numbered = self.versions.lists.iter().enumerate();
        numbered
            .filter(|(_, list)| list.is_list && !list.broken)
            .map(|(key, list)| (key as u32, list))
    }

    /// Whose append it is, if that took effect as far as anybody knows.
    fn writer(&self, append: Option<u32>) -> Option<u32> {
        let txn = self.versions.appends[append? as usize].txn;
        (self.versions.fate(txn) != Fate::Aborted).then_some(txn)
    }

    fn by_versions(&mut self) {
        for (_, list) in self.sound_lists() {
            for pair in list.order.windows(2) {
                let (Some(from), Some(to)) = (self.writer(pair[0]), self.writer(pair[1])) else {
                    continue;
                };
                self.add(from, to, Kinds::WW, pair[1].expect("it has a writer"));
            }
        }
    }

    fn by_reads(&mut self) {
        for read in &self.versions.reads {
            let list = &self.versions.lists[read.key as usize];
            if list.broken {
                continue;
            }
            let last = self.versions.last_of_others(read);
            if let Some(writer) = self.writer(last) {
                self.add(writer, read.txn, Kinds::WR, last.expect("it has a writer"));
            }
            let next = list.order.get(read.items.len()).copied().flatten();
            // Behind what a transaction appended itself comes the next writer by `ww`.
            if let Some(writer) = self.writer(next)
                && self.versions.others(read) == read.items.len()
            {
                self.add(read.txn, writer, Kinds::RW, next.expect("it has a writer"));
            }
        }
    }

    /// Edges to the appends that nobody read, of transactions that took effect.
    fn by_unread(&mut self) {
        let versions = self.versions;
        let takes_part = self.takes_part();
        let mut unread: Vec<Vec<(u32, u32)>> = vec![Vec::new(); versions.lists.len()];
        for (id, append) in versions.appends.iter().enumerate() {
            let of_key = &mut unread[append.key as usize];
            let is_new = of_key.last().is_none_or(|(txn, _)| *txn != append.txn);
            if append.place().is_none() && takes_part[append.txn as usize] && is_new {
                of_key.push((append.txn, id as u32));
            }
        }
        let mut readers: Vec<Vec<u32>> = vec![Vec::new(); versions.lists.len()];
        for read in &versions.reads {
            let list = &versions.lists[read.key as usize];
            let of_key = &mut readers[read.key as usize];
            if !list.broken
                && read.items.len() == list.order.len()
                && versions.others(read) == read.items.len()
                && of_key.last() != Some(&read.txn)
            {
                of_key.push(read.txn);
            }
        }
        for (key, list) in self.sound_lists() {
            let (unread, readers) = (&unread[key as usize], &readers[key as usize]);
            if !unread.is_empty() {
                self.lead_to_unread(list, unread, readers);
            }
        }
    }

    /// Edges to the unread appends to one list (their transactions, and which they are), from those
    /// that read all that was ever read of it.
    fn lead_to_unread(&mut self, list: &List<'_>, unread: &[(u32, u32)], readers: &[u32]) {
        let appends_too = |txn: u32| unread.binary_search_by_key(&txn, |(txn, _)| *txn).is_ok();
        let gate = self.node();
        for (txn, append) in unread {
            self.add(gate, *txn, Kinds::STEP, *append);
        }
        let last = list.order.last().copied().flatten();
        if let Some(writer) = self.writer(last) {
            if appends_too(writer) {
                self.lead_to_others(writer, Kinds::WW, unread);
            } else {
                self.add(writer, gate, Kinds::WW, unread[0].1);
            }
        }
        let (both, only): (Vec<u32>, Vec<u32>) =
            readers.iter().partition(|reader| appends_too(**reader));
        for reader in only {
            self.add(reader, gate, Kinds::RW, unread[0].1);
        }
        // Several that read and append have lost an update, which is found without the graph.
        if let [reader] = both[..] {
            self.lead_to_others(reader, Kinds::RW, unread);
        }
    }

    /// Edges from one that has an unread append itself to the unread appends of others. It does not come
    /// before itself, so it needs a gate without itself.
    fn lead_to_others(&mut self, txn: u32, kind: Kinds, unread: &[(u32, u32)]) {
        let others = || unread.iter().filter(|(other, _)| *other != txn);
        let Some((_, first)) = others().next() else { return };
        let gate = self.node();
        self.add(txn, gate, kind, *first);
        for (other, append) in others() {
            self.add(gate, *other, Kinds::STEP, *append);
        }
    }

    /// Whether a transaction took effect for certain, or may have at the latest when it was read.
    fn takes_part(&self) -> Vec<bool> {
        let list = self.versions.txns.list();
        let mut takes_part: Vec<bool> =
            list.iter().map(|txn| txn.fate == Fate::Committed).collect();
        for append in &self.versions.appends {
            let was_read = append.place().is_some();
            takes_part[append.txn as usize] |=
                was_read && self.versions.fate(append.txn) == Fate::Unknown;
        }
        takes_part
    }

    fn by_sessions(&mut self) {
        let takes_part = self.takes_part();
        let mut last = FxHashMap::default();
        for (number, txn) in self.versions.txns.list().iter().enumerate() {
            if !takes_part[number] {
                continue;
            }
            if let Some((over, before)) = last.get(&txn.session)
                && *over < txn.invoked
            {
                self.add(*before, number as u32, Kinds::SESSION, 0);
            }
            if let Some(over) = txn.over {
                last.insert(txn.session, (over, number as u32));
            }
        }
    }

    fn by_time(&mut self) {
        let takes_part = self.takes_part();
        let mut events = Vec::new();
        for (number, txn) in self.versions.txns.list().iter().enumerate() {
            if takes_part[number] {
                events.push((txn.invoked, true, number as u32));
                events.extend(txn.over.map(|over| (over, false, number as u32)));
            }
        }
        events.sort_unstable();
        let mut barrier = None;
        let mut is_used = true;
        for (_, begins, txn) in events {
            if begins {
                if let Some(barrier) = barrier {
                    self.add(barrier, txn, Kinds::STEP, 0);
                    is_used = true;
                }
                continue;
            }
            if is_used {
                let next = self.node();
                if let Some(barrier) = barrier.replace(next) {
                    self.add(barrier, next, Kinds::STEP, 0);
                }
                is_used = false;
            }
            self.add(txn, barrier.expect("it was just made"), Kinds::REALTIME, 0);
        }
    }
}

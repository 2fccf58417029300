//! What everybody must see of a session's writes: they come in their order, and after what the
//! session had read.
//!
//! Both are judged by observers. An observer is a session that asks for the store's strongest
//! reads, or a session that reads at one replica; whoever reads here and there has seen nothing of
//! an order. Where an observer has seen a write, it must from then on see everything that the write
//! depends on, or something newer: the earlier acknowledged writes of the writing session (monotonic
//! writes), or what that session had read before (writes-follow-reads). The keys may differ. On the
//! key of the write itself, the observer must not even find exactly what the write depends on: it
//! would have seen the two in the wrong order.
//!
//! What a session had read before may be another session's write, which follows what that one had read, and so
//! on: of writes-follow-reads, all of these are held against the observer, with the first 8 million entries
//! of who had read what. Monotonic writes say nothing of other sessions.

use rustc_hash::FxHashMap;

use super::chains::{Chains, Known, Sighting, learn};
use super::{
    Observation, State, anomaly, coverage, is_done_write, observed, proof, verdict, versions,
};
use crate::checker::Checker;
use crate::checker::order::{Order, Rank};
use crate::checker::words::{asked, told};
use crate::history::{
    Event, EventIndex, History, KeyId, NodeId, Op, Operation, OperationId, Phase, ReadLevel,
    SessionId, ValueId,
};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict};

/// Monotonic writes: a session's writes take effect in their order, for everybody.
///
/// A violation is an observer that has seen a session's write, and then finds a key as it was before
/// an acknowledged earlier write of that session, or the key of the write as that one had left it. It
/// may well be one of monotonic reads, too.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicWrites;

/// Writes-follow-reads: what a session writes is newer, for everybody, than what it had read.
///
/// A violation is an observer that has seen a session's write, and then finds a key as it was before
/// what that session had read earlier, or the key of the write as the session had read it; or as it was
/// before what those had read, earlier still, whose writes the session had read. It may well be one of
/// monotonic reads, too.
#[derive(Clone, Copy, Debug)]
pub struct WritesFollowReads;

impl Checker for MonotonicWrites {
    fn check(&self, history: &History) -> Verdict {
        Judge::new(history, Guarantee::MonotonicWrites)
            .run("nobody who had seen a write to a register then read what its session had written before")
    }
}

impl Checker for WritesFollowReads {
    fn check(&self, history: &History) -> Verdict {
        Judge::new(history, Guarantee::WritesFollowReads).run(
            "nobody who had seen a write to a register then read what its session had read before",
        )
    }
}

/// Who looks: a session, at one replica or at the store.
type Observer = (SessionId, Option<NodeId>);

/// What one session did to one key, and may not be undone for who has seen what it wrote later.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// The first operation that found or wrote a value.
    first: FxHashMap<ValueId, OperationId>,
    /// The same of a version.
    first_of_version: FxHashMap<u64, OperationId>,
}

/// The newest of a log's states, up to one.
#[derive(Clone, Copy)]
struct Entry {
    /// The operation that this entry came with; it was over before later ones came.
    last: State,
    end: EventIndex,
    begin: (u64, OperationId),
    unversioned: Option<(u64, OperationId)>,
    version: Option<(u64, OperationId)>,
}

/// What an observer has seen of one key.
#[derive(Default)]
struct View {
    /// Whether some write that was seen depends on this key.
    depends: bool,
    /// When the last of the key's writes that were seen began.
    last: Option<EventIndex>,
}

/// The highest of the states in all logs of a key.
#[derive(Default)]
struct Newest {
    begin: u64,
    version: Option<u64>,
}

struct Judge<'a> {
    history: &'a History,
    guarantee: Guarantee,
    order: Order<'a>,
    logs: FxHashMap<(SessionId, KeyId), Log>,
    /// What an observer has seen, and must not be without.
    seen: FxHashMap<Observer, Known>,
    /// The last write of a session to a key that an observer has seen.
    seen_at: FxHashMap<(Observer, SessionId, KeyId), Sighting>,
    /// What was seen of one key, by one observer.
    views: FxHashMap<(Observer, KeyId), View>,
    /// What writes follow through other sessions, where the guarantee is about that.
    chains: Option<Chains<'a>>,
    /// The newest state of each key in any log.
    newest: FxHashMap<KeyId, Newest>,
    /// When a value was first over in any log.
    first: FxHashMap<(KeyId, ValueId), EventIndex>,
    coverage: Coverage,
    anomalies: Vec<Anomaly>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History, guarantee: Guarantee) -> Judge<'a> {
        Judge {
            history,
            guarantee,
            order: Order::new(history),
            logs: FxHashMap::default(),
            seen: FxHashMap::default(),
            seen_at: FxHashMap::default(),
            views: FxHashMap::default(),
            chains: (guarantee == Guarantee::WritesFollowReads).then(|| Chains::new(history)),
            newest: FxHashMap::default(),
            first: FxHashMap::default(),
            coverage: coverage(),
            anomalies: Vec::new(),
        }
    }

    fn run(mut self, vacuous: &str) -> Verdict {
        let history = self.history;
        for (_, event) in history.events() {
            match event {
                Event::Phase(Phase::Final) => break,
                Event::Phase(_) | Event::Fault(_) => {}
                Event::Invoke(operation) => {
                    self.judge(&operation);
                    if let Some(chains) = &mut self.chains
                        && operation.value_written().is_some()
                    {
                        chains.begin(&operation);
                    }
                }
                Event::Complete(operation) => {
                    self.log(&operation);
                    self.sight(&operation);
                }
            }
        }
        self.coverage.keys = history.key_count();
        if self.chains.as_ref().is_some_and(Chains::are_cut) {
            self.coverage.method +=
                "; what writes follow through other sessions is known of the first ones only";
        }
        verdict(&self.order, self.anomalies, self.coverage, vacuous)
    }

    /// Remembers what the operation makes later writes of its session depend on.
    fn log(&mut self, operation: &Operation<'_>) {
        let (state, value) = if self.guarantee == Guarantee::MonotonicWrites {
            let Some(value) = operation.value_written().filter(|_| is_done_write(operation)) else {
                return;
            };
            (State::written(self.history, &self.order, operation), value)
        } else {
            let Some(observation) = observed(self.history, operation) else { return };
            // Who found what nobody had written depends on nothing.
            if self.order.writers(*operation.op.key(), observation.value).next().is_none() {
                return;
            }
            let Some(state) = State::found(&self.order, operation, observation) else { return };
            (state, observation.value)
        };
        let key = *operation.op.key();
        let end = operation.completed.expect("what left or found something has ended");
        let newest = self.newest.entry(key).or_default();
        newest.begin = newest.begin.max(state.begin);
        newest.version = newest.version.max(state.version);
        self.first.entry((key, value)).or_insert(end);
        let log = self.logs.entry((operation.session, key)).or_default();
        log.add(state, end);
        log.first.entry(value).or_insert(operation.id);
        if let Some(version) = state.version {
            log.first_of_version.entry(version).or_insert(operation.id);
        }
    }

    /// Remembers whose write the operation has seen.
    fn sight(&mut self, by: &Operation<'_>) {
        let Some(found) = observed(self.history, by) else { return };
        let key = *by.op.key();
        let Some(write) = self.order.writer(key, found.value) else { return };
        if let Some(chains) = &mut self.chains {
            chains.read(by, &write);
        }
        let Some(observer) = observer(by) else { return };
        let followed = self.chains.as_ref().and_then(|chains| chains.followed_by(write.id));
        learn(self.history, self.seen.entry(observer).or_default(), by, &write, followed);
        let view = self.views.entry((observer, key)).or_default();
        view.last = view.last.max(Some(write.invoked));
        let sighting = Sighting { write: write.id, by: by.id };
        let seen_at = self.seen_at.entry((observer, write.session, key)).or_insert(sighting);
        if self.history.operation(seen_at.write).invoked < write.invoked {
            *seen_at = sighting;
        }
    }

    /// Holds what the operation found against all that its observer has seen.
    fn judge(&mut self, read: &Operation<'_>) {
        let (Some(observer), Some(found)) = (observer(read), observed(self.history, read)) else {
            return;
        };
        let key = *read.op.key();
        let (Some(rank), Some(seen)) =
            (self.order.rank(key, found.value), self.seen.get(&observer))
        else {
            return;
        };
        let view = self.views.get(&(observer, key));
        let depends = view.is_some_and(|view| view.depends);
        if depends && self.is_fresh(key, &rank, found, view) {
            self.coverage.operations += 1;
            return;
        }
        let mut judged = depends;
        let mut wrong: Vec<(OperationId, Sighting)> = Vec::new();
        for (session, sighting) in seen {
            if let Some(log) = self.logs.get(&(*session, key)) {
                let write = self.history.operation(sighting.write);
                if let Some(entry) = log.before(write.invoked) {
                    judged = true;
                    let newer = entry.newer_than(&rank, found.version);
                    wrong.extend(newer.map(|newer| (newer, *sighting)));
                }
            }
            if let Some(at) = self.seen_at.get(&(observer, *session, key)) {
                wrong.extend(self.in_front_of(*at, key, found));
            }
        }
        self.coverage.operations += usize::from(judged);
        self.views.entry((observer, key)).or_default().depends = judged;
        // What was seen itself is told sooner than what leads there through other sessions.
        let fewest = wrong.into_iter().min_by_key(|(_, sighting)| self.through(*sighting).len());
        if let Some((on, sighting)) = fewest {
            let found = self.explain(read, on, sighting);
            self.anomalies.push(found);
        }
    }

    /// What left or found exactly this value, where a write of the key that was seen depends on that; and
    /// the write of the same session through which it does.
    fn in_front_of(
        &self,
        seen: Sighting,
        key: KeyId,
        found: Observation,
    ) -> Option<(OperationId, Sighting)> {
        let last = self.history.operation(seen.write);
        let depends = |on: Sighting| {
            let write = self.history.operation(on.write);
            let log = self.logs.get(&(write.session, key))?;
            self.same(log, (&write, &last), key, found).map(|same| (same, on))
        };
        let followed = self.chains.as_ref().and_then(|chains| chains.followed_by(seen.write));
        let followed = followed.into_iter().flat_map(Known::values);
        let through = followed.map(|on| Sighting { write: on.write, by: seen.by });
        [seen].into_iter().chain(through).find_map(depends)
    }

    /// Whether no log at all can prove what was found to be wrong. Saves the search in the logs of
    /// all sessions for all but stale reads.
    fn is_fresh(&self, key: KeyId, rank: &Rank, found: Observation, view: Option<&View>) -> bool {
        let Some(newest) = self.newest.get(&key) else { return true };
        let (place, last) = rank.below();
        let is_newest = !rank.ended_before(newest.begin)
            && place == last
            && found
                .version
                .is_none_or(|version| newest.version.is_none_or(|high| high <= version));
        let first = self.first.get(&(key, found.value));
        let seen = view.and_then(|view| view.last);
        is_newest && first.is_none_or(|first| seen.is_none_or(|seen| seen < *first))
    }

    /// The operation of the log that left or found exactly this value before the session's write, on which
    /// the last one to the same key depends, if nothing else can have made the key hold it.
    fn same(
        &self,
        log: &Log,
        (write, last): (&Operation<'_>, &Operation<'_>),
        key: KeyId,
        Observation { value, version }: Observation,
    ) -> Option<OperationId> {
        // A version says which write it was; a value only where it came once.
        let first = match version.and_then(|version| log.first_of_version.get(&version)) {
            Some(first) => first,
            None => {
                self.order.writer(key, value).filter(|writer| writer.id != last.id)?;
                log.first.get(&value)?
            }
        };
        self.history.operation(*first).precedes(write).then_some(*first)
    }

    fn explain(&self, read: &Operation<'_>, on: OperationId, sighting: Sighting) -> Anomaly {
        let history = self.history;
        let [on, write, by] = [on, sighting.write, sighting.by].map(|id| history.operation(id));
        let key = |operation: &Operation<'_>| history.key(*operation.op.key());
        let after = if self.guarantee == Guarantee::MonotonicWrites {
            format!("after its own {}", asked(history, on.id))
        } else {
            format!("after it had read {} = {}", key(&on), self.found(&on))
        };
        // On the key of the write, what the write depends on is old enough.
        let (state, before) = if self.guarantee == Guarantee::MonotonicWrites {
            (on.value_written(), asked(history, on.id))
        } else {
            let state = observed(history, &on).map(|observation| observation.value);
            (state, format!("{} = {}", key(&on), self.found(&on)))
        };
        let through = self.through(sighting);
        let last = through.last().map_or(write, |(_, write)| *write);
        let is_at_write = read.op.key() == last.op.key()
            && state == observed(history, read).map(|observation| observation.value);
        let before = if is_at_write { asked(history, last.id) } else { before };
        let place = read.node.filter(|_| observer(read).is_some_and(|(_, node)| node.is_some()));
        let place = place.map_or_else(String::new, |node| format!(" at n{node}"));
        let mut what =
            format!("session {} did {} {after}; ", write.session, asked(history, write.id));
        for (by, write) in &through {
            what += &format!(
                "session {} did {} after it had read {} = {}; ",
                write.session,
                asked(history, write.id),
                key(by),
                self.found(by),
            );
        }
        what += &format!(
            "session {} saw {} = {}{place} and then found {} = {}, as it was before {before}{}",
            read.session,
            key(&by),
            self.found(&by),
            key(read),
            self.found(read),
            versions(history, &on, read),
        );
        let mut witness = proof(history, &self.order, self.guarantee, &on, read);
        let through = through.iter().flat_map(|(by, write)| [by.id, write.id]);
        witness.operations.extend([write.id, by.id].into_iter().chain(through));
        let newer = if is_at_write { &last } else { &on };
        anomaly(history, self.guarantee, read, newer, witness, what)
    }

    /// What an operation found, in words.
    fn found(&self, operation: &Operation<'_>) -> String {
        let found = observed(self.history, operation).expect("what is judged tells what it found");
        told(self.history, found.value)
    }

    /// The reads and writes that lead from a write to the one that was seen itself, in their order.
    fn through(&self, sighting: Sighting) -> Vec<(Operation<'a>, Operation<'a>)> {
        let session = self.history.operation(sighting.write).session;
        let mut through = Vec::new();
        let mut by = self.history.operation(sighting.by);
        loop {
            let found = observed(self.history, &by).expect("it showed a write");
            let write = self.order.writer(*by.op.key(), found.value).expect("it showed one write");
            if write.id == sighting.write {
                through.reverse();
                return through;
            }
            let known = self.chains.as_ref().and_then(|chains| chains.followed_by(write.id));
            let before = known.and_then(|known| known.get(&session)).expect("it led there");
            by = self.history.operation(before.by);
            through.push((by, write));
        }
    }
}

/// Whose eyes an operation is, if its node is known where it matters.
fn observer(operation: &Operation<'_>) -> Option<Observer> {
    match operation.op {
        Op::Read { level: ReadLevel::Replica, .. } => {
            operation.node.map(|node| (operation.session, Some(node)))
        }
        _ => Some((operation.session, None)),
    }
}

impl Log {
    fn add(&mut self, state: State, end: EventIndex) {
        let past = self.entries.last().copied();
        let newer = |past: Option<(u64, OperationId)>, now: u64| match past {
            Some(past) if past.0 > now => past,
            _ => (now, state.id),
        };
        let begin = newer(past.map(|past| past.begin), state.begin);
        let mut unversioned = past.and_then(|past| past.unversioned);
        let mut version = past.and_then(|past| past.version);
        match state.version {
            Some(now) => version = Some(newer(version, now)),
            None => unversioned = Some(newer(unversioned, state.begin)),
        }
        self.entries.push(Entry { last: state, end, begin, unversioned, version });
    }

    /// The newest of what was over when the write began.
    fn before(&self, began: EventIndex) -> Option<&Entry> {
        let count = self.entries.partition_point(|entry| entry.end < began);
        count.checked_sub(1).map(|last| &self.entries[last])
    }
}

impl Entry {
    /// The operation of the log with a state that is certainly newer than what was found.
    fn newer_than(&self, rank: &Rank, version: Option<u64>) -> Option<OperationId> {
        let by_version = |version: u64| self.version.filter(|(highest, _)| version < *highest);
        let newest = if version.is_some() { self.unversioned } else { Some(self.begin) };
        let by_time = newest.filter(|(begin, _)| rank.ended_before(*begin));
        let comparable = version.is_none() || self.last.version.is_none();
        let replaced = self.last.place.is_some_and(|place| comparable && rank.is_above(place));
        let known = version.and_then(by_version).or(by_time).map(|(_, id)| id);
        known.or(replaced.then_some(self.last.id))
    }
}

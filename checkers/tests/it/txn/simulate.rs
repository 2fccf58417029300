//! Stores of a known isolation, played at random, and all orders of few transactions.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{Checker, Level, ListAppend};
use stormglass_checkers::history::Value;
use stormglass_checkers::{History, Verdict};

use super::{Recorder, Step, said, step};

/// How a store isolates its transactions.
#[derive(Clone, Copy, PartialEq)]
enum Isolation {
    /// Each takes effect at one instant.
    Serial,
    /// Each reads what was there when it began; of two that append to a key at the same time, only
    /// the first one commits.
    Snapshot,
    /// Each step reads what is committed; who appends to a key locks it until it ends.
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Ok,
    Fail,
    Info,
}

/// A transaction and what became of it. Times are places in the log.
#[derive(Clone, Debug)]
struct Txn {
    process: u32,
    steps: Vec<Step>,
    fate: Fate,
    begin: usize,
    end: usize,
}

/// What happened: the transactions, and for each event the transaction that began or ended.
struct Played {
    txns: Vec<Txn>,
    log: Vec<usize>,
}

type Lists = [Vec<i64>; 2];

/// A transaction that the store has not ended yet, whatever its client knows.
struct Running {
    txn: usize,
    /// What is there for it: as it was when it began, or (a list longer than the committed one) what
    /// it appended.
    snapshot: Option<Lists>,
    own: Lists,
    next: usize,
}

struct Store {
    isolation: Isolation,
    lists: Lists,
    locks: [Option<usize>; 2],
    played: Played,
    running: Vec<Running>,
}

impl Store {
    fn end(&mut self, txn: usize, fate: Fate) {
        if self.played.txns[txn].fate == Fate::Open {
            self.played.txns[txn].fate = fate;
            self.played.txns[txn].end = self.played.log.len();
            self.played.log.push(txn);
        }
    }

    /// What a transaction sees of a key.
    fn seen(&self, running: &Running, key: usize) -> Vec<i64> {
        let base = match (&running.snapshot, self.isolation) {
            (Some(snapshot), Isolation::Snapshot) => &snapshot[key],
            _ => &self.lists[key],
        };
        base.iter().chain(&running.own[key]).copied().collect()
    }

    /// Does one step; whether the transaction goes on.
    fn act(&mut self, running: &mut Running) -> bool {
        if running.snapshot.is_none() {
            running.snapshot = Some(self.lists.clone());
        }
        let txn = running.txn;
        let Some(step) = self.played.txns[txn].steps.get(running.next).cloned() else {
            return self.commit(running);
        };
        if step.name == "append" {
            let holder = self.locks[step.key];
            if self.isolation == Isolation::Committed && holder.is_some_and(|holder| holder != txn)
            {
                return self.abort(running);
            }
            self.locks[step.key] = Some(txn);
            let Value::Int(number) = step.value else { unreachable!() };
            running.own[step.key].push(number);
        } else {
            let seen = self.seen(running, step.key);
            // An answer that is on its way cannot change.
            self.played.txns[txn].steps[running.next].value = list(&seen);
        }
        running.next += 1;
        true
    }

    fn abort(&mut self, running: &Running) -> bool {
        self.unlock(running.txn);
        self.end(running.txn, Fate::Fail);
        false
    }

    fn unlock(&mut self, txn: usize) {
        for lock in &mut self.locks {
            if *lock == Some(txn) {
                *lock = None;
            }
        }
    }

    fn commit(&mut self, running: &Running) -> bool {
        let snapshot = running.snapshot.as_ref().unwrap();
        let changed = |key: usize| snapshot[key].len() != self.lists[key].len();
        let conflicts = |key: usize| changed(key) && !running.own[key].is_empty();
        if self.isolation == Isolation::Snapshot && (conflicts(0) || conflicts(1)) {
            return self.abort(running);
        }
        for (list, own) in self.lists.iter_mut().zip(&running.own) {
            list.extend(own);
        }
        self.unlock(running.txn);
        self.end(running.txn, Fate::Ok);
        false
    }
}

fn list(items: &[i64]) -> Value {
    if items.is_empty() {
        return Value::Nil;
    }
    Value::List(items.iter().map(|item| Value::Int(*item)).collect())
}

/// Plays some transactions of up to three steps on two keys.
fn play(random: &mut ChaCha8Rng, isolation: Isolation, count: usize) -> Played {
    let mut store = Store {
        isolation,
        lists: Lists::default(),
        locks: [None; 2],
        played: Played { txns: Vec::new(), log: Vec::new() },
        running: Vec::new(),
    };
    while store.played.txns.len() < count || !store.running.is_empty() {
        let begins = store.running.is_empty() || random.random_bool(0.25);
        if begins && store.played.txns.len() < count {
            let txn = store.played.txns.len();
            let steps = (0..random.random_range(1..4)).map(|index| {
                let key = random.random_range(0..2);
                if random.random_bool(0.5) {
                    step("append", key, Value::Int((txn * 10 + index) as i64))
                } else {
                    step("r", key, Value::Nil)
                }
            });
            let steps = steps.collect();
            let begin = store.played.log.len();
            let process = txn as u32;
            store.played.txns.push(Txn { process, steps, fate: Fate::Open, begin, end: begin });
            store.played.log.push(txn);
            let own = Lists::default();
            store.running.push(Running { txn, snapshot: None, own, next: 0 });
            continue;
        }
        let index = random.random_range(0..store.running.len());
        let mut running = store.running.swap_remove(index);
        if random.random_bool(0.08) {
            // The client gives up; the store may go on, or never hears of it again.
            store.end(running.txn, Fate::Info);
            if random.random_bool(0.5) {
                store.unlock(running.txn);
                continue;
            }
        }
        let mut goes_on = store.act(&mut running);
        while goes_on && isolation == Isolation::Serial {
            goes_on = store.act(&mut running);
        }
        if goes_on {
            store.running.push(running);
        }
    }
    store.played
}

impl Played {
    fn history(&self) -> History {
        let mut recorder = Recorder::new();
        let mut begun = vec![false; self.txns.len()];
        for number in &self.log {
            let txn = &self.txns[*number];
            if !std::mem::replace(&mut begun[*number], true) {
                recorder.invoke(txn.process, &txn.steps);
                continue;
            }
            match txn.fate {
                Fate::Ok => recorder.ok(txn.process, &txn.steps),
                Fate::Fail => recorder.fail(txn.process),
                Fate::Info => recorder.info(txn.process),
                Fate::Open => unreachable!(),
            }
        }
        recorder.finish()
    }

    /// Changes what one transaction read; whether there was a read to change.
    fn spoil(&mut self, random: &mut ChaCha8Rng) -> bool {
        let is_read = |step: &&mut Step| step.name == "r";
        let ok = self.txns.iter_mut().filter(|txn| txn.fate == Fate::Ok);
        let mut reads: Vec<&mut Step> =
            ok.flat_map(|txn| txn.steps.iter_mut()).filter(is_read).collect();
        if reads.is_empty() {
            return false;
        }
        let other = reads[random.random_range(0..reads.len())].value.clone();
        let index = random.random_range(0..reads.len());
        let value = &mut reads[index].value;
        let mut items = match &*value {
            Value::List(items) => items.to_vec(),
            _ => Vec::new(),
        };
        match random.random_range(0..5) {
            4 if !items.is_empty() => drop(items.remove(0)),
            0 => drop(items.pop()),
            1 if items.len() > 1 => items.swap(0, 1),
            2 => items.clear(),
            _ => {
                if let Value::List(other) = &other {
                    items.extend(other.last().cloned());
                }
            }
        }
        let spoilt = if items.is_empty() { Value::Nil } else { Value::List(items.into()) };
        std::mem::replace(value, spoilt.clone()) != spoilt
    }

    /// Whether some order of the transactions explains all that was read at this level.
    fn is_explained(&self, level: Level) -> bool {
        Search { txns: &self.txns, level }
            .go(&Lists::default(), &mut vec![At::Before; self.txns.len()])
    }
}

impl Played {
    /// Some of the transactions, as if the others had never been: their elements are in no list.
    fn only(&self, numbers: &[usize]) -> Played {
        let mut txns: Vec<Txn> = numbers.iter().map(|number| self.txns[*number].clone()).collect();
        let is_append = |step: &&Step| step.name == "append";
        let all = txns.iter().flat_map(|txn| txn.steps.iter().filter(is_append));
        let known: Vec<Value> = all.map(|step| step.value.clone()).collect();
        for step in txns.iter_mut().flat_map(|txn| txn.steps.iter_mut()) {
            if let Value::List(items) = &step.value {
                let items: Vec<Value> =
                    items.iter().filter(|item| known.contains(item)).cloned().collect();
                let is_empty = items.is_empty();
                step.value = if is_empty { Value::Nil } else { Value::List(items.into()) };
            }
        }
        Played { txns, log: Vec::new() }
    }
}

/// Where a transaction is in an order that is tried.
#[derive(Clone, PartialEq)]
enum At {
    Before,
    Running(Lists),
    After,
}

/// Tries every order in which the transactions may have begun and committed, in the store.
struct Search<'a> {
    txns: &'a [Txn],
    level: Level,
}

impl Search<'_> {
    fn go(&self, lists: &Lists, at: &mut Vec<At>) -> bool {
        let is_open = |(txn, at): (&Txn, &At)| txn.fate == Fate::Ok && *at != At::After;
        if !self.txns.iter().zip(at.iter()).any(is_open) {
            return true;
        }
        (0..at.len()).any(|number| {
            let before = at[number].clone();
            let found = match &before {
                At::After => false,
                At::Before => self.begin(number, lists, at),
                At::Running(snapshot) => self.commit(number, snapshot, lists, at),
            };
            at[number] = before;
            found
        })
    }

    fn begin(&self, number: usize, lists: &Lists, at: &mut Vec<At>) -> bool {
        let txn = &self.txns[number];
        let waits_for = |(other, at): (&Txn, &At)| {
            other.fate == Fate::Ok && other.end < txn.begin && *at != At::After
        };
        let is_strict = self.level == Level::StrictSerializable;
        if txn.fate == Fate::Fail
            || (is_strict && self.txns.iter().zip(at.iter()).any(waits_for))
            || (txn.fate == Fate::Ok && !answers(txn, lists))
        {
            return false;
        }
        if self.level == Level::SnapshotIsolation {
            at[number] = At::Running(lists.clone());
            self.go(lists, at)
        } else {
            self.commit(number, lists, lists, at)
        }
    }

    fn commit(&self, number: usize, snapshot: &Lists, lists: &Lists, at: &mut Vec<At>) -> bool {
        let mut after = lists.clone();
        for step in self.txns[number].steps.iter().filter(|step| step.name == "append") {
            let Value::Int(item) = step.value else { unreachable!() };
            if snapshot[step.key] != lists[step.key] {
                return false;
            }
            after[step.key].push(item);
        }
        at[number] = At::After;
        self.go(&after, at)
    }
}

/// Whether a transaction reads what it answered, where it begins with these lists.
fn answers(txn: &Txn, lists: &Lists) -> bool {
    let mut lists = lists.clone();
    txn.steps.iter().all(|step| match &step.value {
        Value::Int(item) => {
            lists[step.key].push(*item);
            true
        }
        read => *read == list(&lists[step.key]),
    })
}

fn judge(history: &History, level: Level) -> Verdict {
    ListAppend { level }.check(history)
}

/// Plays stores of one isolation; how many of their histories each level calls valid and invalid.
fn outcomes(seed: u64, isolation: Isolation) -> [(Level, u32, u32); 4] {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = [
        Level::ReadCommitted,
        Level::SnapshotIsolation,
        Level::Serializable,
        Level::StrictSerializable,
    ]
    .map(|level| (level, 0, 0));
    for _ in 0..1_000 {
        let count = random.random_range(2..30);
        let history = play(&mut random, isolation, count).history();
        for (level, valid, invalid) in &mut counts {
            let verdict = judge(&history, *level);
            *valid += u32::from(verdict.is_valid());
            *invalid += u32::from(verdict.is_invalid());
            for found in verdict.anomalies() {
                let plain = found.name.trim_end_matches("-realtime").trim_end_matches("-session");
                let allowed = match isolation {
                    Isolation::Serial => &[][..],
                    Isolation::Snapshot => &["G2", "G-single", "G-nonadjacent"],
                    Isolation::Committed => {
                        &["G2", "G-single", "G-nonadjacent", "internal", "lost-update"]
                    }
                };
                let is_stale = plain != found.name;
                let fits = allowed.contains(&plain)
                    && (isolation != Isolation::Snapshot || plain == "G2" || is_stale);
                assert!(fits, "{}: {found:#?}", said(&verdict));
            }
        }
    }
    counts
}

#[test]
fn one_transaction_after_the_other_is_wrong_at_no_level() {
    for (level, valid, invalid) in outcomes(1, Isolation::Serial) {
        assert_eq!(invalid, 0, "{level:?}");
        assert!(valid > 800, "{level:?}: only {valid} were judged");
    }
}

#[test]
fn snapshots_allow_write_skew_and_no_more() {
    let [committed, snapshot, serializable, strict] = outcomes(2, Isolation::Snapshot);
    assert_eq!((committed.2, snapshot.2), (0, 0));
    assert!(snapshot.1 > 800, "only {} were judged", snapshot.1);
    assert!(serializable.2 > 100, "only {} showed write skew", serializable.2);
    assert!(strict.2 >= serializable.2);
}

#[test]
fn reads_of_what_is_committed_are_all_that_locks_give() {
    let [committed, snapshot, serializable, strict] = outcomes(3, Isolation::Committed);
    assert_eq!(committed.2, 0);
    assert!(committed.1 > 800, "only {} were judged", committed.1);
    assert!(snapshot.2 > 200, "only {} were no snapshots", snapshot.2);
    assert!(serializable.2 >= snapshot.2 && strict.2 >= serializable.2);
}

#[test]
fn nothing_is_wrong_that_some_order_explains() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let levels = [Level::SnapshotIsolation, Level::Serializable, Level::StrictSerializable];
    let mut explained = [0_u32; 3];
    let mut unexplained = [0_u32; 3];
    let mut found = [0_u32; 3];
    let mut cycles_proved = 0;
    for round in 0..6_000 {
        let isolations = [Isolation::Serial, Isolation::Snapshot, Isolation::Committed];
        let count = random.random_range(2..5);
        let mut played = play(&mut random, isolations[round % 3], count);
        if round % 2 == 1 {
            played.spoil(&mut random);
        }
        let history = played.history();
        // Operations are numbered as they were invoked.
        let mut begun: Vec<usize> = Vec::new();
        for number in &played.log {
            if !begun.contains(number) {
                begun.push(*number);
            }
        }
        for (index, level) in levels.into_iter().enumerate() {
            let verdict = judge(&history, level);
            let cycles = verdict.anomalies().iter().filter(|found| {
                found.name.starts_with('G') && !["G1a", "G1b"].contains(&found.name.as_str())
            });
            for cycle in cycles {
                let ids = cycle.witness.operations.iter();
                let numbers: Vec<usize> = ids.map(|id| begun[id.index()]).collect();
                let proof = played.only(&numbers);
                assert!(!proof.is_explained(level), "{cycle:#?} of {:#?}", played.txns);
                cycles_proved += 1;
            }
            if played.is_explained(level) {
                assert!(!verdict.is_invalid(), "{:#?}: {verdict:#?}", played.txns);
                explained[index] += 1;
            } else {
                unexplained[index] += 1;
                found[index] += u32::from(verdict.is_invalid());
            }
        }
    }
    assert!(explained.iter().all(|count| *count > 2_000), "{explained:?}");
    assert!(cycles_proved > 500, "only {cycles_proved} cycles were proved by themselves");
    // What is missed at snapshot isolation needs the order of two appends that nobody read.
    expect_test::expect!["found [900, 959, 1098] of [903, 959, 1098]"]
        .assert_eq(&format!("found {found:?} of {unexplained:?}"));
}

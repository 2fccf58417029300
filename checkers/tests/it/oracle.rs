//! The linearizability checker against brute force, on all small histories and on random ones, and
//! against an engine that somebody else wrote.
//!
//! The oracle tries every order of the operations of a key, with and without each indeterminate
//! one. It shares nothing with the search but the history.

use std::collections::BTreeMap;

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stateright::semantics::{self, ConsistencyTester, LinearizabilityTester};
use stormglass_checkers::History;
use stormglass_checkers::checker::linearizable::{Call, Found, search};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Op, Outcome, ProcessId, ReadLevel, Reason, Ret, SessionId, Time,
    Value,
};
use stormglass_checkers::model::SequentialSpec;

/// What an operation asked, what came of it, and when.
#[derive(Clone, Debug)]
struct Item {
    op: Op,
    /// None: nobody knows.
    outcome: Option<Outcome>,
    invoked: usize,
    completed: usize,
}

impl Item {
    fn is_optional(&self) -> bool {
        matches!(self.outcome, None | Some(Outcome::Info(_)))
    }

    /// What the key holds after it, if it can have happened where the key held `value`.
    fn apply(&self, value: &Value) -> Option<Value> {
        match (&self.op, &self.outcome) {
            (Op::Read { .. }, Some(Outcome::Ok(Ret::Value(read)))) => {
                (read == value).then(|| value.clone())
            }
            (Op::Cas { from, .. }, Some(Outcome::Fail(Reason::Mismatch { actual }))) => {
                let told = actual.as_ref().is_none_or(|actual| actual == value);
                (from != value && told).then(|| value.clone())
            }
            (Op::Write { value: written, .. }, _) => Some(written.clone()),
            (Op::Cas { from, to, .. }, _) => (from == value).then(|| to.clone()),
            (Op::Delete { .. }, _) => Some(Value::Nil),
            (Op::Read { .. }, _) => Some(value.clone()),
        }
    }
}

/// Whether some order of the items that are left explains them, from `value` on.
fn explains(items: &[Item], left: u32, value: &Value) -> bool {
    let open = || (0..items.len()).filter(|index| left >> index & 1 == 1);
    if open().all(|index| items[index].is_optional()) {
        return true;
    }
    open().any(|index| {
        let first = &items[index];
        let too_late = open()
            .any(|other| !items[other].is_optional() && items[other].completed < first.invoked);
        let next = if too_late { None } else { first.apply(value) };
        next.is_some_and(|next| explains(items, left & !(1 << index), &next))
    })
}

/// The items of a history that are to be explained, key by key.
fn items(history: &History, only: Option<&[u32]>) -> BTreeMap<String, Vec<Item>> {
    let mut keys: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for operation in history.operations() {
        if only.is_some_and(|only| !only.contains(&operation.id.0)) {
            continue;
        }
        let op = history.op(operation.id);
        let outcome = operation.outcome.map(|outcome| match outcome {
            Outcome::Ok(Ret::Done) => Outcome::Ok(Ret::Done),
            Outcome::Ok(Ret::Value(id)) => Outcome::Ok(Ret::Value(history.value(*id).clone())),
            Outcome::Fail(why) => Outcome::Fail(why.map(|id| history.value(*id).clone())),
            Outcome::Info(why) => Outcome::Info(why.map(|id| history.value(*id).clone())),
        });
        let plain_fail = matches!(&outcome, Some(Outcome::Fail(why))
            if !matches!(why, Reason::Mismatch { .. }));
        if plain_fail || matches!(op, Op::Read { level: ReadLevel::Replica, .. }) {
            continue;
        }
        let completed = operation.completed.map_or(usize::MAX, |event| event.index());
        let item = Item { outcome, invoked: operation.invoked.index(), completed, op };
        keys.entry(item.op.key().to_string()).or_default().push(item);
    }
    keys
}

fn is_linearizable(history: &History, only: Option<&[u32]>) -> bool {
    let keys = items(history, only);
    keys.values().all(|items| explains(items, (1 << items.len()) - 1, &Value::Nil))
}

/// Holds the checker against the oracle; returns whether the history is invalid.
fn check(history: &History) -> bool {
    let verdict = Linearizable::new(Limits::default()).check(history);
    let expected = is_linearizable(history, None);
    assert_eq!(verdict.is_invalid(), !expected, "{history:#?}\n{verdict:#?}");
    for anomaly in verdict.anomalies() {
        let witness: Vec<u32> = anomaly.witness.operations.iter().map(|id| id.0).collect();
        assert!(!is_linearizable(history, Some(&witness)), "{history:#?}\n{anomaly:#?}");
        let whole: Vec<u32> = (0..history.operation_count() as u32).collect();
        let may_write = |id: &&u32, value| {
            let operation = history.operation(history.operations().nth(**id as usize).unwrap().id);
            operation.value_written() == Some(value)
                && (operation.is_ok() || operation.is_indeterminate())
        };
        for id in &anomaly.witness.operations {
            let operation = history.operation(*id);
            let Some(value) = operation.value_read() else { continue };
            // What began after the read had ended cannot have been seen by it.
            let writers = whole.iter().filter(|id| may_write(id, value)).filter(|id| {
                let writer = history.operations().nth(**id as usize).unwrap();
                *writer.op.key() == *operation.op.key()
                    && writer.invoked < operation.completed.unwrap()
            });
            let mut writers = writers.peekable();
            let anybody = writers.peek().is_some();
            let inside = writers.any(|id| witness.contains(id));
            assert!(!anybody || inside, "{history:#?}\n{anomaly:#?}");
        }
    }
    verdict.is_invalid()
}

/// The operations with outcomes that small histories are made of, over `nil`, 1 and 2.
fn alphabet() -> Vec<(Op, Option<Outcome>)> {
    let key = || "x".into();
    let mut all = Vec::new();
    for value in [Value::Nil, Value::Int(1), Value::Int(2)] {
        let read = Op::Read { key: key(), level: ReadLevel::Strong };
        all.push((read, Some(Outcome::Ok(Ret::Value(value)))));
    }
    for value in [1, 2].map(Value::Int) {
        let write = Op::Write { key: key(), value };
        all.push((write.clone(), Some(Outcome::Ok(Ret::Done))));
        all.push((write, None));
    }
    let (one, two) = (Value::Int(1), Value::Int(2));
    for (from, to) in [(Value::Nil, one.clone()), (one.clone(), two)] {
        let cas = Op::Cas { key: key(), from, to };
        all.push((cas.clone(), Some(Outcome::Ok(Ret::Done))));
        all.push((cas.clone(), None));
        all.push((cas.clone(), Some(Outcome::Fail(Reason::Mismatch { actual: None }))));
        let actual = Some(one.clone());
        all.push((cas, Some(Outcome::Fail(Reason::Mismatch { actual }))));
    }
    let delete = Op::Delete { key: key() };
    all.push((delete.clone(), Some(Outcome::Ok(Ret::Done))));
    all.push((delete, None));
    all
}

/// Every order of `count` invocations and completions, operations numbered by invocation. An event
/// is the number of an operation; its second occurrence is its completion.
fn interleavings(count: usize) -> Vec<Vec<usize>> {
    fn extend(count: usize, events: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if events.len() == count * 2 {
            all.push(events.clone());
            return;
        }
        let begun = events.iter().max().map_or(0, |last| last + 1);
        if begun < count {
            events.push(begun);
            extend(count, events, all);
            events.pop();
        }
        // Of completions in a row only their set matters: they come in the order of numbers.
        let last = *events.last().unwrap_or(&0);
        let completed_last = events.iter().filter(|event| **event == last).count() == 2;
        for number in 0..begun {
            let done = events.iter().filter(|event| **event == number).count() == 2;
            if !done && !(completed_last && number < last) {
                events.push(number);
                extend(count, events, all);
                events.pop();
            }
        }
    }
    let mut all = Vec::new();
    extend(count, &mut Vec::new(), &mut all);
    all
}

fn build(order: &[usize], operations: &[&(Op, Option<Outcome>)]) -> History {
    let mut builder = HistoryBuilder::new();
    let mut ids = Vec::new();
    for event in order {
        let (op, outcome) = operations[*event];
        if *event == ids.len() {
            let (process, session) = (ProcessId(*event as u32), SessionId(*event as u32));
            let invocation = Invocation { process, session, node: None, op: op.clone() };
            ids.push(builder.invoke(Time::ZERO, &invocation).unwrap());
        } else if let Some(outcome) = outcome {
            builder.complete(Time::ZERO, ids[*event], outcome).unwrap();
        }
    }
    builder.finish()
}

/// Checks all histories of `count` operations of which `stride` leaves some; returns how many there
/// were, and how many of them invalid.
fn check_all(count: usize, stride: usize) -> (usize, usize) {
    let alphabet = alphabet();
    let (mut seen, mut invalid) = (0, 0);
    for order in interleavings(count) {
        for number in 0..alphabet.len().pow(count as u32) {
            let pick = |place: usize| {
                &alphabet[number / alphabet.len().pow(place as u32) % alphabet.len()]
            };
            let operations: Vec<&(Op, Option<Outcome>)> = (0..count).map(pick).collect();
            // Where an operation without an answer would complete makes no difference: once is
            // enough, at once after its invocation.
            let repeated = order.iter().enumerate().any(|(place, event)| {
                operations[*event].1.is_none()
                    && order[..place].contains(event)
                    && order[place - 1] != *event
            });
            if repeated {
                continue;
            }
            seen += 1;
            if seen % stride == 0 {
                invalid += usize::from(check(&build(&order, &operations)));
            }
        }
    }
    (seen / stride, invalid)
}

#[test]
fn all_histories_of_three_operations_are_judged_like_brute_force() {
    let (mut seen, mut invalid) = (0, 0);
    for count in 1..=3 {
        let (more, of_them) = check_all(count, 1);
        seen += more;
        invalid += of_them;
    }
    assert!(seen > 20_000 && invalid > 5_000 && invalid < seen, "{invalid} of {seen}");
}

#[test]
fn histories_of_four_operations_are_judged_like_brute_force() {
    // A prime: every operation meets every other in every order.
    let (seen, invalid) = check_all(4, 97);
    assert!(seen > 10_000 && invalid > 3_000 && invalid < seen, "{invalid} of {seen}");
}

/// A random history whose answers are as good as made up.
fn random(rng: &mut ChaCha8Rng) -> History {
    let processes = rng.random_range(2..=4usize);
    let operations = rng.random_range(2..=8);
    let (unique, keys) = (rng.random_bool(0.5), if rng.random_bool(0.2) { 2 } else { 1 });
    let mut builder = HistoryBuilder::new();
    let mut names: Vec<u32> = (0..processes as u32).collect();
    let mut open: Vec<Option<(stormglass_checkers::history::OperationId, Op)>> =
        vec![None; processes];
    let mut begun = 0;
    while begun < operations || open.iter().any(Option::is_some) && rng.random_bool(0.95) {
        let process = rng.random_range(0..processes);
        let near = if unique { begun.max(1) } else { 2 };
        let mut some = |rng: &mut ChaCha8Rng| match rng.random_range(0..=near) {
            0 => Value::Nil,
            number => Value::Int(number),
        };
        if let Some((id, op)) = open[process].take() {
            let outcome = match (rng.random_range(0..10), &op) {
                (0, _) => Outcome::Info(Reason::Timeout),
                (1, _) => Outcome::Fail(Reason::NotLeader),
                (_, Op::Read { .. }) => Outcome::Ok(Ret::Value(some(rng))),
                (2..=5, Op::Cas { .. }) => {
                    let actual = rng.random_bool(0.5).then(|| some(rng));
                    Outcome::Fail(Reason::Mismatch { actual })
                }
                _ => Outcome::Ok(Ret::Done),
            };
            builder.complete(Time::ZERO, id, &outcome).unwrap();
            if matches!(outcome, Outcome::Info(_)) {
                names[process] += processes as u32;
            }
        } else if begun < operations {
            begun += 1;
            let key = if rng.random_range(0..keys) == 0 { "x" } else { "y" }.into();
            let fresh = if unique { Value::Int(begun) } else { some(rng) };
            let op = match rng.random_range(0..8) {
                0..=2 => Op::Read { key, level: ReadLevel::Strong },
                3..=4 => Op::Write { key, value: fresh },
                5..=6 => Op::Cas { key, from: some(rng), to: fresh },
                _ => Op::Delete { key },
            };
            let (name, session) = (ProcessId(names[process]), SessionId(process as u32));
            let invocation = Invocation { process: name, session, node: None, op: op.clone() };
            open[process] = Some((builder.invoke(Time::ZERO, &invocation).unwrap(), op));
        }
    }
    builder.finish()
}

#[test]
fn random_histories_are_judged_like_brute_force_and_their_witnesses_prove_them() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let invalid = (0..20_000).filter(|_| check(&random(&mut rng))).count();
    assert!((2_000..18_000).contains(&invalid), "{invalid}");
}

/// A specification of stateright's, as a user would bring it along.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Foreign(Option<u8>);

/// What it is asked and returns there cannot be hashed here under its own name.
type Theirs = semantics::register::Register<Option<u8>>;
type TheirOp = semantics::register::RegisterOp<Option<u8>>;
type TheirRet = semantics::register::RegisterRet<Option<u8>>;

#[derive(Clone, Debug, PartialEq, Hash)]
struct Same<T>(T);
impl<T: PartialEq> Eq for Same<T> {}

impl SequentialSpec for Foreign {
    type Op = Same<TheirOp>;
    type Ret = Same<TheirRet>;

    fn invoke(&mut self, op: &Same<TheirOp>) -> Same<TheirRet> {
        let mut theirs = semantics::register::Register(self.0);
        let ret = <Theirs as semantics::SequentialSpec>::invoke(&mut theirs, &op.0);
        self.0 = theirs.0;
        Same(ret)
    }
}

#[test]
fn an_engine_of_others_and_a_specification_of_others_agree() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut invalid = 0;
    for _ in 0..5_000 {
        let mut tester = LinearizabilityTester::new(semantics::register::Register(None::<u8>));
        let mut calls: Vec<Call<Foreign>> = Vec::new();
        let mut open: [Option<usize>; 3] = [None; 3];
        for event in 0..rng.random_range(4..14) {
            let thread = rng.random_range(0..open.len());
            if let Some(call) = open[thread].take() {
                let ret = match calls[call].op.0 {
                    TheirOp::Write(_) => TheirRet::WriteOk,
                    TheirOp::Read => {
                        TheirRet::ReadOk([None, Some(1), Some(2)][rng.random_range(0..3)])
                    }
                };
                tester.on_return(thread, ret.clone()).unwrap();
                calls[call].ret = Some(Same(ret));
                calls[call].completed = event;
            } else {
                let write = rng.random_bool(0.5);
                let op = if write {
                    TheirOp::Write(Some(rng.random_range(1..3)))
                } else {
                    TheirOp::Read
                };
                tester.on_invoke(thread, op.clone()).unwrap();
                open[thread] = Some(calls.len());
                calls.push(Call { op: Same(op), ret: None, invoked: event, completed: u32::MAX });
            }
        }
        let found = search(&Foreign(None), &calls, &mut 1_000_000);
        assert_eq!(found == Found::Order, tester.is_consistent(), "{calls:#?}");
        invalid += usize::from(found != Found::Order);
    }
    assert!((500..4_500).contains(&invalid), "{invalid}");
}

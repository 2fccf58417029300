//! Objects that are no registers, from the history to the verdict, against an oracle that tries every
//! order of them.

mod proofs;
mod verdicts;

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, Settings, search};
use stormglass_checkers::checker::{Checker, Limits, Linearizable, Model};
use stormglass_checkers::history::{
    Op, OpKind, OperationId, Outcome, ReadLevel, Reason, Ret, Value,
};
use stormglass_checkers::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};
use stormglass_checkers::model::set::{Set, SetOp, SetRet};
use stormglass_checkers::{History, Verdict};

use crate::notation::history;
use crate::oracle::{Small, Step, has_an_order, history_of, key};

/// What any of the objects holds.
#[derive(Clone, Debug, Default)]
struct State {
    /// The elements of the set, in order; what is in the queue.
    values: Vec<Value>,
    text: String,
    sum: i64,
    holder: Option<u32>,
    token: i64,
    registers: BTreeMap<Value, Value>,
}

impl State {
    /// Does an operation, as a client; none if the object refuses it.
    fn act(&mut self, op: &Op, client: u32, object: OpKind) -> Option<Ret> {
        match op {
            Op::Read { .. } => {
                return Some(Ret::Value(match object {
                    OpKind::Add => Value::List(self.values.clone().into()),
                    OpKind::Increment => Value::Int(self.sum),
                    _ => Value::Text(self.text.as_str().into()),
                }));
            }
            Op::Write { value, .. } => self.text = text(value),
            Op::Append { value, .. } => self.text.push_str(&text(value)),
            Op::Add { value, .. } => {
                if let Err(place) = self.values.binary_search(value) {
                    self.values.insert(place, value.clone());
                }
            }
            Op::Remove { value, .. } => self.values.retain(|element| element != value),
            Op::Increment { by: Value::Int(by), .. } => self.sum += by,
            Op::Enqueue { value, .. } => self.values.push(value.clone()),
            Op::Dequeue { .. } if self.values.is_empty() => return Some(Ret::Value(Value::Nil)),
            Op::Dequeue { .. } => return Some(Ret::Value(self.values.remove(0))),
            Op::Acquire { .. } if self.holder.is_none() => {
                self.holder = Some(client);
                self.token += 1;
                return Some(Ret::Value(Value::Int(self.token)));
            }
            Op::Release { .. } if self.holder == Some(client) => self.holder = None,
            Op::Acquire { .. } | Op::Release { .. } => return None,
            Op::Txn { body: Value::List(steps), .. } => {
                let answered = steps.iter().map(|step| self.step(step));
                return Some(Ret::Value(Value::List(answered.collect())));
            }
            _ => unreachable!("nothing else is drawn"),
        }
        Some(Ret::Done)
    }

    fn step(&mut self, step: &Value) -> Value {
        let Value::List(parts) = step else { unreachable!("steps are lists") };
        let [name, key, value] = &parts[..] else { unreachable!("steps have three parts") };
        if *name == word("w") {
            self.registers.insert(key.clone(), value.clone());
            return step.clone();
        }
        let read = self.registers.get(key).cloned().unwrap_or_default();
        Value::List([name.clone(), key.clone(), read].into())
    }
}

fn word(text: &str) -> Value {
    Value::Text(text.into())
}

fn text(value: &Value) -> String {
    let Value::Text(text) = value else { unreachable!("only texts are appended") };
    text.to_string()
}

/// An operation of one client on an object.
#[derive(Clone, Debug)]
struct Did {
    small: Small,
    object: OpKind,
    client: u32,
}

impl Step<State> for Did {
    fn begin(&self) -> usize {
        self.small.from
    }

    fn end(&self) -> Option<usize> {
        matches!(self.small.outcome, Outcome::Ok(_)).then_some(self.small.to)
    }

    fn after(&self, state: &State) -> Option<State> {
        let mut after = state.clone();
        let ret = after.act(&self.small.op, self.client, self.object);
        if let Op::Acquire { .. } = self.small.op {
            // Tokens grow, by however much, where they are told.
            after.token = match self.small.outcome {
                Outcome::Ok(Ret::Value(Value::Int(token))) => token,
                _ => state.token,
            };
            return match self.small.outcome {
                Outcome::Ok(Ret::Value(_)) if after.token <= state.token => None,
                Outcome::Ok(_) => ret.map(|_| after),
                _ => Some(after),
            };
        }
        match &self.small.outcome {
            Outcome::Ok(answer) => (ret? == *answer).then_some(after),
            // Refused, it has no effect.
            _ => Some(after),
        }
    }
}

/// What is asked of an object that is known by one of its operations.
fn ask(random: &mut ChaCha8Rng, object: OpKind, next: i64, unique: bool) -> Op {
    let key = key();
    let few = Value::Int(random.random_range(1..4));
    let value = if unique || random.random() { Value::Int(10 + next) } else { few };
    let letter = || word(["a", "b", "c", "ab", ""][next as usize % 5]);
    match (object, random.random_range(0..5)) {
        (OpKind::Add, 0..2) => Op::Add { key, value },
        (OpKind::Add, 2) => Op::Remove { key, value: Value::Int(random.random_range(1..4)) },
        (OpKind::Increment, 0..3) => {
            Op::Increment { key, by: Value::Int([1, 2, -1][next as usize % 3]) }
        }
        (OpKind::Append, 0..2) => Op::Append { key, value: letter() },
        (OpKind::Append, 2) => Op::Write { key, value: letter() },
        (OpKind::Enqueue, 0..3) => Op::Enqueue { key, value },
        (OpKind::Enqueue, _) => Op::Dequeue { key },
        (OpKind::Acquire, 0..3) => Op::Acquire { key },
        (OpKind::Acquire, _) => Op::Release { key },
        (OpKind::Txn, _) => {
            let mut step = || {
                let register = word(["x", "y"][random.random_range(0..2)]);
                let parts = match random.random_range(0..2) {
                    0 => [word("r"), register, Value::Nil],
                    _ => [word("w"), register, Value::Int(random.random_range(0..9) + 10 * next)],
                };
                Value::List(parts.into())
            };
            let body = Value::List((0..2).map(|_| step()).collect());
            Op::Txn { key, body }
        }
        _ => Op::Read { key, level: ReadLevel::Strong },
    }
}

/// Operations of some clients on an atomic object. Some get no answer, and in half of the histories
/// some get that of an earlier moment.
fn draw(random: &mut ChaCha8Rng, object: OpKind, count: usize, unique: bool) -> Vec<Did> {
    let clients = random.random_range(1..5_u32);
    let (is_wrong, is_lossy) = (random.random::<bool>(), random.random::<bool>());
    let mut state = State::default();
    let mut all: Vec<Did> = Vec::new();
    let mut past: Vec<State> = vec![state.clone()];
    // By client: what it is at, and whether that has taken effect.
    let mut at: Vec<Option<(usize, bool)>> = vec![None; clients as usize];
    let mut event = 0;
    while all.len() < count || at.iter().any(Option::is_some) {
        let client = random.random_range(0..clients);
        let place = &mut at[client as usize];
        *place = match *place {
            None if all.len() == count => None,
            None => {
                let op = ask(random, object, all.len() as i64, unique);
                let outcome = Outcome::Info(Reason::Timeout);
                let small = Small { op, outcome, from: event, to: usize::MAX };
                all.push(Did { small, object, client });
                event += 1;
                Some((all.len() - 1, false))
            }
            Some((index, false)) => {
                let did = &mut all[index];
                did.small.outcome = match state.act(&did.small.op, client, object) {
                    Some(ret) => Outcome::Ok(ret),
                    None => Outcome::Fail(Reason::Unavailable),
                };
                past.push(state.clone());
                Some((index, true))
            }
            Some((index, true)) => {
                let did = &mut all[index];
                did.small.to = event;
                event += 1;
                if let Outcome::Ok(ret @ Ret::Value(_)) = &mut did.small.outcome {
                    let is_acquired = matches!(did.small.op, Op::Acquire { .. });
                    if is_wrong && random.random() {
                        let mut before = past.choose(random).unwrap().clone();
                        *ret = before.act(&did.small.op, client, object).unwrap_or(Ret::Done);
                    } else if is_acquired && random.random() {
                        *ret = Ret::Done;
                    }
                }
                if is_wrong && is_failed(did) && random.random_range(0..4) == 0 {
                    did.small.outcome = Outcome::Ok(Ret::Done);
                }
                if is_lossy && random.random_range(0..3) == 0 {
                    did.small.outcome = Outcome::Info(Reason::Timeout);
                }
                None
            }
        };
    }
    all
}

fn is_failed(did: &Did) -> bool {
    matches!(did.small.outcome, Outcome::Fail(_))
}

fn recorded(all: &[Did]) -> History {
    let smalls: Vec<Small> = all.iter().map(|did| did.small.clone()).collect();
    history_of(&smalls, |index| all[index as usize].client)
}

/// Whether the operations can take effect one after the other: all that were answered, and none
/// after one that began when it was over.
fn replay(all: &[Did], order: &[OperationId]) -> bool {
    let mut state = State::default();
    let mut latest_begin = 0;
    let mut is_left: Vec<bool> =
        all.iter().map(|did| did.end().is_some() && !is_failed(did)).collect();
    let can_follow = order.iter().all(|id| {
        let did = &all[id.index()];
        latest_begin = latest_begin.max(did.begin());
        is_left[id.index()] = false;
        let Some(after) = did.after(&state) else { return false };
        state = after;
        did.end().is_none_or(|end| latest_begin <= end)
    });
    can_follow && !is_left.contains(&true)
}

/// Whether some operations have no order, with all that have no answer: these may have taken effect,
/// whether they are shown or not. Where the first read shows what does not come of them, it stands for all
/// that was before it: no order may go on from there.
fn is_proved(all: &[Did], shown: &[usize], at: usize) -> bool {
    let is_unanswered = |did: &Did| matches!(did.small.outcome, Outcome::Info(_));
    let counts =
        |(id, did): &(usize, &Did)| is_unanswered(did) || shown.contains(id) && !is_failed(did);
    let counting = || all.iter().enumerate().filter(counts).map(|(_, did)| did.clone());
    let is_read = |did: &Did| matches!(did.small.op, Op::Read { .. });
    // As it was when operation `from` was over: what was not over by then may not have happened.
    let open = |did: &Did| {
        let mut did = did.clone();
        did.small.outcome = Outcome::Info(Reason::Timeout);
        (!is_read(&did)).then_some(did)
    };
    // Unless it is the one that breaks the order.
    let reads = shown.iter().map(|id| &all[*id]).filter(|did| is_read(did));
    let first = reads.filter(|did| did.end() < Some(at)).min_by_key(|did| did.end());
    if let Some(first) = first {
        let end = first.end().unwrap();
        let before = counting().filter(|did| did.begin() <= end).filter_map(|did| {
            if did.end().is_some_and(|of_did| of_did <= end) { Some(did) } else { open(&did) }
        });
        if !has_an_order(&before.collect::<Vec<Did>>(), &State::default()) {
            let ours = all.iter().enumerate().filter(|(_, did)| did.small.from != first.small.from);
            let later = ours.filter_map(|(id, did)| match did.end() {
                _ if is_failed(did) => None,
                Some(of_did) if of_did < first.begin() => None,
                _ if did.begin() <= end => open(did),
                _ => counts(&(id, did)).then(|| did.clone()),
            });
            return !has_an_order(&later.collect::<Vec<Did>>(), &shown_by(first));
        }
    }
    !has_an_order(&counting().collect::<Vec<Did>>(), &State::default())
}

/// Whether it has none for what is said of some elements of a set, by themselves.
fn is_proved_by_elements(all: &[Did], shown: &[usize], at: usize) -> bool {
    let of = |did: &Did| match &did.small.op {
        Op::Add { value, .. } | Op::Remove { value, .. } => Some(value.clone()),
        _ => None,
    };
    let shown_elements = |did: &Did| match &did.small.outcome {
        Outcome::Ok(Ret::Value(Value::List(shown))) => shown.to_vec(),
        _ => Vec::new(),
    };
    let elements: std::collections::BTreeSet<Value> =
        all.iter().flat_map(|did| of(did).into_iter().chain(shown_elements(did))).collect();
    let pairs = elements.iter().flat_map(|one| elements.iter().map(move |other| [one, other]));
    pairs.into_iter().any(|pair| {
        let only = |did: &Did| {
            let mut did = did.clone();
            if of(&did).is_some_and(|value| !pair.contains(&&value)) {
                did.small.outcome = Outcome::Fail(Reason::Refused);
            } else if let Outcome::Ok(Ret::Value(Value::List(shown))) = &mut did.small.outcome {
                *shown = shown.iter().filter(|value| pair.contains(value)).cloned().collect();
            }
            did
        };
        is_proved(&all.iter().map(only).collect::<Vec<Did>>(), shown, at)
    })
}

/// The state that a read shows.
fn shown_by(read: &Did) -> State {
    let mut state = State::default();
    match &read.small.outcome {
        Outcome::Ok(Ret::Value(Value::Int(sum))) => state.sum = *sum,
        Outcome::Ok(Ret::Value(Value::List(values))) => state.values = values.to_vec(),
        Outcome::Ok(Ret::Value(value)) => state.text = text(value),
        other => panic!("{other:?} shows nothing"),
    }
    state
}

/// Judges random histories of an object as the oracle does. Returns the sizes of the witnesses.
fn compare(
    object: OpKind,
    model: Model,
    seed: u64,
    count: usize,
    unique: bool,
) -> BTreeMap<usize, usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let checker = Linearizable::with(Settings { model, ..Settings::default() });
    let mut sizes = BTreeMap::new();
    let mut valid = 0;
    for _ in 0..count {
        let operations = random.random_range(4..11);
        let all = draw(&mut random, object, operations, unique);
        let recorded = recorded(&all);
        let judged: Vec<Did> = all.iter().filter(|did| !is_failed(did)).cloned().collect();
        let expected = has_an_order(&judged, &State::default());
        match checker.check(&recorded) {
            Verdict::Valid(_) => {
                assert!(expected, "accepted: {all:#?}");
                let orders = checker.linearizations(&recorded).expect("it is valid");
                let order = orders.first().map_or(&[][..], |of_key| &of_key.operations);
                assert!(replay(&all, order), "{order:?} of {all:#?}");
                valid += 1;
            }
            // Nothing in it shows what the object held.
            Verdict::Unknown { .. } => assert!(expected, "not judged: {all:#?}"),
            Verdict::Invalid { anomalies, .. } => {
                assert!(!expected, "refused: {all:#?}");
                let anomaly = &anomalies[0];
                if anomaly.name == "strange-answer" {
                    continue;
                }
                let witness: Vec<Did> =
                    anomaly.witness.operations.iter().map(|id| all[id.index()].clone()).collect();
                let proves = !has_an_order(&witness, &State::default());
                assert!(proves, "{witness:#?} proves nothing about {all:#?}");
                let shown: Vec<usize> =
                    anomaly.witness.operations.iter().map(|id| id.index()).collect();
                let at = (anomaly.at.as_nanos() / 1_000_000) as usize;
                let is_proved = is_proved(&all, &shown, at)
                    || object == OpKind::Add && is_proved_by_elements(&all, &shown, at);
                assert!(is_proved, "{witness:#?} proves nothing of {all:#?}");
                *sizes.entry(witness.len()).or_default() += 1;
            }
        }
    }
    let invalid: usize = sizes.values().sum();
    assert!(valid > count / 5 && invalid > count / 20, "{valid} valid, {invalid} invalid");
    sizes
}

/// The objects, each by one of its operations.
const OBJECTS: [(OpKind, Model); 6] = [
    (OpKind::Add, Model::Set),
    (OpKind::Increment, Model::Counter),
    (OpKind::Append, Model::AppendString),
    (OpKind::Enqueue, Model::FifoQueue),
    (OpKind::Acquire, Model::Mutex),
    (OpKind::Txn, Model::MultiRegister),
];

#[test]
fn random_histories_of_objects_are_judged_as_the_oracle_does() {
    for ((object, model), seed) in OBJECTS.into_iter().zip(0..) {
        println!("{object}: witnesses by size: {:?}", compare(object, model, seed, 4_000, false));
    }
}

#[test]
fn queues_of_different_values_are_judged_as_the_oracle_does() {
    let sizes = compare(OpKind::Enqueue, Model::FifoQueue, 7, 20_000, true);
    println!("witnesses by size: {sizes:?}");
}

#[test]
fn long_queues_of_different_values_are_judged_as_the_search_does() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let checker = Linearizable::new(Limits::default());
    let (mut with_order, mut without) = (0, 0);
    for _ in 0..1_000 {
        let operations = random.random_range(12..40);
        let all = draw(&mut random, OpKind::Enqueue, operations, true);
        let calls: Vec<Call<FifoQueue<Value>>> = all.iter().map(call).collect();
        let found = search(&FifoQueue::default(), &calls, &mut Budget::of_states(10_000));
        let recorded = recorded(&all);
        let verdict = checker.check(&recorded);
        assert!(!verdict.coverage().method.contains("search"), "{verdict:?}");
        match found {
            Found::Order => {
                assert!(!verdict.is_invalid(), "refused: {all:#?}");
                with_order += 1;
            }
            Found::NoOrder { .. } => {
                assert!(verdict.is_invalid(), "accepted: {all:#?}");
                without += 1;
            }
            // That is why there is another method.
            _ => {}
        }
        if verdict.is_valid() {
            let orders = checker.linearizations(&recorded).expect("it is valid");
            assert!(replay(&all, &orders[0].operations), "{orders:?} of {all:#?}");
        }
    }
    assert!(with_order > 300 && without > 200, "{with_order} with, {without} without an order");
}

/// An operation on a queue as the search sees it. None fails.
fn call(did: &Did) -> Call<FifoQueue<Value>> {
    let op = match &did.small.op {
        Op::Enqueue { value, .. } => QueueOp::Enqueue(value.clone()),
        _ => QueueOp::Dequeue,
    };
    let ret = match &did.small.outcome {
        Outcome::Ok(Ret::Done) => Some(QueueRet::Done),
        Outcome::Ok(Ret::Value(Value::Nil)) => Some(QueueRet::Taken(None)),
        Outcome::Ok(Ret::Value(value)) => Some(QueueRet::Taken(Some(value.clone()))),
        _ => None,
    };
    Call { op, ret, invoked: did.small.from as u32, completed: did.small.to as u32 }
}

#[test]
fn random_sets_that_only_grow_are_judged_as_the_search_does() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut with_order, mut without) = (0, 0);
    for _ in 0..4_000 {
        let operations = random.random_range(4..14);
        let mut all = draw(&mut random, OpKind::Add, operations, false);
        all.retain(|did| !matches!(did.small.op, Op::Remove { .. }) && !is_failed(did));
        close_gaps(&mut all);
        let recorded = recorded(&all);
        let calls: Vec<Call<Set<Value>>> = all.iter().filter_map(set_call).collect();
        let found = search(&Set::default(), &calls, &mut Budget::of_states(100_000));
        let checker = Linearizable::new(Limits { states_max: 0, ..Limits::default() });
        let verdict = checker.check(&recorded);
        match found {
            Found::Order => {
                assert!(!verdict.is_invalid(), "refused: {all:#?}");
                with_order += 1;
            }
            Found::NoOrder { .. } => {
                assert!(verdict.is_invalid(), "accepted: {all:#?}");
                without += 1;
            }
            other => panic!("{other:?}"),
        }
        if verdict.is_valid() {
            let orders = checker.linearizations(&recorded).expect("it is valid");
            assert!(replay(&all, &orders[0].operations), "{orders:?} of {all:#?}");
        }
    }
    assert!(with_order > 1_000 && without > 300, "{with_order} with, {without} without an order");
}

/// Numbers the events anew.
fn close_gaps(all: &mut [Did]) {
    let ends = all.iter().map(|did| did.small.to).filter(|end| *end != usize::MAX);
    let mut events: Vec<usize> = all.iter().map(Did::begin).chain(ends).collect();
    events.sort_unstable();
    let place = |event: usize| events.binary_search(&event).unwrap_or(usize::MAX);
    for did in all {
        (did.small.from, did.small.to) = (place(did.small.from), place(did.small.to));
    }
}

/// An operation on a set as the search sees it; none for a read without an answer.
fn set_call(did: &Did) -> Option<Call<Set<Value>>> {
    let (op, ret) = match (&did.small.op, &did.small.outcome) {
        (Op::Add { value, .. }, Outcome::Ok(_)) => (SetOp::Add(value.clone()), Some(SetRet::Done)),
        (Op::Add { value, .. }, _) => (SetOp::Add(value.clone()), None),
        (_, Outcome::Ok(Ret::Value(Value::List(shown)))) => {
            let mut shown = shown.to_vec();
            shown.sort();
            (SetOp::Read, Some(SetRet::Elements(shown)))
        }
        _ => return None,
    };
    Some(Call { op, ret, invoked: did.small.from as u32, completed: did.small.to as u32 })
}

fn check(text: &str) -> Verdict {
    Linearizable::new(Limits::default()).check(&history(text))
}

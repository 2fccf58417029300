//! Objects that are no registers, from the history to the verdict, against an oracle that tries every
//! order of them.

use std::collections::BTreeMap;

use expect_test::expect;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, Settings, search};
use stormglass_checkers::checker::{Checker, Limits, Linearizable, Model};
use stormglass_checkers::history::{
    NilReads, Op, OpKind, OperationId, Outcome, ReadLevel, Reason, Ret, Value,
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
fn what_a_model_does_not_offer_is_nobodys_fault() {
    let appended = r#"
        0 invoke txn t [["append","x",1],["r","x",nil]]
        0 ok [["append","x",1],["r","x",[1]]]
    "#;
    let verdict = Linearizable::new(Limits::default()).check(&history(appended));
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect![[r#"key t is no multi-register: ["append" "x" 1] is no step ["r" key nil] or ["w" key value]; transactions that append are judged by --guarantee strict-serializable, serializable, snapshot-isolation or read-committed"#]]
        .assert_eq(&reason);
    // Values are put at the end of lists, too, and lists of texts are no texts.
    for list in ["1", "a"] {
        let text = format!("0 invoke append l {list}\n0 ok\n0 invoke read l\n0 ok [{list}]");
        let verdict = Linearizable::new(Limits::default()).check(&history(&text));
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
    }
    let counted = "
        0 invoke increment c 1
        0 ok
        1 invoke read c
        1 ok 6
    ";
    let check = |text: &str, initial: Value| {
        Linearizable::new(Limits::default()).check(&history(text).that_begins_as(&initial))
    };
    assert!(check(counted, Value::Nil).is_invalid());
    assert!(check(counted, Value::Int(5)).is_valid());
    let verdict =
        check(&counted.replace("increment", "add").replace("ok 6", "ok [1]"), Value::Int(5));
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect!["no set begins as 5"].assert_eq(&reason);
}

#[test]
fn a_read_of_nil_may_say_nothing() {
    let text = r#"
        0 invoke txn t [["w","x",1],["w","y",1]]
        0 ok [["w","x",1],["w","y",1]]
        1 invoke txn t [["r","x",nil],["r","y",nil]]
        1 ok [["r","x",nil],["r","y",1]]
    "#;
    let check = |text: &str, nil_reads: NilReads| {
        Linearizable::new(Limits::default()).check(&history(text).with_nil_reads(nil_reads))
    };
    assert!(check(text, NilReads::Absent).is_invalid());
    assert!(check(text, NilReads::Unknown).is_valid());
    assert!(
        check(&text.replace(r#"["r","y",1]"#, r#"["r","y",2]"#), NilReads::Unknown).is_invalid()
    );
    let set = "0 invoke add s 1\n 0 ok\n 1 invoke read s\n 1 ok nil\n 1 invoke read s\n 1 ok [1]";
    assert!(check(set, NilReads::Absent).is_invalid());
    assert!(check(set, NilReads::Unknown).is_valid());
    let register = set.replace("add s", "write s").replace("[1]", "1");
    assert!(check(&register, NilReads::Absent).is_invalid());
    assert!(check(&register, NilReads::Unknown).is_valid());
}

#[test]
fn a_key_of_which_no_model_offers_everything_is_told_with_what_was_asked() {
    // Who generates unique values is judged elsewhere.
    let text = "
        0 invoke generate g
        0 ok 1
        0 invoke write x 1
        0 ok
        0 invoke enqueue x 2
        0 ok
    ";
    let check = |text: &str| Linearizable::new(Limits::default()).check(&history(text));
    let verdict = check(text);
    assert_eq!(verdict.coverage().keys, 1);
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect!["no model offers all that is asked of key x: write, enqueue"].assert_eq(&reason);
    assert!(check(&text.replace("enqueue x 2\n        0 ok", "read x\n        0 ok 1")).is_valid());
}

#[test]
fn a_proof_about_a_queue_shows_who_took_what_an_unanswered_dequeue_might_have() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        0 invoke dequeue q
        1 invoke enqueue q 1
        1 ok
        2 invoke dequeue q
        2 ok nil
        2 invoke dequeue q
        2 ok 1
        ",
    ));
    expect![[r#"
        process 1 did enqueue q 1 (from 0.001 s to 0.002 s)
        process 2 did dequeue q and got nil (from 0.003 s to 0.004 s)
        process 2 did dequeue q and got 1 (from 0.005 s to 0.006 s)
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

#[test]
fn a_proof_names_what_breaks_and_nothing_else() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        0 invoke append x a
        0 ok
        1 invoke read x
        1 ok a
        0 invoke append x b
        0 ok
        1 invoke read x
        1 ok ba
        ",
    ));
    expect![[r#"
        process 1 read x = "a" (from 0.002 s to 0.003 s)
        process 1 read x = "ba" (from 0.006 s to 0.007 s)
        process 1 read a text that does not begin with what process 1 had read before: they differ from character 1 on"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

fn check(text: &str) -> Verdict {
    Linearizable::new(Limits::default()).check(&history(text))
}

#[test]
fn a_verdict_says_how_each_key_was_judged() {
    let text = "
        0 invoke add s 1
        0 ok
        0 invoke read s
        0 ok [1]
        0 invoke enqueue q 1
        0 ok
        0 invoke dequeue q
        0 ok 1
        0 invoke enqueue again 1
        0 ok
        0 invoke enqueue again 1
        0 ok
        0 invoke write x 1
        0 ok
        0 invoke read x
        0 ok 1
    ";
    expect![
        "zones, order of set on 1, order of fifo-queue on 1, interval search of fifo-queue on 1"
    ]
    .assert_eq(&check(text).coverage().method);
}

#[test]
fn changes_of_an_object_that_nobody_looked_at_show_nothing() {
    for change in ["add x 1", "remove x 1", "increment x 1", "append x a", "enqueue x 1"] {
        let text = format!("0 invoke {change}\n0 ok\n");
        assert!(matches!(check(&text), Verdict::Unknown { .. }), "{change}");
    }
    // Who was given a lock has seen that nobody held it.
    assert!(check("0 invoke acquire x\n0 ok").is_valid());
}

#[test]
fn a_violation_that_is_not_to_be_explained_is_told_by_where_it_was_found() {
    let checker = Linearizable::with(Settings { explain: false, ..Settings::default() });
    for text in [
        "0 invoke add s 1\n0 ok\n0 invoke read s\n0 ok []",
        "0 invoke enqueue q 1\n0 ok\n0 invoke dequeue q\n0 ok nil",
        "0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil",
        "0 invoke write x 1\n0 ok\n0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil",
    ] {
        let verdict = checker.check(&history(text));
        let anomaly = &verdict.anomalies()[0];
        assert_eq!(anomaly.name, "not-linearizable");
        assert_eq!(anomaly.explanation.len(), 1, "{anomaly:#?}");
        assert_eq!(anomaly.witness.operations.len(), 1, "{anomaly:#?}");
    }
}

#[test]
fn replicas_of_objects_are_not_held_to_linearizability() {
    let text = "
        0 invoke add s 1
        0 ok
        1 invoke read-replica s @n1
        1 ok []
        1 invoke read s
        1 ok [1]
    ";
    assert!(check(text).is_valid());
    assert!(check(&text.replace("read-replica s @n1", "read s")).is_invalid());
}

#[test]
fn what_no_object_holds_in_the_beginning_is_not_judged() {
    let starts = [
        ("add x 1", Value::Int(5), "no set begins as 5"),
        ("increment x 1", word("a"), r#"no counter begins as "a""#),
        ("append x a", Value::Int(5), "no append-string begins as 5"),
        ("enqueue x 1", Value::Int(5), "no fifo-queue begins as 5"),
        ("acquire x", Value::Int(5), "no mutex begins as 5"),
        (r#"txn x [["w","y",1]]"#, Value::Int(5), "no multi-register begins as 5"),
    ];
    for (asked, initial, expected) in starts {
        let history = history(&format!("0 invoke {asked}")).that_begins_as(&initial);
        let verdict = Linearizable::new(Limits::default()).check(&history);
        let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!(reason, expected);
    }
    let judge = |text: &str| {
        let history = history(text).that_begins_as(&word("a"));
        Linearizable::new(Limits::default()).check(&history)
    };
    let text = "0 invoke append x b\n0 ok\n0 invoke read x\n0 ok ab";
    assert!(judge(text).is_valid());
    assert!(judge(&text.replace("ok ab", "ok b")).is_invalid());
}

#[test]
fn what_no_object_is_asked_is_told_once_for_a_key() {
    let told = |text: &str| {
        let verdict = check(text);
        assert_eq!(verdict.coverage().keys, 1, "{verdict:?}");
        let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
        reason
    };
    let nothing = "0 invoke enqueue q nil\n0 ok\n".repeat(2);
    expect!["key q is no fifo-queue: taking nil out cannot be told from finding nothing"]
        .assert_eq(&told(&nothing));
    expect![[r#"key c is no counter: "a" is no whole number"#]]
        .assert_eq(&told("0 invoke increment c a\n0 ok\n0 invoke read c\n0 ok 0"));
    // What is strange about an answer counts only where it is known of what kind the key is.
    let list = "0 invoke read l\n0 ok 1\n0 invoke append l a\n0 ok\n0 invoke read l\n0 ok [a]";
    expect!["key l is no append-string: it holds lists, which are judged in transactions only"]
        .assert_eq(&told(list));
}

#[test]
fn an_answer_that_no_object_gives_is_a_violation() {
    let strange = |text: &str| {
        let verdict = check(text);
        let anomaly = &verdict.anomalies()[0];
        assert_eq!(anomaly.name, "strange-answer");
        anomaly.explanation.last().unwrap().clone()
    };
    expect![[r#""a" is no whole number"#]]
        .assert_eq(&strange("0 invoke increment c 1\n0 ok\n0 invoke read c\n0 ok a"));
    let steps = "the answer has other steps than the transaction";
    for answer in [r#"["r","x",1]"#, r#"["r","x",1],["r","y",1]"#, r#"["w","x",1],["w","y",1]"#] {
        let asked = r#"[["w","x",1],["r","x",nil]]"#;
        assert_eq!(strange(&format!("0 invoke txn t {asked}\n0 ok [{answer}]")), steps);
        // One that is right as far as it goes is not all of it.
        let begun = r#"[["w","x",1]]"#;
        assert_eq!(strange(&format!("0 invoke txn t {asked}\n0 ok {begun}")), steps);
    }
}

#[test]
fn the_order_of_a_queue_takes_no_search() {
    let limits = Limits { states_max: 0, ..Limits::default() };
    let text = "
        0 invoke enqueue q 1
        1 invoke enqueue q 2
        0 ok
        1 ok
        2 invoke enqueue q 3
        3 invoke dequeue q
        3 ok 2
        3 invoke dequeue q
        3 ok 1
        3 invoke dequeue q
        3 ok nil
    ";
    let history = history(text);
    let orders = Linearizable::new(limits).linearizations(&history).unwrap();
    let order = orders[0].operations.iter().map(|id| history.op(*id).to_string());
    // Nobody took the 3, and so it need not have been put in.
    let expected = ["enqueue q 2", "enqueue q 1", "dequeue q", "dequeue q", "dequeue q"];
    assert_eq!(order.collect::<Vec<String>>(), expected);
}

#[test]
fn an_empty_queue_is_not_looked_for_while_something_is_in_it() {
    // While 1 was certainly in it, 2 was, and longer than that.
    let text = "
        0 invoke enqueue q 1
        1 invoke enqueue q 2
        1 ok
        0 ok
        2 invoke dequeue q
        3 invoke dequeue q
        3 ok 1
        3 invoke dequeue q
        3 ok 2
        2 ok nil
    ";
    assert!(check(text).is_valid());
}

/// The sentences of the only proof about a history.
fn proof(text: &str) -> String {
    let verdict = check(text);
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:#?}") };
    anomaly.explanation.join("\n")
}

#[test]
fn texts_that_a_wrong_read_does_not_show_are_in_no_proof() {
    let text = r#"
        0 invoke append x a
        0 ok
        0 invoke append x c
        0 ok
        0 invoke append x ""
        0 ok
        0 invoke append x b
        0 ok
        1 invoke read x
        1 ok ba
    "#;
    expect![[r#"
        process 0 did append x "a" (from 0.000 s to 0.001 s)
        process 0 did append x "b" (from 0.006 s to 0.007 s)
        process 1 read x = "ba" (from 0.008 s to 0.009 s)
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&proof(text));
}

#[test]
fn a_lock_that_was_taken_and_given_back_is_in_no_proof() {
    let text = "
        0 invoke acquire x
        0 ok
        0 invoke release x
        0 ok
        0 invoke release x
        0 ok
    ";
    expect![[r#"
        process 0 did release x (from 0.004 s to 0.005 s)
        process 0 gave x back without holding it"#]]
    .assert_eq(&proof(text));
    let text = "
        1/0 invoke acquire x
        1 ok 1
        2/0 invoke acquire x
        3/1 invoke acquire x
        3 ok
        2 ok
    ";
    expect![[r#"
        process 1 did acquire x and got 1 (from 0.000 s to 0.001 s)
        process 2 did acquire x (from 0.002 s to 0.005 s)
        process 3 did acquire x (from 0.003 s to 0.004 s)
        process 1 held x from 0.001 s at the latest and never gave it back, and process 3 held it from 0.004 s at the latest and never gave it back: nobody gave it back in between"#]]
    .assert_eq(&proof(text));
}

#[test]
fn what_a_client_does_at_the_same_time_is_in_a_proof_together_or_not_at_all() {
    // Client 0 took the lock twice, and gave it back each time. Which release belongs to which
    // acquisition is not known, and nobody may be shown to give back what was never taken.
    let text = "
        9/1 invoke release x
        0/0 invoke acquire x
        1/0 invoke acquire x
        0 ok
        2/0 invoke release x
        2 ok
        3/0 invoke release x
        1 ok
        3 ok
        9 ok
    ";
    expect![[r#"
        process 9 did release x (from 0.000 s to 0.009 s)
        process 9 gave x back without holding it"#]]
    .assert_eq(&proof(text));
}

#[test]
fn what_a_client_did_before_a_call_without_an_answer_is_in_no_proof_of_what_others_do() {
    let held = |client: u32| {
        format!("{client} invoke acquire x\n{client} ok\n{client} invoke release x\n{client} ok\n")
    };
    let before = (held(0) + &held(1)).repeat(100);
    let text = before + "0 invoke acquire x\n0 info timeout\n2 invoke acquire x\n2 ok\n";
    assert!(check(&text).is_valid());
    let proof = proof(&(text + "1 invoke acquire x\n1 ok\n"));
    expect![[r#"
        process 2 did acquire x (from 0.802 s to 0.803 s)
        process 1 did acquire x (from 0.804 s to 0.805 s)
        process 2 held x from 0.803 s at the latest and never gave it back, and process 1 held it from 0.805 s at the latest and never gave it back: nobody gave it back in between"#]]
    .assert_eq(&proof);
}

#[test]
fn a_sum_that_nothing_can_have_come_to_is_found_however_many_orders_there_are() {
    // Eight at a time, of different sizes: in what order they took effect does not matter.
    let mut text = String::new();
    for round in 0..60 {
        let numbers = (0..8).map(|client| (1 << client) + round % 3);
        text += &(0..8)
            .zip(numbers)
            .map(|(client, number)| {
                format!(
                    "{client} invoke increment c {}\n",
                    if client == 3 { -number } else { number }
                )
            })
            .collect::<String>();
        text += "9 invoke read c\n";
        text += &(0..8).map(|client| format!("{client} ok\n")).collect::<String>();
        let sum: i32 = (0..=round).map(|round| 255 - 2 * 8 + 6 * (round % 3)).sum();
        text += &format!("9 ok {sum}\n");
    }
    assert!(check(&text).is_valid());
    let open = "0 invoke increment c 5\n1 invoke increment c -7\n0 info timeout\n";
    let sum: i32 = (0..60).map(|round| 255 - 2 * 8 + 6 * (round % 3)).sum();
    for (read, holds) in [(0, true), (5, true), (-7, true), (-2, true), (6, false), (-8, false)] {
        let read = format!("{text}{open}9 invoke read c\n9 ok {}\n", sum + read);
        assert_eq!(check(&read).is_valid(), holds, "{}", &read[text.len()..]);
    }
}

#[test]
fn a_set_without_an_order_is_shown_by_one_element() {
    let mut text = String::new();
    let mut elements = Vec::new();
    for element in 10..50 {
        elements.push(element.to_string());
        text += &format!("0 invoke add s {element}\n0 ok\n0 invoke read s\n");
        text += &format!("0 ok [{}]\n", elements.join(","));
    }
    text += "0 invoke add s 99\n0 ok\n0 invoke read s\n";
    text += &format!("0 ok [{}]\n", elements.join(","));
    let proof = proof(&text);
    assert_eq!(proof.lines().count(), 3, "{proof}");
    assert!(proof.contains("99"), "{proof}");
}

#[test]
fn of_many_adds_at_one_time_a_read_that_lost_one_is_found_without_a_search_of_all() {
    let open: String = (0..60).map(|client| format!("{client} invoke add s {client}\n")).collect();
    let done: String = (0..60).map(|client| format!("{client} ok\n")).collect();
    let half: Vec<String> = (0..60).step_by(2).map(|element: u32| element.to_string()).collect();
    let lost = format!("{open}{done}99 invoke read s\n99 ok [{}]", half.join(","));
    assert_eq!(proof(&lost).lines().count(), 3);
}

#[test]
fn a_key_is_what_its_own_operations_say_though_others_are_appended_to() {
    let appended = "0 invoke append l q\n0 ok\n0 invoke read l\n0 ok q\n";
    for (old, new) in [("2", "1"), ("a", "b")] {
        let stale = format!(
            "0 invoke write z {old}\n0 ok\n0 invoke write z {new}\n0 ok\n\
             1 invoke read z\n1 ok {old}\n"
        );
        let verdict = check(&(stale.clone() + appended));
        assert_eq!(verdict.anomalies(), check(&stale).anomalies());
        assert_eq!(verdict.anomalies()[0].name, "stale-read");
        assert!(
            check(&(stale.replace(&format!("1 ok {old}"), &format!("1 ok {new}")) + appended))
                .is_valid()
        );
    }
    // To texts that are added to, being empty is being absent.
    let empty = "0 invoke read z\n0 ok \"\"\n0 invoke write z a\n0 ok\n";
    assert!(check(&(empty.to_owned() + appended)).is_valid());
    assert!(check(empty).is_invalid());
}

#[test]
fn who_held_a_lock_is_told_from_when_to_when() {
    let text = "
        0 invoke acquire x
        0 ok
        1 invoke acquire x
        1 ok
        1 invoke release x
        0 invoke release x
        0 ok
        1 ok
    ";
    expect![[r#"
        process 0 did acquire x (from 0.000 s to 0.001 s)
        process 1 did acquire x (from 0.002 s to 0.003 s)
        process 1 did release x (from 0.004 s to 0.007 s)
        process 0 did release x (from 0.005 s to 0.006 s)
        process 0 held x from 0.001 s at the latest until it began to give it back at 0.005 s, and process 1 held it from 0.003 s at the latest until it began to give it back at 0.004 s: nobody gave it back in between"#]]
    .assert_eq(&proof(text));
    // Who began to give it back before the other one had it is not said to have held it.
    let text = "
        0 invoke acquire x
        0 ok
        1 invoke acquire x
        0 invoke release x
        1 ok
        0 ok
    ";
    assert!(check(text).is_valid());
}

#[test]
fn a_token_that_goes_back_is_told_so() {
    let text = "
        0 invoke acquire x
        0 ok 7
        0 invoke release x
        0 ok
        1 invoke acquire x
        1 ok 7
    ";
    expect![[r#"
        process 0 did acquire x and got 7 (from 0.000 s to 0.001 s)
        process 0 did release x (from 0.002 s to 0.003 s)
        process 1 did acquire x and got 7 (from 0.004 s to 0.005 s)
        process 0 had been given token 7 before process 1 asked for x; it was given 7, and tokens grow"#]]
    .assert_eq(&proof(text));
    assert!(check(&text.replace("1 ok 7", "1 ok 8")).is_valid());
}

/// Increments of 1 by one client after the other, and what each saw after its own.
fn counted(count: usize) -> String {
    (1..=count)
        .map(|sum| format!("0 invoke increment c 1\n0 ok\n1 invoke read c\n1 ok {sum}\n"))
        .collect()
}

#[test]
fn a_sum_is_proved_by_the_read_before_it_and_what_was_added_since() {
    // That it is too much is shown by what was added since somebody looked, and by nothing before.
    let more = counted(300)
        + "2 invoke increment c 5\n0 invoke increment c 2\n0 ok\n3 invoke read c\n3 ok 308\n2 ok\n";
    expect![[r#"
        process 1 read c = 300 (from 1.198 s to 1.199 s)
        process 2 did increment c 5 (from 1.200 s to 1.205 s)
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 308 (from 1.203 s to 1.204 s)
        to the 300 that process 1 read, at most 7 can have been added by the time process 3 had read c, which makes 307 at most; it read 308"#]]
    .assert_eq(&proof(&more));
    assert!(check(&more.replace("ok 308", "ok 307")).is_valid());
    assert!(check(&more.replace("ok 308", "ok 302")).is_valid());
    // Too little is shown by what was added for certain.
    expect![[r#"
        process 1 read c = 300 (from 1.198 s to 1.199 s)
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 301 (from 1.203 s to 1.204 s)
        to the 300 that process 1 read, at least 2 had been added before process 3 began to read c, which makes 302 at least; it read 301"#]]
    .assert_eq(&proof(&more.replace("ok 308", "ok 301")));
    // A counter that forgot everything needs one increment to tell it.
    expect![[r#"
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 0 (from 1.203 s to 1.204 s)
        at least 2 had been added before process 3 began to read c; it read 0"#]]
    .assert_eq(&proof(&more.replace("ok 308", "ok 0")));
}

#[test]
fn what_counts_down_counts_in_the_bounds_of_a_sum() {
    let text = "
        0 invoke increment c 5
        0 ok
        1 invoke increment c -3
        2 invoke increment c -1
        2 ok
        3 invoke read c
        3 ok SUM
        1 ok
    ";
    for (sum, holds) in [(0, false), (1, true), (4, true), (5, false), (2, false)] {
        let of_sum = text.replace("SUM", &sum.to_string());
        assert_eq!(check(&of_sum).is_valid(), holds, "{sum}");
    }
    expect![[r#"
        process 0 did increment c 5 (from 0.000 s to 0.001 s)
        process 1 did increment c -3 (from 0.002 s to 0.007 s)
        process 2 did increment c -1 (from 0.003 s to 0.004 s)
        process 3 read c = 0 (from 0.005 s to 0.006 s)
        at least 1 had been added before process 3 began to read c; it read 0"#]]
    .assert_eq(&proof(&text.replace("SUM", "0")));
    // What certainly counts down is known to be gone.
    expect!["at most 4 can have been added by the time process 3 had read c; it read 5"]
        .assert_eq(proof(&text.replace("SUM", "5")).lines().last().unwrap());
    // That nothing comes to 2, though it is between them, bounds do not say.
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(&text.replace("SUM", "2")).lines().last().unwrap());
    let more = text.replace("increment c -3", "increment c 3").replace("SUM", "5");
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(&more).lines().last().unwrap());
    let begun =
        |initial: i64| history(&text.replace("SUM", "9")).that_begins_as(&Value::Int(initial));
    let verdict = Linearizable::new(Limits::default()).check(&begun(4));
    expect!["to the 4 of the beginning, at most 4 can have been added by the time process 3 had read c, which makes 8 at most; it read 9"]
        .assert_eq(verdict.anomalies()[0].explanation.last().unwrap());
    assert!(Linearizable::new(Limits::default()).check(&begun(5)).is_valid());
}

#[test]
fn a_read_after_thousands_of_sums_without_an_answer_is_bounded() {
    // All of them may have taken effect when anybody looks, or not; no search tries which.
    let mut text = String::new();
    for client in 0..2_000 {
        text += &format!("{client} invoke increment c {}\n{client} info timeout\n", 2 + client % 7);
    }
    let most: i64 = (0..2_000).map(|client| 2 + client % 7).sum();
    let text = |sum: i64| text.clone() + &format!("9999 invoke read c\n9999 ok {sum}\n");
    assert!(check(&text(most + 1)).is_invalid());
    assert!(check(&text(-1)).is_invalid());
    assert!(!check(&text(most)).is_invalid());
}

#[test]
fn a_text_is_proved_wrong_by_the_read_before_it_and_what_was_appended_since() {
    let mut text = String::new();
    let mut shown = String::new();
    for number in 0..200 {
        shown += &format!("<{number}>");
        text += &format!("0 invoke append x <{number}>\n0 ok\n1 invoke read x\n1 ok {shown}\n");
    }
    let older = shown.replace("<199>", "");
    let stale = text.clone() + &format!("2 invoke read x\n2 ok {older}\n");
    let lines = proof(&stale);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.ends_with("process 0 had appended \"<199>\" before process 2 began to read, which does not show it")
            || lines.ends_with(
                "process 2 read a text that does not begin with what process 1 had read before: it ends earlier"
            ),
        "{lines}"
    );
    let lost = text.clone()
        + &format!(
            "0 invoke append x <a>\n0 ok\n0 invoke append x <b>\n0 ok\n2 invoke read x\n2 ok {shown}<b>\n"
        );
    let lines = proof(&lost);
    expect!["process 0 had appended \"<a>\" before process 2 began to read, which does not show it after what process 1 had read"]
        .assert_eq(lines.lines().last().unwrap());
    assert!(lines.lines().count() <= 5, "{lines}");
    let torn = text + &format!("2 invoke read x\n2 ok {}\n", shown.replace("<198>", "<x>"));
    let lines = proof(&torn);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("they differ from character"), "{lines}");
}

#[test]
fn a_text_that_goes_back_needs_no_search_however_much_is_open() {
    // Any of them may have taken effect by now, in any order.
    let open: String =
        (0..40).map(|client| format!("{client} invoke append x <{client}>\n")).collect();
    let reads = "90 invoke read x\n90 ok <7><3>\n91 invoke read x\n91 ok <3><7>\n";
    let limits = Limits { states_max: 0, ..Limits::default() };
    let verdict = Linearizable::new(limits).check(&history(&(open.clone() + reads)));
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:?}") };
    expect![[r#"
        process 90 read x = "<7><3>" (from 0.040 s to 0.041 s)
        process 91 read x = "<3><7>" (from 0.042 s to 0.043 s)
        process 91 read a text that does not begin with what process 90 had read before: they differ from character 2 on"#]]
    .assert_eq(&anomaly.explanation.join("\n"));
    // Each of two that read at the same time may be the later one, and what is put there may be anything.
    let longer = reads.replace("<3><7>", "<7><3><4>");
    assert!(check(&(open.clone() + &longer)).is_valid());
    let same_time = "90 invoke read x\n91 invoke read x\n90 ok <7><3>\n91 ok <7>\n";
    assert!(check(&(open.clone() + same_time)).is_valid());
    let put = "50 invoke write x <3><7>\n".to_owned() + &open + reads;
    assert!(check(&put).is_valid());
    let judge = |text: &str| {
        let verdict =
            Linearizable::new(Limits::default()).check(&history(text).that_begins_as(&word("a")));
        verdict.anomalies()[0].explanation.last().unwrap().clone()
    };
    assert_eq!(
        judge("0 invoke append x b\n0 ok\n0 invoke read x\n0 ok b"),
        "process 0 read a text that does not begin with what was there in the beginning: they differ \
         from character 1 on"
    );
}

/// Adds that are all open at the same time, and reads at that time of what is shown.
fn all_open(adds: usize, reads: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for client in 0..adds {
        text += &format!("{client} invoke add s {client}\n");
    }
    for read in 0..reads.len() {
        text += &format!("{} invoke read s\n", adds + read);
    }
    for (read, shown) in reads.iter().enumerate() {
        let shown: Vec<String> = shown.iter().map(usize::to_string).collect();
        text += &format!("{} ok [{}]\n", adds + read, shown.join(","));
    }
    text + &(0..adds).map(|client| format!("{client} ok\n")).collect::<String>()
}

#[test]
fn reads_of_a_set_that_make_no_chain_need_no_search() {
    // In which of very many orders sixty elements were added, the reads have to agree.
    let mut reads: Vec<Vec<usize>> = (0..30).map(|size| (0..2 * size).collect()).collect();
    let limits = Limits { states_max: 0, ..Limits::default() };
    let judge =
        |reads: &[Vec<usize>]| Linearizable::new(limits).check(&history(&all_open(60, reads)));
    assert!(judge(&reads).is_valid());
    reads[10].retain(|element| *element != 7);
    let verdict = judge(&reads);
    assert!(verdict.is_invalid());
    let proof = &verdict.anomalies()[0];
    assert!(proof.witness.operations.len() <= 4, "{proof:#?}");
    // What somebody adds again need not have been there the first time.
    let twice = all_open(2, &[vec![0], vec![0, 1]]) + "9 invoke add s 0\n9 ok\n";
    assert!(check(&twice).is_valid());
}

#[test]
fn an_element_that_was_added_before_another_one_is_shown_with_it() {
    let text = "
        0 invoke add s 1
        9 invoke read s
        0 ok
        1 invoke add s 2
        9 ok [2]
        1 ok
    ";
    expect![[r#"
        process 0 did add s 1 (from 0.000 s to 0.002 s)
        process 9 read s = [2] (from 0.001 s to 0.004 s)
        process 1 did add s 2 (from 0.003 s to 0.005 s)
        process 0 had added 1 before process 1 began to add 2, and nobody removed it; who reads 2 reads 1 as well"#]]
    .assert_eq(&proof(text));
    assert!(check(&text.replace("ok [2]", "ok [1,2]")).is_valid());
    assert!(check(&text.replace("ok [2]", "ok []")).is_valid());
}

#[test]
fn what_is_shown_of_elements_is_told_in_words() {
    let last = |text: &str| proof(text).lines().last().unwrap().to_owned();
    assert_eq!(
        last("0 invoke add s 1\n0 ok\n1 invoke read s\n1 ok [1,1]"),
        "process 1 was shown 1 twice"
    );
    assert_eq!(
        last("1 invoke read s\n1 ok [1]\n0 invoke add s 1\n0 ok"),
        "process 1 was shown 1, which nobody had begun to add by then"
    );
    assert_eq!(
        last("0 invoke add s 1\n1 invoke read s\n1 ok [1]\n2 invoke read s\n2 ok []\n0 ok"),
        "process 1 had read 1 before process 2 began to read, and nobody removed it; that read does \
         not show it"
    );
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

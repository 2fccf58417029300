//! The search against an oracle that tries every order, and the other checkers against histories
//! that are linearizable because of how they were made.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, search};
use stormglass_checkers::checker::{CHECKERS, Checker, Limits, Linearizable};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Key, NodeId, Op, OperationId, Outcome, Phase, ProcessId, ReadLevel,
    Reason, Ret, SessionId, Time, Value,
};
use stormglass_checkers::stateright::Stateright;
use stormglass_checkers::{History, Verdict};

use crate::linearization::replay;
use crate::sentences;

/// An operation of a small history on one key: what, how it ended, and the events of its begin and
/// end.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// An operation that is put in an order, of an object with this state.
pub(crate) trait Step<S>: Clone {
    /// The event of its begin.
    fn begin(&self) -> usize;
    /// The event of its end; none where it has no answer.
    fn end(&self) -> Option<usize>;
    /// What it makes of a state; none if it cannot have had its answer there.
    fn after(&self, state: &S) -> Option<S>;
}

impl Step<Value> for Small {
    fn begin(&self) -> usize {
        self.from
    }

    fn end(&self) -> Option<usize> {
        (!is_unknown(self)).then_some(self.to)
    }

    fn after(&self, held: &Value) -> Option<Value> {
        apply(held, &self.op, &self.outcome)
    }
}

pub(crate) fn key() -> Key {
    "x".into()
}

/// The small alphabet: every operation with every outcome, over `nil`, 1 and 2.
fn alphabet() -> Vec<(Op, Outcome)> {
    let values = [Value::Nil, Value::Int(1), Value::Int(2)];
    let unknown = Outcome::Info(Reason::Timeout);
    let done = Outcome::Ok(Ret::Done);
    let mut all = Vec::new();
    for value in &values {
        let read = Op::Read { key: key(), level: ReadLevel::Strong };
        all.push((read, Outcome::Ok(Ret::Value(value.clone()))));
        for outcome in [&done, &unknown] {
            let write = match value {
                Value::Nil => Op::Delete { key: key() },
                value => Op::Write { key: key(), value: value.clone() },
            };
            all.push((write, outcome.clone()));
        }
        for to in &values[1..] {
            let cas = Op::Cas { key: key(), from: value.clone(), to: to.clone() };
            all.push((cas.clone(), done.clone()));
            all.push((cas, unknown.clone()));
        }
        let cas = Op::Cas { key: key(), from: value.clone(), to: Value::Int(1) };
        let mut mismatch =
            |actual| all.push((cas.clone(), Outcome::Fail(Reason::Mismatch { actual })));
        mismatch(None);
        for actual in &values {
            mismatch(Some(actual.clone()));
        }
    }
    all
}

/// What an operation makes of a value; none if it cannot have had its answer there.
pub(crate) fn apply(held: &Value, op: &Op, outcome: &Outcome) -> Option<Value> {
    match (op, outcome) {
        (Op::Read { .. }, Outcome::Ok(Ret::Value(read))) => (read == held).then(|| held.clone()),
        (Op::Write { value, .. }, _) => Some(value.clone()),
        (Op::Delete { .. }, _) => Some(Value::Nil),
        (Op::Cas { from, to, .. }, Outcome::Ok(_)) => (from == held).then(|| to.clone()),
        (Op::Cas { from, .. }, Outcome::Fail(Reason::Mismatch { actual })) => {
            let fits = held != from && actual.as_ref().is_none_or(|actual| actual == held);
            fits.then(|| held.clone())
        }
        (Op::Cas { from, to, .. }, _) => Some(if from == held { to } else { held }.clone()),
        (Op::Read { .. }, _) => Some(held.clone()),
        _ => unreachable!("the alphabet is that of registers"),
    }
}

pub(crate) fn is_unknown(small: &Small) -> bool {
    matches!(small.outcome, Outcome::Info(_))
}

/// Whether some order explains every answer: tries them all.
pub(crate) fn has_an_order<S, T: Step<S>>(left: &[T], state: &S) -> bool {
    if left.iter().all(|step| step.end().is_none()) {
        return true;
    }
    (0..left.len()).any(|next| {
        let step = &left[next];
        let too_late = left.iter().any(|other| other.end().is_some_and(|end| end < step.begin()));
        let Some(after) = step.after(state) else { return false };
        let mut rest = left.to_vec();
        rest.remove(next);
        !too_late && has_an_order(&rest, &after)
    })
}

/// The history of some operations, each by a process and a session of its own.
pub(crate) fn history(smalls: &[Small]) -> History {
    history_of(smalls, |index| index)
}

/// The history of some operations, each by a process of its own, of the session that is said.
pub(crate) fn history_of(smalls: &[Small], session: impl Fn(u32) -> u32) -> History {
    let mut builder = HistoryBuilder::new();
    let mut ids: Vec<Option<OperationId>> = vec![None; smalls.len()];
    for event in 0..smalls.len() * 2 {
        let at = Time::from_millis(event as u64);
        for (index, small) in smalls.iter().enumerate() {
            if small.from == event {
                let process = ProcessId(index as u32);
                let session = SessionId(session(process.0));
                let op = small.op.clone();
                let invocation = Invocation { process, session, node: None, op };
                ids[index] = Some(builder.invoke(at, &invocation).unwrap());
            } else if small.to == event {
                builder.complete(at, ids[index].unwrap(), &small.outcome).unwrap();
            }
        }
    }
    builder.finish()
}

fn linearizable(history: &History) -> Verdict {
    Linearizable::new(Limits::default()).check(history)
}

/// Holds the search and its witness against the oracle; returns whether there is an order.
fn compare(smalls: &[Small]) -> bool {
    let expected = has_an_order(smalls, &Value::Nil);
    let history = history(smalls);
    match linearizable(&history) {
        Verdict::Valid(_) => {
            assert!(expected, "accepted: {smalls:#?}");
            let orders = Linearizable::new(Limits::default()).linearizations(&history);
            replay(&history, &orders.expect("a valid verdict has an order"));
        }
        // Nothing in it shows what the key held.
        Verdict::Unknown { .. } => assert!(expected, "not judged: {smalls:#?}"),
        Verdict::Invalid { anomalies, .. } => {
            assert!(!expected, "refused: {smalls:#?}");
            check_witness(smalls, &anomalies[0].witness.operations);
            sentences::check(smalls, &anomalies[0]);
            assert!(anomalies[0].witness.operations.len() <= longest(smalls), "{smalls:#?}");
        }
    }
    expected
}

/// A witness proves the violation by itself: there is no order of it, whatever else took effect, and
/// what it read has a writer if it has one in the whole history.
fn check_witness(smalls: &[Small], witness: &[OperationId]) {
    let mut by_call: Vec<&Small> = smalls.iter().collect();
    by_call.sort_by_key(|small| small.from);
    let part: Vec<Small> = witness.iter().map(|id| by_call[id.index()].clone()).collect();
    check_whatever_else_was_done(&by_call, witness);
    for small in &part {
        // What was written only after it had been seen is no explanation.
        let writer = |other: &&Small| other.from < small.to && is_effective(other);
        if let Outcome::Ok(Ret::Value(seen)) = &small.outcome
            && smalls.iter().filter(writer).any(|other| brings(other, seen))
        {
            let kept = part.iter().any(|other| brings(other, seen));
            assert!(kept || *seen == Value::Nil, "the writer of {seen} is missing: {part:#?}");
        }
    }
}

/// Whether an operation makes a register hold a value that it did not hold.
fn brings(small: &Small, seen: &Value) -> bool {
    brought(small).as_ref() == Some(seen)
}

/// What is asked of an operation, of all of which a witness shows some.
#[derive(Clone)]
enum Asked {
    /// Its answer.
    Shown,
    /// That it did what it asks for, whatever it saw.
    TookEffect,
    /// That the register held something else at a moment of it.
    Differs(Value),
}

#[derive(Clone)]
struct MaybeShown {
    small: Small,
    asked: Asked,
}

impl Step<Value> for MaybeShown {
    fn begin(&self) -> usize {
        self.small.begin()
    }

    fn end(&self) -> Option<usize> {
        self.small.end()
    }

    fn after(&self, held: &Value) -> Option<Value> {
        match &self.asked {
            Asked::Shown => apply(held, &self.small.op, &self.small.outcome),
            Asked::TookEffect => apply(held, &self.small.op, &Outcome::Info(Reason::Timeout)),
            Asked::Differs(value) => (held != value).then(|| held.clone()),
        }
    }
}

/// The answers of a witness have no order, whichever of the other operations took effect. Of one that did, and was
/// answered, those count that began after it and left or saw something else: a proof may say of a write that it was over
/// by then, without showing by whom.
fn check_whatever_else_was_done(by_call: &[&Small], witness: &[OperationId]) {
    let asked = |small: &Small, asked: Asked| MaybeShown { small: small.clone(), asked };
    let is_shown = |index: &u32| witness.contains(&OperationId(*index));
    let all = || by_call.iter().zip(0..);
    let shown: Vec<MaybeShown> = all()
        .filter(|(_, index)| is_shown(index))
        .map(|(small, _)| asked(small, Asked::Shown))
        .collect();
    let mut others: Vec<&Small> =
        all().filter(|(_, index)| !is_shown(index)).map(|(small, _)| *small).collect();
    others.retain(|small| is_effective(small) && !matches!(small.op, Op::Read { .. }));
    if by_call.len() > 5 {
        // Trying every order takes too long.
        others.clear();
    }
    for number in 0..1_u32 << others.len() {
        let took_effect = others.iter().zip(0..).filter(|(_, place)| number >> place & 1 == 1);
        let mut some = shown.clone();
        for (other, _) in took_effect {
            some.push(asked(other, Asked::TookEffect));
            let Some(value) = brought(other).filter(|_| other.end().is_some()) else { continue };
            let sees_another = |later: &&&Small| {
                later.from > other.to && held(later).is_some_and(|held| held != value)
            };
            let later = by_call.iter().filter(sees_another);
            some.extend(later.map(|later| asked(later, Asked::Differs(value.clone()))));
        }
        let has_order = has_an_order(&some, &Value::Nil);
        assert!(!has_order, "{witness:?} proves nothing about {by_call:#?}");
    }
}

/// The value that an operation brings, if it took effect: what replaces a value by the same brings none.
pub(crate) fn brought(small: &Small) -> Option<Value> {
    match &small.op {
        Op::Write { value, .. } => Some(value.clone()),
        Op::Cas { from, to, .. } if from != to => Some(to.clone()),
        Op::Delete { .. } => Some(Value::Nil),
        _ => None,
    }
}

/// A value that the register held at a moment of an operation, by its answer.
fn held(small: &Small) -> Option<Value> {
    match (&small.op, &small.outcome) {
        (_, Outcome::Ok(Ret::Value(seen))) => Some(seen.clone()),
        (_, Outcome::Fail(Reason::Mismatch { actual })) => actual.clone(),
        (Op::Cas { from, .. }, Outcome::Ok(_)) => brought(small).or(Some(from.clone())),
        (_, Outcome::Ok(_)) => brought(small),
        _ => None,
    }
}

/// How many operations prove a violation at most: six, where each value is written once and says so
/// when it is found. Otherwise everybody who may have written a value counts. (So does a circle of
/// compare-and-sets, which is too rare among random ones.)
fn longest(smalls: &[Small]) -> usize {
    let is_blind =
        |small: &Small| matches!(small.outcome, Outcome::Fail(Reason::Mismatch { actual: None }));
    let written: Vec<Value> = smalls
        .iter()
        .filter_map(|small| match &small.op {
            Op::Write { value, .. } | Op::Cas { to: value, .. } => Some(value.clone()),
            Op::Delete { .. } => Some(Value::Nil),
            _ => None,
        })
        .collect();
    let mut different = written.clone();
    different.sort();
    different.dedup();
    let is_unique = different.len() == written.len() && !written.contains(&Value::Nil);
    if is_unique && !smalls.iter().any(is_blind) { 6 } else { smalls.len() }
}

pub(crate) fn is_effective(small: &Small) -> bool {
    !matches!(small.outcome, Outcome::Fail(_))
}

/// Every way in which the begins and ends of `count` operations can interleave, the operations in
/// the order of their begins.
fn interleavings(count: usize) -> Vec<Vec<(usize, usize)>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count * 2 {
        let mut longer = Vec::new();
        for events in &all {
            let begun = events.iter().filter(|event: &&(usize, bool)| !event.1).count();
            if begun < count {
                let mut with = events.clone();
                with.push((begun, false));
                longer.push(with);
            }
            for index in 0..begun {
                if !events.contains(&(index, true)) {
                    let mut with = events.clone();
                    with.push((index, true));
                    longer.push(with);
                }
            }
        }
        all = longer;
    }
    let spans = |events: Vec<(usize, bool)>| {
        let place = |of| events.iter().position(|event| *event == of).unwrap();
        (0..count).map(|index| (place((index, false)), place((index, true)))).collect()
    };
    all.into_iter().map(spans).collect()
}

/// Compares all histories of `count` operations out of an alphabet; returns how many had an order,
/// and how many there were.
fn compare_all(alphabet: &[(Op, Outcome)], count: u32) -> (usize, usize) {
    let mut counts = (0, 0);
    for spans in interleavings(count as usize) {
        for number in 0..alphabet.len().pow(count) {
            let letter = |place: usize| {
                &alphabet[number / alphabet.len().pow(place as u32) % alphabet.len()]
            };
            let smalls: Vec<Small> = spans
                .iter()
                .enumerate()
                .map(|(place, (from, to))| {
                    let (op, outcome) = letter(place).clone();
                    Small { op, outcome, from: *from, to: *to }
                })
                .collect();
            counts.0 += usize::from(compare(&smalls));
            counts.1 += 1;
        }
    }
    counts
}

#[test]
fn all_histories_of_three_operations_are_judged_as_the_oracle_does() {
    let (with_order, all) = compare_all(&alphabet(), 3);
    assert!(all > 400_000 && with_order > all / 10 && with_order < all, "{with_order} of {all}");
}

#[test]
fn all_histories_of_four_operations_that_matter_most_are_judged_as_the_oracle_does() {
    let most: Vec<(Op, Outcome)> = alphabet()
        .into_iter()
        .filter(|(op, outcome)| match (op, outcome) {
            (Op::Read { .. }, _) => true,
            (Op::Write { value, .. }, _) => *value == Value::Int(1),
            (Op::Delete { .. }, outcome) => matches!(outcome, Outcome::Ok(_)),
            (Op::Cas { from, to, .. }, Outcome::Ok(_) | Outcome::Info(_)) => {
                *from == Value::Int(1) && *to == Value::Int(2)
            }
            (Op::Cas { from, .. }, Outcome::Fail(Reason::Mismatch { actual: None })) => {
                *from == Value::Int(1)
            }
            _ => false,
        })
        .collect();
    let (with_order, all) = compare_all(&most, 4);
    assert!(all > 400_000 && with_order > all / 20 && with_order < all, "{with_order} of {all}");
}

/// A random history of up to eight operations, four at a time.
fn draw(random: &mut ChaCha8Rng, alphabet: &[(Op, Outcome)], unique: bool) -> Vec<Small> {
    let count = random.random_range(2..=8_usize);
    let mut smalls: Vec<Small> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for event in 0..count * 2 {
        let begins = smalls.len() < count && open.len() < 4 && (open.is_empty() || random.random());
        if begins {
            let (mut op, outcome) = alphabet[random.random_range(0..alphabet.len())].clone();
            if unique && let Op::Write { value, .. } | Op::Cas { to: value, .. } = &mut op {
                *value = Value::Int(10 + smalls.len() as i64);
            }
            open.push(smalls.len());
            smalls.push(Small { op, outcome, from: event, to: usize::MAX });
        } else {
            let index = open.swap_remove(random.random_range(0..open.len()));
            smalls[index].to = event;
        }
    }
    if unique {
        see_what_is_written(random, &mut smalls);
    }
    smalls
}

/// Lets answers speak of values that are written in the history, so that some of it fits together.
fn see_what_is_written(random: &mut ChaCha8Rng, smalls: &mut [Small]) {
    let count = smalls.len() as i64;
    for small in smalls {
        let mut value = || match random.random_range(-1..count) {
            -1 => Value::Nil,
            written => Value::Int(10 + written),
        };
        if let Op::Cas { from, .. } = &mut small.op {
            *from = value();
        }
        match &mut small.outcome {
            Outcome::Ok(Ret::Value(seen)) => *seen = value(),
            Outcome::Fail(Reason::Mismatch { actual: Some(seen) }) => *seen = value(),
            _ => {}
        }
    }
}

/// Holds `count` random histories against the oracle.
fn compare_random(seed: u64, count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let alphabet = alphabet();
    let mut with_order = 0;
    for round in 0..count {
        let smalls = draw(&mut random, &alphabet, round % 2 == 0);
        with_order += usize::from(compare(&smalls));
    }
    let sides = count / 40..count - count / 20;
    assert!(sides.contains(&with_order), "{with_order} have an order: too one-sided");
}

#[test]
fn random_histories_are_judged_as_the_oracle_does() {
    compare_random(1, 100_000);
}

#[test]
#[ignore = "a command: cargo test --release -p stormglass-checkers --test it -- --ignored"]
fn a_million_random_histories_are_judged_as_the_oracle_does() {
    compare_random(2, 1_200_000);
}

/// A register as a user of stateright would write it.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
struct Theirs(u8);

#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum TheirOp {
    Read,
    Write(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum TheirRet {
    Value(u8),
    Done,
}

impl stateright::semantics::SequentialSpec for Theirs {
    type Op = TheirOp;
    type Ret = TheirRet;

    fn invoke(&mut self, op: &TheirOp) -> TheirRet {
        match op {
            TheirOp::Read => TheirRet::Value(self.0),
            TheirOp::Write(value) => {
                self.0 = *value;
                TheirRet::Done
            }
        }
    }
}

#[test]
fn a_specification_of_stateright_is_judged_as_its_own_tester_does() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut with_order = 0;
    for _ in 0..5_000 {
        let mut tester = LinearizabilityTester::new(Theirs(0));
        let mut calls: Vec<Call<Stateright<Theirs>>> = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for event in 0..random.random_range(4..12_u32) {
            let thread = random.random_range(0..3_usize);
            match open.iter().position(|(busy, _)| *busy == thread) {
                None => {
                    let op = match random.random_range(0..3_u8) {
                        0 => TheirOp::Read,
                        value => TheirOp::Write(value),
                    };
                    tester.on_invoke(thread, op).unwrap();
                    open.push((thread, calls.len()));
                    calls.push(Stateright::call(op, None, event, u32::MAX));
                }
                Some(place) => {
                    let call = &mut calls[open.swap_remove(place).1];
                    let ret = match call.op.0 {
                        TheirOp::Read => TheirRet::Value(random.random_range(0..3)),
                        TheirOp::Write(_) => TheirRet::Done,
                    };
                    tester.on_return(thread, ret).unwrap();
                    call.ret = Some(Stateright(ret));
                    call.completed = event;
                }
            }
        }
        let ours = search(&Stateright(Theirs(0)), &calls, &mut Budget::of_states(1_000_000));
        assert_eq!(ours == Found::Order, tester.is_consistent(), "{calls:?}");
        with_order += usize::from(ours == Found::Order);
    }
    assert!((500..4_900).contains(&with_order), "{with_order} have an order: too one-sided");
}

/// A history of clients of one atomic store: each operation takes effect at one moment between its
/// begin and its end, or after it where its client stopped waiting.
fn atomic(random: &mut ChaCha8Rng) -> History {
    let mut builder = HistoryBuilder::new();
    let mut held = std::collections::BTreeMap::<Key, Value>::new();
    let mut clients: Vec<(ProcessId, Option<Pending>)> =
        (0..4).map(|client| (ProcessId(client), None)).collect();
    let (mut next_process, mut next_value) = (4, 1);
    let mut late: Vec<Op> = Vec::new();
    builder.phase(Time::ZERO, Phase::Liveness).unwrap();
    for step in 0..120 {
        let at = Time::from_millis(step);
        if random.random_range(0..10) == 0 && !late.is_empty() {
            let op = late.swap_remove(random.random_range(0..late.len()));
            take_effect(&mut held, &op);
        }
        let session = random.random_range(0..clients.len());
        let (process, pending) = &mut clients[session];
        *pending = match pending.take() {
            None => {
                let op = draw_op(random, &held, &mut next_value);
                let session = SessionId(session as u32);
                let invocation =
                    Invocation { process: *process, session, node: None, op: op.clone() };
                let id = builder.invoke(at, &invocation).unwrap();
                Some(Pending { id, op, outcome: None })
            }
            Some(Pending { id, op, outcome: None }) if random.random_range(0..12) == 0 => {
                builder.complete(at, id, &Outcome::Info(Reason::Timeout)).unwrap();
                late.push(op);
                *process = ProcessId(next_process);
                next_process += 1;
                None
            }
            Some(Pending { id, op, outcome: None }) => {
                let outcome = Some(take_effect(&mut held, &op));
                Some(Pending { id, op, outcome })
            }
            Some(Pending { id, outcome: Some(outcome), .. }) => {
                builder.complete(at, id, &outcome).unwrap();
                None
            }
        };
    }
    read_everywhere(&mut builder, &held, next_process);
    builder.finish()
}

struct Pending {
    id: OperationId,
    op: Op,
    outcome: Option<Outcome>,
}

fn draw_op(
    random: &mut ChaCha8Rng,
    held: &std::collections::BTreeMap<Key, Value>,
    next_value: &mut i64,
) -> Op {
    let key: Key = ["x", "y", "z"][random.random_range(0..3)].into();
    let mut fresh = || {
        *next_value += 1;
        Value::Int(*next_value)
    };
    match random.random_range(0..9) {
        0..=3 => Op::Read { key, level: ReadLevel::Strong },
        4..=5 => Op::Write { key, value: fresh() },
        6..=7 => {
            let from = held.get(&key).cloned().unwrap_or_default();
            Op::Cas { key, from, to: fresh() }
        }
        _ => Op::Delete { key },
    }
}

fn take_effect(held: &mut std::collections::BTreeMap<Key, Value>, op: &Op) -> Outcome {
    let now = held.get(op.key()).cloned().unwrap_or_default();
    let after = match op {
        Op::Read { .. } => return Outcome::Ok(Ret::Value(now)),
        Op::Cas { from, .. } if *from != now => {
            return Outcome::Fail(Reason::Mismatch { actual: Some(now) });
        }
        Op::Write { value, .. } | Op::Cas { to: value, .. } => value.clone(),
        _ => Value::Nil,
    };
    held.insert(op.key().clone(), after);
    Outcome::Ok(Ret::Done)
}

fn read_everywhere(
    builder: &mut HistoryBuilder,
    held: &std::collections::BTreeMap<Key, Value>,
    mut next_process: u32,
) {
    let at = Time::from_millis(1000);
    builder.phase(at, Phase::Final).unwrap();
    for (key, value) in held {
        for node in 1..=3 {
            let op = Op::Read { key: key.clone(), level: ReadLevel::Replica };
            let (process, session) = (ProcessId(next_process), SessionId(next_process));
            next_process += 1;
            let invocation = Invocation { process, session, node: Some(NodeId(node)), op };
            let id = builder.invoke(at, &invocation).unwrap();
            builder.complete(at, id, &Outcome::Ok(Ret::Value(value.clone()))).unwrap();
        }
    }
}

#[test]
fn no_checker_accuses_an_atomic_store() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut judged = 0;
    for _ in 0..3_000 {
        let history = atomic(&mut random);
        let orders = Linearizable::new(Limits::default()).linearizations(&history);
        replay(&history, &orders.expect("an atomic store is linearizable"));
        for entry in CHECKERS {
            let verdict = (entry.build)(&Limits::default()).check(&history);
            assert!(!verdict.is_invalid(), "{}: {verdict:#?}", entry.guarantee);
            judged += usize::from(verdict.is_valid());
        }
    }
    assert!(judged > 10_000, "only {judged} verdicts say anything");
}

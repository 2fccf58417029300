//! Compare-and-sets that failed without saying what they found: the linear method against the search.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, search};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Op, Outcome, ProcessId, ReadLevel, Reason, Ret, SessionId, Time,
    Value,
};
use stormglass_checkers::model::cas_register::{CasOp, CasRegister, CasRet};
use stormglass_checkers::{History, Verdict};

use crate::linearization::replay;
use crate::notation::history;

/// An operation of a register of numbers, where 0 is `nil`, with the events of its begin and end.
type RegisterCall = Call<CasRegister<i64>>;

/// Operations of some clients on an atomic register. Now and then a compare-and-set is said to have
/// failed although it did not.
fn draw(random: &mut ChaCha8Rng, clients: usize, operations: u32, wrong: u32) -> Vec<RegisterCall> {
    let mut calls: Vec<RegisterCall> = Vec::new();
    let mut doing: Vec<Option<(usize, bool)>> = vec![None; clients];
    let (mut held, mut next_value, mut event, mut begun) = (0, 1, 0, 0);
    while begun < operations || doing.iter().any(Option::is_some) {
        event += 1;
        let client = random.random_range(0..clients);
        doing[client] = match doing[client] {
            None if begun == operations => None,
            None => {
                begun += 1;
                let recent = random.random_range(0.max(next_value - 6)..next_value);
                let op = match random.random_range(0..8) {
                    0..2 => CasOp::Read,
                    2..4 => CasOp::Write(next_value),
                    4 => CasOp::Cas(held, next_value),
                    _ => CasOp::Cas(recent, next_value),
                };
                next_value += 1;
                calls.push(Call { op, ret: None, invoked: event, completed: u32::MAX });
                Some((calls.len() - 1, false))
            }
            Some((place, false)) => {
                calls[place].ret = Some(match calls[place].op {
                    CasOp::Read => CasRet::Value(held),
                    CasOp::Cas(from, _) if from != held => CasRet::Mismatch(None),
                    CasOp::Write(value) | CasOp::Cas(_, value) => {
                        held = value;
                        CasRet::Done
                    }
                });
                Some((place, true))
            }
            Some((place, true)) => {
                let call = &mut calls[place];
                call.completed = event;
                if random.random_range(0..12) == 0 && call.ret != Some(CasRet::Mismatch(None)) {
                    call.ret = None;
                } else if matches!(call.op, CasOp::Cas(..)) && random.random_range(0..100) < wrong {
                    call.ret = Some(CasRet::Mismatch(None));
                }
                None
            }
        };
    }
    calls
}

fn recorded(calls: &[RegisterCall]) -> History {
    let value = |number: i64| if number == 0 { Value::Nil } else { Value::Int(number) };
    let key = || "x".into();
    let mut builder = HistoryBuilder::new();
    let mut events: Vec<(u32, usize, bool)> = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        events.extend([(call.invoked, place, false), (call.completed, place, true)]);
    }
    events.sort_unstable();
    let mut ids = vec![None; calls.len()];
    for (_, place, ends) in events {
        let Call { op, ret, .. } = &calls[place];
        if ends {
            let outcome = match ret {
                None => Outcome::Info(Reason::Timeout),
                Some(CasRet::Done) => Outcome::Ok(Ret::Done),
                Some(CasRet::Value(number)) => Outcome::Ok(Ret::Value(value(*number))),
                Some(CasRet::Mismatch(_)) => Outcome::Fail(Reason::Mismatch { actual: None }),
            };
            builder.complete(Time::ZERO, ids[place].unwrap(), &outcome).unwrap();
        } else {
            let op = match *op {
                CasOp::Read => Op::Read { key: key(), level: ReadLevel::Strong },
                CasOp::Write(to) => Op::Write { key: key(), value: value(to) },
                CasOp::Cas(from, to) => Op::Cas { key: key(), from: value(from), to: value(to) },
            };
            let (process, session) = (ProcessId(place as u32), SessionId(place as u32));
            let invocation = Invocation { process, session, node: None, op };
            ids[place] = Some(builder.invoke(Time::ZERO, &invocation).unwrap());
        }
    }
    builder.finish()
}

#[test]
fn the_linear_method_and_the_search_agree() {
    let checker = Linearizable::new(Limits::default());
    let (mut valid, mut invalid, mut left) = (0, 0, 0);
    for seed in 0..6_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (clients, operations) = (random.random_range(2..10), random.random_range(5..60));
        let wrong = if seed % 2 == 0 { 0 } else { 20 };
        let calls = draw(&mut random, clients, operations, wrong);
        let recorded = recorded(&calls);
        let verdict = checker.check(&recorded);
        let found = search(&CasRegister(0), &calls, &mut Budget::of_states(1_000_000));
        let is_left = verdict.coverage().method != "zones";
        left += usize::from(is_left && found == Found::Order);
        match (&verdict, found) {
            (Verdict::Valid(_) | Verdict::Unknown { .. }, Found::Order) => {
                valid += 1;
                if verdict.is_valid() {
                    replay(&recorded, &checker.linearizations(&recorded).unwrap());
                }
            }
            (Verdict::Invalid { .. }, Found::NoOrder { .. }) => invalid += 1,
            _ => panic!("seed {seed}: {found:?}, {verdict:?}"),
        }
    }
    assert!(valid > 3_000 && invalid > 1_000, "{valid} valid, {invalid} invalid");
    assert!(left < 40, "{left} that have an order were left to the search");
}

/// The method by which a history is judged valid, with its order replayed; or the words of what is
/// wrong.
fn judged(text: &str) -> String {
    let history = history(text);
    let checker = Linearizable::new(Limits::default());
    match checker.check(&history) {
        Verdict::Valid(coverage) => {
            replay(&history, &checker.linearizations(&history).unwrap());
            coverage.method
        }
        verdict => verdict.anomalies()[0].explanation.join("\n"),
    }
}

#[test]
fn a_value_that_was_there_all_the_time() {
    let text = "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 5
        1 fail mismatch
        0 invoke read x
        0 ok 1
    ";
    expect_test::expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 1 tried to set x from 1 to 5 and found something else (from 0.002 s to 0.003 s)
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&judged(text));
}

#[test]
fn a_write_without_an_answer_explains_one_failure() {
    let text = "
        0 invoke write x 1
        0 ok
        2 invoke write x 7
        2 info timeout
        1 invoke cas x 1 5
        1 fail mismatch
    ";
    assert_eq!(judged(text), "zones");
}

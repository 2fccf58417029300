//! Compare-and-sets that failed without saying what they found: the linear method against the search.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::Verdict;
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, search};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{Op, Outcome, ReadLevel, Reason, Ret, Value};
use stormglass_checkers::model::cas_register::{CasOp, CasRegister, CasRet};

use crate::linearization::replay;
use crate::notation::history;
use crate::oracle::{self, Small, apply, key};

const MISMATCH: Outcome = Outcome::Fail(Reason::Mismatch { actual: None });

/// Operations of some clients on an atomic register. Now and then a compare-and-set is said to have
/// failed although it did not.
fn draw(random: &mut ChaCha8Rng, clients: usize, count: usize, wrong: u32) -> Vec<Small> {
    let value = |number: i64| if number == 0 { Value::Nil } else { Value::Int(number) };
    let mut smalls: Vec<Small> = Vec::new();
    let mut doing: Vec<Option<(usize, bool)>> = vec![None; clients];
    let (mut held, mut event) = (Value::Nil, 0);
    while smalls.len() < count || doing.iter().any(Option::is_some) {
        let client = random.random_range(0..clients);
        doing[client] = match doing[client] {
            None if smalls.len() == count => None,
            None => {
                let next = smalls.len() as i64 + 1;
                let recent = random.random_range(0.max(next - 6)..next);
                let op = match random.random_range(0..8) {
                    0..2 => Op::Read { key: key(), level: ReadLevel::Strong },
                    2..4 => Op::Write { key: key(), value: value(next) },
                    4 => Op::Cas { key: key(), from: held.clone(), to: value(next) },
                    _ => Op::Cas { key: key(), from: value(recent), to: value(next) },
                };
                let outcome = Outcome::Info(Reason::Timeout);
                smalls.push(Small { op, outcome, from: event, to: usize::MAX });
                event += 1;
                Some((smalls.len() - 1, false))
            }
            Some((place, false)) => {
                let small = &mut smalls[place];
                small.outcome = match &small.op {
                    Op::Read { .. } => Outcome::Ok(Ret::Value(held.clone())),
                    Op::Cas { from, .. } if *from != held => MISMATCH,
                    _ => Outcome::Ok(Ret::Done),
                };
                held = apply(&held, &small.op, &small.outcome).unwrap();
                Some((place, true))
            }
            Some((place, true)) => {
                let small = &mut smalls[place];
                small.to = event;
                event += 1;
                if random.random_range(0..12) == 0 && small.outcome != MISMATCH {
                    small.outcome = Outcome::Info(Reason::Timeout);
                } else if matches!(small.op, Op::Cas { .. }) && random.random_range(0..100) < wrong
                {
                    small.outcome = MISMATCH;
                }
                None
            }
        };
    }
    smalls
}

/// An operation as the search sees it.
fn call(small: &Small) -> Call<CasRegister<Value>> {
    let op = match &small.op {
        Op::Read { .. } => CasOp::Read,
        Op::Write { value, .. } => CasOp::Write(value.clone()),
        Op::Cas { from, to, .. } => CasOp::Cas(from.clone(), to.clone()),
        _ => unreachable!("nothing else is drawn"),
    };
    let ret = match &small.outcome {
        Outcome::Ok(Ret::Value(value)) => Some(CasRet::Value(value.clone())),
        Outcome::Ok(_) => Some(CasRet::Done),
        Outcome::Fail(_) => Some(CasRet::Mismatch(None)),
        Outcome::Info(_) => None,
    };
    Call { op, ret, invoked: small.from as u32, completed: small.to as u32 }
}

#[test]
fn the_linear_method_and_the_search_agree() {
    let checker = Linearizable::new(Limits::default());
    let (mut valid, mut invalid) = (0, 0);
    // Those that are left to the search: with an order, and without.
    let mut left = (0, 0);
    for seed in 0..6_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (clients, operations) = (random.random_range(2..10), random.random_range(5..60));
        let wrong = if seed % 2 == 0 { 0 } else { 20 };
        let smalls = draw(&mut random, clients, operations, wrong);
        let recorded = oracle::history(&smalls);
        let verdict = checker.check(&recorded);
        let calls: Vec<_> = smalls.iter().map(call).collect();
        let found = search(&CasRegister(Value::Nil), &calls, &mut Budget::of_states(1_000_000));
        let is_left = !["zones", "nothing to judge"].contains(&&*verdict.coverage().method);
        match found {
            Found::Order => left.0 += usize::from(is_left),
            _ => left.1 += usize::from(is_left),
        }
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
    // Nearly all that have an order are judged in linear time. A change of these numbers is a change of
    // how much of the work is left to the search, not of a verdict.
    assert_eq!(left, (28, 120));
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
        no order goes further than this one: process 0 wrote x = 1
        after it, this does not fit: process 1 tried to set x from 1 to 5 and found something else
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&judged(text));
}

#[test]
fn what_was_written_over_before_is_not_in_the_proof() {
    let mut text = String::new();
    for value in 1..=50 {
        text += &format!("0 invoke write x {value}\n0 ok\n");
    }
    text += "1 invoke cas x 50 77\n1 fail mismatch\n";
    expect_test::expect![[r#"
        process 0 wrote x = 50 (from 0.098 s to 0.099 s)
        process 1 tried to set x from 50 to 77 and found something else (from 0.100 s to 0.101 s)
        no order goes further than this one: process 0 wrote x = 50
        after it, this does not fit: process 1 tried to set x from 50 to 77 and found something else
        49 more writes cannot be what process 1 found: each was over before another one began, and that was over before process 1 asked
        no order of these operations that keeps to their times explains every answer"#]].assert_eq(&judged(&text));
}

#[test]
fn a_value_that_was_replaced_by_itself_was_not_written_over() {
    // That process 2 found 1 after process 0 had written it leaves the write where it was: with it and the
    // failure alone there is no order.
    let text = "
        0 invoke write x 1
        0 ok
        2 invoke cas x 1 1
        2 ok
        1 invoke cas x 1 5
        1 fail mismatch
    ";
    expect_test::expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 1 tried to set x from 1 to 5 and found something else (from 0.004 s to 0.005 s)
        no order goes further than this one: process 0 wrote x = 1
        after it, this does not fit: process 1 tried to set x from 1 to 5 and found something else
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&judged(text));
}

#[test]
fn a_value_that_was_there_until_it_was_replaced() {
    // No search is needed to see that, whoever shows that it was there.
    let begins = "0 invoke write x 1\n0 ok\n1 invoke cas x 1 5\n1 fail mismatch\n";
    for after in ["2 invoke cas x 1 2\n2 ok", "2 invoke read x\n2 ok 1"] {
        let text = format!("{begins}{after}");
        let verdict = Linearizable::new(Limits::default()).check(&history(&text));
        assert_eq!(verdict.coverage().method, "zones", "{after}");
        assert!(verdict.is_invalid(), "{after}");
    }
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

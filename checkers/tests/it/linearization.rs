//! The orders that prove valid verdicts, replayed by whoever knows only what a register is.

use std::collections::BTreeSet;

use stormglass_checkers::History;
use stormglass_checkers::checker::Limits;
use stormglass_checkers::checker::linearizable::{Linearizable, Linearization};
use stormglass_checkers::history::{Op, Operation, Outcome, ReadLevel, Reason, Ret, Value};

use crate::notation::history;
use crate::oracle::apply;

/// Replays the orders of registers that hold `nil` in the beginning: no operation comes twice or is
/// missing, none comes before one that was over when it began, and each answer is what the register
/// gives.
pub(crate) fn replay(history: &History, orders: &[Linearization]) {
    let mut placed = BTreeSet::new();
    for of_key in orders {
        let (mut held, mut called) = (Value::Nil, None);
        for id in &of_key.operations {
            let operation = history.operation(*id);
            let op = history.op(*id);
            assert_eq!(*operation.op.key(), of_key.key, "{op} is of another key");
            assert!(placed.insert(*id), "{op} takes effect twice");
            let returned = operation.completed.filter(|_| !operation.is_indeterminate());
            let is_late = returned.zip(called).is_some_and(|(returned, called)| returned < called);
            assert!(!is_late, "{op} was over when one before it began");
            called = called.max(Some(operation.invoked));
            held = apply(&held, &op, &outcome(history, &operation))
                .unwrap_or_else(|| panic!("{op} cannot be answered so where the key holds {held}"));
        }
    }
    for operation in history.operations().filter(must_take_effect) {
        assert!(placed.contains(&operation.id), "{} is missing", history.op(operation.id));
    }
}

fn outcome(history: &History, operation: &Operation<'_>) -> Outcome {
    let value = |id| history.value(id).clone();
    match operation.outcome {
        Some(Outcome::Ok(Ret::Value(id))) => Outcome::Ok(Ret::Value(value(*id))),
        Some(Outcome::Ok(Ret::Done)) => Outcome::Ok(Ret::Done),
        Some(Outcome::Fail(Reason::Mismatch { actual })) => {
            Outcome::Fail(Reason::Mismatch { actual: actual.map(value) })
        }
        _ => Outcome::Info(Reason::Timeout),
    }
}

fn must_take_effect(operation: &Operation<'_>) -> bool {
    let is_weak = matches!(operation.op, Op::Read { level: ReadLevel::Replica, .. });
    let is_told = operation.is_ok()
        || matches!(operation.outcome, Some(Outcome::Fail(Reason::Mismatch { .. })));
    is_told && !is_weak
}

/// The order of the only key, one operation a line.
fn order(text: &str) -> Vec<String> {
    let history = history(text);
    let orders = Linearizable::new(Limits::default()).linearizations(&history).unwrap();
    orders[0].operations.iter().map(|id| history.op(*id).to_string()).collect()
}

#[test]
fn chains_stand_one_after_the_other() {
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        2 invoke cas x 2 3
        2 ok
        3 invoke read x
        3 ok 3
        0 ok
        1 ok
        3 invoke read x
        3 ok 1
    ";
    let expected = ["write x 2", "cas x 2 3", "read x", "write x 1", "read x"];
    assert_eq!(order(text), expected);
}

#[test]
fn a_failure_that_does_not_tell_what_it_found_stands_where_its_value_is_not() {
    // The value was there when it was called, so it failed after the next one.
    let after = "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 9
        2 invoke write y 1
        2 ok
        0 invoke write x 2
        0 ok
        1 fail mismatch
    ";
    assert_eq!(order(after), ["write x 1", "write x 2", "cas x 1 9"]);
    // The value came later.
    let before = "
        0 invoke write x 1
        0 ok
        1 invoke cas x 2 9
        2 invoke write y 1
        2 ok
        0 invoke write x 2
        0 ok
        1 fail mismatch
        2 invoke read x
        2 ok 2
    ";
    assert_eq!(order(before), ["write x 1", "cas x 2 9", "write x 2", "read x"]);
    // The value was there all the time until the next one was written, by whoever began before it.
    let between = "
        0 invoke write x 1
        0 ok
        0 invoke write x 2
        1 invoke cas x 1 9
        2 invoke read x
        2 ok 1
        1 fail mismatch
        0 ok
    ";
    assert_eq!(order(between), ["write x 1", "read x", "write x 2", "cas x 1 9"]);
}

#[test]
fn the_order_of_values_that_are_written_once_takes_no_search() {
    let limits = Limits { states_max: 0, ..Limits::default() };
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        0 ok
        1 ok
        2 invoke read x
        2 ok 1
    ";
    let history = history(text);
    let orders = Linearizable::new(limits).linearizations(&history).unwrap();
    replay(&history, &orders);
    let order = orders[0].operations.iter().map(|id| history.op(*id).to_string());
    assert_eq!(order.collect::<Vec<_>>(), ["write x 2", "write x 1", "read x"]);
}

#[test]
fn what_had_no_effect_is_left_out() {
    let text = "
        0 invoke write x 1
        0 info timeout
        1 invoke write x 2
        1 info timeout
        2 invoke read x
        2 ok 2
    ";
    assert_eq!(order(text), ["write x 2", "read x"]);
}

#[test]
fn whatever_is_searched_has_an_order_too() {
    let text = "
        0 invoke append x a
        1 invoke append x b
        2 invoke read x
        2 ok b
        0 ok
        1 ok
        2 invoke read x
        2 ok ba
    ";
    let expected = [r#"append x "b""#, "read x", r#"append x "a""#, "read x"];
    assert_eq!(order(text), expected);
}

#[test]
fn what_is_not_valid_has_no_order() {
    let stale = history("0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil");
    let verdict = Linearizable::new(Limits::default()).linearizations(&stale).unwrap_err();
    assert!(verdict.is_invalid());
}

//! Operations as plain as they can be: transactions with fewer steps, and small numbers.

use std::collections::{BTreeMap, BTreeSet};

use checkers::history::{Key, Op, Value};

use crate::tape::Call;

/// The keys that an operation is about: of a transaction, those of its steps.
pub(super) fn keys_of(op: &Op) -> BTreeSet<String> {
    match op {
        Op::Txn { body: Value::List(steps), .. } => steps.iter().filter_map(key_of).collect(),
        op => BTreeSet::from([op.key().as_str().to_owned()]),
    }
}

/// The same operation with what it does about these keys only; nothing where that is nothing.
pub(super) fn on_keys(op: &Op, keys: &BTreeSet<String>) -> Option<Op> {
    let Op::Txn { key, body: Value::List(steps) } = op else {
        return keys.contains(op.key().as_str()).then(|| op.clone());
    };
    let is_on = |step: &&Value| key_of(step).is_some_and(|key| keys.contains(&key));
    let left: Vec<Value> = steps.iter().filter(is_on).cloned().collect();
    let body = Value::List(left.into());
    (body != Value::List([].into())).then(|| Op::Txn { key: key.clone(), body })
}

/// The key of a step of a transaction, as checkers call it.
fn key_of(step: &Value) -> Option<String> {
    let Value::List(parts) = step else { return None };
    Some(match parts.get(1)? {
        Value::Text(key) => key.to_string(),
        key => key.to_string(),
    })
}

/// The same operation with a step less, for each of its steps.
pub(super) fn with_fewer_steps(op: &Op) -> Vec<Op> {
    let Op::Txn { key, body: Value::List(steps) } = op else { return Vec::new() };
    if steps.len() < 2 {
        return Vec::new();
    }
    let without = |step: usize| {
        let mut left = steps.to_vec();
        left.remove(step);
        Op::Txn { key: key.clone(), body: Value::List(left.into()) }
    };
    (0..steps.len()).map(without).collect()
}

/// The same operations with other keys, other numbers, or both: the first key is `k0`, the first number 1, and so on, in
/// the order of time.
pub(super) fn renamed(calls: &[Vec<Call>], [keys, numbers]: [bool; 2]) -> Vec<Vec<Call>> {
    let (keys, numbers) = (keys.then(BTreeMap::new), numbers.then(BTreeMap::new));
    let mut names = Names { keys, numbers };
    let mut renamed = calls.to_vec();
    let mut in_order: Vec<&mut Call> = renamed.iter_mut().flatten().collect();
    in_order.sort_by_key(|call| call.at);
    for call in in_order {
        call.op = names.rename(&call.op);
    }
    renamed
}

/// What keys and numbers are called now; nothing where they are called as before.
struct Names {
    keys: Option<BTreeMap<Value, usize>>,
    numbers: Option<BTreeMap<i64, i64>>,
}

impl Names {
    fn rename(&mut self, op: &Op) -> Op {
        match op.clone() {
            // The name of the store is part of what is asked; that of a key is one like any other.
            Op::Txn { key, body: Value::List(steps) } => {
                let steps = steps.iter().map(|step| self.step(step)).collect();
                Op::Txn { key, body: Value::List(steps) }
            }
            op => {
                let place = self.place_of(&Value::Text(op.key().as_str().into()));
                let named = |key: Key| match place {
                    Some(place) => Key::from(format!("k{place}")),
                    None => key,
                };
                op.map(named, |value| self.value(&value))
            }
        }
    }

    /// A step of a transaction: its name, its key, its value.
    fn step(&mut self, step: &Value) -> Value {
        let Value::List(parts) = step else { return step.clone() };
        let [name, key, value] = &parts[..] else { return step.clone() };
        let key = match key {
            Value::Int(number) => {
                Value::Int(self.place_of(key).map_or(*number, |place| place as i64))
            }
            key => key.clone(),
        };
        Value::List([name.clone(), key, self.value(value)].into())
    }

    fn place_of(&mut self, key: &Value) -> Option<usize> {
        let keys = self.keys.as_mut()?;
        let next = keys.len();
        Some(*keys.entry(key.clone()).or_insert(next))
    }

    fn value(&mut self, value: &Value) -> Value {
        match (value, &mut self.numbers) {
            (Value::Int(number), Some(numbers)) => {
                let next = numbers.len() as i64 + 1;
                Value::Int(*numbers.entry(*number).or_insert(next))
            }
            (value, _) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use checkers::history::Time;

    use super::*;

    fn call(at: u64, op: &str) -> Call {
        Call { at: Time::from_millis(at), op: serde_json::from_str(op).unwrap() }
    }

    #[test]
    fn keys_and_numbers_are_renamed_in_the_order_of_time_and_alike_for_all_clients() {
        let calls = [
            vec![call(2, r#"{"op":"read","key":"k7"}"#)],
            vec![
                call(1, r#"{"op":"write","key":"k9","value":300}"#),
                call(3, r#"{"op":"cas","key":"k7","from":300,"to":17}"#),
            ],
        ];
        let with = |parts| {
            let calls = renamed(&calls, parts).concat();
            calls.iter().map(|call| call.op.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(with([true, true]), ["read k1", "write k0 1", "cas k1 1 2"]);
        assert_eq!(with([false, true]), ["read k7", "write k9 1", "cas k7 1 2"]);
        assert_eq!(with([true, false]), ["read k1", "write k0 300", "cas k1 300 17"]);
    }

    #[test]
    fn of_a_transaction_the_steps_on_some_keys_are_left_and_of_others_all_or_nothing() {
        let txn =
            r#"{"op":"txn","key":"lists","body":[["append",9,40],["r","a",null],["r",7,null]]}"#;
        let [txn, read] = [txn, r#"{"op":"read","key":"k7"}"#].map(|op| call(1, op).op);
        assert_eq!(keys_of(&txn), ["7", "9", "a"].map(str::to_owned).into());
        assert_eq!(keys_of(&read), ["k7".to_owned()].into());
        let left = |op: &Op, keys: &[&str]| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            on_keys(op, &keys).map(|op| op.to_string())
        };
        let on_two = r#"txn lists [["append" 9 40] ["r" "a" nil]]"#;
        assert_eq!(left(&txn, &["9", "a"]).as_deref(), Some(on_two));
        assert_eq!(left(&txn, &["k7"]), None);
        assert_eq!(left(&read, &["k7", "9"]).as_deref(), Some("read k7"));
        assert_eq!(left(&read, &["9"]), None);
    }

    #[test]
    fn the_steps_of_transactions_are_renamed_and_left_out_one_by_one() {
        let body = r#"[["append",9,40],["r",4,null],["r",9,null]]"#;
        let txn = call(1, &format!(r#"{{"op":"txn","key":"lists","body":{body}}}"#));
        let fewer = with_fewer_steps(&txn.op);
        assert_eq!(fewer.len(), 3);
        assert_eq!(fewer[1].to_string(), r#"txn lists [["append" 9 40] ["r" 9 nil]]"#);
        let renamed = renamed(&[vec![txn]], [true, true]);
        let is = r#"txn lists [["append" 0 1] ["r" 1 nil] ["r" 0 nil]]"#;
        assert_eq!(renamed[0][0].op.to_string(), is);
    }
}

//! Operations of a history as commands of the store, and its answers as outcomes.

use std::sync::Arc;

use checkers::history::{Op, Outcome, ReadLevel, Reason, Ret, Value};
use reference_db::client::Answer;
use reference_db::kv::{self, Command, Datum, Reply, Step, Update};

/// The command that does an operation; none where the store has none.
pub(crate) fn command_of(op: &Op) -> Option<Command> {
    let key = op.key().as_str().to_owned();
    Some(match op {
        Op::Read { level, .. } => {
            let level = match level {
                ReadLevel::Strong => kv::ReadLevel::Strong,
                ReadLevel::Replica => kv::ReadLevel::Replica,
            };
            Command::Read { key, level }
        }
        Op::Write { value, .. } => match bytes_of(value)? {
            Some(value) => Command::Write { key, value },
            None => Command::Delete { key },
        },
        Op::Cas { from, to, .. } => Command::Cas { key, from: bytes_of(from)?, to: bytes_of(to)? },
        Op::Delete { .. } => Command::Delete { key },
        Op::Add { value, .. } => Command::Update { key, update: Update::Add(bytes_of(value)??) },
        Op::Remove { value, .. } => {
            Command::Update { key, update: Update::Remove(bytes_of(value)??) }
        }
        Op::Increment { by: Value::Int(by), .. } => {
            Command::Update { key, update: Update::Increment(*by) }
        }
        Op::Append { value, .. } | Op::Enqueue { value, .. } => {
            Command::Update { key, update: Update::Append(bytes_of(value)??) }
        }
        Op::Txn { body: Value::List(steps), .. } => {
            Command::Txn { steps: steps.iter().map(step_of).collect::<Option<_>>()? }
        }
        // A queue is a list that is taken from at its beginning.
        Op::Dequeue { .. } => Command::Txn { steps: vec![Step::Shift(key)] },
        // What nobody was given is one more than what was given last.
        Op::Generate { .. } => Command::Txn {
            steps: vec![Step::Update(key.clone(), Update::Increment(1)), Step::Read(key)],
        },
        Op::Increment { .. }
        | Op::Txn { .. }
        | Op::Acquire { .. }
        | Op::Release { .. }
        | Op::Send { .. }
        | Op::Poll { .. }
        | Op::Commit { .. }
        | Op::Committed { .. }
        | Op::Echo { .. } => return None,
    })
}

/// A step of a transaction, `[name, key, value]`. What would leave less than nothing is refused: `inc`
/// by a negative number takes.
fn step_of(step: &Value) -> Option<Step> {
    let Value::List(parts) = step else { return None };
    let [Value::Text(name), key, value] = &parts[..] else { return None };
    let key = key.to_string();
    Some(match (&**name, value) {
        ("r", _) => Step::Read(key),
        ("w", Value::Int(number)) => Step::Write(key, Datum::Counter(*number)),
        ("append", value) => Step::Update(key, Update::Append(bytes_of(value)??)),
        ("inc", Value::Int(by)) if *by < 0 => Step::Take(key, by.unsigned_abs()),
        ("inc", Value::Int(by)) => Step::Update(key, Update::Increment(*by)),
        _ => return None,
    })
}

/// What a client of the store has learned about an operation.
pub(crate) fn learned(op: &Op, answer: Answer) -> Outcome {
    match answer {
        Answer::Reply(Reply::Unsupported) => Outcome::Fail(Reason::Unsupported),
        Answer::Reply(reply) => outcome_of(op, reply),
        Answer::NotDone => Outcome::Fail(Reason::NotLeader),
        // Nobody answered, or who did does not know either.
        Answer::Unknown => Outcome::Info(Reason::Other("unknown".into())),
        Answer::Lost { unknown: false } => Outcome::Fail(Reason::SessionLost),
        Answer::Lost { unknown: true } => Outcome::Info(Reason::SessionLost),
    }
}

/// What an answer says about an operation.
fn outcome_of(op: &Op, reply: Reply) -> Outcome {
    match (op, reply) {
        (Op::Read { .. }, Reply::Value(bytes)) => Outcome::Ok(Ret::Value(value_of(bytes))),
        (Op::Read { .. }, Reply::Datum(datum)) => Outcome::Ok(Ret::Value(value_of_datum(datum))),
        (
            Op::Write { .. }
            | Op::Cas { .. }
            | Op::Delete { .. }
            | Op::Add { .. }
            | Op::Remove { .. }
            | Op::Increment { .. }
            | Op::Append { .. }
            | Op::Enqueue { .. },
            Reply::Done,
        ) => Outcome::Ok(Ret::Done),
        (Op::Cas { .. }, Reply::Mismatch(bytes)) => {
            Outcome::Fail(Reason::Mismatch { actual: Some(value_of(bytes)) })
        }
        (Op::Txn { body: Value::List(steps), .. }, Reply::Txn(found)) => {
            Outcome::Ok(Ret::Value(Value::List(answered(steps, found))))
        }
        (Op::Dequeue { .. } | Op::Generate { .. }, Reply::Txn(found)) => {
            let value = found.into_iter().next().flatten();
            Outcome::Ok(Ret::Value(value.map_or(Value::Nil, value_of_datum)))
        }
        (_, Reply::WrongKind) => Outcome::Fail(Reason::Other("the key holds another kind".into())),
        (_, Reply::TooLittle) => {
            Outcome::Fail(Reason::Declined("the account holds too little".into()))
        }
        (_, Reply::Absent) => {
            Outcome::Fail(Reason::Declined("the set that was read does not have it".into()))
        }
        (_, Reply::TooMuch) => Outcome::Fail(Reason::Other("the sum is too great".into())),
        (_, Reply::NoSuchNode) => Outcome::Fail(Reason::Other("no such node takes part".into())),
        (_, Reply::TooLong) => Outcome::Fail(Reason::Other("the request is too long".into())),
        (_, reply) => Outcome::Info(Reason::Other(format!("unexpected answer {reply:?}").into())),
    }
}

/// The steps of a transaction with what its reads found.
fn answered(steps: &[Value], found: Vec<Option<Datum>>) -> Arc<[Value]> {
    let mut found = found.into_iter();
    let answer = |step: &Value| match step {
        Value::List(parts) if matches!(&parts[..], [Value::Text(name), ..] if &**name == "r") => {
            let datum = found.next().flatten();
            let value = datum.map_or(Value::Nil, value_of_datum);
            Value::List([parts[0].clone(), parts[1].clone(), value].into())
        }
        step => step.clone(),
    };
    steps.iter().map(answer).collect()
}

/// The store keeps bytes: whole numbers travel as their decimal digits, and texts as they are, but for those that
/// would come back as numbers. The inner nothing stands for `nil`, the outer for what does not travel.
fn bytes_of(value: &Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Nil => Some(None),
        Value::Int(number) => Some(Some(number.to_string().into_bytes())),
        Value::Text(text) if text.parse::<i64>().is_err() => Some(Some(text.as_bytes().to_vec())),
        Value::Text(_) | Value::List(_) => None,
    }
}

/// What a register holds, as a value of the history. Bytes that no client can have written are shown
/// as the text that they are, and then nobody wrote that value.
fn value_of(bytes: Option<Vec<u8>>) -> Value {
    let Some(bytes) = bytes else { return Value::Nil };
    let text = String::from_utf8_lossy(&bytes);
    text.parse().map_or_else(|_| Value::Text(text.into_owned().into()), Value::Int)
}

fn value_of_datum(datum: Datum) -> Value {
    let elements = |bytes: Vec<u8>| value_of(Some(bytes));
    match datum {
        Datum::Register(bytes) => value_of(Some(bytes)),
        Datum::Counter(sum) => Value::Int(sum),
        Datum::Set(set) => Value::List(set.into_iter().map(elements).collect()),
        Datum::List(list) => Value::List(list.into_iter().map(elements).collect()),
    }
}

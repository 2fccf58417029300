//! Operations and outcomes in the words of Maelstrom's protocol: a dialect for each of its workloads.

use checkers::Guarantee;
use checkers::history::{Op, OpKind, Outcome, Reason, Ret, Value};
use serde_json::{Value as Json, json};

use super::child::shortened;
use super::log;
use crate::system::Claim;

/// How nodes are asked under one workload, and what they are taken to promise.
pub struct Dialect {
    /// The name of the workload, in Maelstrom's words.
    pub name: &'static str,
    /// The workload of ours that asks for the same.
    pub workload: &'static str,
    pub(super) ops: &'static [OpKind],
    pub(super) claims: &'static [(Guarantee, Claim)],
    /// Whether nodes are told who their neighbours are.
    pub(super) wants_topology: bool,
    /// The body that asks for an operation; nothing where there are no words for it.
    pub(super) ask: fn(&Op) -> Option<Json>,
    /// What an answer that is no error says; nothing where it is not what the protocol says.
    pub(super) learn: fn(&Op, &Json) -> Option<Ret>,
    /// Where an answer may not be all there is: puts what is new to what was told so far, and says what to ask then.
    pub(super) more: fn(&Op, told: &mut Json, new: Json) -> Option<Json>,
}

/// Every workload that nodes can be asked under.
pub const WORKLOADS: &[Dialect] = &[
    Dialect {
        name: "lin-kv",
        workload: "register",
        ops: &[OpKind::Read, OpKind::Write, OpKind::Cas],
        claims: &[(Guarantee::Linearizable, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        wants_topology: false,
        ask: ask_register,
        learn: learn_value,
        more: all_is_told,
    },
    Dialect {
        name: "g-set",
        workload: "set",
        ops: &[OpKind::Read, OpKind::Add],
        claims: &[(Guarantee::Durable, Claim::Holds), (Guarantee::Convergent, Claim::Holds)],
        wants_topology: false,
        ask: |op| ask_set(op, "add", "element"),
        learn: |op, body| learn_set(op, &body["value"]),
        more: all_is_told,
    },
    Dialect {
        name: "broadcast",
        workload: "set",
        ops: &[OpKind::Read, OpKind::Add],
        claims: &[(Guarantee::Durable, Claim::Holds), (Guarantee::Convergent, Claim::Holds)],
        wants_topology: true,
        ask: |op| ask_set(op, "broadcast", "message"),
        learn: |op, body| learn_set(op, &body["messages"]),
        more: all_is_told,
    },
    Dialect {
        name: "unique-ids",
        workload: "unique-ids",
        ops: &[OpKind::Generate],
        claims: &[(Guarantee::UniqueIds, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        wants_topology: false,
        ask: |_| Some(json!({"type": "generate"})),
        learn: |_, body| match &body["id"] {
            Json::Null => None,
            id => Some(Ret::Value(Value::Text(id_of(id).into()))),
        },
        more: all_is_told,
    },
    Dialect {
        name: "txn-list-append",
        workload: "append",
        ops: &[OpKind::Txn],
        claims: &[(Guarantee::StrictSerializable, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        wants_topology: false,
        ask: |op| match op {
            Op::Txn { body, .. } => Some(json!({"type": "txn", "txn": body})),
            _ => None,
        },
        learn: |_, body| value_of(&body["txn"]).map(Ret::Value),
        more: all_is_told,
    },
    Dialect {
        name: "echo",
        workload: "echo",
        ops: &[OpKind::Echo],
        claims: &[(Guarantee::Echo, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        wants_topology: false,
        ask: |op| match op {
            Op::Echo { value, .. } => {
                Some(json!({"type": "echo", "echo": format!("Please echo {value}")}))
            }
            _ => None,
        },
        // What is no echo of ours is a value all the same: another one than was asked for.
        learn: |_, body| match body["echo"].as_str() {
            Some(text) => Some(Ret::Value(match text.strip_prefix("Please echo ") {
                Some(number) => number.parse().map_or(Value::Text(text.into()), Value::Int),
                None => Value::Text(text.into()),
            })),
            None => value_of(&body["echo"]).map(Ret::Value),
        },
        more: all_is_told,
    },
    Dialect {
        name: "pn-counter",
        workload: "one-counter",
        ops: &[OpKind::Read, OpKind::Increment],
        claims: &[(Guarantee::Durable, Claim::Holds), (Guarantee::Convergent, Claim::Holds)],
        wants_topology: false,
        ask: ask_counter,
        learn: learn_counter,
        more: all_is_told,
    },
    Dialect {
        name: "g-counter",
        workload: "growing-counter",
        ops: &[OpKind::Read, OpKind::Increment],
        claims: &[(Guarantee::Durable, Claim::Holds), (Guarantee::Convergent, Claim::Holds)],
        wants_topology: false,
        ask: ask_counter,
        learn: learn_counter,
        more: all_is_told,
    },
    Dialect {
        name: "kafka",
        workload: "log",
        ops: &[OpKind::Send, OpKind::Poll, OpKind::Commit, OpKind::Committed],
        claims: &[(Guarantee::Log, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        wants_topology: false,
        ask: log::ask,
        learn: log::learn,
        more: log::more,
    },
];

/// A message as it goes over a line.
pub(super) fn envelope(from: &str, to: &str, body: Json) -> Json {
    json!({"src": from, "dest": to, "body": body})
}

/// What a client knows once it has an answer that is no error.
pub(super) fn learn(dialect: &Dialect, op: &Op, body: &Json) -> Outcome {
    match (dialect.learn)(op, body) {
        Some(ret) => Outcome::Ok(ret),
        None => {
            let shown = shortened(&body.to_string());
            let words = format!("an answer that the protocol does not have: {shown}");
            Outcome::Info(Reason::Other(words.into()))
        }
    }
}

/// What an error says. Some codes say that nothing happened, and all others leave it open.
pub(super) fn of_error(op: &Op, body: &Json) -> Outcome {
    const DEFINITE: &[u64] = &[1, 10, 11, 12, 14, 20, 21, 22, 30];
    let code = body["code"].as_u64();
    let words = format!("error {}: {}", body["code"], body["text"].as_str().unwrap_or_default());
    let reason = match (op, code) {
        // A store that forgets what it has acknowledged must not pass because it says so.
        (Op::Read { .. }, Some(20)) => return Outcome::Ok(Ret::Value(Value::Nil)),
        (Op::Cas { .. }, Some(20)) => Reason::Mismatch { actual: Some(Value::Nil) },
        (Op::Cas { .. }, Some(22)) => Reason::Mismatch { actual: None },
        (_, Some(10)) => Reason::Unsupported,
        (_, Some(11)) => Reason::Unavailable,
        _ => Reason::Other(shortened(&words).into()),
    };
    if code.is_some_and(|code| DEFINITE.contains(&code)) {
        Outcome::Fail(reason)
    } else {
        Outcome::Info(reason)
    }
}

fn ask_register(op: &Op) -> Option<Json> {
    match op {
        Op::Read { key, .. } => Some(json!({"type": "read", "key": key})),
        Op::Write { key, value } => Some(json!({"type": "write", "key": key, "value": value})),
        // There are no words for the change of a key that is not there.
        Op::Cas { from: Value::Nil, .. } => None,
        Op::Cas { key, from, to } => {
            Some(json!({"type": "cas", "key": key, "from": from, "to": to}))
        }
        _ => None,
    }
}

fn ask_counter(op: &Op) -> Option<Json> {
    match op {
        Op::Read { .. } => Some(json!({"type": "read"})),
        Op::Increment { by, .. } => Some(json!({"type": "add", "delta": by})),
        _ => None,
    }
}

fn learn_counter(op: &Op, body: &Json) -> Option<Ret> {
    match (op, body["type"].as_str()?) {
        (Op::Read { .. }, "read_ok") => body["value"].as_i64().map(Value::Int).map(Ret::Value),
        (Op::Increment { .. }, "add_ok") => Some(Ret::Done),
        _ => None,
    }
}

/// One answer is all there is.
fn all_is_told(_: &Op, _: &mut Json, _: Json) -> Option<Json> {
    None
}

fn learn_value(op: &Op, body: &Json) -> Option<Ret> {
    let (kind, expected) = (body["type"].as_str()?, op.kind().name());
    if kind.strip_suffix("_ok") != Some(expected) {
        return None;
    }
    match op {
        Op::Read { .. } => body.get("value").and_then(value_of).map(Ret::Value),
        _ => Some(Ret::Done),
    }
}

/// There is one set in Maelstrom, and many in our workload: what is put in says which it is for.
fn ask_set(op: &Op, verb: &str, field: &str) -> Option<Json> {
    match op {
        Op::Read { .. } => Some(json!({"type": "read"})),
        Op::Add { key, value } => {
            let mut body = json!({"type": verb});
            body[field] = format!("{key}/{value}").into();
            Some(body)
        }
        _ => None,
    }
}

/// An id as a text of its own: `"3"` is another one than `3`, which is the same as `3.0`.
fn id_of(id: &Json) -> String {
    /// Up to here, numbers with a fraction part tell all whole numbers apart.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() < WHOLE_MAX;
    match id {
        Json::String(text) if serde_json::from_str::<Json>(text).is_err() => text.clone(),
        Json::Number(number) if number.is_f64() => number
            .as_f64()
            .filter(is_whole)
            .map_or_else(|| number.to_string(), |whole| format!("{whole:.0}")),
        id => id.to_string(),
    }
}

fn learn_set(op: &Op, elements: &Json) -> Option<Ret> {
    let Op::Read { key, .. } = op else { return Some(Ret::Done) };
    let prefix = format!("{key}/");
    let own =
        elements.as_array()?.iter().filter_map(|element| element.as_str()?.strip_prefix(&prefix));
    let values: Option<Vec<Value>> =
        own.map(|number| number.parse().ok().map(Value::Int)).collect();
    Some(Ret::Value(Value::List(values?.into())))
}

/// A value as histories have it; nothing for what they do not have.
pub(super) fn value_of(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Nil),
        Json::Number(number) => number.as_i64().map(Value::Int),
        Json::String(text) => Some(Value::Text(text.as_str().into())),
        Json::Array(values) => values.iter().map(value_of).collect::<Option<_>>().map(Value::List),
        Json::Bool(_) | Json::Object(_) => None,
    }
}

//! Operations and outcomes in the words of Maelstrom's protocol: a dialect for each of its workloads.

use std::collections::BTreeMap;

use checkers::Guarantee;
use checkers::history::{Op, OpKind, Outcome, Reason, Ret, Value};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::child::shortened;
use super::log;
use crate::json;
use crate::system::Claim;

/// How nodes are asked under one workload, and what they are taken to promise.
pub struct Dialect {
    /// The name of the workload, in Maelstrom's words.
    pub name: &'static str,
    /// The workload of ours that asks for the same.
    pub workload: &'static str,
    pub(super) ops: &'static [OpKind],
    pub(crate) claims: &'static [(Guarantee, Claim)],
    /// Whether nodes need not speak to each other: then it makes no difference to cut them apart.
    pub(crate) is_apart: bool,
    /// Whether nodes are told who their neighbours are.
    pub(super) wants_topology: bool,
    /// The body that asks for an operation; nothing where there are no words for it.
    pub(super) ask: fn(&Op) -> Option<Json>,
    /// Whether reads may be old, as reads of replicas may.
    pub(super) reads_may_be_old: bool,
    /// What the answer to a request says that is of the kind that is due; nothing where it is not what the protocol says.
    pub(super) learn: fn(asked: &Json, answer: &Json) -> Option<Ret>,
    /// Where an answer may not be all there is: puts what is new to what was told so far, and says what to ask then.
    pub(super) more: fn(&Op, told: &mut Json, new: Json) -> Option<Json>,
}

/// What is promised of what is added and read: that an object shows what was added to it and nothing else, if maybe late,
/// and that all of it is there in the end.
const fn keeps(object: Guarantee) -> [(Guarantee, Claim); 4] {
    [
        (object, Claim::Holds),
        (Guarantee::Durable, Claim::Holds),
        (Guarantee::Convergent, Claim::Holds),
        (Guarantee::Live, Claim::Holds),
    ]
}

/// What most dialects have alike.
const PLAIN: Dialect = Dialect {
    name: "",
    workload: "",
    ops: &[],
    claims: &[],
    is_apart: false,
    wants_topology: false,
    reads_may_be_old: false,
    ask: |_| None,
    learn: |_, _| None,
    more: all_is_told,
};

/// Every workload that nodes can be asked under.
pub const WORKLOADS: &[Dialect] = &[
    Dialect {
        name: "lin-kv",
        workload: "register",
        ops: &[OpKind::Read, OpKind::Write, OpKind::Cas],
        claims: &[(Guarantee::Linearizable, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        ask: ask_register,
        learn: learn_value,
        ..PLAIN
    },
    Dialect {
        name: "g-set",
        workload: "one-set",
        ops: &[OpKind::Read, OpKind::Add],
        claims: &keeps(Guarantee::Set),
        reads_may_be_old: true,
        ask: |op| ask_set(op, "add", "element"),
        learn: |asked, answer| learn_set(asked, answer.get("value")),
        ..PLAIN
    },
    Dialect {
        name: "broadcast",
        workload: "one-set",
        ops: &[OpKind::Read, OpKind::Add],
        claims: &keeps(Guarantee::Set),
        wants_topology: true,
        reads_may_be_old: true,
        ask: |op| ask_set(op, "broadcast", "message"),
        learn: |asked, answer| learn_set(asked, answer.get("messages")),
        ..PLAIN
    },
    Dialect {
        name: "unique-ids",
        workload: "one-generator",
        ops: &[OpKind::Generate],
        claims: &[(Guarantee::UniqueIds, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        ask: |_| Some(json!({"type": "generate"})),
        // The id is a text by now, see `id_of`.
        learn: |_, answer| answer["id"].as_str().map(|id| Ret::Value(Value::Text(id.into()))),
        is_apart: true,
        ..PLAIN
    },
    Dialect {
        name: "txn-list-append",
        workload: "append",
        ops: &[OpKind::Txn],
        claims: &[(Guarantee::StrictSerializable, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        ask: |op| match op {
            Op::Txn { body, .. } => Some(json!({"type": "txn", "txn": body})),
            _ => None,
        },
        learn: |_, answer| {
            let txn = answer.get("txn").filter(|txn| txn.is_array())?;
            value_of(txn).map(Ret::Value)
        },
        ..PLAIN
    },
    Dialect {
        name: "echo",
        workload: "echo",
        ops: &[OpKind::Echo],
        claims: &[(Guarantee::Echo, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        ask: |op| match op {
            Op::Echo { value, .. } => {
                Some(json!({"type": "echo", "echo": format!("Please echo {value}")}))
            }
            _ => None,
        },
        // What is no echo of ours is a value all the same: another one than was asked for.
        learn: |_, answer| match answer.get("echo")? {
            Json::String(text) => Some(Ret::Value(match text.strip_prefix("Please echo ") {
                Some(number) => {
                    number.parse().map_or(Value::Text(text.as_str().into()), Value::Int)
                }
                None => Value::Text(text.as_str().into()),
            })),
            other => value_of(other).map(Ret::Value),
        },
        is_apart: true,
        ..PLAIN
    },
    Dialect {
        name: "pn-counter",
        workload: "one-counter",
        ops: &[OpKind::Read, OpKind::Increment],
        claims: &keeps(Guarantee::Counter),
        reads_may_be_old: true,
        ask: ask_counter,
        learn: learn_counter,
        ..PLAIN
    },
    Dialect {
        name: "g-counter",
        workload: "growing-counter",
        ops: &[OpKind::Read, OpKind::Increment],
        claims: &keeps(Guarantee::Counter),
        reads_may_be_old: true,
        ask: ask_counter,
        learn: learn_counter,
        ..PLAIN
    },
    Dialect {
        name: "kafka",
        workload: "log",
        ops: &[OpKind::Send, OpKind::Poll, OpKind::Commit, OpKind::Committed],
        claims: &[(Guarantee::Log, Claim::Holds), (Guarantee::Live, Claim::Holds)],
        ask: log::ask,
        learn: log::learn,
        more: log::more,
        ..PLAIN
    },
];

/// A message as it goes over a line.
pub(super) fn envelope(from: &str, to: &str, body: Json) -> Json {
    json!({"src": from, "dest": to, "body": body})
}

/// What an answer to a request says.
///
/// # Errors
/// Where it is not what the protocol has, what is wrong with it, with the answer as it was `said`.
pub(super) fn learn(
    dialect: &Dialect,
    asked: &Json,
    answer: &Json,
    said: &str,
) -> Result<Ret, String> {
    let kind = asked["type"].as_str().unwrap_or_default();
    if answer["type"].as_str().and_then(|given| given.strip_suffix("_ok")) != Some(kind) {
        return Err(format!(
            "to `{kind}` it answered neither `{kind}_ok` nor `error`: {}",
            shortened(said)
        ));
    }
    if kind == "cas" && asked["from"] == NOBODYS {
        return Err(format!(
            "it did a `cas` from {NOBODYS}, which no client has written: {}",
            shortened(&asked.to_string())
        ));
    }
    (dialect.learn)(asked, answer)
        .ok_or_else(|| format!("its `{kind}_ok` has not what belongs into it: {}", shortened(said)))
}

/// What an error says. Some codes say that nothing happened, and all others leave it open.
pub(super) fn of_error(op: &Op, body: &Json) -> Outcome {
    const DEFINITE: &[u64] = &[1, 10, 11, 12, 14, 20, 21, 22, 30];
    let code = body["code"].as_u64();
    let words = format!("error {}: {}", body["code"], body["text"].as_str().unwrap_or_default());
    let reason = match (op, code) {
        // A store that forgets what it has acknowledged must not pass because it says so.
        (Op::Read { .. } | Op::Committed { .. }, Some(20)) => {
            return Outcome::Ok(Ret::Value(Value::Nil));
        }
        (Op::Poll { .. }, Some(20)) => return Outcome::Ok(Ret::Value(Value::List([].into()))),
        // What was asked for instead was not there, which says nothing of what was.
        (Op::Cas { from: Value::Nil, .. }, Some(20 | 22)) => Reason::Unsupported,
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
        // There are no words for the change of a key that is not there. What must not be done is asked for instead.
        Op::Cas { key, from: Value::Nil, to } => {
            Some(json!({"type": "cas", "key": key, "from": NOBODYS, "to": to}))
        }
        Op::Cas { key, from, to } => {
            Some(json!({"type": "cas", "key": key, "from": from, "to": to}))
        }
        _ => None,
    }
}

/// A number that no client writes.
const NOBODYS: i64 = -1;

fn ask_counter(op: &Op) -> Option<Json> {
    match op {
        Op::Read { .. } => Some(json!({"type": "read"})),
        Op::Increment { by, .. } => Some(json!({"type": "add", "delta": by})),
        _ => None,
    }
}

fn learn_counter(asked: &Json, answer: &Json) -> Option<Ret> {
    match asked["type"].as_str()? {
        "read" => whole(&answer["value"]).map(Value::Int).map(Ret::Value),
        _ => Some(Ret::Done),
    }
}

/// One answer is all there is.
fn all_is_told(_: &Op, _: &mut Json, _: Json) -> Option<Json> {
    None
}

fn learn_value(asked: &Json, answer: &Json) -> Option<Ret> {
    match asked["type"].as_str()? {
        "read" => answer.get("value").and_then(value_of).map(Ret::Value),
        _ => Some(Ret::Done),
    }
}

fn ask_set(op: &Op, verb: &str, field: &str) -> Option<Json> {
    match op {
        Op::Read { .. } => Some(json!({"type": "read"})),
        Op::Add { value, .. } => {
            let mut body = json!({"type": verb});
            body[field] = json!(value);
            Some(body)
        }
        _ => None,
    }
}

fn learn_set(asked: &Json, elements: Option<&Json>) -> Option<Ret> {
    match asked["type"].as_str()? {
        "read" => match elements? {
            // So some languages write a list that has nothing in it yet.
            Json::Null => Some(Ret::Value(Value::List([].into()))),
            elements => value_of(elements).filter(|_| elements.is_array()).map(Ret::Value),
        },
        _ => Some(Ret::Done),
    }
}

/// An id as a text of its own, with every digit that it was given: `"3"` is another one than `3`, which is the same as
/// `3.0`.
pub(super) fn id_of(id: &RawValue) -> String {
    match json::read(id.get()) {
        Ok(Json::String(text)) if json::read::<&RawValue>(&text).is_err() => text,
        _ => exact(id),
    }
}

/// JSON with one text for all that is the same, and another one for what is not.
fn exact(json: &RawValue) -> String {
    let text = json.get();
    if let Ok(parts) = json::read::<Vec<&RawValue>>(text) {
        let parts: Vec<String> = parts.into_iter().map(exact).collect();
        return format!("[{}]", parts.join(","));
    }
    if let Ok(fields) = json::read::<BTreeMap<String, &RawValue>>(text) {
        let field = |(name, value)| format!("{}:{}", json!(name), exact(value));
        let fields: Vec<String> = fields.into_iter().map(field).collect();
        return format!("{{{}}}", fields.join(","));
    }
    match json::read(text) {
        Ok(number @ Json::Number(_)) => whole(&number).map_or(text.into(), |it| it.to_string()),
        Ok(other) => other.to_string(),
        Err(_) => text.into(),
    }
}

/// A whole number, which some languages write as `3.0`.
pub(super) fn whole(number: &Json) -> Option<i64> {
    /// Up to here, numbers with a fraction part tell all whole numbers apart.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() < WHOLE_MAX;
    number.as_i64().or_else(|| number.as_f64().filter(is_whole).map(|number| number as i64))
}

/// A value as histories have it; nothing for what they do not have.
pub(super) fn value_of(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Nil),
        Json::Number(_) => whole(json).map(Value::Int),
        Json::String(text) => Some(Value::Text(text.as_str().into())),
        Json::Array(values) => values.iter().map(value_of).collect::<Option<_>>().map(Value::List),
        Json::Bool(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_key_does_not_hold_what_nobody_wrote_says_nothing_of_it() {
        let of = |from: Value, code: u64| {
            let op = Op::Cas { key: "k".into(), from, to: Value::Int(5) };
            of_error(&op, &json!({"type": "error", "code": code}))
        };
        assert_eq!(of(Value::Nil, 22), Outcome::Fail(Reason::Unsupported));
        assert_eq!(of(Value::Nil, 20), Outcome::Fail(Reason::Unsupported));
        assert_eq!(of(Value::Int(3), 22), Outcome::Fail(Reason::Mismatch { actual: None }));
    }

    #[test]
    fn what_there_is_not_is_empty_for_whoever_reads_it() {
        let not_there = json!({"type": "error", "code": 20});
        let nothing = |op: &Op| of_error(op, &not_there);
        let empty = Outcome::Ok(Ret::Value(Value::List([].into())));
        assert_eq!(nothing(&Op::Poll { key: "k".into(), from: Value::Int(0) }), empty);
        let nil = Outcome::Ok(Ret::Value(Value::Nil));
        assert_eq!(nothing(&Op::Committed { key: "k".into() }), nil);
        let commit = Op::Commit { key: "k".into(), offset: Value::Int(1) };
        assert!(matches!(nothing(&commit), Outcome::Fail(_)));
    }

    #[test]
    fn ids_are_the_same_where_all_their_digits_are() {
        let id = |text: &str| id_of(serde_json::from_str(text).unwrap());
        let great = 1_u128 << 70;
        assert_ne!(id(&format!("[{great}]")), id(&format!("[{}]", great + 1)));
        assert_ne!(id(&format!(r#"{{"a":{great}}}"#)), id(&format!(r#"{{"a":{}}}"#, great + 1)));
        assert_ne!(id(&great.to_string()), id(&format!("\"{great}\"")));
        assert_ne!(id("3"), id("\"3\""));
        assert_ne!(id("[1,2]"), id("\"[1,2]\""));
        assert_ne!(id("[[1],2]"), id("[1,[2]]"));
        assert_eq!(id("3"), id("3.0"));
        assert_eq!(id("[ 3, \"\\u0061\" ]"), id("[3.0,\"a\"]"));
        assert_eq!(id(r#"{"a":1,"b":[]}"#), id(r#"{ "b": [ ], "a": 1 }"#));
        assert_eq!(id("\"n1-7\""), "n1-7");
    }

    #[test]
    fn a_list_with_nothing_in_it_may_be_null_and_must_be_there() {
        let read = json!({"type": "read"});
        let empty = Some(Ret::Value(Value::List([].into())));
        assert_eq!(learn_set(&read, Some(&Json::Null)), empty);
        assert_eq!(learn_set(&read, Some(&json!([]))), empty);
        assert_eq!(learn_set(&read, None), None);
    }
}

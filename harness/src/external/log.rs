//! Logs in the words of Maelstrom's workload `kafka`.
//!
//! A node may answer a poll with as few messages as it likes. So a client asks on until nothing more comes: what it
//! knows then is what the node has, and what is missing at the end of a run is lost.

use checkers::history::{Op, Ret, Value};
use serde_json::{Value as Json, json};

use super::protocol::value_of;

pub(super) fn ask(op: &Op) -> Option<Json> {
    Some(match op {
        Op::Send { key, value } => json!({"type": "send", "key": key, "msg": value}),
        Op::Poll { key, from: Value::Int(from) } => poll(key.as_str(), *from),
        Op::Commit { key, offset } => {
            json!({"type": "commit_offsets", "offsets": {key.as_str(): offset}})
        }
        Op::Committed { key } => json!({"type": "list_committed_offsets", "keys": [key]}),
        _ => return None,
    })
}

fn poll(key: &str, from: i64) -> Json {
    json!({"type": "poll", "offsets": {key: from}})
}

/// Asks on from after the last message of an answer.
pub(super) fn more(op: &Op, told: &mut Json, mut new: Json) -> Option<Json> {
    let Op::Poll { key, .. } = op else { return None };
    let key = key.as_str();
    let last = new["msgs"][key].as_array().and_then(|messages| messages.last()?[0].as_i64());
    let next = last.map(|last| poll(key, last.saturating_add(1)));
    let is_ok = new["type"] == "poll_ok";
    match (told["msgs"][key].as_array_mut(), new["msgs"][key].as_array_mut()) {
        (Some(told), Some(new)) => told.append(new),
        // An answer that is none is the last one, and judged as that.
        (Some(_), None) if is_ok => {}
        _ => *told = new,
    }
    next
}

pub(super) fn learn(op: &Op, body: &Json) -> Option<Ret> {
    Some(match (op, body["type"].as_str()?) {
        (Op::Send { .. }, "send_ok") => Ret::Value(Value::Int(body["offset"].as_i64()?)),
        (Op::Commit { .. }, "commit_offsets_ok") => Ret::Done,
        (Op::Poll { key, .. }, "poll_ok") => match &body["msgs"].as_object()?.get(key.as_str()) {
            None => Ret::Value(Value::List([].into())),
            Some(messages) => Ret::Value(polled(messages)?),
        },
        (Op::Committed { key }, "list_committed_offsets_ok") => {
            match body["offsets"].as_object()?.get(key.as_str()) {
                None => Ret::Value(Value::Nil),
                Some(offset) => Ret::Value(Value::Int(offset.as_i64()?)),
            }
        }
        _ => return None,
    })
}

/// A list of pairs of an offset and a message.
fn polled(messages: &Json) -> Option<Value> {
    let is_pair = |pair: &Json| pair.as_array().is_some_and(|parts| parts.len() == 2);
    let fits = |pair: &Json| is_pair(pair) && pair[0].is_i64();
    messages.as_array()?.iter().all(fits).then(|| value_of(messages))?
}

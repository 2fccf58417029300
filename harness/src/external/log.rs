//! Logs in the words of Maelstrom's workload `kafka`.
//!
//! A node may answer a poll with as few messages as it likes. So a client asks on until nothing more comes: what it
//! knows then is what the node has, and what is missing at the end of a run is lost.

use checkers::history::{Op, Ret, Value};
use serde_json::{Value as Json, json};

use super::protocol::{value_of, whole};

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

/// Asks on from after the last message of an answer. One that begins before what was asked for has no end, and is wrong
/// as it is.
pub(super) fn more(op: &Op, told: &mut Json, mut new: Json) -> Option<Json> {
    let Op::Poll { key, from: Value::Int(from) } = op else { return None };
    let key = key.as_str();
    let offset = |message: Option<&Json>| message.and_then(|message| whole(&message[0]));
    let due = offset(told["msgs"][key].as_array().and_then(|told| told.last()))
        .map_or(*from, |last| last.saturating_add(1));
    let messages = new["msgs"][key].as_array().map_or(&[][..], Vec::as_slice);
    let (first, last) = (offset(messages.first()), offset(messages.last()));
    let goes_on = first.is_some_and(|first| first >= due);
    let next = last.filter(|_| goes_on).map(|last| poll(key, last.saturating_add(1)));
    match (messages_of(told, key), messages_of(&mut new, key)) {
        (Some(told), Some(new)) => told.append(new),
        (Some(_), None) => {}
        (None, _) => *told = new,
    }
    next
}

/// The messages of one log, where an answer has some.
fn messages_of<'a>(answer: &'a mut Json, key: &str) -> Option<&'a mut Vec<Json>> {
    answer.get_mut("msgs")?.get_mut(key)?.as_array_mut()
}

pub(super) fn learn(asked: &Json, answer: &Json) -> Option<Ret> {
    Some(match asked["type"].as_str()? {
        "send" => Ret::Value(Value::Int(whole(&answer["offset"])?)),
        "commit_offsets" => Ret::Done,
        "poll" => {
            let (key, _) = asked["offsets"].as_object()?.iter().next()?;
            match of_key(answer.get("msgs")?, key)? {
                Json::Null => Ret::Value(Value::List([].into())),
                messages => Ret::Value(polled(messages)?),
            }
        }
        "list_committed_offsets" => {
            match of_key(answer.get("offsets")?, asked["keys"][0].as_str()?)? {
                Json::Null => Ret::Value(Value::Nil),
                offset => Ret::Value(Value::Int(whole(offset)?)),
            }
        }
        _ => return None,
    })
}

/// What an answer has of one log, or `null` where it has nothing of it. A map with nothing in it may be `null` too, as some
/// languages write it.
fn of_key<'a>(map: &'a Json, key: &str) -> Option<&'a Json> {
    (map.is_object() || map.is_null()).then(|| &map[key])
}

/// A list of pairs of an offset and a message.
fn polled(messages: &Json) -> Option<Value> {
    let is_pair = |pair: &Json| pair.as_array().is_some_and(|parts| parts.len() == 2);
    let fits = |pair: &Json| is_pair(pair) && whole(&pair[0]).is_some();
    messages.as_array()?.iter().all(fits).then(|| value_of(messages))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_nothing_may_be_left_out_or_null_and_its_map_must_be_there() {
        let asked = [
            (poll("k", 0), "msgs", Value::List([].into())),
            (json!({"type": "list_committed_offsets", "keys": ["k"]}), "offsets", Value::Nil),
        ];
        for (asked, field, nothing) in asked {
            for map in [json!({}), json!(null), json!({"k": null})] {
                assert_eq!(learn(&asked, &json!({field: map})), Some(Ret::Value(nothing.clone())));
            }
            assert_eq!(learn(&asked, &json!({})), None);
            assert_eq!(learn(&asked, &json!({field: []})), None);
            assert_eq!(learn(&asked, &json!({field: {"k": "x"}})), None);
        }
    }
}

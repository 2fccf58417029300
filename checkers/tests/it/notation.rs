//! Histories as text, a line for each event, one millisecond after the other:
//!
//! ```text
//! 0 invoke write x 10       process 0 (session 0) begins
//! 3/1 invoke read x @n2     process 3 of session 1 begins, at node 2
//! 0 ok                      process 0 ends
//! 3 ok nil                  a read returns
//! 4 fail mismatch 7         `mismatch`, `mismatch 7`, or another reason
//! 5 info timeout
//! fault 0 begin partition n1 | n2
//! phase final
//! ```
//!
//! A value is `nil`, a number, a list `[1,2,["r","x",nil]]` without blanks, or a text, quoted or not.
//! `0 ok 7 v12` reports version 12 of the key.

use stormglass_checkers::History;
use stormglass_checkers::history::{
    FaultEdge, FaultEvent, FaultId, HistoryBuilder, Invocation, NodeId, Op, Outcome, Phase,
    ProcessId, ReadLevel, Reason, Ret, SessionId, Time, Value,
};

/// Reads the notation. Empty lines count for nothing.
pub(crate) fn history(text: &str) -> History {
    let mut builder = HistoryBuilder::new();
    for (index, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = Time::from_millis(index as u64);
        match words[0] {
            "phase" => builder.phase(at, phase(words[1])).unwrap(),
            "fault" => builder.fault(at, fault(&words[1..])).unwrap(),
            _ => client(&mut builder, at, &words),
        }
    }
    builder.finish()
}

fn phase(name: &str) -> Phase {
    match name {
        "safety" => Phase::Safety,
        "liveness" => Phase::Liveness,
        "final" => Phase::Final,
        _ => panic!("no phase is called {name}"),
    }
}

fn fault(words: &[&str]) -> FaultEvent {
    FaultEvent {
        fault: FaultId(words[0].parse().unwrap()),
        edge: if words[1] == "begin" { FaultEdge::Begin } else { FaultEdge::End },
        kind: words[2].to_owned(),
        what: words[3..].join(" "),
    }
}

fn client(builder: &mut HistoryBuilder, at: Time, words: &[&str]) {
    let (process, session) = words[0].split_once('/').unwrap_or((words[0], words[0]));
    let process = ProcessId(process.parse().unwrap());
    let version = words.last().and_then(|word| word.strip_prefix('v')?.parse::<u64>().ok());
    let words = if version.is_some() { &words[..words.len() - 1] } else { words };
    let outcome = match words[1] {
        "invoke" => {
            let session = SessionId(session.parse().unwrap());
            let node = words.last().and_then(|word| word.strip_prefix("@n"));
            let node = node.map(|number| NodeId(number.parse().unwrap()));
            let op = op(&words[2..]);
            builder.invoke(at, &Invocation { process, session, node, op }).unwrap();
            return;
        }
        "ok" => Outcome::Ok(words.get(2).map_or(Ret::Done, |word| Ret::Value(value(word)))),
        "fail" => Outcome::Fail(reason(&words[2..])),
        "info" => Outcome::Info(reason(&words[2..])),
        word => panic!("no event is called {word}"),
    };
    let operation = builder.open_operation(process).unwrap();
    builder.complete_at_version(at, operation, &outcome, version).unwrap();
}

fn op(words: &[&str]) -> Op {
    let key = words[1].into();
    match words[0] {
        "read" => Op::Read { key, level: ReadLevel::Strong },
        "read-replica" => Op::Read { key, level: ReadLevel::Replica },
        "write" => Op::Write { key, value: value(words[2]) },
        "cas" => Op::Cas { key, from: value(words[2]), to: value(words[3]) },
        "delete" => Op::Delete { key },
        "add" => Op::Add { key, value: value(words[2]) },
        "remove" => Op::Remove { key, value: value(words[2]) },
        "increment" => Op::Increment { key, by: value(words[2]) },
        "append" => Op::Append { key, value: value(words[2]) },
        "enqueue" => Op::Enqueue { key, value: value(words[2]) },
        "dequeue" => Op::Dequeue { key },
        "acquire" => Op::Acquire { key },
        "release" => Op::Release { key },
        "generate" => Op::Generate { key },
        "send" => Op::Send { key, value: value(words[2]) },
        "poll" => Op::Poll { key, from: value(words[2]) },
        "commit" => Op::Commit { key, offset: value(words[2]) },
        "committed" => Op::Committed { key },
        "echo" => Op::Echo { key, value: value(words[2]) },
        "txn" => Op::Txn { key, body: value(words[2]) },
        word => panic!("no operation is called {word}"),
    }
}

fn value(word: &str) -> Value {
    if word == "nil" {
        return Value::Nil;
    }
    if let Some(list) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Value::List(items(list).into_iter().map(value).collect());
    }
    match word.parse() {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Text(word.trim_matches('"').into()),
    }
}

/// The items of a list, between the commas that are in no list of their own.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (place, letter) in list.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    if !list.is_empty() {
        items.push(&list[start..]);
    }
    items
}

fn reason(words: &[&str]) -> Reason {
    match words[0] {
        "mismatch" => Reason::Mismatch { actual: words.get(1).map(|word| value(word)) },
        "declined" => Reason::Declined(words[1..].join(" ").into()),
        "timeout" => Reason::Timeout,
        "not-leader" => Reason::NotLeader,
        "unavailable" => Reason::Unavailable,
        "refused" => Reason::Refused,
        "unsupported" => Reason::Unsupported,
        "session-lost" => Reason::SessionLost,
        _ => Reason::Other(words.join(" ").into()),
    }
}

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
    builder.complete(at, operation, &outcome).unwrap();
}

fn op(words: &[&str]) -> Op {
    let key = words[1].into();
    match words[0] {
        "read" => Op::Read { key, level: ReadLevel::Strong },
        "read-replica" => Op::Read { key, level: ReadLevel::Replica },
        "write" => Op::Write { key, value: value(words[2]) },
        "cas" => Op::Cas { key, from: value(words[2]), to: value(words[3]) },
        "delete" => Op::Delete { key },
        word => panic!("no operation is called {word}"),
    }
}

fn value(word: &str) -> Value {
    match word.parse() {
        Ok(number) => Value::Int(number),
        Err(_) if word == "nil" => Value::Nil,
        Err(_) => Value::Text(word.into()),
    }
}

fn reason(words: &[&str]) -> Reason {
    match words[0] {
        "mismatch" => Reason::Mismatch { actual: words.get(1).map(|word| value(word)) },
        "timeout" => Reason::Timeout,
        "not-leader" => Reason::NotLeader,
        "unavailable" => Reason::Unavailable,
        "refused" => Reason::Refused,
        "unsupported" => Reason::Unsupported,
        _ => Reason::Other(words.join(" ").into()),
    }
}

//! A history of any size.

use std::collections::BTreeMap;

use checkers::History;
use checkers::history::{
    HistoryBuilder, Invocation, NodeId, Op, OperationId, Outcome, ProcessId, ReadLevel, Reason,
    Ret, SessionId, Time, Value,
};

/// The history of many operations, as clients of a run do them: each writes a value of its own, and reads what is there.
pub(crate) fn large(operations: u64) -> History {
    let mut builder = HistoryBuilder::new();
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut free = [0_u64; 50];
    let (mut now, mut latest) = (0, [0_i64; 60]);
    let mut open: BTreeMap<(u64, u32), (OperationId, Outcome)> = BTreeMap::new();
    for number in 0..operations {
        now += 1 + draw(2_000_000);
        while let Some(first) = open.first_entry().filter(|first| first.key().0 <= now) {
            let ((at, _), (id, outcome)) = first.remove_entry();
            builder.complete(Time::from_nanos(at), id, &outcome).unwrap();
        }
        let mut clients = (0..50).map(|client| (client + number as usize) % 50);
        let Some(client) = clients.find(|client| free[*client] < now) else { continue };
        let key = draw(60) as usize;
        let name = format!("k{key}");
        let op = if draw(2) == 0 {
            latest[key] = number as i64;
            Op::Write { key: (*name).into(), value: Value::Int(number as i64) }
        } else {
            Op::Read { key: (*name).into(), level: ReadLevel::Strong }
        };
        let outcome = match (&op, draw(100)) {
            (_, 0) => Outcome::Fail(Reason::Timeout),
            (Op::Read { .. }, _) => Outcome::Ok(Ret::Value(Value::Int(latest[key]))),
            _ => Outcome::Ok(Ret::Done),
        };
        let process = client as u32;
        let invocation = Invocation {
            process: ProcessId(process),
            session: SessionId(process),
            node: Some(NodeId(process % 5)),
            op,
        };
        let id = builder.invoke(Time::from_nanos(now), &invocation).unwrap();
        free[client] = now + 1_000_000 + draw(40_000_000);
        open.insert((free[client], process), (id, outcome));
    }
    builder.finish()
}

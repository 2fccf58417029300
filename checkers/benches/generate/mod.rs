//! Histories of any size, of clients of one atomic store, from a fixed seed.

use std::collections::VecDeque;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::History;
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Key, Op, OperationId, Outcome, ProcessId, ReadLevel, Reason, Ret,
    SessionId, Time, Value,
};

/// What a history is made of.
pub(crate) struct Shape {
    /// How many operations there are.
    pub(crate) operations: u32,
    /// On how many keys.
    pub(crate) keys: usize,
    /// How many clients there are; one key is shared by all of them.
    pub(crate) clients: usize,
    /// Of 100 writes, how many are never answered.
    pub(crate) unknown_percent: u32,
    /// Values that are written again and again, as in a register of few values; 0 for values that
    /// are all different.
    pub(crate) values: i64,
    /// Whether a compare-and-set that fails does not say what it found.
    pub(crate) blind: bool,
    /// Whether one read near the end returns what its key held long before.
    pub(crate) stale: bool,
    /// Whether the keys are queues, and not registers.
    pub(crate) queue: bool,
}

impl Shape {
    /// Values that are all different, on one register, all answered.
    pub(crate) const UNIQUE: Shape = Shape {
        operations: 10_000_000,
        keys: 1,
        clients: 50,
        unknown_percent: 0,
        values: 0,
        blind: false,
        stale: false,
        queue: false,
    };
}

/// A client in the middle of an operation.
enum Step {
    Idle,
    Open(OperationId, Op),
    Decided(OperationId, Outcome),
}

/// A history of clients of one atomic store. Each operation takes effect at a random moment between
/// its begin and its end.
pub(crate) fn generate(shape: &Shape) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut builder = HistoryBuilder::new();
    let keys: Vec<Key> = (0..shape.keys).map(|key| format!("k{key}").into()).collect();
    let mut held = vec![Value::Nil; shape.keys];
    let mut queues = vec![VecDeque::new(); shape.keys];
    let mut clients: Vec<(u32, Step)> =
        (0..shape.clients as u32).map(|client| (client, Step::Idle)).collect();
    let mut long_before = held.clone();
    let mut to_spoil = shape.stale;
    let (mut next_process, mut next_value, mut begun, mut at) = (shape.clients as u32, 0, 0, 0);
    while begun < shape.operations {
        at += 1;
        let time = Time::from_nanos(at);
        let session = random.random_range(0..clients.len());
        let (process, step) = &mut clients[session];
        *step = match std::mem::replace(step, Step::Idle) {
            Step::Idle => {
                begun += 1;
                next_value += 1;
                let key = random.random_range(0..keys.len());
                let value = if shape.values == 0 { next_value } else { next_value % shape.values };
                let value = Value::Int(value);
                let op = if shape.queue {
                    draw_of_queue(&mut random, &keys[key], value)
                } else {
                    draw(&mut random, &keys[key], &held[key], value)
                };
                let (process, session) = (ProcessId(*process), SessionId(session as u32));
                let invocation = Invocation { process, session, node: None, op: op.clone() };
                let id = builder.invoke(time, &invocation).expect("the history is sound");
                Step::Open(id, op)
            }
            Step::Open(id, op) if random.random_range(0..100) < shape.unknown_percent => {
                // Whether it took effect or not, nobody is told.
                if random.random() {
                    take_effect(&mut held, &mut queues, &op);
                }
                let lost = Outcome::Info(Reason::Timeout);
                builder.complete(time, id, &lost).expect("the history is sound");
                *process = next_process;
                next_process += 1;
                Step::Idle
            }
            Step::Open(id, op) => {
                let mut outcome = take_effect(&mut held, &mut queues, &op);
                if let (true, Outcome::Fail(Reason::Mismatch { actual })) =
                    (shape.blind, &mut outcome)
                {
                    *actual = None;
                }
                Step::Decided(id, outcome)
            }
            Step::Decided(id, mut outcome) => {
                if begun >= shape.operations / 2 && long_before[0] == Value::Nil {
                    long_before.clone_from(&held);
                }
                let is_late = begun > shape.operations / 100 * 99;
                if let (true, Outcome::Ok(Ret::Value(value))) = (to_spoil && is_late, &mut outcome)
                {
                    // Which key it is, the value tells: no other one ever held it.
                    to_spoil = !spoil(value, &held, &long_before);
                }
                builder.complete(time, id, &outcome).expect("the history is sound");
                Step::Idle
            }
        };
    }
    builder.finish()
}

/// Makes a read return what its key held long before; says whether that is something else.
fn spoil(value: &mut Value, held: &[Value], long_before: &[Value]) -> bool {
    let Some(key) = held.iter().position(|now| now == value) else { return false };
    let is_other = long_before[key] != *value;
    value.clone_from(&long_before[key]);
    is_other
}

fn draw(random: &mut ChaCha8Rng, key: &Key, held: &Value, value: Value) -> Op {
    let key = key.clone();
    match random.random_range(0..10) {
        0..=4 => Op::Read { key, level: ReadLevel::Strong },
        5..=7 => Op::Write { key, value },
        _ => Op::Cas { key, from: held.clone(), to: value },
    }
}

fn draw_of_queue(random: &mut ChaCha8Rng, key: &Key, value: Value) -> Op {
    let key = key.clone();
    if random.random() { Op::Enqueue { key, value } } else { Op::Dequeue { key } }
}

fn take_effect(held: &mut [Value], queues: &mut [VecDeque<Value>], op: &Op) -> Outcome {
    let place: usize = op.key().as_str()[1..].parse().expect("keys are numbered");
    let now = &mut held[place];
    match op {
        Op::Enqueue { value, .. } => queues[place].push_back(value.clone()),
        Op::Dequeue { .. } => {
            return Outcome::Ok(Ret::Value(queues[place].pop_front().unwrap_or_default()));
        }
        Op::Read { .. } => return Outcome::Ok(Ret::Value(now.clone())),
        Op::Cas { from, .. } if from != now => {
            return Outcome::Fail(Reason::Mismatch { actual: Some(now.clone()) });
        }
        Op::Write { value, .. } | Op::Cas { to: value, .. } => *now = value.clone(),
        _ => *now = Value::Nil,
    }
    Outcome::Ok(Ret::Done)
}

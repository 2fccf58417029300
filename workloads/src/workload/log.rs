//! Logs: messages are sent to logs and polled from them, and clients say how far they have come (Kafka's interface, as
//! in Maelstrom's workload of that name).
//!
//! A client polls each log on from what it has seen, and commits what it has polled. One that does not know what
//! became of an operation has crashed, as it were: it asks from where to go on.

use std::collections::BTreeMap;

use checkers::Guarantee;
use checkers::history::{Key, Op, OpKind, Outcome, Ret, Value};
use rand_chacha::ChaCha8Rng;

use super::{Generator, Options, Share, Workload};
use crate::draw::Draw;

/// Of so many polls, one begins at the beginning.
const FROM_THE_BEGINNING_ONE_OF: u32 = 16;

/// See the module.
pub(super) struct Log;

impl Workload for Log {
    fn generator(&self, options: &Options, client: u32, random: ChaCha8Rng) -> Box<dyn Generator> {
        Box::new(Client { draw: Draw::new(options, client, random), logs: BTreeMap::new() })
    }

    fn mix(&self) -> &'static [Share] {
        const MIX: [Share; 4] = [
            Share { kind: OpKind::Send, least: 30, most: 60, optional: false },
            Share { kind: OpKind::Poll, least: 20, most: 50, optional: false },
            Share { kind: OpKind::Commit, least: 10, most: 20, optional: false },
            Share { kind: OpKind::Committed, least: 5, most: 15, optional: false },
        ];
        &MIX
    }

    fn fills(&self) -> &'static [OpKind] {
        &[OpKind::Send]
    }

    fn guarantees(&self) -> &'static [Guarantee] {
        const JUDGED: [Guarantee; 3] = [Guarantee::Live, Guarantee::Available, Guarantee::Log];
        &JUDGED
    }

    fn final_reads(&self, key: Key) -> Vec<Op> {
        vec![Op::Poll { key: key.clone(), from: Value::Int(0) }, Op::Committed { key }]
    }
}

/// How far a client has come in one log.
#[derive(Clone, Copy, Default)]
struct Position {
    /// From where it polls next.
    next: i64,
    /// The highest offset that it has seen and not committed.
    seen: Option<i64>,
    /// Whether it is to ask from where to go on.
    is_lost: bool,
}

/// One client's operations.
struct Client {
    draw: Draw,
    logs: BTreeMap<Key, Position>,
}

impl Generator for Client {
    fn next(&mut self, wanted: &[OpKind]) -> Op {
        self.draw.begin();
        let key = self.draw.key();
        let position = self.logs.get(&key).copied().unwrap_or_default();
        if position.is_lost {
            return Op::Committed { key };
        }
        match (self.draw.kind(wanted), position.seen) {
            (OpKind::Send, _) => Op::Send { key, value: self.draw.fresh_value() },
            (OpKind::Committed, _) => Op::Committed { key },
            (OpKind::Commit, Some(seen)) => Op::Commit { key, offset: Value::Int(seen) },
            // There is nothing to commit before something is polled.
            (OpKind::Poll | OpKind::Commit, _) => {
                let again = self.draw.below(FROM_THE_BEGINNING_ONE_OF) == 0;
                Op::Poll { key, from: Value::Int(if again { 0 } else { position.next }) }
            }
            (kind, _) => unreachable!("no log offers {kind}"),
        }
    }

    fn learn(&mut self, op: &Op, outcome: &Outcome) {
        let position = self.logs.entry(op.key().clone()).or_default();
        match (op, outcome) {
            (_, Outcome::Info(_)) => *position = Position { is_lost: true, ..Position::default() },
            (Op::Poll { .. }, Outcome::Ok(Ret::Value(Value::List(messages)))) => {
                if let Some(highest) = messages.iter().filter_map(offset).max() {
                    position.next = highest + 1;
                    position.seen = Some(highest);
                }
            }
            (Op::Commit { .. }, Outcome::Ok(_)) => position.seen = None,
            (Op::Committed { .. }, Outcome::Ok(Ret::Value(committed))) => {
                if let (true, Value::Int(committed)) = (position.is_lost, committed) {
                    position.next = committed + 1;
                }
                position.is_lost = false;
            }
            _ => {}
        }
    }
}

/// The offset of a message as polls show it.
fn offset(message: &Value) -> Option<i64> {
    match message {
        Value::List(parts) => match parts.first() {
            Some(Value::Int(offset)) => Some(*offset),
            _ => None,
        },
        _ => None,
    }
}

//! Clients, and how nodes keep in mind whom they owe an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

use crate::{TIMING, json};

/// What a client waits less than it may, so that it ends by itself.
const MARGIN: Duration = Duration::from_millis(50);
/// How long a client waits before it asks again where nobody leads.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The client's session.
    pub session: u32,
    /// Its number there. The network may copy a request, and nodes may be told of it twice: whoever has done
    /// one does none with this number or a lower one again.
    pub number: u64,
    /// What is to be done.
    pub op: Op,
}

impl Request {
    /// Whether it is a read of what the asked node itself holds.
    pub fn is_local(&self) -> bool {
        matches!(self.op, Op::Read { level: ReadLevel::Replica, .. })
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// This is how it ended.
    Ended(Outcome),
    /// The node did nothing, as far as this copy of the request goes: it does not lead. This one does, as far as it knows.
    Elsewhere(Option<u32>),
}

/// One client.
pub struct Session {
    cx: ClientCx,
    /// Who is asked next.
    target: NodeId,
    /// Whether it asks its home alone.
    stays: bool,
    /// How many requests were made.
    asked: u64,
}

impl Session {
    /// Makes a client that asks its home first.
    pub fn new(cx: ClientCx) -> Session {
        Session { target: cx.home(), stays: cx.pinned(), asked: 0, cx }
    }

    /// Makes a client that never asks anybody but its home: what it has seen there, others may not have yet.
    pub fn staying(cx: ClientCx) -> Session {
        Session { stays: true, ..Session::new(cx) }
    }

    async fn ask(&mut self, op: &Op) -> Outcome {
        let session = self.cx.session().0;
        let mut request = Request { session, number: 0, op: op.clone() };
        if request.is_local() || self.stays {
            self.target = self.cx.home();
        }
        let end = self.cx.now() + (TIMING.operation - MARGIN);
        // Wherever it is asked, it is the same request, which is done once.
        self.asked += 1;
        request.number = self.asked;
        loop {
            let left = end.since(self.cx.now());
            let Some(answer) = self.cx.request(self.target, &json(&request), left).await else {
                // It may have been done, and may yet be. The next one is asked of somebody else.
                self.target = self.next_to_ask();
                return Outcome::Info(Reason::Timeout);
            };
            let hint = match serde_json::from_slice(&answer).expect("nodes answer in JSON") {
                Answer::Ended(outcome) => return outcome,
                Answer::Elsewhere(hint) => hint.map(NodeId),
            };
            if self.stays || self.cx.now() + PAUSE * 2 >= end {
                // That node does nothing. But the network may have made a copy, which arrives when somebody leads.
                return match op {
                    Op::Read { .. } => Outcome::Fail(Reason::NotLeader),
                    _ => Outcome::Info(Reason::NotLeader),
                };
            }
            if hint.is_none_or(|hint| hint == self.target) {
                self.cx.sleep(PAUSE).await;
            }
            self.target = hint.unwrap_or_else(|| self.next_to_ask());
        }
    }

    fn next_to_ask(&self) -> NodeId {
        if self.stays {
            return self.cx.home();
        }
        let nodes = self.cx.nodes();
        let place = nodes.iter().position(|id| *id == self.target).unwrap_or_default();
        nodes[(place + 1) % nodes.len()]
    }
}

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(self.ask(op))
    }
}

/// Which request a command is for: of which start of which node, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// The node.
    pub node: u32,
    /// Its start.
    pub start: u32,
    /// The number.
    pub number: u64,
}

/// What stands in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Who waits for it.
    pub asked: Asked,
    /// What is asked.
    pub request: Request,
}

/// Whom one start of a node owes an answer.
pub struct Pending {
    cx: NodeCx,
    next: u64,
    waiting: BTreeMap<u64, Message>,
}

impl Pending {
    /// Nobody so far.
    pub fn new(cx: &NodeCx) -> Pending {
        Pending { cx: cx.clone(), next: 0, waiting: BTreeMap::new() }
    }

    /// Keeps a request in mind, and makes the command for it.
    pub fn command(&mut self, message: Message, request: Request) -> Command {
        self.next += 1;
        self.waiting.insert(self.next, message);
        let (node, start) = (self.cx.id().0, self.cx.incarnation());
        Command { asked: Asked { node, start, number: self.next }, request }
    }

    /// Answers a request, if it is of this start of this node and was not answered yet.
    pub fn answer(&mut self, asked: Asked, answer: &Answer) {
        if (asked.node, asked.start) == (self.cx.id().0, self.cx.incarnation())
            && let Some(message) = self.waiting.remove(&asked.number)
        {
            self.cx.reply(&message, &json(answer));
        }
    }
}

//! Connections that lose nothing unsaid, and logs that survive what tears them, in a store made of both: the first
//! node keeps everything in a journal, and the others pass on what they are asked.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use checkers::history::SessionId;
use serde::{Deserialize, Serialize};
use stormglass::prelude::*;

/// After how many records the journal is written anew.
const RECORDS_MAX: usize = 50;

struct Relay;

impl System for Relay {
    fn manifest(&self) -> Manifest {
        let claimed = [Guarantee::Linearizable, Guarantee::Durable, Guarantee::Live];
        Manifest {
            name: "relay".to_owned(),
            about: "the first node keeps everything, and the others ask it".to_owned(),
            nodes: (3, 3),
            ops: vec![OpKind::Read, OpKind::Write],
            claims: claimed.map(|guarantee| (guarantee, Claim::Holds)).to_vec(),
            replica_claims: vec![],
            timing: Timing {
                failover: Duration::from_secs(2),
                converge: Duration::from_secs(2),
                operation: Duration::from_secs(1),
            },
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        Box::pin(async move {
            match Node::start(cx).await {
                Ok(node) => node.live().await.unwrap_err().to_string(),
                Err(error) => error.to_string(),
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session { cx, asked: 0 })
    }
}

/// What nodes say: each numbers all that it says to another one.
#[derive(Serialize, Deserialize)]
struct Word {
    start: u32,
    number: u64,
    said: Said,
}

#[derive(Serialize, Deserialize)]
enum Said {
    Ask(u64, Request),
    Answer(u64, Outcome),
}

/// Of which session, its number there, and what is asked.
type Request = (SessionId, u64, Op);
/// A write that was done.
type Record = (SessionId, u64, Key, Value);

struct Node {
    cx: NodeCx,
    mesh: Mesh,
    journal: Journal,
    records: usize,
    held: BTreeMap<Key, Value>,
    done: BTreeMap<SessionId, u64>,
    /// How much was said to each node.
    told: BTreeMap<NodeId, u64>,
    /// What was heard last of each node: of which start, and the number.
    heard: BTreeMap<NodeId, (u32, u64)>,
    waiting: BTreeMap<u64, Message>,
}

impl Node {
    async fn start(cx: NodeCx) -> io::Result<Node> {
        let (journal, records) = Journal::open(cx.disk(), "log").await?;
        let mut node = Node {
            mesh: Mesh::new(&cx, Patience::default()),
            cx,
            journal,
            records: records.len(),
            held: BTreeMap::new(),
            done: BTreeMap::new(),
            told: BTreeMap::new(),
            heard: BTreeMap::new(),
            waiting: BTreeMap::new(),
        };
        for record in &records {
            let (session, number, key, value): Record = serde_json::from_slice(record)?;
            node.held.insert(key, value);
            node.done.insert(session, number);
        }
        Ok(node)
    }

    async fn live(mut self) -> io::Result<()> {
        loop {
            match self.mesh.recv_within(Duration::from_millis(50)).await {
                Some(Arrival::Client(message)) => {
                    let request: Request = serde_json::from_slice(&message.bytes)?;
                    if self.cx.id() == NodeId(1) {
                        if let Some(outcome) = self.perform(request).await? {
                            self.cx.reply(&message, &serde_json::to_vec(&outcome)?);
                        }
                    } else {
                        let number = self.told.get(&NodeId(1)).map_or(1, |told| told + 1);
                        self.waiting.insert(number, message);
                        self.tell(NodeId(1), Said::Ask(number, request));
                    }
                }
                Some(Arrival::Node(from, bytes)) => {
                    let word: Word = serde_json::from_slice(&bytes)?;
                    self.hear(from, word.start, word.number);
                    match word.said {
                        Said::Ask(number, request) => {
                            if let Some(outcome) = self.perform(request).await? {
                                self.tell(from, Said::Answer(number, outcome));
                            }
                        }
                        Said::Answer(number, outcome) => {
                            if let Some(message) = self.waiting.remove(&number) {
                                self.cx.reply(&message, &serde_json::to_vec(&outcome)?);
                            }
                        }
                    }
                }
                // What was said last may not have arrived.
                Some(Arrival::Connected(from) | Arrival::Lost(from)) => {
                    self.heard.remove(&from);
                }
                None => {}
            }
        }
    }

    /// Messages come once, in their order, and without a gap that nobody was told of.
    fn hear(&mut self, from: NodeId, start: u32, number: u64) {
        if let Some((known, last)) = self.heard.insert(from, (start, number)) {
            assert!(known <= start, "n{from} speaks from before its restart");
            assert!(known < start || number == last + 1, "n{from} said {last}, then {number}");
        }
    }

    fn tell(&mut self, to: NodeId, said: Said) {
        let told = self.told.entry(to).or_default();
        *told += 1;
        let word = Word { start: self.cx.incarnation(), number: *told, said };
        self.mesh.send(to, &serde_json::to_vec(&word).unwrap());
    }

    /// Does what is asked; nothing where it is a copy.
    async fn perform(&mut self, (session, number, op): Request) -> io::Result<Option<Outcome>> {
        let done = self.done.entry(session).or_default();
        if number <= *done {
            return Ok(None);
        }
        let Op::Write { key, value } = op else {
            let held = self.held.get(op.key()).cloned().unwrap_or_default();
            return Ok(Some(Outcome::Ok(Ret::Value(held))));
        };
        *done = number;
        self.held.insert(key.clone(), value.clone());
        let record: Record = (session, number, key, value);
        self.journal.append(&serde_json::to_vec(&record)?)?;
        self.records += 1;
        if self.records <= RECORDS_MAX {
            self.journal.sync().await?;
        } else {
            self.shorten(session).await?;
        }
        Ok(Some(Outcome::Ok(Ret::Done)))
    }

    /// Writes the journal anew: each key once. (Numbers of sessions go with them, as far as there are keys.)
    async fn shorten(&mut self, session: SessionId) -> io::Result<()> {
        let sessions: Vec<SessionId> = self.done.keys().copied().collect();
        let of = |index: usize| sessions.get(index).copied().unwrap_or(session);
        let records = self.held.iter().enumerate().map(|(index, (key, value))| {
            let record: Record = (of(index), self.done[&of(index)], key.clone(), value.clone());
            serde_json::to_vec(&record).unwrap()
        });
        let records: Vec<Vec<u8>> = records.collect();
        self.records = records.len();
        self.journal.replace(&records).await
    }
}

struct Session {
    cx: ClientCx,
    asked: u64,
}

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.asked += 1;
            let request: Request = (self.cx.session(), self.asked, op.clone());
            let request = serde_json::to_vec(&request).unwrap();
            let wait = Duration::from_millis(950);
            match self.cx.request(self.cx.home(), &request, wait).await {
                Some(answer) => serde_json::from_slice(&answer).unwrap(),
                None => Outcome::Info(Reason::Timeout),
            }
        })
    }
}

fn holds_under(nemeses: &[&str], seeds: u64) {
    let mut campaign = Campaign::new(Arc::new(Relay)).nodes([3]).seeds(0..seeds);
    for nemesis in nemeses {
        campaign = campaign.nemesis(nemesis);
    }
    campaign.run().assert_valid();
}

#[test]
fn messages_come_once_and_in_order_or_the_connection_is_lost_aloud() {
    holds_under(&["loss"], 3);
    holds_under(&["duplicate"], 3);
    holds_under(&["reorder"], 3);
    holds_under(&["partition"], 3);
}

#[test]
fn what_was_synced_is_in_the_journal_after_every_loss_of_power() {
    holds_under(&["crash", "pause"], 6);
}

//! Chain replication (van Renesse & Schneider 2004): writes pass from node to node, the last serves reads.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, time::Duration};
use stormglass::prelude::*;

/// The store, and when its first node answers that a write is done.
#[derive(Clone, Copy, PartialEq)]
pub enum Chain {
    /// When the last node has it.
    AnswersWhenLastHasIt,
    /// When it has it itself. A mistake: the last one may serve a read before it has the write.
    AnswersAtOnce,
}

impl System for Chain {
    fn manifest(&self) -> Manifest {
        let second = Duration::from_secs(1);
        let claimed = [Guarantee::Linearizable, Guarantee::Durable, Guarantee::Live];
        Manifest {
            name: "chain".to_owned(),
            about: "writes enter at the first node, and the last one serves reads".to_owned(),
            nodes: (2, 3),
            ops: vec![OpKind::Read, OpKind::Write],
            claims: claimed.map(|guarantee| (guarantee, Claim::Holds)).to_vec(),
            replica_claims: vec![],
            timing: Timing { failover: second, converge: second, operation: second / 2 },
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let node = Node { chain: *self, cx, log: vec![], held: BTreeMap::new(), waiting: vec![] };
        Box::pin(async move { node.live().await.expect_err("only a disk ends it").to_string() })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session(cx))
    }
}

/// What nodes are told.
#[derive(Serialize, Deserialize)]
enum Word {
    /// By a client: do this.
    Do(Op),
    /// By the one before: these are the writes from number `at` on.
    Take { at: usize, writes: Vec<(Key, Value)> },
    /// By the last one: it has so many writes.
    LastHas(usize),
}

struct Node {
    chain: Chain,
    cx: NodeCx,
    log: Vec<(Key, Value)>,
    held: BTreeMap<Key, Value>,
    /// Whose write is done when the last one has so many.
    waiting: Vec<(usize, Message)>,
}

impl Node {
    async fn live(mut self) -> io::Result<()> {
        self.read_log()?;
        self.add(vec![]).await?; // What a kill left in the log was not synced, perhaps.
        let (id, count, mut last_has) = (self.cx.id().0, self.cx.nodes().len() as u32, 0);
        loop {
            let known = self.log.len();
            let message = self.cx.recv_within(Duration::from_millis(50)).await;
            let is_idle = message.is_none();
            match message.map(|message| (serde_json::from_slice(&message.bytes), message)) {
                Some((Ok(Word::Do(Op::Write { key, value })), message)) => {
                    self.add(vec![(key, value)]).await?;
                    self.waiting.push((self.log.len(), message));
                }
                Some((Ok(Word::Do(op)), message)) => {
                    let value = self.held.get(op.key()).cloned().unwrap_or_default();
                    self.cx.reply(&message, &json(&Outcome::Ok(Ret::Value(value))));
                }
                Some((Ok(Word::Take { at, writes }), _)) if at <= known => {
                    self.add(writes.into_iter().skip(known - at).collect()).await?;
                }
                Some((Ok(Word::LastHas(number)), _)) => last_has = number.max(last_has),
                _ => {}
            }
            if id == count {
                last_has = self.log.len();
                let word = json(&Word::LastHas(last_has));
                (1..id).for_each(|other| self.cx.send(Address::Node(NodeId(other)), &word));
            } else if is_idle || self.log.len() > known {
                // Words may be lost: it says all that the last one does not have, again and again.
                let word = Word::Take { at: last_has, writes: self.log[last_has..].to_vec() };
                self.cx.send(Address::Node(NodeId(id + 1)), &json(&word));
            }
            let enough = if self.chain == Chain::AnswersAtOnce { usize::MAX } else { last_has };
            for (_, message) in self.waiting.extract_if(.., |(number, _)| *number <= enough) {
                self.cx.reply(&message, &json(&Outcome::Ok(Ret::<Value>::Done)));
            }
        }
    }

    fn read_log(&mut self) -> io::Result<()> {
        let disk = self.cx.disk();
        disk.append("log", b"")?; // From now on there is one.
        for line in disk.read("log")?.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(write) if line.ends_with(b"\n") => self.log.push(write),
                _ => break,
            }
        }
        self.held.extend(self.log.iter().cloned());
        // A power loss may have torn what was not synced, and so not told to anybody.
        disk.truncate("log", self.log.iter().map(|write| json(write).len() as u64 + 1).sum())
    }

    /// Makes writes last, and only then lets anybody see them.
    async fn add(&mut self, writes: Vec<(Key, Value)>) -> io::Result<()> {
        let disk = self.cx.disk();
        for write in &writes {
            disk.append("log", &[json(write), b"\n".to_vec()].concat())?;
        }
        disk.sync("log").await?;
        disk.sync_dir().await?;
        self.held.extend(writes.iter().cloned());
        self.log.extend(writes);
        Ok(())
    }
}

struct Session(ClientCx);

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let to = match op {
                Op::Read { level: ReadLevel::Replica, .. } => self.0.home(),
                Op::Read { .. } => NodeId(self.0.nodes().len() as u32),
                _ => NodeId(1),
            };
            let word = json(&Word::Do(op.clone()));
            let answer = self.0.request(to, &word, Duration::from_millis(450)).await;
            let outcome = answer.map(|it| serde_json::from_slice(&it).expect("an outcome"));
            outcome.unwrap_or(Outcome::Info(Reason::Timeout)) // It may have been done, and may yet be.
        })
    }
}

fn json(what: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(what).expect("all that nodes say and keep is JSON")
}

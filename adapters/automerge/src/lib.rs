//! A key-value store over automerge: every node takes changes to its own copy of a document, and nodes tell each other
//! later. Which of two writes that did not know of each other stays, the library says, the same everywhere.
//!
//! What the library taught: each start of a node needs an actor of its own. One that comes back without its last
//! changes and goes on counting as the same actor makes two different changes with one number. Two nodes that both
//! make an object for a key make two, of which one is hidden with all that is in it: sets are keys of the document
//! itself. And the protocol by which nodes sync believes in its connection: both sides forget what they know of each
//! other when it is lost.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use automerge::sync::{self, SyncDoc};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ROOT, ReadDoc, ScalarValue, Value as Held};
use kit::{Answer, Player, Request, Session, Settings};
use stormglass::prelude::*;

/// The mistake that the store can make.
pub const MISTAKES: [&str; 1] = ["no-sync"];

/// How often nodes tell each other what they have. To find that out takes time, so they do not at each change.
const SYNC: Duration = Duration::from_millis(100);
/// After how many records the journal is written anew, as one document.
const RECORDS_MAX: usize = 500;
/// What a record of the journal begins with: changes, or the number of the last request of a session.
const CHANGES: u8 = 0;
const DONE: u8 = 1;

/// The store.
#[derive(Clone, Debug, Default)]
pub struct AutomergeKv {
    settings: Settings,
    /// Whether keys hold sets instead of registers.
    sets: bool,
    player: Player,
}

impl AutomergeKv {
    /// The same, whose runs are played by another program, as a test needs it.
    #[must_use]
    pub fn played_by(program: &str) -> AutomergeKv {
        AutomergeKv { player: Player::Program(program.into()), ..AutomergeKv::default() }
    }

    /// The same, whose runs are all played in this process, where each depends on those before it.
    #[must_use]
    pub fn played_here() -> AutomergeKv {
        AutomergeKv { player: Player::Here, ..AutomergeKv::default() }
    }

    fn claims(&self) -> Vec<(Guarantee, Claim)> {
        let both = [
            (Guarantee::Linearizable, Claim::Breaks),
            (Guarantee::Convergent, Claim::Holds),
            (Guarantee::Live, Claim::Holds),
        ];
        let of_objects = match self.sets {
            // What was added stays, whoever has added or removed something else meanwhile.
            true => [(Guarantee::Durable, Claim::Holds), (Guarantee::Set, Claim::Breaks)],
            // Of two writes that did not know of each other, the one that was acknowledged first may stay: by the
            // clock, sessions then go back, and the later one is lost.
            false => [(Guarantee::Causal, Claim::Holds), (Guarantee::Durable, Claim::Silent)],
        };
        both.into_iter().chain(of_objects).collect()
    }
}

impl System for AutomergeKv {
    fn configure(&mut self, settings: &stormglass::system::Settings) -> Result<(), String> {
        let mut rest = settings.clone();
        self.sets = match rest.remove("sets") {
            None => false,
            Some(sets) => sets.as_bool().ok_or("sets is true or false")?,
        };
        self.settings = Settings::read(&rest, &MISTAKES)?;
        Ok(())
    }

    fn manifest(&self) -> Manifest {
        let objects = match self.sets {
            true => [OpKind::Add, OpKind::Remove],
            false => [OpKind::Write, OpKind::Delete],
        };
        Manifest {
            name: "automerge".to_owned(),
            about: "every node takes changes to its copy of a document of automerge 0.12.0"
                .to_owned(),
            nodes: (2, 5),
            ops: [OpKind::Read].into_iter().chain(objects).collect(),
            claims: self.claims(),
            replica_claims: vec![],
            timing: kit::TIMING,
        }
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        kit::manifest_under(nemeses, self.manifest())
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let settings = self.settings;
        Box::pin(async move {
            match Node::start(cx, settings).await {
                Ok(node) => node.live().await.expect_err("only a disk ends it").to_string(),
                Err(error) => error.to_string(),
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session::staying(cx))
    }

    fn program(&self) -> Option<PathBuf> {
        self.player.program()
    }
}

struct Node {
    cx: NodeCx,
    settings: Settings,
    mesh: Mesh,
    journal: Journal,
    records: usize,
    document: AutoCommit,
    /// What is known of each other node's copy.
    peers: BTreeMap<NodeId, sync::State>,
    /// The number of the last request of each session that was done.
    done: BTreeMap<u32, u64>,
    /// What is answered once all that led to it lasts.
    answers: Vec<(Message, Outcome)>,
}

impl Node {
    async fn start(cx: NodeCx, settings: Settings) -> io::Result<Node> {
        kit::entropy::seed(&cx);
        let (journal, records) = Journal::open(cx.disk(), "document").await?;
        let mut document = AutoCommit::new();
        let mut done = BTreeMap::new();
        for record in &records {
            match record.split_first() {
                Some((&CHANGES, changes)) => {
                    document.load_incremental(changes).map_err(io::Error::other)?;
                }
                Some((&DONE, numbers)) => {
                    let (session, number) = serde_json::from_slice(numbers)?;
                    done.insert(session, number);
                }
                _ => {}
            }
        }
        let actor = [cx.id().0.to_be_bytes(), cx.incarnation().to_be_bytes()].concat();
        document.set_actor(ActorId::from(actor));
        // What was loaded is in the journal.
        document.save_incremental();
        let others = cx.nodes().into_iter().filter(|id| *id != cx.id());
        let peers = others.map(|id| (id, sync::State::new())).collect();
        let mesh = Mesh::new(&cx, Patience::default());
        let (records, answers) = (records.len(), Vec::new());
        Ok(Node { cx, settings, mesh, journal, records, document, peers, done, answers })
    }

    async fn live(mut self) -> io::Result<()> {
        let mut sync_at = self.cx.now() + SYNC;
        loop {
            let mut arrival = self.mesh.recv_within(sync_at.since(self.cx.now())).await;
            while let Some(arrived) = arrival {
                self.take(arrived)?;
                arrival = self.mesh.try_recv();
            }
            self.keep().await?;
            for (message, outcome) in std::mem::take(&mut self.answers) {
                self.cx.reply(&message, &kit::json(&Answer::Ended(outcome)));
            }
            if self.cx.now() >= sync_at {
                self.sync();
                sync_at = self.cx.now() + SYNC;
            }
            let applied = self.done.values().sum();
            self.cx.observe(NodeStatus { applied, ..NodeStatus::default() });
        }
    }

    /// Tells the others what they do not have, as far as that is known. All of it was made to last.
    fn sync(&mut self) {
        for (id, state) in &mut self.peers {
            if let Some(word) = self.document.sync().generate_sync_message(state) {
                self.mesh.send(*id, &word.encode());
            }
        }
    }

    fn take(&mut self, arrival: Arrival) -> io::Result<()> {
        match arrival {
            Arrival::Node(id, bytes) => {
                let word = sync::Message::decode(&bytes).map_err(io::Error::other)?;
                let state = self.peers.entry(id).or_default();
                let received = self.document.sync().receive_sync_message(state, word);
                received.map_err(io::Error::other)?;
            }
            Arrival::Connected(id) | Arrival::Lost(id) => {
                self.peers.insert(id, sync::State::new());
            }
            Arrival::Client(message) => {
                let request: Request =
                    serde_json::from_slice(&message.bytes).expect("clients speak JSON");
                let done = self.done.entry(request.session).or_default();
                if request.number <= *done {
                    return Ok(());
                }
                *done = request.number;
                if !matches!(request.op, Op::Read { .. }) {
                    let numbers = kit::json(&(request.session, request.number));
                    self.append(DONE, &numbers)?;
                }
                let outcome = self.perform(&request.op).map_err(io::Error::other)?;
                self.answers.push((message, outcome));
            }
        }
        Ok(())
    }

    fn perform(&mut self, op: &Op) -> Result<Outcome, automerge::AutomergeError> {
        let register = format!("r/{}", op.key());
        let element = |value: &Value| format!("s/{}/{}", op.key(), text(value));
        match op {
            Op::Read { .. } => return Ok(Outcome::Ok(Ret::Value(self.read(op.key())?))),
            Op::Write { value: Value::Nil, .. } | Op::Delete { .. } => {
                self.document.delete(ROOT, register)?;
            }
            Op::Write { value, .. } => self.document.put(ROOT, register, text(value))?,
            Op::Add { value, .. } => self.document.put(ROOT, element(value), true)?,
            Op::Remove { value, .. } => self.document.delete(ROOT, element(value))?,
            _ => return Ok(Outcome::Fail(Reason::Unsupported)),
        }
        self.document.commit_with(CommitOptions::default().with_time(0));
        Ok(Outcome::Ok(Ret::Done))
    }

    /// What a register or a set holds.
    fn read(&self, key: &Key) -> Result<Value, automerge::AutomergeError> {
        if let Some((Held::Scalar(held), _)) = self.document.get(ROOT, format!("r/{key}"))?
            && let ScalarValue::Str(held) = held.as_ref()
        {
            return Ok(value_of(held));
        }
        let prefix = format!("s/{key}/");
        let keys = self.document.keys(ROOT);
        let elements = keys.filter_map(|key| key.strip_prefix(&prefix).map(value_of));
        let mut elements: Vec<Value> = elements.collect();
        elements.sort();
        Ok(if elements.is_empty() { Value::Nil } else { Value::List(elements.into()) })
    }

    fn append(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        self.records += 1;
        self.journal.append(&[&[kind], bytes].concat())
    }

    /// Makes all changes last that were made or learned.
    async fn keep(&mut self) -> io::Result<()> {
        let changes = self.document.save_incremental();
        if changes.is_empty() {
            return Ok(());
        }
        self.append(CHANGES, &changes)?;
        if self.settings.makes("no-sync") {
            return Ok(());
        }
        if self.records <= RECORDS_MAX {
            return self.journal.sync().await;
        }
        let done = self.done.iter().map(|numbers| [vec![DONE], kit::json(&numbers)].concat());
        let document = [vec![CHANGES], self.document.save()].concat();
        let records: Vec<Vec<u8>> = [document].into_iter().chain(done).collect();
        self.records = records.len();
        self.journal.replace(&records).await
    }
}

/// Values travel as JSON.
fn text(value: &Value) -> String {
    serde_json::to_string(value).expect("values are JSON")
}

fn value_of(text: &str) -> Value {
    serde_json::from_str(text).expect("it was written so")
}

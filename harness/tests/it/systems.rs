//! Small systems of the tests' own, each with one property or one mistake.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{FaultId, Key, NodeId, Op, OpKind, Outcome, Reason, Ret, Time, Value};
use stormglass::nemesis::{Fault, Planned, Schedule};
use stormglass::plan::{self, Plan};
use stormglass::seed::{Ratio, Stream};
use stormglass::sim::Address;
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, SYSTEMS, System, Timing,
};

/// The plans of a campaign of this repository, with their systems.
pub(crate) fn plans_of(campaign: &str) -> Vec<(Plan, Arc<dyn System>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("campaigns").join(campaign);
    let plans = plan::load(&file, SYSTEMS).unwrap();
    let system = |plan: &Plan| {
        let entry = SYSTEMS.iter().find(|entry| entry.name == plan.system);
        Arc::from(entry.unwrap().configured(&plan.settings).unwrap())
    };
    plans.into_iter().map(|plan| (plan.clone(), system(&plan))).collect()
}

/// The given faults, each with its beginning and end in milliseconds, and with the salt for its number.
pub(crate) fn schedule(faults: &[(Fault, u64, u64)], salt: impl Fn(u64) -> u64) -> Schedule {
    let planned = faults.iter().enumerate().map(|(index, (fault, at, until))| Planned {
        id: FaultId(index as u32),
        at: Time::from_millis(*at),
        until: Time::from_millis(*until),
        fault: *fault,
        salt: salt(index as u64),
        after: None,
        scripted: false,
    });
    Schedule(planned.collect())
}

/// What a node of [`OneCopy`] does besides its duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    /// Nothing: it writes to its disk, syncs, and answers.
    None,
    /// It answers before it syncs.
    AnswersBeforeSync,
    /// It takes writes in after twice the time that clients wait, and never answers them.
    WritesLate,
    /// It refuses everything.
    RefusesAll,
    /// It panics at the tenth message.
    Panics,
    /// It spins at the tenth message.
    Spins,
    /// It answers each read with a value that depends on the process it runs in.
    Random,
    /// It forgets everything when it starts.
    Forgets,
    /// It panics in a task of its own at the tenth message.
    PanicsAside,
    /// It gives up at the tenth message.
    Stops,
    /// When it is dropped, it writes to its disk and sends to the second node. Whoever finds
    /// either panics.
    LastWords,
    /// It sends messages to the second node without end.
    Floods,
    /// It answers as if it had synced where it could not.
    IgnoresSyncErrors,
    /// It panics where its disk fails.
    PanicsAtDisk,
    /// It tosses a coin at each write, and forgets one of eight.
    Tosses,
}

/// The first node holds the only copy; the others pass everything on to it.
pub(crate) struct OneCopy(pub(crate) Quirk);

/// The timing of [`OneCopy`].
pub(crate) const OPERATION: Duration = Duration::from_millis(500);

pub(crate) fn one_copy(quirk: Quirk) -> Arc<dyn System> {
    Arc::new(OneCopy(quirk))
}

impl System for OneCopy {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "one-copy".to_owned(),
            about: "the first node holds the only copy".to_owned(),
            nodes: (1, 9),
            ops: OpKind::REGISTER.to_vec(),
            claims: vec![
                (Guarantee::Linearizable, Claim::Holds),
                (Guarantee::Durable, Claim::Holds),
                (Guarantee::Live, Claim::Holds),
            ],
            replica_claims: Vec::new(),
            timing: Timing {
                failover: Duration::from_millis(1000),
                converge: Duration::from_millis(100),
                operation: OPERATION,
            },
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let quirk = self.0;
        Box::pin(async move {
            let _speaks = (quirk == Quirk::LastWords).then(|| LastWords::new(cx.clone()));
            if quirk == Quirk::Floods && cx.id() == NodeId(1) {
                cx.spawn(flood(cx.clone()));
            }
            let mut node = match Node::start(cx, quirk) {
                Ok(node) => node,
                Err(error) => return error.to_string(),
            };
            for count in 0_u32.. {
                let message = node.cx.recv().await;
                match quirk {
                    Quirk::LastWords if message.bytes == LAST_WORDS => panic!("a dead node spoke"),
                    Quirk::Floods if message.bytes == FLOOD => continue,
                    Quirk::Panics if count == 10 => panic!("the tenth message"),
                    Quirk::PanicsAside if count == 10 => {
                        node.cx.spawn(async { panic!("the tenth message, aside") });
                    }
                    Quirk::Stops if count == 10 => return "ten messages are enough".to_owned(),
                    Quirk::Spins if count == 10 => loop {
                        tokio::task::yield_now().await;
                    },
                    _ => {}
                }
                let op: Op = serde_json::from_slice(&message.bytes).unwrap();
                let served = match node.serve(op).await {
                    Err(error) if quirk == Quirk::PanicsAtDisk => panic!("{error}"),
                    Err(error) => return error.to_string(),
                    Ok(served) => served,
                };
                if let Some(outcome) = served {
                    node.cx.reply(&message, &serde_json::to_vec(&outcome).unwrap());
                }
            }
            unreachable!("the loop has no end")
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(OneCopyClient(cx))
    }
}

/// What nobody must hear.
const LAST_WORDS: &[u8] = b"\"last words\"";
/// What nobody listens to.
const FLOOD: &[u8] = b"\"flood\"";

/// Speaks and writes when it is dropped.
struct LastWords(NodeCx);

impl LastWords {
    fn new(cx: NodeCx) -> LastWords {
        assert!(cx.disk().read("last-words").is_err(), "a dead node wrote");
        LastWords(cx)
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.send(Address::Node(NodeId(2)), LAST_WORDS);
        assert!(self.0.disk().append("last-words", LAST_WORDS).is_err(), "a dead node can write");
    }
}

async fn flood(cx: NodeCx) {
    loop {
        for _ in 0..500 {
            cx.send(Address::Node(NodeId(2)), FLOOD);
        }
        cx.sleep(Duration::from_millis(1)).await;
    }
}

struct Node {
    cx: NodeCx,
    quirk: Quirk,
    store: BTreeMap<Key, Value>,
    coin: Stream,
}

impl Node {
    fn start(cx: NodeCx, quirk: Quirk) -> io::Result<Node> {
        let mut store = BTreeMap::new();
        if quirk != Quirk::Forgets {
            let log = match cx.disk().read("log") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                read => read?,
            };
            // A torn last line is a write that was not acknowledged.
            for line in log.split_inclusive(|byte| *byte == b'\n') {
                if let Ok((key, value)) = serde_json::from_slice(line) {
                    store.insert(key, value);
                }
            }
        }
        let coin = cx.random("coin");
        Ok(Node { cx, quirk, store, coin })
    }

    /// The answer, if it is to have one.
    ///
    /// # Errors
    /// Where the disk fails.
    async fn serve(&mut self, op: Op) -> io::Result<Option<Outcome>> {
        if self.quirk == Quirk::RefusesAll {
            return Ok(Some(Outcome::Fail(Reason::Unavailable)));
        }
        let held = self.store.get(op.key()).cloned().unwrap_or_default();
        Ok(match op {
            Op::Read { .. } if self.quirk == Quirk::Random => {
                #[expect(clippy::disallowed_types, reason = "the mistake that is to be caught")]
                let random: std::collections::HashSet<i64> = (0..100).collect();
                let first = *random.iter().next().unwrap();
                Some(Outcome::Ok(Ret::Value(Value::Int(first))))
            }
            Op::Read { .. } => Some(Outcome::Ok(Ret::Value(held))),
            Op::Write { .. }
                if self.quirk == Quirk::Tosses && self.coin.chance(Ratio::new(1, 8)) =>
            {
                Some(Outcome::Ok(Ret::Done))
            }
            Op::Write { key, value } => {
                if self.quirk == Quirk::WritesLate {
                    self.cx.sleep(OPERATION * 2).await;
                    self.set(key, value).await?;
                    return Ok(None);
                }
                self.set(key, value).await?;
                Some(Outcome::Ok(Ret::Done))
            }
            Op::Cas { from, .. } if from != held => {
                Some(Outcome::Fail(Reason::Mismatch { actual: Some(held) }))
            }
            Op::Cas { key, to, .. } => {
                self.set(key, to).await?;
                Some(Outcome::Ok(Ret::Done))
            }
            Op::Delete { key } => {
                self.set(key, Value::Nil).await?;
                Some(Outcome::Ok(Ret::Done))
            }
            _ => Some(Outcome::Fail(Reason::Unsupported)),
        })
    }

    async fn set(&mut self, key: Key, value: Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(&(&key, &value)).unwrap();
        line.push(b'\n');
        let disk = self.cx.disk();
        disk.append("log", &line)?;
        if self.quirk != Quirk::AnswersBeforeSync {
            let synced = disk.sync("log").await;
            if self.quirk != Quirk::IgnoresSyncErrors {
                synced?;
            }
            disk.sync_dir().await?;
        }
        self.store.insert(key, value);
        Ok(())
    }
}

struct OneCopyClient(ClientCx);

impl Client for OneCopyClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let request = serde_json::to_vec(op).unwrap();
            match self.0.request(NodeId(1), &request, OPERATION).await {
                Some(answer) => serde_json::from_slice(&answer).unwrap(),
                None => Outcome::Info(Reason::Timeout),
            }
        })
    }
}

//! Nodes in any language: processes that speak Maelstrom's protocol over their standard input and output, as a
//! [`System`] whose messages go through the simulated network.
//!
//! The network, the clients, the faults and the schedule are as exact as everywhere else. The processes are not: what
//! they do in between takes real time and is decided by an operating system. Two runs of one seed have the
//! same faults and much the same operations, and may have other histories; what is shown about such runs says so.
//!
//! Virtual time and real processes meet in two places. A process has timers of its own, so virtual time is held
//! back: it never passes faster than real time, times the pace that is asked for. And a process that is told
//! something gets a moment of real time, in which no virtual time passes, to answer at once. While a
//! process is started and told who it is, no virtual time passes at all.
//!
//! A crash is the end of the process and of its group; afterwards a new one is started, which is told who it
//! is, as the first was. A pause holds up what it is told and what it says, and its own timers go on. A process
//! may keep files in its working directory, which outlives it within a run; what it has written there survives a loss of
//! power whether it was synced or not.
//!
//! A process that says what cannot be, or ends, is not talked to any more: the run says so, with its last words.
//! Nothing that it says or fails to say holds up the others: lines, queues, and what is kept of its standard error
//! are bounded, and so are the memory and the processes that it may take. One that ends by itself is not started again:
//! that it ended is what was to be found. Where the harness itself is killed, a shell beside it ends all processes.
//!
//! The services `lin-kv`, `seq-kv`, `lww-kv` and `lin-tso` never fail, but a node reaches them through the network: through
//! the node after it that runs. A partition between these two is one between the node and the services; a request
//! that is copied counts once.

mod child;
mod guardian;
mod log;
mod node;
pub(crate) mod orphans;
mod pace;
mod protocol;
mod questions;
mod service;
mod usage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkers::history::{Op, Outcome, Reason, Ret};
use serde_json::Value as Json;

use self::guardian::Guardian;
use self::pace::Pace;
pub use self::protocol::{Dialect, WORKLOADS};
use self::questions::Questions;
use self::service::Services;
use crate::json;
use crate::nemesis::OF_DISKS;
use crate::plan::Plan;
use crate::system::{Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, System, Timing};

/// How many keys are in use at a time.
const KEYS: [u32; 2] = [1, 3];

/// Whether the faults of a nemesis do nothing to processes: these have clocks and files of their own, and there is no word
/// for who is a member.
pub(crate) fn does_nothing(nemesis: &str) -> bool {
    OF_DISKS.contains(&nemesis) || ["clock", "membership", "disk-slow"].contains(&nemesis)
}

/// The name of the system that such nodes are.
pub(crate) const SYSTEM: &str = "external";

/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_millis(950);
/// The most answers that one operation waits for.
const ANSWERS_MAX: usize = 1_000;

/// How processes are started, and where they leave something.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// What it is started with.
    pub arguments: Vec<String>,
    /// The folder of the run: each node has a folder in it, in which it runs, and a file of what it writes to its
    /// standard error.
    pub folder: PathBuf,
    /// How many times faster than real time virtual time may pass.
    pub pace: u32,
    /// What each node may take.
    pub limits: Limits,
}

/// What the process of a node may take, together with those that it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory in use, where what two of them share counts twice.
    pub memory_max: u64,
    /// Processes.
    pub processes_max: u32,
    /// Bytes of disk that its folder has in use.
    pub disk_max: u64,
}

impl Default for Limits {
    /// 2 GiB of memory, 64 processes, and 1 GiB of disk.
    fn default() -> Limits {
        Limits { memory_max: 2 << 30, processes_max: 64, disk_max: 1 << 30 }
    }
}

/// Processes that are the nodes of one run. Each run has a system of its own.
pub struct External {
    launch: Launch,
    dialect: &'static Dialect,
    pace: Arc<Pace>,
    guardian: Arc<Guardian>,
    services: Arc<Mutex<Services>>,
    questions: Arc<Mutex<Questions>>,
    starts: Arc<Mutex<Starts>>,
}

/// Whether the program can be started.
#[derive(Default)]
struct Starts {
    /// Whether it ever was: then it is a node that cannot be started again, after what it has done.
    any: bool,
    /// Why it could not be before.
    refusal: Option<String>,
}

impl External {
    /// Makes the system of one run, for processes that speak a dialect of the protocol.
    pub fn new(launch: Launch, dialect: &'static Dialect) -> External {
        let pace = Arc::new(Pace::new(launch.pace));
        let guardian = Arc::new(Guardian::new(&launch.folder));
        let (services, questions, starts) = Default::default();
        External { launch, dialect, pace, guardian, services, questions, starts }
    }

    /// Why the program could not be started, if it never could.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.starts.lock().expect("nobody panics while holding it").refusal.clone()
    }

    /// The settings of a plan that depend on what nodes are asked.
    pub(crate) fn prepare(plan: &mut Plan, dialect: &Dialect) {
        dialect.workload.clone_into(&mut plan.workload);
        plan.replica_reads_percent = if dialect.reads_may_be_old { 100 } else { 0 };
        // Runs are short for those who wait for them: races need several clients on a key.
        plan.keys = KEYS;
    }
}

impl System for External {
    fn manifest(&self) -> Manifest {
        let Dialect { name, ops, claims, .. } = self.dialect;
        Manifest {
            name: SYSTEM.to_owned(),
            about: format!("processes that are asked in the words of the workload `{name}`"),
            nodes: (1, 9),
            ops: ops.to_vec(),
            claims: claims.to_vec(),
            replica_claims: Vec::new(),
            timing: Timing {
                failover: Duration::from_secs(2),
                converge: Duration::from_secs(2),
                operation: Duration::from_secs(1),
            },
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        let start = cx.now().as_nanos();
        let node = node::Node {
            cx,
            launch: self.launch.clone(),
            dialect: self.dialect,
            pace: self.pace.clone(),
            guardian: self.guardian.clone(),
            services: self.services.clone(),
            questions: self.questions.clone(),
            starts: self.starts.clone(),
            start,
            spoken_to: BTreeSet::new(),
            asked: 0,
            is_ready: false,
        };
        Box::pin(async move { node.live().await.expect_err("a node lives until it goes wrong") })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session { cx, dialect: self.dialect, asked: 0 })
    }
}

/// One client: `c7`.
struct Session {
    cx: ClientCx,
    dialect: &'static Dialect,
    /// How many messages it has sent.
    asked: u64,
}

impl Session {
    /// Asks the node once, and waits for its answer; where there is none, what that means.
    async fn ask(&mut self, mut body: Json) -> Result<Json, Outcome> {
        self.asked += 1;
        body["msg_id"] = self.asked.into();
        let (client, home) = (format!("c{}", self.cx.session()), self.cx.home());
        let envelope = protocol::envelope(&client, &format!("n{home}"), body);
        let answer = self.cx.request(home, envelope.to_string().as_bytes(), ANSWER).await;
        let answer = answer.ok_or(Outcome::Info(Reason::Timeout))?;
        let unclear = |_| Outcome::Info(Reason::Other("an answer that is no JSON".into()));
        json::read(&answer).map_err(unclear)
    }
}

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(asked) = (self.dialect.ask)(op) else {
                return Outcome::Fail(Reason::Unsupported);
            };
            let mut body = asked.clone();
            let mut told = Json::Null;
            for _ in 0..ANSWERS_MAX {
                let answer = match self.ask(body).await {
                    Ok(answer) => answer,
                    Err(outcome) => return outcome,
                };
                let is_error = answer["type"] == "error";
                // Asked on after the last message, some say that there is nothing.
                let is_end = is_error && !told.is_null() && answer["code"] == 20;
                if is_error && !is_end {
                    return protocol::of_error(op, &answer);
                }
                let more =
                    if is_end { None } else { (self.dialect.more)(op, &mut told, answer.clone()) };
                if told.is_null() {
                    told = answer;
                }
                match more {
                    Some(next) => body = next,
                    None => {
                        let said = told.to_string();
                        return outcome_of(protocol::learn(self.dialect, &asked, &told, &said));
                    }
                }
            }
            Outcome::Info(Reason::Other(format!("{ANSWERS_MAX} answers had no end").into()))
        })
    }
}

/// What a client knows from answers that were put together: each of them had been what the protocol has.
fn outcome_of(learnt: Result<Ret, String>) -> Outcome {
    learnt.map_or_else(|wrong| Outcome::Info(Reason::Other(wrong.into())), Outcome::Ok)
}

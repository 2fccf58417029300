//! The whole command line over a system of one's own: one that keeps everything in the memory of its first node, and
//! claims too much.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use stormglass::checkers::Guarantee;
use stormglass::checkers::history::{NodeId, Op, OpKind, Outcome, Reason, Ret};
use stormglass::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, Registration, System, Timing,
};

struct InMemory;

impl System for InMemory {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "in-memory".to_owned(),
            about: "the first node holds the only copy, in memory".to_owned(),
            nodes: (1, 5),
            ops: OpKind::REGISTER.to_vec(),
            claims: vec![(Guarantee::Linearizable, Claim::Holds)],
            replica_claims: vec![],
            timing: Timing {
                failover: Duration::from_secs(1),
                converge: Duration::from_millis(100),
                operation: Duration::from_millis(500),
            },
        }
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        Box::pin(async move {
            let mut held = BTreeMap::new();
            loop {
                let message = cx.recv().await;
                let op: Op = serde_json::from_slice(&message.bytes).expect("a client's request");
                let now = held.get(op.key()).cloned().unwrap_or_default();
                let outcome = match op {
                    Op::Read { .. } => Outcome::Ok(Ret::Value(now)),
                    Op::Cas { from, .. } if from != now => {
                        Outcome::Fail(Reason::Mismatch { actual: Some(now) })
                    }
                    Op::Write { key, value } | Op::Cas { key, to: value, .. } => {
                        held.insert(key, value);
                        Outcome::Ok(Ret::Done)
                    }
                    Op::Delete { key } => {
                        held.remove(&key);
                        Outcome::Ok(Ret::Done)
                    }
                    _ => Outcome::Fail(Reason::Unsupported),
                };
                cx.reply(&message, &serde_json::to_vec(&outcome).expect("outcomes are JSON"));
            }
        })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        Box::new(Session(cx))
    }
}

struct Session(ClientCx);

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let request = serde_json::to_vec(op).expect("operations are JSON");
            let wait = Duration::from_millis(500);
            match self.0.request(NodeId(1), &request, wait).await {
                Some(answer) => serde_json::from_slice(&answer).expect("the node's answer"),
                None => Outcome::Info(Reason::Timeout), // It may still take effect.
            }
        })
    }
}

static SYSTEMS: &[Registration] =
    &[Registration { name: "in-memory", build: || Box::new(InMemory) }];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

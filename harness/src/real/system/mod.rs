//! Servers: how each is started and asked, and what it says about itself.
//!
//! Adding one is a file here and a line in [`SYSTEMS`].

use std::io;
use std::sync::{Arc, Mutex};

use checkers::history::{NodeId, Op, Outcome, Value};

use super::site::Site;
use crate::json;
use crate::sim::{ClientSpec, NodeStatus, Role};
use crate::system::{Client, LocalBoxFuture, Manifest, Settings};

mod etcd;
mod redis_sentinel;
mod reference_db;

/// A server of which each node runs one or several processes.
pub(crate) trait Server: Send + Sync {
    /// What it says about itself, where these nemeses plan faults.
    fn manifest(&self, nemeses: &[String]) -> Manifest;

    /// Puts onto the empty disk of a node what it has to find there.
    fn prepare(&self, site: &Site, node: NodeId) -> io::Result<()> {
        let _ = (site, node);
        Ok(())
    }

    /// The processes of a node, in the order in which they are started.
    fn processes(&self, site: &Site, node: NodeId) -> Vec<Process>;

    /// Makes a client. Each of its operations ends within the time that the manifest says.
    fn client(&self, site: &Arc<Site>, spec: ClientSpec) -> Box<dyn Client>;

    /// What a node says about itself; nothing where it does not answer. Waits for half a second at most.
    fn status(&self, site: &Site, node: NodeId) -> Option<NodeStatus>;

    /// Whether the cluster is whole, by what its nodes say.
    fn is_settled(&self, statuses: &[Option<NodeStatus>]) -> bool {
        let roles = || statuses.iter().flatten().map(|status| status.role);
        statuses.iter().all(Option::is_some)
            && roles().filter(|role| *role == Role::Leader).count() == 1
            && roles().all(|role| role != Role::Candidate)
    }
}

/// One process of a node.
pub(crate) struct Process {
    /// The name of its program.
    pub(crate) program: &'static str,
    /// What it is started with.
    pub(crate) arguments: Vec<String>,
}

/// A program that a server needs.
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// How to install it: in Debian and Ubuntu, in Fedora.
    pub(crate) install: [&'static str; 2],
}

/// One server in the table.
pub(crate) struct Registration {
    /// The name that flags use.
    pub(crate) name: &'static str,
    /// What it is, in one sentence.
    pub(crate) about: &'static str,
    /// What it is started with.
    pub(crate) programs: &'static [Program],
    /// Makes it, as its settings say; or says which of them is wrong, and what would do.
    pub(crate) build: fn(&Settings) -> Result<Box<dyn Server>, String>,
}

/// Every server there is, in the order `list` shows them.
pub(crate) const SYSTEMS: &[Registration] = &[
    Registration {
        name: "etcd",
        about: "etcd by its HTTP gateway; `--reads serializable` reads what the asked node holds",
        programs: etcd::PROGRAMS,
        build: etcd::build,
    },
    Registration {
        name: "redis-sentinel",
        about: "redis with a sentinel beside each node, which clients ask for the master",
        programs: redis_sentinel::PROGRAMS,
        build: redis_sentinel::build,
    },
    Registration {
        name: "reference-db",
        about: "the reference store over TCP and files; `--mode` says how it replicates",
        programs: reference_db::PROGRAMS,
        build: reference_db::build,
    },
];

/// The server of a name.
pub(crate) fn named(name: &str) -> Option<&'static Registration> {
    SYSTEMS.iter().find(|entry| entry.name == name)
}

/// A client whose thread waits for answers.
trait Waiting: Send + 'static {
    /// Does one operation.
    fn invoke(&mut self, op: &Op) -> Outcome;
}

/// One that has a thread of its own while it waits.
struct OnThread<C>(Arc<Mutex<C>>);

impl<C: Waiting> OnThread<C> {
    fn boxed(client: C) -> Box<dyn Client> {
        Box::new(OnThread(Arc::new(Mutex::new(client))))
    }
}

impl<C: Waiting> Client for OnThread<C> {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        let (client, op) = (self.0.clone(), op.clone());
        Box::pin(async move {
            let asks = move || client.lock().expect("it asks one thing at a time").invoke(&op);
            match tokio::task::spawn_blocking(asks).await {
                Ok(outcome) => outcome,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        })
    }
}

/// The node that a client turns to. One that is not pinned goes on to the next where it has learned nothing.
#[derive(Clone, Copy)]
struct Turn {
    node: NodeId,
    of: u32,
    pinned: bool,
}

impl Turn {
    fn new(site: &Site, spec: ClientSpec) -> Turn {
        Turn { node: spec.home, of: site.nodes, pinned: spec.pinned }
    }

    /// Takes note of what came of an operation.
    fn after(&mut self, outcome: &Outcome) {
        let is_answer = match outcome {
            Outcome::Ok(_) => true,
            Outcome::Fail(reason) => reason.is_answer(),
            Outcome::Info(_) => false,
        };
        if !self.pinned && !is_answer {
            self.node = NodeId(self.node.0 % self.of + 1);
        }
    }
}

/// A value as text, which no `nil` has.
fn text_of(value: &Value) -> String {
    json::compact(value).expect("values are JSON")
}

/// What such a text says. One that no client has written is shown as the text that it is: nobody wrote that value.
fn value_of(text: &str) -> Value {
    let read = json::read(text);
    read.unwrap_or_else(|_| Value::Text(text.into()))
}

#[cfg(test)]
mod tests {
    use checkers::history::{Reason, SessionId};

    use super::*;

    fn status(role: Role) -> Option<NodeStatus> {
        Some(NodeStatus { role, ..NodeStatus::default() })
    }

    #[test]
    fn a_cluster_is_whole_where_all_answer_and_one_leads() {
        let etcd = etcd::build(&Settings::new()).unwrap();
        let (leads, follows) = (status(Role::Leader), status(Role::Follower));
        assert!(etcd.is_settled(&[follows, leads, follows]));
        assert!(!etcd.is_settled(&[follows, leads, None]));
        assert!(!etcd.is_settled(&[follows, follows, follows]));
        assert!(!etcd.is_settled(&[leads, leads, follows]));
        assert!(!etcd.is_settled(&[follows, leads, status(Role::Candidate)]));
    }

    #[test]
    fn a_client_that_may_roam_goes_on_where_it_learned_nothing() {
        let site = Site { nodes: 3, programs: Default::default() };
        let spec =
            |pinned| ClientSpec { session: SessionId(0), home: NodeId(3), pinned, inspects: false };
        let after = |pinned, outcome: Outcome| {
            let mut turn = Turn::new(&site, spec(pinned));
            turn.after(&outcome);
            turn.node.0
        };
        assert_eq!(after(false, Outcome::Info(Reason::Timeout)), 1);
        assert_eq!(after(false, Outcome::Fail(Reason::Refused)), 1);
        assert_eq!(after(true, Outcome::Info(Reason::Timeout)), 3);
        assert_eq!(after(false, Outcome::Fail(Reason::Mismatch { actual: None })), 3);
    }

    #[test]
    fn values_travel_and_come_back() {
        for value in [Value::Int(7), Value::Text("a \"b\"".into())] {
            assert_eq!(value_of(&text_of(&value)), value);
        }
        assert_eq!(value_of("not ours"), Value::Text("not ours".into()));
    }
}

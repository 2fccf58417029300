//! The reference store, over TCP and files.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{NodeId, Op, Outcome, Reason};
use reference_db::client::{Policy, ReplicaReads};
use reference_db::env::ClientEnv as _;
use reference_db::mode::Mode;
use reference_db::real::RealClient;

use super::{Process, Program, Server};
use crate::real::process::tail;
use crate::real::site::Site;
use crate::sim::{ClientSpec, NodeStatus, Role};
use crate::system::reference_db::values::{command_of, learned};
use crate::system::{self, Client, LocalBoxFuture, Manifest, Settings};

pub(super) const PROGRAMS: &[Program] =
    &[Program { name: "stormglass-reference-db", install: [FROM_SOURCE, FROM_SOURCE] }];
const FROM_SOURCE: &str = "cargo build --release -p stormglass-reference-db";

const PORT: u16 = 7000;
const STATUS: Duration = Duration::from_millis(400);
const ATTEMPT: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(50);
/// The mode where none is named.
const USUAL: &str = "raft";

pub(super) fn build(settings: &Settings) -> Result<Box<dyn Server>, String> {
    let mut settings = settings.clone();
    let named = settings.remove("mode");
    let name = named.as_ref().map_or(Some(USUAL), toml::Value::as_str).unwrap_or_default();
    let modes = || system::SYSTEMS.iter().map(|entry| entry.name).collect::<Vec<_>>();
    let entry = system::SYSTEMS.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| {
        format!("mode: none is called `{name}`; there are {}", modes().join(", "))
    })?;
    let mode = name.parse().expect("each mode of the store is a system");
    let reads = settings.get("reads").and_then(toml::Value::as_str).map(str::to_owned);
    if let Some(other) = settings.keys().find(|key| *key != "reads") {
        return Err(format!("`{other}` is no setting of reference-db; there are mode and reads"));
    }
    let simulated = entry.configured(&settings)?;
    Ok(Box::new(ReferenceDb { mode, reads, simulated }))
}

struct ReferenceDb {
    mode: Mode,
    /// How a leader answers reads, where that was said.
    reads: Option<String>,
    /// The same store as every other run has it: it promises the same.
    simulated: Box<dyn system::System>,
}

impl Server for ReferenceDb {
    fn manifest(&self, nemeses: &[String]) -> Manifest {
        self.simulated.manifest_under(nemeses)
    }

    fn processes(&self, site: &Site, node: NodeId) -> Vec<Process> {
        let peers = site.all().map(|peer| format!("{peer}={}:{PORT}", site.address(peer)));
        let mut arguments = vec!["serve".to_owned()];
        let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        flag("id", node.to_string());
        flag("peers", peers.collect::<Vec<_>>().join(","));
        flag("data", site.disk(node).join("data").display().to_string());
        flag("mode", self.mode.to_string());
        // As in the simulation: what it says of its timing goes by these.
        flag("heartbeat-ms", "75".to_owned());
        flag("election-ms", "400".to_owned());
        if let Some(reads) = &self.reads {
            flag("reads", reads.clone());
        }
        vec![Process { program: PROGRAMS[0].name, arguments }]
    }

    fn client(&self, site: &Arc<Site>, spec: ClientSpec) -> Box<dyn Client> {
        let addresses = site.all().map(|node| format!("{}:{PORT}", site.address(node)));
        let policy = Policy {
            home: spec.home.index() - 1,
            attempt: ATTEMPT,
            pause: PAUSE,
            roam: !spec.pinned,
            stride: 1,
            rewrites_sets: false,
            replica_reads: ReplicaReads::Sticky,
            // Only a primary that waits for nobody is followed by one that lacks what it has acknowledged.
            remembered: self.mode != Mode::PrimaryAsync,
        };
        let env = RealClient::new(&addresses.collect::<Vec<_>>());
        let client = reference_db::client::Client::new(env, policy);
        Box::new(Session { client, operation: self.manifest(&[]).timing.operation })
    }

    fn status(&self, site: &Site, node: NodeId) -> Option<NodeStatus> {
        let address = (site.address(node), PORT).into();
        TcpStream::connect_timeout(&address, STATUS).ok()?;
        Some(status_of(&tail(&site.log(node)), node))
    }

    fn is_settled(&self, statuses: &[Option<NodeStatus>]) -> bool {
        let leads = |status: &NodeStatus| status.role == Role::Leader;
        let has_leader = match self.mode {
            Mode::Leaderless | Mode::LeaderlessAbd => true,
            Mode::Raft
            | Mode::PrimarySync
            | Mode::PrimarySemiSync
            | Mode::PrimaryAsync
            | Mode::MultiLeader => statuses.iter().flatten().any(leads),
        };
        statuses.iter().all(Option::is_some) && has_leader
    }
}

struct Session {
    client: reference_db::client::Client<RealClient>,
    operation: Duration,
}

impl Client for Session {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> LocalBoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(command) = command_of(op) else {
                return Outcome::Fail(Reason::Unsupported);
            };
            let deadline = self.client.env().now() + (self.operation - Duration::from_millis(10));
            learned(op, self.client.call(command, deadline).await)
        })
    }
}

/// What a node has said last of its role.
fn status_of(log: &str, node: NodeId) -> NodeStatus {
    let prefix = format!("n{node} is ");
    let said = |line: &str| {
        let (role, term) = line.strip_prefix(&prefix)?.split_once(" in term ")?;
        let role = match role {
            "leader" => Role::Leader,
            "candidate" => Role::Candidate,
            "follower" => Role::Follower,
            _ => return None,
        };
        Some(NodeStatus { role, term: term.parse().ok()?, ..NodeStatus::default() })
    };
    log.lines().rev().find_map(said).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use checkers::Guarantee;

    use super::*;
    use crate::system::Claim;

    #[test]
    fn the_last_word_on_the_role_counts() {
        let log = "listening on 10.77.0.1:7000\nn1 is follower in term 1\nn1 is leader in term 2\nn1 hangs up\n";
        let status = status_of(log, NodeId(1));
        assert_eq!((status.role, status.term), (Role::Leader, 2));
        assert_eq!(status_of(log, NodeId(2)), NodeStatus::default());
    }

    #[test]
    fn settings_that_there_are_not_are_refused() {
        let build = |text: &str| build(&toml::from_str(text).unwrap()).err();
        assert_eq!(build(""), None);
        assert_eq!(build("mode = \"primary-sync\""), None);
        assert!(build("mode = \"ring\"").unwrap().contains("there are raft, primary-sync"));
        assert!(build("mode = \"primary-sync\"\nreads = \"lease\"").is_some());
        assert!(build("reads = \"often\"").is_some());
        assert!(build("colour = 1").unwrap().contains("mode and reads"));
    }

    #[test]
    fn the_claims_are_those_of_the_simulated_store() {
        let claim = |mode: &str| {
            let settings = toml::from_str(&format!("mode = \"{mode}\"")).unwrap();
            build(&settings).unwrap().manifest(&[]).claim(Guarantee::Durable, false)
        };
        assert_eq!((claim("raft"), claim("primary-async")), (Claim::Holds, Claim::Breaks));
    }
}

//! etcd, asked by the JSON gateway of its API, version 3.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use checkers::Guarantee;
use checkers::history::{NodeId, Op, OpKind, Outcome, ReadLevel, Reason, Ret, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use ureq::Agent;

use super::{OnThread, Process, Program, Server, Turn, Waiting, text_of, value_of};
use crate::real::site::Site;
use crate::sim::{ClientSpec, NodeStatus, Role};
use crate::system::{Claim, Client, Manifest, Settings, Timing};

pub(super) const PROGRAMS: &[Program] =
    &[Program { name: "etcd", install: ["apt-get install etcd-server", "dnf install etcd"] }];

/// How long an operation takes at most.
const OPERATION: Duration = Duration::from_secs(1);
/// How long a client waits for an answer: less, so that it is the client who says that there was none.
const ANSWER: Duration = Duration::from_millis(950);
const STATUS: Duration = Duration::from_millis(400);

/// What etcd says with a request that it has not begun, by the words of its error.
const REFUSALS: [&str; 2] =
    ["etcdserver: too many requests", "etcdserver: mvcc: database space exceeded"];

/// How strong reads are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reads {
    /// The asked node makes sure that it has all that was acknowledged before.
    #[default]
    Linearizable,
    /// The asked node says what it holds.
    Serializable,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EtcdSettings {
    reads: Reads,
}

pub(super) fn build(settings: &Settings) -> Result<Box<dyn Server>, String> {
    let read: Result<EtcdSettings, toml::de::Error> = settings.clone().try_into();
    let read = read.map_err(|error| match settings.keys().find(|name| *name != "reads") {
        Some(other) => format!("`{other}` is no setting of etcd; there is reads"),
        None => format!("reads: {}", error.message()),
    })?;
    Ok(Box::new(Etcd { reads: read.reads }))
}

struct Etcd {
    reads: Reads,
}

impl Server for Etcd {
    fn manifest(&self, _nemeses: &[String]) -> Manifest {
        let by_reads = match self.reads {
            Reads::Linearizable => Claim::Holds,
            Reads::Serializable => Claim::Breaks,
        };
        let of_sessions = match self.reads {
            Reads::Linearizable => Claim::Holds,
            Reads::Serializable => Claim::Silent,
        };
        let sessions = [
            Guarantee::ReadYourWrites,
            Guarantee::MonotonicReads,
            Guarantee::MonotonicWrites,
            Guarantee::WritesFollowReads,
            Guarantee::Causal,
        ];
        let mut claims = vec![(Guarantee::Linearizable, by_reads)];
        claims.extend(sessions.map(|guarantee| (guarantee, of_sessions)));
        let always = [Guarantee::Durable, Guarantee::Convergent, Guarantee::Live];
        claims.extend(always.map(|guarantee| (guarantee, Claim::Holds)));
        Manifest {
            name: "etcd".to_owned(),
            about: "etcd by its HTTP gateway".to_owned(),
            nodes: (1, 9),
            ops: OpKind::REGISTER.to_vec(),
            claims,
            replica_claims: Vec::new(),
            timing: Timing {
                // Followers wait for one to two seconds of silence, and may split their votes.
                failover: Duration::from_secs(3),
                converge: Duration::from_secs(5),
                operation: OPERATION,
            },
        }
    }

    fn processes(&self, site: &Site, node: NodeId) -> Vec<Process> {
        let own = site.address(node);
        let peers = site.all().map(|peer| format!("n{peer}=http://{}:2380", site.address(peer)));
        let flags = [
            ("name", format!("n{node}")),
            ("data-dir", site.disk(node).join("etcd").display().to_string()),
            ("listen-client-urls", format!("http://{own}:2379")),
            ("advertise-client-urls", format!("http://{own}:2379")),
            ("listen-peer-urls", format!("http://{own}:2380")),
            ("initial-advertise-peer-urls", format!("http://{own}:2380")),
            ("initial-cluster", peers.collect::<Vec<_>>().join(",")),
            ("initial-cluster-state", "new".to_owned()),
            ("initial-cluster-token", "stormglass".to_owned()),
        ];
        let arguments = flags.map(|(name, value)| format!("--{name}={value}")).to_vec();
        vec![Process { program: "etcd", arguments }]
    }

    fn client(&self, site: &Arc<Site>, spec: ClientSpec) -> Box<dyn Client> {
        OnThread::boxed(Session {
            agent: agent(ANSWER),
            turn: Turn::new(site, spec),
            site: site.clone(),
            reads: self.reads,
        })
    }

    fn status(&self, site: &Site, node: NodeId) -> Option<NodeStatus> {
        let answer = post(&agent(STATUS), site, node, "maintenance/status", &json!({})).ok()?;
        status_of(&answer.1)
    }
}

/// Who asks, and waits so long. Nothing of the environment is between it and the nodes.
fn agent(wait: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(wait))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

/// Asks a node; the status and the body of its answer.
fn post(
    agent: &Agent,
    site: &Site,
    node: NodeId,
    path: &str,
    body: &Json,
) -> Result<(u16, Json), ureq::Error> {
    let url = format!("http://{}:2379/v3/{path}", site.address(node));
    let mut answer = agent.post(&url).send_json(body)?;
    let status = answer.status().as_u16();
    Ok((status, answer.body_mut().read_json()?))
}

struct Session {
    agent: Agent,
    turn: Turn,
    site: Arc<Site>,
    reads: Reads,
}

impl Waiting for Session {
    fn invoke(&mut self, op: &Op) -> Outcome {
        let Some((path, body)) = question(op, self.reads) else {
            return Outcome::Fail(Reason::Unsupported);
        };
        let outcome = match post(&self.agent, &self.site, self.turn.node, path, &body) {
            Ok((200, answer)) => learn(op, &answer),
            Ok((_, answer)) => of_error(&answer),
            // Nobody listens there: nothing was sent.
            Err(ureq::Error::Io(error))
                if error.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                Outcome::Fail(Reason::Refused)
            }
            Err(ureq::Error::Timeout(_)) => Outcome::Info(Reason::Timeout),
            Err(error) => Outcome::Info(Reason::Other(error.to_string().into())),
        };
        self.turn.after(&outcome);
        outcome
    }
}

fn packed(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// The path and the body of a request; none for what is not offered.
fn question(op: &Op, reads: Reads) -> Option<(&'static str, Json)> {
    let key = packed(op.key().as_str());
    let put = |value: &Value| json!({ "key": key, "value": packed(&text_of(value)) });
    Some(match op {
        Op::Read { level, .. } => {
            let serializable = *level == ReadLevel::Replica || reads == Reads::Serializable;
            ("kv/range", json!({ "key": key, "serializable": serializable }))
        }
        Op::Write { value: Value::Nil, .. } | Op::Delete { .. } => {
            ("kv/deleterange", json!({ "key": key }))
        }
        Op::Write { value, .. } => ("kv/put", put(value)),
        Op::Cas { from, to, .. } => {
            let compare = match from {
                // A key that is absent was created at no revision.
                Value::Nil => json!({ "key": key, "target": "CREATE", "createRevision": "0" }),
                from => json!({ "key": key, "target": "VALUE", "value": packed(&text_of(from)) }),
            };
            let change = match to {
                Value::Nil => json!({ "requestDeleteRange": { "key": key } }),
                to => json!({ "requestPut": put(to) }),
            };
            let look = json!({ "requestRange": { "key": key } });
            ("kv/txn", json!({ "compare": [compare], "success": [change], "failure": [look] }))
        }
        _ => return None,
    })
}

/// What a good answer says.
fn learn(op: &Op, answer: &Json) -> Outcome {
    if !answer["header"].is_object() {
        return Outcome::Info(Reason::Other("an answer without a header".into()));
    }
    match op {
        Op::Read { .. } => Outcome::Ok(Ret::Value(held(answer))),
        Op::Cas { .. } if answer["succeeded"] != true => {
            let actual = Some(held(&answer["responses"][0]["response_range"]));
            Outcome::Fail(Reason::Mismatch { actual })
        }
        _ => Outcome::Ok(Ret::Done),
    }
}

/// What a range of one key holds.
fn held(range: &Json) -> Value {
    let Some(value) = range["kvs"][0]["value"].as_str() else { return Value::Nil };
    let bytes = BASE64_STANDARD.decode(value).unwrap_or_default();
    value_of(&String::from_utf8_lossy(&bytes))
}

/// What an error says: a request that was not begun has failed, of every other it is not known.
fn of_error(answer: &Json) -> Outcome {
    let words = answer["error"].as_str().or(answer["message"].as_str()).unwrap_or("no reason");
    let reason = Reason::Other(words.into());
    if REFUSALS.contains(&words) { Outcome::Fail(reason) } else { Outcome::Info(reason) }
}

/// What a node says about itself.
fn status_of(answer: &Json) -> Option<NodeStatus> {
    let number = |value: &Json| value.as_str().and_then(|text| text.parse::<u64>().ok());
    let own = number(&answer["header"]["member_id"])?;
    let role = match number(&answer["leader"]) {
        Some(leader) if leader == own => Role::Leader,
        // It knows of none.
        None | Some(0) => Role::Candidate,
        Some(_) => Role::Follower,
    };
    let term = number(&answer["raftTerm"]).unwrap_or_default();
    let applied = number(&answer["raftIndex"]).unwrap_or_default();
    Some(NodeStatus { role, term, applied, restoring: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cas() -> Op {
        Op::Cas { key: "k".into(), from: Value::Int(1), to: Value::Int(2) }
    }

    fn read() -> Op {
        Op::Read { key: "k".into(), level: ReadLevel::Strong }
    }

    #[test]
    fn an_absent_key_reads_as_nil_and_a_present_one_as_its_value() {
        let nothing = json!({ "header": {}, "count": "0" });
        assert_eq!(learn(&read(), &nothing), Outcome::Ok(Ret::Value(Value::Nil)));
        let seven = json!({ "header": {}, "kvs": [{ "key": "aw==", "value": packed("7") }] });
        assert_eq!(learn(&read(), &seven), Outcome::Ok(Ret::Value(Value::Int(7))));
    }

    #[test]
    fn a_compare_and_set_that_did_not_match_says_what_it_found() {
        let found = json!({ "kvs": [{ "key": "aw==", "value": packed("5") }] });
        let lost = json!({ "header": {}, "responses": [{ "response_range": found }] });
        let actual = Some(Value::Int(5));
        assert_eq!(learn(&cas(), &lost), Outcome::Fail(Reason::Mismatch { actual }));
        let won = json!({ "header": {}, "succeeded": true, "responses": [{ "response_put": {} }] });
        assert_eq!(learn(&cas(), &won), Outcome::Ok(Ret::Done));
    }

    #[test]
    fn only_a_request_that_was_not_begun_has_failed() {
        let said = |words: &str| of_error(&json!({ "error": words, "code": 14 }));
        for words in REFUSALS {
            assert!(matches!(said(words), Outcome::Fail(_)), "{words}");
        }
        for words in [
            "etcdserver: request timed out",
            "etcdserver: leader changed",
            "etcdserver: no leader",
            "context deadline exceeded",
        ] {
            assert!(matches!(said(words), Outcome::Info(_)), "{words}");
        }
        let strange = learn(&read(), &json!("hello"));
        assert!(matches!(strange, Outcome::Info(_)), "{strange:?}");
    }

    #[test]
    fn serializable_reads_are_asked_for_where_they_are_wanted_and_of_replicas() {
        let asks = |level, reads| {
            let op = Op::Read { key: "k".into(), level };
            question(&op, reads).unwrap().1["serializable"] == true
        };
        assert!(!asks(ReadLevel::Strong, Reads::Linearizable));
        assert!(asks(ReadLevel::Strong, Reads::Serializable));
        assert!(asks(ReadLevel::Replica, Reads::Linearizable));
    }

    #[test]
    fn a_node_leads_where_it_names_itself() {
        let said = |leader: &str| {
            let header = json!({ "member_id": "11" });
            let answer =
                json!({ "header": header, "leader": leader, "raftTerm": "4", "raftIndex": "9" });
            status_of(&answer).map(|status| (status.role, status.term))
        };
        assert_eq!(said("11"), Some((Role::Leader, 4)));
        assert_eq!(said("12"), Some((Role::Follower, 4)));
        assert_eq!(said("0"), Some((Role::Candidate, 4)));
        assert_eq!(status_of(&json!({ "error": "busy" })), None);
    }
}

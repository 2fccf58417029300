//! redis: a master, replicas, and beside each node a sentinel. Clients ask the sentinel of their node for the master
//! before each operation, as careful as a client can be.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{NodeId, Op, OpKind, Outcome, ReadLevel, Reason, Ret, Value};
use redis::{Connection, RedisError};

use super::{OnThread, Process, Program, Server, Turn, Waiting, text_of, value_of};
use crate::real::site::Site;
use crate::sim::{ClientSpec, NodeStatus, Role};
use crate::system::{Claim, Client, Manifest, Settings, Timing};

pub(super) const PROGRAMS: &[Program] = &[Program {
    name: "redis-server",
    install: ["apt-get install redis-server", "dnf install redis"],
}];

const REDIS: u16 = 6379;
const SENTINEL: u16 = 26379;
/// What sentinels call the master.
const NAME: &str = "stormglass";

const OPERATION: Duration = Duration::from_secs(1);
/// How long a client waits for a connection, and for an answer: of the sentinel, and then of the master.
const WAIT: Duration = Duration::from_millis(450);
const STATUS: Duration = Duration::from_millis(200);

/// The codes of errors with which redis turns down a command before it changes anything.
const REFUSALS: [&str; 7] =
    ["READONLY", "MISCONF", "LOADING", "MASTERDOWN", "NOREPLICAS", "OOM", "BUSY"];

/// Compares and sets; an absent key is the empty text.
const CAS: &str = "local held = redis.call('GET', KEYS[1])
if held == ARGV[1] or (not held and ARGV[1] == '') then
    if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2]) end
    return {1, held}
end
return {0, held}";

pub(super) fn build(settings: &Settings) -> Result<Box<dyn Server>, String> {
    match settings.keys().next() {
        None => Ok(Box::new(RedisSentinel)),
        Some(name) => Err(format!("`{name}` is no setting of redis-sentinel, which has none")),
    }
}

struct RedisSentinel;

impl Server for RedisSentinel {
    fn manifest(&self, _nemeses: &[String]) -> Manifest {
        let breaks = [Guarantee::Linearizable, Guarantee::Durable];
        let mut claims = breaks.map(|guarantee| (guarantee, Claim::Breaks)).to_vec();
        let holds = [Guarantee::Convergent, Guarantee::Live];
        claims.extend(holds.map(|guarantee| (guarantee, Claim::Holds)));
        Manifest {
            name: "redis-sentinel".to_owned(),
            about: "redis, whose master does not wait for its replicas".to_owned(),
            nodes: (3, 9),
            ops: OpKind::REGISTER.to_vec(),
            claims,
            replica_claims: Vec::new(),
            timing: Timing {
                // A second of silence, an election among sentinels, and the promotion.
                failover: Duration::from_secs(4),
                // Sentinels leave a master that has come back alone for some ten seconds.
                converge: Duration::from_secs(30),
                operation: OPERATION,
            },
        }
    }

    fn prepare(&self, site: &Site, node: NodeId) -> io::Result<()> {
        let first = site.address(NodeId(1));
        let own = site.address(node);
        let follows =
            if node.0 == 1 { String::new() } else { format!("replicaof {first} {REDIS}\n") };
        let disk = site.disk(node);
        std::fs::write(
            disk.join("redis.conf"),
            format!(
                "port {REDIS}\nbind {own}\nprotected-mode no\nappendonly yes\nsave \"\"\n\
                 repl-timeout 5\nrepl-ping-replica-period 1\nrepl-diskless-sync-delay 0\n{follows}"
            ),
        )?;
        let quorum = site.nodes / 2 + 1;
        std::fs::write(
            disk.join("sentinel.conf"),
            format!(
                "port {SENTINEL}\nbind {own}\nprotected-mode no\n\
                 sentinel monitor {NAME} {first} {REDIS} {quorum}\n\
                 sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n"
            ),
        )
    }

    fn processes(&self, site: &Site, node: NodeId) -> Vec<Process> {
        let file = |name: &str| site.disk(node).join(name).display().to_string();
        let sentinel = vec![file("sentinel.conf"), "--sentinel".to_owned()];
        vec![
            Process { program: "redis-server", arguments: vec![file("redis.conf")] },
            Process { program: "redis-server", arguments: sentinel },
        ]
    }

    fn client(&self, site: &Arc<Site>, spec: ClientSpec) -> Box<dyn Client> {
        OnThread::boxed(Session {
            turn: Turn::new(site, spec),
            site: site.clone(),
            connections: BTreeMap::new(),
        })
    }

    fn status(&self, site: &Site, node: NodeId) -> Option<NodeStatus> {
        let own = site.address(node);
        let mut sentinel = connect(own, SENTINEL, STATUS).ok()?;
        let said: BTreeMap<String, String> =
            redis::cmd("SENTINEL").arg("MASTER").arg(NAME).query(&mut sentinel).ok()?;
        let mut redis = connect(own, REDIS, STATUS).ok()?;
        let info: String = redis::cmd("INFO").arg("replication").query(&mut redis).ok()?;
        Some(status_of(&said, &info, own, site.nodes))
    }
}

/// Connects to a port of a node; every answer then comes within the same time.
fn connect(address: Ipv4Addr, port: u16, wait: Duration) -> Result<Connection, RedisError> {
    let client = redis::Client::open((address.to_string(), port))?;
    let connection = client.get_connection_with_timeout(wait)?;
    connection.set_read_timeout(Some(wait))?;
    connection.set_write_timeout(Some(wait))?;
    Ok(connection)
}

struct Session {
    turn: Turn,
    site: Arc<Site>,
    /// Those that were in order when they were used last.
    connections: BTreeMap<(Ipv4Addr, u16), Connection>,
}

impl Waiting for Session {
    fn invoke(&mut self, op: &Op) -> Outcome {
        let outcome = match self.master_for(op) {
            Some(address) => self.ask(address, op),
            // No master is known: nothing was asked of any.
            None => Outcome::Fail(Reason::Unavailable),
        };
        self.turn.after(&outcome);
        outcome
    }
}

impl Session {
    /// Where an operation is done: at the master that the sentinel of the node names, or at the node itself.
    fn master_for(&mut self, op: &Op) -> Option<Ipv4Addr> {
        let home = self.site.address(self.turn.node);
        if let Op::Read { level: ReadLevel::Replica, .. } = op {
            return Some(home);
        }
        let mut sentinel = self.connection(home, SENTINEL).ok()?;
        let asked = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(NAME)
            .query::<Option<(String, String)>>(&mut sentinel);
        let (address, _) = asked.ok()??;
        self.connections.insert((home, SENTINEL), sentinel);
        address.parse().ok()
    }

    /// The connection that there is, or a new one. It is kept again where it was of use.
    fn connection(&mut self, address: Ipv4Addr, port: u16) -> Result<Connection, RedisError> {
        match self.connections.remove(&(address, port)) {
            Some(connection) => Ok(connection),
            None => connect(address, port, WAIT),
        }
    }

    fn ask(&mut self, address: Ipv4Addr, op: &Op) -> Outcome {
        let mut redis = match self.connection(address, REDIS) {
            Ok(redis) => redis,
            // The operation was not sent.
            Err(_) => return Outcome::Fail(Reason::Refused),
        };
        let Some(answer) = perform(&mut redis, op) else {
            return Outcome::Fail(Reason::Unsupported);
        };
        match answer {
            Ok(outcome) => {
                self.connections.insert((address, REDIS), redis);
                outcome
            }
            // A connection with an error on it is not used again: a late answer may come.
            Err(error) if error.is_timeout() => Outcome::Info(Reason::Timeout),
            Err(error) => of_error(error.code(), &error.to_string()),
        }
    }
}

/// Does an operation; none that is not offered.
fn perform(redis: &mut Connection, op: &Op) -> Option<Result<Outcome, RedisError>> {
    let key = op.key().as_str();
    let done = |_: redis::Value| Outcome::Ok(Ret::Done);
    Some(match op {
        Op::Read { .. } => {
            let held = redis::cmd("GET").arg(key).query::<Option<String>>(redis);
            held.map(|held| Outcome::Ok(Ret::Value(value_of_any(held))))
        }
        Op::Write { value: Value::Nil, .. } | Op::Delete { .. } => {
            redis::cmd("DEL").arg(key).query(redis).map(done)
        }
        Op::Write { value, .. } => {
            redis::cmd("SET").arg(key).arg(text_of(value)).query(redis).map(done)
        }
        Op::Cas { from, to, .. } => {
            let text = |value: &Value| match value {
                Value::Nil => String::new(),
                value => text_of(value),
            };
            let mut script = redis::cmd("EVAL");
            script.arg(CAS).arg(1).arg(key).arg(text(from)).arg(text(to));
            script.query::<(i64, Option<String>)>(redis).map(|(set, held)| match set {
                1 => Outcome::Ok(Ret::Done),
                _ => Outcome::Fail(Reason::Mismatch { actual: Some(value_of_any(held)) }),
            })
        }
        _ => return None,
    })
}

fn value_of_any(held: Option<String>) -> Value {
    held.map_or(Value::Nil, |text| value_of(&text))
}

/// What an error says: a command that was turned down has failed, of every other it is not known.
fn of_error(code: Option<&str>, words: &str) -> Outcome {
    match code {
        Some("READONLY") => Outcome::Fail(Reason::NotLeader),
        Some(code) if REFUSALS.contains(&code) => Outcome::Fail(Reason::Other(words.into())),
        _ => Outcome::Info(Reason::Other(words.into())),
    }
}

/// What a node is: by what its sentinel says of the master, and what it says itself.
fn status_of(
    sentinel: &BTreeMap<String, String>,
    info: &str,
    own: Ipv4Addr,
    nodes: u32,
) -> NodeStatus {
    let says = |field: &str| sentinel.get(field).map_or("", String::as_str);
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let of_info = |field: &str| {
        let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
        lines.find(|(name, _)| *name == field).map_or("", |(_, value)| value)
    };
    let others = u64::from(nodes) - 1;
    let knows_all =
        number(says("num-other-sentinels")) == others && number(says("num-slaves")) == others;
    let is_named = says("ip") == own.to_string();
    let role = match of_info("role") {
        "master" if is_named && knows_all => Role::Leader,
        "slave" if knows_all && of_info("master_link_status") == "up" => Role::Follower,
        _ => Role::Candidate,
    };
    let (term, applied) = (number(says("config-epoch")), number(of_info("master_repl_offset")));
    NodeStatus { role, term, applied, restoring: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_that_was_turned_down_has_failed() {
        for code in REFUSALS {
            assert!(matches!(of_error(Some(code), "no"), Outcome::Fail(_)), "{code}");
        }
        for code in [Some("ERR"), Some("UNKILLABLE"), None] {
            assert!(matches!(of_error(code, "broken pipe"), Outcome::Info(_)), "{code:?}");
        }
        assert_eq!(of_error(Some("READONLY"), ""), Outcome::Fail(Reason::NotLeader));
    }

    #[test]
    fn a_node_leads_where_its_sentinel_names_it_and_it_takes_itself_for_the_master() {
        let own = Ipv4Addr::new(10, 77, 0, 1);
        let says = |ip: &str, sentinels: &str| {
            let said = [
                ("ip", ip),
                ("config-epoch", "3"),
                ("num-other-sentinels", sentinels),
                ("num-slaves", "2"),
            ];
            said.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        let role = |said: &BTreeMap<String, String>, info: &str| status_of(said, info, own, 3).role;
        let master = "# Replication\r\nrole:master\r\nmaster_repl_offset:7\r\n";
        let replica = "role:slave\r\nmaster_link_status:up\r\n";
        assert_eq!(role(&says("10.77.0.1", "2"), master), Role::Leader);
        assert_eq!(role(&says("10.77.0.2", "2"), replica), Role::Follower);
        // A master that was replaced and does not know it yet, and what has not found the others.
        assert_eq!(role(&says("10.77.0.2", "2"), master), Role::Candidate);
        assert_eq!(role(&says("10.77.0.1", "1"), master), Role::Candidate);
        assert_eq!(
            role(&says("10.77.0.2", "2"), "role:slave\r\nmaster_link_status:down\r\n"),
            Role::Candidate
        );
        assert_eq!(status_of(&says("10.77.0.1", "2"), master, own, 3).applied, 7);
    }
}

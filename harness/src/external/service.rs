//! What nodes may ask besides each other: stores of keys, and a counter.
//!
//! `lin-kv` has one state, and whoever asks it is answered from that. `seq-kv` remembers its last states, and answers
//! what changes nothing from any of them that is not older than what its caller has seen. `lww-kv` is two replicas that
//! are put together now and then; of two values of a key, the later one stays, by a clock of Lamport.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use checkers::history::NodeId;
use serde_json::{Value as Json, json};

use crate::seed::Stream;

/// The services there are.
pub(super) const SERVICES: &[&str] = &["lin-kv", "seq-kv", "lww-kv", "lin-tso"];

/// How many states `seq-kv` remembers.
const STATES_MAX: usize = 32;
/// How many requests of each node are remembered, so that a copy is answered as the request was.
const ANSWERED_MAX: usize = 10_000;

/// Who asked, at which start of its process, and for the how manieth time.
pub(super) type Asked = (NodeId, u64, u64);

/// What one store holds, by key, which may be any JSON.
type State = BTreeMap<String, Json>;

/// What the services hold in one run.
#[derive(Default)]
pub(super) struct Services {
    lin: State,
    seq: Sequential,
    lww: [Replica; 2],
    /// How often the time was told.
    told: u64,
    /// What was answered to requests that may come again, by who asked.
    answered: BTreeMap<NodeId, Answered>,
    /// The nodes whose processes run, through which services are reached.
    pub(super) running: BTreeSet<NodeId>,
    /// Who was last seen to lead.
    leader: Option<NodeId>,
    /// How often that was another than before.
    terms: u64,
}

impl Services {
    /// Answers a request; one that no service knows has no answer, and one that comes again has the one that it had.
    pub(super) fn serve(
        &mut self,
        (node, start, number): Asked,
        service: &str,
        body: &Json,
        random: &mut Stream,
    ) -> Option<Json> {
        if let Some(answer) = self.answered.entry(node).or_default().again(&(start, number)) {
            return answer;
        }
        let reply = match service {
            "lin-tso" => self.tell_time(body),
            "seq-kv" => self.seq.serve(node, body, random),
            "lww-kv" => serve_replicas(&mut self.lww, body, random),
            _ => {
                let (reply, change) = act(&self.lin, body)?;
                self.lin.extend(change);
                Some(reply)
            }
        };
        let answer = reply.map(|mut reply| {
            if !body["msg_id"].is_null() {
                reply["in_reply_to"] = body["msg_id"].clone();
            }
            reply
        });
        self.answered.entry(node).or_default().note((start, number), answer.clone());
        answer
    }

    /// A node is seen to lead: in which term, where it is not known for the leader yet.
    pub(super) fn leads(&mut self, node: NodeId) -> Option<u64> {
        if self.leader.replace(node) == Some(node) {
            return None;
        }
        self.terms += 1;
        Some(self.terms)
    }

    /// A node does not run any more.
    pub(super) fn stop(&mut self, node: NodeId) {
        self.running.remove(&node);
        self.leader.take_if(|leader| *leader == node);
    }

    fn tell_time(&mut self, body: &Json) -> Option<Json> {
        let time = self.told;
        if body["type"] != "ts" {
            return Some(unknown(body));
        }
        self.told += 1;
        Some(json!({"type": "ts_ok", "ts": time}))
    }
}

/// What was answered to the last requests of one node, by the start of its process and their number.
#[derive(Default)]
struct Answered(BTreeMap<(u64, u64), Option<Json>>);

impl Answered {
    /// What was answered to a request, if it comes again. One that is older than all that are remembered may have come
    /// before: it is answered nothing, as if the network had lost it, for nothing may be done twice.
    fn again(&self, request: &(u64, u64)) -> Option<Option<Json>> {
        let is_forgotten = || {
            let oldest = self.0.first_key_value().filter(|_| self.0.len() >= ANSWERED_MAX);
            oldest.is_some_and(|(oldest, _)| request < oldest).then_some(None)
        };
        self.0.get(request).cloned().or_else(is_forgotten)
    }

    fn note(&mut self, request: (u64, u64), answer: Option<Json>) {
        self.0.insert(request, answer);
        if self.0.len() > ANSWERED_MAX {
            self.0.pop_first();
        }
    }
}

/// What a request is answered that a service does not know.
fn unknown(body: &Json) -> Json {
    let text = format!("there is no request {}", body["type"]);
    json!({"type": "error", "code": 10, "text": text})
}

/// What a request is answered by a state, and what it puts there.
fn act(state: &State, body: &Json) -> Option<(Json, Option<(String, Json)>)> {
    let kind = body["type"].as_str().unwrap_or_default();
    let fields: &[&str] = match kind {
        "read" => &["key"],
        "write" => &["key", "value"],
        "cas" if body["create_if_not_exists"] == true => &["key", "to"],
        "cas" => &["key", "from", "to"],
        _ => return Some((unknown(body), None)),
    };
    if let Some(field) = fields.iter().find(|field| body.get(field).is_none()) {
        let text = format!("a {kind} has a `{field}`");
        return Some((json!({"type": "error", "code": 12, "text": text}), None));
    }
    let key = body["key"].to_string();
    let missing = || json!({"type": "error", "code": 20, "text": "there is no such key"});
    Some(match (kind, state.get(&key)) {
        ("read", None) => (missing(), None),
        ("read", Some(value)) => (json!({"type": "read_ok", "value": value}), None),
        ("write", _) => (json!({"type": "write_ok"}), Some((key, body["value"].clone()))),
        ("cas", None) if body["create_if_not_exists"] != true => (missing(), None),
        ("cas", Some(held)) if *held != body["from"] => {
            let text = format!("expected {}, but there is {held}", body["from"]);
            (json!({"type": "error", "code": 22, "text": text}), None)
        }
        ("cas", _) => (json!({"type": "cas_ok"}), Some((key, body["to"].clone()))),
        _ => return None,
    })
}

/// `seq-kv`: one order of states, in which no caller goes back.
struct Sequential {
    /// The number of the first state that is remembered.
    first: u64,
    /// The states from that on, of which there is always one.
    states: VecDeque<State>,
    /// The state that each caller has seen last.
    seen: BTreeMap<NodeId, u64>,
}

impl Default for Sequential {
    fn default() -> Sequential {
        Sequential { first: 0, states: VecDeque::from([State::new()]), seen: BTreeMap::new() }
    }
}

impl Sequential {
    fn serve(&mut self, caller: NodeId, body: &Json, random: &mut Stream) -> Option<Json> {
        let newest = self.first + self.states.len() as u64 - 1;
        let seen = self.seen.get(&caller).copied().unwrap_or(0).max(self.first);
        let at = random.between(seen, newest);
        let (reply, change) = act(&self.states[(at - self.first) as usize], body)?;
        let is_idle = change.as_ref().is_none_or(|(key, value)| {
            self.states[(at - self.first) as usize].get(key) == Some(value)
        });
        if is_idle {
            self.seen.insert(caller, at);
            return Some(reply);
        }
        // What changes something does so to the newest state, where it may do nothing after all.
        let (reply, change) = act(&self.states[(newest - self.first) as usize], body)?;
        let Some((key, value)) = change else {
            self.seen.insert(caller, newest);
            return Some(reply);
        };
        let mut state = self.states.back().cloned().unwrap_or_default();
        state.insert(key, value);
        self.states.push_back(state);
        self.seen.insert(caller, newest + 1);
        if self.states.len() > STATES_MAX {
            self.states.pop_front();
            self.first += 1;
        }
        Some(reply)
    }
}

/// One replica of `lww-kv`.
#[derive(Clone, Default)]
struct Replica {
    clock: u64,
    /// Values and when they were written.
    held: BTreeMap<String, (u64, Json)>,
}

fn serve_replicas(replicas: &mut [Replica; 2], body: &Json, random: &mut Stream) -> Option<Json> {
    let from = replicas[random.below(2) as usize].clone();
    let into = &mut replicas[random.below(2) as usize];
    into.clock = into.clock.max(from.clock);
    for (key, (at, value)) in from.held {
        if into.held.get(&key).is_none_or(|(held, _)| *held <= at) {
            into.held.insert(key, (at, value));
        }
    }
    let replica = &mut replicas[random.below(2) as usize];
    let mut body = body.clone();
    body["create_if_not_exists"] = false.into();
    let values = replica.held.iter().map(|(key, (_, value))| (key.clone(), value.clone()));
    let (reply, change) = act(&values.collect(), &body)?;
    replica.clock += 1;
    let at = replica.clock;
    replica.held.extend(change.map(|(key, value)| (key, (at, value))));
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_request_that_comes_again_is_not_done_again_however_many_came_in_between() {
        let mut services = Services::default();
        let mut random = Seed(0).stream("service");
        let mut ask = |node, number, body: &Json| {
            services.serve((NodeId(node), 0, number), "lin-kv", body, &mut random)
        };
        let write = |value: u32| json!({"type": "write", "key": "k", "value": value, "msg_id": 1});
        let read = json!({"type": "read", "key": "k"});
        let done = Some(json!({"type": "write_ok", "in_reply_to": 1}));
        let is = |value: u32| Some(json!({"type": "read_ok", "value": value}));
        assert_eq!(ask(1, 1, &write(5)), done);
        for number in 1..=2 * ANSWERED_MAX as u64 {
            ask(2, number, &write(6));
        }
        assert_eq!(ask(1, 1, &write(5)), done, "others do not make it forgotten");
        assert_eq!(ask(1, 2, &read), is(6));
        for number in 3..=2 * ANSWERED_MAX as u64 {
            ask(1, number, &read);
        }
        assert_eq!(ask(1, 1, &write(5)), None, "it may have come before");
        assert_eq!(ask(2, u64::MAX, &read), is(6));
    }
}

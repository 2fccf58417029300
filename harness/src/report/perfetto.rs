//! A run for Perfetto, in the trace event format that it reads: clients, nodes and faults as tracks, operations as
//! slices, messages as arrows.
//!
//! Times in that format are microseconds; the digits after the point keep the nanoseconds.

use std::collections::BTreeMap;

use checkers::Anomaly;
use checkers::history::{Event, FaultEdge, History, Operation, Outcome, Time};
use serde_json::{Value, json};

use super::escape;
use super::timeline;
use crate::sim::Role;
use crate::trace::{Happening, Place, Trace};

const CLIENTS: u32 = 1;
const NODES: u32 = 2;
const FAULTS: u32 = 3;
/// Where the tracks begin that show who leads.
const ROLES: u32 = 1000;

/// The whole of a run, as JSON. Without a trace there are no messages in it.
pub fn json(history: &History, trace: Option<&Trace>, anomalies: &[&Anomaly]) -> String {
    let end = history.events().last().map_or(Time::ZERO, |(at, _)| at);
    let mut events = Events { all: Vec::new(), end };
    for (process, name) in [(CLIENTS, "clients"), (NODES, "nodes"), (FAULTS, "faults")] {
        events.name("process_name", (process, 0), name);
    }
    events.operations(history, anomalies);
    events.faults(history);
    for anomaly in anomalies {
        let name = format!("{}: {}", anomaly.guarantee, anomaly.name);
        let told = escape::line(&anomaly.explanation.join("; "));
        events.instant((FAULTS, 0), anomaly.at, &name, "g", json!({ "explanation": told }));
    }
    if let Some(trace) = trace {
        events.messages(trace);
        events.nodes(trace);
    }
    let document = json!({ "displayTimeUnit": "ms", "traceEvents": events.all });
    document.to_string()
}

struct Events {
    all: Vec<Value>,
    end: Time,
}

/// A moment in microseconds.
fn micros(at: Time) -> Value {
    json!(at.as_nanos() as f64 / 1000.0)
}

impl Events {
    fn name(&mut self, what: &str, (process, thread): (u32, u32), name: &str) {
        let name = escape::line(name);
        self.all.push(json!({
            "ph": "M", "name": what, "pid": process, "tid": thread, "args": { "name": name },
        }));
    }

    fn slice(
        &mut self,
        (process, thread): (u32, u32),
        from: Time,
        to: Time,
        name: &str,
        more: Value,
    ) {
        let lasts = to.since(from).as_nanos() as f64 / 1000.0;
        self.all.push(json!({
            "ph": "X", "name": escape::line(name), "pid": process, "tid": thread,
            "ts": micros(from), "dur": lasts, "args": more,
        }));
    }

    fn instant(
        &mut self,
        (process, thread): (u32, u32),
        at: Time,
        name: &str,
        scope: &str,
        more: Value,
    ) {
        self.all.push(json!({
            "ph": "i", "name": escape::line(name), "pid": process, "tid": thread, "ts": micros(at),
            "s": scope, "args": more,
        }));
    }

    fn operations(&mut self, history: &History, anomalies: &[&Anomaly]) {
        let mut named = BTreeMap::new();
        for operation in history.operations() {
            let Operation { id, session, invoked_at, completed_at, .. } = operation;
            let thread = (CLIENTS, session.0);
            if named.insert(session, ()).is_none() {
                self.name("thread_name", thread, &format!("client {session}"));
            }
            let shown = timeline::show(history, None, operation);
            let outcome = match operation.outcome {
                Some(Outcome::Ok(_)) => "ok",
                Some(Outcome::Fail(_)) => "fail",
                Some(Outcome::Info(_)) => "info",
                None => "never ended",
            };
            let proves = anomalies.iter().filter(|one| one.witness.operations.contains(&id));
            let proves: Vec<String> =
                proves.map(|one| format!("{}: {}", one.guarantee, one.name)).collect();
            let more = json!({
                "operation": id, "process": operation.process, "node": shown.node,
                "outcome": outcome, "learned": escape::line(&shown.outcome), "proves": proves,
            });
            let to = completed_at.unwrap_or(self.end);
            self.slice(thread, invoked_at, to, &shown.operation, more);
        }
    }

    fn faults(&mut self, history: &History) {
        let mut begun = BTreeMap::new();
        for (at, event) in history.events() {
            match event {
                Event::Fault(event) if event.edge == FaultEdge::Begin => {
                    begun.insert(event.fault, (at, event));
                }
                Event::Fault(event) => {
                    if let Some((from, event)) = begun.remove(&event.fault) {
                        self.fault(from, at, event);
                    }
                }
                Event::Phase(phase) => {
                    let name = format!("phase: {phase:?}").to_lowercase();
                    self.instant((FAULTS, 0), at, &name, "g", json!({}));
                }
                Event::Invoke(_) | Event::Complete(_) => {}
            }
        }
        for (_, (from, event)) in begun {
            self.fault(from, self.end, event);
        }
    }

    fn fault(&mut self, from: Time, to: Time, event: &checkers::history::FaultEvent) {
        // Faults overlap: each has a track of its own.
        let thread = (FAULTS, event.fault.0 + 1);
        self.name("thread_name", thread, &format!("fault {}", event.fault));
        let name = format!("{} {}", event.kind, event.what);
        self.slice(thread, from, to, &name, json!({ "fault": event.fault }));
    }

    /// Messages as arrows between the moments at which they are sent and received.
    fn messages(&mut self, trace: &Trace) {
        let mut kinds = BTreeMap::new();
        for event in trace {
            let track = track(event.place);
            let (number, name, end) = match &event.what {
                Happening::Sent(sent) => {
                    let kind = sent.kind.clone().unwrap_or_else(|| "message".to_owned());
                    kinds.insert(sent.message, kind.clone());
                    (sent.message, format!("send {kind} to {}", sent.to), "s")
                }
                Happening::Received { message, from } => {
                    let kind = kinds.get(message).map_or("message", |kind| kind);
                    (*message, format!("receive {kind} from {from}"), "f")
                }
                Happening::Lost { message, to, why } => {
                    let name = format!("lost, to {to}: {why}");
                    self.instant(track, event.at, &name, "t", json!({ "message": message }));
                    continue;
                }
                _ => continue,
            };
            let more = json!({ "message": number });
            self.slice(track, event.at, event.at, &name, more);
            self.all.push(json!({
                "ph": end, "bp": "e", "id": number, "cat": "message", "name": "message",
                "pid": track.0, "tid": track.1, "ts": micros(event.at),
            }));
        }
    }

    /// What happened to nodes, and from when to when each took itself for a leader.
    fn nodes(&mut self, trace: &Trace) {
        let mut leading: BTreeMap<u32, (Time, u64)> = BTreeMap::new();
        let mut named = BTreeMap::new();
        for event in trace {
            let Place::Node(node) = event.place else { continue };
            if named.insert(node, ()).is_none() {
                self.name("thread_name", (NODES, node.0), &format!("n{node}"));
                self.name("thread_name", (NODES, ROLES + node.0), &format!("n{node} leads"));
            }
            let track = (NODES, node.0);
            let leads = match &event.what {
                Happening::Role { role: Role::Leader, term } => Some((event.at, *term)),
                Happening::Role { .. } | Happening::Stops { .. } => None,
                Happening::Starts | Happening::Note { .. } | Happening::Reaches { .. } => {
                    self.instant(track, event.at, &event.what.to_string(), "t", json!({}));
                    continue;
                }
                _ => continue,
            };
            self.instant(track, event.at, &event.what.to_string(), "t", json!({}));
            if let Some((from, term)) = leading.remove(&node.0) {
                self.leads(node.0, from, event.at, term);
            }
            if let Some(leads) = leads {
                leading.insert(node.0, leads);
            }
        }
        for (node, (from, term)) in leading {
            self.leads(node, from, self.end.max(from), term);
        }
    }

    fn leads(&mut self, node: u32, from: Time, to: Time, term: u64) {
        let name = format!("leader in term {term}");
        self.slice((NODES, ROLES + node), from, to, &name, json!({ "term": term }));
    }
}

/// The track of a place.
fn track(place: Place) -> (u32, u32) {
    match place {
        Place::Node(node) => (NODES, node.0),
        Place::Client(session) => (CLIENTS, session.0),
        Place::Operator => (NODES, 0),
    }
}

//! What a failure is, in a few words and a short hash.
//!
//! The *kind* is known of every failing run: the system with its settings, the guarantee, and the published name
//! of the anomaly. Two causes can have it in common. The *shape* tells them apart, and only a shrunk run has
//! one, because only there everything that is left is needed: the faults in their order, each with what the
//! nodes that it hit were just then, and what the clients did whose operations prove the anomaly.
//!
//! Two campaigns are compared by kinds, and where both have a shape, by shapes: one that is not known is new, although
//! its kind is known. A run of which nothing can be left out is not the only smallest one, and another seed with the
//! same cause may at times end in another shape; so campaigns that are to be compared by shapes shrink with a budget
//! that is not spent, over the same seeds, and a baseline may have several shapes of a kind.
//!
//! Left out is what differs between two seeds with one cause: times, keys, values, numbers of nodes and of
//! clients, how many followers were on a side, how often the same was done in a row, whether a key was written by
//! a write or by a compare-and-set, and the workload and plan that made it happen.

use std::collections::BTreeMap;
use std::fmt;

use checkers::history::{
    Event, FaultEdge, FaultEvent, NodeId, OpKind, Outcome, Reason, SessionId, Time,
};
use checkers::{Anomaly, Guarantee};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::run::Report;
use crate::shrink::Failure;
use crate::sim::Role;
use crate::trace::{Happening, TraceEvent};

/// How many digits of a hash are shown.
const DIGITS: usize = 8;

/// What is known of a failure before its run is shrunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// The system, with the settings that its plan gives it.
    pub system: String,
    /// What clients did.
    pub workload: String,
    /// The guarantee that is broken.
    pub guarantee: Guarantee,
    /// The name of the anomaly.
    pub anomaly: String,
}

/// What a shrunk run has of a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The faults in their order: `partition leader | follower`.
    pub faults: Vec<String>,
    /// What each client did of what proves the anomaly: `read, write`; where no operation proves it, what is said
    /// of it, without its numbers.
    pub clients: Vec<String>,
}

/// What a failure is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// What is known of every failing run.
    pub kind: Kind,
    /// What is known of a shrunk one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

impl Kind {
    /// The kind of a failure of a plan's runs.
    pub fn of(plan: &Plan, failure: &Failure) -> Kind {
        let Failure { guarantee, anomaly } = failure.clone();
        let (system, workload) = (system_of(plan), plan.workload.clone());
        Kind { system, workload, guarantee, anomaly }
    }

    /// Whether runs of a plan can have it.
    pub fn is_of(&self, plan: &Plan) -> bool {
        self.system == system_of(plan) && self.workload == plan.workload
    }

    /// The failure that it is.
    pub fn failure(&self) -> Failure {
        Failure { guarantee: self.guarantee, anomaly: self.anomaly.clone() }
    }

    /// Its hash, as eight digits.
    pub fn id(&self) -> String {
        let Kind { system, workload, guarantee, anomaly } = self;
        hash(&[system.as_str(), workload, guarantee.name(), anomaly])
    }
}

/// A plan's system with its settings: `raft (reads = "lease")`.
pub(crate) fn system_of(plan: &Plan) -> String {
    let settings = plan.settings.iter().map(|(name, value)| format!("{name} = {value}"));
    let settings = settings.collect::<Vec<_>>().join(", ");
    if settings.is_empty() { plan.system.clone() } else { format!("{} ({settings})", plan.system) }
}

impl Signature {
    /// Its hash: that of the kind, and after a `-` that of the shape, where there is one. Two
    /// signatures of one kind begin alike.
    pub fn id(&self) -> String {
        match &self.shape {
            None => self.kind.id(),
            Some(shape) => format!("{}-{}", self.kind.id(), shape.id()),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { system, workload, guarantee, anomaly } = &self.kind;
        write!(f, "{system}, {workload}: ")?;
        if guarantee.name() == anomaly {
            f.write_str(anomaly)?;
        } else {
            write!(f, "{anomaly} of {guarantee}")?;
        }
        self.shape.iter().try_for_each(|shape| write!(f, "; {shape}"))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { faults, clients } = self;
        let faults =
            if faults.is_empty() { "no faults".to_owned() } else { faults.join(", then ") };
        write!(f, "under {faults}")?;
        if clients.is_empty() { Ok(()) } else { write!(f, "; {}", clients.join(" / ")) }
    }
}

impl Shape {
    /// The shape of a failure in a shrunk run. The run has its trace with it: without one, nobody is
    /// known to lead.
    pub fn of(report: &Report, anomaly: &Anomaly) -> Shape {
        let clients = match clients(report, anomaly) {
            clients if clients.is_empty() => anomaly.explanation.iter().map(|s| plain(s)).collect(),
            clients => clients,
        };
        Shape { faults: faults(report), clients }
    }

    fn id(&self) -> String {
        let Shape { faults, clients } = self;
        let lists = [faults, clients]
            .map(|list| hash(&list.iter().map(String::as_str).collect::<Vec<_>>()));
        hash(&[lists[0].as_str(), lists[1].as_str()])
    }
}

/// The first digits of the hash of some words, each with its length, so that no two lists have the same.
fn hash(words: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

/// The faults of a run in the order in which they began. The same twice in a row counts as one.
fn faults(report: &Report) -> Vec<String> {
    let begun = report.history.events().filter_map(|(at, event)| match event {
        Event::Fault(FaultEvent { edge: FaultEdge::Begin, kind, what, .. }) => {
            Some((at, kind, what))
        }
        _ => None,
    });
    let trace = report.trace.as_deref().unwrap_or_default();
    let words = begun.map(|(at, kind, what)| {
        let sides = sides(what, &standing(trace, at));
        format!("{kind} {sides}").trim_end().to_owned()
    });
    let mut words: Vec<String> = words.collect();
    words.dedup();
    words
}

/// What nodes are at a moment.
struct Standings {
    roles: BTreeMap<NodeId, &'static str>,
    /// Whether any node ever leads: otherwise nodes have no roles.
    has_leaders: bool,
}

impl Standings {
    fn of(&self, node: NodeId) -> &'static str {
        if !self.has_leaders {
            return "node";
        }
        self.roles.get(&node).copied().unwrap_or("follower")
    }
}

/// What nodes are just before a moment.
fn standing(trace: &[TraceEvent], moment: Time) -> Standings {
    let leads =
        |event: &TraceEvent| matches!(event.what, Happening::Role { role: Role::Leader, .. });
    let mut standings = Standings { roles: BTreeMap::new(), has_leaders: trace.iter().any(leads) };
    for TraceEvent { place, what, .. } in trace.iter().take_while(|event| event.at < moment) {
        let Some(node) = place.node() else { continue };
        let role = match what {
            Happening::Role { role: Role::Leader, .. } => "leader",
            // Whether a node asks for votes just then is a matter of chance.
            Happening::Role { .. } | Happening::Starts => "follower",
            Happening::Stops { .. } => "stopped",
            _ => continue,
        };
        standings.roles.insert(node, role);
    }
    standings
}

/// What a fault says it hits, `n1 | n2 n3`, with roles instead of nodes: `leader | follower`.
fn sides(what: &str, standings: &Standings) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut side: Vec<&str> = Vec::new();
    for word in what.split([' ', ',']) {
        let number = word.strip_prefix('n').and_then(|number| number.parse().ok());
        if let Some(number) = number {
            side.push(standings.of(NodeId(number)));
        } else if ["|", "-/->", "clients", "add", "remove", "replace"].contains(&word) {
            end_side(&mut words, &mut side);
            words.push(word);
        }
    }
    end_side(&mut words, &mut side);
    words.join(" ")
}

/// Adds each role that there is on a side once, leaders first.
fn end_side<'a>(words: &mut Vec<&'a str>, side: &mut Vec<&'a str>) {
    side.sort_by_key(|role| (*role != "leader", *role));
    side.dedup();
    words.append(side);
}

/// What each client did of what proves an anomaly, each list once, in alphabetical order.
fn clients(report: &Report, anomaly: &Anomaly) -> Vec<String> {
    let mut clients: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for id in &anomaly.witness.operations {
        let operation = report.history.operation(*id);
        // A compare-and-set is what it came to.
        let kind = match report.history.op(*id).kind() {
            OpKind::Cas => OpKind::Write.name(),
            kind => kind.name(),
        };
        let words = match operation.outcome {
            Some(Outcome::Ok(_)) => kind.to_owned(),
            Some(Outcome::Fail(Reason::Mismatch { .. })) => OpKind::Read.name().to_owned(),
            Some(Outcome::Fail(_)) => format!("{kind} that fails"),
            Some(Outcome::Info(_)) | None => format!("{kind} of unknown outcome"),
        };
        clients.entry(operation.session).or_default().push(words);
    }
    let lists = clients.into_values().map(|mut words| {
        words.dedup();
        words.join(", ")
    });
    let mut lists: Vec<String> = lists.collect();
    lists.sort();
    lists.dedup();
    lists
}

/// A sentence without its numbers, and so without the times and nodes in it.
fn plain(sentence: &str) -> String {
    let mut out = String::new();
    for c in sentence.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out.replace("#.#", "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(leaders: &[u32]) -> Standings {
        let roles = leaders.iter().map(|node| (NodeId(*node), "leader")).collect();
        Standings { roles, has_leaders: !leaders.is_empty() }
    }

    #[test]
    fn nodes_are_told_apart_by_their_roles_and_not_by_their_numbers() {
        assert_eq!(sides("n1 | n2 n3", &standings(&[1])), "leader | follower");
        assert_eq!(sides("n3 | n1 n2 n4 n5", &standings(&[3])), "leader | follower");
        assert_eq!(sides("n2 n3 -/-> n1", &standings(&[2])), "leader follower -/-> follower");
        assert_eq!(sides("clients | n4", &standings(&[])), "clients | node");
        assert_eq!(sides("n2 by +40 ms", &standings(&[2])), "leader");
        assert_eq!(sides("ring n3 n1 n2", &standings(&[1])), "leader follower");
    }

    #[test]
    fn a_sentence_is_the_same_at_another_time_and_another_node() {
        let plain = |text| super::plain(text);
        assert_eq!(
            plain("at 1.250s node n3 panicked: 7 of 9"),
            plain("at 12s node n1 panicked: 8 of 3")
        );
        assert_ne!(plain("node n3 panicked: full"), plain("node n3 panicked: empty"));
    }

    #[test]
    fn words_that_run_together_have_another_hash() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["ab", "c"]).len(), DIGITS);
    }
}

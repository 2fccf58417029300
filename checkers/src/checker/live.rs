//! Liveness: once all faults have been undone, operations succeed again within the time that the
//! run gives them: some that write and some that do not, and some of every kind that is often tried. Every node that clients
//! often turn to answers, each kind that it is often asked for, if only to refuse. Where one answers none of a kind that it is
//! seldom asked for, what was judged says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Checker;
use super::txn::only_reads;
use super::words::sentence;
use crate::history::{
    EventIndex, History, NodeId, Op, OpKind, Operation, OperationId, Outcome, Phase, Reason, Time,
};
use crate::verdict::{Anomaly, Coverage, Guarantee, Verdict, Witness};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Live;

/// How often a kind of operation has to be tried in vain until that is no chance.
const OF_A_KIND: usize = 5;

impl Live {
    /// How often a node has to be asked in vain until it counts as silent.
    pub const AT_A_NODE: usize = 4;
    /// How often of these in the second half of the time.
    pub const LATE_AT_A_NODE: usize = 2;
}

impl Checker for Live {
    fn check(&self, history: &History) -> Verdict {
        let mut coverage =
            Coverage { method: "successes after the last fault".into(), ..Coverage::default() };
        let Some((began, since)) = history.phase_began(Phase::Liveness) else {
            let reason = "the history has no liveness phase".to_owned();
            return Verdict::Unknown { reason, coverage };
        };
        let mut after = tried_after(history, began);
        // The state that its session had seen is lost: no progress makes up for that.
        after.retain(|operation| !operation.lost_its_session());
        coverage.operations = after.len();
        coverage.keys = history.key_count();
        if after.is_empty() {
            let reason =
                "after the last fault was undone no operation began that could succeed".to_owned();
            return Verdict::Unknown { reason, coverage };
        }
        let mut anomalies = Vec::new();
        for writes in [false, true] {
            let of_sort = |operation: &&Operation<'_>| operation.op.kind().writes() == writes;
            let tried: Vec<OperationId> =
                after.iter().filter(of_sort).map(|operation| operation.id).collect();
            let any_ok = after.iter().filter(of_sort).any(|operation| operation.was_served());
            if !tried.is_empty() && !any_ok {
                let sort = if writes {
                    "operation that writes".to_owned()
                } else {
                    kinds(history, &tried)
                };
                let since = format!("all faults had been undone at {since}");
                anomalies.push(no_progress(history, &tried, &sort, &since));
            } else {
                anomalies.extend(kinds_without_progress(history, &after, writes));
            }
        }
        if anomalies.is_empty() {
            let Silence { proved, open } = silent_nodes(history, &after, since);
            anomalies = proved;
            coverage.open = open;
        }
        if anomalies.is_empty() {
            Verdict::Valid(coverage)
        } else {
            Verdict::Invalid { anomalies, coverage }
        }
    }
}

/// A kind of operation: whether it changes anything differs between transactions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    kind: OpKind,
    changes: bool,
}

impl Sort {
    fn of(history: &History, operation: &Operation<'_>) -> Sort {
        let kind = operation.op.kind();
        let changes = match operation.op {
            Op::Txn { body, .. } => !only_reads(history.value(body)),
            _ => kind.writes(),
        };
        Sort { kind, changes }
    }
}

/// Operations by their kinds.
fn by_sort<'a>(
    history: &History,
    operations: impl Iterator<Item = &'a Operation<'a>>,
) -> BTreeMap<Sort, Vec<&'a Operation<'a>>> {
    let mut sorts: BTreeMap<Sort, Vec<&Operation<'_>>> = BTreeMap::new();
    operations.for_each(|one| sorts.entry(Sort::of(history, one)).or_default().push(one));
    sorts
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match (self.kind, self.changes) {
            (OpKind::Txn, true) => f.write_str(" that writes"),
            (OpKind::Txn, false) => f.write_str(" that only reads"),
            _ => Ok(()),
        }
    }
}

/// What is often tried and never succeeds although others do, of those kinds that write or of those that do not. Before
/// the first of these succeeded, nobody was served.
fn kinds_without_progress(
    history: &History,
    after: &[Operation<'_>],
    writes: bool,
) -> Vec<Anomaly> {
    let of_sort = || after.iter().filter(|operation| operation.op.kind().writes() == writes);
    let served = of_sort().filter(|operation| operation.was_served());
    let ends = served.filter_map(|served| Some((served.completed?, served.completed_at?)));
    let Some((first, at)) = ends.min() else { return Vec::new() };
    let since = format!("others were served again at {at}");
    let tried = of_sort().filter(|operation| operation.was_served() || operation.invoked > first);
    let without = by_sort(history, tried).into_iter().filter(|(_, tried)| {
        tried.len() >= OF_A_KIND && !tried.iter().any(|operation| operation.was_served())
    });
    let anomaly = |(sort, tried): (Sort, Vec<&Operation<'_>>)| {
        let tried: Vec<OperationId> = tried.iter().map(|operation| operation.id).collect();
        no_progress(history, &tried, &sort.to_string(), &since)
    };
    without.map(anomaly).collect()
}

/// What is known of nodes that do not answer.
struct Silence {
    proved: Vec<Anomaly>,
    /// Of one that did not answer, and was asked too seldom to say that it does not.
    open: Option<String>,
}

/// Nodes that answer nobody of those who turn to them, or nobody who asks for one kind of operation, also when they have
/// had some time. One that refuses may have its reasons, as followers have.
fn silent_nodes(history: &History, after: &[Operation<'_>], since: Time) -> Silence {
    let mut silence = Silence { proved: Vec::new(), open: None };
    let Some(last) = after.last() else { return silence };
    let half = since + last.invoked_at.since(since) / 2;
    let mut judge = |node: NodeId, asked: &[&Operation<'_>], of: &str| {
        if asked.iter().any(|asked| was_answered(asked)) {
            return false;
        }
        let plural = if asked.len() == 1 { "" } else { "s" };
        let words = format!("n{node} answered none of {} operation{plural}{of}", asked.len());
        let late = asked.iter().filter(|operation| operation.invoked_at > half).count();
        let is_proved = asked.len() >= Live::AT_A_NODE && late >= Live::LATE_AT_A_NODE;
        if is_proved {
            let last = asked.iter().max_by_key(|operation| operation.invoked);
            let last = last.expect("nobody is silent who was not asked");
            let until = end_of(last);
            let words =
                format!("all faults had been undone at {since}; from then to {until} node {words}");
            silence.proved.push(in_vain(history, "node-silent", **last, words));
        } else {
            silence.open.get_or_insert(format!("{words}, too few to judge it by"));
        }
        is_proved
    };
    let nodes: BTreeSet<NodeId> = after.iter().filter_map(|operation| operation.node).collect();
    for node in nodes {
        let at_node = after.iter().filter(|operation| operation.node == Some(node));
        let all: Vec<&Operation<'_>> = at_node.clone().collect();
        if !judge(node, &all, "") {
            for (sort, asked) in by_sort(history, at_node) {
                judge(node, &asked, &format!(" of the kind {sort}"));
            }
        }
    }
    silence
}

/// Whether somebody said something, if only that nobody knows what came of it.
fn was_answered(operation: &Operation<'_>) -> bool {
    !matches!(operation.outcome, None | Some(Outcome::Info(Reason::Timeout)))
}

/// Nothing succeeds of what is tried, since something that is told.
fn no_progress(history: &History, tried: &[OperationId], sort: &str, since: &str) -> Anomaly {
    let last = history.operation(*tried.last().expect("something was tried"));
    let until = end_of(&last);
    let words = format!(
        "{since}; from then to {until} not one {sort} succeeded, of {} that were tried",
        tried.len()
    );
    in_vain(history, "no-progress", last, words)
}

/// When an operation was over, or was begun where it never was.
fn end_of(operation: &Operation<'_>) -> Time {
    operation.completed_at.unwrap_or(operation.invoked_at)
}

fn in_vain(history: &History, name: &str, last: Operation<'_>, words: String) -> Anomaly {
    let explanation = vec![words, format!("the last of them: {}", sentence(history, &last))];
    Anomaly {
        name: name.to_owned(),
        guarantee: Guarantee::Live,
        at: end_of(&last),
        key: None,
        witness: Witness { operations: vec![last.id], faults: Vec::new() },
        contrast: None,
        explanation,
    }
}

/// What operations were of: "read", "read or poll".
fn kinds(history: &History, operations: &[OperationId]) -> String {
    let kinds = operations.iter().map(|id| history.operation(*id).op.kind().name());
    kinds.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" or ")
}

/// What clients tried after an event and before the final reads. In what the system does not offer, it
/// cannot fail.
pub(super) fn tried_after(history: &History, after: EventIndex) -> Vec<Operation<'_>> {
    let end = history.phase_began(Phase::Final).map(|(event, _)| event);
    history
        .operations()
        .filter(|operation| operation.invoked > after)
        .filter(|operation| end.is_none_or(|end| operation.invoked < end))
        .filter(|operation| !operation.is_unsupported())
        .collect()
}

//! What happened in a run, in sentences: who led when, what faults did, and on whose word each operation was
//! answered.
//!
//! That a node had others agree before it answered cannot be seen from outside, but that it cannot have had
//! is: if no message came back to it between the request and the answer from a node that may have known of
//! the request, it answered on its own word. Who may have known is whoever a chain of messages leads to from the
//! request on (Lamport's "happened before").

use std::collections::{BTreeMap, BTreeSet};

use checkers::Anomaly;
use checkers::brief::{op_in_short, steps};
use checkers::history::{
    Event, FaultEdge, FaultEvent, NodeId, Op, Operation, Outcome, Reason, Ret, SessionId, Time,
    ValueId,
};
use serde::{Deserialize, Serialize};

use crate::run::{Effect, Report};
use crate::sim::Role;
use crate::system::System;
use crate::trace::{Happening, Loss, Place, TraceEvent};

/// Of a run with more operations, only those are told that prove the anomaly.
const OPERATIONS_MAX: usize = 30;

/// A sentence of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentence {
    /// When what it tells happened.
    pub at: Time,
    /// What happened.
    pub words: String,
}

/// Tells how an anomaly of a run of a system came about, in the order of time. Nothing where the run has no trace.
pub fn tell(system: &dyn System, report: &Report, anomaly: &Anomaly) -> Vec<Sentence> {
    let Some(trace) = &report.trace else { return Vec::new() };
    let end = end_of(report, anomaly);
    let (answered, others): (Vec<_>, Vec<_>) = told(report, anomaly)
        .partition(|told| matches!(told.outcome, Some(Outcome::Ok(_) | Outcome::Fail(_))));
    let operations = |told: Vec<_>| told.into_iter().map(|told| of_operation(report, trace, told));
    // Of what happens at one moment, answers come first, which left before it, and then faults: they are why.
    let mut story: Vec<Sentence> = operations(answered).collect();
    story.extend(faults(report));
    // In a large run, rare states are many, and about other operations than those that are told.
    let tells_marks = tells_all(report);
    let is_told =
        |event: &&TraceEvent| tells_marks || !matches!(event.what, Happening::Reaches { .. });
    story.extend(trace.iter().filter(is_told).filter_map(|event| of_node(system, event)));
    story.extend(leaders(trace, system.has_one_leader()));
    story.extend(operations(others));
    story.retain(|sentence| sentence.at <= end);
    story.sort_by_key(|sentence| sentence.at);
    if let Some(last) = anomaly.explanation.last() {
        story.push(Sentence { at: end, words: last.clone() });
    }
    story
}

/// When all is there that proves an anomaly.
pub(crate) fn end_of(report: &Report, anomaly: &Anomaly) -> Time {
    let witness = anomaly.witness.operations.iter().map(|id| report.history.operation(*id));
    let ends = witness.filter_map(|operation| operation.completed_at);
    ends.fold(anomaly.at, Time::max)
}

/// Who takes itself for a leader, from when to when; and who does so as well, where only one is to.
fn leaders(trace: &[TraceEvent], has_one: bool) -> Vec<Sentence> {
    let mut leading: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut story = Vec::new();
    for TraceEvent { at, place, what } in trace {
        let Some(node) = place.node() else { continue };
        let words = match what {
            Happening::Role { role: Role::Leader, term } => {
                let others = leading.iter().filter(|(other, _)| has_one && **other != node);
                let does = if others.clone().count() == 1 { "does" } else { "do" };
                let others = list(others.map(|(other, term)| format!("n{other} (term {term})")));
                leading.insert(node, *term);
                let also =
                    if others.is_empty() { others } else { format!(", and so {does} {others}") };
                format!("n{node} takes itself for a leader (term {term}){also}")
            }
            Happening::Role { .. } if leading.remove(&node).is_some() => {
                format!("n{node} no longer takes itself for a leader")
            }
            Happening::Stops { .. } => {
                leading.remove(&node);
                continue;
            }
            _ => continue,
        };
        story.push(Sentence { at: *at, words });
    }
    story
}

/// What happened to a node as a process.
fn of_node(system: &dyn System, event: &TraceEvent) -> Option<Sentence> {
    let TraceEvent { at, place, what } = event;
    let words = match what {
        Happening::Starts if *at > Time::ZERO => format!("{place} starts again"),
        Happening::Reaches { mark } => match system.mark_in_words(mark) {
            Some(words) => format!("{place} {words}"),
            None => format!("{place} {what}"),
        },
        Happening::Stops { .. } | Happening::Note { .. } => format!("{place} {what}"),
        _ => return None,
    };
    Some(Sentence { at: *at, words })
}

/// What faults begin to do, and what they have done at their end.
fn faults(report: &Report) -> Vec<Sentence> {
    let sentence = |(at, event)| {
        let Event::Fault(FaultEvent { fault, edge, kind, what }) = event else { return None };
        let words = match edge {
            FaultEdge::Begin => format!("fault {fault} begins: {kind} {what}"),
            FaultEdge::End => {
                let effect = report.effects.iter().find(|effect| effect.fault == *fault);
                let did = effect.map_or_else(String::new, of_effect);
                format!("fault {fault} ends: {kind} {what}{did}")
            }
        };
        Some(Sentence { at, words })
    };
    report.history.events().filter_map(sentence).collect()
}

fn of_effect(effect: &Effect) -> String {
    let counts = [
        (effect.dropped, "kept from being delivered"),
        (effect.delayed, "made late"),
        (effect.copied, "delivered twice"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts = list(counts.map(|(count, what)| match count {
        1 => format!("1 message was {what}"),
        _ => format!("{count} messages were {what}"),
    }));
    if counts.is_empty() { counts } else { format!("; {counts}") }
}

/// Whether a run is small enough to be told whole.
fn tells_all(report: &Report) -> bool {
    report.history.operation_count() <= OPERATIONS_MAX
}

/// The operations that are told: all where they are few.
fn told<'a>(report: &'a Report, anomaly: &'a Anomaly) -> impl Iterator<Item = Operation<'a>> {
    let tells_all = tells_all(report);
    let witness = &anomaly.witness.operations;
    report.history.operations().filter(move |told| tells_all || witness.contains(&told.id))
}

/// What was asked and answered.
fn of_operation(report: &Report, trace: &[TraceEvent], operation: Operation<'_>) -> Sentence {
    let history = &report.history;
    let Operation { process, invoked_at, completed_at, outcome, .. } = operation;
    let at = completed_at.unwrap_or(invoked_at);
    let word = word(trace, operation.session, invoked_at, at);
    let op = history.op(operation.id);
    let shown = |value: ValueId| match (&op, history.value(value)) {
        (Op::Txn { .. }, body) => steps(body, None),
        (_, value) => value.to_string(),
    };
    let answering = word.as_ref().map(|word| word.node);
    let first = first_asked(trace, operation.session, invoked_at, at);
    let node = first.or(operation.node).or(answering);
    let asked = node.map_or_else(|| "the store".to_owned(), |node| format!("n{node}"));
    // Whoever is asked first may know who is to be asked instead.
    let by = answering.filter(|answering| node != Some(*answering));
    let by = by.map_or_else(String::new, |node| format!(" by n{node}"));
    let told = words_of(outcome, &by, shown);
    let why = match outcome {
        Some(Outcome::Ok(_)) => word.map(|word| word.to_words(invoked_at)),
        // It got an answer, which says why.
        Some(Outcome::Fail(_)) => None,
        Some(Outcome::Info(_)) | None => wait(trace, operation.session, invoked_at, at),
    };
    let why = why.unwrap_or_default();
    let op = match op {
        Op::Txn { .. } => op_in_short(&op, None),
        op => op.to_string(),
    };
    let words =
        format!("process {process}, which asked {asked} at {invoked_at} to `{op}`, {told}{why}");
    Sentence { at, words }
}

/// What a client was told, and by whom where that does not go without saying: ` by n3`.
fn words_of(
    outcome: Option<&Outcome<ValueId>>,
    by: &str,
    value: impl Fn(ValueId) -> String,
) -> String {
    match outcome {
        None => "never learns what came of it".to_owned(),
        Some(Outcome::Ok(Ret::Done)) => format!("is told{by} that it is done"),
        Some(Outcome::Ok(Ret::Value(id))) => format!("is told{by}: {}", value(*id)),
        Some(Outcome::Fail(Reason::Mismatch { actual: Some(id) })) => {
            format!("is told{by} that the key holds {}", value(*id))
        }
        Some(Outcome::Fail(reason)) => format!("is told{by} that it did not happen ({reason})"),
        Some(Outcome::Info(Reason::Other(_))) => "does not learn whether it happened".to_owned(),
        Some(Outcome::Info(reason)) => format!("does not learn whether it happened ({reason})"),
    }
}

/// On whose word an operation was answered.
struct Word {
    /// Who answered.
    node: NodeId,
    /// When it was asked, first of all since it last answered.
    asked: Time,
    /// Who had let it hear something by then, and may have known of the request; with the kinds of that, as they came.
    heard: BTreeMap<NodeId, Vec<String>>,
    /// To whom it had sent something by then.
    told: BTreeSet<NodeId>,
    /// To whom it had sent something by then that was lost, and why.
    lost: BTreeMap<NodeId, Loss>,
    /// Who may have known of the request, and had sent it something that was lost, and why.
    unheard: BTreeMap<NodeId, Loss>,
}

impl Word {
    /// On whose word an operation was answered that `began` then, in a clause. A client that learns nothing asks again.
    fn to_words(&self, began: Time) -> String {
        let Word { node, asked, heard, .. } = self;
        let asked = (*asked > began).then(|| format!(", asked again at {asked},"));
        let asked = asked.unwrap_or_default();
        let words = if heard.is_empty() {
            format!(
                "; n{node}{asked} answered on its own word: it had heard from no other node that can have known of \
                 that request"
            )
        } else {
            let heard = self.heard();
            format!(
                "; n{node}{asked} had heard from {heard} by then, which can have known of that request"
            )
        };
        words + &self.lost()
    }

    /// The same of a request that was not answered: for whom its node waits.
    fn to_wait(&self) -> String {
        let silent = self.told.iter().filter(|to| !self.heard.contains_key(to));
        let silent = list(silent.map(|to| format!("n{to}")));
        let heard = match self.heard.is_empty() {
            true => String::new(),
            false => format!(" had heard since from {} and", self.heard()),
        };
        let waited = match (silent.is_empty(), heard.is_empty()) {
            (false, _) => format!("waited for {silent}"),
            (true, false) => "waited for no other node".to_owned(),
            (true, true) => "told no other node of it".to_owned(),
        };
        let words = format!("; n{}, which it asked last,{heard} {waited}", self.node);
        words + &self.lost()
    }

    fn heard(&self) -> String {
        list(self.heard.iter().map(|(from, kinds)| match &kinds[..] {
            [] => format!("n{from}"),
            kinds => format!("n{from} ({})", kinds.join(", ")),
        }))
    }

    fn lost(&self) -> String {
        let named = |nodes: &BTreeMap<NodeId, Loss>| {
            list(nodes.iter().map(|(node, why)| format!("n{node} ({why})")))
        };
        let (lost, unheard) = (named(&self.lost), named(&self.unheard));
        let mut words = String::new();
        if !lost.is_empty() {
            words.push_str(&format!("; what it sent was lost on its way to {lost}"));
        }
        if !unheard.is_empty() {
            words.push_str(&format!("; what was sent to it was lost on its way from {unheard}"));
        }
        words
    }
}

/// The node that answered a client between two moments; none where nobody answered.
pub(crate) fn answering(
    trace: &[TraceEvent],
    session: SessionId,
    from: Time,
    to: Time,
) -> Option<NodeId> {
    word(trace, session, from, to).map(|word| word.node)
}

/// What happened between two moments.
fn during(trace: &[TraceEvent], from: Time, to: Time) -> &[TraceEvent] {
    let begin = trace.partition_point(|event| event.at < from);
    let end = trace.partition_point(|event| event.at <= to);
    &trace[begin..end]
}

/// The node that a client turned to first between two moments; none where that is not in the trace.
fn first_asked(trace: &[TraceEvent], session: SessionId, from: Time, to: Time) -> Option<NodeId> {
    let client = Place::Client(session);
    let mut asked = during(trace, from, to).iter().filter(|event| event.place == client);
    asked.find_map(|event| match &event.what {
        Happening::Sent(sent) => sent.to.node(),
        _ => None,
    })
}

/// Finds out on whose word a client was answered between two moments. Nothing where nobody answered.
fn word(trace: &[TraceEvent], session: SessionId, from: Time, to: Time) -> Option<Word> {
    let client = Place::Client(session);
    let during = during(trace, from, to);
    let last = during.iter().rposition(|event| {
        event.place == client && matches!(event.what, Happening::Received { .. })
    })?;
    let Happening::Received { from: answering, message: answer } = during[last].what else {
        return None;
    };
    let node = answering.node()?;
    // What is on its way to the client after the answer has left says nothing of the answer.
    let answered = during
        .iter()
        .position(|event| matches!(&event.what, Happening::Sent(sent) if sent.message == answer))?;
    let before = &during[..answered];
    let is_of_node = |event: &TraceEvent| event.place == answering;
    // An answer before that one, such as that nobody leads yet, was the end of what was asked before it.
    let is_answer = |event: &TraceEvent| {
        is_of_node(event) && matches!(&event.what, Happening::Sent(sent) if sent.to == client)
    };
    let open = before.iter().rposition(is_answer).map_or(0, |previous| previous + 1);
    let asks = |event: &TraceEvent| {
        event.place == client
            && matches!(&event.what, Happening::Sent(sent) if sent.to == answering)
    };
    let first = before[open..].iter().position(asks).map(|place| open + place);
    let asked = first.or_else(|| before.iter().rposition(asks))?;
    // What it took up between its decision and that moment does not, either.
    let decides = |event: &TraceEvent| {
        is_of_node(event) && matches!(event.what, Happening::Decides { to } if to == client)
    };
    let since = open.max(asked);
    let decided = before[since..].iter().rposition(decides);
    let end = decided.map_or(answered, |place| since + place);
    let word = follow(&during[asked..end], node);
    if !word.heard.is_empty() {
        return Some(word);
    }
    // It may know of the request since it was asked before, or somebody else was.
    let is_first =
        |event: &TraceEvent| event.place == client && matches!(event.what, Happening::Sent(_));
    let first = during.iter().position(is_first).unwrap_or(asked);
    Some(Word { asked: word.asked, ..follow(&during[first..end], node) })
}

/// Finds out for what a client waited in vain between two moments: who did not answer, or whom the node that
/// it had asked last had turned to and not heard from since. Nothing where it asked nobody.
fn wait(trace: &[TraceEvent], session: SessionId, from: Time, to: Time) -> Option<String> {
    let client = Place::Client(session);
    let during = during(trace, from, to);
    let request = |event: &TraceEvent| match &event.what {
        Happening::Sent(sent) if event.place == client => Some((sent.message, sent.to.node()?)),
        _ => None,
    };
    let asked = during.iter().rposition(|event| request(event).is_some())?;
    let (message, node) = request(&during[asked])?;
    let during = &during[asked..];
    let fate = during.iter().find_map(|event| match &event.what {
        Happening::Received { message: received, .. } if *received == message => Some(None),
        Happening::Lost { message: lost, why, .. } if *lost == message => Some(Some(*why)),
        _ => None,
    });
    let words = match fate {
        None => format!("; n{node}, which it asked last, did not take that up"),
        Some(Some(why)) => format!("; what it asked n{node} last was lost ({why})"),
        Some(None) => follow(during, node).to_wait(),
    };
    Some(words)
}

/// Follows a request, which is the first of some events, up to the last of them.
fn follow(events: &[TraceEvent], node: NodeId) -> Word {
    let mut word = Word {
        node,
        asked: events.first().map_or(Time::ZERO, |event| event.at),
        told: BTreeSet::new(),
        heard: BTreeMap::new(),
        lost: BTreeMap::new(),
        unheard: BTreeMap::new(),
    };
    let mut knowing: BTreeSet<Place> =
        events.first().map(|event| event.place).into_iter().collect();
    let mut telling: BTreeMap<u64, Option<&str>> = BTreeMap::new();
    for TraceEvent { place, what, .. } in events {
        match what {
            Happening::Sent(sent) if knowing.contains(place) => {
                telling.insert(sent.message, sent.kind.as_deref());
                let to = sent.to.node().filter(|_| place.node() == Some(node));
                word.told.extend(to);
            }
            Happening::Received { message, from } => {
                let Some(kind) = telling.get(message) else { continue };
                knowing.insert(*place);
                if let Some(from) = from.node().filter(|_| place.node() == Some(node)) {
                    let kinds = word.heard.entry(from).or_default();
                    let new = kind.filter(|kind| !kinds.iter().any(|known| known == kind));
                    kinds.extend(new.map(str::to_owned));
                }
            }
            Happening::Lost { message, to, why } if telling.contains_key(message) => {
                if let Some(to) = to.node().filter(|_| place.node() == Some(node)) {
                    word.lost.insert(to, *why);
                } else if let Some(from) = place.node().filter(|_| to.node() == Some(node)) {
                    word.unheard.insert(from, *why);
                }
            }
            _ => {}
        }
    }
    word
}

/// Some words as a list: `a, b and c`.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match &items[..] {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

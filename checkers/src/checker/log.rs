//! Logs: what was sent has one offset, and whoever polls from before it finds it there. (The anomalies of Jepsen's
//! checker for Kafka, by its names where it has one; Kingsbury, "Redpanda 21.10.1", 2022.)
//!
//! Offsets may have gaps, and a poll may end anywhere: a message is lost to a poll only where the poll has something
//! after it. Only the polls at the end, when the replicas have had their time, have to show everything that was
//! acknowledged before they began, from where they were asked to begin.
//!
//! Whether a later commit of a lower offset counts is up to the store: what it says was committed may be the last that
//! was committed, or the highest. It is held against what the session itself had committed, and in the end against all.
//! A message that is sent twice is not judged.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::Checker;
use super::findings::{Findings, but_who_failed};
use crate::brief::value_in_short;
use crate::history::{
    EventIndex, History, KeyId, NodeId, Op, Operation, OperationId, Phase, SessionId, Value,
    ValueId,
};
use crate::verdict::{Guarantee, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Checker for Log {
    fn check(&self, history: &History) -> Verdict {
        let mut found = Findings::new(history, Guarantee::Log, "each message and each poll", 0);
        let logs = Logs::read(history, &mut found);
        found.coverage.keys = logs.shown.keys().map(|(key, _)| key).collect::<BTreeSet<_>>().len();
        logs.judge_places(&mut found);
        for poll in &logs.polls {
            logs.judge_poll(&mut found, poll);
        }
        logs.judge_losses(&mut found);
        leave_silent_open(&mut found);
        judge_sends(&mut found);
        judge_committed(&mut found);
        found.into_verdict("no message was polled")
    }
}

/// One poll that was answered.
struct Poll<'a> {
    id: OperationId,
    key: KeyId,
    from: i64,
    /// In the order of the answer.
    messages: Vec<(i64, &'a Value)>,
}

impl Poll<'_> {
    fn highest(&self) -> Option<i64> {
        self.messages.iter().map(|(offset, _)| *offset).max()
    }

    fn offsets(&self) -> BTreeSet<i64> {
        self.messages.iter().map(|(offset, _)| *offset).collect()
    }
}

/// Who sent a message.
#[derive(Default)]
struct Senders {
    /// Those who did not fail.
    begun: Vec<OperationId>,
    failed: Option<OperationId>,
}

/// What a history says about its logs.
struct Logs<'a> {
    history: &'a History,
    senders: FxHashMap<(KeyId, &'a Value), Senders>,
    polls: Vec<Poll<'a>>,
    /// What each offset was first said to have, and by whom.
    shown: BTreeMap<(KeyId, i64), (&'a Value, OperationId)>,
    /// All that was ever said about what is where, in the order of operations.
    said: Vec<(KeyId, i64, &'a Value, OperationId)>,
    /// The offsets that a poll showed.
    polled: BTreeSet<(KeyId, i64)>,
}

impl<'a> Logs<'a> {
    fn read(history: &'a History, found: &mut Findings<'_>) -> Logs<'a> {
        let mut logs = Logs {
            history,
            senders: FxHashMap::default(),
            polls: Vec::new(),
            shown: BTreeMap::new(),
            said: Vec::new(),
            polled: BTreeSet::new(),
        };
        for operation in history.operations() {
            match operation.op {
                Op::Send { key, value } => logs.send(found, &operation, key, value),
                Op::Poll { key, from } => logs.poll(found, &operation, key, from),
                _ => {}
            }
        }
        logs
    }

    fn send(&mut self, found: &mut Findings<'_>, send: &Operation<'a>, key: KeyId, value: ValueId) {
        let message = self.history.value(value);
        let senders = self.senders.entry((key, message)).or_default();
        if send.has_failed() {
            senders.failed = senders.failed.or(Some(send.id));
        } else {
            senders.begun.push(send.id);
        }
        match send.value_read().map(|offset| self.history.value(offset)) {
            None => {}
            Some(Value::Int(offset)) => self.say(key, *offset, message, send.id),
            Some(other) => {
                let what = format!("{} is no offset", value_in_short(other));
                found.add("no-offset", &[send.id], what);
            }
        }
    }

    fn poll(&mut self, found: &mut Findings<'_>, poll: &Operation<'a>, key: KeyId, from: ValueId) {
        let Some(answer) = poll.value_read().map(|value| self.history.value(value)) else { return };
        let (Value::Int(from), Some(messages)) = (self.history.value(from), messages(answer))
        else {
            let what = format!("{} is no list of offsets and messages", value_in_short(answer));
            found.add("no-messages", &[poll.id], what);
            return;
        };
        found.coverage.operations += usize::from(!messages.is_empty());
        for (offset, message) in &messages {
            self.say(key, *offset, message, poll.id);
            self.polled.insert((key, *offset));
        }
        self.polls.push(Poll { id: poll.id, key, from: *from, messages });
    }

    fn say(&mut self, key: KeyId, offset: i64, message: &'a Value, by: OperationId) {
        self.shown.entry((key, offset)).or_insert((message, by));
        self.said.push((key, offset, message, by));
    }

    fn is_sent_twice(&self, key: KeyId, message: &'a Value) -> bool {
        self.senders.get(&(key, message)).is_some_and(|senders| senders.begun.len() > 1)
    }

    /// No offset has two messages, and no message two offsets.
    fn judge_places(&self, found: &mut Findings<'_>) {
        let mut places: FxHashMap<(KeyId, &Value), (i64, OperationId)> = FxHashMap::default();
        let mut told: BTreeSet<(KeyId, i64)> = BTreeSet::new();
        let mut told_twice: BTreeSet<(KeyId, &Value)> = BTreeSet::new();
        for (key, offset, message, by) in &self.said {
            let (first, shown_by) = self.shown[&(*key, *offset)];
            if first != *message && told.insert((*key, *offset)) {
                let [first, message] = [first, message].map(value_in_short);
                let conclusion = format!("offset {offset} has {first}, and has {message} as well");
                found.add("inconsistent-offset", &[shown_by, *by], conclusion);
            }
            let (place, placed_by) = *places.entry((*key, message)).or_insert((*offset, *by));
            let is_new = place != *offset && !self.is_sent_twice(*key, message);
            if is_new && told_twice.insert((*key, message)) {
                let message = value_in_short(message);
                let conclusion = format!(
                    "{message} was sent once, and has offset {place} and offset {offset} as well"
                );
                found.add("duplicate", &[placed_by, *by], conclusion);
            }
        }
    }

    /// A poll shows what was sent, in the order of offsets, from where it was to begin, and leaves nothing out.
    fn judge_poll(&self, found: &mut Findings<'_>, poll: &Poll<'_>) {
        let end = self.history.operation(poll.id).completed;
        let began = |id: &OperationId| Some(self.history.operation(*id).invoked) < end;
        let is_sent = |message: &Value| {
            let senders = self.senders.get(&(poll.key, message));
            senders.is_some_and(|senders| senders.begun.iter().any(began))
        };
        if let Some((offset, message)) = poll.messages.iter().find(|(_, message)| !is_sent(message))
        {
            let senders = self.senders.get(&(poll.key, *message));
            let failed = senders.and_then(|senders| senders.failed).filter(began);
            let conclusion = format!(
                "offset {offset} has {message}, which nobody had begun to send{}",
                but_who_failed(self.history, failed)
            );
            let proof: Vec<OperationId> = failed.into_iter().chain([poll.id]).collect();
            found.add("phantom-message", &proof, conclusion);
        }
        let mut last = poll.from - 1;
        for (offset, _) in &poll.messages {
            if *offset <= last {
                let conclusion = if last < poll.from {
                    format!("offset {offset} is before {}, from where was asked", poll.from)
                } else {
                    format!("offset {offset} comes after offset {last}")
                };
                found.add("nonmonotonic-poll", &[poll.id], conclusion);
                break;
            }
            last = *offset;
        }
    }

    /// What is known to be in a log is not passed over, and in the end it is there.
    fn judge_losses(&self, found: &mut Findings<'_>) {
        let history = self.history;
        let end = history.phase_began(Phase::Final).map(|(event, _)| event);
        let mut told: BTreeSet<(KeyId, i64, &str)> = BTreeSet::new();
        for poll in &self.polls {
            let (offsets, highest) = (poll.offsets(), poll.highest());
            let began = history.operation(poll.id).invoked;
            let is_last = end.is_some_and(|end| end < began);
            for ((key, offset), (message, by)) in
                self.shown.range((poll.key, poll.from)..=(poll.key, i64::MAX))
            {
                let is_passed = highest.is_some_and(|highest| *offset < highest);
                let was_there = history.operation(*by).completed.is_some_and(|end| end < began);
                if !is_passed && !is_last {
                    break;
                }
                if offsets.contains(offset) || !is_passed && !was_there {
                    continue;
                }
                let name = match (self.polled.contains(&(*key, *offset)), is_passed) {
                    (false, _) => "lost-write",
                    (true, true) => "poll-skip",
                    (true, false) => "unseen",
                };
                if !told.insert((*key, *offset, name)) {
                    continue;
                }
                let how = if is_passed { "passed over" } else { "in the end does not show" };
                let message = value_in_short(message);
                let conclusion =
                    format!("the poll from {} {how} offset {offset}, {message}", poll.from);
                let nobody = if name == "lost-write" { "; nobody ever polled it" } else { "" };
                found.add(name, &[*by, poll.id], conclusion + nobody);
            }
        }
    }
}

/// A node that does not say in the end what it holds may have lost it.
fn leave_silent_open(found: &mut Findings<'_>) {
    let history = found.history;
    let Some((end, _)) = history.phase_began(Phase::Final) else { return };
    let mut asked: BTreeMap<(NodeId, KeyId), bool> = BTreeMap::new();
    for poll in history.operations().filter(|poll| poll.invoked > end) {
        if let (Op::Poll { key, .. }, Some(node)) = (poll.op, poll.node) {
            *asked.entry((node, key)).or_default() |= poll.is_ok();
        }
    }
    if let Some(((node, key), _)) = asked.into_iter().find(|(_, is_answered)| !is_answered) {
        let key = history.key(key);
        found.leave_open(format!("node n{node} did not say what it holds of {key} in the end"));
    }
}

/// The offsets and messages of an answer, if it is one.
fn messages(answer: &Value) -> Option<Vec<(i64, &Value)>> {
    let Value::List(messages) = answer else { return None };
    messages.iter().map(message).collect()
}

fn message(message: &Value) -> Option<(i64, &Value)> {
    let Value::List(parts) = message else { return None };
    let [Value::Int(offset), message] = &parts[..] else { return None };
    Some((*offset, message))
}

/// What a session sends later is later in the log.
fn judge_sends(found: &mut Findings<'_>) {
    let history = found.history;
    let mut last: FxHashMap<(KeyId, SessionId), (i64, Operation<'_>)> = FxHashMap::default();
    for send in history.operations() {
        let (Op::Send { key, .. }, Some(offset)) = (send.op, send.value_read()) else { continue };
        let Value::Int(offset) = *history.value(offset) else { continue };
        let before = last.insert((key, send.session), (offset, send));
        let Some((earlier, before)) = before.filter(|(_, before)| before.precedes(&send)) else {
            continue;
        };
        if offset < earlier {
            let conclusion = format!(
                "session {} had offset {earlier} before, and then offset {offset}",
                send.session
            );
            found.add("nonmonotonic-send", &[before.id, send.id], conclusion);
        }
    }
}

/// What is said to be committed was committed, and is not older than what has to be known. Some stores say 0 where nothing
/// was committed: that is as much as nothing, for whoever goes on from there goes over everything.
fn judge_committed(found: &mut Findings<'_>) {
    let history = found.history;
    let end: Option<EventIndex> = history.phase_began(Phase::Final).map(|(event, _)| event);
    let mut commits: BTreeMap<KeyId, Vec<(Operation<'_>, &Value)>> = BTreeMap::new();
    for commit in history.operations().filter(|operation| !operation.has_failed()) {
        if let Op::Commit { key, offset } = commit.op {
            commits.entry(key).or_default().push((commit, history.value(offset)));
        }
    }
    for asked in history.operations() {
        let (Op::Committed { key }, Some(said)) = (asked.op, asked.value_read()) else { continue };
        let said = history.value(said);
        let of_key = commits.get(&key).map_or(&[][..], |of_key| of_key);
        let begun = |commit: &Operation<'_>| Some(commit.invoked) < asked.completed;
        let same: Vec<&Operation<'_>> = of_key
            .iter()
            .filter(|(commit, offset)| *offset == said && begun(commit))
            .map(|(commit, _)| commit)
            .collect();
        let says_something = ![Value::Nil, Value::Int(0)].contains(said);
        if says_something && same.is_empty() {
            let conclusion = format!("nobody had begun to commit {}", value_in_short(said));
            found.add("phantom-commit", &[asked.id], conclusion);
            continue;
        }
        let is_last = end.is_some_and(|end| end < asked.invoked);
        let must_know = |commit: &Operation<'_>| {
            commit.is_ok()
                && commit.precedes(&asked)
                && (is_last || commit.session == asked.session)
        };
        let missed = of_key.iter().find(|(commit, offset)| {
            must_know(commit) && *offset > said && same.iter().all(|other| other.precedes(commit))
        });
        if let Some((commit, offset)) = missed {
            let whose = if commit.session == asked.session { "its session" } else { "somebody" };
            let conclusion = format!(
                "{whose} had committed {offset} before, and was told so; {said} is older, and nobody \
                 committed that since"
            );
            found.add("lost-commit", &[commit.id, asked.id], conclusion);
        }
    }
}

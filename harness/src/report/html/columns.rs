//! A run as the explorer of the report reads it: a head of JSON, then columns of numbers, all of it packed.
//!
//! Numbers are written in groups of seven bits, the lowest first, with the eighth bit set on all but the last;
//! those that may be negative with their sign in the lowest bit. Moments are differences from the one before.
//! What was asked and learned is a number of a text; a text that was not there before says so, and others how
//! far back they came in. A million operations take about ten bytes each.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkers::Anomaly;
use checkers::brief::{steps, value_in_short};
use checkers::history::{
    Event, History, Op, OpKind, Operation, Outcome, Phase, Reason, Ret, SessionId, Time, Value,
    ValueId,
};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::messages::{self, Messages};
use super::picture::faults_of;
use super::svg::short;
use super::words::headline;
use crate::json;
use crate::report::escape;
use crate::trace::Trace;

/// More operations than these are cut down to those before and around the first anomaly.
const OPERATIONS_MAX: usize = 1_500_000;
/// Of so many operations on, times are in microseconds: the last digits would be half of the file.
const COARSE_FROM: usize = 200_000;
/// The longest text that is kept of a key, a value, a reason.
const TEXT_MAX: usize = 400;
/// More anomalies than these cannot be jumped to.
const ANOMALIES_MAX: usize = 2_000;

/// Numbers one after the other.
#[derive(Default)]
pub(super) struct Column(Vec<u8>);

impl Column {
    pub(super) fn push(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn push_signed(&mut self, number: i64) {
        self.push(((number << 1) ^ (number >> 63)) as u64);
    }
}

/// What is said once.
#[derive(Serialize)]
struct Head<'a> {
    /// How many nanoseconds a unit of time has.
    unit: u64,
    /// The last moment, in units.
    end: u64,
    /// The number of the first operation in the columns.
    first: usize,
    operations: usize,
    /// How many there are in all.
    of: usize,
    kinds: Vec<Kind>,
    keys: Vec<String>,
    sessions: Vec<SessionId>,
    nodes: Vec<u32>,
    faults: Vec<Fault>,
    phases: Vec<(Phase, u64)>,
    anomalies: Vec<Shown<'a>>,
    texts: usize,
    messages: usize,
    messages_of: usize,
    message_kinds: Vec<String>,
    places: Vec<String>,
    happenings: Vec<messages::Happened>,
    /// The name and the bytes of each column, in their order.
    columns: Vec<(&'static str, usize)>,
}

#[derive(Serialize)]
struct Kind {
    name: &'static str,
    writes: bool,
}

#[derive(Serialize)]
struct Fault {
    id: u32,
    kind: String,
    what: String,
    from: u64,
    to: Option<u64>,
    nodes: Vec<u32>,
}

#[derive(Serialize)]
struct Shown<'a> {
    guarantee: checkers::Guarantee,
    name: String,
    at: u64,
    operations: &'a [checkers::history::OperationId],
    sentence: String,
}

/// Packs a history, with its trace where there is one, into text of base64.
pub(super) fn pack(history: &History, trace: Option<&Trace>, anomalies: &[&Anomaly]) -> String {
    let count = history.operation_count();
    let unit = if count >= COARSE_FROM { 1_000 } else { 1 };
    let (first, shown) = window(history, anomalies);
    let mut columns = Columns::new(history, unit);
    for id in first..first + shown {
        columns.add(&history.operation(checkers::history::OperationId(id as u32)));
    }
    let around = anomalies.first().map(|anomaly| anomaly.at);
    let messages = Messages::of(trace, unit, around);
    let (head, columns) = head(history, (first, shown), anomalies, columns, messages);
    let head = json::compact(&head).expect("it is made of texts and numbers");
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::new(7));
    let written = packed.write_all(&(head.len() as u32).to_le_bytes()).and_then(|()| {
        packed.write_all(head.as_bytes())?;
        columns.iter().try_for_each(|(_, column)| packed.write_all(&column.0))
    });
    written
        .and_then(|()| packed.finish())
        .map(|bytes| STANDARD.encode(bytes))
        .expect("memory takes it")
}

/// The operations that are kept: all, or as many as can be before the end of the first anomaly.
fn window(history: &History, anomalies: &[&Anomaly]) -> (usize, usize) {
    let count = history.operation_count();
    if count <= OPERATIONS_MAX {
        return (0, count);
    }
    let at = anomalies.first().map_or(Time::from_nanos(u64::MAX), |anomaly| anomaly.at);
    let place = history.operations().take_while(|operation| operation.invoked_at <= at).count();
    let last = (place + OPERATIONS_MAX / 4).clamp(OPERATIONS_MAX, count);
    (last - OPERATIONS_MAX, OPERATIONS_MAX)
}

fn head<'a>(
    history: &History,
    (first, operations): (usize, usize),
    anomalies: &'a [&Anomaly],
    columns: Columns<'_>,
    messages: Messages,
) -> (Head<'a>, Vec<(&'static str, Column)>) {
    let unit = columns.unit;
    let units = |at: Time| at.as_nanos() / unit;
    let clean = |text: &str| escape::line(&short(text, TEXT_MAX));
    let faults = faults_of(history).into_iter().map(|(id, kind, what, from, to)| Fault {
        id: id.0,
        nodes: super::words::nodes_in(&what).iter().map(|node| node.0).collect(),
        kind: clean(&kind),
        what: clean(&what),
        from: units(from),
        to: to.map(units),
    });
    let phases = history.events().filter_map(|(at, event)| match event {
        Event::Phase(phase) => Some((phase, units(at))),
        _ => None,
    });
    let end = history.events().last().map_or(Time::ZERO, |(at, _)| at).as_nanos();
    let end = end.max(messages.end) / unit;
    let nodes = history.operations().filter_map(|operation| operation.node.map(|node| node.0));
    let mut nodes: Vec<u32> = nodes.chain(messages.nodes.iter().copied()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let shown = anomalies.iter().take(ANOMALIES_MAX).map(|anomaly| Shown {
        guarantee: anomaly.guarantee,
        name: clean(&anomaly.name),
        at: units(anomaly.at),
        operations: &anomaly.witness.operations,
        sentence: clean(&headline(anomaly)),
    });
    let kinds = OpKind::ALL.map(|kind| Kind { name: kind.name(), writes: kind.writes() });
    let keys =
        (0..history.key_count() as u32).map(|key| history.key(checkers::history::KeyId(key)));
    let parts = Head {
        unit,
        end,
        first,
        operations,
        of: history.operation_count(),
        kinds: kinds.into(),
        keys: keys.map(|key| clean(key.as_str())).collect(),
        sessions: columns.sessions.clone(),
        nodes,
        faults: faults.collect(),
        phases: phases.collect(),
        anomalies: shown.collect(),
        texts: columns.texts,
        messages: messages.count,
        messages_of: messages.of,
        message_kinds: messages.kinds.iter().map(|kind| clean(kind)).collect(),
        places: messages.places.clone(),
        happenings: messages.happenings.clone(),
        columns: Vec::new(),
    };
    let columns: Vec<_> = columns.into_columns().into_iter().chain(messages.columns).collect();
    let sizes = columns.iter().map(|(name, column)| (*name, column.0.len()));
    (Head { columns: sizes.collect(), ..parts }, columns)
}

/// The columns of the operations.
struct Columns<'a> {
    history: &'a History,
    unit: u64,
    /// The lanes, in the order in which they first act.
    sessions: Vec<SessionId>,
    /// The lane of each session, and the process that acted last in it.
    lane_of: FxHashMap<SessionId, (u64, i64)>,
    last: u64,
    value_texts: FxHashMap<ValueId, usize>,
    reason_texts: FxHashMap<String, usize>,
    texts: usize,
    last_number: i64,
    invoked: Column,
    lasted: Column,
    lane: Column,
    process: Column,
    node: Column,
    kind: Column,
    key: Column,
    given: Column,
    to: Column,
    outcome: Column,
    learned: Column,
    text: Column,
    text_bytes: Column,
}

impl<'a> Columns<'a> {
    fn new(history: &'a History, unit: u64) -> Columns<'a> {
        Columns {
            history,
            unit,
            sessions: Vec::new(),
            lane_of: FxHashMap::default(),
            last: 0,
            value_texts: FxHashMap::default(),
            reason_texts: FxHashMap::default(),
            texts: 0,
            last_number: 0,
            invoked: Column::default(),
            lasted: Column::default(),
            lane: Column::default(),
            process: Column::default(),
            node: Column::default(),
            kind: Column::default(),
            key: Column::default(),
            given: Column::default(),
            to: Column::default(),
            outcome: Column::default(),
            learned: Column::default(),
            text: Column::default(),
            text_bytes: Column::default(),
        }
    }

    fn into_columns(self) -> Vec<(&'static str, Column)> {
        vec![
            ("invoked", self.invoked),
            ("lasted", self.lasted),
            ("lane", self.lane),
            ("process", self.process),
            ("node", self.node),
            ("kind", self.kind),
            ("key", self.key),
            ("given", self.given),
            ("to", self.to),
            ("outcome", self.outcome),
            ("learned", self.learned),
            ("text", self.text),
            ("text-bytes", self.text_bytes),
        ]
    }

    fn add(&mut self, operation: &Operation<'_>) {
        let invoked = operation.invoked_at.as_nanos() / self.unit;
        self.invoked.push(invoked - self.last);
        self.last = invoked;
        let completed = operation.completed_at.map(|at| at.as_nanos() / self.unit);
        self.lasted.push(completed.map_or(0, |at| at - invoked + 1));
        let process = i64::from(operation.process.0);
        let lanes = self.sessions.len() as u64;
        let (lane, before) = *self.lane_of.entry(operation.session).or_insert((lanes, 0));
        if lane == lanes {
            self.sessions.push(operation.session);
        }
        self.process.push_signed(process - before);
        self.lane_of.insert(operation.session, (lane, process));
        self.lane.push(lane);
        self.node.push(operation.node.map_or(0, |node| u64::from(node.0) + 1));
        self.kind.push(operation.op.kind() as u64);
        self.key.push(u64::from(operation.op.key().0));
        let is_txn = operation.op.kind() == OpKind::Txn;
        let (given, to) = arguments(&operation.op);
        let given = given.map_or(0, |value| self.code_of_value(value, is_txn));
        self.given.push(given);
        let to = to.map_or(0, |value| self.code_of_value(value, is_txn));
        self.to.push(to);
        self.outcome.push(match operation.outcome {
            None => 0,
            Some(Outcome::Ok(_)) => 1,
            Some(Outcome::Fail(_)) => 2,
            Some(Outcome::Info(_)) => 3,
        });
        let learned = match operation.outcome {
            Some(Outcome::Ok(Ret::Done)) | None => 0,
            Some(Outcome::Ok(Ret::Value(value))) => self.code_of_value(*value, is_txn),
            Some(Outcome::Fail(reason) | Outcome::Info(reason)) => self.code_of_reason(reason),
        };
        self.learned.push(learned);
    }

    /// What says which value it is: 1 for one that is new, and more the further back it came in.
    fn code_of_value(&mut self, value: ValueId, is_txn: bool) -> u64 {
        if let Some(number) = self.value_texts.get(&value) {
            return (self.texts - number) as u64 + 1;
        }
        self.value_texts.insert(value, self.texts);
        match self.history.value(value) {
            // What a script can count up to; greater numbers are texts.
            Value::Int(number) if number.unsigned_abs() < 1 << 53 => self.add_number(*number),
            other => {
                self.add_text(&if is_txn { steps(other, None) } else { value_in_short(other) })
            }
        }
        1
    }

    fn code_of_reason(&mut self, reason: &Reason<ValueId>) -> u64 {
        let words = super::words::reason_in_short(self.history, reason);
        if let Some(number) = self.reason_texts.get(&words) {
            return (self.texts - number) as u64 + 1;
        }
        self.reason_texts.insert(words.clone(), self.texts);
        self.add_text(&words);
        1
    }

    fn add_number(&mut self, number: i64) {
        self.text.push(0);
        self.text.push_signed(number - self.last_number);
        self.last_number = number;
        self.texts += 1;
    }

    fn add_text(&mut self, text: &str) {
        let text = escape::line(&short(text, TEXT_MAX));
        self.text.push(text.len() as u64 + 1);
        self.text_bytes.0.extend_from_slice(text.as_bytes());
        self.texts += 1;
    }
}

/// What an operation has besides its key.
fn arguments<K>(op: &Op<K, ValueId>) -> (Option<ValueId>, Option<ValueId>) {
    match op {
        Op::Write { value, .. }
        | Op::Add { value, .. }
        | Op::Remove { value, .. }
        | Op::Append { value, .. }
        | Op::Enqueue { value, .. }
        | Op::Send { value, .. }
        | Op::Echo { value, .. } => (Some(*value), None),
        Op::Poll { from, .. } => (Some(*from), None),
        Op::Commit { offset, .. } => (Some(*offset), None),
        Op::Increment { by, .. } => (Some(*by), None),
        Op::Txn { body, .. } => (Some(*body), None),
        Op::Cas { from, to, .. } => (Some(*from), Some(*to)),
        Op::Read { .. }
        | Op::Delete { .. }
        | Op::Dequeue { .. }
        | Op::Acquire { .. }
        | Op::Release { .. }
        | Op::Generate { .. }
        | Op::Committed { .. } => (None, None),
    }
}

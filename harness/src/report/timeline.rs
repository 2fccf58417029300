//! A history around an anomaly, as a table: operations as rows, faults between them.

use std::fmt::{self, Write as _};

use checkers::Anomaly;
use checkers::history::{
    Event, EventIndex, FaultEdge, FaultEvent, History, Key, Op, Operation, OperationId, Outcome,
    Phase, ProcessId, Ret, Time, Value, ValueId,
};
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Panel, Style};

use super::brief::counted;
use super::escape;

/// What of a history is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// How many operations before and after each operation of the witness, or the moment.
    pub context: usize,
    /// Which operations.
    pub scope: Scope<'a>,
}

/// Which operations of a history are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those on the key that the anomaly is about, near its witness.
    Anomaly,
    /// Those that a filter lets through.
    Only(&'a Filter),
    /// All.
    All,
}

/// What operations must be to be shown, besides near to what matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Under way at this moment; some that began before and after it are shown as well.
    pub around: Option<Time>,
    /// On this key, or a transaction with a step on it.
    pub key: Option<Key>,
    /// Of this process.
    pub process: Option<ProcessId>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether an operation has the key and the process.
    fn fits(&self, history: &History, operation: &Operation<'_>) -> bool {
        let process = self.process.is_none_or(|process| process == operation.process);
        process && self.key.as_ref().is_none_or(|key| is_on(history, operation, key))
    }
}

/// Which operations a filter lets through, in words that follow `operations`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, " on {key}")?;
        }
        if let Some(process) = self.process {
            write!(f, " of process {process}")?;
        }
        if let Some(around) = self.around {
            write!(f, " around {around}")?;
        }
        Ok(())
    }
}

fn is_on(history: &History, operation: &Operation<'_>, key: &Key) -> bool {
    let is_step_on = |step: &Value| match step {
        Value::List(parts) => match parts.get(1) {
            Some(Value::Text(text)) => **text == *key.as_str(),
            Some(other) => other.to_string() == key.as_str(),
            None => false,
        },
        _ => false,
    };
    match operation.op {
        Op::Txn { body, .. } => {
            matches!(history.value(body), Value::List(steps) if steps.iter().any(is_step_on))
        }
        op => history.key(*op.key()) == key,
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// An operation, at the place of its invocation.
    Operation(Shown),
    /// Something that happened to the whole, in words.
    Note {
        /// When; none for what was left out.
        at: Option<Time>,
        /// What.
        words: String,
    },
}

/// An operation as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its number in the history.
    pub id: OperationId,
    /// Whether it belongs to the witness.
    pub witness: bool,
    /// When it was invoked.
    pub invoked: Time,
    /// When it ended, if it did.
    pub completed: Option<Time>,
    /// The process, and its session where that has another number.
    pub process: String,
    /// The node that was asked first.
    pub node: String,
    /// What was asked.
    pub operation: String,
    /// What the client learned.
    pub outcome: String,
}

/// The rows that show an anomaly, or a whole history.
pub fn rows(history: &History, anomaly: Option<&Anomaly>, window: Window<'_>) -> Vec<Row> {
    let shown = select(history, anomaly, window);
    let Some(first) = shown.iter().position(|shown| *shown) else { return Vec::new() };
    let last = shown.iter().rposition(|shown| *shown).unwrap_or(first);
    let bounds = match window.scope {
        Scope::All => (EventIndex(0), EventIndex(history.len() as u32)),
        Scope::Anomaly => bounds(history, anomaly, first, last),
        Scope::Only(filter) => {
            let (begin, end) = bounds(history, None, first, last);
            let at = filter.around.unwrap_or(Time::ZERO);
            let before = history.events().take_while(|(time, _)| *time <= at).count() as u32;
            (begin, end.max(EventIndex(before)))
        }
    };
    let mut rows = Vec::new();
    let mut left_out = 0;
    for (index, (at, event)) in history.events().enumerate() {
        let index = EventIndex(index as u32);
        let is_within = index >= bounds.0 && index < bounds.1;
        let row = match event {
            _ if !is_within && !matches!(event, Event::Invoke(_)) => continue,
            Event::Invoke(operation) if shown[operation.id.index()] => {
                Row::Operation(show(history, anomaly, operation))
            }
            Event::Invoke(_) => {
                left_out += 1;
                continue;
            }
            Event::Complete(_) => continue,
            Event::Fault(fault) => Row::Note { at: Some(at), words: words_of_fault(fault) },
            Event::Phase(phase) => {
                Row::Note { at: Some(at), words: words_of_phase(phase).to_owned() }
            }
        };
        if matches!(row, Row::Operation(_)) {
            flush(&mut rows, &mut left_out);
        }
        rows.push(row);
    }
    flush(&mut rows, &mut left_out);
    on_before(history, bounds.0, &mut rows);
    rows
}

/// From the first operation shown to the last one, and to the end of the whole witness.
fn bounds(
    history: &History,
    anomaly: Option<&Anomaly>,
    first: usize,
    last: usize,
) -> (EventIndex, EventIndex) {
    let begin = history.operation(OperationId(first as u32)).invoked;
    let end = history.operation(OperationId(last as u32)).invoked;
    let witness = anomaly.map_or(&[][..], |anomaly| &anomaly.witness.operations);
    let known = witness.iter().filter(|id| id.index() < history.operation_count());
    let ends = known.filter_map(|id| history.operation(*id).completed);
    (begin, EventIndex(ends.fold(end, EventIndex::max).0 + 1))
}

/// Says how many operations were left out since the one before, or in the end.
fn flush(rows: &mut Vec<Row>, left_out: &mut u32) {
    if *left_out > 0 {
        let words = format!("… {}", counted(*left_out, "other operation"));
        rows.push(Row::Note { at: None, words });
        *left_out = 0;
    }
}

/// Puts the faults that were on already before the first row.
fn on_before(history: &History, first: EventIndex, rows: &mut Vec<Row>) {
    let on = history.faults_on(first);
    let mut before = Vec::new();
    for (index, (at, event)) in history.events().enumerate() {
        let Event::Fault(fault) = event else { continue };
        let began = fault.edge == FaultEdge::Begin && (index as u32) < first.0;
        if began && on.contains(&fault.fault) {
            let FaultEvent { fault, kind, what, .. } = fault;
            let words = format!("fault {fault} is on since {at}: {kind} {what}");
            before.push(Row::Note { at: None, words });
        }
    }
    rows.splice(0..0, before);
}

/// For each operation, whether it is shown.
fn select(history: &History, anomaly: Option<&Anomaly>, window: Window<'_>) -> Vec<bool> {
    let count = history.operation_count();
    if let Scope::Only(filter) = window.scope {
        return let_through(history, filter, window.context);
    }
    let (Some(anomaly), Scope::Anomaly) = (anomaly, window.scope) else { return vec![true; count] };
    let concerns = |operation: &Operation<'_>| {
        anomaly.key.as_ref().is_none_or(|key| history.key(*operation.op.key()) == key)
    };
    let candidates: Vec<OperationId> =
        history.operations().filter(concerns).map(|operation| operation.id).collect();
    let mut shown = vec![false; count];
    let mut centres: Vec<usize> = Vec::new();
    for id in anomaly.witness.operations.iter().filter(|id| id.index() < count) {
        shown[id.index()] = true;
        centres.push(candidates.partition_point(|candidate| candidate < id));
    }
    if centres.is_empty() {
        // No operation proves it: show what went on when it happened.
        let before = |id: &OperationId| history.operation(*id).invoked_at <= anomaly.at;
        centres.push(candidates.partition_point(before));
    }
    for centre in centres {
        let from = centre.saturating_sub(window.context);
        let to = (centre + window.context + 1).min(candidates.len());
        for id in &candidates[from.min(to)..to] {
            shown[id.index()] = true;
        }
    }
    shown
}

/// For each operation, whether a filter lets it through.
fn let_through(history: &History, filter: &Filter, context: usize) -> Vec<bool> {
    let fit: Vec<Operation<'_>> =
        history.operations().filter(|operation| filter.fits(history, operation)).collect();
    let mut shown = vec![false; history.operation_count()];
    let Some(around) = filter.around else {
        fit.iter().for_each(|operation| shown[operation.id.index()] = true);
        return shown;
    };
    let place = fit.partition_point(|operation| operation.invoked_at <= around);
    let near = place.saturating_sub(context)..(place + context).min(fit.len());
    for (index, operation) in fit.iter().enumerate() {
        let is_under_way = operation.invoked_at <= around
            && operation.completed_at.is_none_or(|completed| completed >= around);
        shown[operation.id.index()] = is_under_way || near.contains(&index);
    }
    shown
}

/// An operation as it is shown; `anomaly` says whether it proves anything.
pub(crate) fn show(
    history: &History,
    anomaly: Option<&Anomaly>,
    operation: Operation<'_>,
) -> Shown {
    let Operation { id, process, session, node, .. } = operation;
    let witness = anomaly.is_some_and(|anomaly| anomaly.witness.operations.contains(&id));
    Shown {
        id,
        witness,
        invoked: operation.invoked_at,
        completed: operation.completed_at,
        process: if process.0 == session.0 {
            process.to_string()
        } else {
            format!("{process} (session {session})")
        },
        node: node.map_or_else(String::new, |node| format!("n{node}")),
        operation: history.op(id).to_string(),
        outcome: words_of_outcome(history, operation.outcome),
    }
}

pub(crate) fn words_of_outcome(history: &History, outcome: Option<&Outcome<ValueId>>) -> String {
    let reason = |reason: &checkers::history::Reason<ValueId>| match reason {
        checkers::history::Reason::Mismatch { actual: Some(value) } => {
            format!("mismatch: holds {}", history.value(*value))
        }
        other => other.to_string(),
    };
    match outcome {
        None => "never ended".to_owned(),
        Some(Outcome::Ok(Ret::Done)) => "ok".to_owned(),
        Some(Outcome::Ok(Ret::Value(value))) => format!("ok {}", history.value(*value)),
        Some(Outcome::Fail(why)) => format!("fail: {}", reason(why)),
        Some(Outcome::Info(why)) => format!("info: {}", reason(why)),
    }
}

fn words_of_fault(event: &FaultEvent) -> String {
    let FaultEvent { fault, edge, kind, what } = event;
    match edge {
        FaultEdge::Begin => format!("fault {fault} begins: {kind} {what}"),
        FaultEdge::End => format!("fault {fault} ends: {kind} {what}"),
    }
}

fn words_of_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Safety => "safety phase: faults come and go",
        Phase::Liveness => "liveness phase: all faults are undone",
        Phase::Final => "clients have stopped; final reads at every replica",
    }
}

/// The longest text of a cell, in characters. One long value would make every row as wide.
const CELL_MAX: usize = 200;

/// A text as a cell of a table for a terminal.
fn cell(text: &str) -> String {
    match text.char_indices().nth(CELL_MAX) {
        None => escape::line(text),
        Some((end, _)) => {
            format!("{}… ({} bytes in all)", escape::line(&text[..end]), text.len())
        }
    }
}

/// The rows as a table for a terminal.
pub fn terminal(rows: &[Row]) -> String {
    let mut builder = Builder::default();
    builder.push_record(["", "from", "to", "process", "node", "operation", "outcome"]);
    for row in rows {
        if let Row::Operation(shown) = row {
            let completed = shown.completed.map_or_else(String::new, |at| at.to_string());
            builder.push_record([
                if shown.witness { "▶".to_owned() } else { String::new() },
                shown.invoked.to_string(),
                completed,
                shown.process.clone(),
                shown.node.clone(),
                cell(&shown.operation),
                cell(&shown.outcome),
            ]);
        }
    }
    let mut table = builder.build();
    for (index, row) in rows.iter().enumerate() {
        if let Row::Note { at, words } = row {
            let mut text = String::new();
            if let Some(at) = at {
                let _ = write!(text, "{at}  ");
            }
            text.push_str(&escape::line(words));
            table.with(Panel::horizontal(index + 1, text));
        }
    }
    table.with(Style::rounded());
    table.to_string()
}

//! What the readers of other people's formats share: processes that come back after `info`, times
//! that may be missing, and events that have to fit together.
//!
//! Who reads about such a history looks it up in the file: its processes keep the numbers that the file
//! gives them (one that is negative, or beyond what counts processes, gets one that is free), and where it has no times,
//! the line of an event stands in their place.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::drains::Drains;
use super::{
    FaultEdge, FaultEvent, FaultId, History, HistoryBuilder, HistoryError, Invocation, NodeId, Op,
    OperationId, Outcome, Phase, ProcessId, Ret, SessionId, Time, Value,
};

/// Makes a history from the events of another tool.
pub(super) struct Foreign {
    builder: HistoryBuilder,
    /// By the number that the file gives it.
    processes: FxHashMap<i64, Process>,
    sessions: u32,
    now: Time,
    /// Whether the file has times: whether its first event has one.
    has_times: Option<bool>,
    /// The line of the event that is being read, and those of the events before.
    line: u32,
    lines: Vec<u32>,
    /// How many events have a time in the file before that of the event before.
    times_moved: u32,
    /// The number in the file of each process of ours.
    numbers: Vec<i64>,
    /// Dequeues that take whatever there is.
    drains: BTreeMap<OperationId, Drain>,
    events: u64,
    faults: FxHashMap<String, FaultId>,
    next_fault: u32,
}

/// What is known of a drain.
struct Drain {
    /// The line on which it was asked for.
    line: u32,
    /// What it took, in its order; none where it is not answered, or failed.
    taken: Option<Vec<Value>>,
    has_failed: bool,
}

/// Who a process acts for, as far as a file says.
#[derive(Clone, Copy, Default)]
pub(super) struct Client {
    pub(super) session: Option<u32>,
    pub(super) node: Option<u32>,
}

/// A process of the file.
struct Process {
    /// What it is in our history. After an `info` outcome, nothing yet.
    id: Option<ProcessId>,
    session: SessionId,
    /// What it has open, with the operation as it was asked.
    open: Option<(OperationId, Op)>,
}

impl Foreign {
    pub(super) fn new() -> Foreign {
        Foreign {
            builder: HistoryBuilder::new(),
            processes: FxHashMap::default(),
            sessions: 0,
            now: Time::ZERO,
            has_times: None,
            line: 0,
            lines: Vec::new(),
            times_moved: 0,
            numbers: Vec::new(),
            drains: BTreeMap::new(),
            events: 0,
            faults: FxHashMap::default(),
            next_fault: 0,
        }
    }

    /// How many events there are so far.
    pub(super) fn len(&self) -> u64 {
        self.events
    }

    /// Moves on to the next event, on a line of the file and at a time, if the file has times. The
    /// order of a file counts, not its clocks, which may go back: such an event is told with the latest
    /// time before it, and counted.
    pub(super) fn tick(&mut self, line: u64, nanos: Option<u64>) {
        let has_times = *self.has_times.get_or_insert(nanos.is_some());
        let at = match nanos {
            Some(nanos) if has_times => Time::from_nanos(nanos),
            _ if has_times => self.now,
            _ => Time::of_line(line),
        };
        self.times_moved += u32::from(at < self.now);
        self.now = self.now.max(at);
        self.line = u32::try_from(line).unwrap_or(u32::MAX);
        self.events += 1;
    }

    /// Takes note that the event that is being read is one of the history.
    fn added(&mut self, result: Result<(), HistoryError>) -> Result<(), String> {
        result.map_err(|error| error.to_string())?;
        self.lines.push(self.line);
        Ok(())
    }

    /// A process begins an operation.
    pub(super) fn invoke(&mut self, process: i64, client: Client, op: Op) -> Result<(), String> {
        let next_session = SessionId(self.sessions);
        let state = self.processes.entry(process).or_insert_with(|| {
            self.sessions += 1;
            Process { id: None, session: next_session, open: None }
        });
        state.session = client.session.map_or(state.session, SessionId);
        if state.open.is_some() {
            return Err(format!(
                "process {process} begins an operation while another one of its is open"
            ));
        }
        let id = *state.id.get_or_insert_with(|| {
            self.numbers.push(process);
            ProcessId(self.numbers.len() as u32 - 1)
        });
        let node = client.node.map(NodeId);
        let invocation = Invocation { process: id, session: state.session, node, op };
        let operation = self.builder.invoke(self.now, &invocation);
        let operation = operation.map_err(|error| error.to_string())?;
        state.open = Some((operation, invocation.op));
        self.added(Ok(()))
    }

    /// What a process has open.
    pub(super) fn open(&self, process: i64) -> Result<&Op, String> {
        let state = self.processes.get(&process);
        let open = state.and_then(|state| state.open.as_ref());
        let none = || format!("process {process} completes an operation without having one open");
        open.map(|(_, op)| op).ok_or_else(none)
    }

    /// A process ends what it has open.
    pub(super) fn complete(
        &mut self,
        process: i64,
        outcome: &Outcome,
        version: Option<u64>,
    ) -> Result<(), String> {
        self.open(process)?;
        let state = self.processes.get_mut(&process).expect("it has something open");
        let (operation, _) = state.open.take().expect("it has something open");
        if let Some(drain) = self.drains.get_mut(&operation) {
            drain.has_failed = matches!(outcome, Outcome::Fail(_));
        }
        if matches!(outcome, Outcome::Info(_)) {
            // Should it act again, it is somebody else to us.
            state.id = None;
        }
        let ended = self.builder.complete_at_version(self.now, operation, outcome, version);
        self.added(ended)
    }

    /// What a process has open, a dequeue, takes whatever there is.
    pub(super) fn drains(&mut self, process: i64) -> Result<(), String> {
        self.open(process)?;
        let (id, _) = self.processes[&process].open.as_ref().expect("it has something open");
        self.drains.insert(*id, Drain { line: self.line, taken: None, has_failed: false });
        Ok(())
    }

    /// Whether what a process has open takes whatever there is.
    pub(super) fn is_drain(&self, process: i64) -> bool {
        let open = self.processes.get(&process).and_then(|state| state.open.as_ref());
        open.is_some_and(|(id, _)| self.drains.contains_key(id))
    }

    /// A process ends a drain, which took these.
    pub(super) fn drained(&mut self, process: i64, taken: Vec<Value>) -> Result<(), String> {
        let (id, _) = self.processes[&process].open.as_ref().expect("it has a drain open");
        let drain = self.drains.get_mut(id).expect("it has a drain open");
        drain.taken = Some(taken);
        self.complete(process, &Outcome::Ok(Ret::Value(Value::Nil)), None)
    }

    /// The line of a drain that nobody ended.
    pub(super) fn open_drain(&self) -> Option<u64> {
        let open = self.drains.values().find(|drain| drain.taken.is_none() && !drain.has_failed);
        open.map(|drain| drain.line.into())
    }

    /// A nemesis does something: it begins a fault, or ends the one that it began before.
    pub(super) fn fault(&mut self, kind: &str, what: String) -> Result<(), String> {
        let name = kind.trim_start_matches("start-").trim_start_matches("stop-");
        let ends = kind.starts_with("stop") || kind.starts_with("heal");
        let known = self.faults.remove(name).or_else(|| {
            let only = ends && self.faults.len() == 1;
            let name = self.faults.keys().next().filter(|_| only).cloned();
            name.and_then(|name| self.faults.remove(&name))
        });
        let (fault, edge) = match known {
            Some(fault) => (fault, FaultEdge::End),
            None if ends => return Ok(()),
            None => {
                let fault = FaultId(self.next_fault);
                self.next_fault += 1;
                self.faults.insert(name.to_owned(), fault);
                (fault, FaultEdge::Begin)
            }
        };
        let event = FaultEvent { fault, edge, kind: kind.to_owned(), what };
        let happened = self.builder.fault(self.now, event);
        self.added(happened)
    }

    /// A phase of a run begins.
    pub(super) fn phase(&mut self, phase: Phase) -> Result<(), String> {
        let began = self.builder.phase(self.now, phase);
        self.added(began)
    }

    pub(super) fn finish(mut self) -> History {
        let mut history = self.builder.finish();
        if !self.drains.is_empty() {
            let taken = self.drains.into_iter().filter_map(|(id, drain)| Some((id, drain.taken?)));
            let drains = Drains::new(taken.collect(), self.lines, self.numbers);
            (history, self.lines, self.numbers) = drains.put_into(&history);
        }
        let taken: FxHashSet<i64> = self.numbers.iter().copied().collect();
        let mut free = (0..).filter(|number| !taken.contains(&i64::from(*number)));
        // Of the processes of which the number is none of ours.
        let mut given: FxHashMap<i64, u32> = FxHashMap::default();
        for process in &mut history.operations.processes {
            // One that came back after `info` is another process to us, and yet that one to whoever
            // looks into the file. Whether each does one thing at a time has been checked.
            let number = self.numbers[process.index()];
            *process = ProcessId(u32::try_from(number).unwrap_or_else(|_| {
                *given.entry(number).or_insert_with(|| free.next().expect("few are taken"))
            }));
        }
        history.lines = self.lines;
        history.times_moved = self.times_moved;
        history
    }
}

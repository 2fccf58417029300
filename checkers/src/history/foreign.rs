//! What the readers of other people's formats share: processes that come back after `info`, times
//! that may be missing, and events that have to fit together.

use rustc_hash::FxHashMap;

use super::{
    FaultEdge, FaultEvent, FaultId, History, HistoryBuilder, HistoryError, Invocation, Op,
    OperationId, Outcome, ProcessId, SessionId, Time,
};

/// Makes a history from the events of another tool.
pub(super) struct Foreign {
    builder: HistoryBuilder,
    /// By the number that the file gives it.
    processes: FxHashMap<i64, Process>,
    next_process: u32,
    sessions: u32,
    now: Time,
    events: u64,
    faults: FxHashMap<String, FaultId>,
    next_fault: u32,
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
            next_process: 0,
            sessions: 0,
            now: Time::ZERO,
            events: 0,
            faults: FxHashMap::default(),
            next_fault: 0,
        }
    }

    /// How many events there are so far.
    pub(super) fn len(&self) -> u64 {
        self.events
    }

    /// Moves on to the time of the next event: what the file says, or a millisecond an event. The
    /// order of a file counts, not its clocks, which may go back.
    pub(super) fn tick(&mut self, nanos: Option<u64>) {
        let at = nanos.map_or(Time::from_millis(self.events), Time::from_nanos);
        self.now = self.now.max(at);
        self.events += 1;
    }

    /// A process begins an operation.
    pub(super) fn invoke(&mut self, process: i64, op: Op) -> Result<(), String> {
        let next_session = SessionId(self.sessions);
        let state = self.processes.entry(process).or_insert_with(|| {
            self.sessions += 1;
            Process { id: None, session: next_session, open: None }
        });
        if state.open.is_some() {
            return Err(format!(
                "process {process} begins an operation while another one of its is open"
            ));
        }
        let id = *state.id.get_or_insert_with(|| {
            self.next_process += 1;
            ProcessId(self.next_process - 1)
        });
        let invocation = Invocation { process: id, session: state.session, node: None, op };
        let operation = self.builder.invoke(self.now, &invocation).map_err(said)?;
        state.open = Some((operation, invocation.op));
        Ok(())
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
        if matches!(outcome, Outcome::Info(_)) {
            // Should it act again, it is somebody else to us.
            state.id = None;
        }
        self.builder.complete_at_version(self.now, operation, outcome, version).map_err(said)
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
        self.builder.fault(self.now, event).map_err(said)
    }

    pub(super) fn finish(self) -> History {
        self.builder.finish()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` calls")]
fn said(error: HistoryError) -> String {
    error.to_string()
}

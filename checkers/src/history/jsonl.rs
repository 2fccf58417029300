//! Our own format for histories: a line of JSON for each event, between a header and a footer.
//! `results/README.md` explains it for people.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::{
    Event, EventIndex, FaultEdge, FaultEvent, FaultId, History, HistoryBuilder, HistoryError,
    Invocation, NodeId, Op, Outcome, Phase, ProcessId, Reason, Ret, SessionId, Time, ValueId,
};

/// What the header calls the format.
const FORMAT: &str = "stormglass-history";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// How much a file may hold. What is beyond is refused: a file is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The longest line, in bytes.
    pub line_bytes_max: u64,
    /// The greatest number of events.
    pub events_max: u32,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits { line_bytes_max: 1 << 20, events_max: 200_000_000 }
    }
}

/// Why a file is not a history. The caller knows its name.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not what belongs there.
    #[error("line {line}: {what}")]
    Line {
        /// The line, from 1 on.
        line: u64,
        /// What is wrong with it, and what would do.
        what: String,
    },
}

impl ReadError {
    /// What is wrong with a line. Of a long text, which quotes what the line holds, only the
    /// beginning and the end are told.
    pub(super) fn at(line: u64, what: impl Into<String>) -> ReadError {
        /// How many characters are told at each end.
        const TOLD: usize = 200;
        let mut what = what.into();
        let place = |(place, _): (usize, char)| place;
        let begin = what.char_indices().nth(TOLD).map(place);
        let end = what.char_indices().nth_back(TOLD).map(place);
        if let (Some(begin), Some(end)) = (begin, end)
            && begin < end
        {
            what.replace_range(begin..end, " … ");
        }
        ReadError::Line { line, what }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    end: u64,
}

/// One event. Which fields there are depends on what it is.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    i: u32,
    t: Time,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    p: Option<ProcessId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    s: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    n: Option<NodeId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    invoke: Option<Op>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ok: Option<Ret>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fail: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    info: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    v: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fault: Option<FaultId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    edge: Option<FaultEdge>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    phase: Option<Phase>,
}

/// Writes a history. Equal histories give equal bytes.
///
/// # Errors
/// Those of the writer.
pub fn write(history: &History, writer: impl Write) -> io::Result<()> {
    let mut writer = io::BufWriter::new(writer);
    put(&mut writer, &Header { format: FORMAT.to_owned(), version: VERSION })?;
    for index in 0..history.len() as u32 {
        put(&mut writer, &line_of(history, EventIndex(index)))?;
    }
    put(&mut writer, &Footer { end: history.len() as u64 })?;
    writer.flush()
}

/// One event as it stands in the file, without the end of the line.
///
/// # Panics
/// If the index is not one of this history's.
pub fn event_line(history: &History, index: EventIndex) -> String {
    serde_json::to_string(&line_of(history, index)).expect("a line has no keys but strings")
}

fn put(writer: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

fn line_of(history: &History, index: EventIndex) -> Line {
    let (t, event) = history.event(index);
    let i = index.0;
    match event {
        Event::Invoke(operation) => Line {
            i,
            t,
            p: Some(operation.process),
            s: Some(operation.session),
            n: operation.node,
            invoke: Some(history.op(operation.id)),
            ..Line::default()
        },
        Event::Complete(operation) => {
            let v = history.version(operation.id);
            let mut line = Line { i, t, p: Some(operation.process), v, ..Line::default() };
            let value = |id: &ValueId| history.value(*id).clone();
            match operation.outcome.expect("a completed operation has an outcome") {
                Outcome::Ok(Ret::Done) => line.ok = Some(Ret::Done),
                Outcome::Ok(Ret::Value(id)) => line.ok = Some(Ret::Value(value(id))),
                Outcome::Fail(reason) => line.fail = Some(reason.map(value)),
                Outcome::Info(reason) => line.info = Some(reason.map(value)),
            }
            line
        }
        Event::Fault(FaultEvent { fault, edge, kind, what }) => Line {
            i,
            t,
            fault: Some(*fault),
            edge: Some(*edge),
            kind: Some(kind.clone()),
            what: Some(what.clone()),
            ..Line::default()
        },
        Event::Phase(phase) => Line { i, t, phase: Some(phase), ..Line::default() },
    }
}

/// Reads a history.
///
/// # Errors
/// Names the first line that is not what belongs there. A file without its last lines is refused
/// too: the footer says how many events there were.
pub fn read(reader: impl BufRead, limits: &ReadLimits) -> Result<History, ReadError> {
    let mut lines = Lines { reader, limits: *limits, number: 0, text: Vec::new() };
    lines.header()?;
    let mut builder = HistoryBuilder::new();
    loop {
        let Some(text) = lines.next()? else {
            let what = "the file ends without its last line `{\"end\":…}`: it was cut off";
            return Err(lines.error(what));
        };
        if text.starts_with(br#"{"end""#) {
            let footer: Footer = parse(text).map_err(|what| lines.error(what))?;
            if footer.end != builder.len() as u64 {
                let len = builder.len();
                let what = format!("the footer counts {} events, but there are {len}", footer.end);
                return Err(lines.error(what));
            }
            break;
        }
        let line: Line = parse(text).map_err(|what| lines.error(what))?;
        if builder.len() as u64 >= u64::from(limits.events_max) {
            let what = format!("more than {} events, the limit", limits.events_max);
            return Err(lines.error(what));
        }
        add(&mut builder, line).map_err(|what| lines.error(what))?;
    }
    match lines.next()? {
        None => Ok(builder.finish()),
        Some(_) => Err(lines.error("there is more after the footer")),
    }
}

/// The lines of a file, bounded in length.
struct Lines<R> {
    reader: R,
    limits: ReadLimits,
    number: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn header(&mut self) -> Result<(), ReadError> {
        let wanted = format!(
            "expected the header {{\"format\":\"{FORMAT}\",\"version\":{VERSION}}} of a history"
        );
        let Some(text) = self.next()? else {
            self.number = 1;
            return Err(self.error(format!("the file is empty; {wanted}")));
        };
        let header: Header = parse(text).map_err(|_| self.error(wanted.clone()))?;
        if header.format != FORMAT {
            return Err(self.error(wanted));
        }
        if header.version != VERSION {
            let what =
                format!("version {} is not known; this program reads {VERSION}", header.version);
            return Err(self.error(what));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.text.clear();
        self.number += 1;
        let limit = self.limits.line_bytes_max;
        let read =
            self.reader.by_ref().take(limit.saturating_add(1)).read_until(b'\n', &mut self.text)?;
        if read as u64 > limit {
            return Err(self.error(format!("longer than {limit} bytes, the limit")));
        }
        if read == 0 {
            return Ok(None);
        }
        if self.text.pop_if(|last| *last == b'\n').is_none() {
            return Err(self.error("the line is cut off: it does not end"));
        }
        Ok(Some(&self.text))
    }

    fn error(&self, what: impl Into<String>) -> ReadError {
        ReadError::at(self.number, what)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        // The line is all that the parser sees; which one it is, the caller says.
        let what = error.to_string().replace(" at line 1 column ", " at column ");
        format!("not a line of a history: {what}")
    })
}

/// Adds one line to the history.
fn add(builder: &mut HistoryBuilder, line: Line) -> Result<(), String> {
    if line.i as usize != builder.len() {
        return Err(format!("event {} where event {} belongs", line.i, builder.len()));
    }
    let t = line.t;
    if t.is_line() {
        return Err(format!("the time {} is beyond 2^63 - 1, the last nanosecond", t.as_nanos()));
    }
    let said = |error: HistoryError| error.to_string();
    match line {
        Line { p: Some(process), s: Some(session), n: node, invoke: Some(op), .. }
            if !line.completes() && !line.strikes() && line.phase.is_none() && line.v.is_none() =>
        {
            let invocation = Invocation { process, session, node, op };
            builder.invoke(t, &invocation).map(|_| ()).map_err(said)
        }
        Line { p: Some(process), s: None, n: None, invoke: None, phase: None, .. }
            if line.completes() && !line.strikes() =>
        {
            let outcome = match (line.ok, line.fail, line.info) {
                (Some(ret), None, None) => Outcome::Ok(ret),
                (None, Some(reason), None) => Outcome::Fail(reason),
                (None, None, Some(reason)) => Outcome::Info(reason),
                _ => return Err("one of `ok`, `fail` and `info` belongs there".to_owned()),
            };
            let operation = builder.open_operation(process).map_err(said)?;
            builder.complete_at_version(t, operation, &outcome, line.v).map_err(said)
        }
        Line {
            fault: Some(fault), edge: Some(edge), kind: Some(kind), what: Some(what), ..
        } if !line.acts() && line.phase.is_none() => {
            builder.fault(t, FaultEvent { fault, edge, kind, what }).map_err(said)
        }
        Line { phase: Some(phase), .. } if !line.acts() && !line.strikes() => {
            builder.phase(t, phase).map_err(said)
        }
        _ => Err("the fields belong to no kind of event: one has `p`, `s` and `invoke`; or `p` \
                  and one of `ok`, `fail`, `info`; or `fault`, `edge`, `kind` and `what`; or \
                  `phase`"
            .to_owned()),
    }
}

impl Line {
    fn completes(&self) -> bool {
        self.ok.is_some() || self.fail.is_some() || self.info.is_some()
    }

    /// Whether it has fields of a client's event.
    fn acts(&self) -> bool {
        self.completes()
            || self.p.is_some()
            || self.s.is_some()
            || self.n.is_some()
            || self.v.is_some()
            || self.invoke.is_some()
    }

    /// Whether it has fields of a fault.
    fn strikes(&self) -> bool {
        self.fault.is_some() || self.edge.is_some() || self.kind.is_some() || self.what.is_some()
    }
}

//! Histories of Jepsen and Knossos, in EDN: maps with `:process`, `:type`, `:f` and `:value`, one
//! after the other or in one vector or list. The logs of Porcupine's key-value store have the same
//! shape, with a `:key`.
//!
//! How its words are read:
//! - `:fail` says that the operation did not happen, and no more: Jepsen's clients give it for many
//!   reasons, so that a compare-and-set which failed shows nothing. (Knossos leaves it out, too.)
//! - After `:info` a process is somebody else, whatever its number.
//! - A process that is no number is the nemesis: what it does are faults.
//! - `nil` is the value `nil`; see [`NilReads`](crate::checker::linearizable::NilReads) for reads.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::ops::Range;

use clojure_reader::edn::{self, Edn};
use clojure_reader::error::{Code, Error};

use super::foreign::Foreign;
use super::jsonl::{ReadError, ReadLimits};
use super::{Event, FaultEdge, History, Key, Op, OpKind, Outcome, ReadLevel, Reason, Ret, Value};

/// How deep values may be nested.
const DEPTH_MAX: u32 = 64;

/// What a field is that is not there.
static NIL: Edn<'static> = Edn::Nil;

/// How keys are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// There is one object, or each operation has a `:key`.
    #[default]
    Single,
    /// Each value is a pair of a key and a value (`jepsen.independent`).
    Independent,
}

/// Reads a history.
///
/// # Errors
/// Names the first line of the first operation that is not what belongs there.
pub fn read(reader: impl BufRead, limits: &ReadLimits, keys: Keys) -> Result<History, ReadError> {
    let mut maps = Maps { reader, limits: *limits, line: 1, begun: 1, text: Vec::new() };
    let mut foreign = Foreign::new();
    let mut outer = Outer::default();
    while maps.next(&mut outer)? {
        let text = std::str::from_utf8(&maps.text).map_err(|_| maps.error("not UTF-8"))?;
        let map = edn::read_string(text)
            .map_err(|error| maps.error(format!("not EDN: {}", said(&error))))?;
        if foreign.len() >= u64::from(limits.events_max) {
            let what = format!("more than {} events, the limit", limits.events_max);
            return Err(maps.error(what));
        }
        add(&mut foreign, &map, keys).map_err(|what| maps.error(what))?;
    }
    if foreign.len() == 0 {
        return Err(maps.error(
            "there is no operation; expected maps such as {:process 0, :type :invoke, :f :read, \
             :value nil}",
        ));
    }
    Ok(foreign.finish())
}

/// What is wrong with a map, in words.
fn said(error: &Error) -> String {
    let what = match &error.code {
        Code::HashMapDuplicateKey => "a map has a key twice".to_owned(),
        Code::SetDuplicateKey => "a set has an element twice".to_owned(),
        Code::InvalidChar => "a character that is none".to_owned(),
        Code::InvalidEscape => "a `\\` before what cannot follow it".to_owned(),
        Code::InvalidKeyword => "a keyword that is none".to_owned(),
        Code::InvalidNumber => "a number that is none".to_owned(),
        Code::InvalidRadix(_) => "a number in a base that is none".to_owned(),
        Code::InvalidTag => "a tag that is none".to_owned(),
        Code::UnexpectedEOF => "it ends too early".to_owned(),
        Code::UnmatchedDelimiter(delimiter) => format!("`{delimiter}` closes nothing"),
        other => format!("{other:?}"),
    };
    match (error.line, error.column) {
        (Some(line), Some(column)) => format!("{what} (line {line}, column {column} of the map)"),
        _ => what,
    }
}

/// What surrounds the maps.
#[derive(Default)]
struct Outer {
    open: Option<u8>,
    closed: bool,
}

/// The maps of a file, bounded in size and depth.
struct Maps<R> {
    reader: R,
    limits: ReadLimits,
    line: u64,
    /// The line on which the present map began.
    begun: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Maps<R> {
    fn error(&self, what: impl Into<String>) -> ReadError {
        ReadError::at(self.begun, what)
    }

    fn byte(&mut self) -> Result<Option<u8>, ReadError> {
        let Some(byte) = self.reader.fill_buf()?.first().copied() else { return Ok(None) };
        self.reader.consume(1);
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(Some(byte))
    }

    /// Finds the next map and keeps its text; none at the end of the file.
    fn next(&mut self, outer: &mut Outer) -> Result<bool, ReadError> {
        self.text.clear();
        loop {
            self.begun = self.line;
            let Some(byte) = self.byte()? else {
                return match outer.open {
                    Some(_) => Err(self.error("the file ends within its list: it was cut off")),
                    None => Ok(false),
                };
            };
            match byte {
                b'{' if !outer.closed => return self.map().map(|()| true),
                b'[' | b'(' if outer.open.is_none() && !outer.closed => outer.open = Some(byte),
                b']' | b')' if outer.open == Some(if byte == b']' { b'[' } else { b'(' }) => {
                    *outer = Outer { open: None, closed: true };
                }
                b';' => self.comment()?,
                b',' => {}
                byte if byte.is_ascii_whitespace() => {}
                // The tag of a record: `#jepsen.history.Op`.
                b'#' => self.tag()?,
                _ => {
                    let what = format!(
                        "`{}` where a map {{…}} of an operation belongs",
                        char::from(byte).escape_default()
                    );
                    return Err(self.error(what));
                }
            }
        }
    }

    fn comment(&mut self) -> Result<(), ReadError> {
        while let Some(byte) = self.byte()? {
            if byte == b'\n' {
                break;
            }
        }
        Ok(())
    }

    fn tag(&mut self) -> Result<(), ReadError> {
        if self.reader.fill_buf()?.first() == Some(&b'_') {
            return Err(self.error("`#_` is not understood; leave out what it discards"));
        }
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte);
        while let Some(byte) = self.reader.fill_buf()?.first().copied() {
            if !is_tag(byte) {
                return Ok(());
            }
            self.reader.consume(1);
        }
        Ok(())
    }

    /// Keeps the text of a map, whose first brace was read.
    fn map(&mut self) -> Result<(), ReadError> {
        self.text.push(b'{');
        let mut depth = 1;
        let mut in_text = false;
        while depth > 0 {
            let Some(byte) = self.byte()? else {
                return Err(self.error("the file ends within a map: it was cut off"));
            };
            self.text.push(byte);
            if self.text.len() as u64 > self.limits.line_bytes_max {
                let limit = self.limits.line_bytes_max;
                return Err(self.error(format!("a map of more than {limit} bytes, the limit")));
            }
            match byte {
                b'\\' if in_text => self.escape()?,
                // The next byte stands for itself: `\{`.
                b'\\' => {
                    if let Some(next) = self.byte()? {
                        self.text.push(next);
                    }
                }
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b';' => {
                    self.text.pop();
                    self.comment()?;
                    self.text.push(b' ');
                }
                b'{' | b'[' | b'(' => depth += 1,
                b'}' | b']' | b')' => depth -= 1,
                _ => {}
            }
            if depth > DEPTH_MAX {
                return Err(self.error(format!("nested more than {DEPTH_MAX} deep, the limit")));
            }
        }
        Ok(())
    }

    /// Keeps what a `\`, which is kept already, says within a text. The library knows `\n`, `\"` and
    /// their like; Clojure writes and reads some more.
    fn escape(&mut self) -> Result<(), ReadError> {
        let letter = match self.byte()? {
            None => return Ok(()),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => self.unicode()?,
            Some(other) => {
                self.text.push(other);
                return Ok(());
            }
        };
        if !matches!(letter, '"' | '\\') {
            self.text.pop();
        }
        self.text.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// The letter after `\u`: four digits, or twice four with another `\u` between.
    fn unicode(&mut self) -> Result<char, ReadError> {
        const FIRST_HALF: Range<u16> = 0xd800..0xdc00;
        let mut units = vec![self.digits()?];
        if FIRST_HALF.contains(&units[0])
            && self.byte()? == Some(b'\\')
            && self.byte()? == Some(b'u')
        {
            units.push(self.digits()?);
        }
        let letter = char::decode_utf16(units).next().expect("there is a unit");
        letter.map_err(|_| self.error("`\\u` with half a letter, of two in UTF-16"))
    }

    fn digits(&mut self) -> Result<u16, ReadError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte()?.and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.error("`\\u` without four hexadecimal digits"))?;
            unit = unit << 4 | digit as u16;
        }
        Ok(unit)
    }
}

/// Adds what one map says.
fn add(foreign: &mut Foreign, map: &Edn<'_>, keys: Keys) -> Result<(), String> {
    let Edn::Map(_) = map else {
        return Err("a map {…} of an operation belongs there".to_owned());
    };
    let field = |name: &'static str| map.get(&Edn::key(name)).unwrap_or(&NIL);
    let time = match field("time") {
        Edn::Int(nanos) => u64::try_from(*nanos).ok(),
        _ => None,
    };
    foreign.tick(time);
    let (kind, f) = (word(field("type")), word(field("f")));
    let process = match field("process") {
        Edn::Int(process) => *process,
        Edn::Key(_) => {
            let what = match field("value") {
                Edn::Nil => String::new(),
                value => value.to_string(),
            };
            return foreign.fault(&f.ok_or("a nemesis says what it does in `:f`")?, what);
        }
        _ => return Err("`:process` is a whole number, or a keyword such as :nemesis".to_owned()),
    };
    match kind.as_deref() {
        Some("invoke") => {
            let f = f.ok_or("an operation says what it does in `:f`")?;
            let op = op_of(&f, field("key"), field("value"), keys)?;
            foreign.invoke(process, op)
        }
        Some("ok") => {
            let op = foreign.open(process)?;
            let ret = ret_of(op, field("value"), keys)?;
            let version = match field("version") {
                Edn::Int(version) => u64::try_from(*version).ok(),
                _ => None,
            };
            foreign.complete(process, &Outcome::Ok(ret), version)
        }
        Some("fail") => {
            foreign.complete(process, &Outcome::Fail(reason(field("error"), "fail")), None)
        }
        Some("info") => {
            foreign.complete(process, &Outcome::Info(reason(field("error"), "info")), None)
        }
        _ => Err("`:type` is one of :invoke, :ok, :fail and :info".to_owned()),
    }
}

fn word(value: &Edn<'_>) -> Option<String> {
    match value {
        Edn::Key(text) | Edn::Str(text) | Edn::Symbol(text) => Some(text.clone().into_owned()),
        _ => None,
    }
}

fn reason(error: &Edn<'_>, otherwise: &str) -> Reason {
    match error {
        Edn::Nil => Reason::Other(otherwise.into()),
        Edn::Key(text) if text == "timeout" || text == "timed-out" => Reason::Timeout,
        error => Reason::Other(word(error).unwrap_or_else(|| error.to_string()).into()),
    }
}

/// The key, and what is left of the value.
fn split<'a>(
    key: &'a Edn<'a>,
    value: &'a Edn<'a>,
    keys: Keys,
) -> Result<(Key, &'a Edn<'a>), String> {
    let name = |key: &Edn<'_>| Key::from(word(key).unwrap_or_else(|| key.to_string()));
    match (keys, value) {
        (Keys::Independent, Edn::Vector(pair) | Edn::List(pair)) if pair.len() == 2 => {
            Ok((name(&pair[0]), &pair[1]))
        }
        (Keys::Independent, _) => {
            Err("with independent keys, `:value` is a pair [key value]".to_owned())
        }
        (Keys::Single, _) if *key == Edn::Nil => Ok((Key::from("x"), value)),
        (Keys::Single, _) => Ok((name(key), value)),
    }
}

fn op_of(f: &str, key: &Edn<'_>, value: &Edn<'_>, keys: Keys) -> Result<Op, String> {
    let (key, value) = split(key, value, keys)?;
    let given = || value_of(value);
    Ok(match f {
        "read" | "get" | "r" => Op::Read { key, level: ReadLevel::Strong },
        "write" | "put" | "w" => Op::Write { key, value: given()? },
        "cas" => {
            let (Edn::Vector(pair) | Edn::List(pair)) = value else {
                return Err("the value of a :cas is a pair [from to]".to_owned());
            };
            let [from, to] = &pair[..] else {
                return Err("the value of a :cas is a pair [from to]".to_owned());
            };
            Op::Cas { key, from: value_of(from)?, to: value_of(to)? }
        }
        "delete" => Op::Delete { key },
        "add" => Op::Add { key, value: given()? },
        "remove" => Op::Remove { key, value: given()? },
        "increment" | "inc" => Op::Increment { key, by: given()? },
        "append" => Op::Append { key, value: given()? },
        "enqueue" => Op::Enqueue { key, value: given()? },
        "dequeue" => Op::Dequeue { key },
        "acquire" | "lock" => Op::Acquire { key },
        "release" | "unlock" => Op::Release { key },
        "generate" => Op::Generate { key },
        "txn" => Op::Txn { key, body: given()? },
        _ => {
            let known: Vec<String> =
                OpKind::ALL.iter().map(|kind| format!(":{}", kind.name())).collect();
            return Err(format!("`:f` :{f} is not known; known are {}", known.join(", ")));
        }
    })
}

fn ret_of(op: &Op, value: &Edn<'_>, keys: Keys) -> Result<Ret, String> {
    let value = || split(&Edn::Nil, value, keys).and_then(|(_, value)| value_of(value));
    Ok(match op.kind() {
        OpKind::Read | OpKind::Dequeue | OpKind::Generate | OpKind::Txn => Ret::Value(value()?),
        OpKind::Acquire => match value()? {
            token @ Value::Int(_) => Ret::Value(token),
            _ => Ret::Done,
        },
        _ => Ret::Done,
    })
}

fn value_of(value: &Edn<'_>) -> Result<Value, String> {
    let list = |items: &mut dyn Iterator<Item = &Edn<'_>>| -> Result<Value, String> {
        Ok(Value::List(items.map(value_of).collect::<Result<Vec<_>, _>>()?.into()))
    };
    Ok(match value {
        Edn::Nil => Value::Nil,
        Edn::Int(number) => Value::Int(*number),
        Edn::Bool(truth) => Value::Text(truth.to_string().into()),
        Edn::Str(text) | Edn::Key(text) | Edn::Symbol(text) => Value::Text((&**text).into()),
        Edn::Char(letter) => Value::Text(letter.to_string().into()),
        Edn::Vector(items) | Edn::List(items) => list(&mut items.iter())?,
        Edn::Set(items) => list(&mut items.iter())?,
        Edn::Map(pairs) => {
            let pair = |(key, value): (&Edn<'_>, &Edn<'_>)| -> Result<Value, String> {
                Ok(Value::List([value_of(key)?, value_of(value)?].into()))
            };
            Value::List(pairs.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into())
        }
        Edn::Tagged(_, value) => value_of(value)?,
        // A number of more than 64 bits, a fraction: its text tells it from any other.
        other => Value::Text(other.to_string().into()),
    })
}

/// Writes a history as Jepsen does: a map a line. Where there is more than one key, each value is a
/// pair of key and value, as `jepsen.independent` has it.
///
/// # Errors
/// Those of the writer.
pub fn write(history: &History, writer: impl Write) -> io::Result<()> {
    let mut writer = io::BufWriter::new(writer);
    let pairs = history.key_count() > 1;
    for (index, (time, event)) in history.events().enumerate() {
        let (process, kind, f, value, error) = match event {
            Event::Invoke(operation) => {
                let op = history.op(operation.id);
                let value = paired(pairs, op.key(), asked(&op));
                (operation.process.to_string(), "invoke", op.kind().name(), value, None)
            }
            Event::Complete(operation) => {
                let op = history.op(operation.id);
                let outcome = operation.outcome.expect("a completed operation has an outcome");
                let (kind, value, error) = match outcome {
                    Outcome::Ok(Ret::Value(id)) => ("ok", to_edn(history.value(*id)), None),
                    Outcome::Ok(Ret::Done) => ("ok", asked(&op), None),
                    Outcome::Fail(reason) => ("fail", asked(&op), Some(reason)),
                    Outcome::Info(reason) => ("info", asked(&op), Some(reason)),
                };
                let error =
                    error.map(|reason| reason.map(|id| history.value(*id).clone()).to_string());
                let value = paired(pairs, op.key(), value);
                (operation.process.to_string(), kind, op.kind().name(), value, error)
            }
            Event::Fault(fault) => {
                let edge = if fault.edge == FaultEdge::Begin { "start" } else { "stop" };
                let (value, f) = (Edn::string(&fault.what[..]), format!("{edge}-{}", fault.kind));
                let error = None;
                put(&mut writer, index, time.as_nanos(), ":nemesis", "info", &f, &value, error)?;
                continue;
            }
            Event::Phase(_) => continue,
        };
        put(&mut writer, index, time.as_nanos(), &process, kind, f, &value, error)?;
    }
    writer.flush()
}

#[expect(clippy::too_many_arguments, reason = "the fields of a line, in their order")]
fn put(
    writer: &mut impl Write,
    index: usize,
    time: u64,
    process: &str,
    kind: &str,
    f: &str,
    value: &Edn<'_>,
    error: Option<String>,
) -> io::Result<()> {
    let mut line = format!(
        "{{:index {index}, :time {time}, :process {process}, :type :{kind}, :f :{f}, :value {value}"
    );
    if let Some(error) = error {
        let _ = write!(line, ", :error {}", Edn::string(error));
    }
    line.push('}');
    // Only texts hold characters that a terminal would obey.
    for letter in line.chars() {
        if letter.is_control() {
            write!(writer, "\\u{:04x}", u32::from(letter))?;
        } else {
            write!(writer, "{letter}")?;
        }
    }
    writer.write_all(b"\n")
}

fn paired(pairs: bool, key: &Key, value: Edn<'static>) -> Edn<'static> {
    let key = || Edn::string(key.as_str().to_owned());
    if pairs { Edn::Vector(vec![key(), value]) } else { value }
}

/// The value of an invocation.
fn asked(op: &Op) -> Edn<'static> {
    match op {
        Op::Write { value, .. }
        | Op::Add { value, .. }
        | Op::Remove { value, .. }
        | Op::Append { value, .. }
        | Op::Enqueue { value, .. }
        | Op::Increment { by: value, .. }
        | Op::Txn { body: value, .. } => to_edn(value),
        Op::Cas { from, to, .. } => Edn::Vector(vec![to_edn(from), to_edn(to)]),
        _ => Edn::Nil,
    }
}

fn to_edn(value: &Value) -> Edn<'static> {
    match value {
        Value::Nil => Edn::Nil,
        Value::Int(number) => Edn::Int(*number),
        Value::Text(text) => Edn::string(text.to_string()),
        Value::List(values) => Edn::Vector(values.iter().map(to_edn).collect()),
    }
}

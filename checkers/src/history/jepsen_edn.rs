//! Histories of Jepsen and Knossos, in EDN: maps with `:process`, `:type`, `:f` and `:value`, one
//! after the other or in one vector or list. The logs of Porcupine's key-value store have the same
//! shape, with a `:key`.
//!
//! How its words are read:
//! - `:fail` says that the operation did not happen, and no more: Jepsen's clients give it for many
//!   reasons, so that a compare-and-set which failed shows nothing. (Knossos leaves it out, too.)
//! - After `:info` a process is somebody else, whatever its number.
//! - A process that is no number is the nemesis: what it does are faults.
//! - `nil` is the value `nil`; see [`NilReads`](super::NilReads) for reads.
//! - A keyword is another value than a text: `:a` is neither `"a"` nor `":a"`, and so it is with all that
//!   is no text (`edn_value.rs` has how). Only the steps of transactions have their names either way.
//! - A set or a map that is read is its elements, or its pairs; where a key is written to, it is itself.
//! - A `:read` or `:write` of steps, `[[:r 1 nil] [:r 2 nil]]`, is a transaction (so does the long-fork
//!   workload write them). What is added to a key that shows numbers and no sets, is added to a counter.
//! - A `:transfer` of a bank is a transaction that takes from one account and gives to another one, and what
//!   reads all balances of a key with transfers is a transaction, too (`bank_edn.rs`).
//! - A `:drain` of a queue is as many dequeues as it took values (`foreign.rs`).
//! - A completion repeats what was asked, or leaves it out; what contradicts it is refused.
//!
//! What this module writes begins with a comment, [`is_ours`], and says with `:session`, `:node`,
//! `:version`, `:read-replica` and `:error [:mismatch value]` or `[:declined words]` what Jepsen has no
//! words for, so that it is judged as the history that it was written from.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::ops::Range;

use clojure_reader::edn::{self, Edn};
use clojure_reader::error::{Code, Error};

use rustc_hash::FxHashMap;

use super::bank_edn;
use super::edn_value::{Texts, doubled, elements_of, value_of};
use super::foreign::{Client, Foreign};
use super::jsonl::{ReadError, ReadLimits};
use super::{
    Event, FaultEdge, History, Key, Op, OpKind, Operation, Outcome, Phase, ReadLevel, Reason, Ret,
    Value,
};

/// How deep a map may be nested, itself counted.
const DEPTH_MAX: u32 = 64;

/// What a field is that is not there.
static NIL: Edn<'static> = Edn::Nil;

/// What the reads of replicas are called.
const READ_REPLICA: &str = "read-replica";
/// What begins a phase of a run.
const PHASE: &str = "phase";
/// What a bank and a queue are asked in Jepsen, for which there is no operation of ours.
const TRANSFER: &str = "transfer";
const DRAIN: &str = "drain";

/// The first line of what this module writes.
const MARK: &str =
    "; stormglass: each value is a pair of a key and a value; nil is what was read there";

/// Whether a file that begins like this was written by this module: its values are
/// [pairs](Keys::Independent), and its reads of `nil` found nothing.
pub fn is_ours(start: &[u8]) -> bool {
    start.starts_with(MARK.as_bytes())
}

/// How keys are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// There is one object, or each operation has a `:key`; where an operation that has nothing to say
    /// in its value is asked with a pair, nobody knows which of the others it is, and it is refused.
    #[default]
    Auto,
    /// There is one object, or each operation has a `:key`.
    Single,
    /// Each value is a pair of a key and a value (`jepsen.independent`).
    Independent,
}

/// The value as which a text is read in a file that this module did not write.
pub fn value_of_text(text: &str) -> Value {
    Value::Text((&*doubled(text)).into())
}

/// How the words of a file are read.
#[derive(Clone, Copy)]
struct How {
    keys: Keys,
    texts: Texts,
}

/// What is known of a key.
#[derive(Clone, Copy)]
struct Known {
    /// Whether its name is a text.
    is_text: bool,
    /// Whether it was given a value as a whole.
    is_written: bool,
    /// Whether it has accounts, between which something is transferred.
    is_bank: bool,
}

/// Reads a history.
///
/// # Errors
/// Names the first line of the first operation that is not what belongs there.
pub fn read(
    mut reader: impl BufRead,
    limits: &ReadLimits,
    keys: Keys,
) -> Result<History, ReadError> {
    let is_ours = is_ours(reader.fill_buf()?);
    let how = How { keys, texts: if is_ours { Texts::AsTheyAre } else { Texts::Doubled } };
    let mut known = FxHashMap::default();
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
        add(&mut foreign, &mut known, maps.begun, &map, how).map_err(|what| maps.error(what))?;
    }
    if foreign.len() == 0 {
        return Err(maps.error(
            "there is no operation; expected maps such as {:process 0, :type :invoke, :f :read, \
             :value nil}",
        ));
    }
    if let Some(line) = foreign.open_drain() {
        return Err(ReadError::at(line, OPEN_DRAIN));
    }
    let mut history = foreign.finish();
    if !is_ours {
        find_counters(&mut history);
        let is_bank = |key: &Key| known.get(key).is_some_and(|known: &Known| known.is_bank);
        bank_edn::read_banks(&mut history, is_bank)?;
    }
    Ok(history)
}

/// Why a drain has to be answered.
const OPEN_DRAIN: &str = "a :drain without an answer may have taken anything, any number of times; give it \
                          one, or leave it out with what came after it";

/// Takes for counters what numbers are added to and what is read as a number: Jepsen has one word for that
/// and for what is done to sets.
fn find_counters(history: &mut History) {
    let mut shows_numbers = vec![false; history.key_count()];
    let mut is_other = shows_numbers.clone();
    for operation in history.operations() {
        let key = operation.op.key().index();
        match operation.op {
            Op::Add { value, .. } => {
                is_other[key] |= !matches!(history.value(value), Value::Int(_));
            }
            Op::Read { .. } => match operation.value_read().map(|value| history.value(value)) {
                Some(Value::Int(_)) => shows_numbers[key] = true,
                Some(Value::Text(_) | Value::List(_)) => is_other[key] = true,
                Some(Value::Nil) | None => {}
            },
            _ => is_other[key] = true,
        }
    }
    for op in &mut history.operations.ops {
        if let Op::Add { key, value } = *op
            && shows_numbers[key.index()]
            && !is_other[key.index()]
        {
            *op = Op::Increment { key, by: value };
        }
    }
    history.count_kinds();
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
                b'^' => return Err(self.error("`^` (metadata) is not understood; leave it out")),
                b'#' if self.reader.fill_buf()?.first() == Some(&b'#') => {
                    let what = "`##` (an infinite number, or none) is not understood";
                    return Err(self.error(what));
                }
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
                // Of these, one is the map itself.
                let most = DEPTH_MAX - 1;
                return Err(self.error(format!("values nested more than {most} deep, the limit")));
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

/// Adds what one map says, which begins on a line.
fn add(
    foreign: &mut Foreign,
    known: &mut FxHashMap<Key, Known>,
    line: u64,
    map: &Edn<'_>,
    how: How,
) -> Result<(), String> {
    let Edn::Map(_) = map else {
        return Err("a map {…} of an operation belongs there".to_owned());
    };
    let field = |name: &'static str| map.get(&Edn::key(name)).unwrap_or(&NIL);
    let time = match field("time") {
        Edn::Int(nanos) => u64::try_from(*nanos).ok(),
        _ => None,
    };
    foreign.tick(line, time);
    let version = match field("version") {
        Edn::Int(version) => u64::try_from(*version).ok(),
        _ => None,
    };
    let (kind, f) = (word(field("type")), word(field("f")));
    let process = match field("process") {
        Edn::Int(process) => *process,
        Edn::Key(_) => return add_fault(foreign, f, field("value")),
        _ => return Err("`:process` is a whole number, or a keyword such as :nemesis".to_owned()),
    };
    match kind.as_deref() {
        Some("invoke") => {
            let f = f.ok_or("an operation says what it does in `:f`")?;
            let op = op_of(&f, field("key"), field("value"), how)?;
            if how.keys == Keys::Auto {
                check_is_no_pair(&op, field("value"))?;
            }
            note(known, (&f, &op), key_of(field("key"), field("value"), how.keys))?;
            let client = Client { session: number(field("session")), node: number(field("node")) };
            foreign.invoke(process, client, op)?;
            if f == DRAIN { foreign.drains(process) } else { Ok(()) }
        }
        Some("ok") => {
            let op = foreign.open(process)?;
            check_function(op, f.as_deref())?;
            check_repeated(op, field("key"), field("value"), how)?;
            if foreign.is_drain(process) != (f.as_deref() == Some(DRAIN)) {
                return Err("only a :drain completes a :drain".to_owned());
            }
            if foreign.is_drain(process) {
                let (_, value) = split(&NIL, field("value"), how.keys)?;
                return foreign.drained(process, drained(value, how.texts)?);
            }
            let is_written = known.get(op.key()).is_some_and(|key| key.is_written);
            let ret = match f.as_deref() {
                Some(TRANSFER) => transferred(op, field("value"), how)?,
                _ => ret_of(op, field("value"), how, is_written)?,
            };
            foreign.complete(process, &Outcome::Ok(ret), version)
        }
        Some("fail") => {
            let op = foreign.open(process)?;
            check_function(op, f.as_deref())?;
            let reason = answer(op, field("error"), how.texts)?;
            // What failed for any other reason has seen nothing of which there were versions.
            let version = version.filter(|_| reason.is_some());
            let reason = reason.unwrap_or_else(|| self::reason(field("error"), "fail"));
            foreign.complete(process, &Outcome::Fail(reason), version)
        }
        Some("info") => {
            check_function(foreign.open(process)?, f.as_deref())?;
            if foreign.is_drain(process) {
                return Err(OPEN_DRAIN.to_owned());
            }
            foreign.complete(process, &Outcome::Info(reason(field("error"), "info")), None)
        }
        _ => Err("`:type` is one of :invoke, :ok, :fail and :info".to_owned()),
    }
}

/// Adds what a nemesis does.
fn add_fault(foreign: &mut Foreign, f: Option<String>, value: &Edn<'_>) -> Result<(), String> {
    let f = f.ok_or("a nemesis says what it does in `:f`")?;
    if let Some(phase) = phase_of(&f, value) {
        return foreign.phase(phase);
    }
    let what = if *value == Edn::Nil { String::new() } else { value.to_string() };
    foreign.fault(&f, what)
}

/// Takes note of what an operation says of its key.
fn note(
    known: &mut FxHashMap<Key, Known>,
    (f, op): (&str, &Op),
    key: &Edn<'_>,
) -> Result<(), String> {
    let is_text = matches!(key, Edn::Str(_));
    let is_bank = f == TRANSFER;
    let writes =
        matches!(op.kind(), OpKind::Write | OpKind::Cas | OpKind::Append | OpKind::Enqueue);
    match known.get_mut(op.key()) {
        Some(before) if before.is_text != is_text => Err(format!(
            "`{key}` is the key of this operation, and before there was another one, which {} a text, of \
             the same name; call one of them differently",
            if is_text { "is not" } else { "is" }
        )),
        Some(before) => {
            before.is_written |= writes;
            before.is_bank |= is_bank;
            Ok(())
        }
        None => {
            let of_key = Known { is_text, is_written: writes, is_bank };
            known.insert(op.key().clone(), of_key);
            Ok(())
        }
    }
}

fn word(value: &Edn<'_>) -> Option<String> {
    match value {
        Edn::Key(text) | Edn::Str(text) | Edn::Symbol(text) => Some(text.clone().into_owned()),
        _ => None,
    }
}

/// A number that names something, if it is one.
fn number(value: &Edn<'_>) -> Option<u32> {
    match value {
        Edn::Int(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}

/// The phase that begins, as this module writes it.
fn phase_of(f: &str, value: &Edn<'_>) -> Option<Phase> {
    match value {
        Edn::Key(name) if f == PHASE => {
            PHASES.iter().find(|(_, known)| known == name).map(|(phase, _)| *phase)
        }
        _ => None,
    }
}

/// Every phase by its name.
const PHASES: [(Phase, &str); 3] =
    [(Phase::Safety, "safety"), (Phase::Liveness, "liveness"), (Phase::Final, "final")];

/// Fails where a value that may belong to a key and a value was taken for a value alone: judged as one
/// object, what happened on several keys would break, or hide a violation.
fn check_is_no_pair(op: &Op, value: &Edn<'_>) -> Result<(), String> {
    let (Edn::Vector(pair) | Edn::List(pair)) = value else { return Ok(()) };
    let is_pair = match op.kind() {
        OpKind::Read
        | OpKind::Delete
        | OpKind::Dequeue
        | OpKind::Acquire
        | OpKind::Release
        | OpKind::Generate
        | OpKind::Committed => pair.len() == 2,
        OpKind::Cas => {
            let is_list = |value: &Edn<'_>| matches!(value, Edn::Vector(_) | Edn::List(_));
            pair.len() == 2 && !is_list(&pair[0]) && is_list(&pair[1])
        }
        _ => false,
    };
    if !is_pair {
        return Ok(());
    }
    Err(format!(
        "the value of a :{} is {value}: say with `--keys independent` that values are pairs of a key \
         and a value, or with `--keys single` that they are not",
        op.kind()
    ))
}

/// Fails where a completion says that something else was done than what was asked.
fn check_function(op: &Op, f: Option<&str>) -> Result<(), String> {
    let asked = op.kind();
    match f {
        // A transaction has either name where its steps say what it does.
        Some("read" | "write") if asked == OpKind::Txn => Ok(()),
        Some(f) if kind_of(f) != Some(asked) => {
            Err(format!("this completes a :{f}, but a :{asked} is what its process had asked for"))
        }
        _ => Ok(()),
    }
}

/// Fails where a completion says another key or value than was asked. Left out, it is the same.
fn check_repeated(op: &Op, key: &Edn<'_>, value: &Edn<'_>, how: How) -> Result<(), String> {
    let is_told = how.keys == Keys::Independent || *key != Edn::Nil;
    let (of_key, value) = split(key, value, how.keys)?;
    if is_told && of_key != *op.key() {
        return Err(format!("this completes an operation on {of_key}, but {} was asked", op.key()));
    }
    let returns = matches!(
        op.kind(),
        OpKind::Read
            | OpKind::Delete
            | OpKind::Dequeue
            | OpKind::Acquire
            | OpKind::Release
            | OpKind::Generate
            | OpKind::Send
            | OpKind::Poll
            | OpKind::Committed
            | OpKind::Echo
            | OpKind::Txn
    );
    if returns || *value == Edn::Nil {
        return Ok(());
    }
    match given(op.kind(), op.key().clone(), value, how.texts) {
        Ok(repeated) if repeated == *op => Ok(()),
        _ => Err(format!("this completes a :{} of {value}, but `{op}` was asked", op.kind())),
    }
}

/// What is stored that kept an operation from being done, as this module writes it.
fn answer(op: &Op, error: &Edn<'_>, texts: Texts) -> Result<Option<Reason>, String> {
    let Edn::Vector(parts) = error else { return Ok(None) };
    match &parts[..] {
        [Edn::Key(name), found @ ..]
            if name == "mismatch" && found.len() <= 1 && op.kind() == OpKind::Cas =>
        {
            let actual = found.first().map(|found| value_of(found, texts)).transpose()?;
            Ok(Some(Reason::Mismatch { actual }))
        }
        [Edn::Key(name), words]
            if name == "declined" && op.kind() != OpKind::Cas && op.kind().has_condition() =>
        {
            Ok(word(words).map(|words| Reason::Declined(words.into())))
        }
        _ => Ok(None),
    }
}

fn reason(error: &Edn<'_>, otherwise: &str) -> Reason {
    match error {
        Edn::Nil => Reason::Other(otherwise.into()),
        Edn::Key(text) if text == "timeout" || text == "timed-out" => Reason::Timeout,
        Edn::Key(text) if text == "unsupported" => Reason::Unsupported,
        error => Reason::Other(word(error).unwrap_or_else(|| error.to_string()).into()),
    }
}

/// The key, and what is left of the value.
fn split<'a>(
    key: &'a Edn<'a>,
    value: &'a Edn<'a>,
    keys: Keys,
) -> Result<(Key, &'a Edn<'a>), String> {
    match (keys, value) {
        (Keys::Independent, Edn::Vector(pair) | Edn::List(pair)) if pair.len() == 2 => {
            Ok((name(&pair[0])?, &pair[1]))
        }
        (Keys::Independent, _) => {
            Err("with independent keys, `:value` is a pair [key value]".to_owned())
        }
        (Keys::Auto | Keys::Single, _) if *key == Edn::Nil => Ok((Key::from("x"), value)),
        (Keys::Auto | Keys::Single, _) => Ok((name(key)?, value)),
    }
}

/// What an operation has for a key, if anything.
fn key_of<'a>(key: &'a Edn<'a>, value: &'a Edn<'a>, keys: Keys) -> &'a Edn<'a> {
    match (keys, value) {
        (Keys::Independent, Edn::Vector(pair) | Edn::List(pair)) => pair.first().unwrap_or(key),
        _ => key,
    }
}

/// What a key is called. Whether a text is called so, or something else, is [noted](note).
fn name(key: &Edn<'_>) -> Result<Key, String> {
    Ok(match key {
        Edn::Str(text) | Edn::Symbol(text) => Key::from(&**text),
        Edn::Bool(truth) => Key::from(truth.to_string()),
        other => match value_of(other, Texts::Doubled)? {
            Value::Text(text) => Key::from(&*text),
            value => Key::from(value.to_string()),
        },
    })
}

fn op_of(f: &str, key: &Edn<'_>, value: &Edn<'_>, how: How) -> Result<Op, String> {
    let (key, value) = split(key, value, how.keys)?;
    match kind_of(f) {
        _ if f == TRANSFER => Ok(Op::Txn { key, body: bank_edn::transfer(value, how.texts)? }),
        Some(OpKind::Read) if f == READ_REPLICA => Ok(Op::Read { key, level: ReadLevel::Replica }),
        Some(OpKind::Read | OpKind::Write) if are_steps(value) => {
            given(OpKind::Txn, key, value, how.texts)
        }
        Some(kind) => given(kind, key, value, how.texts),
        None => {
            let known: Vec<String> =
                OpKind::ALL.iter().map(|kind| format!(":{}", kind.name())).collect();
            Err(format!(
                "`:f` :{f} is not known; known are {}, and of workloads :{TRANSFER} and :{DRAIN}",
                known.join(", ")
            ))
        }
    }
}

/// What a function does, by its name.
fn kind_of(f: &str) -> Option<OpKind> {
    match f {
        "get" | "r" | READ_REPLICA => Some(OpKind::Read),
        "put" | "w" => Some(OpKind::Write),
        "inc" => Some(OpKind::Increment),
        "lock" => Some(OpKind::Acquire),
        "unlock" => Some(OpKind::Release),
        TRANSFER => Some(OpKind::Txn),
        DRAIN => Some(OpKind::Dequeue),
        _ => OpKind::ALL.into_iter().find(|kind| kind.name() == f),
    }
}

/// An operation with the value that it was given.
fn given(kind: OpKind, key: Key, value: &Edn<'_>, texts: Texts) -> Result<Op, String> {
    let given = || value_of(value, texts);
    Ok(match kind {
        OpKind::Read => Op::Read { key, level: ReadLevel::Strong },
        OpKind::Write => Op::Write { key, value: given()? },
        OpKind::Cas => {
            let (Edn::Vector(pair) | Edn::List(pair)) = value else {
                return Err("the value of a :cas is a pair [from to]".to_owned());
            };
            let [from, to] = &pair[..] else {
                return Err("the value of a :cas is a pair [from to]".to_owned());
            };
            Op::Cas { key, from: value_of(from, texts)?, to: value_of(to, texts)? }
        }
        OpKind::Delete => Op::Delete { key },
        OpKind::Add => Op::Add { key, value: given()? },
        OpKind::Remove => Op::Remove { key, value: given()? },
        OpKind::Increment => Op::Increment { key, by: given()? },
        OpKind::Append => Op::Append { key, value: given()? },
        OpKind::Enqueue => Op::Enqueue { key, value: given()? },
        OpKind::Dequeue => Op::Dequeue { key },
        OpKind::Acquire => Op::Acquire { key },
        OpKind::Release => Op::Release { key },
        OpKind::Generate => Op::Generate { key },
        OpKind::Send => Op::Send { key, value: given()? },
        OpKind::Poll => Op::Poll { key, from: given()? },
        OpKind::Commit => Op::Commit { key, offset: given()? },
        OpKind::Committed => Op::Committed { key },
        OpKind::Echo => Op::Echo { key, value: given()? },
        OpKind::Txn => Op::Txn { key, body: steps(value, texts)? },
    })
}

/// Whether a value is the steps of a transaction, and nothing that somebody would write.
fn are_steps(value: &Edn<'_>) -> bool {
    let is_step = |step: &Edn<'_>| match step {
        Edn::Vector(parts) => match &parts[..] {
            [Edn::Key(name), _, _] => matches!(&**name, "r" | "w" | "append"),
            _ => false,
        },
        _ => false,
    };
    matches!(value, Edn::Vector(steps) if !steps.is_empty() && steps.iter().all(is_step))
}

/// The steps of a transaction, their names as texts.
fn steps(body: &Edn<'_>, texts: Texts) -> Result<Value, String> {
    let step = |step: &Edn<'_>| match step {
        Edn::Vector(parts) | Edn::List(parts) => {
            let values = parts.iter().map(|part| value_of(part, texts));
            let mut values = values.collect::<Result<Vec<_>, _>>()?;
            if let (Some(Edn::Key(name)), Some(first)) = (parts.first(), values.first_mut()) {
                *first = Value::Text((&**name).into());
            }
            Ok(Value::List(values.into()))
        }
        other => value_of(other, texts),
    };
    match body {
        Edn::Vector(items) | Edn::List(items) => {
            Ok(Value::List(items.iter().map(step).collect::<Result<Vec<_>, String>>()?.into()))
        }
        other => value_of(other, texts),
    }
}

fn ret_of(op: &Op, value: &Edn<'_>, how: How, is_written: bool) -> Result<Ret, String> {
    let (_, value) = split(&NIL, value, how.keys)?;
    Ok(match op.kind() {
        OpKind::Read if !is_written => Ret::Value(elements_of(value, how.texts)?),
        OpKind::Txn => Ret::Value(steps(value, how.texts)?),
        OpKind::Acquire => match value_of(value, how.texts)? {
            token @ Value::Int(_) => Ret::Value(token),
            _ => Ret::Done,
        },
        kind if kind.returns() == Some(true) => Ret::Value(value_of(value, how.texts)?),
        _ => Ret::Done,
    })
}

/// What a transfer returned: that it was done.
fn transferred(op: &Op, value: &Edn<'_>, how: How) -> Result<Ret, String> {
    let Op::Txn { body, .. } = op else { unreachable!("a transfer is a transaction") };
    let (_, value) = split(&NIL, value, how.keys)?;
    if *value != Edn::Nil && bank_edn::transfer(value, how.texts)? != *body {
        return Err(format!("this completes a :{TRANSFER} of {value}, but `{op}` was asked"));
    }
    Ok(Ret::Value(body.clone()))
}

/// What a drain took, in its order.
fn drained(value: &Edn<'_>, texts: Texts) -> Result<Vec<Value>, String> {
    match value {
        Edn::Nil => Ok(Vec::new()),
        Edn::Vector(values) | Edn::List(values) => {
            values.iter().map(|value| value_of(value, texts)).collect()
        }
        other => Err(format!("a :{DRAIN} returns the values that it took, [1 2 3], not {other}")),
    }
}

/// Writes a history as Jepsen does: a map a line. Each value is a pair of key and value, as
/// `jepsen.independent` has it; reads of replicas, which promise less, are `:read-replica`.
///
/// # Errors
/// Those of the writer.
pub fn write(history: &History, writer: impl Write) -> io::Result<()> {
    let mut writer = io::BufWriter::new(writer);
    writeln!(writer, "{MARK}")?;
    for (index, (time, event)) in history.events().enumerate() {
        let fields = match event {
            Event::Invoke(operation) => invoked(history, &operation),
            Event::Complete(operation) => completed(history, &operation),
            Event::Fault(fault) => {
                let edge = if fault.edge == FaultEdge::Begin { "start" } else { "stop" };
                let name = format!("{edge}-{}", fault.kind);
                let f = function(&name);
                let what = Edn::string(&fault.what[..]);
                format!(":process :nemesis, :type :info, :f {f}, :value {what}")
            }
            Event::Phase(phase) => {
                let known = PHASES.iter().find(|(known, _)| *known == phase);
                let name = known.map(|(_, name)| *name).expect("every phase is in the table");
                format!(":process :nemesis, :type :info, :f :{PHASE}, :value :{name}")
            }
        };
        // Without times, the order of the lines tells as much.
        let time = match time.is_line() {
            true => String::new(),
            false => format!(":time {}, ", time.as_nanos()),
        };
        put(&mut writer, &format!("{{:index {index}, {time}{fields}}}"))?;
    }
    writer.flush()
}

/// What a nemesis does: a keyword, where that can be one.
fn function(name: &str) -> Edn<'_> {
    let is_of_keywords = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if name.chars().all(is_of_keywords) { Edn::key(name) } else { Edn::string(name) }
}

/// What a client asks for.
fn called(op: &Op) -> &'static str {
    match op {
        Op::Read { level: ReadLevel::Replica, .. } => READ_REPLICA,
        op => op.kind().name(),
    }
}

fn invoked(history: &History, operation: &Operation<'_>) -> String {
    let op = history.op(operation.id);
    let (process, f, value) = (operation.process, called(&op), paired(op.key(), asked(&op)));
    let mut fields = format!(":process {process}, :type :invoke, :f :{f}, :value {value}");
    // Another process of a session goes on with what its client had.
    let _ = write!(fields, ", :session {}", operation.session);
    if let Some(node) = operation.node {
        let _ = write!(fields, ", :node {node}");
    }
    fields
}

fn completed(history: &History, operation: &Operation<'_>) -> String {
    let op = history.op(operation.id);
    let outcome = operation.outcome.expect("a completed operation has an outcome");
    let (kind, value, reason) = match outcome {
        Outcome::Ok(Ret::Value(id)) => ("ok", to_edn(history.value(*id)), None),
        Outcome::Ok(Ret::Done) => ("ok", asked(&op), None),
        Outcome::Fail(reason) => ("fail", asked(&op), Some(reason)),
        Outcome::Info(reason) => ("info", asked(&op), Some(reason)),
    };
    let (process, f, value) = (operation.process, called(&op), paired(op.key(), value));
    let mut fields = format!(":process {process}, :type :{kind}, :f :{f}, :value {value}");
    let error = match reason {
        None => None,
        Some(Reason::Mismatch { actual }) => {
            let found = actual.map(|id| to_edn(history.value(id)));
            Some(Edn::Vector([Edn::key("mismatch")].into_iter().chain(found).collect()))
        }
        Some(Reason::Declined(words)) => {
            Some(Edn::Vector(vec![Edn::key("declined"), Edn::string(words.to_string())]))
        }
        Some(Reason::Timeout) => Some(Edn::key("timeout")),
        Some(Reason::Unsupported) => Some(Edn::key("unsupported")),
        Some(reason) => Some(Edn::string(reason.map(|id| history.value(*id).clone()).to_string())),
    };
    if let Some(error) = error {
        let _ = write!(fields, ", :error {error}");
    }
    if let Some(version) = history.version(operation.id) {
        let _ = write!(fields, ", :version {version}");
    }
    fields
}

fn put(writer: &mut impl Write, line: &str) -> io::Result<()> {
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

fn paired(key: &Key, value: Edn<'static>) -> Edn<'static> {
    Edn::Vector(vec![Edn::string(key.as_str().to_owned()), value])
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
        | Op::Send { value, .. }
        | Op::Echo { value, .. }
        | Op::Poll { from: value, .. }
        | Op::Commit { offset: value, .. }
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

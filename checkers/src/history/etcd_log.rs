//! The etcd logs of Porcupine's tests: lines of Jepsen's log, `INFO  jepsen.util - 3 :invoke :read
//! nil`, of one compare-and-set register.
//!
//! A compare-and-set that fails found another value: that is what etcd answers here, unless it says
//! why it failed. A completion repeats what was asked, or leaves it out; what contradicts it is refused.

use std::io::{BufRead, Read};

use super::foreign::{Client, Foreign};
use super::jsonl::{ReadError, ReadLimits};
use super::{History, Key, Op, OpKind, Outcome, ReadLevel, Reason, Ret, Value};

/// What each line of an operation begins with, blanks apart.
pub(super) const START: [&str; 3] = ["INFO", "jepsen.util", "-"];

/// The types of the events of operations.
const TYPES: [&str; 4] = [":invoke", ":ok", ":fail", ":info"];

/// Reads a history. Lines of other loggers and those of the nemesis are left out.
///
/// # Errors
/// Names the first line that is not what belongs there.
pub fn read(mut reader: impl BufRead, limits: &ReadLimits) -> Result<History, ReadError> {
    let mut foreign = Foreign::new();
    let mut text = Vec::new();
    for line in 1.. {
        let error = |what: String| ReadError::at(line, what);
        text.clear();
        let limit = limits.line_bytes_max;
        let read = reader.by_ref().take(limit.saturating_add(1)).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        if read as u64 > limit {
            return Err(error(format!("longer than {limit} bytes, the limit")));
        }
        let text = str::from_utf8(&text).map_err(|_| error("not UTF-8".to_owned()))?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let Some(words) = words.strip_prefix(&START) else { continue };
        if !text.ends_with('\n') {
            // `:read 1` may have been `:read 12`.
            return Err(error("the line is cut off: it does not end".to_owned()));
        }
        let Some(process) = process_of(words).map_err(error)? else { continue };
        if foreign.len() >= u64::from(limits.events_max) {
            return Err(error(format!("more than {} events, the limit", limits.events_max)));
        }
        foreign.tick(line, None);
        add(&mut foreign, process, &words[1..]).map_err(error)?;
    }
    if foreign.len() == 0 {
        let what = "there is no operation; expected lines such as \
                    `INFO  jepsen.util - 3 :invoke :read nil`";
        return Err(ReadError::at(1, what));
    }
    Ok(foreign.finish())
}

/// The client whose event a line is; none where it is nobody's.
fn process_of(words: &[&str]) -> Result<Option<i64>, String> {
    let Some(first) = words.first() else { return Ok(None) };
    match first.parse() {
        Ok(process) => Ok(Some(process)),
        // The nemesis.
        Err(_) if first.starts_with(':') && !TYPES.contains(first) => Ok(None),
        // Left out, a damaged line would take its operation with it, and perhaps the anomaly.
        Err(_) if words.iter().any(|word| TYPES.contains(word)) => Err(format!(
            "`{first}` where the number of a process, or a keyword such as :nemesis, belongs"
        )),
        Err(_) => Ok(None),
    }
}

fn add(foreign: &mut Foreign, process: i64, words: &[&str]) -> Result<(), String> {
    let [kind, f, rest @ ..] = words else {
        return Err("a process, a type, an operation and a value belong there".to_owned());
    };
    let of = match *f {
        ":read" => OpKind::Read,
        ":write" => OpKind::Write,
        ":cas" => OpKind::Cas,
        _ => return Err(unknown(kind, f)),
    };
    if *kind == ":invoke" {
        return foreign.invoke(process, Client::default(), asked(of, rest)?);
    }
    if !TYPES.contains(kind) {
        return Err(unknown(kind, f));
    }
    let open = foreign.open(process)?;
    let is_reason = *kind != ":ok" && matches!(rest, [word] if word.starts_with(':'));
    if open.kind() != of {
        let asked = open.kind();
        return Err(format!("this completes a {f}, but a :{asked} is what its process asked for"));
    }
    // What a read returned is told by `ok` alone.
    let repeats = of != OpKind::Read && !is_reason && !matches!(rest, [] | ["nil"]);
    if repeats && asked(of, rest)? != *open {
        return Err(format!("this completes a {f} of {}, but `{open}` was asked", rest.join(" ")));
    }
    let reason = match rest {
        [":timed-out"] => Reason::Timeout,
        [word] if is_reason => Reason::Other((*word).into()),
        _ if of == OpKind::Cas && *kind == ":fail" => Reason::Mismatch { actual: None },
        _ => Reason::Timeout,
    };
    let outcome = match *kind {
        ":ok" if of == OpKind::Read => Outcome::Ok(Ret::Value(one(rest)?)),
        ":ok" => Outcome::Ok(Ret::Done),
        ":fail" => Outcome::Fail(reason),
        _ => Outcome::Info(reason),
    };
    foreign.complete(process, &outcome, None)
}

/// An operation with what it was given.
fn asked(of: OpKind, given: &[&str]) -> Result<Op, String> {
    let key = Key::from("x");
    Ok(match of {
        OpKind::Write => Op::Write { key, value: one(given)? },
        OpKind::Cas => {
            let (from, to) = pair(given)?;
            Op::Cas { key, from, to }
        }
        _ => Op::Read { key, level: ReadLevel::Strong },
    })
}

fn unknown(kind: &str, f: &str) -> String {
    format!(
        "`{kind} {f}` is not known; known are :invoke, :ok, :fail and :info of :read, :write and :cas"
    )
}

fn one(words: &[&str]) -> Result<Value, String> {
    match words {
        ["nil"] => Ok(Value::Nil),
        [word] => word.parse().map(Value::Int).map_err(|_| expected(words)),
        _ => Err(expected(words)),
    }
}

fn pair(words: &[&str]) -> Result<(Value, Value), String> {
    let [from, to] = words else { return Err(expected(words)) };
    let from = from.strip_prefix('[').ok_or_else(|| expected(words))?;
    let to = to.strip_suffix(']').ok_or_else(|| expected(words))?;
    Ok((one(&[from])?, one(&[to])?))
}

fn expected(words: &[&str]) -> String {
    format!("`{}` where `nil`, a whole number, or a pair such as `[1 2]` belongs", words.join(" "))
}

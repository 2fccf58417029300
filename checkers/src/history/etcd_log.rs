//! The etcd logs of Porcupine's tests: lines of Jepsen's log, `INFO  jepsen.util - 3 :invoke :read
//! nil`, of one compare-and-set register.
//!
//! A compare-and-set that fails found another value: that is what etcd answers here.

use std::io::{BufRead, Read};

use super::foreign::{Client, Foreign};
use super::jsonl::{ReadError, ReadLimits};
use super::{History, Key, Op, Outcome, ReadLevel, Reason, Ret, Value};

/// What each line of an operation begins with, blanks apart.
pub(super) const START: [&str; 3] = ["INFO", "jepsen.util", "-"];

/// Reads a history. Lines that are not of an operation of a client are left out.
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
        let Some(Ok(process)) = words.first().map(|word| word.parse::<i64>()) else { continue };
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

fn add(foreign: &mut Foreign, process: i64, words: &[&str]) -> Result<(), String> {
    let [kind, f, rest @ ..] = words else {
        return Err("a process, a type, an operation and a value belong there".to_owned());
    };
    let (key, nobody) = (Key::from("x"), Client::default());
    match (*kind, *f) {
        (":invoke", ":read") => {
            foreign.invoke(process, nobody, Op::Read { key, level: ReadLevel::Strong })
        }
        (":invoke", ":write") => {
            foreign.invoke(process, nobody, Op::Write { key, value: one(rest)? })
        }
        (":invoke", ":cas") => {
            let (from, to) = pair(rest)?;
            foreign.invoke(process, nobody, Op::Cas { key, from, to })
        }
        (":ok", ":read") => {
            let value = one(rest)?;
            foreign.complete(process, &Outcome::Ok(Ret::Value(value)), None)
        }
        (":ok", _) => foreign.complete(process, &Outcome::Ok(Ret::Done), None),
        (":fail", ":cas") if rest != [":timed-out"] => {
            let found_another = Outcome::Fail(Reason::Mismatch { actual: None });
            foreign.complete(process, &found_another, None)
        }
        (":fail", _) => foreign.complete(process, &Outcome::Fail(Reason::Timeout), None),
        (":info", _) => foreign.complete(process, &Outcome::Info(Reason::Timeout), None),
        _ => Err(format!(
            "`{kind} {f}` is not known; known are :invoke, :ok, :fail and :info of :read, :write \
             and :cas"
        )),
    }
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

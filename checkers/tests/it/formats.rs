//! What a history may contain, and how it is written and read.

use proptest::prelude::*;
use stormglass_checkers::History;
use stormglass_checkers::history::jsonl::{self, ReadError, ReadLimits};
use stormglass_checkers::history::{
    HistoryBuilder, HistoryError, Invocation, Op, OperationId, Outcome, ProcessId, ReadLevel,
    Reason, Ret, SessionId, Time, Value,
};

use crate::notation::history;

fn write(history: &History) -> Vec<u8> {
    let mut bytes = Vec::new();
    jsonl::write(history, &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<History, ReadError> {
    jsonl::read(bytes, &ReadLimits::default())
}

/// The message with which a file is refused.
#[track_caller]
fn refused(bytes: &[u8]) -> String {
    read(bytes).expect_err("it was read").to_string()
}

const SAMPLE: &str = "
    phase safety
    0/7 invoke write x 10 @n2
    1 invoke cas x nil 3
    fault 0 begin partition n1 | n2 n3
    0 info timeout
    1 fail mismatch 10
    2/7 invoke read x
    2 ok 10
    3 invoke cas x 1 2
    3 fail mismatch
    4 invoke cas x 1 2
    4 fail mismatch nil
    5 invoke delete x
    5 ok
    5 invoke acquire z
    5 fail declined it is taken
    fault 0 end partition n1 | n2 n3
    phase final
    6 invoke read-replica x @n1
    6 ok nil
    8 invoke write y open
";

#[test]
fn a_history_is_read_as_it_was_written() {
    let history = history(SAMPLE);
    let bytes = write(&history);
    let again = read(&bytes).unwrap();
    assert_eq!(again, history);
    assert_eq!(write(&again), bytes);
}

#[test]
fn the_example_of_the_documentation_is_a_history() {
    let text = include_str!("../../../results/README.md");
    let (_, example) = text.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let history = read(example.as_bytes()).unwrap();
    assert_eq!(write(&history), example.as_bytes());
}

#[test]
fn a_mismatch_that_found_nil_is_not_one_that_does_not_tell() {
    let text = |reason: &str| format!("0 invoke cas x 1 2\n0 fail {reason}");
    let [tells, silent] = ["mismatch nil", "mismatch"].map(|reason| history(&text(reason)));
    assert_ne!(read(&write(&tells)).unwrap(), silent);
    assert_eq!(read(&write(&silent)).unwrap(), silent);
}

#[test]
fn a_file_that_was_cut_off_is_refused_wherever() {
    let bytes = write(&history(SAMPLE));
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "{len} of {} bytes were read", bytes.len());
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let without_the_last = lines[..lines.len() - 1].concat();
    assert!(refused(&without_the_last).contains("it was cut off"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_would_do() {
    let header = "{\"format\":\"stormglass-history\",\"version\":1}\n";
    let check = |lines: &str, message: &str| {
        let text = refused(format!("{header}{lines}").as_bytes());
        assert!(text.contains(message), "{text}");
    };
    assert!(refused(b"").starts_with("line 1: the file is empty"));
    assert!(refused(b"{}\n").starts_with("line 1: expected the header"));
    let newer = header.replace('1', "2");
    assert!(refused(newer.as_bytes()).contains("version 2 is not known; this program reads 1"));
    check("{\"end\":3}\n", "line 2: the footer counts 3 events, but there are 0");
    check("{\"end\":0}\n{}\n", "line 3: there is more after the footer");
    check("{\"i\":1,\"t\":0,\"phase\":\"final\"}\n", "line 2: event 1 where event 0 belongs");
    check("{\"i\":0,\"t\":0,\"phase\":\"never\"}\n", "line 2: not a line of a history");
    check("{\"i\":0,\"t\":0,\"colour\":\"red\"}\n", "unknown field `colour`");
    check("{\"i\":0,\"t\":0}\n", "the fields belong to no kind of event");
    check("{\"i\":0,\"t\":0,\"p\":3,\"ok\":\"done\"}\n", "process 3 completes an operation");
    check("{\"i\":0,\"t\":0,\"p\":3,\"phase\":\"final\"}\n", "the fields belong to no kind");
    let invoke = "{\"i\":0,\"t\":0,\"p\":0,\"s\":0,\"invoke\":";
    let stray = "{\"op\":\"read\",\"key\":\"x\",\"levle\":\"replica\"}}\n";
    check(&format!("{invoke}{stray}"), "unknown field `levle`");
    let cas = "{\"op\":\"cas\",\"key\":\"x\",\"from\":1,\"to\":2}}\n";
    let stray = "{\"i\":1,\"t\":0,\"p\":0,\"fail\":{\"mismatch\":{\"actaul\":7}}}\n";
    check(&format!("{invoke}{cas}{stray}"), "unknown field `actaul`");
    let huge = "{\"op\":\"write\",\"key\":\"x\",\"value\":1e3}}\n";
    check(&format!("{invoke}{huge}"), "a value is null, a whole number");
    let back = "{\"i\":0,\"t\":5,\"phase\":\"safety\"}\n{\"i\":1,\"t\":4,\"phase\":\"final\"}\n";
    check(back, "line 3: time goes back from 5 ns to 4 ns");
    let deep = format!("{{\"i\":0,\"t\":0,\"p\":0,\"ok\":{{\"value\":{}}}}}\n", "[".repeat(500));
    check(&deep, "line 2: not a line of a history");
}

#[test]
fn a_file_beyond_the_limits_is_refused() {
    let bytes = write(&history(SAMPLE));
    let with = |limits| jsonl::read(&bytes[..], &limits).unwrap_err().to_string();
    let short = ReadLimits { line_bytes_max: 50, ..ReadLimits::default() };
    assert_eq!(with(short), "line 3: longer than 50 bytes, the limit");
    let few = ReadLimits { events_max: 4, ..ReadLimits::default() };
    assert_eq!(with(few), "line 6: more than 4 events, the limit");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(|text| Value::Text(text.into())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|values| Value::List(values.into()))
    })
}

proptest! {
    #[test]
    fn any_key_and_value_survives(key in any::<String>(), written in any_value(), read_back in any_value()) {
        let mut builder = HistoryBuilder::new();
        let ops = [
            (Op::Write { key: key.as_str().into(), value: written }, Outcome::Info(Reason::Other(key.as_str().into()))),
            (Op::Read { key: key.as_str().into(), level: ReadLevel::Strong }, Outcome::Ok(Ret::Value(read_back))),
        ];
        for (index, (op, outcome)) in ops.into_iter().enumerate() {
            let (process, session) = (ProcessId(index as u32), SessionId(0));
            let invocation = Invocation { process, session, node: None, op };
            let id = builder.invoke(Time::ZERO, &invocation).unwrap();
            builder.complete(Time::ZERO, id, &outcome).unwrap();
        }
        let history = builder.finish();
        let bytes = write(&history);
        prop_assert_eq!(read(&bytes).unwrap(), history);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_damaged_file_is_refused_or_is_another_history(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let sound = history(SAMPLE);
        let mut bytes = write(&sound);
        let place = place.index(bytes.len());
        let changed = bytes[place] != byte;
        bytes[place] = byte;
        if let Ok(read) = read(&bytes) {
            prop_assert!(!changed || read != sound || write(&read) == write(&sound));
        }
    }
}

/// A builder with one process that has `outcome` behind it, or is still busy.
fn builder(outcome: Option<&Outcome>) -> HistoryBuilder {
    let mut builder = HistoryBuilder::new();
    let id = builder.invoke(Time::from_millis(5), &invocation(0, 0)).unwrap();
    if let Some(outcome) = outcome {
        builder.complete(Time::from_millis(6), id, outcome).unwrap();
    }
    builder
}

fn invocation(process: u32, session: u32) -> Invocation {
    let op = Op::Write { key: "x".into(), value: Value::Int(1) };
    Invocation { process: ProcessId(process), session: SessionId(session), node: None, op }
}

#[test]
fn what_no_history_contains_is_refused() {
    let done = Outcome::Ok(Ret::Done);
    let lost = Outcome::Info(Reason::Timeout);
    let later = Time::from_millis(9);
    let invoke = |outcome, at, process, session| {
        builder(outcome).invoke(at, &invocation(process, session)).unwrap_err()
    };
    let process = ProcessId(0);
    let (first, second) = (OperationId(0), OperationId(1));
    assert_eq!(invoke(None, later, 0, 0), HistoryError::Busy { process, first, second });
    assert_eq!(invoke(Some(&lost), later, 0, 0), HistoryError::Retired { process });
    let two = HistoryError::TwoSessions { process, first: SessionId(0), second: SessionId(4) };
    assert_eq!(invoke(Some(&done), later, 0, 4), two);
    let back = HistoryError::TimeGoesBack { from: Time::from_millis(6), to: Time::ZERO };
    assert_eq!(invoke(Some(&done), Time::ZERO, 1, 1), back);

    let complete = |id, outcome: &Outcome| builder(None).complete(later, id, outcome).unwrap_err();
    let operation = OperationId(3);
    assert_eq!(complete(operation, &done), HistoryError::NotOpen { operation });
    let misfits = [
        Outcome::Ok(Ret::Value(Value::Nil)),
        Outcome::Fail(Reason::Mismatch { actual: None }),
        Outcome::Info(Reason::Mismatch { actual: None }),
        Outcome::Fail(Reason::Declined("it is full".into())),
        Outcome::Info(Reason::Declined("it is full".into())),
    ];
    for outcome in misfits {
        assert!(matches!(complete(first, &outcome), HistoryError::Misfit { .. }), "{outcome:?}");
    }
    let mut twice = builder(Some(&done));
    let operation = OperationId(0);
    assert_eq!(twice.complete(later, operation, &done), Err(HistoryError::NotOpen { operation }));
    assert_eq!(builder(Some(&done)).open_operation(process), Err(HistoryError::Idle { process }));
}

#[test]
fn only_what_depends_on_what_is_stored_is_declined() {
    for (op, fits) in [
        ("remove x 1", true),
        ("increment x 1", true),
        ("enqueue x 1", true),
        ("dequeue x", true),
        ("acquire x", true),
        ("release x", true),
        ("txn x [[\"inc\",1,-7]]", true),
        ("read x", false),
        ("write x 1", false),
        // It says what it found.
        ("cas x 1 2", false),
        ("add x 1", false),
        ("append x 1", false),
        ("generate x", false),
    ] {
        for (ended, fits) in [("fail", fits), ("info", false)] {
            let undecided = write(&history(&format!("0 invoke {op}\n0 {ended} no")));
            let text = String::from_utf8(undecided).unwrap();
            let declined = text.replace("\"other\"", "\"declined\"");
            assert_ne!(text, declined);
            let read = read(declined.as_bytes());
            assert_eq!(read.is_ok(), fits, "{op}, {ended}: {:?}", read.err());
        }
    }
}

#[test]
fn a_long_line_is_not_quoted_whole() {
    let text = format!(
        "{{\"format\":\"stormglass-history\",\"version\":1}}\n{{\"{}\":1}}\n",
        "é".repeat(9000)
    );
    let error = read(text.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("line 2: ") && error.contains(" … "), "{error}");
    assert!(error.chars().count() < 500, "{error}");
}

#[test]
fn a_time_that_could_be_taken_for_a_line_is_refused() {
    let header = "{\"format\":\"stormglass-history\",\"version\":1}\n";
    let of = |time: u64| {
        format!("{header}{{\"i\":0,\"t\":{time},\"phase\":\"final\"}}\n{{\"end\":1}}\n")
    };
    assert_eq!(read(of((1 << 63) - 1).as_bytes()).unwrap().len(), 1);
    assert_eq!(
        refused(of(1 << 63).as_bytes()),
        "line 2: the time 9223372036854775808 is beyond 2^63 - 1, the last nanosecond"
    );
}

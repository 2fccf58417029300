//! The replicated state: what is applied, and how often.

use stormglass_reference_db::kv::{Command, Kv, ReadLevel, Reply};
use stormglass_reference_db::wire::Request;

/// Applies requests written as `session sequence command…` at 1, 2, 3…, and compares the answers.
fn check(sessions_max: usize, script: &[(u64, u64, &str, Option<Reply>)]) -> Kv {
    let mut kv = Kv::default();
    for (at, (session, sequence, command, expected)) in (1..).zip(script) {
        let request =
            Request { session: *session, sequence: *sequence, seen: 0, command: parse(command) };
        assert_eq!(kv.apply(at, &request, sessions_max), *expected, "at {at}: {command}");
    }
    kv
}

fn parse(command: &str) -> Command {
    let words: Vec<&str> = command.split(' ').collect();
    let value = |word: &str| (word != "nil").then(|| word.as_bytes().to_vec());
    match words[..] {
        ["open"] => Command::OpenSession,
        ["read", key] => Command::Read { key: key.into(), level: ReadLevel::Strong },
        ["write", key, to] => Command::Write { key: key.into(), value: to.into() },
        ["cas", key, from, to] => {
            Command::Cas { key: key.into(), from: value(from), to: value(to) }
        }
        ["delete", key] => Command::Delete { key: key.into() },
        _ => panic!("`{command}` is no command"),
    }
}

fn value(text: &str) -> Option<Reply> {
    Some(Reply::Value(Some(text.into())))
}

const NIL: Option<Reply> = Some(Reply::Value(None));
const DONE: Option<Reply> = Some(Reply::Done);
const UNKNOWN: Option<Reply> = Some(Reply::SessionUnknown);

fn session(number: u64) -> Option<Reply> {
    Some(Reply::Session(number))
}

#[test]
fn a_key_holds_what_was_written_last() {
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (0, 0, "read x", NIL),
            (1, 1, "write x a", DONE),
            (1, 2, "write x b", DONE),
            (0, 0, "read x", value("b")),
            (1, 3, "delete x", DONE),
            (0, 0, "read x", NIL),
        ],
    );
}

#[test]
fn a_compare_and_set_changes_only_what_it_expects() {
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "cas x a b", Some(Reply::Mismatch(None))),
            (1, 2, "cas x nil a", DONE),
            (1, 3, "cas x b c", Some(Reply::Mismatch(Some("a".into())))),
            (1, 4, "cas x a nil", DONE),
            (0, 0, "read x", NIL),
        ],
    );
}

#[test]
fn a_retry_gets_the_first_answer_and_changes_nothing() {
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (0, 1, "open", session(2)),
            (1, 1, "cas x nil a", DONE),
            (2, 1, "write x b", DONE),
            (1, 1, "cas x nil a", DONE),
            (0, 0, "read x", value("b")),
        ],
    );
}

#[test]
fn a_retry_that_was_overtaken_is_not_answered() {
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "write x a", DONE),
            (1, 2, "write x b", DONE),
            (1, 1, "write x a", None),
            (0, 0, "read x", value("b")),
        ],
    );
}

#[test]
fn an_unknown_session_changes_nothing() {
    let kv = check(9, &[(0, 1, "write x a", UNKNOWN), (77, 1, "delete x", UNKNOWN)]);
    assert_eq!(kv, Kv::default());
}

#[test]
fn the_session_that_was_silent_longest_is_forgotten_first() {
    let kv = check(
        2,
        &[
            (0, 1, "open", session(1)),
            (0, 1, "open", session(2)),
            (1, 1, "write x a", DONE),
            (0, 1, "open", session(4)),
            (2, 1, "write x b", UNKNOWN),
            (1, 2, "write x c", DONE),
        ],
    );
    assert_eq!(kv.sessions().collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_state_survives_its_encoding() {
    let kv = check(9, &[(0, 1, "open", session(1)), (1, 1, "write x a", DONE)]);
    let bytes = postcard::to_stdvec(&kv).unwrap();
    assert_eq!(postcard::from_bytes::<Kv>(&bytes).unwrap(), kv);
}

//! The replicated state: what is applied, and how often.

use stormglass_reference_db::kv::{Command, Datum, Kv, ReadLevel, Reply, Step, Update};
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
        ["txn", ref steps @ ..] => {
            Command::Txn { steps: steps.iter().map(|step| parse_step(step)).collect() }
        }
        [name, key, value] => {
            Command::Update { key: key.into(), update: parse_update(name, value) }
        }
        _ => panic!("`{command}` is no command"),
    }
}

fn parse_update(name: &str, value: &str) -> Update {
    match name {
        "increment" => Update::Increment(value.parse().unwrap()),
        "add" => Update::Add(value.into()),
        "remove" => Update::Remove(value.into()),
        "append" => Update::Append(value.into()),
        _ => panic!("`{name}` is no update"),
    }
}

/// A step written as `read:x`, `shift:x`, `write:x:a`, `take:x:3` or an update.
fn parse_step(step: &str) -> Step {
    match step.split(':').collect::<Vec<_>>()[..] {
        ["read", key] => Step::Read(key.into()),
        ["shift", key] => Step::Shift(key.into()),
        ["write", key, value] => Step::Write(key.into(), Datum::Register(value.into())),
        ["take", key, amount] => Step::Take(key.into(), amount.parse().unwrap()),
        [name, key, value] => Step::Update(key.into(), parse_update(name, value)),
        _ => panic!("`{step}` is no step"),
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
fn an_absent_key_becomes_what_it_is_updated_as() {
    let elements =
        |list: &[&str]| list.iter().map(|one| one.as_bytes().to_vec()).collect::<Vec<_>>();
    let set = |list: &[&str]| Some(Reply::Datum(Datum::Set(elements(list).into_iter().collect())));
    let sum = |sum| Some(Reply::Datum(Datum::Counter(sum)));
    let list = |list: &[&str]| Some(Reply::Datum(Datum::List(elements(list))));
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "increment n 3", DONE),
            (1, 2, "increment n -5", DONE),
            (1, 2, "increment n -5", DONE),
            (0, 0, "read n", sum(-2)),
            (1, 3, "add s b", DONE),
            (1, 4, "add s a", DONE),
            (1, 5, "add s b", DONE),
            (0, 0, "read s", set(&["a", "b"])),
            (1, 6, "remove s b", DONE),
            (1, 7, "remove s c", DONE),
            (0, 0, "read s", set(&["a"])),
            (1, 8, "append l b", DONE),
            (1, 9, "append l b", DONE),
            (1, 10, "append l a", DONE),
            (0, 0, "read l", list(&["b", "b", "a"])),
        ],
    );
}

#[test]
fn a_sum_that_64_bits_do_not_hold_changes_nothing() {
    let sum = |sum| Some(Reply::Datum(Datum::Counter(sum)));
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "increment n 9223372036854775807", DONE),
            (1, 2, "increment n 1", Some(Reply::TooMuch)),
            (0, 0, "read n", sum(i64::MAX)),
            (1, 3, "txn increment:m:1 increment:n:1", Some(Reply::TooMuch)),
            (0, 0, "read m", Some(Reply::Value(None))),
            (1, 4, "increment n -1", DONE),
            (0, 0, "read n", sum(i64::MAX - 1)),
        ],
    );
}

#[test]
fn a_value_of_another_kind_is_left_alone_until_it_is_written_or_deleted() {
    const WRONG: Option<Reply> = Some(Reply::WrongKind);
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "add s a", DONE),
            (1, 2, "increment s 1", WRONG),
            (1, 3, "append s a", WRONG),
            (1, 4, "cas s a b", WRONG),
            (1, 5, "txn increment:s:1", WRONG),
            (1, 6, "txn take:s:1", WRONG),
            (0, 0, "read s", Some(Reply::Datum(Datum::Set([b"a".to_vec()].into())))),
            (1, 7, "write s b", DONE),
            (1, 8, "add s a", WRONG),
            (0, 0, "read s", value("b")),
            (1, 9, "delete s", DONE),
            (1, 10, "increment s 1", DONE),
            (0, 0, "read s", Some(Reply::Datum(Datum::Counter(1)))),
        ],
    );
}

#[test]
fn a_transaction_is_done_whole_or_not_at_all() {
    let found = |found: &[Option<Datum>]| Some(Reply::Txn(found.to_vec()));
    let list = |elements: &[&str]| {
        Some(Datum::List(elements.iter().map(|one| one.as_bytes().to_vec()).collect()))
    };
    let sum = |sum| Some(Datum::Counter(sum));
    let kv = check(
        9,
        &[
            (0, 1, "open", session(1)),
            // A step sees those before it.
            (
                1,
                1,
                "txn read:l append:l:a read:l append:l:b read:l",
                found(&[None, list(&["a"]), list(&["a", "b"])]),
            ),
            (1, 2, "txn increment:a:5 write:r:x", found(&[])),
            (1, 3, "txn take:a:3 increment:b:3 read:a read:b", found(&[sum(2), sum(3)])),
            // What comes before a step that cannot be done is undone, also where keys came into being.
            (1, 4, "txn increment:c:1 append:l:c write:r:y take:a:3", Some(Reply::TooLittle)),
            (1, 5, "txn write:r:y increment:b:1 add:b:x", Some(Reply::WrongKind)),
            (1, 6, "txn take:nowhere:1", Some(Reply::TooLittle)),
            (1, 7, "txn take:nowhere:0", found(&[])),
            (
                1,
                8,
                "txn read:a read:b read:c read:l",
                found(&[sum(2), sum(3), None, list(&["a", "b"])]),
            ),
            (1, 8, "txn increment:a:1", found(&[sum(2), sum(3), None, list(&["a", "b"])])),
            (0, 0, "read r", value("x")),
        ],
    );
    assert_eq!(kv.values().keys().collect::<Vec<_>>(), ["a", "b", "l", "r"]);
}

#[test]
fn what_is_shifted_out_of_a_list_is_its_first_element_and_leaves_it_once() {
    let found = |found: &[Option<&str>]| {
        let register = |bytes: &str| Datum::Register(bytes.into());
        Some(Reply::Txn(found.iter().map(|one| one.map(register)).collect()))
    };
    check(
        9,
        &[
            (0, 1, "open", session(1)),
            (1, 1, "txn shift:q", found(&[None])),
            (1, 2, "append q a", DONE),
            (1, 3, "append q b", DONE),
            (1, 4, "txn shift:q", found(&[Some("a")])),
            // A retry is given the same, and takes nothing more.
            (1, 4, "txn shift:q", found(&[Some("a")])),
            // What is taken by a transaction that cannot be done is put back where it was.
            (1, 5, "append q c", DONE),
            (1, 6, "txn shift:q take:nowhere:1", Some(Reply::TooLittle)),
            (1, 7, "txn shift:q shift:q shift:q", found(&[Some("b"), Some("c"), None])),
            (1, 8, "increment n 1", DONE),
            (1, 9, "txn shift:n", Some(Reply::WrongKind)),
        ],
    );
}

#[test]
fn a_state_survives_its_encoding() {
    let kv = check(9, &[(0, 1, "open", session(1)), (1, 1, "write x a", DONE)]);
    let bytes = postcard::to_stdvec(&kv).unwrap();
    assert_eq!(postcard::from_bytes::<Kv>(&bytes).unwrap(), kv);
}

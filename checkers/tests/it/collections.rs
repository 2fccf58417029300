//! Sets, counters, queues and generators of unique values: case by case, and never against what the
//! exact search finds in order.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::convergent::{converged_at, digests};
use stormglass_checkers::checker::{
    CHECKERS, Checker, Convergent, Counter, Durable, Limits, Linearizable, Queue, Set, UniqueIds,
};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, NodeId, Op, OperationId, Outcome, ProcessId, ReadLevel, Reason,
    Ret, SessionId, Time, Value,
};
use stormglass_checkers::{Contrast, Guarantee, History, Verdict};

use crate::notation::history;

/// Holds a history against a checker: the names of the anomalies, or `valid` or `unknown`.
#[track_caller]
fn check(checker: &dyn Checker, text: &str, expected: &[&str]) {
    let verdict = checker.check(&history(text));
    let names: Vec<&str> = match &verdict {
        Verdict::Valid(_) => vec!["valid"],
        Verdict::Unknown { .. } => vec!["unknown"],
        Verdict::Invalid { anomalies, .. } => {
            anomalies.iter().map(|found| found.name.as_str()).collect()
        }
    };
    assert_eq!(names, expected, "{verdict:#?}");
}

/// Why a checker does not know.
#[track_caller]
pub(crate) fn reason(checker: &dyn Checker, text: &str) -> String {
    match checker.check(&history(text)) {
        Verdict::Unknown { reason, .. } => reason,
        verdict => panic!("{verdict:#?}"),
    }
}

/// What a checker says of the first thing that is wrong.
#[track_caller]
fn conclusion(checker: &dyn Checker, text: &str) -> String {
    let verdict = checker.check(&history(text));
    verdict.anomalies()[0].explanation.last().unwrap().clone()
}

const ADDED: &str = "0 invoke add s 1\n0 ok\n0 invoke add s 2\n0 ok\n";

#[test]
fn a_text_that_looks_like_an_element_is_told_apart_from_it() {
    let phantom = |shown: &str| {
        let verdict = Set.check(&history(&format!("{ADDED} 1 invoke read s\n 1 ok {shown}")));
        let found = verdict.anomalies().iter().find(|found| found.name == "phantom-element");
        found.unwrap().explanation.last().unwrap().clone()
    };
    let nobody = "process 1 read \"2\" in s, which nobody had begun to add";
    let alike = "that is a text, and not the number 2, which somebody added";
    assert_eq!(phantom("[1,\"2\"]"), format!("{nobody}; {alike}"));
    assert_eq!(phantom("[1,2,\"3\"]"), nobody.replace('2', "3"));
    // Who failed, only removed the number, or began to add it later, did not add it.
    for other in ["fail refused", "info timeout"] {
        let text = format!("3 invoke remove s 2\n 3 {other}\n 1 invoke read s\n 1 ok [\"2\"]");
        assert_eq!(conclusion(&Set, &text), nobody);
    }
    let failed = "0 invoke add s 2\n 0 fail refused\n 1 invoke read s\n 1 ok [\"2\"]";
    assert_eq!(conclusion(&Set, failed), nobody);
    let later = "1 invoke read s\n 1 ok [\"2\"]\n 0 invoke add s 2\n 0 ok";
    assert_eq!(conclusion(&Set, later), nobody);
}

#[test]
fn a_set_shows_what_was_added_and_nothing_else_and_nothing_twice() {
    let read = |value: &str| format!("{ADDED} 1 invoke read s\n 1 ok {value}");
    check(&Set, &read("[2,1]"), &["valid"]);
    check(&Set, &read("[1,2,2]"), &["duplicate-element"]);
    check(&Set, &read("[1,2,3]"), &["phantom-element"]);
    check(&Set, &read("[1,2,new]"), &["phantom-element"]);
    check(&Set, &read("[1,2,new,new]"), &["phantom-element", "duplicate-element"]);
    check(&Set, &read("[1]"), &["lost-element"]);
    check(&Set, &read("nil"), &["lost-element"]);
    check(&Set, &read("7"), &["not-a-set"]);
    check(&Set, ADDED, &["unknown"]);
    let verdict = Set.check(&history(&read("[1]")));
    assert_eq!(verdict.anomalies()[0].witness.operations, [1, 2].map(OperationId));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "2 was in s by the end of what process 0 did, before process 1 began to read, and nobody \
         removed it before that read ended, which does not show it"
    );
}

#[test]
fn an_element_that_shows_again_was_not_lost_and_its_absence_was_stale() {
    let text_of = |shown: &str, next: &str| {
        format!("{ADDED} 1 invoke read s\n 1 ok [1,2]\n 3 invoke read s\n {shown}\n {next}")
    };
    check(&Set, &text_of("3 ok [1]", "1 invoke read s\n 1 ok [1,2]"), &["stale-read"]);
    // What somebody read is known, whether its add was acknowledged or not.
    let text = "0 invoke add s 1\n 0 info timeout\n 1 invoke read s\n 1 ok [1]\n 1 invoke read s\n 1 ok []";
    check(&Set, text, &["lost-element"]);
    // Whatever was shown before, a replica shows that it is still there; who began to read before does not.
    check(&Set, &text_of("3 ok [1]", "4 invoke read-replica s\n 4 ok [1,2]"), &["stale-read"]);
    check(&Set, &text_of("4 invoke read s\n 3 ok [1]", "4 ok [1,2]"), &["lost-element"]);
}

#[test]
fn an_element_is_known_since_the_first_answer_that_says_so() {
    let added =
        |first: &str| format!("0 invoke add s 1\n {first}\n 2 invoke read s\n 2 ok []\n 0 ok");
    check(&Set, &added("1 invoke add s 1\n 1 ok"), &["lost-element"]);
    check(&Set, &added("1 invoke read s\n 1 ok [1]"), &["lost-element"]);
    // A replica may show what a strong read does not yet, and the other way round.
    check(&Set, &added("1 invoke read-replica s\n 1 ok [1]"), &["valid"]);
    check(&Set, &format!("{ADDED} 1 invoke read-replica s\n 1 ok [1]"), &["valid"]);
    // A read says so when it ends, and not when it begins. To be added again changes nothing.
    let open = "0 invoke add s 1\n 1 invoke read s\n 2 invoke read s\n 1 ok [1]\n 2 ok []";
    check(&Set, open, &["valid"]);
    check(&Set, &format!("{ADDED} 1 invoke read s\n 1 ok [1,2]\n 0 invoke add s 1"), &["valid"]);
    // Of several, the one that was known first is told, whichever was begun first.
    let two = "0 invoke add s 2\n 1 invoke add s 1\n 1 ok\n 0 ok\n 2 invoke read s\n 2 ok []";
    assert!(conclusion(&Set, two).starts_with("1 was in s by the end of what process 1 did"));
    check(
        &Set,
        "0 invoke add s 2\n 1 invoke add s 1\n 1 ok\n 2 invoke read s\n 2 ok []\n 0 ok",
        &["lost-element"],
    );
}

#[test]
fn what_may_have_been_removed_or_never_added_may_be_missing() {
    let removed = format!("{ADDED} 3 invoke remove s 2\n 1 invoke read s\n 1 ok [1]");
    check(&Set, &removed, &["valid"]);
    // However often that is; but not by who begins to after the read.
    check(&Set, &format!("{removed}\n 3 ok\n 3 invoke remove s 2"), &["valid"]);
    check(
        &Set,
        &format!("{ADDED} 1 invoke read s\n 1 ok [1]\n 3 invoke remove s 2"),
        &["lost-element"],
    );
    let unknown = "0 invoke add s 1\n 0 info timeout\n 1 invoke read s\n 1 ok []";
    check(&Set, unknown, &["valid"]);
    let failed = "0 invoke add s 1\n 0 fail refused\n 1 invoke read s\n 1 ok [1]";
    check(&Set, failed, &["phantom-element"]);
    let early = "1 invoke read s\n 1 ok [1]\n 0 invoke add s 1\n 0 ok";
    check(&Set, early, &["phantom-element"]);
}

#[test]
fn what_no_replica_has_in_the_end_is_lost() {
    let finally = |first: &str, second: &str| {
        format!(
            "{ADDED} phase final\n 8 invoke read-replica s @n1\n 8 ok {first}\n \
             9 invoke read-replica s @n2\n 9 ok {second}"
        )
    };
    check(&Set, &finally("[1]", "[2]"), &["valid"]);
    check(&Set, &finally("[1]", "[1]"), &["lost-element"]);
    let lost = Set.check(&history(&finally("[1]", "[1]")));
    assert_eq!(lost.anomalies()[0].witness.operations, [1, 2].map(OperationId));
    check(&Convergent, &finally("[1]", "[1]"), &["valid"]);
    check(&Convergent, &finally("[1]", "[1,2]"), &["divergence"]);
}

#[test]
fn what_one_process_took_twice_is_told_so() {
    let text = "0 invoke enqueue q a\n0 ok\n1 invoke dequeue q\n1 ok a\n1 invoke dequeue q\n1 ok a";
    let verdict = Queue.check(&history(text));
    let words = verdict.anomalies()[0].explanation.last().unwrap();
    assert_eq!(words, r#""a" was put in once, and taken twice by process 1"#);
}

#[test]
fn the_bounds_of_a_counter_are_proved_by_few_increments_and_counted_of_many() {
    let text = |increments: usize| {
        let each = "0 invoke increment c 1\n0 ok\n".repeat(increments);
        history(&format!("{each}2 invoke read c\n2 ok 99"))
    };
    let verdict = Counter.check(&text(3));
    let found = &verdict.anomalies()[0];
    assert_eq!(found.witness.operations.len(), 4, "{found:?}");
    let words = found.explanation.last().unwrap();
    assert!(words.starts_with("c was 3 while process 2 read it"), "{words}");
    assert!(words.ends_with("begun by then; it read 99"), "{words}");
    let verdict = Counter.check(&text(30));
    let found = &verdict.anomalies()[0];
    assert_eq!(found.witness.operations.len(), 1, "{found:?}");
    let words = found.explanation.last().unwrap();
    assert!(words.ends_with("begun by then of 30 increments; it read 99"), "{words}");
}

#[test]
fn a_counter_shows_what_can_have_been_added() {
    let read = |value: &str| {
        format!(
            "0 invoke increment c 5\n 0 ok\n 1 invoke increment c 2\n 2 invoke read c\n 2 ok {value}"
        )
    };
    check(&Counter, &read("5"), &["valid"]);
    check(&Counter, &read("7"), &["valid"]);
    check(&Counter, &read("4"), &["counter-out-of-bounds"]);
    check(&Counter, &read("8"), &["counter-out-of-bounds"]);
    check(&Counter, &read("nil"), &["counter-out-of-bounds"]);
    check(&Counter, &read("lots"), &["not-a-number"]);
    let back = read("7") + "\n 2 invoke read c\n 2 ok 5";
    check(&Counter, &back, &["counter-went-back"]);
    check(
        &Counter,
        &back
            .replace("increment c 2", "increment c -2")
            .replace("ok 7", "ok 5")
            .replace("2 ok 5\n 2 invoke", "2 ok 3\n 2 invoke"),
        &["valid"],
    );
    // Every read counts, whichever of those before it was the greatest.
    let three = |last: &str| {
        format!(
            "0 invoke increment c 9\n 2 invoke read c\n 2 ok 0\n 2 invoke read c\n 2 ok 5\n \
             2 invoke read c\n 2 ok {last}"
        )
    };
    check(&Counter, &three("5"), &["valid"]);
    check(&Counter, &three("4"), &["counter-went-back"]);
    let idle = "7 invoke increment c 0\n 7 ok\n ".to_owned();
    check(&Counter, &(idle + &three("4")), &["counter-went-back"]);
    let down =
        |read: &str| format!("0 invoke increment c -5\n 0 ok\n 2 invoke read c\n 2 ok {read}");
    check(&Counter, &down("-5"), &["valid"]);
    check(&Counter, &down("0"), &["counter-out-of-bounds"]);
    let most = format!(
        "0 invoke increment c {0}\n 0 ok\n 0 invoke increment c {0}\n 0 ok\n 2 invoke read c\n 2 ok {0}",
        i64::MAX
    );
    check(&Counter, &most, &["counter-out-of-bounds"]);
}

#[test]
fn a_queue_gives_each_value_once_after_it_was_put_in() {
    let put = "0 invoke enqueue q 1\n 0 ok\n 0 invoke enqueue q 2\n 0 ok\n";
    let take = |values: &[&str]| {
        let mut text = put.to_owned();
        for value in values {
            text += &format!("1 invoke dequeue q\n 1 ok {value}\n");
        }
        text
    };
    check(&Queue, &take(&["1", "2", "nil"]), &["valid"]);
    check(&Queue, &take(&["2", "1"]), &["reordered"]);
    check(&Queue, &take(&["1", "1"]), &["duplicate-dequeue"]);
    check(&Queue, &take(&["3"]), &["phantom-value"]);
    check(&Queue, &take(&["1", "nil"]), &["lost-value"]);
    check(&Queue, &take(&["nil", "1"]), &["not-empty"]);
    check(&Queue, put, &["unknown"]);
    // Of what was put in several times, it counts how often it was taken.
    let again = |rest: &str| format!("0 invoke enqueue q 1\n 0 ok\n{rest}");
    check(&Queue, &again(&take(&["1", "1", "2"])), &["valid"]);
    check(&Queue, &again(&take(&["1", "1", "1"])), &["duplicate-dequeue"]);
    let too_late = take(&["1", "1"]) + "0 invoke enqueue q 1\n 0 ok\n";
    check(&Queue, &too_late, &["duplicate-dequeue"]);
    // Of what was put in once, every further take is told; of what was put in several times, the first.
    check(&Queue, &take(&["1", "1", "1"]), &["duplicate-dequeue"; 2]);
    check(&Queue, &again(&take(&["1", "1", "1", "1"])), &["duplicate-dequeue"]);
    // Process 3 may have taken the first, and process 1, which began before it, the second.
    let crossed = "
        0 invoke enqueue q 1
        0 ok
        1 invoke dequeue q
        3 invoke dequeue q
        3 ok 1
        0 invoke enqueue q 1
        0 ok
        1 ok 1
    ";
    check(&Queue, crossed, &["valid"]);
    // Of all that was put in before, the one that was taken last says it.
    let third = "0 invoke enqueue q 3\n 0 ok\n".to_owned();
    let take_three = |values: &[&str]| put.to_owned() + &third + &take(values)[put.len()..];
    check(&Queue, &take_three(&["1", "2", "3"]), &["valid"]);
    check(&Queue, &take_three(&["1", "3", "2"]), &["reordered"]);
    // What takes out `nil` cannot be told from what finds nothing.
    let nil = "0 invoke enqueue q nil\n 0 ok\n".to_owned();
    check(&Queue, &(nil + &take(&["1", "2", "nil", "nil"])), &["valid"]);
    // A dequeue without an answer may have taken it.
    let unknown = format!(
        "{put} 3 invoke dequeue q\n 3 info timeout\n 1 invoke dequeue q\n 1 ok 2\n 1 invoke dequeue q\n 1 ok nil"
    );
    check(&Queue, &unknown, &["valid"]);
}

#[test]
fn a_value_that_is_handed_out_twice_is_not_unique() {
    let text = "0 invoke generate g\n 0 ok 7\n 1 invoke generate g\n 1 ok 8\n";
    check(&UniqueIds, text, &["valid"]);
    let both = text.replace('8', "7");
    check(&UniqueIds, &both, &["duplicate-id"]);
    let said = |text: &str| UniqueIds.check(&history(text)).anomalies()[0].explanation.join("; ");
    assert!(said(&both).contains("7 was handed out to process 0 and to process 1"));
    assert!(said(&both.replace('1', "0")).contains("7 was handed out to process 0 twice"));
    check(&UniqueIds, "0 invoke read x\n 0 ok nil", &["unknown"]);
}

/// Draws an operation and what it returns where it is answered.
type Alphabet = fn(&mut ChaCha8Rng) -> (Op, Ret);

/// A random history of one object, of an alphabet of operations and answers.
fn draw(random: &mut ChaCha8Rng, alphabet: Alphabet) -> History {
    let mut builder = HistoryBuilder::new();
    let mut open = Vec::new();
    let mut process = 0;
    for _ in 0..random.random_range(4..14) {
        if open.len() < 3 && random.random() || open.is_empty() {
            let (op, ret) = alphabet(random);
            let invocation = Invocation {
                process: ProcessId(process),
                session: SessionId(process),
                node: None,
                op,
            };
            process += 1;
            open.push((builder.invoke(Time::ZERO, &invocation).unwrap(), ret));
        } else {
            let (operation, ret) = open.swap_remove(random.random_range(0..open.len()));
            let outcome = match random.random_range(0..10) {
                0 => Outcome::Info(Reason::Timeout),
                1 => Outcome::Fail(Reason::Unavailable),
                _ => Outcome::Ok(ret),
            };
            builder.complete(Time::ZERO, operation, &outcome).unwrap();
        }
    }
    builder.finish()
}

fn set(random: &mut ChaCha8Rng) -> (Op, Ret) {
    let key = "x".into();
    let value = Value::Int(random.random_range(1..4));
    match random.random_range(0..5) {
        0..2 => (Op::Add { key, value }, Ret::Done),
        2 if random.random() => (Op::Remove { key, value }, Ret::Done),
        _ => {
            let all = (1..4).filter(|_| random.random()).map(Value::Int);
            let read = Ret::Value(Value::List(all.collect()));
            (Op::Read { key, level: ReadLevel::Strong }, read)
        }
    }
}

fn counter(random: &mut ChaCha8Rng) -> (Op, Ret) {
    let key = "x".into();
    if random.random() {
        (Op::Increment { key, by: Value::Int(random.random_range(-1..3)) }, Ret::Done)
    } else {
        let read = Ret::Value(Value::Int(random.random_range(-1..5)));
        (Op::Read { key, level: ReadLevel::Strong }, read)
    }
}

#[test]
fn an_old_read_of_a_counter_shows_nothing_that_nobody_asked_for() {
    let read = |value: i64| {
        let begun = "0 invoke increment c 5\n 0 ok\n 1 invoke increment c 2\n 1 ok\n";
        format!("{begun} 2 invoke read-replica c\n 2 ok {value}\n 1 invoke increment c 9")
    };
    for old in [0, 2, 5, 7] {
        check(&Counter, &read(old), &["valid"]);
    }
    for never in [-1, 8] {
        check(&Counter, &read(never), &["counter-out-of-bounds"]);
    }
    let words = Counter.check(&history(&read(8))).anomalies()[0].explanation.last().cloned();
    let expected =
        expect!["c is or was 0 to 7 while process 2 read it, by what was begun by then; it read 8"];
    expected.assert_eq(&words.unwrap());
    // It has seen what may not stay, which holds nobody to anything.
    check(&Counter, &format!("{}\n 3 invoke read c\n 3 ok 7", read(7)), &["valid"]);
}

fn queue(random: &mut ChaCha8Rng) -> (Op, Ret) {
    let key = "x".into();
    if random.random() {
        (Op::Enqueue { key, value: Value::Int(random.random_range(1..9)) }, Ret::Done)
    } else {
        let value = random.random_range(0..6);
        let taken = if value == 0 { Value::Nil } else { Value::Int(value) };
        (Op::Dequeue { key }, Ret::Value(taken))
    }
}

#[test]
fn nothing_that_has_an_order_is_held_against_a_store() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let objects: [(Guarantee, Alphabet); 3] =
        [(Guarantee::Set, set), (Guarantee::Counter, counter), (Guarantee::Queue, queue)];
    for (guarantee, alphabet) in objects {
        let entry = CHECKERS.iter().find(|entry| entry.guarantee == guarantee).unwrap();
        let checker = (entry.build)(&Limits::default());
        let (mut ordered, mut refused, mut found) = (0, 0, 0);
        for _ in 0..4_000 {
            let history = draw(&mut random, alphabet);
            let exact = Linearizable::new(Limits::default()).check(&history);
            let verdict = checker.check(&history);
            if exact.is_invalid() {
                refused += 1;
                found += u32::from(verdict.is_invalid());
            } else {
                ordered += 1;
                assert!(!verdict.is_invalid(), "{guarantee}: {exact:?} {verdict:#?} {history:#?}");
            }
        }
        assert!(ordered > 300 && refused > 300, "{guarantee}: {ordered} ordered, {refused} not");
        // They do without a search, and yet find most of what is wrong.
        assert!(found * 10 > refused * 6, "{guarantee}: found {found} of {refused}");
    }
}

#[test]
fn a_replica_that_does_not_answer_may_have_the_element() {
    let text = "
        0 invoke add s 1
        0 ok
        phase final
        1 invoke read-replica s @n1
        2 invoke read-replica s @n2
        1 ok []
        2 info timeout
    ";
    expect!["1 of s is on no replica that answered, but node n2 did not say what it holds"]
        .assert_eq(&reason(&Set, text));
    let both = text.replace("2 info timeout", "2 ok []");
    check(&Set, &both, &["lost-element"]);
    // Of several that are silent the first is named, and of several sets the one that was read first.
    let more = "3 invoke read-replica s @n3\n 3 info timeout\n";
    assert!(reason(&Set, &(text.to_owned() + more)).contains("but node n2 did not"));
    for first in ["a", "b", "c", "d"] {
        let added: String =
            "abcd".chars().map(|key| format!("0 invoke add {key} 1\n 0 ok\n")).collect();
        let finally = |key: &str| format!("1 invoke read-replica {key} @n1\n 1 ok []\n");
        let reads: String = [first, "a", "b", "c", "d"].map(finally).concat();
        let text = format!("{added} phase final\n {reads} {more}");
        assert!(reason(&Set, &text).starts_with(&format!("1 of {first} is on no replica")));
    }
    // Who was asked for more than a replica holds is none of them.
    let strong = both.clone() + "3 invoke read s @n3\n 3 info timeout";
    check(&Set, &strong, &["lost-element"]);
    // A node that was read before, and not in the end, has nothing to say about the end.
    let before = "7 invoke read-replica s @n3\n 7 ok []\n";
    check(&Set, &(before.to_owned() + &both), &["lost-element"]);
}

#[test]
fn an_element_may_be_removed_between_the_final_reads() {
    let text = "
        0 invoke add s 1
        0 ok
        phase final
        1 invoke read-replica s @n1
        1 ok []
        3 invoke remove s 1
        2 invoke read-replica s @n2
        2 ok []
    ";
    // The first of the two replicas may have got the element late, and the other one lost it early.
    check(&Set, text, &["valid"]);
    // So may the one that was asked first, and answers last.
    let between = "
        0 invoke add s 1
        0 ok
        phase final
        1 invoke read-replica s @n1
        2 invoke read-replica s @n2
        2 ok []
        3 invoke remove s 1
        1 ok []
    ";
    check(&Set, between, &["valid"]);
}

#[test]
fn an_addition_that_failed_is_named_where_its_element_shows() {
    let verdict = Set.check(&history(
        "
        0 invoke add s 1
        0 fail unavailable
        1 invoke read s
        1 ok [1]
        ",
    ));
    expect![[r#"
        process 0 tried to add s 1 and was told unavailable (from 0.000 s to 0.001 s)
        process 1 read s = [1] (from 0.002 s to 0.003 s)
        process 1 read 1 in s, which nobody had begun to add, but for process 0, which failed"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
    let verdict = Queue.check(&history(
        "
        0 invoke enqueue q 1
        0 fail unavailable
        1 invoke dequeue q
        1 ok 1
        ",
    ));
    expect!["process 1 took 1, which nobody had begun to put in, but for process 0, which failed"]
        .assert_eq(verdict.anomalies()[0].explanation.last().unwrap());
}

#[test]
fn what_was_legal_is_said_as_data_and_the_sentence_says_the_same() {
    let contrast = |checker: &dyn Checker, text: &str| {
        let verdict = checker.check(&history(text));
        let stored = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&stored).unwrap(), verdict, "{stored}");
        let found = &verdict.anomalies()[0];
        let Contrast { operation, due, legal, .. } = found.contrast.clone().unwrap();
        let words = found.explanation.last().unwrap().clone();
        (operation.0, due.map(|due| due.0), legal.to_string(), words)
    };
    let added = "0 invoke increment c 5\n 0 ok\n";
    let open = format!("{added} 1 invoke increment c 2\n 2 invoke read c\n 2 ok 4");
    let (shown, due, legal, words) = contrast(&Counter, &open);
    assert_eq!((shown, due, &*legal), (2, Some(0), "5 to 7"));
    assert!(words.starts_with("c was 5 to 7 while process 2 read it"), "{words}");
    let greatest = format!(
        "0 invoke increment c {0}\n 0 ok\n 1 invoke increment c {0}\n 1 ok\n 2 invoke read c\n 2 ok 1",
        i64::MAX
    );
    let (_, due, legal, words) = contrast(&Counter, &greatest);
    assert_eq!((due, &*legal), (Some(1), "18446744073709551614"));
    assert!(words.contains("c was 18446744073709551614 while"), "{words}");
    let missing = format!("{ADDED} 1 invoke read s\n 1 ok [1]");
    let (shown, due, legal, words) = contrast(&Set, &missing);
    assert_eq!((shown, due, &*legal), (2, Some(1), "with 2"));
    assert!(words.starts_with("2 was in s by the end of what process 0 did"), "{words}");
    let twice = "0 invoke generate g\n 0 ok 7\n 1 invoke generate g\n 1 ok 7";
    let (shown, due, legal, _) = contrast(&UniqueIds, twice);
    assert_eq!((shown, due, &*legal), (1, Some(0), "not a second time"));
    let stale = "0 invoke write x 1\n 0 ok\n 0 invoke write x 2\n 0 ok\n 1 invoke read x\n 1 ok 1";
    let (shown, due, legal, words) = contrast(&Linearizable::new(Limits::default()), stale);
    assert_eq!((shown, due, &*legal), (2, Some(1), "2, or newer"));
    assert!(words.contains("x = 2 had been acknowledged to process 0"), "{words}");
}

#[test]
fn a_key_that_was_only_read_is_taken_for_what_the_others_are() {
    let set = "
        0 invoke add s 1
        0 ok
        1 invoke read empty
        1 ok []
    ";
    let counter = "
        0 invoke increment c 1
        0 ok
        1 invoke read zero
        1 ok 0
    ";
    for text in [set, counter] {
        for entry in CHECKERS {
            let verdict = (entry.build)(&Limits::default()).check(&history(text));
            assert!(!verdict.is_invalid(), "{verdict:#?}");
        }
    }
    assert_eq!(Set.check(&history(set)).coverage().keys, 2);
    // And judged as such.
    check(&Set, &set.replace("[]", "[2]"), &["phantom-element"]);
    check(&Counter, &counter.replace("ok 0", "ok 2"), &["counter-out-of-bounds"]);
    // Nothing says what a key is that nobody wrote to.
    let alone = "
        1 invoke read it
        1 ok []
    ";
    let by_transaction = r#"
        1 invoke txn it [["r","x",null]]
        1 ok [["r","x",[]]]
    "#;
    let written = by_transaction.to_owned() + r#"2 invoke txn it [["w","y",1]]"#;
    assert!(Linearizable::new(Limits::default()).check(&history(&written)).is_invalid());
    for text in [
        alone.to_owned(),
        by_transaction.to_owned(),
        format!("{set}{}", counter.replace('1', "11")),
    ] {
        let reason = reason(&Linearizable::new(Limits::default()), &text);
        assert!(reason.ends_with("was only read: nothing says what it is"), "{reason}");
    }
}

#[test]
fn a_set_that_does_not_begin_empty_is_not_judged() {
    let begun = |text: &str| Set.check(&history(text).that_begins_as(&Value::Int(5)));
    let Verdict::Unknown { reason, coverage } = begun(ADDED) else { panic!("judged") };
    assert_eq!((&*reason, coverage.keys), ("no set begins as 5", 1));
    let others = "0 invoke write x 1\n 0 ok\n 0 invoke read x\n 0 ok 1\n";
    let both = format!("{ADDED} 1 invoke read s\n 1 ok [3]\n {others} 0 invoke write y 1\n 0 ok");
    let Verdict::Unknown { reason, coverage } = begun(&both) else { panic!("judged") };
    assert_eq!((&*reason, coverage.keys), ("no set begins as 5", 1));
    let Verdict::Unknown { reason, .. } = begun(others) else { panic!("judged") };
    assert_eq!(reason, "no set was read");
}

#[test]
fn what_is_read_and_written_is_a_register_though_others_are_texts_that_are_added_to() {
    let text = "
        0 invoke cas register nil 1
        0 ok
        0 invoke append text a
        0 ok
        0 invoke write x b
        0 ok
        0 invoke read x
        0 ok nil
    ";
    check(&Linearizable::new(Limits::default()), text, &["stale-read"]);
}

#[test]
fn what_is_no_number_cannot_be_counted() {
    let text = "
        0 invoke increment c a
        0 ok
        1 invoke read c
        1 ok 0
    ";
    expect![[r#"c is no counter: "a" is no whole number"#]].assert_eq(&reason(&Counter, text));
    // Neither by the exact search.
    expect![[r#"key c is no counter: "a" is no whole number"#]]
        .assert_eq(&reason(&Linearizable::new(Limits::default()), text));
}

#[test]
fn who_failed_after_it_was_seen_explains_nothing() {
    let set = "0 invoke read s\n0 ok [1]\n1 invoke add s 1\n1 fail unavailable";
    let nobody = "process 0 read 1 in s, which nobody had begun to add";
    assert_eq!(conclusion(&Set, set), nobody);
    // Nor does who failed to remove it; of several who failed to add it, the first is named.
    let removed = "1 invoke remove s 1\n1 fail unavailable\n0 invoke read s\n0 ok [1]";
    assert_eq!(conclusion(&Set, removed), nobody);
    let first = format!("2 invoke add s 1\n2 fail unavailable\n{set}");
    assert_eq!(conclusion(&Set, &first), format!("{nobody}, but for process 2, which failed"));
    let queue = "0 invoke dequeue q\n0 ok 1\n1 invoke enqueue q 1\n1 fail unavailable";
    expect!["process 0 took 1, which nobody had begun to put in"]
        .assert_eq(&conclusion(&Queue, queue));
}

/// A history whose replicas hold this of a key in the end.
fn finally(text: &str, key: &str, reads: &[(u32, &str)]) -> String {
    let mut text = format!("{text}\nphase final\n");
    for (node, value) in reads {
        let process = 90 + node;
        text += &format!("{process} invoke read-replica {key} @n{node}\n{process} ok {value}\n");
    }
    text
}

#[test]
fn an_element_is_lost_when_no_replica_has_it_in_the_end() {
    check(&Durable, &finally(ADDED, "s", &[(1, "[1]"), (2, "[1]")]), &["lost-element"]);
    check(&Durable, &finally(ADDED, "s", &[(1, "nil"), (2, "nil")]), &["lost-element"]);
    check(&Durable, &finally(ADDED, "s", &[(1, "[1]"), (2, "[2]")]), &["valid"]);
    let removed = format!("{ADDED} 1 invoke remove s 2\n 1 info timeout");
    check(&Durable, &finally(&removed, "s", &[(1, "[1]"), (2, "[1]")]), &["valid"]);
    let failed = format!("{ADDED} 1 invoke remove s 2\n 1 fail timeout");
    check(&Durable, &finally(&failed, "s", &[(1, "[1]"), (2, "[1]")]), &["lost-element"]);
    let unknown = format!("{ADDED} 1 invoke add s 3\n 1 info timeout");
    check(&Durable, &finally(&unknown, "s", &[(1, "[1,2]"), (2, "[1,2]")]), &["valid"]);
    let silent = "92 invoke read-replica s @n2\n92 info timeout\n";
    check(&Durable, &(finally(ADDED, "s", &[(1, "[1]")]) + silent), &["unknown"]);
    check(&Durable, &(finally(ADDED, "s", &[(1, "[1,2]")]) + silent), &["valid"]);
    let verdict = Durable.check(&history(&finally(ADDED, "s", &[(1, "nil")])));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "2 had been acknowledged, and nobody removed it; no replica shows it in the end (2 of this \
         key are lost)"
    );
}

#[test]
fn an_increment_is_lost_when_no_replica_shows_a_sum_that_can_have_it() {
    let counted = "0 invoke increment c 5\n0 ok\n0 invoke increment c -2\n0 ok\n";
    let unknown = format!("{counted} 1 invoke increment c 10\n 1 info timeout\n");
    check(&Durable, &finally(counted, "c", &[(1, "3"), (2, "3")]), &["valid"]);
    check(&Durable, &finally(counted, "c", &[(1, "3"), (2, "5")]), &["valid"]);
    check(&Durable, &finally(counted, "c", &[(1, "-2"), (2, "-2")]), &["lost-increment"]);
    check(&Durable, &finally(counted, "c", &[(1, "5"), (2, "5")]), &["wrong-sum"]);
    check(&Durable, &finally(counted, "c", &[(1, "nil")]), &["lost-increment"]);
    check(&Durable, &finally(&unknown, "c", &[(1, "13"), (2, "13")]), &["valid"]);
    check(&Durable, &finally(&unknown, "c", &[(1, "2"), (2, "14")]), &["wrong-sum"]);
    check(&Durable, &finally(&unknown, "c", &[(1, "2"), (2, "1")]), &["lost-increment"]);
    // Who may have counted down makes less of it possible.
    let down = "0 invoke increment c 5\n0 ok\n1 invoke increment c -3\n1 info timeout\n";
    check(&Durable, &finally(down, "c", &[(1, "2")]), &["valid"]);
    check(&Durable, &finally(down, "c", &[(1, "1")]), &["lost-increment"]);
    check(&Durable, &finally(down, "c", &[(1, "6")]), &["unknown"]);
    let silent = "92 invoke read-replica c @n2\n92 info timeout\n";
    check(&Durable, &(finally(counted, "c", &[(1, "5")]) + silent), &["unknown"]);
}

#[test]
fn a_sum_that_nothing_in_doubt_explains_is_wrong() {
    let counted = "0 invoke increment c 5\n0 ok\n0 invoke increment c -2\n0 ok\n";
    let unknown = |process: usize, by: i64| {
        format!("{process} invoke increment c {by}\n{process} info timeout\n")
    };
    let two = format!("{counted}{}{}", unknown(1, 10), unknown(2, 4));
    for (sum, expected) in
        [("3", "valid"), ("7", "valid"), ("13", "valid"), ("17", "valid"), ("12", "wrong-sum")]
    {
        check(&Durable, &finally(&two, "c", &[(1, sum), (2, sum)]), &[expected]);
    }
    // One that can be is enough: the other replica may be behind, which is for others to say.
    check(&Durable, &finally(&two, "c", &[(1, "12"), (2, "13")]), &["valid"]);
    check(&Durable, &finally(&two, "c", &[(1, "12"), (2, "6")]), &["wrong-sum"]);
    let verdict = Durable.check(&history(&finally(&two, "c", &[(1, "12"), (2, "6")])));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "the sum is 3 with what had been acknowledged, and 2 more are in doubt; with none of these, nor \
         any of them together, it is 12 or 6: something was lost, or counted twice, or counted though it \
         failed"
    );
    // What failed is not in doubt.
    let failed = format!("{counted}{}2 invoke increment c 4\n2 fail unavailable\n", unknown(1, 10));
    check(&Durable, &finally(&failed, "c", &[(1, "7")]), &["wrong-sum"]);
    let silent = "92 invoke read-replica c @n2\n92 info timeout\n";
    check(&Durable, &(finally(&two, "c", &[(1, "12")]) + silent), &["unknown"]);
    // All sums of more than 32 in doubt are too many to look at.
    let many = |count| (1..=count).map(|process| unknown(process, 2)).collect::<String>() + counted;
    check(&Durable, &finally(&many(32), "c", &[(1, "20")]), &["wrong-sum"]);
    check(&Durable, &finally(&many(33), "c", &[(1, "20")]), &["valid"]);
    check(&Durable, &finally(&many(32), "c", &[(1, "67")]), &["valid"]);
}

#[test]
fn losses_of_registers_and_of_sets_are_found_side_by_side() {
    let both = "0 invoke write x 1\n0 ok\n0 invoke write x 2\n0 ok\n".to_owned() + ADDED;
    let registers = "93 invoke read-replica x @n1\n93 ok 1\n";
    let sets = |value: &str| finally(&both, "s", &[(1, value)]) + registers;
    check(&Durable, &sets("[1,2]"), &["lost-write"]);
    check(&Durable, &sets("[1]"), &["lost-write", "lost-element"]);
    let one_lost = sets("[1]").replace("93 ok 1", "93 ok 2");
    check(&Durable, &one_lost, &["lost-element"]);
    let verdict = Durable.check(&history(&one_lost));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "2 had been acknowledged, and nobody removed it; no replica shows it in the end"
    );
}

#[test]
fn registers_and_sets_are_durable_where_both_are() {
    let write = |value: u32| format!("0 invoke write x {value}\n0 ok\n");
    let both = write(0) + &write(1) + &write(2) + ADDED;
    let registers = "93 invoke read-replica x @n1\n93 ok 2\n";
    let text = finally(&both, "s", &[(1, "[1,2]")]) + registers;
    let Verdict::Valid(coverage) = Durable.check(&history(&text)) else {
        panic!("nothing is lost")
    };
    assert_eq!((&*coverage.method, coverage.operations, coverage.keys), ("final reads", 5, 2));
    // What one of them leaves open is open.
    let silent = "92 invoke read-replica s @n2\n92 info timeout\n";
    let sets = finally(&both, "s", &[(1, "[1]")]) + registers + silent;
    check(&Durable, &sets, &["unknown"]);
    let silent = "92 invoke read-replica x @n2\n92 info timeout\n";
    let text = text.replace("93 ok 2", "93 ok 1");
    check(&Durable, &(text + silent), &["unknown"]);
    assert_eq!(Durable.check(&history(&both)).coverage().method, "final reads");
}

#[test]
fn keys_that_no_model_fits_are_not_held_against_a_store() {
    let removed = "0 invoke add s 2\n0 ok\n0 invoke delete s\n0 ok\n0 invoke read s\n0 ok []\n";
    check(&Set, removed, &["unknown"]);
    check(&Set, &(removed.to_owned() + &ADDED.replace('s', "t")), &["unknown"]);
    let emptied =
        "0 invoke enqueue q 2\n0 ok\n0 invoke delete q\n0 ok\n1 invoke dequeue q\n1 ok nil\n";
    check(&Queue, emptied, &["unknown"]);
    let listed = "0 invoke write s [5]\n0 ok\n0 invoke add s 2\n0 ok\n";
    check(&Convergent, &finally(listed, "s", &[(1, "[5,2]"), (2, "[2,5]")]), &["valid"]);
    check(&Convergent, &finally(listed, "s", &[(1, "[5,2]"), (2, "[5]")]), &["divergence"]);
}

#[test]
fn replicas_hold_nothing_that_nobody_put_there() {
    let agree = |asked: &str, shown: &str| {
        finally(&format!("0 invoke {asked}\n0 ok\n"), "s", &[(1, shown), (2, shown)])
    };
    for (asked, shown) in [
        ("add s 1", "[1,7]"),
        ("append s 1", "[1,2]"),
        ("append s \"a\"", "\"ab\""),
        ("append s \"ab\"", "\"aba\""),
        ("append s \"\"\n0 ok\n0 invoke append s \"a\"", "\"ab\""),
    ] {
        check(&Convergent, &agree(asked, shown), &["phantom-value"]);
    }
    for (asked, shown) in [
        ("add s 1", "[1]"),
        ("append s \"ab\"", "\"abab\""),
        ("write s \"x\"\n0 ok\n0 invoke append s \"ab\"", "\"xab\""),
        ("add s 1\n0 ok\n1 invoke add s 7\n1 info timeout\n0 invoke add s 2", "[1,7]"),
    ] {
        check(&Convergent, &agree(asked, shown), &["valid"]);
    }
    let failed =
        "add t 7\n0 ok\n0 invoke add s 1\n0 ok\n1 invoke add s 7\n1 fail refused\n0 invoke add s 2";
    let verdict = Convergent.check(&history(&agree(failed, "[7,1]")));
    expect![[r#"
        process 1 tried to add s 7 and was told refused (from 0.004 s to 0.005 s)
        process 91 read s = [7 1] at n1 (from 0.009 s to 0.010 s)
        after the run had been quiet until 0.008 s, node n1 holds s = [7 1], and nobody put 7 there, but for process 1, which failed"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

#[test]
fn what_is_hidden_by_what_else_was_asked_is_not_said_to_last() {
    let appended = "0 invoke write x a\n0 ok\n0 invoke append x b\n0 ok\n";
    let gone = finally(appended, "x", &[(1, "nil"), (2, "nil")]);
    check(&Durable, &gone, &["unknown"]);
    assert_eq!(
        reason(&Durable, &gone),
        "whether `write x \"a\"` was lost does not show: x is no register"
    );
    // Beside registers and sets that lost nothing, too; what they lost is lost all the same.
    let both = |set: &str| {
        let text = format!("{appended}{ADDED}");
        finally(&text, "s", &[(1, set)]) + "93 invoke read-replica x @n1\n93 ok a\n"
    };
    check(&Durable, &both("[1,2]"), &["unknown"]);
    check(&Durable, &both("[1]"), &["lost-element"]);
}

#[test]
fn what_nobody_wrote_may_have_come_after_a_write_or_in_its_place() {
    let text = "0 invoke write x 5\n0 ok\n";
    let phantom = finally(text, "x", &[(1, "7"), (2, "7")]);
    assert_eq!(
        reason(&Durable, &phantom),
        "whether `write x 5` was lost does not show: a replica shows 7, which nobody wrote"
    );
    let failed = format!("1 invoke write x 7\n1 fail not-leader\n{text}");
    assert_eq!(
        reason(&Durable, &finally(&failed, "x", &[(1, "7"), (2, "7")])),
        "whether `write x 5` was lost does not show: a replica shows 7, which nobody wrote, but for \
         process 1, which failed"
    );
    check(&Durable, &finally(text, "x", &[(1, "7"), (2, "5")]), &["valid"]);
    check(&Durable, &finally(text, "x", &[(1, "7"), (2, "nil")]), &["unknown"]);
}

#[test]
fn an_element_that_was_added_again_after_its_removal_is_lost_where_no_replica_has_it() {
    let added = "0 invoke add s 1\n0 ok\n1 invoke remove s 1\n1 ok\n2 invoke add s 1\n2 ok\n";
    check(&Durable, &finally(added, "s", &[(1, "[]"), (2, "[]")]), &["lost-element"]);
    check(&Durable, &finally(added, "s", &[(1, "[]"), (2, "[1]")]), &["valid"]);
    let verdict = Durable.check(&history(&finally(added, "s", &[(1, "[]")])));
    expect![[r#"
        process 2 did add s 1 (from 0.004 s to 0.005 s)
        process 91 read s = [] at n1 (from 0.007 s to 0.008 s)
        1 had been acknowledged, and nobody removed it after that; no replica shows it in the end"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
    let open = added.replace("1 ok", "1 info timeout");
    check(&Durable, &finally(&open, "s", &[(1, "[]"), (2, "[]")]), &["valid"]);
    let at_once = "0 invoke add s 1\n1 invoke remove s 1\n1 ok\n0 ok\n";
    check(&Durable, &finally(at_once, "s", &[(1, "[]"), (2, "[]")]), &["valid"]);
    let failed = added.replace("1 ok", "1 fail unavailable");
    check(&Durable, &finally(&failed, "s", &[(1, "[]"), (2, "[]")]), &["lost-element"]);
}

#[test]
fn a_removal_is_lost_where_every_replica_shows_what_nothing_else_can_have_brought_back() {
    let removed = "0 invoke add s 1\n0 ok\n0 invoke remove s 1\n0 ok\n";
    let ends = [(1, "[1]"), (2, "[1]")];
    check(&Durable, &finally(removed, "s", &ends), &["lost-removal"]);
    let verdict = Durable.check(&history(&finally(removed, "s", &ends)));
    expect![[r#"
        process 0 did add s 1 (from 0.000 s to 0.001 s)
        process 0 did remove s 1 (from 0.002 s to 0.003 s)
        process 91 read s = [1] at n1 (from 0.005 s to 0.006 s)
        process 0 had removed 1, acknowledged, and nobody added it after that; every replica shows it in the end"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
    check(&Durable, &finally(removed, "s", &[(1, "[1]"), (2, "[]")]), &["valid"]);
    // The removal may have come first where another session asked for it, and may yet come.
    let others = "0 invoke add s 1\n0 ok\n1 invoke remove s 1\n1 ok\n";
    check(&Durable, &finally(others, "s", &ends), &["valid"]);
    let open = "0 invoke add s 1\n0 ok\n0 invoke remove s 1\n0 info timeout\n";
    check(&Durable, &finally(open, "s", &ends), &["valid"]);
    // Whoever had read the element may bring it back with another one.
    let other = format!("{removed} 3 invoke add s 7\n 3 ok\n");
    check(&Durable, &finally(&other, "s", &[(1, "[1,7]"), (2, "[1,7]")]), &["valid"]);
    let before = format!("3 invoke add s 7\n 3 ok\n {removed}");
    check(&Durable, &finally(&before, "s", &[(1, "[1,7]")]), &["lost-removal"]);
    let again = format!("{removed} 0 invoke add s 1\n 0 ok\n");
    check(&Durable, &finally(&again, "s", &ends), &["valid"]);
    let silent = "92 invoke read-replica s @n2\n92 info timeout\n";
    check(&Durable, &(finally(removed, "s", &[(1, "[1]")]) + silent), &["unknown"]);
}

#[test]
fn a_counter_that_counted_too_much_lost_nothing_and_holds_what_nobody_asked_for() {
    let counted = "0 invoke increment c 2\n0 ok\n";
    let twice = finally(counted, "c", &[(1, "4"), (2, "4")]);
    check(&Durable, &twice, &["unknown"]);
    check(&Convergent, &twice, &["phantom-value"]);
    expect![[r#"the sum is 2 with all that had been acknowledged; a replica shows 4, for which something was counted twice, or that nobody asked for: whether anything was lost besides does not show"#]]
        .assert_eq(&reason(&Durable, &twice));
    let open = format!("{counted} 1 invoke increment c 3\n 1 info timeout\n");
    check(&Durable, &finally(&open, "c", &[(1, "7")]), &["unknown"]);
    check(&Convergent, &finally(&open, "c", &[(1, "5"), (2, "5")]), &["valid"]);
    check(&Convergent, &finally(&open, "c", &[(1, "6"), (2, "6")]), &["phantom-value"]);
    let failed = format!("{counted} 1 invoke increment c 3\n 1 fail refused\n");
    check(&Convergent, &finally(&failed, "c", &[(1, "5"), (2, "5")]), &["phantom-value"]);
}

#[test]
fn replicas_of_a_set_agree_in_any_order_and_of_what_nobody_touched_in_any_words() {
    let same = [
        ("add s 1\n0 ok\n0 invoke add s 2", "[1,2]", "[2,1]"),
        ("add s 1\n0 ok\n0 invoke remove s 1", "[]", "nil"),
        ("increment s 1\n0 ok\n0 invoke increment s -1", "0", "nil"),
        ("append s \"\"", "\"\"", "nil"),
    ];
    for (asked, one, other) in same {
        let text = finally(&format!("0 invoke {asked}\n0 ok\n"), "s", &[(1, one), (2, other)]);
        check(&Convergent, &text, &["valid"]);
        let history = history(&text);
        let digests = digests(&history);
        assert_eq!(digests[&NodeId(1)], digests[&NodeId(2)], "{text}");
        assert!(converged_at(&history).is_some(), "{text}");
    }
    let differ = finally(ADDED, "s", &[(1, "[1,2]"), (2, "[1]")]);
    check(&Convergent, &differ, &["divergence"]);
    let list = "0 invoke write s [1,2]\n0 ok\n1 invoke write s [2,1]\n1 ok\n";
    check(&Convergent, &finally(list, "s", &[(1, "[1,2]"), (2, "[2,1]")]), &["divergence"]);
}

#[test]
fn what_nobody_did_is_judged_of_no_key() {
    let text = "0 invoke write x 1\n0 ok\n";
    for entry in CHECKERS {
        let verdict = (entry.build)(&Limits::default()).check(&history(text));
        let coverage = verdict.coverage();
        assert_eq!(
            (coverage.operations, coverage.keys),
            (0, 0),
            "{}: {verdict:?}",
            entry.guarantee
        );
    }
}

/// A set that replicas change apart: each addition has a number, and whoever removes takes away those that
/// it has seen. Or one that clients write as a whole, where what they had not read stays beside it.
struct Merged {
    regions: [BTreeMap<u32, BTreeSet<u32>>; 2],
    /// What each region has yet to hear of: the numbers that go, and what comes.
    unheard: [Vec<Change>; 2],
    next: u32,
}

/// The numbers that go, and what comes.
type Change = (Vec<u32>, Option<(u32, BTreeSet<u32>)>);

impl Merged {
    fn new() -> Merged {
        Merged { regions: Default::default(), unheard: Default::default(), next: 0 }
    }

    fn change(&mut self, region: usize, gone: Vec<u32>, new: Option<BTreeSet<u32>>) {
        self.next += 1;
        let change = (gone, new.map(|elements| (self.next, elements)));
        Merged::apply(&mut self.regions[region], change.clone());
        self.unheard[1 - region].push(change);
    }

    fn apply(state: &mut BTreeMap<u32, BTreeSet<u32>>, (gone, new): Change) {
        state.retain(|number, _| !gone.contains(number));
        state.extend(new);
    }

    fn hear(&mut self, region: usize, count: usize) {
        let count = count.min(self.unheard[region].len());
        for change in self.unheard[region].drain(..count) {
            Merged::apply(&mut self.regions[region], change);
        }
    }

    /// Does what a client asked that had read this state.
    fn ask(
        &mut self,
        region: usize,
        adds: bool,
        element: u32,
        read: Option<&BTreeMap<u32, BTreeSet<u32>>>,
    ) {
        let Some(read) = read else {
            let seen = self.regions[region].iter().filter(|(_, of)| of.contains(&element));
            let seen: Vec<u32> = seen.map(|(number, _)| *number).collect();
            let new = adds.then(|| BTreeSet::from([element]));
            return self.change(region, if adds { Vec::new() } else { seen }, new);
        };
        let mut elements: BTreeSet<u32> = read.values().flatten().copied().collect();
        if adds {
            elements.insert(element);
        } else {
            elements.remove(&element);
        }
        self.change(region, read.keys().copied().collect(), Some(elements));
    }
}

/// A run of such a set, whose replicas have heard of everything in the end.
fn merged(random: &mut ChaCha8Rng, as_a_whole: bool) -> String {
    let mut store = Merged::new();
    let mut text = String::new();
    // What each session does: how far it is, and what it asked and had read.
    let mut asked = [None; 4];
    let mut read: [BTreeMap<u32, BTreeSet<u32>>; 4] = Default::default();
    for step in 0..random.random_range(4..40) {
        let session = random.random_range(0..4);
        // Where sets are written as a whole, all clients ask the same quorums.
        let region = if as_a_whole { 0 } else { session % 2 };
        match asked[session] {
            None => {
                let (adds, element) = (random.random_bool(0.5), random.random_range(0..2));
                let op = if adds { "add" } else { "remove" };
                text +=
                    &format!("{}/{session} invoke {op} s {element}\n", 100 + 10 * step + session);
                asked[session] = Some((0, step, adds, element));
            }
            Some((0, began, adds, element)) => {
                read[session].clone_from(&store.regions[region]);
                asked[session] = Some((1, began, adds, element));
            }
            Some((1, began, adds, element)) => {
                let read = as_a_whole.then_some(&read[session]);
                store.ask(region, adds, element, read);
                asked[session] = Some((2, began, adds, element));
            }
            Some((_, began, ..)) => {
                let end = if random.random_bool(0.9) { "ok" } else { "info timeout" };
                text += &format!("{} {end}\n", 100 + 10 * began + session);
                asked[session] = None;
            }
        }
        let hears = random.random_range(0..2);
        store.hear(hears, random.random_range(0..3));
    }
    store.hear(0, usize::MAX);
    store.hear(1, usize::MAX);
    let held = |region: usize| {
        let held: BTreeSet<u32> = store.regions[region].values().flatten().copied().collect();
        format!("[{}]", held.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    };
    finally(&text, "s", &[(1, &held(0)), (2, &held(1))])
}

#[test]
fn no_set_that_is_merged_loses_what_was_acknowledged() {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let (mut judged, mut lost) = (0, 0);
    for round in 0..20_000 {
        let text = merged(&mut random, round % 2 == 0);
        let verdict = Durable.check(&history(&text));
        assert!(!verdict.is_invalid(), "{text}{verdict:#?}");
        assert!(!Convergent.check(&history(&text)).is_invalid(), "{text}");
        judged += verdict.coverage().operations;
        // And if it did: all that is there is gone, and what is gone is there.
        let (all, none) = (&[(1, "[0,1]"), (2, "[0,1]")], &[(1, "[]"), (2, "[]")]);
        let (run, _) = text.split_once("\nphase final").unwrap();
        let found = [all, none].map(|ends| Durable.check(&history(&finally(run, "s", ends))));
        lost += found.iter().filter(|verdict| verdict.is_invalid()).count();
    }
    assert!(judged > 20_000 && lost > 2_000, "{judged} were judged, {lost} found lost");
}

//! Logs: each anomaly by a history, and the checker against a slow and obvious one on random histories.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stormglass_checkers::checker::{Checker, Echo, Log};
use stormglass_checkers::history::{Op, Operation, Phase, Value};
use stormglass_checkers::{History, Verdict};

use crate::notation::history;

/// Asserts which anomalies a history has, by name.
fn check(text: &str, expected: &[&str]) {
    let verdict = Log.check(&history(text));
    let names: Vec<&str> = verdict.anomalies().iter().map(|anomaly| &*anomaly.name).collect();
    assert_eq!(names, expected, "{verdict:#?}");
    for anomaly in verdict.anomalies() {
        assert!(anomaly.explanation.len() > anomaly.witness.operations.len(), "{anomaly:?}");
    }
}

/// Two messages are sent and acknowledged at 0 and 1.
const SENT: &str = "
    0 invoke send k 10
    0 ok 0
    0 invoke send k 20
    0 ok 1
";

fn after_sending(rest: &str, expected: &[&str]) {
    check(&format!("{SENT}{rest}"), expected);
}

#[test]
fn what_was_sent_and_polled_in_its_order_is_valid() {
    let valid = Log.check(&history(&format!("{SENT}1 invoke poll k 0\n1 ok [[0,10],[1,20]]")));
    assert!(valid.is_valid(), "{valid:?}");
    after_sending("1 invoke poll k 0\n1 ok [[0,10],[1,20]]", &[]);
    after_sending("1 invoke poll k 1\n1 ok [[1,20]]", &[]);
}

#[test]
fn a_poll_may_end_before_the_end_of_the_log_but_at_the_end_of_a_run() {
    after_sending("1 invoke poll k 0\n1 ok [[0,10]]", &[]);
    after_sending("1 invoke poll k 0\n1 ok []\n1 invoke poll k 0\n1 ok [[0,10]]", &[]);
    let last = "phase final\n1 invoke poll k 0\n1 ok [[0,10]]";
    after_sending(last, &["lost-write"]);
    let polled = "1 invoke poll k 1\n1 ok [[1,20]]";
    after_sending(&format!("{polled}\n{last}"), &["unseen"]);
}

#[test]
fn a_node_that_does_not_say_in_the_end_what_it_holds_leaves_it_open() {
    let all = "1 invoke poll k 0 @n1\n1 ok [[0,10],[1,20]]\n";
    let silent = "2 invoke poll k 0 @n2\n2 info timeout\n";
    let verdict = Log.check(&history(&format!("{SENT}phase final\n{all}{silent}")));
    let Verdict::Unknown { reason, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, "node n2 did not say what it holds of k in the end");
    let again = "3 invoke poll k 0 @n2\n3 ok [[0,10],[1,20]]";
    after_sending(&format!("phase final\n{all}{silent}{again}"), &[]);
}

#[test]
fn what_a_poll_passes_over_is_lost_where_nobody_polls_it_and_skipped_where_somebody_does() {
    after_sending("1 invoke poll k 0\n1 ok [[1,20]]", &["lost-write"]);
    let polled = "2 invoke poll k 0\n2 ok [[0,10],[1,20]]";
    after_sending(&format!("1 invoke poll k 0\n1 ok [[1,20]]\n{polled}"), &["poll-skip"]);
}

#[test]
fn an_offset_has_one_message_and_a_message_one_offset() {
    after_sending(
        "1 invoke send k 30\n1 ok 1\n1 invoke poll k 1\n1 ok [[1,30]]",
        &["inconsistent-offset"],
    );
    after_sending("1 invoke poll k 0\n1 ok [[0,10],[1,20],[2,10]]", &["duplicate"]);
    // Who sends it twice may find it twice.
    let again = "2 invoke send k 10\n2 ok 2\n";
    after_sending(&format!("{again}1 invoke poll k 0\n1 ok [[0,10],[1,20],[2,10]]"), &[]);
}

#[test]
fn what_is_no_offset_and_no_list_of_messages_is_said() {
    after_sending("1 invoke send k 30\n1 ok there", &["no-offset"]);
    after_sending("1 invoke poll k 0\n1 ok [10,20]", &["no-messages"]);
}

/// What the only anomaly of a history comes to.
fn told_after_sending(rest: &str) -> String {
    let verdict = Log.check(&history(&format!("{SENT}{rest}")));
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:#?}") };
    anomaly.explanation.last().unwrap().clone()
}

#[test]
fn the_words_say_what_is_known() {
    let told = told_after_sending;
    let poll = |from: i64, answer: &str| format!("1 invoke poll k {from}\n1 ok {answer}");
    assert_eq!(told(&poll(0, "[[1,20],[0,10]]")), "offset 0 comes after offset 1");
    assert_eq!(told(&poll(1, "[[1,20],[0,10]]")), "offset 0 comes after offset 1");
    assert_eq!(told(&poll(1, "[[0,10],[1,20]]")), "offset 0 is before 1, from where was asked");
    assert_eq!(
        told(&poll(0, "[[1,20]]")),
        "the poll from 0 passed over offset 0, 10; nobody ever polled it"
    );
    let polled = "2 invoke poll k 0\n2 ok [[0,10],[1,20]]\n";
    assert_eq!(
        told(&format!("{}\n{polled}", poll(0, "[[1,20]]"))),
        "the poll from 0 passed over offset 0, 10"
    );
    let failed = "2 invoke send k 30\n2 fail unavailable\n";
    assert_eq!(
        told(&format!("{failed}{}", poll(2, "[[2,30]]"))),
        "offset 2 has 30, which nobody had begun to send, but for process 2, which failed"
    );
    let committed = format!("{polled}1 invoke commit k 1\n1 ok\n");
    let missed = "is older, and nobody committed that since";
    assert_eq!(
        told(&format!("{committed}1 invoke committed k\n1 ok nil")),
        format!("its session had committed 1 before, and was told so; nil {missed}")
    );
    assert_eq!(
        told(&format!("{committed}phase final\n2 invoke committed k\n2 ok nil")),
        format!("somebody had committed 1 before, and was told so; nil {missed}")
    );
}

#[test]
fn polls_ascend_from_where_they_were_to_begin() {
    after_sending("1 invoke poll k 0\n1 ok [[1,20],[0,10]]", &["nonmonotonic-poll"]);
    after_sending("1 invoke poll k 1\n1 ok [[0,10],[1,20]]", &["nonmonotonic-poll"]);
}

#[test]
fn what_a_session_sends_later_is_later_in_the_log() {
    let polled = "1 invoke poll k 0\n1 ok [[3,30],[5,40]]";
    let sent = |second: &str| {
        format!("0 invoke send k 40\n0 ok 5\n{second} invoke send k 30\n{second} ok 3\n{polled}")
    };
    check(&sent("0"), &["nonmonotonic-send"]);
    check(&sent("2"), &[]);
    // Two that a session sends at the same time have no order.
    check(
        &format!(
            "0/0 invoke send k 40\n1/0 invoke send k 30\n0 ok 5\n1 ok 3\n3 {}",
            &polled[2..].replace("\n1 ", "\n3 ")
        ),
        &[],
    );
}

#[test]
fn what_nobody_sent_is_in_no_log_nor_what_failed() {
    after_sending("1 invoke poll k 0\n1 ok [[0,10],[1,20],[2,9]]", &["phantom-message"]);
    let failed = "2 invoke send k 30\n2 fail unavailable\n";
    let polled = "1 invoke poll k 2\n1 ok [[2,30]]";
    after_sending(&format!("{failed}{polled}"), &["phantom-message"]);
    let open = "2 invoke send k 30\n2 info timeout\n";
    after_sending(&format!("{open}{polled}"), &[]);
}

#[test]
fn a_session_is_told_at_least_what_it_has_committed_itself() {
    let polled = "1 invoke poll k 0\n1 ok [[0,10],[1,20]]\n1 invoke commit k 1\n1 ok\n";
    after_sending(&format!("{polled}1 invoke committed k\n1 ok 1"), &[]);
    after_sending(&format!("{polled}1 invoke committed k\n1 ok nil"), &["lost-commit"]);
    after_sending(&format!("{polled}1 invoke committed k\n1 ok 0"), &["lost-commit"]);
    after_sending(&format!("{polled}2 invoke committed k\n2 ok 0"), &[]);
    after_sending(&format!("{polled}2 invoke committed k\n2 ok nil"), &[]);
    after_sending(
        &format!("{polled}phase final\n2 invoke committed k\n2 ok nil"),
        &["lost-commit"],
    );
    after_sending(&format!("{polled}1 invoke committed k\n1 ok 7"), &["phantom-commit"]);
    let lower = "2 invoke commit k 0\n2 ok\n1 invoke committed k\n";
    after_sending(&format!("{polled}{lower}1 ok 0"), &[]);
    after_sending(&format!("{polled}{lower}1 ok 1"), &[]);
}

#[test]
fn a_history_without_a_message_that_was_polled_proves_nothing() {
    let verdict = Log.check(&history(&format!("{SENT}1 invoke poll k 0\n1 ok []")));
    assert!(verdict.anomalies().is_empty());
    assert!(!matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
}

/// What an operation of a history says about its log, plainly.
struct Plain {
    /// Offset and message.
    says: Vec<(i64, Value)>,
    /// From where was polled; none where nothing was.
    polled_from: Option<i64>,
}

fn plain(history: &History, operation: &Operation<'_>) -> Plain {
    let op = history.op(operation.id);
    let answer = operation.value_read().map(|value| history.value(value).clone());
    let (says, polled_from) = match (op, answer) {
        (Op::Send { value, .. }, Some(Value::Int(offset))) => (vec![(offset, value)], None),
        (Op::Poll { from: Value::Int(from), .. }, Some(Value::List(pairs))) => {
            let pair = |pair: &Value| match pair {
                Value::List(parts) => match &parts[..] {
                    [Value::Int(offset), message] => (*offset, message.clone()),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            (pairs.iter().map(pair).collect(), Some(from))
        }
        _ => (Vec::new(), None),
    };
    Plain { says, polled_from }
}

/// The kinds of anomalies that a history of one log has, each found by looking at all pairs of what was said.
fn slow(history: &History) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    let operations: Vec<Operation<'_>> = history.operations().collect();
    let plain: Vec<Plain> = operations.iter().map(|one| plain(history, one)).collect();
    let end = history.phase_began(Phase::Final).map(|(event, _)| event);
    let is_send_of = |operation: &&Operation<'_>, message: &Value| matches!(history.op(operation.id), Op::Send { value, .. } if value == *message);
    let polled = |offset: i64| {
        plain.iter().any(|one| {
            one.polled_from.is_some() && one.says.iter().any(|(shown, _)| *shown == offset)
        })
    };
    for (one, says) in operations.iter().zip(&plain) {
        for (offset, message) in &says.says {
            for (other, other_says) in operations.iter().zip(&plain) {
                for (other_offset, other_message) in &other_says.says {
                    if offset == other_offset && message != other_message {
                        names.insert("inconsistent-offset");
                    }
                    if offset != other_offset && message == other_message {
                        names.insert("duplicate");
                    }
                }
                // Was the message known to be there, and does the other poll leave it out?
                let Some(from) = other_says.polled_from else { continue };
                let shows = other_says.says.iter().any(|(shown, _)| shown == offset);
                if *offset < from || shows {
                    continue;
                }
                let passed = other_says.says.iter().any(|(shown, _)| shown > offset);
                let last = end.is_some_and(|end| end < other.invoked);
                if passed || last && one.completed.is_some_and(|end| end < other.invoked) {
                    names.insert(match (polled(*offset), passed) {
                        (false, _) => "lost-write",
                        (true, true) => "poll-skip",
                        (true, false) => "unseen",
                    });
                }
            }
            let mut senders = operations.iter().filter(|send| is_send_of(send, message));
            if says.polled_from.is_some()
                && !senders.any(|send| !send.has_failed() && Some(send.invoked) < one.completed)
            {
                names.insert("phantom-message");
            }
        }
        if let Some(from) = says.polled_from {
            let ascends = says.says.windows(2).all(|pair| pair[0].0 < pair[1].0);
            if !ascends || says.says.iter().any(|(offset, _)| *offset < from) {
                names.insert("nonmonotonic-poll");
            }
        }
        for (other, other_says) in operations.iter().zip(&plain) {
            let are_sends = says.polled_from.is_none() && other_says.polled_from.is_none();
            let (Some((first, _)), Some((second, _))) =
                (says.says.first(), other_says.says.first())
            else {
                continue;
            };
            if are_sends && one.session == other.session && one.precedes(other) && second < first {
                names.insert("nonmonotonic-send");
            }
        }
        committed(history, &operations, one, &mut names);
    }
    names
}

/// Holds one answer about what is committed against every commit.
fn committed(
    history: &History,
    operations: &[Operation<'_>],
    asked: &Operation<'_>,
    names: &mut BTreeSet<&'static str>,
) {
    let (Op::Committed { .. }, Some(said)) = (asked.op, asked.value_read()) else { return };
    let said = history.value(said);
    let end = history.phase_began(Phase::Final).map(|(event, _)| event);
    let commits = || {
        operations.iter().filter_map(|commit| match history.op(commit.id) {
            Op::Commit { offset, .. } if !commit.has_failed() => Some((commit, offset)),
            _ => None,
        })
    };
    let same = || {
        commits()
            .filter(|(commit, offset)| offset == said && Some(commit.invoked) < asked.completed)
    };
    if *said != Value::Nil && *said != Value::Int(0) && same().next().is_none() {
        names.insert("phantom-commit");
        return;
    }
    for (commit, offset) in commits() {
        let is_last = end.is_some_and(|end| end < asked.invoked);
        let concerns = is_last || commit.session == asked.session;
        let is_newer = offset > *said && same().all(|(other, _)| other.precedes(commit));
        if commit.is_ok() && commit.precedes(asked) && concerns && is_newer {
            names.insert("lost-commit");
        }
    }
}

/// One event of a random history: who, what, and a number that says the rest.
type Drawn = (u32, u8, i64);

/// A history of one log that mostly behaves, and now and then does not.
fn text_of(drawn: &[Drawn]) -> String {
    let (mut log, mut text, mut sent, mut committed): (Vec<Option<i64>>, _, _, _) =
        (Vec::new(), String::new(), 0, None);
    let mut is_final = false;
    for (process, what, number) in drawn {
        let poll = |from: i64, shown: &[(i64, i64)]| {
            let pairs: Vec<String> =
                shown.iter().map(|(offset, message)| format!("[{offset},{message}]")).collect();
            format!("{process} invoke poll k {from}\n{process} ok [{}]\n", pairs.join(","))
        };
        match what {
            // Sends: one that is lost, one that comes where another is, or one as it should be.
            0..=4 => {
                sent += 1;
                let offset = if *what == 1 { number % 3 } else { log.len() as i64 };
                if *what != 0 {
                    log.push(Some(sent));
                } else {
                    log.push(None);
                }
                text += &format!("{process} invoke send k {sent}\n{process} ok {offset}\n");
            }
            5..=8 => {
                let from = number % (log.len() as i64 + 1);
                let mut shown: Vec<(i64, i64)> = (0..)
                    .zip(&log)
                    .filter(|(offset, message)| *offset >= from && message.is_some())
                    .map(|(offset, message)| (offset, message.unwrap()))
                    .collect();
                match number / 4 % 6 {
                    0 if !shown.is_empty() => shown.reverse(),
                    1 if !shown.is_empty() => {
                        shown.remove(shown.len() / 2);
                    }
                    2 => shown.truncate(1),
                    3 if !shown.is_empty() => shown[0].1 = number % 9,
                    _ => {}
                }
                text += &poll(from, &shown);
            }
            9 => {
                let end = if number % 2 == 0 { "ok" } else { "fail unavailable" };
                text += &format!("{process} invoke commit k {}\n{process} {end}\n", number % 4);
                committed = Some(number % 4);
            }
            10 => {
                let said = if number % 4 == 0 { Some(number % 5) } else { committed };
                let said = said.map_or("nil".to_owned(), |said| said.to_string());
                text += &format!("{process} invoke committed k\n{process} ok {said}\n");
            }
            _ if !is_final => {
                is_final = true;
                text += "phase final\n";
            }
            _ => {}
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_checker_finds_what_looking_at_all_pairs_finds(
        drawn in prop::collection::vec((0_u32..3, 0_u8..12, 0_i64..60), 1..14)
    ) {
        let text = text_of(&drawn);
        let history = history(&text);
        let verdict = Log.check(&history);
        let names: BTreeSet<&str> =
            verdict.anomalies().iter().map(|anomaly| &*anomaly.name).collect();
        prop_assert_eq!(names, slow(&history), "{}", text);
    }
}

#[test]
fn an_echo_is_what_was_asked_for() {
    let verdict = |answer: &str| Echo.check(&history(&format!("0 invoke echo e 7\n0 {answer}")));
    assert!(matches!(verdict("ok 7"), Verdict::Valid(_)));
    assert!(matches!(verdict("info timeout"), Verdict::Unknown { .. }));
    assert_eq!(verdict("ok 8").anomalies()[0].name, "wrong-echo");
}

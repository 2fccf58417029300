//! Session guarantees, case by case and against all version orders of small histories.

use std::collections::BTreeMap;

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{
    Checker, MonotonicReads, MonotonicWrites, ReadYourWrites, WritesFollowReads,
};
use stormglass_checkers::history::{
    KeyId, NodeId, Op, Operation, Outcome, ReadLevel, Reason, SessionId, ValueId,
};
use stormglass_checkers::{Anomaly, History, Verdict};

use crate::notation::history;

/// All four, in the order of reports.
const ALL: [&dyn Checker; 4] =
    [&ReadYourWrites, &MonotonicReads, &MonotonicWrites, &WritesFollowReads];

/// Checks which of the four are broken: `reads writes` are monotonic reads and monotonic writes.
#[track_caller]
fn broken(text: &str, expected: &str) {
    let names = ["own", "reads", "writes", "follow"];
    let history = history(text);
    let found: Vec<&str> = (names.iter().zip(ALL))
        .filter_map(|(name, checker)| checker.check(&history).is_invalid().then_some(*name))
        .collect();
    assert_eq!(found.join(" "), expected, "{text}");
}

#[track_caller]
fn explanation(checker: &dyn Checker, text: &str) -> String {
    checker.check(&history(text)).anomalies()[0].explanation.join("\n")
}

const TWO_WRITES: &str = "
    1 invoke write x 1
    1 ok
    1 invoke write x 2
    1 ok
";

fn then(before: &str, reads: &[&str]) -> String {
    let mut text = before.to_owned();
    for read in reads {
        let (what, value) = read.split_once(" = ").unwrap();
        text += &format!("5 invoke {what}\n5 ok {value}\n");
    }
    text
}

#[test]
fn a_session_that_goes_back_breaks_monotonic_reads() {
    broken(&then(TWO_WRITES, &["read x = 1", "read x = 2", "read x = 2"]), "");
    broken(&then(TWO_WRITES, &["read x = 2", "read x = nil"]), "reads writes");
    let two_writers = TWO_WRITES.replacen('1', "0", 1).replacen("1 ok", "0 ok", 1);
    broken(&then(&two_writers, &["read x = 2", "read x = 1"]), "reads");
    broken(&then(&two_writers, &["read-replica x @n1 = 2", "read-replica x @n2 = 1"]), "reads");
    let text = then(&two_writers, &["read x = 2", "read x = 1"]);
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 1 wrote x = 2 (from 0.002 s to 0.003 s)
        process 5 read x = 2 (from 0.004 s to 0.005 s)
        process 5 read x = 1 (from 0.006 s to 0.007 s)
        session 5 had read 2 before it read 1, which is older"#]]
    .assert_eq(&explanation(&MonotonicReads, &text));
}

#[test]
fn reads_of_concurrent_writes_may_come_in_any_order() {
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        0 ok
        1 ok
    ";
    broken(&then(text, &["read x = 2", "read x = 1"]), "");
    let open = "
        0 invoke write x 1
        0 info timeout
        1 invoke write x 2
        1 ok
    ";
    broken(&then(open, &["read x = 2", "read x = 1"]), "");
}

#[test]
fn reads_that_overlap_are_not_in_order() {
    let text = format!(
        "{TWO_WRITES}
        5/5 invoke read x
        6/5 invoke read x
        6 ok 2
        5 ok 1
    "
    );
    broken(&text, "");
}

#[test]
fn a_chain_of_compare_and_sets_orders_what_time_does_not() {
    let text = "
        0 invoke write x 1
        1 invoke cas x 1 2
        2 invoke cas x 2 3
        3 invoke cas x 3 4
        3 ok
        2 ok
        1 ok
        0 ok
    ";
    broken(&then(text, &["read x = 4", "read x = 2"]), "reads");
    broken(&then(text, &["read x = 2", "read x = 3"]), "");
    // What replaced a value was over before another write began, so the value is older than that.
    let open = "
        0 invoke write x 1
        0 info timeout
        1 invoke cas x 1 2
        1 ok
        2 invoke write x 3
        2 ok
    ";
    broken(&then(open, &["read x = 3", "read x = 1"]), "reads");
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 set x from 1 to 2 (from 0.002 s to 0.003 s)
        process 2 wrote x = 3 (from 0.004 s to 0.005 s)
        process 5 read x = 3 (from 0.006 s to 0.007 s)
        process 5 read x = 1 (from 0.008 s to 0.009 s)
        session 5 had read 3 before it read 1, which is older"#]]
    .assert_eq(&explanation(&MonotonicReads, &then(open, &["read x = 3", "read x = 1"])));
}

#[test]
fn a_compare_and_set_that_was_done_has_read() {
    let text = format!("{TWO_WRITES} 1 invoke cas x 1 3\n 1 ok");
    broken(&text, "own");
}

#[test]
fn a_version_tells_a_deletion_from_a_key_that_nobody_had_written_yet() {
    let text = "
        0 invoke write x 1
        0 ok v1
        0 invoke delete x
        0 ok v2
        0 invoke write x 5
        0 ok v3
        5 invoke read x
        5 ok 5 v3
        5 invoke read x
        5 ok nil v2
    ";
    broken(text, "reads writes");
    expect!["session 0 did write x 5 after its own delete x; session 5 saw x = 5 and then found x = nil, as it was before write x 5"]
    .assert_eq(explanation(&MonotonicWrites, text).lines().last().unwrap());
}

#[test]
fn versions_tell_where_both_sides_have_one() {
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        0 ok v2
        1 ok v1
        0 invoke read x
        0 ok 2 v1
        5 invoke read x
        5 ok 1 v2
        5 invoke read x
        5 ok 2 v1
    ";
    broken(text, "own reads");
    assert!(explanation(&MonotonicReads, text).ends_with("older (version 1 after version 2)"));
    broken(&text.replace(" v2", ""), "");
    // Time says the contrary here: it does not count where versions tell.
    let late = then(
        "0 invoke write x 1\n0 ok v7\n1 invoke write x 2\n1 ok v3\n",
        &["read x = 2 v3", "read x = 1 v7"],
    );
    broken(&late, "");
}

#[test]
fn a_sessions_writes_are_seen_in_their_order() {
    broken(&then(TWO_WRITES, &["read x = 2", "read x = 1"]), "reads writes");
    broken(&then(TWO_WRITES, &["read-replica x @n1 = 2", "read-replica x @n2 = 1"]), "reads");
    let one = ["read-replica x @n1 = 2", "read-replica x @n1 = 1"];
    broken(&then(TWO_WRITES, &one), "reads writes");
    let other = TWO_WRITES.replacen('1', "0", 1).replacen("1 ok", "0 ok", 1);
    broken(&then(&other, &one), "reads");
}

const TWO_KEYS: &str = "
    1 invoke write x 1
    1 ok
    1 invoke write y 2
    1 ok
";

#[test]
fn what_was_found_on_the_key_of_a_write_is_told_from_before_that_write() {
    let text = "1 invoke write x 1\n1 ok\n1 invoke write x 2\n1 ok\n";
    let words = explanation(&MonotonicWrites, &then(text, &["read x = 2", "read x = 1"]));
    let conclusion = words.lines().last().unwrap();
    assert!(conclusion.ends_with("then found x = 1, as it was before write x 2"), "{conclusion}");
    let words = explanation(&MonotonicWrites, &then(text, &["read x = 2", "read x = nil"]));
    let conclusion = words.lines().last().unwrap();
    assert!(conclusion.ends_with("then found x = nil, as it was before write x 1"), "{conclusion}");
    let text = "2 invoke write x 1\n2 ok\n1 invoke read x\n1 ok 1\n1 invoke write x 2\n1 ok\n";
    let words = explanation(&WritesFollowReads, &then(text, &["read x = 2", "read x = 1"]));
    let conclusion = words.lines().last().unwrap();
    assert!(conclusion.ends_with("then found x = 1, as it was before write x 2"), "{conclusion}");
}

#[test]
fn a_write_of_one_key_comes_with_the_sessions_earlier_write_of_another() {
    broken(&then(TWO_KEYS, &["read y = 2", "read x = 1"]), "");
    broken(&then(TWO_KEYS, &["read x = nil", "read y = 2"]), "");
    broken(&then(TWO_KEYS, &["read y = nil", "read x = nil"]), "");
    let text = then(TWO_KEYS, &["read y = 2", "read x = nil"]);
    broken(&text, "writes");
    expect![[r#"
        process 1 wrote x = 1 (from 0.000 s to 0.001 s)
        process 1 wrote y = 2 (from 0.002 s to 0.003 s)
        process 5 read y = 2 (from 0.004 s to 0.005 s)
        process 5 read x = nil (from 0.006 s to 0.007 s)
        session 1 did write y 2 after its own write x 1; session 5 saw y = 2 and then found x = nil, as it was before write x 1"#]]
    .assert_eq(&explanation(&MonotonicWrites, &text));
    let open = TWO_KEYS
        .replacen("1 ok", "1 info timeout", 1)
        .replace("1 invoke write y", "9/1 invoke write y");
    let open = open.replace("1 ok", "9 ok");
    broken(&then(&open, &["read y = 2", "read x = nil"]), "");
}

const READ_THEN_WRITE: &str = "
    0 invoke write x 1
    0 info timeout
    1 invoke read x
    1 ok 1
    1 invoke write y 2
    1 ok
";

#[test]
fn a_write_comes_with_what_its_session_had_read() {
    let text = then(READ_THEN_WRITE, &["read y = 2", "read x = nil"]);
    broken(&text, "follow");
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 read x = 1 (from 0.002 s to 0.003 s)
        process 1 wrote y = 2 (from 0.004 s to 0.005 s)
        process 5 read y = 2 (from 0.006 s to 0.007 s)
        process 5 read x = nil (from 0.008 s to 0.009 s)
        session 1 did write y 2 after it had read x = 1; session 5 saw y = 2 and then found x = nil, as it was before x = 1"#]]
    .assert_eq(&explanation(&WritesFollowReads, &text));
    broken(&then(READ_THEN_WRITE, &["read y = 2", "read x = 1"]), "");
    // On one key, what was read must not even come again.
    let same = READ_THEN_WRITE.replace("write y", "write x");
    broken(&then(&same, &["read x = 2", "read x = 1"]), "follow");
    let twice = format!("{same} 7 invoke write x 1\n 7 ok\n");
    broken(&then(&twice, &["read x = 2", "read x = 1"]), "");
}

/// What a session read, it wrote after that; a third one read what it wrote, and wrote a third key.
const READ_AND_WRITTEN_TWICE: &str = "
    0 invoke write x 1
    0 info timeout
    1 invoke read x
    1 ok 1
    1 invoke write y 2
    1 ok
    2 invoke read-replica y @n2
    2 ok 2
    2 invoke write z 3
    2 ok
";

#[test]
fn a_write_comes_with_what_was_read_before_the_writes_that_its_session_had_read() {
    let text = then(READ_AND_WRITTEN_TWICE, &["read z = 3", "read x = nil"]);
    broken(&text, "follow");
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 read x = 1 (from 0.002 s to 0.003 s)
        process 1 wrote y = 2 (from 0.004 s to 0.005 s)
        process 2 read y = 2 at n2 (from 0.006 s to 0.007 s)
        process 2 wrote z = 3 (from 0.008 s to 0.009 s)
        process 5 read z = 3 (from 0.010 s to 0.011 s)
        process 5 read x = nil (from 0.012 s to 0.013 s)
        session 1 did write y 2 after it had read x = 1; session 2 did write z 3 after it had read y = 2; session 5 saw z = 3 and then found x = nil, as it was before x = 1"#]]
    .assert_eq(&explanation(&WritesFollowReads, &text));
    broken(&then(READ_AND_WRITTEN_TWICE, &["read z = 3", "read x = 1", "read y = 2"]), "");
    // Who saw less depends on less, and who looks elsewhere has not seen it.
    broken(&then(READ_AND_WRITTEN_TWICE, &["read z = nil", "read x = nil"]), "");
    let elsewhere = ["read-replica z @n1 = 3", "read-replica x @n2 = nil"];
    broken(&then(READ_AND_WRITTEN_TWICE, &elsewhere), "");
    // It is not followed by what was written before.
    let late = READ_AND_WRITTEN_TWICE.replace("2 invoke read-replica y @n2\n    2 ok 2", "");
    let late = format!("{late}2 invoke read y\n2 ok 2\n");
    broken(&then(&late, &["read z = 3", "read x = nil"]), "");
    // On one key, what was read on the way must not even come again.
    let same = READ_AND_WRITTEN_TWICE.replace("write z", "write x");
    let text = then(&same, &["read x = 3", "read x = 1"]);
    broken(&text, "follow");
    let words = explanation(&WritesFollowReads, &text);
    let conclusion = words.lines().last().unwrap();
    assert!(
        conclusion
            .ends_with("session 5 saw x = 3 and then found x = 1, as it was before write x 3"),
        "{conclusion}"
    );
}

#[test]
fn of_a_sessions_writes_the_last_that_was_seen_counts() {
    // Both 10 and 11 may take effect at any time, for all that time tells.
    let text = "
        0 invoke write x 10
        0 info timeout
        2 invoke write x 11
        2 info timeout
        1 invoke read x
        1 ok 10
        1 invoke write x 3
        1 ok
        1 invoke read x
        1 ok 11
        1 invoke write x 4
        1 ok
    ";
    broken(&then(text, &["read x = 3", "read x = 11"]), "");
    broken(&then(text, &["read x = 3", "read x = 4", "read x = 11"]), "follow");
    broken(&then(text, &["read x = 4", "read x = 10"]), "follow");
    let verdict = WritesFollowReads.check(&history(&then(text, &["read x = 3", "read x = 11"])));
    let Verdict::Valid(coverage) = verdict else { panic!("{verdict:?}") };
    assert_eq!(coverage.method, "order by versions, real time and compare-and-set");
}

#[test]
fn of_what_a_session_had_read_the_newest_counts_though_it_went_back_itself() {
    let text = |versions: [&str; 2]| {
        let [older, newer] = versions;
        format!(
            "{TWO_WRITES}
            2 invoke read x
            2 ok 2 {newer}
            2 invoke read x
            2 ok 1 {older}
            2 invoke write y 3
            2 ok"
        )
    };
    let reads = |version: &str| ["read y = 3".to_owned(), format!("read x = 1 {version}")];
    for versions in [["", ""], ["v1", "v2"]] {
        let reads = reads(versions[0]);
        let reads: Vec<&str> = reads.iter().map(|read| &**read).collect();
        let text = then(&(text(versions) + "\n"), &reads);
        let verdict = WritesFollowReads.check(&history(&text));
        let [anomaly] = verdict.anomalies() else { panic!("{verdict:?}") };
        let conclusion = anomaly.explanation.last().unwrap();
        assert!(conclusion.contains("after it had read x = 2; session 5"), "{conclusion}");
    }
}

#[test]
fn who_has_looked_at_a_key_once_is_judged_there_again() {
    broken(&then(TWO_KEYS, &["read y = 2", "read x = 1", "read x = nil"]), "reads writes");
    let text = then(READ_THEN_WRITE, &["read y = 2", "read x = 1", "read x = nil"]);
    broken(&text, "reads follow");
    // Only the version tells, or only what was replaced.
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        1 ok v2
        1 invoke write y 3
        1 ok v3
        0 ok v1
    ";
    broken(&then(text, &["read y = 3 v3", "read x = 2 v2", "read x = 2 v2"]), "");
    broken(&then(text, &["read y = 3 v3", "read x = 2 v2", "read x = 1 v1"]), "reads writes");
    let text = "
        0 invoke write x 1
        1 invoke cas x 1 2
        1 ok
        1 invoke write y 3
        1 ok
        0 ok
    ";
    broken(&then(text, &["read y = 3", "read x = 2", "read x = 2"]), "");
    broken(&then(text, &["read y = 3", "read x = 2", "read x = 1"]), "reads writes");
    // Reads that tell no version are held against what was replaced, whatever versions that has.
    let text = text.replace("1 ok", "1 ok v2").replace("0 ok", "0 ok v1");
    broken(&then(&text, &["read y = 3", "read x = 2"]), "");
    broken(&then(&text, &["read y = 3", "read x = 1"]), "writes");
    // Each of these looks is one that was judged.
    let text = then(TWO_KEYS, &["read y = 2", "read x = 1", "read x = 1", "read y = 2"]);
    let Verdict::Valid(coverage) = MonotonicWrites.check(&history(&text)) else { panic!("{text}") };
    assert_eq!((coverage.operations, coverage.keys), (2, 2));
}

#[test]
fn final_reads_are_no_session() {
    let text = format!("{TWO_WRITES} phase final\n");
    broken(&then(&text, &["read-replica x @n1 = 2", "read-replica x @n1 = 1"]), "");
}

#[test]
fn where_nobody_reads_nothing_is_kept() {
    for checker in ALL {
        let verdict = checker.check(&history(TWO_WRITES));
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
    }
}

/// A small history over two sessions and two keys, in the notation.
fn small(random: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    let mut written: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut open: [Option<(u32, String, &str)>; 2] = [None, None];
    let (mut process, mut next, mut begun) = ([0, 1], 2, 0);
    while begun < 6 || open.iter().any(Option::is_some) {
        let session = random.random_range(0..2);
        let Some((number, op, key)) = open[session].take() else {
            if begun == 6 {
                continue;
            }
            begun += 1;
            let key = ["x", "x", "y"][random.random_range(0..3)];
            let known = written.entry(key).or_default();
            let fresh = if known.is_empty() || random.random_range(0..12) > 0 {
                begun.to_string()
            } else {
                known[0].clone()
            };
            let op = match random.random_range(0..20) {
                0..=7 => format!("write {key} {fresh}"),
                8..=9 => {
                    let from = known.last().map_or("nil", String::as_str);
                    format!("cas {key} {from} {fresh}")
                }
                10 => format!("delete {key}"),
                11..=13 => format!("read-replica {key}"),
                _ => format!("read {key}"),
            };
            if !op.starts_with("read") {
                known.push(if op.starts_with("del") { "nil".into() } else { fresh });
            }
            let node = if op.starts_with("read-") { "@n1" } else { "" };
            text += &format!("{}/{session} invoke {op} {node}\n", process[session]);
            open[session] = Some((process[session], op, key));
            continue;
        };
        let known = &written[key];
        let some = random.random_range(0..=known.len());
        let some = known.get(some).map_or("nil", String::as_str);
        let end = match (random.random_range(0..10), &op[..3]) {
            (0, _) => "info timeout".to_owned(),
            (_, "rea") => format!("ok {some}"),
            (1..=3, "cas") => format!("fail mismatch {some}"),
            (1, _) => "fail refused".to_owned(),
            _ => "ok".to_owned(),
        };
        if end == "info timeout" {
            process[session] = next;
            next += 1;
        }
        text += &format!("{number} {end}\n");
    }
    text
}

/// A small history in which sessions read, most of the time, what was written last, and then write another key; and
/// one of them looks at two keys. Some writes are open until the end, or without an answer.
fn passed_on(random: &mut ChaCha8Rng) -> String {
    let (mut text, mut at_the_end) = (String::new(), String::new());
    let mut written: Vec<(&str, usize)> = Vec::new();
    let mut process = 0;
    for number in 1..=6 {
        let session = random.random_range(0..4);
        if let Some((key, value)) = written.last().filter(|_| random.random_range(0..8) > 0) {
            text += &format!("{process}/{session} invoke read {key}\n{process} ok {value}\n");
            process += 1;
        }
        let key = ["x", "y", "z"][random.random_range(0..3)];
        if number < 5 {
            text += &format!("{process}/{session} invoke write {key} {number}\n");
            written.push((key, number));
            match random.random_range(0..4) {
                0 | 1 => text += &format!("{process} ok\n"),
                2 => text += &format!("{process} info timeout\n"),
                _ => at_the_end += &format!("{process} ok\n"),
            }
        } else {
            let known = written.iter().filter(|(of, _)| *of == key);
            let known: Vec<String> = known.map(|(_, value)| value.to_string()).collect();
            let some = known.get(random.random_range(0..=known.len()));
            let some = some.map_or("nil", String::as_str);
            text += &format!("{process}/9 invoke read {key}\n{process} ok {some}\n");
        }
        process += 1;
    }
    text + &at_the_end
}

/// A history taken apart for the slow judge.
struct Slow<'a> {
    writes: Vec<Operation<'a>>,
    finds: Vec<(Operation<'a>, ValueId)>,
}

fn found(operation: &Operation<'_>) -> Option<ValueId> {
    match (operation.op, operation.outcome) {
        (Op::Cas { from, .. }, Some(Outcome::Ok(_))) => Some(from),
        (_, Some(Outcome::Fail(Reason::Mismatch { actual }))) => *actual,
        _ => operation.value_read(),
    }
}

fn observer(operation: &Operation<'_>) -> (SessionId, Option<NodeId>) {
    let local = matches!(operation.op, Op::Read { level: ReadLevel::Replica, .. });
    (operation.session, operation.node.filter(|_| local))
}

impl<'a> Slow<'a> {
    fn new(history: &'a History) -> Slow<'a> {
        let took = |operation: &Operation<'_>| operation.is_ok() || operation.is_indeterminate();
        Slow {
            writes: history
                .operations()
                .filter(|op| op.value_written().is_some() && took(op))
                .collect(),
            finds: history.operations().filter_map(|op| Some((op, found(&op)?))).collect(),
        }
    }

    /// Which guarantees every order of the writes breaks; none where no order explains the reads.
    fn broken(&self) -> Option<[bool; 4]> {
        let mut broken = None;
        let mut order = Vec::new();
        self.extend(&mut order, &mut broken);
        broken
    }

    /// Tries everything that may come next in the order, and the order as it is.
    fn extend(&self, order: &mut Vec<usize>, broken: &mut Option<[bool; 4]>) {
        let all = (0..self.writes.len()).all(|at| order.contains(&at) || !self.writes[at].is_ok());
        if all {
            let places = |(find, value): &(Operation<'_>, ValueId)| -> Vec<usize> {
                let start = (*value == ValueId::NIL).then_some(0);
                start.into_iter().chain(self.holds(order, *find.op.key(), *value)).collect()
            };
            let choices: Vec<Vec<usize>> = self.finds.iter().map(places).collect();
            self.choose(order, &choices, &mut Vec::new(), broken);
        }
        for next in 0..self.writes.len() {
            let write = &self.writes[next];
            let open = |at: &usize| !order.contains(at) && *at != next;
            let late =
                (0..self.writes.len()).filter(open).any(|at| self.writes[at].precedes(write));
            let fits = match write.op {
                Op::Cas { key, from, .. } => {
                    from == ValueId::NIL || self.holds(order, key, from).next().is_some()
                }
                _ => true,
            };
            if !order.contains(&next) && !late && fits {
                order.push(next);
                self.extend(order, broken);
                order.pop();
            }
        }
    }

    /// After how many writes the key may have come to hold the value.
    fn holds<'b>(
        &'b self,
        order: &'b [usize],
        key: KeyId,
        value: ValueId,
    ) -> impl Iterator<Item = usize> + 'b {
        order.iter().enumerate().filter_map(move |(place, at)| {
            let write = &self.writes[*at];
            (*write.op.key() == key && write.value_written() == Some(value)).then_some(place + 1)
        })
    }

    /// Tries every explanation of every read.
    fn choose(
        &self,
        order: &[usize],
        choices: &[Vec<usize>],
        chosen: &mut Vec<usize>,
        broken: &mut Option<[bool; 4]>,
    ) {
        let Some(places) = choices.get(chosen.len()) else {
            let now = self.breaks(order, chosen);
            let all = broken.get_or_insert([true; 4]);
            *all = std::array::from_fn(|which| all[which] && now[which]);
            return;
        };
        for place in places {
            chosen.push(*place);
            self.choose(order, choices, chosen, broken);
            chosen.pop();
        }
    }

    /// What is broken if the writes came in this order and the reads found these places of it.
    fn breaks(&self, order: &[usize], places: &[usize]) -> [bool; 4] {
        let written: Vec<(&Operation<'_>, usize)> =
            order.iter().enumerate().map(|(place, at)| (&self.writes[*at], place + 1)).collect();
        let finds: Vec<(&Operation<'_>, usize)> =
            self.finds.iter().zip(places).map(|((find, _), place)| (find, *place)).collect();
        let mut broken = [false; 4];
        for (find, place) in &finds {
            let key = find.op.key();
            let behind = |(past, past_place): &(&Operation<'_>, usize)| {
                past.op.key() == key && own(past, find) && place < past_place
            };
            broken[0] |= written.iter().any(behind);
            broken[1] |= finds.iter().any(behind);
            for (write, write_place) in &written {
                let followed = followed(&written, &finds, *write_place);
                let saw = |(by, place): &(&Operation<'_>, usize)| {
                    place == write_place
                        && by.op.key() == write.op.key()
                        && observer(by) == observer(find)
                        && by.precedes(find)
                };
                if !finds.iter().any(saw) {
                    continue;
                }
                let same = usize::from(write.op.key() == key);
                let depends = |on: &(&Operation<'_>, usize), write: &Operation<'_>| {
                    on.0.op.key() == key && own(on.0, write) && *place < on.1 + same
                };
                broken[2] |= written.iter().any(|on| depends(on, write));
                // What nobody had written is no write to depend on.
                let followed = || followed.iter().map(|place| written[place - 1].0);
                let through = |on: &_| followed().any(|write| depends(on, write));
                broken[3] |= finds.iter().any(|found| found.1 > 0 && through(found));
            }
        }
        for (write, write_place) in &written {
            let followed = followed(&written, &finds, *write_place);
            broken[3] |= finds.iter().any(|(on, on_place)| {
                let is_before = |place: &usize| own(on, written[place - 1].0);
                on.op.key() == write.op.key()
                    && followed.iter().any(is_before)
                    && on_place >= write_place
            });
        }
        broken
    }
}

/// Whether one session did both, the one before the other.
fn own(one: &Operation<'_>, other: &Operation<'_>) -> bool {
    one.session == other.session && one.precedes(other)
}

/// The places of a write, and of all that its session had read before, and so on.
fn followed(
    written: &[(&Operation<'_>, usize)],
    finds: &[(&Operation<'_>, usize)],
    write: usize,
) -> Vec<usize> {
    let mut followed = vec![write];
    let mut next = 0;
    while let Some(place) = followed.get(next) {
        let write = written[place - 1].0;
        next += 1;
        for (find, place) in finds {
            if *place > 0 && own(find, write) && !followed.contains(place) {
                followed.push(*place);
            }
        }
    }
    followed
}

/// Holds the checkers against all orders of the writes of random histories: how many break each guarantee, of how
/// many that break it in every order; and how many sentences tell of other sessions on the way.
fn judged(count: u32, mut small: impl FnMut() -> String) -> ([usize; 4], [usize; 4], usize) {
    let (mut told, mut all, mut through) = ([0; 4], [0; 4], 0);
    for _ in 0..count {
        let text = small();
        let history = history(&text);
        let Some(broken) = Slow::new(&history).broken() else { continue };
        for (which, checker) in ALL.iter().enumerate() {
            let verdict = checker.check(&history);
            assert!(broken[which] || !verdict.is_invalid(), "{text}{verdict:#?}");
            told[which] += usize::from(verdict.is_invalid());
            all[which] += usize::from(broken[which]);
            let is_through = |anomaly: &Anomaly| {
                let conclusion = anomaly.explanation.last();
                which == 3 && conclusion.is_some_and(|words| words.matches(" did ").count() > 1)
            };
            through += verdict.anomalies().iter().filter(|anomaly| is_through(anomaly)).count();
        }
    }
    (told, all, through)
}

#[test]
fn nobody_is_accused_whom_an_order_of_the_writes_clears() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (told, all, _) = judged(40_000, || small(&mut random));
    expect!["[7556, 1907, 155, 23] of [7615, 1925, 171, 109]"]
        .assert_eq(&format!("{told:?} of {all:?}"));
}

#[test]
fn nobody_is_accused_for_what_was_read_by_others_unless_no_order_clears_them() {
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let (told, all, through) = judged(20_000, || passed_on(&mut random));
    expect!["[0, 1376, 261, 1618] of [0, 1424, 261, 1710], 411 through other sessions"]
        .assert_eq(&format!("{told:?} of {all:?}, {through} through other sessions"));
}

/// Three writes at the same time, whose order only the versions tell.
const VERSIONS: &str = "
    1 invoke write x 1
    2 invoke write x 2
    3 invoke write x 3
    1 ok v1
    2 ok v2
    3 ok v3
";

/// What is said of each read that goes back.
fn gone_back(reads: &[&str]) -> Vec<String> {
    let history = history(&then(VERSIONS, reads));
    let verdict = MonotonicReads.check(&history);
    let conclusion = |anomaly: &Anomaly| anomaly.explanation.last().unwrap().clone();
    verdict.anomalies().iter().map(conclusion).collect()
}

#[test]
fn the_greatest_version_of_a_session_counts() {
    expect![[r#"
        [
            "session 5 had read 3 before it read 1, which is older (version 1 after version 3)",
            "session 5 had read 3 before it read 2, which is older (version 2 after version 3)",
        ]
    "#]]
    .assert_debug_eq(&gone_back(&["read x = 3 v3", "read x = 1 v1", "read x = 2 v2"]));
    assert_eq!(gone_back(&["read x = 1 v1", "read x = 3 v3", "read x = 2 v2"]).len(), 1);
    assert!(gone_back(&["read x = 1 v1", "read x = 3 v3", "read x = 3 v3"]).is_empty());
}

#[test]
fn a_long_way_from_one_value_to_another_is_told_in_part() {
    // All at the same time: nothing but the compare-and-sets says what came first.
    let text = |length: u32| {
        let mut text = "0 invoke write x 0\n".to_owned();
        for value in 0..length {
            text += &format!("{} invoke cas x {value} {}\n", value + 10, value + 1);
        }
        text += "0 ok\n";
        text += &(0..length).map(|value| format!("{} ok\n", value + 10)).collect::<String>();
        text + &then("", &[&format!("read x = {length}"), "read x = 0"])
    };
    // One write, all compare-and-sets and two reads; and the conclusion.
    let told = |length| {
        let verdict = MonotonicReads.check(&history(&text(length)));
        let anomaly = verdict.anomalies()[0].clone();
        assert_eq!(anomaly.witness.operations.len(), length as usize + 3);
        anomaly.explanation
    };
    assert_eq!(told(8).len(), 12);
    assert_eq!(told(9).len(), 13);
    assert_eq!(told(10).len(), 14);
    assert_eq!(told(10)[12], "and so on: 1 more operations of the witness");
    assert_eq!(told(30)[12], "and so on: 21 more operations of the witness");
}

#[test]
fn a_proof_has_no_more_than_it_needs() {
    let text = "
        0 invoke write x 1
        0 ok
        0 invoke write x 2
        0 ok
        1 invoke cas x 2 3
        1 ok
        1 invoke cas x 3 4
        1 ok
    ";
    let history = history(&then(text, &["read x = 4", "read x = 1"]));
    let verdict = MonotonicReads.check(&history);
    let witness = &verdict.anomalies()[0].witness.operations;
    let told: Vec<String> = witness.iter().map(|id| history.op(*id).to_string()).collect();
    expect![[r#"
        write x 1
        cas x 3 4
        read x
        read x"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn what_is_no_register_has_no_order_of_values() {
    // 7 less 2 is 5 again.
    let text = "
        0 invoke write x 5
        0 ok
        0 invoke write x 7
        0 ok
        0 invoke increment x -2
        0 ok
        0 invoke read x
        0 ok 5
        1 invoke read x
        1 ok 7
        1 invoke read x
        1 ok 5
    ";
    broken(text, "");
    broken(&text.replace("0 invoke increment x -2\n        0 ok\n", ""), "own reads writes");
}

#[test]
fn a_value_is_not_older_than_itself_where_it_replaced_what_came_later() {
    // What 2 replaced was there only when 2 and 3 had been seen: that no store does. But nobody went back.
    let text = "
        0 invoke cas x 1 2
        1 invoke cas x 2 3
        0 ok
        1 ok
        1 invoke read x
        1 ok 3
        1 invoke read x
        1 ok 3
        0 invoke cas x 7 1
        0 ok
    ";
    broken(text, "");
}

#[test]
fn a_session_that_went_on_under_a_new_process_is_told_by_both_numbers() {
    let text = "
        1 invoke write x 1
        1 ok
        0 invoke write x 2
        0 ok
        0 invoke write y 5
        0 info timeout
        9/0 invoke read x
        9 ok 1
    ";
    expect![[r#"
        process 1 wrote x = 1 (from 0.000 s to 0.001 s)
        process 0 wrote x = 2 (from 0.002 s to 0.003 s)
        process 9 read x = 1 (from 0.006 s to 0.007 s)
        process 9 is session 0
        session 0 had its own write x 2 acknowledged before it read 1, which is older"#]]
    .assert_eq(&explanation(&ReadYourWrites, text));
}

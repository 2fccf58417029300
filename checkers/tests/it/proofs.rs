//! What a violation is proved by: by itself, and by nothing less.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{
    BoundedStaleness, Checker, Durable, Limits, Linearizable, MonotonicReads, MonotonicWrites,
    ReadYourWrites, WritesFollowReads,
};
use stormglass_checkers::history::{
    Op, Operation, OperationId, Outcome, Reason, Ret, Value, ValueId,
};
use stormglass_checkers::{Anomaly, Guarantee};

use crate::linearizable::check_explained;
use crate::notation::history;
use crate::oracle::{Small, Step, apply, has_an_order};

#[test]
fn every_write_that_may_have_been_seen_is_shown() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        0 invoke write x 1
        0 ok
        2 invoke cas x 1 1
        2 fail mismatch 1
        0 invoke write x 2
        0 ok
        ",
        &expect![[r#"
            not-linearizable at 0.005 s on x
            operations [0, 1, 2], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 0 wrote x = 1 (from 0.002 s to 0.003 s)
            process 2 tried to set x from 1 to 1 and found 1 (from 0.004 s to 0.005 s)
            no order goes further than this one: process 0 wrote x = 1; process 0 wrote x = 1
            after it, this does not fit: process 2 tried to set x from 1 to 1 and found 1
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_failed_to_replace_a_value_is_no_reason_to_show_who_wrote_it() {
    check_explained(
        "
        0 invoke write x 2
        1 invoke write x 2
        0 ok
        2 invoke cas x 2 1
        2 fail mismatch nil
        1 ok
        3 invoke cas x 2 2
        3 ok
        ",
        &expect![[r#"
            stale-read at 0.004 s on x
            operations [0, 2], faults []
            process 0 wrote x = 2 (from 0.000 s to 0.002 s)
            process 2 tried to set x from 2 to 1 and found nil (from 0.003 s to 0.004 s)
            process 2 saw x = nil after 0.003 s, but x = 2 had been acknowledged to process 0 at 0.002 s, before that, and nothing made it nil after it
        "#]],
    );
}

#[test]
fn a_failure_that_does_not_tell_proves_nothing_about_other_values() {
    // Either is wrong by itself.
    check_explained(
        "
        0 invoke cas x nil 7
        0 fail mismatch
        1 invoke read x
        1 ok 5
        ",
        &expect![[r#"
            unwritten-value at 0.003 s on x
            operations [1], faults []
            process 1 read x = 5 (from 0.002 s to 0.003 s)
            process 1 saw 5, which nobody wrote there
        "#]],
    );
}

#[test]
fn what_a_proof_has_too_little_time_to_leave_out_stays_in_it() {
    // All but one are even, and that one is too much. The read is at the same time, so that bounds say
    // nothing. That no order gives this sum takes a state for each of the sums of the others: more than a
    // try to leave something out may take.
    let mut text = "16 invoke read c\n15 invoke increment c 1000001\n".to_owned();
    for process in 0..15 {
        text += &format!("{process} invoke increment c {}\n", 2 << process);
    }
    text += "16 ok 65535\n";
    text += &(0..16).map(|process| format!("{process} ok\n")).collect::<String>();
    assert_eq!(size_of_proof(&text), 17);
    // Each value is replaced by the next three of seven, all at the same time: whoever does all that
    // ends where he began, in very many ways. A failure that does not tell needs all of them.
    let mut text = "0 invoke write x 10\n0 ok\n".to_owned();
    let edges = || (0..7).flat_map(|from| (1..4).map(move |step| (from, (from + step) % 7)));
    for (process, (from, to)) in (1..).zip(edges()) {
        text += &format!("{process} invoke cas x {} {}\n", 10 + from, 10 + to);
    }
    text += &(1..22).map(|process| format!("{process} ok\n")).collect::<String>();
    let failed = text.clone() + "0 invoke cas x 10 99\n0 fail mismatch\n";
    assert_eq!(size_of_proof(&failed), 23);
    // That 11 was replaced as often as it was brought takes no search.
    text += "0 invoke read x\n0 ok 11\n";
    assert_eq!(size_of_proof(&text), 7);
}

fn size_of_proof(text: &str) -> usize {
    let verdict = Linearizable::new(Limits::default()).check(&history(text));
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:#?}") };
    anomaly.witness.operations.len()
}

/// An operation of a proof from which others were left out.
#[derive(Clone)]
struct Shown<'a> {
    small: Small,
    /// What those who were left out may have brought, at any time and any number of times.
    free: &'a BTreeSet<Value>,
}

impl Step<Value> for Shown<'_> {
    fn begin(&self) -> usize {
        self.small.begin()
    }

    fn end(&self) -> Option<usize> {
        self.small.end()
    }

    fn after(&self, held: &Value) -> Option<Value> {
        let seen = match (&self.small.op, &self.small.outcome) {
            (Op::Read { .. }, Outcome::Ok(Ret::Value(value))) => Some(value),
            (Op::Cas { from, .. }, _) => Some(from),
            _ => None,
        };
        // It may have come just before.
        let held = seen.filter(|value| self.free.contains(*value)).unwrap_or(held);
        apply(held, &self.small.op, &self.small.outcome)
    }
}

/// Holds the proof of a violation against every smaller one: all operations are in it, and any part of
/// them has an order, as far as it tells.
fn check_nothing_less_proves(text: &str) {
    let history = history(text);
    let small = |operation: Operation<'_>| {
        let outcome = match operation.value_read() {
            Some(value) => Outcome::Ok(Ret::Value(history.value(value).clone())),
            None if operation.is_ok() => Outcome::Ok(Ret::Done),
            None => Outcome::Info(Reason::Timeout),
        };
        let from = operation.invoked.0 as usize;
        let to = operation.completed.map_or(usize::MAX, |event| event.0 as usize);
        Small { op: history.op(operation.id), outcome, from, to }
    };
    let smalls: Vec<Small> = history.operations().map(small).collect();
    assert_eq!(size_of_proof(text), smalls.len(), "{text}");
    for part in 0..1_u32 << smalls.len() {
        let is_in = |place: usize| part >> place & 1 == 1;
        let brought = |place: usize| match &smalls[place].op {
            Op::Write { value, .. } | Op::Cas { to: value, .. } => Some(value.clone()),
            _ => None,
        };
        let free = (0..smalls.len()).filter(|place| !is_in(*place)).filter_map(brought).collect();
        let shown = |place: usize| Shown { small: smalls[place].clone(), free: &free };
        let shown: Vec<Shown<'_>> =
            (0..smalls.len()).filter(|place| is_in(*place)).map(shown).collect();
        let is_whole = shown.len() == smalls.len();
        assert_eq!(has_an_order(&shown, &Value::Nil), !is_whole, "{part:b} of {text}");
    }
}

#[test]
fn what_was_replaced_more_often_than_written_is_proved_by_all_of_that() {
    for times in 2..=4 {
        let writes = 0..times - 1;
        let replaced = 10..10 + times;
        let mut text: String =
            writes.map(|process| format!("{process} invoke write x 1\n")).collect();
        text.extend(replaced.clone().map(|process| format!("{process} invoke cas x 1 2\n")));
        text.extend(replaced.map(|process| format!("{process} ok\n")));
        check_nothing_less_proves(&text);
    }
}

#[test]
fn what_was_seen_at_more_times_than_written_is_proved_by_all_of_that() {
    for times in 2..=3 {
        let writes = 0..times - 1;
        let mut text: String =
            writes.map(|process| format!("{process} invoke write x 1\n")).collect();
        text += "8 invoke read x\n8 ok 1\n";
        for time in 1..times {
            let other = 1 + time;
            text += &format!("9 invoke write x {other}\n9 ok\n8 invoke read x\n8 ok 1\n");
        }
        check_nothing_less_proves(&text);
    }
}

#[test]
fn compare_and_sets_in_a_circle_are_proved_by_all_of_it() {
    for length in 2..=7 {
        let mut text: String = (0..length)
            .map(|from| format!("{from} invoke cas x {from} {}\n", (from + 1) % length))
            .collect();
        text.extend((0..length).map(|process| format!("{process} ok\n")));
        check_nothing_less_proves(&text);
    }
}

#[test]
fn what_nobody_brought_was_not_replaced() {
    // It is not assumed that somebody had brought 7, who is not shown.
    check_explained(
        "
        0 invoke cas x 7 8
        0 info timeout
        1 invoke read x
        1 ok 8
        ",
        &expect![[r#"
            not-linearizable at 0.003 s on x
            operations [0, 1], faults []
            process 0 set x from 7 to 8 (from 0.000 s with no answer, so it may take effect at any time after that)
            process 1 read x = 8 (from 0.002 s to 0.003 s)
            already at the start, this does not fit: process 1 read x = 8
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_brought_what_was_replaced_is_shown_where_it_had_been_written_over() {
    // Without the write of 1 nobody could see that it was gone when process 1 began.
    check_explained(
        "
        0 invoke write x 1
        0 ok
        0 invoke cas x 1 2
        0 ok
        1 invoke cas x 1 3
        1 info timeout
        2 invoke read x
        2 ok 3
        ",
        &expect![[r#"
            not-linearizable at 0.007 s on x
            operations [0, 1, 2, 3], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 0 set x from 1 to 2 (from 0.002 s to 0.003 s)
            process 1 set x from 1 to 3 (from 0.004 s with no answer, so it may take effect at any time after that)
            process 2 read x = 3 (from 0.006 s to 0.007 s)
            no order goes further than this one: process 0 wrote x = 1; process 0 set x from 1 to 2
            after it, this does not fit: process 2 read x = 3
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_brought_what_was_replaced_is_left_out_where_it_is_enough_that_somebody_did() {
    check_explained(
        "
        1 invoke write x 1
        1 ok
        1 invoke cas x 1 2
        1 ok
        2 invoke cas x 2 9
        2 fail mismatch
        ",
        &expect![[r#"
            not-linearizable at 0.005 s on x
            operations [1, 2], faults []
            process 1 set x from 1 to 2 (from 0.002 s to 0.003 s)
            process 2 tried to set x from 2 to 9 and found something else (from 0.004 s to 0.005 s)
            no order goes further than this one: process 1 set x from 1 to 2, which somebody had brought who is not shown
            after it, this does not fit: process 2 tried to set x from 2 to 9 and found something else
            one more write cannot be what process 2 found: it was over before another one began, and that was over before process 2 asked
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
}

#[test]
fn a_write_that_was_replaced_before_anybody_in_a_proof_began_is_left_out() {
    let text = "
        0 invoke write x 3
        0 ok
        1 invoke write x 3
        2 invoke cas x 3 1
        2 ok
        3 invoke read x
        3 ok 3
        4 invoke write x 5
        4 ok
        3 invoke read x
        3 ok 3
    ";
    check_explained(
        text,
        &expect![[r#"
            not-linearizable at 0.010 s on x
            operations [1, 3, 4, 5], faults []
            process 1 wrote x = 3 (from 0.002 s with no answer, so it may take effect at any time after that)
            process 3 read x = 3 (from 0.005 s to 0.006 s)
            process 4 wrote x = 5 (from 0.007 s to 0.008 s)
            process 3 read x = 3 (from 0.009 s to 0.010 s)
            no order goes further than this one: process 1 wrote x = 3; process 3 read x = 3; process 4 wrote x = 5
            after it, this does not fit: process 3 read x = 3
            one more write of 3 cannot be what was read: after it was over, and before that was read, somebody left or saw something else
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_failed_without_saying_what_was_there_may_have_found_what_others_wrote() {
    // By itself, the failure proves nothing: process 1 may have been first.
    let text = "
        0 invoke cas x nil 1
        1 invoke cas x nil 2
        0 fail mismatch
        2 invoke read x
        1 ok
        2 ok nil
    ";
    check_explained(
        text,
        &expect![[r#"
            not-linearizable at 0.005 s on x
            operations [0, 2], faults []
            process 0 tried to set x from nil to 1 and found something else (from 0.000 s to 0.002 s)
            process 2 read x = nil (from 0.003 s to 0.005 s)
            no order goes further than this one: somebody who is not shown wrote something else; process 0 tried to set x from nil to 1 and found something else
            after it, this does not fit: process 2 read x = nil
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
}

#[test]
fn what_is_called_a_newer_value_is_newer_by_the_operations_shown() {
    let mut random = ChaCha8Rng::seed_from_u64(10);
    let mut told = 0;
    for _ in 0..3_000 {
        let mut text = String::new();
        let mut open = [false; 4];
        for _ in 0..24 {
            let process = random.random_range(0..4);
            let value = random.random_range(1..4);
            let reads = process > 1;
            open[process] = !open[process];
            text += &match (open[process], reads) {
                (false, false) => format!("{process} ok\n"),
                (false, true) => format!("{process} ok {value}\n"),
                (true, false) => format!("{process} invoke write x {value}\n"),
                (true, true) => format!("{process} invoke read x\n"),
            };
        }
        let history = history(&text);
        for anomaly in Linearizable::new(Limits::default()).check(&history).anomalies() {
            let between = |start: &str, end: &str| {
                let found = anomaly.explanation.iter().find_map(|words| {
                    words.split_once(start)?.1.split_once(end).map(|(value, _)| value.to_owned())
                });
                found.filter(|value| value.len() == 1)
            };
            let is_of_one = anomaly.explanation.iter().any(|words| words.contains("only once"));
            let newer = between("had seen x = ", ", a newer value").filter(|_| !is_of_one);
            let Some((newer, old)) = newer.zip(between(" saw x = ", " after ")) else { continue };
            told += 1;
            let writes = |value: &str| -> Vec<_> {
                let is_of = |op: &Operation<'_>| {
                    op.value_written().is_some_and(|id| history.value(id).to_string() == value)
                };
                let shown = anomaly.witness.operations.iter().map(|id| history.operation(*id));
                shown.filter(is_of).collect()
            };
            let follows =
                |write: &Operation<'_>| writes(&old).iter().any(|old| !write.precedes(old));
            assert!(writes(&newer).iter().any(follows), "{text}{anomaly:#?}");
        }
    }
    assert!(told > 50, "{told}");
}

/// Two registers with few values that four sessions write as they should, and of which reads, in the
/// end at two replicas, return anything that they ever held.
fn forgetful(random: &mut ChaCha8Rng) -> String {
    enum Open {
        Read(usize),
        /// With what it says in the end, where it was done already.
        Write(usize, Option<u32>, u32, Option<String>),
    }
    fn done(held: &mut Vec<u32>, from: Option<u32>, to: u32) -> String {
        let now = held[held.len() - 1];
        if from.is_some_and(|from| from != now) {
            return format!("fail mismatch {}", name(now));
        }
        held.push(to);
        "ok".to_owned()
    }
    fn name(value: u32) -> String {
        if value == 0 { "nil".to_owned() } else { value.to_string() }
    }
    let (mut text, mut held) = (String::new(), [vec![0], vec![0]]);
    let mut open: [Option<Open>; 4] = [const { None }; 4];
    for _ in 0..random.random_range(8..40) {
        let process = random.random_range(0..4);
        let said = match open[process].take() {
            Some(Open::Read(key)) => {
                format!("ok {}", name(held[key][random.random_range(0..held[key].len())]))
            }
            Some(Open::Write(key, from, to, done_before)) => {
                done_before.unwrap_or_else(|| done(&mut held[key], from, to))
            }
            None => {
                let key = random.random_range(0..2);
                let (at, to) = (["x", "y"][key], random.random_range(0..6));
                let now = held[key][held[key].len() - 1];
                let from = random.random_bool(0.5).then_some(now);
                // What is replaced by the same was written by two.
                let to = if from == Some(to) { (to + 1) % 6 } else { to };
                let early = random.random_bool(0.3);
                if random.random_bool(0.5) {
                    open[process] = Some(Open::Read(key));
                    format!("invoke read {at}")
                } else {
                    let said = early.then(|| done(&mut held[key], from, to));
                    open[process] = Some(Open::Write(key, from, to, said));
                    match from {
                        Some(from) => format!("invoke cas {at} {} {}", name(from), name(to)),
                        None if to == 0 => format!("invoke delete {at}"),
                        None => format!("invoke write {at} {to}"),
                    }
                }
            }
        };
        text += &format!("{process} {said}\n");
    }
    text += "phase final\n";
    for (process, node) in [(8, 1), (9, 2)] {
        for (at, held) in ["x", "y"].iter().zip(&held) {
            let value = name(held[random.random_range(0..held.len())]);
            text += &format!("{process} invoke read-replica {at} @n{node}\n{process} ok {value}\n");
        }
    }
    text
}

/// The lines of these operations, and of none other.
fn only(text: &str, operations: &[OperationId]) -> String {
    let mut of_process: BTreeMap<String, bool> = BTreeMap::new();
    let mut next = 0;
    let mut stays = |line: &&str| {
        let mut words = line.split_whitespace();
        let (process, word) = (words.next().unwrap(), words.next().unwrap());
        if word == "invoke" {
            of_process.insert(process.to_owned(), operations.contains(&OperationId(next)));
            next += 1;
        }
        process == "phase" || of_process[process]
    };
    text.lines().filter(|line| stays(line)).collect::<Vec<_>>().join("\n")
}

/// Without any one of the operations of a witness, the rest of them does not show that the same read is
/// wrong.
fn assert_needs_all(checker: &dyn Checker, text: &str, anomaly: &Anomaly) {
    let history = history(text);
    let all = &anomaly.witness.operations;
    let is_read = |id: &&OperationId| history.operation(**id).completed_at == Some(anomaly.at);
    let read = *all.iter().find(is_read).unwrap();
    // Who made it nil last is shown, as if it had not been so at first.
    let is_extra = |id: &OperationId| history.operation(*id).value_written() == Some(ValueId::NIL);
    for goes in all.iter().filter(|id| **id != read && !is_extra(id)) {
        let rest: Vec<OperationId> = all.iter().filter(|id| *id != goes).copied().collect();
        let place = OperationId(rest.iter().position(|id| *id == read).unwrap() as u32);
        let left = only(text, &rest);
        let left = crate::notation::history(&left);
        let at = left.operation(place).completed_at;
        let verdict = checker.check(&left);
        let is_wrong = verdict.anomalies().iter().any(|found| Some(found.at) == at);
        assert!(!is_wrong, "{text}\n{goes:?}\n{anomaly:#?}\n{verdict:#?}");
    }
}

#[test]
fn a_witness_breaks_the_guarantee_by_itself() {
    let bound = |versions| Limits { versions_behind_max: Some(versions), ..Limits::default() };
    let checkers: [&dyn Checker; 7] = [
        &ReadYourWrites,
        &MonotonicReads,
        &MonotonicWrites,
        &WritesFollowReads,
        &Durable,
        &BoundedStaleness::new(bound(0)),
        &BoundedStaleness::new(bound(1)),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut found = [0; 7];
    for _ in 0..5_000 {
        let text = forgetful(&mut random);
        let history = history(&text);
        for (checker, found) in checkers.iter().zip(&mut found) {
            for anomaly in checker.check(&history).anomalies() {
                let alone = only(&text, &anomaly.witness.operations);
                let verdict = checker.check(&crate::notation::history(&alone));
                assert!(verdict.is_invalid(), "{text}\n{alone}\n{anomaly:#?}\n{verdict:#?}");
                *found += 1;
                // Elsewhere each replica is shown, or what is a shorter proof of something else.
                if matches!(
                    anomaly.guarantee,
                    Guarantee::ReadYourWrites
                        | Guarantee::MonotonicReads
                        | Guarantee::BoundedStaleness
                ) {
                    assert_needs_all(*checker, &text, anomaly);
                }
            }
        }
    }
    assert!(found.iter().all(|found| *found > 50), "{found:?}");
}

/// The operations that prove it.
fn proved_by(text: &str) -> Vec<u32> {
    let verdict = Linearizable::new(Limits::default()).check(&history(text));
    let operations = &verdict.anomalies()[0].witness.operations;
    operations.iter().map(|id| id.0).collect()
}

#[test]
fn what_was_replaced_more_often_than_it_came_is_proved_by_who_replaced_it() {
    // Thirty compare-and-sets at once, in rings of five values, and one that comes once and goes twice.
    let mut text = String::new();
    for number in 0..30 {
        let (from, to) = (number % 5, (number + 1) % 5);
        text += &format!("{number} invoke cas x {from} {to}\n");
    }
    text +=
        "30 invoke cas x nil 0\n31 invoke cas x 4 9\n32 invoke cas x 9 1\n33 invoke cas x 9 2\n";
    (0..34).for_each(|number| text += &format!("{number} ok\n"));
    assert_eq!(proved_by(&text), [31, 32, 33]);
    let twice = "0 invoke cas x nil 0\n1 invoke cas x nil 0\n0 ok\n1 ok\n";
    let reads: String = (2..20).map(|number| format!("{number} invoke read x\n")).collect();
    let ends: String = (2..20).map(|number| format!("{number} ok 0\n")).collect();
    assert_eq!(proved_by(&format!("{twice}{reads}{ends}")), [0, 1]);
}

#[test]
fn of_what_was_replaced_too_often_no_more_is_shown_than_proves_it() {
    let at_once = |ops: &[&str]| {
        let numbered = || ops.iter().enumerate();
        let begins: String =
            numbered().map(|(number, op)| format!("{number} invoke {op} \n")).collect();
        begins + &numbered().map(|(number, _)| format!("{number} ok\n")).collect::<String>()
    };
    // 1 was replaced six times where once is all; of 3, which came twice, more has to be shown.
    let often = at_once(&[
        "write x 3",
        "write x 3",
        "cas x 3 4",
        "cas x 3 5",
        "cas x 3 6",
        "write x 1",
        "cas x 1 10",
        "cas x 1 11",
        "cas x 1 12",
        "cas x 1 13",
        "cas x 1 14",
        "cas x 1 15",
    ]);
    assert_eq!(proved_by(&often), [5, 6, 7]);
    // Of two that take as many, the one that came first is shown.
    let two = at_once(&[
        "write x 5",
        "write x 5",
        "write x 1",
        "cas x 1 11",
        "cas x 1 12",
        "write x 2",
        "cas x 2 21",
        "cas x 2 22",
    ]);
    assert_eq!(proved_by(&two), [2, 3, 4]);
    // They are shown in the order in which they began.
    let late = at_once(&["cas x 1 3", "cas x 1 4", "write x 1"]);
    assert_eq!(proved_by(&late), [0, 1, 2]);
}

#[test]
fn of_values_that_were_replaced_too_often_the_one_that_takes_the_fewest_operations_proves_it() {
    // Of 3, which came twice and was replaced three times, all is over first. Of 7 nothing is wrong.
    check_explained(
        "
        2 invoke write x 3
        3 invoke write x 3
        4 invoke cas x 3 4
        5 invoke cas x 3 5
        6 invoke cas x 3 6
        7 invoke write x 7
        8 invoke cas x 7 8
        0 invoke write x 1
        1 invoke cas x 1 2
        9 invoke cas x 1 4
        2 ok
        3 ok
        4 ok
        5 ok
        6 ok
        7 ok
        8 ok
        0 ok
        1 ok
        9 ok
        ",
        &expect![[r#"
            lost-update at 0.019 s on x
            operations [7, 8, 9], faults []
            process 0 wrote x = 1 (from 0.007 s to 0.017 s)
            process 1 set x from 1 to 2 (from 0.008 s to 0.018 s)
            process 9 set x from 1 to 4 (from 0.009 s to 0.019 s)
            processes 1 and 9 both replaced 1, which was there only once
        "#]],
    );
}

#[test]
fn a_proof_is_small_however_long_the_history_is() {
    let one_by_one = ["invoke write x W", "ok", "invoke cas x C 9", "fail mismatch"];
    let at_once = ["invoke write x W", "invoke cas x C 9", "ok", "fail mismatch"];
    for (order, processes) in [(one_by_one, [0, 0, 1, 1]), (at_once, [0, 1, 0, 1])] {
        let mut text = String::new();
        for number in 0..3000 {
            for (event, process) in order.iter().zip(processes) {
                let written = event.replace('W', &(number % 4).to_string());
                let asked = written.replace('C', &((number + 1) % 4).to_string());
                text += &format!("{process} {asked}\n");
            }
        }
        text += "1 invoke cas x 3 9\n1 fail mismatch\n";
        let operations = proved_by(&text);
        assert!(operations.len() <= 3, "{} operations", operations.len());
    }
}

#[test]
fn a_proof_reaches_over_any_number_of_operations_about_something_else() {
    let elsewhere = |count: usize| -> String {
        let write = |value: usize| format!("9 invoke write y {}\n9 ok\n", 100 + value);
        (0..count).map(write).collect()
    };
    // Of how many operations it was judged, and what proves that it has no order.
    let shown = |text: &str| -> (usize, Vec<(String, Vec<String>)>) {
        let history = history(text);
        let verdict = Linearizable::new(Limits::default()).check(&history);
        let of = |id: &OperationId| {
            let Operation { op, process, .. } = history.operation(*id);
            let value = |value: ValueId| history.value(value).clone();
            format!("{process} {:?}", op.map(|key| history.key(key).clone(), value))
        };
        let proof = |anomaly: &Anomaly| {
            (anomaly.name.clone(), anomaly.witness.operations.iter().map(of).collect())
        };
        (verdict.coverage().operations, verdict.anomalies().iter().map(proof).collect())
    };
    let broken = [
        "0 invoke write x 1 | 0 ok | ... | 1 invoke write x 2 | 1 ok | ... | 2 invoke read x | 2 ok 1",
        "0 invoke write x 1 | 0 ok | ... | 1 invoke cas x 1 2 | 1 ok | ... | 2 invoke cas x 2 3 | 2 ok | ... \
         | 3 invoke read x | 3 ok 1",
        // Whoever wrote 3 may have come in between, as long as nobody reads 1 afterwards.
        "3 invoke write x 3 | ... | 0 invoke write x 1 | 0 ok | ... | 1 invoke cas x 1 2 | 1 fail mismatch | ... \
         | 2 invoke read x | 2 ok 1 | ... | 3 ok",
        "0 invoke read x | ... | 1 invoke write x 1 | 1 ok | ... | 0 ok 7",
        "0 invoke write x 1 | 0 ok | 0 invoke write x 2 | 0 ok | 0 invoke read x | 0 ok 1 | ... \
         | 0 invoke write z 1 | 0 ok | 0 invoke write z 2 | 0 ok | 0 invoke read z | 0 ok 1 | ... \
         | 0 invoke write u 5 | 0 ok | 0 invoke write u 6 | 0 ok | 0 invoke read u | 0 ok 5",
    ];
    for text in broken {
        let text = text.replace(" | ", "\n");
        let gaps = text.matches("...").count();
        let (operations, near) = shown(&text.replace("...\n", ""));
        assert!(!near.is_empty(), "{text}");
        for count in (60..67).chain([200]) {
            let (of_all, far) = shown(&text.replace("...\n", &elsewhere(count)));
            assert_eq!(of_all, operations + gaps * count, "{text} {count}");
            assert_eq!(near, far, "{text} {count}");
        }
    }
}

#[test]
fn what_took_effect_because_it_was_replaced_is_proved_by_who_replaced_it() {
    // Without process 3, nobody knows that process 2 found nil.
    check_explained(
        "
        0 invoke write x 10
        1 invoke cas x nil 11
        0 info timeout
        1 fail mismatch
        2 invoke cas x nil 12
        3 invoke cas x 12 13
        3 ok
        2 info timeout
        ",
        &expect![[r#"
            not-linearizable at 0.006 s on x
            operations [1, 2, 3], faults []
            process 1 tried to set x from nil to 11 and found something else (from 0.001 s to 0.003 s)
            process 2 set x from nil to 12 (from 0.004 s with no answer, so it may take effect at any time after that)
            process 3 set x from 12 to 13 (from 0.005 s to 0.006 s)
            no order goes further than this one: somebody who is not shown wrote something else; process 1 tried to set x from nil to 11 and found something else
            after it, this does not fit: process 3 set x from 12 to 13
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
}

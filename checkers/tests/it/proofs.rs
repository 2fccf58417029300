//! What a violation is proved by and how it is told, word for word: what is said has to be true of the
//! whole history, and to say as much as can be said.

use std::collections::BTreeSet;

use expect_test::expect;
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{Op, Operation, Outcome, Reason, Ret, Value};

use crate::linearizable::check_explained;
use crate::notation::history;
use crate::oracle::{Small, Step, apply, has_an_order};

#[test]
fn what_was_replaced_was_written_by_whoever_wrote_it() {
    // Nobody in the proof wrote 1, but somebody did.
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 2
        2 invoke cas x 2 3
        2 ok
        1 ok
        3 invoke cas x 2 4
        3 ok
        ",
        &expect![[r#"
            stale-read at 0.007 s on x
            operations [1, 2, 3], faults []
            process 1 set x from 1 to 2 (from 0.002 s to 0.005 s)
            process 2 set x from 2 to 3 (from 0.003 s to 0.004 s)
            process 3 set x from 2 to 4 (from 0.006 s to 0.007 s)
            process 3 saw x = 2 after 0.006 s, but x = 3 had been acknowledged to process 2 at 0.004 s, before that, and nothing made it 2 after it
        "#]],
    );
}

#[test]
fn the_first_answer_that_shows_a_value_counts() {
    // Process 1 began first, but process 2 had its answer before 2 was written.
    check_explained(
        "
        0 invoke write x 1
        1 invoke read x
        2 invoke read x
        2 ok 1
        3 invoke write x 2
        3 ok
        4 invoke read x
        1 ok 1
        4 ok 1
        0 ok
        ",
        &expect![[r#"
            stale-read at 0.008 s on x
            operations [0, 2, 3, 4], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.009 s)
            process 2 read x = 1 (from 0.002 s to 0.003 s)
            process 3 wrote x = 2 (from 0.004 s to 0.005 s)
            process 4 read x = 1 (from 0.006 s to 0.008 s)
            process 4 saw x = 1 after 0.006 s, but x = 2 had been acknowledged to process 3 at 0.005 s, before that, and nothing made it 1 after it
        "#]],
    );
}

#[test]
fn a_read_after_all_writes_of_a_value_shows_what_came_after_it() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        0 invoke write x 1
        0 ok
        1 invoke write x 2
        2 invoke read x
        2 ok 2
        2 invoke read x
        2 ok 1
        1 ok
        ",
        &expect![[r#"
            stale-read at 0.008 s on x
            operations [1, 2, 3, 4], faults []
            process 0 wrote x = 1 (from 0.002 s to 0.003 s)
            process 1 wrote x = 2 (from 0.004 s to 0.009 s)
            process 2 read x = 2 (from 0.005 s to 0.006 s)
            process 2 read x = 1 (from 0.007 s to 0.008 s)
            process 2 saw x = 1 after 0.007 s, but process 2 had seen x = 2, a newer value, by 0.006 s, before that, and nothing made it 1 after it
            all 2 writes of 1 by then were over before that; of these, the one that was over last is shown
        "#]],
    );
}

#[test]
fn who_wrote_a_newer_value_proves_it_without_those_who_saw_it() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        0 invoke write x 1
        0 ok
        1 invoke write x 2
        2 invoke read x
        2 ok 2
        1 ok
        3 invoke read x
        3 ok 1
        ",
        &expect![[r#"
            stale-read at 0.009 s on x
            operations [1, 2, 4], faults []
            process 0 wrote x = 1 (from 0.002 s to 0.003 s)
            process 1 wrote x = 2 (from 0.004 s to 0.007 s)
            process 3 read x = 1 (from 0.008 s to 0.009 s)
            process 3 saw x = 1 after 0.008 s, but x = 2 had been acknowledged to process 1 at 0.007 s, before that, and nothing made it 1 after it
            all 2 writes of 1 by then were over before that; of these, the one that was over last is shown
        "#]],
    );
}

#[test]
fn a_value_that_was_seen_before_another_one_was_is_the_older_one() {
    check_explained(
        "
        0 invoke write x 1
        1 invoke write x 2
        2 invoke read x
        2 ok 1
        2 invoke read x
        2 ok 2
        2 invoke read x
        2 ok 1
        0 ok
        1 ok
        ",
        &expect![[r#"
            stale-read at 0.007 s on x
            operations [0, 1, 2, 3, 4], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.008 s)
            process 1 wrote x = 2 (from 0.001 s to 0.009 s)
            process 2 read x = 1 (from 0.002 s to 0.003 s)
            process 2 read x = 2 (from 0.004 s to 0.005 s)
            process 2 read x = 1 (from 0.006 s to 0.007 s)
            process 2 saw x = 1 after 0.006 s, but process 2 had seen x = 2, a newer value, by 0.005 s, before that, and nothing made it 1 after it
            1 is the older one: process 2 was over with its read of it at 0.003 s, before process 2 began its read of 2 at 0.004 s; each was there only once
        "#]],
    );
}

#[test]
fn a_value_that_was_seen_before_another_one_was_begun_is_the_older_one() {
    check_explained(
        "
        0 invoke write x 1
        2 invoke read x
        2 ok 1
        1 invoke write x 2
        2 invoke read x
        2 ok 2
        2 invoke read x
        2 ok 1
        1 ok
        0 ok
        ",
        &expect![[r#"
            stale-read at 0.007 s on x
            operations [0, 1, 2, 3, 4], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.009 s)
            process 2 read x = 1 (from 0.001 s to 0.002 s)
            process 1 wrote x = 2 (from 0.003 s to 0.008 s)
            process 2 read x = 2 (from 0.004 s to 0.005 s)
            process 2 read x = 1 (from 0.006 s to 0.007 s)
            process 2 saw x = 1 after 0.006 s, but process 2 had seen x = 2, a newer value, by 0.005 s, before that, and nothing made it 1 after it
            1 is the older one: process 2 was over with its read of it at 0.002 s, before process 1 began its write of 2 at 0.003 s; each was there only once
        "#]],
    );
}

#[test]
fn a_value_that_was_written_before_another_one_was_seen_is_the_older_one() {
    check_explained(
        "
        0 invoke write x 1
        1 invoke write x 2
        1 ok
        2 invoke read x
        2 ok 1
        3 invoke cas x 2 2
        3 ok
        0 ok
        ",
        &expect![[r#"
            stale-read at 0.006 s on x
            operations [0, 1, 2, 3], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.007 s)
            process 1 wrote x = 2 (from 0.001 s to 0.002 s)
            process 2 read x = 1 (from 0.003 s to 0.004 s)
            process 3 set x from 2 to 2 (from 0.005 s to 0.006 s)
            process 3 saw x = 2 after 0.005 s, but process 2 had seen x = 1, a newer value, by 0.004 s, before that, and nothing made it 2 after it
            2 is the older one: process 1 was over with its write of it at 0.002 s, before process 2 began its read of 1 at 0.003 s; each was there only once
        "#]],
    );
}

#[test]
fn what_was_there_twice_is_no_lost_update() {
    // Only process 2 made the second 1 possible, so it did not replace that one; but it was there.
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 3
        2 invoke cas x 1 2
        1 ok
        3 invoke cas x 2 1
        2 ok
        3 ok
        ",
        &expect![[r#"
            not-linearizable at 0.006 s on x
            operations [0, 1, 2, 3], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 1 set x from 1 to 3 (from 0.002 s to 0.004 s)
            process 2 set x from 1 to 2 (from 0.003 s to 0.006 s)
            process 3 set x from 2 to 1 (from 0.005 s to 0.007 s)
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

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
    // All but one are even, and that one is too much. That no order gives this sum takes a state for each
    // of the sums of the others: more than a try to leave something out may take.
    let mut text = "15 invoke increment c 1000001\n".to_owned();
    for process in 0..15 {
        text += &format!("{process} invoke increment c {}\n", 2 << process);
    }
    text += &(0..16).map(|process| format!("{process} ok\n")).collect::<String>();
    text += "16 invoke read c\n16 ok 65535\n";
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
        no order of these operations that keeps to their times explains every answer
        one more write of 3 cannot be what was read: after it was over, and before that was read, somebody left or saw something else
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
        no order of these operations that keeps to their times explains every answer
    "#]],
    );
}

//! What the linearizability checker accepts and refuses, case by case.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::Value;
use stormglass_checkers::{Anomaly, Verdict};

use crate::linearization::replay;
use crate::notation::history;

fn judge(text: &str, states_max: u64) -> Verdict {
    Linearizable::new(Limits { states_max, ..Limits::default() }).check(&history(text))
}

/// What is expected of a history.
enum Expected {
    Valid,
    /// Invalid, with one anomaly of this name.
    Invalid(&'static str),
}
use Expected::{Invalid, Valid};

#[track_caller]
fn check(text: &str, expected: Expected) {
    let verdict = judge(text, Limits::default().states_max);
    match expected {
        Valid => assert!(verdict.is_valid(), "{verdict:#?}"),
        Invalid(name) => {
            let names: Vec<&str> =
                verdict.anomalies().iter().map(|anomaly| anomaly.name.as_str()).collect();
            assert_eq!(names, [name], "{verdict:#?}");
        }
    }
}

/// Shows an anomaly with its explanation.
fn show(anomaly: &Anomaly) -> String {
    let key = anomaly.key.as_ref().map_or("", |key| key.as_str());
    let mut text = format!("{} at {} on {key}\n", anomaly.name, anomaly.at);
    let ids: Vec<u32> = anomaly.witness.operations.iter().map(|id| id.0).collect();
    let faults: Vec<u32> = anomaly.witness.faults.iter().map(|id| id.0).collect();
    writeln!(text, "operations {ids:?}, faults {faults:?}").unwrap();
    for sentence in &anomaly.explanation {
        writeln!(text, "{sentence}").unwrap();
    }
    text
}

#[track_caller]
pub(crate) fn check_explained(text: &str, expected: &Expect) {
    let verdict = judge(text, Limits::default().states_max);
    let anomalies: Vec<String> = verdict.anomalies().iter().map(show).collect();
    expected.assert_eq(&anomalies.join("\n"));
}

#[test]
fn an_indeterminate_write_may_take_effect_after_its_timeout() {
    let text = "
        0 invoke write x 10
        0 info timeout
        1 invoke read x
        1 ok nil
        1 invoke read x
        1 ok 10
    ";
    check(text, Valid);
}

#[test]
fn an_indeterminate_write_may_never_take_effect() {
    let text = "
        0 invoke write x 10
        0 info timeout
        1 invoke read x
        1 ok nil
        1 invoke write x 11
        1 ok
        1 invoke read x
        1 ok 11
    ";
    check(text, Valid);
}

#[test]
fn an_indeterminate_write_takes_effect_only_once() {
    let text = "
        0 invoke write x 10
        0 info timeout
        1 invoke read x
        1 ok 10
        1 invoke write x 11
        1 ok
        1 invoke read x
        1 ok 10
    ";
    check(text, Invalid("stale-read"));
}

#[test]
fn a_write_without_completion_is_as_open_as_one_that_timed_out() {
    let text = "
        0 invoke write x 10
        1 invoke read x
        1 ok nil
        1 invoke read x
        1 ok 10
    ";
    check(text, Valid);
}

#[test]
fn a_store_that_forgets_everything_does_not_pass() {
    let text = "
        0 invoke write x 1
        0 ok
        0 invoke write y 1
        0 ok
        1 invoke read x
        1 ok nil
        1 invoke write x 2
        1 ok
        1 invoke read x
        1 ok nil
    ";
    check(text, Invalid("stale-read"));
}

#[test]
fn nil_after_an_acknowledged_write_is_stale() {
    check("0 invoke write x 1\n 0 ok\n 0 invoke read x\n 0 ok nil", Invalid("stale-read"));
}

#[test]
fn a_value_nobody_wrote_is_named_so() {
    // Who failed to write it elsewhere, or to write another one, has nothing to do with it.
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke write y 7
        1 fail refused
        2 invoke write x 8
        2 fail refused
        0 invoke read x
        0 ok 7
        ",
        &expect![[r#"
            unwritten-value at 0.007 s on x
            operations [3], faults []
            process 0 read x = 7 (from 0.006 s to 0.007 s)
            process 0 saw 7, which nobody wrote there
        "#]],
    );
}

#[test]
fn a_value_that_was_only_replaced_by_itself_was_written_by_nobody() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke cas x 7 7
        1 ok
        ",
        &expect![[r#"
            unwritten-value at 0.003 s on x
            operations [1], faults []
            process 1 set x from 7 to 7 (from 0.002 s to 0.003 s)
            process 1 saw 7, which nobody wrote in the place of anything else
        "#]],
    );
}

#[test]
fn a_value_read_before_anybody_wrote_it_is_explained_as_such() {
    check_explained(
        "
        0 invoke read x
        0 ok 7
        1 invoke write x 7
        1 ok
        ",
        &expect![[r#"
            unwritten-value at 0.001 s on x
            operations [0, 1], faults []
            process 0 read x = 7 (from 0.000 s to 0.001 s)
            process 1 wrote x = 7 (from 0.002 s to 0.003 s)
            process 0 saw 7 before process 1 began to write it, and nobody else wrote it there
        "#]],
    );
}

#[test]
fn two_that_replace_the_same_lose_an_update() {
    let text = "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 2
        2 invoke cas x 1 3
        1 ok
        2 ok
    ";
    check(text, Invalid("lost-update"));
    let verdict = judge(text, Limits::default().states_max);
    let words = "processes 1 and 2 both replaced 1, which was there only once";
    assert_eq!(verdict.anomalies()[0].explanation.last().unwrap(), words);
}

#[test]
fn an_unanswered_compare_and_set_takes_effect_once_though_its_source_is_assumed() {
    let text = "
        0 invoke write x 5
        0 ok
        1 invoke cas x 5 6
        1 info timeout
        2 invoke read x
        2 ok 6
        0 invoke write x 7
        0 ok
        2 invoke read x
        2 ok 6
    ";
    let verdict = judge(text, Limits::default().states_max);
    let witness: Vec<u32> =
        verdict.anomalies()[0].witness.operations.iter().map(|id| id.0).collect();
    assert_eq!(witness, [1, 2, 3, 4], "{verdict:#?}");
}

#[test]
fn a_stale_read_is_explained_by_its_smallest_witness() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        5 invoke read x
        5 ok 1
        6 invoke write x 9
        6 info timeout
        0 invoke write x 2
        fault 0 begin partition n1 | n2
        fault 1 begin crash n1
        fault 1 end crash n1
        0 ok
        1 invoke read x @n2
        2 invoke write x 3
        1 ok 1
        2 ok
        0 invoke read x
        0 ok 3
        ",
        &expect![[r#"
            stale-read at 0.013 s on x
            operations [0, 3, 4], faults [0]
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 0 wrote x = 2 (from 0.006 s to 0.010 s)
            process 1 read x = 1 at n2 (from 0.011 s to 0.013 s)
            process 1 saw x = 1 after 0.011 s, but x = 2 had been acknowledged to process 0 at 0.010 s, before that, and nothing made it 1 after it
        "#]],
    );
}

#[test]
fn replica_reads_are_left_out() {
    let text = "
        0 invoke write x 1
        0 ok
        1 invoke read-replica x @n1
        1 ok nil
        1 invoke read x
        1 ok 1
    ";
    check(text, Valid);
}

#[test]
fn failed_operations_did_nothing() {
    let text = "
        0 invoke write x 1
        0 fail not-leader
        1 invoke read x
        1 ok nil
    ";
    check(text, Valid);
    check(
        "0 invoke write x 1\n0 fail refused\n1 invoke read x\n1 ok 1",
        Invalid("unwritten-value"),
    );
}

#[test]
fn a_mismatch_that_tells_is_a_read() {
    let before = "0 invoke write x 7\n 0 ok\n 1 invoke cas x 1 2\n";
    check(&format!("{before} 1 fail mismatch 7"), Valid);
    check(&format!("{before} 1 fail mismatch nil"), Invalid("stale-read"));
    check(&format!("{before} 1 fail mismatch 8"), Invalid("unwritten-value"));
}

#[test]
fn a_mismatch_that_does_not_tell_shows_what_was_not_there() {
    check("0 invoke write x 7\n0 ok\n1 invoke cas x 1 2\n1 fail mismatch", Valid);
    let equal = "0 invoke write x 1\n0 ok\n1 invoke cas x 1 2\n1 fail mismatch";
    check(equal, Invalid("not-linearizable"));
    let concurrent = "0 invoke write x 1\n1 invoke cas x 1 2\n1 fail mismatch\n0 ok";
    check(concurrent, Valid);
}

#[test]
fn an_indeterminate_write_may_explain_a_mismatch_that_does_not_tell() {
    let text = "
        0 invoke write x 9
        0 info timeout
        1 invoke write x 1
        1 ok
        1 invoke cas x 1 2
        1 fail mismatch
        1 invoke read x
        1 ok 9
    ";
    check(text, Valid);
    check(&text.replace("1 ok 9", "1 ok 1"), Invalid("not-linearizable"));
}

#[test]
fn a_mismatch_that_found_what_it_wanted_is_none() {
    let text = "0 invoke write x 1\n 0 ok\n 1 invoke cas x 1 2\n 1 fail mismatch 1";
    check(text, Invalid("not-linearizable"));
}

#[test]
fn a_delete_makes_a_key_nil_and_may_be_indeterminate() {
    let deleted = "0 invoke write x 1\n0 ok\n1 invoke delete x\n1 ok\n";
    check(&format!("{deleted} 0 invoke read x\n 0 ok nil"), Valid);
    check(&format!("{deleted} 0 invoke read x\n 0 ok 1"), Invalid("stale-read"));
    let perhaps = "0 invoke write x 1\n0 ok\n1 invoke delete x\n1 info timeout\n";
    check(&format!("{perhaps} 0 invoke read x\n 0 ok 1\n 0 invoke read x\n 0 ok nil"), Valid);
    let twice = "0 invoke read x\n0 ok nil\n0 invoke write x 2\n0 ok\n0 invoke read x\n0 ok nil";
    check(&format!("{perhaps} {twice}"), Invalid("not-linearizable"));
}

#[test]
fn a_verdict_counts_the_operations_that_say_something_and_their_keys() {
    let verdict = judge(
        "
        0 invoke write x 1
        0 ok
        1 invoke read x
        1 info timeout
        2 invoke add s 1
        2 ok
        0 invoke read x
        0 ok 1
        ",
        Limits::default().states_max,
    );
    assert!(verdict.is_valid());
    assert_eq!((verdict.coverage().operations, verdict.coverage().keys), (3, 2));
}

#[test]
fn nothing_that_was_answered_is_nothing_to_judge() {
    for text in ["", "0 invoke write x 1\n0 ok", "0 invoke read x\n0 info timeout"] {
        let verdict = judge(text, 1000);
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
        assert_eq!(verdict.coverage().operations, 0);
    }
    // A compare-and-set says something whether it took effect or not.
    for answer in ["ok", "fail mismatch 3", "fail mismatch"] {
        let verdict = judge(&format!("0 invoke write x 3\n1 invoke cas x nil 1\n1 {answer}"), 1000);
        assert!(verdict.is_valid(), "{answer}: {verdict:?}");
    }
    let verdict = judge("0 invoke cas x 3 4\n0 fail mismatch 3", 1000);
    assert!(verdict.is_invalid(), "{verdict:?}");
}

/// `count` writes that are all open at once, then a read of the last. A value that is written twice
/// before all that leaves only the search.
fn wide(count: usize, read: &str) -> String {
    let invoke = |process| format!("{process} invoke write y {process}\n");
    let mut text = "0 invoke write y -1\n0 ok\n".repeat(2);
    text.extend((0..count).map(invoke));
    text.extend((0..count).map(|process| format!("{process} ok\n")));
    text + &format!("0 invoke read y\n0 ok {read}\n")
}

#[test]
fn a_budget_that_runs_out_says_unknown_and_at_which_key() {
    let text = "0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok 1\n".to_owned() + &wide(8, "3");
    let Verdict::Unknown { reason, coverage } = judge(&text, 4) else { panic!("not unknown") };
    expect!["the search of 4 states ended at key y: it was judged up to operation 4 of the 11 of that key which an order has to explain"]
        .assert_eq(&reason);
    assert_eq!((coverage.keys, coverage.operations), (2, 13));
}

#[test]
fn a_search_remembers_no_more_than_it_may() {
    // Of all these orders none is right, and each leads to another state. One value comes twice.
    let mut text = String::new();
    text.extend((0..12).map(|process| format!("{process} invoke enqueue q {}\n", process % 11)));
    text.extend((0..12).map(|process| format!("{process} ok\n")));
    text += "0 invoke dequeue q\n0 ok nil\n";
    let judge = |search_bytes_max| {
        let limits = Limits { search_bytes_max, ..Limits::default() };
        Linearizable::new(limits).check(&history(&text))
    };
    let Verdict::Unknown { reason, .. } = judge(100_000) else { panic!("not unknown") };
    assert!(reason.starts_with("the search in 100000 bytes ended at key q"), "{reason}");
    let Verdict::Unknown { reason: again, .. } = judge(100_000) else { panic!("not unknown") };
    assert_eq!(reason, again);
}

#[test]
fn an_invalid_key_outranks_one_that_is_unknown() {
    let text = wide(2000, "3") + "0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil\n";
    check(&text, Invalid("stale-read"));
}

#[test]
fn many_operations_may_be_open_at_one_time() {
    for count in [63, 64, 65, 127, 128, 129, 200, 1023, 1024] {
        check(&wide(count, &(count - 1).to_string()), Valid);
    }
    for count in [64, 65, 128, 129] {
        // The read of `nil` has to be refused without trying all orders of so many writes.
        let text = wide(count, "7").replace("ok 7", "ok nil");
        assert!(!judge(&text, 10_000).is_valid(), "{count}");
    }
}

#[test]
fn more_than_1024_at_one_time_are_not_judged() {
    let Verdict::Unknown { reason, .. } = judge(&wide(1025, "3"), 10_000) else { panic!("judged") };
    expect!["1025 operations are open at one time at key y, more than the search keeps apart"]
        .assert_eq(&reason);
}

#[test]
fn hundreds_of_writes_without_an_answer_cost_nothing_while_nobody_sees_them() {
    let mut text = String::new();
    for process in 0..500 {
        writeln!(text, "{process} invoke write x {process}\n{process} info timeout").unwrap();
    }
    text += "1000 invoke read x\n1000 ok nil\n1000 invoke read x\n1000 ok 250\n";
    check(&text, Valid);
}

/// The same few values, again and again, with a delete in between; the versions say in which order.
const VERSIONED: &str = "
    0 invoke write x 1
    1 invoke write x 2
    2 invoke delete x
    3 invoke read x
    4 invoke read x
    3 ok 1 v3
    3 invoke cas x 1 2
    2 ok v2
    0 ok v1
    1 ok v3
    3 ok v5
    4 ok nil v2
    5 invoke write x 1
    5 info timeout
    6 invoke read x
    6 ok 1 v6
    6 invoke read x
    6 ok 1 v6
";

#[test]
fn versions_give_the_order_of_values_that_come_again() {
    // Version 3 holds 1, but it is the write of 2 that says it made version 3: no order by versions.
    let checker = Linearizable::new(Limits::default());
    let method = |text: &str| {
        let history = history(text);
        replay(&history, &checker.linearizations(&history).unwrap());
        checker.check(&history).coverage().method.clone()
    };
    assert_eq!(method(VERSIONED), "interval search");
    let sound = VERSIONED.replace("0 ok v1", "0 ok v3").replace("1 ok v3", "1 ok v1");
    assert_eq!(method(&sound), "versions");
    // Without one of them, the order is not known.
    assert_eq!(method(&sound.replace("2 ok v2", "2 ok")), "interval search");
}

#[test]
fn versions_excuse_nothing() {
    let text = "
        0 invoke write x 1
        0 ok v1
        0 invoke write x 2
        0 ok v2
        0 invoke write x 1
        0 ok v3
        1 invoke read x
        1 ok 2 v2
    ";
    let verdict = Linearizable::new(Limits::default()).check(&history(text));
    assert!(verdict.is_invalid());
    // Nor do they accuse: whoever reports a wrong version has still read what was there.
    let verdict =
        Linearizable::new(Limits::default()).check(&history(&text.replace("ok 2 v2", "ok 1 v2")));
    assert!(verdict.is_valid());
}

/// A counter to which twelve clients add different odd numbers while another one reads a sum that none
/// of them make. Which of them had taken effect by then is open, so that bounds say nothing: 8201 is
/// between 0 and 8202. What is left is to try which of 4,096 subsets come to it, and no method does much
/// better where numbers are chosen for it.
fn hard(key: &str, first_process: u32) -> String {
    let processes = || (0..12).map(|bit| (bit, first_process + bit));
    let reader = first_process + 12;
    let mut text = format!("{reader} invoke read {key}\n");
    for (bit, process) in processes() {
        writeln!(text, "{process} invoke increment {key} {}", (2 << bit) + 1).unwrap();
    }
    text += &format!("{reader} ok 8201\n");
    for (_, process) in processes() {
        writeln!(text, "{process} ok").unwrap();
    }
    text
}

#[test]
fn what_easy_keys_leave_is_for_the_hard_ones() {
    let mut text = hard("hard", 1_000);
    for key in 0..100 {
        text += &format!("{key} invoke increment k{key} 1\n{key} ok\n");
        text += &format!("{key} invoke read k{key}\n{key} ok 1\n");
    }
    // Divided evenly, 5,500 states were 54 for each key.
    assert!(judge(&text, 5_500).is_invalid());
    assert!(matches!(judge(&text, 4_000), Verdict::Unknown { .. }));
}

#[test]
fn no_more_states_are_visited_than_there_may_be() {
    assert!(judge(&hard("x", 0), 5_000).is_invalid());
    assert!(matches!(judge(&hard("x", 0), 4_000), Verdict::Unknown { .. }));
    // Each of two alone would not be too much.
    let two = hard("x", 0) + &hard("y", 100);
    assert!(judge(&two, 10_000).is_invalid());
    assert!(matches!(judge(&two, 7_000), Verdict::Unknown { .. }));
}

#[test]
fn what_was_not_judged_in_one_part_may_be_wrong_in_another_one() {
    // Nobody else is there at the reads, so that they can be searched by themselves.
    let reads = |count: usize, sum: u32| format!("99 invoke read x\n99 ok {sum}\n").repeat(count);
    let text = hard("x", 0) + &reads(20_000, 8202);
    let Verdict::Unknown { reason, .. } = judge(&text, 1_000) else { panic!("judged") };
    expect!["the search of 1000 states ended at key x: it was judged up to operation 0 of the 20013 of that key which an order has to explain"]
        .assert_eq(&reason);
    // Of 3 and 5 at the same time nobody sees 4, which is between all and nothing; that takes a search.
    let wrong = "
        99 invoke read x
        98 invoke increment x 3
        97 invoke increment x 5
        99 ok 8206
        98 ok
        97 ok
    ";
    let wrong = text + wrong + &reads(1, 8210);
    assert!(judge(&wrong, 1_000).is_invalid());
    assert!(!judge(&wrong.replace("ok 8206", "ok 8207"), 1_000).is_invalid());
}

#[test]
fn fewer_states_than_keys_come_to_an_end() {
    let text = hard("x", 0) + &hard("y", 100) + &hard("z", 200);
    for states_max in 0..=20 {
        assert!(matches!(judge(&text, states_max), Verdict::Unknown { .. }), "{states_max}");
    }
}

#[test]
fn who_tried_to_write_what_was_read_is_named() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        0 invoke write x 1
        0 fail unavailable
        1 invoke read x
        1 ok 1
        ",
    ));
    expect![[r#"
        process 0 tried to write x 1 and was told unavailable (from 0.000 s to 0.001 s)
        process 1 read x = 1 (from 0.002 s to 0.003 s)
        process 1 saw 1, which nobody wrote there, but for process 0, which failed"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

#[test]
fn of_many_writes_of_a_value_the_last_one_proves_that_it_was_written_over() {
    let mut text = "0 invoke write x 2\n0 ok\n".repeat(50);
    text += "1 invoke write x 1\n1 ok\n2 invoke read x\n2 ok 2";
    let verdict = Linearizable::new(Limits::default()).check(&history(&text));
    expect![[r#"
        process 0 wrote x = 2 (from 0.098 s to 0.099 s)
        process 1 wrote x = 1 (from 0.100 s to 0.101 s)
        process 2 read x = 2 (from 0.102 s to 0.103 s)
        all 50 operations that may have made x hold 2 were over by 0.099 s; of these, the one that was over last is shown
        process 2 saw x = 2 after 0.102 s, but x = 1 had been acknowledged to process 1 at 0.101 s, before that, and nothing made it 2 after it"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
    // One of them that had not ended by then may be what was read.
    let open = format!("3 invoke write x 2\n{text}");
    assert!(Linearizable::new(Limits::default()).check(&history(&open)).is_valid());
}

#[test]
fn who_replaces_a_value_by_the_same_does_not_hide_that_it_was_written_over() {
    // Each value comes again and again, and somebody found 2 where it was and left it there.
    let mut text = "0 invoke write x 2\n0 ok\n1 invoke write x 1\n1 ok\n".repeat(500);
    text += "0 invoke write x 2\n0 ok\n3 invoke cas x 2 2\n3 ok\n1 invoke write x 1\n1 ok\n";
    text += "2 invoke read x\n2 ok 1\n2 invoke read x\n2 ok 2";
    let verdict = Linearizable::new(Limits::default()).check(&history(&text));
    expect![[r#"
        process 0 wrote x = 2 (from 2.000 s to 2.001 s)
        process 1 wrote x = 1 (from 2.004 s to 2.005 s)
        process 2 read x = 2 (from 2.008 s to 2.009 s)
        all 501 operations that may have made x hold 2 were over by 2.001 s; of these, the one that was over last is shown
        process 2 saw x = 2 after 2.008 s, but x = 1 had been acknowledged to process 1 at 2.005 s, before that, and nothing made it 2 after it"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
    // To replace it by the same, it has to be there.
    let late = text.replace("2 invoke read x\n2 ok 2", "2 invoke cas x 2 2\n2 ok");
    let verdict = Linearizable::new(Limits::default()).check(&history(&late));
    assert_eq!(verdict.anomalies()[0].witness.operations.len(), 3, "{verdict:?}");
}

#[test]
fn what_is_plainly_wrong_is_found_however_many_operations_are_open() {
    let many = |of: &str| (0..2_000).map(|process| format!("{process} {of}\n")).collect::<String>();
    let writes = (0..2_000).map(|process| format!("{process} invoke write x {}\n", process % 5));
    let text = writes.collect::<String>() + &many("ok");
    let judge = |read: &str| {
        let text = format!("{text}9 invoke read x\n9 ok {read}");
        Linearizable::new(Limits::default()).check(&history(&text))
    };
    assert_eq!(judge("8").anomalies()[0].name, "unwritten-value");
    assert_eq!(judge("nil").anomalies()[0].name, "stale-read");
    assert!(matches!(judge("1"), Verdict::Unknown { .. }));
}

#[test]
fn a_proof_leaves_out_writes_that_nobody_in_it_can_have_seen() {
    let mut text = "0 invoke write x 1\n0 ok\n".repeat(10);
    text += "
        0 invoke write x 2
        0 ok
        1 invoke write x 1
        2 invoke write x 3
        3 invoke read x
        3 ok 1
        3 invoke read x
        3 ok 3
        3 invoke read x
        3 ok 1
        1 ok
        2 ok
    ";
    let verdict = Linearizable::new(Limits::default()).check(&history(&text));
    let anomaly = &verdict.anomalies()[0];
    assert_eq!(anomaly.witness.operations.len(), 5, "{anomaly:#?}");
    assert_eq!(
        anomaly.explanation.iter().rev().nth(1).unwrap(),
        "10 more writes of 1 cannot be what was read: after each was over, and before that was read, \
         somebody left or saw something else"
    );
    // Without what came between, each of them may be what the first read saw.
    let open = text.replace("write x 2", "write x 1");
    assert!(Linearizable::new(Limits::default()).check(&history(&open)).is_valid());
}

#[test]
fn what_only_holds_each_other_is_left_out_of_a_proof() {
    let unanswered = "
        0 invoke cas x 2 1
        0 info timeout
        1 invoke cas x nil 1
        1 ok
        2 invoke cas x 1 2
        2 info timeout
        3 invoke cas x 1 2
        3 info timeout
        4 invoke read x
        4 ok nil
    ";
    let there_and_back = "0 invoke cas x 1 2\n0 ok\n0 invoke cas x 2 1\n0 ok\n".repeat(3);
    let answered = format!("0 invoke write x 1\n0 ok\n{there_and_back}1 invoke read x\n1 ok nil");
    for text in [unanswered, &answered] {
        let verdict = Linearizable::new(Limits::default()).check(&history(text));
        let anomaly = &verdict.anomalies()[0];
        assert_eq!(anomaly.witness.operations.len(), 2, "{anomaly:#?}");
    }
}

#[test]
fn a_key_may_hold_something_in_the_beginning_and_become_absent() {
    let judge = |text: &str| {
        let history = history(text).that_begins_as(&Value::Int(7));
        Linearizable::new(Limits::default()).check(&history)
    };
    let text = "
        0 invoke read x
        0 ok 7
        0 invoke delete x
        0 ok
        0 invoke write x 1
        0 ok
        1 invoke read x
        1 ok 1
    ";
    assert!(judge(text).is_valid());
    let verdict = judge(&text.replace("1 ok 1", "1 ok nil"));
    expect![[r#"
        stale-read at 0.007 s on x
        operations [1, 2, 3], faults []
        process 0 deleted x (from 0.002 s to 0.003 s)
        process 0 wrote x = 1 (from 0.004 s to 0.005 s)
        process 1 read x = nil (from 0.006 s to 0.007 s)
        process 1 saw x = nil after 0.006 s, but x = 1 had been acknowledged to process 0 at 0.005 s, before that, and nothing made it nil after it
    "#]]
    .assert_eq(&show(&verdict.anomalies()[0]));
}

#[test]
fn writes_without_an_answer_that_nobody_saw_are_not_searched() {
    // The 1 and the 2 may have come at any time, but once: nothing is plainly wrong.
    let mut text = "0 invoke write x -1\n0 ok\n0 invoke write x -1\n0 ok\n".to_owned();
    for process in 1..40 {
        writeln!(text, "{process} invoke write x {process}\n{process} info timeout").unwrap();
    }
    for value in [1, 2, 1] {
        writeln!(text, "0 invoke read x\n0 ok {value}").unwrap();
    }
    assert!(judge(&text, 20).is_invalid());
}

//! Session guarantees, durability, convergence and liveness, case by case.

use expect_test::expect;
use stormglass_checkers::checker::{
    BoundedStaleness, CHECKERS, Checker, Convergent, Durable, Limits, Live, MonotonicReads,
    MonotonicWrites, ReadYourWrites, Registration, WritesFollowReads,
};
use stormglass_checkers::history::OperationId;
use stormglass_checkers::{Contrast, Verdict};

use crate::collections::reason;
use crate::notation::history;

/// What is expected of a history.
#[derive(Debug)]
enum Expected {
    Valid,
    Unknown,
    /// Invalid; the names of the anomalies.
    Invalid(&'static [&'static str]),
}
use Expected::{Invalid, Unknown, Valid};

#[track_caller]
fn check(checker: &dyn Checker, text: &str, expected: &Expected) {
    let verdict = checker.check(&history(text));
    let names: Vec<&str> = verdict.anomalies().iter().map(|found| found.name.as_str()).collect();
    let fits = match (expected, &verdict) {
        (Valid, Verdict::Valid(_)) | (Unknown, Verdict::Unknown { .. }) => true,
        (Invalid(expected), Verdict::Invalid { .. }) => names == *expected,
        _ => false,
    };
    assert!(fits, "expected {expected:?}: {verdict:#?}");
}

const OLD_THEN_OWN: &str = "
    1 invoke write x 1
    1 ok
    0 invoke write x 2
    0 ok
";

#[test]
fn a_session_that_reads_what_was_there_before_its_own_write_is_wronged() {
    let read = |value: &str| format!("{OLD_THEN_OWN} 0 invoke read x\n 0 ok {value}");
    check(&ReadYourWrites, &read("1"), &Invalid(&["read-your-writes"]));
    check(&ReadYourWrites, &read("nil"), &Invalid(&["read-your-writes"]));
    check(&ReadYourWrites, &read("2"), &Valid);
}

#[test]
fn a_replica_read_has_to_show_the_sessions_writes_too() {
    let text = format!("{OLD_THEN_OWN} 0 invoke read-replica x @n3\n 0 ok 1");
    check(&ReadYourWrites, &text, &Invalid(&["read-your-writes"]));
}

#[test]
fn a_mismatch_that_tells_is_a_read_of_the_session() {
    let text = format!("{OLD_THEN_OWN} 0 invoke cas x 7 8\n 0 fail mismatch 1");
    check(&ReadYourWrites, &text, &Invalid(&["read-your-writes"]));
}

#[test]
fn what_a_session_found_in_vain_it_could_have_read_again() {
    let text =
        format!("{OLD_THEN_OWN} 5 invoke cas x 7 8\n 5 fail mismatch 2\n 5 invoke read x\n 5 ok 1");
    check(&MonotonicReads, &text, &Invalid(&["monotonic-reads"]));
    let verdict = MonotonicReads.check(&history(&text));
    let Contrast { due, legal, .. } = verdict.anomalies()[0].contrast.clone().unwrap();
    assert_eq!((due, &*legal.to_string()), (Some(OperationId(2)), "2, or newer"));
}

#[test]
fn a_session_goes_on_under_a_new_process() {
    let text =
        format!("{OLD_THEN_OWN} 0 invoke write y 5\n 0 info timeout\n 9/0 invoke read x\n 9 ok 1");
    check(&ReadYourWrites, &text, &Invalid(&["read-your-writes"]));
}

#[test]
fn another_session_may_read_what_is_old() {
    let text = format!("{OLD_THEN_OWN} 3 invoke read x\n 3 ok 1\n 0 invoke read x\n 0 ok 2");
    check(&ReadYourWrites, &text, &Valid);
}

#[test]
fn a_write_that_was_concurrent_may_be_the_newer_one() {
    let text = "
        1 invoke write x 1
        0 invoke write x 2
        0 ok
        1 ok
        0 invoke read x
        0 ok 1
    ";
    check(&ReadYourWrites, text, &Valid);
    check(&ReadYourWrites, &text.replace("1 ok\n", "1 info timeout\n"), &Valid);
}

#[test]
fn what_a_compare_and_set_replaced_is_older_than_what_it_put_there() {
    // The write of 1 timed out, so time alone does not say that it came first.
    let text = "
        1 invoke write x 1
        1 info timeout
        0 invoke cas x 1 2
        0 ok
        0 invoke read x
        0 ok 1
    ";
    check(&ReadYourWrites, text, &Invalid(&["read-your-writes"]));
}

#[test]
fn nil_may_be_newer_where_somebody_deletes() {
    let text = "
        0 invoke write x 2
        0 ok
        1 invoke delete x
        0 invoke read x
        0 ok nil
    ";
    check(&ReadYourWrites, text, &Valid);
}

#[test]
fn a_session_that_reads_nothing_it_wrote_shows_nothing() {
    check(&ReadYourWrites, OLD_THEN_OWN, &Unknown);
}

#[test]
fn a_session_that_reads_what_is_older_than_what_it_had_read_goes_back() {
    let text = |first: &str, second: &str| {
        format!("{OLD_THEN_OWN} 3 invoke read x\n 3 ok {first}\n 3 invoke read x\n 3 ok {second}")
    };
    check(&MonotonicReads, &text("2", "1"), &Invalid(&["monotonic-reads"]));
    check(&MonotonicReads, &text("1", "nil"), &Invalid(&["monotonic-reads"]));
    check(&MonotonicReads, &text("1", "2"), &Valid);
    check(&MonotonicReads, &text("2", "2"), &Valid);
    check(&MonotonicReads, OLD_THEN_OWN, &Unknown);
    let verdict = MonotonicReads.check(&history(&text("2", "1")));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "session 3 had read 2 before it read 1, which is older"
    );
}

#[test]
fn values_of_concurrent_writes_may_be_read_in_any_order() {
    let text = "
        0 invoke write x 1
        1 invoke write x 2
        3 invoke read x
        3 ok 2
        3 invoke read x
        3 ok 1
        0 ok
        1 ok
    ";
    check(&MonotonicReads, text, &Valid);
}

#[test]
fn going_back_over_a_value_that_was_concurrent_with_both_shows_all_the_same() {
    let text = "
        0 invoke write x 1
        0 ok
        1 invoke write x 5
        0 invoke write x 2
        0 ok
        3 invoke read x
        3 ok 2
        3 invoke read x
        3 ok 5
        3 invoke read x
        3 ok 1
    ";
    check(&MonotonicReads, text, &Invalid(&["monotonic-reads"]));
}

/// Session 0 writes x = 1, then y = 2; session 3 reads y, then x.
fn two_writes(y: &str, x: &str) -> String {
    format!(
        "0 invoke write x 1\n 0 ok\n 0 invoke write y 2\n 0 ok\n \
         3 invoke read y\n 3 ok {y}\n 3 invoke read x\n 3 ok {x}"
    )
}

#[test]
fn a_write_that_is_seen_brings_the_ones_before_it() {
    check(&MonotonicWrites, &two_writes("2", "nil"), &Invalid(&["monotonic-writes"]));
    check(&MonotonicWrites, &two_writes("2", "1"), &Valid);
    // Who has not seen the second need not see the first.
    check(&MonotonicWrites, &two_writes("nil", "nil"), &Unknown);
    // What was not acknowledged before the second began promises nothing.
    let open = two_writes("2", "nil")
        .replacen("0 ok\n", "", 1)
        .replace("0 invoke write y", "9 invoke write y")
        .replace("\n 0 ok", "\n 9 ok");
    check(&MonotonicWrites, &open, &Unknown);
}

#[test]
fn who_sees_a_write_sees_what_its_session_had_read() {
    let text = |x: &str| {
        format!(
            "7 invoke write x 1\n 7 ok\n 0 invoke read x\n 0 ok 1\n 0 invoke write y 2\n 0 ok\n \
             3 invoke read y\n 3 ok 2\n 3 invoke read x\n 3 ok {x}"
        )
    };
    check(&WritesFollowReads, &text("nil"), &Invalid(&["writes-follow-reads"]));
    check(&WritesFollowReads, &text("1"), &Valid);
    check(&MonotonicWrites, &text("nil"), &Unknown);
    let verdict = WritesFollowReads.check(&history(&text("nil")));
    assert_eq!(
        verdict.anomalies()[0].explanation.last().unwrap(),
        "session 0 did write y 2 after it had read x = 1; session 3 saw y = 2 and then found x = \
         nil, as it was before x = 1"
    );
}

fn finally(text: &str, reads: &[(u32, &str)]) -> String {
    let mut text = format!("{text}\nphase final\n");
    for (node, value) in reads {
        let process = 90 + node;
        text += &format!("{process} invoke read-replica x @n{node}\n{process} ok {value}\n");
    }
    text
}

#[test]
fn a_write_of_which_all_replicas_hold_something_older_is_lost() {
    let lost = finally(OLD_THEN_OWN, &[(1, "1"), (2, "1")]);
    check(&Durable, &lost, &Invalid(&["lost-write"]));
    let verdict = Durable.check(&history(&lost));
    let words = &verdict.anomalies()[0].explanation;
    assert_eq!(
        words[words.len() - 2..],
        [
            "process 0 had write x 2 acknowledged, but in the end all 2 replicas that answered \
             hold something older",
            "this is the only lost write; it was acknowledged at 0.003 s",
        ]
    );
}

#[test]
fn one_replica_that_still_has_it_keeps_a_write() {
    check(&Durable, &finally(OLD_THEN_OWN, &[(1, "1"), (2, "2")]), &Valid);
}

#[test]
fn a_replica_that_did_not_answer_may_have_kept_the_write() {
    let silent = "92 invoke read-replica x @n2\n92 info timeout\n";
    let text = finally(OLD_THEN_OWN, &[(1, "1")]) + silent;
    check(&Durable, &text, &Unknown);
    let Verdict::Unknown { reason, .. } = Durable.check(&history(&text)) else { unreachable!() };
    assert_eq!(
        reason,
        "`write x 2` is on no replica that answered, but node n2 did not say what it holds"
    );
    // A node that was asked for another key counts as well.
    let other =
        finally(OLD_THEN_OWN, &[(1, "1")]) + &silent.replace("read-replica x", "read-replica y");
    check(&Durable, &other, &Unknown);
    check(&Durable, &(finally(OLD_THEN_OWN, &[(1, "2")]) + silent), &Valid);
}

#[test]
fn a_write_that_was_replaced_is_not_lost() {
    let text = format!("{OLD_THEN_OWN} 5 invoke write x 3\n 5 info timeout");
    check(&Durable, &finally(&text, &[(1, "3")]), &Valid);
    let deleted = format!("{OLD_THEN_OWN} 5 invoke delete x\n 5 ok");
    check(&Durable, &finally(&deleted, &[(1, "nil")]), &Valid);
}

#[test]
fn a_store_that_forgets_everything_loses_every_write() {
    check(&Durable, &finally(OLD_THEN_OWN, &[(1, "nil"), (2, "nil")]), &Invalid(&["lost-write"]));
    let deleted = "0 invoke write x 1\n0 ok\n0 invoke delete x\n0 ok";
    check(&Durable, &finally(deleted, &[(1, "1")]), &Invalid(&["lost-write"]));
}

#[test]
fn without_final_reads_or_writes_nothing_is_known_to_last() {
    check(&Durable, OLD_THEN_OWN, &Unknown);
    check(&Durable, &finally("0 invoke write x 1\n0 info timeout", &[(1, "1")]), &Unknown);
}

#[test]
fn replicas_that_differ_in_the_end_have_not_converged() {
    check(&Convergent, &finally(OLD_THEN_OWN, &[(1, "2"), (2, "2")]), &Valid);
    let differ = finally(OLD_THEN_OWN, &[(1, "2"), (2, "1")]);
    check(&Convergent, &differ, &Invalid(&["divergence"]));
}

#[test]
fn replicas_that_agree_on_what_nobody_wrote_have_not_converged() {
    let text = finally(OLD_THEN_OWN, &[(1, "7"), (2, "7")]);
    check(&Convergent, &text, &Invalid(&["phantom-value"]));
}

#[test]
fn a_replica_that_did_not_answer_leaves_it_open() {
    let text =
        finally(OLD_THEN_OWN, &[(1, "2")]) + "92 invoke read-replica x @n2\n92 info timeout\n";
    check(&Convergent, &text, &Unknown);
    check(&Convergent, OLD_THEN_OWN, &Unknown);
}

#[test]
fn every_answer_of_a_replica_at_the_end_counts() {
    let text = finally(OLD_THEN_OWN, &[(1, "2"), (2, "2")]) + "0 invoke write y 1\n0 ok\n";
    let verdict = Convergent.check(&history(&text));
    let coverage = verdict.coverage();
    assert_eq!((coverage.operations, coverage.keys, &coverage.method[..]), (2, 1, "final reads"));
}

#[test]
fn a_store_that_serves_nothing_after_the_faults_makes_no_progress() {
    let text = "
        phase liveness
        0 invoke write x 1
        0 info timeout
        1 invoke read x
        1 fail unavailable
        phase final
    ";
    check(&Live, text, &Invalid(&["no-progress", "no-progress"]));
    check(&Live, &text.replace("fail unavailable", "ok nil"), &Invalid(&["no-progress"]));
    let served = text.replace("fail unavailable", "ok nil").replace("info timeout", "ok");
    check(&Live, &served, &Valid);
}

#[test]
fn a_kind_of_operation_that_never_succeeds_makes_no_progress() {
    let polls = |count: usize| {
        let poll = "1 invoke poll k 0\n1 fail unavailable\n".repeat(count);
        format!("phase liveness\n0 invoke committed k\n0 ok nil\n{poll}")
    };
    check(&Live, &polls(4), &Valid);
    check(&Live, &polls(5), &Invalid(&["no-progress"]));
    check(&Live, &format!("{}1 invoke poll k 0\n1 ok []", polls(5)), &Valid);
    // While nothing like it succeeds, that it does not says no more.
    let late = "1 invoke poll k 0\n1 fail unavailable\n".repeat(9);
    check(&Live, &polls(4).replacen("0 invoke", &format!("{late}0 invoke"), 1), &Valid);
    let verdict = Live.check(&history(&polls(5)));
    let words = &verdict.anomalies()[0].explanation[0];
    assert!(words.starts_with("others were served again at "), "{words}");
    assert!(words.ends_with("not one poll succeeded, of 5 that were tried"), "{words}");
    let appends = "1 invoke txn t [[append,1,2]]\n1 fail unavailable\n".repeat(5);
    let txns = format!("phase liveness\n0 invoke txn t [[r,1,nil]]\n0 ok [[r,1,nil]]\n{appends}");
    let verdict = Live.check(&history(&txns));
    let words = &verdict.anomalies()[0].explanation[0];
    assert!(words.contains("not one txn that writes succeeded, of 5"), "{words}");
}

#[test]
fn a_node_that_answers_nobody_is_silent() {
    let asked = |process: usize, node: usize, answer: &str| {
        format!("{process} invoke read x @n{node}\n{process} {answer}\n")
    };
    let others = asked(1, 1, "ok nil");
    let silent: String = (2..6).map(|process| asked(process, 2, "info timeout")).collect();
    let text = format!("phase liveness\n{others}{silent}");
    check(&Live, &text, &Invalid(&["node-silent"]));
    // Once is enough; so is it to have been asked less, or only in the beginning.
    check(&Live, &format!("{text}{}", asked(7, 2, "ok nil")), &Valid);
    check(&Live, &format!("{text}{}", asked(7, 2, "fail unavailable")), &Valid);
    check(&Live, &format!("{text}{}", asked(7, 2, "info not-leader")), &Valid);
    check(&Live, &text.replacen(" @n2", " @n3", 1), &Valid);
    check(&Live, &format!("{text}{}", others.repeat(9)), &Valid);
    // Nobody who reads is answered, whoever else is.
    let writes = "8 invoke write x 1 @n2\n8 ok\n";
    let verdict = Live.check(&history(&format!("{text}{writes}")));
    let words = &verdict.anomalies()[0].explanation[0];
    assert!(words.ends_with("node n2 answered none of 4 operations of the kind read"), "{words}");
    // Who was asked too seldom to be accused is named.
    let seldom = format!("phase liveness\n{others}{}{writes}", asked(2, 2, "info timeout"));
    let verdict = Live.check(&history(&seldom));
    let open = "n2 answered none of 1 operation of the kind read, too few to judge it by";
    assert!(verdict.is_valid() && verdict.coverage().open.as_deref() == Some(open), "{verdict:?}");
}

#[test]
fn who_is_told_that_the_session_is_lost_says_nothing_of_progress() {
    let text = "
        phase liveness
        0 invoke write x 1
        0 ok
        1 invoke read x
        1 fail session-lost
    ";
    check(&Live, text, &Valid);
    check(&Live, &text.replace("0 ok", "0 info session-lost"), &Unknown);
    check(&Live, &text.replace("session-lost", "unavailable"), &Invalid(&["no-progress"]));
}

#[test]
fn a_compare_and_set_that_found_something_else_was_served() {
    let text = "phase liveness\n0 invoke cas x 1 2\n0 fail mismatch\n1 invoke read x\n1 ok nil";
    check(&Live, text, &Valid);
}

#[test]
fn what_is_declined_for_what_is_stored_was_served_and_what_nobody_could_serve_was_not() {
    let text = "
        phase liveness
        0 invoke txn bank [[\"inc\",1,-7],[\"inc\",2,7]]
        0 fail declined the account holds too little
        0 invoke txn bank [[\"inc\",1,-8],[\"inc\",2,8]]
        0 fail declined the account holds too little
    ";
    check(&Live, text, &Valid);
    for reason in ["unavailable", "not-leader", "refused", "no quorum"] {
        let refused = text.replace("declined the account holds too little", reason);
        check(&Live, &refused, &Invalid(&["no-progress"]));
    }
    let words = Live.check(&history(&text.replace("declined the", "the"))).anomalies()[0].clone();
    assert!(words.explanation[1].contains("was told the account holds too little"), "{words:?}");
}

#[test]
fn who_ended_without_learning_what_came_of_it_is_told_apart_from_who_got_no_answer() {
    let last = |event: &str| {
        let verdict = Live.check(&history(&format!("phase liveness\n0 invoke read x\n{event}")));
        verdict.anomalies()[0].explanation[1].clone()
    };
    assert!(last("0 info timeout").ends_with("(from 0.001 s with no answer)"));
    let reset = last("0 info connection reset");
    assert!(reset.ends_with("(from 0.001 s without learning what came of it)"), "{reset}");
}

#[test]
fn a_write_that_was_refused_is_told_as_one() {
    let text = "phase liveness\n0 invoke write x 1\n0 fail not-leader";
    let verdict = Live.check(&history(text));
    assert_eq!(
        verdict.anomalies()[0].explanation[1],
        "the last of them: process 0 tried to write x 1 and was told not-leader (from 0.001 s to \
         0.002 s)"
    );
    let open = "phase liveness\n0 invoke read x";
    assert!(Live.check(&history(open)).anomalies()[0].explanation[1].ends_with("with no answer)"));
}

#[test]
fn what_succeeded_before_the_faults_ended_is_no_progress() {
    let text = "
        0 invoke write x 1
        0 ok
        phase liveness
        0 invoke write x 2
        0 fail not-leader
        phase final
        9 invoke read-replica x @n1
        9 ok 1
    ";
    check(&Live, text, &Invalid(&["no-progress"]));
    check(&Live, OLD_THEN_OWN, &Unknown);
    check(&Live, "phase liveness", &Unknown);
}

#[test]
fn what_the_store_does_not_offer_cannot_fail_to_come_back() {
    let text = "
        phase liveness
        0 invoke write x 1
        0 fail unsupported
        1 invoke read x
        1 ok nil
    ";
    check(&Live, text, &Valid);
    check(&Live, &text.replace("ok nil", "fail unsupported"), &Unknown);
    let stuck = text.replace("1 ok nil", "1 fail unavailable");
    let verdict = Live.check(&history(&stuck));
    assert_eq!(verdict.anomalies().len(), 1);
    expect!["all faults had been undone at 0.000 s; from then to 0.004 s not one read succeeded, of 1 that were tried"].assert_eq(&verdict.anomalies()[0].explanation[0]);
}

#[test]
fn what_did_not_come_back_has_its_own_name() {
    let text = "
        phase liveness
        0 invoke poll k 0
        0 info timeout
        1 invoke read x
        1 fail unavailable
    ";
    let verdict = Live.check(&history(text));
    let told = &verdict.anomalies()[0].explanation[0];
    assert!(told.contains("not one poll or read succeeded, of 2"), "{told}");
}

#[test]
fn each_checker_names_its_method() {
    let text = "
        0 invoke write x 1
        0 ok
        0 invoke read x
        0 ok 1
        phase liveness
        1 invoke read x
        1 ok 1
        phase final
        9 invoke read-replica x @n1
        9 ok 1
    ";
    let history = history(text);
    let method = |known: &Registration| {
        let verdict = (known.build)(&Limits::default()).check(&history);
        format!("{}: {}", known.guarantee.name(), verdict.coverage().method)
    };
    let methods: Vec<String> = CHECKERS.iter().map(method).collect();
    expect![[r#"
        linearizable: zones
        read-your-writes: order by versions, real time and compare-and-set
        monotonic-reads: order by versions, real time and compare-and-set
        monotonic-writes: order by versions, real time and compare-and-set
        writes-follow-reads: order by versions, real time and compare-and-set
        causal: bad patterns of causal consistency (CC)
        bounded-staleness: missing acknowledged writes, by real time
        durable: final reads
        convergent: final reads
        live: successes after the last fault
        set: each element by itself
        counter: bounds of what can have been added
        queue: each value and each pair
        unique-ids: all values
        log: each message and each poll
        echo: each answer by itself
        bank: totals of whole reads
        long-fork: chains of reads
        read-committed: cycles of dependencies
        snapshot-isolation: cycles of dependencies
        serializable: cycles of dependencies
        strict-serializable: cycles of dependencies"#]]
    .assert_eq(&methods.join("\n"));
}

/// The one anomaly of a history, in words.
fn told(checker: &dyn Checker, text: &str) -> String {
    let verdict = checker.check(&history(text));
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:#?}") };
    let shown = anomaly.witness.operations.iter().filter(|id| {
        let process = history(text).operation(**id).process.0;
        anomaly.explanation.iter().any(|words| words.starts_with(&format!("process {process} ")))
    });
    assert_eq!(shown.count(), anomaly.witness.operations.len(), "all that is shown is told");
    anomaly.explanation.join("\n")
}

#[test]
fn a_session_is_shown_the_delete_that_it_had_done_and_no_later_one() {
    let later = "2 invoke write x 10\n2 ok\n2 invoke delete x\n2 ok\n".repeat(6);
    let text = format!(
        "0 invoke write x 1
         0 ok
         1 invoke delete x
         1 ok
         1 invoke read-replica x @n2
         1 ok 1
         {later}"
    );
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 1 deleted x (from 0.002 s to 0.003 s)
        process 1 read x = 1 at n2 (from 0.004 s to 0.005 s)
        session 1 had its own delete x acknowledged before it read 1, which is older"#]]
    .assert_eq(&told(&ReadYourWrites, &text));
}

#[test]
fn of_many_writes_of_an_older_value_the_one_that_was_over_last_is_shown() {
    let deletes = "2 invoke delete x\n2 ok\n".repeat(4);
    let text = format!(
        "{deletes}
         1 invoke write x 7
         1 ok
         1 invoke read x
         1 ok nil"
    );
    expect![[r#"
        process 2 deleted x (from 0.006 s to 0.007 s)
        process 1 wrote x = 7 (from 0.008 s to 0.009 s)
        process 1 read x = nil (from 0.010 s to 0.011 s)
        all 4 operations that may have made x hold nil were over by 0.007 s; of these, the one that was over last is shown
        session 1 had its own write x 7 acknowledged before it read nil, which is older"#]].assert_eq(&told(&ReadYourWrites, &text));
}

#[test]
fn a_loss_shows_what_proves_the_order_and_what_each_replica_holds() {
    let text = "
        0 invoke write x 1
        1 invoke cas x 1 2
        1 ok
        1 invoke write x 3
        1 ok
        phase final
        9 invoke read-replica x @n1
        9 ok 1
        9 invoke read-replica x @n2
        9 ok 2
    ";
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 set x from 1 to 2 (from 0.001 s to 0.002 s)
        process 1 wrote x = 3 (from 0.003 s to 0.004 s)
        process 9 read x = 1 at n1 (from 0.006 s to 0.007 s)
        process 9 read x = 2 at n2 (from 0.008 s to 0.009 s)
        process 1 had write x 3 acknowledged, but in the end all 2 replicas that answered hold something older
        this is the only lost write; it was acknowledged at 0.004 s"#]].assert_eq(&told(&Durable, text));
}

#[test]
fn a_read_of_the_whole_store_is_no_replica_that_answered() {
    let text = "
        0 invoke write x 1
        0 ok
        phase final
        9 invoke read x @n1
        9 ok nil
    ";
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 9 read x = nil at n1 (from 0.003 s to 0.004 s)
        process 0 had write x 1 acknowledged, but everything that was read in the end is older
        this is the only lost write; it was acknowledged at 0.001 s"#]]
    .assert_eq(&told(&Durable, text));
    // A replica that was asked and did not answer may hold the write, whatever the store said there.
    let silent = format!("{text}\n8 invoke read-replica x @n1\n8 info timeout");
    check(&Durable, &silent, &Unknown);
}

#[test]
fn who_failed_to_write_what_a_replica_holds_is_shown() {
    let text = "
        0 invoke write x 5
        0 fail unavailable
        phase final
        9 invoke read-replica x @n1
        9 ok 5
    ";
    expect![[r#"
        process 0 tried to write x 5 and was told unavailable (from 0.000 s to 0.001 s)
        process 9 read x = 5 at n1 (from 0.003 s to 0.004 s)
        after the run had been quiet until 0.002 s, node n1 holds x = 5, which nobody wrote, but for process 0, which failed"#]].assert_eq(&told(&Convergent, text));
}

#[test]
fn what_is_no_register_is_said_not_to_be_judged() {
    let counter = "
        0 invoke increment c 5
        0 ok
        1 invoke read-replica c @n1
        1 ok 5
        1 invoke read-replica c @n2
        1 ok 0
    ";
    let is_none = "only registers are judged, and c is none";
    assert_eq!(reason(&MonotonicReads, counter), is_none);
    assert_eq!(reason(&ReadYourWrites, counter), is_none);
    assert_eq!(reason(&MonotonicWrites, counter), is_none);
    assert_eq!(reason(&WritesFollowReads, counter), is_none);
    assert_eq!(reason(&BoundedStaleness::new(Limits::default()), counter), is_none);
    let set = format!("{counter}\n2 invoke add s 1\n2 ok");
    assert_eq!(reason(&MonotonicReads, &set), "only registers are judged, and no key is one");
    let register = format!("{counter}\n2 invoke write x 1\n2 ok");
    assert_eq!(
        reason(&MonotonicReads, &register),
        "only registers are judged, and not c: no session read a register that it had read before"
    );
    let both = format!("{set}\n2 invoke write x 1\n2 ok");
    assert_eq!(
        reason(&ReadYourWrites, &both),
        "only registers are judged, and not c and 1 more: no session read a register after an \
         acknowledged write of its own"
    );
    assert_eq!(
        reason(&MonotonicReads, "2 invoke write x 1\n2 ok"),
        "no session read a register that it had read before"
    );
}

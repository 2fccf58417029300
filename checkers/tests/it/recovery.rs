//! What the final state says about losses, recovery and convergence.

use std::time::Duration;

use expect_test::expect;
use stormglass_checkers::checker::convergent::{converged_at, digests};
use stormglass_checkers::checker::durable::losses;
use stormglass_checkers::checker::{Checker, Durable, Model};
use stormglass_checkers::history::{NodeId, OperationId, Time, Value};
use stormglass_checkers::{Facts, Verdict};

use crate::notation::history;

const LOST: &str = "
    0 invoke write x 1
    0 ok
    0 invoke write x 2
    0 ok
    0 invoke write x 3
    0 ok
    fault 0 begin crash n1
    1 invoke write y 4
    1 info timeout
    2 invoke read x
    2 ok 1
    2 invoke write y 5
    2 ok
    fault 0 end crash n1
    phase final
    9 invoke read-replica x @n1
    9 ok 1
    9 invoke read-replica x @n2
    9 ok 1
";

#[test]
fn losses_are_counted_and_timed() {
    let found = losses(&history(LOST)).unwrap();
    assert_eq!(found.writes, [OperationId(1), OperationId(2)]);
    assert_eq!((found.first, found.last), (Time::from_millis(3), Time::from_millis(5)));
    // From the first lost acknowledgement to the crash.
    assert_eq!(found.lost_at, Some(Time::from_millis(6)));
    assert_eq!(found.recovery_point, Duration::from_millis(3));
    // From the crash to the end of the write: it is writes that had failed.
    assert_eq!(found.recovery_time, Some(Duration::from_millis(6)));
}

#[test]
fn what_a_set_lost_is_counted_and_timed_as_writes_are() {
    let set = LOST.replace("write x", "add x").replace("ok 1\n", "ok [1]\n");
    assert_eq!(losses(&history(&set)), losses(&history(LOST)));
    let kept = set.replace("9 ok [1]", "9 ok [3,2,1]");
    assert_eq!(losses(&history(&kept)), None);
    // What began when the loss had been seen is not behind it, here either.
    let after = set.replace("2 invoke write y 5", "fault 8 begin slow n3\n2 invoke write y 5");
    let alone: Vec<&str> = after.lines().filter(|line| !line.contains("fault 0")).collect();
    assert_eq!(recovery_time(&alone.join("\n")), None);
    // Nothing is known where a replica did not answer, or of what is no set, or did not begin as one.
    let silent = format!("{set} 9 invoke read-replica x @n3\n 9 info timeout\n");
    assert_eq!(losses(&history(&silent)), None);
    assert_eq!(losses(&history(&set).taken_for(Model::Register)), None);
    let other = history(&set).that_begins_as(&Value::Int(5));
    assert_eq!(losses(&other), None);
    let Verdict::Unknown { reason, .. } = Durable.check(&other) else { panic!("judged") };
    assert_eq!(reason, "no set begins as 5");
}

/// How long recovery took, in milliseconds.
fn recovery_time(text: &str) -> Option<u128> {
    losses(&history(text)).unwrap().recovery_time.map(|time| time.as_millis())
}

#[test]
fn a_fault_right_after_a_loss_is_behind_it_and_not_one_that_was_on_before() {
    let early = format!("fault 7 begin slow n3\n{LOST}");
    assert_eq!(recovery_time(&early), Some(6));
    // What began when the loss had been seen is not behind it.
    let after = LOST.replace("2 invoke write y 5", "fault 8 begin slow n3\n2 invoke write y 5");
    assert_eq!(recovery_time(&after), Some(7));
    let without = |text: &str, fault: &str| -> String {
        text.lines().filter(|line| !line.contains(fault)).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(recovery_time(&without(&after, "fault 0")), None);
    assert_eq!(recovery_time(&without(LOST, "fault")), None);
    // What was on is behind it where nothing else is: the last that had begun.
    let on = format!("fault 6 begin slow n3\nfault 7 begin partition n1 | n2\n{LOST}");
    assert_eq!(recovery_time(&without(&on, "fault 0")), Some(12));
    let healed = on.replacen("\n    0 invoke", "\nfault 7 end partition\n    0 invoke", 1);
    assert_eq!(recovery_time(&without(&healed, "fault 0")), Some(14));
}

#[test]
fn recovery_is_a_success_of_a_client_of_each_kind_that_had_failed() {
    // Reads go on all the time, and at the end, but nobody writes again.
    assert_eq!(recovery_time(&LOST.replace("2 invoke write y 5\n    2 ok", "")), None);
    assert_eq!(recovery_time(&LOST.replace("    2 ok\n", "    2 fail unavailable\n")), None);
    // Where nothing failed, the first success counts.
    let served = LOST.replace("1 info timeout", "1 ok");
    assert_eq!(recovery_time(&served), Some(2));
    // To find another value is to be served.
    let mismatch =
        LOST.replace("2 invoke write y 5\n    2 ok", "2 invoke cas y 8 9\n    2 fail mismatch 4");
    assert_eq!(recovery_time(&mismatch), Some(6));
    // What nobody offers has not failed.
    assert_eq!(recovery_time(&LOST.replace("1 info timeout", "1 fail unsupported")), Some(4));
}

#[test]
fn a_loss_reads_as_a_loss_however_short_it_was() {
    let told = |text: &str| losses(&history(text)).unwrap().to_string();
    expect!["acknowledged writes lost: 2, acknowledged from 0.003 s to 0.005 s, the fault behind it began at 0.006 s; recovery point 0.003 s, recovery time 0.006 s"].assert_eq(&told(LOST));
    let unexplained: String =
        LOST.lines().filter(|line| !line.contains("fault")).collect::<Vec<_>>().join("\n");
    expect!["acknowledged writes lost: 2, acknowledged from 0.003 s to 0.005 s; recovery point at least 0.002 s, no recovery that could be timed"].assert_eq(&told(&unexplained));
    let one = unexplained.replace("0 invoke write x 3\n    0 ok", "");
    expect!["acknowledged writes lost: 1, acknowledged at 0.003 s, nobody knows when it was lost; recovery point not known, no recovery that could be timed"].assert_eq(&told(&one));
}

#[test]
fn what_was_lost_at_several_times_is_not_taken_for_one_loss() {
    let second = "0 invoke write x 3";
    let between = format!("fault 7 begin slow n3\n    fault 7 end slow n3\n    {second}");
    let twice = LOST.replace(second, &between);
    expect!["acknowledged writes lost: 2, acknowledged from 0.003 s to 0.007 s in 2 spells between faults, the fault behind the last of them began at 0.008 s; recovery point at least 0.001 s, recovery time 0.006 s"].assert_eq(&losses(&history(&twice)).unwrap().to_string());
    let unexplained =
        twice.replace("fault 0 begin crash n1\n", "").replace("fault 0 end crash n1\n", "");
    expect!["acknowledged writes lost: 2, acknowledged from 0.003 s to 0.007 s in 2 spells between faults, nobody knows when it was lost; recovery point not known, no recovery that could be timed"].assert_eq(&losses(&history(&unexplained)).unwrap().to_string());
}

#[test]
fn what_is_kept_is_no_loss() {
    assert_eq!(losses(&history(&LOST.replace("9 ok 1", "9 ok 3"))), None);
    assert_eq!(
        losses(&history(
            &LOST
                .replacen("9 ok 1", "9 info timeout", 1)
                .replace("9 invoke read-replica x @n2", "8 invoke read-replica x @n2")
                .replace("9 ok 1", "8 ok 1")
        )),
        None
    );
    assert_eq!(losses(&history("0 invoke write x 1\n0 ok")), None);
}

#[test]
fn what_replaced_a_value_is_lost_where_the_value_is_back() {
    // Nothing but the chain says which is older: all of them began at the same time.
    let lost = |last: u32| {
        let text = format!(
            "0 invoke write x 1
             1 invoke cas x 1 2
             2 invoke cas x 2 3
             3 invoke write x 7
             0 ok
             1 ok
             2 ok
             3 ok
             phase final
             9 invoke read-replica x @n1
             9 ok {last}"
        );
        losses(&history(&text)).map(|found| found.writes).unwrap_or_default()
    };
    assert_eq!(lost(1), [OperationId(1), OperationId(2)]);
    assert_eq!(lost(2), [OperationId(2)]);
    assert_eq!(lost(3), []);
    // It may have been the last.
    assert_eq!(lost(7), []);
}

#[test]
fn equal_states_have_equal_digests() {
    let text = "
        phase final
        9 invoke read-replica y @n1
        9 ok 2
        9 invoke read-replica x @n1
        9 ok 1
        9 invoke read-replica x @n2
        9 ok 1
        9 invoke read-replica y @n2
        9 ok 2
        9 invoke read-replica x @n3
        9 ok nil
        9 invoke read-replica y @n3
        9 ok nil
    ";
    let found = digests(&history(text));
    assert_eq!(found[&NodeId(1)], found[&NodeId(2)]);
    // The first digits of the published BLAKE3 hash of nothing.
    assert_eq!(found[&NodeId(3)], "af1349b9f5f9a1a6");
    assert_ne!(found[&NodeId(1)], found[&NodeId(3)]);
    assert_eq!(digests(&history("0 invoke write x 1\n0 ok")).len(), 0);
}

#[test]
fn replicas_have_converged_when_none_shows_anything_else_again() {
    let text = "
        0 invoke write x 1
        0 ok
        phase liveness
        5 invoke read-replica x @n1
        5 ok 1
        5 invoke read-replica x @n2
        5 ok nil
        5 invoke read-replica x @n2
        5 ok 1
        phase final
        9 invoke read-replica x @n1
        9 ok 1
        9 invoke read-replica x @n2
        9 ok 1
    ";
    assert_eq!(converged_at(&history(text)), Some(Time::from_millis(8)));
    let back = text.replacen("5 ok 1", "5 ok nil", 1);
    assert_eq!(converged_at(&history(&back)), Some(Time::from_millis(11)));
    let (differ, silent) = (text.rfind("9 ok 1").unwrap(), "9 ok 1".len());
    let end = |with: &str| {
        let mut text = text.to_owned();
        text.replace_range(differ..differ + silent, with);
        converged_at(&history(&text))
    };
    assert_eq!((end("9 ok nil"), end("9 info timeout")), (None, None));
    assert_eq!(converged_at(&history("0 invoke write x 1\n0 ok")), None);
}

#[test]
fn what_a_history_says_beyond_verdicts_is_told_in_words() {
    let told = |text: &str| Facts::of(&history(text)).to_string();
    expect![[r#"
        1 of 1 reads were stale, by up to 2 versions and 0.006 s (99 of 100 by at most 2 and 0.006 s)
        acknowledged writes lost: 2, acknowledged from 0.003 s to 0.005 s, the fault behind it began at 0.006 s; recovery point 0.003 s, recovery time 0.006 s
        converged 0.004 s after quiet began, at the latest; digests n1 a9a8cd56e8a31c61, n2 a9a8cd56e8a31c61
    "#]].assert_eq(&told(LOST));
    let read = "0 invoke write x 1\n0 ok\n1 invoke read x\n1 ok 1\n";
    expect![[r#"
        none of 1 reads was stale
    "#]]
    .assert_eq(&told(read));
}

#[test]
fn where_clients_wrote_after_quiet_began_convergence_says_for_how_long() {
    let told = |write: &str| {
        let text = format!(
            "
            0 invoke write x 1
            0 ok
            phase liveness
            {write}
            phase final
            9 invoke read-replica x @n1
            9 ok 2
            9 invoke read-replica x @n2
            9 ok 2
            "
        );
        Facts::of(&history(&text)).convergence.unwrap()
    };
    let wrote = told("1 invoke write x 2\n1 ok\n2 invoke read x\n2 ok 2");
    let (after, written) = (wrote.after.unwrap(), wrote.written.unwrap());
    assert!(!written.is_zero() && written < after, "{wrote:?}");
    let words = wrote.to_string();
    assert!(words.contains(" after quiet began, at the latest; clients went on writing for "));
    // A write that failed, or none at all, changed nothing.
    let read = told("1 invoke read x\n1 ok 1");
    assert_eq!(read.written, None, "{read:?}");
}

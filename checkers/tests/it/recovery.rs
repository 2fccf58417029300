//! What the final state says about losses, recovery and convergence.

use std::time::Duration;

use expect_test::expect;
use stormglass_checkers::Facts;
use stormglass_checkers::checker::convergent::{converged_at, digests};
use stormglass_checkers::checker::durable::losses;
use stormglass_checkers::history::{NodeId, OperationId, Time};

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
    assert_eq!(found.recovery_point, Duration::from_millis(2));
    // From the crash to the read's answer.
    assert_eq!(found.recovery_time, Some(Duration::from_millis(4)));
}

#[test]
fn the_fault_that_was_on_counts_before_one_that_follows() {
    let early = format!("fault 7 begin partition n1 | n2\n{LOST}");
    // The partition began at the start; the read ended eleven lines later.
    assert_eq!(losses(&history(&early)).unwrap().recovery_time, Some(Duration::from_millis(11)));
    let healed = format!("fault 7 begin partition n1 | n2\nfault 7 end partition\n{LOST}");
    assert_eq!(losses(&history(&healed)).unwrap().recovery_time, Some(Duration::from_millis(4)));
    // One that was over before the other began does not count.
    let before = format!("fault 7 begin partition n1 | n2\nfault 7 end partition\n{early}")
        .replacen("fault 7", "fault 6", 2);
    assert_eq!(losses(&history(&before)).unwrap().recovery_time, Some(Duration::from_millis(11)));
    let none: String =
        LOST.lines().filter(|line| !line.contains("fault")).collect::<Vec<_>>().join("\n");
    assert_eq!(losses(&history(&none)).unwrap().recovery_time, None);
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
        acknowledged writes lost: 2, acknowledged from 0.003 s to 0.005 s; recovery point 0.002 s, recovery time 0.004 s
        converged within 0.004 s of quiet; digests n1 a9a8cd56e8a31c61, n2 a9a8cd56e8a31c61
    "#]].assert_eq(&told(LOST));
    let read = "0 invoke write x 1\n0 ok\n1 invoke read x\n1 ok 1\n";
    expect![[r#"
        none of 1 reads was stale
    "#]]
    .assert_eq(&told(read));
}

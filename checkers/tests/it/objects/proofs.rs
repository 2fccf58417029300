//! What proves a violation of an object: as little as shows it, and in words.

use expect_test::expect;
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{OperationId, Value};
use stormglass_checkers::{Contrast, Legal};

use super::{check, word};
use crate::notation::history;

#[test]
fn a_proof_about_a_queue_shows_who_took_what_an_unanswered_dequeue_might_have() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        0 invoke dequeue q
        1 invoke enqueue q 1
        1 ok
        2 invoke dequeue q
        2 ok nil
        2 invoke dequeue q
        2 ok 1
        ",
    ));
    expect![[r#"
        process 1 did enqueue q 1 (from 0.001 s to 0.002 s)
        process 2 did dequeue q and got nil (from 0.003 s to 0.004 s)
        process 2 did dequeue q and got 1 (from 0.005 s to 0.006 s)
        no order goes further than this one: process 1 did enqueue q 1
        after it, this does not fit: process 2 did dequeue q and got nil
        no order of these operations that keeps to their times explains every answer"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

#[test]
fn an_order_of_what_is_shown_goes_on_over_answers_that_the_proof_does_not_need() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        1 invoke enqueue q 3
        1 ok
        0 invoke enqueue q 1
        2 invoke dequeue q
        2 ok 1
        0 ok
        ",
    ));
    let words = &verdict.anomalies()[0].explanation;
    let order = "process 1 did enqueue q 3; process 0 did enqueue q 1";
    assert_eq!(words[3], format!("no order goes further than this one: {order}"));
}

#[test]
fn what_is_wrong_with_a_queue_is_said_in_the_words_of_its_own_checker() {
    let turned = |key: &str, first: u32, second: u32| {
        format!(
            "0 invoke enqueue {key} {first}\n0 ok\n0 invoke enqueue {key} {second}\n0 ok\n\
             1 invoke dequeue {key}\n1 ok {second}\n1 invoke dequeue {key}\n1 ok {first}\n"
        )
    };
    let verdict = check(&(turned("q", 1, 2) + &turned("r", 3, 4)));
    let told: Vec<&str> = verdict
        .anomalies()
        .iter()
        .filter_map(|found| Some(found.explanation.last()?.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            "1 had been put in before anybody began to put in 2, which was taken first",
            "3 had been put in before anybody began to put in 4, which was taken first",
        ]
    );
    // Whoever failed is no part of the proof, and is shown as it is named.
    let failed = "0 invoke enqueue q 1\n0 fail refused\n1 invoke dequeue q\n1 ok 1";
    expect![[r#"
        process 0 tried to enqueue q 1 and was told refused (from 0.000 s to 0.001 s)
        process 1 did dequeue q and got 1 (from 0.002 s to 0.003 s)
        process 1 took 1, which nobody had begun to put in, but for process 0, which failed"#]]
    .assert_eq(&proof(failed));
    let twice =
        "0 invoke enqueue q 1\n0 ok\n1 invoke dequeue q\n1 ok 1\n2 invoke dequeue q\n2 ok 1";
    let once = Contrast::new(OperationId(2), Legal::Once).due_to(OperationId(1));
    assert_eq!(check(twice).anomalies()[0].contrast, Some(once));
}

#[test]
fn of_what_is_wrong_with_a_queue_that_is_said_which_the_operations_shown_prove() {
    // The 10 was taken twice as well, by others.
    let text = "
        0 invoke enqueue q 10
        0 ok
        1 invoke enqueue q 3
        2 invoke dequeue q
        1 ok
        3 invoke dequeue q
        3 ok 10
        4 invoke dequeue q
        4 ok nil
        2 ok 10
    ";
    expect!["process 4 found the queue empty, but 3 had been put in before it began, and nobody can have taken it by then"]
        .assert_eq(proof(text).lines().last().unwrap());
}

#[test]
fn a_proof_names_what_breaks_and_nothing_else() {
    let verdict = Linearizable::new(Limits::default()).check(&history(
        "
        0 invoke append x a
        0 ok
        1 invoke read x
        1 ok a
        0 invoke append x b
        0 ok
        1 invoke read x
        1 ok ba
        ",
    ));
    expect![[r#"
        process 1 read x = "a" (from 0.002 s to 0.003 s)
        process 1 read x = "ba" (from 0.006 s to 0.007 s)
        process 1 read a text that does not begin with what process 1 had read before: they differ from character 1 on"#]]
    .assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

/// The sentences of the only proof about a history.
fn proof(text: &str) -> String {
    let verdict = check(text);
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:#?}") };
    anomaly.explanation.join("\n")
}

#[test]
fn texts_that_a_wrong_read_does_not_show_are_in_no_proof() {
    let text = r#"
        0 invoke append x a
        0 ok
        2 invoke append x c
        0 invoke append x ""
        0 ok
        0 invoke append x b
        0 ok
        1 invoke read x
        1 ok ba
    "#;
    expect![[r#"
        process 0 did append x "a" (from 0.000 s to 0.001 s)
        process 0 did append x "b" (from 0.005 s to 0.006 s)
        process 1 read x = "ba" (from 0.007 s to 0.008 s)
        process 0 had appended "a" before process 0 began to append "b", and process 1 read "b" in front of it"#]]
    .assert_eq(&proof(text));
}

#[test]
fn a_lock_that_was_taken_and_given_back_is_in_no_proof() {
    let text = "
        0 invoke acquire x
        0 ok
        0 invoke release x
        0 ok
        0 invoke release x
        0 ok
    ";
    expect![[r#"
        process 0 did release x (from 0.004 s to 0.005 s)
        process 0 gave x back without holding it"#]]
    .assert_eq(&proof(text));
    let text = "
        1/0 invoke acquire x
        1 ok 1
        2/0 invoke acquire x
        3/1 invoke acquire x
        3 ok
        2 ok
    ";
    expect![[r#"
        process 1 did acquire x and got 1 (from 0.000 s to 0.001 s)
        process 2 did acquire x (from 0.002 s to 0.005 s)
        process 3 did acquire x (from 0.003 s to 0.004 s)
        process 1 held x from 0.001 s at the latest and never gave it back, and process 3 held it from 0.004 s at the latest and never gave it back: nobody gave it back in between"#]]
    .assert_eq(&proof(text));
}

#[test]
fn what_a_client_does_at_the_same_time_is_in_a_proof_together_or_not_at_all() {
    // Client 0 took the lock twice, and gave it back each time. Which release belongs to which
    // acquisition is not known, and nobody may be shown to give back what was never taken.
    let text = "
        9/1 invoke release x
        0/0 invoke acquire x
        1/0 invoke acquire x
        0 ok
        2/0 invoke release x
        2 ok
        3/0 invoke release x
        1 ok
        3 ok
        9 ok
    ";
    expect![[r#"
        process 9 did release x (from 0.000 s to 0.009 s)
        process 9 gave x back without holding it"#]]
    .assert_eq(&proof(text));
}

#[test]
fn what_a_client_did_before_a_call_without_an_answer_is_in_no_proof_of_what_others_do() {
    let held = |client: u32| {
        format!("{client} invoke acquire x\n{client} ok\n{client} invoke release x\n{client} ok\n")
    };
    let before = (held(0) + &held(1)).repeat(100);
    let text = before + "0 invoke acquire x\n0 info timeout\n2 invoke acquire x\n2 ok\n";
    assert!(check(&text).is_valid());
    let proof = proof(&(text + "1 invoke acquire x\n1 ok\n"));
    expect![[r#"
        process 2 did acquire x (from 0.802 s to 0.803 s)
        process 1 did acquire x (from 0.804 s to 0.805 s)
        process 2 held x from 0.803 s at the latest and never gave it back, and process 1 held it from 0.805 s at the latest and never gave it back: nobody gave it back in between"#]]
    .assert_eq(&proof);
}

#[test]
fn a_sum_that_nothing_can_have_come_to_is_found_however_many_orders_there_are() {
    // Eight at a time, of different sizes: in what order they took effect does not matter.
    let mut text = String::new();
    for round in 0..60 {
        let numbers = (0..8).map(|client| (1 << client) + round % 3);
        text += &(0..8)
            .zip(numbers)
            .map(|(client, number)| {
                format!(
                    "{client} invoke increment c {}\n",
                    if client == 3 { -number } else { number }
                )
            })
            .collect::<String>();
        text += "9 invoke read c\n";
        text += &(0..8).map(|client| format!("{client} ok\n")).collect::<String>();
        let sum: i32 = (0..=round).map(|round| 255 - 2 * 8 + 6 * (round % 3)).sum();
        text += &format!("9 ok {sum}\n");
    }
    assert!(check(&text).is_valid());
    let open = "0 invoke increment c 5\n1 invoke increment c -7\n0 info timeout\n";
    let sum: i32 = (0..60).map(|round| 255 - 2 * 8 + 6 * (round % 3)).sum();
    for (read, holds) in [(0, true), (5, true), (-7, true), (-2, true), (6, false), (-8, false)] {
        let read = format!("{text}{open}9 invoke read c\n9 ok {}\n", sum + read);
        assert_eq!(check(&read).is_valid(), holds, "{}", &read[text.len()..]);
    }
}

#[test]
fn a_set_without_an_order_is_shown_by_one_element() {
    let mut text = String::new();
    let mut elements = Vec::new();
    for element in 10..50 {
        elements.push(element.to_string());
        text += &format!("0 invoke add s {element}\n0 ok\n0 invoke read s\n");
        text += &format!("0 ok [{}]\n", elements.join(","));
    }
    text += "0 invoke add s 99\n0 ok\n0 invoke read s\n";
    text += &format!("0 ok [{}]\n", elements.join(","));
    let proof = proof(&text);
    assert_eq!(proof.lines().count(), 3, "{proof}");
    assert!(proof.contains("99"), "{proof}");
}

#[test]
fn of_many_adds_at_one_time_a_read_that_lost_one_is_found_without_a_search_of_all() {
    let open: String = (0..60).map(|client| format!("{client} invoke add s {client}\n")).collect();
    let done: String = (0..60).map(|client| format!("{client} ok\n")).collect();
    let half: Vec<String> = (0..60).step_by(2).map(|element: u32| element.to_string()).collect();
    let lost = format!("{open}{done}99 invoke read s\n99 ok [{}]", half.join(","));
    assert_eq!(proof(&lost).lines().count(), 3);
}

#[test]
fn a_key_is_what_its_own_operations_say_though_others_are_appended_to() {
    let appended = "0 invoke append l q\n0 ok\n0 invoke read l\n0 ok q\n";
    for (old, new) in [("2", "1"), ("a", "b")] {
        let stale = format!(
            "0 invoke write z {old}\n0 ok\n0 invoke write z {new}\n0 ok\n\
             1 invoke read z\n1 ok {old}\n"
        );
        let verdict = check(&(stale.clone() + appended));
        assert_eq!(verdict.anomalies(), check(&stale).anomalies());
        assert_eq!(verdict.anomalies()[0].name, "stale-read");
        assert!(
            check(&(stale.replace(&format!("1 ok {old}"), &format!("1 ok {new}")) + appended))
                .is_valid()
        );
    }
    // To texts that are added to, being empty is being absent.
    let empty = "0 invoke read z\n0 ok \"\"\n0 invoke write z a\n0 ok\n";
    assert!(check(&(empty.to_owned() + appended)).is_valid());
    assert!(check(empty).is_invalid());
}

#[test]
fn who_held_a_lock_is_told_from_when_to_when() {
    let text = "
        0 invoke acquire x
        0 ok
        1 invoke acquire x
        1 ok
        1 invoke release x
        0 invoke release x
        0 ok
        1 ok
    ";
    expect![[r#"
        process 0 did acquire x (from 0.000 s to 0.001 s)
        process 1 did acquire x (from 0.002 s to 0.003 s)
        process 1 did release x (from 0.004 s to 0.007 s)
        process 0 did release x (from 0.005 s to 0.006 s)
        process 0 held x from 0.001 s at the latest until it began to give it back at 0.005 s, and process 1 held it from 0.003 s at the latest until it began to give it back at 0.004 s: nobody gave it back in between"#]]
    .assert_eq(&proof(text));
    // Who began to give it back before the other one had it is not said to have held it.
    let text = "
        0 invoke acquire x
        0 ok
        1 invoke acquire x
        0 invoke release x
        1 ok
        0 ok
    ";
    assert!(check(text).is_valid());
}

#[test]
fn who_may_have_given_a_lock_back_is_not_said_to_have_held_it_with_another_one() {
    let text = "
        0 invoke acquire x
        2/1 invoke acquire x
        2 ok 1
        3/1 invoke release x
        0 ok 1
        3 ok
    ";
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(text).lines().last().unwrap());
}

#[test]
fn a_token_that_goes_back_is_told_so() {
    let text = "
        0 invoke acquire x
        0 ok 7
        0 invoke release x
        0 ok
        1 invoke acquire x
        1 ok 7
    ";
    expect![[r#"
        process 0 did acquire x and got 7 (from 0.000 s to 0.001 s)
        process 0 did release x (from 0.002 s to 0.003 s)
        process 1 did acquire x and got 7 (from 0.004 s to 0.005 s)
        process 0 had been given token 7 before process 1 asked for x; it was given 7, and tokens grow"#]]
    .assert_eq(&proof(text));
    assert!(check(&text.replace("1 ok 7", "1 ok 8")).is_valid());
}

/// Increments of 1 by one client after the other, and what each saw after its own.
fn counted(count: usize) -> String {
    (1..=count)
        .map(|sum| format!("0 invoke increment c 1\n0 ok\n1 invoke read c\n1 ok {sum}\n"))
        .collect()
}

#[test]
fn a_sum_is_proved_by_the_read_before_it_and_what_was_added_since() {
    // That it is too much is shown by what was added since somebody looked, and by nothing before.
    let more = counted(300)
        + "2 invoke increment c 5\n0 invoke increment c 2\n0 ok\n3 invoke read c\n3 ok 308\n2 ok\n";
    expect![[r#"
        process 1 read c = 300 (from 1.198 s to 1.199 s)
        process 2 did increment c 5 (from 1.200 s to 1.205 s)
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 308 (from 1.203 s to 1.204 s)
        to the 300 that process 1 read, at most 7 can have been added by the time process 3 had read c, which makes 307 at most; it read 308"#]]
    .assert_eq(&proof(&more));
    assert!(check(&more.replace("ok 308", "ok 307")).is_valid());
    assert!(check(&more.replace("ok 308", "ok 302")).is_valid());
    // Too little is shown by what was added for certain.
    expect![[r#"
        process 1 read c = 300 (from 1.198 s to 1.199 s)
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 301 (from 1.203 s to 1.204 s)
        to the 300 that process 1 read, at least 2 had been added before process 3 began to read c, which makes 302 at least; it read 301"#]]
    .assert_eq(&proof(&more.replace("ok 308", "ok 301")));
    // A counter that forgot everything needs one increment to tell it.
    expect![[r#"
        process 0 did increment c 2 (from 1.201 s to 1.202 s)
        process 3 read c = 0 (from 1.203 s to 1.204 s)
        at least 2 had been added before process 3 began to read c; it read 0"#]]
    .assert_eq(&proof(&more.replace("ok 308", "ok 0")));
}

#[test]
fn what_counts_down_counts_in_the_bounds_of_a_sum() {
    let text = "
        0 invoke increment c 5
        0 ok
        1 invoke increment c -3
        2 invoke increment c -1
        2 ok
        3 invoke read c
        3 ok SUM
        1 ok
    ";
    for (sum, holds) in [(0, false), (1, true), (4, true), (5, false), (2, false)] {
        let of_sum = text.replace("SUM", &sum.to_string());
        assert_eq!(check(&of_sum).is_valid(), holds, "{sum}");
    }
    expect![[r#"
        process 0 did increment c 5 (from 0.000 s to 0.001 s)
        process 1 did increment c -3 (from 0.002 s to 0.007 s)
        process 2 did increment c -1 (from 0.003 s to 0.004 s)
        process 3 read c = 0 (from 0.005 s to 0.006 s)
        at least 1 had been added before process 3 began to read c; it read 0"#]]
    .assert_eq(&proof(&text.replace("SUM", "0")));
    // What certainly counts down is known to be gone.
    expect!["at most 4 can have been added by the time process 3 had read c; it read 5"]
        .assert_eq(proof(&text.replace("SUM", "5")).lines().last().unwrap());
    // That nothing comes to 2, though it is between them, bounds do not say.
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(&text.replace("SUM", "2")).lines().last().unwrap());
    let more = text.replace("increment c -3", "increment c 3").replace("SUM", "5");
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(&more).lines().last().unwrap());
    let begun =
        |initial: i64| history(&text.replace("SUM", "9")).that_begins_as(&Value::Int(initial));
    let verdict = Linearizable::new(Limits::default()).check(&begun(4));
    expect!["to the 4 of the beginning, at most 4 can have been added by the time process 3 had read c, which makes 8 at most; it read 9"]
        .assert_eq(verdict.anomalies()[0].explanation.last().unwrap());
    assert!(Linearizable::new(Limits::default()).check(&begun(5)).is_valid());
}

#[test]
fn a_sum_at_its_bound_is_not_said_to_be_beyond_it() {
    // Both count by the second read, and neither can be taken back.
    for sign in [1, -1] {
        let lines = proof(&format!(
            "0 invoke increment c {up}\n1 invoke increment c {down}\n\
             2 invoke read c\n2 ok {down}\n2 invoke read c\n2 ok 0\n2 invoke read c\n2 ok {down}\n\
             0 ok\n1 ok\n",
            up = 3 * sign,
            down = -3 * sign,
        ));
        expect!["no order of these operations that keeps to their times explains every answer"]
            .assert_eq(lines.lines().last().unwrap());
    }
}

#[test]
fn a_proof_begins_with_what_was_read_before_only_where_that_makes_it_smaller() {
    // Nothing that may count between the reads comes to so much.
    let read = |before: &str, sum: u32, after: u32| {
        let lines = proof(&format!(
            "0 invoke read c\n0 ok 0\n{before}\
             1 invoke increment c 3\n2 invoke increment c 5\n3 invoke increment c 9\n\
             4 invoke read c\n4 ok {sum}\n1 ok\n2 ok\n3 ok\n\
             5 invoke read c\n5 ok {after}\n"
        ));
        let shown = lines.lines().filter_map(|line| line.split_once(" (from "));
        shown.map(|(did, _)| format!("{did}\n")).collect::<String>()
    };
    let open =
        "process 1 did increment c 3\nprocess 2 did increment c 5\nprocess 3 did increment c 9\n";
    assert_eq!(read("", 4, 17), format!("{open}process 4 read c = 4\n"));
    let before = "0 invoke increment c 7\n0 ok\n0 invoke increment c 1\n0 ok\n";
    let sum = "0 invoke read c\n0 ok 8\n";
    assert_eq!(
        read(&format!("{before}{sum}"), 12, 25),
        format!("process 0 read c = 8\n{open}process 4 read c = 12\n")
    );
    // What was open when it was read may be in it, or not.
    let around = format!("{before}5 invoke increment c 2\n{sum}5 ok\n");
    assert_eq!(
        read(&around, 12, 27),
        format!("process 5 did increment c 2\nprocess 0 read c = 8\n{open}process 4 read c = 12\n")
    );
}

#[test]
fn a_read_after_thousands_of_sums_without_an_answer_is_bounded() {
    // All of them may have taken effect when anybody looks, or not; no search tries which.
    let mut text = String::new();
    for client in 0..2_000 {
        text += &format!("{client} invoke increment c {}\n{client} info timeout\n", 2 + client % 7);
    }
    let most: i64 = (0..2_000).map(|client| 2 + client % 7).sum();
    let text = |sum: i64| text.clone() + &format!("9999 invoke read c\n9999 ok {sum}\n");
    assert!(check(&text(most + 1)).is_invalid());
    assert!(check(&text(-1)).is_invalid());
    assert!(!check(&text(most)).is_invalid());
}

#[test]
fn a_text_is_proved_wrong_by_the_read_before_it_and_what_was_appended_since() {
    let mut text = String::new();
    let mut shown = String::new();
    for number in 0..200 {
        shown += &format!("<{number}>");
        text += &format!("0 invoke append x <{number}>\n0 ok\n1 invoke read x\n1 ok {shown}\n");
    }
    let older = shown.replace("<199>", "");
    let stale = text.clone() + &format!("2 invoke read x\n2 ok {older}\n");
    let lines = proof(&stale);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.ends_with("process 0 had appended \"<199>\" before process 2 began to read, which does not show it")
            || lines.ends_with(
                "process 2 read a text that does not begin with what process 1 had read before: it ends earlier"
            ),
        "{lines}"
    );
    let lost = text.clone()
        + &format!(
            "0 invoke append x <a>\n0 ok\n0 invoke append x <b>\n0 ok\n2 invoke read x\n2 ok {shown}<b>\n"
        );
    let lines = proof(&lost);
    expect![
        "process 0 had appended \"<a>\" before process 2 began to read, which does not show it"
    ]
    .assert_eq(lines.lines().last().unwrap());
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let torn = text + &format!("2 invoke read x\n2 ok {}\n", shown.replace("<198>", "<x>"));
    let lines = proof(&torn);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("they differ from character"), "{lines}");
}

#[test]
fn a_text_in_whose_place_another_one_was_put_is_proved_wrong_by_the_read_before_it() {
    let mut text = "0 invoke write x <a>\n0 ok\n".to_owned();
    let mut shown = "<a>".to_owned();
    for number in 0..20 {
        shown += &format!("<{number}>");
        text += &format!("0 invoke append x <{number}>\n0 ok\n1 invoke read x\n1 ok {shown}\n");
    }
    let stale = text + "2 invoke read x\n2 ok " + &shown.replace("<19>", "") + "\n";
    let lines = proof(&stale);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.ends_with(
            "process 2 read a text that does not begin with what process 1 had read before, nor does it \
             show what was put in its place: it ends earlier"
        ),
        "{lines}"
    );
}

#[test]
fn a_text_that_ends_earlier_than_one_before_is_told_so_and_one_that_is_the_same_is_not() {
    // What was put there hides which of them begins the other.
    let earlier = "
        0 invoke append x a
        1 invoke read x
        1 ok a
        2 invoke read x
        0 ok
        2 ok nil
        3 invoke write x b
        3 ok
    ";
    expect!["neither of the texts that processes 1 and 2 read can come of the other one, nor does it show what was put in its place: it ends earlier"]
        .assert_eq(proof(earlier).lines().last().unwrap());
    let same = "
        0 invoke append x c
        0 info timeout
        1 invoke read x
        1 ok c
        2 invoke append x c
        2 ok
        3 invoke write x ab
        4 invoke read x
        4 ok c
        3 ok
    ";
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(same).lines().last().unwrap());
}

#[test]
fn only_what_was_appended_before_is_said_to_be_shown_behind_what_came_later() {
    // The "a" is where the "ab" is, and not behind it; the "b" reaches into it.
    let text = "
        0 invoke append x a
        1 invoke append x b
        1 ok
        0 ok
        2 invoke append x ab
        2 ok
        3 invoke read x
        3 ok ab
    ";
    expect![[r#"process 1 had appended "b" before process 2 began to append "ab", and process 3 read "ab" beginning in front of it"#]]
        .assert_eq(proof(text).lines().last().unwrap());
    let said = |one: &str, other: &str, shown: &str| {
        let read = format!("1 invoke read x\n1 ok {shown}\n");
        let appends = format!("0 invoke append x {one}\n0 ok\n0 invoke append x {other}\n0 ok\n");
        proof(&(appends + &read)).lines().last().unwrap().to_owned()
    };
    // Where one of the two is shown more than once, all that is shown of it has to be on the wrong side.
    let no_order = "no order of these operations that keeps to their times explains every answer";
    assert_eq!(said("a", "b", "aba"), no_order);
    assert_eq!(said("a", "b", "bab"), no_order);
    let wrong = |after: &str| {
        format!(
            "process 0 had appended \"bc\" before process 0 began to append {after} in front of it"
        )
    };
    let reaches = wrong("\"ab\", and process 1 read \"ab\" beginning");
    assert_eq!(said("bc", "ab", "ababc"), reaches);
    assert_eq!(said("bc", "ab", "abcbc"), reaches);
    assert_eq!(said("bc", "ab", "ababbc"), wrong("\"ab\", and process 1 read \"ab\""));
}

#[test]
fn what_is_appended_while_it_is_read_cannot_be_in_front_of_what_was_there_before() {
    let read = "0 invoke append x a\n0 ok\n2 invoke read x\n0 invoke append x b\n2 ok ba\n";
    for end in ["0 ok", "0 info timeout"] {
        let lines = proof(&format!("{read}{end}"));
        expect![[r#"process 0 had appended "a" before process 0 began to append "b", and process 2 read "b" in front of it"#]]
            .assert_eq(lines.lines().last().unwrap());
    }
}

#[test]
fn a_piece_of_a_long_text_that_is_missing_or_out_of_place_is_proved_by_itself() {
    const COUNT: usize = 200;
    let piece = |number: usize| format!("<{number}>");
    let appends: String =
        (0..COUNT).map(|number| format!("0 invoke append x {}\n0 ok\n", piece(number))).collect();
    let read = |shown: Vec<usize>| {
        let shown: String = shown.into_iter().map(piece).collect();
        format!("{appends}1 invoke read x\n1 ok {shown}\n")
    };
    let all = || (0..COUNT).collect::<Vec<usize>>();
    assert!(check(&read(all())).is_valid());
    let mut shown = all();
    shown.remove(77);
    let lines = proof(&read(shown));
    assert_eq!(lines.lines().count(), 3, "{lines}");
    expect![
        "process 0 had appended \"<77>\" before process 1 began to read, which does not show it"
    ]
    .assert_eq(lines.lines().last().unwrap());
    let mut shown = all();
    shown.swap(50, 51);
    let lines = proof(&read(shown));
    assert_eq!(lines.lines().count(), 4, "{lines}");
    expect![[r#"process 0 had appended "<50>" before process 0 began to append "<51>", and process 1 read "<51>" in front of it"#]]
        .assert_eq(lines.lines().last().unwrap());
    // A piece that is there twice may be at either place.
    let twice = "0 invoke append x a\n0 ok\n0 invoke append x b\n0 ok\n0 invoke append x a\n0 ok\n";
    assert!(check(&format!("{twice}1 invoke read x\n1 ok aba\n")).is_valid());
    // So may one that others come to together.
    let together =
        "0 invoke append x ab\n1 invoke append x a\n1 ok\n1 invoke append x b\n1 ok\n0 ok\n";
    assert!(check(&format!("{together}1 invoke read x\n1 ok abab\n")).is_valid());
}

#[test]
fn a_text_that_goes_back_needs_no_search_however_much_is_open() {
    // Any of them may have taken effect by now, in any order.
    let open: String =
        (0..40).map(|client| format!("{client} invoke append x <{client}>\n")).collect();
    let reads = "90 invoke read x\n90 ok <7><3>\n91 invoke read x\n91 ok <3><7>\n";
    let limits = Limits { states_max: 0, ..Limits::default() };
    let verdict = Linearizable::new(limits).check(&history(&(open.clone() + reads)));
    let [anomaly] = verdict.anomalies() else { panic!("{verdict:?}") };
    expect![[r#"
        process 90 read x = "<7><3>" (from 0.040 s to 0.041 s)
        process 91 read x = "<3><7>" (from 0.042 s to 0.043 s)
        process 91 read a text that does not begin with what process 90 had read before: they differ from character 2 on"#]]
    .assert_eq(&anomaly.explanation.join("\n"));
    // Each of two that read at the same time may be the later one, and what is put there may be anything.
    let longer = reads.replace("<3><7>", "<7><3><4>");
    assert!(check(&(open.clone() + &longer)).is_valid());
    let same_time = "90 invoke read x\n91 invoke read x\n90 ok <7><3>\n91 ok <7>\n";
    assert!(check(&(open.clone() + same_time)).is_valid());
    let put = "50 invoke write x <3><7>\n".to_owned() + &open + reads;
    assert!(check(&put).is_valid());
    let judge = |text: &str| {
        let verdict =
            Linearizable::new(Limits::default()).check(&history(text).that_begins_as(&word("a")));
        verdict.anomalies()[0].explanation.last().unwrap().clone()
    };
    assert_eq!(
        judge("0 invoke append x b\n0 ok\n0 invoke read x\n0 ok b"),
        "process 0 read a text that does not begin with what was there in the beginning: they differ \
         from character 1 on"
    );
}

#[test]
fn a_piece_that_is_missing_or_out_of_place_needs_no_search_though_others_are_like_it() {
    // Any of them may have taken effect by now, in any order.
    let open: String =
        (0..40).map(|client| format!("{client} invoke append x <{client}>\n")).collect();
    let conclusion = |text: &str| {
        let limits = Limits { states_max: 8, ..Limits::default() };
        let verdict = Linearizable::new(limits).check(&history(&(open.clone() + text)));
        let [anomaly] = verdict.anomalies() else { panic!("{verdict:?}") };
        anomaly.explanation.join("\n")
    };
    // What was read before the second <b> was appended shows the first one.
    let missing = "90 invoke append x <a>\n90 ok\n91 invoke read x\n91 ok <a>\n\
                   90 invoke append x <b>\n90 ok\n91 invoke read x\n91 ok <a><b>\n\
                   90 invoke append x <b>\n90 ok\n91 invoke read x\n91 ok <a><b><7>\n";
    expect![[r#"
        process 91 read x = "<a><b>" (from 0.046 s to 0.047 s)
        process 90 did append x "<b>" (from 0.048 s to 0.049 s)
        process 91 read x = "<a><b><7>" (from 0.050 s to 0.051 s)
        process 90 had appended "<b>" before process 91 began to read, which does not show it after what process 91 had read"#]].assert_eq(&conclusion(missing));
    // One <a> may be the other one, and is not where it was told from; <p> is.
    let swapped = "90 invoke append x <p>\n90 ok\n90 invoke append x <a>\n90 ok\n\
                   50 invoke append x <a>\n\
                   90 invoke append x <l>\n90 ok\n91 invoke read x\n91 ok <l><p><a><a>\n";
    expect![[r#"
        process 90 did append x "<p>" (from 0.040 s to 0.041 s)
        process 90 did append x "<l>" (from 0.045 s to 0.046 s)
        process 91 read x = "<l><p><a><a>" (from 0.047 s to 0.048 s)
        process 90 had appended "<p>" before process 90 began to append "<l>", and process 91 read "<l>" in front of it"#]].assert_eq(&conclusion(swapped));
}

/// Adds that are all open at the same time, and reads at that time of what is shown.
fn all_open(adds: usize, reads: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for client in 0..adds {
        text += &format!("{client} invoke add s {client}\n");
    }
    for read in 0..reads.len() {
        text += &format!("{} invoke read s\n", adds + read);
    }
    for (read, shown) in reads.iter().enumerate() {
        let shown: Vec<String> = shown.iter().map(usize::to_string).collect();
        text += &format!("{} ok [{}]\n", adds + read, shown.join(","));
    }
    text + &(0..adds).map(|client| format!("{client} ok\n")).collect::<String>()
}

#[test]
fn reads_of_a_set_that_make_no_chain_need_no_search() {
    // In which of very many orders sixty elements were added, the reads have to agree.
    let mut reads: Vec<Vec<usize>> = (0..30).map(|size| (0..2 * size).collect()).collect();
    let limits = Limits { states_max: 0, ..Limits::default() };
    let judge =
        |reads: &[Vec<usize>]| Linearizable::new(limits).check(&history(&all_open(60, reads)));
    assert!(judge(&reads).is_valid());
    reads[10].retain(|element| *element != 7);
    let verdict = judge(&reads);
    assert!(verdict.is_invalid());
    let proof = &verdict.anomalies()[0];
    assert!(proof.witness.operations.len() <= 4, "{proof:#?}");
    // What somebody adds again need not have been there the first time.
    let twice = all_open(2, &[vec![0], vec![0, 1]]) + "9 invoke add s 0\n9 ok\n";
    assert!(check(&twice).is_valid());
}

#[test]
fn an_element_that_was_added_before_another_one_is_shown_with_it() {
    let text = "
        0 invoke add s 1
        9 invoke read s
        0 ok
        1 invoke add s 2
        9 ok [2]
        1 ok
    ";
    expect![[r#"
        process 0 did add s 1 (from 0.000 s to 0.002 s)
        process 9 read s = [2] (from 0.001 s to 0.004 s)
        process 1 did add s 2 (from 0.003 s to 0.005 s)
        process 0 had added 1 before process 1 began to add 2, and nobody removed it before process 9 had read; who reads 2 reads 1 as well"#]]
    .assert_eq(&proof(text));
    assert!(check(&text.replace("ok [2]", "ok [1,2]")).is_valid());
    assert!(check(&text.replace("ok [2]", "ok []")).is_valid());
}

#[test]
fn what_is_shown_of_elements_is_told_in_words() {
    let last = |text: &str| proof(text).lines().last().unwrap().to_owned();
    assert_eq!(
        last("0 invoke add s 1\n0 ok\n1 invoke read s\n1 ok [1,1]"),
        "process 1 was shown 1 twice"
    );
    assert_eq!(
        last("1 invoke read s\n1 ok [1]\n0 invoke add s 1\n0 ok"),
        "process 1 was shown 1, which nobody had begun to add by then"
    );
    assert_eq!(
        last("0 invoke add s 1\n0 fail refused\n1 invoke read s\n1 ok [1]"),
        "process 1 was shown 1, which nobody had begun to add by then, but for process 0, which failed"
    );
    assert_eq!(
        last("0 invoke add s 1\n1 invoke read s\n1 ok [1]\n2 invoke read s\n2 ok []\n0 ok"),
        "process 1 had read 1 before process 2 began to read, and nobody removed it before that \
         read ended, which does not show it"
    );
}

#[test]
fn who_is_named_for_an_element_that_nobody_added_tried_to_add_just_that_to_the_set_before() {
    let failed = |process: u32, key: &str, element: u32| {
        format!("{process} invoke add {key} {element}\n{process} fail refused\n")
    };
    let shown = |before: &str| {
        let after = failed(4, "s", 1);
        proof(&format!("0 invoke add s 7\n0 ok\n{before}1 invoke read s\n1 ok [1,7]\n{after}"))
    };
    let others = failed(2, "t", 1) + &failed(3, "s", 2);
    expect![[r#"
        process 1 read s = [1 7] (from 0.006 s to 0.007 s)
        process 1 was shown 1, which nobody had begun to add by then"#]]
    .assert_eq(&shown(&others));
    expect![[r#"
        process 5 tried to add s 1 and was told refused (from 0.006 s to 0.007 s)
        process 1 read s = [1 7] (from 0.008 s to 0.009 s)
        process 1 was shown 1, which nobody had begun to add by then, but for process 5, which failed"#]]
    .assert_eq(&shown(&(others + &failed(5, "s", 1))));
}

#[test]
fn of_two_elements_that_two_reads_show_apart_one_was_there_first() {
    let text = "
        0 invoke add s 1
        1 invoke add s 2
        2 invoke read s
        3 invoke read s
        2 ok [1]
        3 ok [2]
        0 ok
        1 ok
    ";
    expect!["process 2 read 1 without 2, and process 3 read 2 without 1: one of the two was there first, and nobody removed it before both had read"]
        .assert_eq(proof(text).lines().last().unwrap());
}

#[test]
fn a_read_that_does_not_show_an_element_could_have_shown_it() {
    let text = "0 invoke add s 1\n0 ok\n1 invoke read s\n1 ok []";
    let with_it = Contrast::new(OperationId(1), Legal::With(Value::Int(1))).due_to(OperationId(0));
    assert_eq!(check(text).anomalies()[0].contrast, Some(with_it));
}

#[test]
fn where_an_element_was_removed_nobody_is_said_not_to_have_removed_it() {
    let text = "
        0 invoke add s 1
        0 ok
        0 invoke remove s 1
        0 ok
        0 invoke add s 1
        0 ok
        1 invoke read s
        1 ok []
    ";
    expect!["no order of these operations that keeps to their times explains every answer"]
        .assert_eq(proof(text).lines().last().unwrap());
}

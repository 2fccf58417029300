//! Long forks.

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{Checker, LongFork};
use stormglass_checkers::history::{OperationId, Value};
use stormglass_checkers::{Contrast, Legal};

use super::{Recorder, Step, check, history, reason, sentences, step};

const WRITTEN: &str = "
    0 invoke txn db [[w,x,1]]
    1 invoke txn db [[w,y,1]]
    0 ok [[w,x,1]]
    1 ok [[w,y,1]]
";

fn reads(answers: &[&str]) -> String {
    let one = |(index, answer): (usize, &&str)| {
        let process = index + 2;
        let asked = if answer.starts_with("[[r,x") {
            "[[r,x,nil],[r,y,nil]]"
        } else {
            "[[r,y,nil],[r,x,nil]]"
        };
        format!("{process} invoke txn db {asked}\n{process} ok {answer}\n")
    };
    WRITTEN.to_owned() + &answers.iter().enumerate().map(one).collect::<String>()
}

#[test]
fn two_readers_that_disagree_on_which_write_came_first_prove_a_fork() {
    let text = reads(&["[[r,x,1],[r,y,nil]]", "[[r,y,1],[r,x,nil]]"]);
    check(&LongFork, &text, "long-fork");
    expect![[r#"
        process 0 did w x 1 (from 0.000 s to 0.002 s)
        process 1 did w y 1 (from 0.001 s to 0.003 s)
        process 2 did r x 1, r y nil (from 0.004 s to 0.005 s)
        process 3 did r y 1, r x nil (from 0.006 s to 0.007 s)
        process 2 saw the write of x but not that of y, process 3 saw that of y but not that of x: each saw one of them come first"#]]
    .assert_eq(&sentences(&LongFork, &text));
    // A write without an answer may be seen, or not.
    check(&LongFork, &text.replace("1 ok [[w,y,1]]", "1 info timeout"), "long-fork");
}

#[test]
fn of_two_readers_that_disagree_the_one_that_ended_last_could_have_seen_both() {
    let [x, y] = ["x", "y"].map(|key| Value::Text(key.into()));
    let contrast = |first: &str, last: &str| {
        let asked =
            "2 invoke txn db [[r,x,nil],[r,y,nil]]\n3 invoke txn db [[r,x,nil],[r,y,nil]]\n";
        let verdict = LongFork.check(&history(&format!("{WRITTEN}{asked}{first}\n{last}")));
        verdict.anomalies()[0].contrast.clone().unwrap()
    };
    let (saw_x, saw_y) = ("2 ok [[r,x,1],[r,y,nil]]", "3 ok [[r,x,nil],[r,y,1]]");
    let wrong = |process: u32, due: u32, saw: &Value, lacks: &Value| {
        Contrast::new(OperationId(process), Legal::Both(saw.clone(), lacks.clone()))
            .due_to(OperationId(due))
            .observed(saw.clone())
    };
    assert_eq!(contrast(saw_x, saw_y), wrong(3, 2, &y, &x));
    assert_eq!(contrast(saw_y, saw_x), wrong(2, 3, &x, &y));
}

#[test]
fn readers_that_see_more_and_more_agree() {
    let text = reads(&[
        "[[r,x,nil],[r,y,nil]]",
        "[[r,x,1],[r,y,nil]]",
        "[[r,y,1],[r,x,1]]",
        "[[r,x,1],[r,y,nil]]",
    ]);
    check(&LongFork, &text, "valid");
}

#[test]
fn what_nobody_wrote_or_what_failed_is_never_read() {
    check(&LongFork, &reads(&["[[r,x,7],[r,y,nil]]"]), "garbage-read");
    let failed = "9 invoke txn db [[w,x,7]]\n9 fail refused\n";
    check(&LongFork, &(failed.to_owned() + &reads(&["[[r,x,7],[r,y,nil]]"])), "G1a");
    check(&LongFork, &reads(&["[[r,x,1],[r,z,1]]"]), "malformed-answer");
}

/// Two reads of a key besides, which make a fork of the other two.
fn forked_beside(besides: &str) -> String {
    let read = |process: u32, saw: &str| {
        format!(
            "{process} invoke txn db [[r,x,nil],[r,y,nil],[r,z,nil]]\n{process} ok [{saw},[r,z,{besides}]]\n"
        )
    };
    WRITTEN.to_owned() + &read(2, "[r,x,1],[r,y,nil]") + &read(3, "[r,x,nil],[r,y,1]")
}

#[test]
fn a_key_that_nobody_wrote_hides_no_fork_of_the_others() {
    let text = forked_beside("nil");
    check(&LongFork, &text, "long-fork");
    let failed = "9 invoke txn db [[w,z,1]]\n9 fail unavailable\n";
    check(&LongFork, &(failed.to_owned() + &text), "long-fork");
    let open = "9 invoke txn db [[w,z,1]]\n9 info timeout\n";
    check(&LongFork, &(open.to_owned() + &text), "long-fork");
    assert!(sentences(&LongFork, &text).ends_with(
        "process 2 saw the write of x but not that of y, process 3 saw that of y but not that of x: \
         each saw one of them come first"
    ));
}

#[test]
fn what_is_counted_is_left_out_of_a_read_and_the_verdict_says_so() {
    let counted = "9 invoke txn db [[inc,z,1]]\n9 ok [[inc,z,1]]\n";
    let text = counted.to_owned() + &forked_beside("1");
    check(&LongFork, &text, "long-fork");
    let verdict = LongFork.check(&history(&text));
    assert_eq!(
        verdict.coverage().method,
        "chains of reads; 1 key that is not known to be a register is left out"
    );
}

#[test]
fn what_nobody_wrote_may_be_a_list_or_a_counter_and_is_no_garbage_then() {
    let read = |saw: &str| {
        let asked = "5 invoke txn db [[r,x,nil],[r,y,nil],[r,z,nil]]\n";
        format!("{WRITTEN}{asked}5 ok [[r,x,1],[r,y,1],[r,z,{saw}]]\n")
    };
    check(&LongFork, &read("7"), "garbage-read");
    for empty in ["0", "[]"] {
        check(&LongFork, &read(empty), "unknown");
    }
    let bank = "6 invoke txn db [[inc,b,1]]\n6 ok [[inc,b,1]]\n";
    check(&LongFork, &(read("7") + bank), "unknown");
    // A fork is one all the same.
    check(&LongFork, &forked_beside("0"), "long-fork");
}

#[test]
fn a_key_of_which_every_write_failed_is_never_read() {
    let failed = "9 invoke txn db [[w,z,7]]\n9 fail refused\n";
    let read = "5 invoke txn db [[r,x,nil],[r,z,nil]]\n5 ok [[r,x,1],[r,z,7]]\n";
    check(&LongFork, &(WRITTEN.to_owned() + failed + read), "G1a");
    expect![[r#"
        process 9 did w z 7 (from 0.004 s to 0.005 s, and failed)
        process 5 did r x 1, r z 7 (from 0.006 s to 0.007 s)
        the write of 7 to z by process 9 failed"#]]
    .assert_eq(&sentences(&LongFork, &(WRITTEN.to_owned() + failed + read)));
    check(&LongFork, &(WRITTEN.to_owned() + read), "garbage-read");
}

#[test]
fn a_key_that_is_written_twice_leaves_it_open() {
    let again = reads(&["[[r,x,1],[r,y,nil]]", "[[r,y,1],[r,x,nil]]"])
        + "9 invoke txn db [[w,x,2]]\n9 info timeout";
    assert_eq!(reason(&LongFork, &again), "x is written more than once");
    // A write that failed was none.
    check(&LongFork, &again.replace("9 info timeout", "9 fail refused"), "long-fork");
    let nil = "9 invoke txn db [[w,z,nil]]\n9 info timeout";
    assert_eq!(reason(&LongFork, nil), "z is written nil, as if it were not");
}

#[test]
fn without_two_reads_that_saw_something_nothing_shows() {
    check(&LongFork, "", "unknown");
    check(&LongFork, WRITTEN, "unknown");
    check(&LongFork, &reads(&["[[r,x,1],[r,y,1]]"]), "unknown");
    check(&LongFork, &reads(&["[[r,x,nil],[r,y,nil]]", "[[r,x,nil],[r,y,nil]]"]), "unknown");
}

#[test]
fn only_answered_reads_of_several_keys_that_are_written_once_are_compared() {
    let one = reads(&["[[r,x,1],[r,y,1]]"]);
    let unanswered = "8 invoke txn db [[r,x,nil],[r,y,nil]]\n8 info timeout\n";
    check(&LongFork, &(one + unanswered), "unknown");
    let of_one_key = |process: u32, saw: &str| {
        format!("{process} invoke txn db [[r,x,nil]]\n{process} ok [[r,x,{saw}]]\n")
    };
    let alone = WRITTEN.to_owned() + &of_one_key(2, "nil") + &of_one_key(3, "1");
    check(&LongFork, &alone, "unknown");
    let counted = "5 invoke txn db [[inc,z,1]]\n5 ok [[inc,z,1]]\n";
    let with_it = |process: u32| {
        format!("{process} invoke txn db [[r,x,nil],[r,z,nil]]\n{process} ok [[r,x,1],[r,z,1]]\n")
    };
    let counter = WRITTEN.to_owned() + counted + &with_it(2) + &with_it(3);
    check(&LongFork, &counter, "unknown");
}

#[test]
fn a_fork_names_the_keys_in_which_two_reads_of_many_differ() {
    let mut text = String::new();
    let keys = 10..80;
    for key in keys.clone() {
        text += &format!("0 invoke txn db [[w,k{key},1]]\n0 ok [[w,k{key},1]]\n");
    }
    for (process, misses) in [(2, 76), (3, 79)] {
        let steps = |saw: &dyn Fn(u32) -> &'static str| {
            let steps = keys.clone().map(|key| format!("[r,k{key},{}]", saw(key)));
            steps.collect::<Vec<_>>().join(",")
        };
        let saw = |key| if key == misses { "nil" } else { "1" };
        let (asked, answered) = (steps(&|_| "nil"), steps(&saw));
        text += &format!("{process} invoke txn db [{asked}]\n{process} ok [{answered}]\n");
    }
    check(&LongFork, &text, "long-fork");
    let told = sentences(&LongFork, &text);
    assert!(
        told.ends_with(
            "process 2 saw the write of k79 but not that of k76, process 3 saw that of k76 but not \
             that of k79: each saw one of them come first"
        ),
        "{told}"
    );
}

#[test]
fn a_verdict_counts_the_reads_that_were_compared_and_their_keys() {
    let coverage = |answers: &[&str]| {
        let verdict = LongFork.check(&history(&reads(answers)));
        (verdict.coverage().operations, verdict.coverage().keys)
    };
    assert_eq!(coverage(&["[[r,x,nil],[r,y,nil]]", "[[r,x,1],[r,y,1]]"]), (2, 2));
    assert_eq!(coverage(&["[[r,x,1],[r,y,1]]"]), (0, 0));
}

#[test]
fn forks_are_found_where_a_comparison_of_all_pairs_finds_them() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (mut forked, mut agreed) = (0, 0);
    for _ in 0..3_000 {
        let keys = random.random_range(2..5);
        let mut recorder = Recorder::new();
        // One more key is read in half of the histories, and written by nobody, or in vain.
        let all = keys + random.random_range(0..2);
        for key in 0..all {
            let write = [step("w", key, Value::Int(1))];
            if key < keys {
                recorder.invoke(key as u32, &write);
                recorder.ok(key as u32, &write);
            } else if random.random_bool(0.5) {
                recorder.invoke(key as u32, &write);
                recorder.fail(key as u32);
            }
        }
        let mut seen: Vec<Vec<bool>> = Vec::new();
        for process in 10..10 + random.random_range(2..6) {
            let order = random.random_range(0..=keys);
            let mut saw: Vec<bool> = (0..keys).map(|key| key < order).collect();
            if random.random_bool(0.3) {
                let key = random.random_range(0..keys);
                saw[key] = !saw[key];
            }
            let is_seen = |key: usize| saw.get(key).copied().unwrap_or_default();
            let value = |key: usize| if is_seen(key) { Value::Int(1) } else { Value::Nil };
            let read: Vec<Step> = (0..all).map(|key| step("r", key, value(key))).collect();
            recorder.invoke(process, &read);
            recorder.ok(process, &read);
            seen.push(saw);
        }
        let within =
            |one: &[bool], other: &[bool]| one.iter().zip(other).all(|(one, other)| !one || *other);
        let fork = seen
            .iter()
            .any(|one| seen.iter().any(|other| !within(one, other) && !within(other, one)));
        let verdict = LongFork.check(&recorder.finish());
        assert_eq!(verdict.is_invalid(), fork, "{seen:?}: {verdict:#?}");
        forked += u32::from(fork);
        agreed += u32::from(verdict.is_valid());
    }
    assert!(forked > 500 && agreed > 1_000, "{forked} forked, {agreed} agreed");
}

#[test]
fn what_a_key_that_was_never_written_shows_is_garbage() {
    let read = |y: &str| format!("[[r,x,1],[r,y,{y}]]");
    let asked = "2 invoke txn db [[r,x,nil],[r,y,nil]]\n2 ok ";
    let written = "0 invoke txn db [[w,x,1]]\n0 ok [[w,x,1]]\n";
    check(&LongFork, &format!("{written}{asked}{}", read("9")), "garbage-read");
    let failed = format!("{written}1 invoke txn db [[w,y,9]]\n1 fail unavailable\n");
    check(&LongFork, &format!("{failed}{asked}{}", read("9")), "G1a");
    let twice = format!("{failed}{asked}{}\n", read("nil")).repeat(1) + &asked.replace('2', "3");
    check(&LongFork, &(twice + &read("nil")), "valid");
}

#[test]
fn lists_that_nobody_wrote_are_no_group() {
    let text = "0 invoke txn db [[append,x,1]]\n0 ok [[append,x,1]]\n\
                1 invoke txn db [[r,y,nil],[r,z,nil]]\n1 ok [[r,y,[]],[r,z,[]]]\n";
    assert_eq!(
        reason(&LongFork, text),
        "no two transactions read the same keys, written once, and saw a write"
    );
}

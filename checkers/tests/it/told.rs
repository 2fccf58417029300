//! How the violation of a register is told, word for word: what is said has to be true of the whole history, and to say
//! as much as can be said.

use expect_test::expect;

use crate::linearizable::check_explained;

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
            2 is the older one: it was there only once, and process 2 replaced it
            process 3 saw x = 2 after 0.006 s, but x = 3 had been acknowledged to process 2 at 0.004 s, before that, and 2 is the older one
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
            1 is the older one: it was there only once, and process 2 had seen it by 0.003 s, before process 3 began its write of 2 at 0.004 s
            process 4 saw x = 1 after 0.006 s, but x = 2 had been acknowledged to process 3 at 0.005 s, before that, and 1 is the older one
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
            all 2 operations that may have made x hold 1 were over by 0.003 s; of these, the one that was over last is shown
            process 2 saw x = 1 after 0.007 s, but process 2 had seen x = 2, a newer value, by 0.006 s, before that, and nothing made it 1 after it
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
            all 2 operations that may have made x hold 1 were over by 0.003 s; of these, the one that was over last is shown
            process 3 saw x = 1 after 0.008 s, but x = 2 had been acknowledged to process 1 at 0.007 s, before that, and nothing made it 1 after it
        "#]],
    );
}

#[test]
fn the_write_that_makes_a_value_the_newer_one_is_shown() {
    // That process 0 wrote 1 before it wrote 2 would prove the contrary.
    let text = "
        0 invoke write x 1
        0 ok
        0 invoke write x 2
        0 ok
        0 invoke write x 1
        0 ok
        1 invoke read x
        1 ok 1
        1 invoke read x
        1 ok 2
        ";
    check_explained(
        text,
        &expect![[r#"
            stale-read at 0.009 s on x
            operations [1, 2, 4], faults []
            process 0 wrote x = 2 (from 0.002 s to 0.003 s)
            process 0 wrote x = 1 (from 0.004 s to 0.005 s)
            process 1 read x = 2 (from 0.008 s to 0.009 s)
            process 1 saw x = 2 after 0.008 s, but x = 1 had been acknowledged to process 0 at 0.005 s, before that, and nothing made it 2 after it
        "#]],
    );
    // Without an answer, the second write of 1 proves nothing by itself; who saw it does.
    let (before, after) = text.split_at(text.rfind("0 ok").unwrap());
    let unanswered = format!("{before}0 info timeout{}", &after["0 ok".len()..]);
    check_explained(
        &unanswered,
        &expect![[r#"
        stale-read at 0.009 s on x
        operations [1, 2, 3, 4], faults []
        process 0 wrote x = 2 (from 0.002 s to 0.003 s)
        process 0 wrote x = 1 (from 0.004 s with no answer, so it may take effect at any time after that)
        process 1 read x = 1 (from 0.006 s to 0.007 s)
        process 1 read x = 2 (from 0.008 s to 0.009 s)
        process 1 saw x = 2 after 0.008 s, but process 1 had seen x = 1, a newer value, by 0.007 s, before that, and nothing made it 2 after it
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
            1 is the older one: process 2 was over with its read of it at 0.003 s, before process 2 began its read of 2 at 0.004 s; each was there only once
            process 2 saw x = 1 after 0.006 s, but process 2 had seen x = 2, a newer value, by 0.005 s, before that, and 1 is the older one
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
            1 is the older one: process 2 was over with its read of it at 0.002 s, before process 1 began its write of 2 at 0.003 s; each was there only once
            process 2 saw x = 1 after 0.006 s, but process 2 had seen x = 2, a newer value, by 0.005 s, before that, and 1 is the older one
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
            2 is the older one: process 1 was over with its write of it at 0.002 s, before process 2 began its read of 1 at 0.003 s; each was there only once
            process 3 saw x = 2 after 0.005 s, but process 2 had seen x = 1, a newer value, by 0.004 s, before that, and 2 is the older one
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
            no order goes further than this one: process 0 wrote x = 1; process 1 set x from 1 to 3
            after it, none of these fits: process 2 set x from 1 to 2; process 3 set x from 2 to 1
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_is_named_for_writing_too_late_or_in_vain_is_shown() {
    let late = "
        1 invoke read x
        1 ok 2
        0 invoke write x 2
        0 ok
        ";
    check_explained(
        late,
        &expect![[r#"
        unwritten-value at 0.001 s on x
        operations [0, 1], faults []
        process 1 read x = 2 (from 0.000 s to 0.001 s)
        process 0 wrote x = 2 (from 0.002 s to 0.003 s)
        process 1 saw 2 before process 0 began to write it, and nobody else wrote it there
    "#]],
    );
    let failed = "
        0 invoke write x 2
        0 fail unavailable
        1 invoke read x
        1 ok 2
        ";
    check_explained(
        failed,
        &expect![[r#"
        unwritten-value at 0.003 s on x
        operations [0, 1], faults []
        process 0 tried to write x 2 and was told unavailable (from 0.000 s to 0.001 s)
        process 1 read x = 2 (from 0.002 s to 0.003 s)
        process 1 saw 2, which nobody wrote there, but for process 0, which failed
    "#]],
    );
}

#[test]
fn who_failed_to_write_what_was_read_is_shown_and_what_he_found_is_no_part_of_the_proof() {
    check_explained(
        "
        0 invoke write x 97
        0 ok
        1 invoke cas x 115 268
        1 fail mismatch 97
        0 invoke read x
        0 ok 268
        ",
        &expect![[r#"
            unwritten-value at 0.005 s on x
            operations [1, 2], faults []
            process 1 tried to set x from 115 to 268 and found 97 (from 0.002 s to 0.003 s)
            process 0 read x = 268 (from 0.004 s to 0.005 s)
            process 0 saw 268, which nobody wrote there, but for process 1, which failed
        "#]],
    );
}

#[test]
fn the_first_of_several_who_wrote_too_late_is_called_the_first() {
    check_explained(
        "
        0 invoke read x
        0 ok 11
        1 invoke write x 11
        1 ok
        2 invoke write x 11
        2 ok
        ",
        &expect![[r#"
            unwritten-value at 0.001 s on x
            operations [0, 1], faults []
            process 0 read x = 11 (from 0.000 s to 0.001 s)
            process 1 wrote x = 11 (from 0.002 s to 0.003 s)
            process 0 saw 11 before process 1 began to write it, who was the first to
        "#]],
    );
}

#[test]
fn what_comes_again_later_had_been_there_once_when_it_was_replaced_twice() {
    check_explained(
        "
        1 invoke cas x nil 2
        2 invoke cas x nil 3
        1 ok
        2 ok
        ",
        &expect![[r#"
            lost-update at 0.003 s on x
            operations [0, 1], faults []
            process 1 set x from nil to 2 (from 0.000 s to 0.002 s)
            process 2 set x from nil to 3 (from 0.001 s to 0.003 s)
            processes 1 and 2 both replaced nil, which was there only once
        "#]],
    );
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 2
        1 ok
        2 invoke cas x 1 3
        2 ok
        0 invoke write x 1
        0 ok
        ",
        &expect![[r#"
            stale-read at 0.005 s on x
            operations [0, 1, 2], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 1 set x from 1 to 2 (from 0.002 s to 0.003 s)
            process 2 set x from 1 to 3 (from 0.004 s to 0.005 s)
            process 2 saw x = 1 after 0.004 s, but x = 2 had been acknowledged to process 1 at 0.003 s, before that, and nothing had made it 1 again by then
        "#]],
    );
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke cas x 1 2
        2 invoke cas x 1 3
        1 ok
        2 ok
        0 invoke write x 1
        0 ok
        ",
        &expect![[r#"
            lost-update at 0.005 s on x
            operations [0, 1, 2], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.001 s)
            process 1 set x from 1 to 2 (from 0.002 s to 0.004 s)
            process 2 set x from 1 to 3 (from 0.003 s to 0.005 s)
            processes 1 and 2 both replaced 1, which had been there only once by then
        "#]],
    );
}

#[test]
fn who_wrote_what_was_replaced_and_is_not_shown_is_told_why_he_is_not() {
    // Process 0 brought a 1, too, which process 1 wrote over; so what process 2 replaced is of process 0's second.
    check_explained(
        "
        0 invoke write x 1
        0 ok
        1 invoke write x 2
        1 ok
        0 invoke cas x 2 1
        2 invoke cas x 1 2
        2 ok
        3 invoke read x
        3 ok 1
        ",
        &expect![[r#"
            not-linearizable at 0.008 s on x
            operations [2, 3, 4], faults []
            process 0 set x from 2 to 1 (from 0.004 s with no answer, so it may take effect at any time after that)
            process 2 set x from 1 to 2 (from 0.005 s to 0.006 s)
            process 3 read x = 1 (from 0.007 s to 0.008 s)
            no order goes further than this one: process 0 set x from 2 to 1, which somebody had brought who is not shown; process 2 set x from 1 to 2
            after it, this does not fit: process 3 read x = 1
            one more write of 1 cannot be what was read or replaced: after it was over, and before that was read or replaced, somebody left or saw something else
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
    check_explained(
        "
        0 invoke cas x nil 4
        0 ok
        1 invoke cas x 4 2
        1 ok
        2 invoke write x 4
        3 invoke cas x 4 4
        3 ok
        4 invoke write x 3
        4 ok
        4 invoke cas x 4 1
        4 ok
        ",
        &expect![[r#"
            not-linearizable at 0.010 s on x
            operations [2, 3, 4, 5], faults []
            process 2 wrote x = 4 (from 0.004 s with no answer, so it may take effect at any time after that)
            process 3 set x from 4 to 4 (from 0.005 s to 0.006 s)
            process 4 wrote x = 3 (from 0.007 s to 0.008 s)
            process 4 set x from 4 to 1 (from 0.009 s to 0.010 s)
            no order goes further than this one: process 2 wrote x = 4; process 3 set x from 4 to 4; process 4 wrote x = 3
            after it, this does not fit: process 4 set x from 4 to 1
            one more write of 4 cannot be what was replaced: after it was over, and before that was replaced, somebody left or saw something else
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn what_comes_again_later_had_been_there_once_when_it_was_the_older_one() {
    check_explained(
        "
        0 invoke write x 1
        1 invoke read x
        1 ok 1
        2 invoke write x 2
        3 invoke read x
        3 ok 2
        1 invoke read x
        1 ok 1
        0 ok
        2 ok
        2 invoke write x 1
        2 ok
        ",
        &expect![[r#"
            stale-read at 0.007 s on x
            operations [0, 1, 2, 3, 4], faults []
            process 0 wrote x = 1 (from 0.000 s to 0.008 s)
            process 1 read x = 1 (from 0.001 s to 0.002 s)
            process 2 wrote x = 2 (from 0.003 s to 0.009 s)
            process 3 read x = 2 (from 0.004 s to 0.005 s)
            process 1 read x = 1 (from 0.006 s to 0.007 s)
            1 is the older one: process 1 was over with its read of it at 0.002 s, before process 2 began its write of 2 at 0.003 s; each had been there only once by then
            process 1 saw x = 1 after 0.006 s, but process 3 had seen x = 2, a newer value, by 0.005 s, before that, and 1 is the older one
        "#]],
    );
}

#[test]
fn who_wrote_what_a_source_replaced_is_not_said_to_be_nobody() {
    // Process 1 shows where 11 came from; that process 2 replaced 14, which process 4 wrote, is another matter.
    check_explained(
        "
        0 invoke cas x 11 10
        0 ok
        1 invoke cas x 12 11
        2 invoke cas x 14 12
        1 ok
        3 invoke cas x 11 13
        4 invoke write x 14
        2 ok
        4 info timeout
        3 ok
        ",
        &expect![[r#"
            unwritten-value at 0.001 s on x
            operations [0, 1], faults []
            process 0 set x from 11 to 10 (from 0.000 s to 0.001 s)
            process 1 set x from 12 to 11 (from 0.002 s to 0.004 s)
            process 0 saw 11 before process 1 began to write it, and nobody else wrote it there
        "#]],
    );
}

#[test]
fn what_was_written_after_a_proof_is_not_counted_among_what_was_replaced() {
    check_explained(
        "
        0 invoke write x 1
        1 invoke cas x 1 2
        2 invoke read x
        2 ok 2
        3 invoke read x
        3 ok 1
        3 invoke write x 1
        3 ok
        ",
        &expect![[r#"
            not-linearizable at 0.005 s on x
            operations [0, 1, 2, 3], faults []
            process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
            process 1 set x from 1 to 2 (from 0.001 s with no answer, so it may take effect at any time after that)
            process 2 read x = 2 (from 0.002 s to 0.003 s)
            process 3 read x = 1 (from 0.004 s to 0.005 s)
            no order goes further than this one: process 0 wrote x = 1; process 1 set x from 1 to 2; process 2 read x = 2
            after it, this does not fit: process 3 read x = 1
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn all_who_are_not_shown_are_counted_whichever_value_they_wrote() {
    check_explained(
        "
        0 invoke write x 1
        0 ok
        0 invoke write x 2
        0 ok
        0 invoke write x 1
        0 ok
        0 invoke write x 3
        0 ok
        1 invoke write x 1
        2 invoke write x 2
        3 invoke read x
        3 ok 1
        3 invoke read x
        3 ok 2
        3 invoke read x
        3 ok 1
        ",
        &expect![[r#"
            not-linearizable at 0.015 s on x
            operations [4, 5, 6, 7, 8], faults []
            process 1 wrote x = 1 (from 0.008 s with no answer, so it may take effect at any time after that)
            process 2 wrote x = 2 (from 0.009 s with no answer, so it may take effect at any time after that)
            process 3 read x = 1 (from 0.010 s to 0.011 s)
            process 3 read x = 2 (from 0.012 s to 0.013 s)
            process 3 read x = 1 (from 0.014 s to 0.015 s)
            no order goes further than this one: process 1 wrote x = 1; process 3 read x = 1; process 2 wrote x = 2; process 3 read x = 2
            after it, this does not fit: process 3 read x = 1
            3 more writes of 1, 2 cannot be what was read: after each was over, and before that was read, somebody left or saw something else
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn who_failed_and_says_what_was_there_shows_it_and_writes_nothing() {
    // Process 0 may never have written; process 1 shows that it did.
    check_explained(
        "
        0 invoke write x 5
        1 invoke cas x 7 8
        1 fail mismatch 5
        2 invoke cas x 5 6
        2 fail mismatch
        ",
        &expect![[r#"
            not-linearizable at 0.004 s on x
            operations [0, 1, 2], faults []
            process 0 wrote x = 5 (from 0.000 s with no answer, so it may take effect at any time after that)
            process 1 tried to set x from 7 to 8 and found 5 (from 0.001 s to 0.002 s)
            process 2 tried to set x from 5 to 6 and found something else (from 0.003 s to 0.004 s)
            no order goes further than this one: process 0 wrote x = 5; process 1 tried to set x from 7 to 8 and found 5
            after it, this does not fit: process 2 tried to set x from 5 to 6 and found something else
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
    // And another one that it was there while process 2 says that it was not.
    check_explained(
        "
        0 invoke write x 5
        1 invoke cas x 7 8
        1 fail mismatch 5
        2 invoke cas x 5 6
        2 fail mismatch
        3 invoke read x
        3 ok 5
        ",
        &expect![[r#"
            not-linearizable at 0.004 s on x
            operations [0, 1, 2], faults []
            process 0 wrote x = 5 (from 0.000 s with no answer, so it may take effect at any time after that)
            process 1 tried to set x from 7 to 8 and found 5 (from 0.001 s to 0.002 s)
            process 2 tried to set x from 5 to 6 and found something else (from 0.003 s to 0.004 s)
            no order goes further than this one: process 0 wrote x = 5; process 1 tried to set x from 7 to 8 and found 5
            after it, this does not fit: process 2 tried to set x from 5 to 6 and found something else
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn an_order_goes_as_far_as_the_answers_that_are_shown_let_it() {
    // Of process 0, that it began is enough for the proof; but its answer is told.
    check_explained(
        "
        0 invoke cas x nil 1
        1 invoke write x 3
        1 ok
        1 invoke cas x 1 3
        1 ok
        0 ok
        ",
        &expect![[r#"
            not-linearizable at 0.004 s on x
            operations [0, 1, 2], faults []
            process 0 set x from nil to 1 (from 0.000 s to 0.005 s)
            process 1 wrote x = 3 (from 0.001 s to 0.002 s)
            process 1 set x from 1 to 3 (from 0.003 s to 0.004 s)
            no order goes further than this one: process 0 set x from nil to 1; process 1 wrote x = 3
            after it, this does not fit: process 1 set x from 1 to 3
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
    check_explained(
        "
        0 invoke cas x 2 1
        1 invoke cas x 1 2
        1 ok
        0 ok
        ",
        &expect![[r#"
            not-linearizable at 0.002 s on x
            operations [0, 1], faults []
            process 0 set x from 2 to 1 (from 0.000 s to 0.003 s)
            process 1 set x from 1 to 2 (from 0.001 s to 0.002 s)
            already at the start, none of these fits: process 0 set x from 2 to 1; process 1 set x from 1 to 2
            no order of these operations that keeps to their times explains every answer
        "#]],
    );
}

#[test]
fn what_is_the_older_value_because_it_was_replaced_is_said_to_be() {
    // The write of 1 has no answer, so that nobody knows when it was over.
    check_explained(
        "
        0 invoke write x 1
        2 invoke cas x 1 3
        2 ok
        3 invoke cas x 1 nil
        3 ok
        0 info timeout
        2 invoke cas x 3 4
        2 ok
        ",
        &expect![[r#"
            stale-read at 0.007 s on x
            operations [1, 2, 3], faults []
            process 2 set x from 1 to 3 (from 0.001 s to 0.002 s)
            process 3 set x from 1 to nil (from 0.003 s to 0.004 s)
            process 2 set x from 3 to 4 (from 0.006 s to 0.007 s)
            1 is the older one: it was there only once, and process 2 replaced it
            process 3 saw x = 1 after 0.003 s, but x = 3 had been acknowledged to process 2 at 0.002 s, before that, and 1 is the older one
        "#]],
    );
    // Who wrote 1 last is shown, although its value was only replaced.
    check_explained(
        "
        0 invoke cas x nil 1
        0 ok
        1 invoke cas x 1 nil
        1 ok
        0 invoke cas x 1 2
        0 ok
        0 invoke cas x nil 4
        0 ok
        ",
        &expect![[r#"
            stale-read at 0.005 s on x
            operations [0, 1, 2], faults []
            process 0 set x from nil to 1 (from 0.000 s to 0.001 s)
            process 1 set x from 1 to nil (from 0.002 s to 0.003 s)
            process 0 set x from 1 to 2 (from 0.004 s to 0.005 s)
            process 0 saw x = 1 after 0.004 s, but x = nil had been acknowledged to process 1 at 0.003 s, before that, and nothing made it 1 after it
        "#]],
    );
}

#[test]
fn what_replaces_a_value_by_the_same_loses_no_update() {
    check_explained(
        "
        1 invoke cas x nil 2
        1 info timeout
        0 invoke cas x 2 2
        0 ok
        0 invoke cas x 2 1
        2 invoke cas x 2 3
        0 fail mismatch
        4 invoke cas x 2 3
        4 ok
        ",
        &expect![[r#"
            not-linearizable at 0.008 s on x
            operations [0, 1, 2, 4], faults []
            process 1 set x from nil to 2 (from 0.000 s with no answer, so it may take effect at any time after that)
            process 0 set x from 2 to 2 (from 0.002 s to 0.003 s)
            process 0 tried to set x from 2 to 1 and found something else (from 0.004 s to 0.006 s)
            process 4 set x from 2 to 3 (from 0.007 s to 0.008 s)
            no order goes further than this one: process 1 set x from nil to 2; process 0 set x from 2 to 2; somebody who is not shown wrote something else; process 0 tried to set x from 2 to 1 and found something else
            after it, this does not fit: process 4 set x from 2 to 3
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
}

#[test]
fn who_cannot_have_found_a_write_that_is_not_shown_is_named_where_another_one_may_have() {
    check_explained(
        "
        2 invoke cas x nil 1
        3 invoke cas x nil 1
        2 ok
        4 invoke cas x 1 2
        4 ok
        1 invoke cas x 1 2
        1 ok
        ",
        &expect![[r#"
            not-linearizable at 0.006 s on x
            operations [1, 2, 3], faults []
            process 3 set x from nil to 1 (from 0.001 s with no answer, so it may take effect at any time after that)
            process 4 set x from 1 to 2 (from 0.003 s to 0.004 s)
            process 1 set x from 1 to 2 (from 0.005 s to 0.006 s)
            no order goes further than this one: process 4 set x from 1 to 2, which somebody had brought who is not shown
            after it, this does not fit: process 1 set x from 1 to 2
            one more write of 1 cannot be what process 1 replaced after 0.005 s: after it was over, and before that was replaced, somebody left or saw something else
            no order of these operations that keeps to their times explains every answer, whichever of the others took effect
        "#]],
    );
}

#[test]
fn what_only_stayed_was_written_there_by_nobody() {
    check_explained(
        "
        0 invoke cas x 1 1
        0 ok
        1 invoke write x 1
        1 ok
        ",
        &expect![[r#"
            unwritten-value at 0.001 s on x
            operations [0, 1], faults []
            process 0 set x from 1 to 1 (from 0.000 s to 0.001 s)
            process 1 wrote x = 1 (from 0.002 s to 0.003 s)
            process 0 saw 1 before process 1 began to write it, and nobody else wrote it there in the place of anything else
        "#]],
    );
}

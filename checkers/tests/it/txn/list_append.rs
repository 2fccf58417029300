//! Transactions on lists, case by case.

use expect_test::expect;
use stormglass_checkers::checker::{CHECKERS, Checker, Level, Limits, ListAppend};
use stormglass_checkers::history::{OperationId, Value};
use stormglass_checkers::{Anomaly, Contrast, History, Legal, Verdict};

use super::{Recorder, reason, said, sentences, step};
use crate::notation::history;

const RC: ListAppend = ListAppend { level: Level::ReadCommitted };
const SI: ListAppend = ListAppend { level: Level::SnapshotIsolation };
const SER: ListAppend = ListAppend { level: Level::Serializable };
const STRICT: ListAppend = ListAppend { level: Level::StrictSerializable };

/// Transactions that all run at the same time, each in a session of its own: what they asked and
/// read, or `fail` or `info` in front of what they asked.
fn concurrent(txns: &[&str]) -> String {
    let (mut begins, mut ends) = (String::new(), String::new());
    for (process, txn) in txns.iter().enumerate() {
        let (outcome, steps) = txn.split_once(' ').unwrap_or(("ok", txn));
        begins += &format!("{process} invoke txn db {}\n", asked(steps));
        ends += &match outcome {
            "ok" => format!("{process} ok {steps}\n"),
            "fail" => format!("{process} fail refused\n"),
            _ => format!("{process} info timeout\n"),
        };
    }
    begins + &ends
}

/// Transactions that run one after the other, in sessions of these numbers.
fn sequential(txns: &[(u32, &str)]) -> String {
    let one = |(place, (session, steps)): (usize, &(u32, &str))| {
        format!("{place}/{session} invoke txn db {}\n{place} ok {steps}\n", asked(steps))
    };
    txns.iter().enumerate().map(one).collect()
}

/// Steps without what was read.
fn asked(steps: &str) -> String {
    let step = |part: &str| match part.strip_prefix("r,") {
        Some(read) => format!("r,{},nil", read.split(',').next().unwrap()),
        None => part.to_owned(),
    };
    let inner = steps.strip_prefix("[[").unwrap().strip_suffix("]]").unwrap();
    // The end of a list that was read looks like the end of a step that is followed by another.
    let parts: Vec<String> = inner.split("],[").map(step).collect();
    format!("[[{}]]", parts.join("],["))
}

/// What each level says: read committed, snapshot isolation, serializable, strict serializable.
#[track_caller]
fn check(text: &str, expected: [&str; 4]) {
    let history = history(text);
    for (checker, expected) in [RC, SI, SER, STRICT].iter().zip(expected) {
        let verdict = checker.check(&history);
        assert_eq!(said(&verdict), expected, "{:?}: {verdict:#?}", checker.level);
        for found in verdict.anomalies() {
            assert_eq!(found.guarantee, checker.level.guarantee());
            assert!(!found.witness.operations.is_empty() && found.explanation.len() > 1);
        }
    }
}

#[test]
fn what_was_appended_and_then_read_is_fine() {
    let text = sequential(&[
        (0, "[[append,x,1]]"),
        (1, "[[r,x,[1]],[append,x,2],[r,x,[1,2]]]"),
        (0, "[[r,x,[1,2]],[r,y,nil]]"),
    ]);
    check(&text, ["valid"; 4]);
    let verdict = STRICT.check(&history(&text));
    assert_eq!((verdict.coverage().operations, verdict.coverage().keys), (3, 1));
}

#[test]
fn a_verdict_counts_the_transactions_on_lists_that_took_effect() {
    let text = concurrent(&[
        "[[append,x,1]]",
        "[[r,x,[1]],[w,y,1]]",
        "fail [[append,x,2]]",
        "info [[append,x,3]]",
        "[[w,y,2]]",
        "[[r,y,2]]",
        "[[append,y,3]]",
    ]);
    let counted = |text: &str| {
        let coverage = RC.check(&history(text)).coverage().clone();
        (coverage.method, coverage.operations, coverage.keys)
    };
    assert_eq!(counted(&text), ("cycles of dependencies".to_owned(), 2, 1));
    // What was not judged is said by the same name.
    let unjudged = ("cycles of dependencies".to_owned(), 0, 0);
    assert_eq!(counted("0 invoke txn db [[r]]"), unjudged);
    assert_eq!(counted(&concurrent(&["[[append,x,1]]", "[[append,x,1]]"])), unjudged);
}

#[test]
fn who_shows_an_order_has_read_the_list_that_far() {
    // The first transaction of the circle read x too early to show what came after its own append, and
    // another list that far; of y, it shows all itself.
    let text = concurrent(&[
        "[[append,x,1],[r,x,[1]],[append,y,1],[r,y,[2,1]]]",
        "[[append,x,2],[append,y,2]]",
        "[[r,x,[1,2]],[r,y,[2,1]]]",
    ]);
    let told = sentences(&RC, &text);
    let order: Vec<&str> = told.lines().filter(|line| line.contains("comes before")).collect();
    assert_eq!(
        order,
        [
            "T1 comes before T2: T2 appended 2 to x after T1 appended 1, as T3 read",
            "T2 comes before T1: T1 appended 1 to y after T2 appended 2, as T1 read",
        ],
        "{told}"
    );
}

#[test]
fn g0_two_transactions_overwrite_each_other() {
    let text = concurrent(&[
        "[[append,x,1],[append,y,1]]",
        "[[append,x,2],[append,y,2]]",
        "[[r,x,[1,2]],[r,y,[2,1]]]",
    ]);
    check(&text, ["G0"; 4]);
    expect![[r#"
        T1: process 0 did append x 1, append y 1 (from 0.000 s to 0.003 s)
        T2: process 1 did append x 2, append y 2 (from 0.001 s to 0.004 s)
        T3: process 2 did r x [1 2], r y [2 1] (from 0.002 s to 0.005 s)
        T1 comes before T2: T2 appended 2 to x after T1 appended 1, as T3 read
        T2 comes before T1: T1 appended 1 to y after T2 appended 2, as T3 read
        so T1 (process 0) would have to come before itself: T1 before T2 (process 1) before T1"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn g1a_an_element_of_a_transaction_that_failed() {
    let text = concurrent(&["fail [[append,x,1]]", "[[r,x,[1]]]"]);
    check(&text, ["G1a"; 4]);
    expect![[r#"
        T1: process 0 did append x 1 (from 0.000 s to 0.002 s, and failed)
        T2: process 1 did r x [1] (from 0.001 s to 0.003 s)
        the transaction failed that appended 1 on x"#]]
    .assert_eq(&sentences(&RC, &text));
    check(&text.replace("0 fail refused", "0 info timeout"), ["valid"; 4]);
}

#[test]
fn g1b_a_list_that_was_not_finished() {
    let text = concurrent(&["[[append,x,1],[append,x,2]]", "[[r,x,[1]]]"]);
    check(&text, ["G1b", "G-single G1b", "G-single G1b", "G-single G1b"]);
    expect![[r#"
        T1: process 0 did append x 1, append x 2 (from 0.000 s to 0.002 s)
        T2: process 1 did r x [1] (from 0.001 s to 0.003 s)
        1 was the last that was read of x, but its transaction appended more"#]]
    .assert_eq(&sentences(&RC, &text));
    // It may read what it is about to append to itself.
    check(&concurrent(&["[[append,x,1],[r,x,[1]],[append,x,2]]"]), ["valid"; 4]);
}

#[test]
fn g1c_two_transactions_that_saw_each_other() {
    let text = concurrent(&["[[append,x,1],[r,y,[1]]]", "[[append,y,1],[r,x,[1]]]"]);
    check(&text, ["G1c"; 4]);
    expect![[r#"
        T1: process 0 did append x 1, r y [1] (from 0.000 s to 0.002 s)
        T2: process 1 did append y 1, r x [1] (from 0.001 s to 0.003 s)
        T1 comes before T2: T2 observed T1's append of 1 to x
        T2 comes before T1: T1 observed T2's append of 1 to y
        so T1 (process 0) would have to come before itself: T1 before T2 (process 1) before T1"#]]
    .assert_eq(&sentences(&RC, &text));
}

/// The processes whose transactions prove each anomaly.
fn proved_by(checker: &ListAppend, text: &str) -> Vec<Vec<u32>> {
    let history = history(text);
    let processes = |found: &Anomaly| {
        let operations = found.witness.operations.iter();
        operations.map(|id| history.operation(*id).process.0).collect()
    };
    checker.check(&history).anomalies().iter().map(processes).collect()
}

#[test]
fn of_the_cycles_that_hang_together_the_shortest_is_told() {
    // Three around, from the first of which two lead to each other and back.
    let text = concurrent(&[
        "[[append,a,1],[r,c,[1]],[r,m,[1]]]",
        "[[append,b,1],[r,a,[1]]]",
        "[[append,c,1],[r,b,[1]],[append,l,1]]",
        "[[append,d,1],[r,e,[1]],[r,l,[1]]]",
        "[[append,e,1],[r,d,[1]],[append,m,1]]",
    ]);
    assert_eq!(proved_by(&RC, &text), [[3, 4]]);
    // The same with four around, all of whose cycles are longer.
    let text = concurrent(&[
        "[[append,a,1],[r,d,[1]],[r,m,[1]]]",
        "[[append,b,1],[r,a,[1]]]",
        "[[append,c,1],[r,b,[1]],[append,l,1]]",
        "[[append,d,1],[r,c,[1]]]",
        "[[append,e,1],[r,f,[1]],[r,l,[1]]]",
        "[[append,f,1],[r,e,[1]],[append,m,1]]",
    ]);
    assert_eq!(proved_by(&RC, &text), [[4, 5]]);
    // Four around, with a way that leaves one of them out.
    let text = concurrent(&[
        "[[append,a,1],[r,d,[1]]]",
        "[[append,b,1],[r,a,[1]]]",
        "[[append,c,1],[r,b,[1]]]",
        "[[append,d,1],[r,c,[1]],[r,b,[1]]]",
    ]);
    assert_eq!(proved_by(&RC, &text), [[0, 1, 3]]);
    // Two that have nothing to do with each other are told both.
    let text = concurrent(&[
        "[[append,a,1],[r,b,[1]]]",
        "[[append,b,1],[r,a,[1]]]",
        "[[append,c,1],[r,d,[1]]]",
        "[[append,d,1],[r,c,[1]]]",
    ]);
    assert_eq!(proved_by(&RC, &text), [[0, 1], [2, 3]]);
}

#[test]
fn of_two_ways_back_the_shorter_is_told_whichever_is_looked_at_first() {
    // Process 0 missed what process 1 appended to y, and saw it by process 2, and by 3 and 4.
    let text = concurrent(&[
        "[[r,y,nil],[r,b,[1]],[r,d,[1]]]",
        "[[append,y,1],[append,a,1]]",
        "[[r,a,[1]],[append,b,1]]",
        "[[r,a,[1]],[append,c,1]]",
        "[[r,c,[1]],[append,d,1]]",
        "[[r,y,[1]]]",
    ]);
    assert_eq!(proved_by(&SI, &text), [[0, 1, 2]]);
}

#[test]
fn of_cycles_as_short_as_each_other_the_first_is_told() {
    let text = concurrent(&[
        "[[append,a,1],[r,c,[1]],[r,m,[1]]]",
        "[[append,b,1],[r,a,[1]]]",
        "[[append,c,1],[r,b,[1]],[append,l,1]]",
        "[[append,d,1],[r,f,[1]],[r,l,[1]]]",
        "[[append,e,1],[r,d,[1]]]",
        "[[append,f,1],[r,e,[1]],[append,m,1]]",
    ]);
    assert_eq!(proved_by(&RC, &text), [[0, 1, 2]]);
    // The first by the edge that makes it the anomaly that it is: of process 1, not of process 3.
    let text = concurrent(&[
        "[[append,x,1],[r,p,[1]],[r,m,[1]]]",
        "[[append,q,1],[append,y,2],[r,l,[1]]]",
        "[[r,q,[1]],[append,y,1],[append,m,1]]",
        "[[append,x,2],[append,p,1],[append,l,1]]",
        "[[r,x,[1,2]],[r,y,[1,2]]]",
    ]);
    check(&text, ["G1c"; 4]);
    // Process 4 shows in which order they did.
    assert_eq!(proved_by(&RC, &text), [[1, 2, 4]]);
}

#[test]
fn a_cycle_goes_by_the_edges_of_its_class_though_others_are_shorter() {
    // Three overwrote each other around; the first of them read from the second, too.
    let text = concurrent(&[
        "[[append,x,1],[append,z,2],[r,a,[1]]]",
        "[[append,x,2],[append,y,1],[append,a,1]]",
        "[[append,y,2],[append,z,1]]",
        "[[r,x,[1,2]],[r,y,[1,2]],[r,z,[1,2]]]",
    ]);
    check(&text, ["G0"; 4]);
    assert_eq!(proved_by(&RC, &text), [[0, 1, 2, 3]]);
}

#[test]
fn a_cycle_with_one_rw_edge_is_told_though_one_with_several_is_shorter() {
    let text = concurrent(&[
        "[[r,x,nil],[r,d,[1]],[r,m,[1]]]",
        "[[append,x,1],[append,a,1]]",
        "[[r,a,[1]],[r,y,nil]]",
        "[[append,y,1],[append,d,1],[append,l,1]]",
        "[[r,z,nil],[r,h,[1]],[r,l,[1]]]",
        "[[append,z,1],[append,e,1]]",
        "[[r,e,[1]],[append,f,1]]",
        "[[r,f,[1]],[append,g,1]]",
        "[[r,g,[1]],[append,h,1],[append,m,1]]",
        "[[r,x,[1]],[r,y,[1]],[r,z,[1]]]",
    ]);
    check(&text, ["valid", "G-single", "G-single", "G-single"]);
    assert_eq!(proved_by(&SI, &text), [[4, 5, 6, 7, 8]]);
}

#[test]
fn a_list_whose_reads_contradict_each_other_orders_nobody() {
    // Without the last read these two would have overwritten each other.
    let text = concurrent(&[
        "[[append,x,1],[append,y,1]]",
        "[[append,x,2],[append,y,2]]",
        "[[r,x,[1,2]],[r,y,[2,1]]]",
        "[[r,y,[1]]]",
    ]);
    check(&text, ["incompatible-order"; 4]);
}

#[test]
fn what_hangs_together_with_a_cycle_that_was_told_is_not_told_again() {
    // Process 4 saw one append of process 2, and missed the other.
    let text = concurrent(&[
        "[[append,x,1]]",
        "[[r,x,[1]]]",
        "[[append,a,1],[r,b,[1]],[append,c,1]]",
        "[[r,a,[1]],[append,b,1]]",
        "[[r,a,[1]],[r,c,nil]]",
        "[[r,c,[1]]]",
    ]);
    check(&text, ["G1c"; 4]);
    assert_eq!(proved_by(&SI, &text), [[2, 3]]);
    let alone = text.replace("[r,b,[1]]", "[r,b,nil]");
    check(&alone, ["valid", "G-single", "G-single", "G-single"]);
    assert_eq!(proved_by(&SI, &alone), [[2, 4]]);
}

#[test]
fn a_reader_comes_before_the_writer_of_the_next_version_only() {
    // Process 0 missed both appends to x. That it missed the second follows from the first.
    let text = concurrent(&[
        "[[r,x,nil],[r,y,[1]]]",
        "[[append,x,1]]",
        "[[append,x,2],[append,y,1]]",
        "[[r,x,[1]]]",
    ]);
    check(&text, ["valid", "G-single", "G-single", "G-single"]);
    assert_eq!(proved_by(&SI, &text), [[0, 1, 2, 3]]);
}

/// Who proves an anomaly beyond the first, among transactions after so many that read from each other
/// around that no more shorter cycles are looked for.
fn proved_late(others: &[&str]) -> Vec<Vec<u32>> {
    const AROUND: u32 = 2_010;
    let of =
        |number: u32| format!("[[append,k{number},1],[r,k{},[1]]]", (number + AROUND - 1) % AROUND);
    let around: Vec<String> = (0..AROUND).map(of).collect();
    let txns: Vec<&str> = around.iter().map(String::as_str).chain(others.iter().copied()).collect();
    let mut proved = proved_by(&SI, &concurrent(&txns));
    assert_eq!(proved.remove(0).len(), AROUND as usize);
    proved.iter().map(|one| one.iter().map(|process| process - AROUND).collect()).collect()
}

#[test]
fn where_no_shorter_cycle_is_looked_for_the_first_is_told() {
    let text = [
        "[[r,x,nil],[r,b,[1]],[r,m,[1]]]",
        "[[append,x,1],[append,a,1]]",
        "[[r,a,[1]],[append,b,1],[append,l,1]]",
        "[[r,y,nil],[r,c,[1]],[r,l,[1]]]",
        "[[append,y,1],[append,c,1],[append,m,1]]",
        "[[r,x,[1]],[r,y,[1]]]",
    ];
    assert_eq!(proved_by(&SI, &concurrent(&text)), [[3, 4]]);
    assert_eq!(proved_late(&text), [[0, 1, 2]]);
}

#[test]
fn a_cycle_comes_through_no_transaction_twice() {
    // Process 0 missed what process 1 appended, which missed what process 4 appended, whom process 0
    // saw: two `rw` edges in a row. Without them, process 1 is come back to by 2 and 3.
    let from_outside = [
        "[[r,p,nil],[r,w,[1]]]",
        "[[append,p,1],[append,h,1],[r,k,[1]],[r,s,nil]]",
        "[[r,h,[1]],[r,q,nil]]",
        "[[append,q,1],[append,k,1]]",
        "[[append,s,1],[append,w,1]]",
        "[[r,p,[1]],[r,q,[1]],[r,s,[1]]]",
    ];
    assert_eq!(proved_late(&from_outside), [[1, 2, 3]]);
    // The same with process 0 for 1, from where the search begins then.
    let from_within = [
        "[[append,p,1],[append,h,1],[r,k,[1]],[r,s,nil]]",
        "[[append,s,1],[append,w,1]]",
        "[[r,p,nil],[r,w,[1]]]",
        "[[r,h,[1]],[r,q,nil]]",
        "[[append,q,1],[append,k,1]]",
        "[[r,p,[1]],[r,q,[1]],[r,s,[1]]]",
    ];
    assert_eq!(proved_late(&from_within), [[0, 3, 4]]);
}

#[test]
fn of_a_long_list_the_middle_is_left_out() {
    let read = |count: u32| {
        let list: Vec<String> = (1..=count).map(|element| element.to_string()).collect();
        sentences(&RC, &concurrent(&[&format!("[[r,x,[{}]]]", list.join(","))]))
    };
    assert!(read(7).contains("r x [1 2 3 4 5 6 7] "), "{}", read(7));
    let long = read(12);
    assert!(long.contains("r x [1 2 3 … 10 11 12] of 12 "), "{long}");
}

#[test]
fn g_single_half_of_a_transaction_was_seen() {
    let text = concurrent(&["[[append,x,1],[append,y,1]]", "[[r,x,[1]],[r,y,nil]]"]);
    check(&text, ["valid", "G-single", "G-single", "G-single"]);
    expect![[r#"
        T1: process 0 did append x 1, append y 1 (from 0.000 s to 0.002 s)
        T2: process 1 did r x [1], r y nil (from 0.001 s to 0.003 s)
        T1 comes before T2: T2 observed T1's append of 1 to x
        T2 comes before T1: T2 did not observe T1's append of 1 to y
        so T1 (process 0) would have to come before itself: T1 before T2 (process 1) before T1"#]]
    .assert_eq(&sentences(&SI, &text));
}

#[test]
fn of_a_transaction_without_an_answer_that_was_seen_all_took_effect() {
    let text = concurrent(&["info [[append,x,1],[append,y,1]]", "[[r,x,[1]],[r,y,nil]]"]);
    check(&text, ["valid", "G-single", "G-single", "G-single"]);
    // Nobody has seen anything of this one.
    let unseen = concurrent(&["info [[append,x,1],[append,y,1]]", "[[r,x,nil],[r,y,nil]]"]);
    check(&unseen, ["unknown"; 4]);
}

#[test]
fn what_nobody_read_comes_after_a_transaction_that_read_itself_and_went_on() {
    let updates =
        concurrent(&["[[r,x,nil],[append,x,1]]", "[[append,x,2],[r,x,[2]],[append,x,3]]"]);
    check(&updates, ["valid", "G-single", "G-single", "G-single"]);
    let late = [(0, "[[append,x,1]]"), (1, "[[append,x,2],[r,x,[2]],[append,x,3]]")];
    check(&sequential(&late), ["valid", "valid", "valid", "G0-realtime"]);
    let words = sentences(&STRICT, &sequential(&late));
    let reason =
        "T2 comes before T1: T1 appended 1 to x after T2 appended 2, as T2 read x without 1";
    assert!(words.lines().any(|line| line == reason), "{words}");
}

#[test]
fn a_cycle_of_three_names_each_of_them() {
    let text = concurrent(&[
        "[[append,x,1],[r,y,[1]]]",
        "[[append,y,1],[r,z,[1]]]",
        "[[append,z,1],[r,x,[1]]]",
    ]);
    expect!["so T1 (process 0) would have to come before itself: T1 before T2 (process 2) before T3 (process 1) before T1"]
        .assert_eq(sentences(&RC, &text).lines().last().unwrap());
}

#[test]
fn g_nonadjacent_two_long_forks_of_snapshots() {
    // Two writers, and two readers that saw them in opposite orders.
    let text = concurrent(&[
        "[[append,x,1]]",
        "[[append,y,1]]",
        "[[r,x,[1]],[r,y,nil]]",
        "[[r,x,nil],[r,y,[1]]]",
    ]);
    check(&text, ["valid", "G-nonadjacent", "G-nonadjacent", "G-nonadjacent"]);
}

#[test]
fn g2_write_skew_is_what_snapshots_allow() {
    let text = concurrent(&[
        "[[r,x,nil],[append,y,1]]",
        "[[r,y,nil],[append,x,1]]",
        "[[r,x,[1]],[r,y,[1]]]",
    ]);
    check(&text, ["valid", "valid", "G2", "G2"]);
    expect![[r#"
        T1: process 0 did r x nil, append y 1 (from 0.000 s to 0.003 s)
        T2: process 1 did r y nil, append x 1 (from 0.001 s to 0.004 s)
        T1 comes before T2: T1 did not observe T2's append of 1 to x
        T2 comes before T1: T2 did not observe T1's append of 1 to y
        so T1 (process 0) would have to come before itself: T1 before T2 (process 1) before T1"#]]
    .assert_eq(&sentences(&SER, &text));
    // What nobody read was appended all the same, if that was acknowledged.
    let unread = concurrent(&[
        "[[r,x,[7]],[append,y,1]]",
        "[[r,y,[7]],[append,x,1]]",
        "[[append,x,7],[append,y,7]]",
    ]);
    check(&unread, ["valid", "valid", "G2", "G2"]);
    check(&unread.replace("1 ok [[r,y,[7]],[append,x,1]]", "1 info timeout"), ["valid"; 4]);
}

#[test]
fn cycles_that_need_the_order_of_a_session() {
    let stale = [(0, "[[append,x,1]]"), (1, "[[r,x,[1]]]"), (0, "[[r,x,nil]]")];
    check(&sequential(&stale), ["valid", "valid", "valid", "G-single-session"]);
    expect![[r#"
        T1: process 0 did append x 1 (from 0.000 s to 0.001 s)
        T2: process 2 did r x nil (from 0.004 s to 0.005 s)
        T1 comes before T2: T1 ended before T2 began in the same session
        T2 comes before T1: T2 did not observe T1's append of 1 to x
        so T1 (process 0) would have to come before itself: T1 before T2 (process 2) before T1"#]]
    .assert_eq(&sentences(&STRICT, &sequential(&stale)));
    let turned = [(0, "[[append,x,1]]"), (0, "[[append,x,2]]"), (1, "[[r,x,[2,1]]]")];
    check(&sequential(&turned), ["valid", "valid", "valid", "G0-session"]);
    let early = [(0, "[[r,x,[1]]]"), (0, "[[append,x,1]]")];
    check(&sequential(&early), ["valid", "valid", "valid", "G1c-session"]);
}

#[test]
fn who_failed_takes_no_part_in_the_order_of_a_session() {
    // Process 1 failed, though process 4 read what it appended.
    let text = "
        3 invoke txn db [[r,x,nil]]
        3 ok [[r,x,nil]]
        0/0 invoke txn db [[append,x,1]]
        0 ok [[append,x,1]]
        1/0 invoke txn db [[append,y,1]]
        1 fail refused
        2/0 invoke txn db [[r,x,nil]]
        2 ok [[r,x,nil]]
        4 invoke txn db [[r,x,nil],[r,y,nil]]
        4 ok [[r,x,[1]],[r,y,[1]]]
    ";
    check(text, ["G1a", "G1a", "G1a", "G-single-session G1a"]);
    assert_eq!(proved_by(&STRICT, text), [vec![0, 2], vec![1, 4]]);
}

#[test]
fn cycles_that_need_the_order_of_time() {
    let stale = [(0, "[[append,x,1]]"), (1, "[[r,x,[1]]]"), (2, "[[r,x,nil]]")];
    check(&sequential(&stale), ["valid", "valid", "valid", "G-single-realtime"]);
    expect![[r#"
        T1: process 0 did append x 1 (from 0.000 s to 0.001 s)
        T2: process 2 did r x nil (from 0.004 s to 0.005 s)
        T1 comes before T2: T1 ended before T2 began
        T2 comes before T1: T2 did not observe T1's append of 1 to x
        so T1 (process 0) would have to come before itself: T1 before T2 (process 2) before T1"#]]
    .assert_eq(&sentences(&STRICT, &sequential(&stale)));
    let turned = [(0, "[[append,x,1]]"), (1, "[[append,x,2]]"), (2, "[[r,x,[2,1]]]")];
    check(&sequential(&turned), ["valid", "valid", "valid", "G0-realtime"]);
    let early = [(0, "[[r,x,[1]]]"), (1, "[[append,x,1]]")];
    check(&sequential(&early), ["valid", "valid", "valid", "G1c-realtime"]);
}

/// Two transactions one after the other, in these sessions, the first one appending to y and the
/// second one missing the append to x by process 5, which runs all the time.
fn misses(first: u32, second: u32, process_5: &str, others: &str) -> String {
    format!(
        "
        5 invoke txn db {}
        {others}
        0/{first} invoke txn db [[append,y,1]]
        0 ok [[append,y,1]]
        1/{second} invoke txn db [[r,x,nil]]
        1 ok [[r,x,nil]]
        5 ok {process_5}
        7 invoke txn db [[append,z,1],[r,z,nil]]
        7 ok [[append,z,1],[r,z,[1]]]
        ",
        asked(process_5),
    )
}

#[test]
fn cycles_with_several_rw_edges_and_the_order_of_time() {
    // Process 5 missed the append to y, and was missed by who began after that had ended.
    let skew = |second| misses(0, second, "[[r,y,nil],[append,x,1]]", "");
    check(&skew(1), ["valid", "valid", "valid", "G2-realtime"]);
    check(&skew(0), ["valid", "valid", "valid", "G2-session"]);
    // Process 6 saw process 5 and missed the append to y.
    let others = "6 invoke txn db [[r,x,nil],[r,y,nil]]";
    let fork = |second| misses(0, second, "[[append,x,1]]", others) + "6 ok [[r,x,[1]],[r,y,nil]]";
    check(&fork(1), ["valid", "valid", "valid", "G-nonadjacent-realtime"]);
    check(&fork(0), ["valid", "valid", "valid", "G-nonadjacent-session"]);
}

#[test]
fn an_element_that_nobody_appended() {
    let text = concurrent(&["[[append,x,1]]", "[[r,x,[1,9]]]"]);
    check(&text, ["garbage-read"; 4]);
    expect![[r#"
        T1: process 1 did r x [1 9] (from 0.001 s to 0.003 s)
        nobody appended 9 on x"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn an_element_twice() {
    let text = concurrent(&["[[append,x,1]]", "[[r,x,[1,1]]]"]);
    check(&text, ["duplicate-elements"; 4]);
    expect![[r#"
        T1: process 1 did r x [1 1] (from 0.001 s to 0.003 s)
        the list that was read holds 1 on x more than once"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn lists_that_do_not_begin_alike() {
    let text = concurrent(&["[[append,x,1]]", "[[append,x,2]]", "[[r,x,[1,2]]]", "[[r,x,[2]]]"]);
    check(&text, ["incompatible-order"; 4]);
    expect![[r#"
        T1: process 2 did r x [1 2] (from 0.002 s to 0.006 s)
        T2: process 3 did r x [2] (from 0.003 s to 0.007 s)
        neither of [2] and [1 2] is a beginning of the other, and both were read from x: element 1 is 2 in the one and 1 in the other"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn what_happens_again_on_a_key_is_counted_and_the_first_is_told() {
    let text = concurrent(&[
        "[[append,x,1]]",
        "[[append,x,2]]",
        "[[r,x,[1,2]]]",
        "[[r,x,[1,2]]]",
        "[[r,x,[2]]]",
        "[[r,x,[2]]]",
        "[[r,x,[2]]]",
    ]);
    check(&text, ["incompatible-order"; 4]);
    expect![[r#"
        T1: process 2 did r x [1 2] (from 0.002 s to 0.009 s)
        T2: process 4 did r x [2] (from 0.004 s to 0.011 s)
        the same happened 2 more times on x
        neither of [2] and [1 2] is a beginning of the other, and both were read from x: element 1 is 2 in the one and 1 in the other"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn a_list_in_another_order_than_its_transaction_appended() {
    let text = concurrent(&["[[append,x,1],[append,x,2]]", "[[append,x,3]]", "[[r,x,[2,1,3]]]"]);
    check(&text, ["incompatible-order"; 4]);
    expect![[r#"
        T1: process 0 did append x 1, append x 2 (from 0.000 s to 0.003 s)
        T2: process 2 did r x [2 1 3] (from 0.002 s to 0.005 s)
        2 was read on x before 1, but their transaction appended it after that"#]]
    .assert_eq(&sentences(&RC, &text));
}

#[test]
fn a_committed_append_on_top_of_one_that_failed() {
    let text = concurrent(&["fail [[append,x,1]]", "[[append,x,2]]", "[[r,x,[1,2]]]"]);
    check(&text, ["G1a dirty-update"; 4]);
}

#[test]
fn a_transaction_that_contradicts_itself() {
    let own = concurrent(&["[[append,x,1],[r,x,nil]]", "[[r,x,[1]]]"]);
    check(&own, ["valid", "internal", "internal", "internal"]);
    expect![[r#"
        T1: process 0 did append x 1, r x nil (from 0.000 s to 0.002 s)
        the read of nil from x contradicts what the same transaction had read and appended before"#]]
    .assert_eq(&sentences(&SI, &own));
    let again = concurrent(&["[[append,x,1]]", "[[r,x,nil],[r,x,[1]]]"]);
    let both = "G-single internal";
    check(&again, ["valid", both, both, both]);
}

#[test]
fn a_transaction_that_reads_what_it_appends_later() {
    let text = concurrent(&["[[r,x,[1]],[append,x,1]]"]);
    check(&text, ["valid", "future-read", "future-read", "future-read"]);
}

#[test]
fn two_transactions_that_append_to_what_both_read() {
    let text =
        concurrent(&["[[append,x,7]]", "[[r,x,[7]],[append,x,1]]", "[[r,x,[7]],[append,x,2]]"]);
    check(&text, ["valid", "lost-update", "lost-update", "lost-update"]);
    expect![[r#"
        T1: process 1 did r x [7], append x 1 (from 0.001 s to 0.004 s)
        T2: process 2 did r x [7], append x 2 (from 0.002 s to 0.005 s)
        both read [7] from x and appended to that: the later one did not see the other's append"#]]
    .assert_eq(&sentences(&SI, &text));
    check(&text.replace("2 ok [[r,x,[7]],[append,x,2]]", "2 info timeout"), ["valid"; 4]);
    let read = text + "9 invoke txn db [[r,x,nil]]\n9 ok [[r,x,[7,1,2]]]";
    let both = "lost-update G-single";
    check(&read, ["valid", both, both, both]);
}

/// Who showed what is wrong, who makes it wrong, and what would have been legal.
fn contrast(checker: &ListAppend, text: &str) -> (u32, Option<u32>, String) {
    let contrast = checker.check(&history(text)).anomalies()[0].contrast.clone().unwrap();
    (contrast.operation.0, contrast.due.map(|due| due.0), contrast.legal.to_string())
}

#[test]
fn who_lost_an_update_could_have_read_what_the_other_one_appended_to_that_list() {
    let text = concurrent(&[
        "[[append,x,7]]",
        "[[append,y,8],[r,x,[7]],[append,x,1],[append,x,3]]",
        "[[r,x,[7]],[append,x,2]]",
    ]);
    assert_eq!(contrast(&SI, &text), (2, Some(1), "with 1".to_owned()));
    let observed = SI.check(&history(&text)).anomalies()[0].contrast.clone().unwrap().observed;
    assert_eq!(observed, Some(Value::List([Value::Int(7)].into())));
}

#[test]
fn a_list_could_have_begun_as_the_longest_one_does() {
    let text = concurrent(&["[[append,x,1]]", "[[append,x,2]]", "[[r,x,[1,2]]]", "[[r,x,[2]]]"]);
    let legal = "a beginning of [1 2], or what goes on from it";
    assert_eq!(contrast(&RC, &text), (3, Some(2), legal.to_owned()));
}

#[test]
fn a_cycle_says_who_is_in_it_and_not_who_only_read_the_order() {
    let text = concurrent(&[
        "[[append,x,1],[append,y,1]]",
        "[[append,x,2],[append,y,2]]",
        "[[r,x,[1,2]],[r,y,[2,1]]]",
    ]);
    let found = RC.check(&history(&text)).anomalies()[0].clone();
    assert_eq!(found.witness.operations, [0, 1, 2].map(OperationId));
    let around = [0, 1].map(OperationId).to_vec();
    assert_eq!(found.contrast, Some(Contrast::new(OperationId(0), Legal::NoCycle(around))));
}

#[test]
fn no_update_is_lost_of_what_is_no_list_or_has_no_order() {
    let registers = concurrent(&[
        "[[r,x,nil],[w,x,1]]",
        "[[r,x,nil],[w,x,2]]",
        "[[append,y,1]]",
        "[[r,y,[1]]]",
    ]);
    check(&registers, ["valid"; 4]);
    let broken = concurrent(&[
        "[[append,x,7]]",
        "[[r,x,[7]],[append,x,1]]",
        "[[r,x,[7]],[append,x,2]]",
        "[[r,x,[7,1]]]",
        "[[r,x,[7,2]]]",
    ]);
    check(&broken, ["incompatible-order"; 4]);
    // What one transaction had appended itself was not there before it, and is not what both began with.
    let own = concurrent(&["[[append,x,1],[r,x,[1]],[append,x,2]]", "[[r,x,[1]],[append,x,3]]"]);
    let said = "G-single G1b";
    check(&own, ["G1b", said, said, said]);
}

#[test]
fn a_store_that_forgets_what_it_acknowledged_is_not_strict() {
    let forgets = [(0, "[[append,x,1]]"), (1, "[[append,x,2]]"), (2, "[[r,x,nil]]")];
    check(&sequential(&forgets), ["unknown", "unknown", "unknown", "G-single-realtime"]);
    let some = [(0, "[[append,x,1]]"), (1, "[[append,x,2]]"), (2, "[[r,x,[1]]]")];
    check(&sequential(&some), ["valid", "valid", "valid", "G-single-realtime"]);
}

#[test]
fn an_append_without_an_answer_may_come_late_or_never() {
    let text = "
        0 invoke txn db [[append,x,1]]
        0 info timeout
        1 invoke txn db [[append,x,2]]
        1 ok [[append,x,2]]
        2 invoke txn db [[r,x,nil]]
        2 ok [[r,x,[2]]]
        3 invoke txn db [[r,x,nil]]
        3 ok [[r,x,[2,1]]]
    ";
    check(text, ["valid"; 4]);
    // But not before it was asked for.
    let early = "
        2 invoke txn db [[r,x,nil]]
        2 ok [[r,x,[1]]]
        0 invoke txn db [[append,x,1]]
        0 info timeout
    ";
    check(early, ["valid", "valid", "valid", "G1c-realtime"]);
}

#[test]
fn answers_that_do_not_fit_are_the_stores_fault() {
    let append = "0 invoke txn db [[append,x,1]]\n0 ok [[append,x,1]]\n";
    let answers = [
        "7",
        "nil",
        "[]",
        "[7]",
        "[[r,x]]",
        "[[r,y,nil]]",
        "[[append,x,nil]]",
        "[[r,x,7]]",
        "[[r,x,abc]]",
        "[[[r],x,nil]]",
    ];
    for answer in answers {
        let text = format!("{append}1 invoke txn db [[r,x,nil]]\n1 ok {answer}");
        check(&text, ["malformed-answer"; 4]);
    }
    check("0 invoke txn db [[append,x,1]]\n0 ok [[append,x,2]]", ["malformed-answer"; 4]);
    // Elements may be anything.
    check(&sequential(&[(0, "[[append,x,nil]]"), (0, "[[r,x,[nil]]]")]), ["valid"; 4]);
}

#[test]
fn what_cannot_be_told_is_left_open() {
    check("", ["unknown"; 4]);
    check(&concurrent(&["[[append,x,1]]", "[[r,x,nil]]"]), ["unknown"; 4]);
    check(&concurrent(&["[[append,x,1]]", "info [[r,x,nil]]"]), ["unknown"; 4]);
    check(&concurrent(&["[[inc,x,1]]", "[[r,x,5]]", "[[w,y,5]]", "[[r,y,7]]"]), ["unknown"; 4]);
    let twice = concurrent(&["[[append,x,1]]", "fail [[append,x,1]]", "[[r,x,[1]]]"]);
    check(&twice, ["unknown"; 4]);
    assert_eq!(
        reason(&RC, &twice),
        "1 was appended to x more than once, so nobody knows whose append a read saw"
    );
    check("0 invoke txn db [[r]]\n0 info timeout", ["unknown"; 4]);
}

#[test]
fn each_level_is_in_the_table() {
    let text = history(&concurrent(&["fail [[append,x,1]]", "[[r,x,[1]]]"]));
    for level in [RC, SI, SER, STRICT] {
        let guarantee = level.level.guarantee();
        let entry = CHECKERS.iter().find(|entry| entry.guarantee == guarantee).unwrap();
        assert_eq!((entry.build)(&Limits::default()).check(&text), level.check(&text));
    }
}

/// A long history on lists that are left for fresh ones before they grow too long; in a bad one,
/// some reads miss what is at the end.
fn long(count: usize, bad: bool) -> History {
    let mut recorder = Recorder::new();
    let mut lists: Vec<Vec<Value>> = vec![Vec::new(); 5];
    for number in 0..count {
        if number % 500 == 0 {
            lists.iter_mut().for_each(Vec::clear);
        }
        recorder.store = number / 500;
        let (one, other) = (number % 5, (number * 3 + 1) % 5);
        let value = Value::Int(number as i64);
        lists[one].push(value.clone());
        let missed = if bad && number % 7 == 0 { 3 } else { 0 };
        let shown = lists[other].len().saturating_sub(missed);
        let read = Value::List(lists[other][..shown].into());
        let steps = [step("append", one, value), step("r", other, read)];
        let process = (number % 7) as u32;
        recorder.invoke(process, &steps);
        recorder.ok(process, &steps);
    }
    recorder.finish()
}

#[test]
fn a_hundred_thousand_transactions_are_judged() {
    let verdict = STRICT.check(&long(100_000, false));
    let Verdict::Valid(coverage) = verdict else { panic!("{verdict:#?}") };
    assert_eq!((coverage.operations, coverage.keys), (100_000, 1_000));
}

#[test]
fn a_long_history_that_is_wrong_everywhere_is_judged_as_well() {
    let history = long(30_000, true);
    let verdict = STRICT.check(&history);
    assert!(verdict.anomalies().len() > 50, "only {}", verdict.anomalies().len());
    assert!(verdict.anomalies().iter().all(|found| found.witness.operations.len() < 10));
    assert!(RC.check(&history).is_valid());
    assert_eq!(verdict, STRICT.check(&history));
}

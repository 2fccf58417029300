//! What is said of an object: by which method it was judged, and what nobody can judge.

use expect_test::expect;
use stormglass_checkers::Verdict;
use stormglass_checkers::checker::linearizable::Settings;
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{NilReads, Value};

use super::{check, word};
use crate::notation::history;

#[test]
fn what_a_model_does_not_offer_is_nobodys_fault() {
    let appended = r#"
        0 invoke txn t [["append","x",1],["r","x",nil]]
        0 ok [["append","x",1],["r","x",[1]]]
    "#;
    let verdict = Linearizable::new(Limits::default()).check(&history(appended));
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect![[r#"key t is no multi-register: ["append" "x" 1] is no step ["r" key nil] or ["w" key value]; transactions that append are judged by --guarantee strict-serializable, serializable, snapshot-isolation or read-committed, those that transfer by --guarantee bank"#]]
        .assert_eq(&reason);
    // Values are put at the end of lists, too, and lists of texts are no texts.
    for list in ["1", "a"] {
        let text = format!("0 invoke append l {list}\n0 ok\n0 invoke read l\n0 ok [{list}]");
        let verdict = Linearizable::new(Limits::default()).check(&history(&text));
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
    }
    let counted = "
        0 invoke increment c 1
        0 ok
        1 invoke read c
        1 ok 6
    ";
    let check = |text: &str, initial: Value| {
        Linearizable::new(Limits::default()).check(&history(text).that_begins_as(&initial))
    };
    assert!(check(counted, Value::Nil).is_invalid());
    assert!(check(counted, Value::Int(5)).is_valid());
    let verdict =
        check(&counted.replace("increment", "add").replace("ok 6", "ok [1]"), Value::Int(5));
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect!["no set begins as 5"].assert_eq(&reason);
}

#[test]
fn what_a_transaction_got_is_told_step_by_step() {
    let text = r#"
        0 invoke txn t [["w","x",1]]
        0 ok [["w","x",1]]
        1 invoke txn t [["r","x",nil],["w","y",2]]
        1 ok [["r","x",nil],["w","y",2]]
    "#;
    let verdict = Linearizable::new(Limits::default()).check(&history(text));
    let told = verdict.anomalies()[0].explanation.join("\n");
    assert!(
        told.contains("process 1 did txn r x nil, w y 2 and got r x nil, w y 2 (from"),
        "{told}"
    );
}

#[test]
fn a_read_of_nil_may_say_nothing() {
    let text = r#"
        0 invoke txn t [["w","x",1],["w","y",1]]
        0 ok [["w","x",1],["w","y",1]]
        1 invoke txn t [["r","x",nil],["r","y",nil]]
        1 ok [["r","x",nil],["r","y",1]]
    "#;
    let check = |text: &str, nil_reads: NilReads| {
        Linearizable::new(Limits::default()).check(&history(text).with_nil_reads(nil_reads))
    };
    assert!(check(text, NilReads::Absent).is_invalid());
    assert!(check(text, NilReads::Unknown).is_valid());
    assert!(
        check(&text.replace(r#"["r","y",1]"#, r#"["r","y",2]"#), NilReads::Unknown).is_invalid()
    );
    let set = "0 invoke add s 1\n 0 ok\n 1 invoke read s\n 1 ok nil\n 1 invoke read s\n 1 ok [1]";
    assert!(check(set, NilReads::Absent).is_invalid());
    assert!(check(set, NilReads::Unknown).is_valid());
    let register = set.replace("add s", "write s").replace("[1]", "1");
    assert!(check(&register, NilReads::Absent).is_invalid());
    assert!(check(&register, NilReads::Unknown).is_valid());
}

#[test]
fn a_key_of_which_no_model_offers_everything_is_told_with_what_was_asked() {
    // Who generates unique values is judged elsewhere.
    let text = "
        0 invoke generate g
        0 ok 1
        0 invoke write x 1
        0 ok
        0 invoke enqueue x 2
        0 ok
    ";
    let check = |text: &str| Linearizable::new(Limits::default()).check(&history(text));
    let verdict = check(text);
    assert_eq!(verdict.coverage().keys, 1);
    let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
    expect!["no model offers all that is asked of key x: write, enqueue"].assert_eq(&reason);
    assert!(check(&text.replace("enqueue x 2\n        0 ok", "read x\n        0 ok 1")).is_valid());
}

#[test]
fn a_verdict_says_how_each_key_was_judged() {
    let text = "
        0 invoke add s 1
        0 ok
        0 invoke read s
        0 ok [1]
        0 invoke enqueue q 1
        0 ok
        0 invoke dequeue q
        0 ok 1
        0 invoke enqueue again 1
        0 ok
        0 invoke enqueue again 1
        0 ok
        0 invoke write x 1
        0 ok
        0 invoke read x
        0 ok 1
    ";
    expect![
        "zones, order of set on 1, order of fifo-queue on 1, interval search of fifo-queue on 1"
    ]
    .assert_eq(&check(text).coverage().method);
}

#[test]
fn changes_of_an_object_that_nobody_looked_at_show_nothing() {
    for change in ["add x 1", "remove x 1", "increment x 1", "append x a", "enqueue x 1"] {
        let text = format!("0 invoke {change}\n0 ok\n");
        assert!(matches!(check(&text), Verdict::Unknown { .. }), "{change}");
    }
    // Who was given a lock has seen that nobody held it.
    assert!(check("0 invoke acquire x\n0 ok").is_valid());
}

#[test]
fn a_violation_that_is_not_to_be_explained_is_told_by_where_it_was_found() {
    let checker = Linearizable::with(Settings { explain: false, ..Settings::default() });
    for text in [
        "0 invoke add s 1\n0 ok\n0 invoke read s\n0 ok []",
        "0 invoke enqueue q 1\n0 ok\n0 invoke dequeue q\n0 ok nil",
        "0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil",
        "0 invoke write x 1\n0 ok\n0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil",
    ] {
        let verdict = checker.check(&history(text));
        let anomaly = &verdict.anomalies()[0];
        assert_eq!(anomaly.name, "not-linearizable");
        assert_eq!(anomaly.explanation.len(), 1, "{anomaly:#?}");
        assert_eq!(anomaly.witness.operations.len(), 1, "{anomaly:#?}");
    }
}

#[test]
fn replicas_of_objects_are_not_held_to_linearizability() {
    let text = "
        0 invoke add s 1
        0 ok
        1 invoke read-replica s @n1
        1 ok []
        1 invoke read s
        1 ok [1]
    ";
    assert!(check(text).is_valid());
    assert!(check(&text.replace("read-replica s @n1", "read s")).is_invalid());
}

#[test]
fn what_no_object_holds_in_the_beginning_is_not_judged() {
    let starts = [
        ("add x 1", Value::Int(5), "no set begins as 5"),
        ("increment x 1", word("a"), r#"no counter begins as "a""#),
        ("append x a", Value::Int(5), "no append-string begins as 5"),
        ("enqueue x 1", Value::Int(5), "no fifo-queue begins as 5"),
        ("acquire x", Value::Int(5), "no mutex begins as 5"),
        (r#"txn x [["w","y",1]]"#, Value::Int(5), "no multi-register begins as 5"),
    ];
    for (asked, initial, expected) in starts {
        let history = history(&format!("0 invoke {asked}")).that_begins_as(&initial);
        let verdict = Linearizable::new(Limits::default()).check(&history);
        let Verdict::Unknown { reason, coverage } = verdict else { panic!("{verdict:?}") };
        // There was a key to judge: to say that nothing in it shows anything would not be true.
        assert_eq!((&*reason, coverage.keys), (expected, 1));
    }
    let judge = |text: &str| {
        let history = history(text).that_begins_as(&word("a"));
        Linearizable::new(Limits::default()).check(&history)
    };
    let text = "0 invoke append x b\n0 ok\n0 invoke read x\n0 ok ab";
    assert!(judge(text).is_valid());
    assert!(judge(&text.replace("ok ab", "ok b")).is_invalid());
}

#[test]
fn what_no_object_is_asked_is_told_once_for_a_key() {
    let told = |text: &str| {
        let verdict = check(text);
        assert_eq!(verdict.coverage().keys, 1, "{verdict:?}");
        let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
        reason
    };
    let nothing = "0 invoke enqueue q nil\n0 ok\n".repeat(2);
    expect!["key q is no fifo-queue: taking nil out cannot be told from finding nothing"]
        .assert_eq(&told(&nothing));
    expect![[r#"key c is no counter: "a" is no whole number"#]]
        .assert_eq(&told("0 invoke increment c a\n0 ok\n0 invoke read c\n0 ok 0"));
    // What is strange about an answer counts only where it is known of what kind the key is.
    let list = "0 invoke read l\n0 ok 1\n0 invoke append l a\n0 ok\n0 invoke read l\n0 ok [a]";
    expect!["key l is no append-string: it holds lists, which are judged in transactions only"]
        .assert_eq(&told(list));
}

#[test]
fn an_answer_that_no_object_gives_is_a_violation() {
    let strange = |text: &str| {
        let verdict = check(text);
        let anomaly = &verdict.anomalies()[0];
        assert_eq!(anomaly.name, "strange-answer");
        anomaly.explanation.last().unwrap().clone()
    };
    expect![[r#""a" is no whole number"#]]
        .assert_eq(&strange("0 invoke increment c 1\n0 ok\n0 invoke read c\n0 ok a"));
    let steps = "the answer has other steps than the transaction";
    for answer in [r#"["r","x",1]"#, r#"["r","x",1],["r","y",1]"#, r#"["w","x",1],["w","y",1]"#] {
        let asked = r#"[["w","x",1],["r","x",nil]]"#;
        assert_eq!(strange(&format!("0 invoke txn t {asked}\n0 ok [{answer}]")), steps);
        // One that is right as far as it goes is not all of it.
        let begun = r#"[["w","x",1]]"#;
        assert_eq!(strange(&format!("0 invoke txn t {asked}\n0 ok {begun}")), steps);
    }
}

#[test]
fn the_order_of_a_queue_takes_no_search() {
    let limits = Limits { states_max: 0, ..Limits::default() };
    let text = "
        0 invoke enqueue q 1
        1 invoke enqueue q 2
        0 ok
        1 ok
        2 invoke enqueue q 3
        3 invoke dequeue q
        3 ok 2
        3 invoke dequeue q
        3 ok 1
        3 invoke dequeue q
        3 ok nil
    ";
    let history = history(text);
    let orders = Linearizable::new(limits).linearizations(&history).unwrap();
    let order = orders[0].operations.iter().map(|id| history.op(*id).to_string());
    // Nobody took the 3, and so it need not have been put in.
    let expected = ["enqueue q 2", "enqueue q 1", "dequeue q", "dequeue q", "dequeue q"];
    assert_eq!(order.collect::<Vec<String>>(), expected);
}

#[test]
fn what_more_was_taken_of_than_put_in_takes_no_search_of_all() {
    // Forty enqueues of three values at once have too many orders to try.
    let puts: String = (0..40).map(|put| format!("{put} invoke enqueue q {}\n", put % 3)).collect();
    let acknowledged: String = (0..40).map(|put| format!("{put} ok\n")).collect();
    let taken = |value: u32, times: usize| {
        "41 invoke dequeue q\n41 ok VALUE\n".replace("VALUE", &value.to_string()).repeat(times)
    };
    let limits = Limits { states_max: 100_000, ..Limits::default() };
    let judge = |text: &str| Linearizable::new(limits).check(&history(text));
    for (value, times) in [(9, 1), (2, 14)] {
        let verdict = judge(&format!("{puts}{acknowledged}{}", taken(value, times)));
        assert!(verdict.is_invalid(), "{times} times {value}");
    }
    // A value may be taken as soon as somebody has begun to put it in, and not before.
    assert!(judge(&format!("{puts}{}{acknowledged}", taken(2, 13))).is_valid());
    assert!(judge(&format!("{}{puts}{acknowledged}", taken(2, 1))).is_invalid());
}

#[test]
fn an_empty_queue_is_not_looked_for_while_something_is_in_it() {
    // While 1 was certainly in it, 2 was, and longer than that.
    let text = "
        0 invoke enqueue q 1
        1 invoke enqueue q 2
        1 ok
        0 ok
        2 invoke dequeue q
        3 invoke dequeue q
        3 ok 1
        3 invoke dequeue q
        3 ok 2
        2 ok nil
    ";
    assert!(check(text).is_valid());
}

//! Histories of other tools: what is read, what is refused, and what is written.

use expect_test::expect;
use proptest::prelude::*;
use stormglass_checkers::checker::linearizable::{Linearizable, Settings};
use stormglass_checkers::checker::{Bank, CHECKERS, Checker, Limits};
use stormglass_checkers::history::format::Format;
use stormglass_checkers::history::jepsen_edn::{self, Keys};
use stormglass_checkers::history::jsonl::{ReadError, ReadLimits};
use stormglass_checkers::history::{
    Event, HistoryBuilder, Invocation, NilReads, Op, OperationId, Outcome, ProcessId, ReadLevel,
    Reason, Ret, SessionId, Time, Value,
};
use stormglass_checkers::{Anomaly, History};

use crate::notation::history;

fn edn(text: &str) -> Result<History, ReadError> {
    jepsen_edn::read(text.as_bytes(), &ReadLimits::default(), Keys::Single)
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = edn(text).expect_err("it was read").to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_is_added_to_a_key_that_is_read_as_a_number_is_counted() {
    let adds = |key: &str, read: &str| {
        format!(
            "{{:process 0, :type :invoke, :f :add, :key {key}, :value 2}}\n\
             {{:process 0, :type :ok, :f :add, :key {key}, :value 2}}\n\
             {{:process 0, :type :invoke, :f :read, :key {key}}}\n\
             {{:process 0, :type :ok, :f :read, :key {key}, :value {read}}}\n"
        )
    };
    let both = edn(&(adds("1", "2") + &adds("2", "#{2}"))).unwrap();
    let asked: Vec<String> = both.operations().map(|of| both.op(of.id).to_string()).collect();
    assert_eq!(asked, ["increment 1 2", "read 1", "add 2 2", "read 2"]);
    let judged = |text: &str| Linearizable::new(Limits::default()).check(&edn(text).unwrap());
    assert!(judged(&adds("1", "2")).is_valid());
    assert!(judged(&adds("1", "3")).is_invalid());
    // Where somebody saw a set, a number is none; and nobody counts texts.
    let set = adds("1", "#{2}") + "{:process 1, :type :invoke, :f :read, :key 1}\n";
    let torn = set + "{:process 1, :type :ok, :f :read, :key 1, :value 2}\n";
    assert_eq!(told(&edn(&torn).unwrap())[0], "p0 add 1 2: ok");
    let text = adds("1", "2").replace(":add, :key 1, :value 2", ":add, :key 1, :value :a");
    assert_eq!(told(&edn(&text).unwrap())[0], "p0 add 1 \":a\": ok");
}

#[test]
fn a_process_of_which_the_number_is_none_here_is_taken_for_nobody_else() {
    let text = "{:process -2, :type :invoke, :f :write, :value 1}\n\
                {:process 1, :type :invoke, :f :read, :value nil}\n\
                {:process -2, :type :info, :f :write, :value 1}\n\
                {:process 99999999999, :type :invoke, :f :write, :value 2}\n\
                {:process 1, :type :ok, :f :read, :value 1}\n\
                {:process -2, :type :invoke, :f :write, :value 3}\n";
    let history = edn(text).unwrap();
    let processes: Vec<u32> = history.operations().map(|of| of.process.0).collect();
    assert_eq!(processes, [0, 1, 2, 0]);
    let mut export = Vec::new();
    jepsen_edn::write(&history, &mut export).unwrap();
    let export = String::from_utf8(export).unwrap();
    assert!(!export.contains(":time"), "a history without times has none: {export}");
    let keys = Keys::Independent;
    let again = jepsen_edn::read(export.as_bytes(), &ReadLimits::default(), keys).unwrap();
    assert_eq!(told(&again), told(&history));
}

#[test]
fn reads_and_writes_of_steps_are_transactions() {
    let text = "{:process 0, :type :invoke, :f :write, :value [[:w 1 7]]}\n\
                {:process 0, :type :ok, :f :write, :value [[:w 1 7]]}\n\
                {:process 1, :type :invoke, :f :read, :value [[:r 1 nil] [:r 2 nil]]}\n\
                {:process 1, :type :ok, :f :read, :value [[:r 1 7] [:r 2 nil]]}\n\
                {:process 0, :type :invoke, :f :write, :value [[1 7]]}\n";
    let history = jepsen_edn::read(text.as_bytes(), &ReadLimits::default(), Keys::Auto).unwrap();
    assert_eq!(
        told(&history),
        [
            "p0 txn x [[\"w\" 1 7]]: ok [[\"w\" 1 7]]",
            "p1 txn x [[\"r\" 1 nil] [\"r\" 2 nil]]: ok [[\"r\" 1 7] [\"r\" 2 nil]]",
            "p0 write x [[1 7]]: ",
        ]
    );
}

/// A bank as Jepsen writes it down.
fn bank(then: &str) -> String {
    "{:process 0, :type :invoke, :f :read, :value nil}
     {:process 0, :type :ok, :f :read, :value {0 10, 1 10}}
     {:process 0, :type :invoke, :f :transfer, :value {:from 0, :to 1, :amount 3}}
     {:process 1, :type :invoke, :f :transfer, :value {:from 1, :to 0, :amount 4}}
     {:process 0, :type :ok, :f :transfer, :value {:from 0, :to 1, :amount 3}}
     {:process 1, :type :fail, :f :transfer, :value {:from 1, :to 0, :amount 4}}
     {:process 2, :type :invoke, :f :transfer, :value {:from 0, :to 1, :amount 1}}
     {:process 2, :type :info, :f :transfer, :value {:from 0, :to 1, :amount 1}}
     {:process 3, :type :invoke, :f :read}
     {:process 4, :type :invoke, :f :read}
     {:process 4, :type :ok, :f :read, :value nil}
     {:process 0, :type :invoke, :f :read, :value nil}\n"
        .to_owned()
        + &format!("{{:process 0, :type :ok, :f :read, :value {then}}}\n")
}

#[test]
fn transfers_and_what_reads_all_balances_are_transactions_of_a_bank() {
    assert_eq!(
        told(&edn(&bank("[7 13]")).unwrap()),
        [
            "p0 txn x [[\"r\" 0 nil] [\"r\" 1 nil]]: ok [[\"r\" 0 10] [\"r\" 1 10]]",
            "p0 txn x [[\"inc\" 0 -3] [\"inc\" 1 3]]: ok [[\"inc\" 0 -3] [\"inc\" 1 3]]",
            "p1 txn x [[\"inc\" 1 -4] [\"inc\" 0 4]]: fail fail",
            "p2 txn x [[\"inc\" 0 -1] [\"inc\" 1 1]]: info info",
            "p3 txn x [[\"r\" 0 nil] [\"r\" 1 nil]]: ",
            "p4 txn x []: ok []",
            "p0 txn x [[\"r\" 0 nil] [\"r\" 1 nil]]: ok [[\"r\" 0 7] [\"r\" 1 13]]",
        ]
    );
    let judge = |then: &str| Bank::default().check(&edn(&bank(then)).unwrap());
    assert!(judge("{0 7, 1 13}").is_valid());
    assert!(judge("{0 6, 1 14}").is_valid());
    assert_eq!(judge("{0 7, 1 10}").anomalies()[0].name, "wrong-total");
    assert_eq!(judge("[7 10]").anomalies()[0].name, "wrong-total");
    // Who reads a map where nothing is transferred, reads a map.
    let map = bank("{0 1}").replace(":transfer", ":enqueue");
    assert!(told(&edn(&map).unwrap())[0].starts_with("p0 read x: ok"));
}

#[test]
fn a_transfer_of_another_shape_is_refused_with_its_line() {
    let with = |old: &str, new: &str| bank("{0 7, 1 13}").replacen(old, new, 1);
    let first = "{:from 0, :to 1, :amount 3}";
    let what =
        "line 3: the value of a :transfer is a map {:from account, :to account, :amount number}";
    for other in [
        "[0 1 3]",
        "nil",
        "{:from 0, :to 1}",
        "{:from 0, :to 1, :amount 3, :note 1}",
        "{:from 0, :to 1, :amount :a}",
        "{:from [0], :to 1, :amount 3}",
        "{:from 0, :to 1, :amount -9223372036854775808}",
    ] {
        refused(&with(first, other), what);
    }
    refused(
        &with(
            "0, :type :ok, :f :transfer, :value {:from 0, :to 1, :amount 3}",
            "0, :type :ok, :f :transfer, :value {:from 0, :to 1, :amount 2}",
        ),
        "line 5: this completes a :transfer of",
    );
    assert!(
        edn(&with(
            "0, :type :ok, :f :transfer, :value {:from 0, :to 1, :amount 3}",
            "0, :type :ok, :f :transfer"
        ))
        .is_ok()
    );
    refused(&with("{0 10, 1 10}", "7"), "line 2: a :read of a bank shows a map of accounts");
    refused(
        &with("{0 10, 1 10}", "[[0 1 2]]"),
        "line 2: a :read of a bank shows a map of accounts",
    );
    refused(&with("{0 10, 1 10}", "{0 :a}"), "line 2: a :read of a bank shows a map of accounts");
}

#[test]
fn a_drain_is_as_many_dequeues_as_it_took_values() {
    let drain = |rest: &str| {
        "{:process 0, :type :invoke, :f :enqueue, :value 1}
         {:process 0, :type :ok, :f :enqueue, :value 1}
         {:process 0, :type :invoke, :f :enqueue, :value 2}
         {:process 0, :type :ok, :f :enqueue, :value 2}
         {:process 3, :type :invoke, :f :drain, :value nil}\n"
            .to_owned()
            + rest
    };
    let judge = |history: &History| Linearizable::new(Limits::default()).check(history);
    // Alone, its values come in their order.
    let alone = |values: &str| {
        edn(&drain(&format!("{{:process 3, :type :ok, :f :drain, :value {values}}}\n"))).unwrap()
    };
    let both = alone("[1 2]");
    assert_eq!(
        told(&both),
        ["p0 enqueue x 1: ok", "p0 enqueue x 2: ok", "p3 dequeue x: ok 1", "p3 dequeue x: ok 2",]
    );
    let lines: Vec<Option<u32>> = both
        .operations()
        .flat_map(|op| [both.line(op.invoked), both.line(op.completed.unwrap())])
        .collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 6, 6].map(Some));
    assert!(judge(&both).is_valid());
    assert!(judge(&alone("[2 1]")).is_invalid());
    assert_eq!(alone("[]").operation_count(), 2);
    assert_eq!(alone("nil").operation_count(), 2);
    // While others find the queue empty, nobody knows which value came when.
    let meanwhile = drain(
        "{:process 1, :type :invoke, :f :dequeue}
         {:process 1, :type :ok, :f :dequeue, :value nil}
         {:process 3, :type :ok, :f :drain, :value [1 2]}
         {:process 3, :type :invoke, :f :dequeue}
         {:process 3, :type :fail, :f :dequeue, :error :empty}\n",
    );
    let history = edn(&meanwhile).unwrap();
    assert_eq!(
        told(&history)[2..],
        [
            "p3 dequeue x: ok 1",
            "p3 dequeue x: ok 2",
            "p1 dequeue x: ok nil",
            "p3 dequeue x: fail empty",
        ]
    );
    assert!(judge(&history).is_valid());
    let failed = drain("{:process 3, :type :fail, :f :drain}");
    assert_eq!(told(&edn(&failed).unwrap())[2], "p3 dequeue x: fail fail");
}

#[test]
fn a_drain_that_nobody_can_count_is_refused_with_its_line() {
    let asked = "{:process 3, :type :invoke, :f :drain}\n";
    let then = |rest: &str| asked.to_owned() + rest;
    let open = "a :drain without an answer may have taken anything";
    refused(asked, &format!("line 1: {open}"));
    refused(&then("{:process 3, :type :info, :f :drain}"), &format!("line 2: {open}"));
    refused(
        &then("{:process 3, :type :ok, :f :drain, :value 7}"),
        "line 2: a :drain returns the values that it took",
    );
    refused(
        &then("{:process 3, :type :ok, :f :dequeue, :value 7}"),
        "line 2: only a :drain completes a :drain",
    );
    let dequeue = "{:process 3, :type :invoke, :f :dequeue}\n";
    refused(
        &(dequeue.to_owned() + "{:process 3, :type :ok, :f :drain, :value [7]}"),
        "line 2: only a :drain completes a :drain",
    );
}

/// The operations of a history, with their outcomes, as text.
fn told(history: &History) -> Vec<String> {
    history
        .operations()
        .map(|operation| {
            let op = history.op(operation.id);
            let outcome = operation.outcome.map(|outcome| match outcome {
                Outcome::Ok(Ret::Done) => "ok".to_owned(),
                Outcome::Ok(Ret::Value(id)) => format!("ok {}", history.value(*id)),
                Outcome::Fail(reason) => {
                    format!("fail {}", reason.map(|id| history.value(*id).clone()))
                }
                Outcome::Info(reason) => {
                    format!("info {}", reason.map(|id| history.value(*id).clone()))
                }
            });
            format!("p{} {op}: {}", operation.process, outcome.unwrap_or_default())
        })
        .collect()
}

const KNOSSOS: &str = r#"; a comment
[{:process 0, :type :invoke, :f :write, :value 1, :time 10}
 {:process 1 :type :invoke :f :cas :value [1 2]}
 {:process :nemesis, :type :info, :f :start, :value "cut n1"}
 #jepsen.history.Op{:process 0, :type :ok, :f :write, :value 1}
 {:process 1, :type :info, :f :cas, :value [1 2], :error :timeout}
 {:process 1, :type :invoke, :f :read, :value nil}
 {:process :nemesis, :type :info, :f :stop, :value nil}
 {:process 1, :type :ok, :f :read, :value 2} {:process 2, :type :invoke, :f :read}
 {:process 2, :type :fail, :f :read, :error [:weird "} \" {"]}]
"#;

#[test]
fn a_history_of_knossos_is_read() {
    let history = edn(KNOSSOS).unwrap();
    assert_eq!(
        told(&history),
        [
            "p0 write x 1: ok",
            "p1 cas x 1 2: info timeout",
            // After `info` it is somebody else, who has the same number in the file.
            "p1 read x: ok 2",
            "p2 read x: fail [:weird \"} \\\" {\"]",
        ]
    );
    let verdict = Linearizable::with(Settings::default()).check(&history);
    assert!(verdict.is_valid(), "{verdict:?}");
    // One map a line, without a vector around, is the same.
    let bare = KNOSSOS.replace("\n[{", "\n{").replace("\"]}]", "\"]}");
    assert_eq!(told(&edn(&bare).unwrap()), told(&history));
}

#[test]
fn keys_are_pairs_or_have_a_field_of_their_own() {
    let text = "{:process 0, :type :invoke, :f :cas, :value [7 [1 2]]}\n\
                {:process 0, :type :ok, :f :cas, :value [7 [1 2]]}\n\
                {:process 1, :type :invoke, :f :read, :value [:k nil]}\n\
                {:process 1, :type :ok, :f :read, :value [:k 3]}";
    let keys = Keys::Independent;
    let history = jepsen_edn::read(text.as_bytes(), &ReadLimits::default(), keys).unwrap();
    assert_eq!(told(&history), ["p0 cas 7 1 2: ok", "p1 read :k: ok 3"]);
    let flat = text.replace("[7 [1 2]]", "9");
    let error = jepsen_edn::read(flat.as_bytes(), &ReadLimits::default(), keys).unwrap_err();
    assert!(error.to_string().starts_with("line 1: with independent keys"), "{error}");

    let porcupine = "{:process 0, :type :invoke, :f :put, :key \"3\", :value \"a\"}\n\
                     {:process 0, :type :ok, :f :put, :key \"3\", :value \"a\"}\n\
                     {:process 1, :type :invoke, :f :get, :key \"3\", :value nil}\n\
                     {:process 1, :type :ok, :f :get, :key \"3\", :value \"a\"}\n\
                     {:process 1, :type :invoke, :f :append, :key \"3\", :value \"b\"}";
    assert_eq!(Format::detect(porcupine.as_bytes()), Some(Format::PorcupineKv));
    let history = edn(porcupine).unwrap();
    assert_eq!(
        told(&history),
        ["p0 write 3 \"a\": ok", "p1 read 3: ok \"a\"", "p1 append 3 \"b\": "]
    );
}

#[test]
fn values_that_may_be_pairs_are_taken_for_pairs_only_where_that_is_said() {
    let auto = |text: &str| jepsen_edn::read(text.as_bytes(), &ReadLimits::default(), Keys::Auto);
    let flat = "{:process 0, :type :invoke, :f :read, :value nil}";
    assert!(auto(flat).is_ok());
    // Of a lock, judged as one, two holders of two keys would break it; judged as two, it may be fine.
    for (f, value) in [("read", "[:k nil]"), ("acquire", "[\"k\" nil]"), ("cas", "[7 [1 2]]")] {
        let pair = flat.replace(":read", &format!(":{f}")).replace("nil", value);
        let error = auto(&pair).unwrap_err().to_string();
        let words =
            format!("line 1: the value of a :{f} is {value}: say with `--keys independent`");
        assert!(error.starts_with(&words), "{error}");
        assert!(edn(&pair.replace("[7 [1 2]]", "[[7] [1 2]]")).is_ok());
    }
    assert!(auto(&flat.replace(":read", ":cas").replace("nil", "[7 1]")).is_ok());
}

#[test]
fn a_completion_that_contradicts_its_invocation_is_refused() {
    let asked = "{:process 0, :type :invoke, :f :write, :value 1}\n";
    let ends = |end: &str| edn(&format!("{asked}{end}"));
    let ok = "{:process 0, :type :ok, :f :write, :value 1}";
    assert!(ends(ok).is_ok());
    assert!(ends(&ok.replace("1}", "nil}")).is_ok(), "left out, it is the same");
    let refused = |end: &str, words: &str| {
        let error = ends(end).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    };
    refused(&ok.replace("1}", "2}"), "line 2: this completes a :write of 2, but `write x 1` was");
    refused(&ok.replace("1}", ":a}"), "line 2: this completes a :write of :a, but `write x 1` was");
    for kind in ["ok", "fail", "info"] {
        let other = ok.replace(":ok", &format!(":{kind}")).replace(":write", ":read");
        refused(
            &other,
            "line 2: this completes a :read, but a :write is what its process had asked",
        );
    }
    let pairs = "{:process 0, :type :invoke, :f :write, :value [7 1]}\n\
                 {:process 0, :type :ok, :f :write, :value [8 1]}";
    let error = jepsen_edn::read(pairs.as_bytes(), &ReadLimits::default(), Keys::Independent);
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "line 2: this completes an operation on 8, but 7 was asked");
}

#[test]
fn a_keyword_is_another_value_than_a_text() {
    let text = "{:process 0, :type :invoke, :f :write, :value :a}\n\
                {:process 0, :type :ok, :f :write, :value :a}\n\
                {:process 0, :type :invoke, :f :read, :value nil}\n\
                {:process 0, :type :ok, :f :read, :value :a}";
    let judge = |text: &str| Linearizable::with(Settings::default()).check(&edn(text).unwrap());
    assert!(judge(text).is_valid());
    let verdict = judge(&text.replace(":read, :value :a", ":read, :value \"a\""));
    assert_eq!(verdict.anomalies()[0].name, "unwritten-value");
    // Steps of transactions have names, however they are written.
    let txn = "{:process 0, :type :invoke, :f :txn, :value [[:append :x 1] [\"r\" :x nil]]}";
    assert_eq!(told(&edn(txn).unwrap()), [r#"p0 txn x [["append" ":x" 1] ["r" ":x" nil]]: "#]);
}

/// What the same write becomes with each of several values.
fn read_as(values: &[&str]) -> Vec<Value> {
    let asked = |value: &&str| {
        let text = format!("{{:process 0, :type :invoke, :f :write, :value {value}}}");
        let Op::Write { value, .. } = edn(&text).unwrap().op(OperationId(0)) else {
            panic!("it is no write: {text}")
        };
        value
    };
    values.iter().map(asked).collect()
}

#[test]
fn different_values_of_edn_are_different_here() {
    let values = read_as(&[
        "nil",
        "\"nil\"",
        ":nil",
        "true",
        "\"true\"",
        "\"#true\"",
        "\"##true\"",
        ":true",
        "false",
        "1",
        "\"1\"",
        "1.0",
        "\"1.0\"",
        "\"#1.0\"",
        "1M",
        "1.5",
        "1.5M",
        "1/2",
        "\"1/2\"",
        ":a",
        "\":a\"",
        "\"::a\"",
        "\":::a\"",
        "a",
        "\"a\"",
        "\\a",
        "\"#'a\"",
        "[1]",
        "#{1}",
        "#{[1]}",
        "#{\"1\"}",
        "\"#{1}\"",
        "[[1 2]]",
        "{1 2}",
        "#{[1 2]}",
        "#inst \"2026\"",
        "\"2026\"",
        "#uuid \"2026\"",
        "[]",
        "#{}",
        "{}",
        "\"\"",
        "99999999999999999999",
        "99999999999999999998",
        "99999999999999999999M",
    ]);
    for (index, value) in values.iter().enumerate() {
        let same = values[..index].iter().position(|other| other == value);
        assert_eq!(same, None, "{value}");
    }
}

#[test]
fn equal_values_of_edn_are_one_here() {
    let classes: [&[&str]; 7] = [
        &["1", "1N", "+1", "2/2"],
        &["[1 2]", "(1 2)", "(1N 4/2)"],
        &["1/2", "2/4"],
        &["0.0", "-0.0"],
        &["1.5M", "1.50M"],
        &["#{1 2 :a}", "#{:a 2 1N}"],
        &["{1 2, :a [3]}", "{:a (3) 1N 2}"],
    ];
    for class in classes {
        let values = read_as(class);
        assert!(values.iter().all(|value| *value == values[0]), "{class:?}: {values:?}");
    }
}

#[test]
fn fractions_are_read_in_their_lowest_terms() {
    let text = |text: &str| Value::Text(text.into());
    let expected = [text("#1/2"), text("#-3/2"), Value::Int(3), Value::Int(0)];
    assert_eq!(read_as(&["2/4", "-6/4", "9/3", "0/5"]), expected);
}

#[test]
fn texts_that_are_put_together_are_read_as_the_whole() {
    let [a, b, whole] = &read_as(&["\"a:\"", "\":#b\"", "\"a::#b\""])[..] else {
        panic!("there are three")
    };
    let (Value::Text(a), Value::Text(b)) = (a, b) else { panic!("{a} and {b} are texts") };
    assert_eq!(*whole, Value::Text(format!("{a}{b}").into()));
    assert_eq!(*whole, jepsen_edn::value_of_text("a::#b"));
}

#[test]
fn a_set_that_is_read_is_its_elements_unless_its_key_holds_sets() {
    let read = |f: &str, value: &str, shown: &str| {
        let asked = format!("{{:process 0, :type :invoke, :f :{f}, :value {value}}}\n");
        let read = "{:process 1, :type :invoke, :f :read}\n";
        let end = format!("{{:process 1, :type :ok, :f :read, :value {shown}}}");
        let history = edn(&format!("{asked}{read}{end}")).unwrap();
        Linearizable::with(Settings::default()).check(&history)
    };
    for shown in ["#{1}", "[1]", "#ordered/set (1)"] {
        assert!(read("add", "1", shown).is_valid(), "{shown}");
        assert!(read("write", "#{1}", shown).is_valid() == (shown == "#{1}"), "{shown}");
    }
    assert!(read("write", "#{1}", "[1]").is_invalid());
    assert!(read("write", "{1 2}", "{1N 2}").is_valid());
    assert!(read("write", "{1 2}", "[[1 2]]").is_invalid());
}

#[test]
fn what_could_be_taken_for_another_value_is_refused() {
    let write = |value: &str| format!("{{:process 0, :type :invoke, :f :write, :value {value}}}");
    refused(&write("^{:a 1} [1]"), "line 1: `^` (metadata) is not understood; leave it out");
    refused(&write("##Inf"), "line 1: `##` (an infinite number, or none) is not understood");
    assert!(edn(&write("\"##\"")).is_ok() && edn(&write("\\#")).is_ok(), "these are none");
    assert!(edn(&write("\"^\"")).is_ok() && edn(&write("\\^")).is_ok(), "these are none");
    refused(&write("::a"), "line 1: `::a` is no keyword of EDN; write its namespace out");
    let keyed =
        |key: &str| write("1").replace(":process 0", &format!(":process {key}, :key {key}"));
    assert!(edn(&format!("{}\n{}", keyed("7"), keyed("8"))).is_ok());
    let two = format!("{}\n{}", keyed("7"), keyed("8").replace(":key 8", ":key \"7\""));
    refused(&two, "line 2: `\"7\"` is the key of this operation, and before there was another one");
}

#[test]
fn what_is_said_of_a_file_names_its_own_processes_and_lines() {
    let text = "; no times\n\
                {:process 70, :type :invoke, :f :write, :value 1}\n\
                {:process 70, :type :ok, :f :write, :value 1}\n\
                {:process 71, :type :invoke, :f :read, :value nil}\n\
                {:process 71, :type :info, :f :read, :value nil}\n\
                {:process 71, :type :invoke, :f :read, :value nil}\n\n\
                {:process 71, :type :ok, :f :read, :value 2}";
    let history = edn(text).unwrap();
    assert!(!history.has_times());
    let verdict = Linearizable::with(Settings::default()).check(&history);
    let found = &verdict.anomalies()[0];
    assert_eq!(
        found.explanation,
        [
            "process 71 read x = 2 (from line 6 to line 8)",
            "process 71 saw 2, which nobody wrote there",
        ]
    );
    let read = history.operation(found.witness.operations[0]);
    let completed = history.line(read.completed.unwrap());
    assert_eq!((history.line(read.invoked), completed), (Some(6), Some(8)));
    let json = serde_json::to_value(found).unwrap();
    assert_eq!(json["at"], serde_json::Value::Null);
    // Where there are times, they are told.
    let timed = edn(&text.replace(", :type", ", :time 1500000, :type")).unwrap();
    assert!(timed.has_times());
    let verdict = Linearizable::with(Settings::default()).check(&timed);
    let words = &verdict.anomalies()[0].explanation[0];
    assert_eq!(words, "process 71 read x = 2 (from 0.001 s to 0.001 s)");
}

#[test]
fn what_is_exported_is_judged_as_what_it_was_made_from() {
    let histories = [
        // A read of a replica may be old.
        "0 invoke write x 1\n0 ok\n1 invoke read-replica x\n1 ok nil\n1 invoke read x\n1 ok 1",
        "0 invoke write x 1\n0 ok\n1 invoke read x\n1 ok nil",
        // Several keys, and locks of which each has a holder.
        "0 invoke write x 1\n0 ok\n1 invoke write y 2\n1 ok\n0 invoke read x\n0 ok 1",
        "0 invoke acquire x\n0 ok\n1 invoke acquire y\n1 ok",
        "0 invoke acquire x\n0 ok\n1 invoke acquire x\n1 ok",
        // A lock is that of the session, whose process has changed.
        "0 invoke acquire x\n0 ok\n0 invoke read y\n0 info timeout\n2/0 invoke release x\n2 ok",
        // What a compare-and-set found that was not done.
        "0 invoke write x 1\n0 ok\n1 invoke cas x 2 3\n1 fail mismatch 4",
        "0 invoke write x 1\n0 ok\n1 invoke cas x 1 3\n1 fail mismatch",
        "phase liveness\n0 invoke acquire x\n0 fail declined it is taken",
        "phase liveness\n0 invoke acquire x\n0 fail it is taken",
        "0 invoke write x 1\n0 ok\n1 invoke cas x 1 3\n1 fail timeout\n1 invoke read x\n1 ok 1",
        // Versions, nodes, faults and phases.
        "0 invoke write x 1\n0 ok v2\n1 invoke read x\n1 ok 1 v1\n1 invoke read x\n1 ok 1 v2",
        "fault 0 begin clock skew n1\n0 invoke write x 1\n0 ok\n0 invoke write x 2\n0 ok\n\
         fault 0 end clock skew n1\nphase liveness\n0 invoke read x\n0 ok 2\nphase final\n\
         1 invoke read-replica x @n1\n1 ok 1\n2 invoke read-replica x @n2\n2 ok 1",
        r#"0 invoke txn db [["append","x",1]]
           0 ok [["append","x",1]]
           1 invoke txn db [["r","x",nil]]
           1 ok [["r","x",[1,2]]]"#,
        "0 invoke enqueue q a\n0 ok\n1 invoke dequeue q\n1 ok b",
        "0 invoke delete x\n0 ok\n1 invoke generate g\n1 ok 1\n0 invoke generate g\n0 ok 1",
    ];
    for text in histories {
        let history = history(text);
        let mut bytes = Vec::new();
        jepsen_edn::write(&history, &mut bytes).unwrap();
        assert!(jepsen_edn::is_ours(&bytes), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(Format::detect(&bytes), Some(Format::JepsenEdn));
        let again = jepsen_edn::read(&bytes[..], &ReadLimits::default(), Keys::Independent);
        let again = again.unwrap_or_else(|error| panic!("{error}: {text}"));
        for entry in CHECKERS {
            let check = (entry.build)(&Limits::default());
            let (before, after) = (check.check(&history), check.check(&again));
            assert_eq!(after, before, "{}: {text}", entry.guarantee);
        }
    }
}

#[test]
fn what_is_no_history_is_refused_with_its_line_and_what_would_do() {
    let read = "{:process 0, :type :invoke, :f :read, :value nil}";
    refused("", "line 1: there is no operation; expected maps such as");
    refused("[]", "there is no operation");
    refused(&format!("\n\n[{read}"), "line 3: the file ends within its list");
    refused(&format!("{read}\n{{:process 0"), "line 2: the file ends within a map");
    refused(&format!("{read}\n{read}"), "line 2: process 0 begins an operation while another one");
    refused(&format!("{read}\nhello"), "line 2: `h` where a map");
    refused(&format!("[{read}]\n{read}"), "line 2: `{` where a map");
    refused(&format!("#_{read}"), "line 1: `#_` is not understood");
    refused(&read.replace(":read", ":jump"), "`:f` :jump is not known; known are :read, :write");
    refused(&read.replace(":invoke", ":done"), "`:type` is one of :invoke, :ok, :fail and :info");
    refused(&read.replace(":process 0", ":process 1.5"), "`:process` is a whole number");
    refused(&read.replace(":invoke", ":ok"), "process 0 completes an operation without having one");
    refused(&read.replace(":read, :value nil", ":cas, :value 3"), "a pair [from to]");
    let deep = read.replace("nil", &"[".repeat(100_000));
    refused(&deep, "line 1: values nested more than 63 deep, the limit");
    let long = read.replace("nil", &format!("\"{}\"", "a".repeat(2_000_000)));
    refused(&long, "line 1: a map of more than 1048576 bytes, the limit");
}

#[test]
fn a_log_of_etcd_is_read() {
    let text = "INFO  jepsen.core - Worker 3 starting\n\
                INFO  jepsen.util - 0\t:invoke\t:write\t4\n\
                INFO  jepsen.util - 1\t:invoke\t:read\tnil\n\
                INFO  jepsen.util - 0\t:info\t:write\t:timed-out\n\
                INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n\
                INFO  jepsen.util - 1   :ok   :read   nil\n\
                INFO  jepsen.util - 1\t:invoke\t:cas\t[4 2]\n\
                INFO  jepsen.util - 1\t:fail\t:cas\t[4 2]\n\
                INFO  jepsen.util - 2\t:invoke\t:cas\t[4 3]\n\
                INFO  jepsen.util - 2\t:fail\t:cas\t:timed-out\n";
    let start = text.lines().nth(1).unwrap();
    assert_eq!(Format::detect(start.as_bytes()), Some(Format::EtcdLog));
    let read =
        |text: &str| Format::EtcdLog.read(text.as_bytes(), &ReadLimits::default(), Keys::Single);
    assert_eq!(
        told(&read(text).unwrap()),
        [
            "p0 write x 4: info timeout",
            "p1 read x: ok nil",
            "p1 cas x 4 2: fail mismatch",
            "p2 cas x 4 3: fail timeout",
        ]
    );
    let error = |text: &str| read(text).unwrap_err().to_string();
    assert!(error("hello\n").contains("line 1: there is no operation; expected lines such as"));
    assert!(error(&text.replace("\t4\n", "\tfour\n")).starts_with("line 2: `four` where"));
    assert!(error(&text.replace(":ok", ":oh")).starts_with("line 6: `:oh :read` is not known"));
}

#[test]
fn a_completion_in_a_log_of_etcd_that_contradicts_its_invocation_is_refused() {
    let read =
        |text: &str| Format::EtcdLog.read(text.as_bytes(), &ReadLimits::default(), Keys::Single);
    let ended = |asked: &str, end: &str| {
        let start = "INFO  jepsen.util - 0";
        read(&format!("{start}\t:invoke\t{asked}\n{start}\t{end}\n"))
            .map(|history| told(&history).concat())
            .map_err(|error| error.to_string())
    };
    let refused = |asked: &str, end: &str, words: &str| {
        assert_eq!(ended(asked, end).unwrap_err(), format!("line 2: this completes a {words}"));
    };
    assert_eq!(ended(":write 1", ":ok :write 1").unwrap(), "p0 write x 1: ok");
    assert_eq!(ended(":write 1", ":ok :write").unwrap(), "p0 write x 1: ok", "it is left out");
    assert_eq!(ended(":cas [nil 1]", ":ok :cas [nil 1]").unwrap(), "p0 cas x nil 1: ok");
    assert_eq!(ended(":cas [1 2]", ":fail :cas :lost").unwrap(), "p0 cas x 1 2: fail :lost");
    let was_write = "but a :write is what its process asked for";
    refused(":write 1", ":ok :read 7", &format!(":read, {was_write}"));
    refused(":write 1", ":info :cas :timed-out", &format!(":cas, {was_write}"));
    refused(":write 1", ":ok :write 7", ":write of 7, but `write x 1` was asked");
    refused(":write 1", ":info :write 7", ":write of 7, but `write x 1` was asked");
    for kind in ["ok", "fail"] {
        let words = ":cas of [4 5], but `cas x nil 1` was asked";
        refused(":cas [nil 1]", &format!(":{kind} :cas [4 5]"), words);
    }
}

#[test]
fn a_damaged_line_of_an_operation_in_a_log_of_etcd_is_no_line_of_others() {
    let read =
        |text: &str| Format::EtcdLog.read(text.as_bytes(), &ReadLimits::default(), Keys::Single);
    let sound = "INFO  jepsen.util - 1\t:invoke\t:read\tnil\n";
    for process in ["x1", "", "1.5"] {
        let text = format!("{sound}{}", sound.replace('1', process).replace("read", "write"));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 2: `"), "{error}");
        assert!(error.contains("where the number of a process, or a keyword"), "{error}");
    }
    for other in
        ["jepsen.core - x1 :invoke", "jepsen.util - :nemesis :info :start", "jepsen.util - ok"]
    {
        let history = read(&format!("{sound}INFO  {other}\n")).unwrap();
        assert_eq!(told(&history), ["p1 read x: "]);
    }
    // What is cut off may have been longer: 12 is not 1.
    let error = read(&format!("{sound}INFO  jepsen.util - 1\t:ok\t:read\t1")).unwrap_err();
    assert_eq!(error.to_string(), "line 2: the line is cut off: it does not end");
}

#[test]
fn an_indeterminate_compare_and_set_may_have_no_effect_at_all() {
    // Forcing it to succeed, now or later, would leave no order: its source never holds again.
    let text = "
        0 invoke write x 1
        0 ok
        1 invoke cas x 5 2
        1 info timeout
        2 invoke read x
        2 ok 1
    ";
    let verdict = Linearizable::with(Settings::default()).check(&history(text));
    assert!(verdict.is_valid(), "{verdict:?}");
}

#[test]
fn a_read_of_nil_is_absence_unless_it_is_said_to_be_unknown() {
    // The peers' register checkers take any read of `nil`.
    let text = "0 invoke write x 1\n0 ok\n0 invoke read x\n0 ok nil\n0 invoke read x\n0 ok 1";
    let judge = |nil_reads| {
        Linearizable::with(Settings::default()).check(&history(text).with_nil_reads(nil_reads))
    };
    assert!(judge(NilReads::Absent).is_invalid());
    assert!(judge(NilReads::Unknown).is_valid());
}

#[test]
fn registers_begin_with_what_is_said() {
    let text = "0 invoke read x\n0 ok 3\n0 invoke cas x 3 4\n0 ok\n0 invoke read x\n0 ok 4";
    let judge = |initial| {
        Linearizable::with(Settings::default()).check(&history(text).that_begins_as(&initial))
    };
    assert!(judge(Value::Int(3)).is_valid());
    assert!(judge(Value::Nil).is_invalid());
    assert!(judge(Value::Int(77)).is_invalid());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        "[a-z\"\\\\\n {}\\[;:#]{0,6}".prop_map(|text| Value::Text(text.into())),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|values| Value::List(values.into()))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(values in prop::collection::vec(any_value(), 1..6)) {
        let mut builder = HistoryBuilder::new();
        for (process, value) in values.into_iter().enumerate() {
            let ops = [
                (Op::Write { key: "x".into(), value: value.clone() }, Ret::Done),
                (Op::Read { key: "x".into(), level: ReadLevel::Strong }, Ret::Value(value.clone())),
                (Op::Append { key: "y".into(), value }, Ret::Done),
            ];
            for (op, ret) in ops {
                let process = process as u32;
                let invocation =
                    Invocation { process: ProcessId(process), session: SessionId(process), node: None, op };
                let id = builder.invoke(Time::ZERO, &invocation).unwrap();
                builder.complete(Time::ZERO, id, &Outcome::Ok(ret)).unwrap();
            }
        }
        let history = builder.finish();
        let mut bytes = Vec::new();
        jepsen_edn::write(&history, &mut bytes).unwrap();
        let again = jepsen_edn::read(&bytes[..], &ReadLimits::default(), Keys::Independent).unwrap();
        prop_assert_eq!(told(&again), told(&history));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[\\[\\](){}:a-f0-9 \"\\\\;#,\n\t-]{0,80}") {
        for format in Format::ALL {
            let _ = format.read(text.as_bytes(), &ReadLimits::default(), Keys::Independent);
        }
        let _ = Format::detect(text.as_bytes());
        let map = format!("{{:process 0, :type :invoke, :f :write, :value {text}}}");
        let _ = edn(&map);
        let line = format!("INFO  jepsen.util - {text}\n");
        let _ = Format::EtcdLog.read(line.as_bytes(), &ReadLimits::default(), Keys::Single);
    }
}

#[test]
fn letters_may_be_given_by_their_numbers() {
    let read = |text: &str| {
        let line = format!("{{:process 0, :type :invoke, :f :write, :value \"{text}\"}}");
        jepsen_edn::read(line.as_bytes(), &ReadLimits::default(), Keys::Single)
            .map(|history| history.op(OperationId(0)).to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        read(r"\u001b[31m\u0022\u005cn\b\f\n").unwrap(),
        r#"write x "\u{1b}[31m\"\\n\u{8}\u{c}\n""#
    );
    assert_eq!(read(r"\u00e9\ud83d\ude00").unwrap(), "write x \"é😀\"");
    for half in [r"\ud83d", r"\ud83d\n", r"\ud83d\u0041", r"\ude00"] {
        assert_eq!(read(half).unwrap_err(), r"line 1: `\u` with half a letter, of two in UTF-16");
    }
    assert_eq!(read(r"\u00g9").unwrap_err(), r"line 1: `\u` without four hexadecimal digits");
}

#[test]
fn what_a_terminal_would_obey_is_exported_by_its_number() {
    let mut builder = HistoryBuilder::new();
    let value = Value::Text("\u{1b}]0;title\u{7}\u{9b}31m\"\\\n".into());
    let op = Op::Write { key: "x".into(), value };
    let invocation = Invocation { process: ProcessId(0), session: SessionId(0), node: None, op };
    let id = builder.invoke(Time::ZERO, &invocation).unwrap();
    builder.complete(Time::ZERO, id, &Outcome::Info(Reason::Other("\u{1b}c".into()))).unwrap();
    let history = builder.finish();
    let mut bytes = Vec::new();
    jepsen_edn::write(&history, &mut bytes).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    let again = jepsen_edn::read(&bytes[..], &ReadLimits::default(), Keys::Independent).unwrap();
    assert_eq!(again.op(id), history.op(id));
    assert_eq!(again.operation(id).outcome, history.operation(id).outcome);
}

/// How the operations of a history ended.
fn outcomes(history: &History) -> Vec<Outcome> {
    let value = |id: &_| history.value(*id).clone();
    let of = |outcome: &Outcome<_>| match outcome {
        Outcome::Ok(Ret::Done) => Outcome::Ok(Ret::Done),
        Outcome::Ok(Ret::Value(id)) => Outcome::Ok(Ret::Value(value(id))),
        Outcome::Fail(reason) => Outcome::Fail(reason.map(value)),
        Outcome::Info(reason) => Outcome::Info(reason.map(value)),
    };
    history.operations().map(|operation| of(operation.outcome.unwrap())).collect()
}

#[test]
fn only_a_compare_and_set_that_failed_in_a_log_of_etcd_found_another_value() {
    let ended = |end: &str, f: &str| {
        let given = if f == ":cas" { "[4 2]" } else { "4" };
        let line = |kind: &str, rest: &str| format!("INFO  jepsen.util - 0\t{kind}\t{f}\t{rest}\n");
        let rest = if end.ends_with(" nil") { "nil" } else { given };
        let text = line(":invoke", given) + &line(end.split(' ').next().unwrap(), rest);
        let history = Format::EtcdLog.read(text.as_bytes(), &ReadLimits::default(), Keys::Single);
        outcomes(&history.unwrap()).remove(0)
    };
    let mismatch = Outcome::Fail(Reason::Mismatch { actual: None });
    assert_eq!(ended(":fail", ":cas"), mismatch);
    assert_eq!(ended(":fail nil", ":cas"), mismatch);
    assert_eq!(ended(":info", ":cas"), Outcome::Info(Reason::Timeout));
    assert_eq!(ended(":info nil", ":cas"), Outcome::Info(Reason::Timeout));
    assert_eq!(ended(":fail", ":write"), Outcome::Fail(Reason::Timeout));
}

#[test]
fn why_an_operation_did_not_end_well_is_read_as_it_was_written() {
    let ended = |f: &str, error: &str| {
        let value = if f == "cas" { "[1 2]" } else { "1" };
        let text = format!(
            "{{:process 0, :type :invoke, :f :{f}, :value {value}}}\n\
             {{:process 0, :type :fail, :f :{f}, :error {error}}}"
        );
        match outcomes(&edn(&text).unwrap()).remove(0) {
            Outcome::Fail(reason) => reason,
            other => panic!("it ended {other:?}"),
        }
    };
    let other = |text: &str| Reason::Other(text.into());
    let found = |actual: Option<i64>| Reason::Mismatch { actual: actual.map(Value::Int) };
    assert_eq!(ended("cas", "[:mismatch 1]"), found(Some(1)));
    assert_eq!(ended("cas", "[:mismatch]"), found(None));
    assert_eq!(ended("cas", "[:mismatch 1 2]"), other("[:mismatch 1 2]"));
    assert_eq!(ended("cas", "[:missed 1]"), other("[:missed 1]"));
    assert_eq!(ended("write", "[:mismatch 1]"), other("[:mismatch 1]"));
    assert_eq!(ended("write", "[:declined \"full\"]"), other("[:declined \"full\"]"));
    assert_eq!(ended("cas", "[:declined \"full\"]"), other("[:declined \"full\"]"));
    assert_eq!(ended("write", ":unsupported"), Reason::Unsupported);
    assert_eq!(ended("write", ":refused"), other("refused"));
    assert_eq!(ended("write", ":timed-out"), Reason::Timeout);
}

#[test]
fn functions_have_the_names_that_others_call_them_by() {
    let text = "{:process 0, :type :invoke, :f :inc, :key \"c\", :value 2}\n\
                {:process 1, :type :invoke, :f :lock, :key \"l\", :value nil}\n\
                {:process 1, :type :ok, :f :lock, :key \"l\", :value 7}\n\
                {:process 1, :type :invoke, :f :unlock, :key \"l\", :value nil}\n\
                {:process 1, :type :ok, :f :unlock, :key \"l\", :value nil}\n\
                {:process 1, :type :invoke, :f :lock, :key \"l\", :value nil}\n\
                {:process 1, :type :ok, :f :lock, :key \"l\", :value :locked}";
    let expected =
        ["p0 increment c 2: ", "p1 acquire l: ok 7", "p1 release l: ok", "p1 acquire l: ok"];
    assert_eq!(told(&edn(text).unwrap()), expected);
}

#[test]
fn keys_of_one_name_are_one_key_in_pairs_and_in_completions_as_well() {
    let keys = Keys::Independent;
    let read = |text: &str| jepsen_edn::read(text.as_bytes(), &ReadLimits::default(), keys);
    let write = |process: u32, key: &str| {
        format!("{{:process {process}, :type :invoke, :f :write, :value [{key} 1]}}\n")
    };
    assert!(read(&(write(0, "7") + &write(1, "7"))).is_ok());
    let error = read(&(write(0, "7") + &write(1, "\"7\""))).unwrap_err().to_string();
    assert!(error.starts_with("line 2: `\"7\"` is the key of this operation"), "{error}");
    let asked = "{:process 0, :type :invoke, :f :write, :key 7, :value 1}\n";
    let ok = "{:process 0, :type :ok, :f :write, :key 7, :value 1}";
    assert!(edn(&format!("{asked}{ok}")).is_ok());
    assert!(edn(&format!("{asked}{}", ok.replace(":key 7, ", ""))).is_ok(), "it is the same");
    let other = format!("{asked}{}", ok.replace(":key 7", ":key 8"));
    refused(&other, "line 2: this completes an operation on 8, but 7 was asked");
}

#[test]
fn what_a_nemesis_does_is_read_and_written_as_it_is() {
    let text = "{:process :nemesis, :type :info, :f :start, :value [1 2]}\n\
                {:process :nemesis, :type :info, :f :stop, :value nil}\n\
                {:process :nemesis, :type :info, :f :start, :value :final}\n\
                {:process :nemesis, :type :info, :f :phase, :value :final}\n\
                {:process 0, :type :invoke, :f :read}";
    let history = edn(text).unwrap();
    let events: Vec<String> = history
        .events()
        .map(|(_, event)| match event {
            Event::Fault(fault) => format!("{:?} {} {:?}", fault.edge, fault.kind, fault.what),
            Event::Phase(phase) => format!("{phase:?}"),
            Event::Invoke(_) | Event::Complete(_) => "operation".to_owned(),
        })
        .collect();
    expect![[r#"Begin start "[1 2]", End stop "", Begin start ":final", Final, operation"#]]
        .assert_eq(&events.join(", "));
    // A name that is no keyword is a text.
    let faults = "fault 0 begin disk-full n1\nfault 1 begin clock:skew n1\n0 invoke read x";
    let mut bytes = Vec::new();
    jepsen_edn::write(&crate::notation::history(faults), &mut bytes).unwrap();
    let written = String::from_utf8(bytes).unwrap();
    assert!(written.contains(":f :start-disk-full,"), "{written}");
    assert!(written.contains(":f \"start-clock:skew\","), "{written}");
}

#[test]
fn times_are_those_of_a_file_that_begins_with_one() {
    let times =
        |text: &str| -> Vec<Time> { edn(text).unwrap().events().map(|(time, _)| time).collect() };
    let with = "{:process 0, :type :invoke, :f :read, :time 10}\n";
    let without = "{:process 1, :type :invoke, :f :read}\n";
    let at = Time::from_nanos;
    assert_eq!(times(&format!("{with}{without}")), [at(10), at(10)]);
    // Lines are later than any time.
    let lines = times(&format!("{without}{with}"));
    assert!(lines[0] > at(1 << 62) && lines[0] < lines[1], "{lines:?}");
    let history = edn(&format!("{without}{with}")).unwrap();
    assert!(!history.has_times());
    assert!(edn(with).unwrap().has_times());
}

#[test]
fn a_verdict_on_a_file_without_times_has_none_and_is_read_back() {
    let text = "{:process 0, :type :invoke, :f :read}\n{:process 0, :type :ok, :f :read, :value 5}";
    let timed = text.replace(":f :read", ":time 10, :f :read");
    for (text, at) in [(text, serde_json::Value::Null), (&timed, 10.into())] {
        let verdict = Linearizable::with(Settings::default()).check(&edn(text).unwrap());
        let anomaly = &verdict.anomalies()[0];
        let written = serde_json::to_value(anomaly).unwrap();
        assert_eq!(written["at"], at);
        let again: Anomaly = serde_json::from_value(written).unwrap();
        let expected = if at.is_null() { Time::ZERO } else { Time::from_nanos(10) };
        assert_eq!((again.at, again.explanation), (expected, anomaly.explanation.clone()));
    }
    let nothing = edn("{:process 0, :type :invoke, :f :write, :value 1}").unwrap();
    let verdict = Linearizable::with(Settings::default()).check(&nothing);
    assert_eq!(verdict.coverage().method, "nothing to judge");
}

#[test]
fn a_tag_begins_with_a_letter() {
    for value in ["#+a 1", "#.a 1", "#1 1", "#: 1", "#' 1"] {
        let text = format!("{{:process 0, :type :invoke, :f :write, :value {value}}}");
        assert!(edn(&text).is_err(), "{value}");
    }
}

#[test]
fn the_version_of_a_mismatch_is_written_and_read_back() {
    let text = "0 invoke write x 1\n0 ok v1\n0 invoke cas x 5 6\n0 fail mismatch 1 v1\n\
                0 invoke write x 2\n0 fail unavailable";
    let written = history(text);
    let mut bytes = Vec::new();
    jepsen_edn::write(&written, &mut bytes).unwrap();
    let read = jepsen_edn::read(&bytes[..], &ReadLimits::default(), Keys::Independent).unwrap();
    let versions = |history: &History| -> Vec<Option<u64>> {
        history.operations().map(|operation| history.version(operation.id)).collect()
    };
    assert_eq!(versions(&read), [Some(1), Some(1), None]);
    assert_eq!(versions(&read), versions(&written));
    // What others give a version for failed for reasons of their own.
    let foreign = "{:process 0, :type :invoke, :f :cas, :value [1 2]}\n\
                   {:process 0, :type :fail, :f :cas, :value [1 2], :version 3}";
    assert_eq!(versions(&edn(foreign).unwrap()), [None]);
}

#[test]
fn times_that_go_back_are_counted() {
    let at = |time: u64, kind: &str| {
        format!("{{:process 0, :type :{kind}, :f :read, :value nil, :time {time}}}\n")
    };
    let back = at(5, "invoke") + &at(3, "ok") + &at(4, "invoke") + &at(9, "ok");
    assert_eq!(edn(&back).unwrap().times_moved(), 2);
    let forth = at(5, "invoke") + &at(5, "ok") + &at(6, "invoke");
    assert_eq!(edn(&forth).unwrap().times_moved(), 0);
}

//! How a history is read: what its reads of `nil` say and what its keys begin with is the same to every
//! checker.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::convergent::digests;
use stormglass_checkers::checker::{CHECKERS, Checker, Limits, Model, Queue};
use stormglass_checkers::history::{NilReads, NodeId, Value};
use stormglass_checkers::{Facts, Guarantee, History, Verdict};

use crate::notation::history;

/// What every checker says, but for how well the store recovered: the verdict, and the names of what was
/// found.
fn verdicts(history: &History) -> Vec<(Guarantee, String)> {
    let limits = Limits { versions_behind_max: Some(0), ..Limits::default() };
    let judged = CHECKERS.iter().filter(|entry| entry.guarantee != Guarantee::Live);
    let said = |verdict| crate::txn::said(&verdict);
    judged.map(|entry| (entry.guarantee, said((entry.build)(&limits).check(history)))).collect()
}

/// Those that are broken.
fn broken(history: &History) -> Vec<Guarantee> {
    let of_one = |(guarantee, said): (Guarantee, String)| {
        (said != "valid" && said != "unknown").then_some(guarantee)
    };
    verdicts(history).into_iter().filter_map(of_one).collect()
}

/// What one guarantee comes to.
fn said(history: &History, guarantee: Guarantee) -> String {
    let mut all = verdicts(history).into_iter();
    all.find(|(other, _)| *other == guarantee).unwrap().1
}

const FINAL: &str = "
    phase final
    90 invoke read-replica x @n1
    90 ok nil
    91 invoke read-replica x @n2
    91 ok nil
";

#[test]
fn reads_of_nil_that_say_nothing_break_no_guarantee() {
    let register = "
        0 invoke write x 1
        0 ok
        0 invoke read x
        0 ok nil
        0 invoke read x
        0 ok 1
        0 invoke read x
        0 ok nil
    "
    .to_owned();
    let set = register.replace("write x 1", "add x 1").replace("ok 1", "ok [1]");
    let counter = register.replace("write x 1", "increment x 1");
    for text in [register, set, counter] {
        let text = text + FINAL;
        assert!(broken(&history(&text)).len() > 1, "{text}");
        let read = history(&text).with_nil_reads(NilReads::Unknown);
        assert_eq!(broken(&read), [], "{text}");
        assert_eq!(said(&read, Guarantee::Linearizable), "valid");
        let unknown = "no replica says what it holds: nothing is proved";
        assert_eq!(said(&read, Guarantee::Durable), "unknown", "{unknown}");
        assert_eq!(said(&read, Guarantee::Convergent), "unknown", "{unknown}");
        let facts = Facts::of(&read);
        assert_eq!((facts.losses, facts.convergence), (None, None));
    }
}

#[test]
fn a_read_that_says_nothing_was_served_all_the_same() {
    let text = "
        0 invoke write x 1
        0 ok
        phase liveness
        0 invoke read x
        0 ok nil
        0 invoke write x 2
        0 ok
    ";
    let read = history(text).with_nil_reads(NilReads::Unknown);
    let live = CHECKERS.iter().find(|entry| entry.guarantee == Guarantee::Live).unwrap();
    assert!((live.build)(&Limits::default()).check(&read).is_valid());
    assert_eq!(read.len(), history(text).len());
}

/// A history of registers in which all is possible: two keys, four sessions, and replicas at the end.
fn draw(random: &mut ChaCha8Rng) -> String {
    let (mut text, mut open, mut next) = (String::new(), Vec::new(), 1);
    let mut busy = [false; 4];
    for _ in 0..random.random_range(6..18) {
        let session = random.random_range(0..4);
        let process = 10 * next + session;
        if busy[session] {
            let at = open.iter().position(|(_, of, _, _)| *of == session).unwrap();
            let (process, _, is_read, last): (usize, usize, bool, usize) = open.swap_remove(at);
            busy[session] = false;
            text += &match random.random_range(0..8) {
                0 => format!("{process} info timeout\n"),
                1 => format!("{process} fail refused\n"),
                _ if is_read && random.random_bool(0.4) => format!("{process} ok nil\n"),
                _ if is_read => format!("{process} ok {}\n", random.random_range(1..=last + 1)),
                _ => format!("{process} ok\n"),
            };
            continue;
        }
        let key = ["x", "y"][random.random_range(0..2)];
        let (op, is_read) = match random.random_range(0..8) {
            0..=3 => (format!("read {key}"), true),
            4 => (format!("cas {key} {} {next}", random.random_range(1..=next)), false),
            5 if random.random_bool(0.3) => (format!("delete {key}"), false),
            _ => (format!("write {key} {next}"), false),
        };
        text += &format!("{process}/{session} invoke {op}\n");
        open.push((process, session, is_read, next));
        busy[session] = true;
        next += 1;
    }
    text += "phase final\n";
    for (node, key) in [(1, "x"), (2, "x"), (1, "y"), (2, "y")] {
        let value = match random.random_range(0..4) {
            0 => "nil".to_owned(),
            _ => random.random_range(1..=next).to_string(),
        };
        text += &format!("900 invoke read-replica {key} @n{node}\n900 ok {value}\n");
    }
    text
}

#[test]
fn a_read_that_says_nothing_is_judged_as_one_without_an_answer() {
    let mut random = ChaCha8Rng::seed_from_u64(61);
    for _ in 0..2_000 {
        let text = draw(&mut random);
        let silent = history(&text).with_nil_reads(NilReads::Unknown);
        // To whom nobody answered, nobody said anything; `unavailable` keeps its process.
        let unanswered = history(&text.replace(" ok nil", " fail unavailable"));
        assert_eq!(verdicts(&silent), verdicts(&unanswered), "{text}");
    }
}

#[test]
fn what_keys_begin_with_is_to_every_checker_what_nil_is() {
    let mut random = ChaCha8Rng::seed_from_u64(62);
    let mut found = 0;
    for _ in 0..2_000 {
        let text = draw(&mut random);
        let begun = text.replace("ok nil", "ok 77").replace("delete x", "write x 77");
        let begun = history(&begun.replace("delete y", "write y 77"));
        let begun = begun.that_begins_as(&Value::Int(77));
        let plain = verdicts(&history(&text));
        assert_eq!(verdicts(&begun), plain, "{text}");
        found += plain.iter().filter(|(_, said)| said != "valid" && said != "unknown").count();
    }
    assert!(found > 2_000, "only {found} were broken");
}

#[test]
fn a_key_that_begins_with_something_may_become_absent_for_every_checker() {
    let text = "
        0 invoke read x
        0 ok 5
        0 invoke delete x
        0 ok
        0 invoke delete x
        0 ok
        0 invoke read x
        0 ok nil
        1 invoke write y 1
        1 fail unavailable
        phase final
        90 invoke read-replica x @n1
        90 ok nil
        90 invoke read-replica y @n1
        90 ok 5
    ";
    let read = |text: &str| history(text).that_begins_as(&Value::Int(5));
    assert_eq!(broken(&read(text)), []);
    let back = text.replace("90 ok nil", "90 ok 5").replace("0 ok nil", "0 ok 5");
    let wronged = [Guarantee::Linearizable, Guarantee::ReadYourWrites, Guarantee::Durable];
    let found = broken(&read(&back));
    assert!(wronged.iter().all(|guarantee| found.contains(guarantee)), "{found:?}");
    let absent = text.replace("0 ok 5", "0 ok nil");
    let found = broken(&read(&absent));
    assert!(found.contains(&Guarantee::Linearizable), "nobody had deleted it: {found:?}");
    assert!(found.contains(&Guarantee::Convergent), "nobody deleted y: {found:?}");
}

#[test]
fn a_counter_begins_with_what_is_said_for_every_checker() {
    let text = "
        0 invoke increment c 2
        0 ok
        1 invoke read c
        1 ok 12
        phase final
        90 invoke read-replica c @n1
        90 ok 12
    ";
    assert!(!broken(&history(text)).is_empty());
    let read = history(text).that_begins_as(&Value::Int(10));
    assert_eq!(broken(&read), []);
    for guarantee in
        [Guarantee::Linearizable, Guarantee::Counter, Guarantee::Durable, Guarantee::Convergent]
    {
        assert_eq!(said(&read, guarantee), "valid", "{guarantee}");
    }
    let lost = history(&text.replace("90 ok 12", "90 ok 10")).that_begins_as(&Value::Int(10));
    assert_eq!(said(&lost, Guarantee::Durable), "lost-increment");
    assert_eq!(digests(&lost).keys().copied().collect::<Vec<_>>(), [NodeId(1)]);
}

#[test]
fn what_cannot_begin_so_is_not_judged_by_anybody() {
    let unjudged = [
        ("add s 1\n0 ok\n1 invoke read s\n1 ok [1]", Guarantee::Set),
        ("enqueue q 1\n0 ok\n1 invoke dequeue q\n1 ok 1", Guarantee::Queue),
        ("txn t [[append,x,1]]\n0 ok [[append,x,1]]", Guarantee::Serializable),
        ("txn t [[w,x,1]]\n0 ok [[w,x,1]]", Guarantee::LongFork),
        ("txn t [[w,x,1]]\n0 ok [[w,x,1]]", Guarantee::Bank),
    ];
    for (text, guarantee) in unjudged {
        let read = history(&format!("0 invoke {text}")).that_begins_as(&Value::Int(5));
        let entry = CHECKERS.iter().find(|entry| entry.guarantee == guarantee).unwrap();
        let verdict = (entry.build)(&Limits::default()).check(&read);
        let Verdict::Unknown { reason, .. } = verdict else { panic!("{verdict:?}") };
        assert!(reason.contains("as 5"), "{guarantee}: {reason}");
    }
    let counter = "0 invoke increment c 1\n0 ok\n1 invoke read c\n1 ok 1";
    let counter = history(counter).that_begins_as(&Value::Text("a".into()));
    assert_eq!(said(&counter, Guarantee::Counter), "unknown");
}

#[test]
fn where_texts_are_empty_in_the_beginning_absent_keys_hold_none() {
    let text = "
        0 invoke read x
        0 ok \"\"
        1 invoke read x
        1 ok nil
        0 invoke append x a
        0 ok
        0 invoke read x
        0 ok a
    ";
    let read = history(text).that_begins_as(&Value::Text("".into()));
    assert_eq!(broken(&read), []);
    let written = history(&text.replace("append x", "write x"));
    let written = written.that_begins_as(&Value::Text("".into()));
    assert_eq!(said(&written, Guarantee::Causal), "valid");
}

#[test]
fn what_keys_are_taken_for_is_the_same_to_every_checker() {
    // Nothing says whether a set, a counter or a register was read.
    let register = "
        0 invoke write x 1
        0 ok
        0 invoke write x 2
        0 ok
        0 invoke read x
        0 ok 1
    ";
    let of_registers = [
        Guarantee::Linearizable,
        Guarantee::ReadYourWrites,
        Guarantee::Causal,
        Guarantee::BoundedStaleness,
    ];
    assert_eq!(broken(&history(register)), of_registers);
    assert_eq!(broken(&history(register).taken_for(Model::Register)), of_registers);
    assert_eq!(broken(&history(register).taken_for(Model::Set)), []);
    let set = "
        0 invoke add x 1
        0 ok
        0 invoke read x
        0 ok []
    ";
    let of_sets = [Guarantee::Linearizable, Guarantee::Set];
    assert_eq!(broken(&history(set)), of_sets);
    assert_eq!(broken(&history(set).taken_for(Model::Set)), of_sets);
    assert_eq!(broken(&history(set).taken_for(Model::Register)), []);
    let counter = set.replace("add", "increment").replace("[]", "0");
    let of_counters = [Guarantee::Linearizable, Guarantee::Counter];
    assert_eq!(broken(&history(&counter)), of_counters);
    assert_eq!(broken(&history(&counter).taken_for(Model::FifoQueue)), []);
    let queue = "
        0 invoke enqueue x 1
        0 ok
        0 invoke dequeue x
        0 ok 2
    ";
    let of_queues = [Guarantee::Linearizable, Guarantee::Queue];
    assert_eq!(broken(&history(queue)), of_queues);
    assert_eq!(broken(&history(queue).taken_for(Model::FifoQueue)), of_queues);
    let other = history(queue).taken_for(Model::Mutex);
    assert_eq!(broken(&other), []);
    let Verdict::Unknown { reason, .. } = Queue.check(&other) else { panic!("judged") };
    assert_eq!(reason, "every key is taken for a mutex, which is no queue");
}

//! Sentences have long values in few words, whatever they are about: whoever wants them whole finds them in the history.

use std::collections::BTreeSet;

use stormglass_checkers::checker::{CHECKERS, Limits};
use stormglass_checkers::{Guarantee, Verdict};

use crate::notation::history;

/// Histories in which something is wrong. `A`, `B` and `C` stand for long texts, `L` and `M` for long lists; and who
/// has to find it.
const WRONG: &[(&str, &[Guarantee])] = &[
    (
        "0 invoke write x A\n0 ok\n0 invoke write x B\n0 ok\n1 invoke read x\n1 ok B\n\
         0 invoke read x\n0 ok A\n1 invoke read x\n1 ok A\n\
         phase final\n8 invoke read-replica x @n1\n8 ok A\n9 invoke read-replica x @n2\n9 ok C",
        &[
            Guarantee::Linearizable,
            Guarantee::ReadYourWrites,
            Guarantee::MonotonicReads,
            Guarantee::MonotonicWrites,
            Guarantee::Causal,
            Guarantee::Convergent,
        ],
    ),
    (
        "0 invoke write x A\n0 ok\n1 invoke read x\n1 ok A\n1 invoke write x B\n1 ok\n\
         2 invoke read x\n2 ok B\n2 invoke read x\n2 ok nil\n\
         phase final\n8 invoke read-replica x @n1\n8 ok A\n9 invoke read-replica x @n2\n9 ok A",
        &[Guarantee::Durable, Guarantee::WritesFollowReads, Guarantee::Causal],
    ),
    ("0 invoke write x A\n0 ok\n1 invoke read x\n1 ok B", &[Guarantee::Linearizable]),
    (
        "0 invoke write x A\n0 ok\n1 invoke cas x A B\n1 ok\n2 invoke cas x A C\n2 ok",
        &[Guarantee::Linearizable],
    ),
    (
        "0 invoke write x A\n1 invoke write x A\n2 invoke write x B\n0 ok\n1 ok\n2 ok\n3 invoke write x C\n3 ok\n\
         4 invoke read x\n4 ok A\n4 invoke read x\n4 ok B\n4 invoke read x\n4 ok A",
        &[Guarantee::Linearizable],
    ),
    (
        "0 invoke add s A\n0 ok\n0 invoke add s B\n0 ok\n1 invoke read s\n1 ok [B,B,C]\n\
         phase final\n8 invoke read-replica s @n1\n8 ok [B,C]\n9 invoke read-replica s @n2\n9 ok [B,C]",
        &[Guarantee::Linearizable, Guarantee::Set, Guarantee::Durable, Guarantee::Convergent],
    ),
    (
        "0 invoke add s A\n0 ok\n1 invoke read s\n1 ok [B]",
        &[Guarantee::Linearizable, Guarantee::Set],
    ),
    (
        "0 invoke add s A\n0 ok\n0 invoke add s B\n0 ok\n0 invoke remove s A\n0 ok\n\
         phase final\n8 invoke read-replica s @n1\n8 ok [A,B]\n9 invoke read-replica s @n2\n9 ok [A,B]",
        &[Guarantee::Durable],
    ),
    (
        "0 invoke add s A\n1 invoke add s B\n2 invoke read s\n2 ok [A]\n3 invoke read s\n3 ok [B]",
        &[Guarantee::Linearizable],
    ),
    ("0 invoke add s A\n0 ok\n1 invoke read s\n1 ok B", &[Guarantee::Set]),
    (
        "0 invoke append t A\n0 ok\n1 invoke append t B\n1 ok\n2 invoke read t\n2 ok B\n2 invoke read t\n2 ok A",
        &[Guarantee::Linearizable],
    ),
    (
        "0 invoke enqueue q A\n0 ok\n0 invoke enqueue q B\n0 ok\n1 invoke dequeue q\n1 ok B\n1 invoke dequeue q\n\
         1 ok A\n1 invoke dequeue q\n1 ok A\n1 invoke dequeue q\n1 ok C",
        &[Guarantee::Linearizable, Guarantee::Queue],
    ),
    (
        "0 invoke enqueue q A\n0 ok\n1 invoke dequeue q\n1 ok nil",
        &[Guarantee::Linearizable, Guarantee::Queue],
    ),
    ("0 invoke increment c 1\n0 ok\n1 invoke read c\n1 ok A", &[Guarantee::Counter]),
    (
        "0 invoke generate g\n0 ok A\n1 invoke generate g\n1 ok A\n1 invoke generate g\n1 ok A",
        &[Guarantee::UniqueIds],
    ),
    ("0 invoke echo e A\n0 ok B\n1 invoke echo e L\n1 ok M", &[Guarantee::Echo]),
    (
        "0 invoke send l A\n0 ok 1\n1 invoke send l B\n1 ok 1\n0 invoke send l C\n0 ok A\n\
         2 invoke poll l 0\n2 ok [[3,B],[4,A]]\n2 invoke poll l 0\n2 ok A\n2 invoke committed l\n2 ok A",
        &[Guarantee::Log],
    ),
    (
        r#"0 invoke txn db [["append","x",A]]
           0 ok [["append","x",A]]
           1 invoke txn db [["append","x",B]]
           1 ok [["append","x",B]]
           2 invoke txn db [["r","x",nil]]
           2 ok [["r","x",[B,A]]]
           3 invoke txn db [["r","x",nil]]
           3 ok [["r","x",[A,B]]]
           4 invoke txn db [["r","x",nil]]
           4 ok [["r","x",[C]]]"#,
        &[Guarantee::ReadCommitted, Guarantee::StrictSerializable],
    ),
    (
        r#"0 invoke txn db [["append","x",A]]
           0 ok [["append","x",A]]
           1 invoke txn db [["r","x",nil],["append","x",B]]
           1 ok [["r","x",nil],["append","x",B]]
           2 invoke txn db [["r","x",nil]]
           2 ok [["r","x",[A,B]]]"#,
        &[Guarantee::StrictSerializable],
    ),
    (
        r#"0 invoke txn db [["w","x",A]]
           0 ok [["w","x",A]]
           1 invoke txn db [["w","y",B]]
           1 ok [["w","y",B]]
           2 invoke txn db [["r","x",nil],["r","y",nil]]
           2 ok [["r","x",A],["r","y",nil]]
           3 invoke txn db [["r","x",nil],["r","y",nil]]
           3 ok [["r","x",nil],["r","y",B]]"#,
        &[Guarantee::Linearizable, Guarantee::LongFork],
    ),
    (
        r#"0 invoke txn db [["w",1,10],["w",2,10]]
           0 ok [["w",1,10],["w",2,10]]
           1 invoke txn db [["r",1,nil],["r",2,nil]]
           1 ok [["r",1,A],["r",2,L]]"#,
        &[Guarantee::Bank],
    ),
];

/// How many characters a sentence may have: some values in short, and what is said of them.
const SENTENCE_MAX: usize = 600;

/// A text with long values in the places of the letters that stand for them.
fn with_long_values(text: &str) -> String {
    let list = |last: u32| {
        let items: Vec<String> = (0..3_000).chain([last]).map(|item| item.to_string()).collect();
        format!("[{}]", items.join(","))
    };
    let mut long = String::new();
    let is_apart = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    let letters: Vec<char> = text.chars().collect();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| letters[before]);
        let stands_alone = is_apart(before) && is_apart(letters.get(place + 1).copied());
        match letter {
            'A' | 'B' | 'C' if stands_alone => long += &letter.to_string().repeat(100_000),
            'L' if stands_alone => long += &list(1),
            'M' if stands_alone => long += &list(2),
            letter => long.push(*letter),
        }
    }
    long
}

#[test]
fn sentences_have_long_values_in_few_words() {
    let mut who_found: BTreeSet<String> = BTreeSet::new();
    for (text, finders) in WRONG {
        let history = history(&with_long_values(text));
        for entry in CHECKERS {
            let name = entry.guarantee.name();
            let verdict = (entry.build)(&Limits::default()).check(&history);
            let is_finder = finders.contains(&entry.guarantee);
            assert!(
                verdict.is_invalid() || !is_finder,
                "{name} of {text}: {:.600}",
                format!("{verdict:?}")
            );
            let mut sentences: Vec<&String> =
                verdict.anomalies().iter().flat_map(|found| &found.explanation).collect();
            sentences.extend(&verdict.coverage().open);
            if let Verdict::Unknown { reason, .. } = &verdict {
                sentences.push(reason);
            }
            for sentence in sentences {
                let count = sentence.chars().count();
                assert!(count < SENTENCE_MAX, "{name} of {text} says {count}: {sentence:.300}");
            }
            if verdict.is_invalid() {
                who_found.insert(name.to_string());
            }
        }
    }
    // Of those that are not here, bounded staleness claims nothing by itself, and live, available and the
    // rest have no values in their sentences.
    assert!(who_found.len() >= 19, "{who_found:?}");
}

//! How old reads are, case by case and counted the slow way.

use std::time::Duration;

use expect_test::expect;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::staleness::{BoundedStaleness, Lag, facts, lags};
use stormglass_checkers::checker::{Checker, Limits};
use stormglass_checkers::{History, Verdict};

use crate::notation::history;

fn check(text: &str, staleness_max: Option<u64>, versions_behind_max: Option<u64>) -> Verdict {
    let staleness_max = staleness_max.map(Duration::from_millis);
    let limits = Limits { staleness_max, versions_behind_max, ..Limits::default() };
    BoundedStaleness::new(limits).check(&history(text))
}

const THREE_WRITES: &str = "
    0 invoke write x 1
    0 ok
    0 invoke write x 2
    0 ok
    0 invoke write x 3
    0 ok
    5 invoke read x
";

#[test]
fn a_read_is_behind_by_what_was_acknowledged_and_is_newer() {
    let lag = |value: &str| {
        let lag = lags(&history(&format!("{THREE_WRITES} 5 ok {value}")))[0];
        (lag.versions, lag.time.as_millis(), lag.missing.map(|id| id.0))
    };
    assert_eq!(lag("3"), (0, 0, None));
    assert_eq!(lag("2"), (1, 1, Some(2)));
    assert_eq!(lag("1"), (2, 3, Some(1)));
    assert_eq!(lag("nil"), (3, 5, Some(0)));
}

#[test]
fn a_write_that_is_open_is_not_missing() {
    let text = "0 invoke write x 1\n5 invoke read x\n5 ok nil\n0 ok";
    assert_eq!(lags(&history(text))[0].versions, 0);
    assert_eq!(lags(&history(&text.replace("0 ok", "0 info timeout")))[0].versions, 0);
}

#[test]
fn a_bound_is_held_against_every_read() {
    let text = format!("{THREE_WRITES} 5 ok 1");
    assert!(check(&text, Some(3), None).is_valid());
    assert!(check(&text, None, Some(2)).is_valid());
    assert!(check(&text, Some(2), Some(2)).is_invalid());
    let verdict = check(&text, None, Some(1));
    assert_eq!(verdict.anomalies()[0].name, "stale-beyond-bound");
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s to 0.001 s)
        process 0 wrote x = 2 (from 0.002 s to 0.003 s)
        process 0 wrote x = 3 (from 0.004 s to 0.005 s)
        process 5 read x = 1 (from 0.006 s to 0.007 s)
        at least 2 newer writes had been acknowledged when the read began, the first of them, `write x 2`, 0.003 s before; the bound is 1 version"#]].assert_eq(&verdict.anomalies()[0].explanation.join("\n"));
}

#[test]
fn what_proves_that_a_missed_write_is_newer_is_shown() {
    // Without the compare-and-set, the first write may have taken effect last.
    let text = "
        0 invoke write x 1
        1 invoke cas x 1 2
        1 ok
        1 invoke write x 3
        1 ok
        9 invoke read-replica x @n1
        9 ok 1
    ";
    let told = |staleness_max, versions_behind_max| {
        let verdict = check(text, staleness_max, versions_behind_max);
        verdict.anomalies()[0].explanation.join("\n")
    };
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 set x from 1 to 2 (from 0.001 s to 0.002 s)
        process 1 wrote x = 3 (from 0.003 s to 0.004 s)
        process 9 read x = 1 at n1 (from 0.005 s to 0.006 s)
        `write x 3` is newer, and had been acknowledged 0.001 s before the read began; the bound is 0 versions"#]].assert_eq(&told(None, Some(0)));
    expect![[r#"
        process 0 wrote x = 1 (from 0.000 s with no answer, so it may take effect at any time after that)
        process 1 set x from 1 to 2 (from 0.001 s to 0.002 s)
        process 1 wrote x = 3 (from 0.003 s to 0.004 s)
        process 9 read x = 1 at n1 (from 0.005 s to 0.006 s)
        `write x 3` is newer, and had been acknowledged 0.001 s before the read began; the bound is 0.000 s"#]].assert_eq(&told(Some(0), None));
}

#[test]
fn without_a_bound_the_worst_read_is_told() {
    let unknown = |text: &str| match check(text, None, None) {
        Verdict::Unknown { reason, .. } => reason,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(
        unknown(&format!("{THREE_WRITES} 5 ok 1")),
        "no bound is claimed; the worst read was 2 versions behind, and one was 0.003 s behind"
    );
    assert_eq!(
        unknown(&format!("{THREE_WRITES} 5 ok 2")),
        "no bound is claimed; the worst read was 1 version behind, and one was 0.001 s behind"
    );
    assert_eq!(unknown(THREE_WRITES), "no read returned what somebody wrote");
    assert_eq!(unknown(&format!("{THREE_WRITES} 5 ok 9")), "no read returned what somebody wrote");
}

#[test]
fn the_highest_version_misses_nothing() {
    let text =
        "0 invoke write x 1\n0 ok v7\n1 invoke write x 2\n1 ok v3\n5 invoke read x\n5 ok 1 v7";
    assert_eq!(lags(&history(text))[0].versions, 0);
    assert_eq!(lags(&history(&text.replace("1 v7", "1")))[0].versions, 1);
    // A higher one that was read, but not acknowledged to its writer, may be missed.
    let unacknowledged = "8 invoke write x 9\n6 invoke read x\n6 ok 9 v9\n5 invoke read x";
    let lags = lags(&history(&text.replace("5 invoke read x", unacknowledged)));
    assert_eq!(lags.last().unwrap().versions, 0);
}

#[test]
fn facts_are_by_nearest_rank() {
    let mut text = THREE_WRITES.to_owned() + "5 ok 1\n";
    for _ in 0..3 {
        text += "5 invoke read x\n5 ok 3\n";
    }
    let found = facts(&history(&text)).unwrap();
    assert_eq!((found.reads, found.stale), (4, 1));
    assert_eq!((found.versions_p50, found.versions_p99, found.versions_max), (0, 2, 2));
    assert_eq!((found.time_p50, found.time_max), (Duration::ZERO, Duration::from_millis(3)));
    assert_eq!(found.time_p99, found.time_max);
    assert_eq!(facts(&history("0 invoke write x 1\n0 ok")), None);
}

/// Writes that are all different, over three processes and one key or two.
fn random(random: &mut ChaCha8Rng) -> History {
    let (mut text, mut process, mut next) = (String::new(), [0, 1, 2], 3);
    let mut open: [Option<bool>; 3] = [None; 3];
    let mut written = vec![["nil".to_owned(), "x".to_owned()], ["nil".to_owned(), "y".to_owned()]];
    let mut keys = [0, 0, 0];
    for step in 0..30 {
        let who = random.random_range(0..3);
        let name = ["x", "y"][keys[who]];
        match open[who].take() {
            None => {
                keys[who] = random.random_range(0..2);
                let name = ["x", "y"][keys[who]];
                let writes = random.random_range(0..2) == 0;
                if writes {
                    written.push([step.to_string(), name.to_owned()]);
                    text += &format!("{} invoke write {name} {step}\n", process[who]);
                } else {
                    text += &format!("{} invoke read {name}\n", process[who]);
                }
                open[who] = Some(writes);
            }
            Some(_) if random.random_range(0..8) == 0 => {
                text += &format!("{} info timeout\n", process[who]);
                process[who] = next;
                next += 1;
            }
            Some(true) => text += &format!("{} ok\n", process[who]),
            Some(false) => {
                let known: Vec<&String> =
                    written.iter().filter(|[_, key]| key == name).map(|[value, _]| value).collect();
                let value = known[random.random_range(0..known.len())];
                text += &format!("{} ok {value}\n", process[who]);
            }
        }
    }
    history(&text)
}

#[test]
fn missing_writes_are_those_that_a_slow_count_finds() {
    let mut source = ChaCha8Rng::seed_from_u64(8);
    let (mut stale, mut fresh) = (0, 0);
    for _ in 0..3_000 {
        let history = random(&mut source);
        let mut expected = Vec::new();
        for read in history.operations() {
            let Some(value) = read.value_read() else { continue };
            let of_key = || {
                history
                    .operations()
                    .filter(|op| op.op.key() == read.op.key() && op.value_written().is_some())
            };
            let source = of_key().find(|op| op.value_written() == Some(value));
            let missing =
                |op: &_| source.is_none_or(|source| source.is_ok() && source.precedes(op));
            let missing: Vec<_> =
                of_key().filter(|op| op.is_ok() && op.precedes(&read) && missing(op)).collect();
            let first = missing.iter().min_by_key(|op| op.completed);
            let since = first.and_then(|op| op.completed_at).unwrap_or(read.invoked_at);
            expected.push(Lag {
                read: read.id,
                versions: missing.len() as u64,
                time: read.invoked_at.since(since),
                missing: first.map(|op| op.id),
            });
            if missing.is_empty() { fresh += 1 } else { stale += 1 }
        }
        assert_eq!(lags(&history), expected);
    }
    assert!(stale > 5_000 && fresh > 5_000, "{stale} stale, {fresh} fresh");
}

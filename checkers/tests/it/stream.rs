//! Registers judged event by event, against the judgement of every beginning of the history.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::Verdict;
use stormglass_checkers::checker::linearizable::{Breach, Streaming};
use stormglass_checkers::checker::{Checker, Limits, Linearizable};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Op, Outcome, ProcessId, ReadLevel, Reason, Ret, SessionId, Time,
    Value,
};

/// One event of a history of numbers, where 0 is `nil`.
#[derive(Clone, Debug)]
enum Event {
    Invoke(ProcessId, Op<u32, i64>),
    Complete(ProcessId, Outcome<i64>),
}

/// An operation that was begun, and its outcome once it has taken effect.
type Doing = (ProcessId, Op<u32, i64>, Option<Outcome<i64>>);

/// How a history is drawn.
#[derive(Clone, Copy)]
struct Shape {
    clients: usize,
    operations: usize,
    /// Of 100 operations, how many have no answer, and how many answers are wrong.
    unknown: u32,
    wrong: u32,
}

/// A history of an atomic register, with some wrong answers; each value is written once.
fn draw(random: &mut ChaCha8Rng, shape: Shape) -> Vec<Event> {
    let mut events = Vec::new();
    let mut clients: Vec<Option<Doing>> = vec![None; shape.clients];
    let (mut held, mut next_value, mut next_process, mut begun) = (0, 1, 0, 0);
    while begun < shape.operations {
        let client = random.random_range(0..clients.len());
        clients[client] = match clients[client].take() {
            None => {
                begun += 1;
                next_process += 1;
                let process = ProcessId(next_process);
                let op = match random.random_range(0..5) {
                    0..2 => Op::Read { key: 7, level: ReadLevel::Strong },
                    2..4 => Op::Write { key: 7, value: next_value },
                    _ => Op::Cas { key: 7, from: held, to: next_value },
                };
                next_value += i64::from(op.kind().writes());
                events.push(Event::Invoke(process, op));
                Some((process, op, None))
            }
            Some((process, op, None)) => {
                let outcome = match op {
                    Op::Read { .. } => Outcome::Ok(Ret::Value(held)),
                    Op::Cas { from, .. } if from != held => {
                        Outcome::Fail(Reason::Mismatch { actual: Some(held) })
                    }
                    Op::Write { value, .. } | Op::Cas { to: value, .. } => {
                        held = value;
                        Outcome::Ok(Ret::Done)
                    }
                    _ => unreachable!("nothing else is drawn"),
                };
                Some((process, op, Some(outcome)))
            }
            Some((process, op, Some(outcome))) => {
                let outcome = if random.random_range(0..100) < shape.unknown {
                    Outcome::Info(Reason::Timeout)
                } else if random.random_range(0..100) < shape.wrong {
                    spoil(random, op, next_value)
                } else {
                    outcome
                };
                events.push(Event::Complete(process, outcome));
                None
            }
        };
    }
    events
}

fn spoil(random: &mut ChaCha8Rng, op: Op<u32, i64>, next_value: i64) -> Outcome<i64> {
    let any = random.random_range(0.max(next_value - 4)..=next_value);
    match op {
        Op::Read { .. } => Outcome::Ok(Ret::Value(any)),
        Op::Cas { from, .. } if random.random() && any != from => {
            Outcome::Fail(Reason::Mismatch { actual: Some(any) })
        }
        Op::Write { .. } if random.random() => Outcome::Fail(Reason::Refused),
        _ => Outcome::Ok(Ret::Done),
    }
}

/// Whether the beginning of a history is judged to have no order.
fn is_broken(events: &[Event]) -> bool {
    let value = |number: i64| if number == 0 { Value::Nil } else { Value::Int(number) };
    let mut builder = HistoryBuilder::new();
    for event in events {
        match event {
            Event::Invoke(process, op) => {
                let op = op.map(|key| format!("k{key}").into(), value);
                let session = SessionId(process.0);
                let invocation = Invocation { process: *process, session, node: None, op };
                builder.invoke(Time::ZERO, &invocation).unwrap();
            }
            Event::Complete(process, outcome) => {
                let outcome = match outcome {
                    Outcome::Ok(Ret::Done) => Outcome::Ok(Ret::Done),
                    Outcome::Ok(Ret::Value(number)) => Outcome::Ok(Ret::Value(value(*number))),
                    Outcome::Fail(reason) => Outcome::Fail(reason.map(|number| value(*number))),
                    Outcome::Info(reason) => Outcome::Info(reason.map(|number| value(*number))),
                };
                let operation = builder.open_operation(*process).unwrap();
                builder.complete(Time::ZERO, operation, &outcome).unwrap();
            }
        }
    }
    let verdict = Linearizable::new(Limits::default()).check(&builder.finish());
    match verdict {
        Verdict::Unknown { coverage, reason } => {
            assert_eq!(coverage.operations, 0, "{reason}");
            false
        }
        verdict => verdict.is_invalid(),
    }
}

/// The event at which the stream finds a violation.
fn first_violation(events: &[Event]) -> Option<usize> {
    let mut stream = Streaming::new(0);
    for (place, event) in events.iter().enumerate() {
        match event {
            Event::Invoke(process, op) => stream.invoke(*process, *op, &0),
            Event::Complete(process, outcome) => {
                if let Some(violation) = stream.complete(*process, outcome) {
                    assert_eq!(violation.event, place as u64);
                    return Some(place);
                }
            }
        }
    }
    assert_eq!(stream.summary().given_up, 0);
    None
}

#[test]
fn a_violation_is_found_with_the_completion_that_proves_it() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut broken = 0;
    for round in 0..6_000 {
        let shape = Shape {
            clients: random.random_range(2..6),
            operations: random.random_range(3..14),
            unknown: [0, 10, 40][round % 3],
            wrong: [5, 15, 0, 40][round % 4],
        };
        let events = draw(&mut random, shape);
        let found = first_violation(&events);
        match found {
            Some(place) => {
                assert!(is_broken(&events[..=place]), "too early: {:#?}", &events[..=place]);
                assert!(!is_broken(&events[..place]), "too late: {:#?}", &events[..=place]);
                broken += 1;
            }
            None => assert!(!is_broken(&events), "missed: {events:#?}"),
        }
    }
    assert!((800..4_500).contains(&broken), "{broken} of 6000 are broken");
}

/// The history with a value that is written twice after all that: it changes nothing, but the value
/// is not unique, which leaves only the search.
fn searched(events: &[Event]) -> Vec<Event> {
    let mut longer = events.to_vec();
    for process in [ProcessId(1_000_000), ProcessId(1_000_001)] {
        longer.push(Event::Invoke(process, Op::Write { key: 7, value: -1 }));
        longer.push(Event::Complete(process, Outcome::Ok(Ret::Done)));
    }
    longer
}

#[test]
fn the_linear_method_and_the_search_agree_on_longer_histories() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut broken = 0;
    for round in 0..2_000 {
        let shape = Shape {
            clients: random.random_range(2..8),
            operations: random.random_range(10..80),
            unknown: [0, 10][round % 2],
            wrong: [0, 1, 3][round % 3],
        };
        let events = draw(&mut random, shape);
        let by_zones = is_broken(&events);
        assert_eq!(by_zones, is_broken(&searched(&events)), "{events:#?}");
        assert_eq!(by_zones, first_violation(&events).is_some(), "{events:#?}");
        broken += usize::from(by_zones);
    }
    assert!((300..1_700).contains(&broken), "{broken} of 2000 are broken");
}

#[test]
fn what_is_kept_does_not_grow_with_the_history() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let shape = Shape { clients: 20, operations: 50_000, unknown: 0, wrong: 0 };
    let mut stream = Streaming::new(0);
    let mut most = 0;
    for event in draw(&mut random, shape) {
        match event {
            Event::Invoke(process, op) => stream.invoke(process, op, &0),
            Event::Complete(process, outcome) => {
                assert_eq!(stream.complete(process, &outcome), None);
            }
        }
        most = most.max(stream.kept());
    }
    assert!((10..100).contains(&most), "{most} values were kept");
    let ended = stream.summary().operations;
    assert!((49_980..=50_000).contains(&ended), "{ended} operations ended");
}

#[test]
fn a_value_may_come_again_once_it_is_forgotten_but_not_while_it_may_be_read() {
    let mut stream: Streaming<u32, i64> = Streaming::new(0);
    let mut process = 0;
    let mut act = |stream: &mut Streaming<u32, i64>, op, outcome: Outcome<i64>| {
        process += 1;
        stream.invoke(ProcessId(process), op, &0);
        stream.complete(ProcessId(process), &outcome)
    };
    let read = Op::Read { key: 1, level: ReadLevel::Strong };
    let done = || Outcome::Ok(Ret::Done);
    for _ in 0..3 {
        for value in [1, 2, 3] {
            assert_eq!(act(&mut stream, Op::Write { key: 1, value }, done()), None);
            assert_eq!(act(&mut stream, read, Outcome::Ok(Ret::Value(value))), None);
        }
        assert_eq!(act(&mut stream, Op::Delete { key: 1 }, done()), None);
        assert_eq!(act(&mut stream, read, Outcome::Ok(Ret::Value(0))), None);
    }
    let stale = act(&mut stream, read, Outcome::Ok(Ret::Value(3))).unwrap();
    assert_eq!((stale.key, stale.value, stale.breach), (1, 3, Breach::Gone));
    // The register is out of the race now, and another one that writes a value twice in a row too.
    assert_eq!(stream.summary().given_up, 1);
    assert_eq!(act(&mut stream, Op::Write { key: 2, value: 1 }, done()), None);
    assert_eq!(act(&mut stream, Op::Write { key: 2, value: 1 }, done()), None);
    assert_eq!(stream.summary().given_up, 2);
}

/// Begins or ends operations on register 1, in this order; the violation that the last one proves.
fn last_of(events: &[Event]) -> Option<(i64, Breach<i64>)> {
    let mut stream = Streaming::new(0);
    let mut found = None;
    for event in events {
        assert_eq!(found, None, "it was to be the last event that proves something");
        match event {
            Event::Invoke(process, op) => stream.invoke(*process, *op, &0),
            Event::Complete(process, outcome) => {
                let violation = stream.complete(*process, outcome);
                found = violation.map(|violation| (violation.value, violation.breach));
            }
        }
    }
    found
}

fn write(process: u32, value: i64) -> Event {
    Event::Invoke(ProcessId(process), Op::Write { key: 1, value })
}

fn read(process: u32) -> Event {
    Event::Invoke(ProcessId(process), Op::Read { key: 1, level: ReadLevel::Strong })
}

fn done(process: u32) -> Event {
    Event::Complete(ProcessId(process), Outcome::Ok(Ret::Done))
}

fn shows(process: u32, value: i64) -> Event {
    Event::Complete(ProcessId(process), Outcome::Ok(Ret::Value(value)))
}

#[test]
fn a_value_is_forgotten_because_of_any_that_came_after_it() {
    // 2 came after 1, and 3 was written some time while all that happened: of the values that came
    // after others, 3 says nothing about 1, and must not take the place of 2. Until the read of 3 is
    // over, nothing can be forgotten.
    let events = [
        read(9),
        write(1, 1),
        write(3, 3),
        done(1),
        write(2, 2),
        read(4),
        shows(4, 1),
        done(2),
        done(3),
        shows(9, 3),
        read(5),
        shows(5, 1),
    ];
    assert_eq!(last_of(&events), Some((1, Breach::Gone)));
}

#[test]
fn a_breach_names_the_value_that_was_around() {
    // 2 was there when 1 was written at last, and was seen after that; then 1 was seen.
    let events = [
        write(0, 1),
        write(1, 2),
        done(1),
        read(2),
        done(0),
        read(3),
        shows(3, 2),
        read(4),
        shows(4, 1),
    ];
    assert_eq!(last_of(&events), Some((1, Breach::Around(2))));
}

#[test]
fn compare_and_sets_that_failed_without_saying_what_they_found_are_counted() {
    let mut stream: Streaming<u32, i64> = Streaming::new(0);
    let mut fail = |process, key, actual| {
        let process = ProcessId(process);
        stream.invoke(process, Op::Cas { key, from: 7, to: 8 }, &0);
        let outcome = Outcome::Fail(Reason::Mismatch { actual });
        assert_eq!(stream.complete(process, &outcome), None);
        stream.summary().blind
    };
    assert_eq!(fail(0, 1, None), 1);
    assert_eq!(fail(1, 1, Some(0)), 1);
    assert_eq!(fail(2, 1, None), 2);
    assert_eq!(fail(3, 2, None), 3);
}

//! How a failure came about, in sentences.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use checkers::history::{NodeId, Operation, OperationId, Outcome, Time};
use checkers::{Anomaly, Guarantee, Witness};
use stormglass::corpus::load_case;
use stormglass::nemesis::{Fault, Target};
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::story;
use stormglass::system::{SYSTEMS, System};
use stormglass::trace::{Happening, Place};

use crate::systems::{plans_of, schedule};

/// An anomaly that shows then, by these operations.
fn any(at: Time, operations: Vec<OperationId>) -> Anomaly {
    Anomaly {
        name: "any".to_owned(),
        guarantee: Guarantee::Live,
        at,
        key: None,
        witness: Witness { operations, faults: Vec::new() },
        contrast: None,
        explanation: Vec::new(),
    }
}

/// A system with one leader.
fn raft() -> Box<dyn System> {
    (SYSTEMS[0].build)()
}

/// What is told of an operation.
fn told(report: &Report, operation: &Operation<'_>) -> String {
    let anomaly = any(operation.completed_at.unwrap_or(operation.invoked_at), vec![operation.id]);
    let asked = format!("at {} to `{}`", operation.invoked_at, report.history.op(operation.id));
    let story = story::tell(&*raft(), report, &anomaly).into_iter().map(|sentence| sentence.words);
    let of_it: Vec<String> = story.filter(|words| words.contains(&asked)).collect();
    let [words] = &of_it[..] else { panic!("{asked}: {of_it:#?}") };
    words.clone()
}

#[test]
fn a_leader_that_loses_its_disk_leads_no_longer() {
    let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "raft");
    let (plan, system) = named.unwrap();
    let wipe = Fault::Wipe { target: Target::Leader };
    let schedule = Some(schedule(&[(wipe, 2000, 2100)], |salt| salt));
    let report =
        run(&system, &plan, Seed(3), Options { trace: true, schedule, ..Options::default() });
    let wiped = &report.effects[0].what;
    let story = story::tell(&*system, &report, &any(Time::from_millis(9000), Vec::new()));
    let words: Vec<&str> = story.iter().map(|sentence| &*sentence.words).collect();
    let lost = words.iter().position(|words| words.contains(", and its disk with ")).unwrap();
    assert!(words[lost].starts_with(wiped.as_str()), "{words:#?}");
    let next = words[lost..].iter().find(|words| words.contains("takes itself for a leader"));
    assert!(!next.unwrap().contains("and so does"), "{words:#?}");
}

#[test]
fn what_a_node_with_a_wrong_clock_takes_itself_for_is_told_by_the_time_of_the_world() {
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/gallery");
    let case = load_case(&gallery.join("raft-lease-clock-stale-read.json")).unwrap();
    let (report, _) = case.replay(SYSTEMS).unwrap();
    let story = story::tell(&*raft(), &report, case.failure.find(&report).unwrap());
    let words: Vec<&str> = story.iter().map(|sentence| &*sentence.words).collect();
    // It leads until it hears of the next leader, and so its lease is good for an answer.
    assert!(words.contains(&"n1 takes itself for a leader (term 2), and so does n2 (term 1)"));
    assert!(!words.iter().any(|words| words.contains("no longer")), "{words:#?}");
    assert!(
        words
            .iter()
            .any(|words| words.starts_with("n2 ") && words.ends_with("its lease still runs"))
    );
}

#[test]
fn an_operation_without_an_answer_says_for_whom_its_node_waited() {
    let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "raft");
    let (plan, system) = named.unwrap();
    let report = run(&system, &plan, Seed(3), Options { trace: true, ..Options::default() });
    let mut unanswered = Vec::new();
    for operation in report.history.operations() {
        let words = told(&report, &operation);
        let says_whom =
            words.contains(", which it asked last, ") || words.contains(" last was lost (");
        let has_no_answer = matches!(operation.outcome, None | Some(Outcome::Info(_)));
        assert_eq!(says_whom, has_no_answer, "{words}");
        unanswered.extend(has_no_answer.then_some(words));
    }
    // A leader was cut off from the others, and a node was down.
    for words in [
        "n5, which it asked last, passed that on to n1 and n3; what it sent was lost on its way to n1 (dropped, it is \
         down) and n3 (dropped, cut by fault 6)",
        "what it asked n1 last was lost (dropped, it is down)",
        "n5, which it asked last, did not take that up",
    ] {
        assert!(unanswered.iter().any(|told| told.contains(words)), "{words}: {unanswered:#?}");
    }
}

/// The writes that were acknowledged after so long.
fn writes_that_lasted(
    report: &Report,
    lasting: Range<Duration>,
) -> impl Iterator<Item = Operation<'_>> {
    report.history.operations().filter(move |operation| {
        let lasted = operation.completed_at.map(|end| end.since(operation.invoked_at));
        operation.op.kind().writes()
            && matches!(operation.outcome, Some(Outcome::Ok(_)))
            && lasted.is_some_and(|lasted| lasting.contains(&lasted))
    })
}

#[test]
fn no_write_that_takes_two_nodes_is_said_to_be_done_on_the_word_of_one() {
    for name in ["raft", "primary-sync", "primary-semi-sync", "leaderless", "leaderless-sloppy"] {
        let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == name);
        let (plan, system) = named.unwrap();
        let mut told_of = 0;
        for seed in 0..3 {
            let options = Options { trace: true, ..Options::default() };
            let report = run(&system, &plan, Seed(seed), options);
            // Those that were asked again and again are the ones to be wrong about.
            let slow = writes_that_lasted(&report, Duration::from_millis(60)..Duration::MAX);
            for operation in slow.take(40) {
                let words = told(&report, &operation);
                assert!(!words.contains("on its own word"), "{name} seed {seed}: {words}");
                assert!(words.contains(" had heard from "), "{name} seed {seed}: {words}");
                told_of += 1;
            }
        }
        assert!(told_of > 20, "{name}: {told_of}");
    }
}

#[test]
fn a_leader_that_waits_for_nobody_is_said_to_answer_on_its_own_word() {
    let mut again = 0;
    for name in ["primary-async", "primary-async-queue", "primary-async-counter"] {
        let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == name);
        let (plan, system) = named.unwrap();
        let (mut alone, mut kept) = (0, 0);
        let (mut passed_on, mut asked_again, mut after_session) = (0, 0, 0);
        for seed in 0..8 {
            let options = Options { trace: true, ..Options::default() };
            let report = run(&system, &plan, Seed(seed), options);
            // Those of clients that were told before that nobody leads, or that opened a session; of the slowest,
            // a first copy may have been kept by a node that came to lead.
            let lasted = Duration::from_millis(40)..Duration::from_millis(300);
            let slow = writes_that_lasted(&report, lasted);
            for operation in slow {
                let words = told(&report, &operation);
                // A node that was asked before may have kept it until it could lead, or had voted for another one.
                if words.contains("asked again at") && !words.contains("on its own word") {
                    kept += 1;
                    continue;
                }
                assert!(words.contains("on its own word"), "{name} seed {seed}: {words}");
                alone += 1;
                passed_on += usize::from(words.contains(" passed on what "));
                asked_again += usize::from(words.contains("asked again at"));
                after_session += usize::from(words.contains("after `open-session`"));
            }
        }
        assert!(alone > 1000 && kept * 100 < alone, "{name}: {alone}, {kept} kept");
        assert!(passed_on > 1000, "{name}: {passed_on} passed on");
        again += asked_again + after_session;
    }
    assert!(again > 20, "{again}");
}

#[test]
fn an_answer_that_was_lost_and_given_again_is_told_with_both_times() {
    let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "primary-async");
    let (plan, system) = named.unwrap();
    let mut seen = 0;
    for seed in 0..4 {
        let options = Options { trace: true, ..Options::default() };
        let report = run(&system, &plan, Seed(seed), options);
        let trace = report.trace.as_ref().unwrap();
        for operation in writes_that_lasted(&report, Duration::from_millis(300)..Duration::MAX) {
            let words = told(&report, &operation);
            let Some((_, rest)) = words.split_once(" passed on what ") else { continue };
            let (node, rest) = rest.split_once(" decided at ").unwrap();
            let Some((first, rest)) = rest.split_once(" and again at ") else { continue };
            let (last, _) = rest.split_once(';').unwrap();
            let client = Place::Client(operation.session);
            let decided: Vec<String> = trace
                .iter()
                .filter(|event| event.place.to_string() == node)
                .filter(|event| {
                    (operation.invoked_at..=operation.completed_at.unwrap()).contains(&event.at)
                })
                .filter(|event| matches!(event.what, Happening::Decides { to, .. } if to == client))
                .map(|event| event.at.to_string())
                .collect();
            let [of_first, .., of_last] = &decided[..] else { panic!("{words}: {decided:?}") };
            assert!(of_first == first && of_last == last, "{words}: {decided:?}");
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn what_is_taken_up_after_the_decision_has_no_part_in_it() {
    let named = plans_of("stock.toml").into_iter().find(|(plan, _)| plan.name == "leaderless");
    let (plan, system) = named.unwrap();
    let report = run(&system, &plan, Seed(0), Options { trace: true, ..Options::default() });
    let trace = report.trace.as_ref().unwrap();
    let mut too_late = 0;
    for (decided, event) in trace.iter().enumerate() {
        let Happening::Decides { to, .. } = event.what else { continue };
        let is_answer = |what: &Happening| matches!(what, Happening::Sent(sent) if sent.to == to);
        let rest = trace[decided..].iter().filter(|later| later.place == event.place);
        // What it hears between the decision and the answer, from whom it had heard nothing for a while.
        let heard: BTreeSet<NodeId> = rest
            .take_while(|later| !is_answer(&later.what))
            .filter_map(|later| match later.what {
                Happening::Received { from, .. } => from.node(),
                _ => None,
            })
            .collect();
        let Place::Client(session) = to else { panic!("clients are answered: {event:?}") };
        let operation = report.history.operations().find(|operation| {
            operation.session == session
                && operation.invoked_at <= event.at
                && operation.completed_at.is_some_and(|end| end >= event.at)
        });
        let Some(operation) = operation.filter(|operation| operation.is_ok()) else { continue };
        let before =
            trace[..decided].iter().rev().take_while(|earlier| earlier.at >= operation.invoked_at);
        let earlier: BTreeSet<NodeId> = before
            .filter(|earlier| earlier.place == event.place)
            .filter_map(|earlier| match earlier.what {
                Happening::Received { from, .. } => from.node(),
                _ => None,
            })
            .collect();
        let words = told(&report, &operation);
        for node in heard.difference(&earlier) {
            too_late += 1;
            assert!(!words.contains(&format!("n{node} (")), "n{node} came too late: {words}");
        }
    }
    assert!(too_late > 10, "some answers came too late: {too_late}");
}

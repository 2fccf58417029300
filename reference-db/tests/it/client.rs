//! What a client knows after a call, and what it says until then.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use stormglass_reference_db::client::{Answer, Client, Policy, ReplicaReads};
use stormglass_reference_db::env::{ClientEnv, NodeId, Time};
use stormglass_reference_db::kv::{Command, Datum, ReadLevel, Reply, Update};
use stormglass_reference_db::merge::{Actor, Dot, VersionVector};
use stormglass_reference_db::wire::{self, Frame, Request};
use tokio::time::Instant;

/// How long the clients here wait for an answer.
const ATTEMPT: Duration = Duration::from_millis(100);
/// How long a call may take.
const CALL: Duration = Duration::from_secs(1);

/// What comes of one message that a client sends.
#[derive(Clone)]
enum Step {
    /// Nothing.
    Silence,
    /// The answer, at once.
    Says(Reply),
    /// The answer, some time later.
    SaysLate(Duration, Reply),
    /// Bytes that mean nothing, and then the answer.
    Babbles(Reply),
    /// The answer to the request before this one, and then the answer.
    SaysTwice(Reply, Reply),
}
use Step::{Babbles, Says, SaysLate, SaysTwice, Silence};

/// Three nodes that follow a script, and do as its last step says once it is over.
#[derive(Clone)]
struct World(Rc<RefCell<Nodes>>, Instant);

struct Nodes {
    script: VecDeque<Step>,
    sent: Vec<(u32, Request)>,
    /// What is under way, by when it arrives and the order in which it was sent.
    arrivals: BTreeMap<(Time, usize), (NodeId, Vec<u8>)>,
    order: usize,
}

impl World {
    fn new(script: &[Step]) -> World {
        let script = script.iter().cloned().collect();
        let nodes = Nodes { script, sent: Vec::new(), arrivals: BTreeMap::new(), order: 0 };
        World(Rc::new(RefCell::new(nodes)), Instant::now())
    }
}

impl Nodes {
    fn arrive(&mut self, at: Time, from: NodeId, bytes: Vec<u8>) {
        self.order += 1;
        let order = self.order;
        self.arrivals.insert((at, order), (from, bytes));
    }
}

impl ClientEnv for World {
    fn nodes(&self) -> Vec<NodeId> {
        (1..=3).map(NodeId).collect()
    }

    fn now(&self) -> Time {
        Time(0) + self.1.elapsed()
    }

    async fn sleep_until(&self, at: Time) {
        tokio::time::sleep_until(self.1 + Duration::from_nanos(at.0)).await;
    }

    fn send(&self, to: NodeId, bytes: Vec<u8>) {
        let now = self.now();
        let mut nodes = self.0.borrow_mut();
        let Ok(Frame::<()>::Request(request)) = wire::decode(&bytes) else {
            panic!("a client sends nothing but requests");
        };
        let sequence = request.sequence;
        nodes.sent.push((to.0, request));
        let last = nodes.script.len() == 1;
        let step = if last { nodes.script[0].clone() } else { nodes.script.pop_front().unwrap() };
        let answer = |sequence, reply| {
            wire::encode(&Frame::<()>::Response { sequence, reply, position: sequence * 10 })
        };
        match step {
            Silence => {}
            Says(reply) => nodes.arrive(now, to, answer(sequence, reply)),
            SaysLate(after, reply) => nodes.arrive(now + after, to, answer(sequence, reply)),
            Babbles(reply) => {
                nodes.arrive(now, to, vec![0xff; 9]);
                nodes.arrive(now, to, answer(sequence, reply));
            }
            SaysTwice(earlier, reply) => {
                nodes.arrive(now, to, answer(sequence - 1, earlier));
                nodes.arrive(now, to, answer(sequence, reply));
            }
        }
    }

    async fn recv(&self) -> (NodeId, Vec<u8>) {
        // Nothing is sent while the client waits, so nothing new can come first.
        let next = self.0.borrow().arrivals.keys().next().copied();
        let Some(next) = next else { pending().await };
        self.sleep_until(next.0).await;
        self.0.borrow_mut().arrivals.remove(&next).expect("only this takes it")
    }
}

fn policy() -> Policy {
    Policy {
        home: 0,
        attempt: ATTEMPT,
        pause: Duration::from_millis(50),
        roam: true,
        stride: 1,
        rewrites_sets: false,
        replica_reads: ReplicaReads::Sticky,
        remembered: true,
    }
}

fn write(value: &str) -> Command {
    Command::Write { key: "x".into(), value: value.into() }
}

fn read() -> Command {
    Command::Read { key: "x".into(), level: ReadLevel::Strong }
}

/// Makes calls one after the other, compares what the client knows after each, and returns what it
/// sent.
fn check(policy: Policy, script: &[Step], calls: &[(Command, Answer)]) -> Vec<(u32, u64, u64)> {
    sent_and_seen(policy, script, calls).0
}

/// The same, and what each request said about what the client had seen.
fn sent_and_seen(
    policy: Policy,
    script: &[Step],
    calls: &[(Command, Answer)],
) -> (Vec<(u32, u64, u64)>, Vec<u64>) {
    let requests = requests(policy, script, calls);
    let sent = requests.iter().map(|(node, request)| (*node, request.session, request.sequence));
    (sent.collect(), requests.iter().map(|(_, request)| request.seen).collect())
}

/// Makes calls one after the other, compares what the client knows after each, and returns the requests
/// and the nodes that they went to.
fn requests(policy: Policy, script: &[Step], calls: &[(Command, Answer)]) -> Vec<(u32, Request)> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let world = World::new(script);
        let mut client = Client::new(world.clone(), policy);
        for (at, (command, expected)) in calls.iter().enumerate() {
            let deadline = world.now() + CALL;
            let answer = client.call(command.clone(), deadline).await;
            assert_eq!(answer, *expected, "call {at}: {command:?}");
            assert!(world.now() <= deadline, "call {at} ended at {:?}", world.now());
        }
        world.0.borrow().sent.clone()
    })
}

fn done() -> Answer {
    Answer::Reply(Reply::Done)
}

const OPENED: Step = Says(Reply::Session(7));

#[test]
fn a_change_opens_a_session_once() {
    let script = [OPENED, Says(Reply::Done)];
    let sent = check(policy(), &script, &[(write("1"), done()), (write("2"), done())]);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (1, 7, 3)]);
}

#[test]
fn a_read_needs_no_session() {
    let value = Reply::Value(Some(b"1".to_vec()));
    let sent = check(policy(), &[Says(value.clone())], &[(read(), Answer::Reply(value))]);
    assert_eq!(sent, [(1, 0, 1)]);
}

#[test]
fn a_change_that_every_node_turned_down_may_come_again_and_be_made() {
    let script = [OPENED, Says(Reply::NotLeader)];
    let sent = check(policy(), &script, &[(write("1"), Answer::Unknown)]);
    assert_eq!(sent[..5], [(1, 0, 1), (1, 7, 2), (2, 7, 2), (3, 7, 2), (1, 7, 2)]);
}

#[test]
fn a_read_that_every_node_turned_down_was_not_done() {
    check(policy(), &[Says(Reply::NotLeader)], &[(read(), Answer::NotDone)]);
}

#[test]
fn what_a_change_without_an_answer_did_is_unknown() {
    let sent = check(policy(), &[OPENED, Silence], &[(write("1"), Answer::Unknown)]);
    assert_eq!(sent[..4], [(1, 0, 1), (1, 7, 2), (2, 7, 2), (3, 7, 2)]);
}

#[test]
fn one_copy_without_an_answer_is_enough_to_know_nothing() {
    let script = [OPENED, Says(Reply::NotLeader), Silence, Says(Reply::NotLeader)];
    check(policy(), &script, &[(write("1"), Answer::Unknown)]);
}

#[test]
fn a_change_whose_session_cannot_be_opened_was_not_done() {
    let sent = check(policy(), &[Silence], &[(write("1"), Answer::NotDone)]);
    assert!(sent.iter().all(|(_, session, _)| *session == 0), "{sent:?}");
}

#[test]
fn a_retry_carries_the_same_numbers_to_the_next_node() {
    let script = [OPENED, Silence, Says(Reply::NotLeader), Says(Reply::Done)];
    let sent = check(policy(), &script, &[(write("1"), done())]);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (2, 7, 2), (3, 7, 2)]);
}

#[test]
fn a_client_that_does_not_roam_asks_its_home_again() {
    let policy = Policy { home: 1, roam: false, ..policy() };
    let script = [OPENED, Silence, Says(Reply::NotLeader), Says(Reply::Done)];
    let sent = check(policy, &script, &[(write("1"), done())]);
    assert_eq!(sent, [(2, 0, 1), (2, 7, 2), (2, 7, 2), (2, 7, 2)]);
}

#[test]
fn a_change_in_an_unknown_session_may_have_been_made_before_the_session_was_forgotten() {
    let script = [OPENED, Says(Reply::SessionUnknown), Says(Reply::Session(9)), Says(Reply::Done)];
    let calls = [(write("1"), Answer::Unknown), (write("2"), done())];
    let sent = check(policy(), &script, &calls);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (1, 0, 3), (1, 9, 4)]);
}

#[test]
fn an_unknown_session_after_silence_says_nothing_about_the_silent_copy() {
    let script =
        [OPENED, Silence, Says(Reply::SessionUnknown), Says(Reply::Session(9)), Says(Reply::Done)];
    let calls = [(write("1"), Answer::Unknown), (write("2"), done())];
    let sent = check(policy(), &script, &calls);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (2, 7, 2), (2, 0, 3), (2, 9, 4)]);
}

#[test]
fn a_late_answer_to_an_earlier_request_is_ignored() {
    // The read's answer arrives while the client waits for that of the write.
    let old = Reply::Value(Some(b"old".to_vec()));
    let script = [OPENED, SaysTwice(old.clone(), Reply::Done), SaysTwice(Reply::Done, old.clone())];
    let calls = [(write("1"), done()), (read(), Answer::Reply(old))];
    check(policy(), &script, &calls);
}

#[test]
fn an_answer_after_the_deadline_does_not_answer_the_next_request() {
    let (old, new) = (Reply::Value(None), Reply::Value(Some(b"1".to_vec())));
    let late = SaysLate(CALL + Duration::from_millis(10), old);
    let script: Vec<_> = std::iter::once(late)
        .chain(std::iter::repeat_n(Silence, 9))
        .chain([SaysLate(ATTEMPT / 2, new.clone())])
        .collect();
    check(policy(), &script, &[(read(), Answer::Unknown), (read(), Answer::Reply(new))]);
}

#[test]
fn a_late_answer_to_an_earlier_copy_of_the_same_request_counts() {
    let script = [OPENED, SaysLate(ATTEMPT * 3 / 2, Reply::Done), Silence];
    let sent = check(policy(), &script, &[(write("1"), done())]);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (2, 7, 2)]);
}

#[test]
fn noise_is_no_answer() {
    let script = [Babbles(Reply::Session(7)), Babbles(Reply::Done)];
    let sent = check(policy(), &script, &[(write("1"), done())]);
    assert_eq!(sent.len(), 2);
}

#[test]
fn an_answer_to_an_abandoned_call_is_ignored() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let old = Reply::Value(None);
        let new = Reply::Value(Some(b"1".to_vec()));
        let script = [SaysLate(ATTEMPT / 2, old), SaysLate(ATTEMPT / 2, new.clone())];
        let world = World::new(&script);
        let mut client = Client::new(world.clone(), policy());
        let deadline = world.now() + CALL;
        let given_up = tokio::time::timeout(ATTEMPT / 4, client.call(read(), deadline)).await;
        assert!(given_up.is_err());
        client.abandon();
        assert_eq!(client.call(read(), deadline).await, Answer::Reply(new));
    });
}

#[test]
fn a_session_read_goes_to_one_node_after_the_other_and_says_what_was_seen() {
    let policy = Policy { replica_reads: ReplicaReads::Session, roam: false, ..policy() };
    let value = Reply::Value(None);
    let script = [OPENED, Says(Reply::Done), Says(value.clone()), Silence, Says(value.clone())];
    let read = || {
        let level = ReadLevel::Replica;
        (Command::Read { key: "x".into(), level }, Answer::Reply(value.clone()))
    };
    let calls = [(write("1"), done()), read(), read()];
    let (sent, seen) = sent_and_seen(policy, &script, &calls);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (1, 0, 3), (2, 0, 4), (3, 0, 4)]);
    assert!(seen[0] == 0 && seen.is_sorted() && seen[2] > 0, "{seen:?}");
}

#[test]
fn a_client_that_reads_where_it_is_says_nothing_of_what_it_saw() {
    let script = [OPENED, Says(Reply::Done)];
    let (_, seen) = sent_and_seen(policy(), &script, &[(write("1"), done()), (write("2"), done())]);
    assert_eq!(seen, [0, 0, 0]);
}

#[test]
fn a_client_whose_past_was_lost_begins_anew() {
    let policy = Policy { replica_reads: ReplicaReads::Session, ..policy() };
    let script =
        [OPENED, Says(Reply::Done), Says(Reply::Lost), Says(Reply::Session(9)), Says(Reply::Done)];
    let calls =
        [(write("1"), done()), (write("2"), Answer::Lost { unknown: false }), (write("3"), done())];
    let (sent, seen) = sent_and_seen(policy, &script, &calls);
    assert_eq!(sent, [(1, 0, 1), (1, 7, 2), (1, 7, 3), (1, 0, 4), (1, 9, 5)]);
    assert!(seen[2] > 0 && seen[3] == 0, "{seen:?}");
}

#[test]
fn a_loss_after_silence_says_nothing_about_the_silent_copy() {
    let policy = Policy { replica_reads: ReplicaReads::Session, ..policy() };
    let script = [OPENED, Silence, Says(Reply::Lost)];
    check(policy, &script, &[(write("1"), Answer::Lost { unknown: true })]);
}

#[test]
fn a_mismatch_after_silence_is_certain_only_where_changes_are_remembered() {
    let cas = || Command::Cas { key: "x".into(), from: None, to: Some("1".into()) };
    let mismatch = Reply::Mismatch(None);
    let script = [OPENED, Silence, Says(mismatch.clone())];
    check(policy(), &script, &[(cas(), Answer::Reply(mismatch))]);
    check(Policy { remembered: false, ..policy() }, &script, &[(cas(), Answer::Unknown)]);
}

#[test]
fn a_client_of_a_region_goes_on_to_the_next_node_of_its_region() {
    let nodes = |home, stride| {
        let sent =
            check(Policy { home, stride, ..policy() }, &[Silence], &[(read(), Answer::Unknown)]);
        sent.into_iter().map(|(node, ..)| node).take(4).collect::<Vec<_>>()
    };
    assert_eq!(nodes(0, 2), [1, 3, 1, 3]);
    assert_eq!(nodes(1, 2), [2; 4]);
    assert_eq!(nodes(1, 1), [2, 3, 1, 2]);
}

fn context(number: u64) -> VersionVector {
    VersionVector::from_iter([Dot { actor: Actor(1), number }])
}

#[test]
fn the_next_write_of_a_client_that_has_read_siblings_replaces_those_and_no_others() {
    let read_by =
        |number| Reply::Siblings { values: vec![b"1".to_vec()], context: context(number) };
    let script = [
        Says(read_by(4)),
        OPENED,
        Says(Reply::Done),
        Says(Reply::Done),
        Says(read_by(6)),
        Says(Reply::Done),
    ];
    let delete = Command::Delete { key: "x".into() };
    let calls = [
        (read(), Answer::Reply(read_by(4))),
        (write("2"), done()),
        (write("3"), done()),
        (read(), Answer::Reply(read_by(6))),
        (delete, done()),
    ];
    let requests = requests(policy(), &script, &calls);
    let sent: Vec<Command> = requests.into_iter().map(|(_, request)| request.command).collect();
    let replaces = |value: Option<&str>, number| {
        let (key, value) = ("x".into(), value.map(|value| value.into()));
        Command::Replace { key, value, context: context(number), shown: false }
    };
    assert_eq!(sent[2..4], [replaces(Some("2"), 4), write("3")]);
    assert_eq!(sent[5], replaces(None, 6));
}

fn add(element: &str) -> Command {
    Command::Update { key: "x".into(), update: Update::Add(element.into()) }
}

/// The bytes that a client writes where it is to put an element into the set that it has read.
fn written(element: &str, held: Reply) -> Command {
    let script = [Says(held), OPENED, Says(Reply::Done)];
    let policy = Policy { rewrites_sets: true, ..policy() };
    let mut requests = requests(policy, &script, &[(add(element), done())]);
    assert_eq!(requests[0].1.command, read());
    requests.remove(2).1.command
}

#[test]
fn a_set_in_a_register_is_read_and_changed_and_written_whole() {
    let policy = Policy { rewrites_sets: true, ..policy() };
    let Command::Write { value: a, .. } = written("a", Reply::Value(None)) else { panic!() };
    let both = written("b", Reply::Value(Some(a.clone())));
    let Command::Write { value: both, .. } = both else { panic!("{both:?}") };
    let set = |elements: &[&str]| {
        let elements = elements.iter().map(|element| element.as_bytes().to_vec());
        Answer::Reply(Reply::Datum(Datum::Set(elements.collect::<BTreeSet<_>>())))
    };
    let shows = |held, expected| {
        check(policy, &[Says(held)], &[(read(), expected)]);
    };
    shows(Reply::Value(Some(both)), set(&["a", "b"]));

    // Of siblings, all are put together, and replaced.
    let Command::Write { value: c, .. } = written("c", Reply::Value(None)) else { panic!() };
    let c_alone = c.clone();
    let siblings = Reply::Siblings { values: vec![a, c], context: context(3) };
    shows(siblings.clone(), set(&["a", "c"]));
    let Command::Replace { value: Some(all), context: replaced, .. } = written("d", siblings)
    else {
        panic!("siblings are replaced")
    };
    assert_eq!(replaced, context(3));
    shows(Reply::Value(Some(all)), set(&["a", "c", "d"]));

    // What is not there is not removed, and nothing is written that would say so.
    let remove = Command::Update { key: "x".into(), update: Update::Remove("b".into()) };
    let absent = Answer::Reply(Reply::Absent);
    check(policy, &[Says(Reply::Value(Some(c_alone.clone())))], &[(remove, absent)]);

    // What is no set is none.
    let number = Reply::Value(Some(b"7".to_vec()));
    shows(number.clone(), Answer::Reply(number.clone()));
    check(policy, &[Says(number)], &[(add("a"), Answer::Reply(Reply::WrongKind))]);
    check(policy, &[Silence], &[(add("a"), Answer::NotDone)]);
}

#[test]
fn a_client_changes_what_it_has_written_itself_also_where_a_read_shows_it_less() {
    let policy = Policy { rewrites_sets: true, ..policy() };
    let set = |elements: &[&str]| {
        let (last, before) = elements.split_last().expect("no empty set is written");
        let held =
            before.iter().fold(Reply::Value(None), |held, element| match written(element, held) {
                Command::Write { value, .. } => Reply::Value(Some(value)),
                command => panic!("{command:?}"),
            });
        written(last, held)
    };
    let shows = |elements: &[&str], number| match set(elements) {
        Command::Write { value, .. } => {
            Reply::Siblings { values: vec![value], context: context(number) }
        }
        command => panic!("{command:?}"),
    };
    // It has put 2 to 1; a node that has not heard of that shows it 1 alone; it takes 1 out.
    let script = [
        Says(shows(&["1"], 1)),
        OPENED,
        Says(shows(&["1", "2"], 2)),
        Says(shows(&["1"], 1)),
        Says(shows(&["2"], 3)),
    ];
    let remove = Command::Update { key: "x".into(), update: Update::Remove("1".into()) };
    let requests = requests(policy, &script, &[(add("2"), done()), (remove, done())]);
    let Command::Replace { value: Some(value), context: replaced, .. } = &requests[4].1.command
    else {
        panic!("{requests:?}")
    };
    assert_eq!(*replaced, context(2), "what was written before is replaced too");
    let Command::Write { value: left, .. } = set(&["2"]) else { panic!("no write") };
    assert_eq!(*value, left);
}

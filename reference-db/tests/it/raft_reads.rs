//! How the mode `raft` answers strong reads: under a lease, at followers, and from what a node holds; and
//! leadership that is handed over on request.

use std::time::Duration;

use stormglass_reference_db::env::{NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, Kv, ReadLevel, Reply};
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::raft::lease::{self, DRIFT_PERCENT_MAX};
use stormglass_reference_db::protocol::raft::message::Message as CoreMessage;
use stormglass_reference_db::protocol::raft::{Message, Raft, StrongReads, Ticket};
use stormglass_reference_db::wire::Request;

use super::counting::{Tally, Watch, play};
use super::raft_cluster::{Answer, Cluster, MS, TIMING};

const RIGHT: [u64; 3] = [1000; 3];
/// As wrong as clocks may be, and as right as they can be, in one cluster.
const WITHIN_BOUND: [[u64; 3]; 4] =
    [[900, 1100, 1100], [1100, 900, 1000], [1000, 1100, 900], [900, 1000, 1100]];
/// A leader that is slow, members that are fast, and both.
const BEYOND_BOUND: [[u64; 3]; 3] = [[100, 1000, 1000], [1000, 4000, 4000], [250, 2000, 2000]];
const ELECTION_MS: u64 = TIMING.election.as_millis() as u64;

fn read(sequence: u64) -> Request {
    let command = Command::Read { key: "x".to_owned(), level: ReadLevel::Strong };
    Request { session: 0, sequence, seen: 0, command }
}

fn transfer(to: usize) -> Request {
    let command = Command::Transfer { to: NodeId(u32::try_from(to).unwrap()) };
    Request { session: 0, sequence: 1, seen: 0, command }
}

/// A client that writes.
struct Writer {
    session: u64,
    sequence: u64,
}

const WRITER: u64 = 7;
const READER: u64 = 8;
const OPERATOR: u64 = 9;

impl Writer {
    fn write(&mut self, value: &str) -> Request {
        self.sequence += 1;
        let (key, value) = ("x".to_owned(), value.as_bytes().to_vec());
        let command = Command::Write { key, value };
        Request { session: self.session, sequence: self.sequence, seen: 0, command }
    }
}

fn value(value: &str) -> Option<Reply> {
    Some(Reply::Value(Some(value.as_bytes().to_vec())))
}

/// Three nodes of which one leads and has a lease, where there are leases, and `x = old` everywhere.
fn started(reads: StrongReads) -> (Cluster<Raft>, usize, Writer) {
    let mut cluster = Cluster::reading(reads, &RIGHT, 1, 1000);
    let leader = cluster.elect();
    let open = Request { session: 0, sequence: 1, seen: 0, command: Command::OpenSession };
    let Some(Reply::Session(session)) = cluster.ask(leader, WRITER, open) else {
        panic!("no session is opened")
    };
    let mut writer = Writer { session, sequence: 1 };
    let old = writer.write("old");
    assert_eq!(cluster.ask(leader, WRITER, old), Some(Reply::Done));
    cluster.run(2 * ELECTION_MS);
    assert_eq!(cluster.leader(), Some(leader));
    (cluster, leader, writer)
}

/// What is answered without any time passing.
fn asked_now(cluster: &mut Cluster<Raft>, node: usize, request: Request) -> Option<Reply> {
    let before = cluster.answers.len();
    cluster.request(node, READER, request);
    cluster.answers[before..].first().map(|answer| answer.reply.clone())
}

fn other(leader: usize) -> usize {
    (leader + 1) % 3
}

/// Lets a cluster without its leader elect another one.
fn depose(cluster: &mut Cluster<Raft>, leader: usize) -> usize {
    cluster.split(&[leader]);
    let elected = cluster.run_until(|cluster| {
        (0..3).any(|node| node != leader && cluster.role(node) == Some(Role::Leader))
    });
    assert!(elected, "nobody else is elected");
    (0..3).find(|node| *node != leader && cluster.role(*node) == Some(Role::Leader)).unwrap()
}

#[test]
fn a_leader_with_a_lease_answers_at_once_and_one_without_asks_first() {
    let (mut cluster, leader, _) = started(StrongReads::Lease);
    assert_eq!(asked_now(&mut cluster, leader, read(1)), value("old"));
    let (mut cluster, leader, _) = started(StrongReads::ReadIndex);
    assert_eq!(asked_now(&mut cluster, leader, read(1)), None);
    assert_eq!(cluster.ask(leader, READER, read(2)), value("old"));
}

#[test]
fn a_lease_is_shorter_than_any_member_waits_whatever_clocks_do_within_the_bound() {
    let percent = |percent: u32| TIMING.election * percent / 100;
    // By the world: the slowest clock of a leader, and the fastest of a member.
    let lease = lease::length(&TIMING) * 100 / (100 - DRIFT_PERCENT_MAX);
    let refuses = TIMING.election * 100 / (100 + DRIFT_PERCENT_MAX);
    assert!(lease <= refuses, "{lease:?} and {refuses:?}");
    assert!(lease::length(&TIMING) > percent(80) && percent(80) > Duration::ZERO);
}

#[test]
fn a_leader_that_is_cut_off_answers_until_its_lease_ends_and_no_longer() {
    let (mut cluster, leader, mut writer) = started(StrongReads::Lease);
    cluster.split(&[leader]);
    assert_eq!(asked_now(&mut cluster, leader, read(1)), value("old"));
    let successor = depose(&mut cluster, leader);
    assert_eq!(cluster.ask(successor, WRITER, writer.write("new")), Some(Reply::Done));
    let before = cluster.answers.len();
    cluster.request(leader, READER, read(2));
    cluster.run(ELECTION_MS);
    let values =
        cluster.answers[before..].iter().filter(|answer| matches!(answer.reply, Reply::Value(_)));
    assert_eq!(values.count(), 0, "{:?}", &cluster.answers[before..]);
    cluster.heal();
    cluster.run(ELECTION_MS);
    assert_eq!(cluster.ask(leader, READER, read(3)), value("new"));
}

#[test]
fn a_leader_that_hands_over_has_no_lease_from_the_moment_it_is_told() {
    let (mut cluster, leader, _) = started(StrongReads::Lease);
    cluster.request(leader, OPERATOR, transfer(other(leader)));
    assert_eq!(cluster.role(leader), Some(Role::Leader));
    assert_eq!(asked_now(&mut cluster, leader, read(1)), None);
}

#[test]
fn a_lease_that_was_given_up_does_not_come_back_in_the_same_term() {
    let (mut cluster, leader, _) = started(StrongReads::Lease);
    let down = other(leader);
    cluster.crash(down);
    let term = cluster.status(leader).unwrap().term;
    cluster.request(leader, OPERATOR, transfer(down));
    cluster.run(3 * ELECTION_MS);
    assert_eq!(cluster.status(leader).map(|status| status.term), Some(term), "it leads on");
    assert_eq!(asked_now(&mut cluster, leader, read(1)), None);
    assert_eq!(cluster.ask(leader, READER, read(2)), value("old"));
}

#[test]
fn a_transfer_that_came_to_nothing_hands_over_no_later_term() {
    let (mut cluster, leader, _) = started(StrongReads::Lease);
    let (to, third) = (other(leader), other(other(leader)));
    cluster.split(&[leader]);
    cluster.request(leader, OPERATOR, transfer(to));
    let term = cluster.status(leader).unwrap().term;
    // The third one is elected without it, and hands over to it.
    for message in [
        CoreMessage::Heartbeat { term: term + 1, round: 0, commit: 0 },
        CoreMessage::StandNow { term: term + 1 },
        CoreMessage::VoteReply { term: term + 2, granted: true },
    ] {
        let from = NodeId(u32::try_from(third).unwrap());
        cluster.step(leader, Input::Message { from, message: Message::Core(message) });
    }
    assert_eq!(cluster.role(leader), Some(Role::Leader));
    cluster.overheard = Some(Vec::new());
    cluster.heal();
    cluster.run(ELECTION_MS / 2);
    let overheard = cluster.overheard.take().unwrap();
    let hands_over = |message: &Message| match message {
        Message::Core(message) => format!("{message:?}").contains("StandNow"),
        _ => false,
    };
    assert!(!overheard.iter().any(|(_, _, message)| hands_over(message)), "its lease runs");
    assert_eq!(cluster.status(leader).unwrap().term, term + 2);
}

#[test]
fn a_member_that_has_just_started_elects_nobody_while_a_lease_may_count_on_it() {
    for (reads, votes) in [(StrongReads::Lease, false), (StrongReads::ReadIndex, true)] {
        let (mut cluster, leader, _) = started(reads);
        let (voter, candidate) = (other(leader), other(other(leader)));
        cluster.crash(voter);
        cluster.start(voter);
        let log = cluster.node(candidate).core().log().last();
        let term = cluster.status(leader).unwrap().term + 1;
        let vote = CoreMessage::Vote { term, last: log, handed_over: false };
        let from = NodeId(u32::try_from(candidate).unwrap());
        cluster.step(voter, Input::Message { from, message: Message::Core(vote) });
        assert_eq!(cluster.status(voter).unwrap().term == term, votes, "{reads:?}");
    }
}

/// Clients are all that watches.
struct Nothing;

impl Watch<Raft> for Nothing {
    fn check(&mut self, _: usize, _: &Cluster<Raft>) {}

    fn answered(&mut self, _: &Answer, _: &Cluster<Raft>) {}

    fn kv(node: &Raft) -> &Kv {
        node.kv()
    }
}

fn played(reads: StrongReads, rates: &[u64], seed: u64) -> Tally {
    let snapshot_entries = [8, 30, 1000][usize::try_from(seed % 3).unwrap()];
    let mut cluster = Cluster::reading(reads, rates, seed, snapshot_entries);
    cluster.transfers = !seed.is_multiple_of(3);
    play(cluster, Nothing, seed).0
}

#[test]
fn no_read_under_a_lease_misses_what_anybody_was_told_while_clocks_are_within_the_bound() {
    let mut all = Tally::default();
    for seed in 0..800 {
        let rates = WITHIN_BOUND[usize::try_from(seed / 3 % 4).unwrap()];
        let tally = played(StrongReads::Lease, &rates, seed);
        all.counted += tally.counted;
        all.reads += tally.reads;
    }
    assert!(all.counted > 10_000 && all.reads > 10_000, "{} and {}", all.counted, all.reads);
}

#[test]
#[should_panic(expected = "was known")]
fn a_clock_beyond_the_bound_lets_a_read_under_a_lease_miss_what_somebody_was_told() {
    for seed in 0..1_500 {
        let rates = BEYOND_BOUND[usize::try_from(seed / 3 % 3).unwrap()];
        played(StrongReads::Lease, &rates, seed);
    }
}

#[test]
fn no_read_at_a_follower_misses_what_anybody_was_told() {
    let mut all = Tally::default();
    for seed in 0..500 {
        let tally = played(StrongReads::Follower, &[600, 1000, 1600], seed);
        all.counted += tally.counted;
        all.reads += tally.reads;
    }
    assert!(all.counted > 5_000 && all.reads > 5_000, "{} and {}", all.counted, all.reads);
}

#[test]
#[should_panic(expected = "was known")]
fn a_stale_read_misses_what_somebody_was_told() {
    for seed in 0..100 {
        played(StrongReads::Stale, &RIGHT, seed);
    }
}

#[test]
fn a_follower_answers_from_its_own_state_once_it_has_what_was_committed() {
    let (mut cluster, leader, mut writer) = started(StrongReads::Follower);
    let follower = other(leader);
    // The entry is committed without this follower, and reaches it late.
    cluster.cut[leader][follower] = true;
    assert_eq!(cluster.ask(leader, WRITER, writer.write("new")), Some(Reply::Done));
    cluster.cut[leader][follower] = false;
    assert_eq!(asked_now(&mut cluster, follower, read(1)), None);
    assert_eq!(cluster.ask(follower, READER, read(2)), value("new"));
    let last = cluster.answers.last().unwrap();
    assert!(last.position <= cluster.status(follower).unwrap().applied);
}

#[test]
fn a_follower_that_reaches_no_leader_turns_a_strong_read_down() {
    let (mut cluster, leader, _) = started(StrongReads::Follower);
    let follower = other(leader);
    cluster.split(&[follower]);
    let asked_at = cluster.now;
    assert_eq!(cluster.ask(follower, READER, read(1)), Some(Reply::NotLeader));
    let waited = cluster.now.since(asked_at);
    assert!(waited <= TIMING.election + TIMING.heartbeat, "{waited:?}");
}

#[test]
fn an_index_for_an_earlier_start_of_the_node_answers_nothing() {
    let (mut cluster, leader, _) = started(StrongReads::Follower);
    let follower = other(leader);
    cluster.cut[follower][leader] = true;
    cluster.request(follower, READER, read(1));
    let ticket = Ticket { start: 0, number: 1 };
    let from = NodeId(u32::try_from(leader).unwrap());
    let before = cluster.answers.len();
    cluster.step(follower, Input::Message { from, message: Message::Index { ticket, index: 0 } });
    assert_eq!(cluster.answers.len(), before);
}

#[test]
fn a_stale_read_is_answered_at_once_by_a_node_that_is_behind() {
    let (mut cluster, leader, mut writer) = started(StrongReads::Stale);
    let follower = other(leader);
    cluster.split(&[follower]);
    assert_eq!(cluster.ask(leader, WRITER, writer.write("new")), Some(Reply::Done));
    assert_eq!(asked_now(&mut cluster, follower, read(1)), value("old"));
}

#[test]
fn service_goes_on_within_less_than_an_election_timeout_of_a_transfer() {
    for (asked, reads) in [(0, StrongReads::ReadIndex), (1, StrongReads::Lease)] {
        let (mut cluster, leader, mut writer) = started(reads);
        let successor = other(leader);
        let asked_at = cluster.now;
        // The leader, or a node that passes it on.
        let reply = cluster.ask((leader + 2 * asked) % 3, OPERATOR, transfer(successor));
        assert_eq!(reply, Some(Reply::Done));
        assert_eq!(cluster.leader(), Some(successor));
        assert_eq!(cluster.ask(successor, WRITER, writer.write("new")), Some(Reply::Done));
        let took = cluster.now.since(asked_at);
        assert!(took < TIMING.election, "{took:?}");
        assert_eq!(cluster.role(leader), Some(Role::Follower));
    }
}

#[test]
fn a_leader_takes_on_no_change_while_it_hands_over_and_leads_on_where_nothing_comes_of_it() {
    let (mut cluster, leader, mut writer) = started(StrongReads::ReadIndex);
    let down = other(leader);
    cluster.crash(down);
    cluster.request(leader, OPERATOR, transfer(down));
    let refused = writer.write("refused");
    assert_eq!(cluster.ask(leader, WRITER, refused), Some(Reply::NotLeader));
    cluster.run(ELECTION_MS + 50);
    assert_eq!(cluster.ask(leader, WRITER, writer.write("new")), Some(Reply::Done));
    assert!(cluster.answers.iter().all(|answer| answer.client.0 != OPERATOR), "it was not done");
}

#[test]
fn a_transfer_to_the_leader_is_done_and_one_to_a_stranger_is_refused() {
    let (mut cluster, leader, _) = started(StrongReads::ReadIndex);
    assert_eq!(cluster.ask(leader, OPERATOR, transfer(leader)), Some(Reply::Done));
    assert_eq!(cluster.ask(leader, OPERATOR, transfer(17)), Some(Reply::NoSuchNode));
    assert!(cluster.now > Time(MS));
}

#[test]
fn a_transfer_to_a_node_that_takes_no_part_is_refused_at_once() {
    let mut cluster = Cluster::<Raft>::with_spare(4, 1, 1000);
    let leader = cluster.elect();
    cluster.start(3);
    cluster.run(100);
    let asked = cluster.now;
    assert_eq!(cluster.ask(leader, OPERATOR, transfer(3)), Some(Reply::NoSuchNode));
    assert!(cluster.now.since(asked).as_millis() < 20, "it waited for something");
}

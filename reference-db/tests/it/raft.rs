//! Raft, one claim at a time.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use stormglass_reference_db::env::{ClientId, NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, Kv, ReadLevel, Reply};
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::multi_leader;
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::raft::log::{Entry, Log, Position};
use stormglass_reference_db::protocol::raft::message::{
    Appended, HardState, Image, Message as CoreMessage, Record, Snapshot,
};
use stormglass_reference_db::protocol::raft::{Message, Raft, StrongReads};
use stormglass_reference_db::protocol::{Input, Options, Output, Protocol, Recovered};
use stormglass_reference_db::wire::{Request, decode, encode};

use super::raft_cluster::{Cluster, MS, TIMING};

type Wire = CoreMessage<Request, Kv>;

fn request(session: u64, sequence: u64, command: Command) -> Request {
    Request { session, sequence, seen: 0, command }
}

fn write(session: u64, sequence: u64, value: &str) -> Request {
    request(session, sequence, Command::Write { key: "x".into(), value: value.into() })
}

fn read(sequence: u64, level: ReadLevel) -> Request {
    request(0, sequence, Command::Read { key: "x".into(), level })
}

fn holds(value: &str) -> Option<Reply> {
    Some(Reply::Value(Some(value.into())))
}

/// One node of three, spoken to by hand.
struct Alone {
    now: Time,
    node: Raft,
}

impl Alone {
    fn new(recovered: Recovered<Snapshot<Request, Kv>, Record<Request>>) -> Alone {
        Alone::numbered(0, recovered)
    }

    fn numbered(id: u32, recovered: Recovered<Snapshot<Request, Kv>, Record<Request>>) -> Alone {
        let options = Options {
            id: NodeId(id),
            nodes: (0..3).map(NodeId).collect(),
            spares: Vec::new(),
            restored: false,
            timing: TIMING,
            snapshot_entries: 1000,
            sessions_max: 10,
            acknowledge: Acknowledge::None,
            strong_reads: StrongReads::ReadIndex,
            leaderless: Settings::DEFAULT,
            multi_leader: multi_leader::Settings::DEFAULT,
        };
        let random = ChaCha8Rng::seed_from_u64(1);
        Alone { now: Time(1), node: Raft::recover(options, recovered, random, Time(1)) }
    }

    /// A node whose disk holds a term and entries of these terms.
    fn with_log(term: u64, terms: &[u64]) -> Alone {
        let entries = (1..).zip(terms).map(|(index, term)| Record::Entry(entry(*term, index)));
        let hard = Record::Hard(HardState { term, vote: None });
        Alone::new(Recovered {
            snapshot: None,
            records: [hard].into_iter().chain(entries).collect(),
        })
    }

    fn step(&mut self, input: Input<Message>) -> Vec<Output<Raft>> {
        let mut out = Vec::new();
        self.node.step(self.now, input, &mut out);
        out
    }

    fn timer(&mut self) -> Vec<Output<Raft>> {
        self.now = self.node.deadline().max(self.now);
        self.step(Input::Timer)
    }

    fn hear(&mut self, from: u32, message: Wire) -> Vec<Output<Raft>> {
        self.step(Input::Message { from: NodeId(from), message: Message::Core(message) })
    }

    /// What node 1 hears when the node hears this from it.
    fn answer(&mut self, message: Wire) -> Vec<Wire> {
        sent(&self.hear(1, message), 1)
    }

    /// Makes it the leader of the next term, with node 1's votes.
    fn lead(&mut self) -> Vec<Output<Raft>> {
        self.timer();
        let term = self.node.core().term() + 1;
        self.hear(1, CoreMessage::PreVoteReply { term, granted: true });
        let out = self.hear(1, CoreMessage::VoteReply { term, granted: true });
        assert_eq!(self.node.status().role, Role::Leader);
        out
    }

    fn matched(&mut self, from: u32, index: u64) -> Vec<Output<Raft>> {
        let term = self.node.core().term();
        let appended = Appended::Matched(index);
        self.hear(from, CoreMessage::AppendReply { term, round: 0, appended })
    }

    fn terms(&self) -> Vec<u64> {
        let log = self.node.core().log();
        log.entries(1, usize::MAX).map(|entry| entry.at.term).collect()
    }
}

fn entry(term: u64, index: u64) -> Entry<Request> {
    Entry { at: Position { term, index }, command: None, members: None }
}

fn append(term: u64, prev: (u64, u64), terms: &[u64], commit: u64) -> Wire {
    let prev = Position { term: prev.0, index: prev.1 };
    let entries = (prev.index + 1..).zip(terms).map(|(index, term)| entry(*term, index)).collect();
    CoreMessage::Append { term, round: 0, prev, entries, commit }
}

fn sent(out: &[Output<Raft>], whom: u32) -> Vec<Wire> {
    let told = |output: &Output<Raft>| match output {
        Output::Send { to, message: Message::Core(message) } if to.0 == whom => {
            Some(message.clone())
        }
        _ => None,
    };
    out.iter().filter_map(told).collect()
}

fn vote(term: u64, last: (u64, u64)) -> Wire {
    CoreMessage::Vote { term, last: Position { term: last.0, index: last.1 }, handed_over: false }
}

/// A cluster with a leader, and a session.
fn started(nodes: u32, snapshot_entries: u64) -> (Cluster<Raft>, usize, u64) {
    let mut cluster = Cluster::new(nodes, 1, snapshot_entries);
    let leader = cluster.elect();
    let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    (cluster, leader, session)
}

fn others(nodes: usize, but: usize) -> Vec<usize> {
    (0..nodes).filter(|node| *node != but).collect()
}

fn leads_besides(cluster: &Cluster<Raft>, old: usize) -> Option<usize> {
    others(cluster.nodes.len(), old).into_iter().find(|n| cluster.role(*n) == Some(Role::Leader))
}

#[test]
fn a_vote_is_persisted_before_it_is_sent() {
    let mut alone = Alone::with_log(1, &[1]);
    let out = alone.hear(1, vote(2, (1, 1)));
    let kept = Record::Hard(HardState { term: 2, vote: Some(NodeId(1)) });
    let kept = out.iter().position(|o| matches!(o, Output::Persist(record) if *record == kept));
    let told = out.iter().position(|o| matches!(o, Output::Send { .. }));
    assert!(kept.unwrap() < told.unwrap());
    assert_eq!(sent(&out, 1), [CoreMessage::VoteReply { term: 2, granted: true }]);
}

#[test]
fn a_vote_is_remembered_after_a_restart() {
    let hard = HardState { term: 2, vote: Some(NodeId(2)) };
    let mut alone = Alone::new(Recovered { snapshot: None, records: vec![Record::Hard(hard)] });
    let refused = CoreMessage::VoteReply { term: 2, granted: false };
    assert_eq!(alone.answer(vote(2, (9, 9))), [refused]);
    let out = alone.hear(2, vote(2, (9, 9)));
    assert_eq!(sent(&out, 2), [CoreMessage::VoteReply { term: 2, granted: true }]);
}

#[test]
fn a_candidate_with_an_older_log_gets_no_vote() {
    for last in [(1, 9), (2, 2), (0, 0)] {
        let mut alone = Alone::with_log(2, &[1, 1, 2]);
        let refused = CoreMessage::VoteReply { term: 3, granted: false };
        assert_eq!(alone.answer(vote(3, last)), [refused], "for a log that ends at {last:?}");
    }
}

#[test]
fn entries_are_persisted_before_they_are_acknowledged() {
    let mut alone = Alone::with_log(1, &[]);
    let out = alone.hear(1, append(1, (0, 0), &[1, 1], 0));
    let persisted: Vec<_> = out.iter().map(|o| matches!(o, Output::Persist(_))).collect();
    assert_eq!(persisted, [true, true, false]);
}

#[test]
fn only_a_real_difference_cuts_the_log() {
    let mut alone = Alone::with_log(2, &[1, 1, 2, 2]);
    alone.hear(1, append(2, (1, 1), &[1], 0));
    assert_eq!(alone.terms(), [1, 1, 2, 2], "a late message carries a beginning of what is there");
    alone.hear(1, append(3, (1, 1), &[3], 0));
    assert_eq!(alone.terms(), [1, 3]);
}

#[test]
fn a_conflict_is_backed_up_by_whole_terms() {
    let mut alone = Alone::with_log(4, &[1, 1, 1, 2, 2, 2]);
    let hint = Position { term: 1, index: 3 };
    let conflict = Appended::Conflict { prev: 6, hint };
    // The leader's log is 1 1 1 1 1 1: nothing of term 2 can be in it.
    let reply = CoreMessage::AppendReply { term: 4, round: 0, appended: conflict };
    assert_eq!(alone.answer(append(4, (1, 6), &[4], 0)), [reply]);
}

#[test]
fn commit_goes_no_further_than_what_is_known_to_match() {
    let mut alone = Alone::with_log(2, &[1, 1, 1]);
    alone.hear(1, append(2, (1, 1), &[], 3));
    assert_eq!(alone.node.status().committed, 1);
}

#[test]
fn an_entry_of_an_old_term_is_not_committed_by_counting() {
    let mut alone = Alone::with_log(2, &[1, 2]);
    alone.lead();
    assert_eq!(alone.terms(), [1, 2, 3]);
    alone.matched(1, 2);
    assert_eq!(alone.node.status().committed, 0, "a majority has index 2, but of term 2");
    alone.matched(1, 3);
    assert_eq!(alone.node.status().committed, 3);
}

#[test]
fn an_uncommitted_change_is_not_answered() {
    let (mut cluster, leader, session) = started(3, 100);
    cluster.split(&[leader]);
    let before = cluster.answers.len();
    cluster.request(leader, 0, write(session, 2, "a"));
    cluster.run(1_000);
    assert_eq!(cluster.answers[before..], [], "not even `NotLeader`: it may still be committed");
}

#[test]
fn a_deposed_leader_cannot_serve_a_strong_read() {
    let (mut cluster, old, session) = started(5, 100);
    cluster.ask(old, 0, write(session, 2, "a"));
    cluster.split(&[old]);
    let before = cluster.answers.len();
    cluster.request(old, 7, read(1, ReadLevel::Strong));
    assert!(cluster.run_until(|c| leads_besides(c, old).is_some()));
    cluster.run(300);
    let answers: Vec<_> = cluster.answers[before..].iter().map(|a| a.reply.clone()).collect();
    assert_eq!(answers, [Reply::NotLeader]);
}

#[test]
fn a_leader_answers_no_strong_read_before_an_entry_of_its_term_is_committed() {
    let mut alone = Alone::with_log(2, &[1, 2]);
    alone.lead();
    let asked = Input::Request { from: ClientId(1), wall: 0, request: read(1, ReadLevel::Strong) };
    assert!(alone.step(asked).is_empty());
    alone.now = Time(alone.now.0 + MS);
    let out = alone.step(Input::Timer);
    let began = |message: &Wire| match message {
        CoreMessage::Append { round, .. } | CoreMessage::Heartbeat { round, .. } => *round > 0,
        _ => false,
    };
    assert!(!sent(&out, 1).iter().any(began), "no round before it knows what is committed");
    alone.matched(1, 3);
    let out = alone.step(Input::Timer);
    assert!(sent(&out, 1).iter().any(began));
    let round = CoreMessage::HeartbeatReply { term: 3, round: 1 };
    let out = alone.hear(1, round);
    assert!(matches!(out[..], [Output::Reply { reply: Reply::Value(None), .. }]), "{out:?}");
}

#[test]
fn a_late_round_of_an_earlier_term_confirms_none_of_the_present_one() {
    // The leader of term 2 may be the one of term 1, whose ninth round is late.
    let mut alone = Alone::with_log(2, &[1]);
    let out = alone.hear(1, CoreMessage::Heartbeat { term: 1, round: 9, commit: 0 });
    assert_eq!(sent(&out, 1), [CoreMessage::HeartbeatReply { term: 2, round: 0 }]);
    let out = alone.hear(1, CoreMessage::Heartbeat { term: 2, round: 3, commit: 0 });
    assert_eq!(sent(&out, 1), [CoreMessage::HeartbeatReply { term: 2, round: 3 }]);
}

#[test]
fn a_replica_read_is_answered_at_once_by_any_node() {
    let (mut cluster, leader, session) = started(3, 100);
    cluster.ask(leader, 0, write(session, 2, "a"));
    cluster.run(100);
    let other = others(3, leader)[0];
    cluster.split(&[other]);
    assert_eq!(cluster.ask(other, 1, read(1, ReadLevel::Replica)), holds("a"));
}

#[test]
fn a_follower_forwards_to_the_leader_it_knows() {
    let (mut cluster, leader, session) = started(3, 100);
    let other = others(3, leader)[0];
    cluster.run(50);
    assert_eq!(cluster.ask(other, 1, write(session, 2, "a")), Some(Reply::Done));
    assert_eq!(cluster.ask(other, 1, read(3, ReadLevel::Strong)), holds("a"));
}

#[test]
fn a_node_that_knows_no_leader_says_so() {
    let mut cluster = Cluster::<Raft>::new(3, 1, 100);
    assert_eq!(cluster.ask(0, 1, read(1, ReadLevel::Strong)), Some(Reply::NotLeader));
}

#[test]
fn a_forwarded_request_is_not_forwarded_again() {
    let mut alone = Alone::with_log(1, &[]);
    alone.hear(1, append(1, (0, 0), &[1], 0));
    let origin = stormglass_reference_db::protocol::Origin { node: NodeId(2), client: ClientId(5) };
    let message = Message::Forward { origin, request: write(1, 1, "a") };
    let out = alone.step(Input::Message { from: NodeId(2), message });
    let refused = |o: &Output<Raft>| matches!(o, Output::Reply { to, reply: Reply::NotLeader, .. } if *to == origin);
    assert!(out.len() == 1 && refused(&out[0]), "{out:?}");
}

#[test]
fn a_retry_is_applied_once() {
    let (mut cluster, leader, session) = started(3, 100);
    let command = Command::Cas { key: "x".into(), from: None, to: Some("a".into()) };
    let cas = request(session, 2, command);
    assert_eq!(cluster.ask(leader, 0, cas.clone()), Some(Reply::Done));
    cluster.run(50);
    cluster.crash(leader);
    assert!(cluster.run_until(|c| leads_besides(c, leader).is_some()));
    let next = leads_besides(&cluster, leader).unwrap();
    assert_eq!(cluster.ask(next, 0, cas), Some(Reply::Done));
}

#[test]
fn a_follower_behind_the_logs_start_gets_a_snapshot() {
    let (mut cluster, leader, session) = started(3, 10);
    let other = others(3, leader)[0];
    cluster.crash(other);
    for sequence in 2..100 {
        cluster.ask(leader, 0, write(session, sequence, &sequence.to_string()));
    }
    assert!(cluster.node(leader).core().log().base().index > 50, "the log is compacted");
    cluster.start(other);
    cluster.run(500);
    assert_eq!(cluster.node(other).kv(), cluster.node(leader).kv());
    assert!(cluster.node(other).core().imaged() > 50, "it was sent the state");
}

#[test]
fn what_is_sent_and_kept_survives_its_encoding() {
    let (mut cluster, leader, session) = started(3, 5);
    for sequence in 2..20 {
        cluster.ask(leader, 0, write(session, sequence, "a"));
    }
    let disk = &cluster.nodes[leader].disk;
    assert!(disk.snapshot.is_some() && !disk.records.is_empty());
    assert_eq!(decode(&encode(&disk.snapshot)), Ok(disk.snapshot.clone()));
    assert_eq!(decode(&encode(&disk.records)), Ok(disk.records.clone()));
    let image = disk.snapshot.as_ref().and_then(|snapshot| snapshot.image.clone()).unwrap();
    let entries = cluster.node(leader).core().log().entries(0, 10).cloned().collect();
    for message in [
        Message::Core(CoreMessage::Install { term: 1, round: 2, image }),
        Message::Core(CoreMessage::Append {
            term: 1,
            round: 2,
            prev: Position::default(),
            entries,
            commit: 7,
        }),
    ] {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

#[test]
fn who_is_sent_what_contradicts_what_is_committed_stops_and_neither_takes_it_nor_agrees() {
    let mut alone = Alone::with_log(1, &[1, 1, 1]);
    alone.hear(1, append(1, (1, 3), &[1], 3));
    assert_eq!(alone.node.core().committed(), 3);
    // A leader of term 2, elected by members whose disks have forgotten entry 3, has another one there.
    let out = alone.hear(2, append(2, (1, 2), &[2, 2], 2));
    let stops = |output: &Output<Raft>| match output {
        Output::Stop(contradiction) => Some((contradiction.agreed, contradiction.index)),
        _ => None,
    };
    assert_eq!(out.iter().filter_map(stops).collect::<Vec<_>>(), [(3, 3)], "{out:?}");
    let answers = |wire: &Wire| matches!(wire, CoreMessage::AppendReply { .. });
    assert!(!sent(&out, 2).iter().any(answers), "{out:?}");
    assert_eq!(alone.terms(), [1, 1, 1, 1]);
}

#[test]
fn what_differs_beyond_what_is_committed_is_replaced() {
    let mut alone = Alone::with_log(1, &[1, 1, 1]);
    alone.hear(1, append(1, (1, 3), &[1], 3));
    let out = alone.hear(2, append(2, (1, 3), &[2, 2], 3));
    assert!(!out.iter().any(|output| matches!(output, Output::Stop(_))), "{out:?}");
    assert_eq!(alone.terms(), [1, 1, 1, 2, 2]);
}

#[test]
fn an_old_snapshot_that_is_late_changes_nothing() {
    let mut alone = Alone::with_log(1, &[]);
    alone.hear(1, append(1, (0, 0), &[1, 1, 1], 3));
    let last = Position { term: 1, index: 2 };
    let image = Arc::new(Image { last, state: Kv::default(), members: None });
    let out = alone.hear(1, CoreMessage::Install { term: 1, round: 0, image });
    let reply = CoreMessage::AppendReply { term: 1, round: 0, appended: Appended::Matched(3) };
    assert_eq!(sent(&out, 1), [reply]);
    assert_eq!((out.len(), alone.node.status().applied), (1, 3));
}

#[test]
fn a_snapshot_keeps_the_entries_behind_it() {
    let mut alone = Alone::with_log(2, &[1, 1, 2, 2]);
    let last = Position { term: 1, index: 2 };
    let image = Arc::new(Image { last, state: Kv::default(), members: None });
    let out = alone.hear(1, CoreMessage::Install { term: 2, round: 0, image });
    let Output::Snapshot(snapshot) = &out[0] else { panic!("no snapshot, but {out:?}") };
    assert_eq!(snapshot.entries, [entry(2, 3), entry(2, 4)]);
    assert_eq!(snapshot.hard.term, 2);
    let restarted = Alone::new(Recovered { snapshot: Some(snapshot.clone()), records: vec![] });
    assert_eq!(restarted.terms(), [2, 2]);
    assert_eq!(restarted.node.status().applied, 2);
}

#[test]
fn a_record_replaces_what_stood_there_or_later() {
    let records = vec![
        Record::Entry(entry(1, 1)),
        Record::Entry(entry(1, 2)),
        Record::Entry(entry(1, 3)),
        Record::Entry(entry(2, 2)),
    ];
    let alone = Alone::new(Recovered { snapshot: None, records });
    assert_eq!(alone.terms(), [1, 2]);
}

#[test]
fn pre_vote_keeps_an_isolated_node_from_disturbing() {
    let (mut cluster, leader, _) = started(5, 100);
    let other = others(5, leader)[0];
    cluster.run(50);
    let term = cluster.status(leader).unwrap().term;
    cluster.split(&[other]);
    cluster.run(3_000);
    assert_eq!(cluster.status(other).unwrap().term, term, "it does not count up its term");
    cluster.heal();
    cluster.run(1_000);
    assert_eq!(cluster.status(leader).unwrap().term, term, "nobody was deposed");
    assert_eq!(cluster.role(leader), Some(Role::Leader));
}

#[test]
fn whoever_hears_a_leader_ignores_candidates() {
    let mut alone = Alone::with_log(1, &[]);
    alone.hear(1, append(1, (0, 0), &[], 0));
    assert!(alone.hear(2, vote(5, (9, 9))).is_empty());
    assert_eq!(alone.node.core().term(), 1);
    alone.now = alone.now + TIMING.election;
    assert_eq!(sent(&alone.hear(2, vote(5, (9, 9))), 2).len(), 1);
}

#[test]
fn two_that_ask_at_once_do_not_split_the_votes() {
    // The third is down. What each says crosses what the other says.
    let mut nodes = [0, 1].map(|id| Alone::numbered(id, Recovered::default()));
    let [mut first, mut second] = nodes.each_mut().map(|node| node.timer());
    while let (to_second, to_first) = (sent(&first, 1), sent(&second, 0))
        && !(to_second.is_empty() && to_first.is_empty())
    {
        first = to_first.into_iter().flat_map(|message| nodes[0].hear(1, message)).collect();
        second = to_second.into_iter().flat_map(|message| nodes[1].hear(0, message)).collect();
    }
    // Nobody had to wait for another timeout, and of equal logs the higher number decides.
    let roles = nodes.map(|node| node.node.status().role);
    assert_eq!(roles, [Role::Follower, Role::Leader]);
}

#[test]
fn a_leader_that_no_majority_answers_steps_down() {
    let (mut cluster, leader, _) = started(5, 100);
    for from in others(5, leader) {
        cluster.cut[from][leader] = true;
    }
    // Everyone hears it, so nobody else would ever stand.
    assert!(cluster.run_until(|c| leads_besides(c, leader).is_some()), "a livelock");
    assert_ne!(cluster.role(leader), Some(Role::Leader));
}

#[test]
fn a_leader_steps_down_a_heartbeat_after_the_timeout_at_most() {
    for last_heard_ms in [0, 5, 50, 95, 99] {
        let mut alone = Alone::new(Recovered::default());
        alone.lead();
        let heard = Time(alone.now.0 + last_heard_ms * MS);
        while alone.node.deadline() < heard {
            alone.timer();
        }
        alone.now = heard;
        let term = alone.node.core().term();
        alone.hear(1, CoreMessage::HeartbeatReply { term, round: 0 });
        while alone.node.core().is_leader() {
            alone.timer();
        }
        let silent = alone.now.since(heard);
        assert!(silent >= TIMING.election, "it gave up on a majority that had just answered");
        assert!(
            silent <= TIMING.election + TIMING.heartbeat,
            "it kept its followers for {silent:?}"
        );
    }
}

#[test]
fn a_node_that_hears_nothing_but_is_heard_deposes_nobody() {
    let (mut cluster, leader, _) = started(5, 100);
    let term = cluster.status(leader).unwrap().term;
    let deaf = others(5, leader)[0];
    for from in others(5, deaf) {
        cluster.cut[from][deaf] = true;
    }
    cluster.run(3_000);
    assert_eq!(cluster.status(leader).unwrap().term, term);
    assert_eq!(cluster.role(leader), Some(Role::Leader));
}

#[test]
fn a_member_with_a_higher_term_finds_its_way_back() {
    let (mut cluster, leader, session) = started(3, 100);
    let other = others(3, leader)[0];
    let from = cluster.nodes[others(3, leader)[1]].id;
    // It stood alone once, and won nothing but a higher term.
    let message = Message::Core(CoreMessage::VoteReply { term: 40, granted: false });
    cluster.step(other, Input::Message { from, message });
    cluster.run(1_000);
    let leader = cluster.leader().unwrap();
    assert!(cluster.status(leader).unwrap().term >= 40);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "a")), Some(Reply::Done));
}

#[test]
fn what_comes_in_at_one_moment_travels_together() {
    let (mut cluster, leader, session) = started(5, 10_000);
    cluster.run(100);
    let before = cluster.delivered;
    for sequence in 2..52 {
        cluster.request(leader, 0, write(session, sequence, "a"));
    }
    cluster.run(15);
    let messages = cluster.delivered - before;
    assert_eq!(cluster.status(leader).unwrap().applied, cluster.status(leader).unwrap().last);
    assert!(messages <= 24, "{messages} messages for fifty changes to four followers");
}

#[test]
fn a_cluster_of_one_commits_by_itself() {
    let (mut cluster, leader, session) = started(1, 10);
    for sequence in 2..50 {
        assert_eq!(cluster.ask(leader, 0, write(session, sequence, "a")), Some(Reply::Done));
    }
    assert_eq!(cluster.ask(leader, 0, read(50, ReadLevel::Strong)), holds("a"));
    cluster.crash(leader);
    cluster.start(leader);
    let leader = cluster.elect();
    assert_eq!(cluster.ask(leader, 0, read(51, ReadLevel::Strong)), holds("a"));
}

#[test]
fn what_piles_up_at_an_isolated_leader_is_bounded() {
    let mut alone = Alone::with_log(1, &[]);
    alone.lead();
    for sequence in 0..10_000 {
        let request = write(1, sequence, "a");
        alone.step(Input::Request { from: ClientId(1), wall: 0, request });
    }
    let piled = alone.node.status().last;
    assert!(piled <= stormglass_reference_db::protocol::raft::UNCOMMITTED_MAX, "{piled}");
}

#[test]
fn logs_agree_at_the_last_position_of_no_later_term() {
    let mut log = Log::<Request>::default();
    for (index, term) in (1..).zip([1, 1, 3, 3, 4]) {
        log.put(entry(term, index));
    }
    let at = |term, index| Some(Position { term, index });
    assert_eq!(log.agreement(5, 4), at(4, 5));
    assert_eq!(log.agreement(9, 3), at(3, 4));
    assert_eq!(log.agreement(3, 2), at(1, 2));
    assert_eq!(log.agreement(5, 0), at(0, 0));
    log.compact(3);
    assert_eq!(log.agreement(5, 3), at(3, 4));
    assert_eq!(log.agreement(3, 3), at(3, 3));
    assert_eq!(log.agreement(5, 2), None, "what was compacted away cannot be compared");
    assert_eq!(log.agreement(2, 9), None);
}

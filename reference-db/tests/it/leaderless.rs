//! Replication without a leader: quorums, and how those that fell behind catch up.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use stormglass_reference_db::env::{ClientId, Time};
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::leaderless::ring::{Layout, Ring};
use stormglass_reference_db::protocol::leaderless::version::Version;
use stormglass_reference_db::protocol::leaderless::{Leaderless, Settings};
use stormglass_reference_db::protocol::raft::wishes::FOUNDED;
use stormglass_reference_db::protocol::{Input, Output, Protocol as _};
use stormglass_reference_db::wire::Request;

use super::counting::{Meddler, OPERATOR, calm, let_pass, weather};
use super::raft_cluster::{Answer, Cluster, MS};

const STRICT: Settings = Settings::DEFAULT;
const ATOMIC: Settings = Settings { atomic: true, ..STRICT };
const SLOPPY: Settings = Settings { sloppy: true, ..STRICT };
/// Long enough for an operation to be given up.
const GIVEN_UP_MS: u64 = 450;

/// A client of one node, with a session there.
struct Client {
    id: u64,
    node: usize,
    session: u64,
    sequence: u64,
    seen: u64,
}

impl Client {
    fn of(cluster: &mut Cluster<Leaderless>, node: usize) -> Client {
        let id = node as u64;
        let request = Request { session: 0, sequence: 1, seen: 0, command: Command::OpenSession };
        let reply = cluster.ask(node, id, request);
        let Some(Reply::NodeSession(session)) = reply else { panic!("no session, but {reply:?}") };
        Client { id, node, session, sequence: 1, seen: 0 }
    }

    fn ask(&mut self, cluster: &mut Cluster<Leaderless>, command: Command) -> Option<Reply> {
        self.sequence += 1;
        let (session, sequence, seen) = (self.session, self.sequence, self.seen);
        let request = Request { session, sequence, seen, command };
        let reply = cluster.ask(self.node, self.id, request);
        let positions = cluster.answers.iter().filter(|answer| answer.client == ClientId(self.id));
        self.seen = positions.map(|answer| answer.position).max().unwrap_or(0).max(self.seen);
        reply
    }

    fn write(
        &mut self,
        cluster: &mut Cluster<Leaderless>,
        key: &str,
        value: &str,
    ) -> Option<Reply> {
        self.ask(cluster, Command::Write { key: key.into(), value: value.into() })
    }

    fn read(&mut self, cluster: &mut Cluster<Leaderless>, key: &str) -> Option<Reply> {
        self.ask(cluster, Command::Read { key: key.into(), level: ReadLevel::Strong })
    }
}

fn value(value: &str) -> Option<Reply> {
    Some(Reply::Value(Some(value.into())))
}

/// What a node holds of a key.
fn held(cluster: &Cluster<Leaderless>, node: usize, key: &str) -> Option<String> {
    let version = cluster.node(node).store().get(key)?;
    version.value().map(|bytes| String::from_utf8(bytes.clone()).unwrap())
}

fn cluster(nodes: u32, settings: Settings) -> Cluster<Leaderless> {
    Cluster::with(nodes, 1, 50, settings)
}

#[test]
fn a_write_is_acknowledged_when_a_quorum_has_it_and_not_before() {
    let mut cluster = cluster(3, STRICT);
    let mut client = Client::of(&mut cluster, 0);
    cluster.split(&[2]);
    assert_eq!(client.write(&mut cluster, "x", "a"), Some(Reply::Done));
    assert_eq!(held(&cluster, 2, "x"), None);
    cluster.split(&[0]);
    assert_eq!(client.write(&mut cluster, "x", "b"), None);
    assert_eq!(held(&cluster, 0, "x").as_deref(), Some("b"));
}

#[test]
fn a_write_is_durable_before_it_is_told_or_acknowledged() {
    let mut cluster = cluster(3, STRICT);
    let client = Client::of(&mut cluster, 0);
    let command = Command::Write { key: "x".into(), value: "a".into() };
    let request = Request { session: client.session, sequence: 2, seen: 0, command };
    let (now, mut out) = (cluster.now, Vec::new());
    let input = Input::Request { from: ClientId(0), wall: 0, request };
    cluster.nodes[0].up.as_mut().unwrap().step(now, input, &mut out);
    let persisted = out.iter().position(|o| matches!(o, Output::Persist(_))).unwrap();
    let sent = out.iter().position(|o| matches!(o, Output::Send { .. })).unwrap();
    assert!(persisted < sent);
    assert!(!out.iter().any(|o| matches!(o, Output::Reply { .. })));
}

#[test]
fn a_client_that_claims_to_have_seen_the_end_of_time_takes_it_from_nobody() {
    let mut cluster = cluster(3, STRICT);
    let mut liar = Client::of(&mut cluster, 0);
    liar.seen = u64::MAX;
    assert_eq!(liar.write(&mut cluster, "y", "a"), Some(Reply::Done));
    for node in 0..3 {
        let mut client = Client::of(&mut cluster, node);
        for written in ["a", "b", "c"] {
            assert_eq!(client.write(&mut cluster, "x", written), Some(Reply::Done));
            assert_eq!(client.read(&mut cluster, "x"), value(written));
        }
    }
}

/// A cluster in which `x` was written while node 2 was cut off, and a client at node 2.
fn written_without_node_2(settings: Settings) -> (Cluster<Leaderless>, Client) {
    let mut cluster = cluster(3, settings);
    let mut writer = Client::of(&mut cluster, 0);
    let reader = Client::of(&mut cluster, 2);
    cluster.split(&[2]);
    assert_eq!(writer.write(&mut cluster, "x", "a"), Some(Reply::Done));
    (cluster, reader)
}

#[test]
fn quorums_that_meet_show_every_client_what_was_acknowledged() {
    let (mut cluster, mut reader) = written_without_node_2(STRICT);
    cluster.split(&[0]);
    assert_eq!(reader.read(&mut cluster, "x"), value("a"));
}

#[test]
fn quorums_that_need_not_meet_miss_it() {
    let loose = Settings { read: 1, write: 1, ..STRICT };
    let (mut cluster, mut reader) = written_without_node_2(loose);
    assert_eq!(reader.read(&mut cluster, "x"), Some(Reply::Value(None)));
}

#[test]
fn a_read_brings_up_to_date_what_it_has_found_behind() {
    for read_repair in [true, false] {
        let settings = Settings { read_repair, ..STRICT };
        let (mut cluster, mut reader) = written_without_node_2(settings);
        // The writer's coordinator has no time to do it itself.
        cluster.split(&[0]);
        assert_eq!(reader.read(&mut cluster, "x"), value("a"));
        assert_eq!(held(&cluster, 2, "x").is_some(), read_repair);
    }
}

#[test]
fn what_a_node_missed_is_kept_for_it_and_handed_over() {
    let mut cluster = cluster(3, STRICT);
    let mut client = Client::of(&mut cluster, 0);
    cluster.crash(2);
    client.write(&mut cluster, "x", "a");
    client.write(&mut cluster, "x", "b");
    cluster.run(GIVEN_UP_MS);
    assert_eq!(cluster.node(0).hints(), 1, "the latest version of a key is enough");
    cluster.crash(0);
    cluster.start(0);
    assert_eq!(cluster.node(0).hints(), 1, "a hint outlives a restart");
    cluster.start(2);
    assert!(cluster.run_until(|cluster| cluster.node(0).hints() == 0));
    assert_eq!(held(&cluster, 2, "x").as_deref(), Some("b"));
}

#[test]
fn trees_find_every_key_in_which_replicas_differ() {
    let mut cluster = cluster(3, STRICT);
    let mut client = Client::of(&mut cluster, 0);
    for key in 0..200 {
        client.write(&mut cluster, &format!("k{key}"), "old");
    }
    cluster.run(GIVEN_UP_MS);
    cluster.crash(2);
    for key in (0..300).step_by(3) {
        client.write(&mut cluster, &format!("k{key}"), "new");
    }
    // It forgets what it was about to tell before it has kept any of it for the third.
    cluster.crash(0);
    cluster.start(0);
    cluster.start(2);
    assert_eq!(cluster.node(0).hints(), 0);
    cluster.run(3000);
    for key in 0..300 {
        let expected = match key {
            _ if key % 3 == 0 => Some("new"),
            0..200 => Some("old"),
            _ => None,
        };
        assert_eq!(held(&cluster, 2, &format!("k{key}")).as_deref(), expected, "k{key}");
    }
}

#[test]
fn a_deleted_value_does_not_come_back_from_a_node_that_missed_the_delete() {
    let mut cluster = cluster(3, STRICT);
    let mut client = Client::of(&mut cluster, 0);
    client.write(&mut cluster, "x", "a");
    cluster.run(50);
    cluster.crash(2);
    let delete = Command::Delete { key: "x".into() };
    assert_eq!(client.ask(&mut cluster, delete), Some(Reply::Done));
    cluster.start(2);
    cluster.run(1000);
    assert_eq!(client.read(&mut cluster, "x"), Some(Reply::Value(None)));
    assert!((0..3).all(|node| held(&cluster, node, "x").is_none()));
}

/// The replicas of `x` among five nodes.
fn replicas_of_x() -> Vec<usize> {
    let mut cluster = cluster(5, STRICT);
    Client::of(&mut cluster, 0).write(&mut cluster, "x", "a");
    cluster.run(100);
    (0..5).filter(|node| held(&cluster, *node, "x").is_some()).collect()
}

#[test]
fn as_many_nodes_as_asked_for_hold_a_key() {
    assert_eq!(replicas_of_x().len(), 3);
}

#[test]
fn others_stand_in_where_a_quorum_may_be_sloppy() {
    let replicas = replicas_of_x();
    for (settings, expected) in [(STRICT, None), (SLOPPY, Some(Reply::Done))] {
        let mut cluster = cluster(5, settings);
        let (kept, lost) = (replicas[0], [replicas[1], replicas[2]]);
        let mut client = Client::of(&mut cluster, kept);
        cluster.split(&lost);
        assert_eq!(client.write(&mut cluster, "x", "b"), expected, "{settings:?}");
        cluster.heal();
        cluster.run(3000);
        assert!(lost.iter().all(|node| held(&cluster, *node, "x").as_deref() == Some("b")));
    }
}

#[test]
fn a_client_overwrites_what_it_has_seen_even_at_a_node_whose_clock_is_behind() {
    let write_at = |cluster: &mut Cluster<Leaderless>, client: &mut Client, wall, value: &str| {
        client.sequence += 1;
        let command = Command::Write { key: "x".into(), value: value.into() };
        let (session, sequence, seen) = (client.session, client.sequence, client.seen);
        let request = Request { session, sequence, seen, command };
        cluster.step(client.node, Input::Request { from: ClientId(client.id), wall, request });
        cluster.run(50);
        let last = cluster.answers.last().unwrap().clone();
        assert_eq!((last.client, last.reply), (ClientId(client.id), Reply::Done));
        last.position
    };
    for tells in [true, false] {
        let mut cluster = cluster(3, STRICT);
        let mut here = Client::of(&mut cluster, 0);
        let mut there = Client::of(&mut cluster, 1);
        cluster.split(&[1]);
        let first = write_at(&mut cluster, &mut here, 1_000_000, "first");
        cluster.split(&[0]);
        there.seen = if tells { first } else { 0 };
        write_at(&mut cluster, &mut there, 10, "second");
        let expected = if tells { "second" } else { "first" };
        assert_eq!(there.read(&mut cluster, "x"), value(expected));
    }
}

#[test]
fn a_request_is_taken_on_once_and_only_by_the_start_that_opened_its_session() {
    let mut cluster = cluster(3, STRICT);
    let mut client = Client::of(&mut cluster, 0);
    client.write(&mut cluster, "x", "a");
    let stamp = |cluster: &Cluster<Leaderless>| cluster.node(0).store().get("x").unwrap().stamp;
    let before = stamp(&cluster);
    let command = Command::Write { key: "x".into(), value: "a".into() };
    let request = Request { session: client.session, sequence: 2, seen: 0, command };
    cluster.request(0, 0, request.clone());
    cluster.run(50);
    assert_eq!(stamp(&cluster), before);
    cluster.crash(0);
    cluster.start(0);
    cluster.answers.clear();
    assert_eq!(cluster.ask(0, 0, request), Some(Reply::SessionUnknown));
    assert_eq!(stamp(&cluster), before);
}

#[test]
fn quorums_of_reads_that_need_not_meet_are_refused_in_two_phases() {
    for replicas in 1..=9 {
        for read in 1..=replicas {
            let settings = Settings { read, write: replicas, atomic: true, ..Settings::DEFAULT };
            let checked = Settings { replicas, ..settings }.check();
            assert_eq!(checked.is_ok(), 2 * read > replicas, "{read} of {replicas}: {checked:?}");
            let plain = Settings { replicas, atomic: false, ..settings };
            assert_eq!(plain.check(), Ok(()), "in one phase nothing was promised");
        }
    }
    let half = Settings { read: 2, write: 3, ..Settings::majorities(4) };
    let refusal = Settings { atomic: true, ..half }.check().unwrap_err();
    assert!(refusal.contains("read-quorum = 2 of 4 replicas"), "{refusal}");
    assert!(refusal.contains("leaves nothing for the next; use at least 3"), "{refusal}");
}

#[test]
fn a_read_in_two_phases_leaves_what_it_returns_at_a_majority() {
    let mut cluster = cluster(3, ATOMIC);
    let mut writer = Client::of(&mut cluster, 0);
    let mut reader = Client::of(&mut cluster, 1);
    writer.write(&mut cluster, "x", "a");
    cluster.run(50);
    let command = Command::Write { key: "x".into(), value: "b".into() };
    let request = Request { session: writer.session, sequence: 9, seen: 0, command };
    cluster.request(0, 0, request);
    // The coordinator crashes as soon as it has the change itself: nobody else gets it from it.
    assert!(cluster.run_until(|cluster| held(cluster, 0, "x").as_deref() == Some("b")));
    cluster.crash(0);
    cluster.split(&[0]);
    cluster.run(50);
    let has_it = |cluster: &Cluster<Leaderless>| {
        (0..3).filter(|node| held(cluster, *node, "x").as_deref() == Some("b")).count()
    };
    cluster.start(0);
    cluster.cut[0][1] = false;
    cluster.cut[1][0] = false;
    cluster.cut[1][2] = true;
    cluster.cut[2][1] = true;
    let before = has_it(&cluster);
    assert_eq!(reader.read(&mut cluster, "x"), value("b"));
    assert!(before < 2 && has_it(&cluster) == 2, "{before} before, {} after", has_it(&cluster));
}

/// What a client of a random run waits for.
struct Asked {
    sequence: u64,
    /// The greatest position that was told to anyone before it asked.
    known: u64,
    /// The greatest position of the client's own writes before it asked.
    own: u64,
    writes: bool,
    given_up_at: Time,
}

#[derive(Default)]
struct Actor {
    node: usize,
    session: u64,
    sequence: u64,
    seen: u64,
    own: u64,
    asked: Option<Asked>,
}

/// Clients read and write one key under random faults. With two phases nothing that begins after
/// something else has ended stands before it; without, that is promised for a client's own writes.
struct Play {
    cluster: Cluster<Leaderless>,
    atomic: bool,
    actors: Vec<Actor>,
    answered: usize,
    /// The greatest position that was told to anyone.
    known: u64,
    reads: u64,
    writes: u64,
    wiped: u64,
    /// What an operator wants, and the number with which it asked last.
    wish: Option<Command>,
    /// How far it has seen the members change.
    members_seen: u64,
    sequence: u64,
    /// How many wishes were fulfilled.
    changed: u64,
}

impl Play {
    fn new(seed: u64, nodes: u32, settings: Settings) -> Play {
        let mut cluster = Cluster::with(nodes, seed, 20, settings);
        cluster.weather = weather(&mut cluster);
        let actor = |id| Actor { node: id % nodes as usize, ..Actor::default() };
        let (actors, atomic) = ((0..4).map(actor).collect(), settings.atomic);
        Play {
            cluster,
            atomic,
            actors,
            answered: 0,
            known: 0,
            reads: 0,
            writes: 0,
            wiped: 0,
            wish: None,
            members_seen: FOUNDED,
            sequence: 0,
            changed: 0,
        }
    }

    /// The same with three nodes that the cluster begins with, and two more.
    fn sparing(seed: u64, settings: Settings) -> Play {
        let mut play = Play::new(seed, 5, settings);
        let weather = play.cluster.weather;
        play.cluster = Cluster::with(5, seed, 20, settings).begun_by(3);
        play.cluster.weather = weather;
        (3..5).for_each(|node| play.cluster.start(node));
        play
    }

    /// An operator wants some node to come or go, until it is so, and asks one node after the other. Three
    /// remain: of two, one that loses its disk is not let in again by the other one.
    fn change_members(&mut self) {
        let cluster = &mut self.cluster;
        let [node, asked] = [5, 5].map(|count| usize::try_from(cluster.draw(count)).unwrap());
        let id = cluster.nodes[node].id;
        let comes = cluster.draw(2) == 0 || last_layout(cluster).is_none_or(|l| l.nodes.len() <= 3);
        let wish = if comes { Command::Admit { node: id } } else { Command::Dismiss { node: id } };
        let command = self.wish.get_or_insert(wish).clone();
        self.sequence += 1;
        let (sequence, seen) = (self.sequence, self.members_seen);
        cluster.request(asked, OPERATOR, Request { session: 0, sequence, seen, command });
    }

    /// The client asks for something, if it does not wait already.
    fn act(&mut self, id: usize) {
        let Play { cluster, actors, known, .. } = self;
        let actor = &mut actors[id];
        if actor.asked.as_ref().is_some_and(|asked| asked.given_up_at <= cluster.now) {
            // Whether it was done is unknown: the client goes to another node.
            actor.asked = None;
            actor.session = 0;
            actor.node = usize::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap();
        }
        if actor.asked.is_some() || cluster.draw(3) > 0 {
            return;
        }
        actor.sequence += 1;
        let writes = actor.session != 0 && cluster.draw(2) == 0;
        let command = if writes {
            let value = format!("{id}/{}", actor.sequence).into_bytes();
            Command::Write { key: "x".into(), value }
        } else if actor.session == 0 {
            Command::OpenSession
        } else {
            Command::Read { key: "x".into(), level: ReadLevel::Strong }
        };
        let given_up_at = Time(cluster.now.0 + 60 * MS);
        let Actor { node, session, sequence, seen, own, .. } = *actor;
        actor.asked = Some(Asked { sequence, known: *known, own, writes, given_up_at });
        cluster.request(node, id as u64, Request { session, sequence, seen, command });
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.cluster.answers.get(self.answered).cloned() {
            self.answered += 1;
            let Answer { client, sequence, reply, position } = answer;
            if client.0 == OPERATOR {
                self.members_seen = self.members_seen.max(position);
                let is_last = sequence == self.sequence;
                if is_last && reply != Reply::NotLeader {
                    self.wish = None;
                    self.changed += u64::from(reply == Reply::Done);
                }
                continue;
            }
            let actor = &mut self.actors[usize::try_from(client.0).unwrap()];
            let asked = actor.asked.take_if(|asked| asked.sequence == sequence);
            let Some(asked) = asked else { continue };
            match reply {
                Reply::NodeSession(session) => actor.session = session,
                Reply::SessionUnknown => actor.session = 0,
                // The node has lost its disk, or takes no part.
                Reply::NotLeader => {}
                Reply::Done | Reply::Value(_) => {
                    let floor = if self.atomic { asked.known } else { asked.own };
                    assert!(position >= floor, "at {position}, but {floor} was known");
                    actor.seen = actor.seen.max(position);
                    self.known = self.known.max(position);
                    if asked.writes {
                        assert!(position > floor, "a change comes after what was known");
                        actor.own = position;
                        self.writes += 1;
                    } else {
                        self.reads += 1;
                    }
                }
                reply => panic!("this mode does not answer {reply:?}"),
            }
        }
    }

    /// All that hold the key agree in the end, and nothing that was acknowledged is missing.
    fn check_the_end(&mut self) {
        calm(&mut self.cluster);
        self.cluster.run(3000);
        let held = |node: usize| self.cluster.node(node).store().get("x").cloned();
        let holds = |node: &usize| self.cluster.spares.is_empty() || self.holds(*node, "x");
        let nodes = (0..self.cluster.nodes.len()).filter(holds);
        let replicas: Vec<Version> = nodes.filter_map(held).collect();
        let expected = if self.known > 0 { self.cluster.leaderless.replicas.min(2) } else { 0 };
        assert!(replicas.len() >= expected, "{} hold it", replicas.len());
        assert!(replicas.windows(2).all(|pair| pair[0] == pair[1]), "{replicas:?}");
        let last = replicas.first().map_or(0, |version| version.stamp.time);
        let known = self.known;
        assert!(last >= known, "{known} was acknowledged, and {last} is what remains");
    }

    /// Whether a node holds a key, by the last layout of all.
    fn holds(&self, node: usize, key: &str) -> bool {
        let last = last_layout(&self.cluster).unwrap();
        assert_eq!(last.next, None, "nobody comes or goes any more: {last:?}");
        let ring = Ring::of(last, self.cluster.leaderless.replicas);
        ring.holds(self.cluster.nodes[node].id, ring.segment(hash_of(key)))
    }

    fn run(mut self, wipes: bool) -> Play {
        let faults_end = Time(self.cluster.now.0 + 2500 * MS);
        let mut meddler = Meddler::new(&self.cluster);
        while self.cluster.now < faults_end {
            self.wiped += u64::from(meddler.act(&mut self.cluster, wipes));
            if !self.cluster.spares.is_empty() && self.cluster.draw(40) == 0 {
                self.change_members();
            }
            (0..self.actors.len()).for_each(|id| self.act(id));
            let_pass(&mut self.cluster, 1);
            self.take_answers();
        }
        self.check_the_end();
        self
    }
}

fn random_runs(settings: Settings, wipes: bool) {
    let (mut reads, mut writes, mut wiped) = (0, 0, 0);
    for seed in 0..150 {
        let nodes = [3, 3, 5][seed as usize % 3];
        let play = Play::new(seed, nodes, settings).run(wipes);
        reads += play.reads;
        writes += play.writes;
        wiped += play.wiped;
    }
    assert!(!wipes || wiped > 100, "{wiped} disks lost test too little");
    assert!(reads > 2000 && writes > 2000, "{reads} reads and {writes} writes test too little");
}

#[test]
fn in_two_phases_no_operation_stands_before_one_that_had_ended() {
    random_runs(ATOMIC, false);
}

#[test]
fn in_one_phase_clients_read_their_own_writes_and_replicas_agree_in_the_end() {
    random_runs(STRICT, false);
}

/// The same while nodes come and go.
fn random_runs_with_changes(settings: Settings, wipes: bool) {
    let (mut reads, mut writes, mut changed, mut wiped) = (0, 0, 0, 0);
    for seed in 0..150 {
        let play = Play::sparing(seed, settings).run(wipes);
        reads += play.reads;
        writes += play.writes;
        changed += play.changed;
        wiped += play.wiped;
    }
    assert!(changed > 300, "{changed} changes test too little");
    assert!(!wipes || wiped > 80, "{wiped} disks lost test too little");
    assert!(reads > 1000 && writes > 1000, "{reads} reads and {writes} writes test too little");
}

#[test]
fn nor_where_nodes_come_and_go() {
    random_runs_with_changes(ATOMIC, false);
}

#[test]
fn nor_where_nodes_come_and_go_and_lose_their_disks() {
    random_runs_with_changes(ATOMIC, true);
}

#[test]
fn clients_read_their_own_writes_whoever_comes_and_goes() {
    random_runs_with_changes(STRICT, false);
}

#[test]
fn nor_where_disks_are_lost_one_at_a_time() {
    random_runs(ATOMIC, true);
}

#[test]
fn clients_read_their_own_writes_whichever_disk_is_lost() {
    random_runs(STRICT, true);
}

#[test]
fn a_replica_without_its_disk_answers_nobody_until_it_has_everything() {
    for settings in [STRICT, ATOMIC] {
        let (mut cluster, mut reader) = written_without_node_2(settings);
        cluster.wipe(0);
        // It reaches node 2, which has nothing, and not node 1, which has what was acknowledged.
        cluster.split(&[1]);
        cluster.start(0);
        assert_eq!(
            reader.read(&mut cluster, "x"),
            None,
            "two answers would not show what is there"
        );
        assert!(!cluster.is_whole(0));
        cluster.heal();
        assert!(cluster.run_until(|cluster| cluster.is_whole(0)));
        assert_eq!(held(&cluster, 0, "x").as_deref(), Some("a"));
        cluster.split(&[1]);
        assert_eq!(reader.read(&mut cluster, "x"), value("a"));
    }
}

#[test]
fn a_client_of_a_node_without_its_disk_is_turned_away() {
    let mut cluster = cluster(3, STRICT);
    cluster.wipe(0);
    cluster.split(&[0]);
    cluster.start(0);
    let command = Command::Read { key: "x".into(), level: ReadLevel::Replica };
    let request = Request { session: 0, sequence: 1, seen: 0, command };
    assert_eq!(cluster.ask(0, 0, request), Some(Reply::NotLeader));
}

/// Cuts or mends the links between two nodes, both ways.
fn link(cluster: &mut Cluster<Leaderless>, a: usize, b: usize, cut: bool) {
    cluster.cut[a][b] = cut;
    cluster.cut[b][a] = cut;
}

#[test]
fn the_word_of_a_disk_that_was_lost_meanwhile_does_not_count() {
    // Not the first disk's either that was lost, nor the second one's.
    (0..3).for_each(a_lost_word_does_not_count);
}

fn a_lost_word_does_not_count(lost_before: usize) {
    let mut cluster = cluster(7, STRICT);
    (0..lost_before).for_each(|_| cluster.replace_disk(0));
    let mut keys = (0..).map(|n| format!("k{n}"));
    let key = keys.find(|key| segment_of(&cluster, key) == 0).unwrap();
    // Nodes 0, 1 and 2 hold it; node 3 coordinates, and holds nothing that node 0 holds.
    let mut writer = Client::of(&mut cluster, 3);
    for replica in [1, 2] {
        link(&mut cluster, 3, replica, true);
    }
    writer.sequence += 1;
    let command = Command::Write { key: key.clone(), value: b"a".to_vec() };
    let (session, sequence) = (writer.session, writer.sequence);
    cluster.request(3, writer.id, Request { session, sequence, seen: 0, command });
    assert!(cluster.run_until(|cluster| held(cluster, 0, &key).is_some()));
    cluster.run(10);
    // Its acknowledgement has arrived, and nobody else has the change.
    link(&mut cluster, 3, 0, true);
    cluster.replace_disk(0);
    assert_eq!(held(&cluster, 0, &key), None);
    let before = cluster.answers.len();
    link(&mut cluster, 3, 1, false);
    cluster.run(100);
    assert_eq!(held(&cluster, 1, &key).as_deref(), Some("a"));
    assert_eq!(cluster.answers[before..], [], "node 1 alone has it");
    link(&mut cluster, 3, 2, false);
    cluster.run(100);
    assert_eq!(cluster.answers[before..].len(), 1, "two have it");
}

/// The last layout that a node goes by which is up.
fn last_layout(cluster: &Cluster<Leaderless>) -> Option<&Layout> {
    let layouts = cluster.nodes.iter().filter_map(|node| Some(node.up.as_ref()?.layout()));
    layouts.max_by_key(|layout| layout.version)
}

/// Which nodes hold a key, by the first of them.
fn segment_of(cluster: &Cluster<Leaderless>, key: &str) -> usize {
    let ring = Ring::new(cluster.nodes.iter().map(|node| node.id).collect(), 3);
    ring.segment(hash_of(key))
}

pub(crate) fn hash_of(key: &str) -> u64 {
    u64::from_le_bytes(*blake3::hash(key.as_bytes()).as_bytes().first_chunk().unwrap())
}

//! Replication without a leader, where changes that did not know of each other stand side by side.

use std::collections::BTreeSet;

use stormglass_reference_db::env::{ClientId, NodeId, Time};
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::merge::{Actor, Dot, Siblings, VersionVector};
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::leaderless::ring::Ring;
use stormglass_reference_db::protocol::leaderless::siblings::{Conflicts, ISSUED_MAX};
use stormglass_reference_db::protocol::leaderless::version::{Held, Stamp, Version};
use stormglass_reference_db::protocol::leaderless::{Leaderless, Message, Receipt, Settings};
use stormglass_reference_db::wire::{self, Request};

use super::counting::{Meddler, calm, let_pass, weather};
use super::leaderless::hash_of;
use super::raft_cluster::{Answer, Cluster, MS};

const STRICT: Settings = Settings { conflicts: Conflicts::Siblings, ..Settings::DEFAULT };
const SLOPPY: Settings = Settings { sloppy: true, ..STRICT };

/// What a client knows that has read: the values, in order, and the context.
type Seen = (Vec<String>, VersionVector);

/// A client of one node, with a session there.
struct Client {
    node: usize,
    session: u64,
    sequence: u64,
}

impl Client {
    fn of(cluster: &mut Cluster<Leaderless>, node: usize) -> Client {
        let mut client = Client { node, session: 0, sequence: 0 };
        let reply = client.ask(cluster, Command::OpenSession);
        let Some(Reply::NodeSession(session)) = reply else { panic!("no session, but {reply:?}") };
        client.session = session;
        client
    }

    fn request(&mut self, command: Command) -> Request {
        self.sequence += 1;
        Request { session: self.session, sequence: self.sequence, seen: 0, command }
    }

    fn ask(&mut self, cluster: &mut Cluster<Leaderless>, command: Command) -> Option<Reply> {
        let request = self.request(command);
        cluster.ask(self.node, self.node as u64, request)
    }

    /// Asks for something and does not wait.
    fn begin(&mut self, cluster: &mut Cluster<Leaderless>, command: Command) {
        let request = self.request(command);
        cluster.request(self.node, self.node as u64, request);
    }

    /// Writes something and has read nothing.
    fn write(&mut self, cluster: &mut Cluster<Leaderless>, value: &str) {
        assert_eq!(self.ask(cluster, write(value)), Some(Reply::Done), "{value}");
    }

    fn replace(&mut self, cluster: &mut Cluster<Leaderless>, value: Option<&str>, seen: &Seen) {
        let (value, context) = (value.map(Into::into), seen.1.clone());
        let command = Command::Replace { key: "x".into(), value, context, shown: false };
        assert_eq!(self.ask(cluster, command), Some(Reply::Done), "after {seen:?}");
    }

    fn read(&mut self, cluster: &mut Cluster<Leaderless>) -> Seen {
        let command = Command::Read { key: "x".into(), level: ReadLevel::Strong };
        seen(&self.ask(cluster, command).unwrap())
    }
}

fn write(value: &str) -> Command {
    Command::Write { key: "x".into(), value: value.into() }
}

fn seen(reply: &Reply) -> Seen {
    let Reply::Siblings { values, context } = reply else { panic!("no siblings, but {reply:?}") };
    (texts(values.iter().map(Vec::as_slice)), context.clone())
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut texts: Vec<String> =
        values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    texts.sort();
    texts
}

/// What a node itself holds of `x`; nothing where it never heard of it.
fn held(cluster: &Cluster<Leaderless>, node: usize) -> Option<Vec<String>> {
    let version = cluster.node(node).store().get("x")?;
    let Held::Siblings(siblings) = &version.held else { panic!("no siblings, but {version:?}") };
    Some(texts(siblings.values()))
}

fn all_hold(cluster: &Cluster<Leaderless>, nodes: &[usize], values: &[&str]) {
    for node in nodes {
        assert_eq!(held(cluster, *node).unwrap(), values, "n{node}");
    }
}

/// Three nodes that hold every key.
fn three() -> Cluster<Leaderless> {
    Cluster::with(3, 1, 50, STRICT)
}

/// Five nodes, those that hold `x`, and those that do not.
fn five(settings: Settings) -> (Cluster<Leaderless>, Vec<usize>, Vec<usize>) {
    let cluster = Cluster::with(5, 1, 50, settings);
    let ring = Ring::new(cluster.nodes.iter().map(|node| node.id).collect(), 3);
    let segment = ring.segment(hash_of("x"));
    let (hold, others) = (0..5).partition(|node| ring.holds(NodeId(*node as u32), segment));
    (cluster, hold, others)
}

#[test]
fn two_changes_that_did_not_know_of_each_other_stay_until_one_who_has_read_both_replaces_them() {
    let mut cluster = three();
    let (mut here, mut there) = (Client::of(&mut cluster, 0), Client::of(&mut cluster, 1));
    here.write(&mut cluster, "a");
    let before = there.read(&mut cluster);
    here.replace(&mut cluster, Some("b"), &before);
    there.replace(&mut cluster, Some("c"), &before);
    let both = here.read(&mut cluster);
    assert_eq!(both.0, ["b", "c"], "each has replaced `a`, and neither the other");
    here.replace(&mut cluster, Some("bc"), &both);
    assert_eq!(there.read(&mut cluster).0, ["bc"]);
    cluster.run(100);
    all_hold(&cluster, &[0, 1, 2], &["bc"]);
}

#[test]
fn a_change_replaces_what_its_client_has_read_and_nothing_that_came_after() {
    let mut cluster = three();
    let mut client = Client::of(&mut cluster, 0);
    let nothing = client.read(&mut cluster);
    assert_eq!(nothing.0, [""; 0]);
    client.write(&mut cluster, "a");
    // By the same coordinator, from a context before its last change: that is what dots are for.
    client.replace(&mut cluster, Some("b"), &nothing);
    assert_eq!(client.read(&mut cluster).0, ["a", "b"]);
    client.replace(&mut cluster, None, &nothing);
    assert_eq!(client.read(&mut cluster).0, ["a", "b"], "it deletes what it has read: nothing");
}

#[test]
fn a_client_that_replaces_something_is_told_what_stands_there_then_if_it_likes() {
    let mut cluster = three();
    let (mut here, mut there) = (Client::of(&mut cluster, 0), Client::of(&mut cluster, 1));
    here.write(&mut cluster, "a");
    let read = here.read(&mut cluster);
    there.write(&mut cluster, "b");
    let command =
        Command::Replace { key: "x".into(), value: Some("c".into()), context: read.1, shown: true };
    let told = seen(&here.ask(&mut cluster, command).unwrap());
    assert_eq!(told.0, ["b", "c"]);
    here.replace(&mut cluster, Some("d"), &told);
    assert_eq!(here.read(&mut cluster).0, ["d"], "what it was told of is replaced");
}

#[test]
fn a_change_is_not_lost_to_the_next_one_of_a_coordinator_that_does_not_hold_the_key() {
    let (mut cluster, hold, others) = five(STRICT);
    let mut client = Client::of(&mut cluster, others[0]);
    cluster.split(&[others[0]]);
    client.begin(&mut cluster, write("first"));
    cluster.heal();
    client.write(&mut cluster, "second");
    cluster.run(500);
    all_hold(&cluster, &hold, &["first", "second"]);
}

#[test]
fn a_coordinator_that_starts_again_issues_no_dot_twice() {
    for at_replica in [true, false] {
        let (mut cluster, hold, others) = five(STRICT);
        let node = if at_replica { hold[0] } else { others[0] };
        Client::of(&mut cluster, node).write(&mut cluster, "a");
        cluster.crash(node);
        cluster.start(node);
        Client::of(&mut cluster, node).write(&mut cluster, "b");
        cluster.replace_disk(node);
        Client::of(&mut cluster, node).write(&mut cluster, "c");
        assert_eq!(Client::of(&mut cluster, hold[1]).read(&mut cluster).0, ["a", "b", "c"]);
    }
}

#[test]
fn a_coordinator_that_has_forgotten_what_it_issued_is_another_actor() {
    let (mut cluster, hold, others) = five(STRICT);
    let mut client = Client::of(&mut cluster, others[0]);
    client.write(&mut cluster, "a");
    for number in 0..4 * ISSUED_MAX {
        let command = Command::Write { key: format!("k{number}"), value: b"v".to_vec() };
        assert_eq!(client.ask(&mut cluster, command), Some(Reply::Done));
    }
    client.write(&mut cluster, "b");
    cluster.run(100);
    all_hold(&cluster, &hold, &["a", "b"]);
    let (_, context) = client.read(&mut cluster);
    assert_eq!(context.iter().count(), 2, "{context:?}");
}

#[test]
fn what_was_deleted_does_not_come_back_from_a_node_that_missed_it() {
    for reads_before in [true, false] {
        let mut cluster = three();
        let mut client = Client::of(&mut cluster, 0);
        client.write(&mut cluster, "a");
        cluster.run(50);
        cluster.crash(2);
        if reads_before {
            let seen = client.read(&mut cluster);
            client.replace(&mut cluster, None, &seen);
        } else {
            let delete = Command::Delete { key: "x".into() };
            assert_eq!(client.ask(&mut cluster, delete), Some(Reply::Done));
        }
        cluster.start(2);
        cluster.run(1000);
        assert_eq!(client.read(&mut cluster).0, [""; 0]);
        all_hold(&cluster, &[0, 1, 2], &[]);
    }
}

#[test]
fn a_read_leaves_what_it_shows_where_the_next_one_finds_it() {
    // Read repair would leave it there as well, later.
    let mut cluster = Cluster::with(3, 1, 50, Settings { read_repair: false, ..STRICT });
    let mut writer = Client::of(&mut cluster, 0);
    let mut first = Client::of(&mut cluster, 1);
    let mut second = Client::of(&mut cluster, 2);
    writer.write(&mut cluster, "a");
    cluster.run(50);
    // The coordinator alone has the change, and forgets whom it was to tell.
    cluster.split(&[0]);
    writer.begin(&mut cluster, write("b"));
    cluster.crash(0);
    cluster.start(0);
    cluster.split(&[2]);
    all_hold(&cluster, &[1, 2], &["a"]);
    assert_eq!(first.read(&mut cluster).0, ["a", "b"]);
    cluster.split(&[0]);
    assert_eq!(second.read(&mut cluster).0, ["a", "b"]);
}

#[test]
fn replicas_that_each_lack_something_find_it_by_their_trees() {
    let mut cluster = Cluster::with(3, 1, 50, Settings { read: 1, write: 1, ..STRICT });
    let mut clients = [0, 1].map(|node| Client::of(&mut cluster, node));
    for node in [0, 1] {
        cluster.split(&[node]);
        clients[node].write(&mut cluster, ["a", "b"][node]);
        // It forgets whom it was to tell.
        cluster.crash(node);
        cluster.start(node);
    }
    all_hold(&cluster, &[0], &["a"]);
    all_hold(&cluster, &[1], &["b"]);
    cluster.heal();
    cluster.run(1000);
    all_hold(&cluster, &[0, 1, 2], &["a", "b"]);
    assert!((0..3).all(|node| cluster.node(node).hints() == 0));
}

#[test]
fn stand_ins_hand_over_every_change_that_they_took() {
    let (mut cluster, hold, _) = five(SLOPPY);
    let lost = [hold[1], hold[2]];
    let mut client = Client::of(&mut cluster, hold[0]);
    cluster.split(&lost);
    client.write(&mut cluster, "a");
    client.write(&mut cluster, "b");
    all_hold(&cluster, &[hold[0]], &["a", "b"]);
    // What the replica itself has is gone: the stand-ins alone have it.
    cluster.wipe(hold[0]);
    cluster.heal();
    cluster.run(1000);
    all_hold(&cluster, &lost, &["a", "b"]);
}

/// A version with one change, which knows of nothing else.
fn change(node: u32, time: u64, value: &str) -> Version {
    let mut siblings = Siblings::default();
    let dot = Dot { actor: Actor(node.into()), number: time };
    siblings.write(dot, &VersionVector::default(), Some(value.into()));
    let stamp = Stamp { time, node: NodeId(node), start: 1 };
    Version { stamp, held: Held::Siblings(siblings) }
}

#[test]
fn what_is_put_to_a_hint_after_it_was_offered_does_not_count_as_taken() {
    let mut cluster = three();
    let (keeper, other) = (NodeId(0), NodeId(1));
    let absent = NodeId(2);
    cluster.crash(2);
    let (first, second) = (change(1, 9, "a"), change(4, 5, "b"));
    for (operation, version) in [first.clone(), second].into_iter().enumerate() {
        let (operation, key) = (operation as u64, "x".to_owned());
        let message = Message::Keep { operation, node: absent, key, version };
        cluster.step(keeper.0 as usize, Input::Message { from: other, message });
    }
    for (stamp, left) in [(first.stamp, 1), (Stamp { time: 1_000, ..first.stamp }, 0)] {
        let message = Message::Stored { receipt: Receipt::Hint, key: "x".to_owned(), stamp };
        cluster.step(0, Input::Message { from: absent, message });
        assert_eq!(cluster.node(0).hints(), left, "{stamp:?}");
    }
}

#[test]
fn a_context_that_claims_what_is_yet_to_come_stops_no_coordinator() {
    let mut cluster = three();
    let mut honest = Client::of(&mut cluster, 0);
    let mut liar = Client::of(&mut cluster, 1);
    honest.write(&mut cluster, "a");
    let (_, context) = honest.read(&mut cluster);
    let issued = context.iter().next().unwrap();
    let nobody = Actor(u128::from(u32::MAX));
    for number in [1_000_000, u64::MAX] {
        let forged = [Dot { number, ..issued }, Dot { actor: nobody, number }];
        let forged = (Vec::new(), VersionVector::from_iter(forged));
        // To the one whose changes they were to be, and to another one.
        honest.replace(&mut cluster, Some("b"), &forged);
        liar.replace(&mut cluster, Some("c"), &forged);
        cluster.run(100);
        honest.write(&mut cluster, "d");
        let (values, context) = honest.read(&mut cluster);
        assert!(values.contains(&"d".to_owned()), "{values:?}");
        assert!(context.iter().all(|dot| dot.actor != nobody), "{context:?}");
        cluster.run(100);
        let states: Vec<_> = (0..3).map(|node| cluster.node(node).store().get("x")).collect();
        assert!(states.windows(2).all(|pair| pair[0].unwrap().held == pair[1].unwrap().held));
    }
}

#[test]
fn what_stands_side_by_side_has_no_order_and_settings_that_count_on_one_are_refused() {
    let atomic = Settings { atomic: true, ..STRICT };
    let compares = Settings { compare_and_set: true, ..STRICT };
    for (settings, what) in [(atomic, "two phases"), (compares, "compare-and-set = true")] {
        let refusal = settings.check().unwrap_err();
        assert!(refusal.contains(what) && refusal.contains("has no order"), "{refusal}");
    }
    assert_eq!(STRICT.check(), Ok(()));
}

#[test]
fn a_version_with_one_value_has_the_bytes_that_it_had_before_there_were_siblings() {
    let stamp = Stamp { time: 7, node: NodeId(1), start: 2 };
    for (held, value) in [(Held::Nothing, None), (Held::Value(b"a".into()), Some(b"a".to_vec()))] {
        let bytes = wire::encode(&Version { stamp, held });
        assert_eq!(bytes, wire::encode(&(stamp, value)));
    }
}

/// What a client of a random run waits for.
struct Asked {
    sequence: u64,
    /// The elements that were told to anyone before it asked.
    known: BTreeSet<String>,
    /// The element that it adds.
    adds: Option<String>,
    given_up_at: Time,
}

#[derive(Default)]
struct Member {
    node: usize,
    session: u64,
    sequence: u64,
    /// What it has read and not replaced since.
    read: Option<Seen>,
    asked: Option<Asked>,
}

/// Clients keep one set in a register under random faults: each reads it, adds an element, and writes
/// it back. No element that was acknowledged or shown is missing where somebody reads later.
struct Play {
    cluster: Cluster<Leaderless>,
    members: Vec<Member>,
    answered: usize,
    /// The elements that were told to anyone.
    known: BTreeSet<String>,
    reads: u64,
    adds: u64,
    /// Reads that found more than one value.
    met: u64,
    wiped: u64,
}

fn elements(values: &[String]) -> BTreeSet<String> {
    values.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect()
}

impl Play {
    fn new(seed: u64, nodes: u32) -> Play {
        let mut cluster = Cluster::with(nodes, seed, 20, STRICT);
        cluster.weather = weather(&mut cluster);
        let member = |id| Member { node: id % nodes as usize, ..Member::default() };
        let (members, known) = ((0..4).map(member).collect(), BTreeSet::new());
        Play { cluster, members, answered: 0, known, reads: 0, adds: 0, met: 0, wiped: 0 }
    }

    /// The client asks for something, if it does not wait already.
    fn act(&mut self, id: usize) {
        let Play { cluster, members, known, .. } = self;
        let member = &mut members[id];
        if member.asked.as_ref().is_some_and(|asked| asked.given_up_at <= cluster.now) {
            // Whether it was done is unknown: the client goes to another node.
            let node = usize::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap();
            *member = Member { node, sequence: member.sequence, ..Member::default() };
        }
        if member.asked.is_some() || cluster.draw(3) > 0 {
            return;
        }
        member.sequence += 1;
        let element = format!("{id}/{}", member.sequence);
        let key = "x".to_owned();
        let (command, adds) = if member.session == 0 {
            (Command::OpenSession, None)
        } else if let Some((values, context)) = member.read.take_if(|_| cluster.draw(3) > 0) {
            let mut set = elements(&values);
            set.insert(element.clone());
            let value = Some(Vec::from_iter(set).join(",").into_bytes());
            (Command::Replace { key, value, context, shown: false }, Some(element))
        } else {
            (Command::Read { key, level: ReadLevel::Strong }, None)
        };
        let given_up_at = Time(cluster.now.0 + 60 * MS);
        let Member { node, session, sequence, .. } = *member;
        member.asked = Some(Asked { sequence, known: known.clone(), adds, given_up_at });
        cluster.request(node, id as u64, Request { session, sequence, seen: 0, command });
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.cluster.answers.get(self.answered).cloned() {
            self.answered += 1;
            let Answer { client: ClientId(id), sequence, reply, .. } = answer;
            let member = &mut self.members[usize::try_from(id).unwrap()];
            let asked = member.asked.take_if(|asked| asked.sequence == sequence);
            let Some(asked) = asked else { continue };
            match reply {
                Reply::NodeSession(session) => member.session = session,
                Reply::SessionUnknown => member.session = 0,
                // The node has lost its disk.
                Reply::NotLeader => {}
                Reply::Done => {
                    self.known.extend(asked.adds);
                    self.adds += 1;
                }
                reply => {
                    let seen = seen(&reply);
                    let shown = elements(&seen.0);
                    let lost: Vec<_> = asked.known.difference(&shown).collect();
                    assert!(lost.is_empty(), "{lost:?} were known, and {shown:?} are shown");
                    self.met += u64::from(seen.0.len() > 1);
                    self.known.extend(shown);
                    self.reads += 1;
                    member.read = Some(seen);
                }
            }
        }
    }

    /// All that hold the key agree in the end, and nothing that was told to anyone is missing.
    fn check_the_end(&mut self) {
        calm(&mut self.cluster);
        self.cluster.run(3000);
        let store = |node| self.cluster.node(node).store().get("x");
        let replicas: Vec<&Version> = (0..self.cluster.nodes.len()).filter_map(store).collect();
        assert!(replicas.windows(2).all(|pair| pair[0].held == pair[1].held), "{replicas:?}");
        let held = (0..self.cluster.nodes.len()).find_map(|node| held(&self.cluster, node));
        let left = elements(&held.unwrap_or_default());
        assert!(left.is_superset(&self.known), "{:?} were known, {left:?} remain", self.known);
    }

    fn run(mut self, wipes: bool) -> Play {
        let faults_end = Time(self.cluster.now.0 + 1500 * MS);
        let mut meddler = Meddler::new(&self.cluster);
        while self.cluster.now < faults_end {
            self.wiped += u64::from(meddler.act(&mut self.cluster, wipes));
            (0..self.members.len()).for_each(|id| self.act(id));
            let_pass(&mut self.cluster, 1);
            self.take_answers();
        }
        self.check_the_end();
        self
    }
}

fn random_runs(wipes: bool) {
    let (mut reads, mut adds, mut met, mut wiped) = (0, 0, 0, 0);
    for seed in 0..150 {
        let nodes = [3, 3, 5][seed as usize % 3];
        let play = Play::new(seed, nodes).run(wipes);
        reads += play.reads;
        adds += play.adds;
        met += play.met;
        wiped += play.wiped;
    }
    assert!(!wipes || wiped > 100, "{wiped} disks lost test too little");
    assert!(reads > 2000 && adds > 1000 && met > 200, "{reads}, {adds}, {met} test too little");
}

#[test]
fn no_element_that_anyone_knew_is_missing_later_and_replicas_agree_in_the_end() {
    random_runs(false);
}

#[test]
fn nor_whichever_disk_is_lost() {
    random_runs(true);
}

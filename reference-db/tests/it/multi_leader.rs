//! Several leaders: what reaches whom, and what becomes of conflicts.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeSet;

use stormglass_reference_db::env::{NodeId, Role};
use stormglass_reference_db::kv::{Command, Datum, ReadLevel, Reply, Update};
use stormglass_reference_db::merge::{Actor, Dot, VersionVector};
use stormglass_reference_db::protocol::multi_leader::conflicts::Conflicts;
use stormglass_reference_db::protocol::multi_leader::state::Change;
use stormglass_reference_db::protocol::multi_leader::topology::{Regions, Topology};
use stormglass_reference_db::protocol::multi_leader::{Message, MultiLeader, Settings};
use stormglass_reference_db::wire::Request;

use super::raft_cluster::Cluster;

pub(crate) const TOPOLOGIES: [Topology; 3] = [Topology::AllToAll, Topology::Ring, Topology::Star];

/// A cluster in which every region has had time to choose its leader.
pub(crate) fn started(
    nodes: u32,
    topology: Topology,
    conflicts: Conflicts,
) -> Cluster<MultiLeader> {
    let settings = Settings { topology, conflicts, ..Settings::DEFAULT };
    let mut cluster = Cluster::of_regions(nodes, 1, 50, settings);
    cluster.run(1000);
    for region in 0..3 {
        assert!(leader(&cluster, region).is_some(), "region {region} has no leader");
    }
    cluster
}

/// The node that leads a region.
fn leader(cluster: &Cluster<MultiLeader>, region: u32) -> Option<usize> {
    (0..cluster.nodes.len()).find(|node| {
        cluster.role(*node) == Some(Role::Leader)
            && cluster.node(*node).region() == Actor(region.into())
    })
}

/// A client of one node.
pub(crate) struct Client {
    node: usize,
    session: u64,
    sequence: u64,
}

impl Client {
    pub(crate) fn of(cluster: &mut Cluster<MultiLeader>, node: usize) -> Client {
        let mut client = Client { node, session: 0, sequence: 0 };
        let reply = client.ask(cluster, Command::OpenSession);
        let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
        client.session = session;
        client
    }

    pub(crate) fn ask(
        &mut self,
        cluster: &mut Cluster<MultiLeader>,
        command: Command,
    ) -> Option<Reply> {
        self.sequence += 1;
        let Client { node, session, sequence } = *self;
        cluster.ask(node, node as u64, Request { session, sequence, seen: 0, command })
    }

    pub(crate) fn write(&mut self, cluster: &mut Cluster<MultiLeader>, key: &str, value: &str) {
        let command = Command::Write { key: key.into(), value: value.into() };
        assert_eq!(self.ask(cluster, command), Some(Reply::Done));
    }

    fn update(&mut self, cluster: &mut Cluster<MultiLeader>, key: &str, update: Update) {
        let command = Command::Update { key: key.into(), update };
        assert_eq!(self.ask(cluster, command), Some(Reply::Done));
    }

    fn read(&mut self, cluster: &mut Cluster<MultiLeader>, key: &str) -> Reply {
        let command = Command::Read { key: key.into(), level: ReadLevel::Strong };
        self.ask(cluster, command).unwrap()
    }

    pub(crate) fn delete(&mut self, cluster: &mut Cluster<MultiLeader>, key: &str) {
        let reply = self.ask(cluster, Command::Delete { key: key.into() });
        assert_eq!(reply, Some(Reply::Done));
    }
}

pub(crate) fn value(value: &str) -> Reply {
    Reply::Value(Some(value.into()))
}

/// What a node itself holds.
pub(crate) fn held(cluster: &Cluster<MultiLeader>, node: usize, key: &str) -> Option<Reply> {
    cluster.node(node).state().cells().get(key).map(|cell| cell.read())
}

/// The changes that were sent to some region, as far as they were overheard.
pub(crate) fn sent(
    cluster: &Cluster<MultiLeader>,
    to: u32,
) -> impl Iterator<Item = (NodeId, &Change)> {
    let overheard = cluster.overheard.iter().flatten();
    let arriving = overheard.filter(move |(from, node, _)| {
        // What a node of the region passes on to its leader has arrived before.
        node.0 % 3 == to && from.0 % 3 != to
    });
    arriving.flat_map(|(from, _, message)| {
        let changes = match message {
            Message::Changes { changes, .. } => changes.as_slice(),
            Message::Region(_)
            | Message::Forward { .. }
            | Message::Reached(_)
            | Message::Known(_)
            | Message::Reborn { .. }
            | Message::Shared { .. }
            | Message::WhoVotes { .. }
            | Message::Voters { .. } => &[],
        };
        changes.iter().map(|change| (*from, change))
    })
}

#[test]
fn a_change_reaches_every_node_of_every_region_along_every_topology() {
    for topology in TOPOLOGIES {
        for nodes in [3, 5, 6] {
            let mut cluster = started(nodes, topology, Conflicts::Lww);
            for node in 0..nodes as usize {
                let key = format!("k{node}");
                Client::of(&mut cluster, node).write(&mut cluster, &key, "a");
            }
            cluster.run(500);
            for (node, at) in
                (0..nodes as usize).flat_map(|n| (0..nodes as usize).map(move |a| (n, a)))
            {
                let found = held(&cluster, at, &format!("k{node}"));
                assert_eq!(found, Some(value("a")), "{topology:?}: k{node} at {at} of {nodes}");
            }
        }
    }
}

#[test]
fn a_change_is_acknowledged_without_the_other_regions_and_reaches_them_after_the_cut() {
    for topology in TOPOLOGIES {
        let mut cluster = started(3, topology, Conflicts::Lww);
        let mut client = Client::of(&mut cluster, 1);
        cluster.split(&[1]);
        client.write(&mut cluster, "x", "a");
        assert_eq!(client.read(&mut cluster, "x"), value("a"));
        cluster.run(1000);
        assert_eq!((held(&cluster, 0, "x"), held(&cluster, 2, "x")), (None, None));
        cluster.heal();
        cluster.run(1000);
        for node in 0..3 {
            assert_eq!(held(&cluster, node, "x"), Some(value("a")), "{topology:?} at {node}");
        }
    }
}

#[test]
fn no_region_hears_of_its_own_changes_and_each_is_sent_where_it_is_missing() {
    for topology in TOPOLOGIES {
        let mut cluster = started(3, topology, Conflicts::Lww);
        let mut clients: Vec<Client> = (0..3).map(|node| Client::of(&mut cluster, node)).collect();
        cluster.overheard = Some(Vec::new());
        for round in 0..20 {
            for (node, client) in clients.iter_mut().enumerate() {
                client.write(&mut cluster, &format!("k{node}"), &format!("{round}"));
            }
        }
        cluster.run(500);
        for region in 0..3 {
            let arrived: Vec<Dot> = sent(&cluster, region).map(|(_, change)| change.dot).collect();
            let own = arrived.iter().filter(|dot| dot.actor == Actor(region.into())).count();
            assert_eq!(own, 0, "{topology:?}: region {region} heard of its own changes");
            let once: BTreeSet<Dot> = arrived.iter().copied().collect();
            assert_eq!(once.len(), 40, "{topology:?}");
            assert_eq!(arrived.len(), 40, "{topology:?}: in calm weather each is sent once");
        }
    }
}

#[test]
fn after_a_cut_only_what_is_missing_is_sent() {
    let mut cluster = started(3, Topology::Ring, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 0);
    (0..30).for_each(|round| client.write(&mut cluster, "before", &format!("{round}")));
    cluster.run(500);
    cluster.split(&[1]);
    (0..5).for_each(|round| client.write(&mut cluster, "during", &format!("{round}")));
    cluster.run(500);
    cluster.overheard = Some(Vec::new());
    cluster.heal();
    cluster.run(1000);
    let arrived: BTreeSet<&str> = sent(&cluster, 1).map(|(_, c)| c.key.as_str()).collect();
    assert_eq!(arrived, BTreeSet::from(["during"]));
    assert_eq!(held(&cluster, 2, "during"), Some(value("4")));
}

/// Which nodes hold what the first one writes while the link from it to the second is cut.
fn reached_over_a_dead_link(topology: Topology) -> Vec<usize> {
    let mut cluster = started(3, topology, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 0);
    (cluster.cut[0][1], cluster.cut[1][0]) = (true, true);
    client.write(&mut cluster, "x", "a");
    cluster.run(3000);
    let reached = (0..3).filter(|node| held(&cluster, *node, "x").is_some()).collect();
    cluster.heal();
    cluster.run(1000);
    assert!((0..3).all(|node| held(&cluster, node, "x").is_some()), "{topology:?}, mended");
    reached
}

#[test]
fn a_dead_link_stops_a_ring_and_a_star_and_all_to_all_finds_a_way_around() {
    assert_eq!(reached_over_a_dead_link(Topology::AllToAll), [0, 1, 2]);
    assert_eq!(reached_over_a_dead_link(Topology::Ring), [0]);
    assert_eq!(reached_over_a_dead_link(Topology::Star), [0, 2]);
}

#[test]
fn an_answer_is_not_seen_before_the_question() {
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Lww);
    let mut asks = Client::of(&mut cluster, 0);
    let mut answers = Client::of(&mut cluster, 1);
    (cluster.cut[0][2], cluster.cut[2][0]) = (true, true);
    asks.write(&mut cluster, "question", "?");
    assert!(cluster.run_until(|cluster| held(cluster, 1, "question").is_some()));
    cluster.overheard = Some(Vec::new());
    answers.write(&mut cluster, "answer", "!");
    let mut early = 0;
    while held(&cluster, 2, "question").is_none() {
        assert_eq!(held(&cluster, 2, "answer"), None, "the answer came first");
        early += sent(&cluster, 2).filter(|(_, change)| change.key == "answer").count();
        cluster.run(1);
    }
    assert!(early > 0, "the answer was never there before the question, so nothing was shown");
    cluster.run(1000);
    assert_eq!(held(&cluster, 2, "answer"), Some(value("!")));
}

/// Two regions that are cut off from each other each do something to a key; then the cut is mended.
/// Returns what every node holds.
fn conflict(conflicts: Conflicts, act: impl Fn(usize) -> Command) -> Vec<Option<Reply>> {
    let mut cluster = started(3, Topology::AllToAll, conflicts);
    let mut clients: Vec<Client> = (0..3).map(|node| Client::of(&mut cluster, node)).collect();
    cluster.split(&[0]);
    for node in [0, 1] {
        assert_eq!(clients[node].ask(&mut cluster, act(node)), Some(Reply::Done));
    }
    cluster.run(300);
    cluster.heal();
    cluster.run(1500);
    (0..3).map(|node| held(&cluster, node, "x")).collect()
}

#[test]
fn of_two_writes_the_later_one_wins_everywhere_and_the_other_is_lost() {
    let write = |node: usize| Command::Write { key: "x".into(), value: vec![b'a' + node as u8] };
    assert_eq!(conflict(Conflicts::Lww, write), vec![Some(value("b")); 3]);
}

#[test]
fn two_writes_are_siblings_until_a_client_that_has_read_both_replaces_them() {
    let mut cluster = started(3, Topology::Star, Conflicts::Siblings);
    let mut clients: Vec<Client> = (0..3).map(|node| Client::of(&mut cluster, node)).collect();
    cluster.split(&[1]);
    clients[1].write(&mut cluster, "x", "b");
    clients[2].write(&mut cluster, "x", "c");
    cluster.heal();
    cluster.run(1500);
    let reply = clients[0].read(&mut cluster, "x");
    let Reply::Siblings { values, context } = reply else { panic!("{reply:?}") };
    assert_eq!(values, [b"b".to_vec(), b"c".to_vec()]);
    let replaces = |value: &str, context| Command::Replace {
        key: "x".into(),
        value: Some(value.into()),
        context,
        shown: false,
    };
    // One that has read nothing replaces nothing.
    let blind = replaces("d", VersionVector::default());
    assert_eq!(clients[1].ask(&mut cluster, blind), Some(Reply::Done));
    assert_eq!(clients[0].ask(&mut cluster, replaces("bc", context)), Some(Reply::Done));
    cluster.run(1500);
    for client in &mut clients {
        let reply = client.read(&mut cluster, "x");
        let Reply::Siblings { values, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(values, [b"bc".to_vec(), b"d".to_vec()]);
    }
}

#[test]
fn a_context_that_claims_what_is_yet_to_come_makes_nothing_disappear() {
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Siblings);
    let mut client = Client::of(&mut cluster, 0);
    let forged = [Dot { actor: Actor(0), number: 1000 }, Dot { actor: Actor(9), number: 1 }];
    let context = VersionVector::from_iter(forged);
    let command =
        Command::Replace { key: "x".into(), value: Some(b"a".to_vec()), context, shown: false };
    assert_eq!(client.ask(&mut cluster, command), Some(Reply::Done));
    client.write(&mut cluster, "x", "b");
    let reply = client.read(&mut cluster, "x");
    let Reply::Siblings { values, context } = reply else { panic!("{reply:?}") };
    assert_eq!(values, [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(context.iter().collect::<Vec<_>>(), [Dot { actor: Actor(0), number: 2 }]);
    // What another region is yet to make does not disappear either.
    cluster.run(500);
    let context = VersionVector::from_iter([Dot { actor: Actor(0), number: 1 << 63 }]);
    let command =
        Command::Replace { key: "x".into(), value: Some(b"c".to_vec()), context, shown: false };
    let mut other = Client::of(&mut cluster, 1);
    assert_eq!(other.ask(&mut cluster, command), Some(Reply::Done));
    cluster.run(500);
    client.write(&mut cluster, "x", "d");
    cluster.run(500);
    for node in 0..3 {
        let held = held(&cluster, node, "x");
        let Some(Reply::Siblings { values, .. }) = held else { panic!("{held:?}") };
        assert_eq!(values, [b"d".to_vec(), b"c".to_vec()]);
    }
}

#[test]
fn counters_add_up_and_elements_that_are_added_and_removed_at_once_stay() {
    let counts = |node: usize| {
        let update = Update::Increment([5, -2][node]);
        Command::Update { key: "x".into(), update }
    };
    let three = Some(Reply::Datum(Datum::Counter(3)));
    assert_eq!(conflict(Conflicts::Crdt, counts), vec![three; 3]);

    let mut cluster = started(3, Topology::AllToAll, Conflicts::Crdt);
    let mut clients: Vec<Client> = (0..3).map(|node| Client::of(&mut cluster, node)).collect();
    clients[0].update(&mut cluster, "x", Update::Add(b"a".to_vec()));
    clients[0].update(&mut cluster, "x", Update::Add(b"b".to_vec()));
    cluster.run(500);
    cluster.split(&[0]);
    clients[0].update(&mut cluster, "x", Update::Remove(b"a".to_vec()));
    clients[0].update(&mut cluster, "x", Update::Remove(b"b".to_vec()));
    clients[1].update(&mut cluster, "x", Update::Add(b"a".to_vec()));
    cluster.heal();
    cluster.run(1500);
    let a = Reply::Datum(Datum::Set(BTreeSet::from([b"a".to_vec()])));
    assert_eq!((0..3).map(|node| held(&cluster, node, "x")).collect::<Vec<_>>(), vec![Some(a); 3]);
}

#[test]
fn a_key_that_two_regions_began_as_different_kinds_keeps_both() {
    let act = |node: usize| {
        let update = [Update::Increment(5), Update::Add(b"a".to_vec())][node].clone();
        Command::Update { key: "x".into(), update }
    };
    let shown = Some(Reply::Datum(Datum::Set(BTreeSet::from([b"a".to_vec()]))));
    assert_eq!(conflict(Conflicts::Crdt, act), vec![shown; 3]);
}

#[test]
fn what_a_rule_does_not_offer_is_refused_and_does_nothing() {
    let key = || "x".to_owned();
    let write = || Command::Write { key: key(), value: b"a".to_vec() };
    let cas = Command::Cas { key: key(), from: None, to: Some(b"a".to_vec()) };
    let add = || Command::Update { key: key(), update: Update::Add(b"a".to_vec()) };
    let append = Command::Update { key: key(), update: Update::Append(b"a".to_vec()) };
    let txn = Command::Txn { steps: Vec::new() };
    for (conflicts, refused) in [
        (Conflicts::Lww, vec![cas.clone(), add(), txn.clone()]),
        (Conflicts::Siblings, vec![cas.clone(), add(), txn.clone()]),
        (Conflicts::Crdt, vec![write(), Command::Delete { key: key() }, cas, append, txn]),
    ] {
        let mut cluster = started(3, Topology::AllToAll, conflicts);
        let mut client = Client::of(&mut cluster, 0);
        for command in refused {
            let reply = client.ask(&mut cluster, command.clone());
            assert_eq!(reply, Some(Reply::Unsupported), "{conflicts:?}: {command:?}");
        }
        assert_eq!(held(&cluster, 0, "x"), None, "{conflicts:?}");
    }
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Crdt);
    let mut client = Client::of(&mut cluster, 0);
    client.update(&mut cluster, "x", Update::Increment(1));
    assert_eq!(client.ask(&mut cluster, add()), Some(Reply::WrongKind));
}

#[test]
fn a_retry_is_answered_and_not_done_again_whoever_leads_the_region() {
    let mut cluster = started(9, Topology::AllToAll, Conflicts::Crdt);
    let mut client = Client::of(&mut cluster, 0);
    client.update(&mut cluster, "x", Update::Increment(1));
    let first = leader(&cluster, 0).unwrap();
    cluster.crash(first);
    assert!(cluster.run_until(|cluster| leader(cluster, 0).is_some()), "nobody follows");
    client.node = leader(&cluster, 0).unwrap();
    client.sequence -= 1;
    client.update(&mut cluster, "x", Update::Increment(1));
    assert_eq!(client.read(&mut cluster, "x"), Reply::Datum(Datum::Counter(1)));
}

#[test]
fn a_session_of_one_region_is_unknown_in_the_next() {
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Lww);
    let (mut client, other) = (Client::of(&mut cluster, 0), Client::of(&mut cluster, 1));
    assert_ne!(client.session, other.session);
    client.node = 1;
    let command = Command::Write { key: "x".into(), value: b"a".to_vec() };
    assert_eq!(client.ask(&mut cluster, command), Some(Reply::SessionUnknown));
}

#[test]
fn a_deletion_is_remembered_until_every_region_has_it_and_then_forgotten() {
    for topology in TOPOLOGIES {
        for conflicts in [Conflicts::Lww, Conflicts::Siblings] {
            let mut cluster = started(5, topology, conflicts);
            let mut client = Client::of(&mut cluster, 0);
            client.write(&mut cluster, "x", "a");
            cluster.run(500);
            cluster.split(&[1, 4]);
            client.delete(&mut cluster, "x");
            cluster.run(2000);
            let cell = cluster.node(0).state().cells().get("x");
            assert!(cell.is_some_and(|cell| cell.is_empty()), "{topology:?}: forgotten too early");
            cluster.heal();
            cluster.run(3000);
            for node in 0..5 {
                let state = cluster.node(node).state();
                assert_eq!(state.cells().len(), 0, "{topology:?}, {conflicts:?}, node {node}");
                assert_eq!(state.outbox().count(), 0, "{topology:?}, {conflicts:?}, node {node}");
            }
        }
    }
}

#[test]
fn regions_and_links_are_as_the_topology_says() {
    let nodes: Vec<NodeId> = (1..=5).map(NodeId).collect();
    let regions = |id, topology| Regions::new(NodeId(id), &nodes, 3, topology);
    let ring = regions(3, Topology::Ring);
    assert_eq!((ring.own(), ring.told()), (Actor(2), vec![Actor(0)]));
    assert_eq!(ring.members(Actor(0)), [NodeId(1), NodeId(4)]);
    assert_eq!((ring.of(NodeId(5)), ring.of(NodeId(6))), (Some(Actor(1)), None));
    assert_eq!((ring.next(Some(Actor(1))), ring.next(Some(Actor(0)))), (vec![Actor(0)], vec![]));
    let (centre, leaf) = (regions(1, Topology::Star), regions(2, Topology::Star));
    assert_eq!(
        (centre.next(Some(Actor(1))), leaf.next(Some(Actor(1)))),
        (vec![Actor(2)], vec![Actor(0)])
    );
    assert_eq!(leaf.next(Some(Actor(2))), []);
    assert_eq!(leaf.next(None), [Actor(0)], "whoever made it is lost");
    let alone = Regions::new(NodeId(1), &nodes[..1], 3, Topology::Ring);
    assert_eq!((alone.all().count(), alone.told()), (1, vec![]));
}

//! Nodes that are let in and go in the modes without a leader, while clients read and write.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeSet;

use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::leaderless::ring::{Layout, Ring};
use stormglass_reference_db::protocol::leaderless::siblings::Conflicts;
use stormglass_reference_db::protocol::leaderless::{Leaderless, Message, Settings};
use stormglass_reference_db::protocol::raft::wishes::FOUNDED;
use stormglass_reference_db::wire::Request;

use super::leaderless::hash_of;
use super::primary_cluster::request;
use super::primary_members::{admit, dismiss};
use super::raft_cluster::Cluster;

const STRICT: Settings = Settings::DEFAULT;
const ATOMIC: Settings = Settings { atomic: true, ..STRICT };
const SIBLINGS: Settings = Settings { conflicts: Conflicts::Siblings, ..STRICT };
const DONE: Option<Reply> = Some(Reply::Done);

/// A client of one node.
struct Client {
    node: usize,
    session: u64,
    sequence: u64,
}

impl Client {
    fn of(cluster: &mut Cluster<Leaderless>, node: usize) -> Client {
        let reply = cluster.ask(node, node as u64, request(0, 1, Command::OpenSession));
        let Some(Reply::NodeSession(session)) = reply else { panic!("no session, but {reply:?}") };
        Client { node, session, sequence: 1 }
    }

    fn next(&mut self, command: Command) -> Request {
        self.sequence += 1;
        request(self.session, self.sequence, command)
    }

    fn write(&mut self, cluster: &mut Cluster<Leaderless>, key: &str) -> Option<Reply> {
        let request = self.next(Command::Write { key: key.into(), value: key.into() });
        cluster.ask(self.node, self.node as u64, request)
    }

    /// Whether the client finds what was written under a key; nothing where nobody answers.
    fn finds(&mut self, cluster: &mut Cluster<Leaderless>, key: &str) -> Option<bool> {
        let request = self.next(Command::Read { key: key.into(), level: ReadLevel::Strong });
        let values = match cluster.ask(self.node, self.node as u64, request)? {
            Reply::Value(value) => Vec::from_iter(value),
            Reply::Siblings { values, .. } => values,
            reply => panic!("no value, but {reply:?}"),
        };
        Some(values == [key.as_bytes()])
    }
}

/// Three nodes with a leader among them, of which each key was written at one after the other; the other
/// nodes are none of the cluster's, and are up.
fn sparing(nodes: u32, settings: Settings) -> (Cluster<Leaderless>, usize) {
    let mut cluster = Cluster::with(nodes, 1, 50, settings).begun_by(3);
    let leader = cluster.elect();
    cluster.run(100);
    let mut clients = [0, 1, 2].map(|node| Client::of(&mut cluster, node));
    for (nth, key) in keys().enumerate() {
        assert_eq!(clients[nth % 3].write(&mut cluster, &key), DONE);
    }
    (3..nodes as usize).for_each(|node| cluster.start(node));
    (cluster, leader)
}

fn keys() -> impl Iterator<Item = String> {
    (0..150).map(|number| format!("k{number}"))
}

fn find_all(cluster: &mut Cluster<Leaderless>, node: usize) {
    let mut client = Client::of(cluster, node);
    for key in keys() {
        assert_eq!(client.finds(cluster, &key), Some(true), "{key} at n{node}");
    }
}

fn holding(cluster: &Cluster<Leaderless>, node: usize) -> Vec<u32> {
    let layout = cluster.node(node).layout();
    assert_eq!(layout.next, None, "{layout:?}");
    layout.nodes.iter().map(|node| node.0).collect()
}

/// The other nodes that the cluster began with.
fn others(leader: usize) -> [usize; 2] {
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    others.try_into().unwrap()
}

#[test]
fn a_node_that_is_let_in_holds_its_share_before_its_operator_hears_of_it() {
    for settings in [STRICT, ATOMIC, SIBLINGS] {
        let (mut cluster, leader) = sparing(4, settings);
        cluster.run(500);
        assert_eq!(cluster.node(3).store().versions().count(), 0, "nobody has let it in");
        assert_eq!(cluster.ask(leader, 7, admit(1, 3)), DONE);
        assert_eq!(holding(&cluster, leader), [0, 1, 2, 3]);
        assert!(cluster.run_until(|cluster| cluster.is_whole(3)));
        let ring = Ring::of(cluster.node(leader).layout(), 3);
        let its = |key: &String| ring.holds(NodeId(3), ring.segment(hash_of(key)));
        let (its, _): (Vec<String>, Vec<String>) = keys().partition(its);
        assert!(its.len() > 50, "{} of 150 are its share", its.len());
        let store = cluster.node(3).store();
        assert!(its.iter().all(|key| store.get(key).is_some()));
        // Two of three are a quorum, whichever they are.
        cluster.crash(others(leader)[0]);
        find_all(&mut cluster, 3);
    }
}

#[test]
fn what_was_acknowledged_is_found_without_those_that_were_let_go() {
    for settings in [STRICT, ATOMIC, SIBLINGS] {
        let (mut cluster, leader) = sparing(5, settings);
        // Node by node, all that the cluster began with are replaced but one.
        for (nth, (comes, goes)) in [3, 4].into_iter().zip(others(leader)).enumerate() {
            let sequence = 2 * nth as u64 + 1;
            assert_eq!(cluster.ask(leader, 7, admit(sequence, comes)), DONE);
            assert_eq!(cluster.ask(leader, 7, dismiss(sequence + 1, goes)), DONE);
            cluster.crash(goes);
        }
        assert_eq!(holding(&cluster, leader), [leader as u32, 3, 4]);
        cluster.crash(leader);
        find_all(&mut cluster, 3);
    }
}

#[test]
fn a_leader_that_is_let_go_is_followed_by_one_that_sees_to_the_rest() {
    let (mut cluster, old) = sparing(4, STRICT);
    assert_eq!(cluster.ask(old, 7, admit(1, 3)), DONE);
    cluster.request(old, 7, dismiss(2, old));
    let gone = |cluster: &Cluster<Leaderless>| {
        let other = cluster.node(others(old)[0]).layout();
        !other.has(NodeId(old as u32)) && other.next.is_none()
    };
    assert!(cluster.run_until(gone), "{:?}", cluster.node(3).layout());
    let leader = cluster.leader().unwrap();
    assert_ne!(leader, old);
    assert_eq!(cluster.ask(leader, 7, dismiss(3, old)), DONE, "so it is");
    find_all(&mut cluster, 3);
}

#[test]
fn a_client_of_a_node_that_takes_no_part_is_turned_away() {
    let (mut cluster, leader) = sparing(4, STRICT);
    let open = request(0, 9, Command::OpenSession);
    assert_eq!(cluster.ask(3, 8, open.clone()), Some(Reply::NotLeader), "it was never let in");
    let goes = others(leader)[0];
    assert_eq!(cluster.ask(leader, 7, admit(1, 3)), DONE);
    assert!(matches!(cluster.ask(3, 9, open.clone()), Some(Reply::NodeSession(_))));
    assert_eq!(cluster.ask(leader, 7, dismiss(2, goes)), DONE);
    cluster.run(500);
    assert_eq!(cluster.ask(goes, 8, open), Some(Reply::NotLeader), "it was let go");
}

#[test]
fn whoever_has_not_heard_of_a_change_makes_nothing_count_by_the_layout_before() {
    for settings in [STRICT, ATOMIC, SIBLINGS] {
        let (mut cluster, leader) = sparing(4, settings);
        let [unaware, other] = others(leader);
        let mut writer = Client::of(&mut cluster, unaware);
        let key = "late".to_owned();
        // It hears nobody, and is heard by all.
        for node in 0..4 {
            cluster.cut[node][unaware] = true;
        }
        assert_eq!(cluster.ask(leader, 7, admit(1, 3)), DONE);
        assert_eq!(cluster.node(unaware).layout().version, 0);
        let before = cluster.answers.len();
        let write = writer.next(Command::Write { key: key.clone(), value: key.clone().into() });
        cluster.request(unaware, writer.node as u64, write);
        cluster.run(20);
        let knows = |cluster: &Cluster<Leaderless>, node: usize| {
            cluster.node(node).store().get(&key).is_some()
        };
        assert!(![leader, other, 3].iter().any(|node| knows(&cluster, *node)), "they refuse it");
        cluster.heal();
        let answered = |cluster: &Cluster<Leaderless>| cluster.answers.len() > before;
        assert!(cluster.run_until(answered));
        assert_eq!(cluster.answers[before].reply, Reply::Done);
        assert!(cluster.node(unaware).layout().version >= 1, "it has gone over first");
        let mut reader = Client::of(&mut cluster, leader);
        assert_eq!(reader.finds(&mut cluster, &key), Some(true));
    }
}

#[test]
fn what_counts_while_somebody_comes_counts_by_both_layouts() {
    let (mut cluster, leader) = sparing(4, STRICT);
    let [near, far] = others(leader);
    // The newcomer gets nothing from one of them, and so does not get enough.
    for from in [near, far] {
        cluster.cut[from][3] = true;
    }
    cluster.request(leader, 7, admit(1, 3));
    cluster.run(500);
    assert!(cluster.node(leader).layout().next.is_some(), "both layouts count");
    let mut client = Client::of(&mut cluster, leader);
    for key in keys() {
        assert_eq!(client.write(&mut cluster, &format!("{key}/2")), DONE);
    }
    // Of three that are to hold a key, one does not acknowledge anything yet: without another one, nothing
    // counts where both of them are needed, even though two of those that hold it now are there.
    cluster.split(&[far]);
    cluster.cut[near][3] = true;
    let mut stalled = 0;
    for number in 0..12 {
        let mut client = Client::of(&mut cluster, leader);
        stalled += usize::from(client.write(&mut cluster, &format!("s{number}")).is_none());
    }
    assert!((1..12).contains(&stalled), "{stalled} of 12: some are not about to change hands");
    cluster.heal();
    assert!(cluster.run_until(|cluster| cluster.is_whole(3)));
    cluster.run(200);
    let mut client = Client::of(&mut cluster, 3);
    for key in keys() {
        assert_eq!(client.finds(&mut cluster, &format!("{key}/2")), Some(true));
    }
}

#[test]
fn a_node_that_was_let_in_and_never_gets_its_share_is_let_go_again() {
    for comes in [false, true] {
        let (mut cluster, leader) = sparing(4, ATOMIC);
        if comes {
            for node in others(leader) {
                cluster.cut[node][3] = true;
            }
        } else {
            cluster.crash(3);
        }
        cluster.request(leader, 7, admit(1, 3));
        cluster.run(500);
        assert_eq!(
            cluster.node(leader).layout().next.is_some(),
            comes,
            "nobody waits for the dead"
        );
        if comes {
            cluster.crash(3);
        }
        assert_eq!(cluster.ask(leader, 7, dismiss(2, 3)), DONE);
        assert_eq!(holding(&cluster, leader), [0, 1, 2]);
        assert!(cluster.answers.iter().all(|answer| answer.sequence != 1 || answer.client.0 != 7));
        find_all(&mut cluster, leader);
    }
}

#[test]
fn a_disk_that_is_lost_right_after_its_node_came_is_not_made_whole_by_those_who_missed_that() {
    for settings in [STRICT, ATOMIC] {
        let (mut cluster, leader) = sparing(4, settings);
        let [stale, goes] = others(leader);
        // Two of the founders hear of a node that comes, and of nothing after that.
        cluster.overheard = Some(Vec::new());
        cluster.request(leader, 7, admit(1, 3));
        let heard = |cluster: &Cluster<Leaderless>| {
            [stale, goes].iter().all(|node| cluster.node(*node).layout().version == 1)
        };
        assert!(cluster.run_until(heard));
        let apart = [leader, 3];
        let whole = |cluster: &Cluster<Leaderless>| cluster.node(leader).layout().version == 2;
        assert!(cluster.run_until(whole), "the newcomer has its share");
        cluster.split(&apart);
        let knew = [stale, goes].map(|node| cluster.node(node).layout().version);
        let mut client = Client::of(&mut cluster, leader);
        let mut acknowledged = Vec::new();
        for number in 0..20 {
            let key = format!("late{number}");
            if client.write(&mut cluster, &key) == DONE {
                acknowledged.push(key);
            }
        }
        assert!(!acknowledged.is_empty(), "some keys are held by both that are connected");
        cluster.wipe(3);
        cluster.split(&apart[..1]);
        cluster.start(3);
        // What it was told when it came is told once more, late.
        let said = cluster.overheard.take().unwrap();
        let late = said.into_iter().find(|(_, to, message)| {
            let comes = |layout: &Layout| layout.version == 1;
            to.0 == 3 && matches!(message, Message::Under { layout, .. } if comes(layout))
        });
        let (from, _, message) = late.unwrap();
        cluster.step(3, Input::Message { from, message });
        cluster.run(60);
        let open = request(0, 9, Command::OpenSession);
        assert_eq!(knew, [1, 1], "they have not heard that it is over");
        assert_eq!(cluster.ask(3, 9, open), Some(Reply::NotLeader), "it does not count on them");
        cluster.heal();
        assert!(cluster.run_until(|cluster| cluster.is_whole(3)));
        let mut client = Client::of(&mut cluster, 3);
        for key in acknowledged {
            assert_eq!(client.finds(&mut cluster, &key), Some(true), "{key} was acknowledged");
        }
    }
}

#[test]
fn a_node_that_is_down_is_replaced_and_brings_nothing_old_back_when_it_is_let_in_again() {
    for settings in [STRICT, ATOMIC] {
        let (mut cluster, leader) = sparing(4, settings);
        let [goes, stays] = others(leader);
        cluster.crash(goes);
        assert_eq!(cluster.ask(leader, 7, admit(1, 3)), DONE);
        assert_eq!(cluster.ask(leader, 7, dismiss(2, goes)), DONE);
        let mut client = Client::of(&mut cluster, stays);
        for key in keys() {
            let delete = client.next(Command::Delete { key });
            assert_eq!(cluster.ask(stays, stays as u64, delete), DONE);
        }
        cluster.start(goes);
        assert_eq!(cluster.ask(leader, 7, admit(3, goes)), DONE);
        cluster.run(1000);
        let mut client = Client::of(&mut cluster, goes);
        for key in keys() {
            assert_eq!(client.finds(&mut cluster, &key), Some(false), "{key} was deleted");
        }
    }
}

#[test]
fn no_more_are_let_go_than_a_quorum_can_spare() {
    let (mut cluster, leader) = sparing(4, STRICT);
    let [first, second] = others(leader);
    assert_eq!(cluster.ask(leader, 7, dismiss(1, first)), DONE);
    assert_eq!(cluster.ask(leader, 7, dismiss(2, second)), Some(Reply::Unsupported));
    assert_eq!(cluster.ask(leader, 7, admit(3, 9)), Some(Reply::NoSuchNode));
    find_all(&mut cluster, second);
    let mut fixed = Cluster::<Leaderless>::with(3, 1, 50, STRICT);
    assert_eq!(fixed.ask(0, 7, dismiss(1, 2)), Some(Reply::Unsupported), "no node is spare");
}

#[test]
fn a_copy_of_a_wish_that_comes_late_changes_nothing() {
    let (mut cluster, leader) = sparing(4, STRICT);
    let late = Request { seen: FOUNDED, ..dismiss(1, 3) };
    assert_eq!(cluster.ask(leader, 7, Request { seen: FOUNDED, ..admit(2, 3) }), DONE);
    assert_eq!(cluster.ask(leader, 7, late), Some(Reply::NotLeader));
    assert_eq!(holding(&cluster, leader), [0, 1, 2, 3]);
}

#[test]
fn a_node_knows_the_layout_after_a_restart_and_so_does_one_that_has_lost_its_disk() {
    let (mut cluster, leader) = sparing(4, ATOMIC);
    assert_eq!(cluster.ask(leader, 7, admit(1, 3)), DONE);
    assert_eq!(cluster.ask(leader, 7, dismiss(2, others(leader)[0])), DONE);
    cluster.run(200);
    for node in [leader, others(leader)[1], 3] {
        cluster.crash(node);
        cluster.start(node);
        assert_eq!(holding(&cluster, node), [leader as u32, others(leader)[1] as u32, 3]);
    }
    cluster.replace_disk(3);
    assert_eq!(holding(&cluster, 3).len(), 3);
    cluster.replace_disk(others(leader)[1]);
    find_all(&mut cluster, 3);
}

#[test]
fn what_a_node_that_goes_kept_for_others_they_have_before_it_is_gone() {
    let sloppy = Settings { sloppy: true, ..STRICT };
    let mut cluster = Cluster::with(6, 1, 50, sloppy).begun_by(5);
    let leader = cluster.elect();
    let mut client = Client::of(&mut cluster, leader);
    let down: Vec<usize> = (0..5).filter(|node| *node != leader).take(2).collect();
    down.iter().for_each(|node| cluster.crash(*node));
    for key in keys() {
        assert_eq!(client.write(&mut cluster, &key), DONE);
    }
    cluster.run(600);
    let keeps = |cluster: &Cluster<Leaderless>, node: usize| cluster.node(node).hints();
    let up = (0..5).filter(|node| !down.contains(node) && *node != leader);
    let goes = up.max_by_key(|node| keeps(&cluster, *node)).unwrap();
    assert!(keeps(&cluster, goes) > 0, "it stands in for somebody");
    down.iter().for_each(|node| cluster.start(*node));
    assert_eq!(cluster.ask(leader, 7, dismiss(1, goes)), DONE);
    cluster.wipe(goes);
    cluster.run(2000);
    find_all(&mut cluster, down[0]);
}

/// The sets of nodes that hold the segments of a ring.
fn held_by(nodes: &[u32], replicas: usize) -> Vec<BTreeSet<u32>> {
    let founders: Vec<NodeId> = (0..5).map(NodeId).collect();
    let nodes = nodes.iter().map(|node| NodeId(*node)).collect();
    let ring = Ring::of(&Layout { version: 1, founders, nodes, next: None, disk: 0 }, replicas);
    let sets = (0..ring.segments()).map(|s| ring.replicas(s).map(|node| node.0).collect());
    sets.collect()
}

#[test]
fn a_node_that_comes_takes_its_share_and_everything_else_stays_where_it_is() {
    let founders = [0, 1, 2, 3, 4];
    let fixed = Ring::new(founders.map(NodeId).to_vec(), 3);
    let before = held_by(&founders, 3);
    for (segment, set) in before.iter().enumerate() {
        let held = fixed.replicas(segment % 5).map(|node| node.0).collect();
        assert_eq!(*set, held, "where nobody has come yet, it is as if nobody could");
    }
    let after = held_by(&[0, 1, 2, 3, 4, 8], 3);
    let mut share = 0;
    for (before, after) in before.iter().zip(&after) {
        let came: Vec<u32> = after.difference(before).copied().collect();
        assert!(came.is_empty() || came == [8], "{before:?} became {after:?}");
        assert_eq!(after.len(), 3);
        share += came.len();
    }
    assert!((10..=30).contains(&share), "{share} of 120 places, of which 20 are its share");
    assert_eq!(held_by(&founders, 3), before, "and when it is gone, all is as it was");
}

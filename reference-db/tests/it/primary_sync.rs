//! Synchronous replication: what everyone has is never lost, and one node that is down stops changes.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeSet;

use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::{Command, Kv, ReadLevel, Reply};
use stormglass_reference_db::protocol::primary::{Acknowledge, Primary, Record};
use stormglass_reference_db::protocol::raft::log::Position;
use stormglass_reference_db::wire::Request;

use super::counting::{Watch, play};
use super::raft_cluster::{Answer, Cluster, Disk};

pub(crate) fn request(session: u64, sequence: u64, command: Command) -> Request {
    Request { session, sequence, seen: 0, command }
}

pub(crate) fn write(session: u64, sequence: u64, key: &str, value: &str) -> Request {
    request(session, sequence, Command::Write { key: key.into(), value: value.into() })
}

pub(crate) fn read(sequence: u64, key: &str, level: ReadLevel) -> Request {
    request(0, sequence, Command::Read { key: key.into(), level })
}

pub(crate) fn holds(value: &str) -> Option<Reply> {
    Some(Reply::Value(Some(value.into())))
}

/// The primary of the latest epoch.
pub(crate) fn primary(cluster: &Cluster<Primary>) -> Option<usize> {
    let newest = |node: &usize| cluster.node(*node).replica().epoch();
    let ups = (0..cluster.nodes.len()).filter(|node| cluster.nodes[*node].up.is_some());
    ups.filter(|node| cluster.node(*node).is_primary()).max_by_key(newest)
}

/// A cluster with a primary, and a session at it.
pub(crate) fn started(acknowledge: Acknowledge, nodes: u32) -> (Cluster<Primary>, usize, u64) {
    let mut cluster = Cluster::acknowledging(acknowledge, nodes, 1, 20);
    assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "nobody becomes primary");
    cluster.run(100);
    let leader = primary(&cluster).unwrap();
    let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    cluster.run(50);
    (cluster, leader, session)
}

pub(crate) fn others(nodes: usize, but: &[usize]) -> Vec<usize> {
    (0..nodes).filter(|node| !but.contains(node)).collect()
}

/// Whether the log on a disk has a position, or an image that contains it.
pub(crate) fn disk_holds(disk: &Disk<Primary>, at: Position) -> bool {
    let image = disk.snapshot.as_ref().and_then(|snapshot| snapshot.image.clone());
    let base = image.map_or(0, |image| image.last.index);
    if at.index <= base {
        // An image holds what counts.
        return true;
    }
    let kept = disk.snapshot.iter().flat_map(|snapshot| snapshot.entries.iter().map(|e| e.at));
    let added = disk.records.iter().filter_map(|record| match record {
        Record::Data(entry) => Some(entry.at),
        Record::Control(_) | Record::Epoch(_) => None,
    });
    let mut terms = Vec::new();
    for entry in kept.chain(added) {
        terms.truncate(usize::try_from(entry.index - base - 1).unwrap());
        terms.push(entry.term);
    }
    terms.get(usize::try_from(at.index - base - 1).unwrap()) == Some(&at.term)
}

/// Whatever was acknowledged is on so many disks, after every step.
pub(crate) struct Copies {
    /// How many; all where there are fewer nodes.
    pub(crate) wanted: usize,
    pub(crate) acknowledged: Position,
    /// Pairs of nodes that were the ones with everything.
    pub(crate) pairs: BTreeSet<(NodeId, Option<NodeId>)>,
}

impl Copies {
    pub(crate) fn new(wanted: usize) -> Copies {
        let pairs = BTreeSet::new();
        Copies { wanted, acknowledged: Position::default(), pairs }
    }
}

impl Watch<Primary> for Copies {
    fn check(&mut self, node: usize, cluster: &Cluster<Primary>) {
        let copies = cluster.nodes.iter().filter(|n| disk_holds(&n.disk, self.acknowledged));
        let (found, wanted) = (copies.count(), self.wanted.min(cluster.nodes.len()));
        assert!(found >= wanted, "{:?} is on {found} disks, not {wanted}", self.acknowledged);
        let up = cluster.nodes[node].up.as_ref();
        self.pairs.extend(up.and_then(Primary::appointed).map(|a| (a.node, a.partner)));
    }

    fn answered(&mut self, answer: &Answer, cluster: &Cluster<Primary>) {
        if answer.reply == Reply::Done {
            let at = Position { term: answer.position >> 40, index: answer.position % (1 << 40) };
            self.acknowledged = self.acknowledged.max(at);
            self.check(0, cluster);
        }
    }

    fn kv(node: &Primary) -> &Kv {
        node.replica().kv()
    }
}

#[test]
fn a_write_is_not_acknowledged_and_shown_to_nobody_before_everyone_has_it() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 3);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let [near, far] = others(3, &[leader])[..] else { panic!("three nodes") };
    cluster.run(100);
    cluster.split(&[far]);
    assert_eq!(cluster.ask(leader, 0, write(session, 3, "x", "b")), None, "it stalls");
    let strong = cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong));
    assert_eq!(strong, holds("a"), "reads go on, and do not show it");
    assert_eq!(cluster.ask(near, 2, read(1, "x", ReadLevel::Replica)), holds("a"));
    cluster.heal();
    assert_eq!(cluster.ask(leader, 0, write(session, 3, "x", "b")), Some(Reply::Done));
    let committed = |node: usize| cluster.node(node).replica().log().last();
    assert_eq!([committed(leader), committed(near)], [committed(far); 2]);
}

#[test]
fn a_node_that_is_down_stops_changes_until_it_is_back() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 3);
    let down = others(3, &[leader])[0];
    cluster.crash(down);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), None);
    cluster.start(down);
    assert!(cluster.run_until(|c| c.answers.iter().any(|answer| answer.reply == Reply::Done)));
}

#[test]
fn a_write_is_on_every_disk_when_it_is_acknowledged() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 5);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let last = cluster.node(leader).replica().last();
    assert!(cluster.nodes.iter().all(|node| disk_holds(&node.disk, last)));
}

#[test]
fn a_new_primary_shows_nothing_before_the_old_one_has_heard_of_it() {
    let (mut cluster, old, session) = started(Acknowledge::All, 3);
    assert_eq!(cluster.ask(old, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    cluster.run(100);
    cluster.split(&[old]);
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    let new = primary(&cluster).unwrap();
    assert_eq!(cluster.ask(new, 1, read(1, "x", ReadLevel::Strong)), Some(Reply::NotLeader));
    cluster.heal();
    cluster.run(500);
    let new = primary(&cluster).unwrap();
    assert_eq!(cluster.ask(new, 1, read(2, "x", ReadLevel::Strong)), holds("a"));
}

/// A node takes office without what the old primary has piled up, and is cut off again at once: more
/// old entries than one message carries then replace the mark of its epoch. Whether it came to that.
fn a_short_reign_is_forgotten(seed: u64) -> bool {
    let mut cluster = Cluster::acknowledging(Acknowledge::All, 3, seed, 1_000);
    assert!(cluster.run_until(|cluster| primary(cluster).is_some()));
    cluster.run(100);
    let old = primary(&cluster).unwrap();
    let reply = cluster.ask(old, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    let far = others(3, &[old])[0];
    cluster.split(&[far]);
    for sequence in 2..200 {
        cluster.request(old, 0, write(session, sequence, "x", &sequence.to_string()));
    }
    cluster.run(50);
    cluster.split(&[old]);
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    if primary(&cluster) != Some(far) {
        return false;
    }
    cluster.split(&[far]);
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != far)));
    cluster.heal();
    let new = primary(&cluster).unwrap();
    let last = cluster.node(new).replica().last();
    let everywhere = |c: &Cluster<Primary>| (0..3).all(|n| c.node(n).replica().committed() >= last);
    let again = |c: &Cluster<Primary>| primary(c) != Some(new);
    assert!(cluster.run_until(|c| everywhere(c) || again(c)), "seed {seed}: nobody gets on");
    everywhere(&cluster)
}

#[test]
fn the_mark_of_an_epoch_that_came_to_nothing_is_replaced_by_older_entries() {
    let happened = (0..20).filter(|seed| a_short_reign_is_forgotten(*seed)).count();
    assert!(happened > 3, "it came to that only {happened} times");
}

#[test]
fn what_was_acknowledged_is_on_every_disk_whatever_happens() {
    let mut counted = 0;
    for seed in 0..300 {
        let nodes = [3, 5, 2, 4, 1][usize::try_from(seed % 5).unwrap()];
        let snapshot_entries = [8, 30, 100][usize::try_from(seed % 3).unwrap()];
        let cluster = Cluster::acknowledging(Acknowledge::All, nodes, seed, snapshot_entries);
        counted += play(cluster, Copies::new(usize::MAX), seed).0.counted;
    }
    assert!(counted > 2_000, "only {counted} counts: the test says little");
}

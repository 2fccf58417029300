//! Clusters in the modes with a primary, and what is asked of them.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeSet;

use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::{Command, Kv, ReadLevel, Reply};
use stormglass_reference_db::protocol::primary::{Acknowledge, Primary, Record, position};
use stormglass_reference_db::protocol::raft::log::Position;
use stormglass_reference_db::wire::Request;

use super::counting::{OPERATOR, Watch};
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

/// A cluster in which one has been in office for a while, and which one.
pub(crate) fn governed(
    acknowledge: Acknowledge,
    nodes: u32,
    seed: u64,
    snapshot_entries: u64,
) -> (Cluster<Primary>, usize) {
    let mut cluster = Cluster::acknowledging(acknowledge, nodes, seed, snapshot_entries);
    assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "nobody becomes primary");
    cluster.run(200);
    let leader = primary(&cluster).unwrap();
    (cluster, leader)
}

/// Opens a session at a node.
pub(crate) fn open(cluster: &mut Cluster<Primary>, node: usize, client: u64) -> u64 {
    let reply = cluster.ask(node, client, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    session
}

/// A governed cluster with a session at its primary.
pub(crate) fn started(
    acknowledge: Acknowledge,
    nodes: u32,
    snapshot_entries: u64,
) -> (Cluster<Primary>, usize, u64) {
    let (mut cluster, leader) = governed(acknowledge, nodes, 1, snapshot_entries);
    let session = open(&mut cluster, leader, 0);
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
        // What operators are told goes by the members.
        if answer.reply == Reply::Done && answer.client.0 != OPERATOR {
            self.acknowledged = self.acknowledged.max(position(answer.position));
            self.check(0, cluster);
        }
    }

    fn kv(node: &Primary) -> &Kv {
        node.replica().kv()
    }

    fn members(cluster: &Cluster<Primary>) -> Vec<usize> {
        let leader = primary(cluster).expect("there is a primary in the end");
        cluster.node(leader).members().voters().map(|node| node.0 as usize).collect()
    }
}

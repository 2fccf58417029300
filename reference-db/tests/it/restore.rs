//! Nodes whose disks were lost, in every mode: what they must not say, and how they come back.

use stormglass_reference_db::env::{NodeId, Role};
use stormglass_reference_db::kv::{Command, Reply};
use stormglass_reference_db::protocol::Protocol;
use stormglass_reference_db::protocol::raft::Raft;
use stormglass_reference_db::wire::Request;

use super::raft_cluster::Cluster;

fn request(session: u64, sequence: u64, command: Command) -> Request {
    Request { session, sequence, seen: 0, command }
}

fn write(session: u64, sequence: u64, key: &str) -> Request {
    request(session, sequence, Command::Write { key: key.into(), value: b"a".to_vec() })
}

/// A cluster with a leader, and a session.
fn started(nodes: u32, seed: u64, snapshot_entries: u64) -> (Cluster<Raft>, usize, u64) {
    let mut cluster = Cluster::<Raft>::new(nodes, seed, snapshot_entries);
    let leader = cluster.elect();
    let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    (cluster, leader, session)
}

fn others<P: Protocol>(cluster: &Cluster<P>, but: usize) -> Vec<usize> {
    (0..cluster.nodes.len()).filter(|node| *node != but).collect()
}

mod raft {
    use super::*;

    #[test]
    fn a_member_that_has_lost_its_disk_gets_the_log_before_it_gets_its_vote() {
        for snapshot_entries in [8, 1000] {
            let (mut cluster, leader, session) = started(3, 1, snapshot_entries);
            for sequence in 2..40 {
                cluster.ask(leader, 0, write(session, sequence, "x"));
            }
            let lost = others(&cluster, leader)[0];
            cluster.replace_disk(lost);
            cluster.run(100);
            let members = cluster.node(leader).core().members();
            let id = cluster.nodes[lost].id;
            assert!(members.votes(id, cluster.node(lost).core().incarnation()));
            assert!(!members.has(id, 0), "the disk before it is no member any more");
            assert_eq!(cluster.node(lost).kv(), cluster.node(leader).kv());
        }
    }

    #[test]
    fn without_its_disk_a_member_elects_nobody() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(3, seed, 1000);
            let [cut, lost] = others(&cluster, leader)[..] else { panic!("of three") };
            // What is acknowledged now is on the leader and on the disk that will be lost.
            cluster.split(&[cut]);
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), Some(Reply::Done));
            cluster.crash(leader);
            cluster.wipe(lost);
            cluster.start(lost);
            cluster.heal();
            cluster.run(2_000);
            assert_eq!(cluster.leader(), None, "seed {seed}: the two lack what was acknowledged");
            cluster.start(leader);
            assert!(cluster.run_until(|c| (0..3).all(|node| c.is_whole(node))), "seed {seed}");
            cluster.run(500);
            let values = cluster.node(cut).kv().values();
            assert!(values.contains_key("x"), "seed {seed}: it was acknowledged");
        }
    }

    #[test]
    fn without_its_disk_a_member_counts_for_no_commit() {
        let (mut cluster, leader, session) = started(3, 1, 1000);
        let [cut, lost] = others(&cluster, leader)[..] else { panic!("of three") };
        cluster.split(&[cut]);
        cluster.wipe(lost);
        cluster.start(lost);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), None, "one copy is no majority");
        assert!(!cluster.is_whole(lost), "a majority of the other disks is needed to let it in");
    }

    #[test]
    fn a_leader_that_loses_its_disk_is_followed_by_another() {
        let (mut cluster, old, session) = started(3, 1, 8);
        for sequence in 2..30 {
            cluster.ask(old, 0, write(session, sequence, "x"));
        }
        cluster.replace_disk(old);
        let leader = cluster.leader().unwrap();
        assert_ne!(leader, old);
        assert_eq!(cluster.ask(leader, 0, write(session, 30, "y")), Some(Reply::Done));
        cluster.run(100);
        assert_eq!(cluster.node(old).kv(), cluster.node(leader).kv());
    }

    #[test]
    fn every_disk_can_be_lost_one_after_the_other_and_again() {
        let (mut cluster, leader, session) = started(3, 1, 8);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), Some(Reply::Done));
        for round in 0..6 {
            cluster.replace_disk(round % 3);
            cluster.run(100);
        }
        let leader = cluster.elect();
        assert!(cluster.node(leader).kv().values().contains_key("x"));
        assert_eq!(cluster.role(leader), Some(Role::Leader));
        let members = cluster.node(leader).core().members();
        assert!((0..3).all(|node| !members.has(NodeId(node), 0)), "no disk is the first any more");
        assert_eq!(members.voters().count(), 3);
    }

    #[test]
    fn a_member_that_is_restored_remembers_it_after_a_crash() {
        for crash_after_ms in 0..60 {
            let (mut cluster, leader, session) = started(3, 1, 8);
            for sequence in 2..30 {
                cluster.ask(leader, 0, write(session, sequence, "x"));
            }
            let lost = others(&cluster, leader)[0];
            cluster.wipe(lost);
            cluster.start(lost);
            cluster.run(crash_after_ms);
            cluster.crash(lost);
            cluster.start(lost);
            assert!(cluster.run_until(|c| c.is_whole(lost)), "after {crash_after_ms} ms");
        }
    }
}

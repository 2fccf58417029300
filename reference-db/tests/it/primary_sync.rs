//! Synchronous replication: what everyone has is never lost, and one node that is down stops changes.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use stormglass_reference_db::kv::{ReadLevel, Reply};
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::primary::stream::Streamed;
use stormglass_reference_db::protocol::primary::{Acknowledge, Message, Primary};
use stormglass_reference_db::protocol::raft::log::{Entry, Position};
use stormglass_reference_db::protocol::raft::{BATCH_MAX, IN_FLIGHT_MAX};

use super::counting::{play, play_with_wipes};
use super::primary_cluster::{
    Copies, disk_holds, governed, holds, open, others, primary, read, started, write,
};
use super::raft_cluster::Cluster;

#[test]
fn a_write_is_not_acknowledged_and_shown_to_nobody_before_everyone_has_it() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 3, 20);
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
    let (mut cluster, leader, session) = started(Acknowledge::All, 3, 20);
    let down = others(3, &[leader])[0];
    cluster.crash(down);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), None);
    cluster.start(down);
    assert!(cluster.run_until(|c| c.answers.iter().any(|answer| answer.reply == Reply::Done)));
}

#[test]
fn a_write_is_on_every_disk_when_it_is_acknowledged() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 5, 20);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let last = cluster.node(leader).replica().last();
    assert!(cluster.nodes.iter().all(|node| disk_holds(&node.disk, last)));
}

#[test]
fn a_new_primary_shows_nothing_before_the_old_one_has_heard_of_it() {
    let (mut cluster, old, session) = started(Acknowledge::All, 3, 20);
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
    let (mut cluster, old) = governed(Acknowledge::All, 3, seed, 1_000);
    let session = open(&mut cluster, old, 0);
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

#[test]
fn what_was_acknowledged_is_on_every_other_disk_when_one_is_lost() {
    let (mut counted, mut wiped) = (0, 0);
    for seed in 0..600 {
        let nodes = [3, 5, 4][usize::try_from(seed % 3).unwrap()];
        let snapshot_entries = [8, 30, 100][usize::try_from(seed / 3 % 3).unwrap()];
        let cluster = Cluster::acknowledging(Acknowledge::All, nodes, seed, snapshot_entries);
        let tally = play_with_wipes(cluster, Copies::new(nodes as usize - 1), seed).0;
        counted += tally.counted;
        wiped += tally.wiped;
    }
    assert!(wiped > 600, "only {wiped} disks lost: the test says little");
    assert!(counted > 800, "only {counted} counts: the test says little");
}

#[test]
fn a_follower_that_keeps_the_end_of_a_lost_epoch_far_above_what_is_committed_catches_up() {
    let (mut cluster, leader, session) = started(Acknowledge::All, 3, 10_000);
    let [stray, third] = others(3, &[leader])[..] else { panic!("three nodes") };
    cluster.run(100);
    cluster.split(&[third]);
    let window = (BATCH_MAX * IN_FLIGHT_MAX) as u64;
    for sequence in 2..window + 20 {
        cluster.request(leader, 0, write(session, sequence, "x", &sequence.to_string()));
    }
    let last = |c: &Cluster<Primary>, node: usize| c.node(node).replica().last();
    let both = |c: &Cluster<Primary>| last(c, leader) == last(c, stray);
    assert!(cluster.run_until(both), "two have them all");
    let shared = last(&cluster, stray);
    assert!(cluster.node(stray).replica().committed().index + window < shared.index);

    let lost = cluster.node(stray).replica().epoch() + 1;
    let left = (1..8).map(|more| Entry {
        at: Position { term: lost, index: shared.index + more },
        command: None,
        members: None,
    });
    let message = Message::Stream(Streamed::Entries {
        epoch: lost,
        prev: shared,
        entries: left.collect(),
        committed: 0,
    });
    cluster.split(&[stray]);
    let from = cluster.nodes[third].id;
    cluster.step(stray, Input::Message { from, message });
    assert_eq!(cluster.node(stray).replica().last().term, lost, "it keeps what nobody else has");
    cluster.run(500);
    assert!(cluster.node(third).replica().log().has(shared), "whoever leads next has the rest");

    let epoch = |c: &Cluster<Primary>| primary(c).map_or(0, |node| c.node(node).replica().epoch());
    while epoch(&cluster) <= lost {
        let old = primary(&cluster).unwrap();
        cluster.crash(old);
        cluster.run(50);
        cluster.start(old);
        assert!(cluster.run_until(|c| primary(c).is_some()), "nobody is primary any more");
    }
    cluster.heal();
    let equal = |c: &Cluster<Primary>| {
        let last = c.node(leader).replica().last();
        (0..3).all(|n| c.node(n).replica().committed() == last)
    };
    assert!(cluster.run_until(equal), "it is sent the same for ever");
    assert!(cluster.node(stray).replica().log().has(shared));
}

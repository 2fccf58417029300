//! Semi-synchronous replication: two nodes have whatever was acknowledged, and one of them leads.

use std::collections::BTreeSet;

use stormglass_reference_db::env::Role;
use stormglass_reference_db::kv::{ReadLevel, Reply};
use stormglass_reference_db::protocol::primary::stream::Streamed;
use stormglass_reference_db::protocol::primary::{Acknowledge, Message, Primary};

use super::counting::{play, play_with_wipes};
use super::primary_cluster::{
    Copies, disk_holds, governed, holds, open, others, primary, read, started, write,
};
use super::raft_cluster::Cluster;

/// The partner that the node knows of.
fn partner(cluster: &Cluster<Primary>, node: usize) -> usize {
    let partner = cluster.node(node).appointed().and_then(|appointed| appointed.partner);
    partner.expect("there is a partner").0 as usize
}

#[test]
fn a_write_is_acknowledged_when_the_partner_has_it() {
    let (mut cluster, leader, session) = started(Acknowledge::One, 5, 20);
    let partner = partner(&cluster, leader);
    // The control plane needs a majority, but changes do not.
    cluster.split(&[leader, partner]);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let log = |node: usize| cluster.node(node).replica().last();
    assert_eq!(log(partner), log(leader));
    assert!(others(5, &[leader, partner]).into_iter().all(|node| log(node) < log(leader)));
}

#[test]
fn a_partner_that_is_down_is_replaced_and_changes_go_on() {
    let (mut cluster, leader, session) = started(Acknowledge::One, 3, 20);
    let down = partner(&cluster, leader);
    cluster.crash(down);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    assert_ne!(partner(&cluster, leader), down);
    assert_eq!(primary(&cluster), Some(leader), "the primary stays in office");
}

/// Whether the node that was down for a thousand writes has them all when it becomes the partner.
fn late_partner_has_everything(seed: u64) -> bool {
    let (mut cluster, leader) = governed(Acknowledge::One, 3, seed, 10_000);
    let session = open(&mut cluster, leader, 0);
    let old = partner(&cluster, leader);
    let late = others(3, &[leader, old])[0];
    cluster.crash(late);
    for sequence in 2..1_000 {
        cluster.request(leader, 0, write(session, sequence, "x", "a"));
    }
    cluster.run(500);
    let acknowledged = cluster.node(leader).replica().committed();
    assert!(acknowledged.index > 900, "only {acknowledged:?}");
    cluster.crash(old);
    cluster.weather.delay_ms_max = 15;
    cluster.start(late);
    assert!(cluster.run_until(|c| primary(c) != Some(leader) || partner(c, leader) == late));
    primary(&cluster) != Some(leader) || disk_holds(&cluster.nodes[late].disk, acknowledged)
}

#[test]
fn nobody_becomes_the_partner_without_everything_that_was_acknowledged() {
    assert!((0..20).all(late_partner_has_everything));
}

#[test]
fn what_counted_before_a_primary_took_office_is_on_its_next_partner() {
    let (mut cluster, old, session) = started(Acknowledge::One, 3, 20);
    let heir = partner(&cluster, old);
    let late = others(3, &[old, heir])[0];
    let to_late = cluster.nodes[late].id;
    cluster.loses = Box::new(move |_, to, message| {
        let has = |streamed: &Streamed| matches!(streamed, Streamed::Entries { entries, .. } if !entries.is_empty());
        to == to_late && matches!(message, Message::Stream(streamed) if has(streamed))
    });
    assert_eq!(cluster.ask(old, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    // The partner has the change and does not know yet that it counts.
    let acknowledged = cluster.node(heir).replica().last();
    assert!(cluster.node(heir).replica().committed() < acknowledged);
    cluster.crash(old);
    assert!(cluster.run_until(|cluster| cluster.role(heir) == Some(Role::Leader)));
    cluster.run(2_000);
    assert!(!disk_holds(&cluster.nodes[late].disk, acknowledged));
    assert_eq!(partner(&cluster, heir), old, "who may be short of a change becomes no partner");
    cluster.loses = Box::new(|_, _, _| false);
    assert!(cluster.run_until(|cluster| partner(cluster, heir) == late));
    assert!(disk_holds(&cluster.nodes[late].disk, acknowledged));
}

#[test]
fn only_one_of_the_pair_is_promoted() {
    for seed in 0..30 {
        let (mut cluster, old) = governed(Acknowledge::One, 5, seed, 20);
        let heir = partner(&cluster, old);
        cluster.crash(old);
        assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "seed {seed}");
        assert_eq!(primary(&cluster), Some(heir), "seed {seed}");
    }
}

#[test]
fn without_the_pair_nobody_takes_office() {
    let (mut cluster, leader, session) = started(Acknowledge::One, 5, 20);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let heir = partner(&cluster, leader);
    cluster.crash(leader);
    cluster.crash(heir);
    assert!(!cluster.run_until(|cluster| primary(cluster).is_some()), "three others are up");
    cluster.start(heir);
    assert!(cluster.run_until(|cluster| primary(cluster) == Some(heir)));
    cluster.run(1_000);
    assert_eq!(cluster.ask(heir, 1, read(1, "x", ReadLevel::Strong)), holds("a"));
}

#[test]
fn a_deposed_primary_answers_no_strong_read() {
    for seed in 0..50 {
        let (mut cluster, old) = governed(Acknowledge::One, 5, seed, 20);
        cluster.split(&[old]);
        let before = cluster.answers.len();
        cluster.request(old, 1, read(1, "x", ReadLevel::Strong));
        cluster.run(2_000);
        let values = cluster.answers[before..].iter();
        let told = values.filter(|answer| matches!(answer.reply, Reply::Value(_))).count();
        assert_eq!(told, 0, "seed {seed}");
    }
}

#[test]
fn two_nodes_have_whatever_was_acknowledged_whatever_happens() {
    let (mut counted, mut reads, mut pairs) = (0, 0, BTreeSet::new());
    for seed in 0..600 {
        let nodes = [3, 5, 3, 4, 2][usize::try_from(seed % 5).unwrap()];
        let snapshot_entries = [8, 30, 100][usize::try_from(seed % 3).unwrap()];
        let cluster = Cluster::acknowledging(Acknowledge::One, nodes, seed, snapshot_entries);
        let (tally, copies) = play(cluster, Copies::new(2), seed);
        counted += tally.counted;
        reads += tally.reads;
        pairs.extend(copies.pairs.into_iter().map(|pair| (seed, pair)));
    }
    assert!(counted > 5_000, "only {counted} counts: the test says little");
    assert!(reads > 3_000, "only {reads} reads: the test says little");
    assert!(pairs.len() > 1_500, "only {} pairs: the test says little", pairs.len());
}

#[test]
fn one_node_has_whatever_was_acknowledged_when_disks_are_lost_one_at_a_time() {
    let (mut counted, mut reads, mut wiped) = (0, 0, 0);
    for seed in 0..600 {
        let nodes = [3, 5, 4][usize::try_from(seed % 3).unwrap()];
        let snapshot_entries = [8, 30, 100][usize::try_from(seed / 3 % 3).unwrap()];
        let cluster = Cluster::acknowledging(Acknowledge::One, nodes, seed, snapshot_entries);
        let tally = play_with_wipes(cluster, Copies::new(1), seed).0;
        counted += tally.counted;
        reads += tally.reads;
        wiped += tally.wiped;
    }
    assert!(wiped > 600, "only {wiped} disks lost: the test says little");
    assert!(counted > 3_000, "only {counted} counts: the test says little");
    assert!(reads > 2_000, "only {reads} reads: the test says little");
}

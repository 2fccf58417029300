//! Regions whose only disk was lost: what comes back, and what must not.

use stormglass_reference_db::env::{NodeId, Role};
use stormglass_reference_db::kv::{Command, Reply};
use stormglass_reference_db::merge::Actor;
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::multi_leader::conflicts::Conflicts;
use stormglass_reference_db::protocol::multi_leader::incarnations::region_of;
use stormglass_reference_db::protocol::multi_leader::topology::Topology;
use stormglass_reference_db::protocol::multi_leader::{Message, MultiLeader, Settings};

use super::multi_leader::{Client, TOPOLOGIES, held, started, value};
use super::primary_members::{DONE, admit, dismiss};
use super::raft_cluster::Cluster;

/// A cluster of so many regions of one node each.
fn regions(count: u32, topology: Topology) -> Cluster<MultiLeader> {
    let settings = Settings { regions: count as usize, topology, conflicts: Conflicts::Lww };
    let mut cluster = Cluster::of_regions(count, 1, 50, settings);
    cluster.run(1000);
    cluster
}

/// What every node holds of a key.
fn all_hold(cluster: &Cluster<MultiLeader>, key: &str) -> Vec<Option<Reply>> {
    (0..cluster.nodes.len()).map(|node| held(cluster, node, key)).collect()
}

/// The messages with changes that were sent from one node to another, as they were overheard.
fn changes_to(cluster: &Cluster<MultiLeader>, from: u32, to: u32) -> Vec<Message> {
    let overheard = cluster.overheard.iter().flatten();
    let sent = overheard.filter(|(sender, receiver, _)| (sender.0, receiver.0) == (from, to));
    let changes = sent.filter_map(|(_, _, message)| match message {
        Message::Changes { changes, .. } if !changes.is_empty() => Some(message.clone()),
        _ => None,
    });
    changes.collect()
}

/// Region 1 acknowledges a change, which is under way to region 3 when it loses its disk. Returns the
/// cluster in which it is whole again, and the messages.
fn lost_with_a_change_under_way() -> (Cluster<MultiLeader>, Vec<Message>) {
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 0);
    (1..7).for_each(|round| client.write(&mut cluster, "x", &format!("{round}")));
    cluster.run(500);
    cluster.split(&[0]);
    cluster.overheard = Some(Vec::new());
    client.write(&mut cluster, "x", "late");
    cluster.run(200);
    let late = changes_to(&cluster, 0, 2);
    assert!(!late.is_empty(), "nothing was under way");
    cluster.heal();
    cluster.replace_disk(0);
    (cluster, late)
}

fn deliver(cluster: &mut Cluster<MultiLeader>, to: usize, messages: &[Message]) {
    for message in messages {
        let (from, message) = (NodeId(0), message.clone());
        cluster.step(to, Input::Message { from, message });
    }
}

#[test]
fn a_region_of_one_node_comes_back_with_what_the_others_have() {
    for topology in TOPOLOGIES {
        for lost in 0..3 {
            let mut cluster = started(3, topology, Conflicts::Lww);
            for node in 0..3 {
                let mut client = Client::of(&mut cluster, node);
                (0..60)
                    .for_each(|n| client.write(&mut cluster, &format!("k{node}"), &n.to_string()));
            }
            cluster.run(500);
            for round in 0..3 {
                cluster.replace_disk(lost);
                let state = cluster.node(lost).state();
                assert_eq!(state.cells().len(), 3 + round, "{topology:?}: {lost} lacks something");
                let key = format!("after{round}");
                Client::of(&mut cluster, lost).write(&mut cluster, &key, "a");
                cluster.run(2000);
                assert_eq!(all_hold(&cluster, &key), vec![Some(value("a")); 3], "{topology:?}");
            }
            let kept = (0..3).map(|node| cluster.node(node).state().outbox().count());
            assert_eq!(kept.sum::<usize>(), 0, "{topology:?}: somebody waits for a lost one");
        }
    }
}

#[test]
fn what_it_numbers_anew_is_not_taken_for_what_is_under_way() {
    let (mut cluster, late) = lost_with_a_change_under_way();
    Client::of(&mut cluster, 0).write(&mut cluster, "x", "new");
    cluster.run(500);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("new")); 3]);
    deliver(&mut cluster, 2, &late);
    cluster.run(2000);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("new")); 3]);
}

#[test]
fn what_a_lost_one_had_said_to_one_that_has_not_heard_of_the_loss_reaches_all() {
    let mut cluster = regions(5, Topology::AllToAll);
    let mut client = Client::of(&mut cluster, 0);
    cluster.split(&[0, 4]);
    (cluster.cut[0][4], cluster.cut[4][0]) = (true, true);
    cluster.overheard = Some(Vec::new());
    client.write(&mut cluster, "x", "late");
    cluster.run(200);
    let late = changes_to(&cluster, 0, 4);
    cluster.heal();
    cluster.split(&[4]);
    cluster.replace_disk(0);
    assert_eq!(held(&cluster, 0, "x"), None, "nobody else had it");
    deliver(&mut cluster, 4, &late);
    cluster.run(200);
    assert_eq!(held(&cluster, 4, "x"), Some(value("late")));
    cluster.heal();
    cluster.run(3000);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("late")); 5]);
}

#[test]
fn what_comes_late_from_a_lost_one_does_not_bring_back_what_was_deleted() {
    let (mut cluster, late) = lost_with_a_change_under_way();
    let mut client = Client::of(&mut cluster, 1);
    client.delete(&mut cluster, "x");
    cluster.run(3000);
    for node in 0..3 {
        assert_eq!(cluster.node(node).state().cells().len(), 0, "node {node} has not forgotten it");
    }
    for to in [1, 2] {
        deliver(&mut cluster, to, &late);
    }
    cluster.run(3000);
    assert_eq!(all_hold(&cluster, "x"), [None, None, None]);
}

#[test]
fn nothing_is_forgotten_that_one_which_begins_again_may_lack() {
    for topology in TOPOLOGIES {
        let mut cluster = started(3, topology, Conflicts::Lww);
        let mut client = Client::of(&mut cluster, 2);
        client.write(&mut cluster, "x", "a");
        cluster.run(500);
        // Region 1 has the deletion, and loses it before region 2 hears of it.
        cluster.split(&[1]);
        client.delete(&mut cluster, "x");
        cluster.run(500);
        cluster.wipe(0);
        cluster.start(0);
        cluster.run(500);
        assert!(!cluster.is_whole(0), "{topology:?}: one of two others is not enough");
        let cell = cluster.node(2).state().cells().get("x");
        assert!(cell.is_some_and(|cell| cell.is_empty()), "{topology:?}: forgotten too early");
        cluster.heal();
        assert!(cluster.run_until(|cluster| cluster.is_whole(0)), "{topology:?}");
        cluster.run(3000);
        for node in 0..3 {
            let state = cluster.node(node).state();
            assert_eq!(state.cells().len(), 0, "{topology:?}, node {node}");
            assert_eq!(state.outbox().count(), 0, "{topology:?}, node {node}");
        }
    }
}

#[test]
fn what_the_lost_one_was_to_pass_on_arrives_all_the_same() {
    // In a ring, the third region tells the first, and that one the second.
    let mut cluster = started(3, Topology::Ring, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 2);
    cluster.split(&[1]);
    client.write(&mut cluster, "x", "a");
    cluster.run(1000);
    assert_eq!(all_hold(&cluster, "x"), [Some(value("a")), None, Some(value("a"))]);
    cluster.wipe(0);
    cluster.heal();
    cluster.start(0);
    cluster.run(3000);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("a")); 3]);
}

#[test]
fn what_a_leaf_of_a_star_got_from_one_that_was_lost_later_reaches_the_centre() {
    let mut cluster = started(3, Topology::Star, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 1);
    (cluster.cut[0][1], cluster.cut[1][0]) = (true, true);
    client.write(&mut cluster, "x", "a");
    cluster.replace_disk(2);
    assert_eq!(all_hold(&cluster, "x"), [None, Some(value("a")), Some(value("a"))]);
    cluster.wipe(1);
    cluster.heal();
    cluster.start(1);
    cluster.run(1000);
    Client::of(&mut cluster, 2).write(&mut cluster, "y", "b");
    cluster.run(3000);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("a")); 3]);
    assert_eq!(all_hold(&cluster, "y"), vec![Some(value("b")); 3]);
}

#[test]
fn with_five_regions_one_that_is_cut_off_keeps_nobody_waiting_and_sends_what_it_has_later() {
    for topology in TOPOLOGIES {
        let mut cluster = regions(5, topology);
        let mut client = Client::of(&mut cluster, 4);
        cluster.split(&[0, 4]);
        client.write(&mut cluster, "x", "a");
        cluster.run(1000);
        assert_eq!(held(&cluster, 0, "x"), Some(value("a")), "{topology:?}");
        cluster.heal();
        cluster.split(&[4]);
        cluster.replace_disk(0);
        Client::of(&mut cluster, 0).write(&mut cluster, "y", "b");
        assert_eq!(
            held(&cluster, 0, "x"),
            None,
            "{topology:?}: only the one that is cut off has it"
        );
        cluster.heal();
        cluster.run(4000);
        assert_eq!(all_hold(&cluster, "x"), vec![Some(value("a")); 5], "{topology:?}");
        assert_eq!(all_hold(&cluster, "y"), vec![Some(value("b")); 5], "{topology:?}");
    }
}

#[test]
fn a_disk_that_is_lost_while_the_region_comes_back_leaves_nobody_waiting() {
    for asked_ms in [1, 3, 5, 10, 30] {
        for topology in TOPOLOGIES {
            let mut cluster = started(3, topology, Conflicts::Lww);
            Client::of(&mut cluster, 1).write(&mut cluster, "x", "a");
            cluster.run(500);
            cluster.wipe(0);
            cluster.start(0);
            cluster.run(asked_ms);
            cluster.replace_disk(0);
            Client::of(&mut cluster, 0).delete(&mut cluster, "x");
            cluster.run(4000);
            for node in 0..3 {
                let state = cluster.node(node).state();
                assert_eq!(state.cells().len(), 0, "{topology:?}, {asked_ms} ms, node {node}");
                assert_eq!(state.outbox().count(), 0, "{topology:?}, {asked_ms} ms, node {node}");
            }
        }
    }
}

#[test]
fn regions_can_lose_their_disks_one_after_the_other_and_know_of_each_other() {
    let mut cluster = regions(5, Topology::AllToAll);
    let mut client = Client::of(&mut cluster, 4);
    // The last region hears of no loss, and has its share of what the others have by then.
    client.write(&mut cluster, "x", "a");
    cluster.run(500);
    cluster.split(&[4]);
    for lost in [0, 1, 2, 0, 3] {
        cluster.replace_disk(lost);
        cluster.run(100);
    }
    client.delete(&mut cluster, "x");
    Client::of(&mut cluster, 0).write(&mut cluster, "y", "b");
    cluster.heal();
    cluster.run(5000);
    for node in 0..5 {
        let state = cluster.node(node).state();
        let keys: Vec<&String> = state.cells().keys().collect();
        assert_eq!(keys, ["y"], "node {node}");
        assert_eq!(state.outbox().count(), 0, "node {node}");
        let known: Vec<Actor> = state.table().rows().map(|(actor, _)| actor).collect();
        for region in (0..4).map(Actor).filter(|region| region.0 != node as u128) {
            let living = known.iter().filter(|actor| region_of(**actor) == region);
            assert_eq!(living.count(), 1, "node {node} knows of several at {region}");
        }
    }
}

#[test]
fn a_session_of_the_lost_one_is_unknown_in_the_next() {
    let mut cluster = started(3, Topology::AllToAll, Conflicts::Lww);
    let mut client = Client::of(&mut cluster, 0);
    client.write(&mut cluster, "x", "a");
    cluster.run(500);
    cluster.replace_disk(0);
    for _ in 0..60 {
        Client::of(&mut cluster, 0);
    }
    let command = Command::Write { key: "x".into(), value: b"b".to_vec() };
    assert_eq!(client.ask(&mut cluster, command), Some(Reply::SessionUnknown));
}

#[test]
fn a_region_remembers_that_it_came_back_and_with_what() {
    for crash_after_ms in 0..40 {
        let mut cluster = started(3, Topology::AllToAll, Conflicts::Lww);
        Client::of(&mut cluster, 1).write(&mut cluster, "x", "a");
        cluster.run(500);
        cluster.wipe(0);
        cluster.start(0);
        cluster.run(crash_after_ms);
        cluster.crash(0);
        cluster.start(0);
        let leads = |cluster: &Cluster<MultiLeader>| cluster.role(0) == Some(Role::Leader);
        assert!(cluster.run_until(leads), "after {crash_after_ms} ms");
        Client::of(&mut cluster, 0).write(&mut cluster, "x", "b");
        cluster.crash(0);
        cluster.start(0);
        cluster.run(2000);
        assert_eq!(all_hold(&cluster, "x"), vec![Some(value("b")); 3], "{crash_after_ms} ms");
    }
}

#[test]
fn a_region_of_two_keeps_what_it_acknowledged_whichever_disk_is_lost() {
    for lost in [0, 3] {
        let mut cluster = started(6, Topology::AllToAll, Conflicts::Lww);
        cluster.split(&[0, 3]);
        Client::of(&mut cluster, 0).write(&mut cluster, "x", "a");
        cluster.wipe(lost);
        cluster.run(1000);
        cluster.start(lost);
        assert!(cluster.run_until(|cluster| cluster.is_whole(lost)), "{lost}");
        cluster.heal();
        cluster.run(2000);
        assert_eq!(all_hold(&cluster, "x"), vec![Some(value("a")); 6], "{lost}");
    }
}

/// Three regions of one node each, and a fourth node that may be let into the first.
fn with_a_spare() -> Cluster<MultiLeader> {
    but_the_last(4, 1, 50)
}

/// Three regions of so many nodes in all, the last of which may be let into the first.
fn but_the_last(nodes: u32, seed: u64, snapshot_entries: u64) -> Cluster<MultiLeader> {
    let last = nodes as usize - 1;
    let mut cluster =
        Cluster::of_regions(nodes, seed, snapshot_entries, Settings::DEFAULT).begun_by(last);
    cluster.start(last);
    cluster.run(1000);
    cluster
}

/// Writes in the first region, and waits until the others have it.
fn write_everywhere(cluster: &mut Cluster<MultiLeader>, key: &str) {
    Client::of(cluster, 0).write(cluster, key, "a");
    cluster.run(500);
}

#[test]
fn a_region_of_one_node_comes_back_where_another_one_might_have_been_let_in() {
    let mut cluster = with_a_spare();
    write_everywhere(&mut cluster, "x");
    cluster.replace_disk(0);
    assert_eq!(held(&cluster, 0, "x"), Some(value("a")));
    // It does so too when that one was let in, and went.
    assert_eq!(cluster.ask(0, 7, admit(1, 3)), DONE);
    assert_eq!(cluster.ask(0, 7, dismiss(2, 3)), DONE);
    write_everywhere(&mut cluster, "y");
    cluster.replace_disk(0);
    assert_eq!(held(&cluster, 0, "y"), Some(value("a")));
    Client::of(&mut cluster, 0).write(&mut cluster, "z", "a");
    cluster.run(500);
    assert_eq!(all_hold(&cluster, "z")[..3], vec![Some(value("a")); 3][..]);
}

#[test]
fn a_region_does_not_begin_again_while_one_may_be_left_that_has_everything() {
    let mut cluster = with_a_spare();
    assert_eq!(cluster.ask(0, 7, admit(1, 3)), DONE);
    cluster.run(500);
    // What only the region has.
    cluster.split(&[0, 3]);
    Client::of(&mut cluster, 0).write(&mut cluster, "x", "a");
    cluster.run(100);
    cluster.crash(3);
    cluster.wipe(0);
    cluster.heal();
    cluster.start(0);
    cluster.run(2000);
    assert!(!cluster.is_whole(0), "the other node of the region has not been asked");
    cluster.start(3);
    assert!(cluster.run_until(|cluster| cluster.is_whole(0)));
    cluster.run(500);
    assert_eq!(all_hold(&cluster, "x"), vec![Some(value("a")); 4]);
}

#[test]
fn a_node_that_was_let_go_never_speaks_for_its_region() {
    let mut cluster = with_a_spare();
    assert_eq!(cluster.ask(0, 7, admit(1, 3)), DONE);
    write_everywhere(&mut cluster, "x");
    cluster.split(&[3]);
    cluster.request(0, 7, dismiss(2, 3));
    cluster.run(1500);
    let answered = cluster.answers.iter().any(|one| (one.client.0, one.sequence) == (7, 2));
    assert!(!answered, "it does not know that it is gone");
    cluster.heal();
    let leads =
        |cluster: &Cluster<MultiLeader>| [0, 3].map(|n| cluster.role(n) == Some(Role::Leader));
    assert!(cluster.run_until(|cluster| leads(cluster) != [false, false]));
    let (leader, gone) = if leads(&cluster)[0] { (0, 3) } else { (3, 0) };
    assert_eq!(cluster.ask(leader, 7, dismiss(3, gone)), DONE);
    cluster.split(&[gone]);
    Client::of(&mut cluster, leader).write(&mut cluster, "x", "b");
    cluster.run(500);
    cluster.wipe(leader);
    cluster.heal();
    cluster.start(leader);
    assert!(
        cluster.run_until(|cluster| cluster.is_whole(leader)),
        "n{leader} is never whole again"
    );
    let regions = [leader, 1, 2].map(|node| held(&cluster, node, "x"));
    assert_eq!(regions, [Some(value("b")), Some(value("b")), Some(value("b"))]);
}

#[test]
fn a_node_that_was_never_let_in_does_not_begin_a_region_whose_nodes_lose_their_disks_in_turns() {
    for seed in 0..10 {
        let mut cluster = but_the_last(7, seed, 50);
        cluster.overheard = Some(Vec::new());
        for lost in [0, 3, 0, 3, 3, 0] {
            let key = format!("k{lost}");
            Client::of(&mut cluster, 3 - lost).write(&mut cluster, &key, "a");
            cluster.replace_disk(lost);
        }
        let overheard = cluster.overheard.take().unwrap();
        let asks = |(_, _, message): &&(_, _, Message)| matches!(message, Message::WhoVotes { .. });
        let begins = |(_, _, message): &(_, _, Message)| matches!(message, Message::Reborn { .. });
        assert!(overheard.iter().filter(asks).count() > 100, "seed {seed}: nobody asked");
        assert!(!overheard.iter().any(begins), "seed {seed}: the region is not gone");
    }
}

#[test]
fn a_node_that_was_let_go_and_is_let_in_again_after_its_region_was_lost_gets_all_of_it() {
    for seed in 0..20 {
        let mut cluster = but_the_last(4, seed, 20);
        // Whichever of the two begins a log anew, the other one has one of an earlier life of the region.
        let (mut stays, mut comes) = (0, 3);
        for round in 0..6 {
            cluster.replace_disk(stays);
            assert_eq!(cluster.ask(stays, 7, admit(10 * round + 1, comes)), DONE, "seed {seed}");
            cluster.request(stays, 7, dismiss(10 * round + 2, stays));
            let leads = |cluster: &Cluster<MultiLeader>| cluster.role(comes) == Some(Role::Leader);
            assert!(cluster.run_until(leads), "seed {seed}, round {round}: nobody is left");
            assert_eq!(cluster.ask(comes, 7, dismiss(10 * round + 3, stays)), DONE, "seed {seed}");
            let key = format!("k{round}");
            Client::of(&mut cluster, comes).write(&mut cluster, &key, "a");
            cluster.run(500);
            let regions = [comes, 1, 2].map(|node| held(&cluster, node, &key));
            assert_eq!(regions, [(); 3].map(|()| Some(value("a"))), "seed {seed}, round {round}");
            (stays, comes) = (comes, stays);
        }
    }
}

#[test]
fn one_that_was_let_go_and_has_not_heard_of_it_keeps_no_region_from_coming_back() {
    for seed in 0..10 {
        let mut cluster = but_the_last(7, seed, 50);
        let leads = |cluster: &Cluster<MultiLeader>, node| cluster.role(node) == Some(Role::Leader);
        assert!(cluster.run_until(|cluster| leads(cluster, 0) || leads(cluster, 3)));
        let (leader, other) = if leads(&cluster, 0) { (0, 3) } else { (3, 0) };
        assert_eq!(cluster.ask(leader, 7, admit(1, 6)), DONE);
        cluster.split(&[6]);
        assert_eq!(cluster.ask(leader, 7, dismiss(2, 6)), DONE);
        assert_eq!(cluster.ask(leader, 7, dismiss(3, other)), DONE);
        Client::of(&mut cluster, leader).write(&mut cluster, "x", "a");
        cluster.run(500);
        cluster.heal();
        cluster.replace_disk(leader);
        assert_eq!(held(&cluster, leader, "x"), Some(value("a")), "seed {seed}");
        Client::of(&mut cluster, leader).write(&mut cluster, "x", "b");
        cluster.run(500);
        assert_eq!(
            [1, 2].map(|node| held(&cluster, node, "x")),
            [(); 2].map(|()| Some(value("b")))
        );
    }
}

#[test]
fn who_votes_is_known_to_the_one_whose_log_no_longer_reaches_back_to_it() {
    let mut led = 0;
    for seed in 0..10 {
        let mut cluster = but_the_last(7, seed, 20);
        let leads = |cluster: &Cluster<MultiLeader>| cluster.role(0) == Some(Role::Leader);
        if !cluster.run_until(leads) {
            continue;
        }
        led += 1;
        // The one that goes has 0 alone in its log.
        assert_eq!(cluster.ask(0, 7, dismiss(1, 3)), DONE);
        assert_eq!(cluster.ask(0, 7, admit(2, 6)), DONE);
        cluster.run(500);
        for key in 0..60 {
            Client::of(&mut cluster, 0).write(&mut cluster, &key.to_string(), "a");
        }
        // What only the region has.
        cluster.split(&[0, 3, 6]);
        Client::of(&mut cluster, 0).write(&mut cluster, "x", "a");
        cluster.run(100);
        cluster.replace_disk(0);
        cluster.heal();
        assert!(cluster.run_until(|cluster| cluster.is_whole(0)), "seed {seed}");
        cluster.run(500);
        let regions = [0, 1, 2, 6].map(|node| held(&cluster, node, "x"));
        assert_eq!(regions, [(); 4].map(|()| Some(value("a"))), "seed {seed}: 6 had it");
    }
    assert!(led > 0, "node 0 never led");
}

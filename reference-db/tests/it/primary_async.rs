//! Asynchronous replication: what it loses, and that everyone agrees in the end.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeSet;

use stormglass_reference_db::env::{ClientId, NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::primary::lineage::Reach;
use stormglass_reference_db::protocol::primary::stream::Streamed;
use stormglass_reference_db::protocol::primary::{Acknowledge, Message, Primary};
use stormglass_reference_db::protocol::raft::log::{Entry, Position};
use stormglass_reference_db::protocol::{Input, Output, Protocol};
use stormglass_reference_db::wire::{Request, decode, encode};

use super::counting::{calm, meddle_or_wipe, weather};
use super::primary_cluster::{
    governed, holds, open, others, primary, read, request, started, write,
};
use super::raft_cluster::Cluster;

fn assert_converged(cluster: &Cluster<Primary>, what: &str) {
    for node in 1..cluster.nodes.len() {
        let (one, other) = (cluster.node(0).replica(), cluster.node(node).replica());
        assert_eq!(one.last(), other.last(), "{what}: logs end differently");
        assert_eq!(one.kv(), other.kv(), "{what}: states differ");
    }
}

#[test]
fn a_write_is_acknowledged_before_anyone_else_has_it() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    cluster.split(&[leader]);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let other = others(3, &[leader])[0];
    assert_eq!(cluster.node(other).replica().kv().values().get("x"), None);
}

#[test]
fn a_write_is_durable_on_the_primary_before_it_is_acknowledged() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    let mut out = Vec::new();
    let input = Input::Request { from: ClientId(7), wall: 0, request: write(session, 2, "x", "a") };
    let now = cluster.now;
    cluster.nodes[leader].up.as_mut().unwrap().step(now, input, &mut out);
    let persisted = out.iter().position(|o| matches!(o, Output::Persist(_))).unwrap();
    let replied = out.iter().position(|o| matches!(o, Output::Reply { .. })).unwrap();
    assert!(persisted < replied);
}

#[test]
fn followers_serve_replica_reads_of_what_has_reached_them() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    cluster.ask(leader, 0, write(session, 2, "x", "a"));
    cluster.run(20);
    let other = others(3, &[leader])[0];
    assert_eq!(cluster.ask(other, 1, read(1, "x", ReadLevel::Replica)), holds("a"));
    cluster.split(&[other]);
    cluster.ask(leader, 0, write(session, 3, "x", "b"));
    cluster.run(20);
    assert_eq!(cluster.ask(other, 1, read(2, "x", ReadLevel::Replica)), holds("a"));
}

#[test]
fn requests_at_a_follower_are_forwarded_to_the_primary() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    let other = others(3, &[leader])[0];
    assert_eq!(cluster.ask(other, 1, write(session, 2, "x", "a")), Some(Reply::Done));
    assert_eq!(cluster.ask(other, 1, read(3, "x", ReadLevel::Strong)), holds("a"));
}

#[test]
fn an_acknowledged_write_is_lost_when_its_primary_is() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    cluster.split(&[leader]);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "lost")), Some(Reply::Done));
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != leader)));
    let next = primary(&cluster).unwrap();
    assert_eq!(cluster.ask(next, 1, read(1, "x", ReadLevel::Strong)), Some(Reply::Value(None)));
    cluster.heal();
    cluster.run(500);
    assert_converged(&cluster, "after the old primary came back");
    assert_eq!(cluster.node(leader).replica().kv().values().get("x"), None);
}

/// Cuts the primary off after a write, and says whether another took office and a write before
/// the old one knew, so that both answered, differently.
fn two_primaries_answer(seed: u64) -> bool {
    let (mut cluster, old) = governed(Acknowledge::None, 5, seed, 100);
    let session = open(&mut cluster, old, 0);
    cluster.ask(old, 0, write(session, 2, "x", "old"));
    cluster.run(50);
    cluster.split(&[old]);
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    let new = primary(&cluster).unwrap();
    if !cluster.node(old).is_primary() {
        let reply = cluster.ask(old, 2, read(1, "x", ReadLevel::Strong));
        assert_eq!(reply, Some(Reply::NotLeader), "it has found out");
        return false;
    }
    assert_eq!(cluster.ask(new, 0, write(session, 3, "x", "new")), Some(Reply::Done));
    assert_eq!(cluster.ask(old, 2, read(1, "x", ReadLevel::Strong)), holds("old"));
    assert!(cluster.run_until(|c| !c.node(old).is_primary()), "it never finds out");
    true
}

#[test]
fn a_deposed_primary_answers_from_its_old_state_until_it_finds_out() {
    let stale = (0..200).filter(|seed| two_primaries_answer(*seed)).count();
    assert!((1..200).contains(&stale), "{stale} of 200");
}

#[test]
fn an_old_epochs_stream_is_refused() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    cluster.ask(leader, 0, write(session, 2, "x", "a"));
    cluster.split(&[leader]);
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != leader)));
    let next = primary(&cluster).unwrap();
    let follower = others(3, &[leader]).into_iter().find(|node| *node != next).unwrap();
    cluster.run(50);
    let (old, new) = (cluster.node(leader).replica().epoch(), cluster.node(next).replica().epoch());
    let last = cluster.node(follower).replica().last();
    let stale = Entry {
        at: Position { term: old, index: last.index + 1 },
        command: Some(std::sync::Arc::new(write(session, 3, "x", "stale"))),
        members: None,
    };
    let streamed = Streamed::Entries { epoch: old, prev: last, entries: vec![stale], committed: 0 };
    let from = cluster.nodes[leader].id;
    let mut out = Vec::new();
    let now = cluster.now;
    let node = cluster.nodes[follower].up.as_mut().unwrap();
    node.step(now, Input::Message { from, message: Message::Stream(streamed) }, &mut out);
    assert_eq!(node.replica().last(), last, "nothing is added");
    let told = |output: &Output<Primary>| {
        matches!(output, Output::Send { to, message: Message::Stream(Streamed::Reached { epoch, .. }) }
            if *to == from && *epoch == new)
    };
    assert!(out.iter().any(told), "the old primary is told the new epoch");
}

#[test]
fn a_primary_that_hears_of_a_newer_epoch_is_none_at_once() {
    let (mut cluster, leader, _) = started(Acknowledge::None, 3, 100);
    let epoch = cluster.node(leader).replica().epoch() + 1;
    let other = others(3, &[leader])[0];
    let message = Message::Stream(Streamed::Reached {
        incarnation: 0,
        epoch,
        last: Position::default(),
        agreed: Position::default(),
        committed: Position::default(),
    });
    let from = cluster.nodes[other].id;
    cluster.step(leader, Input::Message { from, message });
    assert!(!cluster.node(leader).is_primary());
}

#[test]
fn no_write_is_accepted_before_the_appointment_is_committed() {
    let mut cluster = Cluster::<Primary>::new(3, 1, 100);
    let elected = |cluster: &Cluster<Primary>| (0..3).find(|n| cluster.node(*n).is_elected());
    assert!(cluster.run_until(|cluster| elected(cluster).is_some()));
    let leader = elected(&cluster).unwrap();
    assert!(!cluster.node(leader).is_primary(), "it is elected, but not appointed yet");
    assert_eq!(cluster.role(leader), Some(Role::Candidate));
    let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
    assert_eq!(reply, Some(Reply::NotLeader));
}

#[test]
fn an_epoch_is_remembered_after_a_restart() {
    let mut cluster = Cluster::<Primary>::new(3, 1, 100);
    let stream = |epoch, entries| {
        let prev = Position::default();
        let message = Message::Stream(Streamed::Entries { epoch, prev, entries, committed: 0 });
        Input::Message { from: NodeId(1), message }
    };
    cluster.step(0, stream(5, vec![]));
    cluster.crash(0);
    cluster.start(0);
    let stale = Entry { at: Position { term: 4, index: 1 }, command: None, members: None };
    cluster.step(0, stream(4, vec![stale]));
    assert_eq!(cluster.node(0).replica().epoch(), 5);
    assert_eq!(cluster.node(0).replica().last(), Position::default());
}

#[test]
fn a_session_that_was_lost_is_not_taken_for_a_later_one() {
    let (mut cluster, old, _) = started(Acknowledge::None, 3, 100);
    cluster.split(&[old]);
    let lost: Vec<_> = (10..20).map(|client| open(&mut cluster, old, client)).collect();
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    let new = primary(&cluster).unwrap();
    for client in 30..50 {
        let session = open(&mut cluster, new, client);
        assert!(!lost.contains(&session), "session {session} is another client's");
    }
    cluster.heal();
    cluster.run(500);
    let reply = cluster.ask(new, 10, write(lost[0], 2, "x", "a"));
    assert_eq!(reply, Some(Reply::SessionUnknown));
}

#[test]
fn what_is_sent_and_kept_survives_its_encoding() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 5);
    for sequence in 2..20 {
        cluster.ask(leader, 0, write(session, sequence, "x", "a"));
    }
    let disk = &cluster.nodes[leader].disk;
    assert!(disk.snapshot.is_some() && !disk.records.is_empty());
    assert_eq!(decode(&encode(&disk.snapshot)), Ok(disk.snapshot.clone()));
    assert_eq!(decode(&encode(&disk.records)), Ok(disk.records.clone()));
    let log = cluster.node(leader).replica().log();
    let entries = log.entries(0, 10).cloned().collect();
    let message =
        Message::Stream(Streamed::Entries { epoch: 1, prev: log.base(), entries, committed: 2 });
    assert_eq!(decode(&encode(&message)), Ok(message));
}

#[test]
fn a_follower_behind_the_logs_start_gets_the_state() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 10);
    let other = others(3, &[leader])[0];
    cluster.crash(other);
    for sequence in 2..100 {
        cluster.ask(leader, 0, write(session, sequence, "x", &sequence.to_string()));
    }
    let end = cluster.node(leader).replica().log().base().index;
    assert!(end > 50, "the log is compacted");
    cluster.start(other);
    cluster.run(500);
    assert_converged(&cluster, "after the follower came back");
}

#[test]
fn a_retry_at_the_next_primary_is_applied_once() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    let cas = |sequence| {
        let command = Command::Cas { key: "x".into(), from: None, to: Some("a".into()) };
        request(session, sequence, command)
    };
    assert_eq!(cluster.ask(leader, 0, cas(2)), Some(Reply::Done));
    cluster.run(50);
    cluster.crash(leader);
    assert!(cluster.run_until(|c| primary(c).is_some()));
    let next = primary(&cluster).unwrap();
    assert_eq!(cluster.ask(next, 0, cas(2)), Some(Reply::Done));
}

/// A cluster in which a client has seen a write that only the old primary has; the old and the new
/// primary, and how far the client has seen.
fn with_a_loss() -> (Cluster<Primary>, usize, usize, u64) {
    let (mut cluster, old, session) = started(Acknowledge::None, 3, 100);
    cluster.split(&[old]);
    assert_eq!(cluster.ask(old, 0, write(session, 2, "x", "lost")), Some(Reply::Done));
    let seen = cluster.answers.last().unwrap().position;
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    let new = primary(&cluster).unwrap();
    (cluster, old, new, seen)
}

#[test]
fn who_has_seen_what_was_lost_is_told_so_and_served_no_more() {
    let (mut cluster, old, new, seen) = with_a_loss();
    let seen_read = |level| Request { seen, ..read(9, "x", level) };
    assert_eq!(cluster.ask(new, 1, seen_read(ReadLevel::Replica)), Some(Reply::Lost));
    assert_eq!(cluster.ask(new, 2, seen_read(ReadLevel::Strong)), Some(Reply::Lost));
    let change = Request { seen, ..write(1, 9, "y", "a") };
    assert_eq!(cluster.ask(new, 3, change), Some(Reply::Lost));
    assert_eq!(cluster.ask(old, 4, seen_read(ReadLevel::Replica)), holds("lost"), "it is here");
    cluster.heal();
    cluster.run(1_000);
    assert_eq!(cluster.ask(old, 5, seen_read(ReadLevel::Replica)), Some(Reply::Lost));
}

#[test]
fn a_replica_that_is_behind_waits_for_what_the_client_has_seen() {
    let (mut cluster, leader, session) = started(Acknowledge::None, 3, 100);
    let other = others(3, &[leader])[0];
    cluster.split(&[other]);
    assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
    let seen = cluster.answers.last().unwrap().position;
    let before = cluster.answers.len();
    cluster.request(other, 1, Request { seen, ..read(1, "x", ReadLevel::Replica) });
    cluster.run(20);
    assert_eq!(cluster.answers.len(), before, "it waits");
    cluster.heal();
    assert!(cluster.run_until(|c| c.answers.len() > before));
    assert_eq!(Some(cluster.answers[before].reply.clone()), holds("a"));
}

#[test]
fn a_state_contains_what_its_epochs_reach() {
    let at = |term, index| Position { term, index };
    let (mut cluster, old, new, _) = with_a_loss();
    cluster.run(100);
    let replica = cluster.node(new).replica();
    let began = replica.committed();
    let lost = cluster.node(old).replica().last();
    for (seen, reach) in [
        (at(0, 0), Reach::Has),
        (at(lost.term, 1), Reach::Has),
        (at(lost.term, lost.index - 1), Reach::Has),
        (lost, Reach::Lost),
        (began, Reach::Has),
        (at(began.term, began.index + 1), Reach::Behind),
        (at(began.term + 1, 1), Reach::Behind),
        (at(0, 7), Reach::Lost),
    ] {
        assert_eq!(replica.reach(seen), reach, "{seen:?}");
    }
}

/// Writers that never look back, under faults. Returns how many answers they got.
fn play(seed: u64, wipes: bool) -> (usize, usize) {
    let sizes = if wipes { [3, 5, 3, 4, 5] } else { [3, 5, 2, 4, 1] };
    let nodes = sizes[usize::try_from(seed % 5).unwrap()];
    let snapshot_entries = [8, 30, 1000][usize::try_from(seed % 3).unwrap()];
    let mut cluster = Cluster::<Primary>::new(nodes, seed, snapshot_entries);
    cluster.weather = weather(&mut cluster);
    let mut sessions = [0; 3];
    let mut looked = 0;
    for turn in 0..400_u64 {
        if turn % 10 == 9 {
            meddle_or_wipe(&mut cluster, wipes);
        }
        while let Some(answer) = cluster.answers.get(looked) {
            looked += 1;
            let session = &mut sessions[usize::try_from(answer.client.0).unwrap()];
            match answer.reply {
                Reply::Session(number) => *session = number,
                // It was opened at a primary whose last writes were lost.
                Reply::SessionUnknown => *session = 0,
                _ => {}
            }
        }
        for (client, session) in sessions.into_iter().enumerate() {
            let node = usize::try_from(cluster.draw(u64::from(nodes))).unwrap();
            let key = ["x", "y", "z"][usize::try_from(cluster.draw(3)).unwrap()];
            let asked = match session {
                0 => request(0, turn + 1, Command::OpenSession),
                session => write(session, turn + 1, key, &format!("{client}-{turn}")),
            };
            cluster.request(node, client as u64, asked);
        }
        let crash = cluster.draw(8) == 0;
        let outputs = if crash { usize::try_from(cluster.draw(5)).unwrap() } else { usize::MAX };
        let until = Time(cluster.now.0 + 5_000_000);
        cluster.advance(until, outputs);
        while cluster.advance(until, usize::MAX).is_some() {}
    }
    calm(&mut cluster);
    cluster.run(3_000);
    assert_converged(&cluster, &format!("seed {seed}"));
    let leaders = (0..cluster.nodes.len()).filter(|n| cluster.role(*n) == Some(Role::Leader));
    assert_eq!(leaders.count(), 1, "seed {seed}: one leader when all is quiet");
    let done = cluster.answers.iter().filter(|answer| answer.reply == Reply::Done).count();
    let epochs: BTreeSet<_> =
        cluster.nodes.iter().map(|n| n.up.as_ref().unwrap().replica().epoch()).collect();
    (done, usize::try_from(*epochs.last().unwrap()).unwrap())
}

#[test]
fn all_nodes_agree_after_any_faults() {
    let (mut done, mut epochs) = (0, 0);
    for seed in 0..500 {
        let (more, epoch) = play(seed, false);
        done += more;
        epochs += epoch;
    }
    assert!(done > 50_000, "only {done} writes: the test says little");
    assert!(epochs > 1_500, "only {epochs} epochs: the test says little");
}

#[test]
fn nor_do_they_differ_when_disks_are_lost_one_at_a_time() {
    let done: usize = (0..500).map(|seed| play(seed, true).0).sum();
    assert!(done > 5_000, "only {done} writes: the test says little");
}

#[test]
fn a_late_copy_of_a_change_that_was_lost_does_not_put_the_older_value_back() {
    let (mut cluster, old, session) = started(Acknowledge::None, 3, 100);
    let other = others(3, &[old])[0];
    let opened = open(&mut cluster, other, 1);
    let seen = cluster.answers.last().unwrap().position;
    let first = Request { seen, ..write(session, 2, "x", "older") };
    cluster.run(50);
    cluster.split(&[old]);
    assert_eq!(cluster.ask(old, 0, first.clone()), Some(Reply::Done), "and then it is lost");
    assert!(cluster.run_until(|c| primary(c).is_some_and(|node| node != old)));
    let new = primary(&cluster).unwrap();
    let early = Request { seen, ..write(opened, 2, "x", "newer") };
    assert_eq!(cluster.ask(new, 1, early), Some(Reply::EpochOver), "it has not heard of the epoch");
    let seen = cluster.answers.last().unwrap().position;
    let newer = Request { seen, ..write(opened, 3, "x", "newer") };
    assert_eq!(cluster.ask(new, 1, newer), Some(Reply::Done), "the answer has told it");
    assert_eq!(cluster.ask(new, 0, first), Some(Reply::EpochOver));
    assert_eq!(cluster.ask(new, 1, read(4, "x", ReadLevel::Strong)), holds("newer"));
}

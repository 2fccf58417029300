//! Nodes whose disks were lost, in every mode: what they must not say, and how they come back.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use stormglass_reference_db::env::{NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, Reply};
use stormglass_reference_db::protocol::leaderless::Leaderless;
use stormglass_reference_db::protocol::multi_leader::MultiLeader;
use stormglass_reference_db::protocol::primary::{Acknowledge, Primary};
use stormglass_reference_db::protocol::raft::Raft;
use stormglass_reference_db::protocol::{Input, Output, Protocol, Recovered};
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

/// Starts a node without its disk, and once more after its power was lost while it kept its first records,
/// with none of them, some or all.
fn assert_lost_whatever_was_kept<P: Protocol>() {
    let mut cluster = Cluster::<P>::new(3, 1, 1000);
    cluster.wipe(0);
    let start = |records: &[P::Record]| {
        let recovered = Recovered { snapshot: None, records: records.to_vec() };
        P::recover(cluster.options(0), recovered, ChaCha8Rng::seed_from_u64(1), Time(0))
    };
    let (mut node, mut out) = (start(&[]), Vec::new());
    node.step(Time(0), Input::Timer, &mut out);
    let persisted = out.into_iter().filter_map(|output| match output {
        Output::Persist(record) => Some(record),
        _ => None,
    });
    let records: Vec<P::Record> = persisted.collect();
    assert!(!records.is_empty());
    for kept in 0..=records.len() {
        let node = start(&records[..kept]);
        assert!(node.status().restoring, "with {kept} of {records:?} it takes itself for whole");
    }
}

#[test]
fn a_node_that_loses_its_disk_and_then_its_power_knows_that_it_lost_its_disk() {
    assert_lost_whatever_was_kept::<Raft>();
    assert_lost_whatever_was_kept::<Primary>();
    assert_lost_whatever_was_kept::<MultiLeader>();
    assert_lost_whatever_was_kept::<Leaderless>();
}

mod raft {
    use stormglass_reference_db::protocol::raft::wishes::FOUNDED;

    use super::*;

    const DONE: Option<Reply> = Some(Reply::Done);

    fn admit(sequence: u64, node: u32) -> Request {
        request(0, sequence, Command::Admit { node: NodeId(node) })
    }

    fn dismiss(sequence: u64, node: usize) -> Request {
        request(0, sequence, Command::Dismiss { node: NodeId(node as u32) })
    }

    /// A cluster of three in which much was written, and a fourth node that is none of it.
    fn with_a_spare(snapshot_entries: u64) -> (Cluster<Raft>, usize, u64) {
        let mut cluster = Cluster::<Raft>::with_spare(4, 1, snapshot_entries);
        let leader = cluster.elect();
        let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
        let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
        for sequence in 2..40 {
            cluster.ask(leader, 0, write(session, sequence, "x"));
        }
        cluster.start(3);
        (cluster, leader, session)
    }

    fn voters(cluster: &Cluster<Raft>, node: usize) -> Vec<u32> {
        cluster.node(node).core().members().voters().map(|node| node.0).collect()
    }

    #[test]
    fn a_node_that_is_let_in_gets_the_log_and_then_a_vote() {
        for snapshot_entries in [8, 1000] {
            let (mut cluster, leader, session) = with_a_spare(snapshot_entries);
            cluster.run(500);
            assert_eq!(cluster.status(3).unwrap().last, 0, "nobody has let it in");
            assert_eq!(cluster.ask(leader, 7, admit(1, 3)), Some(Reply::Done));
            assert!(cluster.run_until(|cluster| cluster.is_whole(3)));
            cluster.run(100);
            assert_eq!(voters(&cluster, leader), [0, 1, 2, 3]);
            assert_eq!(cluster.node(3).kv(), cluster.node(leader).kv());
            // Of four, three are a majority, the new one among them.
            cluster.crash(others(&cluster, leader)[0]);
            assert_eq!(cluster.ask(leader, 0, write(session, 40, "y")), Some(Reply::Done));
            assert_eq!(cluster.ask(leader, 7, admit(2, 3)), Some(Reply::Done), "it is in already");
            assert_eq!(cluster.ask(leader, 7, admit(3, 9)), Some(Reply::NoSuchNode));
            assert_eq!(cluster.ask(leader, 7, dismiss(4, 9)), Some(Reply::NoSuchNode));
        }
    }

    #[test]
    fn a_node_that_is_let_go_neither_counts_nor_disturbs() {
        let (mut cluster, leader, session) = started(3, 1, 1000);
        let [gone, kept] = others(&cluster, leader)[..] else { panic!("of three") };
        assert_eq!(cluster.ask(leader, 7, dismiss(1, gone)), Some(Reply::Done));
        let term = cluster.status(leader).unwrap().term;
        cluster.run(2_000);
        assert_eq!(cluster.leader(), Some(leader));
        assert_eq!(cluster.status(leader).unwrap().term, term);
        cluster.crash(kept);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), None, "one of two that count");
    }

    /// A cluster of three, a session, and its leader, the other one that is up, and one that is down and not heard
    /// any more.
    fn one_of_three_is_down() -> (Cluster<Raft>, u64, [usize; 3]) {
        let (mut cluster, leader, session) = started(3, 1, 1000);
        let [down, up] = others(&cluster, leader)[..] else { panic!("of three") };
        cluster.crash(down);
        cluster.run(2_000);
        (cluster, session, [leader, up, down])
    }

    #[test]
    fn nobody_is_let_go_whom_the_others_need() {
        let (mut cluster, session, [leader, up, down]) = one_of_three_is_down();
        assert_eq!(
            cluster.ask(leader, 7, dismiss(1, up)),
            None,
            "of two that are left, one is down"
        );
        assert_eq!(cluster.ask(leader, 7, dismiss(2, leader)), None, "here, too");
        assert_eq!(voters(&cluster, leader).len(), 3);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), DONE, "two of three go on");
        assert_eq!(cluster.ask(leader, 7, dismiss(3, down)), DONE, "nobody needs that one");
        assert_eq!(cluster.ask(leader, 0, write(session, 3, "y")), DONE);
    }

    #[test]
    fn whoever_is_needed_is_let_go_when_another_one_is_back() {
        let (mut cluster, session, [leader, up, down]) = one_of_three_is_down();
        cluster.request(leader, 7, dismiss(1, up));
        cluster.run(100);
        assert_eq!(voters(&cluster, leader).len(), 3);
        cluster.start(down);
        assert!(cluster.run_until(|cluster| voters(cluster, leader).len() == 2));
        cluster.crash(up);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), DONE, "two of two go on");
    }

    #[test]
    fn a_leader_that_is_let_go_leads_until_that_is_agreed_on() {
        let (mut cluster, old, session) = started(3, 1, 1000);
        assert_eq!(cluster.ask(old, 7, dismiss(1, old)), Some(Reply::Done));
        assert!(cluster.run_until(|c| c.leader().is_some_and(|leader| leader != old)));
        let leader = cluster.leader().unwrap();
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), Some(Reply::Done));
        assert!(!voters(&cluster, leader).contains(&(old as u32)));
    }

    #[test]
    fn a_leader_that_let_itself_go_is_elected_once_more_where_nobody_else_knows_of_it() {
        for seed in 0..20 {
            let (mut cluster, old, _) = started(4, seed, 1000);
            assert_others_go_on(&mut cluster, old);
        }
    }

    #[test]
    fn and_so_is_one_that_the_cluster_did_not_begin_with() {
        for seed in 0..20 {
            let mut cluster = Cluster::<Raft>::with_spare(4, seed, 1000);
            let leader = cluster.elect();
            cluster.start(3);
            assert_eq!(cluster.ask(leader, 7, admit(2, 3)), DONE);
            let transfer = Command::Transfer { to: NodeId(3) };
            assert_eq!(cluster.ask(leader, 7, request(0, 3, transfer)), DONE);
            cluster.run(100);
            assert_others_go_on(&mut cluster, 3);
        }
    }

    /// Of four, one of which is down, the leader lets itself go, and the three are restarted before another one
    /// has heard of it.
    fn assert_others_go_on(cluster: &mut Cluster<Raft>, old: usize) {
        let [one, two, down] = others(cluster, old)[..] else { panic!("of four") };
        cluster.crash(down);
        cluster.split(&[old]);
        cluster.request(old, 7, dismiss(1, old));
        cluster.run(20);
        assert_eq!(voters(cluster, old).len(), 3);
        assert_eq!(voters(cluster, one).len(), 4, "it has not heard of it");
        for node in [old, one, two] {
            cluster.crash(node);
        }
        cluster.heal();
        for node in [old, one, two] {
            cluster.start(node);
        }
        let goes_on = |c: &Cluster<Raft>| {
            c.leader().is_some_and(|leader| leader != old && voters(c, leader).len() == 3)
        };
        assert!(cluster.run_until(goes_on), "each waits for the others");
        let leader = cluster.leader().unwrap();
        let open = request(0, 9, Command::OpenSession);
        assert!(matches!(cluster.ask(leader, 0, open), Some(Reply::Session(_))));
    }

    #[test]
    fn of_two_one_is_left_though_the_other_was_lost_just_after_the_leader_was_let_go() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(2, seed, 1000);
            let other = 1 - leader;
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "y")), DONE);
            cluster.request(leader, 7, dismiss(1, leader));
            cluster.wipe(other);
            cluster.run(100);
            cluster.crash(leader);
            start_the_last_of_two(&mut cluster, leader, other);
        }
    }

    #[test]
    fn one_of_three_that_loses_its_disk_while_another_is_let_go_keeps_nobody_waiting() {
        for seed in 0..60 {
            let (mut cluster, leader, session) = started(3, seed, 1000);
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "y")), DONE);
            let [one, two] = others(&cluster, leader)[..] else { panic!("of three") };
            // The leader is let go, or another one; and the one that has its disk yet has heard of it, or has not.
            let (let_go, wiped) = [(leader, one), (one, two)][seed as usize % 2];
            let kept = 3 - let_go - wiped;
            if seed % 4 < 2 && kept != leader {
                cluster.cut[leader][kept] = true;
            }
            cluster.cut[leader][wiped] = true;
            cluster.request(leader, 7, dismiss(1, let_go));
            cluster.run(10);
            assert_eq!(voters(&cluster, leader).len(), 2, "seed {seed}: it is under way");
            cluster.wipe(wiped);
            if seed % 8 < 4 {
                for node in [let_go, kept] {
                    cluster.crash(node);
                    cluster.start(node);
                }
            }
            cluster.heal();
            cluster.start(wiped);
            assert!(
                cluster.run_until(|cluster| cluster.is_whole(wiped)),
                "seed {seed}: it is stuck"
            );
            let leader = cluster.elect();
            assert_eq!(cluster.ask(leader, 0, write(session, 3, "z")), DONE, "seed {seed}");
            for key in ["y", "z"] {
                assert!(cluster.node(leader).kv().values().contains_key(key), "seed {seed}: {key}");
            }
            let go = others(&cluster, leader)[0];
            assert_eq!(cluster.ask(leader, 7, dismiss(2, go)), DONE, "seed {seed}");
        }
    }

    #[test]
    fn of_two_a_leader_is_let_go_by_the_other_one() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(2, seed, 1000);
            let other = 1 - leader;
            let reply = cluster.ask(leader, 7, dismiss(1, leader));
            assert_eq!(reply, Some(Reply::NotLeader), "seed {seed}");
            assert!(cluster.run_until(|cluster| cluster.leader() == Some(other)), "seed {seed}");
            assert_eq!(cluster.ask(other, 7, dismiss(2, leader)), DONE, "seed {seed}");
            assert_eq!(voters(&cluster, other), [other as u32]);
            assert_eq!(cluster.ask(other, 0, write(session, 2, "x")), DONE);
        }
    }

    #[test]
    fn a_node_gets_no_vote_before_it_knows_that_it_was_let_in() {
        for seed in 0..40 {
            // A snapshot brings it most of the log, and that it was let in comes after that.
            let mut cluster = Cluster::<Raft>::with_spare(2, seed, 8);
            let leader = cluster.elect();
            let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
            let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
            for sequence in 2..40 {
                cluster.ask(leader, 0, write(session, sequence, "x"));
            }
            cluster.start(1);
            cluster.request(leader, 7, admit(1, 1));
            assert!(cluster.run_until(|cluster| voters(cluster, leader) == [0, 1]));
            for node in [0, 1] {
                cluster.crash(node);
                cluster.start(node);
            }
            // Where the vote was written down, neither leads without the other one.
            let leads = cluster.run_until(|cluster| cluster.leader().is_some());
            assert!(leads, "seed {seed}: nobody leads ever again");
        }
    }

    #[test]
    fn a_node_is_replaced_by_another_while_writes_go_on() {
        let (mut cluster, leader, session) = with_a_spare(8);
        let gone = others(&cluster, leader)[0];
        assert_eq!(cluster.ask(leader, 7, admit(1, 3)), Some(Reply::Done));
        for sequence in 40.. {
            assert_eq!(cluster.ask(leader, 0, write(session, sequence, "y")), Some(Reply::Done));
            if cluster.is_whole(3) {
                break;
            }
        }
        assert_eq!(cluster.ask(leader, 7, dismiss(2, gone)), Some(Reply::Done));
        cluster.crash(gone);
        cluster.crash(leader);
        assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "two of three are left");
        let kv = cluster.node(cluster.leader().unwrap()).kv();
        assert!(kv.values().contains_key("x") && kv.values().contains_key("y"));
    }

    #[test]
    fn a_change_waits_for_the_one_before() {
        let (mut cluster, leader, _) = with_a_spare(1000);
        let [first, second] = others(&cluster, leader)[..2] else { panic!("of four") };
        cluster.split(&[leader]);
        cluster.request(leader, 7, dismiss(1, first));
        cluster.request(leader, 7, dismiss(2, second));
        cluster.run(50);
        assert_eq!(voters(&cluster, leader).len(), 2, "the first one counts at once");
        cluster.heal();
        assert_eq!(cluster.ask(leader, 7, dismiss(3, second)), Some(Reply::Done));
        assert_eq!(voters(&cluster, leader), [leader as u32]);
    }

    fn is_answered(cluster: &Cluster<Raft>, sequence: u64) -> bool {
        cluster.answers.iter().any(|one| (one.client.0, one.sequence) == (7, sequence))
    }

    #[test]
    fn of_two_nobody_is_let_go_who_does_not_know_it() {
        for seed in 0..20 {
            let mut cluster = Cluster::<Raft>::with_spare(3, seed, 1000);
            let leader = cluster.elect();
            let other = 1 - leader;
            let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
            let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
            cluster.start(2);
            cluster.split(&[other]);
            cluster.request(leader, 7, dismiss(1, other));
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), None, "it counts alone");
            assert!(
                !is_answered(&cluster, 1),
                "seed {seed}: {other} does not know that it is gone"
            );
            cluster.heal();
            let leader = cluster.elect();
            let gone = 1 - leader;
            assert_eq!(cluster.ask(leader, 7, dismiss(2, gone)), DONE);
            assert!(!voters(&cluster, gone).contains(&(gone as u32)), "seed {seed}: it knows");
            // Others take its place, and it hears nothing of them.
            cluster.split(&[gone]);
            assert_eq!(cluster.ask(leader, 7, admit(3, 2)), DONE);
            assert_eq!(cluster.ask(leader, 0, write(session, 3, "y")), DONE);
            cluster.wipe(leader);
            cluster.crash(2);
            cluster.heal();
            cluster.start(leader);
            cluster.run(1000);
            assert_eq!(cluster.leader(), None, "seed {seed}: what {gone} has is old");
            cluster.start(2);
            assert!(cluster.run_until(|cluster| cluster.is_whole(leader)), "seed {seed}");
            assert!(cluster.node(leader).kv().values().contains_key("y"), "seed {seed}");
        }
    }

    #[test]
    fn whom_nobody_agreed_to_let_go_has_not_gone() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(3, seed, 1000);
            let [wiped, let_go] = others(&cluster, leader)[..] else { panic!("of three") };
            cluster.split(&[leader]);
            cluster.request(leader, 7, dismiss(1, let_go));
            cluster.run(10);
            assert_eq!(voters(&cluster, leader).len(), 2, "it stands in one log");
            cluster.crash(leader);
            cluster.heal();
            let next = cluster.elect();
            assert_eq!(cluster.ask(next, 0, write(session, 2, "y")), DONE);
            cluster.crash(let_go);
            cluster.wipe(wiped);
            for node in [leader, wiped] {
                cluster.start(node);
            }
            cluster.run(1000);
            assert_eq!(cluster.leader(), None, "seed {seed}: neither has what was acknowledged");
            cluster.start(let_go);
            assert!(cluster.run_until(|cluster| cluster.is_whole(wiped)), "seed {seed}");
            let next = cluster.elect();
            assert!(cluster.node(next).kv().values().contains_key("y"), "seed {seed}");
        }
    }

    /// Starts one that has its disk and one that has lost it, which gets all there is, and `y` is.
    fn start_the_last_of_two(cluster: &mut Cluster<Raft>, kept: usize, wiped: usize) {
        for node in [kept, wiped] {
            cluster.start(node);
        }
        assert!(cluster.run_until(|cluster| cluster.is_whole(wiped)), "{kept} does not lead");
        assert!(cluster.node(wiped).kv().values().contains_key("y"));
    }

    #[test]
    fn who_is_left_of_two_remembers_that_the_third_was_let_go() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(3, seed, 1000);
            let [other, let_go] = others(&cluster, leader)[..] else { panic!("of three") };
            let (kept, wiped) = if seed % 2 == 0 { (leader, other) } else { (other, leader) };
            assert_eq!(cluster.ask(leader, 7, dismiss(1, let_go)), DONE);
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "y")), DONE);
            cluster.run(100);
            cluster.crash(let_go);
            cluster.crash(kept);
            cluster.wipe(wiped);
            start_the_last_of_two(&mut cluster, kept, wiped);
        }
    }

    #[test]
    fn who_was_let_go_tells_the_last_of_two_that_it_was() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(3, seed, 1000);
            let [kept, wiped] = others(&cluster, leader)[..] else { panic!("of three") };
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "y")), DONE);
            cluster.request(leader, 7, dismiss(1, leader));
            assert!(cluster.run_until(|cluster| voters(cluster, kept).len() == 2));
            cluster.cut[leader][kept] = true;
            assert!(cluster.run_until(|cluster| cluster.leader() != Some(leader)));
            cluster.crash(kept);
            cluster.wipe(wiped);
            cluster.heal();
            start_the_last_of_two(&mut cluster, kept, wiped);
        }
    }

    #[test]
    fn who_loses_its_disk_while_it_is_let_go_of_two_holds_nobody_up() {
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(2, seed, 1000);
            let other = 1 - leader;
            cluster.cut[leader][other] = true;
            cluster.request(leader, 7, dismiss(1, other));
            cluster.run(10);
            assert_eq!(voters(&cluster, leader), [leader as u32], "it was heard just now");
            cluster.wipe(other);
            cluster.heal();
            cluster.start(other);
            assert!(cluster.run_until(|cluster| is_answered(cluster, 1)), "seed {seed}");
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), DONE);
        }
    }

    #[test]
    fn who_is_let_go_of_two_and_leads_first_needs_no_word_of_its_own() {
        let mut led = 0;
        for seed in 0..20 {
            let (mut cluster, leader, session) = started(2, seed, 1000);
            let goes = 1 - leader;
            cluster.cut[goes][leader] = true;
            cluster.request(leader, 7, dismiss(1, goes));
            assert!(cluster.run_until(|cluster| voters(cluster, goes) == [leader as u32]));
            for node in [leader, goes] {
                cluster.crash(node);
                cluster.start(node);
            }
            cluster.heal();
            led += u32::from(cluster.elect() == goes);
            let leads_alone = |cluster: &Cluster<Raft>| cluster.leader() == Some(leader);
            assert!(cluster.run_until(leads_alone), "seed {seed}: nothing is agreed on");
            cluster.run(100);
            assert_eq!(cluster.ask(leader, 7, dismiss(2, goes)), DONE, "seed {seed}");
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "x")), DONE, "seed {seed}");
        }
        assert!((1..20).contains(&led), "either of the two leads first in some: {led}");
    }

    #[test]
    fn a_node_that_is_let_in_is_reported_when_it_counts() {
        let (mut cluster, leader, _) = with_a_spare(8);
        cluster.cut[leader][3] = true;
        cluster.request(leader, 7, admit(1, 3));
        cluster.run(500);
        let answered = |cluster: &Cluster<Raft>| is_answered(cluster, 1);
        assert!(cluster.node(leader).core().members().get(NodeId(3)).is_some(), "it is let in");
        assert!(!answered(&cluster), "but has nothing yet");
        cluster.heal();
        assert!(cluster.run_until(answered));
        assert_eq!(voters(&cluster, leader), [0, 1, 2, 3]);
    }

    #[test]
    fn a_copy_of_a_wish_that_comes_late_changes_nothing() {
        let (mut cluster, leader, _) = with_a_spare(1000);
        let late = Request { seen: FOUNDED, ..dismiss(1, 3) };
        assert_eq!(cluster.ask(leader, 7, Request { seen: FOUNDED, ..admit(2, 3) }), DONE);
        assert_eq!(cluster.ask(leader, 7, late.clone()), Some(Reply::NotLeader));
        assert_eq!(voters(&cluster, leader), [0, 1, 2, 3]);
        let told = cluster.answers.last().unwrap().position;
        assert_eq!(cluster.ask(leader, 7, Request { seen: told, ..dismiss(3, 3) }), DONE);
        assert_eq!(voters(&cluster, leader), [0, 1, 2]);
        assert_eq!(cluster.ask(leader, 7, late), DONE, "what is so already, nobody is refused");
    }

    #[test]
    fn the_last_member_is_not_let_go() {
        let mut cluster = Cluster::<Raft>::new(1, 1, 1000);
        let leader = cluster.elect();
        cluster.run(100);
        assert_eq!(cluster.ask(leader, 7, dismiss(1, 0)), Some(Reply::Unsupported));
    }

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

mod primary {
    use stormglass_reference_db::kv::ReadLevel;

    use super::super::primary_cluster::{disk_holds, holds, primary, read, started, write};
    use super::*;

    const MODES: [Acknowledge; 3] = [Acknowledge::All, Acknowledge::One, Acknowledge::None];

    /// The partner that a primary has, or any follower where it has none.
    fn partner(cluster: &Cluster<Primary>, leader: usize) -> usize {
        let appointed = cluster.node(leader).appointed();
        let partner = appointed.and_then(|appointed| appointed.partner);
        partner.map_or_else(|| others(cluster, leader)[0], |node| node.0 as usize)
    }

    #[test]
    fn a_node_that_the_others_do_not_know_is_not_let_in() {
        for acknowledge in MODES {
            let (mut cluster, leader, _) = started(acknowledge, 3, 20);
            let admit = request(0, 1, Command::Admit { node: NodeId(9) });
            let reply = cluster.ask(leader, 7, admit);
            assert_eq!(reply, Some(Reply::NoSuchNode), "{acknowledge:?}");
        }
    }

    #[test]
    fn a_follower_without_its_disk_gets_the_state_and_what_follows_while_writes_go_on() {
        for acknowledge in MODES {
            let (mut cluster, leader, session) = started(acknowledge, 3, 20);
            for sequence in 2..60 {
                cluster.ask(leader, 0, write(session, sequence, "x", "a"));
            }
            let lost = partner(&cluster, leader);
            cluster.wipe(lost);
            cluster.start(lost);
            for sequence in 60.. {
                cluster.request(leader, 0, write(session, sequence, "y", "b"));
                cluster.run(5);
                if cluster.is_whole(lost) {
                    break;
                }
                assert!(sequence < 2_000, "{acknowledge:?}: it never catches up");
            }
            let log = |node: usize| cluster.node(node).replica().log();
            assert!(log(leader).base().index > 0, "{acknowledge:?}: the log alone would have done");
            assert!(log(lost).base().index > 0, "{acknowledge:?}: it got the state");
            cluster.run(200);
            let kv = |node: usize| cluster.node(node).replica().kv();
            assert_eq!(kv(lost), kv(leader), "{acknowledge:?}");
        }
    }

    #[test]
    fn a_node_without_its_disk_is_whole_when_it_has_all_that_was_acknowledged() {
        for seed in 0..40 {
            let acknowledge = MODES[seed % 2];
            // A log that takes many messages, where the control plane's takes one.
            let (mut cluster, leader, session) = started(acknowledge, 3, 10_000);
            for sequence in 2..1_500 {
                cluster.request(leader, 0, write(session, sequence, "x", "a"));
            }
            cluster.run(500);
            cluster.weather.delay_ms_max = 1 + seed as u64 / 4;
            let lost = partner(&cluster, leader);
            cluster.wipe(lost);
            cluster.start(lost);
            for sequence in 1_500.. {
                cluster.request(leader, 0, write(session, sequence, "x", "a"));
                let acknowledged = cluster.node(leader).replica().committed();
                if cluster.is_whole(lost) {
                    assert!(disk_holds(&cluster.nodes[lost].disk, acknowledged), "seed {seed}");
                    break;
                }
                cluster.run(1);
                assert!(sequence < 5_000, "seed {seed}: it never catches up");
            }
        }
    }

    #[test]
    fn a_primary_without_its_disk_does_not_lead_with_an_empty_log() {
        for acknowledge in [Acknowledge::All, Acknowledge::One] {
            let (mut cluster, old, session) = started(acknowledge, 3, 20);
            assert_eq!(cluster.ask(old, 0, write(session, 2, "x", "a")), Some(Reply::Done));
            cluster.replace_disk(old);
            let leader = primary(&cluster).unwrap();
            assert_ne!(leader, old, "{acknowledge:?}");
            assert_eq!(cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong)), holds("a"));
            let again = write(session, 3, "x", "b");
            assert_eq!(cluster.ask(leader, 0, again), Some(Reply::Done), "{acknowledge:?}");
        }
    }

    #[test]
    fn a_partner_without_its_disk_does_not_take_over() {
        let (mut cluster, leader, session) = started(Acknowledge::One, 3, 20);
        assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
        let lost = partner(&cluster, leader);
        cluster.wipe(lost);
        cluster.start(lost);
        cluster.crash(leader);
        cluster.run(2_000);
        assert_eq!(
            primary(&cluster),
            None,
            "only one disk has what was acknowledged, and it is down"
        );
        cluster.start(leader);
        assert!(cluster.run_until(|cluster| cluster.is_whole(lost) && primary(cluster).is_some()));
        let leader = primary(&cluster).unwrap();
        assert_eq!(cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong)), holds("a"));
    }

    #[test]
    fn every_disk_can_be_lost_one_after_the_other_and_again() {
        for acknowledge in [Acknowledge::All, Acknowledge::One] {
            let (mut cluster, leader, session) = started(acknowledge, 3, 20);
            assert_eq!(cluster.ask(leader, 0, write(session, 2, "x", "a")), Some(Reply::Done));
            for round in 0..6 {
                cluster.replace_disk(round % 3);
            }
            assert!(cluster.run_until(|cluster| primary(cluster).is_some()));
            cluster.run(500);
            let leader = primary(&cluster).unwrap();
            let reply = cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong));
            assert_eq!(reply, holds("a"), "{acknowledge:?}");
        }
    }
}

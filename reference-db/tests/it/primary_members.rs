//! Nodes that are let in and go in the modes with a primary, while clients write.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::{Command, ReadLevel, Reply};
use stormglass_reference_db::protocol::Input;
use stormglass_reference_db::protocol::primary::{Acknowledge, Message, Primary};
use stormglass_reference_db::wire::Request;

use super::counting::{OPERATOR, meddle, play_with};
use super::primary_cluster::{Copies, holds, others, primary, read, request, write};
use super::raft_cluster::Cluster;

const MODES: [Acknowledge; 3] = [Acknowledge::All, Acknowledge::One, Acknowledge::None];
pub(crate) const DONE: Option<Reply> = Some(Reply::Done);

pub(crate) fn admit(sequence: u64, node: usize) -> Request {
    request(0, sequence, Command::Admit { node: NodeId(node as u32) })
}

pub(crate) fn dismiss(sequence: u64, node: usize) -> Request {
    request(0, sequence, Command::Dismiss { node: NodeId(node as u32) })
}

/// Three nodes that hold what was written so far, with their primary and a session, and a fourth one that
/// is none of them.
fn sparing(acknowledge: Acknowledge, seed: u64) -> (Cluster<Primary>, usize, u64) {
    let mut cluster = Cluster::acknowledging(acknowledge, 4, seed, 8).sparing_the_last();
    let governed = |cluster: &Cluster<Primary>| primary(cluster).is_some();
    assert!(cluster.run_until(governed), "nobody becomes primary");
    cluster.run(200);
    let leader = primary(&cluster).unwrap();
    let reply = cluster.ask(leader, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    for sequence in 2..40 {
        assert_eq!(cluster.ask(leader, 0, write(session, sequence, "x", "a")), DONE);
    }
    cluster.start(3);
    (cluster, leader, session)
}

/// The partner that the primary has.
fn partner(cluster: &Cluster<Primary>, leader: usize) -> usize {
    let appointed = cluster.node(leader).appointed();
    appointed.unwrap().partner.unwrap().0 as usize
}

#[test]
fn a_node_that_is_let_in_gets_the_state_and_what_follows_while_writes_go_on() {
    for acknowledge in MODES {
        let (mut cluster, leader, session) = sparing(acknowledge, 1);
        cluster.request(leader, 7, admit(1, 3));
        for sequence in 40..200 {
            assert_eq!(cluster.ask(leader, 0, write(session, sequence, "y", "b")), DONE);
        }
        let counts = |cluster: &Cluster<Primary>| {
            cluster.answers.iter().any(|answer| answer.client.0 == 7 && answer.reply == Reply::Done)
        };
        assert!(cluster.run_until(counts), "{acknowledge:?}: it never counts");
        cluster.run(200);
        assert!(cluster.is_whole(3), "{acknowledge:?}");
        let kv = |node: usize| cluster.node(node).replica().kv();
        assert_eq!(kv(3), kv(leader), "{acknowledge:?}");
    }
}

#[test]
fn nobody_waits_for_a_node_that_is_let_in_before_it_has_everything() {
    let (mut cluster, leader, session) = sparing(Acknowledge::All, 1);
    for sequence in 40..140 {
        assert_eq!(cluster.ask(leader, 0, write(session, sequence, "x", "a")), DONE);
    }
    cluster.request(leader, 7, admit(1, 3));
    let follows = |cluster: &Cluster<Primary>| cluster.node(3).replica().epoch() > 0;
    assert!(cluster.run_until(follows), "it is asked how far it is");
    // It has said that it has nothing, and gets nothing.
    cluster.run(4);
    cluster.cut[leader][3] = true;
    for sequence in 140..160 {
        let asked = cluster.now;
        assert_eq!(cluster.ask(leader, 0, write(session, sequence, "y", "b")), DONE);
        assert!(cluster.now.since(asked).as_millis() < 50, "it waited for something");
    }
    assert!(cluster.answers.iter().all(|answer| answer.client.0 != 7), "it has not got everything");
    cluster.heal();
    assert_eq!(cluster.ask(leader, 7, admit(2, 3)), DONE);
    cluster.crash(3);
    let stalled = cluster.ask(leader, 0, write(session, 160, "y", "c"));
    assert_eq!(stalled, None, "from here on, nothing counts without it");
}

/// What nodes tell each other: from, to, and what.
type Said = Vec<(NodeId, NodeId, Message)>;

/// What control planes say within a while, to or from a node. It may come once more, however late.
fn overhear(cluster: &mut Cluster<Primary>, node: usize) -> Said {
    cluster.overheard = Some(Vec::new());
    cluster.run(50);
    let mut said = cluster.overheard.take().unwrap();
    said.retain(|(from, to, message)| {
        [*from, *to].contains(&NodeId(node as u32)) && matches!(message, Message::Control(_))
    });
    said
}

fn repeat(cluster: &mut Cluster<Primary>, said: &Said) {
    for (from, to, message) in said.iter().cloned() {
        cluster.step(to.0 as usize, Input::Message { from, message });
    }
}

/// Whether a write at the primary counts while nothing but the stream of changes between it and these
/// nodes arrives, besides what was said before: the control plane agrees on nothing.
fn counts_with(
    cluster: &mut Cluster<Primary>,
    leader: usize,
    some: &[usize],
    said: &Said,
    one: Request,
) -> bool {
    let sequence = one.sequence;
    cluster.split(&[leader]);
    cluster.request(leader, 0, one);
    let id = |node: usize| NodeId(node as u32);
    cluster.overheard = Some(Vec::new());
    for _ in 0..200 {
        cluster.run(1);
        for (from, to, message) in cluster.overheard.replace(Vec::new()).unwrap() {
            let between = |node: &usize| {
                [(id(leader), id(*node)), (id(*node), id(leader))].contains(&(from, to))
            };
            if matches!(message, Message::Stream(_)) && some.iter().any(between) {
                cluster.step(to.0 as usize, Input::Message { from, message });
            }
        }
        repeat(cluster, said);
    }
    cluster.overheard = None;
    assert!(cluster.node(leader).is_primary(), "the test says nothing");
    let mut answers = cluster.answers.iter().filter(|answer| answer.reply == Reply::Done);
    answers.any(|answer| (answer.client.0, answer.sequence) == (0, sequence))
}

#[test]
fn a_node_that_is_let_go_is_waited_for_until_that_is_agreed_on() {
    let (mut cluster, leader, session) = sparing(Acknowledge::All, 1);
    let [kept, gone] = others(3, &[leader])[..] else { panic!("of three") };
    let said = overhear(&mut cluster, leader);
    cluster.split(&[leader]);
    cluster.request(leader, 7, dismiss(1, gone));
    assert_eq!(cluster.node(leader).members().voters().count(), 2, "it stands in the log");
    let counts = counts_with(&mut cluster, leader, &[kept], &said, write(session, 40, "y", "b"));
    assert!(!counts, "{gone} could still be elected without it");
    let both = [kept, gone];
    let counts = counts_with(&mut cluster, leader, &both, &said, write(session, 41, "y", "c"));
    assert!(counts, "all three have it");
}

#[test]
fn a_node_that_may_have_a_vote_is_waited_for() {
    let (mut cluster, leader, session) = sparing(Acknowledge::All, 1);
    let founders = others(3, &[leader]);
    let said = overhear(&mut cluster, leader);
    cluster.cut[3][leader] = true;
    cluster.request(leader, 7, admit(1, 3));
    cluster.run(200);
    cluster.heal();
    let stands = |cluster: &Cluster<Primary>| {
        cluster.node(leader).members().voters().any(|voter| voter == NodeId(3))
    };
    assert!(cluster.run_until(stands), "its vote stands in the log");
    let counts = counts_with(&mut cluster, leader, &founders, &said, write(session, 40, "y", "b"));
    assert!(!counts, "nobody knows whether it is agreed on, and it could be elected without this");
}

#[test]
fn a_node_that_is_down_holds_up_no_changes_once_it_is_let_go() {
    let (mut cluster, leader, session) = sparing(Acknowledge::All, 1);
    let down = others(3, &[leader])[0];
    cluster.crash(down);
    cluster.request(leader, 0, write(session, 40, "y", "b"));
    cluster.run(1_000);
    let last = cluster.node(leader).replica().last();
    assert!(cluster.node(leader).replica().committed() < last, "one node lacks it");
    assert_eq!(cluster.ask(leader, 7, dismiss(1, down)), DONE);
    cluster.run(50);
    assert_eq!(cluster.node(leader).replica().committed(), last);
    assert_eq!(cluster.ask(leader, 0, write(session, 41, "y", "c")), DONE);
}

#[test]
fn a_primary_that_is_down_is_let_go_by_its_successor_and_changes_go_on() {
    for acknowledge in MODES {
        let (mut cluster, old, session) = sparing(acknowledge, 1);
        assert_eq!(cluster.ask(old, 7, admit(1, 3)), DONE);
        cluster.run(100);
        cluster.crash(old);
        assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "{acknowledge:?}");
        let leader = primary(&cluster).unwrap();
        assert_eq!(cluster.ask(leader, 7, dismiss(2, old)), DONE, "{acknowledge:?}");
        cluster.run(50);
        assert_eq!(cluster.ask(leader, 0, write(session, 40, "y", "b")), DONE, "{acknowledge:?}");
        assert_eq!(cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong)), holds("a"));
    }
}

#[test]
fn a_partner_is_replaced_before_it_is_let_go() {
    let (mut cluster, leader, session) = sparing(Acknowledge::One, 1);
    let gone = partner(&cluster, leader);
    assert_eq!(cluster.ask(leader, 7, dismiss(1, gone)), DONE);
    assert_ne!(partner(&cluster, leader), gone);
    assert_eq!(primary(&cluster), Some(leader), "the primary stays in office");
    assert_eq!(cluster.ask(leader, 0, write(session, 40, "y", "b")), DONE);
    let last = partner(&cluster, leader);
    let refused = cluster.ask(leader, 7, dismiss(2, last));
    assert_eq!(refused, Some(Reply::Unsupported), "it would be the only copy");
}

/// One node that holds what was written so far, and two that are let in.
fn grown_from_one(seed: u64) -> (Cluster<Primary>, u64) {
    let mut cluster = Cluster::acknowledging(Acknowledge::One, 3, seed, 8).begun_by(1);
    assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "nobody becomes primary");
    let reply = cluster.ask(0, 0, request(0, 1, Command::OpenSession));
    let Some(Reply::Session(session)) = reply else { panic!("no session, but {reply:?}") };
    assert_eq!(cluster.ask(0, 0, write(session, 2, "x", "a")), DONE, "alone, it is enough");
    for node in [1, 2] {
        cluster.start(node);
        assert_eq!(cluster.ask(0, 7, admit(node as u64, node)), DONE);
    }
    let has_one = |cluster: &Cluster<Primary>| {
        cluster.node(0).appointed().is_some_and(|appointed| appointed.partner.is_some())
    };
    assert!(cluster.run_until(has_one), "it has no partner");
    (cluster, session)
}

#[test]
fn a_primary_that_began_alone_takes_a_partner_that_can_take_its_place() {
    for seed in 0..20 {
        let (mut cluster, session) = grown_from_one(seed);
        let other = partner(&cluster, 0);
        cluster.cut[0][other] = true;
        cluster.request(0, 0, write(session, 3, "x", "b"));
        cluster.run(10);
        let told = |cluster: &Cluster<Primary>| {
            let mut answers = cluster.answers.iter();
            answers.any(|answer| (answer.client.0, answer.sequence) == (0, 3))
        };
        assert!(!told(&cluster), "seed {seed}: it is on one disk");
        cluster.heal();
        assert!(cluster.run_until(told), "seed {seed}: on two disks it counts");
        cluster.crash(0);
        assert!(cluster.run_until(|cluster| primary(cluster).is_some()), "seed {seed}");
        cluster.run(200);
        let leader = primary(&cluster).unwrap();
        assert_eq!(cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong)), holds("b"));
        assert_eq!(cluster.ask(leader, 0, write(session, 4, "x", "c")), DONE);
    }
}

#[test]
fn a_primary_that_began_alone_can_be_let_go() {
    let (mut cluster, session) = grown_from_one(1);
    cluster.request(0, 7, dismiss(3, 0));
    let moved = |cluster: &Cluster<Primary>| primary(cluster).is_some_and(|leader| leader != 0);
    assert!(cluster.run_until(moved), "nobody takes over");
    cluster.run(200);
    let leader = primary(&cluster).unwrap();
    assert_eq!(cluster.ask(leader, 7, dismiss(4, 0)), DONE);
    assert_eq!(cluster.ask(leader, 1, read(1, "x", ReadLevel::Strong)), holds("a"));
    assert_eq!(cluster.ask(leader, 0, write(session, 3, "x", "b")), DONE);
}

#[test]
fn a_primary_that_is_let_go_hands_over_all_that_it_has_acknowledged() {
    for acknowledge in MODES {
        for seed in 0..20 {
            let (mut cluster, old, session) = sparing(acknowledge, seed);
            let heir = (acknowledge == Acknowledge::One).then(|| partner(&cluster, old));
            // Its followers are behind.
            cluster.weather.delay_ms_max = 15;
            for sequence in 40..80 {
                cluster.request(old, 0, write(session, sequence, "z", &sequence.to_string()));
            }
            cluster.request(old, 7, dismiss(1, old));
            cluster.run(5);
            let acknowledged = cluster.answers.iter().filter(|answer| answer.reply == Reply::Done);
            let last = acknowledged.map(|answer| answer.sequence).max().unwrap();
            let moved = |c: &Cluster<Primary>| primary(c).is_some_and(|leader| leader != old);
            assert!(cluster.run_until(moved), "{acknowledge:?}, seed {seed}: nobody takes over");
            cluster.run(200);
            let leader = primary(&cluster).unwrap();
            assert!(heir.is_none_or(|heir| heir == leader), "only the partner has everything");
            assert_eq!(cluster.ask(leader, 7, dismiss(2, old)), DONE, "{acknowledge:?} {seed}");
            if last >= 40 {
                let reply = cluster.ask(leader, 1, read(1, "z", ReadLevel::Strong));
                let Some(Reply::Value(Some(held))) = reply else { panic!("{reply:?}") };
                let held: u64 = String::from_utf8(held).unwrap().parse().unwrap();
                assert!(held >= last, "{acknowledge:?}, seed {seed}: {held}, not {last}");
            }
        }
    }
}

#[test]
fn a_deposed_primary_that_was_let_go_answers_no_strong_read() {
    for acknowledge in [Acknowledge::All, Acknowledge::One] {
        for seed in 0..20 {
            let (mut cluster, old, session) = sparing(acknowledge, seed);
            let mut heard = overhear(&mut cluster, old);
            heard.retain(|(_, to, _)| to.0 as usize == old);
            cluster.split(&[old]);
            let mut wishes = 0;
            // What the others said before still comes in, so that it does not notice.
            for _ in 0..60 {
                cluster.run(10);
                repeat(&mut cluster, &heard);
                let successor =
                    others(3, &[old]).into_iter().find(|n| cluster.node(*n).is_primary());
                if let Some(successor) = successor
                    && cluster.node(successor).members().get(NodeId(old as u32)).is_some()
                {
                    wishes += 1;
                    cluster.request(successor, 7, dismiss(wishes, old));
                }
            }
            let leader =
                others(3, &[old]).into_iter().find(|n| cluster.node(*n).is_primary()).unwrap();
            assert!(
                cluster.node(old).is_primary(),
                "{acknowledge:?}, seed {seed}: so it takes itself"
            );
            cluster.request(leader, 0, write(session, 40, "x", "b"));
            cluster.run(20);
            let written = cluster.answers.iter().any(|a| (a.client.0, a.sequence) == (0, 40));
            assert!(written, "{acknowledge:?}, seed {seed}: without the one that was let go");
            let before = cluster.answers.len();
            cluster.request(old, 1, read(1, "x", ReadLevel::Strong));
            cluster.run(20);
            repeat(&mut cluster, &heard);
            cluster.run(2_000);
            let mut told = cluster.answers[before..].iter().map(|answer| &answer.reply);
            assert!(told.all(|reply| !matches!(reply, Reply::Value(_))), "{acknowledge:?}, {seed}");
        }
    }
}

#[test]
fn without_spare_nodes_nobody_is_let_go_where_everyone_is_waited_for() {
    let mut cluster = Cluster::<Primary>::acknowledging(Acknowledge::All, 3, 1, 20);
    assert!(cluster.run_until(|cluster| primary(cluster).is_some()));
    let leader = primary(&cluster).unwrap();
    let reply = cluster.ask(leader, 7, dismiss(1, others(3, &[leader])[0]));
    assert_eq!(reply, Some(Reply::Unsupported), "a primary answers reads without asking here");
}

/// Lets a node in or go, or a fault begin or end.
fn change_members(cluster: &mut Cluster<Primary>) -> bool {
    let node = usize::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap();
    let Some(leader) = primary(cluster).filter(|_| cluster.draw(2) == 0) else {
        meddle(cluster);
        return false;
    };
    let members = cluster.node(leader).members();
    let takes_part = members.get(NodeId(node as u32)).is_some();
    if !takes_part {
        cluster.request(leader, OPERATOR, admit(1, node));
    } else if members.voters().count() > 3 {
        cluster.request(leader, OPERATOR, dismiss(1, node));
    }
    false
}

fn nothing_is_lost_whoever_comes_and_goes(acknowledge: Acknowledge) {
    let (mut counted, mut reads, mut changed) = (0, 0, 0);
    for seed in 0..400 {
        let snapshot_entries = [8, 30, 100][usize::try_from(seed % 3).unwrap()];
        let mut cluster =
            Cluster::acknowledging(acknowledge, 5, seed, snapshot_entries).sparing_the_last();
        cluster.start(4);
        let (tally, _) = play_with(cluster, Copies::new(2), seed, change_members);
        counted += tally.counted;
        reads += tally.reads;
        changed += tally.changed;
    }
    assert!(changed > 1_000, "only {changed} changes: the test says little");
    assert!(counted > 2_500, "only {counted} counts: the test says little");
    assert!(reads > 2_000, "only {reads} reads: the test says little");
}

#[test]
fn nothing_is_lost_where_everyone_is_waited_for_whoever_comes_and_goes() {
    nothing_is_lost_whoever_comes_and_goes(Acknowledge::All);
}

#[test]
fn nothing_is_lost_where_a_partner_is_waited_for_whoever_comes_and_goes() {
    nothing_is_lost_whoever_comes_and_goes(Acknowledge::One);
}

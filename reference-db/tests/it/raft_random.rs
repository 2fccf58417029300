//! Raft under random faults: its five safety properties after every step, and clients that count.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::BTreeMap;

use stormglass_reference_db::env::{NodeId, Role, Time};
use stormglass_reference_db::kv::{Command, Kv};
use stormglass_reference_db::protocol::raft::Raft;
use stormglass_reference_db::protocol::raft::log::{Entry, Position};
use stormglass_reference_db::wire::Request;

use super::counting::{Tally, Watch, meddle, play, play_with_wipes, weather};
use super::raft_cluster::{Answer, Cluster, MS};

/// The five properties of Raft (figure 3), checked as the run goes.
#[derive(Default)]
struct Safety {
    leaders: BTreeMap<u64, usize>,
    entries: BTreeMap<Position, (Entry<Request>, Option<u64>)>,
    committed: BTreeMap<u64, Position>,
    seen: BTreeMap<usize, Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    term: u64,
    leads: bool,
    last: Position,
    committed: u64,
}

impl Watch<Raft> for Safety {
    fn check(&mut self, id: usize, cluster: &Cluster<Raft>) {
        let Some(node) = &cluster.nodes[id].up else {
            self.seen.remove(&id);
            if cluster.nodes.len() == 1 {
                // It has told nobody, and counts what is in its memory only: a crash takes it all
                // back. That no client was told is what the counts show.
                *self = Safety::default();
            }
            return;
        };
        let before = self.seen.get(&id).copied().unwrap_or_default();
        let (core, log) = (node.core(), node.core().log());
        let leads = core.role() == Role::Leader;
        let now = Seen { term: core.term(), leads, last: log.last(), committed: core.committed() };
        assert!(now.term >= before.term, "terms never decrease");
        if leads {
            let leader = *self.leaders.entry(now.term).or_insert(id);
            assert_eq!(leader, id, "election safety: one leader in term {}", now.term);
        }
        if leads && before.leads && now.term == before.term {
            let held = log.base() >= before.last || log.has(before.last);
            assert!(held, "leader append-only: {:?} is gone", before.last);
        }
        if now.last != before.last {
            self.check_log_matching(id, cluster);
        }
        self.check_committed(id, before.committed, cluster);
        if leads && !(before.leads && now.term == before.term) {
            for (index, at) in self.committed.range(log.base().index + 1..) {
                assert!(at.term > now.term || log.has(*at), "leader completeness: index {index}");
            }
        }
        self.seen.insert(id, now);
    }

    fn answered(&mut self, _: &Answer, _: &Cluster<Raft>) {}

    fn kv(node: &Raft) -> &Kv {
        node.kv()
    }
}

impl Safety {
    /// Equal positions hold equal entries, and stand behind equal terms; so logs that share a
    /// position share all before it.
    fn check_log_matching(&mut self, id: usize, cluster: &Cluster<Raft>) {
        let log = cluster.node(id).core().log();
        for entry in log.entries(log.base().index + 1, usize::MAX) {
            let before = log.term(entry.at.index - 1);
            let known = self.entries.entry(entry.at).or_insert_with(|| (entry.clone(), before));
            assert_eq!((&known.0, known.1), (entry, before), "log matching at {:?}", entry.at);
        }
    }

    fn check_committed(&mut self, id: usize, from: u64, cluster: &Cluster<Raft>) {
        let core = cluster.node(id).core();
        for index in from.max(core.log().base().index) + 1..=core.committed() {
            let term = core.log().term(index).expect("what is committed is in the log");
            let at = Position { term, index };
            let known = *self.committed.entry(index).or_insert(at);
            assert_eq!(known, at, "state machine safety at index {index}");
        }
    }
}

/// The sizes of the clusters and of their logs, by the seed.
fn run(seed: u64) -> Tally {
    let nodes = [3, 5, 5, 4, 1][usize::try_from(seed % 5).unwrap()];
    let snapshot_entries = [8, 30, 1000][usize::try_from(seed % 3).unwrap()];
    let cluster = Cluster::<Raft>::new(nodes, seed, snapshot_entries);
    play(cluster, Safety::default(), seed).0
}

#[test]
fn random_faults_break_none_of_the_five_properties() {
    let mut all = Tally::default();
    for seed in 0..1_000 {
        let tally = run(seed);
        all.counted += tally.counted;
        all.reads += tally.reads;
    }
    assert!(all.counted > 30_000, "only {} counts: the test says little", all.counted);
    assert!(all.reads > 20_000, "only {} reads: the test says little", all.reads);
}

#[test]
fn nor_do_disks_that_are_lost_one_at_a_time() {
    let mut all = Tally::default();
    for seed in 0..1_000 {
        let nodes = [3, 5, 4][usize::try_from(seed % 3).unwrap()];
        let snapshot_entries = [8, 30, 1000][usize::try_from(seed / 3 % 3).unwrap()];
        let cluster = Cluster::<Raft>::new(nodes, seed, snapshot_entries);
        let tally = play_with_wipes(cluster, Safety::default(), seed).0;
        all.counted += tally.counted;
        all.reads += tally.reads;
        all.wiped += tally.wiped;
    }
    assert!(all.wiped > 1_500, "only {} disks lost: the test says little", all.wiped);
    assert!(all.counted > 10_000, "only {} counts: the test says little", all.counted);
    assert!(all.reads > 10_000, "only {} reads: the test says little", all.reads);
}

/// Lets a node in or go, or a fault begin or end.
fn change_members(cluster: &mut Cluster<Raft>, sequence: u64) -> bool {
    let node = NodeId(u32::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap());
    let Some(leader) = cluster.leader().filter(|_| cluster.draw(2) == 0) else {
        meddle(cluster);
        return false;
    };
    let members = cluster.node(leader).core().members();
    let (takes_part, enough) = (members.get(node).is_some(), members.voters().count() > 3);
    let command = match takes_part {
        false => Command::Admit { node },
        true if enough => Command::Dismiss { node },
        // One alone agrees with itself before its disk has it; what that comes to is tested elsewhere.
        true => return false,
    };
    let before = cluster.node(leader).core().members().clone();
    cluster.request(leader, 0, Request { session: 0, sequence, seen: 0, command });
    cluster.nodes[leader].up.as_ref().is_some_and(|up| *up.core().members() != before)
}

#[test]
fn nor_do_changes_of_the_members() {
    let (mut changed, mut committed) = (0, 0);
    for seed in 0..320 {
        let mut cluster = Cluster::<Raft>::new(6, seed, [8, 30, 1000][seed as usize % 3]);
        cluster.weather = weather(&mut cluster);
        let mut safety = Safety::default();
        for turn in 1..600 {
            if turn % 10 == 0 {
                changed += u64::from(change_members(&mut cluster, turn));
            }
            let node = usize::try_from(cluster.draw(6)).unwrap();
            let open = Command::OpenSession;
            cluster.request(
                node,
                0,
                Request { session: 0, sequence: turn, seen: 0, command: open },
            );
            (0..6).for_each(|node| safety.check(node, &cluster));
            let until = Time(cluster.now.0 + 5 * MS);
            while let Some(node) = cluster.advance(until, usize::MAX) {
                safety.check(node, &cluster);
            }
        }
        committed += safety.committed.len();
    }
    assert!(changed > 3_000, "only {changed} changes: the test says little");
    assert!(committed > 30_000, "only {committed} entries: the test says little");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let numbers = |seed| {
        let tally = run(seed);
        (tally.told, tally.counted, tally.reads)
    };
    assert_eq!(numbers(7), numbers(7));
}

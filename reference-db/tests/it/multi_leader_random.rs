//! Several leaders under random faults: what regions show at any moment, and what is left in the end.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use std::collections::{BTreeMap, BTreeSet};

use stormglass_reference_db::env::Time;
use stormglass_reference_db::kv::{Command, Datum, ReadLevel, Reply, Update};
use stormglass_reference_db::merge::{Actor, Stamp, VersionVector};
use stormglass_reference_db::protocol::multi_leader::conflicts::Conflicts;
use stormglass_reference_db::protocol::multi_leader::topology::Topology;
use stormglass_reference_db::protocol::multi_leader::{MultiLeader, Settings};
use stormglass_reference_db::wire::Request;

use super::counting::{Meddler, calm, let_pass, weather};
use super::multi_leader::{TOPOLOGIES, sent};
use super::raft_cluster::{Answer, Cluster, MS};

const KEYS: [&str; 3] = ["x", "y", "z"];
const CLIENTS: usize = 5;

/// A client that stays with its node.
#[derive(Default)]
struct Client {
    node: usize,
    session: u64,
    sequence: u64,
    asked: Option<Asked>,
    /// Everything that it has seen or added.
    seen: BTreeSet<Vec<u8>>,
    /// What it read last, of a key that it is about to write.
    read: Option<(&'static str, BTreeSet<Vec<u8>>, VersionVector)>,
}

struct Asked {
    request: Request,
    key: &'static str,
    /// What it adds, if it does.
    adds: Option<Vec<u8>>,
    again_at: Time,
    given_up_at: Time,
}

/// Clients, faults, and what came of them.
struct Play {
    cluster: Cluster<MultiLeader>,
    conflicts: Conflicts,
    clients: Vec<Client>,
    answered: usize,
    /// What the client that added an element had seen or added before.
    before: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    acknowledged: BTreeMap<&'static str, BTreeSet<Vec<u8>>>,
    /// Elements that somebody began to remove.
    removed: BTreeSet<Vec<u8>>,
    /// What each node held when it was looked at last.
    applied: BTreeMap<usize, VersionVector>,
    /// What each node showed then.
    shown: BTreeMap<usize, BTreeSet<Vec<u8>>>,
    reads: u64,
    /// Whether disks are taken away, one at a time.
    wipes: bool,
    /// How many were, and whether something may have been lost with one: that of a region's only node.
    wiped: u64,
    forgets: bool,
}

impl Play {
    fn new(
        seed: u64,
        (nodes, wipes): (u32, bool),
        topology: Topology,
        conflicts: Conflicts,
    ) -> Play {
        let settings = Settings { topology, conflicts, ..Settings::DEFAULT };
        let mut cluster = Cluster::of_regions(nodes, seed, 30, settings);
        cluster.overheard = Some(Vec::new());
        cluster.run(600);
        cluster.weather = weather(&mut cluster);
        let client = |id| Client { node: id % nodes as usize, ..Client::default() };
        Play {
            cluster,
            conflicts,
            clients: (0..CLIENTS).map(client).collect(),
            answered: 0,
            before: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            removed: BTreeSet::new(),
            applied: BTreeMap::new(),
            shown: BTreeMap::new(),
            reads: 0,
            wipes,
            wiped: 0,
            forgets: wipes && nodes < 6,
        }
    }

    /// What a client asks for next, and what that adds.
    fn next_command(&mut self, id: usize) -> (Command, &'static str, Option<Vec<u8>>) {
        let (roll, key) = (self.cluster.draw(10), self.cluster.draw(KEYS.len() as u64));
        let key = KEYS[usize::try_from(key).unwrap()];
        let client = &mut self.clients[id];
        let element = format!("{id}/{}", client.sequence).into_bytes();
        let read = || Command::Read { key: key.into(), level: ReadLevel::Strong };
        if client.session == 0 {
            return (Command::OpenSession, key, None);
        }
        if let Some((key, mut elements, context)) = client.read.take() {
            elements.insert(element.clone());
            let value = Some(joined(&elements));
            return (
                Command::Replace { key: key.into(), value, context, shown: false },
                key,
                Some(element),
            );
        }
        let update = |update| Command::Update { key: key.into(), update };
        match (self.conflicts, roll) {
            (Conflicts::Siblings, _) | (_, 0..=3) => (read(), key, None),
            (Conflicts::Lww, 4..=8) => {
                (Command::Write { key: key.into(), value: element.clone() }, key, Some(element))
            }
            (Conflicts::Lww, _) => (Command::Delete { key: key.into() }, key, None),
            (Conflicts::Crdt, 4) if !client.seen.is_empty() => {
                let oldest = client.seen.first().unwrap().clone();
                self.removed.insert(oldest.clone());
                (update(Update::Remove(oldest)), key, None)
            }
            (Conflicts::Crdt, _) => (update(Update::Add(element.clone())), key, Some(element)),
        }
    }

    /// The client asks for something, or again.
    fn act(&mut self, id: usize, may_begin: bool) {
        let now = self.cluster.now;
        let client = &mut self.clients[id];
        if client.asked.as_ref().is_some_and(|asked| asked.given_up_at <= now) {
            client.asked = None;
        }
        if client.asked.is_none() && may_begin && self.cluster.draw(3) == 0 {
            let (command, key, adds) = self.next_command(id);
            let client = &mut self.clients[id];
            if let Some(element) = &adds {
                self.before.insert(element.clone(), client.seen.clone());
            }
            client.sequence += 1;
            let Client { session, sequence, .. } = *client;
            let request = Request { session, sequence, seen: 0, command };
            let given_up_at = Time(now.0 + 400 * MS);
            client.asked = Some(Asked { request, key, adds, again_at: now, given_up_at });
        }
        let client = &mut self.clients[id];
        let node = client.node;
        if let Some(asked) = client.asked.as_mut().filter(|asked| asked.again_at <= now) {
            asked.again_at = Time(now.0 + 60 * MS);
            let request = asked.request.clone();
            self.cluster.request(node, id as u64, request);
        }
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.cluster.answers.get(self.answered).cloned() {
            self.answered += 1;
            let Answer { client, sequence, reply, .. } = answer;
            let client = &mut self.clients[usize::try_from(client.0).unwrap()];
            let is_asked = |asked: &mut Asked| asked.request.sequence == sequence;
            let Some(asked) = client.asked.take_if(is_asked) else { continue };
            match reply {
                Reply::Session(session) => client.session = session,
                Reply::SessionUnknown if self.forgets => client.session = 0,
                Reply::NotLeader => {
                    let again_at = Time(self.cluster.now.0 + 5 * MS);
                    client.asked = Some(Asked { again_at, ..asked });
                }
                Reply::Done => {
                    if let Some(element) = asked.adds {
                        client.seen.insert(element.clone());
                        self.acknowledged.entry(asked.key).or_default().insert(element);
                    }
                }
                Reply::Siblings { values, context } => {
                    let elements = all_of(&values);
                    self.reads += 1;
                    if !self.forgets {
                        client.read(asked.key, &elements, &self.acknowledged, &BTreeSet::new());
                    }
                    client.read = Some((asked.key, elements, context));
                }
                Reply::Datum(Datum::Set(elements)) => {
                    self.reads += 1;
                    if !self.forgets {
                        client.read(asked.key, &elements, &self.acknowledged, &self.removed);
                    }
                }
                Reply::Value(held) => {
                    self.reads += 1;
                    client.seen.extend(held);
                }
                reply => panic!("this mode does not answer {reply:?}"),
            }
        }
    }

    /// What is true of every node at every moment.
    fn watch(&mut self) {
        for node in 0..self.cluster.nodes.len() {
            let Some(up) = &self.cluster.nodes[node].up else {
                self.applied.remove(&node);
                self.shown.remove(&node);
                continue;
            };
            let state = up.state();
            let before = self.applied.insert(node, state.applied().clone());
            let before = before.unwrap_or_default();
            assert!(state.applied().contains(&before), "what is applied stays applied");
            if before == *state.applied() {
                continue;
            }
            if self.conflicts != Conflicts::Lww && !self.forgets {
                let shown: BTreeSet<Vec<u8>> =
                    state.cells().values().flat_map(|cell| elements_of(&cell.read())).collect();
                let before = self.shown.remove(&node).unwrap_or_default();
                self.watch_causes(&before, &shown);
                self.shown.insert(node, shown);
            }
        }
    }

    /// What a node shows came after all that its client had seen. Of what it showed `before`, only what is gone since
    /// can be missing.
    fn watch_causes(&self, before: &BTreeSet<Vec<u8>>, shown: &BTreeSet<Vec<u8>>) {
        let is_removed = |element: &&Vec<u8>| self.removed.contains(*element);
        for element in shown.difference(before) {
            let mut missing = self.before[element].difference(shown).filter(|c| !is_removed(c));
            assert_eq!(missing.next(), None, "{element:?} came before what its client had seen");
        }
        for gone in before.difference(shown).filter(|element| !is_removed(element)) {
            let mut after = shown.iter().filter(|element| self.before[*element].contains(gone));
            assert_eq!(after.next(), None, "{gone:?} is gone, and what came after it is not");
        }
    }

    /// The latest write of each key that was ever passed on.
    fn latest(&self) -> BTreeMap<String, (Stamp, Reply)> {
        let mut latest: BTreeMap<String, (Stamp, Reply)> = BTreeMap::new();
        for (_, change) in (0..3).flat_map(|region| sent(&self.cluster, region)) {
            let Some(stamp) = change.cell.stamp() else { continue };
            if latest.get(&change.key).is_none_or(|(before, _)| *before < stamp) {
                latest.insert(change.key.clone(), (stamp, change.cell.read()));
            }
        }
        latest
    }

    fn check_the_end(&mut self, seed: u64) {
        calm(&mut self.cluster);
        for client in &mut self.clients {
            client.asked = None;
        }
        self.cluster.run(4000);
        self.take_answers();
        self.watch();
        let first = shown(&self.cluster, 0);
        for node in 0..self.cluster.nodes.len() {
            let state = self.cluster.node(node).state();
            assert_eq!(shown(&self.cluster, node), first, "seed {seed}: node {node} differs");
            assert_eq!(state.outbox().count(), 0, "seed {seed}: node {node} keeps something");
            let empty = state.cells().values().filter(|cell| cell.is_empty()).count();
            assert_eq!(empty, 0, "seed {seed}: node {node} remembers what everyone has removed");
        }
        if self.forgets {
            return;
        }
        let held = |key: &str| first.get(key).cloned();
        for (key, (_, reply)) in &self.latest() {
            let expected = Some(reply.clone()).filter(|reply| *reply != Reply::Value(None));
            assert_eq!(held(key), expected, "seed {seed}: {key} is not what was written last");
        }
        if self.conflicts != Conflicts::Lww {
            for (key, acknowledged) in &self.acknowledged {
                let held = held(key).map(|reply| elements_of(&reply)).unwrap_or_default();
                let mut lost = acknowledged.difference(&held);
                let lost = lost.find(|element| !self.removed.contains(*element));
                assert_eq!(lost, None, "seed {seed}: {key} has lost what was acknowledged");
            }
        }
        for region in 0..3 {
            let own =
                sent(&self.cluster, region).find(|(_, c)| c.dot.actor == Actor(region.into()));
            assert!(own.is_none(), "seed {seed}: region {region} heard of its own: {own:?}");
        }
    }

    /// How many reads, writes and losses of disks there were.
    fn run(mut self, seed: u64) -> (u64, u64, u64) {
        let faults_end = Time(self.cluster.now.0 + 2000 * MS);
        let mut meddler = Meddler::new(&self.cluster);
        while self.cluster.now < faults_end {
            self.wiped += u64::from(meddler.act(&mut self.cluster, self.wipes));
            (0..CLIENTS).for_each(|id| self.act(id, true));
            let_pass(&mut self.cluster, 2);
            self.take_answers();
            self.watch();
        }
        self.check_the_end(seed);
        let writes = self.acknowledged.values().map(|elements| elements.len() as u64).sum();
        (self.reads, writes, self.wiped)
    }
}

impl Client {
    /// A read must show what the client has seen of the key, and what it was told is in it.
    fn read(
        &mut self,
        key: &str,
        elements: &BTreeSet<Vec<u8>>,
        acknowledged: &BTreeMap<&'static str, BTreeSet<Vec<u8>>>,
        removed: &BTreeSet<Vec<u8>>,
    ) {
        let of_key = acknowledged.get(key).into_iter().flatten();
        let known: BTreeSet<&Vec<u8>> =
            of_key.filter(|element| self.seen.contains(*element)).collect();
        let missing = known.into_iter().find(|e| !elements.contains(*e) && !removed.contains(*e));
        assert_eq!(missing, None, "a client that stays has gone back");
        self.seen.extend(elements.iter().cloned());
    }
}

/// What a node shows of every key. How much it remembers of what led there may differ: a region that
/// has forgotten a deletion does not know of it any more when the key is written again.
fn shown(cluster: &Cluster<MultiLeader>, node: usize) -> BTreeMap<String, Reply> {
    let cells = cluster.node(node).state().cells().iter();
    let cells = cells.map(|(key, cell)| {
        let reply = match cell.read() {
            Reply::Siblings { values, .. } => {
                Reply::Datum(Datum::Set(values.into_iter().collect()))
            }
            reply => reply,
        };
        (key.clone(), reply)
    });
    cells.collect()
}

/// Elements in one register.
fn joined(elements: &BTreeSet<Vec<u8>>) -> Vec<u8> {
    elements.iter().map(Vec::as_slice).collect::<Vec<_>>().join(&b' ')
}

fn all_of(values: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    let parts = values.iter().flat_map(|value| value.split(|byte| *byte == b' '));
    parts.map(<[u8]>::to_vec).collect()
}

fn elements_of(reply: &Reply) -> BTreeSet<Vec<u8>> {
    match reply {
        Reply::Datum(Datum::Set(elements)) => all_of(&elements.iter().cloned().collect::<Vec<_>>()),
        Reply::Siblings { values, .. } => all_of(values),
        _ => BTreeSet::new(),
    }
}

fn random_runs(conflicts: Conflicts, wipes: bool) {
    let (mut reads, mut writes, mut wiped) = (0, 0, 0);
    for seed in 0..12 {
        let nodes = [3, 5, 6, 9][seed as usize % 4];
        let topology = TOPOLOGIES[seed as usize / 4 % 3];
        let play = Play::new(seed, (nodes, wipes), topology, conflicts);
        let (read, written, lost) = play.run(seed);
        reads += read;
        writes += written;
        wiped += lost;
    }
    assert!(reads > 500 && writes > 500, "{reads} reads and {writes} writes test too little");
    assert_eq!(wiped > 10, wipes, "{wiped} disks were lost");
}

#[test]
fn where_the_later_write_wins_all_end_with_the_last_one_and_forget_deletions_then() {
    random_runs(Conflicts::Lww, false);
}

#[test]
fn as_siblings_nothing_acknowledged_is_lost_and_causes_come_before_effects() {
    random_runs(Conflicts::Siblings, false);
}

#[test]
fn sets_lose_nothing_acknowledged_and_causes_come_before_effects() {
    random_runs(Conflicts::Crdt, false);
}

#[test]
fn whichever_disks_are_lost_all_end_with_the_same_and_regions_of_several_nodes_lose_nothing() {
    for conflicts in [Conflicts::Lww, Conflicts::Siblings, Conflicts::Crdt] {
        random_runs(conflicts, true);
    }
}

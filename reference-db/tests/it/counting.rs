//! Clients that count a shared number up, under random faults: for modes that promise that each
//! count is made once, and seen by every later read.

#![expect(clippy::unwrap_used, reason = "in a test, what is missing is the finding")]

use stormglass_reference_db::env::Time;
use stormglass_reference_db::kv::{Command, Datum, Kv, ReadLevel, Reply};
use stormglass_reference_db::protocol::Protocol;
use stormglass_reference_db::wire::Request;

use super::raft_cluster::{Answer, Cluster, FAIR, MS, Weather};

/// What is to hold after every step of a cluster.
pub(crate) trait Watch<P: Protocol> {
    /// A node has taken a step, or may have been touched.
    fn check(&mut self, node: usize, cluster: &Cluster<P>);

    /// A client was answered.
    fn answered(&mut self, answer: &Answer, cluster: &Cluster<P>);

    /// The state of a node.
    fn kv(node: &P) -> &Kv;

    /// Those that take part, and agree in the end.
    fn members(cluster: &Cluster<P>) -> Vec<usize> {
        (0..cluster.nodes.len()).collect()
    }
}

/// A client that counts a shared number up by compare-and-set, and reads it in between.
#[derive(Default)]
struct Counter {
    session: u64,
    sequence: u64,
    asked: Option<Asked>,
    /// What it knows the number to be.
    value: u64,
}

struct Asked {
    request: Request,
    again_at: Time,
    /// The highest number that anyone had been told when the request was made first.
    floor: u64,
}

/// What came of a run.
#[derive(Default)]
pub(crate) struct Tally {
    /// The highest number that anyone was told.
    pub(crate) told: u64,
    /// Counts that were acknowledged.
    pub(crate) counted: u64,
    /// Reads that were answered.
    pub(crate) reads: u64,
    /// Disks that were taken away.
    pub(crate) wiped: u64,
    /// Members that were let in or go, as far as their operator was told.
    pub(crate) changed: u64,
}

fn number(value: u64) -> Option<Vec<u8>> {
    (value > 0).then(|| value.to_string().into_bytes())
}

fn parse(value: Option<&Vec<u8>>) -> u64 {
    value.map_or(0, |v| String::from_utf8(v.clone()).unwrap().parse().unwrap())
}

impl Counter {
    fn next_request(&mut self, reads: bool) -> Request {
        self.sequence += 1;
        let key = "n".to_owned();
        let command = if self.session == 0 {
            Command::OpenSession
        } else if reads {
            Command::Read { key, level: ReadLevel::Strong }
        } else {
            Command::Cas { key, from: number(self.value), to: number(self.value + 1) }
        };
        Request { session: self.session, sequence: self.sequence, seen: 0, command }
    }

    fn act<P: Protocol>(
        &mut self,
        id: u64,
        cluster: &mut Cluster<P>,
        tally: &Tally,
        may_begin: bool,
    ) {
        if self.asked.is_none() && may_begin {
            let reads = cluster.draw(3) == 0;
            let request = self.next_request(reads);
            self.asked = Some(Asked { request, again_at: cluster.now, floor: tally.told });
        }
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.again_at <= cluster.now) else {
            return;
        };
        asked.again_at = Time(cluster.now.0 + 60 * MS);
        let request = asked.request.clone();
        let node = usize::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap();
        cluster.request(node, id, request);
    }

    fn answered(&mut self, sequence: u64, reply: &Reply, now: Time, tally: &mut Tally) {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.request.sequence == sequence)
        else {
            return;
        };
        match reply {
            Reply::NotLeader => {
                asked.again_at = Time(now.0 + 5 * MS);
                return;
            }
            Reply::Session(session) => self.session = *session,
            Reply::Done => {
                self.value += 1;
                tally.counted += 1;
            }
            Reply::Mismatch(held) => self.value = parse(held.as_ref()),
            Reply::Value(held) => {
                let value = parse(held.as_ref());
                assert!(value >= asked.floor, "read {value}, but {} was known", asked.floor);
                self.value = value;
                tally.reads += 1;
            }
            Reply::SessionUnknown => panic!("a session was forgotten"),
            Reply::Datum(_)
            | Reply::Siblings { .. }
            | Reply::Txn(_)
            | Reply::WrongKind
            | Reply::TooLittle
            | Reply::TooMuch
            | Reply::Absent
            | Reply::EpochOver
            | Reply::TooLong
            | Reply::NoSuchNode => panic!("nobody asked for this"),
            Reply::NodeSession(_) | Reply::Unsupported | Reply::Lost => {
                panic!("this mode does not say so")
            }
        }
        tally.told = tally.told.max(self.value);
        self.asked = None;
    }
}

/// One fault, or the end of one.
pub(crate) fn meddle<P: Protocol>(cluster: &mut Cluster<P>) {
    let count = cluster.nodes.len() as u64;
    let node = usize::try_from(cluster.draw(count)).unwrap();
    let other = usize::try_from(cluster.draw(count)).unwrap();
    match cluster.draw(9) {
        0 => cluster.split(&[node]),
        1 => cluster.split(&[node, other]),
        2 => cluster.cut[node][other] = node != other,
        3 => cluster.cut[node].iter_mut().for_each(|cut| *cut = true),
        4 => (0..cluster.cut.len()).for_each(|from| cluster.cut[from][node] = true),
        5 | 6 if cluster.nodes[node].up.is_some() => cluster.crash(node),
        5..=7 => {
            (0..cluster.nodes.len()).for_each(|node| {
                if cluster.nodes[node].up.is_none() {
                    cluster.start(node);
                }
            });
        }
        _ => cluster.heal(),
    }
}

/// Who meddles with a cluster now and then.
pub(crate) struct Meddler {
    next: Time,
}

impl Meddler {
    /// One who begins at once.
    pub(crate) fn new<P: Protocol>(cluster: &Cluster<P>) -> Meddler {
        Meddler { next: cluster.now }
    }

    /// Meddles where it is time to, by taking a disk away now and then where it `wipes`; whether it did.
    pub(crate) fn act<P: Protocol>(&mut self, cluster: &mut Cluster<P>, wipes: bool) -> bool {
        if self.next > cluster.now {
            return false;
        }
        let wiped = meddle_or_wipe(cluster, wipes);
        self.next = Time(cluster.now.0 + cluster.draw(300) * MS);
        wiped
    }
}

/// Lets so many milliseconds pass, in which a node may lose power after the first thing that it does.
pub(crate) fn let_pass<P: Protocol>(cluster: &mut Cluster<P>, ms: u64) {
    let outputs = if cluster.draw(400) == 0 { 1 } else { usize::MAX };
    let until = Time(cluster.now.0 + ms * MS);
    while cluster.advance(until, outputs).is_some() {}
}

/// Asks a node to have leadership handed over to another one.
fn transfer<P: Protocol>(cluster: &mut Cluster<P>) {
    let count = cluster.nodes.len() as u64;
    let asked = usize::try_from(cluster.draw(count)).unwrap();
    let to = usize::try_from(cluster.draw(count)).unwrap();
    let to = cluster.nodes[to].id;
    let command = Command::Transfer { to };
    cluster.request(asked, OPERATOR, Request { session: 0, sequence: 1, seen: 0, command });
}

/// The client that asks for transfers, and for members to come and go.
pub(crate) const OPERATOR: u64 = 1_000;

/// Takes a node's disk away, where every disk that was taken before is whole again; whether it did.
fn wipe_one<P: Protocol>(cluster: &mut Cluster<P>) -> bool {
    let node = usize::try_from(cluster.draw(cluster.nodes.len() as u64)).unwrap();
    let may = cluster.may_wipe();
    if may {
        cluster.wipe(node);
    }
    may
}

/// Has a fault begin or end, or takes a disk away now and then where it `wipes`; whether it did that.
pub(crate) fn meddle_or_wipe<P: Protocol>(cluster: &mut Cluster<P>, wipes: bool) -> bool {
    let wiped = wipes && cluster.draw(3) == 0 && wipe_one(cluster);
    if !wiped {
        meddle(cluster);
    }
    wiped
}

/// How bad the network of a seed is.
pub(crate) fn weather<P: Protocol>(cluster: &mut Cluster<P>) -> Weather {
    Weather {
        lost_permille: [0, 20, 150][usize::try_from(cluster.draw(3)).unwrap()],
        doubled_permille: [0, 50, 200][usize::try_from(cluster.draw(3)).unwrap()],
        delay_ms_max: [1, 4, 15][usize::try_from(cluster.draw(3)).unwrap()],
        late_permille: [0, 0, 20][usize::try_from(cluster.draw(3)).unwrap()],
    }
}

/// Ends all faults.
pub(crate) fn calm<P: Protocol>(cluster: &mut Cluster<P>) {
    cluster.heal();
    cluster.weather = FAIR;
    for node in 0..cluster.nodes.len() {
        if cluster.nodes[node].up.is_none() {
            cluster.start(node);
        }
    }
}

struct Play<P: Protocol, W> {
    cluster: Cluster<P>,
    watch: W,
    counters: Vec<Counter>,
    tally: Tally,
    answered: usize,
}

impl<P: Protocol, W: Watch<P>> Play<P, W> {
    fn advance(&mut self, until: Time, outputs: usize) -> bool {
        let stepped = self.cluster.advance(until, outputs);
        if let Some(node) = stepped {
            self.watch.check(node, &self.cluster);
        }
        while let Some(answer) = self.cluster.answers.get(self.answered).cloned() {
            self.answered += 1;
            self.watch.answered(&answer, &self.cluster);
            // An operator is no counter.
            let of_operator = answer.client.0 == OPERATOR && answer.reply == Reply::Done;
            self.tally.changed += u64::from(of_operator);
            let client = usize::try_from(answer.client.0).unwrap();
            let Some(counter) = self.counters.get_mut(client) else { continue };
            counter.answered(answer.sequence, &answer.reply, self.cluster.now, &mut self.tally);
        }
        stepped.is_some()
    }

    fn act(&mut self, may_begin: bool) {
        for (id, counter) in self.counters.iter_mut().enumerate() {
            counter.act(id as u64, &mut self.cluster, &self.tally, may_begin);
        }
        for node in 0..self.cluster.nodes.len() {
            self.watch.check(node, &self.cluster);
        }
    }

    fn slice(&mut self, duration_ms: u64, may_begin: bool, crashes: bool) {
        self.act(may_begin);
        let until = Time(self.cluster.now.0 + duration_ms * MS);
        loop {
            let crash = crashes && self.cluster.draw(400) == 0;
            let outputs =
                if crash { usize::try_from(self.cluster.draw(4)).unwrap() } else { usize::MAX };
            if !self.advance(until, outputs) {
                break;
            }
        }
    }
}

/// Two seconds of faults, then quiet until all clients are answered and all nodes agree.
pub(crate) fn play<P: Protocol, W: Watch<P>>(
    cluster: Cluster<P>,
    watch: W,
    seed: u64,
) -> (Tally, W) {
    play_with(cluster, watch, seed, |cluster| meddle_or_wipe(cluster, false))
}

/// The same, and nodes lose their disks, one at a time.
pub(crate) fn play_with_wipes<P: Protocol, W: Watch<P>>(
    cluster: Cluster<P>,
    watch: W,
    seed: u64,
) -> (Tally, W) {
    play_with(cluster, watch, seed, |cluster| meddle_or_wipe(cluster, true))
}

/// Two seconds of faults, then quiet until all clients are answered and all members agree. `fault` says
/// whether it took a disk away.
pub(crate) fn play_with<P: Protocol, W: Watch<P>>(
    mut cluster: Cluster<P>,
    watch: W,
    seed: u64,
    fault: impl Fn(&mut Cluster<P>) -> bool,
) -> (Tally, W) {
    cluster.weather = weather(&mut cluster);
    let crashes = cluster.draw(2) == 0;
    let counters = (0..4).map(|_| Counter::default()).collect();
    let mut play = Play { cluster, watch, counters, tally: Tally::default(), answered: 0 };
    for turn in 0..400 {
        if turn % 10 == 9 {
            play.tally.wiped += u64::from(fault(&mut play.cluster));
        }
        if turn % 20 == 14 && play.cluster.transfers {
            transfer(&mut play.cluster);
        }
        play.slice(5, true, crashes);
    }
    calm(&mut play.cluster);
    for _ in 0..600 {
        play.slice(5, false, false);
    }
    let waiting = play.counters.iter().filter(|counter| counter.asked.is_some()).count();
    assert_eq!(waiting, 0, "seed {seed}: requests without an answer after a quiet three seconds");
    let members = W::members(&play.cluster);
    let first = W::kv(play.cluster.node(members[0]));
    for node in members {
        assert_eq!(W::kv(play.cluster.node(node)), first, "seed {seed}: states differ");
    }
    let counted = parse(first.values().get("n").and_then(Datum::register));
    assert_eq!(counted, play.tally.counted, "seed {seed}: every count was made exactly once");
    (play.tally, play.watch)
}

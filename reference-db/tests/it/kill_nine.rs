//! Real processes on real sockets and files, killed without warning while clients write.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};

use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::rc::Rc;
use std::time::Duration;

use stormglass_reference_db::client::{Answer, Client, Policy, ReplicaReads};
use stormglass_reference_db::env::{ClientEnv, NodeId};
use stormglass_reference_db::kv::{Command, Datum, ReadLevel, Reply, Update};
use stormglass_reference_db::mode::MODES;
use stormglass_reference_db::real::RealClient;
use stormglass_reference_db::wire::{self, Frame, REQUEST_LEN_MAX, Request};
use tempfile::TempDir;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use crate::ports::free_address;

const NODES: usize = 3;
/// How often a leader is killed, and a follower.
const ROUNDS: usize = 3;
/// How many writes are acknowledged between two faults.
const WRITES_BETWEEN: usize = 25;
/// The key of the set that is added to.
const SET: &str = "set";
/// How long any condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn no_acknowledged_write_is_lost_when_processes_are_killed() {
    in_mode("raft");
}

#[test]
fn nor_where_all_followers_have_it() {
    in_mode("primary-sync");
}

#[test]
fn nor_where_one_follower_has_it() {
    in_mode("primary-semi-sync");
}

#[test]
fn nor_where_the_later_of_two_changes_wins() {
    on_one_thread(kill_in_turn_and_check("leaderless"));
}

#[test]
fn nor_where_registers_are_linearizable_without_a_leader() {
    on_one_thread(kill_in_turn_and_check("leaderless-abd"));
}

#[test]
fn no_element_of_a_set_is_lost_where_changes_stand_side_by_side() {
    on_one_thread(kill_in_turn_and_check_a_set());
}

#[test]
fn where_the_primary_does_not_wait_only_its_end_loses_writes_and_all_agree_afterwards() {
    on_one_thread(kill_where_nobody_waits());
}

#[test]
fn a_node_whose_folder_was_emptied_joins_again_in_every_mode() {
    for (mode, _) in MODES {
        on_one_thread(wipe_and_check(mode.name()));
    }
}

#[test]
fn a_region_of_one_node_whose_folder_was_emptied_joins_again_with_what_the_others_have() {
    on_one_thread(wipe_regions_and_check());
}

#[test]
fn a_cluster_lives_on_with_a_node_that_was_let_in_and_without_one_that_was_let_go() {
    for (mode, _) in MODES {
        on_one_thread(let_in_and_let_go(mode.name()));
    }
}

#[test]
fn a_state_longer_than_any_request_reaches_a_node_whose_folder_was_emptied() {
    for mode in ["raft", "primary-sync"] {
        on_one_thread(wipe_where_much_is_held(mode));
    }
}

#[test]
fn a_request_that_is_too_long_is_refused_and_the_cluster_goes_on() {
    for mode in ["raft", "primary-semi-sync", "leaderless"] {
        on_one_thread(ask_too_much(mode));
    }
}

fn in_mode(mode: &'static str) {
    on_one_thread(kill_and_check(mode));
}

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

async fn kill_and_check(mode: &'static str) {
    // Where a change needs everyone, there are none while a node is down.
    let goes_on = if mode == "primary-sync" { 0 } else { WRITES_BETWEEN };
    let mut cluster = Cluster::start(mode);
    let writers = Writers::start(&cluster);
    for _ in 0..ROUNDS {
        let leader = cluster.leader().await;
        cluster.kill(leader);
        writers.acknowledge(goes_on).await;
        cluster.restart(leader);
        let follower = (cluster.leader().await + 1) % NODES;
        cluster.kill(follower);
        writers.acknowledge(goes_on).await;
        cluster.restart(follower);
        writers.acknowledge(WRITES_BETWEEN).await;
    }
    for node in 0..NODES {
        cluster.kill(node);
    }
    for node in 0..NODES {
        cluster.restart(node);
    }
    writers.acknowledge(WRITES_BETWEEN).await;
    writers.stop().await;
    writers.check(&mut client(&cluster.addresses, 0)).await;
    assert!(cluster.took_snapshots(), "every node was to take snapshots");
}

/// Kills one node after the other, and then all, where none of them leads.
async fn kill_in_turn_and_check(mode: &'static str) {
    let mut cluster = Cluster::start(mode);
    let writers = Writers::start(&cluster);
    kill_in_turn(&mut cluster, &writers).await;
    for node in 0..NODES {
        writers.check(&mut client(&cluster.addresses, node)).await;
    }
}

/// The same where clients read a set, add something, and write it back.
async fn kill_in_turn_and_check_a_set() {
    let flags = &["--conflicts", "siblings"];
    let mut cluster = Cluster::made("leaderless", 200, NODES, flags);
    let writers = Writers::starting(&cluster, Writers::add);
    kill_in_turn(&mut cluster, &writers).await;
    for node in 0..NODES {
        writers.check_set(&mut client(&cluster.addresses, node)).await;
    }
}

async fn kill_in_turn(cluster: &mut Cluster, writers: &Writers) {
    for node in (0..NODES).cycle().take(ROUNDS * 2) {
        writers.acknowledge(WRITES_BETWEEN).await;
        cluster.kill(node);
        writers.acknowledge(WRITES_BETWEEN).await;
        cluster.restart(node);
    }
    cluster.kill_all();
    (0..NODES).for_each(|node| cluster.restart(node));
    writers.acknowledge(WRITES_BETWEEN).await;
    writers.stop().await;
    assert!(cluster.took_snapshots(), "every node was to take snapshots");
}

/// Kills followers, which loses nothing, and then the primary, which may lose the writes that it did
/// not pass on, but nobody's agreement.
async fn kill_where_nobody_waits() {
    // So long that a primary which gets no time on a busy machine is not taken for one that is gone.
    let mut cluster = Cluster::with_election("primary-async", 2_000);
    let writers = Writers::start(&cluster);
    let leader = cluster.leader().await;
    for round in 1..=ROUNDS {
        let follower = (leader + 1 + round % 2) % NODES;
        writers.acknowledge(WRITES_BETWEEN).await;
        cluster.kill(follower);
        writers.acknowledge(WRITES_BETWEEN).await;
        cluster.restart(follower);
    }
    writers.acknowledge(WRITES_BETWEEN).await;
    assert_eq!(cluster.leader().await, leader, "it had no reason to leave its office");
    writers.stop().await;
    writers.check(&mut client(&cluster.addresses, leader)).await;
    let more = Writers::start(&cluster);
    more.acknowledge(WRITES_BETWEEN).await;
    cluster.kill(leader);
    more.acknowledge(WRITES_BETWEEN).await;
    cluster.restart(leader);
    more.acknowledge(WRITES_BETWEEN).await;
    more.stop().await;
    cluster.agree(&more.keys()).await;
}

/// Lets another process in and one go, and kills two of the first three.
async fn let_in_and_let_go(mode: &'static str) {
    let mut cluster = Cluster::with_spare(mode);
    let writers = Writers::start(&cluster);
    writers.acknowledge(WRITES_BETWEEN).await;
    cluster.join(NODES);
    cluster.tell(&["admit", "4"]).await;
    until("the new node has everything", || {
        cluster.log(NODES).contains("has all that it should have again").then_some(())
    })
    .await;
    cluster.tell(&["dismiss", "1"]).await;
    cluster.kill(0);
    cluster.kill(1);
    if mode == "primary-sync" {
        // It has everything that counts, and nothing counts without it until it is let go as well.
        cluster.tell(&["dismiss", "2"]).await;
    }
    writers.acknowledge(WRITES_BETWEEN).await;
    writers.stop().await;
    if mode != "primary-async" {
        writers.check(&mut client(&cluster.addresses, NODES)).await;
    }
}

/// Kills a node, takes its files away, and lets it join again while clients write; each node in turn.
async fn wipe_and_check(mode: &'static str) {
    let waits_for_all = mode == "primary-sync";
    let loses = mode == "primary-async";
    let mut cluster = Cluster::start(mode);
    let writers = Writers::start(&cluster);
    for node in 0..NODES {
        writers.acknowledge(WRITES_BETWEEN * 2).await;
        cluster.kill(node);
        fs::remove_dir_all(cluster.data(node)).expect("it has files");
        writers.acknowledge(if waits_for_all { 0 } else { WRITES_BETWEEN }).await;
        cluster.join(node);
        until("the node has everything again", || {
            cluster.log(node).contains("has all that it should have again").then_some(())
        })
        .await;
    }
    writers.acknowledge(WRITES_BETWEEN).await;
    writers.stop().await;
    if !loses {
        for node in 0..NODES {
            writers.check(&mut client(&cluster.addresses, node)).await;
        }
    }
    cluster.agree(&writers.keys()).await;
}

/// Kills each node, a region of its own, takes its files away, and lets it join again while the others are
/// written to.
async fn wipe_regions_and_check() {
    let mut cluster = Cluster::made("multi-leader", 200, NODES, &["--regions", "3"]);
    let mut keys = Vec::new();
    for lost in 0..NODES {
        write_everywhere(&cluster, &mut keys, "before", |_| true).await;
        cluster.agree(&keys).await;
        cluster.kill(lost);
        fs::remove_dir_all(cluster.data(lost)).expect("it has files");
        write_everywhere(&cluster, &mut keys, "meanwhile", |node| node != lost).await;
        cluster.join(lost);
        until("the region has what the others have", || {
            cluster.log(lost).contains("has all that it should have again").then_some(())
        })
        .await;
        write_everywhere(&cluster, &mut keys, "after", |_| true).await;
        cluster.agree(&keys).await;
    }
    let mut client = staying(&cluster.addresses, 0);
    for key in &keys {
        let held = read(&mut client, key, ReadLevel::Strong).await;
        assert_eq!(held.as_deref(), Some(key.as_bytes()), "{key}");
    }
}

/// Has some nodes told keys that hold their own names.
async fn write_everywhere(
    cluster: &Cluster,
    keys: &mut Vec<String>,
    when: &str,
    told: impl Fn(usize) -> bool,
) {
    for node in (0..NODES).filter(|node| told(*node)) {
        let mut client = staying(&cluster.addresses, node);
        for number in 0..WRITES_BETWEEN {
            let key = format!("{node}/{when}/{number}/{}", keys.len());
            let (value, named) = (key.clone().into_bytes(), key.clone());
            done(&mut client, Command::Write { key: named, value }).await;
            keys.push(key);
        }
    }
}

/// Writes 20 MiB, kills a node, takes its files away, and lets it join again.
async fn wipe_where_much_is_held(mode: &'static str) {
    // Sending so much takes a while, in which nobody else is talked to.
    let mut cluster = Cluster::with_election(mode, 1_000);
    let mut writer = client(&cluster.addresses, 0);
    let large = |number: u8| vec![number; 1_000_000];
    // More often than a log is long, so that the log alone does not do.
    for number in 0..45 {
        let number = number % 21;
        let write = Command::Write { key: number.to_string(), value: large(number) };
        done(&mut writer, write).await;
    }
    until("every node has taken a snapshot", || cluster.took_snapshots().then_some(())).await;
    let node = (cluster.leader().await + 1) % NODES;
    cluster.kill(node);
    fs::remove_dir_all(cluster.data(node)).expect("it has files");
    cluster.join(node);
    until("the node has everything again", || {
        cluster.log(node).contains("has all that it should have again").then_some(())
    })
    .await;
    let mut reader = client(&cluster.addresses, node);
    for number in 0..21 {
        let held = read(&mut reader, &number.to_string(), ReadLevel::Replica).await;
        assert_eq!(held, Some(large(number)), "{mode}: {number}");
    }
}

/// Asks for more than a request may have, by the library and past it, and then for almost as much.
async fn ask_too_much(mode: &'static str) {
    let cluster = Cluster::with_election(mode, 1_000);
    let mut writer = client(&cluster.addresses, 0);
    let write = |len: usize| Command::Write { key: "x".to_owned(), value: vec![7; len] };
    done(&mut writer, write(REQUEST_LEN_MAX - 100)).await;
    let deadline = writer.env().now() + PATIENCE;
    let refused = writer.call(write(REQUEST_LEN_MAX), deadline).await;
    assert_eq!(refused, Answer::Reply(Reply::TooLong));
    let stranger = RealClient::new(&cluster.addresses);
    for (sequence, len) in [(1, REQUEST_LEN_MAX), (2, 15 << 20)] {
        let request = Request { session: 1, sequence, seen: 0, command: write(len) };
        stranger.send(NodeId(1), wire::encode(&Frame::<()>::Request(request)));
        let (_, said) = timeout(PATIENCE, stranger.recv()).await.expect("it is answered");
        let said = wire::decode::<Frame<()>>(&said).unwrap();
        let Frame::Response { sequence: answered, reply, .. } = said else { panic!("{said:?}") };
        assert_eq!((answered, reply), (sequence, Reply::TooLong), "{mode}");
    }
    for number in 0..5 {
        done(&mut writer, write(REQUEST_LEN_MAX - 100 - number)).await;
    }
}

/// Has something done.
async fn done(client: &mut Client<RealClient>, command: Command) {
    let deadline = client.env().now() + PATIENCE;
    assert_eq!(client.call(command, deadline).await, Answer::Reply(Reply::Done));
}

fn client(addresses: &[String], home: usize) -> Client<RealClient> {
    client_that(addresses, home, true)
}

/// A client that asks one node and no other.
fn staying(addresses: &[String], home: usize) -> Client<RealClient> {
    client_that(addresses, home, false)
}

fn client_that(addresses: &[String], home: usize, roam: bool) -> Client<RealClient> {
    let attempt = Duration::from_millis(300);
    let policy = Policy {
        home,
        attempt,
        pause: Duration::from_millis(20),
        roam,
        replica_reads: ReplicaReads::Sticky,
        stride: 1,
        rewrites_sets: true,
        remembered: true,
    };
    Client::new(RealClient::new(addresses), policy)
}

/// Three processes and what they live on.
struct Cluster {
    mode: &'static str,
    election_ms: u64,
    folder: TempDir,
    addresses: Vec<String>,
    running: Vec<Option<Child>>,
    /// What each node is started with besides.
    flags: &'static [&'static str],
}

impl Cluster {
    fn start(mode: &'static str) -> Cluster {
        Cluster::with_election(mode, 200)
    }

    fn with_election(mode: &'static str, election_ms: u64) -> Cluster {
        Cluster::made(mode, election_ms, NODES, &[])
    }

    /// The same, and a node that runs later and that the cluster does not begin with.
    fn with_spare(mode: &'static str) -> Cluster {
        Cluster::made(mode, 200, NODES + 1, &[])
    }

    fn made(
        mode: &'static str,
        election_ms: u64,
        nodes: usize,
        flags: &'static [&'static str],
    ) -> Cluster {
        let addresses = (0..nodes).map(|_| free_address()).collect();
        let folder = TempDir::new().unwrap();
        let running = Vec::new();
        let mut cluster = Cluster { mode, election_ms, folder, addresses, running, flags };
        cluster.running.resize_with(nodes, || None);
        (0..NODES).for_each(|node| cluster.restart(node));
        cluster
    }

    fn restart(&mut self, node: usize) {
        self.run(node, &[]);
    }

    /// Starts a node that has lost its folder.
    fn join(&mut self, node: usize) {
        self.run(node, &["--join"]);
    }

    /// Has the cluster told something, by the command line.
    async fn tell(&self, what: &[&str]) {
        let mut told = Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
            .args(what)
            .args(["--nodes", &self.addresses.join(",")])
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary was built");
        let ended = until("the command ends", || told.try_wait().unwrap()).await;
        assert!(ended.success(), "{what:?}");
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{}", node + 1))
    }

    fn kill_all(&mut self) {
        (0..NODES).for_each(|node| self.kill(node));
    }

    /// Waits until every node holds the same under these keys.
    async fn agree(&self, keys: &[String]) {
        let mut clients: Vec<_> = (0..NODES).map(|node| client(&self.addresses, node)).collect();
        for key in keys {
            let began = Instant::now();
            loop {
                let mut held = Vec::new();
                for client in &mut clients {
                    held.push(read(client, key, ReadLevel::Replica).await);
                }
                if held.windows(2).all(|pair| pair[0] == pair[1]) {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "{}: {key} is {held:?}", self.mode);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn run(&mut self, node: usize, more: &[&str]) {
        let peers: Vec<_> =
            (1..).zip(&self.addresses).map(|(id, address)| format!("{id}={address}")).collect();
        let log = File::create(self.folder.path().join(format!("n{}.err", node + 1))).unwrap();
        let child = Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
            .args(["serve", "--mode", self.mode, "--heartbeat-ms", "30"])
            .args(["--election-ms", &self.election_ms.to_string()])
            .args(["--snapshot-entries", "40"])
            // Clients turn to any node, and a session is one region's.
            .args(if self.mode == "multi-leader" && !self.flags.contains(&"--regions") {
                &["--regions", "1"]
            } else {
                [].as_slice()
            })
            .args(["--id", &(node + 1).to_string(), "--peers", &peers.join(",")])
            .args(self.flags)
            .args(more)
            .args((NODES + 1..=peers.len()).map(|id| format!("--spare={id}")))
            .arg("--data")
            .arg(self.data(node))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary was built");
        assert!(self.running[node].replace(child).is_none(), "it was down before");
    }

    fn kill(&mut self, node: usize) {
        let mut child = self.running[node].take().expect("it is running");
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it did not stop by itself: {}",
            self.log(node)
        );
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Waits until a running node takes itself for the leader; of several, the one of the last term.
    async fn leader(&self) -> usize {
        until("there is a leader", || {
            let nodes = 0..self.running.len();
            let leaders = nodes.filter(|node| self.running[*node].is_some());
            let leaders = leaders.filter_map(|node| {
                let log = self.log(node);
                let said = log.lines().rfind(|line| line.contains(" in term "))?;
                let term = said.split_once("is leader in term ")?.1;
                Some((term.parse::<u64>().ok()?, node))
            });
            leaders.max().map(|(_, node)| node)
        })
        .await
    }

    fn log(&self, node: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("n{}.err", node + 1))).unwrap()
    }

    fn took_snapshots(&self) -> bool {
        (1..=NODES).all(|node| {
            let files = fs::read_dir(self.data(node - 1)).unwrap();
            let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.any(|name| name.starts_with("snapshot-"))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What was written, and what became of it.
#[derive(Default)]
struct Writers {
    stop: Cell<bool>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    acknowledged: RefCell<Vec<(String, Vec<u8>)>>,
    /// By key: the last number that was acknowledged of those written to it one after the other.
    counters: RefCell<BTreeMap<String, u64>>,
}

impl Writers {
    /// Starts two that write until they are told to stop.
    fn start(cluster: &Cluster) -> Rc<Writers> {
        Writers::starting(cluster, Writers::write)
    }

    fn starting<F: Future<Output = ()> + 'static>(
        cluster: &Cluster,
        write: impl Fn(Rc<Writers>, usize, Client<RealClient>) -> F,
    ) -> Rc<Writers> {
        let writers = Rc::new(Writers::default());
        for number in 0..2 {
            let client = client(&cluster.addresses, number);
            let task = tokio::task::spawn_local(write(Rc::clone(&writers), number, client));
            writers.tasks.borrow_mut().push(task);
        }
        writers
    }

    async fn stop(&self) {
        self.stop.set(true);
        let tasks = self.tasks.take();
        for task in tasks {
            task.await.expect("a writer does not panic");
        }
    }

    /// Every key that something was acknowledged of.
    fn keys(&self) -> Vec<String> {
        let acknowledged = self.acknowledged.borrow();
        let counters = self.counters.borrow();
        acknowledged.iter().map(|(key, _)| key).chain(counters.keys()).cloned().collect()
    }

    /// Writes every number under a key of its own, and to one that all of them overwrite.
    async fn write(self: Rc<Self>, writer: usize, mut client: Client<RealClient>) {
        for number in 0_u64.. {
            if self.stop.get() {
                return;
            }
            let deadline = client.env().now() + PATIENCE;
            let value = number.to_string().into_bytes();
            let key = format!("{writer}/{number}");
            let write = Command::Write { key: key.clone(), value: value.clone() };
            if client.call(write, deadline).await == Answer::Reply(Reply::Done) {
                self.acknowledged.borrow_mut().push((key, value.clone()));
            }
            let key = format!("{writer}/counter");
            let write = Command::Write { key: key.clone(), value };
            if client.call(write, deadline).await == Answer::Reply(Reply::Done) {
                self.counters.borrow_mut().insert(key, number);
            }
        }
    }

    /// Adds every number to the set that all of them add to.
    async fn add(self: Rc<Self>, writer: usize, mut client: Client<RealClient>) {
        for number in 0_u64.. {
            if self.stop.get() {
                return;
            }
            let deadline = client.env().now() + PATIENCE;
            let element = format!("{writer}/{number}").into_bytes();
            let update = Update::Add(element.clone());
            let add = Command::Update { key: SET.to_owned(), update };
            if client.call(add, deadline).await == Answer::Reply(Reply::Done) {
                self.acknowledged.borrow_mut().push((SET.to_owned(), element));
            }
        }
    }

    /// Waits until `more` further writes are acknowledged.
    async fn acknowledge(&self, more: usize) {
        let enough = self.acknowledged.borrow().len() + more;
        until("writes are acknowledged", || {
            (self.acknowledged.borrow().len() >= enough).then_some(())
        })
        .await;
    }

    async fn check(&self, client: &mut Client<RealClient>) {
        let acknowledged = self.acknowledged.borrow().clone();
        for (key, value) in acknowledged {
            assert_eq!(
                read(client, &key, ReadLevel::Strong).await,
                Some(value),
                "{key} was acknowledged"
            );
        }
        let counters = self.counters.borrow().clone();
        for (key, last) in counters {
            let held = read(client, &key, ReadLevel::Strong).await.expect("it was written");
            let held: u64 = String::from_utf8(held).unwrap().parse().unwrap();
            assert!(held >= last, "{key} holds {held}, but {last} was acknowledged");
        }
    }

    async fn check_set(&self, client: &mut Client<RealClient>) {
        let command = Command::Read { key: SET.to_owned(), level: ReadLevel::Strong };
        let deadline = client.env().now() + PATIENCE;
        let Answer::Reply(Reply::Datum(Datum::Set(held))) = client.call(command, deadline).await
        else {
            panic!("no set is there")
        };
        for (_, element) in self.acknowledged.borrow().iter() {
            assert!(held.contains(element), "{element:?} was acknowledged");
        }
    }
}

async fn read(client: &mut Client<RealClient>, key: &str, level: ReadLevel) -> Option<Vec<u8>> {
    let command = Command::Read { key: key.to_owned(), level };
    let deadline = client.env().now() + PATIENCE;
    match client.call(command, deadline).await {
        Answer::Reply(Reply::Value(value)) => value,
        other => panic!("{key} cannot be read: {other:?}"),
    }
}

/// Waits until something is the case.
async fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = holds() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

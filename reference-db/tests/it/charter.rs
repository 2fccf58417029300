//! What all nodes of a cluster have the same: a real server that has it otherwise is not let in, neither into
//! its old folder nor among the others.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command as Process, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::free_address;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a node has said on its standard error so far, in all of its starts.
#[derive(Default)]
struct Log {
    said: Mutex<String>,
    grown: Condvar,
}

/// A node that is up, and who listens to what it says.
struct Running {
    child: Child,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    /// Ends the node. All that it has said is in its log then.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

/// Nodes with folders and addresses of their own, until they are dropped.
struct Cluster {
    folder: TempDir,
    addresses: Vec<String>,
    logs: Vec<Arc<Log>>,
    running: Vec<Option<Running>>,
}

impl Cluster {
    fn new(nodes: usize) -> Cluster {
        let addresses = (0..nodes).map(|_| free_address()).collect();
        let logs = (0..nodes).map(|_| Arc::default()).collect();
        let running = (0..nodes).map(|_| None).collect();
        Cluster { folder: TempDir::new().unwrap(), addresses, logs, running }
    }

    /// The same, of which the first node was a cluster of its own, and is down with what it had acknowledged.
    fn with_one_kept(nodes: usize) -> Cluster {
        let mut cluster = Cluster::new(nodes);
        cluster.start(1, &cluster.peers(1), "");
        cluster.tell(&[1], "put k v1");
        cluster.kill(1);
        cluster
    }

    /// The first nodes, for `--peers`.
    fn peers(&self, nodes: usize) -> String {
        let peers = (1..).zip(&self.addresses).map(|(id, address)| format!("{id}={address}"));
        peers.take(nodes).collect::<Vec<_>>().join(",")
    }

    fn data(&self, id: usize) -> PathBuf {
        self.folder.path().join(format!("n{id}"))
    }

    fn command(&self, id: usize, peers: &str, flags: &str) -> Process {
        let mut command = Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"));
        command
            .args(["serve", "--id", &id.to_string(), "--peers", peers, "--heartbeat-ms", "30"])
            .args(["--election-ms", "200"])
            .args(flags.split_whitespace())
            .arg("--data")
            .arg(self.data(id));
        command
    }

    /// Starts a node, and waits until it listens.
    #[track_caller]
    fn start(&mut self, id: usize, peers: &str, flags: &str) {
        let mut command = self.command(id, peers, flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, stderr) = (Arc::clone(&self.logs[id - 1]), child.stderr.take().unwrap());
        let listener = listen(stderr, log);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let running = Running { child, listener: Some(listener) };
        assert!(self.running[id - 1].replace(running).is_none(), "it was down before");
        assert!(line.starts_with("listening on"), "n{id} with {flags}: {}", self.log(id));
    }

    fn kill(&mut self, id: usize) {
        self.running[id - 1].take().unwrap().end();
    }

    /// Starts a node that is to refuse that as bad usage, and checks every part of what it says.
    #[track_caller]
    fn refused(&self, id: usize, peers: &str, flags: &str, parts: &[&str]) {
        let Output { status, stdout, stderr } = self.command(id, peers, flags).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.as_slice()), (Some(2), [].as_slice()), "{said}");
        for part in parts {
            assert!(said.contains(part), "`{part}` is not in {said}");
        }
    }

    /// Has some nodes told something, which they are to do.
    #[track_caller]
    fn tell(&self, ids: &[usize], what: &str) -> String {
        let Output { status, stdout, stderr } = self.ask(ids, what, 10_000);
        assert!(status.success(), "{what}: {}", String::from_utf8(stderr).unwrap());
        String::from_utf8(stdout).unwrap()
    }

    fn ask(&self, ids: &[usize], what: &str, timeout_ms: u32) -> Output {
        let nodes: Vec<&str> = ids.iter().map(|id| self.addresses[id - 1].as_str()).collect();
        Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
            .args(what.split_whitespace())
            .args(["--nodes", &nodes.join(","), "--timeout-ms", &timeout_ms.to_string()])
            .output()
            .unwrap()
    }

    /// Has some nodes told something that they cannot do, and returns what is said of that.
    #[track_caller]
    fn fails(&self, ids: &[usize], what: &str, timeout_ms: u32) -> String {
        let output = self.ask(ids, what, timeout_ms);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        said
    }

    fn log(&self, id: usize) -> String {
        self.logs[id - 1].said.lock().unwrap().clone()
    }

    /// Waits until what a node has said is as it should be.
    #[track_caller]
    fn until(&self, id: usize, what: &str, holds: impl Fn(&str) -> bool) {
        let Log { said, grown } = &*self.logs[id - 1];
        let said = said.lock().unwrap();
        let (said, waited) = grown.wait_timeout_while(said, PATIENCE, |said| !holds(said)).unwrap();
        assert!(!waited.timed_out(), "n{id}: {what}: not within {PATIENCE:?}: {said}");
    }

    /// Waits until a node has said something.
    #[track_caller]
    fn until_said(&self, id: usize, what: &str) {
        self.until(id, what, |said| said.contains(what));
    }
}

/// Keeps a log of what is said, line by line, until nobody can say anything more.
#[expect(clippy::disallowed_methods, reason = "it ends with the node, and is joined then")]
fn listen(stderr: ChildStderr, log: Arc<Log>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let mut said = log.said.lock().unwrap();
            said.push_str(&line.unwrap());
            said.push('\n');
            log.grown.notify_all();
        }
    })
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.iter_mut().flatten().for_each(Running::end);
    }
}

#[test]
fn a_node_of_three_does_not_begin_again_as_the_only_one() {
    let modes = ["raft", "primary-sync", "multi-leader --regions 1", "leaderless --replicas 1"];
    for mode in modes {
        let flags = format!("--mode {mode}");
        let mut cluster = Cluster::new(3);
        let peers = cluster.peers(3);
        (1..=3).for_each(|id| cluster.start(id, &peers, &flags));
        cluster.tell(&[1], "put k v1");
        cluster.kill(1);
        let words =
            ["begun by nodes 1, 2, 3", "list 2, 3 in --peers as well", "use another folder"];
        cluster.refused(1, &cluster.peers(1), &flags, &words);
        cluster.refused(
            1,
            &peers,
            &format!("{flags} --spare 3"),
            &["list 3 in --peers", "--spare"],
        );
        // At another address, where it was not told of to the others.
        let elsewhere = format!("1={},{}", free_address(), &peers[peers.find(',').unwrap() + 1..]);
        cluster.start(1, &elsewhere, &flags);
        cluster.kill(1);
        cluster.start(1, &peers, &flags);
        assert_eq!(cluster.tell(&[1], "get k"), "v1\n", "{mode}");
    }
}

#[test]
fn nor_does_the_only_one_as_one_of_three() {
    let mut cluster = Cluster::with_one_kept(3);
    let words =
        ["was begun by nodes 1, and", "`begun by nodes 1, 2, 3`: name 2, 3 in --spare as well"];
    cluster.refused(1, &cluster.peers(3), "", &words);
    cluster.start(1, &cluster.peers(3), "--spare 2,3");
    assert_eq!(cluster.tell(&[1], "get k"), "v1\n");
}

#[test]
fn nodes_that_come_later_are_spare_in_every_later_start() {
    for mode in ["raft", "primary-sync", "multi-leader --regions 1", "leaderless"] {
        // Somebody is to be let in whom nobody had thought of in the beginning.
        let mut cluster = Cluster::new(4);
        let few = format!("--mode {mode}");
        let (before, after) = (cluster.peers(3), cluster.peers(4));
        (1..=3).for_each(|id| cluster.start(id, &before, &few));
        cluster.tell(&[1, 2, 3], "put k v1");
        (1..=3).for_each(|id| cluster.kill(id));
        let flags = format!("--mode {mode} --spare 4");
        (1..=3).for_each(|id| cluster.start(id, &after, &flags));
        cluster.start(4, &after, &format!("{flags} --join"));
        cluster.tell(&[1, 2, 3], "admit 4");
        cluster.tell(&[1, 2, 3], "dismiss 1");
        (1..=4).for_each(|id| cluster.kill(id));
        let words = ["begun by nodes 1, 2, 3", "name 4 in --spare as well"];
        cluster.refused(4, &after, &few, &words);
        let without_first = &after[after.find(',').unwrap() + 1..];
        cluster.refused(2, without_first, &flags, &["list 1 in --peers as well"]);
        (2..=4).for_each(|id| cluster.start(id, &after, &flags));
        assert_eq!(cluster.tell(&[2, 3, 4], "get k"), "v1\n", "{mode}");
    }
}

#[test]
fn a_line_that_is_missing_or_was_cut_off_or_added_to_makes_no_node_the_only_one() {
    let mut cluster = Cluster::with_one_kept(1);
    let (owner, peers) = (cluster.data(1).join("owner"), cluster.peers(1));
    for (line, what) in [
        ("", "is missing"),
        ("begun by nodes 1, 2, 3", "has no end"),
        ("begun by nodes 1", "has no end"),
        ("begun by nodes 1\nxyz", "has no end"),
    ] {
        fs::write(&owner, format!("node 1 in mode raft\n{line}")).unwrap();
        cluster.refused(1, &peers, "", &[what, "the flags say `begun by nodes 1`"]);
    }
    fs::write(&owner, "node 1 in mode raft\nbegun by nodes 1\n").unwrap();
    cluster.start(1, &peers, "");
    assert_eq!(cluster.tell(&[1], "get k"), "v1\n");
}

#[test]
fn a_folder_that_was_used_and_does_not_say_whose_it_is_is_refused() {
    let cluster = Cluster::with_one_kept(1);
    let (owner, peers) = (cluster.data(1).join("owner"), cluster.peers(1));
    for (cut, what) in [("", "is empty or missing"), ("node 1 in mo", "was cut off")] {
        fs::write(&owner, cut).unwrap();
        cluster.refused(1, &peers, "", &[what, "make `node 1 in mode raft` the first line"]);
        assert_eq!(fs::read_to_string(&owner).unwrap(), cut, "it is left alone");
    }
    fs::remove_file(&owner).unwrap();
    cluster.refused(1, &peers, "", &["is empty or missing"]);
}

#[test]
fn a_start_that_lost_power_before_it_said_whose_the_folder_is_begins_again() {
    let mut cluster = Cluster::new(1);
    let peers = cluster.peers(1);
    for cut in ["", "node 1 in mo"] {
        fs::create_dir_all(cluster.data(1)).unwrap();
        fs::write(cluster.data(1).join("owner"), cut).unwrap();
        cluster.start(1, &peers, "");
        assert_eq!(cluster.tell(&[1], "put k v1"), "ok\n");
        cluster.kill(1);
        fs::remove_dir_all(cluster.data(1)).unwrap();
    }
}

#[test]
fn a_node_that_was_to_join_and_lost_its_power_at_once_is_to_join_without_being_told_again() {
    let mut cluster = Cluster::new(3);
    let peers = cluster.peers(3);
    cluster.start(1, &peers, "--join");
    cluster.until_said(1, "lacks what the others have");
    cluster.kill(1);
    let log = OpenOptions::new().write(true).open(cluster.data(1).join("log-0")).unwrap();
    log.set_len(8).unwrap();
    cluster.start(1, &peers, "");
    cluster
        .until(1, "it is to join", |said| said.matches("lacks what the others have").count() == 2);
}

#[test]
fn two_copies_are_not_promised_of_one_node() {
    let mut cluster = Cluster::new(2);
    let (peers, flags) = (cluster.peers(2), "--mode primary-semi-sync --spare 2");
    cluster.start(1, &peers, flags);
    cluster.kill(1);
    assert!(cluster.log(1).contains("one copy"), "{}", cluster.log(1));
}

#[test]
fn nobody_moves_to_another_region() {
    let mut cluster = Cluster::new(4);
    let all = cluster.peers(4);
    let peers = &all[all.find(',').unwrap() + 1..];
    let flags = "--mode multi-leader --regions 3";
    cluster.start(2, peers, flags);
    cluster.kill(2);
    let words =
        ["nodes 2, 3, 4 in regions 1, 2, 3 of 3", "in regions 2, 3, 1 of 3", "greater numbers"];
    cluster.refused(2, &all, &format!("{flags} --spare 1"), &words);
}

#[test]
fn nodes_that_have_it_otherwise_do_not_talk_to_each_other_and_say_so_once() {
    let mixed = [
        ("primary-sync", "primary-async", "mode primary-async, begun by"),
        ("leaderless", "leaderless-abd", "mode leaderless-abd with 3 replicas"),
        ("leaderless", "leaderless --conflicts siblings", "each key, siblings, begun by"),
        ("leaderless", "leaderless --replicas 2", "2 replicas of each key, begun"),
        ("multi-leader", "multi-leader --conflicts crdt", "with 3 regions, all-to-all, crdt"),
        ("multi-leader --regions 1", "multi-leader", "in regions 1, 2, 3 of 3"),
        ("raft", "raft --spare 3", "mode raft, begun by nodes 1, 2, and n2 has"),
        ("raft", "multi-leader", "mode multi-leader with 3 regions"),
    ];
    for (mode, other, words) in mixed {
        let mut cluster = Cluster::new(3);
        let peers = cluster.peers(3);
        cluster.start(1, &peers, &format!("--mode {other}"));
        (2..=3).for_each(|id| cluster.start(id, &peers, &format!("--mode {mode}")));
        cluster.until_said(2, "n2 does not talk to n1: n2 has mode ");
        cluster.until(1, words, |said| {
            let mut lines = said.lines().filter(|line| line.contains("n1 does not talk to n2: "));
            lines.any(|line| line.contains(words))
        });
        // One that comes again and has the same is nothing new to the other.
        cluster.kill(2);
        cluster.start(2, &peers, &format!("--mode {mode}"));
        let refusals = |said: &str, whom| said.matches(whom).count();
        let again = "n2 does not talk to n1: ";
        cluster.until(2, "it says so again", |said| refusals(said, again) == 2);
        cluster.kill(1);
        assert_eq!(refusals(&cluster.log(1), "n1 does not talk to n2: "), 1, "{mode}, {other}");
    }
}

#[test]
fn one_that_acknowledges_alone_does_not_lead_those_that_wait_for_all() {
    let mut cluster = Cluster::new(3);
    let peers = cluster.peers(3);
    cluster.start(1, &peers, "--mode primary-async");
    (2..=3).for_each(|id| cluster.start(id, &peers, "--mode primary-semi-sync"));
    cluster.until_said(1, "n1 does not talk to n2");
    cluster.until_said(1, "n1 does not talk to n3");
    cluster.tell(&[2, 3], "put k v1");
    assert_eq!(cluster.ask(&[1], "put k v2", 500).status.code(), Some(1), "it has nobody");
    assert_eq!(cluster.tell(&[2, 3], "get k"), "v1\n");
    // Started as the others are, with a folder of its own, it is one of them.
    cluster.kill(1);
    fs::remove_dir_all(cluster.data(1)).unwrap();
    cluster.start(1, &peers, "--mode primary-semi-sync --join");
    cluster.until_said(1, "n1 has all that it should have again");
    cluster.kill(3);
    assert_eq!(cluster.tell(&[1, 2], "get k"), "v1\n");
}

#[test]
fn a_node_that_is_to_join_in_another_mode_says_why_it_waits() {
    for mode in ["primary-sync", "multi-leader", "leaderless"] {
        let mut cluster = Cluster::new(3);
        let peers = cluster.peers(3);
        (1..=2).for_each(|id| cluster.start(id, &peers, ""));
        cluster.tell(&[1, 2], "put k v1");
        cluster.start(3, &peers, &format!("--join --mode {mode}"));
        // Whoever leads talks to everyone; the other one need not.
        cluster.until(3, "it says whom it does not talk to", |said| {
            ["n1", "n2"].iter().any(|other| {
                let own = format!("n3 does not talk to {other}: n3 has mode {mode}");
                let others =
                    format!("and {other} has mode raft, begun by nodes 1, 2, 3; start all");
                said.lines().any(|line| line.contains(&own) && line.contains(&others))
            })
        });
        cluster.until_said(3, "n3 lacks what the others have");
    }
}

#[test]
fn a_client_that_gets_no_answer_says_what_it_knows_of_each_node() {
    let mut cluster = Cluster::new(3);
    let peers = cluster.peers(3);
    (1..=3).for_each(|id| cluster.start(id, &peers, "--mode primary-sync"));
    cluster.tell(&[1, 2, 3], "put k v1");
    cluster.kill(3);
    let said = cluster.fails(&[1, 2, 3], "put k v2", 2_000);
    let dead = format!("no connection to {}", cluster.addresses[2]);
    assert!(said.contains(&dead), "{said}");
    assert!(said.contains(&cluster.addresses[0]) && said.contains(&cluster.addresses[1]), "{said}");
    assert!(said.contains("a majority, in mode primary-sync all"), "{said}");
}

#[test]
fn a_client_that_asks_once_only_says_how_long_it_waited() {
    let mut cluster = Cluster::new(2);
    let peers = cluster.peers(2);
    (1..=2).for_each(|id| cluster.start(id, &peers, "--mode leaderless"));
    cluster.tell(&[1, 2], "put k v1");
    cluster.kill(2);
    let said = cluster.fails(&[1], "put k v2", 60_000);
    let (_, waited) = said.split_once("no answer in ").unwrap();
    let waited: u32 = waited.split(' ').next().unwrap().parse().unwrap();
    assert!((400..60_000).contains(&waited), "{said}");
    let silent = format!("(no answer from {}); it was not sent again", cluster.addresses[0]);
    assert!(said.contains(&silent), "{said}");
}

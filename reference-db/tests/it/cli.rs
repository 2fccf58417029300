//! The binary as people and scripts see it: output and exit codes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command as Process, Stdio};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::ports::free_address;

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
}

/// Runs the binary with arguments that are separated by blanks, and compares how it ends: its exit
/// code, its whole standard output, and a part of its standard error.
#[track_caller]
fn check(arguments: &str, code: i32, stdout: &str, stderr: &str) {
    let output = binary().args(arguments.split_whitespace()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), stdout, "{arguments}\n{said}");
    assert!(said.contains(stderr), "{arguments}\n{said}");
}

/// A node that is alone in its cluster, until it is dropped.
struct Node {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Node {
    fn start(mode: &str) -> Node {
        Node::with(mode, &[])
    }

    fn with(mode: &str, flags: &[&str]) -> Node {
        let folder = TempDir::new().unwrap();
        let address = free_address();
        let mut process = Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
            .args(["serve", "--id", "1", "--peers", &format!("1={address}"), "--mode", mode])
            .args(flags)
            .args(["--heartbeat-ms", "20", "--election-ms", "60", "--data"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("listening on {address}\n"));
        Node { process, address, folder }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Flags of a node that would start.
fn serve(folder: &TempDir) -> String {
    format!("serve --id 1 --peers 1={} --data {}", free_address(), folder.path().display())
}

#[test]
fn what_is_put_is_got_in_every_mode() {
    for mode in ["raft", "primary-async"] {
        let node = Node::start(mode);
        let nodes = format!("--nodes {}", node.address);
        check(&format!("get x {nodes}"), 0, "", "");
        check(&format!("put x 1 {nodes}"), 0, "ok\n", "");
        check(&format!("get x {nodes}"), 0, "1\n", "");
        check(&format!("cas x 1 2 {nodes}"), 0, "ok\n", "");
        check(&format!("cas x 1 3 {nodes}"), 1, "mismatch: 2\n", "");
        check(&format!("delete x {nodes}"), 0, "ok\n", "");
        check(&format!("cas x 2 3 {nodes}"), 1, "mismatch: absent\n", "");
    }
}

#[test]
fn what_is_got_does_nothing_to_a_terminal() {
    let node = Node::start("raft");
    let nodes = format!("--nodes {}", node.address);
    check(&format!("put x \u{1b}[31mé\u{7} {nodes}"), 0, "ok\n", "");
    check(&format!("get x {nodes}"), 0, "\\u{1b}[31mé\\u{7}\n", "");
    check(&format!("cas x 1 2 {nodes}"), 1, "mismatch: \\u{1b}[31mé\\u{7}\n", "");
    check(&format!("put y \\u{{7}} {nodes}"), 0, "ok\n", "");
    check(&format!("get y {nodes}"), 0, "\\\\u{7}\n", "");
}

#[test]
fn a_sum_that_is_no_number_of_64_bits_is_refused_with_words() {
    for (mode, flags) in [("raft", [].as_slice()), ("multi-leader", &["--conflicts", "crdt"])] {
        let node = Node::with(mode, flags);
        let nodes = format!("--nodes {}", node.address);
        let (most, words) = (i64::MAX, "not done: a counter holds a number of 64 bits");
        check(&format!("increment x {most} {nodes}"), 0, "ok\n", "");
        check(&format!("increment x 1 {nodes}"), 1, "", words);
        check(&format!("get x {nodes}"), 0, &format!("{most}\n"), "");
        check(&format!("increment x -1 {nodes}"), 0, "ok\n", "");
        check(&format!("get x {nodes}"), 0, &format!("{}\n", most - 1), "");
    }
}

#[test]
fn what_was_put_without_reading_stands_side_by_side_and_is_deleted_together() {
    let node = Node::with("leaderless", &["--conflicts", "siblings"]);
    let nodes = format!("--nodes {}", node.address);
    check(&format!("put x 1 {nodes}"), 0, "ok\n", "");
    check(&format!("put x 2 {nodes}"), 0, "ok\n", "");
    check(&format!("get x {nodes}"), 0, "1\n2\n", "");
    check(&format!("delete x {nodes}"), 0, "ok\n", "");
    check(&format!("get x {nodes}"), 0, "", "");
    check(&format!("add x 3 {nodes}"), 1, "", "the mode of this store does not offer it");
}

#[test]
fn what_was_read_first_is_replaced_by_one_value_in_modes_that_keep_several_and_in_others() {
    for (mode, flags) in [("leaderless", &["--conflicts", "siblings"][..]), ("raft", &[])] {
        let node = Node::with(mode, flags);
        let nodes = format!("--nodes {}", node.address);
        check(&format!("put x 1 {nodes}"), 0, "ok\n", "");
        check(&format!("put x 2 {nodes}"), 0, "ok\n", "");
        check(&format!("put x 3 --merge {nodes}"), 0, "ok\n", "");
        check(&format!("get x {nodes}"), 0, "3\n", "");
    }
}

#[test]
fn leadership_is_handed_over_to_a_node_that_there_is_and_only_in_the_mode_raft() {
    let node = Node::start("raft");
    let nodes = format!("--nodes {}", node.address);
    check(&format!("transfer 1 {nodes}"), 0, "ok\n", "");
    check(&format!("transfer 2 {nodes}"), 1, "", "there is no such node");
    let node = Node::start("leaderless");
    let nodes = format!("--nodes {}", node.address);
    check(&format!("transfer 1 {nodes}"), 1, "", "does not offer it");
}

#[test]
fn a_way_to_answer_reads_that_there_is_not_is_bad_usage() {
    let folder = TempDir::new().unwrap();
    let flags = serve(&folder);
    check(&format!("{flags} --reads fast"), 2, "", "`read-index`, `lease`, `follower` or `stale`");
}

#[test]
fn a_node_that_is_told_to_stop_ends_well() {
    let mut node = Node::start("raft");
    let pid = node.process.id().to_string();
    assert!(Process::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(node.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_cluster_that_does_not_answer_is_a_failure() {
    let nowhere = free_address();
    for what in ["put x 1", "get x"] {
        let words = format!(" ms: no connection to {nowhere}\n");
        check(&format!("{what} --nodes {nowhere} --timeout-ms 100"), 1, "", "error: not done: ");
        check(&format!("{what} --nodes {nowhere} --timeout-ms 100"), 1, "", &words);
    }
}

#[test]
fn a_flag_of_another_mode_is_bad_usage_and_says_whose_it_is() {
    let folder = TempDir::new().unwrap();
    let flags = [
        ("raft", "--sloppy", "--sloppy is for mode leaderless, leaderless-abd: mode raft has no"),
        ("raft", "--regions 1", "--regions is for mode multi-leader: mode raft"),
        ("raft", "--topology ring", "--topology is for mode multi-leader"),
        ("raft", "--conflicts lww", "is for mode multi-leader, leaderless, leaderless-abd"),
        ("primary-sync", "--reads stale", "--reads is for mode raft"),
        ("leaderless", "--reads lease", "--reads is for mode raft"),
        ("leaderless", "--regions 1", "--regions is for mode multi-leader"),
        ("multi-leader", "--replicas 1", "--replicas is for mode leaderless, leaderless-abd"),
        ("primary-async", "--read-quorum 1", "--read-quorum is for mode leaderless"),
        ("primary-semi-sync", "--write-quorum 1", "--write-quorum is for mode leaderless"),
    ];
    for (mode, flag, words) in flags {
        check(&format!("{} --mode {mode} {flag}", serve(&folder)), 2, "", words);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn flags_that_make_no_sense_are_bad_usage() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().display();
    let with = |flags: &str| format!("serve --data {data} {flags}");
    check("", 2, "", "Usage:");
    check("serve", 2, "", "--id");
    check("get x", 2, "", "--nodes");
    check("get x --nodes here", 2, "", "`here` is no address");
    check("get x --nodes :7001", 2, "", "`:7001` is no address");
    check(&with("--id 1 --peers 127.0.0.1:1"), 2, "", "a node is given as");
    check(&with("--id 1 --peers 1=127.0.0.1"), 2, "", "`127.0.0.1` is no address");
    check(&with("--id 1 --peers 1=127.0.0.1:0"), 2, "", "`127.0.0.1:0` is no address");
    check(&with("--id 1 --peers one=127.0.0.1:1"), 2, "", "`one` is no number of a node");
    check(&with("--id 3 --peers 1=127.0.0.1:1,2=127.0.0.1:2"), 2, "", "n3 is not among the nodes");
    check(&with("--id 1 --peers 1=127.0.0.1:1,1=127.0.0.1:2"), 2, "", "lists node 1 twice");
    check(&with("--id 1 --peers 1=127.0.0.1:1,2=127.0.0.1:1"), 2, "", "to two nodes");
    check(&with("--id 1 --peers 1=h:1 --mode best"), 2, "", "no mode is called `best`; there are");
    check(&with("--id 1 --peers 1=h:1 --spare 7"), 2, "", "--spare 7 is not among the nodes");
    check(&with("--id 1 --peers 1=h:1,2=h:2 --spare 1,2"), 2, "", "--spare names every node");
    let regions = with("--id 1 --peers 1=h:1,2=h:2 --mode multi-leader --regions 5");
    check(&regions, 2, "", "--regions 5 is more than the 2 nodes");
    check(&with("--id 1 --peers 1=h:1 --election-ms 60"), 2, "", "twice --heartbeat-ms");
    let crdt = with("--id 1 --peers 1=h:1 --mode leaderless --conflicts crdt");
    check(&crdt, 2, "", "use lww or siblings");
    let atomic = with("--id 1 --peers 1=h:1 --mode leaderless-abd --conflicts siblings");
    check(&atomic, 2, "", "has no order");
    let four = "1=h:1,2=h:2,3=h:3,4=h:4 --replicas 4 --read-quorum 2";
    let atomic = with(&format!("--id 1 --peers {four} --mode leaderless-abd"));
    check(&atomic, 2, "", "use at least 3");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_folder_that_cannot_be_used_is_bad_usage() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let peers = format!("--peers 1={}", free_address());
    check(&format!("serve --id 1 {peers} --data {}", file.display()), 2, "", "cannot be used");
}

#[test]
fn a_node_that_lost_its_folder_and_is_alone_with_it_is_bad_usage() {
    let folder = TempDir::new().unwrap();
    let one = free_address();
    let serve = |peers: &str, mode: &str| {
        let data = folder.path().display();
        format!("serve --id 1 --join --peers {peers} --mode {mode} --data {data}")
    };
    let alone = format!("1={one}");
    for mode in ["raft", "multi-leader", "leaderless"] {
        let words = "nobody can give it back what its folder had";
        check(&serve(&alone, mode), 2, "", words);
    }
}

#[test]
fn a_node_that_waits_for_what_it_lost_says_so() {
    let folder = TempDir::new().unwrap();
    let addresses: Vec<String> = (0..6).map(|_| free_address()).collect();
    let peers: Vec<String> =
        addresses.iter().enumerate().map(|(at, address)| format!("{}={address}", at + 1)).collect();
    for mode in ["raft", "primary-sync", "multi-leader", "leaderless"] {
        let data = folder.path().join(mode);
        let mut process = Process::new(env!("CARGO_BIN_EXE_stormglass-reference-db"))
            .args(["serve", "--id", "1", "--join", "--peers", &peers.join(","), "--mode", mode])
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let says = lines.any(|line| line.contains("n1 lacks what the others have, and counts for"));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(says, "{mode}: it waits and does not say why");
    }
}

#[test]
fn a_folder_in_use_is_bad_usage() {
    let node = Node::start("raft");
    let arguments = serve(&node.folder);
    check(&arguments, 2, "", "is in use by another process");
}

#[test]
fn a_folder_of_another_node_or_mode_is_bad_usage() {
    let mut node = Node::start("raft");
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    let belongs = "the data folder belongs to node 1 in mode raft";
    check(&format!("{} --mode primary-async", serve(&node.folder)), 2, "", belongs);
    let data = node.folder.path().display();
    let peers = format!("1=127.0.0.1:1,2={}", free_address());
    check(&format!("serve --id 2 --peers {peers} --data {data}"), 2, "", belongs);
}

#[test]
fn a_port_that_is_taken_is_bad_usage() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let arguments = format!("serve --id 1 --peers 1={address} --data {}", folder.path().display());
    check(&arguments, 2, "", &format!("nothing can listen on {address}"));
}

#[test]
fn a_damaged_disk_is_a_failure_that_names_the_place() {
    let mut node = Node::start("raft");
    check(&format!("put x 1 --nodes {}", node.address), 0, "ok\n", "");
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    fs::write(node.folder.path().join("log-0"), "something else").unwrap();
    let output = binary().args(serve(&node.folder).split_whitespace()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("error: log-0 is damaged at byte 0"), "{said}");
}

#[test]
fn a_log_that_was_lost_or_cut_to_nothing_is_not_taken_for_one_that_never_was() {
    for (lost, what) in [(true, "it is missing"), (false, "it was cut to nothing")] {
        let mut node = Node::start("raft");
        check(&format!("put x 1 --nodes {}", node.address), 0, "ok\n", "");
        node.process.kill().unwrap();
        node.process.wait().unwrap();
        let log = node.folder.path().join("log-0");
        if lost {
            fs::remove_file(log).unwrap();
        } else {
            fs::write(log, "").unwrap();
        }
        let said = format!("log-0 is damaged at byte 0: {what}; restore the node from its peers");
        check(&serve(&node.folder), 1, "", &said);
    }
}

#[test]
fn the_help_documents_the_exit_codes() {
    let output = binary().arg("--help").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("Exit codes:"));
}

#[test]
fn the_help_of_a_node_documents_how_long_requests_and_states_may_be() {
    let output = binary().args(["serve", "--help"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("at most 1 MiB") && said.contains("at most 256 MiB"), "{said}");
}

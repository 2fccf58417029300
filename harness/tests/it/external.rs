//! Processes as nodes: what is said about hostile ones, and that the nodes in `examples/external` are judged rightly.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use stormglass::external::{External, Launch, Limits, WORKLOADS};
use stormglass::nemesis::OF_DISKS;
use stormglass::plan::Plan;
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::store::{self, Store};
use stormglass::system::System;

use crate::cli::{self, refused, stormglass};

/// What every process says that has understood who it is, as a script.
const READY: &str =
    r#"read init; echo '{"dest":"c-init","body":{"type":"init_ok","in_reply_to":1}}'"#;

/// Takes a process out of the group of the node that starts it, where there is a program for that.
const OUT_OF_GROUP: &str = "$(command -v setsid)";

/// Runs one seed with a script of the shell as the node, much faster than real time.
fn run_script(folder: &Path, script: &str) -> Report {
    let program = folder.join("node.sh");
    cli::script(&program, script);
    let limits = Limits { memory_max: 100 << 20, processes_max: 20, disk_max: 20 << 20 };
    let (arguments, folder) = (Vec::new(), folder.to_owned());
    let launch = Launch { program, arguments, folder, pace: 50, limits };
    let system: Arc<dyn System> = Arc::new(External::new(launch, &WORKLOADS[0]));
    let mut plan = Plan::new("hostile", "external");
    plan.nemeses.clear();
    plan.nodes = vec![1];
    plan.clients = [2, 2];
    (plan.safety, plan.liveness) = (Duration::from_secs(1), Duration::from_secs(1));
    plan.check_for(&*system, &[]).unwrap();
    run(&system, &plan, Seed(0), Options::default())
}

/// What the command ends with, and says, of nodes that are this program, while nothing is done to them.
fn without_faults(program: &str, how: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    cli::program(&folder.path().join("node.py"), program);
    let all =
        ["external", "--bin", "node.py", "--nemeses", "none", "--safety", "2s", "--pace", "4"];
    let (code, stdout, stderr) = stormglass(folder.path(), &[&all[..], how].concat());
    (code, stdout + &stderr)
}

/// Asserts what is said about a node that is such a script.
fn said_of(script: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let report = run_script(folder.path(), script);
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    let first = live.verdict.anomalies().first().map(|anomaly| anomaly.explanation.join("; "));
    let first = first.unwrap_or_else(|| panic!("nothing was said: {:?}", report.vacuous));
    assert!(first.contains(words), "no {words:?} in {first}");
    let left = Command::new("pgrep").args(["-f", &folder.path().display().to_string()]).output();
    assert_eq!(left.map(|left| left.stdout).unwrap_or_default(), b"", "a process is left behind");
}

#[test]
fn a_process_that_says_what_is_no_message_is_named_with_what_it_said() {
    said_of("echo hello", "n1 dropped out: it said what is no JSON: hello");
    said_of(&format!("{READY}\necho '{{\"dest\"'; sleep 9"), "it said what is no JSON: {\"dest\"");
    said_of(
        &format!("{READY}\necho '[1]'; sleep 9"),
        "it said what is no message with a `dest` and a `body`: [1]",
    );
    let nobody = r#"echo '{"dest":"n9","body":{}}'; sleep 9"#;
    said_of(
        &format!("{READY}\n{nobody}"),
        "it said something to `n9`, and there is nobody of that",
    );
    let answers_nothing = r#"echo '{"dest":"c0","body":{"type":"read_ok"}}'; sleep 9"#;
    said_of(&format!("{READY}\n{answers_nothing}"), "it said to a client what answers nothing");
    let other = r#"read asked; echo '{"dest":"c0","body":{"type":"hello_ok","in_reply_to":1}}'"#;
    let other = format!(
        "{other}; echo '{{\"dest\":\"c1\",\"body\":{{\"type\":\"hello_ok\",\"in_reply_to\":1}}}}'"
    );
    said_of(&format!("{READY}\n{other}; sleep 9"), "it answered neither `");
    said_of(&format!("{READY}\nprintf '\\377\\n'; sleep 9"), "it said what is no UTF-8");
    let mark = r#"printf '\357\273\277{"dest":"n1","body":{}}\n'; sleep 9"#;
    said_of(&format!("{READY}\n{mark}"), "it said what is no JSON: \u{feff}{");
}

#[test]
fn a_process_that_ends_is_named_with_its_last_words() {
    said_of("echo sorry >&2; exit 3", "the process ended (exit status: 3); its last words: sorry");
    said_of(
        &format!("{READY}\necho bad >&2; kill -9 $$"),
        "(signal: 9 (SIGKILL)); its last words: bad",
    );
    said_of(&format!("{READY}\nprintf '{{\"dest'"), "it ended in the middle of a line: {\"dest");
    // One that says nothing any more, and could not, has not ended.
    said_of(
        &format!("{READY}\nexec >&-; sleep 9"),
        "n1 dropped out: it closed its standard output",
    );
}

#[test]
fn a_process_that_says_too_much_is_stopped() {
    let long = format!("{READY}\nhead -c 3000000 /dev/zero | tr '\\0' x; sleep 9");
    said_of(&long, "it said a line of more than 1048576 bytes");
    let flood = format!("{READY}\nyes '{{\"dest\":\"n1\",\"body\":{{}}}}'");
    said_of(&flood, "it reads nothing: 10000 messages wait for it");
}

#[test]
fn a_process_that_takes_too_much_is_stopped() {
    let bomb = "for i in $(seq 40); do sleep 9 & done; while read line; do :; done";
    said_of(&format!("{READY}\n{bomb}"), " processes, of 20 that it may have");
    // The last line of what has no end.
    let glutton = format!("{OUT_OF_GROUP} tail -n 1 /dev/zero; sleep 9");
    said_of(&format!("{READY}\n{glutton}"), " MiB of memory, of 100 MiB that it may take");
    let hoarder = "mkdir -p all/of/it; head -c 30000000 /dev/zero > all/of/it/kept; sleep 9";
    said_of(&format!("{READY}\n{hoarder}"), " MiB to its folder, of 20 MiB that it may");
}

/// Starts a node that says into a pipe that it is there, and holds it open for as long as anything of it lives. Returns
/// when it has said so.
fn begin(folder: &Path, more: &[&str]) -> (Child, BufReader<fs::File>) {
    let at = |name: &str| folder.join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    // Whoever has the pipe open holds up its reader.
    let script = format!(
        "exec 3>{}\n{READY}\n(sleep 20; echo outlived >&3) &\n{OUT_OF_GROUP} sh -c 'sleep 20; echo outlived >&3' &\n\
         echo up >&3\ncat",
        at("pipe").display()
    );
    cli::script(&at("node.sh"), &script);
    let mut harness = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    harness.args(["external", "--nodes", "1", "--nemeses", "none", "--bin"]).arg(at("node.sh"));
    harness.args(more).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    let harness = harness.spawn().unwrap();
    let mut pipe = BufReader::new(fs::File::open(at("pipe")).unwrap());
    let mut said = String::new();
    pipe.read_line(&mut said).unwrap();
    assert_eq!(said, "up\n");
    (harness, pipe)
}

#[test]
fn what_is_started_does_not_outlive_a_harness_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, mut pipe) = begin(folder.path(), &["--safety", "1h"]);
    harness.kill().unwrap();
    harness.wait().unwrap();
    let mut said = String::new();
    pipe.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "the pipe was let go before anybody had slept");
}

#[test]
fn whoever_is_interrupted_before_the_last_seed_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, _pipe) = begin(folder.path(), &["--safety", "1s", "--seeds", "0..9"]);
    let told = Command::new("kill").args(["-s", "INT", &harness.id().to_string()]).status();
    assert!(told.unwrap().success());
    assert_eq!(harness.wait().unwrap().code(), Some(130));
}

#[test]
fn a_process_that_cannot_be_started_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("none");
    let (arguments, folder, limits) = (Vec::new(), folder.path().to_owned(), Limits::default());
    let launch = Launch { program, arguments, folder, pace: 50, limits };
    let system: Arc<dyn System> = Arc::new(External::new(launch, &WORKLOADS[0]));
    let mut plan = Plan::new("none", "external");
    plan.nemeses.clear();
    plan.nodes = vec![1];
    (plan.safety, plan.liveness) = (Duration::from_secs(1), Duration::from_secs(1));
    let report = run(&system, &plan, Seed(0), Options::default());
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    let words = live.verdict.anomalies()[0].explanation.join("; ");
    assert!(words.contains("cannot start ") && words.contains("none"), "{words}");
}

#[test]
fn a_process_that_says_nothing_lets_every_operation_end_without_knowledge() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{READY}\nwhile read line; do :; done");
    let report = run_script(folder.path(), &script);
    assert!(report.counts.info > 0 && report.counts.ok == 0, "{:?}", report.counts);
    assert!(!report.vacuous.is_empty());
}

#[test]
fn what_a_process_leaves_running_is_ended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("alive");
    let script = format!(
        "{READY}\n(while :; do date > {0}; sleep 0.05; done) &\n\
         {OUT_OF_GROUP} sh -c 'while :; do date > {0}; sleep 0.05; done' &\nwhile read line; do :; done",
        marker.display()
    );
    run_script(folder.path(), &script);
    let left = Command::new("pgrep").args(["-f", &folder.path().display().to_string()]).output();
    assert_eq!(left.unwrap().stdout, b"", "a process is left behind");
}

#[test]
#[cfg(target_os = "linux")]
fn what_hides_from_all_that_a_node_is_known_by_ends_with_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let (node, here) = (folder.path().join("node.sh"), folder.path().display().to_string());
    let hidden = format!("env -i {OUT_OF_GROUP} sh -c 'sleep 600; :' {here} &");
    cli::script(&node, &format!("{READY}\n{hidden}\nwhile read line; do :; done"));
    let flags = "external --nodes 1 --nemeses none --safety 1s --pace 100 --bin node.sh";
    let flags: Vec<&str> = flags.split(' ').collect();
    let (code, _, stderr) = stormglass(folder.path(), &flags);
    assert_eq!(code, 1, "it answers nothing: {stderr}");
    let left = Command::new("pgrep").args(["-f", &here]).output();
    assert_eq!(left.unwrap().stdout, b"", "a process is left behind");
}

#[test]
fn an_empty_line_says_nothing_and_a_line_may_end_as_in_windows() {
    let folder = tempfile::tempdir().unwrap();
    let ready = READY.replace("echo", r"printf '%s\r\n'");
    let report = run_script(
        folder.path(),
        &format!("echo; {ready}\necho; printf '\\r\\n'; while read line; do echo; done"),
    );
    let live = report.judged.iter().find(|judged| judged.guarantee == Guarantee::Live).unwrap();
    let names = live.verdict.anomalies().iter().map(|anomaly| anomaly.name.as_str());
    assert!(names.clone().all(|name| name == "no-progress") && names.count() > 0, "{live:?}");
}

#[test]
fn nobody_is_told_to_replay_a_damaged_run_that_does_not_happen_again() {
    let folder = tempfile::tempdir().unwrap();
    let report = run_script(folder.path(), &format!("{READY}\nwhile read line; do :; done"));
    let run = Store::open(folder.path()).unwrap().save(&report).unwrap();
    let history = run.join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    fs::write(&history, text.replacen(r#""key":""#, r#""key":"x"#, 1)).unwrap();
    let damaged = store::load(&run).unwrap_err().to_string();
    assert!(damaged.contains("nothing makes it anew: it was one of processes"), "{damaged}");
}

#[test]
fn the_standard_error_of_each_node_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    run_script(folder.path(), &format!("echo here I am >&2\n{READY}\nwhile read line; do :; done"));
    assert_eq!(fs::read_to_string(folder.path().join("n1.stderr")).unwrap(), "here I am\n");
}

/// A node in Python of this repository, where there is a Python to run it.
#[expect(clippy::print_stdout, reason = "what was not looked at is to be seen")]
fn node(file: &str) -> Option<String> {
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        println!("not looked at: nodes in Python, since there is no python3 on the path");
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/external").join(file);
    Some(file.display().to_string())
}

/// Runs a node that does nothing wrong: nothing claimed is broken. (On a machine that has much else to do, a fault may be
/// over before a process has noticed it; the run then says that it proves nothing.)
fn assert_keeps(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let seed = ["--seeds", "0..1"];
    let (code, stdout, stderr) = stormglass(folder.path(), &[arguments, &seed].concat());
    assert!([0, 3].contains(&code), "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// Neither a page nor a test offers to have the stored run of processes again.
fn offers_nothing_that_replays(folder: &Path) {
    let runs = fs::read_dir(folder.join("results/runs")).unwrap();
    let run = runs.map(|entry| entry.unwrap().path().display().to_string()).next().unwrap();
    refused(folder, &["export", &run, "--to", "rust-test"], &["no test can have it again"]);
    refused(folder, &["export", &run, "--to", "shiviz"], &["no messages are recorded"]);
    let (code, _, stderr) = stormglass(folder, &["report", &run]);
    assert_eq!(code, 0, "{stderr}");
    let page = fs::read_to_string(Path::new(&run).join("report.html")).unwrap();
    assert!(page.contains(" show ") && !page.contains("stormglass replay"), "{run}");
}

/// Runs a node that does something wrong, under one seed after another until it shows.
fn assert_breaks(arguments: &[&str], anomaly: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut said = String::new();
    for seed in ["0..1", "1..2", "2..3", "3..4"] {
        let all = [arguments, &["--seeds", seed, "--", "broken"]].concat();
        let (code, stdout, stderr) = stormglass(folder.path(), &all);
        assert!([0, 1, 3].contains(&code), "{arguments:?}: {stdout}{stderr}");
        if code == 1 && stdout.contains(anomaly) {
            offers_nothing_that_replays(folder.path());
            return;
        }
        said += &stdout;
    }
    panic!("{arguments:?}: no {anomaly}: {said}");
}

#[test]
fn a_node_that_asks_the_service_is_linearizable_and_one_that_keeps_all_to_itself_is_not() {
    let Some(node) = node("lin_kv.py") else { return };
    let all = ["external", "--bin", &node, "--nodes", "3", "--safety", "4s"];
    let all = [&all[..], &["--nemeses", "kill", "--pace", "2"]].concat();
    let stdout = assert_keeps(&all);
    assert!(stdout.contains("the processes do not"), "it is not said how far it replays: {stdout}");
    assert_breaks(&all, "linearizable: ");
}

#[test]
fn nodes_are_judged_in_every_dialect() {
    let (Some(many), Some(log)) = (node("many.py"), node("log.py")) else { return };
    let cases = [
        (&many, "unique-ids", "kill", "duplicate-id"),
        (&many, "broadcast", "kill,partition", "divergence"),
        (&many, "txn-list-append", "kill", "strict-serializable: "),
        (&log, "echo", "kill", "wrong-echo"),
        (&log, "pn-counter", "kill", "durable: "),
        (&log, "g-counter", "kill", "lost-increment"),
        (&log, "kafka", "kill", "log: "),
    ];
    let check = |(node, workload, nemeses, anomaly): (&String, &str, &str, &str)| {
        let all = ["external", "--bin", node, "--nodes", "3", "--safety", "5s"];
        let all = [&all[..], &["--workload", workload, "--nemeses", nemeses]].concat();
        assert_keeps(&all);
        assert_breaks(&all, anomaly);
    };
    std::thread::scope(|scope| {
        let check = &check;
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

#[test]
fn what_there_is_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--bin nowhere"];
    refused(folder.path(), &["external", "--bin", "nowhere"], &words);
    let words = ["no workload is called `lin-kw`; there are lin-kv, g-set"];
    refused(folder.path(), &["external", "--bin", "/bin/sh", "--workload", "lin-kw"], &words);
    let said = |arguments: &[&str], words: &str| {
        let all = [&["external", "--bin", "/bin/sh"], arguments].concat();
        refused(folder.path(), &all, &[words]);
    };
    said(&["--nodes", "1", "--nemeses", "partition"], "--nodes 1: `partition` needs 2 or more");
    said(
        &["--nemeses", "partitoin"],
        "--nemeses: none is called `partitoin`; for processes, there are ",
    );
    said(&["--nemeses", "none,kill"], "--nemeses: `none` stands alone");
    said(&["--safety", "0s"], "--safety");
    let words = "--nemeses: `disk-full` does nothing to processes; for them, there are partition, ";
    said(&["--nemeses", "kill,disk-full"], words);
    for nemesis in OF_DISKS.into_iter().chain(["clock", "membership", "disk-slow"]) {
        let words = format!("--nemeses: `{nemesis}` does nothing to processes");
        said(&["--nemeses", nemesis], &words);
    }
    fs::write(folder.path().join("plain.py"), "print()").unwrap();
    cli::program(&folder.path().join("other.sh"), "#!/nowhere/sh\n");
    for (file, why) in [("plain.py", "Permission denied"), ("other.sh", "No such file")] {
        let (code, stdout, stderr) = stormglass(folder.path(), &["external", "--bin", file]);
        assert_eq!((code, &*stdout), (2, ""), "{file}: {stderr}");
        for words in ["--bin: cannot start ", why, "a script begins with `#!`"] {
            assert!(stderr.contains(words), "{file}: no {words:?} in {stderr}");
        }
        for left in ["results/runs", "results/processes"] {
            assert_eq!(fs::read_dir(folder.path().join(left)).unwrap().count(), 0, "{left}");
        }
    }
}

/// A node that is right but for what it is told to lie about.
const LIAR: &str = r#"#!/usr/bin/env python3
import json, os, sys
lie, held, total, logs, commits, adds = sys.argv[1], [], 0, {}, {}, 0
for line in sys.stdin:
    message = json.loads(line)
    asked = message["body"]
    kind, to = asked["type"], message["src"]
    if lie == "deaf" and kind != "init" and message["dest"] == "n2":
        continue
    said = {"type": kind + "_ok", "in_reply_to": asked["msg_id"]}
    if lie == "leaves" and kind == "generate":
        home = os.getcwd()
        os.rename(home, home + "-before")
        os.symlink("elsewhere", home)
        break
    if kind == "add":
        held += [asked.get("element")]
        adds += 1
        total += asked.get("delta", 0) * (2 if lie == "counts-twice" and adds % 9 == 5 else 1)
        if lie == "counts-twice" and adds % 9 == 7:
            continue
    elif kind == "broadcast":
        held += [asked["message"]]
    elif kind == "read" and lie in ("sum", "counts-twice"):
        said["value"] = total + (10**12 if lie == "sum" else 0)
    elif kind == "cas" and lie != "any-cas":
        said |= {"type": "error", "code": 22}
    elif kind == "read" and lie == "any-cas":
        said |= {"type": "error", "code": 20}
    elif kind == "read" and lie != "nothing":
        said["value"] = said["messages"] = held + {"made-up": [-7], "twice": held[:1]}[lie]
    elif kind == "send":
        log = logs.setdefault(asked["key"], [])
        said["offset"] = len(log)
        log += [asked["msg"]]
    elif kind == "poll":
        said["msgs"] = {}
        for key, start in asked["offsets"].items():
            if lie != "hides":
                said["msgs"][key] = list(enumerate(logs.get(key, [])))[0 if lie == "poll" else start:]
        total += 1
        if lie == "falls-silent" and total > 5:
            continue
    elif kind == "generate":
        total += 1
        said["id"] = total // 2 if lie == "again" else message["dest"] + str(total)
    elif kind == "commit_offsets" and lie != "forgets":
        commits.update(asked["offsets"])
    elif kind == "list_committed_offsets":
        said["offsets"] = {key: commits[key] for key in asked["keys"] if key in commits}
    if kind != "init":
        said["in_reply_to"] += 1000 if lie == "number" else 0
        to = "c999" if lie == "client" else to
    name = "n7" if lie == "name" and kind != "init" else message["dest"]
    print(json.dumps({"src": name, "dest": to, "body": said}), flush=True)
"#;

/// Asks a service before it says that it knows who it is, and waits for the answer, as a handler of `init` may; tells its
/// neighbours, too; serves nobody whom it does not know.
const EARLY: &str = r#"#!/usr/bin/env python3
import json, sys
name, init, others = None, None, []
def say(dest, body):
    print(json.dumps({"src": name, "dest": dest, "body": body}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    if body["type"] == "init":
        name, init, others = body["node_id"], message, body["node_ids"]
        for other in others:
            say(other, {"type": "hello"})
        say("seq-kv", {"type": "write", "key": name, "value": 0, "msg_id": 7})
    elif body["type"] == "hello":
        others.remove(message["src"])
    elif body["type"] == "write_ok":
        say(init["src"], {"type": "init_ok", "in_reply_to": init["body"]["msg_id"]})
        init = None
    elif body["type"] == "echo" and init is None and not others:
        say(message["src"], {"type": "echo_ok", "in_reply_to": body["msg_id"], "echo": body["echo"]})
"#;

#[test]
fn a_node_may_ask_and_speak_before_it_says_that_it_knows_who_it_is() {
    if node("lin_kv.py").is_none() {
        return;
    }
    let how = ["--workload", "echo", "--nodes", "3", "--seeds", "0..2"];
    let (code, said) = without_faults(EARLY, &how);
    assert!(code == 0 && said.contains("seed 1: valid"), "{said}");
    let ready = |number: u32| {
        let told =
            format!(r#"{{"dest":"c-init","body":{{"type":"init_ok","in_reply_to":{number}}}}}"#);
        format!("echo '{told}'")
    };
    said_of(&format!("read init; {}", ready(8)), "it answered `c-init`, who had sent no message 8");
    let asks =
        r#"echo '{"dest":"lin-kv","body":{"type":"read","key":"x","msg_id":1}}'; read answer"#;
    said_of(
        &format!("read init; {asks}; {}; echo hello", ready(1)),
        "it said what is no JSON: hello",
    );
}

/// Asserts what is said of a node that lies in some way, at one of these paces.
///
/// A node has real time to answer in, the less the faster virtual time passes. Where the machine is so busy that hardly
/// anything is answered in time, a node has told no lies that anybody could find: it is given more time then.
fn told_of_a_liar(folder: &Path, how: &[&str], lie: &str, paces: &[&str], words: &str) {
    let mut said = String::new();
    for pace in paces {
        let all = ["external", "--bin", "liar.py", "--nemeses", "none", "--seeds", "0"];
        let all = [&all[..], how, &["--pace", pace, "--", lie]].concat();
        let (code, stdout, stderr) = stormglass(folder, &all);
        if code == 1 && stdout.contains(words) {
            return;
        }
        said.push_str(&format!("at pace {pace}, exit code {code}: {stdout}{stderr}\n"));
    }
    panic!("{how:?} {lie}: no {words:?} in {said}");
}

#[test]
fn what_a_node_makes_up_is_told() {
    if node("lin_kv.py").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    cli::program(&folder.path().join("liar.py"), LIAR);
    for (workload, lie, words) in [
        ("g-set", "made-up", "set: phantom-element on key k0"),
        ("g-set", "twice", "set: duplicate-element on key k0"),
        ("broadcast", "made-up", "set: phantom-element on key k0"),
        ("pn-counter", "sum", "counter: counter-out-of-bounds on key k0"),
        ("g-counter", "sum", "counter: counter-out-of-bounds on key k0"),
        ("pn-counter", "counts-twice", "durable: wrong-sum on key k0"),
        ("kafka", "poll", "log: nonmonotonic-poll on key k"),
        ("lin-kv", "nothing", "its `read_ok` has not what belongs into it: {"),
        ("g-set", "nothing", "its `read_ok` has not what belongs into it: {"),
        ("unique-ids", "again", "unique-ids: duplicate-id"),
        ("unique-ids", "leaves", "live: node-stopped"),
        ("kafka", "hides", "log: "),
        ("kafka", "forgets", "log: lost-commit"),
        ("kafka", "falls-silent", "not one poll succeeded"),
        ("lin-kv", "any-cas", "it did a `cas` from -1, which no client has written"),
        ("g-set", "name", "it spoke in the name of `n7`"),
        ("g-set", "number", "it answered `c"),
        ("g-set", "client", "it answered `c999`, who had sent no message "),
    ] {
        let how = ["--workload", workload, "--nodes", "1", "--safety", "1s"];
        told_of_a_liar(folder.path(), &how, lie, &["20", "5", "1"], words);
    }
    // One of three that answers nothing.
    let how = ["--workload", "unique-ids", "--nodes", "3", "--safety", "2s"];
    told_of_a_liar(folder.path(), &how, "deaf", &["4", "1"], "live: node-silent");
    // None of them is in the place of another one.
    let runs = folder.path().join("results/runs");
    assert!(runs.join("external-g-set-0").exists() && runs.join("external-g-set-4-0").exists());
}

/// Tells the other node what a number of 64 bits is not, and serves only who has been told the same; its ids are as great.
const CARRIER: &str = r#"#!/usr/bin/env python3
import json, sys
SAID = '{"type":"note","great":1180591620717411303424,"small":5.280985156625687e-08,"text":"\\ud800","deep":' + "[" * 200 + "]" * 200 + "}"
heard, number = False, 0
for line in sys.stdin:
    if '"note"' in line:
        heard = SAID in line
        continue
    message = json.loads(line)
    asked = message["body"]
    if asked["type"] == "init":
        other = "n2" if message["dest"] == "n1" else "n1"
    else:
        print('{"src":"%s","dest":"%s","body":%s}' % (message["dest"], other, SAID), flush=True)
    number += 1
    said = {"type": asked["type"] + "_ok", "in_reply_to": float(asked["msg_id"])}
    said["id"] = (1 << 70) + 2 * number + (other == "n1")
    if asked["type"] == "init" or heard:
        print(" \t" + json.dumps({"src": message["dest"], "dest": message["src"], "body": said}), flush=True)
"#;

#[test]
fn what_nodes_say_to_each_other_arrives_as_it_was_said_and_great_numbers_are_ids_too() {
    if node("lin_kv.py").is_none() {
        return;
    }
    let how = ["--workload", "unique-ids", "--nodes", "2", "--seeds", "0"];
    let (code, said) = without_faults(CARRIER, &how);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_partition_cuts_nodes_off_from_the_services_they_ask() {
    let Some(node) = node("lin_kv.py") else { return };
    let all = ["external", "--bin", &node, "--nodes", "3", "--safety", "5s", "--pace", "2"];
    let folder = tempfile::tempdir().unwrap();
    let seeds = ["--nemeses", "partition", "--seeds", "0..2"];
    let (code, stdout, stderr) = stormglass(folder.path(), &[&all[..], &seeds].concat());
    assert_eq!(code, 0, "the cuts made a difference, and nothing was broken: {stdout}{stderr}");
}

#[test]
fn who_relies_on_more_than_a_weak_service_promises_is_found_out() {
    let Some(node) = node("lin_kv.py") else { return };
    for service in ["seq-kv", "lww-kv"] {
        let folder = tempfile::tempdir().unwrap();
        let all = ["external", "--bin", &node, "--nodes", "3", "--safety", "2s", "--pace", "2"];
        let all = [&all[..], &["--nemeses", "none", "--seeds", "0..1", "--", service]].concat();
        let (code, stdout, stderr) = stormglass(folder.path(), &all);
        assert!(code == 1 && stdout.contains("linearizable: "), "{service}: {stdout}{stderr}");
    }
}

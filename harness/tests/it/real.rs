//! Real processes: a store is judged under real faults, and nothing is left of a run, however it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

use crate::cli::{refused, script, stormglass};

/// A folder for a run, where this machine lets anybody have namespaces with networks in them.
#[expect(clippy::print_stdout, reason = "what was not looked at is to be seen")]
fn place() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let (_, stdout, stderr) = stormglass(folder.path(), &["probe", "--format", "json"]);
    let probed: Json = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    let servers = ["etcd", "redis-server", "stormglass-reference-db"];
    let needs = probed["needs"].as_array().unwrap();
    let missing =
        |need: &&Json| need["found"] == false && !servers.iter().any(|name| need["what"] == *name);
    if let Some(need) = needs.iter().find(missing) {
        println!(
            "not looked at: real runs, since {} is missing ({})",
            need["what"], need["detail"]
        );
        return None;
    }
    Some(folder)
}

/// The reference store, where it was built beside the command: the tests of the whole workspace do so.
#[expect(clippy::print_stdout, reason = "what was not looked at is to be seen")]
fn reference_db() -> Option<PathBuf> {
    let program =
        assert_cmd::cargo::cargo_bin!("stormglass").with_file_name("stormglass-reference-db");
    if !program.is_file() {
        println!(
            "not looked at: the reference store in real runs, since {} was not built",
            program.display()
        );
        return None;
    }
    Some(program)
}

#[test]
fn the_reference_store_holds_under_real_faults_and_reads_like_every_other_run() {
    let (Some(folder), Some(program)) = (place(), reference_db()) else { return };
    // One that starts the server in a session of its own, as launchers do: faults reach whatever runs on a node.
    let launcher = folder.path().join("launcher.sh");
    script(&launcher, &format!("setsid {} \"$@\" & wait", program.display()));
    let program = launcher.display().to_string();
    let all = ["real", "--system", "reference-db", "--binary", &program, "--time", "9s"];
    let more = [
        "--clients",
        "6",
        "--rate",
        "120",
        "--nemeses",
        "partition,kill,pause",
        "--format",
        "json",
    ];
    let (code, stdout, stderr) = stormglass(folder.path(), &[&all[..], &more].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    let run: Json = serde_json::from_str(&stdout).unwrap();
    assert_eq!(run["conclusion"], "valid");
    assert_eq!(run["config"]["engine"], "real");
    assert!(run["counts"]["ok"].as_u64().unwrap() > 300, "{}", run["counts"]);
    let effects = run["effects"].as_array().unwrap();
    assert!(
        effects.iter().any(|effect| effect["stopped"].as_u64() > Some(0)),
        "nobody was killed: {effects:?}"
    );
    let cuts = |effect: &&Json| effect["dropped"].as_u64() > Some(0);
    assert!(effects.iter().any(|effect| cuts(&effect)), "nothing was cut: {effects:?}");
    let log = folder.path().join("results/processes/real-reference-db-0/n1.log");
    assert!(fs::read_to_string(log).unwrap().contains("listening on 10.77.0.1:7000"));

    let (code, shown, stderr) =
        stormglass(folder.path(), &["show", "real-reference-db-0", "--key", "k0"]);
    assert_eq!(code, 0, "{shown}{stderr}");
    let (code, _, stderr) = stormglass(folder.path(), &["replay", "real-reference-db-0"]);
    assert!(code == 2 && stderr.contains("does not happen again"), "{stderr}");
}

/// Starts a run whose nodes are a script that says into a pipe that it is there, and holds it open for as long as it
/// lives. Returns when all three have said so.
fn begin(folder: &Path) -> (Child, BufReader<fs::File>) {
    let (pipe, node) = (folder.join("pipe"), folder.join("node.sh"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = format!(
        "[ \"$1\" = --version ] && exit\nexec 3>{}\necho up >&3\nsleep 300 & wait",
        pipe.display()
    );
    script(&node, &text);
    let mut harness = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    harness.args(["real", "--system", "reference-db", "--binary"]).arg(&node);
    harness.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    let harness = harness.spawn().unwrap();
    // Opened to write as well, the pipe does not end before the first node has opened it.
    let held = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let mut reader = BufReader::new(fs::File::open(&pipe).unwrap());
    for _ in 0..3 {
        let mut said = String::new();
        reader.read_line(&mut said).unwrap();
        assert_eq!(said, "up\n");
    }
    drop(held);
    (harness, reader)
}

/// Everything that a run could have left: networks, links and mounts of this machine, and what its folder has.
fn left(folder: &Path) -> Vec<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.join(" ")
    };
    vec![
        said("ip", &["netns", "list"]),
        said("ip", &["-o", "link", "show", "type", "bridge"]),
        said("nft", &["list", "tables"]),
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
        Path::new("/run/stormglass").exists().to_string(),
        names(&folder.join("results")),
        names(&folder.join("results/runs")),
    ]
}

/// Ends a run that has begun, in some way, and asserts that nothing is left of it.
fn leaves_nothing(end: impl Fn(&mut Child), code: Option<i32>) {
    let Some(folder) = place() else { return };
    fs::create_dir_all(folder.path().join("results/runs")).unwrap();
    let before = left(folder.path());
    let (mut harness, mut pipe) = begin(folder.path());
    end(&mut harness);
    assert_eq!(harness.wait().unwrap().code(), code);
    let mut said = String::new();
    // It ends when the last process that could write there is gone.
    pipe.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert_eq!(left(folder.path()), before);
}

#[test]
fn nothing_outlives_a_harness_that_is_killed() {
    leaves_nothing(|harness| harness.kill().unwrap(), None);
}

#[test]
fn nothing_outlives_a_harness_that_is_told_to_end() {
    let ends = |harness: &mut Child| {
        let told = Command::new("kill").args(["-s", "TERM", &harness.id().to_string()]).status();
        assert!(told.unwrap().success());
    };
    leaves_nothing(ends, Some(130));
}

#[test]
fn a_run_that_something_else_ends_is_no_verdict() {
    // The only child of the harness is `unshare`, whose only child is the first process inside.
    let child = |of: u32| -> u32 {
        let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
        children.trim().parse().unwrap()
    };
    let ends = |harness: &mut Child| {
        let inside = child(child(harness.id())).to_string();
        assert!(Command::new("kill").args(["-s", "KILL", &inside]).status().unwrap().success());
    };
    leaves_nothing(ends, Some(4));
}

#[test]
fn what_there_is_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str], words: &str| {
        refused(folder.path(), &[&["real", "--system"], arguments].concat(), &[words]);
    };
    said(&["etdc"], "none is called `etdc`; there are etcd, redis-sentinel, reference-db");
    said(
        &["etcd", "--nemeses", "crash"],
        "`crash` is nothing that can be done to real processes; there are partition",
    );
    said(
        &["etcd", "--nemeses", "partitoin"],
        "--nemeses: none is called `partitoin`; there are partition",
    );
    said(
        &["etcd", "--workload", "queue"],
        "workload = \"queue\" does nothing that etcd offers, or only reads there",
    );
    said(&["etcd", "--reads", "often"], "reads");
    said(&["redis-sentinel", "--mode", "raft"], "`mode` is no setting of redis-sentinel");
    said(&["etcd", "--claim", "linear"], "there are linearizable");
    let not_judged =
        "is not judged in real runs of the workload `register`; there are linearizable";
    said(&["etcd", "--claim", "linearizable,available"], &format!("available {not_judged}"));
    said(&["etcd", "--claim", "serializable"], &format!("serializable {not_judged}"));
    said(&["etcd", "--inside"], "this is for the program itself");
    said(&["etcd", "--time", "0s"], "--time = 0s must lie between 1s and 1h");
    said(&["etcd", "--nemeses", "none,kill"], "`none` stands alone");
    said(&["etcd", "--workload", "set"], "does nothing that etcd offers, or only reads there");
}

#[test]
fn a_program_that_goes_on_talking_or_hangs_is_probed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("etcd");
    script(&program, "exec yes");
    let arguments = ["probe", "--system", "etcd", "--binary", program.to_str().unwrap()];
    let (_, stdout, stderr) = stormglass(folder.path(), &arguments);
    assert!(stdout.contains("there"), "{stdout}{stderr}");
}

#[test]
fn a_run_that_lacks_a_program_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["real", "--system", "etcd", "--binary", "nowhere"];
    let (code, stdout, stderr) = stormglass(folder.path(), &arguments);
    assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
    assert!(stderr.contains("etcd is missing: "), "{stderr}");
}

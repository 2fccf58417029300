//! The command line, as it is used: what it prints and which code it ends with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

/// Runs the program in a folder and returns its exit code, standard output and standard error.
pub(crate) fn stormglass(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    run_program(assert_cmd::cargo::cargo_bin!("stormglass"), folder, arguments)
}

/// The same for a program that has the command line over other systems.
pub(crate) fn run_program(
    program: &Path,
    folder: &Path,
    arguments: &[&str],
) -> (i32, String, String) {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments);
    for name in ["STORMGLASS_RESULTS", "STORMGLASS_PLANS", "STORMGLASS_FORMAT"] {
        command.env_remove(name);
    }
    command.env_remove("GITHUB_STEP_SUMMARY");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Writes a script of the shell that can be run.
pub(crate) fn script(file: &Path, text: &str) {
    program(file, &format!("#!/bin/sh\n{text}\n"));
}

/// Writes a script that can be run, which says in its first line by what.
pub(crate) fn program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Asserts that a command is refused as wrong use, with these words, and leaves nothing behind.
pub(crate) fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let before = listing(folder);
    let (code, stdout, stderr) = stormglass(folder, arguments);
    assert_eq!(code, 2, "{arguments:?}: {stderr}");
    assert_eq!(stdout, "", "{arguments:?}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: no {word:?} in {stderr}");
    }
    assert_eq!(listing(folder), before, "{arguments:?} left something behind");
}

fn listing(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(listing(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// A campaign file whose runs take little time.
pub(crate) const SHORT: &str = r#"
[[plan]]
name = "short"
system = "primary-async"
replica-reads-percent = 30
safety = "6s"
liveness = "3s"
"#;

#[test]
fn unknown_names_are_answered_with_those_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let known = ["no plan is called `rafd`; there are raft, raft-lease, raft-lease-clock"];
    refused(at, &["run", "--plan", "rafd", "--seed", "1"], &known);
    refused(at, &["campaign", "--only", "rafd"], &known);
    refused(at, &["campaign", "--skip", "rafd"], &known);
    refused(at, &["doctor", "--only", "rafd"], &known);
    refused(at, &["replay", "--plan", "rafd", "--seed", "1"], &known);
    fs::write(at.join("p.toml"), "[[plan]]\nname = \"a\"\nsystem = \"rafd\"\n").unwrap();
    let words = ["p.toml:3: plan `a`: no system is called `rafd`", "raft"];
    refused(at, &["list", "--plans", "p.toml"], &words);
}

#[test]
fn members_come_and_go_where_there_is_room_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let plan =
        "[[plan]]\nname = \"a\"\nsystem = \"raft\"\nnodes = [3, 8]\nnemeses = [\"membership\"]\n";
    fs::write(at.join("p.toml"), plan).unwrap();
    let words =
        ["p.toml:4: plan `a`: nodes = [3, 8] leaves no room for the 2 spare nodes", "7 at most"];
    refused(at, &["campaign", "--plans", "p.toml"], &words);
    let raft = ["campaign", "--nemeses", "membership", "--only", "raft", "--seeds", "0..1"];
    let (code, stdout, stderr) = stormglass(at, &raft);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn a_malformed_plan_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let broken = "[[plan]]\nname = \"a\"\nsystem = \"raft\"\nnodez = [3]\n";
    fs::write(at.join("p.toml"), broken).unwrap();
    refused(at, &["campaign", "--plans", "p.toml"], &["p.toml:4: ", "nodez", "nodes"]);
    fs::write(at.join("p.toml"), "[[plan]]\nname = \"a\"\nsystem = \n").unwrap();
    refused(at, &["campaign", "--plans", "p.toml"], &["p.toml:3: "]);
    let sizes = "[[plan]]\nname = \"a\"\nsystem = \"raft\"\nsafety = \"2ms\"\n";
    fs::write(at.join("p.toml"), sizes).unwrap();
    refused(at, &["campaign", "--plans", "p.toml"], &["p.toml:4: plan `a`", "between 1s and 1h"]);
    let second = "[[plan]]\nname = \"a\"\nsystem = \"raft\"\n\n[[plan]]\nname = \"b\"\n";
    let wrong = [
        ("system = \"raft\"\nnemeses = [\"crash\", \"flood\"]\n", "p.toml:8: plan `b`: no nemesis"),
        (
            "system = \"raft\"\nnemeses = [\"crash\", \"crash\"]\n",
            "p.toml:8: plan `b`: nemeses lists",
        ),
        ("system = \"raft\"\ncanary-runs = 0\n", "p.toml:8: plan `b`: canary-runs = 0"),
        ("system = \"raft\"\nregions = []\n", "p.toml:8: plan `b`: regions = [] has none"),
        (
            "system = \"raft\"\nregions = [[1, 2], [3]]\n",
            "p.toml:8: plan `b`: regions = [[1, 2], [3]]",
        ),
        ("system = \"raft\"\nregions = [[0]]\n", "p.toml:8: plan `b`: regions = [[0]] must"),
        ("system = \"raft\"\nmessage-cost = \"2s\"\n", "p.toml:8: plan `b`: message-cost"),
        (
            "system = \"raft\"\nclients = [5, 6, 7]\n",
            "p.toml:8: `clients = [5, 6, 7]`: a range belongs here, such as `clients = [5, 10]`",
        ),
        (
            "system = \"raft\"\n[[plan]]\nname = \"-x\"\nsystem = \"raft\"",
            "p.toml:9: plan `-x`: name must",
        ),
    ];
    for (rest, words) in wrong {
        fs::write(at.join("p.toml"), format!("{second}{rest}")).unwrap();
        refused(at, &["campaign", "--plans", "p.toml"], &[words]);
    }
    fs::write(at.join("p.toml"), "# nothing\n").unwrap();
    refused(at, &["campaign", "--plans", "p.toml"], &["p.toml:1: there is no [[plan]] in it"]);
    refused(at, &["campaign", "--plans", "none.toml"], &["cannot read none.toml"]);
}

#[test]
fn wrong_seeds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["campaign", "--seeds", "9..3"], &["no range of seeds"]);
    refused(folder.path(), &["run", "--plan", "raft", "--seed", "x"], &["`x` is no seed"]);
    refused(folder.path(), &["replay", "--plan", "raft"], &["--seed"]);
    refused(folder.path(), &["replay"], &["RUN"]);
}

#[test]
fn a_results_folder_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("file"), "").unwrap();
    let words = ["cannot write file/results/runs", "--results DIR"];
    refused(at, &["campaign", "--results", "file/results"], &words);
    let run = ["run", "--plan", "raft", "--seed", "1", "--store", "--results", "file/results"];
    refused(at, &run, &words);
}

#[test]
fn what_is_no_stored_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["show", "nowhere"], &["nowhere is no stored run", "run.json"]);
    refused(folder.path(), &["replay", "nowhere"], &["nowhere is no stored run", "run.json"]);
}

#[test]
fn list_shows_every_entry_of_every_table() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = stormglass(folder.path(), &["list"]);
    assert_eq!(code, 0);
    let systems = stormglass::system::SYSTEMS.iter().map(|entry| entry.name);
    let nemeses = stormglass::nemesis::NEMESES.iter().map(|entry| entry.name);
    let workloads = workloads::WORKLOADS.iter().map(|entry| entry.name);
    let checkers = checkers::checker::CHECKERS.iter().map(|entry| entry.guarantee.name());
    let models = checkers::model::MODELS.iter().map(|entry| entry.name);
    for name in systems.chain(nemeses).chain(workloads).chain(checkers).chain(models) {
        assert!(stdout.lines().any(|line| line.starts_with(&format!("  {name} "))), "no {name}");
    }
    let (code, stdout, _) = stormglass(folder.path(), &["list", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["schema_version"]), (0, &serde_json::json!(1)));
}

/// The whole way of a witness: found, told, stored, shown, replayed, damaged.
/// Keeps a shrunk run, verifies it, and sees what is said when it does not do what is expected.
fn keep(at: &Path, run: &str) {
    let name = run.strip_prefix("results/runs/").unwrap();
    let shown = [name, run].map(|run| stormglass(at, &["show", run]).1);
    assert!(shown[0] == shown[1] && shown[0].contains("▶"), "its name says as much: {}", shown[0]);
    let (code, stdout, stderr) = stormglass(at, &["corpus", "add", run, "--name", "kept"]);
    assert!(
        code == 0 && stdout.contains("is kept in results/corpus/kept.json"),
        "{stdout}{stderr}"
    );
    let (code, stdout, _) = stormglass(at, &["corpus", "list"]);
    assert!(code == 0 && stdout.contains("│ kept ") && stdout.contains("│ fails "), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["corpus", "verify"]);
    assert!(code == 0 && stdout.contains("fails, the same history"), "{stdout}");
    assert!(stdout.ends_with("1 of 1 cases are as expected\n"), "{stdout}");

    let other = ["corpus", "add", run, "--name", "kept", "--about", "another"];
    refused(at, &other, &["kept.json holds another case", "--name"]);
    // Neither what is greater nor what explains nothing takes its place.
    for again in [name.trim_end_matches("-shrunk"), name] {
        let (_, stdout, _) = stormglass(at, &["shrink", again, "--budget", "0s"]);
        assert!(stdout.contains("not stored: ") && stdout.contains(", and stays"), "{stdout}");
        // What is told is what is there.
        let told = |text: &str| {
            text.split_once("How it came about")
                .unwrap()
                .1
                .split_once("What it takes")
                .unwrap()
                .0
                .to_owned()
        };
        assert_eq!(told(&stdout), told(&shown[0]));
    }
    let still = stormglass(at, &["show", run]).1;
    assert!(still == shown[0] && still.contains("What it takes"), "{still}");
    let expecting = ["corpus", "add", run, "--name", "mended", "--expected", "holds"];
    assert_eq!(stormglass(at, &expecting).0, 0);
    let (code, stdout, _) = stormglass(at, &["corpus", "verify"]);
    assert!(code == 1 && stdout.ends_with("1 of 2 cases are as expected\n"), "{stdout}");
    let kept = at.join("results/corpus/kept.json");
    let text = fs::read_to_string(&kept).unwrap();
    let version = format!("\"program\": \"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&kept, text.replacen(&version, "\"program\": \"0.0.9\"", 1)).unwrap();
    let (_, stdout, _) = stormglass(at, &["corpus", "verify"]);
    assert!(stdout.contains("1 case kept by another version (0.0.9); this is"), "{stdout}");
    fs::write(&kept, &text).unwrap();
    assert!(text.contains("\"signature\": {") && text.contains("\"shape\": {"), "{text}");
    fs::write(at.join("results/corpus/other.json"), "{\n\"format\": 7}").unwrap();
    let (code, stdout, _) = stormglass(at, &["corpus", "verify"]);
    assert!(code == 1 && stdout.ends_with("1 of 2 cases are as expected\n"), "{stdout}");
    assert!(
        stdout.contains("other could not be run: results/corpus/other.json:1: format 7"),
        "{stdout}"
    );
    fs::remove_file(at.join("results/corpus/mended.json")).unwrap();
    let (code, stdout, _) = stormglass(at, &["corpus", "verify"]);
    assert!(code == 2 && stdout.ends_with("1 of 1 cases are as expected\n"), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["corpus", "list"]);
    assert!(code == 2 && stdout.contains("other could not be run: "), "{stdout}");
    refused(at, &["corpus", "list", "--corpus", "nowhere"], &["cannot read nowhere"]);
    refused(at, &["corpus", "add", run, "--name", "../kept"], &["cannot name a file"]);

    let (code, stdout, _) = stormglass(at, &["export", run, "--to", "rust-test"]);
    assert!(code == 0 && stdout.contains("#[test]") && stdout.contains("const CASE"), "{stdout}");
}

/// Cuts the history of a stored run off, and sees it made anew.
fn damage(at: &Path, run: &str) {
    let history = at.join(run).join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    fs::write(&history, &text[..text.len() / 2]).unwrap();
    let cut_at = text[..text.len() / 2].lines().count();
    refused(at, &["show", run], &[&format!("history.jsonl:{cut_at}: ")]);
    let (code, stdout, stderr) = stormglass(at, &["replay", run]);
    assert!(code == 2 && stdout.contains("the same fingerprint as in run.json"), "{stdout}");
    assert!(stderr.contains(&format!("history.jsonl:{cut_at}: ")), "{stderr}");
    stormglass(at, &["replay", run, "--trace", "--results", "elsewhere"]);
    let made = at.join(run.replacen("results", "elsewhere", 1)).join("history.jsonl");
    assert!(fs::read_to_string(made).unwrap() == text, "it goes where somebody says");
    stormglass(at, &["replay", run, "--trace"]);
    let mended = fs::read_to_string(&history).unwrap() == text;
    assert!(mended, "a replay with a trace mends the run");
}

/// Asserts that a shrunk run of another version is told from one of this, and that one of another anomaly stays.
fn stays_what_it_was(at: &Path, run: &str, small: &str, anomaly: &str) {
    let stored = at.join(small).join("run.json");
    let own = fs::read_to_string(&stored).unwrap();
    let version = format!("\"program\": \"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&stored, own.replacen(&version, "\"program\": \"0.0.9\"", 1)).unwrap();
    let (_, stdout, _) = stormglass(at, &["replay", small]);
    let other = "the same history as the stored one: it was stored by version 0.0.9; this is";
    assert!(stdout.contains(other), "{stdout}");
    let mut other: serde_json::Value = serde_json::from_str(&own).unwrap();
    other["why"]["failure"]["anomaly"] = "another".into();
    fs::write(&stored, other.to_string()).unwrap();
    let (_, stdout, _) = stormglass(at, &["shrink", run, "--budget", "0s"]);
    assert!(stdout.contains(&format!("stored in {small}-2\n")), "what is there stays: {stdout}");
    // Without time to look into what it takes, it is still told how it came about, and for which anomaly.
    let (_, stdout, _) = stormglass(at, &["show", &format!("{small}-2")]);
    assert!(stdout.contains("How it came about"), "{stdout}");
    assert!(stdout.contains("there was no time to try what becomes of it"), "{stdout}");
    assert!(stdout.contains(anomaly), "{stdout}");
    fs::write(&stored, own).unwrap();
}

/// Asserts that whoever has changed the record of a run is found out, and the run is made anew.
fn falsify(at: &Path, run: &str, stored: &str) {
    let record = at.join(run).join("run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(stored, &stored.replace(&stored[..1], "z"))).unwrap();
    let (code, stdout, stderr) = stormglass(at, &["replay", run]);
    assert!(stdout.contains("the same history as in history.jsonl"), "{stdout}");
    assert!(code == 2 && stderr.contains("another fingerprint is in run.json"), "{code} {stderr}");
    let history = at.join(run).join("history.jsonl");
    fs::rename(&history, at.join("aside")).unwrap();
    let (code, stdout, _) = stormglass(at, &["replay", run]);
    assert!(code == 5 && stdout.contains("NOT the history that was stored"), "{code} {stdout}");
    let (_, _, stderr) = stormglass(at, &["shrink", run, "--budget", "0s"]);
    assert!(stderr.contains("warning: the run is NOT the one that was stored"), "{stderr}");
    fs::rename(at.join("aside"), &history).unwrap();
    // The advice of whoever finds that the two differ.
    refused(at, &["show", run], &["history.jsonl", "`stormglass replay RUN --trace`"]);
    let (_, stdout, _) = stormglass(at, &["replay", run, "--trace"]);
    assert!(stdout.contains("stored with its trace in"), "{stdout}");
    let (code, _, stderr) = stormglass(at, &["show", run]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_witness_is_found_stored_shown_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Of two clients under one kind of fault, a run is soon made smaller.
    let few = "engine = \"event\"\nclients = [2, 2]\nkeys = [2, 2]\nnemeses = [\"partition\"]\n";
    fs::write(at.join("short.toml"), format!("{SHORT}{few}")).unwrap();
    let campaign = [
        "campaign",
        "--plans",
        "short.toml",
        "--seeds",
        "0..12",
        "--format",
        "json",
        "--junit",
        "junit.xml",
    ];
    let (code, stdout, stderr) = stormglass(at, &campaign);
    assert!(code == 0 || code == 3, "exit {code}: {stderr}");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["exit_code"], code);
    let notable = &document["findings"]["notable"][0];
    let run = notable["stored"].as_str().expect("a witness among twelve runs").to_owned();
    let seed = notable["seed"].to_string();
    assert_eq!(run, format!("results/runs/short-{seed}"));
    let junit = fs::read_to_string(at.join("junit.xml")).unwrap();
    let anomaly = notable["broken"][0]["anomaly"].as_str().unwrap();
    assert!(junit.contains("<testsuite name=\"short\"") && junit.contains(anomaly), "{junit}");

    let (code, stdout, stderr) = stormglass(at, &["show", &run]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(anomaly) && stdout.contains("│ ▶ │"), "{stdout}");
    refused(at, &["show", &run, "--anomaly", "999"], &["there is no number 999"]);

    let (code, stdout, stderr) = stormglass(at, &["shrink", &run, "--budget", "10m"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("nothing more can be left out"), "{stdout}");
    let small = format!("{run}-shrunk");
    let (code, stdout, stderr) = stormglass(at, &["show", &small]);
    assert!(code == 0 && stdout.contains(anomaly), "{stdout}{stderr}");
    assert!(stdout.contains("How it came about") && stdout.contains("What it takes"), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["replay", &small]);
    assert!(code == 0 && stdout.contains("the same history as the stored one"), "{stdout}");
    stays_what_it_was(at, &run, &small, anomaly);
    keep(at, &small);
    refused(at, &["shrink", &run, "--anomaly", "999"], &["there is no number 999"]);
    refused(at, &["shrink", "no-run"], &["is no stored run"]);
    refused(at, &["corpus", "add", "no-run"], &["is no stored run"]);

    let (_, by_folder, _) = stormglass(at, &["replay", &run, "--trace"]);
    assert!(by_folder.contains("the same history as the stored one"), "{by_folder}");
    assert!(at.join(&run).join("trace.jsonl").exists());
    let by_seed = ["replay", "--plans", "short.toml", "--plan", "short", "--seed", &seed];
    let (_, by_seed, _) = stormglass(at, &by_seed);
    let fingerprint = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("fingerprint ")).unwrap();
        line.to_owned()
    };
    assert_eq!(fingerprint(&by_folder), fingerprint(&by_seed));

    let stored = fingerprint(&by_seed).replace("fingerprint ", "");
    falsify(at, &run, &stored);
    damage(at, &run);
}

#[test]
fn guarantees_are_measured_written_down_and_their_witnesses_are_seen_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let measure = ["guarantees", "--only", "leaderless-abd-cas", "--seeds", "0..3"];
    let (code, stdout, stderr) = stormglass(at, &measure);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains("written to results/guarantees.md"), "{stderr}");
    let written = fs::read_to_string(at.join("results/guarantees.md")).unwrap();
    let of = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.contains(name) && line.matches('|').count() > 7);
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    assert_eq!(of(&written, "durable").matches("held in 3").count(), 8, "a cell for each group");
    assert!(of(&written, "linearizable").starts_with("| ◇ linearizable"), "{written}");
    // The command of the witness shows the anomaly.
    let command = written.split("<code>stormglass ").nth(1).unwrap().split('<').next().unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    let (code, stdout, _) = stormglass(at, &arguments);
    assert_eq!(code, 0, "what is not claimed fails nothing");
    let verdict = stdout.lines().find(|line| line.contains("linearizable")).unwrap();
    assert!(verdict.contains("breaks") && verdict.contains("invalid"), "{verdict}");
    // The same again is the same, byte for byte, on one thread too.
    let again = ["--threads", "1", "--out", "again.md", "--format", "json"];
    let (_, stdout, _) = stormglass(at, &[&measure[..], &again].concat());
    assert_eq!(fs::read_to_string(at.join("again.md")).unwrap(), written);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let smallest = &document["modes"][0]["lines"][0]["cells"][0]["smallest"];
    assert_eq!(document["modes"][0]["lines"][0]["guarantee"], "linearizable");
    assert!(smallest["operations"].as_u64().unwrap() >= 2, "{smallest}");
    // A command names the faults of its group once, whatever the plan was told.
    let (_, stdout, _) = stormglass(at, &[&measure[..], &["--nemeses", "crash,delay"]].concat());
    let commands: Vec<&str> = stdout.lines().filter(|line| line.contains(" run --plan")).collect();
    let once = |line: &&str| line.matches("--nemeses").count() == 1;
    assert!(!commands.is_empty() && commands.iter().all(once), "{commands:?}");
    refused(at, &["guarantees", "--nemeses", "flood"], &["no nemesis is called `flood`"]);
    refused(at, &["guarantees", "--seeds", "0..3", "--full"], &["cannot be used with"]);
    refused(at, &["guarantees", "--out", "no/such/folder/g.md"], &["cannot write"]);
}

#[test]
fn the_settings_of_a_system_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |system: &str, settings: &str| {
        let text =
            format!("[[plan]]\nname = \"p\"\nsystem = \"{system}\"\nsettings = {settings}\n");
        fs::write(folder.path().join("p.toml"), text).unwrap();
    };
    let run = ["run", "--plans", "p.toml", "--plan", "p", "--seed", "1"];
    for (system, settings, words) in [
        (
            "raft",
            "{ replicas = 3 }",
            "p.toml:4: plan `p`: settings.replicas: `replicas` is no setting here; there are replica-reads, reads",
        ),
        (
            "raft",
            "{ replica-reads = \"near\" }",
            "p.toml:4: plan `p`: settings.replica-reads: there is no `near`; there are sticky",
        ),
        ("raft", "{ reads = 5 }", "settings.reads: a text belongs here"),
        (
            "leaderless",
            "{ sloppy = true, replicas = -3 }",
            "settings.replicas: `-3` where a whole number from 0 to 9223372036854775807 belongs",
        ),
        ("leaderless", "{ sloppy = 1 }", "settings.sloppy: `1` where true or false belongs"),
        ("leaderless", "{ replicas = 0 }", "replicas = 0 must lie between 1 and 9"),
        (
            "leaderless",
            "{ read-quorum = 4 }",
            "read-quorum = 4 must lie between 1 and replicas = 3",
        ),
        (
            "leaderless",
            "{ qorum = 4 }",
            "`qorum` is no setting here; there are replicas, read-quorum",
        ),
        ("leaderless-abd", "{ read-quorum = 1 }", "any two quorums must meet"),
        ("leaderless-abd", "{ sloppy = true }", "stand-ins are no quorum"),
        ("leaderless-abd", "{ conflicts = \"siblings\" }", "has no order"),
        ("leaderless", "{ conflicts = \"crdt\" }", "there is no `crdt`; there are lww, siblings"),
        ("leaderless", "{ replicas = 7 }", "nodes = [3, 5] has no size"),
    ] {
        plan(system, settings);
        refused(folder.path(), &run, &["p.toml:", words]);
    }
    plan("leaderless", "{ replicas = 5, read-quorum = 2, write-quorum = 4 }");
    let (code, stdout, stderr) = stormglass(folder.path(), &run);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("no run has a cluster of the size [3]"), "{stderr}");
    assert!(!stdout.contains("cas"), "what the mode does not offer is left out: {stdout}");
}

#[test]
fn the_sizes_of_a_cluster_and_its_distances_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["run", "--plans", "p.toml", "--plan", "p", "--seed", "1"];
    for (text, words) in [
        (
            "system = \"raft\"\nnodes = [2]\nnemeses = [\"wipe\"]",
            "nodes = [2] has too few for `wipe`, which needs 3 or more: say so, or leave out the nemesis",
        ),
        (
            "system = \"raft\"\nnodes = [2]\nswarm = true\n[[plan.faults]]\nat = \"4s\"\nlasts = \"1s\"\n\
             fault = { kind = \"wipe\", target = \"one\" }",
            "nodes = [2] has too few for `wipe`, which needs 3 or more: say so, or leave out the nemesis",
        ),
        (
            "system = \"raft\"\nregions = [[1, 900], [900, 1]]",
            "regions: a message and its answer may",
        ),
        (
            "system = \"raft\"\nmessage-cost = \"100ms\"",
            "message-cost: a message and its answer may",
        ),
        (
            "system = \"multi-leader\"\nnodes = [5]\nnemeses = [\"wipe-minority\"]",
            "nemeses: under wipe-minority and with these settings, multi-leader says nothing",
        ),
    ] {
        let text = format!("[[plan]]\nname = \"p\"\n{text}\n");
        fs::write(folder.path().join("p.toml"), text).unwrap();
        refused(folder.path(), &run, &["p.toml:", words]);
    }
}

#[test]
fn a_stored_run_that_was_changed_is_refused_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = ["run", "--plan", "primary-async", "--seed", "15", "--store"];
    stormglass(at, &run);
    let run = "results/runs/primary-async-15";
    let record = at.join(run).join("run.json");
    let text = fs::read_to_string(&record).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
    let edits = [
        ("/config/nodes", serde_json::json!(0), "config: nodes is 0"),
        ("/config/clients", serde_json::json!(4_000_000_000_u32), "config: clients is 4000000000"),
        ("/config/mix", serde_json::json!({}), "config: mix (all of it) is 0"),
        ("/config/mix", serde_json::json!({ "add": 1 }), "config: mix has add, which the workload"),
        ("/config/tick/secs", serde_json::json!(7), "config: tick is 7.005s"),
        ("/config/safety/secs", serde_json::json!(u64::MAX), "config: safety is"),
        ("/schedule/0/id", serde_json::json!(u32::MAX), "schedule: fault 4294967295"),
        ("/schedule/0/until", serde_json::json!(u64::MAX), "schedule: fault 0 lasts"),
    ];
    for (place, value, words) in edits {
        let mut other = stored.clone();
        *other.pointer_mut(place).unwrap() = value;
        fs::write(&record, other.to_string()).unwrap();
        refused(at, &["replay", run], &["run.json:1: ", words]);
    }
    let other = text.replacen("\"operations\": [", "\"operations\": [99999999, ", 1);
    assert_ne!(other, text);
    fs::write(&record, other).unwrap();
    refused(at, &["show", run], &["a witness names operation 99999999"]);
}

/// A history as Knossos writes it: a stale read of a compare-and-set register.
pub(crate) const STALE: &str = "[{:process 0, :type :invoke, :f :write, :value 1}
 {:process 0, :type :ok, :f :write, :value 1}
 {:process 1, :type :invoke, :f :cas, :value [1 2]}
 {:process 1, :type :ok, :f :cas, :value [1 2]}
 {:process 0, :type :invoke, :f :read, :value nil}
 {:process 0, :type :ok, :f :read, :value 1}]
";

#[test]
fn histories_of_others_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    fs::write(at.join("fine.edn"), STALE.replace(":read, :value 1", ":read, :value 2")).unwrap();
    let (code, stdout, stderr) = stormglass(at, &["check", "fine.edn"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1 file: 1 valid, 0 invalid, 0 unknown"), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["check", "fine.edn", "stale.edn"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("linearizable: stale-read on key x"), "{stdout}");
    let (code, stdout, _) = stormglass(at, &["check", "stale.edn", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["files"][0]["verdicts"][0]["verdict"]), (1, &"invalid".into()));

    let orders = ["check", "fine.edn", "stale.edn", "--linearization", "orders.jsonl"];
    assert_eq!(stormglass(at, &orders).0, 1);
    let line: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at.join("orders.jsonl")).unwrap()).unwrap();
    assert_eq!((&line["file"], &line["order"][1]["op"]["to"]), (&"fine.edn".into(), &2.into()));
    assert_eq!((&line["order"][2]["value"], &line["order"][3]), (&2.into(), &().into()));
    refused(at, &["check", "fine.edn", "--linearization", "none/orders.jsonl"], &["none/orders"]);

    let table = "file\tformat\tmodel\tinitial\texpected\n\
                 stale.edn\tjepsen-edn\tcas-register\tnil\tinvalid\n\
                 fine.edn\tjepsen-edn\tcas-register\tnil\tvalid\n";
    fs::write(at.join("verdicts.tsv"), table).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "--expect", "verdicts.tsv"]);
    assert!(code == 0 && stdout.contains("every verdict is as expected"), "{stdout}");
    fs::write(at.join("verdicts.tsv"), table.replace("\tinvalid", "\tvalid")).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "--expect", "verdicts.tsv"]);
    assert!(code == 1 && stdout.contains("1 are not as expected"), "{stdout}");
    fs::write(at.join("verdicts.tsv"), format!("{table}stale.edn\tedn\tset\tnil\tvalid\n"))
        .unwrap();
    refused(
        at,
        &["check", "--expect", "verdicts.tsv"],
        &["verdicts.tsv: line 4", "the formats are"],
    );
}

#[test]
fn a_history_that_cannot_be_read_does_not_keep_the_others_from_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("fine.edn"), STALE.replace(":read, :value 1", ":read, :value 2")).unwrap();
    fs::write(at.join("cut.edn"), &STALE[..STALE.len() - 20]).unwrap();
    fs::write(at.join("other.txt"), "hello\n").unwrap();
    fs::create_dir(at.join("folder")).unwrap();
    let files = ["check", "cut.edn", "other.txt", "folder", "none.edn", "fine.edn"];
    let (code, stdout, stderr) = stormglass(at, &files);
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stdout.contains("1 file: 1 valid"), "{stdout}");
    let words = [
        "cut.edn: line 6: the file ends within a map",
        "other.txt: line 1: looks like no format",
        "folder is a folder",
        "cannot read none.edn",
    ];
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
    // Nothing, what is packed, and a flag that does not fit.
    fs::write(at.join("nothing.edn"), "").unwrap();
    fs::write(at.join("packed.edn.gz"), b"\x1f\x8b\x08\x00").unwrap();
    fs::write(at.join("own.jsonl"), LOST).unwrap();
    let files =
        ["check", "nothing.edn", "packed.edn.gz", "own.jsonl", "--keys", "independent", "fine.edn"];
    let (code, _, stderr) = stormglass(at, &files);
    assert_eq!(code, 2, "{stderr}");
    for word in [
        "nothing.edn is empty",
        "gzip -dc packed.edn.gz | stormglass check -",
        "own.jsonl: --keys independent is for jepsen-edn, this is jsonl",
    ] {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
    // The mark that some editors put at the beginning is none of the history's.
    let marked = format!("\u{feff}{}", fs::read_to_string(at.join("fine.edn")).unwrap());
    fs::write(at.join("marked.edn"), marked).unwrap();
    assert_eq!(stormglass(at, &["check", "marked.edn"]).0, 0);
    // Nothing to judge is not valid.
    let failed = STALE.replace(":type :ok", ":type :fail");
    fs::write(at.join("failed.edn"), failed).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "failed.edn"]);
    assert!(code == 3 && stdout.contains("vacuous"), "{code}: {stdout}");
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("own.jsonl"), LOST).unwrap();
    fs::write(at.join("verdicts.tsv"), "file\tformat\tmodel\tinitial\texpected\n").unwrap();
    for arguments in [
        &["check", "own.jsonl", "--linearization", "./own.jsonl"][..],
        &["check", "--expect", "verdicts.tsv", "--linearization", "verdicts.tsv"],
        &["export", "own.jsonl", "--to", "jepsen-edn", "-o", "own.jsonl"],
    ] {
        refused(at, arguments, &["it is one of the files that are read; name another"]);
    }
    assert_eq!(fs::read_to_string(at.join("own.jsonl")).unwrap(), LOST);
    refused(at, &["check", "own.jsonl", "--states-max", "0"], &["--states-max"]);
}

#[test]
fn an_export_does_not_change_what_values_hold() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let hostile = LOST.replace(r#""value":1"#, r#""value":"\u001b[31mred\u0007""#);
    fs::write(at.join("own.jsonl"), &hostile).unwrap();
    let (code, stdout, _) = stormglass(at, &["export", "own.jsonl", "--to", "jsonl"]);
    assert_eq!((code, stdout), (0, hostile));
    let (_, stdout, _) = stormglass(at, &["export", "own.jsonl", "--to", "jepsen-edn"]);
    assert!(stdout.contains(r#":value ["x" "\u001b[31mred\u0007"]"#), "{stdout}");
}

/// A write that a later read misses, and that no replica holds in the end.
const LOST: &str = r#"{"format":"stormglass-history","version":1}
{"i":0,"t":0,"p":0,"s":0,"invoke":{"op":"write","key":"x","value":1}}
{"i":1,"t":5,"p":0,"ok":"done"}
{"i":2,"t":10,"p":0,"s":0,"invoke":{"op":"write","key":"x","value":2}}
{"i":3,"t":15,"p":0,"ok":"done"}
{"i":4,"t":1000000015,"p":1,"s":1,"invoke":{"op":"read","key":"x","level":"strong"}}
{"i":5,"t":1000000020,"p":1,"ok":{"value":1}}
{"i":6,"t":1000000030,"phase":"final"}
{"i":7,"t":1000000040,"p":2,"s":2,"n":1,"invoke":{"op":"read","key":"x","level":"replica"}}
{"i":8,"t":1000000050,"p":2,"ok":{"value":1}}
{"end":9}
"#;

#[test]
fn a_history_is_held_against_a_bound_and_its_facts_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("lost.jsonl"), LOST).unwrap();
    let check = |more: &[&str]| {
        let words = ["check", "lost.jsonl", "--guarantee", "durable"];
        stormglass(at, &[&words[..], more].concat())
    };
    let (code, stdout, stderr) = check(&["--staleness-max", "2s"]);
    assert!(code == 1 && stdout.contains("1 valid, 1 invalid"), "{stdout}{stderr}");
    let (_, stdout, _) = check(&["--staleness-max", "500ms"]);
    assert!(stdout.contains("stale-beyond-bound on key x"), "{stdout}");
    let (_, stdout, _) = check(&["--versions-behind-max", "0"]);
    assert!(stdout.contains("stale-beyond-bound on key x"), "{stdout}");
    let (_, stdout, _) = check(&["--facts"]);
    for words in [
        "1 of 1 reads were stale, by up to 1 version and 1.000 s",
        "acknowledged writes lost: 1",
        "digests n1 ",
    ] {
        assert!(stdout.contains(words), "no {words:?} in {stdout}");
    }
    let (_, stdout, _) = check(&["--facts", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["files"][0]["facts"]["staleness"]["time_max_ns"], 1_000_000_000);
    refused(at, &["check", "lost.jsonl", "--staleness-max", "soon"], &["--staleness-max"]);
}

#[test]
fn a_history_is_exported_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = ["run", "--plan", "raft", "--seed", "1", "--store"];
    assert_eq!(stormglass(at, &run).0, 0);
    let export = ["export", "results/runs/raft-1", "--to", "jepsen-edn", "-o", "raft.edn"];
    assert_eq!(stormglass(at, &export).0, 0);
    let over = ["export", "results/runs/raft-1", "--to", "jsonl", "-o"];
    let own = "results/runs/raft-1/history.jsonl";
    refused(at, &[&over[..], &[own]].concat(), &["it is one of the files that are read"]);
    let text = fs::read_to_string(at.join("raft.edn")).unwrap();
    assert!(text.starts_with("; stormglass: each value is a pair"), "{text}");
    for check in [&["check", "raft.edn"][..], &["check", "raft.edn", "--keys", "independent"]] {
        let (code, stdout, stderr) = stormglass(at, check);
        assert!(code == 0 && stdout.contains("1 valid"), "{stdout}{stderr}");
    }
    // Without its first line it is anybody's, and nobody knows whether its values are pairs.
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(at.join("theirs.edn"), rest).unwrap();
    let (code, _, stderr) = stormglass(at, &["check", "theirs.edn"]);
    let words = "say with `--keys independent` that values are pairs";
    assert!(code == 2 && stderr.contains(words), "{code}: {stderr}");
    refused(at, &["export", "nowhere", "--to", "jsonl"], &["cannot read nowhere"]);
}

#[test]
fn an_exported_run_has_the_verdicts_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (plan, seed) in
        [("primary-async-session", "1"), ("primary-async", "0"), ("leaderless", "6")]
    {
        stormglass(at, &["run", "--plan", plan, "--seed", seed, "--store"]);
        let run = format!("results/runs/{plan}-{seed}");
        let export = ["export", &run, "--to", "jepsen-edn", "-o", "run.edn"];
        assert_eq!(stormglass(at, &export).0, 0);
        let own = format!("{run}/history.jsonl");
        let files = ["check", "--guarantee", "all", "--format", "json", &own, "run.edn"];
        let (_, stdout, stderr) = stormglass(at, &files);
        let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let verdicts = |file: usize| -> Vec<(String, String, usize)> {
            let verdicts = document["files"][file]["verdicts"].as_array().unwrap();
            let one = |verdict: &serde_json::Value| {
                let word = |name: &str| verdict[name].to_string();
                let anomalies = verdict["anomalies"].as_array().map_or(0, Vec::len);
                (word("guarantee"), word("verdict"), anomalies)
            };
            verdicts.iter().map(one).collect()
        };
        assert!(verdicts(0).len() > 15, "{stderr}");
        assert_eq!(verdicts(1), verdicts(0), "{plan}");
    }
}

#[test]
fn orders_that_were_written_are_left_alone_where_nothing_was_judged() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("orders.jsonl"), "precious\n").unwrap();
    let check = ["check", "--linearization", "orders.jsonl", "nowhere.edn"];
    assert_eq!(stormglass(at, &check).0, 2);
    assert_eq!(fs::read_to_string(at.join("orders.jsonl")).unwrap(), "precious\n");
}

#[test]
fn the_last_line_counts_files_and_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    let words = ["check", "stale.edn", "--guarantee", "linearizable", "--guarantee", "set"];
    let (_, stdout, _) = stormglass(at, &words);
    assert!(
        stdout
            .contains("1 file, 2 verdicts: 0 valid, 1 invalid, 0 unknown, 1 vacuous; reading took"),
        "{stdout}"
    );
    assert!(stdout.contains(" of the file)"), "{stdout}");
    refused(at, &["check", "stale.edn", "--initial", "99999999999999999999"], &["have 64 bits"]);
    fs::write(at.join("verdicts.tsv"), "file\tformat\tmodel\tinitial\texpected\n").unwrap();
    let expect = ["check", "--expect", "verdicts.tsv", "--model", "set"];
    refused(at, &expect, &["--model and --initial are for the files that are named"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("results/runs")).unwrap();
    let junit = |file| ["campaign", "--seeds", "0..1", "--junit", file];
    refused(at, &junit("."), &["cannot write .: it is a folder"]);
    refused(at, &junit("none/junit.xml"), &["cannot write none/junit.xml"]);
    refused(at, &["campaign", "--max-failures", "0"], &["--max-failures"]);
}

#[test]
fn the_summary_of_a_github_job_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    command.current_dir(folder.path()).env("GITHUB_STEP_SUMMARY", &summary);
    command.args(["campaign", "--only", "raft", "--seeds", "1..2"]).assert().success();
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("before\n## Stormglass: "), "{text}");
    assert!(text.contains("| raft"), "{text}");
}

#[test]
fn nothing_to_run_is_exit_code_4() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = stormglass(folder.path(), &["campaign", "--seeds", "7..7"]);
    assert_eq!(code, 4, "{stdout}");
}

#[test]
fn doctor_finds_the_reference_store_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = stormglass(
        folder.path(),
        &["doctor", "--seeds", "0..1", "--only", "raft", "--only", "primary-async"],
    );
    assert_eq!(code, 0, "{stdout}{stderr}");
    for plan in ["raft", "primary-async"] {
        assert!(stdout.contains(&format!("{plan}: 1 seed, each run four times")), "{stdout}");
    }
    // The other processes are told of other faults too.
    let under = ["doctor", "--seeds", "0..1", "--only", "raft", "--nemeses", "crash"];
    let (code, stdout, stderr) = stormglass(folder.path(), &under);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn a_run_is_replayed_on_the_engine_that_it_was_made_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("p.toml"), SHORT).unwrap();
    let run = ["run", "--plans", "p.toml", "--plan", "short", "--seed", "1", "--store"];
    let said = |stdout: &str| {
        let line = stdout.lines().find(|line| line.starts_with("fingerprint "));
        line.unwrap().to_owned()
    };
    let (_, usual, _) = stormglass(at, &run);
    assert!(usual.contains("  engine                    turmoil\n"), "{usual}");
    let record = fs::read_to_string(at.join("results/runs/short-1/run.json")).unwrap();
    assert!(!record.contains("\"engine\""), "stored as before there were two");
    let (_, event, stderr) = stormglass(at, &[&run[..], &["--engine", "event"]].concat());
    assert!(event.contains("  engine                    event\n"), "{event}{stderr}");
    assert!(event.contains("--engine event"), "the command that replays it: {event}");
    assert_ne!(said(&usual), said(&event));
    let (_, replayed, _) = stormglass(at, &["replay", "results/runs/short-1"]);
    assert!(replayed.contains("the same history as the stored one"), "{replayed}");
    assert_eq!(said(&event), said(&replayed));
    let other = ["replay", "results/runs/short-1", "--engine", "turmoil"];
    refused(at, &other, &["--engine is for --plan and --seed"]);
    refused(at, &["campaign", "--engine", "evnt"], &["there are turmoil, event, auto"]);
    fs::write(at.join("p.toml"), SHORT.replace("safety", "engine = \"event\"\nsafety")).unwrap();
    let (_, planned, _) = stormglass(at, &run);
    assert_eq!(said(&event), said(&planned));
    let (_, auto, _) = stormglass(at, &[&run[..], &["--engine", "auto"]].concat());
    assert_eq!(said(&usual), said(&auto), "every fault can be done on the usual one");
}

#[test]
fn the_engines_that_can_do_a_fault_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = stormglass(folder.path(), &["list"]);
    let (_, nemeses) =
        stdout.split_once("\nNemeses, and the engines that do their faults\n").unwrap();
    assert!(code == 0 && nemeses.contains("  partition  "), "{stdout}");
    assert!(nemeses.contains("turmoil, event\n"), "{stdout}");
}

//! The table of a history, and what of it can be asked for.

use std::path::Path;

use serde_json::Value;

use crate::cli::{refused, stormglass};

/// The operations of the table, as a program reads them.
fn operations(at: &Path, run: &str, flags: &[&str]) -> Vec<Value> {
    let arguments = [&["show", run, "--format", "json"], flags].concat();
    let (code, stdout, stderr) = stormglass(at, &arguments);
    assert_eq!(code, 0, "{flags:?}: {stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let rows = document["rows"].as_array().unwrap().iter();
    rows.filter(|row| row["row"] == "operation").cloned().collect()
}

fn stored(at: &Path, plan: &str) -> String {
    stormglass(at, &["run", "--plan", plan, "--seed", "0", "--store"]);
    format!("results/runs/{plan}-0")
}

#[test]
fn only_the_operations_that_are_asked_for_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &stored(at, "leaderless-sloppy");
    let all = operations(at, run, &["--all"]);
    let count = |fits: &dyn Fn(&Value) -> bool| all.iter().filter(|row| fits(row)).count();
    let on =
        |row: &Value, key: &str| row["operation"].as_str().unwrap().split(' ').nth(1) == Some(key);
    let of = |row: &Value, process: &str| {
        row["process"].as_str().unwrap().split(' ').next() == Some(process)
    };

    let of_key = operations(at, run, &["--key", "k7"]);
    assert!(!of_key.is_empty() && of_key.len() < all.len());
    assert!(of_key.iter().all(|row| on(row, "k7")));
    assert_eq!(of_key.len(), count(&|row| on(row, "k7")));
    let of_process = operations(at, run, &["--process", "2"]);
    assert!(of_process.iter().all(|row| of(row, "2")));
    assert_eq!(of_process.len(), count(&|row| of(row, "2")));
    let of_both = operations(at, run, &["--process", "2", "--key", "k7"]);
    assert_eq!(of_both.len(), count(&|row| on(row, "k7") && of(row, "2")));

    let moment = 2_000_000_000;
    let under_way = |row: &Value| {
        row["invoked"].as_u64().unwrap() <= moment
            && row["completed"].as_u64().is_none_or(|completed| completed >= moment)
    };
    let at_once = operations(at, run, &["--around", "2s", "--context", "0"]);
    assert_eq!(at_once.len(), count(&under_way));
    let around = operations(at, run, &["--around", "2.0 s", "--context", "4"]);
    let after = around.iter().filter(|row| row["invoked"].as_u64().unwrap() > moment).count();
    assert!(after == 4 && around.len() >= at_once.len(), "{after} of {}", around.len());

    let (_, stdout, _) = stormglass(at, &["show", run, "--key", "k7", "--around", "2s"]);
    assert!(stdout.contains("operations on k7 around 2.000 s\n"), "{stdout}");
    assert!(!stdout.contains("no anomaly was found"), "{stdout}");
}

#[test]
fn transactions_are_shown_by_the_keys_of_their_steps() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &stored(at, "primary-async-append");
    let has = |row: &Value| row["operation"].as_str().unwrap().contains("\" 5 ");
    let expected = operations(at, run, &["--all"]).iter().filter(|row| has(row)).count();
    let found = operations(at, run, &["--key", "5"]);
    assert!(expected > 0);
    assert_eq!(found.len(), expected);
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &stored(at, "leaderless-sloppy");
    let key = ["show", run, "--key", "nothing"];
    refused(at, &key, &["has no operations on nothing; there are the keys k", "processes from 0"]);
    refused(at, &["show", run, "--process", "99999"], &["no operations of process 99999"]);
    refused(at, &["show", run, "--around", "soon"], &["`soon` is no moment of a run"]);
    refused(at, &["show", run, "--all", "--key", "k1"], &["cannot be used with"]);
}

#[test]
fn what_was_drawn_is_said_before_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &stored(at, "leaderless-sloppy");
    let (_, stdout, _) = stormglass(at, &["show", run]);
    let mut lines = stdout.lines();
    assert!(lines.next().unwrap().starts_with("plan leaderless-sloppy, seed 0"), "{stdout}");
    assert!(lines.next().unwrap().starts_with("drawn: engine turmoil; nodes 5; "), "{stdout}");
    let (drawn, _) = stdout.split_once("anomaly 1 of").unwrap();
    for setting in ["clients ", "mix ", "latency ", "safety phase 15s", "liveness phase 4s"] {
        assert!(drawn.contains(setting), "no {setting:?} in {drawn}");
    }
    let (_, json, _) = stormglass(at, &["show", run, "--format", "json"]);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["config"]["nodes"], 5);
    stormglass(at, &["report", run, "--out", "page.html"]);
    let page = std::fs::read_to_string(at.join("page.html")).unwrap();
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(place("id=\"configuration\"") < place("id=\"counts\""));
    assert!(place("<dt>safety phase</dt><dd>15s</dd>") < place("id=\"witness\""));
}

#[test]
fn what_a_loss_of_power_took_is_in_the_table_of_faults() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[[plan]]\nname = \"p\"\nsystem = \"raft\"\nsafety = \"12s\"\n\
                [[plan.faults]]\nat = \"4s\"\nlasts = \"1s\"\n";
    let lost = |fault: &str| {
        let text = format!("{plan}fault = {{ kind = \"{fault}\", target = \"all\" }}\n");
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        let run = ["run", "--plans", "p.toml", "--plan", "p", "--seed", "1"];
        let (_, stdout, _) = stormglass(folder.path(), &run);
        stdout
    };
    assert!(lost("crash").contains("not synced lost, halted for"), "{}", lost("crash"));
    assert!(lost("wipe").contains("of disks lost, halted for"), "{}", lost("wipe"));
}

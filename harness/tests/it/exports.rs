//! Runs in the formats of tools that draw them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::cli::{refused, stormglass};

/// A stored run with its trace.
fn traced(at: &Path) -> String {
    let replay = ["replay", "--plan", "primary-async", "--seed", "0", "--trace"];
    let (_, _, stderr) = stormglass(at, &replay);
    assert_eq!(stderr, "");
    "results/runs/primary-async-0".to_owned()
}

fn export(at: &Path, run: &str, to: &str) -> String {
    let (code, stdout, stderr) = stormglass(at, &["export", run, "--to", to]);
    assert_eq!(code, 0, "{stderr}");
    stdout
}

/// The lines of a file of a stored run.
fn lines(at: &Path, run: &str, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(at.join(run).join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn perfetto_gets_every_operation_fault_and_message() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &traced(at);
    let document: Value = serde_json::from_str(&export(at, run, "perfetto")).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let count = |ph: &str, fits: &dyn Fn(&Value) -> bool| {
        events.iter().filter(|event| event["ph"] == ph && fits(event)).count()
    };
    let history = lines(at, run, "history.jsonl");
    let trace = lines(at, run, "trace.jsonl");
    let of = |what: &str| trace.iter().filter(|event| event["what"] == what).count();
    let invoked = history.iter().filter(|event| event["invoke"].is_object()).count();
    assert!(invoked > 100 && of("sent") > 1000, "{invoked}");
    assert_eq!(count("X", &|event| event["args"]["operation"].is_u64()), invoked);
    let begun = history.iter().filter(|event| event["edge"] == "begin").count();
    assert_eq!(count("X", &|event| event["args"]["fault"].is_u64()), begun);
    assert_eq!(count("s", &|_| true), of("sent"));
    assert_eq!(count("f", &|_| true), of("received"));
    assert_eq!(count("i", &|event| event["args"]["message"].is_u64()), of("lost"));
    assert!(count("i", &|event| event["s"] == "g" && event["args"]["explanation"].is_string()) > 0);

    let mut sent: BTreeMap<u64, f64> = BTreeMap::new();
    for event in events {
        let Some(id) = event["id"].as_u64() else { continue };
        let ts = event["ts"].as_f64().unwrap();
        match event["ph"].as_str() {
            Some("s") => assert_eq!(sent.insert(id, ts), None, "message {id} is sent once"),
            _ => assert!(sent[&id] <= ts, "message {id} is received before it is sent"),
        }
    }
    // The first operation, to the nanosecond.
    let first = history.iter().find(|event| event["invoke"].is_object()).unwrap();
    let slice = events.iter().find(|event| event["args"]["operation"] == 0).unwrap();
    let nanos = slice["ts"].as_f64().unwrap() * 1000.0;
    assert_eq!(nanos.round() as u64, first["t"].as_u64().unwrap());
}

/// The events of a log for ShiViz: host, clock, what happened.
fn events(log: &str) -> Vec<(String, BTreeMap<String, u64>, String)> {
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len() % 2, 0, "two lines an event");
    let event = |pair: &[&str]| {
        let (host, clock) = pair[0].split_once(' ').unwrap();
        (host.to_owned(), serde_json::from_str(clock).unwrap(), pair[1].to_owned())
    };
    lines.chunks(2).map(event).collect()
}

#[test]
fn the_clocks_for_shiviz_are_those_of_what_was_sent_and_received() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = &traced(at);
    let events = events(&export(at, run, "shiviz"));
    let trace = lines(at, run, "trace.jsonl");
    let number = |words: &str, before: &str| -> Option<u64> {
        let (_, rest) = words.split_once(before)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sent: BTreeMap<u64, &BTreeMap<String, u64>> = BTreeMap::new();
    let (mut received, mut asked) = (0, 0);
    for (host, clock, words) in &events {
        let events = own.entry(host).or_default();
        *events += 1;
        assert_eq!(clock[host], *events, "{host}: {words}");
        if let Some(message) = number(words, ": sent message ") {
            sent.insert(message, clock);
        } else if let Some(message) = number(words, ": received message ") {
            for (place, count) in sent[&message] {
                assert!(clock[place] >= *count, "{host} knows too little: {words}");
            }
            received += 1;
        } else if words.starts_with("asks: ") {
            asked += 1;
        }
    }
    let of = |what: &str| trace.iter().filter(|event| event["what"] == what).count();
    assert_eq!((sent.len(), received), (of("sent"), of("received")));
    let history = lines(at, run, "history.jsonl");
    assert_eq!(asked, history.iter().filter(|event| event["invoke"].is_object()).count());
}

#[test]
fn what_shiviz_draws_takes_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    stormglass(at, &["run", "--plan", "primary-async", "--seed", "0", "--store"]);
    let run = "results/runs/primary-async-0";
    let words = ["has no trace; `stormglass replay", "--trace` records one"];
    refused(at, &["export", run, "--to", "shiviz"], &words);
    let history = format!("{run}/history.jsonl");
    refused(at, &["export", &history, "--to", "shiviz"], &["is no stored run"]);
    let document: Value = serde_json::from_str(&export(at, &history, "perfetto")).unwrap();
    assert!(document["traceEvents"].as_array().unwrap().len() > 100, "operations are enough");
}

//! `stormglass check`: what counts, what is told, and which defaults a format has.

use std::fs;

use crate::cli::{STALE, refused, stormglass};

const HEADER: &str = "file\tformat\tmodel\tinitial\texpected\n";

#[test]
fn a_file_that_is_named_beside_a_table_counts_as_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    fs::write(at.join("fine.edn"), STALE.replace(":read, :value 1", ":read, :value 2")).unwrap();
    fs::write(at.join("failed.edn"), STALE.replace(":type :ok", ":type :fail")).unwrap();
    let row = "stale.edn\tjepsen-edn\tcas-register\tnil\tinvalid\n";
    fs::write(at.join("verdicts.tsv"), format!("{HEADER}{row}")).unwrap();
    let beside = |file| stormglass(at, &["check", "--expect", "verdicts.tsv", file]).0;
    assert_eq!(beside("fine.edn"), 0);
    assert_eq!(beside("stale.edn"), 1, "nobody expects of this one that it is invalid");
    assert_eq!(beside("failed.edn"), 3);
    assert_eq!(beside("none.edn"), 2);
}

#[test]
fn a_table_without_a_file_judges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for table in ["", HEADER] {
        fs::write(at.join("verdicts.tsv"), table).unwrap();
        let (code, _, stderr) = stormglass(at, &["check", "--expect", "verdicts.tsv"]);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains("nothing was judged: verdicts.tsv names no file"), "{stderr}");
    }
    // A first line that is no header would be left out, and what it expects with it.
    fs::write(at.join("verdicts.tsv"), "a.edn\tjepsen-edn\tregister\tnil\tvalid\n").unwrap();
    let words = ["verdicts.tsv: line 1: a file stands where the names of the columns belong"];
    refused(at, &["check", "--expect", "verdicts.tsv"], &words);
}

#[test]
fn the_order_of_a_lock_tells_the_sessions_that_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Its process has changed in between: `release` is that of the holder all the same.
    let text = "{:process 0, :type :invoke, :f :acquire, :session 7}\n\
                {:process 0, :type :ok, :f :acquire}\n\
                {:process 1, :type :invoke, :f :release, :session 7}\n\
                {:process 1, :type :ok, :f :release}\n";
    fs::write(at.join("lock.edn"), text).unwrap();
    let (code, stdout, _) =
        stormglass(at, &["check", "lock.edn", "--linearization", "orders.jsonl"]);
    assert_eq!(code, 0, "{stdout}");
    let line: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at.join("orders.jsonl")).unwrap()).unwrap();
    let order = line["order"].as_array().unwrap();
    let mut holder = None;
    for step in order {
        let session = step["session"].as_u64().unwrap();
        match step["op"]["op"].as_str().unwrap() {
            "acquire" => assert_eq!(holder.replace(session), None),
            _ => assert_eq!(holder.take(), Some(session)),
        }
    }
    assert_eq!((order.len(), holder), (2, None));
    assert_ne!(order[0]["process"], order[1]["process"]);
    let words = ["--linearization names a file; the standard output has the verdicts"];
    refused(at, &["check", "lock.edn", "--linearization", "-"], &words);
}

#[test]
fn the_keys_of_porcupines_store_are_empty_texts_in_the_beginning_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = "{:process 0, :type :invoke, :f :get, :key \"3\", :value nil}\n\
                {:process 0, :type :ok, :f :get, :key \"3\", :value \"\"}\n\
                {:process 0, :type :invoke, :f :put, :key \"3\", :value \"a:\"}\n\
                {:process 0, :type :ok, :f :put, :key \"3\", :value \"a:\"}\n\
                {:process 0, :type :invoke, :f :append, :key \"3\", :value \":b\"}\n\
                {:process 0, :type :ok, :f :append, :key \"3\", :value \":b\"}\n\
                {:process 0, :type :invoke, :f :get, :key \"3\", :value nil}\n\
                {:process 0, :type :ok, :f :get, :key \"3\", :value \"a::b\"}\n";
    fs::write(at.join("kv.edn"), text).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "kv.edn"]);
    assert_eq!(code, 0, "{stdout}");
    assert_eq!(stormglass(at, &["check", "kv.edn", "--initial", "a"]).0, 1);
    let begun = text.replace("\"\"", "\"x:y\"");
    fs::write(at.join("kv.edn"), begun).unwrap();
    assert_eq!(stormglass(at, &["check", "kv.edn"]).0, 1);
    assert_eq!(stormglass(at, &["check", "kv.edn", "--initial", "x:y"]).0, 0);
}

#[test]
fn what_reading_and_judging_took_is_told_of_what_took_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    let all = ["check", "stale.edn", "--guarantee", "all", "--format", "json"];
    let (_, stdout, _) = stormglass(at, &all);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let file = &document["files"][0];
    assert!(file["reading_cpu_seconds"].as_f64().unwrap() > 0.0, "{file}");
    let verdicts = file["verdicts"].as_array().unwrap();
    let sum: f64 = verdicts.iter().map(|one| one["cpu_seconds"].as_f64().unwrap()).sum();
    let judging = file["cpu_seconds"].as_f64().unwrap();
    assert!(verdicts.len() > 10 && (sum - judging).abs() < 1e-6, "{sum} and {judging}");
}

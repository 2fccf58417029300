//! `stormglass check`: what counts, what is told, and which defaults a format has.

use std::fs;
use std::process::{Command, Stdio};

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
    let words = ["verdicts.tsv: line 1: no column is named `file`", "file, format, model"];
    refused(at, &["check", "--expect", "verdicts.tsv"], &words);
}

#[test]
fn the_columns_of_a_table_are_those_that_its_first_line_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    let table = "expected\tsince\tfile\tmodel\tformat\tinitial\n\
                 invalid\t2019\tstale.edn\tregister\tjepsen-edn\tnil\n";
    fs::write(at.join("verdicts.tsv"), table).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "--expect", "verdicts.tsv"]);
    assert!(code == 0 && stdout.contains("every verdict is as expected"), "{stdout}");
    let check = ["check", "--expect", "verdicts.tsv"];
    for (wrong, words) in [
        (table.replace("since", "file"), "line 1: more than one column is named `file`"),
        (table.replace("\t2019", ""), "line 2: 5 columns where expected, since, file"),
    ] {
        fs::write(at.join("verdicts.tsv"), wrong).unwrap();
        refused(at, &check, &[words]);
    }
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

#[test]
fn what_a_read_of_nil_and_the_beginning_say_is_the_same_to_every_guarantee() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let did = |f: &str, asked: &str, value: &str| {
        format!(
            "{{:process 0, :type :invoke, :f :{f}, :value {asked}}}\n\
             {{:process 0, :type :ok, :f :{f}, :value {value}}}\n"
        )
    };
    let read = |value: &str| did("read", "nil", value);
    let register = did("write", "1", "1") + &read("nil") + &read("1") + &read("nil");
    fs::write(at.join("register.edn"), register).unwrap();
    let counter = did("increment", "2", "2") + &read("nil") + &read("2");
    fs::write(at.join("counter.edn"), counter).unwrap();
    for file in ["register.edn", "counter.edn"] {
        let all = ["check", file, "--guarantee", "all", "--versions-behind-max", "0"];
        let (code, stdout, _) = stormglass(at, &all[..if file == "counter.edn" { 4 } else { 6 }]);
        assert_eq!(code, 0, "{stdout}");
        let (code, stdout, _) = stormglass(at, &[&all[..], &["--nil-reads", "absent"]].concat());
        assert_eq!(code, 1, "{stdout}");
    }
    let begun = ["check", "counter.edn", "--guarantee", "all", "--initial", "1"];
    assert_eq!(stormglass(at, &begun).0, 1, "it read 2, and comes to 3");
    let fork = ["check", "register.edn", "--guarantee", "long-fork", "--nil-reads", "unknown"];
    refused(at, &fork, &["--nil-reads unknown cannot be had with --guarantee long-fork"]);
    let kv = "{:process 2, :type :invoke, :f :get, :key \"a\", :value nil}\n\
              {:process 2, :type :ok, :f :get, :key \"a\", :value \"\"}\n\
              {:process 0, :type :invoke, :f :put, :key \"a\", :value \"x\"}\n\
              {:process 0, :type :ok, :f :put, :key \"a\", :value \"x\"}\n\
              {:process 2, :type :invoke, :f :get, :key \"a\", :value nil}\n\
              {:process 2, :type :ok, :f :get, :key \"a\", :value \"x\"}\n";
    fs::write(at.join("kv.txt"), kv).unwrap();
    let (code, stdout, _) = stormglass(at, &["check", "kv.txt", "--guarantee", "causal"]);
    assert_eq!(code, 0, "{stdout}");
}

#[test]
fn what_shows_nothing_and_whose_times_go_back_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    let all = ["check", "stale.edn", "--guarantee", "all", "--format", "json"];
    let (_, stdout, _) = stormglass(at, &all);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let verdicts = document["files"][0]["verdicts"].as_array().unwrap();
    let is_vacuous = |guarantee: &str| {
        verdicts.iter().find(|one| one["guarantee"] == guarantee).unwrap()["vacuous"] == true
    };
    for guarantee in ["set", "queue", "unique-ids", "long-fork", "serializable"] {
        assert!(is_vacuous(guarantee), "{guarantee}");
    }
    assert!(!is_vacuous("linearizable"));
    let back = "{:process 0, :type :invoke, :f :read, :value nil, :time 50}\n\
                {:process 0, :type :ok, :f :read, :value 7, :time 20}\n\
                {:process 0, :type :invoke, :f :read, :value nil, :time 60, :key \"y\"}\n\
                {:process 0, :type :ok, :f :read, :value 7, :time 70, :key \"y\"}\n";
    fs::write(at.join("back.edn"), back).unwrap();
    let (_, stdout, _) = stormglass(at, &["check", "back.edn"]);
    let words = "back.edn: 1 event has a time before that of the event before";
    assert!(stdout.contains(words), "{stdout}");
    let words = "2 anomalies, the first (`--format json` shows all):";
    assert!(stdout.contains(words), "{stdout}");
    let (_, stdout, _) = stormglass(at, &["check", "back.edn", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["files"][0]["times_moved"], 1);
}

#[test]
fn whoever_is_interrupted_tells_what_was_judged_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("stale.edn"), STALE).unwrap();
    assert!(Command::new("mkfifo").arg(at.join("pipe")).status().unwrap().success());
    let mut program = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    program.current_dir(at).args(["check", "stale.edn", "pipe", "--linearization", "orders.jsonl"]);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let checking = program.spawn().unwrap();
    // Somebody reads from it when the file before it was judged, and waits for what never comes.
    let _pipe = fs::OpenOptions::new().write(true).open(at.join("pipe")).unwrap();
    let told = Command::new("kill").args(["-s", "INT", &checking.id().to_string()]).status();
    assert!(told.unwrap().success());
    let ended = checking.wait_with_output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(130), "{stderr}");
    assert!(stdout.contains("linearizable: stale-read on key x"), "{stdout}");
    assert!(stderr.contains("interrupted: 1 of 2 files were not judged"), "{stderr}");
    assert_eq!(fs::read_to_string(at.join("orders.jsonl")).unwrap(), "", "no order explains it");
}

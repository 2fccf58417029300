//! What is kept of failures, on the command line: the corpus that runs first, baselines, smaller runs and where they go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stormglass::system::Claim;
use stormglass::triage::Ledger;

use crate::cli::{SHORT, refused, run_program, stormglass};

/// A plan of the system of the example `in-memory`, which breaks what it claims.
const CLAIMED: &str = r#"
[[plan]]
name = "forgets"
system = "in-memory"
nemeses = ["crash"]
safety = "6s"
liveness = "3s"
"#;

/// Runs the command line of the example `in-memory`. Cargo builds examples with all tests, and not with some.
fn in_memory(at: &Path, arguments: &[&str]) -> (i32, String, String) {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/in-memory");
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--package", "stormglass", "--example", "in-memory"]);
        assert!(build.status().unwrap().success(), "the example can be built");
    }
    run_program(&program, at, arguments)
}

/// With a plan whose system breaks what it does not claim.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plans.toml"), format!("{SHORT}clients = [3, 4]\n")).unwrap();
    folder
}

fn minimum(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minima").join(name);
    fs::read_to_string(path).unwrap()
}

/// A campaign that begins no runs of its own.
const NONE: [&str; 5] = ["campaign", "--plans", "plans.toml", "--budget", "0s"];

#[test]
fn a_campaign_runs_the_corpus_first_and_counts_its_failures_apart() {
    let folder = folder();
    let at = folder.path();
    let corpus = at.join("results/corpus");
    let (code, stdout, alone) = stormglass(at, &NONE);
    assert!(code == 4 && !alone.contains("Corpus"), "{alone}");
    assert!(!stdout.contains("(0 runs)"), "{stdout}");

    fs::create_dir_all(&corpus).unwrap();
    let case = minimum("primary-async-lost-write.json");
    fs::write(corpus.join("fails.json"), &case).unwrap();
    let (code, stdout, stderr) = stormglass(at, &NONE);
    let said = "Corpus results/corpus: 1 of 1 cases are as expected\n";
    assert_eq!(stderr, format!("{said}{alone}"));
    assert!(code == 4 && stdout.contains("\nCorpus results/corpus: 1 of 1 cases"), "{stdout}");

    fs::write(corpus.join("bad.json"), "{\"format\": 1}").unwrap();
    let (code, stdout, _) = stormglass(at, &NONE);
    assert!(
        code == 2 && stdout.contains("1 of 2 cases are as expected; 1 could not be run"),
        "{stdout}"
    );
    assert!(stdout.contains("bad could not be run: results/corpus/bad.json:1: "), "{stdout}");

    let mended = case.replace("\"expected\": \"fails\"", "\"expected\": \"holds\"");
    fs::write(corpus.join("mended.json"), mended).unwrap();
    let with_junit = [&NONE[..], &["--junit", "junit.xml", "--format", "json"]].concat();
    let (code, stdout, _) = stormglass(at, &with_junit);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(code == 1 && document["exit_code"] == 1, "{stdout}");
    let cases = document["findings"]["corpus"]["cases"].as_array().unwrap();
    assert_eq!((&cases[1]["found"], &cases[2]["expected"]), (&"same".into(), &"holds".into()));
    assert_eq!(document["failures"].as_array().unwrap().len(), 0, "they are counted apart");
    let junit = fs::read_to_string(at.join("junit.xml")).unwrap();
    let suite = junit.split("<testsuite name=\"corpus\"").nth(1).unwrap();
    assert!(suite.contains("mended fails again: durable, lost-write"), "{suite}");

    let (code, stdout, stderr) = stormglass(at, &[&NONE[..], &["--no-corpus"]].concat());
    assert!(code == 4 && !format!("{stdout}{stderr}").contains("Corpus"), "{stdout}{stderr}");
    refused(at, &[&NONE[..], &["--corpus", "nowhere"]].concat(), &["cannot read nowhere"]);
}

#[test]
fn a_run_is_shrunk_at_once_where_that_is_asked_for() {
    let folder = folder();
    let at = folder.path();
    let run = |seed: &str, more: &[&str]| {
        let run = ["run", "--plans", "plans.toml", "--plan", "short", "--seed", seed];
        stormglass(at, &[&run[..], more].concat())
    };
    refused(at, &["run", "--plan", "raft", "--seed", "1", "--shrink-budget", "3s"], &["--shrink"]);
    let all = ["--shrink", "all", "--shrink-budget", "2s"];
    let seeds = (0..10).map(|seed| seed.to_string());
    let mut tried = seeds.map(|seed| (run(&seed, &all).1, seed));
    let (stdout, seed) = tried.find(|(stdout, _)| stdout.contains("shrunk: faults ")).unwrap();
    let shrunk = format!("results/runs/short-{seed}-shrunk-");
    let shown = stdout.lines().find_map(|line| line.split_once(" show ")).unwrap().1;
    assert!(shown.starts_with(&shrunk) && at.join(shown).join("run.json").exists(), "{stdout}");
    let (_, _, stderr) = run(&seed, &["--shrink"]);
    assert!(
        stderr.contains("nothing to shrink: nothing claimed was broken; `--shrink all`"),
        "{stderr}"
    );
    let (_, stdout, _) = run(&seed, &[&all[..], &["--format", "json"]].concat());
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let first = &document["shrunk"][0]["shrunk"];
    assert!(first["after"]["operations"].as_u64() <= first["before"]["operations"].as_u64());
    assert_eq!(document["seed"].to_string(), seed);

    let claimed =
        ["campaign", "--plans", "plans.toml", "--only", "short", "--seeds", "0..1", "--shrink"];
    let (_, _, stderr) = stormglass(at, &claimed);
    assert!(stderr.contains("nothing to shrink: nothing "), "{stderr}");
}

#[test]
fn a_broken_claim_fails_a_campaign_until_the_baseline_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("plans.toml"), CLAIMED).unwrap();
    let campaign = ["campaign", "--plans", "plans.toml", "--seeds", "0..4"];
    let (code, stdout, stderr) = in_memory(at, &campaign);
    assert!(code == 1 && stdout.contains("Broken although claimed:"), "{stdout}{stderr}");
    let baseline = at.join("baseline.json");
    fs::copy(at.join("results/campaign.json"), &baseline).unwrap();
    let known = [&campaign[..], &["--baseline", "baseline.json"]].concat();
    let (code, stdout, _) = in_memory(at, &known);
    assert!(code != 1 && stdout.contains("(known)") && !stdout.contains("(new)"), "{stdout}");

    let text = fs::read_to_string(&baseline).unwrap();
    let mut ledger: serde_json::Value = serde_json::from_str(&text).unwrap();
    ledger["failures"].as_array_mut().unwrap().retain(|entry| entry["claim"] != "holds");
    fs::write(&baseline, ledger.to_string()).unwrap();
    let (code, stdout, _) = in_memory(at, &known);
    assert!(code == 1 && stdout.contains("(new)"), "{stdout}");

    // Of one kind in another shape than both that are known: it is another failure.
    let shrunk = [&campaign[..], &["--shrink", "--shrink-budget", "1m"]].concat();
    let (_, stdout, _) = in_memory(at, &shrunk);
    assert!(stdout.contains("shrunk: "), "{stdout}");
    fs::copy(at.join("results/campaign.json"), &baseline).unwrap();
    let again = [&shrunk[..], &["--baseline", "baseline.json"]].concat();
    let (code, stdout, _) = in_memory(at, &again);
    assert!(code != 1 && !stdout.contains("(new)"), "{stdout}");
    let other = Ledger::load(&baseline).map(|mut ledger| {
        let claimed = ledger.failures.iter_mut().filter(|known| known.claim == Claim::Holds);
        for known in claimed {
            let shape = known.signature.shape.as_mut().unwrap();
            shape.faults = vec!["partition leader | follower".to_owned()];
            known.id = known.signature.id();
        }
        ledger
    });
    fs::write(&baseline, serde_json::to_string(&other.unwrap()).unwrap()).unwrap();
    let (code, stdout, _) = in_memory(at, &again);
    assert!(code == 1 && stdout.contains("(new)"), "{stdout}");
    assert!(stdout.contains("the baseline has this kind in another shape"), "{stdout}");
    let (code, stdout, _) = in_memory(at, &["diff", "baseline.json", "results"]);
    assert!(code == 1 && stdout.contains("│ new "), "{stdout}");
    assert!(stdout.contains("this kind had another shape"), "{stdout}");
}

#[test]
fn a_baseline_that_is_none_is_answered_with_what_makes_one() {
    let folder = folder();
    let at = folder.path();
    let baseline = at.join("baseline.json");
    let known = [&NONE[..], &["--baseline", "baseline.json"]].concat();
    fs::write(&baseline, "{\"format\": 1}").unwrap();
    let words = ["baseline.json:1: this is not what a campaign leaves", "campaign.json"];
    refused(at, &known, &words);
    fs::write(&baseline, "{\n7}").unwrap();
    refused(at, &known, &["baseline.json:2: this is no JSON (key must be a string)"]);
    fs::write(&baseline, "{}").unwrap();
    refused(at, &known, &["baseline.json:1: ", "it has no `format`"]);
}

#[test]
fn what_was_shrunk_by_then_is_kept_when_somebody_presses_ctrl_c() {
    let folder = folder();
    let at = folder.path();
    let mut campaign = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    campaign.current_dir(at).env_remove("STORMGLASS_RESULTS").env_remove("GITHUB_STEP_SUMMARY");
    campaign.args(["campaign", "--plans", "plans.toml", "--only", "short", "--seeds", "0..6"]);
    campaign.args(["--shrink", "all", "--shrink-budget", "10m"]);
    let child = campaign.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The ledger is written when the campaign is over and before anything is shrunk.
    while !at.join("results/campaign.json").exists() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    // Twice at once is once, as `timeout` does it.
    assert!(Command::new("kill").args(["-INT", &pid, &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code().is_some(), "it ended by itself: {stdout}");
    assert!(stdout.contains("it was ended before it was done"), "{stdout}");
    let runs = fs::read_dir(at.join("results/runs")).unwrap().map(|entry| entry.unwrap().path());
    let is_shrunk = |run: &PathBuf| run.to_string_lossy().contains("-shrunk-");
    let kept: Vec<PathBuf> = runs.filter(is_shrunk).collect();
    let [kept] = &kept[..] else { panic!("one was shrunk, the others were not: {kept:?}") };
    let (_, stdout, stderr) = stormglass(at, &["replay", &kept.display().to_string()]);
    assert!(stdout.contains("the same history as the stored one"), "{stdout}{stderr}");
}

/// Stores a run of the plan that fails, and returns its folder.
fn stored(at: &Path) -> String {
    let campaign = ["campaign", "--plans", "plans.toml", "--only", "short", "--seeds", "0..8"];
    let (_, stdout, stderr) = stormglass(at, &[&campaign[..], &["--format", "json"]].concat());
    let document: serde_json::Value =
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    document["findings"]["notable"][0]["stored"].as_str().unwrap().to_owned()
}

#[test]
fn a_smaller_run_lies_beside_the_run_or_where_somebody_says() {
    let folder = folder();
    let at = folder.path();
    let run = stored(at);
    let name = run.strip_prefix("results/runs/").unwrap();
    fs::create_dir(at.join("elsewhere")).unwrap();
    let moved = format!("elsewhere/{name}");
    fs::rename(at.join(&run), at.join(&moved)).unwrap();
    let cut = |more: &[&str]| {
        let (code, stdout, stderr) =
            stormglass(at, &[&["shrink", &moved, "--budget", "0s"], more].concat());
        assert_eq!(code, 0, "{stderr}");
        let stored = stdout.lines().find_map(|line| line.strip_prefix("stored in ")).unwrap();
        assert!(at.join(stored).join("run.json").exists(), "{stored}");
        stored.to_owned()
    };
    assert_eq!(cut(&[]), format!("{moved}-shrunk"));
    assert_eq!(cut(&["--results", "mine"]), format!("mine/runs/{name}-shrunk"));
    let (_, stdout, _) = stormglass(at, &["replay", &moved, "--trace"]);
    assert!(stdout.contains(&format!("stored with its trace in {moved}\n")), "{stdout}");

    let (_, stdout, _) = stormglass(at, &["show", &moved, "--around", "1000s"]);
    assert!(
        stdout.contains("the run ends at ") && stdout.contains("its last operations"),
        "{stdout}"
    );

    let trace = at.join(&moved).join("trace.jsonl");
    let text = fs::read_to_string(&trace).unwrap();
    let cut_off = text.lines().take(10).map(|line| format!("{line}\n")).collect::<String>();
    fs::write(&trace, cut_off).unwrap();
    refused(
        at,
        &["report", &moved],
        &["trace.jsonl:11: the file ends after 10 events, but the run had "],
    );
    fs::write(&trace, "{}\n").unwrap();
    let again = format!("`stormglass replay {moved} --trace` records it anew");
    for command in [&["report", &moved][..], &["shrink", &moved], &["corpus", "add", &moved]] {
        refused(at, command, &["trace.jsonl:1: ", &again]);
    }
    fs::remove_file(&trace).unwrap();
    let history = at.join(&moved).join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    fs::write(&history, text.replacen("\"n\":1", "\"n\":2", 1)).unwrap();
    for command in [&["shrink", &moved][..], &["corpus", "add", &moved]] {
        refused(at, command, &["history.jsonl", "replay"]);
    }
}

#[test]
fn a_run_of_processes_says_what_it_is_and_what_can_be_done_with_it() {
    let folder = folder();
    let at = folder.path();
    let run = stored(at);
    let record = at.join(&run).join("run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"system\": \"primary-async\"", "\"system\": \"external\""))
        .unwrap();
    for command in ["replay", "shrink"] {
        refused(
            at,
            &[command, &run],
            &["were processes", "`stormglass external` with the same flags"],
        );
    }
}

#[test]
fn the_pages_of_cases_are_written_and_say_what_each_takes_once_that_was_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let corpus = at.join("results/corpus");
    fs::create_dir_all(&corpus).unwrap();
    let name = "primary-async-lost-write";
    let (json, html) = (corpus.join(format!("{name}.json")), corpus.join(format!("{name}.html")));
    fs::write(&json, minimum(&format!("{name}.json"))).unwrap();

    let (code, stdout, stderr) = stormglass(at, &["corpus", "report"]);
    let written = format!("written to results/corpus/{name}.");
    assert_eq!((code, stdout), (0, format!("{written}html\n")), "{stderr}");
    let brief = fs::read_to_string(&html).unwrap();
    let takes = "<h2>What it takes</h2>";
    assert!(brief.contains("lost-write") && !brief.contains(takes) && !brief.contains("<script"));

    let file = format!("results/corpus/{name}.json");
    let (code, stdout, _) = stormglass(at, &["report", &file, "--brief", "--out", "b.html"]);
    assert_eq!((code, &*stdout), (0, "written to b.html\n"));
    // The program is called by its path there.
    let head = |page: &str| {
        page.split_once("</svg>").unwrap().0.split_once("<main>").unwrap().1.to_owned()
    };
    assert_eq!(head(&fs::read_to_string(at.join("b.html")).unwrap()), head(&brief));
    let (code, stdout, _) = stormglass(at, &["report", &file, "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let whole = fs::read_to_string(&html).unwrap();
    assert_eq!((code, &document["bytes"]), (0, &serde_json::json!(whole.len())));
    assert!(whole.contains("<script") && whole.contains("id=\"explorer\""));

    let (code, stdout, stderr) = stormglass(at, &["corpus", "explain"]);
    assert_eq!((code, stdout), (0, format!("{written}json\n")), "{stderr}");
    let case = stormglass::corpus::load_case(&json).unwrap();
    let why = case.why.as_ref().unwrap();
    assert!(why.runs == 50 && why.story.is_empty(), "{why:?}");
    assert!(case.signature.unwrap().shape.is_some() && case.fingerprint.is_some());
    stormglass(at, &["corpus", "report"]);
    let told = fs::read_to_string(&html).unwrap();
    assert!(told.contains(takes) && told.contains("<td>with all of it</td>"), "{told}");
    let (code, stdout, _) = stormglass(at, &["corpus", "explain"]);
    assert_eq!((code, &*stdout), (0, "there is nothing to write\n"));

    // What is no case keeps nobody else from a page.
    fs::write(corpus.join("a.json"), "{}").unwrap();
    for what in [&["corpus", "report"][..], &["corpus", "explain", "--all"]] {
        let (code, stdout, stderr) = stormglass(at, what);
        let says = stdout.starts_with(&written) && stdout.contains("a could not be run: ");
        assert!(code == 2 && says, "{stdout}{stderr}");
    }
    fs::remove_file(corpus.join("a.json")).unwrap();

    let text = fs::read_to_string(&json).unwrap();
    let too_many = text.replace("\"runs\": 50", "\"runs\": 1");
    fs::write(&json, too_many).unwrap();
    let words = ["primary-async-lost-write.json:1: why: ", " of 1 runs fail"];
    crate::cli::refused(at, &["report", &file], &words);
}

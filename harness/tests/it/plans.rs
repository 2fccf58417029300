//! Plans as they are written, and what is said of those that are wrong: file, line, setting, and what would have done.

use std::path::Path;

use stormglass::nemesis::{EXAMPLES, Example, NEMESES};
use stormglass::plan::{self, Plan};
use stormglass::system::SYSTEMS;

use crate::cli::{refused, stormglass};

const HEAD: &str = "[[plan]]\nname = \"p\"\nsystem = \"raft\"\n";

/// What is said of a plan with this in it, from line 4 on.
fn said(rest: &str) -> String {
    let text = format!("{HEAD}{rest}\n");
    plan::parse(&text, Path::new("p.toml"), SYSTEMS).unwrap_err().to_string()
}

#[test]
fn what_is_of_the_wrong_form_is_told_with_what_belongs_there() {
    for (rest, words) in [
        (
            "nodes = 3",
            "p.toml:4: `nodes = 3`: a list of sizes belongs here, such as `nodes = [3, 5]`",
        ),
        (
            "clients = 3",
            "p.toml:4: `clients = 3`: a range belongs here, such as `clients = [5, 10]`",
        ),
        ("keys = [3]", "p.toml:4: `keys = [3]`: a range belongs here, such as `keys = [3, 8]`"),
        ("safety = 5", "p.toml:4: `safety = 5`: a time belongs here, such as `safety = \"15s\"`"),
        (
            "nemeses = \"crash\"",
            "p.toml:4: `nemeses = \"crash\"`: a list of names belongs here, such as `nemeses = [",
        ),
        ("canary-runs = \"5\"", "p.toml:4: `canary-runs = \"5\"`: a number belongs here"),
        ("swarm = 1", "p.toml:4: `swarm = 1`: true or false belongs here"),
        ("settings = [1]", "p.toml:4: `settings = [1]`: a table belongs here"),
        (
            "load = [\"open\", [5, 50]]",
            "p.toml:4: `load = [\"open\", [5, 50]]`: a table belongs here, such as `load = { pace",
        ),
        (
            "[plan.load]\nrate = 5",
            "p.toml:5: `rate = 5`: a range belongs here, such as `rate = [50, 500]`",
        ),
        (
            "load = { mix = [1] }",
            "p.toml:4: `mix = [1]`: a table belongs here, such as `mix = { read",
        ),
        (
            "[plan.faults]\nat = \"4s\"",
            "p.toml:4: `faults`: a table for each belongs here, such as `[[plan.faults]]`",
        ),
    ] {
        let said = said(rest);
        assert!(said.starts_with(words), "{rest}\n{said}");
    }
    let text = "[plan]\nname = \"p\"\nsystem = \"raft\"\n";
    let said = plan::parse(text, Path::new("p.toml"), SYSTEMS).unwrap_err().to_string();
    assert_eq!(
        said,
        "p.toml:1: `plan`: each plan has a head of its own with two brackets: `[[plan]]`"
    );
}

/// A fault of a plan, in the lines 4 to 7.
fn fault(fault: &str) -> String {
    format!("[[plan.faults]]\nat = \"4s\"\nlasts = \"1s\"\nfault = {{ {fault} }}")
}

#[test]
fn a_fault_that_is_written_wrong_is_told_with_how_one_of_its_kind_is_written() {
    for (rest, words) in [
        (
            fault("kind = \"loss\", shape = { shape = \"everywhere\" }, chance = 0.5"),
            "p.toml:7: `chance = 0.5`: a share belongs here, such as `fault = { kind = \"loss\"",
        ),
        (
            fault("kind = \"slow\", target = \"leader\", cost = 5"),
            "p.toml:7: `cost = 5`: a time belongs here, such as `fault = { kind = \"slow\"",
        ),
        (
            fault("kind = \"crash\", target = 2"),
            "p.toml:7: `target = 2`: a name belongs here, such as `fault = { kind = \"crash\"",
        ),
        (
            fault("kind = \"clock-drift\", target = \"leader\", rate = \"1/2\""),
            "p.toml:7: `rate = \"1/2\"`: a table belongs here, such as `fault = { kind = \"clock-drift\"",
        ),
        (
            fault("kind = \"clock-jump\", target = \"leader\", by_ms = 3153600000001"),
            "p.toml:7: plan `p`: faults[1].fault: the fault (clock leader by +3153600000001 ms) lets clocks jump by \
             3153600000001 ms, and 3153600000000 ms, a hundred years, are the most",
        ),
        (
            fault("kind = \"clock-jump\", target = \"leader\", by_ms = 0"),
            "p.toml:7: plan `p`: faults[1].fault: the fault (clock leader by +0 ms) lets clocks jump by 0 ms",
        ),
        (
            fault("kind = \"crush\", target = \"leader\""),
            "p.toml:7: `faults.fault.kind`: there is no `crush`; there are partition",
        ),
        (fault("kind = \"crash\", target = \"lead\""), "p.toml:7: `faults.fault"),
    ] {
        let said = said(&rest);
        assert!(said.starts_with(words), "{rest}\n{said}");
    }
    let example = said(&fault("kind = \"crash\", target = \"leader\", how = 1"));
    assert!(example.contains("; such as `fault = { kind = \"crash\""), "{example}");
    let costs =
        said(&(fault("kind = \"slow\", target = \"leader\", cost = \"5ms\"") + "\nnone = 1"));
    assert!(
        costs.starts_with("p.toml:8: ") && costs.contains("`none` is no setting here"),
        "{costs}"
    );
}

#[test]
fn a_fault_that_no_run_can_have_is_told_with_its_own_line() {
    let second = |at: &str, fault: &str| {
        let first = self::fault("kind = \"crash\", target = \"leader\"");
        said(&format!("{first}\n[[plan.faults]]\nat = \"{at}\"\nlasts = \"1s\"\n{fault}"))
    };
    let of_node = second("5s", "fault = { kind = \"crash\", target = { node = 9 } }");
    let words = "p.toml:11: plan `p`: faults[2].fault: the fault (crash n9) is aimed at node 9, and there are 1 to 5";
    assert_eq!(of_node, words);
    let too_late = second("40s", "fault = { kind = \"crash\", target = \"one\" }");
    assert!(too_late.starts_with("p.toml:9: plan `p`: faults[2].at: "), "{too_late}");
    let waits =
        second("5s", "after = { of = \"apend\" }\nfault = { kind = \"crash\", target = \"one\" }");
    assert!(waits.starts_with("p.toml:11: plan `p`: faults[2].after: "), "{waits}");
}

#[test]
fn a_fault_that_would_do_nothing_is_told_with_one_that_does_something() {
    let all = "shape = { shape = \"everywhere\" }";
    for (rest, words) in [
        (format!("kind = \"delay\", {all}, longest = \"0s\""), "delays by nothing at all; such as"),
        (
            format!("kind = \"reorder\", {all}, chance = \"1/3\", longest = \"0s\""),
            "delays by nothing at all; such as longest = \"100ms\"",
        ),
        (
            format!("kind = \"reorder\", {all}, chance = \"0/3\", longest = \"1s\""),
            "hits 0/3 of the messages, and that is none of them; such as chance = \"1/3\"",
        ),
        (format!("kind = \"loss\", {all}, chance = \"0/3\""), "hits 0/3 of the messages"),
        (
            format!("kind = \"duplicate\", {all}, chance = \"0/1\", latest = \"1s\""),
            "hits 0/1 of the messages",
        ),
        (
            "kind = \"partition\", shape = { shape = \"isolate\", target = \"all\" }".to_owned(),
            "is about links between all nodes and the others, and there are no others; such as",
        ),
        (
            "kind = \"flap\", shape = { shape = \"mute\", target = \"all\" }, every = \"1s\""
                .to_owned(),
            "is about links between all nodes and the others",
        ),
        (
            "kind = \"slow\", target = \"leader\", cost = \"0s\"".to_owned(),
            "keeps nodes busy for no time with each message; such as cost = \"5ms\"",
        ),
        (
            "kind = \"disk\", target = \"one\", defect = { slow = { longest = \"0s\" } }"
                .to_owned(),
            "makes syncs take no longer; such as defect",
        ),
        (
            "kind = \"clock-strobe\", target = \"one\", by_ms = 9, every = \"1ns\"".to_owned(),
            "lets clocks jump every 1ns, and 1ms is the least; such as every = \"100ms\"",
        ),
        (
            "kind = \"rolling-restart\", down = \"1h\", apart = \"1s\"".to_owned(),
            "lasts for 1s, and is over before the first node is back and the next one ends; such as down = \"250ms\"",
        ),
        (
            "kind = \"membership\", change = { remove = { target = \"all\" } }".to_owned(),
            "names a group, and members go one at a time; such as target = \"leader\"",
        ),
        (
            "kind = \"membership\", change = { replace = { target = \"majority\" } }".to_owned(),
            "names a group",
        ),
    ] {
        let said = said(&fault(&rest));
        let place = "p.toml:7: plan `p`: faults[1].fault: the fault (";
        assert!(said.starts_with(place) && said.contains(words), "{rest}\n{said}");
    }
    let crash = "fault = { kind = \"crash\", target = \"one\" }";
    let lasts = said(&format!("[[plan.faults]]\nat = \"4s\"\nlasts = \"0s\"\n{crash}"));
    let words = "p.toml:6: plan `p`: faults[1].lasts: the fault (crash one) lasts for no time; such as lasts = \"1s\"";
    assert_eq!(lasts, words);
}

#[test]
fn what_the_parser_says_is_told_in_our_words_and_with_what_would_have_done() {
    for (rest, words) in [
        (
            "system = \"raft\"",
            "p.toml:4: `system` is there twice in one table; leave out this one, or the one before",
        ),
        ("load = { mix = { read = 1, read = 2 } }", "p.toml:4: `read` is there twice in one table"),
        ("nodez = [3]", "p.toml:4: `nodez`: `nodez` is no setting here; there are name, system"),
        (
            "nodes = [-3]",
            "p.toml:4: `nodes`: `-3` where a whole number from 0 to 4294967295 belongs; such as `nodes = [3, 5]`",
        ),
        (
            "allowed-losses = [\"durabel\"]",
            "p.toml:4: `allowed-losses`: there is no `durabel`; there are linearizable",
        ),
        (
            "allowed-losses = [\"durable\", \"durable\"]",
            "p.toml:4: plan `p`: allowed-losses lists durable twice; once is enough",
        ),
        (
            "workload = \"set\"\nstaleness-max = \"1s\"",
            "p.toml:5: plan `p`: staleness-max is for workloads that show how far reads are behind, which `set` does not; \
             such as workload = \"register\"",
        ),
        (
            "workload = \"set\"\nversions-behind-max = 1",
            "p.toml:5: plan `p`: versions-behind-max is for workloads that show how far reads are behind",
        ),
        (
            "[plan.settings]\nreplica-reads = \"session\"\nreads = \"leese\"",
            "p.toml:6: plan `p`: settings.reads: there is no `leese`; there are read-index, lease",
        ),
    ] {
        let said = said(rest);
        assert!(said.starts_with(words), "{rest}\n{said}");
    }
    let of = |text: &str| plan::parse(text, Path::new("p.toml"), SYSTEMS).unwrap_err().to_string();
    let missing = of("[[plan]]\nname = \"p\"\n");
    assert_eq!(missing, "p.toml:1: `system` is missing; such as `system = \"raft\"`");
    let second = of(&format!("{HEAD}\n[[plan]]\nname = \"q\"\n"));
    assert_eq!(second, "p.toml:5: `system` is missing; such as `system = \"raft\"`");
    let outside = of(&format!("nodes = [3]\n{HEAD}"));
    assert!(outside.starts_with("p.toml:1: `nodes` is no setting here; there are plan, and all"));
}

#[test]
fn every_kind_of_fault_has_an_example_that_a_plan_may_have() {
    for Example { kind, written, .. } in EXAMPLES {
        let text = format!("{HEAD}[[plan.faults]]\nat = \"4s\"\nlasts = \"1s\"\n{written}\n");
        let plans = plan::parse(&text, Path::new("p.toml"), SYSTEMS);
        let plan: Plan = plans.unwrap_or_else(|error| panic!("{written}: {error}")).remove(0);
        assert!(written.contains(&format!("kind = \"{kind}\"")), "{kind}: {written}");
        let of_nemesis = NEMESES.iter().any(|entry| entry.name == plan.faults[0].fault.kind());
        assert!(of_nemesis || *kind == "drop", "{kind}");
    }
    // The parser itself says which kinds there are.
    let known = said(&fault("kind = \"crush\", target = \"leader\""));
    let (_, known) = known.split_once("there are ").unwrap();
    let (known, _) = known.split_once(';').unwrap();
    let names: Vec<&str> = known.split(", ").collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(EXAMPLES.iter().any(|example| example.kind == name), "no example of {name}");
    }
}

#[test]
fn the_faults_that_plans_may_name_are_listed_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = stormglass(folder.path(), &["list", "faults"]);
    assert_eq!(code, 0);
    for Example { written, .. } in EXAMPLES {
        assert!(stdout.contains(written), "no {written} in {stdout}");
    }
    assert!(!stdout.contains("Workloads"), "{stdout}");
}

#[test]
fn flags_that_would_be_ignored_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let words = ["--nemeses none,partition: `none` is no nemesis among others"];
    refused(at, &["campaign", "--nemeses", "none,partition"], &words);
    std::fs::create_dir_all(at.join("results/runs/x")).unwrap();
    std::fs::write(at.join("p.toml"), HEAD).unwrap();
    let replay = ["replay", "results/runs/x", "--plans", "p.toml"];
    refused(at, &replay, &["--plans is for --plan and --seed; a stored run has its plan with it"]);
    let (_, help, _) = stormglass(at, &["replay", "--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("what `STORMGLASS_PLANS` says is not looked at"), "{help}");
}

//! What a plan says of the operations of clients: how many there are when, of which kinds, with which values.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkers::Guarantee;
use checkers::history::{OpKind, Phase, Time, Value, ValueId};
use stormglass::config::Config;
use stormglass::engine::Choice;
use stormglass::nemesis::{Fault, Shape, Target};
use stormglass::plan::{self, Plan};
use stormglass::report::run::terminal;
use stormglass::rhythm::Pace;
use stormglass::run::{Conclusion, Options, Report, run};
use stormglass::seed::Seed;
use stormglass::store::Record;
use stormglass::system::{SYSTEMS, System};

use crate::systems::schedule;

fn system(name: &str) -> Arc<dyn System> {
    let entry = SYSTEMS.iter().find(|entry| entry.name == name).unwrap();
    Arc::from((entry.build)())
}

/// What comes of a plan with this load.
fn parsed(workload: &str, load: &str) -> Result<Plan, String> {
    let text = format!(
        "[[plan]]\nname = \"load\"\nsystem = \"raft\"\nworkload = \"{workload}\"\nclients = [20, 20]\n\
         safety = \"10s\"\n[plan.load]\n{load}\n"
    );
    let parsed = plan::parse(&text, Path::new("load.toml"), SYSTEMS);
    parsed.map(|mut plans| plans.remove(0)).map_err(|error| error.to_string())
}

/// Runs a plan with these faults: what, and from when to when, in milliseconds.
fn played(plan: &Plan, faults: &[(Fault, u64, u64)]) -> Report {
    let options = Options { schedule: Some(schedule(faults, |_| 3)), ..Options::default() };
    run(&system(&plan.system), plan, Seed(3), options)
}

/// How many operations of clients began within a time, in seconds.
fn begun(report: &Report, from: u64, to: u64) -> usize {
    let [from, to] = [from, to].map(|second| Time::ZERO + Duration::from_secs(second));
    report.history.operations().filter(|one| (from..to).contains(&one.invoked_at)).count()
}

#[test]
fn as_many_operations_begin_in_a_second_as_the_plan_says() {
    for pace in ["closed", "steady", "open"] {
        for engine in [Choice::Turmoil, Choice::Event] {
            let mut plan =
                parsed("register", &format!("pace = \"{pace}\"\nrate = [60, 60]")).unwrap();
            plan.engine = engine;
            let begun = begun(&played(&plan, &[]), 3, 13);
            // In a closed loop, the time for the answers comes on top.
            let expected = if pace == "closed" { 440..620 } else { 500..700 };
            assert!(expected.contains(&begun), "{pace} in {engine:?}: {begun} in ten seconds");
        }
    }
}

#[test]
fn what_an_open_loop_reached_is_said_beside_what_was_asked_for() {
    let away = Fault::Partition { shape: Shape::Clients { target: Target::All } };
    let plan = parsed("register", "pace = \"open\"\nrate = [100, 100]").unwrap();
    let report = played(&plan, &[(away, 2000, 9900)]);
    let asked = report.counts.begun;
    let final_reads = report.counts.operations() - asked;
    assert!(asked > 400 && final_reads > 0, "{asked} and {final_reads}");
    let text = terminal(&Record::of(&report));
    let reached = asked as f64 / 14.0;
    let words =
        format!("none: 100 operations a second come by themselves, {reached:.0} were begun");
    assert!(text.contains(&words), "{words}\n{text}");
}

#[test]
fn each_order_of_magnitude_of_a_range_is_drawn_as_often_as_the_others() {
    let below = |rate: &str, bound: f64| {
        let plan = parsed("register", &format!("pace = \"open\"\nrate = {rate}")).unwrap();
        let rates = (0..300).map(|seed| {
            let config = Config::draw(&plan, &system("raft").manifest(), Seed(seed));
            2.0 * f64::from(config.clients) / config.think_max.as_secs_f64()
        });
        rates.filter(|rate| *rate < bound).count()
    };
    // Drawn evenly, one of a hundred would be below 100.
    let low = below("[10, 10000]", 100.0);
    assert!((60..140).contains(&low), "{low} of 300 are below 100 a second");
    // Within one order of magnitude, all are drawn alike.
    let half = below("[100, 900]", 500.0);
    assert!((120..180).contains(&half), "{half} of 300 are in the lower half");
}

#[test]
fn every_replica_says_all_that_it_holds_however_many_keys_there_are() {
    let mut plan = parsed("register", "rate = [400, 400]\nmix = { write = 1 }").unwrap();
    (plan.keys, plan.nodes, plan.engine) = ([3000, 3000], vec![3], Choice::Event);
    let report = played(&plan, &[]);
    let (_, began) = report.history.phase_began(Phase::Final).unwrap();
    let ended = Time::from_nanos(report.counts.simulated_ns);
    // No reader waits longer than this for an answer, but together they take as long as they take.
    assert!(ended.since(began) > Duration::from_secs(31), "{began} to {ended}");
    let mut judged = report.judged.iter();
    let convergent = judged.find(|judged| judged.guarantee == Guarantee::Convergent).unwrap();
    assert!(convergent.verdict.is_valid(), "{:?}", convergent.verdict);
}

#[test]
fn replicas_that_say_nothing_are_waited_for_no_longer_than_before() {
    let mut plan = parsed("register", "rate = [50, 50]").unwrap();
    (plan.nodes, plan.engine) = (vec![3], Choice::Event);
    // Nobody has a disk any more, and nobody answers.
    let wipe = Fault::Wipe { target: Target::All };
    let report = played(&plan, &[(wipe, 4000, 6000)]);
    let (_, began) = report.history.phase_began(Phase::Final).unwrap();
    let lasted = Time::from_nanos(report.counts.simulated_ns).since(began);
    assert!(lasted < Duration::from_secs(61), "{lasted:?}");
}

#[test]
fn operations_of_an_open_loop_pile_up_while_nothing_is_answered() {
    let away = Fault::Partition { shape: Shape::Clients { target: Target::All } };
    let counted = |pace| {
        let plan = parsed("register", &format!("pace = \"{pace}\"\nrate = [100, 100]")).unwrap();
        let report = played(&plan, &[(away, 4000, 8000)]);
        // Who had no answer when the cut was over waits for one as long as an operation may take.
        (begun(&report, 5, 8), begun(&report, 8, 12))
    };
    let [(meanwhile, after), (meanwhile_open, after_open)] = ["closed", "open"].map(counted);
    // There are no more of them under way than clients.
    assert!(meanwhile < 150 && meanwhile_open < 150, "{meanwhile}, {meanwhile_open}");
    let due = 4 * 100;
    assert!(after < due, "a closed loop begins {after} and makes up for nothing");
    let missed = 3 * 100 - meanwhile_open;
    assert!(after_open > due + missed / 2, "an open loop begins {after_open}, {missed} were late");
}

#[test]
fn clients_do_the_kinds_of_operations_that_the_plan_says_in_their_proportions() {
    let plan = parsed("register", "mix = { read = 3, write = 1 }\nrate = [200, 200]").unwrap();
    let report = played(&plan, &[]);
    let (last_phase, _) = report.history.phase_began(Phase::Final).unwrap();
    let of = |kind| {
        let asked = report.history.operations().filter(|one| one.invoked < last_phase);
        asked.filter(|one| one.op.kind() == kind).count()
    };
    let [reads, writes] = [OpKind::Read, OpKind::Write].map(of);
    assert_eq!((of(OpKind::Cas), of(OpKind::Delete)), (0, 0));
    assert!(writes > 300 && (2 * writes..4 * writes).contains(&reads), "{reads} and {writes}");
}

/// The sizes of the texts in a value.
fn sizes(value: &Value) -> Vec<usize> {
    match value {
        Value::Nil => Vec::new(),
        Value::Text(text) => vec![text.len()],
        Value::List(values) => values.iter().flat_map(sizes).collect(),
        Value::Int(number) => panic!("{number} was never written"),
    }
}

#[test]
fn values_are_as_large_as_the_plan_says_and_come_back_whole() {
    let crash = Fault::Crash { target: Target::Leader };
    for (workload, most) in [("register", 2000), ("set", 1000), ("queue", 1000), ("append", 1000)] {
        let plan = parsed(workload, &format!("value-bytes = [100, {most}]")).unwrap();
        let report = played(&plan, &[(crash, 4000, 6000)]);
        assert_eq!(report.conclusion(), Conclusion::Valid, "{workload}: {:?}", report.vacuous);
        if workload == "append" {
            // Steps have names and keys besides.
            continue;
        }
        let history = &report.history;
        let sizes: Vec<usize> = (0..history.value_count())
            .flat_map(|id| sizes(history.value(ValueId(id as u32))))
            .collect();
        assert!(sizes.len() > 100 && sizes.iter().all(|size| (100..=most).contains(size)));
        assert!(
            sizes.iter().any(|size| *size < 300) && sizes.iter().any(|size| *size > most - 200)
        );
    }
}

#[test]
fn a_load_that_nobody_can_be_put_under_is_refused_with_what_would_do() {
    for (workload, load, expected) in [
        ("register", "rate = [0, 5]", "rate = [0, 5] must be a range within [1, 100000]"),
        ("register", "rate = [5, 1]", "rate = [5, 1] must be a range"),
        (
            "register",
            "rate = [5]",
            "`rate = [5]`: a range belongs here, such as `rate = [50, 500]`",
        ),
        (
            "register",
            "pace = \"fast\"",
            "there is no `fast`; there are closed, steady, open; such as `pace = \"open\"`",
        ),
        ("register", "value-bytes = [1, 1000000]", "must be a range within [10, 16384]"),
        ("register", "value-bytes = [0, 0]", "must be a range within [10, 16384]"),
        ("register", "value-bytes = [1, 1]", "must be a range within [10, 16384]"),
        ("counter", "value-bytes = [1, 10]", "value-bytes is for workloads that write values"),
        (
            "register",
            "mix = { add = 1 }",
            "mix has add, and here clients do read, write, cas, delete",
        ),
        ("register", "mix = { read = 1 }", "mix changes nothing that could be read"),
        ("register", "mix = { write = 0 }", "mix has write 0 times"),
        (
            "register",
            "speed = 3",
            "`load.speed`: `speed` is no setting here; there are pace, rate, mix",
        ),
        (
            "register",
            "mix = { raed = 80 }",
            "`load.mix.raed`: there is no `raed`; there are read, write",
        ),
        (
            "register",
            "mix = { read = \"80\" }",
            "`load.mix.read`: `\"80\"` where a whole number from 0 to 4294967295 belongs; such as `mix = { read = 80",
        ),
        (
            "register",
            "mix = {}",
            "`mix = {}`: there is nothing in it, and so it says nothing; such as `mix = { read = 80",
        ),
    ] {
        let error = parsed(workload, load).unwrap_err();
        assert!(error.contains(expected), "{load}: {error}");
    }
    for (load, place) in
        [("rate = [0, 5]", "load.toml:8: "), ("\nskew = \"zipf\"\nrate = [0, 5]", "load.toml:10: ")]
    {
        let error = parsed("register", load).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn what_a_plan_says_of_its_load_goes_before_what_a_swarm_draws() {
    let mut plan =
        parsed("register", "pace = \"open\"\nskew = \"zipf\"\nvalue-bytes = [17, 17]").unwrap();
    plan.swarm = true;
    for seed in 0..20 {
        let config = Config::draw(&plan, &system("raft").manifest(), Seed(seed));
        assert_eq!((config.pace, config.value_bytes), (Pace::Open, [17, 17]));
    }
}

#[test]
fn the_example_of_the_readme_says_all_that_can_be_said() {
    let readme = include_str!("../../../README.md");
    let (_, load) = readme.split_once("[plan.load]\n").unwrap();
    let (load, _) = load.split_once("```").unwrap();
    let plan = parsed("register", load).unwrap();
    let written = toml::Table::try_from(&plan.load).unwrap();
    let said: BTreeSet<&str> = written.keys().map(String::as_str).collect();
    let all = ["mix", "operations-a-key-set", "pace", "rate", "skew", "value-bytes"];
    assert_eq!(said, all.into_iter().collect());
}

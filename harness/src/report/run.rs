//! One run as text: what was drawn, what the faults did, the verdicts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use checkers::brief::op_in_short;
use checkers::{Anomaly, Facts, Verdict};
use tabled::builder::Builder;
use tabled::settings::{Modify, Style, Width, object::Columns};

use super::brief::{basis, counted};
use super::escape;
use crate::budget::Beyond;
use crate::config::Config;
use crate::engine::Engine;
use crate::nemesis::Planned;
use crate::rhythm::Pace;
use crate::run::{Conclusion, Counts, DiskEffect, Effect, Judged};
use crate::seed::Seed;
use crate::store::Record;
use crate::story::Sentence;
use crate::system::Claim;
use crate::why::{BELIEVABLE, Why};

/// The whole of a run.
pub fn terminal(record: &Record) -> String {
    let mut out = String::new();
    let plan = &record.plan;
    let later = record.config.reseed;
    let later = later.map(|later| format!(", from {} on seed {}", later.at, later.seed));
    let later = later.unwrap_or_default();
    let _ = writeln!(out, "plan {} ({}), seed {}{later}", plan.name, plan.system, record.seed);
    let _ = writeln!(out, "\nConfiguration\n{}", configuration(record));
    let _ = writeln!(out, "\nFaults\n{}", faults(record));
    let _ = writeln!(out, "\nVerdicts\n{}", verdicts(&record.judged));
    for sentence in beyond(&record.judged).into_iter().chain(idle(record)) {
        let _ = writeln!(out, "{sentence}");
    }
    for judged in &record.judged {
        let anomalies = judged.verdict.anomalies();
        let mut told: Vec<&str> = Vec::new();
        for anomaly in anomalies {
            if !told.contains(&anomaly.name.as_str()) {
                told.push(&anomaly.name);
                let _ = write!(out, "\n{}", explanation(anomaly));
            }
        }
        let more = anomalies.len() - told.len();
        if more > 0 {
            let _ = writeln!(out, "  and {more} more of {}", judged.guarantee);
        }
    }
    let _ = write!(out, "\nFacts\n{}", facts(&record.facts));
    let _ = write!(out, "{}{}", times("Rare states", &record.marks), times("Whims", &record.whims));
    for reason in &record.vacuous {
        let _ = writeln!(out, "\nThe run proves nothing: {}", escape::line(reason));
    }
    let counts = &record.counts;
    let _ = writeln!(
        out,
        "\n{} operations{}: {} ok, {} fail, {} info; {} messages, {} not delivered; {}.{:03} s \
         {}\nfingerprint {}\n{}",
        counts.operations(),
        of_clients(record),
        counts.ok,
        counts.fail,
        counts.info,
        counts.sent,
        counts.dropped,
        counts.simulated_ns / 1_000_000_000,
        counts.simulated_ns / 1_000_000 % 1000,
        if record.config.engine == Engine::Real { "of wall-clock time" } else { "simulated" },
        record.fingerprint,
        conclusion(record.conclusion),
    );
    out
}

/// How many of the operations clients were told to ask: the others read all replicas at the end. Nothing where clients
/// drew what they ask.
pub(crate) fn of_clients(record: &Record) -> String {
    let Some(calls) = &record.calls else { return String::new() };
    let final_reads = record.counts.operations().saturating_sub(calls.len() as u64);
    match final_reads {
        0 => String::new(),
        1 => format!(" ({} of clients, 1 that reads a replica at the end)", calls.len()),
        _ => format!(" ({} of clients, {final_reads} that read replicas at the end)", calls.len()),
    }
}

/// Why a run has another seed than its name says, in words that follow the seed; nothing where it has not.
pub(crate) fn other_seed(record: &Record, folder: &Path) -> Option<String> {
    record.why.as_ref()?;
    let name = folder.file_name()?.to_str()?;
    let rest = name.strip_prefix(record.plan.name.as_str())?.strip_prefix('-')?;
    let own: Seed = rest.split('-').next()?.parse().ok()?;
    let why = || format!("it was shrunk from a run of seed {own}, under which it takes more");
    (own != record.seed).then(why)
}

/// How often something happened, by name; nothing where nothing did.
fn times(head: &str, times: &BTreeMap<String, u64>) -> String {
    let each = times.iter().map(|(name, times)| format!("{} {times}", escape::line(name)));
    let each = each.collect::<Vec<_>>().join(", ");
    if each.is_empty() { String::new() } else { format!("\n{head}\n  {each}\n") }
}

/// What a run as a whole comes to, in a sentence.
pub fn conclusion(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Valid => "valid: everything that is claimed was judged and held",
        Conclusion::AllowedLoss => {
            "allowed loss: what was broken is not claimed under the faults that the plan names"
        }
        Conclusion::Unknown => "unknown: the run does not tell whether what is claimed held",
        Conclusion::Invalid => "invalid: something that is claimed was broken",
    }
}

/// How much a run has tested, in one line.
pub fn amount(record: &Record) -> String {
    let Counts { ok, fail, info, sent, .. } = record.counts;
    let effective = record.effects.iter().filter(|effect| effect.took_effect()).count();
    format!(
        "{} ({ok} ok, {fail} fail, {info} info), {}, {}",
        counted(record.counts.operations(), "operation"),
        counted(sent, "message"),
        match record.effects.len() {
            0 => "no faults".to_owned(),
            planned =>
                format!("{effective} of {} made a difference", counted(planned as u64, "fault")),
        },
    )
}

/// An anomaly in words, one sentence a line.
pub fn explanation(anomaly: &Anomaly) -> String {
    let key = anomaly.key.as_ref().map_or_else(String::new, |key| format!(" on key {key}"));
    let head = format!("{}: {}{key} at {}", anomaly.guarantee, anomaly.name, anomaly.at);
    let mut out = escape::line(&head) + "\n";
    for sentence in &anomaly.explanation {
        let _ = writeln!(out, "  {}", escape::line(sentence));
    }
    out
}

/// What becomes of the failure of a shrunk run without each of its faults and operations, or that this was not tried.
pub fn why(record: &Record) -> String {
    let Some(why) = &record.why else { return String::new() };
    if !why.is_tried() {
        return format!("\nWhat it takes\n  {UNTRIED}\n");
    }
    let runs = why.runs;
    let mut out = format!(
        "\nWhat it takes\n  the same faults and operations fail in {} of {runs} runs with other seeds\n",
        why.with_all
    );
    for (planned, fails) in record.schedule.0.iter().zip(&why.without_fault) {
        let fault = &planned.fault;
        let effect = record.effects.iter().find(|effect| effect.fault == planned.id);
        let what = effect.map_or("", |effect| &effect.what);
        let words = escape::line(&format!("{fault}, which hit {what}"));
        let _ = writeln!(out, "  without fault {} ({words}): in {fails}", planned.id);
    }
    for (op, by, fails) in without_calls(record, why) {
        let _ = writeln!(out, "  without `{}` {by}: in {fails}", escape::line(&op));
    }
    let from_when = why.from_when().filter(|_| why.story.is_empty());
    for words in [caveat(why), from_when, findability(why)].into_iter().flatten() {
        let _ = writeln!(out, "  {words}");
    }
    out
}

/// Of each operation of a shrunk run: what it is, by whom and when it was asked, and how many runs fail without it.
pub(crate) fn without_calls(record: &Record, why: &Why) -> Vec<(String, String, u32)> {
    let mut rows: Vec<(String, String, u32)> = Vec::new();
    let calls = record.calls.iter().flat_map(|calls| &calls.0);
    for (client, (calls, fails)) in calls.zip(&why.without_call).enumerate() {
        for (call, fails) in calls.iter().zip(fails) {
            let op = op_in_short(&call.op, None);
            let by = format!("by client {client} at {}", call.at);
            let same = rows.iter().filter(|row| row.0 == op && row.1.starts_with(&by)).count();
            // A client that is busy asks for several things that were due at one moment, one after the other.
            let which = if same == 0 { String::new() } else { format!(", number {}", same + 1) };
            rows.push((op, by + &which, *fails));
        }
    }
    rows
}

/// What is said of a shrunk run of which no variants were played.
pub(crate) const UNTRIED: &str = "there was no time to try what becomes of it without each fault and operation, and \
                                  under other seeds: shrink it again, with more `--budget`";

/// What the counts do not say, where hardly any run fails with all faults and operations.
pub(crate) fn caveat(why: &Why) -> Option<String> {
    /// One of so many is hardly any.
    const FEW: u32 = 10;
    (why.with_all * FEW < why.runs).then(|| {
        "it takes what its own seed decides as well, such as when elections begin: what becomes of other seeds says \
         little"
            .to_owned()
    })
}

/// How often the plan of a run finds its failure, and what that says of clean runs.
pub(crate) fn findability(why: &Why) -> Option<String> {
    let runs = why.runs;
    let failing = why.of_plan?;
    Some(match why.clean_runs() {
        Some(clean) => {
            let clean = match clean {
                1 => "1 clean run is".to_owned(),
                _ => format!("{clean} clean runs in a row are"),
            };
            format!(
                "of {runs} other seeds of the plan, {failing} find it: at that rate {clean} by chance in one of \
                 {BELIEVABLE} cases at most"
            )
        }
        None => format!(
            "of {runs} other seeds of the plan, none finds it: that a fix holds is seen from this run alone"
        ),
    })
}

/// How the failure of a run came about, in numbered sentences; nothing where that is not known.
pub fn story(record: &Record) -> String {
    let story = record.why.as_ref().map_or(&[][..], |why| &why.story);
    if story.is_empty() {
        return String::new();
    }
    let mut out = "\nHow it came about\n".to_owned();
    for (number, Sentence { at, words }) in (1..).zip(story) {
        let at = at.to_string();
        let _ = writeln!(out, "  {number:>2}. {at:>8}  {}", escape::line(words));
    }
    out
}

/// What a history says beyond verdicts, a line each.
pub fn facts(facts: &Facts) -> String {
    let text = facts.to_string();
    if text.is_empty() {
        return "  none\n".to_owned();
    }
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The drawn configuration, a setting a line.
fn configuration(record: &Record) -> String {
    let lines = settings(record).map(|(name, value)| format!("  {name:<26}{value}"));
    lines.join("\n")
}

/// The same in few lines, as what is first said of a run.
pub(crate) fn drawn(record: &Record) -> String {
    /// The longest line.
    const WIDTH: usize = 110;
    let mut out = "drawn:".to_owned();
    let mut width = out.len();
    let mut all = settings(record).into_iter().peekable();
    while let Some((name, value)) = all.next() {
        let end = if all.peek().is_some() { ";" } else { "" };
        let words = format!("{name} {value}{end}");
        let len = words.chars().count();
        let fits = width + 1 + len <= WIDTH;
        let space = if fits { " " } else { "\n  " };
        width = if fits { width + 1 + len } else { 2 + len };
        out += &format!("{space}{words}");
    }
    out + "\n"
}

/// The drawn configuration, by the names of its settings.
pub(crate) fn settings(record: &Record) -> [(&'static str, String); 16] {
    let config = &record.config;
    let time = |duration| humantime::format_duration(duration).to_string();
    // What a simulation draws of its world, a real one has of its own.
    let is_real = config.engine == Engine::Real;
    let drawn = |words: String| if is_real { "as it is".to_owned() } else { words };
    let mix: Vec<_> = config.mix.iter().map(|(kind, weight)| format!("{kind} {weight}")).collect();
    [
        ("engine", engine(record)),
        ("nodes", nodes(config)),
        ("clients", format!("{} ({} stay with one node)", config.clients, config.pinned)),
        ("keys in use at a time", config.keys.to_string()),
        ("operations a set of keys", config.operations_a_key_set.to_string()),
        ("mix", mix.join(", ")),
        ("replica reads", format!("{} of 100 reads", config.replica_reads_percent)),
        ("choice of keys", config.skew.to_string()),
        ("values", values(config)),
        ("pause between operations", pause(record)),
        ("latency", drawn(format!("{} to {}", time(config.tick), time(config.latency_max)))),
        ("sync of a disk", drawn(format!("up to {}", time(config.sync_max)))),
        ("whims", if config.whims { "some" } else { "none" }.to_owned()),
        ("pause between faults", pause_between_faults(record)),
        ("safety phase", time(config.safety)),
        ("liveness phase", liveness(config)),
    ]
}

/// What played a run, and which programs.
pub(crate) fn engine(record: &Record) -> String {
    match record.config.engine {
        engine @ (Engine::Turmoil | Engine::Event) => engine.to_string(),
        Engine::Real => {
            let programs = record.programs.iter();
            let programs = programs.map(|(name, version)| format!("; {name}: {version}"));
            let programs = escape::line(&programs.collect::<String>());
            format!("real processes, in wall-clock time: not replayable{programs}")
        }
    }
}

fn liveness(config: &Config) -> String {
    let lasts = humantime::format_duration(config.liveness);
    let who = if config.core { ", in which a minority stays away" } else { "" };
    format!("{lasts}{who}")
}

fn values(config: &Config) -> String {
    match config.value_bytes {
        [_, 0] => "numbers".to_owned(),
        [0, most] => format!("texts of up to {most} bytes"),
        [fewest, most] if fewest == most => format!("texts of {most} bytes"),
        [fewest, most] => format!("texts of {fewest} to {most} bytes"),
    }
}

fn pause(record: &Record) -> String {
    let config = &record.config;
    let longest = humantime::format_duration(config.think_max);
    match config.pace {
        Pace::Closed => format!("up to {longest}"),
        Pace::Steady => format!("up to {longest}, counted from the beginning of the one before"),
        Pace::Open => {
            let rate = 2.0 * f64::from(config.clients) / config.think_max.as_secs_f64();
            let words = format!("none: {rate:.0} operations a second come by themselves");
            // Nobody has time for all of them where answers are slow. (Runs of earlier versions do not tell.)
            match record.counts.begun {
                0 => words,
                begun => {
                    let reached = begun as f64 / (config.safety + config.liveness).as_secs_f64();
                    format!("{words}, {reached:.0} were begun")
                }
            }
        }
    }
}

fn pause_between_faults(record: &Record) -> String {
    let time = |duration| humantime::format_duration(duration).to_string();
    match &record.config.nemeses {
        None => format!("up to {}", time(record.config.calm_max)),
        Some(drawn) if drawn.is_empty() => "no nemesis was drawn".to_owned(),
        Some(drawn) => {
            let each = drawn.iter().map(|(name, pause)| format!("{name} up to {}", time(*pause)));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn nodes(config: &Config) -> String {
    match config.spares {
        0 => config.nodes.to_string(),
        spares => format!("{} ({spares} more are spare when it begins)", config.nodes),
    }
}

fn faults(record: &Record) -> String {
    if record.schedule.0.is_empty() {
        return "  none".to_owned();
    }
    let mut builder = Builder::default();
    builder.push_record(["", "from", "to", "fault", "what it did", "dropped", "ok meanwhile"]);
    for row in fault_rows(record) {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::rounded());
    table.to_string()
}

/// For each fault its number, when it began and was undone, what it was to do and did, how many messages it
/// dropped, and how many operations ended `ok` meanwhile.
pub(crate) fn fault_rows(record: &Record) -> Vec<[String; 7]> {
    let row = |planned: &Planned| {
        let effect = record.effects.iter().find(|effect| effect.fault == planned.id);
        let (dropped, ok) = effect.map_or_else(Default::default, |effect| {
            (effect.dropped.to_string(), effect.ok_during.to_string())
        });
        // One that waits for a message may begin later.
        let waits = if planned.after.is_some() { " or later" } else { "" };
        [
            planned.id.to_string(),
            format!("{}{waits}", planned.at),
            format!("{}{waits}", planned.until),
            planned.to_string(),
            effect.map_or_else(String::new, what_it_did),
            dropped,
            ok,
        ]
    };
    record.schedule.0.iter().map(row).collect()
}

/// Whom a fault hit, and what it did to them.
fn what_it_did(effect: &Effect) -> String {
    let what = if effect.what.is_empty() { "nothing" } else { &effect.what };
    let unless_none = |count: u64, words: &dyn Fn(u64) -> String| match count {
        0 => String::new(),
        count => words(count),
    };
    escape::line(what)
        + &unless_none(effect.delayed, &|delayed| format!(", {} late", counted(delayed, "message")))
        + &unless_none(effect.copied, &|copied| format!(", {} again", counted(copied, "message")))
        + &unless_none(effect.flapped.into(), &|flapped| {
            format!(", cut {}", counted(flapped, "time"))
        })
        + &unless_none(effect.misread, &|misread| {
            format!(", clocks read wrong {}", counted(misread, "time"))
        })
        + &unless_none(effect.lost_bytes, &|bytes| {
            let of = if effect.disks_lost.is_empty() { "not synced" } else { "of disks" };
            format!(", {} {of} lost", counted(bytes, "byte"))
        })
        + &unless_none(effect.halted_ns / 1_000_000, &|ms| format!(", halted for {ms} ms in all"))
        + &of_disks(&effect.disk)
}

/// What a fault did to disks, in words that follow whom it hit.
fn of_disks(disk: &DiskEffect) -> String {
    let counts = [
        (disk.slow_syncs, "slow sync", ""),
        (disk.errors, "error", " of disks"),
        (disk.flipped_bits, "flipped bit", ""),
        (disk.lies, "sync", " that lied"),
        (disk.lost_bytes, "byte", " lost"),
    ];
    let counts = counts.iter().filter(|(count, ..)| *count > 0);
    counts.map(|(count, what, how)| format!(", {}{how}", counted(*count, what))).collect()
}

/// The faults that the plan names and that had no effect, a sentence each, but for those of which it is said already why the
/// run proves nothing: others may have had one, and then the run shows less than whoever reads the plan believes.
pub(crate) fn idle(record: &Record) -> Vec<String> {
    let is_told = |planned: &Planned| {
        let place = format!("fault {} (", planned.id);
        record.vacuous.iter().any(|reason| reason.starts_with(&place))
    };
    let named = record.schedule.0.iter().filter(|planned| planned.scripted);
    let sentence = |planned: &Planned| {
        let effect = record.effects.iter().find(|effect| effect.fault == planned.id);
        let why = match effect {
            Some(effect) if effect.took_effect() => return None,
            Some(effect) if !effect.what.is_empty() => &*effect.what,
            _ => "it never began",
        };
        Some(escape::line(&format!(
            "fault {} ({planned}), which the plan names, had no effect: {why}",
            planned.id
        )))
    };
    named.filter(|planned| !is_told(planned)).filter_map(sentence).collect()
}

/// Some faults, by their numbers: `fault 0`.
pub(crate) fn faults_of(beyond: &[Beyond]) -> String {
    let numbers = beyond.iter().map(|beyond| format!("fault {}", beyond.fault));
    numbers.collect::<Vec<_>>().join(", ")
}

/// What goes beyond the claims of a run, a sentence for each fault and reason.
pub(crate) fn beyond(judged: &[Judged]) -> Vec<String> {
    let mut reasons: Vec<(&Beyond, Vec<&str>)> = Vec::new();
    for judged in judged {
        for beyond in &judged.beyond {
            match reasons.iter_mut().find(|(known, _)| *known == beyond) {
                Some((_, guarantees)) => guarantees.push(judged.guarantee.name()),
                None => reasons.push((beyond, vec![judged.guarantee.name()])),
            }
        }
    }
    let sentence = |(Beyond { fault, words }, guarantees): (&Beyond, Vec<&str>)| {
        let guarantees = guarantees.join(", ");
        escape::line(&format!("fault {fault} goes beyond what is claimed of {guarantees}: {words}"))
    };
    reasons.into_iter().map(sentence).collect()
}

fn verdicts(judged: &[Judged]) -> String {
    let mut builder = Builder::default();
    builder.push_record(["guarantee", "the system says", "verdict", "judged"]);
    for judged in judged {
        let claim = match judged.claim {
            Claim::Holds => "holds".to_owned(),
            Claim::Breaks => "breaks".to_owned(),
            Claim::Silent => "nothing".to_owned(),
            Claim::Waived => format!("holds, but not under {}", faults_of(&judged.beyond)),
        };
        let verdict = match &judged.verdict {
            Verdict::Valid(_) => "valid".to_owned(),
            Verdict::Unknown { reason, .. } => format!("unknown: {}", escape::line(reason)),
            Verdict::Invalid { anomalies, .. } => {
                let first = anomalies.first().map_or("", |anomaly| anomaly.name.as_str());
                let is = if judged.is_allowed_loss() { "allowed loss" } else { "invalid" };
                format!("{is}: {} in all, the first a {}", anomalies.len(), escape::line(first))
            }
        };
        let basis = escape::line(&basis(judged.verdict.coverage()));
        builder.push_record([judged.guarantee.to_string(), claim, verdict, basis]);
    }
    let mut table = builder.build();
    table
        .with(Style::rounded())
        .with(Modify::new(Columns::new(2..)).with(Width::wrap(50).keep_words(true)));
    table.to_string()
}

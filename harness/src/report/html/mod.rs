//! A stored run as one page of HTML: what failed, drawn and explained, and all of the run to look around in.
//!
//! The page needs nothing but itself: no network, no library, and for its first screen no script either. Its
//! policy for contents allows the one script and the one style in it, by their hashes, and nothing else; whatever
//! comes from the system under test is escaped on top of that.

use std::collections::BTreeMap;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkers::history::{History, OperationId, Time};
use checkers::{Anomaly, Verdict};
use sha2::{Digest, Sha256};

use self::strip::Strip;
use super::brief::{basis, counted};
use super::escape;
use super::run;
use super::summary::shell_word;
use super::timeline;
use crate::run::{Conclusion, Judged};
use crate::shrink::Failure;
use crate::store::Record;
use crate::story::Sentence;
use crate::system::Claim;
use crate::trace::Trace;

mod axis;
mod bands;
mod columns;
mod messages;
mod picture;
mod replayed;
mod strip;
mod svg;
mod words;

pub use self::replayed::Replayed;

const STYLE: &str = include_str!("../../../templates/report.css");
const EXPLORER_STYLE: &str = include_str!("../../../templates/explorer.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");
/// Of so many anomalies of each guarantee there is a picture.
const PICTURES_MAX: usize = 3;
/// So many anomalies of each guarantee are listed.
const LISTED_MAX: usize = 40;
/// The longest sentence that is shown, in characters.
const SENTENCE_MAX: usize = 600;

/// What is said of a run that was made smaller, as its seed means less than others do.
const SHRUNK: &str = "Made smaller: faults and operations are written down, its seed decides only how long things take and who \
     stands for election, and may be another than that of the run it was made of.";

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What decided the run and what came of it.
    pub record: &'a Record,
    /// Its history.
    pub history: &'a History,
    /// Its trace, where it has one.
    pub trace: Option<&'a Trace>,
    /// The place of the anomaly to begin with among all, in the order of reports.
    pub anomaly: Option<usize>,
    /// How the program is called.
    pub program: &'a str,
    /// Where the run comes from.
    pub origin: Origin<'a>,
    /// How it came about, where its record does not tell.
    pub story: &'a [Sentence],
}

/// Where a run comes from, as whoever reads its page names it.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The folder that it is stored in.
    Run(&'a str),
    /// The file of a case that makes it happen again.
    Case(&'a str),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    policy: String,
    style: &'static str,
    time: &'static str,
    verdict: Standing,
    sentence: String,
    run: Vec<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
    counts: String,
    note: &'static str,
    commands: Vec<(&'static str, String)>,
    main: Option<Drawn>,
    why: Vec<Without>,
    findability: String,
    story: Vec<(String, String)>,
    claims: Vec<Row<4>>,
    faults: Vec<[String; 7]>,
    /// Why what held proves nothing; empty where it does.
    vacuous: String,
    /// The faults that the plan names and that had no effect, a sentence each.
    idle: Vec<String>,
    has_trace: bool,
    rest: Option<Rest>,
}

/// What a brief page does without: the whole run, to look around in.
struct Rest {
    style: &'static str,
    script: &'static str,
    overview: String,
    plots: Vec<(&'static str, String)>,
    groups: Vec<Group>,
    facts: Vec<String>,
    states: Vec<(&'static str, String)>,
    columns: String,
}

/// How the run stands, for the first line.
struct Standing {
    class: &'static str,
    mark: &'static str,
    words: String,
    claim: String,
}

/// A row of a table, and how it is coloured.
struct Row<const N: usize> {
    class: &'static str,
    cells: [String; N],
}

/// The anomalies of a guarantee.
struct Group {
    guarantee: String,
    says: &'static str,
    count: usize,
    listed: Vec<Drawn>,
    more: usize,
}

/// An anomaly as it is shown.
struct Drawn {
    /// Its number, from 1 on, as `show` counts them.
    number: usize,
    name: String,
    at: String,
    key: String,
    sentence: String,
    sentences: Vec<String>,
    picture: String,
    caption: String,
    rows: Vec<timeline::Shown>,
}

/// What becomes of the failure without something.
struct Without {
    what: String,
    fails: u32,
    of: u32,
    width: String,
}

/// A run as a page of HTML.
///
/// # Panics
/// If a witness names operations that the history does not have; [`crate::store::load`] refuses such a run.
pub fn page(source: &Source<'_>) -> String {
    render(source, Some(rest(source)))
}

/// What failed in a run, drawn and explained, as a page of HTML without a script: small enough for a mail.
///
/// # Panics
/// As [`page`].
pub fn brief(source: &Source<'_>) -> String {
    render(source, None)
}

fn render(source: &Source<'_>, rest: Option<Rest>) -> String {
    let Source { record, trace, .. } = source;
    let main = main(source);
    let page = Page {
        title: title(record, main.map(|(_, anomaly)| anomaly)),
        policy: policy(rest.as_ref()),
        style: STYLE,
        time: record.config.engine.time(),
        verdict: standing(record, main.map(|(_, anomaly)| anomaly)),
        sentence: main.map_or_else(
            || without_anomaly(record),
            |(_, anomaly)| shown(&words::headline(anomaly)),
        ),
        run: identity(record),
        settings: drawn_settings(record),
        counts: counts(source, main.map(|(_, anomaly)| anomaly)),
        note: if record.calls.is_some() { SHRUNK } else { "" },
        commands: commands(source),
        main: main.map(|(place, anomaly)| drawn(source, place, anomaly, true)),
        why: without(record),
        findability: record.why.as_ref().map_or_else(String::new, |why| {
            let words = match why.is_tried() {
                true => [run::caveat(why), run::findability(why)],
                false => [Some(run::UNTRIED.to_owned()), None],
            };
            words.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }),
        story: story(source),
        claims: record.judged.iter().map(claim).collect(),
        faults: run::fault_rows(record),
        vacuous: shown(&record.vacuous.join("; ")),
        idle: run::idle(record).iter().map(|sentence| shown(sentence)).collect(),
        has_trace: trace.is_some(),
        rest,
    };
    page.render().expect("a text takes whatever is written to it")
}

/// The anomaly to begin with, and its place.
fn main<'a>(source: &Source<'a>) -> Option<(usize, &'a Anomaly)> {
    source.anomaly.and_then(|place| Some((place, *anomalies(source.record).get(place)?)))
}

fn rest(source: &Source<'_>) -> Rest {
    let Source { record, history, trace, .. } = source;
    let strip = Strip::of(history);
    let first: Vec<&Anomaly> = main(source).iter().map(|(_, anomaly)| *anomaly).collect();
    let others = anomalies(record)
        .into_iter()
        .filter(|one| !first.iter().any(|main| std::ptr::eq(*main, *one)));
    let in_order: Vec<&Anomaly> = first.iter().copied().chain(others).collect();
    Rest {
        style: EXPLORER_STYLE,
        script: SCRIPT,
        overview: strip.overview(in_order.iter().copied()),
        plots: vec![
            ("Operations a second that ended ok", strip.throughput()),
            (
                "Latency of operations that ended ok: half of them, and 99 of 100, at most",
                strip.latency(),
            ),
            ("Of all operations begun, how many ended ok", strip.availability()),
        ],
        groups: groups(source),
        facts: record.facts.to_string().lines().map(shown).collect(),
        states: vec![("Rare states", times(&record.marks)), ("Whims", times(&record.whims))],
        columns: columns::pack(history, *trace, &in_order),
    }
}

/// What the page may do: run its own script if it has one, show itself in its own style.
fn policy(rest: Option<&Rest>) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let script = rest
        .map_or_else(String::new, |rest| format!("script-src 'sha256-{}'; ", hash(rest.script)));
    let style = format!("{STYLE}{}", rest.map_or("", |rest| rest.style));
    format!(
        "default-src 'none'; {script}style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(&style)
    )
}

fn anomalies(record: &Record) -> Vec<&Anomaly> {
    record.judged.iter().flat_map(|judged| judged.verdict.anomalies()).collect()
}

/// A sentence as it is shown, on one line.
fn shown(sentence: &str) -> String {
    escape::line(&svg::short(sentence, SENTENCE_MAX))
}

fn title(record: &Record, anomaly: Option<&Anomaly>) -> String {
    let (plan, seed) = (&record.plan.name, record.seed);
    let what = match anomaly {
        Some(anomaly) => {
            let mut judged = record.judged.iter();
            let is_lost = judged
                .any(|judged| judged.guarantee == anomaly.guarantee && judged.is_allowed_loss());
            let mark = if is_lost { "▽" } else { "✗" };
            format!("{mark} {}", super::summary::kind(anomaly.guarantee, &anomaly.name))
        }
        None => run::conclusion(record.conclusion).to_owned(),
    };
    shown(&format!("{what} · {plan}, seed {seed}"))
}

fn standing(record: &Record, anomaly: Option<&Anomaly>) -> Standing {
    let Some(anomaly) = anomaly else {
        let (class, mark) = match record.conclusion {
            Conclusion::Valid => ("held", "✓"),
            Conclusion::AllowedLoss => ("disclaimed", "▽"),
            Conclusion::Unknown => ("unknown", "?"),
            Conclusion::Invalid => ("broken", "✗"),
        };
        let words = run::conclusion(record.conclusion).to_owned();
        return Standing { class, mark, words, claim: String::new() };
    };
    let claim = record.judged.iter().find(|judged| judged.guarantee == anomaly.guarantee);
    let system = shown(&record.plan.system);
    let guarantee = anomaly.guarantee;
    let (class, claim) = match claim.map(|judged| judged.claim) {
        Some(Claim::Holds) => {
            ("broken", format!("{system} claims the guarantee {guarantee}: this is a bug."))
        }
        Some(Claim::Breaks) => (
            "disclaimed",
            format!(
                "{system} does not claim the guarantee {guarantee}, and says that it breaks it: this is a witness."
            ),
        ),
        Some(Claim::Waived) => {
            let of = claim.map_or(&[][..], |judged| &judged.beyond);
            let why: Vec<String> = of
                .iter()
                .map(|beyond| shown(&format!("fault {}, {}", beyond.fault, beyond.words)))
                .collect();
            return Standing {
                class: "disclaimed",
                mark: "▽",
                words: format!(
                    "allowed loss: {}",
                    shown(&super::summary::kind(guarantee, &anomaly.name))
                ),
                claim: format!(
                    "{system} claims the guarantee {guarantee}, but not for what this run went through: {}.",
                    why.join("; ")
                ),
            };
        }
        Some(Claim::Silent) | None => {
            ("disclaimed", format!("{system} says nothing about the guarantee {guarantee}."))
        }
    };
    let words = format!("broken: {}", shown(&super::summary::kind(guarantee, &anomaly.name)));
    Standing { class, mark: "✗", words, claim }
}

fn without_anomaly(record: &Record) -> String {
    let held = record.judged.iter().filter(|judged| judged.verdict.is_valid()).count();
    let of = record.judged.len();
    format!("No anomaly was found: {held} of {of} guarantees were judged, and held.")
}

fn identity(record: &Record) -> Vec<(&'static str, String)> {
    vec![
        ("plan", shown(&record.plan.name)),
        ("system", shown(&record.plan.system)),
        ("workload", shown(&record.plan.workload)),
        ("seed", record.seed.to_string()),
        ("engine", run::engine(record)),
    ]
}

/// What was drawn, but for what its identity says already, and what only matters to whoever compares runs.
fn drawn_settings(record: &Record) -> Vec<(&'static str, String)> {
    let drawn = run::settings(record).into_iter().filter(|(name, _)| *name != "engine");
    let of_program =
        [("fingerprint", shown(&record.fingerprint.0)), ("stormglass", shown(&record.program))];
    drawn.chain(of_program).collect()
}

/// How much there is of the run, and how much of it proves the anomaly.
fn counts(source: &Source<'_>, anomaly: Option<&Anomaly>) -> String {
    let Source { record, history, .. } = source;
    let faults = counted(record.schedule.0.len(), "fault");
    let operations = counted(history.operation_count(), "operation");
    let mut text = format!("{faults}, {operations}{}", run::of_clients(record));
    if let Some(anomaly) = anomaly {
        let proof = anomaly.witness.operations.len();
        match proof {
            1.. if picture::is_about_time(anomaly) => {
                text.push_str("; shown here: the last of what was tried until then");
            }
            0 => text.push_str("; it is shown by what the run did as a whole"),
            1 => text.push_str("; 1 of them proves it"),
            proof => text.push_str(&format!("; {proof} of them prove it")),
        }
    }
    text
}

fn commands(source: &Source<'_>) -> Vec<(&'static str, String)> {
    let Source { record, program, origin, anomaly, .. } = source;
    let call = |subcommand: &str, of: &str, rest: &str| {
        escape::line(&format!("{program} {subcommand} {}{rest}", shell_word(of)))
    };
    let folder = match origin {
        Origin::Case(file) => return vec![("explore", call("report", file, ""))],
        Origin::Run(folder) => folder,
    };
    let number = anomaly.map_or_else(String::new, |place| format!(" --anomaly {}", place + 1));
    if record.is_of_processes() {
        return vec![("read it in a terminal", call("show", folder, &number))];
    }
    let mut commands = vec![("replay", call("replay", folder, ""))];
    if anomaly.is_some() && record.calls.is_none() {
        commands.push(("make it smaller", call("shrink", folder, &number)));
    }
    if source.trace.is_none() {
        commands.push(("record messages", call("replay", folder, " --trace")));
    }
    commands
}

/// What a picture leaves out, in sentences.
fn caption(picture: &picture::Picture) -> String {
    let operations = match picture.left_out {
        0 => String::new(),
        count => {
            format!("The first {count} operations of the witness are left out of the picture.")
        }
    };
    let nodes = match picture.nodes_left_out {
        0 => String::new(),
        1 => "1 more node is left out, which nobody asked here and no fault hit.".to_owned(),
        count => {
            format!("{count} more nodes are left out, which nobody asked here and no fault hit.")
        }
    };
    let sentences = [operations, nodes].into_iter().filter(|sentence| !sentence.is_empty());
    sentences.collect::<Vec<String>>().join(" ")
}

/// An anomaly with its sentences, and with its picture where that is asked for.
fn drawn(source: &Source<'_>, place: usize, anomaly: &Anomaly, with_picture: bool) -> Drawn {
    let picture = with_picture.then(|| {
        let Source { record, history, trace, .. } = source;
        picture::draw(history, *trace, anomaly, decided(record, anomaly), &record.config)
    });
    let caption = picture.as_ref().map_or_else(String::new, caption);
    let rows = picture.iter().flat_map(|picture| &picture.operations);
    let rows = rows.map(|id| row(source.history, anomaly, *id)).collect();
    Drawn {
        number: place + 1,
        name: shown(&anomaly.name),
        at: anomaly.at.to_string(),
        key: anomaly.key.as_ref().map_or_else(String::new, |key| shown(key.as_str())),
        sentence: shown(&words::headline(anomaly)),
        sentences: anomaly.explanation.iter().map(|sentence| shown(sentence)).collect(),
        picture: picture.map_or_else(String::new, |picture| picture.svg),
        caption,
        rows,
    }
}

/// From when on most tails of the run end with an anomaly, where that was looked into and is not its beginning.
fn decided(record: &Record, anomaly: &Anomaly) -> Option<Time> {
    let why = record.why.as_ref().filter(|why| why.failure == Failure::of(anomaly))?;
    let inevitable = why.inevitable.as_ref().filter(|inevitable| inevitable.before.is_some())?;
    Some(inevitable.from.at)
}

fn row(history: &History, anomaly: &Anomaly, id: OperationId) -> timeline::Shown {
    let mut shown = timeline::show(history, Some(anomaly), history.operation(id));
    for text in [&mut shown.operation, &mut shown.outcome] {
        *text = self::shown(text);
    }
    shown
}

fn groups(source: &Source<'_>) -> Vec<Group> {
    let mut before = 0;
    let mut groups = Vec::new();
    for judged in &source.record.judged {
        let anomalies = judged.verdict.anomalies();
        if anomalies.is_empty() {
            continue;
        }
        let listed = anomalies.iter().take(LISTED_MAX).enumerate().map(|(place, anomaly)| {
            let is_main = source.anomaly == Some(before + place);
            drawn(source, before + place, anomaly, place < PICTURES_MAX && !is_main)
        });
        groups.push(Group {
            guarantee: judged.guarantee.to_string(),
            says: says(judged.claim),
            count: anomalies.len(),
            listed: listed.collect(),
            more: anomalies.len().saturating_sub(LISTED_MAX),
        });
        before += anomalies.len();
    }
    groups
}

fn says(claim: Claim) -> &'static str {
    match claim {
        Claim::Holds => "claimed",
        Claim::Waived => "claimed, but not for these faults",
        Claim::Breaks => "not claimed",
        Claim::Silent => "nothing claimed",
    }
}

fn claim(judged: &Judged) -> Row<4> {
    let class = match (&judged.verdict, judged.claim) {
        (Verdict::Valid(_), _) => "held",
        (Verdict::Unknown { .. }, _) => "unknown",
        (Verdict::Invalid { .. }, Claim::Holds) => "broken",
        (Verdict::Invalid { .. }, Claim::Breaks | Claim::Silent | Claim::Waived) => "disclaimed",
    };
    let verdict = match &judged.verdict {
        Verdict::Valid(_) => "✓ held".to_owned(),
        Verdict::Unknown { reason, .. } => shown(&format!("? unknown: {reason}")),
        Verdict::Invalid { anomalies, .. } if judged.is_allowed_loss() => {
            format!("▽ allowed loss, {} found", anomalies.len())
        }
        Verdict::Invalid { anomalies, .. } => format!("✗ broken, {} found", anomalies.len()),
    };
    let basis = shown(&basis(judged.verdict.coverage()));
    let name = judged.guarantee.to_string();
    Row { class, cells: [name, says(judged.claim).to_owned(), verdict, basis] }
}

fn times(times: &BTreeMap<String, u64>) -> String {
    let each = times.iter().map(|(name, times)| format!("{} {times}", shown(name)));
    each.collect::<Vec<_>>().join(", ")
}

/// How the failure came about: when, and what.
fn story(source: &Source<'_>) -> Vec<(String, String)> {
    let recorded = source.record.why.as_ref().map(|why| &*why.story);
    let story = recorded.unwrap_or(source.story).iter();
    story.map(|sentence| (sentence.at.to_string(), shown(&sentence.words))).collect()
}

/// What becomes of the failure without each fault and operation.
fn without(record: &Record) -> Vec<Without> {
    let Some(why) = record.why.as_ref().filter(|why| why.is_tried()) else { return Vec::new() };
    let row = |what: String, fails: u32| Without {
        what,
        fails,
        of: why.runs,
        width: format!("{:.0}", 100.0 * f64::from(fails) / f64::from(why.runs.max(1))),
    };
    let mut rows = vec![row("with all of it".to_owned(), why.with_all)];
    for (planned, fails) in record.schedule.0.iter().zip(&why.without_fault) {
        let effect = record.effects.iter().find(|effect| effect.fault == planned.id);
        let what = effect.map_or("", |effect| &effect.what);
        let words = format!("without fault {}, {}: {what}", planned.id, planned.fault);
        rows.push(row(shown(&words), *fails));
    }
    let calls = run::without_calls(record, why).into_iter();
    rows.extend(calls.map(|(op, by, fails)| row(shown(&format!("without “{op}” {by}")), fails)));
    rows
}

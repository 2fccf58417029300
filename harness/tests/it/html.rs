//! The page of a run: that it says what the history says, and that nothing in a history can do anything in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkers::history::{
    FaultEdge, FaultEvent, FaultId, HistoryBuilder, Invocation, NodeId, Op, OperationId, Outcome,
    ProcessId, ReadLevel, Reason, Ret, SessionId, Time, Value,
};
use checkers::{Anomaly, Guarantee, History, Verdict, Witness};
use flate2::read::DeflateDecoder;
use sha2::{Digest, Sha256};
use stormglass::report::html::{self, Origin, Source};
use stormglass::run::{Options, Report, run};
use stormglass::seed::Seed;
use stormglass::shrink::Failure;
use stormglass::store::Record;
use stormglass::system::Claim;
use stormglass::trace::Trace;
use stormglass::why::{Inevitable, Tails, Why};

use crate::browser::{Browser, chromium};
use crate::cli::stormglass;
use crate::large::large;
use crate::systems::plans_of;

/// What a system under test may say to whoever reads of it.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'\u{2028}\u{202e}]]>";

/// The first run of a stock plan that has an anomaly, with its trace.
fn failing(plan: &str) -> Report {
    let (mut plan, system) =
        plans_of("stock.toml").into_iter().find(|(known, _)| known.name == plan).unwrap();
    plan.safety = Duration::from_secs(8);
    let options = || Options { trace: true, ..Options::default() };
    let mut reports = (0..20).map(|seed| run(&system, &plan, Seed(seed), options()));
    reports.find(|report| report.judged.iter().any(|judged| judged.verdict.is_invalid())).unwrap()
}

fn anomalies(record: &Record) -> Vec<Anomaly> {
    record.judged.iter().flat_map(|judged| judged.verdict.anomalies()).cloned().collect()
}

fn page(record: &Record, history: &History, trace: Option<&Trace>) -> String {
    let anomaly = (!anomalies(record).is_empty()).then_some(0);
    let (program, origin) = ("stormglass", Origin::Run("results/runs/it's"));
    html::page(&Source { record, history, trace, anomaly, program, origin, story: &[] })
}

/// The page of a run in which everything that can come from outside is hostile.
fn hostile() -> (Record, History) {
    let mut builder = HistoryBuilder::new();
    let text = |text: &str| Value::Text(text.into());
    let fault = |edge| FaultEvent {
        fault: FaultId(0),
        edge,
        kind: HOSTILE.to_owned(),
        what: format!("n1 {HOSTILE}"),
    };
    let mut act = |process: u32, millis: u64, op: Op, outcome: Outcome| {
        let invocation = Invocation {
            process: ProcessId(process),
            session: SessionId(process),
            node: Some(NodeId(1)),
            op,
        };
        let id = builder.invoke(Time::from_millis(millis), &invocation).unwrap();
        builder.complete(Time::from_millis(millis + 5), id, &outcome).unwrap();
    };
    let key = || HOSTILE.into();
    let write = |value: &str| Op::Write { key: key(), value: text(value) };
    let read = || Op::Read { key: key(), level: ReadLevel::Strong };
    act(0, 1, write(HOSTILE), Outcome::Ok(Ret::Done));
    act(0, 10, write("plain"), Outcome::Ok(Ret::Done));
    act(1, 30, read(), Outcome::Ok(Ret::Value(text(HOSTILE))));
    act(1, 40, read(), Outcome::Info(Reason::Other(HOSTILE.into())));
    let body = Value::List([Value::List([text("r"), text(HOSTILE), Value::Nil].into())].into());
    act(2, 50, Op::Txn { key: key(), body }, Outcome::Fail(Reason::Other(HOSTILE.into())));
    act(2, 60, write(&"long ".repeat(100_000)), Outcome::Ok(Ret::Done));
    builder.fault(Time::from_millis(66), fault(FaultEdge::Begin)).unwrap();
    builder.fault(Time::from_millis(67), fault(FaultEdge::End)).unwrap();
    let history = builder.finish();

    let report = failing("primary-async");
    let mut record = Record::of(&report);
    record.plan.name = HOSTILE.to_owned();
    record.plan.system = HOSTILE.to_owned();
    record.program = HOSTILE.to_owned();
    record.vacuous = vec![HOSTILE.to_owned()];
    record.marks = [(HOSTILE.to_owned(), 1)].into();
    for effect in &mut record.effects {
        effect.what = HOSTILE.to_owned();
    }
    let mut judged = record.judged.swap_remove(0);
    let operations = (0..history.operation_count() as u32).map(OperationId).collect();
    judged.verdict = Verdict::Invalid {
        anomalies: vec![Anomaly {
            name: HOSTILE.to_owned(),
            guarantee: Guarantee::Linearizable,
            at: Time::from_millis(35),
            key: Some(HOSTILE.into()),
            witness: Witness { operations, faults: vec![FaultId(0)] },
            contrast: None,
            explanation: vec![HOSTILE.to_owned(); 2],
        }],
        coverage: judged.verdict.coverage().clone(),
    };
    record.judged = vec![judged];
    (record, history)
}

/// What lies between two marks, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("there is no {before}"));
    rest.split_once(after).unwrap_or_else(|| panic!("there is no {after}")).0
}

/// What is packed for the explorer.
fn unpacked(page: &str) -> Vec<u8> {
    let packed = between(page, "id=\"columns\">", "</script>");
    let mut bytes = Vec::new();
    DeflateDecoder::new(&*STANDARD.decode(packed).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A text of the page as a person reads it.
fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

#[test]
fn nothing_that_a_system_says_becomes_markup_or_script() {
    let (record, history) = hostile();
    let page = page(&record, &history, None);
    assert!(!page.contains("<img"), "an element came out of a value");
    assert_eq!(page.matches("</script>").count(), 2, "one for the columns, one for the script");
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains('\u{202e}') && !page.contains('\u{2028}'), "text is turned around");
    // It is shown all the same: in sentences, in the picture, in tables.
    let shown = "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;";
    let askama = "&#60;/script&#62;&#60;img src=x onerror=alert(1)&#62;";
    let times = page.matches(shown).count() + page.matches(askama).count();
    assert!(times > 10, "{times}");
    let columns = String::from_utf8_lossy(&unpacked(&page)).into_owned();
    assert!(columns.contains("</script><img src=x"), "the explorer has the value as it is");
    assert!(page.len() < 400_000, "{} bytes: a long value is cut", page.len());
}

#[test]
fn a_page_loads_nothing_and_runs_only_its_own_script() {
    let report = failing("primary-async");
    let (record, history) = (Record::of(&report), &report.history);
    let (other, other_history) = hostile();
    for page in [page(&record, history, report.trace.as_ref()), page(&other, &other_history, None)]
    {
        let style = between(&page, "<style>", "</style>");
        let script = page.rsplit_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let policy = unescaped(between(&page, "Content-Security-Policy\" content=\"", "\">"));
        let expected = format!(
            "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
            hash(script),
            hash(style)
        );
        assert_eq!(policy, expected);
        for reference in
            ["http:", "https:", " src=", "url(", "@import", "<link", " style=", "<iframe"]
        {
            let found = page.replace("img src=x", "").contains(reference);
            assert!(!found, "the page has {reference}");
        }
        for link in page.split(" href=\"").skip(1) {
            assert!(link.starts_with('#'), "{}", &link[..40]);
        }
    }
}

/// What the picture says of operations, against the history.
fn check_pictures(page: &str, history: &History) -> BTreeSet<u32> {
    let mut shown = BTreeSet::new();
    for title in page.split("<title>operation ").skip(1) {
        let title = unescaped(title.split_once("</title>").unwrap().0);
        let (id, rest) = title.split_once(": process ").unwrap();
        let id: u32 = id.parse().unwrap();
        let operation = history.operation(OperationId(id));
        let end = operation.completed_at.map_or_else(String::new, |at| format!(" to {at}"));
        let (process, session) = (operation.process, operation.session);
        let begin =
            format!("{process} (session {session}), asked node n{}: ", operation.node.unwrap());
        assert!(rest.starts_with(&begin), "{title}");
        assert!(rest.ends_with(&format!(", from {}{end}", operation.invoked_at)), "{title}");
        shown.insert(id);
    }
    shown
}

#[test]
fn the_numbers_of_a_page_are_those_of_the_history() {
    for plan in
        ["primary-async", "leaderless-sloppy", "primary-async-append", "multi-leader-lww-set"]
    {
        let report = failing(plan);
        let (record, history) = (Record::of(&report), &report.history);
        let page = page(&record, history, report.trace.as_ref());
        let text = unescaped(&page);
        let all = anomalies(&record);
        let shown = check_pictures(&page, history);
        for id in &all[0].witness.operations {
            assert!(shown.contains(&id.0), "{plan}: operation {id} of the witness is not drawn");
        }
        let mut checked = 0;
        for anomaly in all.iter().take(40) {
            for sentence in anomaly.explanation.iter().filter(|words| words.contains("(from ")) {
                let mut operations = anomaly.witness.operations.iter();
                let is_of = |id: &OperationId| {
                    let operation = history.operation(*id);
                    let end = match operation.completed_at {
                        Some(at) if !operation.is_indeterminate() => format!("to {at})"),
                        _ => "with no answer".to_owned(),
                    };
                    let times = format!("(from {} {end}", operation.invoked_at);
                    sentence.contains(&format!("process {} ", operation.process))
                        && sentence.contains(&times)
                };
                assert!(operations.any(is_of), "{plan}: no operation is so: {sentence}");
                checked += 1;
            }
            let first = anomaly.explanation.first().unwrap();
            let told = first.chars().count() >= 600 || text.contains(&format!("<li>{first}</li>"));
            assert!(told || all.len() > 40, "{plan}: the page does not say: {first}");
        }
        assert!(checked >= 2, "{plan}: {checked}");
        let counts = format!(
            "{} faults, {} operations; ",
            record.schedule.0.len(),
            history.operation_count()
        );
        let proof = all[0].witness.operations.len();
        assert!(text.contains(&counts), "{plan}: {}", between(&page, "id=\"counts\">", "</p>"));
        assert!(text.contains(&format!("; {proof} of them prove it")), "{plan}");
        assert!(
            text.contains(&record.fingerprint.0) && text.contains("stormglass replay"),
            "{plan}"
        );
        for judged in &record.judged {
            let found = judged.verdict.anomalies().len();
            let says = format!("✗ broken, {found} found");
            assert!(found == 0 || text.contains(&says), "{plan}: {}: {says}", judged.guarantee);
        }
    }
}

#[test]
fn what_was_seen_is_told_from_what_had_to_be() {
    let report = failing("primary-async");
    let mut record = Record::of(&report);
    let stale = anomalies(&record).into_iter().find(|anomaly| anomaly.name == "stale-read");
    let stale = stale.expect("a stale read among the anomalies");
    record.judged.retain(|judged| judged.guarantee == Guarantee::Linearizable);
    let coverage = record.judged[0].verdict.coverage().clone();
    record.judged[0].verdict = Verdict::Invalid { anomalies: vec![stale.clone()], coverage };
    record.judged[0].claim = Claim::Holds;
    let page = unescaped(&page(&record, &report.history, None));
    let [.., write, read] = stale.witness.operations[..] else { panic!("{stale:?}") };
    let seen = match report.history.operation(read).outcome {
        Some(Outcome::Ok(Ret::Value(value))) => report.history.value(*value).to_string(),
        other => panic!("{other:?}"),
    };
    let made = report.history.operation(write).value_written();
    let made = report.history.value(made.unwrap()).to_string();
    let words = format!("✗ observed: {seen} · legal: {made}, or newer");
    assert!(page.contains(&words), "{words}: {:?}", stale.explanation);
    assert!(page.contains("claims the guarantee linearizable: this is a bug"));
}

#[test]
fn the_head_of_a_page_says_what_was_lost_and_not_only_how_much() {
    let report = failing("primary-async");
    let mut record = Record::of(&report);
    record.judged.retain(|judged| judged.guarantee == Guarantee::Durable);
    let coverage = record.judged[0].verdict.coverage().clone();
    let what =
        "process 0 had write k0 1 acknowledged, but in the end all 3 replicas hold something older";
    record.judged[0].verdict = Verdict::Invalid {
        anomalies: vec![Anomaly {
            name: "lost-write".to_owned(),
            guarantee: Guarantee::Durable,
            at: Time::from_millis(4000),
            key: None,
            witness: Witness { operations: vec![OperationId(0)], faults: Vec::new() },
            contrast: None,
            explanation: vec![what.to_owned(), "this is the only lost write".to_owned()],
        }],
        coverage,
    };
    let page = page(&record, &report.history, None);
    assert!(page.contains(&format!("id=\"sentence\">{what}<")));
    assert!(page.contains("; 1 of them proves it"));
}

#[test]
fn what_no_operation_proves_is_drawn_with_what_went_on_when_it_happened() {
    let report = failing("primary-async");
    let mut record = Record::of(&report);
    let at = Time::from_millis(4000);
    record.judged.retain(|judged| judged.guarantee == Guarantee::Live);
    let coverage = record.judged[0].verdict.coverage().clone();
    record.judged[0].verdict = Verdict::Invalid {
        anomalies: vec![Anomaly {
            name: "node-panic".to_owned(),
            guarantee: Guarantee::Live,
            at,
            key: None,
            witness: Witness::default(),
            contrast: None,
            explanation: vec![format!("at {at} node n2 panicked: out of <bounds>")],
        }],
        coverage,
    };
    let page = page(&record, &report.history, report.trace.as_ref());
    assert!(page.contains(">node-panic 4.000 s</text>"));
    assert!(
        unescaped(&page).contains("id=\"sentence\">at 4.000 s node n2 panicked: out of <bounds>")
    );
    assert!(page.contains("; it is shown by what the run did as a whole"));
    let shown = check_pictures(&page, &report.history);
    assert_eq!(shown.len(), 10);
    for id in shown {
        assert!(report.history.operation(OperationId(id)).invoked_at <= at, "{id} came later");
    }
}

#[test]
fn a_run_without_anomaly_has_a_page_too() {
    let (mut plan, system) = plans_of("stock.toml").remove(0);
    plan.safety = Duration::from_secs(3);
    let report = run(&system, &plan, Seed(1), Options::default());
    let record = Record::of(&report);
    assert!(anomalies(&record).is_empty(), "raft keeps what it claims");
    let page = page(&record, &report.history, None);
    assert!(page.contains("No anomaly was found") && !page.contains("id=\"witness\""));
    assert!(page.contains("id=\"overview\"") && page.contains("id=\"claims\""));
}

#[test]
fn the_command_writes_the_page_beside_the_run_or_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = ["run", "--plan", "leaderless-sloppy", "--seed", "0", "--store"];
    stormglass(at, &run);
    let stored = "results/runs/leaderless-sloppy-0";
    let (code, stdout, stderr) = stormglass(at, &["report", stored]);
    assert_eq!(
        (code, stdout.as_str()),
        (0, &*format!("written to {stored}/report.html\n")),
        "{stderr}"
    );
    let page = fs::read_to_string(at.join(stored).join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "it is whole");
    let (code, stdout, _) =
        stormglass(at, &["report", stored, "--out", "p.html", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["file"]), (0, &serde_json::json!("p.html")));
    assert_eq!(document["bytes"], fs::read(at.join("p.html")).unwrap().len());
    let history = format!("{stored}/history.jsonl");
    let words = ["it is one of the files that are read"];
    crate::cli::refused(at, &["report", stored, "--out", &history], &words);
    crate::cli::refused(at, &["report", stored, "--anomaly", "9999"], &["there is no number 9999"]);
}

#[test]
fn the_moment_from_which_most_tails_end_so_is_marked_where_it_is_known() {
    let report = failing("primary-async");
    let mut record = Record::of(&report);
    let anomaly = anomalies(&record).remove(0);
    let mark = "from here on most tails end so";
    assert!(!page(&record, &report.history, None).contains(mark));
    let at = report.history.operation(anomaly.witness.operations[0]).invoked_at;
    let tails = |at, fails| Tails { at, fails };
    let inevitable = |before| Inevitable { from: tails(at, 47), before };
    let why = |failure, inevitable| Why {
        failure,
        runs: 50,
        with_all: 50,
        without_fault: Vec::new(),
        without_call: Vec::new(),
        of_plan: None,
        inevitable: Some(inevitable),
        story: Vec::new(),
    };
    let later = inevitable(Some(tails(Time::ZERO, 3)));
    record.why = Some(why(Failure::of(&anomaly), later.clone()));
    let marked = page(&record, &report.history, None);
    let title = format!("<title>from {at} on most tails of the run end so</title>");
    assert!(marked.contains(mark) && marked.contains(&title), "{title}");
    // From the beginning on is no moment of the picture, and another failure has another moment.
    record.why = Some(why(Failure::of(&anomaly), inevitable(None)));
    assert!(!page(&record, &report.history, None).contains(mark));
    let other = Failure { guarantee: Guarantee::Bank, anomaly: "wrong-total".into() };
    record.why = Some(why(other, later));
    assert!(!page(&record, &report.history, None).contains(mark));
}

#[test]
fn a_million_operations_fit_into_fifteen_megabytes_and_are_drawn_from_what_stands_for_them() {
    let history = large(220_000);
    let count = history.operation_count();
    assert!(count > 200_000, "{count}");
    let (mut record, _) = hostile();
    record.judged.clear();
    let page = page(&record, &history, None);
    let of_a_million = page.len() as f64 / count as f64 * 1e6;
    assert!(of_a_million < 15e6, "{of_a_million}");
    let Some(mut browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page).unwrap();
    browser.open(&file);
    browser.ready();
    // How much of a lane is painted: nearly all of it, as each client always has something to do.
    let painted = "(() => {
        const canvas = document.getElementById('canvas'), context = canvas.getContext('2d');
        const row = context.getImageData(300, 26, canvas.width - 400, 1).data;
        const blue = (i) => row[i] > 40 && row[i + 2] - row[i] > 60;
        let count = 0;
        for (let i = 0; i < row.length; i += 4) if (blue(i)) count++;
        return count / (row.length / 4);
    })()";
    let frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";
    browser.value(frames);
    // Later it may remark that pixels are read back.
    is_quiet(&browser);
    let whole = browser.value(painted).as_f64().unwrap();
    assert!(whole > 0.9, "{whole} of a lane is painted");
    browser.press("/");
    browser.call("Input.insertText", serde_json::json!({ "text": "outcome:fail" }));
    browser
        .value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    let faded = browser.value(painted).as_f64().unwrap();
    assert!(faded < 0.1, "{faded} of a lane is painted, though what matches is rare");
}

/// How light a colour is, as the guidelines for accessible contents reckon it (WCAG 2.2, relative luminance).
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = |part: f64| {
        let part = part / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// One colour thinly over another.
fn over(front: [f64; 3], back: [f64; 3], part: f64) -> [f64; 3] {
    [0, 1, 2].map(|at| front[at] * part + back[at] * (1.0 - part))
}

#[test]
fn whatever_is_written_stands_out_from_what_it_is_written_on_in_light_and_in_dark() {
    let report = failing("primary-async");
    let page = page(&Record::of(&report), &report.history, None);
    let light = between(&page, ":root {", "}");
    let dark = between(&page, "@media (prefers-color-scheme: dark) {\n  :root {", "}");
    for palette in [light, dark] {
        let colours: BTreeMap<&str, [f64; 3]> = palette
            .split(';')
            .filter_map(|setting| setting.trim().strip_prefix("--")?.split_once(": #"))
            .map(|(name, hex)| {
                let part = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (name, [0, 2, 4].map(|at| f64::from(part(at))))
            })
            .collect();
        let of = |name: &str| colours[name];
        // Bands of faults lie over the paper, two over each other at times.
        let band = over(of("band"), of("paper"), 0.13);
        let bands = over(of("band"), band, 0.13);
        let [paper, panel] = ["paper", "panel"].map(of);
        let heads = ["bad-soft", "odd-soft", "good-soft"].map(of);
        let everywhere = [paper, panel, band, bands, heads[0], heads[1], heads[2]];
        let pairs = [
            ("ink", &everywhere[..]),
            ("soft", &everywhere[..]),
            ("link", &[paper, panel]),
            ("bad", &[paper, band, bands, heads[0]]),
            ("odd", &[paper, heads[1]]),
            ("good", &[paper, band, bands, heads[2]]),
            ("band-ink", &[paper, band, bands]),
            ("info-ink", &[paper, band]),
        ];
        for (name, backs) in pairs {
            for back in backs {
                let (a, b) = (luminance(of(name)), luminance(*back));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{name} on {back:?}: {contrast}");
            }
        }
    }
}

/// A browser, or the word that there is none.
#[expect(clippy::print_stdout, reason = "what was not looked at is to be seen")]
fn browser() -> Option<Browser> {
    let found = chromium();
    if found.is_none() {
        println!(
            "not looked at in a browser: there is no Chromium on the path, and STORMGLASS_CHROMIUM names none"
        );
    }
    found.map(|program| Browser::start(&program))
}

/// Asserts that the page asked for nothing but itself and complained of nothing.
fn is_quiet(browser: &Browser) {
    for complaint in ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"] {
        assert_eq!(browser.told(complaint), Vec::<&serde_json::Value>::new(), "{complaint}");
    }
    assert!(browser.told("Page.javascriptDialogOpening").is_empty(), "a value ran as a script");
    for request in browser.told("Network.requestWillBeSent") {
        let url = request["params"]["request"]["url"].as_str().unwrap();
        assert!(url.starts_with("file:") && url.ends_with(".html"), "asked for {url}");
    }
}

#[test]
fn in_a_browser_the_page_is_read_searched_and_filtered() {
    let Some(mut browser) = browser() else { return };
    let report = failing("primary-async");
    let record = Record::of(&report);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page(&record, &report.history, report.trace.as_ref())).unwrap();
    browser.open(&file);
    browser.ready();
    is_quiet(&browser);
    let count = report.history.operation_count();
    assert!(browser.text("status").starts_with(&format!("{count} operations, ")));

    browser.press("e");
    let all = anomalies(&record);
    let first = &all[0];
    let status = browser.text("status");
    let expected = format!("anomaly 1 of {}: {}, {}", all.len(), first.guarantee, first.name);
    assert!(status.starts_with(&expected), "{status}");
    assert!(status.ends_with(first.explanation.last().unwrap()), "{status}");
    let last = first.witness.operations.last().unwrap();
    assert!(browser.text("details").starts_with(&format!("operation{last}process")));
    browser.press("c");
    assert!(
        browser
            .text("status")
            .starts_with(&format!("causal cone of operation {last}, by messages"))
    );

    let key = first.key.clone().unwrap();
    let writes = report.history.operations().filter(|operation| {
        let op = report.history.op(operation.id);
        matches!(op, Op::Write { .. }) && *op.key() == key
    });
    let writes = writes.count();
    browser.press("/");
    let words = serde_json::json!({ "text": format!("key:{key} write") });
    browser.call("Input.insertText", words);
    let status = browser.text("status");
    assert!(status.starts_with(&format!("{writes} of {count} operations match")), "{status}");
    browser.press("Escape");
    assert_eq!(browser.text("status"), format!("{count} operations"));

    browser.value("document.getElementById('show-ok').click()");
    let others = report.history.operations().filter(|operation| !operation.is_ok()).count();
    let status = browser.text("status");
    let shown = format!("{others} of {count} operations are shown");
    assert_eq!(status, shown);
    // What is hidden stays so, and is told, whatever is searched.
    browser.press("/");
    browser.call("Input.insertText", serde_json::json!({ "text": "write" }));
    let status = browser.text("status");
    assert!(status.contains(" match; ") && status.ends_with(&shown), "{status}");
    browser.press("Escape");
    assert_eq!(browser.text("status"), shown);
    browser.press("?");
    assert_eq!(browser.value("document.getElementById('help').open"), true);
    is_quiet(&browser);
}

#[test]
fn in_a_browser_without_scripts_the_first_screen_is_complete() {
    let Some(mut browser) = browser() else { return };
    let report = failing("primary-async");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page(&Record::of(&report), &report.history, report.trace.as_ref())).unwrap();
    let screen = serde_json::json!({ "width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", screen);
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": true }));
    browser.open(&file);
    is_quiet(&browser);
    let parts = ["#sentence", "#counts", ".command code", "#witness svg", "#why ol"];
    let mut above = 0.0;
    for part in parts {
        let [x, y, width, height] = browser.place(part);
        assert!(x >= 0.0 && width > 80.0 && height > 15.0, "{part}: {width} x {height}");
        assert!(y >= above && y + height <= 900.0, "{part} is not on the first screen: {y}");
        above = y;
    }
    assert!(browser.place("#overview svg")[3] > 60.0);
}

#[test]
fn in_a_browser_a_hostile_value_does_nothing() {
    let Some(mut browser) = browser() else { return };
    let (record, history) = hostile();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page(&record, &history, None)).unwrap();
    browser.open(&file);
    browser.ready();
    browser.press("e");
    browser.press("c");
    assert!(browser.text("status").contains("causal cone"), "{}", browser.text("status"));
    assert_eq!(browser.value("document.images.length + document.scripts.length"), 2);
    is_quiet(&browser);
}

#[test]
fn in_a_browser_the_keyboard_reaches_the_explorer_and_all_that_is_used_has_a_name() {
    let Some(mut browser) = browser() else { return };
    let report = failing("primary-async");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page(&Record::of(&report), &report.history, report.trace.as_ref())).unwrap();
    browser.open(&file);
    browser.ready();
    let mut reached = Vec::new();
    while reached.last().is_none_or(|last| last != "canvas") {
        assert!(reached.len() < 40, "the explorer is not reached: {reached:?}");
        browser.press("Tab");
        let here = "document.activeElement.id || document.activeElement.className";
        reached.push(browser.value(here).as_str().unwrap().to_owned());
    }
    let place = |name: &str| reached.iter().position(|one| one == name);
    assert_eq!(place("skip"), Some(0), "{reached:?}");
    assert!(place("picture") < place("search") && place("search").is_some(), "{reached:?}");

    // What is drawn after a key, and the next frame.
    let mut drawn = |key: &str| {
        browser.press(key);
        let frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
            done(document.getElementById('canvas').toDataURL()))))";
        browser.value(frame).as_str().unwrap().to_owned()
    };
    let near = drawn("+");
    let later = drawn("ArrowRight");
    assert!(near != later, "an arrow moves in time");
    assert!(drawn("ArrowLeft") == near, "and the other one moves back");

    let tree = browser.call("Accessibility.getFullAXTree", serde_json::json!({}));
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let seen = nodes.filter(|node| node["ignored"] == false);
    let seen: Vec<(&str, &str)> = seen
        .map(|node| {
            let of = |what: &str| node[what]["value"].as_str().unwrap_or_default();
            (of("role"), of("name"))
        })
        .collect();
    let used = ["button", "checkbox", "searchbox", "link", "image", "application", "region"];
    for role in used {
        assert!(seen.iter().any(|(one, _)| *one == role), "there is no {role}");
    }
    let nameless = seen.iter().filter(|(role, name)| used.contains(role) && name.is_empty());
    assert_eq!(nameless.collect::<Vec<_>>(), Vec::<&(&str, &str)>::new());
    for landmark in ["main", "banner", "search"] {
        let count = seen.iter().filter(|(role, _)| *role == landmark).count();
        assert_eq!(count, 1, "{landmark}");
    }
    is_quiet(&browser);
}

#[test]
fn in_a_browser_a_page_fits_a_narrow_screen_and_paper() {
    let Some(mut browser) = browser() else { return };
    let report = failing("primary-async");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page(&Record::of(&report), &report.history, report.trace.as_ref())).unwrap();
    let phone =
        serde_json::json!({ "width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", phone);
    browser.open(&file);
    browser.ready();
    let wide = "document.documentElement.scrollWidth";
    assert_eq!(
        browser.value(wide),
        400,
        "nothing but pictures and tables is wider than the screen"
    );
    let hint = "getComputedStyle(document.querySelector('.narrow')).display";
    assert_eq!(browser.value(hint), "block");
    browser.call("Emulation.setEmulatedMedia", serde_json::json!({ "media": "print" }));
    assert_eq!(browser.value(hint), "none");
    let [_, _, width, _] = browser.place("#witness svg");
    assert!(width <= 400.0, "the picture is whole on paper: {width}");
}

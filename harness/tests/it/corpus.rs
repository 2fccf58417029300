//! Failing runs that are kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use stormglass::corpus::{Case, Expected, Found, load};
use stormglass::nemesis::Schedule;
use stormglass::report::html::{self, Replayed};
use stormglass::report::rust_test;
use stormglass::system::SYSTEMS;
use stormglass::tape::Tape;
use stormglass::triage::Shape;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What was made by hand, of each kind of failure with as little as shows it.
fn minima() -> Vec<(String, Case)> {
    load(&folder("tests/minima")).unwrap()
}

/// What `stormglass shrink` has made of runs of the default campaign.
fn gallery() -> Vec<(String, Case)> {
    load(&folder("../results/gallery")).unwrap()
}

#[test]
fn what_is_kept_still_fails_and_so_does_what_was_made_by_hand() {
    let gallery_cases = gallery();
    for (place, (name, case)) in gallery_cases.iter().chain(&minima()).enumerate() {
        let (report, found) = case.replay(SYSTEMS).unwrap();
        assert!(found.meets(Expected::Fails), "{name} does not fail any more");
        assert!(found.meets(case.expected), "{name}");
        let anomaly = case.failure.find(&report).unwrap();
        assert!(!anomaly.explanation.is_empty() && !case.about.is_empty(), "{name}");
        if place < gallery_cases.len() {
            let shape = case.signature.as_ref().and_then(|signature| signature.shape.as_ref());
            assert_eq!(shape, Some(&Shape::of(&report, anomaly)), "{name}");
            has_its_page(name, &Replayed::new(case, SYSTEMS, report).unwrap());
        }
    }
    let names: Vec<String> = gallery_cases.into_iter().map(|(name, _)| name).collect();
    let readme = std::fs::read_to_string(folder("../results/README.md")).unwrap();
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "results/README.md does not list {name}");
    }
}

/// Asserts that the page beside a case says and draws what the program makes of the case today, and that its picture
/// says what would have been legal, or until when nothing happened.
fn has_its_page(name: &str, replayed: &Replayed) {
    let page = html::brief(&replayed.source("stormglass", &format!("{name}.json")));
    let file = folder("../results/gallery").join(format!("{name}.html"));
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    for (before, after) in [
        ("<h1>", "</h1>"),
        ("id=\"sentence\">", "</p>"),
        ("<svg class=\"witness\"", "</svg>"),
        ("<ol class=\"story\">", "</ol>"),
        ("<section id=\"takes\">", "</section>"),
    ] {
        let part = |page: &str| {
            let (_, rest) = page.split_once(before)?;
            Some(rest.split_once(after)?.0.to_owned())
        };
        let made = part(&page).unwrap_or_else(|| panic!("{name}: there is no {before}"));
        assert_eq!(
            part(&kept),
            Some(made),
            "{name}: `stormglass corpus report --corpus results/gallery` makes the pages anew"
        );
    }
    let says = ["legal: ", "would come before itself: ", "nothing by "];
    assert!(says.iter().any(|words| page.contains(words)), "{name}: what was legal is not said");
    assert!(!page.contains("<script") && page.len() < 30_000, "{name}: {} bytes", page.len());
}

#[test]
fn what_is_shrunk_is_at_most_half_again_as_large_as_what_was_made_by_hand() {
    let gallery = gallery();
    let minima = minima();
    assert!(minima.len() >= 12);
    let operations = |case: &Case| case.calls.as_ref().map_or(usize::MAX, Tape::len);
    for (name, by_hand) in minima {
        let shrunk = gallery.iter().find(|(kept, _)| *kept == name);
        let (_, shrunk) = shrunk.unwrap_or_else(|| panic!("{name} is not in the gallery"));
        assert_eq!(shrunk.failure, by_hand.failure, "{name}");
        assert_eq!(shrunk.plan.name, by_hand.plan.name, "{name}");
        let (faults, most) = (shrunk.schedule.0.len(), by_hand.schedule.0.len());
        assert!(faults * 2 <= most * 3, "{name}: {faults} faults, by hand {most}");
        let (asked, most) = (operations(shrunk), operations(&by_hand));
        assert!(asked * 2 <= most * 3, "{name}: {asked} operations, by hand {most}");
    }
}

#[test]
fn what_a_case_says_that_it_takes_is_what_is_found_out_anew() {
    let gallery = gallery();
    // Its runs are the shortest of all.
    let (name, case) =
        gallery.into_iter().find(|(name, _)| name == "primary-async-lost-write").unwrap();
    let mut again = Case { why: None, ..case.clone() };
    let kept = case.why.as_ref().unwrap();
    assert_eq!(again.explain(SYSTEMS, kept.runs, &|| false), Ok(true), "{name}");
    assert_eq!(again.why.as_ref(), Some(kept), "{name}");
    assert!(kept.with_all > 0 && kept.without_fault.iter().any(|fails| *fails < kept.with_all));
    let mut held = Case { schedule: Schedule::default(), why: None, ..case };
    let refused = held.explain(SYSTEMS, 1, &|| false).unwrap_err();
    assert!(refused.contains("does not fail any more"), "{refused}");
}

/// A case that fails, and the same without its faults, which holds.
fn both() -> (Case, Case) {
    let (_, case) =
        minima().into_iter().find(|(name, _)| name == "primary-async-lost-write").unwrap();
    let without = Case { schedule: Schedule::default(), ..case.clone() };
    (case, without)
}

#[test]
fn a_case_fails_as_a_test_until_it_holds() {
    let (fails, holds) = both();
    let panicked = catch_unwind(AssertUnwindSafe(|| fails.assert_holds(SYSTEMS))).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.contains("plan primary-async, seed 1"), "{message}");
    assert!(message.contains("durable: lost-write"), "{message}");
    holds.assert_holds(SYSTEMS);
    let (_, found) = holds.replay(SYSTEMS).unwrap();
    assert_eq!(found, Found::Holds);
    assert!(found.meets(Expected::Holds) && !found.meets(Expected::Fails));
}

#[test]
fn another_history_with_the_same_failure_is_told_apart() {
    let (case, _) = both();
    let (report, found) = case.replay(SYSTEMS).unwrap();
    assert_eq!(found, Found::Same, "which history it had is not known");
    let known = Case { fingerprint: Some(report.fingerprint), ..case };
    assert_eq!(known.replay(SYSTEMS).unwrap().1, Found::Same);
    let (_, other) =
        minima().into_iter().find(|(name, _)| name.contains("read-your-writes")).unwrap();
    let of_other = other.replay(SYSTEMS).unwrap().0.fingerprint;
    let changed = Case { fingerprint: Some(of_other), ..known };
    assert_eq!(changed.replay(SYSTEMS).unwrap().1, Found::Other);
}

#[test]
fn what_is_no_case_is_refused_by_line() {
    let text = serde_json::to_string_pretty(&both().0).unwrap();
    assert!(Case::parse(&text).is_ok());
    let line_of = |text: &str| Case::parse(text).unwrap_err();
    assert_eq!(line_of("{").0, 1);
    let (line, why) = line_of(&text.replace("\"format\": 1", "\"format\": 9"));
    assert!(line == 1 && why.contains("format 9"), "{line}: {why}");
    let (line, why) = line_of(&text.replace("\"fails\"", "\"flies\""));
    assert!(line == 4 && why.contains("flies"), "{line}: {why}");
    let (_, why) = line_of(&text.replacen("\"salt\": ", "\"slat\": 1, \"salt\": ", 1));
    assert!(why.contains("unknown field `slat`"), "{why}");
    let (_, why) = line_of(
        &text.replace("\"clients\": 3,\n    \"pinned\": 3", "\"clients\": 2,\n    \"pinned\": 2"),
    );
    assert!(why.contains("calls"), "{why}");
    let unknown =
        Case::parse(&text.replace("\"system\": \"primary-async\"", "\"system\": \"nope\""));
    assert!(unknown.unwrap().replay(SYSTEMS).unwrap_err().contains("nope"));
}

#[test]
fn a_test_in_rust_holds_the_whole_case() {
    let (case, _) = both();
    let text = rust_test::write(&case, &[]).unwrap();
    assert!(text.contains("#[test]\nfn primary_async_1_lost_write() {"), "{text}");
    let (_, json) = text.split_once("r#\"").unwrap();
    let json = json.strip_suffix("\"#;\n").unwrap();
    let read = Case::parse(json).unwrap();
    assert_eq!((read.seed, &read.calls, &read.schedule), (case.seed, &case.calls, &case.schedule));
}

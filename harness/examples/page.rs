//! What the page of a large run takes: its size, how long until it is ready, and what frames of the explorer take, the
//! first one after a search too.
//!
//! `cargo run -p stormglass --example page -- 1060000`; it takes a Chromium on the path, or in `STORMGLASS_CHROMIUM`.

use std::fs;
use std::sync::Arc;

use checkers::Facts;
use serde_json::json;
use stormglass::plan::Plan;
use stormglass::report::html::{self, Origin, Source};
use stormglass::run::{Options, run};
use stormglass::seed::Seed;
use stormglass::store::Record;
use stormglass::system::SYSTEMS;

use crate::browser::{Browser, chromium};
use crate::large::large;

#[path = "../tests/it/browser.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is made for tests, which use more of it")]
mod browser;
#[path = "../tests/it/large.rs"]
#[expect(clippy::unwrap_used, reason = "it is made for tests")]
mod large;

/// What the script of one frame takes, in milliseconds, after what an expression does.
fn frame(browser: &mut Browser, does: &str) -> f64 {
    let next = format!(
        "new Promise((done) => {{ {does}; requestAnimationFrame(() => requestAnimationFrame(() =>
            done(document.documentElement.dataset.frame))) }})"
    );
    browser.value(&next).as_str().expect("a frame was drawn").parse().expect("it is a number")
}

/// A search for a word, as if it were typed.
fn search(word: &str) -> String {
    let field = "document.getElementById('search')";
    format!("{field}.value = '{word}'; {field}.dispatchEvent(new Event('input'))")
}

fn key(name: &str) -> String {
    format!("dispatchEvent(new KeyboardEvent('keydown', {{ key: '{name}' }}))")
}

#[expect(clippy::print_stdout, reason = "what was measured is to be seen")]
fn main() {
    let operations = std::env::args().nth(1).map_or(Ok(1_060_000), |words| words.parse());
    let operations = operations.expect("the argument is how many operations there are");
    let history = large(operations);
    let plan = Plan::new("large", "raft");
    let system = SYSTEMS.iter().find(|system| system.name == "raft").expect("it is there");
    let report = run(&Arc::from((system.build)()), &plan, Seed(0), Options::default());
    let record = Record { judged: Vec::new(), facts: Facts::of(&history), ..Record::of(&report) };
    let (program, story) = ("stormglass", &[][..]);
    let (trace, anomaly, origin) = (None, None, Origin::Run("run"));
    let history = &history;
    let page =
        html::page(&Source { record: &record, history, trace, anomaly, program, origin, story });
    let megabytes = page.len() as f64 / 1e6;
    println!("{} operations: a page of {megabytes:.1} MB", history.operation_count());
    let chromium = chromium().expect("a Chromium is on the path, or named by STORMGLASS_CHROMIUM");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("page.html");
    fs::write(&file, page).expect("it can be written to");
    let mut browser = Browser::start(&chromium);
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        json!({
            "width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false,
        }),
    );
    browser.open(&file);
    println!("ready after {:.0} ms", browser.ready());
    for (what, does) in [
        ("the whole run", key("0")),
        ("zoomed in", key("+")),
        ("moved", key("ArrowRight")),
        ("first after a search that finds few", search("outcome:fail")),
        ("moved after that", key("ArrowRight")),
        ("first after a search that finds half", search("write")),
        ("first after nothing is searched", search("")),
    ] {
        println!("frame, {what}: {:.1} ms of script", frame(&mut browser, &does));
    }
}

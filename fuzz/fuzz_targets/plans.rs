#![no_main]

use std::path::Path;

use stormglass::plan::{PlanError, parse};
use stormglass::system::SYSTEMS;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text, Path::new("campaign.toml"), SYSTEMS) {
        Ok(plans) => assert!(!plans.is_empty(), "a campaign has plans"),
        Err(PlanError::Malformed { line, message, .. }) => {
            assert!(line >= 1 && line <= text.lines().count().max(1), "line {line}: {message}");
            assert!(!message.is_empty());
        }
        Err(error) => panic!("an error without a line: {error}"),
    }
});

//! Whether an adapter says and does what systems are asked for: what is wrong with how a store was plugged in, before
//! anybody blames the store.
//!
//! First the manifest is held against itself. Then the system runs: in a world without faults, where everything that it
//! offers should succeed; with every node down for a moment, one after the other; with answers lost, where clients are
//! tempted to say `fail` of what took effect; and with all nodes down at once and their disks emptied, after
//! which nothing that was written may be there.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::system::System;

mod manifest;
mod watched;
mod worlds;

/// One thing that is wrong with an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// What was seen, in a sentence.
    pub seen: String,
    /// What to do, in a sentence.
    pub remedy: String,
}

/// What an adapter can be wrong about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The manifest contradicts itself, or says what cannot be.
    Manifest,
    /// The manifest claims what no workload can show with the operations that are offered.
    Claim,
    /// A node ends, panics, or never waits.
    Node,
    /// A node never serves anybody.
    Readiness,
    /// An operation that the manifest offers is refused.
    Operation,
    /// A client answers what cannot be, or does not answer in its time.
    Client,
    /// A client said that something failed, and it took effect.
    Fail,
    /// Two runs with one seed differ.
    Entropy,
    /// What was written survived where nothing could have kept it.
    State,
}

impl About {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            About::Manifest => "manifest",
            About::Claim => "claim",
            About::Node => "node",
            About::Readiness => "readiness",
            About::Operation => "operation",
            About::Client => "client",
            About::Fail => "fail",
            About::Entropy => "entropy",
            About::State => "state",
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Says what is wrong with the adapter of a system; nothing where nothing was found.
///
/// # Panics
/// If a run does.
pub fn examine(system: &Arc<dyn System>) -> Vec<Finding> {
    let mut findings = manifest::examine(&**system);
    // Of what the manifest says that cannot be, no run can be made.
    if !findings.iter().any(|finding| finding.about == About::Manifest) {
        findings.extend(worlds::examine(system));
    }
    findings
}

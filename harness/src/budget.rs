//! Faults that a plan names and that go beyond what its system promises to survive.
//!
//! What nemeses draw stays within what claims are made for. A plan may name more than that, on purpose: take more disks at
//! once than any promise is made for, or let clocks lie to those who count on them. What breaks then is no broken claim,
//! but an *allowed loss*. It is only one as far as the claim hangs on what was exceeded, and not if it had been broken before the
//! first such fault began.

use checkers::checker::{CHECKERS, Limits};
use checkers::history::jsonl::{self, ReadLimits};
use checkers::history::{Event, EventIndex, FaultEdge, FaultId, History, Time};
use checkers::{Anomaly, Guarantee};
use serde::{Deserialize, Serialize};

use crate::nemesis::{Fault, Planned};
use crate::run::{Effect, Judged, Report};
use crate::system::{Claim, System};

/// The kind of a fault that takes one disk.
const WIPE: &str = "wipe";

/// A fault that goes beyond what a promise is made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beyond {
    /// Which.
    pub fault: FaultId,
    /// What was too much, and what would not have been.
    pub words: String,
}

/// Weighs what a plan names against what its system promises to survive: claims that faults of the run go beyond are
/// waived.
pub(crate) fn weigh(report: &mut Report, system: &dyn System) {
    let plan = &report.plan;
    let named: Vec<(&Planned, &Effect)> = report
        .schedule
        .0
        .iter()
        .filter(|planned| planned.scripted)
        .filter_map(|planned| Some((planned, report.effects.get(planned.id.index())?)))
        .filter(|(_, effect)| effect.took_effect())
        .collect();
    let replica_reads = plan.replica_reads_percent > 0;
    // What is said of a run without any of these.
    let drawn = system.manifest_under(&plan.nemeses);
    let mut claims = Vec::new();
    for judged in &report.judged {
        let guarantee = judged.guarantee;
        if drawn.claim(guarantee, replica_reads) != Claim::Holds {
            claims.push((judged.claim, Vec::new()));
            continue;
        }
        let says = |kinds: &[&str]| {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned());
            let families: Vec<String> = plan.nemeses.iter().cloned().chain(kinds).collect();
            system.manifest_under(&families).claim(guarantee, replica_reads)
        };
        let mut beyond = of_kinds(&named, guarantee, &plan.system, says);
        beyond.extend(of_effects(&named, guarantee, report.config.nodes, system));
        beyond.sort_by_key(|beyond| beyond.fault);
        if beyond.is_empty() || was_broken_before(judged, &beyond, &report.history, &plan.limits())
        {
            claims.push((Claim::Holds, Vec::new()));
        } else {
            claims.push((Claim::Waived, beyond));
        }
    }
    let system = plan.system.clone();
    for (judged, (claim, beyond)) in report.judged.iter_mut().zip(claims) {
        (judged.claim, judged.beyond) = (claim, beyond);
    }
    let has = |claim: Claim| report.judged.iter().any(|judged| judged.claim == claim);
    if has(Claim::Waived)
        && !has(Claim::Holds)
        && !report.judged.iter().any(Judged::is_allowed_loss)
    {
        let words =
            format!("its faults go beyond all that {system} promises, and nothing was lost");
        report.vacuous.push(words);
    }
}

/// The faults of a kind under which a guarantee is not promised; where only several kinds together are too much, all
/// faults.
fn of_kinds(
    named: &[(&Planned, &Effect)],
    guarantee: Guarantee,
    system: &str,
    says: impl Fn(&[&str]) -> Claim,
) -> Vec<Beyond> {
    let kinds: Vec<&str> = named.iter().map(kind).collect();
    if kinds.is_empty() || says(&kinds) == Claim::Holds {
        return Vec::new();
    }
    let alone: Vec<&(&Planned, &Effect)> =
        named.iter().filter(|one| says(&[kind(one)]) != Claim::Holds).collect();
    let together = alone.is_empty();
    let guilty = if together { named.iter().collect() } else { alone };
    let beyond = |one: &(&Planned, &Effect)| Beyond {
        fault: one.0.id,
        words: match together {
            true => format!(
                "{system} does not promise {guarantee} under {} together",
                kinds.join(" and ")
            ),
            false => {
                let kind = kind(one);
                format!("{system} does not promise {guarantee} under `{kind}`")
            }
        },
    };
    guilty.into_iter().map(beyond).collect()
}

/// The kind of fault that one was, by what it did: a minority of three is one disk.
fn kind((planned, effect): &(&Planned, &Effect)) -> &'static str {
    match planned.fault {
        Fault::Wipe { .. } if effect.disks_lost.len() == 1 => WIPE,
        ref fault => fault.kind(),
    }
}

/// The faults that did more than the promise of a guarantee is made for.
fn of_effects<'a>(
    named: &'a [(&Planned, &Effect)],
    guarantee: Guarantee,
    nodes: u32,
    system: &'a dyn System,
) -> impl Iterator<Item = Beyond> + 'a {
    named.iter().filter_map(move |(planned, effect)| {
        let nodes = if effect.members > 0 { effect.members } else { nodes };
        let excess = system.exceeded_by(&planned.fault, effect, nodes)?;
        let is_about = excess.guarantees.contains(&guarantee);
        is_about.then_some(Beyond { fault: planned.id, words: excess.words })
    })
}

/// Whether a guarantee was broken already when the first of some faults began, or in a way that no fault excuses.
fn was_broken_before(
    judged: &Judged,
    beyond: &[Beyond],
    history: &History,
    limits: &Limits,
) -> bool {
    if !judged.verdict.is_invalid() {
        return false;
    }
    let begins = |index: &EventIndex| match history.event(*index).1 {
        Event::Fault(event) => {
            event.edge == FaultEdge::Begin && beyond.iter().any(|one| one.fault == event.fault)
        }
        _ => false,
    };
    let Some(begin) = (0..history.len() as u32).map(EventIndex).find(begins) else { return true };
    let began = history.event(begin).0;
    if matches!(judged.guarantee, Guarantee::Live | Guarantee::Available) {
        let inexcusable = |anomaly: &Anomaly| anomaly.at < began || is_never_allowed(anomaly);
        return judged.verdict.anomalies().iter().any(inexcusable);
    }
    let until = up_to(history, begin, began);
    let mut checkers = CHECKERS.iter().filter(|entry| entry.guarantee == judged.guarantee);
    checkers.any(|entry| (entry.build)(limits).check(&until).is_invalid())
}

/// Whether it is a mistake of a node, whatever becomes of the others.
fn is_never_allowed(anomaly: &Anomaly) -> bool {
    matches!(anomaly.name.as_str(), "node-panic" | "livelock" | "message-flood")
}

/// What happened until an event.
fn up_to(history: &History, end: EventIndex, at: Time) -> History {
    let mut whole = Vec::new();
    jsonl::write(history, &mut whole).expect("memory takes whatever is written to it");
    let head = whole.split_inclusive(|byte| *byte == b'\n').take(1 + end.index());
    let mut text = head.collect::<Vec<_>>().concat();
    text.extend_from_slice(format!("{{\"end\":{}}}\n", end.0).as_bytes());
    jsonl::read(&text[..], &ReadLimits::default())
        .unwrap_or_else(|error| panic!("a history has a beginning until {at}: {error}"))
}

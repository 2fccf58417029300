//! A run for ShiViz: every event with the vector clock of its host (Fidge 1988, Mattern 1989), from which it draws
//! a space-time diagram.
//!
//! An event is two lines, host and clock, and then what happened. The expression that ShiViz is to be told is
//! [`EXPRESSION`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use checkers::history::{Event, History, Time};

use super::escape;
use super::timeline;
use crate::trace::{Happening, Place, Trace};

/// How ShiViz reads what is written here.
pub const EXPRESSION: &str = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)";

/// What each place knows of the others: how many events of theirs.
type Clock = BTreeMap<Place, u64>;

/// All events of a run that has a trace.
pub fn log(history: &History, trace: &Trace) -> String {
    let mut clocks: BTreeMap<Place, Clock> = BTreeMap::new();
    let mut sent: BTreeMap<u64, Clock> = BTreeMap::new();
    let mut out = String::new();
    for (place, happened) in in_order(history, trace) {
        let clock = clocks.entry(place).or_default();
        *clock.entry(place).or_default() += 1;
        let words = match happened {
            What::Asked(words) => words,
            What::Traced(what) => {
                match what {
                    Happening::Sent(message) => {
                        sent.insert(message.message, clock.clone());
                    }
                    Happening::Received { message, .. } => {
                        for (other, events) in sent.get(message).into_iter().flatten() {
                            let known = clock.entry(*other).or_default();
                            *known = (*known).max(*events);
                        }
                    }
                    _ => {}
                }
                what.to_string()
            }
        };
        let entries = clock.iter().map(|(place, events)| format!("\"{place}\":{events}"));
        let entries = entries.collect::<Vec<_>>().join(",");
        let _ = writeln!(out, "{place} {{{entries}}}\n{}", escape::line(&words));
    }
    out
}

/// What happens at a place.
enum What<'a> {
    /// A client asks, or learns.
    Asked(String),
    Traced(&'a Happening),
}

/// The events of history and trace in one order: of those at one moment, a client asks before anything is sent for
/// it, and learns when it has received.
fn in_order<'a>(history: &History, trace: &'a Trace) -> Vec<(Place, What<'a>)> {
    let mut events: Vec<(Time, u8, Place, What<'a>)> = Vec::new();
    for (at, event) in history.events() {
        let (operation, rank) = match event {
            Event::Invoke(operation) => (operation, 0),
            Event::Complete(operation) => (operation, 2),
            Event::Fault(_) | Event::Phase(_) => continue,
        };
        let shown = timeline::show(history, None, operation);
        let words = match rank {
            0 => format!("asks: {}", shown.operation),
            _ => format!("learns of {}: {}", shown.operation, shown.outcome),
        };
        events.push((at, rank, Place::Client(operation.session), What::Asked(words)));
    }
    let traced = trace.iter();
    events.extend(traced.map(|event| (event.at, 1, event.place, What::Traced(&event.what))));
    events.sort_by_key(|(at, rank, ..)| (*at, *rank));
    events.into_iter().map(|(_, _, place, what)| (place, what)).collect()
}

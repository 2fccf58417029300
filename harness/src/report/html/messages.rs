//! A trace as the explorer of the report reads it: messages as columns, and what happened to nodes as a list.

use checkers::history::Time;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::columns::Column;
use super::svg::short;
use crate::report::escape;
use crate::trace::{Happening, Loss, Place, Sent, Trace};

/// Of more messages than these, those are kept that were sent before and around the first anomaly.
const MESSAGES_MAX: usize = 400_000;
/// Of more than these, the first are kept of what happened to nodes.
const HAPPENINGS_MAX: usize = 20_000;
const TEXT_MAX: usize = 200;

/// The messages of a run, and what else its trace has.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) count: usize,
    /// How many messages there were in all.
    pub(super) of: usize,
    /// The last moment of the trace, nanoseconds.
    pub(super) end: u64,
    pub(super) nodes: Vec<u32>,
    pub(super) kinds: Vec<String>,
    pub(super) places: Vec<String>,
    pub(super) happenings: Vec<Happened>,
    pub(super) columns: Vec<(&'static str, Column)>,
}

/// Something that happened to a node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Happened {
    at: u64,
    /// Its place in the list of places.
    place: usize,
    what: &'static str,
    words: String,
    term: u64,
}

/// What became of a message.
#[derive(Default)]
struct Fate {
    received: Option<Time>,
    lost: Option<Loss>,
}

impl Messages {
    /// Of no trace, nothing.
    pub(super) fn of(trace: Option<&Trace>, unit: u64, around: Option<Time>) -> Messages {
        let Some(trace) = trace else { return Messages::default() };
        let mut fates: FxHashMap<u64, Fate> = FxHashMap::default();
        let mut sent: Vec<(Time, Place, &Sent)> = Vec::new();
        for event in trace {
            match &event.what {
                Happening::Sent(message) => sent.push((event.at, event.place, message)),
                Happening::Received { message, .. } => {
                    fates.entry(*message).or_default().received.get_or_insert(event.at);
                }
                Happening::Lost { message, why, .. } => {
                    fates.entry(*message).or_default().lost = Some(*why);
                }
                _ => {}
            }
        }
        let mut messages = Messages {
            of: sent.len(),
            end: trace.last().map_or(0, |event| event.at.as_nanos()),
            ..Messages::default()
        };
        messages.places_of(trace);
        let skipped = skipped(&sent, around);
        let kept = &sent[skipped..(skipped + MESSAGES_MAX).min(sent.len())];
        messages.count = kept.len();
        messages.columns = messages.columns_of(kept, &fates, unit);
        messages.happenings = messages.happenings_of(trace, unit);
        messages
    }

    fn places_of(&mut self, trace: &Trace) {
        let mut places: Vec<Place> = trace.iter().map(|event| event.place).collect();
        places.sort_unstable();
        places.dedup();
        self.nodes = places.iter().filter_map(|place| Some(place.node()?.0)).collect();
        self.places = places.iter().map(Place::to_string).collect();
    }

    /// The number of a place; one that does nothing itself comes in where something is sent to it.
    fn place(&mut self, place: Place) -> usize {
        let name = place.to_string();
        number_of(&mut self.places, &name)
    }

    fn columns_of(
        &mut self,
        sent: &[(Time, Place, &Sent)],
        fates: &FxHashMap<u64, Fate>,
        unit: u64,
    ) -> Vec<(&'static str, Column)> {
        const NAMES: [&str; 9] = [
            "m-sent", "m-lasted", "m-from", "m-to", "m-number", "m-kind", "m-why", "m-fault",
            "m-copies",
        ];
        let mut columns = NAMES.map(|name| (name, Column::default()));
        let (mut last_at, mut last_number) = (0, 0);
        for (at, from, message) in sent {
            let Sent { message: number, to, kind, copies, .. } = message;
            let at = at.as_nanos() / unit;
            let fate = fates.get(number);
            let received = fate.and_then(|fate| fate.received).map(|at| at.as_nanos() / unit);
            let (why, fault) = match fate.and_then(|fate| fate.lost) {
                None => (0, 0),
                Some(Loss::Cut(fault)) => (1, u64::from(fault.0) + 1),
                Some(Loss::Fault(fault)) => (2, u64::from(fault.0) + 1),
                Some(Loss::Down) => (3, 0),
                Some(Loss::Full) => (4, 0),
                Some(Loss::TooLong) => (5, 0),
            };
            let kind = kind.as_deref().unwrap_or("message");
            let row = [
                at.saturating_sub(last_at),
                received.map_or(0, |received| received.saturating_sub(at) + 1),
                self.place(*from) as u64,
                self.place(*to) as u64,
                number.wrapping_sub(last_number),
                number_of(&mut self.kinds, kind) as u64,
                why,
                fault,
                copies.len() as u64,
            ];
            for ((_, column), number) in columns.iter_mut().zip(row) {
                column.push(number);
            }
            (last_at, last_number) = (at, *number);
        }
        columns.into()
    }

    fn happenings_of(&mut self, trace: &Trace, unit: u64) -> Vec<Happened> {
        let mut found = Vec::new();
        for event in trace {
            let (what, words, term) = match &event.what {
                Happening::Role { role, term } => ("role", role.to_string(), *term),
                Happening::Starts => ("starts", String::new(), 0),
                Happening::Stops { how } => ("stops", how.clone(), 0),
                Happening::Note { words } => ("note", words.clone(), 0),
                Happening::Reaches { .. } => ("note", event.what.to_string(), 0),
                Happening::Sent(_)
                | Happening::Received { .. }
                | Happening::Lost { .. }
                | Happening::Decides { .. } => continue,
            };
            let words = escape::line(&short(&words, TEXT_MAX));
            let place = self.place(event.place);
            found.push(Happened { at: event.at.as_nanos() / unit, place, what, words, term });
            if found.len() == HAPPENINGS_MAX {
                break;
            }
        }
        found
    }
}

/// How many messages at the beginning are left out.
fn skipped(sent: &[(Time, Place, &Sent)], around: Option<Time>) -> usize {
    let most = sent.len().saturating_sub(MESSAGES_MAX);
    let at = around.unwrap_or(Time::from_nanos(u64::MAX));
    let place = sent.partition_point(|(sent, ..)| *sent <= at);
    (place + MESSAGES_MAX / 4).saturating_sub(MESSAGES_MAX).min(most)
}

fn number_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

//! Sets: a read shows what was added, nothing else, and nothing twice.
//!
//! An element that was acknowledged before a read began has to be in it, unless somebody may have
//! removed it. One that nobody had begun to add before the read ended must not be. Reads of replica
//! level may be old, but show nothing twice, and nothing that was never added; what no replica has in
//! the end is lost. Where a replica that was asked did not answer, it may be the one that has it, and
//! nothing is proved.
//!
//! A strong read that shows an element makes it known, as an acknowledgement does. All this is
//! necessary, not sufficient, because a read shows all elements at one instant: `stormglass check`
//! judges sets exactly, by search.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Checker;
use super::findings::{Findings, but_who_failed};
use super::keys::{Keys, Model};
use super::words::told;
use crate::brief::value_in_short;
use crate::history::{
    EventIndex, History, KeyId, NodeId, Op, Operation, OperationId, Phase, ReadLevel, Value,
    ValueId,
};
use crate::verdict::{Contrast, Guarantee, Legal, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Set;

/// Why nothing was judged.
const NOTHING: &str = "no set was read";

/// What is known of one element.
#[derive(Clone, Copy, Debug)]
struct Element {
    value: ValueId,
    /// When somebody first began to add it, without failing.
    begun: Option<EventIndex>,
    /// When it was first acknowledged, or seen, and by which operation.
    known: Option<(EventIndex, OperationId)>,
    /// When somebody first began to remove it, without failing.
    removed: Option<EventIndex>,
    /// Who tried to add it and failed.
    failed: Option<OperationId>,
    /// When the last read began that shows it.
    shown: Option<EventIndex>,
}

impl Element {
    fn new(value: ValueId) -> Element {
        Element { value, begun: None, known: None, removed: None, failed: None, shown: None }
    }
}

/// The elements of one set: each has a place of its own, so that what reads show is looked up once.
#[derive(Default)]
struct Elements<'a> {
    places: FxHashMap<&'a Value, usize>,
    elements: Vec<Element>,
    /// The places in the order in which their elements became known, and when that was.
    known: Vec<(EventIndex, usize)>,
}

impl<'a> Elements<'a> {
    /// What is known of a value, which has a place from here on.
    fn of(&mut self, history: &'a History, value: ValueId) -> &mut Element {
        let next = self.elements.len();
        let place = *self.places.entry(history.value(value)).or_insert(next);
        if place == next {
            self.elements.push(Element::new(value));
        }
        &mut self.elements[place]
    }

    /// Puts what became known into its order.
    fn sort(&mut self) {
        let known = |(place, element): (usize, &Element)| Some((element.known?.0, place));
        self.known = self.elements.iter().enumerate().filter_map(known).collect();
        self.known.sort_unstable();
    }
}

/// The places of one list at a time.
#[derive(Default)]
struct Marks {
    /// The number of the last list that each place was in.
    lists: Vec<u32>,
    list: u32,
}

impl Marks {
    /// Begins another list, of places below `count`.
    fn begin(&mut self, count: usize) {
        self.lists.resize(self.lists.len().max(count), 0);
        self.list += 1;
    }

    /// Puts a place into the list, and says whether it was not in it yet.
    fn add(&mut self, place: usize) -> bool {
        std::mem::replace(&mut self.lists[place], self.list) != self.list
    }

    fn has(&self, place: usize) -> bool {
        self.lists[place] == self.list
    }
}

impl Checker for Set {
    fn check(&self, history: &History) -> Verdict {
        let keys = Keys::new(history);
        let mut sets: FxHashMap<KeyId, Elements<'_>> = FxHashMap::default();
        for operation in history.operations() {
            if let Op::Add { key, value } | Op::Remove { key, value } = operation.op {
                if !keys.are(key, Model::Set) {
                    continue;
                }
                let element = sets.entry(key).or_default().of(history, value);
                let adds = matches!(operation.op, Op::Add { .. });
                if operation.has_failed() {
                    element.failed = element.failed.or(Some(operation.id).filter(|_| adds));
                    continue;
                }
                if !adds {
                    element.removed = element.removed.or(Some(operation.invoked));
                    continue;
                }
                element.begun = element.begun.or(Some(operation.invoked));
                let known = operation.completed.filter(|_| operation.is_ok());
                let known = known.map(|end| (end, operation.id));
                element.known = earlier(element.known, known);
            }
        }
        let count = keys.count(Model::Set);
        let mut found = Findings::new(history, Guarantee::Set, "each element by itself", count);
        if count > 0 && *history.initial() != Value::Nil {
            found.leave_open(format!("no set begins as {}", history.initial()));
            return found.into_verdict(NOTHING);
        }
        let (mut reads, mut marks) = (Vec::new(), Marks::default());
        for read in history.operations() {
            let (Op::Read { key, .. }, Some(value)) = (read.op, read.value_read()) else {
                continue;
            };
            if keys.are(key, Model::Set) {
                sets.entry(key).or_default();
            }
            let Some(of_key) = sets.get_mut(&key) else { continue };
            let Some(shown) = elements(history.value(value)) else {
                let conclusion = format!("{} is no list of elements", told(history, value));
                found.add("not-a-set", &[read.id], conclusion);
                continue;
            };
            found.coverage.operations += 1;
            let places = judge_shown(&mut found, of_key, &mut marks, &read, shown);
            reads.push(Shown { read, places });
        }
        sets.values_mut().for_each(Elements::sort);
        judge_missing(&mut found, &sets, &mut marks, &reads);
        found.into_verdict(NOTHING)
    }
}

fn earlier(
    one: Option<(EventIndex, OperationId)>,
    other: Option<(EventIndex, OperationId)>,
) -> Option<(EventIndex, OperationId)> {
    [one, other].into_iter().flatten().min()
}

/// The elements that a read shows; `None` for what is no list of them.
fn elements(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Nil => Some(&[]),
        Value::List(values) => Some(values),
        Value::Int(_) | Value::Text(_) => None,
    }
}

/// A read, and the places of what it shows.
struct Shown<'a> {
    read: Operation<'a>,
    places: Vec<usize>,
}

impl Shown<'_> {
    fn key(&self) -> KeyId {
        *self.read.op.key()
    }
}

/// Judges what a read shows: nothing twice, and nothing that nobody had begun to add. Returns the places
/// of the rest.
fn judge_shown(
    found: &mut Findings<'_>,
    of_key: &mut Elements<'_>,
    marks: &mut Marks,
    read: &Operation<'_>,
    shown: &[Value],
) -> Vec<usize> {
    let history = found.history;
    let mut strange: FxHashSet<&Value> = FxHashSet::default();
    marks.begin(of_key.elements.len());
    let mut places = Vec::with_capacity(shown.len());
    let end = read.completed.expect("what was answered has ended");
    let key = history.key(*read.op.key());
    let is_begun = |element: &Element| element.begun.is_some_and(|begun| begun < end);
    for value in shown {
        let place = of_key.places.get(value).copied();
        if !place.map_or_else(|| strange.insert(value), |place| marks.add(place)) {
            let value = value_in_short(value);
            let conclusion = format!("process {} read {value} twice in {key}", read.process);
            found.add("duplicate-element", &[read.id], conclusion);
            continue;
        }
        let element = place.map(|place| &mut of_key.elements[place]);
        match element {
            Some(element) if is_begun(element) => {
                if matches!(read.op, Op::Read { level: ReadLevel::Strong, .. }) {
                    element.known = earlier(element.known, Some((end, read.id)));
                }
                // Reads come in the order in which they began.
                element.shown = Some(read.invoked);
                places.extend(place);
            }
            element => {
                let failed = element.and_then(|element| element.failed);
                let failed = failed.filter(|id| history.operation(*id).invoked < end);
                let place = |alike: &Value| of_key.places.get(alike).copied();
                let is_added = |place: usize| is_begun(&of_key.elements[place]);
                let alike = as_number(value).filter(|alike| place(alike).is_some_and(is_added));
                let alike = alike.map_or_else(String::new, |alike| {
                    format!("; that is a text, and not the number {alike}, which somebody added")
                });
                let value = value_in_short(value);
                let conclusion = format!(
                    "process {} read {value} in {key}, which nobody had begun to add{}{alike}",
                    read.process,
                    but_who_failed(history, failed),
                );
                let proof: Vec<OperationId> = failed.into_iter().chain([read.id]).collect();
                found.add("phantom-element", &proof, conclusion);
            }
        }
    }
    places
}

/// The number that a text shows.
fn as_number(value: &Value) -> Option<Value> {
    let Value::Text(text) = value else { return None };
    text.parse().ok().map(Value::Int)
}

/// The final reads of a set, together.
struct Finals<'a> {
    places: Vec<usize>,
    first: &'a Operation<'a>,
    nodes: FxHashSet<NodeId>,
    end: EventIndex,
}

/// Judges what a read does not show, though it was known before it began.
fn judge_missing(
    found: &mut Findings<'_>,
    sets: &FxHashMap<KeyId, Elements<'_>>,
    marks: &mut Marks,
    reads: &[Shown<'_>],
) {
    let history = found.history;
    let began = history.phase_began(Phase::Final).map(|(event, _)| event);
    let is_final = |read: &Operation<'_>| began.is_some_and(|began| read.invoked > began);
    let mut finals: FxHashMap<KeyId, Finals<'_>> = FxHashMap::default();
    for shown in reads {
        let Shown { read, places } = shown;
        if is_final(read) {
            let of_key = finals.entry(shown.key()).or_insert_with(|| Finals {
                places: Vec::new(),
                first: read,
                nodes: FxHashSet::default(),
                end: read.invoked,
            });
            of_key.places.extend(places);
            of_key.nodes.extend(read.node);
            of_key.end = of_key.end.max(read.completed.expect("what was answered has ended"));
        } else if matches!(read.op, Op::Read { level: ReadLevel::Strong, .. }) {
            let end = read.completed.expect("what was answered has ended");
            let of_key = &sets[&shown.key()];
            let again = |place: usize| of_key.elements[place].shown > Some(end);
            if let Some((place, by)) = of_key.missing([read.invoked, end], places, marks) {
                let name = if again(place) { "stale-read" } else { "lost-element" };
                let value = of_key.elements[place].value;
                let conclusion = not_shown(history, read, value, by);
                let contrast = with(history, read, value, by);
                found.contrast(name, &[by, read.id], contrast, conclusion);
            }
        }
    }
    let is_asked = |read: &Operation<'_>| {
        is_final(read) && matches!(read.op, Op::Read { level: ReadLevel::Replica, .. })
    };
    let asked = history.operations().filter(is_asked).filter_map(|read| read.node);
    let asked: BTreeSet<NodeId> = asked.collect();
    let mut finals: Vec<Finals<'_>> = finals.into_values().collect();
    finals.sort_unstable_by_key(|finals| finals.first.id);
    for Finals { places, first, nodes, end } in finals {
        let of_key = &sets[first.op.key()];
        let missing = of_key.missing([first.invoked, end], &places, marks);
        let Some((place, by)) = missing else { continue };
        let value = of_key.elements[place].value;
        match asked.iter().find(|node| !nodes.contains(node)) {
            None => {
                let conclusion = not_shown(history, first, value, by);
                let contrast = with(history, first, value, by);
                found.contrast("lost-element", &[by, first.id], contrast, conclusion);
            }
            Some(node) => found.leave_open(format!(
                "{} of {} is on no replica that answered, but node n{node} did not say what it holds",
                told(history, value),
                history.key(*first.op.key()),
            )),
        }
    }
}

impl Elements<'_> {
    /// The place of an element that reads from `begin` to `end` do not show, though it was known before, and
    /// who made it known. One is enough to tell what is wrong with them.
    fn missing(
        &self,
        [begin, end]: [EventIndex; 2],
        shown: &[usize],
        marks: &mut Marks,
    ) -> Option<(usize, OperationId)> {
        marks.begin(self.elements.len());
        for place in shown {
            marks.add(*place);
        }
        let before = self.known.iter().take_while(|(at, _)| *at < begin);
        let hidden = before.map(|(_, place)| *place).filter(|place| !marks.has(*place));
        let mut kept = hidden.filter_map(|place| {
            let element = &self.elements[place];
            let is_kept = element.removed.is_none_or(|begun| begun >= end);
            Some((place, element.known?.1)).filter(|_| is_kept)
        });
        kept.next()
    }
}

fn with(history: &History, read: &Operation<'_>, value: ValueId, by: OperationId) -> Contrast {
    Contrast::new(read.id, Legal::With(history.value(value).clone())).due_to(by)
}

fn not_shown(history: &History, read: &Operation<'_>, value: ValueId, by: OperationId) -> String {
    format!(
        "{} was in {} by the end of what process {} did, before process {} began to read, and \
         nobody removed it before that read ended, which does not show it",
        told(history, value),
        history.key(*read.op.key()),
        history.operation(by).process,
        read.process,
    )
}

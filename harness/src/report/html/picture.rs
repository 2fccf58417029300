//! A witness as a picture: operations as bars along time, a lane a process, faults as bands behind
//! them, and what was seen against what had to be.

use std::collections::BTreeMap;

use checkers::brief::value_in_short;
use checkers::history::{
    FaultEdge, FaultId, History, NodeId, Op, Operation, OperationId, Outcome, Phase, ProcessId,
    Time, Value,
};
use checkers::{Anomaly, Contrast, Guarantee, Legal};

use super::axis::Axis;
use super::bands::{self, Band};
use super::svg::{Svg, short};
use super::words::{asked, learned, observed};
use crate::config::Config;
use crate::sim::Role;
use crate::story;
use crate::trace::{Happening, Trace};

const WIDTH: f64 = 1160.0;
const GUTTER: f64 = 132.0;
const RIGHT: f64 = WIDTH - 34.0;
/// How wide a character of a label is.
const CHARACTER: f64 = 7.25;
/// The longest label of an operation, in characters.
const LABEL_MAX: usize = 84;
const BAR: f64 = 13.0;
const NODE_LANE: f64 = 26.0;
const DECIDED_ROW: f64 = 14.0;
/// More operations than these are no picture any more.
const SHOWN_MAX: usize = 24;
/// So many faults are shown from their beginning, where that was before all else that is shown.
const BEGUN_BEFORE_MAX: usize = 4;
/// More moments than these at which somebody begins or ceases to lead would leave no room for the rest.
const TURNS_MAX: usize = 6;
/// Of at most so many nodes all are shown; of more, those that were asked or hit.
const NODES_MAX: u32 = 7;
/// A history of at most so many operations is shown whole.
const SMALL: usize = 24;
/// What is said of the moment from which on most tails end so.
const DECIDED: &str = "from here on most tails end so";
/// How many operations are shown where none proves the anomaly by itself.
const AROUND: usize = 10;

/// What was drawn.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) svg: String,
    /// The operations in it, in their order.
    pub(super) operations: Vec<OperationId>,
    /// How many operations of the witness are left out because there are too many.
    pub(super) left_out: usize,
    /// How many nodes are left out because there are too many.
    pub(super) nodes_left_out: u32,
}

/// An operation and where it is drawn.
struct Bar<'a> {
    operation: Operation<'a>,
    /// Whether it belongs to the witness.
    is_proof: bool,
    label: String,
    /// What is said below it.
    remark: Option<(&'static str, String)>,
    row: usize,
}

/// One process and its rows.
struct Lane {
    process: ProcessId,
    name: String,
    /// The top of each of its rows, and of what is below them.
    tops: Vec<f64>,
}

/// Draws an anomaly.
///
/// `decided` is the moment from which on most tails of the run end so, where that is known.
pub(super) fn draw(
    history: &History,
    trace: Option<&Trace>,
    anomaly: &Anomaly,
    decided: Option<Time>,
    config: &Config,
) -> Picture {
    let (operations, left_out) = chosen(history, anomaly);
    let about = (trace, decided, config);
    let drawing = Drawing::new(history, about, anomaly, &operations);
    let nodes_left_out = config.all_nodes().saturating_sub(drawing.nodes.len() as u32);
    Picture { svg: drawing.draw(history, trace, anomaly), operations, left_out, nodes_left_out }
}

/// The operations of the witness; those around where it is none of itself: of a stall, what was tried meanwhile.
fn chosen(history: &History, anomaly: &Anomaly) -> (Vec<OperationId>, usize) {
    let count = history.operation_count();
    let witness = anomaly.witness.operations.iter().copied().filter(|id| id.index() < count);
    let mut chosen: Vec<OperationId> = witness.collect();
    if chosen.is_empty() || is_about_time(anomaly) {
        // What should have succeeded and did not is of the kind of the one in the witness.
        let writes = chosen.first().map(|id| history.operation(*id).op.kind().writes());
        let concerns = |operation: &Operation<'_>| {
            operation.invoked_at <= anomaly.at
                && writes.is_none_or(|writes| operation.op.kind().writes() == writes)
                && anomaly.key.as_ref().is_none_or(|key| history.key(*operation.op.key()) == key)
        };
        let before = history.operations().rev().filter(concerns).take(AROUND);
        chosen.extend(before.map(|operation| operation.id));
        chosen.sort_unstable();
        chosen.dedup();
    }
    if count <= SMALL && !is_about_time(anomaly) {
        // Of a run with so little in it, as one that was shrunk, all that clients asked is worth seeing.
        let finals = history.phase_began(Phase::Final).map(|(event, _)| event);
        let asked =
            history.operations().filter(|one| finals.is_none_or(|finals| one.invoked < finals));
        chosen.extend(asked.map(|operation| operation.id));
        chosen.sort_unstable();
        chosen.dedup();
    }
    // The end of a witness is what could not be explained.
    let left_out = chosen.len().saturating_sub(SHOWN_MAX);
    chosen.drain(..left_out);
    (chosen, left_out)
}

/// Whether what did not happen is the anomaly.
pub(super) fn is_about_time(anomaly: &Anomaly) -> bool {
    matches!(anomaly.guarantee, Guarantee::Live | Guarantee::Available)
}

struct Drawing<'a> {
    axis: Axis,
    bands: Vec<Band>,
    bars: Vec<Bar<'a>>,
    lanes: Vec<Lane>,
    nodes: Vec<NodeId>,
    header: f64,
    bottom: f64,
    /// The operation that could not be explained.
    marked: Option<OperationId>,
    /// Whether operations prove the anomaly, and not what is missing.
    has_witness: bool,
    /// From when on most tails end so.
    decided: Option<Time>,
    /// What time it is that passes.
    time: &'static str,
}

impl<'a> Drawing<'a> {
    fn new(
        history: &'a History,
        (trace, decided, config): (Option<&Trace>, Option<Time>, &Config),
        anomaly: &Anomaly,
        shown: &[OperationId],
    ) -> Drawing<'a> {
        let operations: Vec<Operation<'a>> =
            shown.iter().map(|id| history.operation(*id)).collect();
        let mut moments = vec![anomaly.at];
        for operation in &operations {
            moments.extend([
                operation.invoked_at,
                operation.completed_at.unwrap_or(operation.invoked_at),
            ]);
        }
        let from = moments.iter().copied().min().unwrap_or(anomaly.at);
        let to = moments.iter().copied().max().unwrap_or(anomaly.at);
        // Where there are few faults, those that were over before are why, too: a disk that was lost stays lost.
        let few = faults_of(history).len() <= BEGUN_BEFORE_MAX;
        let mut bands = bands::of(history, if few { Time::ZERO } else { from }, to);
        // A fault that began before all that is shown is shown from its beginning; of many, only named.
        let earlier = bands.iter().filter(|band| band.from < from).count();
        let is_shown = |at: &Time| *at <= to && (*at >= from || earlier <= BEGUN_BEFORE_MAX);
        for band in &mut bands {
            moments.extend([band.from, band.to].into_iter().filter(is_shown));
            if !is_shown(&band.from) {
                band.name = format!("◀ {}, since {}", band.name, band.from);
            }
        }
        moments.extend(decided);
        moments.extend(turns(trace, config, (from, to)));
        let axis = Axis::cut(moments, GUTTER + 8.0, RIGHT - 40.0);
        let answering = answering(trace, &operations);
        let expectation = Expectation::of(anomaly, &operations);
        let bars = bars(history, anomaly, &operations, &expectation, (&axis, &answering));
        let mut nodes: Vec<NodeId> =
            operations.iter().filter_map(|operation| operation.node).collect();
        nodes.extend(answering.values());
        nodes.extend(bands.iter().flat_map(|band| band.hits.keys().copied()));
        // Those that had no part in it are part of the picture too, where they do not fill it.
        let all = config.all_nodes();
        nodes.extend((1..=all).map(NodeId).filter(|_| all <= NODES_MAX));
        nodes.sort_unstable();
        nodes.dedup();
        let header = bands::header(&bands, &axis, RIGHT);
        let (lanes, bottom) = lanes(&bars, header);
        // What is said of the moment that decided it has a row to itself.
        let bottom = bottom + if decided.is_some() { DECIDED_ROW } else { 0.0 };
        let has_witness = !is_about_time(anomaly) && !anomaly.witness.operations.is_empty();
        let marked = expectation.marked;
        let time = config.engine.time();
        Drawing {
            axis,
            bands,
            bars,
            lanes,
            nodes,
            header,
            bottom,
            marked,
            has_witness,
            decided,
            time,
        }
    }

    fn draw(&self, history: &History, trace: Option<&Trace>, anomaly: &Anomaly) -> String {
        let mut svg = Svg::default();
        let floor = self.bottom + self.nodes.len() as f64 * NODE_LANE + 8.0;
        bands::draw(&mut svg, &self.bands, &self.axis, (floor, RIGHT));
        self.lanes(&mut svg);
        self.cuts(&mut svg, floor);
        self.nodes(&mut svg, trace);
        self.arrows(&mut svg, anomaly);
        for bar in &self.bars {
            self.bar(&mut svg, history, bar);
        }
        if is_about_time(anomaly) {
            let x = self.axis.x(anomaly.at);
            svg.line("until", (x, self.header), (x, floor));
            let is_stall = anomaly.name == "no-progress" || anomaly.name.starts_with("stalled-");
            let what = if is_stall { "nothing by" } else { &*anomaly.name };
            svg.words("until", (x - 5.0, floor - 4.0), &format!("{what} {}", anomaly.at));
        }
        if let Some(at) = self.decided {
            let x = self.axis.x(at);
            svg.open_with_title("decided", &format!("from {at} on most tails of the run end so"));
            svg.line("decided", (x, self.header), (x, floor));
            let (x, anchor) = label_place(x + 4.0, DECIDED);
            svg.words(&format!("decided {anchor}"), (x, self.bottom - 3.0), DECIDED);
            svg.close();
        }
        self.times(&mut svg, floor);
        let label = format!("the operations that show the {}, on {}", anomaly.name, self.time);
        svg.finish((WIDTH, floor + 30.0), "witness", &label)
    }

    fn top(&self, bar: &Bar<'_>) -> f64 {
        let process = bar.operation.process;
        let lane = self.lanes.iter().find(|lane| lane.process == process);
        lane.map_or(self.header, |lane| lane.tops[bar.row])
    }

    fn lanes(&self, svg: &mut Svg) {
        for lane in &self.lanes {
            let (top, bottom) = (lane.tops[0], lane.tops[lane.tops.len() - 1]);
            svg.line("border", (0.0, bottom), (RIGHT, bottom));
            svg.words("lane", (6.0, top + 24.0), &lane.name);
        }
    }

    /// Marks where time is cut short, and by how much.
    fn cuts(&self, svg: &mut Svg, floor: f64) {
        for piece in self.axis.pieces().iter().filter(|piece| piece.is_cut) {
            let middle = f64::midpoint(piece.left, piece.right);
            svg.line("cut", (middle - 3.0, self.header), (middle - 3.0, floor));
            svg.line("cut", (middle + 3.0, self.header), (middle + 3.0, floor));
            let length = Time::ZERO + piece.to.since(piece.from);
            svg.words("cut-length", (middle, floor + 26.0), &format!("↔ {length}"));
        }
    }

    fn nodes(&self, svg: &mut Svg, trace: Option<&Trace>) {
        let (from, to) = self.axis.bounds();
        for (row, node) in self.nodes.iter().enumerate() {
            let top = self.bottom + row as f64 * NODE_LANE + 6.0;
            let middle = top + 10.0;
            svg.words("lane", (6.0, middle + 4.0), &format!("node n{node}"));
            svg.line("node", (self.axis.x(from), middle), (RIGHT, middle));
            let hits = || self.bands.iter().filter_map(|band| Some((band, band.hits.get(node)?)));
            for (band, _) in hits() {
                let (left, right) = band.places(&self.axis, RIGHT);
                svg.rect("node-hit", (left, top + 3.0), (right - left, 14.0));
            }
            // What hits it at the same time is named side by side, with what goes on meanwhile.
            let mut free = 0.0_f64;
            for (band, hit) in hits() {
                let width = |words: &str| words.chars().count() as f64 * CHARACTER;
                let (left, right) = band.places(&self.axis, RIGHT);
                let goes_on = hits().filter(|(other, _)| {
                    let (begin, end) = other.places(&self.axis, RIGHT);
                    begin < left && end > left
                });
                let (kinds, all): (Vec<&str>, Vec<&str>) =
                    goes_on.chain([(band, hit)]).map(|(band, hit)| (&*band.kind, &**hit)).unzip();
                let (kinds, all) = (kinds.join(" · "), all.join(" · "));
                let at = free.max(left + 4.0);
                let words = if at + width(&all) <= right { &all } else { &kinds };
                free = at + width(words) + CHARACTER;
                svg.open_with_title("node-hit", &all);
                svg.words("node-hit", (at, middle + 4.0), words);
                svg.close();
            }
            for (begin, end, term) in
                leads(trace, *node).filter(|lead| lead.1 >= from && lead.0 <= to)
            {
                let (left, right) =
                    (self.axis.x(begin), if end > to { RIGHT } else { self.axis.x(end) });
                svg.open_with_title("leader", &format!("n{node} leads in term {term}"));
                svg.rect("leader", (left, top + 17.0), ((right - left).max(2.0), 4.0));
                svg.close();
            }
        }
    }

    /// Draws what comes before what in a cycle of transactions.
    fn arrows(&self, svg: &mut Svg, anomaly: &Anomaly) {
        let Some(Legal::NoCycle(around)) = anomaly.contrast.as_ref().map(|one| &one.legal) else {
            return;
        };
        for (before, after) in around.iter().zip(around.iter().cycle().skip(1)) {
            let bar = |id: &OperationId| self.bars.iter().find(|bar| bar.operation.id == *id);
            let (Some(before), Some(after)) = (bar(before), bar(after)) else { continue };
            let ends = |bar: &Bar<'_>| {
                let Operation { invoked_at, completed_at, .. } = bar.operation;
                let left = self.axis.x(invoked_at);
                let right = completed_at.map_or(left, |at| self.axis.x(at)).max(left + 5.0);
                (left, right, self.top(bar) + 18.0)
            };
            let ((left1, right1, y1), (left2, right2, y2)) = (ends(before), ends(after));
            // The way there and the way back do not cover each other: one is higher.
            let is_onward = left1 < left2;
            let (x1, x2, side, high) =
                if is_onward { (right1, left2, 1.0, 3.0) } else { (left1, right2, -1.0, 10.0) };
            let (y1, y2) = (y1 + high, y2 + high);
            let bend = 40.0 * side;
            let path = format!(
                "class=\"order\" d=\"M{x1:.1} {y1:.1} C{:.1} {y1:.1} {:.1} {y2:.1} {x2:.1} {y2:.1}\"",
                x1 + bend,
                x2 - bend
            );
            svg.add("path", &path);
            let back = x2 - 8.0 * side;
            let points = format!(
                "class=\"order-tip\" points=\"{x2:.1},{y2:.1} {back:.1},{:.1} {back:.1},{:.1}\"",
                y2 - 4.0,
                y2 + 4.0
            );
            svg.add("polygon", &points);
        }
    }

    fn bar(&self, svg: &mut Svg, history: &History, bar: &Bar<'_>) {
        let operation = &bar.operation;
        let top = self.top(bar);
        let left = self.axis.x(operation.invoked_at);
        let end = operation.completed_at.map(|at| self.axis.x(at));
        let outcome = match operation.outcome {
            Some(Outcome::Ok(_)) => "ok",
            Some(Outcome::Fail(_)) => "fail",
            Some(Outcome::Info(_)) | None => "info",
        };
        let marked = match self.marked {
            Some(marked) if marked == operation.id => " marked",
            _ if self.has_witness && !bar.is_proof => " other",
            _ => "",
        };
        svg.open_with_title(&format!("op {outcome}{marked}"), &title(history, operation));
        let y = top + 18.0;
        if operation.is_indeterminate() {
            svg.rect("open", (left, y), (RIGHT - left, BAR));
            svg.words("beyond", (RIGHT + 4.0, y + 11.0), "→?");
        }
        let right = end.unwrap_or(left + 8.0);
        svg.rect("bar", (left, y), ((right - left).max(5.0), BAR));
        let (x, anchor) = label_place(left, &bar.label);
        svg.words(&format!("label {anchor}"), (x, top + 13.0), &bar.label);
        if let Some((class, remark)) = &bar.remark {
            let (x, anchor) = label_place(left, remark);
            svg.words(&format!("remark {class} {anchor}"), (x, y + BAR + 14.0), remark);
        }
        svg.close();
    }

    /// Writes the times of what matters below, as far as there is room.
    fn times(&self, svg: &mut Svg, floor: f64) {
        svg.line("axis", (GUTTER, floor), (RIGHT, floor));
        svg.words("cut-length start", (6.0, floor + 14.0), self.time);
        let mut free = GUTTER - 30.0;
        let pieces = self.axis.pieces();
        let first = pieces.first().map(|piece| (piece.from, piece.left));
        let all = first.into_iter().chain(pieces.iter().map(|piece| (piece.to, piece.right)));
        for (at, x) in all {
            svg.line("axis", (x, floor), (x, floor + 4.0));
            let words = at.to_string();
            let half = words.chars().count() as f64 * 3.2;
            if x - half > free {
                svg.words("time", (x, floor + 14.0), &words);
                free = x + half + 6.0;
            }
        }
    }
}

/// Where a label begins, and to which side it goes: to the left where there is no room on the right.
fn label_place(left: f64, label: &str) -> (f64, &'static str) {
    let width = label.chars().count() as f64 * CHARACTER;
    if left + width <= WIDTH - 6.0 { (left, "start") } else { (WIDTH - 6.0, "end") }
}

/// All about an operation, for a pointer that rests on it.
fn title(history: &History, operation: &Operation<'_>) -> String {
    let Operation { process, session, id, invoked_at, .. } = operation;
    let end = operation.completed_at.map_or_else(String::new, |at| format!(" to {at}"));
    let node = operation.node.map_or_else(String::new, |node| format!(", asked node n{node}"));
    format!(
        "operation {id}: process {process} (session {session}){node}: {} {}, from {invoked_at}{end}",
        short(&asked(history, operation, None), 400),
        short(&learned(history, operation), 400),
    )
}

/// Puts operations into rows of their lanes, so that no label covers another.
fn bars<'a>(
    history: &History,
    anomaly: &Anomaly,
    operations: &[Operation<'a>],
    expectation: &Expectation<'_>,
    (axis, answering): (&Axis, &BTreeMap<OperationId, NodeId>),
) -> Vec<Bar<'a>> {
    let mut bars: Vec<Bar<'a>> = Vec::new();
    // For each row of each lane, where its last label ends.
    let mut taken: Vec<(ProcessId, usize, f64)> = Vec::new();
    for operation in operations {
        let is_proof = anomaly.witness.operations.contains(&operation.id);
        let called = if is_proof { called(operation, anomaly) } else { None };
        let number = called.as_ref().map_or_else(String::new, |called| format!("{called}· "));
        let node = match (operation.node, answering.get(&operation.id).copied()) {
            (None, None) => String::new(),
            (Some(asked), Some(by)) if asked != by => format!(" @n{asked}, answered by n{by}"),
            (_, Some(node)) | (Some(node), None) => format!(" @n{node}"),
        };
        let (asked, learned) =
            (asked(history, operation, anomaly.key.as_ref()), learned(history, operation));
        let tail = short(&format!(" {learned}{node}"), LABEL_MAX * 2 / 3);
        let room = LABEL_MAX - tail.chars().count();
        let label = format!("{number}{}{tail}", short(&asked, room));
        let remark = expectation.remark(history, operation);
        let longest = remark.as_ref().map_or(0, |(_, words)| words.chars().count());
        let width = label.chars().count().max(longest) as f64 * CHARACTER;
        let begin = axis.x(operation.invoked_at);
        let begin = begin.min(WIDTH - 6.0 - width);
        let end = operation.completed_at.map_or(begin, |at| axis.x(at)).max(begin + width) + 8.0;
        let end = if operation.is_indeterminate() { RIGHT } else { end };
        let free = |row: usize| {
            let mut rows =
                taken.iter().filter(|taken| taken.0 == operation.process && taken.1 == row);
            rows.all(|taken| taken.2 <= begin)
        };
        let row = (0..).find(|row| free(*row)).expect("a row that nobody has is free");
        taken.push((operation.process, row, end));
        bars.push(Bar { operation: *operation, is_proof, label, remark, row });
    }
    bars
}

/// The node that answered each operation, where the trace tells: the one that was asked first may have asked another,
/// or sent the client there.
fn answering(trace: Option<&Trace>, operations: &[Operation<'_>]) -> BTreeMap<OperationId, NodeId> {
    let Some(trace) = trace else { return BTreeMap::new() };
    let of = |operation: &Operation<'_>| {
        let end = operation.completed_at.filter(|_| !operation.is_indeterminate())?;
        let node = story::answering(trace, operation.session, operation.invoked_at, end)?;
        Some((operation.id, node))
    };
    operations.iter().filter_map(of).collect()
}

/// How the explanation calls an operation of the witness: by the number of the sentence that introduces it, or
/// by the name that this one gives it, as `T2`.
fn called(operation: &Operation<'_>, anomaly: &Anomaly) -> Option<String> {
    let (process, from) = (operation.process, operation.invoked_at);
    let (process, from) = (format!("process {process} "), format!("(from {from} "));
    anomaly.explanation.iter().enumerate().find_map(|(place, sentence)| {
        let named = sentence.split_once(": ").filter(|(name, _)| {
            name.strip_prefix('T').is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let (name, words) = named.unwrap_or(("", sentence));
        let is_it = words.starts_with(&process) && words.contains(&from);
        let name = || if name.is_empty() { (place + 1).to_string() } else { name.to_owned() };
        is_it.then(name)
    })
}

/// The lanes of the processes, from the first that acts on, and where they end.
fn lanes(bars: &[Bar<'_>], header: f64) -> (Vec<Lane>, f64) {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut top = header;
    for bar in bars {
        let process = bar.operation.process;
        if lanes.iter().any(|lane| lane.process == process) {
            continue;
        }
        let own: Vec<&Bar<'_>> =
            bars.iter().filter(|bar| bar.operation.process == process).collect();
        let rows = own.iter().map(|bar| bar.row + 1).max().unwrap_or(1);
        let mut tops = vec![top];
        for row in 0..rows {
            let has_remark = own.iter().any(|bar| bar.row == row && bar.remark.is_some());
            top += if has_remark { 56.0 } else { 40.0 };
            tops.push(top);
        }
        let session = bar.operation.session;
        let name = if session.0 == process.0 {
            format!("process {process}")
        } else {
            format!("process {process} (s{session})")
        };
        lanes.push(Lane { process, name, tops });
    }
    (lanes, top)
}

/// What was seen, and what had to be, as the checker says.
struct Expectation<'a> {
    contrast: Option<&'a Contrast>,
    /// The operation that could not be explained.
    marked: Option<OperationId>,
    /// How it is called.
    name: String,
}

impl<'a> Expectation<'a> {
    fn of(anomaly: &'a Anomaly, operations: &[Operation<'_>]) -> Expectation<'a> {
        let contrast = anomaly.contrast.as_ref();
        let is_marked = |one: &&Operation<'_>| match contrast {
            Some(contrast) => one.id == contrast.operation,
            // Where nothing else is known, it is the one that returned when the anomaly showed.
            None => {
                let is_proof = anomaly.witness.operations.contains(&one.id);
                is_proof && one.completed_at == Some(anomaly.at) && observed(one).is_some()
            }
        };
        let marked = operations.iter().rfind(is_marked);
        let name = marked.and_then(|marked| called(marked, anomaly));
        let name = name.unwrap_or_else(|| "the one marked".to_owned());
        Expectation { contrast, marked: marked.map(|marked| marked.id), name }
    }

    fn remark(
        &self,
        history: &History,
        operation: &Operation<'_>,
    ) -> Option<(&'static str, String)> {
        if self.marked == Some(operation.id) {
            return Some(("bad", self.wrong(history, operation)?));
        }
        let contrast = self.contrast?;
        let due = match contrast.legal {
            Legal::Once => ("due", "✓ did so first".to_owned()),
            // Which of two replicas is wrong nobody knows.
            Legal::SameAs(_) => ("bad", "✗ another replica differs".to_owned()),
            Legal::InOrderWith(_) | Legal::Both(..) => ("due", "✓ observed".to_owned()),
            _ => ("due", format!("✓ must be seen by {}", self.name)),
        };
        (contrast.due == Some(operation.id)).then_some(due)
    }

    /// What is said of the operation that could not be explained.
    fn wrong(&self, history: &History, operation: &Operation<'_>) -> Option<String> {
        let show = |value: &Value| short(&value_in_short(value), 44);
        let returned = || Some(show(history.value(observed(operation)?)));
        let Some(contrast) = self.contrast else {
            return Some(format!("✗ observed: {}", returned()?));
        };
        let legal = &contrast.legal;
        if let Legal::NoCycle(around) = legal {
            let names: Vec<String> =
                (1..=around.len()).map(|number| format!("T{number}")).collect();
            let circle = short(&format!("{} before T1", names.join(" before ")), 60);
            return Some(format!("✗ would come before itself: {circle}"));
        }
        let seen = match (contrast.observed.as_ref().map(show).or_else(returned), &operation.op) {
            (Some(value), _) => format!("observed: {value}"),
            // That it was done says what the key held.
            (None, Op::Cas { from, .. }) => format!("found: {}", show(history.value(*from))),
            (None, _) if *legal == Legal::Once => "done a second time".to_owned(),
            (None, _) => "done".to_owned(),
        };
        Some(format!("✗ {seen} · legal: {}", legal.words(show)))
    }
}

/// The stretches in which a node took itself for the leader, each with its term.
pub(super) fn leads(
    trace: Option<&Trace>,
    node: NodeId,
) -> impl Iterator<Item = (Time, Time, u64)> {
    let mut found = Vec::new();
    let mut since: Option<(Time, u64)> = None;
    for event in trace.into_iter().flatten().filter(|event| event.place.node() == Some(node)) {
        let now = match &event.what {
            Happening::Role { role: Role::Leader, term } => Some((event.at, *term)),
            Happening::Role { .. } | Happening::Stops { .. } => None,
            _ => continue,
        };
        if let Some((from, term)) = since {
            found.push((from, event.at, term));
        }
        since = now;
    }
    found.extend(since.map(|(from, term)| (from, Time::from_nanos(u64::MAX / 2), term)));
    found.into_iter()
}

/// The moments between two others at which somebody begins or ceases to lead, if they are few: these lie in a picture
/// where they were, and not somewhere in what is cut short.
fn turns(trace: Option<&Trace>, config: &Config, (from, to): (Time, Time)) -> Vec<Time> {
    let nodes = (1..=config.all_nodes()).map(NodeId);
    let all = nodes.flat_map(|node| leads(trace, node)).flat_map(|(begin, end, _)| [begin, end]);
    let turns: Vec<Time> = all.filter(|at| *at > from && *at < to).collect();
    if turns.len() <= TURNS_MAX { turns } else { Vec::new() }
}

/// When each fault began, and when it was undone, if it was.
pub(super) fn faults_of(history: &History) -> Vec<(FaultId, String, String, Time, Option<Time>)> {
    let mut faults: Vec<(FaultId, String, String, Time, Option<Time>)> = Vec::new();
    for (at, event) in history.events() {
        let checkers::history::Event::Fault(event) = event else { continue };
        match event.edge {
            FaultEdge::Begin => {
                faults.push((event.fault, event.kind.clone(), event.what.clone(), at, None));
            }
            FaultEdge::End => {
                let mut open = faults.iter_mut().rev();
                if let Some(fault) = open.find(|fault| fault.0 == event.fault) {
                    fault.4 = Some(at);
                }
            }
        }
    }
    faults
}

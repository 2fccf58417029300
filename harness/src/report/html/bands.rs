//! Faults as bands behind pictures.

use std::collections::BTreeMap;

use checkers::history::{FaultId, History, NodeId, Time};

use super::axis::Axis;
use super::picture::faults_of;
use super::svg::{Svg, short};
use super::words::{hit_in, nodes_in};

/// How wide a character of a name is.
const CHARACTER: f64 = 6.8;
const ROW: f64 = 17.0;
const NAME_MAX: usize = 48;
/// Into how many rows names are put, at most.
const ROWS_MAX: usize = 6;

/// A fault as it is drawn.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) id: FaultId,
    /// What is written above it.
    pub(super) name: String,
    /// What a pointer is told that rests on it.
    pub(super) title: String,
    pub(super) kind: String,
    /// The nodes that it hit, and what it is for each.
    pub(super) hits: BTreeMap<NodeId, String>,
    pub(super) from: Time,
    /// When it was undone; the end of all time where it never was.
    pub(super) to: Time,
}

/// The faults that were on at some moment between two.
pub(super) fn of(history: &History, from: Time, to: Time) -> Vec<Band> {
    let all = faults_of(history).into_iter().map(|(id, kind, what, begin, end)| Band {
        id,
        name: short(&format!("fault {id}: {kind} {what}"), NAME_MAX),
        title: short(&format!("fault {id}: {kind} {what}, from {begin}"), 4 * NAME_MAX),
        hits: nodes_in(&what).into_iter().map(|node| (node, hit_in(&kind, &what, node))).collect(),
        kind,
        from: begin,
        to: end.unwrap_or(Time::from_nanos(u64::MAX / 2)),
    });
    let mut bands: Vec<Band> = all.filter(|band| band.from <= to && band.to >= from).collect();
    bands.sort_by_key(|band| band.from);
    bands
}

impl Band {
    /// Where it begins and ends in a picture.
    pub(super) fn places(&self, axis: &Axis, right: f64) -> (f64, f64) {
        let (_, last) = axis.bounds();
        let end = if self.to > last { right } else { axis.x(self.to) };
        let begin = axis.x(self.from);
        (begin, end.max(begin + 2.0))
    }
}

/// Puts the names of bands into rows above a picture; returns how high they are.
pub(super) fn header(bands: &[Band], axis: &Axis, right: f64) -> f64 {
    let rows = rows(bands, axis, right);
    rows.iter().flatten().map(|row| row + 1).max().unwrap_or(0) as f64 * ROW + 6.0
}

/// The row of each name; none where there is no room for it.
fn rows(bands: &[Band], axis: &Axis, right: f64) -> Vec<Option<usize>> {
    let mut ends = [0.0; ROWS_MAX];
    let row = |band: &Band| {
        let (left, _) = name_place(band, axis, right);
        let row = ends.iter().position(|taken| *taken <= left)?;
        ends[row] = left + width(band) + 10.0;
        Some(row)
    };
    bands.iter().map(row).collect()
}

fn width(band: &Band) -> f64 {
    band.name.chars().count() as f64 * CHARACTER
}

/// Where the name of a band begins, so that it ends within the picture.
fn name_place(band: &Band, axis: &Axis, right: f64) -> (f64, f64) {
    let (left, end) = band.places(axis, right);
    (left.min(right - width(band)), end)
}

/// Draws bands from the top to a floor, with their names above, as far as there is room.
pub(super) fn draw(svg: &mut Svg, bands: &[Band], axis: &Axis, (floor, right): (f64, f64)) {
    let rows = rows(bands, axis, right);
    let below = header(bands, axis, right);
    for (band, row) in bands.iter().zip(rows) {
        let (left, end) = band.places(axis, right);
        let top = row.map_or(below, |row| row as f64 * ROW);
        svg.open_with_title("fault", &band.title);
        svg.rect("band", (left, top), (end - left, floor - top));
        if row.is_some() {
            let name = name_place(band, axis, right).0 + 4.0;
            svg.words("band-name", (name, top + 13.0), &band.name);
        }
        svg.close();
    }
}

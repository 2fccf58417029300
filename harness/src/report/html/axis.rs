//! Where moments lie in a picture.

use checkers::history::Time;

/// How wide a stretch is that is cut short.
const CUT_WIDTH: f64 = 46.0;
/// A stretch in which nothing shown happens is cut short where it is so many times as long as the usual one.
const CUT_FACTOR: u64 = 6;
/// The least width of a stretch between two moments that are not the same.
const LEAST_WIDTH: f64 = 3.0;

/// Moments along a line. Between those that matter time goes on evenly, but where nothing happens for long:
/// there it is cut short, and the picture says by how much.
#[derive(Debug)]
pub(super) struct Axis {
    pieces: Vec<Piece>,
}

/// A stretch of time between two moments that matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) left: f64,
    pub(super) right: f64,
    /// Whether it is cut short.
    pub(super) is_cut: bool,
}

impl Axis {
    /// Lays out moments between two places. Stretches without anything between them are cut where they are long.
    pub(super) fn cut(mut moments: Vec<Time>, left: f64, right: f64) -> Axis {
        moments.sort_unstable();
        moments.dedup();
        if let [only] = moments[..] {
            moments.push(Time::from_nanos(only.as_nanos() + 1));
        }
        let lengths: Vec<u64> =
            moments.windows(2).map(|pair| nanos_between(pair[0], pair[1])).collect();
        let mut sorted = lengths.clone();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(1);
        let is_cut = |length: u64| lengths.len() > 2 && length > usual.saturating_mul(CUT_FACTOR);
        let cuts = lengths.iter().filter(|length| is_cut(**length)).count() as f64;
        let even: u64 = lengths.iter().filter(|length| !is_cut(**length)).sum();
        let least = lengths.len() as f64 * LEAST_WIDTH;
        let scale = (right - left - cuts * CUT_WIDTH - least).max(0.0) / even.max(1) as f64;
        let mut at = left;
        let pieces = moments.windows(2).zip(&lengths).map(|(pair, length)| {
            let is_cut = is_cut(*length);
            let own = if is_cut { CUT_WIDTH } else { *length as f64 * scale };
            let begin = at;
            at += own + LEAST_WIDTH;
            Piece { from: pair[0], to: pair[1], left: begin, right: at, is_cut }
        });
        Axis { pieces: pieces.collect() }
    }

    /// Lays out all time between two moments evenly.
    pub(super) fn even(from: Time, to: Time, left: f64, right: f64) -> Axis {
        let to = to.max(Time::from_nanos(from.as_nanos() + 1));
        Axis { pieces: vec![Piece { from, to, left, right, is_cut: false }] }
    }

    /// Where a moment lies; one outside at the end that is nearer.
    pub(super) fn x(&self, at: Time) -> f64 {
        let Some(first) = self.pieces.first() else { return 0.0 };
        if at <= first.from {
            return first.left;
        }
        let place = self.pieces.partition_point(|piece| piece.to < at);
        let Some(piece) = self.pieces.get(place) else {
            return self.pieces.last().map_or(0.0, |last| last.right);
        };
        let done =
            nanos_between(piece.from, at) as f64 / nanos_between(piece.from, piece.to) as f64;
        piece.left + done * (piece.right - piece.left)
    }

    /// The stretches, in order.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The first and the last moment.
    pub(super) fn bounds(&self) -> (Time, Time) {
        let first = self.pieces.first().map_or(Time::ZERO, |piece| piece.from);
        (first, self.pieces.last().map_or(first, |piece| piece.to))
    }
}

pub(super) fn nanos_between(from: Time, to: Time) -> u64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn moments_keep_their_order_and_the_picture_its_width() {
        let axis = Axis::cut(vec![at(900), at(10), at(20), at(40), at(50), at(50)], 100.0, 500.0);
        let places: Vec<f64> = [10, 15, 20, 40, 50, 900].map(|ms| axis.x(at(ms))).to_vec();
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
        assert_eq!((places[0], places[5].round()), (100.0, 500.0));
        assert_eq!((axis.x(at(0)), axis.x(at(5000)).round()), (100.0, 500.0));
        let cut: Vec<bool> = axis.pieces().iter().map(|piece| piece.is_cut).collect();
        assert_eq!(cut, [false, false, false, true]);
    }

    #[test]
    fn one_moment_and_two_are_axes_too() {
        let axis = Axis::cut(vec![at(5)], 0.0, 10.0);
        assert_eq!((axis.x(at(5)), axis.x(at(6))), (0.0, 10.0));
        let axis = Axis::cut(vec![at(5), at(50_000)], 0.0, 10.0);
        assert_eq!((axis.x(at(5)), axis.x(at(50_000))), (0.0, 10.0));
        assert_eq!(axis.bounds(), (at(5), at(50_000)));
    }
}

//! A whole run over time: how operations ended, how many a second, how long they took, under which faults.

use checkers::Anomaly;
use checkers::history::{History, Outcome, Phase, Time};

use super::axis::Axis;
use super::bands::{self, Band};
use super::svg::Svg;

const WIDTH: f64 = 1160.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 12.0;
/// Into how many parts the time of a run is divided.
const BUCKETS: usize = 108;
/// How many anomalies are marked, at most.
const MARKS_MAX: usize = 400;

/// What began in a part of the time.
#[derive(Clone, Debug, Default)]
struct Bucket {
    ok: u64,
    fail: u64,
    info: u64,
    /// What replicas were asked when all was over, by no client.
    finals: u64,
    /// How long those took that ended `ok`, nanoseconds, in order.
    took: Vec<u64>,
}

impl Bucket {
    fn all(&self) -> u64 {
        self.ok + self.fail + self.info
    }

    /// The time within which so many of 100 ended that ended `ok`.
    fn within(&self, percent: usize) -> Option<u64> {
        let rank = (self.took.len() * percent).div_ceil(100);
        self.took.get(rank.saturating_sub(1)).copied()
    }
}

/// A run, divided into parts of the same length.
pub(super) struct Strip {
    buckets: Vec<Bucket>,
    axis: Axis,
    bands: Vec<Band>,
    end: Time,
}

impl Strip {
    pub(super) fn of(history: &History) -> Strip {
        let end = history.events().last().map_or(Time::ZERO, |(at, _)| at);
        let mut buckets = vec![Bucket::default(); BUCKETS];
        let length = (end.as_nanos() / BUCKETS as u64).max(1);
        let finals = history.phase_began(Phase::Final);
        for operation in history.operations() {
            let place = (operation.invoked_at.as_nanos() / length).min(BUCKETS as u64 - 1);
            let bucket = &mut buckets[place as usize];
            if finals.is_some_and(|(event, _)| operation.invoked >= event) {
                bucket.finals += 1;
                continue;
            }
            match operation.outcome {
                Some(Outcome::Ok(_)) => {
                    bucket.ok += 1;
                    let took = operation.completed_at.map(|at| at.since(operation.invoked_at));
                    bucket.took.extend(took.map(|took| took.as_nanos() as u64));
                }
                Some(Outcome::Fail(_)) => bucket.fail += 1,
                Some(Outcome::Info(_)) | None => bucket.info += 1,
            }
        }
        for bucket in &mut buckets {
            bucket.took.sort_unstable();
        }
        let axis = Axis::even(Time::ZERO, end, LEFT, RIGHT);
        let mut bands = bands::of(history, Time::ZERO, end);
        for band in &mut bands {
            band.name = format!("{} {}", band.id, band.kind);
        }
        Strip { buckets, axis, bands, end }
    }

    /// How operations ended, with the faults and the anomalies.
    pub(super) fn overview<'a>(&self, anomalies: impl Iterator<Item = &'a Anomaly>) -> String {
        let mut svg = Svg::default();
        let top = bands::header(&self.bands, &self.axis, RIGHT) + 12.0;
        let floor = top + 74.0;
        self.under(&mut svg, top, floor);
        let all = |bucket: &Bucket| bucket.all() + bucket.finals;
        let most = self.buckets.iter().map(all).max().unwrap_or(0).max(1);
        for (place, bucket) in self.buckets.iter().enumerate() {
            let (left, right) = (self.left(place), self.left(place + 1));
            let mut y = floor;
            for (class, count) in [
                ("ok", bucket.ok),
                ("fail", bucket.fail),
                ("info", bucket.info),
                ("final", bucket.finals),
            ] {
                let height = count as f64 / most as f64 * (floor - top);
                y -= height;
                if count > 0 {
                    svg.rect(
                        &format!("stack {class}"),
                        (left + 0.5, y),
                        (right - left - 1.0, height),
                    );
                }
            }
        }
        for anomaly in anomalies.take(MARKS_MAX) {
            let x = self.axis.x(anomaly.at);
            let points = format!(
                "class=\"mark\" points=\"{x:.1},{floor:.1} {:.1},{:.1} {:.1},{:.1}\"",
                x - 4.0,
                floor + 8.0,
                x + 4.0,
                floor + 8.0
            );
            svg.add("polygon", &points);
        }
        svg.words("scale", (LEFT - 6.0, top + 8.0), &most.to_string());
        svg.words("scale", (LEFT - 6.0, floor), "0");
        self.times(&mut svg, floor + 8.0);
        svg.finish(
            (WIDTH, floor + 30.0),
            "strip",
            "operations over the whole run, by how they ended",
        )
    }

    /// Operations a second that ended `ok`.
    pub(super) fn throughput(&self) -> String {
        let seconds = self.end.as_nanos() as f64 / 1e9 / BUCKETS as f64;
        let rates: Vec<Option<f64>> =
            self.buckets.iter().map(|bucket| Some(bucket.ok as f64 / seconds.max(1e-9))).collect();
        let most = rates.iter().flatten().fold(1.0_f64, |most, rate| most.max(*rate));
        let scale = |rate: f64| rate / most;
        let marks = [(0.0, "0".to_owned()), (1.0, format!("{most:.0}/s"))];
        self.chart(&[("ok", rates)], &scale, &marks, "operations a second that ended ok")
    }

    /// Of all operations, how many ended `ok`.
    pub(super) fn availability(&self) -> String {
        let share = |bucket: &Bucket| match bucket.all() {
            0 => None,
            all => Some(bucket.ok as f64 / all as f64),
        };
        let shares = self.buckets.iter().map(share).collect();
        let marks = [(0.0, "0 %".to_owned()), (0.5, "50 %".to_owned()), (1.0, "100 %".to_owned())];
        self.chart(&[("ok", shares)], &|share| share, &marks, "operations that ended ok, of all")
    }

    /// How long operations took that ended `ok`: half of them, and 99 of 100, at most.
    pub(super) fn latency(&self) -> String {
        let of = |percent| -> Vec<Option<f64>> {
            let within = self.buckets.iter().map(|bucket| bucket.within(percent));
            within.map(|nanos| nanos.map(|nanos| (nanos.max(1) as f64).log10())).collect()
        };
        let (half, most) = (of(50), of(99));
        let all = || half.iter().chain(&most).flatten();
        let low = all().fold(f64::INFINITY, |low, value| low.min(*value)).floor().min(18.0);
        let high = all().fold(low + 1.0, |high, value| high.max(*value)).ceil();
        let scale = |value: f64| (value - low) / (high - low);
        let decades = (low as i32..=high as i32).map(|decade| {
            (scale(f64::from(decade)), Time::from_nanos(10_u64.pow(decade as u32)).to_string())
        });
        let marks: Vec<(f64, String)> = decades.collect();
        let label = "how long operations took that ended ok, half of them and 99 of 100 at most";
        self.chart(&[("info", most), ("ok", half)], &scale, &marks, label)
    }

    /// Lines over time, one for each row of values; a part without a value interrupts its line.
    fn chart(
        &self,
        rows: &[(&str, Vec<Option<f64>>)],
        scale: &dyn Fn(f64) -> f64,
        marks: &[(f64, String)],
        label: &str,
    ) -> String {
        let (top, floor) = (10.0, 96.0);
        let y = |part: f64| floor - part.clamp(0.0, 1.0) * (floor - top);
        let mut svg = Svg::default();
        self.under_without_names(&mut svg, top, floor);
        for (part, words) in marks {
            svg.line("grid", (LEFT, y(*part)), (RIGHT, y(*part)));
            svg.words("scale", (LEFT - 6.0, y(*part) + 4.0), words);
        }
        for (class, values) in rows {
            for run in
                values.iter().enumerate().collect::<Vec<_>>().split(|(_, value)| value.is_none())
            {
                let points = run.iter().filter_map(|(place, value)| {
                    let middle = f64::midpoint(self.left(*place), self.left(*place + 1));
                    value.map(|value| format!("{middle:.1},{:.1}", y(scale(value))))
                });
                let mut points: Vec<String> = points.collect();
                if points.len() == 1 {
                    // A line to itself is a dot.
                    points.push(points[0].clone());
                }
                if !points.is_empty() {
                    let points = points.join(" ");
                    svg.add("polyline", &format!("class=\"plot {class}\" points=\"{points}\""));
                }
            }
        }
        self.times(&mut svg, floor);
        svg.finish((WIDTH, floor + 22.0), "strip", label)
    }

    fn left(&self, bucket: usize) -> f64 {
        LEFT + (RIGHT - LEFT) * bucket as f64 / BUCKETS as f64
    }

    fn under(&self, svg: &mut Svg, top: f64, floor: f64) {
        bands::draw(svg, &self.bands, &self.axis, (floor, RIGHT));
        svg.line("axis", (LEFT, floor), (RIGHT, floor));
        svg.line("grid", (LEFT, top), (RIGHT, top));
    }

    fn under_without_names(&self, svg: &mut Svg, top: f64, floor: f64) {
        for band in &self.bands {
            let (left, right) = band.places(&self.axis, RIGHT);
            svg.open_with_title("fault", &band.title);
            svg.rect("band", (left, top), (right - left, floor - top));
            svg.close();
        }
        svg.line("axis", (LEFT, floor), (RIGHT, floor));
    }

    fn times(&self, svg: &mut Svg, floor: f64) {
        for part in 0..=8_u64 {
            let at = Time::from_nanos(self.end.as_nanos() / 8 * part);
            let x = self.axis.x(at);
            let class = match part {
                0 => "time start",
                8 => "time end",
                _ => "time",
            };
            svg.words(class, (x, floor + 14.0), &at.to_string());
        }
    }
}

//! What faults do to messages on links that are whole: they lose them, hold them up, and copy them.
//!
//! Each fault decides on every message that is offered to its links, also on one that another fault loses,
//! and from a stream of its own: leaving one fault out changes nothing that another one draws. The first
//! message of all that a fault meets is hit whatever its chance, so that it has made a difference unless
//! nobody said anything.
//!
//! Nothing of a fault is under way when it is over: what it holds up, and copies, arrive by its end. But what
//! [`Fault::Delay`] makes late is late also then.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{FaultId, Time};

use super::network::Link;
use crate::nemesis::Fault;
use crate::seed::{Ratio, Seed, Stream};

/// How often a message arrives at most for one fault that copies it.
const COPIES_MAX: u32 = 3;

/// A fault, as the messages on its links meet it.
#[derive(Debug)]
pub(super) struct Impairment {
    how: How,
    stream: Stream,
    /// When it ends.
    until: Time,
    /// Whether a message has met it.
    met: bool,
}

/// What it does.
#[derive(Debug)]
enum How {
    /// Each message takes longer, by up to so much.
    Delays { longest: Duration },
    /// Some messages do, and the others overtake them.
    Reorders { chance: Ratio, longest: Duration },
    /// Messages wait, and arrive together.
    Holds,
    /// Some messages are lost.
    Loses { chance: Ratio },
    /// Some messages arrive again, up to so much later.
    Copies { chance: Ratio, latest: Duration },
    /// Messages wait until those before them on their link are through.
    Narrows { bytes_a_second: u32, queue_bytes: u32, free_at: BTreeMap<Link, Time> },
}

/// What becomes of a message that is offered to a link that is whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    /// The faults that lose it; none where it passes.
    pub(super) lost_by: Vec<FaultId>,
    /// How much longer than usual it takes.
    pub(super) delay: Duration,
    /// The faults behind that.
    pub(super) late_by: Vec<FaultId>,
    /// How long after it each copy of it arrives, and the fault behind that.
    pub(super) copies: Vec<(Duration, FaultId)>,
}

impl Impairment {
    /// What a fault that ends at `until` does to messages; nothing where it leaves them alone or cuts links.
    pub(super) fn of(fault: Fault, until: Time, salt: u64) -> Option<Impairment> {
        let (how, purpose) = match fault {
            Fault::Delay { longest, .. } => (How::Delays { longest }, "delay"),
            Fault::Reorder { chance, longest, .. } => {
                (How::Reorders { chance, longest }, "reorder")
            }
            Fault::DelaySpike { .. } => (How::Holds, "delay-spike"),
            Fault::Loss { chance, .. } => (How::Loses { chance }, "loss"),
            Fault::Duplicate { chance, latest, .. } => {
                (How::Copies { chance, latest }, "duplicate")
            }
            Fault::Bandwidth { bytes_a_second, queue_bytes, .. } => {
                let free_at = BTreeMap::new();
                (How::Narrows { bytes_a_second, queue_bytes, free_at }, "bandwidth")
            }
            Fault::Partition { .. }
            | Fault::Flap { .. }
            | Fault::Drop { .. }
            | Fault::Crash { .. }
            | Fault::Restart { .. }
            | Fault::ClockJump { .. }
            | Fault::ClockDrift { .. }
            | Fault::ClockStrobe { .. }
            | Fault::Wipe { .. }
            | Fault::Membership { .. }
            | Fault::Pause { .. }
            | Fault::Kill { .. }
            | Fault::Slow { .. }
            | Fault::RollingRestart { .. }
            | Fault::Disk { .. } => return None,
        };
        Some(Impairment { how, stream: Seed(salt).stream(purpose), until, met: false })
    }

    /// Decides on a message of so many bytes.
    pub(super) fn meet(
        &mut self,
        fault: FaultId,
        at: Time,
        link: Link,
        bytes: usize,
        passage: &mut Passage,
    ) {
        let is_first = !std::mem::replace(&mut self.met, true);
        let left = self.until.since(at);
        let stream = &mut self.stream;
        let mut hits = |chance| stream.chance(chance) || is_first;
        let delay = match &mut self.how {
            How::Delays { longest } => up_to(*longest, stream),
            How::Reorders { chance, longest } => {
                if !hits(*chance) {
                    return;
                }
                up_to((*longest).min(left), stream)
            }
            How::Holds => left,
            How::Loses { chance } => {
                if hits(*chance) {
                    passage.lost_by.push(fault);
                }
                return;
            }
            How::Copies { chance, latest } => {
                let mut copies = u32::from(hits(*chance));
                while (1..COPIES_MAX).contains(&copies) && stream.chance(Ratio::new(1, 4)) {
                    copies += 1;
                }
                let latest = (*latest).min(left);
                passage.copies.extend((0..copies).map(|_| (up_to(latest, stream), fault)));
                return;
            }
            How::Narrows { bytes_a_second, queue_bytes, free_at } => {
                let free_at = free_at.entry(link).or_insert(at);
                let Some(through) = queued(at, *free_at, bytes, *bytes_a_second, *queue_bytes)
                else {
                    passage.lost_by.push(fault);
                    return;
                };
                *free_at = through;
                through.since(at).min(left)
            }
        };
        passage.delay += delay;
        passage.late_by.push(fault);
    }
}

/// Draws a time up to `longest`.
fn up_to(longest: Duration, stream: &mut Stream) -> Duration {
    Duration::from_nanos(stream.below(longest.as_nanos() as u64 + 1))
}

/// When a message is through a link that is busy until `free_at`; never where the queue has no room for it.
/// One that finds nobody waiting has room, however long it is.
fn queued(
    at: Time,
    free_at: Time,
    bytes: usize,
    bytes_a_second: u32,
    queue_bytes: u32,
) -> Option<Time> {
    let rate = u128::from(bytes_a_second);
    let waiting = free_at.since(at).as_nanos() * rate / 1_000_000_000;
    let bytes = bytes as u128;
    if waiting > 0 && waiting + bytes > u128::from(queue_bytes) {
        return None;
    }
    let takes = bytes * 1_000_000_000 / rate;
    Some(at.max(free_at) + Duration::from_nanos(u64::try_from(takes).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::Shape;

    const LINK: Link = Link { from: 1, to: 2 };
    const SHAPE: Shape = Shape::Everywhere {};

    const UNTIL: Time = Time::from_millis(2_000);

    fn impairment(fault: Fault) -> Impairment {
        Impairment::of(fault, UNTIL, 7).unwrap()
    }

    /// What becomes of messages of so many bytes, one each millisecond.
    fn meet(impairment: &mut Impairment, messages: u64, bytes: usize) -> Vec<Passage> {
        let each = (0..messages).map(|ms| {
            let mut passage = Passage::default();
            impairment.meet(FaultId(0), Time::from_millis(ms), LINK, bytes, &mut passage);
            passage
        });
        each.collect()
    }

    #[test]
    fn the_first_message_is_hit_whatever_the_chance() {
        let chance = Ratio::new(1, 1_000_000);
        let longest = Duration::from_millis(10);
        let lost = meet(&mut impairment(Fault::Loss { shape: SHAPE, chance }), 100, 8);
        assert_eq!(lost[0].lost_by, [FaultId(0)]);
        assert!(lost[1..].iter().all(|passage| *passage == Passage::default()));
        let reorder = Fault::Reorder { shape: SHAPE, chance, longest };
        assert_eq!(meet(&mut impairment(reorder), 1, 8)[0].late_by, [FaultId(0)]);
        let duplicate = Fault::Duplicate { shape: SHAPE, chance, latest: longest };
        assert!(!meet(&mut impairment(duplicate), 1, 8)[0].copies.is_empty());
    }

    #[test]
    fn as_many_are_lost_as_the_chance_says() {
        let loss = Fault::Loss { shape: SHAPE, chance: Ratio::new(1, 4) };
        let passages = meet(&mut impairment(loss), 10_000, 8);
        let lost = passages.iter().filter(|passage| !passage.lost_by.is_empty()).count();
        assert!((2_300..2_700).contains(&lost), "{lost}");
    }

    #[test]
    fn a_copied_message_arrives_up_to_three_times_more_and_within_its_time() {
        let latest = Duration::from_millis(500);
        let chance = Ratio::new(1, 2);
        let passages =
            meet(&mut impairment(Fault::Duplicate { shape: SHAPE, chance, latest }), 2_000, 8);
        let counts: Vec<usize> = passages.iter().map(|passage| passage.copies.len()).collect();
        for count in 0..=COPIES_MAX as usize {
            assert!(counts.contains(&count), "none has {count} copies");
        }
        let mut copies = passages.iter().flat_map(|passage| &passage.copies);
        assert!(copies.all(|(later, _)| *later <= latest));
        assert!(passages.iter().all(|passage| passage.delay.is_zero()), "originals are on time");
    }

    #[test]
    fn what_is_held_arrives_together() {
        for (ms, passage) in
            (0..).zip(meet(&mut impairment(Fault::DelaySpike { shape: SHAPE }), 50, 8))
        {
            assert_eq!(passage.delay, Duration::from_millis(2_000 - ms));
        }
    }

    #[test]
    fn a_narrow_link_carries_so_many_bytes_a_second_and_loses_what_finds_no_room() {
        let (bytes_a_second, queue_bytes) = (1_000, 50);
        let narrow = Fault::Bandwidth { shape: SHAPE, bytes_a_second, queue_bytes };
        let passages = meet(&mut impairment(narrow), 100, 10);
        let arrivals = (0..).zip(&passages).filter(|(_, passage)| passage.lost_by.is_empty());
        let arrivals: Vec<Time> =
            arrivals.map(|(ms, passage)| Time::from_millis(ms) + passage.delay).collect();
        assert_eq!(arrivals[0], Time::from_millis(10));
        assert!(arrivals.is_sorted_by(|a, b| b.since(*a) >= Duration::from_millis(10)));
        assert!((10..=15).contains(&arrivals.len()), "{}", arrivals.len());
    }

    #[test]
    fn a_message_that_is_longer_than_the_queue_passes_when_nobody_waits() {
        let narrow = Fault::Bandwidth { shape: SHAPE, bytes_a_second: 1_000, queue_bytes: 50 };
        let passages = meet(&mut impairment(narrow), 2, 5_000);
        assert_eq!(passages[0].delay, UNTIL.since_start(), "the link is wide again by then");
        assert_eq!(passages[1].lost_by, [FaultId(0)]);
    }

    #[test]
    fn nothing_of_a_fault_is_under_way_when_it_is_over() {
        let (chance, long) = (Ratio::new(1, 1), Duration::from_secs(60));
        for fault in [
            Fault::Reorder { shape: SHAPE, chance, longest: long },
            Fault::Duplicate { shape: SHAPE, chance, latest: long },
        ] {
            let passages = meet(&mut impairment(fault), 1_000, 8);
            let late = (0..).zip(&passages).flat_map(|(ms, passage)| {
                let copies = passage.copies.iter().map(|(later, _)| *later);
                let delays = std::iter::once(passage.delay).chain(copies);
                delays.map(move |delay| Time::from_millis(ms) + delay)
            });
            let last = late.max().unwrap();
            assert!(last <= UNTIL && last > Time::from_millis(1_900), "{last}");
        }
    }
}

//! Where nodes and clients are, and how long a message takes from one place to another.

use std::cell::RefCell;
use std::time::Duration;

use checkers::history::NodeId;

use crate::seed::Stream;

/// How far regions are from each other. Node *i* is in region *i - 1* modulo their number, and a client
/// where its home is.
#[derive(Debug)]
pub(super) struct Geography {
    /// The time of a message from each region to each, beyond the least that there is.
    beyond: Vec<Vec<Duration>>,
    stream: RefCell<Stream>,
}

impl Geography {
    /// Makes the regions of a run: `one_way_ms` is the time of a message from each to each, and `least`
    /// what any message takes anyway.
    pub(super) fn new(one_way_ms: &[Vec<u32>], least: Duration, stream: Stream) -> Geography {
        let beyond = |ms: &u32| Duration::from_millis((*ms).into()).saturating_sub(least);
        let rows = one_way_ms.iter().map(|row| row.iter().map(beyond).collect());
        Geography { beyond: rows.collect(), stream: RefCell::new(stream) }
    }

    /// Draws how much longer than the least a message takes from where one node is to where another is:
    /// the distance, and up to a tenth more.
    pub(super) fn draw(&self, from: NodeId, to: NodeId) -> Duration {
        let region = |node: NodeId| (node.index() - 1) % self.beyond.len();
        let far = self.beyond[region(from)][region(to)];
        let more = self.stream.borrow_mut().below(far.as_nanos() as u64 / 10 + 1);
        far + Duration::from_nanos(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_message_takes_as_long_as_the_distance_and_a_tenth_more_at_most() {
        let one_way_ms = [vec![1, 30], vec![40, 1]];
        let millis = Duration::from_millis;
        let geography = Geography::new(&one_way_ms, millis(1), Seed(1).stream("geography"));
        let draws = |from, to| -> Vec<Duration> {
            (0..200).map(|_| geography.draw(NodeId(from), NodeId(to))).collect()
        };
        assert_eq!(draws(1, 3), vec![Duration::ZERO; 200], "both are in the first region");
        let out = draws(1, 2);
        assert!(out.iter().all(|time| (millis(29)..=millis(32)).contains(time)), "{out:?}");
        assert!(out.iter().any(|time| *time > millis(30)));
        let back = draws(4, 1);
        assert!(back.iter().all(|time| (millis(39)..=millis(43)).contains(time)), "{back:?}");
    }
}

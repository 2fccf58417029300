//! A register of which the later write wins, and the earlier one is lost (Shapiro et al. 2011,
//! section 3.2.1).

use serde::{Deserialize, Serialize};

use super::{Actor, Merge};

/// The place of a write in the one order of all writes. No two writes share a stamp.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Stamp {
    /// A hybrid logical time: what a wall clock showed, in nanoseconds since 1970, or one more than
    /// the latest that was known.
    pub time: u64,
    /// Who wrote: of two writes of one time it decides.
    pub actor: Option<Actor>,
}

/// A clock that is never behind what it has seen, and as near to the wall clock as that allows
/// (Kulkarni et al., "Logical Physical Clocks", 2014): what is written by one who knows of another
/// write is later than that, whatever the wall clocks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    latest: u64,
}

impl Clock {
    /// Takes note of a stamp that somebody issued.
    pub fn see(&mut self, stamp: Stamp) {
        self.latest = self.latest.max(stamp.time);
    }

    /// Issues a stamp that is later than everything seen, and not before `wall`.
    pub fn issue(&mut self, actor: Actor, wall: u64) -> Stamp {
        self.latest = self.latest.saturating_add(1).max(wall);
        Stamp { time: self.latest, actor: Some(actor) }
    }
}

impl Merge for Clock {
    fn merge(&mut self, other: &Clock) {
        self.latest = self.latest.max(other.latest);
    }
}

/// See the module. The default is what a key holds that was never written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    stamp: Stamp,
    #[serde(with = "serde_bytes")]
    value: Option<Vec<u8>>,
}

impl Register {
    /// What one write leaves; `None` makes the key absent.
    pub fn written(stamp: Stamp, value: Option<Vec<u8>>) -> Register {
        Register { stamp, value }
    }

    /// When it was written.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What it holds; `None` where the key is absent.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

impl Merge for Register {
    fn merge(&mut self, other: &Register) {
        if other.stamp > self.stamp {
            self.clone_from(other);
        }
    }
}

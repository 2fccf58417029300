//! What a history says beyond verdicts: how old its reads were, which acknowledged writes it lost and
//! how long recovery took, what each replica held at the end, and when they had converged.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checker::convergent::{converged_at, digests};
use crate::checker::durable::{Losses, losses};
use crate::checker::staleness::{self, Staleness};
use crate::history::{History, NodeId, Phase, Time};

/// All that is known beyond verdicts. What the history does not show is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How old reads were.
    pub staleness: Option<Staleness>,
    /// The acknowledged writes that were lost; none if none is known to be.
    pub losses: Option<Losses>,
    /// How the replicas ended; none if nobody read them at the end.
    pub convergence: Option<Convergence>,
}

/// How the replicas ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convergence {
    /// How long after the run had become quiet (the faults undone, where there were any) all replicas
    /// were known to hold what they hold at the end, nanoseconds: an upper bound. None where they do
    /// not hold the same.
    #[serde(rename = "after_ns", with = "nanos_if_any")]
    pub after: Option<Duration>,
    /// How long clients went on writing in that time, nanoseconds; none where they did not.
    #[serde(
        default,
        rename = "written_ns",
        with = "nanos_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub written: Option<Duration>,
    /// A digest of what each replica held at the end. Replicas with equal ones hold the same.
    pub digests: BTreeMap<NodeId, String>,
}

impl Facts {
    /// What the history says.
    pub fn of(history: &History) -> Facts {
        let digests = digests(history);
        let quiet = history.phase_began(Phase::Liveness).or(history.phase_began(Phase::Final));
        let after = converged_at(history).zip(quiet).map(|(at, (_, quiet))| at.since(quiet));
        let written = after.zip(quiet).and_then(|(after, (_, quiet))| {
            let changes = history.operations().filter(|one| one.op.kind().writes() && one.is_ok());
            let last = changes.filter_map(|one| one.completed_at).max()?;
            (last > quiet).then(|| last.since(quiet).min(after))
        });
        Facts {
            staleness: staleness::facts(history),
            losses: losses(history),
            convergence: (!digests.is_empty()).then_some(Convergence { after, written, digests }),
        }
    }
}

/// A line for each thing that is known.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(staleness) = &self.staleness {
            writeln!(f, "{staleness}")?;
        }
        if let Some(losses) = &self.losses {
            writeln!(f, "{losses}")?;
        }
        if let Some(convergence) = &self.convergence {
            writeln!(f, "{convergence}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stale == 0 {
            return write!(f, "none of {} reads was stale", self.reads);
        }
        write!(
            f,
            "{} of {} reads were stale, by up to {} version{} and {} (99 of 100 by at most {} and {})",
            self.stale,
            self.reads,
            self.versions_max,
            if self.versions_max == 1 { "" } else { "s" },
            seconds(self.time_max),
            self.versions_p99,
            seconds(self.time_p99),
        )
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acknowledged writes lost: {}, acknowledged ", self.writes.len())?;
        if self.first == self.last {
            write!(f, "at {}", self.first)?;
        } else {
            write!(f, "from {} to {}", self.first, self.last)?;
        }
        if self.spells > 1 {
            write!(f, " in {} spells between faults", self.spells)?;
        }
        if let Some(at) = self.lost_at {
            let which = if self.spells > 1 { "the last of them" } else { "it" };
            write!(f, ", the fault behind {which} began at {at}")?;
        }
        let point = seconds(self.recovery_point);
        match (self.lost_at, self.spells) {
            (Some(_), 1) => write!(f, "; recovery point {point}")?,
            // That nothing is known of how long it was must not read as if it were nothing.
            (None, _) if self.recovery_point.is_zero() => {
                write!(f, ", nobody knows when it was lost; recovery point not known")?;
            }
            _ => write!(f, "; recovery point at least {point}")?,
        }
        match self.recovery_time {
            Some(time) => write!(f, ", recovery time {}", seconds(time)),
            None => write!(f, ", no recovery that could be timed"),
        }
    }
}

impl fmt::Display for Convergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(after) => {
                write!(f, "converged {} after quiet began, at the latest", seconds(after))?;
                if let Some(written) = self.written {
                    write!(f, "; clients went on writing for {} of it", seconds(written))?;
                }
            }
            None => write!(f, "not known to have converged")?,
        }
        let mut separator = "; digests ";
        for (node, digest) in &self.digests {
            write!(f, "{separator}n{node} {digest}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// A length of time as reports show moments: `1.204 s`.
pub(crate) fn seconds(time: Duration) -> String {
    (Time::ZERO + time).to_string()
}

/// Lengths of time as whole nanoseconds.
pub(crate) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

/// Lengths of time that may be missing, as whole nanoseconds or null.
pub(crate) mod nanos_if_any {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::nanos::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_nanos))
    }
}

//! What no fault may be: schedules and plans are read from files that anybody may have written.

use std::time::Duration;

use super::{Change, Defect, Fault, Rate, Shape, Target};
use crate::seed::Ratio;

/// The most that a fault may delay a message by, or wait between two things that it does.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// The longest that a fault may keep a node busy with one message, as long as a plan may, or with one sync: what is under
/// way when the fault ends goes on for so long.
const COST_MAX: Duration = Duration::from_secs(1);
/// The shortest time for which a link that flaps is cut, and then whole.
const FLAP_MIN: Duration = Duration::from_millis(1);
/// How far a clock jumps at most: a hundred years. Time is counted in nanoseconds, of which 64 bits hold five hundred.
const JUMP_MS_MAX: u64 = 100 * 365 * 24 * 3_600_000;
/// The shortest time for which a clock that jumps to and fro is wrong, and then right.
const STROBE_MIN: Duration = Duration::from_millis(1);
/// The narrowest that a link may be.
const BYTES_A_SECOND_MIN: u32 = 100;
/// The most that may wait for a link.
const QUEUE_BYTES_MAX: u32 = 1 << 24;
/// The greatest number in a defect of a disk.
const NUMBER_MAX: u32 = 1000;

/// Why no run has a fault, if so: what it does in words that follow its number, and what is possible.
pub(super) fn refusal(fault: &Fault) -> Option<String> {
    match *fault {
        Fault::Delay { longest, .. } => too_long("delays by up to", longest, WAIT_MAX),
        Fault::Reorder { chance, longest, .. } => {
            no_share(chance).or(too_long("delays by up to", longest, WAIT_MAX))
        }
        Fault::Duplicate { chance, latest, .. } => {
            no_share(chance).or(too_long("delays by up to", latest, WAIT_MAX))
        }
        Fault::Loss { chance, .. } => no_share(chance),
        Fault::Drop { message } => message.refusal(),
        Fault::Flap { every, .. } => (every < FLAP_MIN)
            .then(|| format!("flaps every {every:?}, and {FLAP_MIN:?} is the least")),
        Fault::Bandwidth { bytes_a_second, queue_bytes, .. } => {
            let narrow = bytes_a_second < BYTES_A_SECOND_MIN;
            (narrow || queue_bytes > QUEUE_BYTES_MAX).then(|| {
                format!(
                    "carries {bytes_a_second} bytes a second with room for {queue_bytes} to wait, and \
                     {BYTES_A_SECOND_MIN} is the least, {QUEUE_BYTES_MAX} the most"
                )
            })
        }
        Fault::ClockJump { by_ms, .. } | Fault::ClockStrobe { by_ms, .. } => {
            match by_ms.unsigned_abs() {
                0 => Some(
                    "lets clocks jump by 0 ms, and that is no jump; such as by_ms = 500".to_owned(),
                ),
                1..=JUMP_MS_MAX => None,
                _ => Some(format!(
                    "lets clocks jump by {by_ms} ms, and {JUMP_MS_MAX} ms, a hundred years, are the most"
                )),
            }
        }
        Fault::ClockDrift { rate, .. } if rate.counts == rate.of && rate.is_possible() => {
            Some(format!("lets clocks run at {rate}, and that is the right rate"))
        }
        Fault::ClockDrift { rate, .. } => (!rate.is_possible()).then(|| {
            let most = Rate::MAX;
            format!("lets clocks run at {rate}, and both numbers have to lie within 1 to {most}")
        }),
        Fault::Slow { cost, .. } => too_long("keeps nodes busy for", cost, COST_MAX),
        Fault::RollingRestart { down, apart } => too_long("waits for", down.max(apart), WAIT_MAX),
        Fault::Disk { defect, .. } => refusal_of_defect(defect),
        Fault::Partition { .. }
        | Fault::DelaySpike { .. }
        | Fault::Crash { .. }
        | Fault::Restart { .. }
        | Fault::Wipe { .. }
        | Fault::Membership { .. }
        | Fault::Pause { .. }
        | Fault::Kill { .. } => None,
    }
}

fn refusal_of_defect(defect: Defect) -> Option<String> {
    let no_number = |what: &str, number: u32| {
        let says = format!("{what} {number}, which has to lie within 1 to {NUMBER_MAX}");
        (!(1..=NUMBER_MAX).contains(&number)).then_some(says)
    };
    match defect {
        Defect::Slow { longest } => too_long("makes syncs take up to", longest, COST_MAX),
        Defect::Error { one_of } => no_number("lets one operation of a disk fail of", one_of),
        Defect::BitFlip { bits } => no_number("flips as many bits as", bits),
        Defect::Full | Defect::SyncFail | Defect::LostWrites | Defect::Rollback => None,
    }
}

/// Why a fault that a plan names would do nothing, or nothing like what it is called, if so: in words that follow its name,
/// and what would have worked. Schedules that are stored may have such faults, and what comes of them is told then.
pub(super) fn idleness(fault: &Fault) -> Option<String> {
    match *fault {
        Fault::Delay { shape, longest } => no_others(shape).or(no_delay(longest)),
        Fault::Reorder { shape, chance, longest } => {
            no_others(shape).or(no_chance(chance)).or(no_delay(longest))
        }
        Fault::Loss { shape, chance } | Fault::Duplicate { shape, chance, .. } => {
            no_others(shape).or(no_chance(chance))
        }
        Fault::Partition { shape }
        | Fault::DelaySpike { shape }
        | Fault::Flap { shape, .. }
        | Fault::Bandwidth { shape, .. } => no_others(shape),
        Fault::ClockStrobe { every, .. } => (every < STROBE_MIN).then(|| {
            format!(
                "lets clocks jump every {every:?}, and {STROBE_MIN:?} is the least; such as every = \"100ms\""
            )
        }),
        Fault::Slow { cost, .. } => cost.is_zero().then(|| {
            "keeps nodes busy for no time with each message; such as cost = \"5ms\"".to_owned()
        }),
        Fault::Membership { change: Change::Remove { target } | Change::Replace { target } } => {
            is_group(target).then(|| {
                "names a group, and members go one at a time; such as target = \"leader\", \"follower\", \"one\" or \
                 { node = 2 }"
                    .to_owned()
            })
        }
        Fault::Disk { defect: Defect::Slow { longest }, .. } => longest.is_zero().then(|| {
            "makes syncs take no longer; such as defect = { slow = { longest = \"50ms\" } }".to_owned()
        }),
        Fault::Drop { .. }
        | Fault::Crash { .. }
        | Fault::Restart { .. }
        | Fault::ClockJump { .. }
        | Fault::ClockDrift { .. }
        | Fault::Wipe { .. }
        | Fault::Membership { change: Change::Add }
        | Fault::Pause { .. }
        | Fault::Kill { .. }
        | Fault::RollingRestart { .. }
        | Fault::Disk { .. } => None,
    }
}

/// Whether it may stand for several nodes.
fn is_group(target: Target) -> bool {
    match target {
        Target::Minority | Target::LeaderWithMinority | Target::Majority | Target::All => true,
        Target::Node(_) | Target::One | Target::Leader | Target::Follower => false,
    }
}

fn no_others(shape: Shape) -> Option<String> {
    match shape {
        Shape::Isolate { target: Target::All }
        | Shape::Mute { target: Target::All }
        | Shape::Deaf { target: Target::All } => Some(
            "is about links between all nodes and the others, and there are no others; such as target = \"majority\""
                .to_owned(),
        ),
        _ => None,
    }
}

fn no_delay(longest: Duration) -> Option<String> {
    longest.is_zero().then(|| "delays by nothing at all; such as longest = \"100ms\"".to_owned())
}

fn no_chance(chance: Ratio) -> Option<String> {
    let (times, _) = chance.parts();
    (times == 0).then(|| {
        format!("hits {chance} of the messages, and that is none of them; such as chance = \"1/3\"")
    })
}

fn too_long(what: &str, time: Duration, most: Duration) -> Option<String> {
    (time > most).then(|| format!("{what} {time:?}, and {most:?} is the most"))
}

fn no_share(chance: Ratio) -> Option<String> {
    let says = format!("hits {chance} of the messages, and that is no share of them");
    (!chance.is_possible()).then_some(says)
}

//! What the nemeses that meddle with messages have in common: links, chances, and what no fault may be.

use std::time::Duration;

use super::{Fault, Scope, Shape, Target};
use crate::seed::{Ratio, Stream};

/// From what a good network does on a bad day to what hardly deserves the name, each about twice the one
/// before.
const CHANCES: [Ratio; 7] = [
    Ratio::new(1, 50),
    Ratio::new(1, 25),
    Ratio::new(1, 12),
    Ratio::new(1, 6),
    Ratio::new(1, 3),
    Ratio::new(3, 5),
    Ratio::new(9, 10),
];
/// The most that a fault may delay a message by.
const DELAY_MAX: Duration = Duration::from_secs(3600);
/// The shortest time for which a link that flaps is cut, and then whole.
const FLAP_MIN: Duration = Duration::from_millis(1);
/// The narrowest that a link may be.
const BYTES_A_SECOND_MIN: u32 = 100;
/// The most that may wait for a link.
const QUEUE_BYTES_MAX: u32 = 1 << 24;

/// Draws how likely something is.
pub(super) fn chance(stream: &mut Stream) -> Ratio {
    *stream.pick(&CHANCES).expect("there are chances")
}

/// Draws links: some between nodes, or all there are, also those with clients.
pub(super) fn links(stream: &mut Stream, scope: &Scope) -> Shape {
    let targets = [Target::One, Target::Leader, Target::Minority];
    let target = *stream.pick(&targets).expect("there are targets");
    let shapes = [
        Shape::Everywhere,
        Shape::Everywhere,
        Shape::Isolate { target },
        Shape::Mute { target },
        Shape::Deaf { target },
        Shape::Halves,
    ];
    // One node alone has links with clients only.
    let possible = if scope.nodes == 1 { 1 } else { shapes.len() };
    *stream.pick(&shapes[..possible]).expect("there are shapes")
}

/// Draws how long a fault lasts, in proportion to a failover: from a hiccup to what a next leader meets, too.
pub(super) fn lasts(stream: &mut Stream, scope: &Scope) -> Duration {
    let failover = scope.failover.as_millis() as u64;
    Duration::from_millis(stream.between(failover / 4, failover * 2))
}

/// Why no run has a fault, if so: what it does in words that follow its number, and what is possible.
pub(super) fn refusal(fault: &Fault) -> Option<String> {
    let too_late = |by: Duration| {
        let says = format!("delays by up to {by:?}, and {DELAY_MAX:?} is the most");
        (by > DELAY_MAX).then_some(says)
    };
    let no_chance = |chance: Ratio| {
        let says = format!("hits {chance} of the messages, and that is no share of them");
        (!chance.is_possible()).then_some(says)
    };
    match fault {
        Fault::Delay { longest, .. } => too_late(*longest),
        Fault::Reorder { chance, longest, .. } => no_chance(*chance).or(too_late(*longest)),
        Fault::Duplicate { chance, latest, .. } => no_chance(*chance).or(too_late(*latest)),
        Fault::Loss { chance, .. } => no_chance(*chance),
        Fault::Drop { message } => message.refusal(),
        Fault::Flap { every, .. } => (*every < FLAP_MIN)
            .then(|| format!("flaps every {every:?}, and {FLAP_MIN:?} is the least")),
        Fault::Bandwidth { bytes_a_second, queue_bytes, .. } => {
            let narrow = *bytes_a_second < BYTES_A_SECOND_MIN;
            (narrow || *queue_bytes > QUEUE_BYTES_MAX).then(|| {
                format!(
                    "carries {bytes_a_second} bytes a second with room for {queue_bytes} to wait, and \
                     {BYTES_A_SECOND_MIN} is the least, {QUEUE_BYTES_MAX} the most"
                )
            })
        }
        Fault::Partition { .. }
        | Fault::DelaySpike { .. }
        | Fault::Crash { .. }
        | Fault::Restart { .. }
        | Fault::ClockJump { .. }
        | Fault::ClockDrift { .. }
        | Fault::ClockStrobe { .. }
        | Fault::Wipe { .. }
        | Fault::Membership { .. } => None,
    }
}

//! What the nemeses that meddle with messages have in common: links, chances and times.

use std::time::Duration;

use super::{Scope, Shape, Target};
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

/// Draws how likely something is.
pub(super) fn chance(stream: &mut Stream) -> Ratio {
    *stream.pick(&CHANCES).expect("there are chances")
}

/// Draws links: some between nodes, or all there are, also those with clients.
pub(super) fn links(stream: &mut Stream, scope: &Scope) -> Shape {
    let targets = [Target::One, Target::Leader, Target::Minority];
    let target = *stream.pick(&targets).expect("there are targets");
    let shapes = [
        Shape::Everywhere {},
        Shape::Everywhere {},
        Shape::Isolate { target },
        Shape::Mute { target },
        Shape::Deaf { target },
        Shape::Halves {},
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

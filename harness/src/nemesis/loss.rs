//! Loses messages: a few in a hundred, or most of them.

use std::time::Duration;

use super::{Fault, Nemesis, Scope, traffic};
use crate::seed::Stream;

/// See the module.
pub(super) struct Loss;

impl Nemesis for Loss {
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration) {
        let shape = traffic::links(stream, scope);
        let chance = traffic::chance(stream);
        (Fault::Loss { shape, chance }, traffic::lasts(stream, scope))
    }
}

//! Regions that have lost everything, and come back as another one of the same place.
//!
//! A region of one node has its changes on one disk. When that is lost, the region gets back what the
//! others have ([`super::restore`]), which need not be all that it has acknowledged. Three rules keep what
//! it had said before from being mixed up with what it says then.
//!
//! **It numbers its changes anew, under another name.** Change 7 of region 1 is under way to region 3.
//! Region 1 loses its disk, gets the changes up to 6 from region 2, and numbers another change 7: region 3
//! takes the old one, takes the new one for the same, and never has it. So each life of a region is an
//! [`Actor`] of its own, its *incarnation*: the one that the cluster began with has the number of the
//! region, and each later one the number of its disk as well, which is drawn from so many that no two
//! losses, one right after the other or not, give the same. Nobody has to be asked for it, so nobody can
//! be missing who knew of a higher one.
//!
//! **Nobody listens to a lost one.** Region 3 has forgotten that something was deleted, because every
//! region had the deletion and nothing older was under way; then a message of the lost region 1 comes
//! late, with an older write of the same key, and what was deleted is back in one region and not in the
//! others. So each region takes note of a loss in its log, and from then on takes nothing more from the
//! one that is lost. What that one had said to somebody who had not heard of the loss yet travels on from
//! there, and stays. The note goes where the changes go: it is one more [`Dot`] among the changes that are
//! applied, so that whoever is known to have applied something is known to have had the note, or not.
//! Something is forgotten only when everyone has noted every loss, and everything of a lost one that
//! anybody had by then has arrived ([`super::state`]).
//!
//! **What the lost one had, the next one need not have.** Region 3 keeps a change until regions 1 and 2
//! have it; region 1 had it, so it is kept no longer, and region 1 loses its disk. So what is known of a
//! region is known of one incarnation ([`super::table`]), and of the next one nothing is known at first.

use crate::merge::{Actor, Dot, VersionVector};

/// Below the number of the disk, an actor has that of its region in so many bits.
const REGION_BITS: u32 = 32;
/// What is applied of such an actor is that another one is lost.
const LOSS: u128 = 1 << 127;

/// The incarnation of a region whose disk has this number; 0 for the one that the cluster began with.
pub fn incarnation(region: Actor, disk: u64) -> Actor {
    Actor(u128::from(disk) << REGION_BITS | region.0)
}

/// The region that an incarnation is one of.
pub fn region_of(actor: Actor) -> Actor {
    Actor(actor.0 & ((1 << REGION_BITS) - 1))
}

/// Whether an incarnation is not the one that the cluster began with.
pub(super) fn is_later(actor: Actor) -> bool {
    actor != region_of(actor)
}

/// What a region applies that takes note of a loss.
pub(super) fn loss_of(actor: Actor) -> Dot {
    Dot { actor: Actor(actor.0 | LOSS), number: 1 }
}

/// The incarnation whose loss was noted by this; nothing where it is a change.
pub(super) fn lost_by(dot: Dot) -> Option<Actor> {
    (dot.actor.0 & LOSS != 0).then_some(Actor(dot.actor.0 & !LOSS))
}

/// The losses that were noted.
pub(super) fn losses(known: &VersionVector) -> impl Iterator<Item = Actor> + '_ {
    known.iter().filter_map(lost_by)
}

/// Whether an incarnation is known to be lost.
pub(super) fn is_lost(actor: Actor, known: &VersionVector) -> bool {
    known.has(loss_of(actor))
}

//! States that replicas change on their own and put together again, whatever the order.
//!
//! Each type here is a join semilattice: states only grow, and [`Merge::merge`] makes of two states
//! the least one that contains both (Shapiro, Preguiça, Baquero and Zawirski, "A comprehensive study
//! of Convergent and Commutative Replicated Data Types", 2011, section 2). It does not matter which
//! of two is merged into the other, in which order states arrive, or how often: replicas that have
//! taken in the same changes hold the same. Pure values without a network; the protocols carry them.

mod counter;
mod dotted;
mod register;
mod set;
mod siblings;
mod version_vector;

pub use counter::Counter;
pub use dotted::Dotted;
pub use register::{Clock, Register, Stamp};
pub use set::Set;
pub use siblings::Siblings;
pub use version_vector::{Actor, Dot, VersionVector};

/// A state that can take in what others did.
pub trait Merge {
    /// Takes in everything that `other` contains.
    fn merge(&mut self, other: &Self);
}

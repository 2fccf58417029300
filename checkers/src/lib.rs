//! Judges histories of replicated stores. Pure: no clock and no I/O but its readers and writers; what
//! it says does not depend on how many cores it has.
//!
//! Start with [`history`]: what clients asked and what they learned. A [`checker`] reads one and
//! returns a [`verdict`]; the linearizability checker is parameterised by a [`model`]. What a history
//! says beyond verdicts is in its [`facts`].

pub mod brief;
pub mod checker;
pub mod facts;
pub mod history;
pub mod model;
#[cfg(feature = "stateright")]
pub mod stateright;
pub mod verdict;

pub use facts::Facts;
pub use history::History;
pub use verdict::{Anomaly, Contrast, Coverage, Guarantee, Legal, Verdict, Witness};

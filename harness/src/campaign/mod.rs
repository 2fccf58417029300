//! Campaigns: many seeds over several plans, on all cores, and what came of them.
//!
//! [`Campaign`] runs; [`Findings`] is what it found, among it one [`Row`] for each plan.
//!
//! [`in_test`] says how a crate of your own tests its system with one.

mod complaint;
mod findings;
pub mod guarantees;
pub mod in_test;
mod matrix;
mod runner;
mod so_far;

pub use findings::{
    Broken, Divergence, Ending, Findings, Inconclusive, Notable, OwnError, Stopped, Totals,
};
pub(crate) use matrix::sentence_of;
pub use matrix::{AnomalyCount, Cell, Named, Row, Standing, Witnessed};
pub(crate) use runner::words_of;
pub use runner::{Campaign, Entry, Progress};
pub use so_far::{SoFar, SoFarError};

//! Campaigns: many seeds over several plans, on all cores, and what came of them.
//!
//! [`Campaign`] runs; [`Findings`] is what it found, among it one [`Row`] for each plan.
//!
//! As a test of a system of your own:
//!
//! ```no_run
//! use std::sync::Arc;
//! use stormglass::campaign::Campaign;
//! # fn my_system() -> Arc<dyn stormglass::system::System> { unimplemented!() }
//!
//! Campaign::new(my_system()).seeds(0..200).run().assert_valid();
//! ```

mod findings;
pub mod guarantees;
mod matrix;
mod runner;

pub use findings::{
    Broken, Divergence, Ending, Findings, Inconclusive, Notable, OwnError, Stopped, Totals,
};
pub(crate) use matrix::sentence_of;
pub use matrix::{AnomalyCount, Cell, Row, Standing, Witnessed};
pub use runner::{Campaign, Entry, Progress};

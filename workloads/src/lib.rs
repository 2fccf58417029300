//! What clients do to a store under test, and which checkers judge it.
//!
//! Adding a workload is one file in `workload/` and one line in [`WORKLOADS`].

mod draw;
pub mod workload;

pub use workload::{Generator, Options, Registration, Share, Skew, WORKLOADS, Workload};

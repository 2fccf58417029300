//! Deterministic fault injection for replicated stores.
//!
//! Start with [`run`]: one seed, from start to verdict. A [`plan`] and a [`seed`] decide the
//! [`config`] and the [`nemesis`] schedule of a run; [`sim`] is the world in which the nodes and
//! clients of a [`system`] live. A [`campaign`] is many runs; [`store`] keeps those worth looking at
//! and [`report`] shows them to people.

mod available;
pub mod budget;
pub mod campaign;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod corpus;
mod director;
pub mod doctor;
pub mod document;
pub mod engine;
pub mod external;
mod isolated;
pub mod journal;
mod json;
pub mod load;
pub mod mesh;
pub mod nemesis;
pub mod plan;
mod play;
pub mod prelude;
mod real;
mod record;
pub mod report;
pub mod rhythm;
mod round;
pub mod run;
pub mod seed;
pub mod shrink;
pub mod sim;
pub mod store;
pub mod story;
mod swarm;
pub mod system;
pub mod tape;
pub mod trace;
pub mod tradeoffs;
pub mod triage;
pub mod why;
mod written;

pub use campaign::Campaign;

/// What histories and verdicts are made of; a system of your own answers in these words.
pub use checkers;

/// The example of the README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

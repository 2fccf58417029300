//! Deterministic fault injection for replicated stores.
//!
//! Start with [`run`]: one seed, from start to verdict. A [`plan`] and a [`seed`] decide the
//! [`config`] and the [`nemesis`] schedule of a run; [`sim`] is the world in which the nodes and
//! clients of a [`system`] live.

pub mod cli;
pub mod config;
mod director;
pub mod nemesis;
pub mod plan;
mod play;
mod record;
pub mod run;
pub mod seed;
pub mod sim;
pub mod system;
pub mod trace;

//! Tests of the harness: against systems whose every step is known, through the command line, and
//! of the shape of the workspace itself.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod campaign;
mod check;
mod cli;
mod clocks;
mod conformance;
mod disks;
mod engines;
mod external;
mod in_test;
mod membership;
mod processes;
mod restore;
mod scripts;
mod shape;
mod shrink;
mod siblings;
mod swarm;
mod systems;
mod tradeoffs;
mod traffic;
mod waivers;
mod world;

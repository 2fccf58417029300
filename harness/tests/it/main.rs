//! Tests of the harness: against systems whose every step is known, through the command line, and
//! of the shape of the workspace itself.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod browser;
mod budget;
mod campaign;
mod check;
mod cli;
mod clocks;
mod conformance;
mod corpus;
mod disks;
mod engines;
mod exports;
mod external;
mod html;
mod in_test;
mod isolated;
mod keeping;
mod large;
mod load;
mod membership;
mod mesh;
mod plans;
mod processes;
mod real;
mod restore;
mod scripts;
mod shape;
mod show;
mod shrink;
mod siblings;
mod story;
mod swarm;
mod systems;
mod tails;
mod tradeoffs;
mod traffic;
mod triage;
mod waivers;
mod world;

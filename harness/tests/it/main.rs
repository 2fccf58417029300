//! Tests of the harness: against systems whose every step is known, through the command line, and
//! of the shape of the workspace itself.

mod campaign;
mod cli;
mod shape;
mod systems;
mod world;

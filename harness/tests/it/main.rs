//! Tests of the harness against systems whose every step is known.

mod systems;
mod world;

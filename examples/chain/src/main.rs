//! The whole command line of Stormglass for this store: `cargo run -- campaign`.

use std::process::ExitCode;

use chain::Chain;
use stormglass::system::Registration;

static SYSTEMS: &[Registration] = &[
    Registration { name: "chain", build: || Box::new(Chain::AnswersWhenLastHasIt) },
    Registration { name: "chain-mistaken", build: || Box::new(Chain::AnswersAtOnce) },
];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

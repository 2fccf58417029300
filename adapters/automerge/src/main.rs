//! The whole command line of Stormglass for this store.

use std::process::ExitCode;

use automerge_kv::AutomergeKv;
use stormglass::system::Registration;

static SYSTEMS: &[Registration] =
    &[Registration { name: "automerge", build: || Box::new(AutomergeKv::default()) }];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

//! The whole command line of Stormglass for this store.

use std::process::ExitCode;

use omnipaxos_kv::OmniPaxosKv;
use stormglass::system::Registration;

static SYSTEMS: &[Registration] =
    &[Registration { name: "omnipaxos", build: || Box::new(OmniPaxosKv::default()) }];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

//! The whole command line of Stormglass for this store.

use std::process::ExitCode;

use openraft_kv::OpenRaftKv;
use stormglass::system::Registration;

static SYSTEMS: &[Registration] =
    &[Registration { name: "openraft", build: || Box::new(OpenRaftKv::default()) }];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

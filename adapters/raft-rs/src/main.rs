//! The whole command line of Stormglass for this store.

use std::process::ExitCode;

use raft_rs_kv::RaftRsKv;
use stormglass::system::Registration;

static SYSTEMS: &[Registration] =
    &[Registration { name: "raft-rs", build: || Box::new(RaftRsKv::default()) }];

fn main() -> ExitCode {
    stormglass::cli::main(SYSTEMS)
}

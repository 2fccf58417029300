//! The `stormglass` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Runs are made of many small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    stormglass::cli::main(stormglass::system::SYSTEMS)
}

//! The `stormglass` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    stormglass::cli::main(stormglass::system::SYSTEMS)
}

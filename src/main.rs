//! The `udmill` command.

use std::process::ExitCode;

// Bursts of dead letters and batches reuse memory better than with glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    udmill::cli::main()
}

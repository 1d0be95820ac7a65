//! The `equipoise` binary: parse the command line, call one function, exit with its status.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(equipoise::cli::Cli::parse().run())
}

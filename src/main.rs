//! The `equipoise` binary: parse the command line, call one function, exit with its status.

use std::process::ExitCode;

use clap::Parser;
use equipoise::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    ExitCode::from(equipoise::cli::Cli::parse().run())
}

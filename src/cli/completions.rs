//! `equipoise completions`: what a shell needs to complete our commands and flags.

use std::io::{self, Write as _};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;

/// What `completions` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell that it is for.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script; the exit status is always 0.
pub fn run(args: &Args) -> u8 {
    let mut script = Vec::new();
    let mut commands = <Cli as CommandFactory>::command();
    generate(args.shell, &mut commands, "equipoise", &mut script);
    // A reader that has seen enough and closes the pipe is no error.
    drop(io::stdout().write_all(&script));
    0
}

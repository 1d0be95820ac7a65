//! `equipoise man`: manual pages, made of what `--help` says.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::{Man, generate_to};

use super::Cli;
use crate::observe::log;

/// What `man` is told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  equipoise man | man -l -
  equipoise man /usr/local/share/man/man1")]
pub struct Args {
    /// Write a page for each command into this directory instead, which is made if it isn't there.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the first page, or writes all. The exit status is 1 if they can't be written.
pub fn run(args: &Args) -> u8 {
    let commands = <Cli as CommandFactory>::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        // As the pages in files have it. Nothing that is written to memory fails.
        drop(Man::new(commands.disable_help_subcommand(true)).render(&mut page));
        // A reader that has seen enough and closes the pipe is no error.
        drop(io::stdout().write_all(&page));
        return 0;
    };
    let written = fs::create_dir_all(dir).and_then(|()| generate_to(commands, dir));
    match written {
        Ok(()) => 0,
        Err(error) => {
            log::say(&format!(
                "equipoise man: cannot write the pages into {}: {error}",
                dir.display()
            ));
            1
        }
    }
}

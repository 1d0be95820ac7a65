//! `equipoise run`: the load balancer in the foreground.

use std::io::Write as _;
use std::path::PathBuf;

use crate::config;
use crate::server;

/// What `run` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs until it is told to stop, and gives the exit status: 0, 1 if it could not start, 2 if the
/// configuration has problems.
pub fn run(args: &Args) -> u8 {
    let config = match config::load(&args.config, &config::environment) {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems);
            return 2;
        }
    };
    let path = args.config.clone();
    let reread = Box::new(move || config::load(&path, &config::environment));
    match server::run(&config, Some(reread)) {
        Ok(()) => 0,
        Err(error) => {
            complain(&format_args!("equipoise: {error}"));
            1
        }
    }
}

fn complain(trouble: &dyn std::fmt::Display) {
    // Nobody is left to tell when stderr is closed, and the status still says it.
    drop(writeln!(
        std::io::stderr(),
        "{}",
        trouble.to_string().trim_end()
    ));
}

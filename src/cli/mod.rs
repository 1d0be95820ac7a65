//! The command line: one file a command. Each gives the exit status: 0 success, 1 the thing asked for is
//! not so, 2 bad usage or configuration.

use clap::{Parser, Subcommand};

use crate::observe;

pub mod cert;
pub mod check;
pub mod demo;
mod files;
pub mod run;
pub mod schema;

/// An edge load balancer: exact balancing, sessions that stay, health in plain words.
#[derive(Debug, Parser)]
#[command(name = "equipoise", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the load balancer in the foreground.
    Run(run::Args),
    /// See it work: three built-in servers, the load balancer and the dashboard, without a file.
    Demo(demo::Args),
    /// Check a configuration and the files it names; print every problem.
    Check(check::Args),
    /// Inspect, check and convert certificates and keys.
    #[command(subcommand)]
    Cert(cert::Command),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

impl Cli {
    /// Runs the command. Returns the exit status.
    pub fn run(self) -> u8 {
        let status = self.command();
        observe::log::finish();
        status
    }

    fn command(self) -> u8 {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Cert(command) => cert::run(&command),
            Command::Schema => schema::run(),
        }
    }
}

//! The command line: one file a command. Each gives the exit status: 0 success, 1 the thing asked for is
//! not so, 2 bad usage or configuration.

use std::path::Path;

use clap::{Parser, Subcommand};

use crate::observe;

pub mod cert;
pub mod check;
pub mod completions;
pub mod demo;
pub mod diagnose;
mod files;
pub mod healthcheck;
pub mod instance;
pub mod man;
pub mod proxy;
pub mod run;
pub mod schema;
mod version;

/// Where the configuration is if nothing else is said.
pub const DEFAULT_CONFIG: &str = "/etc/equipoise/equipoise.yaml";

/// An edge load balancer: exact balancing, sessions that stay, health in plain words.
#[derive(Debug, Parser)]
#[command(
    name = "equipoise",
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Print the version; with --verbose also the commit, the compiler and the versions of OpenSSL and Pingora.
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: more.
    #[arg(short, long, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the load balancer in the foreground.
    Run(run::Args),
    /// Run without a file: one address in front of servers that do the same work.
    Proxy(proxy::Args),
    /// See it work: three built-in servers, the load balancer and the dashboard, without a file.
    Demo(demo::Args),
    /// Check a configuration and the files it names; print every problem.
    Check(check::Args),
    /// Walk the way to servers and say what is wrong and what to try.
    Diagnose(diagnose::Args),
    /// Inspect, check and convert certificates and keys.
    #[command(subcommand)]
    Cert(cert::Command),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Ask a running instance whether it is ready for traffic: the exit status says it.
    Healthcheck(healthcheck::Args),
    /// Show what runs: listeners, pools, servers.
    Status(instance::status::Args),
    /// Take no new sessions at a server; those bound to it stay.
    Drain(instance::servers::WaitArgs),
    /// Let a server take work again.
    Ready(instance::servers::Args),
    /// Take nothing at a server.
    // HAProxy's word.
    #[command(visible_alias = "maint")]
    Maintain(instance::servers::WaitArgs),
    /// Give a server another weight.
    Weight(instance::servers::WeightArgs),
    /// Add a server to a pool.
    Add(instance::servers::AddArgs),
    /// Take a server out of its pool; what it works on goes on.
    Remove(instance::servers::WaitArgs),
    /// Say where a session is, or forget it.
    Sessions(instance::sessions::Args),
    /// Read the configuration again: all of it counts then, or nothing is changed.
    Reload(instance::reload::Args),
    /// Watch servers at work.
    Top(instance::top::Args),
    /// Print a script that completes commands and flags in a shell.
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands into a directory.
    Man(man::Args),
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
            Some(command) if !self.version => command.run(),
            _ => version::run(self.verbose),
        }
    }
}

impl Command {
    fn run(self) -> u8 {
        match self {
            Self::Run(args) => run::run(&args),
            Self::Proxy(args) => proxy::run(&args),
            Self::Demo(args) => demo::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Diagnose(args) => diagnose::run(&args),
            Self::Cert(command) => cert::run(&command),
            Self::Schema => schema::run(),
            Self::Healthcheck(args) => healthcheck::run(&args),
            Self::Status(args) => instance::status::run(&args),
            Self::Drain(args) => instance::servers::drain(&args),
            Self::Ready(args) => instance::servers::ready(&args),
            Self::Maintain(args) => instance::servers::maintain(&args),
            Self::Weight(args) => instance::servers::set_weight(&args),
            Self::Add(args) => instance::servers::add(&args),
            Self::Remove(args) => instance::servers::remove(&args),
            Self::Sessions(args) => instance::sessions::run(&args),
            Self::Reload(args) => instance::reload::run(&args),
            Self::Top(args) => instance::top::run(&args),
            Self::Completions(args) => completions::run(&args),
            Self::Man(args) => man::run(&args),
        }
    }
}

/// What to say besides to somebody who gave no file where there is none; else nothing.
fn without_a_file(path: &Path) -> &'static str {
    if path == Path::new(DEFAULT_CONFIG) && !path.exists() {
        "\nGive another file with -c FILE. Without one: equipoise demo, or equipoise proxy --from :8080 --to 127.0.0.1:8081"
    } else {
        ""
    }
}

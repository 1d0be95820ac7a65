//! `equipoise cert`: certificates and keys, without a configuration.

use clap::Subcommand;

mod check;
mod convert;
mod inspect;
mod output;

/// What to do with them.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Say what files hold: certificates, keys, requests, revocation lists, in any format.
    Inspect(inspect::Args),
    /// Find what is wrong with a certificate, its chain and its key, and say how to mend it.
    Check(check::Args),
    /// Turn DER, P7B, PFX or messy PEM into tidy PEM.
    Convert(convert::Args),
}

/// Runs it. Returns the exit status.
pub fn run(command: &Command) -> u8 {
    match command {
        Command::Inspect(args) => inspect::run(args),
        Command::Check(args) => check::run(args),
        Command::Convert(args) => convert::run(args),
    }
}

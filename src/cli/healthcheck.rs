//! `equipoise healthcheck`: is a running instance ready for traffic? For containers, which have no shell and no curl.

use std::io::{self, Write as _};
use std::time::Duration;

use http::{Method, StatusCode};

use super::instance::client::{Client, ClientError};
use super::instance::whom::Whom;
use crate::config;

/// Most that is shown of an answer; a reason is a line.
const LONGEST_ANSWER: usize = 4096;

/// What `healthcheck` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
    /// How many seconds it may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Asks, says the answer, and gives the exit status: 0 ready, 1 not ready or not there, 2 if it isn't known whom to ask.
pub fn run(args: &Args) -> u8 {
    match healthcheck(args) {
        Ok(()) => {
            // Nobody is left to tell when stdout is closed, and the status still says it.
            drop(writeln!(io::stdout(), "ready"));
            0
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "equipoise healthcheck: {error}"));
            error.status()
        }
    }
}

fn healthcheck(args: &Args) -> Result<(), ClientError> {
    let client = Client::find(&args.whom, None)?;
    let limit = Duration::from_secs(args.timeout);
    let answer = client.ask(Method::GET, "/readyz", None, limit)?;
    if answer.status == StatusCode::OK {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    let said = config::on_one_line(said.trim(), LONGEST_ANSWER);
    let words = format!("{}: {}: {said}", client.place(), answer.status);
    Err(ClientError::Refused(answer.status, words, Vec::new()))
}

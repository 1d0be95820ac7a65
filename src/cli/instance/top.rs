//! `equipoise top`: the status as it changes, with rates.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use http::Method;

use super::client::{Client, ClientError};
use super::report::Report;
use super::whom::{Token, Whom};
use super::{LIMIT, duration, finish};

/// Clears a terminal and goes to its upper left (ECMA-48 sections 8.3.21 and 8.3.39).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// What `top` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this pool, or this server. Default: all.
    #[arg(value_name = "POOL[/SERVER]")]
    only: Option<String>,
    /// How often it is looked at.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
    /// End after so many looks. Default: with Ctrl-C; where stdout is no terminal after two, as rates need two.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    looks: Option<u64>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

/// Shows it until it is told to end.
pub fn run(args: &Args) -> u8 {
    let shown = Client::find(&args.whom, args.token.named()).and_then(|client| show(args, &client));
    finish("top", shown.map(|()| String::new()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command with one thread, which waits between two looks"
)]
fn show(args: &Args, client: &Client) -> Result<(), ClientError> {
    let live = io::stdout().is_terminal();
    let looks = args.looks.or((!live).then_some(2));
    let mut before: Option<Report> = None;
    let mut look = 0;
    loop {
        look += 1;
        let is_last = looks.is_some_and(|looks| look >= looks);
        let text = match report(args, client) {
            Ok(now) => {
                let text = now.text(&rates(before.as_ref(), &now));
                before = Some(now);
                text
            }
            // Who watches wants to see it come back.
            Err(error) if live && before.is_some() && error.status() == 1 => {
                format!("{error}\n")
            }
            Err(error) => return Err(error),
        };
        let shown = if live {
            write!(io::stdout(), "{CLEAR}{text}").and_then(|()| io::stdout().flush())
        } else if is_last {
            io::stdout().write_all(text.as_bytes())
        } else {
            Ok(())
        };
        // Nobody looks any more.
        if is_last || shown.is_err() {
            return Ok(());
        }
        std::thread::sleep(args.interval);
    }
}

fn report(args: &Args, client: &Client) -> Result<Report, ClientError> {
    let answer = client.obtain(Method::GET, "/api/v1/status", None, LIMIT)?;
    let report: Report =
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
    match &args.only {
        None => Ok(report),
        Some(which) => report.only(which).ok_or_else(|| {
            let words = format!("there is no {which:?}");
            ClientError::Refused(http::StatusCode::NOT_FOUND, words, Vec::new())
        }),
    }
}

/// Requests a second between two reports, by the instance's own clock.
fn rates<'a>(
    before: Option<&'a Report>,
    now: &'a Report,
) -> impl Fn(&str, &str) -> Option<f64> + 'a {
    let span = before.map_or(0.0, |before| now.uptime - before.uptime);
    let counts = |report: &'a Report| {
        let pools = report.pools.iter();
        pools
            .flat_map(|pool| {
                let servers = pool.servers.iter();
                servers.map(|one| ((pool.name.as_str(), one.name.as_str()), one.requests))
            })
            .collect::<HashMap<_, _>>()
    };
    let (first, second) = (before.map(counts), counts(now));
    move |pool, server| {
        let grown = second
            .get(&(pool, server))?
            .checked_sub(*first.as_ref()?.get(&(pool, server))?)?;
        // A span that isn't positive is another process's.
        let grown = u32::try_from(grown).ok()?;
        (span > 0.0).then(|| f64::from(grown) / span)
    }
}

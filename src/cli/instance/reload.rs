//! `equipoise reload`: the running instance reads its configuration again, and says how that went.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use super::client::{Client, ClientError};
use super::finish;
use super::whom::{Token, Whom, WhomError};

/// How long it may take: names of servers are looked up, and files may be on a network.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the status may take.
const STATUS: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What `reload` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
    /// Ask that process by SIGHUP, as its user may, instead of with a token. For service managers
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "token_file")]
    pid: Option<i32>,
}

#[derive(Deserialize)]
struct Reloaded {
    #[serde(default)]
    changes: Vec<String>,
}

/// What the status says of it.
#[derive(Deserialize)]
struct Status {
    pid: i32,
    reload: Option<Last>,
}

/// The last reload.
#[derive(Deserialize)]
struct Last {
    result: String,
    at: String,
    changes: Vec<String>,
    problems: Vec<String>,
}

/// Reloads. The exit status is 2 if the configuration is refused, with all that is wrong on stderr.
pub fn run(args: &Args) -> u8 {
    let outcome = match args.pid {
        Some(pid) => by_signal(args, Pid::from_raw(pid)),
        None => by_token(args),
    };
    let is_refused = matches!(
        &outcome,
        Err(ClientError::Refused(StatusCode::UNPROCESSABLE_ENTITY, ..))
    );
    let status = finish("reload", outcome);
    if is_refused { 2 } else { status }
}

fn by_token(args: &Args) -> Result<String, ClientError> {
    let client = Client::find(&args.whom, Some(&args.token))?;
    let answer = client.obtain(Method::POST, "/api/v1/reload", None, LIMIT)?;
    let reloaded: Reloaded =
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
    Ok(told(&reloaded.changes))
}

/// As who may signal the process: needs no token, and reads in the status how it ended.
#[expect(
    clippy::disallowed_methods,
    reason = "a command has nothing else to do meanwhile"
)]
fn by_signal(args: &Args, pid: Pid) -> Result<String, ClientError> {
    let client = match Client::find(&args.whom, None) {
        Err(ClientError::Whom(WhomError::NoAdmin(_))) => {
            hang_up(pid)?;
            return Ok(
                "asked for; how it ended is in the log, and would be told with an admin listener\n"
                    .to_owned(),
            );
        }
        found => found?,
    };
    let status = || -> Result<Status, ClientError> {
        let answer = client.obtain(Method::GET, "/api/v1/status", None, STATUS)?;
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))
    };
    let before = status()?;
    if before.pid != pid.as_raw() {
        return Err(client.nonsense(format!("it is process {}, not {pid}", before.pid)));
    }
    let before = before.reload.map(|last| last.at);
    hang_up(pid)?;
    let begun = Instant::now();
    loop {
        let last = status()?.reload;
        match last.filter(|last| Some(&last.at) != before.as_ref()) {
            Some(last) if last.result == "success" => return Ok(told(&last.changes)),
            Some(last) => {
                return Err(ClientError::Refused(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "the configuration can't be used as it is now; what ran before runs on"
                        .to_owned(),
                    last.problems,
                ));
            }
            None if begun.elapsed() >= LIMIT => {
                return Err(ClientError::Late(client.place().clone(), LIMIT.as_secs()));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

fn hang_up(pid: Pid) -> Result<(), ClientError> {
    kill(pid, Signal::SIGHUP).map_err(|error| ClientError::Signal(pid.as_raw(), error))
}

fn told(changes: &[String]) -> String {
    let mut text = match changes {
        [] => "reloaded: the same keys, files read again\n".to_owned(),
        _ => "reloaded:\n".to_owned(),
    };
    for change in changes {
        text.push_str(&format!("  {change}\n"));
    }
    text
}

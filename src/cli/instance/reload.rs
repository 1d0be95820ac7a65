//! `equipoise reload`: the running instance reads its configuration again, and says how that went.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::client::{Client, ClientError};
use super::finish;
use super::whom::{Token, Whom};

/// How long it may take: names of servers are looked up, and files may be on a network.
const LIMIT: Duration = Duration::from_secs(120);

/// What `reload` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

#[derive(Deserialize)]
struct Reloaded {
    #[serde(default)]
    changes: Vec<String>,
}

/// Reloads. The exit status is 2 if the configuration is refused, with all that is wrong on stderr.
pub fn run(args: &Args) -> u8 {
    let outcome = Client::find(&args.whom, Some(&args.token)).and_then(|client| {
        let answer = client.obtain(Method::POST, "/api/v1/reload", None, LIMIT)?;
        let reloaded: Reloaded =
            serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
        let mut text = match reloaded.changes.len() {
            0 => "reloaded: the same keys, files read again\n".to_owned(),
            _ => "reloaded:\n".to_owned(),
        };
        for change in reloaded.changes {
            text.push_str(&format!("  {change}\n"));
        }
        Ok(text)
    });
    let is_refused = matches!(
        &outcome,
        Err(ClientError::Refused(StatusCode::UNPROCESSABLE_ENTITY, ..))
    );
    let status = finish("reload", outcome);
    if is_refused { 2 } else { status }
}

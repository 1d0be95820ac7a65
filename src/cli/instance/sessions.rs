//! `equipoise sessions`: where a session is, and how many there are.

use http::Method;
use serde::Deserialize;

use super::client::{Client, ClientError};
use super::whom::{Token, Whom};
use super::{LIMIT, finish, segment};

/// What `sessions` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pool.
    #[arg(value_name = "POOL")]
    pool: String,
    /// The value of a session's cookie, or the client's address. Default: how many there are.
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Forget it: its next request is balanced anew.
    #[arg(long, requires = "key")]
    forget: bool,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

#[derive(Deserialize)]
struct All {
    r#type: Option<String>,
    entries: Option<u64>,
    size: Option<u64>,
    shared: bool,
}

#[derive(Deserialize)]
struct One {
    result: String,
    server: Option<String>,
    started: Option<String>,
}

/// Prints it. The exit status is 1 if there is no such session.
pub fn run(args: &Args) -> u8 {
    let outcome = Client::find(&args.whom, Some(&args.token)).and_then(|client| {
        let path = format!("/api/v1/pools/{}/sessions", segment(&args.pool));
        match &args.key {
            None => all(&client, &path),
            Some(key) => {
                let path = format!("{path}?key={}", segment(key));
                if args.forget {
                    client.obtain(Method::DELETE, &path, None, LIMIT)?;
                    return Ok("forgotten\n".to_owned());
                }
                one(&client, &path)
            }
        }
    });
    finish("sessions", outcome)
}

fn all(client: &Client, path: &str) -> Result<String, ClientError> {
    let answer = client.obtain(Method::GET, path, None, LIMIT)?;
    let all: All =
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
    let shared = if all.shared {
        ", shared with other nodes"
    } else {
        ""
    };
    Ok(match (all.r#type, all.entries, all.size) {
        (Some(kind), Some(entries), Some(size)) => {
            format!("{kind}: {entries} of at most {size} sessions in this node's table{shared}\n")
        }
        (Some(kind), ..) => format!("{kind}: the sessions are in the clients' cookies\n"),
        (None, ..) => "the pool keeps no sessions\n".to_owned(),
    })
}

fn one(client: &Client, path: &str) -> Result<String, ClientError> {
    let answer = client.obtain(Method::GET, path, None, LIMIT)?;
    let one: One =
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
    let since = one.started.map(|at| format!(", since {at}"));
    let since = since.unwrap_or_default();
    match (&*one.result, one.server) {
        ("bound", Some(server)) => Ok(format!("bound to {server}{since}\n")),
        (result, server) => {
            let words = match result {
                "unknown" => "no such session is known",
                "invalid" => "that is no token of this pool",
                "expired" => "the session has expired",
                "gone" => "its server is no longer in the pool",
                other => other,
            };
            let server = server.map(|server| format!(": {server}{since}"));
            let words = format!("{words}{}", server.unwrap_or_default());
            Err(ClientError::Refused(
                http::StatusCode::OK,
                words,
                Vec::new(),
            ))
        }
    }
}

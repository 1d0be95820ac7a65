//! `equipoise drain`, `ready`, `maintain`, `weight`, `add` and `remove`: one server of the running instance.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::report::Server;
use super::whom::{Token, Whom};
use super::{LIMIT, duration, finish, segment};

/// A server: `POOL/SERVER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pool: String,
    server: String,
}

fn target(text: &str) -> Result<Target, String> {
    match text.split_once('/') {
        Some((pool, server)) if !pool.is_empty() && !server.is_empty() => Ok(Target {
            pool: pool.to_owned(),
            server: server.to_owned(),
        }),
        _ => Err("not POOL/SERVER".to_owned()),
    }
}

impl Target {
    fn path(&self) -> String {
        let (pool, server) = (segment(&self.pool), segment(&self.server));
        format!("/api/v1/pools/{pool}/servers/{server}")
    }
}

/// What commands are told that name a server and no more.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The server.
    #[arg(value_name = "POOL/SERVER", value_parser = target)]
    target: Target,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

/// What `drain`, `maintain` and `remove` are told.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    #[command(flatten)]
    server: Args,
    /// Wait until the server works on nothing any more, at most that long: 30s, 5m. The status is 1 if it still does then.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
}

/// What `weight` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightArgs {
    /// The server.
    #[arg(value_name = "POOL/SERVER", value_parser = target)]
    target: Target,
    /// The weight: 0 to 65535, 0 = no new sessions; `file` = what the configuration says.
    #[arg(value_name = "N", value_parser = weight)]
    weight: Weight,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

/// What `add` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// The pool, and the name of the server there.
    #[arg(value_name = "POOL/SERVER", value_parser = target)]
    target: Target,
    /// host:port, ip:port or unix:/path.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Its weight.
    #[arg(long, value_name = "N", default_value_t = 1)]
    weight: u16,
    /// Requests or connections at once; 0 = no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_connections: u32,
    /// Use it only when no other server is available.
    #[arg(long)]
    backup: bool,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

#[derive(Debug, Clone, Copy)]
enum Weight {
    To(u16),
    File,
}

fn weight(text: &str) -> Result<Weight, String> {
    if text == "file" {
        return Ok(Weight::File);
    }
    let number = text.parse().map(Weight::To);
    number.map_err(|_| "not a whole number from 0 to 65535, and not file".to_owned())
}

/// Takes no new sessions from now on.
pub fn drain(args: &WaitArgs) -> u8 {
    change("drain", &args.server, &json!({"state": "drain"}), args.wait)
}

/// Takes work again.
pub fn ready(args: &Args) -> u8 {
    change("ready", args, &json!({"state": "ready"}), None)
}

/// Takes nothing from now on.
pub fn maintain(args: &WaitArgs) -> u8 {
    let state = json!({"state": "maintenance"});
    change("maintain", &args.server, &state, args.wait)
}

/// Has another weight from now on.
pub fn set_weight(args: &WeightArgs) -> u8 {
    let weight = match args.weight {
        Weight::To(weight) => weight.into(),
        Weight::File => Value::Null,
    };
    let server = Args {
        target: args.target.clone(),
        whom: args.whom.clone(),
        token: args.token.clone(),
    };
    change("weight", &server, &json!({"weight": weight}), None)
}

/// Is in the pool from now on.
pub fn add(args: &AddArgs) -> u8 {
    let body = json!({
        "name": args.target.server,
        "address": args.address,
        "weight": args.weight,
        "max_connections": args.max_connections,
        "backup": args.backup,
    });
    let path = format!("/api/v1/pools/{}/servers", segment(&args.target.pool));
    let added = Client::find(&args.whom, Some(&args.token)).and_then(|client| {
        let answer = client.obtain(Method::POST, &path, Some(&body), LIMIT)?;
        Ok(line(&args.target, &read(&client, &answer)?))
    });
    finish("add", added)
}

/// Isn't in the pool any more.
pub fn remove(args: &WaitArgs) -> u8 {
    let target = &args.server.target;
    let mut path = target.path();
    if let Some(wait) = args.wait {
        path = format!("{path}?wait={}ms", wait.as_millis());
    }
    let limit = LIMIT + args.wait.unwrap_or_default();
    let removed = Client::find(&args.server.whom, Some(&args.server.token)).and_then(|client| {
        client.obtain(Method::DELETE, &path, None, limit)?;
        Ok(format!("{}/{}: removed\n", target.pool, target.server))
    });
    finish("remove", removed)
}

fn change(command: &str, args: &Args, what: &Value, wait: Option<Duration>) -> u8 {
    let mut body = what.clone();
    if let (Some(wait), Value::Object(fields)) = (wait, &mut body) {
        let wait = format!("{}ms", wait.as_millis());
        fields.insert("wait".to_owned(), wait.into());
    }
    let limit = LIMIT + wait.unwrap_or_default();
    let changed = Client::find(&args.whom, Some(&args.token)).and_then(|client| {
        let path = args.target.path();
        let answer = client.obtain(Method::PATCH, &path, Some(&body), limit)?;
        let server = read(&client, &answer)?;
        let line = line(&args.target, &server);
        if wait.is_some() && server.active > 0 {
            let still = format!("{}, still at work", line.trim_end());
            return Err(ClientError::Refused(StatusCode::OK, still, Vec::new()));
        }
        Ok(line)
    });
    finish(command, changed)
}

fn read(client: &Client, answer: &[u8]) -> Result<Server, ClientError> {
    serde_json::from_slice(answer).map_err(|error| client.nonsense(error.to_string()))
}

/// What it is now.
fn line(target: &Target, server: &Server) -> String {
    format!(
        "{}/{}: {}, weight {}, {} active\n",
        target.pool,
        target.server,
        server.state_words(),
        server.weight,
        server.active
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_its_pool() {
        let found = target("app/unix:/run/a.sock").expect("a target");
        assert_eq!((&*found.pool, &*found.server), ("app", "unix:/run/a.sock"));
        assert_eq!(
            found.path(),
            "/api/v1/pools/app/servers/unix:%2Frun%2Fa.sock"
        );
        for text in ["", "app", "app/", "/a"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}

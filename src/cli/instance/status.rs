//! `equipoise status`: what runs, and how it is.

use clap::ValueEnum;
use http::Method;

use super::client::{Client, ClientError};
use super::report::Report;
use super::whom::{Token, Whom};
use super::{LIMIT, finish};

/// What `status` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this pool, or this server. Default: all.
    #[arg(value_name = "POOL[/SERVER]", conflicts_with = "format")]
    only: Option<String>,
    /// text is a table, json what the API says.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    token: Token,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables.
    Text,
    /// As `GET /api/v1/status`.
    Json,
}

/// Prints it.
pub fn run(args: &Args) -> u8 {
    finish("status", status(args))
}

fn status(args: &Args) -> Result<String, ClientError> {
    let client = Client::find(&args.whom, args.token.named())?;
    let answer = client.obtain(Method::GET, "/api/v1/status", None, LIMIT)?;
    if args.format == Format::Json {
        return Ok(format!("{}\n", String::from_utf8_lossy(&answer)));
    }
    let report: Report =
        serde_json::from_slice(&answer).map_err(|error| client.nonsense(error.to_string()))?;
    let report = match &args.only {
        None => report,
        Some(which) => report.only(which).ok_or_else(|| {
            let words = format!("there is no {which:?}");
            ClientError::Refused(http::StatusCode::NOT_FOUND, words, Vec::new())
        })?,
    };
    Ok(report.text(&|_, _| None))
}

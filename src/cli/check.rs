//! `equipoise check`: is this configuration right?

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use crate::config::{self, Config, Loaded, Problem, Problems, model};
use crate::persistence::Keyring;
use crate::upstream::Link;

/// What `check` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// How the result is printed: text has problems on stderr, json is one object on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One problem a line, as `FILE:LINE:COL: key.path: what is wrong`.
    Text,
    /// `{"valid": …, "problems": […]}`.
    Json,
}

/// Checks the file with everything it names, prints the result, and gives the exit status: 0 if the
/// configuration can be used, 2 if it can't.
pub fn run(args: &Args) -> u8 {
    let result = config::load_with_places(&args.config, &config::environment);
    let (config, problems, warnings) = match result {
        Ok(loaded) => {
            let mut secrets = secrets(&loaded);
            secrets.problems.extend(links(&loaded));
            (Some(loaded.config), secrets.problems, secrets.warnings)
        }
        Err(problems) => (None, problems, Vec::new()),
    };
    let printed = match args.format {
        Format::Text => print_text(args, config.as_ref(), &problems, &warnings),
        Format::Json => print_json(&problems),
    };
    // Nobody is left to tell when stdout is closed, and the status still says it.
    drop(printed);
    if problems.is_empty() { 0 } else { 2 }
}

#[derive(Default)]
struct Secrets {
    problems: Problems,
    warnings: Vec<Problem>,
}

/// Reads the secret files that the configuration names, as a start would.
fn secrets(loaded: &Loaded) -> Secrets {
    let mut found = Secrets::default();
    for pool in &loaded.config.pools {
        let key = pool
            .persistence
            .as_ref()
            .and_then(model::Persistence::signing_key);
        let Some(Some(path)) = key else {
            continue;
        };
        let at = ["pools", &*pool.name, "persistence", "secret_file"];
        match Keyring::load(path) {
            Ok(keys) => {
                let warnings = keys.warnings.iter().map(ToString::to_string);
                found
                    .warnings
                    .extend(warnings.map(|warning| loaded.problem(&at, warning)));
            }
            Err(error) => found.problems.push(loaded.problem(&at, error.to_string())),
        }
    }
    found
}

/// Reads the files of the pools' TLS, as a start would.
fn links(loaded: &Loaded) -> Vec<Problem> {
    let unusable = |pool: &model::Pool| {
        let unusable = Link::load(pool, None).err()?;
        let at = ["pools", &*pool.name, "tls", unusable.key];
        Some(loaded.problem(&at, unusable.message))
    };
    loaded.config.pools.iter().filter_map(unusable).collect()
}

fn print_text(
    args: &Args,
    config: Option<&Config>,
    problems: &Problems,
    warnings: &[Problem],
) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for warning in warnings {
        writeln!(stderr, "{warning} (a warning)")?;
    }
    match config {
        Some(config) if problems.is_empty() => {
            let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
            writeln!(
                io::stdout(),
                "{}: ok, {}, {}, {}",
                args.config.display(),
                counted(config.listeners.len(), "listener"),
                counted(config.pools.len(), "pool"),
                counted(servers, "server"),
            )
        }
        _ => writeln!(stderr, "{problems}"),
    }
}

fn print_json(problems: &Problems) -> io::Result<()> {
    #[derive(Serialize)]
    struct Report<'a> {
        valid: bool,
        problems: Vec<&'a Problem>,
    }
    let report = Report {
        valid: problems.is_empty(),
        problems: problems.iter().collect(),
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &report)?;
    writeln!(stdout)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

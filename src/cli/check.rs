//! `equipoise check`: is this configuration right?

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;
use serde::Serialize;

use super::files;
use crate::config::{self, Config, Loaded, Problem, Problems, model};
use crate::persistence::Keyring;

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
    /// `{"valid": …, "problems": […], "warnings": […]}`.
    Json,
}

/// Checks the file with everything it names, prints the result, and gives the exit status: 0 if the configuration
/// can be used, 1 if clients would refuse a certificate in it, 2 if it can't be used.
pub fn run(args: &Args) -> u8 {
    let result = config::load_with_places(&args.config, &config::environment);
    let mut report = Report::default();
    let config = match result {
        Ok(loaded) => {
            let secrets = secrets(&loaded);
            let certificates = files::certificates(&loaded, SystemTime::now());
            report.problems = secrets.problems;
            for problem in &certificates.problems {
                report.problems.push(problem.clone());
            }
            report.errors = certificates.errors;
            report.warnings = secrets.warnings;
            report.warnings.extend(certificates.warnings);
            Some(loaded.config)
        }
        Err(problems) => {
            report.problems = problems;
            None
        }
    };
    let printed = match args.format {
        Format::Text => print_text(args, config.as_ref(), &report),
        Format::Json => print_json(&report),
    };
    // Nobody is left to tell when stdout is closed, and the status still says it.
    drop(printed);
    match (report.problems.is_empty(), report.errors.is_empty()) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    /// With these it can't be used.
    problems: Problems,
    /// It can be used, and won't do what is wanted of it.
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
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

fn print_text(args: &Args, config: Option<&Config>, report: &Report) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for warning in &report.warnings {
        writeln!(stderr, "{warning} (a warning)")?;
    }
    for error in &report.errors {
        writeln!(stderr, "{error}")?;
    }
    match config {
        Some(config) if report.problems.is_empty() && report.errors.is_empty() => {
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
        _ if report.problems.is_empty() => Ok(()),
        _ => writeln!(stderr, "{}", report.problems),
    }
}

fn print_json(report: &Report) -> io::Result<()> {
    #[derive(Serialize)]
    struct Printed<'a> {
        valid: bool,
        problems: Vec<&'a Problem>,
        warnings: &'a [Problem],
    }
    let printed = Printed {
        valid: report.problems.is_empty() && report.errors.is_empty(),
        problems: report.problems.iter().chain(&report.errors).collect(),
        warnings: &report.warnings,
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &printed)?;
    writeln!(stdout)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

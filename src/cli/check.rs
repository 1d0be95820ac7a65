//! `equipoise check`: is this configuration right?

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use serde::Serialize;

use super::files;
use crate::config::{self, Config, Problem, Problems, escaped};
use crate::server::preflight;

/// What `check` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration: a file, `-` for standard input, or a directory of files.
    #[arg(value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    pub file: PathBuf,
    /// The same, as `run` takes it.
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    pub config: Option<PathBuf>,
    /// How the result is printed: text has problems on stderr, json is one object on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Exit with 1 for nothing: what clients would refuse is printed and served all the same.
    #[arg(long)]
    pub fatal_only: bool,
    /// The configuration is for another machine: addresses, users and directories of this one are not looked at.
    #[arg(long)]
    pub elsewhere: bool,
    /// Print the effective configuration as YAML: defaults filled in, paths absolute, secrets hidden.
    #[arg(long, conflicts_with = "format")]
    pub dump: bool,
}

impl Args {
    fn path(&self) -> &Path {
        self.config.as_ref().unwrap_or(&self.file)
    }
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One problem a line, as `FILE:LINE:COL: key.path: what is wrong`; warnings as `FILE:LINE:COL: warning: …`.
    Text,
    /// `{"valid": …, "problems": […], "warnings": […]}`.
    Json,
}

/// Checks the file with everything it names, prints the result, and gives the exit status: 0 if the configuration
/// can be used, 1 if it can but clients would refuse a certificate in it, say, 2 if `run` would refuse it.
pub fn run(args: &Args) -> u8 {
    let mut examined = config::examine(args.path(), &config::environment);
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    if let Some(loaded) = &examined.sound {
        warnings.extend(loaded.warnings.iter().cloned());
        let mut all = vec![
            files::secrets(loaded),
            files::certificates(loaded, SystemTime::now()),
        ];
        if !args.elsewhere {
            all.push(preflight::examine(loaded));
            all.push(preflight::addresses(loaded));
        }
        for findings in all {
            found.extend(findings.problems);
            errors.extend(findings.errors);
            warnings.extend(findings.warnings);
        }
    }
    examined.add(found);
    let report = Report {
        problems: examined.problems,
        errors,
        warnings,
    };
    let dumped = match &examined.sound {
        Some(loaded) if args.dump && report.problems.is_empty() => Some(config::dump(loaded)),
        _ => None,
    };
    let config = examined.sound.map(|loaded| loaded.config);
    let printed = match args.format {
        Format::Text => print_text(args, config.as_ref(), dumped, &report),
        Format::Json => print_json(&report),
    };
    // Nobody is left to tell when stdout is closed, and the status still says it.
    drop(printed);
    match (report.problems.is_empty(), report.errors.is_empty()) {
        (false, _) => 2,
        (true, false) if !args.fatal_only => 1,
        _ => 0,
    }
}

/// What was found.
struct Report {
    /// With these it can't be used.
    problems: Problems,
    /// It can be used, and won't do what is wanted of it.
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

fn print_text(
    args: &Args,
    config: Option<&Config>,
    dumped: Option<Result<String, String>>,
    report: &Report,
) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for warning in &report.warnings {
        writeln!(stderr, "{}", warning.as_warning())?;
    }
    for error in &report.errors {
        writeln!(stderr, "{error}")?;
    }
    match dumped {
        Some(Ok(yaml)) => return write!(io::stdout(), "{yaml}"),
        Some(Err(why)) => return writeln!(stderr, "equipoise: can't print it: {why}"),
        None => {}
    }
    match config {
        Some(config) if report.problems.is_empty() && report.errors.is_empty() => {
            let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
            writeln!(
                io::stdout(),
                "{}: ok, {}, {}, {}",
                escaped(&args.path().to_string_lossy()),
                counted(config.listeners.len(), "listener"),
                counted(config.pools.len(), "pool"),
                counted(servers, "server"),
            )
        }
        _ if report.problems.is_empty() => Ok(()),
        _ => writeln!(
            stderr,
            "{}{}",
            report.problems,
            super::without_a_file(args.path())
        ),
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

//! `equipoise cert inspect`: what is in these files?

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use serde::Serialize;

use crate::config::escaped;
use crate::tls::certificate::{
    BUNDLE_LIMIT, Contents, Description, Entry, Password, Value, describe,
};

/// What `cert inspect` is told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Exit status: 0 all is told, 1 something is damaged, stays closed or is of no known kind, 2 a file can't be read.")]
pub struct Args {
    /// Certificates, keys, requests, revocation lists; PEM, DER, P7B or PFX.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The password of keys and PFX is this file's first line.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: `{"files": [{"file": …, "contents": […]}]}`.
    Json,
}

fn complain(file: &Path, why: &str) {
    let trouble = format!("{}: {why}", file.display());
    drop(writeln!(io::stderr(), "{}", escaped(&trouble)));
}

/// Describes them, and gives the exit status.
pub fn run(args: &Args) -> u8 {
    let password = match args
        .password_file
        .as_deref()
        .map(|file| (file, Password::read(file)))
    {
        Some((file, Err(why))) => {
            complain(file, &why);
            return 2;
        }
        Some((_, Ok(password))) => Some(password),
        None => None,
    };
    let now = SystemTime::now();
    let mut status = 0;
    let mut described = Vec::new();
    for path in &args.files {
        match Contents::read(path, BUNDLE_LIMIT, password.as_ref()) {
            Ok(contents) => described.push(describe(&contents, now)),
            Err(why) => {
                complain(path, &why);
                status = 2;
            }
        }
    }
    let good = |file: &Description| {
        file.damage.is_empty() && file.contents.iter().all(|entry| entry.usable)
    };
    if status == 0 && !described.iter().all(good) {
        status = 1;
    }
    // Nobody is left to tell when stdout is closed, and the status still says it.
    drop(match args.format {
        Format::Text => print_text(&described),
        Format::Json => print_json(&described),
    });
    status
}

fn print_text(files: &[Description]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", escaped(&file.file), file.format)?;
        for entry in &file.contents {
            match entry.line {
                Some(line) => writeln!(out, "  {}, line {line}", escaped(&entry.kind))?,
                None => writeln!(out, "  {}", escaped(&entry.kind))?,
            }
            print_entry(&mut out, entry)?;
        }
        if let Some(chain) = &file.chain {
            writeln!(out, "  chain: {}", escaped(chain))?;
        }
        for damage in &file.damage {
            let damaged = format!("{}: damaged: {damage}", file.file);
            writeln!(io::stderr(), "{}", escaped(&damaged))?;
        }
    }
    Ok(())
}

fn print_entry(out: &mut impl io::Write, entry: &Entry) -> io::Result<()> {
    for (word, value) in &entry.properties.0 {
        let value = match value {
            Value::Text(text) => text.clone(),
            Value::List(list) if !list.is_empty() => list.join(", "),
            // For machines; the words say it, too.
            Value::List(_) | Value::Number(_) => continue,
        };
        let word = match *word {
            "public_key_sha256" => "key SHA-256".to_owned(),
            "sha256" => "SHA-256".to_owned(),
            word => word.replace('_', " "),
        };
        writeln!(out, "    {word:<12} {}", escaped(&value))?;
    }
    Ok(())
}

fn print_json(files: &[Description]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Report<'a> {
        files: &'a [Description],
    }
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &Report { files })?;
    writeln!(stdout)
}

//! `equipoise cert convert`: any format to tidy PEM.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::output;
use crate::config::escaped;
use crate::tls::certificate::{Converted, Fault, convert, has_another_key};

/// What `cert convert` is told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The result has the server's certificate first, then its chain in order without the root; 64 columns, no blank lines; \
the key as PKCS#8, not encrypted. A bundle of authorities stays as it is, but tidy.

A key that IN or --key gives goes to --key-out, or else behind the certificates; a file with a key in it is for its \
owner only (0600). A file appears whole or not at all, so OUT may be IN. Several INs are put together: a certificate \
and the intermediate that was missing, say.

  equipoise cert convert site.pfx --password-file pw -o site.pem --key-out site.key
  equipoise cert convert site.cer chain.p7b -o site.pem

Exit status: 0 done, 1 it can't be done (a wrong password, a key that doesn't match), 2 a file can't be read or \
written, or the usage is wrong.")]
pub struct Args {
    /// What to convert: PEM, DER, P7B or PFX.
    #[arg(value_name = "IN", required = true)]
    pub input: Vec<PathBuf>,
    /// The key, if it has a file of its own.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The password of the key or the PFX is this file's first line (/dev/stdin works, too).
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Where the result goes; - is stdout.
    #[arg(short, long, value_name = "OUT.pem")]
    pub output: PathBuf,
    /// Where the key goes; without it, behind the certificates.
    #[arg(long, value_name = "KEY.pem", conflicts_with = "no_key")]
    pub key_out: Option<PathBuf>,
    /// Leave the key out; --key then only tells which certificate is meant, if there are several.
    #[arg(long)]
    pub no_key: bool,
}

/// Converts, and gives the exit status.
pub fn run(args: &Args) -> u8 {
    if let Some(key_out) = &args.key_out
        && output::same(key_out, &args.output)
    {
        return complain(
            "-o and --key-out are the same file; leave --key-out out to have both in one",
            2,
        );
    }
    let now = SystemTime::now();
    let password_file = args.password_file.as_deref();
    let converted = match convert(&args.input, args.key.as_deref(), password_file, now) {
        Ok(converted) if args.no_key => converted.without_key(),
        Ok(converted) => converted,
        Err(findings) => {
            let unreadable = findings.iter().any(|f| f.fault == Fault::Unreadable);
            for finding in findings {
                drop(writeln!(io::stderr(), "{}", finding.explained()));
            }
            return if unreadable { 2 } else { 1 };
        }
    };
    if args.key_out.is_some() && converted.key.is_none() {
        return complain(
            "--key-out: there is no key in what was given; name its file with --key",
            1,
        );
    }
    if args.key_out.is_some() && converted.certificates.is_empty() {
        return complain(
            "-o: there is no certificate in what was given; leave --key-out out to convert a key alone",
            1,
        );
    }
    if converted.certificates.is_empty() && converted.key.is_none() {
        return complain("--no-key: there is nothing but a key in what was given", 1);
    }
    if let Some(lost) = key_that_would_be_lost(args, &converted) {
        let trouble = format!(
            "{}: has a private key that would be lost, and is written nowhere else; name another file for the result",
            lost.display()
        );
        return complain(&trouble, 1);
    }
    match write(args, &converted) {
        Ok(()) => 0,
        Err((path, error)) => {
            complain(&format!("{}: can't be written: {error}", path.display()), 2)
        }
    }
}

/// An input that is about to be replaced, with a key in it that isn't in the result: nobody can issue that again.
fn key_that_would_be_lost<'a>(args: &'a Args, converted: &Converted) -> Option<&'a Path> {
    let password_file = args.password_file.as_deref();
    let results = args.key_out.iter().chain([&args.output]);
    let replaced = |input: &&PathBuf| results.clone().any(|result| output::same(result, input));
    let at_risk = args.input.iter().chain(&args.key).find(|input| {
        replaced(input) && has_another_key(input, password_file, converted.key.as_deref())
    });
    at_risk.map(PathBuf::as_path)
}

fn write<'a>(args: &'a Args, converted: &Converted) -> Result<(), (&'a Path, io::Error)> {
    let mut text = converted.certificates.clone();
    let mut private = false;
    match (&args.key_out, &converted.key) {
        (Some(path), Some(key)) => put(path, key, true)?,
        (None, Some(key)) => {
            text.push_str(key);
            private = true;
        }
        _ => {}
    }
    put(&args.output, &text, private)?;
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell when stderr is closed; the files are written.
    for what in &converted.left_out {
        drop(writeln!(stderr, "left out {}", escaped(what)));
    }
    if !is_stdout(&args.output) {
        let key = match &args.key_out {
            Some(path) => format!(" ({} has the key)", path.display()),
            None => String::new(),
        };
        let (to, what) = (args.output.display(), &converted.summary);
        let done = format!("{to}: {what}{key}");
        drop(writeln!(io::stdout(), "{}", escaped(&done)));
    }
    Ok(())
}

fn put<'a>(path: &'a Path, text: &str, private: bool) -> Result<(), (&'a Path, io::Error)> {
    if is_stdout(path) {
        io::stdout().lock().write_all(text.as_bytes())
    } else {
        output::replace(path, text.as_bytes(), private)
    }
    .map_err(|error| (path, error))
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn complain(trouble: &str, status: u8) -> u8 {
    drop(writeln!(io::stderr(), "{}", escaped(trouble)));
    status
}

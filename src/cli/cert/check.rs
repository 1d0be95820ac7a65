//! `equipoise cert check`: the lint.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::escaped;
use crate::tls::certificate::{
    Examination, Examined, Fault, Finding, Purpose, Roots, Source, examine, names, not_after,
    read_ca_bundle, words,
};

/// What `cert check` is told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Problems go to stderr, each with its file and line, why it matters, and what mends it.
Exit status: 0 nothing is wrong, 1 something is, 2 a file can't be read or the usage is wrong.")]
pub struct Args {
    /// The certificate, with its chain: PEM, DER, P7B or PFX. A key in it is checked, too.
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its key, if that has a file of its own.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A name or address that clients will use; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub host: Vec<String>,
    /// The password of the key or the PFX is this file's first line.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Further roots that clients have, beside this system's: a private authority's.
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
}

/// Checks, prints what is wrong, and gives the exit status.
pub fn run(args: &Args) -> u8 {
    let mut roots = Roots::system().clone();
    for path in &args.ca {
        match read_ca_bundle(path) {
            Ok(more) => roots = roots.with(more),
            Err(finding) => {
                drop(writeln!(io::stderr(), "{}", finding.explained()));
                return 2;
            }
        }
    }
    let source = Source {
        cert: args.cert.clone(),
        key: args.key.clone(),
        password_file: args.password_file.clone(),
    };
    let examined = examine(&Examination {
        source: &source,
        purpose: Purpose::Server,
        hosts: &args.host,
        roots: &roots,
        key_wanted: false,
        now: SystemTime::now(),
    });
    // Nobody is left to tell when the output is closed, and the status still says it.
    drop(print(args, &examined));
    let unreadable = |finding: &Finding| finding.fault == Fault::Unreadable;
    match examined.findings.as_slice() {
        findings if findings.iter().any(unreadable) => 2,
        findings if findings.iter().all(Finding::is_note) => 0,
        _ => 1,
    }
}

fn print(args: &Args, examined: &Examined) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for finding in &examined.findings {
        writeln!(stderr, "{}", finding.explained())?;
    }
    let found = examined.findings.len();
    let problems = if examined.findings.iter().all(Finding::is_note) {
        0
    } else {
        found
    };
    match (problems, examined.chain.first()) {
        (0, Some(leaf)) => writeln!(
            io::stdout(),
            "{}: ok, {}, until {}{}{}",
            escaped(&args.cert.to_string_lossy()),
            escaped(&words::list(&names(leaf))),
            words::moment(not_after(leaf)),
            if examined.identity.is_some() {
                ", the key matches"
            } else {
                "; no key was checked"
            },
            match found {
                0 => String::new(),
                notes => format!("; {}", words::counted(notes, "note")),
            },
        ),
        (count, _) => writeln!(stderr, "{}", words::counted(count, "problem")),
    }
}

fn host(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a name is wanted".to_owned());
    }
    if !text.is_ascii() {
        return Err(
            "certificates have such names in their ASCII form, which begins with xn--".to_owned(),
        );
    }
    if text.contains(['/', ' ']) || text.starts_with('.') {
        return Err("a host name or an address is wanted, without scheme or path".to_owned());
    }
    Ok(text.to_owned())
}

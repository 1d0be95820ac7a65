//! `equipoise diagnose`: what is wrong on the way to a server, and what to try.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;

use crate::config::model::PoolServer;
use crate::config::{self, Config, Loaded};
use crate::diagnose::{self, Finding, Report, Step, Verdict};
use crate::server::sources;
use crate::upstream::Link;

/// What `diagnose` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration whose servers are walked to.
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// One pool, or one server of it; otherwise all.
    #[arg(value_name = "POOL[/SERVER]")]
    target: Option<String>,
    /// How the result is printed: text for people, json is one list on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a step.
    Text,
    /// A list of servers with their findings.
    Json,
}

/// Walks to each server, prints what was seen, and gives the exit status: 0 if nothing is wrong, 1 if something is, 2 if
/// the configuration can't be used or has no such server.
pub fn run(args: &Args) -> u8 {
    let loaded = match config::examine(&args.config, &config::environment).finish() {
        Ok(loaded) => loaded,
        Err(problems) => {
            say(&format!(
                "{problems}{}",
                super::without_a_file(&args.config)
            ));
            return 2;
        }
    };
    let wanted = args.target.as_deref();
    if let Some(wanted) = wanted
        && let Err(reason) = known(&loaded.config, wanted)
    {
        say(&format!("equipoise: {reason}"));
        return 2;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("equipoise: cannot start: {error}"));
            return 1;
        }
    };
    let walked = runtime.block_on(walk(&loaded, wanted, args.format));
    // A resolver that says nothing is not waited for.
    runtime.shutdown_background();
    match walked {
        Ok(reports) => u8::from(reports.iter().any(Report::is_wrong)),
        Err(reason) => {
            say(&format!("equipoise: {reason}"));
            2
        }
    }
}

/// Nobody is left to tell when stderr is closed.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Whether there is such a pool or server.
fn known(config: &Config, wanted: &str) -> Result<(), String> {
    let (pool, server) = parts(wanted);
    let Some(found) = config.pools.iter().find(|one| &*one.name == pool) else {
        return Err(format!("there is no pool {pool:?} in the configuration"));
    };
    match server {
        // The servers that DNS names are known only when it has been asked.
        Some(server) if found.discovery.is_none() => is_among(server, &found.servers, pool),
        _ => Ok(()),
    }
}

fn is_among(server: &str, servers: &[PoolServer], pool: &str) -> Result<(), String> {
    if servers.iter().any(|one| &*one.name == server) {
        return Ok(());
    }
    Err(format!(
        "there is no server {server:?} in the pool {pool:?}"
    ))
}

fn parts(wanted: &str) -> (&str, Option<&str>) {
    match wanted.split_once('/') {
        Some((pool, server)) => (pool, Some(server)),
        None => (wanted, None),
    }
}

/// One server after the other, each printed as soon as it is known.
async fn walk(
    loaded: &Loaded,
    wanted: Option<&str>,
    format: Format,
) -> Result<Vec<Report>, String> {
    let mut reports = Vec::new();
    for pool in &loaded.config.pools {
        let (name, server) = wanted.map_or((None, None), |wanted| {
            let (pool, server) = parts(wanted);
            (Some(pool), server)
        });
        if name.is_some_and(|name| name != &*pool.name) {
            continue;
        }
        let link =
            Link::load(pool, None).map_err(|unusable| format!("pool {}: {unusable}", pool.name))?;
        let mut note = |report: Report| {
            if format == Format::Text {
                // Who closes stdout has seen enough, and the status still says it.
                drop(print(&report));
            }
            reports.push(report);
        };
        let (servers, discovered) = diagnose::servers(pool).await;
        let are_known = discovered.as_ref().is_none_or(|report| !report.is_wrong());
        if let Some(report) = discovered {
            note(report);
        }
        if let Some(server) = server.filter(|_| are_known) {
            is_among(server, &servers, &pool.name)?;
        }
        for one in &servers {
            if server.is_some_and(|server| server != &*one.name) {
                continue;
            }
            let mut report = diagnose::diagnose(&loaded.config, pool, one, &link).await;
            // Checks come from this machine, so that nothing of this shows in what was tried.
            let lacks = sources::lacks(pool, std::slice::from_ref(one));
            report.add_of_route(lacks.into_iter().map(|lack| {
                let verdict = if lack.is_certain {
                    Finding::wrong
                } else {
                    Finding::doubtful
                };
                verdict(Step::Route, lack.what, lack.remedy)
            }));
            note(report);
        }
    }
    let mut stdout = io::stdout().lock();
    match format {
        Format::Text => {
            let wrong = reports.iter().filter(|report| report.is_wrong()).count();
            // What is said of a look-up is about no server, but for when it brought none.
            let walked = |report: &&Report| report.is_wrong() || !report.is_of_discovery();
            let all = reports.iter().filter(walked).count();
            let plural = if all == 1 { "" } else { "s" };
            drop(match wrong {
                0 => writeln!(stdout, "{all} server{plural}: nothing is wrong"),
                wrong => writeln!(
                    stdout,
                    "{all} server{plural}: something is wrong with {wrong}"
                ),
            });
        }
        Format::Json => {
            drop(serde_json::to_writer_pretty(&mut stdout, &reports));
            drop(writeln!(stdout));
        }
    }
    Ok(reports)
}

fn print(report: &Report) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(
        stdout,
        "{}/{} at {}",
        report.pool, report.server, report.address
    )?;
    for finding in &report.findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Doubtful => "doubtful",
            Verdict::Wrong => "WRONG",
        };
        let step = format!("{:?}", finding.step).to_lowercase();
        writeln!(stdout, "  {verdict:<8}  {step:<7}  {}", finding.seen)?;
        if let Some(advice) = &finding.advice {
            writeln!(stdout, "  {:<8}  {:<7}  try: {advice}", "", "")?;
        }
    }
    writeln!(stdout)
}

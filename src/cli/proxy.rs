//! `equipoise proxy`: one address in front of servers that do the same work, without a file.
//!
//! What the flags say becomes the text of a configuration, which is read as any other: `--print` shows it. So there is
//! one way to configure, and who outgrows the flags has a file to go on with.

mod text;

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{self, Problem, Problems};
use crate::observe::log;
use crate::server;

use self::text::Server;

/// What `proxy` is told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  equipoise proxy --from :8080 --to 127.0.0.1:8081 --to 127.0.0.1:8082
  equipoise proxy --from 8080 --to 3000 --to 3001 --sticky
  equipoise proxy --https www.example.com --to unix:/run/app.sock
  equipoise proxy --from :8080 --to https://app1.internal --to https://app2.internal --print > equipoise.yaml")]
pub struct Args {
    /// Where clients connect: ADDRESS:PORT, or :PORT for all of the machine's IPv4 addresses. May be given again.
    /// With --https the default is :443.
    #[arg(
        long,
        value_name = "ADDR",
        value_parser = text::listener,
        required_unless_present = "https"
    )]
    from: Vec<String>,
    /// A server: HOST:PORT, PORT (on this machine), unix:/PATH, http://HOST[:PORT], or https://HOST[:PORT] to speak TLS
    /// to it. Once for each server.
    #[arg(long, value_name = "ADDR", value_parser = text::server, required = true)]
    to: Vec<Server>,
    /// Keep each client on its server, by a cookie.
    #[arg(long)]
    sticky: bool,
    /// Speak TLS to clients, with a certificate for this name from Let's Encrypt. Port 80 of the same address
    /// redirects, and shows Let's Encrypt that the name is ours. May be given again, for one certificate of several names.
    #[arg(long, value_name = "HOST")]
    https: Vec<String>,
    /// Serve the dashboard, metrics and the status API, at 127.0.0.1:9900 or elsewhere.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9900")]
    admin: Option<String>,
    /// Print the configuration that this stands for instead of running it.
    #[arg(long)]
    print: bool,
}

/// Why it didn't start, or ended early.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("{}", .0.join("\n"))]
    Usage(Vec<String>),
    #[error(transparent)]
    Server(#[from] server::StartError),
}

impl ProxyError {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Server(_) => 1,
        }
    }
}

/// Runs until it is told to stop, or prints. Returns the exit status: 0, 1 if it could not start, 2 if what it is told
/// makes no configuration.
pub fn run(args: &Args) -> u8 {
    match proxy(args) {
        Ok(()) => 0,
        Err(error) => {
            for line in error.to_string().lines() {
                log::say(&format!("equipoise proxy: {line}"));
            }
            error.status()
        }
    }
}

fn proxy(args: &Args) -> Result<(), ProxyError> {
    let yaml = configuration(args, own_state_dir()).map_err(|one| ProxyError::Usage(vec![one]))?;
    let loaded = config::load_str("(--print)", &yaml, &config::environment)
        .map_err(|problems| ProxyError::Usage(by_flag(&problems)))?;
    if args.print {
        // A reader that has seen enough and closes the pipe is no error.
        drop(io::stdout().write_all(yaml.as_bytes()));
        return Ok(());
    }
    server::hold_signals_back();
    // Nobody may be reading what is said.
    log::begin().map_err(server::StartError::from)?;
    server::run(loaded, None, None)?;
    Ok(())
}

/// Where somebody who isn't root, nor run by systemd, keeps keys and certificates; `None` = at the usual place.
fn own_state_dir() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() || config::environment("STATE_DIRECTORY").is_some() {
        return None;
    }
    // The XDG Base Directory Specification: a relative path counts as none.
    let absolute = |name| {
        config::environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("equipoise"))
}

/// The configuration as text, or what about the flags themselves makes no sense.
fn configuration(args: &Args, state_dir: Option<PathBuf>) -> Result<String, String> {
    let secure = !args.https.is_empty();
    let tls = args.to.iter().filter(|server| server.tls).count();
    if tls != 0 && tls != args.to.len() {
        return Err(
            "--to: either all servers are https:// or none; for a pool of each write a configuration"
                .to_owned(),
        );
    }
    let mut yaml = Yaml::default();
    yaml.line(
        0,
        "# What `equipoise proxy` runs. `equipoise run -c` with this file does the same.",
    );
    if let Some(directory) = state_dir.filter(|_| secure || args.sticky) {
        let directory = quoted(&directory.to_string_lossy());
        yaml.line(0, format_args!("server: {{state_dir: {directory}}}"));
    }
    if let Some(admin) = &args.admin {
        yaml.line(0, format_args!("admin: {{bind: {}}}", quoted(admin)));
    }
    yaml.line(0, "listeners:");
    if secure {
        secure_listener(args, &mut yaml)?;
    } else {
        yaml.line(1, "web:");
        yaml.line(2, format_args!("bind: {}", list(&args.from)));
        yaml.line(2, "pool: app");
    }
    yaml.line(0, "pools:");
    yaml.line(1, "app:");
    yaml.line(2, "servers:");
    for server in &args.to {
        yaml.line(3, format_args!("- address: {}", quoted(&server.address)));
    }
    if tls != 0 {
        yaml.line(2, "tls: {}");
    }
    if args.sticky {
        yaml.line(2, "persistence: {type: cookie_insert}");
    }
    Ok(yaml.0)
}

/// The listener with TLS, and the one on port 80 that redirects to it and answers the authority.
fn secure_listener(args: &Args, yaml: &mut Yaml) -> Result<(), String> {
    let default = ["0.0.0.0:443".to_owned()];
    let from: &[String] = if args.from.is_empty() {
        &default
    } else {
        &args.from
    };
    // What isn't an address is told when the text is read.
    let addresses: Vec<SocketAddr> = from.iter().filter_map(|one| one.parse().ok()).collect();
    if let Some(taken) = addresses.iter().find(|address| address.port() == 80) {
        return Err(format!(
            "--from {taken}: with --https, port 80 redirects to the port of --from, which is 443 if it is left out"
        ));
    }
    let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    let redirect = match ports.first() {
        Some(port) if ports.iter().any(|other| other != port) => {
            return Err("--from: with --https, all addresses have one port".to_owned());
        }
        Some(443) | None => "true".to_owned(),
        Some(port) => port.to_string(),
    };
    let mut plain: Vec<String> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.ip(), 80).to_string())
        .collect();
    plain.dedup();
    if !plain.is_empty() {
        yaml.line(1, "web:");
        yaml.line(2, format_args!("bind: {}", list(&plain)));
        yaml.line(2, format_args!("redirect_https: {redirect}"));
    }
    yaml.line(1, "secure:");
    yaml.line(2, format_args!("bind: {}", list(from)));
    yaml.line(2, "protocol: https");
    let domains: Vec<String> = args.https.iter().map(|name| quoted(name)).collect();
    let domains = domains.join(", ");
    yaml.line(2, format_args!("tls: {{acme: {{domains: [{domains}]}}}}"));
    yaml.line(2, "pool: app");
    Ok(())
}

/// The problems of the text, each with the flag that it comes from. What only follows from those is left out.
fn by_flag(problems: &Problems) -> Vec<String> {
    let flagged: Vec<String> = problems.iter().filter_map(flagged).collect();
    if flagged.is_empty() {
        problems.iter().map(ToString::to_string).collect()
    } else {
        flagged
    }
}

fn flagged(problem: &Problem) -> Option<String> {
    let flag = match problem.path.as_str() {
        path if path.starts_with("pools.app.servers") => "--to",
        path if path.starts_with("listeners.secure.tls") => "--https",
        path if path.contains(".bind") && path.starts_with("listeners.") => "--from",
        path if path.starts_with("admin.") => "--admin",
        _ => return None,
    };
    Some(match &problem.suggestion {
        Some(suggestion) => format!("{flag}: {}; did you mean {suggestion}?", problem.message),
        None => format!("{flag}: {}", problem.message),
    })
}

/// Text that is written line by line.
#[derive(Default)]
struct Yaml(String);

impl Yaml {
    fn line(&mut self, depth: usize, line: impl fmt::Display) {
        self.0 += &"  ".repeat(depth);
        self.0 += &line.to_string();
        self.0.push('\n');
    }
}

/// One value, or a list of several.
fn list(values: &[String]) -> String {
    match values {
        [one] => quoted(one),
        several => {
            let all: Vec<String> = several.iter().map(|one| quoted(one)).collect();
            format!("[{}]", all.join(", "))
        }
    }
}

/// A JSON string is a YAML string, but for some characters that YAML wants to see escaped.
fn quoted(value: &str) -> String {
    let mut quoted = String::new();
    for character in serde_json::Value::from(value).to_string().chars() {
        match character {
            '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}'
            | '\u{2028}'
            | '\u{2029}'
            | '\0'..' '
            | '\u{7f}'..='\u{9f}' => {
                quoted += &format!("\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted
}

#[cfg(test)]
mod tests;

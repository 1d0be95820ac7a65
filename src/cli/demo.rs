//! `equipoise demo`: see it work, without a file.
//!
//! Three small web servers of different speed, the load balancer in front of them, and the dashboard,
//! all in one process. The load balancer part is the real one, run with a configuration that is
//! built as text, as a user would write it.

mod load;
mod origin;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::config::{self, Problems};
use crate::observe::log;
use crate::server;

use self::origin::Origin;

/// What `demo` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the load balancer listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where the dashboard, the API and the metrics are.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9900")]
    pub admin: SocketAddr,
    /// Requests a second that the demo sends to itself, to give the dashboard something to show.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub load: u32,
}

/// Why the demo didn't start, or ended early.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("can't listen on {address}: {error} (choose another address with {flag})")]
    Bind {
        address: SocketAddr,
        flag: &'static str,
        error: io::Error,
    },
    #[error("can't start the servers of the demo: {0}")]
    Origin(io::Error),
    #[error("can't keep the cookie key in {path}: {error}")]
    State { path: PathBuf, error: io::Error },
    #[error("the demo's own configuration is wrong:\n{0}")]
    Config(Problems),
    #[error(transparent)]
    Server(#[from] server::StartError),
}

/// Runs until it is told to stop, and gives the exit status: 0, or 1 if it could not start.
pub fn run(args: &Args) -> u8 {
    match demo(args) {
        Ok(()) => 0,
        Err(error) => {
            log::say(&format!("equipoise demo: {error}"));
            1
        }
    }
}

fn demo(args: &Args) -> Result<(), DemoError> {
    let listen = free(args.listen, "--listen")?;
    let admin = free(args.admin, "--admin")?;
    let origins = origin::start().map_err(DemoError::Origin)?;
    let state = StateDir::create()?;
    let yaml = configuration(listen, admin, &origins, &state.0);
    let loaded = config::load_str("demo.yaml", &yaml, &|_| None).map_err(DemoError::Config)?;
    if args.load > 0 {
        load::start(listen, args.load).map_err(DemoError::Origin)?;
    }
    // As in `run`: a closed stdout is no reason not to serve.
    let _ = greet(listen, admin, &origins);
    server::run(loaded, None, None)?;
    Ok(())
}

/// Checks that the address can be listened on, so that a busy port is told before anything is
/// printed that would be wrong then. Port 0 becomes the port that the kernel gave.
fn free(address: SocketAddr, flag: &'static str) -> Result<SocketAddr, DemoError> {
    TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|error| DemoError::Bind {
            address,
            flag,
            error,
        })
}

fn configuration(
    listen: SocketAddr,
    admin: SocketAddr,
    origins: &[Origin],
    state: &Path,
) -> String {
    let servers: String = origins.iter().map(server_line).collect();
    // A JSON string is a YAML string, whatever is in it.
    let state = serde_json::Value::from(state.to_string_lossy());
    format!(
        r#"
server: {{shutdown_timeout: 3s, max_connections: 1000, state_dir: {state}}}
admin: {{bind: "{admin}"}}
logging:
  level: warn
  access_log: {{path: stdout, format: "%{{method}} %{{path}} -> %{{server}} %{{status}}, %{{duration}} s, persistence %{{persistence}}"}}
listeners:
  web:
    bind: "{listen}"
    pool: demo
pools:
  demo:
    algorithm: weighted_round_robin
    servers:
{servers}
    persistence:
      type: cookie_insert
      timeout: 10m
      # So that the page can show it; leave it at true in earnest.
      http_only: false
    health_check: {{type: http, path: /health, interval: 2s, fast_interval: 500ms, timeout: 1s, rise: 1, fall: 2}}
"#
    )
}

fn server_line(origin: &Origin) -> String {
    let Origin {
        name,
        weight,
        address,
        ..
    } = origin;
    format!("      - {{name: {name}, address: \"{address}\", weight: {weight}}}\n")
}

fn greet(listen: SocketAddr, admin: SocketAddr, origins: &[Origin]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Equipoise demo: three servers behind one address.\n")?;
    for Origin {
        name,
        weight,
        address,
        delay,
        ..
    } in origins
    {
        writeln!(
            out,
            "  {name:<7} http://{address}   weight {weight}, answers in about {} ms",
            delay.as_millis()
        )?;
    }
    let broken = origins.last().map(|origin| origin.address);
    writeln!(
        out,
        "
  load balancer  http://{listen}/
  dashboard      http://{admin}/
  metrics        http://{admin}/metrics

Try, in another terminal:

  # Balanced 4:2:1: a request without a cookie goes wherever it is the next one's turn.
  for i in $(seq 14); do curl -s http://{listen}/; done

  # A session: with a cookie jar all requests stay on one server.
  for i in $(seq 5); do curl -s -c /tmp/jar -b /tmp/jar http://{listen}/; done"
    )?;
    if let Some(address) = broken {
        writeln!(
            out,
            "
  # Break the slow server, and watch the dashboard; the same line mends it.
  curl -s -X POST http://{address}/break"
        )?;
    }
    writeln!(
        out,
        "
Look at the dashboard while you do: state, reason, active requests and rate of each server.
Ctrl-C stops it. Each request is logged below.
"
    )?;
    out.flush()
}

/// A directory for the cookie key that goes when the demo ends.
struct StateDir(PathBuf);

impl StateDir {
    fn create() -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(format!("equipoise-demo-{}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(DemoError::State { path, error }),
        }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // What can't be removed is a few bytes in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid() {
        let origins = origin::start().unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let yaml = configuration(
            address(8080),
            address(9900),
            &origins,
            Path::new("/tmp/a \"b\""),
        );
        let config = config::parse_str("demo.yaml", &yaml, &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let weights: Vec<u16> = config
            .pools
            .iter()
            .flat_map(|pool| &pool.servers)
            .map(|server| server.weight)
            .collect();
        assert_eq!(weights, [4, 2, 1]);
        assert_eq!(config.server.state_dir, Path::new("/tmp/a \"b\""));
    }

    #[test]
    fn a_busy_port_names_the_flag_that_moves_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = free(address, "--listen").unwrap_err().to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("--listen"),
            "{error}"
        );
    }
}

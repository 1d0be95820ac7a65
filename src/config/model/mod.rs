//! The validated configuration: what the rest of the program works with.
//!
//! Nothing here is optional where a default exists, nothing is a string that would have to be parsed
//! again, and every cross-reference (a listener's pool, say) is known to hold. A [`Config`] never
//! changes; a reload builds the next one.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod balancing;
mod discovery;
mod health;
mod listener;
mod outliers;
mod persistence;
mod route;
mod tls;

pub use balancing::*;
pub use discovery::*;
pub use health::*;
pub use listener::*;
pub use outliers::*;
pub use persistence::*;
pub use route::*;
pub use tls::*;

/// One whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// `None`: no admin listener.
    pub admin: Option<Admin>,
    /// What is written where.
    pub logging: Logging,
    /// What is shown of what is measured.
    pub metrics: Metrics,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// In the order of the file. Every [`Listener::pool`] names one of them.
    pub pools: Vec<Pool>,
    /// Every file this was read from: the main one first, then the includes.
    pub files: Vec<PathBuf>,
    /// Every further file whose content is part of this: passwords and error pages.
    pub read: Vec<PathBuf>,
    /// What is allowed and hardly meant, in words and with places.
    pub warnings: Vec<String>,
}

impl Config {
    /// Logs what of it is hardly meant, as far as that is read: a generated file may have the same a thousand times.
    pub fn tell_warnings(&self) {
        const MOST: usize = 8;
        for warning in self.warnings.iter().take(MOST) {
            tracing::warn!("{warning}");
        }
        let more = self.warnings.len().saturating_sub(MOST);
        if more > 0 {
            tracing::warn!("and {more} more warnings, which `equipoise check` tells");
        }
    }
}

/// Where another process asks to take over if nothing else is said. It isn't missed where it can't be had.
pub const UPGRADE_SOCKET: &str = "/run/equipoise/upgrade.sock";

/// Settings of the process.
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads, at least 1 (`0` in the file is resolved to the number of cores).
    pub threads: usize,
    /// Client connections held at once over all listeners.
    pub max_connections: usize,
    /// How long in-flight work may take to finish at stop.
    pub shutdown_timeout: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where another process asks to take over; `None` = nowhere.
    pub upgrade_socket: Option<PathBuf>,
    /// Where what must survive a restart is kept (the generated cookie key, session tables, what operators changed).
    pub state_dir: PathBuf,
    /// User to become after binding.
    pub user: Option<String>,
    /// Group to become after binding.
    pub group: Option<String>,
    /// Whether a change of its files is taken up by itself.
    pub watch_config: bool,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: AdminBind,
    /// Who may change something; `None` = over TCP nobody.
    pub token_file: Option<PathBuf>,
    /// `None` = plain HTTP. Always `None` for Unix sockets.
    pub tls: Option<Tls>,
}

/// Where the admin listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for AdminBind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The program's own log and the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// A level or a filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// How the program's own log is written.
    pub format: LogFormat,
    /// The log of requests.
    pub access_log: AccessLog,
}

/// What is shown of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Histograms by server rather than by pool.
    pub server_histograms: bool,
    /// All counters of each server, rather than some of them by pool.
    pub server_counters: bool,
}

/// How the program's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub path: AccessLogPath,
    /// How a line looks.
    pub format: AccessLogFormat,
    /// Bytes buffered before a write is forced.
    pub buffer: usize,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
}

impl std::fmt::Display for AccessLogPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How an access log line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// Literal text with `%{field}` names, all of them known (see `observe::access_log`).
    Template(String),
}

/// A set of servers that do the same work.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How a server is picked.
    pub algorithm: Algorithm,
    /// What is hashed, if the algorithm does that.
    pub hash_key: Option<HashKey>,
    /// How much more than its share of the active requests a server may have before a key goes to the next, above 1.
    pub bounded_load: Option<f64>,
    /// Where its servers are found; `None` = they are listed.
    pub discovery: Option<Discovery>,
    /// At least one where they are listed; names are unique in the pool.
    pub servers: Vec<PoolServer>,
    /// How sessions stay on their server.
    pub persistence: Option<Persistence>,
    /// `None`: servers are not checked and taken as up.
    pub health_check: Option<HealthCheck>,
    /// Passive detection; `None` = off.
    pub outlier_detection: Option<OutlierDetection>,
    /// Zero = off.
    pub slow_start: Duration,
    /// Waiting when all are full.
    pub queue: Queue,
    /// Towards the servers.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retries: Retries,
    /// Idle connections to the servers.
    pub keepalive: Keepalive,
    /// `None`: the servers are spoken to without TLS.
    pub tls: Option<UpstreamTls>,
    /// The servers speak HTTP/2: over TLS or, without it, by prior knowledge.
    pub http2: bool,
    /// The PROXY header that connections to the servers begin with; `None` = none.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where connections to the servers come from; `None` = as the system chooses.
    pub source: Option<Source>,
}

/// Where connections to servers come from, as the servers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client's own address.
    Client,
    /// An address of this machine.
    Address(IpAddr),
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary, with more than addresses.
    V2,
}

/// One server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolServer {
    /// Stable identity for cookies, metrics and the API.
    pub name: Arc<str>,
    /// Where it is.
    pub address: ServerAddress,
    /// How the backend marks its session ids (Tomcat's `jvmRoute`); the name by default.
    pub route: Arc<str>,
    /// 0–65535; 0 takes no new sessions.
    pub weight: u16,
    /// Requests at once, `0` = no limit.
    pub max_connections: u32,
    /// Used only when no other server is available.
    pub backup: bool,
    /// What the operator wants of it: no part of the file, but of what is in force.
    pub operator: Operator,
}

/// What the operator wants of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Takes work.
    #[default]
    Ready,
    /// Keeps the sessions bound to it, takes no new ones.
    Drain,
    /// Takes nothing.
    Maintenance,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A host name, resolved at run time, and a port.
    Name(Arc<str>, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Requests that wait when every server is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// `0` = no waiting.
    pub size: usize,
    /// How long one waits.
    pub timeout: Duration,
}

/// Towards the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To make a connection.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Until the response's header, and between two reads.
    pub receive: Duration,
    /// How long a kept-alive connection may lie idle.
    pub idle: Duration,
}

/// When a request is tried again on another server.
#[allow(clippy::struct_excessive_bools)] // One for each word of `retries.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first, `0` = none.
    pub attempts: u32,
    /// A server could not be connected to.
    pub on_connect_failure: bool,
    /// A server closed before a byte of response.
    pub on_reset_before_response: bool,
    /// A server answered 502, or nonsense.
    pub on_502: bool,
    /// A server answered 503.
    pub on_503: bool,
    /// A server answered 504, or not in time.
    pub on_504: bool,
    /// How much load tries after the first may add, in percent of the requests.
    pub budget_percent: u32,
    /// Bytes of a request's body that are kept for another try.
    pub replay_buffer: usize,
}

/// Idle connections to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Kept per server, `0` = none.
    pub connections: usize,
}
